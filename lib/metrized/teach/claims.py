"""Every claim of every lecture: what it states, its value as computed now, its bounds, and the line of the notebook that computes it."""
import ast
import csv
import re
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import nbformat
import typer
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..sweeps import sweep
from .release import root

LINE = re.compile(r"^(?:holds|FAILS)  (?P<statement>.*): (?P<value>.*)  in (?P<bounds>\[.*\])$", re.M)
"""What lesson.claim prints, or raises."""
HOLDS, FAILS, ERROR, UNREACHED = "holds", "FAILS", "error", "not reached"
SECONDS = 900
"""Wall time of one cell."""
COLOUR = re.compile(r"\x1b\[[\d;]*m")


@dataclass(frozen=True)
class Claim:
    """One claim of a lecture: where it stands, and what came of it. An error of a cell is told like one, as a claim that nobody could check."""

    lecture: str
    cell: int
    """Counted from 1, text and code alike."""
    id: str
    line: int | None
    """Within the cell, counted from 1; None where a function of the library made the claim."""
    verdict: str
    """holds, FAILS, not reached (the source makes a claim here, and no run came by), or error."""
    statement: str
    value: str = ""
    bounds: str = ""

    @property
    def holds(self) -> bool:
        return self.verdict == HOLDS

    @property
    def place(self) -> str:
        return f"cell {self.cell}" + (f", line {self.line}" if self.line else "")

    def __str__(self):
        return f"{self.lecture}, {self.place}: {self.verdict}  {self.statement}" + (f": {self.value}  in {self.bounds}" if self.bounds else "")


@dataclass(frozen=True)
class Call:
    """A line that says `claim(`, and what the statements look like that it can make."""

    cell: int
    id: str
    line: int
    statement: str
    pattern: str


def execute(notebook: nbformat.NotebookNode, **options) -> Exception | None:
    """Run a notebook in an empty folder; outputs go into its cells. Returns what ended it before its end: an error of a cell (unless `options` allow
    errors), a cell that takes more than SECONDS, or the death of the kernel.
    """
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", extra_arguments=["--log-level=ERROR"], **options)
    with TemporaryDirectory() as folder:
        try:
            client.execute(cwd=folder)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            return error


def claims(path: Path) -> list[Claim]:
    """The claims of a lecture, run now, in the order of its lines. It is run to its end even where a claim fails."""
    notebook, begun = nbformat.read(path, 4), []
    if error := execute(notebook, allow_errors=True, on_cell_start=lambda cell, cell_index: begun.append(cell)):
        end = f"the cell did not end within {SECONDS} seconds" if isinstance(error, CellTimeoutError) else "the kernel died"
        begun[-1].outputs.append(nbformat.v4.new_output("error", ename=type(error).__name__, evalue=end, traceback=[]))
    return claims_of(notebook, path.stem)


def claims_of(notebook: nbformat.NotebookNode, lecture: str = "") -> list[Claim]:
    """The claims of a notebook that has been run, in the order of its lines, with those that the run never reached, and the errors of its cells."""
    cells = [(number, cell) for number, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]
    calls = [call for number, cell in cells for call in _calls(number, cell)]
    reached, found = set(), []
    for number, cell in cells:
        for verdict, statement, value, bounds, line in _told(cell):
            call = _origin(statement, number, calls, reached) if bounds else None
            reached.add(call)
            place = (call.cell, call.id, call.line) if call else (number, cell.get("id", ""), line)
            found.append(Claim(lecture, *place, verdict, statement, value, bounds))
    found += [Claim(lecture, call.cell, call.id, call.line, UNREACHED, call.statement) for call in calls if call not in reached]
    return sorted(found, key=lambda claim: (claim.cell, claim.line or 0))


def _told(cell) -> Iterable[tuple[str, str, str, str, int | None]]:
    """(verdict, statement, value, bounds, line) of what a cell's outputs tell: claims that hold, one that does not, an error."""
    outputs = cell.get("outputs", [])
    printed = "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")
    for match in LINE.finditer(printed):
        yield match[0].split()[0], *match.groups(), None
    for error in (o for o in outputs if o.output_type == "error"):
        line = re.search(r"^-+> (\d+)", COLOUR.sub("", "\n".join(error.traceback)), re.M)
        line = int(line[1]) if line else None
        if match := LINE.search(error.evalue):
            yield FAILS, *match.groups(), line
        elif "raises-exception" not in cell.metadata.get("tags", []):
            yield ERROR, f"{error.ename}: {error.evalue}".splitlines()[0], "", "", line


def _calls(number: int, cell) -> list[Call]:
    """The calls of claim in a cell, in the order of their lines."""
    try:
        tree = ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", cell.source, flags=re.M))
    except SyntaxError:  # the kernel tells it
        return []
    named = lambda function: "claim" in (getattr(function, "id", ""), getattr(function, "attr", ""))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and named(node.func)]
    return sorted((Call(number, cell.get("id", ""), node.lineno, *_said(node)) for node in nodes), key=lambda call: call.line)


def _said(call: ast.Call) -> tuple[str, str]:
    """The statement of a call as the source has it, and a regular expression for what it can come to."""
    said = next((k.value for k in call.keywords if k.arg == "statement"), None) or next(iter(call.args), ast.Constant(""))
    return str(said.value) if isinstance(said, ast.Constant) else ast.unparse(said), _pattern(said)


def _pattern(said: ast.expr) -> str:
    """A regular expression for the strings that an expression can give: what is written there literally, and anything in between."""
    if isinstance(said, ast.Constant):
        return re.escape(str(said.value))
    if isinstance(said, ast.JoinedStr):
        return "".join(map(_pattern, said.values))
    if isinstance(said, ast.BinOp) and isinstance(said.op, ast.Add):
        return _pattern(said.left) + _pattern(said.right)
    return ".*"


def _origin(statement: str, number: int, calls: list[Call], reached: set) -> Call | None:
    """The call that made a statement in cell `number`: one in the same cell, if there is one, the most literal, and rather one not reached before."""
    able = [call for call in calls if re.fullmatch(call.pattern, statement)]
    return min(able, key=lambda call: (call.cell != number, -len(call.pattern.replace(".*", "")), call in reached), default=None)


def command(numbers: Annotated[list[str] | None, typer.Argument(metavar="[NN]...", help="01, 02, ...; all lectures unless given")] = None,
            jobs: Annotated[int | None, typer.Option(min=1, help="lectures run at the same time; all cores unless given")] = None,
            csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="write the table there, too, for a spreadsheet")] = None,
            markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="write the table there, too, as Markdown")] = None) -> None:
    """Run the lectures and tell every claim: its value now, its bounds, and the cell and line that compute it.

    Fails if a claim does not hold, if the run never reached it, or if a cell raises an error, and names it; the lecture is run to its end all the
    same, and so are the others. All lectures take some minutes.
    """
    paths = chosen(root(Path.cwd()) / "lectures", numbers or [])
    rows = sweep(told, [{"path": str(path)} for path in reversed(paths)], jobs=jobs, progress="lectures")  # the long ones are at the end
    found = [claim for row in reversed(rows) for claim in _from_row(row)]
    width = shutil.get_terminal_size((160, 24)).columns
    for path in paths:
        Console(width=width).print(table(path.stem, [claim for claim in found if claim.lecture == path.stem]))
    if csv_file:
        write_csv(csv_file, found)
    if markdown:
        markdown.write_text(as_markdown(found), encoding="utf-8", newline="\n")
    wrong = [claim for claim in found if not claim.holds]
    print(f"{len(found) - len(wrong)} claims hold" + (f", {len(wrong)} do not:" if wrong else "."))
    for claim in wrong:
        print(claim)
    if wrong:
        raise typer.Exit(1)


def chosen(folder: Path, numbers: list[str]) -> list[Path]:
    """The lectures with these numbers, all of them where there are none, in order. Raises ValueError where there is no such lecture."""
    there = {path.stem.partition("-")[0]: path for path in sorted(folder.glob("[0-9]*.ipynb"))}
    wanted = {number.zfill(2) for number in numbers}
    if missing := sorted(wanted - {*there}):
        raise ValueError(f"there is no lecture {', '.join(missing)}; there are {', '.join(there)}")
    return [path for number, path in there.items() if not wanted or number in wanted]


def told(path: str) -> dict:
    """A lecture's claims as plain data: one point of a sweep."""
    return {"claims": [asdict(claim) for claim in claims(Path(path))]}


def _from_row(row: dict) -> list[Claim]:
    if "error" in row:
        return [Claim(Path(row["path"]).stem, 0, "", None, ERROR, row["error"])]
    return [Claim(**claim) for claim in row["claims"]]


def table(lecture: str, found: list[Claim]) -> Table:
    """The claims of one lecture for a terminal; what does not hold stands out."""
    table = Table("cell:line", "", "claim", "value", "bounds", title=lecture, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for claim in found:
        words = (f"{claim.cell}:{claim.line or ''}", claim.verdict, claim.statement, claim.value, claim.bounds)
        table.add_row(*map(Text, words), style="" if claim.holds else "bold red")
    return table


def as_markdown(found: list[Claim]) -> str:
    """The claims as one table of Markdown."""
    rows = [("lecture", "place", "", "claim", "value", "bounds"), ("---",) * 6]
    rows += [(c.lecture, c.place, c.verdict, c.statement, c.value, c.bounds) for c in found]
    return "".join(f"| {' | '.join(word.replace('|', chr(92) + '|') for word in row)} |\n" for row in rows)


def write_csv(file: Path, found: list[Claim]) -> None:
    """The claims as comma-separated values, a column for each field of Claim."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, [field.name for field in fields(Claim)])
        writer.writeheader()
        writer.writerows(map(asdict, found))
