"""Student notebooks from solutions.

In a solution, what stands between a line `### BEGIN SOLUTION` and a line `### END SOLUTION` is taken out of a code cell, and cells tagged
"solution" are left out altogether. The same solution always gives the same bytes.
"""
import json
from pathlib import Path
from typing import Annotated

import typer

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


class MarkersError(ValueError):
    """The markers of a solution do not pair."""


def strip(source: str, where: str) -> str:
    """A code cell without its solution. Raises MarkersError, naming the cell, where markers do not pair."""
    kept, inside = [], False
    for line in source.split("\n"):
        mark = line.strip()
        if mark in (BEGIN, END):
            if inside == (mark == BEGIN):
                raise MarkersError(f"{where}: `{mark}` without its partner; every {BEGIN} needs one {END} after it, in the same cell")
            inside = not inside
            if mark == BEGIN:
                indent = line[:len(line) - len(line.lstrip())]
                kept.append(f"{indent}raise NotImplementedError  # your code goes here")
        elif not inside:
            kept.append(line)
    if inside:
        raise MarkersError(f"{where}: `{BEGIN}` without its partner; every {BEGIN} needs one {END} after it, in the same cell")
    return "\n".join(kept)


def release(solution: dict, name: str) -> dict:
    """The student's notebook from a solution, both as parsed JSON."""
    cells = []
    for number, cell in enumerate(solution["cells"], 1):
        if "solution" in cell["metadata"].get("tags", []):
            continue
        if cell["cell_type"] == "code":
            source = strip("".join(cell["source"]), f"{name}, cell {number}")
            cell = {**cell, "source": source.splitlines(keepends=True), "outputs": [], "execution_count": None}
        cells.append(cell)
    return {**solution, "cells": cells}


def dump(notebook: dict) -> str:
    """A notebook as text, always the same way."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def root(start: Path) -> Path:
    """The checkout above `start`. Raises FileNotFoundError where there is none."""
    for folder in (start, *start.parents):
        if (folder / "solutions").is_dir() and (folder / "homework").is_dir():
            return folder
    raise FileNotFoundError(f"no folder with solutions/ and homework/ at or above {start}; run this inside a checkout of the course")


def command(names: Annotated[list[str] | None, typer.Argument(metavar="[HWN]...", help="hw1, hw2, ...; all of them unless given")] = None) -> None:
    """Make the student notebooks of homework/ from solutions/.

    What stands between `### BEGIN SOLUTION` and `### END SOLUTION` is taken out, and so are cells tagged "solution". The same solution always
    gives the same bytes. A solution whose markers do not pair is refused, with the number of the cell.
    """
    folder = root(Path.cwd())
    for path in [folder / "solutions" / f"{n}.ipynb" for n in names or ()] or sorted((folder / "solutions").glob("hw*.ipynb")):
        student = dump(release(json.loads(path.read_text(encoding="utf-8")), path.name))
        (folder / "homework" / path.name).write_text(student, encoding="utf-8", newline="\n")
        print(f"homework/{path.name}")
