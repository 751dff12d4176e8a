"""Homework checks: a student's function against laws and a reference, on random instances, with the hint first.

An exercise knows its misconceptions as code. A wrong answer that agrees with one of them everywhere gets that misconception's hint; one that
breaks a law gets that law's; one that is off by a factor everywhere hears the factor. Then follows the smallest instance that fails.
"""
import copy
import functools
import hashlib
import inspect
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Misconception:
    """A wrong way to do the exercise, and the hint for someone who went it."""

    hint: str
    wrong: Callable


@dataclass(frozen=True)
class Law:
    """Something that every right answer obeys: holds(student, *inputs), and the hint for a function that breaks it."""

    hint: str
    holds: Callable[..., bool]


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
    laws: tuple[Law, ...] = ()
    laws_of_a_right_answer: tuple[Law, ...] = ()
    """What else a function with the right numbers must obey, such as how often it may call another."""
    on_error: str = ""
    """A hint for code in which shapes do not fit, or a matrix is singular."""
    tolerance: float = 1e-6
    instances: int = 16
    """How many are drawn: so many that no misconception gets past all of them by luck, and fewer where an answer calls functions a lot."""
    numbers: Mapping[str, tuple] = field(default_factory=dict, hash=False)
    """What a variant exchanges: by name its alternatives, the published one first. A function above with an argument of that name is given the
    number there, and a hint holds it in braces."""

    def at(self, drawn: Mapping) -> "Exercise":
        """This exercise with one number for each name. In a variant, the answer to the published exercise is a misconception."""
        if not self.numbers:
            return self
        published, drawn = {name: those[0] for name, those in self.numbers.items()}, {name: drawn[name] for name in self.numbers}
        laws = lambda laws: tuple(Law(law.hint.format(**drawn), _given(law.holds, drawn)) for law in laws)
        misconceptions = tuple(Misconception(m.hint.format(**drawn), _given(m.wrong, drawn)) for m in self.misconceptions)
        copied = (Misconception(OTHER_NUMBERS, _given(self.reference, published)),) if drawn != published else ()
        return replace(self, inputs=_given(self.inputs, drawn), reference=_given(self.reference, drawn), misconceptions=misconceptions + copied,
                       laws=laws(self.laws), laws_of_a_right_answer=laws(self.laws_of_a_right_answer), on_error=self.on_error.format(**drawn))


OTHER_NUMBERS = "This answers the published exercise. Yours has another number in it: read it once more."


def _given(f: Callable, numbers: Mapping) -> Callable:
    """f, with those of the numbers that it has arguments for."""
    return functools.partial(f, **{name: number for name, number in numbers.items() if name in inspect.signature(f).parameters})


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
                "wrong": f"{name}: not yet. {self.hint}", "error": f"{name}: your code raised an error. {self.hint}".rstrip()}[self.status]
        return "\n".join(filter(None, [head, self.details]))


class Checker:
    """The checks of one homework: checker(student_function) gives a Report, and checker.total() adds up the points.

    `numbers` are by name; the published one where there is none. Exercises that have a name in common have the number in common.
    """

    def __init__(self, *exercises: Exercise, numbers: Mapping | None = None):
        self._written = exercises
        self.alternatives = {name: those for exercise in exercises for name, those in exercise.numbers.items()}
        self.numbers = {name: those[0] for name, those in self.alternatives.items()} | dict(numbers or {})
        self.exercises = {exercise.name: exercise.at(self.numbers) for exercise in exercises}
        self.reports: dict[str, Report] = {}

    def at(self, **numbers) -> "Checker":
        """The same exercises with these numbers."""
        return Checker(*self._written, numbers=numbers)

    def variant(self, seed: int) -> "Checker":
        """The same exercises with none of the published numbers. Which, depends on the seed and on a number's own name alone, on every machine."""
        drawn = lambda name, count: int(hashlib.sha256(f"{seed} {name}".encode()).hexdigest(), 16) % count
        return self.at(**{name: others[drawn(name, len(others))] for name, (_, *others) in self.alternatives.items()})

    def __call__(self, student: Callable) -> Report:
        """Check a function by its name. Raises ValueError where no exercise has this name."""
        name = getattr(student, "__name__", None)
        if name not in self.exercises:
            raise ValueError(f"no exercise is called {name!r}; there are {', '.join(self.exercises)}")
        self.reports[name] = check(self.exercises[name], student)
        return self.reports[name]

    def total(self) -> None:
        """Print the points of all checks that passed when they were last run."""
        points = sum(self.exercises[name].points for name, report in self.reports.items() if report.passed)
        print(f"{points} of {sum(e.points for e in self.exercises.values())} points, as far as the public checks can see.")


class Raised(Exception):
    """What a student's function raised: the names of the exception's class and bases, the function it came from, and the student's traceback."""

    def __init__(self, kinds: Sequence[str], message: str, where: str = "", lines: str = ""):
        super().__init__(message)
        self.kinds, self.message, self.where, self.lines = kinds, message, where, lines

    @classmethod
    def of(cls, error: Exception) -> "Raised":
        """The same of an exception caught here."""
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
        where, lines = frames[-1].name if frames else "", "".join(traceback.format_list(frames)).rstrip()
        return error if isinstance(error, cls) else cls([kind.__name__ for kind in type(error).__mro__], str(error), where, lines)


def check(exercise: Exercise, student: Callable, seed: int = 0) -> Report:
    """Try `student` on random instances of the exercise; a Report, hint first."""
    rng = np.random.default_rng(seed)
    instances = sorted((exercise.inputs(rng) for _ in range(exercise.instances)), key=lambda instance: sum(map(_size, instance)))
    answers = []
    for instance in instances:
        given = _copies(instance)
        try:
            answers.append(student(*given))
        except Exception as error:
            raised = Raised.of(error)
            if "NotImplementedError" in raised.kinds:
                if raised.where in (getattr(student, "__name__", raised.where), "<lambda>"):
                    return Report(exercise, "empty")
                return Report(exercise, "error", f"It calls `{raised.where}`, which has not been written yet.")
            hint = exercise.on_error if {"ValueError", "LinAlgError"} & {*raised.kinds} else ""
            return Report(exercise, "error", hint, f"{raised.lines}\n{raised.kinds[0]}: {raised.message}")
        for name, before, after in zip(_names(student, instance), instance, given, strict=True):
            if not callable(before) and _text(before) != _text(after):
                return Report(exercise, "wrong", f"Your function changes its argument `{name}`, which whoever calls it still needs. "
                              f"Operations like `{name} -= ...` and `{name}[...] = ...` write into the caller's array: make a new one.")
    if all(answer is Ellipsis for answer in answers):
        return Report(exercise, "empty")
    expected = [exercise.reference(*_copies(instance)) for instance in instances]
    agrees = [_same(a, e, exercise.tolerance) for a, e in zip(answers, expected, strict=True)]
    if all(agrees):
        hint = _law(exercise.laws_of_a_right_answer, student, instances)
        return Report(exercise, "wrong" if hint else "passed", hint)
    i = agrees.index(False)
    hint = _misconception(exercise, instances, answers) or _form(answers[i], expected[i]) or _factor(answers, expected)
    hint = hint or _law(exercise.laws, student, instances) or "The numbers differ from what the definition gives; try the smallest case by hand."
    return Report(exercise, "wrong", hint, _beside(student, instances[i], answers[i], expected[i]))


def told(f: Callable, words: str) -> Callable:
    """f, with the words by which a check shows it to a student."""
    f.__doc__ = words
    return f


def _misconception(exercise: Exercise, instances: list[tuple], answers: list) -> str:
    """The hint of the first misconception that gives the student's answers, all of them."""
    for misconception in exercise.misconceptions:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong = [misconception.wrong(*_copies(instance)) for instance in instances]
        if all(_same(a, w, exercise.tolerance) for a, w in zip(answers, wrong, strict=True)):
            return misconception.hint
    return ""


def _law(laws: tuple[Law, ...], student: Callable, instances: list[tuple]) -> str:
    """The hint of the first law that the student's function breaks."""
    for law in laws:
        try:
            if not all(law.holds(student, *_copies(instance)) for instance in instances):
                return law.hint
        except Exception:  # a student's function may fail on the inputs that a law makes up; then the law has nothing to say
            continue
    return ""


def _form(answer, expected) -> str:
    """What is wrong with the answer before its numbers count: its type, structure, shape, or NaN."""
    if answer is None:
        return "The function returned None. Did you print the answer instead of returning it, or forget the `return`?"
    if isinstance(expected, tuple):
        if not _several(answer) or len(answer) != len(expected):
            return f"The function should return {len(expected)} things, as in `return a, b`."
        words = [("The answer is None." if a is None else _form(a, e)).replace("The answer", f"Thing {i} of the {len(expected)} that you return", 1)
                 for i, (a, e) in enumerate(zip(answer, expected, strict=True), 1)]
        return next(filter(None, words), "")
    a = _numbers(answer)
    if a is None:
        what = "complex" if getattr(answer, "dtype", None) is not None and answer.dtype.kind == "c" else f"a {type(answer).__name__}"
        return f"The answer should be made of real numbers, and is {what}."
    if a.shape != np.shape(expected):
        if np.shape(expected) == () and a.size == 1:
            return "The answer should be one number, and not a list that holds one."
        due, shape = list(np.shape(expected)), list(a.shape)
        if not due:
            return f"The answer should be one number, and has the shape {shape}."
        return f"The answer should have the shape {due}, and {f'has {shape}' if shape else 'is one number'}."
    return "" if np.isfinite(a).all() else "The answer holds NaN or infinity; look for a division by zero, or for exp of a large number."


def _factor(answers: list, expected: list) -> str:
    """A word on answers, or on one of several things returned, that are right up to one constant factor."""
    if any(_form(a, e) for a, e in zip(answers, expected, strict=True)):
        return ""
    if isinstance(expected[0], tuple):
        each = [_factor([a[i] for a in answers], [e[i] for e in expected]) for i in range(len(expected[0]))]
        return next((f"Thing {i} of the {len(each)} that you return: {words}" for i, words in enumerate(each, 1) if words), "")
    a, e = (np.concatenate([np.ravel(np.array(x, dtype=float)) for x in values]) for values in (answers, expected))
    if isinstance(expected[0], (bool, np.bool_)):
        return "" if (a == e).all() else "Yes and no are mixed up in some cases; try the border itself."
    c = (a @ e) / (e @ e) if e.any() else 0.0
    if c == 0 or abs(c - 1) < 1e-6 or not abs(a - c * e).max() <= 1e-6 * abs(c * e).max():
        return ""
    return f"Right up to a constant: your answer is {c:.6g} times what the definition gives, always."


def _size(x) -> int:
    """How much there is to look at in one argument."""
    return x.size if isinstance(x, np.ndarray) else len(x) if isinstance(x, (list, tuple)) else 1


def _copies(instance: tuple) -> tuple:
    return tuple(x if callable(x) else copy.deepcopy(x) for x in instance)


def _several(answer) -> bool:
    """Whether it is several things. (NumPy's numbers come as arrays from a student's process.)"""
    return isinstance(answer, (tuple, list)) or isinstance(answer, np.ndarray) and answer.ndim > 0


def _numbers(x) -> np.ndarray | None:
    """A plain array of finite or infinite numbers, or None for anything else: no object with its own idea of equality gets in."""
    try:
        a = np.array(x)
    except Exception:
        return None
    return a if a.dtype.kind in "fiub" else None


def _same(answer, expected, tolerance: float) -> bool:
    """Whether the answer has the expected structure, shapes and, within `tolerance` of their scale, numbers. (A misconception may expect NaN.)"""
    if isinstance(expected, tuple):
        pairs = _several(answer) and len(answer) == len(expected) and zip(answer, expected, strict=True)
        return bool(pairs) and all(_same(a, e, tolerance) for a, e in pairs)
    a, e = _numbers(answer), np.asarray(expected, dtype=float)
    if a is None or a.shape != e.shape:
        return False
    near = abs(a - e) <= tolerance * max(1.0, abs(e[np.isfinite(e)]).max(initial=0))
    return bool((near | np.isnan(a) & np.isnan(e)).all())


def _beside(student: Callable, instance: tuple, answer, expected) -> str:
    """The instance, what was expected for it, and what came."""
    shown = [(name, x.__doc__ if callable(x) else _text(x)) for name, x in zip(_names(student, instance), instance, strict=True)]
    given = [f"{name} = {text}" for name, text in shown if text]
    with np.printoptions(precision=4, suppress=True, threshold=12):
        return "\n".join([*(f"  for {line}" for line in given), f"  expected: {_text(expected)}", f"  got:      {_text(answer)}"])


def _names(student: Callable, instance: tuple) -> list[str]:
    """What the student calls the arguments."""
    try:
        names = list(inspect.signature(student).parameters)
    except (TypeError, ValueError):  # NumPy's own functions have none
        names = []
    return names if len(names) == len(instance) else [f"argument {i}" for i in range(1, len(instance) + 1)]


def _text(x) -> str:
    """A value on one line; a student's object that cannot print itself is named by its type."""
    try:
        if isinstance(x, tuple) or isinstance(x, list) and any(isinstance(part, tuple) for part in x):
            return "({}{})".format(", ".join(map(_text, x)), "," * (len(x) == 1)) if isinstance(x, tuple) else "[{}]".format(", ".join(map(_text, x)))
        return np.array2string(np.array(x), precision=4, suppress_small=True, separator=", ").replace("\n", "")[:400]
    except Exception:
        return f"a {type(x).__name__}"
