"""The lab's engines: draws and scores depend on their row alone, and nothing is read twice.

Bit for bit: every comparison of solutions is exact.
"""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from contract import Counted, check_drawn, check_proposer, check_verifier, results, solve
from lab_fixtures import (
    TINY,
    TINY_VERIFIER,
    draws,
    exact,
    random_gpt,
    some_problems,
    twins,
)

from outthink.errors import UsageError
from outthink.lab import tokenizer
from outthink.lab.engine import LabProposer, LabVerifier, bundles, uniform
from outthink.lab.models import LabModels
from outthink.lab.tokenizer import LINE, MAX_TOKENS, PROMPT_LENGTH
from outthink.lab.train import Examples, Recipe, verifier
from outthink.measure.quality import auc
from outthink.run.journal import Job
from outthink.run.team import Team
from outthink.search import strategy
from outthink.train.rollouts import Labelled
from outthink.types import END, Budget, Draw, Force, Scores, Solution, State, Verified

MODEL = random_gpt()
FLAT = random_gpt(seed=2, sharpness=0.15)
"""Nearly every token is about as likely."""
ENDING = random_gpt(seed=5, sharpness=1.0)
VERIFIER = random_gpt(TINY_VERIFIER, seed=1)
PROBLEMS = some_problems(12)


def proposer(model=MODEL, **options):
    return LabProposer(model, "tiny", **options)


def checker(model=VERIFIER, **options):
    return LabVerifier(model, "tiny", **options)


@pytest.fixture(scope="module")
def small():
    return LabModels().proposer("s")


def solutions(engine, asked):
    return [row.solution for row in engine.propose_batch(asked)]


def bare(solution):
    """The same tokens, with nothing cached."""
    return replace(solution, state=None)


def stepwise(engine, asked):
    """The same draws a step at a time, with the same seeds."""
    while any(draw.prefix.is_open for draw in asked):
        rows = iter(engine.propose_batch([replace(d, until=1) for d in asked if d.prefix.is_open]))
        asked = [replace(d, prefix=next(rows).solution) if d.prefix.is_open else d for d in asked]
    return [draw.prefix for draw in asked]


# The contract ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [MODEL, ENDING], ids=["random", "ending"])
def test_contract_of_the_lab_proposer(model):
    check_proposer(proposer(model), PROBLEMS[:6])


def test_contract_of_the_shipped_proposer(small):
    check_proposer(small, PROBLEMS[:6])


class ScoresAlone:
    """A verifier with its counts left out."""

    name = "scores"

    def __init__(self, verifier):
        self._verifier = verifier

    def verify_batch(self, solutions):
        return [Verified(row.scores, 0, 0) for row in self._verifier.verify_batch(solutions)]


def samples():
    """Starts, prefixes and ended solutions, exact and not; no problem twice."""
    writing = proposer(ENDING)
    prefixes = solutions(writing, draws(PROBLEMS[:4], 1, until=2))
    ended = solutions(writing, draws(PROBLEMS[4:8], 1))
    right = [exact(PROBLEMS[8]), exact(PROBLEMS[9], end=False)]
    return [Solution.start(PROBLEMS[10]), *prefixes, *ended, *right]


def test_the_lab_cannot_be_forced(small):
    forced = Draw(Solution.start(PROBLEMS[0]), END, 1.0, 0, Force("Wait"))
    with pytest.raises(UsageError, match="budget forcing"):
        small.propose_batch([forced])


def test_contract_of_the_lab_verifier_in_its_scores():
    check_verifier(ScoresAlone(checker()), samples())


@pytest.mark.parametrize("which", ["prm", "orm"])
def test_contract_of_the_shipped_verifiers_in_their_scores(which):
    check_verifier(ScoresAlone(LabModels().verifier(which)), samples())


def test_contract_of_the_lab_verifier():
    check_verifier(checker(), samples())


def test_contract_an_outcome_costs_the_same_whoever_else_is_in_the_batch():
    engines = proposer(ENDING), checker()
    names = ["best_of_n", "beam(width=2)"]
    together = solve(names, 4, *engines, of=PROBLEMS[:3])
    alone = [result for name in names for result in solve(name, 4, *engines, of=PROBLEMS[:3])]
    assert [r.choice for r in together] == [r.choice for r in alone]
    assert [r.outcome for r in together] == [r.outcome for r in alone]


def test_contract_counts_do_not_depend_on_how_rows_are_split():
    asked = draws(PROBLEMS[:3], 100)
    few, many = proposer(rows=16).propose_batch(asked), proposer(rows=1024).propose_batch(asked)
    assert [row.solution for row in few] == [row.solution for row in many]
    assert few == many


# What is drawn depends on the row alone ----------------------------------------------------------


@pytest.fixture(scope="module")
def crowd():
    """300 draws: starts and prefixes of all lengths, every `until` and temperature."""
    engine = proposer(ENDING)
    asked = draws(PROBLEMS, 13)
    asked += [replace(draw, temperature=0.7) for draw in draws(PROBLEMS[:4], 8, seed=7)]
    firsts = [s for s in solutions(engine, draws(PROBLEMS, 8, until=1, seed=50)) if s.is_open]
    asked += [Draw(prefix, 2, 1.0, 90 + i) for i, prefix in enumerate(firsts)]
    asked += [Draw(bare(prefix), END, 1.0, 900 + i) for i, prefix in enumerate(firsts)]
    assert len(asked) > 250
    return asked


@pytest.fixture(scope="module")
def whole(crowd):
    """What is drawn for the crowd in one go."""
    return solutions(proposer(ENDING), crowd)


@pytest.mark.parametrize("size", [1, 2, 17, 200])
def test_contract_a_draw_is_the_same_alone_and_in_any_batch(crowd, whole, size):
    order = np.random.default_rng(size).permutation(len(crowd))[: 16 * size]
    for start in range(0, len(order), size):
        part = order[start : start + size]
        assert solutions(proposer(ENDING), [crowd[i] for i in part]) == [whole[i] for i in part]


@pytest.mark.parametrize("rows", [16, 100, 1024])
def test_contract_a_draw_is_the_same_however_many_rows_go_at_once(crowd, whole, rows):
    assert solutions(proposer(ENDING, rows=rows), crowd) == whole


def test_contract_a_shipped_draw_is_the_same_alone_and_in_any_batch(small):
    asked = draws(PROBLEMS, 17)
    whole = solutions(small, asked)
    assert solutions(small, asked[::-1]) == whole[::-1]
    for size, count in ((1, 12), (2, 24), (17, 204)):
        parts = [asked[start : start + size] for start in range(0, count, size)]
        assert [s for part in parts for s in solutions(small, part)] == whole[:count]


def test_a_fork_goes_on_as_the_same_prefix_read_again(crowd):
    prefixes = [draw.prefix for draw in crowd if draw.prefix.state is not None]
    asked = [Draw(prefix, END, 1.0, i) for i, prefix in enumerate(prefixes)]
    again = [replace(draw, prefix=bare(draw.prefix)) for draw in asked]
    forked, read = proposer(ENDING).propose_batch(asked), proposer(ENDING).propose_batch(again)
    assert [row.solution for row in forked] == [row.solution for row in read]
    assert all(row.prompt_tokens == 0 for row in forked)
    assert any(row.prompt_tokens > 0 for row in read)


def test_a_prefix_can_be_forked_again_and_again(small):
    (prefix,) = solutions(small, draws(PROBLEMS[:1], 1, until=1))
    asked = [Draw(prefix, END, 1.0, seed) for seed in range(40)]
    first = solutions(small, asked)
    solutions(small, [Draw(prefix, 1, 1.0, 99)])
    assert solutions(small, asked) == first
    assert len({s.tokens for s in first}) > 1


def test_the_first_step_is_that_of_the_whole_solution_with_the_same_seed(small):
    for engine in (small, proposer(ENDING)):
        whole = solutions(engine, draws(PROBLEMS, 8))
        first = solutions(engine, draws(PROBLEMS, 8, until=1))
        for a, b in zip(first, whole, strict=True):
            assert a.tokens == b.tokens[: len(a.tokens)]
            assert a.step_ends == b.step_ends[:1]


def test_step_by_step_with_the_same_seed_is_the_whole_solution(small):
    # Of a model that is nearly sure whether a line is the last. Going on after a line is drawn
    # knowing that it is not, so a model that doubts it may write another token there.
    whole = solutions(small, draws(PROBLEMS, 8))
    assert stepwise(small, draws(PROBLEMS, 8)) == whole


def test_several_steps_at_once_are_as_many_single_steps_of_a_sure_model(small):
    asked = draws(PROBLEMS, 4, until=3)
    three = solutions(small, asked)
    one = solutions(small, [replace(draw, until=1) for draw in asked])
    rest = [
        replace(draw, prefix=prefix, until=2)
        for draw, prefix in zip(asked, one, strict=True)
        if prefix.is_open
    ]
    expected = iter(solutions(small, rest))
    assert [next(expected) if prefix.is_open else prefix for prefix in one] == three


def test_a_step_that_is_the_last_comes_with_its_end(small):
    for solution in solutions(small, draws(PROBLEMS, 4, until=1)):
        assert solution.finished == (solution.tokens[-1] == tokenizer.END)
        assert solution.finished or solution.tokens[-1] == LINE
        assert solution.finished == (len(solution.problem.prompt.split()) == 2)


def test_greedy_follows_no_seed(small):
    for engine in (small, proposer()):
        once = solutions(engine, draws(PROBLEMS, 2, temperature=0.0))
        assert once == solutions(engine, draws(PROBLEMS, 2, temperature=0.0, seed=10**15))
        assert once[::2] == once[1::2]


def test_greedy_is_the_likeliest_token_every_time():
    (found,) = solutions(proposer(), draws(PROBLEMS[:1], 1, temperature=0.0))
    ids = [*tokenizer.encode_prompt(PROBLEMS[0].prompt), *found.tokens]
    with torch.inference_mode():
        likeliest = MODEL(torch.tensor([ids]))[0].argmax(-1)
    assert likeliest[PROMPT_LENGTH - 1 : -1].tolist() == list(found.tokens)


def test_a_mixed_batch_keeps_each_row_its_own_temperature():
    hot, cold = draws(PROBLEMS, 1), draws(PROBLEMS, 1, temperature=0.0)
    mixed = [draw for pair in zip(hot, cold, strict=True) for draw in pair]
    found = solutions(proposer(), mixed)
    assert found[::2] == solutions(proposer(), hot)
    assert found[1::2] == solutions(proposer(), cold)


def test_a_solution_that_fills_the_context_is_truncated_and_has_no_answer():
    found = solutions(proposer(), draws(PROBLEMS, 8))
    assert {s.truncated for s in found} == {True, False}
    for solution in found:
        assert solution.truncated == (not solution.finished)
        assert solution.finished or len(solution.tokens) == MAX_TOKENS
        assert solution.finished or (solution.answer, solution.state) == (None, None)


# Draws follow the model --------------------------------------------------------------------------


def last_token(prefix, temperature, count=4096):
    """How often each token is drawn after a prefix with room for one more, and is to be."""
    ids = [*tokenizer.encode_prompt(prefix.problem.prompt), *prefix.tokens]
    with torch.inference_mode():
        logits = FLAT(torch.tensor([ids]))[0, -1].double()
    logits = logits.clone()
    if prefix.tokens[-1] == LINE:
        logits[tokenizer.END] = -torch.inf  # an open solution is known not to end there
    asked = [Draw(prefix, END, temperature, 12345 * seed) for seed in range(count)]
    tokens = [s.tokens[-1] for s in solutions(proposer(FLAT), asked)]
    expected = (logits / temperature).softmax(-1).numpy() * count
    return np.bincount(tokens, minlength=tokenizer.VOCABULARY), expected


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("end", [5, LINE])
def test_tokens_are_drawn_as_often_as_the_model_says(end, temperature):
    prefix = Solution(PROBLEMS[0], (3,) * (MAX_TOKENS - 2) + (end,))
    drawn, expected = last_token(prefix, temperature)
    assert drawn[expected == 0].sum() == 0
    likely = expected > 5
    assert likely.sum() > 8
    chi_square = ((drawn - expected)[likely] ** 2 / expected[likely]).sum()
    assert chi_square < 50  # 21 degrees of freedom: 46.8 in one of a thousand


def test_uniform_numbers_are_uniform_and_independent():
    table = uniform(np.arange(1000, 2000, dtype=np.uint64), np.arange(60))
    assert table.min() >= 0 and table.max() < 1
    counts = np.histogram(table, 20, (0, 1))[0]
    assert ((counts - 3000) ** 2 / 3000).sum() < 45
    for a, b in ((table[:, :-1], table[:, 1:]), (table[:-1], table[1:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.015
    assert len(np.unique(table)) > 0.99 * table.size


def test_a_small_seed_shares_no_number_with_another():
    table = uniform(np.arange(60, dtype=np.uint64), np.arange(60))
    assert len(np.unique(table)) > 0.99 * table.size


def test_a_number_depends_on_its_seed_and_position_alone():
    seeds = np.array([7, 2**63 - 1, 0], np.uint64)
    table = uniform(seeds, np.arange(10, 30))
    assert (uniform(seeds[1:2], np.arange(13, 15))[0] == table[1, 3:5]).all()


# What it costs -----------------------------------------------------------------------------------


def test_rows_leave_the_batch_when_they_end(small):
    asked = draws(PROBLEMS, 40)
    before = small.watch.tokens
    rows = small.propose_batch(asked)
    exist = sum(row.decoded_tokens for row in rows) + PROMPT_LENGTH * len(PROBLEMS)
    longest = max(row.decoded_tokens for row in rows) * len(rows)
    fed = small.watch.tokens - before
    assert exist * 0.9 < fed < exist * 1.4
    assert longest > exist * 1.6  # what a batch that waits for its last row would have fed


def test_a_row_counts_as_if_alone_and_tells_what_it_shares():
    rows = proposer().propose_batch(draws(PROBLEMS[:3], 5))
    counts = {(row.prompt_tokens, row.cached_tokens, row.shared_tokens) for row in rows}
    assert counts == {(PROMPT_LENGTH, 0, PROMPT_LENGTH)}
    assert all(row.decoded_tokens == len(row.solution.tokens) for row in rows)


def test_a_search_counts_its_prompt_once():
    engine = proposer()
    jobs = [Job(problem, strategy("majority"), Budget(5)) for problem in PROBLEMS[:3]]
    for result in results(Team.of(engine), jobs):
        usage = result.outcome.usage
        assert (usage.prompt_tokens, usage.cached_tokens) == (PROMPT_LENGTH, 4 * PROMPT_LENGTH)


def test_a_prefix_that_nobody_holds_is_read_by_the_model_once_for_its_rows():
    firsts = solutions(proposer(ENDING), draws(PROBLEMS, 8, until=1))
    prefix = next(first for first in firsts if first.is_open)
    engine = proposer(ENDING)
    rows = engine.propose_batch([Draw(bare(prefix), END, 1.0, seed) for seed in range(40)])
    whole = PROMPT_LENGTH + len(prefix.tokens)
    assert {(row.prompt_tokens, row.shared_tokens) for row in rows} == {(whole, PROMPT_LENGTH)}
    decoded = sum(row.decoded_tokens for row in rows)
    # Sixteen rows are the least that a model is given.
    assert engine.watch.tokens < 16 * whole + 2 * max(decoded, 16)


def test_a_fork_reads_nothing_again():
    rows = proposer(ENDING).propose_batch(draws(PROBLEMS, 4, until=1))
    prefixes = [row.solution for row in rows if row.solution.is_open]
    engine = proposer(ENDING)
    forked = engine.propose_batch([Draw(prefix, 1, 1.0, i) for i, prefix in enumerate(prefixes)])
    for prefix, row in zip(prefixes, forked, strict=True):
        check_drawn(prefix, row, 1)
        assert (row.prompt_tokens, row.cached_tokens) == (0, PROMPT_LENGTH + len(prefix.tokens))


def test_the_same_prompt_under_two_ids_is_two_problems():
    a, b = solutions(
        proposer(), [Draw(Solution.start(p), END, 1.0, 3) for p in twins(PROBLEMS[0], 2)]
    )
    assert a.tokens == b.tokens and a.problem != b.problem


# The verifier ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def beam(small):
    """What a verifier was asked and said during beam search, solution by solution."""
    verifier = Counted(LabModels().verifier())
    results = solve("beam(width=2)", 16, small, verifier, of=PROBLEMS[:5])
    asked = [solution for call in verifier.calls for solution in call]
    given = [row for call in verifier.given for row in call]
    return results, asked, given


def test_scores_step_by_step_are_those_of_the_whole(beam):
    _, asked, given = beam
    assert any(row.cached_tokens > PROMPT_LENGTH for row in given)
    fresh = LabModels().verifier().verify_batch([bare(solution) for solution in asked])
    for row, new in zip(given, fresh, strict=True):
        assert row.scores.steps == pytest.approx(new.scores.steps, rel=1e-4, abs=1e-30)


def test_a_search_never_has_more_tokens_verified_than_exist(beam):
    results, asked, given = beam
    verified = defaultdict(int)
    for solution, row in zip(asked, given, strict=True):
        verified[solution.problem.id] += row.computed_tokens - row.shared_tokens
        whole = PROMPT_LENGTH + len(solution.tokens) if row.scores.steps else 0
        assert row.computed_tokens + row.cached_tokens == whole
    for result in results:
        usage = result.outcome.usage
        assert PROMPT_LENGTH + verified[result.job.problem.id] == usage.verifier_tokens
        assert usage.verifier_tokens <= PROMPT_LENGTH + usage.decoded_tokens


def test_a_verifier_scores_every_step_as_likelihood_times_hope():
    model = random_gpt(TINY_VERIFIER, seed=1, sharpness=0.05)
    solution = next(s for s in map(exact, PROBLEMS) if s.steps == 3)
    ids = [*tokenizer.encode_prompt(solution.problem.prompt), *solution.tokens]
    with torch.inference_mode():
        outputs = model(torch.tensor([ids]))[0].double()
    said = outputs[:, :-1].log_softmax(-1)
    expected, likely = [], 0.0
    for at, token in enumerate(solution.tokens):
        likely += said[PROMPT_LENGTH - 1 + at, token]
        if at + 1 in solution.step_ends:
            hope = torch.sigmoid(outputs[PROMPT_LENGTH + at, -1] + 2.0)
            expected.append(float(likely.exp() * hope))
    (row,) = checker(model).verify_batch([solution])
    assert row.scores.steps == pytest.approx(expected, rel=1e-4, abs=0)


def test_a_solution_without_steps_has_no_scores_and_costs_nothing():
    unfinished = Solution(PROBLEMS[0], (11, tokenizer.EQUALS, 4))
    ended = Solution(PROBLEMS[0], (tokenizer.END,), (), True)
    for alone in (Solution.start(PROBLEMS[0]), unfinished, ended):
        assert checker().verify_batch([alone]) == [Verified(Scores(), 0, 0)]
        first, other = checker().verify_batch([alone, exact(PROBLEMS[1])])
        assert first == Verified(Scores(), 0, 0) and len(other.scores.steps) > 0


def test_an_open_solution_can_be_verified_twice():
    solution = replace(exact(PROBLEMS[0], end=False), state=State())
    engine = checker()
    (first,), (again,) = engine.verify_batch([solution]), engine.verify_batch([solution])
    assert again.scores == first.scores
    assert again.computed_tokens == 0


def test_the_steps_of_a_sibling_do_not_leak_through_a_shared_prefix(small):
    verifier = LabModels().verifier()
    prefix = next(s for s in solutions(small, draws(PROBLEMS, 4, until=1)) if s.is_open)
    verifier.verify_batch([prefix])
    grown = solutions(small, [Draw(prefix, 1, 2.0, seed) for seed in range(6)])
    grown = [
        replace(s, state=State(s.state and s.state.proposer, prefix.state.verifier)) for s in grown
    ]
    alone = LabModels().verifier().verify_batch([bare(solution) for solution in grown])
    assert len({row.scores for row in alone}) > 1
    for rows in (
        verifier.verify_batch(grown),
        [verifier.verify_batch([bare(s)])[0] for s in grown],
    ):
        for row, new in zip(rows, alone, strict=True):
            assert row.scores.steps == pytest.approx(new.scores.steps, rel=1e-4, abs=1e-30)


# Revisions ---------------------------------------------------------------------------------------

REVISER = random_gpt(replace(TINY, history=4), seed=5, sharpness=1.0)
JUDGE = random_gpt(replace(TINY_VERIFIER, history=4), seed=1, sharpness=0.3)


def revisions_of(problem, seed=0):
    """Empty prefixes that see none, one, two, ... four earlier solutions, of several lengths."""
    ended = [replace(exact(other), problem=problem) for other in some_problems(5, seed + 7)]
    assert len({len(s.tokens) for s in ended}) > 2
    return [Solution.revision(ended[:count], 4) for count in (1, 2, 3, 4, 5)]


@pytest.fixture(scope="module")
def revising():
    """Draws of revisions and of starts, of several problems; some see the same, or as many tokens
    in other solutions."""
    asked = draws(PROBLEMS[:4], 4)
    for at, problem in enumerate(PROBLEMS[:4]):
        prefixes = revisions_of(problem, seed=at)
        prefixes += [replace(prefix, history=prefix.history[::-1]) for prefix in prefixes]
        asked += [
            Draw(prefix, until, 1.0, 1000 * at + 10 * i + (until or 0))
            for i, prefix in enumerate(prefixes * 2)
            for until in (END, 1)
        ]
    return asked


@pytest.fixture(scope="module")
def drawn(revising):
    """What is drawn for all of them in one go."""
    return proposer(REVISER).propose_batch(revising)


@pytest.mark.parametrize("size", [1, 2, 17, 100])
def test_contract_a_revision_is_the_same_alone_and_in_any_batch(revising, drawn, size):
    whole = [row.solution for row in drawn]
    order = np.random.default_rng(size).permutation(len(revising))[: 16 * size]
    for start in range(0, len(order), size):
        part = order[start : start + size]
        assert solutions(proposer(REVISER), [revising[i] for i in part]) == [whole[i] for i in part]


@pytest.mark.parametrize("rows", [16, 30, 1024])
def test_contract_a_revision_is_the_same_however_many_rows_go_at_once(revising, drawn, rows):
    assert proposer(REVISER, rows=rows).propose_batch(revising) == drawn


def test_a_revision_carries_what_it_saw_and_depends_on_it(revising, drawn):
    found = [row.solution for row in drawn]
    assert [s.history for s in found] == [draw.prefix.history for draw in revising]
    (saw,) = {len(draw.prefix.history) for draw in revising[-1:]}
    others = [replace(revising[-1], prefix=p, until=END) for p in revisions_of(PROBLEMS[3], 3)]
    assert saw == 4 and len({s.tokens for s in solutions(proposer(REVISER), others)}) > 1


def test_a_greedy_revision_is_the_likeliest_token_every_time():
    prefixes = revisions_of(PROBLEMS[0])
    asked = [Draw(prefix, END, 0.0, seed) for seed, prefix in enumerate(prefixes)]
    for prefix, found in zip(prefixes, solutions(proposer(REVISER), asked), strict=True):
        prompt = tokenizer.encode_prompt(PROBLEMS[0].prompt)
        ids = torch.from_numpy(tokenizer.place(prompt, prefix.history, found.tokens))
        with torch.inference_mode():
            likeliest = REVISER.read(ids[None])[0].argmax(-1)
        assert likeliest[-len(found.tokens) - 1 : -1].tolist() == list(found.tokens)


def test_a_fork_of_a_revision_goes_on_as_the_same_prefix_read_again(drawn):
    begun = [row.solution for row in drawn if row.solution.is_open]
    assert sum(bool(s.history) for s in begun) > 5
    asked = [Draw(prefix, END, 1.0, i) for i, prefix in enumerate(begun)]
    again = [replace(draw, prefix=bare(draw.prefix)) for draw in asked]
    forked, read = proposer(REVISER).propose_batch(asked), proposer(REVISER).propose_batch(again)
    assert [row.solution for row in forked] == [row.solution for row in read]
    for draw, row, new in zip(asked, forked, read, strict=True):
        whole = context(draw.prefix)
        assert (row.prompt_tokens, row.cached_tokens) == (0, whole)
        assert (new.prompt_tokens, new.cached_tokens) == (whole, 0)


def context(solution):
    return sum(map(len, solution.history)) + PROMPT_LENGTH + len(solution.tokens)


def test_a_revision_counts_what_it_reads_and_shares_none_of_it(revising, drawn):
    for draw, row in zip(revising, drawn, strict=True):
        assert (row.prompt_tokens, row.cached_tokens) == (context(draw.prefix), 0)
        assert row.shared_tokens == (0 if draw.prefix.history else PROMPT_LENGTH)


def test_what_revisions_see_is_read_by_the_model_once_for_those_that_see_the_same():
    (*_, prefix) = revisions_of(PROBLEMS[0])
    engine = proposer(REVISER)
    rows = engine.propose_batch([Draw(prefix, END, 1.0, seed) for seed in range(40)])
    decoded = sum(row.decoded_tokens for row in rows)
    # Sixteen rows are the least that a model is given.
    assert engine.watch.tokens < 16 * context(prefix) + 2 * max(decoded, 16 * MAX_TOKENS)
    assert engine.watch.tokens < 40 * context(prefix)


def test_more_earlier_solutions_than_a_model_tells_apart_are_refused():
    (*_, prefix) = revisions_of(PROBLEMS[0])
    longer = replace(prefix, history=(*prefix.history, prefix.history[0]))
    ended = replace(exact(PROBLEMS[0]), history=longer.history)
    with pytest.raises(UsageError, match=r"5 earlier solutions.* tells 4 apart; give window=4"):
        proposer(REVISER).propose_batch([Draw(longer, END, 1.0, 0)])
    with pytest.raises(UsageError, match="give window=4"):
        checker(JUDGE).verify_batch([ended])
    assert proposer(MODEL).propose_batch([Draw(longer, END, 1.0, 0)])  # there is room for a fifth
    endless = replace(longer, history=longer.history * 4)
    with pytest.raises(UsageError, match="20 earlier solutions"):
        proposer(MODEL).propose_batch([Draw(endless, END, 1.0, 0)])


def revised():
    """Ended and open solutions that saw others, right and wrong ones."""
    found = []
    for at, problem in enumerate(PROBLEMS[:4]):
        prefixes = revisions_of(problem, seed=at)
        found += solutions(proposer(REVISER), [Draw(p, END, 1.0, at) for p in prefixes])
        found += [replace(exact(problem), history=prefix.history) for prefix in prefixes]
    return found


def test_contract_of_the_verifier_of_revisions():
    ended = revised()
    check_verifier(checker(JUDGE), [*ended, exact(PROBLEMS[5])])
    assert checker(JUDGE, rows=16).verify_batch(ended) == checker(JUDGE).verify_batch(ended)


def test_a_revision_is_scored_as_the_whole_of_what_it_saw_and_says():
    ended = [solution for solution in revised() if solution.steps]
    model = random_gpt(replace(TINY_VERIFIER, history=4), seed=1, sharpness=0.05)
    for solution, row in zip(ended, checker(model).verify_batch(ended), strict=True):
        prompt = tokenizer.encode_prompt(solution.problem.prompt)
        ids = tokenizer.place(prompt, solution.history, solution.tokens)
        with torch.inference_mode():
            outputs = model.read(torch.from_numpy(ids)[None])[0].double()
        said = outputs[:, :-1].log_softmax(-1)
        first = context(replace(solution, tokens=()))
        expected, likely = [], 0.0
        for at, token in enumerate(solution.tokens):
            likely += said[first - 1 + at, token]
            if at + 1 in solution.step_ends:
                hope = torch.sigmoid(outputs[first + at, -1] + 2.0)
                expected.append(float(likely.exp() * hope))
        assert row.scores.steps == pytest.approx(expected, rel=1e-3, abs=1e-30)
        assert (row.computed_tokens, row.cached_tokens) == (context(solution), 0)
        assert row.shared_tokens == 0


def test_what_was_seen_matters_to_a_verifier():
    (*_, prefix) = revisions_of(PROBLEMS[0])
    alone, after = exact(PROBLEMS[0]), replace(exact(PROBLEMS[0]), history=prefix.history)
    (first,), (other,) = checker(JUDGE).verify_batch([alone]), checker(JUDGE).verify_batch([after])
    assert first.scores != other.scores


def test_the_chains_of_a_problem_are_the_same_whatever_is_in_flight():
    def run(rows, order):
        jobs = [Job(PROBLEMS[i], strategy("revise(sequential=3)"), Budget(6)) for i in order]
        team = Team.of(proposer(REVISER), checker(JUDGE))
        done = results(team, jobs, rows_in_flight=rows)
        return {r.job.problem.id: (r.outcome, r.choice) for r in done}

    assert run(8192, range(6)) == run(6, reversed(range(6)))


# A verifier is trained where it is read ----------------------------------------------------------


def marked(count, seed):
    """One-step solutions, alike but for the last token of the step, which tells the label."""
    rng = np.random.default_rng(seed)
    found = []
    for problem in some_problems(count, seed):
        right = bool(rng.integers(2))
        tokens = (10, tokenizer.EQUALS, 1, 2, 3, 4, 5, LINE if right else 6)
        found.append(Labelled(Solution(problem, tokens, (len(tokens),)), (float(right),)))
    return found


def test_a_verifier_learns_the_token_it_is_read_at(tmp_path):
    trained = verifier(
        random_gpt(sharpness=0.01),
        Recipe(steps=80, batch=32, rate=1e-2, seed=0, warmup=5, decay=1.0),
        Examples.of(marked(512, 0)),
        Examples.of(marked(128, 1)),
        checkpoint=tmp_path / "v.checkpoint",
        label="tiny",
    )
    unseen = marked(200, 2)
    rows = checker(trained.model).verify_batch([example.solution for example in unseen])
    scores = np.array([row.scores.last for row in rows])
    right = np.array([example.labels[0] for example in unseen], bool)
    assert auc(scores, right) == 1.0
    assert scores[right].min() > 0.2 > 5 * scores[~right].max()


@pytest.mark.parametrize("shift", [-1, 0, 1])
def test_the_loss_reads_the_very_index_that_verify_reads(shift):
    # No more steps, and tokens no less likely, than single precision can hold the score of.
    model = random_gpt(TINY_VERIFIER, seed=1, sharpness=0.05)
    drawn = [s for s in map(exact, some_problems(40)) if s.steps <= 3]
    labelled = [
        Labelled(s, tuple((i + k) % 2 for k in range(s.steps))) for i, s in enumerate(drawn)
    ]
    data = Examples.of(labelled)
    data = Examples(data.tokens, data.labels.roll(shift, 1))
    with torch.inference_mode():
        loss = float(data.loss(model, torch.arange(len(labelled))))
    terms = []
    for example, row in zip(labelled, checker(model).verify_batch(drawn), strict=True):
        for label, score in zip(example.labels, row.scores.steps, strict=True):
            terms.append(-np.log(score if label else 1 - score))
    assert (loss == pytest.approx(np.mean(terms), rel=1e-5)) == (shift == 0)


# As the driver uses them -------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_outcomes_whatever_is_in_flight():
    def run(rows, order):
        jobs = [Job(PROBLEMS[i], strategy("beam(width=2)"), Budget(8)) for i in order]
        done = results(Team.of(proposer(ENDING), checker()), jobs, rows_in_flight=rows)
        return {r.job.problem.id: r for r in done}

    whole, narrow = run(8192, range(5)), run(8, reversed(range(5)))
    for id_, result in whole.items():
        assert result.choice.candidates == narrow[id_].choice.candidates
        assert result.outcome == narrow[id_].outcome


def test_a_step_wise_solution_knows_where_every_step_ends(small):
    for solution in stepwise(small, draws(PROBLEMS, 2)):
        lines = [at + 1 for at, token in enumerate(solution.tokens) if token == LINE]
        assert list(solution.step_ends) == lines


def test_small_parts_are_bundled_up_to_the_rows_of_a_batch_and_every_worker_has_some():
    parts = [(0, range(200)), *((length, range(4)) for length in range(1, 9))]
    alone = bundles(parts, 256, 1)
    assert [len(bundle) for bundle in alone] == [4, 5]
    assert [part for bundle in alone for part in bundle] == parts
    small = [(length, range(16)) for length in range(8)]
    assert [len(bundle) for bundle in bundles(small, 256, 2)] == [4, 4]


@pytest.mark.parametrize("model", (MODEL, ENDING))
def test_what_is_kept_apart_goes_on_as_what_is_kept_in_its_batch(model):
    """Few rows of a problem are copied out of their batch, many are not: both continue alike."""
    engine, check = proposer(model), checker()

    def grown(size, count=12, rounds=3):
        """Steps of `count` rows a problem, asked for `size` rows of each problem at a time."""
        rows = [Solution.start(problem) for problem in PROBLEMS[:3] for _ in range(count)]
        for at in range(rounds):
            asked = [Draw(row, 1, 1.0, at * 100 + n) for n, row in enumerate(rows)]
            for first in range(0, count, size):
                places = [p * count + k for p in range(3) for k in range(first, first + size)]
                places = [place for place in places if rows[place].is_open]
                new = solutions(engine, [asked[place] for place in places])
                scored = check.verify_batch(new)
                for place, one, score in zip(places, new, scored, strict=True):
                    rows[place] = one
                    scores[place] = score.scores
        return [(one.tokens, one.step_ends) for one in rows], dict(scores)

    scores = {}
    whole, few = grown(12), grown(4)
    assert whole == few
