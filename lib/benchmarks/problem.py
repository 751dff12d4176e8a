"""What every framework is given: a network by name, weights and a batch as the same bits; and what it gives back.

Peers import this file and never `metrized`, which tunes the memory allocator of its process.
"""
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Problem:
    """weights: arrays in the order of w.leaves(), the output's first. network: how peers call it. options: what they must know beyond the shapes."""

    workload: str
    network: str
    options: dict
    step_size: float
    weights: list[np.ndarray]
    x: np.ndarray
    t: np.ndarray

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
