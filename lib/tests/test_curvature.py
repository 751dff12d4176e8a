"""The law of the sharpness's gradient: the third derivative along the top eigenvector, against differences of the sharpness itself."""
import numpy as np
import pytest

from laws import random_vector
from metrized.bonds import Tanh
from metrized.compounds import MLP
from metrized.curvature import sharpness, sharpness_gradient, spectrum
from metrized.losses import SquareError
from metrized.objective import Objective
from metrized.vectors import Covector, Vector


def network(rng):
    """A small regression of 45 weights, none of whose layers is square: (objective, weights)."""
    net = MLP(2, 5, 7, bond=Tanh())
    return Objective(net, SquareError(), rng.standard_normal((9, 7)), rng.standard_normal((9, 2))), 1.5 * net.initialize(rng, np.float64)


def top(objective, w):
    """The two largest eigenvalues and the eigenvector of the first."""
    values, U = spectrum(objective, w, np.random.default_rng(0), w.size)
    return values[-1], values[-2], w.unflatten(U[:, -1])


@pytest.mark.parametrize("seed", range(5))
def test_third_derivative_along_the_top_eigenvector_is_the_gradient_of_the_sharpness(seed):
    """Along random directions, with the sharpness from a complete Lanczos run at both ends; u may have any length and either sign."""
    rng = np.random.default_rng(seed)
    objective, w = network(rng)
    first, second, u = top(objective, w)
    assert first - second > 0.01 * first, "the law needs a simple top eigenvalue"
    slope = sharpness_gradient(objective, w, -3.0 * u)
    assert isinstance(slope, Covector)
    size, h = np.linalg.norm(slope.flatten()), 1e-4
    for _ in range(3):
        d = random_vector(rng, w)
        ends = [sharpness(objective, w + s * h * d, np.random.default_rng(0), w.size) for s in (1, -1)]
        assert abs(slope @ d - (ends[0] - ends[1]) / (2 * h)) < 1e-4 * size * np.linalg.norm(d.flatten())


class Cubic:
    """L = (1 + a) x^2 / 2 + (1 - a) y^2 / 2 in w = (a, x, y): at 0 the sharpness is 1 + |a|, with a kink."""

    def gradient(self, w):
        a, x, y = w.array
        return Covector(np.array([(x * x - y * y) / 2, (1 + a) * x, (1 - a) * y]))


def test_at_a_double_eigenvalue_every_eigenvector_tells_another_slope():
    """Between the two slopes of the kink, -1 and 1: u = (0, cos, sin) gives cos^2 - sin^2."""
    for angle in (0.0, 0.4, np.pi / 4, 1.3, np.pi / 2):
        u = Vector(np.array([0.0, np.cos(angle), np.sin(angle)]))
        np.testing.assert_allclose(sharpness_gradient(Cubic(), Vector(np.zeros(3)), u).array, [np.cos(2 * angle), 0, 0], atol=1e-7)


def test_no_direction_and_too_few_digits_are_errors(rng):
    objective, w = network(rng)
    with pytest.raises(ValueError, match="not zero"):
        sharpness_gradient(objective, w, 0.0 * w)
    small = w.map(lambda W: W.astype(np.float32))
    with pytest.raises(TypeError, match="float64"):
        sharpness_gradient(objective, small, small)


@pytest.mark.parametrize("size", [1.0, 1e4])
def test_large_weights_get_a_large_difference(size, rng):
    """The third derivative of a cubic is the same everywhere, and its gradients there are as large as the squares of the weights."""
    w, u = Vector(size * rng.standard_normal(3)), Vector(np.array([0.0, np.cos(0.4), np.sin(0.4)]))
    np.testing.assert_allclose(sharpness_gradient(Cubic(), w, u).array, [np.cos(0.8), 0, 0], atol=1e-5)


class Exponential:
    """L = the sum of exp(w_i), whose derivatives are all exp(w_i)."""

    def gradient(self, w):
        return Covector(np.exp(w.array))


@pytest.mark.parametrize("n", [2, 1000])
def test_the_error_of_a_third_derivative_is_that_of_a_small_step_however_many_weights(n):
    slope = sharpness_gradient(Exponential(), Vector(np.full(n, 2.0)), Vector(-3.0 * np.eye(n)[1]))
    np.testing.assert_allclose(slope.array, np.exp(2) * np.eye(n)[1], atol=1e-6)


@pytest.mark.parametrize("kinds", ["ff", "fd", "df"])
def test_one_layer_of_few_digits_is_an_error(kinds):
    class Square:
        def gradient(self, w):
            return Covector(w.nest())

    w = Vector(tuple(np.ones(n, kind) for n, kind in zip((2, 3), kinds, strict=True)))
    with pytest.raises(TypeError, match="needs float64 weights"):
        sharpness_gradient(Square(), w, w)
