"""Step labels: the share of completions that end right, drawn once a prefix and kept."""

from dataclasses import dataclass, field

import pytest
from contract import Chain, Counted, results
from lab_fixtures import draws, some_problems

from outthink.lab.models import LabModels
from outthink.models.scripted import ScriptedProposer, scripted_problems
from outthink.run.journal import Job
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.train.rollouts import labelling, labels, prefixes
from outthink.types import Budget

EACH = 3


def same(answer, reference):
    return answer == reference


def label(proposer, of, *, samples=4, each=EACH, journal=None):
    """Results of labelling, by problem."""
    jobs = [Job(problem, labelling(each), Budget(samples)) for problem in of]
    return {
        result.job.problem.id: result
        for result in results(Team.of(proposer), jobs, seed=7, journal=journal)
    }


def drawn(proposer):
    """(prefix tokens, solution) of everything a counted proposer drew, by problem."""
    found = {}
    for asked, given in zip(proposer.calls, proposer.given, strict=True):
        for draw, row in zip(asked, given, strict=True):
            rows = found.setdefault(draw.prefix.problem.id, [])
            rows.append((draw.prefix.tokens, row.solution))
    return found


@pytest.mark.parametrize("mischief", [0.0, 0.2, 0.9])
def test_labels_are_the_shares_counted_by_hand(mischief):
    proposer = Counted(ScriptedProposer(5, mischief=mischief))
    results = label(proposer, scripted_problems(20))
    for id_, rows in drawn(proposer).items():
        samples = [solution for prefix, solution in rows if prefix == ()]
        found = labels(results[id_], rollouts=EACH, grader=same)
        assert [example.solution.tokens for example in found] == [
            sample.tokens for sample in samples if sample.answer is not None
        ]
        for example in found:
            for end, share in zip(example.solution.step_ends[:-1], example.labels, strict=False):
                ends = [s.answer for prefix, s in rows if prefix == example.solution.tokens[:end]]
                assert len(ends) == EACH
                assert share == ends.count("right") / EACH


def test_the_last_label_is_whether_the_sample_is_right():
    results = label(ScriptedProposer(4), scripted_problems(20))
    found = [e for r in results.values() for e in labels(r, rollouts=EACH, grader=same)]
    assert {example.labels[-1] for example in found} == {0.0, 1.0}
    for example in found:
        assert example.labels[-1] == (example.solution.answer == "right")
        assert len(example.labels) == example.solution.steps
        assert all(0.0 <= share <= 1.0 for share in example.labels)


def test_a_prefix_that_samples_share_is_rolled_out_once():
    proposer = Counted(ScriptedProposer(6))
    results = label(proposer, scripted_problems(10), samples=16)
    shared = 0
    for id_, rows in drawn(proposer).items():
        asked = [prefix for prefix, _ in rows if prefix != ()]
        assert {asked.count(prefix) for prefix in asked} in ({EACH}, set())
        found = labels(results[id_], rollouts=EACH, grader=same)
        wanted = [e.solution.tokens[:end] for e in found for end in e.solution.step_ends[:-1]]
        assert set(asked) == set(wanted)
        shared += len(wanted) - len(set(wanted))
    assert shared > 0


def test_all_prefixes_go_to_the_proposer_in_one_call():
    proposer = Counted(ScriptedProposer(6))
    label(proposer, scripted_problems(10))
    first, _ = proposer.calls
    assert len(first) == 40


def test_prefixes_stop_before_the_last_step_and_keep_their_order():
    samples = [
        row.solution for row in ScriptedProposer(6).propose_batch(draws(scripted_problems(3), 4))
    ]
    found = prefixes(samples)
    assert len({(p.problem.id, p.tokens) for p in found}) == len(found)
    assert {p.tokens for p in found} == {
        s.tokens[:end] for s in samples for end in s.step_ends[:-1]
    }
    assert all(p.is_open and p.answer is None and p.step_ends[-1] == len(p.tokens) for p in found)


@pytest.mark.parametrize("ending", ["unparsable", "truncated"])
def test_samples_without_an_answer_are_dropped_and_not_rolled_out(ending):
    proposer = Counted(Chain(3, ending))
    (result,) = label(proposer, scripted_problems(1)).values()
    assert labels(result, rollouts=EACH, grader=same) == []
    assert len(proposer.calls) == 1
    assert result.outcome.answer is None


def test_a_completion_without_an_answer_counts_as_wrong():
    @dataclass
    class Once:
        """The first samples end right, nothing drawn after them has an answer."""

        inner: Chain = field(default_factory=lambda: Chain(3, "unparsable"))
        name: str = "once"

        def propose_batch(self, asked):
            answering = Chain(3) if not asked[0].prefix.tokens else self.inner
            return answering.propose_batch(asked)

    (result,) = label(Once(), scripted_problems(1)).values()
    for example in labels(result, rollouts=EACH, grader=lambda answer, reference: True):
        assert example.labels == (0.0, 0.0, 1.0)


def test_a_sample_of_one_step_needs_no_rollout():
    proposer = Counted(Chain(1))
    (result,) = label(proposer, scripted_problems(1)).values()
    assert len(proposer.calls) == 1
    found = labels(result, rollouts=EACH, grader=same)
    assert [len(example.labels) for example in found] == [1] * 4


# Killed and resumed ------------------------------------------------------------------------------


class Killed(Exception):
    pass


@dataclass
class Mortal:
    """Dies when it is called for the n-th time."""

    inner: object
    calls: int
    name: str = "counted"
    """That of `Counted`: rows are kept under the name of who drew them."""

    def propose_batch(self, draws):
        if self.calls == 0:
            raise Killed
        self.calls -= 1
        return self.inner.propose_batch(draws)


def labelled(results):
    return {id_: labels(result, rollouts=EACH, grader=same) for id_, result in results.items()}


@pytest.mark.parametrize("calls", [0, 1])
def test_labelling_resumed_from_a_store_pays_for_the_rest_alone(tmp_path, calls):
    of = scripted_problems(12)
    whole = Counted(ScriptedProposer(5, mischief=0.1))
    expected = labelled(label(whole, of))
    path = tmp_path / "labels.store"
    with Store.open(path, write=True) as store, pytest.raises(Killed):
        label(Mortal(ScriptedProposer(5, mischief=0.1), calls), of, journal=store)
    rest = Counted(ScriptedProposer(5, mischief=0.1))
    with Store.open(path, write=True) as store:
        assert labelled(label(rest, of, journal=store)) == expected
    assert len(rest.rows) == sum(map(len, whole.calls[calls:]))
    with Store.open(path, write=True) as store:
        assert labelled(label(Mortal(None, 0), of, journal=store)) == expected


def test_the_labs_labels_are_the_same_after_a_kill(tmp_path):
    of, engine = some_problems(6), LabModels().proposer
    expected = labelled(label(engine(), of, samples=16))
    path = tmp_path / "labels.store"
    with Store.open(path, write=True) as store, pytest.raises(Killed):
        label(Mortal(engine(), 1), of, samples=16, journal=store)
    with Store.open(path, write=True) as store:
        assert labelled(label(engine(), of, samples=16, journal=store)) == expected
