"""The gateway, asked by the real client of OpenAI."""

import asyncio
import json
import threading
from dataclasses import replace

import httpx
import openai
import pytest
from fake_server import MODEL, FakeServer
from serving import Scripted, Serving

from outthink.cli import main
from outthink.data import source
from outthink.errors import PolicyError, UsageError
from outthink.gateway.keys import add
from outthink.gateway.settings import Limits, Settings
from outthink.gateway.shipped import shipped
from outthink.policy.family import Dial
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.search import strategy
from outthink.study.models import Models
from outthink.types import Arrival, Budget, Usage

TASK = "40713 *7 *13"
ASKED = [{"role": "user", "content": TASK}]
SAYS = [{"role": "user", "content": "What is 2 + 2?"}]


@pytest.fixture(scope="module")
def lab():
    with Serving(Settings(Models(), shipped(Models()), dial=Dial(average=2.0))) as served:
        yield served


@pytest.fixture(scope="module")
def scripted():
    with Serving(Settings(Scripted())) as served:
        yield served


@pytest.fixture(scope="module")
def upstream():
    with FakeServer("vllm") as server:
        yield server


@pytest.fixture(scope="module")
def proxied(upstream):
    models = Models(upstream.url, verifier="none", reviser=upstream.url)
    with Serving(Settings(models, grader="math")) as served:
        yield served


def ask(client, messages=None, model="auto", **more):
    return client.chat.completions.create(model=model, messages=messages or ASKED, **more)


def refused(served, body, path="/v1/chat/completions", **headers):
    """The status and the error of a request that is sent as it is."""
    told = httpx.post(served.url + path, content=json.dumps(body), headers=_JSON | headers)
    error = told.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return told.status_code, error


_JSON = {"Content-Type": "application/json"}

# Answers ---------------------------------------------------------------------------------------


def test_a_chat_is_answered_as_the_policy_has_it(lab):
    told = ask(lab.client, seed=0)
    [choice] = told.choices
    about = told.outthink
    assert choice.finish_reason == "stop" and choice.message.role == "assistant"
    assert choice.message.content.endswith(about["answer"])
    assert 0 < about["probability"] < 1
    assert about["decisions"][-1]["stage"] is None
    assert about["decisions"][-1]["answer"] == about["answer"]
    assert about["decisions"][-1]["generations"] == about["usage"]["generations"]


def test_usage_counts_everything_that_was_spent(lab):
    told = ask(lab.client, model="lab:s:beam@4", seed=3)
    spent, usage = told.outthink["usage"], told.usage
    assert spent["generations"] == 4
    assert usage.completion_tokens == spent["decoded_tokens"]
    kinds = ("prompt_tokens", "cached_tokens", "verifier_tokens", "verifier_cached_tokens")
    assert usage.prompt_tokens == sum(spent[kind] for kind in kinds)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    hidden = usage.completion_tokens_details.reasoning_tokens
    assert 0 < hidden < usage.completion_tokens


def test_a_stream_says_what_is_tried_then_the_answer_then_what_was_spent(lab):
    more = {"stream": True, "stream_options": {"include_usage": True}}
    *chunks, last = ask(lab.client, seed=5, **more)
    whole = ask(lab.client, seed=5)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert "".join(d.content or "" for d in deltas) == whole.choices[0].message.content
    reasoning = "".join(getattr(d, "reasoning_content", None) or "" for d in deltas)
    assert "runs " in reasoning and reasoning.endswith("answers\n")
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.choices == [] and last.usage == whole.usage
    assert last.outthink["probability"] == whole.outthink["probability"]


def test_the_asynchronous_client_is_served_beside_itself(lab):
    async def many():
        async with lab.client_of("none", openai.AsyncOpenAI) as client:
            whole = [ask(client, seed=seed) for seed in range(8)]
            stream = await ask(client, seed=1, stream=True)
            streamed = [chunk async for chunk in stream]
            return await asyncio.gather(*whole), streamed

    answers, streamed = asyncio.run(many())
    said = "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
    assert said == answers[1].choices[0].message.content


def test_a_seed_fixes_an_answer_and_without_one_each_is_drawn_anew(scripted):
    def drawn(**more):
        told = ask(scripted.client, SAYS, "hf:scripted:majority@4", **more)
        return told.usage, told.choices[0].message.content

    assert drawn(seed=7) == drawn(seed=7)
    assert len({drawn()[1] for _ in range(6)}) > 1


def test_several_choices_are_thought_about_apart(lab):
    told = ask(lab.client, n=3, seed=2)
    assert [choice.index for choice in told.choices] == [0, 1, 2]
    alone = ask(lab.client, seed=2)
    assert told.choices[0].message == alone.choices[0].message
    spent = [choice.outthink["usage"]["decoded_tokens"] for choice in told.choices]
    assert told.usage.completion_tokens == sum(spent)
    streamed = list(ask(lab.client, n=2, seed=2, stream=True))
    for number in (0, 1):
        said = [c.choices[0].delta.content for c in streamed if c.choices[0].index == number]
        assert "".join(filter(None, said)) == told.choices[number].message.content


def test_more_effort_has_a_lower_price(lab):
    own = {"outthink": {"most": 4}}
    efforts = ("minimal", "low", "medium", "high")
    told = [ask(lab.client, reasoning_effort=effort, extra_body=own).outthink for effort in efforts]
    prices = [float(about["strategy"].removeprefix("sequential at price ")) for about in told]
    assert prices == sorted(prices, reverse=True) and len(set(prices)) == 4


def test_a_request_may_cap_what_it_costs(lab):
    own = {"outthink": {"most": 3, "price": 0.0001}}
    assert ask(lab.client, extra_body=own).outthink["usage"]["generations"] <= 3
    own = {"outthink": {"strategy": "best_of_n", "budget": 5}}
    told = ask(lab.client, extra_body=own).outthink
    assert (told["strategy"], told["usage"]["generations"]) == ("best_of_n", 5)


def test_no_effort_is_one_answer(lab):
    told = ask(lab.client, reasoning_effort="none").outthink
    assert told["usage"]["generations"] == 1 and told["usage"]["verifier_tokens"] == 0


def test_a_trace_has_every_hidden_row(scripted):
    own = {"outthink": {"trace": True}}
    told = ask(scripted.client, SAYS, "hf:scripted:beam@4", extra_body=own).outthink
    wrote = [event for event in told["trace"] if event["kind"] == "wrote"]
    assert [event["number"] for event in wrote] == list(range(len(wrote)))
    assert sum(event["tokens"] for event in wrote) == told["usage"]["decoded_tokens"]
    judged = {event["number"] for event in told["trace"] if event["kind"] == "judged"}
    assert judged == set(range(len(wrote)))


def test_a_text_completion_is_answered_too(lab):
    told = lab.client.completions.create(model="lab:s:majority@2", prompt=TASK, seed=4)
    assert told.choices[0].text.startswith("*7=") and told.object == "text_completion"
    streamed = lab.client.completions.create(
        model="lab:s:majority@2", prompt=[TASK], seed=4, stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in streamed) == told.choices[0].text


def test_a_response_is_answered_whole_and_streamed(lab):
    more = {"model": "lab:s:best_of_n@3", "input": TASK, "extra_body": {"seed": 6}}
    told = lab.client.responses.create(**more)
    assert told.status == "completed" and told.output_text.startswith("*7=")
    assert told.usage.output_tokens == told.outthink["usage"]["decoded_tokens"]
    turns = [{"role": "user", "content": [{"type": "input_text", "text": TASK}]}]
    events = list(lab.client.responses.create(**{**more, "input": turns}, stream=True))
    said = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(said) == told.output_text
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == told.output_text
    tried = [e.delta for e in events if e.type == "response.reasoning_summary_text.delta"]
    assert any("answers" in words for words in tried)


@pytest.mark.parametrize(
    "more",
    [{"previous_response_id": "resp-0"}, {"store": True}, {"tools": [{}]}, {"made_up": 1}],
)
def test_what_a_response_cannot_do_is_refused_by_name(lab, more):
    status, error = refused(lab, {"model": "auto", "input": TASK, **more}, "/v1/responses")
    assert (status, error["param"]) == (400, *more)[:2]


def test_a_response_may_ask_for_effort(lab):
    told = lab.client.responses.create(model="auto", input=TASK, reasoning={"effort": "minimal"})
    assert told.outthink["strategy"].startswith("sequential at price")


# What a model of a server is asked ---------------------------------------------------------------


def test_a_conversation_reaches_the_model(proxied, upstream):
    turns = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "assistant", "content": "Hi."},
        *SAYS,
    ]
    told = ask(proxied.client, turns, f"{MODEL}:majority@3", max_tokens=50, temperature=0.7)
    assert told.outthink["usage"]["generations"] == 3
    rendered = [body["messages"] for path, body in upstream.requests if path == "/tokenize"][-1]
    assert [turn["role"] for turn in rendered] == ["system", "user", "assistant", "user"]
    assert rendered[-1]["content"].startswith("What is 2 + 2?\n\nThink step by step")
    asked = [body for path, body in upstream.requests if path == "/v1/completions"][-1]
    assert (asked["temperature"], asked["max_tokens"]) == (0.7, 50)


def test_answers_are_found_as_the_request_says(proxied):
    own = {"outthink": {"answers": "text"}}
    told = ask(proxied.client, SAYS, f"{MODEL}:majority@2", extra_body=own)
    assert told.outthink["answer"] == told.choices[0].message.content.strip()


# The model's own answer ---------------------------------------------------------------------------

ANSWER = b'{ "id":"x",  "object":"chat.completion", "made": "up\\u0021", "choices": [] }'


@pytest.mark.parametrize(
    ("model", "more"),
    [
        (MODEL, {"tools": [{"type": "function", "function": {"name": "f"}}], "top_k": 3}),
        ("auto", {"reasoning_effort": "none", "logprobs": True}),
    ],
)
def test_the_models_own_answer_is_passed_on_byte_by_byte(model, more):
    with FakeServer("vllm", key="upstream-key") as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTTHINK_API_KEY", "upstream-key")
        with Serving(Settings(Models(server.url, verifier="none"))) as served:
            server.alter = lambda path, body, value: (200, ANSWER.decode())
            body = {"model": model, "messages": SAYS, **more}
            told = httpx.post(f"{served.url}/v1/chat/completions", json=body)
    assert told.content == ANSWER and told.status_code == 200
    path, sent = server.requests[-1]
    more.pop("reasoning_effort", None)
    assert (path, sent) == ("/v1/chat/completions", {"model": MODEL, "messages": SAYS, **more})


def test_a_server_of_chats_alone_is_served_without_a_verifier():
    with (
        FakeServer("chat") as server,
        Serving(Settings(Models(server.url, verifier="none"))) as served,
    ):
        told = ask(served.client, SAYS, extra_body={"outthink": {"answers": "math"}})
    assert told.outthink["strategy"] == "majority"


def test_what_the_models_server_refuses_is_passed_on(proxied, upstream):
    upstream.alter = lambda path, body, value: (418, {"error": {"message": "tea"}})
    try:
        told = httpx.post(
            f"{proxied.url}/v1/chat/completions", json={"model": MODEL, "messages": SAYS}
        )
    finally:
        upstream.alter = None
    assert (told.status_code, told.json()) == (418, {"error": {"message": "tea"}})


def test_a_server_that_fails_is_an_error_of_the_gateway():
    with FakeServer("vllm") as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr("outthink.models.http.RetryPolicy.wait_s", lambda *_: 0.0)
        with Serving(Settings(Models(server.url, verifier="none"))) as served:
            server.faults = ["503"] * 99
            status, error = refused(served, {"model": "auto", "messages": SAYS})
            told = error["type"], error["code"]
            assert (status, *told) == (503, "server_error", "upstream_unavailable")
            told = list(_events(served, {"model": "auto", "messages": SAYS, "stream": True}))
    assert told[-1]["error"]["code"] == "upstream_unavailable"


def _events(served, body):
    with httpx.stream("POST", f"{served.url}/v1/chat/completions", json=body) as told:
        for line in told.iter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                yield json.loads(line.removeprefix("data: "))


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "status", "param"),
    [
        ({"temperature": 0}, 400, "temperature"),
        ({"top_p": 0.5}, 400, "top_p"),
        ({"logprobs": True}, 400, "logprobs"),
        ({"tools": [{}]}, 400, "tools"),
        ({"response_format": {"type": "json_object"}}, 400, "response_format"),
        ({"logit_bias": {"5": 1}}, 400, "logit_bias"),
        ({"store": True}, 400, "store"),
        ({"made_up": 1}, 400, "made_up"),
        ({"outthink": {"made_up": 1}}, 400, "outthink.made_up"),
        ({"n": 99}, 400, "n"),
        ({"n": 0}, 400, "n"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 400, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "messages[0]"),
        ({"stream_options": {"include_usage": True}}, 400, "stream_options"),
        ({"reasoning_effort": "huge"}, 400, "reasoning_effort"),
        ({"reasoning_effort": "low", "outthink": {"price": 1}}, 400, "reasoning_effort"),
        ({"model": "gpt-4"}, 404, "model"),
        ({"model": "hf:scripted:beem@4"}, 400, "model"),
        ({"model": "hf:scripted:beam"}, 400, "model"),
        ({"model": "hf:scripted:beam@99999"}, 400, "model"),
        ({"model": "hf:scripted:policy(file=x.json)@4"}, 400, "model"),
        ({"model": "hf:scripted:evil.py:search@4"}, 400, "model"),
        ({"outthink": {"strategy": "evil.py:search"}}, 400, "model"),
        ({"outthink": {"price": 0.1}}, 400, "outthink"),
        ({"outthink": {"answers": "os:system"}}, 400, "outthink"),
        ({"outthink": {"answers": "tools-os:system"}}, 400, "outthink"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(scripted, more, status, param):
    told = refused(scripted, {"model": "auto", "messages": SAYS, **more})
    assert (told[0], told[1]["param"]) == (status, param)


@pytest.mark.parametrize("more", [{"stop": ["x"]}, {"temperature": 0.7}])
def test_what_the_labs_models_cannot_do_is_refused_by_name_with_the_way_out(lab, more):
    status, error = refused(lab, {"model": "auto", "messages": ASKED, **more})
    [param] = more
    assert (status, error["param"]) == (400, param)
    assert f"--ignore {param}" in error["message"]


def test_what_says_nothing_is_let_through(scripted):
    ask(
        scripted.client,
        SAYS,
        temperature=1,
        top_p=1,
        frequency_penalty=0,
        presence_penalty=0,
        logprobs=False,
        tool_choice="none",
        response_format={"type": "text"},
        user="somebody",
        metadata={"a": "b"},
        store=False,
        service_tier="auto",
        modalities=["text"],
    )


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "application/json", 400),
        (b" " * (4 << 20) + b"{}", "application/json", 413),
    ],
)
def test_what_is_no_request_is_refused(scripted, content, kind, status):
    path = f"{scripted.url}/v1/chat/completions"
    told = httpx.post(path, content=content, headers={"Content-Type": kind})
    assert told.status_code == status and told.json()["error"]["message"]


def test_an_unknown_path_is_an_error_of_the_same_shape(scripted):
    for path in ("/v1/embeddings", "/nothing"):
        assert refused(scripted, {}, path)[0] == 404
    assert httpx.get(f"{scripted.url}/v1/chat/completions").json()["error"]["message"]


def test_an_operator_may_have_parameters_left_out():
    settings = Settings(Scripted(), ignore=frozenset({"temperature", "logprobs"}))
    with Serving(settings) as served:
        assert ask(served.client, SAYS, temperature=0, logprobs=True).choices
        assert refused(served, {"model": "auto", "messages": SAYS, "top_p": 0.5})[0] == 400


def test_a_web_page_cannot_ask_under_a_name_of_its_own(scripted):
    status, error = refused(scripted, {"model": "auto", "messages": SAYS}, Host="evil.example")
    assert (status, error["code"]) == (403, "host")


# Time --------------------------------------------------------------------------------------------


class Stalls:
    """Draws the first rows of a request, and never the others."""

    name = "stalls"

    def __init__(self, rows):
        self.rows, self.begun, self.cancelled = rows, threading.Event(), threading.Event()

    async def propose(self, draws):
        for place, row in enumerate(Scripted().writes.propose_batch(draws)):
            if place == self.rows:
                self.begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    self.cancelled.set()
            yield Arrival(place, row, 0.0)

    async def text(self, tokens):
        return Scripted().writes.decode(tokens)


def test_at_a_deadline_the_best_answer_so_far_is_given_and_marked():
    with Serving(Settings(Scripted(writes=Stalls(3)))) as served:
        own = {"outthink": {"deadline_s": 0.1, "trace": True}}
        about = ask(served.client, SAYS, "hf:scripted:majority@8", extra_body=own).outthink
        drawn = [event["answer"] for event in about["trace"]]
        assert about["late"] and about["answer"] in drawn and len(drawn) == 3
        own = {"strategy": "majority", "budget": 9, "deadline_s": 0.1}
        served.gateway.settings.models.writes.rows = 0
        body = {"model": "auto", "messages": SAYS, "outthink": own}
        assert refused(served, body)[1]["code"] == "deadline"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_ends_the_spending(stream):
    engine = Stalls(1)
    with Serving(Settings(Scripted(writes=engine))) as served:
        body = {"model": "hf:scripted:majority@8", "messages": SAYS, "stream": stream}

        async def go():
            async with httpx.AsyncClient() as client:
                asking = asyncio.create_task(
                    client.post(f"{served.url}/v1/chat/completions", json=body)
                )
                await asyncio.to_thread(engine.begun.wait)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

        asyncio.run(go())
        assert engine.cancelled.wait(10)


def test_a_stream_shows_signs_of_life():
    limits = Limits(keep_alive_s=0.01, deadline_s=0.2)
    with Serving(Settings(Scripted(writes=Stalls(1)), limits=limits)) as served:
        body = {"model": "hf:scripted:majority@4", "messages": SAYS, "stream": True}
        with httpx.stream("POST", f"{served.url}/v1/chat/completions", json=body) as told:
            lines = list(told.iter_lines())
    assert ": thinking" in lines and lines[-2] == "data: [DONE]"


# Limits -----------------------------------------------------------------------------------------


def test_an_operator_says_how_many_answers_and_calls_one_request_may_have():
    with Serving(Settings(Scripted(), limits=Limits(choices=2, calls=6))) as served:
        body = {"model": "hf:scripted:majority@3", "messages": SAYS}
        assert len(ask(served.client, SAYS, body["model"], n=2).choices) == 2
        status, error = refused(served, {**body, "n": 3})
        assert (status, error["code"], error["param"]) == (400, "too_many_answers", "n")
        more = {**body, "model": "hf:scripted:majority@4", "n": 2}
        status, error = refused(served, more)
        assert (status, error["code"]) == (400, "too_many_calls")
        told = list(_events(served, {**more, "stream": True}))
        assert told[-1]["error"]["code"] == "too_many_calls"


# Who may ask -------------------------------------------------------------------------------------


def test_others_reach_a_gateway_with_keys_alone():
    with pytest.raises(UsageError, match="needs --keys"), Serving(Settings(Scripted()), "0.0.0.0"):
        pass


def test_a_key_is_needed_where_there_are_keys(tmp_path):
    path = tmp_path / "keys.json"
    key = add(path, "alice")
    assert key not in path.read_text() and path.stat().st_mode & 0o077 == 0
    with Serving(Settings(Scripted(), keys=path), "0.0.0.0") as served:
        served.url = served.url.replace("0.0.0.0", "127.0.0.1")
        assert ask(served.client_of(key), SAYS).choices
        for wrong in ("none", key[:-1], f"{key}x"):
            status, error = refused(
                served, {"model": "auto", "messages": SAYS}, Authorization=f"Bearer {wrong}"
            )
            assert (status, error["type"]) == (401, "authentication_error")
        for where in ("/v1/models", "/metrics", "/live"):
            assert httpx.get(served.url + where).status_code == 401
        assert httpx.get(f"{served.url}/healthz").status_code == 200


def test_a_command_makes_a_key_and_says_it_once(tmp_path, capsys):
    path = tmp_path / "keys.json"
    assert main(["key", "alice", "-o", str(path)]) == 0
    key = capsys.readouterr().out.strip()
    assert key.startswith("sk-outthink-") and key not in path.read_text()
    assert main(["key", "alice", "-o", str(path)]) == 2


def test_too_many_requests_are_told_when_to_come_again():
    engine = Stalls(0)
    limits = Limits(at_once=1, waiting=1, deadline_s=5)
    with Serving(Settings(Scripted(writes=engine), limits=limits)) as served:
        body = {"model": "auto", "messages": SAYS}

        async def go():
            async with httpx.AsyncClient() as client:
                path = f"{served.url}/v1/chat/completions"
                first = asyncio.create_task(client.post(path, json=body))
                await asyncio.to_thread(engine.begun.wait)
                second = asyncio.create_task(client.post(path, json=body))
                while not served.gateway.line.length:
                    await asyncio.sleep(0)
                third = await client.post(path, json=body)
                for task in (first, second):
                    task.cancel()
                await asyncio.gather(first, second, return_exceptions=True)
                return third

        told = asyncio.run(go())
    assert told.status_code == 429 and int(told.headers["retry-after"]) >= 1
    assert told.json()["error"]["type"] == "rate_limit_error"


# Facts -------------------------------------------------------------------------------------------


def test_the_models_are_listed(lab):
    names = [model.id for model in lab.client.models.list()]
    assert names[:2] == ["auto", "lab:s"]
    for name in names:
        assert lab.client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError):
        lab.client.models.retrieve("gpt-4")


def test_health_and_readiness(scripted):
    for path in ("/healthz", "/readyz"):
        assert httpx.get(scripted.url + path).json() == {"status": "ok"}


def test_what_is_counted_is_what_was_spent():
    with Serving(Settings(Models(), shipped(Models()), dial=Dial(average=2.0))) as served:
        told = [ask(served.client, seed=seed).outthink for seed in range(3)]
        refused(served, {"model": "auto"})
        text = httpx.get(f"{served.url}/metrics").text
    counted = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    spent = [about["usage"] for about in told]
    decoded = sum(usage["decoded_tokens"] for usage in spent)
    assert float(counted['outthink_tokens_total{kind="decoded"}']) == decoded
    assert float(counted["outthink_generations_total"]) == sum(u["generations"] for u in spent)
    assert float(counted["outthink_confidence_count"]) == 3
    assert float(counted['outthink_decisions_total{stage="answer"}']) == 3
    path = 'path="/v1/chat/completions"'
    assert float(counted[f'outthink_requests_total{{{path},status="200"}}']) == 3
    assert float(counted[f'outthink_requests_total{{{path},status="400"}}']) == 1


def test_a_verdict_comes_later(lab):
    told = ask(lab.client)
    before = httpx.get(f"{lab.url}/metrics").text
    assert 'outthink_verdicts_total{right="yes"}' not in before
    path = f"{lab.url}/v1/feedback"
    assert httpx.post(path, json={"id": told.id, "right": True}).json()["right"]
    assert 'outthink_verdicts_total{right="yes"} 1.0' in httpx.get(f"{lab.url}/metrics").text
    assert refused(lab, {"id": "chatcmpl-0", "right": True}, "/v1/feedback")[0] == 404


def test_the_openapi_document_has_every_path(scripted):
    told = httpx.get(f"{scripted.url}/openapi.json").json()
    assert {"/v1/chat/completions", "/v1/completions", "/v1/models", "/metrics"} <= set(
        told["paths"]
    )


def test_a_policy_of_other_models_is_refused():
    settings = Settings(Models(verifier="lab:orm"), shipped(Models()))
    with pytest.raises(PolicyError, match="was fitted with verifier"), Serving(settings):
        pass


def test_a_policy_served_is_the_policy_of_a_sweep_draw_for_draw(lab):
    problems = list(source.read("lab:test?size=6&seed=4"))
    dial = {"average": 2.0, "most": 16}
    way = strategy(f"policy(file={shipped(Models())},average=2)")
    team = Models().team(way.about.roles)
    jobs = [Job(problem, way, Budget(dial["most"])) for problem in problems]
    swept = {one.job.problem.prompt: one for one in asyncio.run(Runner(team).results(jobs))}
    for problem in problems:
        turns = [{"role": "user", "content": problem.prompt}]
        told = ask(lab.client, turns, seed=0, extra_body={"outthink": dial}).outthink
        one = swept[problem.prompt]
        assert told["answer"] == one.outcome.answer
        assert told["probability"] == pytest.approx(one.choice.chance, abs=1e-9)
        usage = replace(Usage(**told["usage"]), seconds=0)
        assert usage == one.outcome.usage
