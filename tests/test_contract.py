"""The contract: every search and verifier, at every budget, with engines good and bad."""

import pytest
from contract import (
    BUDGETS,
    SPENDS,
    STEPWISE,
    Chain,
    Counted,
    Patchy,
    check_proposer,
    check_result,
    check_verifier,
    problems,
    solve,
    solve_one,
    traced,
)

from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.search import SEARCHES, strategy
from outthink.types import END, MAX_ROUNDS, Ask, Outcome, Propose, Solution, Verify

every_strategy = pytest.mark.parametrize("name", SPENDS)
every_budget = pytest.mark.parametrize("n", BUDGETS)

BAD_PROPOSERS = {
    "clean": ScriptedProposer(),
    "some bad": ScriptedProposer(mischief=0.3),
    "nearly all bad": ScriptedProposer(mischief=0.9),
    "empty": Chain(0),
    "unparsable": Chain(2, "unparsable"),
    "cut at once": Chain(0, "truncated"),
    "cut later": Chain(3, "truncated"),
    "stuck": Chain(2, "stuck"),
    "stuck at once": Chain(0, "stuck"),
}
BAD_VERIFIERS = {
    "clean": ScriptedVerifier(),
    "often silent": ScriptedVerifier(silence=0.5),
    "mute": ScriptedVerifier(silence=1.0),
    "patchy": Patchy(0.4),
    "blank": Patchy(1.0),
}


def test_contract_names_every_search_and_no_strategy_twice():
    covered = {name.partition("(")[0] for name in SPENDS}
    assert covered == set(SEARCHES), "give every search a line in contract.SPENDS"
    assert [strategy(name).name for name in SPENDS] == list(SPENDS)


@every_strategy
@every_budget
def test_contract_spends_its_budget(name, n):
    result = solve_one(name, n, Chain(5), Patchy(0.0))
    assert result.outcome.usage.generations == SPENDS[name](n)
    assert name == "greedy" or n - SPENDS[name](n) < 4


@every_strategy
@every_budget
def test_contract_draws_as_many_whole_solutions_as_it_counts(name, n):
    # Counted by rows, without the ledger: every solution of this proposer has exactly six steps.
    proposer = Counted(Chain(6))
    solve_one(name, n, proposer, Patchy(0.0))
    steps = sum(
        len(row.solution.tokens) - len(draw.prefix.tokens)
        for asked, given in zip(proposer.calls, proposer.given, strict=True)
        for draw, row in zip(asked, given, strict=True)
        if (draw.until is END or draw.temperature > 0) and not draw.prefix.problem.framing.bare
    )
    ahead = [draw.until for draw in proposer.rows if draw.until and draw.temperature == 0]
    whole = 6 * SPENDS[name](n)
    if name.startswith("early_end"):  # what it gives up it has begun, and not drawn
        assert SPENDS[name](n) <= steps <= whole
        return
    assert steps * (1 + max(ahead, default=0)) == whole


@every_strategy
@every_budget
def test_contract_same_seed_same_outcome_and_other_seed_other_draws(name, n):
    def run(seed):
        return solve_one(name, n, ScriptedProposer(6), ScriptedVerifier(), seed=seed)

    first, again, other = run(1), run(1), run(2)
    assert (first.outcome, first.choice) == (again.outcome, again.choice)
    same = first.choice.candidates == other.choice.candidates
    assert same == (name == "greedy")


@every_strategy
@every_budget
def test_contract_outcome_is_that_of_the_problem_run_alone(name, n):
    engines = ScriptedProposer(mischief=0.1), ScriptedVerifier(silence=0.1)
    some = problems(2 if n > 16 else 9)
    alone = [solve(name, n, *engines, of=[problem])[0] for problem in some]
    together = solve(name, n, *engines, of=some)
    backwards = solve(name, n, *engines, of=some[::-1])[::-1]
    among_others = solve([name, "beam(width=2)"], n, *engines, of=some)[: len(some)]
    narrow = solve(name, n, *engines, of=some, rows_in_flight=2 * n - 1)
    for other in (together, backwards, among_others, narrow):
        assert [r.outcome for r in other] == [r.outcome for r in alone]
        assert [r.choice for r in other] == [r.choice for r in alone]


@every_strategy
@pytest.mark.parametrize("kind", BAD_PROPOSERS)
def test_contract_survives_whatever_comes_back(name, kind):
    for n in BUDGETS[:5]:
        for verifier in BAD_VERIFIERS.values():
            result = solve_one(name, n, BAD_PROPOSERS[kind], verifier)
            check_result(result)
            assert isinstance(result.outcome, Outcome)
            assert result.outcome.usage.generations == SPENDS[name](n)
            if kind in ("empty", "unparsable", "cut at once", "cut later", "stuck"):
                assert (result.outcome.answer, result.outcome.right) == (None, False)


@every_strategy
@pytest.mark.parametrize("n", BUDGETS[5:])
def test_contract_survives_whatever_comes_back_at_a_large_budget(name, n):
    engines = ScriptedProposer(mischief=0.3), ScriptedVerifier(silence=0.5)
    for result in solve(name, n, *engines, of=3):
        check_result(result)
        assert result.outcome.usage.generations == SPENDS[name](n)


@every_strategy
@every_budget
def test_contract_a_search_never_runs_more_than_forty_rounds(name, n):
    log = []
    result = solve_one(traced(strategy(name), log), n, Chain(60), Patchy(0.5))
    rounds = [r for r, _ in log if isinstance(r, Propose) and r.until == 1 and r.temperature > 0]
    # A round is a depth: some searches ask for one prefix at a time.
    depths = {prefix.steps for r in rounds for prefix in r.prefixes}
    if name.startswith("early_end"):  # it may have given all of them up before
        assert len(depths) <= MAX_ROUNDS
        return
    assert len(depths) == (MAX_ROUNDS if name in STEPWISE else 0)
    assert max(s.steps for s in result.choice.candidates) == 60  # and ends what it has in hand
    assert result.outcome.answer is not None


@every_strategy
def test_contract_asks_for_nothing_of_an_ended_solution(name):
    proposer = Counted(ScriptedProposer(6, mischief=0.2))
    solve(name, 16, proposer, ScriptedVerifier(), of=9)
    assert all(draw.prefix.is_open for draw in proposer.rows)


@every_strategy
@every_budget
def test_contract_never_asks_more_rows_at_once_than_its_budget(name, n):
    log = []
    solve_one(traced(strategy(name), log), n, ScriptedProposer(6), ScriptedVerifier())
    for request, response in log:
        if isinstance(request, Ask):
            assert 0 < len(request.about) == len(response)
            continue
        rows = request.solutions if isinstance(request, Verify) else request.prefixes
        assert 0 < len(rows) == len(response) <= n


@every_strategy
def test_contract_a_silent_verifier_leaves_a_vote(name):
    # A verifier that returned nothing is no reason to return nothing.
    result = solve_one(name, 16, Chain(3), ScriptedVerifier(silence=1.0))
    votes = [s.answer for s in result.choice.candidates if s.answer is not None]
    # Others vote within chains first, or let only those who finish first or last vote, or those
    # that were written after the others.
    others = ("revise", "revise(sequential=3,window=2)", "revise(shown=best)")
    flat = name not in others and "_finish" not in name and "gensynthesis" not in name
    assert result.outcome.answer in votes
    assert not flat or votes.count(result.outcome.answer) == max(map(votes.count, votes))


# Engines -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "proposer", [ScriptedProposer(), ScriptedProposer(6, mischief=0.3), Chain(4)], ids=repr
)
def test_contract_of_a_proposer(proposer):
    check_proposer(proposer, problems(12))


@pytest.mark.parametrize(
    "verifier", [ScriptedVerifier(), ScriptedVerifier(silence=0.5), Patchy(0.4)], ids=repr
)
def test_contract_of_a_verifier(verifier):
    check_verifier(verifier, [Solution.start(problems(1)[0]), *some_solutions()])


def test_contract_of_a_verifier_scores_do_not_depend_on_its_cache():
    # What it read of a prefix saves tokens and changes nothing else.
    engines = ScriptedProposer(6), Counted(ScriptedVerifier())
    solve("beam", 16, *engines, of=9)
    given = [row for call in engines[1].given for row in call]
    assert sum(row.cached_tokens for row in given) > 0
    fresh = ScriptedVerifier().verify_batch(
        [Solution(s.problem, s.tokens, s.step_ends) for s in engines[1].rows]
    )
    assert [row.scores for row in fresh] == [row.scores for row in given]
    for row, new in zip(given, fresh, strict=True):
        assert row.computed_tokens + row.cached_tokens == new.computed_tokens


def some_solutions():
    """Prefixes and ended solutions of every kind, with no two problems alike."""
    proposer = Counted(ScriptedProposer(5, mischief=0.2))
    solve(["majority", "beam"], 4, proposer, ScriptedVerifier(), of=6)
    found = [row.solution for call in proposer.given for row in call]
    assert {(s.finished, s.truncated) for s in found} == {(0, 0), (0, 1), (1, 0)}
    assert any(draw.until is END for draw in proposer.rows)
    return found
