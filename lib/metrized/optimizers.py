"""Optimizers: rules that turn a gradient (a Covector) into a step (a Vector to be added to the weights).

A rule is a value without memory: `state = rule.start(w)`, then `step, state = rule(g, state, w)`; only a rule that looks at the weights needs
w. The state is plain data (numbers, Vectors, Covectors, tuples) that can be pickled, and a run goes on from it exactly where it stopped.
"""
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .arrays import Array, namespace, ratio
from .linalg import conjugate_gradient
from .norms import Norm
from .objective import Objective
from .vectors import Covector, Vector


def positive(name: str, value: float) -> None:
    """Raises ValueError unless 0 < value < inf (every entry of it, for an ensemble)."""
    if not (np.all(value > 0) and np.all(value < np.inf)):
        raise ValueError(f"{name} must be positive and finite, got {value}")


def known(norm: Norm) -> None:
    """Raises TypeError unless `norm` is a Norm."""
    if not isinstance(norm, Norm):
        raise TypeError(f"norm must be a Norm, such as Euclidean() or module.norm, got {norm!r}")


class Rule:
    """A step from a gradient: step, state = rule(g, state, w). Without a start of its own it has no memory."""

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

    Their momentum and weight decay are left out. Raises TypeError when it is not given the weights.
    """

    step_size: float

    def __post_init__(self):
        positive("step_size", self.step_size)

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        if w is None:
            raise TypeError("LARS scales its steps by the weights; call rule(g, state, w)")
        size = lambda x: namespace(x).sqrt((x * x).sum())
        return -(Vector(g.map(lambda x, W: ratio(x * size(W), size(x)), w).nest()) * self.step_size), state


@dataclass(frozen=True)
class AGD(Rule):
    """Automatic gradient descent: no step size. Each of L layers moves by -(eta / L) sqrt(fan_out / fan_in) G / |G|_F, where
    eta = log((1 + sqrt(1 + 4 S)) / 2) and S is the mean of sqrt(fan_out / fan_in) |G|_F over the layers. Bernstein et al. 2023.
    """

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

    rule: Rule
    beta: float = 0.9

    def __post_init__(self):
        if not 0 <= self.beta < 1:
            raise ValueError(f"beta must be in [0, 1), got {self.beta}")

    def start(self, w: Vector) -> Any:
        return Covector((w * 0.0).nest()), self.rule.start(w)

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

    step_size: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        positive("step_size", self.step_size)
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")

    def start(self, w: Vector) -> AdamState:
        zero = Covector((w * 0.0).nest())
        return AdamState(0, zero, zero)

    def __call__(self, g: Covector, state: AdamState, w: Vector | None = None) -> tuple[Vector, AdamState]:
        t = state.t + 1
        m = self.beta1 * state.m + (1 - self.beta1) * g
        v = self.beta2 * state.v + (1 - self.beta2) * g.map(lambda x: x * x)
        a, b, eps = (float(c) for c in (1 / (1 - self.beta1 ** t), 1 / (1 - self.beta2 ** t), self.eps))
        direction = m.map(lambda m, v: ratio(a * m, namespace(v).sqrt(b * v) + eps), v)
        return -(Vector(direction.nest()) * self.step_size), AdamState(t, m, v)


# Second-order rules. They look at the objective as well as at the gradient, and take the Euclidean metric of the weights for granted.


@dataclass(frozen=True)
class Newton(Rule):
    """-U diag(1 / curvature(lambda)) U^T g with the Hessian H = U diag(lambda) U^T at w, formed column by column: n products, n^3 to solve.

    `curvature` takes the eigenvalues [n] to those that are inverted: np.positive for Newton's method, np.abs for the saddle-free kind (Dauphin et
    al. 2014), lambda lam: lam + mu for damping. Raises ValueError where one of them is zero.
    """

    objective: Objective
    curvature: Callable[[Array], Array] = np.positive

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        values, U = namespace(w.flatten()).linalg.eigh(hessian_matrix(self.objective, w))
        curved = self.curvature(values)
        if not (curved != 0).all():
            raise ValueError("Newton met a curvature of zero, which it cannot invert; add damping, as in curvature=lambda lam: lam + 1e-3")
        return w.unflatten(-(U @ ((U.T @ g.flatten()) / curved))), state


@dataclass(frozen=True)
class CubicNewton(Rule):
    """The global minimum of <g, d> + 1/2 <H d, d> + M/6 |d|^3, which lies above the loss if its Hessian is M-Lipschitz. Nesterov & Polyak 2006.

    d = -(H + r M/2)^-1 g with r = |d|, found by bisection on the eigenvalues of H. Where g has no part along the most negative curvature, as on
    a saddle, that direction fills d up to the least r for which the matrix is not negative.
    """

    objective: Objective
    M: float

    def __post_init__(self):
        positive("M", self.M)

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        values, U = namespace(w.flatten()).linalg.eigh(hessian_matrix(self.objective, w))
        h = U.T @ g.flatten()
        solve = lambda r: -h / (values + 0.5 * self.M * r)
        size = lambda r: float((solve(r) ** 2).sum()) ** 0.5
        low = max(0.0, -2 * float(values[0]) / self.M) * (1 + 1e-12) + 1e-12  # here H + r M/2 becomes positive definite
        if values[0] < 0 and (short := low * low - size(low) ** 2) > 0:
            d = solve(low)
            d[0] += short ** 0.5 * (1 if d[0] >= 0 else -1)
            return w.unflatten(U @ d), state
        high = low + 1.0
        while size(high) > high:
            high = 2 * high
        for _ in range(100):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if size(middle) > middle else (low, middle)
        return w.unflatten(U @ solve(high)), state


@dataclass(frozen=True)
class GaussNewton(Rule):
    """-(G + damping)^-1 g with G = J^T l'' J, by conjugate gradients on products: no Jacobian, no matrix; at most `steps` products.

    With damping > 0 this is Levenberg's method (1944).
    """

    objective: Objective
    damping: float = 0.0
    steps: int = 100

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        G = self.objective.gauss_newton(w)
        product = lambda v: G(w.unflatten(v)).flatten() + self.damping * v
        return w.unflatten(-conjugate_gradient(product, g.flatten(), self.steps)), state


@dataclass(frozen=True)
class LevenbergMarquardt(Rule):
    """GaussNewton that finds its own damping: three times less after a step that descends, twice more and once again after one that does not.

    The state is the damping. Raises ValueError where no damping makes the step descend. Marquardt 1963.
    """

    objective: Objective
    damping: float = 1e-3
    steps: int = 100

    def start(self, w: Vector) -> float:
        return self.damping

    def __call__(self, g: Covector, state: float, w: Vector | None = None) -> tuple[Vector, float]:
        loss = self.objective(w)
        for _ in range(60):
            step, _ = GaussNewton(self.objective, state, self.steps)(g, (), w)
            if self.objective(w + step) <= loss:
                return step, state / 3
            state = 2 * state
        raise ValueError("LevenbergMarquardt found no step that descends; the loss may be at a minimum already, to rounding")


@dataclass(frozen=True)
class ConjugateGradient(Rule):
    """Nonlinear conjugate gradients: d = -g + b d_old, with b of Polak & Ribiere (1969), never negative, and the step that the curvature asks for.

    The step along d is -<g, d> / <H d, d>, one Hessian product; where the curvature is not positive it is 1 / |d|. On a quadratic in n
    dimensions n steps arrive. The state holds the last gradient and direction.
    """

    objective: Objective

    def start(self, w: Vector) -> Any:
        return None

    def __call__(self, g: Covector, state: Any, w: Vector | None = None) -> tuple[Vector, Any]:
        flat = g.flatten()
        d = -flat
        if state is not None:
            old, last = state
            b = float(flat @ (flat - old)) / float(old @ old)
            d = d + max(0.0, b) * last
            d = d if float(d @ flat) < 0 else -flat
        bent = float(self.objective.hessian(w, w.unflatten(d)).flatten() @ d)
        eta = -float(flat @ d) / bent if bent > 0 else 1 / float(d @ d) ** 0.5
        return w.unflatten(eta * d), (flat, d)


def hessian_matrix(objective: Objective, w: Vector) -> Array:
    """H [n, n] at w, symmetric, one product a column. For small n: the storage grows as n^2."""
    xp = namespace(w.flatten())
    H = xp.stack([objective.hessian(w, w.unflatten(e)).flatten() for e in xp.eye(w.size)])
    return 0.5 * (H + H.T)
