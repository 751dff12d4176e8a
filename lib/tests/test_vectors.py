"""Vectors and Covectors: linear spaces in duality. What does not type check is in test_errors."""
import pickle

import numpy as np
import pytest

from laws import random_vector
from metrized.vectors import Covector, Vector


@pytest.fixture
def v(rng):
    return Vector((rng.standard_normal((3, 4)), (rng.standard_normal(2), ())))


def test_a_linear_space(v, rng):
    """Sums commute and associate, numbers distribute, and a nest keeps its shape."""
    u, w = random_vector(rng, v), random_vector(rng, v)
    flat = lambda x: x.flatten()
    np.testing.assert_allclose(flat(u + v), flat(v + u))
    np.testing.assert_allclose(flat((u + v) + w), flat(u + (v + w)))
    np.testing.assert_allclose(flat(2.5 * (u - v) / 2), flat(u) * 1.25 - flat(v) * 1.25)
    np.testing.assert_allclose(flat(-u), -flat(u))
    assert [part.is_leaf for part in u + v] == [True, False] and len(v) == 2 and v.size == 14


def test_flatten_and_back(v):
    again = v.unflatten(v.flatten())
    assert isinstance(again, Vector) and all((a == b).all() for a, b in zip(v.leaves(), again.leaves(), strict=True))
    assert isinstance(v.unflatten(v.flatten(), Covector), Covector)


def test_one_number_for_each_network_of_an_ensemble():
    v = Vector((np.ones((3, 2, 2)), np.ones((3, 4))))
    w = np.array([1.0, 2.0, 3.0]) * v
    assert (w[0].array[:, 0, 0] == [1, 2, 3]).all() and (w[1].array[:, 0] == [1, 2, 3]).all()


def test_pickles(v):
    again = pickle.loads(pickle.dumps(v))
    assert type(again) is Vector and (again.flatten() == v.flatten()).all()


def test_the_pairing_reads_from_both_sides(rng):
    """g @ v = v @ g = the sum of products."""
    a, b = rng.standard_normal((2, 3, 4))
    g, v = Covector((a, b)), Vector((b, a - b))
    np.testing.assert_allclose([g @ v, v @ g], [(a * b).sum() + (b * (a - b)).sum()] * 2)
    np.testing.assert_allclose((v - 2 * v + v / 4).flatten(), -0.75 * v.flatten())
