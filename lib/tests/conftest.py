"""Shared by all tests: random numbers from a seed in the test's own name, so that no test depends on another."""
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
