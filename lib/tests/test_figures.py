"""Figures that everybody can read: labels, legibility, colours, and words for those who hear the page."""
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from test_lesson import MOVING

from metrized import figures
from metrized.live import INK, Live, live

NAMED = {name: getattr(figures, name) for name in ("BLUE", "ORANGE", "GREEN", "PINK", "SKY", "GREY")}
COLOR_BLIND = {  # Machado, Oliveira & Fernandes (2009), severity 1, of linear RGB
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "nobody": np.eye(3),
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])


def linear(color) -> np.ndarray:
    """The light that a screen sends for a colour: sRGB without its exponent."""
    c = np.array(to_rgb(color))
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


def test_axes_say_what_they_show(moved):
    for ax in moved.picture.fig.axes:
        assert not ax.axison or ax.get_xlabel() and ax.get_ylabel(), ax.get_title()


def test_words_are_large_enough_apart_and_in_the_picture(moved):
    """Eleven pixels for the height of a line, as shown; at every end of every control."""
    for fig in ends(moved):
        places = [(t.get_text(), t.get_window_extent()) for t in words(fig)]
        assert min(t.get_size() for t in words(fig)) * INK / 72 >= 11
        for text, place in places:
            assert place.x0 > -2 and place.y0 > -2 and place.x1 < fig.bbox.x1 + 2 and place.y1 < fig.bbox.y1 + 2, text
        for (one, a), (other, b) in combinations(places, 2):
            assert min(a.x1, b.x1) - max(a.x0, b.x0) < 2 or min(a.y1, b.y1) - max(a.y0, b.y0) < 2, f"{one} lies on {other}"


def test_a_picture_is_white_on_any_page_and_has_a_sentence(moved):
    assert moved.picture.fig.get_facecolor() == (1, 1, 1, 1)
    assert 40 < len(moved.alt) < 300 and moved.alt.endswith(".") and moved.alt[0].isupper()
