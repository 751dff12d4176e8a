"""Sweeps: the same run at every point of a grid, in parallel, each result cached on disk the moment it is there."""
import json
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from .cache import LIBRARY, Cache, tagged
from .workers import Cluster, as_finished, local

Task = tuple[int, ...]
"""The numbers of the points that are run together: one point, or those of an ensemble."""
VERSIONS = {"library": LIBRARY, "NumPy": np.__version__}
"""What a worker must share with this process."""


def grid(**axes: Iterable) -> list[dict]:
    """Every combination of the axes' values: grid(width=(32, 64), seed=range(3)) is six points."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


@dataclass(frozen=True)
class Together:
    """How small networks become one ensemble.

    `run_many(points)` returns a list of what run returns, for points that agree in all but the axes `over`. `narrow(point)` says for which points
    that pays; all others are run one by one.
    """

    run_many: Callable[[list[dict]], list[dict]]
    over: tuple[str, ...]
    narrow: Callable[[dict], bool]


class NotKept(OSError):
    """A result could not be written to the cache. `rows` holds all that had been computed, and what the cache had before."""

    rows: list[dict] = []


class OtherLibrary(RuntimeError):
    """A worker has another library than the process that gives it work."""


def sweep(run: Callable[..., dict], points: list[dict], *, cache: str | Path | None = None, jobs: int | None = None, progress: bool | str = True,
          together: Together | None = None, client=None, cost: Callable[[dict], float] = lambda point: 1.0) -> list[dict]:
    """run(**point) for every point; a tidy table, one row {**point, **result} a point, in the order of the points.

    `run` is a function at the top of a module that returns a dict of numbers. With `cache` (a folder) every result is written at once, under
    all that it depends on (see Cache): a sweep that was killed computes only what is missing. A point that fails becomes a row with its last line in
    "error", and so does one whose process dies, and dies again when it is alone; such rows are not cached.

    `jobs`: so many processes (all cores unless given), one BLAS thread each; or the workers of the dask cluster whose `client` is given. In a browser
    there is one process, which does it all.
    `together`: which points run as one ensemble. `cost(point)`, in any unit, puts long runs first and tells the time left. `progress`: a bar, or
    what to call the runs on it. Raises NotKept (an OSError) where a result cannot be written; KeyboardInterrupt says how much is done.
    """
    if client is not None and jobs is not None:
        raise ValueError("jobs counts processes of this machine and client is a cluster with workers of its own; give one of the two")
    table = _Table(run, points, cache, together)
    tasks = _tasks(table.missing(), points, together, cost)
    pool = local(jobs, len(tasks)) if client is None else Cluster(client)
    queue = _Queue(pool, tasks, run, points, together)
    try:
        with _bar(progress, points, tasks, cost) as bar:
            for task, results in queue.finished():
                if not table.take(task, results):
                    queue.stop()
                bar.set_postfix_str(table.counts(), refresh=False)
                bar.update(sum(cost(points[i]) for i in task))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(table.counts() + table.fate()) from None
    finally:
        pool.close()
    return table.rows()


def _tasks(missing: list[int], points: list[dict], together: Together | None, cost: Callable) -> list[Task]:
    """The points as tasks: ensembles where `together` says so, single points else; what costs most comes first."""
    groups = {}
    for i in missing:
        alike = {name: value for name, value in points[i].items() if name not in together.over} if together and together.narrow(points[i]) else None
        groups.setdefault(i if alike is None else json.dumps(tagged(alike, "the point")), []).append(i)
    return sorted(map(tuple, groups.values()), key=lambda task: -sum(cost(points[i]) for i in task))


def _bar(progress: bool | str, points: list[dict], tasks: list[Task], cost: Callable) -> tqdm:
    """A bar as long as all costs, which begins where the cache ends."""
    total, left = sum(map(cost, points)), sum(cost(points[i]) for task in tasks for i in task)
    return tqdm(total=total, initial=total - left, disable=not progress, desc=progress if isinstance(progress, str) else "sweep", smoothing=0,
                bar_format="{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]")


class _Queue:
    """The tasks of a sweep on their way through a pool of workers."""

    def __init__(self, pool, tasks: list[Task], run: Callable, points: list[dict], together: Together | None):
        self.pool, self.tasks, self.lost = pool, deque(tasks), deque()
        self.run, self.points, self.together = run, points, together

    def finished(self) -> Iterator[tuple[Task, list[str]]]:
        """(task, a result for each of its points, as JSON), as they finish.

        Where an ensemble fails its points are run one by one. A task whose process died is put off to the end, and its points are then run one
        at a time, with nothing beside them: who dies there is guilty.
        """
        for task, future in as_finished(self.pool, self.tasks, self.submit):
            outcome = _outcome(future)
            if isinstance(outcome, list):
                yield task, outcome
            elif isinstance(outcome, Exception):
                self.lost.extend((i,) for i in task)
            elif len(task) > 1:
                warnings.warn(f"run_many failed on {len(task)} points, which are now run one by one: {outcome}", stacklevel=3)
                self.tasks.extendleft((i,) for i in reversed(task))
            else:
                yield task, [json.dumps({"error": outcome})]
        yield from self.alone()

    def alone(self) -> Iterator[tuple[Task, list[str]]]:
        """The same for points whose process died: one at a time."""
        while self.lost:
            for task, future in as_finished(self.pool, deque([self.lost.popleft()]), self.submit):
                outcome = _outcome(future)
                error = f"its process died, and again when it ran alone: {outcome}" if isinstance(outcome, Exception) else outcome
                yield task, outcome if isinstance(outcome, list) else [json.dumps({"error": error})]

    def submit(self, task: Task) -> Future:
        """Begin a task."""
        return self.pool.submit(_work, self.run, self.together.run_many if len(task) > 1 else None, [self.points[i] for i in task], VERSIONS)

    def stop(self) -> None:
        """Begin no more tasks."""
        self.tasks.clear()
        self.lost.clear()


def _work(run: Callable, run_many: Callable | None, points: list[dict], versions: dict) -> list[str] | str:
    """In a worker: a result for each point, as JSON, or the last line of the error."""
    if differ := [name for name in versions if versions[name] != VERSIONS[name]]:
        raise OtherLibrary(f"a worker has another {' and another '.join(differ)} than this process; install the same on all machines, and start "
                           "workers, or the kernel of a notebook, again after an edit")
    try:
        results = run_many(points) if run_many else [run(**points[0])]
        if len(results) != len(points):
            raise ValueError(f"run_many returned {len(results)} results for {len(points)} points")
        return list(map(_as_json, results))
    except Exception:
        return traceback.format_exc(limit=-1).strip().splitlines()[-1]


def _as_json(result: dict) -> str:
    if not isinstance(result, dict):
        raise TypeError(f"a run must return a dict of numbers, got {type(result).__name__}")
    return json.dumps(result, default=float)


def _outcome(future: Future) -> list[str] | str | Exception:
    """What a worker has returned; or, if it died, the exception that says so."""
    try:
        return future.result()
    except OtherLibrary:
        raise
    except Exception as error:
        return error


class _Table:
    """The results of a sweep, by the numbers of the points, and the caches where they are kept: one for single runs, one for ensembles."""

    def __init__(self, run: Callable, points: list[dict], folder: str | Path | None, together: Together | None):
        self.points, self.narrow, self.trouble = points, together.narrow if together else lambda point: False, None
        self.caches = None if folder is None else (Cache(folder, run), Cache(folder, run, together.run_many) if together else None)
        found = {i: self.cache(point).find(point) for i, point in enumerate(points)} if self.caches else {}
        self.results = {i: result for i, result in found.items() if result is not None}

    def cache(self, point: dict) -> Cache:
        """Where the result of a point is kept: that of an ensemble differs in rounding, so it depends on run_many as well."""
        return self.caches[bool(self.narrow(point))]

    def missing(self) -> list[int]:
        """The points without a result. Raises OSError where there are some, and the cache could not take their results."""
        missing = [i for i in range(len(self.points)) if i not in self.results]
        if missing and self.caches:
            self.caches[0].open()
        return missing

    def take(self, task: Task, results: list[str]) -> bool:
        """Put results into the table and the cache; False where the cache does not take them."""
        for i, text in zip(task, results, strict=True):
            self.results[i] = json.loads(text)
            if self.caches and "error" not in self.results[i]:
                try:
                    self.cache(self.points[i]).keep(self.points[i], text)
                except OSError as error:
                    self.trouble = error
        return self.trouble is None

    def counts(self) -> str:
        """How many runs are done, and how many of these failed."""
        failed = sum("error" in result for result in self.results.values())
        return f"{len(self.results)}/{len(self.points)} runs" + (f", {failed} failed" if failed else "")

    def fate(self) -> str:
        """What becomes of them when the sweep is stopped."""
        if self.caches is None:
            return " were done, and are lost without a cache; with cache=FOLDER a sweep can be stopped"
        return f" are done and kept in {self.caches[0].folder}; the same call goes on from there"

    def rows(self) -> list[dict]:
        """The table. Raises NotKept, with its rows as far as there are any, where the cache did not take a result."""
        rows = [{**point, **self.results[i]} for i, point in enumerate(self.points) if i in self.results]
        if self.trouble:
            error = NotKept(self.trouble.errno, f"the cache {self.caches[0].folder} took no more results ({self.trouble.strerror}), so the sweep has "
                            f"stopped; {self.counts()} are in the rows of this error, and the same call goes on when there is room")
            error.rows = rows
            raise error
        return rows


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
