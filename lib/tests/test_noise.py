"""Exact second moments against integrals, against samples, and against what theory says about them."""
from itertools import product

import numpy as np
import pytest

from metrized.examples import batches
from metrized.noise import critical_batch, largest_step, moment_step, risks, sampled, steps_needed
from metrized.schedules import averaged, constant, exponential, inverse_time, tail
from metrized.vectors import Vector

H, START = np.array([1.3, 0.4]), np.array([0.7, -2.0])
nodes, weights = np.polynomial.hermite_e.hermegauss(3)  # exact for polynomials of degree 5
SAMPLE = [((x, y, z), a * b * c / weights.sum() ** 3) for (x, a), (y, b), (z, c) in product(zip(nodes, weights, strict=True), repeat=3)]


@pytest.mark.parametrize("batch", [1, 2])
def test_a_step_is_the_integral_over_all_batches(batch):
    """Gauss-Hermite quadrature of (w - eta g)_i^2 over two coordinates of x and the noise of y, for each sample of the batch."""
    eta, noise, after = 0.3, 0.6, 0.0
    for draws in product(SAMPLE, repeat=batch):
        g = 0.0
        for (x1, x2, e), _ in draws:
            x = np.sqrt(H) * (x1, x2)
            g = g + (x @ START - noise * e) * x / batch
        after = after + np.prod([p for _, p in draws]) * (START - eta * g) ** 2
    assert np.allclose(moment_step(START ** 2, H, eta, noise, batch), after, rtol=1e-10)


def test_many_runs_at_once_are_the_runs_one_by_one():
    etas = np.random.default_rng(0).uniform(0.01, 0.3, (9, 3, 4))
    together = np.stack(list(risks(H, etas, START, 0.5, tail(4))))
    for i, j in product(range(3), range(4)):
        assert np.allclose(together[:, i, j], list(risks(H, etas[:, i, j], START, 0.5, tail(4))))


@pytest.mark.parametrize("share", [None, tail(10), tail(0), exponential(0.9)])
def test_samples_agree_with_the_recursion(share):
    """In the mean of 20000 runs, for the weights and for their averages, within five standard errors."""
    h, start = np.geomspace(1, 0.1, 5), np.linspace(2, -1, 5)
    etas = np.array([0.15 * inverse_time(20)(t) for t in range(30)])
    path = [Vector(w) for w in sampled(h, etas, start, np.random.default_rng(0), 0.7, runs=20000)]
    risk = [(a.array ** 2) @ h for a in averaged(path, share)] if share else [(w.array ** 2) @ h for w in path]
    exact = list(risks(h, etas, start, 0.7, share))
    assert np.isclose(exact[0], risk[0].mean())
    for r, e in list(zip(risk, exact, strict=True))[1:]:
        assert abs(r.mean() - e) < 5 * r.std() / np.sqrt(len(r))


@pytest.mark.parametrize("d", [1, 3, 20])
def test_the_largest_step_of_round_data(d):
    assert np.isclose(largest_step(np.full(d, 0.4)), 2 / (d + 2) / 0.4)


def test_the_largest_step_is_where_moments_begin_to_grow():
    h = np.geomspace(3, 0.01, 7)
    for factor, grows in ((0.98, False), (1.02, True)):
        *_, before, after = risks(h, np.full(40000, factor * largest_step(h)), np.ones(7), noise=0.0)
        assert (after > before) == grows


def test_without_noise_and_with_huge_batches_it_is_gradient_descent():
    m = START ** 2
    for t in range(1, 6):
        m = moment_step(m, H, 0.3, noise=5.0, batch=1e14)
        assert np.allclose(m, START ** 2 * (1 - 0.3 * H) ** (2 * t))


def test_steps_needed_are_those_of_the_risk():
    etas, targets = np.array([0.02, 0.2]), [1.0, 0.4]
    found = steps_needed(H, etas, START, [1, 3], targets, 0.3)
    for j, eta in enumerate(etas):
        path = np.array(list(risks(H, [eta * constant(t) for t in range(400)], START, 0.3)))
        for i, target in enumerate(targets):
            below = np.flatnonzero(path <= target)
            assert found[i, 0, j] == (below[0] if len(below) else np.inf) or found[i, 0, j] == np.inf
    assert np.isfinite(found.min(-1)).all() and (found.min(-1)[:, 1] < found.min(-1)[:, 0]).all()


def test_no_runs():
    with pytest.raises(ValueError, match="sampled needs a whole number runs"):
        next(sampled(H, [0.1], START, np.random.default_rng(0), runs=0))


def test_the_critical_batch_of_an_exact_law():
    B = 2.0 ** np.arange(9)
    assert np.allclose(critical_batch(B, 30 * (1 + 13 / B)), (30, 13))


def test_the_table_of_batch_sizes_is_complete_and_its_best_points_lie_inside_the_grid():
    rows, keys = batches.results(), ("batch", "log2_step", "seed")
    assert [[r[k] for k in keys] for r in rows] == [[p[k] for k in keys] for p in batches.points()] and not any("error" in r for r in rows)
    for target in batches.TARGETS:
        for B, (steps, log2_step) in batches.best(rows, target).items():
            tried = [p["log2_step"] for p in batches.points(batches=(B,))]
            assert np.isfinite(steps) and min(tried) < log2_step < max(tried)
