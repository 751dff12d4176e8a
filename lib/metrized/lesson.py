"""What every lecture uses beside its figures: claim (a statement that a cell proves), predict (a question before its answer), show (source code)."""
import ast
import inspect
import re
from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
from IPython.display import Code

from .arrays import to_numpy


class ClaimFailed(AssertionError):
    """A lecture states something that the computation contradicts."""


def claim(statement: str, value, bounds: tuple[float, float]) -> None:
    """Print the statement with its value and bounds; raises ClaimFailed unless low <= value <= high.

    A sequence of values (one a seed, say) must lie inside as a whole. NaN is outside of everything.
    """
    values = np.atleast_1d(np.asarray([to_numpy(v) for v in value] if isinstance(value, (list, tuple)) else to_numpy(value), dtype=float)).ravel()
    low, high = bounds
    holds = values.size > 0 and bool(((low <= values) & (values <= high)).all())
    found = ", ".join(f"{v:.4g}" for v in values) if values.size <= 6 else f"{values.min():.4g} to {values.max():.4g} ({values.size} values)"
    line = f"{'holds' if holds else 'FAILS'}  {statement}: {found}  in [{low:.4g}, {high:.4g}]"
    if not holds:
        raise ClaimFailed(line)
    print(line)


def show(thing, name: str | None = None) -> Code:
    """The source of a function, class or module of the library, in colour: the code that runs, not a copy.

    With a `name`, the place where the module `thing` assigns it. Raises ValueError where it does not.
    """
    source = inspect.getsource(thing)
    if name:
        assigned = lambda node: {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        kinds = (ast.Assign, ast.AnnAssign, ast.AugAssign)
        places = [node for node in ast.parse(source).body if isinstance(node, kinds) and name in assigned(node)]
        if not places:
            raise ValueError(f"{thing.__name__} assigns nothing to {name}")
        source = "\n".join(source.splitlines()[places[0].lineno - 1:places[0].end_lineno])
    return Code(source, language="python")


class Quiz:
    """Asks before the computation answers, and keeps score: guess = predict(question, choices), and in a later cell guess.score(answer)."""

    def __init__(self):
        self.right, self.scored = 0, 0

    def __call__(self, question: str, choices: Sequence[str] | None = None, unit: str = "") -> "Guess":
        """A question with choices, or one whose answer is a number (in `unit`)."""
        return Guess(self, question, list(choices) if choices else None, unit)

    def count(self, correct: bool) -> str:
        """Note one answer; the score in words."""
        self.right, self.scored = self.right + correct, self.scored + 1
        return f"{self.right} of {self.scored} so far."


class Guess:
    """A question on the page, with a place for the answer."""

    def __init__(self, quiz: Quiz, question: str, choices: list[str] | None, unit: str):
        self.quiz, self.question, self.choices, self.unit, self.counted = quiz, question, choices, unit, False
        wide = widgets.Layout(width="100%")
        self.answer = (widgets.RadioButtons(options=choices, value=None, layout=wide) if choices else
                       widgets.Text(placeholder=f"a number{' of ' + unit if unit else ''}", layout=widgets.Layout(width="220px")))
        self.box = widgets.VBox([widgets.HTML(f"<b>Predict.</b> {question}"), self.answer])

    def _repr_mimebundle_(self, include=None, exclude=None):
        options = "".join(f"\n  - {choice}" for choice in self.choices or [])
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {"application/vnd.jupyter.widget-view+json": view, "text/markdown": f"**Predict.** {self.question}\n{options}",
                "text/plain": f"Predict. {self.question}{options}"}

    def score(self, truth: str | float, within: float = 0.1) -> None:
        """Print how the answer compares with `truth`: a choice, or a number that may be missed by the fraction `within`.

        Raises ValueError where `truth` is none of the choices. Running the cell again does not count twice.
        """
        if self.choices and truth not in self.choices:
            raise ValueError(f"{truth!r} is none of the choices {self.choices}")
        given = self.answer.value if self.choices else self.answer.value.strip()
        said = truth if self.choices else f"{truth:.4g} {self.unit}".strip()
        if given in (None, ""):
            print(f"No answer given yet. It is: {said}.")
            return
        answer = given if self.choices else _number(given, self.unit)
        if answer is None:
            print(f"{given} cannot be read as a number; write it like 0.5, 1e-3, 2/11, or 1000.")
            return
        correct = answer == truth if self.choices else abs(answer - truth) <= within * abs(truth)
        score = "" if self.counted else " " + self.quiz.count(bool(correct))
        self.counted = True
        print(f"{'Right' if correct else 'Not so'}: it is {said}, you said {answer if self.choices else f'{answer:.4g}'}.{score}")


def _number(text: str, unit: str = "") -> float | None:
    """A number as people write it: 0.5 or 0,5, 2/11, 10 000, 80 GB, with either minus. None for anything else, and for 1,000, which may be 1."""
    text = re.sub(r"\s", "", text.replace("−", "-")).removesuffix(unit.replace(" ", ""))
    if re.search(r"[1-9]\d*,\d{3}$", text):
        return None
    try:
        above, *below = map(float, text.replace(",", ".").split("/", 1))
        return above / below[0] if below else above
    except (ValueError, ZeroDivisionError):
        return None
