"""Packages for pages without a network: what is fetched is what is pinned, once, or one sentence says what to do."""
import hashlib
import http.server
import io
import tarfile
import threading
from functools import partial

import pytest

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
