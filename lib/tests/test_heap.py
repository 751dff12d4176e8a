"""Memory that is freed stays at hand."""
import ctypes
import platform
import subprocess
import sys

import pytest

from metrized import heap

FAULTS = """
import resource
{first}
import numpy as np

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    kept = [np.ones(1 << 17) for _ in range(100)]  # as a forward pass keeps its values: a hundred times 1 MB, 256 pages each

step()
before = faults()
step()
print(faults() - before)
"""
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")


@glibc
def test_an_array_that_is_made_again_takes_no_fresh_pages():
    """The second of two steps: importing the library is what saves its pages."""
    faults = lambda first: int(subprocess.run([sys.executable, "-c", FAULTS.format(first=first)], capture_output=True, text=True, check=True).stdout)
    assert heap.keep_freed_memory()
    assert faults("import metrized") < 100 < 1000 < faults("")


def test_elsewhere_nothing_is_done(monkeypatch):
    """On another system, and with a C library that has no mallopt."""
    monkeypatch.setattr(heap.sys, "platform", "win32")
    assert heap.keep_freed_memory() is False
    monkeypatch.setattr(heap.sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert heap.keep_freed_memory() is False
