"""The experiments as programs: an ensemble gives the rows that its networks give one by one, tables stay as they are, one command line for all."""
import sys

import numpy as np
import pytest

from metrized import examples
from metrized.examples import batches, depth, duality, family, gpt_sweep, width
from metrized.sweeps import column

PROGRAMS = {"width": width, "depth": depth, "gpt": gpt_sweep, "family": family, "duality": duality}


def agree(rows, again, rtol=1e-4):
    """Where training works two tables are the same up to rounding; where it does not, both say so."""
    a, b = np.array(column(rows, "loss")), np.array(column(again, "loss"))
    assert (np.isinf(a) == np.isinf(b)).all()
    works = a < 1.1 * a[0]  # the smallest step
    assert works.sum() >= 3
    np.testing.assert_allclose(a[works], b[works], rtol=rtol)


def one_by_one(run, points):
    with np.errstate(all="ignore"):
        return [run(**point) for point in points]


@pytest.mark.parametrize("method", width.METHODS)
def test_an_ensemble_of_widths_is_its_networks(method):
    """All step sizes of a method at once or one by one; two that diverge, one of them at once, change nothing for the others."""
    grid = [*width.GRIDS[method], 12, 100]
    points = [{"method": method, "width": 24, "log2_step": s, "seed": 3, "steps": 6} for s in grid]
    agree(one_by_one(width.run, points), width.run_many(points))


@pytest.mark.parametrize("method, multiplier", [("modular", "1/L"), ("dualized", "1/√L"), ("Adam", "1"), ("SGD", "1")])
def test_an_ensemble_of_depths_is_its_networks(method, multiplier):
    points = [{**point, "steps": 6} for point in depth.points([method], [multiplier], [3], [3])]
    agree(one_by_one(depth.run, points), depth.run_many(points))


@pytest.mark.parametrize("optimizer", gpt_sweep.GRIDS)
def test_an_ensemble_of_gpts_is_its_networks(optimizer):
    points = [{**point, "steps": 4} for point in gpt_sweep.points([optimizer], [8], [], [3])]
    agree(one_by_one(gpt_sweep.run, points), gpt_sweep.run_many(points))


@pytest.mark.slow
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
@pytest.mark.parametrize("method", width.METHODS)
def test_a_slice_of_the_width_table_can_be_computed_again(method, together):
    slice = [row for row in width.results() if (row["method"], row["width"], row["seed"]) == (method, 32, 1)]
    points = [{k: v for k, v in row.items() if k != "loss"} for row in slice]
    again = width.run_many(points) if together else one_by_one(width.run, points)
    works = [i for i, row in enumerate(slice) if row["loss"] < 0.45]
    assert len(works) >= 3
    np.testing.assert_allclose([again[i]["loss"] for i in works], [slice[i]["loss"] for i in works], rtol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
def test_a_slice_of_the_gpt_table_can_be_computed_again(together):
    slice = [row for row in gpt_sweep.results() if (row["optimizer"], row["width"], row["seed"], row["steps"]) == ("dualized", 16, 1, 80)][:4]
    points = [{k: v for k, v in row.items() if k != "loss"} for row in slice]
    again = gpt_sweep.run_many(points) if together else one_by_one(gpt_sweep.run, points)
    np.testing.assert_allclose(column(again, "loss"), column(slice, "loss"), rtol=0.02)


# The command line


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder in which tables and pictures are shipped, instead of the package's own."""
    (tmp_path / "results").mkdir()
    for module in (examples, width):
        monkeypatch.setattr(module, "__file__", str(tmp_path / "examples" / "x.py"))
    return tmp_path / "results"


@pytest.mark.parametrize("name", PROGRAMS)
def test_without_options_the_shipped_table_is_written(name, shelf, monkeypatch):
    """From rows like those that are shipped comes the same file, byte for byte, and no other; asked for are the points of the table."""
    rows, asked = PROGRAMS[name].results(), {}
    monkeypatch.setattr(examples.sweeps, "sweep", lambda run, points, **options: asked.update(options, points=points) or rows)
    PROGRAMS[name].main([])
    assert (shelf / f"{name}.json").read_bytes() == (examples.files("metrized") / "results" / f"{name}.json").read_bytes()
    assert {path.name for path in shelf.iterdir()} == {f"{name}.json"} | ({"drift.png"} if name == "width" else set())
    assert asked["points"] == [{k: row[k] for k in point} for row, point in zip(rows, asked["points"], strict=True)]
    assert asked["client"] is None and asked["jobs"] == (1 if name == "gpt" else None)


@pytest.mark.parametrize("module", [width, gpt_sweep])
def test_the_full_table_goes_where_it_is_told(module, shelf, tmp_path, monkeypatch):
    """What is shipped stays as it is."""
    points = [{**point, "steps": 1} for point in module.points(widths=(8, 16), seeds=(0,)) if point["width"] < 32 and point["log2_step"] == -4]
    monkeypatch.setattr(module, "full_points", lambda: points)
    monkeypatch.setenv("METRIZED_CACHE", str(tmp_path / "cache"))
    with np.errstate(all="ignore"):
        module.main(["--full", str(tmp_path / "full.json"), "--jobs", "1"])
    rows = examples.table(tmp_path / "full.json")
    assert [{k: row[k] for k in points[0]} for row in rows] == points and np.isfinite(column(rows, "loss")).any()
    assert not list(shelf.iterdir())


@pytest.mark.parametrize("module", [width, gpt_sweep])
def test_full_size_holds_the_table_and_more(module):
    """Every shipped point, each point once, and what is wider or deeper by two octaves and one."""
    full, shipped = module.full_points(), module.results()
    key = lambda point: tuple(point[k] for k in full[0])
    assert {*map(key, shipped)} < {*map(key, full)} and len({*map(key, full)}) == len(full)
    assert max(column(full, "width")) == 4 * max(column(shipped, "width")) and len({*column(full, "seed")}) == 5


@pytest.mark.parametrize("arguments, words", [
    (["--jobs", "0"], "invalid at_least_one value"), (["--jobs", "two"], "invalid at_least_one value"),
    (["--full", "/none/x.json"], "there is no folder"), (["--jobs", "2", "--scheduler", "x"], "not allowed with")], ids=str)
def test_a_wrong_option_is_one_line(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        width.main(arguments)
    assert caught.value.code == 2 and words in capsys.readouterr().err


def test_an_interrupted_program_and_one_with_failures_end_with_a_sentence(shelf, monkeypatch):
    """And write no table."""
    def stopped(*args, **options):
        raise KeyboardInterrupt("5/6 runs are done")

    monkeypatch.setattr(examples.sweeps, "sweep", stopped)
    with pytest.raises(SystemExit, match="5/6 runs are done"):
        depth.main([])
    monkeypatch.setattr(examples.sweeps, "sweep", lambda *args, **options: [{"loss": 1.0}, {"error": "MemoryError"}])
    with pytest.raises(SystemExit, match="1 of 2 runs failed, so no table was written; the same command tries them again.*MemoryError"):
        depth.main([])
    assert not list(shelf.iterdir())


def test_without_dask_a_scheduler_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SystemExit, match=r'needs dask, which is not installed; pip install "metrized\[sweep\]"'):
        width.main(["--scheduler", "tcp://127.0.0.1:1"])


def test_batches_has_the_points_of_its_table():
    assert [{k: row[k] for k in ("batch", "log2_step", "seed")} for row in batches.results()] == batches.points()
