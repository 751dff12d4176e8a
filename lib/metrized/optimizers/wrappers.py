"""Rules around rules: weight decay, clipping, skipping, and a state that is kept in eight bits."""
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, namespace, ratio, whole, zeros_like
from ..norms import Euclidean, Norm
from ..vectors import Covector, Tree, Vector
from .adaptive import Adam
from .descent import Rule, positive, shares


class Around(Rule):
    """A rule with another one, `rule`, inside."""

    ruler = "that of the rule inside"
    rule: Rule

    def start(self, w: Vector) -> Any:
        return self.rule.start(w)


@dataclass(frozen=True)
class Decayed(Around):
    """The rule's step, less decay * w: every weight shrinks by the same fraction, whatever its gradient. Loshchilov & Hutter 2019.

    `decay` is a fraction a step, independent of the rule's step size; a schedule multiplies both. Raises TypeError without the weights.
    """

    rule: Rule
    decay: float

    def __post_init__(self):
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {self.decay}; it is a fraction of the weights, a step")

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        if w is None:
            raise TypeError("Decayed shrinks the weights; call rule(g, state, w)")
        step, state = self.rule(g, state, w)
        return step - self.decay * w, state


def AdamW(step_size: float, decay: float = 0.01, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, independent: bool = False) -> Decayed:
    """Adam with decoupled weight decay: a fraction step_size * decay a step as in PyTorch, or `decay` itself when `independent`."""
    return Decayed(Adam(step_size, beta1, beta2, eps), decay if independent else step_size * decay)


@dataclass(frozen=True)
class Penalized(Around):
    """The rule at g + decay * w, the gradient of the loss with decay/2 |w|^2 added: L2 regularization, not weight decay unless the rule is SGD.

    Raises TypeError without the weights.
    """

    rule: Rule
    decay: float

    def __post_init__(self):
        if not 0 <= self.decay < np.inf:
            raise ValueError(f"decay must be finite and >= 0, got {self.decay}")

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        if w is None:
            raise TypeError("Penalized looks at the weights; call rule(g, state, w)")
        return self.rule(g + Covector((self.decay * w).nest()), state, w)


@dataclass(frozen=True)
class MuP(Around):
    """The rule's step, layer by layer times fan_out / fan_in, as SGD's needs it; with `signs`, times 1 / fan_in, as Adam's and sign descent's do.

    Maximal update parameterization in the form of Yang, Simon & Bernstein 2023: either way a step keeps its RMS -> RMS size at every width.
    The start that belongs to it has matrices of RMS -> RMS norm about 1. Yang & Hu 2021.
    """

    ruler = "Frobenius (or, with signs, Max) in each layer, scaled by its fans"

    rule: Rule
    signs: bool = False

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        step, state = self.rule(g, state, w)
        return step.map(lambda D: D * ((1 if self.signs else D.shape[-2]) / D.shape[-1])), state


@dataclass(frozen=True)
class Clipped(Around):
    """The rule at g, or at g * radius / |g|* where the dual norm of g is larger than `radius`. Pascanu, Mikolov & Bengio 2013."""

    rule: Rule
    radius: float
    norm: Norm = Euclidean()

    def __post_init__(self):
        positive("radius", self.radius)

    def __call__(self, g: Covector, state: Any = (), w: Vector | None = None) -> tuple[Vector, Any]:
        size = float(self.norm.dual(g))
        return self.rule(g * (self.radius / size) if size > self.radius else g, state, w)


class SkippingState(NamedTuple):
    """Steps seen, the running mean of |g|, and the state of the rule inside."""

    t: int
    mean: float
    inner: Any


@dataclass(frozen=True)
class Skipping(Around):
    """The rule, except where |g| is more than `factor` times its running mean (or no number): there the weights stay and nothing is remembered.

    The first `steps` gradients that are numbers are all taken.
    """

    rule: Rule
    factor: float = 3.0
    beta: float = 0.9
    steps: int = 10

    def __post_init__(self):
        positive("factor", self.factor)
        shares(self, "beta")

    def start(self, w: Vector) -> SkippingState:
        return SkippingState(0, 0.0, self.rule.start(w))

    def __call__(self, g: Covector, state: SkippingState, w: Vector | None = None) -> tuple[Vector, SkippingState]:
        t, mean, inner = state
        size = float(Euclidean().dual(g))
        usual = mean / (1 - self.beta ** t) if t else size
        if not np.isfinite(size) or t >= self.steps and size > self.factor * usual:
            return Vector(g.map(zeros_like).nest()), state
        step, inner = self.rule(g, inner, w)
        return step, SkippingState(t + 1, self.beta * mean + (1 - self.beta) * size, inner)


@cache
def codebook(signed: bool) -> np.ndarray:
    """The 256 numbers that eight bits stand for, ascending, in [-1, 1] or [0, 1]: seven decades, each with twice as many as the one below it.

    0 and 1 are exact, 1 apart from every other number by less than a hundredth. Dettmers et al. 2022, the dynamic data type.
    """
    numbers = []
    for decade in range(7):
        edges = np.linspace(0.1, 1, 2 ** (decade + (not signed)) + 1)
        numbers.extend(10.0 ** (decade - 6) * 0.5 * (edges[:-1] + edges[1:]))
    return np.sort([0.0, 1.0, *numbers, *(-np.array(numbers) if signed else [])])


@dataclass(frozen=True)
class Packed:
    """An array in eight bits a number: codes uint8 [size], one scale for each block of `block`, its shape, and whether it has signs."""

    codes: Array
    scales: Array
    shape: tuple[int, ...]
    signed: bool
    block: int

    @property
    def nbytes(self) -> int:
        """Bytes of codes and scales."""
        return self.codes.nbytes + self.scales.nbytes


def pack(x: Array, block: int = 256) -> Packed:
    """Each block divided by its largest |number| and rounded to the nearest entry of the codebook."""
    xp, signed = namespace(x), bool((x < 0).any())
    flat = xp.pad(x.reshape(-1), (0, -x.size % block)).reshape(-1, block)
    scales = abs(flat).max(1)
    numbers = codebook(signed)
    middle = xp.asarray(0.5 * (numbers[1:] + numbers[:-1]), dtype=x.dtype)
    codes = xp.searchsorted(middle, ratio(flat, scales).reshape(-1)).astype(np.uint8)
    return Packed(codes[:x.size], scales, tuple(x.shape), signed, block)


def unpack(p: Packed) -> Array:
    """The array, to the precision of eight bits; it has the dtype of the scales."""
    xp = namespace(p.scales)
    values = xp.asarray(codebook(p.signed), dtype=p.scales.dtype)[p.codes]
    return (values * xp.repeat(p.scales, p.block)[:values.size]).reshape(p.shape)


@dataclass(frozen=True)
class PackedTree:
    """A Vector or Covector (`kind`) with its arrays packed; `parts` is one Packed or a tuple of PackedTrees."""

    kind: type
    parts: Any

    @property
    def nbytes(self) -> int:
        """Bytes of all parts."""
        return sum(part.nbytes for part in self.parts) if isinstance(self.parts, tuple) else self.parts.nbytes


@dataclass(frozen=True)
class EightBit(Around):
    """The rule, with every array of its state kept in eight bits a number and one scale for each `block` of numbers. Dettmers et al. 2022."""

    rule: Rule
    block: int = 256

    def __post_init__(self):
        whole("EightBit", "block", self.block)

    def start(self, w: Vector) -> Any:
        return self.packed(self.rule.start(w))

    def __call__(self, g: Covector, state: Any, w: Vector | None = None) -> tuple[Vector, Any]:
        step, state = self.rule(g, unpacked(state), w)
        return step, self.packed(state)

    def packed(self, state):
        """The same state with its Vectors and Covectors packed."""
        if isinstance(state, Tree):
            return PackedTree(type(state), pack(state.array, self.block) if state.is_leaf else tuple(map(self.packed, state)))
        return parts(state, self.packed)


def unpacked(state):
    """The inverse of EightBit.packed, to the precision of eight bits."""
    if isinstance(state, PackedTree):
        return state.kind(tuple(map(unpacked, state.parts)) if isinstance(state.parts, tuple) else unpack(state.parts))
    return parts(state, unpacked)


def parts(state, f: Callable):
    """A state with f applied to each part of a tuple; anything else as it is."""
    if not isinstance(state, tuple):
        return state
    return type(state)(*map(f, state)) if hasattr(state, "_fields") else tuple(map(f, state))


def state_bytes(state) -> int:
    """The bytes of all arrays in the state of a rule."""
    if isinstance(state, Tree):
        return sum(x.nbytes for x in state.leaves())
    return sum(map(state_bytes, state)) if isinstance(state, tuple) else getattr(state, "nbytes", 0)
