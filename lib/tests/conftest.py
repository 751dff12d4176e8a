"""Shared by all tests: random numbers from a seed in the name of the test, the command, packages, a browser, a server, a place for measurements."""
import functools
import http.server
import shutil
import threading
import zlib

import numpy as np
import pytest


@pytest.fixture
def rng(request):
    """A generator of its own for every test, the same in every run."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture
def metrized():
    """The command: metrized("release", "hw4") gives its exit code."""
    from metrized.teach.command import main

    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as end:
            main(list(map(str, arguments)))
        return end.value.code or 0
    return run


@pytest.fixture(scope="session")
def fetched():
    """fetched(function, ...): what it brings from a package registry; where none can be reached, the tests that need it say so."""
    def call(function, *args, **options):
        try:
            return function(*args, **options)
        except OSError as error:
            pytest.skip(f"no package registry can be reached: {error}")
    return call


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, for the rest of a file, in which no event loop can then be begun; where there is none the tests say so."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not program:
        pytest.skip("no chromium on this machine: nothing was seen in a browser")
    silent = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=silent)
        yield chromium
        chromium.close()


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def served():
    """served(folder): its address on a server of this machine, for the rest of a file."""
    servers = []

    def serve(folder) -> str:
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=folder)))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"
    yield serve
    for server in servers:
        server.shutdown()


def pytest_terminal_summary(terminalreporter):
    """Print what tests have measured: record_property("measured", line) in any process."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports if getattr(report, "when", None) == "call"]
    if lines := [line for report in reports for name, line in report.user_properties if name == "measured"]:
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(lines))
