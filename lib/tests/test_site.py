"""The website: made of a course of one lecture, it is whole, asks nothing of the network, and runs a lecture only when it must."""
import json
import re
import shutil
from html import unescape
from pathlib import Path

import nbformat
import pytest

from metrized.live import Still
from metrized.teach import assets, site

BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/a/b/blob/main/{})"
LECTURE = (
    ("markdown", "# 1. Tiny: how small?\n\n" + BADGE.format("lectures/01-tiny.ipynb") + "\n\nLet $\\lVert w \\rVert$ be small, $a_1 = *b*$ too:\n\n"
                 "$$\\frac{\\lambda}{2}\\,\\lVert w\\rVert^2 .$$\n\n\\begin{align}x &= y\\\\ y &= z\\end{align}\n\n"
                 "See [the timeline](timeline.md), [the code](../lib/code.py), and [what follows](02-more.ipynb)."),
    ("code", "from metrized import figures, lesson\nfrom metrized.live import live\nopen({runs!r}, 'a').write('x')\n"
             "lesson.claim('one | $less$ *two* √2', -1, (-2, 0))"),
    ("markdown", "## A figure"),
    ("code", "live(step_size=(0.0, 2.3))(figures.parabola)"),
    ("code", "predict = lesson.Quiz()\nguess = predict('Is it a gnu?', ['perhaps', 'no'])\nguess"),
    ("code", "guess.score('perhaps')"),
    ("code", "lesson.show(lesson._number)"),
    ("markdown", "## Sources\n\nNone."),
)
HOMEWORK = (("markdown", "# Homework 1: nothing\n\n" + BADGE.format("homework/hw1.ipynb") + "\n\nReturn $x^2$."),
            ("code", "open({runs!r}, 'a').write('homework')\nraise NotImplementedError  # your code goes here"))
SOLUTION = (*HOMEWORK[:1], ("code", "answer = 'secret'"))


def notebook(cells, **words) -> str:
    new = {"markdown": nbformat.v4.new_markdown_cell, "code": lambda source, id: nbformat.v4.new_code_cell(source.format(**words), id=id)}
    made = [new[kind](source, id=f"c-{i}") for i, (kind, source) in enumerate(cells)]
    python = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}
    return nbformat.writes(nbformat.v4.new_notebook(cells=made, metadata=python))


def course(folder: Path, lecture=LECTURE) -> Path:
    """A checkout with one lecture, which leaves a mark in the file `runs` each time that it runs."""
    runs = str(folder / "runs")
    files = {
        "README.md": f"# Tiny course\n\n![A drift](lib/drift.png)\n\n[The lecture](lectures/01-tiny.ipynb) {BADGE.format('lectures/01-tiny.ipynb')}, "
                     "[licence](LICENSE), [solutions](solutions), [below](#below)\n\n## Below\n\n```\nmake lab\n```\n",
        "LICENSE": "MIT", "lib/code.py": "", "lib/pyproject.toml": '[project]\nurls.Repository = "https://github.com/a/b"\n',
        "lib/metrized/teach/instructors.md": "# For teachers\n\n[Course](../../../README.md), [lecture](../../../lectures/01-tiny.ipynb#sources)\n",
        "lectures/01-tiny.ipynb": notebook(lecture, runs=runs), "lectures/02-more.ipynb": notebook([("markdown", "# 2. More")]),
        "lectures/timeline.md": "# A timeline\n\n![A drift](../lib/drift.png)\n\n| year | lecture |\n|---|---|\n| 1847 | [1](01-tiny.ipynb) |\n",
        "homework/hw1.ipynb": notebook(HOMEWORK, runs=runs), "solutions/hw1.ipynb": notebook(SOLUTION)}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    shutil.copy(site.PACKAGE / "results" / "drift.png", folder / "lib")
    return folder


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A course in an empty folder, which is the current one. No MathJax."""
    monkeypatch.chdir(course(tmp_path / "checkout"))
    monkeypatch.setattr(site, "mathjax", lambda static: None)
    return tmp_path / "checkout"


@pytest.fixture(scope="module")
def made(tmp_path_factory, fetched):
    """A course of one lecture and its site."""
    fetched(assets.package, "mathjax")
    checkout = course(tmp_path_factory.mktemp("course"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout / "lib")
        site.command(jobs=1, lectures=["1"], lite=False)
    return checkout


@pytest.fixture(scope="module")
def html(made):
    return made / "build" / "site" / "html"


def prose(page: Path) -> str:
    """What a page says, without code and without what is not shown."""
    text = re.sub(r"<(pre|code|script|style|dialog)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.S)
    return unescape(re.sub(r"<[^>]*>", "", text))


# Pages


def test_links_inside_the_checkout_become_pages_or_lead_to_the_repository(checkout):
    it = site.write(checkout, checkout / "build", [Path("lectures/01-tiny.ipynb")], 1, run=False)
    there = "https://github.com/a/b/blob/main/"
    assert it.text("[a](01-tiny.ipynb#x) [b](../README.md) [c](../lib/code.py) [d](02-more.ipynb#y)", Path("lectures/timeline.md")) == (
        f"[a](01-tiny.ipynb#x) [b](../index.md) [c]({there}lib/code.py) [d]({there}lectures/02-more.ipynb#y)")
    assert it.text("[a](../../../README.md#b) [c](https://c.org) [d](#e) [f](none.md)", Path("lib/metrized/teach/instructors.md")) == (
        "[a](index.md#b) [c](https://c.org) [d](#e) [f](none.md)")
    assert it.text("[![In Colab](https://c.org/x.svg)](https://c.org)", Path("README.md")) == "[In Colab](https://c.org)"
    assert it.text("![p](../lib/drift.png)", Path("lectures/timeline.md")) == "![p](../lib/drift.png)" and (it.source / "lib/drift.png").exists()


def test_solutions_only_when_asked_for(checkout):
    for asked in (False, True):
        it = site.write(checkout, checkout / "build", [], 1, run=False, solutions=asked)
        assert ("solutions/hw1" in (it.source / "index.md").read_text().partition("toctree")[2]) == asked
        assert (it.source / "solutions").exists() == asked


def test_a_lecture_that_is_not_run_has_no_outputs_and_the_page_of_claims_says_why(checkout):
    it = site.write(checkout, checkout / "build", [Path("lectures/01-tiny.ipynb")], 1, run=False)
    assert not (checkout / "runs").exists() and not any(c.get("outputs") for c in nbformat.read(it.source / "lectures/01-tiny.ipynb", 4).cells)
    assert "no lecture was run" in (it.source / "claims.md").read_text()


def test_a_cell_keeps_what_shows_without_a_kernel():
    picture = Still(b"png", 700, "a dot")._repr_mimebundle_()
    view = {site.VIEW: {"model_id": "a"}}
    outputs = [nbformat.v4.new_output("display_data", {**view, **picture[0]}, metadata=picture[1]),
               nbformat.v4.new_output("display_data", {**view, "text/plain": "HBox(...)"}), nbformat.v4.new_output("stream", text="said")]
    cell = site.code(nbformat.v4.new_code_cell("live()", outputs=outputs), "https://colab")
    assert [set(o.get("data", {"said"})) for o in cell.outputs] == [{"image/png", "text/plain"}, {"said"}]
    assert cell.metadata["mystnb"]["image"]["alt"] == "a dot" and "https://colab" in cell.metadata["mystnb"]["figure"]["caption"]
    question = nbformat.v4.new_output("execute_result", {**view, "text/markdown": "**Predict.** gnu?", "text/plain": "Predict. gnu?"})
    assert site.code(nbformat.v4.new_code_cell("g", outputs=[question]), "").metadata["tags"] == ["question"]
    assert site.code(nbformat.v4.new_code_cell("g.score(2)"), "").metadata["tags"] == ["hide-output"]


# Links


def test_every_fault_of_a_link_is_found(tmp_path):
    good = ('<a href="b.html#c">b</a><a href="https://d.org">d</a><a href="#top" id="top">t</a>'
            '<img src="data:image/png;base64,aa"><img src="e%20f.png">')
    (tmp_path / "a.html").write_text(good)
    (tmp_path / "b.html").write_text('<h1 id="c">c</h1>')
    (tmp_path / "e f.png").touch()
    (tmp_path / "s.css").write_text("a { background: url(data:image/png;base64,aa) url('e f.png') }")
    assert site.faults(tmp_path) == []
    bad = ('<a href="g.html">', '<a href="b.html#h">', '<a href="#i">', '<img src="j.png">', '<img src="https://k.org/l.png">',
           '<script src="//m.org/n.js">', '<link rel="stylesheet" href="https://o.org/p.css">', '<iframe src="https://q.org">',
           '<object data="http://r.org">')
    for tag in bad:
        (tmp_path / "a.html").write_text(good + tag)
        address = re.search('[^l]="([^"]*)">', tag)[1]
        assert [fault for fault in site.faults(tmp_path) if address in fault and fault.startswith("a.html")], tag
    (tmp_path / "a.html").write_text(good)
    for style in ("@import 'https://s.org/t.css';", "a { src: url(//u.org/v.woff) }"):
        (tmp_path / "s.css").write_text(style)
        assert len(site.faults(tmp_path)) == 1, style


# What runs


def test_a_folder_that_holds_something_else_is_left_alone(checkout, metrized, capsys):
    (checkout / "html").mkdir()
    assert metrized("site", "--out", checkout) == 1
    assert "--out" in capsys.readouterr().err and (checkout / "html").exists()


def test_only_lectures_that_are_there(checkout, metrized, capsys):
    assert metrized("site", "--lectures", "07") == 1
    assert "07" in capsys.readouterr().err and not (checkout / "build").exists()


@pytest.mark.slow
@pytest.mark.parametrize("failing, words", [("lesson.claim('it', 3, (0, 1))", "FAILS  it: 3  in [0, 1]"), ("import os\nos._exit(1)", "Kernel died")])
def test_a_lecture_that_fails_is_named_with_its_cell(failing, words, tmp_path, monkeypatch, metrized, capsys):
    monkeypatch.chdir(course(tmp_path, (*LECTURE[:3], ("code", failing))))
    assert metrized("site", "--no-lite", "--jobs", "1") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("metrized: lectures/01-tiny.ipynb, cell 4 fails with ") and words in last
    assert not (tmp_path / "build" / "site" / "html").exists()


@pytest.mark.slow
def test_only_what_has_changed_runs_again(checkout, monkeypatch):
    """Another word in the prose is nothing to run again; other code is, and another library."""
    runs, cache = checkout / "runs", checkout / "cache"

    def outputs(lecture):
        made = nbformat.reads(notebook(lecture, runs=str(runs)), 4)
        site.executed({Path("01"): made, Path("02"): nbformat.v4.new_notebook(cells=[])}, cache, 1)
        return [cell.outputs for cell in made.cells if cell.cell_type == "code"]
    assert outputs(LECTURE[:2]) == outputs((("markdown", "# Another title"), LECTURE[1])) and runs.read_text() == "x"
    assert len(outputs((*LECTURE[:2], ("code", "print(2)")))) == 2 and runs.read_text() == "xx"
    monkeypatch.setattr(site, "ground", lambda *without: "another")
    assert outputs(LECTURE[:2])[0][0].text.startswith("holds") and runs.read_text() == "xxx"


def test_a_lecture_depends_on_the_library_and_not_on_the_teachers_part_of_it(tmp_path, monkeypatch):
    for place in ("norms.py", "results/a.json", "check/hw1.py", "teach/site.py"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    monkeypatch.setattr(site, "PACKAGE", tmp_path)
    names = [(site.ground("teach", "check"), site.ground("teach"))]
    for place in ("norms.py", "results/a.json", "check/hw1.py", "teach/site.py"):
        (tmp_path / place).write_text("changed")
        names.append((site.ground("teach", "check"), site.ground("teach")))
    lecture, solution = zip(*names, strict=True)
    assert len(set(lecture[:3])) == 3 and len(set(lecture[2:])) == 1 and len(set(solution[:4])) == 4 and solution[3] == solution[4]


# The site


@pytest.mark.slow
def test_every_link_leads_somewhere_and_nothing_comes_from_outside(html):
    assert site.faults(html) == [] and len(list(html.glob("**/*.html"))) >= 7
    assert (html / "_static" / "mathjax" / "tex-chtml-full.js").exists() and 'src="_static/mathjax' not in (html / "index.html").read_text()
    assert 'src="../_static/mathjax/tex-chtml-full.js' in (html / "lectures/01-tiny.html").read_text()


@pytest.mark.slow
def test_every_page_has_a_title_and_the_whole_navigation(html):
    for page in [page for page in html.rglob("*.html") if "_static" not in page.parts]:
        text = page.read_text()
        assert re.search(r"<title>[^<]{5,}</title>", text) and (page.name == "search.html" or text.count("<h1") >= 1), page
        captions = re.findall(r'class="caption-text">([^<]*)', text.partition("bd-docs-nav")[2].partition("</nav>")[0])
        assert captions == ["Lectures", "Homework", "More"], page
        for title in ("1. Tiny: how small?", "Homework 1: nothing", "Claims", "For instructors", "Timeline"):
            assert f">{title}</a>" in text, (page, title)


@pytest.mark.slow
def test_formulas_are_formulas_and_no_dollar_is_left(html):
    lecture = (html / "lectures/01-tiny.html").read_text()
    assert len(re.findall(r'<(?:span|div) class="[^"]*\bmath ', lecture)) == 4 and r"\(\lVert w \rVert\)" in lecture and r"\(a_1 = *b*\)" in lecture
    assert r"\[\frac{\lambda}{2}\,\lVert w\rVert^2 .\]" in lecture and r"\[\begin{align}x &amp;= y\\ y &amp;= z\end{align}\]" in lecture
    assert r"\(x^2\)" in (html / "homework/hw1.html").read_text()
    for page in html.glob("[lh]*/*.html"):
        assert "$" not in prose(page), page


@pytest.mark.slow
def test_figures_are_stills_with_words_and_their_size(html):
    images = re.findall(r'<img [^>]*src="../_images/[^>]*>', (html / "lectures/01-tiny.html").read_text())
    assert len(images) == 1 and 'alt="A parabola' in images[0] and "700" in images[0]
    name = re.search(r"_images/([^\"]*)", images[0])[1]
    assert (html / "_images" / name).read_bytes().startswith(b"\x89PNG") and (html / "_images" / "drift.png").exists()
    assert site.VIEW not in (html / "lectures/01-tiny.html").read_text()


@pytest.mark.slow
def test_questions_stand_there_and_answers_wait(html):
    lecture = (html / "lectures/01-tiny.html").read_text()
    assert re.search(r"<p><strong>Predict\.</strong> Is it a gnu\?</p>\s*<ul[^>]*>\s*<li><p>perhaps</p></li>\s*<li><p>no</p></li>", lecture)
    assert re.search(r"<details class=(?:(?!</details>).)*Show the answer(?:(?!</details>).)*No answer given yet", lecture, re.S)
    assert "<details open" not in lecture
    assert '<span class="nf">_number</span>' in lecture, "the library's source in the colours of the page"


@pytest.mark.slow
def test_claims_lead_to_their_cells(html):
    row = re.search(r'<td>.*?href="lectures/01-tiny.html#([^"]*)".*?</tr>', (html / "claims.html").read_text(), re.S)
    words = [" ".join(unescape(re.sub("<[^>]*>", "", cell)).split()) for cell in re.findall(r"<td>.*?</td>", row[0], re.S)]
    assert words == ["one | $less$ *two* √2", "-1", "[-2, 0]"]
    cell = (html / "lectures/01-tiny.html").read_text().partition(f'id="{row[1]}"')[2]
    assert "holds  one" in unescape(re.sub("<[^>]*>", "", cell.partition("A figure")[0]))


@pytest.mark.slow
def test_homework_is_not_run_and_not_solved(made, html):
    assert (made / "runs").read_text() == "x", "the lecture ran once, the homework never"
    assert "NotImplementedError" in (html / "homework/hw1.html").read_text() and not (html / "solutions").exists()
    assert not any("secret" in page.read_text() for page in html.rglob("*.html"))


@pytest.mark.slow
def test_colab_and_the_notebook_itself_are_a_click_away(made, html):
    for name in ("lectures/01-tiny", "homework/hw1"):
        page = (html / f"{name}.html").read_text()
        assert page.count(f'href="https://colab.research.google.com/github/a/b/blob/main/{name}.ipynb"') >= 2, "a badge and a launch button"
        assert f'href="../_sources/{name}.ipynb"' in page
        assert json.loads((html / "_sources" / f"{name}.ipynb").read_text()) == json.loads((made / f"{name}.ipynb").read_text())


@pytest.mark.slow
def test_it_can_be_searched_and_has_a_dark_mode(html):
    assert "gnu" in (html / "searchindex.js").read_text() and (html / "search.html").exists()
    assert "theme-switch-button" in (html / "index.html").read_text()
    assert re.search(r'html\[data-theme="dark"\][^}]*img', (html / "_static/course.css").read_text())


@pytest.mark.slow
def test_nothing_is_written_beside_the_site(made):
    assert {path.name for path in made.iterdir()} == {"README.md", "LICENSE", "lib", "lectures", "homework", "solutions", "runs", "build"}
    assert [path.name for path in (made / "build").iterdir()] == ["site"]
    assert {path.name for path in (made / "build" / "site").iterdir()} == {"executed", "html"}


@pytest.mark.slow
def test_in_a_browser_nothing_is_asked_of_the_outside(html, browser, served):
    """Formulas are set, the search finds a word, the switch darkens; from a server and from plain files (where a page may not quote another)."""
    outside, wrong = [], []

    def allow(route):
        if inside := route.request.url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()
        return inside
    for base in (served(html), html.as_uri()):
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.route("**/*", allow)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{base}/lectures/01-tiny.html")
        page.wait_for_function("document.querySelectorAll('mjx-container').length == 4", timeout=20_000)
        assert not page.locator("mjx-merror").count() and page.locator(".cell_output img").evaluate("image => image.naturalWidth") == 1400
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, "wider than a phone"
        paper = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(paper)
        page.locator(".theme-switch-button").click()
        page.locator(".theme-change-button[data-mode=dark]").click()
        page.wait_for_function(f"light => {paper} != light", arg=light, timeout=5000)
        page.goto(f"{base}/search.html?q=tiny")
        page.wait_for_selector("#search-results li a", timeout=20_000)
        result = page.locator("#search-results li", has=page.locator("a[href*='01-tiny']")).first
        assert result.locator("a").first.inner_text().startswith("1. Tiny")
        assert base.startswith("file") or result.locator(".context").inner_text(timeout=5000).lstrip(".").startswith("1.")
        page.close()
        assert outside == [] and set(wrong) <= ({"Failed to fetch"} if base.startswith("file") else set())
