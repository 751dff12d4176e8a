"""Sweeps: the same run at every point of a grid, in parallel, each result cached on disk the moment it is there."""
import hashlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from itertools import product
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm.auto import tqdm

from . import __version__


def grid(**axes: Iterable) -> list[dict]:
    """Every combination of the axes' values: grid(width=(32, 64), seed=range(3)) is six points."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def sweep(run: Callable[..., dict], points: list[dict], *, cache: str | Path | None = None, jobs: int | None = None,
          progress: bool | str = True) -> list[dict]:
    """run(**point) for every point; a tidy table, one row {**point, **result} a point, in the order of the points.

    `run` is a function at the top of a module that returns a dict of numbers. With `cache` (a folder) every result is written at once, under
    the function's source, its arguments and this library's version: a sweep that was killed computes only what is missing. A point
    that fails becomes a row with its last line in "error". `jobs` processes (all cores unless given) with one BLAS thread each. `progress`: a bar, or
    what to call the runs on it.
    """
    calls = [delayed(_row)(run, point, _file(Path(cache), run, point) if cache else None) for point in points]
    rows, failures, jobs = {}, 0, jobs or os.cpu_count()
    with tqdm(total=len(points), disable=not progress, desc=progress if isinstance(progress, str) else "sweep", unit="run") as bar:
        while len(rows) < len(points):
            todo = [i for i in range(len(points)) if i not in rows]
            try:
                for i, row in zip(todo, _parallel([calls[i] for i in todo], jobs), strict=True):
                    rows[i] = row
                    bar.update()
            except TerminatedWorkerError:  # a worker was killed; what it had finished is in `rows` or in the cache
                failures += 1
                if failures > 2:
                    raise
    return [rows[i] for i in range(len(points))]


def _parallel(calls: list, jobs: int) -> Iterable[dict]:
    """The results of the calls, in order, each as soon as it and those before it are there."""
    if jobs == 1:
        return (f(*args, **kwargs) for f, args, kwargs in calls)
    with parallel_config("loky", inner_max_num_threads=1):
        return Parallel(n_jobs=jobs, return_as="generator")(calls)


def _file(folder: Path, run: Callable, point: dict) -> Path:
    """Where the result of a point is kept: a name made of everything that it depends on."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = getattr(sys.modules.get(run.__module__), "__spec__", None)  # under `python -m` a module is called __main__, and its spec knows better
    home = spec.name if spec else run.__module__
    key = json.dumps([home, run.__qualname__, inspect.getsource(run), __version__, point], sort_keys=True, default=str)
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"


def _row(run: Callable, point: dict, file: Path | None) -> dict:
    """The row of a point: read from `file` if it is there, else computed, and then written in one piece."""
    if file and file.exists():
        return {**point, **json.loads(file.read_text())}
    try:
        result = json.dumps(run(**point), default=float)
    except Exception:
        return {**point, "error": traceback.format_exc(limit=-1).strip().splitlines()[-1]}
    if file:
        draft = file.with_suffix(f".{os.getpid()}")
        draft.write_text(result)
        draft.replace(file)
    return {**point, **json.loads(result)}


def column(rows: list[dict], name: str) -> list:
    """One column of a table."""
    return [row[name] for row in rows]


def best_step(step_sizes: list[float], losses: list[float]) -> tuple[float, float]:
    """log2 of the step size with the least final loss, and that loss, by a parabola through the best point of the grid and its neighbours.

    Neighbours count at most 1 nat above the best, since divergence on one side would skew the vertex.
    Raises ValueError where the grid does not go in factors of 2, and where the best point is on its edge: it must then be made wider.
    """
    order, losses = np.argsort(step_sizes), np.asarray(losses, dtype=float)
    if (losses <= 0).any() or not np.isfinite(losses).any():
        raise ValueError(f"best_step needs positive losses, one of them finite at least, got {losses}")
    x, y = np.log2(np.asarray(step_sizes))[order], np.log(np.where(np.isnan(losses), np.inf, losses))[order]  # NaN is divergence
    if not np.allclose(np.diff(x), 1):
        raise ValueError(f"best_step needs a grid in factors of 2 without gaps, got {np.sort(step_sizes)}")
    i = int(y.argmin())
    if i in (0, len(y) - 1):
        raise ValueError(f"the best step size, {2.0 ** x[i]:g}, is at the edge of the grid {2.0 ** x[0]:g} .. {2.0 ** x[-1]:g}; make it wider")
    left, mid, right = np.minimum(y[i - 1:i + 2], y[i] + 1)
    shift = 0.5 * (left - right) / (left - 2 * mid + right)
    return float(x[i] + shift * (x[i + 1] - x[i])), float(np.exp(mid))
