"""A study: problems, strategies and budgets, run once and read back from the store as often as
needed.

Strategies that only choose among independent samples share one pool a problem, drawn once at its
largest size; every smaller budget is estimated from it (`estimate`). Searches run live at every
budget. Difficulty is estimated from samples of its own, so that it shares no luck with what it is
compared to. Everything is in the store; nothing here remembers a run.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial

import numpy as np

from outthink.errors import RunError, UsageError
from outthink.measure import chains, pools, votes
from outthink.measure.arrays import Floats
from outthink.measure.chains import Chains
from outthink.measure.difficulty import Difficulty, oracle, predicted
from outthink.measure.grid import Grid
from outthink.measure.pools import Estimator, Pool
from outthink.run.gauge import Gauge
from outthink.run.progress import Progress
from outthink.run.runner import Driver, Job, Result
from outthink.run.store import Store
from outthink.search import revise, strategy
from outthink.search.revise import pool as draw_chains
from outthink.search.revise import pool_lengths
from outthink.search.select import AnswerAggregation, StepAggregation
from outthink.types import Budget, Engines, Grader, Outcome, Problem, Strategy, Usage

POOL = "best_of_n"
"""The job that draws a scored pool; majority and every best-of-N are read from it."""
UNSCORED = "majority"
"""The job that draws a pool without scores."""
CHAINS = Strategy("chains", draw_chains, revises=True)
"""The job that draws a pool of chains; every split into sequential and parallel is read from it."""
UNSCORED_CHAINS = Strategy("chains(scored=no)", partial(draw_chains, scored=False), revises=True)
"""The same without scores."""
DIFFICULTY = "difficulty"
"""The stream of the samples that difficulty is estimated from."""
VOTES = "votes"
"""The stream of those that it is predicted from without a verifier, by how far they agree: labelled
samples are drawn by the same strategy, and would be the same ones."""

FAILURES = 20
"""So many searches that fail one after the other are a server that will fail them all."""

STRATEGIES = (
    "majority",
    "best_of_n(answer=max)",
    "best_of_n",
    "beam",
    "beam(width=sqrt)",
    "lookahead(width=sqrt)",
    "lookahead(depth=3)",
)
"""The paper's searches, cheapest first: ties in a policy go to the first."""

REVISIONS = tuple(f"revise(sequential={2**power})" for power in range(7))
"""The paper's splits of a budget into sequential and parallel, up to chains of 64."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study runs."""

    strategies: tuple[str, ...] = STRATEGIES
    budgets: tuple[int, ...] = (1, 4, 16, 64)
    pool: int = 256
    """Samples a problem that the pooled strategies are estimated from; at least the largest
    budget. A larger pool shows how far best-of-N has to go to catch up."""
    chains: int = 0
    """Chains a problem that splits of revisions are estimated from, a power of two; at larger
    budgets they are not known. 0 runs every split at every budget on its own."""
    oracle_samples: int = 256
    """Samples a problem for oracle difficulty; 0 leaves it out. The paper takes 2048."""
    predicted_samples: int = 8
    """Samples a problem for predicted difficulty, scored where a search of the plan asks a
    verifier; 0 leaves it out. They are charged."""

    def __post_init__(self) -> None:
        if not self.strategies or not self.budgets:
            raise UsageError("nothing to run: give at least one strategy and one budget")
        names = tuple(strategy(name).name for name in self.strategies)
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"strategy {twice} is given twice; give each once")
        object.__setattr__(self, "strategies", names)  # `beam(width=4)` and `beam` are one name
        for budget in self.budgets:
            Budget(budget)
        if min(self.oracle_samples, self.predicted_samples) < 0:
            raise UsageError(
                f"{min(self.oracle_samples, self.predicted_samples)} samples for difficulty; "
                "give 0 for none"
            )
        if list(self.budgets) != sorted(set(self.budgets)):
            raise UsageError(f"budgets {self.budgets} are not in rising order; list each once")
        if self.chained and (self.chains & (self.chains - 1) or self.chains < self.budgets[0]):
            raise UsageError(
                f"a pool of chains of {self.chains} for budgets from {self.budgets[0]}; make it "
                "a power of two and at least as large"
            )
        if self.chained and any(budget & (budget - 1) for budget in self.budgets):
            raise UsageError(
                f"budgets {self.budgets} with a pool of chains; give powers of two, or no pool"
            )
        if self.pooled and self.pool < self.budgets[-1]:
            raise UsageError(
                f"a pool of {self.pool} is smaller than the largest budget {self.budgets[-1]}; "
                "make it at least as large"
            )

    @property
    def pooled(self) -> tuple[str, ...]:
        """Strategies read from the pool."""
        return tuple(name for name in self.strategies if _reading(name) is not None)

    @property
    def chained(self) -> tuple[str, ...]:
        """Strategies read from the pool of chains."""
        if not self.chains:
            return ()
        return tuple(name for name in self.strategies if _split(name) is not None)

    def known(self, name: str) -> tuple[int, ...]:
        """The plan's budgets at which a strategy is known: all, or those its chains reach."""
        most = self.chains if name in self.chained else self.budgets[-1]
        return tuple(budget for budget in self.budgets if budget <= most)

    @property
    def live(self) -> tuple[str, ...]:
        """Strategies that search."""
        read = {*self.pooled, *self.chained}
        return tuple(name for name in self.strategies if name not in read)

    def is_sample(self, name: str, budget: int) -> bool:
        """Whether a search is but one sample, which the pool knows better than another draw: then
        searches of one generation do not seem to differ."""
        made = strategy(name)
        return (
            budget == 1 and bool(self.pooled) and not made.revises and made.name not in _NO_SAMPLE
        )

    @property
    def pool_job(self) -> str:
        """The strategy that draws the pool."""
        return POOL if any(map(verifies, self.pooled)) else UNSCORED

    @property
    def probe(self) -> tuple[str, str]:
        """The strategy that draws the samples of predicted difficulty, and their stream."""
        scored = any(verifies(name) and not strategy(name).revises for name in self.strategies)
        return (POOL, DIFFICULTY) if scored else (UNSCORED, VOTES)

    @property
    def chains_job(self) -> Strategy:
        """The strategy that draws the pool of chains."""
        return CHAINS if any(map(verifies, self.chained)) else UNSCORED_CHAINS

    @property
    def pool_budgets(self) -> tuple[int, ...]:
        """Budgets at which pooled strategies are known: the plan's, and powers of two."""
        powers = [2**power for power in range(self.pool.bit_length())]
        return tuple(sorted({*self.budgets, *powers, self.pool}))

    def jobs(self, problems: Sequence[Problem]) -> Iterator[Job]:
        """Every job, those of one kind together."""
        kinds: list[tuple[str, int, str]] = []
        if self.oracle_samples:
            kinds.append((UNSCORED, self.oracle_samples, DIFFICULTY))
        if self.predicted_samples:
            name, stream = self.probe
            kinds.append((name, self.predicted_samples, stream))
        if self.pooled:
            kinds.append((self.pool_job, self.pool, ""))
        if self.chained:
            kinds.append((self.chains_job.name, self.chains, ""))
        kinds += [
            (name, budget, "")
            for name in self.live
            for budget in self.budgets
            if not self.is_sample(name, budget)
        ]
        for name, budget, stream in kinds:
            made = self.chains_job if name == self.chains_job.name else strategy(name)
            limit = Budget(budget)
            for problem in problems:
                yield Job(problem, made, limit, stream)


_NO_SAMPLE = ("greedy",)
"""Strategies of one generation that are not drawn at temperature 1."""


def verifies(name: str) -> bool:
    """Whether a strategy asks a verifier."""
    made = strategy(name)
    unscored = made.options.get("answer") is AnswerAggregation.MAJORITY and made.revises
    return made.name not in (UNSCORED, "greedy") and not unscored


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a strategy is read from a pool."""

    estimator: Estimator
    step: StepAggregation = StepAggregation.LAST


def _reading(name: str) -> _Reading | None:
    """How a strategy is read from a pool of independent samples, if it can be."""
    made = strategy(name)
    if made.name == UNSCORED:
        return _Reading(votes.majority)
    if made.name.startswith(POOL):
        answer = made.options.get("answer", AnswerAggregation.WEIGHTED)
        return _Reading(_BY_ANSWER[answer], made.options.get("step", StepAggregation.LAST))
    return None


@dataclass(frozen=True, slots=True)
class _Split:
    """How a strategy is read from a pool of chains."""

    length: int
    answer: AnswerAggregation


def _split(name: str) -> _Split | None:
    made = strategy(name)
    wanted = {"sequential": _DEFAULT_LENGTH, "answer": AnswerAggregation.HIERARCHICAL}
    options = {**wanted, **made.options}
    length, answer = options["sequential"], options["answer"]
    able = answer in (AnswerAggregation.HIERARCHICAL, AnswerAggregation.MAJORITY)
    if not made.revises or options.keys() > wanted.keys() or length & (length - 1) or not able:
        return None
    return _Split(length, answer)


_DEFAULT_LENGTH: int = inspect.signature(revise).parameters["sequential"].default

_BY_ANSWER: dict[AnswerAggregation, Estimator] = {
    AnswerAggregation.HIERARCHICAL: votes.weighted,
    AnswerAggregation.WEIGHTED: votes.weighted,
    AnswerAggregation.MAX: votes.best_of_n,
    AnswerAggregation.MAJORITY: partial(votes.majority, ties_by_score=True),
}


def run(
    plan: Plan,
    problems: Sequence[Problem],
    engines: Engines,
    revision: Engines | None = None,
    *,
    grader: Grader,
    seed: int,
    store: Store,
) -> None:
    """Run whatever of the plan is not in the store yet.

    Raises `RunError` where searches failed, once all others are done; what is done stays.
    """
    with _running(plan, problems, engines, revision, grader, seed, store) as under_way:
        for result in under_way.driver.run(under_way.left):
            if not under_way.saw(result):
                break


async def run_async(
    plan: Plan,
    problems: Sequence[Problem],
    engines: Engines,
    revision: Engines | None = None,
    *,
    grader: Grader,
    seed: int,
    store: Store,
) -> None:
    """The same beside whatever else an event loop does; cancelled, it can be gone on with."""
    with _running(plan, problems, engines, revision, grader, seed, store) as under_way:
        try:
            async with aclosing(under_way.driver.run_async(under_way.left)) as results:
                async for result in results:
                    if not under_way.saw(result):
                        break
        finally:
            await under_way.driver.aclose()


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A run, whichever way its driver is stepped."""

    driver: Driver
    left: Sequence[Job]
    saw: Callable[[Result], bool]
    """To be told of every result; whether to go on."""


@contextmanager
def _running(
    plan: Plan,
    problems: Sequence[Problem],
    engines: Engines,
    revision: Engines | None,
    grader: Grader,
    seed: int,
    store: Store,
) -> Iterator[_UnderWay]:
    done = {
        (outcome.problem_id, outcome.strategy, outcome.budget, stream)
        for stream in ("", DIFFICULTY, VOTES)
        for outcome in store.outcomes(stream=stream)
    }
    jobs = list(plan.jobs(problems))
    left = [job for job in jobs if _key(job) not in done]
    store.meet(problems)
    total = sum(map(_generations, jobs))
    work = sum(map(_generations, left))
    in_a_row = 0
    label = "sweep" if work == total else f"sweep, from {1 - work / total:.0%} on"
    failed: list[Outcome] = []
    with Progress(label, total, "generations", done=total - work) as bar:
        gauge = Gauge(bar, _generations)
        driver = Driver(
            engines.proposer,
            engines.verifier,
            revision=revision,
            grader=grader,
            seed=seed,
            journal=store,
            watch=gauge.drawn,
        )

        def saw(result: Result) -> bool:
            nonlocal in_a_row
            gauge.ended(result.job)
            if result.outcome.error is None:
                in_a_row = 0
                return True
            failed.append(result.outcome)
            in_a_row += 1
            return in_a_row < FAILURES

        yield _UnderWay(driver, left, saw)
    if failed:
        raise RunError(
            f"{len(failed)} of {len(left)} searches failed, such as that on problem "
            f"{failed[0].problem_id!r} ({failed[0].error}); the same command tries them again, and "
            "pays for nothing twice"
        )


def _generations(job: Job) -> int:
    """What a job draws: a pool of chains more than its size."""
    size = job.budget.generations
    is_pool = job.strategy.name in (CHAINS.name, UNSCORED_CHAINS.name)
    return sum(pool_lengths(size)) if is_pool else size


def _key(job: Job) -> tuple[str, str, int, str]:
    return job.problem.id, job.strategy.name, job.budget.generations, job.stream


@dataclass(frozen=True, eq=False)
class Study:
    """What a store says about a plan on problems that have references.

    Raises `UsageError` where something was not run yet.
    """

    plan: Plan
    problems: tuple[Problem, ...]
    store: Store = field(repr=False)
    grader: Grader = field(repr=False)
    _read: dict[StepAggregation, list[Pool]] = field(default_factory=dict, repr=False)
    _known: dict[tuple[str, int], Floats] = field(default_factory=dict, repr=False)
    """[P] accuracy by strategy and budget, where it was read from a pool."""
    _verdicts: dict[str, dict[str, bool]] = field(default_factory=dict, repr=False)
    """By problem and answer: a program is run once, and right or wrong in every pool."""

    @cached_property
    def pools(self) -> list[Pool]:
        """One pool a problem."""
        return self._pools(StepAggregation.LAST)

    def _pools(self, step: StepAggregation) -> list[Pool]:
        if step not in self._read:
            plan = self.plan
            self._read[step] = [
                self._pool(problem, plan.pool_job, plan.pool, "", step) for problem in self.problems
            ]
        return self._read[step]

    @cached_property
    def chains(self) -> list[Chains]:
        """One pool of chains a problem."""
        size = self.plan.chains
        name = self.plan.chains_job.name
        pools = [self._pool(problem, name, size, "") for problem in self.problems]
        return [Chains(pool, size) for pool in pools]

    @cached_property
    def oracle(self) -> Difficulty:
        """Difficulty from labels: for upper bounds only."""
        samples = self.plan.oracle_samples
        return oracle([self._pool(p, UNSCORED, samples, DIFFICULTY) for p in self.problems])

    @cached_property
    def predicted(self) -> Difficulty:
        """Difficulty from verifier scores or votes, as it can be had on new problems."""
        return self.predicted_at(self.plan.predicted_samples)

    def predicted_at(self, samples: int) -> Difficulty:
        """The same from fewer of the samples than were drawn."""
        return predicted(self._difficulty_pools, samples)

    @cached_property
    def _difficulty_pools(self) -> list[Pool]:
        samples = self.plan.predicted_samples
        name, stream = self.plan.probe
        return [self._pool(problem, name, samples, stream) for problem in self.problems]

    @cached_property
    def grid(self) -> Grid:
        """Accuracy of every strategy at every budget of the plan on every problem."""
        budgets, names = self.plan.budgets, self.plan.strategies
        accuracy = np.full((len(names), len(budgets), len(self.problems)), np.nan)
        for row, name in enumerate(names):
            if name in self.plan.pooled:
                accuracy[row] = self.curve(name, budgets)
            elif name in self.plan.chained:
                known = self.plan.known(name)
                accuracy[row, : len(known)] = self.curve(name, known)
            else:
                for column, budget in enumerate(budgets):
                    if self.plan.is_sample(name, budget):
                        accuracy[row, column] = self.curve(self.plan.pooled[0], (1,))[0]
                        continue
                    outcomes = self._outcomes(name, budget)
                    accuracy[row, column] = [bool(outcome.right) for outcome in outcomes]
        return Grid(tuple(p.id for p in self.problems), names, budgets, accuracy)

    def curve(self, name: str, budgets: Sequence[int]) -> Floats:
        """[N, P] accuracy of a pooled or chained strategy at any budgets up to the pool's size.

        Remembered; and since a pool costs as much to read at one budget as at many, a pooled
        strategy is read at all the usual ones at once.
        """
        wanted = {*budgets, *(self.plan.pool_budgets if name in self.plan.pooled else ())}
        missing = sorted(budget for budget in wanted if (name, budget) not in self._known)
        if any((name, budget) not in self._known for budget in budgets):
            for budget, row in zip(missing, self._curve(name, missing), strict=True):
                self._known[name, budget] = row
        return np.array([self._known[name, budget] for budget in budgets])

    def _curve(self, name: str, budgets: Sequence[int]) -> Floats:
        reading, split = _reading(name), _split(name)
        if split is not None:
            found = chains.curve(self.chains, split.length, split.answer, budgets)
        else:
            assert reading is not None
            found = pools.curve(self._pools(reading.step), reading.estimator, budgets)
        # A sum of shares may round to a little more than 1.
        return found.clip(0.0, 1.0)

    def usage(self, name: str, budget: int) -> Usage:
        """What a strategy spent at a budget: the sum over all problems."""
        if name in self.plan.chained:
            return self._chained_usage(name, budget)
        if name not in self.plan.pooled and not self.plan.is_sample(name, budget):
            return self._spent(name, budget)
        pool, verified = self.plan.pool, verifies(name)
        spent = (outcome.usage for outcome in self._outcomes(self.plan.pool_job, pool))
        return sum((_share(each, budget, pool, verified=verified) for each in spent), Usage())

    def _chained_usage(self, name: str, budget: int) -> Usage:
        """Expected cost of some chains of a pool, from what each place of a chain costs."""
        split = _split(name)
        assert split is not None
        length = min(split.length, budget)
        parallel = budget // length
        lengths = pool_lengths(self.plan.chains)
        at, total = 0, Usage()
        for place in range(length):
            drawn = sum(each > place for each in lengths)
            costs = self._chain_costs[at : at + drawn]
            spent = sum(costs, Usage())
            taken = _scaled(spent, parallel / drawn)
            if place == 0:
                taken = _read(costs, parallel, taken)
            on_prompt = spent.decoded_attended - spent.kv_reads
            reads = (spent.kv_reads * parallel + on_prompt) / drawn
            total += replace(taken, kv_reads=round(reads))
            at += drawn
        return total if verifies(name) else _unverified(total)

    @cached_property
    def _chain_costs(self) -> list[Usage]:
        """What each solution of a pool of chains cost, the sum over all problems."""
        ids = {problem.id for problem in self.problems}
        return self.store.costs(self.plan.chains_job.name, self.plan.chains, ids)

    def _spent(self, name: str, budget: int) -> Usage:
        return sum((outcome.usage for outcome in self._outcomes(name, budget)), Usage())

    @cached_property
    def _recorded(self) -> dict[tuple[str, int, str], Outcome]:
        """Every outcome by strategy, budget and problem, read once."""
        return {
            (outcome.strategy, outcome.budget, outcome.problem_id): outcome
            for outcome in self.store.outcomes()
        }

    def _outcomes(self, name: str, budget: int) -> list[Outcome]:
        """The outcome of every problem, in order."""
        try:
            return [self._recorded[name, budget, problem.id] for problem in self.problems]
        except KeyError as error:
            raise UsageError(
                f"{name} at {budget} was not run on problem {error.args[0][-1]!r}; "
                "give the same 'outthink sweep' again, it goes on where it stopped"
            ) from None

    def _pool(
        self,
        problem: Problem,
        name: str,
        budget: int,
        stream: str,
        step: StepAggregation = StepAggregation.LAST,
    ) -> Pool:
        answers, scores = self.store.pool(problem.id, name, budget, stream, step=step)
        verdicts = self._verdicts.setdefault(problem.id, {})
        for answer in answers:
            if answer is not None and answer not in verdicts:
                reference = problem.reference
                verdicts[answer] = reference is not None and self.grader(answer, reference)
        right = [answer is not None and verdicts[answer] for answer in answers]
        return Pool.of(problem.id, answers, scores, right)


def _share(whole: Usage, budget: int, pool: int, *, verified: bool) -> Usage:
    """Expected cost of `budget` of the `pool` rows drawn for one problem, chosen at random.

    What every row after the first had from the cache was computed once, and would be for any
    number of rows; the rest is each row's own.
    """
    share, others = budget / pool, max(1, pool - 1)
    prompt, verifier_prompt = whole.cached_tokens / others, whole.verifier_cached_tokens / others
    # Of the reads of a prompt, a row's part is the smaller the more rows share it.
    prompt_reads = (whole.decoded_attended - whole.kv_reads) / others

    def part(total: int, once: float = 0.0) -> int:
        return round(once + (total - once) * share)

    taken = replace(
        whole,
        generations=part(whole.generations),
        prompt_tokens=part(whole.prompt_tokens, prompt),
        cached_tokens=round(prompt * (budget - 1)),
        decoded_tokens=part(whole.decoded_tokens),
        discarded_tokens=part(whole.discarded_tokens),
        verifier_tokens=part(whole.verifier_tokens, verifier_prompt),
        verifier_cached_tokens=round(verifier_prompt * (budget - 1)),
        seconds=whole.seconds * share,
        prompt_attended=part(whole.prompt_attended, _up_to(prompt)),
        decoded_attended=part(whole.decoded_attended),
        verifier_attended=part(whole.verifier_attended, _up_to(verifier_prompt)),
        kv_reads=part(whole.kv_reads, prompt_reads),
    )
    return taken if verified else _unverified(taken)


def _unverified(usage: Usage) -> Usage:
    return replace(usage, verifier_tokens=0, verifier_cached_tokens=0, verifier_attended=0)


def _scaled(usage: Usage, share: float) -> Usage:
    """A share of everything."""
    values = {each.name: getattr(usage, each.name) * share for each in fields(Usage)}
    seconds = values.pop("seconds")
    return Usage(seconds=seconds, **{name: round(value) for name, value in values.items()})


def _read(costs: Sequence[Usage], rows: int, taken: Usage) -> Usage:
    """What is taken of these costs, with what is read for the first of some rows: the prompt is
    read for it alone, and the others find it in the cache."""
    others = _scaled(sum(costs[1:], Usage()), (rows - 1) / max(1, len(costs) - 1))
    found = costs[0] + others
    return replace(
        taken,
        prompt_tokens=found.prompt_tokens,
        cached_tokens=found.cached_tokens,
        verifier_tokens=found.verifier_tokens,
        verifier_cached_tokens=found.verifier_cached_tokens,
        prompt_attended=found.prompt_attended,
        verifier_attended=found.verifier_attended,
    )


def _up_to(tokens: float) -> float:
    """Tokens attended to by this many from the start."""
    return tokens * (tokens + 1) / 2
