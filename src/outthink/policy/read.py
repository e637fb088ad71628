"""Trials read from a study: its pool of samples, its chains of revisions, and the runs of its
stages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from outthink.errors import UsageError
from outthink.measure.pools import NO_ANSWER
from outthink.policy.currency import GENERATIONS, Currency, currency
from outthink.policy.menu import AT, Stage
from outthink.policy.trials import Source, Trials
from outthink.search import strategy
from outthink.search.chains import pool_lengths
from outthink.study.plan import Kind, asks, stage_parts
from outthink.study.read import Study
from outthink.types import Usage

_SAMPLES = (1, 2, 4, 8, 16, 32)
"""Sizes of stages of samples and revisions."""

_MOST_UNITS = 4096
"""Independent samples a problem that trials are made of, the first ones; so much is more than any
policy draws of a problem, and what trials take does not grow with the pool."""

_Unit = list[tuple[str | None, float | None]]
"""Answer and score of every candidate of one run."""


def menu(study: Study) -> tuple[Stage, ...]:
    """Every stage that a study has runs of, in sizes that double."""
    stages = []
    if study.plan.pooled:
        most = study.plan.pool
        stages += [Stage(study.plan.pool_job, size) for size in _SAMPLES if size <= most]
    for text in study.plan.stages:
        stage = Stage.parse(text)
        if not stage.is_divisible:
            stages.append(stage)
            continue
        stages += [Stage(stage.strategy, size) for size in _SAMPLES if size <= stage.size]
    return tuple(dict.fromkeys(stages))


def trials(
    study: Study, stages: Sequence[Stage] | None = None, money: tuple[str, Currency] | None = None
) -> Trials:
    """What `stages` gave on the problems of a study, all of `menu` by default, at the cost that a
    currency (its name, and the function) says: generations by default.

    Raises `UsageError` where the study has nothing that a policy can be fitted on.
    """
    wanted = menu(study) if stages is None else tuple(stages)
    if not wanted:
        raise UsageError(
            "no samples and no stages are in the store, which a sequential policy is fitted on; "
            "sweep with best_of_n or majority among the strategies, or with --stages"
        )
    name, cost = money or (GENERATIONS, currency(GENERATIONS))
    reader = _Reader(study, cost)
    names = dict.fromkeys(stage.source for stage in wanted)
    sources = [reader.source(source) for source in names]
    return Trials(
        wanted,
        tuple(sources),
        reader.right(),
        tuple(problem.id for problem in study.problems),
        name,
        reader.texts(),
    )


class _Reader:
    """Sources of one study; answers are numbered by problem across all of them."""

    def __init__(self, study: Study, cost: Currency) -> None:
        self._study = study
        self._cost = cost
        self._ids: list[dict[str, int]] = [{} for _ in study.problems]
        self._usage = study.usages()

    def source(self, name: str) -> Source:
        """The source of this name."""
        plan = self._study.plan
        if name == plan.pool_job:
            return self._source(name, [(name, plan.pool, "")], cut=True)
        if AT in name:
            if name not in plan.stages:
                raise UsageError(
                    f"no runs of {name} are in the store; sweep with '--stages {name}'"
                )
            return self._source(name, plan.trials_of(name), cut=False)
        return self._chains(name)

    def _chains(self, name: str) -> Source:
        """Chains of revisions, solution by solution."""
        plan = self._study.plan
        stage = next((text for text in plan.stages if stage_parts(text)[0] == name), None)
        if stage is None:
            raise UsageError(f"no runs of {name} are in the store; sweep with '--stages {name}@8'")
        reading = strategy(name).about.reading
        assert reading is not None and reading.sequential is not None
        length = min(reading.sequential, stage_parts(stage)[1])
        kinds = plan.trials_of(stage)
        pooled = plan.chains if kinds[0][0] == plan.chains_job else 0
        return self._source(name, kinds, cut=True, chain=length, pooled=pooled)

    def _source(
        self, name: str, kinds: Sequence[Kind], *, cut: bool, chain: int = 1, pooled: int = 0
    ) -> Source:
        """All runs of these kinds; with `cut`, every solution is a unit of its own. With `pooled`
        they are a pool of so many chains, of which those of length `chain` are taken."""
        runs = [
            self._runs(place, kinds, cut, in_chains=chain > 1 or pooled > 0)
            for place in range(len(self._study.problems))
        ]
        if pooled:
            places = _long_chains(pooled, chain)
            runs = [[per_problem[place] for place in places] for per_problem in runs]
        units = min(len(per_problem) for per_problem in runs) // chain * chain
        most = max((len(unit) for per_problem in runs for unit, _ in per_problem), default=1)
        shape = (len(runs), units, max(most, 1))
        answers = np.full(shape, NO_ANSWER, np.int16)
        scores = np.full(shape, np.nan, np.float32)
        candidates = np.zeros(shape[:2], np.int16)
        costs = np.zeros(shape[:2])
        for problem, per_problem in enumerate(runs):
            for number, (unit, cost) in enumerate(per_problem[:units]):
                candidates[problem, number] = len(unit)
                costs[problem, number] = cost
                for place, (answer, score) in enumerate(unit):
                    if answer is not None:
                        answers[problem, number, place] = self._number(problem, answer)
                    if score is not None:
                        scores[problem, number, place] = score
        return Source(name, answers, scores, candidates, costs, chain)

    def _runs(
        self, place: int, kinds: Sequence[Kind], cut: bool, *, in_chains: bool
    ) -> list[tuple[_Unit, float]]:
        """The units of one problem, with what each cost."""
        problem = self._study.problems[place]
        runs: list[tuple[_Unit, float]] = []
        for kind in kinds:
            drawn = self._study.drawn(problem, kind)
            cost = self._cost(self._usage.get((problem.id, *kind), Usage()), asks(kind[0]))
            if cut:
                share = cost / max(1, len(drawn))
                some = drawn if in_chains else drawn[:_MOST_UNITS]
                runs += [([candidate], share) for candidate in some]
            else:
                runs.append(([one for one in drawn if one[0] is not None], cost))
        return runs

    def _number(self, problem: int, answer: str) -> int:
        return self._ids[problem].setdefault(answer, len(self._ids[problem]))

    def texts(self) -> tuple[tuple[str, ...], ...]:
        """The answers of every problem by number."""
        return tuple(map(tuple, self._ids))

    def right(self) -> np.typing.NDArray[np.bool_]:
        """[P, K] whether every answer that was numbered is right."""
        right = np.zeros((len(self._ids), max(map(len, self._ids), default=1) or 1), np.bool_)
        for place, (problem, ids) in enumerate(zip(self._study.problems, self._ids, strict=True)):
            for answer, number in ids.items():
                right[place, number] = self._study.is_right(problem, answer)
        return right


def _long_chains(pool: int, length: int) -> list[int]:
    """Where the first solutions of every chain of at least this length are in a pool of chains,
    chain by chain. All chains advance together, the longest ones first."""
    lengths = pool_lengths(pool)
    starts = [0]
    for place in range(length):
        starts.append(starts[-1] + sum(one > place for one in lengths))
    long = sum(one >= length for one in lengths)
    return [starts[place] + chain for chain in range(long) for place in range(length)]
