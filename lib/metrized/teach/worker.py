"""The other side of the wall: a process that holds a student's code, runs its cells and calls its functions when the grader asks.

It knows neither seeds nor answers. Frames (four bytes of length, then JSON) come by standard input and go by standard output; arguments that
are functions stay with the grader, and calling one asks it. Only values leave, as plain numbers. It imports nothing of the package, so that it
runs in a container as well: beside it lies a copy of the course without checks, and the first frame says the rest.
"""
import ast
import asyncio
import base64
import inspect
import json
import linecache
import os
import sys
import threading
import traceback
import types

import numpy as np

LARGEST = 2 ** 20
"""Bytes of a frame from a student; a larger answer is no answer."""


def pack(x, handle=None, depth=0):
    """Any value as JSON: numbers, arrays, lists and tuples by what they hold, everything else by the name of its type."""
    kind = type(x)
    if x is Ellipsis:
        return {"dots": None}
    if x is None or kind in (bool, int, float):
        return {"plain": x} if kind is not int or abs(x) < 2 ** 1000 else {"other": "int of too many digits"}
    if depth > 8:
        return {"other": "deeply nested " + kind.__name__}
    if isinstance(x, (list, tuple)):  # named tuples, too, as np.linalg makes them
        return {"tuple" if isinstance(x, tuple) else "list": [pack(part, handle, depth + 1) for part in x]}
    if isinstance(x, np.ndarray) or isinstance(x, np.generic):
        a = np.asarray(x)
        if a.nbytes > LARGEST // 2:
            return {"other": f"array of {a.nbytes} bytes"}
        if a.dtype.kind in "biufc":
            return {"array": [a.dtype.str, list(a.shape), base64.b64encode(np.ascontiguousarray(a).tobytes()).decode()]}
    elif handle and callable(x):
        return {"call": handle(x)}
    elif handle and hasattr(x, "__iter__"):
        return {"once": [pack(part, handle, depth + 1) for part in x]}
    elif hasattr(x, "__array__"):
        return pack(np.array(x), None, depth + 1)
    return {"other": kind.__name__}


def _packed(x):
    """pack for what a student made, which may raise at every touch."""
    try:
        return pack(x)
    except Exception:
        return {"other": "object that is no number"}


def unpack(packed, call=None):
    """What pack made. Raises ValueError for anything that pack does not make: frames come from students."""
    (kind, x), = packed.items()
    if kind == "dots":
        return Ellipsis
    if kind == "plain" and (x is None or type(x) in (bool, int, float)):
        return x
    if kind == "array":
        dtype = np.dtype(x[0])
        if dtype.kind not in "biufc" or dtype.hasobject:
            raise ValueError(f"no numbers: {dtype}")
        return np.frombuffer(base64.b64decode(x[2], validate=True), dtype).reshape([int(n) for n in x[1]]).copy()
    if kind in ("list", "tuple"):
        return {"list": list, "tuple": tuple}[kind](unpack(part, call) for part in x)
    if kind == "call" and call:
        return call(x)
    if kind == "once" and call:
        return Once([unpack(part, call) for part in x])
    if kind == "other":
        return type(str(x)[:80], (), {"__repr__": lambda self: f"a {type(self).__name__}"})()
    raise ValueError(f"no value: {kind}")


class Once:
    """Things that can be gone through once: arrays in one of them are overwritten when the next is asked for."""

    def __init__(self, parts):
        self.parts = parts

    def __iter__(self):
        while self.parts:
            part, *self.parts = self.parts
            yield part
            for array in part:
                array[...] = np.nan


class Channel:
    """Frames over two pipes."""

    def __init__(self, reads, writes, largest=LARGEST):
        self.reads, self.writes, self.largest = reads, writes, largest

    def receive(self):
        """The next frame. Raises EOFError where the other side is gone, ValueError for a frame that is too long or no JSON."""
        size = int.from_bytes(self._exactly(4), "big")
        if size > self.largest:
            raise ValueError(f"a frame of {size} bytes")
        return json.loads(self._exactly(size))

    def send(self, frame):
        data = json.dumps(frame).encode()
        self.writes.write(len(data).to_bytes(4, "big") + data)
        self.writes.flush()

    def _exactly(self, size):
        data = self.reads.read(size)
        if len(data) < size:
            raise EOFError
        return data


class Notebook:
    """A student's notebook at work: a namespace, and what the grader may ask of it."""

    def __init__(self, channel):
        self.channel, self.lock = channel, threading.RLock()
        self.main = types.ModuleType("__main__")
        sys.modules["__main__"] = self.main
        self.scope = self.main.__dict__
        self.scope.update(get_ipython=lambda: self, display=lambda *things, **how: None)
        self.loop = asyncio.new_event_loop()  # for cells that await; it needs a socket, so it is made before the fence
        try:
            import IPython

            IPython.get_ipython = self.scope["get_ipython"]
        except ImportError:
            pass

    def run(self, cell, source):
        """Execute one cell."""
        from IPython.core.inputtransformer2 import TransformerManager

        self._execute(f"<cell {cell}>", TransformerManager().transform_cell(source))
        return {}

    def _execute(self, name, source):
        linecache.cache[name] = len(source), None, source.splitlines(True), name
        code = compile(source, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        waiting = eval(code, self.scope)
        if code.co_flags & inspect.CO_COROUTINE:
            self.loop.run_until_complete(waiting)

    def names(self, names):
        """Which of these names are functions now, and what their arguments are called."""
        return {"names": {name: _parameters(self.scope[name]) for name in names if callable(self.scope.get(name))}}

    def call(self, name, args):
        """Call a function of the student's; what it returned, and which arguments it changed."""
        given = [unpack(arg, self._remote) for arg in args]
        returned = _packed(self.scope[name](*given))
        changed = {i: now for i, (x, before) in enumerate(zip(given, args, strict=True))
                   if not {"call", "once"} & {*before} and (now := _packed(x)) != before}
        answer = {"returned": returned, "changed": changed}
        return answer if len(json.dumps(answer)) < LARGEST else {"returned": {"other": "too large answer"}, "changed": {}}

    def _remote(self, handle):
        """A function that stays with the grader."""
        def function(*args):
            with self.lock:
                self.channel.send({"ask": handle, "args": [pack(arg) for arg in args]})
                answer = self.channel.receive()
            if "raised" in answer:
                raise {"LinAlgError": np.linalg.LinAlgError, "TypeError": TypeError}.get(answer["raised"], ValueError)(answer["message"])
            return unpack(answer["value"])
        return function

    # What cells ask of IPython. Lines that begin with % or ! do nothing here; cells that a magic only measures are run.

    def run_line_magic(self, *line, **how):
        return None

    system = getoutput = run_line_magic

    def run_cell_magic(self, magic, line, body):
        if magic in ("time", "timeit", "capture", "prun"):
            self._execute(f"<cell under %%{magic}>", body)


def _parameters(function):
    try:
        return list(inspect.signature(function).parameters)
    except Exception:
        return None


def _raised(error):
    """An exception as JSON: the names of its class and their bases, its message, where it came from, and the student's part of the traceback."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    try:
        message = str(error)[:2000]
    except Exception:
        message = ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    if isinstance(error, SyntaxError):
        message = "".join(traceback.format_exception_only(type(error), error)).strip()[:2000]
    shown = frames if len(frames) <= 12 else frames[:6] + frames[-6:]
    where = frames[-1].name if frames else ""
    return {"raised": kinds, "message": message, "where": where, "lines": "".join(traceback.format_list(shown)).rstrip()[:6000]}


def limit(memory, processes, seconds, file_size, user=None):
    """Limits that hold for this process and all that it starts: MiB, numbers, seconds of CPU, MiB; and another user, where it may choose one."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    mib = 2 ** 20
    for name, value in {"AS": memory * mib, "NPROC": processes, "CPU": seconds, "FSIZE": file_size * mib, "CORE": 0, "NOFILE": 256}.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        except (ValueError, OSError):  # a lower limit is set already, or the system knows none
            pass
    if user:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: when the grader dies, so does this


REFUSED = ("socket.", "subprocess.", "ctypes.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "os.killpg", "pty.",
           "urllib.", "sqlite3.")
WRITES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown", "os.utime")


def fence(readable, closed, own):
    """From here on Python's own calls open no file outside of these folders, start no process and reach no network.

    readable: folders; closed: folders in them that are not to be read; own: the folder to write in. A fence keeps honest code honest and lazy
    cheating out. It is no wall: who defeats it meets the sandbox, and in no case the answers.
    """
    real, separator, me, flags = os.path.realpath, os.sep, os.getpid(), os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    course = real(os.path.dirname(__file__))
    readable = [*map(real, readable), course, real(own)]
    closed, own = [*map(real, closed)], real(own)

    def under(path, folders):
        return any(path == folder or path.startswith(folder.rstrip(separator) + separator) for folder in folders)

    def hook(event, args):
        if event.startswith(REFUSED) or event == "os.kill" and args[0] != me:
            raise PermissionError(f"{event} is not possible while homework is graded")
        if event in ("open", "os.listdir", "os.scandir") and not isinstance(args[0], int):
            path = real(os.fsdecode(args[0])) if args[0] is not None else own
            writing = event == "open" and (args[2] or 0) & flags
            if path in ("/dev/null", "/dev/urandom"):
                return
            if not under(path, [own] if writing else readable) or under(path, closed) and not under(path, [course, own]):
                raise PermissionError(f"{path} is out of bounds while homework is graded")
        elif event in WRITES and not all(under(real(os.fsdecode(path)), [own]) for path in args[:2] if isinstance(path, (str, bytes))):
            raise PermissionError(f"{event} is not possible there while homework is graded")

    sys.addaudithook(hook)


def main():
    channel = Channel(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"), largest=2 ** 31)  # the grader is trusted, and cells may be long
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    first = channel.receive()
    for module in first["modules"]:  # now, while every file can still be read
        __import__(module)
    notebook = Notebook(channel)
    limit(**first["limits"])
    fence(**first["fence"])
    channel.send({})
    while True:
        try:
            request = channel.receive()
        except EOFError:
            os._exit(0)
        try:
            answer = getattr(notebook, request.pop("do"))(**request)
        except BaseException as error:  # SystemExit and KeyboardInterrupt are a student's, too
            answer = _raised(error)
        channel.send(answer)


if __name__ == "__main__":
    main()
