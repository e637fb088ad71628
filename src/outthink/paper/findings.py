"""The quantities that claims are judged by and figures show, computed from the evidence once.

There are three axes: searches of S against best-of-N (Snell et al. 2024, section 5), splits of
revisions against as many independent first answers (section 6), and both together, which the paper
does not study. On every axis a policy is fitted twice: on predicted bins, charged for predicting
them, which gives the main results, and on oracle bins, which gives an upper bound.

Nothing here runs a model. Arrays are [..., P] over the problems of the evidence, in their order.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from outthink.measure import difficulty, exchange, pools, quality, votes
from outthink.measure.arrays import Floats, Integers
from outthink.measure.costs import COST_MODELS
from outthink.measure.difficulty import bins
from outthink.measure.equivalence import Equivalence, equivalence
from outthink.measure.exchange import Accounting, Comparison, Crossover, Measured
from outthink.measure.grid import Grid
from outthink.measure.lengths import outcome_efficiency
from outthink.measure.pools import Pool
from outthink.models.shape import ModelShape
from outthink.paper.evidence import BASELINE, PARALLEL, PLAIN, Evidence
from outthink.paper.sequential import fits
from outthink.policy import table as policy
from outthink.policy.results import SequentialFit
from outthink.policy.table import Fit
from outthink.search import lookahead, revise, strategy
from outthink.study.plan import REVISIONS, STRATEGIES, revises
from outthink.study.read import Study
from outthink.types import Usage

RATIOS = (0.16, 0.79, 22.0)
"""The values of R, inference over pretraining tokens, that the paper compares at (section 7)."""

LONGEST = 16
"""Claims about the answers of a chain use this many of them: the paper's plateau begins here."""


class Bins(StrEnum):
    """The kind of difficulty that a policy's bins are cut by."""

    PREDICTED = "predicted"
    """Without reference answers: for the main results."""
    ORACLE = "oracle"
    """From reference answers: for upper bounds."""


@dataclass(frozen=True, eq=False)
class Axis:
    """A family of strategies, the policies fitted on it, and their baseline."""

    name: str
    base: str
    """The baseline: one strategy."""
    base_budgets: tuple[int, ...]
    base_curve: Floats
    """[B, P] accuracy of the baseline at `base_budgets`."""
    grid: Grid
    fits: Mapping[Bins, Fit]
    cost: float
    """Generations a problem that predicting difficulty takes."""

    @cached_property
    def net(self) -> tuple[Equivalence, ...]:
        """Compute-equivalence factors by budget: predicted bins, charged. The main result."""
        return self.factors(Bins.PREDICTED, self.cost)

    @cached_property
    def gross(self) -> tuple[Equivalence, ...]:
        """Compute-equivalence factors by budget: predicted bins, not charged."""
        return self.factors(Bins.PREDICTED, 0.0)

    @cached_property
    def upper(self) -> tuple[Equivalence, ...]:
        """Compute-equivalence factors by budget: oracle bins, not charged. An upper bound."""
        return self.factors(Bins.ORACLE, 0.0)

    def factors(self, kind: Bins, cost: float) -> tuple[Equivalence, ...]:
        """Compute-equivalence factors by budget, `cost` generations charged."""
        return self.against_base(self.fits[kind].held_out, self.grid.budgets, cost)

    def against_base(
        self, accuracy: Floats, budgets: Sequence[int], cost: float = 0.0
    ) -> tuple[Equivalence, ...]:
        """How many times the cost the baseline needs to reach this accuracy [N, P]."""
        return equivalence(self.base_curve, self.base_budgets, accuracy, budgets, extra_cost=cost)

    def row(self, budget: int) -> int:
        return self.grid.budgets.index(budget)

    def held_out(self, budget: int, kind: Bins = Bins.PREDICTED) -> Floats:
        """[P] held-out accuracy of the policy at a budget."""
        accuracy: Floats = self.fits[kind].held_out[self.row(budget)]
        return accuracy

    def accuracy(self, name: str, budget: int) -> Floats:
        """[P] accuracy of one strategy at a budget; NaN where it was not run."""
        values: Floats = self.grid.accuracy[self.grid.strategies.index(name), self.row(budget)]
        return values


@dataclass(frozen=True, eq=False)
class Exchanged:
    """S with a policy against L's greedy answer, at budgets of equal FLOPs."""

    measured: Measured
    accounting: Accounting
    comparisons: tuple[Comparison, ...]
    """At each R: all problems, then each bin."""
    crossovers: tuple[Crossover, ...]
    """All problems, then each bin."""

    @property
    def largest(self) -> int:
        """The largest budget of S."""
        return self.measured.budgets[-1]

    @property
    def at_largest(self) -> Floats:
        """[P] accuracy of S at its largest budget."""
        accuracy: Floats = self.measured.small[-1]
        return accuracy

    def at(self, token_ratio: float, number: int | None) -> Comparison:
        return next(
            row for row in self.comparisons if row.bin == number and row.token_ratio == token_ratio
        )

    def difference(self, token_ratio: float, numbers: Sequence[int]) -> Floats | None:
        """[p] accuracy of S minus that of L on the problems of these bins.

        `None` where equal FLOPs do not pay for one sample of S.
        """
        budget = self.at(token_ratio, None).budget
        if budget is None or self.measured.bins is None:
            return None
        members = np.isin(self.measured.bins, numbers)
        row = self.measured.budgets.index(budget)
        values: Floats = self.measured.small[row, members] - self.measured.large[members]
        return values


@dataclass(frozen=True, eq=False)
class ChainFacts:
    """How often the answers of revision chains are right, and how that changes along a chain."""

    pass_at_1: Floats
    """[L, P] share of right answers at each position, over the chains that are long enough."""
    broken: Floats
    """[P] number of right answers followed by a wrong one."""
    kept_or_broken: Floats
    """[P] number of right answers followed by any answer."""
    mended: Floats
    """[P] number of wrong answers followed by a right one."""
    mended_or_not: Floats
    """[P] number of wrong answers followed by any answer."""
    solved: Floats
    """[P] number of chains of `short` answers that contain a right one."""
    solved_at_once: Floats
    """[P] number of those whose first answer is right."""
    short: int
    efficiency: Floats | None = None
    """[P] outcome efficiency of those chains; `None` where nobody counted tokens."""


@dataclass(frozen=True, eq=False)
class Goodhart:
    """The score that best-of-N maximises, and the accuracy it reaches (Goodhart's law)."""

    budgets: tuple[int, ...]
    score: Floats
    """[N, P] expected best score of N samples; NaN for a problem without scores."""
    accuracy: Floats
    """[N, P] accuracy of the best-scored answer."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What a strategy spent at a budget."""

    strategy: str
    budget: int
    usage: Usage
    """The sum over all problems."""
    flops: Mapping[str, float]
    """FLOPs a problem, by cost model."""
    tokens: float
    """Tokens decoded a problem."""
    depth: float
    """Tokens decoded one after the other, where all that can be is run in parallel: latency."""


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything computed from the evidence, on first use."""

    evidence: Evidence
    _curves: dict[tuple[str, int], Floats] = field(default_factory=dict, repr=False)

    @cached_property
    def sequential(self) -> dict[str, SequentialFit]:
        """The sequential policy by menu; none where no stages were run, or on too few problems."""
        return fits(self.evidence)

    # Axes ----------------------------------------------------------------------------------------

    @cached_property
    def search(self) -> Axis:
        """Searches of S against a PRM (section 5)."""
        study = self.evidence.main
        powers = _powers(study.plan.pool)
        return self._axis("search", STRATEGIES, BASELINE, powers)

    @cached_property
    def revisions(self) -> Axis:
        """Splits of a budget into sequential and parallel revisions (section 6)."""
        powers = _powers(self.evidence.main.plan.chains)
        return self._axis("revisions", REVISIONS, PARALLEL, powers)

    @cached_property
    def both(self) -> Axis:
        """Searches and revisions together, against best-of-N."""
        powers = _powers(self.evidence.main.plan.pool)
        return self._axis("both", (*STRATEGIES, *REVISIONS), BASELINE, powers)

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        return self.search, self.revisions, self.both

    def _axis(self, name: str, names: Sequence[str], base: str, powers: Sequence[int]) -> Axis:
        main = self.evidence.main
        run = self.run(names)
        budgets = tuple(n for n in main.plan.budgets if n <= powers[-1])
        if self.evidence.deep is not None and any(not revises(strategy) for strategy in run):
            budgets = (*budgets, self.evidence.scale.deep)
        # A policy may spend less than its budget, so strategies run at smaller budgets stay in.
        grid = self.grid(run, budgets, affordable=True)
        return Axis(
            name=name,
            base=base,
            base_budgets=tuple(powers),
            base_curve=np.array([self.curve(base, n) for n in powers]),
            grid=grid,
            fits={kind: self.fit(grid, kind) for kind in Bins},
            cost=float(self.evidence.predicted.samples),
        )

    @cached_property
    def against_plain(self) -> tuple[Axis, ...]:
        """The same axes with plain best-of-N of S as baseline, which is often the stronger one."""
        if strategy(PLAIN).name not in self.evidence.main.plan.pooled:
            return ()
        powers = _powers(self.evidence.main.plan.pool)
        curve = np.array([self.curve(PLAIN, n) for n in powers])
        return tuple(
            replace(axis, base=strategy(PLAIN).name, base_budgets=powers, base_curve=curve)
            for axis in self.axes
        )

    def run(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the strategies that were run on all problems, by their normal names."""
        normal = [strategy(name).name for name in names]
        return tuple(name for name in normal if name in self.evidence.main.plan.strategies)

    def fit(self, grid: Grid, kind: Bins = Bins.PREDICTED) -> Fit:
        """A policy on predicted or oracle bins."""
        return policy.fit(grid, self.bins(kind), seed=self.evidence.seed)

    def bins(self, kind: Bins) -> Integers:
        """[P] 0 is the easiest."""
        predicted = kind is Bins.PREDICTED
        return self.evidence.predicted_bins if predicted else self.evidence.oracle_bins

    def grid(self, names: Sequence[str], budgets: Sequence[int], *, affordable: bool) -> Grid:
        """Accuracies of these strategies at any budgets; NaN where one was not run.

        With `affordable`, a strategy that was not run at a budget has its accuracy at the largest
        smaller budget, since a policy may spend less than its budget. Splits whose chains are
        longer than the budget are left out: they equal the single chain, which is in already.
        """
        problems = tuple(problem.id for problem in self.evidence.main.problems)
        accuracy = np.full((len(names), len(budgets), len(problems)), np.nan)
        for row, name in enumerate(names):
            for column, budget in enumerate(budgets):
                values = self._accuracy(name, budget, affordable)
                if values is not None:
                    accuracy[row, column] = values
        kept = ~np.isnan(accuracy).all(axis=(1, 2))
        return Grid(
            problems,
            tuple(name for name, keep in zip(names, kept, strict=True) if keep),
            tuple(budgets),
            accuracy[kept],
        )

    def _accuracy(self, name: str, budget: int, affordable: bool) -> Floats | None:
        """[P] or `None` where the strategy was not run at this budget."""
        main, deep = self.evidence.main, self.evidence.deep
        length = chain_length(name)
        if length > budget:
            return None
        if name in main.plan.pooled:
            known: tuple[int, ...] = (min(budget, main.plan.pool),)
        elif name in main.plan.chained:
            known = _powers(main.plan.chains)
        else:
            known = main.plan.budgets
            if deep is not None and name in deep.plan.strategies:
                known = (*known, self.evidence.scale.deep)
        below = max((budget_run for budget_run in known if budget_run <= budget), default=0)
        if below != budget and not (affordable and below >= length):
            return None
        if name in main.plan.pooled or name in main.plan.chained:
            return self.curve(name, below)
        if budget == 1 and not revises(name):
            return None  # Every search of one sample is that sample, which the pools know better.
        return _run(main if below in main.plan.budgets or deep is None else deep, name, below)

    def curve(self, name: str, budget: int) -> Floats:
        """[P] accuracy of a strategy that pools can tell, at any budget up to their size."""
        main, key = self.evidence.main, (strategy(name).name, budget)
        if key not in self._curves:
            in_grid = key[0] in main.plan.strategies and budget in main.plan.budgets
            values = _run(main, *key) if in_grid else main.curve(key[0], (budget,))[0]
            self._curves[key] = values.clip(0.0, 1.0)
        return self._curves[key]

    def beside(self, names: Sequence[str], budget: int) -> dict[str, Floats]:
        """[few] accuracy of those of these searches that were run beside the paper's, at a
        budget."""
        study = self.evidence.searches
        if study is None or budget not in study.grid.budgets:
            return {}
        grid, column = study.grid, study.grid.budgets.index(budget)
        normal = [strategy(name).name for name in names]
        return {
            name: grid.accuracy[grid.strategies.index(name), column]
            for name in normal
            if name in grid.strategies
        }

    @property
    def top(self) -> int:
        """The largest budget at which everything was run."""
        return self.evidence.main.plan.budgets[-1]

    @cached_property
    def deepest(self) -> int:
        """The largest budget of any search: that of `deep` if it was run, else `top`."""
        return self.search.grid.budgets[-1]

    def by_samples(self, axis: Axis) -> dict[int, Fit]:
        """By number of samples that difficulty is predicted from, the policy fitted on it."""
        counts = [k for k in _powers(self.evidence.scale.difficulty)]
        seed = self.evidence.seed
        return {
            k: policy.fit(axis.grid, bins(self.evidence.main.predicted_at(k).values)[0], seed=seed)
            for k in counts
        }

    @cached_property
    def search_by_samples(self) -> dict[int, Fit]:
        return self.by_samples(self.search)

    @cached_property
    def read_curve(self) -> tuple[tuple[int, ...], Floats]:
        """Budgets (powers of two), and [N, P] accuracy of the policy over the pooled strategies.

        Live searches are left out, as they were run at a few budgets only. At budgets above the
        longest chain, revisions count with their largest budget.
        """
        main = self.evidence.main
        names = [
            name
            for name in self.run((*STRATEGIES, *REVISIONS))
            if name in main.plan.pooled or name in main.plan.chained
        ]
        budgets = _powers(main.plan.pool)
        grid = self.grid(names, budgets, affordable=True)
        return budgets, self.fit(grid).held_out

    @cached_property
    def agreement(self) -> difficulty.Agreement:
        """Predicted difficulty against oracle difficulty."""
        return difficulty.agreement(
            self.evidence.main.oracle.values, self.evidence.predicted.values
        )

    # Exchange ------------------------------------------------------------------------------------

    @cached_property
    def size_ratio(self) -> float:
        """M: parameters of L over those of S."""
        shapes = self.evidence.shapes
        return shapes["l"].multiplied_parameters / shapes["s"].multiplied_parameters

    @cached_property
    def exchanged(self) -> Exchanged:
        """S with searches and revisions against L: predicted bins, charged. The main result."""
        return self.exchange((*STRATEGIES, *REVISIONS), Bins.PREDICTED)

    @cached_property
    def exchanged_revisions(self) -> Exchanged:
        """S with revisions only against L: predicted bins, charged."""
        return self.exchange(REVISIONS, Bins.PREDICTED)

    @cached_property
    def exchanged_oracle(self) -> Exchanged:
        """S with searches and revisions against L: oracle bins, not charged. An upper bound."""
        return self.exchange((*STRATEGIES, *REVISIONS), Bins.ORACLE)

    @cached_property
    def exchanged_search(self) -> Exchanged:
        """S with searches only against L: predicted bins, charged."""
        return self.exchange(STRATEGIES, Bins.PREDICTED)

    def exchange(self, names: Sequence[str], kind: Bins) -> Exchanged:
        """S with the policy over these strategies against L's greedy answer."""
        main = self.evidence.main
        charged = float(self.evidence.predicted.samples) if kind is Bins.PREDICTED else 0.0
        accounting = Accounting(f"v1, {kind} bins", difficulty=charged)
        matched = [
            math.floor(exchange.matched_budget(r, self.size_ratio, accounting) + 0.5)
            for r in RATIOS
        ]
        budgets = {*main.plan.budgets, *_powers(main.plan.pool)}
        budgets |= {max(1, min(k, main.plan.pool)) for k in matched}
        grid = self.grid(self.run(names), sorted(budgets), affordable=True)
        fit = self.fit(grid, kind)
        measured = Measured(
            budgets=grid.budgets,
            small=fit.held_out.clip(0.0, 1.0),
            large=self.evidence.large_greedy,
            size_ratio=self.size_ratio,
            bins=self.bins(kind),
        )
        return Exchanged(
            measured,
            accounting,
            exchange.compare(measured, RATIOS, accounting),
            exchange.crossovers(measured, accounting),
        )

    # Chains --------------------------------------------------------------------------------------

    @cached_property
    def chain_facts(self) -> ChainFacts:
        """The facts of the reviser's chains, before any selection among their answers."""
        return chain_facts(self.evidence.main)

    @property
    def sweep_budget(self) -> int:
        """The budget at which splits into sequential and parallel are compared."""
        return self.revisions.grid.budgets[-1]

    @cached_property
    def sweep(self) -> tuple[tuple[int, ...], Floats]:
        """Lengths of chains, and [lengths, P] accuracy of each split of `sweep_budget`."""
        grid = self.revisions.grid
        accuracy = grid.accuracy[:, -1]
        run = ~np.isnan(accuracy[:, 0])
        lengths = tuple(
            chain_length(name) for name, kept in zip(grid.strategies, run, strict=True) if kept
        )
        return lengths, accuracy[run]

    # The verifier --------------------------------------------------------------------------------

    @cached_property
    def goodhart_prm(self) -> Goodhart:
        return _goodhart(self.evidence.main)

    @cached_property
    def goodhart_orm(self) -> Goodhart:
        return _goodhart(self.evidence.orm)

    @cached_property
    def auc_prm(self) -> Floats:
        """[p] AUC of the PRM's scores among the answers to one problem."""
        return _auc_within(self.evidence.main.pools)

    @cached_property
    def auc_orm(self) -> Floats:
        return _auc_within(self.evidence.orm.pools)

    @cached_property
    def auc_labels(self) -> dict[str, Floats]:
        """By kind of label, the AUC [p] of the PRM trained on it."""
        return {kind: _auc_within(study.pools) for kind, study in self.evidence.labels.items()}

    @cached_property
    def coverage(self) -> tuple[tuple[int, ...], Floats]:
        """Budgets, and [N, P] probability that at least one of N samples of S is right."""
        budgets = _powers(self.evidence.main.plan.pool)
        return budgets, pools.curve(self.evidence.main.pools, pools.pass_at_k, budgets)

    @cached_property
    def flipped(self) -> dict[float, Floats]:
        """By the share of scores s flipped to 1 - s, [P] weighted best-of-N at `top`."""
        accuracy = {}
        for share in FLIPS:
            rng = np.random.default_rng([self.evidence.seed, round(100 * share)])
            flipped = [_flip(pool, share, rng) for pool in self.evidence.main.pools]
            accuracy[share] = pools.curve(flipped, votes.weighted, [self.top])[0]
        return accuracy

    # Costs ---------------------------------------------------------------------------------------

    @cached_property
    def ledger(self) -> tuple[Spent, ...]:
        """What every strategy of S spent at every budget."""
        main, deep = self.evidence.main, self.evidence.deep
        rows = [
            self.spent(main, name, budget)
            for name in main.plan.strategies
            for budget in main.plan.known(name)
            if chain_length(name) <= budget
        ]
        if deep is not None:
            rows += [
                self.spent(deep, name, budget)
                for name in deep.plan.strategies
                for budget in deep.plan.budgets
            ]
        return tuple(rows)

    @cached_property
    def greedy_large(self) -> Spent:
        """L's greedy answer."""
        return self.spent(self.evidence.large, "greedy", 1, proposer="l")

    def spent(self, study: Study, name: str, budget: int, *, proposer: str = "") -> Spent:
        """What one strategy of a study spent."""
        revised = revises(name)
        writer = self.evidence.shapes[proposer or ("reviser" if revised else "s")]
        reader = self.evidence.shapes["revision" if revised else "prm"]
        usage = study.usage(name, budget)
        problems = len(study.problems)
        tokens = usage.decoded_tokens / problems
        return Spent(
            strategy=name,
            budget=budget,
            usage=usage,
            flops=_flops(usage, writer, reader, problems),
            tokens=tokens,
            depth=tokens / _side_by_side(name, budget),
        )

    def spending(self, name: str, budget: int) -> Spent:
        """The ledger's row for a strategy and budget."""
        return next(row for row in self.ledger if (row.strategy, row.budget) == (name, budget))


FLIPS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Shares of scores flipped; appendix K of the published version has 0.2."""


_DEFAULT_DEPTH: int = inspect.signature(lookahead).parameters["depth"].default
_DEFAULT_LENGTH: int = inspect.signature(revise).parameters["sequential"].default


def chain_length(name: str) -> int:
    """Number of answers a strategy writes one after the other: 1 unless it revises."""
    made = strategy(name)
    length: int = made.options.get("sequential", _DEFAULT_LENGTH) if revises(made.name) else 1
    return length


def _side_by_side(name: str, budget: int) -> int:
    """Number of solutions a strategy writes in parallel."""
    made = strategy(name)
    if made.name.startswith("lookahead"):
        ahead: int = min(made.options.get("depth", _DEFAULT_DEPTH), budget - 1)
        return budget // (ahead + 1)
    return max(1, budget // chain_length(name))


def chain_facts(study: Study) -> ChainFacts:
    """The facts of a study's chains."""
    pools = study.chains
    size = pools[0].size
    octaves = _powers(size)
    short = min(4, size)
    rows: list[list[float]] = [[] for _ in range(size)]
    counts = np.zeros((6, len(pools)))
    for problem, pool in enumerate(pools):
        for length in octaves:
            right = pool.drawn.right[pool.first(length)]
            for place in range(length // 2, length):
                rows[place].append(float(right[:, place].mean()))
            if length == 1:
                continue
            earlier = right[:, length // 2 - 1 : -1]
            later = right[:, length // 2 :]
            counts[0, problem] += np.count_nonzero(earlier & ~later)
            counts[1, problem] += np.count_nonzero(earlier)
            counts[2, problem] += np.count_nonzero(~earlier & later)
            counts[3, problem] += np.count_nonzero(~earlier)
        right = pool.drawn.right[pool.first(short)]
        counts[4, problem] = np.count_nonzero(right.any(axis=1))
        counts[5, problem] = np.count_nonzero(right[:, 0])
    broken, answered, mended, unanswered, solved, at_once = counts
    return ChainFacts(
        pass_at_1=np.array(rows),
        broken=broken,
        kept_or_broken=answered,
        mended=mended,
        mended_or_not=unanswered,
        solved=solved,
        solved_at_once=at_once,
        short=short,
        efficiency=_efficiency(study, short),
    )


def _efficiency(study: Study, length: int) -> Floats | None:
    if any(np.isnan(some).any() for some in study.chain_lengths):
        return None
    return np.array(
        [np.mean([*map(outcome_efficiency, responses)]) for responses in study.responses(length)]
    )


def members(bins: Integers, numbers: Sequence[int]) -> NDArray[np.bool_]:
    """[P] whether a problem is in one of these bins, numbered from 0, the easiest."""
    inside: NDArray[np.bool_] = np.isin(bins, numbers)
    return inside


def _powers(largest: int) -> tuple[int, ...]:
    """1, 2, 4, ... up to `largest`, and `largest` itself."""
    return tuple(sorted({*(2**power for power in range(largest.bit_length())), largest}))


def _run(study: Study, name: str, budget: int) -> Floats:
    grid = study.grid
    accuracy: Floats = grid.accuracy[grid.strategies.index(name), grid.budgets.index(budget)]
    return accuracy


def _goodhart(study: Study) -> Goodhart:
    budgets = _powers(study.plan.pool)
    return Goodhart(
        budgets,
        pools.curve(study.pools, votes.max_score, budgets),
        pools.curve(study.pools, votes.best_of_n, budgets).clip(0.0, 1.0),
    )


def _auc_within(pools: Sequence[Pool]) -> Floats:
    aucs = [quality.auc(pool.scores.astype(np.float64), pool.right) for pool in pools]
    return np.array([value for value in aucs if value is not None], np.float64)


def _flip(pool: Pool, share: float, rng: np.random.Generator) -> Pool:
    scores = np.where(rng.random(pool.size) < share, 1 - pool.scores, pool.scores)
    return Pool(pool.problem_id, pool.answers, scores.astype(np.float32), pool.right)


def _flops(usage: Usage, writer: ModelShape, reader: ModelShape, problems: int) -> dict[str, float]:
    return {
        name: model(usage, proposer=writer, verifier=reader) / problems
        for name, model in COST_MODELS.items()
    }


# Sharing a budget among bins ----------------------------------------------------------------------


def share_out(
    accuracy: Floats,
    costs: Sequence[float],
    numbers: Integers,
    budget: float,
    *,
    repeats: int = 20,
    seed: int = 0,
) -> Floats:
    """[P] held-out accuracy where bins may have different budgets, `budget` a problem on average.

    `accuracy` [C, P] is that of choices which cost `costs` [C] a problem. Problems are split in two
    halves at random; the choices that are best on one half within the budget are measured on the
    other, both ways (C42). Bins are of equal size, so the mean over bins is the mean over problems.
    """
    rng = np.random.default_rng(seed)
    count = int(numbers.max()) + 1
    total = np.zeros(accuracy.shape[1])
    for _ in range(repeats):
        half = rng.permutation(numbers.size) < numbers.size // 2
        for chosen_on, measured_on in ((half, ~half), (~half, half)):
            means = np.array(
                [accuracy[:, chosen_on & (numbers == b)].mean(axis=1) for b in range(count)]
            )
            for b, choice in enumerate(_best_shares(means, costs, budget * count)):
                there = measured_on & (numbers == b)
                total[there] += accuracy[choice, there] / repeats
    return total


def _best_shares(means: Floats, costs: Sequence[float], budget: float) -> list[int]:
    """One choice for every bin, with the largest sum of means [bins, C] at a cost up to `budget`.

    Dynamic programming over bins; of equal sums the cheaper one is kept.
    """
    best: dict[float, tuple[float, list[int]]] = {0.0: (0.0, [])}
    for row in means:
        at_cost: dict[float, int] = {}
        for choice, cost in enumerate(costs):
            if cost not in at_cost or row[at_cost[cost]] < row[choice]:
                at_cost[cost] = choice
        grown: dict[float, tuple[float, list[int]]] = {}
        for spent, (value, picked) in best.items():
            for cost, choice in at_cost.items():
                key, worth = spent + cost, value + float(row[choice])
                if key <= budget and (key not in grown or grown[key][0] < worth):
                    grown[key] = (worth, [*picked, choice])
        best = grown
    return max(sorted(best.items()), key=lambda item: item[1][0])[1][1]


# Interactions ------------------------------------------------------------------------------------


def interaction(
    accuracy: Floats, numbers: Integers, *, permutations: int = 1000, seed: int = 0
) -> float:
    """p-value of a permutation test of "differences between strategies do not depend on the bin".

    `accuracy` [S, P]. The means of problems and of strategies are subtracted first, which leaves
    their interaction. The statistic is its variance between bins; permuting the bins of problems
    gives its distribution where there is no dependence.
    """
    left = accuracy - accuracy.mean(axis=0) - accuracy.mean(axis=1, keepdims=True) + accuracy.mean()
    sizes = np.bincount(numbers)

    def variance(bins: Integers) -> float:
        sums = np.stack([np.bincount(bins, row, sizes.size) for row in left])
        return float((sums**2 / sizes).sum())

    rng = np.random.default_rng(seed)
    seen = variance(numbers)
    above = sum(variance(rng.permutation(numbers)) >= seen - 1e-12 for _ in range(permutations))
    return (above + 1) / (permutations + 1)
