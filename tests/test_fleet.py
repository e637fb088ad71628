"""Several servers of one model behind one list of addresses."""

import asyncio
from collections import Counter, defaultdict
from contextlib import ExitStack

import pytest
from contract import problems
from fake_server import MODEL, ROLE, FakeServer, text_of

from outthink.cli import main
from outthink.errors import ServerRefused
from outthink.models import fleet
from outthink.models.http import RetryPolicy
from outthink.models.openai import OpenAIProposer
from outthink.models.scripted import ScriptedVerifier
from outthink.run.journal import Job
from outthink.run.runner import Runner, run_jobs
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import Budget

QUICK = RetryPolicy(tries=8, first_wait_s=0.0)
DRAWS = "/v1/completions"


@pytest.fixture
def servers():
    """Makes servers that are stopped at the end."""
    with ExitStack() as stack:
        yield lambda count, **options: [
            stack.enter_context(FakeServer("vllm", **options)) for _ in range(count)
        ]


def proposer(running):
    addresses = ",".join(server.url for server in running)
    return asyncio.run(OpenAIProposer.connect(addresses, retry=QUICK))


def searched(running, name="beam", budget=4, count=12):
    """Outcomes of a search of some problems."""
    results = {}
    runner = Runner(Team.of(proposer(running), ScriptedVerifier()))
    for server in running:  # what it was tried with
        server.requests.clear()
        server.answered.clear()
    jobs = [Job(problem, strategy(name), Budget(budget)) for problem in problems(count)]
    run_jobs(runner, jobs, lambda done: results.__setitem__(done.job.problem.id, done.outcome))
    return results


def drawn(server):
    """The prompts of requests for draws."""
    return [body["prompt"] for path, body in server.requests if path == DRAWS]


def answers(results):
    return {
        name: (outcome.answer, outcome.usage.decoded_tokens) for name, outcome in results.items()
    }


def test_several_servers_answer_as_one_does(servers):
    assert answers(searched(servers(3))) == answers(searched(servers(1)))


def test_requests_of_a_problem_go_to_one_server(servers, monkeypatch):
    # On a busy machine one of them may seem slow.
    monkeypatch.setattr(fleet, "_AND_S", 600.0)
    running = servers(3)
    searched(running)
    homes = defaultdict(Counter)
    for place, server in enumerate(running):
        for prompt in drawn(server):
            homes[tuple(prompt[: prompt.index(ROLE["assistant"])])][place] += 1
    assert len(homes) == 12
    assert all(len(places) == 1 for places in homes.values())
    assert all(drawn(server) for server in running)


@pytest.mark.parametrize("fault", [b"", b"HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\n{}"])
def test_server_that_dies_under_way_costs_no_problem(servers, fault):
    running = servers(3)
    expected = answers(searched(servers(1)))
    seen = []

    def dies(path, body):
        seen.append(path)
        return fault if len(seen) > 60 else None

    running[1].raw = dies
    results = searched(running)
    assert all(outcome.error is None for outcome in results.values())
    assert answers(results) == expected
    paid = sum((server.answered for server in running), Counter())
    assert max(paid.values()) == 1


def test_server_that_never_answers_gets_few_problems(servers):
    slow, quick = servers(2)
    slow.hangs = lambda path, body: path == DRAWS
    client = fleet.client(f"{slow.url},{quick.url}", retry=QUICK)

    async def ask(home):
        body = {"model": MODEL, "prompt": [301, 97, 303, 302], "seed": home, "max_tokens": 8}
        return await client.post(DRAWS, body, lambda value: value["choices"], home=home)

    async def run():
        asked = [asyncio.create_task(ask(home)) for home in range(200)]
        done, waiting = set(), set(asked)
        while len(done) < 100:
            more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            done |= more
            for home in range(len(more)):
                waiting.add(asyncio.create_task(ask(1000 + len(done) * 100 + home)))
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await client.aclose()

    asyncio.run(run())
    assert len(drawn(slow)) <= 64 < len(drawn(quick))


def test_server_that_failed_is_asked_again_once_it_has_rested(servers):
    one, other = servers(2)
    now = [0.0]
    client = fleet.Fleet([one.url, other.url], retry=QUICK, clock=lambda: now[0])

    async def ask(times):
        for _ in range(times):
            await client.get("/v1/models", lambda value: value["data"])
        await client.aclose()

    one.raw = lambda path, body: b""
    asyncio.run(ask(6))
    failed = len(one.requests)
    assert failed == 1
    one.raw = None
    now[0] = 1.0
    asyncio.run(ask(6))
    assert len(one.requests) > failed


def test_all_servers_failing_is_an_error_that_names_them(servers):
    running = servers(2)
    made = proposer(running)
    for server in running:
        server.raw = lambda path, body: b""
    runner = Runner(Team.of(made))
    (result,) = asyncio.run(runner.results([Job(problems(1)[0], strategy("majority"), Budget(1))]))
    assert "ServerError" in result.outcome.error
    assert all(server.url in result.outcome.error for server in running)


def test_servers_of_two_models_are_refused(servers):
    (one,), (other,) = servers(1), servers(1, context=512)
    with pytest.raises(ServerRefused, match="context is 512 there, and 4096 here"):
        proposer([one, other])


def test_address_where_nothing_answers_is_named(servers):
    (one,) = servers(1)
    with pytest.raises(ServerRefused, match=r"http://127\.0\.0\.1:9"):
        asyncio.run(OpenAIProposer.connect(f"{one.url},http://127.0.0.1:9", retry=QUICK))


def test_command_line_takes_addresses_with_commas(servers, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.csv").write_text("id,prompt,reference\na,1 + 1?,right\nb,2 + 2?,right\n")
    running = servers(2)
    addresses = ",".join(server.url for server in running)
    words = ["sweep", "p.csv", "-o", "x.store", "--model", addresses, "--verifier", "none"]
    words += ["--strategies", "majority", "--budgets", "1,4", "--pool", "4", "--json"]
    assert main([*words, "--difficulty-samples", "0", "--oracle-samples", "0"]) == 0
    asked = [
        {text_of(prompt) for prompt in drawn(server) if prompt[:1] == [ROLE["user"]]}
        for server in running
    ]
    assert [sum("+" in text for text in texts) for texts in asked] == [1, 1]


def test_doctor_tries_every_server(servers, capsys):
    running = servers(2)
    addresses = ",".join(server.url for server in running)
    assert main(["doctor", addresses]) == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said.endswith(f" at {running[0].url} and {running[1].url}, model {MODEL}")
    assert all(drawn(server) for server in running)


def test_doctor_names_the_server_that_is_not_as_the_others(servers, capsys):
    (one,), (other,) = servers(1), servers(1, context=512)
    assert main(["doctor", f"{one.url},{other.url}"]) == 2
    assert "context is 512 there, and 4096 here" in capsys.readouterr().err


def test_request_that_failed_is_asked_of_another_server_without_a_wait(servers):
    one, other = servers(2)
    waits = []

    async def sleep(seconds):
        waits.append(seconds)

    client = fleet.Fleet([one.url, other.url], sleep=sleep)
    one.raw = lambda path, body: b""

    async def ask():
        await client.get("/v1/models", lambda value: value["data"])
        await client.aclose()

    asyncio.run(ask())
    assert (len(one.requests), len(other.requests), waits) == (1, 1, [])


def test_problem_leaves_a_server_that_would_keep_it_far_longer(servers):
    slow, quick = servers(2)
    now = [0.0]
    client = fleet.Fleet([slow.url, quick.url], retry=QUICK, clock=lambda: now[0])

    def takes_long(path, body):
        now[0] += 10.0

    slow.raw = takes_long

    async def ask(home):
        await client.post("/v1/completions", BODY, lambda value: value["choices"], home=home)

    async def run():
        for home in (1, 2, 1, 1):
            await ask(home)
        await client.aclose()

    asyncio.run(run())
    assert [len(drawn(server)) for server in (slow, quick)] == [1, 3]


BODY = {"model": MODEL, "prompt": [301, 97, 303, 302], "seed": 1, "max_tokens": 8}
