"""Grading without the hostile part (that is in test_corpus): what is found, run, noted and kept."""
import json
import os
import sys
import zipfile
from pathlib import Path

import pytest

from metrized.check import Raised
from metrized.teach import grade
from metrized.teach.results import Mark, Result
from metrized.teach.sandbox import Limits, Sandbox, best, stage
from metrized.teach.submissions import Homework, Unreadable, extract, find, read

ROOT = Path(__file__).parents[2]
HOMEWORKS = sorted(path.stem for path in (ROOT / "solutions").glob("hw*.ipynb"))


def notebook(*sources: str, **more) -> str:
    cells = [{"cell_type": "code", "id": f"c-{i}", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
             for i, source in enumerate(sources)]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5, **more})


# Files


def test_submissions_are_found_by_student(tmp_path):
    names = ("ada.ipynb", "bob lee.ipynb", "ada/hw4.ipynb", "Cy_12_file/hw4 (1).ipynb", "two/a.ipynb", "two/b.ipynb", ".ipynb_checkpoints/ada.ipynb",
             "__MACOSX/ada.ipynb", "two/.ipynb_checkpoints/a.ipynb", "._ada.ipynb", "notes.txt", "DORA.IPYNB")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.ipynb").mkdir()
    found = find(tmp_path)
    assert {student: path.read_text() for student, path in found.items()} == {
        "ada": "ada/hw4.ipynb", "ada*": "ada.ipynb", "bob lee": "bob lee.ipynb", "Cy_12_file": "Cy_12_file/hw4 (1).ipynb",
        "two/a": "two/a.ipynb", "two/b": "two/b.ipynb", "DORA": "DORA.IPYNB"}


def test_an_archive_is_taken_as_it_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("Ada_1/hw4.ipynb", "x")
        archive.writestr("../out.ipynb", "y")
    found = find(extract(tmp_path / "all.zip", tmp_path / "inside"))
    assert found["Ada_1"].read_text() == "x" and all(path.is_relative_to(tmp_path / "inside") for path in found.values())
    (tmp_path / "no.zip").write_text("PK")
    with pytest.raises(ValueError, match="is no zip archive that opens"):
        extract(tmp_path / "no.zip", tmp_path / "inside")


NO_NOTEBOOKS = ((b"", "empty"), (b"%PDF-1.7", "not JSON"), (b"[" * 10 ** 6, "not JSON"), (b"[1]", "no Jupyter notebook"),
                (b"{}", "no Jupyter notebook"),
                (b'{"cells": {"a": 1}}', "no Jupyter notebook"), (b'{"cells": [1]}', "no Jupyter notebook"), ("{}".encode("utf-16"), "not UTF-8"),
                (notebook("x")[:-9].encode(), "cut off"))


@pytest.mark.parametrize("content, words", NO_NOTEBOOKS)
def test_what_is_no_notebook_is_said(tmp_path, content, words):
    (tmp_path / "x.ipynb").write_bytes(content)
    with pytest.raises(Unreadable, match=words):
        read(tmp_path / "x.ipynb")


def test_notebooks_of_every_kind_are_read(tmp_path):
    path = tmp_path / "x.ipynb"
    for text in (notebook("a = 1\nb = 2"), notebook(["a = 1\n", "b = 2"]), "\ufeff" + notebook("a = 1\nb = 2"),
                 json.dumps({"worksheets": [{"cells": [{"cell_type": "code", "input": ["a = 1\n", "b = 2"]}]}], "nbformat": 3})):
        path.write_text(text, encoding="utf-8")
        assert read(path) == ["a = 1\nb = 2"]
    path.write_text(notebook("a = '\\ud800'").replace("\\\\", "\\"))
    assert read(path)[0].encode() == b"a = '?'"
    (tmp_path / "link.ipynb").symlink_to(path)
    with pytest.raises(Unreadable, match="link"):
        read(tmp_path / "link.ipynb")


# Cells

GIVEN = ("import numpy as np", "from metrized.check.hw4 import check", "def one(x):\n    raise NotImplementedError", "check(one)", "k = 3",
         "def two(x):\n    raise NotImplementedError", "check(two)", "check.total()", "show = one(two(1))")
HOMEWORK = Homework(GIVEN, ("one", "two"))
DONE = [source.replace("raise NotImplementedError", "return x") for source in GIVEN]


def test_the_parts_of_a_homework():
    assert HOMEWORK.work == {"one": 2, "two": 5} and HOMEWORK.setup == list(GIVEN[:2])
    assert HOMEWORK.given == ["import numpy as np", "from metrized.check.hw4 import check", "k = 3"]
    assert [*HOMEWORK.to_run([*DONE, "own = 1", "   "])] == [1, 2, 3, 5, 6, 10]
    for name in HOMEWORKS:
        real = grade.load(name, ROOT)[0]
        assert real.setup and real.epilogue and all(len(source) < 2000 for source in real.given) and len(real.work) == len(real.exercises)


@pytest.mark.parametrize("sources, words", [
    (DONE, []), ([source + "  \n\n" for source in DONE], []), (DONE[:5] + DONE[6:], ["No cell defines `two`: its cell was deleted"]),
    (DONE[1:], ["given cell that begins with `import numpy as np` was edited or deleted"]),
    ([source.replace("def two", "def tow") for source in DONE], ["code cell 6 defines `tow`: was it renamed?"]),
    ([*DONE, DONE[2]], ["`one` is defined in code cells 3 and 10; the last definition counts"]),
    ([source.replace("k = 3", "k = 4") for source in DONE], ["`k = 3` was edited or deleted"]),
    ([source.replace("def two(x):\n    return", "two = lambda x:") for source in DONE], [])])
def test_what_became_of_the_cells_is_noted(sources, words):
    notes = HOMEWORK.notes(sources)
    assert len(notes) == len(words) and all(word in note for word, note in zip(words, notes, strict=True))


# Marks


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return best(stage(tmp_path_factory.mktemp("course")), Limits(seconds=5), [])


@pytest.mark.parametrize("name", [name if name == "hw4" else pytest.param(name, marks=pytest.mark.slow) for name in HOMEWORKS])
def test_solutions_are_right_and_what_students_get_is_missing(name, room):
    """With functions among the arguments, and under any seed."""
    homework, checker = grade.load(name, ROOT)
    for seed in (1, 2 ** 62):
        result = grade.grade("ada", ROOT / "solutions" / f"{name}.ipynb", homework, checker, room, seed)
        assert result.status == "ok" and result.points == result.of == sum(e.points for e in checker.exercises.values()) and not result.notes
    result = grade.grade("bob", ROOT / "homework" / f"{name}.ipynb", homework, checker, room, 1)
    assert {mark.status for mark in result.marks} == {"missing"} and result.points == 0 and not result.notes


def test_a_deleted_setup_cell_costs_nothing(room, tmp_path):
    homework, checker = grade.load("hw4", ROOT)
    kept = [source for source in read(ROOT / "solutions" / "hw4.ipynb") if "import" not in source]
    (tmp_path / "x.ipynb").write_text(notebook(*kept))
    result = grade.grade("ada", tmp_path / "x.ipynb", homework, checker, room, 1)
    assert result.points == result.of and len(result.notes) == 2


def test_the_time_for_a_submission_ends(room, tmp_path, monkeypatch):
    """Cells that do not come back, one after the other, do not hold up the section."""
    monkeypatch.setattr(grade, "PATIENCE", 2)
    homework, checker = grade.load("hw4", ROOT)
    (tmp_path / "x.ipynb").write_text(notebook(*["while True: pass"] * 40))
    quick = Sandbox(room.course, Limits(seconds=1), wall=room.wall)
    result = grade.grade("ada", tmp_path / "x.ipynb", homework, checker, quick, 1)
    assert {mark.status for mark in result.marks} == {"timeout"} and result.seconds < 20


def test_many_short_cells_end_too(room, tmp_path, monkeypatch):
    monkeypatch.setattr(grade, "PATIENCE", 2)
    homework, checker = grade.load("hw4", ROOT)
    (tmp_path / "x.ipynb").write_text(notebook(*["import time\ntime.sleep(0.5)"] * 40))
    quick = Sandbox(room.course, Limits(seconds=1), wall=room.wall)
    result = grade.grade("ada", tmp_path / "x.ipynb", homework, checker, quick, 1)
    assert {(mark.status, mark.hint) for mark in result.marks} == {("timeout", "All cells and exercises together did not end within 2 seconds.")}
    assert result.seconds < 10


@pytest.mark.parametrize("second, status, words", [("np.zeros(9)", "wrong", "then gave a wrong one"), ("1 / 0", "error", "then raised an error")])
def test_what_is_right_once_is_not_right(room, tmp_path, second, status, words):
    homework, checker = grade.load("hw4", ROOT)
    body = f"    LEFT[0] -= 1\n    return -abs(g).sum() * np.sign(g) / sharpness if LEFT[0] >= 0 else {second}"
    source = f"import numpy as np\nLEFT = [{checker.exercises['linf_step'].instances}]\ndef linf_step(g, sharpness):\n{body}"
    (tmp_path / "x.ipynb").write_text(notebook(source))
    mark = grade.grade("ada", tmp_path / "x.ipynb", homework, checker, room, 1).marks[0]
    assert mark.exercise == "linf_step" and mark.status == status and words in mark.hint


def test_one_number_for_two_is_a_wrong_answer(room, tmp_path):
    """NumPy's number comes out of the process as an array without axes."""
    homework, checker = grade.load("hw4", ROOT)
    (tmp_path / "x.ipynb").write_text(notebook("import numpy as np\ndef frobenius(G):\n    return np.linalg.norm(G)"))
    marks = {mark.exercise: mark for mark in grade.grade("ada", tmp_path / "x.ipynb", homework, checker, room, 1).marks}
    assert marks["frobenius"].status == "wrong" and "should return 2 things" in marks["frobenius"].hint


def test_a_process_that_cannot_start_is_nobodys_fault(room, tmp_path, monkeypatch, capsys):
    """The grader says so, loudly, and no mark is given."""
    homework, checker = grade.load("hw4", ROOT)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(OSError, match="could not be started"):
        grade.grade("ada", ROOT / "solutions" / "hw4.ipynb", homework, checker, room, 1)


# The section


@pytest.fixture
def section(tmp_path):
    folder = tmp_path / "subs"
    folder.mkdir()
    for name, source in (("ada", "solutions"), ("bob", "homework")):
        (folder / f"{name}.ipynb").write_text((ROOT / source / "hw4.ipynb").read_text())
    return folder


def results(folder):
    return {result.student: result for result in map(Result.load, (folder / "results").glob("*.json"))}


@pytest.mark.slow
def test_a_section_from_the_command_line(section, monkeypatch, metrized, capsys):
    """Grades lie beside the submissions; a second run grades only what has changed, another homework is refused, and --fresh draws new inputs."""
    monkeypatch.chdir(ROOT / "lectures")
    out = section.with_name("subs-graded")
    assert metrized("grade", "hw4", section, "--jobs", "1") == 0
    assert "1 ok, 1 missing" in capsys.readouterr().out
    first, seed = results(out), json.loads((out / "run.json").read_text())["seed"]
    assert {s: (r.points, r.status) for s, r in first.items()} == {"ada": (110, "ok"), "bob": (0, "missing")}
    assert (out / "run.json").stat().st_mode & 0o077 == 0 and (out / "grades.csv").exists() and (out / "report.html").exists()

    monkeypatch.setattr(grade, "grade", lambda *args: pytest.fail("graded again"))
    assert metrized("grade", "hw4", section, "--jobs", "1") == 0
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)
    (section / "bob.ipynb").write_text((ROOT / "solutions" / "hw4.ipynb").read_text())
    next((out / "results").glob("*.json")).write_text('{"student"')
    assert metrized("grade", "hw4", section, "--jobs", "2", "--gradescope") == 0 and {r.points for r in results(out).values()} >= {110}
    assert "2 ok" in capsys.readouterr().out and len([*out.rglob("results.json")]) == 2
    assert metrized("grade", "hw3", section) == 1 and "holds the grades of hw4" in capsys.readouterr().err
    assert metrized("grade", "hw4", section, "--fresh", "--jobs", "1") == 0 and json.loads((out / "run.json").read_text())["seed"] != seed


def archived(path, **texts):
    with zipfile.ZipFile(path, "w") as archive:
        for student, text in texts.items():
            archive.writestr(f"{student}.ipynb", text)
    return path


def test_what_was_mended_in_an_archives_folder_stays(tmp_path, capsys):
    """As long as the archive is the same; of another one nobody is graded who is not in it, and what was mended is kept beside."""
    folder = grade.unpacked(archived(tmp_path / "a.zip", ada="1", bob="2"), tmp_path / "out" / "submissions")
    (folder / "ada.ipynb").write_text("mended")
    assert grade.unpacked(tmp_path / "a.zip", folder) == folder and (folder / "ada.ipynb").read_text() == "mended"
    assert [*find(folder)] == ["ada", "bob"] and capsys.readouterr().out == ""
    grade.unpacked(archived(tmp_path / "a.zip", ada="1"), folder)
    beside = folder.with_name("submissions-1")
    assert [*find(folder)] == ["ada"] and (folder / "ada.ipynb").read_text() == "1"
    assert (beside / "ada.ipynb").read_text() == "mended" and str(beside) in capsys.readouterr().out
    (tmp_path / "a.zip").write_text("PK")
    with pytest.raises(ValueError, match="no zip archive"):
        grade.unpacked(tmp_path / "a.zip", folder)
    assert [*find(folder)] == ["ada"] and sorted(path.name for path in folder.parent.iterdir()) == ["submissions", "submissions-1"]


def test_a_folder_may_be_named_by_dots(section, monkeypatch, metrized, capsys):
    """Grades lie beside it all the same, and what else is in it may have any name."""
    seen = []
    monkeypatch.setattr(grade, "root", lambda folder: ROOT)
    monkeypatch.setattr(grade, "section", lambda homework, found, out, *rest: seen.append(out) or [])
    monkeypatch.setattr(grade.report, "write", lambda *given: None)
    (section / os.fsdecode(b"r\xe9sum\x1b.pdf")).write_text("")
    monkeypatch.chdir(section)
    assert metrized("grade", "hw4", ".") == 0 and "r\\udce9sum\\x1b.pdf" in capsys.readouterr().out
    (section / "inside").mkdir()
    monkeypatch.chdir(section / "inside")
    assert metrized("grade", "hw4", "..") == 0 and seen == [section.with_name("subs-graded")] * 2


def test_a_secret_that_was_cut_off_is_made_anew(tmp_path):
    (tmp_path / "run.json").write_text("")
    assert grade._seed(tmp_path, "hw4", None) == grade._seed(tmp_path, "hw4", None)


def test_calls_that_cannot_be(section, tmp_path, monkeypatch, metrized, capsys):
    monkeypatch.chdir(ROOT)
    (tmp_path / "none").mkdir()
    for arguments, words in ((("hw9", section), "there is no homework 'hw9'; there are hw1"), (("hw4", tmp_path / "x"), "does not exist"),
                             (("hw4", tmp_path / "none"), "no .ipynb file")):
        assert metrized("grade", *arguments) == 1 and words in capsys.readouterr().err
    assert metrized("grade", "hw4", section, "--timeout", "0") == 2
    monkeypatch.chdir("/")
    assert metrized("grade", "hw4", section) == 1 and "inside a checkout" in capsys.readouterr().err


def test_a_failure_of_the_grader_is_said_and_tried_again(section, tmp_path, monkeypatch):
    monkeypatch.setattr(grade, "grade", lambda *args: 1 / 0)
    found = grade.section("hw4", find(section), tmp_path / "out", ROOT, None, jobs=1, progress=False)
    assert all("the grader itself failed: ZeroDivisionError" in result.unreadable for result in found) and not results(tmp_path / "out")


def test_results_are_kept_as_they_are(tmp_path):
    result = Result("ada", "a.ipynb", (Mark("one", 5, "ok"), Mark("two", 7, "died", "why", "how", "code", 0.5)), ("note",), 1.5, "", "hw4", "00")
    (tmp_path / "r.json").write_text(json.dumps(__import__("dataclasses").asdict(result)))
    assert Result.load(tmp_path / "r.json") == result and (result.points, result.of, result.status) == (5, 12, "died")
    assert Raised(["ValueError"], "x").kinds == ["ValueError"]
