"""The tasks in PyTorch, each in the fastest plain form that we know; networks as in metrized.compounds.

Weights are tensors in PyTorch's own layout; `Network` says how they come from ours and how gradients go back.
"""
from collections.abc import Callable
from functools import partial
from math import sqrt
from typing import NamedTuple

import numpy as np
import torch

from .problem import Job, Problem, repeated

torch.set_num_threads(1)
F, Tensor = torch.nn.functional, torch.Tensor


def mlp(x: Tensor, weights: list[Tensor]) -> Tensor:
    *outer, first = weights
    x = F.linear(x, first)
    for W in reversed(outer):
        x = F.linear(F.relu(x), W)
    return x


def convnet(x: Tensor, weights: list[Tensor]) -> Tensor:
    """x: [n, c, height, width]."""
    out, *kernels = weights
    for W in reversed(kernels):
        x = F.avg_pool2d(F.relu(F.conv2d(x, W, padding=W.shape[-1] // 2)), 2)
    return F.linear(x.flatten(1), out)


def turns(T: int, d: int) -> Tensor:
    """exp(i t 10000^(-2j/d)), complex [T, d/2]."""
    angle = torch.arange(T, dtype=torch.float64)[:, None] * 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    return torch.polar(torch.ones_like(angle), angle)


def rotary(x: Tensor, turn: Tensor) -> Tensor:
    """Pairs of neighbours in the last axis of x [..., T, d] times `turn`, as complex numbers."""
    return torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2))) * turn).flatten(-2)


def attention(x: Tensor, weights: list[Tensor], heads: int, turn: Tensor) -> Tensor:
    out, *qkv = weights
    q, k, v = (F.linear(x, W).unflatten(-1, (heads, -1)).transpose(-3, -2) for W in qkv)
    y = F.scaled_dot_product_attention(rotary(q, turn), rotary(k, turn), v, is_causal=True, scale=1 / q.shape[-1])
    return F.linear(y.transpose(-3, -2).flatten(-2), out) / 3


def gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh") / 1.1289930685705


def gpt(x: Tensor, weights: list[Tensor], heads: int, turn: Tensor) -> Tensor:
    out, *blocks, table = weights
    x, L = F.embedding(x, table), 2 * (len(blocks) // 6)
    for i in reversed(range(0, len(blocks), 6)):
        down, up, *rest = blocks[i:i + 6]
        x = torch.lerp(x, attention(x, rest, heads, turn), 1 / L)
        x = torch.lerp(x, F.linear(gelu(F.linear(x, up)), down), 1 / L)
    return F.linear(x, out)


class Network(NamedTuple):
    """outputs(x, weights), the weights, the batch, and back(gradients) -> arrays in our layout."""

    outputs: Callable[[Tensor, list[Tensor]], Tensor]
    weights: list[Tensor]
    x: Tensor
    t: Tensor
    back: Callable[[list[Tensor]], list[np.ndarray]]

    def loss(self, weights: list[Tensor]) -> Tensor:
        """Mean cross-entropy on the batch."""
        return F.cross_entropy(self.outputs(self.x, weights).flatten(0, -2), self.t.flatten())


def arrays(tensors: list[Tensor]) -> list[np.ndarray]:
    """Copies on the side of NumPy."""
    return [z.detach().numpy().copy() for z in tensors]


def images(problem: Problem, layout: torch.memory_format) -> Network:
    """Convolutions in PyTorch's order [n, c, height, width], laid out in memory as `layout` says."""
    order = lambda z: z.contiguous(memory_format=layout)
    out, *kernels = map(torch.tensor, problem.weights)
    side = problem.x.shape[1] // 2 ** len(kernels)
    first = lambda W: W.unflatten(1, (side, side, -1)).permute(0, 3, 1, 2).flatten(1)  # [o, (h w c)] to [o, (c h w)] and back
    last = lambda W: W.unflatten(1, (-1, side, side)).permute(0, 2, 3, 1).flatten(1)
    back = lambda g: arrays([last(g[0]), *(z.permute(2, 3, 0, 1) for z in g[1:])])
    weights = [first(out), *(order(W.permute(2, 3, 0, 1)) for W in kernels)]
    return Network(convnet, weights, order(torch.tensor(problem.x).permute(0, 3, 1, 2)), torch.tensor(problem.t), back)


def network(problem: Problem, layout: torch.memory_format = torch.contiguous_format) -> Network:
    """The network that the problem names. Raises KeyError where it has none."""
    if problem.network == "conv":
        return images(problem, layout)
    outputs = {"mlp": mlp, "gpt": gpt}[problem.network]
    weights, x, t = list(map(torch.tensor, problem.weights)), torch.tensor(problem.x), torch.tensor(problem.t)
    if problem.network == "gpt":
        heads = problem.options["heads"]
        turn = turns(x.shape[-1], weights[-1].shape[-1] // heads).to(torch.complex64 if weights[0].dtype == torch.float32 else torch.complex128)
        outputs = partial(gpt, heads=heads, turn=turn)
    return Network(outputs, weights, x, t, arrays)


SIX_STEP = [[c / 1024 for c in row] for row in (
    (3955, -8306, 5008), (3735, -6681, 3463), (3799, -6499, 3211), (4019, -6385, 2906), (2677, -3029, 1162), (2172, -1833, 682))]
"""metrized.linalg.SIX_STEP, which this process must not import; that both agree is checked before timing."""


def newton_schulz(G: Tensor, scheme: list = SIX_STEP) -> Tensor:
    """The iteration of metrized.linalg.newton_schulz with scaling and sum fused into the products."""
    if G.shape[0] > G.shape[1]:
        return newton_schulz(G.T, scheme).T
    X = G / torch.linalg.norm(G)
    for a, b, c in scheme:
        A = X @ X.T
        X = torch.addmm(X, torch.addmm(A, A, A, beta=b, alpha=c), X, beta=a)
    return X


def dual(gradients: list[Tensor]) -> list[Tensor]:
    """The dual map of an MLP in the modular norm: every layer moves by sqrt(fan_out / fan_in) / layers."""
    return [sqrt(G.shape[0] / G.shape[1]) / len(gradients) * newton_schulz(G) for G in gradients]


def training(net: Network, compiler: Callable, direction: Callable | None = None, step_size: float = 1e-3) -> Job:
    """Steps w <- w - step_size * direction(gradients), in place; direction None is the identity. Answers: direction, gradients."""
    loss, direction = compiler(net.loss), direction and compiler(torch.no_grad()(direction))
    first, weights = [W.clone() for W in net.weights], [W.requires_grad_() for W in net.weights]
    gradients = lambda: torch.autograd.grad(loss(weights), weights)

    @torch.no_grad()
    def restart():
        torch._foreach_copy_(weights, first)

    def task():
        g = gradients()
        with torch.no_grad():
            torch._foreach_add_(weights, direction(g) if direction else g, alpha=-step_size)

    g = gradients()
    answers = (net.back(direction(g)) if direction else []) + net.back(g)
    task()
    return Job(answers, repeated(task, restart))


def tasks(compiler: Callable) -> dict[str, Callable[[Problem], Job]]:
    """The tasks by name, with functions compiled by `compiler`."""
    return {
        "step": lambda p: training(network(p), compiler, None, p.step_size),
        "step, channels last": lambda p: training(network(p, torch.channels_last), compiler, None, p.step_size),
        "dualized step": lambda p: training(network(p), compiler, dual, p.step_size),
    }


TASKS = tasks(lambda f: f)
