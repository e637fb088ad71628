"""The contract on the lab's models and on a served one: every search spends N, and says so twice.

The scripted worlds of `test_contract` know every budget. Models cost seconds there, so a sample of
budgets is checked; OUTTHINK_CONTRACT=all checks all of them.
"""

import os
from importlib.util import find_spec

import pytest
from contract import BUDGETS, SPENDS, check_result, problems, solve
from test_openai import playing
from test_thinking import goes_on

from outthink.data import task
from outthink.errors import UsageError
from outthink.models.scripted import ScriptedVerifier
from outthink.search import strategy
from outthink.study.models import Models, require_words

ALL = os.environ.get("OUTTHINK_CONTRACT") == "all"
LARGE = {"beam", "dvts", "particles", "gibbs", "rebase"}
"""Searches that the sample has at 256 as well: they ask for many rows at a time."""
SAMPLE = [
    (name, n)
    for name in SPENDS
    for n in BUDGETS
    if ALL or n == 3 or (n == 16 and "(" not in name) or (n == 256 and name in LARGE)
]


def runs_on_the_lab(name):
    try:
        require_words(Models(), (name,))
    except UsageError:
        return False
    return not name.startswith("budget_forcing")


ON_THE_LAB = [(name, n) for name, n in SAMPLE if runs_on_the_lab(name)]


def check(first, again, name, n):
    for result, same in zip(first, again, strict=True):
        check_result(result)
        assert result.outcome.error is None
        assert result.outcome.usage.generations == SPENDS[name](n)
        assert (result.choice.answer, result.choice.index) == (
            same.choice.answer,
            same.choice.index,
        )
        assert result.outcome.usage.generations == same.outcome.usage.generations


@pytest.fixture(scope="module")
def lab():
    roles = frozenset().union(*(strategy(name).about.roles for name, _ in ON_THE_LAB))
    return Models().team(roles & {"proposer", "verifier", "reviser", "revision_verifier"})


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
@pytest.mark.parametrize(("name", "n"), ON_THE_LAB)
def test_contract_on_the_lab(name, n, lab):
    engines = lab.writers["proposer"], lab.verifiers["verifier"]
    team = {
        "reviser": lab.writers["reviser"],
        "revision_verifier": lab.verifiers["revision_verifier"],
    }
    of = task.problems(task.Stream.TEST, 2, 0)
    first, again = (solve(name, n, *engines, of=of, team=team) for _ in range(2))
    check(first, again, name, n)


@pytest.mark.parametrize(("name", "n"), SAMPLE)
def test_contract_on_a_served_model(name, n):
    # What is forced is a model's thoughts, and this one has some.
    thinks = {"writes": goes_on} if name.startswith("budget_forcing") else {}
    with playing("vllm", context=1_000_000, **thinks) as (_, proposer):
        first, again = (
            solve(name, n, proposer, ScriptedVerifier(), of=problems(2)) for _ in range(2)
        )
    check(first, again, name, n)
