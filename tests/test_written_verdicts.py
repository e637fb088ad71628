"""Verifiers that write before they judge: critiques, rubrics, backward checking, tests."""

import asyncio
import json
import math
import re
from dataclasses import dataclass, field, replace

import pytest
from contract import Waiting, check_verifier
from fake_server import FakeServer
from hf_fixtures import causal, saved
from test_prm import Letters, solution

from outthink.cli import main
from outthink.errors import ContextError, RunError, UsageError
from outthink.grade import sandbox
from outthink.models import http
from outthink.models.openai import OpenAIProposer
from outthink.models.scripted import ScriptedProposer
from outthink.models.transformers import HFProposer
from outthink.run.store import Store
from outthink.types import Scores
from outthink.verify import backward, rubric
from outthink.verify import tests as testing
from outthink.verify.backward import Backward, given_back, masks
from outthink.verify.genrm import GenRM, chance_of_yes
from outthink.verify.named import check, named
from outthink.verify.rubric import Criterion, Rubric, read_marks, typed
from outthink.verify.tests import Tests, asserts, feedback
from outthink.verify.writer import Reply, Token, connect
from outthink.verify.written import SolutionText, reading


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(http.RetryPolicy, "wait_s", lambda *_: 0.0)
    for name in ("OUTTHINK_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@dataclass
class Scribe:
    """Writes what a function makes of a text and its seed; a token a word."""

    says: object
    name: str = "scribe"
    asked: list = field(default_factory=list)

    async def write(self, text, *, seed, temperature):
        self.asked.append((text, seed, temperature))
        said = self.says(text)
        return said if isinstance(said, Reply) else Reply(said, 10, 4, len(said.split()))

    async def aclose(self):
        pass


def written(*steps, problem="What is 3 + 4?", answer=None):
    whole = replace(solution(problem, steps), finished=answer is not None, answer=answer)
    return SolutionText(whole, tuple(f"{step}\n\n" for step in steps))


def score(scorer, text=None):
    return asyncio.run(scorer.score(text or written("It is", "7.", answer="7")))


def in_turn(*replies):
    waiting = list(replies)
    return lambda text: waiting.pop(0)


VERDICT = "It adds up.\nIs the answer correct (Yes/No)?"


# Generative verifier ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (f"{VERDICT} Yes", 1.0),
        (f"{VERDICT} **No**.", 0.0),
        ("Is the answer correct (Yes/No)? No. On reflection (Yes/No)? Yes", 1.0),
        ("No mistakes.\nThe answer is yes", 1.0),
        ("Yes, it may be.\nI cannot tell.", None),
        (VERDICT, None),
        ("", None),
        ("Yesterday nothing was noted", None),
    ],
)
def test_a_verdict_without_log_probabilities_is_a_vote(said, expected):
    assert chance_of_yes(Reply(said, 0, 0, 0)) == expected


def told(text, **shares):
    """A reply whose last token is told with these probabilities."""
    words = text.split(" ")
    tokens = [Token(word if at == 0 else f" {word}", ()) for at, word in enumerate(words)]
    likely = tuple((f" {word}", math.log(share)) for word, share in shares.items())
    tokens[-1] = Token(tokens[-1].text, likely)
    return Reply(text, 10, 4, 5, tuple(tokens))


def test_the_probability_is_that_of_yes_among_yes_and_no():
    reply = told(f"{VERDICT} Yes", Yes=0.5, yes=0.1, No=0.2, Maybe=0.2)
    assert chance_of_yes(reply) == pytest.approx(0.6 / 0.8)
    assert chance_of_yes(told(f"{VERDICT} No", Maybe=0.9)) == 0.0


def test_votes_are_averaged_and_all_that_was_written_is_charged():
    replies = [told(f"{VERDICT} Yes", Yes=share, No=1 - share) for share in (0.9, 0.5, 0.1, 0.7)]
    scribe = Scribe(in_turn(*replies))
    row = score(GenRM(scribe, votes=4))
    assert row.scores.steps == (None, pytest.approx(0.55))
    assert (row.computed_tokens, row.cached_tokens, row.written_tokens) == (60, 16, 20)
    assert len({seed for _, seed, _ in scribe.asked}) == 4


def test_a_critique_without_a_verdict_is_asked_for_once_more_and_is_then_no_vote():
    scribe = Scribe(in_turn("well", f"{VERDICT} Yes"))
    assert score(GenRM(scribe)).scores.last == 1.0
    assert [temperature for _, _, temperature in scribe.asked] == [0.0, 0.7]
    scribe = Scribe(lambda text: "well")
    row = score(GenRM(scribe, votes=2))
    assert row.scores == Scores((None, None)) and len(scribe.asked) == 4
    assert row.written_tokens == 4


def test_a_solution_cannot_fill_in_the_question():
    scribe = Scribe(lambda text: f"{VERDICT} No")
    score(GenRM(scribe), written("{problem}", answer="7"))
    assert "{problem}" in scribe.asked[0][0]


@pytest.mark.parametrize("gives", [True, False])
def test_a_server_is_asked_for_log_probabilities_where_it_gives_them(gives):
    def tells(token):
        return [(" Yes", 0.8), (" No", 0.2)] if token == " Yes" else [(token, 0.9)]

    lacks = frozenset() if gives else frozenset({"logprobs"})
    says = f"{VERDICT} Yes"
    with FakeServer("chat", says=lambda text: says, tells=tells, lacks=lacks) as server:

        async def run():
            writer = await connect(server.url, None)
            row = await GenRM(writer, votes=2).score(written("7", answer="7"))
            await writer.aclose()
            return row

        row = asyncio.run(run())
        asked = [body for path, body in server.requests if path == "/v1/chat/completions"]
    assert row.scores.last == pytest.approx(0.8 if gives else 1.0)
    assert sum(body["max_tokens"] > 1 for body in asked) == 2
    assert row.written_tokens > 0


WRITING = {
    "genrm(votes=2)": f"{VERDICT} Yes",
    "rubric(criteria=It is right:2|It is short)": "Fine.\n1: 8\n2: 5",
    "backward(numbers=2)": "X = 3",
}


@pytest.mark.parametrize("kind", ["chat", "vllm", "llama.cpp"])
@pytest.mark.parametrize("name", WRITING)
def test_contract_with_the_model_of_the_proposers_server(name, kind):
    solutions = [
        replace(solution("What is 3 + 4?", ["It is", "7."]), finished=True, answer="7"),
        solution("What is 3 + 4?", ["It is"]),
        solution("What is 5?", []),
    ]

    class Forgetful:
        """The server forgets between calls, so that counts are those of a row alone."""

        def verify_batch(self, asked):
            rows = []
            for one in asked:
                server.seen.clear()
                rows += verifier.verify_batch([one])
            return [
                replace(row, computed_tokens=1, cached_tokens=0) if row.scores.steps else row
                for row in rows
            ]

    with FakeServer(kind, says=lambda text: WRITING[name]) as server:
        proposer = asyncio.run(OpenAIProposer.connect(server.url))
        made = named(name, proposer)
        verifier = Waiting(reading(made.scorer, Letters()))  # it wrote none of these
        check_verifier(Forgetful(), solutions)


def test_a_model_of_the_lab_writes_nothing_and_is_refused_by_name():
    for name in WRITING:
        with pytest.raises(UsageError, match="needs a model that writes"):
            named(name, ScriptedProposer())


def test_a_model_in_process_writes_too(tmp_path):
    saved(tmp_path, causal(max_position_embeddings=1024))
    proposer = HFProposer.load(str(tmp_path))
    verifier = Waiting(named("genrm(votes=2,most_tokens=8)", proposer))
    (row,) = verifier.verify_batch([solution("1?", ["ab"])])
    assert row.written_tokens > 0 and row.scores.steps in ((None,), (0.0,), (0.5,), (1.0,))


def test_a_question_that_does_not_fit_is_an_error_and_no_score(tmp_path):
    saved(tmp_path, causal())
    verifier = Waiting(named("genrm", HFProposer.load(str(tmp_path))))
    with pytest.raises(ContextError, match="longer than the model reads"):
        verifier.verify_batch([solution("1?", ["ab"])])


def test_critiques_are_charged_as_verifier_tokens_and_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.jsonl").write_text('{"id": "a", "prompt": "problem 3", "answer": "right"}\n')
    with FakeServer("vllm", says=lambda text: f"{VERDICT} Yes") as server:
        words = ["sweep", "p.jsonl", "-o", "a.store", "--model", server.url, "--verifier"]
        words += ["genrm(votes=2)", "--strategies", "best_of_n", "--budgets", "2", "--pool", "2"]
        assert main([*words, "--difficulty-samples", "0", "--json"]) == 0
        capsys.readouterr()
        chats = sum(path == "/v1/chat/completions" for path, _ in server.requests)
        assert main([*words, "--difficulty-samples", "0", "--json"]) == 0
        assert chats == sum(path == "/v1/chat/completions" for path, _ in server.requests)
    with Store.open("a.store", write=False) as store:
        (outcome,) = store.view(None, "math").outcomes()
        (name,) = store.verifiers()
        asked = store.view(None, "math").verifying("best_of_n", 2, {"a"})
    assert name.startswith("genrm-2-")
    assert (asked.solutions, outcome.usage.verifier_calls) == (2, 2)
    assert 0 < asked.written_tokens < outcome.usage.verifier_tokens
    assert main(["report", "a.store", "-o", "a.html"]) == 0
    page = (tmp_path / "a.html").read_text()
    (table,) = re.findall(
        "<caption>Mean of a generation, in tokens and calls.*?</table>", page, re.S
    )
    cells = re.findall("<td>(.*?)</td>", table)
    assert float(cells[-1].replace("\u202f", "")) == asked.written_tokens / 2
    assert cells[-3] == "1"


# Rubrics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "marks"),
    [
        ("Good.\n1: 7\n2: 10", (0.7, 1.0)),
        ("1: 3\nno, rather\n1: 7\n2. 4/10", (0.7, 0.4)),
        ("**1**: 7\n- 2) 4", (0.7, 0.4)),
        ("1: 7", None),
        ("1: 7\n2: 11", None),
        ("1: good\n2: 4", None),
        ("", None),
    ],
)
def test_marks_are_read_a_line_a_criterion(said, marks):
    assert read_marks(said, 2) == marks


def test_the_score_is_the_weighted_mean_of_the_marks():
    scribe = Scribe(lambda text: "1: 8\n2: 2")
    made = Rubric(scribe, [Criterion("It is right", 3), Criterion("It is short")])
    assert score(made).scores.steps == (None, pytest.approx((3 * 0.8 + 0.2) / 4))
    assert "1. It is right\n2. It is short" in scribe.asked[0][0]


def test_marks_that_cannot_be_read_are_asked_for_once_more_and_are_then_no_score():
    scribe = Scribe(in_turn("hm", "1: 8"))
    assert score(Rubric(scribe, [Criterion("It is right")])).scores.last == 0.8
    scribe = Scribe(lambda text: "hm")
    row = score(Rubric(scribe, [Criterion("It is right")]))
    assert row.scores.last is None and len(scribe.asked) == 2 and row.written_tokens == 2


def test_criteria_come_from_a_file_or_the_command_line(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text(
        '[[criterion]]\nask = "It is right: fully"\nweight = 2\n[[criterion]]\nask = "b"\n'
    )
    both = (Criterion("It is right: fully", 2.0), Criterion("b"))
    assert rubric.read_file(path) == both
    assert typed("It is right: fully:2|b") == both


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rubric"),
        ("[[criterion]]\nask = ''", "empty"),
        ("[[criterion]]\nweight=1", "ask"),
        ("[[criterion]]\nask='a'\nweight=0", "not all 0"),
        ("[[criterion]]\nasks='a'", "unknown"),
    ],
)
def test_a_file_that_is_no_rubric_is_refused(tmp_path, text, said):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        rubric.read_file(path)


# Backward checking --------------------------------------------------------------------------------


def test_numbers_are_masked_one_at_a_time():
    assert masks("Tom has 3 boxes of 1,200 pens, each $4.50.", 3) == [
        ("Tom has X boxes of 1,200 pens, each $4.50.", 3.0),
        ("Tom has 3 boxes of X pens, each $4.50.", 1200.0),
        ("Tom has 3 boxes of 1,200 pens, each $X.", 4.5),
    ]
    assert masks("f2 and x3y are no numbers", 3) == []


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("X + 4 = 7, so\nX = 3", 3.0),
        ("X is **1,200**", 1200.0),
        ("X = 2. No: X = -3.5", -3.5),
        ("It must be 9.", 9.0),
        ("no idea", None),
    ],
)
def test_what_a_reply_gives_back(said, value):
    assert given_back(said) == value


def test_the_score_is_the_share_of_numbers_that_came_back():
    def solves(text):
        """Knows that X + b = answer."""
        known = [int(word) for word in text.split("\n")[0].strip("?").split() if word.isdigit()]
        answer = int(text.split("problem is ")[1].split(".")[0])
        return f"X = {answer - known[0]}"

    right = score(Backward(Scribe(solves)), written("7", answer="7"))
    wrong = score(Backward(Scribe(solves)), written("8", answer="8"))
    assert (right.scores.last, wrong.scores.last) == (1.0, 0.0)


def test_without_an_answer_or_a_number_nothing_is_asked_and_there_is_no_score():
    scribe = Scribe(lambda text: "X = 3")
    for text in (written("7"), written("7", problem="Which sum?", answer="7")):
        row = score(Backward(scribe), text)
        assert row.scores == Scores((None,)) and row.computed_tokens == 0
    assert not scribe.asked


def test_backward_needs_something_to_ask():
    with pytest.raises(UsageError, match="give 1 or more"):
        Backward(Scribe(None), numbers=0)
    assert backward.NUMBERS >= 1


# Tests of programs --------------------------------------------------------------------------------


needs_sandbox = pytest.mark.skipif(sandbox.why_not() is not None, reason="no sandbox here")
GIVEN = {
    "What is 3 + 4?": ["assert add(3, 4) == 7", "assert add(0, 0) == 0", "assert add(-1, 1) == 0"]
}


def program(body):
    return written(f"```python\ndef add(a, b):\n    {body}\n```", answer="x")


@needs_sandbox
@pytest.mark.parametrize(
    ("body", "share"), [("return a + b", 1.0), ("return a - b", 1 / 3), ("return a +", None)]
)
def test_the_score_is_the_share_of_tests_that_pass(body, share):
    row = score(Tests(given=GIVEN), program(body))
    expected = share if share is not None else 0.0
    assert row.scores.last == pytest.approx(expected) and row.computed_tokens == 0


@needs_sandbox
def test_contract_of_given_tests():
    good, bad = (program(f"return a {sign} b").solution for sign in "+-")
    unfinished = replace(good, finished=False, answer=None)
    verifier = Waiting(reading(Tests(given=GIVEN), Letters()))
    check_verifier(verifier, [good, bad, unfinished, solution("What is 3 + 4?", [])])


@needs_sandbox
def test_tests_are_written_once_a_problem_and_shared_by_its_solutions():
    scribe = Scribe(lambda text: "```python\nassert add(1, 2) == 3\nx = 1\nassert add(\n```")
    made = Tests(scribe, count=3)

    async def both():
        return await asyncio.gather(
            made.score(program("return a + b")), made.score(program("return a * b"))
        )

    one, other = asyncio.run(both())
    assert (one.scores.last, other.scores.last) == (1.0, 0.0)
    assert len(scribe.asked) == 1
    assert one.computed_tokens == one.shared_tokens == 14 + one.written_tokens > 14


@needs_sandbox
def test_tests_that_need_what_the_sandbox_lacks_are_refused_and_written_ones_left_out():
    with pytest.raises(UsageError, match="import no_such_module, which the sandbox lacks"):
        Tests(given={"a": ["import no_such_module\nassert add(1, 2) == 3"]})
    scribe = Scribe(lambda text: "no tests")
    row = score(Tests(scribe), program("return a + b"))
    assert row.scores.last is None and row.written_tokens == 2


@needs_sandbox
def test_feedback_says_which_test_fails_and_how():
    good, bad = "def add(a, b):\n    return a + b", "def add(a, b):\n    return a - b"
    tests = GIVEN["What is 3 + 4?"]
    assert feedback(good, tests) is None
    told = feedback(bad, tests)
    assert "assert add(3, 4) == 7" in told and "AssertionError" in told


def test_without_a_sandbox_nothing_is_run(monkeypatch):
    def lacks():
        raise RunError("no sandbox here")

    monkeypatch.setattr(testing.sandbox, "require", lacks)
    with pytest.raises(RunError, match="no sandbox"):
        Tests(given=GIVEN)


def test_asserts_are_read_from_blocks_or_lines():
    text = "Tests:\n```python\nassert f(1) == 2\nassert f(1) == 2\nprint(3)\nassert f(\n```\n"
    assert asserts(text) == ["assert f(1) == 2"]
    assert asserts("assert f(1) == 2\nwhy") == ["assert f(1) == 2"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tests", "say that it may, run=yes"),
        ("tests(run=yes,file=no.jsonl)", "cannot be read"),
        ("genrm(votes=0)", "no whole number from 1"),
        ("genrm(votes=2,temperature=hot)", "no number from 0"),
        ("genrm:mine", "write genrm:http://HOST:PORT"),
        ("rubric", "name a rubric"),
        ("rubric(file=no.toml)", "cannot be read"),
        ("rubric(file=a,criteria=b)", "name a rubric"),
        ("backward(samples=x)", "no whole number from 1"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, said):
    with pytest.raises(UsageError, match=said):
        check(name)
        named(name, ScriptedProposer())


def test_given_tests_are_a_line_a_problem(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"id": "a", "tests": ["assert f(1)"]}) + "\n")
    assert testing.read_file(path) == {"a": ("assert f(1)",)}
    path.write_text("{}\n")
    with pytest.raises(UsageError, match="holds no tests"):
        testing.read_file(path)
