"""Notebooks as they are committed: without what running them, and editors, leave in them."""
import json
import re
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from .release import METADATA, dump, root

KEPT = ("tags", "variant", "slideshow")
"""What the metadata of a cell may say."""


def tidy(notebook: dict, name: str) -> dict:
    """A notebook, parsed JSON, without outputs, counts, widget states and foreign metadata; cells without a good name get name-000, name-001, ..."""
    taken, ids = set(), []
    for cell in notebook["cells"]:
        old = cell.get("id", "")
        ids.append(old if re.fullmatch(rf"{re.escape(name)}-\d{{3}}", old) and old not in taken else None)
        taken.add(ids[-1])
    free = (new for number in count() if (new := f"{name}-{number:03}") not in taken)
    cells = [_tidy(cell, old or next(free)) for cell, old in zip(notebook["cells"], ids, strict=True)]
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def _tidy(cell: dict, name: str) -> dict:
    kept = {key: cell["metadata"][key] for key in KEPT if cell["metadata"].get(key)}
    run = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
    pictures = {key: cell[key] for key in ("attachments",) if key in cell}
    source = "".join(cell["source"]).splitlines(keepends=True)
    return {"cell_type": cell["cell_type"], "id": name, "metadata": kept, "source": source, **run, **pictures}


def command(files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="all lectures and solutions unless given")] = None) -> None:
    """Clean notebooks for a commit: outputs, counts, widget states and editors' metadata go, and new cells get names that stay.

    The same notebook always gives the same bytes, so a diff shows what was written and nothing else. Those of homework/ come from `metrized release`.
    """
    for path in files or [path for kind in ("lectures", "solutions") for path in sorted((root(Path.cwd()) / kind).glob("*.ipynb"))]:
        before = path.read_text(encoding="utf-8")
        try:
            after = dump(tidy(json.loads(before), path.stem.partition("-")[0]))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no notebook of format 4, which can be cleaned: {type(error).__name__}: {error}") from error
        if after != before:
            path.write_text(after, encoding="utf-8", newline="\n")
            print(path)
