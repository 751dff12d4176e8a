"""The experiments behind the lectures, each a module that is also a program; the tables that they ship lie in results/."""
import argparse
import json
from collections.abc import Callable, Iterable
from importlib.resources import files
from math import inf
from pathlib import Path

import numpy as np

from .. import data, sweeps
from ..arrays import to_numpy
from ..train import descend
from ..vectors import Vector


def shipped(name: str) -> list[dict]:
    """The rows of a table that ships with the package, results/`name`.json."""
    return table(files("metrized") / "results" / f"{name}.json")


def table(path: Path) -> list[dict]:
    """The rows of a table that `write` has written."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


def ship(name: str, rows: list[dict]) -> None:
    """Write a table that ships with the package."""
    write(Path(__file__).parents[1] / "results" / f"{name}.json", rows)


def write(path: Path, rows: list[dict]) -> None:
    """Write rows with the same columns as a table, a line a row; infinity as 1e999, which JSON can hold."""
    columns = list(rows[0])
    lines = ",\n".join(json.dumps([row[c] for c in columns], ensure_ascii=False).replace("Infinity", "1e999") for row in rows)
    path.write_text(f'{{"columns": {json.dumps(columns)}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")


# Ensembles


def copies(w: Vector, K: int) -> Vector:
    """An ensemble of K networks with the same weights."""
    return w.map(lambda W: W[None].repeat(K, 0))


def train_together(batches: Iterable, w: Vector, rule, steps: int, schedule: Callable) -> tuple[Vector, np.ndarray]:
    """The weights of an ensemble of K networks after training, and which of them [K] have had a finite loss at every step."""
    finite = True
    with np.errstate(over="ignore", invalid="ignore"):  # a network that has diverged goes on beside the others
        for step in descend(batches, w, rule, steps, schedule=schedule, guard=False):
            finite = finite & np.isfinite(to_numpy(step.loss))
    return step.w, finite


def losses(objective: Callable, w: Vector, finite: np.ndarray) -> list[dict]:
    """A row's {"loss": ...} for each network of an ensemble, inf for those that have diverged."""
    with np.errstate(over="ignore", invalid="ignore"):
        found = to_numpy(objective(w))
    return [{"loss": float(loss) if fine else inf} for loss, fine in zip(found, finite, strict=True)]


# Programs


def program(module: str, run: Callable, points: Callable[[], list[dict]], full: Callable[[], list[dict]], arguments: list[str] | None = None,
            jobs: int | None = None, **options) -> tuple[list[dict], Path | None]:
    """Do what the command line of an experiment asks for: the rows of its sweep, and the file of its own that they have been written to.

    Without --full the rows are those of points(), and None says that they are to be shipped; with it those of full(). `jobs`, `options`: of sweep.
    """
    parser = argparse.ArgumentParser(prog=f"python -m metrized.examples.{module}", description="Computes what is missing of this experiment's sweep.")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--scheduler", metavar="ADDRESS", help="compute on the dask cluster with its scheduler there, as in tcp://10.0.0.1:8786")
    where.add_argument("--jobs", type=int, metavar="N", help=f"processes on this machine (default {jobs or 'one a core'})")
    parser.add_argument("--full", type=Path, metavar="FILE", help="the sweep at full size, for a large machine or a cluster; the table goes to FILE")
    asked = parser.parse_args(arguments)
    try:
        client = _client(asked.scheduler) if asked.scheduler else None
        if asked.jobs is not None and asked.jobs < 1:
            raise ValueError(f"--jobs {asked.jobs}: at least one process is needed")
        if asked.full and not asked.full.resolve().parent.is_dir():
            raise ValueError(f"--full {asked.full}: there is no folder {asked.full.parent}")
        rows = sweeps.sweep(run, full() if asked.full else points(), cache=data.cache_folder() / "sweeps", client=client,
                            jobs=None if client else asked.jobs or jobs, **options)
    except (ValueError, OSError, RuntimeError) as error:
        parser.error(str(error))
    except KeyboardInterrupt as stopped:
        parser.exit(130, f"\n{stopped}\n")
    if failed := [row for row in rows if "error" in row]:
        parser.exit(1, f"{len(failed)} of {len(rows)} runs failed, and no table was written; the first: {failed[0]}\n")
    if asked.full:
        write(asked.full, rows)
    return rows, asked.full


def _client(address: str):
    """A client of the dask cluster at an address. Raises RuntimeError where dask is not installed, OSError where nobody answers."""
    try:
        from distributed import Client
    except ImportError:
        raise RuntimeError('--scheduler needs dask, which is not installed; pip install "metrized[sweep]"') from None
    return Client(address, timeout="20s")
