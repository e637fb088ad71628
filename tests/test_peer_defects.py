"""Defects found in other projects, and the test that keeps each out of this one.

    1   lookahead scored without its rollouts
          test_search.test_lookahead_reverses_the_order_that_beam_sees
    2   tokens of a beam recorded as 0
          test_ledger.test_beam_discards_what_no_candidate_grew_from
    3   an empty turn scored as the last step
          test_peer_defects.test_03_the_end_of_a_solution_opens_no_step_to_be_scored
    4   the first N beams returned, not the best
          test_search.test_beam_returns_the_best_and_not_the_first_to_end
    5   one question at a time
          test_runner.test_the_requests_of_many_problems_are_one_call
    6   the aggregation asked for, ignored at the end
          test_search.test_beam_chooses_by_the_step_aggregation_it_is_given
    7   a solution cut short counts as finished
          test_search.test_a_cut_beam_is_not_finished
          test_peer_defects.test_07_a_solution_cut_by_the_length_limit_has_no_answer
    8   all answers of a question in one forward pass
          test_runner.test_rows_in_flight_bound_every_call
    10  unfinished candidates among the answers
          test_contract.test_contract_survives_whatever_comes_back
    11  begins with N / M beams
          test_search.test_beam_begins_with_n_and_keeps_n_over_m
    12  ended answers extended; rounds off by one
          test_contract.test_contract_asks_for_nothing_of_an_ended_solution
          test_contract.test_contract_a_search_never_runs_more_than_forty_rounds
    13  an option dropped
          test_strategy.test_options_reach_the_search
    14  no usage from the dearest searches
          test_ledger.test_decoded_tokens_are_the_tokens_of_the_tree
    15  ended beams revived
          test_peer_defects.test_15_an_ended_beam_never_comes_back_open
    16  nodes expanded and scored one by one
          test_peer_defects.test_16_and_28_a_round_is_one_call_to_each_engine
    17  ended answers scored and paid for again
          test_runner.test_no_solution_is_verified_twice
    18  what ends first is never compared again
          test_search.test_beam_that_ended_gives_way_to_better_ones_that_come_later
    19  duplicates narrow the search
          test_peer_defects.test_19_duplicates_do_not_narrow_the_beam
    20  right by substring (here for the runner's default; the rest belongs to the graders)
          test_peer_defects.test_20_an_answer_within_another_is_not_right
    22  the whole context charged again for every step
          test_costs.test_flops_are_the_same_step_by_step_as_in_one_go
    24  Chinese and Japanese are garbage
          test_peer_defects.test_24_a_solution_may_be_written_in_any_script
    25  what is spent is no function of the budget
          test_contract.test_contract_spends_its_budget
    26  the whole trajectory read again for every step
          test_runner.test_a_verifier_reads_only_what_is_new_of_a_beam
    27  an option that never ran
          test_peer_defects.test_13_and_27_every_value_of_every_option_runs_and_is_passed_on
    28  the verifier called once an action
          test_peer_defects.test_16_and_28_a_round_is_one_call_to_each_engine
    29  only the last step's tokens counted
          test_ledger.test_tokens_are_those_of_the_tree_in_any_world
    30  tokens of earlier requests reported again
          test_runner.test_a_second_run_starts_counting_from_nothing
    32  votes by likeness of texts
          test_peer_defects.test_32_answers_that_look_alike_are_not_the_same_answer
    34  ended beams scored again in every round
          test_ledger.test_beam_pays_once_for_a_beam_that_ended
    35  prefill left out of the FLOPs
          test_costs.test_flops_are_two_a_parameter_for_every_token_computed
    36  best-of-N that is mean pass@1
          test_peer_defects.test_36_best_of_n_is_one_choice_among_n_and_not_their_mean
    37  a dead verifier reads as a score of 0
          test_runner.test_an_engine_that_fails_is_heard
          test_peer_defects.test_37_a_verifier_that_says_nothing_is_not_one_that_says_zero

Nothing the core has is concerned by 9 (job arrays), 21 (a shifted training loss), 23 (a guessed
architecture), 31 (planted wrong answers) and 33 (a prefix in the user's turn).
"""

import inspect
import re
from pathlib import Path

import pytest
from contract import (
    STEPWISE,
    Chain,
    Counted,
    Patchy,
    Tree,
    Words,
    Worth,
    check_result,
    problems,
    solve,
    solve_one,
    word,
)

from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.search import SEARCHES, AnswerAggregation, StepAggregation, strategy
from outthink.search.chain import Shown
from outthink.search.particles import Resampling
from outthink.types import Problem


def test_every_test_the_table_names_is_there():
    named = re.findall(r"(test_\w+)\.(test_\w+)", __doc__)
    assert len(named) >= 30
    for file, test in named:
        assert f"def {test}(" in Path(__file__).with_name(f"{file}.py").read_text(), test


def test_03_the_end_of_a_solution_opens_no_step_to_be_scored():
    proposer = Counted(ScriptedProposer(4))
    result = solve_one("best_of_n", 16, proposer, ScriptedVerifier())
    for solution, scores in zip(result.choice.candidates, result.choice.scores, strict=True):
        assert solution.tokens[-1] == 0 and solution.step_ends[-1] == len(solution.tokens) - 1
        assert len(scores.steps) == solution.steps


@pytest.mark.parametrize("name", STEPWISE)
def test_07_a_solution_cut_by_the_length_limit_has_no_answer(name):
    result = solve_one(name, 16, Chain(3, "truncated"), Patchy(0.0))
    assert all(s.truncated and not s.finished for s in result.choice.candidates)
    assert (result.outcome.answer, result.outcome.right) == (None, False)


@pytest.mark.parametrize("name", STEPWISE)
def test_15_an_ended_beam_never_comes_back_open(name):
    proposer = Counted(ScriptedProposer(5, mischief=0.2))
    solve(name, 16, proposer, ScriptedVerifier(), of=12)
    ended = {
        (row.solution.problem.id, row.solution.tokens)
        for call in proposer.given
        for row in call
        if not row.solution.is_open
    }
    assert not ended & {(d.prefix.problem.id, d.prefix.tokens) for d in proposer.rows}


@pytest.mark.parametrize("name", ["beam", "beam(width=sqrt)"])
def test_16_and_28_a_round_is_one_call_to_each_engine(name):
    proposer, verifier = Counted(Chain(5)), Counted(Patchy(0.0))
    solve(name, 64, proposer, verifier, of=3)
    assert [len(call) for call in proposer.calls] == [3 * 64] * 5
    assert [len(call) for call in verifier.calls] == [3 * 64] * 5


def test_19_duplicates_do_not_narrow_the_beam():
    world = Tree({"": "a", "a": "b", "ab": "c"})
    proposer = Counted(Words(world))
    result = solve_one("beam(width=2)", 8, proposer, Worth(world))
    assert [len(call) for call in proposer.calls] == [8, 8, 8]
    assert [word(s) for s in result.choice.candidates] == ["abc"] * 8


@pytest.mark.parametrize(
    ("answer", "reference"),
    [("12", "2"), ("2", "12"), ("7", "7. I hope it is correct."), ("", "2")],
)
def test_20_an_answer_within_another_is_not_right(answer, reference):
    world = Tree({"": "a"}, answers={"a": answer})
    (result,) = solve("majority", 1, Words(world), of=[Problem("p", "prompt", reference)])
    assert result.outcome.right is False


def test_24_a_solution_may_be_written_in_any_script():
    world = Tree({"": "甲乙", "甲": "答", "乙": "答"}, {"甲答": 0.9, "乙答": 0.1})
    result = solve_one("beam(width=1)", 2, Words(world), Worth(world))
    assert [word(s) for s in result.choice.candidates] == ["甲答", "乙答"]
    assert result.outcome.answer == "甲答"


OPTIONS = {
    "width": [1, 2, 5, 16, 99, "sqrt"],
    "rounds": [1, 2, 99],
    "depth": [0, 2, 5, 99],
    "sequential": [1, 3, 16, 99],
    "window": [1, 4, 99],
    "step": list(StepAggregation),
    "answer": list(AnswerAggregation),
    "resampling": list(Resampling),
    "temperature": [0.5, 3.0],
    "c": [0.0, 0.7, 3.0],
    "by": ["proposer", "larger"],
    "scored": ["yes", "no"],
    "thinking": [1, 9, 4096],
    "waits": [0, 1, 3],
    "wait": ["Wait", "Hmm"],
    "mark": ["</think>", "."],
    "begin": ["<think>"],
    "k": [1, 3, 99],
    "group": [2, 5, 99],
    "entrants": [2, 5, 99],
    "agents": [2, 3, 99],
    "passes": [1, 2, 99],
    "criteria": ["brevity"],
    "sure": [0.0, 0.5, 1.0],
    "shown": list(Shown),
    "early": ["yes", "no"],
    "warmup": [1, 4, 99],
    "keep": [0.1, 1.0],
}


@pytest.mark.parametrize("name", SEARCHES)
def test_13_and_27_every_value_of_every_option_runs_and_is_passed_on(name):
    parameters = inspect.signature(SEARCHES[name]).parameters.values()
    options = {p.name: p.annotation for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert set(options) <= set(OPTIONS), "list values for the new option"
    for option, kind in options.items():
        for value in OPTIONS[option]:
            if value == "sqrt" and kind == "int":
                continue
            chosen = strategy(f"{name}({option}={value})")
            given = {"yes": True, "no": False}.get(value, value)
            assert chosen.options in ({option: given}, {})
            proposer = ScriptedProposer(6)
            team = {"larger": proposer}
            check_result(solve_one(chosen, 16, proposer, ScriptedVerifier(), team=team))


def test_32_answers_that_look_alike_are_not_the_same_answer():
    answers = dict(zip("abcde", ("1200", "12000", "120", "1200.5", "7"), strict=True))
    result = solve_one("majority", 6, Words(Tree({"": "abcdee"}, answers=answers)))
    assert result.outcome.answer == "7"


def test_36_best_of_n_is_one_choice_among_n_and_not_their_mean():
    verifier = ScriptedVerifier(noise=0.0)
    results = solve("best_of_n", 64, ScriptedProposer(6, skill=0.6), verifier, of=20)
    assert all(len(result.choice.candidates) == 64 for result in results)
    drawn = [s.answer == "right" for result in results for s in result.choice.candidates]
    assert sum(drawn) / len(drawn) < 0.5
    assert all(result.outcome.right for result in results)


@pytest.mark.parametrize("name", STEPWISE)
def test_37_a_verifier_that_says_nothing_is_not_one_that_says_zero(name):
    # With nothing to go by, the search votes; it does not hold every beam for worthless.
    silent = solve(name, 16, ScriptedProposer(4), ScriptedVerifier(silence=1.0), of=problems(6))
    assert all(result.outcome.answer is not None for result in silent)
    assert all(s.steps == () for result in silent for s in result.choice.scores)
