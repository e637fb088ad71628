"""Training on models of transformers: what is learnt where, resumed anywhere, told in a card."""

import pytest

pytest.importorskip("transformers", reason="needs transformers (outthink[transformers])")
pytest.importorskip("peft", reason="needs peft (outthink[transformers])")

import numpy as np
import torch
from hf_fixtures import SETTING, asked, causal, config, last_letter, saved, tokenizer, transformers

from outthink.errors import UsageError, WeightsError
from outthink.propose.hf import HFProposer, Turns
from outthink.train import fit as fitting
from outthink.train.fit import Example, Recipe, fit
from outthink.train.own import Training, auc, calibration_error, scored, train, verifier_of
from outthink.types import Draw, Problem, Solution
from outthink.verify.trained import HFVerifier

QUICK = Recipe(1e-2, 0.0, lora=0, batch=16, rows=16, epochs=8, patience=100)
TURNS = Turns(tokenizer(), SETTING)


def classifier(seed=0):
    transformers.set_seed(seed)
    made = config("Llama", initializer_range=0.05)
    made.num_labels = 2
    return transformers.LlamaForTokenClassification(made)


def solution(text, problem=None):
    tokens = tuple(tokenizer()(text, add_special_tokens=False).input_ids)
    ends = tuple(at + 1 for at, letter in enumerate(text) if letter == "\n")
    return Solution(problem or asked(1)[0], tokens, ends, finished=True)


def steps_with_a_letter(count, seed=0):
    """Solutions of three steps; a step is right if it says `y`, which is never its last letter."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        right = rng.random(3) < 0.5
        words = ["".join(rng.choice(list("abc"), rng.integers(0, 3))) for _ in right]
        text = "".join(
            f"{'y' if good else 'n'}{w}.\n" for good, w in zip(right, words, strict=True)
        )
        found.append((solution(text), tuple(map(float, right))))
    return found


@pytest.mark.parametrize("lora", [0, 4])
def test_train_a_fresh_prm_separates_two_labels_where_it_is_read(tmp_path, lora):
    # Labels alternate within a solution, so a score read one step off, or a token late, is chance.
    data = [scored(TURNS, s.problem, s, labels) for s, labels in steps_with_a_letter(256)]
    recipe = Recipe(1e-2, 0.0, lora=lora, batch=32, rows=32, epochs=6 if not lora else 12)
    fitted = fit(classifier(), recipe, data[32:], data[:32], checkpoint=tmp_path / "c", label="prm")
    verifier = verifier_of(fitted.model, tokenizer(), SETTING)
    fresh = steps_with_a_letter(40, seed=1)
    rows = verifier.verify([each for each, _ in fresh])
    scores = [score for row in rows for score in row.scores.steps]
    labels = [label for _, each in fresh for label in each]
    assert len(scores) == len(labels) == 120
    assert auc(scores, labels) > 0.98
    assert fitted.loss < fitted.first_loss / 2


def test_train_a_trained_verifier_keeps_what_it_has_read():
    verifier = verifier_of(classifier(), tokenizer(), SETTING)
    proposer = HFProposer(load_tiny(), SETTING, last_letter)
    some = [
        row.solution
        for row in proposer.propose(
            [Draw(Solution.start(problem), 1, 1.0, seed) for seed, problem in enumerate(asked(16))]
        )
        if row.solution.is_open
    ]
    assert some
    first = verifier.verify(some)
    assert all(row.cached_tokens == 0 for row in first)
    further = [row.solution for row in proposer.propose([Draw(s, 1, 1.0, 7) for s in some])]
    for parent, child in zip(some, further, strict=True):
        if child.state is None:
            from outthink.types import State

            object.__setattr__(child, "state", State())
        child.state.verifier = parent.state.verifier
    again = verifier.verify(further)
    fresh = verifier.verify([Solution(s.problem, s.tokens, s.step_ends) for s in further])
    for one, other, parent in zip(again, fresh, some, strict=True):
        assert one.scores.steps == pytest.approx(other.scores.steps, abs=1e-5)
        assert one.computed_tokens + one.cached_tokens == other.computed_tokens
        assert one.cached_tokens >= len(parent.tokens)
        assert other.shared_tokens < other.computed_tokens


def test_train_scores_are_the_same_in_a_batch_and_alone():
    verifier = verifier_of(classifier(), tokenizer(), SETTING)
    some = [each for each, _ in steps_with_a_letter(12)]
    together = verifier.verify(some)
    for each, row in zip(some, together, strict=True):
        alone = verifier.verify([each])[0]
        assert row.scores.steps == pytest.approx(alone.scores.steps, abs=1e-5)
        assert (row.computed_tokens, row.shared_tokens) == (
            alone.computed_tokens,
            alone.shared_tokens,
        )
    assert verifier.verify([]) == []
    assert verifier.verify([Solution.start(asked(1)[0])])[0].scores.steps == ()


def test_train_what_is_too_long_to_read_has_no_score():
    verifier = verifier_of(classifier(), tokenizer(), SETTING)
    row = verifier.verify([solution("a" * 300 + "\n")])[0]
    assert (row.scores.steps, row.computed_tokens) == ((), 0)


@pytest.mark.parametrize("lora", [0, 2])
def test_train_resumed_equals_uninterrupted(tmp_path, monkeypatch, lora):
    data = [scored(TURNS, s.problem, s, labels) for s, labels in steps_with_a_letter(48)]
    recipe = Recipe(1e-3, 0.3, lora=lora, batch=8, rows=4, epochs=2)

    def run(name):
        return fit(classifier(), recipe, data[8:], data[:8], checkpoint=tmp_path / name, label="x")

    whole = run("whole")
    monkeypatch.setattr(fitting, "CHECKPOINT_S", 0.0)
    real, steps = fitting._step, iter(range(7))

    def killed(*words):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(fitting, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        run("cut")
    steps = iter(range(100))
    resumed = run("cut")
    assert (resumed.steps, resumed.loss, resumed.tokens) == (whole.steps, whole.loss, whole.tokens)
    kept = resumed.model.state_dict()
    assert all(torch.equal(each, kept[name]) for name, each in whole.model.state_dict().items())


def test_train_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    data = [scored(TURNS, s.problem, s, labels) for s, labels in steps_with_a_letter(16)]
    once = Recipe(1e-3, 0.0, lora=0, batch=8, epochs=1)
    fit(classifier(), once, data[8:], data[:8], checkpoint=tmp_path / "c", label="x")
    other = Recipe(2e-3, 0.0, lora=0, batch=8, epochs=1)
    with pytest.raises(WeightsError, match="another recipe"):
        fit(classifier(), other, data[8:], data[:8], checkpoint=tmp_path / "c", label="x")


def test_train_to_write_learns_the_answer_alone(tmp_path):
    model = causal(initializer_range=0.05)
    prompt = TURNS.prompt("1", ())
    answer = tuple(tokenizer()("abc\n", add_special_tokens=False).input_ids)
    data = [Example((*prompt, *answer, 1), first=len(prompt))] * 32
    recipe = Recipe(1e-2, 0.0, lora=0, batch=16, epochs=10, keep_last=True)
    fitted = fit(model, recipe, data, data[:4], checkpoint=tmp_path / "c", label="revise")
    from outthink.hf.load import wrap

    proposer = HFProposer(wrap("x", fitted.model, tokenizer(), SETTING), read=last_letter)
    row = proposer.propose([Draw(Solution.start(Problem("1", "1")), None, 0.0, 0)])[0]
    assert row.solution.tokens == answer and row.solution.finished


def load_tiny():
    from outthink.hf.load import wrap

    return wrap("tiny", causal(), tokenizer(), SETTING)


@pytest.fixture
def tiny(tmp_path):
    return str(saved(tmp_path / "tiny", causal()))


def a_or_b(text):
    """Right and wrong about as often as each other in what a random model writes."""
    letter = text.strip()[-1:]
    return None if not letter else "1" if letter < "i" else "0"


REFERENCED = [Problem(p.id, p.prompt, "1") for p in asked(12)]


@pytest.mark.parametrize("kind", ["prm", "orm"])
def test_train_from_problems_to_a_verifier_with_a_card(tmp_path, tiny, kind):
    recipe = Recipe(1e-3, 0.05, lora=2, batch=16, epochs=1)
    plan = Training(kind, tiny, tmp_path / kind, recipe, 4, 2, setting=SETTING, command="typed")
    facts = train(plan, REFERENCED, read=a_or_b)
    assert facts["sampled_tokens"] > 0 and facts["training_examples"] > facts["held_out_examples"]
    assert ("step_auc" in facts) == (kind == "prm")
    card = (tmp_path / kind / "README.md").read_text()
    assert "typed" in card and "calibration" in card and "AUC" in card
    assert train(plan, REFERENCED, read=a_or_b) == facts  # nothing is done twice
    verifier = HFVerifier.load(f"hf:{tmp_path / kind}")
    assert verifier._loaded.setting == SETTING and verifier._loaded.trained_for == kind
    row = verifier.verify([solution("ab\nc\n")])[0]
    assert len(row.scores.steps) == 2 and all(0 <= score <= 1 for score in row.scores.steps)


def test_train_from_problems_to_a_revision_model(tmp_path, tiny):
    recipe = Recipe(1e-3, 0.0, lora=2, batch=16, epochs=1, keep_last=True)
    plan = Training("revise", tiny, tmp_path / "out", recipe, 8, setting=SETTING)
    facts = train(plan, REFERENCED, read=a_or_b)
    assert facts["held_out_loss"] > 0 and "final_auc" not in facts
    reviser = HFProposer.load(str(tmp_path / "out"))
    rows = reviser.propose([Draw(Solution.start(REFERENCED[0]), None, 1.0, 1)])
    assert rows[0].decoded_tokens


def test_train_another_training_in_the_same_folder_is_refused(tmp_path, tiny):
    recipe = Recipe(1e-3, 0.0, lora=2, batch=16, epochs=1)
    plan = Training("orm", tiny, tmp_path / "out", recipe, 4, setting=SETTING)
    train(plan, REFERENCED, read=a_or_b)
    other = Training("orm", tiny, tmp_path / "out", recipe, 5, setting=SETTING)
    with pytest.raises(WeightsError, match="another training"):
        train(other, REFERENCED, read=a_or_b)


def test_train_needs_problems_with_references(tmp_path, tiny):
    plan = Training("orm", tiny, tmp_path / "out", QUICK, 4, setting=SETTING)
    with pytest.raises(UsageError, match="give 10 or more"):
        train(plan, [Problem("a", "a")] * 20)


def test_auc_and_calibration_count_soft_labels_as_much_of_either():
    assert auc([0.1, 0.9], [0.0, 1.0]) == 1.0
    assert auc([0.5, 0.5], [0.0, 1.0]) == 0.5
    assert auc([0.1, 0.9], [1.0, 1.0]) is None
    # As if each soft label were four rollouts.
    scores, shares = [0.2, 0.4, 0.8], [0.25, 0.5, 1.0]
    hard = [[score] * 4 for score in scores]
    each = [[1.0] * int(4 * s) + [0.0] * (4 - int(4 * s)) for s in shares]
    assert auc(scores, shares) == pytest.approx(auc(np.ravel(hard), np.ravel(each)))
    assert calibration_error([0.5, 0.5], [0.0, 1.0]) == pytest.approx(0.5)
    assert calibration_error(scores, scores) == 0.0
