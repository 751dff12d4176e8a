"""The ledger counts what is done, and a checkpoint saves what its formula says."""
import tracemalloc

import numpy as np
import pytest

from metrized.atoms import CACHE, Conv2D, Embed, Linear
from metrized.bonds import GeLU, Identity, Softmax, Tanh
from metrized.compounds import GPT, MLP, Attention, Checkpoint, ConvNet
from metrized.ledger import Ledger, Watched, gpt_buffers, peak_bytes
from metrized.losses import CrossEntropy, SquareError
from metrized.modules import NO_WEIGHTS
from metrized.norms import Euclidean
from metrized.objective import Objective
from metrized.optimizers import Adam
from metrized.train import descend


def test_counts_by_hand(rng):
    """A matrix product of [3, 4] and [4, 5] has 60 multiplications and 60 additions; softmax of n numbers 5 n operations."""
    book = Ledger()
    A = book.watch(rng.standard_normal((3, 4)))
    product = A @ rng.standard_normal((4, 5))
    assert book.operations == 2 * 3 * 4 * 5 and book.bytes == 3 * 5 * 8
    (product + 1).sum(0)
    assert book.operations == 120 + 15 + 15
    book = Ledger()
    Softmax().forward(book.watch(rng.standard_normal((7, 10))), NO_WEIGHTS)
    assert book.rows["exp"][:2] == [1, 70] and book.operations == 70 * 5


def gradient_and_forward(net, x, t, loss, rng):
    """Operations of a gradient and of a forward pass alone."""
    w, books = net.initialize(rng, np.float64), (Ledger(), Ledger())
    x = [b.watch(x) if x.dtype.kind == "f" else x for b in books]
    plain = Objective(net, loss, x[0], t)(books[0].watch(w))
    value, g = Objective(net, loss, x[1], t).value_and_grad(books[1].watch(w))
    assert float(plain) == float(value) and all(np.isfinite(leaf).all() for leaf in g.leaves())
    return books[1].operations, books[0].operations


@pytest.mark.parametrize("name", ["MLP", "deep MLP", "ConvNet", "GPT"])
def test_a_gradient_costs_at_most_five_forward_passes(name, rng):
    """Baur & Strassen 1983, on what the library really does. Near 3 for wide layers: two matrix products back for one forward."""
    images, tokens, y = rng.standard_normal((4, 8, 8, 2)), rng.integers(0, 11, (2, 9)), rng.integers(0, 3, 6)
    net, x, t, loss = {
        "MLP": (MLP(3, 32, 32, 5), rng.standard_normal((6, 5)), y, CrossEntropy()),
        "deep MLP": (MLP(3, *[4] * 12, 5, bond=Tanh()), rng.standard_normal((6, 5)), rng.standard_normal((6, 3)), SquareError()),
        "ConvNet": (ConvNet(3, (4, 4), 8, fan_in=2), images, y[:4], CrossEntropy()),
        "GPT": (GPT(11, 8, heads=2, blocks=1), tokens[:, :-1], tokens[:, 1:], CrossEntropy()),
    }[name]
    gradient, forward = gradient_and_forward(net, x, t, loss, rng)
    assert 1.5 < gradient / forward <= 5


def test_checkpoints_hold_what_the_formula_says(rng):
    """L blocks that each keep two activations: 2 L without, k + 2 L / k with k checkpoints, plus a few temporary ones."""
    L, samples, d = 16, 2048, 16
    unit, block, x = samples * d * 8, Tanh() @ Linear(d, d), rng.standard_normal((samples, d))
    w = (block ** L).initialize(rng, np.float64)

    def peak(k):
        net, nested = (block ** L, w) if k is None else (Checkpoint(block ** (L // k)) ** k, None)
        nested = net.initialize(np.random.default_rng(0), np.float64) if nested is None else nested
        objective = Objective(net, SquareError(), x, x)
        return peak_bytes(lambda: objective.value_and_grad(nested)) / unit

    assert abs(peak(None) - 2 * L) < 5
    for k in (2, 4, 8):
        assert abs(peak(k) - (k + 2 * L / k)) < 5, (k, peak(k))
    assert peak(4) < 0.5 * peak(None)


def test_every_kind_of_call_is_counted(rng):
    """A result counts as large as it is after broadcasting, a scatter by what it adds; moving numbers costs bytes and no operations."""
    book = Ledger()
    a, b = book.watch(rng.standard_normal(3)), rng.standard_normal((7, 3))
    joined = np.concatenate([np.where(b > 0, a + b, 0.0).max() * b[:2], np.pad(a, (0, 2))[None, 2:]])
    np.add.at(joined, [0, 2, 0, 1], rng.standard_normal((4, 3)))
    np.add(1.0, b[0], out=a)
    assert (a == 1 + b[0]).all()
    assert {name: tuple(row) for name, row in book.rows.items()} == {
        "add": (2, 21 + 3, 8 * (21 + 3)), "where": (1, 0, 8 * 21), "maximum.reduce": (1, 21, 8), "multiply": (1, 6, 8 * 6),
        "pad": (1, 0, 8 * 5), "concatenate": (1, 0, 8 * 9), "add.at": (1, 12, 0), "equal": (1, 3, 3), "logical_and.reduce": (1, 3, 1)}
    assert book.operations == 24 + 21 + 6 + 12 + 3 + 3 and book.bytes == 8 * (24 + 21 + 1 + 6 + 5 + 9) + 4


def test_a_watched_array_without_a_ledger_is_counted_in_the_other_ones():
    book = Ledger()
    np.ones(3).view(Watched) + book.watch(np.ones(3))
    assert book.operations == 3


def test_a_ledger_reads_as_a_table(rng):
    """Most operations first; calls, operations and bytes in columns, and their sums below."""
    book = Ledger()
    x = book.watch(rng.standard_normal((3, 5)).astype(np.float32))
    np.exp(np.concatenate([x, x]) @ rng.standard_normal((5, 2)).astype(np.float32)).max()
    lines = [line.split() for line in repr(book).splitlines()]
    assert lines == [["function", "calls", "operations", "bytes"], ["matmul", "1", "120", "48"], ["exp", "1", "12", "48"],
                     ["maximum.reduce", "1", "12", "4"], ["concatenate", "1", "0", "120"], ["all", "144", "220"]]


def test_the_peak_is_what_the_call_itself_holds():
    """Also where tracemalloc runs already, with a heap and a past peak of its own; it goes on if it ran, and stops if it did not."""
    call = lambda: np.ones(100_000).sum()
    assert abs(peak_bytes(call) - 800_000) < 50_000 and not tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        held = np.ones(300_000)
        np.ones(1_000_000).sum()
        assert abs(peak_bytes(call) - 800_000) < 50_000 and tracemalloc.is_tracing() and held.all()
    finally:
        tracemalloc.stop()


# Memory of a GPT, against the formula.


def gpt(blocks, whole=lambda block: block, branch=lambda attention: attention, width=128, heads=4, vocabulary=65):
    """compounds.GPT from its parts, so that parts can be wrapped."""
    enter = lambda f: (1 - 1 / (2 * blocks)) * Identity() + (1 / (2 * blocks)) * f
    mlp = Linear(width, 4 * width) @ GeLU() @ Linear(4 * width, width)
    return Linear(vocabulary, width) @ whole(enter(mlp) @ enter(branch(Attention(width, heads)))) ** blocks @ Embed(width, vocabulary)


def step_of_gpt(blocks=4, context=64, batch=16, **wrap):
    """A step of gradient descent on random text, in float32, and all numbers of the formula."""
    rng, kind = np.random.default_rng(0), next(iter(wrap), None)
    net, text = gpt(blocks, **wrap), rng.integers(0, 65, (batch, context + 1))
    w, objective = net.initialize(rng), Objective(net, CrossEntropy(), text[:, :-1], text[:, 1:])
    formula = gpt_buffers(128, 4, blocks, context, 65, batch, {None: "none", "whole": "every block", "branch": "attention"}[kind])
    assert formula["weights"] == w.size
    return lambda: w - 0.1 * Euclidean().sharp(objective.gradient(w)), sum(formula.values())


SIZES = [dict(), dict(blocks=8), dict(batch=32), dict(context=128, batch=4)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_step_of_a_gpt_takes_the_memory_of_the_formula(size):
    """At most 1.3 times as much: what is temporary comes on top. And not less, or the formula counts what is not there."""
    step, numbers = step_of_gpt(**size)
    weights = 12 * size.get("blocks", 4) * 128 ** 2 + 2 * 128 * 65
    assert 1 <= (peak_bytes(step) / 4 + weights) / numbers <= 1.3


@pytest.mark.parametrize("wrap", ["whole", "branch"])
def test_checkpoints_save_what_the_formula_says(wrap):
    """What four blocks more add to the peak: all that does not grow with depth cancels."""
    def four_blocks(**w):
        (step, numbers), (deeper, more) = step_of_gpt(4, **w), step_of_gpt(8, **w)
        return (peak_bytes(deeper) - peak_bytes(step)) / 4, more - numbers - 12 * 4 * 128 ** 2  # the weights were there before the step

    (plain, formula), (less, saved) = four_blocks(), four_blocks(**{wrap: Checkpoint})
    assert abs(plain / formula - 1) < 0.02 and abs(less / saved - 1) < 0.06 and less < 0.75 * plain


def test_a_pull_holds_what_it_needs_and_no_more():
    """The numbers that a further block leaves behind are 14 d T + H T^2 a text, and a mask and angles that all texts share."""
    def held(blocks):
        net, text = gpt(blocks), np.zeros((16, 64), int)
        w = net.initialize(np.random.default_rng(0))
        tracemalloc.start()
        pull = net.linearize(text, w)[2]
        size = tracemalloc.get_traced_memory()[0] / 4
        tracemalloc.stop()
        return pull and size

    assert 0 <= held(3) - held(2) - (14 * 128 * 64 + 4 * 64 * 64) * 16 < 3 * 64 * 64 + 10_000


def test_a_convolution_makes_its_windows_piece_by_piece():
    """All windows of the second layer of the benchmark's ConvNet would be 19 MB; a step needs not much more than what the backward pass asks for."""
    rng = np.random.default_rng(0)
    conv, x = Conv2D(64, 32), rng.standard_normal((64, 16, 16, 32), dtype=np.float32)
    w, windows = conv.initialize(rng), 9 * x.nbytes
    assert windows > 18e6
    assert peak_bytes(lambda: conv.forward(x, w)) < 64 * 16 * 16 * 64 * 4 + x.nbytes + 5 * CACHE * 4 < windows
    assert peak_bytes(lambda: conv.linearize(x, w)[2](np.ones((64, 16, 16, 64), np.float32))) < 1.2 * windows


def test_five_hundred_steps_do_not_grow_memory():
    """What Python holds after 500 steps is what it held after 50, up to the size of a few small objects."""
    rng = np.random.default_rng(0)
    net = MLP(10, 64, 64, 32)
    objective = Objective(net, CrossEntropy(), rng.standard_normal((64, 32), dtype=np.float32), rng.integers(0, 10, 64))
    tracemalloc.start()
    sizes = [tracemalloc.get_traced_memory()[0] for step in descend(objective, net.initialize(rng), Adam(1e-3), 500) if step.t in (50, 500)]
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 10_000
