"""Noise that can be computed: stochastic gradient descent on linear regression, exactly in the mean and sampled.

x is Gaussian with eigenvalues h [d] of its covariance, y = <w*, x> + noise N(0, 1), and the loss is 1/2 (<w, x> - y)^2. All is written in the
eigenbasis, for the error w - w*. The risk is E <w - w*, x>^2 = sum_i h_i E (w - w*)_i^2, without the 1/2.
"""
from collections.abc import Iterator

import numpy as np

from .arrays import whole
from .schedules import Schedule


def moment_step(m: np.ndarray, h: np.ndarray, eta: np.ndarray, noise: float = 1.0, batch: np.ndarray = 1) -> np.ndarray:
    """E (w - w*)_i^2 [..., d] after a step of size eta [...] with a fresh batch of `batch` [...] samples, from m, the same before the step.

    m <- ((1 - eta h)^2 + eta^2 h^2 / B) m + eta^2 h (<h, m> + noise^2) / B, since E x x^T M x x^T = 2 H M H + tr(H M) H (Isserlis 1918).
    """
    a, B = np.asarray(eta)[..., None] * h, np.asarray(batch)[..., None]
    spread = (h * m).sum(-1, keepdims=True) + noise ** 2
    return ((1 - a) ** 2 + a * a / B) * m + a * a / h * spread / B


def largest_step(h: np.ndarray) -> float:
    """The step size above which the second moments grow without bound, for batches of one: sum_i eta h_i / (2 - 2 eta h_i) = 1, by bisection."""
    low, high = 0.0, 1 / np.max(h)
    while high - low > 1e-14 * high:
        eta = (low + high) / 2
        low, high = (eta, high) if (eta * h / (2 - 2 * eta * h)).sum() < 1 else (low, eta)
    return low


def risks(h: np.ndarray, etas: np.ndarray, start: np.ndarray, noise: float = 1.0, share: Schedule | None = None) -> Iterator[np.ndarray]:
    """The exact risk [...] at steps 0, 1, ..., len(etas), for batches of one; with `share`, that of the running average (see `averaged`).

    etas: [steps, ...], one column for each of many runs that are followed at once; start: the error at step 0 [d].
    """
    etas = np.asarray(etas, float)
    m = np.broadcast_to(np.asarray(start, float) ** 2, (*etas.shape[1:], len(h)))
    average, both = m, m  # E a_i^2 and E a_i w_i
    yield m @ h
    for t, eta in enumerate(etas, 1):
        m = moment_step(m, h, eta, noise)
        if share:  # a <- a + p (w - a), where E a w for the new w is (1 - eta h) E a w for the old one
            p, both = share(t), (1 - eta[..., None] * h) * both
            average, both = (1 - p) ** 2 * average + 2 * p * (1 - p) * both + p * p * m, (1 - p) * both + p * m
        yield (average if share else m) @ h


def sampled(h: np.ndarray, etas: np.ndarray, start: np.ndarray, rng: np.random.Generator, noise: float = 1.0, batch: int = 1,
            runs: int = 1) -> Iterator[np.ndarray]:
    """The errors w - w* [runs, d] at steps 0, 1, ..., len(etas) of as many independent runs on data from `rng`."""
    runs, batch = whole("sampled", "runs", runs), whole("sampled", "batch", batch)
    w = np.tile(np.asarray(start, float), (runs, 1))
    yield w
    for eta in etas:
        x = rng.standard_normal((runs, batch, len(h))) * np.sqrt(h)
        miss = (x @ w[:, :, None])[..., 0] - noise * rng.standard_normal((runs, batch))  # <w, x> - y
        w = w - eta / batch * (miss[:, None] @ x)[:, 0]
        yield w


def steps_needed(h: np.ndarray, etas: np.ndarray, start: np.ndarray, batches: np.ndarray, targets: np.ndarray, noise: float = 1.0,
                 limit: int = 20000) -> np.ndarray:
    """After how many steps the risk is at most each target [targets, batches, etas], with constant steps; inf if not within `limit`."""
    eta, B = np.meshgrid(etas, batches)
    m, t = np.broadcast_to(np.asarray(start, float) ** 2, (*B.shape, len(h))), 0
    first = np.full((len(targets), *B.shape), np.inf)
    while t < limit and np.isinf(first.min(-1)).any():  # until every batch size has got everywhere with some step size
        m, t = np.minimum(moment_step(m, h, eta, noise, B), 1e100), t + 1
        arrived = (m @ h <= np.reshape(targets, (-1, 1, 1))) & np.isinf(first)
        first[arrived] = t
    return first


def critical_batch(batches: np.ndarray, steps: np.ndarray) -> tuple[float, float]:
    """(S, C) of the fit steps = S (1 + C / batch): the steps that no batch saves, and the critical batch size. Least squares of relative errors.

    McCandlish, Kaplan, Amodei et al. 2018, eq. (2.11) in other letters.
    """
    B, steps = np.asarray(batches, float), np.asarray(steps, float)
    least, slope = np.linalg.lstsq(np.stack([1 / steps, 1 / (B * steps)], 1), np.ones(len(B)), rcond=None)[0]
    return float(least), float(slope / least)
