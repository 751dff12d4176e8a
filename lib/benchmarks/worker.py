"""A process for one framework, pinned to one core, which answers requests line by line: python -m benchmarks.worker FRAMEWORK CORE.

It is given its environment (one thread everywhere) by the process that starts it, before anything is imported.
"""
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TextIO

import numpy as np

from .frameworks import FRAMEWORKS
from .problem import Job, Lacks, load

try:
    from resource import RUSAGE_SELF, getrusage
except ImportError:  # Windows counts no faults
    getrusage = None


def faults() -> int:
    """How many pages of memory the kernel has handed out to this process, without reading a disk."""
    return getrusage(RUSAGE_SELF).ru_minflt if getrusage else 0


class Worker:
    """The requests that a worker knows, one method each; every answer is a dict of plain values."""

    def __init__(self, framework: str):
        self.framework, self.jobs = framework, {}

    def prepare(self, task: str, problem: str, answers: str) -> dict:
        """Makes a task ready and writes its answers to a file; "lacks" where the framework does not have it. Wall time of the first call."""
        tasks, given = import_module(f".{FRAMEWORKS[self.framework].file}", __package__).TASKS, load(Path(problem))
        start = time.perf_counter()
        try:
            if task not in tasks:
                raise Lacks(task)
            self.jobs[task] = job = tasks[task](given)
        except Lacks:
            return {"lacks": True}
        np.savez(answers, *job.answers)
        return {"first_call": time.perf_counter() - start}

    def measure(self, task: str, times: int) -> dict:
        """CPU seconds of the whole process, and page faults, of `times` repeats."""
        job: Job = self.jobs[task]
        before, start = faults(), time.process_time()
        job.repeat(times)
        return {"seconds": time.process_time() - start, "faults": faults() - before}


def serve(worker: Worker, requests: TextIO, replies: TextIO) -> None:
    """Answers ["method", {arguments}] until there are no more; what goes wrong is answered as {"error": its last line}."""
    for line in requests:
        method, arguments = json.loads(line)
        try:
            reply = getattr(worker, method)(**arguments)
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}".strip().splitlines()[0]}
        print(json.dumps(reply), file=replies, flush=True)


def main(framework: str, core: str) -> None:
    """Pins this process and serves; whatever a library prints goes to the errors, not among the replies."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(Worker(framework), sys.stdin, replies)


if __name__ == "__main__":
    main(*sys.argv[1:])
