"""Scripts of other people that pages need in order to work without a network: npm packages, pinned by hash, fetched once and kept in the cache."""
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pooch

from ..data import cache_folder

REGISTRY = "https://registry.npmjs.org/"
PACKAGES = {
    "reveal.js": ("reveal.js/-/reveal.js-4.6.1.tgz", "4f4121ef2b8e7e9398bdecd7b3b6ce5e0ee3a2f5af221708eb6c4ce03bcae6be"),
    "mathjax": ("mathjax/-/mathjax-3.2.2.tgz", "1b9c0a1c44df864e915690558e72adb9cc5203360daefd385084ced3b6c64c09"),
}
"""Name: its path in a registry, and the sha256 of the archive."""


def package(name: str) -> Path:
    """The folder of an unpacked npm package. Raises OSError where it can neither be found in the cache nor fetched."""
    path, sha256 = PACKAGES[name]
    folder = cache_folder() / "npm" / Path(path).stem
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            try:
                archive = pooch.retrieve(registry() + path, f"sha256:{sha256}", fname="package.tgz", path=temporary)
                with tarfile.open(archive) as packed:
                    packed.extractall(temporary, filter="data")
            except Exception as error:  # requests, urllib3, socket, hash, archive and disk errors all mean one thing here
                raise OSError(f"could not fetch {name} from {registry()} ({type(error).__name__}), which pages without a network need: try "
                              "again with one, or set npm_config_registry to a mirror of npm's registry") from error
            if not folder.exists():  # another process may have been faster
                shutil.move(Path(temporary) / "package", folder)
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
