"""A character-level GPT, trained outside a notebook; it can be stopped at any moment and goes on where it was.

    python -m metrized.examples.gpt                                     "Pride and Prejudice", about a minute
    python -m metrized.examples.gpt --text shakespeare --steps 2000 --optimizer adam --out runs/adam
"""
import argparse
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from .. import data
from ..arrays import to_device, to_numpy, whole
from ..compounds import GPT
from ..linalg import fast_polar
from ..losses import CrossEntropy
from ..modules import Module
from ..objective import Objective
from ..optimizers import SGD, Adam, HeavyBall, NormalizedDescent, SteepestDescent
from ..schedules import linear
from ..train import Diverged, Step, descend
from ..vectors import Vector

RULES: dict[str, tuple[Callable, float]] = {  # the rule for a network and a step size, all with momentum .9; and a step size to begin with
    "dualized": (lambda net, eta: HeavyBall(SteepestDescent(net.norm, step_size=eta), 0.9), 0.125),
    "normalized": (lambda net, eta: HeavyBall(NormalizedDescent(net.norm, eta), 0.9), 0.25),
    "adam": (lambda net, eta: Adam(eta), 0.004),
    "sgd": (lambda net, eta: SGD(eta, 0.9), 0.5),
}


@dataclass(frozen=True)
class Settings:
    """All that a run depends on. Raises ValueError for what no run can have."""

    text: str = "austen"
    width: int = 64
    depth: int = 2
    heads: int = 4
    context: int = 32
    batch: int = 16
    steps: int = 1000
    step_size: float | None = None
    optimizer: str = "dualized"
    seed: int = 0

    def __post_init__(self):
        for name in ("width", "depth", "heads", "context", "batch", "steps"):
            whole("a run", name, getattr(self, name))
        whole("a run", "seed", self.seed, least=0)
        if self.width % (2 * self.heads):
            raise ValueError(f"a width of {self.width} does not give {self.heads} heads an even number of features each; "
                             f"take a multiple of {2 * self.heads}")
        if self.optimizer not in RULES:
            raise ValueError(f"no optimizer is called {self.optimizer!r}; there are {', '.join(RULES)}")
        if self.step_size is None:
            object.__setattr__(self, "step_size", RULES[self.optimizer][1])
        if not (isfinite(self.step_size) and self.step_size > 0):
            raise ValueError(f"a step size is positive and finite, got {self.step_size}")


class Saved(NamedTuple):
    """A moment from which a run goes on exactly: before step t, with the weights w, the rule's state, and the generator before batch t."""

    settings: Settings
    t: int
    w: Vector
    state: object
    rng: dict


# The text


def split(tokens: np.ndarray, share: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """The beginning of a text, to train on, and its end, to validate on: tokens [n] in two parts, the first with `share` of them."""
    cut = int(share * len(tokens))
    return tokens[:cut], tokens[cut:]


def windows(tokens: np.ndarray, starts: np.ndarray, T: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs x [B, T] and targets t [B, T], the next characters, from B places of a text: t[:, i] = x[:, i + 1].

    Raises ValueError where the text ends before a window does.
    """
    if len(starts) == 0 or starts.min() < 0 or starts.max() + T >= len(tokens):
        raise ValueError(f"windows of {T} characters and one more do not fit at these places of a text of {len(tokens)}")
    z = tokens[starts[:, None] + np.arange(T + 1)]
    return z[:, :-1], z[:, 1:]


def batch(tokens: np.ndarray, B: int, T: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """B windows (x, t) at random places."""
    return windows(tokens, rng.integers(0, len(tokens) - T, B), T)


def validation_loss(net: Module, w: Vector, tokens: np.ndarray, T: int, count: int = 256) -> float:
    """Mean loss, in nats a character, over `count` windows spread evenly over the text; always the same ones. In portions of 64, where w lies."""
    starts = np.linspace(0, len(tokens) - T - 1, count).astype(int)
    portions = [starts[i:i + 64] for i in range(0, count, 64)]
    mean = lambda s: float(Objective(net, CrossEntropy(), *to_device(windows(tokens, s, T), w.device))(w))
    return float(sum(len(s) * mean(s) for s in portions) / count)


def sample(net: Module, w: Vector, prompt: np.ndarray, n: int, temperature: float, rng: np.random.Generator, context: int = 32) -> np.ndarray:
    """The prompt [m] and n tokens more, each drawn from softmax(logits / temperature) of the last `context` ones; the likeliest at temperature 0."""
    if len(prompt) == 0 or not temperature >= 0:
        raise ValueError(f"sample needs at least one token to begin with and a temperature >= 0, got {len(prompt)} and {temperature}")
    tokens = list(prompt)
    for _ in range(n):
        logits = to_numpy(net(to_device(np.array(tokens[-context:]), w.device), w)[-1]).astype(float)
        tokens.append(int(logits.argmax()) if temperature == 0 else _draw(logits / temperature, rng))
    return np.array(tokens)


def _draw(logits: np.ndarray, rng: np.random.Generator) -> int:
    """An index with probability softmax(logits): the place of the maximum after Gumbel noise."""
    return int((logits + rng.gumbel(size=len(logits))).argmax())


# The run


def network(settings: Settings, vocabulary: int) -> Module:
    """The GPT of these settings, with masses 1 : 5 : 1 and Newton-Schulz for the dual map."""
    return GPT(vocabulary, settings.width, settings.heads, settings.depth, polar=fast_polar)


def train(settings: Settings, tokens: np.ndarray, net: Module, saved: Saved | None = None, progress: bool = False,
          device: str = "cpu") -> Iterator[tuple[Step, Saved]]:
    """Every moment of a run, from the beginning or from where it was saved, with what it takes to go on from there; linear decay to 0.

    A run that goes on does so on the device where it was.
    """
    rng = np.random.default_rng(settings.seed)
    w = net.initialize(rng).to(device) if saved is None else saved.w
    rule = RULES[settings.optimizer][0](net, settings.step_size)
    if saved is not None:
        rng.bit_generator.state = saved.rng
    before = [rng.bit_generator.state]  # of the batch that is drawn next

    def objectives():
        while True:
            before[0] = rng.bit_generator.state
            yield Objective(net, CrossEntropy(), *to_device(batch(tokens, settings.batch, settings.context, rng), w.device))

    start, state = (0, None) if saved is None else (saved.t, saved.state)
    for step in descend(objectives(), w, rule, settings.steps - start, schedule=linear(settings.steps), state=state, start=start, progress=progress):
        yield step, Saved(settings, step.t, step.w, step.state, before[0])


def save(saved: Saved, path: Path) -> None:
    """Write a checkpoint in one piece: whoever looks finds the old one or the new one, whole, even if the machine stops in between."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            pickle.dump({**saved._asdict(), "settings": asdict(saved.settings)}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def load(path: Path, settings: Settings) -> Saved:
    """A checkpoint of your own (pickles from strangers can run code). Raises ValueError where it cannot be read or has other settings."""
    try:
        saved = pickle.loads(path.read_bytes())
        old = Settings(**saved.pop("settings"))
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no checkpoint of this program ({type(error).__name__}); remove it, or give another --out") from error
    here, there = asdict(settings), asdict(old)
    differ = [f"{name} {there[name]} and not {here[name]}" for name in here if here[name] != there[name]]
    if differ:
        raise ValueError(f"{path} belongs to a run with {', '.join(differ)}; go on with the same settings, or give another --out")
    return Saved(old, **saved)


def main(arguments: list[str] | None = None) -> None:
    """Train, report, save, and write some text in the manner of what was read."""
    parser = argparse.ArgumentParser(prog="python -m metrized.examples.gpt", description=__doc__.splitlines()[0])
    for field in fields(Settings):
        kind = {"text": str, "optimizer": str, "step_size": float}.get(field.name, int)
        choices = {"text": ("austen", "shakespeare"), "optimizer": tuple(RULES)}.get(field.name)
        parser.add_argument("--" + field.name.replace("_", "-"), type=kind, default=field.default, choices=choices,
                            help=f"default {field.default}" if field.default is not None else "default: one for each optimizer")
    parser.add_argument("--out", type=Path, default=Path("gpt"), help="folder of the checkpoint, from which a stopped run goes on (default gpt)")
    parser.add_argument("--every", type=int, default=100, help="steps between two reports, each of which saves as well (default 100)")
    options = vars(parser.parse_args(arguments))
    out, every = options.pop("out"), options.pop("every")
    try:
        settings = Settings(**options)
        whole("a run", "every", every)
        out.mkdir(parents=True, exist_ok=True)
        path = out / "gpt.pickle"
        saved = load(path, settings) if path.exists() else None
        text = data.load(settings.text)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    net = network(settings, len(text.alphabet))
    (tokens, rest), latest = split(text.tokens), saved
    if saved is not None:
        tqdm.write(f"going on from step {saved.t} of {path}")
    try:
        for step, latest in train(settings, tokens, net, saved, progress=True):
            if step.t % every == 0 or step.t == settings.steps:
                unseen = validation_loss(net, step.w, rest, settings.context)
                tqdm.write(f"step {step.t:6}   training {float(step.loss):.4f}   validation {unseen:.4f}")
                save(latest, path)
    except KeyboardInterrupt:
        if latest is not None:
            save(latest, path)
        tqdm.write(f"stopped at step {latest.t if latest else 0}; the same command goes on from there")
        return
    except Diverged as error:
        parser.exit(1, f"{error}.\n")
    written = sample(net, latest.w, tokens[:settings.context], 500, 0.8, np.random.default_rng(settings.seed), settings.context)
    print(text.decode(written[settings.context:]))


if __name__ == "__main__":
    main()
