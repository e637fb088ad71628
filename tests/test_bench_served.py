"""The bench of servers, against one that plays vLLM: its figures are the server's own counts."""

import asyncio
import json
from collections import Counter

import pytest
from fake_server import FakeServer

from outthink.bench.served import Load, StandIn, decoded, served
from outthink.cli import main
from outthink.errors import RunError, ServerRefused
from outthink.models import http, metrics
from outthink.models.http import HttpClient
from outthink.types import Problem, Solution


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Backing off takes no time here, and no key comes from outside."""
    monkeypatch.setattr(http.RetryPolicy, "wait_s", lambda *_: 0.0)
    for name in ("OUTTHINK_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def load(tmp_path):
    rows = [{"id": f"p{i}", "prompt": f"problem {i}", "reference": "right"} for i in range(6)]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return Load(f"{path}?grader=exact", budget=4, repeats=2, concurrency=3)


def drawing(server):
    """Bodies of the requests that drew, in the order they came in."""
    return [body for path, body in server.requests if path == "/v1/completions"]


def test_the_bare_client_sends_what_the_driver_sent_and_no_more_at_once(load):
    with FakeServer("vllm", turns=50) as server:
        found = served(server.url, load)
        sent = drawing(server)
        assert server.most_at_once == load.concurrency
    runs = 1 + 2 * load.repeats
    # The last of what was sent is best-of-N: a request a problem, in every run the same.
    last = [json.dumps(body) for body in sent[-6 * runs :]]
    assert set(Counter(last).values()) == {runs}
    assert {json.loads(body)["n"] for body in last} == {4}
    for pair in found["best_of_n"]["pairs"]:
        assert pair["driver"]["requests"] == pair["bare"]["requests"] == 6
        assert pair["driver"]["decoded_tokens"] == pair["bare"]["decoded_tokens"] > 0
        assert pair["ledger"]["decoded_tokens"] == pair["driver"]["decoded_tokens"]
        speeds = [pair[name]["decoded_tokens_per_second"] for name in ("driver", "bare")]
        assert pair["ratio"] == pytest.approx(speeds[0] / speeds[1])
    ratios = [pair["ratio"] for pair in found["best_of_n"]["pairs"]]
    assert (found["best_of_n"]["low"], found["best_of_n"]["high"]) == (min(ratios), max(ratios))


def test_beams_are_searched_at_once_and_one_by_one_by_the_same_requests(load):
    with FakeServer("vllm") as server:
        found = served(server.url, load)["beam_search"]
        sent = [json.dumps(body) for body in drawing(server)]
    together, alone = found["together"], found["one_by_one"]
    assert together["requests"] == alone["requests"] > 12
    assert together["decoded_tokens"] == alone["decoded_tokens"]
    assert found["times_faster"] == pytest.approx(alone["seconds"] / together["seconds"])
    # Those of finding out what the server can do come first.
    first = next(at for at, body in enumerate(sent) if '"n": 4' in body)
    count = together["requests"]
    assert Counter(sent[first : first + count]) == Counter(sent[first + count : first + 2 * count])


def test_beam_figures_are_those_of_the_servers_metrics(load):
    with FakeServer("vllm") as server:
        found = served(server.url, load)["beam_search"]
    assert found["server"]["decoded_tokens"] == found["ledger"]["decoded_tokens"] > 0
    assert found["server"]["decoded_tokens"] == found["together"]["decoded_tokens"]
    computed = found["prefix_cache_queries"] - found["prefix_cache_hits"]
    assert found["server"]["computed_prompt_tokens"] == computed > 0
    share = found["prefix_cache_hits"] / found["prefix_cache_queries"]
    assert found["prefix_cache_hit_share"] == pytest.approx(share) and 0 < share < 1


def test_a_server_without_metrics_tells_no_share(load):
    with FakeServer("vllm", lacks=frozenset({"metrics"})) as server:
        found = served(server.url, load)["beam_search"]
    assert found["prefix_cache_hit_share"] is None and found["server"]["decoded_tokens"] is None
    assert found["ledger"]["decoded_tokens"] == found["together"]["decoded_tokens"]


def test_a_server_that_continues_nothing_is_refused_with_what_would_do(load):
    with FakeServer("chat") as server, pytest.raises(ServerRefused, match="serve the model with"):
        served(server.url, load)


def test_a_server_that_fails_a_problem_ends_the_measurement(load):
    with FakeServer("vllm", lost="problem 3") as server, pytest.raises(RunError, match="500"):
        served(server.url, load)


def test_the_command_prints_a_table_and_writes_the_figures(load, tmp_path, capsys):
    with FakeServer("vllm") as server:
        words = ["bench", "served", server.url, "--problems", load.problems, "--budget", "4"]
        words += ["--repeats", "2", "-o", str(tmp_path / "runs" / "figures.json")]
        assert main(words) == 0
        table = capsys.readouterr().out
        assert main([*words, "--step-end", r".\n\n", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
    assert "6 problems, 4 generations each, 32 requests in flight" in table
    for row in ("best-of-N, driver, 2", "best-of-N, bare, 2", "beam, one by one", "prefix cache"):
        assert row in table
    assert told == json.loads((tmp_path / "runs" / "figures.json").read_text())
    assert told["step_end"] == ".\n\n" and told["repeats"] == len(told["best_of_n"]["pairs"]) == 2


def test_the_stand_in_scores_every_step_and_the_same_step_the_same():
    problem = Problem("p", "?")
    short, long = (Solution(problem, (1, 2, 3, 4)[:n], (2, 4)[: n // 2]) for n in (2, 4))
    first, second = (row.scores.steps for row in StandIn().verify_batch([short, long]))
    assert second[:1] == first and second[1] != second[0]
    assert all(0 <= score < 1 for score in second)


def test_decoded_tokens_are_counted_as_each_kind_of_server_tells_them():
    assert decoded({"usage": {"completion_tokens": 7}}) == 7
    assert decoded([{"tokens_predicted": 3}, {"tokens_predicted": 4}]) == 7


# What /metrics says ------------------------------------------------------------------------------

PAGE = """\
# HELP vllm:prefix_cache_queries_total Prefix cache queries, in terms of number of queried tokens.
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1000.0
vllm:prefix_cache_queries_total{engine="1",model_name="m"} 200.0
vllm:prefix_cache_queries_created{engine="0",model_name="m"} 1.7637e+09
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 900.0
vllm:prefix_cache_hits_total{engine="1",model_name="m"} 180.0
vllm:prompt_tokens_by_source_total{engine="0",model_name="m",source="local_compute"} 0.0
vllm:prompt_tokens_by_source_total{engine="0",model_name="m",source="local_cache_hit"} 900.0
vllm:generation_tokens_total{engine="0",model_name="m"} 1.2e+06
"""


def test_metrics_of_several_engines_are_added_up():
    found = metrics.parsed(PAGE)
    assert found == metrics.Metrics(1_200_000, 0, 1200, 1080)
    assert found.hit_share == pytest.approx(0.9)
    assert (found - metrics.Metrics(0, 0, 200, 80)).hit_share == pytest.approx(1.0)


def test_what_a_page_does_not_tell_is_not_guessed():
    nothing = metrics.Metrics(None, None, None, None)
    assert metrics.parsed("") == nothing and nothing.hit_share is None
    told = metrics.parsed("llamacpp:prompt_tokens_total 12\nllamacpp:tokens_predicted_total 34")
    assert told == metrics.Metrics(34, 12, None, None)
    assert told - nothing == nothing


def test_metrics_are_read_from_a_server():
    async def asked(url):
        connection = HttpClient(url)
        try:
            return await metrics.read(connection)
        finally:
            await connection.aclose()

    with FakeServer("vllm") as server:
        server.usage.update(decoded=5, looked_up=10, held=4)
        assert asyncio.run(asked(server.url)) == metrics.Metrics(5, 6, 10, 4)
    with FakeServer("chat") as server:
        assert asyncio.run(asked(server.url)) == metrics.Metrics(None, None, None, None)
