"""The laws that tests state: each is a function that raises AssertionError where it fails."""
import operator

import numpy as np

from metrized.arrays import namespace, to_numpy, zeros_like
from metrized.vectors import Covector, Vector


def nest_map(f, x):
    return tuple(nest_map(f, part) for part in x) if isinstance(x, tuple) else f(x)


def random_like(rng, x):
    """Standard normal numbers in the nest of x, where its arrays are."""
    return nest_map(lambda a: namespace(a).asarray(rng.standard_normal(a.shape).astype(a.dtype)), x)


def dot(a, b) -> float:
    """Sum of products over two nests of arrays; None counts as zero."""
    if a is None or b is None:
        return 0.0
    return sum(map(dot, a, b)) if isinstance(a, tuple) else float(namespace(a).vdot(a, b))


def norm2(a) -> float:
    return dot(a, a) ** 0.5


def random_vector(rng, w: Vector) -> Vector:
    return Vector(random_like(rng, w.nest()))


def adjoint(module, x, w, rng, tolerance=1e-12):
    """<dy, push(dx, dw)> = <pull(dy), (dx, dw)>, in both arguments together and with either left out."""
    y, push, pull = module.linearize(x, w)
    same(y, module.forward(x, w), 1e-14)
    dy, data = random_like(rng, y), is_data(x)
    dx, dw = None if data else random_like(rng, x), random_vector(rng, w)
    px, pw = pull(dy)
    assert isinstance(pw, Covector)
    for a, b in ((dx, dw), (None, dw), (dx, None)):
        forward = push(a, b)
        left = dot(dy, forward)
        right = dot(px, a) + (pw @ b if b is not None else 0.0)
        assert abs(left - right) <= tolerance * (1 + norm2(dy) * norm2(forward)), (module, left, right)
    none, pw2 = pull(dy, need_dx=False)
    assert none is None
    same(pw2.nest(), pw.nest(), 1e-14)


def is_data(x) -> bool:
    return not isinstance(x, tuple) and x.dtype.kind in "iu"


def same(a, b, tolerance):
    """Two nests are equal within a relative tolerance."""
    if isinstance(a, tuple):
        assert isinstance(b, tuple) and len(a) == len(b)
        for p, q in zip(a, b, strict=True):
            same(p, q, tolerance)
    else:
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=tolerance, atol=tolerance)


def slope(module, x, w, rng, tolerance=1e-7, h=1e-5):
    """push against the central difference of forward along a random direction."""
    dx, dw = None if is_data(x) else random_like(rng, x), random_vector(rng, w)
    move = lambda s: module.forward(x if dx is None else nest_add(x, dx, s * h), w + (s * h) * dw)
    push = module.linearize(x, w)[1]
    finite = lambda a: namespace(a).where(namespace(a).isfinite(a), a, 0)
    expected = nest_map2(lambda a, b: (finite(a) - finite(b)) / (2 * h), move(1), move(-1))
    got = push(dx, dw)
    got = zeros_like(expected) if got is None else got
    error = norm2(nest_map2(operator.sub, got, expected))
    assert error <= tolerance * (1 + norm2(expected)), (module, error)


def nest_add(x, dx, h):
    return nest_map2(lambda a, b: a + h * b, x, dx)


def nest_map2(f, a, b):
    return tuple(nest_map2(f, p, q) for p, q in zip(a, b, strict=True)) if isinstance(a, tuple) else f(a, b)
