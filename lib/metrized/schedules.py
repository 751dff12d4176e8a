"""Schedules: functions of the step number that multiply the steps of a rule."""
from collections.abc import Callable


def constant(t: int) -> float:
    """1, always."""
    return 1.0


def linear(steps: int) -> Callable[[int], float]:
    """From 1 at step 0 down to 0 at step `steps`, in a straight line."""
    if steps < 1:
        raise ValueError(f"linear needs at least one step, got {steps}")
    return lambda t: max(0.0, 1 - t / steps)
