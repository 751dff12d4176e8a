"""The library on the GPU, proved without one: on a strict stand-in for CuPy (see strict.py), which planted mistakes prove in their turn.

Where there is a GPU the same tests run on it too; `-m gpu` picks those.
"""
import ast
import inspect
import json
import pickle
import re
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import strict
import test_adaptive
import test_modules
import test_norms
import test_optimizers

from laws import adjoint, is_data, nest_map, random_like, same, slope
from metrized import arrays, data, linalg, optimizers, sweeps
from metrized.arrays import is_array, namespace, to_device, to_numpy, usable
from metrized.bonds import Bond, Tanh
from metrized.compounds import MLP
from metrized.curvature import hunt, majorization_gap, quadratic_model, sharpness, sharpness_gradient, spectrum
from metrized.examples import duality, gpt, gpt_sweep, width
from metrized.ledger import Ledger
from metrized.lesson import claim
from metrized.losses import CrossEntropy, SquareError
from metrized.norms import Euclidean, Layerwise, RMSOperator, Spectral
from metrized.objective import Objective
from metrized.optimizers import (
    AGD,
    LARS,
    SGD,
    Adam,
    ConjugateGradient,
    CubicNewton,
    GaussNewton,
    LevenbergMarquardt,
    MuP,
    Newton,
    SteepestDescent,
)
from metrized.schedules import averaged, cosine, eigencurve, exponential, tail
from metrized.sweeps import column, sweep
from metrized.train import Diverged, descend
from metrized.vectors import Covector, Tree, Vector

PACKAGE = Path(arrays.__file__).parent
F, F32 = np.float64, np.float32


@pytest.fixture(params=["stand-in", pytest.param("GPU", marks=pytest.mark.gpu)])
def gpu(request, monkeypatch):
    """device="gpu" leads to the stand-in, and to the GPU itself where there is one; the value is the array library."""
    if request.param == "stand-in":
        monkeypatch.setattr(arrays, "cupy", lambda: strict)
    try:
        return arrays.cupy()
    except RuntimeError as reason:
        pytest.skip(str(reason))


def agree(there, here, tolerance=1e-12):
    """What came out on the device is there, all of it, and equal in shape, dtype and numbers to what came out on the host."""
    if isinstance(here, (tuple, list)):
        assert len(there) == len(here)
        for a, b in zip(there, here, strict=True):
            agree(a, b, tolerance)
    elif isinstance(here, Tree):
        assert type(there) is type(here)
        agree(there.nest(), here.nest(), tolerance)
    elif isinstance(here, np.ndarray):
        assert is_array(there) and namespace(there) is not np, f"a result on the host: {there}"
        assert there.shape == here.shape and there.dtype == here.dtype
        np.testing.assert_allclose(to_numpy(there), here, rtol=tolerance, atol=tolerance)
    else:
        assert here is there is None or abs(float(there) - float(here)) <= tolerance * (1 + abs(float(here)))


def move(x):
    """A nest of arrays, a Vector, or an Objective, on the device."""
    if isinstance(x, Objective):
        return Objective(x.module, x.loss, *to_device((x.x, x.t), "gpu"))
    return x.to("gpu") if isinstance(x, Tree) else to_device(x, "gpu")


def unread(f, *args):
    """f(*args), if it does its work without bringing an array to the host."""
    strict.synchronized.clear()
    result = f(*args)
    assert not {"get", "tolist", "item", "str"} & set(strict.synchronized), strict.synchronized
    return result


# Mistakes: (as they are made, as they should be). x is float32 [4, 3] on the device, h the same on the host; i and j are indices there and here.

MISTAKES = {
    "a forgotten transfer": ("x + h", "x + xp.asarray(h)"),
    "a matrix on the host": ("x @ h.T", "x @ x.T"),
    "a matrix on the host, from the left": ("h.T @ x", "x.T @ x"),
    "a host mask": ("x[h > 0]", "x[x > 0]"),
    "a host mask in where": ("xp.where(h > 0, x, 0)", "xp.where(x > 0, x, 0)"),
    "a host index": ("x[j]", "x[i]"),
    "a host index in a tuple": ("x[:, j]", "x[:, i]"),
    "a list as an index": ("x[[0, 2]]", "x[0:4:2]"),
    "host rows, device index": ("h[i]", "x[i]"),
    "host values written": ("x[:2] = h[:2]", "x[0] = x[1]"),
    "a NumPy call": ("np.exp(x)", "xp.exp(x)"),
    "a NumPy reduction": ("np.sum(x, 0)", "x.sum(0)"),
    "a NumPy norm": ("np.linalg.norm(x)", "xp.linalg.norm(x)"),
    "a NumPy where": ("np.where(x > 0, x, 0)", "x * (x > 0)"),
    "a NumPy einsum": ('np.einsum("ij->j", x)', 'xp.einsum("ij->j", x)'),
    "an einsum of both": ('xp.einsum("ij,ij->i", x, h)', 'xp.einsum("ij,ij->i", x, x)'),
    "add.at with a host index": ("xp.add.at(x, j, x[:2])", "xp.add.at(x, i, x[:2])"),
    "add.at with host values": ("xp.add.at(x, i, h[:2])", "xp.add.at(x, i, x[:2])"),
    "add.at of NumPy": ("np.add.at(h, j, x[:2])", "xp.add.at(x, i, 1.0)"),
    "add.at of integers": ("xp.add.at(i, i, 1)", "xp.add.at(x, i, 1.0)"),
    "concatenate of both": ("xp.concatenate([x, h])", "xp.concatenate([x, x])"),
    "concatenate of NumPy": ("np.concatenate([x, x])", "xp.concatenate([x, x])"),
    "stack with a number": ("xp.stack([x.max(), 1.0])", "xp.stack([x.max(), x.min()])"),
    "a list of numbers for an array": ("xp.maximum(x, [1.0, 2.0, 3.0])", "xp.maximum(x, 1.0)"),
    "host += device": ("h += x", "x += x"),
    "device += host": ("x += h", "x += 1.0"),
    "out= on the host": ("xp.exp(x, out=h)", "xp.exp(x, out=x)"),
    "np.sqrt(2) as a factor": ("x * np.sqrt(2)", "x * 2 ** 0.5"),
    "np.float64 from the left": ("np.float64(2) * x", "2.0 * x"),
    "a number from a table of NumPy": ("x ** np.arange(3)[2]", "x ** int(np.arange(3)[2])"),
    "the root of a number": ("x * xp.sqrt(2)", "x * 2 ** 0.5"),
    "zeros of float64": ("x + xp.zeros(3)", "x + xp.zeros(3, dtype=x.dtype)"),
    "float32 times integers": ("x * xp.arange(3)", "x * xp.arange(3, dtype=x.dtype)"),
    "float64 written into float32": ("x[0] = xp.ones(3)", "x[0] = 1.0"),
    "a sum in float64": ("x / x.sum(dtype=float)", "x / x.sum()"),
    "NumPy takes the array": ("np.asarray(x)", "to_numpy(x)"),
    "NumPy takes the rows": ("np.array(list(x))", "xp.stack(list(x))"),
    "NumPy takes a number": ("np.log(x.max())", "np.log(float(x.max()))"),
    "NumPy asks": ("np.isfinite(x).all()", "bool(xp.isfinite(x).all())"),
    "asarray of device numbers": ("xp.asarray([x[0], x[1]])", "xp.stack([x[0], x[1]])"),
    "an index out of range": ("x[i + 3]", "x[i]"),
    "a place named twice": ("x[0 * i] = x[:2]", "x[i] = x[:2]"),
    "a singular matrix": ("xp.linalg.inv(x[:3] * 0)", "xp.linalg.pinv(x)"),
    "a keyword of sum": ("x.sum(where=x > 0)", "(x * (x > 0)).sum()"),
    "a keyword of max": ("x.max(initial=0.0)", "xp.maximum(x.max(), 0.0)"),
    "a keyword of mean": ("xp.mean(x, where=x > 0)", "xp.mean(x, keepdims=True)"),
    "a keyword of clip": ("xp.clip(x, min=0.0)", "xp.clip(x, 0.0, None)"),
    "a keyword of exp": ("xp.exp(x, where=x > 0)", "xp.exp(x * (x > 0))"),
    "a keyword of svd": ("xp.linalg.svd(x.T @ x, hermitian=True)", "xp.linalg.eigh(x.T @ x)"),
    "maximum.reduce": ("xp.maximum.reduce(x)", "x.max(0)"),
    "a method that CuPy lacks": ("x.byteswap()", "x.copy()"),
    "long double": ("xp.asarray(np.ones(3, np.longdouble))", "xp.asarray(np.ones(3))"),
    "an array of objects": ("xp.asarray([None, 1])", "xp.asarray([0, 1])"),
    "random numbers of the device": ("xp.random.default_rng(0)", "xp.asarray(arrays.normal(RNG(0), (2,)))"),
    "where without a device mask": ("xp.where(True, 1.0, 2.0)", "xp.where(x > 0, 1.0, 2.0)"),
    **{f"CuPy has no {name}": (f"xp.{name}", None) for name in (
        "block", "cumulative_sum", "einsum_path", "geomspace", "insert", "isdtype", "matrix_transpose", "unstack", "vecdot", "errstate",
        "linalg.matrix_norm", "linalg.vector_norm", "linalg.multi_dot", "linalg.trace", "random.normal")},
}
RNG = np.random.default_rng


def planted(line: str) -> None:
    """Run a line of people's code."""
    h, j = RNG(0).standard_normal((4, 3)).astype(F32), np.array([0, 2])
    exec(line, {**globals(), "xp": strict, "x": strict.asarray(h), "h": h, "i": strict.asarray(j), "j": j})


@pytest.mark.parametrize("name", MISTAKES)
def test_the_stand_in_catches(name):
    wrong, right = MISTAKES[name]
    with pytest.raises((strict.Refused, AttributeError, IndexError)):
        planted(wrong)
    if right:
        planted(right)


class Curve(Bond):
    """A bond from f(xp, x), of slope f's own: y = x f(xp, x) with the slope taken to be f(xp, x), right where f is constant."""

    def __init__(self, f):
        self.f = f

    def derivative(self, x):
        c = self.f(namespace(x), x)
        return c * x, lambda dx: c * dx, lambda dy: c * dy


SPOILED = {  # a factor as it should be, and as people write it
    "a constant of NumPy": (lambda xp, x: 2 ** 0.5, lambda xp, x: np.sqrt(2)),
    "a table on the host": (lambda xp, x: xp.arange(5, dtype=x.dtype), lambda xp, x: np.arange(5).astype(x.dtype)),
    "a table in float64": (lambda xp, x: xp.arange(5, dtype=x.dtype), lambda xp, x: xp.arange(5) / 5),
    "a function of NumPy": (lambda xp, x: xp.exp(0 * x), lambda xp, x: np.exp(0 * x)),
    "a mask on the host": (lambda xp, x: x > 0, lambda xp, x: to_numpy(x) > 0),
    "a way over the host": (lambda xp, x: xp.exp(0 * x), lambda xp, x: xp.asarray(np.exp(0 * to_numpy(x)))),
    "an explicit upcast": (lambda xp, x: xp.sign(x * x), lambda xp, x: xp.sign(x * x).astype(F)),
    "a missing function": (lambda xp, x: xp.eye(5, dtype=x.dtype)[0], lambda xp, x: xp.insert(xp.zeros(4, dtype=x.dtype), 0, 1)),
    "a missing keyword": (lambda xp, x: (abs(x) * (x > 0)).sum() * 0, lambda xp, x: abs(x).sum(where=x > 0) * 0),
    "an index past the end": (lambda xp, x: xp.ones(5, dtype=x.dtype)[xp.arange(5)], lambda xp, x: xp.ones(5, dtype=x.dtype)[xp.arange(1, 6)]),
    "a missing norm": (lambda xp, x: xp.linalg.norm(0 * x), lambda xp, x: xp.linalg.vector_norm(0 * x)),
}


@pytest.mark.parametrize("name", SPOILED)
def test_the_law_catches_a_mistake_inside_a_bond(name, monkeypatch, rng):
    monkeypatch.setattr(arrays, "cupy", lambda: strict)
    right, wrong = SPOILED[name]
    x = rng.standard_normal((4, 5)).astype(F32)
    lawful(Tanh() @ Curve(right), x, rng)
    with pytest.raises((strict.Refused, AttributeError, IndexError, AssertionError)):
        lawful(Tanh() @ Curve(wrong), x, rng)


def test_the_stand_in_computes_what_numpy_computes(rng):
    """Views stay views, reductions stay arrays of no axes, and what the host reads is counted."""
    h = rng.standard_normal((4, 3))
    x = strict.asarray(h)
    x[1] += 1.0
    x.T[0, 2] = 5.0
    y = x[0, 0]
    y += 7.0
    expected = h.copy()
    expected[1], expected[2, 0], expected[0, 0] = h[1] + 1, 5.0, h[0, 0] + 7
    strict.synchronized.clear()
    np.testing.assert_array_equal(x.get(), expected)
    assert type(x.max()) is strict.ndarray and x.max().shape == () and not h[2, 0] == 5 and float(x.max()) == expected.max()
    assert dict(strict.synchronized) == {"get": 1, "float": 1} and "array" in repr(x) and namespace(x) is strict
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(x)).get(), expected)


@pytest.mark.skipif(not find_spec("cupy"), reason="CuPy is not installed: there are no wheels for macOS")
def test_names_and_arguments_are_those_of_the_installed_cupy():
    """The list for machines without CuPy says the same as CuPy, if that is the version it was made from."""
    import cupy
    listed = strict._NAMES.read_text()
    if cupy.__version__ not in listed.partition(":")[0]:
        pytest.skip(f"the list was made from another version than CuPy {cupy.__version__}")
    assert strict.freeze() == listed
    for name in ("sum", "linalg.svd", "ndarray.max"):
        assert "keepdims" in strict._signatures()["ndarray.max"].parameters and "where" not in strict._signatures()[name].parameters


# The library. Every test here runs on a GPU as well, where there is one.


def lawful(module, x, rng, tolerance=1e-5):
    """In float32 on the device: the numbers of the host, dtypes that stay, no array that comes back to the host; and the adjoint law in float64."""
    w = module.initialize(rng, F32)
    y, push, pull = unread(module.linearize, move(x), move(w))
    here = module.linearize(x, w)
    dy, dw, dx = random_like(rng, here[0]), Vector(random_like(rng, w.nest())), None if is_data(x) else random_like(rng, x)
    agree(unread(module.forward, move(x), move(w)), module.forward(x, w), tolerance)
    agree(y, here[0], tolerance)
    agree(unread(push, None if dx is None else move(dx), move(dw)), here[1](dx, dw), tolerance)
    agree(unread(pull, move(dy)), here[2](dy), tolerance)
    g, there = here[2](dy, need_dx=False)[1], unread(lambda: pull(move(dy), need_dx=False))[1]
    assert [a.dtype for a in there.leaves()] == [a.dtype for a in w.leaves()]
    agree(module.networks(move(w)), module.networks(w))
    agree(module.project(move(2.0 * w)), module.project(2.0 * w), 1e-4)
    agree(unread(module.dualize, there), module.dualize(g), 1e-4)
    agree((module.norm(move(w)), module.norm.dual(there)), (module.norm(w), module.norm.dual(g)), 1e-4)
    x, w = nest_map(lambda a: a if a.dtype.kind in "iu" else a.astype(F), x), w.map(lambda a: a.astype(F))
    adjoint(module, move(x), move(w), rng)


def single(x):
    """Data in float32."""
    return nest_map(lambda a: a if a.dtype.kind in "iu" else a.astype(F32), x)


@pytest.mark.parametrize("name", test_modules.CASES)
def test_modules_are_lawful_on_the_device(name, gpu, rng):
    module, x = test_modules.CASES[name](rng)
    lawful(module, single(x), rng)
    slope(module, move(x), move(module.initialize(rng, F)), rng, h=1e-6)


ENSEMBLES = [name for name, (module, x) in ((name, make(RNG(0))) for name, make in test_modules.CASES.items())
             if module.mass and not isinstance(x, tuple) and x.ndim > 1]


@pytest.mark.parametrize("name", ENSEMBLES)
def test_ensembles_on_the_device(name, gpu, rng):
    """Two networks at once, on one input: values, gradients and dual steps are those of the host."""
    module, x = test_modules.CASES[name](rng)
    w = module.initialize(rng, F32).map(lambda W: np.stack([W, -W]))
    x = single(x)[None]
    (y, _, pull), here = module.linearize(move(x), move(w)), module.linearize(x, w)
    dy = random_like(rng, here[0])
    agree(y, here[0], 1e-5)
    agree(unread(pull, move(dy)), here[2](dy), 1e-5)
    agree(module.dualize(pull(move(dy))[1]), module.dualize(here[2](dy)[1]), 1e-4)


@pytest.mark.parametrize("name", test_norms.TABLE)
@pytest.mark.parametrize("dtype", [F, F32], ids=["float64", "float32"])
def test_norms_on_the_device(name, dtype, gpu, rng):
    """Sizes, duals, dual maps, sharp, project and normalize are the host's, and <g, d> = |g|* with |d| = 1 holds there."""
    norm, shape = test_norms.TABLE[name]
    v, g = Vector(test_norms.draw(rng, shape)), Covector(test_norms.draw(rng, shape))
    v, g = (z.map(lambda a: a.astype(dtype)) for z in (v, g))
    tolerance = 1e-10 if dtype is F else 1e-4
    for method in ("__call__", "project", "normalize"):
        agree(unread(getattr(norm, method), move(v)), getattr(norm, method)(v), tolerance)
    for method in ("dual", "dualize", "sharp"):
        agree(unread(getattr(norm, method), move(g)), getattr(norm, method)(g), tolerance)
        agree(getattr(norm, method)(move(0.0 * g)), getattr(norm, method)(0.0 * g))
    d = norm.dualize(move(g))
    assert abs(float(norm(d)) - 1) < tolerance and abs(float(move(g) @ d) / float(norm.dual(g)) - 1) < tolerance


@pytest.mark.parametrize("loss", [SquareError(), CrossEntropy()], ids=str)
def test_losses_on_the_device(loss, gpu, rng):
    y, v = rng.standard_normal((2, 4, 3, 5)).astype(F32)
    t = rng.standard_normal((4, 3, 5)).astype(F32) if isinstance(loss, SquareError) else rng.integers(0, 5, (4, 3))
    for outputs, u in ((y, v), (np.stack([y, -y]), np.stack([v, v]))):
        (value, dl, curve), here = unread(loss.linearize, move(outputs), move(t)), loss.linearize(outputs, t)
        agree((value, dl, curve(move(u)), loss(move(outputs), move(t))), (here[0], here[1], here[2](u), loss(outputs, t)), 1e-6)


COMPOUNDS = ("MLP", "ResidualMLP", "ConvNet", "Attention", "GPT", "Checkpoint", "tuples")


def task(name, rng, dtype=F32) -> tuple[Objective, Vector]:
    """A compound of the CASES with something to learn."""
    module, x = test_modules.CASES[name](rng)
    x, w = nest_map(lambda a: a if a.dtype.kind in "iu" else a.astype(dtype), x), module.initialize(rng, dtype)
    y = module(x, w)
    return Objective(module, *((CrossEntropy(), x, rng.integers(0, 11, x.shape)) if is_data(x) else (SquareError(), x, random_like(rng, y)))), w


def compare(objective, w, rule, steps=2, tolerance=1e-4, rule_there=None):
    """A run on the device and the same on the host: losses, weights and states."""
    here, there = descend(objective, w, rule, steps), descend(move(objective), move(w), rule_there or rule, steps)
    for a, b in zip(there, here, strict=True):
        agree((a.loss, a.w), (b.loss, b.w), tolerance)
        agree_state(a.state, b.state, tolerance)


def agree_state(there, here, tolerance):
    """The states of a rule: nests of numbers, Vectors, Covectors, and arrays in eight bits."""
    if type(here).__name__ == "PackedTree":
        assert all(namespace(z) is not np for z in packed(there))
        agree(test_adaptive.unpacked(there), test_adaptive.unpacked(here), 0.1)
    elif isinstance(here, tuple):
        for a, b in zip(there, here, strict=True):
            agree_state(a, b, tolerance)
    else:
        agree(there, here, tolerance)


def packed(tree) -> list:
    """The arrays of a PackedTree."""
    return sum(map(packed, tree.parts), []) if isinstance(tree.parts, tuple) else [tree.parts.codes, tree.parts.scales]


@pytest.mark.parametrize("name", COMPOUNDS)
def test_a_training_step_of_every_compound(name, gpu, rng):
    objective, w = task(name, rng)
    compare(objective, w, SteepestDescent(objective.module.norm, step_size=0.1))
    compare(objective, w, Adam(0.01), tolerance=2e-3)


@pytest.mark.parametrize("name", COMPOUNDS)
def test_a_step_waits_for_the_device_once(name, monkeypatch, rng):
    """To see whether the loss is finite. Tokens are looked at besides, since a GPU reads past the end of a table in silence."""
    monkeypatch.setattr(arrays, "cupy", lambda: strict)
    objective, w = task(name, rng)
    objective, w = move(objective), move(w)
    strict.synchronized.clear()
    list(descend(objective, w, SteepestDescent(objective.module.norm, step_size=0.1), 9))
    assert strict.synchronized["bool"] == 10 and strict.synchronized.total() <= (10 if name != "GPT" else 10 + 2 * 10 + 2)


RULES = {**test_optimizers.RULES, **test_adaptive.RULES, "LARS": LARS(0.1), "AGD": AGD(), "MuP": MuP(SGD(0.1)), "MuP, signs": MuP(Adam(0.1), True),
         "modular": SteepestDescent(Layerwise(RMSOperator(polar=linalg.fast_polar)), sharpness=4.0)}
SECOND = {  # rules that look at the objective
    "Newton": lambda f: Newton(f, lambda values: abs(values) + 0.1), "CubicNewton": lambda f: CubicNewton(f, 10.0),
    "GaussNewton": lambda f: GaussNewton(f, 0.1), "LevenbergMarquardt": LevenbergMarquardt, "ConjugateGradient": ConjugateGradient,
}


def test_every_rule_is_tested():
    inside = lambda rule: {type(rule), *(inside(rule.rule) if hasattr(rule, "rule") else ())}
    tested = set().union(*map(inside, RULES.values()), {getattr(optimizers, name) for name in SECOND})
    rules = {r for r in vars(optimizers).values() if inspect.isclass(r) and issubclass(r, optimizers.Rule)} - {optimizers.Rule}
    assert rules <= tested and len(rules) > 18


@pytest.mark.parametrize("name", RULES)
def test_rules_on_the_device(name, gpu, rng):
    objective, w = test_adaptive.problem(rng, F32)
    compare(objective, w, RULES[name], 3, 1e-3)


@pytest.mark.parametrize("name", SECOND)
def test_second_order_rules_on_the_device(name, gpu, rng):
    objective, w = test_adaptive.problem(rng, F)
    rule = SECOND[name]
    compare(objective, w, rule(objective), 2, 1e-5, rule(move(objective)))


def test_newtons_method_needs_no_function_of_numpy(gpu, rng):
    """The defaults of the rule run on the device too: here it solves a linear least-squares problem in one step."""
    net, x = MLP(2, 3), rng.standard_normal((9, 3))
    w, target = (net.initialize(rng, F) for _ in "wt")
    f = Objective(net, SquareError(), x, net(x, target))
    *_, last = descend(move(f), move(w), Newton(move(f)), 1)
    agree(last.w, target, 1e-5)


def test_every_network_of_an_ensemble_has_its_own_step_size(gpu, rng):
    """Step sizes [K] may lie on the host, as they come out of np.geomspace, or on the device."""
    objective, w = task("MLP", rng)
    stacked, sizes = w.map(lambda W: np.stack([W, W, W])), np.array([0.1, 0.2, 0.4])
    f = Objective(objective.module, objective.loss, objective.x[None], objective.t)
    for there in (sizes, to_device(sizes.astype(F32), "gpu")):
        for norm in (objective.module.norm, Euclidean()):
            compare(f, stacked, SteepestDescent(norm, step_size=sizes), rule_there=SteepestDescent(norm, step_size=there))


def test_a_divergent_run_stops_on_the_device(gpu, rng):
    objective, w = task("MLP", rng)
    with pytest.raises(Diverged, match="smaller step size"):
        list(descend(move(objective), move(w), SGD(1e20), 9))


def test_data_are_checked_on_the_device(gpu, rng):
    net, x = MLP(2, 3), rng.standard_normal((4, 3)).astype(F32)
    for bad, error in ((x[:0], ValueError), (x * np.nan, ValueError), (x.astype(F), TypeError)):
        with pytest.raises(error):
            Objective(net, SquareError(), *move((bad, x[:, :2])))(move(net.initialize(rng)))
    with pytest.raises(ValueError, match="from 0 to 1"):
        Objective(net, CrossEntropy(), *move((x, np.array([0, 1, 2, 0]))))(move(net.initialize(rng)))


def test_curvature_on_the_device(gpu, rng):
    """Sharpness, spectrum, their gradient, the quadratic model, the gap of a majorization and the hunt for a violation: the host's numbers."""
    objective, w = task("MLP", rng, F)
    there, v, dw = move(objective), move(w), Vector(random_like(rng, w.nest()))
    top = lambda f, w: sharpness(f, w, RNG(0), 20)
    agree(top(there, v), top(objective, w), 1e-6)
    values, vectors = spectrum(there, v, RNG(0), 12)
    agree(values, spectrum(objective, w, RNG(0), 12)[0], 1e-6)
    agree(sharpness_gradient(there, v, v.unflatten(vectors[:, -1])), sharpness_gradient(objective, w, w.unflatten(to_numpy(vectors[:, -1]))), 1e-4)
    agree(there.gauss_newton(v)(move(dw)), objective.gauss_newton(w)(dw))
    agree(there.hessian(v, move(dw)), objective.hessian(w, dw), 1e-6)
    agree(quadratic_model(there, v)(move(dw)), quadratic_model(objective, w)(dw), 1e-6)
    norm = objective.module.norm
    agree(majorization_gap(there, v, move(dw), norm, 3.0), majorization_gap(objective, w, dw, norm, 3.0))
    (gap, step), (gap2, step2) = (hunt(f, z, norm, 0.5, RNG(0), (0.1, 1.0), 2, 3) for f, z in ((there, v), (objective, w)))
    agree((gap, step), (gap2, step2), 1e-6)


LINALG = {
    "polar": linalg.polar, "polar of known rank": lambda G: linalg.polar(G[..., :8, :1] @ G[..., :1, :9], rank=2), "svd": lambda G: linalg.svd(G)[1],
    "singular values": linalg.singular_values, "inverse root": lambda G: linalg.inverse_root(G @ G.swapaxes(-1, -2), 4),
    **{f"Newton-Schulz, {n}": lambda G, n=n: linalg.newton_schulz(G, getattr(linalg, n)) for n in ("CUBIC", "QUINTIC", "MUON", "SIX_STEP")},
    "Newton-Schulz, wide": lambda G: linalg.newton_schulz(G[..., :2, :]), "Newton-Schulz, tall": lambda G: linalg.newton_schulz(G[..., :2]),
    "power iteration": linalg.power_iteration,
    "Lanczos": lambda G: linalg.lanczos(lambda v: G[0].T @ (G[0] @ v), G[0, 0], 6)[0],
    "conjugate gradients": lambda G: linalg.conjugate_gradient(lambda v: G[0].T @ (G[0] @ v) + v, G[0, 0]),
}


@pytest.mark.parametrize("name", LINALG)
@pytest.mark.parametrize("dtype", [F, F32], ids=["float64", "float32"])
def test_linear_algebra_on_the_device(name, dtype, gpu, rng):
    G = rng.standard_normal((2, 8, 9)).astype(dtype)
    agree(LINALG[name](to_device(G, "gpu")), LINALG[name](G), 1e-9 if dtype is F else 2e-3)


def test_a_network_that_diverged_does_not_stop_the_others_on_the_device(gpu, rng):
    G = rng.standard_normal((2, 4, 5))
    G[1, 2, 3] = np.nan
    for f in (linalg.polar, linalg.singular_values, Spectral(shape=(4, 5)).project):
        found = to_numpy(f(to_device(G, "gpu")))
        assert np.isfinite(found[0]).all() and np.isnan(found[1]).any()


def test_schedules_and_averages_on_the_device(gpu, rng):
    objective, w = task("MLP", rng)
    path = lambda f, w: [m.w for m in descend(f, w, SGD(0.1), 5, schedule=cosine(5))]
    values, _ = spectrum(*(move(z) for z in task("MLP", RNG(0), F)), RNG(0), 6)
    assert eigencurve(abs(values), 10)(3) == eigencurve(to_numpy(abs(values)), 10)(3)
    for share in (tail(2), exponential(0.9)):
        agree(list(averaged(path(move(objective), move(w)), share)), list(averaged(path(objective, w), share)), 1e-5)


def test_batches_on_the_device(gpu):
    """Drawn on the host, so they are the same; moved, so that data on the device may be indexed by them."""
    here, there = (list(islice(data.batches(10, 3, RNG(0), device), 7)) for device in ("cpu", "gpu"))
    agree(there, here)
    x = to_device(np.arange(10.0), "gpu")
    agree(x[there[0]], np.arange(10.0)[here[0]])


def test_random_weights_are_the_same_on_both(gpu):
    """To the last bit: drawn in float64 on the host, cast, then moved."""
    net = test_modules.CASES["GPT"](RNG(0))[0]
    for dtype in (F, F32):
        agree(net.initialize(RNG(1), dtype).to("gpu"), net.initialize(RNG(1), dtype), 0)
        agree(net.initialize(RNG(1), dtype).to("gpu").to("cpu").map(np.asarray).flatten().sum(), net.initialize(RNG(1), dtype).flatten().sum(), 0)


def test_training_goes_on_from_a_pickle_on_the_device(gpu, rng):
    objective, w = task("MLP", rng)
    objective, w = move(objective), move(w)
    whole = list(descend(objective, w, Adam(0.01), 4))
    moment = pickle.loads(pickle.dumps(whole[2]))
    *_, last = descend(objective, moment.w, Adam(0.01), 2, state=moment.state, start=2)
    same(last.w.nest(), whole[-1].w.nest(), 0)


def test_the_ledger_counts_on_the_host_alone(gpu, rng):
    with pytest.raises(TypeError, match="counts on the host.*to_numpy"):
        Ledger().watch(to_device(np.ones(3), "gpu"))


# Experiments, sweeps and lectures.

SMALL = {  # experiment: a point that takes a moment
    width: dict(method="dualized", width=32, log2_step=0, seed=0, steps=3),
    duality: dict(rule="modular", log2_step=-1, seed=0, steps=3),
    gpt_sweep: dict(optimizer="dualized", width=16, depth=1, log2_step=-2, seed=0, steps=2),
}


@pytest.mark.parametrize("experiment", SMALL, ids=lambda e: e.__name__.rpartition(".")[2])
def test_a_sweep_trains_on_the_device(experiment, gpu, objectives):
    """The same losses as on the host; every network, its batches and its test lie on the device, in single runs and in ensembles."""
    point = SMALL[experiment]
    points = [{**point, "log2_step": point["log2_step"] + k} for k in (-1, 0)]
    here = column(sweep(experiment.run, points, jobs=1, progress=False), "loss")
    objectives.clear()
    there = column(sweep(experiment.run, [p | {"device": "gpu"} for p in points], jobs=1, progress=False), "loss")
    np.testing.assert_allclose(there, here, rtol=1e-4)
    if hasattr(experiment, "run_many"):
        np.testing.assert_allclose([row["loss"] for row in experiment.run_many([p | {"device": "gpu"} for p in points])], here, rtol=1e-3)
    assert set(objectives) == {"gpu"}
    assert {p["device"] for p in experiment.points(device="gpu")} == {"gpu"} and not any("device" in p for p in experiment.points())


@pytest.fixture
def objectives(monkeypatch):
    """{device: the cells (or "") in which an objective was made on it}."""
    found, initialize = {}, Objective.__init__

    def note(self, module, loss, x, t):
        found.setdefault(arrays.device_of(x), set()).add(found.get("cell", ""))
        initialize(self, module, loss, x, t)

    monkeypatch.setattr(Objective, "__init__", note)
    return found


@pytest.mark.parametrize("rule", duality.RULES)
def test_every_rule_of_lecture_12_takes_the_same_first_step(rule, gpu):
    (g, step), (here, there) = duality.first_step(rule, 0, "gpu"), duality.first_step(rule, 0)
    agree((g, step), (here, there), 1e-4)
    found, cosine = duality.direction(rule, 0, "gpu")
    assert found == duality.direction(rule, 0)[0] and 0 < cosine <= 1.0001


@pytest.mark.parametrize("method", ["SGD", "LARS", "spectral", "dualized"])
def test_the_coordinate_check_runs_on_the_device(method, gpu):
    np.testing.assert_allclose(width.layer_changes(method, 32, 0, device="gpu"), width.layer_changes(method, 32, 0), rtol=1e-3)


def test_a_gpt_trains_validates_and_writes_on_the_device(gpu, objectives):
    """The same losses and the same letters as on the host; every network and every batch lie on the device."""
    tokens = RNG(0).integers(0, 11, 2000)
    settings = gpt.Settings(width=16, depth=1, heads=2, context=8, batch=4, steps=3)
    net, found = gpt.network(settings, 11), {}
    for device in ("cpu", "gpu"):
        objectives.clear()
        steps = [step for step, _ in gpt.train(settings, tokens, net, device=device)]
        w = steps[-1].w
        found[device] = [float(s.loss) for s in steps], gpt.validation_loss(net, w, tokens, 8), gpt.sample(net, w, tokens[:8], 20, 0.0, RNG(1), 8)
        assert w.device == device and set(objectives) == {device}
    for a, b in zip(found["gpu"], found["cpu"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4)


LECTURES = {  # name: (what is shortened, the cells that stay on the host: memory and operations are counted there, and a clock compares both)
    "10-spectral-width": ({}, set()),
    "12-duality": ({}, set()),
    "13-scale": ({"steps=1500": "steps=120"}, {"13-063", "13-066", "13-069", "13-080", "13-104"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LECTURES)
def test_a_lecture_runs_on_the_device(name, gpu, objectives, monkeypatch, capsys):
    """With usable("gpu") in the setup every network of lectures 10, 12 and 13 is there, and the claims hold as they do on the host."""
    shorter, host = LECTURES[name]
    monkeypatch.setattr(sweeps, "sweep", partial(sweeps.sweep, jobs=1, progress=False))  # other processes have no stand-in
    notebook = json.loads((PACKAGE.parents[1] / "lectures" / f"{name}.ipynb").read_text())
    cells = {c["id"]: re.sub(r"^(\s*)%pip.*$", r"\1pass", "".join(c["source"]), flags=re.M) for c in notebook["cells"] if c["cell_type"] == "code"}
    for old, new in {'usable("cpu")': 'usable("gpu")', **shorter}.items():
        assert sum(old in source for source in cells.values()) == 1
        cells = {cell: source.replace(old, new) for cell, source in cells.items()}
    names = {}
    for cell, source in cells.items():
        objectives["cell"] = cell
        exec(compile(source, cell, "exec"), names)
        names["claim"] = lambda statement, *rest: None if shorter or statement.startswith("seconds") else claim(statement, *rest)
    assert names["device"] == "gpu" and objectives.get("cpu", set()) == host and len(objectives["gpu"]) > 3
    assert "runs on NumPy" not in capsys.readouterr().out


# Where there is no GPU.


def test_what_is_missing_is_said_in_one_line(monkeypatch, capsys):
    """No CuPy, or CuPy without a GPU: different words, one line each, and the run goes on with NumPy. A strange device is an error."""
    lines = []
    for module in (None, type("cupy", (), {"is_available": staticmethod(lambda: False)})):
        monkeypatch.setitem(__import__("sys").modules, "cupy", module)
        assert usable("gpu") == "cpu"
        lines.append(capsys.readouterr().out)
        with pytest.raises(RuntimeError, match='device "gpu"'):
            to_device(np.ones(3), "gpu")
    assert all(line.count("\n") == 1 and "NumPy" in line for line in lines)
    assert "not installed" in lines[0] and "no usable NVIDIA GPU" in lines[1]
    monkeypatch.setitem(__import__("sys").modules, "cupy", type("cupy", (), {"is_available": staticmethod(lambda: True), "asarray": None}))
    assert usable("gpu") == "gpu" and usable("cpu") == "cpu" and capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="expected"):
        usable("tpu")


# The source: what it takes from CuPy is there, and what it takes from NumPy has a reason.

CORE = ["arrays", "vectors", "linalg", "norms", "modules", "atoms", "bonds", "losses", "compounds", "objective", "curvature", "train",
        *(f"optimizers/{p.stem}" for p in sorted((PACKAGE / "optimizers").glob("*.py")))]
MORE = ["schedules", "data", "ledger", *(f"examples/{p.stem}" for p in sorted((PACKAGE / "examples").glob("*.py")))]
METHODS = {name for name in vars(np.ndarray) if not name.startswith("_")} - {"dumps"}  # which is json's
DTYPES = {"float16", "float32", "float64", "complex64", "uint8", "result_type"}
ANYWHERE = DTYPES | {"ndarray", "inf", "nan", "ndindex", "random.Generator", "random.default_rng"}
"""What device code may take from NumPy: dtypes, annotations, constants, loops over shapes and the host's random numbers."""
HOST = {  # and the functions that work on the host on purpose: numbers before they are moved, numbers of Python, tables made once
    "arrays.to_numpy": "asarray",
    "linalg.lanczos": "diag",
    "norms.Weighted.__init__": "asarray allclose linalg.eigvalsh linalg.inv",
    "norms.Polygon.__init__": "asarray linalg.matrix_rank concatenate stack triu_indices linalg.det abs linalg.solve ones",
    "atoms.orthogonal": "linalg.qr sign diagonal",
    "atoms.Embed.initialize": "sqrt",
    "bonds.RoPE.turns": "arange exp",
    "optimizers/descent.AGD.__call__": "log sqrt",
    "optimizers/descent.HeavyBall.matrix": "array",
    "optimizers/descent.Nesterov.matrix": "array",
    "optimizers/wrappers.codebook": "linspace sort array",
    "optimizers/wrappers.Skipping.__call__": "isfinite",
}


def chain(node) -> tuple[ast.AST, str]:
    """The root and the dotted name of xp.linalg.svd."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return node, ".".join(reversed(names))


def outermost(tree) -> list[tuple[ast.Attribute, ast.Call | None, str]]:
    """Every dotted name, whole, with the call that it heads (if any) and the function that it stands in."""
    found = []

    def walk(node, place, call=None, inner=False):
        if isinstance(node, ast.Attribute) and not inner:
            found.append((node, call, place))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            place = f"{place}.{node.name}"
        for child in ast.iter_child_nodes(node):
            head = isinstance(node, ast.Call) and child is node.func
            walk(child, place, node if head else None, isinstance(node, ast.Attribute) and isinstance(child, ast.Attribute))

    walk(tree, "")
    return found


def is_namespace(root) -> bool:
    """xp, or namespace(...)."""
    return ast.unparse(root) == "xp" or isinstance(root, ast.Call) and ast.unparse(root.func) == "namespace"


def against_cupy(source: str) -> list[str]:
    """What a source asks of the array library, or of its arrays, that CuPy has not."""
    tree, names = ast.parse(source), strict._signatures()
    found = hidden(tree)
    for node, call, _ in outermost(tree):
        root, path = chain(node)
        if is_namespace(root) and path != "__name__":
            found += [f"cupy has no {path}"] if path not in names else misfits(path, names[path], call) if call else []
        elif call and not (isinstance(root, ast.Name) and root.id == "np") and (method := path.rpartition(".")[2]) in METHODS:
            signature = names.get(f"ndarray.{method}")
            unknown = {k.arg for k in call.keywords} - set(signature.parameters if signature else ())
            found += [f"cupy.ndarray has no {method}"] if signature is None else [f"cupy.ndarray.{method} takes no {name}" for name in unknown]
    return found


def hidden(tree: ast.AST) -> list[str]:
    """Where the array library gets another name than xp, or a function of it a name that is not spelled out, so that the walk would lose it."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            parts = lambda x: x.elts if isinstance(x, ast.Tuple) else [x]
            pairs = [pair for target in node.targets for pair in zip(parts(target), parts(node.value), strict=False)]
            found += [f"call it xp, not {ast.unparse(name)}" for name, value in pairs if is_namespace(value) and ast.unparse(name) != "xp"]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "attrgetter", "operator.attrgetter", "vars"):
            found += [f"spell out {ast.unparse(node)}" for argument in node.args if is_namespace(argument)]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("numpy", "scipy", "cupy"):
            found.append(f"from {node.module} import ... hides where a function comes from")
        elif isinstance(node, ast.Import):
            found += [f"call it np: {a.name}" for a in node.names if a.name.partition(".")[0] == "numpy" and (a.name, a.asname) != ("numpy", "np")]
    return found


def misfits(path: str, signature: inspect.Signature | None, call: ast.Call) -> list[str]:
    """The arguments of a call that CuPy's function does not take."""
    if signature is None or any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords):
        return []
    try:
        signature.bind(*call.args, **{k.arg: k.value for k in call.keywords})
    except TypeError as error:
        return [f"cupy.{path}{strict.plain(signature)} {error}"]
    return []


def of_numpy(source: str, module: str) -> set[tuple[str, str]]:
    """(place, name) of everything that a source takes from NumPy and that device code may not."""
    found = set()
    for node, _, place in outermost(ast.parse(source)):
        root, path = chain(node)
        if isinstance(root, ast.Name) and root.id == "np":
            name = next((a for a in ANYWHERE if path == a or path.startswith(f"{a}.")), None)
            if name is None:
                found.add((f"{module}{place}", path))
    return found


@pytest.mark.parametrize("module", CORE + MORE)
def test_what_the_source_asks_of_cupy_is_there(module):
    assert against_cupy((PACKAGE / f"{module}.py").read_text()) == []


def test_numpy_is_used_on_the_host_alone():
    """And every exception is in use: one that is not needed any more must go."""
    used = set().union(*(of_numpy((PACKAGE / f"{module}.py").read_text(), module) for module in CORE))
    assert used == {(place, name) for place, names in HOST.items() for name in names.split()}


@pytest.mark.parametrize("line", [
    "xp.insert(x, 0, 1)", "xp.linalg.vector_norm(x)", "namespace(x).unstack(x)", "namespace(a.b(c)[0]).geomspace(1, 2, 3)", "xp.errstate(all=1)",
    "xp.sum(x, where=x > 0)", "xp.max(x, initial=0)", "xp.clip(x, min=0)", "xp.linalg.svd(x, hermitian=True)", "xp.maximum.reduce(x)",
    "xp.exp(x, where=x > 0)", "xp.random.default_rng(0)", "x.sum(where=x > 0)", "f(x).max(-1, initial=0)", "x[0].mean(where=x)", "x.byteswap()",
    "xp.subtract.reduce(x)", "xp.multiply.at(x, 0, 1)", "xp.sqrt()", "xp.tanh(x, x, x, x)", "xp.lib.stride_tricks.nothing(x)",
    "x.a.T.sum(initial=0)", "getattr(xp, name)(x)", "getattr(namespace(x), 'insert')(x)"])
def test_the_walk_finds_what_cupy_lacks(line):
    assert against_cupy(f"def f(x):\n    if x:\n        return [{line}]\n")


@pytest.mark.parametrize("line", ["lib = namespace(x)", "n, lib = 3, namespace(x)", "lib = xp", "xp = lib = namespace(x)", "from numpy import exp",
                                  "from numpy.linalg import svd", "import numpy", "import numpy.linalg as la"])
def test_the_walk_loses_no_name(line):
    assert against_cupy(line) and not against_cupy("xp, n = namespace(x), 3\nimport numpy as np")


@pytest.mark.parametrize("line", ["np.exp(x)", "np.float64(2) * np.sqrt(2)", "np.linalg.svd(x)", "np.einsum('ij->i', x)", "np.add.at(x, i, y)",
                                  "np.asarray(x)", "np.pi * x", "(lambda: np.tanh(x))()"])
def test_the_walk_finds_numpy_in_device_code(line):
    assert len(of_numpy(f"class A:\n    def f(x):\n        return {line}\n", "bonds")) == 1


def test_the_walk_lets_pass_what_is_right():
    """NumPy's dtypes and random numbers, CuPy's functions with its own keywords, Python's methods of the same names."""
    right = "xp.sum(x, axis=0, keepdims=True) + x.sum(axis=-1) * xp.finfo(x.dtype).eps + np.float32(2) + rng.normal(loc=0) + xp.linalg.eigh(x)[0]"
    assert not against_cupy(right) and not of_numpy(right, "bonds")
