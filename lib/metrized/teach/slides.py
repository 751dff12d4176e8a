"""Slides from a lecture: what carries the thought goes on the screen, and the lecture's prose becomes the speaker's notes.

A cell's mark (Jupyter's own, metadata.slideshow.slide_type) says where it goes: slide and subslide begin one, `-` adds to it, fragment comes
with the next key, notes are for the speaker, skip is for nobody. A heading inside a cell begins a slide as well.
"""
import os
import re
import shutil
from pathlib import Path
from typing import Annotated

import typer
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from . import assets
from .claims import chosen
from .release import root
from .site import executed, without_kernel

PAGES = Path(__file__).with_name("pages")
WORDS = 40
"""Of a cell's prose that many words are shown, and then sentences stop."""
RESULT = re.compile(r"^(predict|show|live|still|moving|own|sliced|claim|guess|\w*[Qq]uiz|\w+\s*=\s*(predict|live)\()\b", re.M)
"""Cells of which the audience sees what comes out, and not the code."""
LOCAL = {"reveal.js": ("dist", "plugin/notes"), "mathjax": ("es5/tex-svg-full.js",)}
ELSEWHERE = {"reveal.js": "https://cdn.jsdelivr.net/npm/reveal.js@4.6.1", "mathjax": "https://cdn.jsdelivr.net/npm/mathjax@3.2.2"}


def deck(notebook: NotebookNode) -> NotebookNode:
    """A lecture that has run, as a deck: cells are split at headings, shortened for the screen, and followed by what the speaker says."""
    cells = []
    for cell in notebook.cells:
        mark = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        if mark == "skip":
            continue
        if cell.cell_type == "code":
            cells.append(_code(cell, mark))
        else:
            for part in re.split(r"^(?=#{1,3} )", cell.source, flags=re.M):
                if part.strip():
                    cells += _prose(part, "slide" if part.startswith("#") else mark)
    notebook.cells = cells
    return notebook


def _prose(text: str, mark: str) -> list[NotebookNode]:
    """The cells of a piece of prose: its short form under its mark, and the whole for the speaker."""
    text = re.sub(r"\[!\[Open in Colab\].*?\)\]\(.*?\)\n*", "", text)
    heading, said = re.match(r"(#{1,3} .*)?\s*([\s\S]*)", text.strip()).groups()
    short = shortened(said)
    screen = [_marked(new_markdown_cell("\n\n".join(filter(None, [heading, short]))), mark)] if mark != "notes" else []
    return screen + ([_marked(new_markdown_cell(said), "notes")] if said != short or mark == "notes" else [])


def shortened(text: str) -> str:
    """What of a piece of prose goes on the screen: formulas, tables, lists, and first sentences as long as there is room."""
    kept, room = [], WORDS
    for block in re.split(r"\n\s*\n", text.strip()):
        if block.startswith(("|", "$$", ">", "```")) or re.match(r"([-*]|\d+\.) ", block):
            kept.append(block)
        elif room > 0:
            sentences = re.split(r"(?<=[.?:])\s+(?=[A-Z*$(`])", block.replace("\n", " "))
            kept.append(sentences[0])
            room -= len(sentences[0].split())
    return "\n\n".join(kept)


def _code(cell: NotebookNode, mark: str) -> NotebookNode:
    """A code cell: figures as stills, and of claims, questions and figures only what comes out."""
    cell.outputs = [output for output in map(without_kernel, cell.outputs) if output]
    for output in cell.outputs:
        if "text" in output:
            output.text = output.text.replace("No answer given yet. It is:", "The answer:")
    cell.metadata["transient"] = {"remove_source": bool(RESULT.search(cell.source))}
    return _marked(cell, mark)


def _marked(cell: NotebookNode, mark: str) -> NotebookNode:
    cell.metadata["slideshow"] = {"slide_type": mark}
    return cell


def slides(notebook: NotebookNode, title: str, addresses: dict[str, str]) -> str:
    """The page with the slides. `addresses`: where reveal.js and MathJax are found."""
    exporter = SlidesExporter(extra_template_paths=[str(PAGES)], template_file="slides.html.j2")
    exporter.exclude_input_prompt = exporter.exclude_output_prompt = True
    return exporter.from_notebook_node(deck(notebook), {"metadata": {"name": title}, "addresses": addresses})[0]


def copy(folder: Path) -> dict[str, str]:
    """The scripts that slides need, beside them; their addresses."""
    for name, parts in LOCAL.items():
        for part in parts:
            here, there = assets.package(name) / part, folder / name / part
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(here, there, dirs_exist_ok=True) if here.is_dir() else shutil.copy(here, there)
    return {name: f"{folder.name}/{name}" for name in LOCAL}


def command(lectures: Annotated[list[str] | None, typer.Argument(metavar="[NN]...", help="05, 10, ...; all lectures unless given")] = None,
            out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="where to put them; build/slides of the checkout unless given")] = None,
            cdn: Annotated[bool, typer.Option("--cdn", help="one small file that fetches its scripts when it is opened")] = False,
            jobs: Annotated[int | None, typer.Option(min=1, help="lectures run at the same time; all cores unless given")] = None) -> None:
    """Make slides of a lecture, for a browser: figures, formulas, questions and claims on the screen, the prose as notes (press S).

    They need no network: what they use lies in `scripts/` beside them, so copy the folder as a whole. The lecture is run first, and again only
    when it or the library has changed. Arrow keys go on, `Esc` shows all slides, and `?print-pdf` at the end of the address prints them.
    """
    checkout = root(Path.cwd())
    files = [path.relative_to(checkout) for path in chosen(checkout / "lectures", lectures or [])]
    folder = (out or checkout / "build" / "slides").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    addresses = ELSEWHERE if cdn else copy(folder / "scripts")
    for file, notebook in sorted(executed(checkout, files, checkout / "build" / "executed", jobs or os.cpu_count() or 1).items()):
        title = re.search(r"^# (.*)", notebook.cells[0].source, re.M)[1]
        page = folder / f"{file.stem}.html"
        page.write_text(slides(notebook, title, addresses), encoding="utf-8")
        print(page)
