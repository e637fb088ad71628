"""Fitted policies against worlds whose best policy is known."""

from functools import cache

import numpy as np
import pytest

from outthink.errors import UsageError
from outthink.policy import learn
from outthink.policy.pooled import Pools, Table, places
from outthink.policy.replay import STOP, Replay, play
from outthink.policy.worlds import WORLDS, value

PRICES = (0.01, 0.02)


@cache
def fitted(name):
    return learn.fit(WORLDS[name].trials(3000, 1), prices=PRICES)


# At these prices, fitted on 3,000 problems; LOG.md has all worlds, and what more problems bring.
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("perfect, beta", 0.03),
        ("chains", 0.04),
        ("votes, classes", 0.1),
        ("noisy check", 0.08),
        ("revisions", 0.1),
        ("boxes", 0.2),
    ],
)
def test_regret_is_a_small_part_of_what_there_is_to_gain(name, most):
    world = WORLDS[name]
    trials = world.trials(10_000, 2)
    for policy in fitted(name):
        optimum = world.optimum(policy.price)
        gain = optimum.value - world.fixed_best(policy.price).value
        # The same trials in the same orders, so that what both have in common cancels.
        best = value(play(optimum.rule, trials, orders=1), policy.price)
        got = value(play(policy, trials, orders=1), policy.price)
        assert (best - got).mean() < most * gain


def test_the_same_seed_fits_the_same_policy(monkeypatch):
    monkeypatch.setattr(learn, "STEPS", 20_000)
    trials = WORLDS["perfect, classes"].trials(300, 1)
    one, same, other = (learn.fit(trials, prices=PRICES, seed=seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(one.values, same.values)
    assert not np.array_equal(one.values, other.values)


def test_a_lower_price_spends_more():
    trials = WORLDS["noisy check"].trials(2000, 3)
    policies = fitted("noisy check")
    assert [policy.price for policy in policies] == [0.02, 0.01]
    dear, cheap = (play(policy, trials, orders=1).cost.mean() for policy in policies)
    assert cheap > dear


def test_a_stage_that_is_not_allowed_is_never_decided():
    trials = WORLDS["revisions"].trials(500, 4)
    policy = fitted("revisions")[1]
    replay = Replay(policy, trials, np.arange(500), 0)
    for allowed in np.array([[True, False], [False, True], [False, False]]):
        decided = policy.decide(replay.tally, np.tile(allowed, (500, 1)))
        assert all(one == STOP or allowed[one] for one in decided)
        replay.run(np.zeros(500, np.int64))


def test_no_value_is_above_what_is_left_to_gain():
    trials = WORLDS["revisions"].trials(500, 6)
    policy = fitted("revisions")[1]
    replay = Replay(policy, trials, np.arange(500), 0)
    for number in (0, 1):
        replay.run(np.full(500, number))
        values, likely = policy.worth(replay.tally, np.ones((500, 2), np.bool_))
        left = 1 - likely[:, :1] - policy.price * trials.costs
        assert (values <= left + 1e-6).all()


def test_chances_are_right_as_often_as_they_say():
    world = WORLDS["revisions"]
    trials = world.trials(4000, 5)
    policy = fitted("revisions")[1]
    replay = Replay(policy, trials, np.arange(4000), 0)
    for number in (0, 1, 1):
        replay.run(np.full(4000, number))
    answers, likely = policy.chances_of.likeliest(replay.tally)
    right = trials.is_right(replay.tally.problem, answers)
    assert likely[:, 0].mean() == pytest.approx(right.mean(), abs=0.03)


def test_a_cap_below_every_stage_is_refused():
    with pytest.raises(UsageError, match="a cap of"):
        learn.fit(WORLDS["perfect, beta"].trials(50, 1), most=0.5)


# Pools -------------------------------------------------------------------------------------------


def test_pools_that_differ_are_believed_and_noise_is_not():
    rng = np.random.default_rng(0)
    place, problem = np.repeat([0, 1], 2000), np.tile(np.arange(1000), 4)
    pools = Pools.of(place, problem, 2)
    noise = rng.normal(size=4000)
    apart = pools.shrunk(noise + np.where(place == 0, 1, -1))
    assert apart == pytest.approx([1, -1, 0], abs=0.15)
    assert np.abs(pools.shrunk(noise)).max() < 0.05


def test_a_pool_of_few_problems_adds_nothing():
    pools = Pools.of(np.zeros(500, np.int64), np.arange(500) % 5, 1)
    assert pools.shrunk(np.ones(500)).tolist() == [0, 0]


def test_a_table_adds_nothing_for_keys_that_it_does_not_hold():
    table = Table(np.array([3, 8]), np.array([[1], [2]], np.float32))
    assert table.at(np.array([8, 5, 9, 3])).tolist() == [[2], [0], [0], [1]]
    assert places(np.array([], np.int64), np.array([1, 2])).tolist() == [0, 0]
