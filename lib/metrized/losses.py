"""Losses: a number from outputs and targets, with the first and the second derivative in the outputs.

Targets have no ensemble axis: outputs [K, *targets] of K networks give K losses.
"""
from collections.abc import Callable

from .arrays import Array, is_array, is_float, namespace, row_max, row_sums, shapes


class Loss:
    """l(y, t), a number. Subclasses write check, which compares one network's outputs with the targets, and linearize."""

    axes = 0
    """How many axes the outputs have beyond those of the targets."""

    def check(self, y: Array, t: Array) -> None:
        """Raises ValueError or TypeError where the targets do not fit the outputs (of one network)."""
        raise NotImplementedError

    def linearize(self, y: Array, t: Array) -> tuple[Array, Array, Callable[[Array], Array]]:
        """(loss, dl/dy [shape of y], v -> l'' v)."""
        raise NotImplementedError

    def __call__(self, y: Array, t: Array) -> Array:
        """The loss; [K] losses of outputs [K, ...] of an ensemble."""
        self.check(y[0] if is_array(t) and y.ndim == t.ndim + self.axes + 1 else y, t)
        return self.linearize(y, t)[0]

    def __repr__(self):
        return f"{type(self).__name__}()"


class SquareError(Loss):
    """1/2 mean (y - t)^2 over all samples and features, half the squared RMS of the error; y, t: [..., n]. l'' = I / (number of entries of t)."""

    def check(self, y: Array, t: Array) -> None:
        if not is_array(t) or t.size == 0 or y.shape != t.shape:
            raise ValueError(f"SquareError met outputs {shapes(y)} and targets {shapes(t)}; they need one shape, and at least one sample")
        if not is_float(t) or t.dtype != y.dtype:
            raise TypeError(f"SquareError met outputs of {y.dtype} and targets of {t.dtype}; cast one, nothing is cast in silence")

    def linearize(self, y: Array, t: Array) -> tuple[Array, Array, Callable[[Array], Array]]:
        error = y - t
        return 0.5 * (error * error).mean(tuple(range(-t.ndim, 0))), error * (1 / t.size), lambda v: v * (1 / t.size)


class CrossEntropy(Loss):
    """- mean log softmax(y)_t over all samples, in nats; y: logits [..., n], t: integers [...] from 0 to n - 1."""

    axes = 1

    def check(self, y: Array, t: Array) -> None:
        if not is_array(t) or t.dtype.kind not in "iu":
            raise TypeError(f"CrossEntropy needs integer targets, got {getattr(t, 'dtype', type(t).__name__)}")
        if t.size == 0 or y.shape[:-1] != t.shape:
            raise ValueError(f"CrossEntropy met logits {shapes(y)} and targets {shapes(t)}; logits need one axis more, and at least one sample")
        if not (0 <= int(t.min()) and int(t.max()) < y.shape[-1]):
            raise ValueError(f"CrossEntropy needs targets from 0 to {y.shape[-1] - 1}, one for each logit; got {int(t.min())} to {int(t.max())}")

    def linearize(self, y: Array, t: Array) -> tuple[Array, Array, Callable[[Array], Array]]:
        """(loss, dl/dy = (softmax(y) - onehot(t)) / samples, v -> l'' v = (p v - p <p, v>) / samples)."""
        xp, c = namespace(y), 1 / t.size
        logits = y - row_max(y)
        p = xp.exp(logits)
        total = row_sums(p)
        p /= total
        hit = t[..., None] == xp.arange(y.shape[-1])
        samples = tuple(range(-1 - t.ndim, 0))
        loss = c * (xp.log(total).sum(samples) - (logits * hit).sum(samples))
        return loss, c * (p - hit), lambda v: c * p * (v - row_sums(p * v))
