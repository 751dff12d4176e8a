"""Vector and Covector: elements of the weight space W and of its dual W*.

Weights nest as the module nests: a Vector is one array (a leaf) or a tuple of Vectors. A gradient is a Covector: it eats a Vector and gives a
number. The two have the same shape and different types, so that `w - 0.1 * g` is an error rather than a convention: it takes a norm to
turn a Covector into a Vector.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from numbers import Real
from operator import add, sub

from .arrays import Array, device_of, is_array, namespace, shapes, to_device

_MEND = "turn the gradient into a step with a norm first, for example w - eta * Euclidean().sharp(g) or w - eta * module.dualize(g)"


class Tree:
    """A nest of arrays with the arithmetic of a linear space. Use Vector or Covector."""

    __slots__ = ("value",)
    __array_ufunc__ = None  # so that numpy_number * tree asks the tree, and np.exp(tree) is an error

    def __init__(self, value):
        """From an array (a leaf), or a tuple or list whose items are arrays or elements of this very class."""
        if isinstance(value, Tree):
            value = _same_kind(type(self), value).value
        elif isinstance(value, (tuple, list)):
            kind = type(self)
            value = tuple([_same_kind(kind, v) if isinstance(v, Tree) else kind(v) for v in value])
        elif not is_array(value):
            raise TypeError(f"{type(self).__name__} needs an array or a tuple of them, got {type(value).__name__}")
        self.value = value

    @property
    def is_leaf(self) -> bool:
        """Whether this is a single array."""
        return not isinstance(self.value, tuple)

    @property
    def array(self) -> Array:
        """The array of a leaf. Raises TypeError for a nest: pick a part with w[i] first, or loop over w.leaves()."""
        if not self.is_leaf:
            raise TypeError(f"{type(self).__name__} {shapes(self.nest())} is a nest of arrays; pick one with w[i], or loop over w.leaves()")
        return self.value

    def nest(self):
        """The same nest as plain tuples of arrays."""
        return self.value if self.is_leaf else tuple(part.nest() for part in self.value)

    def leaves(self) -> list[Array]:
        """All arrays, in order."""
        return [self.value] if self.is_leaf else [leaf for part in self.value for leaf in part.leaves()]

    def map(self, f: Callable[..., Array], *others: Tree) -> Tree:
        """The element of this class with f(array, *other arrays) in every leaf. Raises ValueError where the nests differ."""
        value = self.value
        for other in others:
            _agree(self, other)
        if not isinstance(value, tuple):
            return type(self)(f(value, *[other.value for other in others]))
        return make(type(self), tuple(map(_map, repeat(f), value, *[other.value for other in others]))) if value else self

    @property
    def device(self) -> str:
        """Where the numbers lie: "cpu" or "gpu"."""
        return next(map(device_of, self.leaves()), "cpu")

    def to(self, device: str) -> Tree:
        """The same numbers on `device`, "cpu" or "gpu". Random weights are drawn on the host and moved, so they are the same everywhere."""
        return self.map(lambda x: to_device(x, device))

    @property
    def is_empty(self) -> bool:
        """Whether there is no array in it, as in the weights of a bond."""
        value = self.value
        return isinstance(value, tuple) and all(part.is_empty for part in value)

    @property
    def size(self) -> int:
        """How many numbers this holds."""
        return sum(leaf.size for leaf in self.leaves())

    def flatten(self) -> Array:
        """All numbers in one long array [size]."""
        leaves = self.leaves()
        if not leaves:
            raise ValueError(f"this {type(self).__name__} holds no numbers: it belongs to a module without weights")
        return leaves[0].reshape(-1) if len(leaves) == 1 else namespace(leaves[0]).concatenate([leaf.reshape(-1) for leaf in leaves])

    def unflatten(self, flat: Array, kind: type | None = None) -> Tree:
        """The inverse of flatten: the numbers of `flat` [size] in this nest, as an element of class `kind` (this one's by default)."""
        kind, offset = kind or type(self), 0
        if flat.shape != (self.size,):
            raise ValueError(f"unflatten needs an array of shape [{self.size}], got {list(flat.shape)}")

        def fill(tree):
            nonlocal offset
            if not tree.is_leaf:
                return kind(tuple(map(fill, tree.value)))
            offset += tree.value.size
            return kind(flat[offset - tree.value.size:offset].reshape(tree.value.shape))

        return fill(self)

    def __iter__(self) -> Iterator[Tree]:
        return iter(self._parts())

    def __len__(self) -> int:
        return len(self._parts())

    def __getitem__(self, i) -> Tree:
        return self._parts()[i]

    def _parts(self) -> tuple[Tree, ...]:
        if self.is_leaf:
            raise TypeError(f"this {type(self).__name__} is one array {shapes(self.value)}, not a nest; its numbers are in .array")
        return self.value

    def __add__(self, other):
        if not isinstance(other, Tree):
            return NotImplemented
        return combine(add, self, _same_kind(type(self), other, "+"))

    def __sub__(self, other):
        if not isinstance(other, Tree):
            return NotImplemented
        return combine(sub, self, _same_kind(type(self), other, "-"))

    def __neg__(self):
        return self.map(lambda x: -x)

    def __mul__(self, c):
        """Times a number, or times an array [K] with one number for each network of an ensemble (a leading axis on every leaf)."""
        return NotImplemented if isinstance(c, Tree) else self.map(lambda x: x * _scalar(c, x))

    __rmul__ = __mul__

    def __truediv__(self, c):
        return NotImplemented if isinstance(c, Tree) else self.map(lambda x: x / _scalar(c, x))

    def __eq__(self, other):
        raise TypeError(f"comparing {type(self).__name__}s with == is ambiguous; compare their arrays, or a norm of the difference with a tolerance")

    __hash__ = None

    def __repr__(self):
        return f"{type(self).__name__}({_text(self.value)})"

    def __getstate__(self):
        return self.value

    def __setstate__(self, value):
        self.value = value


class Vector(Tree):
    """An element of the weight space W: weights, or a step that can be added to weights."""

    __slots__ = ()

    def __matmul__(self, other):
        if isinstance(other, Covector):
            return other @ self
        raise TypeError("the pairing is Covector @ Vector; two Vectors have no product until a norm is named")


class Covector(Tree):
    """An element of the dual space W*: a gradient. `g @ v` is the change of the loss, to first order, along the Vector v."""

    __slots__ = ()

    def __matmul__(self, v: Vector) -> float:
        if not isinstance(v, Vector):
            raise TypeError(f"the pairing is Covector @ Vector, got Covector @ {type(v).__name__}")
        return sum(namespace(a).vdot(a, b) for a, b in zip(self.leaves(), combine(lambda a, b: b, self, v).leaves(), strict=True))


def make(kind: type, value: Array | tuple[Tree, ...]) -> Tree:
    """An element of this class from an array, or from a tuple of its elements, that need not be looked at again."""
    tree = kind.__new__(kind)
    tree.value = value
    return tree


def relabel(kind: type, tree: Tree) -> Tree:
    """The same numbers as an element of another class. Only a norm has the right to do this."""
    value = tree.value
    return make(kind, tuple([relabel(kind, part) for part in value]) if isinstance(value, tuple) else value)


def _map(f: Callable[..., Array], tree: Tree, *others: Tree) -> Tree:
    return tree.map(f, *others)


def combine(f: Callable[[Array, Array], Array], a: Tree, b: Tree) -> Tree:
    """f(array, array) in every leaf of two elements of one class. Raises ValueError where their nests or their shapes differ."""
    x, y = a.value, b.value
    _agree(a, b)
    if isinstance(x, tuple):
        return make(type(a), tuple(map(combine, repeat(f), x, y))) if x else a
    if x.shape != y.shape:
        raise ValueError(f"shapes {list(x.shape)} and {list(y.shape)} do not match")
    return make(type(a), f(x, y))


def _same_kind(kind: type, other: Tree, sign: str = "") -> Tree:
    if isinstance(other, kind):
        return other
    if sign:
        raise TypeError(f"{kind.__name__} {sign} {type(other).__name__} does not type check: weights live in W and gradients in its dual W*; {_MEND}")
    raise TypeError(f"a {kind.__name__} cannot be made of a {type(other).__name__}: weights live in W and gradients in its dual W*; {_MEND}")


def _agree(a: Tree, b: Tree) -> None:
    nests = isinstance(a.value, tuple)
    if nests != isinstance(b.value, tuple) or nests and len(a.value) != len(b.value):
        raise ValueError(f"{type(a).__name__}s nest differently: {shapes(a.nest())} and {shapes(b.nest())}")


def _scalar(c, x: Array):
    """`c` ready to multiply the leaf x: a Python number keeps the dtype of x, an array [K] meets the leading axis of x."""
    if type(c) in (int, float):
        return c
    if isinstance(c, Real) or getattr(c, "ndim", None) == 0:  # a float64 scalar of NumPy would widen float32 weights
        return c if is_array(c) and c.dtype == x.dtype and namespace(c) is namespace(x) else float(c)
    if getattr(c, "ndim", None) == 1 and x.ndim and len(c) == len(x):
        return namespace(x).asarray(c, dtype=x.dtype).reshape(c.shape + (1,) * (x.ndim - 1))
    raise TypeError(f"a leaf of shape {list(x.shape)} can be scaled by a number or by an array [K] for an ensemble of K networks, got {shapes(c)}")


def _text(value) -> str:
    return "(" + ", ".join(_text(part.value) for part in value) + ")" if isinstance(value, tuple) else str(value).replace("\n", "\n       ")
