"""Laws of sweeps: the table, the cache, failures, a killed parent, and the best step size of a grid.

What runs in workers stands at the top of this file and leaves one empty file for each execution.
"""
import importlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from math import inf, nan
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from metrized import cache as caches
from metrized.sweeps import best_step, column, grid, sweep


def note(folder, n):
    Path(folder, f"{n}-{uuid4()}").touch()


def executions(folder) -> Counter:
    """How often each n was computed."""
    return Counter(int(path.name.partition("-")[0]) for path in Path(folder).iterdir())


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


def process(call, notes, cache):
    """Another process that evaluates `call`, a sweep's arguments, with this module's names and with `notes` and `cache` at hand."""
    code = f"import sys; from test_sweeps import *; notes, cache = sys.argv[1], Path(sys.argv[2]); quiet({call})"
    return subprocess.Popen([sys.executable, "-c", code, notes, cache],
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
