"""Lecture 13's experiments: a small GPT under four optimizers, at several widths, depths, and budgets of floating-point operations.

    python -m metrized.examples.gpt_sweep          computes what is missing of results/gpt.json

Its options, and how to run it at full size, are told in cluster.md.
"""
from math import inf

import numpy as np

from .. import data, sweeps
from ..arrays import to_device
from ..compounds import GPT
from ..linalg import fast_polar
from ..losses import CrossEntropy
from ..objective import Objective
from ..schedules import linear
from ..train import Diverged, descend
from . import copies, member, program, shipped, step_sizes, train_together
from .gpt import RULES, batch, split, validation_loss

SEEDS = (0, 1, 2)
CONTEXT, BATCH, HEADS, STEPS = 32, 16, 4, 80
WIDTHS, DEPTHS = (16, 32, 64, 128), (1, 2, 4, 8)
GRIDS = {"dualized": range(-4, 2), "adam": range(-9, -1), "normalized": range(-3, 3), "sgd": range(-2, 5)}  # log2 of the step sizes tried
FULL_WIDTHS, FULL_DEPTHS, FULL_SEEDS, FULL_STEPS = (*WIDTHS, 256, 512), (*DEPTHS, 16), (0, 1, 2, 3, 4), (80, 320)
BUDGETS = {3e9: (8, 16, 24, 32, 48), 9e9: (8, 16, 24, 32, 48, 64), 27e9: (16, 24, 32, 48, 64, 96), 81e9: (16, 24, 32, 48, 64, 96)}
"""Widths that are tried with so many operations."""


def run(optimizer: str, width: int, depth: int, log2_step: int, seed: int, steps: int, device: str = "cpu") -> dict:
    """Train a GPT of `depth` blocks on "Pride and Prejudice", with linear decay; its loss on the end of the book, inf where it diverged."""
    rng, text = np.random.default_rng(seed), data.load("austen")
    tokens, rest = split(text.tokens)
    net = GPT(len(text.alphabet), width, HEADS, depth, polar=fast_polar)
    batches = (Objective(net, CrossEntropy(), *to_device(batch(tokens, BATCH, CONTEXT, rng), device)) for _ in iter(int, 1))
    try:
        *_, last = descend(batches, net.initialize(rng).to(device), RULES[optimizer][0](net, 2.0 ** log2_step), steps, schedule=linear(steps))
        return {"loss": validation_loss(net, last.w, rest, CONTEXT)}
    except Diverged:
        return {"loss": inf}


def run_many(points: list[dict]) -> list[dict]:
    """What run returns for points that differ in their step sizes alone, from one ensemble: a network for each step size."""
    point = {"device": "cpu", **points[0]}
    rng, text = np.random.default_rng(point["seed"]), data.load("austen")
    tokens, rest = split(text.tokens)
    net = GPT(len(text.alphabet), point["width"], HEADS, point["depth"], polar=fast_polar)
    samples = (to_device(batch(tokens, BATCH, CONTEXT, rng), point["device"]) for _ in iter(int, 1))
    batches = (Objective(net, CrossEntropy(), x[None], t) for x, t in samples)
    rule = RULES[point["optimizer"]][0](net, step_sizes(points, point["device"]))
    w = copies(net.initialize(rng).to(point["device"]), len(points))
    w, finite = train_together(batches, w, rule, point["steps"], linear(point["steps"]))
    return [{"loss": validation_loss(net, member(w, k), rest, CONTEXT) if fine else inf} for k, fine in enumerate(finite)]


def operations(width: int, depth: int, vocabulary: int = 75) -> float:
    """Operations of the matrix products in one training step: 6 for each weight and token, and 12 T d a block and token for attention."""
    weights = 12 * width ** 2 * depth + width * vocabulary
    return BATCH * CONTEXT * (6 * weights + 12 * CONTEXT * width * depth)


def size(width: int, depth: int, vocabulary: int = 75) -> int:
    """How many weights the network has."""
    return 12 * width ** 2 * depth + 2 * width * vocabulary


def points(optimizers=GRIDS, widths=WIDTHS, depths=DEPTHS, seeds=SEEDS, steps=STEPS, grids=GRIDS, **rest) -> list[dict]:
    """The grids: widths at depth 2; for two of the optimizers also the greatest widths, from 128 on, and depths at width 32.

    `rest`, such as device="gpu", goes to every run.
    """
    both = ("dualized", "adam")
    shapes = [(o, width, 2) for width in widths for o in optimizers if width < 128 or o in both]
    shapes += [(o, 32, depth) for depth in depths for o in optimizers if depth != 2 and o in both]
    return [point | rest for o, width, depth in shapes
            for point in sweeps.grid(optimizer=[o], width=[width], depth=[depth], log2_step=grids[o], seed=seeds, steps=[steps])]


def budget_points(seeds=SEEDS, **rest) -> list[dict]:
    """Dualized training at equal operations, so the wider the fewer steps; four step sizes around 2.8 / sqrt(steps)."""
    found = []
    for budget, widths in BUDGETS.items():
        for width in widths:
            steps = round(budget / operations(width, 2))
            middle = round(np.log2(2.8 / steps ** 0.5))
            found += sweeps.grid(optimizer=["dualized"], width=[width], depth=[2], log2_step=range(middle - 1, middle + 3), seed=seeds, steps=[steps])
    return [point | rest for point in found]


def full_points() -> list[dict]:
    """The grids at full size: wider by two octaves, deeper by one, five seeds, four times the steps as well, and smaller steps for Adam."""
    grids = GRIDS | {"adam": range(-12, -1)}
    found = [point for steps in FULL_STEPS for point in points(GRIDS, FULL_WIDTHS, FULL_DEPTHS, FULL_SEEDS, steps, grids)]
    return found + budget_points(FULL_SEEDS)


def results() -> list[dict]:
    """The table that ships with the package: rows of optimizer, width, depth, log2_step, seed, steps, loss."""
    return shipped("gpt")


TOGETHER = sweeps.Together(run_many, over=("log2_step",), narrow=lambda point: point["width"] <= 64)
"""Five step sizes as one ensemble take .4 of the time at width 16, .6 to .8 at 64, .8 to 1 at 128: benchmarks/together.py measures it."""


def cost(point: dict) -> float:
    """About how many seconds a run takes: the operations of its matrix products, and what a small one waits for Python."""
    return point["steps"] * (operations(point["width"], point["depth"]) / 3e10 + 6e-3 * point["depth"])


def main(arguments: list[str] | None = None) -> None:
    """Compute what is missing of the sweeps and write their table."""
    program("gpt", run, lambda: points() + budget_points(), arguments, full=full_points, jobs=1, together=TOGETHER, cost=cost)


if __name__ == "__main__":
    main()
