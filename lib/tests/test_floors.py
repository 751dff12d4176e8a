"""The house: a file imports from its own floor or from lower ones, never upward and never in a circle."""
import ast
from pathlib import Path

from metrized.cache import ABOVE

PACKAGE = Path(__file__).parents[1] / "metrized"
FLOORS = ("heap arrays vectors linalg", "norms modules", "atoms bonds losses", "compounds objective curvature", "optimizers schedules data noise",
          "train cache workers sweeps ledger", "figures live lesson check teach examples")
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names.split()}


def imports(path: Path) -> set[str]:
    """The package's own modules that a file imports, by their first name."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            up = depth - node.level
            inside = path.relative_to(PACKAGE).parts[0] if up else None
            found |= {inside} if inside else {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("metrized"):
            found |= {node.module.split(".")[1]} if "." in node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("metrized.")}
    return found & set(FLOOR)


def files() -> dict[Path, str]:
    """Every source file with the name under which it stands on a floor."""
    paths = set(PACKAGE.rglob("*.py")) - {PACKAGE / "__init__.py"}
    return {path: path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in sorted(paths)}


def test_every_file_has_its_floor():
    assert set(files().values()) == set(FLOOR)


def test_no_import_goes_upward():
    for path, name in files().items():
        for other in imports(path):
            assert FLOOR[other] <= FLOOR[name], f"{path.name} (floor {FLOOR[name]}) imports {other} (floor {FLOOR[other]})"


def test_no_circle():
    below = {}
    for path, name in files().items():
        below.setdefault(name, set()).update(imports(path) - {name})

    def reach(name, trail=()):
        assert name not in trail, " -> ".join((*trail, name))
        for other in below[name]:
            reach(other, (*trail, name))

    for name in below:
        reach(name)


def test_results_depend_on_all_floors_but_the_highest():
    """What a cache leaves out of a result's name is the highest floor, and the tables that experiments have written."""
    assert {name.removesuffix(".py") for name in ABOVE} == {*FLOORS[-1].split(), "results"}


def test_benchmarks_and_oracles_stay_out_of_the_package():
    for path in files():
        for foreign in ("torch", "jax", "autograd", "scipy", "sklearn", "benchmarks"):
            assert f"import {foreign}" not in path.read_text() and f"from {foreign}" not in path.read_text(), (path, foreign)
