"""Second-order rules. They look at the objective as well as at the gradient, and take the Euclidean metric of the weights for granted."""
from collections.abc import Callable
from dataclasses import dataclass
from operator import pos
from typing import Any

from ..arrays import Array, namespace
from ..linalg import conjugate_gradient
from ..objective import Objective
from ..vectors import Covector, Vector
from .descent import Rule, positive


@dataclass(frozen=True)
class Newton(Rule):
    """-U diag(1 / curvature(lambda)) U^T g with the Hessian H = U diag(lambda) U^T at w, formed column by column: n products, n^3 to solve.

    `curvature` takes the eigenvalues [n] to those that are inverted: as they are for Newton's method, abs for the saddle-free kind (Dauphin et
    al. 2014), lambda lam: lam + mu for damping. Raises ValueError where one of them is zero.
    """

    ruler = "Weighted, by the Hessian where that is positive"

    objective: Objective
    curvature: Callable[[Array], Array] = pos

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

    ruler = "Weighted by the Hessian, and a cube of Euclidean"

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

    ruler = "Weighted, by J^T l'' J"

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

    ruler = "Weighted, by J^T l'' J + damping"

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

    ruler = "Euclidean, along directions that the Hessian keeps apart"

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
