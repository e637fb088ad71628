"""The package from Python: coroutines that return values, a sync door, engines that are shared."""

import asyncio
import json
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from fake_server import FakeServer

import outthink
from outthink.data import task
from outthink.errors import PolicyError, UsageError
from outthink.study.models import Models

README = Path(__file__).parent.parent / "README.md"
PROMPTS = [problem.prompt for problem in task.problems(task.Stream.TEST, 6, seed=4)]
SMALL = outthink.Plan(("majority", "best_of_n"), (1, 2), pool=2, oracle_samples=0)


@pytest.fixture
def loads(monkeypatch):
    """Models that were loaded."""
    loaded, team = [], Models.team

    def noting(self, *asked):
        loaded.append(self.proposer)
        return team(self, *asked)

    monkeypatch.setattr(Models, "team", noting)
    return loaded


async def solve_all(**options):
    return await asyncio.gather(*(outthink.solve(prompt, **options) for prompt in PROMPTS))


def test_the_readmes_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(import asyncio\n.*?)```", README.read_text(), re.S)
    assert len(code.strip().splitlines()) < 10
    exec(compile(code, "README.md", "exec"), {})
    assert re.fullmatch(r"\['[0-9]{5}', '[0-9]{5}'\]\n", capsys.readouterr().out)
    assert (tmp_path / "my.store").exists() and (tmp_path / "policy.json").exists()


def test_solved_at_once_or_one_by_one_is_the_same_but_loads_once(loads):
    at_once = outthink.run(solve_all(strategy="beam", budget=4, seed=3))
    assert len(loads) == 1
    for prompt, one in zip(PROMPTS, at_once, strict=True):
        alone = outthink.run(outthink.solve(prompt, strategy="beam", budget=4, seed=3))
        assert (alone.answer, alone.text) == (one.answer, one.text)
        assert alone.usage.decoded_tokens == one.usage.decoded_tokens
    assert len(loads) == 1 + len(PROMPTS)


def test_other_models_or_seeds_share_nothing(loads):
    async def both():
        return await asyncio.gather(
            outthink.solve(PROMPTS[0], budget=2, seed=0),
            outthink.solve(PROMPTS[0], budget=2, seed=1),
            outthink.solve(
                PROMPTS[0], budget=2, model=Models("lab:l", "none"), strategy="majority"
            ),
        )

    outthink.run(both())
    assert sorted(loads) == ["lab:l", "lab:s", "lab:s"]


def test_a_solution_says_what_it_cost_and_cannot_be_changed():
    solved = outthink.run(outthink.solve("40713 *7 *13", budget=4))
    assert solved.usage.generations == solved.budget == 4
    assert solved.text.endswith(f"={solved.answer}\n") and solved.bin is None
    with pytest.raises(FrozenInstanceError):
        solved.answer = "00000"


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "chat"])
def test_many_problems_of_a_served_model_are_in_flight_at_once(kind):
    with FakeServer(kind, turns=500) as server:
        model = Models(server.url, "none")
        solved = outthink.run(solve_all(model=model, strategy="majority", budget=4))
        asked = [path for path, _ in server.requests]
    assert {each.answer for each in solved} <= {"right", "wrong", None}
    assert all(each.usage.generations == 4 for each in solved)
    assert asked.count("/v1/models") == 2  # connecting asks whether anyone is there, then who
    assert server.most_at_once > 1


def test_a_problem_that_a_server_fails_is_its_own(monkeypatch):
    async def apart():
        model = Models(server.url, "none")
        words = dict(model=model, strategy="majority", budget=2)
        solving = (outthink.solve(prompt, **words) for prompt in ("problem 1", "problem 2"))
        return await asyncio.gather(*solving, return_exceptions=True)

    monkeypatch.setattr("outthink.models.http.RetryPolicy.wait_s", lambda *_: 0.0)
    with FakeServer("vllm") as server:
        server.lost = "problem 2"
        solved, failed = outthink.run(apart())
    assert solved.answer in ("right", "wrong")
    assert isinstance(failed, outthink.RunError) and "ServerError" in str(failed)


def test_sweep_fit_and_report_give_values(tmp_path):
    async def all_three():
        plan = outthink.Plan(SMALL.strategies, (1, 2), 2, oracle_samples=0, predicted_samples=2)
        swept = await outthink.sweep("lab:test?size=100", tmp_path / "a.store", plan=plan)
        fitting = await outthink.fit_table(tmp_path / "a.store")
        return (
            swept,
            fitting,
            await outthink.write_report(tmp_path / "a.store", tmp_path / "a.html"),
        )

    swept, fitting, reported = outthink.run(all_three())
    assert [(row.strategy, row.budget) for row in swept.rows] == [
        (name, budget) for name in SMALL.strategies for budget in (1, 2)
    ]
    assert swept.problems == swept.graded == swept.rows[0].accuracy.problems == 100
    assert fitting.path is None and len(fitting.policy.cells) == 10 and fitting.versus_baseline
    assert reported.accuracies == swept
    assert reported.page.read_text("utf-8").startswith("<!doctype html>")
    solved = outthink.run(outthink.solve("40713 *7 *13", policy=fitting.policy, budget=2))
    assert 1 <= solved.bin <= 5 and solved.usage.generations == 4


def test_a_sweep_that_is_cancelled_goes_on(tmp_path):
    rows = [{"prompt": f"problem {i}", "reference": "right"} for i in range(8)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan = outthink.Plan(("majority",), (1, 2), 2, oracle_samples=0, predicted_samples=0)

    async def stopped(server):
        words = dict(model=Models(server.url, "none"), plan=plan)
        sweeping = asyncio.create_task(
            outthink.sweep(tmp_path / "p.jsonl", tmp_path / "a.store", **words)
        )
        while not any("Think step by step" in str(body) for _, body in server.requests):
            await asyncio.sleep(0.001)  # the server is a thread of this process
        sweeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sweeping
        return await outthink.sweep(tmp_path / "p.jsonl", tmp_path / "a.store", **words)

    with FakeServer("vllm") as server:
        assert outthink.run(stopped(server)).graded == 8


def test_what_cannot_be_is_refused_with_the_way_out(tmp_path):
    async def inside():
        outthink.run(outthink.solve("40713 *7 *13"))

    with pytest.raises(UsageError, match="await the call itself"):
        asyncio.run(inside())
    with pytest.raises(UsageError, match="both say how to think"):
        outthink.run(outthink.solve("40713 *7", policy=tmp_path / "p", strategy="beam"))
    with pytest.raises(PolicyError, match="cannot read policy"):
        outthink.run(outthink.solve("40713 *7", policy=str(tmp_path / "none.json")))
    with pytest.raises(UsageError, match="--model local"):
        outthink.run(outthink.solve("What is 3 + 4?"))
