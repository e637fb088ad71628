"""Ladders: stages in a fixed order, and after each the probabilities at which to go on."""

import asyncio
import json
from dataclasses import replace

import numpy as np
import pytest
from sequential_fixtures import a_fit

from outthink.errors import PolicyError
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.policy import file
from outthink.policy.cross import Contest, LadderAt, cross_fitted
from outthink.policy.family import Dial
from outthink.policy.ladder import Rung, bounded, fit_ladders, interval_of_most, worth
from outthink.policy.learn import fit
from outthink.policy.live import think
from outthink.policy.menu import Stage
from outthink.policy.plans import Plan, Planned
from outthink.policy.replay import Played, play
from outthink.policy.trials import Source, Trials
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.team import Team
from outthink.types import Budget, Strategy

CHEAP, DEAR = Stage("greedy(scored=yes)", 1), Stage("greedy(by=larger)", 1)


def source(stage, answers, scores, cost):
    shape = (len(answers), 1)
    return Source(
        stage.name,
        np.array(answers, np.int16).reshape(*shape, 1),
        np.array(scores, np.float32).reshape(*shape, 1),
        np.ones(shape, np.int16),
        np.full(shape, float(cost)),
    )


def a_cascade(problems=400):
    """A cheap answer is right on half of the problems, and its score says where; a dear one, ten
    times its cost, is right on all, and has no score."""
    knows = np.arange(problems) % 2 == 0
    right = np.zeros((problems, 3), np.bool_)
    right[:, 0] = True
    cheap = source(CHEAP, np.where(knows, 0, 1), np.where(knows, 0.9, 0.1), 1)
    dear = source(DEAR, np.zeros(problems), np.full(problems, np.nan), 10)
    names = tuple(map(str, range(problems)))
    return Trials((CHEAP, DEAR), (cheap, dear), right, names, "flops")


def rung(chance, right, cost):
    return Rung(np.array(chance, np.float32), np.array(right, float), np.array(cost, float))


def test_an_interval_is_where_gains_sum_to_the_most():
    chance = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 20).astype(np.float32)
    gain = np.repeat([-1.0, 0.5, 0.4, -1.0, 0.1], 20)
    low, high = interval_of_most(chance, gain)
    assert (low, high) == pytest.approx((0.3, 0.7))
    assert interval_of_most(chance, np.ones(100)) == (0.0, np.inf)
    assert interval_of_most(chance, -np.ones(100)) == (0.0, 0.0)


def test_a_few_orders_by_themselves_make_no_interval():
    chance = np.linspace(0, 1, 100).astype(np.float32)
    gain = np.full(100, -1.0)
    gain[40:43] = 1.0
    assert interval_of_most(chance, gain) == (0.0, 0.0)
    gain[40:60] = 1.0
    assert interval_of_most(chance, gain) == pytest.approx((chance[40], chance[60]))


def test_equal_chances_are_not_parted():
    chance = np.full(100, 0.5, np.float32)
    gain = np.where(np.arange(100) < 50, 1.0, -2.0)
    assert interval_of_most(chance, gain) == (0.0, 0.0)


def test_a_ladder_goes_on_where_that_pays():
    sure = np.arange(100) % 2 == 0
    rungs = (
        rung(np.where(sure, 0.9, 0.2), sure, np.ones(100)),
        rung([1] * 100, [1] * 100, [5] * 100),
    )
    plan = bounded((0, 1), rungs, 0.05)
    assert plan.stages == (0, 1) and plan.bounds == ((0.0, pytest.approx(0.9)),)
    # Half of the problems pay 5 more, and all are right.
    assert worth(rungs, 0.05) == pytest.approx(1 - 0.05 * (1 + 2.5))


def test_a_ladder_ends_before_a_stage_that_is_never_run():
    rungs = (rung([0.5] * 100, [1] * 100, [1] * 100), rung([1] * 100, [1] * 100, [5] * 100))
    assert bounded((0, 1), rungs, 0.05) == Plan((0,), None)


def test_the_larger_model_is_asked_where_the_smaller_one_does_not_know():
    trials, price = a_cascade(), 0.02
    [policy] = fit(trials, prices=[price])
    [plan] = fit_ladders(trials, policy.chances_of, [price], most=100.0, seed=0)
    came = play(Planned(trials.menu, policy.chances_of, plan), trials, orders=1)
    assert [trials.menu[n] for n in plan.stages] == [CHEAP, DEAR]
    assert came.right.mean() == 1 and came.cost.mean() == pytest.approx(6)


def test_a_cap_keeps_dear_stages_out_of_a_ladder():
    trials = a_cascade()
    [policy] = fit(trials, prices=[0.02])
    [plan] = fit_ladders(trials, policy.chances_of, [0.02], most=9.0, seed=0)
    assert [trials.menu[n] for n in plan.stages] == [CHEAP]


def test_a_cascade_is_worth_its_ladder_on_problems_that_it_was_not_fitted_on():
    trials = a_cascade()
    crossed = cross_fitted(trials, most=100.0, seed=0)
    best = [point for point in crossed.points if point.accuracy.mean == 1]
    assert min(point.mean_cost.mean for point in best) == pytest.approx(6)
    assert any(isinstance(winner, LadderAt) for winner in crossed.winners)


def played(right, cost):
    right, cost = np.array(right, float), np.array(cost, float)
    none = np.zeros((right.size, 0))
    return Played(right, cost, none, none.astype(bool), none.astype(np.float32))


def test_a_ladder_is_simpler_than_values_and_less_so_than_a_plan():
    rng = np.random.default_rng(0)
    base = played(rng.random(400), np.full(400, 4.0))
    better = played(base.right + rng.normal(0.05, 0.1, 400), np.full(400, 4.0))
    plan = Plan((0,), None)
    assert Contest((plan,), (base,), (better,), (better,)).winner(0.01) == LadderAt(0)
    assert Contest((plan,), (base,), (better,), (base,)).winner(0.01) == 0
    assert Contest((plan,), (base,), (base,), (base,)).winner(0.01) == plan


LADDER = Plan((0, 0, 0), None, ((0.25, np.inf), (0.0, 0.75)))


def with_a_ladder(plan=LADDER):
    family, none = a_fit().family, np.zeros(0)
    first = replace(family.members[0], first=none, values=none[:, None], plan=plan)
    return replace(family, members=(first, *family.members[1:]))


def test_a_ladder_says_when_it_goes_on():
    name = with_a_ladder().menu[0].name
    told = LADDER.told(with_a_ladder().menu)
    assert told == f"{name}, from 0.25 {name}, below 0.75 {name}, likeliest"
    assert replace(LADDER, bounds=((0, np.inf),) * 2).told(with_a_ladder().menu).count("then") == 2


def test_a_ladder_is_kept_in_the_file_to_the_last_digit(tmp_path):
    plan = replace(LADDER, bounds=((1 / 3, np.inf), (0.0, 2 / 3)))
    file.save(with_a_ladder(plan), tmp_path / "p.json")
    assert file.load(tmp_path / "p.json").members[0].plan == plan


def test_a_file_from_before_there_were_ladders_is_read(tmp_path):
    path = tmp_path / "p.json"
    file.save(with_a_ladder(Plan((0, 0), None)), path)
    data = json.loads(path.read_text())
    data["format"] = 6
    for member in data["members"]:
        member["plan"].pop("bounds", None)
    path.write_text(json.dumps(data))
    assert file.load(path).members[0].plan == Plan((0, 0), None)


def test_a_file_with_a_bound_too_few_is_refused(tmp_path):
    path = tmp_path / "p.json"
    file.save(with_a_ladder(), path)
    data = json.loads(path.read_text())
    del data["members"][0]["plan"]["bounds"][0]
    path.write_text(json.dumps(data))
    with pytest.raises(PolicyError, match="1 bounds for 3 stages"):
        file.load(path)


@pytest.mark.parametrize(("bounds", "runs"), [((0.0, np.inf), 2), ((1.0, np.inf), 1)])
def test_a_ladder_is_run_live_as_far_as_its_bounds_say(bounds, runs):
    family, problem = with_a_ladder(Plan((0, 0), None, (bounds,))), scripted_problems(1)[0]
    decisions = []
    rule, limits = family.rule(family.members[0]), family.limits(Dial())

    def start(problem, budget):
        return think(rule, limits, problem, decisions.append)

    runner = Runner(Team.of(ScriptedProposer(skill=0.7), ScriptedVerifier()), seed=5)
    [result] = asyncio.run(runner.results([Job(problem, Strategy("ladder", start), Budget(40))]))
    assert len([one for one in decisions if one.stage]) == runs
    assert result.choice.chance == decisions[-1].chance
