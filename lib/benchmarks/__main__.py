"""python -m benchmarks [WORKLOAD ...]: run in the folder lib."""
import argparse
import json
import sys
from pathlib import Path

from . import report
from .frameworks import FRAMEWORKS
from .machine import describe
from .measure import Race, rows
from .workloads import WORKLOADS

HERE = Path(__file__).parent
PEERS = [name for name in FRAMEWORKS if name != "ours"]
RESULTS, PICTURE, README = HERE / "results.json", HERE / "results.png", HERE.parents[1] / "README.md"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser("python -m benchmarks", description="CPU time of this library over that of its peers, in one interleaved run.")
    p.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"all of them unless given: {', '.join(WORKLOADS)}")
    p.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS, help="all of them unless given")
    p.add_argument("--rounds", type=int, default=8)
    p.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to a file")
    p.add_argument("--figure", type=Path, metavar="FILE", help="draw the ratios of steps and sweeps")
    p.add_argument("--write", action="store_true", help=f"write {RESULTS.name}, {PICTURE.name} and the tables of the README; what is not measured "
                   "now keeps its old numbers")
    p.add_argument("--from", type=Path, metavar="FILE", dest="old", help="measure nothing: take the numbers of a file")
    return p


def measured(workloads: list[str], peers: list[str], rounds: int) -> dict:
    """Races the workloads one after the other, and tells each ratio when it is there."""
    results = {"machine": describe(), "rounds": rounds, "rows": []}
    for name in workloads:
        with Race(WORKLOADS[name], peers) as race:
            race.prepare()
            new = rows(race, race.run(rounds))
        results["rows"] += new
        for row in new:
            print(line(row), flush=True)
    return results


def line(row: dict) -> str:
    """A row for the eye."""
    who = f"{row['workload']:14} {row['ours']:25} / {report.column(row):34}"
    if "failure" in row:
        return f"{who} {row['failure']}"
    return (f"{who} {report.cell(row).strip('*'):42} {report.milliseconds(row['ours_seconds'])} / {report.milliseconds(row['theirs_seconds'])}, "
            f"page faults {row['ours_faults']:.1f} / {row['theirs_faults']:.1f}, first call {row['theirs_first_call']:.1f} s")


def save(results: dict, file: Path) -> None:
    file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """1 where a peer failed or disagreed, else 0."""
    a = parser().parse_args(arguments)
    if unknown := [name for name in a.workloads if name not in WORKLOADS]:
        parser().error(f"no workload is called {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    results = json.loads(a.old.read_text(encoding="utf-8")) if a.old else measured(a.workloads or list(WORKLOADS), a.peers, a.rounds)
    if a.json:
        save(results, a.json)
    if a.figure:
        report.picture(results["rows"]).savefig(a.figure, dpi=150)
    if a.write:
        if a.workloads and RESULTS.exists():
            results = report.merged(json.loads(RESULTS.read_text(encoding="utf-8")), results)
        results["rows"].sort(key=lambda row: list(WORKLOADS).index(row["workload"]))
        report.write(results, README, PICTURE, lambda results: save(results, RESULTS))
    return 1 if report.reasons(results["rows"]) else 0


if __name__ == "__main__":
    sys.exit(main())
