"""Lecture 12's experiment: its own norm, the table that ships, and what rules make of a first gradient."""
import numpy as np
import pytest

from metrized.examples import duality
from metrized.examples.duality import GRIDS, RULES, SEEDS, MeanToMax, best, direction, network, results, ruler


def test_mean_to_max_is_the_largest_gain_and_has_a_dual(rng):
    """|W x|_inf <= |W| mean|x| for all x, with equality at one coordinate; <g, dualize(g)> = |g|* at norm 1."""
    norm, W, G = MeanToMax(), *rng.standard_normal((2, 4, 7))
    gain = lambda x: abs(W @ x).max() / abs(x).mean()
    assert max(map(gain, rng.standard_normal((500, 7)))) < norm(W)
    assert max(map(gain, np.eye(7))) == pytest.approx(norm(W))
    d = norm.dualize(G)
    assert norm(d) == pytest.approx(1) and (G * d).sum() == pytest.approx(norm.dual(G))
    assert np.allclose(d, np.sign(G) / 7)  # muP: the step of sign descent over fan_in


def test_the_table_has_every_rule_and_no_best_step_on_an_edge():
    rows = results()
    assert len(rows) == len(SEEDS) * sum(map(len, GRIDS.values())) and set(GRIDS) == set(RULES)
    assert all(best(rows, rule).shape == (2, len(SEEDS)) for rule in RULES)
    with pytest.raises(ValueError, match="failed: E"):
        best([*rows, {"error": "E"}], "Adam")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_names_its_ruler(rule):
    words = ruler(RULES[rule](network(), 0.5))
    assert words and "(" not in words and "given" not in words


@pytest.mark.parametrize(("rule", "made"), [("Fromage", "G"), ("RMSProp", "sign(G)"), ("rows", "rows of G"), ("Muon", "U V^T"), ("nuclear", "u v^T"),
                                            ("greedy coordinate", "one entry"), ("Schatten 4", "U S^(1/3) V^T")])
def test_the_first_step_shows_the_dual_map(rule, made):
    name, cosine = direction(rule, seed=3)
    assert name == made and 0.9 < cosine < 1.0001


def test_a_run_gives_the_row_of_the_table():
    row = next(r for r in results() if (r["rule"], r["log2_step"], r["seed"]) == ("sign descent", -7, 2))
    again = duality.run("sign descent", -7, 2)
    assert again["loss"] == pytest.approx(row["loss"], rel=0.03) and again["accuracy"] == pytest.approx(row["accuracy"], abs=0.02)
