"""Every pair of aggregations against brute force; ties; scores that could not be had."""

import itertools

import pytest
from contract import same_every_time
from hypothesis import given
from hypothesis import strategies as st

from outthink.search.select import (
    MAJORITY,
    WEIGHTED_LAST,
    AnswerAggregation,
    Selection,
    StepAggregation,
    reduce_steps,
)
from outthink.types import Problem, Scores, Solution

PROBLEM = Problem("p", "prompt")
PAIRS = list(itertools.product(StepAggregation, AnswerAggregation))

eighths = st.integers(0, 8).map(lambda eighth: eighth / 8)
"""Their sums, products of four and means of 1, 2 or 4 are exact, so ties are ties."""
steps = st.sampled_from([1, 2, 4]).flatmap(
    lambda count: st.lists(eighths | st.none(), min_size=count, max_size=count)
)
readings = st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), st.just([]) | steps))


def choose(pairs, step=StepAggregation.LAST, answer=AnswerAggregation.WEIGHTED):
    """The choice from (answer, step scores) pairs."""
    candidates = [
        Solution(PROBLEM, finished=answer is not None, answer=answer, number=number)
        for number, (answer, _) in enumerate(pairs)
    ]
    return Selection(step, answer)(candidates, [Scores(tuple(scores)) for _, scores in pairs])


def last(*pairs):
    """Pairs of an answer and its one score."""
    return [(answer, [] if score is None else [score]) for answer, score in pairs]


# Steps -------------------------------------------------------------------------------------------


def reduced(scores, how):
    if not scores or (scores[-1] is None if how == "last" else None in scores):
        return None
    product = 1
    for score in scores:
        product *= score or 0
    return {
        "last": scores[-1],
        "min": sorted(score or 0 for score in scores)[0],
        "prod": product,
        "mean": sum(score or 0 for score in scores) / len(scores),
    }[how]


@same_every_time
@given(steps)
def test_steps_reduce_as_by_hand(scores):
    for how in StepAggregation:
        assert reduce_steps(Scores(tuple(scores)), how) == reduced(scores, how)


@pytest.mark.parametrize("how", StepAggregation)
def test_no_steps_have_no_score(how):
    assert reduce_steps(Scores(), how) is None


def test_a_missing_step_spoils_every_reduction_that_needs_it():
    holed = Scores((0.5, None, 0.75))
    assert [reduce_steps(holed, how) for how in StepAggregation] == [0.75, None, None, None]
    assert reduce_steps(Scores((0.5, None)), StepAggregation.LAST) is None


def test_a_score_of_zero_is_a_score():
    for how in StepAggregation:
        assert reduce_steps(Scores((0.0,)), how) == 0.0


# Answers: brute force ----------------------------------------------------------------------------


def brute_force(pairs, step, how):
    """(answer, index), by looking at every answer for every place."""
    how = "weighted" if how == "hierarchical" else how  # of solutions that are no chains
    value = [reduced(scores, step) for _, scores in pairs]
    of = {}
    for i, (answer, _) in enumerate(pairs):
        if answer is not None:
            of.setdefault(answer, []).append(i)
    if not of:
        return None, None
    if not any(value[i] is not None for places in of.values() for i in places):
        how = "majority"

    def merit(answer):
        known = [value[i] for i in of[answer] if value[i] is not None]
        mean = sum(known) / len(known) if known else -1
        first = -of[answer][0]
        if how == "majority":
            return len(of[answer]), mean, first
        if how == "weighted":
            return (sum(known), mean, first) if known else (-1, -1, first)
        return max(known, default=-1), -best(of[answer])

    def best(places):
        return min(places, key=lambda i: (1 if value[i] is None else -value[i], i))

    winner = max(of, key=merit)
    return winner, best(of[winner])


def by_chains(chains, pairs, step):
    """(answer, index) of the vote among what chains, lists of places, choose by a vote within."""
    chosen = []
    for chain in chains:
        _, place = brute_force([pairs[i] for i in chain], step, "weighted")
        chosen += [] if place is None else [chain[place]]
    answer, place = brute_force([pairs[i] for i in chosen], step, "weighted")
    return answer, None if place is None else chosen[place]


@same_every_time
@given(readings)
def test_selection_equals_brute_force(pairs):
    for step, how in PAIRS:
        choice = choose(pairs, step, how)
        assert (choice.answer, choice.index) == brute_force(pairs, step, how), (step, how)


@same_every_time
@given(readings, st.integers(0, 9), steps)
def test_a_candidate_without_an_answer_changes_nothing(pairs, place, scores):
    place = min(place, len(pairs))
    more = [*pairs[:place], (None, scores), *pairs[place:]]
    for step, how in PAIRS:
        assert choose(more, step, how).answer == choose(pairs, step, how).answer, (step, how)


@same_every_time
@given(readings.filter(lambda pairs: any(a and s and s[-1] is not None for a, s in pairs)))
def test_an_answer_nobody_could_score_never_beats_one_with_a_score(pairs):
    for how in (AnswerAggregation.MAX, AnswerAggregation.WEIGHTED):
        assert choose([("z", [None])] * 3 + pairs, answer=how).answer != "z"


# Answers: by hand --------------------------------------------------------------------------------


def test_weighted_is_the_largest_sum_and_max_the_largest_score():
    pairs = last(("a", 0.75), ("b", 0.5), ("b", 0.5))
    assert choose(pairs).answer == "b"
    assert choose(pairs, answer=AnswerAggregation.MAX).answer == "a"


def test_majority_counts_votes_whatever_their_scores():
    pairs = last(("a", 1.0), ("b", 0.0), ("b", 0.0))
    assert choose(pairs, answer=AnswerAggregation.MAJORITY).answer == "b"


def test_majority_needs_no_scores():
    candidates = [Solution(PROBLEM, finished=True, answer=answer) for answer in "abb"]
    choice = MAJORITY(candidates)
    assert (choice.answer, choice.index, choice.scores) == ("b", 1, ())


def test_the_default_is_the_weighted_vote_by_the_last_step():
    assert Selection() == WEIGHTED_LAST
    assert WEIGHTED_LAST.step is StepAggregation.LAST
    assert WEIGHTED_LAST.answer is AnswerAggregation.WEIGHTED


def test_the_chosen_solution_is_the_best_scored_with_the_answer():
    assert choose(last(("a", 0.25), ("b", 0.5), ("b", 0.75), ("b", 0.75))).index == 2
    assert choose(last(("a", None), ("a", 0.0))).index == 1


def test_ties_in_votes_go_to_the_higher_mean_score():
    weight = last(("a", 0.25), ("a", 0.25), ("b", 0.5))
    votes = last(("a", 0.25), ("b", 0.5))
    assert choose(weight).answer == "b"
    assert choose(votes, answer=AnswerAggregation.MAJORITY).answer == "b"


@pytest.mark.parametrize("how", AnswerAggregation)
def test_ties_that_remain_go_to_the_earliest_candidate(how):
    assert choose(last(("b", 0.5), ("a", 0.5)), answer=how).answer == "b"
    assert choose(last(("a", 0.5), ("b", 0.5)), answer=how).answer == "a"
    assert choose(last(("b", None), ("a", None)), answer=how).answer == "b"


@pytest.mark.parametrize("how", AnswerAggregation)
def test_without_any_score_the_vote_is_a_plain_majority(how):
    assert choose(last(("a", None), ("b", None), ("b", None)), answer=how).answer == "b"


def test_scores_of_candidates_without_an_answer_do_not_count_as_scores():
    assert choose(last((None, 0.9), ("a", None), ("b", None), ("b", None))).answer == "b"


def test_a_score_of_zero_beats_no_score():
    for how in (AnswerAggregation.MAX, AnswerAggregation.WEIGHTED):
        assert choose(last(("a", None), ("a", None), ("b", 0.0)), answer=how).answer == "b"


@pytest.mark.parametrize("how", AnswerAggregation)
@pytest.mark.parametrize("pairs", [[], [(None, [0.9])], [(None, []), (None, [None])]])
def test_no_answers_no_choice(how, pairs):
    choice = choose(pairs, answer=how)
    assert (choice.answer, choice.index, len(choice.candidates)) == (None, None, len(pairs))


def test_a_score_for_every_candidate_or_none_at_all():
    with pytest.raises(ValueError, match="shorter"):
        WEIGHTED_LAST([Solution(PROBLEM), Solution(PROBLEM)], [Scores()])


# Chains of revisions -----------------------------------------------------------------------------


def among(pairs, chains, answer=AnswerAggregation.HIERARCHICAL, step=StepAggregation.LAST):
    """The choice from (answer, step scores) pairs in chains, lists of their places."""
    flat = choose(pairs)
    return Selection(step, answer).among(chains, flat.candidates, flat.scores)


@same_every_time
@given(readings, st.data())
def test_a_vote_among_chains_equals_brute_force(pairs, data):
    owners = data.draw(
        st.lists(st.integers(0, 3), min_size=len(pairs), max_size=len(pairs)), label="owners"
    )
    chains = [[i for i, owner in enumerate(owners) if owner == c] for c in range(4)]
    for step in StepAggregation:
        choice = among(pairs, chains, step=step)
        assert (choice.answer, choice.index) == by_chains(chains, pairs, step), step
        assert len(choice.candidates) == len(choice.scores) == len(pairs)


@same_every_time
@given(readings.filter(bool))
def test_one_chain_or_chains_of_one_vote_as_if_there_were_none(pairs):
    flat, places = choose(pairs), range(len(pairs))
    for chains in ([list(places)], [[i] for i in places]):
        choice = among(pairs, chains)
        assert (choice.answer, choice.index) == (flat.answer, flat.index)


def test_a_chain_is_heard_through_its_best_solution_alone():
    # `b` has most weight in all, `a` is the likeliest single one; each chain has but one voice.
    pairs = last(("b", 0.5), ("b", 0.5), ("a", 0.75), ("c", 0.625))
    assert choose(pairs).answer == "b"
    assert among(pairs, [[0, 1, 2], [3]]).answer == "c"  # b stands for its chain, with 0.5
    assert among(pairs, [[0, 1], [2], [3]]).answer == "a"


def test_chains_that_agree_add_up():
    pairs = last(("a", 0.25), ("b", 0.5), ("c", 0.75), ("b", 0.5))
    assert among(pairs, [[0, 1], [2], [3]]).answer == "b"
    assert among(pairs, [[0, 1], [2], [3]]).index == 1


def test_a_chain_is_represented_by_its_best_scored_solution_with_the_answer_that_won():
    pairs = last(("a", 0.25), ("a", 0.625), ("b", 0.75), ("c", 0.5))
    choice = among(pairs, [[0, 1, 2], [3]])
    assert (choice.answer, choice.index) == ("a", 1)


def test_a_chain_without_an_answer_has_no_voice():
    pairs = last((None, 1.0), (None, 1.0), ("a", 0.125))
    assert (among(pairs, [[0, 1], [2]]).answer, among(pairs, [[0, 1], [2]]).index) == ("a", 2)
    assert among(pairs[:2], [[0], [1]]).answer is None


@pytest.mark.parametrize("how", [a for a in AnswerAggregation if a != "hierarchical"])
def test_every_other_vote_takes_no_notice_of_chains(how):
    pairs = last(("b", 0.5), ("b", 0.5), ("a", 0.75), ("c", 0.625))
    flat = choose(pairs, answer=how)
    assert among(pairs, [[0, 1, 2], [3]], how).index == flat.index
