"""Served proposers over real HTTP, against servers that play vLLM, llama.cpp and a chat API."""

import asyncio
import random
import socket
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
from contract import check_proposer, check_result, problems, results
from fake_server import EOS, FAULTS, IDS, MODEL, ROLE, FakeServer, rendered, text_of

from outthink.errors import ContextError, RunError, ServerError, ServerRefused
from outthink.models.capabilities import Kind, examine
from outthink.models.dialects import Message
from outthink.models.http import HttpClient, RetryPolicy
from outthink.models.openai import OpenAIProposer, Setting, Wording
from outthink.models.scripted import ScriptedVerifier
from outthink.run.journal import Job
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import END, SEED_STRIDE, Budget, Draw, Problem, Solution, Usage

KINDS = ("vllm", "llama.cpp", "chat")
STEPPING = ("vllm", "llama.cpp")
every_kind = pytest.mark.parametrize("kind", KINDS)
stepping = pytest.mark.parametrize("kind", STEPPING)

PLAIN = Setting(wording=Wording(question="{prompt}", revise="again"))
ONE = Problem("p0", "problem 0", "right")


class Waits:
    """A clock for backing off: notes how long was waited, and waits for nothing."""

    def __init__(self):
        self.seconds = []

    async def __call__(self, seconds):
        self.seconds.append(seconds)
        await asyncio.sleep(0)


def client_to(server, **options):
    given = {"retry": RetryPolicy(request_s=20.0), "sleep": Waits()}
    return HttpClient(server.url, **given | {"rng": random.Random(0)} | options)


async def proposer_of(server, setting=PLAIN, **options):
    client = client_to(server, **options)
    found = OpenAIProposer(client, await examine(client), setting)
    await found.aclose()
    server.usage.clear()
    server.requests.clear()
    server.seen.clear()
    return found


@contextmanager
def playing(kind, *, setting=PLAIN, options=None, **server):
    """A server and a proposer of its model."""
    with FakeServer(kind, **server) as running:
        yield running, asyncio.run(proposer_of(running, setting, **(options or {})))


def ask(proposer, *draws):
    """Rows drawn at once, in a loop that ends."""

    async def run():
        try:
            rows = [None] * len(draws)
            async for arrival in proposer.propose(draws):
                rows[arrival.place] = arrival.row
            return rows
        finally:
            await proposer.aclose()

    return asyncio.run(run())


def draws(prefix, count=4, until=1, temperature=1.0, seed=99):
    mask = (1 << 63) - 1
    return [
        Draw(prefix, until, temperature, seed + row * SEED_STRIDE & mask) for row in range(count)
    ]


async def first_row(proposer):
    async for arrival in proposer.propose(draws(start(), 1)):
        return arrival.row


def start(problem=ONE):
    return Solution.start(problem)


def jobs_of(*names, n=4, of=6):
    return [Job(p, strategy(name), Budget(n)) for name in names for p in problems(of)]


def solved(proposer, jobs, **options):
    return results(Team.of(proposer, ScriptedVerifier()), jobs, **options)


class InALoop:
    """A served proposer as the contract asks: rows in, rows out."""

    def __init__(self, proposer):
        self._proposer = proposer

    def propose_batch(self, rows):
        return ask(self._proposer, *rows)


# The contract ------------------------------------------------------------------------------------


@every_kind
def test_contract_of_a_served_proposer(kind):
    with playing(kind) as (_, proposer):
        check_proposer(InALoop(proposer), problems(6), whole=kind == "chat")


@every_kind
def test_a_row_is_the_same_alone_and_among_the_rows_of_its_request(kind):
    with playing(kind) as (server, proposer):
        until = END if kind == "chat" else 1
        rows = ask(proposer, *draws(start(), 8, until))
        together = len(server.requests)
        alone = [ask(proposer, draw)[0] for draw in draws(start(), 8, until)]
    assert together <= 4 + len({"/apply-template", "/tokenize"})
    assert [row.solution for row in rows] == [row.solution for row in alone]


# What is sent ------------------------------------------------------------------------------------


@stepping
def test_a_partial_answer_is_continued_by_its_token_ids_alone(kind):
    path = {"vllm": "/v1/completions", "llama.cpp": "/completion"}[kind]
    with playing(kind) as (server, proposer):
        first = next(r.solution for r in ask(proposer, *draws(start(), 8)) if r.solution.is_open)
        server.requests.clear()
        ask(proposer, *draws(first, 1))
    ((sent, body),) = server.requests
    assert sent == path
    assert body["prompt"] == rendered([{"role": "user", "content": "problem 0"}]) + list(
        first.tokens
    )


@stepping
def test_the_delimiter_stays_in_the_tokens_and_the_end_mark_does_not(kind):
    with playing(kind) as (_, proposer):
        for row in ask(proposer, *draws(start(), 16)):
            solution = row.solution
            assert EOS not in solution.tokens
            assert row.decoded_tokens == len(solution.tokens) + solution.finished
            if solution.is_open:
                assert solution.tokens[-1] == IDS[".\n\n"]


@stepping
def test_a_delimiter_alone_is_no_step(kind):
    with playing(kind) as (_, proposer):
        rows = ask(proposer, *[d for p in problems(20) for d in draws(start(p), 4, END)])
    blank = [row.solution for row in rows if IDS["\n\n"] in row.solution.tokens]
    assert blank
    for solution in blank:
        begun = 0
        for end in solution.step_ends:
            assert set(solution.tokens[begun:end]) - {IDS["\n\n"]}
            begun = end


@stepping
def test_steps_of_whole_answers_are_cut_where_steps_drawn_singly_end(kind):
    with playing(kind) as (_, proposer):
        for row in ask(proposer, *draws(start(), 8, END)):
            solution = row.solution
            marks = [i + 1 for i, t in enumerate(solution.tokens) if t == IDS[".\n\n"]]
            assert solution.step_ends == (*marks, len(solution.tokens))
            assert solution.answer in ("right", "wrong")


@pytest.mark.parametrize("most", [4, 200])
@every_kind
def test_a_row_brings_its_own_words_step_by_step(kind, most):
    says = (lambda ids: bytes(ids).decode()) if kind == "chat" else text_of
    with playing(kind, setting=replace(PLAIN, most_tokens=most)) as (_, proposer):
        asked = [d for p in problems(10) for d in draws(start(p), 4, END)]
        if kind != "chat":
            asked += [d for p in problems(10) for d in draws(start(p), 4)]
        rows = ask(proposer, *asked)
        begun = [(draw.prefix, row) for draw, row in zip(asked, rows, strict=True)]
        prefixes = [row.solution for row in rows if row.solution.is_open]
        further = [d for prefix in prefixes for d in draws(prefix, 2, END)]
        rows = ask(proposer, *further)
        begun += [(draw.prefix, row) for draw, row in zip(further, rows, strict=True)]
    assert any(row.solution.truncated for _, row in begun) == (most == 4)
    for prefix, row in begun:
        ids, ends = row.solution.tokens, row.solution.step_ends[prefix.steps :]
        places = sorted({len(prefix.tokens), *ends, len(ids)})
        assert row.texts == tuple(says(ids[a:b]) for a, b in pairwise(places))


@every_kind
def test_sampling_is_set_in_full(kind):
    # A server's defaults cut the distribution off: llama.cpp's at 40 tokens.
    with playing(kind) as (server, proposer):
        ask(proposer, *draws(start(), 1, END, 0.7))
    body = server.requests[-1][1]
    assert body["temperature"] == 0.7
    if kind == "llama.cpp":
        assert body["samplers"] == ["temperature"]
    else:
        assert body["top_p"] == 1.0
    if kind == "vllm":
        assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (-1, 0.0, 1.0)


@every_kind
def test_rows_that_are_greedy_are_not_drawn_in_one_request(kind):
    with playing(kind) as (server, proposer):  # vLLM refuses n > 1 at temperature 0
        rows = ask(proposer, *draws(start(), 3, END, 0.0))
    assert all(body.get("n", 1) == 1 for path, body in server.requests if "compl" in path)
    assert len({row.solution.tokens for row in rows}) == 1


@every_kind
def test_a_revision_sees_earlier_answers_as_turns(kind):
    with playing(kind) as (server, proposer):
        first = ask(proposer, *draws(start(), 1, END))[0].solution
        server.requests.clear()
        ask(proposer, *draws(Solution.revision([first], 4), 2, END))
        said = asyncio.run(_text(proposer, first.tokens))
    path = {"vllm": "/tokenize", "llama.cpp": "/apply-template", "chat": "/v1/chat/completions"}
    body = next(body for sent, body in server.requests if sent == path[kind])
    assert body["messages"] == [
        {"role": "user", "content": "problem 0"},
        {"role": "assistant", "content": said},
        {"role": "user", "content": "again"},
    ]


async def _text(proposer, tokens):
    try:
        return await proposer.text(tokens)
    finally:
        await proposer.aclose()


def test_a_wording_may_have_braces_and_a_system_turn():
    wording = Wording(system="be brief", question="{prompt} in \\boxed{}")
    assert wording.messages("{x}") == (
        Message("system", "be brief"),
        Message("user", "{x} in \\boxed{}"),
    )


@every_kind
def test_a_solution_that_runs_into_the_limit_is_truncated(kind):
    with playing(kind, setting=replace(PLAIN, most_tokens=3)) as (_, proposer):
        for row in ask(proposer, *draws(start(), 8, END)):
            assert row.solution.truncated and not row.solution.finished
            assert row.solution.answer is None


@stepping
def test_a_solution_that_fills_the_context_is_truncated(kind):
    long = Problem("long", "x" * 90, "right")
    room = len(rendered([{"role": "user", "content": long.prompt}])) + 6
    with playing(kind, context=room) as (_, proposer):
        rows = ask(proposer, *draws(start(long), 8, END))
        assert all(row.solution.truncated for row in rows)
        (row,) = ask(proposer, *draws(replace(rows[0].solution, truncated=False), 1))
        assert row.solution.truncated and row.decoded_tokens == 0


@every_kind
def test_a_prompt_that_is_too_long_ends_its_problem_and_says_so(kind):
    long = Problem("long", "x" * 5000, "right")
    jobs = [Job(p, strategy("majority"), Budget(2)) for p in (ONE, long)]
    with playing(kind) as (server, proposer):
        results = {r.job.problem.id: r.outcome for r in solved(proposer, jobs)}
    assert results["p0"].error is None
    assert results["long"].error.startswith("ContextError: ")
    assert "shorten it" in results["long"].error
    assert sum("compl" in path for path, _ in server.requests) <= 3  # and is not tried again


def test_a_chat_api_says_what_it_cannot_do():
    with playing("chat") as (_, proposer), pytest.raises(ServerRefused, match="use greedy, maj"):
        solved(proposer, jobs_of("beam"))


def test_a_chat_api_without_seeds_or_several_answers_is_used_without():
    lacks = frozenset({"seed", "n", "max_tokens"})
    with playing("chat", lacks=lacks) as (server, proposer):
        results = solved(proposer, jobs_of("majority", n=4, of=2))
    assert [r.outcome.error for r in results] == [None, None]
    assert len(server.requests) == 8
    assert not any(body.keys() & lacks for _, body in server.requests)


def test_bytes_stand_for_tokens_where_a_server_gives_none():
    with playing("chat") as (_, proposer):
        (row,) = ask(proposer, *draws(start(), 1, END))
        assert bytes(row.solution.tokens).decode().endswith("}")
        assert row.solution.steps == bytes(row.solution.tokens).count(b".\n\n") + 1
        assert row.decoded_tokens < len(row.solution.tokens)


# Counting ----------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("name", ["majority", "best_of_n", "beam", "lookahead", "revise"])
def test_the_ledger_is_what_the_server_counted(kind, name):
    if kind == "chat" and name in ("beam", "lookahead"):
        return
    with playing(kind) as (server, proposer):
        proposer._together._most_rows = 1
        results = solved(proposer, jobs_of(name))
    usage = sum((r.outcome.usage for r in results), Usage())
    counted = server.usage
    assert usage.decoded_tokens == counted["decoded"]
    assert usage.prompt_tokens == counted["prompt"] - counted["cached"]
    assert usage.cached_tokens == counted["cached"]


def test_rows_of_vllm_are_counted_as_its_metrics_count_them_once_a_prompt_is_cached():
    with playing("vllm") as (server, proposer):
        ask(proposer, *draws(start(), 1, END))
        before = server.usage.copy()
        rows = ask(proposer, *draws(start(), 8, END, seed=7))
    assert server.usage["requests"] == before["requests"] + 1
    held, looked_up = (server.usage[name] - before[name] for name in ("held", "looked_up"))
    assert sum(row.cached_tokens for row in rows) == held > 0
    assert sum(row.prompt_tokens for row in rows) == looked_up - held == 8


@pytest.mark.parametrize("kind", ["llama.cpp", "chat"])
def test_a_prompt_that_rows_share_is_counted_once(kind):
    with playing(kind) as (server, proposer):
        (result,) = solved(proposer, jobs_of("majority", n=8, of=1))
    usage = result.outcome.usage
    assert server.usage["requests"] == 1
    assert usage.prompt_tokens == server.usage["prompt"]
    assert usage.cached_tokens == 7 * server.usage["prompt"]
    assert usage.decoded_tokens == server.usage["decoded"]


@every_kind
def test_requests_in_flight_are_bounded(kind):
    with playing(kind, options={"requests_in_flight": 3}, turns=50) as (server, proposer):
        server.most_at_once = 0
        solved(proposer, jobs_of("majority", n=16, of=12))
    assert 1 < server.most_at_once <= 3


# Faults ------------------------------------------------------------------------------------------


@every_kind
def test_a_thousand_faults_lose_named_problems_and_count_nothing_twice(kind):
    names = ("majority", "revise") if kind == "chat" else ("majority", "beam", "revise")
    jobs = jobs_of(*names, n=4, of=100 if kind == "chat" else 40)
    with playing(kind) as (_, proposer):
        clean = {_job(r): r for r in solved(proposer, jobs)}
    rng = random.Random(kind)
    faults = list(FAULTS) * 38 + [None] * 150
    rng.shuffle(faults)
    waits = Waits()
    with playing(kind, options={"sleep": waits, "retry": RetryPolicy(tries=3)}) as (
        server,
        proposer,
    ):
        server.faults = faults
        results = solved(proposer, jobs, deadline_s=60)
    assert server.injected.total() > 333 and set(server.injected) == set(FAULTS)
    assert {_job(r) for r in results} == clean.keys()
    lost = [r for r in results if r.outcome.error]
    assert 0 < len(lost) < len(jobs)
    for result in results:
        check_result(result)
        if result.outcome.error:
            assert result.outcome.error.startswith("ServerError: http://127.0.0.1")
            continue
        usage, before = result.outcome.usage, clean[_job(result)].outcome.usage
        assert result.choice.candidates == clean[_job(result)].choice.candidates
        assert usage.decoded_tokens == before.decoded_tokens
        assert usage.prompt_tokens + usage.cached_tokens == (
            before.prompt_tokens + before.cached_tokens
        )
    assert max(waits.seconds) == 7.0  # as `Retry-After` said


def _job(result):
    return result.job.problem.id, result.job.strategy.name


@every_kind
def test_a_server_that_hangs_is_given_up_on(kind):
    with playing(kind) as (server, proposer):
        proposer._client._retry = RetryPolicy(tries=2, request_s=0.05)
        server.faults = ["hang"] * 10**4
        results = solved(proposer, jobs_of("majority", n=1, of=3))
        assert {r.outcome.error.partition(":")[0] for r in results} == {"ServerError"}
        assert all("no response within 0.05 s, 2 times" in r.outcome.error for r in results)
        assert all(r.outcome.usage == Usage(generations=0) for r in results)


def test_a_request_that_was_cancelled_takes_no_connection_with_it():
    async def run(server, proposer):
        for _ in range(3):
            server.faults = ["hang"]
            task = asyncio.create_task(first_row(proposer))
            while server.faults:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with asyncio.timeout(10):
                [row async for row in proposer.propose(draws(start(), 4))]
        await proposer.aclose()

    with playing("vllm", options={"requests_in_flight": 1}) as (server, proposer):
        asyncio.run(run(server, proposer))


def test_a_deadline_leaves_no_request_behind():
    with playing("vllm") as (server, proposer):
        server.faults = [None] * 3 + ["hang"] * 10**4
        results = solved(proposer, jobs_of("beam", n=2, of=4), deadline_s=0.2)
        assert sum("DeadlineError" in (r.outcome.error or "") for r in results) >= 3


def test_waits_double_up_to_a_limit_and_are_left_to_chance_by_half():
    waits = Waits()
    with FakeServer("vllm") as server:
        server.faults = ["500"] * 9
        client = client_to(server, sleep=waits, retry=RetryPolicy(tries=9, longest_wait_s=20))

        async def run():
            try:
                await client.post("/v1/completions", {}, dict)
            finally:
                await client.aclose()

        with pytest.raises(ServerError, match="500: out of luck, 9 times; check the server"):
            asyncio.run(run())
    assert len(waits.seconds) == 8
    for number, seconds in enumerate(waits.seconds):
        assert min(20, 0.25 * 2**number) <= seconds <= min(20, 0.5 * 2**number)
    assert len(set(waits.seconds)) > 5


@pytest.mark.parametrize(
    ("said", "waited"),
    [
        ("30", 30.0),
        ("900", 60.0),
        ("-5", 0.5),
        ("soon", 0.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.5),
    ],
)
def test_retry_after_is_kept_within_reason(said, waited):
    waits = Waits()
    with playing("vllm", retry_after=said, options={"sleep": waits}) as (server, proposer):
        server.faults = ["429"]
        ask(proposer, *draws(start(), 1))
    (seconds,) = waits.seconds
    assert waited / 2 <= seconds <= waited


def test_no_server_is_one_line_with_the_way_out():
    with FakeServer() as server:
        gone = server.url
    with pytest.raises(ServerRefused, match="no server answers there; start one, or check"):
        asyncio.run(OpenAIProposer.connect(gone))


def test_a_server_that_goes_away_is_a_named_error():
    with playing("vllm") as (_, proposer):
        pass
    (result,) = solved(proposer, jobs_of("majority", of=1))
    assert "ServerError: http://127.0.0.1" in result.outcome.error
    assert "ConnectError" in result.outcome.error


# Asked wrongly -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://host", "http://", "http://host?x=1", "http://[::1"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ServerRefused, match="write http://HOST:PORT"):
        HttpClient(url)


def test_an_address_with_a_password_is_refused_and_not_repeated():
    with pytest.raises(ServerRefused) as refused:
        HttpClient("http://me:hunter2@host:8000")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("tail", ["", "/", "/v1", "/v1/"])
def test_an_address_may_end_in_v1(tail):
    assert HttpClient(f"http://host:8000{tail}").root == "http://host:8000"


@pytest.mark.parametrize(
    ("models", "model", "said"),
    [
        (("a", "b"), None, "has 'a', 'b'; name one, as in http"),
        (("a", "b"), "c", "has no model 'c'; it has 'a', 'b'"),
        ((), None, "lists no models; name one"),
    ],
)
def test_a_model_that_is_missing_is_named(models, model, said):
    with FakeServer("vllm", models=models) as server, pytest.raises(ServerRefused, match=said):
        asyncio.run(OpenAIProposer.connect(server.url, model))


def test_one_of_several_models_can_be_named():
    with FakeServer("vllm", models=("a", MODEL)) as server:
        proposer = asyncio.run(OpenAIProposer.connect(server.url, MODEL))
    assert proposer.name.startswith("up-")


# Keys --------------------------------------------------------------------------------------------


def test_a_key_comes_from_the_environment_and_shows_up_nowhere(monkeypatch):
    monkeypatch.setenv("OUTTHINK_API_KEY", "sk-secret")
    with playing("vllm", key="sk-secret") as (server, proposer):
        results = solved(proposer, jobs_of("majority", n=2, of=2))
        assert not any(r.outcome.error for r in results)
        shown = [
            repr(each) for each in (proposer, proposer._client, proposer.capabilities, results)
        ]
        server.key = "sk-other"
        with pytest.raises(ServerRefused, match="a key was refused") as refused:
            solved(proposer, jobs_of("majority"))
        shown += [str(refused.value), repr(refused.value), repr(vars(proposer))]
    assert "***" in str(refused.value)  # this server repeats the key it was sent
    assert not any("secret" in each for each in shown)


def test_a_missing_key_says_where_it_goes(monkeypatch):
    monkeypatch.delenv("OUTTHINK_API_KEY", raising=False)
    wanted = pytest.raises(ServerRefused, match=r"a key is needed .* set OUTTHINK_API_KEY")
    with FakeServer("vllm", key="sk-other") as server, wanted:
        asyncio.run(OpenAIProposer.connect(server.url))


def test_the_key_of_openai_goes_to_openai_alone(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("OUTTHINK_API_KEY", "sk-own")
    assert HttpClient("https://api.openai.com/v1")._key == "sk-openai"
    assert HttpClient("http://localhost:8000")._key == "sk-own"
    assert HttpClient("https://api.openai.com.example.org")._key == "sk-own"


# Names and answers -------------------------------------------------------------------------------


def test_a_name_tells_settings_and_models_apart_and_nothing_else():
    def named(kind="vllm", setting=PLAIN, **server):
        with playing(kind, setting=setting, **server) as (_, proposer):
            return proposer.name

    names = [named(), named(setting=Setting()), named("chat"), named(models=("made/down",))]
    assert len(set(names)) == 4
    assert named() == names[0]


@stepping
def test_answers_are_found_and_written_by_the_reader_it_is_given(kind):
    with playing(kind) as (_, proposer):
        declared = [row.solution.answer for row in ask(proposer, *draws(start(), 8, END))]
    assert set(declared) <= {"right", "wrong", None} and "right" in declared
    with FakeServer(kind) as server:
        proposer = asyncio.run(
            OpenAIProposer.connect(server.url, setting=PLAIN, read=lambda text: str(len(text)))
        )
        rows = ask(proposer, *draws(start(), 8, END))
    assert all(row.solution.answer.isdigit() for row in rows if row.solution.finished)


def test_the_family_of_server_errors():
    assert issubclass(ContextError, ServerError) and issubclass(ServerError, RunError)


# What servers can do -----------------------------------------------------------------------------


@every_kind
def test_a_server_is_known_by_what_it_does(kind):
    with FakeServer(kind) as server:

        async def run():
            client = client_to(server)
            try:
                return await examine(client)
            finally:
                await client.aclose()

        found = asyncio.run(run())
    assert found.kind is {"vllm": Kind.VLLM, "llama.cpp": Kind.LLAMA_CPP, "chat": Kind.CHAT}[kind]
    stepwise = kind != "chat"
    assert (found.token_ids_in, found.token_ids_out, found.stop_kept) == (stepwise,) * 3
    assert found.chat and found.several and found.seed and found.seed_kept
    assert found.context == (4096 if stepwise else None)
    assert not found.embeddings and not found.pooling


def test_a_vllm_too_old_to_give_token_ids_is_a_chat_api():
    with playing("vllm", lacks=frozenset({"token_ids"})) as (_, proposer):
        assert proposer.capabilities.kind is Kind.CHAT


@every_kind
def test_a_server_is_examined_through_its_hiccups(kind):
    with FakeServer(kind) as server:
        server.faults = ["500", None, "429", None, None, "reset"]
        proposer = asyncio.run(proposer_of(server))
    assert (proposer.capabilities.kind is Kind.CHAT) == (kind == "chat")
    assert Counter(server.injected) == {"500": 1, "429": 1, "reset": 1}


def test_words_are_what_the_tests_take_them_for():
    assert rendered([{"role": "user", "content": "So\n\n"}]) == [
        ROLE["user"], IDS["So"], IDS["\n\n"], 303, ROLE["assistant"],
    ]  # fmt: skip


def test_a_server_of_this_machine_is_not_asked_through_a_proxy(monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        with playing("vllm") as (_, proposer):
            (row,) = ask(proposer, Draw(Solution.start(ONE), END, 1.0, 7))
    assert row.solution.finished
