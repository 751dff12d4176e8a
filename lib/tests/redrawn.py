"""The rival of live: the same figure under the same controls, as ipywidgets' interact draws it, from nothing for every move."""
import matplotlib.pyplot as plt
from ipywidgets import interactive
from matplotlib import rc_context
from matplotlib_inline.backend_inline import set_matplotlib_formats

import metrized.live
from metrized.live import INK, LOOK, control

made = []
"""What the figures of this `live` were made of."""


def live(**ranges):
    """live of the library; `made` remembers what it was given."""
    def widget(figure, *args):
        made.append((figure, args, ranges))
        return metrized.live.live(**ranges)(figure, *args)
    return widget


def redrawn() -> interactive:
    """The rival of the last figure: shown by pyplot, as large and at as many pixels."""
    figure, args, ranges = made[-1]
    ranges = dict(ranges)
    size = ranges.pop("size", (7.0, 3.4))
    set_matplotlib_formats("retina")

    def draw(**values):
        with rc_context({**LOOK, "figure.dpi": INK}):
            figure(plt.figure(figsize=size, layout="constrained"), *args)(**values)
            plt.show()
    return interactive(draw, **{name: control(name, r) for name, r in ranges.items()})
