"""Results kept on disk, each in a file of its own, under a name made of everything that the result depends on."""
import ast
import errno
import hashlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path, PurePath
from uuid import uuid4

import numpy as np

from . import __version__

PACKAGE = Path(__file__).parent
ABOVE = ("figures.py", "live.py", "lesson.py", "check", "teach", "examples", "results")
"""What no result depends on unless its function names it: the highest floor of the library, and its tables."""


def library(package: Path = PACKAGE, without: tuple[str, ...] = ABOVE) -> str:
    """A name for the library's files, the data sets too, save those folders and files; by default, for all floors below the experiments."""
    digest = hashlib.sha256()
    for path in sorted(path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        place = path.relative_to(package)
        if place.parts[0] not in without:
            digest.update(f"{place.as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


LIBRARY = library()
"""Taken when this process imports the library: it runs this code, even if the files change while it runs."""


class Cache:
    """A folder of results of one function. `runs`: the function, and what may stand in for it.

    A result depends on these functions' sources with all that they name in their own package, on the point, and on the versions and sources of
    the library and NumPy; not on the order of the point's values, nor on comments. Where a function is typed into a notebook, what it calls there
    is not seen. Raises ValueError for a function that is not found by its name at the top of a module.
    """

    def __init__(self, folder: str | Path, *runs: Callable):
        self.folder = Path(folder)
        self.origin = list(map(source, runs))

    def file(self, point: dict) -> Path:
        """Where the result of a point is kept. Raises TypeError for a value that cannot be told from others of its kind."""
        key = json.dumps([self.origin, __version__, LIBRARY, np.__version__, tagged(point, "the point")])
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def find(self, point: dict) -> dict | None:
        """The result of a point; None where there is none, or what is there is no whole result."""
        try:
            result = json.loads(self.file(point).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        return result if isinstance(result, dict) else None

    def keep(self, point: dict, result: str) -> None:
        """Write a result, as JSON, in one piece: whoever looks finds all of it or nothing. Raises OSError where the disk does not take it."""
        file = self.file(point)
        draft = file.with_suffix(f".{uuid4().hex}")  # two machines may write at the same time
        try:
            draft.write_text(result, encoding="utf-8")
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)

    def open(self) -> None:
        """Make sure that the folder is there and takes files. Raises OSError where it does not."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = self.folder / f"{uuid4().hex}.draft"
            draft.write_text("{}")
            draft.unlink()
        except OSError as error:
            raise type(error)(error.errno or errno.EIO, f"results cannot be kept in {self.folder} ({error.strerror}); nothing has been computed yet; "
                              "give another folder, or make room") from None


# What a value is told from others by


def tagged(value, name: str):
    """A value as JSON that no other value shares: 1, 1.0, True and "1" are four, a tuple is no list, a number of NumPy none of Python; NaN is NaN.

    Raises TypeError, which calls the value `name`, where it is none of: numbers, strings, bytes, None, paths, members of an Enum, arrays,
    dataclasses (by the fields that they are compared by), and tuples, lists, sets and dicts of them.
    """
    kind, inside = type(value), lambda items: [tagged(item, f"part of {name}") for item in items]
    tag = f"{kind.__module__}.{kind.__qualname__}"
    if value is None or kind in (bool, int, float, complex, str, bytes) or isinstance(value, (PurePath, np.generic)):
        return [tag, str(value) if isinstance(value, (str, PurePath)) else repr(value)]
    if isinstance(value, Enum):
        return [tag, value.name]
    if kind in (tuple, list):
        return [tag, *inside(value)]
    if kind in (set, frozenset):
        return [tag, *sorted(inside(value), key=json.dumps)]
    if kind is dict:
        return [tag, *sorted(([tagged(k, f"a key of {name}"), tagged(v, f"{name}'s {k!r}")] for k, v in value.items()), key=json.dumps)]
    if kind is range:
        return [tag, value.start, value.stop, value.step]
    if kind is np.ndarray and not value.dtype.hasobject:
        return [tag, value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest()]
    if is_dataclass(value) and not isinstance(value, type):
        return [tag, *([f.name, tagged(getattr(value, f.name), f"{name}'s {f.name}")] for f in fields(value) if f.compare)]
    raise TypeError(f"{name} is a {kind.__qualname__}, and a cache cannot tell two of them apart; give numbers, strings, paths, arrays, dataclasses, "
                    "or tuples, lists, sets and dicts of them, or sweep without a cache")


# What a function is made of


def source(function: Callable) -> str:
    """The source of a function and of every definition that it names, and these name, in its package or, if it has none, in its folder.

    Comments and docstrings are left out, and so are the library's lower floors, for which LIBRARY speaks. Raises ValueError where the function
    cannot be found.
    """
    module, name = sys.modules.get(getattr(function, "__module__", None)), getattr(function, "__qualname__", repr(function))
    if getattr(module, name, None) is not function or not inspect.isfunction(function):
        raise ValueError(f"a cache needs a function at the top of a module, under its own name, and {name} is none; define it there with def")
    home, file = _home(function), Path(getattr(module, "__file__", None) or "nowhere")
    sources = Sources(home, file)
    sources.gather(home, name)
    if sources.found.get(f"{home}.{name}"):
        return json.dumps([home, name, sources.found], sort_keys=True)
    try:
        return inspect.getsource(function)  # a notebook's
    except OSError:
        raise ValueError(f"a cache needs the source of {name}, which was typed where none is kept; put it into a file") from None


def _home(function: Callable) -> str:
    """The module of a function by the name that others import it by: a program calls itself __main__, but its spec or its file knows better."""
    module = sys.modules[function.__module__]
    if getattr(module, "__spec__", None):
        return module.__spec__.name
    return Path(module.__file__).stem if getattr(module, "__file__", None) else module.__name__


class Sources:
    """Definitions in the package of a module, or in its folder if it has no package. `found`: the statements that bind a name, by its full name."""

    def __init__(self, module: str, file: Path):
        self.root = file.resolve().parents[module.count(".") + (file.name == "__init__.py")]
        self.package = module.partition(".")[0] if "." in module or file.name == "__init__.py" else None
        self.found = {}

    def file(self, module: str) -> Path | None:
        """The file of a module; None where it is elsewhere, and for what LIBRARY covers."""
        if self.package not in (None, module.partition(".")[0]) or self.package is None and "site-packages" in self.root.parts:
            return None
        place = self.root.joinpath(*module.split("."))
        file = next((path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file()), None)
        return None if file and file.is_relative_to(PACKAGE) and file.relative_to(PACKAGE).parts[0] not in ABOVE else file

    def gather(self, module: str, name: str | None) -> None:
        """Find a name of a module (all of them for None), and everything that its definition names in turn."""
        file, full = self.file(module), f"{module}.{name}"
        if file is None or full in self.found:
            return
        names = definitions(file.read_text(encoding="utf-8"))
        self.found[full] = [ast.unparse(statement) for statement in names.get(name, [])]
        for each in names if name is None else ():
            self.gather(module, each)
        for statement in names.get(name, []):
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                self.follow(statement, name, module if file.name == "__init__.py" else module.rpartition(".")[0])
            for each in {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} & names.keys():
                self.gather(module, each)

    def follow(self, statement: ast.Import | ast.ImportFrom, name: str, package: str) -> None:
        """Find what an import statement of a module in `package` binds to `name`: a module, or a name in one."""
        for alias in statement.names:
            if (alias.asname or alias.name).partition(".")[0] != name:
                continue
            if isinstance(statement, ast.Import):
                self.gather(alias.name, None)
                continue
            origin = importlib.util.resolve_name("." * statement.level + (statement.module or ""), package) if statement.level else statement.module
            self.gather(f"{origin}.{alias.name}", None)
            self.gather(origin, alias.name)


@lru_cache
def definitions(text: str) -> dict[str, list[ast.stmt]]:
    """The statements at the top of a file by the names that they bind, without docstrings."""
    found = {}
    for statement in ast.parse(text).body:
        for node in ast.walk(statement):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        for name in _binds(statement):
            found.setdefault(name, []).append(statement)
    return found


def _binds(statement: ast.stmt) -> set[str]:
    """The names that a statement gives a value to, or changes: def x, import x, x = 1, x[0] = 1, x.append(1)."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.Expr):
        return {_root(statement.value.func)} - {None} if isinstance(getattr(statement.value, "func", None), ast.Attribute) else set()
    stored = {_root(node) for node in ast.walk(statement) if isinstance(getattr(node, "ctx", None), ast.Store)}
    below = (inner for part in ("body", "handlers", "orelse", "finalbody") for inner in getattr(statement, part, []))
    return (stored - {None}).union(*map(_binds, below))


def _root(node: ast.expr) -> str | None:
    """The name x in x, x[0] and x.y.z."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
