"""Rounds: every task that takes part runs once a round, in a shuffled order, and only ratios inside a round count."""
import os
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

from .frameworks import installed
from .pipes import Failed, Process

LONG_ENOUGH = 0.2
"""Seconds of CPU that one measurement takes at least."""


class Entrant(NamedTuple):
    """A task of a framework."""

    framework: str
    task: str


class Mismatch(Failed):
    """Two frameworks do not agree on an answer, so their times mean nothing."""


def core() -> int:
    """The core that all workers share: the last one that we may use."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


def compare(workload: str, entrant: Entrant, ours: list[np.ndarray], theirs: list[np.ndarray], tolerance: float) -> float:
    """The largest relative error of an answer. Raises Mismatch, with the names of all concerned, where it is above the tolerance."""
    who = f"{workload}: {entrant.framework} ({entrant.task})"
    if [a.shape for a in ours] != [b.shape for b in theirs]:
        raise Mismatch(f"{who} answers in shapes {[list(b.shape) for b in theirs]}, and we in {[list(a.shape) for a in ours]}")
    errors = [float(np.linalg.norm(b - a) / (np.linalg.norm(a) or 1)) for a, b in zip(ours, theirs, strict=True)]
    for i, error in enumerate(errors):
        if not error <= tolerance:
            raise Mismatch(f"{who} and we disagree on parameter {i} {list(ours[i].shape)}: relative error {error:.2g}, allowed {tolerance:g}")
    return max(errors)


def repeats(measure: Callable[[int], dict]) -> int:
    """How many repeats take LONG_ENOUGH, by doubling; the first ones also warm up."""
    n = 1
    while (seconds := measure(n)["seconds"]) < LONG_ENOUGH:
        n = max(2 * n, int(1.1 * n * LONG_ENOUGH / max(seconds, 0.1 * LONG_ENOUGH)))
    return n


class Race:
    """One workload: processes are started, tasks made ready and compared, and then measured in rounds. Use it as a context.

    `failures` says why an entrant is out: {entrant: reason}.
    """

    def __init__(self, workload, peers: Iterable[str], start: Callable = Process):
        self.workload, self.start, self.failures, self.first_calls, self.answers = workload, start, {}, {}, {}
        self.ratios = [r for r in workload.ratios if r.peer in ("ours", *peers)]
        self.entrants = list(dict.fromkeys(e for r in self.ratios for e in (Entrant("ours", r.ours), Entrant(r.peer, r.theirs))))
        self.processes: dict[str, Process] = {}

    def __enter__(self):
        self.stack = ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.workload.problem().save(self.folder / "problem.npz")
        return self

    def __exit__(self, *_):
        self.stack.close()

    def out(self, entrant: Entrant, reason: str) -> None:
        """Takes an entrant out of the race."""
        self.failures[entrant] = reason

    def running(self) -> list[Entrant]:
        """The entrants that are still in."""
        return [e for e in self.entrants if e not in self.failures]

    def attempt(self, entrant: Entrant, method: str, **arguments) -> dict | None:
        """The reply of the entrant's worker; None where it failed, and the entrant is out."""
        try:
            return self.processes[entrant.framework].ask(method, **arguments)
        except Failed as failure:
            self.out(entrant, str(failure))

    def prepare(self) -> None:
        """Every entrant makes its task ready; those that are missing, that fail, and that disagree with us are out."""
        for e in self.running():
            if not installed(e.framework):
                self.out(e, "not installed")
            else:
                self._start(e.framework)
                self._prepare(e)
        for r in self.ratios:
            self._compare(r)

    def _start(self, framework: str) -> None:
        if framework not in self.processes:
            self.processes[framework] = self.stack.enter_context(self.start(framework, core(), self.folder / f"{framework}.log"))

    def _prepare(self, e: Entrant) -> None:
        file = self.folder / f"{e.framework}-{e.task}.npz"
        reply = self.attempt(e, "prepare", task=e.task, problem=str(self.folder / "problem.npz"), answers=str(file))
        if reply is None:
            return
        if "lacks" in reply:
            return self.out(e, "lacks")
        with np.load(file) as answers:
            self.answers[e] = [answers[name] for name in answers.files]
        self.first_calls[e] = reply["first_call"]

    def _compare(self, ratio) -> None:
        ours, theirs = Entrant("ours", ratio.ours), Entrant(ratio.peer, ratio.theirs)
        if ratio.same and not {ours, theirs} & self.failures.keys():
            try:
                compare(self.workload.name, theirs, self.answers[ours], self.answers[theirs], self.workload.tolerance)
            except Mismatch as mismatch:
                self.out(theirs, str(mismatch))

    def run(self, rounds: int, seed: int = 0) -> dict[Entrant, list[dict]]:
        """{entrant: [{"seconds", "faults"} a repeat, of each round]} for those that come through."""
        order, times, laps = Random(seed), {}, {}
        for e in self.running():
            try:
                times[e] = repeats(lambda n, e=e: self.processes[e.framework].ask("measure", task=e.task, times=n))
            except Failed as failure:
                self.out(e, str(failure))
        for _ in range(rounds):
            for e in order.sample(self.running(), len(self.running())):
                if reply := self.attempt(e, "measure", task=e.task, times=times[e]):
                    laps.setdefault(e, []).append({name: value / times[e] for name, value in reply.items()})
        return {e: laps[e] for e in self.running()}


def paired(ours: list[float], theirs: list[float]) -> dict:
    """Median, least and greatest of the ratios of two series measured side by side."""
    ratios = np.array(ours) / np.array(theirs)
    return {"median": float(np.median(ratios)), "low": float(ratios.min()), "high": float(ratios.max())}


def rows(race: Race, laps: dict[Entrant, list[dict]]) -> list[dict]:
    """One row for every ratio that was asked for: numbers, or the reason why there are none."""
    return [_row(race, laps, r) for r in race.ratios]


def _row(race: Race, laps: dict[Entrant, list[dict]], ratio) -> dict:
    row = {"workload": race.workload.name, "title": race.workload.title, **ratio._asdict()}
    sides = {"ours": Entrant("ours", ratio.ours), "theirs": Entrant(ratio.peer, ratio.theirs)}
    for side in sides.values():
        if side in race.failures:
            return row | {"failure": race.failures[side]}
    seconds = {name: [lap["seconds"] for lap in laps[e]] for name, e in sides.items()}
    for name, e in sides.items():
        row[f"{name}_seconds"] = float(np.median(seconds[name]))
        row[f"{name}_first_call"] = race.first_calls[e]
        row[f"{name}_faults"] = float(np.median([lap["faults"] for lap in laps[e]]))
    return row | paired(seconds["ours"], seconds["theirs"])
