"""The other end of a worker's pipe."""
import json
import os
import subprocess
import sys
from pathlib import Path

from .frameworks import FRAMEWORKS

ONE_THREAD = {
    **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")},
    "NPROC": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "JAX_PLATFORMS": "cpu", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
"""Compilers also begin anew in every run: their cache is in the folder of the log."""


class Failed(RuntimeError):
    """A worker could not do what it was asked to, or died; the message says what it said last."""


class Process:
    """A worker of a framework on a core. Use it as a context: it ends with it."""

    def __init__(self, framework: str, core: int, log: Path):
        self.framework, self.log = framework, log
        environment = os.environ | ONE_THREAD | {"TORCHINDUCTOR_CACHE_DIR": str(log.parent)} | dict(FRAMEWORKS[framework].environment)
        with log.open("w") as errors:
            self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.worker", framework, str(core)], stdin=subprocess.PIPE, text=True,
                                            stdout=subprocess.PIPE, stderr=errors, env=environment, cwd=Path(__file__).parents[1])

    def ask(self, method: str, **arguments) -> dict:
        """The reply of the worker. Raises Failed."""
        try:
            print(json.dumps([method, arguments]), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(f"its process died with code {self.process.wait()}{self._last_words()}")
        reply = json.loads(line)
        if "error" in reply:
            raise Failed(reply["error"])
        return reply

    def _last_words(self) -> str:
        said = self.log.read_text(errors="replace").strip().splitlines()
        return f": {said[-1]}" if said else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
