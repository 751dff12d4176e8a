"""What every framework is given: a network by name, weights and a batch as the same bits; and what it gives back.

Peers import this file and never `metrized`, which tunes the memory allocator of its process.
"""
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

SCHEMES = {
    "CUBIC": [[1.5, -0.5, 0.0]] * 12, "QUINTIC": [[15 / 8, -10 / 8, 3 / 8]] * 8, "MUON": [[3.4445, -4.7750, 2.0315]] * 5,
    "SIX_STEP": [[c / 1024 for c in row] for row in (
        (3955, -8306, 5008), (3735, -6681, 3463), (3799, -6499, 3211), (4019, -6385, 2906), (2677, -3029, 1162), (2172, -1833, 682))]}
"""Newton-Schulz schemes for peers. Ours are in metrized.linalg, and must give the same matrices before any is timed."""


class Lacks(Exception):
    """A framework has no such network or task."""


@dataclass(frozen=True)
class Problem:
    """weights: arrays in the order of w.leaves(), the output's first. network: how peers call it. options: what else they must know."""

    workload: str
    network: str
    options: dict
    weights: list[np.ndarray]
    x: np.ndarray
    t: np.ndarray

    def pick(self, networks: dict):
        """What a peer's table has under the name of this network. Raises Lacks."""
        if self.network not in networks:
            raise Lacks(self.network)
        return networks[self.network]

    def direction(self) -> list[np.ndarray]:
        """A normal direction in the space of the weights, in which products with second derivatives are taken; always the same."""
        rng = np.random.default_rng(1)
        return [rng.standard_normal(W.shape).astype(W.dtype) for W in self.weights]

    def save(self, path: Path) -> None:
        """To one .npz file, which `load` reads."""
        arrays = {"x": self.x, "t": self.t} | {f"w{i}": w for i, w in enumerate(self.weights)}
        rest = {name: value for name, value in vars(self).items() if name not in ("weights", "x", "t")}
        np.savez(path, about=json.dumps(rest), **arrays)


def load(path: Path) -> Problem:
    """The problem in a file written by Problem.save."""
    with np.load(path) as file:
        weights = [file[f"w{i}"] for i in range(len(file.files) - 3)]
        return Problem(**json.loads(str(file["about"])), weights=weights, x=file["x"], t=file["t"])


class Job(NamedTuple):
    """A task made ready: its answers, to be compared with ours before anything is timed, and repeat(n), which does it n times."""

    answers: list[np.ndarray]
    repeat: Callable[[int], None]


def iterated(step: Callable, w) -> Callable[[int], None]:
    """repeat(n) that begins at w and goes n steps w <- step(w)."""
    def repeat(n):
        state = w
        for _ in range(n):
            state = step(state)
        return state
    return repeat


def repeated(task: Callable, restart: Callable = lambda: None) -> Callable[[int], None]:
    """repeat(n) that calls restart(), and then task() n times."""
    def repeat(n):
        restart()
        for _ in range(n):
            task()
    return repeat
