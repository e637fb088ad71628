"""Beam and lookahead do what the paper says: golden traces, a slow reference, worlds by hand.

`OUTTHINK_GOLDEN=write pytest tests/test_search.py -k golden` writes the traces anew.
"""

import json
import math
import os
from collections import Counter
from pathlib import Path

import pytest
from contract import (
    Chain,
    Counted,
    Patchy,
    RandomTree,
    Tree,
    Words,
    Worth,
    drawn_from,
    same_every_time,
    search,
    solve_one,
    traced,
    word,
)
from hypothesis import example, given
from hypothesis import strategies as st

from outthink.errors import UsageError
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.search import strategy
from outthink.types import Ask, Budget, Problem, Propose

GOLDEN = Path(__file__).parent / "golden"


# Golden traces -----------------------------------------------------------------------------------

TRACES = {
    "majority-5": ("majority", 5),
    "best-of-4-max-min": ("best_of_n(step=min,answer=max)", 4),
    "beam-8": ("beam", 8),
    "beam-6-uneven": ("beam", 6),
    "beam-9-sqrt": ("beam(width=sqrt)", 9),
    "beam-8-two-rounds": ("beam(width=2,rounds=2)", 8),
    "lookahead-8": ("lookahead(width=2)", 8),
    "lookahead-16-deep": ("lookahead(depth=3,width=sqrt)", 16),
    "revise-7-of-3": ("revise(sequential=3)", 7),
    "dvts-8": ("dvts", 8),
    "rebase-8": ("rebase", 8),
    "particles-8": ("particles", 8),
    "gibbs-8": ("gibbs", 8),
    "particles-8-multinomial": ("particles(resampling=multinomial)", 8),
    "best-first-8": ("best_first", 8),
    "mcts-8": ("mcts", 8),
    "ab-mcts-6": ("ab_mcts", 6),
    "ucb-6": ("ucb", 6),
    "early-end-8": ("early_end(keep=0.5)", 8),
    "revise-7-best": ("revise(sequential=4,shown=best)", 7),
    "revision-beam-8": ("revision_beam", 8),
    "self-refine-6": ("self_refine(rounds=2)", 6),
    "self-refine-6-scores": ("self_refine(rounds=2,by=verifier)", 6),
    "debate-8": ("debate", 8),
    "genselect-9": ("genselect(group=4)", 9),
    "gensynthesis-6": ("gensynthesis(group=2)", 6),
    "groupwise-6": ("groupwise", 6),
    "knockout-5": ("knockout", 5),
    "round-robin-4": ("round_robin", 4),
    "usc-6": ("usc", 6),
}


@pytest.mark.parametrize("file", TRACES)
def test_golden_trace(file):
    name, n = TRACES[file]
    path = GOLDEN / f"{file}.json"
    if os.environ.get("OUTTHINK_GOLDEN") == "write":
        path.write_text(json.dumps(trace(name, n), indent=1) + "\n")
    assert trace(name, n) == json.loads(path.read_text())


def trace(name, n):
    """Configuration, every request by solution number, the tree, and what came of it."""
    log = []
    inner = strategy(name)
    engines = ScriptedProposer(5, mischief=0.08), ScriptedVerifier(silence=0.08)
    problem = Problem("p5", "problem 5", "right")
    result = solve_one(traced(inner, log), n, *engines, of=[problem], seed=7)
    requests, solutions, scores, said = [], {}, {}, {}
    for request, response in log:
        if isinstance(request, Propose):
            until = "the end" if request.until is None else f"{request.until} more"
            numbers = " ".join(str(s.number) for s in request.prefixes)
            requests.append(f"draw to {until} at {request.temperature:g}: {numbers}")
            solutions |= {s.number: s for s in response}
        elif isinstance(request, Ask):
            shown = ", ".join("+".join(str(s.number) for s in row) for row in request.about)
            requests.append(f"{request.purpose} at {request.temperature:g}: {shown}")
            solutions |= {r.solution.number: r.solution for r in response}
            said |= {r.solution.number: r.text for r in response if request.purpose.is_critique}
        else:
            requests.append("verify: " + " ".join(str(s.number) for s in request.solutions))
            numbers = (s.number for s in request.solutions)
            scores |= {k: s.last for k, s in zip(numbers, response, strict=True)}
    outcome = result.outcome
    return {
        "strategy": inner.name,
        "generations": n,
        "requests": requests,
        "tree": [
            f"{k}: {said[k]!r}" if k in said else line(solutions[k], scores.get(k))
            for k in sorted(solutions)
        ],
        "candidates": " ".join(str(s.number) for s in result.choice.candidates),
        "chosen": outcome.chosen,
        "answer": outcome.answer,
        "spent": f"{outcome.usage.generations} generations, {outcome.usage.decoded_tokens} tokens, "
        f"{outcome.usage.discarded_tokens} discarded, {outcome.usage.verifier_tokens} verified",
        **({"note": outcome.note} if outcome.note else {}),
    }


def line(solution, score):
    end = "open" if solution.is_open else "cut" if solution.truncated else solution.answer
    value = "unscored" if score is None else f"{score:.6f}"
    return f"{solution.number}: {' '.join(map(str, solution.tokens))} = {end}, {value}"


# Equals the slow reference -----------------------------------------------------------------------


def reference(world, n, m, k):
    """Section 5.2 in words: the final candidates and the answer, one draw at a time."""
    drawn = Counter()

    def sample(text):
        if world.ended(text):
            return text
        drawn[text] += 1
        return text + world.letter(text, drawn[text] - 1)

    def look(text):
        for _ in range(k):
            text += "" if world.ended(text) else world.greedy(text)
        return world.value(text)

    pool = [sample("") for _ in range(n)]
    for _ in range(39):
        ranked = sorted(pool, key=lambda text: best_first(look(text)))
        kept = ranked[: math.ceil(n / m)]
        if all(world.ended(text) for text in kept):
            break
        pool = []
        for text in kept:
            pool += [text] if world.ended(text) else [sample(text) for _ in range(m)]
        pool = pool[:n]
    return pool, weighted_vote(world, [text for text in pool if world.ended(text)])


def best_first(value):
    return math.inf if value is None else -value


def weighted_vote(world, ended):
    votes = {}
    for text in ended:
        if world.answer(text) is not None:
            votes.setdefault(world.answer(text), []).append(world.value(text))
    known = {a: [v for v in values if v is not None] for a, values in votes.items()}
    if not any(known.values()):
        return max(votes, key=lambda a: len(votes[a]), default=None)
    scored = {a: values for a, values in known.items() if values}
    return max(scored, key=lambda a: (sum(scored[a]), sum(scored[a]) / len(scored[a])))


widths = st.sampled_from([1, 2, 3, 4, 5, "sqrt"])


@same_every_time
@given(seed=st.integers(0, 10**6), n=st.integers(1, 16), m=widths, holes=st.sampled_from([0, 0.2]))
@example(seed=0, n=16, m=4, holes=0)
def test_beam_equals_the_slow_reference(seed, n, m, holes):
    world = RandomTree(seed, holes=holes)
    result, _ = search(f"beam(width={m})", n, world)
    pool, answer = reference(world, n, resolved(m, n), k=0)
    assert [word(s) for s in result.choice.candidates] == pool
    assert result.outcome.answer == answer


@same_every_time
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 24),
    m=widths,
    depth=st.integers(0, 3),
    holes=st.sampled_from([0, 0.2]),
)
def test_lookahead_equals_the_slow_reference(seed, n, m, depth, holes):
    world = RandomTree(seed, holes=holes)
    result, _ = search(f"lookahead(depth={depth},width={m})", n, world)
    k = min(depth, n - 1)
    beams = n // (k + 1)
    pool, answer = reference(world, beams, resolved(m, beams), k=k)
    assert [word(s) for s in result.choice.candidates] == pool
    assert result.outcome.answer == answer


def resolved(m, n):
    return round(math.sqrt(n)) if m == "sqrt" else min(m, n)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_lookahead_of_depth_zero_is_beam_search(n):
    for seed in range(20):
        ahead, asked = search("lookahead(depth=0)", n, RandomTree(seed))
        plain, same = search("beam", n, RandomTree(seed))
        assert ahead.choice.candidates == plain.choice.candidates
        assert ahead.outcome.answer == plain.outcome.answer
        assert drawn_from(asked) == drawn_from(same)


# By hand: beam -----------------------------------------------------------------------------------


def test_beam_begins_with_n_and_keeps_n_over_m():
    world = Tree({"": "abcdefgh", **dict.fromkeys("abcdefgh", "xyz")}, {"c": 0.9, "f": 0.8})
    _, asked = search("beam(width=4)", 8, world)
    assert drawn_from(asked) == [[""] * 8, ["c"] * 4 + ["f"] * 4]


def test_beam_ranks_by_the_newest_step_and_not_by_a_sum():
    world = Tree({"": "ab", "a": "c", "b": "d", "ac": "x", "bd": "x"})
    world.values = {"a": 0.9, "b": 0.1, "ac": 0.2, "bd": 0.3}
    _, asked = search("beam(width=1)", 2, world)
    assert drawn_from(asked)[2] == ["bd", "ac"]


@pytest.mark.parametrize(("step", "kept"), [("last", "bd"), ("min", "ac"), ("mean", "ac")])
def test_beam_ranks_by_the_step_aggregation_it_is_given(step, kept):
    world = Tree({"": "ab", "a": "cc", "b": "dd", "ac": "x", "bd": "x"})
    world.values = {"a": 0.9, "b": 0.1, "ac": 0.2, "bd": 0.3}
    log = []
    solve_one(traced(strategy(f"beam(width=1,step={step})"), log), 2, Words(world), Worth(world))
    drawn = [r.prefixes for r, _ in log if isinstance(r, Propose)]
    assert word(drawn[2][0]) == kept


@pytest.mark.parametrize(("step", "answer"), [("last", "q"), ("min", "p")])
def test_beam_chooses_by_the_step_aggregation_it_is_given(step, answer):
    world = Tree({"": "ab", "a": "c", "b": "d"}, {"a": 0.5, "ac": 0.5, "b": 0.1, "bd": 0.6})
    world.answers = {"ac": "p", "bd": "q"}
    result, _ = search(f"beam(width=1,step={step})", 2, world)
    assert result.outcome.answer == answer


def test_beam_width_that_does_not_divide_trims_the_worst_beam_kept():
    world = Tree({"": "abcdef", **dict.fromkeys("abcdef", "xyz")}, {"b": 0.7, "e": 0.9})
    _, asked = search("beam(width=4)", 6, world)
    assert drawn_from(asked)[1] == ["e"] * 4 + ["b"] * 2


def test_beam_ties_go_to_the_earliest_draw():
    world = Tree({"": "abcd", **dict.fromkeys("abcd", "x")})
    _, asked = search("beam(width=2)", 4, world)
    assert drawn_from(asked)[1] == ["a", "a", "b", "b"]


def test_beam_that_ended_keeps_its_place_and_its_score():
    # `e` has ended with 0.6: it outlives `p` and is overtaken by nothing worse.
    world = Tree({"": "epqr", "p": "s", "q": "s", "r": "s"})
    world.values = {"e": 0.6, "p": 0.9, "q": 0.2, "r": 0.1, "ps": 0.5}
    result, asked = search("beam(width=2)", 4, world)
    assert drawn_from(asked)[1] == ["p", "p", "e"]
    assert [word(s) for s in result.choice.candidates] == ["ps", "ps", "e"]
    assert result.outcome.answer == "ps"  # two votes of 0.5 against one of 0.6


def test_beam_that_ended_gives_way_to_better_ones_that_come_later():
    world = Tree({"": "epqr", "p": "st", "q": "st", "r": "st", "ps": "x", "pt": "x"})
    world.values = {"e": 0.6, "p": 0.9, "ps": 0.8, "pt": 0.7}
    result, asked = search("beam(width=2)", 4, world)
    assert drawn_from(asked) == [[""] * 4, ["p", "p", "e"], ["ps", "ps", "pt", "pt"]]
    assert "e" not in [word(s) for s in result.choice.candidates]


def test_beam_returns_the_best_and_not_the_first_to_end():
    world = Tree({"": "efgp", "p": "s", "ps": "t"}, {"e": 0.3, "f": 0.2, "g": 0.1, "p": 0.8})
    world.values |= {"ps": 0.9, "pst": 0.95}
    result, _ = search("beam(width=2,answer=max)", 4, world)
    assert result.outcome.answer == "pst"


def test_beam_goes_on_while_one_of_those_kept_is_open():
    world = Tree({"": "ep", "p": "q", "pq": "r"}, {"e": 0.9, "p": 0.1})
    result, asked = search("beam(width=1)", 2, world)
    assert drawn_from(asked) == [["", ""], ["e", "p"], ["e", "pq"]]
    assert {word(s) for s in result.choice.candidates} == {"e", "pqr"}


def test_a_beam_without_a_score_is_kept_last():
    world = Tree({"": "abcd", **dict.fromkeys("abcd", "x")}, {"a": None, "b": 0.0, "c": None})
    _, asked = search("beam(width=2)", 4, world)
    assert drawn_from(asked)[1] == ["d", "d", "b", "b"]


def test_beam_of_one_is_a_single_sample():
    world = Tree({"": "ab", "a": "cd", "ac": "ef"})
    result, asked = search("beam", 1, world)
    assert drawn_from(asked) == [[""], ["a"], ["ac"]]
    assert result.outcome.answer == "ace"


def test_beams_cut_off_by_the_last_round_are_drawn_to_their_end():
    world = Tree({"": "ab", "a": "c", "b": "d", "ac": "e", "bd": "f", "ace": "g", "bdf": "h"})
    result, asked = search("beam(width=1,rounds=2)", 2, world)
    assert [kind for kind, _ in asked] == ["draw", "verify"] * 3
    assert {word(s) for s in result.choice.candidates} == {"aceg", "bdfh"}
    assert len(result.choice.scores[0].steps) == 4


def test_beams_still_open_have_no_vote_where_another_has_ended():
    world = Tree({"": "ab", "a": "c", "ac": "d"}, {"a": 0.9, "ac": 0.9, "b": 0.1})
    result, _ = search("beam(width=1,rounds=2)", 2, world)
    assert [s.is_open for s in result.choice.candidates] == [True, False]
    assert result.outcome.answer == "b"


def test_a_cut_beam_is_not_finished():
    world = Tree({"": "a", "a": "!b", "ab": "c"}, {"a!": 0.9})
    result, asked = search("beam(width=1)", 2, world)
    assert [word(s) for s in result.choice.candidates] == ["abc", "a!"]
    assert result.outcome.answer == "abc"
    assert drawn_from(asked)[2] == ["ab", "a!"]  # asked for, given back, and counted nowhere
    assert result.outcome.usage.decoded_tokens == 5


# By hand: lookahead ------------------------------------------------------------------------------


def reversing():
    """`a` looks better than `b` until both are continued greedily."""
    world = Tree({"": "ab", "a": "wv", "b": "zy"})
    world.values = {"a": 0.9, "b": 0.2, "aw": 0.1, "bz": 0.8}
    return world


def test_lookahead_reverses_the_order_that_beam_sees():
    _, beam = search("beam(width=2)", 2, reversing())
    _, ahead = search("lookahead(depth=1,width=2)", 4, reversing())
    assert drawn_from(beam) == [["", ""], ["a", "a"]]
    assert drawn_from(ahead) == [["", ""], ["b", "b"]]


def test_lookahead_ranks_on_the_end_of_the_rollout_and_goes_on_from_the_prefix():
    result, asked = search("lookahead(depth=1,width=2)", 4, reversing())
    assert asked[:4] == [
        ("draw", ["", ""]),
        ("look", ["a", "b"]),
        ("verify", ["aw", "bz"]),
        ("draw", ["b", "b"]),
    ]
    assert [word(s) for s in result.choice.candidates] == ["bz", "by"]


def test_lookahead_reads_as_many_steps_ahead_as_it_says():
    world = Tree({"": "ab", "a": "c", "b": "d", "ac": "e", "bd": "f", "ace": "g", "bdf": "h"})
    for depth, seen in ((1, ["ac", "bd"]), (2, ["ace", "bdf"]), (3, ["aceg", "bdfh"])):
        _, asked = search(f"lookahead(depth={depth})", 2 * (depth + 1), world)
        assert asked[2] == ("verify", seen)


def test_lookahead_stops_at_the_end_of_a_solution():
    world = Tree({"": "ab", "a": "c"}, {"ac": 0.3, "b": 0.4})
    result, asked = search("lookahead(depth=3,width=1)", 8, world)
    assert asked[2] == ("verify", ["ac", "b"])
    assert {word(s) for s in result.choice.candidates} == {"ac", "b"}


def test_lookahead_chooses_by_the_solutions_own_scores():
    # The rollout that ranked a candidate is thrown away: the vote goes by its own last step.
    world = Tree({"": "ab", "a": "c", "b": "d"}, {"ac": 0.9, "bd": 0.2, "a": 0.1, "b": 0.1})
    result, _ = search("lookahead(depth=1,width=1,answer=max)", 4, world)
    assert [scores.steps for scores in result.choice.scores] == [(0.1, 0.9), (0.1, 0.2)]
    assert result.outcome.answer == "ac"


def test_lookahead_of_a_budget_too_small_looks_less_far():
    world = Tree({"": "a", "a": "b", "ab": "c", "abc": "d", "abcd": "e"})
    _, asked = search("lookahead(depth=3)", 3, world)
    assert asked[:3] == [("draw", [""]), ("look", ["a"]), ("verify", ["abc"])]
    _, asked = search("lookahead(depth=3)", 1, world)
    assert {kind for kind, _ in asked} == {"draw", "verify"}


def test_lookahead_rollouts_are_greedy():
    world = Tree({"": "a", "a": "bc", "ab": "d", "ac": "d"}, likeliest={"a": "c"})
    _, asked = search("lookahead(depth=1)", 4, world)
    assert asked[2] == ("verify", ["ac", "ac"])


# Best of n and majority --------------------------------------------------------------------------


def test_best_of_n_weighted_and_plain_differ_where_two_agree():
    world = Tree({"": "abb"}, {"a": 0.8, "b": 0.5})
    assert search("best_of_n", 3, world)[0].outcome.answer == "b"
    assert search("best_of_n(answer=max)", 3, world)[0].outcome.answer == "a"


def test_best_of_n_asks_whoever_is_named():
    asked = strategy("best_of_n(by=larger)")
    assert asked.about.roles == {"larger", "verifier"}
    # A pool of samples is of the proposer, so nothing is read from it.
    assert asked.about.reading is None and strategy("best_of_n").about.reading is not None
    request = next(asked.start(Problem("p", "a"), Budget(2)))
    assert isinstance(request, Propose) and request.role == "larger"
    assert len(request.prefixes) == 2


def test_majority_asks_no_verifier():
    result, asked = search("majority", 3, Tree({"": "abb"}))
    assert result.outcome.answer == "b"
    assert asked == [("draw", ["", "", ""])]


# Options -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "beam(width=0)",
        "beam(rounds=0)",
        "lookahead(rounds=0)",
        "lookahead(depth=-1)",
        "lookahead(width=0)",
        "beam(rounds=-3)",
    ],
)
def test_a_search_refuses_what_it_cannot_do(text):
    with pytest.raises(UsageError, match=r"below 1|at least 1|below 0"):
        solve_one(text, 4, Chain(3), Patchy(0))


def test_a_square_root_width_is_rounded():
    for n, kept in ((2, 2), (4, 2), (6, 3), (7, 3), (9, 3), (16, 4), (64, 8)):
        proposer = Counted(Chain(2))
        solve_one("beam(width=sqrt)", n, proposer, Patchy(0))
        parents = {draw.prefix.number for draw in proposer.calls[1]}
        assert len(parents) == kept
