"""Laws of the rules that look at a gradient's history, of those around other rules, and of those for matrices. PyTorch's own are in test_torch."""
import inspect
import pickle

import numpy as np
import pytest

from laws import same
from metrized import optimizers
from metrized.bonds import Tanh
from metrized.compounds import MLP
from metrized.linalg import inverse_root, polar
from metrized.losses import SquareError
from metrized.norms import Euclidean, FanScaled, Frobenius, Layerwise, Max, MuonNorm, RMSOperator, Spectral
from metrized.objective import Objective
from metrized.optimizers import (
    LARS,
    SGD,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    Clipped,
    Decayed,
    EightBit,
    Fromage,
    HeavyBall,
    Lion,
    Muon,
    MuP,
    Penalized,
    RMSProp,
    Rule,
    Shampoo,
    SignDescent,
    Skipping,
    SteepestDescent,
    state_bytes,
)
from metrized.optimizers.wrappers import codebook, pack, unpack, unpacked
from metrized.schedules import linear
from metrized.train import descend
from metrized.vectors import Covector, Vector

SHAPES = ((3, 4), ((2, 5), (6, 2)))


def nest(rng, kind, scale=1.0, shapes=SHAPES):
    build = lambda s: scale * rng.standard_normal(s) if isinstance(s[0], int) else tuple(map(build, s))
    return kind(build(shapes))


def problem(rng, dtype=np.float64):
    net = MLP(2, 5, 4, bond=Tanh())
    x, t = rng.standard_normal((6, 4)).astype(dtype), rng.standard_normal((6, 2)).astype(dtype)
    return Objective(net, SquareError(), x, t), net.initialize(rng, dtype)


RULES = {
    "SGD with momentum": SGD(0.05, 0.8), "sign descent": SignDescent(0.01), "Signum": SignDescent(0.01, 0.9), "Fromage": Fromage(0.02),
    "Adagrad": Adagrad(0.05), "RMSProp": RMSProp(0.01), "AdamW": AdamW(0.02, 0.1), "independent": AdamW(0.02, 0.01, independent=True),
    "Lion": Lion(0.01), "Adafactor": Adafactor(0.05), "Adam in 8 bits": EightBit(Adam(0.02), 16), "L2": Penalized(Adam(0.02), 0.1),
    "clipped": Clipped(Adam(0.02), 0.1), "skipping": Skipping(SGD(0.05, 0.8), steps=2), "Shampoo": Shampoo(0.05), "Muon": Muon(0.02),
    "Muon in 8 bits": EightBit(Muon(0.02)),
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


@every_rule
def test_a_run_goes_on_from_a_pickled_state(rule, rng):
    objective, w = problem(rng)
    whole = [*descend(objective, w, rule, 12, schedule=linear(20))]
    t, _, w, state = pickle.loads(pickle.dumps(whole[5]))
    rest = [*descend(objective, w, rule, 7, schedule=linear(20), state=state, start=t)]
    same(rest[-1].w.nest(), whole[-1].w.nest(), 0)


@every_rule
def test_float32_stays_float32_and_losses_fall(rule, rng):
    objective, w = problem(rng, np.float32)
    first, *_, last = descend(objective, w, rule, 40)
    assert last.loss < first.loss and {a.dtype for a in last.w.leaves()} == {np.dtype("float32")}


@every_rule
def test_nothing_moves_without_a_gradient(rule, rng):
    """0 / 0 is 0: no NaN, no warning; weight decay alone still shrinks."""
    w = nest(rng, Vector)
    zero = 0.0 * nest(rng, Covector)
    step, _ = rule(zero, rule.start(w), w)
    along = {"AdamW": 0.002, "independent": 0.01, "Fromage": 1 - (1 + 0.02 ** 2) ** -0.5}.get(next(n for n, r in RULES.items() if r is rule), 0.0)
    if not isinstance(rule, Penalized):
        same(step.nest(), (-along * w).nest(), 1e-12)


def test_every_rule_says_in_which_norm_it_descends():
    rules = [r for _, r in inspect.getmembers(optimizers, inspect.isclass) if issubclass(r, Rule) and r is not Rule]
    assert len(rules) > 20 and all(isinstance(r.ruler, str) and r.ruler for r in rules)


# First steps: where there is no history yet, each rule is steepest descent in its norm.


@pytest.mark.parametrize("rule", [Adam(0.1, eps=0.0), Adagrad(0.1, eps=0.0), RMSProp(0.1, 0.99, 0.0), Lion(0.1), SignDescent(0.1),
                                  Adam(0.1, 0.0, 0.0, 0.0)], ids=str)
def test_the_first_step_is_a_sign(rule, rng):
    """Under Max; RMSProp, which is not corrected, goes 1 / sqrt(1 - beta) times as far."""
    g, w = nest(rng, Covector), nest(rng, Vector)
    far = (1 - rule.beta) ** -0.5 if isinstance(rule, RMSProp) else 1.0
    same(rule(g, rule.start(w), w)[0].nest(), (-0.1 * far * Max().dualize(g)).nest(), 1e-12)


def test_muon_without_memory_is_steepest_descent_under_its_norm(rng):
    g, w = nest(rng, Covector), nest(rng, Vector)
    rule = Muon(0.3, beta=0.0, polar=polar)
    step, _ = rule(g, rule.start(w), w)
    assert np.isclose(Layerwise(MuonNorm())(step), 0.3) and np.isclose(g @ step, -0.3 * Layerwise(MuonNorm()).dual(g))
    for W, G in zip(step.leaves(), g.leaves(), strict=True):
        np.testing.assert_allclose(W, -0.3 * max(1, W.shape[0] / W.shape[1]) ** 0.5 * polar(G), atol=1e-12)


@pytest.mark.parametrize("rank", [None, 2])
def test_shampoo_without_memory_is_spectral_descent(rank, rng):
    """(G G^T)^(-1/4) G (G^T G)^(-1/4) = U V^T, of a deficient rank too."""
    G = rng.standard_normal((5, 7)) if rank is None else rng.standard_normal((5, rank)) @ rng.standard_normal((rank, 7))
    rule, w = Shampoo(0.3, memory=0.0), Vector(rng.standard_normal((5, 7)))
    state = rule(Covector(rng.standard_normal((5, 7))), rule.start(w), w)[1]  # whatever came before is forgotten
    np.testing.assert_allclose(rule(Covector(G), state, w)[0].array, -0.3 * Spectral().dualize(G), atol=1e-6)


def test_shampoo_by_the_book(rng):
    """Algorithm 1 of Gupta, Koren & Singer 2018, with eps I at the start."""
    rule, w = Shampoo(0.3, eps=0.1), Vector(rng.standard_normal((4, 3)))
    L, R, state = 0.1 * np.eye(4), 0.1 * np.eye(3), rule.start(w)
    root = lambda A: (lambda s, U: (U * s ** -0.25) @ U.T)(*np.linalg.eigh(A))
    for _ in range(5):
        G = rng.standard_normal((4, 3))
        L, R = L + G @ G.T, R + G.T @ G
        step, state = rule(Covector(G), state, w)
        np.testing.assert_allclose(step.array, -0.3 * root(L) @ G @ root(R), rtol=1e-9)


@pytest.mark.parametrize("p", [1, 2, 4])
def test_inverse_roots(p, rng):
    """Their p-th power times A is the identity on the range of A, and they vanish on its kernel; batched."""
    X = rng.standard_normal((3, 5, 4)) * [[[1.0]], [[1e3]], [[1e-3]]]
    A = X @ np.swapaxes(X, -1, -2)  # rank 4 of 5
    root = inverse_root(A, p)
    onto = X @ np.linalg.pinv(X)
    np.testing.assert_allclose(np.linalg.matrix_power(root, p) @ A, onto, atol=1e-6)
    np.testing.assert_allclose(root @ onto, root, atol=1e-6 * abs(root).max())


# By the book.


def test_lion_by_the_book(rng):
    w, m = nest(rng, Vector), [np.zeros((3, 4)), np.zeros((2, 5)), np.zeros((6, 2))]
    rule = Lion(0.1, 0.7, 0.95)
    state = rule.start(w)
    for _ in range(5):
        g = nest(rng, Covector)
        step, state = rule(g, state, w)
        for i, (s, G) in enumerate(zip(step.leaves(), g.leaves(), strict=True)):
            np.testing.assert_array_equal(s, -0.1 * np.sign(0.7 * m[i] + (1 - 0.7) * G))
            m[i] = 0.95 * m[i] + (1 - 0.95) * G


def test_fromage_keeps_the_length_of_a_layer_that_turns(rng):
    """A gradient orthogonal to the weights turns them by arctan(step_size); without the shrinking, as in LARS, they would grow."""
    W = rng.standard_normal((4, 3))
    G = rng.standard_normal((4, 3))
    G = G - (G * W).sum() / (W * W).sum() * W
    after = Vector(W) + Fromage(0.3)(Covector(G), (), Vector(W))[0]
    assert np.isclose(np.linalg.norm(after.array), np.linalg.norm(W))
    assert np.isclose((after.array * W).sum() / (W * W).sum(), np.cos(np.arctan(0.3)))
    assert np.linalg.norm(W + LARS(0.3)(Covector(G), (), Vector(W))[0].array) > 1.04 * np.linalg.norm(W)


def test_decay_is_blind_to_the_gradient_and_a_penalty_is_not(rng):
    """The decayed part of a step is decay * w whatever g; L2 inside Adam is divided by the size of the gradient like everything else."""
    w, g = nest(rng, Vector), nest(rng, Covector)
    share = lambda rule, plain, g: (rule(g, rule.start(w), w)[0] - plain(g, plain.start(w), w)[0]).flatten()
    for scale in (1.0, 100.0):
        np.testing.assert_allclose(share(Decayed(Adam(0.1), 0.02), Adam(0.1), scale * g), -0.02 * w.flatten(), rtol=1e-9)
        np.testing.assert_allclose(share(Penalized(SGD(0.1), 0.2), SGD(0.1), scale * g), -0.02 * w.flatten(), rtol=1e-9)
    small, large = (np.linalg.norm(share(Penalized(Adam(0.1, eps=1.0), 0.2), Adam(0.1, eps=1.0), scale * g)) for scale in (1.0, 100.0))
    assert large < 0.02 * small
    assert AdamW(0.1, 0.3).decay == pytest.approx(0.03) and AdamW(0.1, 0.3, independent=True).decay == 0.3


def test_a_clipped_gradient_has_the_radius_and_the_direction(rng):
    for norm in (Euclidean(), Max(), Layerwise(Spectral())):
        g, w, seen = nest(rng, Covector), nest(rng, Vector), []

        class Watch(Rule):
            def __call__(self, g, state=(), w=None, seen=seen):
                seen.append(g)
                return -Euclidean().sharp(g), state

        size = float(norm.dual(g))
        for radius in (0.5 * size, 2 * size):
            Clipped(Watch(), radius, norm)(g, (), w)
            assert np.isclose(norm.dual(seen[-1]), min(size, radius))
            same((seen[-1] * (1 / norm.dual(seen[-1]))).nest(), (g * (1 / size)).nest(), 1e-12)


def test_skipping_leaves_out_the_outlier_and_forgets_it(rng):
    """A gradient 50 times as long, or NaN, in mid-run: the weights and the state stay as they were. Before `steps` only NaN is left out."""
    rule, w, gs = Skipping(HeavyBall(SGD(0.1), 0.9), 3.0, steps=4), nest(rng, Vector), [nest(rng, Covector) for _ in range(12)]
    state, seen = rule.start(w), []
    for t, g in enumerate(gs):
        for bad in (50.0 * g, g.map(lambda a: a * np.nan)):
            step, after = rule(bad, state, w)
            if t >= 4 or np.isnan(bad.flatten()).any():
                assert after is state and not step.flatten().any()
            else:
                assert after.t == t + 1
        step, state = rule(g, state, w)
        seen.append(np.linalg.norm(g.flatten()))
        assert state.t == t + 1 and step.flatten().any()
    weights = 0.1 * 0.9 ** np.arange(12)[::-1]
    assert np.isclose(state.mean / (1 - 0.9 ** 12), weights @ seen / weights.sum())


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (8, 512)])
def test_mup_keeps_the_size_of_a_step_at_every_width(shape, rng):
    """Signs of rank one, the largest that signs can be, have RMS -> RMS norm step_size; SGD's gradients of fixed RMS covectors likewise."""
    w, (m, n) = Vector(np.ones(shape)), shape
    signs = np.sign(np.outer(rng.standard_normal(m), rng.standard_normal(n)))
    step, _ = MuP(SignDescent(0.1), signs=True)(Covector(signs), (), w)
    assert np.isclose(RMSOperator()(step), 0.1)
    dy, x = (v / np.sqrt((v * v).mean()) for v in (rng.standard_normal(m), rng.standard_normal(n)))
    step, _ = MuP(SGD(0.1))(Covector(np.outer(dy / m, x)), (), w)  # dy / m: a loss that is a mean over the outputs
    assert np.isclose(RMSOperator()(step), 0.1)
    G = Covector(rng.standard_normal(shape))
    same(MuP(SGD(0.1))(G, (), w)[0].nest(), (-0.1 * FanScaled(Frobenius()).sharp(G)).nest(), 1e-12)


# What only an unusual setting shows.


def test_signum_is_the_sign_of_a_heavy_ball(rng):
    rule, w, m = SignDescent(0.1, 0.9), nest(rng, Vector), 0.0 * nest(rng, Covector)
    state = rule.start(w)
    for _ in range(10):
        g = nest(rng, Covector)
        m = 0.9 * m + g
        step, state = rule(g, state, w)
        same(step.nest(), (-0.1 * Max().dualize(m)).nest(), 1e-12)


def test_defaults(rng):
    """Those that no other library confirms."""
    w, gs = nest(rng, Vector), [nest(rng, Covector) for _ in range(10)]
    for short, long in ((Lion(0.1), Lion(0.1, 0.9, 0.99)), (Shampoo(0.1), Shampoo(0.1, 1.0, 0.0))):
        a, b = short.start(w), long.start(w)
        for g in gs:
            (step, a), (other, b) = short(g, a, w), long(g, b, w)
            same(step.nest(), other.nest(), 0)
    skips, x = Skipping(SGD(0.1)), rng.standard_normal(300)
    assert (skips.factor, skips.beta, skips.steps) == (3.0, 0.9, 10)
    np.testing.assert_array_equal(pack(x).scales, pack(x, 256).scales)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_adafactor_moves_weights_of_zero_by_eps_and_is_blind_to_the_scale_of_a_gradient(scale, rng):
    g, w = rng.standard_normal(7), Vector(np.zeros(7))
    np.testing.assert_allclose(Adafactor()(Covector(scale * g), Adafactor().start(w), w)[0].array, -0.01 * 1e-3 * np.sign(g), rtol=1e-9)


@pytest.mark.parametrize("around", [lambda r: Decayed(r, 0.0), lambda r: Penalized(r, 0.0), lambda r: Clipped(r, 1e9), lambda r: Clipped(r, 1e-9),
                                    MuP,
                                    Skipping, EightBit])
def test_the_weights_reach_the_rule_inside(around, rng):
    """Fromage needs them, and forgets the length of the gradient. Square layers: MuP leaves them as they are."""
    w, g = (nest(rng, kind, shapes=((4, 4), (3, 3))) for kind in (Vector, Covector))
    rule = around(Fromage(0.1))
    same(rule(g, rule.start(w), w)[0].nest(), Fromage(0.1)(g, (), w)[0].nest(), 1e-12)


def test_mup_takes_the_matrices_of_a_kernel_one_by_one(rng):
    G = rng.standard_normal((2, 3, 5, 4))
    for signs in (False, True):
        each = lambda G, rule=MuP(SGD(0.1), signs): rule(Covector(G), (), Vector(0 * G))[0].array
        np.testing.assert_allclose(each(G), [[each(M) for M in row] for row in G])


def test_skipping_knows_the_mean_from_the_first_gradient_on(rng):
    """Lengths up to factor times the mean of one gradient are taken, also without any steps in advance, and a gradient of 0 is no outlier."""
    g, w = nest(rng, Covector), nest(rng, Vector)
    for steps in (0, 1):
        rule = Skipping(SGD(0.1), 3.0, steps=steps)
        _, state = rule(g, rule.start(w), w)
        for scale, t in ((2.9, 2), (3.1, 1)):
            assert rule(scale * g, state, w)[1].t == t
        assert rule(0.0 * g, rule.start(w), w)[1].t == 1


def test_inverse_roots_of_a_wide_range(rng):
    """What rounding cannot have made is kept, down to 1e-13 of the top; matrices of one batch do not know of each other."""
    np.testing.assert_allclose(inverse_root(np.diag([1e-13, 1.0, 4.0]), 2), np.diag([1e-13 ** -0.5, 1.0, 0.5]), rtol=1e-9)
    X = rng.standard_normal((2, 3, 5))
    A = X @ np.swapaxes(X, -1, -2) * [[[1e12]], [[1e-12]]]
    np.testing.assert_allclose(inverse_root(A, 2), [inverse_root(B, 2) for B in A], rtol=1e-9)


# Eight bits.


@pytest.mark.parametrize("signed", [True, False])
def test_the_codebook(signed):
    numbers = codebook(signed)
    assert len(numbers) == len(set(numbers)) == 256 and (np.diff(numbers) > 0).all() and {0.0, 1.0} <= set(numbers)
    assert numbers[0] == (0.0 if not signed else -numbers[-2]) and np.diff(numbers).max() < (0.016 if signed else 0.008)
    assert 1 - numbers[-2] < 0.01


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 1000])
def test_packing_loses_no_more_than_the_codebook(signed, size, rng):
    """The nearest entry for every number, block by block: no entry is nearer. The largest of a block is kept exactly, and so is 0."""
    x = (rng.standard_normal(size) if signed else rng.random(size)) * 10.0 ** rng.uniform(-6, 3, size)
    x[size // 2] = 0.0
    packed = pack(x, 16)
    y = unpack(packed)
    assert packed.codes.dtype == np.uint8 and packed.nbytes == size + 8 * -(-size // 16) and y.shape == x.shape
    for block in range(0, size, 16):
        a, b, top = x[block:block + 16], y[block:block + 16], abs(x[block:block + 16]).max()
        nearest = abs(a[:, None] - top * codebook(bool((x < 0).any()))[None]).min(1)
        np.testing.assert_allclose(abs(a - b), nearest, atol=1e-15 * max(top, 1))
        assert (b[a == 0] == 0).all() and ((a < 0).any() or np.isclose(b.max(), top))


def test_packing_keeps_nests_kinds_and_dtypes(rng):
    rule, w = EightBit(Adam(0.1), 8), nest(rng, Vector).map(lambda a: a.astype(np.float32))
    _, state = rule(nest(rng, Covector).map(lambda a: a.astype(np.float32)), rule.start(w), w)
    t, m, v = unpacked(state)
    assert t == 1 and isinstance(m, Covector) and m.map(lambda a, b: a, w).nest() and {a.dtype for a in (*m.leaves(), *v.leaves())} == {np.dtype("f")}


def test_bytes_of_state_per_weight(rng):
    """float32: nothing, 4, 8; in eight bits a quarter of it and a scale a block; Adafactor's rows and columns."""
    w = Vector(rng.standard_normal((256, 512)).astype(np.float32))
    per_weight = lambda rule: state_bytes(rule.start(w)) / w.size
    assert per_weight(SGD(0.1)) == per_weight(SignDescent(0.1)) == per_weight(Fromage(0.1)) == 0
    assert per_weight(SGD(0.1, 0.9)) == per_weight(Lion(0.1)) == per_weight(Muon(0.1)) == per_weight(Adagrad(0.1)) == 4 and per_weight(Adam(0.1)) == 8
    assert per_weight(EightBit(Adam(0.1))) == 2 * (1 + 4 / 256) and per_weight(Adafactor()) == 4 * (256 + 512) / w.size
    assert per_weight(Shampoo(0.1)) == 4 * (256 ** 2 + 512 ** 2) / w.size


def test_eight_bits_follow_thirty_two(rng):
    """The two runs stay closer than a tenth of the way gone, and end at the same loss to a few percent."""
    for seed in range(3):
        objective, w = problem(np.random.default_rng(seed))
        *_, full = descend(objective, w, Adam(0.02), 60)
        *_, small = descend(objective, w, EightBit(Adam(0.02), 16), 60)
        apart, way = (np.linalg.norm((a - b).flatten()) for a, b in ((full.w, small.w), (full.w, w)))
        assert 0 < apart < 0.15 * way and abs(small.loss / full.loss - 1) < 0.15


WRONG = {
    "Decayed blind": (lambda g, w: Decayed(SGD(0.1), 0.1)(g), TypeError, "shrinks the weights"),
    "Penalized blind": (lambda g, w: Penalized(SGD(0.1), 0.1)(g), TypeError, "looks at the weights"),
    "Adafactor blind": (lambda g, w: Adafactor()(g, Adafactor().start(w)), TypeError, "scales its steps by the weights"),
    "decay below 0": (lambda g, w: Decayed(SGD(0.1), -0.1), ValueError, r"decay must be in \[0, 1\), got -0.1"),
    "memory below 0": (lambda g, w: Shampoo(0.1, -0.1), ValueError, r"memory must be in \[0, 1\]"),
    "Shampoo of a kernel": (lambda g, w: Shampoo(0.1).start(Vector(np.ones((2, 3, 4)))), ValueError, "needs matrices"),
    "RMSProp's beta": (lambda g, w: RMSProp(0.1, 1.0), ValueError, "beta must be in"),
    "Adam's second beta": (lambda g, w: Adam(0.1, beta2=1.0), ValueError, "beta2 must be in"),
    "Lion's second beta": (lambda g, w: Lion(0.1, beta2=1.0), ValueError, "beta2 must be in"),
    "decay 1": (lambda g, w: Decayed(SGD(0.1), 1.0), ValueError, r"decay must be in \[0, 1\), got 1.0"),
    "penalty -5": (lambda g, w: Penalized(SGD(0.1), -5.0), ValueError, "decay must be finite and >= 0, got -5.0"),
    "radius 0": (lambda g, w: Clipped(SGD(0.1), 0.0), ValueError, "radius must be positive"),
    "factor 0": (lambda g, w: Skipping(SGD(0.1), 0.0), ValueError, "factor must be positive"),
    "beta of Skipping": (lambda g, w: Skipping(SGD(0.1), 2.0, 1.0), ValueError, "beta must be in"),
    "half a block": (lambda g, w: EightBit(SGD(0.1), 0.5), ValueError, "whole number block"),
    "Shampoo of a vector": (lambda g, w: Shampoo(0.1).start(Vector(np.ones(3))), ValueError, r"needs matrices, got weights \[3\]"),
    "memory 2": (lambda g, w: Shampoo(0.1, 2.0), ValueError, r"memory must be in \[0, 1\]"),
    "Lion's beta": (lambda g, w: Lion(0.1, 1.0), ValueError, "beta1 must be in"),
    **{f"{kind.__name__} of size {size}": (lambda g, w, kind=kind, size=size: kind(size), ValueError, "step_size must be positive")
       for kind in (SGD, SignDescent, Fromage, Adagrad, RMSProp, Lion, Adafactor, Shampoo, Muon, AdamW) for size in (0.0, np.nan)},
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_named(name, rng):
    act, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        act(nest(rng, Covector), nest(rng, Vector))


def test_sgd_is_steepest_descent_under_euclidean(rng):
    g, w = nest(rng, Covector), nest(rng, Vector)
    same(SGD(0.2)(g)[0].nest(), SteepestDescent(Euclidean(), sharpness=5.0)(g)[0].nest(), 1e-12)
    assert SGD(0.2).start(w) == ()
