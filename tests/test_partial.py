"""Sweeps of few problems, that failed in part or were killed: what they show."""

import asyncio
import json
import sqlite3
from dataclasses import replace

import numpy as np
import pytest
from fake_server import FakeServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outthink.cli import main
from outthink.measure.difficulty import LEAST_PER_BIN
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.policy.fit import fit_study, lacks
from outthink.policy.table import Policy
from outthink.report.data import Provenance
from outthink.report.study import build
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.study import failures, partial
from outthink.study.plan import DIFFICULTY, Plan
from outthink.study.record import Asked
from outthink.study.run import engines_of, run

PLAN = Plan(
    ("majority", "best_of_n", "beam"), (1, 4), pool=8, oracle_samples=4, predicted_samples=2
)


def same(answer, reference):
    return answer == reference


TEAM = Team.of(ScriptedProposer(), ScriptedVerifier())


def swept(path, plan, problems, team=TEAM):
    """Run a plan into a new store."""
    with Store.open(path, write=True) as store:
        running = run(plan, problems, team, grader=same, grader_name="exact", seed=0, store=store)
        asyncio.run(running)


def there(store, problems, plan=PLAN):
    """What is there of a plan, and what is missing."""
    who, ids = engines_of(TEAM, 0), tuple(problem.id for problem in problems)
    asked = Asked(plan, "scripted", ids, "", who, "exact", 0)
    return partial.known(asked, problems, store.view(who, "exact"), store)


def wire(capsys, *words):
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# Few problems ------------------------------------------------------------------------------------

LAB = ["--strategies", "majority,best_of_n,beam", "--budgets", "1,4", "--pool", "4"]
LAB += ["--oracle-samples", "4", "--difficulty-samples", "2"]


@pytest.mark.parametrize(
    ("problems", "bins"), [(1, None), (2, 1), (5, 1), (19, 1), (39, 1), (40, 2), (99, 4)]
)
def test_few_problems_are_fitted_and_reported(problems, bins, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", f"lab:test?size={problems}&seed=3", "-o", "a.store", *LAB]) == 0
    reported = wire(capsys, "report", "a.store")
    page = (tmp_path / "report.html").read_text()
    assert reported["graded"] == problems and reported["rows"]
    assert all(note.split("'")[0] in page for note in reported["notes"])
    if bins is None:
        assert "cells" not in reported
        assert any(
            note.startswith("No table: a policy is chosen on half of") for note in reported["notes"]
        )
        return
    fitted = wire(capsys, "fit", "--kind", "table", "a.store", "-o", "p.json")
    assert {cell["bin"] for cell in fitted["cells"]} == set(range(1, bins + 1))
    assert f"{problems} problems fill {bins} difficulty bin" in fitted["notes"][0]
    assert "points wide" in fitted["notes"][0]
    assert ("narrower than the truth" in fitted["notes"][-1]) == (problems < LEAST_PER_BIN)
    assert Policy.load(tmp_path / "p.json").binning.count == bins
    solved = wire(capsys, "solve", "40713 *7 *13", "--policy", "p.json", "--budget", "4")
    assert 1 <= solved["bin"] <= bins
    assert main(["fit", "--kind", "table", "a.store", "-o", "p.json"]) == 0
    assert f"note: {fitted['notes'][0]}" in capsys.readouterr().out


def test_a_demo_of_few_problems_is_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("outthink.cli.demo.PLAN", Plan(("best_of_n",), (1, 2), 2, 0, 2, 2))
    told = wire(capsys, "demo", "--problems", 2)
    assert {cell["bin"] for cell in told["cells"]} == {1}
    assert main(["demo", "--problems", "2"]) == 0
    assert "note: 2 problems fill 1 difficulty bin of" in capsys.readouterr().out


# Failures ----------------------------------------------------------------------------------------

SERVED = ["--budgets", "1,4", "--pool", "4", "--oracle-samples", "0", "--difficulty-samples", "2"]
SERVED += ["--verifier", "confidence", "--strategies", "best_of_n,beam"]


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """What fails is tried again without a pause."""
    monkeypatch.setattr("outthink.models.http.RetryPolicy.wait_s", lambda *_: 0.0)


@pytest.fixture
def lost(tmp_path, monkeypatch):
    """A served sweep of 12 problems, of which the two with the longest questions failed."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": f"p{i}", "question": f"problem {i}" + " hard" * 9 * (i < 2), "answer": "right"}
        for i in range(12)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with FakeServer("vllm") as server:
        server.lost = "hard"
        words = ["sweep", "p.jsonl?grader=exact", "-o", "a.store", "--model", server.url, *SERVED]
        assert main(words) == 1
        yield server, words


def test_failed_searches_leave_a_store_that_fits_and_says_what_is_missing(lost, capsys, tmp_path):
    told = wire(capsys, "fit", "--kind", "table", "a.store", "-o", "p.json")
    assert told["problems"] == 12
    assert json.loads((tmp_path / "p.json").read_text())["provenance"]["problems"] == 10
    first, why, how, *_ = told["notes"]
    assert first.startswith(
        "The sweep is not finished: 30 of 36 searches are done, 6 failed, 0 were"
    )
    assert "goes on where it stopped" in first
    assert why.startswith("Why they failed: 6 of ServerError: ")
    assert how.startswith("Figures are of the 10 of 12 problems that have every search shown.")
    assert "0.83 a over all 12 were the 2 left out all wrong, and of 0.83 a + 0.17" in how
    assert any("ask in 54 letters, those shown in 9 (medians)" in note for note in told["notes"])
    reported = wire(capsys, "report", "a.store")
    assert reported["missing"]["failed"] == 6
    assert (reported["problems"], reported["graded"]) == (12, 10)
    for row in reported["rows"]:
        low, high = row["bounds"]
        assert low == pytest.approx(row["accuracy"] * 10 / 12)
        assert high == pytest.approx((row["accuracy"] * 10 + 2) / 12)
    page = (tmp_path / "report.html").read_text()
    assert "The sweep is not finished: 30 of 36 searches are done" in page
    assert main(["report", "a.store"]) == 0
    out, _ = capsys.readouterr()
    assert "were those left out all wrong, and all right" in out
    assert "note: Why they failed: 6 of ServerError" in out


def test_what_failed_and_then_succeeded_is_missed_no_more(lost, capsys):
    server, words = lost
    server.lost = None
    assert main(words) == 0
    told = wire(capsys, "report", "a.store")
    assert "missing" not in told
    assert not any("not finished" in note for note in told["notes"])
    assert "bounds" not in told["rows"][0]


def test_every_problem_failed_and_the_report_opens_all_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"p{i}", "question": f"problem {i}", "answer": "right"} for i in range(3)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with FakeServer("vllm") as server:
        server.lost = "problem"
        words = ["sweep", "p.jsonl?grader=exact", "-o", "a.store", "--model", server.url, *SERVED]
        assert main(words) == 1
    assert "'outthink report' go by what is there" in capsys.readouterr().err
    told = wire(capsys, "report", "a.store")
    assert (told["problems"], told["graded"], told["rows"]) == (3, 0, [])
    assert told["missing"]["failed"] == 9
    assert "This report holds no accuracy yet." in (tmp_path / "report.html").read_text()
    assert main(["fit", "--kind", "table", "a.store", "-o", "p.json"]) == 2
    assert "no problems are there with a reference and every search" in capsys.readouterr().err


def test_problems_without_references_are_reported_too(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.jsonl").write_text('{"prompt": "40713 *7 *3"}\n{"prompt": "40713 *7 *9"}\n')
    assert main(["sweep", "p.jsonl", "-o", "a.store", *LAB]) == 0
    told = wire(capsys, "report", "a.store")
    assert (told["problems"], told["graded"], told["rows"]) == (2, 0, [])


# Killed anywhere ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished sweep of 30 problems, and its problems."""
    path = tmp_path_factory.mktemp("partial") / "a.store"
    problems = scripted_problems(30)
    swept(path, PLAN, problems)
    return path, problems


@pytest.fixture
def copied(whole, tmp_path):
    path, problems = whole
    (tmp_path / "a.store").write_bytes(path.read_bytes())
    return tmp_path / "a.store", problems


def forget(path, where, *values):
    """Take outcomes away, as if their searches had not ended."""
    with sqlite3.connect(path) as database:
        database.execute(
            "DELETE FROM search WHERE id IN (SELECT j.id FROM search j JOIN problem p"
            f" ON p.id = j.problem WHERE {where})",
            values,
        )
    database.close()


def known(path, problems):
    """What there is, and what is missing."""
    with Store.open(path, write=False) as store:
        study, missing = there(store, problems)
        if study.problems and study.strategies:
            assert study.grid.problems  # reads it while the store is open
        return study, missing


def shown(path, problems):
    """The same, and the page of it."""
    with Store.open(path, write=False) as store:
        study, missing = there(store, problems)
        fitting = fit_study(study, seed=0) if lacks(study) is None else None
        made = build(
            study,
            fitting,
            provenance=Provenance("s", ("v",), "d", len(study.problems), 0, "0", "c"),
            text=None,
            title="t",
        )
        return study, missing, made


def test_a_finished_sweep_lacks_nothing(whole):
    study, missing, _ = shown(*whole)
    assert missing is None
    assert len(study.problems) == 30 and not study.absent


def test_killed_before_its_searches_a_sweep_shows_its_pool(copied):
    path, problems = copied
    forget(path, "j.strategy = 'beam'")
    study, missing, made = shown(path, problems)
    assert len(study.problems) == 30
    assert missing.absent == ("beam at 4",)
    assert (missing.done, missing.searches, missing.failed, missing.left_out) == (90, 120, 0, 0)
    assert missing.likeness is None
    curves = {curve.strategy: [p.budget for p in curve.points] for curve in made.curves}
    # A beam of one is a sample of the pool, which is there.
    assert curves == {"majority": [1, 4], "best_of_n": [1, 4], "beam": [1]}
    assert made.comparison is not None


def test_killed_before_its_pool_a_sweep_shows_its_beams(copied):
    path, problems = copied
    forget(path, "j.strategy = 'best_of_n' AND j.stream = ''")
    study, missing, made = shown(path, problems)
    assert missing.absent == ("best_of_n at 8",)
    assert {c.strategy: [p.budget for p in c.points] for c in made.curves} == {"beam": [4]}
    assert study.plan.budgets == (4,)
    assert made.comparison is None
    assert "ran neither" in lacks(study)


def test_killed_in_the_middle_of_a_kind_the_larger_part_is_shown(copied):
    path, problems = copied
    forget(path, "j.strategy = 'beam' AND p.id > 25")
    study, missing, _ = shown(path, problems)
    assert len(study.problems) == 25 and missing.absent == ()  # 25 problems x 4 kinds
    forget(path, "j.strategy = 'beam' AND p.id > 5")
    study, missing, _ = shown(path, problems)
    assert len(study.problems) == 30 and missing.absent == ("beam at 4",)  # 30 x 3


def test_problems_left_out_are_compared_with_those_shown(copied):
    path, problems = copied
    with Store.open(path, write=False) as store:
        full, _ = there(store, problems)
        right = np.array([pool.right.mean() for pool in full.pools])
    hard = [problems[place].id for place in np.argsort(right, kind="stable")[:6]]
    marks = ",".join("?" * len(hard))
    forget(path, f"j.strategy = 'beam' AND p.name IN ({marks})", *hard)
    _, missing, _ = shown(path, problems)
    like = missing.likeness
    assert (like.known, missing.left_out) == (6, 6)
    assert like.pass_at_1 < like.pass_at_1_shown
    assert "harder, so the figures flatter" in missing.sentences()[-1]
    forget(path, f"p.name IN ({marks})", *hard)
    _, missing, _ = shown(path, problems)
    assert missing.likeness.pass_at_1 is None
    assert "how hard they are is not known" in missing.sentences()[-1]


def test_difficulty_that_was_not_drawn_leaves_no_policy(copied):
    path, problems = copied
    forget(path, "j.stream = ?", DIFFICULTY)
    study, missing, made = shown(path, problems)
    assert missing.absent == ("majority at 4 (for difficulty)", "best_of_n at 2 (for difficulty)")
    assert (study.plan.oracle_samples, study.plan.predicted_samples) == (0, 0)
    assert "predicts no difficulty" in lacks(study)
    assert made.curves and not made.policies


places = st.integers(1, 30)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lost=st.sets(st.tuples(places, st.integers(0, 3)), max_size=30),
    all_of=st.sets(st.integers(0, 3), max_size=3),
)
def test_whatever_is_missing_the_rest_is_shown_and_adds_up(whole, tmp_path_factory, lost, all_of):
    source, problems = whole
    path = tmp_path_factory.mktemp("killed") / "a.store"
    path.write_bytes(source.read_bytes())
    kinds = PLAN.kinds
    gone = lost | {(place, kind) for kind in all_of for place in range(1, 31)}
    with sqlite3.connect(path) as database:
        ids = {
            (place, name, budget, stream): job
            for job, place, name, budget, stream in database.execute(
                "SELECT id, problem, strategy, budget, stream FROM search"
            )
        }
        jobs = [(ids[place, *kinds[kind]],) for place, kind in gone]
        database.executemany("DELETE FROM search WHERE id = ?", jobs)
    database.close()
    study, missing = known(path, problems)
    if missing is None:
        assert not gone
        return
    assert missing.done == 30 * 4 - len(gone)
    assert missing.shown + missing.left_out == 30
    assert missing.shown == len(study.problems) > 0
    has = {
        kind: {problems[p - 1].id for p in range(1, 31) if (p, kind) not in gone}
        for kind in range(4)
    }
    kept = [kind for kind in range(4) if {p.id for p in study.problems} <= has[kind]]
    # Nothing larger could be shown.
    assert len(kept) * missing.shown >= max(map(len, has.values()))
    assert len(missing.absent) >= 4 - len(kept)
    known_cells = ~np.isnan(study.grid.accuracy).all(axis=2) if study.strategies else np.zeros(1)
    assert known_cells.sum() == sum(
        study.is_known(name, budget) for name in PLAN.strategies for budget in study.plan.budgets
    )


def test_a_pool_of_chains_that_is_missing_takes_its_splits_along(tmp_path):
    plan = Plan(
        ("best_of_n", "revise(sequential=2)"), (1, 4), 4, 4, oracle_samples=0, predicted_samples=2
    )
    problems = scripted_problems(4)
    path = tmp_path / "a.store"
    swept(path, plan, problems)
    forget(path, "j.strategy = 'chains'")
    with Store.open(path, write=False) as store:
        study, missing = there(store, problems, plan)
        assert study.strategies == ("best_of_n",)
        assert missing.absent == ("chains at 4",)
        assert study.grid.accuracy.shape == (2, 2, 4)
        assert np.isnan(study.grid.accuracy[1]).all()
        assert lacks(study) is None
    forget(path, "j.strategy = 'best_of_n' AND j.stream = ''")
    with Store.open(path, write=False) as store:
        study, _ = there(store, problems, plan)
        assert study.strategies == ()


def test_a_sweep_killed_before_its_first_problem_is_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("outthink.study.sweep.run", interrupted)
        assert main(["sweep", "lab:test?size=9", "-o", "a.store", *LAB]) == 130
    told = wire(capsys, "report", "a.store")
    assert (told["problems"], told["graded"], told["rows"]) == (9, 0, [])
    assert any("not begun" in note or "No table" in note for note in told["notes"])


def test_failures_are_kept_by_search_and_the_last_counts(tmp_path):
    swept(tmp_path / "a.store", PLAN, scripted_problems(2))
    with Store.open(tmp_path / "a.store", write=True) as store:
        first, second = list(store.view().outcomes())[:2]
        failures.record(store, replace(first, error="RunError: old"), "")
        failures.record(store, replace(first, error="RunError: new"), "")
        failures.record(store, replace(second, error="RunError: other"), DIFFICULTY)
        found = failures.recorded(store)
    assert found == {
        (first.problem_id, first.strategy, first.budget, ""): "RunError: new",
        (second.problem_id, second.strategy, second.budget, DIFFICULTY): "RunError: other",
    }
