"""Every notebook in a real JupyterLab and a real browser: it runs without an error, shows its figures, and every control moves its picture.

One server and one Chromium for all. Beside each moving figure of a lecture stands the same one as ipywidgets' interact draws it (redrawn.py), and
the time from a key press to the painted picture is told for both. Screenshots go to the folder METRIZED_SCREENSHOTS, if that is set.
"""
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import nbformat
import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

ROOT, HERE = Path(__file__).parents[2], Path(__file__).parent
NOTEBOOKS = [path.relative_to(ROOT) for folder in ("lectures", "homework") for path in sorted((ROOT / folder).glob("*.ipynb"))]
pytestmark = pytest.mark.slow

SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
}
SLOWEST = 1000
"""Milliseconds from key press to painted picture beyond which the test fails."""
PAUSE = 300
"""Milliseconds before a move, in which the last picture comes to rest, sharp: else it may be taken for the new one."""
MOVING = re.compile(r"(?<!import )\blive\(")
FRAGILE = """\
import time
from metrized.live import live

def fragile(fig):
    ax = fig.subplots()
    line, = ax.plot([0, 1], [0, 1])
    fig.moves = []

    def move(n):
        fig.moves.append(n)
        time.sleep(0.25)
        if n == 2:
            raise ValueError("two is too many")
        line.set_ydata([0, n])

    return move

figure = live(n=(0, 100, 0))(fragile)
before = len(figure.picture.fig.moves)
figure"""


# The server


def with_rivals(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook where each moving figure is followed by itself as interact draws it."""
    code = nbformat.v4.new_code_cell
    sources = [cell.source if cell.cell_type == "code" else "" for cell in notebook.cells]
    after = {i: code("redrawn()") for i, source in enumerate(sources) if MOVING.search(source)}
    if after:
        after[next(i for i, source in enumerate(sources) if re.search(r"import .*\blive\b", source))] = code("from redrawn import live, redrawn")
    notebook.cells = [twin for i, cell in enumerate(notebook.cells) for twin in ([cell, after[i]] if i in after else [cell])]
    return notebook


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address and token of a JupyterLab on a copy of the notebooks (Lab saves what it runs)."""
    home = tmp_path_factory.mktemp("lab")
    for path in NOTEBOOKS:
        (home / "course" / path).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(with_rivals(nbformat.read(ROOT / path, 4)), home / "course" / path)
    fragile = [nbformat.v4.new_code_cell(source) for source in (FRAGILE, "print(*figure.picture.fig.moves[before:])")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=fragile, metadata=kernel), home / "course" / "fragile.ipynb")
    for name, settings in SETTINGS.items():
        path = home / "settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    environment = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "HOME": str(home),
                   "PYTHONPATH": str(HERE)}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root", "--expose-app-in-browser",
               f"--ServerApp.root_dir={home / 'course'}"]
    with serving(command, home / "log", environment) as address:
        yield address


@contextmanager
def serving(command: list, log: Path, environment: dict[str, str]):
    """A notebook server while it is in use: its address and token."""
    with open(log, "w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        yield address(log, process)
    finally:
        process.terminate()
        process.wait(20)


def address(log: Path, process) -> tuple[str, str]:
    """(http://127.0.0.1:port, token), once the server answers."""
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        if found := re.search(r"(http://127\.0\.0\.1:\d+)/(?:lab|tree)?\?token=(\w+)", log.read_text()):
            try:
                with urllib.request.urlopen(f"{found[1]}/api/status?token={found[2]}") as reply:
                    assert reply.status == 200
                return found[1], found[2]
            except urllib.error.URLError:  # the address is written a moment before the server listens
                pass
        time.sleep(0.1)
    raise TimeoutError(log.read_text())


# A notebook in a page


RUN_ALL = """async () => {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.revealed; await panel.sessionContext.ready;
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
    const outputs = [...panel.content.model.cells].flatMap(cell => cell.toJSON().outputs ?? []);
    return outputs.filter(output => output.output_type === 'error' || output.name === 'stderr').map(output => JSON.stringify(output));
}"""
"""Runs every cell; gives the outputs that tell of an error, from the notebook itself: cells out of sight may not be drawn yet."""


@pytest.fixture
def opened(server, browser):
    """opened(path): the page of a notebook that has run; its kernel ends with the test."""
    page = browser.new_page(viewport={"width": 1300, "height": 1000})

    def run(path: Path) -> Page:
        base, token = server
        page.goto(f"{base}/lab/tree/{path}?token={token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.wait_for_function("() => window.jupyterapp && window.jupyterapp.shell.currentWidget?.sessionContext?.isReady", timeout=60_000)
        assert page.evaluate(RUN_ALL) == []
        return page

    yield run
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()


WATCH = """box => {
    const picture = () => box.querySelector('img');
    let old = picture().src, begun;
    for (const kind of ['keydown', 'change', 'click']) box.addEventListener(kind, event => begun ??= event.timeStamp, {capture: true});
    window.painted = new Promise(done => {
        const look = async () => {
            const image = picture();
            if (begun === undefined) old = image?.src;
            if (!image || image.src === old) return;
            changes.disconnect();
            await image.decode().catch(() => {});
            requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
        };
        const changes = new MutationObserver(look);
        changes.observe(box, {subtree: true, childList: true, attributes: true, attributeFilter: ['src']});
    });
}"""


def painted(box: Locator, act) -> float:
    """Milliseconds from the first event of act() inside a box at rest until its new picture is painted, by the page's own clock."""
    box.page.wait_for_timeout(PAUSE)
    box.evaluate(WATCH)
    act()
    return box.page.evaluate("() => Promise.race([window.painted, new Promise((_, fail) => setTimeout(() => fail('no new picture'), 20000))])")


def moves(box: Locator) -> list[float]:
    """Every slider of a box by six keys, every dropdown and checkbox once; milliseconds of each picture."""
    times, press = [], box.page.keyboard.press
    for slider in box.locator(".widget-slider").all():
        slider.locator(".noUi-handle, .ui-slider-handle").focus()
        times += [painted(box, lambda key=key: press(key)) for key in ("ArrowRight", "ArrowLeft") * 3]
    for choice in box.locator(".widget-dropdown select").all():
        times.append(painted(box, lambda choice=choice: choice.select_option(index=choice.locator("option").count() - 1)))
    for flag in box.locator("input[type=checkbox]").all():
        times.append(painted(box, flag.click))
    return times


def buttons(box: Locator) -> None:
    """Play, where there is one, and Reset: each brings another picture."""
    for play in box.locator(".widget-play").all():
        painted(box, play.locator("button").first.click)
        play.locator("button:has(.fa-stop)").click()
        box.page.wait_for_timeout(300)  # to stop puts the slider at its low end, once the kernel has time for it
        sharp(box)
    painted(box, box.get_by_role("button", name="Reset").click)


def sharp(box: Locator) -> None:
    """Its picture comes to rest with two pixels for each dot."""
    image = box.locator("img").element_handle()
    box.page.wait_for_function("image => image.complete && image.naturalWidth >= 2 * image.width", arg=image, timeout=5000)


def boxes(page: Page, picture: str, count: int) -> list[Locator]:
    """Figures with controls, once so many are there: those of live, whose picture is a widget, or those of interact, whose picture is an output."""
    found = page.locator(f".jp-OutputArea-output .widget-vbox:has({picture} img, img{picture})")
    expect(found).to_have_count(count, timeout=20_000)
    return found.all()


def told(name: str, ours: list[float], theirs: list[float]) -> str:
    """One line of the table."""
    (a, b), (c, d) = (np.percentile(times, (50, 95)) for times in (ours, theirs))
    return f"{name:34}{len(ours):4} moves{a:8.0f}{b:6.0f} ms; by interact{c:6.0f}{d:6.0f} ms; ratio {a / c:.2f}"


# The tests


MEASURED: dict[str, tuple[list[float], list[float]]] = {}
"""Milliseconds of all moves by notebook: live's and interact's."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_notebook(path, opened, record_property):
    page = opened(path)
    expect(page.locator(".jp-OutputArea-output img")).not_to_have_count(0)
    count = len(MOVING.findall((ROOT / path).read_text()))
    live, interact = boxes(page, ".widget-image", count), boxes(page, ".jp-OutputArea", count)
    pairs = [([], [])]
    for ours, theirs in zip(live, interact, strict=True):
        ours.scroll_into_view_if_needed()
        sharp(ours)
        began = ours.locator(".widget-readout").all_text_contents()
        pairs.append((moves(ours), moves(theirs)))
        buttons(ours)
        expect(ours.locator(".widget-readout")).to_have_text(began)
        sharp(ours)
    for question in page.locator(".widget-radio input[type=radio]").all()[:2]:
        question.check()
    assert not page.locator("text=Error displaying widget").count() and not "".join(page.locator(".metrized-message").all_text_contents()).strip()
    MEASURED[path.stem] = tuple(sum(times, []) for times in zip(*pairs, strict=True))
    if any(MEASURED[path.stem]):
        record_property("measured", told(path.stem, *MEASURED[path.stem]))
    photograph(page, path.stem, live)
    assert np.median([0, *MEASURED[path.stem][0]]) < SLOWEST


def test_all_moves_together(record_property):
    """What a reader feels over the whole course: its moving figures against interact's."""
    if not any(map(any, MEASURED.values())):
        pytest.skip("no figure was moved")
    ours, theirs = (sum(times, []) for times in zip(*MEASURED.values(), strict=True))
    record_property("measured", told("all lectures", ours, theirs))
    assert np.median(ours) < np.median(theirs)


def test_a_busy_picture_goes_on_with_the_newest_value(opened):
    """Of twenty keys pressed while the first picture is still drawn only a few get one, the last among them. An error is shown, and left behind."""
    page = opened("fragile.ipynb")
    box = boxes(page, ".widget-image", 1)[0]
    box.locator(".noUi-handle").focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    message = box.locator(".metrized-message")
    expect(message).to_have_text("ValueError: two is too many")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    expect(message).to_have_text("", timeout=10_000)
    expect(box.locator(".widget-readout")).to_have_text("22")
    page.wait_for_timeout(2000)
    page.locator(".jp-CodeCell").last.click()
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-cell')")
    output = page.locator(".jp-CodeCell").last.locator(".jp-OutputArea-output pre")
    expect(output).to_contain_text("22")
    values = [int(n) for n in output.text_content().split()]
    assert values[-1] == 22 and values == sorted(values) and 2 in values and len(values) < 12


def photograph(page: Page, name: str, figures: list[Locator]) -> None:
    """Pictures of a page and of its moving figures, for those who want to see them."""
    if folder := os.environ.get("METRIZED_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")
        for i, figure in enumerate(figures):
            figure.screenshot(path=f"{folder}/{name}-live-{i}.png")
