"""Homework 6, norms of layers, modules, Newton-Schulz, attention row by row, and bytes: what is right, and what people do instead."""
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from . import Checker, Exercise, Law, Misconception


def matrix(rng):
    """A matrix [fan_out, fan_in] that is not square."""
    m, n = rng.permutation([2, 3, 5, 7])[:2]
    return (rng.standard_normal((m, n)),)


def top(W):
    return np.linalg.norm(W, 2)


def fans(W):
    return np.sqrt(W.shape[1] / W.shape[0])


FANS = "The fan ratio is inverted: rms(y) = |y| / sqrt(fan_out), and fan_in stands above. W is [fan_out, fan_in]."

rms_norm = Exercise(
    "rms_norm", 8, matrix, lambda W: fans(W) * top(W), (
        Misconception(FANS, lambda W: top(W) / fans(W)),
        Misconception("The fans are missing: this is the spectral norm, which measures inputs and outputs by their length and not their RMS.", top),
        Misconception("Take the root of fan_in / fan_out: the RMS has a root in it.", lambda W: fans(W) ** 2 * top(W)),
        Misconception("This is Frobenius. How much can W stretch one input at most? The largest singular value.",
                      lambda W: fans(W) * np.linalg.norm(W)),
        Misconception("This is the RMS of W's entries. How much can W stretch one input at most?", lambda W: np.sqrt((W * W).mean())),
        Misconception("This is the smallest stretch, and not the largest.", lambda W: fans(W) * np.linalg.norm(W, -2)),
        Misconception("The singular value itself, and not its square.", lambda W: fans(W) * top(W) ** 2)), (
        Law("No input may be stretched by more than the norm, rms(W x) <= norm rms(x), and yours is less than the stretch of some input.",
            lambda f, W: (lambda x: np.sqrt(((W @ x) ** 2).mean()) <= f(W) * np.sqrt((x * x).mean()) * (1 + 1e-9))(np.linalg.svd(W)[2][0])),
        Law("When W doubles, so should its norm.", lambda f, W: np.isclose(f(2 * W), 2 * f(W)))))

normalized_step = Exercise(
    "normalized_step", 12, lambda rng: (*matrix(rng), float(rng.uniform(0.1, 0.9))), lambda G, eta: -eta * G / (fans(G) * top(G)), (
        Misconception("The step climbs: it needs a minus.", lambda G, eta: eta * G / (fans(G) * top(G))),
        Misconception(FANS, lambda G, eta: -eta * G / top(G) * fans(G)),
        Misconception("The fans are missing: this step has spectral norm eta.", lambda G, eta: -eta * G / top(G)),
        Misconception("This is the dual map, U V^T scaled: its singular values are all equal. Asked is the gradient's own direction, resized.",
                      lambda G, eta: -eta / fans(G) * polar(G)),
        Misconception("This step has a Frobenius norm of eta, whatever its singular values.", lambda G, eta: -eta * G / np.linalg.norm(G)),
        Misconception("This is a step of gradient descent: its size is not eta in any norm.", lambda G, eta: -eta * G),
        Misconception("Divide by the norm, and do not multiply.", lambda G, eta: -eta * G * (fans(G) * top(G)))), (
        Law("When the gradient doubles, the step should stay the same.", lambda f, G, eta: np.allclose(f(2 * G, eta), f(G, eta))),
        Law("The step should have the RMS -> RMS norm eta.", lambda f, G, eta: np.isclose(fans(G) * top(f(G, eta)), eta))))


def two_modules(rng):
    """(mass, sensitivity, norm of dw) of the inner and of the outer module; nothing is 1 and no two are alike."""
    return tuple(tuple(float(v) for v in rng.uniform([0.5, 1.2, 0.3], [3, 2.5, 2])) for _ in range(2))


def composed(p=lambda m1, s1, m2, s2: (m1 + m2) / m1 * s2, q=lambda m1, s1, m2, s2: (m1 + m2) / m2, join=max,
             sensitivity=lambda s1, s2: s1 * s2, mass=lambda m1, m2: m1 + m2):
    def norm(inner, outer):
        (m1, s1, n1), (m2, s2, n2) = inner, outer
        fit = (m1, s1, m2, s2)
        return mass(m1, m2), sensitivity(s1, s2), join(p(*fit) * n1, q(*fit) * n2)
    return norm


total_over = lambda m1, s1, m2, s2: (m1 + m2) / m1

compose = Exercise(
    "compose", 15, two_modules, composed(), (
        Misconception("The two factors have changed places: a change of the inner weights goes through the outer module and meets its sensitivity.",
                      composed(p=total_over, q=lambda m1, s1, m2, s2: (m1 + m2) / m2 * s1)),
        Misconception("The two factors have changed places: each is total mass over the module's OWN mass.",
                      composed(p=lambda m1, s1, m2, s2: (m1 + m2) / m2 * s2, q=lambda m1, s1, m2, s2: (m1 + m2) / m1)),
        Misconception("The two factors have changed places: each is total mass over the module's OWN mass.",
                      composed(p=lambda m1, s1, m2, s2: (m1 + m2) / m2, q=lambda m1, s1, m2, s2: (m1 + m2) / m1)),
        Misconception("The sensitivity that counts for the inner norm is the OUTER module's: it is what a change of the inner output meets.",
                      composed(p=lambda m1, s1, m2, s2: (m1 + m2) / m1 * s1)),
        Misconception("A change of the inner weights goes through the outer module: its sensitivity is missing in the inner factor.",
                      composed(p=total_over)),
        Misconception("A module without much mass shall move little: total mass over own mass, and not own over total.",
                      composed(p=lambda m1, s1, m2, s2: m1 / (m1 + m2) * s2, q=lambda m1, s1, m2, s2: m2 / (m1 + m2))),
        Misconception("The larger of the two counts, and not their sum: that lets every module move at the same time.",
                      composed(join=lambda a, b: a + b)),
        Misconception("Sensitivities in series multiply. (They add when modules stand side by side.)", composed(sensitivity=lambda a, b: a + b)),
        Misconception("The outer weights act on the output itself; only the inner norm meets the outer sensitivity.",
                      composed(q=lambda m1, s1, m2, s2: (m1 + m2) / m2 * s2)),
        Misconception("Divide by the SHARE of the mass, own over total; the total mass is missing.",
                      composed(p=lambda m1, s1, m2, s2: s2 / m1, q=lambda m1, s1, m2, s2: 1 / m2)),
        Misconception("Masses add.", composed(mass=lambda a, b: a * b))))


def dual_split(inner, outer, target):
    (m1, _), (m2, s2) = inner, outer
    return target * m1 / (m1 + m2) / s2, target * m2 / (m1 + m2)


def with_target(rng):
    """(mass, sensitivity) of the inner and the outer module, and a target."""
    return *(module[:2] for module in two_modules(rng)), float(rng.uniform(0.2, 3))


dual_targets = Exercise(
    "dual_targets", 15, with_target, dual_split, (
        Misconception("Divide by the factors of (a), and do not multiply: the more a module's norm counts, the less it may move.",
                      lambda inner, outer, target: (target * (inner[0] + outer[0]) / inner[0] * outer[1], target * (inner[0] + outer[0]) / outer[0])),
        Misconception("The sensitivity of the outer module is missing: it makes a change of the inner one larger.",
                      lambda inner, outer, target: (target * inner[0] / (inner[0] + outer[0]), target * outer[0] / (inner[0] + outer[0]))),
        Misconception("The two have changed places: first the inner, then the outer.",
                      lambda inner, outer, target: dual_split(inner, outer, target)[::-1]),
        Misconception("It is the outer module's sensitivity that meets a change of the inner one, and not the inner's own.",
                      lambda inner, outer, target: (target * inner[0] / (inner[0] + outer[0]) / inner[1], target * outer[0] / (inner[0] + outer[0]))),
        Misconception("Both get the whole target here; then the masses mean nothing.", lambda inner, outer, target: (target, target)),
        Misconception("The target is missing.", lambda inner, outer, target: dual_split(inner, outer, 1.0))), (
        Law("The composed norm should be exactly the target, attained by both parts.", lambda f, inner, outer, target: np.allclose(
            [(inner[0] + outer[0]) / inner[0] * outer[1] * f(inner, outer, target)[0], (inner[0] + outer[0]) / outer[0] * f(inner, outer, target)[1]],
            target)),)
)


def polar(G):
    U, _, Vt = np.linalg.svd(G, full_matrices=False)
    return U @ Vt


class Cubic(NamedTuple):
    """s -> (up s - down s^3) / under, which leaves 1 where it is."""

    up: int
    down: int
    under: int

    def __str__(self):
        return f"({self.up} s - {self.down} s^3) / {self.under}"

    @property
    def zero(self) -> Fraction:
        """The square of the s that goes to 0; larger ones change their sign."""
        return Fraction(self.up, self.down)

    @property
    def border(self) -> Fraction:
        """The square of the s that goes to -s; larger ones grow for ever."""
        return Fraction(self.up + self.under, self.down)


def iterated(change=lambda a, b: (a, b), size=np.linalg.norm, extra=0):
    """Newton-Schulz with parts exchanged."""
    def run(G, steps, cubic):
        a, b = change(cubic.up / cubic.under, -cubic.down / cubic.under)
        X = G / size(G)
        for _ in range(steps + extra):
            X = a * X + b * X @ X.T @ X
        return X
    return run


def again_and_again(G, steps, cubic):
    X = G
    for _ in range(steps):
        X = X / np.linalg.norm(X)
        X = (cubic.up * X - cubic.down * X @ X.T @ X) / cubic.under
    return X


def frozen(G, steps, cubic):
    X = Y = G / np.linalg.norm(G)
    for _ in range(steps):
        Y = (cubic.up * Y - cubic.down * X @ X.T @ X) / cubic.under
    return Y


newton_schulz = Exercise(
    "newton_schulz", 20, lambda rng: (*matrix(rng), int(rng.integers(1, 5))), iterated(), (
        Misconception("Divide by the Frobenius norm first: large singular values change their sign or grow for ever.", iterated(size=lambda G: 1.0)),
        Misconception("This divides by the largest singular value, which would cost an SVD. The Frobenius norm is an upper bound that costs nothing.",
                      iterated(size=top)),
        Misconception("This divides by the largest entry. A matrix with entries below 1 may have large singular values all the same.",
                      iterated(size=lambda G: abs(G).max())),
        Misconception("This is the orthogonal factor itself, where the steps lead in the end. Asked is what `steps` steps make.",
                      lambda G, steps: polar(G)),
        Misconception("The signs: the cubic term is taken away.", iterated(lambda a, b: (a, -b))),
        Misconception("The coefficients are exchanged: small singular values grow, by the factor {cubic.up}/{cubic.under} in a step.",
                      iterated(lambda a, b: (-b, -a))),
        Misconception("The coefficients of X and of X X^T X add up to 1, so that singular values of 1 stay. Yours do not.",
                      iterated(lambda a, b: (1.0, b))),
        Misconception("One step too many.", iterated(extra=1)),
        Misconception("One step too few.", iterated(extra=-1)),
        Misconception("Normalize once, before the first step; doing it in every step brings the singular values back down.", again_and_again),
        Misconception("The same G stands in every step here. X is what the step before made.", frozen)), (
        Law("The number of steps makes no difference.", lambda f, G, steps: not np.allclose(f(G, 1), f(G, 3))),
        Law("The step should treat all scales alike: 10 G has the same orthogonal factor as G.",
            lambda f, G, steps: np.allclose(f(10 * G, steps), f(G, steps))),
        Law("After many steps all singular values should be 1.", lambda f, G, steps: np.allclose(np.linalg.svd(f(G, 60))[1], 1, atol=1e-6))),
    on_error="X X^T X has the shape of X for every X; X X X and X^T X X do not exist unless X is square.",
    numbers={"cubic": (Cubic(3, 1, 2), Cubic(7, 2, 5), Cubic(8, 3, 5), Cubic(7, 3, 4))})


def row(rng, heat):
    """A query, and keys and values in blocks of unequal length; the logits spread by 3 around 0, 900, or -900."""
    d, dv = rng.permutation([2, 3, 4, 5])[:2]
    q, around = rng.standard_normal(d), float(rng.choice([0.0, 0.0, 900.0, -900.0]))

    def keys(k):
        K = rng.standard_normal((k, d))
        return K + np.outer(d / heat * (around + 3 * rng.standard_normal(k)) - K @ q, q) / (q @ q)

    return q, [(keys(k), rng.standard_normal((k, dv))) for k in rng.integers(1, 5, int(rng.integers(2, 5)))]


def softmax(s):
    p = np.exp(s - s.max())
    return p / p.sum()


def attend(q, blocks, heat, divisor=len, weigh=softmax):
    K, V = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return weigh(heat * K @ q / divisor(q)) @ V


def unshifted(s):
    p = np.exp(s)
    return p / p.sum()


def online(rescale=True, rescale_sum=True):
    def run(q, blocks, heat):
        best, total, y = -np.inf, 0.0, 0.0
        for K, V in blocks:
            s = heat * K @ q / len(q)
            new = max(best, s.max())
            shrink = np.exp(best - new)
            p = np.exp(s - new)
            y, total, best = (shrink if rescale else 1.0) * y + p @ V, (shrink if rescale_sum else 1.0) * total + p.sum(), new
        return y / total
    return run


class Once:
    """Blocks that can be gone through once, one at a time: when the next one is there, the one before it has been overwritten."""

    def __init__(self, blocks):
        self.blocks = blocks

    def __iter__(self):
        while self.blocks:
            (K, V), self.blocks = self.blocks[0], self.blocks[1:]
            yield K, V
            K[...] = V[...] = np.nan


def in_one_pass(f, q, blocks, heat):
    """Whether f gives the right result on such blocks."""
    expected = attend(q, blocks, heat)
    try:
        return np.allclose(f(q, Once(blocks)), expected)
    except Exception:
        return False


RESCALE = "When a new block brings a larger maximum, everything summed so far was made with the old one: multiply it by exp(old - new)."

attention_row = Exercise(
    "attention_row", 20, row, online(), (
        Misconception(RESCALE, online(rescale=False, rescale_sum=False)),
        Misconception("The weighted sum of values is rescaled, and the sum of the weights is not. Both were made with the old maximum.",
                      online(rescale_sum=False)),
        Misconception("The sum of the weights is rescaled, and the weighted sum of values is not. Both were made with the old maximum.",
                      online(rescale=False)),
        Misconception("Without the maximum exp overflows: the logits reach 900, and exp(710) is infinite in float64.",
                      lambda q, blocks, heat: attend(q, blocks, heat, weigh=unshifted)),
        Misconception("Divide the logits by d, as this course does (lecture 13 says why), and not by its root.",
                      lambda q, blocks, heat: attend(q, blocks, heat, lambda q: len(q) ** 0.5)),
        Misconception("The logits are divided by d, and here they are not.", lambda q, blocks, heat: attend(q, blocks, heat, lambda q: 1)),
        Misconception("This is the mean of the blocks' own results, as if each had the same total weight.",
                      lambda q, blocks, heat: np.mean([attend(q, [block], heat) for block in blocks], 0)),
        Misconception("This is the result of the last block alone.", lambda q, blocks, heat: attend(q, blocks[-1:], heat)),
        Misconception("The weights are not divided by their sum.",
                      lambda q, blocks, heat: attend(q, blocks, heat, weigh=lambda s: np.exp(s - s.max())))), (
        Law("With all values equal the result should be that value: the weights sum to 1.",
            lambda f, q, blocks: np.allclose(f(q, [(K, np.ones_like(V)) for K, V in blocks]), 1)),
        Law("The order of the blocks should not matter.", lambda f, q, blocks: np.allclose(f(q, blocks[::-1]), f(q, blocks)))),
    laws_of_a_right_answer=(
        Law("The result is right. But the blocks were gone through more than once, or laid side by side: keep a running maximum instead.",
            in_one_pass),), instances=24, numbers={"heat": (1, 2, 3, 4)})


def sizes(rng):
    """Blocks, width, places, vocabulary, heads, sequences, bytes a number; all different."""
    return (int(rng.integers(2, 13)), int(rng.choice([64, 128, 256])), int(rng.choice([32, 96, 160])), int(rng.integers(50, 90)),
            int(rng.choice([4, 8])), int(rng.integers(3, 20)), int(rng.choice([2, 4])))


def memory(L, d, T, V, H, B, size, buffers):
    block = buffers * d * T + H * T * T
    return size * B * (L * block + 2 * V * T), size * B * (L * d * T + block + 2 * V * T)


def changed(change):
    return lambda L, d, T, V, H, B, size, buffers: change(*memory(L, d, T, V, H, B, size, buffers), L, d, T, V, H, B, size, buffers)


activation_bytes = Exercise(
    "activation_bytes", 10, sizes, memory, (
        Misconception("B sequences are in memory at once; you counted one.", changed(lambda a, c, L, d, T, V, H, B, *rest: (a / B, c / B))),
        Misconception("These are numbers. Asked are bytes.", changed(lambda a, c, L, d, T, V, H, B, size, buffers: (a / size, c / size))),
        Misconception("Every head has its own T x T scores.", lambda L, d, T, V, H, B, size, buffers: memory(L, d, T, V, 1, B, size, buffers)),
        Misconception("Each sequence has its own scores, T x T a head: the places of different sequences do not meet.",
                      lambda L, d, T, V, H, B, size, buffers: memory(L, d, B * T, V, H, 1, size, buffers)),
        Misconception("The logits and their softmax are at the end, once, and not in every block.",
                      changed(lambda a, c, L, d, T, V, H, B, size, buffers: tuple(x + (L - 1) * size * B * 2 * V * T for x in (a, c)))),
        Misconception("A head's weights are a T x T matrix; you counted one row of it.",
                      changed(lambda a, c, L, d, T, V, H, B, size, buffers: (a - size * B * L * H * T * (T - 1), c - size * B * H * T * (T - 1)))),
        Misconception("Logits AND probabilities: V numbers each.",
                      changed(lambda a, c, L, d, T, V, H, B, size, buffers: (a - size * B * V * T, c - size * B * V * T))),
        Misconception("First with everything kept, then with checkpoints.", changed(lambda a, c, *given: (c, a))),
        Misconception("With checkpoints one block at a time is run again, and its buffers are in memory only then; you counted those of all blocks.",
                      changed(lambda a, c, L, d, T, V, H, B, size, buffers: (a, a + size * B * L * d * T))),
        Misconception("With checkpoints the buffers of the block that is being run again are in memory, too.",
                      changed(lambda a, c, L, d, T, V, H, B, size, buffers: (a, c - size * B * (buffers * d * T + H * T * T)))),
        Misconception("With checkpoints the inputs of all blocks are kept, d numbers a place for each.",
                      changed(lambda a, c, L, d, T, V, H, B, size, buffers: (a, c - size * B * (L - 1) * d * T))),
        Misconception("The logits and their softmax stay in memory with checkpoints as well.",
                      changed(lambda a, c, L, d, T, V, H, B, size, buffers: (a, c - size * B * 2 * V * T)))), (
        Law("Twice the sequences should take twice the bytes.", lambda f, L, d, T, V, H, B, size:
            np.allclose(f(L, d, T, V, H, 2 * B, size), 2 * np.asarray(f(L, d, T, V, H, B, size)))),),
    numbers={"buffers": (12, 10, 14, 16)})

check = Checker(rms_norm, normalized_step, compose, dual_targets, newton_schulz, attention_row, activation_bytes)
