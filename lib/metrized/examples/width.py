"""Lecture 10's experiment: does the best step size stay put when a network gets wider?

    python -m metrized.examples.width          computes what is missing of results/width.json, and draws results/drift.png

Its options, and how to run it at full size, are told in cluster.md.
"""
from collections.abc import Callable
from functools import partial
from math import sqrt
from pathlib import Path

import numpy as np

from .. import data, figures, sweeps
from ..arrays import Array, namespace, normal, to_device
from ..compounds import MLP
from ..linalg import polar
from ..live import Still, still
from ..losses import SquareError
from ..modules import Module
from ..norms import RMS, Euclidean, FanScaled, Frobenius, Layerwise, RMSOperator
from ..objective import Objective
from ..optimizers import LARS, Adam, NormalizedDescent, SteepestDescent
from ..schedules import linear
from ..train import Diverged, descend
from ..vectors import Vector
from . import copies, losses, program, shipped, step_sizes, train_together

WIDTHS = (32, 64, 128, 256, 512, 1024)
SEEDS = (0, 1, 2)
STEPS, BATCH = 60, 128
FULL_WIDTHS, FULL_SEEDS = (*WIDTHS, 2048, 4096), (0, 1, 2, 3, 4)


def he(net: Module, rng: np.random.Generator) -> Vector:
    """Independent N(0, 2 / fan_in): the standard start for ReLU. He et al. 2015."""
    return net.initialize(rng).map(lambda W: normal(rng, W.shape) * sqrt(2 / W.shape[1]))


def spectral(net: Module, rng: np.random.Generator) -> Vector:
    """Gaussian matrices, each divided by its RMS -> RMS norm."""
    return Layerwise(RMSOperator()).normalize(he(net, rng))


def orthogonal(net: Module, rng: np.random.Generator) -> Vector:
    """All singular values equal and RMS -> RMS norm 1."""
    return net.initialize(rng)


METHODS: dict[str, tuple[Callable, Callable]] = {  # start of the weights, and rule for a step size
    "SGD": (he, lambda net, eta: SteepestDescent(Euclidean(), sharpness=1 / eta)),
    "Adam": (he, lambda net, eta: Adam(eta)),
    "Frobenius": (he, lambda net, eta: NormalizedDescent(Layerwise(Frobenius()), eta)),
    "LARS": (he, lambda net, eta: LARS(eta)),
    "spectral": (spectral, lambda net, eta: NormalizedDescent(Layerwise(RMSOperator()), eta)),
    "dualized": (orthogonal, lambda net, eta: SteepestDescent(net.norm, step_size=eta)),
    "SGD, orthogonal start": (orthogonal, lambda net, eta: SteepestDescent(Euclidean(), sharpness=1 / eta)),
    "Adam, orthogonal start": (orthogonal, lambda net, eta: Adam(eta)),
    "spectral, He start": (he, lambda net, eta: NormalizedDescent(Layerwise(RMSOperator()), eta)),
    "dualized, He start": (he, lambda net, eta: SteepestDescent(net.norm, step_size=eta)),
    "Frobenius with fans": (orthogonal, lambda net, eta: NormalizedDescent(Layerwise(FanScaled(Frobenius())), eta)),
}
GRIDS = {  # log2 of the step sizes tried
    "SGD": range(-8, 3), "SGD, orthogonal start": range(-6, 5), "Adam": range(-13, -3), "Adam, orthogonal start": range(-12, -2),
    "Frobenius": range(-6, 5), "Frobenius with fans": range(-5, 5), "spectral": range(-5, 5),
    "dualized": range(-5, 4), "dualized, He start": range(-5, 4), "LARS": range(-9, 2), "spectral, He start": range(-5, 5),
}


def network(width: int) -> Module:
    """Three layers of this width, from 196 pixels to 10 classes."""
    return MLP(10, width, width, 196, polar=partial(polar, rank=BATCH))  # a gradient of 128 images has rank 128


def pictures(device: str = "cpu") -> tuple[Array, Array]:
    """Fashion-MNIST: x [5000, 196], standardized, and t [5000, 10]; on `device`."""
    images = data.load("fashion")
    return to_device((data.standardize(images.train_x)[0], data.one_hot(images.train_y)), device)


def run(method: str, width: int, log2_step: int, seed: int, steps: int = STEPS, device: str = "cpu") -> dict:
    """Train a three-layer network on Fashion-MNIST; its loss on 1000 training images at the end, inf where it diverged."""
    rng, net, (x, t) = np.random.default_rng(seed), network(width), pictures(device)
    start, rule = METHODS[method]
    batches = (Objective(net, SquareError(), x[i], t[i]) for i in data.batches(len(x), BATCH, rng, device))
    try:
        *_, last = descend(batches, start(net, rng).to(device), rule(net, 2.0 ** log2_step), steps, schedule=linear(steps))
        return {"loss": float(Objective(net, SquareError(), x[:1000], t[:1000])(last.w))}
    except Diverged:
        return {"loss": float("inf")}


def run_many(points: list[dict]) -> list[dict]:
    """What run returns for points that differ in their step sizes alone, from one ensemble: a network for each step size."""
    point = {"steps": STEPS, "device": "cpu", **points[0]}
    rng, net, (x, t) = np.random.default_rng(point["seed"]), network(point["width"]), pictures(point["device"])
    start, rule = METHODS[point["method"]]
    batches = (Objective(net, SquareError(), x[None, i], t[i]) for i in data.batches(len(x), BATCH, rng, point["device"]))
    w, etas = copies(start(net, rng).to(point["device"]), len(points)), step_sizes(points, point["device"])
    w, finite = train_together(batches, w, rule(net, etas), point["steps"], linear(point["steps"]))
    return losses(Objective(net, SquareError(), x[None, :1000], t[:1000]), w, finite)


def layer_changes(method: str, width: int, seed: int, eta: float = 2.0 ** -10, device: str = "cpu") -> np.ndarray:
    """[2, 3]: for each layer, what its own first step does to its output, rms(D h) / eta, and the bound |D| rms(h) / eta on that.

    D is the layer's step, h its input in the network before the step, |D| the RMS -> RMS norm.
    """
    rng = np.random.default_rng(seed)
    images = data.load("fashion")
    x, t = to_device((data.standardize(images.train_x[:BATCH])[0], data.one_hot(images.train_y[:BATCH])), device)
    start, rule = METHODS[method]
    net = network(width)
    w = start(net, rng).to(device)
    rule = rule(net, eta)
    step, _ = rule(Objective(net, SquareError(), x, t).gradient(w), rule.start(w), w)
    h, found = x, []
    for W, D in zip(w.leaves()[::-1], step.leaves()[::-1], strict=True):
        found.append((float(RMS()(h @ D.T)) / eta, float(RMSOperator()(D) * RMS()(h)) / eta))
        h = namespace(h).maximum(h @ W.T, 0)
    return np.array(found).T


def points(methods=METHODS, widths=WIDTHS, seeds=SEEDS, grids=GRIDS, **rest) -> list[dict]:
    """The grid of the sweep; `rest`, such as device="gpu", goes to every run."""
    return [point | rest for method in methods for point in sweeps.grid(method=[method], width=widths, log2_step=grids[method], seed=seeds)]


def full_points() -> list[dict]:
    """The grid at full size: two octaves wider, and two octaves down where the best step size falls with the width; five seeds."""
    falls = lambda method: method.startswith(("SGD", "Adam"))
    return points(widths=FULL_WIDTHS, seeds=FULL_SEEDS, grids={m: range(grid.start - 2 * falls(m), grid.stop) for m, grid in GRIDS.items()})


def results() -> list[dict]:
    """The table that ships with the package: rows of method, width, log2_step, seed, loss."""
    return shipped("width")


TOGETHER = sweeps.Together(run_many, over=("log2_step",), narrow=lambda point: point["width"] <= 128)
"""Ten step sizes as one ensemble take .2 to .6 of the time at width 32, .6 to .8 at 128, .9 to 1 at 256: benchmarks/together.py measures it."""


def drift(rows: list[dict], method: str, seed: int, widths=None) -> list[float]:
    """log2 of the best step size at each width (WIDTHS unless given), for one method and seed. Raises ValueError where a run of the sweep failed."""
    if errors := {r["error"] for r in rows if "error" in r}:
        raise ValueError(f"some runs of the sweep failed: {', '.join(errors)}")
    mine = lambda width: [r for r in rows if (r["method"], r["width"], r["seed"]) == (method, width, seed)]
    return [sweeps.best_step([2.0 ** r["log2_step"] for r in mine(width)], [r["loss"] for r in mine(width)])[0]
            for width in widths or WIDTHS]


def cost(point: dict) -> float:
    """About how many seconds a run takes: the matrix products, and what the rule does to a square matrix."""
    d, rule = point["width"], point["method"].partition(",")[0]
    return 0.02 + 3e-6 * d ** 2 + {"dualized": 4e-3 * d, "spectral": 2.3e-8 * d ** 3}.get(rule, 0)


def main(arguments: list[str] | None = None) -> None:
    """Compute what is missing of the sweep; write its table and the README's picture."""
    if rows := program("width", run, points, arguments, full=full_points, together=TOGETHER, cost=cost):
        picture(rows).save(Path(__file__).parents[1] / "results" / "drift.png")


def picture(rows: list[dict]) -> Still:
    """The drift of the best step size with width, for the plain methods."""
    plain = ("SGD", "Adam", "LARS", "Frobenius", "spectral", "dualized")
    return still(figures.drifts, WIDTHS, {m: [drift(rows, m, seed) for seed in SEEDS] for m in plain})


if __name__ == "__main__":
    main()
