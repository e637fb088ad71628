"""A problem that is asked in a conversation: who uses what stands around it, and who refuses."""

import asyncio
from dataclasses import replace

import pytest
from fake_server import FakeServer

from outthink.data import task
from outthink.errors import UsageError
from outthink.lab.models import LabModels
from outthink.models.openai import OpenAIProposer, Setting, Wording
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import Budget, Framing, Problem, Turn

EARLIER = (Turn("system", "Be brief."), Turn("user", "Hello"), Turn("assistant", "Hi."))
ASKED = Wording(question="{prompt}?", revise="Again.")


def drawn(url, problem, *, wording=ASKED, budget=1, how="majority", journal=None):
    async def run():
        proposer = await OpenAIProposer.connect(url, setting=Setting(wording=wording))
        runner = Runner(Team.of(proposer), journal=journal)
        [result] = await runner.results([Job(problem, strategy(how), Budget(budget))])
        assert result.outcome.error is None
        return result.choice.candidates

    return asyncio.run(run())


def said(server, path="/tokenize"):
    return [body["messages"] for where, body in server.requests if where == path][-1]


@pytest.mark.parametrize("kind", ["vllm", "chat"])
def test_a_model_of_a_server_is_told_what_was_said_before(kind):
    with FakeServer(kind) as server:
        drawn(server.url, Problem("a", "2 + 2", framing=Framing(EARLIER)))
    path = "/tokenize" if kind == "vllm" else "/v1/chat/completions"
    assert [(turn["role"], turn["content"]) for turn in said(server, path)] == [
        ("system", "Be brief."),
        ("user", "Hello"),
        ("assistant", "Hi."),
        ("user", "2 + 2?"),
    ]


def test_the_system_text_of_a_model_comes_before_that_of_a_conversation():
    with FakeServer("vllm") as server:
        own = replace(ASKED, system="Think.")
        drawn(server.url, Problem("a", "2 + 2", framing=Framing(EARLIER[:1])), wording=own)
    assert [turn["content"] for turn in said(server)] == ["Think.\n\nBe brief.", "2 + 2?"]


def test_temperature_length_and_stop_of_a_problem_reach_the_server():
    framing = Framing(temperature=0.5, most_tokens=7, stop=("}",))
    with FakeServer("vllm") as server:
        candidates = drawn(server.url, Problem("a", "2 + 2", framing=framing), budget=3)
    asked = [body for path, body in server.requests if path == "/v1/completions"][-1]
    assert (asked["temperature"], asked["max_tokens"], asked["stop"]) == (0.5, 7, ["}"])
    assert all(len(solution.tokens) <= 7 for solution in candidates)


def test_a_model_that_is_asked_by_token_ids_refuses_tools():
    framing = Framing(reply='{"tools": [{}]}')
    with FakeServer("vllm") as server, pytest.raises(UsageError, match="tools"):
        drawn(server.url, Problem("a", "2 + 2", framing=framing))


def test_what_stands_around_a_prompt_is_in_its_whole_text():
    framing = Framing(EARLIER[1:], (Turn("tool", "7", '{"role":"tool"}'),), '{"tools":[]}')
    assert Problem("a", "2 + 2", framing=framing).whole == (
        'user: Hello\n\nassistant: Hi.\n\n2 + 2\n\ntool: {"role":"tool"}\n\nreply: {"tools":[]}'
    )


def test_a_store_keeps_the_conversation_with_the_prompt(tmp_path):
    with FakeServer("vllm") as server, Store.open(tmp_path / "a.store", write=True) as store:
        drawn(server.url, Problem("a", "2 + 2", framing=Framing(EARLIER[1:])), journal=store)
        assert [one.prompt for one in store.problems()] == [
            "user: Hello\n\nassistant: Hi.\n\n2 + 2"
        ]


def test_the_lab_refuses_what_stands_around_a_prompt():
    problem = task.parse("40713 *7").problem()
    framed = replace(problem, framing=Framing(EARLIER, temperature=0.5))
    team = Team.of(LabModels().proposer("s"))
    with pytest.raises(UsageError, match="cannot do earlier, temperature"):
        asyncio.run(Runner(team).results([Job(framed, strategy("majority"), Budget(1))]))


def test_a_problem_that_is_not_framed_is_the_same_as_ever():
    assert Problem("a", "b") == Problem("a", "b", None, Framing())
    assert Problem("a", "b").whole == "b"
