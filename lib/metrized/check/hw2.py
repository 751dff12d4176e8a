"""Homework 2, reverse mode by hand: what is right, and what people do instead."""
import numpy as np

from . import Checker, Exercise, Law, Misconception, told


def layer(rng):
    """dy, x and W of an affine layer on a batch; no two sizes alike."""
    batch, fan_in, fan_out = rng.permutation([2, 3, 4, 5])[:3]
    return rng.standard_normal((batch, fan_out)), rng.standard_normal((batch, fan_in)), rng.standard_normal((fan_out, fan_in))


SUM = "The bias is used once for every sample, and shares of several children add up: sum over the batch."

affine_pull = Exercise(
    "affine_pull", 15, layer, lambda dy, x, W, stretch: (stretch * dy @ W, stretch * dy.T @ x, dy.sum(0)), (
        Misconception(SUM, lambda dy, x, W, stretch: (stretch * dy @ W, stretch * dy.T @ x, dy)),
        Misconception(SUM, lambda dy, x, W, stretch: (stretch * dy @ W, stretch * dy.T @ x, dy[0])),
        Misconception("The batch is summed, and not averaged: the mean belongs to the loss.",
                      lambda dy, x, W, stretch: (stretch * dy @ W, stretch * dy.T @ x, dy.mean(0))),
        Misconception("The batch is summed, and not averaged: the mean belongs to the loss.",
                      lambda dy, x, W, stretch: (stretch * dy @ W, stretch * dy.T @ x / len(dy), dy.mean(0))),
        Misconception("dW has the shape of W, [fan_out, fan_in]; yours is transposed.",
                      lambda dy, x, W, stretch: (stretch * dy @ W, stretch * x.T @ dy, dy.sum(0))),
        Misconception("The sum for the bias runs over the batch, and not over the outputs.",
                      lambda dy, x, W, stretch: (stretch * dy @ W, stretch * dy.T @ x, dy.sum(1))),
        Misconception("This is y's own formula, the push. The pull goes from dy to x, W and b.",
                      lambda dy, x, W, stretch: (stretch * x @ W.T, stretch * dy.T @ x, dy.sum(0)))),
    on_error="If the shapes do not fit, you may have W where W^T belongs or the other way round: dy is [batch, fan_out], W is [fan_out, fan_in].",
    numbers={"stretch": (1, 2, 3, 4)})


def scaling(rng):
    """dy, x and the gain of a layer that scales its features."""
    batch, n = rng.permutation([2, 3, 4, 5])[:2]
    return rng.standard_normal((batch, n)), rng.standard_normal((batch, n)), rng.standard_normal(n)


gain_pull = Exercise(
    "gain_pull", 10, scaling, lambda dy, x, gain, offset: (dy * (offset + gain), (dy * x).sum(0)), (
        Misconception("The gain is used once for every sample, and shares of several children add up: sum over the batch.",
                      lambda dy, x, gain, offset: (dy * (offset + gain), dy * x)),
        Misconception("The gain is used once for every sample: sum over the batch, and not its mean.",
                      lambda dy, x, gain, offset: (dy * (offset + gain), (dy * x).mean(0))),
        Misconception("The two have changed places: x's share is dy times what x is multiplied by.",
                      lambda dy, x, gain, offset: (dy * x, (dy * (offset + gain)).sum(0))),
        Misconception("The gain's share of y is x, so x enters dgain.", lambda dy, x, gain, offset: (dy * (offset + gain), dy.sum(0)))),
    numbers={"offset": (0, 1, 2, 3)})


def probabilities(rng):
    """dy and the probabilities that a softmax gave, in rows."""
    batch, n = rng.permutation([2, 3, 4, 5])[:2]
    return rng.standard_normal((batch, n)), rng.dirichlet(np.ones(n), batch)


softmax_pull = Exercise(
    "softmax_pull", 15, probabilities, lambda dy, p: p * (dy - (p * dy).sum(-1, keepdims=True)), (
        Misconception("This is the diagonal of the Jacobian alone. Raising one logit lowers all other probabilities.",
                      lambda dy, p: p * (1 - p) * dy),
        Misconception("This leaves out that the probabilities sum to 1: raising one logit lowers all others.", lambda dy, p: p * dy),
        Misconception("The sum runs over the entries of one sample, and not over the batch.",
                      lambda dy, p: p * (dy - (p * dy).sum(0, keepdims=True))),
        Misconception("The sum runs over the entries of one sample, and not over all samples.", lambda dy, p: p * (dy - (p * dy).sum())),
        Misconception("This is the share of the cross-entropy's gradient, p - onehot. Here dy is any covector.", lambda dy, p: p - dy),
        Misconception("No mean over the batch: each sample has its own covector.",
                      lambda dy, p: p * (dy - (p * dy).sum(-1, keepdims=True)) / len(p)),
        Misconception("The mean is weighted with the probabilities.", lambda dy, p: p * (dy - dy.mean(-1, keepdims=True)))), (
        Law("Each row of the answer should sum to 0: adding a constant to all logits changes nothing.",
            lambda f, dy, p: np.allclose(np.sum(f(dy, p), -1), 0)),
        Law("A constant dy should be pulled to 0, since the probabilities sum to 1.", lambda f, dy, p: np.allclose(f(np.ones_like(dy), p), 0))))


def graph(rng):
    """A random trace: one to three inputs, then nodes with one to three parents before them, the same one twice now and then."""
    inputs, n = int(rng.integers(1, 4)), int(rng.integers(5, 9))
    parents = [() for _ in range(inputs)]
    for i in range(inputs, n):
        others = rng.choice(i, size=int(rng.integers(0, 3)))
        parents.append((*(int(j) for j in sorted(others)), i - 1 if i > inputs else int(rng.integers(inputs))))
    return parents, [tuple(float(s) for s in rng.uniform(-2, 2, len(p))) for p in parents]


def reverse(parents, slopes):
    bar = np.zeros(len(parents))
    bar[-1] = 1.0
    for i in reversed(range(len(parents))):
        for p, s in zip(parents[i], slopes[i], strict=True):
            bar[p] += bar[i] * s
    return bar


def overwrite(parents, slopes):
    bar = np.zeros(len(parents))
    bar[-1] = 1.0
    for i in reversed(range(len(parents))):
        for p, s in zip(parents[i], slopes[i], strict=True):
            bar[p] = bar[i] * s
    return bar


def wrong_way(parents, slopes):
    bar = np.zeros(len(parents))
    bar[-1] = 1.0
    for i in range(len(parents)):
        for p, s in zip(parents[i], slopes[i], strict=True):
            bar[p] += bar[i] * s
    return bar


def forward_mode(parents, slopes, seeds=slice(0, 1)):
    dot = np.zeros(len(parents))
    dot[seeds] = 1.0
    for i in [i for i, p in enumerate(parents) if p]:
        dot[i] = sum(dot[p] * s for p, s in zip(parents[i], slopes[i], strict=True))
    return dot


def everything_forward(parents, slopes):
    return forward_mode(parents, slopes, [i for i, p in enumerate(parents) if not p])


def unbuffered(parents, slopes):
    bar = np.zeros(len(parents))
    bar[-1] = 1.0
    for i in reversed(range(len(parents))):
        bar[list(parents[i])] += bar[i] * np.array(slopes[i])
    return bar


def truncated(parents, slopes):
    bar = np.zeros(len(parents), int)
    bar[-1] = 1
    for i in reversed(range(len(parents))):
        for p, s in zip(parents[i], slopes[i], strict=True):
            bar[p] += int(bar[i] * s)
    return bar


def first_parents(parents, slopes):
    return reverse([p[:1] for p in parents], [s[:1] for s in slopes])


def slopes_only(parents, slopes):
    bar = np.zeros(len(parents))
    bar[-1] = 1.0
    for p, s in ((p, s) for i in range(len(parents)) for p, s in zip(parents[i], slopes[i], strict=True)):
        bar[p] += s
    return bar


def counting_paths(parents, slopes):
    return reverse(parents, [tuple(1.0 for _ in s) for s in slopes])


JVP = "This is forward mode: derivatives OF each node with respect to an input. Asked are those of the output with respect to each node."

backward = Exercise(
    "backward", 35, graph, reverse, (
        Misconception("A node with several children gets a share from each: add, and do not overwrite.", overwrite),
        Misconception("A node can pass its share on only when its own is complete: go from the last node to the first.", wrong_way),
        Misconception(JVP, forward_mode),
        Misconception("The same parent may stand twice in a tuple, as in z times z, and `bar[list] += ...` adds only once to each: use a loop.",
                      unbuffered),
        Misconception("np.zeros(n, int) cuts what is added to whole numbers.", truncated),
        Misconception("A node may have several parents; you served the first.", first_parents),
        Misconception("A child hands on its own derivative times the slope, and not the slope alone.", slopes_only),
        Misconception(JVP, everything_forward),
        Misconception("The slopes do not enter: this counts the paths to the output.", counting_paths)), (
        Law("The derivative of the output with respect to itself, the last entry, should be 1.",
            lambda f, parents, slopes: np.isclose(f(parents, slopes)[-1], 1)),
        Law("With all slopes 0 nothing but the last entry should be left.",
            lambda f, parents, slopes: np.allclose(f(parents, [tuple(0.0 for _ in s) for s in slopes])[:-1], 0))))


def chain(rng):
    """A step of a chain with its slope, a start, a length, and how many steps lie between checkpoints (a divisor of the length)."""
    a, b, k, stretches = float(rng.uniform(0.8, 1.3)), float(rng.uniform(-0.5, 0.5)), int(rng.integers(2, 5)), int(rng.integers(2, 5))
    step, slope = lambda z: a * np.sin(z) + b, lambda z: a * np.cos(z)
    return told(step, f"{a:.4f} sin(z) + {b:.4f}"), told(slope, f"{a:.4f} cos(z)"), float(rng.uniform(0.5, 1.5)), k * stretches, k


def derivative(step, slope, z, length, every):
    product = 1.0
    for _ in range(length):
        product, z = product * slope(z), step(z)
    return product


def at_checkpoints_only(step, slope, z, length, every):
    product = 1.0
    for i in range(length):
        product, z = product * (slope(z) if i % every == 0 else 1.0), step(z)
    return product


def at_the_start(step, slope, z, length, every):
    return slope(z) ** length


def one_late(step, slope, z, length, every):
    product = 1.0
    for _ in range(length):
        z = step(z)
        product = product * slope(z)
    return product


def frozen_in_stretches(step, slope, z, length, every):
    product = 1.0
    for i in range(length):
        if i % every == 0:
            kept = z
        product, z = product * slope(kept), step(z)
    return product


def steps_before_and_after(f, step, slope, z, every, stretches=6):
    """How often `step` is called before the first call of `slope`, and how often after it, on a chain of six stretches."""
    order = []
    noted = lambda g, name: lambda z: order.append(name) or g(z)
    f(noted(step, "step"), noted(slope, "slope"), z, stretches * every, every)
    first = order.index("slope")
    return order[:first].count("step"), order[first:].count("step")


def backward_in_time(f, step, slope, z, length, every):
    """Nothing is multiplied before the last checkpoint has been reached."""
    return steps_before_and_after(f, step, slope, z, every)[0] >= 5 * every


def economical(f, step, slope, z, length, every):
    """Two runs of the chain at most."""
    return sum(steps_before_and_after(f, step, slope, z, every)) <= 12 * every


def really_again(f, step, slope, z, length, every):
    """Five stretches are run again after the last one's slopes: their values cannot have been kept."""
    return steps_before_and_after(f, step, slope, z, every)[1] >= 5 * (every - 1)


checkpointed = Exercise(
    "checkpointed", 15, chain, derivative, (
        Misconception("This multiplies the slopes at the checkpoints alone. Every step of a stretch has a slope: run the stretch again.",
                      at_checkpoints_only),
        Misconception("The slope changes along the chain; you used the one at the start for every step.", at_the_start),
        Misconception("Within a stretch the slope changes too; you used the one at its checkpoint for every step.", frozen_in_stretches),
        Misconception("The slope of step t is taken at z_t, before the step, and not after it.", one_late)), (), laws_of_a_right_answer=(
        Law("The derivative is right. But this is forward mode: the first slope was taken before the last checkpoint was reached.", backward_in_time),
        Law("The derivative is right. But `step` was called more than twice per step: start again from the last checkpoint, not from z_0.",
            economical),
        Law("The derivative is right, but nothing was run again, so all values must have been kept: keep the checkpoints alone.", really_again)),
    instances=6)


def memory(k, length, kept):
    """Checkpoints, and `kept` values for each of the k steps of a stretch."""
    return k, length / k + kept * k


ROUNDED = "Do not round: asked are two real numbers."
LECTURE = "Here k is the spacing; in the lecture k counted the checkpoints, and a block kept two values."

best_spacing = Exercise(
    "best_spacing", 10, lambda rng: (int(rng.integers(20, 500)),), lambda length, kept: (np.sqrt(length / kept), 2 * np.sqrt(kept * length)), (
        Misconception("The spacing is right; in memory are length / k checkpoints AND the values of one stretch.",
                      lambda length, kept: (np.sqrt(length / kept), np.sqrt(kept * length))),
        Misconception(ROUNDED, lambda length, kept: (round((length / kept) ** 0.5), 2 * np.sqrt(kept * length))),
        Misconception(ROUNDED, lambda length, kept: memory(int((length / kept) ** 0.5), length, kept)),
        Misconception(ROUNDED, lambda length, kept: memory(round((length / kept) ** 0.5), length, kept)),
        Misconception(LECTURE, lambda length: (np.sqrt(2 * length), 2 * np.sqrt(2 * length))),
        Misconception(LECTURE, lambda length, kept: memory(np.sqrt(2 * length), length, kept)),
        Misconception("A checkpoint in the middle alone leaves stretches of half the length in memory.",
                      lambda length, kept: memory(length / 2, length, kept)),
        Misconception("Minimize the memory over k: its derivative vanishes at a square root.",
                      lambda length, kept: memory(np.log2(length), length, kept))), (
        Law("The second thing you return should be the memory at the first, checkpoints and one stretch.",
            lambda f, length, kept: np.isclose(f(length)[1], memory(f(length)[0], length, kept)[1])),
        Law("A chain four times as long should have twice the spacing.", lambda f, length: np.isclose(f(4 * length)[0], 2 * f(length)[0]))),
    numbers={"kept": (1, 3, 4, 5)})

check = Checker(affine_pull, gain_pull, softmax_pull, backward, checkpointed, best_spacing)
