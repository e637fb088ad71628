"""Odd replies of servers, as their users report them: each is a row, or an error with the way out.

What says what was written was paid for, so it is asked for once. What says nothing is asked for
again; what would be said again is not.
"""

import asyncio
import copy
from itertools import pairwise

import pytest
from fake_server import EOS, MODEL, FakeServer
from hypothesis import given, settings
from hypothesis import strategies as st
from test_openai import ask, client_to, draws, jobs_of, playing, solved, start

from outthink.errors import ContextError, ServerError, ServerRefused
from outthink.models.capabilities import Kind, examine
from outthink.models.examine import findings
from outthink.types import END
from outthink.verify.confidence import confidence

SAID = "So 4.\n\n\\boxed{right}"
CHAT, TOKENS = "/v1/chat/completions", {"vllm": "/v1/completions", "llama.cpp": "/completion"}


def replying(change, path=CHAT):
    """Replies at a path, changed in place or for another one."""

    def alter(sent, body, value):
        if sent != path:
            return value
        value = copy.deepcopy(value)
        other = change(value)
        return value if other is None else other

    return alter


def chat_row(choice, usage="told"):
    """A reply of one row."""
    counts = {"prompt_tokens": 9, "completion_tokens": 5} if usage == "told" else usage
    return {"choices": [{"index": 0, "finish_reason": "stop", **choice}], "usage": counts}


def drawn(reply, kind="chat", path=CHAT, until=END):
    """The row that a reply becomes; it is asked for once."""
    with playing(kind) as (server, proposer):
        server.alter = replying(reply if callable(reply) else lambda _: reply, path)
        (row,) = ask(proposer, *draws(start(), 1, until))
    assert [sent for sent, _ in server.requests].count(path) == 1
    return row


# Why an answer is over ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason", ["stop", "eos", "eos_token", "end_turn", "STOP", {"type": "stop", "matched": 2}]
)
def test_an_answer_that_the_model_ended_is_finished(reason):
    row = drawn(chat_row({"finish_reason": reason, "message": {"content": SAID}}))
    assert row.solution.finished and row.solution.answer == "right"


@pytest.mark.parametrize(
    "reason",
    [
        *("length", "max_tokens", "content_filter", "tool_calls", "function_call", "repetition"),
        *(None, "", "something new", {"type": "length", "length": 8}),
    ],
)
def test_an_answer_that_nothing_says_has_ended_is_cut_off(reason):
    row = drawn(chat_row({"finish_reason": reason, "message": {"content": SAID}}))
    assert row.solution.truncated and not row.solution.finished and row.solution.answer is None
    assert row.decoded_tokens == 5 and "".join(row.texts) == SAID


def test_an_answer_without_a_reason_is_cut_off():
    row = drawn({"choices": [{"message": {"content": SAID}}]})
    assert row.solution.truncated


@pytest.mark.parametrize("reason", [None, "content_filter", "repetition", "?"])
@pytest.mark.parametrize("until", [1, END])
def test_vllm_may_say_no_reason_either(reason, until):
    def change(value):
        value["choices"][0] |= {"finish_reason": reason, "stop_reason": None}

    row = drawn(change, "vllm", TOKENS["vllm"], until)
    assert row.solution.truncated and row.decoded_tokens == len(row.solution.tokens) > 0


@pytest.mark.parametrize("word", ["none", "", None, "filter"])
def test_llama_cpp_may_say_no_reason_either(word):
    row = drawn(lambda value: value.update(stop_type=word), "llama.cpp", TOKENS["llama.cpp"])
    assert row.solution.truncated and row.decoded_tokens == len(row.solution.tokens) > 0


# What an answer says -----------------------------------------------------------------------------

THOUGHT = "It is \\boxed{right}.\n\nOr is it?"


@pytest.mark.parametrize(
    "message",
    [
        {"content": None},
        {},
        None,
        {"content": ""},
        {"content": []},
        {"content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]},
        {"content": [{"type": "image_url", "image_url": {}}, "?"]},
    ],
)
def test_an_answer_that_says_nothing_is_a_row_without_an_answer(message):
    row = drawn(chat_row({"message": message}))
    assert row.solution.finished and row.solution.answer is None
    assert row.solution.tokens == () and row.decoded_tokens == 5


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("reason", ["length", "stop"])
def test_a_thought_is_kept_and_is_no_answer(field, reason):
    message = {"content": None, field: THOUGHT}
    row = drawn(chat_row({"finish_reason": reason, "message": message}))
    assert row.solution.truncated == (reason == "length") and row.solution.answer is None
    assert THOUGHT in "".join(row.texts) and row.decoded_tokens == 5


def test_a_thought_before_an_answer_is_kept_and_is_no_answer():
    message = {"content": SAID, "reasoning_content": "wrong? \\boxed{wrong}"}
    row = drawn(chat_row({"message": message}))
    assert row.solution.answer == "right"
    assert "".join(row.texts) == f"<think>{message['reasoning_content']}</think>\n\n{SAID}"


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": [{"type": "text", "text": SAID}]}},
        {
            "message": {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": SAID[:9]},
                    {"type": "text", "text": SAID[9:]},
                ]
            }
        },
        {"text": SAID},
        {"message": {"content": None}, "text": SAID},
    ],
)
def test_an_answer_in_parts_or_elsewhere_is_read(choice):
    row = drawn(chat_row(choice))
    assert row.solution.answer == "right" and "".join(row.texts) == SAID


def test_a_refusal_is_what_was_said():
    row = drawn(chat_row({"message": {"content": None, "refusal": "I cannot say."}}))
    assert row.texts == ("I cannot say.",) and row.solution.answer is None


def test_half_an_emoji_is_no_fault():
    row = drawn(chat_row({"message": {"content": f"\ud83d {SAID}"}}))
    assert row.solution.answer == "right" and "".join(row.texts) == f"? {SAID}"


# What was counted --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        "none",
        [],
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": 0, "completion_tokens": 0, "prompt_tokens_details": None},
        {"prompt_tokens": "9", "completion_tokens": -1},
        {"prompt_tokens": float("inf"), "completion_tokens": True},
    ],
)
def test_what_nobody_counted_is_guessed_by_its_length(usage):
    row = drawn(chat_row({"message": {"content": SAID}}, usage))
    assert row.decoded_tokens == -(-len(SAID) // 4)
    assert row.prompt_tokens == -(-len("problem 0") // 4) and row.cached_tokens == 0


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 9.0, "completion_tokens": 5.0}, (9, 0, 5)),
        ({"input_tokens": 9, "output_tokens": 5}, (9, 0, 5)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": None},
            },
            (9, 0, 5),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 99},
            },
            (0, 9, 5),
        ),
    ],
)
def test_what_was_counted_is_taken_as_far_as_it_can_be(usage, counts):
    row = drawn(chat_row({"message": {"content": SAID}}, usage))
    assert (row.prompt_tokens, row.cached_tokens, row.decoded_tokens) == counts


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}])
def test_vllm_need_not_count_what_its_ids_tell(usage):
    with playing("vllm") as (_, proposer):
        (told,) = ask(proposer, *draws(start(), 1, END))
    row = drawn(lambda value: value.update(usage=usage), "vllm", TOKENS["vllm"])
    assert row == told


@pytest.mark.parametrize("timings", [None, {}, {"cache_n": None, "prompt_n": 3}])
def test_llama_cpp_need_not_time_what_it_wrote(timings):
    with playing("llama.cpp") as (_, proposer):
        (told,) = ask(proposer, *draws(start(), 1, END))
    row = drawn(lambda value: value.update(timings=timings), "llama.cpp", TOKENS["llama.cpp"])
    assert row == told


# Several rows ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number", [lambda i: None, lambda i: i + 1, lambda i: 0, str, lambda i: "x"]
)
@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "chat"])
def test_rows_need_no_numbers(kind, number):
    path = TOKENS.get(kind, CHAT)
    with playing(kind) as (server, proposer):
        whole = ask(proposer, *draws(start(), 4, END))
        server.requests.clear()

        def change(value):
            rows = value if isinstance(value, list) else value["choices"]
            rows.sort(key=lambda row: row["index"])
            for at, row in enumerate(rows):
                row["index"] = number(at)
                if row["index"] is None:
                    del row["index"]

        server.alter = replying(change, path)
        rows = ask(proposer, *draws(start(), 4, END))
    assert [sent for sent, _ in server.requests].count(path) == 1
    assert [row.solution for row in rows] == [row.solution for row in whole]


@pytest.mark.parametrize("kind", ["vllm", "chat"])
@pytest.mark.parametrize("most", [1, 3])
def test_rows_that_are_missing_are_asked_for_again_and_no_others(kind, most):
    path = TOKENS.get(kind, CHAT)
    with playing(kind) as (server, proposer):
        whole = ask(proposer, *draws(start(), 4, END))
        server.requests.clear()

        def change(value):
            value["choices"] = [row for row in value["choices"] if row["index"] < most]

        server.alter = replying(change, path)
        rows = ask(proposer, *draws(start(), 4, END))
        asked = [body.get("n", 1) for sent, body in server.requests if sent == path]
    assert asked == {1: [4, 3, 2, 1], 3: [4, 1]}[most]
    assert [row.solution for row in rows] == [row.solution for row in whole]


def test_rows_that_nobody_asked_for_are_left():
    def change(value):
        value["choices"] += [{**value["choices"][0], "index": 1}]

    assert drawn(change).solution == drawn(lambda value: None).solution


# Steps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "told",
    [
        lambda row: row.update(logprobs=None),
        lambda row: row["logprobs"].update(tokens=None),
        lambda row: row["logprobs"].update(tokens=[None] * len(row["token_ids"])),
        lambda row: row["logprobs"].update(tokens=[f"token:{each}" for each in row["token_ids"]]),
        lambda row: row["logprobs"]["tokens"].pop(),
    ],
)
def test_steps_of_vllm_are_paragraphs_whatever_it_tells_of_its_tokens(told):
    with playing("vllm") as (server, proposer):
        whole = ask(proposer, *draws(start(), 8, END))
        server.alter = replying(
            lambda value: [*map(told, value["choices"])] and None, TOKENS["vllm"]
        )
        rows = ask(proposer, *draws(start(), 8, END))
    assert [row.solution for row in rows] == [row.solution for row in whole]
    assert any(row.solution.steps > 1 for row in rows)
    assert not any(EOS in row.solution.tokens for row in rows)


@pytest.mark.parametrize("told", ["missing", None, [], [{"id": 9999, "bytes": []}]])
@pytest.mark.parametrize("until", [1, END])
def test_steps_of_llama_cpp_are_paragraphs_where_it_tells_no_probabilities(told, until):
    def change(value):
        for row in value if isinstance(value, list) else [value]:
            row["completion_probabilities"] = told
            if told == "missing":
                del row["completion_probabilities"]

    with playing("llama.cpp") as (server, proposer):
        whole = ask(proposer, *draws(start(), 8, until))
        server.alter = replying(change, TOKENS["llama.cpp"])
        rows = ask(proposer, *draws(start(), 8, until))
    assert [row.solution for row in rows] == [row.solution for row in whole]
    assert sum(sent == TOKENS["llama.cpp"] for sent, _ in server.requests) == 2


def spoken(pieces, ending="eos"):
    """What llama.cpp says of an answer in these pieces: nothing of one that ends inside a letter,
    and all that was not sent yet of the next one."""
    numbers, ids, told, said, sent = {}, [], [], b"", 0
    for piece in pieces:
        ids.append(numbers.setdefault(piece, 1000 + len(numbers)))
        said += piece
        if _whole(said):
            told.append({"id": ids[-1], "bytes": list(said[sent:]), "top_logprobs": []})
            sent = len(said)
    if ending == "eos":
        ids.append(2)
        told.append({"id": 2, "bytes": [], "top_logprobs": []})
    return {
        "content": said.decode("utf-8", "replace"),
        "tokens": ids,
        "tokens_predicted": len(ids),
        "stop_type": ending,
        "completion_probabilities": told,
    }


def _whole(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


PARAGRAPHS = ["Écris-le.", "答案是四。", "😀🎉🚀", "naïve — café", "ß", "歪", "ठीक है।", "So 4."]


@pytest.fixture(scope="module")
def llama():
    with playing("llama.cpp") as (server, proposer):
        yield server, proposer


@settings(max_examples=60, deadline=None)
@given(
    paragraphs=st.lists(st.sampled_from(PARAGRAPHS), min_size=1, max_size=12),
    cuts=st.sets(st.integers(1, 200), max_size=60),
    ending=st.sampled_from(["eos", "limit"]),
)
def test_steps_are_paragraphs_in_any_script_however_its_letters_are_cut(
    llama, paragraphs, cuts, ending
):
    server, proposer = llama
    data = "\n\n".join(paragraphs).encode()
    # A delimiter is one token, or the end of one; a token that goes on behind it is the step's.
    marks = {at + 2 for at in range(len(data)) if data[at : at + 2] == b"\n\n"}
    places = sorted({0, len(data), *marks, *(cut for cut in cuts if cut < len(data))})
    row = spoken([data[a:b] for a, b in pairwise(places)], ending)
    server.alter = replying(lambda value: value.update(row), TOKENS["llama.cpp"])
    (got,) = ask(proposer, *draws(start(), 1, END))
    assert "".join(got.texts) == "\n\n".join(paragraphs)
    assert got.texts == (*(f"{each}\n\n" for each in paragraphs[:-1]), paragraphs[-1])
    assert got.solution.steps == len(paragraphs) - (ending == "limit")


@pytest.mark.parametrize("cut", range(1, 4))
def test_an_answer_that_ends_inside_a_letter_is_cut_there(llama, cut):
    server, proposer = llama
    row = spoken([b"So.\n\n", *(bytes([each]) for each in "😀".encode()[:cut])], "limit")
    server.alter = replying(lambda value: value.update(row), TOKENS["llama.cpp"])
    (got,) = ask(proposer, *draws(start(), 1, END))
    assert got.solution.steps == 1 and got.solution.truncated
    assert len(got.solution.tokens) == 1 + cut


def test_the_end_mark_alone_is_an_answer_that_says_nothing(llama):
    server, proposer = llama
    server.alter = replying(lambda value: value.update(spoken([])), TOKENS["llama.cpp"])
    (got,) = ask(proposer, *draws(start(), 1, END))
    assert got.solution.finished and got.solution.tokens == () and got.decoded_tokens == 1


@pytest.mark.parametrize("told", [0, 1, 2, 5])
def test_an_answer_is_as_sure_whatever_was_told_of_it_as_it_was_written(told):
    def surely(alter):
        with playing("llama.cpp") as (server, proposer):
            sure = confidence(proposer, top=3)
            server.alter = alter
            (row,) = ask(proposer, *draws(start(), 1, END, seed=5))

            async def run():
                try:
                    return (await anext(sure.verify([row.solution]))).row
                finally:
                    await proposer.aclose()

            return row.solution.tokens, asyncio.run(run()).scores

    def change(sent, body, value):
        if sent == TOKENS["llama.cpp"] and body["n_predict"] > 1:
            row = copy.deepcopy(value)
            row["completion_probabilities"] = row["completion_probabilities"][:told]
            return row
        return value

    (tokens, scores), (others, expected) = surely(change), surely(None)
    assert tokens == others
    assert scores.steps == pytest.approx(expected.steps, abs=1e-12)


def test_a_place_that_is_not_told_of_at_all_has_no_part_in_confidence():
    with playing("llama.cpp") as (server, proposer):
        sure = confidence(proposer, top=3)
        server.alter = replying(
            lambda value: value.update(completion_probabilities=None), TOKENS["llama.cpp"]
        )
        (row,) = ask(proposer, *draws(start(), 1, END))

        async def run():
            try:
                return (await anext(sure.verify([row.solution]))).row
            finally:
                await proposer.aclose()

        verified = asyncio.run(run())
    assert set(verified.scores.steps) == {None}
    assert (
        verified.computed_tokens + verified.cached_tokens
        >= len(row.solution.tokens) - row.solution.steps
    )


# What is no answer -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"choices": [], "usage": None},
        {"choices": None},
        {},
        [],
        "<!DOCTYPE html><title>502</title>",
        "",
        {"error": {"message": "Provider returned error", "code": 502}},
        {"error": {"message": "slow down", "code": 429}, "user_id": "u"},
        {"error": "upstream gave up"},
        {"error": {"message": "overloaded", "type": "server_error"}, "choices": []},
        chat_row({"finish_reason": "error", "error": {"code": 502}, "message": {"content": "So"}}),
        chat_row({"finish_reason": "abort", "message": {"content": ""}}),
        {"choices": ["?"]},
        {"choices": [{"message": "?"}]},
        {"choices": [{"message": {"content": 7}}]},
        (429, {"error": {"message": "no time is said"}}),
    ],
)
def test_what_may_be_better_the_next_time_is_asked_for_again(fault):
    faults = [fault]
    with playing("chat") as (server, proposer):
        (whole,) = ask(proposer, *draws(start(), 1, END))
        server.requests.clear()
        server.alter = lambda sent, body, value: faults.pop() if faults else value
        (row,) = ask(proposer, *draws(start(), 1, END))
    assert row.solution == whole.solution and len(server.requests) == 2


@pytest.mark.parametrize("reason", ["abort", "error"])
def test_a_row_that_vllm_gave_up_on_is_asked_for_again(reason):
    faults = [reason]

    def change(value):
        if faults:
            value["choices"][0] |= {"finish_reason": faults.pop(), "text": None, "token_ids": []}

    with playing("vllm") as (server, proposer):
        server.alter = replying(change, TOKENS["vllm"])
        (row,) = ask(proposer, *draws(start(), 1, END))
    assert row.solution.finished and not faults


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ({"error": {"message": "bad", "code": 400}}, ServerError, "refused .400: bad.; 'outthink"),
        ({"error": {"message": "bad", "type": "invalid_request_error"}}, ServerError, "400: bad"),
        ({"error": {"message": "no", "code": 401}}, ServerRefused, "set OUTTHINK_API_KEY"),
        ({"error": {"message": "pay", "code": 402}}, ServerRefused, "nothing left .402: pay"),
        ((402, {"error": {"message": "Insufficient credits"}}), ServerRefused, "add to it, or set"),
        (
            {"error": {"message": "maximum context length is 9", "code": 400}},
            ContextError,
            "shorten it",
        ),
        (
            'data: {"choices": [{"delta": {"content": "So"}}]}\n\ndata: [DONE]\n',
            ServerRefused,
            "streams",
        ),
        (": ping\n\ndata: [DONE]\n", ServerRefused, "a proxy before it that gathers"),
        (
            (400, {"detail": "Stream must be set to true"}),
            ServerError,
            "Stream must be set to true",
        ),
    ],
)
def test_what_would_be_the_same_the_next_time_is_asked_for_once(fault, error, said):
    with playing("chat") as (server, proposer):
        server.alter = lambda sent, body, value: fault
        with pytest.raises(error, match=said):
            ask(proposer, *draws(start(), 1, END))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("<html>Welcome</html>", "a web page; is this the address of a model server"),
        ("Bad Gateway", "not JSON: 'Bad Gateway'"),
        ({"choices": []}, "no rows for 1 asked"),
        ({"error": {"message": "busy", "code": 503}}, "503: busy"),
    ],
)
def test_what_stays_senseless_loses_one_problem_and_is_named(fault, said):
    with playing("chat") as (server, proposer):
        server.alter = lambda sent, body, value: (
            fault if "problem 1" in str(body["messages"]) else value
        )
        results = {r.job.problem.id: r.outcome for r in solved(proposer, jobs_of("majority", n=1))}
    assert [name for name, outcome in results.items() if outcome.error] == ["p1"]
    assert said in results["p1"].error and "6 times" in results["p1"].error


# What a server is found to do --------------------------------------------------------------------


def examined(kind="chat", model=None, **server):
    async def run(client):
        try:
            return await examine(client, model)
        finally:
            await client.aclose()

    with FakeServer(kind, **server) as running:
        return asyncio.run(run(client_to(running)))


def has(capabilities):
    return {each.what: each.has for each in findings(capabilities)}


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "chat"])
def test_a_seed_that_is_kept_is_told_from_one_that_changes_nothing(kind):
    path, first = TOKENS.get(kind, CHAT), []

    def same(sent, body, value):
        if sent == path and value is not None:
            first.append(value)
            return first[0]
        return value

    assert has(examined(kind))["seed"] is True
    assert has(examined(kind, alter=same))["seed"] is None


@pytest.mark.parametrize(
    "message",
    [{"content": None}, {}, {"content": ""}, None, {"content": []}, {"refusal": None}, "?"],
)
def test_a_seed_that_drew_nothing_twice_is_not_kept(message):
    found = examined(alter=replying(lambda value: chat_row({"message": message}, "none")))
    assert found.seed and found.seed_kept is None
    (finding,) = (each for each in findings(found) if each.what == "seed")
    assert finding.has is None and "not known" in finding.means


def test_a_seed_is_kept_in_a_thought_too():
    def change(value):
        for row in value["choices"]:
            row["message"] = {"content": None, "reasoning": row["message"]["content"]}

    assert examined(alter=replying(change)).seed_kept is True


def test_a_seed_that_draws_something_else_is_not_kept():
    drawn = iter(range(100))

    def change(value):
        for row in value["choices"]:
            row["message"]["content"] = str(next(drawn))

    found = examined(alter=replying(change))
    assert found.seed and found.seed_kept is False and has(found)["seed"] is False


def taking(*temperatures, top_p=True):
    def alter(sent, body, value):
        refused = body and (
            body.get("temperature", "own") not in (*temperatures, "own")
            or ("top_p" in body and not top_p)
        )
        return (400, {"error": {"message": "unsupported value"}}) if refused else value

    return alter


@pytest.mark.parametrize(
    ("taken", "sent"), [((1.0,), [None, 1.0]), ((0.6,), [None, None]), ((0.0,), [0.0, None])]
)
@pytest.mark.parametrize("top_p", [True, False])
def test_a_server_of_one_temperature_is_used_as_it_is_and_doctor_says_so(taken, sent, top_p):
    alter = taking(*taken, top_p=top_p)
    with playing("chat", alter=alter) as (server, proposer):
        results = solved(proposer, jobs_of("greedy", "majority", n=2, of=2))
        assert not any(result.outcome.error for result in results)
        for greedy, temperature in ((True, sent[0]), (False, sent[1])):
            bodies = [body for _, body in server.requests if (body.get("n", 1) == 1) == greedy]
            assert bodies
            assert {body.get("temperature") for body in bodies} == {temperature}
            assert {body.get("top_p") for body in bodies} == {1.0 if top_p else None}
        assert has(proposer.capabilities)["temperature"] is False
        name = proposer.name
    with playing("chat") as (_, plain):
        assert has(plain.capabilities)["temperature"] is True
        assert plain.name != name


def test_a_server_that_counts_nothing_or_gives_no_reason_is_said_to():
    def change(value):
        value["usage"] = None
        for row in value["choices"]:
            row["finish_reason"] = None

    plain, odd = has(examined()), has(examined(alter=replying(change)))
    assert plain["token counts"] and plain["finish reason"]
    assert not odd["token counts"] and not odd["finish reason"]
    assert has(examined("vllm", alter=replying(change)))["token counts"]


@pytest.mark.parametrize(
    "listed",
    [
        [{"id": MODEL}],
        {"data": [{"id": MODEL}]},
        {"object": "list", "data": [{"id": MODEL, "max_model_len": None}]},
    ],
)
def test_a_list_of_models_has_several_forms(listed):
    found = examined(alter=replying(lambda value: listed, "/v1/models"))
    assert found.model == MODEL and found.kind is Kind.CHAT


@pytest.mark.parametrize("nothing", [{"data": None}, {"data": []}, []])
def test_a_server_without_a_list_of_models_can_be_used_by_name(nothing):
    alter = replying(lambda value: nothing, "/v1/models")
    with pytest.raises(ServerRefused, match="lists no models; name one"):
        examined(alter=alter)
    assert examined(model=MODEL, alter=alter).model == MODEL


@pytest.mark.parametrize("code", [404, 405, 501])
def test_a_server_that_cannot_list_its_models_can_be_used_by_name(code):
    alter = replying(lambda value: (code, {"error": "no such page"}), "/v1/models")
    with pytest.raises(ServerRefused):
        examined(alter=alter)
    assert examined(model=MODEL, alter=alter).kind is Kind.CHAT


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('data: {"choices": []}\n\n', "streams what it was asked for whole"),
        ((400, {"detail": "Stream must be set to true"}), "Stream must be set to true"),
        ({"error": {"message": "no such deployment", "code": 400}}, "no such deployment"),
        ((400, {"error": {"message": "max tokens must be 16 at least"}}), "16 at least"),
    ],
)
def test_a_server_that_takes_no_chat_is_refused_in_its_own_words(answer, said):
    def alter(sent, body, value):
        return answer if sent == CHAT else value

    with pytest.raises(ServerRefused, match=said):
        examined(alter=alter)


def test_a_server_whose_lists_are_null_is_examined():
    def change(value):
        for row in value["choices"]:
            row["logprobs"] = None
        if len(value["choices"]) > 1:
            value["choices"] = None

    found = examined(alter=replying(change))
    assert not found.several and not found.logprobs
