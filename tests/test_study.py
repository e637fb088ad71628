"""A study: run once, read back as often as needed, and nothing twice."""

import asyncio
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from contract import Counted, results

from outthink.errors import UsageError
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.policy.fit import fit_study
from outthink.run.journal import Job
from outthink.run.progress import Progress
from outthink.run.store import Store, View
from outthink.run.team import Team
from outthink.search import strategy
from outthink.search.select import AnswerAggregation
from outthink.study.plan import DIFFICULTY, Plan
from outthink.study.read import Study
from outthink.study.record import Asked
from outthink.study.run import engines_of, run
from outthink.types import Budget, Drawn, Scores, Usage, Verified

PLAN = Plan(
    ("majority", "best_of_n", "beam"), (1, 4), pool=8, oracle_samples=16, predicted_samples=4
)
PROBLEMS = scripted_problems(100)
HIERARCHICAL = AnswerAggregation.HIERARCHICAL


def same(answer, reference):
    return answer == reference


class Counting(ScriptedProposer):
    __slots__ = ()
    rows = 0

    def propose_batch(self, draws):
        Counting.rows += len(draws)
        return super().propose_batch(draws)


def measured(store, plan, problems, team):
    """Run whatever is missing of a plan; the study of it."""
    running = run(plan, problems, team, grader=same, grader_name="exact", seed=0, store=store)
    asyncio.run(running)
    return read(store, plan, problems, team)


def read(store, plan, problems, team):
    """The study of what is in the store."""
    who, ids = engines_of(team, 0), tuple(problem.id for problem in problems)
    asked = Asked(plan, "scripted", ids, "", who, "exact", 0)
    return Study(plan, tuple(problems), store.view(who, "exact"), asked)


def sweep(store, plan=PLAN, problems=PROBLEMS, verifier=ScriptedVerifier()):  # noqa: B008
    return measured(store, plan, problems, Team.of(Counting(), verifier))


def alone(engine, jobs):
    """What jobs come to without a store."""
    return [r.outcome for r in results(Team.of(engine, engine), jobs)]


def open_store(path):
    return Store.open(path, write=True)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The store of `study`."""
    with open_store(tmp_path_factory.mktemp("study") / "a.store") as store:
        yield store


@pytest.fixture(scope="module")
def study(kept):
    return sweep(kept)


def test_a_plan_runs_pools_once_and_searches_at_every_budget(study):
    jobs = [(o.strategy, o.budget) for o in study.view.outcomes()]
    assert set(jobs) == {("best_of_n", 8), ("beam", 4)}  # a beam of one is a sample of the pool
    jobs = [(o.strategy, o.budget) for o in study.view.outcomes(stream=DIFFICULTY)]
    assert set(jobs) == {("majority", 16), ("best_of_n", 4)}


def test_what_is_in_the_store_is_not_run_again_resume(study, kept):
    before = Counting.rows
    again = sweep(kept)
    assert Counting.rows == before
    np.testing.assert_array_equal(again.grid.accuracy, study.grid.accuracy)


def test_the_grid_is_what_the_store_says(study):
    grid = study.grid
    assert grid.accuracy.shape == (3, 2, 100)
    outcomes = {(o.strategy, o.budget, o.problem_id): o.right for o in study.view.outcomes()}
    wanted = [outcomes["beam", 4, problem.id] for problem in PROBLEMS]
    np.testing.assert_array_equal(grid.accuracy[2, 1], wanted)
    np.testing.assert_array_equal(grid.accuracy[2, 0], [pool.right.mean() for pool in study.pools])
    whole = [outcomes["best_of_n", 8, problem.id] for problem in PROBLEMS]
    np.testing.assert_array_equal(study.curve("best_of_n", [8])[0], whole)


def test_a_share_that_rounds_past_one_is_one(study, monkeypatch):
    beyond = np.nextafter(1.0, 2.0)
    monkeypatch.setattr("outthink.study.read.pools.curve", lambda *_: np.full((2, 100), beyond))
    assert replace(study).grid.accuracy.max() == 1


def test_a_study_reads_outcomes_once(study, monkeypatch):
    fresh, calls = replace(study), []
    outcomes = View.outcomes
    monkeypatch.setattr(View, "outcomes", lambda *a, **k: calls.append(1) or outcomes(*a, **k))
    fresh.grid, fresh.usage("beam", 4), fresh.usage("majority", 1)
    assert len(calls) == 1


def test_a_smaller_budget_of_a_pool_costs_its_share(study):
    whole, half = study.usage("best_of_n", 8), study.usage("best_of_n", 4)
    assert (whole.generations, half.generations) == (800, 400)
    assert half.decoded_tokens == pytest.approx(whole.decoded_tokens / 2, abs=50)  # 100 problems
    unverified = study.usage("majority", 8)
    assert (unverified.verifier_tokens, unverified.verifier_attended) == (0, 0)


@dataclass
class Even:
    """Both engines; every prompt and every solution is of one length, no two of them alike."""

    shared: int
    """Tokens of the prompt that the rows of a problem share."""
    name: str = "even"

    def propose_batch(self, draws):
        return [
            Drawn(
                replace(
                    draw.prefix,
                    tokens=(draw.seed % 2**30,) * 6,
                    step_ends=(6,),
                    finished=True,
                    answer="right",
                ),
                prompt_tokens=10 + 6 * len(draw.prefix.history),
                cached_tokens=0,
                decoded_tokens=6,
                shared_tokens=0 if draw.prefix.history else self.shared,
            )
            for draw in draws
        ]

    def decode(self, tokens):
        return ""

    def verify_batch(self, solutions):
        return [
            Verified(
                Scores((0.5,)),
                16 + 6 * len(solution.history),
                0,
                0 if solution.history else self.shared,
            )
            for solution in solutions
        ]


@pytest.mark.parametrize("shared", [0, 4, 10])
def test_the_share_of_a_pool_is_what_drawing_it_alone_would_cost(tmp_path, shared):
    plan, engine = Plan(("best_of_n",), (1, 3, 8), 8, 0, 0, 0), Even(shared)
    with open_store(tmp_path / "a.store") as store:
        study = measured(store, plan, PROBLEMS[:3], Team.of(engine, engine))
        for budget in plan.budgets:
            jobs = [Job(p, strategy("best_of_n"), Budget(budget)) for p in PROBLEMS[:3]]
            expected = sum((outcome.usage for outcome in alone(engine, jobs)), Usage())
            assert study.usage("best_of_n", budget) == expected


# Chains ------------------------------------------------------------------------------------------

SPLITS = ("revise(sequential=1)", "revise(sequential=2)", "revise", "revise(answer=majority)")
CHAINED = Plan(("best_of_n", *SPLITS, "revise(sequential=3)"), (1, 2, 4), 4, 4, 0, 0)


@pytest.mark.parametrize("shared", [0, 4, 10])
def test_chains_of_a_pool_cost_what_drawing_them_alone_would(tmp_path, shared):
    plan, engine = replace(CHAINED, strategies=SPLITS, budgets=(1, 2, 4, 8), chains=8), Even(shared)
    of = PROBLEMS[:3]
    with open_store(tmp_path / "a.store") as store:
        study = measured(store, plan, of, Team.of(engine, engine))
        for name in plan.strategies:
            for budget in plan.budgets:
                jobs = [Job(p, strategy(name), Budget(budget)) for p in of]
                expected = sum((outcome.usage for outcome in alone(engine, jobs)), Usage())
                assert study.usage(name, budget) == expected, (name, budget)


@pytest.fixture(scope="module")
def chained(tmp_path_factory):
    with open_store(tmp_path_factory.mktemp("chained") / "a.store") as store:
        yield sweep(store, CHAINED, PROBLEMS[:20])


def test_splits_into_powers_of_two_are_read_from_one_pool_and_others_are_run(chained):
    assert (CHAINED.pooled, CHAINED.chained) == (("best_of_n",), SPLITS)
    assert CHAINED.live == ("revise(sequential=3)",)
    jobs = {(o.strategy, o.budget) for o in chained.view.outcomes()}
    assert jobs == {
        ("best_of_n", 4),
        ("chains", 4),
        *(("revise(sequential=3)", n) for n in (1, 2, 4)),
    }


def test_the_grid_has_the_accuracy_of_chains(chained):
    grid = chained.grid
    row = grid.strategies.index("revise(sequential=2)")
    for column, budget in enumerate(CHAINED.budgets):
        wanted = [pool.accuracy(budget, 2, HIERARCHICAL) for pool in chained.chains]
        np.testing.assert_array_equal(grid.accuracy[row, column], wanted)
    flat = grid.strategies.index("revise(answer=majority)")
    wanted = [pool.accuracy(4, 4, AnswerAggregation.MAJORITY) for pool in chained.chains]
    np.testing.assert_array_equal(grid.accuracy[flat, 2], wanted)
    ran = {
        o.problem_id: o.right
        for o in chained.view.outcomes()
        if o.budget == 4 and "3" in o.strategy
    }
    np.testing.assert_array_equal(grid.accuracy[-1, 2], [ran[p.id] for p in PROBLEMS[:20]])


def test_without_a_pool_of_chains_every_split_is_run():
    plan = replace(CHAINED, chains=0)
    assert plan.chained == () and plan.live == (*SPLITS, "revise(sequential=3)")


@pytest.mark.parametrize("option", ["window=2", "step=min", "answer=weighted", "answer=max"])
def test_what_a_pool_of_chains_does_not_know_is_run(option):
    name = f"revise({option})"
    assert replace(CHAINED, strategies=(name,)).live == (name,)


def test_flat_votes_alone_draw_chains_without_scores(tmp_path):
    plan = replace(CHAINED, strategies=("revise(answer=majority)",))
    with open_store(tmp_path / "a.store") as store:
        found = sweep(store, plan, PROBLEMS[:5], None)
        assert {o.strategy for o in store.view().outcomes()} == {"chains(scored=no)"}
        assert found.usage("revise(answer=majority)", 4).verifier_tokens == 0
        assert found.usage("revise(answer=majority)", 4).generations == 20
        assert found.grid.accuracy.shape == (1, 3, 5)


def test_a_flat_vote_is_not_charged_for_scores_that_others_wanted(chained):
    flat, voted = (chained.usage(name, 4) for name in ("revise(answer=majority)", "revise"))
    assert (flat.verifier_tokens, flat.verifier_attended) == (0, 0) != (voted.verifier_tokens, 0)
    assert flat.decoded_tokens == voted.decoded_tokens


def test_chains_are_drawn_by_their_own_engines_and_not_again_resume(tmp_path):
    plain, reviser = Counted(ScriptedProposer()), Counted(ScriptedProposer(), name="reviser")
    team = Team.of(
        plain,
        Counted(ScriptedVerifier()),
        reviser=reviser,
        revision_verifier=Counted(ScriptedVerifier(), name="revision verifier"),
    )
    with open_store(tmp_path / "a.store") as store:
        for _ in range(2):
            measured(store, CHAINED, PROBLEMS[:5], team)
        assert len(plain.rows) == 5 * 4
        # Of chains of three, a budget shares with the pool and with smaller ones what they share.
        assert len(reviser.rows) == len({row.seed for row in reviser.rows}) <= 5 * (8 + 1 + 2 + 4)


class Line(Progress):
    """A progress line that remembers where it began, where it was to end, and where it did."""

    made: ClassVar = []

    def __init__(self, label, total, unit, *, done=0.0):
        super().__init__(label, total, unit, done=done)
        self.began, self.total, self.at, self.unit = done, total, [done], unit
        Line.made.append(self)

    def advance(self, amount, note=""):
        self.at.append(self.at[-1] + amount)


def test_the_progress_of_a_sweep_is_in_generations_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("outthink.study.run.Progress", Line)
    plan = replace(CHAINED, strategies=("best_of_n", "revise", "revise(sequential=3)", "beam"))
    team = Team.of(ScriptedProposer(), ScriptedVerifier())
    with open_store(tmp_path / "a.store") as store:
        for of in (2, 5, 5):
            measured(store, plan, PROBLEMS[:of], team)
    # Pools of four answers and of chains (4 + 2 + 1 + 1), the other revisions, and beams.
    each = 4 + 8 + (1 + 2 + 4) + (2 + 4)
    assert [(line.began, line.total) for line in Line.made] == [
        (0, 2 * each),
        (2 * each, 5 * each),
        (5 * each, 5 * each),
    ]
    assert [line.at[-1] for line in Line.made] == pytest.approx([2 * each, 5 * each, 5 * each])
    assert all(line.unit == "generations" for line in Line.made)
    assert len(Line.made[0].at) > 2 * 7  # more often than searches end


def test_best_of_n_by_another_step_is_read_from_the_same_pool(tmp_path):
    names = tuple(f"best_of_n(step={step})" for step in ("min", "prod", "mean"))
    plan = Plan(("best_of_n", *names), (1, 4), 4, 0, 0, 0)
    of = PROBLEMS[:40]
    with open_store(tmp_path / "a.store") as store:
        study = sweep(store, plan, of, ScriptedVerifier(noise=0.9))
        assert {o.strategy for o in store.view().outcomes()} == {"best_of_n"}
        for name in names:
            team = Team.of(ScriptedProposer(), ScriptedVerifier(noise=0.9))
            jobs = [Job(p, strategy(name), Budget(4)) for p in of]
            ran = {r.job.problem.id: r.outcome.right for r in results(team, jobs, grader=same)}
            np.testing.assert_array_equal(study.curve(name, [4])[0], [ran[p.id] for p in of])
        curves = {tuple(study.curve(name, [4])[0]) for name in ("best_of_n", *names)}
        assert len(curves) > 2


def test_predicted_difficulty_of_fewer_samples_reads_the_first_of_them(study):
    whole = study.predicted_at(PLAN.predicted_samples)
    np.testing.assert_array_equal(whole.values, study.predicted.values)
    fewer = study.predicted_at(2)
    assert (fewer.samples, whole.samples) == (2, 4)
    for problem, value in zip(study.problems, fewer.values, strict=True):
        _, scores = study.view.pool(problem.id, "best_of_n", 4, DIFFICULTY)
        assert value == pytest.approx(np.mean(scores[:2]), abs=1e-6)


def test_a_study_that_was_not_finished_says_what_to_do(study):
    wider = replace(study, plan=replace(PLAN, budgets=(1, 4, 8)))
    with pytest.raises(UsageError, match=r"beam at 8 was not run on problem 'p0'.*outthink sweep"):
        wider.grid  # noqa: B018


def test_majority_alone_needs_no_verifier(tmp_path):
    with open_store(tmp_path / "a.store") as store:
        plan = Plan(("majority",), (1, 4), 8, 0, 0, 0)
        found = sweep(store, plan, PROBLEMS[:5], None)
        assert found.grid.accuracy.shape == (1, 2, 5)
        assert found.usage("majority", 4).verifier_tokens == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"strategies": ()}, "at least one strategy"),
        ({"budgets": ()}, "at least one strategy"),
        ({"budgets": (0, 1)}, "below 1"),
        ({"budgets": (4, 1)}, "rising order"),
        ({"budgets": (1, 512)}, "smaller than the largest budget"),
        ({"strategies": ("beam", "beam(width=4)")}, "beam is given twice"),
        ({"strategies": ("beem",)}, "unknown strategy"),
        ({"oracle_samples": -1}, "give 0 for none"),
        ({"strategies": ("revise",), "budgets": (4, 8), "chains": 2}, "at least as large"),
        ({"strategies": ("revise",), "chains": 96}, "a power of two and at least as large"),
        ({"strategies": ("revise",), "budgets": (1, 3), "chains": 4}, "give powers of two, or no"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        Plan(**options)


def test_a_plan_writes_strategies_by_their_one_name():
    assert Plan(("beam(width=4)",)).strategies == ("beam",)


def few_of(study, count):
    return Study(study.plan, study.problems[:count], study.view, study.asked)


def test_a_fit_needs_a_baseline_and_a_difficulty(study):
    for plan, said in (
        (replace(PLAN, strategies=("beam",)), "ran neither"),
        (replace(PLAN, predicted_samples=0), "--difficulty-samples"),
    ):
        with pytest.raises(UsageError, match=said):
            fit_study(replace(study, plan=plan), seed=0)
    for few in (0, 1):
        with pytest.raises(UsageError, match="give at least 2"):
            fit_study(few_of(study, few), seed=0)


@pytest.mark.parametrize(
    ("problems", "bins"), [(2, 1), (3, 1), (19, 1), (39, 1), (40, 2), (99, 4), (100, 5)]
)
def test_few_problems_fill_few_bins_and_say_how_wide_that_is(study, problems, bins):
    found = fit_study(few_of(study, problems), seed=0)
    assert found.policy.binning.count == bins
    sizes = np.bincount(found.predicted.bins)
    assert sizes.size == bins and (bins == 1 or sizes.min() >= 20)
    notes = found.notes
    assert bool(notes) == (bins < 5)
    if notes:
        widths = [100 * (c.accuracy.high - c.accuracy.low) for c in found.predicted.cells]
        assert f"{min(widths):.0f} to {max(widths):.0f} points wide" in notes[0]
        assert len(notes) == 1 + (problems < 20)


def test_a_fit_compares_at_every_budget(study):
    result = fit_study(study, seed=0)
    assert result.oracle is not None
    assert result.baseline.shape == (len(PLAN.pool_budgets), 100)
    costs = [row.equivalence.cost for row in result.versus_baseline]
    assert costs == [1, 4, 5, 8, 1, 4]  # predicted; with its 4 samples charged; oracle
    assert [row.charged for row in result.versus_baseline] == [False] * 2 + [True] * 2 + [False] * 2
