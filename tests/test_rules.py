"""Rules that decide after every look, each against a literal reference of one problem at a time."""

from dataclasses import replace
from functools import cache, partial
from itertools import product

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, gamma

from outthink.errors import UsageError
from outthink.measure.pools import NO_ANSWER, Pool, pass_at_k
from outthink.measure.votes import best_of_n, majority, weighted
from outthink.policy.menu import Stage
from outthink.policy.replay import most_voted, play
from outthink.policy.rules import (
    BetaConsistency,
    Clairvoyant,
    DirichletConsistency,
    Fixed,
    GreedyAllocation,
    ScoreThreshold,
    UnanimousWindow,
    UntilConfident,
    curves,
)
from outthink.policy.rules.consistency import dirichlet_lead
from outthink.policy.tally import Tally
from outthink.policy.trials import Source, Trials
from outthink.search.select import AnswerAggregation

# The tally ---------------------------------------------------------------------------------------


def tallied(*stages):
    """One row, from stages of answers; every candidate has chance 0.5."""
    tally = Tally.empty(np.zeros(1, np.int64), 4, 1)
    for answers in stages:
        given = np.array([answers], np.int16)
        tally.add(
            np.zeros(1, np.int64),
            given,
            np.full(given.shape, 0.5, np.float32),
            source=0,
            generations=len(answers),
            cost=float(len(answers)),
            candidates=np.array([len(answers)]),
        )
    return tally


def test_ties_go_to_the_answer_drawn_first_whatever_its_number():
    tally = tallied([3, 1], [1, 3])
    assert most_voted(tally.votes, tally).tolist() == [3]
    assert most_voted(tallied([NO_ANSWER]).votes, tallied([NO_ANSWER])).tolist() == [NO_ANSWER]


def test_a_tally_knows_the_last_stage_and_the_order_of_answers():
    tally = tallied([NO_ANSWER, 2, 0], [0, 3, 0])
    assert tally.recent.tolist() == [[2, 0, 0, 1]]
    assert tally.first.tolist() == [[1, np.inf, 0, 3]]
    assert tally.take(np.zeros(1, np.int64)).first.tolist() == tally.first.tolist()


# Each rule against a literal reference ------------------------------------------------------------


def make_trials(problems=60, units=40, *, seed=0, scored=True, wrong=3, silent=0.1):
    """Independent samples: answer 0 to `wrong`, of which one is right, in an order of their own."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(wrong + 1, 0.7), problems)
    drawn = (rng.random((problems, units, 1)) > chances.cumsum(axis=1)[:, None]).sum(axis=2)
    right = np.zeros((problems, wrong + 1), np.bool_)
    right[np.arange(problems), rng.integers(wrong + 1, size=problems)] = True
    is_right = right[np.arange(problems)[:, None], drawn]
    scores = np.clip(rng.normal(np.where(is_right, 0.6, 0.4), 0.2), 0, 1)
    answers = np.where(rng.random((problems, units)) < silent, NO_ANSWER, drawn)
    source = Source(
        "best_of_n",
        answers.astype(np.int16)[..., None],
        (scores if scored else np.full_like(scores, np.nan)).astype(np.float32)[..., None],
        np.ones((problems, units), np.int16),
        np.ones((problems, units)),
    )
    menu = (Stage("best_of_n", 1),)
    return Trials(menu, (source,), right, tuple(map(str, range(problems))))


def follow(reference, trials, *, seed=0):
    """One problem at a time, in the orders in which `play` takes them: right [P] and cost [P]."""
    source = trials.sources[0]
    orders = (
        np.random.default_rng(seed).random((len(trials.problems), source.units)).argsort(axis=1)
    )
    right, cost = [], []
    for problem, order in enumerate(orders):
        samples = [
            (int(source.answers[problem, unit, 0]), float(source.scores[problem, unit, 0]))
            for unit in order
        ]
        answer, spent = reference(samples, trials.right[problem])
        right.append(answer != NO_ANSWER and bool(trials.right[problem, answer]))
        cost.append(spent)
    return right, cost


def same(rule, reference, trials):
    played = play(rule, trials, orders=1)
    right, cost = follow(reference, trials)
    np.testing.assert_array_equal(played.cost, cost)
    np.testing.assert_array_equal(played.right, right)
    assert len(set(cost)) > 2, "every problem costs as much: nothing was decided"


def vote(samples):
    given = [answer for answer, _ in samples if answer != NO_ANSWER]
    # A dictionary keeps the order in which answers came, and `max` takes the first of the tied.
    return max(dict.fromkeys(given), key=given.count, default=NO_ANSWER)


def best(samples):
    answered = [sample for sample in samples if sample[0] != NO_ANSWER]
    return max(answered, key=lambda sample: sample[1], default=(NO_ANSWER, 0))[0]


def until(stop, most, choose, step=1):
    def reference(samples, _):
        n = 0
        while n + step <= most and not (n and stop(samples[:n])):
            n += step
        return choose(samples[:n]), n

    return reference


def counts(samples):
    given = [answer for answer, _ in samples if answer != NO_ANSWER]
    return sorted((given.count(answer) for answer in set(given)), reverse=True)


@pytest.mark.parametrize("threshold", [0.85, 0.95])
def test_beta_consistency(threshold):
    def stop(samples):
        first, second = [*counts(samples), 0, 0][:2]
        return first > 0 and beta(first + 1, second + 1).sf(0.5) >= threshold

    same(BetaConsistency(threshold, 30, "best_of_n"), until(stop, 30, vote), make_trials())


@cache
def lead(votes):
    """The chance that the first of Dirichlet(votes + 1, 1) is the largest, by adaptive quadrature
    over its gamma variables."""
    others = [gamma(vote + 1) for vote in [*votes[1:], 0]]
    first = gamma(votes[0] + 1)
    return quad(lambda x: first.pdf(x) * np.prod([o.cdf(x) for o in others]), 0, 150, limit=200)[0]


def test_dirichlet_consistency():
    def stop(samples):
        return bool(counts(samples)) and lead(tuple(counts(samples))) >= 0.9

    trials = make_trials(problems=12)
    same(DirichletConsistency(0.9, 20, "best_of_n"), until(stop, 20, vote), trials)


def test_a_chance_to_lead_is_what_draws_from_the_dirichlet_say():
    votes = np.array([[5, 3, 2, 0], [3, 3, 0, 0], [40, 30, 1, 1], [1, 0, 0, 0]], np.float32)
    found = dirichlet_lead(votes)
    rng = np.random.default_rng(0)
    for row, chance in zip(votes, found, strict=True):
        posterior = rng.dirichlet([*(row[row > 0] + 1), 1], 200_000)
        share = np.mean(posterior.argmax(axis=1) == 0)
        assert chance == pytest.approx(share, abs=4 * np.sqrt(chance * (1 - chance) / 200_000))
    np.testing.assert_allclose(
        found, [lead(tuple(row[row > 0].tolist())) for row in votes], atol=1e-7
    )
    np.testing.assert_allclose(found[-1], 1 - 0.5**2, rtol=1e-12)


@pytest.mark.parametrize(
    ("rule", "needed"),
    [
        (BetaConsistency(0.95), 4),
        (DirichletConsistency(0.95), 4),
        (BetaConsistency(0.99), 6),
        (UnanimousWindow(5), 5),
        (UntilConfident(0.95, least=4), 4),
        (UntilConfident(0.95, least=7), 7),
    ],
)
def test_unanimous_answers_take_as_many_samples_as_the_closed_form_says(rule, needed):
    trials = make_trials(problems=3, wrong=0, silent=0.0)
    played = play(replace(rule, strategy="best_of_n"), trials, orders=2)
    assert played.cost.tolist() == [needed] * 3
    assert played.right.all()


@pytest.mark.parametrize("window", [2, 5])
def test_unanimous_window(window):
    def stop(samples):
        last = {answer for answer, _ in samples[-window:]}
        return len(last) == 1 and last != {NO_ANSWER}

    rule = UnanimousWindow(window, 33, "best_of_n")
    same(rule, until(stop, 33, vote, step=window), make_trials())


def test_score_threshold():
    def stop(samples):
        return any(answer != NO_ANSWER and score >= 0.9 for answer, score in samples)

    same(ScoreThreshold(0.9, 35), until(stop, 35, best), make_trials())


def weights(samples):
    answers = dict.fromkeys(answer for answer, _ in samples if answer != NO_ANSWER)
    return {one: sum(score for answer, score in samples if answer == one) for one in answers}


def heaviest(samples):
    return max(weights(samples), key=weights(samples).__getitem__, default=NO_ANSWER)


def test_until_confident():
    def stop(samples):
        total = sum(weights(samples).values())
        return len(samples) >= 3 and total > 0 and max(weights(samples).values()) >= 0.8 * total

    same(UntilConfident(0.8, 3, 35), until(stop, 35, heaviest), make_trials())


def test_clairvoyant():
    def reference(samples, right):
        for n, (answer, _) in enumerate(samples[:15]):
            if answer != NO_ANSWER and right[answer]:
                return answer, n + 1
        return vote(samples[:15]), 15

    trials = make_trials()
    same(Clairvoyant.of(trials, (Stage("best_of_n", 1),) * 15), reference, trials)


def test_a_clairvoyant_of_n_samples_has_the_coverage_of_n():
    trials = make_trials()
    played = play(Clairvoyant.of(trials, (Stage("best_of_n", 1),) * 6), trials, orders=400)
    expected = [pass_at_k(pool, [6])[0] for pool in as_pools(trials)]
    np.testing.assert_allclose(played.right, expected, atol=5 * 0.5 / 20)
    assert played.right.mean() == pytest.approx(np.mean(expected), abs=4 * 0.5 / np.sqrt(400 * 60))


def as_pools(trials):
    source = trials.sources[0]
    return [
        Pool(
            name,
            source.answers[number, :, 0].astype(np.int32),
            source.scores[number, :, 0],
            trials.is_right(np.full(source.units, number), source.answers[number, :, 0]),
        )
        for number, name in enumerate(trials.problems)
    ]


@pytest.mark.parametrize("size", [1, 2, 8])
@pytest.mark.parametrize("how", [*AnswerAggregation][:3])
def test_fixed_is_as_accurate_as_the_estimators_say(size, how):
    trials = make_trials(problems=150)
    played = play(Fixed(Stage("best_of_n", size), how), trials, orders=200)
    exact = {
        AnswerAggregation.MAX: best_of_n,
        AnswerAggregation.WEIGHTED: partial(weighted, subsets=200),
        AnswerAggregation.MAJORITY: partial(majority, ties_by_score=True, subsets=200),
    }[how]
    expected = np.array([exact(pool, [size])[0] for pool in as_pools(trials)])
    assert (played.cost == size).all()
    # Both are means over 200 random subsets of each problem.
    error = np.sqrt(2 * np.mean(expected * (1 - expected)) / (200 * 150))
    assert played.right.mean() == pytest.approx(expected.mean(), abs=4 * error)


def test_fixed_answers_as_its_strategy_does():
    one = Stage("best_of_n", 4)
    assert Fixed(one).name == "best_of_n@4"
    tally = tallied([1, 1, 2])
    tally.weight[:] = [[0, 0.4, 0.5, 0]]
    tally.best[:] = [[0, 0.3, 0.2, 0]]
    assert Fixed(one).answer(tally).tolist() == [2]
    assert Fixed(Stage("best_of_n(answer=max)", 4)).answer(tally).tolist() == [1]
    assert Fixed(Stage("majority", 4)).answer(tally).tolist() == [1]
    assert Fixed(Stage("beam(answer=majority)", 4)).answer(tally).tolist() == [1]
    assert Fixed(Stage("beam", 4)).answer(tally).tolist() == [2]


def test_majority_draws_see_no_scores():
    rule, scores = Fixed(Stage("majority", 4)), np.array([[0.9, np.nan]], np.float32)
    assert not rule.needs_scores
    assert rule.chances(rule.stage, scores).tolist() == [[0, 0]]
    assert Fixed(Stage("best_of_n", 2)).chances(rule.stage, scores).tolist() == [[0, 0]]


def test_without_scores_a_majority_decides():
    trials = make_trials(scored=False)
    a, b = (play(Fixed(Stage("best_of_n", 8), how), trials, orders=3) for how in AGGREGATIONS)
    np.testing.assert_array_equal(a.right, b.right)


AGGREGATIONS = (AnswerAggregation.WEIGHTED, AnswerAggregation.MAJORITY)


# The greedy allocation ---------------------------------------------------------------------------


def test_the_greedy_allocation_is_the_best_of_all():
    trials = make_trials(problems=3, units=5, seed=3, silent=0.0)
    pools = as_pools(trials)

    def covered(samples):
        pairs = zip(pools, samples, strict=True)
        return sum(float(pass_at_k(pool, [n])[0]) for pool, n in pairs if n)

    for budget in range(16):
        mine = GreedyAllocation.of(trials, budget).samples
        every = (some for some in product(range(6), repeat=3) if sum(some) <= budget)
        assert mine.sum() <= budget
        assert covered(mine) == pytest.approx(max(map(covered, every)), abs=1e-12)


def test_the_greedy_allocation_is_played_as_it_was_made():
    trials = make_trials()
    rule = GreedyAllocation.of(trials, 300)
    played = play(rule, trials, orders=2)
    assert rule.samples.sum() == 300
    np.testing.assert_array_equal(played.cost, rule.samples)
    reference = iter(rule.samples.tolist())

    def literal(samples, _):
        n = next(reference)
        return best(samples[:n]), n

    same(rule, literal, trials)


def test_a_problem_never_solved_gets_nothing():
    trials = make_trials(problems=4)
    hopeless = replace(trials, right=np.zeros_like(trials.right))
    assert GreedyAllocation.of(hopeless, 50).samples.tolist() == [0, 0, 0, 0]


# Curves, and what is refused ---------------------------------------------------------------------


def test_curves_spend_more_as_their_knob_turns():
    trials = make_trials(problems=40)
    found = curves(trials)
    assert len({curve.name for curve in found}) == len(found) == 10
    for curve in found:
        costs = [play(rule, trials, orders=4).cost.mean() for rule in curve.rules]
        # A wider window is unanimous less often, but fewer of its multiples fit into the cap.
        slack = 4.0 if curve.knob == "window" else 1e-9
        assert (np.diff(costs) > -slack).all(), curve.name
        assert costs[-1] > costs[0]
        assert all(hasattr(curve.rules[0], curve.knob) for _ in costs)


def test_without_scores_only_what_votes_is_listed():
    names = {curve.name for curve in curves(make_trials(problems=5, scored=False))}
    assert names == {
        "fixed, majority",
        "adaptive consistency, beta",
        "adaptive consistency, dirichlet",
        "early-stopping self-consistency",
        "greedy allocation",
        "clairvoyant",
    }


def test_rules_that_vote_decide_the_same_with_scores_and_without():
    trials = make_trials(problems=20)
    source = trials.sources[0]
    blind = replace(source, scores=np.full_like(source.scores, np.nan))
    unscored = replace(trials, sources=(blind,))
    for curve in curves(unscored):
        if not curve.is_bound and curve.knob != "stage":
            for rule in curve.rules[::3]:
                with_scores = play(rule, trials, orders=2)
                np.testing.assert_array_equal(
                    with_scores.right, play(rule, unscored, orders=2).right
                )


def test_a_cap_holds_for_every_rule():
    trials = make_trials(problems=10)
    for curve in curves(trials):
        for rule in curve.rules:
            assert play(rule, trials, orders=2, most=5).cost.max() <= 5


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: BetaConsistency(1.5),
        lambda: BetaConsistency(most=0),
        lambda: DirichletConsistency(-0.1),
        lambda: UnanimousWindow(0),
        lambda: UnanimousWindow(41),
        lambda: ScoreThreshold(2),
        lambda: UntilConfident(least=0),
        lambda: UntilConfident(least=9, most=8),
        lambda: Clairvoyant((), np.ones((1, 1), np.bool_)),
        lambda: GreedyAllocation.of(make_trials(problems=2), -1),
        lambda: GreedyAllocation.of(make_trials(problems=2), 1, strategy="majority"),
    ],
)
def test_a_knob_out_of_its_range_is_refused(wrong):
    with pytest.raises(UsageError):
        wrong()
