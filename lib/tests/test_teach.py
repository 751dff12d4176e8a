"""The table of claims. (Releasing homework is in test_homework, grading in test_grade, the site in test_site.)"""
import csv
import json
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from metrized.teach import claims
from metrized.teach.claims import ERROR, FAILS, HOLDS, UNREACHED, Claim, claims_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A checkout with lectures of code cells: course({"01-a": ["x = 1", ...]}); the test is inside it."""
    def make(lectures: dict[str, list[str]]) -> Path:
        for folder in ("solutions", "homework", "lectures"):
            (tmp_path / folder).mkdir()
        for name, sources in lectures.items():
            cells = [new_code_cell(source, id=f"a-{i:03}") for i, source in enumerate(sources)]
            nbformat.write(new_notebook(cells=cells), tmp_path / "lectures" / f"{name}.ipynb")
        monkeypatch.chdir(tmp_path)
        return tmp_path
    return make


def executed(source: str, *lines: str, raised: tuple[str, str] | None = None, **more) -> nbformat.NotebookNode:
    """A code cell that printed lines, and perhaps raised (name, message)."""
    outputs = [new_output("stream", name="stdout", text="".join(f"{line}\n" for line in lines))]
    if raised:
        outputs.append(new_output("error", ename=raised[0], evalue=raised[1], traceback=["\x1b[31mraised\x1b[39m", "\x1b[32m----> 2\x1b[39m here"]))
    return new_code_cell(source, outputs=outputs, **more)


def told(*cells) -> list[tuple]:
    """(cell, line, verdict, statement) of each claim of a notebook of these cells."""
    return [(c.cell, c.line, c.verdict, c.statement) for c in claims_of(new_notebook(cells=list(cells)))]


def test_a_claim_is_traced_to_its_line():
    """Past text, over several lines, in a loop, through a function of another cell, and where two say the same."""
    notebook = new_notebook(cells=[
        new_markdown_cell("claim('text', 0, (0, 1))"),
        executed("%pip install x\ndef both(name):\n    claim(f'{name}: rate', 0, (0, 1))\n    lesson.claim(\n        'a' + name, 0, (0, 1))"),
        executed("claim('rate', 1, (0, 1))\nfor name in 'ab':\n    both(name)",
                 "holds  rate: 1  in [0, 1]", "holds  a: rate: 0  in [0, 1]", "holds  aa: 0  in [0, 1]", "holds  b: rate: 0  in [0, 1]",
                 "holds  ab: 0  in [0, 1]"),
        executed("claim('rate', 2, (0, 5))\nclaim('rate', 3, (0, 5))", "holds  rate: 2  in [0, 5]", "holds  rate: 3  in [0, 5]", id="x-003")])
    found = claims_of(notebook, "07-noise")
    assert [(c.cell, c.line, c.statement) for c in found] == [
        (2, 3, "a: rate"), (2, 3, "b: rate"), (2, 4, "aa"), (2, 4, "ab"), (3, 1, "rate"), (4, 1, "rate"), (4, 2, "rate")]
    assert found[-1] == Claim("07-noise", 4, "x-003", 2, HOLDS, "rate", "3", "[0, 5]") and all(c.holds for c in found)


def test_the_most_literal_call_is_the_one():
    cell = executed("claim(text, 0, (0, 1))\nclaim(f'{name}: both', 0, (0, 1))\nclaim('b: both', 0, (0, 1))\nclaim('sum of ' + text, 0, (0, 1))",
                    *(f"holds  {words}: 0  in [0, 1]" for words in ("sum of a", "b: both", "a: both", "other")))
    assert told(cell) == [(1, 1, HOLDS, "other"), (1, 2, HOLDS, "a: both"), (1, 3, HOLDS, "b: both"), (1, 4, HOLDS, "sum of a")]


def test_a_call_in_the_same_cell_is_the_one():
    cells = executed("if False:\n    claim('rate', 0, (0, 1))"), executed("claim(text, 0, (0, 1))", "holds  rate: 0  in [0, 1]")
    assert told(*cells) == [(1, 2, UNREACHED, "rate"), (2, 1, HOLDS, "rate")]


def test_what_no_run_came_by_is_told():
    cells = (executed("if False:\n    claim(f'{x} is', 0, (0, 1))"), executed("claim('one', 0, (0, 1))", "holds  one: 0  in [0, 1]"),
             executed("claim(value=0, statement='never', bounds=(0, 1))"))
    assert told(*cells) == [(1, 2, UNREACHED, "f'{x} is'"), (2, 1, HOLDS, "one"), (3, 1, UNREACHED, "never")]


def test_claims_that_fail_and_cells_that_raise_are_told_apart():
    cells = (executed("claim('zero', 5, (0, 1))\nclaim('one', 1, (0, 1))", raised=("ClaimFailed", "FAILS  zero: 5  in [0, 1]")),
             executed("x = 1\ny", raised=("NameError", "name 'y' is not defined\nsecond line")),
             executed("w - g", raised=("TypeError", "wanted"), metadata={"tags": ["raises-exception"]}),
             executed("claim('two', 2, (0, 5))", "holds  two: 2  in [0, 5]"))
    assert told(*cells) == [(1, 1, FAILS, "zero"), (1, 2, UNREACHED, "one"), (2, 2, ERROR, "NameError: name 'y' is not defined"),
                            (4, 1, HOLDS, "two")]
    assert [c.holds for c in claims_of(new_notebook(cells=list(cells)))] == [False, False, False, True]


def test_only_whole_lines_on_stdout_are_claims():
    cell = executed("claim('rate: of two', [0, 1], (0, 1))", "holds  rate: of two: 0, 1  in [0, 1]", "it holds  quoted: 1  in [0, 1]")
    cell.outputs.append(new_output("stream", name="stderr", text="holds  whispered: 1  in [0, 1]\n"))
    assert [(c.statement, c.value) for c in claims_of(new_notebook(cells=[cell]))] == [("rate: of two", "0, 1")]


def test_a_claim_of_the_library_has_its_cell():
    assert told(new_markdown_cell("text"), executed("check()", "holds  inside: 0  in [0, 1]")) == [(2, None, HOLDS, "inside")]


FIVE = [Claim("01-a", 3, "a-002", 5, HOLDS, "|H - G|, \"relative\"", "1, 2", "[0, 1]"), Claim("01-a", 4, "a-003", None, ERROR, "NameError: x"),
        Claim("02-b", 4, "b-003", 1, FAILS, "zero", "5", "[0, 1]")]


def test_the_table_as_markdown_keeps_its_columns():
    """Whatever stands in a statement."""
    header, rule, *rows = claims.as_markdown(FIVE).splitlines()
    assert len(rows) == 3 and {len(re.findall(r"(?<!\\)\|", row)) for row in (header, rule, *rows)} == {7}
    assert rows[0] == '| 01-a | cell 3, line 5 | holds | \\|H - G\\|, "relative" | 1, 2 | [0, 1] |'


def test_the_table_for_a_spreadsheet_can_be_read_back(tmp_path):
    claims.write_csv(tmp_path / "claims.csv", FIVE)
    with (tmp_path / "claims.csv").open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert [Claim(**{**row, "cell": int(row["cell"]), "line": int(row["line"]) if row["line"] else None}) for row in rows] == FIVE


def test_lectures_are_told_in_order_and_by_number(course, monkeypatch, capsys, metrized, rng):
    """Whatever the order of the files in the folder; 7 is 07."""
    course({f"{i:02}-a": [] for i in rng.permutation(30)})
    monkeypatch.setattr(claims, "claims", lambda path: [Claim(path.stem, 1, "", 1, HOLDS, "x", "0", "[0, 1]")])
    assert metrized("claims", "--jobs", 1, "--markdown", "claims.md") == 0
    numbers = [f"{i:02}" for i in range(30)]
    out = capsys.readouterr().out
    assert re.findall(r"^\d\d(?=-a)", out, re.M) == numbers and out.count("1:1 ") == 30 and out.endswith("\n30 claims hold.\n")
    assert re.findall(r"^\| (\d\d)-a", Path("claims.md").read_text(), re.M) == numbers
    assert metrized("claims", "7", "03", "--jobs", 1) == 0
    assert re.findall(r"^\d\d-a", capsys.readouterr().out, re.M) == ["03-a", "07-a"]
    assert metrized("claims", "30", "7") == 1
    assert capsys.readouterr().err.startswith("metrized: there is no lecture 30; there are 00, 01,")


def test_a_lecture_that_cannot_be_read_is_named(course, capsys, metrized):
    course({"01-a": []})
    (Path("lectures") / "01-a.ipynb").write_text("{")
    assert metrized("claims", "--jobs", 1) == 1
    assert "01-a, cell 0: error  " in capsys.readouterr().out


@pytest.mark.slow
def test_a_false_claim_fails_the_command_and_hides_no_other(course, capsys, metrized):
    """Neither the next claims of the lecture nor the other lectures; what it leaves behind is nothing but the tables that were asked for."""
    folder = course({"01-a": ["from metrized.lesson import claim", "claim('zero', 5, (0, 1))\nclaim('next', 0, (0, 1))", "claim('after', 0, (0, 1))",
                              "open('left', 'w').close()\nimport os; os._exit(1)", "claim('dead', 0, (0, 1))"],
                     "02-b": ["from metrized.lesson import claim\nclaim('zero', 0, (0, 1))"]})
    assert metrized("claims", "--jobs", 1, "--markdown", "claims.md") == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-5:] == ["2 claims hold, 4 do not:", "01-a, cell 2, line 1: FAILS  zero: 5  in [0, 1]", "01-a, cell 2, line 2: not reached  next",
                        "01-a, cell 4: error  DeadKernelError: the kernel died", "01-a, cell 5, line 1: not reached  dead"]
    assert "| 02-b | cell 1, line 2 | holds | zero | 0 | [0, 1] |" in (folder / "claims.md").read_text()
    assert {path.name for path in folder.iterdir()} == {"solutions", "homework", "lectures", "claims.md"}


@pytest.mark.slow
def test_a_lecture_of_the_course(monkeypatch, capsys, metrized, tmp_path):
    """A row for each claim, with its value, its bounds, and a line of the notebook that says so."""
    monkeypatch.chdir(ROOT / "lib")
    assert metrized("claims", "01", "--jobs", 1, "--csv", tmp_path / "claims.csv") == 0
    assert re.search(r"\d+:\d+ +holds +largest curvature +84\.2 +\[84, 85\]", capsys.readouterr().out)
    cells = json.loads((ROOT / "lectures" / "01-quadratics.ipynb").read_text(encoding="utf-8"))["cells"]
    with (tmp_path / "claims.csv").open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == sum("".join(cell["source"]).count("claim(") for cell in cells)
    for row in rows:
        cell = cells[int(row["cell"]) - 1]
        assert cell["id"] == row["id"] and f'claim("{row["statement"]}"' in "".join(cell["source"]).splitlines()[int(row["line"]) - 1]
