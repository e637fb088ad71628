"""Searches that ask a model in words do what theirs say: limits, worlds by hand, what they cost."""

import asyncio
from dataclasses import dataclass, field

import pytest
from contract import (
    Chain,
    Counted,
    RandomTree,
    Tree,
    Words,
    Worth,
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
from outthink.report.study import tree as shown_tree
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import strategy
from outthink.search.words import BETTER, MARKS, NUMBER, RIGHT
from outthink.types import (
    Ask,
    Budget,
    Choice,
    Drawn,
    Problem,
    Propose,
    Purpose,
    Reply,
    Solution,
    Strategy,
)

seeds = st.integers(0, 10**6)
budgets = st.integers(1, 24)
LETTERS = "abcdefghijklmnop"


@dataclass
class Judge:
    """Writes what a function makes of its prompt and of how often it was asked the same."""

    says: object
    prompts: list = field(default_factory=list)
    heats: list = field(default_factory=list)
    name: str = "judge"

    def propose_batch(self, draws):
        return [self._write(draw) for draw in draws]

    def decode(self, tokens):
        return "".join(map(chr, tokens))

    def _write(self, draw):
        problem = draw.prefix.problem
        assert problem.framing.bare
        self.prompts.append(problem.prompt)
        self.heats.append(draw.temperature)
        text = self.says(problem.prompt)
        tokens = tuple(map(ord, text))
        solution = Solution(problem, tokens, (len(tokens),), finished=True, answer="not mine")
        return Drawn(solution, len(problem.prompt), 0, len(tokens))


def judged(name, n, world, says):
    """The result of a search in a world with a judge, and the judge."""
    judge = Judge(says)
    result = solve_one(name, n, Words(world), Worth(world), team={"judge": judge})
    return result, judge


def solutions_in(prompt):
    """Texts of the numbered solutions of a prompt."""
    return [part.split("\n")[1] for part in prompt.split("Solution ")[1:]]


def knows(best):
    """A judge that knows the best solution, wherever it stands; else it takes the first."""

    def says(prompt):
        shown = solutions_in(prompt)
        return f"I think so.\n**Judgement: {shown.index(best) + 1 if best in shown else 1}**"

    return says


LEAVES = Tree({"": LETTERS})
"""The i-th solution is the i-th letter."""


# Limits ------------------------------------------------------------------------------------------


def same_in_the_limit(name, other, n, seed, *, holes=0.2):
    ours, _ = search(name, n, RandomTree(seed, holes=holes))
    theirs, _ = search(other, n, RandomTree(seed, holes=holes))
    assert list(map(word, ours.choice.candidates)) == list(map(word, theirs.choice.candidates))
    assert ours.outcome.answer == theirs.outcome.answer
    assert ours.outcome.chosen == theirs.outcome.chosen
    return ours, theirs


@same_every_time
@given(seed=seeds, n=budgets)
def test_self_refine_of_no_rounds_is_a_vote(seed, n):
    same_in_the_limit("self_refine(rounds=0)", "majority", n, seed)
    same_in_the_limit("self_refine(rounds=0,by=verifier)", "best_of_n", n, seed)


@same_every_time
@given(seed=seeds, n=budgets)
def test_a_debate_of_one_round_is_a_vote(seed, n):
    same_in_the_limit("debate(rounds=1)", "majority", n, seed)


@same_every_time
@given(seed=seeds, n=budgets)
def test_tournaments_by_scores_are_best_of_n(seed, n):
    for name in ("knockout", "round_robin"):
        ours = f"{name}(entrants=64,by=verifier)"
        same_in_the_limit(ours, "best_of_n(answer=max)", n, seed)


@same_every_time
@given(seed=seeds, n=budgets)
def test_chains_of_one_that_show_the_best_are_best_of_n(seed, n):
    same_in_the_limit("revise(sequential=1,shown=best)", "best_of_n", n, seed)


@same_every_time
@given(seed=seeds, n=budgets, sequential=st.integers(1, 6))
def test_a_beam_of_revisions_of_width_1_is_parallel_chains(seed, n, sequential):
    same_in_the_limit(
        f"revision_beam(sequential={sequential},width=1)",
        f"revise(sequential={sequential},answer=weighted)",
        n,
        seed,
    )


@same_every_time
@given(seed=seeds, n=budgets)
def test_a_judge_that_cannot_be_read_leaves_a_vote(seed, n):
    names = ("genselect(group=3)", "usc(group=2)", "groupwise", "knockout(entrants=64)")
    for name in (*names, "round_robin(entrants=64)"):
        world = RandomTree(seed, holes=0.2)
        result, _ = judged(name, n, world, lambda prompt: "Who knows?")
        vote, _ = search("majority", n, RandomTree(seed, holes=0.2))
        assert result.outcome.answer == vote.outcome.answer


# Picks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("best", "adhp")
@pytest.mark.parametrize("name", ["genselect(group=4)", "usc(group=4)", "knockout", "round_robin"])
def test_a_judge_that_knows_the_best_gets_it(name, best):
    result, _ = judged(
        name.replace("round_robin", "round_robin(entrants=16)"), 16, LEAVES, knows(best)
    )
    assert result.outcome.answer == best and result.outcome.note == ""


def test_those_picked_of_each_group_meet_again():
    _, judge = judged("genselect(group=4)", 10, LEAVES, knows("f"))
    assert [solutions_in(prompt) for prompt in judge.prompts] == [
        [*"abcd"],
        [*"efgh"],
        [*"ij"],
        [*"afi"],
    ]


def test_nobody_is_asked_about_answers_that_agree():
    for name in ("genselect", "usc", "knockout", "round_robin"):
        result, judge = judged(name, 8, Tree({"": "aaaa"}), knows("a"))
        assert (result.outcome.answer, judge.prompts) == ("a", [])


def test_a_judge_that_always_takes_the_first_place_decides_nothing():
    # Every duel is a tie, and of a tie the answer that was given more often goes on.
    world = Tree({"": "abcb"})
    for name in ("knockout", "round_robin"):
        result, judge = judged(name, 4, world, lambda prompt: "Judgement: 1")
        assert result.outcome.answer == "b"
        for one, other in zip(judge.prompts[::2], judge.prompts[1::2], strict=True):
            assert solutions_in(one) == solutions_in(other)[::-1]


def test_a_round_robin_counts_points():
    # `c` beats all but `a`, which beats nobody else.
    beats = {("c", "b"), ("c", "d"), ("a", "c"), ("b", "a"), ("d", "a")}

    def says(prompt):
        one, other = solutions_in(prompt)
        won = ["1", "2"][(other, one) in beats] if {(one, other), (other, one)} & beats else "same"
        return f"Judgement: {won}"

    result, judge = judged("round_robin", 4, LEAVES, says)
    assert result.outcome.answer == "c"
    assert len(judge.prompts) == 4 * 3


def test_each_answer_sends_one_before_any_sends_two():
    world = Tree({"": "aaaabc"})
    _, judge = judged("round_robin(entrants=3)", 6, world, knows("c"))
    assert {text for prompt in judge.prompts for text in solutions_in(prompt)} == {*"abc"}


def test_marks_weigh_votes():
    marks = {"a": 4, "b": 9, "c": 4}

    def says(prompt):
        return f"judgment: {', '.join(str(marks[text]) for text in solutions_in(prompt))}."

    world = Tree({"": "abca"})
    result, judge = judged("groupwise(group=3)", 4, world, says)
    assert [score.last for score in result.choice.scores] == [0.4, 0.9, 0.4, 0.4]
    assert result.outcome.answer == "b"
    assert judged("groupwise", 4, Tree({"": "aabc"}), says)[0].outcome.answer == "b"
    assert judged("groupwise", 4, Tree({"": "aaab"}), says)[0].outcome.answer == "a"
    assert "it answers what was asked" in judge.prompts[0]
    _, other = judged("groupwise(criteria=it is short)", 4, world, says)
    assert "these criteria: it is short." in other.prompts[0]


# Judges that cannot be read ----------------------------------------------------------------------


def test_a_judge_that_cannot_be_read_is_asked_once_more_at_another_temperature():
    asked = []

    def says(prompt):
        asked.append(prompt)
        return "Well..." if len(asked) == 1 else "Judgement: 2"

    result, judge = judged("genselect", 4, LEAVES, says)
    assert (result.outcome.answer, result.outcome.note) == ("b", "")
    assert judge.heats == [0.0, 1.0] and len(set(judge.prompts)) == 1
    assert result.outcome.usage.critiques == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("genselect", "1 of 1 judgements could not be read; a vote picked in their place"),
        ("usc", "1 of 1 judgements could not be read; a vote picked in their place"),
        ("groupwise", "1 of 1 judgements could not be read; their solutions add no weight"),
        ("knockout", "3 of 3 judgements could not be read; the answer given more often went on"),
        ("round_robin", "6 of 6 judgements could not be read; they count as ties"),
    ],
)
def test_an_outcome_says_that_a_judge_could_not_be_read(name, said):
    result, judge = judged(name, 4, LEAVES, lambda prompt: "Judgement: none of them")
    assert (result.outcome.answer, result.outcome.note) == ("a", said)
    assert result.outcome.usage.critiques == len(judge.prompts)


@pytest.mark.parametrize(
    ("form", "count", "text", "value"),
    [
        (NUMBER, 4, "Judgement: 3", 2),
        (NUMBER, 4, "**Judgment:** Solution 3.", 2),
        (NUMBER, 4, "Judgement: 1\nNo.\nJudgement: 4", 3),
        (NUMBER, 4, "Judgement: 5", None),
        (NUMBER, 4, "Judgement: 0", None),
        (NUMBER, 4, "Judgement: 1 or 2", None),
        (NUMBER, 4, "Judgement: X", None),
        (NUMBER, 4, "3", None),
        (NUMBER, 4, "", None),
        (NUMBER, 4, None, None),
        (MARKS, 3, "Judgement: 1, 10, 0", (0.1, 1.0, 0.0)),
        (MARKS, 3, "Judgement: [7.5; 2; 3]", (0.75, 0.2, 0.3)),
        (MARKS, 3, "Judgement: 1, 2", None),
        (MARKS, 3, "Judgement: 1, 2, 11", None),
        (BETTER, 2, "> judgement : same", 0.5),
        (BETTER, 2, "Judgement: Solution 2", 0.0),
        (BETTER, 2, "Judgement: both", None),
        (RIGHT, 1, "Judgement: `right`", True),
        (RIGHT, 1, "Judgement: Wrong.", False),
        (RIGHT, 1, "Judgement: not right", None),
    ],
)
def test_a_judgement_is_read_from_the_last_line_that_says_so(form, count, text, value):
    assert form.of(Reply(Solution(Problem("p", "")), text), count) == value


def test_no_form_reads_what_it_tells_the_model_to_write():
    for form in (NUMBER, MARKS, BETTER, RIGHT):
        assert form.of(Reply(Solution(Problem("p", "")), form.told), 4) is None


# Chains ------------------------------------------------------------------------------------------


def asked_of(name, n, world, says="Judgement: wrong"):
    """Every request of a search: its purpose and what its rows are shown."""
    log = []
    solve_one(
        traced(strategy(name), log),
        n,
        Words(world),
        Worth(world),
        team={"judge": Judge(says if callable(says) else lambda prompt: says)},
    )
    return [
        (str(request.purpose), [[word(one) for one in shown] for shown in request.about])
        if isinstance(request, Ask)
        else (str(getattr(request, "purpose", "verify")), len(response))
        for request, response in log
    ]


def test_self_refine_refines_what_is_wrong_with_what_was_said_of_it():
    no = "The end is wrong.\nJudgement: wrong"
    assert asked_of("self_refine(rounds=2)", 3, LEAVES, no) == [
        ("sample", 1),
        ("feedback", [["a"]]),
        ("revision", [["a", no]]),
        ("feedback", [["b"]]),
        ("revision", [["b", no]]),
    ]


def test_self_refine_stops_when_the_feedback_says_it_is_right():
    def says(prompt):
        return "Judgement: " + ("right" if "solution:\nb" in prompt else "wrong")

    asked = asked_of("self_refine(rounds=3)", 4, LEAVES, says)
    assert [purpose for purpose, _ in asked] == [
        *("sample", "feedback", "revision", "feedback"),  # a, b, and b is right
        *("sample", "feedback", "revision"),  # what is left begins another chain
    ]
    result, _ = judged("self_refine(rounds=3)", 4, LEAVES, says)
    assert list(map(word, result.choice.candidates)) == ["b", "d"]


def test_self_refine_by_scores_stops_where_the_verifier_is_sure():
    world = Tree({"": "abcd"}, {"a": 0.2, "b": 0.95, "c": 0.1, "d": 0.3})
    assert asked_of("self_refine(by=verifier)", 4, world)[:4] == [
        ("sample", 1),
        ("verify", 1),
        ("revision", 1),
        ("verify", 1),
    ]
    result, _ = search("self_refine(by=verifier)", 4, world)
    assert list(map(word, result.choice.candidates)) == ["b", "d"]
    assert result.outcome.answer == "b"


def test_self_refine_answers_with_the_newest_answer_that_there_is():
    result, _ = judged("self_refine", 2, Tree({"": "a!"}), lambda prompt: "Judgement: wrong")
    assert result.outcome.answer == "a"


def test_agents_of_a_debate_read_their_own_answer_and_those_of_the_others():
    assert asked_of("debate(agents=3,rounds=2)", 8, LEAVES) == [
        ("sample", 5),
        ("revision", [["a", "b", "c"], ["b", "a", "c"], ["c", "a", "b"]]),
    ]
    assert asked_of("debate(agents=2,rounds=3)", 6, LEAVES)[1:] == [
        ("revision", [["a", "b"], ["b", "a"]]),
        ("revision", [["c", "d"], ["d", "c"]]),
    ]


def test_only_the_last_answers_of_a_debate_vote():
    result, _ = judged("debate", 6, Tree({"": "aaabbc"}), knows("a"))
    assert list(map(word, result.choice.candidates)) == ["b", "b", "c"]
    assert result.outcome.answer == "b"


def test_what_was_written_after_the_others_answers():
    assert asked_of("gensynthesis(group=2)", 6, LEAVES) == [
        ("sample", 4),
        ("revision", [["a", "c"], ["b", "d"]]),
    ]
    result, _ = judged("gensynthesis(group=2)", 6, LEAVES, knows("a"))
    assert (result.outcome.answer, result.choice.index) == ("e", 4)
    cut, _ = judged("gensynthesis(group=3)", 4, Tree({"": "abb!"}), knows("a"))
    assert cut.outcome.answer == "b"


def test_a_revision_of_the_best_sees_the_best_last():
    world = Tree({"": "abcd"}, {"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.2})
    log = []
    solve_one(traced(strategy("revise(shown=best)"), log), 4, Words(world), Worth(world))
    seen = [
        "".join("".join(map(chr, tokens)) for tokens in request.prefixes[0].history)
        for request, _ in log
        if isinstance(request, Propose)
    ]
    assert seen == ["", "a", "ab", "cab"]


def test_a_beam_of_revisions_goes_on_from_the_best_of_each_round():
    world = Tree({"": LETTERS}, {"b": 0.9, "d": 0.8, "e": 0.7, "h": 0.6})
    log = []
    solve_one(traced(strategy("revision_beam"), log), 16, Words(world), Worth(world))
    numbers = [
        [prefix.number for prefix in request.prefixes]
        for request, _ in log
        if isinstance(request, Propose)
    ]
    assert numbers == [[-1] * 4, [1, 1, 3, 3], [4, 4, 7, 7], [8, 8, 9, 9]]


# What a model is shown ---------------------------------------------------------------------------


def test_a_new_solution_is_asked_for_with_the_problem_and_what_was_said():
    proposer = Counted(Words(LEAVES))
    solve_one("debate", 6, proposer, team={"judge": Judge(knows("a"))})
    prompt = proposer.calls[1][0].prefix.problem.prompt
    assert prompt.startswith("problem 0\n\nYou have answered this before:\na\n\n")
    assert solutions_in(prompt) == ["b", "c"]
    assert not proposer.calls[1][0].prefix.problem.framing.bare


def test_what_was_cut_off_is_not_shown():
    proposer = Counted(Words(Tree({"": "a!b"})))
    solve_one("debate", 6, proposer)
    prompt = proposer.calls[1][0].prefix.problem.prompt
    assert solutions_in(prompt) == ["(It was cut off before its end.)", "b"]


def test_names_in_a_solution_are_not_filled_in():
    judge = Judge(knows("a"))
    problem = Problem("p", "What is {all}, {first} and {problem}?")
    solve_one("genselect", 2, Words(LEAVES), of=[problem], team={"judge": judge})
    assert "Problem:\nWhat is {all}, {first} and {problem}?\n" in judge.prompts[0]


def test_a_model_of_one_task_is_not_asked_in_words():
    proposer = Words(LEAVES)
    proposer.reads_words = False
    with pytest.raises(UsageError, match=r"genselect asks words in words.*by=verifier"):
        solve_one("genselect", 2, proposer)
    solve_one("knockout(by=verifier)", 2, proposer, Worth(LEAVES))


def test_a_search_names_who_is_asked():
    class Larger(Counted):
        def decode(self, tokens):
            return "said by the larger: " + super().decode(tokens)

    judge, larger = Judge(knows("b")), Judge(knows("c"))
    team = {"judge": judge, "larger": larger}
    assert solve_one("genselect", 4, Words(LEAVES), team=team).outcome.answer == "b"
    assert solve_one("genselect(by=larger)", 4, Words(LEAVES), team=team).outcome.answer == "c"
    # Each tells what its own tokens say.
    team = {"judge": judge, "larger": Larger(Words(Tree({"": "z"})))}
    made = Strategy("two", two_writers)
    solve_one(made, 2, Words(LEAVES), team=team)
    assert solutions_in(judge.prompts[-1]) == ["a", "said by the larger: z"]
    with pytest.raises(UsageError, match="no model is named for role 'larger'"):
        solve_one("genselect(by=larger)", 4, Words(LEAVES))


def two_writers(problem, budget):
    start = [Solution.start(problem)]
    drawn = [*(yield Propose(start)), *(yield Propose(start, role="larger"))]
    yield Ask([drawn], "{all}", Purpose.JUDGEMENT)
    return Choice(None, None, tuple(drawn))


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("debate(agents=1)", "at least two agents"),
        ("debate(rounds=0)", "rounds=0"),
        ("knockout(entrants=1)", "a tournament of 1; give at least 2 entrants"),
        ("round_robin(entrants=1)", "a tournament of 1"),
        ("genselect(group=1)", "group=1"),
        ("usc(group=0)", "group=0"),
        ("groupwise(group=0)", "group=0"),
        ("gensynthesis(group=0)", "group=0"),
        ("self_refine(rounds=-1)", "rounds=-1"),
        ("self_refine(sure=1.5)", "sure=1.5"),
        ("revision_beam(width=0)", "width=0"),
        ("revise(shown=first)", "one of latest, best"),
    ],
)
def test_a_search_refuses_what_it_cannot_do(text, seen):
    with pytest.raises(UsageError, match=seen):
        search(text, 4, LEAVES)


# What it costs -----------------------------------------------------------------------------------

WORDY = (
    "self_refine",
    "debate",
    "genselect(group=3)",
    "gensynthesis(group=2)",
    "groupwise",
    "knockout",
    "round_robin(entrants=4)",
    "usc(group=3)",
)


@same_every_time
@given(
    name=st.sampled_from(WORDY),
    n=st.integers(1, 12),
    seed=st.integers(0, 1000),
    mischief=st.sampled_from([0.0, 0.3]),
)
def test_costs_add_up_to_what_the_engines_did(name, n, seed, mischief):
    proposer = Counted(ScriptedProposer(mischief=mischief))
    verifier = Counted(ScriptedVerifier())
    result = solve_one(name, n, proposer, verifier, seed=seed)
    rows = [
        (draw.prefix.problem.framing.bare, row)
        for asked, given in zip(proposer.calls, proposer.given, strict=True)
        for draw, row in zip(asked, given, strict=True)
    ]
    usage = result.outcome.usage
    critiques = [row for is_critique, row in rows if is_critique]
    assert usage.generations == len(rows) - len(critiques) == n
    assert usage.decoded_tokens == sum(row.decoded_tokens for _, row in rows)
    assert (usage.critiques, usage.critique_tokens) == (
        len(critiques),
        sum(row.decoded_tokens for row in critiques),
    )
    read = sum(row.prompt_tokens for _, row in rows)
    assert usage.prompt_tokens + usage.cached_tokens == read
    assert usage.discarded_tokens <= usage.decoded_tokens - usage.critique_tokens
    assert usage.verifier_calls == len(verifier.rows)


def test_critiques_are_counted_by_hand():
    # A prompt is 10 tokens to the proposer; to the judge a letter is one.
    result, judge = judged("genselect", 3, LEAVES, lambda prompt: "Judgement: 2")
    (prompt,) = judge.prompts
    usage = result.outcome.usage
    assert (usage.generations, usage.critiques) == (3, 1)
    assert usage.critique_tokens == len("Judgement: 2")
    assert usage.decoded_tokens == 3 + len("Judgement: 2")
    assert usage.prompt_tokens == 3 * 10 + len(prompt)
    assert usage.discarded_tokens == 0


def test_a_search_that_runs_others_costs_what_they_cost():
    def both(problem, budget):
        first = yield from strategy("genselect").start(problem, budget)
        second = yield from strategy("debate").start(problem, budget)
        return first if first.answer is not None else second

    engines = Chain(3), ScriptedVerifier()
    whole = solve_one(Strategy("both", both), 6, *engines).outcome.usage
    parts = [solve_one(name, 6, *engines).outcome.usage for name in ("genselect", "debate")]
    assert whole.generations == sum(part.generations for part in parts)
    assert whole.critiques == sum(part.critiques for part in parts)


# Kept and resumed --------------------------------------------------------------------------------


def run_in(path, names, engine, *, of=3, seed=3):
    jobs = [
        Job(Problem(f"p{i}", f"problem {i}", "right"), strategy(name), Budget(6))
        for name in names
        for i in range(of)
    ]
    with Store.open(path, write=True) as store:
        runner = Runner(Team.of(engine, ScriptedVerifier()), journal=store, seed=seed)
        done = asyncio.run(runner.results(jobs))
        view = store.view()
        told = {(o.problem_id, o.strategy): o for o in view.outcomes()}
        trees = {key: view.tree(key[0], key[1], 6) for key in told}
    return {(r.job.problem.id, r.job.strategy.name): r for r in done}, told, trees


@pytest.mark.parametrize("mischief", [0.0, 0.4])
def test_a_store_keeps_critiques_and_nothing_is_asked_twice(tmp_path, mischief):
    path, engine = tmp_path / "a.store", Counted(ScriptedProposer(mischief=mischief))
    first, told, trees = run_in(path, WORDY, engine)
    rows = len(engine.rows)
    again, _, _ = run_in(path, WORDY, engine)
    assert len(engine.rows) == rows
    for key, result in first.items():
        assert told[key] == result.outcome
        assert (again[key].outcome, again[key].choice) == (result.outcome, result.choice)
        critiques = [node for node in trees[key].nodes if node.critique]
        assert len(critiques) == result.outcome.usage.critiques
        assert all(node.answer is None for node in critiques)
        tokens = sum(node.decoded_tokens for node in critiques)
        assert tokens == result.outcome.usage.critique_tokens
    assert any(result.outcome.note for result in first.values()) == (mischief > 0)


def test_a_killed_search_goes_on_with_the_judgements_that_are_missing(tmp_path):
    class Dies(Exception):
        pass

    class Mortal(Counted):
        left = 14

        def propose_batch(self, draws):
            self.left -= len(draws)
            if self.left < 0:
                raise Dies
            return super().propose_batch(draws)

    whole, _, _ = run_in(tmp_path / "whole.store", ["knockout"], Counted(ScriptedProposer()), of=1)
    engine = Mortal(ScriptedProposer())
    engine.left = 8
    with pytest.raises(Dies):
        run_in(tmp_path / "killed.store", ["knockout"], engine, of=1)
    drawn = len(engine.rows)
    rest = Counted(ScriptedProposer())
    after, _, _ = run_in(tmp_path / "killed.store", ["knockout"], rest, of=1)
    ((key, result),) = whole.items()
    assert after[key].outcome == result.outcome
    spent = result.outcome.usage
    assert drawn > 0 and drawn + len(rest.rows) == spent.generations + spent.critiques


def test_the_page_shows_what_begins_anew_whole(tmp_path):
    names = ["self_refine", "revise(shown=best)"]
    _, _, trees = run_in(tmp_path / "a.store", names, ScriptedProposer(), of=1)
    for stored in trees.values():
        shown = shown_tree(stored, None, lambda tokens: " ".join(map(str, tokens)))
        texts = [node.text for node in shown.nodes]
        assert sum(len(text.split()) for text in texts) == sum(
            len(node.tokens) for node in stored.nodes
        )


def test_purposes_tell_critiques_from_solutions():
    assert [purpose for purpose in Purpose if purpose.is_critique] == [
        Purpose.FEEDBACK,
        Purpose.JUDGEMENT,
    ]
