"""Slides from a lecture: what carries the thought goes on the screen, and the lecture's prose becomes the speaker's notes.

A cell's mark (Jupyter's own, metadata.slideshow.slide_type) says where it goes: slide and subslide begin one, `-` adds to it, fragment comes with
the next key, notes are for the speaker, skip is for nobody. A heading inside a cell begins a slide, too.

Beside the mark, `screen` lists what of the cell is shown: of text, how its sentences, formulas and list items begin, in their order, and "---" where
another slide begins; of code, "code" and "output". Without it the first sentences are shown, and code unless it draws or asks.
"""
import os
import re
import shutil
from itertools import groupby, pairwise
from pathlib import Path
from typing import Annotated

import nbformat
import typer
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from . import assets
from .claims import chosen
from .release import root
from .site import executed, self_contained, without_kernel

PAGES = Path(__file__).with_name("pages")
WORDS = 40
"""Of a cell's prose that many words are shown, and then sentences stop."""
BREAK = "---"
"""What stands in `screen` where another slide begins."""
SENTENCES = re.compile(r"(?:(?<=[.?!])|(?<=[.?!][*)\"])|(?<=[.?!]\*\*))(?<!\b[A-Z]\.)\s+(?=[A-Z*$(`\"\[])")
ITEM = re.compile(r"[*+-] |\d+\. ")
WHOLE = re.compile(r"#|\$\$|[|><`~]")
"""How a block begins that is shown as a whole or not at all: a heading, a formula, a table, a quotation, HTML, code."""
RESULT = re.compile(r"^(?:show|live|still|moving|own|sliced)\(|\bpredict\(|\.score\(", re.M)
"""Code of which the audience sees what comes out: figures, questions, answers, the library's source."""
LOCAL = {"reveal.js": ("dist/reveal.css", "dist/reveal.js", "plugin/notes/notes.js"), "mathjax": ("es5/tex-svg-full.js",)}
ELSEWHERE = {"reveal.js": "https://cdn.jsdelivr.net/npm/reveal.js@4.6.1", "mathjax": "https://cdn.jsdelivr.net/npm/mathjax@3.2.2"}

Chunk = tuple[int, str]
"""A heading, a sentence, an item of a list, a formula; and the block of the text that it is in."""


def deck(notebook: NotebookNode) -> NotebookNode:
    """A lecture that has run, as a deck. Raises ValueError where `screen` lists what is not there."""
    cells = []
    for number, cell in enumerate(notebook.cells, 1):
        marks = cell.metadata.get("slideshow", {})
        mark, screen = marks.get("slide_type", "-"), marks.get("screen")
        if mark == "skip" or not cell.source.strip():
            continue
        try:
            cells += [_code(cell, mark, screen)] if cell.cell_type == "code" else list(_prose(cell.source, mark, screen))
        except LookupError as missing:
            raise ValueError(f"cell {number} has nothing that begins with {missing}, which its slide marks (metadata.slideshow.screen) want on the "
                             "screen at that place; write there how one of its sentences, formulas or list items begins now") from None
    return nbformat.v4.new_notebook(cells=cells)


# Text


def chunks(text: str) -> list[Chunk]:
    """A piece of Markdown, taken apart; a picture from elsewhere becomes its words."""
    blocks = re.split(r"\n\s*\n", self_contained(text.strip()))
    return [(number, chunk) for number, block in enumerate(blocks) for chunk in _taken_apart(block)]


def _taken_apart(block: str) -> list[str]:
    if WHOLE.match(block):
        return [block]
    return re.split(rf"\n(?={ITEM.pattern})", block) if ITEM.match(block) else SENTENCES.split(block.replace("\n", " "))


def together(chunks: list[Chunk]) -> str:
    """The Markdown again: sentences one after the other, items below each other, blocks apart."""
    blocks = [[chunk for _, chunk in block] for _, block in groupby(chunks, key=lambda numbered: numbered[0])]
    return "\n\n".join(("\n" if ITEM.match(block[0]) else " ").join(block) for block in blocks)


def listed(chunks: list[Chunk], screen: list[str]) -> tuple[set[int], set[int]]:
    """Which chunks are shown, and which of them begin a slide. Raises LookupError with what is not there."""
    shown, begin, place = set(), set(), -1
    for before, wanted in pairwise(["", *screen]):
        if wanted != BREAK:
            place = next((i for i, (_, chunk) in enumerate(chunks) if i > place and chunk.startswith(wanted)), None)
            if place is None:
                raise LookupError(wanted)
            if before == BREAK and not any(chunk.startswith("#") for _, chunk in chunks[max(shown, default=-1) + 1:place]):
                begin.add(place)
            shown.add(place)
    return shown, begin


def by_rule(chunks: list[Chunk]) -> set[int]:
    """What is shown where nobody has chosen: headings, formulas, tables, lists, and the first sentences of paragraphs as long as there is room."""
    shown, room, last = set(), WORDS, None
    for i, (block, chunk) in enumerate(chunks):
        whole = bool(WHOLE.match(chunk) or ITEM.match(chunk))
        if whole or block != last and room > 0:
            shown.add(i)
            room -= 0 if whole else len(chunk.split())
        last = block
    return shown


def _prose(text: str, mark: str, screen: list[str] | None):
    """The cells of a text: for each of its slides what is shown, and then, if that is less, what the speaker says."""
    parts = chunks(text)
    heading = lambda i: parts[i][1].startswith("#")
    shown, begin = listed(parts, screen) if screen is not None else (by_rule(parts), set())
    starts = sorted({0} | begin | {i for i in range(len(parts)) if heading(i)})
    for start, end in pairwise([*starts, len(parts)]):
        seen = [i for i in range(start, end) if i in shown or i == start and heading(i) and shown & {*range(start, end)}]
        said = parts[start:end]
        if seen and mark != "notes":
            first = mark if start == 0 else "slide" if re.match("##? ", parts[start][1]) else "subslide"
            yield _marked(new_markdown_cell(together([parts[i] for i in seen])), first)
            said = parts[start + heading(start):end] if len(seen) < end - start else []
        if said:
            yield _marked(new_markdown_cell(together(said)), "notes")


# Code


def _code(cell: NotebookNode, mark: str, screen: list[str] | None) -> NotebookNode:
    """A code cell: its code, what comes out of it, or both; figures as stills."""
    parts = ["output"] if RESULT.search(cell.source) else ["code", "output"]
    parts = parts if screen is None else screen
    if unknown := {*parts} - {"code", "output"}:
        raise LookupError(unknown.pop())
    cell.outputs = [output for output in map(without_kernel, cell.outputs) if output] if "output" in parts else []
    for output in cell.outputs:
        if "text" in output:
            output.text = output.text.replace("No answer given yet. It is:", "The answer:")
    cell.metadata["transient"] = {"remove_source": "code" not in parts}
    return _marked(cell, mark)


def _marked(cell: NotebookNode, mark: str) -> NotebookNode:
    cell.metadata["slideshow"] = {"slide_type": mark}
    return cell


# Pages


def slides(notebook: NotebookNode, title: str, addresses: dict[str, str]) -> str:
    """The page with the slides. `addresses`: where reveal.js and MathJax are found."""
    look = {"extra_template_paths": [str(PAGES)], "template_file": "slides.html.j2", "exclude_input_prompt": True, "exclude_output_prompt": True}
    exporter = SlidesExporter(**look)
    return exporter.from_notebook_node(deck(notebook), {"metadata": {"name": title}, "addresses": addresses})[0]


def copy(folder: Path) -> dict[str, str]:
    """The scripts that slides need, beside them; their addresses."""
    for name, parts in LOCAL.items():
        for part in parts:
            (folder / name / part).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(assets.package(name) / part, folder / name / part)
    return {name: f"{folder.name}/{name}" for name in LOCAL}


def command(lectures: Annotated[list[str] | None, typer.Argument(metavar="[NN]...", help="05, 10, ...; all lectures unless given")] = None,
            out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="where to put them; build/slides of the checkout unless given")] = None,
            cdn: Annotated[bool, typer.Option("--cdn", help="one small file that fetches its scripts when it is opened")] = False,
            execute: Annotated[bool, typer.Option(help="run the lectures, or take them as they are saved")] = True,
            jobs: Annotated[int | None, typer.Option(min=1, help="lectures run at the same time; all cores unless given")] = None) -> None:
    """Make slides of a lecture, for a browser: figures, formulas, questions and claims on the screen, the prose as notes (press S).

    They need no network: what they use lies in `scripts/` beside them, so copy the folder as a whole. The lecture is run first, and again only
    when it or the library has changed. Arrow keys go on, `Esc` shows all slides, and `?print-pdf` at the end of the address prints them.
    """
    checkout = root(Path.cwd())
    names = {path.stem: path.stem.partition("-")[0] for path in (checkout / "lectures").glob("*.ipynb")}
    wanted = chosen(checkout / "lectures", [names.get(Path(lecture).stem, lecture) for lecture in lectures or []])
    files = [path.relative_to(checkout) for path in wanted]
    folder = (out or checkout / "build" / "slides").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    addresses = ELSEWHERE if cdn else copy(folder / "scripts")
    notebooks = {file: nbformat.read(checkout / file, 4) for file in files}
    if execute:
        executed(notebooks, checkout / "build" / "site" / "executed", jobs or os.cpu_count() or 1)
    for file, notebook in notebooks.items():
        page = folder / f"{file.stem}.html"
        title = re.match(r"# (.*)|", notebook.cells[0].source)[1] or file.stem
        try:
            page.write_text(slides(notebook, title, addresses), encoding="utf-8")
        except ValueError as error:
            raise ValueError(f"{file.as_posix()}: {error}") from error
        print(page)
