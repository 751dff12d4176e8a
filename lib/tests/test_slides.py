"""Slides: what is listed is on the screen, nothing is lost, every lecture fits, and nothing is fetched when a deck is opened."""
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from metrized.live import still
from metrized.teach import slides
from metrized.teach.site import VIEW
from metrized.teach.slides import BREAK, ELSEWHERE, WORDS, chunks, deck, together

ROOT = Path(__file__).parents[2]
LECTURES = sorted((ROOT / "lectures").glob("*.ipynb"))
each_lecture = pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
BEGIN = ("slide", "subslide")

OPENING = """# Bowls

[![Open in Colab](https://c/badge.svg)](https://c/x)

A first sentence. J. Bernoulli wrote *the second.* And a third.

## Next

Here is it said in full. With $a = 2$ there is

$$a^2 = 4$$

* one point
* another

and so on."""
ESSAY = [cell["source"] for path in LECTURES for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]


def marked(cell, mark, screen=None):
    cell.metadata["slideshow"] = {"slide_type": mark} | ({"screen": screen} if screen is not None else {})
    return cell


def text(source, mark="slide", screen=None):
    return marked(new_markdown_cell(source), mark, screen)


def shown(*cells):
    """[(mark, source)] of what a deck of these cells has."""
    return [(cell.metadata["slideshow"]["slide_type"], cell.source) for cell in deck(new_notebook(cells=list(cells))).cells]


def figure(fig):
    """A line that goes up."""
    fig.subplots().plot([0, 1])


def lecture():
    """A small lecture that has run: a title, a question, its answer as a fragment, prose, a figure, and more code than fits."""
    data, metadata = still(figure, size=(3, 2))._repr_mimebundle_()
    picture = new_output("display_data", data | {VIEW: {"model_id": "0"}}, metadata=metadata)
    said = new_output("stream", name="stdout", text="No answer given yet. It is: 4.\nholds  x: 4  in [3, 5]\n")
    question = new_output("execute_result", {"text/markdown": "**Predict.** How many?", VIEW: {"model_id": "1"}, "text/plain": "?"})
    return new_notebook(cells=[
        text(OPENING, screen=["A first", "Here is", "$$a^2"]),
        marked(new_code_cell("import metrized"), "skip"),
        marked(new_code_cell('guess = predict("How many?")\nguess', outputs=[question]), "subslide"),
        marked(new_code_cell("guess.score(4)", outputs=[said]), "fragment"),
        text("All of this is spoken, and $x$ as well.", "notes"),
        marked(new_code_cell("live(x=(0, 1))(figures.bowl)", outputs=[picture]), "subslide"),
        marked(new_code_cell("\n".join(f"a{i} = {i}" for i in range(60))), "subslide"),
    ], metadata={"widgets": {"application/vnd.jupyter.widget-state+json": {}}})


# Text


def test_what_is_listed_is_shown_under_its_heading_and_all_of_it_is_said():
    title, rest = "# Bowls\n\nA first sentence. And a third.", OPENING.partition("badge.svg)](https://c/x)\n\n")[2]
    first, second = rest.split("\n\n## Next\n\n")
    assert shown(text(OPENING, screen=["A first", "And a", "$$a^2", "* another"])) == [
        ("slide", title), ("notes", f"[Open in Colab](https://c/x)\n\n{first}"), ("slide", "## Next\n\n$$a^2 = 4$$\n\n* another"), ("notes", second)]


def test_nothing_listed_is_nothing_shown():
    assert [mark for mark, _ in shown(text(OPENING, screen=[]))] == ["notes", "notes"]
    assert shown(text("One. Two.", "notes", ["One."])) == [("notes", "One. Two.")]
    assert shown(text("One. Two.", "skip")) == []


def test_a_break_begins_a_slide_and_a_heading_does_anyway():
    source = "One. Two.\n\n### Small\n\nThree.\n\n## Large\n\nFour."
    assert shown(text(source, "-", ["One", BREAK, "Two", BREAK, "Three", "Four"])) == [
        ("-", "One."), ("subslide", "Two."), ("subslide", "### Small\n\nThree."), ("slide", "## Large\n\nFour.")]


def test_what_is_listed_and_is_not_there_is_named():
    for screen in (["Four"], ["Here is", "A first"]):
        with pytest.raises(ValueError, match="cell 2 has nothing that begins with .*, which its slide marks"):
            deck(new_notebook(cells=[text("x"), text(OPENING, screen=screen)]))
    with pytest.raises(ValueError, match="cell 1 has nothing that begins with outputs"):
        deck(new_notebook(cells=[marked(new_code_cell("x = 1"), "-", ["outputs"])]))


def test_where_nobody_has_chosen_first_sentences_are_shown_as_long_as_there_is_room():
    paragraphs = [f"Sentence {i} has these words in it and some more. The rest of it is said." for i in range(20)]
    whole = "$$x$$\n\n| a |\n|---|\n\n* a point\n\n1. another"
    (mark, short), (_, said) = shown(new_markdown_cell("\n\n".join([*paragraphs, whole])))
    assert mark == "-" and 10 < len(re.findall(r"\w+", short)) < WORDS + 30 and "The rest" not in short and short.endswith(whole)
    assert said.count("The rest") == 20


def test_text_taken_apart_and_put_together_is_the_same_text():
    """For all prose of all lectures; a picture from elsewhere is its words, and what is no list is one line a paragraph."""
    plain = lambda source: " ".join(re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", source).split())
    assert [chunk for _, chunk in chunks("J. Bernoulli asked: why? *So it is.* **And how.** In e.g. this.")] == [
        "J. Bernoulli asked: why?", "*So it is.*", "**And how.**", "In e.g. this."]
    for source in [*ESSAY, OPENING]:
        parts = chunks(source)
        assert plain(together(parts)) == plain(source) and not any("](https://colab.research.google.com/assets" in chunk for _, chunk in parts)
        assert [chunk for _, chunk in chunks(together(parts))] == [chunk for _, chunk in parts]
        assert all(re.match(r"[*+-] |\d+\. ", chunk) for _, chunk in parts if re.search(r"^[*+-] ", chunk, re.M))


# Code


def test_of_code_that_draws_asks_or_answers_the_audience_sees_what_comes_out():
    code = {cell.source.split("(")[0]: cell for cell in deck(lecture()).cells if cell.cell_type == "code"}
    hidden = {name: cell.metadata["transient"]["remove_source"] for name, cell in code.items()}
    assert [*hidden.values()] == [True, True, True, False] and [*hidden][:3] == ["guess = predict", "guess.score", "live"]
    assert code["guess.score"].outputs[0].text.startswith("The answer: 4.\nholds")
    left = [set(code[name].outputs[0].data) for name in ("live", "guess = predict")]
    assert left == [{"image/png", "text/plain"}, {"text/markdown", "text/plain"}]


@pytest.mark.parametrize("screen", [["code"], ["output"], ["code", "output"], None], ids=str)
def test_code_its_output_or_both(screen):
    cell = new_code_cell("print(1)", outputs=[new_output("stream", name="stdout", text="1\n")])
    (cell,) = deck(new_notebook(cells=[marked(cell, "-", screen)])).cells
    seen = {"code"} - ({"code"} if cell.metadata["transient"]["remove_source"] else set()) | ({"output"} if cell.outputs else set())
    assert seen == set(screen or ("code", "output"))


# The lectures


@each_lecture
def test_every_cell_is_marked(path):
    """The title begins, the setup is for nobody, and no formula is for the speaker alone."""
    cells = nbformat.read(path, 4).cells
    marks = [cell.metadata["slideshow"]["slide_type"] for cell in cells]
    assert marks[:2] == ["slide", "skip"] and set(marks) <= {"slide", "subslide", "fragment", "-", "skip", "notes"}
    assert not [cell.id for cell, mark in zip(cells, marks, strict=True) if mark == "notes" and "$$" in cell.source]


@each_lecture
def test_a_slide_holds_130_words_and_begins_with_its_heading(path):
    words = 0
    for cell in deck(nbformat.read(path, 4)).cells:
        mark = cell.metadata["slideshow"]["slide_type"]
        words = 0 if mark in BEGIN else words
        if cell.cell_type == "markdown" and mark != "notes":
            words += len(re.sub(r"\$\$.*?\$\$|^\|.*$", "", cell.source, flags=re.S | re.M).split())
            assert mark in BEGIN or not re.search("^#", cell.source, re.M), cell.source
        assert words <= 130, f"{words} words: {cell.source}"


@each_lecture
def test_every_figure_and_question_is_on_the_screen_and_no_answer_comes_with_its_question(path):
    open_question = False
    for cell in nbformat.read(path, 4).cells:
        mark = cell.metadata["slideshow"]["slide_type"]
        on_screen = mark not in ("skip", "notes") and "output" in cell.metadata["slideshow"].get("screen", ["output"])
        if cell.cell_type == "code" and re.search(r"^(?:live|still|moving|own|sliced)\(|predict\(|\.score\(", cell.source, re.M):
            assert on_screen, cell.source
        open_question = False if mark in (*BEGIN, "fragment") else open_question
        assert not open_question or ".score(" not in cell.source, cell.source
        open_question |= cell.cell_type == "code" and "predict(" in cell.source


@each_lecture
def test_nothing_of_a_lecture_is_lost(path):
    """What a text says is on the screen or in the notes."""
    notebook = nbformat.read(path, 4)
    words = lambda cells: {word for cell in cells for word in re.findall(r"\w+", cell.source)}
    texts = [cell for cell in notebook.cells if cell.cell_type == "markdown" and cell.metadata["slideshow"]["slide_type"] != "skip"]
    assert words(texts) - words(deck(notebook).cells) <= {"assets", "badge", "svg"}


# Pages


def page(folder, addresses):
    (folder / "x.html").write_text(slides.slides(lecture(), "Bowls <1>", addresses), encoding="utf-8")
    return (folder / "x.html").read_text(encoding="utf-8")


def test_the_small_file_names_a_pinned_cdn_and_the_large_one_nothing(tmp_path):
    fetched = lambda text: re.findall(r"""(?:src|href)=["'](https?:[^"']+)|url\(["']?(https?:[^)]+)|@import""", text)
    fetches = lambda text: [match for match in fetched(text) if match != ("https://c/x", "")]  # a link, which no browser follows by itself
    assert fetches(page(tmp_path, dict.fromkeys(ELSEWHERE, "scripts"))) == []
    small = fetches(page(tmp_path, ELSEWHERE))
    assert len(small) == 4 and all(address.startswith(tuple(ELSEWHERE.values())) for address, _ in small)
    versions = {name: path.rpartition("-")[2].removesuffix(".tgz") for name, (path, _) in slides.assets.PACKAGES.items()}
    assert all(address.endswith(f"@{versions[name]}") for name, address in ELSEWHERE.items())


def test_figures_are_stills_with_their_words_and_no_widgets(tmp_path):
    text = page(tmp_path, ELSEWHERE)
    (image,) = re.findall("<img[^>]*>", text)
    assert 'alt="A line that goes up."' in image and 'src="data:image/png;base64,' in image
    assert "widget" not in text and "<title>Bowls &lt;1&gt;</title>" in text


@pytest.mark.slow
def test_slides_in_a_browser_without_a_network(tmp_path, browser, served):
    """A key goes on, formulas are set, notes are in a window of their own, too long code scrolls, and the folder itself answers every request."""
    page(tmp_path, slides.copy(tmp_path / "scripts"))
    here, outside, errors = served(tmp_path) + "/", [], []
    guard = lambda route: route.continue_() if route.request.url.startswith(here) else (outside.append(route.request.url), route.abort())
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.route("**", guard)
    tab = context.new_page()
    tab.on("pageerror", lambda error: errors.append(error))
    tab.goto(f"{here}x.html")
    tab.wait_for_function("window.Reveal && Reveal.isReady()")
    seen = lambda: tab.evaluate("Reveal.getCurrentSlide().innerText")
    assert tab.evaluate("Reveal.getTotalSlides()") == 5 and seen().split("\n\n") == ["Bowls", "A first sentence."]

    tab.keyboard.press("ArrowRight")
    assert seen().startswith("Next") and "and so on" not in seen()
    formula = tab.locator("section.present mjx-container[display=true] svg").first.bounding_box()
    assert 40 < formula["width"] < 1280 and 30 < formula["height"] < 200
    with context.expect_page() as opened:
        tab.keyboard.press("s")
    notes = opened.value.locator(".speaker-controls-notes .value")
    notes.get_by_text("and so on").wait_for()
    assert notes.locator("svg").count() == 2 and notes.locator("mjx-assistive-mml").count() == 0

    tab.bring_to_front()
    tab.keyboard.press("ArrowRight")
    assert "How many?" in seen() and "The answer" not in seen()
    tab.keyboard.press("ArrowRight")
    tab.locator("section.present").get_by_text("The answer: 4.").last.wait_for()
    assert "How many?" in seen() and "spoken" not in seen()

    tab.keyboard.press("ArrowRight")
    figure = tab.locator("section.present img").bounding_box()
    assert figure["width"] > 600 and figure["y"] >= 0 and figure["y"] + figure["height"] <= 720
    tab.keyboard.press("ArrowRight")
    height, all_of_it, end = tab.evaluate("(s => [s.clientHeight, s.scrollHeight, s.getBoundingClientRect().bottom])(Reveal.getCurrentSlide())")
    assert height < all_of_it and 600 < end <= 720
    context.close()
    assert outside == [] and errors == []


# The command


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with one lecture, which has not been run."""
    for folder in ("lectures", "solutions", "homework"):
        (tmp_path / folder).mkdir()
    cells = [text("# Tiny\n\nWords."), new_code_cell("print(6 * 7)")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "lectures/05-tiny.ipynb")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["05", "5", "05-tiny", "lectures/05-tiny.ipynb"])
def test_a_lecture_goes_by_several_names(name, checkout, metrized, capsys):
    assert metrized("slides", name, "--cdn", "--no-execute") == 0
    made = (checkout / "build/slides/05-tiny.html").read_text(encoding="utf-8")
    assert capsys.readouterr().out.strip().endswith("05-tiny.html") and "<title>Tiny</title>" in made and ">42" not in made
    assert [path.name for path in (checkout / "build/slides").iterdir()] == ["05-tiny.html"]


@pytest.mark.parametrize("name", ["6", "05-other", "tiny"])
def test_an_unknown_lecture_is_told_what_there_is(name, checkout, metrized, capsys):
    assert metrized("slides", name, "--cdn", "--no-execute") == 1
    assert re.search(r"there is no lecture .*; there are 05$", capsys.readouterr().err.strip())


def test_a_mark_that_does_not_fit_names_the_lecture(checkout, metrized, capsys):
    nbformat.write(new_notebook(cells=[text("# Tiny\n\nWords.", screen=["Verbs"])]), checkout / "lectures/05-tiny.ipynb")
    assert metrized("slides", "5", "--cdn", "--no-execute") == 1
    assert "lectures/05-tiny.ipynb: cell 1 has nothing that begins with Verbs" in capsys.readouterr().err


@pytest.mark.slow
def test_a_lecture_is_run_and_its_scripts_lie_beside_it(checkout, metrized):
    assert metrized("slides", "5", "--out", checkout / "out") == 0
    made = (checkout / "out/05-tiny.html").read_text(encoding="utf-8")
    scripts = re.findall(r'(?:src|href)="(scripts/[^"]+)"', made)
    assert ">42" in re.sub(r"\s", "", made) and len(scripts) == 4 and all((checkout / "out" / script).is_file() for script in scripts)
