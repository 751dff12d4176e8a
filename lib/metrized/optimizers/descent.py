"""First-order rules: steepest descent under a norm, its Euclidean relatives, and momentum around any rule."""
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import namespace, ratio, to_numpy
from ..norms import Euclidean, Max, Norm
from ..vectors import Covector, Vector


def positive(name: str, value: float) -> None:
    """Raises ValueError unless 0 < value < inf (every entry of it, for an ensemble)."""
    size = to_numpy(value)
    if not ((size > 0).all() and (size < np.inf).all()):
        raise ValueError(f"{name} must be positive and finite, got {value}")


def known(norm: Norm) -> None:
    """Raises TypeError unless `norm` is a Norm."""
    if not isinstance(norm, Norm):
        raise TypeError(f"norm must be a Norm, such as Euclidean() or module.norm, got {norm!r}")


def shares(rule, *names: str) -> None:
    """Raises ValueError unless each of these attributes is in [0, 1)."""
    for name in names:
        if not 0 <= getattr(rule, name) < 1:
            raise ValueError(f"{name} must be in [0, 1), got {getattr(rule, name)}")


def zero(w: Vector) -> Covector:
    """0, in the shape of the weights."""
    return Covector((w * 0.0).nest())


class Rule:
    """A step from a gradient: step, state = rule(g, state, w). Without a start of its own it has no memory."""

    ruler: str
    """In words: the norm in which the step is the steepest one."""

    def start(self, w: Vector) -> Any:
        """The state before the first step from w."""
        return ()

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        """The Vector to add to the weights, and the state for the next call."""
        raise NotImplementedError


@dataclass(frozen=True)
class SteepestDescent(Rule):
    """Steepest descent under `norm`: -norm.sharp(g) / sharpness, or -step_size * norm.dualize(g), whose length in the norm is step_size.

    The first minimizes <g, d> + sharpness/2 norm(d)^2. Raises ValueError unless exactly one of the two is given, and positive.
    """

    ruler = "the norm that it is given"

    norm: Norm
    sharpness: float | None = None
    step_size: float | None = None

    def __post_init__(self):
        known(self.norm)
        if (self.sharpness is None) == (self.step_size is None):
            raise ValueError("SteepestDescent needs either a sharpness or a step_size (in units of the norm), and not both")
        positive("sharpness" if self.step_size is None else "step_size", self.sharpness if self.step_size is None else self.step_size)

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        if self.step_size is None:
            return -(self.norm.sharp(g) / self.sharpness), state
        return -(self.norm.dualize(g) * self.step_size), state


@dataclass(frozen=True)
class NormalizedDescent(Rule):
    """-step_size * g / norm(g): the Euclidean direction, resized to length step_size in `norm`. No dual map unless the norm is Euclidean's kin."""

    ruler = "Euclidean, resized in the norm that it is given"

    norm: Norm
    step_size: float

    def __post_init__(self):
        known(self.norm)
        positive("step_size", self.step_size)

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        if not isinstance(g, Covector):
            raise TypeError(f"NormalizedDescent met a {type(g).__name__} where a Covector belongs: a rule takes the gradient")
        return -(self.norm.normalize(Vector(g.nest())) * self.step_size), state


@dataclass(frozen=True)
class LARS(Rule):
    """-step_size * |W|_F * g / |g|_F, layer by layer: every layer changes by the same fraction of itself. You, Gitman & Ginsburg 2017.

    Their momentum and weight decay are left out. Step sizes [K] are those of an ensemble, whose networks are kept apart. Raises TypeError when it is
    not given the weights.
    """

    ruler = "Euclidean in each layer, resized by the weights of that layer"

    step_size: float

    def __post_init__(self):
        positive("step_size", self.step_size)

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        if w is None:
            raise TypeError("LARS scales its steps by the weights; call rule(g, state, w)")
        size = lambda x: namespace(x).sqrt((x * x).sum(tuple(range(getattr(self.step_size, "ndim", 0), x.ndim)), keepdims=True))
        return -(Vector(g.map(lambda x, W: ratio(x * size(W), size(x)), w).nest()) * self.step_size), state


@dataclass(frozen=True)
class AGD(Rule):
    """Automatic gradient descent: no step size. Each of L layers moves by -(eta / L) sqrt(fan_out / fan_in) G / |G|_F, where
    eta = log((1 + sqrt(1 + 4 S)) / 2) and S is the mean of sqrt(fan_out / fan_in) |G|_F over the layers. Bernstein et al. 2023.
    """

    ruler = "Frobenius in each layer, scaled by its fans"

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        fans = lambda G: (G.shape[0] / G.shape[1]) ** 0.5
        leaves = g.leaves()
        sizes = [fans(G) * float((G * G).sum()) ** 0.5 for G in leaves]
        eta = np.log((1 + np.sqrt(1 + 4 * sum(sizes) / len(sizes))) / 2)
        size = iter(sizes)
        return -(Vector(g.map(lambda G: fans(G) ** 2 * G / (next(size) or 1.0)).nest()) * float(eta / len(leaves))), state


@dataclass(frozen=True)
class HeavyBall(Rule):
    """Momentum around any rule: m <- beta m + g, then the rule at m. Around Euclidean descent it is Polyak's heavy ball (1964)."""

    ruler = "that of the rule inside"

    rule: Rule
    beta: float = 0.9

    def __post_init__(self):
        shares(self, "beta")

    def start(self, w: Vector) -> Any:
        return zero(w), self.rule.start(w)

    def __call__(self, g: Covector, state: Any, w: Vector | None = None) -> tuple[Vector, Any]:
        m, inner = state
        m = self.beta * m + g
        step, inner = self.rule(self.look(m, g), inner, w)
        return step, (m, inner)

    def look(self, m: Covector, g: Covector) -> Covector:
        """What the rule sees."""
        return m

    @staticmethod
    def matrix(s: float, beta: float) -> np.ndarray:
        """[2, 2]: takes the errors (e_t, e_t-1) to (e_t+1, e_t), for gradient descent with s = step size * curvature on a quadratic."""
        return np.array([[1 + beta - s, -beta], [1.0, 0.0]])


class Nesterov(HeavyBall):
    """HeavyBall that looks ahead: the rule sees g + beta m. Nesterov 1983, in the form of Sutskever et al. 2013."""

    def look(self, m, g):
        return g + self.beta * m

    @staticmethod
    def matrix(s, beta):
        return np.array([[(1 + beta) * (1 - s), -beta * (1 - s)], [1.0, 0.0]])


def SGD(step_size: float, beta: float = 0.0) -> Rule:
    """-step_size * g, or with momentum: steepest descent under Euclidean with sharpness 1 / step_size. Robbins & Monro 1951."""
    positive("step_size", step_size)
    rule = SteepestDescent(Euclidean(), sharpness=1 / step_size)
    return HeavyBall(rule, beta) if beta else rule


def SignDescent(step_size: float, beta: float = 0.0) -> Rule:
    """-step_size * sign(g), or of the momentum (Signum): steepest descent of fixed length under Max. Bernstein et al. 2018."""
    rule = SteepestDescent(Max(), step_size=step_size)
    return HeavyBall(rule, beta) if beta else rule


@dataclass(frozen=True)
class Fromage(Rule):
    """LARS, and the layer shrunk by 1 / sqrt(1 + step_size^2), without which its length would grow. Bernstein et al. 2020."""

    ruler = "Euclidean in each layer, resized by the weights of that layer"

    step_size: float

    def __post_init__(self):
        positive("step_size", self.step_size)

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        step, _ = LARS(self.step_size)(g, (), w)
        shrink = (1 + self.step_size ** 2) ** -0.5
        return (shrink - 1) * w + shrink * step, state
