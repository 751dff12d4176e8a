"""Slides: what is marked is where it belongs, the prose is the speaker's, and nothing is fetched when they are opened."""
import json
import re
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from metrized.teach import slides
from metrized.teach.site import VIEW
from metrized.teach.slides import ELSEWHERE, WORDS, deck, shortened

ROOT = Path(__file__).parents[2]


def marked(cell, mark):
    cell.metadata["slideshow"] = {"slide_type": mark}
    return cell


def lecture():
    """A lecture of six cells that has run."""
    picture = new_output("display_data", {"image/png": "iVBORw0KGgo=", VIEW: {"model_id": "0"}, "text/plain": "."})
    said = new_output("stream", name="stdout", text="No answer given yet. It is: 4.\nholds  x: 4  in [3, 5]\n")
    badge = "[![Open in Colab](https://c/badge.svg)](https://c/x)"
    opening = f"# Bowls\n\n{badge}\n\nA first sentence. A second one, with more.\n\n## Next\n\nHere is\n\n$$a^2 = 4$$"
    cells = [marked(new_markdown_cell(opening), "slide"),
             marked(new_code_cell("import metrized"), "skip"),
             marked(new_code_cell('guess = predict("How many?")\nguess'), "subslide"),
             marked(new_code_cell("guess.score(4)", outputs=[said]), "subslide"),
             marked(new_markdown_cell("All of this is spoken. It shows nothing."), "notes"),
             marked(new_code_cell("live(x=(0, 1))(figures.bowl)", outputs=[picture]), "-"),
             marked(new_code_cell("a = 1 + 1"), "fragment")]
    return new_notebook(cells=cells)


def test_a_heading_inside_a_cell_begins_a_slide_and_prose_is_said():
    cells = deck(lecture()).cells
    kinds = [(cell.metadata["slideshow"]["slide_type"], cell.source) for cell in cells]
    assert [mark for mark, _ in kinds] == ["slide", "notes", "slide", "subslide", "subslide", "notes", "-", "fragment"]
    assert kinds[0][1] == "# Bowls\n\nA first sentence." and kinds[1][1] == "A first sentence. A second one, with more."
    assert kinds[2][1] == "## Next\n\nHere is\n\n$$a^2 = 4$$" and not any("metrized" in source or "badge" in source for _, source in kinds)


def test_what_comes_out_is_shown_and_code_only_where_it_is_the_point():
    by = {cell.source.split("(")[0]: cell for cell in deck(lecture()).cells if cell.cell_type == "code"}
    hidden = {name: cell.metadata["transient"]["remove_source"] for name, cell in by.items()}
    assert hidden == {"guess = predict": True, "guess.score": True, "live": True, "a = 1 + 1": False}
    assert by["guess.score"].outputs[0].text.startswith("The answer: 4.") and set(by["live"].outputs[0].data) == {"image/png", "text/plain"}


def test_prose_is_shortened_to_sentences_and_formulas_are_not():
    paragraphs = [f"Sentence {i} has these words in it and some more. The rest of it is said." for i in range(20)]
    rest = "$$x$$\n\n| a |\n|---|\n\n* a point\n\n1. another"
    short = shortened("\n\n".join([*paragraphs, rest]))
    assert len(re.findall(r"\w+", short)) < WORDS + 30 and "The rest" not in short and short.endswith(rest)


def test_every_lecture_keeps_to_what_a_slide_holds():
    """Of each piece between two breaks: a hundred and fifty words of prose at most, lists aside."""
    for path in sorted((ROOT / "lectures").glob("*.ipynb")):
        notebook = new_notebook(cells=[new_code_cell(c["source"]) if c["cell_type"] == "code" else new_markdown_cell("".join(c["source"]))
                                       for c in json.loads(path.read_text())["cells"]])
        for cell, c in zip(notebook.cells, json.loads(path.read_text())["cells"], strict=True):
            cell.source, cell.metadata = "".join(c["source"]), c["metadata"]
        words, worst = 0, 0
        for cell in deck(notebook).cells:
            mark = cell.metadata["slideshow"]["slide_type"]
            words = 0 if mark in ("slide", "subslide") else words
            if cell.cell_type == "markdown" and mark != "notes":
                words += len(re.sub(r"\$\$.*?\$\$|^([*|-]|\d+\.) .*$", "", cell.source, flags=re.S | re.M).split())
            worst = max(words, worst)
        assert worst <= 150, (path.name, worst)


def page(folder, addresses):
    (folder / "x.html").write_text(slides.slides(lecture(), "Bowls <1>", addresses), encoding="utf-8")
    return (folder / "x.html").read_text(encoding="utf-8")


def test_the_small_file_names_a_pinned_cdn_and_the_large_one_nothing(tmp_path):
    fetched = lambda text: re.findall(r'(?:src|href)="(https?:[^"]+)"', text)
    assert fetched(page(tmp_path, dict.fromkeys(ELSEWHERE, "scripts"))) == []
    assert all(address.startswith(tuple(ELSEWHERE.values())) for address in fetched(page(tmp_path, ELSEWHERE)))
    versions = {name: path.rpartition("-")[2].removesuffix(".tgz") for name, (path, _) in slides.assets.PACKAGES.items()}
    assert all(address.endswith(f"@{versions[name]}") for name, address in ELSEWHERE.items())
    assert "<title>Bowls &lt;1&gt;</title>" in page(tmp_path, ELSEWHERE)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium on PATH")
def test_slides_in_a_browser_without_a_network(tmp_path):
    """They open, formulas are set, a key goes on, notes stay off the screen, and every request is answered by the folder itself."""
    from playwright.sync_api import sync_playwright

    page(tmp_path, slides.copy(tmp_path / "scripts"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
    Thread(target=server.serve_forever, daemon=True).start()
    here, outside = f"http://127.0.0.1:{server.server_port}/", []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 720})
        tab.route("**", lambda route: route.continue_() if route.request.url.startswith(here) else (outside.append(route.request.url), route.abort()))
        tab.goto(f"{here}x.html")
        tab.wait_for_function("window.Reveal && Reveal.isReady()")
        assert tab.locator("h1").is_visible() and not tab.get_by_text("A second one").is_visible()
        tab.keyboard.press("ArrowRight")
        assert tab.locator("h2").is_visible() and tab.locator("section.present mjx-container svg").first.is_visible()
        seen = tab.evaluate("Reveal.getTotalSlides()")
        browser.close()
    server.shutdown()
    assert seen == 4 and outside == []


@pytest.mark.slow
def test_the_command(tmp_path, monkeypatch, metrized, capsys):
    monkeypatch.chdir(ROOT)
    assert metrized("slides", "01", "--out", tmp_path, "--cdn") == 0
    text = (tmp_path / "01-quadratics.html").read_text(encoding="utf-8")
    assert text.count("image/png") + text.count("data:image/png") >= 4 and "widget-view" not in text and "holds  " in text
    assert metrized("slides", "99") == 1 and "01" in capsys.readouterr().err
