"""Lecture 7's experiment on real images: how many steps does a network need to reach a loss, for each batch size with its own best step size?

    python -m metrized.examples.batches        recomputes results/batches.json, in two minutes
"""
from math import inf

import numpy as np

from .. import data
from ..compounds import MLP
from ..losses import CrossEntropy
from ..norms import Euclidean
from ..objective import Objective
from ..optimizers import SteepestDescent
from ..train import descend
from . import program, shipped
from .width import he

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
TARGETS = (0.9, 0.7, 0.55)
SEEDS = (0, 1, 2)
LIMIT = 20000


def run(batch: int, log2_step: float, seed: int) -> dict:
    """Train a two-layer network on Fashion-MNIST by SGD of constant step size; the steps after which its loss on 1000 training images has first
    been at most each target, inf where it was not within LIMIT steps. The loss is looked at after every step at first, then every 2 % of the steps.
    """
    rng = np.random.default_rng(seed)
    images = data.load("fashion")
    (x, _), t = data.standardize(images.train_x), images.train_y
    net, reached = MLP(10, 64, x.shape[1]), dict.fromkeys(TARGETS, inf)
    whole = Objective(net, CrossEntropy(), x[:1000], t[:1000])
    samples = (Objective(net, CrossEntropy(), x[i], t[i]) for i in data.batches(len(x), batch, rng))
    look = 1
    for step in descend(samples, he(net, rng), SteepestDescent(Euclidean(), sharpness=2.0 ** -log2_step), LIMIT, guard=False):
        if step.t < look:
            continue
        look = max(step.t + 1, int(1.02 * step.t))
        loss = float(whole(step.w))
        reached |= {target: step.t for target in TARGETS if loss <= target and reached[target] == inf}
        if reached[TARGETS[-1]] < inf or not loss < 100:
            break
    return {f"{target}": steps for target, steps in reached.items()}


def points(batches=BATCHES, seeds=SEEDS) -> list[dict]:
    """The grid: at batch size B nine step sizes, half octaves apart, around 2^-7 B or 2^-1.5, whichever is less."""
    middle = lambda B: min(np.log2(B) - 7, -1.5)
    return [dict(batch=B, log2_step=middle(B) + k / 2, seed=seed) for B in batches for k in range(-4, 5) for seed in seeds]


def results() -> list[dict]:
    """The rows that ship with the package."""
    return shipped("batches")


def best(rows: list[dict], target: float) -> dict[int, list[float]]:
    """For each batch size the least mean number of steps over the step sizes, and the log2 of that step size."""
    found = {}
    for B in sorted({r["batch"] for r in rows}):
        mean = {s: np.mean([r[str(target)] for r in rows if r["batch"] == B and r["log2_step"] == s])
                for s in sorted({r["log2_step"] for r in rows if r["batch"] == B})}
        least = min(mean, key=mean.get)
        found[B] = [float(mean[least]), least]
    return found


if __name__ == "__main__":
    program("batches", run, points)
