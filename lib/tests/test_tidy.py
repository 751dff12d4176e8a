"""Cleaning a notebook undoes what running and editing it leave behind, and changes nothing else."""
import copy
import json
from pathlib import Path

import pytest

from metrized.teach.release import dump
from metrized.teach.tidy import tidy

ROOT = Path(__file__).parents[2]
NOTEBOOKS = [*sorted((ROOT / "lectures").glob("*.ipynb")), *sorted((ROOT / "solutions").glob("*.ipynb"))]


def name(path: Path) -> str:
    return path.stem.partition("-")[0]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_running_and_editing_leave_no_trace(path):
    """The notebook as committed comes back, byte by byte, from what an editor of a new or an old format has made of it."""
    text = path.read_text(encoding="utf-8")
    edited = json.loads(text)
    edited |= {"nbformat_minor": 4, "metadata": {"kernelspec": {"name": "mine"}, "widgets": {"state": {}}, "colab": {}}}
    for cell in edited["cells"]:
        cell["metadata"] |= {"collapsed": True, "execution": {"iopub.execute_input": "2026"}, "id": "x"}
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell |= {"execution_count": 3, "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}]}
    assert dump(tidy(edited, name(path))) == text == dump(tidy(json.loads(text), name(path)))
    for cell in edited["cells"]:
        cell.pop("id")
    assert [cell["id"] for cell in tidy(edited, "x")["cells"]] == [f"x-{i:03}" for i in range(len(edited["cells"]))]


def test_new_cells_get_names_and_old_ones_keep_theirs():
    cell = {"cell_type": "markdown", "metadata": {}, "source": "a\nb\n"}
    ids = ["5-000", "5-002", "random", "5-002", None, "6-001", "5-0001"]
    before = {"cells": [{**cell, "id": i} if i else cell for i in ids]}
    given = copy.deepcopy(before)
    after = tidy(before, "5")["cells"]
    assert [c["id"] for c in after] == ["5-000", "5-002", "5-001", "5-003", "5-004", "5-005", "5-006"] and before == given
    assert after[0] == {"cell_type": "markdown", "id": "5-000", "metadata": {}, "source": ["a\n", "b\n"]}


def test_what_a_cell_says_stays():
    """Tags, what a variant writes, the place on a slide, pictures pasted into text."""
    cell = {"cell_type": "markdown", "id": "5-000", "source": ["x"],
            "metadata": {"tags": ["solution"], "variant": {"a": "{b}"}, "slideshow": {"slide_type": "slide"}},
            "attachments": {"p.png": {}}}
    assert tidy({"cells": [cell]}, "5")["cells"] == [cell]
    assert tidy({"cells": [{**cell, "metadata": {"tags": []}}]}, "5")["cells"][0]["metadata"] == {}


def test_the_command_names_what_it_has_cleaned(tmp_path, monkeypatch, capsys, metrized):
    for folder in ("lectures", "solutions", "homework"):
        (tmp_path / folder).mkdir()
    clean, path = NOTEBOOKS[0].read_text(encoding="utf-8"), tmp_path / "lectures" / "01-a.ipynb"
    run = clean.replace('"execution_count": null', '"execution_count": 7')
    path.write_text(run, encoding="utf-8")
    (tmp_path / "lectures" / "01-b.ipynb").write_text(clean, encoding="utf-8")
    (tmp_path / "solutions" / "01.ipynb").write_text(run, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "homework")
    assert metrized("tidy") == 0 and capsys.readouterr().out == f"{path}\n{tmp_path / 'solutions' / '01.ipynb'}\n"
    assert path.read_text(encoding="utf-8") == clean
    assert metrized("tidy") == 0 and capsys.readouterr().out == ""
    for wrong in ("{", "[]", '{"cells": [{}]}', '{"worksheets": []}'):
        path.write_text(wrong)
        assert metrized("tidy", path) == 1 and "01-a.ipynb is no notebook" in capsys.readouterr().err
