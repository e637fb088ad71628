"""The contract suites that users hold their own searches, engines and graders to."""

import pytest
from contract import SPENDS

from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.search.select import MAJORITY
from outthink.testing import check_grader, check_proposer, check_search, check_verifier, solutions
from outthink.types import Choice, Propose, Scores, Solution, Strategy, Verified

FEW = (1, 2, 4)


@pytest.mark.parametrize("name", ["greedy", "majority", "beam", "lookahead(depth=3)", "revise"])
def test_our_own_searches_keep_their_contract(name):
    check_search(name, spends=SPENDS[name], budgets=FEW)


def wasteful(problem, budget):
    drawn = yield Propose([Solution.start(problem)] * (budget.generations + 1))
    return MAJORITY(drawn)


def unfinished(problem, budget):
    drawn = yield Propose([Solution.start(problem)] * budget.generations, until=1)
    return Choice("right", 0, tuple(drawn))


CALLS = []


def moody(problem, budget):
    CALLS.append(problem)
    drawn = yield Propose([Solution.start(problem)] * budget.generations)
    answered = [place for place, one in enumerate(drawn) if one.answer is not None]
    if not answered:
        return Choice(None, None, tuple(drawn))
    place = answered[len(CALLS) % len(answered)]
    return Choice(drawn[place].answer, place, tuple(drawn))


@pytest.mark.parametrize(
    ("search", "said"),
    [(wasteful, "spends 2 generations at N = 1"), (unfinished, "unfinished candidate")],
)
def test_a_search_that_breaks_its_contract_is_told_how(search, said):
    with pytest.raises(AssertionError, match=said):
        check_search(Strategy(search.__name__, search), budgets=FEW)


def test_a_search_that_depends_on_the_time_is_told_so():
    with pytest.raises(AssertionError, match="depends on what else is in flight"):
        check_search(Strategy("moody", moody), budgets=(16,))


def test_a_search_may_spend_less_where_it_says_so():
    check_search("examples/early_stop.py:early_stop(enough=0.9)", spends=None, budgets=FEW)
    with pytest.raises(AssertionError, match="spends 2 generations at N = 4"):
        check_search("examples/early_stop.py:early_stop(enough=0.0)", budgets=FEW)


class Beyond:
    name = "beyond"

    def verify_batch(self, asked):
        return [Verified(Scores((1.5,) * one.steps), 0, 0) for one in asked]


class Ordered:
    """Scores by place in the batch."""

    name = "ordered"

    def verify_batch(self, asked):
        return [
            Verified(Scores((1 / (2 + place),) * one.steps), 0, 0)
            for place, one in enumerate(asked)
        ]


def test_engines_keep_their_contracts_or_are_told():
    check_verifier(ScriptedVerifier(), solutions())
    check_proposer(ScriptedProposer(mischief=0.1), scripted_problems(6))
    with pytest.raises(AssertionError, match="not all in"):
        check_verifier(Beyond(), solutions())
    with pytest.raises(AssertionError, match=r"among others and .* alone"):
        check_verifier(Ordered(), solutions())


class Constant(ScriptedProposer):
    def propose_batch(self, draws):
        return super().propose_batch([type(d)(d.prefix, d.until, 0.0, 0) for d in draws])


def test_a_proposer_that_ignores_its_seed_is_told_so():
    with pytest.raises(AssertionError, match="whatever the seed"):
        check_proposer(Constant(), scripted_problems(3))


def test_graders_keep_their_contract_or_are_told():
    check_grader("number", right=[("1/2", "0.5"), ("$18", "18")], wrong=[("2", "0.5")])
    check_grader(
        "examples/close_enough.py:close_enough",
        right=[("12.5", "12.566")],
        wrong=[("11", "12.566"), ("twelve", "12.566")],
    )
    with pytest.raises(AssertionError, match="is judged False, not True"):
        check_grader("number", right=[("1", "2")])
