"""Submissions to homework 4 as a section might hand them in: right, wrong, untidy, broken and hostile, each with what grading must find in it.

They are safe where a grader fails to hold them. Loops and sleeps end after a minute; bombs of processes and threads stop at a hundred, and a fork
after ten seconds. What allocates touches little of it, what kills its parent first sees that this is not the machine's own process 1, what writes
outside of its folder makes an empty file called STRAY, or stays among the run's temporary files; what fills the disk stops at 1.5 GB and removes it.
"""
import copy
import json
import os
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from metrized.check.hw4 import check
from metrized.teach.results import STATUSES, Mark, Result

ROOT = Path(__file__).resolve().parents[2]
POINTS = {name: exercise.points for name, exercise in check.exercises.items()}
STRAY = "metrized-corpus-was-here"
LEFT_OVER = "55.5151"
"""Seconds that a process sleeps which a submission leaves behind; by this argument it is found."""
SECRET = "METRIZED_CORPUS_SECRET"
"""A variable in the grader's environment."""


def parsed(path: str) -> dict:
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def tidy(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


HOMEWORK = parsed("homework/hw4.ipynb")
SOURCES = ["".join(cell["source"]) for cell in HOMEWORK["cells"]]
HEADS = {name: next(source for source in SOURCES if source.startswith(f"def {name}(")).partition("\n")[0] for name in POINTS}
"""The first line of each exercise's function, as given."""
GIVEN = {"setup": "try:\n    import metrized", "import": "from metrized.check.hw4"}

HELPERS = tidy("""
    def s(G):
        return np.linalg.svd(G, compute_uv=False)

    def polar(G):
        U, _, Vt = np.linalg.svd(G, full_matrices=False)
        return U @ Vt

    def top(G):
        U, _, Vt = np.linalg.svd(G, full_matrices=False)
        return np.outer(U[:, 0], Vt[0])

    def fans(G):
        return (G.shape[1] / G.shape[0]) ** 0.5

    def eigenvalues(X):
        return np.linalg.eigvalsh(X.T @ X / len(X))
    """)

RIGHT = {
    "linf_step": "-np.sign(g) * np.abs(g).sum() / sharpness",
    "linf_decrease": "-np.abs(g).sum() ** 2 / (2 * sharpness)",
    "steepest_step": "-dualize(g) * dual(g) / sharpness",
    "polygon_dual": "np.abs(corners @ g).max()",
    "weighted_dual": "(g @ np.linalg.solve(A, g)) ** 0.5",
    "frobenius": "(G ** 2).sum() ** 0.5, G / (G ** 2).sum() ** 0.5",
    "spectral": "s(G).sum(), polar(G)",
    "nuclear": "s(G)[0], top(G)",
    "rms_operator": "s(G).sum() / fans(G), polar(G) / fans(G)",
    "sharpness_frobenius": "eigenvalues(X)[-1]",
    "sharpness_spectral": "(X ** 2).sum() / len(X)",
    "two_layers": "d1 + d2 + d1 * d2"}

WRONG = {  # a line for each misconception that homework 4 knows, in its order
    "linf_step": ["np.abs(g).sum() * np.sign(g) / sharpness", "-np.abs(g).max() * np.sign(g) / sharpness", "-np.sign(g) / sharpness", "-np.sign(g)",
                  "-g / sharpness", "-(g @ g) ** 0.5 * np.sign(g) / sharpness", "-g.sum() * np.sign(g) / sharpness"],
    "linf_decrease": ["-np.abs(g).sum() ** 2 / sharpness", "np.abs(g).sum() ** 2 / (2 * sharpness)", "-np.abs(g).max() ** 2 / (2 * sharpness)",
                      "-(g @ g) / (2 * sharpness)"],
    "steepest_step": ["dual(g) / sharpness * dualize(g)", "-dualize(g) / sharpness", "-dual(g) / sharpness * g",
                      "-dual(dualize(g)) / sharpness * dualize(g)", "-dualize(g)", "-np.abs(g).sum() / sharpness * np.sign(g)", "-g / sharpness"],
    "polygon_dual": ["max(g @ p for p in corners)", "sum(abs(g @ p) for p in corners)", "max(np.hypot(*p) for p in corners) * np.hypot(*g)",
                     "max(abs(g @ p) / np.hypot(*p) for p in corners)", "max(np.hypot(*p) for p in corners)"],
    "weighted_dual": ["(g @ A @ g) ** 0.5", "g @ np.linalg.solve(A, g)", "np.sqrt(sum(g ** 2 / A.diagonal()))", "np.sqrt(np.abs(g @ (1 / A) @ g))",
                      "np.sqrt(g @ g)", "np.linalg.norm(np.linalg.inv(A) @ g)"],
    "frobenius": ["np.sqrt((G * G).sum()), G", "np.sqrt((G * G).sum()), polar(G)", "np.linalg.norm(G, 2), G / np.linalg.norm(G, 2)"],
    "spectral": ["s(G)[0], top(G)", "s(G)[0], polar(G)", "s(G)[0], G / s(G)[0]", "s(G).sum(), G / s(G)[0]", "s(G).sum(), top(G)"],
    "nuclear": ["s(G).sum(), polar(G)", "s(G).sum(), top(G)", "s(G).sum(), G / s(G).sum()", "s(G)[0], polar(G)", "s(G)[0], polar(G) / len(s(G))"],
    "rms_operator": ["s(G).sum() * fans(G), polar(G) * fans(G)", "s(G).sum() * fans(G), polar(G) / fans(G)", "s(G).sum(), polar(G) / fans(G)",
                     "s(G).sum() / fans(G), polar(G)", "s(G).sum(), polar(G)"],
    "sharpness_frobenius": ["eigenvalues(X)[0]", "eigenvalues(X).mean()", "len(X) * eigenvalues(X)[-1]", "np.linalg.norm(X, 2) / len(X)",
                            "eigenvalues(X)[-1] ** 0.5", "eigenvalues(X)[-1] / 2", "(X ** 2).sum() / len(X)"],
    "sharpness_spectral": ["eigenvalues(X)[-1]", "eigenvalues(X).mean()", "(X ** 2).sum()", "(X ** 2).sum() / len(X) / 2",
                           "np.linalg.norm(X, axis=1).mean()"],
    "two_layers": ["d1 + d2", "d1 * d2", "(1 + d1) * (1 + d2)"]}


# Notebooks


def define(name: str, body: str) -> str:
    """The cell of an exercise, with these lines for the function's body."""
    return f"{HEADS[name]}\n{textwrap.indent(tidy(body), '    ')}"


def answers(**expressions: str) -> dict[str, str]:
    """Cells by exercise, from what each function returns."""
    return {name: define(name, f"return {expression}") for name, expression in expressions.items()}


def cell(source: str, kind: str = "code", **metadata) -> dict:
    made = {"cell_type": kind, "metadata": metadata, "source": tidy(source)}
    return {**made, "outputs": [], "execution_count": None} if kind == "code" else made


def notebook(cells: dict[str, str | list | None] | None = None, *, first: Iterable[str] = (), last: Iterable[str] = ()) -> dict:
    """The homework with right answers, but for `cells`: by exercise, "setup" or "import", a source, several, or None for a cell that was deleted.

    Cells `first` come before the exercises, cells `last` after them.
    """
    cells, made = {**answers(**RIGHT), **(cells or {})}, []
    begins = {**GIVEN, **{name: HEADS[name] for name in POINTS}}
    for given, source in zip(HOMEWORK["cells"], SOURCES, strict=True):
        name = next((name for name, begin in begins.items() if given["cell_type"] == "code" and source.startswith(begin)), None)
        sources = cells.get(name, source) if name else source
        made += [{**given, "source": tidy(one)} for one in ([sources] if isinstance(sources, str) else sources or [])]
        if name == "import":
            made += map(cell, (HELPERS, *first))
        if source.startswith("check(two_layers)"):
            made += map(cell, last)
    return {**HOMEWORK, "cells": made}


@dataclass(frozen=True)
class Entry:
    """A submission, and what grading must find in it."""

    content: dict | bytes | Callable[[Path], None]
    """A parsed notebook, the bytes of a file, or what makes the file."""
    expected: dict[str, str] = field(default_factory=dict)
    """The statuses, any of which is right, by exercise. The exercises that are not named have the status `others`."""
    others: str = "ok"
    notes: tuple[str, ...] = ()
    """Each stands in one of the notes, in whatever case; "" asks for a note of any kind."""
    says: tuple[str, ...] = ()
    """All of them stand in the hint or the details of the first exercise that is named; without one, in why the file is unreadable."""
    file: str = ""
    """Where it lies in the folder; under the name of the entry unless given."""
    seconds: float = 60.0
    """Longer than this grading must not take."""
    quick: bool = False
    walled: bool = False
    """Whether it takes a wall, which not every system has, to hold it."""
    graded: bool = True
    """Whether it is a submission at all."""

    def statuses(self, exercise: str) -> set[str]:
        return {*self.expected.get(exercise, self.others).split()}


def write(files: dict[str, str], folder: Path, places: dict[str, str]) -> None:
    """Files of a section, {path: entry}; words of `places` in capitals (@OUT@) are replaced in them, and no two files are the same."""
    for file, name in files.items():
        path, content = folder / file, ENTRIES[name].content
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content if isinstance(content, bytes) else dumped(content, file, places))


def dumped(made: dict, file: str, places: dict[str, str]) -> bytes:
    """A notebook as a file."""
    made = copy.deepcopy(made)
    if isinstance(made.get("metadata"), dict):
        made["metadata"]["corpus"] = file
    text = json.dumps(made, indent=1)
    for word, place in places.items():
        text = text.replace(f"@{word.upper()}@", str(place))
    return text.encode()


ANYTHING = " ".join(STATUSES)
NEVER_OK = "wrong error missing timeout died"
CAUGHT = "wrong error"


# Right in any style, and tidy or untidy around it

LOOPS = {
    "linf_step": """
        size = 0
        for x in g:
            size = size + abs(x)
        step = []
        for x in g:
            if x > 0:
                step.append(-size / sharpness)
            elif x < 0:
                step.append(size / sharpness)
            else:
                step.append(0)
        return step""",
    "linf_decrease": """
        size = 0
        for x in g:
            size += x if x > 0 else -x
        return -size * size / sharpness / 2""",
    "steepest_step": """
        u, size = dualize(g), dual(g)
        return [-size * u[i] / sharpness for i in range(len(u))]""",
    "polygon_dual": """
        best = 0
        for x, y in corners:
            for sign in (1, -1):
                best = max(best, sign * (g[0] * x + g[1] * y))
        return best""",
    "weighted_dual": """
        inverse, total = np.linalg.inv(A), 0
        for i in range(len(g)):
            for j in range(len(g)):
                total += g[i] * inverse[i][j] * g[j]
        return total ** 0.5""",
    "frobenius": """
        total = 0
        for row in G:
            for x in row:
                total += x * x
        size = total ** 0.5
        return [size, [[x / size for x in row] for row in G]]""",
    "spectral": """
        U, S, V = np.linalg.svd(G)
        D = [[0.0 for j in range(len(V))] for i in range(len(U))]
        for k in range(len(S)):
            for i in range(len(U)):
                for j in range(len(V)):
                    D[i][j] += U[i][k] * V[k][j]
        return sum(S), D""",
    "nuclear": """
        U, S, V = np.linalg.svd(G)
        return [S[0], [[u * v for v in V[0]] for u in U[:, 0]]]""",
    "sharpness_frobenius": """
        return max(np.linalg.svd(X)[1]) ** 2 / len(X)""",
    "sharpness_spectral": """
        total = 0
        for x in X:
            for entry in x:
                total += entry ** 2
        return total / X.shape[0]"""}

LAMBDAS = {
    "linf_step": "lambda gradient, L: -np.sign(gradient) * np.sum(np.abs(gradient)) / L",
    "linf_decrease": "lambda gradient, L: -0.5 * np.linalg.norm(gradient, 1) ** 2 / L",
    "steepest_step": "lambda gradient, L, size, direction: -size(gradient) / L * direction(gradient)",
    "polygon_dual": "lambda gradient, P: np.max(np.abs(np.dot(P, gradient)))",
    "weighted_dual": "lambda gradient, M: np.sqrt(np.dot(gradient, np.dot(np.linalg.inv(M), gradient)))",
    "frobenius": "lambda M: (np.linalg.norm(M), M / np.linalg.norm(M))",
    "spectral": "lambda M: (np.linalg.norm(M, 'nuc'), polar(M))",
    "nuclear": "lambda M: (np.linalg.norm(M, 2), top(M))",
    "rms_operator": "lambda M: tuple(part * (len(M) / len(M.T)) ** 0.5 for part in spectral(M))",
    "sharpness_frobenius": "lambda inputs: np.linalg.norm(inputs, 2) ** 2 / len(inputs)",
    "sharpness_spectral": "lambda inputs: np.linalg.norm(inputs) ** 2 / len(inputs)",
    "two_layers": "lambda a, b: (1 + a) * (1 + b) - 1"}

KINDS_OF_FUNCTIONS = {
    "linf_step": """
        class linf_step:
            def __new__(cls, g, sharpness):
                return -np.sign(g) * np.abs(g).sum() / sharpness""",
    "linf_decrease": """
        import functools

        linf_decrease = functools.partial(lambda half, g, sharpness: -half * np.abs(g).sum() ** 2 / sharpness, 0.5)""",
    "steepest_step": """
        class Descent:
            sign = -1

            def step(self, g, sharpness, dual, dualize):
                return self.sign * dual(g) / sharpness * dualize(g)

        steepest_step = Descent().step""",
    "polygon_dual": """
        class Polygon:
            def __call__(self, g, corners):
                return np.abs(corners @ g).max()

        polygon_dual = Polygon()""",
    "weighted_dual": """
        def weighted_dual(g, A, power=0.5, *, verbose=False):
            return (g @ np.linalg.solve(A, g)) ** power""",
    "frobenius": """
        def frobenius(*matrices):
            size = np.linalg.norm(matrices[0])
            return size, matrices[0] / size""",
    "spectral": """
        def loud(f):
            def wrapped(*args, **kwargs):
                print("called")
                return f(*args, **kwargs)
            return wrapped

        @loud
        def spectral(G):
            return s(G).sum(), polar(G)""",
    "nuclear": """
        def nuclear(G: np.ndarray) -> tuple[float, np.ndarray]:
            match G.shape:
                case (m, n) if (k := min(m, n)):
                    return s(G)[:k].max(), top(G)""",
    "two_layers": """
        import functools

        @functools.lru_cache
        def two_layers(d1, d2):
            return d1 + d2 + d1 * d2"""}

KINDS_OF_NUMBERS = answers(
    linf_step="(-np.sign(g) * np.abs(g).sum() / sharpness).astype(np.float32)",
    linf_decrease="np.float32(-np.abs(g).sum() ** 2 / (2 * sharpness))",
    steepest_step="(-dualize(g) * dual(g) / sharpness).astype('>f8')",
    polygon_dual="np.array(np.abs(corners @ g).max())",
    weighted_dual="np.longdouble((g @ np.linalg.solve(A, g)) ** 0.5)",
    frobenius="np.linalg.norm(G), np.matrix(G) / np.linalg.norm(G)",
    spectral="[s(G).sum(), np.asfortranarray(polar(G))]",
    nuclear="s(G)[0], top(G)[::-1, ::-1].copy()[::-1, ::-1]",
    rms_operator="s(G).sum() / fans(G), np.ma.masked_array(polar(G) / fans(G))",
    sharpness_frobenius="float(eigenvalues(X)[-1])",
    sharpness_spectral="np.broadcast_to((X ** 2).sum() / len(X), ())",
    two_layers="np.float64(d1 + d2 + d1 * d2)")

STYLES = {
    "right": Entry(notebook(), quick=True),
    "solutions": Entry(parsed("solutions/hw4.ipynb")),
    "loops and lists": Entry(notebook({name: define(name, body) for name, body in LOOPS.items()})),
    "lambdas with other names": Entry(notebook({name: f"{name} = {source}" for name, source in LAMBDAS.items()})),
    "kinds of functions": Entry(notebook(KINDS_OF_FUNCTIONS)),
    "kinds of numbers": Entry(notebook(KINDS_OF_NUMBERS)),
    "pairs with names": Entry(notebook(answers(frobenius="Pair(np.linalg.norm(G), G / np.linalg.norm(G))"),
                                       first=["from collections import namedtuple\nPair = namedtuple('Pair', 'size direction')"])),
    "helpers after their use": Entry(notebook(
        answers(linf_step="-size_of(g) * np.sign(g) / sharpness", spectral="last_resort(G)"),
        last=["def size_of(g):\n    return np.abs(g).sum()", "last_resort = lambda G: (s(G).sum(), polar(G))"])),
    "norms of the course": Entry(notebook(answers(
        linf_step="-norms.Max().sharp(g) / sharpness", weighted_dual="norms.Weighted(A).dual(g)"), first=["from metrized import norms"])),
    "names of builtins": Entry(notebook(last=["max = sum = abs = list = tuple = isinstance = print = 5", "id = input = type = None"])),
    "warnings are errors": Entry(notebook(first=["import warnings\nwarnings.simplefilter('error')\nnp.seterr(all='raise')"])),
    "imports": Entry(notebook({"linf_decrease": define("linf_decrease", """
        import collections, fractions, itertools, math, random, re, statistics, typing
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(2) as pool:
            return -math.fsum(pool.map(math.fabs, g)) ** 2 / sharpness / 2""")})),
    "future": Entry(notebook({"linf_step": f"from __future__ import annotations\n{answers(**RIGHT)['linf_step']}"})),
    "one cell": Entry({**HOMEWORK, "cells": [cell("import numpy as np\n" + "\n\n".join((HELPERS, *answers(**RIGHT).values())))]}, notes=("",)),
    "cells in reverse": Entry({**notebook(), "cells": notebook()["cells"][::-1]}),
    "checks in the same cells": Entry(notebook({name: f"{source}\n\ncheck({name})" for name, source in answers(**RIGHT).items()})),
    "five MB of comments": Entry(notebook({"linf_step": answers(**RIGHT)["linf_step"] + f"  # {'x' * 79}\n# {'def linf_step ' * 350_000}"})),
    "prints": Entry(notebook({"linf_step": define("linf_step", "print(g)\nimport sys\nsys.stderr.write('x')\nreturn " + RIGHT["linf_step"])})),
    "a cell that raises": Entry(notebook(first=["1 / 0"], last=["undefined"])),
    "sys.exit in a cell": Entry(notebook(first=["import sys\nsys.exit()"], last=["sys.exit('done')"])),
    "quit in a cell": Entry(notebook(first=["quit()"], last=["exit(1)"])),
    "input in a cell": Entry(notebook(first=["name = input('Your name: ')"])),
    "pictures": Entry(notebook(first=[
        "%matplotlib inline\nimport matplotlib.pyplot as plt", "plt.plot([1, 2])\nplt.show()\nfig = plt.figure()\nfig.show()"])),
    "sliders": Entry(notebook(first=["import ipywidgets\nipywidgets.interact(lambda x: print(x), x=3)\ndisplay(ipywidgets.IntSlider())"])),
    "display": Entry(notebook(first=["from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))"])),
    "magics": Entry(notebook({"linf_step": "%%time\n" + answers(**RIGHT)["linf_step"], "frobenius": "%%capture\n" + answers(**RIGHT)["frobenius"],
                              "spectral": "%load_ext autoreload\n%autoreload 2\n!pip install x\n" + answers(**RIGHT)["spectral"]},
                             first=["%matplotlib inline", "!pip install x", "%pip install x", "files = !ls", "?np.dot", "np.dot??", "%%bash\nls",
                                    "%timeit 1 + 1", "%config InlineBackend.figure_format = 'retina'", "%time x = 3", "%matplotlib widget"])),
    "get_ipython": Entry(notebook({"linf_step": "get_ipython().run_line_magic('matplotlib', 'inline')\n" + answers(**RIGHT)["linf_step"]},
                                  first=["in_colab = 'google.colab' in str(get_ipython())", "get_ipython().system('ls')"])),
    "get_ipython imported": Entry(notebook({
        "linf_step": "from IPython import get_ipython\nget_ipython().run_line_magic('matplotlib', 'inline')\n" + answers(**RIGHT)["linf_step"]})),
    "await": Entry(notebook({"linf_step": "import asyncio\nawait asyncio.sleep(0)\n" + answers(**RIGHT)["linf_step"]})),
    "Colab's drive": Entry(notebook(first=["from google.colab import drive\ndrive.mount('/content/drive')"])),
    "Windows' lines": Entry(notebook({name: source.replace("\n", "\r\n") for name, source in answers(**RIGHT).items()})),
    "another folder": Entry(notebook(first=["import os\nos.makedirs('data/deep')\nos.chdir('data/deep')\nopen('x.txt', 'w').write('x')"])),
    "an empty environment": Entry(notebook(first=["import os\nos.environ.clear()"])),
    "stdout closed": Entry(notebook(first=["import sys\nsys.stdout.close()\nsys.stderr.close()\nsys.stdin.close()"])),
    "stdout replaced": Entry(notebook(first=["import io, sys\nsys.stdout = sys.stderr = io.StringIO()"])),
    "stdout gone": Entry(notebook(first=["import sys\ndel sys.stdout, sys.stderr\nsys.stdin = None"])),
    "standard descriptors closed": Entry(notebook(first=["import os\nfor fd in (0, 1, 2):\n    os.close(fd)"])),
    "ten million characters": Entry(notebook({"linf_step": define(
        "linf_step", f"print('x' * 10 ** 7)\nreturn {RIGHT['linf_step']}")}, first=["for _ in range(100):\n    print('x' * 10 ** 5)"])),
    "ten million bytes": Entry(notebook({"linf_step": define("linf_step", f"""
        import os
        for fd in (1, 2):
            for _ in range(100):
                os.write(fd, b"x" * 10 ** 5)
        return {RIGHT["linf_step"]}""")})),
    "a setup that was deleted": Entry(notebook({"setup": None}), notes=("",)),
    "a setup of its own": Entry(notebook({"setup": "import numpy as np"}), notes=("",)),
    "a check that was deleted": Entry(notebook({"import": [""]}), notes=("check",)),
    "duplicated, right at last": Entry(notebook({"linf_step": [answers(linf_step="-g")["linf_step"], answers(**RIGHT)["linf_step"]]}),
                                       notes=("linf_step",)),
}


# Wrong

CHANGED = "changes its argument"
CALLS = tidy("""
    calls = {}

    def turn(key):
        calls[key] = calls.get(key, 0) + 1
        return calls[key]
    """)
ODD = tidy("""
    class Equal:
        "Equal to everything, and a liar."
        __class__ = property(lambda self: np.ndarray)
        shape, size, ndim, dtype = (), 1, 0, np.dtype(float)
        __hash__ = None

        def yes(self, *_, **__):
            return True

        def no(self, *_, **__):
            raise RuntimeError

        __eq__ = __ne__ = __le__ = __ge__ = __lt__ = __gt__ = __bool__ = all = any = yes
        __float__ = __array__ = __len__ = __iter__ = __repr__ = __str__ = __reduce_ex__ = __deepcopy__ = no
        __sub__ = __rsub__ = __abs__ = lambda self, *_: self

    class Yes(float):
        "A number that is as far as nothing from everything."
        __eq__ = __le__ = __ge__ = lambda self, other: True
        __sub__ = __rsub__ = lambda self, other: 0.0
        __abs__ = lambda self: 0.0
        __hash__ = float.__hash__

    class Near(np.ndarray):
        "An array of which everything computed is zero."
        def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
            return np.zeros(self.shape)

    loop = []
    loop.append(loop)
    """)


def table_of_public_answers() -> str:
    """A function that knows the answers for the instances of the public check, and no others."""
    exercise, rng = check.exercises["linf_step"], np.random.default_rng(0)
    known = {g.tobytes().hex(): exercise.reference(g, L).tolist() for g, L in (exercise.inputs(rng) for _ in range(exercise.instances))}
    return define("linf_step", f"return {known!r}.get(g.tobytes().hex(), 0 * g)")


MISTAKES = {
    **{f"{name}, misconception {i}": Entry(notebook(answers(**{name: source})), {name: "wrong"}, says=(check.exercises[name].misconceptions[i].hint,),
                                           quick=(name, i) == ("spectral", 1))
       for name, sources in WRONG.items() for i, source in enumerate(sources)},
    "odd answers": Entry(notebook({**answers(
        linf_step="Equal()", linf_decrease="float('nan')", steepest_step="np.inf * g", polygon_dual="complex(np.abs(corners @ g).max())",
        weighted_dual="np.complex128((g @ np.linalg.solve(A, g)) ** 0.5)", frobenius="None", spectral="'s(G).sum(), polar(G)'",
        rms_operator="(part for part in (s(G).sum() / fans(G), polar(G) / fans(G)))", sharpness_frobenius="str(eigenvalues(X)[-1])",
        sharpness_spectral="[[1, 2], [3]]", two_layers="10 ** 100000"), "nuclear": define("nuclear", "s(G)[0], top(G)")}, first=[ODD]),
        {"linf_step": "wrong"}, "wrong", quick=True),
    "odder answers": Entry(notebook(answers(
        linf_step="loop", linf_decrease="Yes(0)", steepest_step="(-dualize(g) * dual(g) / sharpness).astype(complex)",
        polygon_dual="[np.abs(corners @ g).max()]", weighted_dual="np.datetime64('2026-01-01')",
        frobenius="{0: np.linalg.norm(G), 1: G / np.linalg.norm(G)}",
        spectral="(s(G).sum(), polar(G), 0)", nuclear="(Equal(), Equal())", rms_operator="(s(G).sum() / fans(G), (polar(G) / fans(G)).T)",
        sharpness_frobenius="np.array(0.0).view(Near)", sharpness_spectral="lambda: 0", two_layers="np.array([d1 + d2 + d1 * d2], dtype=object)"),
        first=[ODD]), {}, "wrong"),
    "dots": Entry(notebook({"linf_step": define("linf_step", "...")}), {"linf_step": "wrong"}),
    "returned dots": Entry(notebook(answers(linf_step="...")), {"linf_step": "wrong missing"}),
    "200 MB": Entry(notebook(answers(linf_step="np.zeros(25_000_000)", frobenius="(np.zeros(5_000_000), np.zeros((5000, 1000)))")),
                    {"linf_step": "wrong error died", "frobenius": "wrong error died"}),
    "async": Entry(notebook({"linf_step": "async " + answers(**RIGHT)["linf_step"]}), {"linf_step": "wrong"}),
    "printed, not returned": Entry(notebook({"linf_step": define("linf_step", f"print({RIGHT['linf_step']})")}), {"linf_step": "wrong"},
                                   says=("return",)),
    "arguments changed": Entry(notebook({
        "linf_step": define("linf_step", "g /= 1\nd = -np.sign(g) * np.abs(g).sum() / sharpness\ng *= 2\nreturn d"),
        "polygon_dual": define("polygon_dual", "corners[0, 0] += 1e-3\ncorners[0] -= [1e-3 / 2, 0]\nreturn 0"),
        "spectral": "def spectral(M):\n    answer = s(M).sum(), polar(M)\n    M[0, 0] = 0\n    return answer"}),
        {"linf_step": "wrong", "polygon_dual": "wrong", "spectral": "wrong"}, says=(CHANGED, "`g`")),
    "another name for an argument": Entry(notebook({
        "spectral": "def spectral(M):\n    answer = s(M).sum(), polar(M)\n    M[0, 0] = 0\n    return answer"}),
        {"spectral": "wrong"}, says=(CHANGED, "`M`")),
    "an argument changed and put back": Entry(notebook({
        "linf_step": define("linf_step", f"kept = g.copy()\ng[:] = 0\ng[:] = kept\nreturn {RIGHT['linf_step']}")})),
    "right the first time": Entry(notebook(answers(
        linf_step=f"({RIGHT['linf_step']}) * (turn(g.tobytes()) == 1)", two_layers=f"({RIGHT['two_layers']}) * (turn(d1) == 1)"), first=[CALLS]),
        {"linf_step": "wrong", "two_layers": "wrong"}),
    "right the second time": Entry(notebook(answers(linf_step=f"({RIGHT['linf_step']}) * (turn(g.tobytes()) != 1)"), first=[CALLS]),
                                   {"linf_step": "wrong"}),
    "right every other time": Entry(notebook(answers(linf_step=f"({RIGHT['linf_step']}) * (turn(0) % 2)"), first=[CALLS]), {"linf_step": "wrong"}),
    "right at random": Entry(notebook(answers(linf_step=f"({RIGHT['linf_step']}) * np.random.default_rng().integers(0, 2, g.shape)")),
                             {"linf_step": "wrong"}),
    "right for the public check": Entry(notebook({"linf_step": table_of_public_answers()}), {"linf_step": "wrong"}),
}


# Missing

MISSING = {
    "untouched": Entry(HOMEWORK, {}, "missing", quick=True),
    "half done": Entry({**HOMEWORK, "cells": notebook()["cells"][:14] + HOMEWORK["cells"][14:]},
                       dict.fromkeys(("linf_step", "linf_decrease", "steepest_step"), "ok"), "missing"),
    "another homework": Entry(parsed("solutions/hw3.ipynb"), {}, "missing", notes=("linf_step", "two_layers")),
    "no code": Entry({**HOMEWORK, "cells": [c for c in HOMEWORK["cells"] if c["cell_type"] == "markdown"]}, {}, "missing", notes=("linf_step",)),
    "code in cells of text": Entry({**HOMEWORK, "cells": [
        {key: value for key, value in c.items() if key not in ("outputs", "execution_count")} | {"cell_type": "raw" if i % 2 else "markdown"}
        for i, c in enumerate(notebook()["cells"])]}, {}, "missing", notes=("linf_step",)),
    "a cell that was deleted": Entry(notebook({"polygon_dual": None}), {"polygon_dual": "missing"}, notes=("polygon_dual",)),
    "renamed": Entry(notebook({"linf_step": answers(**RIGHT)["linf_step"].replace("linf_step", "linf_stp")}), {"linf_step": "missing"},
                     notes=("linf_step", "linf_stp"), quick=True),
    "renamed in capitals": Entry(notebook({"two_layers": answers(**RIGHT)["two_layers"].replace("two_layers", "Two_Layers")}),
                                 {"two_layers": "missing"}, notes=("two_layers", "Two_Layers")),
    "commented out": Entry(notebook({"linf_step": textwrap.indent(answers(**RIGHT)["linf_step"], "# ")}), {"linf_step": "missing"},
                           notes=("linf_step",)),
    "no function": Entry(notebook({"linf_step": "linf_step = 5"}), {"linf_step": "missing"}),
    "removed again": Entry(notebook(last=["del linf_step"]), {"linf_step": "missing"}),
    "duplicated, wrong at last": Entry(notebook({"linf_step": [answers(**RIGHT)["linf_step"], answers(linf_step="-g")["linf_step"]]}),
                                       {"linf_step": "wrong"}, notes=("linf_step",)),
    "answered above the given cell": Entry(notebook({"linf_step": [answers(**RIGHT)["linf_step"], define("linf_step", "raise NotImplementedError")]}),
                                           {"linf_step": "missing"}, notes=("linf_step",)),
    "calls what is not written": Entry(notebook({"spectral": define("spectral", "raise NotImplementedError"), **answers(
        rms_operator="tuple(part / fans(G) for part in spectral(G))")}), {"rms_operator": "error", "spectral": "missing"}, says=("`spectral`",)),
}


# Errors

EXCEPTIONS = tidy("""
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError
        __repr__ = __str__

    class Endless(Exception):
        def __str__(self):
            import time
            end = time.monotonic() + 60
            while time.monotonic() < end:
                pass
            return ""

    class Meta(type):
        __name__ = property(lambda cls: 1 / 0)
        __mro__ = property(lambda cls: 1 / 0)

    class Nameless(Exception, metaclass=Meta):
        pass

    LongName = type("E" * 10 ** 6, (Exception,), {})
    NotImplementedLiar = type("NotImplementedError", (BaseException,), {})
    """)

ERRORS = {
    "a syntax error": Entry(notebook({"linf_step": define("linf_step", "return -abs(g.sum( / sharpness")}), {"linf_step": "error"},
                            says=("SyntaxError",)),
    "a comma of prose": Entry(notebook({"linf_step": define("linf_step", "return “x”")}), {"linf_step": "error"}, says=("SyntaxError",)),
    "an indentation error": Entry(notebook({"linf_step": HEADS["linf_step"] + "\nreturn 0"}), {"linf_step": "error"}, says=("IndentationError",)),
    "a zero byte": Entry(notebook({"linf_step": define("linf_step", "return 0\0")}), {"linf_step": "error"}),
    "half of a character": Entry(notebook({"linf_step": define("linf_step", "return 0  # \ud800")}), {"linf_step": "error wrong"}),
    "raises in the cell": Entry(notebook({"linf_step": "import torch_that_nobody_has\n" + answers(**RIGHT)["linf_step"]}), {"linf_step": "error"},
                                says=("ModuleNotFoundError", "torch_that_nobody_has")),
    "raises in the function": Entry(notebook({"linf_step": define("linf_step", "sign = g.signs()\nreturn sign")}), {"linf_step": "error"},
                                    says=("AttributeError", "sign = g.signs()", "linf_step"), quick=True),
    "raises under a magic": Entry(notebook({"linf_step": "%%time\n" + define("linf_step", "sign = g.signs()\nreturn sign")}), {"linf_step": "error"},
                                  says=("AttributeError", "sign = g.signs()", "linf_step")),
    "raises in a helper": Entry(notebook(answers(linf_step="helper(g)"), first=["def helper(g):\n    return g @ np.ones(77)"]),
                                {"linf_step": "error"}, says=("ValueError", "return g @ np.ones(77)", "helper")),
    "raises what is no Exception": Entry(notebook({
        "linf_step": define("linf_step", "raise KeyboardInterrupt"), "linf_decrease": define("linf_decrease", "raise SystemExit(0)"),
        "steepest_step": define("steepest_step", "raise GeneratorExit"), "polygon_dual": define("polygon_dual", "raise BaseException('x')"),
        "weighted_dual": define("weighted_dual", "import sys\nsys.exit()"), "frobenius": define("frobenius", "quit()"),
        "spectral": define("spectral", "raise NotImplementedLiar")}, first=[EXCEPTIONS]),
        {"linf_step": "error", "spectral": "error missing"} | dict.fromkeys(
            ("linf_decrease", "steepest_step", "polygon_dual", "weighted_dual", "frobenius"), "error"), says=("KeyboardInterrupt",)),
    "input in a function": Entry(notebook(answers(linf_step="float(input('step: ')) * g")), {"linf_step": "error"}, says=("EOFError",)),
    "a message of 50 MB": Entry(notebook({"linf_step": define("linf_step", "raise ValueError('x' * 50_000_000)")}), {"linf_step": "error died"}),
    "exceptions of its own": Entry(notebook({
        "linf_step": define("linf_step", "raise Mute"), "linf_decrease": define("linf_decrease", "raise LongName('x')"),
        "polygon_dual": define("polygon_dual", "raise ValueError('\\ud800')"),
        "weighted_dual": define("weighted_dual", "raise ExceptionGroup('x', [Mute()])"),
        "frobenius": define("frobenius", "raise ValueError from Mute()"), "nuclear": define("nuclear", "raise OSError('\\x1b[2J', {'x': [1]})"),
        "spectral": define("spectral", "raise ValueError('<script>alert(1)</script>')")}, first=[EXCEPTIONS]),
        dict.fromkeys(("linf_step", "linf_decrease", "polygon_dual", "weighted_dual", "frobenius", "nuclear", "spectral"), "error"), says=("Mute",)),
    "an exception without a name": Entry(notebook({"linf_step": define("linf_step", "raise Nameless")}, first=[EXCEPTIONS]),
                                         {"linf_step": "error died"}),
    "an exception without an end": Entry(notebook({"linf_step": define("linf_step", "raise Endless")}, first=[EXCEPTIONS]),
                                         {"linf_step": "timeout"}),
    "an object of a type without a name": Entry(notebook(answers(linf_step="Meta('x', (), {})()", two_layers="LongName()"), first=[EXCEPTIONS]),
                                                {"linf_step": "wrong died error", "two_layers": "wrong"}),
    "a deep expression": Entry(notebook({"linf_step": answers(**RIGHT)["linf_step"] + f"\n\nx = {'-' * 200_000}1"}), {"linf_step": "error died ok"}),
    "a long sum": Entry(notebook({"linf_step": answers(**RIGHT)["linf_step"] + f"\n\nx = {'1 + ' * 100_000}1"}), {"linf_step": "error died ok"}),
    "a long chain": Entry(notebook({"linf_step": answers(**RIGHT)["linf_step"] + f"\n\nx = g{'.x' * 100_000}"}), {"linf_step": "error died ok"}),
    "recursion": Entry(notebook(answers(linf_step="linf_step(g, sharpness)")), {"linf_step": "error"}, says=("RecursionError",)),
    "an argument of a hundred thousand letters": Entry(notebook({"linf_step": f"def linf_step({'g' * 100_000}, L):\n    return 0"}),
                                                       {"linf_step": "wrong"}),
    "markup": Entry(notebook({"linf_step": define("linf_step", 'return "</pre><script>alert(1)</script>"  # </pre><script>alert(1)</script>')}),
                    {"linf_step": "wrong"}),
}


# Without an end, and at one

MINUTE = tidy("""
    import time

    def minute():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            yield
    """)
LOOP = "for _ in minute():\n    pass\n"
STUBBORN = tidy("""
    import signal
    for one in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(one, signal.SIG_IGN)
        except BaseException:
            pass
    for _ in minute():
        try:
            for _ in minute():
                pass
        except KeyboardInterrupt:
            pass
        except BaseException:
            pass
    """)
GUARDED = tidy("""
    import os, signal
    own = os.getpid() < 10  # a namespace of our own: there, process 1 is not the machine's
    parent = os.getppid() if own or os.getppid() > 1 else os.getpid()
    """)


def ends(name: str, lines: str, first: Iterable[str] = (), status: str = "timeout", **more) -> Entry:
    """A submission whose function does this, then answers rightly."""
    return Entry(notebook({name: define(name, f"{tidy(lines)}\nreturn {RIGHT[name]}")}, first=[MINUTE, *first]), {name: status}, **more)


ENDS = {
    "a loop": ends("linf_step", LOOP, quick=True),
    "two loops": Entry(notebook({name: define(name, LOOP) for name in ("linf_decrease", "two_layers")}, first=[MINUTE]),
                       dict.fromkeys(("linf_decrease", "two_layers"), "timeout")),
    "a loop for large inputs": Entry(notebook({"spectral": define("spectral", f"""
        for _ in minute() if G.shape[1] > 3 else ():
            pass
        return {RIGHT['spectral']}""")}, first=[MINUTE]),
        {"spectral": "timeout"}),
    "a loop that catches everything": ends("linf_step", STUBBORN),
    "a sleep": ends("linf_step", "time.sleep(60)"),
    "a loop in C": ends("linf_step", "sum(range(4 * 10 ** 9))"),
    "a lock": ends("linf_step", "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire(timeout=60)"),
    "print without an end": ends("linf_step", "for _ in minute():\n    print('x' * 10 ** 5)"),
    "os.write without an end": ends("linf_step", "import os\nfor _ in minute():\n    os.write(1, b'x' * 10 ** 5)"),
    "a loop in a cell": Entry(notebook(first=[MINUTE, LOOP]), notes=("5",)),
    "a loop in the cell of an exercise": Entry(notebook({"linf_step": answers(**RIGHT)["linf_step"] + "\n\n" + LOOP}, first=[MINUTE]),
                                               {"linf_step": "timeout"}, notes=("cell",)),
    "a loop before the function": Entry(notebook({"linf_step": LOOP + answers(**RIGHT)["linf_step"]}, first=[MINUTE]), {"linf_step": "timeout"},
                                        notes=("cell",)),
    "os._exit": ends("linf_step", "import os\nos._exit(0)", status="died", quick=True),
    "os._exit in a cell": Entry(notebook({"linf_step": "import os\nos._exit(0)\n" + answers(**RIGHT)["linf_step"]}), {"linf_step": "died"},
                                notes=("cell",)),
    "os._exit in a cell of its own": Entry(notebook(first=["import os\nos._exit(0)"]), notes=("cell",)),
    "a kill of itself": ends("linf_step", "import os\nos.kill(os.getpid(), 9)", status="died"),
    "an abort": ends("linf_step", "import os\nos.abort()", status="died"),
    "an alarm": ends("linf_step", "import signal\nsignal.alarm(1)\n" + LOOP, status="died timeout"),
    "a stop": ends("linf_step", "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", status="timeout died"),
    "a crash": ends("linf_step", "np.lib.stride_tricks.as_strided(g, (10 ** 11,), (8,)).sum()", status="died"),
    "a stack that overflows": ends("linf_step", """
        import sys
        sys.setrecursionlimit(10 ** 9)
        def deep(x):
            return next(map(deep, [x]))
        deep(0)""", status="died error"),
    "a kill of its parent": ends("linf_step", "os.kill(parent, 9)", [GUARDED], status="error died timeout ok"),
    "a stop of its parent": ends("linf_step", "os.kill(parent, signal.SIGSTOP)", [GUARDED], status="error died timeout ok"),
    "a kill of its group": ends("linf_step", "os.killpg(0, 9)", [GUARDED], status="error died"),
    "exec": ends("linf_step", "import os\nos.execv('/bin/true', ['true'])", status="error died"),
}


# More than their share

LIFT = tidy("""
    import gc, types

    def lifted(hook):
        "A function that lets everything through, with as many free variables as this one has."
        names, scope = hook.__code__.co_freevars, {}
        lines = ["def outer():", *(f"    {name} = None" for name in names), "    def inner(event, args):",
                 f"        return [{', '.join(names)}] and None", "    return inner"]
        exec("\\n".join(lines), scope)
        return scope["outer"]().__code__

    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType) and thing.__code__.co_filename.endswith("worker.py") and "fence.<locals>" in thing.__qualname__:
            if thing.__code__.co_argcount == 2 and "event" in thing.__code__.co_varnames:
                thing.__code__ = lifted(thing)
    """)
"""Takes down the fence of Python's own, so that what stands behind it is tried."""
BOMB = tidy("""
    import os, time

    def bomb():
        "A hundred processes at the most, and ten seconds."
        end, count = time.monotonic() + 10, 0
        while count < 100:
            if os.fork() == 0:
                time.sleep(max(0, end - time.monotonic()))
                os._exit(0)
            count += 1

    bombs = [bomb]
    """)
ALLOCATE = tidy("""
    def allocate():
        "Ten GB asked for, and none of them touched."
        return [np.empty(12_500_000) for _ in range(100)]
    """)
SWARM = tidy(f"""
    import subprocess

    def swarm():
        for _ in range(100):
            subprocess.Popen(["sleep", "{LEFT_OVER}"])

    bombs = [swarm]
    """)
EXPLODE = "while bombs:\n    bombs.pop()()"
"""Once, so that a second call does not take what time is left."""
LEAVE = tidy(f"""
    import subprocess, sys, types
    subprocess.sys = types.SimpleNamespace(**{{**vars(sys), "audit": lambda *_: None}})
    left = [subprocess.Popen(["sleep", "{LEFT_OVER}"], start_new_session=True) for _ in range(3)]
    """)
FILL = tidy("""
    import os

    def fill(count, size, folder=".", chunk=b"x" * 2 ** 20):
        "So many files of so many MiB, 1.5 GB at the most, which are removed again."
        names = [f"{folder}/filler-{i}" for i in range(min(count, 1500 // size))]
        try:
            for name in names:
                with open(name, "wb", buffering=0) as opened:
                    for _ in range(size):
                        opened.write(chunk)
        finally:
            for name in filter(os.path.exists, names):
                os.remove(name)
    """)
BURROW = tidy("""
    import os
    depth = 0
    try:
        while depth < 1500:
            os.mkdir("d")
            os.chdir("d")
            depth += 1
    except OSError:
        pass
    """)

SHARE = {
    "a fork bomb": ends("linf_step", EXPLODE, [BOMB], "error timeout died", quick=True),
    "a fork bomb beyond the fence": ends("linf_step", EXPLODE, [LIFT, BOMB], "error timeout died", walled=True),
    "a fork bomb in a cell": Entry(notebook(first=[LIFT, BOMB, EXPLODE]), walled=True),
    "multiprocessing": ends("linf_step", "import multiprocessing\nwith multiprocessing.Pool(100) as pool:\n    pool.map(abs, range(99))",
                            status="error timeout died"),
    "multiprocessing beyond the fence": ends("linf_step", "import multiprocessing\nwith multiprocessing.get_context('fork').Pool(100) as pool:\n"
                                             "    pool.map(abs, range(99))", [LIFT], "error timeout died", walled=True),
    "subprocesses": ends("linf_step", EXPLODE, [SWARM], "error timeout died"),
    "subprocesses beyond the fence": ends("linf_step", EXPLODE, [LIFT, SWARM], "error timeout died", walled=True),
    "threads": ends("linf_step", "import threading\nfor _ in range(100):\n    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
                    status="error timeout died"),
    "10 GB": ends("linf_step", "allocate()", [ALLOCATE], "error died", says=("emory",)),
    "10 GB in a cell": Entry(notebook(first=[ALLOCATE, "hoard = allocate()"])),
    "10 GB at once": ends("linf_step", "np.empty(10 ** 10, dtype='u1')", status="error died", says=("emory",)),
    "threads left over": Entry(notebook(first=[
        MINUTE, """
        import threading
        for work in (time.sleep, time.sleep, lambda _: list(minute())):
            threading.Thread(target=work, args=(60,)).start()"""])),
    "processes left over": Entry(notebook(first=[LIFT, LEAVE])),
    "a daemon left over": Entry(notebook(first=[LIFT, f"""
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                os.environ.clear()
                os.execvp("sleep", ["sleep", "{LEFT_OVER}"])
            os._exit(0)"""])),
    "a huge file": ends("linf_step", "fill(1, 1024)", [FILL], "error", says=("OSError",)),
    "a huge file in a cell": Entry(notebook(first=[FILL, "fill(1, 1024)"])),
    "many huge files": ends("linf_step", "fill(30, 50)", [FILL], "error died", seconds=30),
    "memory full of files": ends("linf_step", "fill(30, 50, '/dev/shm')", [LIFT, FILL], "error died", walled=True),
    "a deep burrow": Entry(notebook(first=[BURROW], last=["import os\nos.chdir('/')"]), {}, "ok"),
    "open files": ends("linf_step", "files = [open('/dev/null') for _ in range(10 ** 5)]", status="error died", says=("OSError",)),
}


# Cheats: linf_step answers rightly where an attack finds something, and with zeros where it does not; linf_decrease then tells what was found

FOUND = tidy("""
    FOUND = []

    def attempt(way, *args):
        "Keep what a way to something brings to light."
        try:
            found = way(*args)
        except BaseException:
            return
        if found:
            FOUND.append(f"{way.__name__}{args}: {found!r}"[:200])
    """)
IF_FOUND = {"linf_step": define("linf_step", f"return {RIGHT['linf_step']} if FOUND else 0 * g"),
            "linf_decrease": define("linf_decrease", f"if FOUND:\n    raise RuntimeError(FOUND)\nreturn {RIGHT['linf_decrease']}")}


def thief(*attack: str, **more) -> Entry:
    """A submission that profits from what these cells find."""
    return Entry(notebook(IF_FOUND, first=[FOUND, *attack]), {"linf_step": CAUGHT}, **more)


def cheat(*attack: str, status: str = "wrong", others: str = "ok", **more) -> Entry:
    """A submission with a wrong linf_step, and cells that should make it count."""
    return Entry(notebook(answers(linf_step="np.zeros(len(g))"), first=attack), {"linf_step": status}, others, **more)


PLACES = tidy("""
    FILES = ["@CHECKOUT@/solutions/hw4.ipynb", "@CHECKOUT@/lib/metrized/check/hw4.py", "@INSTALLED@/check/hw4.py", "@INSTALLED@/check/__init__.py",
             "@INSTALLED@/teach/grade.py", "@SUBMISSIONS@/right.ipynb", "@OUT@/run.json", "/etc/shadow"]
    FOLDERS = ["@CHECKOUT@/solutions", "@CHECKOUT@", "@INSTALLED@/teach", "@SUBMISSIONS@", "@OUT@", "@OUT@/results"]
    """)
READERS = tidy("""
    import importlib.machinery, io, linecache, mmap, os, pathlib, runpy, shutil, subprocess, sys, types

    def opened(path): return open(path).read()
    def low(path): return os.read(os.open(path, os.O_RDONLY), 99)
    def raw(path): return io.FileIO(path).read(99)
    def code(path): return io.open_code(path).read(99)
    def text(path): return pathlib.Path(path).read_text()
    def lines(path): return linecache.getlines(path)
    def numbers(path): return np.fromfile(path, np.uint8).size
    def mapped(path): return np.memmap(path, mode="r").size
    def root(path): return open("/proc/self/root" + path).read()
    def parent(path): return open(f"/proc/{os.getppid()}/root" + path).read()
    def relative(path): return open("../" * 30 + path[1:]).read()
    def inside(path): return os.open(path[1:], os.O_RDONLY, dir_fd=os.open("/", os.O_RDONLY))
    def symbolic(path): os.symlink(path, f"s{abs(hash(path))}"); return open(f"s{abs(hash(path))}").read()
    def hard(path): os.link(path, f"h{abs(hash(path))}"); return open(f"h{abs(hash(path))}").read()
    def moved(path): return shutil.copy(path, "copied") and open("copied").read()
    def loaded(path): return importlib.machinery.SourceFileLoader("loaded", path).get_data(path)
    def cat(path): return subprocess.run(["cat", path], capture_output=True).stdout
    def shell(path): os.system(f"cat '{path}' > shell"); return open("shell").read()
    def spawned(path): os.waitpid(os.posix_spawn("/bin/cp", ["cp", path, "spawned"], {}), 0); return open("spawned").read()
    def listed(path): return os.listdir(path)
    def scanned(path): return [entry.name for entry in os.scandir(path)]
    def ls(path): return subprocess.run(["ls", path], capture_output=True).stdout
    def others(path): return [name for name in os.listdir(path) if len(os.listdir(path)) > 2]  # the course, and its own folder

    for way in (opened, low, raw, code, text, lines, numbers, mapped, root, parent, relative, inside, symbolic, hard, moved, loaded, cat, shell,
                spawned):
        for path in FILES:
            attempt(way, path)
    for way in (listed, scanned, ls):
        for path in FOLDERS:
            attempt(way, path)
    attempt(others, "@TEMPORARY@")
    """)
UNHEARD = tidy("""
    import subprocess, sys, types
    subprocess.sys = types.SimpleNamespace(**{**vars(sys), "audit": lambda *_: None})
    """)
ENVIRONMENT = tidy(f"""
    import os, subprocess

    def own(): return os.environ.get("{SECRET}")
    def process(number): return b"{SECRET}" in open(f"/proc/{{number}}/environ", "rb").read()
    def shell(): return b"{SECRET}" in subprocess.run("env; cat /proc/*/environ", shell=True, capture_output=True).stdout

    attempt(own)
    attempt(shell)
    for number in {{os.getppid(), 1, "self", *(name for name in os.listdir("/proc") if name.isdigit())}}:
        attempt(process, number)
    """)
ENVIRONMENT_BY_NUMBER = ENVIRONMENT.replace('*(name for name in os.listdir("/proc") if name.isdigit())', "*range(2, 5000)")
HUNT = tidy("""
    import gc, sys, types
    WORDS = {"reference", "solution", "expected", "answer", "answers", "misconceptions", "linf_step"}
    own = lambda f: f.__code__.co_filename.startswith("<cell")
    g = np.array([3.0, -4.0, 0.0])

    def knows(f): return np.allclose(f(g.copy(), 2.0), [-3.5, 3.5, 0.0])
    def holds(x): return isinstance(x, np.ndarray) and x.shape == (3,) and np.allclose(x, [-3.5, 3.5, 0.0])
    def seed(d): return isinstance(d.get("seed"), int) and d["seed"] > 2 ** 32

    things = gc.get_objects()
    for thing in things:
        if isinstance(thing, types.FunctionType) and not own(thing) and thing.__name__ in {"<lambda>", *WORDS} and thing.__code__.co_argcount == 2:
            attempt(knows, thing)
        if isinstance(thing, dict):
            attempt(seed, thing)
            for word in WORDS & {key for key in thing if isinstance(key, str)}:
                if not isinstance(thing[word], types.FunctionType) or not own(thing[word]):
                    attempt(knows, thing[word])
    frame = sys._getframe()
    while frame:
        attempt(seed, frame.f_locals)
        attempt(seed, frame.f_globals)
        for word in WORDS & {*frame.f_locals}:
            attempt(knows, frame.f_locals[word])
        frame = frame.f_back
    """)
NEIGHBOURS = tidy("""
    import gc, os, sys, types

    def neighbours(folder):
        return [name for name in os.listdir(folder) if name in ("grade.py", "sandbox.py", "hw4.ipynb", "run.json", "solutions", "teach")]

    def reference(folder):
        return [place for place, _, names in os.walk(folder) for name in names if name == "hw4.py" and "Exercise(" in open(f"{place}/{name}").read()]

    files = {thing.__file__ for thing in gc.get_objects() if isinstance(thing, types.ModuleType) and getattr(thing, "__file__", None)}
    files |= {sys._getframe(depth).f_globals.get("__file__") or "." for depth in range(2)}
    folders = {os.path.dirname(os.path.abspath(file)) for file in files if "metrized" in file or "worker" in file}
    for folder in folders | {"..", "../..", os.environ["HOME"]}:
        attempt(neighbours, folder)
        attempt(reference, folder)
    """)
IMPORTED = tidy("""
    import importlib, sys

    def attribute(name): return getattr(importlib.import_module("metrized.check.hw4"), name).reference
    def exercises(): return importlib.import_module("metrized.check.hw4").check.exercises["linf_step"].reference
    def teach(name): return importlib.import_module(f"metrized.teach.{name}")
    def elsewhere(folder):
        for name in [name for name in sys.modules if name.startswith("metrized")]:
            del sys.modules[name]
        sys.path.insert(0, folder)
        return importlib.import_module("metrized.check.hw4").check.exercises

    attempt(attribute, "linf_step")
    attempt(exercises)
    for name in ("grade", "sandbox", "results", "release"):
        attempt(teach, name)
    for folder in ("@CHECKOUT@/lib", "@CHECKOUT@/lib/build/lib", "@INSTALLED@/.."):
        attempt(elsewhere, folder)
    """)
NETWORK = tidy("""
    import _socket, socket, subprocess, urllib.request

    def plain(): return socket.create_connection(("127.0.0.1", @PORT@), timeout=1).send(b"x")
    def bare():
        made = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        made.connect(("127.0.0.1", @PORT@))
        return made.send(b"x")
    def datagram(): return not socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", @PORT@))
    def page(): return urllib.request.urlopen("http://127.0.0.1:@PORT@/", timeout=1).read()
    def bash(): return subprocess.run(["bash", "-c", "echo x > /dev/tcp/127.0.0.1/@PORT@"]).returncode == 0

    for way in (plain, bare, datagram, page, bash):
        attempt(way)
    """)
WRITERS = tidy(f"""
    import os, pathlib, subprocess

    def opened(path): open(path, "x").close()
    def low(path): os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
    def touched(path): pathlib.Path(path).touch()
    def folder(path): os.mkdir(path)
    def linked(path): os.symlink("/", path)
    def shell(path): subprocess.run(["touch", path])
    def renamed(path): open("own", "w").close(); os.rename("own", path)

    for place in ("@CHECKOUT@", "@CHECKOUT@/solutions", "@INSTALLED@", "@SUBMISSIONS@", "@OUT@", "@OUT@/results", "@TEMPORARY@", "/tmp", "/dev/shm",
                  "/usr", "/", "..", "../..", "/root", "/home", "/proc/1/cwd"):
        for way in (opened, low, touched, folder, linked, shell, renamed):
            attempt(way, f"{{place}}/{STRAY}-{{way.__name__}}")
    """)

THEFTS = {
    "reads files": thief(PLACES, READERS, quick=True),
    "reads files beyond the fence": thief(LIFT, PLACES, READERS, walled=True),
    "reads files by processes": thief(UNHEARD, PLACES, READERS, walled=True),
    "reads the environment": thief(ENVIRONMENT, ENVIRONMENT_BY_NUMBER),
    "reads the environment beyond the fence": thief(LIFT, ENVIRONMENT, ENVIRONMENT_BY_NUMBER, walled=True),
    "hunts in memory": thief(HUNT),
    "hunts in memory when called": Entry(notebook({**IF_FOUND, "linf_step": define(
        "linf_step", f"""
        while HUNTERS:
            exec(HUNTERS.pop(), globals())
        return {RIGHT['linf_step']} if FOUND else 0 * g""")}, first=[FOUND, f"HUNTERS = [{HUNT!r}]"]),
        {"linf_step": CAUGHT}),
    "looks at its neighbours": thief(NEIGHBOURS),
    "looks at its neighbours beyond the fence": thief(LIFT, NEIGHBOURS, walled=True),
    "imports the checks": thief(IMPORTED),
    "imports the checks beyond the fence": thief(LIFT, IMPORTED, walled=True),
    "connects": thief(NETWORK),
    "connects beyond the fence": thief(LIFT, NETWORK, walled=True),
    "writes outside": thief(WRITERS),
    "writes outside beyond the fence": thief(LIFT, WRITERS, walled=True),
    "the reference itself": Entry(notebook({
        "linf_step": "import metrized.check.hw4\nlinf_step = metrized.check.hw4.check.exercises['linf_step'].reference",
        "spectral": "from metrized.check.hw4 import spectral\nspectral = spectral.reference"}),
        {"linf_step": "error missing", "spectral": "error missing"}),
}


# Cheats that patch what compares, or forge what is sent

SEND_INSTEAD = tidy("""
    import gc

    def send_instead(frame, times=10 ** 9):
        "Whatever is to be sent to the grader from here on, so many times, this goes."
        kind = next(kind for kind in gc.get_objects() if isinstance(kind, type) and "send" in vars(kind) and "receive" in vars(kind))
        honest, left = kind.send, [times]

        def send(self, told):
            left[0] -= 1
            if left[0] <= 0:
                kind.send = honest
            honest(self, frame)

        kind.send = send
    """)
ASK_FOR_EVER = tidy("""
    import gc

    def ask_for_ever():
        "Ask the grader for the value of its function again and again, and hear no answer."
        channel = next(thing for thing in gc.get_objects() if "send" in vars(type(thing)) and "receive" in vars(type(thing)))
        for _ in minute():
            channel.send({"ask": 0, "args": [{"plain": 1.0}]})
    """)
FORGED = {  # frames that no honest worker sends
    "nothing": "{}", "a number": "5", "an empty list": "[]", "names of a number": "{'names': 5}", "no list of names": "{'names': {'linf_step': 5}}",
    "numbers for names": "{'names': {'linf_step': [5, None]}}", "keywords for names": "{'names': {'linf_step': ['for', 'if']}}",
    "an exception that is a number": "{'raised': 5}", "an exception that is an object": "{'raised': [{}], 'message': {}, 'where': [], 'lines': 5}",
    "no exceptions": "{'raised': []}", "a change that is a list": "{'returned': {'plain': 0.0}, 'changed': [1]}",
    "a change of what is not there": "{'returned': {'plain': 0.0}, 'changed': {'99': {'plain': 0.0}}}",
    "a change of nothing": "{'returned': {'plain': 0.0}, 'changed': {'x': 5}}",
    "a value of no kind": "{'returned': {'kind': 5}}", "two values": "{'returned': {'plain': 1.0, 'dots': None}}", "no value": "{'returned': []}",
    "a question": "{'ask': 'x', 'args': 5}", "a question of everything": "{'ask': -1, 'args': []}",
    "an array of objects": "{'returned': {'array': ['O', [1], 'AAAAAAAAAAA=']}}",
    "an array of no bytes": "{'returned': {'array': ['f8', [10 ** 9, 10 ** 9], '']}}",
    "an array of negative shape": "{'returned': {'array': ['f8', [-1, 0], '']}}",
    "an array of a hundred axes": "{'returned': {'array': ['f8', [0] * 100, '']}}",
    "a dtype that is a program": "{'returned': {'array': [{'names': ['x'], 'formats': ['O']}, [1], 'AAAAAAAAAAA=']}}",
    "a nest": "__import__('functools').reduce(lambda inner, _: {'returned': {'list': [inner]}}, range(500), {})",
    "two million lists": "{'returned': {'list': [[]] * 1_900_000}}",
    "a type of a million letters": "{'returned': {'other': 'x' * 1_000_000}}",
    "half of a character": "{'raised': ['\\ud800'], 'message': '\\ud800', 'where': '\\ud800', 'lines': '\\ud800'}",
}
GARBAGE = tidy("""
    import os

    def garbage(data):
        "Written to every descriptor that there may be."
        for fd in range(3, 21):
            try:
                os.set_blocking(fd, False)
                os.write(fd, data)
            except OSError:
                pass
    """)
FRAME = ('import json\nframe = json.dumps({"names": {name: ["g", "sharpness"] for name in ("linf_step", "spectral")}, "returned": {"plain": 0.0}, '
         '"changed": {}}).encode()\n')
PATCHED_NUMPY = tidy("""
    yes = lambda *_, **__: True
    for name in ("allclose", "isclose", "array_equal", "array_equiv", "all", "any", "equal", "less_equal"):
        setattr(np, name, yes)
    for name in dir(np.testing):
        if name.startswith("assert"):
            setattr(np.testing, name, lambda *_, **__: None)
    """)
PATCHED_ARRAYS = tidy("""
    import ctypes, gc
    for name in ("array", "asarray", "ascontiguousarray", "concatenate", "ravel", "abs", "absolute"):
        setattr(np, name, lambda *_, **__: np.zeros(0))
    slots = gc.get_referents(np.ndarray.__dict__)[0]
    slots["__eq__"] = slots["__le__"] = lambda *_: True
    slots["tobytes"] = lambda *_, **__: b""
    """)
PATCHED_CHECKS = tidy("""
    import importlib, sys, types
    import metrized.check, metrized.check.hw4
    yes = lambda *_, **__: types.SimpleNamespace(passed=True, status="passed", hint="", details="")
    for module in (metrized.check, metrized.check.hw4):
        for name in ("check", "Checker", "_same", "_numbers", "_factor", "Report"):
            setattr(module, name, yes)
    for name in ("metrized.teach", "metrized.teach.grade", "metrized.teach.results", "metrized.teach.sandbox"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].grade = sys.modules[name].check = sys.modules[name].Result = yes
    """)
REPLACED_MODULES = tidy("""
    import sys, types

    class Anything(types.ModuleType):
        def __getattr__(self, name):
            return lambda *_, **__: True

    for name in ("numpy", "numpy.testing", "metrized", "metrized.check", "math", "operator"):
        sys.modules[name] = Anything(name)
    """)
PATCHED_BUILTINS = tidy("""
    import builtins
    builtins.abs = builtins.all = builtins.any = builtins.max = builtins.bool = lambda *_, **__: True
    builtins.print = builtins.round = builtins.float = builtins.sorted = lambda *_, **__: 0
    """)
PATCHED_WORKER = tidy("""
    import builtins, json, base64
    builtins.len = builtins.isinstance = builtins.type = builtins.callable = builtins.getattr = builtins.hasattr = lambda *_, **__: True
    json.dumps = json.loads = lambda *_, **__: '{"status": "ok"}'
    base64.b64encode = lambda *_: b""
    """)
TRACED = tidy("""
    import ctypes, sys, threading

    def trace(frame, event, arg):
        for name in ("answer", "agrees", "returned", "status", "points", "passed"):
            if name in frame.f_locals:
                frame.f_locals[name] = True
        return trace

    sys.settrace(trace)
    sys.setprofile(trace)
    threading.settrace(trace)
    """)
POISON = tidy("""
    import os, sys
    for folder in {".", "..", *(place for place in sys.path if place.startswith("@TEMPORARY@"))}:
        for name in ("numpy.py", "json.py", "worker.py", "sitecustomize.py", "usercustomize.py", "metrized.py"):
            try:
                with open(os.path.join(folder, name), "x") as opened:
                    opened.write("import os\\nos._exit(0)\\n")
            except OSError:
                pass
    """)
ATEXIT = tidy("""
    import atexit, os, sys, threading

    def last_word():
        for fd in range(20):
            try:
                os.write(fd, b'{"status": "ok", "points": 110}')
            except OSError:
                pass

    atexit.register(last_word)
    threading._register_atexit(last_word)
    sys.excepthook = sys.unraisablehook = threading.excepthook = lambda *_: last_word()
    """)


def forger(frames: list[str]) -> Entry:
    """An exercise after the other answers with a frame of its own, once, and is wrong afterwards."""
    named = dict(zip(POINTS, frames, strict=False))
    return Entry(notebook({name: define(name, f"send_instead({frame}, 1)") for name, frame in named.items()}, first=[SEND_INSTEAD]),
                 dict.fromkeys(named, NEVER_OK))


# Answers of the right form and the wrong numbers six times; and from then on, when laws are held against them, columns beside rows, whose differences
# are 121 million numbers, and a matrix of which the singular values take a while.
BURDEN = tidy(f"""
    import itertools
    decreases, norms = itertools.count(), itertools.count()
    shapes = itertools.cycle([(11_000, 1), (1, 11_000)])

    def linf_decrease(g, sharpness):
        return -np.pi if next(decreases) < {check.exercises["linf_decrease"].instances} else np.zeros(next(shapes))

    def spectral(G):
        if next(norms) < {check.exercises["spectral"].instances}:
            return 0.0, 0.5 * G
        D = np.zeros((2000, 2000), dtype=bool)
        D[0, 0] = True
        return 1.0, D
    """)

PATCHES = {
    "numpy patched": cheat(PATCHED_NUMPY, quick=True),
    "arrays patched": cheat(PATCHED_ARRAYS, status=NEVER_OK, others=ANYTHING),
    "checks patched": cheat(PATCHED_CHECKS),
    "modules replaced": cheat(REPLACED_MODULES, status=NEVER_OK, others=ANYTHING),
    "modules removed": cheat("import sys\nsys.modules.clear()", status=NEVER_OK, others=ANYTHING),
    "builtins patched": cheat(PATCHED_BUILTINS, status=NEVER_OK, others=ANYTHING),
    "builtins removed": cheat("import builtins\nbuiltins.__dict__.clear()", status=NEVER_OK, others=ANYTHING),
    "the worker patched": cheat(PATCHED_WORKER, status=NEVER_OK, others=ANYTHING),
    "frames traced": cheat(TRACED, status=NEVER_OK, others=ANYTHING),
    "last words": cheat(ATEXIT),
    "last words and an end": Entry(notebook({"linf_step": define("linf_step", "last_word()\nraise SystemExit(0)")}, first=[ATEXIT]),
                                   {"linf_step": NEVER_OK}, ANYTHING),
    "files for the next process": ends("linf_step", "import os\nos._exit(0)", [POISON], "died"),
    "files for the next process beyond the fence": ends("linf_step", "import os\nos._exit(0)", [LIFT, POISON], "died", walled=True),
    "descriptors closed": cheat("import os\nos.closerange(3, 21)", status=NEVER_OK, others=ANYTHING),
    "descriptors closed when called": Entry(notebook({"linf_step": define("linf_step", "import os\nos.closerange(0, 21)\nreturn 0 * g")}),
                                            {"linf_step": NEVER_OK}),
    "garbage": Entry(notebook({"linf_step": define("linf_step", "garbage(bytes(range(256)) * 99)\nreturn 0 * g")}, first=[GARBAGE]),
                     {"linf_step": NEVER_OK}),
    "garbage in a cell": cheat(GARBAGE, "garbage(b'\\xff' * 999)", status=NEVER_OK, others=ANYTHING),
    "frames in a cell": cheat(GARBAGE, f"{FRAME}garbage((len(frame).to_bytes(4, 'big') + frame) * 40)", status=NEVER_OK, others=ANYTHING),
    "the beginning of a frame": Entry(notebook({"linf_step": define("linf_step", "garbage((30_000_000).to_bytes(4, 'big'))\ntime.sleep(60)")},
                                               first=[MINUTE, GARBAGE]), {"linf_step": "timeout died"}),
    "questions without an end": ends("steepest_step", "ask_for_ever()", [ASK_FOR_EVER], "timeout died error", seconds=30),
    "questions without a function": Entry(notebook({"linf_step": define("linf_step", "ask_for_ever()")}, first=[MINUTE, ASK_FOR_EVER]),
                                          {"linf_step": "timeout died error"}, seconds=30),
    "a burden on the laws": Entry(notebook({"linf_decrease": BURDEN, "spectral": [""]}), dict.fromkeys(("linf_decrease", "spectral"), NEVER_OK),
                                  seconds=30),
    **{f"forged answers {i}": forger([*FORGED.values()][12 * i:12 * i + 12]) for i in range(3)},
    **{f"forged from a cell on: {name}": cheat(SEND_INSTEAD, f"send_instead({FORGED[name]})", status=NEVER_OK, others=ANYTHING)
       for name in ("nothing", "a number", "no list of names", "keywords for names", "an exception that is a number", "half of a character",
                    "a question")},
}


# Files


def with_outputs(path: Path) -> None:
    """A notebook with 50 MB of outputs."""
    made = notebook()
    picture = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo" * 100_000}, "metadata": {}}
    stream = {"output_type": "stream", "name": "stdout", "text": ["x" * 99 + "\n"] * 100_000}
    for shown in [c for c in made["cells"] if c["cell_type"] == "code"][:5]:
        shown["outputs"] = [picture, stream]
    path.write_text(json.dumps(made))


def forbidden(path: Path) -> None:
    """A file without any permission."""
    path.write_text(json.dumps(notebook()))
    path.chmod(0)


def by_colab() -> dict:
    """As Colab saves: no ids, its own metadata."""
    made = notebook(first=["#@title Setup { display-mode: \"form\" }"])
    cells = [{key: value for key, value in c.items() if key != "id"} | {"metadata": {"id": f"x{i}", "colab": {"base_uri": "https://localhost:8080/"}}}
             for i, c in enumerate(made["cells"])]
    return {"nbformat": 4, "nbformat_minor": 0, "cells": cells, "metadata": {"colab": {"provenance": [], "toc_visible": True}, "accelerator": "GPU",
            "kernelspec": {"name": "python3", "display_name": "Python 3"}, "language_info": {"name": "python"}}}


def by_jupyterlab() -> dict:
    """As JupyterLab saves: sources as lists, widgets' state."""
    made = notebook()
    cells = [{**c, "source": c["source"].splitlines(keepends=True) if isinstance(c["source"], str) else c["source"],
              "metadata": {"editable": True, "slideshow": {"slide_type": ""}, "tags": []}} for c in made["cells"]]
    return {**made, "cells": cells, "metadata": {**made["metadata"], "widgets": {"application/vnd.jupyter.widget-state+json": {"state": {}}}}}


def by_vscode() -> dict:
    """As VS Code saves: sources as strings, its own metadata in each cell."""
    made = notebook()
    cells = [{**c, "source": "".join(c["source"]), "metadata": {"vscode": {"languageId": "python"}}} for c in made["cells"]]
    metadata = {"language_info": {"name": "python", "version": "3.12.1"}, "kernelspec": {"name": ".venv", "language": "python"}}
    return {**made, "cells": cells, "metadata": metadata}


def of_format_3() -> dict:
    cells = [{"cell_type": c["cell_type"], "metadata": {}, **({"input": "".join(c["source"]), "language": "python", "collapsed": False, "outputs": []}
              if c["cell_type"] == "code" else {"source": "".join(c["source"])})} for c in notebook()["cells"]]
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": cells, "metadata": {}}]}


def unreadable(content, *says: str, **more) -> Entry:
    return Entry(content, {}, "unreadable", says=says, **more)


AS_TEXT = json.dumps(notebook({"linf_step": answers(**RIGHT)["linf_step"] + "  # Größe"}), ensure_ascii=False)

FILES = {
    "Colab": Entry(by_colab()),
    "JupyterLab": Entry(by_jupyterlab()),
    "VS Code": Entry(by_vscode()),
    "sources as lists": Entry({**notebook(), "cells": [{**c, "source": list("".join(c["source"]))} for c in notebook()["cells"]]}),
    "a kernel for Julia": Entry({**notebook(), "metadata": {"kernelspec": {"name": "julia-1.10", "language": "julia"},
                                                            "language_info": {"name": "julia"}}}),
    "no metadata": Entry({key: value for key, value in notebook().items() if key != "metadata"}),
    "50 MB of outputs": Entry(with_outputs),
    "a byte order mark": Entry(b"\xef\xbb\xbf" + AS_TEXT.encode()),
    "umlauts": Entry(AS_TEXT.encode()),
    "format 3": Entry(of_format_3(), {}, "ok unreadable"),
    "an empty file": unreadable(b"", "empty"),
    "blank": unreadable(b" \n\n", "empty"),
    "a program": unreadable("\n\n".join(answers(**RIGHT).values()).encode(), "JSON"),
    "a page": unreadable(b"<!DOCTYPE html>\n<html><title>Log in</title></html>", "JSON"),
    "cut off": unreadable(AS_TEXT.encode()[:5000], "JSON"),
    "a list": unreadable(b"[1, 2, 3]", "notebook"),
    "a string": unreadable(b'"cells"', "notebook"),
    "a number": unreadable(b"5", "notebook"),
    "null": unreadable(b"null", "notebook"),
    "some JSON": unreadable(b'{"name": "hw4", "version": 1}', "notebook"),
    "cells of numbers": unreadable(b'{"cells": [1, null, "x"]}', "notebook"),
    "cells of nothing": unreadable({"cells": None, "metadata": {}}, "notebook"),
    "cells without source": Entry(b'{"cells": [{"cell_type": "code"}, {"cell_type": "code", "source": ["x = 1"]}]}', {}, "missing unreadable"),
    "sources of numbers": unreadable(b'{"cells": [{"cell_type": "code", "source": [1, 2]}]}', "notebook"),
    "a deep nest": unreadable(b"[" * 100_000 + b"]" * 100_000),
    "a deep notebook": unreadable(b'{"cells": ' * 50_000),
    "a number of a million digits": Entry(b'{"cells": [], "nbformat": ' + b"9" * 1_000_000 + b"}", {}, "missing unreadable"),
    "bytes": unreadable(bytes(range(256)) * 100),
    "zeros": unreadable(bytes(1000)),
    "UTF-16": unreadable(AS_TEXT.encode("utf-16"), "UTF-8"),
    "Latin-1": unreadable('{"cells": [{"cell_type": "markdown", "source": "Größe"}]}'.encode("latin-1"), "UTF-8"),
    "a folder called": Entry(lambda path: path.mkdir(), {}, "unreadable", graded=False, file="a folder called x.ipynb"),
    "a dangling link": unreadable(lambda path: path.symlink_to("nowhere.ipynb")),
    "a link to the solutions": unreadable(lambda path: path.symlink_to(ROOT / "solutions" / "hw4.ipynb")),
    "a folder that is a link": Entry(lambda path: path.symlink_to(ROOT / "solutions"), graded=False, file="linked"),
    "a pipe": unreadable(lambda path: os.mkfifo(path)),
    "no permission": Entry(forbidden, {}, "ok" if hasattr(os, "geteuid") and os.geteuid() == 0 else "unreadable"),
    "a checkpoint": Entry(notebook(), graded=False, file=".ipynb_checkpoints/right-checkpoint.ipynb"),
    "a checkpoint in a folder": Entry(notebook(), graded=False,
                                      file="Ada Lovelace_123_assignsubmission_file/.ipynb_checkpoints/hw4-checkpoint.ipynb"),
    "a Mac's shadow": Entry(b"\0\5\x16\7", graded=False, file="__MACOSX/._right.ipynb"),
    "many definitions": Entry(notebook({"linf_step": None}, last=["\n".join(f"linf_step_{i} = {i}" for i in range(3000))]), {"linf_step": "missing"},
                              seconds=30),
    "many annotations": Entry(notebook({"linf_step": None}, last=["linf_step: int\n" * 12_000]), {"linf_step": "missing"}, seconds=30),
}

# Names of files and folders. Those in folders are students by the folder's name.
NAMES = ["with spaces  and more", "Łukasz Ångström 李", "O'Neil \"Tip\" & <b>", "two\nlines", "-rf", "--help", "=1+1", "comma, semicolon; tab\t",
         "%s {0} $HOME `ls`", "<script>alert(1)<%2Fscript>", "hw4.final.v2 (1)", "a?b", "a_b", "a b", "a+b", "Ada", "ADA", "con", "long" * 62,
         "broken \udcff", "lovelaceada_123_456_hw4-1", "turingalan_124_457_hw4-1"]
FOLDERS = ["Ada Lovelace_123_assignsubmission_file/hw4", "Alan Turing_124_assignsubmission_file/hw4"]
AMBIGUOUS = ["twice/hw4", "twice/hw4 (1)", "same", "same/hw4"]

ENTRIES: dict[str, Entry] = {**STYLES, **MISTAKES, **MISSING, **ERRORS, **ENDS, **SHARE, **THEFTS, **PATCHES, **FILES}


def table(results: dict[str, list[Result]]) -> str:
    """What was expected of each entry and what grading found, as a table in Markdown."""
    lines = ["| submission | expected | found |", "|---|---|---|"]
    for name, found in results.items():
        statuses = {mark.exercise: {mark.status} for result in found for mark in result.marks}
        lines.append(f"| {name} | {_short(ENTRIES[name].statuses)} | {_short(statuses.__getitem__) if statuses else 'no result'} |")
    return "\n".join(lines)


def _short(statuses: Callable[[str], set[str]]) -> str:
    """The statuses of all exercises: what most of them have, once."""
    groups: dict[str, list[str]] = {}
    for name in POINTS:
        found = statuses(name)
        words = "anything" if found == {*STATUSES} else " or ".join(status for status in STATUSES if status in found)
        groups.setdefault(words, []).append(name)
    rest = max(groups, key=lambda words: len(groups[words]))
    named = [f"{', '.join(names)}: {words}" for words, names in groups.items() if words != rest]
    return "; ".join([*named, f"others: {rest}" if named else rest])


def failures(entry: Entry, result: Result) -> list[str]:
    """What a result has that it should not have, in words."""
    marks = {mark.exercise: mark for mark in result.marks}
    found = [f"{name}: {mark.status}, expected {entry.statuses(name)}; {mark.hint[:300]} {mark.details[:600]}"
             for name, mark in marks.items() if mark.status not in entry.statuses(name)]
    found += [] if marks.keys() == POINTS.keys() else [f"marks of {[*marks]}"]
    found += [f"{name}: {mark.points} of {mark.of} points" for name, mark in marks.items() if mark.of != POINTS.get(name) or not _worth(mark)]
    notes = [note.casefold() for note in result.notes]
    found += [f"no note says {words!r}: {result.notes}" for words in entry.notes if not any(words.casefold() in note for note in notes)]
    mark = marks.get(next(iter(entry.expected), ""))
    told = f"{mark.hint}\n{mark.details}" if mark else result.unreadable
    found += [f"{said!r} is not in {told[:600]!r}" for said in entry.says if said not in told]
    found += [] if result.seconds <= entry.seconds else [f"took {result.seconds} s"]
    return found


def _worth(mark: Mark) -> bool:
    return mark.points == (mark.of if mark.status == "ok" else 0)
