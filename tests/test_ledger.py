"""What was spent, by hand for small searches and by adding up the tree for large ones."""

from collections import Counter

import pytest
from contract import (
    PROMPT_TOKENS,
    SPENDS,
    Chain,
    Counted,
    Patchy,
    RandomTree,
    Tree,
    Words,
    Worth,
    same_every_time,
    solve_one,
    traced,
)
from hypothesis import given
from hypothesis import strategies as st

from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.search import strategy
from outthink.types import (
    STEP,
    Ask,
    Budget,
    Choice,
    Propose,
    Purpose,
    Scores,
    Solution,
    Strategy,
    Usage,
    Verified,
)

# By hand. A prompt is 10 tokens, a letter one; what was read of a prefix is never read again. -----


def usage_of(name, n, world):
    return solve_one(name, n, Words(world), Worth(world)).outcome.usage


def test_majority_reads_the_prompt_for_every_sample():
    assert usage_of("majority", 3, Tree({"": "abb", "a": "c"})) == Usage(
        generations=3,
        prompt_tokens=30,
        decoded_tokens=2 + 1 + 1,
        prompt_attended=3 * 55,  # 1 + 2 + ... + 10
        decoded_attended=(11 + 12) + 11 + 11,
        kv_reads=(1 + 2) + 1 + 1 + 13,  # 10 * 4 reads of the prompt, shared by three rows
    )


def test_best_of_n_chooses_from_all_it_drew_and_discards_nothing():
    assert usage_of("best_of_n", 3, Tree({"": "abb", "a": "c"})) == Usage(
        generations=3,
        prompt_tokens=30,
        decoded_tokens=4,
        verifier_tokens=4,
        prompt_attended=3 * 55,
        decoded_attended=45,
        verifier_attended=(1 + 2) + 1 + 1,
        kv_reads=18,
        verifier_calls=3,
    )


def test_beam_discards_what_no_candidate_grew_from():
    world = Tree({"": "abcd", **dict.fromkeys("abcd", "xy")}, {"b": 0.9, "c": 0.8})
    assert usage_of("beam(width=2)", 4, world) == Usage(
        generations=4,
        prompt_tokens=4 * 10,
        cached_tokens=4 * (10 + 1),
        decoded_tokens=4 + 4,
        discarded_tokens=2,  # a and d
        verifier_tokens=4 + 4,
        verifier_cached_tokens=4,
        prompt_attended=4 * 55,
        decoded_attended=4 * 11 + 4 * 12,
        verifier_attended=4 * 1 + 4 * 2,
        kv_reads=(4 * 1 + 10) + (4 * 2 + 10),
        verifier_calls=4 + 4,
    )


def test_beam_pays_once_for_a_beam_that_ended():
    # `e` ends in the first round and is kept through the second: five draws, not six.
    world = Tree({"": "ep", "p": "q", "pq": "r"}, {"e": 0.9})
    assert usage_of("beam(width=1)", 2, world) == Usage(
        generations=2,
        prompt_tokens=20,
        cached_tokens=11 + 12,
        decoded_tokens=4,
        verifier_tokens=4,
        verifier_cached_tokens=1 + 2,
        prompt_attended=2 * 55,
        decoded_attended=2 * 11 + 12 + 13,
        verifier_attended=2 * 1 + 2 + 3,
        kv_reads=(2 * 1 + 10) + (2 + 10) + (3 + 10),
        verifier_calls=2 + 1 + 1,
    )


def test_lookahead_pays_for_rollouts_and_throws_them_away():
    world = Tree({"": "ab", "a": "wv", "b": "zy"}, {"aw": 0.1, "bz": 0.8})
    assert usage_of("lookahead(width=2)", 4, world) == Usage(
        generations=4,
        prompt_tokens=2 * 10,
        cached_tokens=2 * 11 + 2 * 11,  # two rollouts, two children of `b`
        decoded_tokens=2 + 2 + 2,
        discarded_tokens=3,  # `a`, and the last letter of both rollouts
        verifier_tokens=2 * 2 + 2 * 2,
        prompt_attended=2 * 55,
        decoded_attended=2 * 11 + 2 * 12 + 2 * 12,
        verifier_attended=2 * (1 + 2) + 2 * (1 + 2),
        kv_reads=(2 * 1 + 10) + (2 * 2 + 10) + (2 * 2 + 10),
        verifier_calls=2 + 2,
    )


def test_tokens_past_the_length_limit_are_paid_for():
    usage = usage_of("best_of_n", 2, Tree({"": "!a"}))
    assert (usage.generations, usage.decoded_tokens, usage.discarded_tokens) == (2, 2, 0)


def test_a_solution_the_verifier_could_not_score_costs_no_verifier_tokens():
    result = solve_one("best_of_n", 4, Chain(3), ScriptedVerifier(silence=1.0))
    assert (result.outcome.usage.verifier_tokens, result.outcome.usage.generations) == (0, 4)


# Generations -------------------------------------------------------------------------------------


def test_a_search_cut_off_by_its_rounds_ends_its_beams_for_nothing_more():
    # The steps to come belong to generations that are already counted.
    for rounds in (1, 2, 5):
        result = solve_one(f"beam(rounds={rounds})", 8, Chain(4), Patchy(0.0))
        assert result.outcome.usage.generations == 8
        assert result.outcome.answer is not None


def test_rollouts_are_generations_even_where_they_end_early():
    usage = usage_of("lookahead(depth=3)", 8, Tree({"": "ab"}))
    assert (usage.generations, usage.decoded_tokens) == (8, 2)


def test_whole_draws_add_up_over_requests():
    def start(problem, budget):
        first = yield Propose([Solution.start(problem)] * 2)
        then = yield Propose([Solution.start(problem)] * 3)
        return Choice(None, None, (*first, *then))

    result = solve_one(Strategy("twice", start), 5, Chain(2))
    assert result.outcome.usage.generations == 5


def test_completing_one_of_two_prefixes_is_still_two_generations():
    def start(problem, budget):
        one, two = yield Propose([Solution.start(problem)] * 2, until=STEP)
        (whole,) = yield Propose([one])
        return Choice(whole.answer, 0, (whole, two))

    usage = solve_one(Strategy("completes one", start), 2, Chain(3)).outcome.usage
    assert (usage.generations, usage.decoded_tokens, usage.discarded_tokens) == (2, 4, 0)


def test_a_draw_from_a_prefix_the_search_did_not_draw_is_a_generation():
    # A first draw may well begin past the start: a hint, or an earlier attempt.
    def start(problem, budget):
        hint = Solution(problem, (1, 2), (1, 2))
        drawn = yield Propose([hint] * 3)
        return Choice(drawn[0].answer, 0, tuple(drawn))

    assert solve_one(Strategy("hinted", start), 3, Chain(4)).outcome.usage.generations == 3


def four_samples_and_two_step_searches(problem, budget):
    def by_steps():
        drawn = yield Propose([Solution.start(problem)] * 4, until=STEP)
        while any(solution.is_open for solution in drawn):
            drawn = yield Propose(drawn, until=STEP)
        return drawn

    samples = yield Propose([Solution.start(problem)] * 4)
    first = yield from by_steps()
    second = yield from by_steps()
    return Choice(None, None, (*samples, *first, *second))


def test_costs_add_of_four_samples_and_two_step_searches_of_four():
    made = Strategy("mixed", four_samples_and_two_step_searches)
    assert solve_one(made, 12, Chain(5)).outcome.usage.generations == 12


def test_a_greedy_step_search_is_no_rollout():
    def start(problem, budget):
        drawn = [Solution.start(problem)] * 3
        while any(solution.is_open for solution in drawn):
            drawn = yield Propose(drawn, until=2, temperature=0.0)
        return Choice(None, None, tuple(drawn))

    assert solve_one(Strategy("greedy steps", start), 3, Chain(6)).outcome.usage.generations == 3


def test_rollouts_cost_their_steps_at_any_temperature():
    # Three prefixes, each followed two steps ahead: 3 + 3 * 2 at the depth of the first step.
    def start(problem, budget):
        drawn = yield Propose([Solution.start(problem)] * 3, until=STEP)
        yield Propose(drawn, until=2, temperature=1.0, purpose=Purpose.ROLLOUT)
        return Choice(None, None, tuple(drawn))

    assert solve_one(Strategy("sampled", start), 9, Chain(6)).outcome.usage.generations == 9


def in_a_row(parts):
    """A search that runs these one after the other, and chooses from all of their candidates."""

    def start(problem, budget):
        candidates = ()
        for part, size in parts:
            inner = yield from part.start(problem, Budget(size))
            candidates += inner.candidates
        return Choice(None, None, candidates)

    name = " then ".join(f"{part.name} at {size}" for part, size in parts)
    return Strategy(name, start, {"parts": parts})


def greedy_steps(problem, budget):
    """Goes on greedily, a step at a time, from sampled first steps."""
    drawn = yield Propose([Solution.start(problem)] * budget.generations, until=STEP)
    for _ in range(3):
        drawn = yield Propose(drawn, until=STEP, temperature=0.0)
    return Choice(None, None, tuple(drawn))


LEAVES = st.tuples(
    st.sampled_from([*map(strategy, SPENDS), Strategy("greedy steps", greedy_steps)]),
    st.integers(1, 6),
)
COMPOSITIONS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda parts: (in_a_row(parts), 1)),
    max_leaves=6,
)


def generations_by_the_tree(log):
    """Slow reference: every solution looks for the root of its tree, and its depth, anew."""
    parents, begun, rows, rollouts = {}, {}, [], []
    for at, (request, drawn) in enumerate(log):
        if isinstance(request, Ask) and not request.purpose.is_critique:
            for reply in drawn:
                parents[reply.solution.number] = None
                begun[reply.solution.number] = (at, False)
                rows.append(reply.solution.number)
        if not isinstance(request, Propose):
            continue
        if request.purpose is Purpose.ROLLOUT:
            rollouts.append(request)
            continue
        for prefix, solution in zip(request.prefixes, drawn, strict=True):
            if prefix.is_open:
                parents[solution.number] = prefix.number if prefix.tokens else None
                begun[solution.number] = (at, request.purpose is Purpose.STEP)
                rows.append(solution.number)

    def place(number):
        depth = 0
        while parents[number] is not None:
            number, depth = parents[number], depth + 1
        return (*begun[number], depth)

    widths = Counter(place(number) for number in rows)
    for request in rollouts:
        judged = [place(prefix.number) for prefix in request.prefixes]
        for root in {tuple(root) for *root, _ in judged}:
            depths = [depth for *other, depth in judged if tuple(other) == root]
            # They are of the round that drew the newest of the prefixes they judge.
            widths[(*root, max(depths))] += len(depths) * request.until
    whole = sum(count for (_, by_steps, _), count in widths.items() if not by_steps)
    trees = {}
    for (at, by_steps, _), count in widths.items():
        if by_steps:
            trees[at] = max(trees.get(at, 0), count)
    return whole + sum(trees.values())


@same_every_time
@given(seed=st.integers(0, 10**6), composed=COMPOSITIONS)
def test_costs_add_of_any_composition_in_any_world(seed, composed):
    # A world hands out its letters in order: the parts, run alone one after the other, are given
    # what they were given as parts.
    made, size = composed
    world, log = RandomTree(seed), []
    whole = solve_one(traced(made, log), size, Words(world), Worth(world)).outcome.usage
    proposer, verifier = Words(world), Worth(world)
    parts = [solve_one(part, n, proposer, verifier).outcome.usage for part, n in leaves(made, size)]
    assert whole == sum(parts, Usage())
    assert whole.generations == generations_by_the_tree(log)


def leaves(made, size):
    """The searches that a composition is made of, in order, with their budgets."""
    parts = made.options.get("parts")
    if parts is None:
        return [(made, size)]
    return [leaf for part, n in parts for leaf in leaves(part, n)]


# Tokens are those of the tree --------------------------------------------------------------------


def tree_of(log):
    """(parent, own tokens) of every solution drawn, by number."""
    tree = {
        drawn.number: (prefix.number, len(drawn.tokens) - len(prefix.tokens))
        for request, response in log
        if isinstance(request, Propose)
        for prefix, drawn in zip(request.prefixes, response, strict=True)
        if prefix.is_open
    }
    return tree | {
        solution.number: (shown[0].number, len(solution.tokens))
        for request, shown, solution in in_words(log)
        if not request.purpose.is_critique
    }


def in_words(log):
    """The request, what is shown and what was written, of every row that was asked in words."""
    return [
        (request, shown, reply.solution)
        for request, response in log
        if isinstance(request, Ask)
        for shown, reply in zip(request.about, response, strict=True)
    ]


def path(tree, number):
    return set() if number < 0 else {number} | path(tree, tree[number][0])


def check_tokens(result, log):
    tree, usage = tree_of(log), result.outcome.usage
    kept = set().union(*(path(tree, s.number) for s in result.choice.candidates))
    critiques = [one for request, _, one in in_words(log) if request.purpose.is_critique]
    assert usage.critiques == len(critiques)
    assert usage.critique_tokens == sum(len(one.tokens) for one in critiques)
    own_tokens = sum(own for _, own in tree.values())
    assert usage.decoded_tokens == own_tokens + usage.critique_tokens
    assert usage.discarded_tokens == sum(own for n, (_, own) in tree.items() if n not in kept)


@pytest.mark.parametrize("name", SPENDS)
def test_decoded_tokens_are_the_tokens_of_the_tree(name):
    for n in (1, 3, 4, 16, 64):
        log = []
        engines = ScriptedProposer(6, mischief=0.1), ScriptedVerifier(silence=0.1)
        check_tokens(solve_one(traced(strategy(name), log), n, *engines), log)


@same_every_time
@given(seed=st.integers(0, 10**6), n=st.integers(1, 24), name=st.sampled_from(sorted(SPENDS)))
def test_tokens_are_those_of_the_tree_in_any_world(seed, n, name):
    world, log = RandomTree(seed), []
    result = solve_one(traced(strategy(name), log), n, Words(world), Worth(world))
    check_tokens(result, log)
    usage = result.outcome.usage
    assert 0 <= usage.discarded_tokens < usage.decoded_tokens
    # Every draw reads its prompt and prefix once, from the cache or not.
    draws = [p for r, _ in log if isinstance(r, Propose) for p in r.prefixes if p.is_open]
    read = sum(map(context, draws)) + PROMPT_TOKENS * len(in_words(log))
    assert usage.prompt_tokens + usage.cached_tokens == read


# What tokens attend to ---------------------------------------------------------------------------


@same_every_time
@given(seed=st.integers(0, 10**6), n=st.integers(1, 24), name=st.sampled_from(sorted(SPENDS)))
def test_every_token_attends_to_itself_and_all_before_it_in_any_world(seed, n, name):
    world, log = RandomTree(seed), []
    proposer, verifier = Counted(Words(world)), Counted(Worth(world))
    usage = solve_one(traced(strategy(name), log), n, proposer, verifier).outcome.usage
    requests = [
        [(d.prefix, row) for d, row in zip(asked, given, strict=True)]
        for asked, given in asked_and_given(proposer)
    ]
    read = [row for _, given in asked_and_given(verifier) for row in given]
    assert usage.prompt_attended == sum(
        sum(range(row.cached_tokens + 1, row.cached_tokens + row.prompt_tokens + 1))
        for rows in requests
        for row in read_once(rows)
    )
    ends = [(context(p), row.decoded_tokens) for rows in requests for p, row in rows]
    assert usage.decoded_attended == sum(sum(range(p + 1, p + n + 1)) for p, n in ends)
    assert usage.verifier_attended == sum(
        sum(range(row.cached_tokens + 1, row.cached_tokens + row.computed_tokens + 1))
        for row in read
    )


@same_every_time
@given(seed=st.integers(0, 10**6), n=st.integers(1, 24), name=st.sampled_from(sorted(SPENDS)))
def test_rows_of_one_request_share_the_reads_of_their_prompt_in_any_world(seed, n, name):
    world, log = RandomTree(seed), []
    usage = solve_one(traced(strategy(name), log), n, Words(world), Worth(world)).outcome.usage
    reads = 0
    for request, drawn in log:
        if isinstance(request, Propose):
            open_rows = [(p, s) for p, s in zip(request.prefixes, drawn, strict=True) if p.is_open]
            steps = [range(context(p) - 9, context(s) - 9) for p, s in open_rows]
            reads += sum(map(sum, steps))
            reads += round(10 * sum(map(len, steps)) / max(1, len(steps)))
    # What is asked in words has a prompt of its own.
    written = [len(solution.tokens) for _, _, solution in in_words(log)]
    reads += sum(sum(range(11, 11 + length)) for length in written)
    assert usage.kv_reads == reads <= usage.decoded_attended


def test_attention_is_the_same_step_by_step_as_in_one_go():
    world = Tree({"": "a", "a": "b", "ab": "c", "abc": "d", "abcd": "e"})
    whole, steps = usage_of("best_of_n", 1, world), usage_of("beam", 1, world)
    assert whole.prompt_attended == steps.prompt_attended == 55
    assert whole.decoded_attended == steps.decoded_attended == 11 + 12 + 13 + 14 + 15
    assert whole.verifier_attended == steps.verifier_attended == 1 + 2 + 3 + 4 + 5
    assert whole.kv_reads == steps.kv_reads == whole.decoded_attended  # there is none to share with


def test_a_beam_without_any_cache_reads_more_with_every_step():
    # The same five steps where the engine keeps nothing: 10 + 11 + ... read, five written.
    usage = solve_one("beam", 1, Chain(5), NoCache()).outcome.usage
    assert usage.prompt_tokens == 0 + 1 + 2 + 3 + 4
    assert usage.verifier_tokens == 1 + 2 + 3 + 4 + 5
    assert usage.prompt_attended == 0 + 1 + 3 + 6 + 10
    assert usage.verifier_attended == 1 + 3 + 6 + 10 + 15
    assert usage.decoded_attended == 1 + 2 + 3 + 4 + 5


def read_once(rows):
    """Rows of one request, but for those that revise or extend what an earlier one does."""
    seen = set()
    for prefix, row in rows:
        about = prefix.problem.prompt, prefix.history, prefix.tokens
        if about not in seen:
            yield row
        # What is asked in words has several lines.
        if (any(about[1:]) or "\n" in about[0]) and row.prompt_tokens:
            seen.add(about)


def context(solution):
    """Tokens of the prompt, of earlier solutions and of the solution."""
    return 10 + sum(map(len, solution.history)) + len(solution.tokens)


def asked_and_given(engine):
    return list(zip(engine.calls, engine.given, strict=True))


class NoCache:
    name = "no cache"

    def verify_batch(self, solutions):
        return [Verified(Scores((0.5,) * s.steps), len(s.tokens), 0) for s in solutions]


def test_usage_adds_field_by_field():
    one = Usage(1, 2, 3, 4, 5, 6, 7, 0.5, 8, 9, 10, 11, 12, 13, 14)
    two = Usage(10, 20, 30, 40, 50, 60, 70, 1.5, 80, 90, 100, 110, 120, 130, 140)
    whole = Usage(11, 22, 33, 44, 55, 66, 77, 2.0, 88, 99, 110, 121, 132, 143, 154)
    assert one + two == whole
    assert one + Usage() == one
