"""Tables and a picture of measured ratios. They are made of the rows of a results file and of nothing else."""
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from metrized.figures import BLUE, GREEN, GREY, ORANGE, PINK, SKY

from .frameworks import FRAMEWORKS

BEGIN, END = "<!-- benchmarks: written by python -m benchmarks --write -->", "<!-- end of benchmarks -->"
GROUPS = {"Steps": "tiny|mlp|dualized|gpt|conv", "Sweeps": "sweep-.*", "Products": "products-.*|hessian-.*", "Orthogonal factors": "polar-.*"}
"""Heading of a table: the workloads in it."""


def group(rows: list[dict], heading: str) -> list[dict]:
    """The rows of one table."""
    return [row for row in rows if re.fullmatch(GROUPS[heading], row["workload"])]


def column(row: dict) -> str:
    """What we are compared with: the framework, and its task where that has another name than ours."""
    title = FRAMEWORKS[row["peer"]].title
    return title if row["ours"] == row["theirs"] else f"{title}, {row['theirs'].removeprefix(row['ours'] + ', ')}"


def number(x: float) -> str:
    """Two digits that count, without an exponent."""
    return f"{x:.0f}" if x >= 10 else f"{x:.1f}" if x >= 1.95 else f"{x:.2f}"


def cell(row: dict | None) -> str:
    """Median (least to greatest), and the target with its fate; a dash where the peer has no such task, else why there is no number."""
    if row is None or row.get("failure") == "lacks":
        return "–"
    if "failure" in row:
        return "missing" if row["failure"] == "not installed" else "failed"
    ratio = f"{number(row['median'])} ({number(row['low'])} to {number(row['high'])})"
    return ratio if row["target"] is None else f"**{ratio}, {'reached' if reached(row) else 'missed'} {row['target']:g}**"


def reached(row: dict) -> bool:
    """Whether the median is at most the target."""
    return row["median"] <= row["target"]


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"


def table(rows: list[dict]) -> str:
    """One line a workload and task of ours, one column a peer."""
    columns = list(dict.fromkeys(map(column, rows)))
    lines = ["| " + " | ".join(("", "our time", *columns)) + " |", "|---" * (len(columns) + 2) + "|"]
    for title, task in dict.fromkeys((row["title"], row["ours"]) for row in rows):
        here = [row for row in rows if (row["title"], row["ours"]) == (title, task)]
        time = next((milliseconds(row["ours_seconds"]) for row in here if "ours_seconds" in row), "–")
        cells = [cell(next((row for row in here if column(row) == name), None)) for name in columns]
        name = title if task in ("step", "dualized step", "sweep") else f"{title}: {task}"
        lines.append("| " + " | ".join((name, time, *cells)) + " |")
    return "\n".join(lines)


def folded(heading: str, table: str) -> str:
    """A table under its heading; one that is longer than a screen opens on a click."""
    if table.count("\n") < 15:
        return f"{heading}:\n\n{table}"
    return f"<details><summary>{heading} (opens)</summary>\n\n{table}\n\n</details>"


def machine(about: dict) -> str:
    """One sentence of what it was measured on."""
    titles = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "mygrad": "MyGrad"}
    versions = ", ".join(f"{titles.get(package, package)} {version}" for package, version in about["versions"].items() if version)
    return f"{about['processor']}, one of {about['cores']} cores; {about['system']}; Python {about['python']}; {versions}; {about['blas']} for NumPy"


def first_calls(rows: list[dict]) -> str:
    """A sentence about the compilers, whose time is not in the ratios."""
    longest = {}
    for row in rows:
        if row["peer"] in ("compiled", "jax") and "theirs_first_call" in row:
            longest.setdefault(FRAMEWORKS[row["peer"]].title, []).append(row["theirs_first_call"])
    spans = [f"{name} took {number(min(times))} to {number(max(times))} s" for name, times in longest.items()]
    return f"The first call, which compiles, is not counted: {', '.join(spans)}." if spans else ""


def faults(rows: list[dict]) -> str:
    """A sentence about fresh pages of memory in our process."""
    most = max((row for row in rows if "ours_faults" in row), key=lambda row: row["ours_faults"], default=None)
    return f"Our process took at most {number(most['ours_faults'])} page faults a repeat ({most['workload']})." if most else ""


def reasons(rows: list[dict]) -> list[str]:
    """Why some numbers are not there, a line each."""
    failed = [row for row in rows if row.get("failure", "lacks") not in ("lacks", "not installed")]
    return list(dict.fromkeys(f"- {row['workload']}, {column(row)}: {row['failure']}" for row in failed))


def section(results: dict) -> str:
    """What the README says between its two markers."""
    rows = results["rows"]
    parts = ["CPU time of this library divided by a peer's: below 1 we are faster. "
             f"Medians of {results['rounds']} interleaved rounds, with the least and the greatest ratio; a number in bold has a target. "
             "Every answer was compared with ours before anything was timed.",
             "![Ratios of CPU time to each peer, on a logarithmic axis](lib/benchmarks/results.png)"]
    parts += ["Triangles are targets; hollow circles are PyTorch in other forms: with modules and an optimizer, with channels last, as an ensemble, "
              "or with the published Newton-Schulz iteration, without our short cut for long matrices. *Freed memory kept*: the peer runs with the "
              "settings of glibc's allocator that our library makes for itself; without them a process asks for fresh pages in every step."]
    parts += [folded(heading, table(group(rows, heading))) for heading in GROUPS if group(rows, heading)]
    parts += [" ".join(filter(None, (first_calls(rows), faults(rows)))), "\n".join(reasons(rows)), f"Measured on: {machine(results['machine'])}."]
    return "\n\n".join(filter(None, parts))


def merged(old: dict, new: dict) -> dict:
    """The old results with the rows of the workloads that were measured anew. Raises ValueError where machine or rounds are not the same."""
    if any(old[name] != new[name] for name in ("machine", "rounds")):
        raise ValueError("the old results come from another machine, other versions or another number of rounds; measure all workloads")
    again = {row["workload"] for row in new["rows"]}
    return new | {"rows": [row for row in old["rows"] if row["workload"] not in again] + new["rows"]}


def put(text: str, section: str) -> str:
    """`text` with `section` between its markers. Raises ValueError where they are not there, once each and in order."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in after + before or END in after + before:
        raise ValueError(f"the page needs the lines {BEGIN} and {END}, once each and in this order; the table goes between them")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


COLOURS = {"torch": BLUE, "compiled": SKY, "jax": ORANGE, "autograd": GREEN, "mygrad": PINK}


def picture(rows: list[dict]) -> Figure:
    """Ratios to each peer on a logarithmic axis: steps and sweeps, a line each; bars from least to greatest, hollow triangles are targets."""
    shown = [row for row in group(rows, "Steps") + group(rows, "Sweeps") if "median" in row and row["peer"] in COLOURS]
    names = list(dict.fromkeys(row["title"] for row in shown))
    peers = [peer for peer in COLOURS if any(row["peer"] == peer for row in shown)]
    fig = Figure(figsize=(8.5, 1.2 + 0.42 * len(names)), layout="constrained")
    ax = fig.subplots()
    for row in shown:
        y = names.index(row["title"]) + 0.7 * ((peers.index(row["peer"]) + 0.5) / len(peers) - 0.5)
        _mark(ax, row, y)
    ax.axvline(1, color=GREY, lw=1, zorder=0)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(yticks=range(len(names)), yticklabels=names, xlabel="our CPU time / the peer's (left of the line we are faster)")
    ax.invert_yaxis()
    ax.legend(*_legend(ax, peers), loc="upper center", bbox_to_anchor=(0.4, 1 + 0.9 / len(names)), ncols=len(peers), frameon=False, fontsize="small")
    return fig


def _mark(ax, row: dict, y: float) -> None:
    """One ratio with its range; hollow where the peer goes another way than its first one."""
    color = COLOURS[row["peer"]]
    hollow = row["peer"] == "torch" and (row["theirs"] == "ensemble" or row["theirs"].startswith(row["ours"] + ", "))
    ax.plot([row["low"], row["high"]], [y, y], color=color, lw=1)
    ax.plot(row["median"], y, "o", color=color, ms=5, mfc="white" if hollow else color)
    if row["target"] is not None:
        ax.plot(row["target"], y, "<", color=color, ms=6, mfc="none")


def _legend(ax, peers: Iterable[str]) -> tuple[list, list]:
    return [ax.plot([], [], "o", color=COLOURS[peer])[0] for peer in peers], [FRAMEWORKS[peer].title for peer in peers]


def write(results: dict, readme: Path, picture_file: Path, save: Callable[[dict], None]) -> None:
    """The README's section, the picture and the results, all of the same numbers."""
    text = put(readme.read_text(encoding="utf-8"), section(results))
    save(results)
    picture(results["rows"]).savefig(picture_file, dpi=150)
    readme.write_text(text, encoding="utf-8")
