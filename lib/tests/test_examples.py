"""The experiments as programs: an ensemble gives the rows that its networks give one by one, tables stay as they are, one command line for all."""
import os
import re
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from metrized import examples
from metrized.examples import batches, depth, duality, family, gpt_sweep, width
from metrized.optimizers import SGD
from metrized.schedules import linear
from metrized.sweeps import column
from metrized.vectors import Covector, Vector

PROGRAMS = {"width": width, "depth": depth, "gpt": gpt_sweep, "family": family, "duality": duality}


def agree(rows, again, rtol=1e-5):
    """As long as larger steps are better two tables are the same but for rounding, which too large ones magnify; both say where training diverges."""
    a, b = np.array(column(rows, "loss")), np.array(column(again, "loss"))
    assert (np.isinf(a) == np.isinf(b)).all()
    works = next((i for i in range(1, len(a)) if not a[i] < a[i - 1]), len(a))
    assert works >= 3
    np.testing.assert_allclose(a[:works], b[:works], rtol=rtol)


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


def test_a_network_that_comes_back_has_diverged_all_the_same():
    """One by one it would have stopped there."""
    w = Vector(np.zeros((3, 1)))
    losses = iter([[1, 1, 1], [1, np.inf, 1], [1, 1, np.nan], [1, 1, 1]])
    objective = SimpleNamespace(value_and_grad=lambda w: (np.array(next(losses)), Covector(np.ones((3, 1)))))
    w, finite = examples.train_together([objective] * 3 + [lambda w: np.array(next(losses))], w, SGD(1.0), 3, linear(3))
    assert finite.tolist() == [True, False, False]
    assert column(examples.losses(lambda w: w.array[:, 0], w, finite), "loss") == [-2, np.inf, np.inf]


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


# The page about clusters

PAGE = (Path(examples.__file__).parent / "cluster.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]


def block(words):
    """The one block of Python with these words in it."""
    (found,) = [block for kind, block in BLOCKS if kind == "python" and words in block]
    return found


def test_the_page_tells_the_size_and_the_time():
    """Its numbers are those of the points and their costs."""
    for module in (width, gpt_sweep):
        points = module.full_points()
        hours = round(sum(map(module.cost, points)) / 3600)
        assert re.search(rf"`{module.__name__}` \| [^|]+ \| {len(points)} \| {hours} \|", PAGE)
    slow = [p for p in width.full_points() if p["width"] == 4096 and p["method"].startswith("spectral")]
    assert 0.7 < sum(map(width.cost, slow)) / sum(map(width.cost, width.full_points())) < 0.8 and 1500 < width.cost(slow[0]) < 2100


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("python -m")])
def test_commands_of_the_page_are_understood(command, shelf, tmp_path, monkeypatch):
    """Each starts the full sweep where it says."""
    name, asked = command.split()[2], {}
    module = {m.__name__: m for m in PROGRAMS.values()}[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(examples, "_client", lambda address: nullcontext(asked.update(address=address)))
    monkeypatch.setattr(examples.sweeps, "sweep", lambda run, points, **options: asked.update(options, points=points) or [{"loss": 1.0}])
    module.main(command.split()[3:])
    assert asked["points"] == module.full_points() and ("--scheduler" in command) == ("address" in asked)
    assert (tmp_path / command.partition("--full ")[2].split()[0]).exists()


def test_the_finished_table_comes_behind_the_figures(tmp_path, monkeypatch):
    """With the lines for lecture 10, all widths and seeds of a full table are drawn."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(width, "WIDTHS", width.WIDTHS)
    monkeypatch.setattr(width, "SEEDS", width.SEEDS)
    middle = {method: np.mean(grid) for method, grid in width.GRIDS.items()}
    examples.write(tmp_path / "width-full.json", [{**p, "loss": np.exp((p["log2_step"] - middle[p["method"]]) ** 2)} for p in width.full_points()])
    names = {"experiment": width}
    exec(block("FULL_WIDTHS"), names)
    for method in width.METHODS:
        np.testing.assert_allclose([width.drift(names["rows"], method, seed) for seed in range(5)], np.full((5, 8), middle[method]), atol=1e-9)
    assert width.picture(names["rows"]).png


@pytest.mark.slow
def test_the_page_works_on_a_cluster(tmp_path, monkeypatch):
    """Scheduler and workers as the page starts them, the sweep that it shows, and a program that sends its work there: rows as at home."""
    distributed = pytest.importorskip("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    here = lambda text: text.replace("8786", port).replace("--nworkers 16", "--nworkers 2")
    commands = [[sys.executable, "-m", *here(line).split()] for line in COMMANDS if line.startswith("dask ")]
    assert [command[3] for command in commands] == ["scheduler", "worker"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("METRIZED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setattr(width, "full_points", lambda: [{**p, "steps": 2} for p in width.points(["SGD"], (16, 200), (0,))][::4])
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for command in commands]
    try:
        with distributed.Client(f"tcp://127.0.0.1:{port}", timeout=30) as client:
            client.wait_for_workers(2, timeout=60)
        names = {}
        exec(here(block("with Client(")), names)
        assert len(list((tmp_path / "results").glob("*.json"))) == len(names["rows"])
        home = one_by_one(width.run, names["points"])
        np.testing.assert_allclose(column(names["rows"], "loss"), column(home, "loss"), rtol=1e-4)
        (command,) = [here(line).split()[3:] for line in COMMANDS if "--scheduler" in line]
        width.main(command)
        home, full = one_by_one(width.run, width.full_points()), tmp_path / "width-full.json"
        np.testing.assert_allclose(column(examples.table(full), "loss"), column(home, "loss"), rtol=1e-4)
        full.unlink()
        queue = SimpleNamespace(scheduler_address=f"tcp://127.0.0.1:{port}", adapt=lambda maximum_jobs: None)
        monkeypatch.setitem(sys.modules, "dask_jobqueue", SimpleNamespace(SLURMCluster=lambda **options: queue))
        exec(block("SLURMCluster"), {})
        assert column(examples.table(full), "loss") == column(home, "loss")
    finally:
        for process in processes[::-1]:
            process.terminate()
            process.wait(30)
