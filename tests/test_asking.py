"""How a model is asked: every option reaches the server, or is refused by name."""

import asyncio
import json
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from contract import scored
from fake_server import FakeServer, text_of
from test_openai import ONE, PLAIN, ask, client_to, draws, every_kind, playing, start, stepping

import outthink
from outthink.cli.app import main
from outthink.data import source
from outthink.data.shots import shots
from outthink.errors import RunError, ServerRefused, UsageError
from outthink.models.asking import OPTIONS, Asking, of_json, read
from outthink.models.capabilities import examine
from outthink.models.families import suggestions
from outthink.models.http import RetryPolicy
from outthink.models.openai import OpenAIProposer, Setting
from outthink.models.scripted import ScriptedProposer
from outthink.study.models import asked
from outthink.testing.engines import solutions
from outthink.types import END
from outthink.verify.named import named

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
    assert text == f"Question: {ONE.prompt}\n\nAnswer:" and "/apply-template" not in sent
    assert sent[WRITES[kind]]["stop"] == ["Question:"]


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
    lines = [{"question": q, "answer": a} for q, a in ALL.examples]
    (tmp_path / "shots.jsonl").write_text("\n".join(map(json.dumps, lines)))
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
        patience_s = 20
        deadline_s = 90
        stop = ["Q:"]
        [template]
        enable_thinking = false
        [extra]
        thinking_token_budget = 64
    """
    more = {"most_tokens": 512, "delimiter": "\n", "system": "Be brief.", "instruction": "Think."}
    more["stop"] = ("Q:",)
    sent = {"requests_in_flight": 4, "request_s": 30, "patience_s": 20, "deadline_s": 90}
    asking = read(written(tmp_path, text))
    assert asking == replace(ALL, **more, **sent)
    assert {field.name for field in fields(Asking)} - asking.given.keys() == {"completion"}


# The command line --------------------------------------------------------------------------------


TYPED = [
    *("--temperature", "0.7", "--top-p", "0.9", "--top-k", "20", "--min-p", "0.05"),
    *("--step-tokens", "2", "--delimiter", "\\n", "--system", "Be brief.", "--stop", "Q:"),
    *("--instruction", "Think.", "--template", "enable_thinking=false", "--in-flight", "4"),
    *("--reasoning-effort", "low", "--extra", "thinking_token_budget=64"),
    *("--request-timeout", "30", "--patience", "20", "--deadline", "90", "--shots", "shots.jsonl"),
]


def told(capsys, *words):
    """How a server would be asked."""
    with FakeServer("vllm") as server:
        assert main(["doctor", server.url, *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["asking"]


def test_every_option_can_be_typed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [{"question": q, "answer": a} for q, a in ALL.examples]
    (tmp_path / "shots.jsonl").write_text("\n".join(map(json.dumps, lines)))
    more = {"delimiter": "\n", "system": "Be brief.", "instruction": "Think.", "stop": ("Q:",)}
    sent = {"requests_in_flight": 4, "request_s": 30.0, "patience_s": 20.0, "deadline_s": 90.0}
    given = replace(ALL, **more, **sent).given
    seen = told(capsys, *TYPED)
    assert {name: seen[name] for name in given} == json.loads(json.dumps(given))
    assert told(capsys, "--completion")["completion"] is True
    flags = {option.flag for option in OPTIONS if option.flag}
    assert flags == {word for word in TYPED if word.startswith("--")} | {"--completion"}
    assert {option.name for option in OPTIONS} == {field.name for field in fields(Asking)}


def test_what_is_typed_comes_before_what_is_in_a_file(tmp_path, capsys):
    path = written(tmp_path, "top_k = 5\ntop_p = 0.5\n")
    seen = told(capsys, "--asking", str(path), "--top-k", "9")
    assert (seen["top_k"], seen["top_p"]) == (9, 0.5)


def test_a_system_prompt_may_be_a_file(tmp_path, capsys):
    (tmp_path / "system.txt").write_text("Be brief.\n")
    assert told(capsys, "--system", f"@{tmp_path}/system.txt")["system"] == "Be brief."


@pytest.mark.parametrize(
    "words, said",
    [
        (["--template", "thinking"], "NAME=VALUE"),
        (["--top-p", "3"], "top_p is 3.0"),
        (["--shots", "4"], "none is named"),
        (["--system", "@missing.txt"], "cannot be read"),
        (["--extra", "seed=3"], "extra holds seed"),
        (["--stop", ""], "stop holds an empty string"),
    ],
)
def test_what_cannot_be_typed_is_refused(words, said, capsys):
    assert main(["doctor", "http://127.0.0.1:9", *words]) == 2
    assert said in capsys.readouterr().err


def gsm8k(folder, count):
    rows = [
        {
            "question": f"What is {i} + 1?",
            "answer": f"{i} + 1 = <<{i}+1={i + 1}>>{i + 1}\n#### {i + 1}",
        }
        for i in range(count)
    ]
    path = folder / "gsm8k.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_shots_are_worked_problems_that_are_not_asked(tmp_path):
    path = gsm8k(tmp_path, 9)
    shown = shots(f"{path}?size=3&seed=1", 4)
    asked_for = {problem.prompt for problem in source.read(f"{path}?size=3&seed=1")}
    assert len(shown) == 4 and not asked_for & {question for question, _ in shown}
    question, answer = shown[0]
    number = int(question.split()[2])
    assert answer == f"{number} + 1 = {number + 1}\n\nThe answer is \\boxed{{{number + 1}}}."


@pytest.mark.parametrize("spec", ["{path}", "{path}?size=8", "lab:test?size=3"])
def test_shots_that_are_not_there_are_refused(tmp_path, spec):
    with pytest.raises(UsageError, match="--shots FILE"):
        shots(spec.format(path=gsm8k(tmp_path, 9)), 4)


# Requests -----------------------------------------------------------------------------------------


def connect(server, asking, **options):
    return asyncio.run(OpenAIProposer.connect(server.url, setting=PLAIN, asking=asking, **options))


def test_no_more_requests_are_in_flight_than_asked_for():
    with FakeServer("chat", lacks=frozenset({"n"})) as server:
        for most in (1, 3):
            proposer = connect(server, Asking(requests_in_flight=most))
            server.most_at_once, server.turns = 0, 2000
            ask(proposer, *draws(start(), 12, END))
            server.turns = 0
            assert server.most_at_once <= most and (server.most_at_once > 1) == (most > 1)


def test_a_request_that_takes_too_long_is_given_up_and_sent_again():
    with FakeServer("vllm") as server:
        quick = RetryPolicy(first_wait_s=0.01)
        proposer = connect(server, Asking(request_s=0.5), retry=quick)
        server.faults.append("hang")
        (row,) = ask(proposer, *draws(start(), 1, END))
    assert server.injected["hang"] == 1 and row.solution.finished


def test_a_problem_that_takes_too_long_is_given_up_and_says_so():
    def hangs(path, body):
        return path == "/v1/completions" and body["max_tokens"] > 100

    with FakeServer("vllm", hangs=hangs) as server:
        models = outthink.Models(server.url, verifier="none", asking=Asking(deadline_s=0.5))
        solving = outthink.solve("one?", strategy="majority", budget=1, model=models)
        with pytest.raises(RunError, match=r"not done within 0.5 s"):
            asyncio.run(solving)


# Ends ---------------------------------------------------------------------------------------------


def rambles(begun):
    return "It is \\boxed{4}.\n\nQ: and now?"[len(begun) :]


@stepping
@pytest.mark.parametrize("until", [1, END])
def test_an_answer_ends_before_its_stop(kind, until):
    with FakeServer(kind, writes=rambles) as server:
        proposer = asyncio.run(connected(server, Asking(stop=("Q:",))))
        solution = start()
        while solution.is_open:
            [row] = ask(proposer, *draws(solution, 1, until))
            solution = row.solution
    assert text_of(solution.tokens) == "It is \\boxed{4}.\n\n"
    assert (solution.finished, solution.answer) == (True, "4")


def test_a_stop_that_a_step_would_split_is_refused():
    with FakeServer("vllm") as server, pytest.raises(UsageError, match="delimiter of steps"):
        asyncio.run(connected(server, Asking(stop=("\n\nQ:",))))


def test_a_chat_is_told_where_an_answer_ends():
    assert bodies("chat", Asking(stop=("Q:",)))[0]["stop"] == ["Q:"]


@stepping
@pytest.mark.parametrize("most", [3, 5])
def test_a_step_has_its_delimiter_or_exactly_its_most_tokens(kind, most):
    text = "One two three.\n\nFour.\n\n\\boxed{right}"
    with FakeServer(kind, writes=lambda begun: text[len(begun) :]) as server:
        proposer = asyncio.run(connected(server, Asking(step_tokens=most)))
        (row,) = ask(proposer, *draws(start(), 1, END))
        prefix, steps = start(), []
        while prefix.is_open:
            (one,) = ask(proposer, *draws(prefix, 1, 1))
            steps += one.texts
            prefix = one.solution
    tokens, ends = row.solution.tokens, row.solution.step_ends
    parts = [tokens[a:b] for a, b in pairwise((0, *ends))]
    assert all(len(p) == most or text_of(p).endswith(".\n\n") for p in parts[:-1])
    assert (prefix.tokens, prefix.step_ends) == (tokens, ends)
    assert "".join(steps) == text


# Families -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model, said",
    [
        ("Qwen/Qwen3-8B", "--temperature 0.6 --top-p 0.95 --top-k 20 --min-p 0.0"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "--temperature 0.7 --top-p 0.8 --top-k 20"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-7B", "--temperature 0.6 --top-p 0.95"),
        ("SmolLM2-135M-Base", "--completion"),
    ],
)
def test_doctor_suggests_what_suits_a_family(model, said, capsys):
    with FakeServer("vllm", models=(model,)) as server:
        assert main(["doctor", server.url]) == 0
    assert said in capsys.readouterr().out


def test_a_model_of_no_known_family_has_no_suggestions():
    assert suggestions("made/up") == []


# Judges -------------------------------------------------------------------------------------------


def test_a_judge_is_asked_as_its_file_says(tmp_path):
    path = written(tmp_path, "system = 'Be strict.'\nreasoning_effort = 'low'\n[extra]\nx = 1\n")
    says = lambda _: '{"reason": "fine", "score": 8}'  # noqa: E731
    with FakeServer("chat", says=says) as server:
        usual = named(f"judge:{server.url}", ScriptedProposer())
        judge = named(f"judge:{server.url}?asking={path}", ScriptedProposer())
        (row,) = scored(judge, solutions()[:1])
        body = server.requests[-1][1]
    assert row.scores.last == 0.8 and judge.name != usual.name
    assert body["messages"][0] == {"role": "system", "content": "Be strict."}
    assert (body["reasoning_effort"], body["x"]) == ("low", 1)


def test_a_judge_refuses_by_name_what_it_cannot_do(tmp_path):
    path = written(tmp_path, "step_tokens = 3")
    with FakeServer("chat") as server, pytest.raises(UsageError, match="step_tokens"):
        named(f"judge:{server.url}?asking={path}", ScriptedProposer())


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
