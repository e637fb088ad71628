"""Reasoning models: thoughts apart from answers, in both forms, and budget forcing by token ids."""

import asyncio
import json
from itertools import pairwise

import fake_server
import pytest
from contract import problems, results
from fake_server import FakeServer, ids_of, text_of
from hypothesis import given
from hypothesis import strategies as st
from test_openai import PLAIN, ask, draws, proposer_of, start, stepping

from outthink.cli.app import main
from outthink.errors import ServerRefused, UsageError
from outthink.grade import extract
from outthink.measure.forcing import Setting, control, performance, scaling
from outthink.models.scripted import ScriptedVerifier
from outthink.models.thinking import joined, parted, thinking_tokens
from outthink.run.journal import Job
from outthink.run.team import Team
from outthink.search import strategy
from outthink.testing import check_search
from outthink.types import END, Budget, Draw, Force, Solution, refuse_force

THOUGHT = "<think>First.\n\nSecond."


def goes_on(begun):
    """What a made-up reasoning model writes next: it is wrong, unless it was told to wait."""
    answer = "\\boxed{right}" if "Wait" in begun else "\\boxed{wrong}"
    if "</think>" in begun:
        return answer
    if begun.endswith("Wait"):
        return f", third.</think>\n\n{answer}"
    return f"{THOUGHT[len(begun) :]}</think>\n\n{answer}"


def thinker(kind):
    """A server of a reasoning model."""
    return FakeServer(kind, writes=goes_on)


def forced(kind, name, n=1):
    """The candidates of a search on a reasoning model, and what they cost."""
    with thinker(kind) as server:
        proposer = asyncio.run(proposer_of(server, PLAIN))
        team = Team.of(proposer, ScriptedVerifier())
        (result,) = results(team, [Job(problems(1)[0], strategy(name), Budget(n))])
    assert result.outcome.error is None
    return result


@stepping
def test_a_thought_that_is_too_long_is_ended_and_answered(kind):
    result = forced(kind, "budget_forcing(thinking=12)")
    (solution,) = result.choice.candidates
    assert text_of(solution.tokens) == f"{THOUGHT[:12]}</think>\n\nFinal Answer:\\boxed{{wrong}}"
    assert solution.finished and solution.answer == "wrong"


@stepping
def test_a_thought_goes_on_where_it_would_have_ended(kind):
    result = forced(kind, "budget_forcing(waits=1)")
    (solution,) = result.choice.candidates
    thought = f"{THOUGHT}Wait, third."
    assert text_of(solution.tokens) == f"{thought}</think>\n\n\\boxed{{right}}"
    assert result.outcome.answer == "right"


@stepping
def test_a_mark_that_is_one_token_is_left_out_too(kind, monkeypatch):
    monkeypatch.setitem(fake_server.PIECES, 270, "</think>")
    monkeypatch.setitem(fake_server.IDS, "</think>", 270)
    (solution,) = forced(kind, "budget_forcing(waits=1)").choice.candidates
    assert solution.tokens.count(270) == 1 and solution.answer == "right"


@stepping
def test_each_solution_is_a_generation_however_often_it_was_extended(kind):
    usage = forced(kind, "budget_forcing(waits=1)", n=3).outcome.usage
    assert usage.generations == 3 and usage.discarded_tokens == 0


@stepping
def test_a_thought_has_steps_and_their_texts_are_the_solution(kind):
    with thinker(kind) as server:
        proposer = asyncio.run(proposer_of(server, PLAIN))
        prefix, texts = start(), []
        for force in (Force("", "</think>", 40), Force("Wait", "</think>", 60), Force("</think>")):
            (row,) = ask(proposer, Draw(prefix, END, 1.0, 1, force))
            texts += row.texts
            prefix = row.solution
    ends = prefix.step_ends
    assert text_of(prefix.tokens[: ends[0]]) == "<think>First.\n\n"
    assert "".join(texts) == text_of(prefix.tokens)
    assert all(a < b for a, b in pairwise(ends)) and ends[-1] == len(prefix.tokens)


def test_a_chat_cannot_be_forced_and_says_what_can():
    with FakeServer("chat") as server:
        proposer = asyncio.run(proposer_of(server, PLAIN))
        with pytest.raises(ServerRefused, match="budget forcing"):
            ask(proposer, Draw(start(), END, 1.0, 1, Force("", "</think>", 9)))


def test_a_thought_that_leaves_no_room_for_an_answer_is_refused():
    with pytest.raises(UsageError, match="raise --most-tokens"):
        forced("vllm", f"budget_forcing(thinking={PLAIN.most_tokens})")


def test_an_engine_that_cannot_be_forced_says_what_can():
    refuse_force("mine", [Draw(start(), END, 1.0, 1)])
    with pytest.raises(UsageError, match="mine cannot be made to write"):
        refuse_force("mine", [Draw(start(), END, 1.0, 1, Force("Wait"))])


SWEEP = ["sweep", "p.jsonl?grader=exact", "--verifier", "none", "--difficulty-samples", "0"]
SWEEP += ["--strategies", "budget_forcing(waits=1),budget_forcing(thinking=12)", "--model"]


@pytest.fixture
def questions(tmp_path, monkeypatch):
    """Three problems in a file of the folder that a test runs in."""
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"p{i}", "question": f"problem {i}", "answer": "right"} for i in range(3)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.usefixtures("questions")
def test_a_forced_draw_is_kept_and_paid_for_once():
    with thinker("vllm") as server:
        words = [*SWEEP, server.url, "-o", "a.store", "--budgets", "1"]
        assert main(words) == 0
        server.requests.clear()
        assert main([*words[:-1], "1,2"]) == 0
        drawn = [body for path, body in server.requests if path == "/v1/completions"]
        assert drawn
        server.requests.clear()
        assert main([*words[:-1], "1,2"]) == 0
        paths = {path for path, _ in server.requests}
    assert "/v1/completions" not in paths


@pytest.mark.usefixtures("questions")
def test_a_sweep_tells_control_scaling_and_performance(capsys):
    with thinker("llama.cpp") as server:
        assert main([*SWEEP, server.url, "-o", "a.store", "--budgets", "2"]) == 0
    capsys.readouterr()
    assert main(["forcing", "a.store", "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)["budgets"]
    short, long = told["settings"]
    whole = len(ids_of(f"{THOUGHT}Wait, third."))
    assert (short["thinking_tokens"], long["thinking_tokens"]) == (12, whole)
    assert (short["accuracy"]["mean"], long["accuracy"]["mean"]) == (0, 1)
    assert (told["control"], told["performance"]) == (1, 1)
    assert told["scaling"] == pytest.approx(1 / (whole - 12))
    assert main(["forcing", "a.store"]) == 0
    assert "performance 100.0%" in capsys.readouterr().out


@pytest.mark.usefixtures("questions")
def test_a_sweep_without_forcing_says_what_to_sweep(capsys):
    with thinker("vllm") as server:
        words = [*SWEEP[:-3], "--strategies", "majority", "--model", server.url]
        assert main([*words, "-o", "a.store", "--budgets", "1"]) == 0
    assert main(["forcing", "a.store"]) == 2
    assert "budget_forcing(thinking=256)" in capsys.readouterr().err


def test_figures_of_forcing_by_hand():
    settings = [Setting(100, 0.2), Setting(200, 0.4), Setting(400, 0.4)]
    slopes = [0.2 / 100, 0.2 / 300, 0.0]
    assert scaling(settings) == pytest.approx(sum(slopes) / 3)
    assert scaling(settings[:1]) is None
    assert performance(settings) == 0.4
    assert control([90, 100, 101], most=100) == pytest.approx(2 / 3)
    assert control([5, 20], least=10, most=30) == 0.5


def test_budget_forcing_is_held_to_what_all_searches_are():
    check_search("budget_forcing(thinking=6,waits=2)", budgets=(1, 2, 3, 16))


@pytest.mark.parametrize("options", ["thinking=0", "waits=-1", "mark="])
def test_a_forcing_that_cannot_be_is_refused(options):
    with pytest.raises(UsageError):
        strategy(f"budget_forcing({options})")


# Thoughts ---------------------------------------------------------------------------------------


INLINE = {"content": "<think>Is it \\boxed{3}?</think>\n\nIt is \\boxed{4}."}
FIELD = {"content": "It is \\boxed{4}.", "reasoning_content": "Is it \\boxed{3}?"}
OTHER_FIELD = {"content": "It is \\boxed{4}.", "reasoning": "Is it \\boxed{3}?"}
UNENDED = {"content": None, "reasoning_content": "Is it \\boxed{3}?"}


def replied(message):
    """What a chat made of a recorded reply, in a first answer and in a revision of it."""

    def alter(path, body, value):
        if path.endswith("/chat/completions"):
            value["choices"][0]["message"] = {"role": "assistant", **message}
            value["usage"]["completion_tokens"] = 57
        return value

    with FakeServer("chat") as server:
        proposer = asyncio.run(proposer_of(server, PLAIN))
        server.alter = alter
        (row,) = ask(proposer, *draws(start(), 1, END))
        ask(proposer, *draws(Solution.revision([row.solution], 4), 1, END))
        return row, server.requests[-1][1]["messages"]


@pytest.mark.parametrize("message", [INLINE, FIELD, OTHER_FIELD])
def test_a_thought_is_kept_and_counted_and_not_graded(message):
    row, _ = replied(message)
    text = "".join(row.texts)
    assert row.solution.answer == "4" and row.decoded_tokens == 57
    assert parted(text).thought == "Is it \\boxed{3}?"
    assert 0 < thinking_tokens(row.texts, row.decoded_tokens) < 57


def test_a_thought_without_an_answer_has_none():
    row, _ = replied(UNENDED)
    assert row.solution.answer is None
    assert thinking_tokens(row.texts, row.decoded_tokens) == 57


@pytest.mark.parametrize("message", [INLINE, FIELD])
def test_who_revises_sees_the_answer_without_its_thought(message):
    _, messages = replied(message)
    assert messages[1] == {"role": "assistant", "content": "It is \\boxed{4}."}


def test_a_solved_problem_has_its_thought_apart(capsys):
    with thinker("vllm") as server:
        words = ["solve", "one?", "--model", server.url, "--strategy", "budget_forcing(waits=1)"]
        assert main([*words, "--budget", "1", "--verifier", "none", "--grader", "exact"]) == 0
        said = capsys.readouterr()
        assert "First.\n\nSecond.Wait, third." in said.err
        assert said.out == "\\boxed{right}\nanswer: right\n"


def test_a_thought_may_begin_in_the_prompt():
    assert parted("so \\boxed{3}\n</think>\nIt is \\boxed{4}.").thought == "so \\boxed{3}\n"
    assert extract.answer("so \\boxed{3}\n</think>\nIt is \\boxed{4}.") == "4"


@given(st.text(alphabet="ab \n"), st.text(alphabet="ab \n", min_size=1))
def test_what_was_joined_is_taken_apart_again(thought, answer):
    again = parted(joined(thought, answer))
    assert (again.thought, again.answer) == (thought, f"\n\n{answer}")
