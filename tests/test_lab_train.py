"""Training: it learns, it can be killed anywhere, and what it reads follows from the seed alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from lab_fixtures import (
    LANGUAGE,
    TINY,
    exact,
    killable,
    random_gpt,
    some_problems,
)
from safetensors.torch import load_file

from outthink.data import task
from outthink.errors import RunError, WeightsError
from outthink.lab import recipes, tokenizer
from outthink.lab.build import Build, Labels, build, relabelled
from outthink.lab.gpt import GPT
from outthink.lab.models import VARIANTS, LabModels
from outthink.lab.train import Examples, Recipe, language_model, train, verifier
from outthink.train.loop import Watch
from outthink.train.rollouts import Labelled
from outthink.types import Solution

SHORT = Recipe(steps=30, batch=8, rate=1e-2, seed=3, warmup=5)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.checkpoint"


def weights(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def learn(path, recipe=SHORT, shape=TINY):
    return language_model(shape, recipe, checkpoint=path, label="tiny")


class Seen:
    """A loss that notes what it was asked for; it falls as the weights do."""

    def __init__(self):
        self.steps = []

    def __call__(self, forward, step):
        self.steps.append(step)
        return forward(torch.tensor([[step % 7, 3, 1]])).square().mean()


def run(model, recipe, path, loss=None, watch=None):
    return train(
        model,
        recipe,
        loss or Seen(),
        checkpoint=path,
        label="tiny",
        tokens_per_step=1,
        watch=watch,
    )


def test_the_loss_falls(tmp_path):
    brief = learn(tmp_path / "a", replace(SHORT, steps=2))
    longer = learn(tmp_path / "b")
    assert brief.loss > 2.5 > 2.0 > longer.loss
    assert (longer.steps, longer.model.training) == (30, False)


def test_the_same_recipe_gives_the_same_weights_and_another_seed_others(tmp_path):
    first, again = learn(tmp_path / "a"), learn(tmp_path / "b")
    other = learn(tmp_path / "c", replace(SHORT, seed=4))
    assert same(weights(first.model), weights(again.model)) and first.loss == again.loss
    assert not same(weights(first.model), weights(other.model))


def test_every_step_is_taken_once_and_in_order(path):
    loss = Seen()
    run(random_gpt(), SHORT, path, loss)
    assert loss.steps == list(range(30))


def test_the_rate_rises_stays_and_falls():
    recipe = Recipe(steps=1000, batch=1, rate=2.0, seed=0, warmup=100, decay=0.4)
    rates = [recipe.rate_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.02) and rates[99:601] == [2.0] * 502
    assert rates[:100] == sorted(rates[:100]) and rates[600:] == sorted(rates[600:])[::-1]
    assert 0 < rates[-1] < 0.01


def batches(path, recipe, monkeypatch):
    """The batches a language model is trained on, by step."""
    found = []
    forward = GPT.forward

    def spy(self, tokens):
        found.append(tokens.clone())
        return forward(self, tokens)

    with monkeypatch.context() as patch:
        patch.setattr(GPT, "forward", spy)
        learn(path, recipe)
    return found


def test_batch_i_depends_on_the_seed_and_i_alone(tmp_path, monkeypatch):
    whole = batches(tmp_path / "a", replace(SHORT, steps=70, batch=2), monkeypatch)
    brief = batches(tmp_path / "b", replace(SHORT, steps=40, batch=2, rate=1e-3), monkeypatch)
    other = batches(tmp_path / "c", replace(SHORT, steps=1, batch=2, seed=9), monkeypatch)
    assert all(map(torch.equal, whole, brief)) and len(brief) == 40
    assert not torch.equal(whole[0], other[0])
    assert len({tuple(batch.flatten().tolist()) for batch in whole}) == 70


def test_training_reads_no_problem_of_another_stream(tmp_path, monkeypatch):
    for batch in batches(tmp_path / "a", replace(SHORT, steps=20), monkeypatch):
        for row in batch.tolist():
            factors = [task.FACTORS[t - 10] for t in row[: task.MAX_STEPS] if t != tokenizer.PAD]
            start = int("".join(map(str, row[task.MAX_STEPS + 1 : tokenizer.PROMPT_LENGTH - 1])))
            assert task.stream_of(task.Chain(start, tuple(factors))) == task.Stream.TRAIN


# Checkpoints -------------------------------------------------------------------------------------


def test_training_resumed_after_its_end_gives_the_same_and_takes_no_step(path):
    first, loss = run(random_gpt(), SHORT, path), Seen()
    again = run(random_gpt(seed=8), SHORT, path, loss)
    assert loss.steps == []
    assert same(weights(first.model), weights(again.model))
    assert (again.loss, again.steps) == (first.loss, first.steps)


class Killed(Exception):
    pass


@pytest.mark.parametrize("at", [0, 1, 13, 28, 29])
def test_training_resumed_from_a_checkpoint_is_the_whole_training(tmp_path, monkeypatch, at):
    monkeypatch.setattr("outthink.train.loop.CHECKPOINT_S", -1.0)
    inner = Seen()

    def dying(forward, step):
        if step == at:
            raise Killed
        return inner(forward, step)

    whole = run(random_gpt(), SHORT, tmp_path / "a")
    with pytest.raises(Killed):
        run(random_gpt(), SHORT, tmp_path / "b", dying)
    loss = Seen()
    resumed = run(random_gpt(), SHORT, tmp_path / "b", loss)
    assert loss.steps == list(range(at, 30))
    assert same(weights(whole.model), weights(resumed.model)) and whole.loss == resumed.loss


def test_a_checkpoint_that_the_first_version_wrote_is_gone_on_from(tmp_path, monkeypatch):
    monkeypatch.setattr("outthink.train.loop.CHECKPOINT_S", -1.0)

    def dying(forward, step):
        if step == 29:
            raise Killed
        return Seen()(forward, step)

    watch = Watch(4, lambda model: float(model.head.weight.detach().abs().sum()), 9)
    whole = run(random_gpt(), SHORT, tmp_path / "a", watch=watch)
    path = tmp_path / "b"
    with pytest.raises(Killed):
        run(random_gpt(), SHORT, path, dying, watch)
    kept = torch.load(path, weights_only=True)
    kept["model"] = kept.pop("weights")
    for name in ("tokens", "first"):
        del kept[name]
    torch.save(kept, path)
    loss = Seen()
    resumed = run(random_gpt(), SHORT, path, loss, watch)
    assert loss.steps == [29]
    assert same(weights(whole.model), weights(resumed.model)) and whole.loss == resumed.loss


@pytest.mark.parametrize("change", [{"steps": 31}, {"seed": 1}, {"rate": 2e-2}, {"batch": 9}])
def test_a_checkpoint_of_another_recipe_is_refused(path, change):
    learn(path)
    with pytest.raises(WeightsError, match=r"another recipe or shape; .* delete it") as caught:
        learn(path, replace(SHORT, **change))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_checkpoint_of_another_shape_is_refused(path):
    learn(path)
    with pytest.raises(WeightsError, match="another recipe or shape"):
        learn(path, shape=recipes.shape(width=16, layers=1, heads=2))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_checkpoint_that_cannot_be_read_is_refused_in_one_line(path, content):
    learn(path)
    path.write_bytes(path.read_bytes()[:1000] if content is None else content)
    with pytest.raises(WeightsError, match="cannot read the checkpoint") as caught:
        learn(path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="cannot write the checkpoint") as caught:
        learn(tmp_path / "file" / "model.checkpoint")
    assert "\n" not in str(caught.value)


# Early stopping ----------------------------------------------------------------------------------


class Readings:
    """A held-out loss that follows a script, and keeps the weights it read."""

    def __init__(self, *losses):
        self.losses = list(losses)
        self.read = []

    def __call__(self, model):
        assert not model.training
        self.read.append(weights(model))
        return self.losses[len(self.read) - 1]


def test_early_stopping_keeps_the_weights_of_the_best_reading(path):
    readings = Readings(3.0, 1.0, 2.0, 1.0, 1.5, 0.0)
    trained = run(random_gpt(), replace(SHORT, steps=100), path, watch=Watch(4, readings, 3))
    assert trained.steps == 20 and len(readings.read) == 5
    assert trained.loss == 1.0
    assert same(weights(trained.model), readings.read[1])
    assert not trained.model.training


def test_early_stopping_never_begins_while_readings_improve(path):
    readings = Readings(*range(7, 0, -1))
    trained = run(random_gpt(), SHORT, path, watch=Watch(4, readings, 1))
    assert (trained.steps, trained.loss) == (30, 1)
    assert same(weights(trained.model), readings.read[-1])


def test_early_stopping_that_was_resumed_remembers_its_best(tmp_path, monkeypatch):
    monkeypatch.setattr("outthink.train.loop.CHECKPOINT_S", -1.0)
    script = (3.0, 1.0, 2.0, 1.5, 1.2)
    whole = run(
        random_gpt(),
        replace(SHORT, steps=100),
        tmp_path / "a",
        watch=Watch(4, Readings(*script), 3),
    )

    def dying(forward, step):
        if step == 13:
            raise Killed
        return Seen()(forward, step)

    recipe, path = replace(SHORT, steps=100), tmp_path / "b"
    with pytest.raises(Killed):
        run(random_gpt(), recipe, path, dying, Watch(4, Readings(*script), 3))
    resumed = run(random_gpt(), recipe, path, watch=Watch(4, Readings(*script[3:]), 3))
    assert (resumed.steps, resumed.loss) == (whole.steps, whole.loss) == (20, 1.0)
    assert same(weights(resumed.model), weights(whole.model))


def test_a_training_too_short_for_a_reading_is_read_at_its_end(path):
    trained = run(random_gpt(), SHORT, path, watch=Watch(1000, Readings(0.7), 3))
    assert trained.loss == 0.7


# Verifiers ---------------------------------------------------------------------------------------


def labelled(count, seed=0):
    """Exact solutions, every other one with its last digit changed from some step on."""
    found = []
    for at, problem in enumerate(some_problems(count, seed)):
        solution = exact(problem)
        if at % 2:
            tokens = list(solution.tokens)
            tokens[solution.step_ends[0] - 2] = (tokens[solution.step_ends[0] - 2] + 1) % 10
            solution = replace(solution, tokens=tuple(tokens), answer=None)
        found.append(Labelled(solution, (float(at % 2 == 0),) * solution.steps))
    return found


def test_examples_hold_a_label_at_the_last_token_of_each_step():
    examples = labelled(20)
    data = Examples.of(examples)
    assert data.tokens.shape == data.labels.shape == (20, tokenizer.CONTEXT)
    for example, tokens, row in zip(examples, data.tokens, data.labels, strict=True):
        places = torch.nonzero(~row.isnan())[:, 0]
        assert (tokens[places] == tokenizer.LINE).all()
        ends = [tokenizer.PROMPT_LENGTH + end - 1 for end in example.solution.step_ends]
        assert places.tolist() == ends
        assert row[places].tolist() == list(example.labels)


def test_examples_of_an_outcome_verifier_hold_the_last_label_alone():
    whole, last = Examples.of(labelled(20)), Examples.of(labelled(20), last_only=True)
    assert torch.equal(whole.tokens, last.tokens)
    assert (~last.labels.isnan()).sum(1).tolist() == [1] * 20
    known = ~last.labels.isnan()
    assert torch.equal(last.labels[known], whole.labels[known])


def teach(path, data, held_out, **options):
    recipe = Recipe(**{"steps": 20, "batch": 8, "rate": 1e-2, "seed": 0, "warmup": 2} | options)
    return verifier(
        random_gpt(),
        recipe,
        Examples.of(data),
        Examples.of(held_out),
        checkpoint=path,
        label="tiny",
    )


def test_a_verifier_begins_as_the_model_it_is_made_from(path):
    trained = teach(path, labelled(16), labelled(4, 1), steps=1, rate=0.0)
    weights_of = trained.model.state_dict()
    for name, weight in random_gpt().state_dict().items():
        assert torch.equal(weights_of[name][: len(weight)], weight)
    assert (weights_of["head.weight"][-1] == 0).all()


def test_a_verifier_learns_and_is_the_same_every_time(tmp_path):
    data, held_out = labelled(64), labelled(16, 1)
    brief = teach(tmp_path / "a", data, held_out, steps=1)
    longer = teach(tmp_path / "b", data, held_out)
    again = teach(tmp_path / "c", data, held_out)
    assert longer.loss < 0.8 * brief.loss
    assert same(weights(longer.model), weights(again.model))


@pytest.mark.parametrize("count", [1, 5, 8, 9])
def test_a_verifier_trains_on_fewer_examples_than_a_batch(path, count):
    trained = teach(path, labelled(count), labelled(2, 1), steps=3)
    assert np.isfinite(trained.loss)


def test_labels_of_other_kinds_follow_from_the_shares():
    problem = task.problems(task.Stream.TRAIN, 1, 0)[0]
    samples = [
        Labelled(
            Solution(problem, (7, number, 9), (1, 2, 3), True), (0.25, 0.75, float(number % 2))
        )
        for number in range(4000)
    ]
    assert relabelled(samples, Labels.SOFT, 0) == samples
    hard = relabelled(samples, Labels.HARD, 0)
    assert {each.labels for each in hard} == {(1.0, 1.0, 0.0), (1.0, 1.0, 1.0)}
    once = relabelled(samples, Labels.ONCE, 0)
    first, second, last = np.array([each.labels for each in once]).T
    assert len(set(first)) == 1  # one prefix, one rollout
    assert set(second) == {0.0, 1.0} and abs(second.mean() - 0.75) < 0.03
    assert (last == np.arange(4000) % 2).all()
    assert relabelled(samples, Labels.ONCE, 0) == once != relabelled(samples, Labels.ONCE, 1)


# Killed by the system ----------------------------------------------------------------------------


def test_resume_of_a_training_killed_at_random_gives_the_same_weights_bit_for_bit(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    with killable("language_model") as process:
        assert process.run(whole)
        hits = process.run_through(killed, kills=8, longest_s=0.25, seed=1)
    assert hits >= 3
    (a, *facts), (b, *others) = (torch.load(folder / "done") for folder in (whole, killed))
    assert same(a, b) and facts == others == [LANGUAGE.steps, facts[1]]


def test_resume_of_a_build_killed_at_random_gives_the_same_models(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with killable("lab") as process:
        assert process.run(whole)
        hits = process.run_through(killed, kills=8, longest_s=0.6, seed=2)
        assert hits >= 3
        made = {file.name: file.stat().st_mtime_ns for file in killed.glob("*.safetensors")}
        assert process.run(killed)  # once more: everything is there
    assert made == {f.name: f.stat().st_mtime_ns for f in killed.glob("*.safetensors")}
    names = ("s", "l", "prm", "orm", "reviser", "revision", *VARIANTS)
    assert set(made) == {f"{name}.safetensors" for name in names}
    for name in made:
        assert same(load_file(whole / name), load_file(killed / name)), name
        assert not list(killed.glob("*.part"))
    assert "--problems 8 --samples 2 --rollouts 2" in LabModels(killed).facts("prm")["command"]


def test_a_build_whose_samples_do_not_parse_says_what_to_do(tmp_path, monkeypatch):
    for name in ("S_RECIPE", "L_RECIPE"):
        monkeypatch.setattr(recipes, name, replace(SHORT, steps=1))
    monkeypatch.setattr(recipes, "S", TINY)
    monkeypatch.setattr(recipes, "L", TINY)
    with pytest.raises(RunError, match="give more --problems, or train longer") as caught:
        build(Build(tmp_path / "lab", problems=2, samples=1, rollouts=1), lambda said: None)
    assert "\n" not in str(caught.value)


def test_a_build_into_a_file_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="name another --out"):
        build(Build(tmp_path / "file" / "lab"), lambda said: None)


def test_a_plan_says_how_to_run_it_again(tmp_path):
    plan = Build(tmp_path, seed=4, problems=8, samples=2, rollouts=3, compiled=True, scale=0.5)
    assert plan.command == (
        "outthink lab train --seed 4 --problems 8 --samples 2 --rollouts 3 --compile --scale 0.5"
    )
    assert plan.recipe(SHORT) == replace(SHORT, seed=4, steps=15)
    assert replace(plan, scale=1e-9).recipe(SHORT).steps == 1


def test_a_folder_of_another_training_is_left_alone(tmp_path):
    (tmp_path / "command.txt").write_text("outthink lab train --seed 7\n")
    with pytest.raises(WeightsError, match="give another --out") as caught:
        build(Build(out=tmp_path, seed=8), print)
    assert "--seed 7" in str(caught.value) and "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["command.txt"]
