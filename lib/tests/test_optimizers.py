"""Laws of optimizers, of the training loop, of schedules and of curvature."""
import pickle
from itertools import count, islice, product

import numpy as np
import pytest

from laws import random_vector, same
from metrized.atoms import Conv2D, Linear
from metrized.bonds import Tanh
from metrized.compounds import MLP
from metrized.curvature import hunt, majorization_gap, quadratic_model, sharpness, spectrum
from metrized.linalg import newton_schulz
from metrized.losses import SquareError
from metrized.norms import RMS, Euclidean, Frobenius, Layerwise, Lp, Manhattan, Max, Nuclear, Polygon, RMSOperator, Spectral, TopK, Total, Weighted
from metrized.objective import Objective
from metrized.optimizers import (
    AGD,
    LARS,
    Adam,
    ConjugateGradient,
    CubicNewton,
    GaussNewton,
    HeavyBall,
    LevenbergMarquardt,
    Nesterov,
    Newton,
    NormalizedDescent,
    SteepestDescent,
    hessian_matrix,
)
from metrized.schedules import constant, linear
from metrized.train import Diverged, descend
from metrized.vectors import Covector, Vector

B = np.array([[2.0, 0.7, -0.4], [0.7, 1.0, 0.3], [-0.4, 0.3, 0.8]])  # symmetric, positive definite


class Quadratic:
    """L(w) = 1/2 w^T A w, with all that training and curvature ask of an objective."""

    def __init__(self, A=B):
        self.A = A

    def __call__(self, w):
        return 0.5 * w.array @ self.A @ w.array

    def value_and_grad(self, w):
        return self(w), Covector(self.A @ w.array)

    def gradient(self, w):
        return self.value_and_grad(w)[1]

    def hessian(self, w, v):
        return Covector(self.A @ v.array)


def network(rng, dtype=np.float64):
    """A small regression: (objective, weights)."""
    net = MLP(2, 5, 4, bond=Tanh())
    x, t = rng.standard_normal((6, 4)).astype(dtype), rng.standard_normal((6, 2)).astype(dtype)
    return Objective(net, SquareError(), x, t), net.initialize(rng, dtype)


# Steepest descent.

NEST, ROW, MATRIX = ((4, 3), ((2, 3),)), (3,), (4, 3)
NORMS = {  # name: (norm, shape of the gradient)
    "Euclidean": (Euclidean(), NEST),
    "RMS": (RMS(), NEST),
    "Manhattan": (Manhattan(), ROW),
    "Max": (Max(), NEST),
    "Lp(3)": (Lp(3), ROW),
    "TopK(2)": (TopK(2), ROW),
    "Weighted": (Weighted(B), ROW),
    "Polygon": (Polygon([(1.0, 0.2), (0.3, 1.0)]), (2,)),
    "Spectral": (Spectral(), MATRIX),
    "Nuclear": (Nuclear(), MATRIX),
    "Layerwise(RMSOperator)": (Layerwise(RMSOperator()), NEST),
    "Layerwise(Max)": (Layerwise(Max()), NEST),
    "Total": (Total(Spectral(), Total(Frobenius())), NEST),
    "a convolution's norm": (Conv2D(4, 2).norm, (3, 3, 4, 2)),
    "the modular norm": (MLP(4, 3, 2).norm, (((4, 3), ()), (3, 2))),
}


def draw(rng, shape):
    return tuple(draw(rng, s) for s in shape) if not shape or isinstance(shape[0], tuple) else rng.standard_normal(shape)


@pytest.fixture(params=NORMS)
def norm_and_gradient(request, rng):
    norm, shape = NORMS[request.param]
    return norm, Covector(draw(rng, shape))


def test_steepest_descent_minimizes_its_majorant(norm_and_gradient, rng):
    """The step d attains min <g, d> + L/2 |d|^2 = -|g|*^2 / 2L: no other vector, near or far, and no other norm's step does better."""
    (norm, g), L = norm_and_gradient, 2.7
    model = lambda d: g @ d + 0.5 * L * norm(d) ** 2
    step, _ = SteepestDescent(norm, sharpness=L)(g)
    np.testing.assert_allclose(model(step), -norm.dual(g) ** 2 / (2 * L), rtol=1e-10)
    others = [other.dualize(g) for other in (Euclidean(), Max(), Manhattan(), Layerwise(Euclidean()), Layerwise(Manhattan()))]
    for scale in np.geomspace(1e-3, 1e3, 100):
        assert model(step) <= model(step + scale * random_vector(rng, step)) + 1e-12
        assert all(model(step) <= model(-scale * d) + 1e-12 for d in (*others, -step))


def test_a_step_has_the_stated_length(norm_and_gradient):
    """|step| = step_size, and it descends as much as that length allows."""
    norm, g = norm_and_gradient
    step, _ = SteepestDescent(norm, step_size=0.3)(g)
    np.testing.assert_allclose([norm(step), g @ step], [0.3, -0.3 * norm.dual(g)], rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e30], ids="times {:g}".format)
def test_a_step_has_the_stated_length_at_every_scale(norm_and_gradient, scale):
    """In float32 too, for gradients whose squares float32 cannot hold: the step depends on the gradient's direction alone."""
    norm, g = norm_and_gradient
    g = g.map(lambda a: a.astype(np.float32))
    rule = SteepestDescent(norm, step_size=0.3)
    np.testing.assert_allclose(rule(scale * g)[0].flatten(), rule(g)[0].flatten(), rtol=1e-3, atol=1e-4)


SIGNS = np.array(list(product((-1.0, 1.0), repeat=3)))
SHARPNESS = {  # name: (norm, max of d^T B d over |d| <= 1: a convex function is largest at a corner of the ball)
    "Euclidean": (Euclidean(), np.linalg.eigvalsh(B)[-1]),
    "RMS": (RMS(), 3 * np.linalg.eigvalsh(B)[-1]),
    "Max": (Max(), max(s @ B @ s for s in SIGNS)),
    "Manhattan": (Manhattan(), B.diagonal().max()),
    "Weighted by B itself": (Weighted(B), 1.0),
}


@pytest.mark.parametrize("name", SHARPNESS)
def test_a_step_of_one_over_the_sharpness_never_ascends(name, rng):
    """On a quadratic each step wins at least |g|*^2 / 2L, with L exact in the norm; and L is needed: at L / 2.5 some step ascends."""
    (norm, L), loss = SHARPNESS[name], Quadratic()
    steps = lambda w, L: [(m.loss, norm.dual(loss.value_and_grad(m.w)[1])) for m in descend(loss, w, SteepestDescent(norm, sharpness=L), 20)]
    starts = [Vector(rng.standard_normal(3)) for _ in range(30)]
    for w in starts:
        for (before, slope), (after, _) in zip(steps(w, L), steps(w, L)[1:], strict=False):
            assert after <= before - slope ** 2 / (2 * L) + 1e-12
    assert any(steps(w, L / 2.5)[1][0] > steps(w, L)[0][0] for w in starts)


def test_steepest_descent_in_the_right_metric_is_newtons_method(rng):
    """Under |v| = sqrt(v^T A v) a quadratic with Hessian A is solved in one step."""
    *_, last = descend(Quadratic(), Vector(rng.standard_normal(3)), SteepestDescent(Weighted(B), sharpness=1.0), 1)
    np.testing.assert_allclose(last.w.array, 0, atol=1e-14)


def test_steps_of_an_ensemble_are_steps_of_its_networks(rng):
    """A step size, or a sharpness, [K] gives every network its own."""
    net, K = MLP(2, 5, 4), 3
    gs = [Covector(random_vector(rng, net.initialize(rng, np.float64)).nest()) for _ in range(K)]
    g, sizes = gs[0].map(lambda *leaves: np.stack(leaves), *gs[1:]), np.array([0.1, 0.7, 2.0])
    for name in ("step_size", "sharpness"):
        together, _ = SteepestDescent(net.norm, **{name: sizes})(g)
        for k in range(K):
            same(together.map(lambda a, k=k: a[k]).nest(), SteepestDescent(net.norm, **{name: float(sizes[k])})(gs[k])[0].nest(), 1e-9)


# The other rules.


@pytest.mark.parametrize("norm", [Frobenius(), RMSOperator(), Max()], ids=["Frobenius", "RMSOperator", "Max"])
def test_normalized_descent_keeps_the_direction_and_sets_the_length(norm, rng):
    """Every layer moves against its own gradient, by step_size in the norm; a layer without gradient stays."""
    g = Covector((rng.standard_normal((4, 3)), rng.standard_normal((2, 4)), np.zeros((3, 3))))
    step, _ = NormalizedDescent(Layerwise(norm), 0.3)(g)
    for d, slope in zip(step.leaves()[:2], g.leaves()[:2], strict=True):
        np.testing.assert_allclose(norm(d), 0.3, rtol=1e-12)
        np.testing.assert_allclose(d / np.linalg.norm(d), -slope / np.linalg.norm(slope), atol=1e-12)
    assert not step[2].array.any()


def test_normalized_descent_in_a_modular_norm_saturates_every_layer(rng):
    """The step has norm step_size in all, and each layer its whole share of it."""
    net = MLP(2, 5, 4).tare(3.0) @ MLP(4, 3)
    g = Covector(random_vector(rng, net.initialize(rng, np.float64)).nest())
    step, _ = NormalizedDescent(net.norm, 0.3)(g)
    np.testing.assert_allclose(net.norm(step), 0.3, rtol=1e-12)
    np.testing.assert_allclose([child.norm(part) for child, part in zip(net.children, step, strict=True)], [0.3 * 3 / 4, 0.3 * 1 / 4], rtol=1e-12)


def test_adam_without_memory_is_steepest_descent_under_max(rng):
    """beta1 = beta2 = eps = 0: exactly -step_size * sign(g), and 0 where the gradient is 0."""
    g = Covector((rng.standard_normal((3, 4)), np.array([0.0, -2.0, 1e-30])))
    adam, signs = Adam(0.3, 0.0, 0.0, 0.0), SteepestDescent(Max(), step_size=0.3)
    state = adam.start(Vector(g.nest()))
    for scale in (1.0, -0.2, 7.0):
        step, state = adam(scale * g, state)
        same(step.nest(), signs(scale * g)[0].nest(), 0)


@pytest.mark.parametrize("kind", [HeavyBall, Nesterov])
def test_momentum_without_memory_is_the_rule(kind, rng):
    """beta = 0 changes no bit of the steps."""
    objective, w = network(rng)
    rule = SteepestDescent(Layerwise(Spectral()), step_size=0.1)
    for a, b in zip(descend(objective, w, kind(rule, 0.0), 4), descend(objective, w, rule, 4), strict=True):
        same(a.w.nest(), b.w.nest(), 0)


def test_momentum_goes_around_any_rule(rng):
    """The rule sees sum beta^(t-s) g_s; Nesterov's sees g_t + beta times that."""
    gs, beta, rule = [Covector(rng.standard_normal((3, 4))) for _ in range(4)], 0.7, SteepestDescent(Spectral(), step_size=0.1)
    m = sum((beta ** (3 - s) * gs[s] for s in range(3)), gs[3])
    for kind, seen in ((HeavyBall, m), (Nesterov, gs[3] + beta * m)):
        state = kind(rule, beta).start(Vector(gs[0].nest()))
        for g in gs:
            step, state = kind(rule, beta)(g, state)
        same(step.array, rule(seen)[0].array, 1e-12)


def test_momentum_shows_the_weights_to_its_rule(rng):
    w, g = (kind(rng.standard_normal((3, 4))) for kind in (Vector, Covector))
    for kind in (HeavyBall, Nesterov):
        same(kind(LARS(0.1), 0.0)(g, kind(LARS(0.1), 0.0).start(w), w)[0].array, LARS(0.1)(g, (), w)[0].array, 0)


def test_momentum_keeps_the_state_of_its_rule(rng):
    """Around Adam, it is Adam on the sums: Adam's own memory goes on inside."""
    gs, momentum, adam = [Covector(rng.standard_normal((3, 4))) for _ in range(4)], HeavyBall(Adam(0.1), 0.7), Adam(0.1)
    m, outer, inner = 0.0 * gs[0], momentum.start(Vector(gs[0].nest())), adam.start(Vector(gs[0].nest()))
    for g in gs:
        m = 0.7 * m + g
        (a, outer), (b, inner) = momentum(g, outer), adam(m, inner)
        same(a.array, b.array, 1e-13)


EUCLIDEAN = SteepestDescent(Euclidean(), sharpness=20.0)
RULES = {
    "steepest descent": EUCLIDEAN,
    "spectral descent": SteepestDescent(Layerwise(Spectral()), step_size=0.05),
    "normalized descent": NormalizedDescent(Layerwise(Frobenius()), 0.05),
    "heavy ball": HeavyBall(EUCLIDEAN, 0.8),
    "Nesterov": Nesterov(EUCLIDEAN, 0.8),
    "Adam": Adam(0.02),
    "momentum around Adam": HeavyBall(Adam(0.02), 0.5),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("batched", [False, True], ids=["one objective", "batches"])
def test_a_resumed_run_is_the_uninterrupted_one(rule, batched, rng):
    """A moment that went through pickle is all a run needs to go on, bit by bit; of the batches, those from its t on."""
    (objective, w), schedule = network(rng), linear(12)
    data = [Objective(objective.module, SquareError(), objective.x + 0.1 * i, objective.t) for i in range(13)]
    source = lambda t: islice(data, t, None) if batched else objective
    whole = list(descend(source(0), w, rule, 12, schedule=schedule))
    moment = pickle.loads(pickle.dumps(whole[5]))
    rest = list(descend(source(5), moment.w, rule, 7, schedule=schedule, state=moment.state, start=moment.t))
    assert [m.t for m in rest] == [m.t for m in whole[5:]]
    assert [m.loss for m in rest] == [m.loss for m in whole[5:]]
    for a, b in zip(rest, whole[5:], strict=True):
        same(a.w.nest(), b.w.nest(), 0)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rules_keep_float32(rule, rng):
    """Weights and losses of a float32 run are float32."""
    objective, w = network(rng, np.float32)
    for moment in descend(objective, w, rule, 3, schedule=linear(3)):
        assert {leaf.dtype for leaf in moment.w.leaves()} == {np.dtype(np.float32)} and moment.loss.dtype == np.float32


@pytest.mark.parametrize("number", [np.float64(0.1), np.float32(0.1), np.array(0.1), np.int64(1)], ids=lambda c: type(c).__name__)
def test_numbers_of_numpy_keep_the_dtype(number):
    """c * w and w / c keep the dtype of w for every kind of number c, as they come out of np.geomspace."""
    w = Vector(np.ones((2, 3), np.float32))
    assert (number * w).array.dtype == (w * number).array.dtype == (w / number).array.dtype == np.float32
    adam = Adam(number, *(type(number)(0) for _ in "12") if isinstance(number, np.generic) else (), eps=number)
    assert adam(Covector(w.nest()), adam.start(w))[0].array.dtype == np.float32


# The training loop.


def test_descend_yields_every_moment(rng):
    """steps + 1 moments t = 0 .. steps, each with the loss at its weights; from each to the next goes schedule(t) times the rule's step."""
    objective, w = network(rng)
    moments = list(descend(objective, w, EUCLIDEAN, 5, schedule=linear(5), start=2))
    assert [m.t for m in moments] == [2, 3, 4, 5, 6, 7] and moments[0].w is w
    for m, after in zip(moments, moments[1:], strict=False):
        same(after.w.flatten(), m.w.flatten() - linear(5)(m.t) / 20 * objective.gradient(m.w).flatten(), 1e-13)
    assert [m.loss for m in moments] == [objective(m.w) for m in moments]
    assert len(list(descend(objective, w, EUCLIDEAN, 0))) == 1


def test_descend_takes_one_batch_a_moment(rng):
    """An iterable gives every moment its own objective, the last one included, and no more are drawn."""
    objective, w = network(rng)
    data = [Objective(objective.module, SquareError(), objective.x * c, objective.t) for c in (1.0, 2.0, 3.0, 4.0, 5.0)]
    stream = iter(data)
    moments = list(descend(stream, w, EUCLIDEAN, 3))
    assert [m.loss for m in moments] == [batch(m.w) for batch, m in zip(data, moments, strict=False)]
    assert next(stream) is data[4]


@pytest.mark.parametrize("n", [0, 2, 3], ids="{} batches".format)
def test_exhausted_batches(n, rng):
    """Three steps need four batches; the error names the step that had none, and the moments before it were yielded."""
    (objective, w), seen = network(rng), []
    with pytest.raises(ValueError, match=f"batches ran out at step {n}"):
        for moment in descend([objective] * n, w, EUCLIDEAN, 3):
            seen.append(moment.t)
    assert seen == list(range(n))


def test_a_divergent_run_says_where_and_keeps_its_records():
    """sharpness 1e-3 where 2.6 is needed: the loss grows until it is infinite, and the step is named."""
    records = []
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(Diverged, match="smaller step size") as caught:
        for moment in descend(Quadratic(), Vector(np.ones(3)), SteepestDescent(Euclidean(), sharpness=1e-3), 1000):
            records.append(moment)
    assert [m.t for m in records] == list(range(caught.value.step)) and f"step {caught.value.step}" in str(caught.value)
    assert 10 < len(records) < 100 and np.isfinite([m.loss for m in records]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_loss_after_the_last_step_is_guarded_too(bad):
    """A run that diverges in its very last step raises as well, and not when told not to guard."""
    class Cliff(Quadratic):
        def __call__(self, w):
            return bad

        def value_and_grad(self, w):
            return 1.0, Covector(w.nest())

    records, w = [], Vector(np.ones(3))
    with pytest.raises(Diverged, match="step 2"):
        for moment in descend(Cliff(), w, EUCLIDEAN, 2):
            records.append(moment)
    assert len(records) == 2
    assert not np.isfinite(list(descend(Cliff(), w, EUCLIDEAN, 2, guard=False))[-1].loss)


def test_diverged_travels_between_processes():
    """The exception survives pickle, as it must to come out of a parallel worker."""
    error = pickle.loads(pickle.dumps(Diverged(7, np.inf)))
    assert isinstance(error, Diverged) and error.step == 7 and "step 7" in str(error)


ENSEMBLE_RULES = {
    "gradient descent": lambda net: SteepestDescent(Euclidean(), sharpness=np.array([9.0, 9.0, 9.0])),
    "Adam": lambda net: Adam(0.02),
    "dualized, newton_schulz": lambda net: SteepestDescent(MLP(2, 5, 4, bond=Tanh(), polar=newton_schulz).norm, step_size=0.1),
    "dualized, exact": lambda net: SteepestDescent(net.norm, step_size=0.1),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dead", [np.nan, np.inf])
@pytest.mark.parametrize("rule", ENSEMBLE_RULES)
def test_an_ensemble_outlives_its_dead(rule, dead, rng):
    """guard=False: network 1 is dead, and the others go the way they would go alone. guard=True raises."""
    objective, w = network(rng)
    rule = ENSEMBLE_RULES[rule](objective.module)
    together = Objective(objective.module, SquareError(), objective.x[None], objective.t)
    stacked = w.map(lambda a: np.stack([a, dead * np.abs(a), 0.5 * a]))
    with pytest.raises(Diverged, match="step 0"):
        list(descend(together, stacked, rule, 4))
    *_, last = descend(together, stacked, rule, 4, guard=False)
    trio = w.map(lambda a: np.stack([a, a, 0.5 * a]))
    *_, alive = descend(together, trio, rule, 4)
    assert np.isnan(last.loss[1])
    for k in (0, 2):
        assert np.isfinite(last.loss[k])
        same(last.w.map(lambda a, k=k: a[k]).nest(), alive.w.map(lambda a, k=k: a[k]).nest(), 1e-12)


def test_progress_is_shown_when_asked_for(rng, capsys):
    """Nothing is printed unless progress=True."""
    objective, w = network(rng)
    list(descend(objective, w, EUCLIDEAN, 2))
    assert capsys.readouterr() == ("", "")
    list(descend(objective, w, EUCLIDEAN, 2, progress=True))
    assert "training" in capsys.readouterr().err


def test_schedules():
    """linear goes from 1 to 0 in a straight line and stays there; constant is 1."""
    assert [linear(4)(t) for t in (0, 1, 2, 3, 4, 5, 100)] == [1, 0.75, 0.5, 0.25, 0, 0, 0]
    assert {constant(t) for t in islice(count(), 3)} == {1.0}


# Curvature.


def test_sharpness_is_the_top_eigenvalue_and_not_the_largest():
    """Where the Hessian has eigenvalues -5, 1 and 2, the sharpness is 2; below 2 / sharpness nothing is said about the concave direction."""
    saddle, w = Quadratic(np.diag([-5.0, 1.0, 2.0])), Vector(np.zeros(3))
    np.testing.assert_allclose(sharpness(saddle, w, np.random.default_rng(0)), 2, rtol=1e-12)
    np.testing.assert_allclose(spectrum(saddle, w, np.random.default_rng(0))[0], [-5, 1, 2], rtol=1e-12)


def test_sharpness_takes_the_steps_it_is_given(rng):
    """One Lanczos step is the Rayleigh quotient of the start; two give the larger of two Ritz values."""
    objective, w = network(rng)
    for steps in (1, 2):
        values = spectrum(objective, w, np.random.default_rng(5), steps)[0]
        assert len(values) == steps and sharpness(objective, w, np.random.default_rng(5), steps) == values[-1]


def test_quadratic_model_of_a_quadratic_is_exact(rng):
    """Value, slope and curvature: no more is left."""
    w, d = Vector(rng.standard_normal(3)), Vector(rng.standard_normal(3))
    np.testing.assert_allclose(quadratic_model(Quadratic(), w)(d), Quadratic()(w + d), rtol=1e-13)


def test_majorization_gap(rng):
    """For L = 1/2 w^T B w the gap is (sharpness |d|^2 - d^T B d) / 2: never negative at the exact sharpness, negative for some d below it."""
    for norm, L in SHARPNESS.values():
        ds = [Vector(d) for d in (*rng.standard_normal((20, 3)), *SIGNS, *np.eye(3), *np.linalg.eigh(B)[1].T)]
        w = Vector(rng.standard_normal(3))
        gap = lambda d, L, norm=norm, w=w: majorization_gap(Quadratic(), w, d, norm, L)
        for d in ds:
            np.testing.assert_allclose(gap(d, L), 0.5 * (L * norm(d) ** 2 - d.array @ B @ d.array), atol=1e-12)
        assert min(gap(d, L) for d in ds) > -1e-12 and min(gap(d, 0.99 * L) for d in ds) < 0


def test_lars_changes_every_layer_by_the_same_fraction(rng):
    """|step|_F = step_size |W|_F in each layer, against the gradient; a zero gradient moves nothing; it must be shown the weights."""
    w, g = (kind((rng.standard_normal((3, 4)), (rng.standard_normal((2, 5)), np.zeros((2, 2))))) for kind in (Vector, Covector))
    step, _ = LARS(0.1)(g, (), w)
    for s, W, G in zip(step.leaves()[:2], w.leaves(), g.leaves(), strict=False):
        np.testing.assert_allclose(s, -0.1 * np.linalg.norm(W) / np.linalg.norm(G) * G)
    assert not step.leaves()[2].any()
    with pytest.raises(TypeError, match="needs|weights"):
        LARS(0.1)(g)


@pytest.mark.parametrize("rule", [HeavyBall, Nesterov])
def test_momentum_obeys_its_matrix(rule, rng):
    """On one curvature, two steps of the optimizer fix all that follow: e_t+1 = trace e_t - det e_t-1, with trace and det of the 2 x 2 matrix."""
    for curvature, beta in rng.uniform(0.1, 0.9, (10, 2)):
        run = descend(Quadratic(np.array([[curvature]])), Vector(np.ones(1)), rule(SteepestDescent(Euclidean(), 1.0), beta), 30)
        path = [step.w.array.item() for step in run]
        M = rule.matrix(curvature, beta)
        predicted = path[:2]
        while len(predicted) < len(path):
            predicted.append(np.trace(M) * predicted[-1] - np.linalg.det(M) * predicted[-2])
        np.testing.assert_allclose(path, predicted, atol=1e-12)
        for before, now, after in zip(path, path[1:], path[2:], strict=False):
            np.testing.assert_allclose(M @ (now, before), (after, now), atol=1e-12)


# Second order.


class Valley(Quadratic):
    """x^4/4 - x^2/2 + y^2/2: minima at (+-1, 0), a saddle at the origin."""

    def __call__(self, w):
        x, y = w.array
        return x ** 4 / 4 - x ** 2 / 2 + y ** 2 / 2

    def value_and_grad(self, w):
        x, y = w.array
        return self(w), Covector(np.array([x ** 3 - x, y]))

    def hessian(self, w, v):
        return Covector(np.array([3 * w.array[0] ** 2 - 1, 1.0]) * v.array)


def end(objective, rule, start, steps):
    *_, last = descend(objective, Vector(np.array(start, dtype=float)), rule, steps)
    return last.w.array


def test_newton_solves_a_quadratic_in_one_step_and_conjugate_gradients_in_n(rng):
    start = rng.standard_normal(3)
    np.testing.assert_allclose(end(Quadratic(), Newton(Quadratic()), start, 1), 0, atol=1e-12)
    np.testing.assert_allclose(end(Quadratic(), ConjugateGradient(Quadratic()), start, 3), 0, atol=1e-10)
    assert np.linalg.norm(end(Quadratic(), ConjugateGradient(Quadratic()), start, 2)) > 1e-4


def test_newton_is_drawn_to_saddles_and_its_mends_are_not():
    """From (.3, 1), on the wrong side of |x| = 1/sqrt 5, Newton ends at the saddle; |lambda|, shift and cubic end at a minimum."""
    shift = lambda lam: lam + max(0.0, 0.5 - lam.min())
    np.testing.assert_allclose(end(Valley(), Newton(Valley()), (0.3, 1.0), 30), [0, 0], atol=1e-9)
    for rule in (Newton(Valley(), np.abs), Newton(Valley(), shift), CubicNewton(Valley(), 12.0)):
        np.testing.assert_allclose(end(Valley(), rule, (0.3, 1.0), 60), [1, 0], atol=1e-6)


def test_the_cubic_step_minimizes_its_model(rng):
    """No random d does better, also at a saddle and far out."""
    for w in rng.uniform(-2, 2, (5, 2)):
        g, H, M = Valley().value_and_grad(Vector(w))[1].array, np.diag([3 * w[0] ** 2 - 1, 1.0]), 12.0
        model = lambda d, g=g, H=H, M=M: d @ g + 0.5 * np.einsum("...i,ij,...j", d, H, d) + M / 6 * np.linalg.norm(d, axis=-1) ** 3
        d = CubicNewton(Valley(), M)(Covector(g), (), Vector(w))[0].array
        assert model(d) <= model(rng.standard_normal((5000, 2)) * 2).min() + 1e-9


def test_the_cubic_step_solves_its_equation(rng):
    """(H + M/2 |d|) d = -g with a positive semidefinite matrix on the left: that is the global minimum, for every H, short and far."""
    for scale in (1.0, 1e4):
        for _ in range(20):
            A, g, M = rng.standard_normal((4, 4)), scale * rng.standard_normal(4), rng.uniform(0.5, 5.0)
            H = A + A.T
            d = CubicNewton(Quadratic(H), M)(Covector(g), (), Vector(np.zeros(4)))[0].array
            S = H + 0.5 * M * np.linalg.norm(d) * np.eye(4)
            assert np.linalg.norm(S @ d + g) < 1e-9 * np.linalg.norm(g) and np.linalg.eigvalsh(S)[0] > 0


def test_the_cubic_step_leaves_a_saddle(rng):
    """Where g has no part along the most negative curvature: no random step, and no step along it, has a lower model value."""
    for scale in (0.0, 0.1):
        for _ in range(20):
            H, M, g = np.diag([-2.0, *rng.uniform(-1, 2, 2)]), rng.uniform(0.5, 5.0), scale * rng.standard_normal(3) * [0, 1, 1]
            model = lambda d, g=g, H=H, M=M: g @ d + 0.5 * d @ H @ d + M / 6 * np.linalg.norm(d) ** 3
            d = CubicNewton(Quadratic(H), M)(Covector(g), (), Vector(np.zeros(3)))[0].array
            others = [d + size * rng.standard_normal(3) for size in np.geomspace(1e-3, 3, 200)] + [r * np.eye(3)[0] for r in np.linspace(-8, 8, 99)]
            assert model(d) < -0.05 and min(map(model, others)) >= model(d) - 1e-9


def test_gauss_newton_solves_linear_least_squares_in_one_step(rng):
    """Undamped by default: the step arrives where NumPy's least squares does; with one product it is the best multiple of -g."""
    X, T = rng.standard_normal((9, 4)), rng.standard_normal((9, 3))
    objective, w = Objective(Linear(3, 4), SquareError(), X, T), Vector(rng.standard_normal((3, 4)))
    g, net = objective.gradient(w), Linear(3, 4)
    best = np.linalg.lstsq(X, T, rcond=None)[0]
    step, _ = GaussNewton(objective)(g, (), w)
    np.testing.assert_allclose(net.forward(X, w + step), X @ best, atol=1e-8)
    short, G = GaussNewton(objective, 0.2, steps=1)(g, (), w)[0].array, objective.gauss_newton(w)(Vector(g.array)).array
    np.testing.assert_allclose(short, -(g.array ** 2).sum() / ((g.array * G).sum() + 0.2 * (g.array ** 2).sum()) * g.array, rtol=1e-9)


def test_levenberg_marquardt_takes_the_first_damping_that_descends(rng):
    """Of c, 2c, 4c, ... with c the state; the next state is a third of it. Where none descends, as uphill on a parabola, it says so."""
    raised = []
    for c in np.geomspace(1e-5, 1.0, 20):
        objective, w = network(rng)
        g = objective.gradient(w)
        trials = [GaussNewton(objective, c * 2 ** k, 8)(g, (), w)[0] for k in range(40)]
        raised.append(next(k for k in range(40) if objective(w + trials[k]) <= objective(w)))
        step, state = LevenbergMarquardt(objective, 0.1, 8)(g, c, w)
        same((step.flatten(), np.array(state)), (trials[raised[-1]].flatten(), np.array(c * 2 ** raised[-1] / 3)), 1e-12)
    assert max(raised) > 1 and min(raised) == 0
    parabola = Objective(Linear(2, 3), SquareError(), rng.standard_normal((5, 3)), rng.standard_normal((5, 2)))
    v = Vector(rng.standard_normal((2, 3)))
    with pytest.raises(ValueError, match="no step that descends"):
        LevenbergMarquardt(parabola)(-parabola.gradient(v), 1e-9, v)


def test_a_conjugate_step_by_hand(rng):
    """d = -g + max(0, <g, g - g_old> / |g_old|^2) d_old, or -g where that climbs; to the bottom along d, or by 1 without one."""
    for _ in range(100):
        A, g, old, last = rng.standard_normal((3, 3)), *rng.standard_normal((3, 3))
        d = -g + max(0.0, g @ (g - old) / (old @ old)) * last
        d = d if d @ g < 0 else -g
        bent = d @ (A + A.T) @ d
        step, state = ConjugateGradient(Quadratic(A + A.T))(Covector(g), (old, last), Vector(np.zeros(3)))
        same((step.array, *state), (-(g @ d) / bent * d if bent > 0 else d / np.linalg.norm(d), g, d), 1e-12)


def test_the_hessian_matrix_is_symmetric_and_multiplies_as_the_products_do(rng):
    objective, w = network(rng)
    H, v = hessian_matrix(objective, w), random_vector(rng, w)
    assert (H == H.T).all()
    np.testing.assert_allclose(H @ v.flatten(), objective.hessian(w, v).flatten(), atol=1e-6)


def test_levenberg_marquardt_never_climbs(rng):
    objective, w = network(rng)
    losses = [step.loss for step in descend(objective, w, LevenbergMarquardt(objective), 15)]
    assert (np.diff(losses) <= 0).all() and losses[-1] < 0.1 * losses[0]


def test_the_hunter_catches_every_lie_on_a_quadratic_and_no_truth(rng):
    """The exact sharpness of B in the Euclidean and in a weighted norm: nothing found at it, a violation at 99 per cent of it."""
    for norm, exact in ((Euclidean(), np.linalg.eigvalsh(B)[-1]), (Weighted(B), 1.0)):
        w = Vector(rng.standard_normal(3))
        assert hunt(Quadratic(), w, norm, exact, rng, climbs=60)[0] > -1e-9
        gap, step = hunt(Quadratic(), w, norm, 0.99 * exact, rng, climbs=60)
        assert gap < -1e-3 and majorization_gap(Quadratic(), w, step, norm, 0.99 * exact) < 0


class Cubic(Quadratic):
    """sum_i c_i w_i^3 / 6. On the sphere of radius r it is at most r^3 max(c) / 6, at r e_i; from the origin every e_i is a local maximum."""

    def __init__(self, c):
        self.c, self.seen = c, []

    def __call__(self, w):
        return (self.c * w.array ** 3).sum() / 6

    def value_and_grad(self, w):
        self.seen.append(w)
        return self(w), Covector(0.5 * self.c * w.array ** 2)


def test_the_hunter_climbs_to_the_highest_of_many_peaks(rng):
    """The least gap is sharpness/2 - r max(c)/6, at the largest r it may try; of the same size are all steps it looks at. True bounds too."""
    for sharp in (0.1, 7.0):
        loss, sizes = Cubic(rng.uniform(0.5, 2.0, 5)), (0.1, 1.0, 0.5)
        gap, step = hunt(loss, Vector(np.zeros(5)), Euclidean(), sharp, rng, sizes, tries=60)
        np.testing.assert_allclose(gap, sharp / 2 - loss.c.max() / 6, rtol=1e-9)
        np.testing.assert_allclose(step.array, np.eye(5)[loss.c.argmax()], atol=1e-6)
        assert all(np.isclose(np.linalg.norm(w.array), (0.0, *sizes)).any() for w in loss.seen)
    for r in (0.5, 2.0):  # the gap is told per norm(dw)^2
        np.testing.assert_allclose(hunt(loss, Vector(np.zeros(5)), Euclidean(), 1.0, rng, (r,), 60)[0], 0.5 - r * loss.c.max() / 6, rtol=1e-9)


def test_automatic_gradient_descent_by_hand(rng):
    """One layer: eta = log((1 + sqrt(1 + 4 S)) / 2) with S = sqrt(fan_out / fan_in) |G|_F, along G / |G|_F times the fans; no gradient, no step."""
    G = rng.standard_normal((2, 8))
    S = np.sqrt(2 / 8) * np.linalg.norm(G)
    step, _ = AGD()(Covector(G))
    np.testing.assert_allclose(step.array, -np.log((1 + np.sqrt(1 + 4 * S)) / 2) * np.sqrt(2 / 8) * G / np.linalg.norm(G))
    two, _ = AGD()(Covector((G, G)))
    np.testing.assert_allclose(two[0].array, step.array / 2)
    assert not AGD()(Covector(0 * G))[0].array.any()


def test_automatic_gradient_descent_weighs_unlike_layers(rng):
    """S is the mean over layers, and each moves along its own G / |G|_F."""
    Gs = [c * rng.standard_normal(shape) for c, shape in ((0.1, (2, 8)), (5.0, (7, 3)), (1.0, (4, 1)))]
    fans, sizes = [np.sqrt(m / n) for m, n in ((2, 8), (7, 3), (4, 1))], [np.linalg.norm(G) for G in Gs]
    eta = np.log((1 + np.sqrt(1 + 4 * np.mean(np.multiply(fans, sizes)))) / 2)
    for s, fan, G, size in zip(AGD()(Covector(tuple(Gs)))[0].leaves(), fans, Gs, sizes, strict=True):
        np.testing.assert_allclose(s, -eta / 3 * fan * G / size)


def test_defaults_are_the_published_ones():
    assert Adam(0.1) == Adam(0.1, 0.9, 0.999, 1e-8) and HeavyBall(Adam(0.1)).beta == Nesterov(Adam(0.1)).beta == 0.9
    assert LevenbergMarquardt(None).start(None) == 1e-3 and LevenbergMarquardt(None, 0.7).start(None) == 0.7
