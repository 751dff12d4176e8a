"""Lecture 12's experiment: one network, one start, the same batches, and every rule of the course, each with its own best step size.

    python -m metrized.examples.duality          computes what is missing of results/duality.json
"""
from collections.abc import Callable

import numpy as np

from .. import data, sweeps
from ..arrays import Array, normal, to_device, to_numpy
from ..compounds import MLP
from ..linalg import fast_polar
from ..losses import SquareError
from ..modules import Module
from ..norms import Euclidean, FanScaled, Frobenius, Largest, Layerwise, Manhattan, Max, Norm, Nuclear, RMSOperator, Rows, Schatten, Spectral
from ..objective import Objective
from ..optimizers import (
    AGD,
    LARS,
    SGD,
    Adafactor,
    Adagrad,
    Adam,
    Fromage,
    HeavyBall,
    Lion,
    Muon,
    NormalizedDescent,
    RMSProp,
    Rule,
    Shampoo,
    SignDescent,
    SteepestDescent,
)
from ..schedules import linear
from ..train import Diverged, descend
from ..vectors import Covector, Vector
from . import program, shipped
from .width import pictures

SEEDS = (0, 1, 2)
WIDTH, STEPS, BATCH = 64, 100, 128


class MeanToMax(FanScaled):
    """Largest max|W x| / mean|x| over x, which is fan_in max|W_ij|: the ruler under which sign descent has muP's steps, eta / fan_in."""

    def __init__(self):
        super().__init__(Rows(Max()))

    @staticmethod
    def factor(W: Array) -> float:
        """fan_in."""
        return float(W.shape[-1])


def dual(norm) -> Callable:
    """The rule -step_size * dualize(g) under a norm."""
    return lambda net, eta: SteepestDescent(norm, step_size=eta)


RULES: dict[str, Callable[[Module, float], Rule]] = {  # the rule for a step size
    "gradient descent": lambda net, eta: SGD(eta),
    "Euclidean": dual(Euclidean()),
    "Frobenius": dual(Layerwise(Frobenius())),
    "sign descent": lambda net, eta: SignDescent(eta),
    "µP, sign": dual(Layerwise(MeanToMax())),
    "greedy coordinate": dual(Manhattan()),
    "rows": dual(Layerwise(Rows(Euclidean()))),
    "nuclear": dual(Layerwise(Nuclear())),
    "Schatten 4": dual(Layerwise(Schatten(4))),
    "spectral": dual(Layerwise(Spectral(fast_polar))),
    "modular": lambda net, eta: SteepestDescent(net.norm, step_size=eta),
    "spectral parameterization": lambda net, eta: NormalizedDescent(Layerwise(RMSOperator()), eta),
    "LARS": lambda net, eta: LARS(eta),
    "Fromage": lambda net, eta: Fromage(eta),
    "AGD": lambda net, eta: AGD(),
    "momentum": lambda net, eta: SGD(eta, beta=0.9),
    "signum": lambda net, eta: SignDescent(eta, beta=0.9),
    "Lion": lambda net, eta: Lion(eta),
    "Adagrad": lambda net, eta: Adagrad(eta),
    "RMSProp": lambda net, eta: RMSProp(eta),
    "Adam": lambda net, eta: Adam(eta),
    "Adafactor": lambda net, eta: Adafactor(eta),
    "Shampoo": lambda net, eta: Shampoo(eta),
    "Muon": lambda net, eta: Muon(eta),
    "modular, momentum": lambda net, eta: HeavyBall(SteepestDescent(net.norm, step_size=eta), 0.9),
}


def network() -> Module:
    """Three layers, 196 pixels to 10 classes."""
    return MLP(10, WIDTH, WIDTH, 196, polar=fast_polar)


GRIDS = {  # log2 of the step sizes tried
    "gradient descent": range(-2, 4), "Euclidean": range(-3, 3), "Frobenius": range(-4, 3), "sign descent": range(-9, -3), "µP, sign": range(-2, 4),
    "greedy coordinate": range(-4, 2), "rows": range(-6, 0), "nuclear": range(-4, 2), "Schatten 4": range(-4, 2), "spectral": range(-5, 1),
    "modular": range(-3, 4), "spectral parameterization": range(-3, 3), "LARS": range(-6, 0), "Fromage": range(-6, 0), "AGD": range(1),
    "momentum": range(-4, 2), "signum": range(-10, -4), "Lion": range(-10, -4), "Adagrad": range(-8, -2), "RMSProp": range(-12, -6),
    "Adam": range(-9, -3), "Adafactor": range(-6, 1), "Shampoo": range(-4, 2), "Muon": range(-6, 0), "modular, momentum": range(-4, 2),
}


def accuracy(net: Module, w: Vector) -> float:
    """The share of the 1000 test images for which the largest output is that of the right class."""
    images = data.load("fashion")
    _, mean = data.standardize(images.train_x)
    x, _ = data.standardize(images.test_x, mean)
    return float((to_numpy(net(to_device(x, w.device), w).argmax(-1)) == images.test_y).mean())


def run(rule: str, log2_step: int, seed: int, steps: int = STEPS, device: str = "cpu") -> dict:
    """Train the network on Fashion-MNIST: its loss on 1000 training images at the end, inf where it diverged, and its accuracy in the test."""
    rng, net, (x, t) = np.random.default_rng(seed), network(), pictures(device)
    batches = (Objective(net, SquareError(), x[i], t[i]) for i in data.batches(len(x), BATCH, rng, device))
    try:
        *_, last = descend(batches, net.initialize(rng).to(device), RULES[rule](net, 2.0 ** log2_step), steps, schedule=linear(steps))
    except Diverged:
        return {"loss": float("inf"), "accuracy": 0.1}
    return {"loss": float(Objective(net, SquareError(), x[:1000], t[:1000])(last.w)), "accuracy": accuracy(net, last.w)}


def ruler(rule: Rule) -> str:
    """The norm in which the rule's step is the steepest one, in words: `rule.ruler`, with the name of the norm that the rule was given."""
    while hasattr(rule, "rule"):
        rule = rule.rule
    return rule.ruler.replace("the norm that it is given", words(getattr(rule, "norm", None)))


def words(norm: Norm | None) -> str:
    """The name of a norm."""
    if isinstance(norm, Layerwise):
        return f"{words(norm.norm)} in each layer"
    if isinstance(norm, Largest):
        return "the network's modular norm"
    if type(norm) is Schatten:
        return f"Schatten {norm.gauge.p:g}"
    return f"{words(norm.row_norm)} in each row" if isinstance(norm, Rows) else type(norm).__name__


DIRECTIONS: dict[str, Norm] = {  # what one layer's dual map can do to a gradient G = U S V^T
    "G": Euclidean(), "sign(G)": Max(), "rows of G": Rows(Euclidean()), "U V^T": Spectral(), "U S^(1/3) V^T": Schatten(4),
    "u v^T": Nuclear(), "one entry": Manhattan(),
}


def direction(rule: str, seed: int, device: str = "cpu") -> tuple[str, float]:
    """Which of the DIRECTIONS a rule's first step has, and its cosine with it, the least over the layers that move."""
    g, step = first_step(rule, seed, device)
    moved = [(G, -D) for G, D in zip(g.leaves(), step.leaves(), strict=True) if D.any()]
    cosine = lambda A, B: float((A * B).sum() / ((A * A).sum() * (B * B).sum()) ** 0.5)
    found = {name: min(cosine(norm.dualize(G), D) for G, D in moved) for name, norm in DIRECTIONS.items()}
    return max(found.items(), key=lambda item: item[1])


def first_step(rule: str, seed: int, device: str = "cpu") -> tuple[Covector, Vector]:
    """The gradient of the first 128 images at the start, and the step that a rule makes of it."""
    net, (x, t) = network(), pictures(device)
    w = net.initialize(np.random.default_rng(seed)).to(device)
    g, rule = Objective(net, SquareError(), x[:BATCH], t[:BATCH]).gradient(w), RULES[rule](net, 2.0 ** -10)
    return g, rule(g, rule.start(w), w)[0]


def hello(seed: int, steps: int = 100, device: str = "cpu") -> list[float]:
    """The mean square error at steps 0 to `steps` of the first example of Modula's documentation, "Hello, World!" (2025), of 1000 steps.

    128 random inputs [784] with random targets [10], width 256, dualized steps of norm 0.1 that shrink along a line to 0 at step 1000.
    """
    rng = np.random.default_rng(seed)
    x, t = (to_device(normal(rng, (128, d)), device) for d in (784, 10))
    net = MLP(10, 256, 256, 784, polar=fast_polar)
    w, rule = net.initialize(rng).to(device), SteepestDescent(net.norm, step_size=0.1)
    return [2 * float(step.loss) for step in descend(Objective(net, SquareError(), x, t), w, rule, steps, schedule=linear(1000))]


def points(rules=RULES, seeds=SEEDS, **rest) -> list[dict]:
    """The grid of the sweep; `rest`, such as device="gpu", goes to every run."""
    return [point | rest for rule in rules for point in sweeps.grid(rule=[rule], log2_step=GRIDS[rule], seed=seeds)]


def results() -> list[dict]:
    """The table that ships with the package: rows of rule, log2_step, seed, loss, accuracy."""
    return shipped("duality")


def best(rows: list[dict], rule: str) -> np.ndarray:
    """[2, seeds]: a rule's least loss over its step sizes, and the accuracy there. Raises ValueError where a run failed or a grid is too narrow."""
    if errors := {r["error"] for r in rows if "error" in r}:
        raise ValueError(f"some runs of the sweep failed: {', '.join(errors)}")
    found = []
    for seed in SEEDS:
        mine = [r for r in rows if (r["rule"], r["seed"]) == (rule, seed)]
        if len(mine) > 1:
            sweeps.best_step([2.0 ** r["log2_step"] for r in mine], sweeps.column(mine, "loss"))
        found.append(min((r["loss"], r["accuracy"]) for r in mine))
    return np.array(found).T


def main(arguments: list[str] | None = None) -> None:
    """Compute what is missing of the sweep and write its table."""
    program("duality", run, points, arguments)


if __name__ == "__main__":
    main()
