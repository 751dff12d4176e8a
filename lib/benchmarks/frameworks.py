"""Who takes part: the file of the tasks, what it needs, and what it is called in a report."""
from importlib.util import find_spec
from typing import NamedTuple


class Framework(NamedTuple):
    """`file`: where in this package TASKS is. `needs`: the package it imports."""

    file: str
    needs: str
    title: str


FRAMEWORKS = {
    "ours": Framework("ours", "metrized", "Metrized"),
    "torch": Framework("torch_peer", "torch", "PyTorch"),
    "compiled": Framework("compiled_peer", "torch", "PyTorch, compiled"),
    "jax": Framework("jax_peer", "jax", "JAX jit"),
    "autograd": Framework("autograd_peer", "autograd", "autograd"),
    "mygrad": Framework("mygrad_peer", "mygrad", "MyGrad"),
}


def installed(name: str) -> bool:
    """Whether the package that a framework needs is there."""
    return find_spec(FRAMEWORKS[name].needs) is not None
