"""Modules: functions y = f(x, w) that know their derivative, their mass, their sensitivity and the norm of their weights.

Atoms have weights, bonds have none, and both declare everything by hand. Compounds are built with A @ B, (A, B), A + B, c * A and A ** n,
and get everything by the rules of Large et al. 2024 ("Scalable optimization in the modular norm"). Modules hold no weights and never change.
"""
from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from math import inf
from numbers import Real

import numpy as np

from .arrays import add, is_array, is_float, matches, nothing, shapes, whole, zeros_like
from .norms import Largest, Norm, scaled
from .vectors import Covector, Vector, make

NO_WEIGHTS = Vector(())
Push = Callable
Pull = Callable
Sharpness = tuple[float, float, float] | None


class Module:
    """y = f(x, w). Subclasses define forward, linearize and initialize, and set mass, sensitivity, norm and sharpness.

    x, y: arrays [..., features], or tuples of them. w: a Vector. An ensemble of K networks is a leading axis K on every array of w; x then
    has a leading axis too, of length K, or 1 where the networks share it (x[None]).
    """

    mass: float = 0.0
    """Share of feature learning asked of this module, relative to its neighbours (0: no weights, or frozen ones)."""
    sensitivity: float = 1.0
    """Largest |dy| / |dx|, for inputs and weights of norm at most 1."""
    norm: Norm = Largest()
    """|dw|, so scaled that |dy| <= norm(dw) for inputs and weights of norm at most 1."""
    sharpness: Sharpness = None
    """(alpha, beta, gamma): bounds on the second derivatives in (w, w), (x, w), (x, x); None where there is no such bound."""

    def forward(self, x, w: Vector):
        """y, and nothing else."""
        return self.linearize(x, w)[0]

    def linearize(self, x, w: Vector) -> tuple[object, Push, Pull]:
        """y with the derivative at this very point: push(dx, dw) -> dy, and its transpose pull(dy) -> (dx, dw).

        In push, None stands for zero. pull's dw is a Covector shaped like w; pull(dy, need_dx=False) gives None for dx and saves its cost.
        The law: <dy, push(dx, dw)> = <pull(dy), (dx, dw)>.
        """
        raise NotImplementedError

    def initialize(self, rng: np.random.Generator, dtype=np.float32) -> Vector:
        """Random weights of norm 1 in every atom. `rng` is used up in the order in which the weights nest."""
        return NO_WEIGHTS

    def networks(self, w: Vector) -> int | None:
        """K where w holds an ensemble of K networks, 0 where it holds one, None where it holds no weights at all."""
        return None

    def dualize(self, g: Covector, target_norm: float = 1.0) -> Vector:
        """The Vector d with the largest <g, d> among those with norm(d) <= target_norm; every branch of positive mass is saturated.

        A module without mass stays where it is: d = 0.
        """
        return Vector(g.map(zeros_like).nest()) if self.mass == 0 else target_norm * self.norm.dualize(g)

    def project(self, w: Vector) -> Vector:
        """`w` with every atom brought back to norm <= 1, the set on which the module is well-normed."""
        return w

    def tare(self, mass: float = 1.0) -> Module:
        """The same module with total mass `mass`, shared out inside as before. Raises ValueError for a negative mass or one that has none."""
        if not 0 <= mass < inf or self.mass == 0 < mass:
            raise ValueError(f"{self} has mass {self.mass} and cannot be tared to {mass}")
        return self if self.mass == 0 else self._reweigh(mass / self.mass)

    def _reweigh(self, factor: float) -> Module:
        module = copy.copy(self)
        module.mass = self.mass * factor
        return module

    def __call__(self, x, w: Vector):
        return self.forward(x, w)

    def __matmul__(self, inner: Module | tuple) -> Module:
        return Compose(self, as_module(inner))

    def __rmatmul__(self, outer: tuple) -> Module:
        return Compose(as_module(outer), self)

    def __add__(self, other: Module) -> Module:
        return Add() @ (self, other)

    def __mul__(self, c: float) -> Module:
        return Multiply(c) @ self

    __rmul__ = __mul__

    def __pow__(self, n: int) -> Module:
        """n copies in series, each with weights of its own, nested as halves of halves: deep chains need no deep recursion."""
        if whole("module ** n", "n", n, least=0) < 2:
            return self if n else Identity()
        return self ** (n // 2) @ self ** (n - n // 2)

    def __repr__(self):
        return f"{type(self).__name__}()"


def as_module(m: Module | tuple) -> Module:
    """A module as it is; a tuple of them as their concatenation."""
    if isinstance(m, tuple):
        return Concatenate(*m)
    if not isinstance(m, Module):
        raise TypeError(f"expected a module or a tuple of modules, got {type(m).__name__}")
    return m


def per_mass(total: float, part: float) -> float:
    """total / part: how strictly a part is held back. A part without mass is held back altogether."""
    return total / part if part > 0 else inf


class Compound(Module):
    """A module made of children; its weights are the tuple of theirs, in the order in which the expression names them."""

    def __init__(self, *children: Module | tuple):
        if not children:
            raise ValueError(f"{type(self).__name__} needs at least one module")
        self.children = tuple(map(as_module, children))
        self._combine()

    def _combine(self) -> None:
        """Set mass, sensitivity, norm and sharpness from the children's."""
        raise NotImplementedError

    def initialize(self, rng, dtype=np.float32):
        return Vector(tuple(child.initialize(rng, dtype) for child in self.children))

    def project(self, w):
        return Vector(tuple(child.project(part) for child, part in zip(self.children, self.parts(w), strict=True)))

    def networks(self, w):
        for child, part in zip(self.children, self.parts(w), strict=True):
            if (K := child.networks(part)) is not None:
                return K
        return None

    def parts(self, w: Vector) -> tuple[Vector, ...]:
        """The children's weights. Raises TypeError or ValueError where w is no such nest."""
        if not isinstance(w, Vector):
            raise TypeError(f"weights of {self} must be a Vector, got {type(w).__name__}; module.initialize(rng) makes one")
        parts = w.value
        if not isinstance(parts, tuple) or len(parts) != len(self.children):
            raise ValueError(f"{self} needs weights for {len(self.children)} parts, got {shapes(w.nest())}")
        return parts

    def _reweigh(self, factor):
        module = copy.copy(self)
        module.children = tuple(child._reweigh(factor) for child in self.children)
        module._combine()
        return module


class Compose(Compound):
    """outer @ inner: y = outer(inner(x)). Weights (outer's, inner's)."""

    def _combine(self):
        outer, inner = self.children
        self.mass = inner.mass + outer.mass
        self.sensitivity = inner.sensitivity * outer.sensitivity
        p = per_mass(self.mass, inner.mass)
        p, q = p if p == inf else p * outer.sensitivity, per_mass(self.mass, outer.mass)
        self.norm = Largest(scaled(q, outer.norm), scaled(p, inner.norm))
        self.sharpness = _sharpness_in_series(outer, inner, p, q)

    def stages(self, w: Vector | None) -> list[tuple[Module, Vector | None]]:
        """The chain as a list of modules with their weights, innermost first; compositions inside compositions are opened up."""
        stages, todo = [], [(self, w)]
        while todo:
            module, part = todo.pop()
            if isinstance(module, Compose):
                todo += zip(module.children, (None, None) if part is None else module.parts(part), strict=True)  # the inner one is popped first
            else:
                stages.append((module, part))
        return stages

    def forward(self, x, w):
        for module, part in self.stages(w):
            x = module.forward(x, part)
        return x

    def linearize(self, x, w):
        tape, weighed = [], [False]  # weighed[i]: some stage before the i-th has weights, so its pull must hand dx on
        for module, part in self.stages(w):
            x, push_i, pull_i = module.linearize(x, part)
            tape.append((push_i, pull_i, part))
            weighed.append(weighed[-1] or not part.is_empty)

        def push(dx, dw):
            for (push_i, _, _), (_, part) in zip(tape, self.stages(dw), strict=True):
                dx = push_i(dx, part)
            return dx

        def pull(dy, need_dx=True):  # a loop and not a recursion, so that every dy is gone when the next one is there
            dws = []
            for (_, pull_i, part), wanted in zip(reversed(tape), reversed(weighed[:-1]), strict=True):
                if dy is not None:
                    dy, dw = pull_i(dy, need_dx or wanted)
                else:  # nobody further in has weights, or asked
                    dw = Covector(part.nest())
                dws.append(dw)
            return dy, self._nested(iter(dws))

        return x, push, pull

    def _nested(self, dws: Iterator[Covector]) -> Covector:
        """The Covectors of the stages, outermost first, in the nest of the weights."""
        return make(Covector, tuple([c._nested(dws) if isinstance(c, Compose) else next(dws) for c in self.children]))

    def __repr__(self):
        return " @ ".join(f"({c})" if isinstance(c, Compose) and i == 1 else str(c) for i, c in enumerate(self.children))


def _sharpness_in_series(outer: Module, inner: Module, p: float, q: float) -> Sharpness:
    """Second derivatives of outer(inner(x)) by the chain rule; |dw_inner| <= norm/p and |dw_outer| <= norm/q. Large et al. 2024, appendix."""
    if outer.sharpness is None or inner.sharpness is None:
        return None
    (a2, b2, c2), (a1, b1, c1), s2, s1 = outer.sharpness, inner.sharpness, outer.sensitivity, inner.sensitivity
    P, Q = (1 / p if p else 0.0), 1 / q  # behind an outer module of sensitivity 0 nothing inside is felt
    return (a2 * Q * Q + 2 * b2 * P * Q + c2 * P * P + s2 * a1 * P * P,
            s1 * b2 * Q + s1 * c2 * P + s2 * b1 * P,
            s1 * s1 * c2 + s2 * c1)


class Concatenate(Compound):
    """(A, B, ...): the same x to all, a tuple of outputs, whose norm is the sum of theirs. Weights (A's, B's, ...)."""

    def _combine(self):
        self.mass = sum(child.mass for child in self.children)
        self.sensitivity = sum(child.sensitivity for child in self.children)
        p = [per_mass(self.mass, child.mass) for child in self.children]
        self.norm = Largest(*(scaled(p_i, child.norm) for p_i, child in zip(p, self.children, strict=True)))
        if all(child.sharpness for child in self.children):
            self.sharpness = tuple(sum(child.sharpness[i] / p_i ** (2 - i) if i < 2 else child.sharpness[i]
                                       for p_i, child in zip(p, self.children, strict=True)) for i in range(3))

    def forward(self, x, w):
        return tuple(child.forward(x, part) for child, part in zip(self.children, self.parts(w), strict=True))

    def linearize(self, x, w):
        y, pushes, pulls = zip(*(child.linearize(x, part) for child, part in zip(self.children, self.parts(w), strict=True)), strict=True)
        zero = nothing(y)  # what a child that was not moved answers; y itself must not live as long as its derivative

        def push(dx, dw):
            dws = [None] * len(pushes) if dw is None else self.parts(dw)
            dy = [push_i(dx, dw_i) for push_i, dw_i in zip(pushes, dws, strict=True)]
            return tuple(zero_i if dy_i is None else dy_i for dy_i, zero_i in zip(dy, zero, strict=True))

        def pull(dy, need_dx=True):
            dx, dws = None, []
            for pull_i, dy_i in zip(pulls, dy, strict=True):
                dx_i, dw_i = pull_i(dy_i, need_dx)
                dx = add(dx, dx_i)
                dws.append(dw_i)
            return dx, make(Covector, tuple(dws))

        return y, push, pull

    def __repr__(self):
        return "(" + ", ".join(map(str, self.children)) + ")"


class Atom(Module):
    """A module with one array of weights, of shape `shape`."""

    mass = 1.0
    shape: tuple[int, ...]

    def weight(self, w: Vector):
        """The array of w, checked. Raises TypeError or ValueError with the shape that was expected."""
        if not isinstance(w, Vector):
            raise TypeError(f"weights of {self} must be a Vector, got {type(w).__name__}; module.initialize(rng) makes one, Vector(array) wraps one")
        W, axes = w.value, len(self.shape)
        if isinstance(W, tuple) or W.shape[-axes:] != self.shape or W.ndim > axes + 1:
            raise ValueError(f"{self} needs weights {list(self.shape)}, or [K, ...] for an ensemble, got {shapes(w.nest())}")
        if not is_float(W):
            raise ValueError(f"weights of {self} must be floating-point numbers, got {W.dtype}; convert with .astype(np.float32)")
        return W

    def networks(self, w):
        W = self.weight(w)
        return len(W) if W.ndim > len(self.shape) else 0

    def agree(self, x, W, features: int) -> None:
        """Raises ValueError where x [..., features] does not fit the weights W: features, dtype, or the axis of an ensemble."""
        if not hasattr(x, "shape") or x.shape[-1:] != (features,):
            raise ValueError(f"{self} expects x of shape [..., {features}], got {shapes(x)}")
        if x.dtype != W.dtype:
            raise TypeError(f"{self} met x of {x.dtype} and weights of {W.dtype}; cast one, nothing is cast in silence")
        self.agree_ensemble(x, W)

    def agree_ensemble(self, x, W) -> None:
        """Raises ValueError where W is an ensemble [K, ...] and x has no leading axis K or 1."""
        if W.ndim > len(self.shape) and (x.ndim < 2 or len(x) not in (1, len(W))):
            raise ValueError(f"{self} holds an ensemble of {len(W)} networks, so x needs a leading axis {len(W)}, or 1 to share it (x[None]); "
                             f"got {shapes(x)}")

    def project(self, w):
        return self.norm.project(w)

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(map(str, self.shape))})"


NO_GRADIENT = Covector(())


class Bond(Module):
    """A module without weights: subclasses write forward(x, w), push and pull as derivative(x) -> (y, push(dx), pull(dy))."""

    axes: int | None = 0
    """How many axes x must have at least; None where x may be a tuple, which `derivative` then checks."""

    def derivative(self, x):
        """(y, push: dx -> dy, pull: dy -> dx) at x."""
        raise NotImplementedError

    def linearize(self, x, w):
        if self.axes is not None and not (is_array(x) and x.ndim >= self.axes):
            raise ValueError(f"{self} expects an array{f' of {self.axes} axes or more' if self.axes else ''}, got {shapes(x)}")
        y, push, pull = self.derivative(x)
        return y, lambda dx, dw=None: None if dx is None else push(dx), lambda dy, need_dx=True: (pull(dy) if need_dx else None, NO_GRADIENT)


class Identity(Bond):
    """y = x."""

    axes = None
    sharpness = (0.0, 0.0, 0.0)

    def derivative(self, x):
        return x, lambda dx: dx, lambda dy: dy


class Add(Bond):
    """y = x_1 + x_2 + ... for a tuple x. Sensitivity 1, since the norm of a tuple is the sum of its parts' norms."""

    axes = None
    sharpness = (0.0, 0.0, 0.0)

    def derivative(self, x):
        if not (isinstance(x, tuple) and all(matches(x[0], part) for part in x)):
            raise ValueError(f"Add needs a tuple of arrays of one shape, got {shapes(x)}")
        n, total = len(x), lambda parts: sum(parts[1:], parts[0])
        return total(x), total, lambda dy: (dy,) * n  # and not len(x), which would keep the parts of x alive


class Multiply(Bond):
    """y = c x for a number c. Sensitivity |c|."""

    axes = None
    sharpness = (0.0, 0.0, 0.0)

    def __init__(self, c: float):
        if not isinstance(c, Real) or not abs(c) < inf:
            raise TypeError(f"a module is multiplied by a finite number, got {c!r}")
        self.c, self.sensitivity = float(c), abs(float(c))

    def derivative(self, x):
        times = lambda z: tuple(map(times, z)) if isinstance(z, tuple) else self.c * z
        return times(x), times, times

    def __repr__(self):
        return f"{self.c:g}"
