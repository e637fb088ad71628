"""The transformer: what is cached and forked is what reading everything again would give."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from contract import same_every_time
from hypothesis import given
from hypothesis import strategies as st
from lab_fixtures import TINY, TINY_VERIFIER, random_gpt, some_problems, tokens_of
from safetensors.torch import load_file, save_file

from outthink.data.task import DIGITS, MAX_STEPS
from outthink.errors import UsageError, WeightsError
from outthink.lab import recipes
from outthink.lab.gpt import GPT, Cache, gather, load, save, with_history, with_hope
from outthink.lab.models import LabModels
from outthink.lab.tokenizer import END, EQUALS, LINE, encode_prompt, place

MODEL = random_gpt()
TOKENS = torch.randint(0, TINY.vocabulary, (3, TINY.context), generator=torch.Generator())


def forward(tokens, model=MODEL):
    with torch.inference_mode():
        return model(tokens)


def extend(tokens, cache, model=MODEL):
    with torch.inference_mode():
        return model.extend(tokens, cache)


def read(tokens):
    """A cache that has read `tokens`, one row each."""
    cache = Cache.empty(MODEL.shape, len(tokens), MODEL.head.weight.detach())
    extend(tokens, cache)
    return cache


def contents(cache):
    """Copies of everything a cache has read."""
    n, depth = cache.length, TINY.width // TINY.heads
    parts = [part[:, :, :n] for layer in cache.layers for part in tokens_of(layer, depth)]
    return [*parts, cache.tokens[:, :n].clone()]


@given(st.lists(st.integers(1, TINY.context - 1), unique=True, max_size=12).map(sorted))
@same_every_time
def test_extending_in_any_split_is_reading_at_once(cuts):
    cache = read(TOKENS[:, :0])
    bounds = [0, *cuts, TINY.context]
    parts = [extend(TOKENS[:, a:b], cache) for a, b in pairwise(bounds)]
    torch.testing.assert_close(torch.cat(parts, 1), forward(TOKENS), rtol=1e-4, atol=1e-5)
    assert cache.length == TINY.context
    assert torch.equal(cache.tokens, TOKENS)


def test_no_output_depends_on_a_later_token():
    outputs = forward(TOKENS)
    for length in (1, 7, 8, 15, 16, 40):
        changed = TOKENS.clone()
        changed[:, length:] = (changed[:, length:] + 1) % TINY.vocabulary
        torch.testing.assert_close(forward(changed)[:, :length], outputs[:, :length])
        assert not torch.allclose(forward(changed)[:, length:], outputs[:, length:])


def test_gather_forks_rows_of_several_caches_in_order():
    a, b = read(TOKENS[:2, :20]), read(TOKENS[:, :20])
    forked = gather([(a, torch.tensor([1, 1])), (b, torch.tensor([2, 0]))], 20)
    rows = TOKENS[[1, 1, 2, 0]]
    assert (forked.rows, forked.length) == (4, 20)
    assert torch.equal(forked.tokens[:, :20], rows[:, :20])
    torch.testing.assert_close(
        extend(rows[:, 20:], forked), forward(rows)[:, 20:], rtol=1e-4, atol=1e-5
    )


def test_a_fork_of_a_shorter_prefix_goes_on_from_there():
    cache = read(TOKENS[:, :30])
    other = (TOKENS[:1, 10:30] + 1) % TINY.vocabulary
    forked = gather([(cache, torch.tensor([0]))], 10)
    whole = torch.cat([TOKENS[:1, :10], other], 1)
    torch.testing.assert_close(extend(other, forked), forward(whole)[:, 10:], rtol=1e-4, atol=1e-5)


def test_rows_that_were_cut_out_fork_as_those_within_their_cache():
    cache = read(TOKENS[:3, :20])
    cut = cache.cut(torch.tensor([2, 0]), 15)
    assert cut.capacity == cut.length == 15 < cache.capacity
    of_both = [(cut, torch.tensor([0])), (cache, torch.tensor([1])), (cut, torch.tensor([1, 0]))]
    mixed = gather(of_both, 15, cache.capacity)
    whole = gather([(cache, torch.tensor([2, 1, 0, 2]))], 15)
    rows = TOKENS[[2, 1, 0, 2], 15:]
    assert torch.equal(extend(rows, mixed), extend(rows, whole))


def test_what_is_written_to_a_fork_leaves_its_source_alone():
    source = read(TOKENS[:, :20])
    before = contents(source)
    forked = gather([(source, torch.tensor([0, 2, 2]))], 20)
    extend(TOKENS[:, 20:40], forked)
    assert source.length == 20
    assert all(map(torch.equal, contents(source), before))
    torch.testing.assert_close(
        extend(TOKENS[:, 20:], source), forward(TOKENS)[:, 20:], rtol=1e-4, atol=1e-5
    )


def test_large_is_about_fourteen_times_small():
    s, large = (GPT(shape).parameters_count for shape in (recipes.S, recipes.L))
    assert 13 < large / s < 15


# Earlier solutions -------------------------------------------------------------------------------

TELLING = random_gpt(replace(TINY, history=4), seed=3)
"""A model that tells earlier solutions apart."""
PROBLEM = some_problems(1)[0]


def written(lengths, seed=0):
    """Solutions of these lengths in steps, of any digits."""
    rng = np.random.default_rng(seed)
    found = []
    for steps in lengths:
        factors, values = rng.integers(10, 18, steps), rng.integers(0, 10, (steps, DIGITS))
        tokens = []
        for factor, value in zip(factors.tolist(), values.tolist(), strict=True):
            tokens += [factor, EQUALS, *value, LINE]
        found.append((*tokens, END))
    return found


def led(histories, tokens, model):
    """A cache that has read earlier solutions, and the outputs of prompt and solution after them;
    all histories are of one length in tokens."""
    prompt = encode_prompt(PROBLEM.prompt)
    ids = torch.from_numpy(np.stack([place(prompt, history, None) for history in histories]))
    cache = Cache.empty(model.shape, len(ids), model.head.weight.detach(), ids.size(2))
    with torch.inference_mode():
        model.lead(ids, cache)
    return extend(torch.tensor([[*prompt, *tokens]] * len(ids)), cache, model)


def whole(history, tokens, model):
    """Outputs of everything read at once."""
    ids = place(encode_prompt(PROBLEM.prompt), history, tokens)
    with torch.inference_mode():
        return model.read(torch.from_numpy(ids)[None])


@pytest.mark.parametrize("model", [MODEL, TELLING], ids=["telling none apart", "telling apart"])
@given(st.lists(st.integers(1, MAX_STEPS), min_size=1, max_size=4), st.integers(1, MAX_STEPS))
@same_every_time
def test_extending_after_earlier_solutions_is_reading_everything_at_once(model, lengths, steps):
    history, (tokens,) = written(lengths), written([steps], seed=1)
    outputs = led([history, history[::-1]], tokens, model)
    for row, order in enumerate((history, history[::-1])):
        expected = whole(order, tokens, model)[0, sum(map(len, history)) :]
        torch.testing.assert_close(outputs[row], expected, rtol=1e-4, atol=1e-4)


def test_reading_with_places_told_is_reading_where_nothing_leads():
    (tokens,) = written([3])
    ids = torch.tensor([[*encode_prompt(PROBLEM.prompt), *tokens]])
    torch.testing.assert_close(whole((), tokens, MODEL), forward(ids), rtol=1e-4, atol=1e-5)
    cache = read(ids[:, :0])
    torch.testing.assert_close(whole((), tokens, MODEL), extend(ids, cache), rtol=1e-4, atol=1e-5)


def test_earlier_solutions_and_their_order_change_what_is_said():
    (tokens,), history = written([2], seed=1), written([2, 3])
    for model in (MODEL, TELLING):
        alone, after = whole((), tokens, model), whole(history, tokens, model)
        turned = whole(history[::-1], tokens, model)
        assert not torch.allclose(alone, after[:, sum(map(len, history)) :], atol=1e-3)
        assert not torch.allclose(after[0, -1], turned[0, -1], atol=1e-3)


def test_ages_are_what_tells_earlier_solutions_apart():
    prompt, history = encode_prompt(PROBLEM.prompt), written([2, 2])
    ids = torch.from_numpy(place(prompt, history, ()))[None]
    swapped = ids.clone()
    swapped[0, 4][ids[0, 4] == 1], swapped[0, 4][ids[0, 4] == 2] = 2, 1
    with torch.inference_mode():
        assert not torch.allclose(TELLING.read(ids), TELLING.read(swapped), atol=1e-3)
        assert torch.equal(MODEL.read(ids), MODEL.read(swapped))


def test_what_leads_is_forked_with_a_cache():
    (tokens,), history = written([4], seed=1), written([2, 3])
    prompt = encode_prompt(PROBLEM.prompt)
    ids = torch.from_numpy(place(prompt, history, None))[None]
    cache = Cache.empty(TELLING.shape, 1, TELLING.head.weight.detach(), ids.size(2))
    with torch.inference_mode():
        TELLING.lead(ids, cache)
    extend(torch.tensor([prompt]), cache, TELLING)
    forked = gather([(cache, torch.tensor([0, 0]))], cache.length)
    assert forked.lead == ids.size(2)
    outputs = extend(torch.tensor([tokens] * 2), forked, TELLING)
    expected = whole(history, tokens, TELLING)[0, -len(tokens) :]
    for row in outputs:
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-4)


def test_there_is_room_for_four_of_the_longest_and_a_fifth():
    history, (tokens,) = written([MAX_STEPS] * 4), written([MAX_STEPS], seed=1)
    outputs = led([history], tokens, TELLING)
    assert outputs.shape[1] == TINY.context
    torch.testing.assert_close(
        outputs[0], whole(history, tokens, TELLING)[0, -TINY.context :], rtol=1e-4, atol=1e-4
    )


def test_a_model_made_to_tell_apart_says_what_it_said_before():
    (tokens,), history = written([4], seed=1), written([2, 3])
    grown = with_history(MODEL, 4)
    assert grown.shape == replace(MODEL.shape, history=4)
    for before in ((), history):
        assert torch.equal(whole(before, tokens, grown), whole(before, tokens, MODEL))
    assert grown.parameters_count == MODEL.parameters_count + 5 * MODEL.shape.width


def test_a_model_given_hope_says_what_it_said_before_and_hopes_for_nothing():
    grown = with_hope(TELLING)
    assert grown.shape == replace(TELLING.shape, outputs=TELLING.shape.outputs + 1)
    (tokens,), history = written([4], seed=1), written([2, 3])
    said, before = whole(history, tokens, grown), whole(history, tokens, TELLING)
    torch.testing.assert_close(said[..., :-1], before)
    assert (said[..., -1] == 0).all()


def test_a_solution_of_its_own_age_is_told_nothing_even_after_training():
    model = with_history(MODEL, 2)
    model.read(torch.from_numpy(place(encode_prompt(PROBLEM.prompt), written([1]), (1, 2)))[None])[
        0, -1
    ].sum().backward()
    assert (model.age.weight.grad[0] == 0).all() and (model.age.weight.grad[1] != 0).any()


def test_a_model_that_tells_apart_is_saved_and_loaded(path):
    save(TELLING, path, {})
    loaded, _ = load(path)
    assert loaded.shape.history == 4
    (tokens,), history = written([2], seed=1), written([2, 3])
    assert torch.equal(whole(history, tokens, loaded), whole(history, tokens, TELLING))


# Files -------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.safetensors"


@pytest.fixture
def saved(path):
    save(MODEL, path, {"loss": "0.1"})
    return path


def refused(path, *parts):
    """The one line that `load` refuses a file with."""
    with pytest.raises(WeightsError) as caught:
        load(path)
    said = str(caught.value)
    assert "\n" not in said and str(path) in said and "outthink lab train" in said
    assert all(part in said for part in parts), said
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize("shape", [TINY, TINY_VERIFIER], ids=["model", "verifier"])
def test_what_is_saved_is_loaded(path, shape):
    model = random_gpt(shape)
    save(model, path, {"loss": "0.1", "command": "outthink lab train"})
    loaded, facts = load(path)
    assert loaded.shape == shape and not loaded.training
    assert facts == {"loss": "0.1", "command": "outthink lab train"}
    assert torch.equal(forward(TOKENS, loaded), forward(TOKENS, model))


def test_saving_leaves_one_file_and_replaces_what_was_there(saved):
    save(random_gpt(seed=1), saved, {})
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]
    assert not torch.equal(load(saved)[0].head.weight, MODEL.head.weight)


def test_a_save_that_fails_leaves_the_old_file_whole(saved, monkeypatch):
    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="no space"):
        save(random_gpt(seed=1), saved, {})
    assert torch.equal(load(saved)[0].head.weight, MODEL.head.weight)


def test_missing_weights_are_refused(path):
    refused(path, "cannot read")
    with pytest.raises(WeightsError):
        LabModels(path.parent).proposer("s")
    with pytest.raises(WeightsError):
        LabModels(path.parent).verifier("orm")


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 5000, -1])
def test_weights_cut_short_are_refused(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    refused(saved, "cannot read")


def test_a_file_of_something_else_is_refused(path):
    path.write_bytes(bytes(range(256)) * 8)
    refused(path, "cannot read")
    path.unlink()
    path.mkdir()
    refused(path, "cannot read")


def rewritten(path, shape=None, weights=None):
    """The saved file with another shape or other weights in it."""
    save(MODEL, path, {})
    known = json.dumps(shape) if shape is not None else shape_of(path)
    save_file(weights if weights is not None else load_file(path), path, {"shape": known})


def shape_of(path):
    header = path.read_bytes()
    length = int.from_bytes(header[:8], "little")
    return json.loads(header[8 : 8 + length])["__metadata__"]["shape"]


def test_weights_without_a_shape_are_refused(path):
    save_file(MODEL.state_dict(), path, {"loss": "1"})
    refused(path, "do not match")
    save_file(MODEL.state_dict(), path)
    refused(path, "do not match")


@pytest.mark.parametrize(
    "change",
    [
        {"width": 32},
        {"layers": 3},
        {"vocabulary": 21},
        {"outputs": 23},
        {"heads": 0},
        {"width": "wide"},
        {"steps": []},
        {"offsets": None},
        {"depth": 4},
    ],
    ids=str,
)
def test_weights_of_another_shape_are_refused(saved, change):
    shape = json.loads(shape_of(saved))
    rewritten(saved, shape | change)
    refused(saved, "do not match")


@pytest.mark.parametrize("shape", [[], 7, "tiny", None])
def test_a_shape_that_is_none_is_refused(saved, shape):
    save_file(MODEL.state_dict(), saved, {"shape": json.dumps(shape)})
    refused(saved, "do not match")


def test_a_missing_and_a_surplus_tensor_are_refused(path):
    weights = MODEL.state_dict()
    rewritten(path, weights={k: v for k, v in weights.items() if k != "head.weight"})
    refused(path, "head.weight")
    rewritten(path, weights=weights | {"tail.weight": torch.zeros(2)})
    refused(path, "tail.weight")


# Shipped -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["s", "l", "prm", "orm"])
def test_shipped_weights_load_and_say_how_they_were_made(which):
    facts = LabModels().facts(which)
    assert facts["command"].startswith("outthink lab train")
    assert {"seed", "steps", "loss", "seconds", "machine", "outthink"} <= facts.keys()


def test_shipped_engines_are_named_after_the_content_of_their_weights(tmp_path):
    proposer = LabModels().proposer("s")
    copy = tmp_path / "s.safetensors"
    copy.write_bytes((LabModels().folder / "s.safetensors").read_bytes())
    assert LabModels(tmp_path).proposer("s").name == proposer.name
    save(MODEL, copy, {})
    assert LabModels(tmp_path).proposer("s").name != proposer.name
    assert LabModels().verifier("prm").name.startswith("lab-prm-")


def test_rows_of_several_lengths_decoded_in_step_have_the_bits_of_each_length_alone():
    rows = torch.randint(0, TINY.vocabulary, (16, 9), generator=torch.Generator())
    newest = rows[:, -1:]
    alone, together = ([read(rows[:, :length]) for length in (3, 5, 8)] for _ in range(2))
    with torch.inference_mode():
        for _ in range(3):
            expected = [extend(newest, cache) for cache in alone]
            outputs = MODEL.decode([newest] * 3, together)
            assert all(map(torch.equal, outputs, expected))
    assert [cache.length for cache in together] == [6, 8, 11]
    for one, other in zip(alone, together, strict=True):
        assert all(map(torch.equal, contents(one), contents(other)))
