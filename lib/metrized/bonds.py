"""Bonds: the modules without weights. Elementwise ones declare one curve; the rest write value, push and pull side by side.

Activations are measured by the RMS over their features and the largest over all other axes (batch, pixels, tokens); tuples add up. A
sensitivity of 1 holds for inputs of norm at most 1, except where a docstring says otherwise.
"""
from functools import reduce
from math import pi, sqrt
from operator import add

import numpy as np

from .arrays import Array, matches, namespace, row_max, row_sums, shapes, straight, transpose, whole
from .modules import Add, Bond, Identity, Multiply  # noqa: F401  (the algebra itself is made of these three)


class Elementwise(Bond):
    """The same curve for every number. Subclasses write curve(x) -> (value, slope).

    `steepest` is the largest |slope|, the sensitivity; `bend` the largest |second derivative|, None at a kink. Since
    rms(dx * dx') <= sqrt(d) rms(dx) rms(dx') for d features, and no better, a smooth curve is (0, 0, bend sqrt(d))-sharp once it is told
    its `width` d, and has no sharpness that holds for every width.
    """

    steepest, bend = 1.0, None

    def __init__(self, width: int | None = None):
        self.sensitivity = self.steepest
        self.sharpness = (0.0, 0.0, self.bend * sqrt(width)) if width and self.bend else None

    def curve(self, x: Array) -> tuple[Array, Array]:
        """The value and the slope at x."""
        raise NotImplementedError

    def derivative(self, x):
        y, slope = self.curve(x)
        return y, lambda dx: slope * dx, lambda dy: slope * dy


class ReLU(Elementwise):
    """max(x, 0); slope 0 at 0."""

    def curve(self, x):
        up = x > 0
        return x * up, up


class Tanh(Elementwise):
    """tanh x."""

    bend = 4 / (3 * sqrt(3))

    def curve(self, x):
        y = namespace(x).tanh(x)
        return y, 1 - y * y


class Sigmoid(Elementwise):
    """1 / (1 + e^-x)."""

    steepest, bend = 1 / 4, 1 / (6 * sqrt(3))

    def curve(self, x):
        y = 0.5 * (1 + namespace(x).tanh(0.5 * x))
        return y, y * (1 - y)


class GeLU(Elementwise):
    """x (1 + tanh(c (x + a x^3))) / 2, divided by its steepest slope 1.128993, so that the sensitivity is 1. Hendrycks & Gimpel 2016."""

    top = 1.1289930685705  # the erf form would have 1.128904
    bend = sqrt(2 / pi) / top

    def curve(self, x):
        c, a = sqrt(2 / pi), 0.044715
        slope = x * x  # in place from here on: these numbers take longer to move than to compute
        t = (c * a) * slope
        t += c
        t *= x
        t = namespace(x).tanh(t)
        half = (0.5 / self.top) * t
        half += 0.5 / self.top  # (1 + t) / 2, so that y = x half and y' = half (1 + x c (1 + 3 a x^2) (1 - t))
        slope *= 3 * c * a
        slope += c
        slope *= x
        slope *= 1 - t
        slope += 1
        slope *= half
        half *= x
        return half, slope


class RMSNorm(Bond):
    """y = x / sqrt(mean x^2 + eps) over the features. Sensitivity 1 where rms(x) >= 1; near zero it is 1 / sqrt(eps)."""

    def __init__(self, eps: float = 1e-6):
        self.eps = eps

    def derivative(self, x):
        r = namespace(x).sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        y = x / r
        along = lambda dx: (dx - y * (y * dx).mean(-1, keepdims=True)) / r  # a symmetric matrix: push and pull are one
        return y, along, along


class LayerNorm(RMSNorm):
    """RMSNorm of x minus its mean over the features. Sensitivity 1 where the centred x has rms >= 1."""

    def derivative(self, x):
        centre = lambda z: z - z.mean(-1, keepdims=True)
        y, push, pull = super().derivative(centre(x))
        return y, lambda dx: push(centre(dx)), lambda dy: centre(pull(dy))


class Softmax(Bond):
    """p_i = exp(x_i) / sum_j exp(x_j) over the last axis. Sensitivity 1 from the largest |dx_i| to sum |dp_i|.

    Second derivatives are covariances under p: E|(u - Eu)(v - Ev)| + |cov(u, v)| <= 2 for |u_i|, |v_i| <= 1, by Cauchy and Schwarz.
    """

    sharpness = (0.0, 0.0, 2.0)

    def derivative(self, x):
        xp = namespace(x)
        p = xp.exp(x - row_max(x))
        p /= row_sums(p)
        along = lambda dx: p * (dx - row_sums(p * dx))  # diag(p) - p p^T, symmetric
        return p, along, along


class SplitHeads(Bond):
    """[..., T, heads * d] to [..., heads, T, d]. Sensitivity 1 while every head gets its even share of the norm (sqrt(heads) at worst)."""

    sharpness = (0.0, 0.0, 0.0)

    axes = 2

    def __init__(self, heads: int):
        self.heads = whole("SplitHeads", "heads", heads)

    def derivative(self, x):
        if x.shape[-1] % self.heads:
            raise ValueError(f"SplitHeads({self.heads}) expects x of shape [..., T, a multiple of {self.heads}], got {shapes(x)}")
        return split_heads(x, self.heads), lambda dx: split_heads(dx, self.heads), merge_heads


class MergeHeads(Bond):
    """[..., heads, T, d] to [..., T, heads * d], the inverse of SplitHeads. Sensitivity 1."""

    axes = 3
    sharpness = (0.0, 0.0, 0.0)

    def derivative(self, x):
        heads = x.shape[-3]
        return merge_heads(x), merge_heads, lambda dy: split_heads(dy, heads)


def split_heads(x: Array, heads: int) -> Array:
    """[..., T, heads * d] to [..., heads, T, d]."""
    return namespace(x).swapaxes(x.reshape(x.shape[:-1] + (heads, -1)), -3, -2)


def merge_heads(x: Array) -> Array:
    """[..., heads, T, d] to [..., T, heads * d]."""
    x = namespace(x).swapaxes(x, -3, -2)
    return x.reshape(x.shape[:-2] + (-1,))


class RoPE(Bond):
    """Rotary positions: at place t, the pair (x_2i, x_2i+1) turns by t base^(-2i/d). x: [..., T, d], d even. Su et al. 2021.

    Rotations keep the norm, and a score q_s . k_t then depends on s - t alone.
    """

    sharpness = (0.0, 0.0, 0.0)

    axes = 2

    def __init__(self, base: float = 10000.0):
        self.base = base

    def derivative(self, x):
        if x.shape[-1] % 2:
            raise ValueError(f"RoPE expects x of shape [..., T, an even number], got {shapes(x)}")
        turn = self.turns(x)
        return rotate(x, turn), lambda dx: rotate(dx, turn), lambda dy: rotate(dy, turn.conj())

    def turns(self, x: Array) -> Array:
        """exp(i angle) for every place and pair: complex [T, d / 2]."""
        T, d = x.shape[-2:]
        angles = np.arange(T)[:, None] * self.base ** (-np.arange(0, d, 2) / d)
        return namespace(x).asarray(np.exp(1j * angles).astype(np.result_type(x.dtype, np.complex64)))


def rotate(x: Array, turn: Array) -> Array:
    """Pairs of neighbours in the last axis, read as complex numbers, times `turn`."""
    return (straight(x).view(turn.dtype) * turn).view(x.dtype)


class Scores(Bond):
    """(q, k) to q k^T / d, the logits of attention; q, k: [..., T, d], scores [..., T, T]. 1/d and not 1/sqrt(d): |q . k| / d <= rms(q) rms(k)."""

    axes, sharpness = None, (0.0, 0.0, 1.0)

    def derivative(self, x):
        if not (isinstance(x, tuple) and len(x) == 2 and matches(*x) and x[0].ndim >= 2):
            raise ValueError(f"Scores needs a pair (q, k), both [..., T, d], got {shapes(x)}")
        (q, k), c = x, 1 / x[0].shape[-1]
        push = lambda d: (c * d[0]) @ transpose(k) + (c * q) @ transpose(d[1])
        return (c * q) @ transpose(k), push, lambda dy: (c * (dy @ k), c * (transpose(dy) @ q))


class CausalMask(Bond):
    """Scores [..., T, T] with -inf above the diagonal: place t may look at places s <= t. For a Softmax to follow."""

    axes, sharpness = 2, (0.0, 0.0, 0.0)

    def derivative(self, x):
        if x.shape[-1] != x.shape[-2]:
            raise ValueError(f"CausalMask expects scores of shape [..., T, T], got {shapes(x)}")
        xp, T = namespace(x), x.shape[-1]
        past, future = xp.tri(T, dtype=x.dtype), xp.triu(xp.full((T, T), -xp.inf, dtype=x.dtype), 1)
        keep = lambda dx: dx * past
        return x + future, keep, keep


class Attend(Bond):
    """(p, v) to p v: averages of the values v [..., T, d] with the weights p [..., T, T]. Sensitivity 1 for weights that sum to 1, rms(v) <= 1."""

    axes, sharpness = None, (0.0, 0.0, 1.0)

    def derivative(self, x):
        if not (isinstance(x, tuple) and len(x) == 2 and x[1].ndim >= 2 and x[0].shape == x[1].shape[:-1] + x[1].shape[-2:-1]):
            raise ValueError(f"Attend needs a pair (p [..., T, T], v [..., T, d]), got {shapes(x)}")
        p, v = x
        return p @ v, lambda d: d[0] @ v + p @ d[1], lambda dy: (dy @ transpose(v), transpose(p) @ dy)


class Flatten(Bond):
    """The last `axes` axes as one: [..., height, width, c] to [..., height * width * c]. Sensitivity 1."""

    sharpness = (0.0, 0.0, 0.0)

    def __init__(self, axes: int = 3):
        self.axes = whole("Flatten", "axes", axes)

    def derivative(self, x):
        pixels, flat = x.shape[x.ndim - self.axes:], lambda z: z.reshape(z.shape[:z.ndim - self.axes] + (-1,))
        return flat(x), flat, lambda dy: dy.reshape(dy.shape[:-1] + pixels)


class AveragePool(Bond):
    """Means over k x k squares of pixels: [..., height, width, c] to [..., height // k, width // k, c]; a rest at the border is left out.

    Sensitivity 1.
    """

    axes, sharpness = 3, (0.0, 0.0, 0.0)

    def __init__(self, k: int = 2):
        self.k = whole("AveragePool", "k", k)

    def derivative(self, x):
        k, (height, width, c) = self.k, x.shape[-3:]
        rows, columns = height // k, width // k
        if not rows * columns:
            raise ValueError(f"AveragePool({k}) needs at least {k} x {k} pixels, got {shapes(x)}")

        corners = [(..., slice(a, rows * k, k), slice(b, columns * k, k), slice(None)) for a, b in np.ndindex(k, k)]

        def mean(z):
            return reduce(add, [z[corner] for corner in corners]) * (1 / k ** 2)

        def spread(dy):
            dx, dy = namespace(dy).zeros(dy.shape[:-3] + (height, width, c), dtype=dy.dtype), dy * (1 / k ** 2)
            for corner in corners:
                dx[corner] = dy
            return dx

        return mean(x), mean, spread
