"""Moving figures: a function that draws into a Figure and returns how it moves becomes a picture with sliders.

    def parabola(fig):
        ax = fig.subplots()
        ...draw what stands still...
        point, = ax.plot([], [], "o")
        def move(w): point.set_data([w], [w * w])
        return move

    live(w=(-2.0, 2.0))(parabola)          sliders, in a notebook
    still(parabola, w=1.0)                 one picture, anywhere

Only what a move changes is drawn again, over a stored background, and while it moves a quarter of the pixels is sent, so that a picture follows
the slider. Nothing beyond the widgets that ipywidgets 7.7 and 8 have in common is used, and every live figure carries a still picture for pages
without a kernel.
"""
import asyncio
import base64
import struct
import zlib
from collections.abc import Callable
from html import escape
from math import floor, log10

import ipywidgets as widgets
import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

INK, PIXELS = 100, 2
"""Dots per inch of the layout, and pixels per dot of a picture at rest (2 is sharp on a dense screen); one that moves has 1."""
REST = 0.2
"""Seconds without a move after which a picture is at rest."""
CONTROLS = 620
"""Dots that a slider takes with its buttons."""
UNSEEN = '<span style="position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)">{}</span>'
"""Words for those who hear the page: a widget's picture has no alternative text."""
LOOK = {"font.size": 9, "axes.titlesize": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25,
        "lines.linewidth": 1.8, "legend.frameon": False, "text.hinting": "none"}
"""How pictures look. Letters are not fitted to the pixels: at two for each dot nobody sees it, and text is drawn in half the time."""


class Picture:
    """A figure function at work: draw(**values) moves it, sharp() and draft() give what was drawn as PNG bytes; png(**values) is both."""

    def __init__(self, figure: Callable, args: tuple = (), size: tuple[float, float] = (7.0, 3.4)):
        self.fig = Figure(figsize=size, dpi=INK * PIXELS, layout="constrained")
        self.canvas = FigureCanvasAgg(self.fig)
        self.width = round(size[0] * INK)
        with rc_context(LOOK):
            self.move = figure(self.fig, *args)
        self.moving, self.background = [], None

    def png(self, **values) -> bytes:
        """The picture at these values."""
        self.draw(**values)
        return self.sharp()

    def sharp(self) -> bytes:
        """What was drawn last, as PNG."""
        return encoded(np.asarray(self.canvas.buffer_rgba()))

    def draft(self) -> bytes:
        """The same with a quarter of the pixels, each the mean of four: sent and shown in half the time."""
        size, drawn = self.canvas.get_width_height(), self.canvas.buffer_rgba()
        return encoded(np.asarray(Image.frombuffer("RGBX", size, drawn, "raw", "RGBX", 0, 1).reduce(PIXELS)))

    def draw(self, **values) -> None:
        """Move to these values. Only artists that ever changed are drawn again, unless an axis itself did."""
        if self.move is not None:
            self.move(**values)
        with rc_context(LOOK):
            self._draw_changed()

    def _draw_changed(self) -> None:
        """Restore the background, and draw over it what moves."""
        changed = [a for a in self._artists() if a.stale and a not in self.moving]
        if self.background is None:
            self._draw_all()
        elif changed or any(axis.stale for ax in self.fig.axes if ax.axison for axis in (ax.xaxis, ax.yaxis)):
            self.moving += changed
            self.moving += self._above()
            self._draw_all()
        self.canvas.restore_region(self.background)
        for artist in sorted((a for a in self._artists() if a in self.moving), key=lambda a: a.zorder):
            (artist.axes or self.fig).draw_artist(artist)

    def _draw_all(self) -> None:
        """Draw everything that stands still, and keep it."""
        if self.background is None:  # lay out once, with the moving parts in place, and then never again
            self.canvas.draw()
            self.fig.set_layout_engine("none")
        for artist in self.moving:
            artist.set_animated(True)
        self.canvas.draw()
        self.background = self.canvas.copy_from_bbox(self.fig.bbox)

    def _above(self) -> list:
        """What stands still in front of something that moves, and must be drawn again after it."""
        floor = {}
        for artist in self.moving:
            floor[artist.axes] = min(artist.zorder, floor.get(artist.axes, artist.zorder))
        return [a for a in self._artists() if a not in self.moving and a.axes in floor and a.zorder > floor[a.axes]]

    def _artists(self) -> list:
        """Everything that can move: what stands in the axes and on the figure, except axes, frames and grids."""
        inside = [a for ax in self.fig.axes for a in (*ax.lines, *ax.patches, *ax.collections, *ax.texts, *ax.images, ax.title, ax.xaxis.label)]
        return inside + list(self.fig.texts)


def encoded(pixels: np.ndarray) -> bytes:
    """A PNG of pixels [height, width, 4] of uint8. Drawings are flat, so rows go unfiltered: to choose filters would double the time of a move."""
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # the byte before each row says: no filter
    rows[:, 1:] = pixels.reshape(height, -1)
    chunks = {b"IHDR": struct.pack(">2I5B", width, height, 8, 6, 0, 0, 0), b"IDAT": zlib.compress(rows, 1), b"IEND": b""}
    packed = [struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


class Still:
    """One picture, shown in a notebook; `png` has the bytes, `alt` what a screen reader says."""

    def __init__(self, png: bytes, width: int, alt: str):
        self.png, self.width, self.alt = png, width, alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"image/png": base64.b64encode(self.png).decode(), "text/plain": self.alt}, {"image/png": {"width": self.width, "alt": self.alt}}

    def save(self, path) -> None:
        """Write the PNG to a file."""
        with open(path, "wb") as file:
            file.write(self.png)


def still(figure: Callable, *args, size: tuple[float, float] = (7.0, 3.4), **values) -> Still:
    """The picture that figure(fig, *args) draws, moved to `values`."""
    picture = Picture(figure, args, size)
    return Still(picture.png(**values), picture.width, alt_text(figure))


def alt_text(figure: Callable) -> str:
    """The first paragraph of the figure's docstring."""
    return " ".join((figure.__doc__ or figure.__name__).strip().split("\n\n")[0].split())


class Live(Still):
    """A picture under its controls. `controls` has the widgets by name, `box` all of it as one widget.

    The last slider can be played; a button puts everything back to where it began.
    """

    def __init__(self, figure: Callable, args: tuple, ranges: dict, size: tuple[float, float]):
        self.controls = {name: control(name, r) for name, r in ranges.items()}
        self.start, self.picture = self.values(), Picture(figure, args, size)
        self.picture.png(**self.start)
        self.picture.png(**{name: other_end(c) for name, c in self.controls.items()})  # drawn twice, the moving artists are known
        super().__init__(self.picture.png(**self.start), self.picture.width, alt_text(figure))
        pixels = f"{self.width}px"
        self.image = widgets.Image(value=self.png, format="png", layout=widgets.Layout(width=pixels, max_width="100%", object_fit="contain"))
        self.message, self.held, self.timer = widgets.HTML(), False, None
        self.message.add_class("metrized-message")
        self.reset = widgets.Button(description="Reset", tooltip="Put everything back to where it began", layout=widgets.Layout(width="70px"))
        for c in self.controls.values():
            c.observe(self._update, names="value")
        sliders = [c for c in self.controls.values() if hasattr(c, "max")]
        self.play = player(sliders[-1]) if sliders else None  # which hears of a move after the picture does
        self.box = widgets.VBox([*self._rows(), self.message, self.image, widgets.HTML(UNSEEN.format(escape(self.alt)))])
        self.box.layout.width, self.box.layout.max_width = f"{max(self.width, CONTROLS) + 8}px", "100%"
        self.reset.on_click(self._restart)

    def _rows(self) -> list[widgets.Widget]:
        """One control a row; to play stands beside what it plays, and to reset comes last."""
        rows = [[c] for c in self.controls.values()]
        if self.play:
            [row for row in rows if hasattr(row[0], "max")][-1].append(self.play)
        rows[-1].append(self.reset)
        return [widgets.HBox(row, layout=widgets.Layout(flex_flow="row wrap", align_items="center")) for row in rows]

    def values(self) -> dict:
        """What the controls say now."""
        return {name: c.value for name, c in self.controls.items()}

    def _restart(self, _) -> None:
        self.held = True  # one picture when all are back, not one for each
        for name, value in self.start.items():
            self.controls[name].value = value
        self.held = False
        self._update(None)

    def _update(self, _) -> None:
        if self.held:
            return
        try:
            self.picture.draw(**self.values())
            self.image.value = self.picture.draft() if self._rests_later() else self.picture.sharp()
            self.message.value = ""
        except Exception as error:  # an exception inside a widget's callback would vanish without a trace
            self.message.value = f'<span style="color:#c22">{escape(f"{type(error).__name__}: {error}")}</span>'

    def _rests_later(self) -> bool:
        """Whether the picture will be sent again, sharp, once it rests. Only a kernel can wait for that."""
        if self.timer:
            self.timer.cancel()
        try:
            self.timer = asyncio.get_running_loop().call_later(REST, self._rest)
        except RuntimeError:
            return False
        return True

    def _rest(self) -> None:
        self.image.value = self.picture.sharp()

    def _repr_mimebundle_(self, include=None, exclude=None):
        data, metadata = super()._repr_mimebundle_()
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, **data}, metadata


def player(slider: widgets.Widget) -> widgets.Play:
    """Buttons that move a slider from its low end to its high one, in at most 100 steps; they go on from where it stands.

    The page counts, and tells the kernel the newest number when the last picture is there: a slow figure is played in fewer pictures, never late.
    """
    stops = _stops(slider)
    nearest = lambda: int(np.abs(stops - slider.value).argmin())
    play = widgets.Play(min=0, max=len(stops) - 1, value=nearest(), interval=max(80, 2000 // len(stops)), show_repeat=False,
                        layout=widgets.Layout(width="auto"))

    def follow(change):
        if nearest() != change.new:  # else it was the slider that has moved
            slider.value = stops[change.new].item()
    play.observe(follow, "value")
    slider.observe(lambda change: setattr(play, "value", nearest()), "value")
    return play


def _stops(slider: widgets.Widget) -> np.ndarray:
    """Where a player lets a slider stop."""
    if isinstance(slider, widgets.IntSlider):
        return np.unique(np.linspace(slider.min, slider.max, 101).round().astype(int))
    steps = floor((slider.max - slider.min) / slider.step + 1e-6)
    stops = slider.min + slider.step * np.unique(np.linspace(0, steps, 101).round())
    return slider.base ** stops if hasattr(slider, "base") else stops


def other_end(c: widgets.Widget):
    """A value of a control far from the one it has."""
    if hasattr(c, "options"):
        return c.options[-1]
    return not c.value if isinstance(c.value, bool) else _end(c, "max") if c.value < 0.5 * (_end(c, "min") + _end(c, "max")) else _end(c, "min")


def _end(c: widgets.Widget, name: str) -> float:
    """The least or largest value of a slider (a logarithmic one keeps the exponent)."""
    return c.base ** getattr(c, name) if hasattr(c, "base") else getattr(c, name)


def live(*, size: tuple[float, float] = (7.0, 3.4), **ranges) -> Callable[..., Live]:
    """live(name=range, ...)(figure, *args): the figure with a control for each argument of its move.

    A range is (low, high) or (low, high, start), whole numbers for whole steps; Log(low, high, start) for a logarithmic slider; a list of
    choices, or a tuple of words, the first one chosen; or True/False. Raises TypeError or ValueError for anything else, as for no range at all.
    """
    if not ranges:
        raise TypeError("live needs a range for each argument of the figure's move, as in live(eta=(0.0, 2.0))")
    return lambda figure, *args: Live(figure, args, ranges, size)


class Log(tuple):
    """A range on a logarithmic slider: Log(low, high) or Log(low, high, start), all positive."""

    def __new__(cls, *ends: float):
        return super().__new__(cls, ends)


def control(name: str, r) -> widgets.Widget:
    """The widget for one range (see live)."""
    style = dict(description=name.replace("_", " "), style={"description_width": "110px"}, layout=widgets.Layout(width="440px"))
    if isinstance(r, bool):
        return widgets.Checkbox(value=r, **style)
    if isinstance(r, list) and r and not isinstance(r[0], tuple) or isinstance(r, tuple) and r and all(isinstance(v, str) for v in r):
        return widgets.Dropdown(options=r, value=r[0], **style)
    if not (isinstance(r, tuple) and len(r) in (2, 3) and all(isinstance(v, (int, float)) for v in r)):
        raise TypeError(f"the range of {name} is {r!r}; expected (low, high), (low, high, start), Log(...), a list of choices, or True/False")
    low, high, start = r if len(r) == 3 else (*r, r[0])
    if not low <= start <= high or low == high:
        raise ValueError(f"the range of {name} needs low <= start <= high and low < high, got {tuple(r)}")
    if isinstance(r, Log):
        low, high, begin = map(log10, (low, high, start))
        step = (begin - low or high - low) / max(1, round(100 * (begin - low or high - low) / (high - low)))  # the start is one of its stops
        return widgets.FloatLogSlider(value=start, min=low, max=high, step=step, readout_format=".3g" if high < 3 else ".0f", **style)
    if all(isinstance(v, int) for v in r):
        return widgets.IntSlider(value=start, min=low, max=high, **style)
    return widgets.FloatSlider(value=start, min=low, max=high, step=_round_step((high - low) / 100), readout_format=".3g", **style)


def _round_step(most: float) -> float:
    """The largest of ..., .1, .2, .5, 1, 2, 5, ... up to `most`, so that a slider stops at round numbers."""
    exponent = floor(log10(most) + 1e-9)
    return max(digit for digit in (1, 2, 5) if digit * 10.0 ** exponent <= most * (1 + 1e-9)) * 10.0 ** exponent
