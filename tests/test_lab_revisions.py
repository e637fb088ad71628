"""Training of the reviser and its verifier: what they learn, and that it can be killed anywhere."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from lab_fixtures import TINY, TINY_VERIFIER, exact, random_gpt, some_problems
from torch.nn import functional as F

from outthink.data.task import DIGITS
from outthink.lab import revisions, tokenizer
from outthink.lab.engine import LabProposer, LabVerifier
from outthink.lab.revisions import HISTORY, RevisionExample, reviser, revision_verifier
from outthink.lab.tokenizer import END, EQUALS, LINE
from outthink.lab.train import Recipe
from outthink.measure.quality import auc
from outthink.types import END as WHOLE
from outthink.types import Draw, Problem, Solution

RECIPE = Recipe(steps=60, batch=16, rate=1e-2, seed=0, warmup=5, decay=1.0)
PROBLEM = some_problems(1)[0]


def line(digit):
    """A solution of one step, which says one digit five times."""
    return (10, EQUALS, *[digit] * DIGITS, LINE, END)


def follow(count, seed=0):
    """Solutions that say one more than the last one before them, which is not always there."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        said = rng.integers(0, 10, rng.integers(1, 5)).tolist()
        history = tuple(line(digit) for digit in said)
        found.append(RevisionExample(PROBLEM.prompt, history, line((said[-1] + 1) % 10)))
    return found


def judged(count, seed=0):
    """Solutions that are right if they say the same as the last one before them."""
    rng = np.random.default_rng(seed)
    found = []
    for at in range(count):
        said = rng.integers(0, 10, rng.integers(1, 5)).tolist()
        digit = said[-1] if at % 2 else (said[-1] + int(rng.integers(1, 10))) % 10
        history = tuple(line(earlier) for earlier in said)
        found.append(RevisionExample(PROBLEM.prompt, history, line(digit), float(at % 2)))
    return found


def teach(path, make=reviser, data=None, recipe=RECIPE, trunk=None, held_out=None, **options):
    return make(
        trunk or random_gpt(sharpness=0.01),
        recipe,
        data or follow(256),
        held_out or follow(64, 1),
        checkpoint=path,
        label="tiny",
        **options,
    )


def weights(trained):
    return {name: weight.clone() for name, weight in trained.model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.checkpoint"


# The reviser -------------------------------------------------------------------------------------


def test_a_reviser_learns_what_follows_the_last_of_the_earlier_solutions(path):
    trained = teach(path, recipe=replace(RECIPE, steps=200, batch=32), data=follow(512))
    engine = LabProposer(trained.model, "tiny")
    asked = [
        Draw(Solution(PROBLEM, history=led.history), WHOLE, 0.0, 0) for led in follow(100, seed=2)
    ]
    wanted = [led.tokens for led in follow(100, seed=2)]
    found = [row.solution.tokens for row in engine.propose_batch(asked)]
    assert np.mean([a == b for a, b in zip(found, wanted, strict=True)]) > 0.8  # chance is 0.1


def test_a_revisers_loss_falls(tmp_path):
    brief = teach(tmp_path / "a", recipe=replace(RECIPE, steps=1))
    longer = teach(tmp_path / "b")
    assert longer.loss < 0.6 * brief.loss
    assert (longer.model.shape.history, longer.model.training) == (HISTORY, False)


def test_a_reviser_begins_as_the_model_it_is_made_from(path):
    trained = teach(path, recipe=replace(RECIPE, steps=1, rate=0.0), trunk=random_gpt())
    found = trained.model.state_dict()
    assert (found.pop("age.weight") == 0).all()
    assert same(found, random_gpt().state_dict())


def test_a_reviser_is_trained_on_the_tokens_of_its_solution_alone(path):
    # One batch of all, at a rate of nothing: the loss is that of reading row by row.
    data = follow(12)
    model = random_gpt()
    trained = teach(path, data=data, recipe=replace(RECIPE, steps=1, rate=0.0), trunk=model)
    expected = []
    for led in follow(64, 1):
        prompt = tokenizer.encode_prompt(led.prompt)
        ids = torch.from_numpy(tokenizer.place(prompt, led.history, led.tokens))[None]
        with torch.inference_mode():
            said = model.read(ids)[0].log_softmax(-1)
        first = ids.shape[2] - len(led.tokens)
        expected += [-said[first + at - 1, token] for at, token in enumerate(led.tokens)]
    assert trained.loss == pytest.approx(float(np.mean(expected)), rel=1e-4)


def test_a_reviser_keeps_the_weights_at_which_training_stopped(path, monkeypatch):
    read = scripted(monkeypatch, [3.0, 1.0, *[2.0] * 6, 0.0])
    trained = teach(path, recipe=replace(RECIPE, steps=100))
    assert trained.steps == 40  # a reading every five steps; six in a row brought nothing
    assert len(read) == 8 and trained.loss == 1.0
    assert same(weights(trained), read[-1]) and not same(weights(trained), read[1])


def test_a_verifier_of_revisions_keeps_the_weights_of_the_best_reading(path, monkeypatch):
    read = scripted(monkeypatch, [3.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    recipe = replace(RECIPE, steps=100)
    trained = teach(path, revision_verifier, judged(64), recipe, held_out=judged(16, 1))
    assert trained.steps == 96 and len(read) == 8
    assert same(weights(trained), read[1])


def scripted(monkeypatch, losses):
    """Readings of the held-out loss that follow a script; the weights at each."""
    inner, read = revisions.train, []

    def reading(model):
        read.append({name: weight.clone() for name, weight in model.state_dict().items()})
        return losses[len(read) - 1]

    def train(*about, watch, **options):
        return inner(*about, watch=replace(watch, loss=reading), **options)

    monkeypatch.setattr(revisions, "train", train)
    return read


# The verifier ------------------------------------------------------------------------------------


@pytest.mark.parametrize("trunk", ["model", "verifier", "reviser"])
def test_a_verifier_of_revisions_learns_to_compare_with_what_came_before(path, trunk):
    model = {
        "model": random_gpt(sharpness=0.01),
        "verifier": random_gpt(TINY_VERIFIER, sharpness=0.01),
        "reviser": random_gpt(replace(TINY, history=HISTORY), sharpness=0.01),
    }[trunk]
    recipe = replace(RECIPE, steps=250)
    trained = teach(path, revision_verifier, judged(1024), recipe, model, judged(128, 1))
    unseen = judged(200, 2)
    solutions = [solution_of(led) for led in unseen]
    rows = LabVerifier(trained.model, "tiny").verify_batch(solutions)
    scores = np.array([row.scores.last for row in rows])
    assert auc(scores, np.array([led.label == 1 for led in unseen])) > 0.9
    assert trained.model.shape.history == HISTORY


def test_a_verifier_that_was_not_taught_to_reads_no_earlier_answers(path):
    unled = [replace(led, history=()) for led in judged(64)]
    recipe = replace(RECIPE, steps=2, batch=16)
    model = random_gpt(replace(TINY, history=HISTORY), sharpness=0.01)
    alone = teach(path, revision_verifier, unled, recipe, model, unled, history=0).model
    assert alone.shape.history == 0
    led = [solution_of(led) for led in judged(20, 2)]
    assert all(solution.history for solution in led)
    for reader in (alone, random_gpt(TINY_VERIFIER, seed=3)):
        seen, unseen = (
            LabVerifier(reader, "tiny").verify_batch(solutions)
            for solutions in (led, [replace(each, history=()) for each in led])
        )
        assert [row.scores for row in seen] == [row.scores for row in unseen]
        assert [row.computed_tokens for row in seen] == [row.computed_tokens for row in unseen]


def solution_of(led):
    ends = tuple(at + 1 for at, token in enumerate(led.tokens) if token == LINE)
    return Solution(Problem("p", led.prompt), led.tokens, ends, True, history=led.history)


def test_the_loss_of_a_verifier_is_of_the_very_score_that_verify_gives(path):
    model = random_gpt(replace(TINY_VERIFIER, history=HISTORY), seed=1, sharpness=0.05)
    held_out = judged(40, 1) + [
        RevisionExample(p.prompt, (), exact(p).tokens, 0.0)
        for p in some_problems(20)
        if exact(p).steps < 3
    ]
    recipe = replace(RECIPE, steps=1, rate=0.0)
    trained = teach(path, revision_verifier, judged(16), recipe, model, held_out)
    rows = LabVerifier(model, "tiny").verify_batch([solution_of(led) for led in held_out])
    terms = [
        -np.log(row.scores.last if led.label else 1 - row.scores.last)
        for row, led in zip(rows, held_out, strict=True)
    ]
    assert trained.loss == pytest.approx(np.mean(terms), rel=1e-4)


# Killed ------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


@pytest.mark.parametrize("make", [reviser, revision_verifier], ids=["reviser", "verifier"])
@pytest.mark.parametrize("at", [0, 1, 17, 29])
def test_training_resumed_from_a_checkpoint_is_the_whole_training(tmp_path, monkeypatch, make, at):
    # Epochs of four batches, so that a resumed run finds its place in the middle of one.
    data, held_out = (follow(70), follow(16, 1)) if make is reviser else (judged(70), judged(16, 1))
    recipe = replace(RECIPE, steps=30)
    whole = teach(tmp_path / "a", make, data, recipe, held_out=held_out)
    monkeypatch.setattr("outthink.train.loop.CHECKPOINT_S", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(revisions, "train", dying(revisions.train, at))
        with pytest.raises(Killed):
            teach(tmp_path / "b", make, data, recipe, held_out=held_out)
    resumed = teach(tmp_path / "b", make, data, recipe, held_out=held_out)
    assert same(weights(whole), weights(resumed))
    assert (whole.loss, whole.steps) == (resumed.loss, resumed.steps)


def dying(train, at):
    def die(model, recipe, loss_of, **options):
        def loss(forward, step):
            if step == at:
                raise Killed
            return loss_of(forward, step)

        return train(model, recipe, loss, **options)

    return die


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(tmp_path):
    short = replace(RECIPE, steps=8)
    first, again = teach(tmp_path / "a", recipe=short), teach(tmp_path / "b", recipe=short)
    other = teach(tmp_path / "c", recipe=replace(short, seed=1))
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize("count", [1, 5, 16, 17])
def test_there_may_be_fewer_examples_than_a_batch(path, count):
    trained = teach(path, data=follow(count), recipe=replace(RECIPE, steps=3))
    assert np.isfinite(trained.loss)


def test_an_epoch_has_every_example_once_and_the_next_one_in_another_order(path, monkeypatch):
    seen, inner = [], F.cross_entropy

    def spy(logits, targets, **options):
        if torch.is_grad_enabled():
            seen.append(sorted(targets[targets != -100].tolist()))
        return inner(logits, targets, **options)

    monkeypatch.setattr(revisions.F, "cross_entropy", spy)
    scripted(monkeypatch, list(range(8, 0, -1)))  # never a reason to stop
    data = [RevisionExample(PROBLEM.prompt, (line(i % 10),) * (i % 3), (i, END)) for i in range(20)]
    teach(path, data=data, recipe=replace(RECIPE, steps=8, batch=5))
    firsts = [[token for token in batch if token != END] for batch in seen]
    for epoch in (firsts[:4], firsts[4:]):
        assert sorted(token for batch in epoch for token in batch) == list(range(20))
    assert firsts[:4] != firsts[4:]
