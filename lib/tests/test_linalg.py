"""Orthogonal factors, Lanczos, conjugate gradient and power iteration against NumPy's own decompositions."""
import numpy as np
import pytest

from metrized.linalg import CUBIC, MUON, QUINTIC, SIX_STEP, conjugate_gradient, lanczos, newton_schulz, polar, power_iteration

SHAPES = [(5, 5), (4, 9), (9, 4), (1, 6), (2, 3, 7, 4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_polar_has_orthonormal_rows_or_columns_and_the_right_stretch(shape, rng):
    """Q = U V^T: short side orthonormal, and Q^T G symmetric positive semidefinite, which no other orthogonal matrix gives."""
    G, T = rng.standard_normal(shape), lambda X: np.swapaxes(X, -1, -2)
    Q = polar(G)
    short = Q @ T(Q) if shape[-2] <= shape[-1] else T(Q) @ Q
    np.testing.assert_allclose(short, np.broadcast_to(np.eye(min(shape[-2:])), short.shape), atol=1e-12)
    S = T(Q) @ G
    np.testing.assert_allclose(S, T(S), atol=1e-12)
    assert np.linalg.eigvalsh(S).min() > -1e-12


def test_polar_of_known_rank(rng):
    G = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 30))
    np.testing.assert_allclose(polar(G, rank=5), polar(G), atol=1e-10)
    assert not polar(np.zeros((40, 30)), rank=5).any() and not polar(np.zeros((3, 4))).any()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scheme, error", [(CUBIC, 1e-3), (QUINTIC, 1e-6), (SIX_STEP, 5e-3)], ids=["cubic", "quintic", "six-step"])
def test_newton_schulz_approaches_polar(shape, scheme, error, rng):
    """On matrices with singular values in [.1, 1] of the largest."""
    U, s, Vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
    G = (U * np.linspace(1, .1, s.shape[-1])) @ Vt
    np.testing.assert_allclose(newton_schulz(G, scheme), polar(G), atol=error)


def curve(scheme, s):
    for a, b, c in scheme:
        s = a * s + b * s ** 3 + c * s ** 5
    return s


def test_schemes_act_on_singular_values(rng):
    """newton_schulz moves singular values along the scheme's polynomials, and leaves the singular vectors."""
    G = rng.standard_normal((4, 7))
    s = np.linalg.svd(G, compute_uv=False) / np.linalg.norm(G)
    for scheme in (CUBIC, QUINTIC, MUON, SIX_STEP):
        np.testing.assert_allclose(np.linalg.svd(newton_schulz(G, scheme), compute_uv=False), np.sort(curve(scheme, s))[::-1], atol=1e-10)


def test_ranges_of_the_schemes():
    """Where [.01, 1] lands: Muon's five steps stay in about [.68, 1.13] and do not converge; the six-step scheme ends within half a percent."""
    s = np.linspace(.01, 1, 100001)
    low, high = curve(MUON, s).min(), curve(MUON, s).max()
    assert .66 < low < .70 and 1.12 < high < 1.14 and abs(sum(MUON[0]) - .701) < 1e-12
    assert .995 < curve(SIX_STEP, s).min() and curve(SIX_STEP, s).max() < 1.0
    for scheme in (CUBIC, QUINTIC):
        assert abs(sum(scheme[0]) - 1) < 1e-15


def test_newton_schulz_of_zero_and_of_rank_one(rng):
    assert not newton_schulz(np.zeros((3, 5))).any()
    u, v = rng.standard_normal(4), rng.standard_normal(6)
    expected = np.outer(u, v) / np.linalg.norm(u) / np.linalg.norm(v)
    np.testing.assert_allclose(newton_schulz(np.outer(u, v)), expected, atol=5e-3)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_power_iteration_climbs_to_the_top_singular_value(shape, rng):
    M = rng.standard_normal(shape)
    top = np.linalg.svd(M, compute_uv=False)[..., 0]
    few, many = power_iteration(M, 3), power_iteration(M, 2000, rng)
    assert (few <= top * (1 + 1e-12)).all()
    np.testing.assert_allclose(many, top, rtol=1e-6)


@pytest.mark.parametrize("M, top", [([[1, -1], [-1, 1]], 2), ([[2, -2], [1, 1]], 8 ** .5)], ids=str)
def test_power_iteration_has_no_blind_spot(M, top):
    """Matrices whose top singular vector is orthogonal to (1, 1), or to their column norms."""
    np.testing.assert_allclose(power_iteration(np.array(M, dtype=float), 100), top, rtol=1e-9)


def test_lanczos_finds_the_ends_of_the_spectrum(rng):
    Q = polar(rng.standard_normal((60, 60)))
    eigenvalues = np.concatenate([[-5.0], np.linspace(-1, 1, 57), [3.0, 4.0]])
    A = Q @ np.diag(eigenvalues) @ Q.T
    values, vectors = lanczos(lambda v: A @ v, rng.standard_normal(60), steps=30)
    np.testing.assert_allclose(values[[0, -2, -1]], [-5, 3, 4], rtol=1e-6)
    np.testing.assert_allclose(A @ vectors[:, -1], 4 * vectors[:, -1], atol=1e-4)


def test_lanczos_ends_when_nothing_is_left(rng):
    """A start in an invariant plane gives its two eigenvalues, each once, and all n steps give the whole spectrum without ghosts."""
    A = np.diag([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(lanczos(lambda v: A @ v, np.array([1.0, 0, 0, 1.0]))[0], [1, 4])
    B = rng.standard_normal((9, 9))
    np.testing.assert_allclose(lanczos(lambda v: (B + B.T) @ v, rng.standard_normal(9), 50)[0], np.linalg.eigvalsh(B + B.T), atol=1e-9)
    np.testing.assert_allclose(lanczos(lambda v: 0 * v, np.ones(3))[0], [0])
    with pytest.raises(ValueError, match="not zero"):
        lanczos(lambda v: v, np.zeros(3))


def test_conjugate_gradient_solves_in_n_steps(rng):
    B, b = rng.standard_normal((12, 12)), rng.standard_normal(12)
    A = B @ B.T + 0.5 * np.eye(12)
    np.testing.assert_allclose(conjugate_gradient(lambda v: A @ v, b), np.linalg.solve(A, b), rtol=1e-5)
    three = np.diag(np.repeat([1.0, 2.0, 5.0], 4))
    np.testing.assert_allclose(conjugate_gradient(lambda v: three @ v, b, steps=3), b / np.diag(three), rtol=1e-10)
    assert not conjugate_gradient(lambda v: A @ v, 0 * b).any()
    with pytest.raises(ValueError, match="positive definite"):
        conjugate_gradient(lambda v: -v, b)


def test_the_six_step_scheme_lands_where_its_docstring_says():
    """[.01, 1] goes to [.9956, .9993]: every coefficient matters."""
    landed = curve(SIX_STEP, np.linspace(.01, 1, 100001))
    np.testing.assert_allclose([landed.min(), landed.max()], [.9956, .9993], atol=5e-5)
    np.testing.assert_allclose(curve(SIX_STEP, np.array([.3, .5, .7])), [.995601, .996171, .998461], atol=1e-6)


def test_ritz_vectors_are_orthonormal(rng):
    """Also where the spectrum spans twelve decades, and one orthogonalization would lose digits."""
    A = np.diag(np.geomspace(1e-12, 1, 60))
    vectors = lanczos(lambda v: A @ v, rng.standard_normal(60), 40)[1]
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(vectors.shape[1]), atol=1e-13)


def test_conjugate_gradient_keeps_its_tolerance(rng):
    """|A x - b| <= tolerance |b| when it stops before its last step."""
    A, b = np.diag(np.linspace(1, 100, 400)), rng.standard_normal(400)
    for tolerance in (1e-3, 1e-10):
        residual = np.linalg.norm(A @ conjugate_gradient(lambda v: A @ v, b, tolerance=tolerance) - b) / np.linalg.norm(b)
        assert 1e-3 * tolerance < residual <= 1.01 * tolerance


def test_conjugate_gradient_takes_no_more_products_than_allowed(rng):
    calls, A = [], np.diag(np.linspace(1, 100, 50))
    conjugate_gradient(lambda v: calls.append(1) or A @ v, rng.standard_normal(50), steps=3)
    assert len(calls) == 3


@pytest.mark.parametrize("scheme", [CUBIC, QUINTIC, MUON, SIX_STEP], ids=["cubic", "quintic", "Muon", "six steps"])
@pytest.mark.parametrize("shape", [(5, 15), (16, 5), (3, 4, 40), (2, 7, 20)], ids=str)
def test_long_matrices_go_through_the_same_steps(shape, scheme, rng):
    """Three times as long as wide and more: only X X^T is iterated, and the result is that of X <- a X + b A X + c A^2 X all the same."""
    def in_steps(X):
        for a, b, c in scheme:
            A = X @ X.swapaxes(-1, -2)
            X = a * X + b * A @ X + c * A @ A @ X
        return X

    G = rng.standard_normal(shape)
    expected = in_steps(G / np.sqrt((G * G).sum((-2, -1), keepdims=True)))
    np.testing.assert_allclose(newton_schulz(G, scheme), expected, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(newton_schulz(G.astype(np.float32), scheme), expected, atol=1e-3)
