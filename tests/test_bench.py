"""The benches: every figure has its name, its unit and its interval."""

import json

import pytest
from contract import results

from outthink.bench.engine import Timed, engine, strategies
from outthink.errors import UsageError
from outthink.lab.models import SHIPPED, LabModels
from outthink.lab.roofline import roofline
from outthink.models.scripted import ScriptedProposer, scripted_problems
from outthink.run.journal import Job, NoJournal
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import SEARCHES, strategy
from outthink.study.every import every
from outthink.study.models import Models
from outthink.study.plan import Plan
from outthink.study.sweep import Sweep
from outthink.types import PROPOSER, REVISER, REVISION_VERIFIER, VERIFIER, Budget

PLAN = Plan(
    ("majority", "best_of_n(answer=max)", "best_of_n", "beam"),
    (1, 4),
    pool=4,
    oracle_samples=4,
    predicted_samples=0,
)


def test_strategies_compares_pairs_on_the_same_problems():
    found = strategies(Sweep("lab:test?size=10&seed=5", PLAN, seed=5), store=None)
    json.dumps(found, allow_nan=False)
    assert found["problems"] == 10
    assert [(row["strategy"], row["budget"]) for row in found["rows"]] == [
        (name, budget) for name in PLAN.strategies for budget in PLAN.budgets
    ]
    for row in found["rows"]:
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert len(row["bins"]) == 5
        assert sum(row["bins"]) / 5 == pytest.approx(row["accuracy"])
    accuracy = {(row["strategy"], row["budget"]): row["accuracy"] for row in found["rows"]}
    for pair in found["pairs"]:
        assert pair["low"] <= pair["difference"] <= pair["high"]
        if pair["bins"] is None:
            difference = accuracy[pair["a"], 4] - accuracy[pair["b"], 4]
            assert pair["budget"] == 1 or pair["difference"] == pytest.approx(difference)
        else:
            assert (pair["bins"], pair["problems"]) == ([3, 4], 4)


def test_strategies_tells_what_is_above_beam_and_what_is_not():
    found = strategies(Sweep("lab:test?size=10&seed=5", PLAN, seed=5), store=None)
    accuracy = {(row["strategy"], row["budget"]): row for row in found["rows"]}
    assert [(row["strategy"], row["budget"]) for row in found["against"]] == [
        (name, budget) for name in PLAN.strategies[:-1] for budget in PLAN.budgets
    ]
    for row in found["against"]:
        ours, beams = accuracy[row["strategy"], row["budget"]], accuracy["beam", row["budget"]]
        assert (row["low"] > 0, row["high"] < 0) == (
            row["verdict"] == "above",
            row["verdict"] == "below",
        )
        assert [one["problems"] for one in row["bins"]] == [2] * 5
        if row["budget"] > 1:
            for one, a, b in zip(row["bins"], ours["bins"], beams["bins"], strict=True):
                assert one["difference"] == pytest.approx(a - b)


def test_all_strategies_are_those_that_the_models_can_run():
    lab, text = every(Models()), every(Models(proposer="http://localhost:1"))
    assert {name.partition("(")[0] for name in text} == set(SEARCHES)
    in_words = {"debate", "genselect", "gensynthesis", "groupwise", "usc"}
    left_out = set(SEARCHES) - {name.partition("(")[0] for name in lab}
    assert left_out == in_words | {"budget_forcing"}
    assert "knockout(by=verifier)" in lab and "knockout" in text
    # Every role that writes has a model: nothing is refused once it runs.
    for name in lab:
        assert strategy(name).about.roles <= {PROPOSER, VERIFIER, REVISER, REVISION_VERIFIER}, name
    assert not [name for name in lab if name.startswith("best_of_n(by=")]
    assert "beam" not in every(Models(verifier="none"))
    Plan(lab), Plan(text)


def test_strategies_wants_a_problem_a_bin():
    with pytest.raises(UsageError, match="at least 5 problems"):
        strategies(Sweep("lab:test?size=4", PLAN), store=None)


def test_engine_names_its_figures_with_units():
    found = engine(problems=3, pool=8, weights=None)
    json.dumps(found, allow_nan=False)
    for label in ("best_of_n_64", "beam_16"):
        assert 0 < found[f"{label}_forward_share_of_wall_seconds"] < 1
        assert 0 < found[f"{label}_forward_share_of_worker_seconds"] < 1
        assert 1 <= found[f"{label}_verifier_tokens_computed_per_token"] <= 1.05
    assert found["pool_solutions"] == 24
    assert min(found["s_decoded_tokens_per_second"], found["l_decoded_tokens_per_second"]) > 0
    assert found["pool_peak_memory_bytes"] > 1e7
    assert found["store_bytes_per_solution"] > 0
    assert found["store_rows_written_per_second"] > 0


def test_the_roofline_tells_what_a_token_takes_and_its_share_of_the_machine():
    figures = roofline(LabModels(SHIPPED).proposer("s"), rows=16)
    shares = {name: figure for name, figure in figures.items() if "_share_of_" in name}
    assert len(shares) == 3
    assert all(0 < share < 1.5 for share in shares.values())
    # 198,016 weights are multiplied, and 32 positions of 64 units in 4 layers attended to.
    assert figures["s_operations_per_token"] == 2 * 198_016 + 4 * 32 * 64 * 4


def test_a_timed_journal_changes_nothing(tmp_path):
    jobs = [Job(problem, strategy("majority"), Budget(4)) for problem in scripted_problems(3)]
    team = Team.of(ScriptedProposer())
    plain = results(team, jobs, journal=NoJournal())
    with Store.open(tmp_path / "a.store", write=True) as store:
        timed = Timed(store)
        found = results(team, jobs, journal=timed)
        assert store.counts().searches == 3
        again = results(team, jobs, journal=timed)
    assert [r.outcome.answer for r in plain] == [r.outcome.answer for r in found]
    assert [r.outcome.answer for r in plain] == [r.outcome.answer for r in again]
    assert timed.seconds > 0
