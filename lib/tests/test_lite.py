"""Notebooks in the browser: made of checked parts, they ask nothing of the network, and run lectures 1 and 5 and a check of a homework."""
import hashlib
import http.server
import json
import re
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

from metrized.teach import assets, lite, site

ROOT = Path(__file__).parents[2]
NOTEBOOKS = [Path(name) for name in ("lectures/01-quadratics.ipynb", "lectures/05-dual-norms.ipynb", "homework/hw1.ipynb")]
CHROMIUMS_OWN = {"content-autofill.googleapis.com:443"}
"""What Chromium asks by itself whatever the page is: how to fill in a form."""
IN_A_BROWSER = """
import sys
import IPython.display, ipywidgets, matplotlib.figure, multiprocessing, numpy  # Pyodide has these
sys.modules |= dict.fromkeys(("_multiprocessing", "joblib", "lzma", "pooch", "requests", "ssl", "sqlite3"))
sys.platform = "emscripten"

import importlib, pkgutil
import metrized
for module in pkgutil.walk_packages(metrized.__path__, "metrized."):
    if not module.name.startswith("metrized.teach"):
        importlib.import_module(module.name)

from metrized import data, sweeps
def square(n):
    return {"square": n * n}
assert all(map(data.load, data.SHIPPED))
assert sweeps.column(sweeps.sweep(square, sweeps.grid(n=range(3)), jobs=2, progress=False), "square") == [0, 1, 4]
try:
    data.load("mnist")
except data.DownloadError as error:
    assert "fashion" in str(error)
"""


# Parts


def test_the_library_needs_nothing_that_a_browser_lacks():
    """No processes, no pooch, no lzma: all of it but teach/ is imported, shipped data are read, a sweep runs, a download is refused with a remedy."""
    subprocess.run([sys.executable, "-c", IN_A_BROWSER], check=True)


def test_a_lock_is_cut_to_what_is_needed():
    """All that something depends on comes along, once, however its name is written; nothing else does."""
    lock = {"a": ["b_c"], "b-c": ["d.e", "a"], "d-e": [], "f": ["a"]}
    packages = {name: {"depends": depends} for name, depends in lock.items()}
    assert lite.needed(packages, ["a"]) == {name: packages[name] for name in ("a", "b-c", "d-e")} and lite.needed(packages, []) == {}


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A Pyodide with a lock that knows one package, and an archive with that package and another."""
    core = tmp_path / "core"
    core.mkdir()
    for name in lite.CORE:
        (core / name).write_text(name)
    packages = {"one": {"name": "one", "file_name": "one-1.whl", "sha256": hashlib.sha256(b"one").hexdigest(), "depends": []}, "two": {"depends": []}}
    (core / "pyodide-lock.json").write_text(json.dumps({"info": {}, "packages": packages}))
    monkeypatch.setattr(assets, "package", lambda name: core)
    monkeypatch.setattr(lite, "WITH_PYODIDE", ("one",))
    return tmp_path


def archive(folder: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(folder / "archive.whl", "w") as packed:
        for name, content in files.items():
            packed.writestr(f"somewhere/{name}-1.whl", content)
    return folder / "archive.whl"


def test_only_what_the_lock_knows_comes_into_the_site(parts):
    own = parts / "comm-3-py3-none-any.whl"
    own.write_bytes(b"own")
    lite.pyodide(parts / "out", archive(parts, one=b"one", two=b"two"), {"comm": own})
    assert {path.name for path in (parts / "out").iterdir()} == {*lite.CORE, "one-1.whl", own.name, "pyodide-lock.json"}
    packages = json.loads((parts / "out" / "pyodide-lock.json").read_text())["packages"]
    assert packages.keys() == {"one", "comm"} and packages["comm"]["version"] == "3"
    assert packages["comm"]["sha256"] == hashlib.sha256(b"own").hexdigest()


def test_a_tampered_file_is_refused(parts):
    with pytest.raises(lite.Tampered, match="one-1.whl is not the file"):
        lite.pyodide(parts / "out", archive(parts, one=b"One"), {})
    assert not (parts / "out" / "one-1.whl").exists()


def test_a_missing_file_is_named(parts):
    with pytest.raises(FileNotFoundError, match="archive.whl has no one-1.whl"):
        lite.pyodide(parts / "out", archive(parts, two=b"two"), {})


def test_parts_that_cannot_be_had_are_an_error_where_they_are_asked_for_and_a_line_where_not(monkeypatch, capsys):
    def nothing(name):
        raise OSError(f"could not fetch {name}")
    monkeypatch.setattr(assets, "wheel", nothing)
    with pytest.raises(OSError, match="could not fetch"):
        lite.fetched(required=True)
    assert lite.fetched() is False
    (line,) = capsys.readouterr().err.splitlines()
    assert "could not fetch" in line and "--no-lite" in line


def test_a_page_leads_to_its_notebook_only_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "mathjax", lambda static: None)
    monkeypatch.setattr(lite, "fetched", lambda required: True)
    for asked in (None, False):
        course = site.write(ROOT, tmp_path / "site", NOTEBOOKS[:1], 1, run=False, lite=asked)
        pages = {file: (course.source / file).read_text(encoding="utf-8") for file in (NOTEBOOKS[0], NOTEBOOKS[2])}
        assert [f"../lite/{lite.PAGE}?path={file.as_posix()}" in page for file, page in pages.items()] == [asked is None] * 2


# The site


@pytest.fixture(scope="module")
def html(tmp_path_factory, fetched):
    """The website of the course with two lectures, which have not run, and with notebooks that can."""
    fetched(lite.fetched, required=True)
    fetched(assets.package, "mathjax")
    out = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        site.command(out=out, jobs=1, lectures=["01", "05"], execute=False, lite=True)
    return out / "html"


@pytest.mark.slow
def test_every_package_is_the_one_of_its_lock_and_pyodides_are_those_of_pyodide(html):
    folder = html / "lite" / lite.PYODIDE
    packages = json.loads((folder / "pyodide-lock.json").read_text())["packages"]
    published = json.loads((assets.package("pyodide") / "pyodide-lock.json").read_text())["packages"]
    for name, package in packages.items():
        assert hashlib.sha256((folder / package["file_name"]).read_bytes()).hexdigest() == package["sha256"]
        assert name in lite.PURE or package == published[name]
    assert {path.name for path in folder.iterdir()} == {*lite.CORE, "pyodide-lock.json", *(package["file_name"] for package in packages.values())}


@pytest.mark.slow
def test_what_the_browser_has_is_what_the_library_asks_for(html):
    """In the versions that it asks for; and what it lacks is what the library can do without."""
    packages = json.loads((html / "lite" / lite.PYODIDE / "pyodide-lock.json").read_text())["packages"]
    asked = {r.name: r for r in map(Requirement, tomllib.loads((ROOT / "lib" / "pyproject.toml").read_text())["project"]["dependencies"])}
    assert asked.keys() - packages.keys() == {"joblib", "pooch"} and {*lite.PURE["metrized"]} <= asked.keys()
    for name in asked.keys() & packages.keys():
        assert asked[name].specifier.contains(packages[name]["version"]), f"{asked[name]} is not {packages[name]['version']}"


@pytest.mark.slow
def test_the_site_fits_on_github_pages(html, record_property):
    """A site has at most 1 GB there, a file 100 MB; ours is far from that, as somebody will load it over a telephone."""
    sizes = [path.stat().st_size for path in (html / "lite").rglob("*") if path.is_file()]
    record_property("measured", f"notebooks in the browser: {sum(sizes) / 1e6:.0f} MB in {len(sizes)} files, the largest {max(sizes) / 1e6:.0f} MB")
    assert sum(sizes) < 80e6 and max(sizes) < 20e6
    assert not re.search("https?:", (html / "lite" / "jupyter-lite.json").read_text())


# In a browser


@pytest.fixture(scope="module")
def address(html, served):
    """The site on a server of this machine."""
    return served(html)


@pytest.fixture(scope="module")
def outside():
    """A proxy that refuses whatever it is asked for, and what that was: pages and all their workers reach other hosts by nothing else."""
    class Refusal(http.server.BaseHTTPRequestHandler):
        def refuse(self):
            asked.extend({self.path} - CHROMIUMS_OWN)
            self.send_error(403)

        def log_message(self, *args):
            pass
        do_GET = do_POST = do_HEAD = do_CONNECT = refuse
    asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


@pytest.fixture
def opened(browser, address, outside):
    """opened(notebook): the page that runs it, reached by the link on its page of the website, and the seconds until it can run.

    Nothing may have been asked of the outside.
    """
    proxy, asked = outside
    context = browser.new_context(viewport={"width": 1200, "height": 900}, proxy={"server": proxy, "bypass": "127.0.0.1"})

    def visit(notebook: Path):
        page = context.new_page()
        page.goto(f"{address}/{notebook.with_suffix('.html').as_posix()}")
        begun = time.monotonic()
        page.get_by_role("link", name="Run in your browser").click()
        page.wait_for_selector(".jp-Toolbar-kernelName:has-text('Pyodide')", timeout=60_000)  # before, it is idle with no kernel, and does not hear
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=120_000)
        return page, time.monotonic() - begun
    yield visit
    assert asked == []
    context.pages[0].evaluate("fetch('https://elsewhere.example/').catch(error => 0)")
    assert asked == ["elsewhere.example:443"], "the proxy would have seen it"
    asked.clear()
    context.close()


PROMPTS = """() => [...document.querySelectorAll('.jp-CodeCell')].filter(cell => cell.querySelector('.cm-content').innerText.trim())
                                                             .map(cell => cell.querySelector('.jp-InputPrompt').innerText)"""


def run_all(page) -> float:
    """Run all cells of a notebook; seconds until the last one is done. Whatever stopped it is the message of the error."""
    begun = time.monotonic()
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
    page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
    wrong = page.locator('.jp-OutputArea-output[data-mime-type*="error"]')
    while not all(re.search(r"\d", prompt) for prompt in page.evaluate(PROMPTS)):
        assert not wrong.count(), wrong.first.inner_text()
        assert time.monotonic() < begun + 240, f"after four minutes the prompts are {page.evaluate(PROMPTS)}"
        page.wait_for_timeout(200)
    assert not wrong.count(), wrong.first.inner_text()
    return time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.parametrize("lecture", NOTEBOOKS[:2], ids=lambda path: path.stem)
def test_a_lecture_runs_and_its_figure_follows_the_slider(lecture, opened, record_property):
    page, ready = opened(lecture)
    seconds = run_all(page)
    assert page.locator(".jp-OutputArea-output img").count() and page.get_by_text(re.compile("^holds  ")).count()
    assert page.locator('[data-mime-type="application/vnd.jupyter.stderr"]').all_inner_texts() == []
    handle = page.locator(".widget-slider:visible .noUi-handle").first
    handle.scroll_into_view_if_needed()
    image = handle.locator("xpath=ancestor::*[contains(@class, 'widget-vbox')][1]").locator(".widget-image")
    before, box = image.get_attribute("src"), handle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    begun = time.monotonic()
    page.mouse.move(box["x"] + 60, box["y"] + box["height"] / 2)
    page.wait_for_function("([image, before]) => image.src !== before && image.complete && image.naturalWidth", arg=[image.element_handle(), before])
    late = time.monotonic() - begun
    page.wait_for_function("image => image.naturalWidth >= 2 * image.width", arg=image.element_handle(), timeout=20_000)  # sharp, once it rests
    record_property("measured", f"{lecture}: Python in the browser {ready:.0f} s, all cells {seconds:.0f} s, a dragged slider's picture {late:.2f} s")


@pytest.mark.slow
def test_a_homework_is_checked(opened, record_property):
    """A wrong answer gets its hint, the right one its points."""
    page, ready = opened(NOTEBOOKS[2])
    seconds, begun = run_all(page), time.monotonic()
    cell = lambda text: page.locator(".jp-CodeCell", has=page.locator(".cm-content", has_text=text)).first
    solutions = [c.source for c in nbformat.read(ROOT / "solutions" / "hw1.ipynb", 4).cells]
    right = next(source for source in solutions if source.startswith("def converges("))
    assert "eigenvalues.max()" in right
    for answer, words in ((right.replace("max()", "min()"), "the largest curvature decides"), (right, "10 points")):
        cell("def converges(").locator(".cm-content").click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(answer)
        page.keyboard.press("Control+Enter")
        cell("check(converges)").locator(".cm-content").click()
        page.keyboard.press("Control+Enter")
        cell("check(converges)").get_by_text(words).wait_for(timeout=60_000)
    later = time.monotonic() - begun
    record_property("measured", f"{NOTEBOOKS[2]}: Python in the browser {ready:.0f} s, all cells {seconds:.0f} s, two answers checked {later:.0f} s")
