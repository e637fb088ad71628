"""A vote that is decided before all solutions are in ends there: same answer, less spent."""

import asyncio
import json
from itertools import product

import numpy as np
import pytest
from fake_server import rows_asked
from test_openai import jobs_of, playing, solved

from outthink.cli import main
from outthink.errors import RunError, UsageError
from outthink.models.scripted import ScriptedProposer, scripted_problems
from outthink.policy.chance import ScoreCurve
from outthink.policy.live import Limits, think
from outthink.policy.menu import Stage
from outthink.policy.plans import Plan, Planned
from outthink.policy.sequential import Chances
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import AnswerAggregation, strategy
from outthink.search.decided import is_decided
from outthink.search.select import MAJORITY
from outthink.types import Arrival, Budget, Drawn, Propose, Solution, Strategy

[PROBLEM] = scripted_problems(1)
EARLY, WHOLE = strategy("majority(early=yes)"), strategy("majority")


def solution(answer):
    return Solution(PROBLEM, (1,), (1,), finished=True, answer=answer)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_a_decided_vote_is_the_vote_of_all_and_no_earlier_one_is(n):
    for answers in product(["a", "b", None], repeat=n):
        whole = MAJORITY([solution(one) for one in answers]).answer
        for known in range(1, n + 1):
            rest = product(["a", "b", "c", None], repeat=n - known)
            ends = {
                MAJORITY([solution(x) for x in (*answers[:known], *more)]).answer for more in rest
            }
            assert is_decided(answers[:known], n - known) == (len(ends) == 1)
            if len(ends) == 1:
                assert ends == {whole}


class Arriving:
    """A server whose rows come in an order of its own, and those of `never` not at all."""

    def __init__(self, answers, order, never=(), fails=None):
        self.name, self.asked_rows = "arriving", []
        self.cancelled: list[int] = []
        self._answers, self._order, self._never, self._fails = answers, order, never, fails

    async def propose(self, draws):
        self.asked_rows += draws
        for place in self._order:
            await asyncio.sleep(0)
            yield Arrival(place, self._row(draws[place], place), 1.0)
        if self._fails is not None:
            raise self._fails
        if len(self._order) == len(draws):
            return
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled += self._never

    def _row(self, draw, place):
        tokens = (place + 1, 7)
        drawn = Solution(
            draw.prefix.problem, tokens, (2,), finished=True, answer=self._answers[place]
        )
        return Drawn(drawn, 3, 0, 2)

    async def text(self, tokens):
        return ""


def ran(engine, made=EARLY, budget=5, store=None, grader=None):
    runner = Runner(Team.of(engine), seed=1, journal=store)
    [result] = asyncio.run(runner.results([Job(PROBLEM, made, Budget(budget))]))
    return result


ANSWERS = ("a", "b", "a", "a", "b")


def test_rows_in_flight_are_cancelled_once_the_vote_is_decided():
    engine = Arriving(ANSWERS, order=(0, 1, 2, 3), never=(4,))
    result = ran(engine)
    assert result.outcome.answer == "a" and engine.cancelled == [4]
    assert result.outcome.usage.generations == 4
    assert result.outcome.usage.decoded_tokens == 8


def test_what_the_search_sees_does_not_depend_on_who_comes_first():
    orders = [(0, 1, 2, 3), (3, 2, 1, 0), (4, 3, 0, 2, 1)]
    results = [ran(Arriving(ANSWERS, order)) for order in orders]
    seen = [[one.tokens for one in result.choice.candidates] for result in results]
    assert seen[0] == seen[1] == seen[2] and len(seen[0]) == 4
    assert {result.outcome.answer for result in results} == {"a"}


def test_what_came_before_the_cancel_is_kept_and_charged(tmp_path):
    with Store.open(tmp_path / "a.store", write=True) as store:
        store.add_problems([PROBLEM])
        early = ran(Arriving(ANSWERS, order=(4, 3, 0, 2, 1)), store=store)
        assert early.outcome.usage.generations == 5
        # The row behind those that decided is no candidate, but nobody pays for it again.
        assert len(early.choice.candidates) == 4
        again = Arriving(ANSWERS, order=())
        assert ran(again, WHOLE, store=store).outcome.answer == "a"
        assert again.asked_rows == []


def test_rows_that_a_store_holds_are_enough_and_others_are_not_charged(tmp_path):
    with Store.open(tmp_path / "a.store", write=True) as store:
        store.add_problems([PROBLEM])
        whole = Arriving(ANSWERS, order=(0, 1, 2, 3, 4), fails=None)
        ran(whole, WHOLE, store=store)
        none = Arriving(ANSWERS, order=())
        early = ran(none, store=store)
        assert none.asked_rows == [] and early.outcome.usage.generations == 4


def test_a_row_that_fails_after_the_decision_fails_nothing():
    order = (0, 1, 2, 3)
    assert ran(Arriving(ANSWERS, order, fails=RunError("down"))).outcome.answer == "a"
    undecided = ran(Arriving(("a", "b", "a", "b", "b"), order, fails=RunError("down")))
    assert undecided.outcome.error is not None


def test_rows_that_may_be_cancelled_are_asked_for_alone():
    for made, alone in ((EARLY, True), (WHOLE, False)):
        engine = Arriving(ANSWERS, order=(0, 1, 2, 3, 4))
        ran(engine, made)
        assert [draw.alone for draw in engine.asked_rows] == [alone] * 5


def test_the_seeds_and_the_answer_are_those_of_the_whole_vote():
    problems = scripted_problems(40)

    def results(made):
        runner = Runner(Team.of(ScriptedProposer(skill=0.6)), seed=3)
        done = asyncio.run(runner.results([Job(one, made, Budget(9)) for one in problems]))
        return {one.outcome.problem_id: one for one in done}

    early, whole = results(EARLY), results(WHOLE)
    for name, one in early.items():
        assert one.outcome.answer == whole[name].outcome.answer
        tokens = [drawn.tokens for drawn in whole[name].choice.candidates]
        assert [drawn.tokens for drawn in one.choice.candidates] == tokens[
            : len(one.choice.candidates)
        ]
    assert any(len(one.choice.candidates) < 9 for one in early.values())


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "chat"])
def test_a_server_is_let_go_of_rows_that_are_in_flight(kind):
    right = {"says": lambda text: "\\boxed{right}", "writes": lambda text: "\\boxed{right}"}
    with playing(kind, **right) as (server, proposer):
        [whole] = solved(proposer, jobs_of("majority", n=9, of=1))
        drawing = [(path, body) for path, body in server.requests if body and "seed" in body]
        seeds = sorted({seed for _, body in drawing for _, seed, _ in rows_asked(body)})

    # Four of nine are never answered; five that agree decide.
    def hangs(path, body):
        return bool(body) and body.get("seed") in seeds[-4:]

    with playing(kind, hangs=hangs, **right) as (server, proposer):
        [early] = solved(proposer, jobs_of("majority(early=yes)", n=9, of=1))
    assert early.outcome.answer == whole.outcome.answer == "right"
    assert early.outcome.usage.generations == len(early.choice.candidates) == 5


def test_a_prefix_that_has_ended_cannot_be_left_out():
    with pytest.raises(UsageError, match="has ended"):
        Propose([solution("a")], enough=lambda rows: True)


def test_a_plan_that_is_a_vote_ends_when_it_is_decided():
    menu, decisions = (Stage("majority", 2), Stage("majority", 4)), []
    rule = Planned(menu, chances(), Plan((0, 1), AnswerAggregation.MAJORITY))

    def start(problem, budget):
        return think(rule, Limits(6, (2.0, 4.0), (8, 8)), problem, decisions.append)

    engine = InTurn("aaaa")
    result = ran(engine, Strategy("plan", start), 6)
    # Three of six with the next three unable to pass them; the tie goes to the first.
    assert result.outcome.answer == "a" and len(result.choice.candidates) == 3
    assert [one.spent for one in decisions] == [0, 2, 3]


def chances():
    curve = ScoreCurve(0.5, (0.0, 0.0, 0.0))
    return Chances({"majority": curve}, np.zeros(24))


class InTurn(Arriving):
    """Answers as they are asked for, request after request; then nothing comes."""

    def __init__(self, answers):
        super().__init__(answers, order=())
        self._given = 0

    async def propose(self, draws):
        for place, draw in enumerate(draws):
            if self._given == len(self._answers):
                break
            await asyncio.sleep(0)
            self._given += 1
            yield Arrival(place, self._row(draw, self._given - 1), 1.0)
        else:
            return
        await asyncio.Event().wait()


def test_a_sweep_says_what_ending_early_saves(tmp_path, capsys):
    words = ["sweep", "lab:test?size=12&seed=3", "-o", str(tmp_path / "a.store"), "--budgets", "4"]
    words += ["--verifier", "none", "--strategies", "majority,majority(early=yes)", "--pool", "4"]
    words += ["--oracle-samples", "0", "--difficulty-samples", "0"]
    assert main(words) == 0
    assert "generations a problem, which saves" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    whole, early = json.loads(capsys.readouterr().out)["rows"]
    assert "saved" not in whole and early["saved"]["generations"] < 4
    decoded = early["decoded_tokens_per_problem"]
    rest = decoded * (4 / early["saved"]["generations"] - 1)
    assert early["saved"]["tokens"] == pytest.approx(rest)
