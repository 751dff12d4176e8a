"""Laws of sweeps: the table, the cache, failures, a killed parent, and the best step size of a grid.

What runs in workers stands at the top of this file and leaves one empty file for each execution.
"""
import copy
import functools
import importlib
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from math import inf, nan
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from metrized import cache as caches
from metrized import sweeps
from metrized.cache import Cache, tagged
from metrized.sweeps import NotKept, Together, best_step, column, grid, sweep


def note(folder, n):
    Path(folder, f"{n}-{uuid4()}").touch()


def executions(folder) -> Counter:
    """How often each n was computed."""
    return Counter(int(path.name.partition("-")[0]) for path in Path(folder).iterdir() if not path.name.endswith("-pid"))


def square(n, folder):
    note(folder, n)
    return {"square": n * n, "process": os.getpid()}


def square_unless_three(n, folder):
    note(folder, n)
    if n == 3:
        raise ValueError("three is\nnot done")
    return {"square": n * n}


def square_or_wait_at_three(n, folder):
    note(folder, n)
    while n == 3 and not Path(folder).with_name("go").exists():
        time.sleep(0.01)
    return {"square": n * n}


def square_or_die_once_at_three(n, folder):
    note(folder, n)
    if n == 3 and executions(folder)[3] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"square": n * n}


def square_when_all_others_are_kept(n, folder):
    note(folder, n)
    kept = lambda: len(list(Path(folder).with_name("cache").glob("*.json"))) == 5
    return {"square": n * n} if n or until(kept, 20) else {}


def long_list(n, folder):
    note(folder, n)
    if n in (3, 4, 5) and until(lambda: executions(folder)[400]) and executions(folder)[400] == 1:
        time.sleep(0.5)  # time to hear that the first 400 were not kept
    return {"y": [1.0] * n}


def order(n, folder):
    before = sum(executions(folder).values())
    note(folder, n)
    return {"before": before}


@dataclass(frozen=True)
class Limits:
    n: int
    note: str = field(default="", compare=False)


class Bounds(Limits):
    pass


class Colour(Enum):
    RED, BLUE = "red", "blue"


def threads(n):
    return {"threads": os.environ["OPENBLAS_NUM_THREADS"]}


@pytest.fixture
def notes(tmp_path):
    folder = tmp_path / "notes"
    folder.mkdir()
    return str(folder)


def quiet(run, points, **options):
    return sweep(run, points, progress=False, **{"jobs": 1, **options})


def test_grid_is_every_combination_in_order():
    """The last axis moves fastest; axes may be any iterables."""
    points = [{"width": 8, "seed": 0}, {"width": 8, "seed": 1}, {"width": 16, "seed": 0}, {"width": 16, "seed": 1}]
    assert grid(width=(8, 16), seed=range(2)) == points and grid(a=()) == [] and grid() == [{}]


@pytest.mark.parametrize("jobs", [1, 2])
def test_rows_are_tidy_and_in_the_order_of_the_points(jobs, notes):
    """One row {**point, **result} a point, each computed once; two jobs are two processes, neither of them this one."""
    points = grid(n=(5, 3, 4, 1), folder=[notes])
    rows = quiet(square, points, jobs=jobs)
    assert [{k: v for k, v in row.items() if k != "process"} for row in rows] == [{**p, "square": p["n"] ** 2} for p in points]
    assert column(rows, "square") == [25, 9, 16, 1] and executions(notes) == Counter((5, 3, 4, 1))
    assert (os.getpid() in column(rows, "process")) == (jobs == 1)


def test_a_worker_has_one_thread(monkeypatch):
    """Two jobs do not fight over the cores: linear algebra in a worker is told to use one thread, whatever this process uses."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    assert column(quiet(threads, grid(n=(1, 2)), jobs=2), "threads") == ["1", "1"]


def test_nothing_is_kept_without_a_cache(notes):
    """Two sweeps compute twice."""
    quiet(square, grid(n=(1, 2), folder=[notes]))
    quiet(square, grid(n=(1, 2), folder=[notes]))
    assert executions(notes) == {1: 2, 2: 2}


def test_cached_points_are_not_computed_again(notes, tmp_path):
    """A wider sweep computes its new points alone, and its rows are the same; the order in which a point names its values is no matter."""
    first = quiet(square, grid(n=range(3), folder=[notes]), cache=tmp_path / "cache")
    second = quiet(square, grid(folder=[notes], n=range(5)), cache=tmp_path / "cache")
    assert second[:3] == first and executions(notes) == dict.fromkeys(range(5), 1)


def test_a_new_version_of_the_library_computes_anew(notes, tmp_path, monkeypatch):
    """Results belong to the version that made them, and are found again when it comes back."""
    run = lambda: quiet(square, grid(n=(1, 2), folder=[notes]), cache=tmp_path / "cache")
    run()
    with monkeypatch.context() as patch:
        patch.setattr(caches, "__version__", "another")
        run()
    run()
    assert executions(notes) == {1: 2, 2: 2}


def test_another_function_computes_anew(notes, tmp_path, monkeypatch):
    """Results belong to the source of the function, and to the module and the name it is found by."""
    source = "from test_sweeps import note\n\n\ndef job(n, folder):\n    note(folder, n)\n    return {'y': n + 1}\n"
    monkeypatch.syspath_prepend(tmp_path)

    def run(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        module = importlib.reload(importlib.import_module(name))
        return column(quiet(module.job, grid(n=(1, 2), folder=[notes]), cache=tmp_path / "cache"), "y")

    assert run("job_of_a_sweep", source) == run("job_of_a_sweep", source) == [2, 3] and executions(notes) == {1: 1, 2: 1}
    assert run("job_of_a_sweep", source.replace("n + 1", "n + 10")) == [11, 12] and executions(notes) == {1: 2, 2: 2}
    assert run("another_job_of_a_sweep", source) == [2, 3] and executions(notes) == {1: 3, 2: 3}


def test_a_failing_point_is_a_row_and_the_others_stay(notes, tmp_path):
    """The error's last line stands in "error"; a failure is not cached, so that the next sweep tries again."""
    points = grid(n=(2, 3, 4), folder=[notes])
    for _ in range(2):
        rows = quiet(square_unless_three, points, cache=tmp_path / "cache")
        assert [row.get("square") for row in rows] == [4, None, 16]
        assert {**points[1], "error": rows[1]["error"]} == rows[1] and "not done" in rows[1]["error"]
    assert executions(notes) == {2: 1, 3: 2, 4: 1}


def process(call, notes, cache, **options):
    """Another process that evaluates `call`, a sweep's arguments, with this module's names and with `notes` and `cache` at hand."""
    code = f"import sys; from test_sweeps import *; notes, cache = sys.argv[1], Path(sys.argv[2]); quiet({call})"
    return subprocess.Popen([sys.executable, "-c", code, notes, cache], **options,
                            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])})


def test_a_sweep_goes_on_after_its_parent_was_killed(notes, tmp_path):
    """SIGKILL while point 3 is computed: the next sweep computes 3 again, and what never began; nothing else."""
    child = process("square_or_wait_at_three, grid(n=range(6), folder=[notes]), cache=cache", notes, tmp_path / "cache")
    end = time.monotonic() + 60
    while executions(notes)[3] == 0 and child.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert executions(notes) == dict.fromkeys(range(4), 1)
    (tmp_path / "go").touch()
    rows = quiet(square_or_wait_at_three, grid(n=range(6), folder=[notes]), cache=tmp_path / "cache")
    assert column(rows, "square") == [0, 1, 4, 9, 16, 25]
    assert executions(notes) == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1}


def test_a_later_process_finds_all_results(notes, tmp_path):
    """Also where the process that made them had used another cache before."""
    points = grid(n=range(3), folder=[notes])
    for cache in ("first", "second"):
        quiet(square, points, cache=tmp_path / cache)
    assert process("square, grid(n=range(3), folder=[notes]), cache=cache", notes, tmp_path / "second").wait() == 0
    assert executions(notes) == dict.fromkeys(range(3), 2)


def test_a_module_that_runs_as_a_program_shares_its_cache(notes, tmp_path):
    """`python -m mine` calls the module __main__; what it computed is found by whoever imports it, and the other way round."""
    (tmp_path / "mine.py").write_text(
        "import sys\nfrom metrized.sweeps import sweep\n\ndef run(n):\n    print('computing', n)\n    return {'square': n * n}\n\n"
        "if __name__ == '__main__':\n    sweep(run, [{'n': 3}], cache='cache', jobs=1, progress=False)\n")
    call = lambda *command: subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "computing 3" in call("-m", "mine") and call("-m", "mine") == ""
    assert call("-c", "import mine; mine.sweep(mine.run, [{'n': 3}], cache='cache', jobs=1, progress=False)") == ""


def test_a_cache_is_its_folder_however_it_is_written(notes, tmp_path):
    """A str and a Path to the same folder are the same cache."""
    for cache in (str(tmp_path / "cache"), tmp_path / "cache"):
        quiet(square, grid(n=(1, 2), folder=[notes]), cache=cache)
    assert executions(notes) == {1: 1, 2: 1}


def test_a_sweep_survives_a_killed_worker(notes, tmp_path):
    """A worker that dies once (as when memory runs out) takes no row with it."""
    points = grid(n=range(6), folder=[notes])
    rows = quiet(square_or_die_once_at_three, points, cache=tmp_path / "cache", jobs=2)
    assert rows == [{**p, "square": p["n"] ** 2} for p in points]


def test_progress_is_shown_unless_declined(notes, capsys):
    """A bar over the points, or nothing."""
    quiet(square, grid(n=(1,), folder=[notes]))
    assert capsys.readouterr() == ("", "")
    sweep(square, grid(n=(1,), folder=[notes]), jobs=1)
    assert "sweep" in capsys.readouterr().err


# A cache that knows what it keeps


def test_arguments_that_differ_have_different_keys():
    """Values that look alike, or are equal across types, are told apart; equal values of one type are not, and neither is NaN from NaN."""
    x = np.arange(3.0)
    different = [1, 1.0, True, "1", b"1", np.int64(1), np.float64(1), np.float32(1), np.bool_(True), 1 + 0j, None, "None", nan, "nan", inf, -0.0, 0.0,
                 (1,), [1], {1}, frozenset({1}), {"a": 1}, {1: "a"}, (), [], {}, ((1,), 2), (1, (2,)), (1, 2), [[1, 2]], [1, [2]], range(3), [0],
                 Path("a"), "a", x, x.astype(np.float32), x[None], x.tolist(), Limits(1), Limits(2), Bounds(1), Colour.RED, Colour.BLUE, "RED"]
    keys = [json.dumps(tagged(value, "it")) for value in different]
    assert len(set(keys)) == len(keys)
    assert [json.dumps(tagged(value, "it")) for value in copy.deepcopy(different)] == keys
    assert tagged({"b": 2, "a": {3, 1}}, "it") == tagged({"a": {1, 3}, "b": 2}, "it")
    assert tagged(Limits(1, note="x"), "it") == tagged(Limits(1, note="y"), "it")  # what a dataclass is not compared by does not count


@pytest.mark.parametrize("value", [object(), lambda: 0, (1, object()), {"a": {2: object()}}, np.array([object()]), Limits], ids=range(6))
def test_what_cannot_be_a_key_is_refused_before_anything_runs(value, notes, tmp_path):
    """One clear error that names the place; without a cache such points are no trouble."""
    with pytest.raises(TypeError, match="the point's 'folder'.* cannot tell two of them apart"):
        quiet(square, [{"n": 1, "folder": value}], cache=tmp_path / "cache")
    assert "error" in quiet(square, [{"n": 1, "folder": value}])[0] and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("run", [lambda n: {}, functools.partial(square, folder="x"), print], ids=["lambda", "partial", "builtin"])
def test_a_function_without_a_source_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="a cache needs a function at the top of a module"):
        quiet(run, [{"n": 1}], cache=tmp_path / "cache")


@pytest.mark.parametrize("damage", [b"", b"{", b'{"square": 4', b"\xff\xfe", b"[1]", b"4"], ids=repr)
def test_a_damaged_result_is_computed_anew(damage, notes, tmp_path):
    points = grid(n=(2, 3), folder=[notes])
    first = column(quiet(square, points, cache=tmp_path / "cache"), "square")
    file = Cache(tmp_path / "cache", square).file(points[0])
    file.write_bytes(damage)
    assert column(quiet(square, points, cache=tmp_path / "cache"), "square") == first and executions(notes) == {2: 2, 3: 1}
    assert json.loads(file.read_text())["square"] == 4 and len(list((tmp_path / "cache").iterdir())) == 2


def test_another_numpy_computes_anew(notes, tmp_path, monkeypatch):
    run = lambda: quiet(square, grid(n=(1, 2), folder=[notes]), cache=tmp_path / "cache")
    run()
    monkeypatch.setattr(caches.np, "__version__", "2.99")
    monkeypatch.setitem(sweeps.VERSIONS, "NumPy", "2.99")
    run()
    assert executions(notes) == {1: 2, 2: 2}


MODULE = """
import os
from test_sweeps import note
from helper_of_a_sweep import more, unused_there
A = 1
TABLE = {"a": A}
TABLE["b"] = 2
LIST = [A]
LIST.append(5)
def job(n, folder):
    "Words."
    note(folder, n)
    return {"y": inner(n) + TABLE["b"] + LIST[1] + more(n)}
def inner(n):
    return n + 1  # one more
def other():
    return 1
class Unused: pass
if __name__ == "__main__":
    print(other())
"""
HELPER = "def more(n):\n    return below(n)\ndef below(n):\n    return 0\nB = 1\n"


@pytest.mark.parametrize("file, old, new, anew", [
    ("job", "n + 1 ", "n + 2 ", True), ("job", '["b"] = 2', '["b"] = 3', True), ("job", "append(5)", "append(6)", True),
    ("job", "A = 1", "A = 3", True), ("job", "import more", "import below as more", True), ("helper", "return 0", "return 1", True),
    ("job", "one more", "another", False), ("job", "Words", "Other words", False), ("job", "return 1\n", "return 2\n", False),
    ("job", "pass", "x = 1", False), ("job", "\nA = 1", "\n\n\nA = 1", False), ("job", "import os\n", "", False), ("helper", "B = 1", "B = 2", False),
    ("job", "print(other())", "print(1)", False)], ids=str)
def test_a_result_depends_on_what_its_function_names(file, old, new, anew, notes, tmp_path, monkeypatch):
    """Helpers, tables, and what they are made of count, in the same module and in its neighbours; comments, docstrings and the rest do not."""
    monkeypatch.syspath_prepend(tmp_path)
    files = {"job": tmp_path / "job_with_helpers.py", "helper": tmp_path / "helper_of_a_sweep.py"}
    texts = {"job": MODULE, "helper": HELPER + "def unused_there(): pass\n"}
    assert texts[file].count(old) == 1
    for change in (False, True):
        for name, path in files.items():
            path.write_text(texts[name].replace(old, new) if change and name == file else texts[name])
        for name in ("helper_of_a_sweep", "job_with_helpers"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        quiet(importlib.import_module("job_with_helpers").job, grid(n=(1,), folder=[notes]), cache=tmp_path / "cache")
    assert executions(notes) == {1: 1 + anew}


@pytest.mark.slow
def test_an_edited_library_computes_anew_but_not_for_a_figure(tmp_path):
    """In a copy of the package: an edited bond or data set ends the life of results, an edited figure, lecture tool or checker does not."""
    shutil.copytree(caches.PACKAGE, tmp_path / "metrized", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "mine.py").write_text(
        "from metrized.sweeps import sweep\n\n\ndef run(n):\n    print('computing')\n    return {'y': n}\n\n\n"
        "if __name__ == '__main__':\n    sweep(run, [{'n': 3}], cache='cache', jobs=1, progress=False)\n")

    def computes(file=None):
        if file:
            with open(tmp_path / "metrized" / file, "ab") as opened:
                opened.write(b"\n")
        return "computing" in subprocess.run([sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=True,
                                             env={**os.environ, "PYTHONPATH": str(tmp_path)}).stdout

    assert computes() and not computes()
    for file in ("bonds.py", "optimizers/descent.py", "data_files/diabetes.csv"):
        assert computes(file), file
    for file in ("figures.py", "lesson.py", "check/hw1.py", "teach/report.py", "examples/gpt.py", "results/gpt.json"):
        assert not computes(file), file


def test_a_folder_that_takes_no_files_is_said_at_once(notes, tmp_path):
    """Before anything has been computed; and where nothing is missing, nothing has to be written."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be kept in .*file.* nothing has been computed"):
        quiet(square, grid(n=(1,), folder=[notes]), cache=tmp_path / "file" / "cache")
    assert not executions(notes)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_full_disk_loses_nothing(jobs, notes, tmp_path):
    """A result that the disk does not take stops the sweep, and is in the error's rows with all others; the next sweep has those that were kept."""
    points = [{"n": n, "folder": notes} for n in (1, 2, 400, 3, 4, 5)]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(NotKept, match="took no more results .*runs are in the rows of this error") as caught:
            quiet(long_list, points, cache=tmp_path / "cache", jobs=jobs)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".json"}
    assert {row["n"] for row in caught.value.rows} == set(executions(notes)) >= {1, 2, 400} and 5 not in executions(notes)
    assert all(row["y"] == [1.0] * row["n"] for row in caught.value.rows)
    rows = quiet(long_list, points, cache=tmp_path / "cache", jobs=jobs)
    assert column(rows, "y") == [[1.0] * point["n"] for point in points] and executions(notes)[400] == 2 and executions(notes)[1] == 1


# Order and progress


def test_results_are_kept_as_they_arrive(notes, tmp_path):
    """A slow first point holds back neither the others nor the cache: it ends only when the results of all others are there."""
    points = grid(n=range(6), folder=[notes])
    rows = quiet(square_when_all_others_are_kept, points, cache=tmp_path / "cache", jobs=2)
    assert column(rows, "square") == [0, 1, 4, 9, 16, 25]


def test_what_costs_most_comes_first(notes):
    """The order of the rows stays that of the points."""
    rows = quiet(order, grid(n=(1, 3, 2), folder=[notes]), cost=lambda point: point["n"])
    assert column(rows, "before") == [2, 0, 1] and column(rows, "n") == [1, 3, 2]


def test_progress_counts_costs_and_names_failures(notes, tmp_path, capsys):
    """The bar grows with what is paid, counts runs and failures, and begins where the cache ends."""
    cost = lambda point: {1: 1, 2: 1, 3: 2, 4: 4}[point["n"]]
    quiet(square_unless_three, grid(n=(1,), folder=[notes]), cache=tmp_path / "cache")
    sweep(square_unless_three, grid(n=(1, 2, 3, 4), folder=[notes]), jobs=1, cost=cost, cache=tmp_path / "cache")
    shown = capsys.readouterr().err
    assert "12%|" in shown and "100%|" in shown and "4/4 runs, 1 failed]" in shown.splitlines()[-1]


# Ensembles


def job(n, folder, width=1, seed=0):
    note(folder, n)
    return {"y": n / (n - 3), "alone": True}


def jobs_together(points):
    note(points[0]["folder"], 1000 + len(points))
    return [{"y": p["n"] / (p["n"] - 3), "alone": False} if p["n"] != 3 else 1 / 0 for p in points]


def one_too_few(points):
    return jobs_together(points)[1:]


def killed_by_three(points):
    note(points[0]["folder"], 1000 + len(points))
    if {"n": 3} in [{"n": point["n"]} for point in points]:
        os.kill(os.getpid(), signal.SIGKILL)
    return jobs_together(points)


def together(run_many=jobs_together):
    return Together(run_many, over=("n",), narrow=lambda point: point["width"] < 10)


@pytest.mark.parametrize("jobs", [1, 2])
def test_narrow_points_run_together(jobs, notes, tmp_path):
    """Points that agree in the other axes are one call of run_many; wide ones, and single ones, are runs of their own. Rows keep their places."""
    points = grid(width=(1, 10), n=(1, 2, 4), seed=(0, 1), folder=[notes]) + grid(width=(2,), n=(5,), seed=(0,), folder=[notes])
    rows = quiet(job, points, together=together(), cache=tmp_path / "cache", jobs=jobs)
    assert [{k: row[k] for k in point} for row, point in zip(rows, points, strict=True)] == points
    assert column(rows, "y") == [p["n"] / (p["n"] - 3) for p in points] and column(rows, "alone") == [False] * 6 + [True] * 7
    assert executions(notes) == {1003: 2, 1: 2, 2: 2, 4: 2, 5: 1}


def test_only_missing_members_run(notes, tmp_path):
    """Every member of an ensemble is kept by itself, and apart from what run gives, which may differ in rounding."""
    run = lambda ns, **options: quiet(job, grid(width=(1,), n=ns, folder=[notes]), cache=tmp_path / "cache", **options)
    run((1, 2), together=together())
    run((1, 2, 4, 5), together=together())
    assert executions(notes) == {1002: 2}
    assert column(run((1, 2)), "alone") == [True, True] and column(run((2, 1, 5), together=together()), "alone") == [False] * 3
    assert executions(notes) == {1002: 2, 1: 1, 2: 1}


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("run_many, words", [(jobs_together, "ZeroDivisionError"), (one_too_few, "returned 2 results for 3 points")])
def test_an_ensemble_that_fails_runs_one_by_one(run_many, words, jobs, notes):
    """That is said, and the guilty one is named."""
    ns = (1, 3, 4) if run_many is jobs_together else (1, 2, 4)
    with pytest.warns(UserWarning, match=f"run_many failed on 3 points.*{words}"):
        rows = quiet(job, grid(width=(1,), n=ns, folder=[notes]), together=together(run_many), jobs=jobs)
    assert ["ZeroDivisionError" in row.get("error", "") for row in rows] == [n == 3 for n in ns] and all(row.get("alone", True) for row in rows)


# What dies


def die_at_three(n, folder):
    note(folder, n)
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return {"square": n * n}


@pytest.mark.slow
def test_a_point_that_kills_its_process_is_a_row_and_costs_the_others_nothing(notes, tmp_path):
    """It is tried again alone, and then it is an error; every other point is computed once."""
    rows = quiet(die_at_three, grid(n=range(8), folder=[notes]), cache=tmp_path / "cache", jobs=3)
    assert "died, and again when it ran alone" in rows[3]["error"] and "SIGKILL" in rows[3]["error"]
    assert [row.get("square") for row in rows] == [n * n if n != 3 else None for n in range(8)]
    assert executions(notes) == {n: 1 + (n == 3) for n in range(8)}


@pytest.mark.slow
def test_an_ensemble_that_kills_its_process_runs_one_by_one(notes, tmp_path):
    rows = quiet(die_at_three_alone, grid(width=(1,), n=range(1, 5), folder=[notes]), together=together(killed_by_three), jobs=2)
    assert ["error" in row for row in rows] == [False, False, True, False] and executions(notes) == {1004: 1, 1: 1, 2: 1, 3: 1, 4: 1}


def die_at_three_alone(n, folder, width):
    return die_at_three(n, folder)


def tell_and_wait(n, folder):
    note(folder, n)
    Path(folder, f"{os.getpid()}-pid").touch()
    time.sleep(60)


def ended(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(stop, notes, tmp_path):
    """Killed or interrupted in the middle of long runs, a sweep leaves no process behind."""
    child = process("tell_and_wait, grid(n=range(2), folder=[notes]), cache=cache, jobs=2", notes, tmp_path / "cache", stderr=subprocess.PIPE)
    pids = lambda: [int(path.name.partition("-")[0]) for path in Path(notes).glob("*-pid")]
    assert until(lambda: len(pids()) == 2)
    child.send_signal(stop)
    assert child.wait(20) != 0 and until(lambda: all(map(ended, pids())), 10)


@pytest.mark.slow
def test_an_interrupted_sweep_says_how_far_it_is_and_goes_on(notes, tmp_path):
    """One line: how many are done, where, and that the same call goes on. The cache is whole."""
    call = "square_or_wait_at_three, grid(n=range(6), folder=[notes]), cache=cache, jobs=2"
    child = process(call, notes, tmp_path / "cache", stderr=subprocess.PIPE, start_new_session=True)
    assert until(lambda: len(list((tmp_path / "cache").glob("*.json"))) == 5 and executions(notes)[3])
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    said = child.communicate(timeout=20)[1].decode()
    last = f"KeyboardInterrupt: 5/6 runs are done and kept in {tmp_path / 'cache'}; the same call goes on from there"
    assert said.strip().splitlines()[-1] == last and said.count("Traceback") == 1
    (tmp_path / "go").touch()
    rows = quiet(square_or_wait_at_three, grid(n=range(6), folder=[notes]), cache=tmp_path / "cache")
    assert column(rows, "square") == [0, 1, 4, 9, 16, 25] and executions(notes) == {0: 1, 1: 1, 2: 1, 3: 2, 4: 1, 5: 1}


def test_a_worker_with_another_library_is_refused(notes, monkeypatch):
    """Results of another library would be kept under this one's name."""
    monkeypatch.setitem(sweeps.VERSIONS, "library", "another")
    with pytest.raises(sweeps.OtherLibrary, match="another library than this process; install the same"):
        quiet(square, grid(n=(1, 2), folder=[notes]), jobs=2)
    assert not executions(notes)


def test_what_is_no_table_is_an_error(notes):
    """A run returns a dict; anything else is that point's error, not the sweep's end."""
    assert "TypeError: a run must return a dict of numbers, got list" in quiet(a_list, [{"n": 1}])[0]["error"]


def a_list(n):
    return [n]


# Past one machine


@pytest.fixture(scope="module")
def cluster():
    """A dask cluster of two worker processes."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL) as cluster:
        yield cluster


def square_slowly(n, folder):
    note(folder, n)
    time.sleep(0.1)
    return {"square": n * n, "threads": os.environ["OPENBLAS_NUM_THREADS"]}


@pytest.mark.slow
def test_a_cluster_survives_the_death_of_a_worker(cluster, notes, tmp_path):
    """SIGKILL in mid-run: all rows are there, the same as from this machine, on one BLAS thread, and kept by this process."""
    points = grid(n=range(20), folder=[notes])
    with cluster.get_client() as client:
        victim = min(client.run(os.getpid).values())
        killer = threading.Thread(target=lambda: until(lambda: sum(executions(notes).values()) >= 6) and os.kill(victim, signal.SIGKILL))
        killer.start()
        rows = quiet(square_slowly, points, cache=tmp_path / "cache", jobs=None, client=client)
        killer.join()
        assert ended(victim) and sum(executions(notes).values()) <= 23
        assert rows == quiet(square_slowly, points, jobs=2) == quiet(square_slowly, points, cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.json"))) == 20 and sum(executions(notes).values()) <= 43


@pytest.mark.slow
def test_a_point_that_kills_workers_again_and_again_is_a_row(cluster, notes):
    """The others are there; an ensemble with it in it is run one by one."""
    with cluster.get_client() as client:
        rows = quiet(die_at_three, grid(n=range(6), folder=[notes]), jobs=None, client=client)
    assert "workers died while running it" in rows[3]["error"]
    assert [row.get("square") for row in rows] == [0, 1, 4, None, 16, 25]


def test_no_points_are_no_rows_and_no_processes_are_an_error(notes, tmp_path):
    assert sweep(square, [], cache=tmp_path / "cache") == [] and not (tmp_path / "cache").exists()
    with pytest.raises(ValueError, match="a sweep needs a whole number jobs, at least 1; got jobs -1"):
        quiet(square, grid(n=(1, 2), folder=[notes]), jobs=-1)


def test_a_function_that_was_typed_runs_in_processes_but_cannot_be_kept_without_its_source():
    """In a program from standard input, where no source is kept. (A notebook keeps it.)"""
    code = ("from metrized.sweeps import sweep\ndef run(n):\n    return {'y': n + 1}\npoints = [{'n': 1}, {'n': 2}]\n"
            "print(sweep(run, points, jobs=2, progress=False))\n"
            "try:\n    sweep(run, points, cache='none')\nexcept ValueError as error:\n    print(error)\n")
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.splitlines() == ["[{'n': 1, 'y': 2}, {'n': 2, 'y': 3}]",
                                        "a cache needs the source of run, which was typed where none is kept; put it into a file"]


def test_dask_is_not_needed_at_home():
    """Neither sweeps nor an experiment imports it."""
    code = "import sys; import metrized.sweeps, metrized.examples.width; sys.exit('dask' in sys.modules or 'distributed' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def test_a_client_is_a_client(notes):
    with pytest.raises(TypeError, match="client must be a dask.distributed Client"):
        quiet(square, grid(n=(1,), folder=[notes]), jobs=None, client="tcp://127.0.0.1:8786")
    with pytest.raises(ValueError, match="give one of the two"):
        quiet(square, grid(n=(1,), folder=[notes]), jobs=2, client=object())


# The best step size of a grid.

X = np.arange(-4, 4)


@pytest.mark.parametrize("centre", [-2.3, -0.5, 0.0, 0.41, 1.8])
def test_best_step_is_the_vertex_of_a_parabola(centre, rng):
    """A loss whose logarithm is a parabola in log2 of the step size gives its vertex, in whatever order the grid comes."""
    losses, order = np.exp(0.3 * (X - centre) ** 2 - 1), rng.permutation(len(X))
    x, loss = best_step((2.0 ** X)[order], losses[order])
    np.testing.assert_allclose([x, loss], [centre, losses.min()], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("losses", [[1, 2, 3, 4], [4, 3, 2, 1], [nan, inf, 2, 1], [1, nan, nan, nan]], ids=str)
def test_best_step_refuses_the_edge(losses):
    """A best point on the edge says that the grid is too narrow, and names the grid."""
    with pytest.raises(ValueError, match="edge of the grid 0.5 .. 4; make it wider"):
        best_step([0.5, 1, 2, 4], losses)


@pytest.mark.parametrize("bad", [nan, inf, 1e300])
def test_best_step_survives_divergence(bad):
    """Far points that diverged change nothing; a neighbour that diverged counts as one nat above the best."""
    losses = np.exp(0.3 * (X - 0.2) ** 2)
    far = np.where(X > 1, bad, losses)
    np.testing.assert_allclose(best_step(2.0 ** X, far), best_step(2.0 ** X, losses), rtol=1e-12)
    np.testing.assert_allclose(best_step([1, 2, 4], [np.exp(0.2), 1.0, bad]), [1 + 0.5 * (0.2 - 1) / (0.2 + 1), 1.0], rtol=1e-12)


@pytest.mark.parametrize("losses", [[1, 0, 1], [1, -1, 1], [nan, nan, nan]], ids=str)
def test_best_step_refuses_what_has_no_logarithm(losses):
    """A loss that is not positive has no logarithm, and a grid that diverged everywhere no best point: an error says so."""
    with pytest.raises(ValueError, match="positive|finite|diverged"):
        best_step([1, 2, 4], losses)
