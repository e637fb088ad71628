"""The sequential policy: read from a store, replayed, kept in a file, and run live."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_study import read, same

import outthink
from outthink.errors import PolicyError, UsageError
from outthink.measure.equivalence import equivalence, least_cost
from outthink.measure.intervals import interval
from outthink.measure.quality import calibration_error, chance_error
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.policy import file
from outthink.policy.currency import Price, currency, read_prices
from outthink.policy.family import Dial
from outthink.policy.fit_sequential import fit_sequential
from outthink.policy.frontier import Point, best_of, leads, over
from outthink.policy.live import Limits, think
from outthink.policy.menu import Stage
from outthink.policy.plans import Plan as policy_plan
from outthink.policy.promise import promises
from outthink.policy.read import menu, trials
from outthink.policy.replay import Replay
from outthink.policy.rules import Fixed, ScoreThreshold
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import strategy
from outthink.search.chain import go_on
from outthink.study.plan import Plan
from outthink.study.run import run
from outthink.testing import check_search
from outthink.types import (
    REVISER,
    REVISION_VERIFIER,
    VERIFIER,
    Budget,
    Choice,
    Problem,
    Propose,
    Strategy,
    Usage,
)

PLAN = Plan(
    ("majority", "best_of_n(answer=max)", "best_of_n", "revise(sequential=2)"),
    (1, 2, 4),
    pool=16,
    chains=4,
    oracle_samples=0,
    predicted_samples=2,
    stages=("beam@4", "revise(sequential=2)@2", "greedy(scored=yes)@1"),
    trials=3,
)
PROBLEMS = scripted_problems(60)


def team():
    proposer, verifier = ScriptedProposer(skill=0.6), ScriptedVerifier()
    return Team.of(proposer, verifier, reviser=proposer, revision_verifier=verifier)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    path = tmp_path_factory.mktemp("sequential") / "a.store"
    with Store.open(path, write=True) as store:
        asyncio.run(
            run(PLAN, PROBLEMS, team(), grader=same, grader_name="exact", seed=0, store=store)
        )
        yield read(store, PLAN, PROBLEMS, team())


@pytest.fixture(scope="module")
def fitted(study):
    return fit_sequential(study, seed=0, most=16)


@pytest.fixture(scope="module")
def policy(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("policy") / "p.json"
    file.save(fitted.family, path)
    return path


# Read from a store -------------------------------------------------------------------------------


def test_the_menu_is_what_the_store_has_runs_of(study):
    assert [stage.name for stage in menu(study)] == [
        "best_of_n@1",
        "best_of_n@2",
        "best_of_n@4",
        "best_of_n@8",
        "best_of_n@16",
        "beam@4",
        "revise(sequential=2)@1",
        "revise(sequential=2)@2",
        "greedy(scored=yes)@1",
    ]


def test_trials_hold_what_was_drawn_and_what_it_cost(study):
    held = trials(study)
    by_name = {source.name: source for source in held.sources}
    assert by_name["best_of_n"].units == 16 and by_name["beam@4"].units == 3
    # Of four chains two have two solutions or more.
    assert by_name["revise(sequential=2)"].units == 4
    assert by_name["greedy(scored=yes)@1"].units == 1
    assert held.costs.tolist() == [1, 2, 4, 8, 16, 4, 1, 2, 1]
    for place, problem in enumerate(study.problems):
        drawn = study.drawn(problem, ("best_of_n", 16, ""))
        right = [answer is not None and study.is_right(problem, answer) for answer, _ in drawn]
        held_answers = by_name["best_of_n"].answers[place, :, 0].astype(int)
        assert held.is_right(np.full(16, place), held_answers).tolist() == right
        known = [score for _, score in drawn]
        assert by_name["best_of_n"].scores[place, :, 0].tolist() == pytest.approx(known)


def test_a_search_leaves_its_candidates_in_its_trials(study):
    source = next(s for s in trials(study).sources if s.name == "beam@4")
    for place, problem in enumerate(study.problems[:20]):
        tree = study.view.tree(problem.id, "beam", 4, "trial 0")
        judged = {node.answer for node in tree.nodes if node.answer is not None}
        held = source.answers[place, 0]
        assert len(set(held[held >= 0])) <= len(judged)
        assert (held >= 0).any() == bool(judged)


def test_stages_that_no_run_is_of_are_refused_by_name(study):
    for stage in (Stage("revise(sequential=8)", 8), Stage("beam", 8)):
        with pytest.raises(UsageError, match="no runs of"):
            trials(study, [stage])
    with pytest.raises(UsageError, match="no size"):
        Stage.parse("beam")
    with pytest.raises(UsageError, match="no size"):
        Plan(stages=("beam@0",))


# Fitted ------------------------------------------------------------------------------------------


def test_the_same_seed_fits_the_same_policy(study, fitted):
    again = fit_sequential(study, seed=0, most=16)
    for one, other in zip(fitted.family.members, again.family.members, strict=True):
        assert (one.values == other.values).all() and one.cost == other.cost


def test_members_cost_more_and_answer_better_in_turn(fitted):
    costs = [member.cost.mean for member in fitted.family.members]
    accuracies = [member.accuracy.mean for member in fitted.family.members]
    assert costs == sorted(costs) and accuracies == sorted(accuracies)
    assert max(fitted.frontier.points[-1].cost) <= 16


def test_a_policy_beats_a_fixed_number_of_samples_where_scores_tell(fitted):
    # The scripted verifier tells right from wrong: stopping early must save something.
    assert max(saving.baseline.factor for saving in fitted.savings) > 1.3


def test_too_few_problems_are_refused_with_what_can_be_fitted(study, tmp_path):
    few = PROBLEMS[:6]
    with Store.open(tmp_path / "few.store", write=True) as store:
        asyncio.run(run(PLAN, few, team(), grader=same, grader_name="exact", seed=0, store=store))
        with pytest.raises(UsageError, match="--kind table"):
            fit_sequential(read(store, PLAN, few, team()), seed=0)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 20)), min_size=1, max_size=8))
def test_the_frontier_is_the_upper_hull(pairs):
    points = [
        Point(
            "",
            np.zeros(2),
            np.zeros(2),
            np.zeros((2, 1)),
            interval(np.full(2, accuracy / 20)),
            interval(np.full(2, float(cost))),
        )
        for cost, accuracy in pairs
    ]
    kept = best_of([0.0] * len(points), points)
    costs = [points[n].mean_cost.mean for n in kept]
    accuracies = [points[n].accuracy.mean for n in kept]
    assert costs == sorted(costs) and accuracies == sorted(accuracies)
    # Nothing that was tried lies above the line through what is kept.
    for point in points:
        reached = np.interp(point.mean_cost.mean, costs, accuracies)
        assert point.accuracy.mean <= reached + 1e-9 or point.mean_cost.mean < costs[0]


def test_a_rule_is_held_against_a_mixture_of_the_members_beside_its_cost(fitted):
    cheap, dear = (fitted.frontier.points[number] for number in (0, -1))
    frontier = replace(fitted.frontier, points=(cheap, dear))
    half = replace(
        cheap,
        right=(cheap.right + dear.right) / 2,
        mean_cost=interval((cheap.cost + dear.cost) / 2),
    )
    for rule in (half, cheap, dear):
        gap = over(frontier, rule)
        assert gap is not None and abs(gap.mean) < 1e-9
    worse = replace(half, right=half.right * 0)
    gap = over(frontier, worse)
    assert gap is not None and gap.low > 0
    assert over(frontier, replace(dear, mean_cost=interval(dear.cost + 1))) is None


def test_the_policy_leads_a_rule_by_what_lies_above_a_mixture_of_the_rule(fitted):
    def point(right, cost):
        some = fitted.frontier.points[0]
        return replace(some, right=np.full(some.right.size, right), mean_cost=interval([cost]))

    rule = (point(0.2, 1.0), point(0.6, 3.0))
    ours = (point(0.3, 1.0), point(0.7, 1.5), point(0.8, 4.0))
    frontier = replace(fitted.frontier, points=ours)
    known = [(cost, pytest.approx(lead.mean)) for cost, lead in leads(frontier, rule[::-1])]
    assert known == [(1.0, 0.1), (1.5, 0.4)]


def test_the_least_cost_of_one_curve_is_the_factor_of_equal_budgets():
    rng = np.random.default_rng(0)
    base = np.sort(rng.random((4, 200)), axis=0)
    ours = base[2] * 0.9
    [one] = equivalence(base, (1, 2, 4, 8), ours[None], (2,))
    other = least_cost([(base, (1.0, 2.0, 4.0, 8.0))], ours, np.full(200, 2.0))
    assert (one.factor, one.low, one.high) == pytest.approx((other.factor, other.low, other.high))


def test_the_least_cost_is_that_of_the_strongest_curve():
    weak = np.tile([[0.1], [0.2], [0.3]], 50)
    strong = np.tile([[0.2], [0.4]], 50)
    factor = least_cost(
        [(weak, (1.0, 2.0, 4.0)), (strong, (2.0, 3.0))], np.full(50, 0.3), np.full(50, 1.0)
    )
    assert 2 < factor.factor < 3  # of the strong one, though the weak one gets there at 4
    never = least_cost([(weak, (1.0, 2.0, 4.0))], np.full(50, 0.9), np.full(50, 1.0))
    assert never.at_least and never.factor == 4


# Kept --------------------------------------------------------------------------------------------


def test_a_policy_decides_the_same_after_its_file(fitted, policy, study):
    loaded = file.load(policy)
    held = trials(study)
    for member, kept in zip(fitted.family.members, loaded.members, strict=True):
        rule, other = fitted.family.rule(member), loaded.rule(kept)
        replay = Replay(rule, held, np.arange(60), seed=3)
        for _ in range(3):
            decided = rule.decide(replay.tally, replay.allowed(16))
            assert (decided == other.decide(replay.tally, replay.allowed(16))).all()
            replay.run(decided)


@pytest.mark.parametrize("garbled", ['{"kind": "sequential"', '{"kind": "sequential"}', "[]"])
def test_a_garbled_policy_is_refused(garbled, tmp_path):
    path = tmp_path / "p.json"
    path.write_text(garbled)
    with pytest.raises(PolicyError, match=str(path)):
        file.load(path)


def test_a_policy_without_the_score_curve_of_a_stage_is_refused(policy, tmp_path):
    told = json.loads(policy.read_text())
    source = told["menu"][0]["stage"].partition("@")[0]
    del told["chances"]["curves"][source]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(told))
    with pytest.raises(PolicyError, match=f"no score curve of '{source}'"):
        file.load(path)


def test_an_average_is_met_by_a_mixture_of_members(fitted):
    first = fitted.family.members[0]
    dear = replace(first, cost=interval(first.cost.mean + np.arange(2.0, 4.0)))
    family = replace(fitted.family, members=(first, dear))
    low, high = (member.cost.mean for member in family.members[:2])
    average = 0.3 * low + 0.7 * high
    many = [Problem(str(n), "") for n in range(4000)]
    given_to = [family.member(Dial(average=average), problem, 0) for problem in many]
    mean = np.mean([member.cost.mean for member in given_to])
    assert mean == pytest.approx(average, abs=4 * (high - low) / 2 / np.sqrt(len(many)))
    cost, accuracy = family.promise(Dial(average=average))
    assert cost.mean == pytest.approx(average)
    assert accuracy.low <= accuracy.mean <= accuracy.high


def test_a_dial_that_cannot_be_met_is_refused(fitted):
    family, problem = fitted.family, PROBLEMS[0]
    with pytest.raises(UsageError, match=r"below the .* cheapest"):
        family.member(Dial(average=0.1), problem, 0)
    with pytest.raises(UsageError, match="above the cap"):
        family.limits(Dial(average=9.0, most=8.0))
    with pytest.raises(UsageError, match="below the cheapest stage"):
        family.limits(Dial(most=0.5))
    with pytest.raises(UsageError, match="give one"):
        family.member(Dial(price=0.1, average=3.0), problem, 0)


def of_plans(fitted, *plans):
    """A family of nothing but plans: so many of its cheapest stages one after the other."""
    family, model = fitted.family, fitted.family.members[0]
    cheapest = int(np.argmin(family.costs))
    made = (
        replace(
            model,
            plan=policy_plan((cheapest,) * size, None, bounds),
            cost=interval(size * family.costs[cheapest] + np.array([-0.1, 0.1])),
        )
        for size, bounds in plans
    )
    return replace(family, members=tuple(made)), family.costs[cheapest]


def test_a_plan_is_followed_where_all_of_it_fits_in_the_cap(fitted):
    family, cost = of_plans(fitted, (2, ()), (3, ()), (6, ()))
    small, middle, large = family.members
    problem = PROBLEMS[0]
    assert family.least == 2 * cost
    for most, member in ((2, small), (3, middle), (5, middle), (6, large), (None, large)):
        dial = Dial(most=None if most is None else most * cost)
        assert family.member(dial, problem, 0) is member
        assert family.promise(dial) == (member.cost, member.accuracy)
    many = [Problem(str(n), "") for n in range(99)]
    dial = Dial(average=4 * cost, most=5 * cost)
    assert {id(family.member(dial, one, 0)) for one in many} == {id(middle)}
    with pytest.raises(UsageError, match=r"a cap of .* is below the .* cheapest member"):
        family.member(Dial(most=cost), problem, 0)


def test_a_ladder_is_followed_where_its_first_stage_fits_in_the_cap(fitted):
    family, cost = of_plans(fitted, (3, ((0.0, 0.9), (0.0, 0.9))))
    assert family.least == cost
    assert family.member(Dial(most=cost), PROBLEMS[0], 0) is family.members[0]


def test_a_policy_of_plans_is_a_strategy_that_asks_for_something(fitted, tmp_path):
    family, _ = of_plans(fitted, (2, ()), (6, ()))
    path = tmp_path / "p.json"
    file.save(family, path)
    for dial in ("", ",average=2", ",average=5", ",price=0.01"):
        named = strategy(f"policy(file={path}{dial})")
        for n in (1, 2, 3, 64):
            assert next(named.start(PROBLEMS[0], Budget(n))) is not None


# Live --------------------------------------------------------------------------------------------


def live(start, problems=PROBLEMS, budget=16):
    runner = Runner(team(), grader=same, seed=5)
    jobs = [Job(problem, Strategy("live", start), Budget(budget)) for problem in problems]
    by_id = {r.job.problem.id: r for r in asyncio.run(runner.results(jobs))}
    return [by_id[problem.id] for problem in problems]


def test_a_live_policy_decides_as_its_replay_does(fitted):
    """Every decision that was taken live is taken again by the rule, given what was drawn."""
    rule = fitted.family.rule(fitted.family.members[-1])
    told = {}

    def start(problem, budget):
        seen = told.setdefault(problem.id, [])
        return think(rule, fitted.family.limits(Dial()), problem, seen.append)

    for result in live(start):
        decisions = told[result.job.problem.id]
        assert decisions[-1].stage is None and decisions[-1].answer == result.choice.answer
        sizes = [one.stage.size for one in decisions if one.stage is not None]
        assert result.outcome.usage.generations == sum(sizes) <= 16
        assert [one.spent for one in decisions] == np.cumsum([0, *sizes]).tolist()
        assert all(one.worth > 0 for one in decisions[1:-1])
        assert 0 <= decisions[-1].chance <= 1


def test_a_live_fixed_rule_is_the_strategy_itself():
    """Best-of-4 by the loop of stages draws and answers what best-of-4 does."""
    rule = Fixed(Stage("best_of_n(answer=max)", 4))
    limits = Limits(4, (4.0,), (4,))
    plain = strategy("best_of_n(answer=max)")
    ours = live(lambda problem, budget: think(rule, limits, problem), budget=4)
    theirs = live(plain.start, budget=4)
    for one, other in zip(ours, theirs, strict=True):
        assert one.choice.answer == other.choice.answer
        assert one.outcome.usage == other.outcome.usage


def test_a_live_rule_stops_at_its_threshold():
    rule = ScoreThreshold(threshold=0.8, most=8, strategy="best_of_n")
    limits = Limits(8, (1.0,), (8,))
    for result in live(lambda problem, budget: think(rule, limits, problem)):
        scores = [score.last for score in result.choice.scores]
        assert all(score is None or score < 0.8 for score in scores[:-1])
        assert len(scores) == 8 or scores[-1] >= 0.8


def test_a_policy_is_a_strategy_that_keeps_its_contract(policy):
    made = f"policy(file={policy})"
    check_search(made, spends=None, budgets=(1, 4, 16))


def test_a_strategy_names_the_policy_it_was_made_of(policy, tmp_path):
    path = tmp_path / "p.json"
    path.write_bytes(Path(policy).read_bytes())
    name = strategy(f"policy(file={path},average=4.5)").name
    assert "average=4.5" in name and "#" in name
    assert strategy(name).name == name
    strategy.cache_clear()
    path.write_text(path.read_text() + " ")
    with pytest.raises(PolicyError, match="changed since"):
        strategy(name)


@pytest.fixture(scope="module")
def ran(policy, tmp_path_factory):
    """A study of the policy run live on other problems."""
    plan = Plan((f"policy(file={policy},average=2)", "majority"), (16,), 16, 0, 0, 0)
    others = scripted_problems(260)[60:]
    path = tmp_path_factory.mktemp("live") / "live.store"
    with Store.open(path, write=True) as store:
        asyncio.run(
            run(plan, others, team(), grader=same, grader_name="exact", seed=0, store=store)
        )
        yield read(store, plan, others, team())


def test_a_policy_that_is_run_is_held_to_its_promise(ran, fitted):
    held = promises(ran)
    assert not held.notes
    (kept,) = held.kept
    assert kept.budget == 16 and kept.currency == "generations" and not kept.is_capped
    cost, accuracy = fitted.family.promise(Dial(average=2, most=16))
    assert (kept.promised_cost, kept.promised_accuracy) == (cost, accuracy)
    spent = [usage.generations for usage in ran.live_usages(kept.strategy, 16)]
    assert kept.cost == interval(np.array(spent, float))
    right = ran.grid.accuracy[ran.grid.strategies.index(kept.strategy), 0]
    assert kept.accuracy == interval(right)
    inside = cost.low <= kept.cost.mean <= cost.high
    assert kept.holds == (inside and accuracy.low <= kept.accuracy.mean <= accuracy.high)


def test_the_probability_that_came_with_an_answer_is_kept_with_it(ran):
    (kept,) = promises(ran).kept
    chances = ran.chances(kept.strategy, 16)
    assert chances.shape == (200,) and ((chances >= 0) & (chances <= 1)).all()
    right = ran.grid.accuracy[ran.grid.strategies.index(kept.strategy), 0] > 0
    assert kept.calibration_error == calibration_error(chances, right)
    assert np.isnan(ran.chances("majority", 16)).all()


def test_a_policy_whose_file_is_gone_is_a_note_and_not_a_promise(ran, policy):
    strategy.cache_clear()
    moved = policy.rename(policy.with_suffix(".gone"))
    try:
        held = promises(ran)
    finally:
        moved.rename(policy)
        strategy.cache_clear()
    assert not held.kept
    assert "not held to its promise" in held.notes[0] and "cannot read policy" in held.notes[0]


def test_luck_alone_makes_a_calibration_error_that_shrinks_with_problems():
    rng = np.random.default_rng(0)
    few, many = chance_error(rng.random(100)), chance_error(rng.random(10_000))
    assert 0.05 < few < 0.2 and many < 0.02
    assert chance_error(np.full(3, np.nan)) is None
    # It is what exact probabilities come to.
    exact = rng.random(10_000)
    assert calibration_error(exact, rng.random(10_000) < exact) == pytest.approx(many, abs=0.01)


def test_revisions_go_on_where_they_stopped():
    """A chain drawn in two goes is the chain drawn in one."""

    def in_two(problem, budget):
        chain = []
        first, scores = yield from go_on(problem, chain, 1, sequential=4)
        rest, more = yield from go_on(problem, chain, 2, sequential=4)
        drawn = [*first, *rest]
        assert chain == drawn
        assert [len(s.history) for s in drawn] == [
            sum(x.answer is not None for x in drawn[:n]) for n in range(3)
        ]
        return Choice(None, None, tuple(drawn), (*scores, *more))

    for result in live(in_two):
        assert result.outcome.usage.generations == 3


def test_a_chain_begins_anew_when_it_is_long_enough():
    asked = []

    def watched(problem, budget):
        search = go_on(problem, [], 5, sequential=2, scored=False)
        sent = None
        while True:
            try:
                request = search.send(sent)
            except StopIteration as stop:
                return Choice(None, None, tuple(stop.value[0]))
            assert isinstance(request, Propose) and request.role == REVISER
            asked.append(bool(request.prefixes[0].number >= 0))
            sent = yield request

    live(watched, PROBLEMS[:1])
    assert asked == [False, True, False, True, False]


# What it costs -----------------------------------------------------------------------------------

USAGE = Usage(
    generations=2, prompt_tokens=10, cached_tokens=100, decoded_tokens=20, verifier_tokens=30
)


def test_currencies_charge_each_role_by_its_own_price(tmp_path):
    roles = {REVISER, REVISION_VERIFIER}
    assert currency("generations")(USAGE, roles) == 2
    assert currency("tokens")(USAGE, roles) == 60
    flops = currency("flops", {REVISER: 5, REVISION_VERIFIER: 7})
    assert flops(USAGE, roles) == 2 * 5 * 30 + 2 * 7 * 30
    prices = {REVISER: Price(1, 0.1, 4), REVISION_VERIFIER: Price(2, 0, 0)}
    paid = currency("money", prices=prices)(USAGE, roles)
    assert paid == pytest.approx((10 + 10 + 80 + 60) / 1e6)
    with pytest.raises(UsageError, match="lacks the verifier"):
        currency("money", prices=prices)(USAGE, {REVISER, VERIFIER})
    with pytest.raises(UsageError, match="how many parameters the reviser"):
        currency("flops", {})(USAGE, roles)
    with pytest.raises(UsageError, match="unknown currency"):
        currency("gold")
    bad = tmp_path / "prices.json"
    bad.write_text('{"proposer": {"read": 1}}')
    with pytest.raises(UsageError, match="no price list"):
        read_prices(bad)


def test_solve_says_what_it_decided_and_how_sure_it_is(policy):
    solving = outthink.solve("40713 *7 *13", policy=policy)
    with pytest.raises(PolicyError, match="was fitted with"):  # the scripted models, not these
        outthink.run(solving)
