"""Several verifiers as one: rules, what was learnt, and that no score of a part is paid twice."""

import json
import math
from dataclasses import dataclass, field, replace

import pytest
from contract import RandomTree, Words, Worth, scored, solve

from outthink.cli import main
from outthink.errors import UsageError
from outthink.models.scripted import ScriptedVerifier
from outthink.run.store import Store
from outthink.study.models import Models
from outthink.testing import check_verifier as check_contract
from outthink.testing import solutions
from outthink.types import Scores, Verified
from outthink.verify.combined import Learnt, all_of, learnt, log_odds
from outthink.verify.named import check, parts_of


@dataclass
class Says:
    """A verifier that says the same of every solution."""

    steps: tuple
    name: str = "says"
    calls: list = field(default_factory=list)

    def verify_batch(self, solutions):
        self.calls.append(len(solutions))
        return [Verified(Scores(self.steps), 5, 2, 1, 3) for _ in solutions]


def combined(*steps, **options):
    parts = [Says(some, f"part{at}") for at, some in enumerate(steps)]
    (solution,) = [one for one in solutions() if one.steps][:1]
    ended = replace(solution, step_ends=solution.step_ends[: len(steps[0])])
    return scored(all_of(parts, **options), [ended])[0]


@pytest.mark.parametrize(
    ("how", "expected"), [("mean", (0.3, 0.6)), ("min", (0.2, 0.5)), ("prod", (0.08, 0.35))]
)
def test_rules_are_of_each_step(how, expected):
    row = combined((0.2, 0.5), (0.4, 0.7), how=how)
    assert row.scores.steps == pytest.approx(expected)
    assert (row.computed_tokens, row.cached_tokens, row.written_tokens) == (10, 4, 6)


def test_weights_are_shares():
    row = combined((0.2,), (0.6,), weights=[1, 3])
    assert row.scores.last == pytest.approx(0.5)


def test_a_step_that_a_part_could_not_score_has_no_score():
    row = combined((None, 0.5), (0.4, 0.7))
    assert row.scores.steps == (None, pytest.approx(0.6))
    assert combined((), (0.4, 0.7)).scores == Scores()


def test_what_was_learnt_is_a_logistic_of_log_odds(tmp_path):
    made = Learnt(("a", "b"), ("part0", "part1"), (2.0, -1.0), 0.5, 10)
    made.save(tmp_path / "c.json")
    read = Learnt.read(tmp_path / "c.json")
    assert read == made
    row = scored(learnt([Says((0.8,), "part0"), Says((0.3,), "part1")], read), [solutions()[0]])[0]
    logit = 0.5 + 2 * log_odds(0.8) - log_odds(0.3)
    assert row.scores.last == pytest.approx(1 / (1 + math.exp(-logit)))
    with pytest.raises(UsageError, match="was learnt on part0, part1"):
        learnt([Says((0.8,), "part0"), Says((0.3,), "part2")], read)
    told = json.loads((tmp_path / "c.json").read_text())
    (tmp_path / "c.json").write_text(json.dumps({**told, "intercept": 9}))
    with pytest.raises(UsageError, match="was changed"):
        Learnt.read(tmp_path / "c.json")


def test_contract_of_a_combination():
    parts = [ScriptedVerifier(), ScriptedVerifier(silence=0.3)]
    check_contract(all_of(parts, how="min"), solutions())


def test_each_part_keeps_a_cache_of_its_own():
    """Each part of this world reads a prefix once, and counts what it has read."""
    world = RandomTree(3, longest=6)
    parts = [Worth(world, name="one"), Worth(world, name="two")]
    both = solve("beam", 4, Words(world), all_of(parts))[0]
    alone = solve("beam", 4, Words(world), Worth(world))[0]
    assert both.outcome.answer == alone.outcome.answer
    assert both.outcome.usage.verifier_tokens == 2 * alone.outcome.usage.verifier_tokens
    cached = both.outcome.usage.verifier_cached_tokens
    assert cached == 2 * alone.outcome.usage.verifier_cached_tokens > 0


def test_scores_of_parts_are_kept_and_never_paid_again(tmp_path):
    world = RandomTree(5)

    def run(verifier):
        with Store.open(tmp_path / "a.store", write=True) as store:
            result = solve("best_of_n", 8, Words(world), verifier, of=3, journal=store)
            return [one.outcome for one in result], store.verifiers()

    one, two = Worth(world, name="one"), Worth(world, name="two")
    alone, _ = run(one)
    paid = len(one.calls)
    both, names = run(all_of([one, two], how="min"))
    assert len(one.calls) == paid and two.calls
    assert set(names) == {"one", "two", "min(one,two)"}
    paid = len(two.calls)
    again, _ = run(two)
    assert len(two.calls) == paid
    other, _ = run(all_of([two, one], how="mean"))
    assert (len(one.calls), len(two.calls)) == (len(one.calls), paid)
    spent = sum(outcome.usage.verifier_tokens for outcome in both)
    parts = sum(outcome.usage.verifier_tokens for outcome in (*alone, *again))
    assert spent == parts == sum(outcome.usage.verifier_tokens for outcome in other)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("all_of(lab:prm)", "two or more"),
        ("all_of(lab:prm,lab:orm,how=max)", "write one of mean, min, prod"),
        ("all_of(lab:prm,lab:orm,how=min,weights=1:2)", "mean alone takes weights"),
        ("all_of(lab:prm,lab:orm,weights=1:x)", "are no weights"),
        ("all_of(lab:prm,lab:orm,weights=1)", "one number each"),
        ("all_of(lab:prm,lab:none)", "unknown verifier 'lab:none'"),
        ("all_of(lab:prm,none)", "unknown verifier 'none'|scores nothing"),
        ("all_of(lab:prm,confidence(top=1))", "tells nothing"),
        ("all_of(learnt=no.json)", "cannot be read"),
        ("all_of(lab:prm,learnt=no.json)", "cannot be read|leave them out"),
        ("all_of(lab:prm,lab:orm", "a bracket is not closed"),
    ],
)
def test_a_combination_that_cannot_be_is_refused(name, said):
    with pytest.raises(UsageError, match=said):
        Models(verifier=name).team({"proposer"})


def test_combinations_nest():
    name = "all_of(lab:prm,all_of(lab:orm,deepconf(window=8,by=tail),how=min),weights=1:2)"
    check(name)
    assert parts_of(name) == ("lab:prm", "lab:orm", "deepconf(window=8,by=tail)")
    team = Models(verifier=name).team({"proposer"})
    assert "min(lab-orm" in team.verifiers["verifier"].name


def test_a_combination_is_learnt_on_a_store_and_used(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan = ["--strategies", "majority,best_of_n", "--budgets", "1,4", "--pool", "8"]
    plan += ["--oracle-samples", "0", "--difficulty-samples", "0", "--json"]

    def sweep(verifier):
        assert (
            main(["sweep", "lab:test?size=8", "-o", "a.store", "--verifier", verifier, *plan]) == 0
        )
        capsys.readouterr()

    sweep("lab:prm")
    assert main(["combine", "a.store", "lab:prm", "lab:orm"]) == 2
    assert "has scores of" in capsys.readouterr().err
    sweep("lab:orm")
    assert main(["combine", "a.store", "lab:prm"]) == 2
    assert "two or more" in capsys.readouterr().err
    assert main(["combine", "a.store", "lab:prm", "lab:orm", "-o", "c.json", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert 0 <= said["auc"] <= 1 and said["learnt"]["typed"] == ["lab:prm", "lab:orm"]
    with Store.open("a.store", write=False) as store:
        before = store.counts()
    sweep("all_of(learnt=c.json)")
    with Store.open("a.store", write=False) as store:
        after = store.counts()
        assert any(name.startswith(f"learnt-{said['digest']}") for name in store.verifiers())
    assert after.draws == before.draws
    assert main(["combine", "a.store", "lab:prm", "lab:orm", "-o", "c.json"]) == 0
    assert "all_of(learnt=c.json)" in capsys.readouterr().out
