"""Laws of schedules and of running averages: their ends, their order, what they forget and what they keep."""
import numpy as np
import pytest

from laws import random_vector
from metrized.compounds import MLP
from metrized.schedules import (
    averaged,
    constant,
    cosine,
    eigencurve,
    exponential,
    geometric,
    inverse_time,
    linear,
    staircase,
    tail,
    warmup,
)

STEPS = 37
SPECTRUM = np.array([0.3, 0.31, 0.5, 0.7, 2.9, 5.0, 0.3])
FALLING = {"constant": constant, "linear": linear(STEPS), "cosine": cosine(STEPS), "cosine with a floor": cosine(STEPS, 0.1),
           "geometric": geometric(STEPS), "staircase": staircase(5, 0.3), "inverse time": inverse_time(3.0), "its root": inverse_time(3.0, 0.5),
           "eigencurve": eigencurve(SPECTRUM, STEPS), "eigencurve of one": eigencurve([2.0], STEPS)}


def values(schedule, steps=2 * STEPS):
    return np.array([schedule(t) for t in range(steps)])


@pytest.mark.parametrize("schedule", FALLING.values(), ids=FALLING)
def test_starts_at_one_and_never_rises(schedule):
    v = values(schedule)
    assert v[0] == 1 and (np.diff(v) <= 0).all() and (v >= 0).all()


@pytest.mark.parametrize("schedule, end", [(linear(STEPS), 0.0), (cosine(STEPS), 0.0), (cosine(STEPS, 0.1), 0.1), (geometric(STEPS, 0.02), 0.02)])
def test_ends(schedule, end):
    assert abs(schedule(STEPS) - end) < 1e-12


@pytest.mark.parametrize("schedule", [linear(STEPS), cosine(STEPS), cosine(STEPS, 0.1), eigencurve(SPECTRUM, STEPS)])
def test_what_has_ended_stays(schedule):
    assert (values(schedule)[STEPS:] == schedule(STEPS)).all()


def test_half_way():
    """The straight line and the cosine are symmetric about their middle; a geometric one has got to the root of its end."""
    for schedule in (linear(STEPS), cosine(STEPS)):
        assert np.allclose([schedule(t) + schedule(STEPS - t) for t in range(STEPS + 1)], 1)
    assert np.isclose(geometric(STEPS, 0.04)(STEPS / 2), 0.2)
    assert np.allclose(np.diff(np.log(values(geometric(STEPS, 0.04)))), np.log(0.04) / STEPS)


def test_a_staircase_has_flat_steps():
    assert values(staircase(5, 0.3), 15).tolist() == [1.0] * 5 + [0.3] * 5 + [0.3 ** 2] * 5


@pytest.mark.parametrize("power, converges, squares_converge", [(0.5, False, False), (0.75, False, True), (1.0, False, True), (1.5, True, True)])
def test_robbins_and_monro(power, converges, squares_converge):
    """A sum of powers converges if and only if doubling its length adds less than before, by a factor."""
    v = np.array([inverse_time(2.0, power)(t) for t in range(1 << 16)])
    growth = lambda x: x[1 << 15:].sum() / x[1 << 14:1 << 15].sum()
    assert (growth(v) < 0.99) == converges and (growth(v * v) < 0.99) == squares_converge


def test_warmup_rises_in_equal_steps_and_hands_over():
    v, then = values(warmup(4, linear(STEPS))), values(linear(STEPS))
    assert np.allclose(v[:4], np.array([1, 2, 3, 4]) / 4 * then[:4]) and (v[4:] == then[4:]).all() and warmup(1)(0) == 1


# Eigencurve.


@pytest.mark.parametrize("curvature", [0.2, 1.0, 7.0])
def test_eigencurve_of_equal_curvatures_is_inverse_time(curvature):
    """1 / eta = 1 / eta_0 + curvature t."""
    same_curvature = np.full(5, curvature)
    assert np.allclose(values(eigencurve(same_curvature, STEPS), STEPS), values(inverse_time(1.0), STEPS))
    assert np.allclose(values(eigencurve(same_curvature, STEPS, 0.01), STEPS), values(inverse_time(1 / (0.01 * curvature)), STEPS))


@pytest.mark.parametrize("step_size", [None, 0.03])
def test_eigencurve_as_the_paper_writes_it(step_size):
    """eta_t = 1 / (1 / eta_0 + mu sum_{j < i} d_j 2^j + mu 2^i (t - t_i)), where d_i = T sqrt(s_i) / sum_j sqrt(s_j) (section 3)."""
    mu, T = SPECTRUM.min(), 60
    counts = [((mu * 2 ** i <= SPECTRUM) & (SPECTRUM < mu * 2 ** (i + 1))).sum() for i in range(5)]
    assert counts == [4, 1, 0, 1, 1]
    spent = np.sqrt(counts) / np.sqrt(counts).sum() * T
    eta_0 = step_size or 1 / SPECTRUM.max()

    def eta(t):
        inverse, begin = 1 / eta_0, 0.0
        for i, d in enumerate(spent):
            inverse += mu * 2 ** i * min(max(t - begin, 0), d)
            begin += d
        return 1 / inverse

    assert np.allclose(values(eigencurve(SPECTRUM, T, step_size), T), [eta(t) / eta_0 for t in range(T)])


def test_eigencurve_has_no_units():
    """Neither the order of the curvatures nor their unit matters, if the step size goes along."""
    for other in (eigencurve(5 * SPECTRUM[::-1], STEPS), eigencurve(5 * SPECTRUM, STEPS, 0.2 / SPECTRUM.max())):
        assert np.allclose(values(other), values(eigencurve(SPECTRUM, STEPS)))


# Averages.


def path(steps=12, seed=0):
    rng = np.random.default_rng(seed)
    w = MLP(3, 5, 4).initialize(rng, np.float64)
    return [random_vector(rng, w) for _ in range(steps)]


def same(a, b):
    return np.allclose(a.flatten(), b.flatten(), rtol=0, atol=1e-12)


def mean(vectors):
    return sum(vectors[1:], vectors[0]) / len(vectors)


@pytest.mark.parametrize("start", [0, 1, 7, 11])
def test_a_tail_average_is_the_mean_of_the_tail(start):
    w = path()
    averages = list(averaged(w, tail(start)))
    assert len(averages) == len(w)
    for t, a in enumerate(averages):
        assert same(a, mean(w[start:t + 1]) if t > start else w[t])


def test_an_exponential_average_forgets_its_start():
    """Two paths that differ only at first: after that the averages approach each other by the factor beta a step. beta = 0 keeps the last."""
    w, v, beta = path(40), path(40), 0.8
    v[0] = 100 * v[0]
    gap = [abs((a - b).flatten()).max() for a, b in zip(averaged(w, exponential(beta)), averaged(v, exponential(beta)), strict=True)]
    assert np.allclose(np.array(gap[6:]) / gap[5:-1], beta) and gap[-1] < 1e-2 * gap[0]
    assert all(same(a, b) for a, b in zip(averaged(w, exponential(0.0)), w, strict=True))


def test_an_exponential_average_begins_as_a_mean():
    w = path(5)
    assert all(same(a, mean(w[:t + 1])) for t, a in enumerate(averaged(w, exponential(0.8))))


@pytest.mark.parametrize("share", [tail(0), tail(5), exponential(0.0), exponential(0.7), exponential(0.99)])
def test_an_average_of_one_thing_is_that_thing(share):
    w = path(1)[0]
    assert all(same(a, w) for a in averaged([w] * 30, share))


# Errors.


@pytest.mark.parametrize("act, words", [
    (lambda: linear(0), "linear needs a whole number steps, at least 1; got steps 0"),
    (lambda: cosine(2.5), "cosine needs a whole number steps.*2.5"),
    (lambda: geometric(5, 0.0), "geometric needs 0 < end <= 1, got 0"),
    (lambda: geometric(0), "geometric needs a whole number steps"),
    (lambda: staircase(0), "staircase needs a whole number every"),
    (lambda: staircase(3, 1.5), "staircase needs 0 < factor <= 1, got 1.5"),
    (lambda: inverse_time(0), "inverse_time needs t0 > 0, got 0"),
    (lambda: inverse_time(float("nan")), "inverse_time needs t0 > 0, got nan"),
    (lambda: warmup(0), "warmup needs a whole number steps"),
    (lambda: eigencurve([1.0, -1.0], 5), "eigencurve needs positive and finite curvatures"),
    (lambda: eigencurve([1.0, np.inf], 5), "eigencurve needs positive and finite curvatures"),
    (lambda: eigencurve([], 5), "eigencurve needs positive and finite curvatures"),
    (lambda: eigencurve([1.0], 0), "eigencurve needs a whole number steps"),
    (lambda: eigencurve([1.0], 5, 0.0), "eigencurve needs step_size > 0, got 0"),
    (lambda: tail(-1), "tail needs a whole number start, at least 0; got start -1"),
    (lambda: exponential(1.0), r"exponential needs beta in \[0, 1\), got 1"),
])
def test_one_clear_error(act, words):
    with pytest.raises(ValueError, match=words):
        act()


def test_an_average_of_nothing_is_nothing():
    assert list(averaged([], tail(0))) == []
