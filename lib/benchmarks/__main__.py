"""python -m benchmarks [WORKLOAD ...]: run in the folder lib."""
import argparse
import json
from pathlib import Path

from .frameworks import FRAMEWORKS
from .measure import Race, rows
from .workloads import WORKLOADS

PEERS = [name for name in FRAMEWORKS if name != "ours"]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("python -m benchmarks", description="CPU time of this library over that of its peers, in one interleaved run.")
    p.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"all of them unless given: {', '.join(WORKLOADS)}")
    p.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    p.add_argument("--rounds", type=int, default=8)
    p.add_argument("--json", type=Path, metavar="FILE")
    return p


def main(arguments: list[str] | None = None) -> None:
    a = parser().parse_args(arguments)
    results = []
    for name in a.workloads or WORKLOADS:
        with Race(WORKLOADS[name], a.peers) as race:
            race.prepare()
            new = rows(race, race.run(a.rounds))
        results += new
        for r in new:
            print(text(r), flush=True)
    if a.json:
        a.json.write_text(json.dumps(results, indent=1))


def text(row: dict) -> str:
    """A row on one line."""
    who = f"{row['workload']:10} {row['ours']:14} / {row['peer']:9} {row['theirs']:20}"
    if "failure" in row:
        return f"{who} {row['failure']}"
    return (f"{who} {row['median']:.2f} ({row['low']:.2f} to {row['high']:.2f})  target {row['target']}  {1e3 * row['ours_seconds']:.3f} ms / "
            f"{1e3 * row['theirs_seconds']:.3f} ms, faults {row['ours_faults']:.1f}, first call {row['theirs_first_call']:.1f} s")


if __name__ == "__main__":
    main()
