"""Curvature of an objective: sharpness, spectrum, quadratic model and the gap of a majorization."""
from collections.abc import Callable

import numpy as np

from .arrays import Array, namespace, normal
from .linalg import lanczos
from .norms import Norm
from .objective import Objective, squares
from .vectors import Covector, Vector


def spectrum(objective: Objective, w: Vector, rng: np.random.Generator, steps: int = 40) -> tuple[Array, Array]:
    """Ritz values [k] and vectors [size, k] of the Hessian at w by `steps` Lanczos steps; the outermost ones converge first."""
    flat = w.flatten()
    start = namespace(flat).asarray(normal(rng, flat.shape, flat.dtype))
    return lanczos(lambda v: objective.hessian(w, w.unflatten(v)).flatten(), start, steps)


def sharpness(objective: Objective, w: Vector, rng: np.random.Generator, steps: int = 40) -> float:
    """The largest eigenvalue of the Hessian at w (not the largest in absolute value): gradient descent is stable below 2 / sharpness."""
    return float(spectrum(objective, w, rng, steps)[0][-1])


def sharpness_gradient(objective: Objective, w: Vector, u: Vector, step: float = 1e-4) -> Covector:
    """The gradient of the sharpness at w: the third derivative of the loss along u and u, for the top eigenvector u of the Hessian (any length).

    (g(w + h u) - 2 g(w) + g(w - h u)) / h^2 with |u|_2 = 1 and h = step * (1 + rms w): three gradients, error of order h^2. Where the top
    eigenvalue is not simple the sharpness has a kink and no gradient. Raises ValueError for u = 0, and TypeError in float32.
    """
    if any(leaf.dtype.itemsize < 8 for leaf in w.leaves()):
        raise TypeError("a second difference of gradients needs float64 weights and data; cast with .astype(np.float64)")
    length = squares(u) ** 0.5
    if not length > 0:
        raise ValueError("sharpness_gradient needs an eigenvector u that is not zero")
    h = step * (1 + (squares(w) / w.size) ** 0.5)
    du = (h / length) * u
    return (objective.gradient(w + du) - 2 * objective.gradient(w) + objective.gradient(w - du)) / (h * h)


def quadratic_model(objective: Objective, w: Vector) -> Callable[[Vector], float]:
    """dw -> L(w) + <g, dw> + 1/2 <H dw, dw>, the loss to second order."""
    value, g = objective.value_and_grad(w)
    return lambda dw: value + g @ dw + 0.5 * (objective.hessian(w, dw) @ dw)


def majorization_gap(objective: Objective, w: Vector, dw: Vector, norm: Norm, sharpness: float) -> float:
    """L(w) + <g, dw> + sharpness/2 norm(dw)^2 - L(w + dw): nonnegative for every dw if the norm and the sharpness majorize the loss at w."""
    value, g = objective.value_and_grad(w)
    return value + g @ dw + 0.5 * sharpness * norm(dw) ** 2 - objective(w + dw)


def hunt(objective: Objective, w: Vector, norm: Norm, sharpness: float, rng: np.random.Generator, sizes=(0.01, 0.1, 1.0), tries: int = 10,
         climbs: int = 20) -> tuple[float, Vector]:
    """The step dw with the least majorization gap that was found, and that gap divided by norm(dw)^2; negative: the bound is violated.

    From random steps of each size it climbs on the loss less its linear part: dw <- size * norm.dualize(gradient(w + dw) - g). What it does not
    find may exist all the same.
    """
    g, worst = objective.gradient(w), (np.inf, w * 0.0)
    for size in sizes:
        for _ in range(tries):
            flat = w.flatten()
            dw = size * norm.normalize(w.unflatten(namespace(flat).asarray(normal(rng, flat.shape, flat.dtype))))
            for _ in range(climbs):
                dw = size * norm.dualize(objective.gradient(w + dw) - g)
                gap = float(majorization_gap(objective, w, dw, norm, sharpness)) / float(norm(dw)) ** 2
                worst = min(worst, (gap, dw), key=lambda found: found[0])
    return worst
