"""What the lab's models can do, measured: every number there, and each what it says."""

import json
from dataclasses import asdict

import pytest
from contract import problems as word_problems
from lab_fixtures import exact, problem_of, solution_of, some_problems

from outthink.data import task
from outthink.errors import UsageError
from outthink.lab.facts import Facts, exact_steps, greedy, measure
from outthink.lab.models import LabModels
from outthink.types import Solution

PROBLEM = problem_of("40713 *7 *13 *3")  # 84991, 04883, 14649


@pytest.mark.parametrize(
    "lines, expected",
    [
        (["*7=84991", "*13=04883", "*3=14649"], [True, True, True]),
        (["*7=84991", "*13=04883"], [True, True]),
        ([], []),
        (["*7=84992"], [False]),
        (["*7=84991", "*13=04884", "*3=14652"], [True, False, False]),
        (["*7=84992", "*13=04883", "*3=14649"], [False, False, False]),  # right by luck
        (["*13=29269", "*7=04883", "*3=14649"], [False, False, False]),  # another order
        (["*7=84991", "*3=54973"], [True, False]),
        (["*7=84991", "*13=04883", "*3=14649", "*3=43947"], [True, True, True, False]),
        (["*7=084991"], [False]),
        (["*7="], [False]),
    ],
)
def test_a_step_is_exact_while_everything_up_to_it_is(lines, expected):
    assert exact_steps(solution_of(PROBLEM, lines)) == expected
    assert exact_steps(solution_of(PROBLEM, lines, end=False)) == expected


def test_tokens_past_the_last_step_are_no_step():
    whole = exact(PROBLEM, end=False)
    cut = Solution(PROBLEM, whole.tokens[:-1], whole.step_ends[:-1])
    assert exact_steps(cut) == [True, True]


def test_exact_solutions_are_exact():
    for problem in some_problems(50):
        solution = exact(problem)
        assert exact_steps(solution) == [True] * solution.steps
        assert solution.answer == problem.reference


def test_exact_steps_are_of_the_labs_task_alone():
    with pytest.raises(ValueError, match="not a problem of the lab's task"):
        exact_steps(Solution(word_problems(1)[0]))


def some_facts():
    """Of chains of 4: their length says nothing new, and is what takes long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("outthink.lab.facts.CHAIN", 4)
        return measure(LabModels(), problems=12, seed=3, samples=8)


@pytest.fixture(scope="module")
def facts():
    return some_facts()


def test_facts_are_whole_and_can_be_written_as_json(facts):
    assert isinstance(facts, Facts)
    found = json.loads(json.dumps(asdict(facts), allow_nan=False))
    assert found["problems"] == 12 and found["seed"] == 3
    assert found["prm"].keys() == found["orm"].keys()
    missing = [
        (model, name)
        for model in ("s", "l", "prm", "orm")
        for name, value in found[model].items()
        if value is None
    ]
    assert missing == []


def test_every_place_of_a_chain_is_measured(facts):
    assert len(facts.revision.pass_at_1) == 4
    assert facts.revision.pass_at_1[0].mean > 0


def test_facts_name_the_models_they_are_of(facts):
    models = LabModels()
    assert facts.s.parameters == models.proposer("s").parameters_count
    assert facts.l.parameters == models.proposer("l").parameters_count
    assert facts.prm.parameters == models.verifier("prm").parameters_count
    assert facts.s.samples == 8 and facts.l.samples == 2
    assert facts.chance == task.CHANCE


def test_facts_are_shares_with_an_interval_around_each(facts):
    for model in (facts.s, facts.l):
        assert len(model.bins) == 5
        for interval in (model.greedy, model.pass_at_1, *model.bins):
            assert 0.0 <= interval.low <= interval.mean <= interval.high <= 1.0
    for verifier in (facts.prm, facts.orm):
        assert verifier.steps > 12 * 8 / 2
        shares = (verifier.auc, verifier.final_auc, verifier.ece, verifier.step_ece)
        assert all(0.0 <= share <= 1.0 for share in shares)


def test_greedy_is_right_on_the_problems_it_is_right_on():
    asked = task.problems(task.Stream.TEST, 20, 3)
    proposer = LabModels().proposer("l")
    found = greedy(proposer, asked)
    assert set(found.tolist()) <= {0.0, 1.0}
    assert found.sum() > 0
    assert greedy(proposer, asked[::-1]).tolist() == found[::-1].tolist()


def test_the_same_seed_measures_the_same(facts):
    assert some_facts() == facts


@pytest.mark.parametrize("problems", [1, 4])
def test_fewer_problems_than_bins_are_refused(problems):
    with pytest.raises(UsageError, match="give at least 5 problems"):
        measure(LabModels(), problems=problems, seed=0)
