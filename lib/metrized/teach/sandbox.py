"""Where a student's code runs: a process with limits, fenced in by as much as the system allows, that is asked with a deadline.

From the strongest to the weakest: a container (docker or podman), bubblewrap (which shows the process a file system with nothing in it but Python and
the course, and no network), unshare (no network), and, where there is none of these, a process with limits and a fence of Python's own.
"""
import os
import queue
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .worker import Channel, pack, unpack

PACKAGE = Path(__file__).resolve().parents[1]
MODULES = ("numpy", "metrized.lesson", "metrized.live", "metrized.figures", "metrized.data", "IPython.core.inputtransformer2")
"""What every homework uses; imported before the fence goes up."""
MIB = 2 ** 20
STAND_IN = '''"""Checks are made by the grader, in another process."""


class Elsewhere:
    def __call__(self, *functions):
        print("graded elsewhere")

    def total(self):
        print("graded elsewhere")

    def variant(self, seed):
        return self


check = Elsewhere()
'''


class Stopped(BaseException):
    """The student's process did not live to answer. `status`: timeout or died."""

    def __init__(self, status: str):
        super().__init__(status)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    seconds: float = 10.0
    """Wall time of one cell, and of one exercise."""
    memory: int = 2048
    """MiB of address space a process."""
    processes: int = 64
    file_size: int = 64
    """MiB of the largest file it may write; of all files together it is four times that, where there is bubblewrap or a container."""


@dataclass(frozen=True)
class Sandbox:
    """A way to start workers. `course`: the folder with what they import; `closed`: folders that they must not read."""

    course: Path = field(repr=False, compare=False)
    limits: Limits
    closed: tuple[Path, ...] = ()
    wall: str = ""
    """bwrap, unshare, docker, podman, or nothing."""
    image: str = ""
    reads: tuple[str, ...] = field(default_factory=lambda: readable(), repr=False)

    def command(self, folder: Path, name: str) -> list[str]:
        """The command that starts a worker in a folder."""
        python = [sys.executable, "-I", "-B", "-X", "utf8", str(self.course / "worker.py")]
        if self.wall in ("docker", "podman"):
            inside = ["python3", *python[1:-1], "/course/worker.py"]
            return [self.wall, "run", "--rm", "--interactive", "--init", "--name", name, "--network", "none", "--read-only", "--cap-drop", "ALL",
                    "--security-opt", "no-new-privileges", "--user", "65534:65534", "--memory", f"{self.limits.memory}m", "--cpus", "1",
                    "--pids-limit", str(self.limits.processes), "--tmpfs", f"/tmp:rw,size={4 * self.limits.file_size}m", "--workdir", "/tmp",
                    "--env", "HOME=/tmp", "--env", "MPLBACKEND=Agg", "--volume", f"{self.course}:/course:ro", self.image, *inside]
        if self.wall == "unshare":
            return ["unshare", *([] if _root() else ["--user", "--map-root-user"]), "--net", "--ipc", "--pid", "--fork", "--kill-child",
                    "sh", "-c", '"$@"; exit $?', "sh", *python]  # the shell is the first process, which no signal from inside could end
        if self.wall != "bwrap":
            return python
        shown = [part for path in self.reads for part in ("--ro-bind-try", path, path)]
        above = {parent: None for path in (*self.reads, self.course, folder) for parent in reversed(Path(path).parents[:-1])}
        passable = [part for path in above for part in ("--perms", "0711", "--dir", str(path))]  # to be passed through, and not to be listed
        hidden = [part for path in self.closed if any(path.is_relative_to(shown) for shown in self.reads) for part in ("--tmpfs", str(path))]
        private = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        room = ["--perms", "0777", "--size", str(4 * self.limits.file_size * MIB), "--tmpfs"]
        fonts = [part for file in sorted((self.course / "fonts").glob("*")) for part in ("--ro-bind", str(file), str(folder / "fonts" / file.name))]
        return ["bwrap", "--die-with-parent", "--new-session", *(private if _root() else ["--unshare-all"]), "--dev", "/dev", *room, "/dev/shm",
                "--proc", "/proc", *room, "/tmp", *passable, *shown, *hidden, "--ro-bind", str(self.course), str(self.course),
                *room, str(folder), "--perms", "0777", "--dir", str(folder / "fonts"), *fonts, "--chdir", str(folder), *python]

    def first(self, folder: Path) -> dict:
        """The first frame: what to import, and the limits and the fence to put up."""
        contained = self.wall in ("docker", "podman")
        limits = {"memory": self.limits.memory, "processes": self.limits.processes, "seconds": round(20 * self.limits.seconds + 60),
                  "file_size": self.limits.file_size, "user": 60000 + secrets.randbelow(4000) if self.wall == "bwrap" and _root() else None}
        fence = {"readable": ["/"] if contained else list(self.reads), "closed": [] if contained else list(map(str, self.closed)),
                 "own": "/tmp" if contained else str(folder)}
        return {"modules": MODULES, "limits": limits, "fence": fence}

    def protections(self) -> list[str]:
        """What stands between a submission and everything else in this run, a line each."""
        limits = self.limits
        words = {"docker": f"a container of {self.image}, without network", "podman": f"a container of {self.image}, without network",
                 "bwrap": "a file system that holds Python and the course alone, no network, and no sight of other processes (bubblewrap)",
                 "unshare": "no network, and no sight of other processes (unshare); files are kept by the fence of Python's own alone",
                 "": "none beyond limits and the fence of Python's own: this is no security boundary"}
        held = self.wall in ("docker", "podman", "bwrap") or not _root()
        return [f"walls: {words[self.wall]}",
                f"limits: {limits.seconds:g} s for a cell and for an exercise, {limits.memory} MiB of memory, files up to {limits.file_size} MiB, "
                f"{limits.processes} processes{'' if held else ' (which the system does not hold against root)'}",
                "answers: compared outside of the student's process, which knows neither solutions nor this run's seed"]


def stage(folder: Path) -> Path:
    """A copy of the course for workers: without checks, without teaching tools."""
    course = folder / "course"
    shutil.copytree(PACKAGE, course / "metrized", ignore=shutil.ignore_patterns("check", "teach", "__pycache__", "*.png"))
    (course / "metrized" / "check").mkdir()
    (course / "metrized" / "check" / "__init__.py").write_text(STAND_IN)
    for homework in sorted((PACKAGE / "check").glob("hw*.py")):
        (course / "metrized" / "check" / homework.name).write_text("from . import check\n")
    shutil.copy(PACKAGE / "teach" / "worker.py", course)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(course)], check=False)
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], check=True, env={**os.environ, "MPLCONFIGDIR": str(course / "fonts")})
    for path in (folder, course, *course.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return course


def best(course: Path, limits: Limits, closed: Sequence[Path], image: str = "") -> Sandbox:
    """The strongest sandbox that works here. Raises ValueError where a container is asked for and cannot be had."""
    make = lambda wall: Sandbox(course, limits, tuple(path.resolve() for path in closed), wall, image)
    walls = ("docker", "podman") if image else ("bwrap", "unshare") if sys.platform == "linux" else ()
    for wall in filter(shutil.which, walls):
        try:
            with Worker(make(wall)):
                return make(wall)
        except OSError:
            continue
    if image:
        raise ValueError(f"neither docker nor podman could start {image}: is one of them installed and running, and does the image hold Python "
                         "with NumPy, Matplotlib, ipywidgets and IPython?")
    return make("")


def readable() -> tuple[str, ...]:
    """The folders that Python and its libraries need: the system's, and those of this interpreter."""
    system = ["/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/fonts"]
    ours = [sys.base_prefix, sys.prefix, *sysconfig.get_paths().values(), os.path.dirname(os.path.realpath(sys.executable))]
    return tuple(dict.fromkeys(system + ours))


def _root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


class Worker:
    """A process with a student's notebook in it. Use it in a `with`: nothing that it started is left over. Raises OSError where it does not start."""

    def __init__(self, sandbox: Sandbox):
        self.sandbox, self.name = sandbox, f"metrized-{secrets.token_hex(8)}"
        self.home = Path(tempfile.mkdtemp(prefix="metrized-", dir=sandbox.course.parent))
        self.folder = self.home / "work"
        shutil.copytree(sandbox.course / "fonts", self.folder / "fonts")
        for path in (self.home, self.folder, self.folder / "fonts") if _root() else ():
            path.chmod(0o777)  # the worker becomes another user
        bare = {name: os.environ[name] for name in ("SYSTEMROOT", "LANG") if name in os.environ}
        environment = {**bare, "PATH": os.defpath, "HOME": str(self.folder), "TMPDIR": str(self.folder), "MPLBACKEND": "Agg",
                       "MPLCONFIGDIR": str(self.folder / "fonts"), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
                       "MALLOC_ARENA_MAX": "2"}  # address space is limited, and each thread would reserve some
        if sandbox.image:
            environment = dict(os.environ)  # for the client; the container gets none of it
        self.process = subprocess.Popen(sandbox.command(self.folder, self.name), cwd=self.folder, env=environment, start_new_session=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.channel = Channel(self.process.stdout, self.process.stdin)
        self.frames: queue.Queue = queue.Queue(4)
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            self._exchange(sandbox.first(self.folder), time.monotonic() + (900 if sandbox.image else 120))  # an image may have to be fetched
        except Stopped:
            self.close()
            raise OSError(f"a process for submissions could not be started; are {sandbox.limits.memory} MiB of memory enough?") from None
        except BaseException:
            self.close()
            raise

    def ask(self, seconds: float, **request) -> dict:
        """One request and its answer. Raises Stopped where none comes in time, or ever."""
        return self._exchange(request, time.monotonic() + seconds)

    def call(self, name: str, args: tuple, deadline: float) -> dict:
        """The student's function on these arguments; functions among them are evaluated here, while the student's waits."""
        functions: list[Callable] = []
        handle = lambda function: functions.append(function) or len(functions) - 1
        frame = self._exchange({"do": "call", "name": name, "args": [pack(arg, handle) for arg in args]}, deadline)
        while "ask" in frame:
            frame = self._exchange(_evaluate(functions, frame), deadline)
        return frame

    def _exchange(self, frame: dict, deadline: float) -> dict:
        try:
            threading.Thread(target=self._send, args=(frame,), daemon=True).start()
            answer = self.frames.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise Stopped("timeout") from None
        if not isinstance(answer, dict):
            raise Stopped("died")
        return answer

    def _send(self, frame: dict) -> None:
        try:
            self.channel.send(frame)
        except (OSError, ValueError):  # the process is gone, as reading will tell, or has been closed
            pass

    def _listen(self) -> None:
        """Frames as they come; None once no more will."""
        try:
            while True:
                self.frames.put(self.channel.receive())
        except (EOFError, OSError, ValueError, RecursionError, MemoryError):
            self.frames.put(None)

    def close(self) -> None:
        """Kill the process and whatever it started, and remove its folder."""
        if self.sandbox.image:
            subprocess.run([self.sandbox.wall, "rm", "--force", self.name], capture_output=True, check=False)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (AttributeError, ProcessLookupError, PermissionError):
            self.process.kill()
        self.process.wait()
        while self.frames.full():  # or the listening thread would wait for ever to be heard
            self.frames.get()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                pipe.close()
            except OSError:
                pass
        try:
            shutil.rmtree(self.home, ignore_errors=True)
        except RecursionError:  # folders in folders, a thousand deep
            subprocess.run(["rm", "-rf", "--", str(self.home)], capture_output=True, check=False)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def _evaluate(functions: list[Callable], frame: dict) -> dict:
    """What a function of the grader's gives for arguments that a student chose."""
    try:
        return {"value": pack(functions[frame["ask"]](*map(unpack, frame["args"])))}
    except Exception as error:
        return {"raised": type(error).__name__, "message": str(error)[:500]}
