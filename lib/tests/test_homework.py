"""Homework: solutions pass, misconceptions are named, and untouched copies are met with patience."""
import importlib
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from metrized.check import Checker, Exercise, Law, Misconception, _copies, _same, check

ROOT = Path(__file__).parents[2]
HOMEWORKS = [path.stem for path in sorted((ROOT / "solutions").glob("hw*.ipynb"))]
EXERCISES = {(hw, name): exercise for hw in HOMEWORKS for name, exercise in importlib.import_module(f"metrized.check.{hw}").check.exercises.items()}
MISCONCEPTIONS = [(hw, name, i) for (hw, name), e in EXERCISES.items() for i in range(len(e.misconceptions))]


def functions(notebook: Path) -> dict:
    """The functions that the code cells of a notebook define."""
    scope = {"np": np}
    for cell in json.loads(notebook.read_text())["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and source.startswith("def ") and "still(" not in source:
            exec(source, scope)
    return scope


@pytest.mark.parametrize("hw, name", EXERCISES)
def test_solutions_pass(hw, name):
    report = check(EXERCISES[hw, name], functions(ROOT / "solutions" / f"{hw}.ipynb")[name], seed=7)
    assert report.passed and "public checks passed" in repr(report)


@pytest.mark.parametrize("hw, name", EXERCISES)
def test_untouched_copies(hw, name):
    report = check(EXERCISES[hw, name], functions(ROOT / "homework" / f"{hw}.ipynb")[name])
    assert report.status == "empty" and "nothing has been entered yet" in repr(report) and "Traceback" not in repr(report)


@pytest.mark.parametrize("hw, name, i", MISCONCEPTIONS)
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_misconceptions_get_their_hint(hw, name, i, seed):
    exercise = EXERCISES[hw, name]
    misconception = exercise.misconceptions[i]
    report = check(exercise, misconception.wrong, seed)
    assert report.status == "wrong" and report.hint == misconception.hint
    assert "expected:" in report.details and repr(report).index(report.hint) < repr(report).index("expected:")


@pytest.mark.parametrize("hw, name", EXERCISES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_no_luck_of_the_draw(hw, name):
    """A grader's run draws its own instances. At most one run in 10 000 has none that tells a misconception from the right answer, or from one
    whose hint would be given in its place: of 300 instances drawn here, the share on which two agree, to the power of a check's instances."""
    exercise, rng = EXERCISES[hw, name], np.random.default_rng(8)
    drawn = [exercise.inputs(rng) for _ in range(300)]
    hints = [None, *(m.hint for m in exercise.misconceptions)]
    answers = [[f(*_copies(instance)) for instance in drawn] for f in (exercise.reference, *(m.wrong for m in exercise.misconceptions))]
    luck = {(i, j): np.mean([_same(a, b, exercise.tolerance) for a, b in zip(answers[i], answers[j], strict=True)]) ** exercise.instances
            for j in range(len(hints)) for i in range(j) if hints[i] != hints[j]}
    assert not {pair: chance for pair, chance in luck.items() if chance > 1e-4}


@pytest.mark.parametrize("hw", HOMEWORKS)
def test_points_and_hints_are_complete(hw):
    """100 points (and a bonus where the text says so); every check call in the notebook is an exercise, and every exercise is called."""
    exercises = [e for (h, _), e in EXERCISES.items() if h == hw]
    text = (ROOT / "solutions" / f"{hw}.ipynb").read_text()
    assert sum(e.points for e in exercises) == 100 + (10 if "bonus of 10" in text else 0)
    for e in exercises:
        assert f"check({e.name})" in text and e.misconceptions


SQUARE = Exercise("square", 5, lambda rng: (rng.standard_normal(3),), lambda x: x ** 2)


class EqualToEverything:
    """An answer that agrees with any answer."""

    def __eq__(self, other):
        return True

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no numbers here")


@pytest.mark.parametrize("answer, words", [
    (lambda x: np.ones(4), "shape [3], and has [4]"),
    (lambda x: x * np.nan, "NaN"),
    (lambda x: "x", "is a str"),
    (lambda x: x ** 3, "numbers differ"),
    (lambda x: EqualToEverything(), "is a EqualToEverything"),
    (lambda x: (x ** 2).astype(complex), "is complex"),
    (lambda x: print(end=""), "returned None"),
    (lambda x: -2 * x ** 2, "-2 times"),
])
def test_unforeseen_answers_get_a_plain_word(answer, words):
    report = check(SQUARE, answer)
    assert report.status == "wrong" and words in report.hint and "got:" in report.details


ODD = [None, "x", 1j, {}, [], (), (1, 2), (None, "x"), ((1,), (2, 3)), [[1], [2, 3]], np.nan, np.inf, True, 3, -2.5,
       np.array(5.0), np.float64(2), np.ones(3), np.ones((2, 0)), object(), EqualToEverything(), (EqualToEverything(), 1.0)]


PAIR = Exercise("pair", 5, SQUARE.inputs, lambda x: (x.sum(), x ** 2))


@pytest.mark.parametrize("answer, words", [
    (lambda x: x.sum(), "should return 2 things"),
    (lambda x: np.array(x.sum()), "should return 2 things"),
    (lambda x: (x.sum(), None), "Thing 2 of the 2 that you return is None."),
    (lambda x: (x.sum(), x @ x), "Thing 2 of the 2 that you return should have the shape [3], and is one number."),
    (lambda x: (x, x ** 2), "Thing 1 of the 2 that you return should be one number, and has the shape [3]."),
    (lambda x: (x.sum(), 3 * x ** 2), "Thing 2 of the 2 that you return: Right up to a constant: your answer is 3 times"),
])
def test_what_is_wrong_with_one_of_two_things_is_said(answer, words):
    report = check(PAIR, answer)
    assert report.status == "wrong" and words in report.hint


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("hw, name", EXERCISES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_whatever_comes_now_and_then_there_is_a_report(hw, name, share, factor):
    """Right on some inputs, or right up to a factor, and elsewhere something that no exercise asks for: never an error of the check's own."""
    exercise, rng = EXERCISES[hw, name], np.random.default_rng(5)
    times = lambda answer: tuple(map(times, answer)) if isinstance(answer, tuple) else factor * answer
    for seed in range(4):
        report = check(exercise, lambda *given: ODD[rng.integers(len(ODD))] if rng.random() < share else times(exercise.reference(*given)), seed)
        assert report.passed or report.status == "wrong" and report.hint


BROKEN_LAWS = {  # wrong in ways that no misconception foresees: (exercise, function, words of the hint)
    "no sharpness": ("linf_step", lambda g, L: -abs(g).sum() * np.sign(g), "sharpness doubles"),
    "zeros move": ("linf_step", lambda g, L: -abs(g).sum() / L * np.where(g < 0, -1, 1), "g_i = 0 should not move"),
    "one coordinate": ("linf_step", lambda g, L: -np.sign(g) * (abs(g) == abs(g).max()) * abs(g).sum() / L, "same amount"),
    "not squared": ("linf_decrease", lambda g, L: -abs(g).sum() / 2 / L, "four times as large"),
    "twice too much": ("linf_step", lambda g, L: -2 * abs(g).sum() / L * np.sign(g), "2 times what the definition gives"),
    "forgot the sharpness": ("steepest_step", lambda g, L, dual, dualize: -dual(g) * dualize(g), "sharpness doubles"),
    "sign of a matrix": ("spectral", lambda G: (abs(G).sum(), np.sign(G)), "should have norm 1"),
    "clashing signs": ("nuclear", lambda G: (np.linalg.norm(G, 2), np.eye(*G.shape) / min(G.shape)), "should be the dual norm"),
    "consistent, not best": ("frobenius", lambda G: (abs(G).max(), np.sign(G) * (abs(G) == abs(G).max())), "lies farther"),
    "not a mean": ("sharpness_spectral", lambda X: (X * X).sum(1).max() * len(X), "stay the same"),
    "too safe": ("sharpness_spectral", lambda X: (X * X).sum(1).max(), "not the least one"),
    "too bold": ("sharpness_frobenius", lambda X: np.median(np.linalg.eigvalsh(X.T @ X / len(X))), "lower bound"),
    "no square": ("sharpness_spectral", lambda X: np.linalg.norm(X) / len(X) ** .5, "four times"),
    "one number in a list": ("weighted_dual", lambda g, A: [np.sqrt(g @ np.linalg.solve(A, g))], "not a list that holds one"),
}


@pytest.mark.parametrize("name", BROKEN_LAWS)
def test_unforeseen_mistakes_hear_the_law_they_break(name):
    exercise, student, words = BROKEN_LAWS[name]
    report = check(EXERCISES["hw4", exercise], student)
    assert report.status == "wrong" and words in report.hint, report


def test_a_report_shows_an_instance_that_can_be_redone():
    exercise = EXERCISES["hw4", "polygon_dual"]
    report = check(exercise, lambda g, corners: abs(corners @ g).mean())
    assert "for g = [" in report.details and "for corners = [[" in report.details


def test_points_add_up(capsys):
    checker = Checker(SQUARE, Exercise("cube", 7, SQUARE.inputs, lambda x: x ** 3))

    def square(x):
        return x ** 2

    def cube(x):
        raise NotImplementedError

    assert checker(square).passed and not checker(cube).passed
    checker.total()
    assert capsys.readouterr().out.startswith("5 of 12 points")
    with pytest.raises(ValueError, match="no exercise is called 'sum'; there are square, cube"):
        checker(sum)


def test_lists_are_as_good_as_arrays():
    assert check(SQUARE, lambda x: [v * v for v in x]).passed


def test_a_function_that_changes_its_arguments_is_told_so():
    def overwrites(x):
        x *= x
        return x

    report = check(SQUARE, overwrites)
    assert report.status == "wrong" and "changes its argument `x`" in report.hint

    def eats(parents, slopes):
        answer = EXERCISES["hw2", "backward"].reference(parents, slopes)
        parents.clear()
        return answer

    assert "changes its argument `parents`" in check(EXERCISES["hw2", "backward"], eats).hint


def test_the_one_of_several_things_that_is_wrong_is_named():
    affine = EXERCISES["hw2", "affine_pull"]
    row = check(affine, lambda dy, x, W: (dy @ W, dy.T @ x, dy.sum(0, keepdims=True)))
    assert "Thing 3 of the 3 that you return should have the shape" in row.hint
    assert "Thing 2 of the 3 that you return: Right up to a constant: your answer is -1 times" in check(
        affine, lambda dy, x, W: (dy @ W, -dy.T @ x, dy.sum(0))).hint


WASTEFUL = {  # the derivative is right, and the method is not
    "forward mode": (lambda step, slope, z, length, every: REVERSE.reference(step, slope, z, length, every), "forward mode"),
    "all values kept": (lambda step, slope, z, length, every: all_kept(step, slope, z, length), "nothing was run again"),
    "from the start": (lambda step, slope, z, length, every: from_the_start(step, slope, z, length), "more than twice"),
}
REVERSE = EXERCISES["hw2", "checkpointed"]


def all_kept(step, slope, z, length):
    kept = [z]
    for _ in range(length):
        kept.append(step(kept[-1]))
    return np.prod([slope(z) for z in reversed(kept[:-1])])


def from_the_start(step, slope, z, length):
    """Every value from z_0 anew."""
    bar = 1.0
    for t in reversed(range(length)):
        now = z
        for _ in range(t):
            now = step(now)
        bar *= slope(now)
    return bar


@pytest.mark.parametrize("name", WASTEFUL)
def test_checkpointing_is_looked_at_and_not_only_its_result(name):
    student, words = WASTEFUL[name]
    report = check(REVERSE, student)
    assert report.status == "wrong" and words in report.hint


def all_at_once(q, blocks):
    K, V = (np.concatenate(part) for part in zip(*blocks, strict=True))
    p = np.exp(K @ q / len(q) - (K @ q / len(q)).max())
    return p @ V / p.sum()


def two_passes(q, blocks):
    top, total, y = max((K @ q / len(q)).max() for K, _ in blocks), 0, 0
    for K, V in blocks:
        p = np.exp(K @ q / len(q) - top)
        total, y = total + p.sum(), y + p @ V
    return y / total


def cut_off(q, blocks):
    K, V = (np.concatenate(part) for part in zip(*blocks, strict=True))
    p = np.exp(np.clip(K @ q / len(q), -700, 700))
    return p @ V / p.sum()


@pytest.mark.parametrize("student, words", [(all_at_once, "laid side by side"), (two_passes, "more than once"), (cut_off, "")])
def test_a_row_of_attention_is_made_in_one_pass(student, words):
    report = check(EXERCISES["hw6", "attention_row"], student)
    assert report.status == "wrong" and words in report.hint


def three_terms(product, start, steps):
    """Lanczos as in exact arithmetic, where only the last two vectors matter."""
    before, q, diagonal, off = 0 * start, start / np.linalg.norm(start), [], [0.0]
    for _ in range(steps):
        u = product(q) - off[-1] * before
        diagonal.append(q @ u)
        u = u - diagonal[-1] * q
        off.append(np.linalg.norm(u))
        before, q = q, u / off[-1]
    return np.array(diagonal), np.array(off[1:-1])


def test_lanczos_without_orthogonalization_is_told_of_its_ghosts():
    assert "appears twice" in check(EXERCISES["hw5", "tridiagonal"], three_terms).hint


def test_a_call_of_something_unwritten_is_named():
    def helper(x):
        raise NotImplementedError

    assert "calls `helper`, which has not been written yet" in check(SQUARE, lambda x: helper(x)).hint


def test_errors_show_the_students_lines_only():
    report = check(SQUARE, lambda x: x @ np.ones(7))
    assert report.status == "error" and "ValueError" in report.details and __file__ in report.details and "check/__init__" not in report.details


def squares(**parts):
    """x ** 2 of one to six whole numbers, in no order of length."""
    lengths = itertools.cycle([4, 1, 6, 2, 5, 3])
    return Exercise("square", 5, lambda rng: (rng.integers(2, 9, next(lengths)),), lambda x: x ** 2, instances=6, **parts)


def test_the_smallest_instance_that_fails_is_shown():
    seen = []
    report = check(squares(), lambda x: seen.append(x) or x ** 2 + (len(x) > 2))
    assert [*map(len, seen)] == [1, 2, 3, 4, 5, 6] and f"for x = {seen[2].tolist()}\n" in report.details


def test_a_misconception_of_another_shape_gets_its_hint():
    assert check(squares(misconceptions=(Misconception("No sum.", lambda x: (x ** 2).sum()),)), lambda x: (x ** 2).sum()).hint == "No sum."


def test_a_misconception_may_be_nan():
    wrong = lambda x: np.where(x > x.min(), x ** 2, np.nan)
    assert check(squares(misconceptions=(Misconception("No 0/0.", wrong),)), wrong).hint == "No 0/0."


def test_a_hint_on_shapes_is_for_shapes():
    for fails, hint in ((lambda x: x @ np.ones(7), "Shapes."), (lambda x: np.linalg.inv(np.zeros((2, 2))), "Shapes."), (lambda x: {}["x"], "")):
        report = check(squares(on_error="Shapes."), fails)
        assert report.status == "error" and report.hint == hint


def test_dots_are_nothing_entered_and_dots_in_one_branch_are_wrong():
    assert check(squares(), lambda x: ...).status == "empty"
    assert check(squares(), lambda x: x ** 2 if len(x) > 2 else ...).status == "wrong"


def test_a_law_is_broken_by_one_instance_and_not_by_its_own_failure():
    laws = (Law("first", lambda f, x: 1 / 0), Law("second", lambda f, x: True), Law("third", lambda f, x: len(x) > 1))
    assert check(squares(laws=laws), lambda x: x ** 3).hint == "third"
    assert check(squares(laws_of_a_right_answer=laws), lambda x: x ** 2).hint == "third"


def test_zero_is_no_factor():
    assert "numbers differ" in check(squares(), lambda x: 0 * x).hint


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_answers_may_be_off_by_a_millionth_of_their_scale_or_of_one(scale):
    exercise = Exercise("scaled", 5, lambda rng: (rng.uniform(1, 2, 4),), lambda x: scale * x)
    assert check(exercise, lambda x: scale * x + 1e-7 * max(1, scale)).passed
    assert not check(exercise, lambda x: scale * x + 1e-5 * max(1, scale)).passed


@pytest.mark.parametrize("kind", ["?", "u1", "i4", "f4", "f8"])
def test_numbers_of_every_kind_are_answers(kind):
    exercise = Exercise("large", 5, lambda rng: (rng.integers(0, 9, 5),), lambda x: x > 4)
    assert check(exercise, lambda x: (x > 4).astype(kind)).passed


def test_yes_and_no_have_no_factor():
    exercise = squares()
    yes = Exercise("yes", 5, exercise.inputs, lambda x: len(x) > 2)
    assert "the border itself" in check(yes, lambda x: len(x) > 1).hint and "constant" not in check(yes, lambda x: 2.0 * (len(x) > 2)).hint


def test_things_come_as_tuples_or_lists_of_the_right_length():
    two = Exercise("two", 5, lambda rng: (rng.integers(2, 9, 3),), lambda x: (x.sum(), x ** 2))
    assert check(two, lambda x: [x.sum(), x ** 2]).passed
    for wrong in (lambda x: (x.sum(),), lambda x: (x.sum(), x ** 2, x)):
        assert "should return 2 things" in check(two, wrong).hint


def test_functions_that_do_not_name_their_arguments_are_shown_numbered_ones():
    assert check(squares(), np.square).passed
    assert "for argument 1 = [" in check(squares(), max).details
    both = Exercise("both", 5, lambda rng: (rng.standard_normal(3), rng.standard_normal(3)), lambda x, y: x * y)
    assert "for argument 2 = [" in check(both, lambda *x: x[0] + x[1]).details
