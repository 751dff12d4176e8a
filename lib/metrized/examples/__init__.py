"""The experiments behind the lectures, each a module that is also a program; the tables that they ship lie in results/."""
import argparse
import json
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from importlib.resources import files
from math import inf
from pathlib import Path

import numpy as np

from .. import data, sweeps
from ..arrays import Array, to_device, to_numpy, whole
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


def step_sizes(points: list[dict], device: str = "cpu") -> Array:
    """[K]: the step sizes of points that have a log2_step."""
    return to_device(2.0 ** np.array([point["log2_step"] for point in points]), device)


def copies(w: Vector, K: int) -> Vector:
    """An ensemble of K networks with the same weights."""
    return w.map(lambda W: W[None].repeat(K, 0))


def member(w: Vector, k: int) -> Vector:
    """Network k of an ensemble."""
    return w.map(lambda W: W[k])


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


def program(experiment: str, run: Callable, points: Callable[[], list[dict]], arguments: list[str] | None = None, *,
            full: Callable[[], list[dict]] | None = None, jobs: int | None = None, **options) -> list[dict] | None:
    """Do what the command line asks of an experiment, and write its table: results/`experiment`.json from points(), whose rows are returned.

    With --full it is a file of the user's, from full(), and nothing is returned. `jobs` (unless the user says otherwise) and `options` go to sweep.
    """
    asked = _parser(experiment, jobs, full is not None).parse_args(arguments)
    try:
        with _client(asked.scheduler) if asked.scheduler else nullcontext() as client:
            rows = sweeps.sweep(run, full() if asked.full else points(), cache=data.cache_folder() / "sweeps", client=client,
                                jobs=None if asked.scheduler else asked.jobs or jobs, **options)
    except (ValueError, OSError, RuntimeError) as error:
        sys.exit(f"{experiment}: {error}")
    except KeyboardInterrupt as stopped:
        sys.exit(f"\n{stopped}")
    if failed := [row for row in rows if "error" in row]:
        sys.exit(f"{len(failed)} of {len(rows)} runs failed, so no table was written; the same command tries them again. The first: {failed[0]}")
    if asked.full:
        return write(asked.full, rows)
    ship(experiment, rows)
    return rows


def _parser(experiment: str, jobs: int | None, full: bool) -> argparse.ArgumentParser:
    """The command line of an experiment."""
    program = f"python -m metrized.examples.{Path(sys.argv[0]).stem}"
    parser = argparse.ArgumentParser(prog=program, description=f"Compute what is missing of the table {experiment!r}, and write it.")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=at_least_one, metavar="N", help=f"processes of this machine; default {jobs or 'one a core'}")
    where.add_argument("--scheduler", metavar="ADDRESS", help="compute on the dask cluster with this scheduler, such as tcp://10.0.0.1:8786")
    if full:
        parser.add_argument("--full", type=_new_file, metavar="FILE", help="the experiment at full size; the table goes to FILE")
    else:
        parser.set_defaults(full=None)
    return parser


def at_least_one(text: str) -> int:
    """A whole number, 1 or more; by this name argparse speaks of it."""
    return whole("--jobs", "N", int(text))


def _new_file(text: str) -> Path:
    """A path that can be written to. Raises ArgumentTypeError where its folder is not there: hours later would be late."""
    if not Path(text).resolve().parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {Path(text).parent}")
    return Path(text)


def _client(address: str):
    """A client of the dask cluster at an address. Raises RuntimeError where dask is not installed, OSError where nobody answers."""
    try:
        from distributed import Client
    except ImportError:
        raise RuntimeError('--scheduler needs dask, which is not installed; pip install "metrized[sweep]"') from None
    return Client(address, timeout="20s")
