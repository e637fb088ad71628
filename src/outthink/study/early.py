"""Early ending of the traces of a store: what it would have saved, and cost in accuracy.

The scores of steps are those that its verifier left, so any threshold is tried without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from outthink.errors import UsageError
from outthink.measure.early import Trace, replayed
from outthink.measure.intervals import Interval, interval, paired
from outthink.study.read import Study
from outthink.study.sweep import OpenStudy

KEEPS = (0.1, 0.5, 0.9)
REPEATS = 100
"""Random orders of the traces of each problem."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Early ending at one threshold and budget, against all traces whole."""

    keep: float
    budget: int
    accuracy: Interval
    """Of the majority of the traces that were not ended."""
    difference: Interval
    """Of that from the majority of all."""
    tokens: float
    """A problem, in the mean."""
    saved: Interval
    """Share of the tokens of whole traces."""


def early(
    opened: OpenStudy, budgets: Sequence[int] = (), keeps: Sequence[float] = KEEPS
) -> tuple[Ending, ...]:
    """Every `keep` at every budget, those of the sweep where none is given.

    Raises `UsageError` where the pool has no scores of steps, or no problem has a reference.
    """
    study = opened.study
    traces = [_traces(study, problem.id) for problem in study.problems]
    if not any(score is not None for some in traces for one in some for score in one.scores[:-1]):
        raise UsageError(
            f"{opened.store.path}: its verifier scored no step before the last, so no trace can be "
            "ended; sweep with one that does, such as deepconf"
        )
    wanted = budgets or [budget for budget in study.plan.budgets if budget > 1]
    return tuple(_ending(traces, budget, keep) for budget in wanted for keep in keeps)


def _traces(study: Study, problem_id: str) -> list[Trace]:
    plan = study.plan
    tree = study.view.tree(problem_id, plan.pool_job, plan.pool)
    pool = next(pool for pool in study.pools if pool.problem_id == problem_id)
    traces = []
    for node, answer, right in zip(tree.nodes, pool.answers, pool.right, strict=True):
        scores = node.scores.steps if node.scores else ()
        # What follows the last step, such as an end mark, is counted with it.
        ends = (*node.step_ends[:-1], len(node.tokens))
        known = scores if len(scores) == len(ends) else (None,) * len(ends)
        traces.append(Trace(ends, known, int(answer), bool(right)))
    return traces


def _ending(traces: Sequence[Sequence[Trace]], budget: int, keep: float) -> Ending:
    means = np.array(
        [
            replayed(some, budget, keep, repeats=REPEATS, seed=seed).mean(axis=0)
            for seed, some in enumerate(traces)
        ]
    )
    right, tokens, whole_right, whole_tokens = means.T
    saved = 1 - tokens / np.maximum(whole_tokens, 1)
    return Ending(
        keep,
        budget,
        interval(right),
        paired(right, whole_right),
        float(tokens.mean()),
        interval(saved),
    )
