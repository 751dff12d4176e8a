"""Norms on weight space, their dual norms on gradients, and the dual maps between the two.

For every norm here, with d = norm.dualize(g):    <g, d> = norm.dual(g)    and    norm(d) = 1    (d = 0 where g = 0).

A norm takes Vectors and its dual takes Covectors; arrays without a type are let through for work with pencil and paper. The methods with an
underscore do the mathematics on bare arrays and on the last axis (two axes for matrices), so leading axes are independent.
"""
from collections.abc import Callable, Sequence
from functools import reduce
from math import inf, sqrt

import numpy as np

from . import linalg
from .arrays import Array, is_array, is_float, namespace, ratio, shapes, to_numpy, transpose, whole
from .vectors import Covector, Tree, Vector, relabel


class Norm:
    """A norm: size, dual size and dual map. A new norm defines _size, _dual and _dualize on arrays, batched over leading axes.

    A plain norm takes all numbers that it is given as one vector, an ensemble of networks too; the norm of a module keeps its networks apart.
    """

    def __call__(self, v: Vector | Array):
        """The norm of a Vector: a number."""
        return self._size(self._enter(v, Vector))

    def dual(self, g: Covector | Array):
        """The dual norm of a Covector: max <g, d> over norm(d) <= 1."""
        return self._dual(self._enter(g, Covector))

    def dualize(self, g: Covector | Array) -> Vector | Array:
        """A Vector d of norm 1 with <g, d> = dual(g): the direction of steepest ascent. dualize(0) = 0."""
        return self._leave(self._dualize(self._enter(g, Covector)), g)

    def sharp(self, g: Covector | Array) -> Vector | Array:
        """dual(g) * dualize(g), the steepest descent Vector: argmax <g, d> - norm(d)^2 / 2. For Euclidean it has the entries of g."""
        entered = self._enter(g, Covector)
        return self._leave(_scale(self._dual(entered), self._dualize(entered)), g)

    def project(self, v: Vector | Array) -> Vector | Array:
        """`v` itself where norm(v) <= 1, otherwise a Vector of norm 1 near it (v / norm(v) unless the norm knows better)."""
        return self._leave(self._project(self._enter(v, Vector)), v)

    def normalize(self, v: Vector | Array) -> Vector | Array:
        """`v` resized to norm 1, every part of a nest by itself; 0 stays 0. Unlike dualize it keeps the direction."""
        return self._leave(self._normalize(self._enter(v, Vector)), v)

    def _project(self, x):
        size = self._size(x)
        return _scale(1 / namespace(size).maximum(size, 1), x)

    def _normalize(self, x):
        return ratio(x, self._size(x))

    def _enter(self, x, kind: type):
        """The arrays that the mathematics works on: here, all numbers of x in one row."""
        check(self, x, kind)
        return x.flatten() if isinstance(x, Tree) else x.reshape(-1)

    def _leave(self, y, x) -> Vector | Array:
        """The inverse of _enter: y in the nest or shape of x, a Vector where x is typed."""
        return x.unflatten(y, Vector) if isinstance(x, Tree) else y.reshape(x.shape)

    def __repr__(self):
        name = lambda v: str(getattr(getattr(v, "func", v), "__name__", v))  # a partial is called by its function
        return f"{type(self).__name__}({', '.join(name(v) for v in vars(self).values() if v is not None)})"


def check(norm: Norm, x, kind: type) -> None:
    """Raises TypeError where x is of the dual kind, ValueError where its numbers are not floating-point numbers."""
    if isinstance(x, Tree) and not isinstance(x, kind):
        raise TypeError(f"{norm!r} met a {type(x).__name__} where a {kind.__name__} belongs: norm(v) and norm.project(v) take Vectors; "
                        "norm.dual(g), norm.dualize(g) and norm.sharp(g) take Covectors (gradients)")
    for leaf in x.leaves() if isinstance(x, Tree) else [x]:
        if not (is_array(leaf) and is_float(leaf)):
            raise ValueError(f"{norm!r} needs arrays of floating-point numbers, got {leaf.dtype if is_array(leaf) else type(leaf).__name__}; "
                             "convert with np.asarray(x, dtype=float)")


def _scale(c, x):
    """c * x in the dtype of x, on nests of tuples; an array c [...] has one factor for each independent x [..., axes]."""
    if isinstance(x, tuple):
        return tuple(_scale(c, part) for part in x)
    c = namespace(x).asarray(c, dtype=x.dtype)
    return c.reshape(c.shape + (1,) * (x.ndim - c.ndim)) * x


def _unit(x: Array, axes=-1) -> tuple[Array, Array]:
    """(x / top, top) with top = max |x|: squares of what is left neither overflow nor underflow."""
    top = abs(x).max(axes, keepdims=True)
    return ratio(x, top), top


# Norms of vectors: every number of a Vector counts alike, however it nests.


class Euclidean(Norm):
    """|v| = sqrt(sum v_i^2); its own dual. Steepest descent under it is gradient descent."""

    def _size(self, v):
        v, top = _unit(v)
        return top[..., 0] * namespace(v).sqrt((v * v).sum(-1))

    _dual = _size

    def _dualize(self, g):
        g, _ = _unit(g)
        return ratio(g, self._size(g))

    def sharp(self, g):
        """The Vector with the entries of g: the one norm under which gradient and steepest descent agree."""
        check(self, g, Covector)
        return relabel(Vector, g) if isinstance(g, Tree) else g


class RMS(Norm):
    """|v| = sqrt(mean v_i^2): 1 when the entries are about 1, in any dimension. The dual norm is sqrt(d) |g|_2."""

    def _size(self, v):
        v, top = _unit(v)
        return top[..., 0] * namespace(v).sqrt((v * v).mean(-1))

    def _dual(self, g):
        return g.shape[-1] * self._size(g)

    def _dualize(self, g):
        g, _ = _unit(g)
        return ratio(g, self._size(g))


class Manhattan(Norm):
    """|v|_1 = sum |v_i|; dual to Max. The dual map moves one coordinate: the (first) largest of the gradient."""

    def _size(self, v):
        return abs(v).sum(-1)

    def _dual(self, g):
        return abs(g).max(-1)

    def _dualize(self, g):
        xp = namespace(g)
        first = xp.arange(g.shape[-1]) == abs(g).argmax(-1)[..., None]
        return xp.sign(g) * first


class Max(Norm):
    """|v|_inf = max |v_i|; dual to Manhattan. The dual map is the sign: every coordinate moves alike."""

    def _size(self, v):
        return abs(v).max(-1)

    def _dual(self, g):
        return abs(g).sum(-1)

    def _dualize(self, g):
        return namespace(g).sign(g)


class Lp(Norm):
    """|v|_p = (sum |v_i|^p)^(1/p), 1 < p < inf; dual to q with 1/p + 1/q = 1. Raises ValueError for other p: Manhattan is p = 1, Max p = inf."""

    def __init__(self, p: float):
        if not 1 < p < inf:
            raise ValueError(f"Lp needs 1 < p < inf, got p = {p}; use Manhattan() for 1 and Max() for inf (below 1 the triangle inequality fails)")
        self.p, self.q = float(p), float(p / (p - 1))

    def _size(self, v, p=None):
        p, top = p or self.p, abs(v).max(-1)
        return top * (ratio(abs(v), top) ** p).sum(-1) ** (1 / p)

    def _dual(self, g):
        return self._size(g, self.q)

    def _dualize(self, g):  # sign(g) |g|^(q-1), resized
        return namespace(g).sign(g) * ratio(abs(g), self._dual(g)) ** (self.q - 1)


class TopK(Norm):
    """The sum of the k largest |v_i|: Max for k = 1, Manhattan for k = d. The dual norm is max(|g|_inf, |g|_1 / k)."""

    def __init__(self, k: int):
        self.k = whole("TopK", "k", k)

    def _size(self, v):
        return -namespace(v).sort(-abs(v), axis=-1)[..., :self.k].sum(-1)

    def _dual(self, g):
        return namespace(g).maximum(Max()._size(g), Manhattan()._size(g) / min(self.k, g.shape[-1]))

    def _dualize(self, g):
        k = min(self.k, g.shape[-1])
        one = Max()._size(g) * k >= Manhattan()._size(g)
        return namespace(g).where(one[..., None], Manhattan()._dualize(g), Max()._dualize(g) / k)


class Weighted(Norm):
    """|v| = sqrt(v^T A v) for a positive diagonal A, given as [d], or a symmetric positive definite A [d, d].

    The dual norm is sqrt(g^T A^-1 g); steepest descent under it is gradient descent preconditioned by A^-1. Raises ValueError for any other A.
    """

    def __init__(self, A: Array):
        A = to_numpy(A).astype(float) if is_array(A) else np.asarray(A, dtype=float)
        if A.ndim == 1 and not (A > 0).all():
            raise ValueError(f"Weighted needs positive weights, got {A}")
        if A.ndim == 2 and not (A.shape[0] == A.shape[1] and np.allclose(A, A.T) and np.linalg.eigvalsh(A)[0] > 0):
            raise ValueError("Weighted needs a symmetric positive definite matrix")
        if A.ndim not in (1, 2):
            raise ValueError(f"Weighted needs weights [d] or a matrix [d, d], got shape {list(A.shape)}")
        self.A = A
        self.inverse = 1 / A if A.ndim == 1 else np.linalg.inv(A)

    def _times(self, A, v):
        if v.shape[-1] != len(A):
            raise ValueError(f"Weighted has weights for {len(A)} numbers, got {v.shape[-1]}")
        A = namespace(v).asarray(A, dtype=v.dtype)
        return A * v if A.ndim == 1 else v @ A

    def _size(self, v):
        v, top = _unit(v)
        return top[..., 0] * namespace(v).sqrt((v * self._times(self.A, v)).sum(-1))

    def _dual(self, g):
        g, top = _unit(g)
        return top[..., 0] * namespace(g).sqrt((g * self._times(self.inverse, g)).sum(-1))

    def _dualize(self, g):
        g, _ = _unit(g)
        return ratio(self._times(self.inverse, g), self._dual(g))


class Polygon(Norm):
    """The norm of the plane whose unit ball is the convex hull of the points +-p, p in `vertices` [n, 2].

    |g|* is the largest |<g, p>| and the dual map is the corner that attains it. Raises ValueError unless the points span the plane.
    """

    def __init__(self, vertices: Sequence[Sequence[float]]):
        P = np.asarray(vertices, dtype=float)
        if P.ndim != 2 or P.shape[1] != 2 or np.linalg.matrix_rank(P) < 2:
            raise ValueError(f"Polygon needs points [n, 2] that span the plane, got shape {list(P.shape)}")
        self.vertices = np.concatenate([P, -P])
        pairs = np.stack([self.vertices[i] for i in np.triu_indices(len(self.vertices), 1)], axis=1)
        pairs = pairs[abs(np.linalg.det(pairs)) > 1e-12 * np.abs(P).max() ** 2]
        normals = np.linalg.solve(pairs, np.ones((len(pairs), 2, 1)))[..., 0]  # the line through two points is <n, v> = 1
        self.normals = normals[(normals @ self.vertices.T).max(1) <= 1 + 1e-9]  # an edge has all points on one side

    def _size(self, v):
        return (v @ namespace(v).asarray(self.normals.T, dtype=v.dtype)).max(-1)

    def _dual(self, g):
        return (g @ namespace(g).asarray(self.vertices.T, dtype=g.dtype)).max(-1)

    def _dualize(self, g):
        P = namespace(g).asarray(self.vertices, dtype=g.dtype)
        return P[(g @ P.T).argmax(-1)] * (abs(g).max(-1) > 0)[..., None]

    def __repr__(self):
        return f"Polygon({len(self.vertices)} points)"


# Norms of matrices: a single leaf [fan_out, fan_in] or an ensemble [K, fan_out, fan_in], and any leading axes for a norm that was told the shape.


class MatrixNorm(Norm):
    """A norm of matrices. Leading axes are independent matrices: one axis (an ensemble), or any where `shape`, that of one matrix, is given."""

    shape: tuple[int, ...] | None = None

    def _enter(self, x, kind):
        check(self, x, kind)
        x = x.array if isinstance(x, Tree) else x
        if self.shape is None and x.ndim not in (2, 3):
            raise ValueError(f"{self!r} needs a matrix [m, n] or an ensemble of them [K, m, n], got shape {list(x.shape)}; flatten or index it first")
        if self.shape is not None and tuple(x.shape[-len(self.shape):]) != self.shape:
            raise ValueError(f"{self!r} measures arrays {list(self.shape)}, got shape {list(x.shape)}")
        return x

    def _leave(self, Y, x):
        return Vector(Y) if isinstance(x, Tree) else Y


class Schatten(MatrixNorm):
    """A vector norm (`gauge`) of the singular values: Lp(p) gives the Schatten p-norm. A number p stands for Lp(p).

    The gauge must not care for the order or the signs of its entries, as the p-norms and TopK do not and Weighted and Polygon do.

    The dual norm is the dual gauge of the singular values, and U S V^T dualizes to U diag(gauge.dualize(s)) V^T (von Neumann 1937).
    """

    def __init__(self, gauge: Norm | float, shape: tuple[int, int] | None = None):
        self.gauge = gauge if isinstance(gauge, Norm) else _lp(gauge)
        self.shape = shape

    def _size(self, W):
        return self.gauge._size(linalg.singular_values(W))

    def _dual(self, G):
        return self.gauge._dual(linalg.singular_values(G))

    def _dualize(self, G):
        U, s, Vt = linalg.svd(G)
        s = s * linalg.nonzero(s, max(G.shape[-2:]))
        return (U * self.gauge._dualize(s)[..., None, :]) @ Vt


class Spectral(Schatten):
    """The largest singular value; dual to Nuclear. G = U S V^T dualizes to U V^T, by `polar` (exact) or by another orthogonalizer."""

    def __init__(self, polar: Callable[[Array], Array] = linalg.polar, shape: tuple[int, int] | None = None):
        self.gauge, self.polar, self.shape = Max(), polar, shape

    def _dualize(self, G):
        return self.polar(G)

    def _project(self, W):  # the nearest matrix, in every unitarily invariant norm
        U, s, Vt = linalg.svd(W)
        return (U * namespace(W).minimum(s, 1)[..., None, :]) @ Vt


class Nuclear(Schatten):
    """The sum of the singular values; dual to Spectral. G dualizes to u v^T, its top pair of singular vectors."""

    def __init__(self, shape: tuple[int, int] | None = None):
        super().__init__(Manhattan(), shape)


class KyFan(Schatten):
    """The sum of the k largest singular values: Spectral for k = 1."""

    def __init__(self, k: int, shape: tuple[int, int] | None = None):
        super().__init__(TopK(k), shape)


class Frobenius(MatrixNorm):
    """sqrt(sum W_ij^2): Euclidean on the entries, and on the singular values."""

    def __init__(self, shape: tuple[int, int] | None = None):
        self.shape = shape

    def _size(self, W):
        W, top = _unit(W, (-2, -1))
        return top[..., 0, 0] * namespace(W).sqrt((W * W).sum((-2, -1)))

    _dual = _size

    def _dualize(self, G):
        G, _ = _unit(G, (-2, -1))
        return ratio(G, self._size(G))


class Rows(MatrixNorm):
    """The largest `row_norm` of a row. The dual norm is the sum of the rows' dual norms, and every row dualizes by itself."""

    def __init__(self, row_norm: Norm, shape: tuple[int, int] | None = None):
        self.row_norm, self.shape = row_norm, shape

    def _size(self, W):
        return self.row_norm._size(W).max(-1)

    def _dual(self, G):
        return self.row_norm._dual(G).sum(-1)

    def _dualize(self, G):
        return self.row_norm._dualize(G)

    def _project(self, W):
        return self.row_norm._project(W)


class Columns(Rows):
    """The largest `row_norm` of a column: Rows of the transpose."""

    def _size(self, W):
        return super()._size(transpose(W))

    def _dual(self, G):
        return super()._dual(transpose(G))

    def _dualize(self, G):
        return transpose(super()._dualize(transpose(G)))

    def _project(self, W):
        return transpose(super()._project(transpose(W)))


class Positions(MatrixNorm):
    """The largest `matrix_norm` of a matrix W[a, b] in a kernel [k, k, m, n]. The duals add, and every position dualizes by itself."""

    def __init__(self, matrix_norm: MatrixNorm, shape: tuple[int, int, int, int]):
        self.matrix_norm, self.shape = matrix_norm, shape

    def _size(self, W):
        return self.matrix_norm._size(W).max((-2, -1))

    def _dual(self, G):
        return self.matrix_norm._dual(G).sum((-2, -1))

    def _dualize(self, G):
        return self.matrix_norm._dualize(G)

    def _project(self, W):
        return self.matrix_norm._project(W)


def RowRMS(shape: tuple[int, int] | None = None) -> Norm:
    """The largest RMS of a row: the norm of an embedding table, one row a symbol [n, d]."""
    return Rows(RMS(), shape)


class FanScaled(MatrixNorm):
    """sqrt(fan_in / fan_out) times a matrix norm, the fans being those of the matrix [fan_out, fan_in] at hand."""

    def __init__(self, norm: MatrixNorm):
        self.norm = norm

    @property
    def shape(self):
        return self.norm.shape

    @staticmethod
    def factor(W: Array) -> float:
        """sqrt(fan_in / fan_out)."""
        return sqrt(W.shape[-1] / W.shape[-2])

    def _size(self, W):
        return self.factor(W) * self.norm._size(W)

    def _dual(self, G):
        return (1 / self.factor(G)) * self.norm._dual(G)

    def _dualize(self, G):
        return (1 / self.factor(G)) * self.norm._dualize(G)

    def _project(self, W):
        return (1 / self.factor(W)) * self.norm._project(self.factor(W) * W)


class RMSOperator(FanScaled):
    """Largest rms(W x) / rms(x) over x, which is sqrt(fan_in / fan_out) times the spectral norm. Yang, Simon & Bernstein 2023, eq. (5)."""

    def __init__(self, shape: tuple[int, int] | None = None, polar: Callable[[Array], Array] = linalg.polar):
        super().__init__(Spectral(polar, shape))


class MuonNorm(RMSOperator):
    """The spectral norm, over sqrt(fan_out / fan_in) where that is more than 1: RMSOperator for a matrix that widens. Jordan et al. 2024."""

    @staticmethod
    def factor(W: Array) -> float:
        """min(1, sqrt(fan_in / fan_out))."""
        return min(1.0, sqrt(W.shape[-1] / W.shape[-2]))


def Induced(p: float, q: float) -> Norm:
    """Largest |W x|_q / |x|_p over x, where a closed form exists: p = 1 (columns), q = inf (rows), p = q = 2 (spectral).

    Raises ValueError for the rest: they are NP-hard to compute in general (Steinberg 2005; Hendrickx & Olshevsky 2010).
    """
    if p == 1:
        return Columns(_lp(q))
    if q == inf:
        return Rows(_lp(1 if p == inf else p / (p - 1)))
    if p == q == 2:
        return Spectral()
    raise ValueError(f"the norm induced from l_{p} to l_{q} has no closed form; take p = 1, q = inf, or p = q = 2")


def _lp(p: float) -> Norm:
    return {1: Manhattan(), 2: Euclidean(), inf: Max()}.get(p) or Lp(p)


# Norms made of norms. Their arrays come as nests of tuples.


class Scaled(Norm):
    """c times a norm. The dual norm is divided by c, and so is the dual map.

    The two limits are stated once: c = inf forbids every move (0 has norm 0, all else inf; dual 0; dualizes to 0). c = 0 sees no
    move, as behind a `0 * module`: only g = 0 has a finite dual norm, and everything dualizes to 0.
    """

    def __init__(self, c: float, norm: Norm):
        if not c >= 0:
            raise ValueError(f"Scaled needs a factor >= 0, got {c}")
        self.c, self.norm = float(c), norm

    def _enter(self, x, kind):
        return self.norm._enter(x, kind)

    def _leave(self, y, x):
        return self.norm._leave(y, x)

    def sharp(self, g):
        return super().sharp(g) if self.c else self._leave(_scale(0.0, self._enter(g, Covector)), g)

    def _size(self, v):
        return _times(self.c, self.norm._size(v))

    def _dual(self, g):
        return _times(1 / self.c if self.c else inf, self.norm._dual(g))

    def _dualize(self, g):
        return _scale(1 / self.c if 0 < self.c < inf else 0.0, self.norm._dualize(g))

    def _normalize(self, v):
        return _scale(1 / self.c if 0 < self.c < inf else 0.0, self.norm._normalize(v))

    def _project(self, v):
        if 0 < self.c < inf:
            return _scale(1 / self.c, self.norm._project(_scale(self.c, v)))
        return v if self.c == 0 else _scale(0.0, v)


def _times(c: float, size):
    """c * size with inf * 0 = 0, in the dtype of size; NaN stays NaN."""
    if c < inf:
        return c * size
    return namespace(size).where(size == 0, size, size + inf) if is_array(size) else 0.0 if size == 0 else size + inf


class Largest(Norm):
    """max_i norm_i(v_i) on a nest (v_1, ..., v_n). The dual norm is the sum of the duals, and every part dualizes by itself: all saturate."""

    def __init__(self, *norms: Norm):
        self.norms = norms

    def _enter(self, x, kind):
        if not isinstance(x, Tree):
            raise TypeError(f"{type(self).__name__} measures a nest of {len(self.norms)} parts; wrap the arrays as {kind.__name__}((a, b, ...))")
        if x.is_leaf or len(x) != len(self.norms):
            raise ValueError(f"{type(self).__name__} measures a nest of {len(self.norms)} parts, got {shapes(x.nest())}")
        return tuple(norm._enter(part, kind) for norm, part in zip(self.norms, x, strict=True))

    def _leave(self, parts, x):
        return Vector(tuple(norm._leave(p, part) for norm, p, part in zip(self.norms, parts, x, strict=True)))

    def _each(self, method: str, parts) -> tuple:
        return tuple(getattr(norm, method)(part) for norm, part in zip(self.norms, parts, strict=True))

    def _size(self, parts):
        return _largest(self._each("_size", parts))

    def _dual(self, parts):
        return sum(self._each("_dual", parts))

    def _dualize(self, parts):
        return self._each("_dualize", parts)

    def _project(self, parts):
        return self._each("_project", parts)

    def _normalize(self, parts):
        return self._each("_normalize", parts)


def _largest(sizes: Sequence):
    """The largest size, network by network for an ensemble; 0 of none. Python numbers come from parts without weights."""
    arrays = [s for s in sizes if is_array(s)]
    return reduce(lambda a, b: namespace(a).maximum(a, b), arrays) if arrays else max(sizes, default=0.0)


def scaled(c: float, norm: Norm) -> Norm:
    """c times `norm`, with c carried through to the parts of a Largest, so that a deep network's norm is one factor an atom."""
    if type(norm) is Largest:
        return Largest(*(scaled(c, part) for part in norm.norms))
    if type(norm) is Scaled:
        return Scaled(inf if inf in (c, norm.c) else c * norm.c, norm.norm)
    return Scaled(c, norm)


class Total(Largest):
    """sum_i norm_i(v_i) on a nest. The dual norm is the largest dual, and only the (first) part that attains it moves."""

    def _size(self, parts):
        return sum(self._each("_size", parts))

    def _dual(self, parts):
        return _largest(self._each("_dual", parts))

    def _dualize(self, parts):
        duals = self._each("_dual", parts)
        first = namespace(_largest(duals)).stack(duals).argmax(0)
        return tuple(_scale(first == i, d) for i, d in enumerate(self._each("_dualize", parts)))

    def _project(self, parts):
        return Norm._project(self, parts)


class Layerwise(Norm):
    """The largest `norm` of an array in the nest, whatever the nest: Largest with the same norm for every layer."""

    def __init__(self, norm: Norm):
        self.norm = norm

    def _enter(self, x, kind):
        if not isinstance(x, Tree):
            raise TypeError(f"Layerwise measures the arrays of a {kind.__name__}; wrap them as {kind.__name__}((a, b, ...))")
        check(self, x, kind)
        return tuple(self.norm._enter(leaf, kind) for leaf in x.leaves())

    def _leave(self, parts, x):
        part = iter(parts)
        return Vector(x.map(lambda leaf: self.norm._leave(next(part), leaf)).nest())

    def _size(self, parts):
        return _largest([self.norm._size(x) for x in parts])

    def _dual(self, parts):
        return sum(self.norm._dual(x) for x in parts)

    def _dualize(self, parts):
        return tuple(map(self.norm._dualize, parts))

    def _project(self, parts):
        return tuple(map(self.norm._project, parts))

    def _normalize(self, parts):
        return tuple(map(self.norm._normalize, parts))
