"""Worlds with known answers: exact optima against histories followed one by one, and played."""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from outthink.errors import UsageError
from outthink.measure.pools import NO_ANSWER
from outthink.paper.simulate import Revision, coverage, majority_accuracy
from outthink.policy.menu import Stage
from outthink.policy.replay import play
from outthink.policy.rules import Fixed, curves
from outthink.policy.worlds import (
    WORLDS,
    Beta,
    Box,
    Boxes,
    Chains,
    Check,
    Classes,
    PerfectVerifier,
    Revisions,
    TwoAnswers,
    value,
)
from outthink.search.select import AnswerAggregation

PRICES = [0.003, 0.02]
worlds = pytest.mark.parametrize("world", WORLDS.values(), ids=list(WORLDS))


def within(values, expected):
    assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / np.sqrt(len(values)))


# All worlds --------------------------------------------------------------------------------------


@worlds
@pytest.mark.parametrize("price", PRICES)
def test_the_optimal_rule_gets_what_it_is_said_to(world, price):
    optimum = world.optimum(price)
    played = play(optimum.rule, world.trials(20_000, 1), orders=1)
    within(value(played, price), optimum.value)
    assert played.cost.std() > 0.5, "it stops at the same place whatever it sees"


@worlds
@pytest.mark.parametrize("price", PRICES)
def test_there_is_something_to_gain_over_the_best_fixed_strategy(world, price):
    assert world.optimum(price).value - world.fixed_best(price).value > 0.015


@worlds
def test_no_rule_gets_more_than_the_optimum(world):
    trials, price = world.trials(2000, 2), 0.01
    optimum = world.optimum(price)
    best = value(play(optimum.rule, trials, orders=1), price)
    rules = [rule for curve in curves(trials) if not curve.is_bound for rule in curve.rules[::2]]
    for rule in rules:
        # In the same orders, so that what both have in common cancels.
        lead = value(play(rule, trials, orders=1), price) - best
        assert lead.mean() <= 4 * lead.std() / np.sqrt(lead.size), rule.name


@worlds
def test_a_higher_price_is_worth_less_at_a_falling_rate(world):
    values = [world.optimum(price).value for price in np.linspace(0.002, 0.3, 12)]
    assert (np.diff(values) <= 0).all()
    assert (np.diff(values, n=2) >= -1e-12).all()


@worlds
def test_what_is_worth_less_than_its_price_is_not_begun(world):
    optimum = world.optimum(1.5)
    played = play(optimum.rule, world.trials(10, 0), orders=1)
    assert optimum.value == world.fixed_best(1.5).value == world.fixed_best(1.5).runs == 0
    assert not played.cost.any() and not played.right.any()


@worlds
def test_trials_follow_from_their_seed(world):
    one, again, other = (world.trials(50, seed) for seed in (3, 3, 4))
    assert one.problems == again.problems
    for mine, same, new in zip(one.sources, again.sources, other.sources, strict=True):
        np.testing.assert_array_equal(mine.scores, same.scores)
        np.testing.assert_array_equal(mine.answers, same.answers)
        assert (mine.scores != new.scores).any()
    assert world.menu == one.menu


@worlds
@pytest.mark.parametrize(
    "wrong",
    [
        lambda world: world.optimum(0),
        lambda world: world.optimum(float("nan")),
        lambda world: world.fixed_best(-1),
        lambda world: world.trials(0, 1),
    ],
)
def test_a_price_or_a_number_out_of_range_is_refused(world, wrong):
    with pytest.raises(UsageError):
        wrong(world)


# A perfect verifier ------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), [(0.5, 1.5), (2, 3), (1, 20)])
@pytest.mark.parametrize("price", [0.0041, 0.0213, 0.113])
def test_under_a_beta_prior_it_draws_while_the_mean_is_above_the_price(a, b, price):
    world = PerfectVerifier(Beta(a, b), most=500)
    optimum = world.optimum(price)
    n = np.arange(500)
    draws = a / (a + b + n) > price
    np.testing.assert_array_equal(optimum.rule.decisions[:500, 0] == 0, draws)
    # E[(1 - p)^n], as a product of the chances that each next sample is wrong.
    failed = np.cumprod([1, *((b + n) / (a + b + n))])
    looks = draws.sum()
    assert optimum.value == pytest.approx(
        1 - failed[looks] - price * failed[:looks].sum(), abs=1e-9
    )


def test_of_a_known_chance_it_draws_to_the_cap_or_not_at_all():
    world = PerfectVerifier(Classes((0.1,), (1.0,)), most=10)
    solved = float(coverage(np.array([0.1]), [10])[0, 0])
    assert world.optimum(0.09).value == pytest.approx(solved * (1 - 0.9))
    assert world.optimum(0.11).value == 0


def test_the_best_fixed_number_is_the_least_at_which_another_does_not_pay():
    p, price = 0.2, 0.03
    found = PerfectVerifier(Classes((p,), (1.0,))).fixed_best(price)
    assert found.runs == next(n for n in range(100) if p * (1 - p) ** n < price)
    assert found.value == pytest.approx(1 - (1 - p) ** found.runs - price * found.runs)


@pytest.mark.parametrize("price", [0.01, 0.1])
@pytest.mark.parametrize("prior", [Beta(0.7, 1.2), Classes((0.05, 0.6), (0.4, 0.6))])
def test_worlds_that_are_the_same_have_one_optimum(prior, price):
    perfect = PerfectVerifier(prior, most=9)
    checked = TwoAnswers(prior, Check(1, 0), most=9)
    assert checked.optimum(price).value == pytest.approx(perfect.optimum(price).value, abs=1e-12)
    assert checked.fixed_best(price).value == pytest.approx(perfect.fixed_best(price).value)
    if isinstance(prior, Classes):
        samples = Chains(prior, lengths=(1,), runs=(9,))
        assert samples.optimum(price).value == pytest.approx(perfect.optimum(price).value)
        assert samples.fixed_best(price).value == pytest.approx(perfect.fixed_best(price).value)


# Two answers -------------------------------------------------------------------------------------


def follow_samples(world, price):
    """The optimum over whatever can be decided from whole histories, each followed by itself."""
    check = world.check or Check(1, 1)
    kinds = [*zip(world.prior.chances, world.prior.shares, strict=True)]
    outcomes = [*product((0, 1), (0, 1) if world.check else (1,))]

    def joint(history, right):
        total = 0.0
        for p, share in kinds:
            chance = share / 2
            for answer, passed in history:
                rate = check.right_pass if answer == right else check.wrong_pass
                chance *= (p if answer == right else 1 - p) * (rate if passed else 1 - rate)
            total += chance
        return total

    def best(history):
        drawn = {answer for answer, _ in history}
        stop = max((joint(history, answer) for answer in drawn), default=0.0)
        if len(history) == world.most:
            return stop
        mass = joint(history, 0) + joint(history, 1)
        return max(stop, sum(best((*history, one)) for one in outcomes) - price * mass)

    def fixed(n):
        total = 0.0
        for history in product(outcomes, repeat=n):
            total += max((joint(history, answer) for answer, _ in history), default=0.0)
        return total - price * n

    return best(()), max(map(fixed, range(world.most + 1)))


@pytest.mark.parametrize("price", [0.001, 0.02, 0.1])
@pytest.mark.parametrize("check", [None, Check(0.8, 0.3), Check(0.5, 0.9)])
def test_two_answers_against_every_history(check, price):
    prior = Classes((0.1, 0.55, 0.9), (0.3, 0.4, 0.3))
    world = TwoAnswers(prior, check, most=4 if check else 7)
    best, fixed = follow_samples(world, price)
    assert world.optimum(price).value == pytest.approx(best, abs=1e-12)
    assert world.fixed_best(price).value == pytest.approx(fixed, abs=1e-12)


def test_by_votes_the_best_fixed_strategy_is_a_majority():
    prior, price = Classes((0.6, 0.9), (0.5, 0.5)), 0.004
    world = TwoAnswers(prior, most=15)
    found = world.fixed_best(price)
    votes = [majority_accuracy(np.array([p, 1 - p]), range(1, 16)) for p in prior.chances]
    values = np.mean(votes, axis=0) - price * np.arange(1, 16)
    assert found.value == pytest.approx(values.max(), abs=1e-9)
    assert found.runs == 1 + values.argmax()
    rule = Fixed(replace(found.stage, size=found.runs), AnswerAggregation.MAJORITY)
    within(value(play(rule, world.trials(20_000, 0), orders=1), price), found.value)


def test_a_beta_prior_is_many_classes():
    p = (np.arange(4000) + 0.5) / 4000
    density = p**1.5 * (1 - p) ** 0.5
    classes = Classes(tuple(p.tolist()), tuple((density / density.sum()).tolist()))
    one, many = (TwoAnswers(prior, most=8) for prior in (Beta(2.5, 1.5), classes))
    assert one.optimum(0.01).value == pytest.approx(many.optimum(0.01).value, abs=1e-6)


def test_no_number_of_an_answer_tells_that_it_is_right():
    for world in (WORLDS["noisy check"], WORLDS["perfect, beta"], WORLDS["revisions"]):
        right = world.trials(4000, 0).right
        assert (right.sum(axis=1) == 1).all()
        within(right[:, 0], 0.5)


def test_an_optimal_rule_gives_no_answer_that_was_not_drawn():
    # The check says for sure that the answer drawn is wrong; the other one cannot be given.
    world = TwoAnswers(Classes((0.5,), (1.0,)), Check(1, 0), most=1)
    trials = world.trials(2000, 0)
    played = play(world.optimum(0.01).rule, trials, orders=1)
    within(played.right, 0.5)
    assert world.optimum(0.01).rule.answers[1, 0, 0, 0] == 0
    assert world.optimum(0.01).rule.answers[0, 0, 0, 0] == NO_ANSWER


# Boxes -------------------------------------------------------------------------------------------

TWO_BOXES = Boxes(
    (
        Box(Stage("best_of_n", 1), (0.1, 0.5, 0.9), (0.5, 0.3, 0.2), copies=3),
        Box(Stage("beam", 4), (0.3, 1.0), (0.4, 0.6), copies=2),
    )
)


def follow_boxes(world, price):
    """Backward induction over which boxes are left and the best score seen."""

    @cache
    def best(left, seen):
        values = [seen]
        for number, box in enumerate(world.boxes):
            if left[number]:
                after = tuple(n - (place == number) for place, n in enumerate(left))
                laws = zip(box.scores, box.shares, strict=True)
                mean = sum(share * best(after, max(seen, score)) for score, share in laws)
                values.append(mean - price * box.stage.size)
        return max(values)

    return best(tuple(box.copies for box in world.boxes), 0.0)


@pytest.mark.parametrize("price", [0.001, 0.01, 0.03, 0.06, 0.12, 0.2, 0.5])
def test_weitzmans_rule_is_the_best_of_all(price):
    assert TWO_BOXES.optimum(price).value == pytest.approx(
        follow_boxes(TWO_BOXES, price), abs=1e-12
    )


@pytest.mark.parametrize("price", [0.001, 0.05, 0.3])
def test_an_index_makes_what_is_gained_above_it_its_cost(price):
    for box in TWO_BOXES.boxes:
        above = np.maximum(np.array(box.scores) - box.index(price), 0)
        assert above @ np.array(box.shares) == pytest.approx(price * box.stage.size)


def test_an_answer_is_right_with_the_chance_that_it_scores():
    trials = TWO_BOXES.trials(20_000, 0)
    scores = np.concatenate([source.scores[..., 0] for source in trials.sources], axis=1)
    for score in np.unique(scores):
        within(trials.right[scores == score], float(score))


def test_the_best_fixed_box_gets_the_mean_of_its_best_score():
    found = TWO_BOXES.fixed_best(0.02)
    box = next(box for box in TWO_BOXES.boxes if box.stage == found.stage)
    runs = product(zip(box.scores, box.shares, strict=True), repeat=found.runs)
    mean = sum(
        max(score for score, _ in some) * np.prod([share for _, share in some]) for some in runs
    )
    assert found.value == pytest.approx(mean - 0.02 * found.runs * box.stage.size)


# Chains ------------------------------------------------------------------------------------------


def follow_chains(world, price):
    """The optimum over histories: which stages failed, in their order."""
    kinds = np.array(world.prior.shares)
    right = world.last_right(np.array(world.prior.chances))

    def best(history):
        still = kinds * np.prod([1 - right[:, stage] for stage in history], axis=0)
        values = [0.0]
        for stage, length in enumerate(world.lengths):
            if history.count(stage) < world.runs[stage]:
                solved = still @ right[:, stage]
                later = best((*history, stage))
                values.append(solved - price * length * still.sum() + later)
        return max(values)

    return best(())


@pytest.mark.parametrize("price", [0.01, 0.1, 0.2])
def test_chains_against_every_history(price):
    prior = Classes((0.01, 0.7), (0.5, 0.5))
    world = Chains(prior, improve=0.3, lengths=(1, 3), runs=(3, 2))
    assert world.optimum(price).value == pytest.approx(follow_chains(world, price), abs=1e-12)


def test_the_last_answer_of_a_chain_is_right_as_often_as_the_kernel_says():
    world = Chains(Classes((0.05, 0.8), (0.5, 0.5)), lengths=(1, 2, 6), runs=(1, 1, 1))
    kernel = Revision(world.improve, world.spoil).accuracy(np.array([0.05, 0.8]), 6)
    np.testing.assert_allclose(world.last_right(np.array([0.05, 0.8])), kernel[[0, 1, 5]].T)
    trials = world.trials(20_000, 0)
    hard = np.array([name.endswith("0.0500") for name in trials.problems])
    for number, source in enumerate(trials.sources):
        within(source.scores[hard, 0, 0], kernel[[0, 1, 5], 0][number])
        within(source.scores[~hard, 0, 0], kernel[[0, 1, 5], 1][number])


def test_a_chain_is_begun_where_samples_are_hopeless():
    world = Chains(
        Classes((0.0, 1.0), (0.5, 0.5)), improve=0.5, spoil=0.5, lengths=(1, 4), runs=(2, 3)
    )
    rule = world.optimum(0.01).rule
    assert rule.decisions[0, 0, 0] == 0
    assert rule.decisions[1, 0, 0] == 1


# Revisions one by one ----------------------------------------------------------------------------


def follow_revisions(world, price):
    """The optimum over histories of samples (0) and answers of chains (1), each of which failed."""
    p, shares = np.array(world.prior.chances), np.array(world.prior.shares)

    def right(history, action):
        goes_on = action == 1 and history.count(1) % world.length
        return np.full(p.size, world.improve) if goes_on else p

    def best(history, still):
        values = [0.0]
        for action, most in enumerate((world.samples, world.chains * world.length)):
            if history.count(action) < most:
                now = right(history, action)
                later = best((*history, action), still * (1 - now))
                values.append(still @ now - price * still.sum() + later)
        return max(values)

    return best((), shares)


@pytest.mark.parametrize("price", [0.01, 0.1, 0.16])
def test_revisions_against_every_history(price):
    prior = Classes((0.01, 0.6), (0.5, 0.5))
    world = Revisions(prior, improve=0.2, length=3, chains=2, samples=3)
    assert world.optimum(price).value == pytest.approx(follow_revisions(world, price), abs=1e-12)


def test_a_chain_that_never_improves_is_a_sample_and_no_more():
    world = Revisions(Classes((0.1, 0.6), (0.5, 0.5)), improve=0.0, samples=6)
    played = play(world.optimum(0.03).rule, world.trials(500, 0), orders=1)
    assert played.runs.max(axis=0).tolist() == [6, 1]


def test_the_best_fixed_number_of_answers_of_chains_is_what_they_cover():
    world = Revisions(Classes((0.05, 0.8), (0.9, 0.1)), improve=0.5, chains=1, samples=1)
    cover = Revision(0.5, world.spoil).coverage(np.array([0.05, 0.8]), 4) @ np.array([0.9, 0.1])
    found = world.fixed_best(0.02)
    assert found.stage == world.menu[1]
    assert found.value == pytest.approx((cover - 0.02 * np.arange(1, 5)).max())


# What is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Beta(0, 1),
        lambda: Classes((), ()),
        lambda: Classes((0.5,), (0.5, 0.5)),
        lambda: Classes((0.5, 0.6), (0.5, 0.6)),
        lambda: Classes((1.5,), (1.0,)),
        lambda: Check(1.2, 0),
        lambda: PerfectVerifier(Beta(1, 1), most=0),
        lambda: TwoAnswers(Beta(1, 1), Check(1, 0), most=25),
        lambda: TwoAnswers(Beta(1, 1), most=0),
        lambda: Box(Stage("beam", 4), (0.5,), (0.9,)),
        lambda: Box(Stage("beam", 4), (1.5,), (1.0,)),
        lambda: Box(Stage("best_of_n", 4), (0.5,), (1.0,)),
        lambda: Box(Stage("beam", 4), (0.5,), (1.0,), copies=0),
        lambda: Boxes(()),
        lambda: Boxes((TWO_BOXES.boxes[0], TWO_BOXES.boxes[0])),
        lambda: Chains(Classes((0.5,), (1.0,)), improve=2),
        lambda: Chains(Classes((0.5,), (1.0,)), lengths=(1, 1), runs=(2, 2)),
        lambda: Chains(Classes((0.5,), (1.0,)), lengths=(1,), runs=(0,)),
        lambda: Revisions(Classes((0.5,), (1.0,)), spoil=-1),
        lambda: Revisions(Classes((0.5,), (1.0,)), length=1),
        lambda: Revisions(Classes((0.5,), (1.0,)), samples=0),
    ],
)
def test_a_world_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError):
        wrong()
