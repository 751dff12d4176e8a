"""The harness of the benchmarks: what it compares, what it refuses, and what it writes. Performance is measured in lib/benchmarks, as ratios in one
interleaved run against a peer, never by a timed test."""
import ast
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import measure, pipes, report
from benchmarks.frameworks import FRAMEWORKS, installed
from benchmarks.measure import Entrant, Race
from benchmarks.problem import load
from benchmarks.workloads import WORKLOADS, Ratio
from metrized import linalg

BENCHMARKS = Path(command.__file__).parent
RESULTS = json.loads(command.RESULTS.read_text(encoding="utf-8")) if command.RESULTS.exists() else None


class Puppet:
    """In the place of a worker: the same answers as all the others and constant times, unless `does` says otherwise."""

    seconds = {"ours": 0.3, "torch": 0.6, "jax": 0.1}
    does = {}

    def __init__(self, framework, core, log):
        self.framework, self.asked = framework, []

    def ask(self, method, **arguments):
        self.asked.append(method)
        return self.does.get(self.framework, Puppet.usual)(self, method, arguments)

    def usual(self, method, arguments):
        if method == "measure":
            return {"seconds": self.seconds[self.framework] * arguments["times"], "faults": 5 * arguments["times"]}
        np.savez(arguments["answers"], *load(Path(arguments["problem"])).weights)
        return {"first_call": 2.0}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def race(monkeypatch, rounds=3, peers=("torch", "jax"), **does):
    """The rows of `tiny` with puppets for workers, by peer, and the race."""
    monkeypatch.setattr(Puppet, "does", does)
    with Race(WORKLOADS["tiny"], peers, start=Puppet) as run:
        run.prepare()
        laps = run.run(rounds)
        return {row["peer"]: row for row in measure.rows(run, laps) if row["theirs"] == "step"}, run


def lines(function):
    """What a puppet does in place of the usual: function(method, arguments, usual)."""
    return lambda puppet, method, arguments: function(method, arguments, lambda: Puppet.usual(puppet, method, arguments))


def test_ratios_are_paired_by_round():
    """A machine that is twice as slow in one round slows both, and the ratio does not see it; the ratio of medians would."""
    assert measure.paired([1.0, 2.0, 9.0], [2.0, 8.0, 18.0]) == {"median": 0.5, "low": 0.25, "high": 0.5}


@pytest.mark.parametrize("repeat", [1e-6, 3e-3, 0.15, 7.0])
def test_a_measurement_is_long_enough_and_not_much_longer(repeat):
    n = measure.repeats(lambda n: {"seconds": n * repeat})
    assert n == 1 or measure.LONG_ENOUGH <= n * repeat < 3 * measure.LONG_ENOUGH


def test_a_race_gives_ratios_times_and_faults_of_one_repeat(monkeypatch):
    rows, _ = race(monkeypatch)
    assert rows["torch"]["median"] == pytest.approx(0.5) and rows["jax"]["low"] == pytest.approx(3.0)
    assert rows["torch"]["ours_seconds"] == pytest.approx(0.3) and rows["torch"]["ours_faults"] == 5 and rows["jax"]["theirs_first_call"] == 2
    assert rows["torch"]["target"] == 0.5 and rows["jax"]["target"] is None


def test_the_order_changes_from_round_to_round(monkeypatch):
    """All take part in every round, and not always in the same order."""
    order = []
    does = {name: (lambda puppet, method, arguments, name=name: order.append(name) or Puppet.usual(puppet, method, arguments))
            for name in Puppet.seconds}
    race(monkeypatch, rounds=8, **does)
    tasks = 4  # ours, torch with and without modules, jax
    rounds = [order[i:i + tasks] for i in range(len(order) - 8 * tasks, len(order), tasks)]
    assert len(set(map(tuple, rounds))) > 1 and {tuple(sorted(r)) for r in rounds} == {("jax", "ours", "torch", "torch")}


def test_a_missing_peer_is_missing_and_nothing_is_started_for_it(monkeypatch):
    monkeypatch.setitem(FRAMEWORKS, "torch", replace_needs("torch", "no_such_package"))
    rows, run = race(monkeypatch)
    assert rows["torch"]["failure"] == "not installed" and "torch" not in run.processes and "median" in rows["jax"]
    assert report.cell(rows["torch"]) == "missing" and report.reasons(list(rows.values())) == []


def replace_needs(name, package):
    return FRAMEWORKS[name]._replace(needs=package)


def test_what_a_peer_lacks_is_a_dash(monkeypatch):
    rows, _ = race(monkeypatch, torch=lines(lambda method, arguments, usual: {"lacks": True} if method == "prepare" else usual()))
    assert report.cell(rows["torch"]) == "–" and "median" in rows["jax"] and report.reasons(list(rows.values())) == []


@pytest.mark.parametrize("planted", [1e-3, np.nan, None])
def test_a_gradient_that_differs_is_refused_before_it_is_timed(monkeypatch, planted):
    """In one parameter of three, by one number, by NaN, or in its shape. The error names workload, peer and parameter."""
    def other(method, arguments, usual):
        assert method == "prepare", "it is never timed"
        weights = load(Path(arguments["problem"])).weights
        weights[1] = weights[1].T[:, :-1] if planted is None else weights[1] + planted
        np.savez(arguments["answers"], *weights)
        return {"first_call": 2.0}

    rows, _ = race(monkeypatch, torch=lines(other))
    assert rows["torch"]["failure"].startswith("tiny: torch (step) ") and "median" not in rows["torch"] and "median" in rows["jax"]
    assert "parameter 1 [32, 32]" in rows["torch"]["failure"] or planted is None and "[32, 31]" in rows["torch"]["failure"]
    assert report.cell(rows["torch"]) == "failed" and report.reasons(list(rows.values())) == [f"- tiny, PyTorch: {rows['torch']['failure']}"]


def test_a_gradient_within_the_tolerance_is_let_through():
    a = np.ones((3, 4))
    assert measure.compare("w", Entrant("torch", "step"), [a], [a * (1 + 5e-5)], 1e-4) == pytest.approx(5e-5)
    with pytest.raises(measure.Mismatch, match=r"w: torch \(step\) .* parameter 0 \[3, 4\]"):
        measure.compare("w", Entrant("torch", "step"), [a], [a * (1 + 2e-4)], 1e-4)


@pytest.mark.parametrize("when", [1, 4])
def test_a_worker_that_dies_leaves_its_row_and_no_more(monkeypatch, when):
    """While it is asked how long it takes, or in a later round."""
    calls = []

    def die(method, arguments, usual):
        calls.append(method)
        if calls.count("measure") == when:
            raise pipes.Failed("its process died with code -9")
        return usual()

    rows, _ = race(monkeypatch, torch=lines(die))
    assert rows["torch"] == {k: rows["torch"][k] for k in ("workload", "title", *Ratio._fields)} | {"failure": "its process died with code -9"}
    assert rows["jax"]["median"] == pytest.approx(3.0)


def test_a_process_that_dies_says_so_with_its_last_words(tmp_path):
    log = tmp_path / "log"
    with pipes.Process("ours", measure.core(), log) as worker:
        with pytest.raises(pipes.Failed, match="no_such_method"):
            worker.ask("no_such_method")
        worker.process.kill()
        worker.process.wait()
        log.write_text("first\nout of memory\n")
        with pytest.raises(pipes.Failed, match="died with code -?[0-9]+: out of memory"):
            worker.ask("measure", task="step", times=1)


@pytest.mark.slow
@pytest.mark.skipif(not installed("torch"), reason="needs PyTorch")
def test_pytorch_told_another_network_is_refused_and_one_that_is_killed_is_reported(monkeypatch):
    """With real processes: attention in 2 heads is not attention in 4, and what is killed in mid-run is out."""
    monkeypatch.setattr(measure, "LONG_ENOUGH", 1e-3)
    with Race(replace(WORKLOADS["gpt"], options={"heads": 2, "step_size": 1e-3}), ["torch"]) as run:
        run.prepare()
        assert "gpt: torch (step) and we disagree on parameter" in run.failures[Entrant("torch", "step")]
    with Race(WORKLOADS["tiny"], ["torch"]) as run:
        run.prepare()
        assert not run.failures
        run.processes["torch"].process.kill()
        rows = measure.rows(run, run.run(1))
    assert all("process died" in row["failure"] for row in rows) and len(rows) == 2


@pytest.mark.slow
def test_the_command_runs_with_the_peers_that_are_there(tmp_path, monkeypatch, capsys):
    """One round of the smallest workload: every peer that is installed agrees with us and has a number. (torch.compile has a test of its own.)"""
    monkeypatch.setattr(measure, "LONG_ENOUGH", 1e-3)
    peers = [name for name in command.PEERS if name != "compiled"]  # freed memory is kept in larger workloads alone
    assert command.main(["tiny", "--rounds", "1", "--peers", *peers, "--json", str(tmp_path / "a.json"), "--figure", str(tmp_path / "a.png")]) == 0
    results = json.loads((tmp_path / "a.json").read_text())
    for row in results["rows"]:
        assert ("median" in row) == installed(row["peer"]) and row["workload"] == "tiny"
    assert {row["peer"] for row in results["rows"]} == set(peers) - {"kept"} and (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert report.section(results).count("\n|") == 3 and len(capsys.readouterr().out.splitlines()) == len(results["rows"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dualized", "gpt", "conv", "sweep-32", "sweep-256", "products-mlp", "products-gpt", "hessian-mlp", "polar-10x256"])
def test_every_peer_agrees_on_every_task(name):
    """The answers of all tasks, without timing any. torch.compile, which takes a minute, is left to the command itself."""
    with Race(WORKLOADS[name], ["torch", "jax", "autograd", "mygrad"]) as run:
        run.prepare()
    assert {reason for reason in run.failures.values()} <= {"lacks", "not installed"}
    assert all(e.framework != "ours" for e in run.failures)


def test_schemes_for_peers_are_ours():
    from benchmarks.problem import SCHEMES
    assert all(np.array_equal(steps, getattr(linalg, name)) for name, steps in SCHEMES.items()) and len(SCHEMES) == 4


def test_problems_come_back_from_their_file(tmp_path):
    for name in ("tiny", "gpt", "sweep-32", "hessian-mlp"):
        problem = WORKLOADS[name].problem()
        problem.save(tmp_path / "p.npz")
        again = load(tmp_path / "p.npz")
        assert all(a.tobytes() == b.tobytes() and a.dtype == b.dtype and a.shape == b.shape
                   for a, b in zip([*problem.weights, problem.x, problem.t], [*again.weights, again.x, again.t], strict=True))
        assert (again.workload, again.network, again.options) == (name, problem.network, problem.options)


def imports(file: Path) -> set[str]:
    """The names of the modules that a file of the benchmarks imports, with those that they import of the same package."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            found |= {name for part in [node.module] if part for name in imports(file.parent / f"{part}.py")}
    return found


def test_the_library_does_not_know_its_benchmarks_and_peers_do_not_load_the_library():
    """It tunes the allocator of its process, which must not help a peer."""
    library = BENCHMARKS.parent / "metrized"
    assert not any("benchmarks" in imports(file) for file in (library / name for name in ("__init__.py", "modules.py", "sweeps.py", "objective.py")))
    peers = ["worker", *(framework.file for name, framework in FRAMEWORKS.items() if name != "ours")]
    assert not any("metrized" in imports(BENCHMARKS / f"{name}.py") for name in peers) and "metrized" in imports(BENCHMARKS / "ours.py")


def rows(**changes) -> list[dict]:
    """One row of a results file."""
    row = {"workload": "tiny", "title": "MLP", "ours": "step", "peer": "torch", "theirs": "step", "target": 0.5, "same": True, "ours_seconds": 1e-4,
           "ours_faults": 0.0, "ours_first_call": 0.1, "theirs_seconds": 2e-4, "theirs_faults": 3.0, "theirs_first_call": 0.2, "median": 0.5,
           "low": 0.41, "high": 2.345}
    return [row | changes]


def test_a_cell_says_whether_the_target_is_reached():
    assert report.cell(rows()[0]) == "**0.50 (0.41 to 2.3), reached 0.5**"
    assert report.cell(rows(median=0.501)[0]) == "**0.50 (0.41 to 2.3), missed 0.5**"
    assert report.cell(rows(target=None, median=12.3)[0]) == "12 (0.41 to 2.3)"


def test_a_table_has_a_line_for_each_task_and_a_column_for_each_peer():
    table = report.table(rows() + rows(peer="jax", target=None) + rows(title="GPT", peer="jax", failure="lacks") + rows(theirs="step, with modules"))
    head, _, mlp, gpt = table.splitlines()
    assert head == "|  | our time | PyTorch | JAX jit | PyTorch, with modules |" and mlp.count("0.50") == 3
    assert gpt == "| GPT | 0.1 ms | – | – | – |"


def test_the_section_goes_between_its_markers_and_nothing_else_changes():
    page = f"before\n\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    new = report.put(page, "new")
    assert new == f"before\n\n{report.BEGIN}\nnew\n{report.END}\nafter\n" == report.put(new, "new")
    for wrong in ("no markers", f"{report.END} {report.BEGIN}", page + page, report.BEGIN):
        with pytest.raises(ValueError, match="needs the lines"):
            report.put(wrong, "new")


def test_write_leaves_all_as_it_was_where_the_page_has_no_markers(tmp_path):
    (tmp_path / "README.md").write_text("no markers")
    saved = []
    with pytest.raises(ValueError):
        report.write({"rows": rows(), "rounds": 1, "machine": command.describe()}, tmp_path / "README.md", tmp_path / "p.png", saved.append)
    assert not saved and not (tmp_path / "p.png").exists()


def test_write_puts_the_same_numbers_in_all_three_places(tmp_path):
    results = {"rows": rows(), "rounds": 1, "machine": command.describe()}
    page, saved = tmp_path / "README.md", []
    page.write_text(f"{report.BEGIN}\n{report.END}", encoding="utf-8")
    report.write(results, page, tmp_path / "p.png", saved.append)
    assert page.read_text(encoding="utf-8") == f"{report.BEGIN}\n{report.section(results)}\n{report.END}" and saved == [results]
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_workloads_measured_anew_replace_their_rows_and_no_others():
    old = {"machine": {"cores": 2}, "rounds": 8, "rows": rows() + rows(workload="gpt")}
    new = {"machine": {"cores": 2}, "rounds": 8, "rows": rows(median=0.25)}
    assert report.merged(old, new) == {"machine": {"cores": 2}, "rounds": 8, "rows": rows(workload="gpt") + rows(median=0.25)}
    for other in ({"rounds": 9}, {"machine": {"cores": 3}}):
        with pytest.raises(ValueError, match="measure all workloads"):
            report.merged(old, new | other)


def test_the_machine_has_no_name():
    said = report.machine(command.describe())
    assert os.uname().nodename not in said if hasattr(os, "uname") else True
    assert f"NumPy {np.__version__}" in said and "Python 3" in said


def test_an_unknown_workload_is_named_with_those_that_there_are(capsys):
    with pytest.raises(SystemExit):
        command.main(["tinny"])
    assert "'tinny'" in capsys.readouterr().err


def test_the_readme_says_what_the_results_say():
    """The tables are those of the committed numbers, which cover every workload with at least eight rounds."""
    page = command.README.read_text(encoding="utf-8")
    assert report.put(page, report.section(RESULTS)) == page
    asked = {(w.name, r.ours, r.peer, r.theirs, r.target) for w in WORKLOADS.values() for r in w.ratios}
    assert {tuple(row[name] for name in ("workload", "ours", "peer", "theirs", "target")) for row in RESULTS["rows"]} == asked
    assert RESULTS["rounds"] >= 8 and command.PICTURE.read_bytes().startswith(b"\x89PNG")
