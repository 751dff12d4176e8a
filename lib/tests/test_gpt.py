"""The GPT example: a run that was stopped is the run that was not; and the text it reads and writes."""
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from metrized import data
from metrized.examples import gpt
from metrized.examples.gpt import RULES, Settings, load, main, network, sample, save, split, train, validation_loss, windows

TEXT = data.text("the quick brown fox jumps over the lazy dog. " * 40)
SMALL = Settings(width=8, depth=1, heads=2, context=7, batch=3, steps=12, step_size=0.5)
NET = network(SMALL, len(TEXT.alphabet))


def losses(settings=SMALL, saved=None):
    return [float(step.loss) for step, _ in train(settings, TEXT.tokens, network(settings, len(TEXT.alphabet)), saved)]


def moment(t, settings=SMALL):
    return next(saved for step, saved in train(settings, TEXT.tokens, NET) if step.t == t)


@pytest.mark.parametrize("optimizer", RULES)
@pytest.mark.parametrize("stop", [0, 5, 12])
def test_a_run_that_was_stopped_is_the_run_that_was_not(optimizer, stop, tmp_path):
    """Through a file: the losses from there on are the same bits, and training did train."""
    settings = replace(SMALL, optimizer=optimizer, step_size=None)
    whole = losses(settings)
    save(moment(stop, settings), tmp_path / "run")
    assert losses(settings, load(tmp_path / "run", settings)) == whole[stop:] and len(whole) == 13 and min(whole[6:]) < whole[0]


def test_another_seed_is_another_start_and_other_batches():
    a, b = moment(0), moment(0, replace(SMALL, seed=1))
    assert abs(a.w.flatten() - b.w.flatten()).max() > 0.1 and a.rng != b.rng


def test_a_save_that_fails_leaves_the_old_checkpoint_and_nothing_else(tmp_path, monkeypatch):
    """Whether writing breaks off in the middle, or just before the new file takes the place of the old one."""
    path = tmp_path / "run"
    save(moment(1), path)
    old = path.read_bytes()

    def half(thing, file):
        file.write(b"half")
        raise OSError("the disk is full")

    for module, name, broken in ((gpt.pickle, "dump", half), (gpt.os, "fsync", lambda file: 1 / 0)):
        with monkeypatch.context() as patch, pytest.raises((OSError, ZeroDivisionError)):
            patch.setattr(module, name, broken)
            save(moment(2), path)
        assert path.read_bytes() == old and list(tmp_path.iterdir()) == [path]
    save(moment(2), path)
    assert load(path, SMALL).t == 2 and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("change", [dict(width=12), dict(step_size=0.25), dict(seed=3), dict(optimizer="adam", step_size=0.5), dict(steps=13)],
                         ids=str)
def test_no_run_goes_on_with_other_settings(change, tmp_path):
    """One sentence, which names what differs and nothing else, and what to do."""
    save(moment(1), tmp_path / "run")
    with pytest.raises(ValueError, match="go on with the same settings, or give another --out") as error:
        load(tmp_path / "run", replace(SMALL, **change))
    name, value = next((n, v) for n, v in change.items() if v != getattr(SMALL, n))
    assert f"a run with {name} {getattr(SMALL, name)} and not {value};" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps({"t": 1}), pickle.dumps([1]), None],
                         ids=["empty", "text", "keys", "list", "half"])
def test_a_file_that_is_no_checkpoint_is_one_clear_error(content, tmp_path):
    save(moment(1), tmp_path / "run")
    (tmp_path / "run").write_bytes((tmp_path / "run").read_bytes()[:-200] if content is None else content)
    with pytest.raises(ValueError, match="no checkpoint of this program"):
        load(tmp_path / "run", SMALL)


@pytest.mark.parametrize("bad", [["--width", "20", "--heads", "4"], ["--steps", "0"], ["--step-size", "-1"], ["--step-size", "nan"],
                                 ["--batch", "two"], ["--optimizer", "newton"], ["--seed", "-1"], ["--every", "0"],
                                 ["--text", "homer"]], ids=" ".join)
def test_bad_settings_are_one_sentence(bad, tmp_path, capsys, monkeypatch):
    """Exit status 2, the reason, no traceback, and no files."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([*bad, "--out", "new"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert stop.value.code == 2 and "error: " in error and not list(tmp_path.glob("**/*.pickle*"))


TINY = ["--width", "8", "--depth", "1", "--heads", "2", "--context", "8", "--batch", "4"]


def program(folder, steps):
    command = [sys.executable, "-m", "metrized.examples.gpt", *TINY, "--steps", str(steps), "--every", str(steps), "--out", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})


def test_control_c_saves_and_the_run_goes_on(tmp_path, capsys):
    """SIGINT between two reports: status 0, no traceback, one whole checkpoint, of that very step; another width is refused."""
    child = program(tmp_path, 100_000)
    while "step      0 " not in child.stdout.readline():
        assert child.poll() is None
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    settings = Settings(width=8, depth=1, heads=2, context=8, batch=4, steps=100_000)
    saved = load(tmp_path / "gpt.pickle", settings)
    assert child.returncode == 0 and f"stopped at step {saved.t};" in out and saved.t > 0 and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(SystemExit):
        main([*TINY, "--width", "16", "--steps", "100000", "--out", str(tmp_path)])
    assert "width 8 and not 16; go on" in capsys.readouterr().err


def test_the_command_trains_reports_and_writes(tmp_path, capsys):
    """Twice: the second time there is nothing left to train, and it writes the same text."""
    command = [*TINY, "--steps", "30", "--every", "15", "--out", str(tmp_path)]
    main(command)
    first = capsys.readouterr().out
    main(command)
    again = capsys.readouterr().out
    reports = [line for line in first.splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in reports] == ["0", "15", "30"] and "going on from step 30" in again
    assert float(reports[-1].split()[-1]) < float(reports[0].split()[-1])
    assert first[first.index(reports[-1]):] == again[again.index(reports[-1]):] and len(first) - first.index(reports[-1]) > 500


def test_split_and_windows():
    """Nothing is lost or seen twice; targets are the next characters; the last window ends with the text; one further is an error."""
    tokens = np.arange(101) * 3
    train_part, rest = split(tokens, 0.8)
    assert np.array_equal(np.concatenate([train_part, rest]), tokens) and len(train_part) == 80
    x, t = windows(tokens, np.array([0, 7, 96]), 4)
    assert x.shape == t.shape == (3, 4) and np.array_equal(x[:, 1:], t[:, :-1]) and t[2, -1] == 300 and x[1, 0] == 21
    for starts in ([97], [-1], []):
        with pytest.raises(ValueError, match="do not fit"):
            windows(tokens, np.array(starts, int), 4)


def test_a_batch_may_begin_at_the_first_and_at_the_last_place_and_nowhere_else(rng):
    x, t = gpt.batch(np.arange(9), 400, 5, rng)
    assert set(x[:, 0]) == set(range(4)) and np.array_equal(t, x + 1)


def test_validation_loss_is_the_mean_over_its_windows(rng):
    """Whatever the portions: of one window, of seventy; and it is blind to no window."""
    w = NET.initialize(rng, np.float64)
    starts = np.linspace(0, len(TEXT.tokens) - 8, 70).astype(int)
    each = [float(gpt.Objective(NET, gpt.CrossEntropy(), *windows(TEXT.tokens, starts[i:i + 1], 7))(w)) for i in range(70)]
    assert np.isclose(validation_loss(NET, w, TEXT.tokens, 7, count=70), np.mean(each), rtol=1e-12)


def test_a_loss_looks_at_the_past_alone(rng):
    """The loss at place t is the same, bit for bit, whatever comes after t; and it is not whatever came before."""
    w, tokens = NET.initialize(rng), TEXT.tokens[:9]
    changed = tokens.copy()
    changed[5:] = (changed[5:] + 1) % len(TEXT.alphabet)
    logits, other = NET(tokens, w), NET(changed, w)
    assert np.array_equal(logits[:5], other[:5]) and abs(logits[5:] - other[5:]).max() > 0.01
    earlier = tokens.copy()
    earlier[0] = (earlier[0] + 1) % len(TEXT.alphabet)
    assert abs(NET(earlier, w)[1:] - logits[1:]).max() > 1e-4


def test_sampling(rng):
    """The same generator gives the same text, after the prompt; temperature 0 takes the likeliest; only the last `context` tokens count."""
    w, prompt = NET.initialize(rng), TEXT.tokens[:5]
    draw = lambda prompt=prompt, temperature=1.0, seed=0, n=20: sample(NET, w, prompt, n, temperature, np.random.default_rng(seed), context=7)
    assert np.array_equal(draw(), draw()) and not np.array_equal(draw(), draw(seed=1)) and np.array_equal(draw()[:5], prompt) and len(draw()) == 25
    assert np.array_equal(draw(temperature=0), draw(temperature=0, seed=1)) and draw(temperature=0)[5] == NET(prompt, w)[-1].argmax()
    assert np.array_equal(draw(temperature=1e-6), draw(temperature=0))
    long, seen = np.concatenate([prompt[::-1], prompt, prompt[:2]]), []
    written = sample(lambda tokens, w: seen.append(tokens) or NET(tokens, w), w, long, 3, 1.0, rng, context=7)
    assert [s.tolist() for s in seen] == [written[i - 7:i].tolist() for i in (12, 13, 14)] and len(written) == 15
    for bad in (dict(prompt=prompt[:0]), dict(temperature=-1.0)):
        with pytest.raises(ValueError, match="at least one token"):
            draw(**bad)


def test_samples_have_the_probabilities_of_the_softmax(rng):
    """4000 draws of one token, against softmax(logits / 2), by the total variation distance."""
    logits = np.array([0.0, 1.0, -2.0, 3.0])
    count = np.bincount([gpt._draw(logits / 2, rng) for _ in range(4000)], minlength=4) / 4000
    p = np.exp(logits / 2)
    assert abs(count - p / p.sum()).sum() < 0.06
