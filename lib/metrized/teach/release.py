"""Student notebooks from solutions, with the published numbers or with others.

In a solution, what stands between a line `### BEGIN SOLUTION` and a line `### END SOLUTION` is taken out of a code cell, and cells tagged
"solution" are left out altogether. The same solution always gives the same bytes, whoever last saved it.

Numbers belong to the checks (`numbers` of an Exercise). A cell that speaks of one says in its metadata what a variant writes there instead:
`{"variant": {"b^T w": "{pull} b^T w"}}` has every `b^T w` of the cell replaced, by `3 b^T w` where the variant has drawn pull = 3.
"""
import ast
import difflib
import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from IPython.core.inputtransformer2 import TransformerManager

from ..check import Checker

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
TAG = "solution"
PLACEHOLDER = "raise NotImplementedError  # your code goes here"
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
"""A notebook's, and all of it: editors add versions, widget states and names of environments."""


class Refused(ValueError):
    """A solution that would reach students, or would give them a notebook that does not work."""


def strip(source: str, where: str) -> str:
    """A code cell without its solution. Raises Refused, naming the cell, where markers do not pair or may be misspelled."""
    kept, inside = [], False
    for line in source.split("\n"):
        mark = line.strip()
        if mark in (BEGIN, END):
            if inside == (mark == BEGIN):
                raise _unpaired(where, mark)
            inside = not inside
            if mark == BEGIN:
                kept.append(line[:len(line) - len(line.lstrip())] + PLACEHOLDER)
        elif _like_a_marker(line.partition("#")[2]):
            raise Refused(f"{where}: `{mark}` reads like a marker and is none; write `{BEGIN}` or `{END}` on a line of its own, or other words")
        elif not inside:
            kept.append(line)
    if inside:
        raise _unpaired(where, BEGIN)
    return "\n".join(kept)


def _unpaired(where: str, mark: str) -> Refused:
    return Refused(f"{where}: `{mark}` without its partner; every `{BEGIN}` needs one `{END}` after it, in the same cell")


def _like_a_marker(comment: str) -> bool:
    """Whether a comment is of few words, one of which may be `solution`."""
    words = re.findall("[a-z]+", comment.lower())
    return len(words) <= 4 and ("soluti" in "".join(words) or bool(difflib.get_close_matches(TAG, words, 1, 0.75)))


def _for_students(cell: Mapping, where: str) -> bool:
    """Whether a cell goes to students. Raises Refused for one that does, and looks as if it should not."""
    tags = cell["metadata"].get("tags", [])
    for tag in tags:
        if tag != TAG and _like_a_marker(tag):
            raise Refused(f'{where}: its tag is "{tag}"; only cells tagged "{TAG}", spelled so, are left out')
    if TAG in tags:
        return False
    lines = _source(cell).splitlines()
    if cell["cell_type"] != "code" and any(_like_a_marker(line) for line in lines if line.lstrip().startswith(("#", "<"))):
        raise Refused(f"{where}: it has a marker, or what reads like one, and is no code; tag the whole cell \"{TAG}\" instead")
    if cell["cell_type"] != "code" and re.match(r"[\W_]*solutions?\b", _source(cell), re.I):
        raise Refused(f'{where}: it begins like a solution, and has no tag "{TAG}"')
    return True


def release(solution: dict, name: str, variant: int | None = None) -> dict:
    """The student's notebook from the solution of homework `name`, both as parsed JSON; `variant` is the seed of other numbers.

    Raises Refused, with the cell's number, for a solution that would leak or does not fit its checks.
    """
    solution, cells, work = vary(solution, name, variant), [], {}
    for number, cell in enumerate(solution["cells"], 1):
        where = f"{name}, cell {number}"
        if not _for_students(cell, where):
            continue
        source = _source(cell)
        if cell["cell_type"] == "code":
            source = strip(source, where)
            for function in _functions(source, where):
                work.setdefault(function.name, []).append((where, _asks_for_work(function)))
        kept = {part: cell[part] for part in ("attachments", "cell_type", "execution_count", "id", "outputs") if part in cell}
        cells.append({**kept, "metadata": {}, "source": source.splitlines(keepends=True)})
    for exercise in checks(name).exercises:
        for where, asks in work.get(exercise) or [(name, False)]:
            if not asks:
                raise Refused(f"{where}: there is no solution of `{exercise}` here; it belongs between `{BEGIN}` and `{END}`, below its `def` line")
    return {**solution, "cells": cells}


def _functions(source: str, where: str) -> list[ast.FunctionDef | ast.ClassDef]:
    """What a cell defines. Raises Refused where it does not compile; magics may be in it."""
    try:
        plain = TransformerManager().transform_cell(source)
        compile(plain, where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        raise Refused(f"{where}: what students get of it does not compile: {error.msg}, line {error.lineno}") from None
    return [node for node in ast.parse(plain).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]


def _asks_for_work(function: ast.AST) -> bool:
    return any(isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name) and node.exc.id == "NotImplementedError" for node in ast.walk(function))


def checks(name: str) -> Checker:
    """The checks of a homework. Raises Refused where there are none."""
    module = f"metrized.check.{Path(name).stem}"
    if not importlib.util.find_spec(module):
        raise Refused(f"{name}: it has no checks; they belong into lib/metrized/check/{Path(name).stem}.py")
    return importlib.import_module(module).check


def vary(solution: dict, name: str, seed: int | None) -> dict:
    """A solution, outputs removed, with the numbers that this seed draws; with its own where it is None. Raises Refused where they do not fit."""
    numbers, module = checks(name).variant(seed or 0).numbers, f"metrized.check.{Path(name).stem}"
    if seed is not None and not numbers:
        raise Refused(f"{name}: {module} declares no numbers that a variant could exchange")
    cells, ours = [], f"from {module} import check"
    for number, cell in enumerate(solution["cells"], 1):
        exchanged = exchange(_source(cell), cell["metadata"].get("variant", {}), numbers, f"{name}, cell {number}")
        source = _source(cell) if seed is None else _signed(exchanged, cell["cell_type"], ours, seed)
        metadata = {key: value for key, value in cell["metadata"].items() if key == "tags"}
        blank = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
        cells.append({**cell, **blank, "metadata": metadata, "source": source.splitlines(keepends=True)})
    if not any(ours in map(str.rstrip, cell["source"]) for cell in cells):
        raise Refused(f"{name}: no cell has the line `{ours}`")
    return {"cells": cells, "metadata": METADATA, "nbformat": solution["nbformat"], "nbformat_minor": solution["nbformat_minor"]}


def _signed(source: str, kind: str, ours: str, seed: int) -> str:
    """A cell of a variant: its title says so, its checks are the variant's, and no link leads to the published numbers."""
    if kind == "code":
        return re.sub(rf"^{re.escape(ours)}[ \t]*$", rf"{ours}\ncheck = check.variant({seed})", source, flags=re.M)
    return re.sub(r"^\[!\[Open in Colab\].*\n+", "", re.sub(r"\A# .*", rf"\g<0> (variant {seed})", source), flags=re.M)


def exchange(source: str, texts: Mapping[str, str], numbers: Mapping, where: str) -> str:
    """A cell in which each key of `texts` has been replaced by its text, with numbers in place of their names in braces."""
    for key, text in texts.items():
        if not key or key not in source:
            raise Refused(f"{where}: a variant replaces `{key}`, which the cell does not have")
        try:
            text.format(**numbers)
        except (AttributeError, LookupError, ValueError):
            there = ", ".join(numbers)
            raise Refused(f"{where}: `{text}` cannot be filled in; there are the numbers {there}, and other braces are doubled") from None
    longest_first = sorted(texts, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda key: texts[key[0]].format(**numbers), source) if texts else source


def _source(cell: Mapping) -> str:
    return "".join(cell["source"])


def dump(notebook: dict) -> str:
    """A notebook as text, always the same way."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def root(start: Path) -> Path:
    """The checkout above `start`. Raises FileNotFoundError where there is none."""
    for folder in (start, *start.parents):
        if (folder / "solutions").is_dir() and (folder / "homework").is_dir():
            return folder
    raise FileNotFoundError(f"no folder with solutions/ and homework/ at or above {start}; run this inside a checkout of the course")


def master(checkout: Path, name: str) -> dict:
    """The solution of a homework, as parsed JSON. Raises ValueError where there is none."""
    path = checkout / "solutions" / f"{name}.ipynb"
    if not path.is_file():
        raise ValueError(f"there is no homework {name!r}; there are {', '.join(all_names(checkout))}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no notebook ({error}); open it in Jupyter and save it again, or take it from git") from None


def all_names(checkout: Path) -> list[str]:
    return sorted(path.stem for path in (checkout / "solutions").glob("hw*.ipynb"))


def command(names: Annotated[list[str] | None, typer.Argument(metavar="[HWN]...", help="hw1, hw2, ...; all of them unless given")] = None,
            variant: Annotated[int | None, typer.Option(metavar="SEED", min=0, help="other numbers; the same seed, the same numbers")] = None,
            solutions: Annotated[bool, typer.Option("--solutions", help="write the solutions of the variant, too")] = False,
            out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="homework/ unless given; build/release/ for a variant")] = None) -> None:
    """Make the student notebooks of homework/ from solutions/.

    What stands between `### BEGIN SOLUTION` and `### END SOLUTION` is taken out, and so are cells tagged "solution", outputs, and metadata. The same
    solution always gives the same bytes. A solution whose markers do not pair, or may be misspelled, is refused, with the number of the cell.

    With `--variant 7` the homework has other numbers, for a second section or a makeup: `build/release/hw3-variant-7.ipynb`. Its checks know them
    by themselves; grade it with `metrized grade hw3 --variant 7`. Whoever copies the published solution hears so.
    """
    checkout = root(Path.cwd())
    out = out or checkout / ("homework" if variant is None else "build/release")
    if solutions and variant is None:
        raise typer.BadParameter("--solutions needs --variant; those of the published numbers are in solutions/")
    if out.resolve() == (checkout / "solutions").resolve():
        raise ValueError("solutions/ holds what students get their notebooks from; give another folder with --out")
    names, made = [Path(name).stem for name in names or ()] or all_names(checkout), {}
    for name in names:
        solution, stem = master(checkout, name), name if variant is None else f"{name}-variant-{variant}"
        made[stem] = release(solution, f"{name}.ipynb", variant)
        if solutions:
            made[f"{stem}-solutions"] = vary(solution, f"{name}.ipynb", variant)
    out.mkdir(parents=True, exist_ok=True)
    for stem, notebook in made.items():
        path = out / f"{stem}.ipynb"
        path.write_text(dump(notebook), encoding="utf-8", newline="\n")
        print(path.relative_to(checkout).as_posix() if path.is_relative_to(checkout) else path)
    for name in names if variant is not None else ():
        drawn = checks(name).variant(variant).numbers.items()
        print(f"{name}, variant {variant}: {', '.join(f'{number} = {value}' for number, value in drawn)}")
