"""One training loop. It yields and keeps nothing: callers record what they want."""
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from tqdm.auto import tqdm

from .arrays import Array, namespace, whole
from .objective import Objective
from .schedules import constant
from .vectors import Vector


class Step(NamedTuple):
    """A moment of training: at step t the weights are w, with this loss; `state` is the rule's, before the step from here."""

    t: int
    loss: Array
    w: Vector
    state: Any


class Diverged(ArithmeticError):
    """The loss became NaN or infinite. `step` holds the number of the step; whatever was recorded before is the caller's and stays."""

    def __init__(self, step: int, loss):
        super().__init__(step, loss)
        self.step, self.loss = step, loss

    def __str__(self):
        return (f"the loss is {self.loss} at step {self.step}; try a smaller step size (a larger sharpness), or look at the data "
                "and the initial weights. What was recorded up to here is kept")


def descend(objective: Objective | Iterable[Objective], w: Vector, rule, steps: int, *, schedule: Callable[[int], float] = constant,
            state: Any = None, start: int = 0, progress: bool = False, guard: bool = True) -> Iterator[Step]:
    """w <- w + schedule(t) * rule(gradient), `steps` times; yields `steps` + 1 moments, the last after the last step.

    `objective` is one for every step, or an iterable with a new one (a batch) for each. To go on where a run stopped, give back its w, state
    and t (as `start`). Raises Diverged where the loss is NaN or infinite, unless guard=False (an ensemble in which some networks may die).
    Raises ValueError where the batches run out, or for a number of steps that is not whole and >= 0.
    """
    steps = whole("descend", "steps", steps, least=0)
    batches = iter(lambda: objective, None) if callable(objective) else iter(objective)
    state = rule.start(w) if state is None else state
    for t in tqdm(range(start, start + steps), disable=not progress, desc="training", unit="step"):
        batch = _next(batches, t)
        loss, g = batch.value_and_grad(w)
        yield Step(t, _alive(loss, t, guard), w, state)
        step, state = rule(g, state, w)
        w = w + schedule(t) * step
    t = start + steps
    last = objective if callable(objective) else _next(batches, t)  # the loss after the last step: on the one objective, or on one batch more
    yield Step(t, _alive(last(w), t, guard), w, state)


def _next(batches: Iterator, t: int):
    for batch in batches:
        return batch
    raise ValueError(f"the batches ran out at step {t}; make them endless, as data.batches does")


def _alive(loss: Array, t: int, guard: bool) -> Array:
    if guard and not namespace(loss).isfinite(loss).all():
        raise Diverged(t, loss)
    return loss
