"""The networks of metrized.compounds in PyTorch, each in the fastest plain form that we know.

Weights are tensors in PyTorch's own layout; a Network says how they come from ours and how gradients go back.
"""
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from .problem import Problem

F, Tensor = torch.nn.functional, torch.Tensor


def mlp(x: Tensor, weights: list[Tensor], bond: Callable = F.relu) -> Tensor:
    *outer, first = weights
    x = F.linear(x, first)
    for W in reversed(outer):
        x = F.linear(bond(x), W)
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


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention with logits q . k / d."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1 / q.shape[-1])


def attend_in_steps(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same, written out."""
    T, d = q.shape[-2:]
    future = torch.ones(T, T, dtype=bool).triu(1)
    return (q @ k.mT / d).masked_fill(future, -torch.inf).softmax(-1) @ v


def attention(x: Tensor, weights: list[Tensor], heads: int, turn: Tensor, attend: Callable) -> Tensor:
    out, *qkv = weights
    q, k, v = (F.linear(x, W).unflatten(-1, (heads, -1)).transpose(-3, -2) for W in qkv)
    y = attend(rotary(q, turn), rotary(k, turn), v)
    return F.linear(y.transpose(-3, -2).flatten(-2), out) / 3


def gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh") / 1.1289930685705


def gpt(x: Tensor, weights: list[Tensor], heads: int, turn: Tensor, attend: Callable) -> Tensor:
    out, *blocks, table = weights
    x, L = F.embedding(x, table), 2 * (len(blocks) // 6)
    for i in reversed(range(0, len(blocks), 6)):
        down, up, *rest = blocks[i:i + 6]
        x = torch.lerp(x, attention(x, rest, heads, turn, attend), 1 / L)
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
        return self.loss_of(self.outputs(self.x, weights))

    def loss_of(self, y: Tensor) -> Tensor:
        """The same of outputs y."""
        return F.cross_entropy(y.flatten(0, -2), self.t.flatten())


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


def network(problem: Problem, layout: torch.memory_format = torch.contiguous_format, attend: Callable = attend) -> Network:
    """The network that the problem names. Raises Lacks where there is none."""
    if problem.network == "conv":
        return images(problem, layout)
    weights, x, t = list(map(torch.tensor, problem.weights)), torch.tensor(problem.x), torch.tensor(problem.t)
    outputs = problem.pick({"mlp": mlp, "tanh mlp": partial(mlp, bond=torch.tanh), "gpt": gpt})
    if problem.network == "gpt":
        heads, table = problem.options["heads"], weights[-1]
        turn = turns(x.shape[-1], table.shape[-1] // heads).to(table.dtype.to_complex())
        outputs = partial(gpt, heads=heads, turn=turn, attend=attend)
    return Network(outputs, weights, x, t, arrays)
