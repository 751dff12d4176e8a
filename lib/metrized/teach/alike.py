"""Whose code is the same but for names, comments and layout: a reason to talk, and no proof."""
import ast
import functools
import re
import warnings
from collections import ChainMap, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, count

from .results import Result

LONG = 30
"""Nodes of a syntax tree from which on code is long enough to tell: every published solution with a loop has more, most formulas have fewer."""
RARE = 0.1
"""Share of a section up to which the same code is rare; three students are always few."""
LARGEST = 20_000
"""Characters beyond which code is not compared; no exercise asks for a tenth of it."""
FUNCTIONS = ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda
COMPREHENSIONS = ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp
NAMES = {ast.Name: "id", ast.arg: "arg", ast.FunctionDef: "name", ast.AsyncFunctionDef: "name", ast.ClassDef: "name",
         ast.ExceptHandler: "name", ast.MatchAs: "name", ast.MatchStar: "name"}
"""Where a syntax tree keeps names that a student may choose. (Attributes, keywords and imports keep theirs.)"""


# One function


@functools.cache
def form(source: str, name: str) -> tuple[str, int]:
    """What is left of the function `name` without comments, docstrings, annotations and the names chosen in it, as text; its size in nodes.

    The functions and values of the same cell that it uses belong to it. Nothing, of size 0, where there is no such function, or no Python.
    """
    if len(source) > LARGEST:
        return "", 0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kept = [_bare(part) for part in _used(ast.parse(re.sub(r"^[%!].*", "", source, flags=re.M)), name)]
        size = sum(not isinstance(node, (ast.expr_context, ast.arguments, ast.arg)) for part in kept for node in ast.walk(part))
        return repr(_form(kept, ChainMap(_fresh(kept)), count())) if kept else "", size
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "", 0


def _used(cell: ast.Module, name: str) -> list[ast.stmt]:
    """The statements of a cell that define `name`, then what these use, and so on, in whatever order the cell has them."""
    binders = {bound: statement for statement in cell.body for bound in _bound([statement])}
    wanted, kept = [name], []
    for word in wanted:
        if word in binders and binders[word] not in kept:
            kept.append(binders[word])
            wanted += _free(binders[word])
    return kept


def _free(statement: ast.stmt) -> list[str]:
    """The names in a statement that no function in it has for itself."""
    inner = [node for node in ast.walk(statement) if isinstance(node, (*FUNCTIONS, *COMPREHENSIONS))]
    own = set().union(*(_bound(ast.iter_child_nodes(node)) for node in inner))
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and node.id not in own]


def _bare(tree: ast.AST) -> ast.AST:
    """The same tree without annotations and docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        if isinstance(getattr(node, "body", None), list):
            node.body = [part for part in node.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
    return tree


def _bound(body: Iterable[ast.AST]) -> set[str]:
    """The names that get a value here, and not in a function within. An import is no choice of a name."""
    bound, elsewhere, todo = set(), set(), [*body]
    for node in todo:
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere |= {*node.names}
        elif type(node) in NAMES and not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
            bound.add(getattr(node, NAMES[type(node)]))
        if not isinstance(node, (*FUNCTIONS, *COMPREHENSIONS, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)
    return bound - elsewhere - {None}


def _fresh(body: Iterable[ast.AST]) -> dict[str, None]:
    """A scope whose names have not been met yet."""
    return dict.fromkeys(_bound(body))


def _form(x, scope: ChainMap, numbers):
    """A syntax tree as nested lists in which names are numbers, in the order in which they are met."""
    if isinstance(x, list):
        return [_form(part, scope, numbers) for part in x]
    if not isinstance(x, ast.AST):
        return x
    head, outside = [type(x).__name__], []
    if type(x) in NAMES:
        head.append(_number(getattr(x, NAMES[type(x)]), scope, numbers))
    if isinstance(x, (ast.Global, ast.Nonlocal)):
        return head + [_number(name, scope, numbers) for name in x.names]
    if isinstance(x, (*FUNCTIONS, *COMPREHENSIONS)):
        outside = _form(_taken(x), scope, numbers)
        scope = scope.new_child(_fresh(ast.iter_child_nodes(x)))
    return [*head, outside, [_form(value, scope, numbers) for field, value in ast.iter_fields(x) if field not in (NAMES.get(type(x)), "ctx", "kind")]]


def _taken(x: ast.AST) -> list:
    """What a function or comprehension asks of the scope around it; it is taken out."""
    if isinstance(x, COMPREHENSIONS):
        first = x.generators[0]
        outside, first.iter = [first.iter], None
        return outside
    outside = [x.args.defaults, x.args.kw_defaults, getattr(x, "decorator_list", [])]
    x.args.defaults, x.args.kw_defaults, x.decorator_list = [], [], []
    return outside


def _number(name: str | None, scope: ChainMap, numbers) -> int | str | None:
    """The number of a name that was chosen; any other name itself."""
    for names in scope.maps:
        if name in names:
            if names[name] is None:
                names[name] = next(numbers)
            return names[name]
    return name


# A section


@dataclass(frozen=True)
class Group:
    """Students whose code for one exercise is the same."""

    exercise: str
    students: tuple[str, ...]
    size: int
    """Nodes of the syntax tree."""
    right: bool
    rare: bool
    published: bool
    """The same as the published solution's."""

    @property
    def telling(self) -> bool:
        return self.rare and self.size >= LONG


@dataclass(frozen=True)
class Pair:
    """Two students, the telling exercises in which their code is the same, and the number of all in which it is."""

    students: tuple[str, str]
    telling: tuple[Group, ...]
    all: int


def groups(results: Sequence[Result], solution: Mapping[str, str] = {}) -> list[Group]:
    """Students with the same code for an exercise, the largest code first; also one student alone with the published solution's."""
    found = defaultdict(list)
    for result in results:
        for mark in result.marks:
            code, size = form(mark.code, mark.exercise)
            if code and mark.status != "missing":
                found[mark.exercise, code, size].append((result.student, mark.status == "ok"))
    published = {(exercise, *form(source, exercise)) for exercise, source in solution.items()}
    made = [Group(key[0], tuple(student for student, _ in have), key[2], all(right for _, right in have), len(have) <= rare_to(results),
                  key in published) for key, have in found.items()]
    return sorted((g for g in made if len(g.students) > 1 or g.published), key=lambda g: (-g.size, g.exercise, g.students))


def pairs(groups: Iterable[Group]) -> list[Pair]:
    """Every two students who have a telling exercise in common, those with most first."""
    common = defaultdict(list)
    for group in groups:
        for pair in combinations(group.students, 2):
            common[pair].append(group)
    found = [Pair(pair, tuple(group for group in shared if group.telling), len(shared)) for pair, shared in common.items()]
    return sorted((pair for pair in found if pair.telling), key=lambda pair: (-len(pair.telling), -pair.all, pair.students))


def like_the_solution(groups: Iterable[Group], solution: Mapping[str, str]) -> dict[str, list[str]]:
    """Students who have the published code of more than half of the exercises where it is long enough to tell, and which these are."""
    found, telling = defaultdict(list), long(solution)
    for group in groups:
        for student in group.students if group.published and group.exercise in telling else ():
            found[student].append(group.exercise)
    return dict(sorted(((student, same) for student, same in found.items() if 2 * len(same) > len(telling)), key=lambda row: (-len(row[1]), row[0])))


def long(solution: Mapping[str, str]) -> list[str]:
    """The exercises whose published code is long enough to tell."""
    return [exercise for exercise, source in solution.items() if form(source, exercise)[1] >= LONG]


def rare_to(results: Sequence[Result]) -> int:
    """How many students may have the same code, and it is still rare."""
    return max(3, int(RARE * len(results)))
