"""The workloads: a module, a batch, and the ratios of CPU time that are asked of them, with their targets."""
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from metrized.arrays import normal
from metrized.bonds import Tanh
from metrized.compounds import GPT, MLP, ConvNet
from metrized.examples.width import TOGETHER
from metrized.linalg import fast_polar
from metrized.modules import Module

from .problem import SCHEMES, Problem


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


MODULES = Ratio("step", "torch", "step, with modules")
"""Most people's PyTorch: modules, backward and an optimizer. The peer's own step does without, to be as fast as it can."""
KEPT = Ratio("step", "kept", "step")
"""PyTorch that keeps freed memory, as we do."""


@dataclass(frozen=True)
class Workload:
    """What is timed: data(rng) makes (weights, x, t); `network` and `options` tell peers what to write, `module` is what we run."""

    name: str
    title: str
    network: str
    module: Module | None
    data: Callable[[np.random.Generator], tuple]
    ratios: tuple[Ratio, ...]
    options: dict = field(default_factory=dict)
    tolerance: float = 1e-4
    """Largest relative error of an answer, in the Frobenius norm of each array."""

    def problem(self) -> Problem:
        """Weights and batch, the same bits in every run."""
        weights, x, t = self.data(np.random.default_rng(0))
        return Problem(self.name, self.network, self.options, weights, x, t)


def samples(n: int, *shape: int) -> Callable:
    """A batch of n inputs of this shape, normal, with one of ten labels each."""
    return lambda rng, dtype: (normal(rng, (n, *shape), dtype), rng.integers(0, 10, n))


def text(n: int, T: int, vocabulary: int) -> Callable:
    """A batch of n texts of T random tokens, with the tokens that follow."""
    def batch(rng, dtype):
        tokens = rng.integers(0, vocabulary, (n, T + 1))
        return np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:])
    return batch


def started(module: Module, batch: Callable, dtype=np.float32) -> Callable:
    """The data of one network."""
    return lambda rng: (module.initialize(rng, dtype).leaves(), *batch(rng, dtype))


def ensemble(module: Module, networks: int, batch: Callable) -> Callable:
    """The data of some networks with weights of their own, stacked along a first axis, and one batch."""
    def data(rng):
        weights = [module.initialize(rng).leaves() for _ in range(networks)]
        return [np.stack(layer) for layer in zip(*weights, strict=True)], *batch(rng, np.float32)
    return data


def sweep(width: int) -> Workload:
    """One step of 16 networks, each with a step size of its own; "sweep" goes the way that our sweep over widths goes."""
    net, networks = MLP(10, width, width, 64), 16
    ratios = (Ratio("sweep", "torch", "one by one", 0.15 if width <= 64 else None), Ratio("sweep", "torch", "ensemble"),
              Ratio("sweep", "jax", "ensemble"), Ratio("sweep", "ours", "one by one"), Ratio("sweep", "ours", "ensemble"))
    return Workload(f"sweep-{width}", f"16 networks 64-{width}-{width}-10, batch 32", "mlp", net, ensemble(net, networks, samples(32, 64)), ratios,
                    {"step_sizes": [1e-3 * 2 ** (-k / 2) for k in range(networks)], "side_by_side": TOGETHER.narrow({"width": width})})


def products(name: str, title: str, network: str, module: Module, batch: Callable, options: dict) -> Workload:
    """Gradient, and products with the Gauss-Newton matrix: the first at some weights, and one more at the same weights."""
    ratios = (Ratio("gradient", "ours", "loss", 3.0, same=False), Ratio("next Gauss-Newton product", "ours", "gradient", 1.2, same=False),
              Ratio("Gauss-Newton product", "ours", "gradient", same=False), Ratio("Gauss-Newton product", "torch", "Gauss-Newton product"),
              Ratio("Gauss-Newton product", "jax", "Gauss-Newton product"), Ratio("next Gauss-Newton product", "jax", "next Gauss-Newton product"))
    return Workload(f"products-{name}", title, network, module, started(module, batch), ratios, options)


def hessian(name: str, title: str, network: str, module: Module, batch: Callable, options: dict) -> Workload:
    """A Hessian product, in float64, against gradients."""
    ratios = (Ratio("Hessian product", "ours", "gradient", 2.4, same=False),
              Ratio("Hessian product", "torch", "Hessian product"), Ratio("Hessian product", "jax", "Hessian product"))
    return Workload(f"hessian-{name}", f"{title}, float64", network, module, started(module, batch, np.float64), ratios, options)


def orthogonalizers(m: int, n: int) -> Workload:
    """Newton-Schulz by each scheme against the orthogonal factor by the singular value decomposition, and against the same in PyTorch."""
    ratios = [r for scheme in SCHEMES
              for r in (Ratio(scheme, "ours", "SVD", same=False), Ratio(scheme, "torch", "SVD", same=False), Ratio(scheme, "torch", scheme))]
    return Workload(f"polar-{m}x{n}", f"a Gaussian matrix {m} x {n}", "matrix", None,
                    lambda rng: ([normal(rng, (m, n))], np.zeros(1), np.zeros(1)), (*ratios, Ratio("SVD", "torch", "SVD")), tolerance=1e-3)


WIDE, TEXT = samples(128, 784), text(16, 64, 65)
MIDDLE, SMALL_GPT = MLP(10, 256, 256, 784), GPT(65, 128, 4, 4)
LARGE = (("mlp", "MLP 784-256-256-10, batch 128", "mlp", MIDDLE, WIDE, {}),
         ("gpt", "GPT, width 128, 4 heads, 4 blocks, 16 x 64 tokens of 65", "gpt", SMALL_GPT, TEXT, {"heads": 4}))


def training(name: str, title: str, network: str, module: Module, batch: Callable, ratios: tuple[Ratio, ...], **rest) -> Workload:
    """Steps of one network, with the step size 1/1000."""
    return Workload(name, title, network, module, started(module, batch), ratios, {"step_size": 1e-3} | rest.pop("options", {}), **rest)


TINY, CONV = MLP(10, 32, 32, 64), ConvNet(10, (32, 64), 32, fan_in=3)
WORKLOADS = {w.name: w for w in (
    training("tiny", "MLP 64-32-32-10, batch 32", "mlp", TINY, samples(32, 64), (*against("step", torch=0.5, autograd=0.35), MODULES)),
    training(*LARGE[0][:5], (*against("step", torch=1.0), MODULES, KEPT)),
    # Six steps magnify the rounding of small singular values, hence the tolerance.
    training("dualized", f"{LARGE[0][1]}, dualized", "mlp", MLP(10, 256, 256, 784, polar=fast_polar), WIDE,
             (*against("dualized step", torch=0.85), Ratio("dualized step", "torch", "dualized step, as published")), tolerance=1e-3),
    training(*LARGE[1][:5], (*against("step", torch=0.95, jax=0.6), KEPT), options=LARGE[1][5]),
    training("conv", "ConvNet 3-32-64 on 32 x 32, batch 64", "conv", CONV, samples(64, 32, 32, 3),
             (*against("step", torch=1.0), Ratio("step", "torch", "step, channels last"), KEPT, Ratio("step", "kept", "step, channels last"))),
    *map(sweep, (32, 64, 128, 256, 512, 1024)),
    *(products(*large) for large in LARGE),
    hessian("mlp", f"{LARGE[0][1]}, tanh", "tanh mlp", MLP(10, 256, 256, 784, bond=Tanh()), WIDE, {}),  # of ReLU, differences see the kinks
    hessian(*LARGE[1]),
    *(orthogonalizers(*shape) for shape in ((256, 256), (256, 1024), (10, 256), (128, 512))),
)}
