"""Identical code: other names, comments and layout change nothing, anything else does; and which coincidences in a section tell."""
import ast
import copy
import io
import json
import symtable
import tokenize
from pathlib import Path

import pytest

from metrized.teach import alike
from metrized.teach.alike import form
from metrized.teach.release import BEGIN, END
from metrized.teach.results import Mark, Result

ROOT = Path(__file__).parents[2]


def published() -> dict[str, str]:
    """Every exercise's solution, without its markers."""
    found = {}
    for path in sorted((ROOT / "solutions").glob("hw*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and BEGIN in source:
                kept = "\n".join(line for line in source.split("\n") if line.strip() not in (BEGIN, END))
                found[next(node.name for node in ast.parse(kept).body if isinstance(node, ast.FunctionDef))] = kept
    return found


SOLUTIONS = published()


def disguised(source: str, name: str, rng) -> str:
    """Another layout, docstring, annotations and comments, and other names for whatever Python's own tables call local."""
    table = symtable.symtable(source, name, "exec").lookup(name).get_namespace()
    tables = [table, *(inner for inner in table.get_children())]
    local = {symbol.get_name() for each in tables for symbol in each.get_symbols() if symbol.is_local()}
    other = dict(zip(sorted(local), (f"name_{i}" for i in rng.permutation(len(local))), strict=True))
    tokens = [(kind, other.get(text, text)) for kind, text, *_ in tokenize.generate_tokens(io.StringIO(source).readline)]
    tree = ast.parse(tokenize.untokenize(tokens))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef))
    function.body[0] = ast.Expr(ast.Constant("Something else."))
    function.args.args[0].annotation = ast.Name("float")
    function.returns = ast.Name("float")
    return "%time\n" + ast.unparse(ast.fix_missing_locations(tree)).replace("\n    ", "\n\n    # why\n    ", 1) + "\nprint(1)\n"


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_disguise_changes_nothing(name, rng):
    source = SOLUTIONS[name]
    other = disguised(source, name, rng)
    assert other != source and "name_0" in other
    assert form(source, name) == form(other, name) and form(source, name)[1] > 0


def changes(function: ast.FunctionDef):
    """The function with one constant, operator, attribute or use of a name changed."""
    names = sorted({node.id for node in ast.walk(function) if isinstance(node, ast.Name)} | {arg.arg for arg in function.args.args})
    for i, node in enumerate(ast.walk(function)):
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            yield i, "value", node.value + 1
        elif isinstance(node, ast.BinOp):
            yield i, "op", ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        elif isinstance(node, ast.Attribute):
            yield i, "attr", node.attr + "_"
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield i, "id", names[(names.index(node.id) + 1) % len(names)]


@pytest.mark.parametrize("name", SOLUTIONS)
def test_any_other_change_changes_it(name):
    """Each constant, operator, attribute and use of a name counts."""
    tree, whole = ast.parse(SOLUTIONS[name]), form(SOLUTIONS[name], name)
    tried = 0
    for i, field, value in changes(tree.body[-1]):
        other = copy.deepcopy(tree)
        setattr(list(ast.walk(other.body[-1]))[i], field, value)
        text = ast.unparse(other)
        assert form(text, name) != whole, text
        tried += 1
    assert tried > 2


def test_no_two_exercises_are_alike():
    forms = [form(source, name) for name, source in SOLUTIONS.items()]
    assert len({*forms}) == len(forms) > 40


def test_loops_are_long_and_formulas_are_not():
    loops = [name for name in SOLUTIONS if any(isinstance(node, (ast.For, ast.While)) for node in ast.walk(ast.parse(SOLUTIONS[name])))]
    formulas = [name for name in SOLUTIONS if len(ast.parse(SOLUTIONS[name]).body[-1].body) == 2]
    assert len(loops) > 5 and all(form(SOLUTIONS[name], name)[1] >= alike.LONG for name in loops)
    assert sum(form(SOLUTIONS[name], name)[1] < alike.LONG for name in formulas) > 0.75 * len(formulas)


SAME = [
    ("def f(x): return [i for i in x] + [i for i in x]", "def f(y): return [i for i in y] + [j for j in y]"),
    ("def f(x): return [x for x in x]", "def f(x): return [y for y in x]"),
    ("def f(x):\n def g(y): return y + x\n return g(1)", "def f(a):\n def h(a_): return a_ + a\n return h(1)"),
    ("def f(x): return help(x)\ndef help(y): return y", "def other(z): return z\n\nx = 3\ndef f(x): return other(x)\nf(x)"),
    ("def f(x):\n try: return x\n except ValueError as e: print(e)", "def f(y):\n try: return y\n except ValueError as z: print(z)"),
    ("def f(x):\n match x:\n  case [a, *b]: return a, b", "def f(y):\n match y:\n  case [c, *d]: return c, d"),
    ("def f(y): return [n for n in y] + n", "def f(y): return [m for m in y] + n"),
    ("def f(x):\n n = 0\n def g():\n  nonlocal n\n  n = x\n return n", "def f(y):\n m = 0\n def h():\n  nonlocal m\n  m = y\n return m"),
    ("f = lambda x, y=1: x", "f = lambda a, b=1: a"),
    ("def f(x):\n if (n := len(x)) > 3: return n", "def f(y):\n if (m := len(y)) > 3: return m"),
]
DIFFERENT = [
    ("def f(x, y): return x - y", "def f(x, y): return y - x"),
    ("def f(x): return sin(x)", "def f(x): return cos(x)"),
    ("def f(x): return x.sum()", "def f(x): return x.mean()"),
    ("def f(x): return g(x, axis=0)", "def f(x): return g(x, keepdims=0)"),
    ("def f(x, y): return [x for x in y]", "def f(x, y): return [x for z in y]"),
    ("def f(x, y=x): return y", "def f(z, y=x2): return y"),
    ("def f(x):\n global n\n n = x", "def f(x):\n global m\n m = x"),
    ("def f(x):\n n = m = 0\n def g():\n  nonlocal n\n  n = x\n return n", "def f(x):\n n = m = 0\n def g():\n  nonlocal m\n  m = x\n return n"),
    ("def f(x):\n import numpy as a\n return a", "def f(x):\n import torch as a\n return a"),
    ("def f(x): return help(x)\ndef help(y): return y", "def f(x): return help(x)\ndef help(y): return -y"),
    ("def f(x): return 1", "def f(x): return 1.0"),
    ("def f(x): return 'a'", "def f(x): return a"),
    ("def f(x): return x", "async def f(x): return x"),
    ("def f(x, y): return x", "def f(x, *y): return x"),
]


@pytest.mark.parametrize("pair", SAME, ids=lambda pair: pair[0])
def test_the_same(pair):
    assert form(pair[0], "f") == form(pair[1], "f") != ("", 0)


@pytest.mark.parametrize("pair", DIFFERENT, ids=lambda pair: pair[0])
def test_not_the_same(pair):
    assert form(pair[0], "f") != form(pair[1], "f")


@pytest.mark.parametrize("source", [
    "", "(", "f", "def g(): pass", "f = \0", "f = '\ud800", "f = " + "-" * 15_000 + "1", "f = 1" + "+1" * 9000, "f = " + "[" * 5000,
    "f = a" + ".b" * 9000, "def f(): return 0x" + "f" * 15_000, "f = 1\n" * 9000, "f = " + "lambda:" * 2500 + "1"],
    ids=lambda source: source[:12].encode("unicode_escape").decode())
def test_no_code_of_a_student_breaks_the_comparison(source):
    assert form(source, "f") == ("", 0)


# A section


def section(codes: dict[str, dict[str, str]], wrong=()) -> list[Result]:
    """Results of students from {student: {exercise: code}}."""
    return [Result(student, "", tuple(Mark(name, 1, "wrong" if (student, name) in wrong else "ok", code=code) for name, code in own.items()))
            for student, own in codes.items()]


def loop(name: str, i: int) -> str:
    """A long function, another for each i."""
    return f"def {name}(x):\n total = {i}\n for y in x:\n  total = total + y * y - {i} * total / (y + 1)\n  total -= y * 2 + x[0]\n return total"


def test_pairs_are_counted_by_what_tells():
    """Ann and Ben share two loops and a formula, Cem one loop; a formula makes no pair, be it rare, nor does a loop that eleven of forty have."""
    codes = {f"s{i:02}": {"a": loop("a", i), "b": loop("b", i), "short": "def short(x): return x + 1"} for i in range(40)}
    codes |= {"ann": {"a": loop("a", 100), "b": loop("b", 100), "short": "def short(x): return x + 1"},
              "ben": {"a": loop("a", 100).replace("total", "sum"), "b": loop("b", 100).replace("y", "t"), "short": "def short(z): return z + 1"},
              "cem": {"a": loop("a", 100), "b": loop("b", 101), "short": "def short(x): return x - 1"}}
    codes["s00"]["short"] = codes["cem"]["short"]
    groups = alike.groups(section(codes, wrong={("ben", "b")}))
    assert [(pair.students, [group.exercise for group in pair.telling], pair.all) for pair in alike.pairs(groups)] == [
        (("ann", "ben"), ["a", "b"], 3), (("ann", "cem"), ["a"], 1), (("ben", "cem"), ["a"], 1)]
    assert {group.exercise: group.right for group in groups if group.telling} == {"a": True, "b": False}
    for i in range(11):
        codes[f"s{i:02}"]["a"] = loop("a", 100)
    assert [(pair.students, pair.all) for pair in alike.pairs(alike.groups(section(codes)))] == [(("ann", "ben"), 3)]


def test_students_with_the_published_code():
    """More than half of the long ones, whoever else has them; short ones do not count, nor what was never written."""
    solution = {name: loop(name, 0) for name in "abcd"} | {"short": "def short(x): return x + 1"}
    other = {name: loop(name, 1) for name in "abcd"}
    codes = {"ann": solution, "ben": {**solution, "a": other["a"], "b": other["b"]}, "cem": {**solution, "c": other["c"]}}
    results = section(codes) + [Result("dan", "", tuple(Mark(name, 1, "missing", code=code) for name, code in solution.items()))]
    assert alike.long(solution) == [*"abcd"]
    assert alike.like_the_solution(alike.groups(results, solution), solution) == {"ann": [*"abcd"], "cem": [*"abd"]}
    assert alike.like_the_solution(alike.groups(results[:1], solution), solution) == {"ann": [*"abcd"]}
    assert alike.like_the_solution(alike.groups(results), {}) == {}


@pytest.mark.parametrize("n, few", [(0, 3), (2, 3), (30, 3), (59, 5), (300, 30)])
def test_what_is_rare(n, few):
    assert alike.rare_to([None] * n) == few
