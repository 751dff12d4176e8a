"""One clear error for every kind of bad input: of the right type, in words that name what came and what was expected."""
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf, nan
from socket import create_server

import numpy as np
import pytest

from metrized import data
from metrized.arrays import to_device
from metrized.atoms import Conv2D, Embed, Linear
from metrized.bonds import Add, Attend, AveragePool, CausalMask, Flatten, GeLU, MergeHeads, RMSNorm, RoPE, Scores, Softmax, SplitHeads, Tanh
from metrized.compounds import GPT, MLP, Attention, ConvNet, residual
from metrized.losses import CrossEntropy, SquareError
from metrized.modules import NO_WEIGHTS, Multiply
from metrized.norms import Euclidean, Induced, Layerwise, Lp, Max, Polygon, RMSOperator, Scaled, Spectral, TopK, Weighted
from metrized.objective import Objective
from metrized.optimizers import LARS, Adam, CubicNewton, HeavyBall, NormalizedDescent, SteepestDescent
from metrized.schedules import linear
from metrized.train import descend
from metrized.vectors import Covector, Vector

SEED, F = np.random.default_rng(0), np.float64
ones = np.ones
NET = MLP(3, 5, 4)
w, w32 = NET.initialize(SEED, F), NET.initialize(SEED)
W, g = Vector(ones((3, 4))), Covector(ones((3, 4)))
K3 = w.map(lambda a: np.stack([a] * 3))  # an ensemble of three networks
X, T, LABELS = ones((5, 4)), ones((5, 3)), np.array([0, 1, 2, 0, 1])


def objective(x=X, t=T, loss=None, module=NET):
    return Objective(module, loss or SquareError(), x, t)


def on(module, x, weights=NO_WEIGHTS):
    return lambda: module(x, weights)


def built(make, x):
    """A module with bad arguments may say so when it is made, when it makes its weights, or when it meets x."""
    def act():
        module = make()
        module(x, module.initialize(SEED, F))
    return act


def with_entry(x, value):
    x = x.copy()
    x.flat[3] = value
    return x


E = (TypeError, ValueError)
CASES = {  # name: (what somebody does, the type of the error, its important words)
    # Shapes.
    "modules that do not fit": (on(Linear(3, 5) @ Linear(4, 6), ones((2, 6)), Vector((ones((3, 5)), ones((4, 6))))), ValueError,
                                r"Linear\(3, 5\) expects x of shape \[..., 5\], got \[2, 4\]"),
    "input that does not fit": (on(Linear(3, 5), ones((2, 4)), Vector(ones((3, 5)))), ValueError, r"Linear\(3, 5\).*\[..., 5\], got \[2, 4\]"),
    "a list as input": (on(Linear(3, 4), [[1.0] * 4], W), E, r"Linear\(3, 4\).*got list"),
    "pictures without width": (on(Conv2D(3, 2), ones((4, 2)), Vector(ones((3, 3, 3, 2)))), ValueError, r"Conv2D.*height, width, 2\], got \[4, 2\]"),
    "weights of another shape": (on(Linear(3, 5), ones((2, 5)), Vector(ones((5, 3)))), ValueError, r"Linear.*weights \[3, 5\].*got \[5, 3\]"),
    "weights of another nest": (on(NET, X, W), ValueError, r"needs weights for 2 parts, got \[3, 4\]"),
    "a nest as one atom's weights": (on(Linear(3, 4), X, Vector((W, W))), ValueError, r"needs weights \[3, 4\].*got \(\[3, 4\], \[3, 4\]\)"),
    "Add of one array": (on(Add(), X), ValueError, r"Add needs a tuple.*got \[5, 4\]"),
    "Add of two shapes": (on(Add(), (ones(3), ones(4))), ValueError, r"Add needs a tuple of arrays of one shape, got \(\[3\], \[4\]\)"),
    "Scores of two widths": (on(Scores(), (ones((5, 4)), ones((5, 3)))), ValueError, r"Scores.*\(\[5, 4\], \[5, 3\]\)"),
    "Scores of two batches": (on(Scores(), (ones((2, 5, 4)), ones((3, 5, 4)))), ValueError, r"Scores.*\(\[2, 5, 4\], \[3, 5, 4\]\)"),
    "Attend to other places": (on(Attend(), (ones((5, 5)), ones((4, 3)))), ValueError, r"Attend.*\(\[5, 5\], \[4, 3\]\)"),
    "Attend to one vector": (on(Attend(), (ones((5, 5)), ones(5))), ValueError, r"Attend.*\(\[5, 5\], \[5\]\)"),
    "CausalMask of no square": (on(CausalMask(), ones((4, 5))), ValueError, r"CausalMask.*\[..., T, T\], got \[4, 5\]"),
    "heads that do not divide": (on(SplitHeads(3), ones((5, 4))), ValueError, r"SplitHeads\(3\).*multiple of 3\], got \[5, 4\]"),
    "MergeHeads without heads": (on(MergeHeads(), ones(4)), ValueError, r"MergeHeads.*got \[4\]"),
    "RoPE of odd width": (on(RoPE(), ones((5, 3))), ValueError, r"RoPE.*even.*got \[5, 3\]"),
    "Flatten of too few axes": (on(Flatten(3), ones((5, 3))), ValueError, r"Flatten.*got \[5, 3\]"),
    "AveragePool of a vector": (on(AveragePool(2), ones(4)), ValueError, r"AveragePool.*got \[4\]"),
    "AveragePool of one pixel": (on(AveragePool(2), ones((1, 1, 3))), ValueError, r"AveragePool.*2 x 2 pixels, got \[1, 1, 3\]"),
    **{f"{bond} of a tuple": (on(bond, (ones((2, 4)), ones((2, 4)))), E, rf"{type(bond).__name__}.*\(\[2, 4\], \[2, 4\]\)")
       for bond in (Tanh(), GeLU(), Softmax(), RMSNorm(), Flatten(2), SplitHeads(2), RoPE())},
    "a 1-D array to a matrix norm": (lambda: Spectral()(ones(4)), ValueError, r"Spectral.*matrix \[m, n\] or an ensemble.*, got shape \[4\]"),
    "a kernel to a matrix norm": (lambda: RMSOperator()(ones((3, 3, 4, 2))), ValueError, r"RMSOperator.*matrix .*, got shape \[3, 3, 4, 2\]"),
    "another matrix than stated": (lambda: Spectral(shape=(3, 4))(ones((4, 3))), ValueError, r"\[3, 4\], got shape \[4, 3\]"),
    "a matrix norm of a nest": (lambda: Spectral()(w), TypeError, "nest of arrays; pick one"),
    "a modular norm of another nest": (lambda: NET.norm(W), ValueError, r"nest of 2 parts, got \[3, 4\]"),
    "a weighted norm of another length": (lambda: Weighted([1.0, 2.0])(ones(3)), ValueError, "weights for 2 numbers, got 3"),
    "Vectors that nest differently": (lambda: w + W, ValueError, "nest differently"),
    "Vectors of two shapes": (lambda: W + Vector(ones((4, 3))), ValueError, r"\[3, 4\] and \[4, 3\]"),
    "a pairing of two shapes": (lambda: g @ Vector(ones((4, 3))), ValueError, r"\[3, 4\] and \[4, 3\]"),
    "unflatten of another length": (lambda: W.unflatten(ones(11)), ValueError, r"\[12\], got \[11\]"),
    # Types.
    "w - 0.1 * g": (lambda: W - 0.1 * g, TypeError, "Vector - Covector does not type check.*norm.*module.dualize"),
    "g + w": (lambda: g + W, TypeError, r"Covector \+ Vector does not type check"),
    "norm(g)": (lambda: Spectral()(g), TypeError, "met a Covector where a Vector belongs"),
    "a modular norm of g": (lambda: NET.norm(Covector(w.nest())), TypeError, "met a Covector where a Vector belongs"),
    "norm.project(g)": (lambda: Max().project(g), TypeError, "met a Covector where a Vector belongs"),
    **{f"norm.{name}(v)": (lambda name=name: getattr(Euclidean(), name)(W), TypeError, "met a Vector where a Covector belongs")
       for name in ("dual", "dualize", "sharp")},
    "a step from a Vector": (lambda: SteepestDescent(Max(), 1.0)(W), TypeError, "met a Vector where a Covector belongs"),
    "a normalized step from a Vector": (lambda: NormalizedDescent(Max(), 1.0)(W), TypeError, "Vector where a Covector belongs"),
    "momentum from a Vector": (lambda: HeavyBall(SteepestDescent(Max(), 1.0))(W, HeavyBall(SteepestDescent(Max(), 1.0)).start(W)), TypeError,
                               "Covector.*Vector"),
    "Vector(g)": (lambda: Vector(g), TypeError, "Vector cannot be made of a Covector"),
    "Vector((g, g))": (lambda: Vector((g, g)), TypeError, "Vector cannot be made of a Covector"),
    "Vector(number)": (lambda: Vector(2.0), TypeError, "array.*got float"),
    "Vector @ Vector": (lambda: W @ W, TypeError, "pairing is Covector @ Vector.*norm"),
    "Covector @ Covector": (lambda: g @ g, TypeError, "pairing is Covector @ Vector, got Covector @ Covector"),
    "w == w": (lambda: W == W, TypeError, "Vectors with == is ambiguous"),
    "w != w": (lambda: W != W, TypeError, "ambiguous"),
    "a set of Vectors": (lambda: {W}, TypeError, "unhashable"),
    "np.exp(w)": (lambda: np.exp(W), TypeError, "Vector.*ufunc"),
    "the array of a nest": (lambda: w.array, TypeError, "nest of arrays; pick one"),
    "a part of an array": (lambda: W[0], TypeError, "one array.*\\.array"),
    "a raw array as weights": (on(Linear(3, 4), X, ones((3, 4))), TypeError, r"Linear\(3, 4\) must be a Vector, got ndarray"),
    "a raw tuple as weights": (on(NET, X, w.nest()), TypeError, "must be a Vector, got tuple"),
    "a gradient as weights": (on(NET, X, Covector(w.nest())), TypeError, "must be a Vector, got Covector"),
    "a gradient as direction": (lambda: objective().gauss_newton(w)(Covector(w.nest())), TypeError, "must be a Vector, got Covector"),
    "a raw array to a modular norm": (lambda: NET.norm(ones((3, 4))), TypeError, "nest of 2 parts; wrap"),
    "a raw array to Layerwise": (lambda: Layerwise(Spectral())(ones((3, 4))), TypeError, "Layerwise.*wrap"),
    "integer weights": (on(Linear(3, 4), X, Vector(ones((3, 4), int))), ValueError, "floating-point numbers, got int64"),
    "the norm of integers": (lambda: Max()(np.arange(3)), ValueError, "floating-point numbers, got int64"),
    "float32 weights, float64 data": (lambda: objective()(w32), TypeError, "x of float64 and weights of float32.*cast"),
    "float64 weights, float32 data": (lambda: objective(X.astype(np.float32))(w), TypeError, "x of float32 and weights of float64.*cast"),
    "integer pictures": (lambda: objective(X.astype(np.uint8))(w), TypeError, "x of uint8 and weights of float64"),
    "float32 targets": (lambda: objective(X, T.astype(np.float32))(w), TypeError, "outputs of float64 and targets of float32.*cast"),
    "Hessian product in float32": (lambda: objective(X.astype(np.float32), T.astype(np.float32)).hessian(w32, w32), TypeError, "float64"),
    "Hessian product with a raw array": (lambda: objective(module=Linear(3, 4)).hessian(W, ones((3, 4))), TypeError, "Vector"),
    "float symbols": (on(Embed(3, 7), ones((2, 3)), Vector(ones((7, 3)))), TypeError, r"Embed\(3, 7\) expects an array of integers, got float64"),
    "a list of symbols": (on(Embed(3, 7), [1, 2], Vector(ones((7, 3)))), TypeError, "array of integers, got list"),
    "a symbol too large": (on(Embed(3, 7), np.array([0, 7]), Vector(ones((7, 3)))), ValueError, "integers from 0 to 6, got 0 to 7"),
    "a negative symbol": (on(Embed(3, 7), np.array([-1, 2]), Vector(ones((7, 3)))), ValueError, "integers from 0 to 6, got -1 to 2"),
    # The algebra.
    "a function as a module": (lambda: Linear(3, 4) @ np.tanh, TypeError, "expected a module.*got ufunc"),
    "a number added to a module": (lambda: Linear(3, 4) + 1, TypeError, "expected a module.*got int"),
    **{f"{c} * module": (lambda c=c: c * Linear(3, 4), TypeError, f"finite number, got {c}") for c in (nan, inf, -inf)},
    "Multiply(nan)": (lambda: Multiply(nan), TypeError, "finite number, got nan"),
    "module * module": (lambda: Linear(3, 4) * Linear(3, 4), TypeError, r"finite number, got Linear\(3, 4\)"),
    "module ** -1": (lambda: Linear(3, 3) ** -1, ValueError, "whole number n, at least 0; got n -1"),
    "module ** 0.5": (lambda: Linear(3, 3) ** 0.5, ValueError, "whole number n, at least 0; got n 0.5"),
    "mass of a bond": (lambda: Tanh().tare(2.0), ValueError, "mass 0.*cannot be tared to 2"),
    **{f"mass {m}": (lambda m=m: Linear(3, 3).tare(m), ValueError, f"cannot be tared to {m}") for m in (-1.0, nan, inf)},
    # Networks.
    "MLP without fan_in": (lambda: MLP(3), ValueError, "MLP needs at least a fan_out and a fan_in"),
    "MLP with a bond that is a function": (lambda: MLP(3, 5, 4, bond=np.tanh), TypeError, "expected a module"),
    **{f"Linear{shape}": (built(lambda shape=shape: Linear(*shape), ones((2, 3))), E, "Linear.*(positive|at least 1|>= 1)")
       for shape in ((0, 3), (3, 0), (-1, 3), (2.5, 3))},
    "MLP of width 0": (built(lambda: MLP(3, 0, 4), X), E, "Linear.*(positive|at least 1|>= 1)"),
    "Conv2D of kernel 0": (built(lambda: Conv2D(3, 2, 0), ones((4, 4, 2))), E, "Conv2D.*(positive|at least 1|>= 1)"),
    "AveragePool(0)": (built(lambda: AveragePool(0), ones((4, 4, 2))), E, "AveragePool"),
    "SplitHeads(0)": (built(lambda: SplitHeads(0), ones((4, 2))), E, "SplitHeads|heads"),
    "ConvNet on pictures too small": (built(lambda: ConvNet(3, (4, 4), 3), ones((1, 3, 3, 1))), ValueError, "pixels"),
    "ConvNet without channels": (built(lambda: ConvNet(3, (), 8), ones((1, 8, 8, 1))), ValueError, "ConvNet.*channels"),
    "residual of depth 0": (lambda: residual(Linear(3, 3), 0), ValueError, "depth >= 1, got 0"),
    "Attention whose heads do not divide": (built(lambda: Attention(10, heads=4), ones((5, 10))), ValueError, "10.*4 heads|4 heads.*10"),
    "GPT whose heads do not divide": (built(lambda: GPT(11, 12, heads=5, blocks=1), np.zeros((2, 3), int)), ValueError, "12.*5 heads|5 heads.*12"),
    "GPT with odd heads": (built(lambda: GPT(11, 6, heads=2, blocks=1), np.zeros((2, 3), int)), ValueError, "even number"),
    "GPT without heads": (built(lambda: GPT(11, 8, heads=0, blocks=1), np.zeros((2, 3), int)), ValueError, "heads"),
    "GPT with more heads than width": (built(lambda: GPT(11, 4, heads=8, blocks=1), np.zeros((2, 3), int)), ValueError, "heads"),
    "GPT without blocks": (built(lambda: GPT(11, 8, heads=2, blocks=0), np.zeros((2, 3), int)), ValueError, "blocks.*0|0 blocks"),
    "GPT of negative mass": (lambda: GPT(11, 8, heads=2, blocks=1, mass=-1.0), ValueError, "-1"),
    "GPT read beyond its vocabulary": (built(lambda: GPT(11, 8, heads=2, blocks=1), np.full((2, 3), 11)), ValueError, r"Embed.*from 0 to 10"),
    # Data.
    "an empty batch": (lambda: objective(ones((0, 4)), ones((0, 3))), ValueError, r"x is empty, shape \[0, 4\].*at least one sample"),
    "no targets": (lambda: objective(t=ones((0, 3))), ValueError, "t is empty"),
    "a list as data": (lambda: objective([[1.0]], T), TypeError, "x must be an array, got list"),
    **{f"{bad} in {name}": (lambda bad=bad, name=name, z=z: objective(**{name: with_entry(z, bad)}), ValueError, f"{name} holds NaN or infinite")
       for bad in (nan, inf, -inf) for name, z in (("x", X), ("t", T))},
    "another number of targets": (lambda: objective(t=ones((4, 3)))(w), ValueError, r"\[5, 3\] and targets \[4, 3\]"),
    "another number of labels": (lambda: objective(t=LABELS[:4], loss=CrossEntropy())(w), ValueError, r"\[5, 3\] and targets \[4\]"),
    "targets of one sample for five": (lambda: objective(t=ones(3))(w), ValueError, r"\[5, \d\].*\[3\]"),
    "label too large": (lambda: objective(t=LABELS + 1, loss=CrossEntropy())(w), ValueError, "from 0 to 2.*got 1 to 3"),
    "negative label": (lambda: objective(t=LABELS - 1, loss=CrossEntropy())(w), ValueError, "from 0 to 2.*got -1 to 1"),
    "float labels": (lambda: objective(t=LABELS * 1.0, loss=CrossEntropy())(w), TypeError, "integer targets, got float64"),
    "the gradient at a negative label": (lambda: objective(t=LABELS - 1, loss=CrossEntropy()).gradient(w), ValueError, "from 0 to 2.*got -1 to 1"),
    "curvature at a negative label": (lambda: objective(t=LABELS - 1, loss=CrossEntropy()).gauss_newton(w), ValueError, "from 0 to 2.*got -1 to 1"),
    "a loss by itself, label too large": (lambda: CrossEntropy()(ones((2, 3)), np.array([0, 3])), ValueError, "from 0 to 2.*got 0 to 3"),
    "a loss by itself, another shape": (lambda: SquareError()(ones((2, 3)), ones((2, 1))), ValueError, r"\[2, 3\] and targets \[2, 1\]"),
    "one_hot of a label too large": (lambda: data.one_hot(np.array([3, 10])), ValueError, "10"),
    "one_hot of a negative label": (lambda: data.one_hot(np.array([-1, 3])), ValueError, "-1"),
    "unknown data set": (lambda: data.load("fashon"), ValueError, "'fashon'; there are fashion, austen, diabetes, mnist, cifar10, shakespeare"),
    **{f"batch size {size}": (lambda size=size: data.batches(10, size, SEED), ValueError, f"1 to 10 of the 10 samples, got size {size}")
       for size in (0, -1, 11)},
    "batches of no data": (lambda: data.batches(0, 1, SEED), ValueError, "got size 1"),
    "a batch size that is no integer": (lambda: next(data.batches(10, 2.5, SEED)), E, "size 2.5"),
    # Ensembles.
    "an ensemble without its axis": (on(NET, X, K3), ValueError, r"ensemble of 3 networks.*leading axis 3, or 1.*x\[None\].*got \[5, 4\]"),
    "an ensemble of another size": (on(NET, ones((2, 5, 4)), K3), ValueError, r"ensemble of 3 networks.*got \[2, 5, 4\]"),
    "an ensemble that reads one sample": (on(NET, ones(4), K3), ValueError, r"ensemble of 3 networks.*got \[4\]"),
    "an ensemble that reads symbols": (on(Embed(3, 7), np.zeros((2, 5), int), Vector(ones((3, 7, 3)))), ValueError, "ensemble of 3 networks"),
    "an ensemble on as many samples, without its axis": (lambda: objective(X[:3], T[:3])(K3), ValueError, "ensemble"),
    "two ensemble axes": (on(Linear(3, 4), X, Vector(ones((2, 2, 3, 4)))), ValueError, r"needs weights \[3, 4\], or \[K, ...\].*got \[2, 2, 3, 4\]"),
    "a factor for each of too few networks": (lambda: K3 * ones(2), TypeError, r"\[3, 3, 5\].*\[K\].*got \[2\]"),
    # Norms and rules.
    "Lp(1)": (lambda: Lp(1), ValueError, r"1 < p < inf, got p = 1; use Manhattan\(\)"),
    "Lp(0.5)": (lambda: Lp(0.5), ValueError, "triangle"),
    "TopK(0)": (lambda: TopK(0), ValueError, "k, at least 1; got k 0"),
    "Scaled(-1)": (lambda: Scaled(-1, Max()), ValueError, "factor >= 0, got -1"),
    "Scaled(nan)": (lambda: Scaled(nan, Max()), ValueError, "factor >= 0, got nan"),
    "negative weights": (lambda: Weighted([1.0, -1.0]), ValueError, "positive weights"),
    "an indefinite metric": (lambda: Weighted([[1.0, 2.0], [2.0, 1.0]]), ValueError, "positive definite"),
    "a metric of three axes": (lambda: Weighted(ones((2, 2, 2))), ValueError, r"\[d\] or a matrix.*got shape \[2, 2, 2\]"),
    "a flat polygon": (lambda: Polygon([(1.0, 1.0), (2.0, 2.0)]), ValueError, "span the plane"),
    "an NP-hard norm": (lambda: Induced(inf, 1), ValueError, "from l_inf to l_1 has no closed form"),
    **{f"{name} {value}": (lambda name=name, value=value: SteepestDescent(Max(), **{name: value}), ValueError, f"{name} must be positive.*{value}")
       for name in ("sharpness", "step_size") for value in (0, -1.0, nan)},
    "one step size of an ensemble is zero": (lambda: SteepestDescent(Max(), step_size=np.array([1.0, 0.0])), ValueError, "must be positive"),
    "an infinite step size": (lambda: SteepestDescent(Max(), step_size=inf), ValueError, "step_size.*inf"),
    "both sharpness and step_size": (lambda: SteepestDescent(Max(), 1.0, 1.0), ValueError, "sharpness or a step_size.*not both"),
    "neither": (lambda: SteepestDescent(Max()), ValueError, "sharpness or a step_size"),
    "a number as norm": (lambda: SteepestDescent(0.1, step_size=0.1)(g), E, "norm"),
    "a number as norm of NormalizedDescent": (lambda: NormalizedDescent(0.1, 0.1), TypeError, "norm must be a Norm.*0.1"),
    "LARS of size 0": (lambda: LARS(0.0), ValueError, "step_size must be positive"),
    "CubicNewton of M 0": (lambda: CubicNewton(None, 0.0), ValueError, "M must be positive"),
    "NormalizedDescent of size 0": (lambda: NormalizedDescent(Max(), 0.0), ValueError, "step_size must be positive"),
    "Adam of size 0": (lambda: Adam(0.0), ValueError, "step_size must be positive"),
    **{f"Adam {name} {beta}": (lambda name=name, beta=beta: Adam(0.1, **{name: beta}), ValueError, rf"{name} must be in \[0, 1\), got {beta}")
       for name in ("beta1", "beta2") for beta in (1.0, -0.1, nan)},
    **{f"momentum {beta}": (lambda beta=beta: HeavyBall(Adam(0.1), beta), ValueError, rf"beta must be in \[0, 1\), got {beta}")
       for beta in (1, -0.1, nan)},
    "a schedule of no steps": (lambda: linear(0), ValueError, "linear needs a whole number steps, at least 1; got steps 0"),
    "a run of -1 steps": (lambda: list(descend(objective(), w, Adam(0.1), -1)), ValueError, "steps.*-1"),
    "a run of 1.5 steps": (lambda: list(descend(objective(), w, Adam(0.1), 1.5)), E, "steps.*1.5"),
    "a run from a gradient": (lambda: list(descend(objective(), Covector(w.nest()), Adam(0.1), 1)), TypeError, "must be a Vector, got Covector"),
    # Devices.
    "unknown device": (lambda: to_device(X, "tpu"), ValueError, "device is 'tpu'; expected \"cpu\" or \"gpu\""),
}


@pytest.mark.parametrize("name", CASES)
def test_one_clear_error(name):
    """The stated type, and the words that matter; the sentence ends, and is no screenful."""
    act, kind, words = CASES[name]
    with pytest.raises(kind, match=words) as caught:
        act()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("module", [np.float32(0.5) * Linear(3, 4), 0.5 * Linear(3, 4)], ids=["float32", "float"])
def test_numbers_from_the_left(module):
    """What is refused above must not catch what is right: a factor may come from NumPy."""
    assert module.sensitivity == 0.5


@pytest.mark.parametrize("act", [lambda: (Linear(3, 4) * np.float32(0.5)).sensitivity, lambda: (0.5 * (Linear(3, 3) ** np.int64(2))).sensitivity],
                         ids=["module * float32", "module ** int64"])
def test_numbers_of_numpy_are_numbers(act):
    """Factors and powers may come out of np.linspace and np.arange."""
    assert act() == 0.5


# Downloads, from a server on this machine.

TEXT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 100


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METRIZED_CACHE", str(tmp_path / "cache"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def server(cache, monkeypatch):
    """Serves `server.answers`, one a request as (status, announced length, body), and stands in data.REMOTE for shakespeare.txt."""
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, length, body = self.server.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}/shakespeare.txt"
        monkeypatch.setitem(data.REMOTE, "shakespeare.txt", (address, hashlib.sha256(TEXT).hexdigest()))
        yield server
        server.shutdown()
        thread.join()


def files_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


GOOD = (200, len(TEXT), TEXT)
BAD = {
    "cut short": (200, len(TEXT), TEXT[:1000]),
    "short and not saying so": (200, 1000, TEXT[:1000]),
    "another file": (200, len(TEXT), TEXT.swapcase()),
    "nothing": (200, 0, b""),
    "not found": (404, 9, b"not found"),
    "server error": (500, 0, b""),
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_a_bad_download_leaves_nothing_and_a_good_one_is_kept(answer, server, cache):
    """A clear error names the file, the address and what ships; no file stays. Then a good file is fetched once, and not asked for again."""
    server.answers = [answer]
    with pytest.raises(data.DownloadError, match=r'could not download shakespeare.txt from http://127.0.0.1.*fashion, austen, diabetes'):
        data.load("shakespeare")
    assert files_in(cache) == []
    server.answers = [GOOD]
    for _ in range(2):
        made = data.load("shakespeare")
        assert made.decode(made.tokens).encode() == TEXT
    assert server.answers == [] and files_in(cache) == [cache / "shakespeare.txt"]


def test_a_damaged_file_in_the_cache_is_fetched_anew(server, cache):
    """The checksum is looked at each time, not only after a download."""
    cache.mkdir()
    (cache / "shakespeare.txt").write_bytes(TEXT[:-1])
    server.answers = [GOOD]
    assert data.fetch("shakespeare.txt").read_bytes() == TEXT and server.answers == []


def test_offline(cache, monkeypatch):
    """Nobody answers: the same error, and no file stays; a file that lies in the cache needs no network."""
    with create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setitem(data.REMOTE, "shakespeare.txt", (f"http://127.0.0.1:{port}/", hashlib.sha256(TEXT).hexdigest()))
    with pytest.raises(data.DownloadError, match="could not download shakespeare.txt"):
        data.load("shakespeare")
    assert files_in(cache) == []
    cache.mkdir(exist_ok=True)
    (cache / "shakespeare.txt").write_bytes(TEXT)
    assert len(data.load("shakespeare").tokens) == len(TEXT)


def test_a_gpu_that_is_not_there():
    """Where there is no CuPy or no GPU, asking for it says which, and what to do."""
    try:
        import cupy
        if cupy.is_available():
            pytest.skip("this machine has a GPU")
    except ImportError:
        pass
    with pytest.raises(RuntimeError, match='device "gpu".*device="cpu"'):
        to_device(X, "gpu")
