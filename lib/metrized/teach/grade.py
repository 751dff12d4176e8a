"""Grade a folder of notebooks: each in a process of its own, by the values that its functions return for inputs it has never seen."""
import hashlib
import importlib
import inspect
import itertools
import json
import keyword
import os
import secrets
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ..check import Checker, Exercise, Raised, Report, check
from ..sweeps import sweep
from . import report
from .release import master, release, root
from .results import STATUSES, Mark, Result, in_order
from .sandbox import PACKAGE, Limits, Sandbox, Stopped, Worker, best, stage
from .submissions import Homework, Unreadable, content, defines, extract, files, find, read
from .worker import unpack

PATIENCE = 20
"""How many times the limit of one cell all cells and exercises of a submission may take together; what has begun by then may end."""
MOST = 4096
"""Numbers in an answer. Right ones are far smaller, and laws combine answers with each other, rows with columns too."""
STATUS = {"passed": "ok", "wrong": "wrong", "error": "error", "empty": "missing"}
AGAIN = "Asked the same twice, your function gave a right answer and then {}: it must depend on its arguments alone."
STOPPED = {"timeout": "It did not end within {seconds:g} seconds.",
           "late": "All cells and exercises together did not end within {patience:g} seconds.",
           "died": "Its process ended, by its own doing or at a limit ({memory} MiB of memory, {processes} processes)."}


def grade(student: str, path: Path, homework: Homework, checker: Checker, sandbox: Sandbox, seed: int) -> Result:
    """One submission. Whatever it does ends here: a Result is returned in any case."""
    begin = time.monotonic()
    try:
        sources = read(path)
    except Unreadable as error:
        marks = tuple(Mark(e.name, e.points, "unreadable") for e in checker.exercises.values())
        return Result(student, path.name, marks, unreadable=str(error))
    with Attempt(sandbox, homework, sources) as attempt:
        marks = tuple(attempt.mark(exercise, seed) for exercise in checker.exercises.values())
    return Result(student, path.name, marks, (*homework.notes(sources), *attempt.notes), round(time.monotonic() - begin, 3))


class Attempt:
    """A submission at work. A cell or function that does not come back costs the process; the next one runs the other cells again and goes on."""

    def __init__(self, sandbox: Sandbox, homework: Homework, sources: list[str]):
        self.sandbox, self.homework, self.sources = sandbox, homework, sources
        self.cells = homework.to_run(sources)
        self.stopped: dict[int, str] = {}
        """How cells ended that did not come back."""
        self.raised: dict[int, Raised] = {}
        self.worker: Worker | None = None
        self.begun = time.monotonic()
        self.end = self.begun + PATIENCE * sandbox.limits.seconds

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.worker:
            self.worker.close()

    @property
    def notes(self) -> list[str]:
        return [f"Code cell {i} did not come back and was left out: {self._why(how)}" for i, how in self.stopped.items()]

    def _why(self, stopped: str) -> str:
        return STOPPED[stopped].format(**asdict(self.sandbox.limits), patience=PATIENCE * self.sandbox.limits.seconds)

    def mark(self, exercise: Exercise, seed: int) -> Mark:
        """The mark of one exercise."""
        places = [i for i, source in self.cells.items() if defines(source, exercise.name)]
        status, hint, details = self._judged(exercise, seed, places)
        code = self.cells[places[-1]] if places else ""
        return Mark(exercise.name, exercise.points, status, hint, details, code, round(time.monotonic() - self.begun, 3))

    def _judged(self, exercise: Exercise, seed: int, places: list[int]) -> tuple[str, str, str]:
        """Status, hint and details."""
        try:
            parameters = self._ready(exercise.name)
            if parameters is not None:
                found = self._checked(exercise, parameters, seed)
                return STATUS[found.status], found.hint, found.details
        except Stopped as stop:
            self._drop()
            return stop.status, self._why("late" if stop.status == "timeout" and self._late() else stop.status), ""
        for i in reversed(places):
            if i in self.stopped:
                return self.stopped[i], f"The cell that defines it did not come back. {self._why(self.stopped[i])}", ""
            if i in self.raised:
                raised = self.raised[i]
                return "error", "The cell that defines it raised an error.", f"{raised.lines}\n{raised.kinds[0]}: {raised.message}".strip()
        return "missing", "Its cell was run, and leaves no such function." if places else self.homework.missing(exercise.name, self.sources), ""

    def _ready(self, name: str) -> list[str] | None:
        """A worker that has run the cells; the arguments of a function in it, or None where there is no such function."""
        while not self.worker:
            self._in_time()
            self._start()
        self._in_time()
        self.begun = time.monotonic()
        found = self.worker.ask(self.sandbox.limits.seconds, do="names", names=[name]).get("names")
        if not isinstance(found, dict) or name not in found:
            return None
        words = found[name] if isinstance(found[name], list) else []
        return [word for word in words if isinstance(word, str) and word.isidentifier() and not keyword.iskeyword(word)]

    def _start(self) -> None:
        """Run the cells in a new process; give it up at one that does not come back, which is then left out."""
        self.worker, seconds = Worker(self.sandbox), self.sandbox.limits.seconds
        for source in self.homework.setup:
            if "raised" in (answer := self.worker.ask(60, do="run", cell="given", source=source)):
                raise OSError(f"a given cell does not run here: {_raised(answer)}")
        for i, source in self.cells.items():
            if i in self.stopped:
                continue
            self._in_time()
            try:
                answer = self.worker.ask(seconds, do="run", cell=i, source=source)
            except Stopped as stop:
                self.stopped[i] = stop.status
                return self._drop()
            if "raised" in answer:
                self.raised[i] = _raised(answer)

    def _late(self) -> bool:
        return time.monotonic() > self.end

    def _in_time(self) -> None:
        """Raises Stopped where the time for all of it has run out."""
        if self._late():
            raise Stopped("timeout")

    def _drop(self) -> None:
        if self.worker:
            self.worker.close()
            self.worker = None

    def _checked(self, exercise: Exercise, parameters: list[str], seed: int) -> Report:
        """The check, twice with the same inputs, since an answer must not depend on when it is asked for."""
        student = self._function(exercise.name, parameters, time.monotonic() + self.sandbox.limits.seconds)
        first = check(exercise, student, seed)
        if not first.passed:
            return first
        again = check(exercise, student, seed)
        if again.passed:
            return again
        status, then = ("error", "raised an error") if again.status == "error" else ("wrong", "gave a wrong one")
        return Report(exercise, status, AGAIN.format(then), again.details)

    def _function(self, name: str, parameters: list[str], deadline: float) -> Callable:
        """The student's function, as one that can be called here."""
        def student(*args):
            answer = self.worker.call(name, args, deadline)
            if "raised" in answer:
                raise _raised(answer)
            for i, changed in (answer.get("changed") or {}).items():
                _change(args[int(i)], _unpacked(changed))
            return _unpacked(answer.get("returned"))

        student.__name__ = name
        if len({*parameters}) == len(parameters):
            student.__signature__ = inspect.Signature([inspect.Parameter(word, inspect.Parameter.POSITIONAL_OR_KEYWORD) for word in parameters])
        return student


def _unpacked(packed) -> object:
    """A value from a worker; what is no value becomes an object without one."""
    try:
        value = unpack(packed)
    except Exception:
        return unpack({"other": "broken answer"})
    return value if _entries(value) <= MOST else unpack({"other": "much too large answer"})


def _entries(value) -> int:
    """How many numbers there are in a value."""
    return sum(map(_entries, value)) if isinstance(value, (list, tuple)) else np.size(value)


def _raised(answer: dict) -> Raised:
    raised = answer["raised"]
    kinds = [str(kind) for kind in raised] if raised and isinstance(raised, list) else ["Exception"]
    return Raised(kinds, str(answer.get("message", "")), str(answer.get("where", "")), str(answer.get("lines", "")))


def _change(argument, now) -> None:
    """What a student did to an argument, done to ours."""
    if isinstance(argument, np.ndarray) and np.shape(now) == argument.shape:
        argument[...] = now
    elif isinstance(argument, list) and isinstance(now, list):
        argument[:] = now


# The whole section


def load(name: str, checkout: Path, variant: int | None = None) -> tuple[Homework, Checker]:
    """A homework as released, and its checks. Raises ValueError where there is none of this name."""
    notebook = release(master(checkout, name), name, variant)
    checker = importlib.import_module(f"metrized.check.{name}").check
    cells = tuple("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
    return Homework(cells, tuple(checker.exercises)), checker if variant is None else checker.variant(variant)


def graded(student: str, path: str, sha256: str, homework: str, variant: int | None, seed: int, checkout: str, sandbox: Sandbox) -> dict:
    """One submission as a point of a sweep, which keeps what comes back in a file of its own."""
    cells, checker = load(homework, Path(checkout), variant)
    return asdict(replace(grade(student, Path(path), cells, checker, sandbox, seed), homework=homework, sha256=sha256))


def section(homework: str, submissions: dict[str, Path], out: Path, checkout: Path, sandbox: Sandbox, variant: int | None = None,
            jobs: int | None = None, progress: bool = True) -> list[Result]:
    """Grade all submissions, several at a time. What is finished already, with the same inputs and limits, is not done again."""
    seed = _seed(out, homework, variant)
    for file in (out / "results").glob("*.json"):
        try:
            Result.load(file)
        except (ValueError, KeyError, TypeError):  # half written, or edited by hand: it is graded again
            file.unlink()
    points = [{"student": student, "path": str(path), "sha256": _sha256(path), "homework": homework, "variant": variant, "seed": seed,
               "checkout": str(checkout), "sandbox": sandbox} for student, path in submissions.items()]
    rows = sweep(graded, points, cache=out / "results", jobs=jobs, progress="grading" if progress else False)
    return in_order(Result.from_row(row) if "error" not in row else
                    Result(row["student"], Path(row["path"]).name, unreadable=f"the grader itself failed: {row['error']}") for row in rows)


def _seed(out: Path, homework: str, variant: int | None) -> int:
    """This run's secret, made once and kept for its continuation. Raises ValueError where `out` belongs to another homework."""
    out.mkdir(parents=True, exist_ok=True)
    file, this = out / "run.json", {"homework": homework, "variant": variant}
    try:
        kept = json.loads(file.read_text()) if file.exists() else None
    except ValueError:  # cut off when it was written, before anything was graded
        file.unlink()
        kept = None
    if kept:
        if {name: kept[name] for name in this} != this:
            raise ValueError(f"{out} holds the grades of {kept['homework']}{_of(kept['variant'])}; give another --out, or --fresh to begin anew")
        return kept["seed"]
    seed = secrets.randbits(63)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        json.dump({**this, "seed": seed}, opened)
    return seed


def _of(variant: int | None) -> str:
    return "" if variant is None else f", variant {variant}"


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(content(path)).hexdigest()
    except Unreadable:
        return ""


def unpacked(archive: Path, folder: Path) -> Path:
    """The folder with what is in the archive. What was mended there stays until the archive is another one; then it is kept beside."""
    mark, sha256 = folder / ".archive", hashlib.sha256(archive.read_bytes()).hexdigest()
    if mark.is_file() and mark.read_text() == sha256:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:  # half an archive is none
        fresh = extract(archive, Path(temporary) / "all")
        (fresh / mark.name).write_text(sha256)
        if folder.exists():
            kept = next(place for i in itertools.count(1) if not (place := folder.with_name(f"{folder.name}-{i}")).exists())
            folder.rename(kept)
            typer.echo(f"another archive than before: what that one held, with what you have mended in it, is in {kept}")
        fresh.rename(folder)
    return folder


def command(homework: Annotated[str, typer.Argument(metavar="HWN", help="hw1, hw2, ...")],
            submissions: Annotated[Path, typer.Argument(help="a folder of notebooks with any names, in folders or not; or a zip archive of one")],
            jobs: Annotated[int | None, typer.Option(min=1, help="submissions graded at the same time; all cores unless given")] = None,
            timeout: Annotated[float, typer.Option(min=0.1, help="seconds for each cell, and for each exercise")] = Limits.seconds,
            memory: Annotated[int, typer.Option(min=512, help="MiB of memory a process")] = Limits.memory,
            processes: Annotated[int, typer.Option(min=1, help="processes and threads a submission")] = Limits.processes,
            out: Annotated[Path | None, typer.Option(help="where grades go; SUBMISSIONS-graded unless given")] = None,
            variant: Annotated[int | None, typer.Option(help="the seed with which the homework was released")] = None,
            container: Annotated[str, typer.Option(metavar="IMAGE", help="run submissions in containers of this image, by docker or podman")] = "",
            gradescope: Annotated[bool, typer.Option("--gradescope", help="write Gradescope's results.json for each student, too")] = False,
            fresh: Annotated[bool, typer.Option("--fresh", help="forget what was graded before, and draw new inputs")] = False) -> None:
    """Grade the submissions of a homework.

    Each submission runs in a process of its own, in a temporary folder, with limits. Its functions are called with inputs that are drawn
    for this run, and what they RETURN is compared here, outside of that process: nothing that a submission prints, patches or exits changes a score.

    Statuses: **ok** right; **wrong** another answer; **missing** not written, deleted or renamed; **error** the code raised; **timeout** it did
    not end; **died** its process ended or outgrew a limit; **unreadable** the file is no notebook. One bad exercise costs its own points alone.

    Out come `grades.csv`, a page for each student in `feedback/`, and `report.html` for you. A run that was interrupted goes on where it stopped
    when the same command is given again; a notebook that has changed since is graded again.

    What protects you is printed at the start. On Linux install **bubblewrap**, which gives each submission a file system without your files and no
    network. `--container` is the strongest wall. Without either there are limits and a fence within Python, which stops accidents and idle
    cheating and is no security boundary: do not grade strangers so.
    """
    checkout = root(Path.cwd())
    checker = load(homework, checkout, variant)[1]
    if not submissions.exists():
        raise ValueError(f"{submissions} does not exist; give the folder with the submissions")
    place = submissions.resolve()
    out = (out or place.with_name(f"{place.stem if place.is_file() else place.name}-graded")).resolve()
    if fresh:
        for part in (out / "results", out / "feedback", out / "gradescope", out / "run.json"):
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="metrized-") as temporary:
        folder = unpacked(place, out / "submissions") if place.is_file() else place
        found = find(folder)
        if not found:
            raise ValueError(f"there is no .ipynb file in {submissions}")
        if others := [report.plain(path.relative_to(folder).as_posix()) for path in files(folder) if path not in found.values()]:
            typer.echo(f"not notebooks, and not graded: {', '.join(others[:5])}{f' and {len(others) - 5} more' if len(others) > 5 else ''}")
        closed = [PACKAGE / "check", PACKAGE / "teach", checkout / "solutions", folder, out]
        sandbox = best(stage(Path(temporary)), Limits(timeout, memory, processes), closed, container)
        for line in sandbox.protections():
            typer.echo(line)
        try:
            results = section(homework, found, out, checkout, sandbox, variant, jobs)
        except KeyboardInterrupt:
            typer.echo("\ninterrupted; what is graded is kept, and the same command goes on from there", err=True)
            raise typer.Exit(130) from None
    published = read(checkout / "solutions" / f"{homework}.ipynb")
    solution = {name: source for name in checker.exercises for source in published if defines(source, name)}
    report.write(results, out, sandbox.protections(), gradescope, solution)
    counts = Counter(result.status for result in results)
    typer.echo(", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]))
    typer.echo(f"{out}: grades.csv, report.html, feedback/")
