"""Searches beside the paper's do what theirs say: slow references, limits, worlds by hand."""

import gc
import math
import random
import weakref
from collections import Counter
from dataclasses import replace

import pytest
from contract import (
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
from hypothesis import given
from hypothesis import strategies as st

from outthink.errors import UsageError
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.search import strategy
from outthink.search.particles import Resampling, resampled
from outthink.search.rebase import shares
from outthink.types import Budget, Problem, Propose, Scores, State

seeds = st.integers(0, 10**6)
rewards = st.lists(st.floats(0, 1), min_size=1, max_size=12)


class Level(RandomTree):
    """A random tree in which every solution has four steps."""

    def ended(self, text):
        return len(text) >= 4


def candidates(result):
    return [word(solution) for solution in result.choice.candidates]


class Drawing:
    """Draws from a world as `Words` does, one at a time."""

    def __init__(self, world):
        self.world = world
        self.drawn = Counter()

    def __call__(self, text):
        if self.world.ended(text):
            return text
        self.drawn[text] += 1
        return text + self.world.letter(text, self.drawn[text] - 1)


# DVTS --------------------------------------------------------------------------------------------


@same_every_time
@given(seed=seeds, n=st.integers(1, 12))
def test_dvts_of_one_subtree_is_a_beam(seed, n):
    ours, asked = search(f"dvts(width={n})", n, RandomTree(seed, holes=0.2))
    beam, same = search(f"beam(width={n})", n, RandomTree(seed, holes=0.2))
    assert asked == same
    assert (candidates(ours), ours.outcome.answer) == (candidates(beam), beam.outcome.answer)


@same_every_time
@given(seed=seeds, n=st.integers(1, 16), m=st.integers(1, 5))
def test_dvts_keeps_the_best_of_every_subtree(seed, n, m):
    world = RandomTree(seed)
    result, _ = search(f"dvts(width={m})", n, world)
    sample = Drawing(world)
    trees = [[None] * min(m, n - first) for first in range(0, n, m)]
    sizes = [len(tree) for tree in trees]
    trees = [[sample("") for _ in tree] for tree in trees]
    while True:
        kept = [max(tree, key=world.value) for tree in trees]
        if all(world.ended(text) for text in kept):
            break
        trees = [
            [text] if world.ended(text) else [sample(text) for _ in range(size)]
            for text, size in zip(kept, sizes, strict=True)
        ]
    assert candidates(result) == [text for tree in trees for text in tree]


def test_a_weak_subtree_lives_on_in_dvts_and_dies_in_a_beam():
    world = Tree({"": "abcd", **dict.fromkeys("abcd", "xy")}, {"a": 0.9, "b": 0.8})
    _, ours = search("dvts(width=2)", 4, world)
    _, beams = search("beam(width=2)", 4, world)
    assert drawn_from(ours)[1] == ["a", "a", "c", "c"]
    assert drawn_from(beams)[1] == ["a", "a", "b", "b"]


# REBASE ------------------------------------------------------------------------------------------


@same_every_time
@given(seed=seeds, n=st.integers(1, 12))
def test_rebase_at_temperature_0_is_a_beam_that_keeps_one(seed, n):
    ours, asked = search("rebase(temperature=0.0)", n, Level(seed))
    beam, same = search(f"beam(width={n})", n, Level(seed))
    assert drawn_from(asked) == drawn_from(same)
    assert (candidates(ours), ours.outcome.answer) == (candidates(beam), beam.outcome.answer)


@same_every_time
@given(rewards=rewards, total=st.integers(0, 64), temperature=st.floats(0.05, 5))
def test_children_are_shared_by_the_softmax_of_rewards(rewards, total, temperature):
    counts = shares(rewards, total, temperature)
    weights = [math.exp(reward / temperature) for reward in rewards]
    assert sum(counts) == total
    for count, weight in zip(counts, weights, strict=True):
        assert abs(count - total * weight / sum(weights)) < 1 + 1e-6


def test_a_finished_solution_takes_its_place_from_the_children_of_others():
    # "a" ends at once; the other three of four places go to what is open.
    world = Tree({"": "abbb", "b": "xyz"}, {"a": 0.1, "b": 0.9})
    result, asked = search("rebase", 4, world)
    assert drawn_from(asked) == [[""] * 4, ["b"] * 3]
    assert candidates(result) == ["a", "bx", "by", "bz"]


# Particle filtering ------------------------------------------------------------------------------


@same_every_time
@given(seed=seeds, n=st.integers(1, 12))
def test_particles_of_equal_weight_are_sampling(seed, n):
    world = Level(seed)
    world.value = lambda text: 0.7
    result, asked = search("particles", n, world)
    sample = Drawing(world)
    pool = [sample("") for _ in range(n)]
    while not all(map(world.ended, pool)):
        pool = [sample(text) for text in pool]
    assert candidates(result) == pool
    assert all(len(words) == n for words in drawn_from(asked))


@same_every_time
@given(weights=st.lists(st.floats(0.01, 10), min_size=1, max_size=9), n=st.integers(1, 30))
def test_systematic_resampling_is_within_one_of_the_expected_number(weights, n):
    kept = Counter(resampled(weights, n, Resampling.SYSTEMATIC, random.Random(n)))
    assert kept.total() == n
    for i, weight in enumerate(weights):
        assert abs(kept[i] - n * weight / sum(weights)) < 1 + 1e-6


@pytest.mark.parametrize("how", Resampling)
def test_survivors_are_in_proportion_to_weights_on_average(how):
    weights, rng = [0.5, 0.1, 0.0, 0.4], random.Random(1)
    kept = Counter(i for _ in range(4000) for i in resampled(weights, 5, how, rng))
    assert kept[2] == 0
    for i in (0, 1, 3):  # Four standard errors of the independent draws; systematic has fewer.
        expected = 20000 * weights[i]
        assert abs(kept[i] - expected) < 4 * math.sqrt(expected * (1 - weights[i]))


def test_a_particle_that_was_cut_off_does_not_survive():
    world = Tree({"": "!b", "b": "xy"}, {"b": 0.1})
    _, asked = search("particles", 4, world)
    assert drawn_from(asked)[1] == ["b"] * 4


def test_a_hot_filter_lets_more_survive_than_a_cold_one():
    values = dict(zip("abcdefgh", (0.9, 0.8, 0.5, 0.5, 0.4, 0.3, 0.2, 0.1), strict=True))
    world = Tree({"": "abcdefgh", **dict.fromkeys("abcdefgh", "xy")}, values)

    def survivors(temperature):
        _, asked = search(f"particles(temperature={temperature})", 8, world)
        return len(set(drawn_from(asked)[1]))

    assert survivors(0.1) == 1
    assert survivors(0.1) < survivors(1.0) < survivors(100.0) == 8


def test_other_draws_are_resampled_otherwise_and_the_same_draws_alike():
    def trace(seed):
        log = []
        engines = ScriptedProposer(5), ScriptedVerifier()
        way = traced(strategy("particles(resampling=multinomial)"), log)
        solve_one(way, 8, *engines, of=[Problem("p", "problem", "right")], seed=seed)
        return [[s.number for s in r.prefixes] for r, _ in log if isinstance(r, Propose)][1]

    assert trace(1) == trace(1)
    assert len({tuple(trace(seed)) for seed in range(5)}) > 1


# Particle Gibbs ----------------------------------------------------------------------------------


@same_every_time
@given(seed=seeds, n=st.integers(1, 12), how=st.sampled_from(Resampling))
def test_gibbs_of_one_pass_is_particle_filtering(seed, n, how):
    world = RandomTree(seed, holes=0.2)
    ours, asked = search(f"gibbs(passes=1,resampling={how})", n, world)
    filtered, same = search(f"particles(resampling={how})", n, world)
    assert asked == same
    assert (ours.outcome.answer, ours.choice) == (filtered.outcome.answer, filtered.choice)
    assert ours.outcome.usage == replace(filtered.outcome.usage, seconds=ours.outcome.usage.seconds)


def test_a_second_pass_goes_on_from_the_path_that_the_first_kept():
    # Of the second pass's own first steps none is worth anything; the kept path is.
    values = {"a": 0.999, "b": 0.0, "c": 0.0, "d": 0.0}
    world = Tree({"": "abcd", **dict.fromkeys("abcd", "wxyz")}, values)
    result, asked = search("gibbs", 4, world)
    assert drawn_from(asked) == [[""] * 4, ["a"] * 2, ["a"] * 2]
    assert candidates(result) == ["aw", "ax", "ay", "az"]
    assert result.outcome.usage.generations == 4


def test_a_kept_path_is_never_drawn_again_and_votes_once():
    values = {"a": 0.999, "b": 0.0, "c": 0.999, "d": 0.999, "aw": 0.9, "ax": 0.9}
    world = Tree({"": "abcd", **dict.fromkeys("abcd", "wxyz")}, values)
    result, asked = search("gibbs(passes=4)", 4, world)
    assert len(drawn_from(asked)) == 5  # the first steps, then one row a pass
    assert len(candidates(result)) == 4
    assert result.outcome.usage.generations == 4


def test_gibbs_without_a_pass_is_refused():
    with pytest.raises(UsageError, match="passes=0"):
        strategy("gibbs(passes=0)")


# Trees grown one prefix at a time ----------------------------------------------------------------


@same_every_time
@given(seed=seeds, n=st.integers(1, 12), m=st.integers(1, 4))
def test_best_first_equals_the_slow_reference(seed, n, m):
    world, width = RandomTree(seed), min(m, n)
    result, asked = search(f"best_first(width={m})", n, world)
    sample = Drawing(world)
    nodes = [sample("") for _ in range(n)]
    grown, rows, order = set(), Counter({1: n}), []
    while True:
        free = [
            i
            for i, text in enumerate(nodes)
            if i not in grown and not world.ended(text) and rows[len(text) + 1] < n
        ]
        if not free:
            break
        i = max(free, key=lambda i: (world.value(nodes[i]), -i))
        count = min(width, n - rows[len(nodes[i]) + 1])
        rows[len(nodes[i]) + 1] += count
        grown.add(i)
        order.append([nodes[i]] * count)
        nodes += [sample(nodes[i]) for _ in range(count)]
    assert drawn_from(asked)[1:] == order
    assert candidates(result) == [text for i, text in enumerate(nodes) if i not in grown]


@same_every_time
@given(seed=seeds, n=st.integers(1, 10), m=st.integers(1, 4), c=st.sampled_from([0.0, 0.3, 2.0]))
def test_mcts_equals_the_slow_reference(seed, n, m, c):
    world, width = RandomTree(seed), min(m, n)
    result, asked = search(f"mcts(width={m},c={c})", n, world)
    sample = Drawing(world)
    nodes = [(sample(""), None) for _ in range(n)]
    rows, order = Counter({1: n}), []

    def children(i):
        return [k for k, (_, parent) in enumerate(nodes) if parent == i]

    def subtree(i):
        return [i, *(k for child in children(i) for k in subtree(child))]

    def grows(i):
        text = nodes[i][0]
        return not children(i) and not world.ended(text) and rows[len(text) + 1] < n

    def puct(i, siblings):
        mine = subtree(i)
        q = sum(world.value(nodes[k][0]) for k in mine) / len(mine)
        visits = sum(len(subtree(k)) for k in siblings)
        return q + c * math.sqrt(visits) / len(siblings) / (1 + len(mine))

    while True:
        at = None
        while at is None or children(at):
            siblings = children(at)
            alive = [k for k in siblings if any(map(grows, subtree(k)))]
            if not alive:
                break
            at = max(alive, key=lambda k: (round(puct(k, siblings), 9), -k))
        if at is None:
            break
        text = nodes[at][0]
        count = min(width, n - rows[len(text) + 1])
        rows[len(text) + 1] += count
        order.append([text] * count)
        nodes += [(sample(text), at) for _ in range(count)]
    assert drawn_from(asked)[1:] == order
    assert sorted(candidates(result)) == sorted(
        text for i, (text, _) in enumerate(nodes) if not children(i)
    )


@pytest.mark.parametrize("name", ("best_first", "mcts"))
def test_a_tree_keeps_what_engines_hold_for_prefixes_that_may_grow_alone(name):
    n, living = 16, weakref.WeakSet()
    running = strategy(name).start(Problem("p", "?", None), Budget(n))
    request, most = next(running), 0
    gc.disable()  # nothing may wait for it: a tree holds gigabytes
    try:
        while True:
            if isinstance(request, Propose):
                answer = [stepped(prefix, living) for prefix in request.prefixes]
            else:
                answer = [Scores((0.5,) * len(one.step_ends)) for one in request.solutions]
            request = running.send(answer)
            most = max(most, len(living))
    except StopIteration as stop:
        assert all(one.state is None for one in stop.value.candidates if one.finished)
    finally:
        gc.enable()
    del request, answer, running
    depths = 6
    assert n <= most < n * depths  # every depth but the last was drawn in full
    assert not living


def stepped(prefix, living):
    """A further step, of six; an open one has something that an engine has kept for it."""
    steps = len(prefix.step_ends) + 1
    kept = Kept()
    if steps < 6:
        living.add(kept)
    return replace(
        prefix,
        tokens=(*prefix.tokens, steps),
        step_ends=(*prefix.step_ends, steps),
        finished=steps == 6,
        answer="1" if steps == 6 else None,
        state=State(proposer=kept) if steps < 6 else None,
    )


class Kept:
    """What an engine holds for a prefix."""


def test_mcts_goes_where_little_was_seen_as_c_grows():
    values = {"a": 0.9, "b": 0.4} | {a + b: 0.6 for a in "ab" for b in "xy"}
    steps = {"": "ab", "a": "xy", "b": "xy"} | {a + b: "uv" for a in "ab" for b in "xy"}
    _, greedy = search("mcts(width=1,c=0.0)", 2, Tree(steps, values))
    _, curious = search("mcts(width=1,c=9.0)", 2, Tree(steps, values))
    assert drawn_from(greedy)[1:3] == [["a"], ["ax"]]
    assert drawn_from(curious)[1:3] == [["a"], ["b"]]


# Whole answers -----------------------------------------------------------------------------------


def revised(name, n, world):
    """Of every draw, the answers that it was shown."""
    log = []
    solve_one(traced(strategy(name), log), n, Words(world), Worth(world))
    return [
        ["".join(map(chr, tokens)) for tokens in request.prefixes[0].history]
        for request, _ in log
        if isinstance(request, Propose)
    ]


def test_ucb_draws_anew_first_and_then_revises_the_best_answer():
    # The first answer is bad and the second good: c = 0 stays with what paid best.
    world = Tree({"": "abcdef"}, {"a": 0.1, "b": 0.9, "c": 0.9, "d": 0.9, "e": 0.9, "f": 0.9})
    assert revised("ucb(c=0.0)", 4, world)[:2] == [[], []]
    assert revised("ucb(c=0.0)", 4, world)[2:] == [["b"], ["b"]]


def test_ucb_with_a_large_c_pulls_every_arm_in_turn():
    world = Tree({"": "ab"}, {"a": 0.5, "b": 0.5}, {"a": "x", "b": "x"})
    shown = revised("ucb(c=50.0)", 9, world)
    assert abs(sum(not some for some in shown) - 4.5) <= 1


def test_adaptive_branching_goes_deeper_where_that_pays_and_wider_where_not():
    def deeper(worth):
        world = Tree({"": "abcdefghijklmnop"}, dict.fromkeys("abcdefghijklmnop", worth))
        return sum(bool(some) for some in revised("ab_mcts", 16, world))

    # A score of 1 counts for both arms: with every score alike, both are taken.
    assert 0 < deeper(1.0) < 15
    assert 0 < deeper(0.0) < 15


def test_a_revision_of_adaptive_branching_sees_the_path_that_leads_to_it():
    world = Tree({"": "abcdefghijklmnop"}, {})
    shown = revised("ab_mcts(window=2)", 16, world)
    assert all(len(some) <= 2 for some in shown)
    assert max(map(len, shown)) == 2
    letters = "abcdefghijklmnop"
    paths = {letters[at]: [*some, letters[at]][-2:] for at, some in enumerate(shown)}
    # What a revision sees is what its predecessor saw, and that predecessor.
    assert all(paths[some[-1]] == some[-2:] for some in shown if len(some) == 2)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("dvts(rounds=0)", "rounds 0"),
        ("dvts(width=0)", "width 0"),
        ("rebase(temperature=-1.0)", "temperature=-1"),
        ("particles(temperature=0.0)", "temperature=0"),
        ("particles(rounds=0)", "rounds=0"),
        ("best_first(rounds=0)", "rounds 0"),
        ("mcts(c=-1.0)", "c=-1"),
        ("ucb(c=-1.0)", "c=-1"),
    ],
)
def test_a_tree_search_refuses_what_it_cannot_do(text, seen):
    with pytest.raises(UsageError, match=seen):
        search(text, 4, Tree({"": "ab"}))
