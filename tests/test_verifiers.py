"""Verifiers other than PRMs in process: served PRMs, outcome models, judges, confidence, exact."""

import asyncio
import dataclasses
import json
import math
from dataclasses import replace

import pytest
import torch
from contract import Waiting, check_verifier, scored
from fake_server import IDS, FakeServer, ids_of, text_of
from test_prm import Letters, examples, solution, verifier_of
from tiny_prms import BYTES, CHATML, KINDS, bytes_tokenizer, sequence_model

from outthink.errors import ServerError, ServerRefused, UsageError
from outthink.models import http
from outthink.models.http import RetryPolicy
from outthink.models.openai import OpenAIProposer
from outthink.run.runner import exact
from outthink.study.models import Models
from outthink.types import END, Draw, Problem, Scores, Solution, State, Verified
from outthink.verify import orm, prm
from outthink.verify.confidence import confidence, step_confidence
from outthink.verify.exact import Exact
from outthink.verify.judge import Judge, Wording
from outthink.verify.named import named
from outthink.verify.served import PoolingPRM
from outthink.verify.written import SolutionText, reading

QUICK = RetryPolicy(tries=3, request_s=20.0)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(http.RetryPolicy, "wait_s", lambda *_: 0.0)
    for name in ("OUTTHINK_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


async def only(arrivals):
    """The row of an engine that was asked for one."""
    async for arrival in arrivals:
        return arrival.row


# Served PRMs -------------------------------------------------------------------------------------


def pooled(kind, model, *, step=False, honest=True, selected=False):
    """What vLLM gives of a tiny model: logits or activations of every token, or of tags alone."""

    def pool(ids, activated):
        with torch.no_grad():
            logits = model.eval()(torch.tensor([ids])).logits[0]
        if selected:
            words = [kind.tokenizer.encode(w, add_special_tokens=False)[-1] for w in "+-"]
            logits = logits[:, words]
        if activated or not honest:
            logits = logits.softmax(-1) if logits.size(1) > 1 else logits.sigmoid()
        if step:
            tag = kind.tokenizer.encode("ки", add_special_tokens=False)[-1]
            logits = logits[torch.tensor(ids) == tag]
        return logits.tolist()

    return pool


SERVED = {
    "qwen-prm": {},
    "trl": {},
    "skywork": {},
    "pqm": {},
    "er-prm": {},
    "math-shepherd": {"selected": True, "step": True},
    "rlhflow": {"selected": True},
}


@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("name", SERVED)
def test_a_served_prm_scores_as_the_slow_way_does(name, honest):
    kind = KINDS[name]
    model = kind.make()
    pool = pooled(kind, model, honest=honest, **SERVED[name])
    with FakeServer("vllm", pool=pool) as server:
        connecting = PoolingPRM.connect(server.url, row=name, tokenizer=kind.tokenizer, retry=QUICK)
        verifier = reading(asyncio.run(connecting), Letters())
        asked = [solution(problem, steps) for problem, steps, _ in examples(6)]
        rows = Waiting(verifier).verify_batch(asked)
    for row, (problem, steps, _) in zip(rows, examples(6), strict=True):
        assert row.scores.steps == pytest.approx(kind.scores(model, problem, steps), abs=1e-5)
        assert row.computed_tokens > 0


def test_contract_of_a_served_prm():
    kind = KINDS["trl"]
    with FakeServer("vllm", pool=pooled(kind, kind.make())) as server:
        connecting = PoolingPRM.connect(server.url, row="trl", tokenizer=kind.tokenizer)
        verifier = Waiting(reading(asyncio.run(connecting), Letters()))
        asked = [solution(problem, steps) for problem, steps, _ in examples(4)]

        class Forgetful:
            """The server forgets between calls, so that counts are those of a row alone."""

            def verify_batch(self, solutions):
                rows = []
                for each in solutions:
                    server.seen.clear()
                    rows += verifier.verify_batch([each])
                return rows

        check_verifier(Forgetful(), [*asked, solution("1?", [])])


def test_ids_go_to_the_server_and_an_older_one_is_asked_without_a_task():
    kind = KINDS["trl"]
    with FakeServer("vllm", pool=pooled(kind, kind.make()), tasks=()) as server:
        connecting = PoolingPRM.connect(server.url, row="trl", tokenizer=kind.tokenizer)
        verifier = Waiting(reading(asyncio.run(connecting), Letters()))
        server.requests.clear()
        verifier.verify_batch([solution("1?", ["ab"])])
    ((path, body),) = server.requests
    assert path == "/pooling" and "task" not in body and body["use_activation"] is False
    assert body["input"] == kind.slow(kind.tokenizer, "1?", ["ab"])[0]


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}])
def test_a_served_prm_need_not_be_told_what_was_counted(usage):
    kind = KINDS["trl"]
    with FakeServer("vllm", pool=pooled(kind, kind.make())) as server:
        connecting = PoolingPRM.connect(server.url, row="trl", tokenizer=kind.tokenizer)
        verifier = Waiting(reading(asyncio.run(connecting), Letters()))
        server.requests.clear()
        server.alter = lambda path, body, value: {**value, "usage": usage}
        (row,) = verifier.verify_batch([solution("1?", ["ab"])])
    ((_, body),) = server.requests
    assert (row.computed_tokens, row.cached_tokens) == (len(body["input"]), 0)


def test_a_server_that_does_not_pool_is_refused_with_what_would_do():
    with (
        FakeServer("vllm") as server,
        pytest.raises(ServerRefused, match="serve it with vLLM and --runner pooling"),
    ):
        asyncio.run(PoolingPRM.connect(server.url, row="trl", tokenizer=KINDS["trl"].tokenizer))


def test_rows_that_are_neither_of_tokens_nor_of_tags_are_no_scores():
    def pool(ids, activated):
        return [[0.1, 0.9]] * (1 if len(ids) > 3 else 3)

    kind = KINDS["trl"]
    with FakeServer("vllm", pool=pool) as server:
        connecting = PoolingPRM.connect(
            server.url, row="trl", tokenizer=kind.tokenizer, retry=QUICK
        )
        verifier = Waiting(reading(asyncio.run(connecting), Letters()))
        with pytest.raises(ServerError, match="1 rows for"):
            verifier.verify_batch([solution("1?", ["ab", "c"])])


# Outcome models ----------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [1, 2])
@pytest.mark.parametrize("chat", [None, CHATML])
def test_an_outcome_model_is_read_at_the_end(labels, chat, tmp_path):
    tokenizer = bytes_tokenizer(chat=chat)
    model = sequence_model(labels, tokenizer)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    verifier = verifier_of(orm.load(str(tmp_path), device="cpu"))
    asked = examples(5)
    rows = verifier.verify_batch([solution(problem, steps) for problem, steps, _ in asked])
    for row, (problem, steps, _) in zip(rows, asked, strict=True):
        said = "\n\n".join(steps)
        text = f"{problem}\n\n{said}"
        if chat:
            turns = [
                {"role": "user", "content": problem},
                {"role": "assistant", "content": said},
            ]
            text = tokenizer.apply_chat_template(turns, tokenize=False)
        with torch.no_grad():
            (logits,) = model(torch.tensor([tokenizer.encode(text)])).logits
        expected = logits.sigmoid() if labels == 1 else logits.softmax(-1)[1:]
        *others, last = row.scores.steps
        assert others == [None] * (len(steps) - 1)
        assert last == pytest.approx(expected.item(), abs=1e-5)
        assert row.computed_tokens == len(tokenizer.encode(text))


def test_contract_of_an_outcome_model(tmp_path):
    model = sequence_model(1, BYTES)
    model.save_pretrained(tmp_path)
    BYTES.save_pretrained(tmp_path)
    asked = [solution(problem, steps) for problem, steps, _ in examples(5)]
    verifier = verifier_of(orm.load(str(tmp_path), device="cpu"))
    check_verifier(verifier, [*asked, solution("1?", [])], tolerance=1e-5)


# Judges ------------------------------------------------------------------------------------------


def judged(says, ask, **server):
    """What comes of asking a judge that says what `says` makes of its prompt."""
    with FakeServer("chat", says=says, **server) as server:

        async def run():
            judge = await Judge.connect(server.url, retry=QUICK)
            try:
                return await ask(judge)
            finally:
                await judge.aclose()

        return asyncio.run(run()), server


def written(*steps, problem="1?"):
    whole = solution(problem, steps)
    return SolutionText(whole, tuple(f"{step}\n\n" for step in steps))


def test_a_judge_gives_a_score_between_0_and_1_for_the_last_step():
    (row, server) = judged(
        lambda text: 'Well: {"reason": "seven {of} ten", "score": 7}',
        lambda judge: judge.score(written("ab", "c")),
    )
    assert row.scores == Scores((None, 0.7))
    assert row.computed_tokens > 0
    _, body = server.requests[-1]
    assert body["temperature"] == 0
    schema = body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["reason", "score"]
    assert "ab\n\nc" in body["messages"][0]["content"]


@pytest.mark.parametrize("said", ["no", "{}", '{"score": 11}', '{"score": "7"}', "[7]"])
def test_a_judge_that_says_no_score_is_asked_once_more_and_there_is_then_none(said):
    row, server = judged(lambda text: said, lambda judge: judge.score(written("ab")))
    assert row.scores == Scores((None,))
    assert sum("chat" in path for path, _ in server.requests) == 2
    assert row.computed_tokens > row.written_tokens > 0


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 0, "completion_tokens": None}])
def test_a_judge_need_not_count(usage):
    def alter(path, body, value):
        return {**value, "usage": usage} if "chat" in path else value

    row, server = judged(
        lambda text: '{"score": 7}', lambda judge: judge.score(written("ab")), alter=alter
    )
    assert row.scores.steps == (0.7,) and row.computed_tokens > 3
    assert sum("chat" in path for path, _ in server.requests) == 1


@pytest.mark.parametrize("favours", ["A", "B"])
def test_a_judge_that_favours_a_place_has_no_opinion(favours):
    found, server = judged(
        lambda text: json.dumps({"reason": "", "better": favours}),
        lambda judge: judge.compare(written("ab"), written("c")),
    )
    assert found == 0.5
    assert sum(path == "/v1/chat/completions" for path, _ in server.requests) == 2


def test_a_judge_that_keeps_its_opinion_in_both_orders_is_believed():
    def says(text):
        better = "A" if text.index("good") < text.index("poor") else "B"
        return json.dumps({"reason": "", "better": better})

    found, _ = judged(says, lambda judge: judge.compare(written("good"), written("poor")))
    assert found == 1.0
    found, _ = judged(says, lambda judge: judge.compare(written("poor"), written("good")))
    assert found == 0.0


def test_what_a_solution_says_about_the_wording_is_not_filled_in():
    wording = Wording(score="{problem}|{solution}")
    filled = wording.fill(wording.score, problem="{solution}", solution="{problem}")
    assert filled == "{solution}|{problem}"


# Confidence --------------------------------------------------------------------------------------


def test_confidence_is_0_where_all_is_equally_likely_and_grows_with_one_token():
    def score(most, top=4):
        rest = (1 - most) / (top - 1)
        place = [math.log(each) for each in (most, *[rest] * (top - 1))]
        return step_confidence([place], [1]).last

    assert score(0.25) == pytest.approx(0.0, abs=1e-12)
    scores = [score(most) for most in (0.25, 0.5, 0.9, 0.99, 0.99999)]
    assert scores == sorted(scores) and all(0 <= each < 1 for each in scores)
    assert step_confidence([], []) == Scores()


def test_a_step_is_as_confident_as_its_tokens_on_average():
    sure, unsure = [math.log(0.97), *[math.log(0.01)] * 3], [math.log(0.25)] * 4
    both = step_confidence([sure, unsure, unsure], [1, 3])
    assert both.steps[0] == step_confidence([sure], [1]).last > both.steps[1]
    mean = -(sum(sure) / 4 + sum(unsure) / 4) / 2
    assert step_confidence([sure, unsure], [2]).last == pytest.approx(1 - math.log(4) / mean)


def test_confidence_of_vllm_is_told_as_it_writes_and_read_again_in_one_request_where_that_is_lost():
    start = Solution.start(Problem("p", "problem 3"))

    async def run(server):
        proposer = await OpenAIProposer.connect(server.url, retry=QUICK)
        before = (await only(proposer.propose([Draw(start, END, 1.0, 7)]))).solution
        verifier = confidence(proposer, top=5)
        step = (await only(proposer.propose([Draw(start, 1, 1.0, 7)]))).solution
        whole = (await only(proposer.propose([Draw(step, END, 1.0, 8)]))).solution
        server.requests.clear()
        told = [await only(verifier.verify([drawn])) for drawn in (step, whole)]
        nothing = await only(verifier.verify([start]))
        assert not server.requests
        lost = (before, replace(step, state=None), replace(whole, state=None))
        again = [await only(verifier.verify([drawn])) for drawn in lost]
        await proposer.aclose()
        return (before, step, whole), told, again, nothing

    with FakeServer("vllm") as server:
        drawn, told, again, nothing = asyncio.run(run(server))
    assert nothing == Verified(Scores(), 0, 0)
    assert [row.scores for row in told] == [row.scores for row in again[1:]]
    assert all(row.computed_tokens == row.cached_tokens == 0 for row in told)
    sent = [body for path, body in server.requests if path == "/v1/completions"]
    for read, row, body in zip(drawn, again, sent, strict=True):
        assert tuple(body["prompt"][-len(read.tokens) :]) == read.tokens
        places = []
        for token in read.tokens:
            most = 1 - token / 1000
            places.append([math.log(share) for share in (most, *[(1 - most) / 4] * 4)])
        expected = step_confidence(places, read.step_ends)
        assert row.scores.steps == pytest.approx(expected.steps)
        assert row.computed_tokens + row.cached_tokens == len(body["prompt"]) + 1


def test_confidence_from_llama_cpp_is_told_as_it_writes_and_read_again_where_that_is_lost():
    start = Solution.start(Problem("p", "problem 3"))

    async def run(server):
        proposer = await OpenAIProposer.connect(server.url, retry=QUICK)
        verifier = confidence(proposer, top=5)
        first = (await only(proposer.propose([Draw(start, 1, 1.0, 7)]))).solution
        found = (await only(proposer.propose([Draw(first, END, 1.0, 8)]))).solution
        assert first.is_open and found.finished
        server.requests.clear()
        told = [await only(verifier.verify([each])) for each in (first, found)]
        assert not server.requests
        again = [
            await only(verifier.verify([replace(each, state=None)])) for each in (first, found)
        ]
        await proposer.aclose()
        return found, told, again

    with FakeServer("llama.cpp") as server:
        found, told, again = asyncio.run(run(server))
    assert all(each.computed_tokens == each.cached_tokens == 0 for each in told)
    assert [each.scores for each in told] == [each.scores for each in again]
    assert len(told[1].scores.steps) == found.steps > 1 and None not in told[1].scores.steps
    asked = [body for path, body in server.requests if path == "/completion"]
    # All places but that of a delimiter: of the first step, and once more with what follows.
    places = len(found.tokens) - (found.steps - 1)
    assert len(asked) == found.step_ends[0] - 1 + places
    counted = sum(each.computed_tokens + each.cached_tokens for each in again)
    assert counted == sum(len(body["prompt"]) + 1 for body in asked)


def test_confidence_says_what_it_needs_where_a_server_does_not_tell():
    with FakeServer("chat") as server:
        proposer = asyncio.run(OpenAIProposer.connect(server.url, retry=QUICK))
        with pytest.raises(UsageError, match="serve it with vLLM"):
            confidence(proposer)
    with pytest.raises(UsageError, match="gives no log probabilities"):
        confidence(Letters())


def test_confidence_from_what_an_engine_left_costs_nothing():
    class Left:
        top_logprobs = ((math.log(0.9), math.log(0.1)), (math.log(0.5), math.log(0.5)))

    class Tells(Letters):
        leaves_logprobs = True

    one = Solution(Problem("p", "?"), (1, 2), (1, 2), state=State(proposer=Left()))
    dropped = Solution(Problem("p", "?"), (1, 2), (1, 2))
    rows = confidence(Tells()).verify_batch([one, dropped])
    assert rows[0].scores.steps[0] > rows[0].scores.steps[1] == pytest.approx(0, abs=1e-9)
    assert rows == [Verified(rows[0].scores, 0, 0), Verified(Scores(), 0, 0)]


# The answer --------------------------------------------------------------------------------------


def test_exact_knows_the_answer_and_scores_what_ended():
    def ended(answer, reference="7"):
        return Solution(Problem("p", "?", reference), (1, 2), (1, 2), True, answer=answer)

    unfinished = Solution(Problem("p", "?", "7"), (1,), (1,))
    asked = [ended("7"), ended("8"), ended(None), unfinished, ended("7", None)]
    rows = Exact(exact).verify_batch(asked)
    assert [row.scores for row in rows] == [
        Scores((None, 1.0)),
        Scores((None, 0.0)),
        Scores((None, 0.0)),
        Scores(),
        Scores(),
    ]
    check_verifier(Exact(exact), asked)


# Names -------------------------------------------------------------------------------------------


def test_a_served_model_with_a_prm_in_process(tmp_path):
    """Rows of many searches come to the PRM together, as text of the server's tokens."""
    kind = KINDS["trl"]
    path = kind.save(kind.make(), tmp_path)

    with FakeServer("vllm") as server:
        models = Models(server.url, f"prm:{path}?family=trl&device=cpu")
        team = models.team({"proposer", "verifier"})
        tokens = tuple(ids_of("So 1.\n\nSo 2.\n\n"))
        ends = tuple(i + 1 for i, token in enumerate(tokens) if token == IDS[".\n\n"])
        one = Solution(Problem("p", "1?"), tokens, ends)

        async def score():
            try:
                return [row.row async for row in team.verifiers["verifier"].verify([one] * 3)]
            finally:
                await team.aclose()  # of the proposer too, which tells what its tokens say

        rows = asyncio.run(score())
    alone = prm.load(path, "trl", device="cpu").score_batch([SolutionText(one, ("So 1.", "So 2."))])
    assert text_of(tokens) == "So 1.\n\nSo 2.\n\n"
    for row in rows:
        assert row.scores.steps == pytest.approx(alone[0].scores.steps, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("prm:", "unknown verifier 'prm:'"),
        ("prm", "unknown verifier 'prm'"),
        ("confidence:x", "unknown verifier"),
        ("other:x", "unknown verifier"),
        ("judge:mine", "judge:http://HOST:PORT"),
        ("orm:http://localhost:1", "in process"),
        ("prm:x?famly=trl", "unknown option 'famly'; prm takes device, dtype, earlier, family"),
        ("judge:http://localhost:1?x=1", "judge takes asking, earlier"),
        ("orm:x?earlier=maybe", "write earlier=yes or earlier=no"),
        ("confidence?top=many", "is no whole number from 1"),
        ("confidence?top=1", "give 2 or more"),
        ("prm:no/such/folder/here?family=none", "no model that transformers can read"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_one_line(name, says, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError, match=r".") as refused:
        named(name, Letters())
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_an_unknown_family_is_refused_with_those_there_are(tmp_path):
    path = KINDS["trl"].save(KINDS["trl"].make(), tmp_path)
    with pytest.raises(UsageError, match="unknown PRM family 'tlr'; write one of math-shepherd"):
        named(f"prm:{path}?family=tlr", Letters())


def test_without_transformers_the_name_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'outthink\[transformers\]'"):
        named("prm:mine", Letters())


def test_a_lab_verifier_for_a_served_model_is_refused_with_those_that_would_do():
    with pytest.raises(UsageError, match="one of prm:MODEL, orm:MODEL"):
        Models("http://localhost:1", "lab:prm").team({"proposer"})


class Echo:
    """A verifier that remembers what it was shown."""

    name = "echo"

    def __init__(self):
        self.problems = []

    def score_batch(self, written):
        self.problems += [each.problem for each in written]
        return [Verified(Scores((0.5,)), 1, 0) for _ in written]


class SlowLetters:
    """The same, as a server: text takes a request."""

    name = "letters"

    async def text(self, tokens):
        return Letters().decode(tokens)


@pytest.mark.parametrize("proposer", [Letters(), SlowLetters()])
def test_a_verifier_of_revisions_is_shown_the_answers_before_and_any_other_is_not(proposer):
    earlier = tuple(tuple(map(ord, text)) for text in ("is 3\n", "is 4\n"))
    revision = dataclasses.replace(solution("2+2?", ["is 4"]), history=earlier)
    shown, blind = Echo(), Echo()
    for scorer, wanted in ((shown, True), (blind, False)):
        verifier = reading(scorer, proposer, earlier=wanted)
        assert verifier.name == ("echo-earlier" if wanted else "echo")
        scored(verifier, [revision, solution("2+2?", ["is 4"])])
    told = "An earlier answer, which may be wrong:\n"
    assert shown.problems == [f"2+2?\n\n{told}is 3\n\n{told}is 4", "2+2?"]
    assert blind.problems == ["2+2?", "2+2?"]


def test_what_a_verifier_keeps_of_solutions_is_bounded(tmp_path):
    kind = KINDS["trl"]
    path = kind.save(kind.make(), tmp_path)
    whole = prm.load(path, "trl", device="cpu")
    bounded = prm.load(path, "trl", device="cpu", kept_bytes=0)
    for reader, cached in ((whole, True), (bounded, False)):
        verifier, state = verifier_of(reader), State()
        verifier.verify_batch([solution("1+1?", ["ab"], state=state)])
        row = verifier.verify_batch([solution("1+1?", ["ab", "cd"], state=state)])[0]
        assert row.scores.steps == pytest.approx(
            kind.scores(kind.make(), "1+1?", ["ab", "cd"]), abs=1e-5
        )
        assert (row.cached_tokens > 0) == cached
