"""Who takes part: the file of the tasks, what it needs, and what it is called in a report."""
from importlib.util import find_spec
from typing import NamedTuple


class Framework(NamedTuple):
    """`file`: where in this package TASKS is. `needs`: the package it imports. `environment`: what its process is told beside what all are told."""

    file: str
    needs: str
    title: str
    environment: tuple[tuple[str, str], ...] = ()


KEPT = (("MALLOC_MMAP_THRESHOLD_", str(32 << 20)), ("MALLOC_TRIM_THRESHOLD_", str(512 << 20)))
"""The settings of glibc that our library makes for itself, in metrized/heap.py."""
FRAMEWORKS = {
    "ours": Framework("ours", "metrized", "Metrized"),
    "torch": Framework("torch_peer", "torch", "PyTorch"),
    "kept": Framework("torch_peer", "torch", "PyTorch, freed memory kept", KEPT),
    "compiled": Framework("compiled_peer", "torch", "PyTorch, compiled"),
    "jax": Framework("jax_peer", "jax", "JAX jit"),
    "autograd": Framework("autograd_peer", "autograd", "autograd"),
    "mygrad": Framework("mygrad_peer", "mygrad", "MyGrad"),
}


def installed(name: str) -> bool:
    """Whether the package that a framework needs is there."""
    return find_spec(FRAMEWORKS[name].needs) is not None
