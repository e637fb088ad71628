"""What a policy is worth on problems that it does not know, and the simplest that is as good."""

import asyncio
import json
from dataclasses import replace

import numpy as np
from sequential_fixtures import a_fit

from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.policy import file
from outthink.policy.cross import Contest, cross_fitted
from outthink.policy.family import Dial, Family
from outthink.policy.frontier import rising
from outthink.policy.live import think
from outthink.policy.menu import Stage
from outthink.policy.plans import Plan, Planned, plans
from outthink.policy.replay import Played, play
from outthink.policy.rules import Fixed
from outthink.policy.sequential import Chances
from outthink.policy.trials import Source, Trials
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.team import Team
from outthink.search import AnswerAggregation
from outthink.types import Budget, Strategy

MENU = (Stage("best_of_n", 1), Stage("best_of_n", 2), Stage("best_of_n", 4))
BY_VOTES = Plan((2,), AnswerAggregation.MAJORITY)
BY_LIKELIEST = Plan((2,), None)


def alike(problems=60, units=16, right=0.6, scores=np.nan):
    """Problems that do not differ: whatever a policy sees, it says nothing."""
    rng = np.random.default_rng(3)
    shape = (problems, units)
    is_right = rng.random((*shape, 1)) < right
    answers = np.where(is_right, 0, rng.integers(1, 4, is_right.shape))
    source = Source(
        "best_of_n",
        answers.astype(np.int16),
        np.full((*shape, 1), scores, np.float32),
        np.ones(shape, np.int16),
        np.ones(shape),
    )
    known = np.zeros((problems, 4), np.bool_)
    known[:, 0] = True
    return Trials(MENU, (source,), known, tuple(map(str, range(problems))))


def played(right, cost):
    right, cost = np.array(right, float), np.array(cost, float)
    none = np.zeros((right.size, 0))
    return Played(right, cost, none, none.astype(bool), none.astype(np.float32))


def contest(by_votes, by_likeliest, sequential):
    return Contest((BY_VOTES, BY_LIKELIEST), (by_votes, by_likeliest), (sequential,))


def test_the_simplest_within_one_standard_error_is_taken():
    rng = np.random.default_rng(0)
    right = rng.random(400)
    base = played(right, np.full(400, 4.0))
    hardly = played(right + rng.normal(0.001, 0.1, 400), np.full(400, 4.0))
    better = played(right + rng.normal(0.05, 0.1, 400), np.full(400, 4.0))
    assert contest(base, base, hardly).winner(0.01) == BY_VOTES
    assert contest(base, hardly, better).winner(0.01) == 0
    assert contest(base, better, better).winner(0.01) == BY_LIKELIEST


def test_a_saving_decides_as_much_as_an_accuracy():
    right = np.tile([0.0, 1.0], 100)
    dear = played(right, np.full(200, 4.0))
    cheap = played(right, np.full(200, 3.0))
    assert contest(dear, dear, cheap).winner(0.01) == 0
    # At no price there is nothing to save.
    assert contest(dear, dear, cheap).winner(0.0) == BY_VOTES


def test_a_policy_of_another_price_may_be_the_best():
    right = np.tile([0.0, 1.0], 200)
    half = played(right * (np.arange(400) % 4 > 0), np.full(400, 4.0))
    spends, stops = played(right, np.full(400, 30.0)), played(right, np.full(400, 2.0))
    held = Contest((BY_VOTES,), (half,), (spends, stops))
    assert [held.winner(price) for price in (0.02, 0.001)] == [1, 1]


def test_where_looking_says_nothing_a_plan_is_the_policy():
    # Every sample gives one answer, and it is right for some problems.
    same = alike(right=1.0)
    known = np.zeros((60, 4), np.bool_)
    known[::3, 0] = True
    crossed = cross_fitted(replace(same, right=known), most=16, seed=0)
    assert all(winner == Plan((0,), AnswerAggregation.MAJORITY) for winner in crossed.winners)


def test_plans_are_what_stages_add_up_to_within_the_cap():
    sizes = [sum(MENU[n].size for n in plan.stages) for plan in plans(alike(), 12)]
    assert sorted(set(sizes)) == [1, 2, 3, 4, 6, 8, 12]
    # Votes, and the likeliest; scores where there are any.
    assert len(sizes) == 2 * 7 and len(plans(alike(scores=0.5), 12)) == 4 * 7


def test_a_plan_answers_as_the_fixed_strategy_does():
    trials = replace(alike(scores=0.5), menu=MENU)
    fixed = play(
        Fixed(MENU[2], AnswerAggregation.MAJORITY), trials.only(MENU[2:]), orders=3, seed=1
    )
    plan = play(planned(BY_VOTES), trials, orders=3, seed=1)
    assert (plan.right == fixed.right).all() and (plan.cost == fixed.cost).all()


def planned(plan):
    chances = a_fit().family.chances
    curves = {"best_of_n": next(iter(chances.curves.values()))}
    return Planned(MENU, Chances(curves, np.zeros(24)), plan)


def test_a_plan_runs_its_stages_and_stops_at_a_cap():
    trials = alike()
    plan = planned(Plan((2, 0), AnswerAggregation.MAJORITY))
    assert play(plan, trials, orders=1).runs.tolist() == [[1, 0, 1]] * 60
    assert play(plan, trials, orders=1, most=4).runs.tolist() == [[0, 0, 1]] * 60


def test_a_plan_says_how_likely_the_answer_it_gives_is():
    # Without weights every answer is as likely as not.
    came = play(planned(BY_VOTES), alike(), orders=2)
    assert np.unique(came.chances).tolist() == [0.5]


def test_members_that_promise_no_more_than_cheaper_ones_are_left_out():
    assert rising([1, 4, 2, 8], [0.1, 0.3, 0.3, 0.4]) == [0, 2, 3]


def with_a_plan():
    family: Family = a_fit().family
    none = np.zeros(0)
    first = replace(
        family.members[0],
        first=none,
        values=none[:, None],
        plan=Plan((0, 0), AnswerAggregation.WEIGHTED),
    )
    return replace(family, members=(first, *family.members[1:]))


def test_a_plan_is_kept_in_the_file(tmp_path):
    file.save(with_a_plan(), tmp_path / "p.json")
    kept = file.load(tmp_path / "p.json").members
    assert kept[0].plan == with_a_plan().members[0].plan
    assert kept[1].plan is None


def test_a_file_from_before_there_were_plans_is_read(tmp_path):
    path = tmp_path / "p.json"
    file.save(a_fit().family, path)
    data = json.loads(path.read_text())
    data["format"] = 5
    for member in data["members"]:
        del member["plan"], member["fitted_at"]
    path.write_text(json.dumps(data))
    assert [member.plan for member in file.load(path).members] == [None] * 3


def test_a_plan_is_run_live_whatever_it_shows():
    family, decisions, problem = with_a_plan(), [], scripted_problems(1)[0]
    rule = family.rule(family.members[0])
    limits = family.limits(Dial())

    def start(problem, budget):
        return think(rule, limits, problem, decisions.append)

    runner = Runner(Team.of(ScriptedProposer(skill=0.7), ScriptedVerifier()), seed=5)
    [result] = asyncio.run(runner.results([Job(problem, Strategy("plan", start), Budget(40))]))
    stages = [one.stage.name if one.stage else None for one in decisions]
    assert stages == ["best_of_n@2", "best_of_n@2", None]
    assert len(result.choice.candidates) == 4 and result.outcome.usage.generations == 4
    assert result.choice.chance is not None and result.choice.chance == decisions[-1].chance
