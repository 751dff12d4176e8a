"""Lecture 9's experiments: the sharpness of small networks while full-batch gradient descent, or something near it, trains them."""
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .. import data
from ..arrays import normal
from ..bonds import Tanh
from ..compounds import MLP
from ..curvature import sharpness
from ..losses import SquareError
from ..modules import Module
from ..norms import Euclidean
from ..objective import Objective
from ..optimizers import SteepestDescent
from ..schedules import Schedule, constant
from ..train import descend
from ..vectors import Vector


def chebyshev(width: int = 50) -> Objective:
    """Fit 8 x^4 - 8 x^2 + 1 at 20 points in [-1, 1] by a tanh network of two hidden layers; a constant second input stands for the biases."""
    x = np.linspace(-1, 1, 20)
    net = MLP(1, width, width, 2, bond=Tanh())
    return Objective(net, SquareError(), np.stack([x, np.ones(20)], 1), (8 * x ** 4 - 8 * x ** 2 + 1)[:, None])


def pictures(samples: int = 100, net: Module | None = None, loss=None) -> Objective:
    """The first images of Fashion-MNIST, 14 x 14; a tanh network with two hidden layers of 32 and square error, unless told otherwise."""
    images = data.load("fashion")
    x, labels = data.standardize(images.train_x[:samples], dtype=np.float64)[0], images.train_y[:samples]
    t = data.one_hot(labels, dtype=np.float64) if loss is None else labels.astype(int)
    return Objective(net or MLP(10, 32, 32, 196, bond=Tanh()), loss or SquareError(), x, t)


def start(f: Objective, seed: int) -> Vector:
    """Independent N(0, 1 / fan_in), in float64."""
    rng = np.random.default_rng(seed)
    return f.module.initialize(rng, np.float64).map(lambda W: normal(rng, W.shape, np.float64) / W.shape[1] ** 0.5)


def stack(networks: list[Vector]) -> Vector:
    """An ensemble: the weights of several networks on a leading axis."""
    return networks[0].map(lambda *W: np.stack(W), *networks[1:])


def network(w: Vector, k: int) -> Vector:
    """The weights of the k-th network of an ensemble."""
    return w.map(lambda W: W[k])


def gd(eta) -> SteepestDescent:
    """w <- w - eta g; an array of step sizes has one for each network of an ensemble."""
    return SteepestDescent(Euclidean(), sharpness=1 / eta)


@dataclass
class Track:
    """What was seen of K networks: losses [steps + 1, K]; at the steps t [moments] their sharpness [moments, K], NaN where one had diverged."""

    losses: np.ndarray
    t: np.ndarray
    sharpness: np.ndarray

    def hover(self, eta) -> np.ndarray:
        """[K]: the median of eta * sharpness / 2 over the last third of the run. At the edge of stability it is 1."""
        return np.median(self.sharpness[-(len(self.t) // 3):], 0) * eta / 2


def track(f: Objective, w: Vector, rule, steps: int, every: int = 50, batches: Iterable[Objective] | None = None,
          schedule: Schedule = constant) -> Track:
    """Train an ensemble w on all of f's data (or on `batches`), and measure the sharpness on all of it every so many steps."""
    together = Objective(f.module, f.loss, f.x[None], f.t)
    rng, losses, found = np.random.default_rng(0), [], {}
    with np.errstate(over="ignore", invalid="ignore"):  # a network that diverges is a result here
        for moment in descend(batches or together, w, rule, steps, schedule=schedule, guard=False):
            losses.append(together(moment.w) if batches else moment.loss)
            if moment.t % every == 0:
                found[moment.t] = [sharpness(f, network(moment.w, k), rng, 15) if ok else np.nan for k, ok in enumerate(np.isfinite(losses[-1]))]
    return Track(np.array(losses), np.array(list(found)), np.array(list(found.values())))


def batches(f: Objective, size: int, seed: int = 0) -> Iterator[Objective]:
    """Endless minibatches of f's data, for an ensemble; every pass in a fresh order."""
    for i in data.batches(len(f.t), size, np.random.default_rng(seed)):
        yield Objective(f.module, f.loss, f.x[None, i], f.t[i])
