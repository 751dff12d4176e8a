"""What a computation costs: operations and bytes, counted while it runs, not estimated.

    book = Ledger()
    loss = Objective(net, SquareError(), book.watch(x), t)
    loss.value_and_grad(book.watch(w))
    book.operations, book.bytes

Watched arrays are NumPy arrays that note every function applied to them, and whose results are watched in turn. Host only.
"""
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .arrays import namespace
from .vectors import Tree


@dataclass
class Ledger:
    """Operations (additions, multiplications, comparisons, calls of exp and the like, one each) and bytes of results, by function."""

    rows: dict[str, list[int]] = field(default_factory=dict)

    def watch(self, x):
        """The same array, or Vector, such that all that is computed from it is counted here."""
        if isinstance(x, Tree):
            return x.map(self.watch)
        if namespace(x) is not np:
            raise TypeError(f"a Ledger counts on the host and was given an array of {namespace(x).__name__}; bring it there with to_numpy")
        watched = np.asarray(x).view(Watched)
        watched.ledger = self
        return watched

    def note(self, name: str, operations: int, size: int) -> None:
        """Enter one call of a function: its operations and the bytes of its result."""
        row = self.rows.setdefault(name, [0, 0, 0])
        row[0], row[1], row[2] = row[0] + 1, row[1] + operations, row[2] + size

    @property
    def operations(self) -> int:
        """All operations so far."""
        return sum(row[1] for row in self.rows.values())

    @property
    def bytes(self) -> int:
        """Bytes of all results so far, whether kept or thrown away."""
        return sum(row[2] for row in self.rows.values())

    def __repr__(self):
        table = sorted(self.rows.items(), key=lambda row: -row[1][1])
        lines = [f"{name:16}{calls:8}{operations:16,}{size:16,}" for name, (calls, operations, size) in table]
        return "\n".join([f"{'function':16}{'calls':>8}{'operations':>16}{'bytes':>16}", *lines, f"{'all':24}{self.operations:16,}{self.bytes:16,}"])


class Watched(np.ndarray):
    """A NumPy array that reports to a Ledger."""

    ledger: Ledger | None = None

    def __array_finalize__(self, source):
        self.ledger = getattr(source, "ledger", None)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if out is not None:
            options["out"] = tuple(map(_plain, out))
        result = getattr(ufunc, method)(*map(_plain, inputs), **options)
        book = next(x.ledger for x in (*inputs, *(out or ())) if isinstance(x, Watched) and x.ledger is not None)
        book.note(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}", _operations(ufunc, method, inputs, result), _size(result))
        return book.watch(result) if isinstance(result, (np.ndarray, np.generic)) else result

    def __array_function__(self, function, types, args, kwargs):
        result = super().__array_function__(function, types, args, kwargs)
        if type(result) is not np.ndarray:
            return result
        if function in (np.where, np.concatenate, np.pad, np.einsum):
            added = np.size(args[1]) if function is np.einsum else 0  # the library sums rows with it, and multiplies nothing
            self.ledger.note(function.__name__, added, result.nbytes)
        return self.ledger.watch(result)


def _plain(x):
    return x.view(np.ndarray) if isinstance(x, Watched) else x


def _size(result) -> int:
    return getattr(result, "nbytes", 0)


def _operations(ufunc: np.ufunc, method: str, inputs: tuple, result) -> int:
    """One for each number made, for a reduction one for each number that goes in, for a matrix product a multiplication and an addition each."""
    if ufunc is np.matmul:
        return 2 * np.size(result) * np.shape(inputs[0])[-1]
    if method == "__call__":
        return np.size(result)
    if method == "at":
        return np.size(np.asarray(inputs[0])[inputs[1]])
    return np.size(inputs[0])


def peak_bytes(f: Callable[[], object]) -> int:
    """The most bytes that f() holds at one time beyond what was there before, as Python's tracemalloc sees it."""
    tracing = tracemalloc.is_tracing()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    try:
        f()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not tracing:
            tracemalloc.stop()


def gpt_buffers(width: int, heads: int, blocks: int, context: int, vocabulary: int, batch: int = 1, checkpoints: str = "none") -> dict[str, int]:
    """The formula beside the count: how many numbers of each kind there are at the peak of a gradient of compounds.GPT.

    A block's backward pass asks for 14 d T + H T^2 numbers a text. `checkpoints`: "none"; around the "attention" of every block, or around
    "every block", so that what they wrap exists for one block at a time. Temporary arrays are not counted.
    """
    if checkpoints not in ("none", "attention", "every block"):
        raise ValueError(f'checkpoints are "none", around the "attention" or around "every block", got {checkpoints!r}')
    again, whole, dT = checkpoints != "none", checkpoints == "every block", width * context * batch
    weights = 12 * blocks * width ** 2 + 2 * width * vocabulary
    return {"weights": weights, "gradients": weights,
            "inputs of branches": (blocks + 2 if whole else 2 * blocks + 1) * dT,  # and of the last layer
            "q, k, v and result": 4 * dT * (1 if again else blocks),
            "attention weights": heads * context ** 2 * batch * (1 if again else blocks),
            "MLP": 8 * dT * (1 if whole else blocks),
            "logits and slopes": 2 * vocabulary * context * batch}
