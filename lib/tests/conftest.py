"""Shared by all tests: random numbers from a seed in the test's own name, so that no test depends on another."""
import zlib

import numpy as np
import pytest


@pytest.fixture
def rng(request):
    """A generator of its own for every test, the same in every run."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))
