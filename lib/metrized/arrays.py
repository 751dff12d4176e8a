"""Which array library an array belongs to, and how to move arrays between host and device.

All code above this file writes the plain NumPy API on `namespace(x)`, so NumPy and CuPy arrays take the same path.
"""
import sys
from collections.abc import Sequence
from numbers import Integral
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""An array of NumPy or CuPy."""


def namespace(x: Array) -> ModuleType:
    """The library (numpy or cupy) whose functions accept `x`; plain Python numbers belong to numpy."""
    if isinstance(x, np.ndarray):
        return np
    top = type(x).__module__.partition(".")[0]
    return np if top in ("builtins", "numpy") else sys.modules[top]


def is_array(x) -> bool:
    """Whether `x` is an array: something with a shape and a dtype."""
    return hasattr(x, "shape") and hasattr(x, "dtype")


def is_float(x: Array) -> bool:
    """Whether `x` holds real floating-point numbers."""
    return x.dtype.kind == "f"


def to_numpy(x: Array) -> np.ndarray:
    """`x` on the host."""
    return x.get() if hasattr(x, "get") else np.asarray(x)


def to_device(x, device: str = "cpu"):
    """`x`, an array or a nest of tuples of arrays, on `device`: "cpu" (NumPy) or "gpu" (CuPy).

    Raises ValueError for another device, RuntimeError where CuPy is not installed or finds no usable GPU.
    """
    if device not in ("cpu", "gpu"):
        raise ValueError(f'device is {device!r}; expected "cpu" or "gpu"')
    move = to_numpy if device == "cpu" else cupy().asarray
    return tuple(to_device(part, device) for part in x) if isinstance(x, tuple) else move(x)


def device_of(x: Array) -> str:
    """Where an array lies: "cpu" or "gpu"."""
    return "cpu" if namespace(x) is np else "gpu"


def usable(device: str) -> str:
    """`device` itself, but "cpu" in place of a "gpu" that this machine has not: it then prints one line that says why."""
    try:
        to_device((), device)
    except RuntimeError as reason:
        print(f"Everything runs on NumPy. {reason}")
        return "cpu"
    return device


def cupy() -> ModuleType:
    """The module cupy, once it is certain that it works here.

    Raises RuntimeError, with different words, when it is not installed and when it is but finds no GPU.
    """
    try:
        import cupy
    except ImportError:
        raise RuntimeError('device "gpu" needs CuPy, which is not installed; pip install "metrized[gpu]", or use device="cpu"') from None
    if not cupy.is_available():
        raise RuntimeError('device "gpu": CuPy is installed but finds no usable NVIDIA GPU or driver here; use device="cpu"')
    return cupy


def whole(who: str, name: str, n: int, least: int = 1) -> int:
    """`n` as a plain int, if it is whole and at least `least` (whole numbers of NumPy count); else ValueError in the name of `who`."""
    if not (isinstance(n, Integral) and n >= least):
        raise ValueError(f"{who} needs a whole number {name}, at least {least}; got {name} {n!r}")
    return int(n)


def transpose(X: Array) -> Array:
    """X with its last two axes exchanged, without a copy."""
    return X.swapaxes(-1, -2)


def rounding(x: Array) -> float:
    """The distance from 1 to the next number in the dtype of `x`, as a number of Python, which widens no array."""
    return float(namespace(x).finfo(x.dtype).eps)


def row_sums(x: Array) -> Array:
    """Sums over the last axis, [..., n] to [..., 1]: einsum is several times as fast as x.sum(-1) where rows are short."""
    return namespace(x).einsum("...i->...", x)[..., None]


def straight(x: Array) -> Array:
    """`x` in the order in which its axes are named, its last axis closest together in memory: itself, or a copy."""
    return x if x.flags.c_contiguous else x.copy()


def row_max(x: Array) -> Array:
    """The largest number in the last axis, [..., n] to [..., 1]. Taken down columns, which is several times as fast where rows are short."""
    return straight(x.reshape(-1, x.shape[-1]).T).max(0).reshape(x.shape[:-1] + (1,))


def normal(rng: np.random.Generator, shape: Sequence[int], dtype=np.float32) -> np.ndarray:
    """Standard normal numbers of `shape`, drawn in float64 on the host and then cast, so that every dtype and device gets the same ones."""
    return rng.standard_normal(shape).astype(dtype)


def ratio(a: Array, b: Array) -> Array:
    """a / b with 0 / 0 = 0; b is broadcast over trailing axes of a."""
    b = b.reshape(b.shape + (1,) * (a.ndim - b.ndim))
    return a / (b + (b == 0))


def matches(a, b) -> bool:
    """Whether a nest of tuples, arrays and None has the same shapes as another."""
    if isinstance(a, tuple) or isinstance(b, tuple):
        return isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b) and all(map(matches, a, b))
    return getattr(a, "shape", None) == getattr(b, "shape", None)


def shapes(x) -> str:
    """The shapes in a nest of tuples and arrays, in words for an error message."""
    return "(" + ", ".join(map(shapes, x)) + ")" if isinstance(x, tuple) else str(list(getattr(x, "shape", ()))) if is_array(x) else type(x).__name__


def add(a, b):
    """Sum of two nests of tuples and arrays of the same structure; None stands for zero."""
    if a is None or b is None:
        return b if a is None else a
    return tuple(map(add, a, b)) if isinstance(a, tuple) else a + b


def zeros_like(x):
    """Zeros in the shape of a nest of tuples and arrays."""
    return tuple(map(zeros_like, x)) if isinstance(x, tuple) else namespace(x).zeros_like(x)


def nothing(x):
    """Zeros in the shape of a nest of tuples and arrays that take no memory and can be read only."""
    if isinstance(x, tuple):
        return tuple(map(nothing, x))
    xp = namespace(x)
    return xp.broadcast_to(xp.zeros((), dtype=x.dtype), x.shape)
