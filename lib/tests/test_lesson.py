"""Claims that can fail, guesses that are scored once, moving figures that move."""
import asyncio
import io
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from PIL import Image

from metrized import figures
from metrized.atoms import Linear
from metrized.compounds import residual
from metrized.examples import depth, width
from metrized.lesson import ClaimFailed, Quiz, claim, show
from metrized.live import REST, Log, control, encoded, live, other_end, still
from metrized.norms import Euclidean, Max
from metrized.optimizers import HeavyBall, Nesterov


def test_a_claim_prints_or_raises(capsys):
    claim("pi", 3.1416, (3, 4))
    assert capsys.readouterr().out == "holds  pi: 3.142  in [3, 4]\n"
    claim("seeds", [0.1, np.float32(0.2)], (0, 1))
    for value in (5.0, np.nan, [3.5, 5.0], [], np.array([[3.5], [np.inf]])):
        with pytest.raises(ClaimFailed, match="FAILS  pi"):
            claim("pi", value, (3, 4))


class OnDevice:
    """A number that NumPy cannot read before .get(), as CuPy's."""

    def get(self):
        return np.float64(0.5)


def test_a_claim_holds_at_both_bounds_and_nowhere_below(capsys):
    """Many values are told by their range; a failed claim is a failed assertion; numbers may come from the GPU."""
    claim("edges", np.arange(6), (0, 5))
    claim("many", np.arange(7), (0, 6))
    claim("device", [OnDevice()], (0, 1))
    claim("device", (OnDevice(), OnDevice()), (0, 1))
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "holds  edges: 0, 1, 2, 3, 4, 5  in [0, 5]" and out[1] == "holds  many: 0 to 6 (7 values)  in [0, 6]" and len(out) == 4
    with pytest.raises(AssertionError, match="FAILS  pi: 2.9 "):
        claim("pi", 2.9, (3, 4))


def answered(text, truth, **within):
    """The score of a number, in a quiz of its own: 1, 0, or None where it does not count."""
    quiz = Quiz()
    guess = quiz("?")
    guess.answer.value = text
    guess.score(truth, **within)
    return quiz.right if quiz.scored else None


def test_a_number_may_be_missed_by_a_tenth_of_itself():
    """Unless told otherwise; of a negative one too, and zero by nothing. What is no number is no answer."""
    assert [answered(text, -100) for text in ("-109", "-91", "-111", "-89", "100")] == [1, 1, 0, 0, 0]
    assert [answered("0", 0.0), answered("0.1", 0.0), answered("7", 7, within=0.0), answered("many", 0.0), answered("", 0.0)] == [1, 0, 1, None, None]


def test_numbers_are_read_as_people_write_them(capsys):
    """What cannot be read is neither counted nor told the truth: it may be tried again."""
    truths = {"2/11": 2 / 11, " 10 000 ": 1e4, "−3": -3, "1e-3": 1e-3, "0,125": 0.125, "80 GB": 80, "80": 80, "1 / 4": 0.25}
    quiz = Quiz()
    for text, truth in truths.items():
        guess = quiz("?", unit="GB")
        guess.answer.value = text
        guess.score(truth, within=1e-9)
    assert quiz.right == quiz.scored == len(truths)
    for text in ("1,000", "five", "5%", "1/0", "1/2/3", "80 MB"):
        guess.answer.value = text
        capsys.readouterr()
        guess.score(1234.0)
        assert capsys.readouterr().out.startswith(f"{text} cannot be read") and quiz.scored == len(truths)


def test_a_guess_is_scored_once(capsys):
    predict = Quiz()
    guess = predict("?", ["a", "b"])
    guess.score("a")
    assert "No answer given yet. It is: a." in capsys.readouterr().out and predict.scored == 0
    guess.answer.value = "a"
    guess.score("a")
    guess.score("a")
    assert predict.right == predict.scored == 1
    number = predict("?", unit="steps")
    number.answer.value = "95,5"
    number.score(100, within=0.1)
    number2 = predict("?")
    number2.answer.value = "80"
    number2.score(100, within=0.1)
    out = capsys.readouterr().out
    assert "Right: it is 100 steps, you said 95.5. 2 of 2 so far." in out and "Not so: it is 100, you said 80. 2 of 3 so far." in out
    with pytest.raises(ValueError, match="none of the choices"):
        guess.score("c")


def test_a_question_reads_without_a_kernel():
    bundle = Quiz()("How?", ["this way", "that way"])._repr_mimebundle_()
    assert "How?" in bundle["text/markdown"] and "- that way" in bundle["text/markdown"]
    assert bundle["text/plain"] == "Predict. How?\n  - this way\n  - that way"


def test_a_question_with_a_kernel_is_a_box_with_its_words_and_a_place_for_the_answer():
    guess = Quiz()("How many?", unit="steps")
    words, answer = guess.box.children
    assert "How many?" in words.value and answer is guess.answer and answer.placeholder == "a number of steps"
    assert guess._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"]["model_id"] == guess.box.model_id


def test_show_prints_the_library_itself():
    assert "def run(" in show(width.run).data and show(width, "METHODS").data.startswith("METHODS:") and "GRIDS" not in show(width, "METHODS").data
    assert show(sys.modules[live.__module__], "PIXELS").data == "INK, PIXELS = 100, 2"
    with pytest.raises(ValueError, match="assigns nothing"):
        show(width, "NOTHING")


def pixels(png: bytes):
    return imread(io.BytesIO(png))


BOWL = np.array([[2.0, 0.9], [0.9, 1.0]]), np.array([-2.0, 1.5])
ROWS = [r for r in width.results() if r["method"] in ("Adam", "dualized")]
MOVING = {
    "parabola": ((), dict(step_size=(0.0, 2.3, 0.3))),
    "bowl": (BOWL, dict(step_size=(0.0, 0.85, 0.2), steps=(0, 30, 10))),
    "momentum_map": (({"heavy ball": HeavyBall, "Nesterov": Nesterov},), dict(method=["heavy ball", "Nesterov"], step_size=(0.02, 4.0, 0.1),
                                                                            beta=(0.0, 0.99, 0.6))),
    "trace_steps": (({"z1": ("w1", "w2"), "z3": ("w2",), "z6": ("z1", "z3")}, *[dict.fromkeys(figures.PLACES, v) for v in (1.5, -2.0)]),
                    dict(step=(0, 16, 3))),
    "basins": (({n: np.full((31, 9, 9, 2), [x, 0.0]) * np.linspace(0, 1, 31)[:, None, None, None] for n, x in (("a", -1.0), ("b", 1.0))}, 2.0),
               dict(method=["a", "b"], steps=(0, 30, 8))),
    "gauss_newton_path": ((), dict(third=(-9.0, 9.0, 8.0))),
    "checkpoint_memory": ((24,), dict(checkpoints=(1, 24, 3))),
    "dual_map": ((), dict(norm=list(figures.BALLS), angle=(0, 360, 30))),
    "own_norm": (BOWL, dict(east=(0.3, 2.0, 1.0), northeast=(0.3, 2.0, 1.0), north=(0.3, 2.0, 1.0), northwest=(0.3, 2.0, 1.0), angle=(0, 360, 30),
                            sharpness=Log(1.0, 40.0, 5.0))),
    "majorization_slice": ((lambda D: float((1 + D @ D) ** 2), np.array([4.0, 0.1]), {"a": (Euclidean(), 4.0), "b": (Max(), 9.0)},
                            {"x": np.array([1.0, 0.0]), "y": np.array([0.5, 1.0])}),
                           dict(norm=["a", "b"], factor=(0.1, 2.0, 1.0), direction=["x", "y"])),
    "schedule_race": ((np.arange(1, 9), [1, 2, 4], {n: c * np.outer([1, 2, 3], 20 / np.arange(1, 9)) for n, c in (("a", 1.1), ("b", 3.0))}, 20.0),
                      dict(schedule=["a", "b"], log2_kappa=(0, 2))),
    "batch_curve": (([1, 2, 4, 8], {(n, s): c * (1 + q / np.arange(1, 5)) for n, c in (("a", 9), ("b", 40)) for s, q in (("tuned", 8), ("kept", 1))},
                     lambda B, steps: (steps[-1], 3.0)), dict(target=["a", "b"], step_size=["tuned", "kept"])),
    "adam_to_sign": (BOWL, dict(memory=Log(1.0, 100.0, 10.0), eps=Log(0.001, 30.0, 0.01), noise=(0.0, 3.0, 0.5))),
    "step_bowls": (([dict(method=m, begin=b, log2_step=s, loss=2.3 + k * 0.05 * s * s) for m in ("SGD", "Adam") for s in range(-3, 3)
                     for b, k in (("orthogonal", 1), ("small", 3))], ["SGD", "Adam"]), dict(start=["orthogonal", "small"])),
    "spike_lab": (({"none": np.full((2, 30), 3.0), "clipping": np.full((2, 30), 0.4)},
                   {"none": np.full((2, 30), 0.3), "clipping": np.full((2, 30), 0.5)}, 10), dict(repair=["none", "clipping"])),
    "edge_run": (({eta: (np.geomspace(1, eta ** 2, 41)[:, None] * [1.0, 0.1], np.arange(0, 41, 10), np.full((5, 2), 2 / eta) * [0.3, 1.0])
                   for eta in (0.1, 0.5)},), dict(step_size=[0.1, 0.5], seed=[0, 1])),
    "toy_orbit": ((), dict(step_size=(0.005, 0.065, 0.04))),
    "gain": ((np.array([[1.0, 0.8], [0.2, 0.5]]),), dict(angle=(0, 360, 30))),
    "width_sweep": ((ROWS,), dict(method=["Adam", "dualized"])),
    "attention_rows": ((np.tril(np.ones((12, 12))) / np.arange(1, 13)[:, None], "It is a truth"[:12]), dict(t=(0, 11, 3))),
    "memory_by_buffer": ((768, 12, 50257), dict(L=(1, 48, 12), T=Log(128, 16384, 1024), checkpoints=["none", "attention", "every block"])),
    "isoflop": (({n: (2.0 ** np.arange(8, 13), c + 0.1 * (np.arange(-2, 3) - c) ** 2 + np.zeros((3, 1))) for n, c in (("a", 0.0), ("b", 1.0))},),
                dict(budget=["a", "b"])),
    "newton_schulz_march": ((np.geomspace(1e-3, 0.9, 64),), dict(a=(1.0, 5.0, 1.5), b=(-8.0, 0.0, -0.5), c=(0.0, 5.0, 0.0), steps=(0, 12, 5))),
    "dual_maps": (({"a": np.geomspace(1, 1e-3, 9), "b": np.ones(9)}, np.geomspace(1, 1e-4, 9),
                   [dict(rule=r, log2_step=e, loss=0.1 * f + 0.05 * abs(e)) for r, f in (("a", 1), ("b", 2)) for e in range(-2, 3)]),
                  dict(rule=["a", "b"])),
    "alignment": ((), dict(alignment=(0.0, 1.0, 0.1), multiplier=["1", "1/√L", "1/L"])),
    "mass_tree": (({"input": Linear(3, 5), "blocks": residual(Linear(3, 3), 2), "head": Linear(2, 3)}, {"input": 0.9, "blocks": 0.5, "head": 0.7}),
                  dict(input=(0.0, 10.0, 1.0), blocks=(0.0, 10.0, 5.0), head=(0.0, 10.0, 1.0))),
    "depth_sweep": ((depth.results(),), dict(method=["modular", "SGD"], multiplier=["1/L", "1"])),
}


@pytest.mark.parametrize("name", MOVING)
def test_every_control_moves_its_figure(name):
    args, ranges = MOVING[name]
    figure = live(**ranges)(getattr(figures, name), *args)
    before = pixels(figure.image.value)
    for c in figure.controls.values():
        start = c.value
        c.value = c.options[-1] if hasattr(c, "options") else c.max
        moved = pixels(figure.image.value)
        assert not figure.message.value and abs(moved - before).max() > 0.1, c.description
        c.value = start
        assert abs(pixels(figure.image.value) - before).max() < 0.02, f"{c.description}: a picture must not remember where it has been"


@pytest.mark.parametrize("name", MOVING)
def test_blitting_draws_what_a_full_redraw_draws(name):
    """The picture after three moves equals the picture of a figure that was never moved, up to the order in which artists overlap."""
    args, ranges = MOVING[name]
    figure = live(**ranges)(getattr(figures, name), *args)
    for c in figure.controls.values():
        c.value = other_end(c)
    fresh = still(getattr(figures, name), *args, **figure.values())
    assert (abs(pixels(figure.image.value) - pixels(fresh.png)).max(-1) > 0.3).mean() < 0.002


def test_an_error_in_a_figure_is_shown_and_the_next_move_recovers():
    def fragile(fig):
        """A figure that breaks at 3."""
        line, = fig.subplots().plot([0, 4], [0, 1])

        def move(n):
            if n == 3:
                raise ValueError("three is <too> many")
            line.set_ydata([0, n])

        return move

    figure = live(n=(1, 4))(fragile)
    figure.controls["n"].value = 3
    assert "three is &lt;too&gt; many" in figure.message.value
    figure.controls["n"].value = 4
    assert figure.message.value == ""


def test_a_picture_is_a_png_that_everybody_reads(rng):
    """Bit for bit, of odd and even sizes; two others read it."""
    for shape in ((1, 1), (7, 3), (64, 129)):
        pixels_in = rng.integers(0, 256, (*shape, 4), dtype=np.uint8)
        png = encoded(pixels_in)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), pixels_in) and np.array_equal((pixels(png) * 255).round(), pixels_in)
        Image.open(io.BytesIO(png)).verify()


@pytest.mark.parametrize("name", MOVING)
def test_a_move_draws_only_what_moves(name, monkeypatch):
    """What stands still is drawn when a figure begins, and never again until it changes itself."""
    args, ranges = MOVING[name]
    figure = live(**ranges)(getattr(figures, name), *args)
    moves = [{**figure.values(), key: other_end(c)} for key, c in figure.controls.items()] + [figure.values()]
    for values in moves:  # figures whose axes move draw all at the first such move
        figure.picture.png(**values)
    drawn = []
    monkeypatch.setattr(Figure, "draw", lambda *_: drawn.append(name))
    for values in moves:
        figure.picture.png(**values)
    assert not drawn


def test_a_draft_is_the_picture_with_fewer_pixels():
    """Nothing jumps when it comes to rest: each of its pixels is the mean of four."""
    picture = live(step_size=(0.0, 2.0))(figures.parabola).picture
    sharp, draft = pixels(picture.sharp()), pixels(picture.draft())
    assert draft.shape == (340, 700, 4) and np.allclose(draft, sharp.reshape(340, 2, 700, 2, 4).mean((1, 3)), atol=0.6 / 255)


def test_a_picture_is_sharp_once_it_rests():
    """Where an event loop runs, as in a kernel: a move is drawn with few pixels, and the last one again with many."""
    figure, sizes = live(n=(0, 9))(counter), []
    figure.image.observe(lambda change: sizes.append(pixels(change.new).shape[1]), "value")

    async def moved(*values, pause):
        for n in values:
            figure.controls["n"].value = n
            await asyncio.sleep(pause)
        await asyncio.sleep(2 * REST)
    asyncio.run(moved(1, 2, 3, pause=0))
    assert sizes == [700, 700, 700, 1400] and figure.picture.fig.moves == 6
    assert (pixels(figure.image.value) == pixels(figure.picture.sharp())).all()
    asyncio.run(moved(4, 5, pause=2 * REST))
    assert sizes[4:] == [700, 1400] * 2
    figure.controls["n"].value = 6
    assert sizes[8:] == [1400], "where nothing can wait it is sharp at once"


def counter(fig):
    """Counts how often it has moved."""
    line, = fig.subplots().plot([0, 4], [0, 1])
    fig.moves = 0

    def move(**values):
        fig.moves += 1
        line.set_ydata([0, fig.moves])

    return move


def test_reset_puts_all_back_with_one_picture():
    figure = live(a=(0, 9, 4), b=(0.0, 1.0, 0.3), c=Log(1.0, 9.0, 2.0), d=["x", "y"], e=False, f=("u", "v"))(counter)
    began = figure.values()
    for c in figure.controls.values():
        c.value = other_end(c)
    assert all(figure.values()[name] != began[name] for name in began)
    moves = figure.picture.fig.moves
    figure.reset.click()
    assert figure.values() == began and figure.picture.fig.moves == moves + 1
    figure.reset.click()
    assert figure.values() == began


@pytest.mark.parametrize("slider", [(0, 3, 1), (0, 1000, 7), (-2.0, 5.0, 1.0), Log(0.01, 100.0, 1.0), Log(1.0, 40.0, 5.0)], ids=str)
def test_play_goes_from_end_to_end(slider):
    """Its last slider moves through every stop once, upwards; one picture a stop; and it goes on from where a hand has put it."""
    figure = live(other=(0, 3), n=slider, choice=["a", "b"])(counter)
    moves, n, seen = figure.picture.fig.moves, figure.controls["n"], []
    for i in range(figure.play.max + 1):
        figure.play.value = i
        seen.append(n.value)
    assert np.isclose(seen[0], slider[0]) and seen[-2] < slider[1] <= 1.04 * seen[-1] and (np.diff(seen) > 0).all() and len(seen) <= 101
    assert figure.picture.fig.moves - moves == len(set(seen)) and figure.values()["other"] == 0
    n.value = slider[2]
    assert n.value == slider[2] and np.isclose(seen[figure.play.value], slider[2], rtol=0.06, atol=6)


@pytest.mark.parametrize("name", MOVING)
def test_a_slider_begins_at_one_of_its_stops(name):
    """Else a page would show, and come back to, a number near the one that was asked for; a hand finds round numbers."""
    for r in MOVING[name][1].values():
        c = control("n", r)
        if hasattr(c, "max"):
            begin, step = (np.log10(c.value) if hasattr(c, "base") else c.value), getattr(c, "step", 1)
            assert abs(((begin - c.min) / step + 0.5) % 1 - 0.5) < 1e-6
            assert hasattr(c, "base") or f"{step:.0e}"[0] in "125"


@pytest.mark.parametrize("ranges, error, words", [
    ({}, TypeError, "needs a range for each argument"),
    *[({"n": r}, TypeError, "the range of n is") for r in ((), [("a", 1)], (0, 1, 2, 3))],
    *[({"n": r}, ValueError, "low <= start <= high and low < high") for r in ((0, 1, 2), (1, 1))]])
def test_a_range_that_is_none_is_one_clear_error(ranges, error, words):
    with pytest.raises(error, match=words):
        live(**ranges)(counter)


def test_without_a_slider_there_is_nothing_to_play():
    assert live(choice=["a", "b"], flag=True)(counter).play is None


def test_a_figure_has_words_for_those_who_hear_the_page():
    figure = live(n=(0, 1))(counter)
    assert figure.alt == "Counts how often it has moved." and figure.alt in figure.box.children[-1].value


def test_a_live_figure_carries_a_still_one():
    data, metadata = live(step_size=(0.0, 2.0))(figures.parabola)._repr_mimebundle_()
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} and "parabola" in data["text/plain"]
    assert metadata["image/png"]["alt"] == data["text/plain"]


@pytest.mark.parametrize("wrong", [(3,), (2.0, 1.0), (0, 1, 5), "abc", [], (), (1, "a"), None])
def test_a_bad_range_is_one_clear_error(wrong):
    with pytest.raises((TypeError, ValueError), match="the range of n"):
        live(n=wrong)(figures.parabola)
