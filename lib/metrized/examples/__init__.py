"""The experiments behind the lectures, each a module that is also a program; the tables that they ship lie in results/."""
import json
from importlib.resources import files
from pathlib import Path


def shipped(name: str) -> list[dict]:
    """The rows of a table that ships with the package, results/`name`.json."""
    table = json.loads((files("metrized") / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def ship(name: str, rows: list[dict]) -> None:
    """Write rows with the same columns as such a table, a line a row; infinity as 1e999, which JSON can hold."""
    columns = list(rows[0])
    lines = ",\n".join(json.dumps([row[c] for c in columns], ensure_ascii=False).replace("Infinity", "1e999") for row in rows)
    path = Path(__file__).parents[1] / "results" / f"{name}.json"
    path.write_text(f'{{"columns": {json.dumps(columns)}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")
