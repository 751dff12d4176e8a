"""What stands between a student's code and the rest: values that cross, walls that hold, limits that bind."""
import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metrized.check import Exercise, check
from metrized.teach import sandbox as sandboxes
from metrized.teach.sandbox import PACKAGE, Limits, Sandbox, Stopped, Worker, best, stage
from metrized.teach.worker import Notebook, Once, limit, pack, unpack

ROOT = Path(__file__).parents[2]
EXERCISES = [(hw, e) for hw in ("hw1", "hw2", "hw3", "hw4", "hw5", "hw6")
             for e in importlib.import_module(f"metrized.check.{hw}").check.exercises.values()]


def same(a, b) -> bool:
    """Equality of values with their types, where NaN equals NaN."""
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return np.asarray(a).dtype == np.asarray(b).dtype and np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind in "fc")


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", "f4", "f8", "c8", "c16", ">f8", "<i2"])
def test_arrays_cross_bit_by_bit(dtype, rng):
    for shape in ((), (0,), (3,), (2, 0), (3, 1, 4)):
        x = (1e4 * rng.standard_normal(shape)).astype(dtype)
        y = unpack(json.loads(json.dumps(pack(x))))
        assert y.dtype == x.dtype and y.shape == x.shape and y.tobytes() == x.tobytes()
    assert unpack(pack(np.asfortranarray(rng.standard_normal((3, 4))).T)).shape == (4, 3)


def test_plain_values_cross():
    for x in (None, True, 7, -2 ** 70, 0.1, float("inf"), [1, (2.5, [None, np.float32(3)])], (), ..., [float("nan")]):
        y = unpack(json.loads(json.dumps(pack(x))))
        assert type(y) is type(x) or isinstance(x, np.generic)
        assert x is ... and y is ... or x is None and y is None or same(x, y) or "nan" in str(x) and "nan" in str(y)


class Equal:
    """Equal to everything, and a liar."""

    __class__ = np.ndarray

    def __eq__(self, other):
        return True

    def __array__(self, *_, **__):
        raise RuntimeError


def loop():
    """A list that holds itself."""
    x = []
    x.append(x)
    return x


@pytest.mark.parametrize("x", ["text", {1: 2}, object(), Equal, lambda: 0, 10 ** 400, np.array(["a"]), np.array([None]), (i for i in "ab"), b"123"])
def test_what_is_no_number_crosses_as_a_name(x):
    assert type(unpack(json.loads(json.dumps(pack(x))))) not in (str, dict, int, float, np.ndarray, bytes)


def test_lists_without_an_end_are_cut_off():
    text = json.dumps(pack(loop()))
    assert "deeply nested" in text and len(text) < 2000


FORGED = ({}, {"plain": "text"}, {"plain": [1]}, {"array": ["O", [1], "AAAA"]}, {"array": ["f8", [10 ** 9], ""]}, {"call": 0}, {"once": []},
          {"pickle": "gASV"}, {"plain": 1, "list": []}, {"array": ["f8", [1], "?"]}, {"list": [{"plain": "x"}]})


@pytest.mark.parametrize("frame", FORGED, ids=str)
def test_forged_values_are_refused(frame):
    with pytest.raises((ValueError, TypeError)):
        unpack(frame)


def remote(f, scope=None):
    """A student's function as the grader has it, without a process in between: every argument and answer crosses as text."""
    notebook = Notebook.__new__(Notebook)
    notebook.scope = {"f": f}

    def call(*args):
        functions = []
        packed = [pack(arg, lambda g: functions.append(g) or len(functions) - 1) for arg in args]
        notebook._remote = lambda handle: lambda *given: unpack(json.loads(json.dumps(pack(functions[handle](*map(unpack, map(pack, given)))))))
        return unpack(json.loads(json.dumps(notebook.call("f", json.loads(json.dumps(packed)))))["returned"])
    return call


@pytest.mark.parametrize("hw, exercise", EXERCISES, ids=lambda x: x.name if isinstance(x, Exercise) else x)
def test_a_check_finds_the_same_from_outside(hw, exercise):
    """Right answers and every misconception get the report that they get in the student's own notebook."""
    for f in (exercise.reference, *(m.wrong for m in exercise.misconceptions)):
        near, far = (check(exercise, student, 3) for student in (lambda *args, f=f: f(*args), remote(f)))
        assert (near.status, near.hint) == (far.status, far.hint)


def test_things_to_go_through_once():
    """What is laid aside has been overwritten when the next is there, on the other side too."""
    parts = [(np.ones(2),), (np.full(3, 2.0),)]
    there = unpack(pack(Once(list(parts)), lambda f: 0), lambda handle: None)
    kept = [array for array, in there]
    assert np.isnan(kept[0]).all() and kept[1].shape == (3,) and list(there) == []


# Processes


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return stage(tmp_path_factory.mktemp("course"))


WALLS = [pytest.param(wall, marks=[] if not wall or shutil.which(wall) else pytest.mark.skip(f"{wall} is not installed"))
         for wall in ("", "unshare", "bwrap")]


@pytest.fixture(params=WALLS)
def room(request, course):
    """A sandbox of each kind that there is here."""
    found = Sandbox(course, Limits(seconds=5, memory=1024), (PACKAGE / "check", PACKAGE / "teach", ROOT / "solutions"), request.param)
    try:
        Worker(found).close()
    except OSError:
        pytest.skip(f"{request.param} does not work on this system")
    return found


def run(worker, source, name="answer"):
    """Run a cell that defines a function without arguments, and call it."""
    assert worker.ask(20, do="run", cell=1, source=source) == {}
    frame = worker.call(name, (), time.monotonic() + 20)
    return frame if "raised" in frame else unpack(frame["returned"])


@pytest.mark.slow
def test_nothing_of_the_graders_is_readable(room, tmp_path, monkeypatch):
    """Not solutions, checks, this test's folder, its environment, or other processes; by Python's own means."""
    monkeypatch.setenv("METRIZED_SECRET", "swordfish")
    (tmp_path / "answers").write_text("42")
    paths = [ROOT / "solutions" / "hw4.ipynb", PACKAGE / "check" / "hw4.py", PACKAGE / "teach" / "grade.py", tmp_path / "answers",
             f"/proc/{os.getpid()}/environ", "/etc/passwd", Path.home()]
    source = f"""
import os, sys
def answer():
    found = 0
    for path in {list(map(str, paths))!r}:
        for look in (lambda p: open(p).read(), lambda p: os.listdir(p), lambda p: os.read(os.open(p, os.O_RDONLY), 9)):
            try:
                look(path)
                found += 1
            except OSError:
                pass
    return found + sum("swordfish" in value for value in os.environ.values())
def imported():
    import metrized.check, metrized.check.hw4, importlib
    try:
        importlib.import_module("metrized.teach")
        return 1
    except ModuleNotFoundError:
        return sum(hasattr(metrized.check.hw4, name) for name in ("linf_step", "Exercise")) + hasattr(metrized.check, "Exercise")
"""
    with Worker(room) as worker:
        assert run(worker, source) == 0 and run(worker, source, "imported") == 0


ATTEMPTS = ("os.system('true')", "subprocess.run(['true'])", "os.fork()", "multiprocessing.Process(target=print).start()", "ctypes.CDLL(None)",
            "os.posix_spawn('/bin/true', ['true'], {})", "open('/tmp/metrized-was-here', 'w')", "os.rename('fonts', '/tmp/metrized-was-here')",
            "os.killpg(os.getpgrp(), 9)", "os.kill(os.getppid(), 9)", "os.remove(metrized.__file__)", "os.listdir('/')", "os.symlink('/etc', 'here')",
            "os.symlink('fonts', '/tmp/metrized-was-here')", "open('led').read()", "socket.create_connection(('127.0.0.1', 9))")


def test_the_fence(room):
    """Python's own ways out are closed, and say so; each is tried, and every one that is not refused is named."""
    source = f"""
import os, subprocess, multiprocessing, ctypes, socket, metrized
def attempt(i):
    try:
        exec({ATTEMPTS!r}[int(i)])
    except PermissionError:
        return 0
    except OSError:
        return 2
    return 1
"""
    with Worker(room) as worker:
        (worker.folder / "led").symlink_to("/etc/hostname")
        assert worker.ask(20, do="run", cell=1, source=source) == {}
        answers = [worker.call("attempt", (i,), time.monotonic() + 20)["returned"] for i in range(len(ATTEMPTS))]
    through = [attempt for attempt, answer in zip(ATTEMPTS, answers, strict=True) if unpack(answer)]
    assert through == (["open('led').read()"] if room.wall == "bwrap" else []), "bubblewrap's folder is not the system's: there is no such link"
    assert not Path("/tmp/metrized-was-here").exists()


@pytest.mark.slow
def test_no_network(room):
    with socket.create_server(("127.0.0.1", 0)) as server, Worker(room) as worker:
        server.settimeout(0.3)
        frame = run(worker, f"import socket\ndef answer():\n    socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)")
        assert "OSError" in frame["raised"]
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.slow
def test_memory_and_files_have_limits(room):
    with Worker(room) as worker:
        assert "MemoryError" in run(worker, "import numpy as np\ndef answer():\n    return np.ones(2 * 10 ** 9).sum()")["raised"]
        assert "OSError" in run(worker, "def answer():\n    open('big', 'wb').write(bytes(80 * 2 ** 20))")["raised"]
        assert run(worker, "def answer():\n    open('small', 'wb').write(bytes(2 ** 20))\n    return 1") == 1


@pytest.mark.slow
def test_what_does_not_answer_is_stopped_and_nothing_is_left(room):
    for body, status in (("while True: pass", "timeout"), ("os._exit(0)", "died"), ("os.abort()", "died"), ("os.kill(os.getpid(), 9)", "died")):
        with Worker(room) as worker, pytest.raises(Stopped) as stop:
            worker.ask(20, do="run", cell=1, source=f"import os\ndef answer():\n    {body}")
            worker.call("answer", (), time.monotonic() + 1)
        assert stop.value.status == status and worker.process.poll() is not None and not worker.home.exists()
        assert not [p for p in Path("/proc").glob("[0-9]*/environ") if _mentions(p, str(worker.home))]


def _mentions(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on processes is tested as another user, as root on Linux")
def test_the_process_limit_holds_a_fork_bomb():
    """The limit itself, without the fence before it: 400 forks are tried, and a dozen succeed."""
    if os.geteuid():
        pytest.skip("needs root, to be another user with no processes of its own")
    source = f"""
import os, sys, time
sys.path.insert(0, {str(PACKAGE / "teach")!r})
from worker import limit
limit(memory=2048, processes=12, seconds=20, file_size=1, user={60000 + os.getpid() % 4000})
forked = 0
for _ in range(400):
    try:
        if os.fork() == 0:
            time.sleep(3)
            os._exit(0)
        forked += 1
    except BlockingIOError:
        pass
print(forked)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stderr == "" and 5 <= int(done.stdout) <= 12
    assert limit.__doc__


@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not installed")
def test_bubblewrap_shows_python_and_the_course_alone(course, tmp_path):
    """Seen by a process without any fence: no solutions, no checks, no home, no network, no other process."""
    closed = (PACKAGE / "check", PACKAGE / "teach", ROOT / "solutions", tmp_path)
    room = Sandbox(course, Limits(), closed, "bwrap", reads=(*sandboxes.readable(), str(ROOT)))
    (folder := tmp_path / "work").mkdir()
    readme = str(ROOT / "README.md")
    look = f"""
import os
print([os.listdir(path) if os.path.isdir(path) else [] for path in {list(map(str, closed[:3]))!r}])
print([name for name in os.listdir("/sys/class/net") if name != "lo"] if os.path.exists("/sys/class/net") else [])
print(len([p for p in os.listdir("/proc") if p.isdigit()]) <= 2, *map(os.path.exists, [{readme!r}, "/etc/passwd"]), os.listdir({str(tmp_path)!r}))
try:
    open({readme!r}, "a")
except OSError as error:
    print(error.strerror)
"""
    done = subprocess.run([*room.command(folder, "x")[:-1], "-c", look], capture_output=True, text=True)
    if "bwrap:" in done.stderr:
        pytest.skip("bubblewrap does not work on this system")
    seen, network, rest, write = done.stdout.splitlines()
    assert not any(map(any, eval(seen))) and network == "[]" and rest == "True True False ['work']" and write == "Read-only file system"


def test_a_container_gets_every_wall(course, tmp_path, monkeypatch):
    """What docker is asked for; and that an image which cannot be had is one clear error. (The test has no docker, and plays it.)"""
    log = tmp_path / "log"
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {log}\n[ "$1" = run ] && exec {sys.executable} -I {course}/worker.py\nexit 0\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    room = best(course, Limits(memory=1000, processes=9), [], "image:1")
    assert room.wall == "docker" and "container of image:1, without network" in room.protections()[0]
    with Worker(replace(room)) as worker:
        assert run(worker, "def answer():\n    return 7") == 7
    lines = log.read_text().splitlines()
    for wanted in ("--network none", "--read-only", "--cap-drop ALL", "--memory 1000m", "--pids-limit 9", "no-new-privileges", "--user 65534:65534"):
        assert wanted in lines[0]
    assert lines[-1].startswith("rm --force metrized-") and str(ROOT) not in lines[0]
    docker.write_text("#!/bin/sh\nexit 125\n")
    with pytest.raises(ValueError, match="neither docker nor podman could start image:1"):
        best(course, Limits(), [], "image:1")
