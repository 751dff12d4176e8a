"""Schedules: functions of the step number that multiply the steps of a rule. Averages: the same idea for the weights that are kept."""
from collections.abc import Callable, Iterable, Iterator
from math import cos, pi

import numpy as np

from .arrays import Array, to_numpy, whole
from .vectors import Vector

Schedule = Callable[[int], float]


def constant(t: int) -> float:
    """1, always."""
    return 1.0


def linear(steps: int) -> Schedule:
    """From 1 at step 0 down to 0 at step `steps`, in a straight line."""
    steps = whole("linear", "steps", steps)
    return lambda t: max(0.0, 1 - t / steps)


def cosine(steps: int, floor: float = 0.0) -> Schedule:
    """From 1 at step 0 down to `floor` at step `steps` and after it, along half a cosine. Loshchilov & Hutter 2017."""
    steps = whole("cosine", "steps", steps)
    return lambda t: floor + (1 - floor) * 0.5 * (1 + cos(pi * min(t / steps, 1)))


def geometric(steps: int, end: float = 0.01) -> Schedule:
    """From 1 down to `end` at step `steps`, by the same factor every step."""
    steps = whole("geometric", "steps", steps)
    _share("geometric", "end", end)
    return lambda t: end ** (t / steps)


def staircase(every: int, factor: float = 0.5) -> Schedule:
    """1, then `factor` times as much after each `every` steps."""
    every = whole("staircase", "every", every)
    _share("staircase", "factor", factor)
    return lambda t: factor ** (t // every)


def inverse_time(t0: float, power: float = 1.0) -> Schedule:
    """1 / (1 + t / t0)^power. With 1/2 < power <= 1 the sum diverges and that of the squares does not: Robbins & Monro 1951."""
    if not t0 > 0:
        raise ValueError(f"inverse_time needs t0 > 0, got {t0}")
    return lambda t: (1 + t / t0) ** -power


def warmup(steps: int, then: Schedule = constant) -> Schedule:
    """(t + 1) / steps while that is less than 1, times then(t)."""
    steps = whole("warmup", "steps", steps)
    return lambda t: min(1.0, (t + 1) / steps) * then(t)


def eigencurve(curvatures: Array, steps: int, step_size: float | None = None) -> Schedule:
    """The schedule that a spectrum asks for: octave by octave of curvature, from the flattest up, 1 / step size grows by that curvature a step.

    An octave [low 2^i, low 2^(i + 1)) with s of the `curvatures` [d] gets a share sqrt(s) of the `steps`; after them nothing changes any more.
    Multiplies `step_size`, 1 / the largest curvature unless given. (Steps from single samples must begin smaller than that, see lecture 7.)
    Pan, Ye & Zhang 2021, "Eigencurve".
    """
    steps, curvatures = whole("eigencurve", "steps", steps), to_numpy(curvatures).astype(float)
    if not (curvatures.size and ((curvatures > 0) & (curvatures < np.inf)).all()):
        raise ValueError(f"eigencurve needs positive and finite curvatures, got {curvatures}")
    low, top = curvatures.min(), curvatures.max()
    step_size = 1 / top if step_size is None else step_size
    if not step_size > 0:
        raise ValueError(f"eigencurve needs step_size > 0, got {step_size}")
    octave = np.minimum(np.log2(curvatures / low).astype(int), max(0, int(np.ceil(np.log2(top / low))) - 1))  # the top one is closed
    share = np.sqrt(np.bincount(octave))
    spent = share / share.sum() * steps
    inverse = 1 + step_size * np.append(0, np.cumsum(spent * low * 2.0 ** np.arange(len(share))))  # at the ends of the octaves
    ends = np.append(0, np.cumsum(spent))
    return lambda t: float(1 / np.interp(t, ends, inverse))


def averaged(path: Iterable[Vector], share: Schedule) -> Iterator[Vector]:
    """Running averages of weights: a <- a + share(t) (w - a), from a = w at t = 0. As many come out as go in."""
    a = None
    for t, w in enumerate(path):
        a = w if a is None else a + share(t) * (w - a)
        yield a


def tail(start: int) -> Schedule:
    """For `averaged`: the mean of all weights from step `start` on; before that the weights themselves. Ruppert 1988; Polyak & Juditsky 1992."""
    start = whole("tail", "start", start, least=0)
    return lambda t: 1.0 if t <= start else 1 / (t - start + 1)


def exponential(beta: float) -> Schedule:
    """For `averaged`: a <- beta a + (1 - beta) w, except that the first 1 / (1 - beta) weights count alike, so that the start is forgotten."""
    if not 0 <= beta < 1:
        raise ValueError(f"exponential needs beta in [0, 1), got {beta}")
    return lambda t: max(1 - beta, 1 / (t + 1))


def _share(who: str, name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"{who} needs 0 < {name} <= 1, got {value}")
