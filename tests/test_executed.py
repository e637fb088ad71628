"""Refining programs by what they failed: who says so, what is shown, what it costs."""

import asyncio
import json

import pytest
from contract import solve_one
from fake_server import FakeServer

from outthink.cli import main
from outthink.errors import UsageError
from outthink.grade import sandbox
from outthink.models.scripted import ScriptedProposer
from outthink.run.store import Store
from outthink.types import TESTS, Draw, Drawn, Problem, Solution
from outthink.verify.executed import NO_PROGRAM, PASSES, Executed, executed
from outthink.verify.tests import Tests
from outthink.verify.written import reading

pytestmark = pytest.mark.skipif(sandbox.why_not() is not None, reason="no sandbox here")

GIVEN = {"add": ("assert add(0, 0) == 0", "assert add(3, 4) == 7", "assert add(-1, 1) == 0")}
PROBLEM = Problem("add", "Write add(a, b).", None)


def block(body):
    return f"```python\ndef add(a, b):\n    {body}\n```"


class Programmer:
    """Writes its programs one after the other, whatever it is asked, and remembers the prompts."""

    name = "programmer"

    def __init__(self, *bodies):
        self.bodies, self.prompts = list(bodies), []

    def propose_batch(self, draws):
        return [self._write(draw) for draw in draws]

    def _write(self, draw):
        self.prompts.append(draw.prefix.problem.prompt)
        text = self.bodies.pop(0)
        solution = Solution(
            draw.prefix.problem,
            tuple(text.encode()),
            (len(text),),
            finished=True,
            answer=text,
        )
        return Drawn(solution, 10, 0, 7)

    def decode(self, tokens):
        return bytes(tokens).decode()


def refined(programmer, n, **options):
    team = {TESTS: Executed("tests", GIVEN)}
    return solve_one("self_refine(by=tests)", n, programmer, of=[PROBLEM], team=team, **options)


def test_a_program_is_refined_by_what_it_failed_until_it_passes():
    wrong, right = block("return a - b"), block("return a + b")
    programmer = Programmer(wrong, right)
    result = refined(programmer, 2)
    assert result.outcome.answer == right
    first, second = programmer.prompts
    assert "fails this test:\nassert add(3, 4) == 7\n" in second and "AssertionError" in second
    assert wrong in second and first == "Write add(a, b)."


def test_programs_that_pass_vote_alone():
    wrong, right = block("return a - b"), block("return a + b")
    # One chain: an answer and four refinements; what is left is a second one, which fails.
    result = refined(Programmer(wrong, wrong, right, wrong, wrong), 5)
    assert result.outcome.answer == right
    never = refined(Programmer(wrong, wrong), 2)
    assert never.outcome.answer == wrong


def test_running_programs_costs_no_generation_and_no_token():
    usage = refined(Programmer(block("return a - b"), block("return a + b")), 2).outcome.usage
    assert usage.generations == 2 and (usage.decoded_tokens, usage.critique_tokens) == (14, 0)


def test_what_was_run_is_not_run_again(tmp_path):
    runs = []

    class Counted(Executed):
        async def _said(self, draw):
            runs.append(draw.prefix.problem.prompt)
            return await super()._said(draw)

    for _ in range(2):
        with Store.open(tmp_path / "a.store", write=True) as store:
            store.add_problems([PROBLEM])
            programmer = Programmer(block("return a - b"), block("return a + b"))
            team = {TESTS: Counted("tests", GIVEN)}
            named = "self_refine(by=tests)"
            solve_one(named, 2, programmer, of=[PROBLEM], team=team, journal=store)
    # The first program, and the second one: once each.
    assert len(runs) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (block("return a + b"), PASSES),
        ("I do not know:\n```python\ndef add(a, b):", NO_PROGRAM),
    ],
)
def test_it_says_that_all_pass_or_that_there_is_no_program(text, said):
    result = refined(Programmer(text), 1)
    assert result.outcome.error is None
    feedback = Executed("tests", GIVEN)
    prompt = Solution.start(Problem("add", text, None))

    async def one():
        rows = [row async for _, row, _ in feedback.propose([Draw(prompt, None, 0.0, 1)])]
        return await feedback.text(rows[0].solution.tokens)

    assert asyncio.run(one()) == said


def test_a_problem_without_tests_is_named():
    team = {TESTS: Executed("tests", {"other": ("assert True",)})}
    with pytest.raises(UsageError, match="none of problem 'add'"):
        solve_one("self_refine(by=tests)", 1, Programmer("x = 1"), of=[PROBLEM], team=team)


def test_given_tests_of_the_verifier_are_run_and_others_refused():
    scripted = ScriptedProposer()
    given = executed(reading(Tests(given=GIVEN), scripted))
    assert given.name.endswith("-feedback")
    for other in (None, object()):
        with pytest.raises(UsageError, match=r"--verifier 'tests\(run=yes,file="):
            executed(other)


def swept(tmp_path, url, verifier):
    problems, given = tmp_path / "problems.jsonl", tmp_path / "tests.jsonl"
    problems.write_text('{"id": "add", "prompt": "Write add(a, b).", "reference": "right"}\n')
    given.write_text(json.dumps({"id": "add", "tests": GIVEN["add"]}) + "\n")
    words = ["sweep", str(problems), "-o", str(tmp_path / "a.store"), "--model", f"{url}/v1"]
    words += ["--strategies", "self_refine(by=tests)", "--budgets", "4", "--pool", "1"]
    words += ["--difficulty-samples", "0", "--revision-verifier", "none"]
    return main([*words, "--verifier", verifier.format(given)])


def test_a_sweep_of_a_served_model_refines_by_the_tests_of_its_verifier(tmp_path, capsys):
    with FakeServer("vllm") as server:
        assert swept(tmp_path, server.url, "tests(run=yes,file={})") == 0
        prompts = [str(body) for _, body in server.requests]
    with Store.open(tmp_path / "a.store", write=False) as store:
        outcomes = store.view().outcomes()
        outcome = next(one for one in outcomes if one.strategy.startswith("self_refine"))
    assert outcome.error is None and outcome.usage.generations == 4
    # An answer and three refinements at most; none is paid for what is run here.
    assert outcome.usage.critiques > 0 and outcome.usage.critique_tokens == 0
    assert any("This is what was said of your answer" in prompt for prompt in prompts)


def test_a_sweep_without_given_tests_is_refused(tmp_path, capsys):
    with FakeServer("vllm") as server:
        assert swept(tmp_path, server.url, "none") == 2
    assert "--verifier 'tests(run=yes,file=tests.jsonl)'" in capsys.readouterr().err
