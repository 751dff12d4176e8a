"""PyTorch as a judge from outside: every network is written again in plain torch from its docstring, and the numbers must agree."""
from functools import partial
from math import sqrt

import numpy as np
import pytest

from laws import random_vector
from metrized import bonds, optimizers
from metrized.atoms import Conv2D
from metrized.bonds import Tanh
from metrized.compounds import GPT, MLP, Attention, ConvNet, ResidualMLP
from metrized.curvature import quadratic_model, sharpness, spectrum
from metrized.losses import CrossEntropy, SquareError
from metrized.modules import NO_WEIGHTS
from metrized.objective import Objective
from metrized.vectors import Covector, Vector

torch = pytest.importorskip("torch")
F = torch.nn.functional
torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning", "ignore:Using padding='same':UserWarning")


# The networks in torch: weights come as the list of arrays in the order in which the expression names them, the output's first.


def mlp(x, weights, bond):
    *outer, first = weights
    x = x @ first.T
    for W in reversed(outer):
        x = bond(x) @ W.T
    return x


def residual_mlp(x, weights, bond):
    out, *blocks, into = weights
    x, depth = x @ into.T, len(blocks)
    for W in reversed(blocks):
        x = (1 - 1 / depth) * x + bond(x) @ W.T / depth
    return x @ out.T


def conv(x, W):
    """A convolution of images [n, height, width, c] by a kernel [k, k, out, in]."""
    return F.conv2d(x.permute(0, 3, 1, 2), W.permute(2, 3, 0, 1), padding="same").permute(0, 2, 3, 1)


def convnet(x, weights):
    out, *kernels = weights
    for W in reversed(kernels):
        x = F.avg_pool2d(F.relu(conv(x, W)).permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
    return x.flatten(1) @ out.T


def gelu(x):
    return F.gelu(x, approximate="tanh") / 1.1289930685705


def rotary(x, base=10000.0):
    """Pairs of neighbours (a, b) at place t turned by t base^(-2i/d)."""
    T, d = x.shape[-2:]
    angle = torch.arange(T, dtype=torch.float64)[:, None] * base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    c, s, a, b = angle.cos().to(x.dtype), angle.sin().to(x.dtype), x[..., 0::2], x[..., 1::2]
    return torch.stack([c * a - s * b, s * a + c * b], -1).flatten(-2)


def attention(x, weights, heads, causal=True):
    out, *qkv = weights
    q, k, v = ((x @ W.T).unflatten(-1, (heads, -1)).transpose(-3, -2) for W in qkv)
    logits = rotary(q) @ rotary(k).transpose(-2, -1) / q.shape[-1]
    if causal:
        logits = logits.masked_fill(torch.ones(logits.shape[-2:], dtype=bool).triu(1), -torch.inf)
    return (logits.softmax(-1) @ v / 3).transpose(-3, -2).flatten(-2) @ out.T


def gpt(tokens, weights, heads):
    out, *blocks, table = weights
    x, L = table[tokens], 2 * (len(blocks) // 6)
    for i in reversed(range(0, len(blocks), 6)):
        down, up, *heads_of_block = blocks[i:i + 6]
        x = (1 - 1 / L) * x + attention(x, heads_of_block, heads) / L
        x = (1 - 1 / L) * x + gelu(x @ up.T) @ down.T / L
    return x @ out.T


def normal(rng, *shape):
    return rng.standard_normal(shape)


NETS = {  # name: (module, the same in torch, an input)
    "MLP": lambda r: (MLP(4, 9, 8, 6), partial(mlp, bond=F.relu), normal(r, 7, 6)),
    "smooth MLP": lambda r: (MLP(5, 12, 12, 8, bond=Tanh()), partial(mlp, bond=torch.tanh), normal(r, 7, 8)),
    "ResidualMLP": lambda r: (ResidualMLP(4, 8, 6, depth=3, bond=bonds.GeLU()), partial(residual_mlp, bond=gelu), normal(r, 7, 6)),
    "ConvNet": lambda r: (ConvNet(4, (3, 5), 9, fan_in=2), convnet, normal(r, 3, 9, 9, 2)),
    "Attention": lambda r: (Attention(6, heads=3, d_head=4), partial(attention, heads=3), normal(r, 2, 5, 6)),
    "Attention, all to all": lambda r: (Attention(6, heads=3, causal=False), partial(attention, heads=3, causal=False), normal(r, 2, 5, 6)),
    "GPT": lambda r: (GPT(11, 8, heads=2, blocks=2), partial(gpt, heads=2), r.integers(0, 11, (3, 6))),
}
SMOOTH = ["smooth MLP", "ResidualMLP", "Attention", "GPT"]
LOSSES = {"SquareError": (SquareError(), lambda y, t: 0.5 * (y - t).square().mean()),
          "CrossEntropy": (CrossEntropy(), lambda y, t: F.cross_entropy(y.flatten(0, -2), t.flatten()))}


class Twin:
    """A network with a loss on data, in metrized (`objective`, at `w`) and in torch (`outputs` and `loss`, functions of one long array)."""

    def __init__(self, net, loss, rng, dtype=np.float64):
        module, run, x = NETS[net](rng)
        (ours, theirs), cast = LOSSES[loss], lambda a: a.astype(dtype) if a.dtype.kind == "f" else a
        self.w = random_vector(rng, module.initialize(rng, dtype)) * 0.5
        shape = module(cast(x), self.w).shape
        t = normal(rng, *shape) if loss == "SquareError" else rng.integers(0, shape[-1], shape[:-1])
        self.objective = Objective(module, ours, cast(x), cast(t))
        sizes, shapes = [a.size for a in self.w.leaves()], [a.shape for a in self.w.leaves()]
        split = lambda flat: [part.reshape(s) for part, s in zip(flat.split(sizes), shapes, strict=True)]
        self.outputs = lambda flat: run(torch.tensor(cast(x)), split(flat))
        self.loss_of = lambda y: theirs(y, torch.tensor(cast(t)))
        self.loss = lambda flat: self.loss_of(self.outputs(flat))
        self.flat = torch.tensor(self.w.flatten())


def error(ours, theirs):
    """|ours - theirs| / |theirs| of a Covector or array against a tensor."""
    ours, theirs = ours.flatten(), theirs.detach().numpy()
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-5)], ids=["float64", "float32"])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("net", NETS)
def test_loss_and_gradient(net, loss, dtype, tolerance, rng):
    """The value and the gradient of every network under every loss are torch's."""
    twin = Twin(net, loss, rng, dtype)
    value, g = twin.objective.value_and_grad(twin.w)
    gradient, expected = torch.func.grad_and_value(twin.loss)(twin.flat)
    assert abs(value - expected.item()) <= tolerance * abs(expected.item())
    assert twin.objective(twin.w) == value
    for part, whole in zip(g.leaves(), g.unflatten(gradient.numpy()).leaves(), strict=True):
        assert np.linalg.norm(part - whole) <= tolerance * np.linalg.norm(whole)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("net", SMOOTH)
def test_hessian_products(net, loss, rng):
    """H v by a difference of gradients is forward over reverse mode, to 1e-6, for a v of any length; H 0 = 0."""
    twin = Twin(net, loss, rng)
    v = random_vector(rng, twin.w)
    expected = torch.func.jvp(torch.func.grad(twin.loss), (twin.flat,), (torch.tensor(v.flatten()),))[1]
    assert error(twin.objective.hessian(twin.w, v), expected) < 1e-6
    assert error(twin.objective.hessian(twin.w, 1e5 * v), 1e5 * expected) < 1e-6
    assert not twin.objective.hessian(twin.w, 0.0 * v).flatten().any()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("net", NETS)
def test_gauss_newton_products(net, loss, rng):
    """J^T l'' J v, with J by torch's two modes and l'' by two derivatives of the loss in its outputs."""
    twin = Twin(net, loss, rng)
    v = random_vector(rng, twin.w)
    y, Jv = torch.func.jvp(twin.outputs, (twin.flat,), (torch.tensor(v.flatten()),))
    curved = torch.func.jvp(torch.func.grad(twin.loss_of), (y,), (Jv,))[1]
    expected = torch.func.vjp(twin.outputs, twin.flat)[1](curved)[0]
    assert error(twin.objective.gauss_newton(twin.w)(v), expected) < 1e-10


@pytest.mark.parametrize("loss", LOSSES)
def test_spectrum(loss, rng):
    """Lanczos ends at the outermost eigenvalues of the exact Hessian of 300 weights, and sharpness is the top one."""
    twin = Twin("smooth MLP", loss, rng)
    exact = np.linalg.eigvalsh(torch.func.hessian(twin.loss)(twin.flat).numpy())
    values, vectors = spectrum(twin.objective, twin.w, rng)
    np.testing.assert_allclose(values[[0, -1]], exact[[0, -1]], rtol=1e-6)
    np.testing.assert_allclose(sharpness(twin.objective, twin.w, rng), exact[-1], rtol=1e-6)
    top = twin.w.unflatten(vectors[:, -1])
    np.testing.assert_allclose(twin.objective.hessian(twin.w, top).flatten(), exact[-1] * top.flatten(), atol=1e-4 * exact[-1])


def test_quadratic_model(rng):
    """L(w) + <g, d> + <H d, d>/2 with torch's gradient and Hessian."""
    twin = Twin("smooth MLP", "SquareError", rng)
    d = random_vector(rng, twin.w)
    v, (g, value) = torch.tensor(d.flatten()), torch.func.grad_and_value(twin.loss)(twin.flat)
    Hv = torch.func.jvp(torch.func.grad(twin.loss), (twin.flat,), (v,))[1]
    np.testing.assert_allclose(quadratic_model(twin.objective, twin.w)(d), (value + g @ v + 0.5 * v @ Hv).item(), rtol=1e-8)


OPTIMIZERS = {  # name: (our rule, torch's)
    "SGD": (optimizers.SGD(0.1), partial(torch.optim.SGD, lr=0.1)),
    "heavy ball": (optimizers.SGD(0.1, 0.8), partial(torch.optim.SGD, lr=0.1, momentum=0.8)),
    "Nesterov": (optimizers.Nesterov(optimizers.SGD(0.1), 0.8), partial(torch.optim.SGD, lr=0.1, momentum=0.8, nesterov=True)),
    "Adam": (optimizers.Adam(0.1, 0.8, 0.95, 1e-3), partial(torch.optim.Adam, lr=0.1, betas=(0.8, 0.95), eps=1e-3)),
    "AdamW": (optimizers.AdamW(0.1, 0.3, 0.8, 0.95, 1e-3), partial(torch.optim.AdamW, lr=0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.3)),
    "AdamW as it comes": (optimizers.AdamW(0.1), partial(torch.optim.AdamW, lr=0.1)),
    "Adam with L2": (optimizers.Penalized(optimizers.Adam(0.1), 0.3), partial(torch.optim.Adam, lr=0.1, weight_decay=0.3)),
    "SGD with decay": (optimizers.Decayed(optimizers.SGD(0.1), 0.03), partial(torch.optim.SGD, lr=0.1, weight_decay=0.3)),
    "Adagrad": (optimizers.Adagrad(0.1, 1e-3), partial(torch.optim.Adagrad, lr=0.1, eps=1e-3)),
    "Adagrad as it comes": (optimizers.Adagrad(0.1), partial(torch.optim.Adagrad, lr=0.1)),
    "RMSprop": (optimizers.RMSProp(0.1, 0.9, 1e-3), partial(torch.optim.RMSprop, lr=0.1, alpha=0.9, eps=1e-3)),
    "RMSprop as it comes": (optimizers.RMSProp(0.1), partial(torch.optim.RMSprop, lr=0.1)),
    "Adafactor": (optimizers.Adafactor(0.5, -0.7, 1.0, 1.02), partial(torch.optim.Adafactor, lr=0.5, beta2_decay=-0.7, eps=(None, 1.0), d=1.02)),
    "Adafactor as it comes": (optimizers.Adafactor(), torch.optim.Adafactor),
    "Muon": (optimizers.Muon(0.1), partial(torch.optim.Muon, lr=0.1, weight_decay=0.0)),
    "Muon without looking ahead": (optimizers.Muon(0.1, 0.7, nesterov=False),
                                   partial(torch.optim.Muon, lr=0.1, momentum=0.7, weight_decay=0.0, nesterov=False)),
    "Muon with decay": (optimizers.Decayed(optimizers.Muon(0.1), 0.02), partial(torch.optim.Muon, lr=0.1, weight_decay=0.2)),
}


def follow(rule, make, rng, shapes, before=lambda theirs: None, size=1.0):
    """The same twenty gradients lead ours and theirs through the same twenty weights."""
    w = Vector(tuple(normal(rng, *shape) for shape in shapes))
    theirs = [torch.tensor(a) for a in w.leaves()]
    optimizer, state = make(theirs), rule.start(w)
    for t in range(20):
        g = Covector(tuple(normal(rng, *shape) * (size * (1 + t)) for shape in shapes))
        step, state = rule(g, state, w)
        w = w + step
        for p, a in zip(theirs, g.leaves(), strict=True):
            p.grad = torch.tensor(a)
        before(theirs)
        optimizer.step()
        for a, p in zip(w.leaves(), theirs, strict=True):
            np.testing.assert_allclose(a, p, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_step_by_step(name, rng, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)  # torch's Muon orthogonalizes in 16 bits; here in 64
    follow(*OPTIMIZERS[name], rng, [(3, 4), (5, 2)] if "Muon" in name else [(3, 4), (5,)])


def test_clipping_is_torchs(rng):
    """Some of the gradients are longer than the radius, some are not. (torch divides by |g| + 1e-6, so the scale of all is large.)"""
    rule, make = optimizers.Clipped(optimizers.SGD(1e-9, 0.8), 2e7), partial(torch.optim.SGD, lr=1e-9, momentum=0.8)
    lengths = []

    def before(theirs):
        lengths.append(float(torch.nn.utils.clip_grad_norm_(theirs, 2e7)))

    follow(rule, make, rng, [(3, 4), (5,)], before, size=1e6)
    assert min(lengths) < 2e7 < max(lengths)


BONDS = {  # name: (our bond, torch's function)
    "ReLU": (bonds.ReLU(), F.relu),
    "Tanh": (bonds.Tanh(), torch.tanh),
    "Sigmoid": (bonds.Sigmoid(), F.sigmoid),
    "GeLU": (bonds.GeLU(), gelu),
    "Softmax": (bonds.Softmax(), partial(F.softmax, dim=-1)),
    "RMSNorm": (bonds.RMSNorm(eps=1e-2), lambda x: F.rms_norm(x, x.shape[-1:], eps=1e-2)),
    "LayerNorm": (bonds.LayerNorm(eps=1e-2), lambda x: F.layer_norm(x, x.shape[-1:], eps=1e-2)),
    "AveragePool": (bonds.AveragePool(2), lambda x: F.avg_pool2d(x.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)),
    "RoPE": (bonds.RoPE(100.0), partial(rotary, base=100.0)),
}


@pytest.mark.parametrize("name", BONDS)
def test_bonds(name, rng):
    """Values are torch's, also so far from zero that exp(x) would overflow."""
    bond, function = BONDS[name]
    for x in (normal(rng, 3, 5, 7, 6), 1000 * normal(rng, 3, 5, 7, 6)):
        np.testing.assert_allclose(bond(x, NO_WEIGHTS), function(torch.tensor(x)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_huge_outputs(name, rng):
    """The value and its slope are torch's where exp(y) would overflow."""
    (ours, theirs), y = LOSSES[name], 1000 * normal(rng, 4, 5)
    t = normal(rng, 4, 5) if name == "SquareError" else rng.integers(0, 5, 4)
    slope, value = torch.func.grad_and_value(theirs)(torch.tensor(y), torch.tensor(t))
    np.testing.assert_allclose(ours.linearize(y, t)[0], value, rtol=1e-12)
    np.testing.assert_allclose(ours.linearize(y, t)[1], slope, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_convolution_of_odd_and_even_kernels(k, rng):
    """Conv2D is torch's conv2d with padding "same"."""
    module, x = Conv2D(3, 2, k), normal(rng, 4, 6, 5, 2)
    w = module.initialize(rng, np.float64)
    np.testing.assert_allclose(module(x, w), conv(torch.tensor(x), torch.tensor(w.array)), atol=1e-13)


@pytest.mark.parametrize("bond, function", [(bonds.Tanh(1), torch.tanh), (bonds.Sigmoid(1), F.sigmoid), (bonds.GeLU(1), gelu)],
                         ids=["Tanh", "Sigmoid", "GeLU"])
def test_declared_slopes_and_bends_are_the_largest(bond, function):
    """The sensitivity is the largest |slope| and gamma the largest |second derivative|, on a fine grid: no larger, and no smaller."""
    x = torch.linspace(-8, 8, 160001, dtype=torch.float64, requires_grad=True)
    slope, = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    second, = torch.autograd.grad(slope.sum(), x)
    np.testing.assert_allclose([bond.sensitivity, bond.sharpness[2]], [slope.abs().max().item(), second.abs().max().item()], rtol=1e-7)


def test_bends_grow_with_the_root_of_the_width():
    """rms(dx * dx') <= sqrt(d) rms(dx) rms(dx'), attained at one feature of d."""
    assert bonds.Tanh(width=9).sharpness == (0.0, 0.0, sqrt(9) * bonds.Tanh(width=1).sharpness[2])
