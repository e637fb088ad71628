"""Training on models of transformers: what is learnt where, resumed anywhere, told in a card."""

import pytest
from contract import scored

pytest.importorskip("transformers", reason="needs transformers (outthink[transformers])")
pytest.importorskip("peft", reason="needs peft (outthink[transformers])")

import random

import numpy as np
import torch
from hf_fixtures import (
    SETTING,
    asked,
    causal,
    classifier,
    last_letter,
    saved,
    tokenizer,
    transformers,
)
from tiny_prms import KINDS, TINY, example

from outthink.errors import UsageError, WeightsError
from outthink.models.transformers import HFProposer, Turns
from outthink.models.weights import load, wrap
from outthink.train import fit as fitting
from outthink.train.card import auc, calibration_error
from outthink.train.fit import Example, Recipe, fit, odds_of
from outthink.train.lessons import Reading
from outthink.train.pipeline import Training, train
from outthink.types import Draw, Problem, Solution
from outthink.verify import orm, prm
from outthink.verify.families import Classes
from outthink.verify.named import named
from outthink.verify.written import SolutionText, solution_text

QUICK = Recipe(1e-2, 0.0, lora=0, batch=16, rows=16, epochs=8, patience=100)
TURNS = Turns(tokenizer(), SETTING)
ODDS = odds_of(Classes(1))


def solution(text, problem=None, history=()):
    tokens = tuple(tokenizer()(text, add_special_tokens=False).input_ids)
    ends = tuple(at + 1 for at, letter in enumerate(text) if letter == "\n")
    return Solution(problem or asked(1)[0], tokens, ends, finished=True, history=history)


def language_model(kind, folder, seed=0):
    """A model that writes, with the tokenizer of a family."""
    torch.manual_seed(seed)
    words = kind.tokenizer
    made = kind.config(**TINY, vocab_size=len(words), pad_token_id=0)
    transformers.AutoModelForCausalLM.from_config(made).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def lessons(reads, count, seed):
    """Solutions of one to three steps; labels differ within a solution, so a score that is read a
    step off, or a token late, is chance."""
    rng = random.Random(seed)
    found = [example(rng) for _ in range(count)]
    return [
        reads.example(
            SolutionText(Solution.start(Problem("p", problem)), tuple(steps)),
            list(map(float, right)),
        )
        for problem, steps, right in found
    ]


@pytest.mark.parametrize(
    ("name", "lora"), [*((name, 0) for name in KINDS), ("trl", 4), ("math-shepherd", 4)]
)
def test_train_makes_a_prm_of_every_family_that_separates_two_labels_where_it_is_read(
    name, lora, tmp_path
):
    folder = language_model(KINDS[name], tmp_path / "base")
    reads = Reading.of("prm", folder, name, 512, earlier=False)
    model = load(folder, outputs=reads.outputs, train=True).model
    recipe = Recipe(3e-2 if lora else 1e-2, 0.0, lora=lora, batch=16, rows=16, epochs=4, readings=1)
    data, held_out = lessons(reads, 320, 1), lessons(reads, 24, 2)
    fitted = fit(
        model, recipe, data, held_out, odds=reads.odds, checkpoint=tmp_path / "c", label="prm"
    )
    fitted.model.save_pretrained(tmp_path / "made")
    KINDS[name].tokenizer.save_pretrained(tmp_path / "made")
    reader = prm.load(str(tmp_path / "made"), name, device="cpu")
    rng = random.Random(3)
    fresh = [example(rng) for _ in range(40)]
    said = [SolutionText(Solution.start(Problem("p", p)), tuple(steps)) for p, steps, _ in fresh]
    scores = [score for row in reader.score_batch(said) for score in row.scores.steps]
    labels = [float(label) for _, _, right in fresh for label in right]
    assert auc(scores, labels) > 0.97
    assert fitted.loss < fitted.first_loss / 2


def test_train_a_verifier_of_revisions_sees_the_answers_before(tmp_path):
    # Whether a solution is right is told by the answer that it revises, and by nothing else.
    folder = str(saved(tmp_path / "base", causal(initializer_range=0.05)))
    reads = Reading.of("orm", folder, "trl", 256, earlier=True)
    rng = random.Random(0)

    def revision(good):
        earlier = "".join(rng.choice("abc") for _ in range(4)) + ("y" if good else "n")
        return solution("ab.\n", history=(solution(earlier).tokens,))

    some = [(revision(good), float(good)) for good in [True, False] * 64]
    data = [
        reads.example(solution_text(s, TURNS.decode, earlier=True), [right]) for s, right in some
    ]
    model = load(folder, outputs=reads.outputs, train=True).model
    recipe = Recipe(1e-2, 0.0, lora=0, batch=32, rows=32, epochs=12)
    fitted = fit(
        model, recipe, data[32:], data[:32], odds=ODDS, checkpoint=tmp_path / "c", label="orm"
    )
    made = saved(tmp_path / "made", fitted.model)
    proposer = HFProposer(load_tiny(), SETTING, last_letter)
    sees = named(f"orm:{made}?earlier=yes&device=cpu", proposer)
    blind = named(f"orm:{made}?device=cpu", proposer)
    fresh = [(revision(good), float(good)) for good in [True, False] * 20]
    rows = scored(sees, [each for each, _ in fresh])
    assert auc([row.scores.last for row in rows], [right for _, right in fresh]) > 0.97
    assert all(row.shared_tokens == 0 for row in rows)
    unseen = scored(blind, [each for each, _ in fresh])
    assert len({row.scores.last for row in unseen}) == 1
    assert sees.name != blind.name


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


@pytest.fixture
def reads(tmp_path):
    folder = saved(tmp_path / "words", causal())
    return Reading.of("prm", str(folder), "trl", 256, earlier=False)


def taught(reads, count):
    return [
        reads.example(solution_text(each, TURNS.decode), labels)
        for each, labels in steps_with_a_letter(count)
    ]


@pytest.mark.parametrize("lora", [0, 2])
def test_train_resumed_equals_uninterrupted(tmp_path, monkeypatch, lora, reads):
    data = taught(reads, 48)
    recipe = Recipe(1e-3, 0.3, lora=lora, batch=8, rows=4, epochs=2)

    def run(name):
        where = {"checkpoint": tmp_path / name, "label": "x"}
        return fit(classifier(), recipe, data[8:], data[:8], odds=ODDS, **where)

    whole = run("whole")
    monkeypatch.setattr("outthink.train.loop.CHECKPOINT_S", 0.0)
    real, steps = fitting._gradients, iter(range(7))

    def killed(*words):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return real(*words)

    monkeypatch.setattr(fitting, "_gradients", killed)
    with pytest.raises(KeyboardInterrupt):
        run("cut")
    # The first version kept no losses of the last steps.
    kept = torch.load(tmp_path / "cut", weights_only=True)
    del kept["tail"]
    torch.save(kept, tmp_path / "cut")
    steps = iter(range(100))
    resumed = run("cut")
    assert (resumed.steps, resumed.loss, resumed.tokens) == (whole.steps, whole.loss, whole.tokens)
    kept = resumed.model.state_dict()
    assert all(torch.equal(each, kept[name]) for name, each in whole.model.state_dict().items())


def test_train_a_checkpoint_of_another_recipe_is_refused(tmp_path, reads):
    data = taught(reads, 16)
    where = {"checkpoint": tmp_path / "c", "label": "x"}
    once = Recipe(1e-3, 0.0, lora=0, batch=8, epochs=1)
    fit(classifier(), once, data[8:], data[:8], odds=ODDS, **where)
    other = Recipe(2e-3, 0.0, lora=0, batch=8, epochs=1)
    with pytest.raises(WeightsError, match="another recipe"):
        fit(classifier(), other, data[8:], data[:8], odds=ODDS, **where)


def test_train_to_write_learns_the_answer_alone(tmp_path):
    model = causal(initializer_range=0.05)
    prompt = TURNS.prompt("1", ())
    answer = tuple(tokenizer()("abc\n", add_special_tokens=False).input_ids)
    data = [Example((*prompt, *answer, 1), first=len(prompt))] * 32
    recipe = Recipe(1e-2, 0.0, lora=0, batch=16, epochs=10, keep_last=True)
    fitted = fit(model, recipe, data, data[:4], checkpoint=tmp_path / "c", label="revise")
    proposer = HFProposer(wrap("x", fitted.model, tokenizer(), SETTING), read=last_letter)
    row = proposer.propose_batch([Draw(Solution.start(Problem("1", "1")), None, 0.0, 0)])[0]
    assert row.solution.tokens == answer and row.solution.finished


def load_tiny():
    return wrap("tiny", causal(), tokenizer(), SETTING)


@pytest.fixture
def tiny(tmp_path):
    return str(saved(tmp_path / "tiny", causal()))


def a_or_b(text):
    """Right and wrong about as often as each other in what a random model writes."""
    letter = text.strip()[-1:]
    return None if not letter else "1" if letter < "i" else "0"


REFERENCED = [Problem(p.id, p.prompt, "1") for p in asked(12)]


@pytest.mark.parametrize(("kind", "chain"), [("prm", 1), ("orm", 1), ("orm", 2)])
def test_train_from_problems_to_a_verifier_with_a_card(tmp_path, tiny, kind, chain):
    recipe = Recipe(1e-3, 0.05, lora=2, batch=16, epochs=1)
    out = tmp_path / "out"
    plan = Training(kind, tiny, out, recipe, 4, 2, setting=SETTING, chain=chain, command="typed")
    facts = train(plan, REFERENCED, read=a_or_b)
    assert facts["sampled_tokens"] > 0 and facts["training_examples"] > facts["held_out_examples"]
    assert ("step_auc" in facts) == (kind == "prm")
    card = (out / "README.md").read_text()
    assert "typed" in card and "calibration" in card and "AUC" in card
    assert ("--revision-verifier orm:DIR" in card) == (chain > 1)
    assert train(plan, REFERENCED, read=a_or_b) == facts  # nothing is done twice
    proposer = HFProposer.load(tiny, SETTING, a_or_b)
    verifier = named(f"{kind}:{out}?device=cpu", proposer)
    assert verifier.name.endswith("-earlier") == (chain > 1)
    row = scored(verifier, [solution("ab\nc\n")])[0]
    first, last = row.scores.steps
    assert 0 <= last <= 1 and (first is None) == (kind == "orm")


def test_train_what_was_made_is_not_used_for_something_else(tmp_path, tiny):
    recipe = Recipe(1e-3, 0.0, lora=2, batch=16, epochs=1)
    for kind in ("prm", "orm"):
        plan = Training(kind, tiny, tmp_path / kind, recipe, 2, 1, setting=SETTING)
        train(plan, REFERENCED, read=a_or_b)
    with pytest.raises(UsageError, match="use it as --verifier prm:"):
        HFProposer.load(str(tmp_path / "prm"))
    with pytest.raises(UsageError, match="use it as --verifier orm:"):
        prm.load(str(tmp_path / "orm"))
    with pytest.raises(UsageError, match="use it as --verifier prm:"):
        orm.load(str(tmp_path / "prm"))


def test_train_a_model_that_lacks_weights_does_not_write(tmp_path):
    folder = saved(tmp_path / "headless", classifier())
    with pytest.raises(WeightsError, match="weights are not there, such as lm_head"):
        load(str(folder))


def test_train_from_problems_to_a_revision_model(tmp_path, tiny):
    recipe = Recipe(1e-3, 0.0, lora=2, batch=16, epochs=1, keep_last=True)
    plan = Training("revise", tiny, tmp_path / "out", recipe, 8, setting=SETTING)
    facts = train(plan, REFERENCED, read=a_or_b)
    assert facts["held_out_loss"] > 0 and "final_auc" not in facts
    reviser = HFProposer.load(str(tmp_path / "out"))
    rows = reviser.propose_batch([Draw(Solution.start(REFERENCED[0]), None, 1.0, 1)])
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
