"""Every claim of every lecture, as computed now.

    python -m metrized.teach.claims          runs lectures/*.ipynb of the checkout and prints a table; fails if a claim does not hold
    python -m metrized.teach.claims 05 10    some of them
"""
import argparse
import re
import sys
from pathlib import Path

import nbformat
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


def main(arguments: list[str] | None = None) -> int:
    """The command; 0 when all claims hold, 1 when one does not."""
    parser = argparse.ArgumentParser(prog="python -m metrized.teach.claims", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("numbers", nargs="*", help="01, 02, ...; all lectures unless given")
    numbers = parser.parse_args(arguments).numbers
    paths = [p for p in sorted((root(Path.cwd()) / "lectures").glob("*.ipynb")) if not numbers or p.stem[:2] in numbers]
    failed = False
    for path in tqdm(paths, desc="lectures", unit="lecture"):
        try:
            for statement, value, bounds in claims(path):
                print(f"| {path.stem[:2]} | {statement} | {value} | {bounds} |")
        except CellExecutionError as error:
            failed = True
            print(f"| {path.stem[:2]} | FAILED | {str(error).strip().splitlines()[-1]} | |")
    return int(failed or not paths)


if __name__ == "__main__":
    sys.exit(main())
