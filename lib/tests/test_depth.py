"""Lecture 11's experiment: its table is whole and can be computed again, its networks are what they say, its sums are what they say."""
import numpy as np
import pytest

from metrized.examples import depth


def test_the_table_holds_every_point_once_and_no_best_step_lies_on_an_edge():
    rows = depth.results()
    assert [{k: v for k, v in r.items() if k != "loss"} for r in rows] == depth.points()
    for method in depth.METHODS:
        for multiplier in depth.MULTIPLIERS:
            assert depth.best(rows, method, multiplier).shape == (2, len(depth.SEEDS), len(depth.DEPTHS))
    with pytest.raises(ValueError, match="killed"):
        depth.best([{**rows[0], "error": "killed"}], "Adam", "1")


@pytest.mark.parametrize("method", depth.METHODS)
def test_the_table_can_be_computed_again(method):
    point = next(r for r in depth.results() if (r["method"], r["multiplier"], r["depth"], r["seed"]) == (method, "1/√L", 4, 1))
    again = depth.run(**{k: v for k, v in point.items() if k != "loss"})
    np.testing.assert_allclose(again["loss"], point["loss"], rtol=0.02)


def test_a_run_that_diverges_has_an_infinite_loss():
    with np.errstate(all="ignore"):
        assert depth.run("SGD", "1", 8, 6, 0)["loss"] == np.inf


def test_the_network_by_hand(rng):
    net = depth.network(3, "1/√L", mass=2.0)
    w, x = net.initialize(rng, float), rng.standard_normal((5, 196))
    last, *blocks, first = w.leaves()
    h = x @ first.T
    for W in blocks[::-1]:
        h = h + 3 ** -0.5 * np.maximum(h, 0) @ W.T
    np.testing.assert_allclose(net(x, w), h @ last.T, rtol=1e-10)
    assert np.isclose(net.mass, 4.0) and np.isclose(net.sensitivity, (1 + 3 ** -0.5) ** 3)


def test_one_block_is_as_long_as_itself_and_several_lie_between_strangers_and_accomplices():
    np.testing.assert_allclose(depth.block_sums(1, 0), 1, rtol=1e-6)
    start, change = depth.block_sums(9, 0, "1/√L")
    assert 2.5 < start < 3.8 and 7.5 < change <= 9
