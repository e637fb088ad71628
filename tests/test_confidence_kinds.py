"""Verifiers by the likelihood of what was written: DeepConf and self-certainty."""

import asyncio
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from contract import Waiting, check_verifier, scored
from fake_server import FakeServer
from hf_fixtures import causal, saved
from lab_fixtures import draws, random_gpt, some_problems

from outthink.errors import UsageError
from outthink.lab import tokenizer
from outthink.lab.engine import LabProposer
from outthink.models.openai import OpenAIProposer
from outthink.models.reread import Spread
from outthink.models.transformers import HFProposer
from outthink.models.uniform import from_uniform
from outthink.types import END, Draw, Problem, Scores, Solution
from outthink.verify.certainty import of_all, of_likeliest, self_certainty
from outthink.verify.confidence import confidence
from outthink.verify.deepconf import deepconf, group_confidence
from outthink.verify.named import check, named

K = 4


def place(sure):
    """Log probabilities of K tokens whose mean is -sure, `sure` at least log K."""
    return [-sure] * K


def mapped(sure):
    return 1 - math.log(K) / sure


SURE = [2.0, 3.0, 5.0, 2.5, 4.0, 1.5, 6.0]
PLACES = [place(sure) for sure in SURE]


def slow(how, end, window):
    """By the paper's words: every window of so many tokens, or all where there are fewer."""
    tokens = SURE[:end]
    windows = [tokens[i : i + window] for i in range(max(1, len(tokens) - window + 1))]
    means = sorted(sum(some) / len(some) for some in windows)
    if how == "lowest":
        return means[0]
    if how == "bottom":
        count = max(1, round(0.1 * len(means)))
        return sum(means[:count]) / count
    return sum(tokens[-window:]) / len(tokens[-window:])


@pytest.mark.parametrize("how", ["lowest", "bottom", "tail"])
@pytest.mark.parametrize("window", [1, 2, 3, 7, 100])
def test_group_confidence_is_that_of_every_window_the_slow_way(how, window):
    ends = [1, 3, 7]
    scores = group_confidence(PLACES, ends, window=window, by=how)
    expected = [mapped(slow(how, end, window)) for end in ends]
    assert scores.steps == pytest.approx([max(0.0, score) for score in expected])


def test_the_bottom_tenth_of_many_groups_is_a_mean_of_several():
    sure = np.random.default_rng(1).uniform(1.5, 6, 40)
    places = [place(one) for one in sure]
    (score,) = group_confidence(places, [40], window=1, by="bottom").steps
    assert score == pytest.approx(mapped(np.sort(sure)[:4].mean()))


def test_tokens_of_which_nothing_was_told_are_left_out():
    holes = [PLACES[0], (), PLACES[1]]
    both = group_confidence(holes, [2, 3], window=1, by="tail")
    assert both.steps == pytest.approx((mapped(2.0), mapped(3.0)))
    assert group_confidence([(), PLACES[0]], [1, 2], window=1, by="lowest").steps[0] is None
    assert group_confidence([(), ()], [1, 2], window=1, by="lowest") == Scores((None, None))


def test_self_certainty_is_the_divergence_from_uniform():
    logits = torch.randn(5, 11, dtype=torch.float64)
    likely = logits.log_softmax(-1)
    uniform = torch.full_like(likely, 1 / 11)
    expected = (uniform * (uniform.log() - likely)).sum(-1)
    assert torch.allclose(from_uniform(logits), expected)
    assert from_uniform(torch.zeros(3, 11)).tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_step_is_as_certain_as_all_tokens_up_to_its_end():
    spread = Spread((1.0, 2.0, 6.0), 10, 0, 0)
    steps = of_all(spread, [2, 3]).steps
    assert steps == pytest.approx((1.5 / (1.5 + math.log(10)), 3 / (3 + math.log(10))))


def test_of_the_likeliest_alone_they_are_taken_for_the_vocabulary():
    logits = torch.randn(6, K, dtype=torch.float64)
    places = logits.log_softmax(-1).tolist()
    whole = of_all(Spread(tuple(from_uniform(logits).tolist()), K, 0, 0), [2, 6])
    assert of_likeliest(places, [2, 6]).steps == pytest.approx(whole.steps)


KINDS = {
    "confidence": confidence,
    "deepconf": lambda proposer: deepconf(proposer, window=3),
    "self-certainty": self_certainty,
}


@pytest.mark.parametrize("kind", KINDS)
def test_contract_on_the_lab(kind):
    engine = LabProposer(random_gpt(seed=5, sharpness=1.0), "tiny")
    problems = some_problems(5)
    solutions = [row.solution for row in engine.propose_batch(draws(problems, 2))]
    starts = [Solution.start(problem) for problem in problems[:2]]
    begun = [row.solution for row in engine.propose_batch(draws(problems, 1, until=1))]
    check_verifier(KINDS[kind](engine), [*solutions, *begun, *starts], tolerance=1e-5)


def test_the_lab_tells_the_probabilities_that_it_drew_by():
    model = random_gpt(seed=5, sharpness=1.0)
    engine = LabProposer(model, "tiny")
    (row, *_) = engine.propose_batch(draws(some_problems(1), 1))
    solution = row.solution
    ids = [*tokenizer.encode_prompt(solution.problem.prompt), *solution.tokens]
    with torch.inference_mode():
        logits = model(torch.tensor([ids] * 16))[0, tokenizer.PROMPT_LENGTH - 1 : -1]
    likely = logits[:, : tokenizer.VOCABULARY].log_softmax(-1)
    (reread,) = engine.reread([solution], 3)
    assert np.allclose(reread.top_logprobs, likely.topk(3).values, atol=1e-4)
    assert reread.computed_tokens == len(ids) - 1
    (spread,) = engine.spread([solution])
    assert spread.divergences == pytest.approx(from_uniform(likely).tolist(), abs=1e-4)


@pytest.mark.parametrize("server", ["vllm", "llama.cpp"])
def test_of_a_server_self_certainty_says_that_it_is_approximated(server):
    with FakeServer(server) as fake:
        proposer = asyncio.run(OpenAIProposer.connect(fake.url))
        verifier = Waiting(self_certainty(proposer, top=5))
        draw = Draw(Solution.start(Problem("p", "problem 3")), END, 1.0, 7)
        (drawn,) = Waiting(proposer).propose_batch([draw])
        (row,) = scored(verifier, [drawn.solution])
    assert verifier.name.startswith("self-certainty-top-5-")
    assert len(row.scores.steps) == drawn.solution.steps and 0 < row.scores.last < 1


def test_a_server_that_tells_nothing_is_refused_by_name():
    with FakeServer("chat") as fake:
        proposer = asyncio.run(OpenAIProposer.connect(fake.url))
        for name in ("deepconf(window=4)", "self_certainty"):
            with pytest.raises(UsageError, match="gives no log probabilities"):
                named(name, proposer)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("deepconf(by=first)", "lowest, bottom, tail"),
        ("deepconf(window=0)", "no whole number from 1"),
        ("deepconf(window=8,window=9)", "given twice"),
        ("deepconf(width=8)", "unknown option 'width'"),
        ("deepconf(lowest)", "write it as OPTION=VALUE"),
        ("deepconf(window=8", "a bracket is not closed"),
        ("deepconf:model", "unknown verifier"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, said):
    with pytest.raises(UsageError, match=said):
        check(name)
        named(name, LabProposer(random_gpt(), "tiny"))


def test_the_score_of_a_prefix_is_what_it_was_when_the_solution_goes_on():
    engine = LabProposer(random_gpt(seed=5, sharpness=1.0), "tiny")
    drawn = (row.solution for row in engine.propose_batch(draws(some_problems(4), 4)))
    whole = next(solution for solution in drawn if solution.steps > 1)
    end = whole.step_ends[0]
    prefix = replace(whole, tokens=whole.tokens[:end], step_ends=(end,), finished=False)
    for kind in KINDS.values():
        one, other = scored(kind(engine), [whole, prefix])
        assert one.scores.steps[0] == pytest.approx(other.scores.steps[0], abs=1e-5)


def test_transformers_tell_whole_distributions_too(tmp_path):
    saved(tmp_path, causal())
    engine = HFProposer.load(str(tmp_path))
    draw = Draw(Solution.start(Problem("p", "1?")), END, 1.0, 7)
    solution = engine.propose_batch([draw])[0].solution
    (spread,) = engine.spread([solution])
    (reread,) = engine.reread([solution], spread.vocabulary)
    expected = [-np.mean(place) - math.log(spread.vocabulary) for place in reread.top_logprobs]
    assert spread.divergences == pytest.approx(expected, abs=1e-5)
    assert spread.computed_tokens == reread.computed_tokens > 0
    (row,) = scored(self_certainty(engine), [solution])
    assert row.scores == of_all(spread, solution.step_ends)
