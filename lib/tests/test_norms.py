"""Laws of norms and their duals, on random vectors, non-square matrices and nests."""
from math import inf

import numpy as np
import pytest

from laws import same
from metrized import norms
from metrized.atoms import Conv2D
from metrized.linalg import newton_schulz
from metrized.norms import (
    RMS,
    Columns,
    Euclidean,
    FanScaled,
    Frobenius,
    Induced,
    KyFan,
    Largest,
    Layerwise,
    Lp,
    Manhattan,
    Max,
    MuonNorm,
    Norm,
    Nuclear,
    Polygon,
    Positions,
    RMSOperator,
    RowRMS,
    Rows,
    Scaled,
    Schatten,
    Spectral,
    TopK,
    Total,
    Weighted,
)
from metrized.vectors import Covector, Vector

A = np.array([[3.0, 1.0, 0.5], [1.0, 2.0, -0.3], [0.5, -0.3, 1.5]])
VECTOR, MATRIX, PLANE, KERNEL, NEST = (3,), (4, 6), (2,), (3, 3, 4, 2), ((4, 6), ((3, 2), (2, 5)))

TABLE = {  # name: (norm, shape of what it measures)
    "Euclidean": (Euclidean(), VECTOR),
    "Euclidean of a nest": (Euclidean(), NEST),
    "RMS": (RMS(), VECTOR),
    "Manhattan": (Manhattan(), VECTOR),
    "Max": (Max(), VECTOR),
    "Max of a nest": (Max(), NEST),
    "Lp(1.3)": (Lp(1.3), VECTOR),
    "Lp(5)": (Lp(5), VECTOR),
    "TopK(2)": (TopK(2), VECTOR),
    "Weighted, diagonal": (Weighted([1.0, 4.0, 0.2]), VECTOR),
    "Weighted, matrix": (Weighted(A), VECTOR),
    "Polygon": (Polygon([(1.0, 0.2), (0.3, 1.0), (-0.8, 0.7), (0.1, 0.1)]), PLANE),
    "Frobenius": (Frobenius(), MATRIX),
    "Spectral": (Spectral(), MATRIX),
    "Nuclear": (Nuclear(), MATRIX),
    "Schatten(3)": (Schatten(3), MATRIX),
    "Schatten(1.5)": (Schatten(1.5), MATRIX),
    "KyFan(2)": (KyFan(2), MATRIX),
    "RMSOperator": (RMSOperator(), MATRIX),
    "RMSOperator, tall": (RMSOperator((6, 4)), (6, 4)),
    "MuonNorm": (MuonNorm(), MATRIX),
    "MuonNorm, tall": (MuonNorm((6, 4)), (6, 4)),
    "FanScaled Frobenius": (FanScaled(Frobenius()), MATRIX),
    "RowRMS": (RowRMS(), MATRIX),
    "Rows": (Rows(Manhattan()), MATRIX),
    "Columns": (Columns(Max()), MATRIX),
    "Induced(1, 3)": (Induced(1, 3), MATRIX),
    "Induced(3, inf)": (Induced(3, inf), MATRIX),
    "Induced(2, 2)": (Induced(2, 2), MATRIX),
    "Induced(inf, inf)": (Induced(inf, inf), MATRIX),
    "Positions": (Positions(Spectral(shape=(4, 2)), KERNEL), KERNEL),
    "Scaled": (Scaled(0.3, Max()), VECTOR),
    "Largest": (Largest(Spectral(), Scaled(2.0, Largest(Manhattan(), Nuclear()))), NEST),
    "Total": (Total(Spectral(), Scaled(2.0, Total(Manhattan(), Nuclear()))), NEST),
    "Layerwise": (Layerwise(RMSOperator()), NEST),
}


def draw(rng, shape):
    return tuple(draw(rng, s) for s in shape) if isinstance(shape[0], tuple) else rng.standard_normal(shape)


@pytest.fixture(params=TABLE)
def norm_and_shape(request):
    return TABLE[request.param]


def test_every_norm_is_tested():
    written = {c for c in vars(norms).values() if isinstance(c, type) and issubclass(c, Norm)} - {Norm, norms.MatrixNorm}
    assert written <= {type(norm) for norm, _ in TABLE.values()}


def test_axioms(norm_and_shape, rng):
    norm, shape = norm_and_shape
    for _ in range(20):
        u, v = Vector(draw(rng, shape)), Vector(draw(rng, shape))
        assert norm(u) > 0 and norm.dual(Covector(u.nest())) > 0
        assert norm(u + v) <= (norm(u) + norm(v)) * (1 + 1e-12)
        np.testing.assert_allclose(norm(-2.5 * u), 2.5 * norm(u), rtol=1e-12)
        np.testing.assert_allclose(norm.dual(Covector((-2.5 * u).nest())), 2.5 * norm.dual(Covector(u.nest())), rtol=1e-12)
    assert norm(0.0 * u) == 0


def test_duality(norm_and_shape, rng):
    """<g, v> <= |g|* |v| always, with equality at the dual map, whose norm is 1."""
    norm, shape = norm_and_shape
    for _ in range(20):
        g, v = Covector(draw(rng, shape)), Vector(draw(rng, shape))
        assert abs(g @ v) <= norm.dual(g) * norm(v) * (1 + 1e-12)
        d = norm.dualize(g)
        assert isinstance(d, Vector)
        np.testing.assert_allclose(norm(d), 1, rtol=1e-9)
        np.testing.assert_allclose(g @ d, norm.dual(g), rtol=1e-9)
        sharp = norm.sharp(g)
        np.testing.assert_allclose([norm(sharp), g @ sharp], [norm.dual(g), norm.dual(g) ** 2], rtol=1e-9)


def test_bidual(norm_and_shape, rng):
    """|v| = max <g, v> over |g|* <= 1: attained at a subgradient of the norm, found here by climbing, and never exceeded."""
    norm, shape = norm_and_shape
    v = Vector(draw(rng, shape))
    g = Covector(subgradient(norm, v))
    np.testing.assert_allclose(norm.dual(g), 1, rtol=1e-5)
    np.testing.assert_allclose(g @ v, norm(v), rtol=1e-6)


def subgradient(norm, v, h=1e-6):
    """The gradient of the norm at v by central differences; a random v is smooth with probability 1."""
    flat = v.flatten()
    return v.unflatten(np.array([(norm(v.unflatten(flat + h * e)) - norm(v.unflatten(flat - h * e))) / (2 * h) for e in np.eye(flat.size)])).nest()


def test_dualize_ignores_scale_is_odd_and_kills_zero(norm_and_shape, rng):
    norm, shape = norm_and_shape
    g = Covector(draw(rng, shape))
    d = norm.dualize(g).flatten()
    np.testing.assert_allclose(norm.dualize(37.0 * g).flatten(), d, atol=1e-9)
    np.testing.assert_allclose(norm.dualize(1e-150 * g).flatten(), d, atol=1e-9)
    np.testing.assert_allclose(norm.dualize(-g).flatten(), -d, atol=1e-9)
    assert not norm.dualize(0.0 * g).flatten().any() and norm.dual(0.0 * g) == 0 and not norm.sharp(0.0 * g).flatten().any()


def test_project_and_normalize(norm_and_shape, rng):
    norm, shape = norm_and_shape
    v = Vector(draw(rng, shape))
    inside = norm.project(50.0 * v)
    assert norm(inside) <= 1 + 1e-10 and norm(inside) > 0.5
    same(norm.project(inside).nest(), inside.nest(), 1e-10)
    small = v / (2 * norm(v))
    same(norm.project(small).nest(), small.nest(), 1e-13)
    np.testing.assert_allclose(norm(norm.normalize(v)), norm(norm.normalize(9.0 * v)), rtol=1e-12)


@pytest.mark.parametrize("norm", [n for n, s in TABLE.values() if s == MATRIX], ids=lambda n: type(n).__name__)
def test_untyped_arrays_pass(norm, rng):
    G = rng.standard_normal((5, 3))
    d = norm.dualize(G)
    assert type(d) is np.ndarray and d.shape == G.shape
    np.testing.assert_allclose([norm(d), (G * d).sum()], [1, norm.dual(G)], rtol=1e-10)


def test_definitions_against_numpy(rng):
    W, v = rng.standard_normal((4, 6)), rng.standard_normal(7)
    s = np.linalg.svd(W, compute_uv=False)
    for norm, value in ((Spectral(), np.linalg.norm(W, 2)), (Nuclear(), np.linalg.norm(W, "nuc")), (Frobenius(), np.linalg.norm(W)),
                        (KyFan(3), s[:3].sum()), (Schatten(3), (s ** 3).sum() ** (1 / 3)),
                        (RMSOperator(), np.sqrt(6 / 4) * s[0]), (Induced(1, 1), np.linalg.norm(W, 1)),
                        (Induced(inf, inf), np.linalg.norm(W, inf)), (RowRMS(), np.sqrt((W ** 2).mean(1)).max())):
        np.testing.assert_allclose(norm(W), value, rtol=1e-12)
    for norm, p in ((Lp(3), 3), (Max(), inf), (Manhattan(), 1), (Euclidean(), 2)):
        np.testing.assert_allclose(norm(v), np.linalg.norm(v, p), rtol=1e-12)
    np.testing.assert_allclose(RMS()(v), np.linalg.norm(v) / 7 ** .5, rtol=1e-12)


@pytest.mark.parametrize("p, q", [(1, 2), (1, 3), (2, inf), (3, inf), (2, 2), (inf, inf), (1, inf)])
def test_induced_norms_bound_the_gain_and_are_attained(p, q, rng):
    """|W x|_q <= |W| |x|_p for every x, and some x comes close: the best of the extreme candidates reaches it."""
    W, norm, size = rng.standard_normal((4, 6)), Induced(p, q), lambda z, r: np.linalg.norm(z, r)
    x = rng.standard_normal((2000, 6))
    gain = lambda x: max(size(W @ z, q) / size(z, p) for z in x)
    assert gain(x) <= norm(W) * (1 + 1e-12)
    candidates = np.concatenate([np.eye(6), np.linalg.svd(W)[2], [norms._lp(p).dualize(row) for row in W]])
    np.testing.assert_allclose(gain(candidates), norm(W), rtol=1e-10)


def test_polygon_is_its_hull():
    """A square given with a point inside it is the max norm turned by nothing; a segment is refused."""
    square, g = Polygon([(1.0, 1.0), (1.0, -1.0), (0.2, 0.1)]), np.array([0.3, -2.0])
    np.testing.assert_allclose([square(g), square.dual(g)], [2.0, 2.3])
    np.testing.assert_allclose(square.dualize(g), [1, -1])
    with pytest.raises(ValueError, match="span the plane"):
        Polygon([(1.0, 1.0), (2.0, 2.0)])


def test_a_fast_orthogonalizer_may_replace_the_exact_one(rng):
    G = rng.standard_normal((8, 3))
    np.testing.assert_allclose(Spectral(newton_schulz).dualize(G), Spectral().dualize(G), atol=1e-2)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_rank_deficient_gradients(rank, rng):
    """Directions in which nothing is felt are not moved; duality still holds with equality."""
    G = rng.standard_normal((5, rank)) @ rng.standard_normal((rank, 4))
    for norm in (Spectral(), Nuclear(), Schatten(3), KyFan(2), RMSOperator()):
        d = norm.dualize(G)
        np.testing.assert_allclose([(G * d).sum(), norm(d)], [norm.dual(G), float(rank > 0)], atol=1e-10)


def test_limits_of_scaled(rng):
    g = rng.standard_normal(3)
    frozen, blind = Scaled(inf, Max()), Scaled(0.0, Max())
    assert frozen(g) == inf and frozen(0 * g) == 0 and frozen.dual(g) == 0 and not frozen.dualize(g).any() and not frozen.project(g).any()
    assert blind(g) == 0 and blind.dual(g) == inf and blind.dual(0 * g) == 0 and not blind.dualize(g).any() and (blind.project(g) == g).all()


def test_euclidean_sharp_is_the_gradient(rng):
    g = Covector(rng.standard_normal((3, 4)))
    assert (Euclidean().sharp(g).array == g.array).all() and isinstance(Euclidean().sharp(g), Vector)


def test_kl_is_no_norm(rng):
    """What the audience of the lecture proposed: it is neither symmetric nor homogeneous, so it cannot enter the table."""
    kl = lambda p, q: (p * np.log(p / q)).sum()
    p, q = rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(4))
    assert abs(kl(p, q) - kl(q, p)) > 1e-3


@pytest.mark.parametrize("norm", [Spectral(), Nuclear(), Schatten(3), Schatten(1.1), KyFan(2), RMSOperator()], ids=lambda n: type(n).__name__)
@pytest.mark.parametrize("rank", [1, 2])
def test_nothing_moves_where_nothing_is_felt(norm, rank, rng):
    """The dual map of G has G's range and row space, to rounding: singular values that are rounding do not come back."""
    G = rng.standard_normal((5, rank)) @ rng.standard_normal((rank, 4))
    U, _, Vt = np.linalg.svd(G)
    d = norm.dualize(G)
    np.testing.assert_allclose(U[:, rank:].T @ d, 0, atol=1e-13)
    np.testing.assert_allclose(d @ Vt[rank:].T, 0, atol=1e-13)


def test_positions_and_convolutions_measure_the_largest_position(rng):
    """k^2 sqrt(fan_in / fan_out) max |W[a, b]|, by numpy; the dual is the sum over positions."""
    W, G = rng.standard_normal((2, 3, 3, 4, 2))
    tops, sums = np.linalg.norm(W, 2, axis=(-2, -1)), np.linalg.norm(G, "nuc", axis=(-2, -1))
    positions = Positions(Spectral(shape=(4, 2)), W.shape)
    np.testing.assert_allclose([positions(W), Conv2D(4, 2, 3).norm(W)], [tops.max(), 9 * (2 / 4) ** .5 * tops.max()])
    np.testing.assert_allclose(Conv2D(4, 2, 3).norm.dual(G), sums.sum() / (9 * (2 / 4) ** .5))


def test_sums_and_maxima_by_hand(rng):
    """Largest and Layerwise are the largest of their parts, Total is their sum, and the duals are the other way round."""
    U, V = rng.standard_normal((4, 3)), rng.standard_normal((2, 5))
    sizes, duals = np.array([np.linalg.norm(U, 2), np.linalg.norm(V, 2)]), np.array([np.linalg.norm(U, "nuc"), np.linalg.norm(V, "nuc")])
    for norm, size, dual in ((Largest(Spectral(), Spectral()), sizes.max(), duals.sum()), (Layerwise(Spectral()), sizes.max(), duals.sum()),
                             (Total(Spectral(), Spectral()), sizes.sum(), duals.max())):
        np.testing.assert_allclose([norm(Vector((U, V))), norm.dual(Covector((U, V)))], [size, dual])


def test_a_blind_norm_has_no_steepest_descent(rng):
    """Scaled(0) dualizes to 0, and sharp is 0 and not inf * 0."""
    assert not Scaled(0.0, Spectral()).sharp(rng.standard_normal((3, 4))).any()
