"""Votes over calls of tools and JSON, asked by the real client of OpenAI."""

import asyncio
import json
from dataclasses import replace

import httpx
import openai
import pytest
from fake_server import MODEL, FakeServer
from pydantic import BaseModel
from sequential_fixtures import PRICES, of_votes
from serving import Serving

from outthink.gateway.settings import Settings
from outthink.models.asking import Asking
from outthink.policy.file import save
from outthink.policy.menu import Stage
from outthink.study.models import Models

ASKED = [{"role": "user", "content": "What is the weather in Bern and in Ulm?"}]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tells it.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def call(city, days=1, name="weather", id="call_up"):
    """A call as servers write it, each in a way of its own."""
    arguments = json.dumps({"city": city, "days": days})
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*told, content=None):
    return {"content": content, "tool_calls": list(told)}


def in_turn(*messages):
    """Replies of a model, by the order in which they are asked for; the last one stays."""
    left = list(messages)

    def reply(body, seed):
        if body["max_tokens"] < 50:  # it is tried out
            return {"content": "1"}
        return left.pop(0) if len(left) > 1 else left[0]

    return reply


@pytest.fixture(params=["vllm", "chat", "llama.cpp"])
def upstream(request):
    with FakeServer(request.param, lacks=frozenset({"n"})) as server:
        yield server


@pytest.fixture
def served(upstream):
    # One request after the other, so that replies come in turn.
    models = Models(upstream.url, verifier="none", asking=Asking(requests_in_flight=1))
    with Serving(Settings(models, grader="math")) as made:
        yield made


def ask(client, messages=ASKED, model=f"{MODEL}:majority@4", tools=TOOLS, **more):
    return client.chat.completions.create(model=model, messages=messages, tools=tools, **more)


def names(message):
    return [(one.function.name, json.loads(one.function.arguments)) for one in message.tool_calls]


def test_the_call_that_most_samples_make_is_given_as_the_model_wrote_it(upstream, served):
    both = calls(call("Bern", 1), call("Ulm", 2))
    same = calls(call("Ulm", 2.0), call("Bern"), content="Let me look.")
    other = calls(call("Bern"))
    upstream.replies = in_turn(other, both, {"content": "No."}, same)
    told = ask(served.client)
    [choice] = told.choices
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    assert [one.model_dump() for one in choice.message.tool_calls] == both["tool_calls"]
    assert told.outthink["usage"]["generations"] == 4
    assert [one["arguments"]["city"] for one in json.loads(told.outthink["answer"])] == [
        "Bern",
        "Ulm",
    ]


def test_a_stream_makes_the_same_call_in_deltas(upstream, served):
    upstream.replies = in_turn(calls(call("Bern"), call("Ulm", id=""), content="Let me look."))
    whole = ask(served.client).choices[0].message
    chunks = [chunk.choices[0] for chunk in ask(served.client, stream=True)]
    made = {}
    for delta in (delta for chunk in chunks for delta in chunk.delta.tool_calls or ()):
        known = made.setdefault(delta.index, {"id": delta.id, "type": delta.type, "text": ""})
        known.setdefault("name", delta.function.name)
        known["text"] += delta.function.arguments
    told = [(one["name"], json.loads(one["text"])) for _, one in sorted(made.items())]
    assert told == names(whole) == [("weather", {"city": c, "days": 1}) for c in ("Bern", "Ulm")]
    assert [one["id"] for one in made.values()] == [one.id for one in whole.tool_calls]
    assert made[0]["id"] == "call_up" and made[1]["id"].startswith("call_")
    assert chunks[-1].finish_reason == "tool_calls"
    assert "".join(c.delta.content or "" for c in chunks) == whole.content == "Let me look."


def test_the_clients_own_helper_reads_the_stream(upstream, served):
    upstream.replies = in_turn(calls(call("Bern")))
    with served.client.chat.completions.stream(
        model=f"{MODEL}:majority@2", messages=ASKED, tools=TOOLS
    ) as stream:
        stream.until_done()
        told = stream.get_final_completion()
    assert told.choices[0].message.tool_calls[0].function.name == "weather"


def test_the_asynchronous_client_calls_too(upstream, served):
    upstream.replies = in_turn(calls(call("Bern")))

    async def asked():
        async with served.client_of("none", openai.AsyncOpenAI) as client:
            return await ask(client)

    assert names(asyncio.run(asked()).choices[0].message) == [
        ("weather", {"city": "Bern", "days": 1})
    ]


def test_arguments_that_are_no_json_are_no_answer(upstream, served):
    broken = call("Bern")
    broken["function"]["arguments"] = '{"city": "Be'
    upstream.replies = in_turn(calls(broken), calls(broken), calls(call("Ulm")), calls(broken))
    told = ask(served.client)
    assert names(told.choices[0].message) == [("weather", {"city": "Ulm", "days": 1})]
    upstream.replies = in_turn(calls(broken))
    told = ask(served.client)
    assert told.outthink["answer"] is None
    assert told.choices[0].message.tool_calls[0].function.arguments == '{"city": "Be'


def test_a_call_that_is_cut_off_is_no_answer(upstream, served):
    upstream.replies = in_turn((calls(call("Bern")), "length"))
    told = ask(served.client)
    assert told.choices[0].finish_reason == "length" and told.outthink["answer"] is None


def test_replies_in_words_vote_together(upstream, served):
    upstream.replies = in_turn(
        calls(call("Bern")), {"content": "Rain."}, calls(call("Bern")), {"content": "It rains."}
    )
    told = ask(served.client, model=f"{MODEL}:majority@5")
    assert told.choices[0].message.content == "Rain." and not told.choices[0].message.tool_calls
    assert told.choices[0].finish_reason == "stop"


def test_words_are_compared_where_the_request_says_how(upstream, served):
    upstream.replies = in_turn(*({"content": f"\\boxed{{{n}}}"} for n in ("8", "7.0", "7", "9")))
    told = ask(served.client, extra_body={"outthink": {"answers": "number"}})
    assert told.outthink["answer"] == "7"


def test_what_came_of_a_call_reaches_the_model(upstream, served):
    upstream.replies = in_turn({"content": "Rain in Bern."})
    turns = [
        {"role": "system", "content": "Be brief."},
        *ASKED,
        {"role": "assistant", "content": None, "tool_calls": [call("Bern")]},
        {"role": "tool", "tool_call_id": "call_up", "content": "rain"},
    ]
    told = ask(served.client, turns, tool_choice="auto", parallel_tool_calls=False)
    assert told.choices[0].message.content == "Rain in Bern."
    asked = [body for path, body in upstream.requests if path == "/v1/chat/completions"][-1]
    assert asked["messages"] == turns
    assert (asked["tools"], asked["tool_choice"]) == (TOOLS, "auto")
    assert asked["parallel_tool_calls"] is False


def test_an_agent_goes_on_with_the_message_that_it_was_given(upstream, served):
    upstream.replies = in_turn(calls(call("Bern"), content="Let me look."))
    message = ask(served.client).choices[0].message
    [made] = message.tool_calls
    upstream.replies = in_turn({"content": "Rain."})
    result = {"role": "tool", "tool_call_id": made.id, "content": "rain"}
    told = ask(served.client, [*ASKED, message, result])
    assert told.choices[0].message.content == "Rain."
    asked = [body for path, body in upstream.requests if path == "/v1/chat/completions"][-1]
    assert asked["messages"][1]["tool_calls"] == [call("Bern")]
    assert asked["messages"][1]["content"] == "Let me look."


def test_a_judge_chooses_among_calls(upstream):
    with FakeServer("chat") as judge:
        judge.says = lambda text: json.dumps({"reason": "x", "score": 9 if 'Ulm\\"' in text else 1})
        models = Models(
            upstream.url,
            verifier=f"judge:{judge.url}",
            revision_verifier="none",
            asking=Asking(requests_in_flight=1),
        )
        with Serving(Settings(models)) as served:
            upstream.replies = in_turn(calls(call("Bern")), calls(call("Ulm")), calls(call("Bern")))
            told = ask(served.client, model=f"{MODEL}:best_of_n(answer=max)@3")
    assert [one[1]["city"] for one in names(told.choices[0].message)] == ["Ulm"]
    asked = [body["messages"][-1]["content"] for _, body in judge.requests[-3:]]
    assert all("Tells it." in text for text in asked)  # it is shown the tools


def test_a_store_keeps_what_was_drawn_with_tools(upstream, tmp_path):
    settings = Settings(Models(upstream.url, verifier="none"), store=tmp_path / "a.store")
    with Serving(settings) as served:
        upstream.replies = in_turn(calls(call("Bern")))
        first = ask(served.client, seed=3)
        upstream.replies = in_turn(calls(call("Ulm")))
        assert ask(served.client, seed=3).choices == first.choices


@pytest.mark.parametrize("model", ["auto", f"{MODEL}:majority@4", f"{MODEL}:first_finish(k=3)@4"])
def test_json_is_compared_by_its_values(upstream, served, model):
    upstream.replies = in_turn(
        *({"content": text} for text in ('{"a":2}', '{"a": 1, "b": 0}', "a: 1", '{"b":0.0,"a":1}'))
    )
    told = ask(
        served.client, model=model, tools=openai.omit, response_format={"type": "json_object"}
    )
    upstream.replies = None
    assert json.loads(told.choices[0].message.content) == {"a": 1, "b": 0}
    assert told.outthink["answer"] == '{"a":1,"b":0}'
    asked = [body for path, body in upstream.requests if path == "/v1/chat/completions"]
    assert all(body["response_format"] == {"type": "json_object"} for body in asked[-4:])


def test_structured_output_is_parsed_by_the_client(upstream, served):
    class City(BaseModel):
        name: str
        people: int

    texts = ('{"name":"Ulm","people":1}', '{"people":2,"name":"Bern"}')
    upstream.replies = in_turn(*({"content": text} for text in texts))
    told = served.client.chat.completions.parse(
        model=f"{MODEL}:majority@3", messages=ASKED, response_format=City
    )
    assert told.choices[0].message.parsed == City(name="Bern", people=2)


def _refused(served, body):
    told = httpx.post(f"{served.url}/v1/chat/completions", json={"model": "auto", **body})
    return told.status_code, told.json().get("error")


@pytest.mark.parametrize("way", ["revise", "budget_forcing"])
def test_a_search_over_unfinished_answers_is_refused_with_what_would_do(served, way):
    status, error = _refused(
        served, {"model": f"{MODEL}:{way}@4", "messages": ASKED, "tools": TOOLS}
    )
    assert (status, error["code"], error["param"]) == (400, "unsupported_strategy", "model")
    assert "majority, best_of_n, first_finish" in error["message"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"tools": TOOLS, "messages": [{"role": "tool", "tool_call_id": "a"}]}, "messages"),
        ({"tools": TOOLS, "messages": [*ASKED, {"role": "function", "content": "a"}]}, None),
        ({"tools": TOOLS, "outthink": {"price": 0.1}}, "outthink"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(served, more, param):
    status, error = _refused(served, {"messages": ASKED, **more})
    assert status == 400 and error["param"] == (param or "messages[1]")


@pytest.mark.parametrize("kind", ["vllm", "chat", "llama.cpp"])
def test_a_server_that_leaves_tools_out_is_not_asked_to_call_any(kind):
    with (
        FakeServer(kind, lacks=frozenset({"tools"})) as server,
        Serving(Settings(Models(server.url, verifier="none"))) as served,
    ):
        status, error = _refused(served, {"messages": ASKED, "tools": TOOLS})
        json_ = {"messages": ASKED, "response_format": {"type": "json_object"}}
        assert _refused(served, json_)[0] == 200
    assert (status, error["code"]) == (400, "unsupported_strategy")
    assert "leaves tools out" in error["message"] and server.url not in error["message"]


def test_what_the_models_server_refuses_of_tools_is_its_own_error(upstream, served):
    upstream.alter = lambda path, body, value: (
        (400, {"error": {"message": "no tools here"}}) if "tools" in (body or {}) else value
    )
    status, error = _refused(served, {"messages": ASKED, "tools": TOOLS})
    assert (status, error["code"]) == (400, "upstream_refused")
    assert "no tools here" in error["message"]


# The Responses API --------------------------------------------------------------------------------

FLAT = [{"type": "function", **TOOLS[0]["function"]}]


def respond(served, **more):
    told = {"model": f"{MODEL}:majority@3", "input": "Weather in Bern and Ulm?", **more}
    return served.client.responses.create(**told)


def test_a_response_calls_tools(upstream, served):
    upstream.replies = in_turn(calls(call("Bern"), call("Ulm", id="call_2"), content="Now."))
    told = respond(served, tools=FLAT, tool_choice={"type": "function", "name": "weather"})
    words, *called = told.output
    assert words.content[0].text == "Now."
    assert [(one.call_id, json.loads(one.arguments)["city"]) for one in called] == [
        ("call_up", "Bern"),
        ("call_2", "Ulm"),
    ]
    asked = [body for path, body in upstream.requests if path == "/v1/chat/completions"][-1]
    assert asked["tools"] == TOOLS
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "weather"}}


def test_a_response_streams_its_calls(upstream, served):
    upstream.replies = in_turn(calls(call("Bern"), call("Ulm", id="call_2")))
    events = list(respond(served, tools=FLAT, stream=True))
    done = [e for e in events if e.type == "response.function_call_arguments.done"]
    said = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert [e.arguments for e in done] == said and len(said) == 2
    items = [e.item for e in events if e.type == "response.output_item.done"]
    assert items == events[-1].response.output
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_a_response_goes_on_from_what_came_of_its_calls(upstream, served):
    upstream.replies = in_turn({"content": "Rain."})
    item = {"type": "function_call", "name": "weather", "arguments": "{}"}
    turns = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Now."}]},
        {**item, "call_id": "a"},
        {**item, "call_id": "b"},
        {"type": "function_call_output", "call_id": "a", "output": "rain"},
        {"type": "function_call_output", "call_id": "b", "output": "sun"},
    ]
    assert respond(served, input=turns, tools=FLAT).output_text == "Rain."
    asked = [body for path, body in upstream.requests if path == "/v1/chat/completions"][-1]
    roles = [turn["role"] for turn in asked["messages"]]
    assert roles == ["user", "assistant", "tool", "tool"]
    assert [one["id"] for one in asked["messages"][1]["tool_calls"]] == ["a", "b"]
    assert [turn.get("tool_call_id") for turn in asked["messages"][2:]] == ["a", "b"]


def test_a_response_has_the_format_that_is_asked_for(upstream, served):
    class City(BaseModel):
        name: str

    texts = ('{"name":"Ulm"}', '{"name": "Bern"}')
    upstream.replies = in_turn(*({"content": text} for text in texts))
    told = served.client.responses.parse(
        model=f"{MODEL}:majority@3", input="Which city?", text_format=City
    )
    assert told.output_parsed == City(name="Bern")
    asked = [body for path, body in upstream.requests if path == "/v1/chat/completions"][-1]
    assert asked["response_format"]["json_schema"]["name"] == "City"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": FLAT, "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "grammar"}}}, "response_format"),
        ({"input": [{"type": "reasoning"}]}, "input[0]"),
        ({"input": [{"type": "function_call_output", "call_id": "a", "output": 3}]}, "input"),
    ],
)
def test_what_a_response_cannot_be_is_refused_by_name(served, more, param):
    body = {"model": "auto", "input": "Hello", **more}
    told = httpx.post(f"{served.url}/v1/responses", json=body)
    assert (told.status_code, told.json()["error"]["param"]) == (400, param)


# Policies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("votes", [True, False])
def test_a_policy_of_votes_decides_about_tools_without_a_probability(tmp_path, votes):
    with FakeServer("vllm") as server:
        engines = Models(server.url).team({"proposer"}).engine_names()
        family = of_votes(PRICES[0], engines, {})
        if not votes:
            menu = (family.menu[0], Stage("beam", 4))
            [curve, *_] = family.chances.curves.values()
            curves = {stage.source: curve for stage in menu}
            family = replace(family, menu=menu, chances=replace(family.chances, curves=curves))
        save(family, tmp_path / "policy.json")
        settings = Settings(Models(server.url), tmp_path / "policy.json")
        with Serving(settings) as served:
            server.replies = in_turn(calls(call("Bern")))
            about = ask(served.client, model="auto", reasoning_effort="low").outthink
            own = {"outthink": {"price": 0.01}}
            told = _refused(served, {"messages": ASKED, "tools": TOOLS, **own})
    assert about["probability"] is None
    if votes:
        assert about["strategy"].startswith("sequential") and told[0] == 200
        assert {one["probability"] for one in about["decisions"]} == {None}
    else:
        assert (about["strategy"], about["usage"]["generations"]) == ("majority", 4)
        assert (told[0], told[1]["param"]) == (400, "outthink")
