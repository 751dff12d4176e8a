"""Rules that measure every number of a gradient by its own history: Adagrad, RMSProp, Adam, Adafactor; and Lion, which keeps the sign alone."""
from dataclasses import dataclass
from typing import NamedTuple

from ..arrays import Array, namespace, ratio, rounding
from ..vectors import Covector, Vector
from .descent import Rule, positive, shares, zero


def square(g: Covector) -> Covector:
    """Every number squared."""
    return g.map(lambda x: x * x)


def over_root(g: Covector, v: Covector, eps: float) -> Vector:
    """g / (sqrt(v) + eps), number by number; 0 where both are 0."""
    return Vector(g.map(lambda g, v: ratio(g, namespace(v).sqrt(v) + eps), v).nest())


@dataclass(frozen=True)
class Adagrad(Rule):
    """-step_size * g / (sqrt(v) + eps) with v the sum of all g^2 so far. Duchi, Hazan & Singer 2011."""

    ruler = "Weighted, by the root of the sum of all g^2"

    step_size: float
    eps: float = 1e-10

    def __post_init__(self):
        positive("step_size", self.step_size)

    def start(self, w: Vector) -> Covector:
        return zero(w)

    def __call__(self, g: Covector, state: Covector, w: Vector | None = None) -> tuple[Vector, Covector]:
        v = state + square(g)
        return -(over_root(g, v, self.eps) * self.step_size), v


@dataclass(frozen=True)
class RMSProp(Rule):
    """-step_size * g / (sqrt(v) + eps) with v the running mean of g^2, which begins at 0 and is not corrected. Tieleman & Hinton 2012."""

    ruler = "Weighted, by the root of the running mean of g^2"

    step_size: float
    beta: float = 0.99
    eps: float = 1e-8

    def __post_init__(self):
        positive("step_size", self.step_size)
        shares(self, "beta")

    def start(self, w: Vector) -> Covector:
        return zero(w)

    def __call__(self, g: Covector, state: Covector, w: Vector | None = None) -> tuple[Vector, Covector]:
        v = self.beta * state + (1 - self.beta) * square(g)
        return -(over_root(g, v, self.eps) * self.step_size), v


class AdamState(NamedTuple):
    """Steps taken, and the running means of g and g^2."""

    t: int
    m: Covector
    v: Covector


@dataclass(frozen=True)
class Adam(Rule):
    """-step_size * m / (sqrt(v) + eps), with bias-corrected running means m of g and v of g^2. Kingma & Ba 2015.

    With beta1 = beta2 = eps = 0 it is steepest descent under Max: -step_size * sign(g).
    """

    ruler = "Max, where g keeps its sign; otherwise Max weighed by the signal in g"

    step_size: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        positive("step_size", self.step_size)
        shares(self, "beta1", "beta2")

    def start(self, w: Vector) -> AdamState:
        return AdamState(0, zero(w), zero(w))

    def __call__(self, g: Covector, state: AdamState, w: Vector | None = None) -> tuple[Vector, AdamState]:
        t = state.t + 1
        m = self.beta1 * state.m + (1 - self.beta1) * g
        v = self.beta2 * state.v + (1 - self.beta2) * square(g)
        a, b, eps = (float(c) for c in (1 / (1 - self.beta1 ** t), 1 / (1 - self.beta2 ** t), self.eps))
        direction = m.map(lambda m, v: ratio(a * m, namespace(v).sqrt(b * v) + eps), v)
        return -(Vector(direction.nest()) * self.step_size), AdamState(t, m, v)


@dataclass(frozen=True)
class Lion(Rule):
    """-step_size * sign(beta1 m + (1 - beta1) g), then m <- beta2 m + (1 - beta2) g. Chen et al. 2023: found by a program search."""

    ruler = "Max"

    step_size: float
    beta1: float = 0.9
    beta2: float = 0.99

    def __post_init__(self):
        positive("step_size", self.step_size)
        shares(self, "beta1", "beta2")

    def start(self, w: Vector) -> Covector:
        return zero(w)

    def __call__(self, g: Covector, state: Covector, w: Vector | None = None) -> tuple[Vector, Covector]:
        seen = self.beta1 * state + (1 - self.beta1) * g
        step = Vector(seen.map(lambda x: namespace(x).sign(x)).nest())
        return -(step * self.step_size), self.beta2 * state + (1 - self.beta2) * g


class AdafactorState(NamedTuple):
    """Steps taken, and the running means of g^2 over each row [..., m, 1] and column [..., 1, n], or of g^2 itself for an array of one axis."""

    t: int
    rows: Covector
    columns: Covector


@dataclass(frozen=True)
class Adafactor(Rule):
    """Adam without momentum, with v [m, n] replaced by the product of its row and column means: m + n numbers of state. Shazeer & Stern 2018.

    The share of the past at step t is 1 - t^decay. A step of RMS over `clip` is cut to it, and its size is the smaller of step_size and
    1 / sqrt(t), times the RMS of the weights (at least eps). Raises TypeError when it is not given the weights.
    """

    ruler = "Weighted, by a product of one number a row and one a column"

    step_size: float = 0.01
    decay: float = -0.8
    eps: float = 1e-3
    clip: float = 1.0

    def __post_init__(self):
        positive("step_size", self.step_size)

    def start(self, w: Vector) -> AdafactorState:
        matrix = lambda W, axis: (W * 0).mean(axis, keepdims=True) if W.ndim > 1 else W * 0
        return AdafactorState(0, Covector(w.map(lambda W: matrix(W, -1)).nest()), Covector(w.map(lambda W: matrix(W, -2)).nest()))

    def __call__(self, g: Covector, state: AdafactorState, w: Vector | None = None) -> tuple[Vector, AdafactorState]:
        if w is None:
            raise TypeError("Adafactor scales its steps by the weights; call rule(g, state, w)")
        t = state.t + 1
        past = 1 - t ** self.decay
        mean = lambda old, g, axis: past * old + (1 - past) * ((g * g).mean(axis, keepdims=True) if g.ndim > 1 else g * g)
        rows = state.rows.map(lambda old, g: mean(old, g, -1), g)
        columns = state.columns.map(lambda old, g: mean(old, g, -2), g)
        size = min(self.step_size, t ** -0.5)
        step = g.map(lambda g, r, c, W: size * self.one(g, r, c, W), rows, columns, w)
        return -Vector(step.nest()), AdafactorState(t, rows, columns)

    def one(self, g: Array, r: Array, c: Array, W: Array) -> Array:
        """The step of one array, for a step size of 1 and weights of RMS 1 or less than eps."""
        xp, tiny = namespace(g), rounding(g)
        rms = lambda x: float(xp.sqrt((x * x).mean()))
        v = r * c / xp.maximum(r.mean(-2, keepdims=True), tiny) if g.ndim > 1 else r
        u = g / xp.sqrt(xp.maximum(v, tiny * tiny))
        return max(self.eps, rms(W)) / max(1.0, rms(u) / self.clip) * u
