"""Lecture 11's experiment: does the best step size stay put when a residual network gets deeper?

    python -m metrized.examples.depth          computes what is missing of results/depth.json
"""
from collections.abc import Callable
from math import sqrt

import numpy as np

from .. import data, sweeps
from ..atoms import Linear
from ..bonds import Identity, ReLU
from ..linalg import fast_polar
from ..losses import SquareError
from ..modules import Module
from ..norms import RMS, Euclidean, Layerwise, RMSOperator
from ..objective import Objective
from ..optimizers import Adam, SteepestDescent
from ..schedules import linear
from ..train import Diverged, descend
from . import copies, losses, program, shipped, step_sizes, train_together
from .width import pictures

DEPTHS = (2, 4, 8, 16, 32)
SEEDS = (0, 1, 2)
WIDTH, STEPS, BATCH = 64, 60, 128

MULTIPLIERS: dict[str, Callable] = {"1/L": lambda L: 1 / L, "1/√L": lambda L: 1 / sqrt(L), "1": lambda L: 1.0}
METHODS: dict[str, Callable] = {  # the rule for a step size; all start orthogonal
    "modular": lambda net, eta: SteepestDescent(net.norm, step_size=eta),
    "dualized": lambda net, eta: SteepestDescent(Layerwise(RMSOperator(polar=fast_polar)), step_size=eta),
    "Adam": lambda net, eta: Adam(eta),
    "SGD": lambda net, eta: SteepestDescent(Euclidean(), sharpness=1 / eta),
}
GRIDS = {  # log2 of the step sizes tried
    ("modular", "1/L"): range(-2, 6), ("modular", "1/√L"): range(-2, 7), ("modular", "1"): range(-1, 8),
    ("dualized", "1/L"): range(-5, 3), ("dualized", "1/√L"): range(-6, 2), ("dualized", "1"): range(-7, 2),
    ("Adam", "1/L"): range(-10, -3), ("Adam", "1/√L"): range(-11, -3), ("Adam", "1"): range(-13, -3),
    ("SGD", "1/L"): range(-4, 4), ("SGD", "1/√L"): range(-5, 3), ("SGD", "1"): range(-22, 1),
}


def network(depth: int, multiplier: str, mass: float = 5.0) -> Module:
    """Linear @ (Identity + m Linear @ ReLU) ** depth @ Linear, from 196 pixels to 10 classes at width 64; masses 1 : `mass` : 1."""
    block = Linear(WIDTH, WIDTH, fast_polar) @ ReLU()
    blocks = (Identity() + MULTIPLIERS[multiplier](depth) * block) ** depth
    return Linear(10, WIDTH, fast_polar) @ blocks.tare(mass) @ Linear(WIDTH, 196, fast_polar)


def run(method: str, multiplier: str, depth: int, log2_step: int, seed: int, steps: int = STEPS, mass: float = 5.0) -> dict:
    """Train a residual network on Fashion-MNIST; its loss on 1000 training images at the end, inf where it diverged."""
    rng, net, (x, t) = np.random.default_rng(seed), network(depth, multiplier, mass), pictures()
    batches = (Objective(net, SquareError(), x[i], t[i]) for i in data.batches(len(x), BATCH, rng))
    try:
        *_, last = descend(batches, net.initialize(rng), METHODS[method](net, 2.0 ** log2_step), steps, schedule=linear(steps))
        return {"loss": float(Objective(net, SquareError(), x[:1000], t[:1000])(last.w))}
    except Diverged:
        return {"loss": float("inf")}


def run_many(points: list[dict]) -> list[dict]:
    """What run returns for points that differ in their step sizes alone, from one ensemble: a network for each step size."""
    point = {"steps": STEPS, "mass": 5.0, **points[0]}
    rng, net, (x, t) = np.random.default_rng(point["seed"]), network(point["depth"], point["multiplier"], point["mass"]), pictures()
    batches = (Objective(net, SquareError(), x[None, i], t[i]) for i in data.batches(len(x), BATCH, rng))
    w, rule = copies(net.initialize(rng), len(points)), METHODS[point["method"]](net, step_sizes(points))
    w, finite = train_together(batches, w, rule, point["steps"], linear(point["steps"]))
    return losses(Objective(net, SquareError(), x[None, :1000], t[:1000]), w, finite)


def block_sums(depth: int, seed: int, multiplier: str = "1/L") -> np.ndarray:
    """[2]: the length of the sum over all blocks, in lengths of one block: of their outputs at the start, and of the changes that one dual step
    makes in them. The square root of the depth for independent blocks, the depth for aligned ones.

    A change is the one through the block's own weights, its input held fixed.
    """
    images = data.load("fashion")
    x, t = data.standardize(images.train_x[:BATCH])[0], data.one_hot(images.train_y[:BATCH])
    net = network(depth, multiplier)
    w = net.initialize(np.random.default_rng(seed))
    step = Layerwise(RMSOperator()).dualize(Objective(net, SquareError(), x, t).gradient(w))
    (first, *blocks, _), (_, *changes, _) = w.leaves()[::-1], step.leaves()[::-1]
    h, found = x @ first.T, []
    for W, D in zip(blocks, changes, strict=True):
        up = np.maximum(h, 0)
        found.append((up @ W.T, up @ D.T))
        h = h + MULTIPLIERS[multiplier](depth) * found[-1][0]
    return np.array([RMS()(sum(z)) / np.mean([RMS()(part) for part in z]) for z in zip(*found, strict=True)], dtype=float)


def points(methods=METHODS, multipliers=MULTIPLIERS, depths=DEPTHS, seeds=SEEDS) -> list[dict]:
    """The grid of the sweep."""
    return [point for method in methods for m in multipliers
            for point in sweeps.grid(method=[method], multiplier=[m], depth=depths, log2_step=GRIDS[method, m], seed=seeds)]


def results() -> list[dict]:
    """The table that ships with the package: rows of method, multiplier, depth, log2_step, seed, loss."""
    return shipped("depth")


def best(rows: list[dict], method: str, multiplier: str) -> np.ndarray:
    """[2, seeds, depths]: log2 of the best step size, and its loss. Raises ValueError where a run failed or the best step is on its grid's edge."""
    if errors := {r["error"] for r in rows if "error" in r}:
        raise ValueError(f"some runs of the sweep failed: {', '.join(errors)}")
    mine = lambda L, seed: [r for r in rows if (r["method"], r["multiplier"], r["depth"], r["seed"]) == (method, multiplier, L, seed)]
    found = [[sweeps.best_step([2.0 ** r["log2_step"] for r in mine(L, seed)], [r["loss"] for r in mine(L, seed)]) for L in DEPTHS]
             for seed in SEEDS]
    return np.moveaxis(np.array(found), -1, 0)


TOGETHER = sweeps.Together(run_many, over=("log2_step",), narrow=lambda point: True)
"""All are of width 64, where eight step sizes as one ensemble take .3 to .6 of the time: benchmarks/together.py measures it."""


def main(arguments: list[str] | None = None) -> None:
    """Compute what is missing of the sweep and write its table."""
    program("depth", run, points, arguments, together=TOGETHER, cost=lambda point: 1 + point["depth"])


if __name__ == "__main__":
    main()
