"""The science of scale as a timeline: who found what, in which norm it measures, and where it runs in this course.

    python -m metrized.examples.timeline        writes results/timeline.png, and lectures/timeline.md of a checkout
"""
from pathlib import Path
from typing import NamedTuple

from .. import figures
from ..live import Still, still


class Event(NamedTuple):
    """One entry. `theme`: a key of THEMES; `runs`: what runs it, as module.name of the library (empty: cited only); `lecture`: its number."""

    year: int
    name: str
    who: str
    idea: str
    theme: str
    lecture: int
    runs: str = ""


THEMES = ("descent", "every number by itself", "spectra", "scale")

EVENTS = (
    Event(1847, "Gradient descent", "Cauchy",
          "go against the gradient: the Euclidean norm, not yet by name",
          "descent", 1, "optimizers.SGD"),
    Event(1912, "Perturbation of spectra", "Weyl; later Wedin 1972, Stewart & Sun 1990",
          "singular values move by no more than the spectral norm of a change",
          "spectra", 10, "norms.Spectral"),
    Event(1951, "Stochastic gradients", "Robbins & Monro",
          "a noisy gradient is enough, if the steps shrink in the right way",
          "descent", 7, "schedules.inverse_time"),
    Event(1963, "Levenberg-Marquardt", "Levenberg 1944; Marquardt",
          "half of the curvature is easy; damp it",
          "descent", 4, "optimizers.LevenbergMarquardt"),
    Event(1964, "Heavy ball", "Polyak; Nesterov 1983",
          "remember the last step",
          "descent", 2, "optimizers.HeavyBall"),
    Event(1988, "Averaging", "Ruppert; Polyak & Juditsky 1992",
          "keep the step size and average the tail",
          "descent", 7, "schedules.tail"),
    Event(2011, "Adagrad", "Duchi, Hazan & Singer",
          "every number is measured by its own history",
          "every number by itself", 8, "optimizers.Adagrad"),
    Event(2012, "RMSProp", "Tieleman & Hinton",
          "forget old history",
          "every number by itself", 8, "optimizers.RMSProp"),
    Event(2015, "Adam", "Kingma & Ba",
          "with momentum; without memory it is the sign, steepest under the max norm",
          "every number by itself", 8, "optimizers.Adam"),
    Event(2017, "LARS", "You, Gitman & Ginsburg",
          "each layer moves by a fraction of itself",
          "scale", 10, "optimizers.LARS"),
    Event(2018, "Shampoo", "Gupta, Koren & Singer",
          "two matrices a layer; without accumulation U V^T, steepest under the spectral norm",
          "spectra", 12, "optimizers.Shampoo"),
    Event(2018, "signSGD", "Bernstein, Wang, Azizzadenesheli & Anandkumar",
          "send one bit a number: the max norm on purpose",
          "every number by itself", 8, "optimizers.SignDescent"),
    Event(2018, "Adafactor", "Shazeer & Stern",
          "a row and a column in place of a matrix of second moments",
          "every number by itself", 8, "optimizers.Adafactor"),
    Event(2018, "BigGAN", "Brock, Donahue & Simonyan",
          "large networks collapse in training, and their spectra show it coming",
          "scale", 10),
    Event(2019, "AdamW", "Loshchilov & Hutter",
          "decay the weights apart from the gradient",
          "every number by itself", 8, "optimizers.AdamW"),
    Event(2020, "Fromage", "Bernstein, Vahdat, Yue & Liu",
          "bound the change of a network by the relative change of its layers; steps of size 1/L",
          "scale", 12, "optimizers.Fromage"),
    Event(2021, "muP", "Yang & Hu",
          "the one parameterization in which every layer learns features at infinite width; step sizes transfer",
          "scale", 10, "optimizers.MuP"),
    Event(2021, "Edge of stability", "Cohen, Kaur, Li, Kolter & Talwalkar",
          "the sharpness rises to 2 / step size and stays there",
          "descent", 9, "curvature.sharpness"),
    Event(2022, "Eight-bit state", "Dettmers, Lewis, Shleifer & Zettlemoyer",
          "optimizer state in one byte a number",
          "every number by itself", 8, "optimizers.EightBit"),
    Event(2023, "Lion", "Chen et al.",
          "a program search finds the sign of a momentum",
          "every number by itself", 8, "optimizers.Lion"),
    Event(2023, "Automatic gradient descent", "Bernstein, Mingard, Huang, Azizan & Yue",
          "majorize the network, and no step size is left",
          "scale", 6, "optimizers.AGD"),
    Event(2023, "Spectral condition", "Yang, Simon & Bernstein",
          "muP in one line: weights and updates of spectral norm sqrt(fan_out / fan_in)",
          "spectra", 10, "norms.RMSOperator"),
    Event(2024, "Nanotron", "Hugging Face",
          "the spectral parameterization in a library for large language models",
          "scale", 10),
    Event(2024, "Modular norm", "Large, Liu, Huh, Bahng, Isola & Bernstein",
          "a norm for any architecture, built as the network is built",
          "scale", 11, "modules.Compose"),
    Event(2024, "Modular duality", "Bernstein & Newhouse",
          "every optimizer is a norm, and every norm of a module has its dual map",
          "spectra", 12, "modules.Module"),
    Event(2024, "Muon", "Jordan, Jin, Boza, You, Cesista, Newhouse & Bernstein",
          "orthogonalize the momentum by Newton-Schulz; records for the speed of training small language models",
          "spectra", 12, "optimizers.Muon"),
)

LECTURES = {1: "01-quadratics", 2: "02-momentum", 4: "04-newton", 6: "06-which-norm", 7: "07-noise", 8: "08-adam", 9: "09-edge-of-stability",
            10: "10-spectral-width", 11: "11-depth-modules", 12: "12-duality", 13: "13-scale"}


def page() -> str:
    """The timeline as Markdown: one row an event, with links to the lecture where it runs."""
    row = lambda e: (f"| {e.year} | **{e.name}** | {e.who} | {e.idea} | {f'`{e.runs}`' if e.runs else 'cited'} | "
                     f"[{e.lecture}]({LECTURES[e.lecture]}.ipynb) |")
    intro = ("From Cauchy's gradient to norms that are built as the network is built. What runs in the course is named as in the library; the "
             "last column leads to the lecture that explains it. Networks got larger, and each step answers a question that the one before it "
             "left open: *how large is a change of the weights?*")
    close = ("The page is written by `python -m metrized.examples.timeline`. It follows J. Bernstein's account of how the field developed, and is "
             "as one-sided as such accounts are: corrections are welcome.")
    table = ["| year | what | who | the idea | runs as | lecture |", "|---|---|---|---|---|---|", *map(row, EVENTS)]
    image = f"![{picture().alt}](../lib/metrized/results/timeline.png)"
    return "\n".join(["# A timeline of the science of scale", "", intro, "", image, "", *table, "", close, ""])


def picture() -> Still:
    """The timeline as a figure."""
    return still(figures.timeline, EVENTS, THEMES, size=(7.0, 6.4))


def main() -> None:
    """Write the picture, and the page where there is a folder of lectures."""
    package = Path(__file__).parents[1]
    picture().save(package / "results" / "timeline.png")
    if (folder := package.parents[1] / "lectures").is_dir():
        (folder / "timeline.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
