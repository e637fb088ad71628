"""What users may spend: within a minute, within a day, over a restart, whatever became of it."""

import asyncio
import json
import sqlite3
from contextlib import closing

import httpx
import openai
import pytest
from fake_server import MODEL, FakeServer
from serving import Scripted, Serving
from test_gateway import Stalls

from outthink.cli import main
from outthink.errors import UsageError
from outthink.gateway.keys import Keys, add
from outthink.gateway.overheard import Overheard
from outthink.gateway.refused import Refused
from outthink.gateway.settings import Settings
from outthink.gateway.spent import DAY_S, MINUTE_S, Allowance, Spent
from outthink.study.models import Models

ASKED = [{"role": "user", "content": "What is 2 + 2?"}]


class Clock:
    def __init__(self, now=1_000_000.0):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(tmp_path, clock):
    """Opens what is spent, as often as one likes."""
    made = []

    def open_(**limits):
        allowed = {"alice": Allowance(**limits), "bob": Allowance()}
        made.append(Spent.opened(tmp_path / "spent", allowed, clock))
        return made[-1]

    yield open_
    for one in made:
        one.close()


def wait_of(spent, name="alice"):
    with pytest.raises(Refused) as told:
        spent.check(name)
    assert told.value.status == 429
    return told.value.code, told.value.retry_after_s


def test_a_minute_that_is_spent_opens_again_as_it_passes(opened, clock):
    spent = opened(tokens_per_minute=100)
    spent.add("alice", 60)
    spent.check("alice")
    clock.now += 20
    spent.add("alice", 50)
    assert wait_of(spent) == ("rate_limit_exceeded", 41)
    clock.now += 41
    spent.check("alice")


def test_a_day_that_is_spent_is_a_quota(opened, clock):
    spent = opened(tokens_per_minute=100, tokens_per_day=150)
    spent.add("alice", 90)
    clock.now += 2 * MINUTE_S
    spent.add("alice", 90)
    code, seconds = wait_of(spent)
    assert code == "insufficient_quota" and DAY_S - 3 * MINUTE_S < seconds <= DAY_S
    clock.now += seconds
    spent.check("alice")


def test_a_restart_changes_nothing(opened, clock):
    opened(tokens_per_day=100).add("alice", 100)
    clock.now += 3600
    again = opened(tokens_per_day=100)
    before = wait_of(again)
    clock.now += DAY_S
    opened(tokens_per_day=100).check("alice")
    assert before[0] == "insufficient_quota"


def test_others_are_not_asked_to_wait(opened):
    spent = opened(tokens_per_minute=1)
    for name in ("alice", "bob"):
        spent.add(name, 10**6)
    wait_of(spent)
    spent.check("bob")
    spent.check("carol")


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "spent").write_text("not a database, by far too long to be one" * 9)
    with pytest.raises(UsageError, match="cannot keep what is spent"):
        Spent.opened(tmp_path / "spent", {})


@pytest.mark.parametrize(
    ("parts", "tokens"),
    [
        ([b'{"usage": {"total', b'_tokens": 42}, "x": 1}'], 42),
        ([b"data: {}\n\n", b"data: {}\n\ndata: [DONE]\n\n"], 10 + 3),
        ([b'data: {"usage":{"total_tokens":7}}\n\n', b"data: [DONE]\n\n"], 7),
        ([b"x" * 400], 10 + 100),
        ([], 10),
    ],
)
def test_a_reply_that_is_passed_on_is_counted_from_its_bytes(parts, tokens):
    overheard = Overheard(sent=40)
    for part in parts:
        overheard.hear(part)
    assert overheard.tokens == tokens


# The gateway -------------------------------------------------------------------------------------


def limited(tmp_path, models, **limits):
    keys = tmp_path / "keys.json"
    key = add(keys, "alice", Allowance(**limits))
    return key, Settings(models, keys=keys)


def ask(served, key, model="auto", **more):
    with served.client_of(key) as client:
        return client.chat.completions.create(model=model, messages=ASKED, **more)


def total(settings):
    """What the file beside the keys has of all users."""
    with closing(sqlite3.connect(f"{settings.keys}.spent")) as database:
        return database.execute("SELECT TOTAL(tokens) FROM spent").fetchone()[0]


def test_who_has_spent_what_is_allowed_is_told_when_to_come_again(tmp_path):
    key, settings = limited(tmp_path, Scripted(), tokens_per_day=10)
    with Serving(settings) as served:
        told = ask(served, key)
        spent = total(settings)
        with pytest.raises(openai.RateLimitError) as refused:
            ask(served, key)
    assert spent == told.usage.total_tokens > 10
    assert refused.value.code == "insufficient_quota"
    assert int(refused.value.response.headers["retry-after"]) > DAY_S - 120
    with Serving(settings) as served, pytest.raises(openai.RateLimitError):
        ask(served, key)


def test_a_request_whose_client_goes_is_charged_for_what_came(tmp_path):
    engine = Stalls(3)
    key, settings = limited(tmp_path, Scripted(writes=engine), tokens_per_day=10**6)
    with Serving(settings) as served:
        body = {"model": "hf:scripted:majority@8", "messages": ASKED}

        async def go():
            async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as client:
                path = f"{served.url}/v1/chat/completions"
                asking = asyncio.create_task(client.post(path, json=body))
                await asyncio.to_thread(engine.begun.wait)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)

        asyncio.run(go())
        assert engine.cancelled.wait(10)
        with served.client_of(key) as client:
            while served.gateway.line.running:
                client.models.list()
        assert total(settings) > 0


def test_a_request_that_fails_is_charged_for_what_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr("outthink.models.http.RetryPolicy.wait_s", lambda *_: 0.0)
    with FakeServer("vllm") as server:
        models = Models(server.url)
        key, settings = limited(tmp_path, models, tokens_per_day=10**6)
        settings = Settings(models, keys=settings.keys, strategy="revise")
        with Serving(settings) as served:
            written = []

            def alter(path, body, value):
                if path != "/v1/completions":
                    return value
                written.append(path)
                return value if len(written) == 1 else (400, {"error": {"message": "no"}})

            server.alter = alter
            with pytest.raises(openai.BadRequestError):
                ask(served, key)
            assert total(settings) > 0


@pytest.mark.parametrize("stream", [False, True])
def test_the_models_own_answer_is_charged_too(tmp_path, stream):
    answer = json.dumps({"choices": [], "usage": {"total_tokens": 321}})
    with FakeServer("vllm") as server:
        key, settings = limited(
            tmp_path, Models(server.url, verifier="none"), tokens_per_minute=300
        )
        with Serving(settings) as served:
            server.alter = lambda path, body, value: (200, answer)
            assert ask(served, key, MODEL).usage.total_tokens == 321
            assert total(settings) == 321
            with pytest.raises(openai.RateLimitError) as refused:
                ask(served, key, MODEL, stream=stream)
    assert refused.value.code == "rate_limit_exceeded"


def test_a_command_sets_limits_that_the_file_keeps(tmp_path, capsys):
    path = tmp_path / "keys.json"
    assert main(["key", "alice", "-o", str(path), "--tokens-per-minute", "5"]) == 0
    assert main(["key", "bob", "-o", str(path)]) == 0
    keys = Keys.read(path)
    assert keys.allowed == {"alice": Allowance(5), "bob": Allowance()}
    assert keys.name(capsys.readouterr().out.split()[0]) == "alice"


@pytest.mark.parametrize(
    "told", ["[]", '{"a": 3}', '{"a": {}}', '{"a": {"key": "x", "tokens_per_week": 3}}']
)
def test_keys_with_strange_limits_are_refused(tmp_path, told):
    (tmp_path / "keys.json").write_text(told)
    with pytest.raises(UsageError, match="is no file of keys"):
        Keys.read(tmp_path / "keys.json")
