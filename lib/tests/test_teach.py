"""The instructor's commands. (Releasing homework is in test_homework.)"""
import json
from pathlib import Path

import pytest

from metrized.teach import claims

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_table_of_claims(monkeypatch, capsys, metrized):
    """A row for each claim of a lecture, with its value and bounds; 0 where all hold."""
    monkeypatch.chdir(ROOT / "lib")
    assert metrized("claims", "01") == 0
    rows = capsys.readouterr().out.splitlines()
    source = "".join("".join(c["source"]) for c in json.loads((ROOT / "lectures" / "01-quadratics.ipynb").read_text())["cells"])
    assert len(rows) >= source.count("claim(") and all(row.startswith("| 01 | ") and row.count("|") >= 5 for row in rows)
    assert any("largest curvature | 84.2 | [84, 85]" in row for row in rows)


@pytest.mark.slow
def test_a_false_claim_fails_the_command(tmp_path, monkeypatch, capsys, metrized):
    """It is named, and the other lectures are still tried."""
    for folder in ("solutions", "homework", "lectures"):
        (tmp_path / folder).mkdir()
    for name, value in (("01-a", 5), ("02-b", 0)):
        cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None,
                "source": f"from metrized.lesson import claim\nclaim('zero', {value}, (0, 1))"}
        (tmp_path / "lectures" / f"{name}.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    monkeypatch.chdir(tmp_path)
    assert metrized("claims") == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("| 01 | FAILED |") and "FAILS  zero: 5" in first and second == "| 02 | zero | 0 | [0, 1] |"


def test_lectures_are_told_in_order(tmp_path, monkeypatch, capsys, metrized, rng):
    """Whatever the order of the files in the folder."""
    for folder in ("solutions", "homework", "lectures"):
        (tmp_path / folder).mkdir()
    for i in rng.permutation(30):
        (tmp_path / "lectures" / f"{i:02}-a.ipynb").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(claims, "claims", lambda path: [(path.name, "0", "[0, 1]")])
    assert metrized("claims") == 0
    assert [line[2:4] for line in capsys.readouterr().out.splitlines()] == [f"{i:02}" for i in range(30)]


@pytest.mark.slow
def test_only_printed_claims_are_told(tmp_path, monkeypatch, capsys, metrized):
    """Whole lines, to stdout, in order; a statement may hold a colon. No lecture, no success."""
    for folder in ("solutions", "homework", "lectures"):
        (tmp_path / folder).mkdir()
    source = """import sys
from metrized.lesson import claim
claim('rate: of two', [0, 1], (0, 1))
print('it holds  quoted: 1  in [0, 1]')
print('holds  whispered: 1  in [0, 1]', file=sys.stderr)
claim('rate', 0.5, (0, 1))"""
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": source}
    (tmp_path / "lectures" / "07-a.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    monkeypatch.chdir(tmp_path)
    assert metrized("claims", "07") == 0
    assert capsys.readouterr().out.splitlines() == ["| 07 | rate: of two | 0, 1 | [0, 1] |", "| 07 | rate | 0.5 | [0, 1] |"]
    assert metrized("claims", "08") == 1
