"""What students hand in: notebooks of any name in a folder or an archive, and what has become of the homework's cells in them."""
import difflib
import json
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

LARGEST = 256 * 2 ** 20
"""Bytes of a notebook; pictures in its outputs count."""


class Unreadable(ValueError):
    """A file that is no notebook, with the reason."""


def find(folder: Path) -> dict[str, Path]:
    """The notebooks at or below a folder, by student: the file's name, or the folder's where it holds one notebook alone.

    Copies that editors and archives leave behind (.ipynb_checkpoints, __MACOSX) are no submissions.
    """
    paths = [path for path in files(folder) if path.suffix.lower() == ".ipynb"]
    tops = [path.relative_to(folder).parts[0] for path in paths]
    names: dict[str, Path] = {}
    for path, top in zip(paths, tops, strict=True):
        inside = path.relative_to(folder)
        name = _text(path.stem if len(inside.parts) == 1 else top if tops.count(top) == 1 else inside.with_suffix("").as_posix())
        while name in names:  # ada.ipynb beside ada/hw4.ipynb
            name += "*"
        names[name] = path
    return names


def files(folder: Path) -> list[Path]:
    """All that students may have put there, in order; not what editors and archives leave behind."""
    left_behind = lambda path: any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
    return sorted(path for path in folder.rglob("*") if not path.is_dir() and not left_behind(path))


def _text(name: str) -> str:
    """Text that can be written as UTF-8, whatever bytes or halves of characters it came from."""
    return name.encode("utf-8", "replace").decode()


def extract(archive: Path, folder: Path) -> Path:
    """What is in a zip archive, in a folder. Raises ValueError for a file that is no archive, or a locked one."""
    try:
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError):  # the latter two: it wants a password, or is packed in another way
        raise ValueError(f"{archive} is no zip archive that opens; give the folder with the submissions, or the archive as it came") from None
    return folder


def read(path: Path) -> list[str]:
    """The sources of a notebook's code cells. Raises Unreadable for anything else."""
    try:
        text = content(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8 text, as every notebook is") from None
    if not text.strip():
        raise Unreadable("it is empty")
    try:
        notebook = json.loads(text)
        found = notebook["cells"] if "cells" in notebook else [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
        sources = [cell.get("source", cell.get("input", "")) for cell in found if cell["cell_type"] == "code"]
        return [_text(source if isinstance(source, str) else "".join(source)) for source in sources]
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON, as every notebook is; was it cut off, or renamed from another format?") from None
    except (KeyError, TypeError, AttributeError):
        raise Unreadable("it is JSON, but no Jupyter notebook: it has no list of cells") from None


def content(path: Path) -> bytes:
    """What is in an ordinary file of reasonable size. Raises Unreadable for pipes, links, devices, and files that are too large or locked."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise Unreadable("it is a link or no ordinary file; copy the notebook itself into the folder")
        if path.stat().st_size > LARGEST:
            raise Unreadable(f"it is larger than {LARGEST >> 20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"it cannot be opened: {error.strerror}") from None


def defines(source: str, name: str) -> bool:
    """Whether a cell gives this name a value, as far as its text shows (it need not compile)."""
    return bool(re.search(rf"^(async\s+)?(def|class)\s+{name}\b|^{name}[ \t]*(:[^=\n]*)?=(?!=)", source, re.M))


@dataclass(frozen=True)
class Homework:
    """A homework as released: its code cells, and which of them are students' work."""

    cells: tuple[str, ...]
    exercises: tuple[str, ...]

    @property
    def work(self) -> dict[str, int]:
        """The cell, by number, of each exercise."""
        return {name: i for name in self.exercises for i, source in enumerate(self.cells) if defines(source, name)}

    @property
    def setup(self) -> list[str]:
        """The given cells before the first exercise. They are run before a submission's own, so that one who deleted them loses nothing."""
        return list(self.cells[:min(self.work.values())])

    @property
    def given(self) -> list[str]:
        """The given cells up to the last exercise that define or import something."""
        return [source for i, source in enumerate(self.cells[:max(self.work.values())]) if i not in self.work.values() and not _asks(source)]

    @property
    def epilogue(self) -> set[str]:
        """The given cells after the last exercise: they show what the work is good for, and no point depends on them."""
        return {_bare(source) for source in self.cells[max(self.work.values()) + 1:]}

    def to_run(self, sources: list[str]) -> dict[int, str]:
        """The cells of a submission that grading runs, by their number among its code cells, from 1."""
        return {i: source for i, source in enumerate(sources, 1) if _bare(source) and _bare(source) not in self.epilogue and not _asks(source)}

    def notes(self, sources: list[str]) -> list[str]:
        """What has become of the homework's cells, in words."""
        bare = {_bare(source) for source in sources}
        found = [f"The given cell that begins with `{_first(source)}` was edited or deleted." for source in self.given if _bare(source) not in bare]
        for name in self.exercises:
            places = [i for i, source in enumerate(sources, 1) if defines(source, name)]
            if len(places) > 1:
                found.append(f"`{name}` is defined in code cells {', '.join(map(str, places[:-1]))} and {places[-1]}; the last definition counts.")
            elif not places:
                found.append(self.missing(name, sources))
        return found

    def missing(self, name: str, sources: list[str]) -> str:
        """Where a function that is not there may have gone."""
        others = {other: i for i, source in enumerate(sources, 1) for other in re.findall(r"^(?:def|class)\s+(\w+)|^(\w+)\s*=(?!=)", source, re.M)
                  for other in other if other and not any(defines(cell, other) for cell in self.cells)}
        near = difflib.get_close_matches(name, others, 1, 0.6)
        if near:
            return (f"No cell defines `{name}`, but code cell {others[near[0]]} defines `{near[0]}`: was it renamed? "
                    "Grading calls functions by their names.")
        return f"No cell defines `{name}`: its cell was deleted, or the function renamed."


def _bare(source: str) -> str:
    """A cell without blank lines and trailing spaces, which editors change by themselves."""
    return "\n".join(line.rstrip() for line in source.strip().splitlines() if line.strip())


def _first(source: str) -> str:
    return _bare(source).partition("\n")[0][:60]


def _asks(source: str) -> bool:
    """Whether a cell only asks for checks, which the grader makes by itself."""
    return bool(re.fullmatch(r"check(\.total)?\(\w*\)", _bare(source)))
