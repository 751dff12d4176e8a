"""Where an ensemble stops paying: CPU time of all step sizes as one ensemble over that of the same runs one by one, by width.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.together          takes about three minutes

The thresholds in metrized/examples (width.TOGETHER and its like) stand where the ratio reaches 1.
"""
from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np

from metrized.examples import depth, gpt_sweep, width


def seconds(f: Callable, *args, **kwargs) -> float:
    """CPU time of a call."""
    start = process_time()
    f(*args, **kwargs)
    return process_time() - start


def ratio(experiment, points: list[dict]) -> float:
    """The time of run_many over that of run, on the same points; the median of several where that is quick."""
    alone = lambda: sum(seconds(experiment.run, **point) for point in points)
    rounds = [seconds(experiment.run_many, points) / first for first in [alone()] for _ in range(3 if first < 2 else 1)]
    return median(rounds)


def main() -> None:
    """Print the table."""
    slices = [("width", method, d, width, width.points([method], [d], [0])) for method in ("SGD", "Adam", "dualized") for d in (32, 64, 128, 256)]
    slices += [("depth", method, 64, depth, depth.points([method], ["1/L"], [8], [0])) for method in ("SGD", "Adam", "modular")]
    slices += [("gpt_sweep", o, d, gpt_sweep, gpt_sweep.points([o], [d], [], [0])[:5]) for o in ("adam", "dualized") for d in (16, 32, 64, 128)]
    print(f"{'experiment':12}{'rule':12}{'width':>6}{'K':>4}{'ensemble / one by one':>24}")
    with np.errstate(all="ignore"):  # some of the step sizes are too large on purpose
        for name, method, d, experiment, points in slices:
            print(f"{name:12}{method:12}{d:6}{len(points):4}{ratio(experiment, points):24.2f}", flush=True)


if __name__ == "__main__":
    main()
