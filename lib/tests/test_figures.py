"""Figures that everybody can read: labels, legibility, colours, and words for those who hear the page."""
from inspect import getmembers, isfunction, signature
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from test_lesson import MOVING

from metrized import figures
from metrized.examples import timeline
from metrized.live import INK, Live, Picture, alt_text, live

NAMED = {name: getattr(figures, name) for name in ("BLUE", "ORANGE", "GREEN", "PINK", "SKY", "GREY")}
COLOR_BLIND = {  # Machado, Oliveira & Fernandes (2009), severity 1, of linear RGB
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "nobody": np.eye(3),
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def linear(color) -> np.ndarray:
    """The light that a screen sends for a colour on white: sRGB without its exponent."""
    *c, alpha = to_rgba(color)
    c = 1 - alpha + alpha * np.array(c)
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(light: np.ndarray) -> np.ndarray:
    """CIELAB, in which distances are those that an eye sees."""
    x, y, z = np.cbrt(np.maximum(XYZ @ light / (XYZ @ np.ones(3)), 1e-6))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(color) -> float:
    """Of a colour on white, as WCAG counts."""
    return 1.05 / (XYZ[1] @ linear(color) + 0.05)


@pytest.mark.parametrize("color", [*NAMED, *figures._shades(6)], ids=str)
def test_a_line_stands_out_from_the_page(color):
    assert contrast(NAMED.get(color, color)) >= 3


@pytest.mark.parametrize("kind", COLOR_BLIND)
def test_colours_are_told_apart_by_everybody(kind):
    seen = {name: lab(np.clip(COLOR_BLIND[kind] @ linear(color), 0, 1)) for name, color in NAMED.items()}
    apart = {pair: np.linalg.norm(seen[pair[0]] - seen[pair[1]]) for pair in combinations(seen, 2)}
    assert min(apart.values()) > 12, min(apart, key=apart.get)


RUNS = {name: np.geomspace(1, 0.01 * k, 5) for k, name in enumerate(("a", "b", "c", "d"), 1)}
SEEDS = {name: np.outer([1, 1.2], values) for name, values in RUNS.items()}
WIDTHS, METHODS = np.array([32, 64, 128, 256, 512]), ("SGD", "Adam", "LARS", "Frobenius", "spectral", "dualized", "Adam, orthogonal start")
STILL = {
    "contraction": ([3.0, 1.0, 0.5],),
    "error_curves": (RUNS,),
    "step_curves": (range(-3, 2), SEEDS),
    "edge_ratios": ({name: (np.arange(5), np.array(s).T) for name, s in SEEDS.items()},),
    "drifts": (WIDTHS, {m: np.outer([1, 2], np.arange(5)) for m in METHODS}),
    "coordinate_check": (WIDTHS, {m: np.full((2, 5, 3), 0.1) for m in METHODS[:3]}),
    "timeline": (timeline.EVENTS, timeline.THEMES),
    "spectra": (RUNS,),
    "slack": (RUNS, np.array([2, 4, 8, 16, 32])),
    "depth_drifts": (WIDTHS, {(m, k): np.ones((2, 3, 5)) * 0.2 for m in ("Adam", "modular") for k in ("1/L", "1/√L", "1")}),
    "schemes": ({"Jordan": ((3.4445, -4.775, 2.0315),) * 5, "cubic": ((1.5, -0.5, 0.0),) * 5},),
    "ranking": ({name: [0.1, 0.2] for name in RUNS}, dict(zip(RUNS, figures.FAMILY, strict=False))),
    "steps_by_width": ([dict(optimizer=m, width=w, log2_step=s, loss=2.2 + 0.1 * s * s) for m in METHODS[:3] for w in WIDTHS for s in (-1, 0, 1)],),
}


@pytest.mark.parametrize("kind", COLOR_BLIND)
def test_shades_are_told_apart_from_their_neighbours(kind):
    """Six widths; they grow darker in order, so that a reader has to tell only neighbours apart."""
    seen = np.array([lab(np.clip(COLOR_BLIND[kind] @ linear(color), 0, 1)) for color in figures._shades(6)])
    assert (np.diff(seen[:, 0]) < -4).all() and np.linalg.norm(np.diff(seen, axis=0), axis=1).min() > 8


def test_every_figure_is_looked_at():
    """Those that move, and those that stand still."""
    named = {name for name, f in getmembers(figures, isfunction) if f.__module__ == figures.__name__ and "fig" in signature(f).parameters}
    assert named == {*MOVING, *STILL}


@pytest.fixture(scope="module", params=STILL)
def standing(request):
    """Every still figure, drawn, with its words."""
    figure = getattr(figures, request.param)
    picture = Picture(figure, STILL[request.param])
    picture.png()
    return picture.fig, alt_text(figure)


@pytest.fixture(scope="module", params=MOVING)
def moved(request):
    """Every moving figure, one after another."""
    args, ranges = MOVING[request.param]
    return live(**ranges)(getattr(figures, request.param), *args)


def ends(figure: Live):
    """A figure with every control, one after another, at each of its ends."""
    for name, c in figure.controls.items():
        of = lambda end, c=c: c.base ** end if hasattr(c, "base") else end
        for value in c.options if hasattr(c, "options") else (of(c.min), of(c.max)):
            figure.picture.png(**{**figure.start, name: value})
            yield figure.picture.fig


def words(fig: Figure) -> list:
    """All texts of a figure but the numbers of its axes."""
    inside = [t for ax in fig.axes for t in (*ax.texts, ax.title, *([ax.xaxis.label, ax.yaxis.label] if ax.axison else []))]
    legends = [ax.get_legend() for ax in fig.axes if ax.get_legend()] + fig.legends
    return [t for t in (*inside, *fig.texts, *(t for legend in legends for t in legend.get_texts())) if t.get_text().strip()]


def check_axes(fig: Figure) -> None:
    """Every axis with numbers has a name, which panels may share; names on it, as those of a timeline, speak for themselves."""
    for ax in fig.axes:
        for axis, grouper in ((ax.xaxis, ax.get_shared_x_axes()), (ax.yaxis, ax.get_shared_y_axes())):
            name = [getattr(a, f"get_{axis.axis_name}label")() for a in grouper.get_siblings(ax)]
            counts = any(c.isdigit() for tick in axis.get_ticklabels() for c in tick.get_text())
            assert not ax.axison or any(name) or not counts, f"{axis.axis_name} of {ax.get_title()}"


def check_words(fig: Figure) -> None:
    """Eleven pixels for the height of a line, as shown; inside the picture, and apart from one another."""
    places = [(t.get_text(), t.get_window_extent()) for t in words(fig)]
    assert min(t.get_size() for t in words(fig)) * INK / 72 >= 11
    for text, place in places:
        assert place.x0 > -2 and place.y0 > -2 and place.x1 < fig.bbox.x1 + 2 and place.y1 < fig.bbox.y1 + 2, text
    for (one, a), (other, b) in combinations(places, 2):
        assert min(a.x1, b.x1) - max(a.x0, b.x0) < 2 or min(a.y1, b.y1) - max(a.y0, b.y0) < 2, f"{one} lies on {other}"


def check_ink(fig: Figure) -> None:
    """Words have a contrast of 4.5 with the page and lines of 3, as they are drawn (WCAG 2.1, 1.4.3 and 1.4.11)."""
    for text in words(fig):
        assert contrast(text.get_color()) >= 4.5, text.get_text()
    for ax in fig.axes:
        for line in ax.lines:
            color = line.get_markeredgecolor() if line.get_linestyle() == "None" else line.get_color()
            assert contrast(to_rgba(color, line.get_alpha())) >= 3, line
        for lines in (c for c in ax.collections if not c.get_facecolor().size):
            assert min(map(contrast, lines.get_edgecolor())) >= 3, lines


def check_sentence(alt: str) -> None:
    """More than a name, short enough to be listened to."""
    assert 40 < len(alt) < 300 and alt.endswith(".") and alt[0].isupper()


def test_axes_say_what_they_show(moved):
    check_axes(moved.picture.fig)


def test_words_are_large_enough_apart_and_in_the_picture(moved):
    """At every end of every control."""
    for fig in ends(moved):
        check_words(fig)
        check_ink(fig)


def test_a_picture_is_white_on_any_page_and_has_a_sentence(moved):
    assert moved.picture.fig.get_facecolor() == (1, 1, 1, 1)
    check_sentence(moved.alt)


def test_a_still_picture_is_as_readable(standing):
    fig, alt = standing
    assert fig.get_facecolor() == (1, 1, 1, 1)
    check_axes(fig)
    check_words(fig)
    check_ink(fig)
    check_sentence(alt)
