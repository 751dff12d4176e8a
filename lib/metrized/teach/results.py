"""What grading finds: a Mark for each exercise, a Result for each submission."""
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

STATUSES = ("ok", "wrong", "missing", "error", "timeout", "died", "unreadable")
"""From best to worst. ok: right. wrong: another answer. missing: not written, deleted or renamed. error: the code raised. timeout: it did not end.
died: its process ended, or outgrew a limit. unreadable: the file is no notebook."""


@dataclass(frozen=True)
class Mark:
    """One exercise of one submission."""

    exercise: str
    of: int
    """The points it is worth."""
    status: str
    hint: str = ""
    details: str = ""
    """The smallest instance that fails, with what was expected and what came; or the student's own traceback."""
    code: str = ""
    """The cell that defines the function, as handed in."""
    seconds: float = 0.0

    @property
    def points(self) -> int:
        return self.of if self.status == "ok" else 0


@dataclass(frozen=True)
class Result:
    """One submission: its marks, and notes on cells that are missing, renamed, duplicated or edited, or that did not run."""

    student: str
    file: str
    marks: tuple[Mark, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    unreadable: str = ""
    """Why the file could not be read; empty where it could."""
    homework: str = ""
    sha256: str = field(default="", repr=False)

    @property
    def points(self) -> int:
        return sum(mark.points for mark in self.marks)

    @property
    def of(self) -> int:
        return sum(mark.of for mark in self.marks)

    @property
    def status(self) -> str:
        """The worst that happened to it."""
        return "unreadable" if self.unreadable else max((mark.status for mark in self.marks), key=STATUSES.index, default="missing")

    @classmethod
    def load(cls, path: Path) -> "Result":
        """Raises ValueError or KeyError where the file holds no result."""
        return cls.from_row(json.loads(path.read_text(encoding="utf-8")))

    @classmethod
    def from_row(cls, row: dict) -> "Result":
        """A result from a table's row, in which more may stand."""
        own = {field.name: row[field.name] for field in fields(cls)}
        return cls(**{**own, "marks": tuple(Mark(**mark) for mark in row["marks"]), "notes": tuple(row["notes"])})


def in_order(results: Iterable[Result]) -> list[Result]:
    return sorted(results, key=lambda result: result.student.casefold())
