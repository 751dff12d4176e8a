"""The grader against a section's worst (corpus.py): each submission gets what is its due, and none harms another, or whoever grades."""
import csv
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest

import corpus
import metrized
from corpus import ENTRIES, POINTS, ROOT, WRONG
from metrized.check.hw4 import check
from metrized.teach.results import Result

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
MISCONCEPTIONS = [f"{name}, misconception {i}" for name in POINTS for i in range(len(WRONG[name])) if (name, i) != ("spectral", 1)]
"""These are in a section of two hundred, all but the one in the quick lane."""
LIMITS = ("--jobs", "2", "--timeout", "3", "--memory", "1024", "--processes", "64")
PEAK = 0.75
"""GiB that no process of the grader's own may exceed."""


@dataclass
class Run:
    """A folder of submissions, graded by the command."""

    folder: Path
    files: dict[str, str]
    """The entries of the corpus by file."""
    out: Path
    code: int = 0
    told: str = ""
    seconds: float = 0.0
    peak: float = 0.0
    """GiB of the largest process that is no submission's."""
    left: list[str] = field(default_factory=list)
    """Processes and temporary files that are still there."""
    visited: bool = False
    """Whether somebody connected to the grader's machine."""

    @property
    def results(self) -> list[Result]:
        return [Result.load(path) for path in self.out.glob("results/*.json")]

    def found(self, file: str) -> list[Result]:
        """The results of a file, by what is in it, or by its name where nothing can be."""
        path = self.folder / file
        digest = sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK) else None
        return [result for result in self.results if (result.sha256 == digest if digest else result.file == path.name)]

    def result(self, file: str) -> Result:
        found = self.found(file)
        assert len(found) == 1, f"{len(found)} results for {file}"
        return found[0]


def started(run: Run, *options: str, temporary: Path, **environment: str) -> subprocess.Popen:
    """The command, at work in a session of its own."""
    command = [sys.executable, "-m", "metrized.teach", "grade", "hw4", str(run.folder), "--out", str(run.out), *LIMITS, *options]
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(temporary), corpus.SECRET: "sesame", "OPENBLAS_NUM_THREADS": "1", **environment}
    with open(temporary.with_name("told"), "w") as told:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=told, stderr=subprocess.STDOUT, start_new_session=True)


def ended(run: Run, process: subprocess.Popen, temporary: Path) -> Run:
    """The run when the command has come to its end, and what is left of it ten seconds later."""
    begin, run.peak = time.monotonic(), 0.0
    while process.poll() is None:
        run.peak = max(run.peak, largest(str(temporary)))
        time.sleep(0.2)
        if time.monotonic() - begin > 1500:
            process.kill()
    run.code, run.seconds = process.wait(), time.monotonic() - begin
    run.told = temporary.with_name("told").read_text(errors="replace")
    while (left := [*processes(str(temporary)).values(), *map(str, temporary.iterdir())]) and time.monotonic() - begin < run.seconds + 10:
        time.sleep(0.2)
    run.left = left
    return run


def graded(files: dict[str, str], folder: Path, *options: str, port: int = 0, **environment: str) -> Run:
    """The entries of the corpus under these names, handed in and graded."""
    temporary, run = folder / "temporary", Run(folder / "handed in", files, folder / "out")
    corpus.write(files, run.folder, {"checkout": ROOT, "installed": Path(metrized.__file__).parent, "submissions": run.folder, "out": run.out,
                                     "temporary": temporary, "port": port})
    return ended(run, started(run, *options, temporary=temporary, **environment), temporary)


def processes(marker: str) -> dict[int, str]:
    """Command lines, by number, of the processes that belong to a run, or were left behind by a submission."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line, environment = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:
            continue
        if marker.encode() in line + environment or f"sleep\0{corpus.LEFT_OVER}".encode() in line:
            found[int(process.name)] = line.replace(bytes(1), b" ").decode(errors="replace")
    return found


def largest(marker: str) -> float:
    """GiB that the largest of the grader's own processes has ever held."""
    sizes = [0.0]
    for number, line in processes(marker).items():
        if "worker.py" in line:
            continue
        try:
            sizes += [int(line.split()[1]) / 2 ** 20 for line in Path(f"/proc/{number}/status").read_text().splitlines() if line.startswith("VmHWM")]
        except OSError:  # it has ended
            continue
    return max(sizes)


def has_wall() -> bool:
    """Whether bubblewrap works here."""
    trial = ["bwrap", "--ro-bind", "/", "/", "--unshare-pid", "--unshare-net", "true"]
    return bool(shutil.which("bwrap")) and subprocess.run(trial, capture_output=True).returncode == 0


def file(name: str) -> str:
    return ENTRIES[name].file or f"{name.replace('/', ' ')}.ipynb"


def entries(choose: Callable[[corpus.Entry], bool] = lambda entry: True) -> list:
    return [pytest.param(name, id=name, marks=() if entry.quick else pytest.mark.slow) for name, entry in ENTRIES.items() if choose(entry)]


@pytest.fixture(scope="module")
def section(request, tmp_path_factory) -> Run:
    """All submissions that the chosen tests ask for, graded in one go, beside listeners that hear whoever connects."""
    names = {item.callspec.params["name"] for item in request.session.items if "name" in getattr(getattr(item, "callspec", None), "params", {})}
    names = names & ENTRIES.keys() or {name for name, entry in ENTRIES.items() if entry.quick}
    with socket.create_server(("127.0.0.1", 0)) as connections, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        port = connections.getsockname()[1]
        datagrams.bind(("127.0.0.1", port))
        run = graded({file(name): name for name in ENTRIES if name in names}, tmp_path_factory.mktemp("section"), port=port)
        run.visited = bool(select.select([connections, datagrams], [], [], 0)[0])
    if table := os.environ.get("METRIZED_CORPUS_TABLE"):
        Path(table).write_text(corpus.table({name: run.found(file) for file, name in run.files.items() if ENTRIES[name].graded}), encoding="utf-8")
    return run


# Each submission


@pytest.mark.parametrize("name", [param for param in entries(lambda entry: entry.graded) if param.id not in MISCONCEPTIONS])
def test_a_submission(name, section):
    entry = ENTRIES[name]
    if entry.walled and not has_wall():
        pytest.skip("no bubblewrap here")
    failures = corpus.failures(entry, section.result(file(name)))
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("name", entries(lambda entry: not entry.graded))
def test_no_submission(name, section):
    here = section.folder / file(name)
    assert not {result.file for result in section.results} & {here.name, *(path.name for path in here.glob("*.ipynb"))}


def test_every_misconception_has_a_submission():
    for name, exercise in check.exercises.items():
        hints = [misconception.hint for misconception in exercise.misconceptions]
        assert hints == [ENTRIES[f"{name}, misconception {i}"].says[0] for i in range(len(WRONG[name]))]


def test_points_are_exact(section):
    """The sum of what is right, and nothing for anything else."""
    for result in section.results:
        assert result.unreadable or result.of == sum(POINTS.values()) == 110
        assert result.points == sum(POINTS[mark.exercise] for mark in result.marks if mark.status == "ok")


# The whole run


def test_nothing_is_left_running_or_lying_about(section):
    assert not section.left


def test_nothing_is_written_elsewhere(section):
    places = (ROOT, ROOT / "solutions", section.folder, section.out, section.out / "results", Path(metrized.__file__).parent, Path("/"), Path("/tmp"),
              Path("/usr"), Path("/dev/shm"), Path("/root"), Path("/home"))
    strays = [stray for place in places if os.access(place, os.R_OK) for stray in place.glob(f"{corpus.STRAY}*")]
    for stray in strays:
        stray.unlink() if stray.is_symlink() or stray.is_file() else stray.rmdir()
    assert not strays


def test_nobody_hears_from_a_submission(section):
    assert not section.visited


def test_the_run_ends_well(section):
    """Whatever was handed in, there are grades for all of it, and no traceback."""
    files = {file for file, name in section.files.items() if ENTRIES[name].graded}
    assert section.code == 0 and "Traceback" not in section.told, section.told[-3000:]
    assert len(section.results) == len(files)
    with open(section.out / "grades.csv", encoding="utf-8", newline="") as opened:
        assert len([*csv.reader(opened)]) == len(files) + 1
    assert (section.out / "report.html").is_file() and len([*(section.out / "feedback").glob("*")]) >= len(files)


def test_no_answer_makes_the_grader_grow(section):
    assert section.peak < PEAK, f"{section.peak:.2f} GiB"


def test_what_is_kept_is_small_and_harmless(section):
    """Nothing grows with a message of 50 MB, and no page runs a student's markup."""
    for result, path in ((Result.load(path), path) for path in section.out.glob("results/*.json")):
        assert path.stat().st_size - sum(len(json.dumps(mark.code)) for mark in result.marks) < 2 ** 20, result.student
    for path in (*section.out.glob("feedback/*"), section.out / "report.html"):
        assert path.stat().st_size < (1 if path.name != "report.html" else 20) * 2 ** 20, path
        assert b"<script>alert(1)" not in path.read_bytes(), path


# Names


@pytest.mark.slow
def test_names(tmp_path):
    """Files of any name are their students'; nobody is lost, and everybody gets a page."""
    files = {f"{name}.ipynb": "right" if name in corpus.FOLDERS else "cells of nothing"
             for name in (*corpus.NAMES, *corpus.AMBIGUOUS, *corpus.FOLDERS)}
    run = graded(files, tmp_path)
    assert run.code == 0 and "Traceback" not in run.told, run.told[-3000:]
    students = {file: run.result(file).student for file in files}
    assert len({*students.values()}) == len(files) == len(run.results)
    assert all(students[f"{name}.ipynb"] == name.encode(errors="replace").decode() for name in corpus.NAMES)
    assert [students[f"{name}.ipynb"] for name in corpus.FOLDERS] == [name.partition("/")[0] for name in corpus.FOLDERS]
    assert all(run.result(f"{name}.ipynb").points == 110 for name in corpus.FOLDERS)
    with open(run.out / "grades.csv", encoding="utf-8", errors="surrogateescape", newline="") as opened:
        assert len([*csv.reader(opened)]) == len(files) + 1
    pages = [path for path in (run.out / "feedback").rglob("*") if path.is_file()]
    assert len({os.path.realpath(page).casefold() for page in pages}) >= len(files)
    assert all(page.resolve().is_relative_to(run.out) for page in pages)


# The batch

FEW = ("right", "loops and lists", "linf_step, misconception 4", "a loop", "os._exit", "untouched", "a syntax error", "renamed", "recursion")


def gist(run: Run) -> dict:
    """What does not depend on the inputs that were drawn."""
    return {result.file: (result.notes, [(mark.exercise, mark.status, mark.points, mark.hint) for mark in result.marks]) for result in run.results}


def kept(run: Run) -> dict[Path, int]:
    """When the results were written."""
    return {path: path.stat().st_mtime_ns for path in run.out.glob("results/*.json")}


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Run:
    """A small section, graded without interruption."""
    run = graded({file(name): name for name in FEW}, tmp_path_factory.mktemp("few"))
    assert run.code == 0 and len(run.results) == len(FEW), run.told[-3000:]
    return run


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_an_interrupted_run_goes_on(how, few, tmp_path):
    """What is finished is not graded again, the rest is, and the outcome is that of a run without interruption."""
    run, temporary = Run(few.folder, few.files, tmp_path / "out"), tmp_path / "temporary"
    process = started(run, temporary=temporary)
    while len(before := kept(run)) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT) if how == "SIGINT" else os.kill(process.pid, signal.SIGKILL)
    ended(run, process, temporary)
    if how == "SIGKILL":  # the grader's other processes and its folder of the course may outlive it, and no submission may
        assert not [line for line in run.left if "worker.py" in line or corpus.LEFT_OVER in line]
        with suppress(ProcessLookupError):  # they end by themselves when they notice
            os.killpg(process.pid, signal.SIGKILL)
    else:
        assert not processes(str(temporary))
    before = kept(run)
    assert run.code != 0 and "Traceback" not in run.told and 3 <= len(before) < len(FEW), run.told[-3000:]
    again = ended(run, started(run, temporary=tmp_path / "later"), tmp_path / "later")
    assert again.code == 0 and not again.left and len(kept(run)) == len(FEW)
    assert {path: kept(run)[path] for path in before} == before
    assert gist(run) == gist(few)


@pytest.mark.slow
def test_what_was_damaged_is_graded_again(few, tmp_path):
    """A result that is cut off or no result, and no other."""
    before, meant = kept(few), gist(few)
    damaged = dict(zip(sorted(before), (b"", b"{", b"{}", b"[]", b"\xff", b"null", b'{"marks": [{}]}'), strict=False))
    for path, content in damaged.items():
        path.write_bytes(content)
    again = ended(few, started(few, temporary=tmp_path / "temporary"), tmp_path / "temporary")
    assert again.code == 0 and {path for path in before if kept(few)[path] == before[path]} == before.keys() - damaged.keys()
    assert gist(few) == meant


@pytest.mark.slow
def test_every_run_draws_its_own_inputs(few, tmp_path):
    """As the instance shows that a wrong answer is told; a run that goes on keeps its own."""
    shown = [next(result for result in few.results if result.file.startswith("linf_step")).marks[0].details]
    for options in ((), (), ("--fresh",)):
        run = graded({file("linf_step, misconception 4"): "linf_step, misconception 4"}, tmp_path, *options)
        shown.append(run.results[0].marks[0].details)
    assert all("for g = [" in details for details in shown)
    assert shown[1] == shown[2] and len({*shown}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("wall", ["unshare", "none"])
def test_without_walls(wall, tmp_path):
    """Where the system offers none, everybody still gets what is their due, unless they climb over the fence."""
    (tmp_path / "bin").mkdir()
    if wall != "none":
        if not shutil.which(wall):
            pytest.skip(f"no {wall} here")
        (tmp_path / "bin" / wall).symlink_to(shutil.which(wall))
    names = ("right", "linf_step, misconception 4", "untouched", "a loop", "os._exit", "a fork bomb", "subprocesses", "10 GB", "a message of 50 MB",
             "reads files", "reads the environment", "connects", "writes outside", "hunts in memory", "threads left over", "a kill of its parent")
    run = graded({file(name): name for name in names}, tmp_path, PATH=str(tmp_path / "bin"))
    assert run.code == 0, run.told[-3000:]
    failures = {name: corpus.failures(ENTRIES[name], run.result(file(name))) for name in names}
    assert not any(failures.values()) and not run.left, failures


@pytest.mark.slow
def test_a_section_of_two_hundred(tmp_path, capsys):
    """Mostly right and wrong, with each misconception of the homework among them, some bad: all statuses right, and all hints."""
    bad = [name for group in (corpus.MISSING, corpus.ERRORS, corpus.THEFTS, corpus.FILES, corpus.ENDS) for name in [*group][:9]
           if ENTRIES[name].graded and not ENTRIES[name].walled and not callable(ENTRIES[name].content)]
    names = [*MISCONCEPTIONS, *bad[:38], *([*corpus.STYLES] * 3)][:200]
    run = graded({f"{i:03} {file(name)}": name for i, name in enumerate(names)}, tmp_path)
    failures = {file: words for file, name in run.files.items() if (words := corpus.failures(ENTRIES[name], run.result(file)))}
    with capsys.disabled():
        print(f"\n{len(names)} submissions in {run.seconds:.0f} s: {60 * len(names) / run.seconds:.0f} a minute")
    assert len(names) == 200 and run.code == 0 and not failures and not run.left, json.dumps(failures, indent=1)
