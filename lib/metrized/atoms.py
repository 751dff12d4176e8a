"""Atoms: the modules that hold weights. Everything about them is declared by hand: value, push, pull, norm and initial weights."""
from collections.abc import Callable, Iterator
from math import prod, sqrt

import numpy as np

from .arrays import Array, add, namespace, normal, shapes, straight, transpose, whole
from .linalg import polar as exact_polar
from .modules import Atom
from .norms import Positions, RMSOperator, RowRMS, Scaled
from .vectors import Covector, Vector


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...], dtype=np.float32) -> np.ndarray:
    """Random matrices [..., m, n] whose singular values are all 1, every rotation equally likely. Mezzadri 2007."""
    X = normal(rng, shape, np.float64)
    if shape[-2] < shape[-1]:
        X = transpose(X)
    Q, R = np.linalg.qr(X)
    Q = Q * np.sign(np.diagonal(R, axis1=-2, axis2=-1))[..., None, :]
    return (transpose(Q) if shape[-2] < shape[-1] else Q).astype(dtype, order="C")


def rows(x: Array, W: Array) -> Array:
    """x [..., n] as a stack of rows [M, n], or [K, M, n] where the weights W are an ensemble [K, m, n]."""
    return x if x.ndim == W.ndim else x.reshape(x.shape[:W.ndim - 2] + (-1, x.shape[-1]))


def shared(dx: Array, x: Array) -> Array:
    """dx in the shape of x: summed over the networks of an ensemble where they shared x."""
    return dx.sum(0, keepdims=True) if dx.shape != x.shape and len(x) == 1 else dx


def apply(x: Array, W: Array) -> Array:
    """x W^T, every row of x [..., n] by the same W [m, n], or network by network for W [K, m, n]."""
    kernel = transpose(W) if W.ndim == 2 else straight(transpose(W))  # BLAS multiplies small matrices faster when neither is transposed
    y = rows(x, W) @ kernel
    return y if x.ndim == W.ndim else y.reshape(y.shape[:W.ndim - 2] + x.shape[W.ndim - 2:-1] + y.shape[-1:])


class Bilinear(Atom):
    """An atom that is linear in x and linear in W. Subclasses write value(x, W) and transposed(dy, x, W, need_dx) -> (dx, dW)."""

    sharpness = (0.0, 1.0, 0.0)  # d^2 y = dx dW + dx' dW': nothing but the mixed term

    def forward(self, x, w):
        W = self.weight(w)
        self.agree(x, W, self.shape[-1])
        return self.value(x, W)

    def linearize(self, x, w):
        W = self.weight(w)
        self.agree(x, W, self.shape[-1])

        def push(dx, dw):  # dy = B(dx, W) + B(x, dW)
            return add(None if dx is None else self.value(dx, W), None if dw is None else self.value(x, self.weight(dw)))

        def pull(dy, need_dx=True):
            dx, dW = self.transposed(dy, x, W, need_dx)
            return shared(dx, x) if need_dx else None, Covector(dW)

        return self.value(x, W), push, pull


class Linear(Bilinear):
    """y = x W^T, without a bias; x: [..., fan_in], W: [fan_out, fan_in], y: [..., fan_out].

    norm = sqrt(fan_in / fan_out) * largest singular value, the largest rms(W x) / rms(x). Starts orthogonal. `polar` orthogonalizes gradients.
    """

    def __init__(self, fan_out: int, fan_in: int, polar: Callable[[Array], Array] = exact_polar):
        self.shape = (whole("Linear", "fan_out", fan_out), whole("Linear", "fan_in", fan_in))
        self.norm = RMSOperator(self.shape, polar)

    def initialize(self, rng, dtype=np.float32):
        fan_out, fan_in = self.shape
        return Vector(orthogonal(rng, self.shape, dtype) * sqrt(fan_out / fan_in))

    def value(self, x, W):
        return apply(x, W)

    def transposed(self, dy, x, W, need_dx):  # dx = dy W,  dW = dy^T x
        return apply(dy, transpose(W)) if need_dx else None, transpose(rows(dy, W)) @ rows(x, W)


class Embed(Atom):
    """y = row x of W; x: integers [...] from 0 to n - 1, W: [n, d], y: [..., d]. Its input is data: pull gives None for dx.

    norm = largest RMS of a row. Rows start random with RMS 1. With an ensemble, x has a leading axis of length 1 or K.
    """

    sharpness = (0.0, 1.0, 0.0)

    def __init__(self, d: int, n: int):
        self.shape = (whole("Embed", "n", n), whole("Embed", "d", d))
        self.norm = RowRMS(self.shape)

    def initialize(self, rng, dtype=np.float32):
        W = normal(rng, self.shape, np.float64)
        return Vector((W / np.sqrt((W * W).mean(-1, keepdims=True))).astype(dtype))

    def _check(self, x, W):
        if getattr(x, "dtype", None) is None or x.dtype.kind not in "iu":
            raise TypeError(f"{self} expects an array of integers, got {getattr(x, 'dtype', type(x).__name__)}")
        if x.size and not (0 <= int(x.min()) and int(x.max()) < self.shape[0]):
            raise ValueError(f"{self} expects integers from 0 to {self.shape[0] - 1}, got {int(x.min())} to {int(x.max())}")
        self.agree_ensemble(x, W)

    def _index(self, x, W):
        """What picks the rows x of W: for an ensemble, each network's own."""
        if W.ndim == 2:
            return x
        return namespace(x).arange(len(W)).reshape((-1,) + (1,) * (x.ndim - 1)), x

    def forward(self, x, w):
        W = self.weight(w)
        self._check(x, W)
        return W[self._index(x, W)]

    def linearize(self, x, w):
        W = self.weight(w)

        def push(dx, dw):
            return None if dw is None else self.weight(dw)[self._index(x, W)]

        def pull(dy, need_dx=True):
            return None, Covector(self.gathered(dy, x, W))

        return self.forward(x, w), push, pull

    def gathered(self, dy, x, W):
        """dW: its row i is the sum of dy over all places where x = i. For few rows a product with one-hot columns beats the scatter."""
        xp, n = namespace(W), self.shape[0]
        if n <= 256:
            hot = x.reshape(x.shape[:W.ndim - 2] + (1, -1)) == xp.arange(n)[:, None]
            return hot.astype(W.dtype) @ rows(dy, W)
        dW = xp.zeros_like(W)
        xp.add.at(dW, self._index(x, W), dy)
        return dW

    def __repr__(self):
        return f"Embed({self.shape[1]}, {self.shape[0]})"


class Conv2D(Bilinear):
    """y[i, j] = sum over kernel positions (a, b) of x[i + a - pad, j + b - pad] W[a, b]^T; zeros beyond the border, no bias.

    x: [..., height, width, fan_in], W: [k, k, fan_out, fan_in], y: [..., height, width, fan_out].
    norm = k^2 sqrt(fan_in / fan_out) * the largest spectral norm of a W[a, b]. Each W[a, b] starts orthogonal.
    """

    def __init__(self, fan_out: int, fan_in: int, k: int = 3, polar: Callable[[Array], Array] = exact_polar):
        k = whole("Conv2D", "k", k)
        self.shape = (k, k, whole("Conv2D", "fan_out", fan_out), whole("Conv2D", "fan_in", fan_in))
        self.norm = Scaled(k * k, Positions(RMSOperator((fan_out, fan_in), polar), self.shape))

    def initialize(self, rng, dtype=np.float32):
        k, _, fan_out, fan_in = self.shape
        return Vector(orthogonal(rng, self.shape, dtype) * (sqrt(fan_out / fan_in) / k ** 2))

    def __repr__(self):
        return f"Conv2D({self.shape[2]}, {self.shape[3]}, k={self.shape[0]})"

    def agree(self, x, W, features):
        super().agree(x, W, features)
        if x.ndim < 3 + (W.ndim > 4):
            raise ValueError(f"{self} expects x of shape [..., height, width, {features}], got {shapes(x)}")

    @property
    def margin(self) -> tuple[int, int]:
        """Zeros before and after the pixels, so that y has the height and width of x."""
        return (self.shape[0] - 1) // 2, self.shape[0] // 2

    def value(self, x, W):
        return correlate(x, W, self.margin)

    def transposed(self, dy, x, W, need_dx):  # dx: the same sum with the kernel turned round and transposed; dW: every window times its dy
        dx = correlate(dy, transpose(W[..., ::-1, ::-1, :, :]), self.margin[::-1]) if need_dx else None
        return dx, covariance(dy, x, W, self.margin)


CACHE = 1 << 18
"""How many numbers of windows are made at a time on the host: few enough to stay in the cache of a core."""


def windows(x: Array, W: Array, margin: tuple[int, int]) -> Iterator[tuple[slice, Array]]:
    """The k x k pixels around every pixel as rows [pixels, k * k * n], some images at a time, with the slice of pixels that they are.

    All at once they would be k * k times as large as x. Of an ensemble every network has its own [K, pixels, k * k * n], or all share [1, ...].
    """
    xp, k, lead, (height, width, n) = namespace(x), W.shape[-4], x.shape[:W.ndim - 4], x.shape[-3:]
    x = x.reshape(lead + (-1, height, width, n))
    x = xp.pad(x, [(0, 0)] * (x.ndim - 3) + [margin, margin, (0, 0)])
    around = xp.moveaxis(xp.lib.stride_tricks.sliding_window_view(x, (k, k), axis=(-3, -2)), -3, -1)
    at_once = max(1, CACHE // (height * width * k * k * n)) if xp is np else x.shape[-4]
    for i in range(0, x.shape[-4], at_once):
        rows = around[..., i:i + at_once, :, :, :, :, :].reshape(lead + (-1, k * k * n))
        yield slice(i * height * width, (i + at_once) * height * width), rows


def correlate(x: Array, W: Array, margin: tuple[int, int]) -> Array:
    """y[i, j] = sum over (a, b) of x[i + a - margin, j + b - margin] W[a, b]^T, shaped as in Conv2D."""
    xp, lead, m, shape = namespace(x), W.shape[:-4], W.shape[-2], x.shape[W.ndim - 4:-1]
    kernel, y = transpose(W).reshape(lead + (-1, m)), xp.empty_like(x, shape=lead + (prod(shape), m))
    for pixels, rows in windows(x, W, margin):
        xp.matmul(rows, kernel, out=y[..., pixels, :])
    return y.reshape(lead + shape + (m,))


def covariance(dy: Array, x: Array, W: Array, margin: tuple[int, int]) -> Array:
    """dW[a, b] = sum over all pixels (i, j) of dy[i, j]^T x[i + a - margin, j + b - margin], shaped like W."""
    dy = dy.reshape(dy.shape[:W.ndim - 4] + (-1, dy.shape[-1]))
    dW = sum(transpose(rows) @ dy[..., pixels, :] for pixels, rows in windows(x, W, margin))
    k, _, m, n = W.shape[-4:]
    return transpose(dW.reshape(W.shape[:-4] + (k, k, n, m)))
