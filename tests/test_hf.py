"""Models of transformers in process: what they draw, what they keep, and what they count."""

import gc
import threading

import pytest

from outthink.run.team import Team

pytest.importorskip("transformers", reason="needs transformers (outthink[transformers])")

import torch
from contract import check_proposer, check_verifier, results, solve
from hf_fixtures import (
    SETTING,
    TEMPLATE,
    asked,
    causal,
    classifier,
    last_letter,
    saved,
    tokenizer,
)

from outthink.errors import UsageError
from outthink.models import transformers as hf
from outthink.models.openai import Setting
from outthink.models.transformers import HFProposer
from outthink.models.weights import wrap
from outthink.run.journal import Job
from outthink.search import strategy
from outthink.types import END, Budget, Draw, Problem, Solution
from outthink.verify.confidence import step_confidence
from outthink.verify.named import named
from outthink.verify.written import solution_text

KINDS = ["Llama", "Qwen2", "Qwen3", "Gemma2", "Mistral", "Phi3"]


def proposer(model=None, setting=SETTING, template=TEMPLATE, **options):
    loaded = wrap("tiny", model or causal(), tokenizer(template), setting)
    return HFProposer(loaded, read=last_letter, **options)


def draws(prefixes, until=END, temperature=1.0):
    return [Draw(prefix, until, temperature, seed) for seed, prefix in enumerate(prefixes)]


def starts(count):
    return [Solution.start(problem) for problem in asked(count)]


def without_state(solution):
    return Solution(solution.problem, solution.tokens, solution.step_ends)


@pytest.mark.parametrize(("rows", "problems"), [(64, 4), (5, 6)])
def test_hf_keeps_the_contract_of_a_proposer(rows, problems):
    check_proposer(proposer(rows=rows), asked(problems))


@pytest.mark.parametrize("kind", KINDS)
def test_hf_draws_the_same_alone_and_in_a_batch_for_any_family(kind):
    model = proposer(causal(kind))
    together = model.propose_batch(draws(starts(8)))
    alone = [model.propose_batch([draw])[0] for draw in draws(starts(8))]
    assert [row.solution for row in together] == [row.solution for row in alone]
    assert len({row.solution.tokens for row in together}) == 8


@pytest.mark.parametrize("kind", KINDS)
def test_hf_a_forked_prefix_goes_on_as_one_read_from_scratch(kind):
    model = proposer(causal(kind, seed=1 if kind == "Qwen3" else 0))
    firsts = [row.solution for row in model.propose_batch(draws(starts(8) * 4, until=1))]
    opened = [first for first in firsts if first.is_open]
    assert opened and all(first.state is not None for first in opened)
    fresh = [without_state(first) for first in opened]
    for until, temperature in [(END, 1.0), (1, 1.0), (2, 0.0)]:
        forked = model.propose_batch(draws(opened * 2, until, temperature))
        read = model.propose_batch(draws(fresh * 2, until, temperature))
        assert [row.solution for row in forked] == [row.solution for row in read]
        for one, other in zip(forked, read, strict=True):
            assert (one.prompt_tokens, other.cached_tokens) == (0, 0)
            assert one.cached_tokens == other.prompt_tokens > len(one.solution.problem.prompt)


def test_hf_a_greedy_draw_is_that_of_generate():
    import torch

    model = causal()
    written = proposer(model).propose_batch(draws(starts(4), temperature=0.0))
    for start, row in zip(starts(4), written, strict=True):
        text = turned(start.problem.prompt)
        ids = tokenizer()(text, add_special_tokens=False, return_tensors="pt")
        with torch.inference_mode():
            whole = model.generate(**ids, max_new_tokens=40, do_sample=False)[0].tolist()
        expected = whole[ids.input_ids.size(1) :]
        assert list(row.solution.tokens) == [token for token in expected if token != 1]
        assert row.solution.finished == (expected[-1] == 1)


def turned(prompt):
    return f"<begin>u:{prompt}\n<begin>a:"


def test_hf_step_by_step_is_the_distribution_of_one_go():
    # Eight hundred draws of each kind; the share that ends within the first step must agree.
    model = proposer(rows=512)
    start = starts(1) * 800
    whole = [row.solution for row in model.propose_batch(draws(start))]
    step = [row.solution for row in model.propose_batch(draws(start, until=1))]
    on = model.propose_batch(
        [Draw(s, END, 1.0, 10_000 + at) for at, s in enumerate(step) if s.is_open]
    )
    stepwise = [s for s in step if not s.is_open] + [row.solution for row in on]
    for measure in (
        lambda s: s.finished,
        lambda s: s.steps == 1,
        lambda s: s.steps == 2,
        lambda s: len(s.tokens) > 20,
    ):
        one, other = sum(map(measure, whole)) / 800, sum(map(measure, stepwise)) / 800
        assert abs(one - other) < 4 * (0.5 / 800) ** 0.5


def test_hf_steps_end_with_their_delimiter_and_say_something():
    model = proposer()
    ended = newlines = 0
    for row in model.propose_batch(draws(starts(12) * 8)):
        solution, begun = row.solution, 0
        for end in solution.step_ends:
            text = model.decode(solution.tokens[begun:end])
            assert text.strip()
            ended += text.endswith("\n")
            assert text.endswith("\n") or (solution.finished and end == len(solution.tokens))
            assert "\n" not in text.lstrip()[:-1]
            newlines += text.startswith("\n")
            begun = end
        assert 1 not in solution.tokens
    assert ended and newlines  # both kinds came up


def test_hf_a_delimiter_of_several_tokens_is_found():
    model = proposer(setting=Setting(400, "a\nb", SETTING.wording))
    turns = model._turns
    ids = tokenizer()("xa\nba\nb", add_special_tokens=False).input_ids
    ends = [at for at in range(1, len(ids) + 1) if turns.ends_step(ids[:at], 0)]
    assert ends[0] == 4


def test_hf_truncates_at_the_limit_and_at_the_context():
    most = proposer(setting=Setting(5, "\n", SETTING.wording))
    cut = [
        row.solution
        for row in most.propose_batch(draws(starts(12) * 4))
        if not row.solution.finished
    ]
    assert cut and all(s.truncated and len(s.tokens) == 5 and s.answer is None for s in cut)
    long = Problem("long", "1+" * 200, None)
    row = proposer().propose_batch(draws([Solution.start(long)]))[0]
    assert row.solution.truncated and row.solution.tokens == ()
    assert (row.prompt_tokens, row.cached_tokens, row.decoded_tokens) == (0, 0, 0)
    near = Problem("near", "1" * 240, None)
    row = proposer().propose_batch(draws([Solution.start(near)]))[0]
    assert row.prompt_tokens + len(row.solution.tokens) == 256 and row.solution.truncated


def test_hf_counts_what_it_decodes_and_reads():
    model = proposer()
    for start, row in zip(starts(12), model.propose_batch(draws(starts(12))), strict=True):
        prompt = len(tokenizer()(turned(start.problem.prompt)).input_ids)
        assert (row.prompt_tokens, row.cached_tokens, row.shared_tokens) == (prompt, 0, prompt)
        assert row.decoded_tokens == len(row.solution.tokens) + row.solution.finished


def test_hf_reads_a_prompt_once_for_all_its_rows():
    model = proposer()
    before = model._reader.tokens
    rows = model.propose_batch(draws(starts(1) * 16, until=1))
    read = model._reader.tokens - before
    decoded = sum(row.decoded_tokens for row in rows)
    # A row that is over is read along until the batch is cut down.
    assert rows[0].prompt_tokens + decoded <= read + 16 <= rows[0].prompt_tokens + 3 * decoded


def test_hf_keeps_no_more_than_it_may_and_draws_the_same():
    bound, free = proposer(kept_bytes=0), proposer()
    for search in ("beam(width=2)", "lookahead(width=2)"):
        outcomes = []
        for model in (bound, free):
            jobs = [Job(problem, strategy(search), Budget(4)) for problem in asked(3)]
            found = results(Team.of(model, Even()), jobs)
            outcomes.append(sorted((r.outcome.problem_id, r.choice.candidates) for r in found))
        assert outcomes[0] == outcomes[1]
    gc.collect()  # tasks and what they waited for refer to one another
    for thread in threading.enumerate():  # a thread holds its last rows until it goes on
        if thread.name.startswith("outthink-engine"):
            thread.join(timeout=10)
    assert free._reader.kept_bytes == 0  # everything is let go of with the solutions


class Even:
    """A verifier of the parity of tokens."""

    name = "even"

    def verify_batch(self, solutions):
        from outthink.types import Scores, Verified

        return [
            Verified(Scores(tuple(s.tokens[end - 1] % 2 for end in s.step_ends)), 1, 0)
            for s in solutions
        ]


def test_hf_earlier_solutions_are_earlier_turns():
    model = proposer()
    first, second = (model.propose_batch(draws(starts(1) * 2))[at].solution for at in range(2))
    revised = Solution(first.problem, history=(first.tokens, second.tokens))
    said = tokenizer().decode(model._turns.prompt(first.problem.prompt, revised.history))
    one, two = model.decode(first.tokens).strip(), model.decode(second.tokens).strip()
    turns = [first.problem.prompt, one, "again", two, "again"]
    roles = "uauau"
    expected = "".join(f"<begin>{r}:{t}\n" for r, t in zip(roles, turns, strict=True))
    assert said == expected + "<begin>a:"
    row = model.propose_batch(draws([revised]))[0]
    assert row.shared_tokens == 0 and row.prompt_tokens == len(said.replace("<begin>", "B"))


def test_hf_revises_through_the_driver():
    jobs = [Job(problem, strategy("revise(answer=majority)"), Budget(4)) for problem in asked(2)]
    for result in results(Team.of(proposer()), jobs):
        assert result.outcome.usage.generations == 4


def test_hf_without_a_chat_template_asks_in_plain_text():
    model = proposer(template=None)
    assert model.decode(model._turns.prompt("1+1", ())) == "1+1\n\n"


def test_hf_a_partial_answer_is_never_rendered_again(monkeypatch):
    model = proposer()
    opened = [
        r.solution for r in model.propose_batch(draws(starts(6), until=1)) if r.solution.is_open
    ]
    seen = []
    monkeypatch.setattr(type(tokenizer()), "apply_chat_template", seen.append)
    model.propose_batch(draws([without_state(each) for each in opened], until=1))
    assert opened and not seen


def test_hf_is_named_after_its_weights_and_how_it_is_asked(tmp_path):
    names = [proposer().name, proposer(causal(seed=1)).name]
    names += [proposer(setting=Setting(41, "\n", SETTING.wording)).name]
    assert len(set(names)) == 3
    folder = saved(tmp_path / "tiny", causal())
    assert HFProposer.load(str(folder), SETTING).name == proposer().name == names[0]


def test_hf_what_cannot_be_loaded_is_said_on_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"^hf:.*cannot be loaded.*give a folder") as caught:
        HFProposer.load(str(tmp_path / "missing"))
    assert "\n" not in str(caught.value)


def test_hf_missing_transformers_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"outthink\[transformers\]"):
        HFProposer.load("anything")


def test_hf_a_model_without_keys_and_values_is_refused():
    import transformers

    config = transformers.MambaConfig(
        vocab_size=49, hidden_size=16, num_hidden_layers=1, state_size=4, eos_token_id=1
    )
    with pytest.raises(UsageError, match="keeps something else"):
        proposer(transformers.MambaForCausalLM(config))


class Recorded:
    """A verifier, and every prefix of what it read."""

    def __init__(self, verifier, decode):
        self.name, self._verifier, self._decode = verifier.name, verifier, decode
        self.prefixes = set()

    def verify_batch(self, solutions):
        for each in solutions:
            said = solution_text(each, self._decode)
            if said.steps:
                ids = self._verifier.scorer.encoder.encode(said.problem, said.steps).ids
                self.prefixes |= {(each.problem.id, ids[: n + 1]) for n in range(len(ids))}
        return self._verifier.scorer.score_batch(
            [solution_text(each, self._decode) for each in solutions]
        )


def test_hf_a_beam_with_a_prm_in_process_computes_every_token_once(tmp_path):
    writer = proposer()
    judge = named(f"prm:{saved(tmp_path, classifier())}?device=cpu", writer)
    recorded = Recorded(judge, writer.decode)
    results = solve("beam(width=2)", 8, writer, recorded, of=asked(4))
    computed = sum(result.outcome.usage.verifier_tokens for result in results)
    cached = sum(result.outcome.usage.verifier_cached_tokens for result in results)
    exist = len(recorded.prefixes)
    # Two beams may write the same, which is then computed twice.
    assert exist <= computed <= 1.05 * exist
    assert computed + cached > 2 * exist


def test_hf_confidence_is_that_of_the_model_that_wrote(monkeypatch):
    monkeypatch.setattr(hf, "_REREAD", 60)  # so that they are read in several parts
    model = causal()
    writer = proposer(model)
    rows = writer.propose_batch(draws(starts(8)))
    some = [row.solution for row in rows if row.solution.step_ends]
    some.append(Solution(some[0].problem, some[0].tokens[:1], (1,), history=(some[1].tokens,)))
    verifier = named("confidence?top=5", writer)
    check_verifier(verifier, [*some, Solution.start(some[0].problem)], tolerance=1e-5)
    for each, row in zip(some, verifier.verify_batch(some), strict=True):
        prompt = writer._turns.prompt(each.problem.prompt, each.history)
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *each.tokens]])).logits[0]
        likely = logits.log_softmax(-1)[len(prompt) - 1 : -1].topk(5).values
        wanted = step_confidence(likely.tolist(), each.step_ends)
        assert row.scores.steps == pytest.approx(wanted.steps, abs=1e-5)
        assert row.computed_tokens == len(prompt) + len(each.tokens) - 1
