"""What a study runs: strategies at budgets, and the samples that they are read from.

Strategies that only choose among independent samples share one pool a problem, drawn once at its
largest size; every smaller budget is estimated from it (`measure`). Searches run live at every
budget. Difficulty is estimated from samples of its own, so that it shares no luck with what it is
compared to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from outthink.errors import UsageError
from outthink.run.journal import Job
from outthink.search import strategy
from outthink.search.chains import pool_lengths
from outthink.types import PROPOSER, REVISER, REVISION_VERIFIER, VERIFIER, Budget, Problem

POOL = "best_of_n"
"""The job that draws a scored pool; majority and every best-of-N are read from it."""
UNSCORED = "majority"
"""The job that draws a pool without scores."""
CHAINS = "chains"
"""The job that draws a pool of chains; every split into sequential and parallel is read from it."""
UNSCORED_CHAINS = "chains(scored=no)"
"""The same without scores."""
DIFFICULTY = "difficulty"
"""The stream of the samples that difficulty is estimated from."""
TRIAL = "trial"
"""How the streams of the trials of stages begin; a number follows."""
VOTES = "votes"
"""The stream of those that it is predicted from without a verifier, by how far they agree: labelled
samples are drawn by the same strategy, and would be the same ones."""

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


Kind = tuple[str, int, str]
"""Strategy, budget and stream: what one of a plan's jobs is on any problem."""


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
    stages: tuple[str, ...] = ()
    """Searches that a sequential policy may run one after another, each with its size, as
    `beam@4`. Samples need not be named: they are read from the pool."""
    trials: int = 8
    """Independent runs of every stage a problem."""

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
        object.__setattr__(self, "stages", tuple(map(_stage, self.stages)))
        if self.stages and self.trials < 1:
            raise UsageError(f"{self.trials} trials of every stage; give at least 1, better 8")
        if self.pooled and self.pool < self.budgets[-1]:
            raise UsageError(
                f"a pool of {self.pool} is smaller than the largest budget {self.budgets[-1]}; "
                "make it at least as large"
            )

    @property
    def pooled(self) -> tuple[str, ...]:
        """Strategies read from the pool."""
        return tuple(name for name in self.strategies if reads_samples(name))

    @property
    def chained(self) -> tuple[str, ...]:
        """Strategies read from the pool of chains."""
        if not self.chains:
            return ()
        return tuple(name for name in self.strategies if reads_chains(name))

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
        roles = strategy(name).about.roles or frozenset()
        return budget == 1 and bool(self.pooled) and PROPOSER in roles and name not in _NO_SAMPLE

    @property
    def pool_job(self) -> str:
        """The strategy that draws the pool."""
        return POOL if any(map(verifies, self.pooled)) else UNSCORED

    @property
    def probe(self) -> tuple[str, str]:
        """The strategy that draws the samples of predicted difficulty, and their stream."""
        scored = any(VERIFIER in asks(name) for name in self.strategies)
        return (POOL, DIFFICULTY) if scored else (UNSCORED, VOTES)

    @property
    def chains_job(self) -> str:
        """The strategy that draws the pool of chains."""
        read = (*self.chained, *filter(reads_chains, self.stage_strategies))
        return CHAINS if any(map(verifies, read)) else UNSCORED_CHAINS

    @property
    def pool_budgets(self) -> tuple[int, ...]:
        """Budgets at which pooled strategies are known: the plan's, and powers of two."""
        powers = [2**power for power in range(self.pool.bit_length())]
        return tuple(sorted({*self.budgets, *powers, self.pool}))

    @property
    def chain_budgets(self) -> tuple[int, ...]:
        """Budgets at which chained strategies are known: the plan's that its chains reach, and
        powers of two."""
        powers = {2**power for power in range(self.chains.bit_length())}
        return tuple(sorted(powers | {n for n in self.budgets if n <= self.chains}))

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What is run on every problem, in this order."""
        kinds: list[Kind] = []
        if self.oracle_samples:
            kinds.append((UNSCORED, self.oracle_samples, DIFFICULTY))
        if self.predicted_samples:
            name, stream = self.probe
            kinds.append((name, self.predicted_samples, stream))
        if self.pooled:
            kinds.append((self.pool_job, self.pool, ""))
        if self.chained:
            kinds.append((self.chains_job, self.chains, ""))
        kinds += [
            (name, budget, "")
            for name in self.live
            for budget in self.budgets
            if not self.is_sample(name, budget)
        ]
        kinds += [kind for stage in self.stages for kind in self.trials_of(stage)]
        return tuple(dict.fromkeys(kinds))

    def trials_of(self, stage: str) -> tuple[Kind, ...]:
        """The runs of one of the stages: none of chains that are in the pool of chains, one of what
        never samples."""
        name, size = stage_parts(stage)
        if reads_chains(name) and size <= self.chains:
            return ((self.chains_job, self.chains, ""),)
        runs = 1 if name.startswith(_NO_SAMPLE) else self.trials
        return tuple((name, size, f"{TRIAL} {run}") for run in range(runs))

    @property
    def roles(self) -> frozenset[str]:
        """Every role that is asked."""
        return frozenset[str]().union(*map(asks, (*self.strategies, *self.stage_strategies)))

    @property
    def stage_strategies(self) -> tuple[str, ...]:
        """The strategies of the stages."""
        return tuple(stage_parts(stage)[0] for stage in self.stages)

    def jobs(self, problems: Sequence[Problem]) -> Iterator[Job]:
        """Every job, those of one kind together."""
        for name, budget, stream in self.kinds:
            made, limit = strategy(name), Budget(budget)
            # Pools and trials are read answer by answer, searches by what they chose.
            is_pool = bool(stream) or name in (self.pool_job, self.chains_job)
            for problem in problems:
                yield Job(problem, made, limit, stream, judges_all=is_pool)

    def generations(self, problems: Sequence[Problem]) -> int:
        """That all jobs draw."""
        return sum(map(generations, self.jobs(problems)))


_NO_SAMPLE = ("greedy",)
"""Strategies of one generation that are not drawn at temperature 1."""


def stage_parts(stage: str) -> tuple[str, int]:
    """Strategy and size of a stage such as `beam@4`. Raises `UsageError` for anything else."""
    name, at, size = stage.strip().rpartition("@")
    if not at or not size.isdecimal() or not int(size):
        raise UsageError(
            f"stage {stage!r} has no size; write a strategy and its generations, as 'beam@4'"
        )
    return strategy(name).name, int(size)


def _stage(text: str) -> str:
    name, size = stage_parts(text)
    return f"{name}@{size}"


def asks(name: str) -> frozenset[str]:
    """Roles that a strategy asks; a proposer and a verifier where it does not say."""
    roles = strategy(name).about.roles
    return frozenset({PROPOSER, VERIFIER}) if roles is None else roles


def verifies(name: str) -> bool:
    """Whether a strategy asks a verifier."""
    return bool(asks(name) & {VERIFIER, REVISION_VERIFIER})


def revises(name: str) -> bool:
    """Whether a strategy asks a reviser."""
    return REVISER in asks(name)


def reads_samples(name: str) -> bool:
    """Whether a strategy is read from a pool of independent samples."""
    reading = strategy(name).about.reading
    return reading is not None and reading.sequential is None


def reads_chains(name: str) -> bool:
    """Whether a strategy is read from a pool of chains of revisions."""
    reading = strategy(name).about.reading
    return reading is not None and reading.sequential is not None


def generations(job: Job) -> int:
    """What a job draws: a pool of chains more than its size."""
    size = job.budget.generations
    is_chains = job.strategy.name in (CHAINS, UNSCORED_CHAINS)
    return sum(pool_lengths(size)) if is_chains else size
