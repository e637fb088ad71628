"""How a model is asked: every option reaches the server, or is refused by name."""

import asyncio
import json
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from fake_server import FakeServer, text_of
from test_openai import ONE, PLAIN, ask, client_to, draws, every_kind, playing, start, stepping

import outthink
from outthink.errors import ServerRefused, UsageError
from outthink.models.asking import Asking, of_json, read
from outthink.models.capabilities import examine
from outthink.models.openai import OpenAIProposer, Setting
from outthink.study.models import asked
from outthink.types import END

ALL = Asking(
    temperature=0.7,
    top_p=0.9,
    top_k=20,
    min_p=0.05,
    step_tokens=2,
    examples=(("one and one?", "two"),),
    template='{"enable_thinking": false}',
    reasoning_effort="low",
    extra='{"thinking_token_budget": 64}',
)
CHAT = replace(ALL, top_k=None, min_p=None, step_tokens=None, template="{}")
WRITES = {"vllm": "/v1/completions", "llama.cpp": "/completion", "chat": "/v1/chat/completions"}
RENDERS = {"vllm": "/tokenize", "llama.cpp": "/apply-template", "chat": "/v1/chat/completions"}


async def connected(server, asking, setting=PLAIN):
    client = client_to(server)
    try:
        proposer = OpenAIProposer(client, await examine(client), setting, asking=asking)
    finally:
        await client.aclose()
    server.requests.clear()
    return proposer


def bodies(kind, asking, *, until=END, setting=PLAIN, temperature=1.0):
    """What the server was sent for one row: to write, and to render the chat."""
    with FakeServer(kind) as server:
        proposer = asyncio.run(connected(server, asking, setting))
        ask(proposer, *draws(start(), 1, until, temperature))
        sent = dict(reversed(server.requests))
    return sent[WRITES[kind]], sent[RENDERS[kind]]


@every_kind
def test_sampling_and_fields_reach_the_server(kind):
    body, _ = bodies(kind, CHAT if kind == "chat" else ALL)
    assert (body["temperature"], body["top_p"]) == (0.7, 0.9)
    assert body["thinking_token_budget"] == 64
    if kind != "chat":
        assert (body["top_k"], body["min_p"]) == (20, 0.05)


def test_llama_cpp_is_told_to_apply_each_cut_off_that_it_is_given():
    body, _ = bodies("llama.cpp", ALL)
    assert body["samplers"] == ["top_k", "top_p", "min_p", "temperature"]


@every_kind
def test_examples_and_the_prompt_reach_the_server_as_turns(kind):
    own = Asking(system="Be brief.", instruction="Answer in a box.")
    setting = asked(PLAIN, own)
    _, body = bodies(kind, Asking(examples=ALL.examples), setting=setting)
    turns = [(turn["role"], turn["content"]) for turn in body["messages"]]
    assert turns == [
        ("system", "Be brief."),
        ("user", "one and one?\n\nAnswer in a box."),
        ("assistant", "two"),
        ("user", f"{ONE.prompt}\n\nAnswer in a box."),
    ]


@stepping
def test_template_options_and_effort_reach_the_template(kind):
    _, body = bodies(kind, ALL)
    told = {"enable_thinking": False, "reasoning_effort": "low"}
    assert body["chat_template_kwargs"] == told


def test_effort_is_a_field_of_a_chat():
    assert bodies("chat", CHAT)[0]["reasoning_effort"] == "low"


@stepping
def test_a_base_model_is_given_plain_text(kind):
    path = "/tokenize"
    with FakeServer(kind) as server:
        proposer = asyncio.run(connected(server, Asking(completion=True)))
        ask(proposer, *draws(start(), 1, END))
        sent = dict(server.requests)
    text = sent[path]["prompt" if kind == "vllm" else "content"]
    assert text == f"{ONE.prompt}\n\n" and "/apply-template" not in sent


@stepping
def test_a_delimiter_reaches_the_server(kind):
    setting = asked(PLAIN, Asking(delimiter=".\n\n"))
    body, _ = bodies(kind, Asking(), until=1, setting=setting)
    assert body["stop"] == [".\n\n"]


@stepping
@pytest.mark.parametrize("until", [1, END])
def test_a_step_without_its_delimiter_ends_at_its_most_tokens(kind, until):
    with FakeServer(kind) as server:
        proposer = asyncio.run(connected(server, Asking(step_tokens=2)))
        rows = [row.solution for row in ask(proposer, *draws(start(), 8, until))]
    for solution in rows:
        ends = (0, *solution.step_ends)
        assert all(b - a <= 2 for a, b in pairwise(ends))
        assert not solution.truncated and (until is END or solution.steps == 1)


@stepping
def test_steps_of_at_most_some_tokens_leave_the_words_alone(kind):
    with FakeServer(kind) as server:
        capped = asyncio.run(connected(server, Asking(step_tokens=2)))
        plain = asyncio.run(connected(server, Asking()))
        rows = [ask(proposer, *draws(start(), 8, END)) for proposer in (capped, plain)]
    tokens = [[row.solution.tokens for row in drawn] for drawn in rows]
    assert tokens[0] == tokens[1]


@stepping
@pytest.mark.parametrize("until", [1, END])
def test_a_step_that_was_ended_keeps_its_words(kind, until):
    with FakeServer(kind) as server:
        proposer = asyncio.run(connected(server, Asking(step_tokens=2)))
        rows = ask(proposer, *draws(start(), 8, until))
    for row in rows:
        tokens, ends = row.solution.tokens, row.solution.step_ends
        parts = [text_of(tokens[a:b]) for a, b in pairwise((0, *ends, len(tokens))) if a < b]
        assert list(row.texts) == parts


def test_a_greedy_draw_stays_greedy():
    assert bodies("vllm", ALL, temperature=0.0)[0]["temperature"] == 0.0


@pytest.mark.parametrize(
    "name, asking",
    [
        ("top_k", Asking(top_k=1)),
        ("min_p", Asking(min_p=0.0)),
        ("step_tokens", Asking(step_tokens=9)),
        ("template", Asking(template='{"enable_thinking": false}')),
        ("completion", Asking(completion=True)),
    ],
)
def test_a_chat_api_refuses_by_name_what_it_cannot_do(name, asking):
    with FakeServer("chat") as server, pytest.raises(ServerRefused, match=name):
        asyncio.run(connected(server, asking))


@pytest.mark.parametrize("model", ["lab:s", "hf:nowhere"])
def test_a_model_in_process_refuses_by_name_what_it_cannot_do(model):
    models = outthink.Models(model, asking=Asking(top_k=20))
    with pytest.raises(UsageError, match="top_k"):
        models.team({"proposer"})


def test_every_way_of_asking_that_changes_what_is_written_has_a_name_of_its_own():
    def named(asking):
        with FakeServer("vllm") as server:
            return asyncio.run(connected(server, asking, asked(Setting(), asking))).name

    ways = [Asking(**{name: value}) for name, value in {**ALL.given, "system": "Hi"}.items()]
    names = {named(asking) for asking in [Asking(), Asking(completion=True), *ways]}
    assert len(names) == 2 + len(ways)
    assert named(Asking(requests_in_flight=2, request_s=9.0)) == named(Asking())


def test_the_usual_way_of_asking_has_the_name_that_it_always_had():
    with playing("vllm") as (_, proposer), FakeServer("vllm") as server:
        assert asyncio.run(connected(server, Asking())).name == proposer.name


def test_a_way_of_asking_is_kept_with_the_models_of_a_store():
    models = outthink.Models("http://127.0.0.1:9", asking=ALL)
    assert outthink.Models.of(models.spec) == models
    assert "asking" not in outthink.Models("http://127.0.0.1:9").spec
    assert of_json(ALL.as_json) == ALL


# The file -----------------------------------------------------------------------------------------


def written(folder, text):
    path = folder / "asking.toml"
    path.write_text(text)
    return path


def test_a_file_has_every_option(tmp_path):
    (tmp_path / "system.txt").write_text("Be brief.\n")
    shots = [{"question": q, "answer": a} for q, a in ALL.examples]
    (tmp_path / "shots.jsonl").write_text("\n".join(map(json.dumps, shots)))
    text = """
        temperature = 0.7
        top_p = 0.9
        top_k = 20
        min_p = 0.05
        most_tokens = 512
        step_tokens = 2
        delimiter = "\\n"
        system_file = "system.txt"
        examples_file = "shots.jsonl"
        instruction = "Think."
        reasoning_effort = "low"
        requests_in_flight = 4
        request_s = 30
        [template]
        enable_thinking = false
        [extra]
        thinking_token_budget = 64
    """
    more = {"most_tokens": 512, "delimiter": "\n", "system": "Be brief.", "instruction": "Think."}
    sent = {"requests_in_flight": 4, "request_s": 30}
    asking = read(written(tmp_path, text))
    assert asking == replace(ALL, **more, **sent)
    assert {field.name for field in fields(Asking)} - asking.given.keys() == {"completion"}


@pytest.mark.parametrize(
    "text, said",
    [
        ("top_q = 1", "unknown option 'top_q'"),
        ("top_k = 'many'", "top_k is 'many'"),
        ("top_k = true", "top_k is True"),
        ("top_p = 1.5", "top_p is 1.5"),
        ("temperature = nan", "temperature is nan"),
        ("[extra]\nseed = 3", "extra holds seed"),
        ("completion = true\nreasoning_effort = 'low'", "completion applies no chat template"),
        ("system = 'a'\nsystem_file = 'b'", "has both system and system_file"),
        ("system_file = 'missing.txt'", "missing.txt: cannot be read"),
        ("examples = [{question = 'a'}]", "needs a question and an answer"),
        ("no TOML", "is no TOML"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_the_option(tmp_path, text, said):
    with pytest.raises(UsageError, match=said):
        read(written(tmp_path, text))


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a\0b"])
def test_a_system_prompt_that_is_not_text_is_refused(tmp_path, data):
    (tmp_path / "system.bin").write_bytes(data)
    with pytest.raises(UsageError, match=r"system.bin: is not text"):
        read(written(tmp_path, "system_file = 'system.bin'"))
