"""Where the runs of a sweep take place: in this process, in processes of this machine, or on a dask cluster."""
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from math import inf
from queue import SimpleQueue

from .arrays import whole

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1")


class Here:
    """This process, a task at a time."""

    size = 1

    def submit(self, f: Callable, *args) -> Future:
        """What f(*args) has returned."""
        future = Future()
        future.set_result(f(*args))
        return future

    def close(self) -> None:
        """There is nothing to end."""


class Processes:
    """`size` processes, one BLAS thread each. Each is an executor of its own, so that one that is killed takes no other with it."""

    def __init__(self, size: int):
        self.size, self.idle, self.busy = whole("a sweep", "jobs", size), [], {}

    def submit(self, f: Callable, *args) -> Future:
        """The Future of f(*args) in a process that is idle, or new. Its exception says that the process has died."""
        self._land()
        executor = self.idle.pop() if self.idle else _process()
        future = executor.submit(f, *args)
        self.busy[future] = executor
        return future

    def _land(self) -> None:
        """Whose task is done is idle again; who has died is given up."""
        for future in [future for future in self.busy if future.done()]:
            executor = self.busy.pop(future)
            if future.exception() is None:
                self.idle.append(executor)
            else:
                executor.shutdown(kill_workers=True)

    def close(self) -> None:
        """End the processes: at once those that are at work, the others in their own way, so that they give back what they hold."""
        self._land()
        for executor in self.busy.values():
            executor.shutdown(kill_workers=True)
        for executor in self.idle:
            executor.shutdown()


class Cluster:
    """The workers of a dask cluster, which is given all tasks at once, so that it can grow with them. It retries what a dying worker leaves."""

    size = inf

    def __init__(self, client):
        if not hasattr(client, "get_executor"):
            raise TypeError(f"client must be a dask.distributed Client, such as Client('tcp://scheduler:8786'), got {client!r}")
        self.executor = client.get_executor(pure=False)

    def submit(self, f: Callable, *args) -> Future:
        """The Future of f(*args). Its exception says that as many workers have died of it as dask allows."""
        return self.executor.submit(f, *args)

    def close(self) -> None:
        """Take back what has not been computed."""
        self.executor.shutdown(wait=False)


def local(jobs: int | None, tasks: int) -> Here | Processes:
    """What runs `tasks` on this machine: `jobs` processes (all cores unless given), or this one for one job, and in a browser, which has no other."""
    if jobs == 1 or not tasks or sys.platform == "emscripten":
        return Here()
    return Processes(min(jobs or os.cpu_count(), tasks))


def as_finished(pool, tasks: deque, submit: Callable) -> Iterator[tuple]:
    """(task, future) for every task, as they finish; submit(task) starts one. Tasks that are put into the queue in the meantime are run too."""
    flying, landed = {}, SimpleQueue()
    while tasks or flying:
        while tasks and len(flying) < pool.size:
            task = tasks.popleft()
            future = submit(task)
            flying[future] = task
            future.add_done_callback(landed.put)
        future = landed.get()
        yield flying.pop(future), future


def _process() -> Executor:
    """A new process, which ends when this one has."""
    from joblib.externals.loky.process_executor import ProcessPoolExecutor  # not at the top, for in a browser it cannot be imported
    return ProcessPoolExecutor(1, env=ONE_THREAD, initializer=_tie, initargs=(os.getpid(),))


def _tie(parent: int) -> None:
    """Begin a worker that ends when its parent has, however that came about. Ctrl-C reaches both; the parent acts on it."""
    signal.signal(signal.SIGINT, lambda *_: None)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
