"""Matrix functions behind the norms: orthogonal factors, top singular values, eigenvalues and linear systems of matrices given as products.

Matrices are [..., m, n]; leading axes are independent matrices.
"""
from collections.abc import Callable
from functools import partial

import numpy as np

from .arrays import Array, namespace, normal, ratio, rounding, transpose


def polar(G: Array, rank: int | None = None) -> Array:
    """The orthogonal factor U V^T of G = U S V^T; [..., m, n] to the same shape. Zero singular values stay zero, so polar(0) = 0.

    A G known to have at most `rank` nonzero singular values (a gradient of `rank` examples) is first compressed to that many rows by a random
    projection that keeps its range (Halko, Martinsson & Tropp 2011). That is exact, but rounding in float32 then counts in thousandths.
    """
    xp = namespace(G)
    if rank is not None and 2 * rank < min(G.shape[-2:]):
        probe = xp.asarray(normal(np.random.default_rng(0), (G.shape[-1], rank), G.dtype))
        Q, _ = xp.linalg.qr(G @ probe)
        return Q @ polar(transpose(Q) @ G)
    U, s, Vt = svd(G)
    return (U * nonzero(s, max(G.shape[-2:]))[..., None, :]) @ Vt


def svd(G: Array) -> tuple[Array, Array, Array]:
    """U [..., m, r], s [..., r] descending, V^T [..., r, n] with G = U diag(s) V^T and r = min(m, n). NaN where a matrix is not finite."""
    xp, finite = namespace(G), _finite(G)
    U, s, Vt = xp.linalg.svd(xp.where(finite, G, 0), full_matrices=False)
    return xp.where(finite, U, xp.nan), xp.where(finite[..., 0], s, xp.nan), Vt


def singular_values(G: Array) -> Array:
    """[..., r], descending; NaN where a matrix is not finite."""
    xp, finite = namespace(G), _finite(G)
    return xp.where(finite[..., 0], xp.linalg.svd(xp.where(finite, G, 0), compute_uv=False), xp.nan)


def _finite(G: Array) -> Array:
    """[..., 1, 1]: which matrices are finite. One diverged network must not stop an ensemble, as LAPACK would."""
    return namespace(G).isfinite(G).all((-2, -1), keepdims=True)


def nonzero(s: Array, n: int) -> Array:
    """1 for the singular values that rounding cannot have made, 0 for the others; s: [..., r], descending."""
    return (s > n * rounding(s) * s[..., :1]).astype(s.dtype)


def inverse_root(A: Array, p: float) -> Array:
    """A^(-1/p) of a symmetric positive semidefinite A [..., n, n], a pseudo-inverse: eigenvalues that rounding can have made stay 0."""
    xp = namespace(A)
    s, U = xp.linalg.eigh(A)
    kept = s > A.shape[-1] * rounding(s) * s[..., -1:]
    return (U * (xp.where(kept, s, 1) ** (-1 / p) * kept)[..., None, :]) @ transpose(U)


CUBIC = ((1.5, -0.5, 0.0),) * 12
"""p(s) = 3/2 s - 1/2 s^3, the classical iteration: converges to 1 from (0, sqrt 3), slowly for small s."""
QUINTIC = ((15 / 8, -10 / 8, 3 / 8),) * 8
"""p(s) = (15 s - 10 s^3 + 3 s^5)/8: p'(1) = p''(1) = 0, so near 1 each step cubes the error."""
MUON = ((3.4445, -4.7750, 2.0315),) * 5
"""Jordan 2024: steep at 0 and never convergent (3.4445 - 4.7750 + 2.0315 = .701): singular values land in about [.68, 1.13]."""
SIX_STEP = tuple((a / 1024, b / 1024, c / 1024) for a, b, c in (
    (3955, -8306, 5008), (3735, -6681, 3463), (3799, -6499, 3211), (4019, -6385, 2906), (2677, -3029, 1162), (2172, -1833, 682)))
"""Six different quintics, coefficients over 1024, that together take [.01, 1] to [.9956, .9993]. You Jiacheng 2025, as used in Modula."""


def newton_schulz(G: Array, scheme=SIX_STEP) -> Array:
    """polar(G), nearly, by matrix products alone: X <- a X + b (X X^T) X + c (X X^T)^2 X for each (a, b, c) of `scheme`.

    Every singular value s of X goes to a s + b s^3 + c s^5. Those of G below about 1/100 of its Frobenius norm do not arrive at 1. [..., m, n].
    Kovarik 1970; Bjorck & Bowie 1971; Jordan 2024.
    """
    xp = namespace(G)
    if G.shape[-2] > G.shape[-1]:  # work on the short side
        return transpose(newton_schulz(transpose(G), scheme))
    top = abs(G).max((-2, -1), keepdims=True)  # first by the largest entry, so that no square over- or underflows
    X = ratio(G, top)
    size = xp.sqrt((X * X).sum((-2, -1), keepdims=True))
    X = ratio(X, size)
    if X.shape[-1] >= 3 * X.shape[-2]:
        return _factor(X @ transpose(X), scheme) @ X
    for coefficients in scheme:
        X = _polynomial(X @ transpose(X), *coefficients) @ X
    return X


def _polynomial(A: Array, a: float, b: float, c: float) -> Array:
    """a I + b A + c A^2."""
    P, i = b * A, namespace(A).arange(A.shape[-1])
    if c:
        P += c * (A @ A)
    P[..., i, i] += a
    return P


def _factor(A: Array, scheme) -> Array:
    """F with newton_schulz(X) = F X, from A = X X^T alone: X <- P X is A <- P A P and F <- P F, with no product as long as X.

    A holds squares, so in float32 the factor of a singular value near the scheme's lower end is off by some thousandths, as is the scheme.
    """
    F = P = _polynomial(A, *scheme[0])
    for coefficients in scheme[1:]:
        A = P @ A @ P
        P = _polynomial(A, *coefficients)
        F = P @ F
    return F


fast_polar = partial(newton_schulz, scheme=SIX_STEP)
"""Newton-Schulz by the six-step scheme: what training uses in place of `polar`."""


def power_iteration(M: Array, steps: int = 50, rng: np.random.Generator | None = None) -> Array:
    """The largest singular value of M [..., m, n], from below, by v <- M^T M v / |M^T M v|. The error shrinks by (s_2/s_1)^4 a step.

    The start is random, from default_rng(0) unless `rng` is given: any fixed vector is orthogonal to some matrix's top singular vector.
    """
    xp = namespace(M)
    v = xp.asarray(normal(rng or np.random.default_rng(0), (*M.shape[:-2], M.shape[-1], 1), M.dtype))
    for _ in range(steps):
        v = transpose(M) @ (M @ v)
        size = xp.sqrt((v * v).sum(-2, keepdims=True))
        v = ratio(v, size)
    return xp.sqrt(((M @ v) ** 2).sum((-2, -1)))


def lanczos(product: Callable[[Array], Array], start: Array, steps: int = 40) -> tuple[Array, Array]:
    """Ritz values [k], ascending, and Ritz vectors [n, k] of a symmetric matrix that is known only by its products with arrays [n].

    k <= steps: the iteration ends early when the Krylov space of `start` is exhausted. Every new vector is orthogonalized against all before
    (twice is enough: Parlett), so no ghost copies appear. Golub & Van Loan, ch. 10.
    """
    xp = namespace(start)
    size = float(xp.linalg.norm(start))
    if not size > 0:
        raise ValueError("lanczos needs a start vector that is not zero")
    basis, diagonal, off = [start / size], [], []
    while True:
        u = product(basis[-1])
        Q = xp.stack(basis, axis=1)
        diagonal.append(float(basis[-1] @ u))
        for _ in range(2):
            u = u - Q @ (Q.T @ u)
        size = float(xp.linalg.norm(u))
        scale = max(map(abs, diagonal + off))
        if len(basis) == min(steps, start.size) or size <= 100 * rounding(u) * scale:
            values, vectors = xp.linalg.eigh(xp.asarray(np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1), dtype=start.dtype))
            return values, Q @ vectors
        off.append(size)
        basis.append(u / size)


def conjugate_gradient(product: Callable[[Array], Array], b: Array, steps: int | None = None, tolerance: float = 1e-10) -> Array:
    """x with A x = b for a symmetric positive definite A known only by its products; at most `steps` of them (n by default).

    Stops when |A x - b| <= tolerance |b|. Raises ValueError where a direction of negative curvature shows that A is not positive definite.
    Hestenes & Stiefel 1952.
    """
    x, r = b * 0, b
    p, rr = r, float(r @ r)
    stop = tolerance ** 2 * rr
    for _ in range(b.size if steps is None else steps):
        if rr <= stop:
            break
        Ap = product(p)
        curvature = float(p @ Ap)
        if curvature <= 0:
            raise ValueError(f"conjugate_gradient needs a positive definite matrix, met the curvature {curvature:.3g}; add damping")
        x, r = x + (rr / curvature) * p, r - (rr / curvature) * Ap
        rr, old = float(r @ r), rr
        p = r + (rr / old) * p
    return x
