"""Rules for matrices: Shampoo, which accumulates two matrices for each layer, and Muon, which orthogonalizes a momentum."""
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from ..arrays import Array, namespace, transpose
from ..linalg import MUON, inverse_root, newton_schulz
from ..norms import Layerwise, MuonNorm
from ..vectors import Covector, Vector
from .descent import HeavyBall, Nesterov, Rule, SteepestDescent, positive


@dataclass(frozen=True)
class Shampoo(Rule):
    """-step_size * L^(-1/4) G R^(-1/4) with L <- memory L + G G^T and R <- memory R + G^T G, which begin at eps. Gupta, Koren & Singer 2018.

    memory = 1 adds up as they do. Without memory and eps it is -step_size * U V^T, steepest descent under Spectral in each layer. The roots
    are pseudo-inverse: what G never showed stays 0. Raises ValueError for weights that are not matrices.
    """

    ruler = "Spectral in each layer, without memory; with it, Weighted by a Kronecker product"

    step_size: float
    memory: float = 1.0
    eps: float = 0.0

    def __post_init__(self):
        positive("step_size", self.step_size)
        if not 0 <= self.memory <= 1:
            raise ValueError(f"memory must be in [0, 1], got {self.memory}")

    def start(self, w: Vector) -> tuple[Covector, Covector]:
        for W in w.leaves():
            if W.ndim != 2:
                raise ValueError(f"Shampoo needs matrices, got weights {list(W.shape)}")
        eye = lambda W, axis: self.eps * namespace(W).eye(W.shape[axis], dtype=W.dtype)
        return Covector(w.map(lambda W: eye(W, 0)).nest()), Covector(w.map(lambda W: eye(W, 1)).nest())

    def __call__(self, g: Covector, state: tuple[Covector, Covector], w: Vector | None = None) -> tuple[Vector, tuple[Covector, Covector]]:
        L = state[0].map(lambda L, G: self.memory * L + G @ transpose(G), g)
        R = state[1].map(lambda R, G: self.memory * R + transpose(G) @ G, g)
        step = g.map(lambda G, L, R: inverse_root(L, 4) @ G @ inverse_root(R, 4), L, R)
        return -(Vector(step.nest()) * self.step_size), (L, R)


def Muon(step_size: float, beta: float = 0.95, nesterov: bool = True, polar: Callable[[Array], Array] = partial(newton_schulz, scheme=MUON)) -> Rule:
    """Momentum, orthogonalized by five Newton-Schulz steps: Nesterov (or HeavyBall) around steepest descent under MuonNorm. Jordan et al. 2024."""
    return (Nesterov if nesterov else HeavyBall)(SteepestDescent(Layerwise(MuonNorm(polar=polar)), step_size=step_size), beta)
