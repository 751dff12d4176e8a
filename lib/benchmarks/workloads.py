"""The workloads: a module, a batch, and the ratios of CPU time that are asked of them, with their targets."""
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from metrized.arrays import normal
from metrized.compounds import GPT, MLP, ConvNet
from metrized.linalg import fast_polar
from metrized.modules import Module

from .problem import Problem


class Ratio(NamedTuple):
    """CPU time of our task `ours` / that of the task `theirs` of `peer` (which may be ours, too); `target`: the most that it should be.

    `same`: both answer one question, so their answers must agree before anything is timed.
    """

    ours: str
    peer: str
    theirs: str
    target: float | None = None
    same: bool = True


def against(task: str, **targets: float) -> tuple[Ratio, ...]:
    """Our task against the same task of every peer."""
    return tuple(Ratio(task, peer, task, targets.get(peer)) for peer in ("torch", "compiled", "jax", "autograd", "mygrad"))


@dataclass(frozen=True)
class Workload:
    """`module` with cross-entropy on a batch, made by batch(rng); `network` and `options` tell peers what to write."""

    name: str
    title: str
    module: Module
    batch: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    network: str
    ratios: tuple[Ratio, ...]
    options: dict = field(default_factory=dict)
    step_size: float = 1e-3
    tolerance: float = 1e-4
    """Largest relative error of an answer, in the Frobenius norm of each array."""

    def problem(self) -> Problem:
        """Weights and batch, the same in every run."""
        rng = np.random.default_rng(0)
        weights = self.module.initialize(rng).leaves()
        return Problem(self.name, self.network, self.options, self.step_size, weights, *self.batch(rng))


def samples(n: int, *shape: int) -> Callable:
    """A batch of n inputs of this shape, normal, with one of ten labels each."""
    return lambda rng: (normal(rng, (n, *shape)), rng.integers(0, 10, n))


def text(n: int, T: int, vocabulary: int) -> Callable:
    """A batch of n texts of T random tokens, with the tokens that follow."""
    def batch(rng):
        tokens = rng.integers(0, vocabulary, (n, T + 1))
        return np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:])
    return batch


WORKLOADS = {w.name: w for w in (
    Workload("tiny", "MLP 64-32-32-10, batch 32", MLP(10, 32, 32, 64), samples(32, 64), "mlp", against("step", torch=0.5, autograd=0.35)),
    Workload("mlp", "MLP 784-256-256-10, batch 128", MLP(10, 256, 256, 784), samples(128, 784), "mlp", against("step", torch=1.0)),
    Workload("dualized", "the same, dualized by Newton-Schulz", MLP(10, 256, 256, 784, polar=fast_polar), samples(128, 784), "mlp",
             against("dualized step", torch=0.85), tolerance=1e-3),  # six steps magnify the rounding of small singular values
    Workload("gpt", "GPT, width 128, 4 heads, 4 blocks, 16 x 64 tokens of 65", GPT(65, 128, 4, 4), text(16, 64, 65), "gpt",
             against("step", torch=0.95, jax=0.6), {"heads": 4}),
    Workload("conv", "ConvNet 3-32-64 on 32 x 32, batch 64", ConvNet(10, (32, 64), 32, fan_in=3), samples(64, 32, 32, 3), "conv",
             (*against("step", torch=1.0), Ratio("step", "torch", "step, channels last"))),
)}
