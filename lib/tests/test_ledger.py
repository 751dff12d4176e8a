"""The ledger counts what is done, and a checkpoint saves what its formula says."""
import numpy as np
import pytest

from metrized.atoms import Linear
from metrized.bonds import Softmax, Tanh
from metrized.compounds import GPT, MLP, Checkpoint, ConvNet
from metrized.ledger import Ledger, peak_bytes
from metrized.losses import CrossEntropy, SquareError
from metrized.modules import NO_WEIGHTS
from metrized.objective import Objective


def test_counts_by_hand(rng):
    """A matrix product of [3, 4] and [4, 5] has 60 multiplications and 60 additions; softmax of n numbers about 5 n operations."""
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
