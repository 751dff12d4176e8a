"""Homework checks: a student's function against laws and a reference, on random instances, with the hint first.

An exercise knows its misconceptions as code. A wrong answer that agrees with one of them everywhere gets that misconception's hint;
any other wrong answer gets what was expected beside what came.
"""
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

INSTANCES = 6


@dataclass(frozen=True)
class Misconception:
    """A wrong way to do the exercise, and the hint for someone who went it."""

    hint: str
    wrong: Callable


@dataclass(frozen=True)
class Exercise:
    """One task: what is right, on which random inputs it is tried, and what people do instead.

    `inputs(rng)` gives the arguments of one instance. `reference(*inputs)` gives an array, a number, or a tuple of them.
    """

    name: str
    points: int
    inputs: Callable[[np.random.Generator], tuple]
    reference: Callable
    misconceptions: tuple[Misconception, ...] = ()
    tolerance: float = 1e-6


@dataclass(frozen=True)
class Report:
    """What a check found. `status`: passed, wrong, error or empty; it prints itself in a notebook."""

    exercise: Exercise
    status: str
    hint: str = ""
    details: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    def __repr__(self):
        name, points = self.exercise.name, self.exercise.points
        head = {"passed": f"{name}: public checks passed ({points} points).", "empty": f"{name}: nothing has been entered yet ({points} points).",
                "wrong": f"{name}: not yet. {self.hint}", "error": f"{name}: your code raised an error. {self.hint}"}[self.status]
        return "\n".join(filter(None, [head, self.details]))


def check(exercise: Exercise, student: Callable, seed: int = 0) -> Report:
    """Try `student` on random instances of the exercise; a Report, hint first."""
    rng = np.random.default_rng(seed)
    instances = [exercise.inputs(rng) for _ in range(INSTANCES)]
    answers = []
    for instance in instances:
        try:
            answers.append(student(*_copies(instance)))
        except NotImplementedError:
            return Report(exercise, "empty")
        except Exception as error:
            return Report(exercise, "error", f"{type(error).__name__}: {error}", _students_part(error))
    if all(answer is None or answer is Ellipsis for answer in answers):
        return Report(exercise, "empty")
    expected = [exercise.reference(*_copies(instance)) for instance in instances]
    agrees = [_same(a, e, exercise.tolerance) for a, e in zip(answers, expected, strict=True)]
    if all(agrees):
        return Report(exercise, "passed")
    i = agrees.index(False)
    return Report(exercise, "wrong", _hint(exercise, instances, answers) or _difference(answers[i], expected[i]), _beside(answers[i], expected[i]))


def _hint(exercise: Exercise, instances: list[tuple], answers: list) -> str:
    """The hint of the first misconception that gives the student's answers, all of them."""
    for misconception in exercise.misconceptions:
        wrong = [misconception.wrong(*_copies(instance)) for instance in instances]
        if all(_same(a, w, exercise.tolerance) for a, w in zip(answers, wrong, strict=True)):
            return misconception.hint
    return ""


def _copies(instance: tuple) -> tuple:
    return tuple(x.copy() if isinstance(x, np.ndarray) else x for x in instance)


def _numbers(x) -> np.ndarray | None:
    """A plain array of finite or infinite numbers, or None for anything else: no object with its own idea of equality gets in."""
    try:
        a = np.array(x)
    except Exception:
        return None
    return a if a.dtype.kind in "fiub" else None


def _same(answer, expected, tolerance: float) -> bool:
    """Whether the answer has the expected structure, shapes and, within `tolerance` of their scale, numbers."""
    if isinstance(expected, tuple):
        pairs = isinstance(answer, (tuple, list)) and len(answer) == len(expected) and zip(answer, expected, strict=True)
        return bool(pairs) and all(_same(a, e, tolerance) for a, e in pairs)
    a, e = _numbers(answer), np.asarray(expected)
    return a is not None and a.shape == e.shape and bool((abs(a - e) <= tolerance * max(1.0, abs(e).max(initial=0))).all())


def _difference(answer, expected) -> str:
    """What is wrong at first sight, for an answer that no misconception explains."""
    if isinstance(expected, tuple):
        if not isinstance(answer, (tuple, list)) or len(answer) != len(expected):
            return f"The function should return {len(expected)} things, as in `return a, b`."
        return next((_difference(a, e) for a, e in zip(answer, expected, strict=True) if not _same(a, e, 1e-6)), "")
    a = _numbers(answer)
    if a is None:
        return f"The answer should be made of real numbers, and is a {type(answer).__name__}."
    if a.shape != np.shape(expected):
        return f"The answer should have the shape {list(np.shape(expected))}, and has {list(a.shape)}."
    if not np.isfinite(a).all():
        return "The answer holds NaN or infinity; look for a division by zero."
    return "The numbers differ from what the definition gives; try the smallest case by hand."


def _beside(answer, expected) -> str:
    with np.printoptions(precision=4, suppress=True, threshold=12):
        return f"  expected: {_text(expected)}\n  got:      {_text(answer)}"


def _text(x) -> str:
    """A value on one line; a student's object that cannot print itself is named by its type."""
    try:
        if isinstance(x, (tuple, list)):
            return "(" + ", ".join(map(_text, x)) + ")"
        return str(np.array(x)).replace("\n", " ")[:300]
    except Exception:
        return f"a {type(x).__name__}"


def _students_part(error: Exception) -> str:
    """The traceback without the checker's own frames."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    return "".join(traceback.format_list(frames)).rstrip()
