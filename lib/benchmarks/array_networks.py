"""The networks in the plain NumPy interface, for the peers that differentiate it: `xp` is jax.numpy or autograd.numpy."""
from functools import partial
from math import pi, sqrt
from typing import NamedTuple

import numpy as np

from .problem import Problem


class Networks(NamedTuple):
    """mlp, gpt and cross_entropy on a namespace and its own logsumexp(x, axis, keepdims)."""

    xp: object
    logsumexp: object

    def outputs(self, problem: Problem):
        """(x, weights) -> outputs of the network that the problem names. Raises Lacks where there is none."""
        gpt = partial(self.gpt, heads=problem.options.get("heads"))
        return problem.pick({"mlp": self.mlp, "tanh mlp": partial(self.mlp, bond=self.xp.tanh), "gpt": gpt})

    def cross_entropy(self, y, onehot):
        """Mean over samples; y, onehot: [..., n]."""
        return (self.logsumexp(y, axis=-1, keepdims=False) - (y * onehot).sum(-1)).mean()

    def mlp(self, x, weights, bond=None):
        """`bond` is ReLU unless given."""
        *outer, first = weights
        x = x @ first.T
        for W in reversed(outer):
            x = (bond(x) if bond else self.xp.maximum(x, 0)) @ W.T
        return x

    def gpt(self, x, weights, heads):
        out, *blocks, table = weights
        x, L = table[x], 2 * (len(blocks) // 6)
        for i in reversed(range(0, len(blocks), 6)):
            down, up, *rest = blocks[i:i + 6]
            x = (1 - 1 / L) * x + (1 / L) * self.attention(x, rest, heads)
            x = (1 - 1 / L) * x + (1 / L) * (self.gelu(x @ up.T) @ down.T)
        return x @ out.T

    def gelu(self, x):
        return (0.5 / 1.1289930685705) * x * (1 + self.xp.tanh(sqrt(2 / pi) * x * (1 + 0.044715 * (x * x))))

    def attention(self, x, weights, heads):
        xp, (out, *qkv) = self.xp, weights
        T, d = x.shape[-2], qkv[0].shape[0] // heads
        q, k, v = (xp.swapaxes(xp.reshape(x @ W.T, (*x.shape[:-1], heads, d)), -3, -2) for W in qkv)
        logits = (self.rotary(q) @ xp.swapaxes(self.rotary(k), -1, -2)) * (1 / d)
        logits = xp.where(np.tri(T, dtype=bool), logits, -np.inf)
        p = xp.exp(logits - self.logsumexp(logits, axis=-1, keepdims=True))
        return xp.reshape(xp.swapaxes(p @ v, -3, -2), x.shape) @ out.T * (1 / 3)

    def rotary(self, x):
        """Pairs of neighbours (a, b) at place t turned by t 10000^(-2i/d)."""
        xp, (T, d) = self.xp, x.shape[-2:]
        angle = np.arange(T)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
        c, s, a, b = np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype), x[..., 0::2], x[..., 1::2]
        return xp.reshape(xp.stack([c * a - s * b, s * a + c * b], axis=-1), x.shape)


def one_hot(classes: int, t: np.ndarray, dtype) -> np.ndarray:
    """[..., classes]."""
    return (t[..., None] == np.arange(classes)).astype(dtype)
