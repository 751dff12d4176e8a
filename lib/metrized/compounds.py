"""Compounds: networks written in the algebra of modules. They add no mathematics of their own."""
from collections.abc import Callable

import numpy as np

from .arrays import whole
from .atoms import Conv2D, Embed, Linear
from .bonds import Attend, AveragePool, CausalMask, Flatten, GeLU, Identity, MergeHeads, ReLU, RoPE, Scores, Softmax, SplitHeads
from .linalg import polar as exact_polar
from .modules import Module


def MLP(fan_out: int, *widths: int, bond: Module | None = None, polar: Callable = exact_polar) -> Module:
    """Linear @ bond @ ... @ bond @ Linear, the output first, as in Linear: MLP(10, 32, 32, 64) takes 64 features to 10 through two layers of 32.

    `bond` is ReLU() unless given. Raises ValueError without a fan_in.
    """
    if not widths:
        raise ValueError("MLP needs at least a fan_out and a fan_in, as in MLP(10, 32, 64)")
    net = Linear(fan_out, widths[0], polar)
    for out, into in zip(widths, widths[1:], strict=False):
        net = net @ (bond or ReLU()) @ Linear(out, into, polar)
    return net


def residual(block: Module, depth: int) -> Module:
    """(1 - 1/L) Identity + 1/L block, L times: of sensitivity at most 1 for every depth L if the block is."""
    if depth < 1:
        raise ValueError(f"a residual network needs depth >= 1, got {depth}")
    return ((1 - 1 / depth) * Identity() + (1 / depth) * block) ** depth


def ResidualMLP(fan_out: int, width: int, fan_in: int, depth: int, bond: Module | None = None, mass: float = 1.0,
                polar: Callable = exact_polar) -> Module:
    """Linear @ residual(Linear @ bond, depth) @ Linear; the residual blocks have total mass `mass`, the two outer layers 1 each."""
    blocks = residual(Linear(width, width, polar) @ (bond or ReLU()), depth)
    return Linear(fan_out, width, polar) @ blocks.tare(mass) @ Linear(width, fan_in, polar)


def ConvNet(fan_out: int, channels: tuple[int, ...], size: int, fan_in: int = 1, k: int = 3, polar: Callable = exact_polar) -> Module:
    """Blocks of AveragePool(2) @ ReLU @ Conv2D, one for each of `channels`, then Flatten and Linear; images [..., size, size, fan_in]."""
    if not channels:
        raise ValueError("ConvNet needs the channels of at least one block, as in ConvNet(10, (16, 32), 28)")
    if size < 2 ** len(channels):
        raise ValueError(f"ConvNet halves its pictures {len(channels)} times and needs {2 ** len(channels)} pixels a side for it, got {size}")
    net, pixels = Identity(), size
    for into, out in zip((fan_in, *channels), channels, strict=False):
        net, pixels = AveragePool(2) @ ReLU() @ Conv2D(out, into, k, polar) @ net, pixels // 2
    return Linear(fan_out, pixels * pixels * channels[-1], polar) @ Flatten() @ net


def Attention(width: int, heads: int, d_head: int | None = None, causal: bool = True, polar: Callable = exact_polar) -> Module:
    """Multi-head attention of [..., T, width] to the same shape, with rotary positions: logits q . k / d_head, output times 1/3.

    q, k and v add one sensitivity each, hence the 1/3. Large et al. 2024. `d_head` is width / heads unless given.
    """
    heads = whole("Attention", "heads", heads)
    if d_head is None and width % heads:
        raise ValueError(f"a width of {width} cannot be shared by {heads} heads; name d_head, or take a width that {heads} divides")
    d_head = d_head or width // heads
    project = SplitHeads(heads) @ Linear(heads * d_head, width, polar)
    scores = Scores() @ (RoPE() @ project, RoPE() @ project)
    weights = Softmax() @ (CausalMask() @ scores if causal else scores)
    return Linear(width, heads * d_head, polar) @ MergeHeads() @ (1 / 3 * Attend()) @ (weights, project)


class Checkpoint(Module):
    """The same module, which keeps only its input: push and pull run it once more. Memory for time; values and gradients are the same bits.

    Griewank 1992; Chen, Xu, Zhang & Guestrin 2016.
    """

    def __init__(self, module: Module):
        self.module = module
        self.mass, self.sensitivity, self.norm, self.sharpness = module.mass, module.sensitivity, module.norm, module.sharpness

    def forward(self, x, w):
        return self.module.forward(x, w)

    def linearize(self, x, w):
        again = lambda: self.module.linearize(x, w)
        return self.forward(x, w), lambda dx, dw: again()[1](dx, dw), lambda dy, need_dx=True: again()[2](dy, need_dx)

    def initialize(self, rng, dtype=np.float32):
        return self.module.initialize(rng, dtype)

    def project(self, w):
        return self.module.project(w)

    def networks(self, w):
        return self.module.networks(w)

    def _reweigh(self, factor):
        return Checkpoint(self.module._reweigh(factor))

    def __repr__(self):
        return f"Checkpoint({self.module})"


def GPT(vocabulary: int, width: int, heads: int, blocks: int, mass: float = 5.0, polar: Callable = exact_polar) -> Module:
    """Tokens [..., T] to logits [..., T, vocabulary]: Linear @ residual blocks @ Embed, masses 1 : `mass` : 1.

    Each block has an attention branch and an MLP branch (width -> 4 width -> width), so there are L = 2 blocks branches, each entering with 1/L.
    """
    L = 2 * whole("GPT", "blocks", blocks)
    enter = lambda branch: (1 - 1 / L) * Identity() + (1 / L) * branch
    mlp = Linear(width, 4 * width, polar) @ GeLU() @ Linear(4 * width, width, polar)
    block = enter(mlp) @ enter(Attention(width, heads, polar=polar))
    return Linear(vocabulary, width, polar) @ (block ** blocks).tare(mass) @ Embed(width, vocabulary)
