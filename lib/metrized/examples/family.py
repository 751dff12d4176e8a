"""Lecture 8's experiment: a small GPT under Adam, its family, and its rivals, every one with a range of step sizes and from two starts.

    python -m metrized.examples.family         computes what is missing of results/family.json
"""
from collections.abc import Callable, Iterator
from functools import cache
from math import inf

import numpy as np

from .. import data, sweeps
from ..arrays import normal
from ..compounds import GPT
from ..losses import CrossEntropy
from ..modules import Module
from ..objective import Objective
from ..optimizers import SGD, Adafactor, Adagrad, Adam, Clipped, HeavyBall, Lion, NormalizedDescent, RMSProp, SignDescent, SteepestDescent
from ..schedules import cosine, warmup
from ..train import Diverged, descend
from ..vectors import Vector
from . import program, shipped

CONTEXT, BATCH, STEPS, WARMUP = 16, 16, 200, 10
SEEDS = (0, 1, 2)
METHODS: dict[str, tuple[Callable, range]] = {  # a rule for a network and a step size; log2 of the step sizes tried
    "SGD": (lambda net, eta: SGD(eta), range(-3, 5)),
    "SGD, momentum": (lambda net, eta: SGD(eta, 0.9), range(-5, 4)),
    "SGD, momentum, clipped": (lambda net, eta: Clipped(SGD(eta, 0.9), 0.1), range(-1, 7)),
    "Adam": (lambda net, eta: Adam(eta), range(-9, -1)),
    "RMSProp": (lambda net, eta: RMSProp(eta), range(-9, -2)),
    "Adagrad": (lambda net, eta: Adagrad(eta), range(-6, 0)),
    "Adafactor": (lambda net, eta: Adafactor(eta), range(-6, 1)),
    "Lion": (lambda net, eta: Lion(eta), range(-10, -4)),
    "sign, momentum": (lambda net, eta: SignDescent(eta, 0.9), range(-10, -4)),
    "SGD, momentum, modular norm": (lambda net, eta: HeavyBall(NormalizedDescent(net.norm, eta), 0.9), range(-5, 3)),
    "dualized, momentum": (lambda net, eta: HeavyBall(SteepestDescent(net.norm, step_size=eta), 0.9), range(-6, 2)),
}
STARTS = ("orthogonal", "small")


@cache
def novel() -> data.Text:
    """"Pride and Prejudice"."""
    return data.load("austen")


def network() -> Module:
    """One block of width 32 with four heads: 17088 weights."""
    return GPT(len(novel().alphabet), 32, 4, 1)


def sentences(count: int, rng: np.random.Generator) -> np.ndarray:
    """Pieces of the novel [count, CONTEXT + 1], as integers."""
    tokens = novel().tokens
    return tokens[rng.integers(0, len(tokens) - CONTEXT, count)[:, None] + np.arange(CONTEXT + 1)]


def objective(net: Module, pieces: np.ndarray) -> Objective:
    """The cross-entropy, in nats a character, of every next character."""
    return Objective(net, CrossEntropy(), pieces[:, :-1], pieces[:, 1:])


def batches(net: Module, seed: int) -> Iterator[Objective]:
    """Endless batches of random pieces."""
    rng = np.random.default_rng(seed)
    while True:
        yield objective(net, sentences(BATCH, rng))


def start(net: Module, name: str, seed: int) -> Vector:
    """The library's own weights ("orthogonal": every atom has norm 1), or N(0, 0.02^2) for all of them ("small"), as in many a GPT."""
    rng = np.random.default_rng(seed)
    w = net.initialize(rng)
    return w if name == "orthogonal" else w.map(lambda W: 0.02 * normal(rng, W.shape))


def held_out(net: Module) -> Objective:
    """The loss on 400 pieces that have their own seed."""
    return objective(net, sentences(400, np.random.default_rng(1813)))


def run(method: str, begin: str, log2_step: int, seed: int) -> dict:
    """Train for STEPS steps under warmup and a cosine; the loss on held-out pieces at the end, inf where it diverged."""
    net = network()
    rule = METHODS[method][0](net, 2.0 ** log2_step)
    try:
        *_, last = descend(batches(net, seed), start(net, begin, seed), rule, STEPS, schedule=warmup(WARMUP, cosine(STEPS)))
        return {"loss": float(held_out(net)(last.w))}
    except Diverged:
        return {"loss": inf}


def points(methods=tuple(METHODS), starts=STARTS, seeds=SEEDS) -> list[dict]:
    """The grid of the sweep."""
    return [p for m in methods for p in sweeps.grid(method=[m], begin=starts, log2_step=METHODS[m][1], seed=seeds)]


def results() -> list[dict]:
    """The table that ships with the package: rows of method, begin, log2_step, seed, loss."""
    return shipped("family")


def tuned(rows: list[dict], method: str, begin: str = "orthogonal") -> tuple[int, np.ndarray]:
    """log2 of the step size with the least mean loss over the seeds, and the losses there, one a seed."""
    mine = [r for r in rows if (r["method"], r["begin"]) == (method, begin)]
    losses = {s: np.array([r["loss"] for r in mine if r["log2_step"] == s]) for s in sorted({r["log2_step"] for r in mine})}
    best = min(losses, key=lambda s: losses[s].mean())
    return best, losses[best]


def main(arguments: list[str] | None = None) -> None:
    """Compute what is missing of the sweep and write its table."""
    program("family", run, points, arguments)


if __name__ == "__main__":
    main()
