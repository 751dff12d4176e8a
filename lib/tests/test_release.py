"""metrized release: students get what solutions generate and nothing of the solutions; a variant is the same homework with other numbers."""
import copy
import importlib
import itertools
import json
import re
from pathlib import Path

import pytest

from metrized.check import OTHER_NUMBERS, check
from metrized.teach import release

ROOT = Path(__file__).parents[2]
MASTERS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "solutions").glob("hw*.ipynb"))}
CHECKERS = {hw: importlib.import_module(f"metrized.check.{hw}").check for hw in MASTERS}
SEEDS = (1, 7, 2027)
SINGLE = [(hw, name, other) for hw, checker in CHECKERS.items() for name, (_, *others) in checker.alternatives.items() for other in others]
"""Each alternative alone."""
VARYING = [(hw, e.name) for hw, checker in CHECKERS.items() for e in checker.exercises.values() if e.numbers]


def released(hw: str, variant: int | None = None) -> str:
    return release.dump(release.release(MASTERS[hw], f"{hw}.ipynb", variant))


def functions(cells: list) -> dict:
    """What the cells of a notebook define that begin with `def`."""
    scope = {}
    exec("import numpy as np", scope)
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and source.startswith("def "):
            exec(source, scope)
    return scope


def with_numbers(hw: str, numbers: dict) -> list:
    """The cells of a solution, with these numbers."""
    exchanged = lambda cell: release.exchange("".join(cell["source"]), cell["metadata"].get("variant", {}), numbers, hw)
    return [{**cell, "source": exchanged(cell)} for cell in MASTERS[hw]["cells"]]


def answers(hw: str) -> list[str]:
    """The lines of a solution that students must not see."""
    lines = []
    for cell in MASTERS[hw]["cells"]:
        source = "".join(cell["source"])
        lines += source.splitlines() if "solution" in cell["metadata"].get("tags", []) else []
        lines += [line for part in re.findall(rf"{release.BEGIN}(.*?){release.END}", source, re.S) for line in part.splitlines()]
    return [line.strip() for line in lines]


@pytest.mark.parametrize("hw", MASTERS)
def test_homework_is_what_solutions_generate(hw):
    assert (ROOT / "homework" / f"{hw}.ipynb").read_text(encoding="utf-8") == released(hw)


def test_there_is_no_other_homework():
    assert {path.name for path in (ROOT / "homework").iterdir()} == {f"{hw}.ipynb" for hw in MASTERS}


@pytest.mark.parametrize("hw", MASTERS)
@pytest.mark.parametrize("variant", [None, *SEEDS])
def test_students_see_no_trace_of_a_solution(hw, variant):
    text = released(hw, variant)
    student = json.loads(text)
    prose = "\n".join("".join(cell["source"]) for cell in student["cells"])
    assert len(answers(hw)) > 15
    assert not [line for line in answers(hw) if len(line) > 12 and line in prose]
    assert not re.search("solution|reference|misconception|hidden", prose, re.I)
    assert student["metadata"] == release.METADATA and all(cell["metadata"] == {} for cell in student["cells"])
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in student["cells"])


def test_an_editor_leaves_no_trace():
    """Jupyter has run the solution, and written what it writes."""
    edited = copy.deepcopy(MASTERS["hw3"])
    edited["metadata"] = {"kernelspec": {"display_name": "mine", "language": "python", "name": "mine"}, "language_info": {"version": "3.13"},
                          "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {"answer": 42}}}, "toc": {}}
    for cell in edited["cells"]:
        cell["metadata"] |= {"collapsed": True, "jupyter": {"source_hidden": True}, "nbgrader": {"solution": True}}
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell |= {"execution_count": 3, "outputs": [{"output_type": "stream", "name": "stdout", "text": "42"}]}
    for variant in (None, 7):
        assert release.dump(release.release(edited, "hw3.ipynb", variant)) == released("hw3", variant)
        assert release.vary(edited, "hw3.ipynb", variant) == release.vary(MASTERS["hw3"], "hw3.ipynb", variant)


# What is refused: the first exercise of homework 4, linf_step, changed in one cell

CODE = next(number for number, cell in enumerate(MASTERS["hw4"]["cells"], 1) if "".join(cell["source"]).startswith("def linf_step"))
QUESTION, TEXT = CODE - 2, CODE - 1
LINF = "".join(MASTERS["hw4"]["cells"][CODE - 1]["source"])
BEGIN, END = release.BEGIN, release.END


def refused(number: int, words: str, **changes) -> None:
    """Homework 4 is refused when one cell, by its number, is changed: the message names it."""
    master = copy.deepcopy(MASTERS["hw4"])
    master["cells"][number - 1] |= {"metadata": {}} | changes
    with pytest.raises(release.Refused, match=rf"^hw4\.ipynb, cell {number}: .*{words}"):
        release.release(master, "hw4.ipynb")


def test_the_cells_of_these_tests_are_what_they_should_be():
    assert LINF.startswith("def linf_step") and BEGIN in LINF and END in LINF
    assert MASTERS["hw4"]["cells"][TEXT - 1]["metadata"]["tags"] == ["solution"] and "(a)" in "".join(MASTERS["hw4"]["cells"][QUESTION - 1]["source"])


@pytest.mark.parametrize("source", [
    LINF.replace(END, ""), LINF.replace(BEGIN, ""), LINF.replace(END, BEGIN), LINF.replace(BEGIN, f"{BEGIN}\n    {BEGIN}"),
    LINF + "\n" + END, LINF + "\n" + BEGIN, f"{END}\n{LINF}\n{BEGIN}"])
def test_markers_that_do_not_pair(source):
    refused(CODE, "without its partner", source=source)


@pytest.mark.parametrize("near", [
    "### BEGIN SOLUTIONS", "#BEGIN SOLUTION", "###BEGIN SOLUTION", "### begin solution", "### Begin Solution", "### BEGIN  SOLUTION",
    "### BEGIN SOLUTION:", "### BEGIN_SOLUTION", "### BEGINSOLUTION", "### BEGIN SOLTUION", "### BEGIN SOLUTON", "# BEGIN SOLUTION",
    "#### BEGIN SOLUTION", "### START SOLUTION", "### SOLUTION", "### BEGIN SOLUTION HERE", "pass  ### BEGIN SOLUTION",
    "##\u00a0BEGIN SOLUTION", "### BEGIN SOLU\u00adTION", "### BEGIN: THE SOLUTION"])
@pytest.mark.parametrize("mark", [BEGIN, END])
def test_near_misses(near, mark):
    near = near.replace("BEGIN", mark.split()[1])
    refused(CODE, "", source=LINF.replace(mark, near))
    refused(CODE, "reads like a marker", source=f"{near}\n    x = 42\n{near}\n\n{LINF}")


def test_a_comment_may_speak_of_solutions():
    spoken = "# the solution of a linear system, H d = -g, is what a model asks for\n" + LINF
    assert release.strip(spoken, "").startswith(spoken.partition("\n")[0])


@pytest.mark.parametrize("source", [
    f"{BEGIN}\nThe answer is 42.\n{END}", "Text.\n### begin solution\nThe answer is 42.", "## Solution\nThe answer is 42.",
    "<!-- BEGIN SOLUTION -->\nThe answer is 42.", "<details><summary>Solution</summary>\nThe answer is 42.</details>",
    "**Solution.** The answer is 42.", "_Solutions:_ The answer is 42."])
@pytest.mark.parametrize("cell_type", ["markdown", "raw"])
def test_text_that_looks_like_a_solution(source, cell_type):
    refused(QUESTION, "solution", source=source, cell_type=cell_type)


@pytest.mark.parametrize("tag", ["Solution", "solutions", "SOLUTION", "soluton", "my-solution", " solution"])
def test_misspelled_tags(tag):
    refused(TEXT, "its tag is", metadata={"tags": [tag]})


def test_tags_that_mean_something_else():
    master = copy.deepcopy(MASTERS["hw4"])
    master["cells"][TEXT - 1]["metadata"]["tags"] = ["slide", "solution"]
    master["cells"][CODE - 1]["metadata"]["tags"] = ["hide-input"]
    assert release.dump(release.release(master, "hw4.ipynb")) == released("hw4")


UNMARKED = "\n".join(line for line in LINF.splitlines() if line.strip() not in (BEGIN, END))


@pytest.mark.parametrize("source", [
    UNMARKED, f"{UNMARKED}\n    raise StopIteration", "class linf_step:\n    size = 1", f"{UNMARKED}\n{LINF}", f"{LINF}\n\n\n{UNMARKED}",
    f"{UNMARKED}\n\n\ndef other():\n    {BEGIN}\n    {END}"])
def test_exercises_without_a_solution(source):
    refused(CODE, "no solution of `linf_step`", source=source)


def test_an_exercise_that_no_cell_asks_for():
    for change in ({"metadata": {"tags": ["solution"]}}, {"source": LINF.replace("linf_step", "linf")}, {"source": f"{BEGIN}\n{UNMARKED}\n{END}"}):
        master = copy.deepcopy(MASTERS["hw4"])
        master["cells"][CODE - 1] |= {"metadata": {}} | change
        with pytest.raises(release.Refused, match=r"^hw4\.ipynb: there is no solution of `linf_step`"):
            release.release(master, "hw4.ipynb")


@pytest.mark.parametrize("source", [
    LINF.replace("sharpness):", "sharpness)"), f"{LINF}\n    x = (\n    {BEGIN}\n    1)\n    {END}", LINF + "\nreturn 3"])
def test_what_students_get_compiles(source):
    refused(CODE, "does not compile", source=source)


def test_magics_compile():
    magic = f"%matplotlib inline\n{LINF}\n!ls\ntry:\n    pass\nfinally:\n    %pip list\nawait linf_step"
    assert [f.name for f in release._functions(release.strip(magic, ""), "")] == ["linf_step"]
    assert release._functions("%%time\nx = 3", "") == []


def test_checks_that_are_not_there_or_not_imported():
    with pytest.raises(release.Refused, match=r"^hw99\.ipynb: it has no checks; .* lib/metrized/check/hw99\.py"):
        release.release(MASTERS["hw4"], "hw99.ipynb")
    with pytest.raises(release.Refused, match=r"^hw3\.ipynb: no cell has the line `from metrized\.check\.hw3 import check`"):
        release.release({**MASTERS["hw4"], "cells": [{**cell, "metadata": {}} for cell in MASTERS["hw4"]["cells"]]}, "hw3.ipynb")


# Variants


@pytest.mark.parametrize("hw", MASTERS)
def test_every_homework_has_numbers_that_vary(hw):
    """Two or more in each, two or more alternatives for each, none twice; exercises that share a name share the alternatives."""
    checker = CHECKERS[hw]
    assert len(checker.alternatives) >= 2
    for name, those in checker.alternatives.items():
        assert len(those) >= 3 and len({*map(str, those)}) == len(those)
        assert all(e.numbers.get(name, those) == those for e in checker.exercises.values())
    assert checker.numbers == {name: those[0] for name, those in checker.alternatives.items()}


@pytest.mark.parametrize("hw", MASTERS)
def test_a_seed_draws_every_alternative_now_and_then_and_never_what_is_published(hw):
    drawn = [CHECKERS[hw].variant(seed).numbers for seed in range(60)]
    for name, (_, *others) in CHECKERS[hw].alternatives.items():
        assert {str(numbers[name]) for numbers in drawn} == {*map(str, others)}


def test_seeds_mean_the_same_for_ever():
    """Notebooks that are out in the world say `variant(7)`, and so must the next release."""
    assert CHECKERS["hw1"].variant(7).numbers == {"pull": 4, "divisor": 2}
    assert CHECKERS["hw1"].variant(7).variant(1).numbers == CHECKERS["hw1"].variant(1).numbers == {"pull": 2, "divisor": 4}


@pytest.mark.parametrize("hw, name, other", SINGLE)
def test_every_number_matters_where_it_stands_and_nowhere_else(hw, name, other):
    """With one number exchanged the published answers fail, and are told why, in just the exercises that name it; the exchanged solutions pass."""
    checker = CHECKERS[hw].at(**{name: other})
    published, exchanged = functions(MASTERS[hw]["cells"]), functions(with_numbers(hw, checker.numbers))
    for exercise in checker.exercises.values():
        assert check(exercise, exchanged[exercise.name], 5).passed
        report = check(exercise, published[exercise.name], 5)
        assert report.passed == (name not in exercise.numbers)
        if not report.passed:
            assert report.status == "wrong" and report.hint in {m.hint for m in exercise.misconceptions}


@pytest.mark.parametrize("hw, name, other", SINGLE)
def test_students_are_told_every_number(hw, name, other):
    questions = lambda cells: ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown" and not cell["metadata"].get("tags")]
    published, exchanged = (questions(with_numbers(hw, CHECKERS[hw].at(**numbers).numbers)) for numbers in ({}, {name: other}))
    first = lambda number: str(number[0] if isinstance(number, tuple) else number)
    assert any(first(other) in told and told != before for told, before in zip(exchanged, published, strict=True))


def drawn_together(exercise, every_pair: bool) -> list[dict]:
    """Choices of all numbers of an exercise: each alternative once, or each with each."""
    names, choices = zip(*((name, those[1:]) for name, those in exercise.numbers.items()), strict=True)
    return [dict(zip(names, drawn, strict=True)) for drawn in (itertools.product(*choices) if every_pair else zip(*choices, strict=True))]


@pytest.mark.parametrize("hw, name", VARYING)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_misconceptions_get_their_hint_in_every_variant(hw, name, seed):
    for drawn in drawn_together(CHECKERS[hw].exercises[name], every_pair=seed > 0):
        exercise = CHECKERS[hw].at(**drawn).exercises[name]
        assert exercise.misconceptions[-1].hint == OTHER_NUMBERS
        for misconception in exercise.misconceptions:
            report = check(exercise, misconception.wrong, seed)
            assert report.status == "wrong" and report.hint == misconception.hint, (drawn, report)
        parts = (*exercise.misconceptions, *exercise.laws, *exercise.laws_of_a_right_answer)
        assert not any("{" in hint for hint in (exercise.on_error, *(part.hint for part in parts)))


@pytest.mark.parametrize("heat", CHECKERS["hw6"].alternatives["heat"])
def test_instances_are_made_for_the_number(heat, rng):
    """Homework 6 says how large logits are, whatever they are multiplied by."""
    draw = CHECKERS["hw6"].at(heat=heat).exercises["attention_row"].inputs
    assert 900 < max(abs(heat * K @ q / len(q)).max() for q, blocks in (draw(rng) for _ in range(20)) for K, _ in blocks) < 920


@pytest.mark.parametrize("hw", MASTERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_solutions_of_a_variant_pass_its_checks(hw, seed):
    solved, asked = release.vary(MASTERS[hw], f"{hw}.ipynb", seed), json.loads(released(hw, seed))
    for exercise in CHECKERS[hw].variant(seed).exercises.values():
        assert check(exercise, functions(solved["cells"])[exercise.name], 5).passed
        assert check(exercise, functions(asked["cells"])[exercise.name], 5).status == "empty"


@pytest.mark.parametrize("hw", MASTERS)
def test_a_variant_names_itself_and_asks_its_own_checks(hw):
    published, variant = (["".join(cell["source"]) for cell in json.loads(released(hw, seed))["cells"]] for seed in (None, 2027))
    assert variant[0].partition("\n")[0] == published[0].partition("\n")[0] + " (variant 2027)"
    assert f"from metrized.check.{hw} import check\ncheck = check.variant(2027)" in variant
    assert "Open in Colab" in published[0] and "colab" not in "\n".join(variant)
    assert sum(a != b for a, b in zip(published, variant, strict=True)) >= 4


@pytest.mark.parametrize("hw", MASTERS)
def test_seeds_differ_somewhere(hw):
    assert len({str(CHECKERS[hw].variant(seed).numbers) for seed in range(12)}) >= 4
    unnamed = lambda seed: released(hw, seed).replace(f"variant({seed})", "").replace(f"variant {seed}", "")
    assert unnamed(1) != unnamed(7)


@pytest.mark.parametrize("texts, words", [
    ({"max norm": "l_inf"}, "replaces `max norm`, which the cell does not have"), ({"": "x"}, "does not have"),
    ({"linf_step": "{breath}"}, "cannot be filled in; there are the numbers breadth"), ({"linf_step": "{breadth"}, "cannot be filled in"),
    ({"linf_step": "{}"}, "cannot be filled in"), ({"linf_step": "{breadth.top}"}, "cannot be filled in")])
def test_variants_that_do_not_fit_are_refused_before_anybody_asks_for_one(texts, words):
    refused(CODE, words, metadata={"variant": texts})


def test_replacements_do_not_meet():
    assert release.exchange("b, A b and A", {"b": "A", "A": "b", "A b": "{n} b"}, {"n": 3}, "") == "A, 3 b and b"
    assert release.exchange("as it is {n}", {}, {"n": 3}, "") == "as it is {n}"


# The command


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the course's solutions, and nothing released yet."""
    for folder in ("solutions", "homework"):
        (tmp_path / folder).mkdir()
    for hw in ("hw1", "hw4"):
        (tmp_path / "solutions" / f"{hw}.ipynb").write_bytes((ROOT / "solutions" / f"{hw}.ipynb").read_bytes())
    monkeypatch.chdir(tmp_path / "solutions")
    return tmp_path


def written(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_release(checkout, metrized, capsys):
    before = written(checkout)
    assert metrized("release", "hw4") == 0 and capsys.readouterr().out == "homework/hw4.ipynb\n"
    assert written(checkout) == before | {"homework/hw4.ipynb": (ROOT / "homework" / "hw4.ipynb").read_bytes()}
    assert metrized("release") == 0 and metrized("release", "solutions/hw1.ipynb") == 0
    assert written(checkout / "homework") == {f"{hw}.ipynb": (ROOT / "homework" / f"{hw}.ipynb").read_bytes() for hw in ("hw1", "hw4")}
    assert metrized("release", "hw1", "--out", checkout / "new" / "folder") == 0
    assert written(checkout / "new") == {"folder/hw1.ipynb": (ROOT / "homework" / "hw1.ipynb").read_bytes()}


def test_release_a_variant(checkout, metrized, capsys):
    before = written(checkout)
    assert metrized("release", "hw4", "--variant", 7) == 0
    assert capsys.readouterr().out == "build/release/hw4-variant-7.ipynb\nhw4, variant 7: breadth = 4, gauge = 2, inner = 4\n"
    assert written(checkout) == before | {"build/release/hw4-variant-7.ipynb": released("hw4", 7).encode()}
    assert metrized("release", "hw4", "--variant", 7, "--solutions", "--out", checkout / "mine") == 0
    solved = release.dump(release.vary(MASTERS["hw4"], "hw4.ipynb", 7))
    assert written(checkout / "mine") == {"hw4-variant-7.ipynb": released("hw4", 7).encode(), "hw4-variant-7-solutions.ipynb": solved.encode()}
    assert all("variant" not in cell["metadata"] for cell in json.loads(solved)["cells"])
    assert {path: data for path, data in written(checkout).items() if path in before} == before


def test_wrong_calls_of_release(checkout, metrized, capsys, monkeypatch):
    before = written(checkout)
    for call, code, words in [
            (("hw99",), 1, "there is no homework 'hw99'; there are hw1, hw4"), (("hw1", "hw99"), 1, "hw99"),
            (("--out", "../solutions"), 1, "give another folder"), (("--variant", 7, "--out", checkout / "solutions"), 1, "give another folder"),
            (("--solutions",), 2, "--variant"), (("--variant", "x"), 2, "valid integer")]:
        assert metrized("release", *call) == code and words in capsys.readouterr().err
    (checkout / "solutions" / "hw4.ipynb").write_text("{")
    assert metrized("release") == 1 and "hw4.ipynb is no notebook" in capsys.readouterr().err
    assert {**written(checkout), "solutions/hw4.ipynb": before["solutions/hw4.ipynb"]} == before
    monkeypatch.chdir("/")
    assert metrized("release") == 1 and "inside a checkout" in capsys.readouterr().err
