"""Homework 4, steepest descent and dual norms: what is right, and what people do instead."""
import numpy as np

from . import Checker, Exercise, Law, Misconception


def gradient(rng):
    """A gradient with a zero and no two entries alike, and a sharpness away from 1."""
    g = rng.standard_normal(int(rng.integers(3, 8)))
    g[rng.integers(len(g))] = 0.0
    return g, float(rng.uniform(2, 5))


def matrix(rng):
    """A matrix that is neither square nor short of rank."""
    m, n = rng.permutation([2, 3, 5, 7])[:2]
    return (rng.standard_normal((m, n)),)


def l1(g):
    return abs(g).sum()


def linf(g):
    return abs(g).max()


NO_MINUS = "The step climbs: it raises the loss to first order. Descent needs a minus sign."
OWN_DUAL = ("This is the max norm used as its own dual: the size of the step is the DUAL norm of the gradient. "
            "Which norm is max <g, d> over all d of norm 1?")
NO_SIZE = "The direction is right, and its size is not: nothing in it grows with the gradient. Steepest descent is size times direction."
SIGN_FORMULA = "That is the answer for one norm, the largest entry. Use `dual` and `dualize`, whatever norm they belong to."
EUCLIDEAN = "This is gradient descent, the answer under the Euclidean norm. Under the max norm every coordinate moves by the same amount."

BREADTH = {"breadth": (1, 2, 3, 4)}
"""How many times max |d_i| the norm is."""

linf_step = Exercise(
    "linf_step", 12, gradient, lambda g, L, breadth: -l1(g) * np.sign(g) / (breadth ** 2 * L), (
        Misconception(NO_MINUS, lambda g, L, breadth: l1(g) * np.sign(g) / (breadth ** 2 * L)),
        Misconception(OWN_DUAL, lambda g, L, breadth: -linf(g) * np.sign(g) / (breadth ** 2 * L)),
        Misconception(NO_SIZE, lambda g, L: -np.sign(g) / L),
        Misconception(NO_SIZE, lambda g, L: -np.sign(g)),
        Misconception(EUCLIDEAN, lambda g, L: -g / L),
        Misconception("The size of the step comes from a norm of the gradient, and |g|_2 is not the one that belongs to the max norm.",
                      lambda g, L, breadth: -np.linalg.norm(g) * np.sign(g) / (breadth ** 2 * L)),
        Misconception("Positive and negative entries of g must not cancel in the size of the step.",
                      lambda g, L, breadth: -g.sum() * np.sign(g) / (breadth ** 2 * L))), (
        Law("A coordinate with g_i = 0 should not move.", lambda f, g, L: not np.asarray(f(g, L))[g == 0].any()),
        Law("Coordinates with g_i != 0 should all move by the same amount.", lambda f, g, L: np.ptp(abs(np.asarray(f(g, L))[g != 0])) < 1e-9),
        Law("When the sharpness doubles, the step should halve.", lambda f, g, L: np.allclose(f(g, 2 * L), np.asarray(f(g, L)) / 2)),
        Law("When the gradient doubles, so should the step.", lambda f, g, L: np.allclose(f(2 * g, L), 2 * np.asarray(f(g, L))))),
    numbers=BREADTH)

linf_decrease = Exercise(
    "linf_decrease", 8, gradient, lambda g, L, breadth: -l1(g) ** 2 / (2 * breadth ** 2 * L), (
        Misconception("This is the first term, <g, d>, alone. The quadratic term gives half of it back.",
                      lambda g, L, breadth: -l1(g) ** 2 / (breadth ** 2 * L)),
        Misconception("The model decreases at its minimum, so its change is negative.", lambda g, L, breadth: l1(g) ** 2 / (2 * breadth ** 2 * L)),
        Misconception(OWN_DUAL, lambda g, L, breadth: -linf(g) ** 2 / (2 * breadth ** 2 * L)),
        Misconception("This is the decrease of a Euclidean step. Which norm of g did the size of your step have?",
                      lambda g, L, breadth: -(g @ g) / (2 * breadth ** 2 * L))), (
        Law("When the sharpness doubles, the change should halve.", lambda f, g, L: np.isclose(f(g, 2 * L), f(g, L) / 2)),
        Law("When the gradient doubles, the change should be four times as large.", lambda f, g, L: np.isclose(f(2 * g, L), 4 * f(g, L)))),
    numbers=BREADTH)


def direction(rng):
    """A gradient, a sharpness, and the dual norm and dual map of l_3 as functions."""
    g, L = gradient(rng)
    q = 1.5
    dual = lambda g: (abs(g) ** q).sum() ** (1 / q)
    return g, L, dual, lambda g: np.sign(g) * (abs(g) / dual(g)) ** (q - 1)


steepest_step = Exercise(
    "steepest_step", 10, direction, lambda g, L, dual, dualize: -dual(g) / L * dualize(g), (
        Misconception(NO_MINUS, lambda g, L, dual, dualize: dual(g) / L * dualize(g)),
        Misconception(NO_SIZE, lambda g, L, dual, dualize: -dualize(g) / L),
        Misconception("The size is right, and the direction should be dualize(g), which has norm 1 already; yours still has the length of g.",
                      lambda g, L, dual, dualize: -dual(g) / L * g),
        Misconception("The size is the dual norm of the gradient; you took the dual norm of the direction.",
                      lambda g, L, dual, dualize: -dual(dualize(g)) / L * dualize(g)),
        Misconception(NO_SIZE, lambda g, L, dual, dualize: -dualize(g)),
        Misconception(SIGN_FORMULA, lambda g, L, dual, dualize: -l1(g) * np.sign(g) / L),
        Misconception("This is gradient descent, the answer for the Euclidean norm. Use `dual` and `dualize`.",
                      lambda g, L, dual, dualize: -g / L)), (
        Law("When the sharpness doubles, the step should halve.",
            lambda f, g, L, *norm: np.allclose(f(g, 2 * L, *norm), np.asarray(f(g, L, *norm)) / 2)),))


def polygon(rng):
    """A gradient of the plane, and three to five corners whose hull with their opposites is a unit ball."""
    n = int(rng.integers(3, 6))
    angle = np.pi * (np.arange(n) + rng.uniform(0.1, 0.9, n)) / n
    return rng.standard_normal(2), rng.uniform(0.7, 1.5, (n, 1)) * np.stack([np.cos(angle), np.sin(angle)], -1)


polygon_dual = Exercise(
    "polygon_dual", 10, polygon, lambda g, corners: abs(corners @ g).max(), (
        Misconception("Corners come in pairs, p and -p; the farthest one may be a -p, and then <g, p> is the most negative.",
                      lambda g, corners: (corners @ g).max()),
        Misconception("A linear function on a polygon is largest at one corner; you added the corners up.",
                      lambda g, corners: abs(corners @ g).sum()),
        Misconception("Farthest along g, and not farthest from the origin: the longest corner may stand across g.",
                      lambda g, corners: np.linalg.norm(corners, axis=1).max() * np.linalg.norm(g)),
        Misconception("Corners count with their length; you divided it out.",
                      lambda g, corners: (abs(corners @ g) / np.linalg.norm(corners, axis=1)).max()),
        Misconception("This measures how far out the corners are, and not how far along g: pair each corner with g.",
                      lambda g, corners: np.linalg.norm(corners, axis=1).max())))


def weighted(rng):
    """A gradient and a symmetric positive definite matrix, not diagonal."""
    n = int(rng.integers(2, 6))
    B = rng.standard_normal((n, n))
    return rng.standard_normal(n), B @ B.T + 0.5 * np.eye(n)


weighted_dual = Exercise(
    "weighted_dual", 10, weighted, lambda g, A, gauge: np.sqrt(g @ np.linalg.solve(A, g)) / gauge, (
        Misconception("This is the norm itself. A gradient is measured by the dual norm: do cheap directions make it large or small?",
                      lambda g, A, gauge: gauge * np.sqrt(g @ A @ g)),
        Misconception("A norm scales like g; yours scales like g squared. The square root is missing.",
                      lambda g, A, gauge: g @ np.linalg.solve(A, g) / gauge),
        Misconception("This uses the diagonal of A alone, as if the axes of the ellipse were the axes of the paper.",
                      lambda g, A, gauge: np.sqrt((g * g / np.diag(A)).sum()) / gauge),
        Misconception("This divides by the entries of A one by one. Solving A u = g is another thing unless A is diagonal.",
                      lambda g, A, gauge: np.sqrt(abs(g @ (1 / A) @ g)) / gauge),
        Misconception("A does not appear in your answer.", lambda g, A, gauge: np.linalg.norm(g) / gauge),
        Misconception("A enters once, not squared: solve A u = g and pair u with g.",
                      lambda g, A, gauge: np.linalg.norm(np.linalg.solve(A, g)) / gauge)), numbers={"gauge": (1, 2, 3, 5)})


def svd(G):
    return np.linalg.svd(G, full_matrices=False)


def orthogonal(G):
    U, _, Vt = svd(G)
    return U @ Vt


def top_pair(G):
    U, _, Vt = svd(G)
    return np.outer(U[:, 0], Vt[0])


def s(G):
    return svd(G)[1]


SWAPPED = ("Spectral and nuclear are swapped: this is the answer to the other one. On a diagonal G, which diagonal D of norm 1 in THIS norm makes "
           "the sum of G_ii D_ii largest?")
SELF_DUAL = "Only Frobenius is its own dual here. Which matrices have this norm 1, and which of them lies farthest along G?"
NOT_UNIT = "The dual map must have norm 1, and yours has the length of G."


def pairs(norm) -> tuple[Law, ...]:
    """The two laws of (dual norm, dual map) for a norm of matrices."""
    return (Law("The second thing you return should have norm 1, in the norm of this exercise.",
                lambda f, G: np.isclose(norm(np.asarray(f(G)[1])), 1)),
            Law("Pair G with your dualize(G), entry by entry: the sum should be the dual norm that you return.",
                lambda f, G: np.isclose((G * f(G)[1]).sum(), f(G)[0])),
            Law("Your dualize(G) has norm 1, but another matrix of norm 1 lies farther along G.", lambda f, G: False))


frobenius = Exercise(
    "frobenius", 6, matrix, lambda G: (np.linalg.norm(G), G / np.linalg.norm(G)), (
        Misconception(NOT_UNIT, lambda G: (np.linalg.norm(G), G)),
        Misconception("Frobenius is the Euclidean norm of the entries: its unit ball is round, and dualize(G) points along G.",
                      lambda G: (np.linalg.norm(G), orthogonal(G))),
        Misconception("For a matrix, np.linalg.norm(G, 2) is the largest singular value. Frobenius adds up the squares of all entries.",
                      lambda G: (s(G)[0], G / s(G)[0]))), pairs(np.linalg.norm))

spectral = Exercise(
    "spectral", 8, matrix, lambda G: (s(G).sum(), orthogonal(G)), (
        Misconception(SWAPPED, lambda G: (s(G)[0], top_pair(G))),
        Misconception(SELF_DUAL, lambda G: (s(G)[0], orthogonal(G))),
        Misconception(SELF_DUAL, lambda G: (s(G)[0], G / s(G)[0])),
        Misconception("The dual norm is right. G / |G| keeps the singular values unequal; more of <G, D> is to be had by making all of them 1.",
                      lambda G: (s(G).sum(), G / s(G)[0])),
        Misconception("The dual norm is right, and the dual map is that of the nuclear norm.",
                      lambda G: (s(G).sum(), top_pair(G)))), pairs(lambda D: s(D)[0]))

nuclear = Exercise(
    "nuclear", 8, matrix, lambda G: (s(G)[0], top_pair(G)), (
        Misconception(SWAPPED, lambda G: (s(G).sum(), orthogonal(G))),
        Misconception(SELF_DUAL, lambda G: (s(G).sum(), top_pair(G))),
        Misconception(SELF_DUAL, lambda G: (s(G).sum(), G / s(G).sum())),
        Misconception("The dual norm is right, and the dual map is that of the spectral norm.", lambda G: (s(G)[0], orthogonal(G))),
        Misconception("The dual norm is right. Spreading the weight over all singular values wastes it: put everything on the largest.",
                      lambda G: (s(G)[0], orthogonal(G) / len(s(G))))), pairs(lambda D: s(D).sum()))


def fans(G):
    """sqrt(fan_in / fan_out)."""
    return np.sqrt(G.shape[1] / G.shape[0])


FANS = ("Either the fan ratio of the norm is inverted, or you multiplied where the dual norm and the dual map divide: "
        "the norm 2|d| has half the dual norm of |d|.")

rms_operator = Exercise(
    "rms_operator", 8, matrix, lambda G: (s(G).sum() / fans(G), orthogonal(G) / fans(G)), (
        Misconception(FANS, lambda G: (s(G).sum() * fans(G), orthogonal(G) * fans(G))),
        Misconception("The dual map is right. If a norm is multiplied by c, the dual norm is divided by c as well.",
                      lambda G: (s(G).sum() * fans(G), orthogonal(G) / fans(G))),
        Misconception("The dual map is right. If a norm is multiplied by c, the dual norm changes too.",
                      lambda G: (s(G).sum(), orthogonal(G) / fans(G))),
        Misconception("The dual norm is right, and the dual map has spectral norm 1 instead of RMS -> RMS norm 1.",
                      lambda G: (s(G).sum() / fans(G), orthogonal(G))),
        Misconception("This is the row of the spectral norm. How many times the spectral norm is this norm, and what does that do to dual norm and "
                      "dual map?", lambda G: (s(G).sum(), orthogonal(G)))), pairs(lambda D: fans(D) * s(D)[0]))


def inputs(rng):
    """Samples [N, n], more than features, with unequal directions."""
    n = int(rng.integers(3, 6))
    return (rng.standard_normal((n + 6, n)) * rng.uniform(0.3, 2, n) @ np.linalg.qr(rng.standard_normal((n, n)))[0],)


def second_moment(X):
    return np.linalg.eigvalsh(X.T @ X / len(X))


LOWER = ("This constant is a lower bound: it holds for some steps and is violated by others. Majorization must hold for every D. "
         "Take the worst D for your norm and put it in.")


def bounds(least) -> tuple[Law, ...]:
    """How an answer may miss the least sharpness: by its scaling, from below, from above."""
    return (Law("Double all inputs, and the sharpness should be four times as large.", lambda f, X: np.isclose(f(2 * X), 4 * f(X))),
            Law("Show every sample twice: the loss is a mean, so the sharpness should stay the same.",
                lambda f, X: np.isclose(f(np.vstack([X, X])), f(X))),
            Law(LOWER, lambda f, X: f(X) > least(X) * (1 - 1e-9)),
            Law("This is a bound, and not the least one: no D reaches it.", lambda f, X: f(X) < least(X) * (1 + 1e-9)))


sharpness_frobenius = Exercise(
    "sharpness_frobenius", 10, inputs, lambda X: second_moment(X)[-1], (
        Misconception(LOWER, lambda X: second_moment(X)[0]),
        Misconception(LOWER, lambda X: second_moment(X).mean()),
        Misconception("The loss is a mean over the samples: divide by their number.", lambda X: second_moment(X)[-1] * len(X)),
        Misconception("The quadratic term has X twice, so singular values of X enter squared.", lambda X: np.linalg.norm(X, 2) / len(X)),
        Misconception("The quadratic term has X twice, so singular values of X enter squared.", lambda X: np.sqrt(second_moment(X)[-1])),
        Misconception("The sharpness stands in lambda/2 |D|^2, and the loss has its own 1/2: the halves cancel.", lambda X: second_moment(X)[-1] / 2),
        Misconception("This is a bound, and not the least one: no single D of Frobenius norm 1 reaches it.", lambda X: second_moment(X).sum())),
    bounds(lambda X: second_moment(X)[-1]))

sharpness_spectral = Exercise(
    "sharpness_spectral", 10, inputs, lambda X: second_moment(X).sum(), (
        Misconception(LOWER, lambda X: second_moment(X)[-1]),
        Misconception(LOWER, lambda X: second_moment(X).mean()),
        Misconception("The loss is a mean over the samples: divide by their number.", lambda X: second_moment(X).sum() * len(X)),
        Misconception("The sharpness stands in lambda/2 |D|^2, and the loss has its own 1/2: the halves cancel.",
                      lambda X: second_moment(X).sum() / 2),
        Misconception("The quadratic term has X twice: square the lengths of the samples before you average.",
                      lambda X: np.linalg.norm(X, axis=1).mean())), bounds(lambda X: second_moment(X).sum()))


def two_norms(rng):
    """Sizes of the changes of two layers."""
    return float(rng.uniform(0.1, 1)), float(rng.uniform(0.1, 1))


two_layers = Exercise(
    "two_layers", 10, two_norms, lambda d1, d2, inner: d1 + inner * d2 + d1 * d2, (
        Misconception("This is right to first order and too low beyond it, a lower bound: multiply out (W2 + D2)(W1 + D1) - W2 W1.",
                      lambda d1, d2, inner: d1 + inner * d2),
        Misconception("This is the product term alone, which is left when both weights are zero.", lambda d1, d2: d1 * d2),
        Misconception("This bounds the changed output; the change is that minus the output before.",
                      lambda d1, d2, inner: (inner + d1) * (1 + d2))), numbers={"inner": (1, 2, 3, 4)})

check = Checker(linf_step, linf_decrease, steepest_step, polygon_dual, weighted_dual, frobenius, spectral, nuclear, rms_operator,
                sharpness_frobenius, sharpness_spectral, two_layers)
