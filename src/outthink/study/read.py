"""A study read back from its store, as often as needed.

Nothing here loads a model or asks a grader: draws, scores and verdicts are rows of the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial

import numpy as np

from outthink.errors import StoreError, UsageError
from outthink.grade import RECORDED
from outthink.measure import chains, finish, pools, votes
from outthink.measure.arrays import Floats
from outthink.measure.chains import Chains
from outthink.measure.difficulty import Difficulty, oracle, predicted
from outthink.measure.grid import Grid
from outthink.measure.lengths import Response, response
from outthink.measure.pools import Estimator, Pool
from outthink.run.store import Recorded, View
from outthink.search import AnswerAggregation, Selection, StepAggregation, strategy
from outthink.search.chains import pool_lengths
from outthink.search.finish import Finish
from outthink.study.plan import DIFFICULTY, UNSCORED, Kind, Plan, verifies
from outthink.study.record import Asked
from outthink.types import Outcome, Problem, Reading, Usage


@dataclass(frozen=True, eq=False)
class Study:
    """What a store says about a plan on problems that have references.

    Raises `UsageError` where something was not run yet.
    """

    plan: Plan
    problems: tuple[Problem, ...]
    view: View = field(repr=False)
    """What the store holds of searches by this study's models, judged by its grader."""
    asked: Asked = field(repr=False)
    """What the store was asked for."""
    absent: frozenset[tuple[str, int]] = frozenset()
    """Strategies and budgets of the plan that are not known, as their sweep is not finished."""
    left_out: int = 0
    """Problems with references that are not among these for the same reason."""
    _read: dict[StepAggregation, list[Pool]] = field(default_factory=dict, repr=False)
    _known: dict[tuple[str, int], Floats] = field(default_factory=dict, repr=False)
    """[P] accuracy by strategy and budget, where it was read from a pool."""

    def is_known(self, name: str, budget: int) -> bool:
        """Whether a strategy of the plan was run at a budget of the plan."""
        return budget in self.plan.known(name) and (name, budget) not in self.absent

    @property
    def strategies(self) -> tuple[str, ...]:
        """Those of the plan that were run at some budget."""
        budgets = self.plan.budgets
        return tuple(
            name for name in self.plan.strategies if any(self.is_known(name, n) for n in budgets)
        )

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
        name = self.plan.chains_job
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
            known = [budget for budget in budgets if self.is_known(name, budget)]
            columns = [budgets.index(budget) for budget in known]
            if known and name in (*self.plan.pooled, *self.plan.chained):
                accuracy[row, columns] = self.curve(name, known)
                continue
            for column, budget in zip(columns, known, strict=True):
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
        reading = _reading(name)
        if reading.sequential is not None:
            answer = _selection(reading).answer
            accuracy = chains.curve(self.chains, reading.sequential, answer, budgets)
        elif isinstance(reading.choose, Finish):
            accuracy = self._finish_curve(reading.choose, budgets)
        else:
            estimator, step = _estimator(name, reading)
            accuracy = pools.curve(self._pools(step), estimator, budgets)
        # A sum of shares may round to a little more than 1.
        return accuracy.clip(0.0, 1.0)

    @cached_property
    def lengths(self) -> list[Floats]:
        """[n] tokens of every solution of each problem's pool; NaN where nobody counted them."""
        return self._lengths(self.plan.pool_job, self.plan.pool)

    @cached_property
    def chain_lengths(self) -> list[Floats]:
        """The same of every solution of each problem's chains."""
        return self._lengths(self.plan.chains_job, self.plan.chains)

    def responses(self, length: int) -> list[list[Response]]:
        """Each problem's chains of one length, a power of two. Raises `UsageError` for another."""
        return [
            [response(chains.drawn, lengths, row) for row in chains.first(length)]
            for chains, lengths in zip(self.chains, self.chain_lengths, strict=True)
        ]

    def _lengths(self, job: str, size: int) -> list[Floats]:
        counts = [self.view.tokens(problem.id, job, size) for problem in self.problems]
        return [
            np.array([np.nan if count is None else count for count in some], np.float64)
            for some in counts
        ]

    @cached_property
    def read_pools(self) -> list[Pool]:
        """The pools, in which a sample has no answer where none could be read, although its file
        judged it wrong."""
        job, size = self.plan.pool_job, self.plan.pool
        if not self._as_judged:
            return self.pools
        said = [self.view.recorded(problem.id, job, size) for problem in self.problems]
        return [
            pool if some is None else _read_alone(pool, some)
            for pool, some in zip(self.pools, said, strict=True)
        ]

    def _finish_curve(self, how: Finish, budgets: Sequence[int]) -> Floats:
        columns = [
            finish.by_finish(pool, lengths, budgets, k=how.k, last=how.last)
            for pool, lengths in zip(self.read_pools, self.lengths, strict=True)
        ]
        return np.stack(columns, axis=1)

    def usage(self, name: str, budget: int) -> Usage:
        """What a strategy spent at a budget: the sum over all problems."""
        if name in self.plan.chained:
            return self._chained_usage(name, budget)
        if name not in self.plan.pooled and not self.plan.is_sample(name, budget):
            return sum(self.live_usages(name, budget), Usage())
        pool, verified = self.plan.pool, verifies(name)
        spent = (outcome.usage for outcome in self._outcomes(self.plan.pool_job, pool))
        return sum((_share(usage, budget, pool, verified=verified) for usage in spent), Usage())

    def verifier_wrote(self, name: str, budget: int) -> float:
        """Tokens that the verifier of a strategy wrote at a budget: the sum over all problems. Of a
        pool, the expected share of what was written for it."""
        if not verifies(name):
            return 0.0
        job, size = name, budget
        if name in self.plan.chained:
            job, size = self.plan.chains_job, self.plan.chains
        elif name in self.plan.pooled or self.plan.is_sample(name, budget):
            job, size = self.plan.pool_job, self.plan.pool
        ids = {problem.id for problem in self.problems}
        asked = self.view.verifying(job, size, ids)
        drawn = asked.solutions
        share = 1.0 if job == name and size == budget else budget * len(ids) / max(1, drawn)
        return share * asked.written_tokens

    def _chained_usage(self, name: str, budget: int) -> Usage:
        """Expected cost of some chains of a pool, from what each place of a chain costs."""
        sequential = _reading(name).sequential
        assert sequential is not None
        length = min(sequential, budget)
        parallel = budget // length
        lengths = pool_lengths(self.plan.chains)
        at, total = 0, Usage()
        for place in range(length):
            drawn = sum(length > place for length in lengths)
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
        return self.view.costs(self.plan.chains_job, self.plan.chains, ids)

    @cached_property
    def _recorded(self) -> dict[tuple[str, int, str], Outcome]:
        """Every outcome by strategy, budget and problem, read once."""
        return {
            (outcome.strategy, outcome.budget, outcome.problem_id): outcome
            for outcome in self.view.outcomes()
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

    def samples(self, problem: Problem, kind: Kind) -> Pool:
        """What a search of independent samples drew. Raises `StoreError` where it is not done."""
        return self._pool(problem, *kind)

    def drawn(self, problem: Problem, kind: Kind) -> list[tuple[str | None, float | None]]:
        """Answer and score of what a job drew. Of a search step by step, answers that nobody judged
        belong to solutions that it dropped: they are `None`.

        Raises `StoreError` where the job is not done.
        """
        answers, scores = self.view.pool(problem.id, *kind)
        known = self._verdicts.get(problem.id, {})
        return [
            (answer if answer in known else None, score)
            for answer, score in zip(answers, scores, strict=True)
        ]

    def usages(self) -> dict[tuple[str, str, int, str], Usage]:
        """What every finished job cost, by problem, strategy, budget and stream."""
        streams = self.view.streams()
        return {
            (outcome.problem_id, outcome.strategy, outcome.budget, stream): outcome.usage
            for stream in streams
            for outcome in self.view.outcomes(stream=stream)
        }

    def live_usages(self, name: str, budget: int) -> list[Usage]:
        """What a search that was run live cost on every problem."""
        return [outcome.usage for outcome in self._outcomes(name, budget)]

    def chances(self, name: str, budget: int) -> Floats:
        """[P] how likely its answer is right, as a search said; NaN where it did not."""
        said = self.view.chances(name, budget)
        return np.array([said.get(problem.id, np.nan) for problem in self.problems])

    def is_right(self, problem: Problem, answer: str) -> bool:
        """Whether an answer is right. Raises `StoreError` where it was not judged."""
        right = self._verdicts.get(problem.id, {}).get(answer)
        if right is None:
            raise StoreError(
                f"answer {answer!r} to problem {problem.id!r} was not judged; give the same "
                "'outthink sweep' again, it judges what is missing"
            )
        return right

    @property
    def _as_judged(self) -> bool:
        """Whether verdicts are those of the files of an import."""
        return bool(self.asked.imported) and self.asked.grader.startswith(RECORDED)

    @cached_property
    def _verdicts(self) -> dict[str, dict[str, bool]]:
        return self.view.verdicts()

    def _pool(
        self,
        problem: Problem,
        name: str,
        budget: int,
        stream: str,
        step: StepAggregation = StepAggregation.LAST,
    ) -> Pool:
        answers, scores = self.view.pool(problem.id, name, budget, stream, step=step)
        recorded = self.view.recorded(problem.id, name, budget, stream) if self._as_judged else None
        if recorded is not None:
            judged = list(zip(answers, recorded, strict=True))
            right = [answer is not None and one.right is True for answer, one in judged]
            # One that was judged has an answer, its own where none can be read.
            said = [one.answer or answer for answer, one in judged]
            return Pool.of(problem.id, said, scores, right)
        judged_right = {
            answer: answer is not None and self.is_right(problem, answer)
            for answer in dict.fromkeys(answers)
        }
        right = [judged_right[answer] for answer in answers]
        return Pool.of(problem.id, answers, scores, right)


def _read_alone(pool: Pool, recorded: Sequence[Recorded]) -> Pool:
    unread = np.array([one.answer is None for one in recorded]) & ~pool.right
    answers = np.where(unread, pools.NO_ANSWER, pool.answers).astype(np.int32)
    return replace(pool, answers=answers)


def _reading(name: str) -> Reading:
    reading = strategy(name).about.reading
    if reading is None:
        raise UsageError(f"{name} has to be run; it cannot be read from a pool")
    return reading


def _selection(reading: Reading) -> Selection:
    return reading.choose if isinstance(reading.choose, Selection) else Selection()


def _estimator(name: str, reading: Reading) -> tuple[Estimator, StepAggregation]:
    """How the accuracy of a strategy is estimated from a pool."""
    selection = _selection(reading)
    if not isinstance(reading.choose, Selection):
        return partial(votes.chosen, choose=reading.choose), selection.step
    if selection.answer is AnswerAggregation.MAJORITY:
        return partial(votes.majority, ties_by_score=verifies(name)), selection.step
    return _BY_ANSWER[selection.answer], selection.step


_BY_ANSWER: dict[AnswerAggregation, Estimator] = {
    AnswerAggregation.HIERARCHICAL: votes.weighted,
    AnswerAggregation.WEIGHTED: votes.weighted,
    AnswerAggregation.MAX: votes.best_of_n,
}


def _share(whole: Usage, budget: int, pool: int, *, verified: bool) -> Usage:
    """Expected cost of `budget` of the `pool` rows drawn for one problem, chosen at random.

    What every row after the first had from the cache was computed once, and would be for any
    number of rows; the rest is each row's own.
    """
    share, others = budget / pool, max(1, pool - 1)
    # No more was computed once than was computed: a verifier may read its own words from a cache.
    prompt = min(whole.cached_tokens / others, whole.prompt_tokens)
    verifier_prompt = min(whole.verifier_cached_tokens / others, whole.verifier_tokens)
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
        verifier_calls=part(whole.verifier_calls),
    )
    return taken if verified else _unverified(taken)


def _unverified(usage: Usage) -> Usage:
    return replace(
        usage,
        verifier_tokens=0,
        verifier_cached_tokens=0,
        verifier_attended=0,
        verifier_calls=0,
    )


def _scaled(usage: Usage, share: float) -> Usage:
    """A share of everything."""
    values = {field.name: getattr(usage, field.name) * share for field in fields(Usage)}
    seconds = values.pop("seconds")
    return Usage(seconds=seconds, **{name: round(value) for name, value in values.items()})


def _read(costs: Sequence[Usage], rows: int, taken: Usage) -> Usage:
    """What is taken of these costs, with what is read for the first of some rows: the prompt is
    read for it alone, and the others find it in the cache."""
    others = _scaled(sum(costs[1:], Usage()), (rows - 1) / max(1, len(costs) - 1))
    read = costs[0] + others
    return replace(
        taken,
        prompt_tokens=read.prompt_tokens,
        cached_tokens=read.cached_tokens,
        verifier_tokens=read.verifier_tokens,
        verifier_cached_tokens=read.verifier_cached_tokens,
        prompt_attended=read.prompt_attended,
        verifier_attended=read.verifier_attended,
    )


def _up_to(tokens: float) -> float:
    """Tokens attended to by this many from the start."""
    return tokens * (tokens + 1) / 2
