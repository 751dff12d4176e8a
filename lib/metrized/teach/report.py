"""What comes out of grading: grades.csv, a page of feedback for each student, report.html for the instructor, results.json for Gradescope.

Students choose their names, their code and what their code raises. All of it is text here: characters that nobody sees are spelled out, and pages
escape the rest, run no script and ask nothing of any server.
"""
import csv
import functools
import hashlib
import io
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from unicodedata import normalize
from urllib.parse import quote

import jinja2
import numpy as np
from markupsafe import Markup, escape

from . import alike
from .results import STATUSES, Mark, Result, in_order

LONGEST = 20_000
"""Characters of one text on a page."""
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")
"""Control characters, spaces without a width, those that turn the direction of a text around, and halves of characters, which no file can hold."""
FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "'")
"""How a text begins that a spreadsheet program takes for a formula, and the apostrophe that says that it is none."""
RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$", *(f"{port}{i}" for port in ("com", "lpt") for i in "0123456789¹²³")}
"""Names that Windows keeps to itself, whatever follows after a dot."""
WORDS = {"ok": "right", "wrong": "not yet", "missing": "not there", "error": "raised an error", "timeout": "did not end",
         "died": "its process ended", "unreadable": "not readable"}
"""A status, as said to people."""


def write(results: Sequence[Result], folder: Path, protections: Sequence[str] = (), gradescope: bool = False,
          solution: Mapping[str, str] = {}) -> None:
    """All that a graded section leaves behind. protections: lines on what held while it ran; solution: the published code of each exercise."""
    results = in_order(sorted(results, key=lambda result: (result.student, result.file)))
    names = file_names([result.student for result in results])
    for result, name in zip(results, names, strict=True):
        _write(folder / "feedback" / f"{name}.html", feedback(result))
        if gradescope:
            _write(folder / "gradescope" / name / "results.json", json.dumps(for_gradescope(result), indent=1))
    _write(folder / "grades.csv", grades(results))
    links = {result.student: f"feedback/{quote(name)}.html" for result, name in zip(results, names, strict=True)}
    _write(folder / "report.html", report(results, links, protections, solution))


def _write(path: Path, text: str) -> None:
    """A whole file or none, whatever happens meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{os.getpid()}.part")
    try:
        part.write_bytes(text.encode())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def file_names(students: Sequence[str]) -> list[str]:
    """A name of a file for each, safe on every system and like the student's; one that had to change carries a few digits of the student's own."""
    names, taken = [], set()
    for student in students:
        name = _safe(student)
        while normalize("NFKC", name).casefold() in taken:
            name += "_"
        taken.add(normalize("NFKC", name).casefold())
        names.append(name)
    return names


def _safe(student: str) -> str:
    """Letters, digits, spaces, points, - and _, at most 100 bytes of them, neither hidden nor reserved."""
    name = re.sub(r"[^\w .-]", "_", normalize("NFC", student)).encode()[:100].decode(errors="ignore").strip(" .")
    if name.split(".")[0].strip().casefold() in RESERVED:
        name = f"_{name}"
    return name if name == student else f"{name}-{hashlib.sha256(student.encode(errors='surrogatepass')).hexdigest()[:8]}".lstrip("-")


def plain(text: str, longest: int = LONGEST) -> str:
    """A text without characters that nobody sees, and without what is too much of it."""
    text = text.replace("\r\n", "\n")
    cut = f"\n... and {len(text) - longest:,} more characters" if len(text) > longest else ""
    return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text[:longest]) + cut


# The table


def exercises(results: Sequence[Result]) -> list[str]:
    """In the homework's order."""
    return list(dict.fromkeys(mark.exercise for result in results for mark in result.marks))


def grades(results: Sequence[Result]) -> str:
    """A row a student, a column an exercise. It begins with a byte order mark, without which Excel takes an é for two other letters."""
    table, columns = io.StringIO(newline=""), exercises(results)
    rows = csv.writer(table)
    rows.writerow(["student", *columns, "total", "status", "notes"])
    for result in results:
        points = {mark.exercise: mark.points for mark in result.marks}
        notes = "; ".join(filter(None, [result.unreadable, *result.notes]))
        rows.writerow([_cell(result.student), *(points.get(name, 0) for name in columns), result.points, result.status, _cell(notes)])
    return "\ufeff" + table.getvalue()


def _cell(text: str) -> str:
    """A text on one line that no spreadsheet program takes for a formula."""
    text = " ".join(plain(text, 2000).split())
    return f"'{text}" if text.startswith(FORMULA) else text


# Pages


def marked(text: str) -> Markup:
    """A sentence of a hint, in which `words` between backticks are code."""
    return Markup(re.sub(r"`([^`\n]+)`", r"<code>\1</code>", str(escape(plain(text)))))


@functools.cache
def _pages() -> jinja2.Environment:
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).with_name("pages")), autoescape=True, undefined=jinja2.StrictUndefined,
                               trim_blocks=True, lstrip_blocks=True, finalize=lambda value: plain(value) if type(value) is str else value)
    pages.filters["marked"] = marked
    pages.globals["words"] = WORDS
    return pages


def feedback(result: Result) -> str:
    """A student's page: what is right, what to do next, and of each exercise the hint before the numbers."""
    right = [mark for mark in result.marks if mark.status == "ok"]
    left = [mark for mark in result.marks if mark.status != "ok"]
    return _pages().get_template("feedback.html").render(result=result, right=right, open=left, next=_next(left))


def _next(marks: Sequence[Mark]) -> Mark | None:
    """Where to go on: at an answer rather than at an error, at code rather than at none."""
    order = ("wrong", "error", "timeout", "died", "missing")
    return min((mark for mark in marks if mark.status in order), key=lambda mark: order.index(mark.status), default=None)


def report(results: Sequence[Result], links: Mapping[str, str], protections: Sequence[str] = (), solution: Mapping[str, str] = {}) -> str:
    """The instructor's page. links: where each student's page is."""
    totals, of = np.array([result.points for result in results], dtype=int), max((result.of for result in results), default=0)
    groups = alike.groups(results, solution)
    return _pages().get_template("report.html").render(
        results=results, links=links, protections=protections, now=datetime.now().astimezone(),
        homework=next((result.homework for result in results if result.homework), ""), statuses=Counter(result.status for result in results),
        of=of, summary=summary(totals), histogram=histogram(totals, of), tasks=[task(results, name) for name in exercises(results)],
        hints=hints(results), notes=notes(results), look=look(results), slowest=sorted(results, key=lambda result: -result.seconds)[:10],
        all=[(result, shares(Counter(mark.status for mark in result.marks) or Counter([result.status]))) for result in results],
        pairs=alike.pairs(groups), groups=[group for group in groups if group.telling and len(group.students) > 1],
        common=[group for group in groups if group.size >= alike.LONG and not group.rare], long_from=alike.LONG, rare_to=alike.rare_to(results),
        published=alike.like_the_solution(groups, solution), long=alike.long(solution))


def summary(totals: np.ndarray) -> dict[str, float]:
    """Least, quartiles, most and mean, as a spreadsheet's MIN, QUARTILE, MEDIAN, MAX and AVERAGE give them."""
    if not len(totals):
        return {}
    least, first, median, third, most = np.quantile(totals, (0, 0.25, 0.5, 0.75, 1))
    return {"least": least, "first quartile": first, "median": median, "third quartile": third, "most": most, "mean": totals.mean()}


def histogram(totals: np.ndarray, of: int) -> list[tuple[int, int, int]]:
    """(from, to, submissions) for at most 15 classes of equal width; the last one may be cut short at the full points."""
    width = next(step * 10 ** power for power in range(19) for step in (1, 2, 5) if of // (step * 10 ** power) < 15)
    counts = np.bincount(totals // width, minlength=of // width + 1)
    return [(i * width, min((i + 1) * width - 1, of), int(n)) for i, n in enumerate(counts)]


def task(results: Sequence[Result], exercise: str) -> dict:
    """What became of an exercise in the section: its points, how many failed, and how many have each status. A file without marks has failed all."""
    marks = [next((mark for mark in result.marks if mark.exercise == exercise), None) for result in results]
    counts = Counter(mark.status if mark else "unreadable" for mark in marks)
    return {"exercise": exercise, "of": next(mark.of for mark in marks if mark), "failed": len(results) - counts["ok"], "shares": shares(counts)}


def shares(counts: Counter) -> list[tuple[str, int, float, float]]:
    """(status, number, where its part of a bar begins, how wide it is), in percent, from the best status to the worst."""
    widths = 100 * np.array([counts[status] for status in STATUSES]) / max(1, counts.total())
    starts = widths.cumsum() - widths
    return [(status, counts[status], *part) for status, *part in zip(STATUSES, starts, widths, strict=True) if counts[status]]


def hints(results: Sequence[Result]) -> list[tuple[str, str, list[str]]]:
    """(exercise, hint, students) of answers that were wrong or raised, most frequent first."""
    found = defaultdict(list)
    for result in results:
        for mark in result.marks:
            if mark.hint and mark.status in ("wrong", "error"):
                found[mark.exercise, mark.hint].append(result.student)
    return sorted(((*key, students) for key, students in found.items()), key=lambda row: (-len(row[2]), row[:2]))


def notes(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """(note, students), most frequent first."""
    found = defaultdict(list)
    for result in results:
        for note in dict.fromkeys(result.notes):
            found[note].append(result.student)
    return sorted(found.items(), key=lambda row: (-len(row[1]), row[0]))


def look(results: Sequence[Result]) -> list[tuple[Result, list[str]]]:
    """Submissions that a person should look at, with reasons: unreadable, stopped, or without a function that was deleted or renamed."""
    found = [(result, [result.unreadable, *(f"`{mark.exercise}`: {mark.status}. {mark.hint}" for mark in result.marks
                                            if mark.status in ("timeout", "died") or mark.status == "missing" and mark.hint)]) for result in results]
    found = [(result, [*filter(None, reasons)]) for result, reasons in found]
    return sorted(((result, reasons) for result, reasons in found if reasons), key=lambda row: -STATUSES.index(row[0].status))


# Gradescope


def for_gradescope(result: Result) -> dict:
    """What Gradescope reads, https://gradescope-autograders.readthedocs.io/en/latest/specs/; students see it once the grades are published."""
    tests = [{"name": plain(mark.exercise), "score": mark.points, "max_score": mark.of, "status": "passed" if mark.status == "ok" else "failed",
              "output": plain("\n".join(filter(None, [f"{WORDS[mark.status]}.", mark.hint, mark.details]))), "output_format": "text",
              "visibility": "after_published"} for mark in result.marks]
    return {"score": result.points, "execution_time": result.seconds, "output": plain("\n".join(filter(None, [result.unreadable, *result.notes]))),
            "output_format": "text", "visibility": "after_published", "stdout_visibility": "hidden", "tests": tests}
