"""The website of the course: every lecture as it runs today, the homeworks, the timeline, and every claim with its value.

Three steps, each with a folder of its own: lectures are run (executed/, where each is kept until its code or the library changes), pages are written
for Sphinx (source/, which stays where something fails), and Sphinx makes the site (html/). Whatever a page needs lies in html/.
"""
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.metadata import version
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

import nbformat
import typer
from nbformat import NotebookNode

from ..cache import PACKAGE, library
from ..sweeps import sweep
from . import assets
from . import lite as browser
from .claims import chosen, claims_of, execute
from .release import root
from .retarget import Repository, present

WEBSITE = Path(__file__).with_name("website")
OTHERS = {Path("lib/metrized/teach/instructors.md"): ("For instructors", "instructors.md"),
          Path("lib/metrized/examples/cluster.md"): ("At full size", "cluster.md"),
          Path("lectures/timeline.md"): ("Timeline", "lectures/timeline.md")}
"""What is neither a notebook nor the README: what the navigation calls it, and its page."""
MATHJAX = ("tex-chtml-full.js", "output/chtml/fonts", "a11y", "sre")
"""What pages need of MathJax: TeX to HTML, its fonts, and what it loads for those who listen."""
SCRATCH = ("source", "runnable", "doctrees", "jupyter_execute")
VIEW = "application/vnd.jupyter.widget-view+json"


class NotebookFailed(ValueError):
    """A notebook does not run to its end."""


# Notebooks that have run


def ground(*without: str) -> str:
    """A name for what a notebook runs on: the library's files, save those folders, and the packages that decide what comes out."""
    return repr([*sys.version_info[:2], *map(version, ("numpy", "matplotlib", "ipywidgets")), library(PACKAGE, without)])


def run(code: list[str | None], library: str) -> dict:
    """{"outputs": those of each cell}, run in an empty folder. `code`: the cells, None for text. Raises NotebookFailed, which names the cell.

    `library` says what it runs on, and takes part only in the name under which the result is kept.
    """
    new, begun = nbformat.v4, []
    notebook = new.new_notebook(cells=[new.new_markdown_cell() if source is None else new.new_code_cell(source) for source in code])
    if error := execute(notebook, on_cell_start=lambda cell, cell_index: begun.append(cell_index + 1)):
        what = f"{getattr(error, 'ename', type(error).__name__)}: {getattr(error, 'evalue', error)}".splitlines()[0]
        raise NotebookFailed(f"cell {begun[-1]} fails with {what}") from error
    return {"outputs": [cell.get("outputs", []) for cell in notebook.cells]}


def executed(notebooks: dict[Path, NotebookNode], cache: Path, jobs: int) -> None:
    """Give notebooks their outputs: run now or, where neither code nor library changed since, before. Raises NotebookFailed for all that fail."""
    files = [*notebooks][::-1]  # the long ones are at the end: begin there
    codes = [[cell.source if cell.cell_type == "code" else None for cell in notebooks[file].cells] for file in files]
    plain, checking = ground("teach", "check"), ground("teach")
    points = [{"code": code, "library": checking if any("metrized.check" in (source or "") for source in code) else plain} for code in codes]
    rows = sweep(run, points, cache=cache, jobs=min(jobs, len(points)), progress="lectures")
    if failed := [f"{file.as_posix()}, {row['error'].partition(': ')[2]}" for file, row in zip(files, rows, strict=True) if "error" in row]:
        raise NotebookFailed("; ".join(failed[::-1]))
    for file, row in zip(files, rows, strict=True):
        for cell, outputs in zip(notebooks[file].cells, row["outputs"], strict=True):
            if cell.cell_type == "code":
                cell.outputs = [nbformat.from_dict(output) for output in outputs]


# Pages


def self_contained(markdown: str) -> str:
    """Markdown in which a picture from elsewhere is its words: to show it asks nothing of another server."""
    return re.sub(r"!\[([^\]]*)\]\(https?:[^)]*\)", r"\1", markdown)


def without_kernel(output: NotebookNode) -> NotebookNode | None:
    """An output for a page that has no kernel: no widgets, and the library's source in the colours of the page. None where nothing is left."""
    data = output.get("data", {})
    if data.pop(VIEW, None) and set(data) <= {"text/plain"}:
        return None
    if {"text/html", "text/latex"} <= set(data):
        output.data = {"text/markdown": f"~~~~~~python\n{data['text/plain']}\n~~~~~~"}
    return output


def code(cell: NotebookNode, colab: str, here: str | None = None) -> NotebookNode:
    """A code cell for a page that has no kernel. Figures have words for those who do not see them; answers stay shut until they are asked for.

    `colab` and, if there is one, `here` are the addresses of pages that have a kernel.
    """
    having = lambda *kinds: [o for o in cell.outputs if {*kinds} <= set(o.get("data", {}))]
    pictures, moving, questions = having("image/png"), having("image/png", VIEW), having("text/markdown", VIEW)
    cell.outputs = [output for output in map(without_kernel, cell.outputs) if output]
    if questions or ".score(" in cell.source and not pictures:
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), "question" if questions else "hide-output"]
    if pictures:
        cell.metadata["mystnb"] = {"image": {"alt": pictures[0].metadata.get("image/png", {}).get("alt", "figure")}}
    if moving:
        where = f"its sliders work {anchor(here, 'in your browser')} and [in Colab]({colab})" if here else f"[its sliders work in Colab]({colab})"
        cell.metadata["mystnb"]["figure"] = {"caption": f"A still of a figure that moves; {where}."}
    return cell


def anchor(address: str, words: str) -> str:
    """A link to a place of the site that Sphinx does not know."""
    return f'<a class="here" href="{address}">{words}</a>'


@dataclass(frozen=True)
class Course:
    """A checkout and the site that is made of it. `pages`: which of its files become pages, and where those lie in `source`.

    `runs`: whether the site also has its notebooks with a kernel that runs in the browser, in the folder lite/.
    """

    checkout: Path
    source: Path
    pages: dict[Path, str]
    repository: Repository
    runs: bool = False

    def put(self, place: str | Path, content: str | bytes) -> None:
        """Write a file of the source."""
        (self.source / place).parent.mkdir(parents=True, exist_ok=True)
        (self.source / place).write_bytes(content if isinstance(content, bytes) else content.encode())

    def link(self, target: str, file: Path) -> str:
        """What a link of a file becomes: another page, a picture, or what the repository has at that place; unchanged where nothing is there."""
        path, mark, anchor = target.partition("#")
        place = Path(os.path.normpath(file.parent / unquote(path)))
        if not (self.checkout / place).exists():
            return target
        if place.suffix == ".png":
            self.put(place, (self.checkout / place).read_bytes())
        elif place not in self.pages:
            return self.repository.link(place.as_posix()) + mark + anchor
        return Path(os.path.relpath(self.pages.get(place, place), Path(self.pages[file]).parent)).as_posix() + mark + anchor

    def text(self, markdown: str, file: Path) -> str:
        """Markdown of a file for its page: a picture from elsewhere becomes its words, and a link inside the checkout leads to a page."""
        return re.sub(r"(?<=\]\()(?!https?:|mailto:|#)[^()\s]+(?=\))", lambda match: self.link(match[0], file), self_contained(markdown))

    def page(self, file: Path) -> str:
        """The page of a file that is Markdown."""
        return self.text((self.checkout / file).read_text(encoding="utf-8"), file)

    def notebook(self, file: Path, notebook: NotebookNode) -> str:
        """The page of a notebook; a cell with claims has a name, so that the table of claims can lead there."""
        claiming, cells = {claim.cell for claim in claims_of(notebook)}, []
        here = f"../lite/{browser.PAGE}?path={file.as_posix()}" if self.runs else None
        for number, cell in enumerate(notebook.cells, 1):
            if number in claiming:
                cells.append(nbformat.v4.new_markdown_cell(f"({name(file, number)})=", id=name(file, number)))
            if cell.cell_type == "markdown":
                cell.source = self.text(cell.source, file)
            elif cell.cell_type == "code":
                cell = code(cell, self.repository.colab(file.as_posix()), here)
            cells.append(cell)
        if here:
            badge = f"]({self.repository.colab(file.as_posix())})"
            cells[0].source = cells[0].source.replace(badge, f"{badge} {anchor(here, 'Run in your browser')}\n\n{browser.said(file)}", 1)
        return nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata={k: v for k, v in notebook.metadata.items() if k != "widgets"}))


def runnable(checkout: Path, files: list[Path], folder: Path) -> None:
    """Write notebooks of a checkout into a folder, as they can be run by themselves: links lead to each other or to the repository."""
    alone = Course(checkout, folder, {file: file.as_posix() for file in files}, present(checkout))
    for file in files:
        notebook = nbformat.read(checkout / file, 4)
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = alone.text(cell.source, file)
        alone.put(file, nbformat.writes(notebook))


def name(file: Path, number: int) -> str:
    """What a link to a cell of a notebook calls it."""
    return f"{file.parent.name}-{file.stem}-{number}"


def tables(course: Course, lectures: dict[Path, NotebookNode]) -> str:
    """All claims, a table for each lecture, whose rows lead to the cells that compute them."""
    plain = lambda text: re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)  # Markdown takes a backslash away before these alone
    lines = []
    for file, notebook in lectures.items():
        rows = [f"| [{plain(claim.statement)}](#{name(file, claim.cell)}) | {plain(claim.value)} | {plain(claim.bounds)} |"
                for claim in claims_of(notebook) if claim.holds]
        title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
        lines += ["", f"## {title}", "", f"{len(rows)} claims, computed in [the lecture]({course.pages[file]}).", ""]
        lines += ["| claim | value | bounds |", "|---|---|---|", *rows] if rows else []
    return "\n".join(lines) + "\n"


def contents(sections: dict[str, list[str]]) -> str:
    """The navigation: sections, each with its pages."""
    return "".join(f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(pages) + "\n```\n" for title, pages in sections.items() if pages)


def mathjax(static: Path) -> None:
    """Put what pages need of MathJax into a folder of static files."""
    for part in MATHJAX:
        here, there = assets.package("mathjax") / "es5" / part, static / "mathjax" / part
        there.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if here.is_dir() else shutil.copy)(here, there)


# Links


class Page(HTMLParser):
    """What a page holds that links can be about: its `anchors`, the `links` that a reader may follow, and what it `fetches` by itself."""

    def __init__(self, path: Path):
        super().__init__()
        self.anchors, self.links, self.fetches = {""}, set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attributes = dict(attrs)
        self.anchors |= {attributes.get("id"), attributes.get("name")}
        places = self.links if tag in ("a", "area") else self.fetches
        places |= {attributes[key] for key in ("href", "src", "data", "poster") if attributes.get(key) is not None}


def faults(html: Path) -> list[str]:
    """What is wrong with a site, a line each: a link that leads nowhere in it, and what a page or a style sheet would fetch from elsewhere."""
    ours = lambda pattern: [path for path in sorted(html.rglob(pattern)) if path.relative_to(html).parts[0] not in ("_static", "lite")]
    pages, wrong = {path: Page(path) for path in ours("*.html")}, []
    for path, page in pages.items():
        for address in sorted(page.links | page.fetches):
            parts = urlsplit(address)
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            if parts.scheme or parts.netloc:
                if address in page.fetches and parts.scheme != "data":
                    wrong.append(f"{path.relative_to(html)} fetches {address}")
            elif not target.is_file() or target in pages and unquote(parts.fragment) not in pages[target].anchors:
                wrong.append(f"{path.relative_to(html)} links to {address}, and there is nothing")
    for path in [*ours("*.css"), *(html / "_static").rglob("*.css")]:
        outside = re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", path.read_text(encoding="utf-8"))
        wrong += [f"{path.relative_to(html)} fetches {address}" for address in outside]
    return wrong


# The site


def cleared(out: Path) -> Path:
    """`out`, with nothing of an earlier site left but what has run. Raises FileExistsError where it holds something else."""
    if out.exists() and any(out.iterdir()) and not (out / "executed").is_dir():
        raise FileExistsError(f"{out} holds something that is no site; give the site a folder of its own with --out")
    for part in (*SCRATCH, "html"):
        shutil.rmtree(out / part, ignore_errors=True)
    (out / "executed").mkdir(parents=True, exist_ok=True)
    return out


def write(checkout: Path, out: Path, lectures: list[Path], jobs: int, run: bool = True, solutions: bool = False, lite: bool | None = False) -> Course:
    """Write source/ from a checkout; `lectures`: which of them, below it; `lite`: whether notebooks run on the site, None: where they can.

    Raises NotebookFailed where `run` finds that one does not run, OSError where one is to run on the site and the parts for that cannot be had.
    """
    inside = lambda pattern: [path.relative_to(checkout) for path in sorted(checkout.glob(pattern))]
    sections = {"Lectures": lectures, "Homework": inside("homework/*.ipynb"), "Solutions": inside("solutions/*.ipynb") if solutions else []}
    notebooks = {file: nbformat.read(checkout / file, 4) for files in sections.values() for file in files}
    others = {file: other for file, other in OTHERS.items() if (checkout / file).exists()}
    pages = {file: file.as_posix() for file in notebooks} | {file: page for file, (_, page) in others.items()} | {Path("README.md"): "index.md"}
    course = Course(checkout, cleared(out) / "source", pages, present(checkout), lite is not False and browser.fetched(required=lite))
    if run:
        executed({file: notebooks[file] for file in [*lectures, *sections["Solutions"]]}, out / "executed", jobs)

    shutil.copytree(WEBSITE, course.source, ignore=shutil.ignore_patterns("__pycache__"))
    mathjax(course.source / "static")
    found = tables(course, {file: notebooks[file] for file in lectures}) if run else "\nFor this copy of the site no lecture was run.\n"
    course.put("claims.md", (WEBSITE / "claims.md").read_text(encoding="utf-8") + found)
    for file, notebook in notebooks.items():
        course.put(file, course.notebook(file, notebook))
    for file, (_, page) in others.items():
        course.put(page, course.page(file))
    navigation = {title: [file.as_posix() for file in files] for title, files in sections.items()}
    navigation["More"] = ["Claims <claims.md>", *(f"{title} <{page}>" for title, page in others.values())]
    course.put("index.md", course.page(Path("README.md")) + contents(navigation))
    return course


def make(course: Course, out: Path, jobs: int) -> None:
    """Make html/ of source/. Raises ValueError where Sphinx has as much as a warning, and where a link is at fault."""
    options = ["--builder", "html", "--fail-on-warning", "--quiet", "--jobs", str(jobs), "--doctree-dir", str(out / "doctrees")]
    where = {"url": course.repository.url, "branch": course.repository.branch}
    settings = [f"--define=html_theme_options.repository_{key}={value}" for key, value in where.items()]
    if subprocess.call([sys.executable, "-m", "sphinx", *options, *settings, str(course.source), str(out / "html")]):
        raise ValueError("Sphinx could not make the site; its own words are above")
    for file in course.pages:
        if file.suffix == ".ipynb":  # what a reader downloads is the notebook as the checkout has it
            shutil.copy(course.checkout / file, out / "html" / "_sources" / file)
    if course.runs:
        runnable(course.checkout, [file for file in course.pages if file.suffix == ".ipynb"], out / "runnable")
        browser.build(course.checkout, out / "runnable", out / "html" / "lite")
    if wrong := faults(out / "html"):
        raise ValueError("\n".join(["links of the site are at fault", *wrong]))
    for part in SCRATCH:
        shutil.rmtree(out / part, ignore_errors=True)


def command(out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="where to make it; build/site of the checkout unless given")] = None,
            jobs: Annotated[int | None, typer.Option(min=1, help="lectures run at the same time; all cores unless given")] = None,
            lectures: Annotated[list[str] | None, typer.Option(metavar="NN", help="01, 02, ...: only this lecture; again for another")] = None,
            execute: Annotated[bool, typer.Option(help="run the lectures, or leave them without figures and claims")] = True,
            solutions: Annotated[bool, typer.Option("--solutions", help="with the solutions of the homeworks")] = False,
            lite: Annotated[bool | None, typer.Option(help="notebooks that run in the browser; unless said, where that can be made")] = None) -> None:
    """Make the website of the course: lectures that have run, homeworks, all claims with their values, the timeline; and all notebooks to be run.

    Once it is made it needs nothing from the network: open `html/index.html`, or put `html/` on any web server, from where notebooks run too. A
    lecture is run again only when its code or the library has changed; the first time takes some minutes. A cell that fails is named, and then
    there is no site.
    """
    checkout, jobs = root(Path.cwd()), jobs or os.cpu_count() or 1
    wanted = [path.relative_to(checkout) for path in chosen(checkout / "lectures", lectures or [])]
    out = (out or checkout / "build" / "site").resolve()
    make(write(checkout, out, wanted, jobs, execute, solutions, lite), out, jobs)
    print(out / "html" / "index.html")
