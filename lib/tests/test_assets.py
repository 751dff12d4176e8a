"""Packages for pages without a network: what is fetched is what is pinned, once, or one sentence says what to do."""
import hashlib
import http.server
import io
import os
import shutil
import tarfile
import threading
import zipfile
from functools import partial

import pytest

from metrized import data
from metrized.teach import assets


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A registry with one small package, served on this machine; it counts what is asked of it."""
    folder = tmp_path / "registry"
    (folder / "tiny" / "-").mkdir(parents=True)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("package/a.js")
        entry.size = 2
        archive.addfile(entry, io.BytesIO(b"42"))
    (folder / "tiny" / "-" / "tiny-1.0.0.tgz").write_bytes(packed.getvalue())
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("METRIZED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(assets, "PACKAGES", {"tiny": ("tiny/-/tiny-1.0.0.tgz", hashlib.sha256(packed.getvalue()).hexdigest())})
    yield asked
    server.shutdown()


def test_a_cache_named_from_here_is_the_same_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METRIZED_CACHE", "kept")
    assert data.cache_folder() == tmp_path / "kept"


def test_a_package_is_fetched_once(registry):
    assert (assets.package("tiny") / "a.js").read_text() == "42" and assets.package("tiny") == assets.package("tiny")
    assert registry == ["/tiny/-/tiny-1.0.0.tgz"]


def test_another_archive_is_refused_and_leaves_nothing(registry, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "PACKAGES", {"tiny": (assets.PACKAGES["tiny"][0], "0" * 64)})
    with pytest.raises(OSError, match="could not fetch tiny .* set npm_config_registry"):
        assets.package("tiny")
    assert [*(tmp_path / "cache" / "npm").iterdir()] == []


def test_without_a_network_there_is_one_sentence(registry, monkeypatch):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="could not fetch tiny from http://127.0.0.1:9/ .*: try again"):
        assets.package("tiny")


def test_the_registry_is_npms_own_unless_told(monkeypatch):
    monkeypatch.delenv("npm_config_registry", raising=False)
    monkeypatch.setattr(assets.shutil, "which", lambda name: None)
    assert assets.registry() == "https://registry.npmjs.org/"
    assert all(len(sha256) == 64 and path.endswith(".tgz") for path, sha256 in assets.PACKAGES.values())


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder from which pip takes its packages, with one small wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "tiny-1.0-py3-none-any.whl", "w") as packed:
        packed.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        packed.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr("tiny-1.0.dist-info/RECORD", "")
    for name, value in {"METRIZED_CACHE": tmp_path / "cache", "PIP_NO_INDEX": 1, "PIP_FIND_LINKS": folder, "PIP_CONFIG_FILE": os.devnull}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(assets, "WHEELS", {"tiny": ("1.0", hashlib.sha256((folder / "tiny-1.0-py3-none-any.whl").read_bytes()).hexdigest())})
    return folder


@pytest.mark.slow
def test_a_wheel_is_fetched_once(index):
    fetched = assets.wheel("tiny")
    shutil.rmtree(index)
    assert assets.wheel("tiny") == fetched and fetched.name == "tiny-1.0-py3-none-any.whl"


@pytest.mark.slow
@pytest.mark.parametrize("pin", [("1.0", "0" * 64), ("2.0", "0" * 64)], ids=["another wheel", "no such version"])
def test_a_wheel_that_is_not_the_pinned_one_is_refused_and_leaves_nothing(pin, index, tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "WHEELS", {"tiny": pin})
    with pytest.raises(OSError, match=f"could not fetch tiny {pin[0]}, .* set pip's index-url .* pip said: "):
        assets.wheel("tiny")
    assert [*(tmp_path / "cache" / "pypi").iterdir()] == []


def test_every_wheel_has_a_version_and_a_hash():
    assert all(version and len(sha256) == 64 for version, sha256 in assets.WHEELS.values())
