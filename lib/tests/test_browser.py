"""Every notebook in a real JupyterLab and a real browser: it runs without an error, shows its figures, and every control moves its picture.

One server and one Chromium for all; latencies from a key press to the new picture are printed. Needs the program `chromium`. Screenshots
go to the folder METRIZED_SCREENSHOTS, if that is set.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NOTEBOOKS = [path.relative_to(ROOT) for folder in ("lectures", "homework") for path in sorted((ROOT / folder).glob("*.ipynb"))]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no chromium on this machine: the browser tests did not run")]

SETTINGS = {
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
}
SLOWEST = 1.0
"""Seconds from key press to picture beyond which the test fails."""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address and token of a JupyterLab on a copy of the notebooks (Lab saves what it runs)."""
    home = tmp_path_factory.mktemp("lab")
    for folder in ("lectures", "homework"):
        shutil.copytree(ROOT / folder, home / "course" / folder)
    for name, settings in SETTINGS.items():
        path = home / "settings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings))
    environment = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "HOME": str(home)}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root", "--expose-app-in-browser",
               f"--ServerApp.root_dir={home / 'course'}"]
    with open(home / "log", "w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield address(home / "log", process)
    finally:
        process.terminate()
        process.wait(20)


def address(log: Path, process) -> tuple[str, str]:
    """(http://127.0.0.1:port, token), once the server answers."""
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        if found := re.search(r"(http://127\.0\.0\.1:\d+)/lab\?token=(\w+)", log.read_text()):
            try:
                with urllib.request.urlopen(f"{found[1]}/api/status?token={found[2]}") as reply:
                    assert reply.status == 200
                return found[1], found[2]
            except urllib.error.URLError:  # the address is written a moment before the server listens
                pass
        time.sleep(0.1)
    raise TimeoutError(log.read_text())


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=quiet)
        yield chromium
        chromium.close()


RUN_ALL = """async () => {
    const panel = window.jupyterapp.shell.currentWidget;
    await panel.revealed; await panel.sessionContext.ready;
    await window.jupyterapp.commands.execute('notebook:run-all-cells');
    return panel.content.model.cells.length;
}"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_notebook(path, server, browser, capsys):
    base, token = server
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(f"{base}/lab/tree/{path}?token={token}&reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    page.wait_for_function("() => window.jupyterapp && window.jupyterapp.shell.currentWidget?.sessionContext?.isReady", timeout=60_000)
    page.evaluate(RUN_ALL)
    errors = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"], .jp-RenderedText[data-mime-type*="error"]')
    assert errors.count() == 0, errors.first.inner_text()
    assert page.locator(".jp-OutputArea-output img").count() > 0
    latencies = [ms for slider in page.locator(".widget-slider").all() for ms in drag(page, slider)]
    latencies += [choose(page, box) for box in page.locator(".widget-dropdown select").all()]
    for question in page.locator(".widget-radio input[type=radio]").all()[:2]:
        question.check()
    assert not page.locator("text=Error displaying widget").count()
    if latencies:
        with capsys.disabled():
            print(f"\n{path}: {len(latencies)} moves, median {sorted(latencies)[len(latencies) // 2]:.0f} ms, slowest {max(latencies):.0f} ms")
        assert sorted(latencies)[len(latencies) // 2] < 1000 * SLOWEST
    if folder := os.environ.get("METRIZED_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{path.stem}.png"))
        for i, box in enumerate(page.locator(".widget-vbox:has(.widget-image)").all()):
            box.screenshot(path=str(Path(folder) / f"{path.stem}-live-{i}.png"))
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()


CHANGED = """([old, index]) => {
    const image = document.querySelectorAll('.widget-image')[index];
    return image && image.src !== old && image.complete;
}"""


def picture(page, control) -> tuple[str, int]:
    """The address of the picture below a control, and which picture of the page it is."""
    box = control.locator("xpath=ancestor::*[contains(@class, 'widget-vbox')][1]")
    index = box.evaluate("box => [...document.querySelectorAll('.widget-image')].indexOf(box.querySelector('.widget-image'))")
    return page.evaluate("i => document.querySelectorAll('.widget-image')[i].src", index), index


def timed(page, old: str, index: int, act) -> float:
    """Milliseconds from act() until the picture is another one."""
    start = time.perf_counter()
    act()
    page.wait_for_function(CHANGED, arg=[old, index], timeout=20_000, polling="raf")
    return 1000 * (time.perf_counter() - start)


def drag(page, slider) -> list[float]:
    """A few key presses on a slider, up and down again; milliseconds of each."""
    handle = slider.locator(".noUi-handle")
    handle.scroll_into_view_if_needed()
    handle.focus()
    times = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        old, index = picture(page, slider)
        times.append(timed(page, old, index, lambda key=key: page.keyboard.press(key)))
    return times


def choose(page, box) -> float:
    """Another choice of a dropdown; its milliseconds."""
    old, index = picture(page, box)
    last = box.locator("option").count() - 1
    return timed(page, old, index, lambda: box.select_option(index=last))
