"""What comes out of grading, for students who call themselves and their code whatever they like."""
import csv
import io
import json
import os
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from unicodedata import normalize
from urllib.parse import quote, unquote

import jsonschema
import numpy as np
import pytest

from metrized.teach import report
from metrized.teach.report import FORMULA, RESERVED, file_names, histogram, plain, summary
from metrized.teach.results import STATUSES, Mark, Result, in_order

NASTY = [
    "<script>alert(1)</script>", "</style></pre></code><img src=https://evil.example/x.png onerror=alert(1)>", '"><a href="javascript:alert(1)">',
    "<!--", "]]>", "'x' onload=1", "&amp;", "`<b>`", "`a` `b`", "{{ 7 * 7 }}", "{% raw %}", '=HYPERLINK("https://evil.example","x")', "+1", "-1",
    "@SUM(A1)", "\t=1", "\n=1", "\r=1", "＝1", "'=1", "'", 'a,b;c"d"\ne', "../../etc/passwd", "a/b\\c:d*?", "..", ".", ".hidden", " ", " x ", "x.",
    "con", "CON.txt", "Com1 .x", "lpt¹", "nul", "x" * 300, "é" * 200, "😀" * 90, "é", "e\u0301", "Ann", "ann", "ANN", "fi", "ﬁ", "ß", "ss",
    "\ud800", "\x00\x1b[31mred", "\u202egnp.exe", "\ufeff", "مريم حسن", "林美", "#1", "50%", "a?b"]
EXERCISES = {"step": 12, "decrease": 8, "dual_norm": 10, "loop": 5}


def made_up(students, rng, texts=NASTY) -> list[Result]:
    """A result of everything for each student; what students and their code say is drawn from `texts`."""
    def text():
        return texts[rng.integers(len(texts))]

    def mark(exercise, of):
        status = STATUSES[rng.integers(6)]
        return Mark(exercise, of, status, "" if status == "ok" else text(), "" if status == "ok" else text(), text(), float(rng.exponential()))

    results = [Result(student, text(), tuple(mark(*exercise) for exercise in EXERCISES.items()), (text(),) * int(rng.integers(3)),
                      float(rng.exponential()), homework="hw0") for student in students]
    results[0] = replace(results[0], unreadable=text(), marks=tuple(Mark(*exercise, "unreadable") for exercise in EXERCISES.items()))
    results[1] = replace(results[1], unreadable=text(), marks=())
    return results


class Page(HTMLParser):
    """What a browser would make of a page: its tags in order, its texts, and the values of attributes."""

    VOID = {"meta", "link", "br"}

    def __init__(self, text: str):
        super().__init__()
        self.open, self.tags, self.texts, self.attributes, self.styles = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attributes]
        self.open += [tag] if tag not in self.VOID else []

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.styles if "style" in self.open else self.texts).append(data)


@pytest.fixture
def section(tmp_path, rng):
    """Results of all nasty names, and the folder of what comes out."""
    results = made_up(NASTY, rng)
    report.write(results, tmp_path / "out", ["a wall"], gradescope=True)
    return results, tmp_path / "out"


def table(folder: Path) -> list[dict]:
    return list(csv.DictReader(io.StringIO((folder / "grades.csv").read_bytes().decode("utf-8-sig"), newline="")))


# The table


def test_every_student_has_a_row_in_which_the_exercises_make_the_total(section):
    results, folder = section
    rows = table(folder)
    for row, result in zip(rows, in_order(sorted(results, key=lambda result: (result.student, result.file))), strict=True):
        points = {mark.exercise: mark.points for mark in result.marks}
        assert [*row] == ["student", *EXERCISES, "total", "status", "notes"] and None not in row.values()
        assert row["student"].removeprefix("'") == " ".join(plain(result.student).split())
        assert [int(row[exercise]) for exercise in EXERCISES] == [points.get(exercise, 0) for exercise in EXERCISES]
        assert sum(int(row[exercise]) for exercise in EXERCISES) == int(row["total"]) == result.points and row["status"] == result.status
        assert all(" ".join(plain(note).split()) in row["notes"] for note in result.notes)


def test_no_cell_is_a_formula(section):
    for row in table(section[1]):
        for cell in row.values():
            assert not cell.startswith((*FORMULA[:-1], " ")) and not set(cell) & set("\r\n\t")


def test_excel_sees_utf8(section):
    assert (section[1] / "grades.csv").read_bytes().startswith(b"\xef\xbb\xbfstudent,")


def test_the_order_of_results_does_not_matter(section, tmp_path, rng):
    results, folder = section
    report.write([results[i] for i in rng.permutation(len(results))], tmp_path / "again", ["a wall"], gradescope=True)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "report.html":
            assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes(), path
    assert len([*folder.rglob("*")]) == len([*(tmp_path / "again").rglob("*")])


# Files


def test_file_names_are_safe_and_differ(rng):
    """On Windows, on a Mac, which takes é and e with an accent for the same, and below the 255 bytes of Linux."""
    names = file_names(NASTY + ["".join(map(chr, rng.integers(1, 0x2000, rng.integers(1, 200)))) for _ in range(300)])
    for form in ("NFC", "NFD", "NFKC"):
        assert len({normalize(form, name).casefold() for name in names}) == len(names)
    for name in names:
        assert name and not re.search(r'[<>:"/\\|?*\x00-\x1f]', name) and name.strip(" .") == name, name
        assert name.split(".")[0].strip().casefold() not in RESERVED and len(name.encode()) < 200


def test_a_usual_name_is_kept_and_another_keeps_its_digits():
    """Also beside a student who takes the name that would be given to another."""
    assert file_names(["Ann Berg", "o'hara", "Łukasz-2.b_c"])[::2] == ["Ann Berg", "Łukasz-2.b_c"]
    changed, = file_names(["a/b"])
    assert file_names(["x", "a/b"])[1] == changed and file_names([changed, "a/b"])[1] not in (changed, "a/b")


def test_every_student_has_a_page_to_which_the_report_leads(section):
    results, folder = section
    links = {value for tag, name, value in Page((folder / "report.html").read_text(encoding="utf-8")).attributes if name == "href" and "/" in value}
    assert all(link == quote(unquote(link)) for link in links)
    assert {unquote(link) for link in links} == {f"feedback/{path.name}" for path in (folder / "feedback").iterdir()}
    assert len(links) == len(results) == len([*(folder / "gradescope").iterdir()])


@pytest.mark.parametrize("broken", ["write_bytes", "replace"])
def test_an_interrupted_run_leaves_no_half_file(tmp_path, rng, monkeypatch, broken):
    """What was there stays whole, and nothing else is left behind."""
    report.write(made_up(["ann", "ben"], rng), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    whole = Path.write_bytes

    def interrupted(path, *data):
        if broken == "write_bytes":
            whole(path, data[0][:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, broken, interrupted)
    with pytest.raises(KeyboardInterrupt):
        report.write(made_up(["ann", "ben"], rng), tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


# Pages


def pages(folder: Path) -> dict[str, Page]:
    return {str(path): Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}


def test_nothing_that_a_student_says_is_markup(section, rng):
    """A page has the same tags when everything that students say is replaced by one letter."""
    results, _ = section

    def harmless(result):
        x = lambda text: "x" if text else ""
        marks = tuple(replace(mark, hint=x(mark.hint), details=x(mark.details), code=x(mark.code)) for mark in result.marks)
        return replace(result, student="x", file="x", unreadable=x(result.unreadable), notes=tuple(map(x, result.notes)), marks=marks)

    tags = lambda text: [tag for tag in Page(re.sub(r"<code>[^<]*</code>", "", text)).tags]
    for result in results:
        text = report.feedback(result)
        assert tags(text) == tags(report.feedback(harmless(result)))
        page = "".join(Page(text).texts)
        assert plain(result.student) in page
        assert all(plain(mark.code) in page for mark in result.marks if not result.unreadable)


def test_pages_are_whole_and_ask_nothing_of_any_server(section):
    """Tags close in order; no script, no picture, no address but of a place on the page, a student's page, or nothing."""
    for path, page in pages(section[1]).items():
        assert not {"script", "img", "iframe", "form", "object", "base"} & set(page.tags), path
        for tag, name, value in page.attributes:
            assert not name.startswith("on") and name not in ("src", "srcset"), (path, tag, name)
            assert name != "style" or re.fullmatch(r"width: \d+%", value), (path, value)
            if name == "href":
                assert value == "data:," or value.startswith(("#", "feedback/")), value
            if name == "href" and value.startswith("#"):
                assert ("id", value[1:]) in {(name, value) for _, name, value in page.attributes}, (path, value)
        assert not re.search(r"url|@import|http|//", "".join(page.styles))
        assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes


def test_pages_can_be_read_by_everybody(section):
    """A language, a title, one first heading, landmarks, headers with a scope, names for pictures; and statuses in words."""
    for path, page in pages(section[1]).items():
        assert ("html", "lang", "en") in page.attributes and "title" in page.tags
        assert page.tags.count("h1") == page.tags.count("main") == page.tags.count("header") == 1, path
        assert page.tags.count("th") == sum(name == "scope" for tag, name, _ in page.attributes if tag == "th")
        assert page.tags.count("svg") == sum(tag == "svg" and name in ("aria-hidden", "aria-label") for tag, name, _ in page.attributes), path


def luminance(color: str) -> float:
    """WCAG 2's relative luminance of #rrggbb."""
    c = np.array([int(color[i:i + 2], 16) for i in (1, 3, 5)]) / 255
    return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))


def contrast(a: str, b: str) -> float:
    low, high = sorted(map(luminance, (a, b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_colours_can_be_told_from_the_paper(scheme):
    """Text 4.5 to 1 and marks 3 to 1, as WCAG 2.2 AA wants."""
    css = Path(report.__file__).with_name("pages").joinpath("page.css").read_text()
    colors = dict(re.findall(r"--(\w+): (#\w{6})", re.findall(r":root \{(.*?)\}", css, re.S)[scheme]))
    for paper in ("paper", "box"):
        for text in ("ink", "soft", "link"):
            assert contrast(colors[text], colors[paper]) >= 4.5, (text, paper)
    for status in STATUSES:
        assert contrast(colors[status], colors["paper"]) >= 3, status


def told(result: Result) -> str:
    return " ".join("".join(Page(report.feedback(result)).texts).split())


def test_feedback_says_what_is_right_and_then_the_hint_and_then_the_numbers():
    marks = Mark("a", 3, "ok"), Mark("b", 4, "wrong", "Mind the sign.", "expected: 7", "def b(x): return -x"), Mark("c", 5, "missing")
    words = told(Result("Ann", "ann.ipynb", marks, ("A cell was edited.",)))
    order = "3 of 12 points", "Right is a: 1 of 3", "check(b)", "A cell was edited.", "Mind the sign.", "expected: 7", "def b(x)"
    places = [words.index(word) for word in order]
    assert places == sorted(places)
    assert "4 of 4" not in words and "0 of 4 points" in words and "Nothing has been entered here yet." in words


@pytest.mark.parametrize("statuses, words", [
    ("missing missing", "write e0, 10 points"), ("missing wrong", "e1, 10 points, gives an answer already"),
    ("error wrong", "e1, 10 points, gives an answer already"), ("missing died error", "e2, 10 points, is written already"),
    ("ok ok", "nothing is left to do"), ("ok wrong", "What to do next: e1"), ("unreadable", "it is empty. What to do: open it in Jupyter")])
def test_everybody_is_told_what_to_do_next(statuses, words):
    marks = tuple(Mark(f"e{i}", 10, status, "hint") for i, status in enumerate(statuses.split()))
    assert words in told(Result("Ann", "ann.ipynb", marks, unreadable="it is empty" if statuses == "unreadable" else ""))


def test_long_texts_are_cut():
    code = "x = 1\n" * 100_000
    text = report.feedback(Result("Ann", "ann.ipynb", (Mark("a", 3, "wrong", code=code),)))
    assert len(text) < 40_000 and f"and {len(code) - report.LONGEST:,} more characters" in text


# The report


@pytest.mark.parametrize("of", [0, 1, 14, 15, 110, 1000])
@pytest.mark.parametrize("n", [1, 2, 3, 300])
def test_statistics_are_what_their_definitions_say(n, of, rng):
    totals = rng.integers(0, of + 1, n)
    found, classes = summary(totals), histogram(totals, of)
    assert found["least"] == min(totals) and found["most"] == max(totals) and np.isclose(found["mean"], sum(totals) / n)
    for name, part in (("first quartile", 0.25), ("median", 0.5), ("third quartile", 0.75)):
        assert (totals <= found[name]).mean() >= part - 1 / n and (totals >= found[name]).mean() >= 1 - part - 1 / n
    ordered = sorted(totals)
    assert found["median"] == (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
    assert [sum(first <= total <= last for total in totals) for first, last, _ in classes] == [count for *_, count in classes]
    assert sum(count for *_, count in classes) == n and len(classes) <= 15
    assert classes[0][0] == 0 and classes[-1][1] == of and all(a[1] + 1 == b[0] for a, b in zip(classes, classes[1:], strict=False))
    assert len({last - first for first, last, _ in classes[:-1]}) <= 1


def test_no_submission_has_no_statistics():
    assert summary(np.array([], int)) == {} and histogram(np.array([], int), 0) == [(0, 0, 0)]


@pytest.mark.parametrize("n", [0, 1, 2, 300])
def test_any_number_of_students(n, tmp_path, rng):
    results = made_up([f"s{i}" for i in range(max(2, n))], rng)[:n]
    report.write(results, tmp_path, gradescope=True)
    assert f"{n} submission" in (tmp_path / "report.html").read_text(encoding="utf-8") and len(table(tmp_path)) == n


def test_shares_are_the_statuses_of_an_exercise(rng):
    results = made_up([f"s{i}" for i in range(50)], rng)
    for name in EXERCISES:
        counts = Counter(next((mark.status for mark in result.marks if mark.exercise == name), "unreadable") for result in results)
        task = report.task(results, name)
        assert {status: count for status, count, *_ in task["shares"]} == counts
        assert task["failed"] == 50 - counts["ok"] and task["of"] == EXERCISES[name]
        assert np.allclose([width for *_, width in task["shares"]], [2 * counts[status] for status, *_ in task["shares"]])
        assert np.allclose([start for *_, start, _ in task["shares"]], np.cumsum([0, *[width for *_, width in task["shares"]]])[:-1])


def test_hints_are_counted(rng):
    """Each with the students who got it, most frequent first; what was not tried is no misconception."""
    results = made_up([f"s{i}" for i in range(80)], rng, ["sign", "factor", "", "norm"])
    hints = report.hints(results)
    assert [len(students) for *_, students in hints] == sorted((len(students) for *_, students in hints), reverse=True)
    assert {(exercise, hint, student) for exercise, hint, students in hints for student in students} == {
        (mark.exercise, mark.hint, result.student) for result in results for mark in result.marks if mark.hint and mark.status in ("wrong", "error")}


@pytest.mark.parametrize("status, hint, listed", [
    ("ok", "", False), ("wrong", "sign", False), ("error", "shape", False), ("missing", "", False), ("missing", "was it renamed?", True),
    ("timeout", "", True), ("died", "", True), ("unreadable", "", True)])
def test_what_a_person_should_look_at(status, hint, listed):
    result = Result("ann", "", (Mark("a", 3, "ok"), Mark("b", 3, status, hint)), unreadable="it is empty" if status == "unreadable" else "")
    assert [(found.student, hint in reasons[0]) for found, reasons in report.look([result])] == [("ann", True)] * listed


def test_the_report_says_what_it_must(tmp_path):
    """What protected the run, and of identical code that it proves nothing."""
    code = "def loop(x):\n" + "".join(f" x = x * {i} + x\n" for i in range(20)) + " return x"
    marks = {"ann": Mark("loop", 5, "ok", code=code), "ben": Mark("loop", 5, "ok", code=code.replace("x", "ben")), "cem": Mark("loop", 5, "missing")}
    results = [Result(name, "", (mark,)) for name, mark in marks.items()]
    report.write(results, tmp_path, ["walls of <paper>"], solution={"loop": code})
    words = " ".join(" ".join(Page((tmp_path / "report.html").read_text(encoding="utf-8")).texts).split())
    assert "walls of <paper>" in words and "no proof" in words and "ann and ben 1 loop 1 of 1" in words
    assert "ann 1 of 1 loop ben 1 of 1 loop" in words


# Gradescope


VISIBILITY = {"enum": ["hidden", "after_due_date", "after_published", "visible"]}
FORMAT = {"enum": ["text", "html", "simple_format", "md", "ansi"]}
TEXT, NUMBER, ANY = {"type": "string"}, {"type": "number"}, {"type": "object"}
TEST = {"score": NUMBER, "max_score": NUMBER, "status": {"enum": ["passed", "failed"]}, "name": TEXT, "name_format": FORMAT, "number": TEXT,
        "output": TEXT, "output_format": FORMAT, "tags": {"type": "array", "items": TEXT}, "visibility": VISIBILITY, "extra_data": ANY}
WHOLE = {"score": NUMBER, "execution_time": NUMBER, "output": TEXT, "output_format": FORMAT, "test_output_format": FORMAT, "test_name_format": FORMAT,
         "visibility": VISIBILITY, "stdout_visibility": VISIBILITY, "extra_data": ANY, "leaderboard": {"type": "array"},
         "tests": {"type": "array", "items": {"type": "object", "properties": TEST, "additionalProperties": False,
                                              "required": ["score", "max_score", "name", "status"]}}}
"""The fields of https://gradescope-autograders.readthedocs.io/en/latest/specs/"""


def test_gradescope_gets_what_it_documents(section):
    """As text, so that no output of a student's is taken for HTML; the scores of the tests make the score."""
    results, folder = section
    files = [json.loads(path.read_bytes().decode("ascii")) for path in (folder / "gradescope").glob("*/results.json")]
    assert len(files) == len(results)
    for found in files:
        jsonschema.validate(found, {"type": "object", "properties": WHOLE, "additionalProperties": False, "required": ["score", "tests"]})
        assert sum(test["score"] for test in found["tests"]) == found["score"] and {test["output_format"] for test in found["tests"]} <= {"text"}
        assert all((test["status"] == "passed") == (test["score"] == test["max_score"]) for test in found["tests"])
    assert sum(found["score"] for found in files) == sum(result.points for result in results)


def test_gradescope_is_served_on_request_only(tmp_path, rng):
    report.write(made_up(["ann", "ben"], rng), tmp_path)
    assert not (tmp_path / "gradescope").exists()


# In a browser


@pytest.mark.slow
def test_pages_fit_a_phone_and_ask_nothing(section, browser):
    """No page is wider than the screen, none asks for anything but itself, and none has anything to complain about."""
    results, folder = section
    page = browser.new_context(viewport={"width": 375, "height": 812}).new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    for path in [folder / "report.html", *(folder / "feedback").iterdir()]:
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
        if pictures := os.environ.get("METRIZED_SCREENSHOTS"):
            page.screenshot(path=f"{pictures}/{path.stem}.png", full_page=True)
    page.context.close()
    assert said == [] and len(asked) == 1 + len(results) and all(url.startswith("file:") for url in asked)
