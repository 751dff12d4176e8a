"""Every claim of every lecture, as computed now."""
import re
from pathlib import Path
from typing import Annotated

import nbformat
import typer
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm.auto import tqdm

from .release import root

LINE = re.compile(r"^holds  (?P<statement>.*): (?P<value>.*)  in (?P<bounds>\[.*\])$", re.M)


def claims(path: Path) -> list[tuple[str, str, str]]:
    """(statement, value, bounds) of each claim of a lecture, in order. Raises CellExecutionError where one fails, or any cell does."""
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
    text = "".join(o.text for c in notebook.cells for o in c.get("outputs", []) if o.output_type == "stream" and o.name == "stdout")
    return [match.groups() for match in LINE.finditer(text)]


def command(numbers: Annotated[list[str] | None, typer.Argument(metavar="[NN]...", help="01, 02, ...; all lectures unless given")] = None) -> None:
    """Run the lectures and print every claim with its value and bounds, as a table; fails if one does not hold."""
    paths = [p for p in sorted((root(Path.cwd()) / "lectures").glob("*.ipynb")) if not numbers or p.stem[:2] in numbers]
    failed = False
    for path in tqdm(paths, desc="lectures", unit="lecture"):
        try:
            for statement, value, bounds in claims(path):
                print(f"| {path.stem[:2]} | {statement} | {value} | {bounds} |")
        except CellExecutionError as error:
            failed = True
            print(f"| {path.stem[:2]} | FAILED | {str(error).strip().splitlines()[-1]} | |")
    if failed or not paths:
        raise typer.Exit(1)
