"""Laws of atoms, bonds, losses, compounds and the algebra that makes them."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laws import adjoint, random_like, random_vector, same, slope
from metrized import bonds
from metrized.arrays import normal as gaussian
from metrized.atoms import Conv2D, Embed, Linear
from metrized.bonds import Add, Attend, GeLU, Identity, Multiply, ReLU, Scores, Sigmoid, Tanh
from metrized.compounds import GPT, MLP, Attention, Checkpoint, ConvNet, ResidualMLP, residual
from metrized.linalg import newton_schulz
from metrized.losses import CrossEntropy, SquareError
from metrized.modules import Bond, Compose, Concatenate
from metrized.vectors import Covector, Vector

F = np.float64


def normal(rng, *shape):
    return rng.standard_normal(shape)


CASES = {  # name: (module, an input)
    "Linear": lambda r: (Linear(3, 5), normal(r, 4, 5)),
    "Linear, one vector": lambda r: (Linear(3, 5), normal(r, 5)),
    "Linear, tokens": lambda r: (Linear(3, 5), normal(r, 2, 4, 5)),
    "Embed": lambda r: (Embed(4, 7), r.integers(0, 7, (3, 5))),
    "Conv2D": lambda r: (Conv2D(3, 2, 3), normal(r, 4, 5, 6, 2)),
    "Conv2D, even kernel": lambda r: (Conv2D(2, 3, 2), normal(r, 5, 4, 3)),
    "Identity": lambda r: (Identity(), normal(r, 3, 4)),
    "Add": lambda r: (Add(), (normal(r, 3, 4), normal(r, 3, 4), normal(r, 3, 4))),
    "Multiply": lambda r: (Multiply(-1.7), (normal(r, 3), normal(r, 2, 4))),
    "ReLU": lambda r: (ReLU(), normal(r, 4, 5)),
    "GeLU": lambda r: (GeLU(), 3 * normal(r, 4, 5)),
    "Tanh": lambda r: (Tanh(), normal(r, 4, 5)),
    "Sigmoid": lambda r: (Sigmoid(), normal(r, 4, 5)),
    "RMSNorm": lambda r: (bonds.RMSNorm(eps=1e-2), normal(r, 4, 5)),
    "LayerNorm": lambda r: (bonds.LayerNorm(), 1 + normal(r, 4, 5)),
    "Softmax": lambda r: (bonds.Softmax(), 2 * normal(r, 4, 5)),
    "SplitHeads": lambda r: (bonds.SplitHeads(2), normal(r, 3, 5, 6)),
    "MergeHeads": lambda r: (bonds.MergeHeads(), normal(r, 3, 2, 5, 4)),
    "RoPE": lambda r: (bonds.RoPE(), normal(r, 2, 5, 6)),
    "Scores": lambda r: (bonds.Scores(), (normal(r, 2, 5, 4), normal(r, 2, 5, 4))),
    "CausalMask": lambda r: (bonds.CausalMask(), normal(r, 2, 5, 5)),
    "Attend": lambda r: (bonds.Attend(), (normal(r, 2, 5, 5), normal(r, 2, 5, 3))),
    "Flatten": lambda r: (bonds.Flatten(), normal(r, 4, 2, 3, 5)),
    "AveragePool": lambda r: (bonds.AveragePool(2), normal(r, 3, 5, 4, 2)),
    "MLP": lambda r: (MLP(3, 6, 4, 5, bond=GeLU()), normal(r, 4, 5)),
    "ResidualMLP": lambda r: (ResidualMLP(3, 6, 5, depth=4, bond=Tanh(), mass=2.0), normal(r, 4, 5)),
    "ConvNet": lambda r: (ConvNet(3, (2, 4), 9, fan_in=2), normal(r, 2, 9, 9, 2)),
    "Attention": lambda r: (Attention(6, heads=3, d_head=4), normal(r, 2, 5, 6)),
    "Attention, all to all": lambda r: (Attention(8, heads=2, causal=False), normal(r, 5, 8)),
    "GPT": lambda r: (GPT(11, 8, heads=2, blocks=2), r.integers(0, 11, (3, 6))),
    "Checkpoint": lambda r: (Linear(2, 3) @ Checkpoint(Tanh() @ Linear(3, 4)) @ Linear(4, 5), normal(r, 4, 5)),
    "tuples": lambda r: (Add() @ (Linear(3, 5), Multiply(2.0) @ Linear(3, 5), -0.5 * (Linear(3, 4) @ Linear(4, 5))), normal(r, 4, 5)),
    "tuple of tuples": lambda r: ((Linear(2, 3) + Identity() @ Linear(2, 3)) @ Add() @ (Linear(3, 5), Linear(3, 5) @ ReLU()), normal(r, 4, 5)),
}


@pytest.fixture(params=CASES)
def case(request, rng):
    module, x = CASES[request.param](rng)
    return module, x, module.initialize(rng, F)


def test_every_bond_is_tested():
    tested = {type(make(np.random.default_rng(0))[0]) for make in CASES.values()}
    written = {c for c in vars(bonds).values() if isinstance(c, type) and issubclass(c, Bond)} - {Bond, bonds.Elementwise}
    assert written <= tested


def test_adjoint(case, rng):
    adjoint(*case, rng)


def test_push_is_the_slope(case, rng):
    slope(*case, rng)


def test_dtype_in_dtype_out(case, rng):
    module, x, _ = case
    cast = lambda z: tuple(map(cast, z)) if isinstance(z, tuple) else z if z.dtype.kind in "iu" else z.astype(np.float32)
    x, w = cast(x), module.initialize(rng, np.float32)
    y, push, pull = module.linearize(x, w)
    dx, dw = pull(random_like(rng, y))
    dy = push(dx, Vector(dw.nest()))
    for z in (y, dx, dy, dw.nest(), module.dualize(dw).nest(), module.project(w).nest()):
        assert z is None or all(leaf.dtype == np.float32 for leaf in Vector(z).leaves())


def test_an_ensemble_is_a_loop_over_networks(case, rng):
    """Values, gradients, dual steps and norms of K networks at once, on inputs of their own and on a shared one."""
    module, x, _ = case
    if isinstance(x, tuple):
        pytest.skip("tuples enter only bonds, which see no ensemble")
    K = 3
    ws = [module.initialize(rng, F) for _ in range(K)]
    stacked = ws[0].map(lambda *arrays: np.stack(arrays), *ws[1:])
    for xs in (x[None], np.stack([x, x[::-1], x])):
        if x.ndim == 1:
            continue
        each = [x, x, x] if len(xs) == 1 else list(xs)
        y, push, pull = module.linearize(xs, stacked)
        dy = random_like(rng, y) if module.mass else random_like(rng, np.concatenate([y] * (K // len(y))))
        dx, dw = pull(dy)
        for k in range(K):
            yk, pushk, pullk = module.linearize(each[k], ws[k])
            same(y[k if len(y) == K else 0], yk, 1e-12)
            dxk, dwk = pullk(dy[k])
            same(dw.map(lambda a, k=k: a[k]).nest(), dwk.nest(), 1e-12)
            if dx is not None and len(dx) == K:
                same(dx[k], dxk, 1e-12)
            if module.mass:
                same(module.dualize(dw).map(lambda a, k=k: a[k]).nest(), module.dualize(dwk).nest(), 1e-9)
                np.testing.assert_allclose(module.norm(stacked)[k], module.norm(ws[k]), rtol=1e-12)
                np.testing.assert_allclose(module.norm.dual(dw)[k], module.norm.dual(dwk), rtol=1e-12)
        if dx is not None and len(xs) == 1 and module.mass:
            adjoint(module, xs, stacked, rng)


@pytest.mark.parametrize("loss", [SquareError(), CrossEntropy()], ids=str)
def test_losses(loss, rng):
    """Slope and curvature against central differences; l'' is symmetric."""
    y = normal(rng, 4, 3, 5)
    t = normal(rng, 4, 3, 5) if isinstance(loss, SquareError) else rng.integers(0, 5, (4, 3))
    _, dl, curve = loss.linearize(y, t)
    v, u, h = normal(rng, 4, 3, 5), normal(rng, 4, 3, 5), 1e-5
    np.testing.assert_allclose(np.vdot(dl, v), (loss(y + h * v, t) - loss(y - h * v, t)) / (2 * h), rtol=1e-8)
    np.testing.assert_allclose(curve(v), (loss.linearize(y + h * v, t)[1] - loss.linearize(y - h * v, t)[1]) / (2 * h), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(np.vdot(u, curve(v)), np.vdot(v, curve(u)), rtol=1e-12)
    both = np.stack([y, 2 * y])
    np.testing.assert_allclose(loss(both, t), [loss(y, t), loss(2 * y, t)], rtol=1e-13)


# The algebra.


def test_composition_is_associative(rng):
    A, B, C = Linear(3, 4).tare(2.0), 0.7 * Linear(4, 5), Linear(5, 6).tare(3.0)
    left, right, x = (A @ B) @ C, A @ (B @ C), normal(rng, 2, 6)
    (a, (m, b)), c = left.initialize(rng, F)[0].nest(), left.initialize(rng, F)[1].nest()
    w, v = Vector(((a, (m, b)), c)), Vector((a, ((m, b), c)))
    same(left.forward(x, w), right.forward(x, v), 1e-13)
    same((left.mass, left.sensitivity, left.norm(w), *left.sharpness), (right.mass, right.sensitivity, right.norm(v), *right.sharpness), 1e-13)
    same(left.dualize(Covector(w.nest())).flatten(), right.dualize(Covector(v.nest())).flatten(), 1e-12)


def test_sharpness_is_associative_with_curvature(rng):
    """The second-order calculus on three curved modules, whose triples all differ."""
    A, B, C = Tanh(width=4) @ Linear(4, 5), (Sigmoid(width=5) @ Linear(5, 6)).tare(2.0), 0.3 * (GeLU(width=6) @ Linear(6, 2)).tare(0.5)
    same(((A @ B) @ C).sharpness, (A @ (B @ C)).sharpness, 1e-13)
    nested, flat = Concatenate(Concatenate(A, B), C), Concatenate(A, B, C)
    same((nested.mass, nested.sensitivity, *nested.sharpness), (flat.mass, flat.sensitivity, *flat.sharpness), 1e-13)
    assert (A @ ReLU()).sharpness is None and (A + ReLU()).sharpness is None


def test_sharpness_bounds_second_derivatives(rng):
    """The three inequalities that sharpness promises, by second differences on random points of the domain."""
    net = Tanh(width=3) @ Linear(3, 4) @ (0.5 * Identity() + 0.5 * (Tanh(width=4) @ Linear(4, 4))) @ Linear(4, 5)
    alpha, beta, gamma = net.sharpness
    rms, h = lambda z: np.sqrt((z * z).mean(-1)).max(), 1e-4
    for _ in range(50):
        x, w = normal(rng, 5), net.project(random_vector(rng, net.initialize(rng, F)))
        x = x / rms(x)
        dx, dw = normal(rng, 5), random_vector(rng, w)
        at = lambda a, b, x=x, w=w, dx=dx, dw=dw: net.forward(x + a * h * dx, w + b * h * dw)
        ww = (at(0, 1) - 2 * at(0, 0) + at(0, -1)) / h ** 2
        xx = (at(1, 0) - 2 * at(0, 0) + at(-1, 0)) / h ** 2
        xw = (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * h ** 2)
        assert rms(ww) <= alpha * net.norm(dw) ** 2 + 1e-6
        assert rms(xw) <= beta * net.norm(dw) * rms(dx) + 1e-6
        assert rms(xx) <= gamma * rms(dx) ** 2 + 1e-6


def test_a_checkpoint_changes_nothing_but_memory(rng):
    """Values and gradients are equal to the last bit, and so are norm, mass, sensitivity, sharpness and weights."""
    inner = (Tanh(width=3) @ Linear(3, 5)).tare(2.0)
    plain, check = Linear(2, 3) @ inner, Linear(2, 3) @ Checkpoint(inner)
    x, w = normal(rng, 4, 5), plain.initialize(rng, F)
    (y, _, pull), (z, _, again) = plain.linearize(x, w), check.linearize(x, w)
    dy = normal(rng, 4, 2)
    same((y, pull(dy)[0], pull(dy)[1].flatten()), (z, again(dy)[0], again(dy)[1].flatten()), 0)
    same((plain.norm(w), plain.mass, plain.sensitivity, *plain.sharpness), (check.norm(w), check.mass, check.sensitivity, *check.sharpness), 0)
    same(check.tare(1.0).norm(w), plain.tare(1.0).norm(w), 0)
    alone, stacked = Checkpoint(inner), plain.initialize(rng, F)[1].map(lambda a: np.stack([a, -a]))
    adjoint(alone, x, w[1], rng)
    assert alone.networks(stacked) == 2 and repr(alone) == f"Checkpoint({inner})" == repr(alone.tare(0.5))
    assert alone.tare(0.0).norm(w[1]) == inner.tare(0.0).norm(w[1])


def test_operators_build_what_they_say(rng):
    A, B, x = Linear(5, 5), Linear(5, 5), normal(rng, 3, 5)
    a, b = A.initialize(rng, F), B.initialize(rng, F)
    y = lambda M, w: M.forward(x, w)
    same(y(A @ B, Vector((a, b))), x @ b.array.T @ a.array.T, 1e-13)
    same(y(A + B, Vector(((), (a, b)))), x @ a.array.T + x @ b.array.T, 1e-13)
    same(y(-2 * A, Vector(((), a))), -2 * (x @ a.array.T), 1e-13)
    same(y(A ** 3, Vector((a, (b, a)))), x @ a.array.T @ b.array.T @ a.array.T, 1e-13)
    same(y(A ** 0, Vector(())), x, 0)
    same((A, B)[0].forward(x, a), (ReLU() @ (Add() @ (A, B))).children[1].children[1].children[0].forward(x, a), 0)


def test_a_gradient_nests_as_the_weights_do(rng):
    """Also where the innermost modules have no weights and nobody asks for dx; and deep chains do not recurse."""
    net = Linear(2, 3) @ ReLU() @ (Add() @ (Identity(), 2.0 * Identity())) @ Tanh()
    w = net.initialize(rng, F)
    _, dw = net.linearize(normal(rng, 4, 3), w)[2](normal(rng, 4, 2), need_dx=False)
    (w - Vector(dw.nest())).flatten()
    deep = Tanh() ** 400
    assert deep.linearize(normal(rng, 3), deep.initialize(rng))[2](np.ones(3))[0].shape == (3,)
    tower = Linear(3, 3) ** 1000
    w = tower.initialize(rng, F)
    _, dw = tower.linearize(normal(rng, 4, 3), w)[2](normal(rng, 4, 3))
    assert len(dw.leaves()) == 1000 and np.isclose(tower.norm(tower.dualize(dw)), 1)


def test_limits_of_the_algebra(rng):
    """A negative factor has sensitivity |c|; 0 * M feels nothing; a module without mass stays where it is."""
    A = Linear(3, 5)
    assert (-2 * A).sensitivity == 2
    zero, frozen = Linear(4, 3) @ (0 * A), Linear(4, 3) @ A.tare(0.0)
    g = Covector(random_vector(rng, zero.initialize(rng, F)).nest())
    assert (0 * A).sensitivity == 0 and zero.sensitivity == 0
    assert not zero.dualize(g)[1][1].array.any() and zero.dualize(g)[0].array.any()
    g = Covector(random_vector(rng, frozen.initialize(rng, F)).nest())
    d = frozen.dualize(g)
    assert not d[1].array.any() and np.isclose(frozen.norm(d), 1) and np.isclose(g @ d, frozen.norm.dual(g))
    assert frozen.norm(Vector(g.nest())) == np.inf
    assert not np.isnan(Linear(2, 2).dualize(Covector(np.zeros((2, 2)))).array).any()
    with pytest.raises(ValueError, match="tared"):
        ReLU().tare(1.0)


def test_tare_shares_mass_out(rng):
    net = GPT(7, 8, heads=2, blocks=3, mass=5.0)
    assert np.isclose(net.mass, 7.0) and np.isclose(net.children[0].children[1].mass, 5.0)
    assert np.isclose(net.tare(1.0).mass, 1.0) and np.isclose(net.mass, 7.0)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name](np.random.default_rng(0))[0].mass])
def test_dualize_saturates_every_branch(name, rng):
    """norm(d) = target, <g, d> = target * dual norm, and every atom of positive mass moves by its whole share."""
    module, _ = CASES[name](rng)
    g = Covector(random_vector(rng, module.initialize(rng, F)).nest())
    d = module.dualize(g, target_norm=0.3)
    np.testing.assert_allclose(module.norm(d), 0.3, rtol=1e-9)
    np.testing.assert_allclose(g @ d, 0.3 * module.norm.dual(g), rtol=1e-9)

    def saturated(norm, d):
        if not hasattr(norm, "norms"):
            return [norm(d)]
        return [size for part, child in zip(d, norm.norms, strict=True) for size in saturated(child, part)]

    sizes = [s for s in saturated(module.norm, d) if not np.isnan(s)]
    np.testing.assert_allclose(sizes, 0.3, rtol=1e-9)


def test_newton_schulz_training_may_replace_the_exact_map(rng):
    exact, fast = MLP(3, 8, 5), MLP(3, 8, 5, polar=newton_schulz)
    g = Covector(exact.initialize(rng, F).map(lambda a: a @ np.diag(1 + np.arange(a.shape[1]))).nest())
    same(fast.dualize(g).flatten(), exact.dualize(g).flatten(), 2e-2)


def test_project_ends_in_the_unit_ball_and_stays(case, rng):
    module, _, w = case
    far = random_vector(rng, w) * 10.0
    inside = module.project(far)
    same(module.project(inside).nest(), inside.nest(), 1e-10)
    for atom, part in atoms(module, inside):
        assert atom.norm(part) <= 1 + 1e-10
    for atom, part in atoms(module, w):
        np.testing.assert_allclose(atom.norm(part), 1, rtol=1e-10)


def atoms(module, w):
    if hasattr(module, "children"):
        for child, part in zip(module.children, w, strict=True):
            yield from atoms(child, part)
    elif module.mass:
        yield module, w


def test_a_module_without_mass_stays_where_it_is(rng):
    for module in (Linear(3, 5).tare(0.0), Linear(3, 4).tare(0.0) @ Linear(4, 5).tare(0.0)):
        g = Covector(random_vector(rng, module.initialize(rng, F)).nest())
        assert not module.dualize(g).flatten().any()


def test_project_leaves_what_is_inside(rng):
    """Weights of norm below 1 stay as they are, to the last bits."""
    for atom in (Linear(3, 5), Conv2D(3, 2, 3), Embed(4, 7)):
        w = 0.5 * atom.initialize(rng, F)
        np.testing.assert_allclose(atom.project(w).array, w.array, rtol=1e-12, atol=1e-14)


def test_initial_weights_are_random_rotations(rng):
    """All rotations alike: no entry leans to one sign (QR alone leans to minus). Embed's rows are normal: mean 0, fourth moment 3."""
    Q = np.stack([Linear(4, 4).initialize(rng, F).array for _ in range(2000)])
    assert abs(Q.mean(0)).max() < 5 * 0.5 / 2000 ** .5
    z = gaussian(rng, (100000,), F)
    np.testing.assert_allclose([z.mean(), z.var(), (z ** 4).mean()], [0, 1, 3], atol=0.1)


def test_a_shared_input_gathers_the_covectors_of_all_networks(rng):
    """dx of an x that K networks share has the shape of x and holds what each of them pulls back."""
    for module, x in ((Linear(3, 5), rng.standard_normal((1, 4, 5))), (Conv2D(3, 2, 3), rng.standard_normal((1, 2, 5, 6, 2)))):
        w = module.initialize(rng, F).map(lambda a: np.stack([a, 2 * a, -a]))
        y, _, pull = module.linearize(x, w)
        assert pull(np.ones_like(y))[0].shape == x.shape
        adjoint(module, x, w, rng)


def test_attention_has_four_linear_maps_of_equal_mass():
    assert Attention(8, heads=2).mass == 4


def test_bilinear_sharpness_is_attained(rng):
    """y = x W^T has d^2 y = dx dW^T: as large as rms(dx) norm(dW), and no larger. Scores likewise in (q, k)."""
    rms, A = lambda z: np.sqrt((z * z).mean(-1)).max(), Linear(3, 5)
    dW = random_vector(rng, A.initialize(rng, F))
    dx = np.linalg.svd(dW.array)[2][0]
    np.testing.assert_allclose(rms(dx @ dW.array.T), A.sharpness[1] * A.norm(dW) * rms(dx))
    q, s = rng.standard_normal((1, 6)), Scores()
    cross = s((q, q), ()) * 1.0  # the second derivative in q and k, along q and q
    np.testing.assert_allclose(abs(cross).max(), s.sharpness[2] * rms(q) ** 2)
    p, v, attend = np.eye(4)[:1], rng.standard_normal((4, 6)), Attend()  # all attention on one place
    v = v / rms(v) * (np.arange(4) == 0)[:, None]
    np.testing.assert_allclose(rms(attend((p * np.ones((4, 1)), v), ())), attend.sharpness[2] * abs(p).sum() * rms(v))
    assert A.sharpness[::2] == (0, 0) and s.sharpness[:2] == (0, 0)


def test_sharpness_of_a_concatenation_by_hand():
    """Masses 1 : 3 make p = 4 and 4/3: alpha / p^2, beta / p and gamma add up."""
    A, B = Tanh(width=4) @ Linear(4, 5), (Tanh(width=4) @ Linear(4, 5)).tare(3.0)
    a, b, c = A.sharpness
    np.testing.assert_allclose(Concatenate(A, B).sharpness, (a / 16 + a * 9 / 16, b / 4 + b * 3 / 4, 2 * c))


def test_residual_blocks_have_the_stated_mass():
    net = ResidualMLP(3, 6, 5, depth=4, mass=2.0)
    assert np.isclose(net.mass, 4.0) and np.isclose(net.children[0].children[1].mass, 2.0)


# Well-normed: on inputs and weights of norm at most 1, |dy| <= norm(dw) and |dy| <= sensitivity |dx|.

WIDTH = 4


def bounded(depth):
    """Modules that map the unit ball of R^4 with the RMS norm into itself, which is the domain on which they are well-normed."""
    leaf = st.sampled_from([Linear(WIDTH, WIDTH), ReLU(), Tanh(), GeLU(), Identity(), Linear(WIDTH, 7) @ Linear(7, WIDTH)])
    if not depth:
        return leaf
    inner, share = bounded(depth - 1), st.floats(0.0, 1.0)
    return st.one_of(
        leaf,
        st.builds(Compose, inner, inner),
        st.builds(lambda a, b, s: (1 - s) * a + s * b, inner, inner, share),
        st.builds(lambda a, b, s: (0.5 * s) * (a + b), inner, inner, share),
        st.builds(lambda a, s: -s * a, inner, share),
        st.builds(lambda a, n: residual(a, n), inner, st.integers(1, 3)),
        st.builds(lambda a, m: a.tare(m) if a.mass else a, inner, st.floats(0.1, 10.0)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(module=bounded(3), seed=st.integers(0, 2 ** 32 - 1))
def test_random_architectures_are_well_normed(module, seed):
    rng, rms = np.random.default_rng(seed), lambda z: np.sqrt((z * z).mean(-1)).max()
    x = normal(rng, 3, WIDTH)
    x = x / np.sqrt((x * x).mean(-1, keepdims=True))
    w = module.project(random_vector(rng, module.initialize(rng, F)) * 2.0)
    y, push, _ = module.linearize(x, w)
    assert rms(y) <= 1 + 1e-9
    dx, dw = normal(rng, 3, WIDTH), random_vector(rng, w)
    if dw.size:
        bound = module.norm(dw)
        assert rms(push(None, dw)) <= bound * (1 + 1e-9), module
    assert rms(push(dx, None)) <= module.sensitivity * rms(dx) * (1 + 1e-9) + 1e-12, module


def test_well_normedness_can_fail(rng):
    """The property test has teeth: sqrt(2) ReLU declared 1-sensitive, and weights of norm 2, both break it."""
    rms = lambda z: np.sqrt((z * z).mean(-1)).max()
    x = np.abs(normal(rng, 4))
    x = x / rms(x)
    cheat = np.sqrt(2) * ReLU()
    cheat.sensitivity = 1.0
    assert rms(cheat.linearize(x, Vector(((), ())))[1](x, None)) > cheat.sensitivity * rms(x) * 1.1
    net = Linear(4, 4) @ Linear(4, 4)
    w = net.initialize(rng, F) * 3.0
    dw = Vector((np.zeros((4, 4)), w[1].array))
    assert rms(net.linearize(x, w)[1](None, dw)) > net.norm(dw) * 1.4


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("at_once", [1, 2, 3, 7])
def test_a_convolution_is_a_sum_over_kernel_positions(k, at_once, rng, monkeypatch):
    """However few images at a time their windows are made: value, push and pull are those of the sum in the docstring, position by position."""
    conv, x, w = Conv2D(3, 2, k), rng.standard_normal((7, 6, 5, 2)), Vector(rng.standard_normal((k, k, 3, 2)))
    monkeypatch.setattr("metrized.atoms.CACHE", at_once * 6 * 5 * k * k * 2)
    before, after = (k - 1) // 2, k // 2
    seen = lambda x, a, b: np.pad(x, [(0, 0), (before, after), (before, after), (0, 0)])[:, a:a + 6, b:b + 5]
    value = lambda x, W: sum(seen(x, a, b) @ W[a, b].T for a, b in np.ndindex(k, k))
    y, push, pull = conv.linearize(x, w)
    dx, dw, dy = rng.standard_normal(x.shape), random_vector(rng, w), rng.standard_normal(y.shape)
    same(y, value(x, w.array), 1e-12)
    same(push(dx, dw), value(dx, w.array) + value(x, dw.array), 1e-12)
    same(pull(dy)[1].array, np.array([[np.einsum("nijp,nijq->pq", dy, seen(x, a, b)) for b in range(k)] for a in range(k)]), 1e-12)
    adjoint(conv, x, w, rng)
