"""A probe: fitted on hidden states, read through the model they are of."""

import random

import pytest

pytest.importorskip("transformers", reason="needs transformers (outthink[transformers])")

import torch
from contract import Waiting, check_verifier, scored
from hf_fixtures import SETTING, asked, causal, last_letter, saved, tokenizer

from outthink.errors import UsageError, WeightsError
from outthink.models.transformers import HFProposer
from outthink.models.weights import load
from outthink.train import probe as probing
from outthink.train.lessons import Reading
from outthink.train.pipeline import Training, train, usual
from outthink.types import Draw, Problem, Solution, State
from outthink.verify import probe
from outthink.verify.named import check, named
from outthink.verify.written import SolutionText


def solution(text, problem=None):
    tokens = tuple(tokenizer()(text, add_special_tokens=False).input_ids)
    ends = tuple(at + 1 for at, letter in enumerate(text) if letter == "\n")
    return Solution(problem or asked(1)[0], tokens, ends, finished=True)


def letters(count, seed, end="\n"):
    """Solutions of two steps that are right where their last step has a `q`."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        right = rng.random() < 0.5
        first = "".join(rng.choice("abcq") for _ in range(3))
        last = "".join(rng.choice("abc") for _ in range(2)) + ("q" if right else "b")
        rows.append(((first + end, last + end), float(right)))
    return rows


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return str(saved(folder, causal(num_hidden_layers=3, initializer_range=0.1)))


def grouped(base, problems, a_problem, seed=0):
    """Examples by problem: what is right is told by the letters of a step."""
    reads = Reading.of("probe", base, "", 256, earlier=False, setting=SETTING)
    rows = letters(problems * a_problem, seed)
    said = [
        reads.example(
            SolutionText(Solution.start(Problem(f"p{at}", f"what is {at}?")), steps),
            [right] * len(steps),
        )
        for at, (steps, right) in enumerate(rows)
    ]
    return [said[at : at + a_problem] for at in range(0, len(said), a_problem)]


@pytest.fixture(scope="module")
def fitted(base, tmp_path_factory):
    """A probe that was fitted on solutions whose last letters tell."""
    folder = tmp_path_factory.mktemp("probe")
    model = probe.backbone(base)
    known = probing.states(model, grouped(base, 40, 6), folder / "states")
    head = probing.fit(known, range(40))
    made = probe.Probe(head.weight, head.bias, head.layer, base, model.digits, model.dtype, SETTING)
    made.save(folder / probe.NAME)
    return folder, head


def texts(rows):
    return [
        SolutionText(Solution.start(Problem("p", f"what is {at}?")), steps)
        for at, (steps, _) in enumerate(rows)
    ]


def test_probe_tells_right_from_wrong_where_hidden_states_do(fitted):
    folder, _ = fitted
    rows = letters(80, seed=5)
    scores = [row.scores.steps[-1] for row in probe.load(str(folder)).score_batch(texts(rows))]
    right = [score for score, (_, label) in zip(scores, rows, strict=True) if label]
    wrong = [score for score, (_, label) in zip(scores, rows, strict=True) if not label]
    pairs = [a > b for a in right for b in wrong]
    assert sum(pairs) / len(pairs) > 0.9


def test_probe_scores_are_those_of_the_states_it_was_fitted_on(base, fitted, tmp_path):
    # Reading a cut model step by step gives what the whole model's states gave.
    folder, head = fitted
    groups = grouped(base, 3, 4, seed=7)
    known = probing.states(probe.backbone(base), groups, tmp_path)
    rows = letters(12, seed=7)
    read = probe.load(str(folder)).score_batch(texts(rows))
    steps = [score for row in read for score in row.scores.steps]
    assert steps == pytest.approx(head.score(known).tolist(), abs=1e-5)


def test_probe_keeps_the_contract_of_a_verifier(base, fitted):
    folder, _ = fitted
    proposer = HFProposer(load(base), SETTING, last_letter)
    verifier = Waiting(named(f"probe:{folder}", proposer))
    drawn = proposer.propose_batch(
        [Draw(Solution.start(problem), 2, 1.0, seed) for problem in asked(3) for seed in range(3)]
    )
    check_verifier(verifier, [row.solution for row in drawn], tolerance=1e-5)


def test_probe_reads_a_prefix_once(base, fitted):
    folder, _ = fitted
    proposer = HFProposer(load(base), SETTING, last_letter)
    verifier = named(f"probe:{folder}", proposer)
    whole = solution("ab\ncq\n")
    begun = Solution(whole.problem, whole.tokens[:3], whole.step_ends[:1], state=State())
    scored(verifier, [begun])
    longer = Solution(whole.problem, whole.tokens, whole.step_ends, state=begun.state)
    (after,), (alone,) = scored(verifier, [longer]), scored(verifier, [whole])
    assert after.computed_tokens == 3
    assert after.scores.steps == pytest.approx(alone.scores.steps, abs=1e-5)


def test_states_are_those_of_every_solution_read_alone(base, tmp_path):
    model, groups = probe.backbone(base), grouped(base, 3, 4, seed=3)
    known = probing.states(model, groups, tmp_path)
    alone = []
    for example in (example for group in groups for example in group):
        with torch.inference_mode():
            told = model.model(torch.tensor([example.tokens]), output_hidden_states=True)
        for place in example.places:
            states = [told.hidden_states[layer][0, place] for layer in known.layers]
            alone.append(
                torch.stack(
                    [
                        state if layer == model.layers else model.norm(state)
                        for layer, state in zip(known.layers, states, strict=True)
                    ]
                )
            )
    assert torch.allclose(known.values, torch.stack(alone), atol=1e-5)


def counted(model, monkeypatch):
    """The sizes of what a model reads from now on, as a list that grows."""
    sizes, forward = [], model.forward

    def read(*given, input_ids=None, **asked):
        sizes.append(input_ids.numel())
        return forward(*given, input_ids=input_ids, **asked)

    monkeypatch.setattr(model, "forward", read)
    return sizes


def test_fitting_reads_what_solutions_begin_with_once(base, tmp_path, monkeypatch):
    reads = Reading.of("probe", base, "", 256, earlier=False, setting=SETTING)
    rules = "be brief. " * 10
    groups = [
        [
            reads.example(
                SolutionText(Solution.start(Problem(f"p{at}", f"{rules}what is {at}?")), (step,)),
                [1.0],
            )
            for step in ("a\n", "b\n", "c\n", "d\n")
        ]
        for at in range(6)
    ]
    model = probe.backbone(base)
    sizes = counted(model.model, monkeypatch)
    probing.states(model, groups, tmp_path)
    rows = [example for group in groups for example in group]
    start, whole = len(rules), sum(len(example.tokens) for example in rows)
    own = whole - start * len(rows)
    assert sum(sizes) <= start + own + 10


@pytest.mark.parametrize("problems", [3, 70])
def test_scoring_reads_each_problem_once_however_many_there_are(fitted, monkeypatch, problems):
    folder, _ = fitted
    rules = "be brief. " * 10
    reader = probe.load(str(folder))
    asked_for = [
        SolutionText(Solution.start(Problem(f"p{at}", f"{rules}what is {at}?")), (step,))
        for at in range(problems)
        for step in ("a\n", "b\n", "c\n", "d\n")
    ]
    sizes = counted(reader.backbone, monkeypatch)
    together = reader.score_batch(asked_for)
    of_a_problem = len("what is 10?") + 30
    assert sum(sizes) < 2 * len(rules) + problems * (of_a_problem + 4 * 10)
    alone = [reader.score_batch([text])[0] for text in asked_for[:4]]
    for one, other in zip(alone, together[:4], strict=True):
        assert one.scores.steps == pytest.approx(other.scores.steps, abs=1e-5)


def test_states_that_are_there_are_not_computed_again(base, tmp_path):
    model = probe.backbone(base)
    groups = grouped(base, 2, 2)
    first = probing.states(model, groups, tmp_path)
    model.model.forward = None
    again = probing.states(model, groups, tmp_path)
    assert torch.equal(first.values, again.values)


def test_every_solution_weighs_the_same(base, tmp_path):
    reads = Reading.of("probe", base, "", 256, earlier=False, setting=SETTING)
    start = Solution.start(asked(1)[0])
    groups = [
        [
            reads.example(SolutionText(start, ("a\n",)), [1.0]),
            reads.example(SolutionText(start, ("a\n", "b\n", "c\n")), [0.0, 0.0, 0.0]),
        ]
    ]
    known = probing.states(probe.backbone(base), groups, tmp_path)
    assert known.weights.tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 6, 1 / 6])
    assert known.last.tolist() == [True, False, False, True]


def test_soft_labels_are_met_where_states_tell_nothing():
    # One state for all: the best probability is the mean label.
    labels = torch.tensor([1.0, 0.25, 0.25, 0.5] * 4)
    known = probing.States(
        (1,),
        torch.ones(16, 1, 3),
        labels,
        torch.arange(16),
        torch.arange(16) // 2,
    )
    head = probing.fit(known, range(8))
    assert head.score(known).tolist() == pytest.approx([0.5] * 16, abs=1e-4)


def test_a_probe_of_other_weights_is_refused(fitted, tmp_path):
    folder, _ = fitted
    other = saved(tmp_path, causal(num_hidden_layers=3, seed=1))
    with pytest.raises(WeightsError, match="fitted on weights"):
        probe.load(str(folder), str(other))


@pytest.mark.parametrize("name", ["probe:http://h:1", "probe:x?family=trl", "probe"])
def test_a_name_that_cannot_be_a_probe_is_refused(name):
    with pytest.raises(UsageError):
        check(name)


def test_a_folder_without_a_probe_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no probe that can be read"):
        probe.load(str(tmp_path))


@pytest.mark.parametrize("rollouts", [0, 2])
def test_train_probe_from_samples_to_a_card(base, tmp_path, rollouts):
    plan = Training(
        "probe",
        f"hf:{base}",
        tmp_path / "probe",
        usual("probe"),
        samples=6,
        rollouts=rollouts,
        setting=SETTING,
    )
    problems = [Problem(f"p{at}", f"what is {at}?", "a") for at in range(12)]
    facts = train(plan, problems, grader=lambda answer, _: answer < "n", read=last_letter)
    assert facts["layer"] in probing.layers_of(3)
    assert "within problems" in (plan.out / "README.md").read_text()
    assert train(plan, problems, grader=lambda answer, _: False, read=last_letter) == facts
    assert probe.load(str(plan.out)).name.startswith("probe-")
