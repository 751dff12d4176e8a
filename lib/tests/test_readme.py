"""What the README promises: its code runs, its picture is what the library draws today, and its tables list what is there."""
import re
from importlib import import_module
from pathlib import Path

from metrized.examples import timeline, width
from metrized.teach.retarget import present

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_ten_lines_train_a_network():
    scope = {}
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
    exec(code, scope)
    loss, w, start = scope["loss"], scope["w"], scope["net"].initialize(scope["np"].random.default_rng(0))
    assert loss(w) < 0.5 * loss(start) and len(code.strip().splitlines()) <= 16


def test_tables_list_every_notebook():
    for folder in ("lectures", "homework"):
        for path in (ROOT / folder).glob("*.ipynb"):
            link = f"{folder}/{path.name}"
            assert f"]({link})" in README and f"]({present(ROOT).colab(link)})" in README


def test_links_inside_the_checkout_lead_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_picture_is_drawn_from_the_shipped_table():
    """The caption's numbers, from the table; the picture itself is written by the same command as the table."""
    rows = width.results()
    adam = [width.drift(rows, "Adam", seed) for seed in width.SEEDS]
    assert all(round(d[0] - d[-1]) == 4 for d in adam)
    for method in ("dualized", "spectral", "Frobenius"):
        assert all(abs(x - d[0]) < 0.5 for d in (width.drift(rows, method, seed) for seed in width.SEEDS) for x in d)
    assert width.picture(rows).png.startswith(b"\x89PNG")


def test_the_timeline_is_up_to_date_and_its_systems_run():
    """The page as committed is the page as written now; every system is a name of the library, every lecture is there and speaks of it."""
    assert (ROOT / "lectures" / "timeline.md").read_text(encoding="utf-8") == timeline.page()
    assert [e.year for e in timeline.EVENTS] == sorted(e.year for e in timeline.EVENTS) and {e.theme for e in timeline.EVENTS} == set(timeline.THEMES)
    for event in timeline.EVENTS:
        lecture = ROOT / "lectures" / f"{timeline.LECTURES[event.lecture]}.ipynb"
        assert lecture.exists(), event
        if event.runs:
            module, name = event.runs.split(".")
            assert hasattr(import_module(f"metrized.{module}"), name), event
