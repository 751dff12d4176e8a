"""The course in Colab's environment: its versions, its way in, one notebook alone in an empty folder.

A virtual environment holds what constraints-colab.txt pins; its Python is 3.13, as Colab's, where the machine has one. The setup cell of the
notebooks then installs the course as a reader's does; of its address only the place is another: a repository made of this checkout.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from playwright.sync_api import expect
from test_browser import MOVING, buttons, moves, photograph, serving, sharp
from test_notebooks import LECTURES, cells, checked, holds, name, run

ROOT = Path(__file__).parents[2]
PINS = ROOT / "lib" / "constraints-colab.txt"
HOMEWORK = sorted((ROOT / "homework").glob("*.ipynb"))
SETUP = cells(LECTURES[0])[0]
ADDRESS = re.search(r"git\+(https://[\w./]+)#", SETUP)[1]
OFFLINE = re.compile("NewConnectionError|NameResolutionError|Temporary failure in name resolution|ProxyError")
pytestmark = pytest.mark.slow


def python() -> str:
    """Colab's Python where the machine has one, else this one."""
    newer = shutil.which("python3.13")
    works = newer and subprocess.run([newer, "-c", "import venv, ensurepip"], capture_output=True, check=False).returncode == 0
    return newer if works else sys.executable


def freeze(colab: Path) -> set[str]:
    """All packages of the environment, with their versions; the course apart."""
    lines = subprocess.run([colab, "-m", "pip", "freeze", "--all"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line for line in lines if not line.startswith("metrized")}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """This checkout as a repository of one commit, changes included."""
    folder = tmp_path_factory.mktemp("repository")
    git = lambda *words: subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *words], cwd=folder, check=True, capture_output=True)
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "lib"], cwd=ROOT, check=True, capture_output=True)
    for path in filter(Path.is_file, (ROOT / line for line in listed.stdout.decode().split("\0") if line)):
        (folder / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.relative_to(ROOT))
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "as it is"]):
        git(*words)
    return folder


@pytest.fixture(scope="module")
def colab(tmp_path_factory, repository):
    """The Python of Colab's environment; `colab` is also the name of a kernel for nbclient, whose home is empty."""
    home = tmp_path_factory.mktemp("colab")
    subprocess.run([python(), "-m", "venv", home / "env"], check=True)
    interpreter = home / "env/bin/python"
    made = subprocess.run([interpreter, "-m", "pip", "install", "-q", "-r", PINS], capture_output=True, text=True, check=False)
    if made.returncode and OFFLINE.search(made.stderr):
        pytest.skip("no package registry can be reached: Colab's environment was not made")
    assert made.returncode == 0, made.stderr
    (home / "home").mkdir()
    redirect = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": f"url.{repository.as_uri()}.insteadOf", "GIT_CONFIG_VALUE_0": ADDRESS}
    environment = {"HOME": str(home / "home"), "METRIZED_CACHE": str(home / "home/cache"), "PYTHONPATH": "", **redirect}
    argv = [str(interpreter), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = home / "jupyter/kernels/colab/kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": argv, "display_name": "Colab", "language": "python", "env": environment}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(home / "jupyter"))
        patch.chdir(spec.parent)  # not where this checkout's library lies
        yield interpreter


@pytest.fixture(scope="module")
def installed(colab):
    """The same, once the setup cell has run there; what its kernel printed, and all packages before."""
    before = freeze(colab)
    return ran(SETUP, "import metrized; print(metrized.__file__)", SETUP), before


def ran(*sources: str) -> list[str]:
    """What each cell prints in a new kernel of Colab's."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=300, kernel_name="colab").execute()
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]


def test_the_setup_cell_installs_the_course_and_nothing_else(colab, installed):
    """At once, without a restart; run again it does nothing, and after a restart there is nothing left to do."""
    (first, place, again), before = installed
    assert "site-packages/metrized" in place and again == "" and "ERROR" not in first
    assert ran(SETUP, "import metrized; print(metrized.__file__)") == ["", place]
    assert freeze(colab) == before


def test_every_pinned_version_is_the_one_that_runs(installed, record_property):
    """In the kernel itself, as packages say who they are."""
    pins = [line for line in PINS.read_text().splitlines() if line and line[0] != "#"]
    names = [pin.partition("==")[0] for pin in pins]
    found = ran("import sys; print(*sys.version_info[:3], sep='.')", f"from importlib.metadata import version\nprint(*map(version, {names}))")
    assert found[1].split() == [pin.partition("==")[2] for pin in pins]
    record_property("measured", f"Colab's environment: Python {found[0].strip()}")


@pytest.mark.parametrize("path", LECTURES, ids=name)
def test_a_lecture_runs_alone(path, installed, tmp_path, monkeypatch, record_property):
    monkeypatch.chdir(tmp_path)
    notebook, seconds = run(path, "colab")
    holds(path, notebook)
    record_property("measured", f"in Colab's environment {path.stem:24}{seconds:5.0f} s")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", HOMEWORK, ids=name)
def test_a_homework_runs_alone(path, installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checked(path, run(path, "colab")[0])
    assert not list(tmp_path.iterdir())


# In a browser, which comes last: no event loop can be begun beside it


READY = """() => window.Jupyter?.notebook?._fully_loaded && Jupyter.notebook.kernel?.is_connected() &&
    Jupyter.notebook.kernel.comm_manager.targets['jupyter.widget']"""
SETTLED = """async () => {
    for (let i = 0; i < 3; i++) await new Promise(done => Jupyter.notebook.kernel.kernel_info(done));
}"""
"""A page that opens asks the kernel for widgets to restore, twice; what is shown before it has its answers is thrown away."""
RAN = "() => Jupyter.notebook.get_cells().every(cell => cell.cell_type != 'code' || Number.isInteger(cell.input_prompt_number))"


@pytest.fixture(scope="module")
def server(installed, colab, tmp_path_factory):
    """Address and token of the classic notebook, whose kernels are Colab's."""
    home = tmp_path_factory.mktemp("classic")
    for path in (*LECTURES, *HOMEWORK):
        shutil.copy(path, home)
    with socket.create_server(("127.0.0.1", 0)) as free:  # this server does not tell which port it found by itself
        port = free.getsockname()[1]
    command = [colab, "-m", "notebook", "--no-browser", "--ip=127.0.0.1", f"--port={port}", "--allow-root", f"--notebook-dir={home}"]
    with serving(command, home / "log", {**os.environ, "HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}) as address:
        yield address


@pytest.mark.parametrize("path", [*LECTURES[:2], LECTURES[4], HOMEWORK[0]], ids=name)
def test_widgets_of_colab_move_in_a_browser(path, server, browser, record_property):
    """ipywidgets 7.7.1 in the classic notebook: a notebook runs without an error, and every slider, dropdown and button brings another picture."""
    base, token = server
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.goto(f"{base}/notebooks/{path.name}?token={token}")
    page.wait_for_function(READY, timeout=60_000)
    page.evaluate(SETTLED)
    page.evaluate("() => Jupyter.notebook.execute_all_cells()")
    page.wait_for_function(RAN, timeout=120_000)
    assert not page.locator(".output_error, .output_stderr").count()
    figures = page.locator(".output_area .widget-vbox:has(img.widget-image)")
    expect(figures).to_have_count(len(MOVING.findall(path.read_text())))
    times = [ms for figure in figures.all() for ms in moves(figure)]
    for figure in figures.all():
        buttons(figure)
        sharp(figure)
    assert not "".join(page.locator(".metrized-message").all_inner_texts()).strip()
    photograph(page, f"classic-{path.stem}", figures.all())
    if times:
        record_property("measured", f"in the classic notebook {path.stem:20}{len(times):4} moves{np.median(times):7.0f} ms")
    page.close()
