"""A finished store grows: whatever is added to it, in any order, exactly the difference is paid."""

import asyncio
import json
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
from contract import Counted
from hypothesis import given, settings
from hypothesis import strategies as st

from outthink.cli import main
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.run.store import Store
from outthink.run.store.codec import unpack_keys
from outthink.run.team import Team
from outthink.study import sweep as sweeps
from outthink.study.models import Models
from outthink.study.partial import known
from outthink.study.plan import Plan
from outthink.study.record import Asked
from outthink.study.results import accuracies
from outthink.study.run import engines_of, run
from outthink.study.verifiers import scored_by, side_by_side

# Scripted engines that count ---------------------------------------------------------------------


PLAN = Plan(("majority", "best_of_n"), (1, 4), pool=4, oracle_samples=4, predicted_samples=2)


@dataclass(frozen=True)
class Asks:
    """A sweep."""

    plan: Plan = PLAN
    problems: int = 2
    verifier: str = "one"
    grader: str = "strict"


ADD = {
    "strategies": lambda plan: replace(plan, strategies=(*plan.strategies, "beam", "lookahead")),
    "budgets": lambda plan: replace(plan, budgets=(1, 4, 8), pool=max(8, plan.pool)),
    "pool": lambda plan: replace(plan, pool=16),
    "chains": lambda plan: replace(
        plan,
        strategies=(*plan.strategies, "revise(sequential=2)", "revise(sequential=3)"),
        chains=8,
    ),
    "samples": lambda plan: replace(plan, oracle_samples=8, predicted_samples=4),
}
CHANGE = {"problems": 4, "verifier": "other", "grader": "lenient"}


def adding(asked, what):
    if what in ADD:
        return replace(asked, plan=ADD[what](asked.plan))
    return replace(asked, **{what: CHANGE[what]})


def strict(answer, reference):
    return answer == reference


def lenient(answer, reference):
    return not answer.endswith("0")


@dataclass
class Paid:
    """Rows that engines and a grader were asked for."""

    draws: int
    scores: int
    verdicts: int


def swept(path, asked):
    """Run a sweep into a store; what was paid for it, and what it says."""
    proposer = Counted(ScriptedProposer(max_steps=4, mischief=0.1), name="proposer")
    noise = {"one": 0.4, "other": 0.8}[asked.verifier]
    verifier = Counted(ScriptedVerifier(noise=noise, silence=0.1), name=asked.verifier)
    team = Team.of(proposer, verifier)
    judged = []

    def grade(answer, reference):
        judged.append(answer)
        return {"strict": strict, "lenient": lenient}[asked.grader](answer, reference)

    problems = scripted_problems(asked.problems)
    who, ids = engines_of(team, 0), tuple(problem.id for problem in problems)
    with Store.open(path, write=True) as store:
        Asked(asked.plan, "scripted", ids, "", who, asked.grader, 0).write(store)
        running = run(
            asked.plan,
            problems,
            team,
            grader=grade,
            grader_name=asked.grader,
            seed=0,
            store=store,
        )
        asyncio.run(running)
    return Paid(len(proposer.rows), len(verifier.rows), len(judged)), read(path)


def read(path, **other):
    """Every figure of the sweep that a store was asked for last."""
    with Store.open(path, write=False) as store:
        asked = replace(Asked.read(store), **other)
        problems = store.problems()[: len(asked.problem_ids)]
        study, missing = known(asked, problems, store.view(asked.team, asked.grader), store)
        assert missing is None
        predicted = study.predicted.values.tolist(), study.oracle.values.tolist()
        return accuracies(study), study.grid.digest, predicted


@dataclass(frozen=True)
class Rows:
    """What a store holds, by what makes each row that row."""

    draws: frozenset
    scores: frozenset
    verdicts: frozenset

    def without(self, other):
        return Paid(
            len(self.draws - other.draws),
            len(self.scores - other.scores),
            len(self.verdicts - other.verdicts),
        )

    def __or__(self, other):
        return Rows(
            self.draws | other.draws, self.scores | other.scores, self.verdicts | other.verdicts
        )


def rows_of(path):
    selects = (
        "SELECT p.name, w.name, d.rows, d.keys FROM draw d JOIN problem p ON p.id = d.problem"
        " JOIN writer w ON w.id = d.writer",
        "SELECT p.name, v.name, s.rows, s.keys FROM score s JOIN problem p ON p.id = s.problem"
        " JOIN verifier v ON v.id = s.verifier",
        "SELECT p.name, g.name, v.answer FROM verdict v JOIN problem p ON p.id = v.problem"
        " JOIN grader g ON g.id = v.grader",
    )
    database = sqlite3.connect(path)
    *keyed, verdicts = [database.execute(select).fetchall() for select in selects]
    tables = [
        [
            (problem, who, key)
            for problem, who, count, keys in rows
            for key in unpack_keys(keys, count)
        ]
        for rows in keyed
    ] + [verdicts]
    database.close()
    assert all(len(rows) == len(set(rows)) for rows in tables)  # nothing is there twice
    return Rows(*map(frozenset, tables))


@cache
def alone(asked):
    """The rows of a sweep into a store of its own, and what it says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.store"
        paid, figures = swept(path, asked)
        rows = rows_of(path)
    assert paid == rows.without(Rows(frozenset(), frozenset(), frozenset()))
    return rows, figures


@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(st.permutations([*ADD, *CHANGE]))
def test_store_grows_by_exactly_the_difference_in_any_order(tmp_path_factory, order):
    path = tmp_path_factory.mktemp("grows") / "a.store"
    asked = Asks()
    swept(path, asked)
    there, _ = alone(asked)
    for what in order:
        asked = adding(asked, what)
        rows, figures = alone(asked)
        paid, grown = swept(path, asked)
        assert paid == rows.without(there), what
        assert grown == figures, what
        there = there | rows
    assert rows_of(path) == there


@pytest.mark.parametrize("what", [*ADD, *CHANGE])
def test_store_grows_and_what_was_asked_before_is_told_as_before(what, tmp_path):
    path = tmp_path / "a.store"
    paid, figures = swept(path, Asks())
    with Store.open(path, write=False) as store:
        first = Asked.read(store)
    swept(path, adding(Asks(), what))
    kept = {"plan": first.plan, "team": first.team, "grader": first.grader}
    assert read(path, problem_ids=first.problem_ids, **kept) == figures
    again, told = swept(path, Asks())
    assert (again, told) == (Paid(0, 0, 0), figures)
    assert paid.draws > 0


def test_store_grows_by_what_a_smaller_sweep_needs_which_is_nothing(tmp_path):
    path = tmp_path / "a.store"
    whole = Asks()
    for what in ("strategies", "budgets", "chains", "problems"):
        whole = adding(whole, what)
    swept(path, whole)
    # A smaller pool is another job, whose rows are there; its live searches are there too.
    paid, figures = swept(path, Asks())
    assert paid == Paid(0, 0, 0)
    assert figures == alone(Asks())[1]


def test_store_grows_by_another_verifier_and_both_stand_side_by_side(tmp_path):
    path = tmp_path / "a.store"
    swept(path, Asks())
    with Store.open(path, write=False) as store:
        assert scored_by(store, Asked.read(store)) == ("one",)
    paid, _ = swept(path, replace(Asks(), verifier="other"))
    assert (paid.draws, paid.verdicts) == (0, 0)
    with Store.open(path, write=False) as store:
        asked = Asked.read(store)
        assert scored_by(store, asked) == ("one", "other")
        view = store.view(asked.team, asked.grader)
        study, _ = known(asked, store.problems(), view, store)
        compared = side_by_side(store, study)
    assert [one.verifier for one in compared] == ["one", "other"]
    assert all(one.budgets == (1, 4) for one in compared)
    for one in compared:
        rows, _, _ = alone(replace(Asks(), verifier=one.verifier))[1]
        weighted = [row.accuracy for row in rows if row.strategy == "best_of_n"]
        assert [*one.weighted] == weighted
        assert one.auc is not None and 0 <= one.auc <= 1
    assert compared[0].auc != compared[1].auc


# Through the commands ----------------------------------------------------------------------------

SWEEP = ["--oracle-samples", "4", "--difficulty-samples", "2"]


def lab(capsys, store, *, size=2, strategies="best_of_n", budgets="1,2", pool=4, more=()):
    words = ["sweep", f"lab:test?size={size}&seed=3", "-o", store, "--strategies", strategies]
    words += ["--budgets", budgets, "--pool", pool, *SWEEP, *more, "--json"]
    capsys.readouterr()
    assert main([*map(str, words)]) == 0
    return json.loads(capsys.readouterr().out)


def wire(capsys, *words):
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


STEPS = {
    "strategies": {"strategies": "best_of_n,majority,beam"},
    "budgets": {"budgets": "1,2,4"},
    "pool": {"pool": 8},
    "problems": {"size": 3},
    "chains": {"more": ("--chains", "4")},
    "verifier": {"more": ("--verifier", "lab:orm")},
}


def together(steps):
    options, more = {}, ()
    for step in steps:
        options |= STEPS[step]
        more += STEPS[step].get("more", ())
        if step == "chains":
            options["strategies"] = options.get("strategies", "best_of_n") + ",revise(sequential=2)"
    return {**options, "more": more}


@pytest.mark.parametrize(
    "order",
    [
        ("strategies", "budgets", "pool", "problems", "chains", "verifier"),
        ("verifier", "problems", "strategies", "pool", "chains", "budgets"),
    ],
)
def test_store_grows_through_the_command(order, tmp_path, capsys):
    grown = tmp_path / "grown.store"
    lab(capsys, grown)
    for count in range(1, len(order) + 1):
        before = rows_of(grown)
        steps = [step for step in STEPS if step in order[:count]]
        told = lab(capsys, grown, **together(steps))
        single = tmp_path / f"{count}.store"
        alone_told = lab(capsys, single, **together(steps))
        assert rows_of(grown) == before | rows_of(single)
        assert told["rows"] == alone_told["rows"]
    reported = wire(capsys, "report", grown, "-o", tmp_path / "grown.html")
    expected = wire(capsys, "report", single, "-o", tmp_path / "single.html")
    for told in (reported, expected):
        told.pop("verifiers", None)
        told.pop("store"), told.pop("report")
    assert reported == expected


@pytest.fixture
def no_models(monkeypatch):
    """Nothing may be loaded, and nothing judged."""

    def forbidden(*_, **__):
        pytest.fail("a model was loaded, or a grader asked")

    def forbid_both():
        monkeypatch.setattr(Models, "team", forbidden)
        monkeypatch.setattr(Store, "keep_verdict", forbidden)

    return forbid_both


def test_store_grows_no_more_and_a_finished_sweep_loads_no_model(tmp_path, capsys, no_models):
    store = tmp_path / "a.store"
    first = lab(capsys, store)
    no_models()
    assert lab(capsys, store) == first
    with sweeps.reopened(store) as opened:
        assert opened.missing is None


def test_fit_and_report_of_a_store_that_grows_load_no_model_and_ask_no_grader(
    tmp_path, capsys, no_models, monkeypatch
):
    store = tmp_path / "a.store"
    lab(capsys, store)
    no_models()
    monkeypatch.setattr("outthink.study.sweep.grading", lambda *_: pytest.fail("a grader"))
    assert wire(capsys, "fit", "--kind", "table", store, "-o", tmp_path / "p.json")["cells"]
    assert wire(capsys, "report", store, "-o", tmp_path / "r.html")["rows"]
    code = "import sys, outthink.cli as c; c.main(sys.argv[1:]); print('torch' in sys.modules)"
    words = ["report", str(store), "-o", str(tmp_path / "r.html")]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("False\n")


def test_two_verifiers_in_a_store_that_grows_are_told_apart(tmp_path, capsys):
    store = tmp_path / "a.store"
    first = lab(capsys, store)
    draws = rows_of(store).draws
    second = lab(capsys, store, more=("--verifier", "lab:orm"))
    assert rows_of(store).draws == draws
    told = wire(capsys, "report", store, "-o", tmp_path / "r.html")
    assert told["rows"] == second["rows"]
    names = [one["verifier"] for one in told["verifiers"]]
    assert [name[:8] for name in names] == ["lab-prm-", "lab-orm-"]
    for one, rows in zip(told["verifiers"], (first["rows"], second["rows"]), strict=True):
        weighted = [row["weighted"]["accuracy"] for row in one["rows"]]
        assert weighted == [row["accuracy"] for row in rows]
    assert "Verifiers side by side" in (tmp_path / "r.html").read_text()
    capsys.readouterr()
    assert main(["report", str(store), "-o", str(tmp_path / "r.html")]) == 0
    assert "verifiers side by side, on the same samples" in capsys.readouterr().out
    policy = tmp_path / "p.json"
    assert main(["fit", "--kind", "table", str(store), "-o", str(policy)]) == 2
    err = capsys.readouterr().err
    assert "2 verifiers scored its samples; say which is meant, as --verifier " in err
    assert all(name in err for name in names)
    for typed, name in (("lab:prm", names[0]), ("lab-orm", names[1]), (names[0], names[0])):
        wire(capsys, "fit", "--kind", "table", store, "-o", policy, "--verifier", typed)
        assert json.loads(policy.read_text())["provenance"]["verifier"] == name
    again = wire(capsys, "report", store, "-o", tmp_path / "r.html", "--verifier", "lab:prm")
    assert again["rows"] == first["rows"]
    assert (
        main(["fit", "--kind", "table", str(store), "-o", str(policy), "--verifier", "judge"]) == 2
    )
    assert f"has scores of {', '.join(names)}; 'judge' names none" in capsys.readouterr().err
    assert main(["fit", "--kind", "table", str(store), "-o", str(policy), "--verifier", "lab"]) == 2
    assert "'lab' names several of them" in capsys.readouterr().err
