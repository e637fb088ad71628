"""What every search, proposer and verifier is held to, and the small fakes they are tested with.

`check_proposer`, `check_verifier` and `check_result` hold for any engine and any search: a new one
is put through them, and a new search gets a line in `SPENDS`. The fakes are worlds in which a
solution is a word: a step is a letter, a token is a letter, and the text is the tokens.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, settings

from outthink.models import in_process
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import (
    END,
    Budget,
    Closes,
    Draw,
    Drawn,
    Problem,
    Propose,
    Scores,
    Solution,
    State,
    Strategy,
    Verified,
)

BUDGETS = (1, 2, 3, 4, 16, 64, 256)

same_every_time = settings(
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=200,
    suppress_health_check=list(HealthCheck),
)
"""Hypothesis, with nothing kept between runs and no clock."""


def all_of_it(n):
    return n


def beams_and_rollouts(depth):
    """N'(k + 1) with N' = N // (k + 1), where k is `depth` or, for tiny budgets, N - 1."""

    def spends(n):
        k = min(depth, n - 1)
        return n // (k + 1) * (k + 1)

    return spends


def one(n):
    return 1


SPENDS: dict[str, Callable[[int], int]] = {
    "greedy": one,
    "majority": all_of_it,
    "first_finish": all_of_it,
    "first_finish(k=3)": all_of_it,
    "last_finish": all_of_it,
    "last_finish(k=3)": all_of_it,
    "best_of_n": all_of_it,
    "best_of_n(answer=max)": all_of_it,
    "beam": all_of_it,
    "beam(width=sqrt)": all_of_it,
    "lookahead": beams_and_rollouts(1),
    "lookahead(width=sqrt)": beams_and_rollouts(1),
    "lookahead(depth=3)": beams_and_rollouts(3),
    "lookahead(depth=3,width=sqrt)": beams_and_rollouts(3),
    "dvts": all_of_it,
    "dvts(width=sqrt)": all_of_it,
    "rebase": all_of_it,
    "rebase(temperature=0.0)": all_of_it,
    "particles": all_of_it,
    "particles(resampling=multinomial,temperature=0.5)": all_of_it,
    "gibbs": all_of_it,
    "gibbs(passes=3,resampling=multinomial,temperature=0.5)": all_of_it,
    "best_first": all_of_it,
    "best_first(width=1)": all_of_it,
    "mcts": all_of_it,
    "mcts(width=sqrt,c=0.1)": all_of_it,
    "ab_mcts": all_of_it,
    "ab_mcts(window=2,answer=majority)": all_of_it,
    "ucb": all_of_it,
    "ucb(c=2.0,answer=max)": all_of_it,
    "revise": all_of_it,
    "early_end": all_of_it,
    "early_end(warmup=2,keep=0.1,answer=majority)": all_of_it,
    "budget_forcing": all_of_it,
    "budget_forcing(waits=1,answer=weighted)": all_of_it,
    "revise(sequential=1)": all_of_it,
    "revise(sequential=3,window=2)": all_of_it,
    "revise(sequential=64,answer=majority)": all_of_it,
    "revise(sequential=256,step=min,answer=max)": all_of_it,
    "revise(sequential=2,answer=weighted)": all_of_it,
    "revise(shown=best)": all_of_it,
    "revise(sequential=3,window=1,shown=best,answer=majority)": all_of_it,
    "revision_beam": all_of_it,
    "revision_beam(sequential=3,width=1,answer=max)": all_of_it,
    "self_refine": all_of_it,
    "self_refine(rounds=0)": all_of_it,
    "self_refine(rounds=2)": all_of_it,
    "self_refine(by=verifier)": all_of_it,
    "debate": all_of_it,
    "debate(agents=2,rounds=3)": all_of_it,
    "genselect": all_of_it,
    "genselect(group=2)": all_of_it,
    "gensynthesis": all_of_it,
    "gensynthesis(group=1)": all_of_it,
    "groupwise": all_of_it,
    "groupwise(group=3,answer=max)": all_of_it,
    "knockout": all_of_it,
    "knockout(by=verifier)": all_of_it,
    "round_robin": all_of_it,
    "round_robin(entrants=5,by=verifier)": all_of_it,
    "usc": all_of_it,
}
"""Every strategy under contract, and the generations it spends of a budget of N."""

_BY_STEPS = ("beam", "lookahead", "dvts", "rebase", "particles", "gibbs", "best_first", "mcts")
STEPWISE = [name for name in SPENDS if name.startswith(_BY_STEPS)]


def problems(count):
    return [Problem(f"p{i}", f"problem {i}", "right") for i in range(count)]


def results(team, jobs, **options):
    """Results of jobs, in the order in which they finish."""
    return asyncio.run(Runner(team, **options).results(jobs))


def run_all(jobs, proposer, verifier=None, **options):
    """The same of engines of any kind."""
    return results(Team.of(proposer, verifier), jobs, **options)


def solve(strategies, n, proposer, verifier=None, *, of=1, team=None, **options):
    """Results in the order of the jobs, whatever order they finish in.

    `strategies` is one strategy or its name, or several; `of` is the problems or their number.
    """
    several = strategies if isinstance(strategies, list) else [strategies]
    named = [each if isinstance(each, Strategy) else strategy(each) for each in several]
    wanted = problems(of) if isinstance(of, int) else of
    jobs = [Job(problem, each, Budget(n)) for each in named for problem in wanted]
    done = results(Team.of(proposer, verifier, **(team or {})), jobs, **options)
    assert len(done) == len(jobs)
    return [next(result for result in done if result.job is job) for job in jobs]


def solve_one(name, n, proposer, verifier=None, **options):
    return solve(name, n, proposer, verifier, **options)[0]


def check_result(result):
    """An outcome whose answer is that of a finished candidate, or that has none to give."""
    outcome, choice = result.outcome, result.choice
    answered = [s.answer for s in choice.candidates if s.answer is not None]
    assert all(s.finished and not s.truncated for s in choice.candidates if s.answer is not None)
    assert all(s.problem == result.job.problem for s in choice.candidates)
    assert len(choice.scores) in (0, len(choice.candidates))
    assert outcome.answer == choice.answer
    if not answered:
        assert (outcome.answer, outcome.chosen, choice.index) == (None, None, None)
        return
    chosen = choice.candidates[choice.index]
    assert (outcome.answer, outcome.chosen) == (chosen.answer, chosen.number)
    assert outcome.answer in answered


def check_proposer(proposer, of, *, whole=False):
    """Rows in order, each what its own prefix and seed make it, with the type's promises kept.

    `whole`: it writes nothing but whole solutions, and its token ids are not those it counts.
    """
    starts = [Solution.start(problem) for problem in of]
    firsts = [] if whole else [row.solution for row in _propose(proposer, starts, until=1)]
    asked = [(END, 1.0), (END, 0.0)] + ([] if whole else [(1, 1.0), (2, 1.0), (2, 0.0)])
    for prefixes in (starts, [first for first in firsts if first.is_open]):
        for until, temperature in asked:
            rows = _propose(proposer, prefixes, until, temperature)
            again = _propose(proposer, prefixes[::-1], until, temperature, offset=-1)
            assert [r.solution for r in rows] == [r.solution for r in again[::-1]]
            alone = [
                _propose(proposer, [prefix], until, temperature, offset=i)[0].solution
                for i, prefix in enumerate(prefixes)
            ]
            assert [row.solution for row in rows] == alone
            if temperature == 0:
                other = _propose(proposer, prefixes, until, temperature, offset=1000)
                assert [r.solution for r in other] == alone
            for prefix, row in zip(prefixes, rows, strict=True):
                check_drawn(prefix, row, until, counts_ids=not whole)
    other = _propose(proposer, starts, until=END, offset=1000)
    assert [r.solution for r in other] != [r.solution for r in _propose(proposer, starts, END)]


def check_drawn(prefix, row, until, *, counts_ids=True):
    """A row extends its prefix by what was asked, unless it ended; only an ended one answers."""
    solution = row.solution
    assert solution.problem == prefix.problem
    assert solution.tokens[: len(prefix.tokens)] == prefix.tokens
    assert solution.step_ends[: prefix.steps] == prefix.step_ends
    assert list(solution.step_ends) == sorted(set(solution.step_ends))
    assert all(0 < end <= len(solution.tokens) for end in solution.step_ends)
    assert not (solution.finished and solution.truncated)
    assert solution.finished or solution.answer is None
    if solution.is_open:
        assert until is not END and solution.steps == prefix.steps + until
    elif until is not END:
        assert solution.steps <= prefix.steps + until
    assert not counts_ids or row.decoded_tokens >= len(solution.tokens) - len(prefix.tokens)
    ends = {*solution.step_ends[prefix.steps :], len(solution.tokens)} - {len(prefix.tokens)}
    assert row.texts is None or len(row.texts) == len(ends)
    assert row.prompt_tokens >= 0 and row.prompt_tokens + row.cached_tokens >= len(prefix.tokens)


def _propose(proposer, prefixes, until, temperature=1.0, *, offset=0):
    """Row i has seed `offset + i`; an offset of -1 numbers the rows from the end."""
    count = len(prefixes)
    seeds = range(count - 1, -1, -1) if offset == -1 else range(offset, offset + count)
    pairs = zip(prefixes, seeds, strict=True)
    rows = proposer.propose_batch(
        [Draw(prefix, until, temperature, seed) for prefix, seed in pairs]
    )
    assert len(rows) == count
    return rows


def check_verifier(verifier, solutions, *, tolerance=0.0):
    """Rows in order, one a solution, the same whatever else is in the batch.

    `tolerance`: how far scores may be apart, where other sums round otherwise.
    """

    def same(some, others):
        assert [replace(row, scores=Scores()) for row in some] == [
            replace(row, scores=Scores()) for row in others
        ]
        for one, other in zip(some, others, strict=True):
            assert len(one.scores.steps) == len(other.scores.steps)
            for a, b in zip(one.scores.steps, other.scores.steps, strict=True):
                assert a == b or abs(a - b) <= tolerance

    assert verifier.verify_batch([]) == []
    rows = _verify(verifier, solutions)
    same(_verify(verifier, solutions[::-1]), rows[::-1])
    same([_verify(verifier, [solution])[0] for solution in solutions], rows)
    same(_verify(verifier, solutions * 2)[len(rows) :], rows)
    for solution, row in zip(solutions, rows, strict=True):
        assert len(row.scores.steps) in (0, solution.steps)
        assert all(score is None or 0.0 <= score <= 1.0 for score in row.scores.steps)
        assert row.computed_tokens >= 0 and row.cached_tokens == 0
        if not row.scores.steps:
            assert row.computed_tokens == 0


def _verify(verifier, solutions):
    """What is returned with nothing cached: a verifier leaves its cache on what it scores."""
    rows = verifier.verify_batch([replace(solution, state=None) for solution in solutions])
    assert len(rows) == len(solutions)
    return rows


# Worlds of words ---------------------------------------------------------------------------------


@dataclass
class Tree:
    """A world written by hand: which letters follow each word, and what words are worth.

    The i-th draw from a word takes its i-th letter, round and round; a word that nothing follows
    has ended. `!` is where a draw runs into the length limit, `.` ends without another step.
    """

    branches: dict[str, str]
    values: dict[str, float | None] = field(default_factory=dict)
    answers: dict[str, str | None] = field(default_factory=dict)
    likeliest: dict[str, str] = field(default_factory=dict)
    """The greedy letter, where it is not the first."""

    def ended(self, word):
        return word not in self.branches

    def letter(self, word, i):
        return self.branches[word][i % len(self.branches[word])]

    def greedy(self, word):
        return self.likeliest.get(word, self.branches[word][0])

    def value(self, word):
        return self.values.get(word, 0.5)

    def answer(self, word):
        return self.answers.get(word, word)


@dataclass
class RandomTree:
    """Words of one to `longest` letters; values are eighths, so that there are many ties."""

    seed: int
    longest: int = 5
    holes: float = 0.0
    """Share of words without a value, and of ended words without an answer."""

    def rng(self, *about):
        return random.Random(f"{self.seed} {about}")

    def ended(self, word):
        return len(word) >= self.longest or (word != "" and self.rng("end", word).random() < 0.25)

    def letter(self, word, i):
        return self.rng("letter", word, i).choice("abc")

    def greedy(self, word):
        return self.rng("greedy", word).choice("abc")

    def value(self, word):
        rng = self.rng("value", word)
        return None if rng.random() < self.holes else rng.randrange(9) / 8

    def answer(self, word):
        rng = self.rng("answer", word)
        return None if rng.random() < self.holes else rng.choice("xyz")


PROMPT_TOKENS = 10


@dataclass
class Words:
    """The proposer of a world: a letter a step, a token a letter."""

    world: Tree | RandomTree
    drawn: Counter = field(default_factory=Counter)
    calls: list[list[Draw]] = field(default_factory=list)
    name: str = "words"

    def propose_batch(self, draws):
        self.calls.append(list(draws))
        return [self._extend(draw) for draw in draws]

    def decode(self, tokens):
        return "".join(map(chr, tokens))

    def _extend(self, draw):
        prefix = draw.prefix
        word = begun = self.decode(prefix.tokens)
        while not (ended := self.world.ended(word)) and word[-1:] not in (".", "!"):
            if draw.until is not END and len(word) - len(begun) == draw.until:
                break
            if draw.temperature == 0:
                word += self.world.greedy(word)
            else:
                word += self.world.letter(word, self.drawn[prefix.problem.id, word])
                self.drawn[prefix.problem.id, word[:-1]] += 1
        truncated = word.endswith("!")
        finished = not truncated and (ended or word.endswith("."))
        solution = Solution(
            prefix.problem,
            tuple(map(ord, word)),
            tuple(range(1, len(word.rstrip("!.")) + 1)),
            finished,
            truncated,
            self.world.answer(word) if finished else None,
            state=State(proposer=word),
        )
        held = PROMPT_TOKENS + sum(map(len, prefix.history)) + len(begun)
        fork = prefix.state is not None
        return Drawn(solution, 0 if fork else held, held if fork else 0, len(word) - len(begun))


@dataclass
class Worth:
    """The verifier of a world. It keeps what it has read of a prefix, and reads it once."""

    world: Tree | RandomTree
    calls: list[list[str]] = field(default_factory=list)
    name: str = "worth"

    def verify_batch(self, solutions):
        self.calls.append([word(solution) for solution in solutions])
        return [self._score(solution) for solution in solutions]

    def _score(self, solution):
        text = word(solution)
        known = 0
        if solution.state is not None:
            known, solution.state.verifier = solution.state.verifier or 0, len(text)
        scores = tuple(self.world.value(text[:end]) for end in solution.step_ends)
        return Verified(Scores(scores), len(text) - known, known)


def word(solution):
    return "".join(map(chr, solution.tokens))


# Engines that misbehave, and engines that count ---------------------------------------------------


@dataclass
class Chain:
    """Solutions of exactly `length` steps, which then end in the way `ending` says.

    `answer` ends them well, `unparsable` without an answer (as `answer` does where there is no
    step), `truncated` at the length limit, `stuck` never: it goes on returning what it was given.
    """

    length: int
    ending: str = "answer"
    name: str = "chain"

    def propose_batch(self, draws):
        return [self._extend(draw) for draw in draws]

    def decode(self, tokens):
        return " ".join(map(str, tokens))

    def _extend(self, draw):
        tokens, rng = list(draw.prefix.tokens), random.Random(draw.seed)
        last = self.length if draw.until is END else len(tokens) + draw.until
        while len(tokens) < min(last, self.length):
            tokens.append(1 if draw.temperature == 0 else rng.randrange(1, 100))
        over = len(tokens) == self.length
        finished = over and self.ending in ("answer", "unparsable")
        solution = Solution(
            draw.prefix.problem,
            tuple(tokens),
            tuple(range(1, len(tokens) + 1)),
            finished,
            over and self.ending == "truncated",
            str(sum(tokens) % 7) if finished and tokens and self.ending == "answer" else None,
        )
        read = len(draw.prefix.tokens)
        return Drawn(solution, read, 0, len(tokens) - read)


@dataclass
class Patchy:
    """Scores a step by its last token alone, and some steps not at all."""

    missing: float
    name: str = "patchy"

    def verify_batch(self, solutions):
        return [Verified(Scores(self._steps(s.tokens, s.step_ends)), 0, 0) for s in solutions]

    def _steps(self, tokens, ends):
        rng = [(tokens[end - 1] * 7919 + end * 104729) % 1009 / 1009 for end in ends]
        return tuple(None if value < self.missing else value for value in rng)


@dataclass
class Counted:
    """Either engine, with every row that was asked of it and what came back."""

    engine: object
    calls: list[list] = field(default_factory=list)
    given: list[list] = field(default_factory=list)
    name: str = "counted"

    def propose_batch(self, draws):
        return self._note(draws, self.engine.propose_batch(draws))

    def verify_batch(self, solutions):
        return self._note(solutions, self.engine.verify_batch(solutions))

    def decode(self, tokens):
        return self.engine.decode(tokens)

    def _note(self, asked, given):
        self.calls.append(list(asked))
        self.given.append(list(given))
        return given

    @property
    def rows(self):
        return [row for call in self.calls for row in call]


def traced(inner, log):
    """The same strategy, with what it asked for and what it was sent written to `log`."""

    def start(problem, budget):
        search = inner.start(problem, budget)
        request = next(search)
        while True:
            response = yield request
            log.append((request, response))
            try:
                request = search.send(response)
            except StopIteration as stop:
                return stop.value

    return Strategy(inner.name, start)


def scored(verifier, solutions):
    """What a verifier says of these solutions, in order, whatever kind of engine it is."""
    engine = in_process.verifier(verifier)
    return asyncio.run(_rows(engine, engine.verify, solutions))


def drawn(proposer, draws):
    """What a proposer makes of these draws, in order, whatever kind of engine it is."""
    engine = in_process.proposer(proposer)
    return asyncio.run(_rows(engine, engine.propose, draws))


async def _rows(engine, ask, asked):
    rows = [None] * len(asked)
    try:
        async for arrival in ask(asked):
            rows[arrival.place] = arrival.row
    finally:
        if isinstance(engine, Closes):
            await engine.aclose()
    return rows


class Waiting:
    """A proposer or verifier of any kind, for a test that waits for all of its rows."""

    def __init__(self, engine):
        self.engine = engine
        self.name = engine.name

    def propose_batch(self, rows):
        return drawn(self.engine, rows)

    def verify_batch(self, solutions):
        return scored(self.engine, solutions)


def search(name, n, world):
    """The result of one search in a world, and the words of every request, in order."""
    log = []
    result = solve_one(traced(strategy(name), log), n, Words(world), Worth(world))
    asked = [
        ("draw" if r.temperature > 0 else "look", [word(s) for s in r.prefixes])
        if isinstance(r, Propose)
        else ("verify", [word(s) for s in r.solutions])
        for r, _ in log
    ]
    return result, asked


def drawn_from(asked):
    return [words for kind, words in asked if kind == "draw"]
