"""What can be told of a sweep that is not finished: what is there, what is missing and why, and by
how much the figures of what is there may be off.

A figure compares strategies on the same problems, so what is shown is a rectangle: problems that
have every search shown, and searches that each of them has. The largest such is taken. Problems
that failed are seldom like the others: they are compared with those shown by what is known of both,
and every accuracy has bounds, all left out wrong to all left out right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from outthink.run.store import Store, View
from outthink.study import failures
from outthink.study.plan import DIFFICULTY, UNSCORED, VOTES, Kind, Plan
from outthink.study.read import Study
from outthink.study.record import Asked
from outthink.types import Problem

_MOST_ERRORS = 3
"""Errors that are told in full."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How the problems left out compare with those shown."""

    known: int
    """Problems left out of which samples are in the store."""
    pass_at_1: float | None
    """Of these; `None` where there are none."""
    pass_at_1_shown: float | None
    """Of the problems shown, by the same kind of samples."""
    letters: float
    """Median length of their prompts."""
    letters_shown: float | None
    """`None` where none is shown."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What a sweep that is not finished lacks."""

    searches: int
    """Of the whole plan."""
    done: int
    failed: int
    errors: tuple[tuple[str, int], ...]
    """What they failed of and how often, commonest first."""
    shown: int
    """Problems with references that figures are of."""
    left_out: int
    """The others with references."""
    absent: tuple[str, ...]
    """Searches that too few problems have, as `beam at 16`."""
    likeness: Likeness | None
    """`None` where no problem is left out."""

    def sentences(self) -> tuple[str, ...]:
        """All of it, as a person reads it."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterable[str]:
        yield (
            f"The sweep is not finished: {self.done} of {self.searches} searches are done, "
            f"{self.failed} failed, {self.searches - self.done - self.failed} were not begun or "
            "broke off. The same 'outthink sweep' again goes on where it stopped."
        )
        if self.errors:
            told = "; ".join(f"{count} of {error}" for error, count in self.errors[:_MOST_ERRORS])
            more = sum(count for _, count in self.errors[_MOST_ERRORS:])
            yield f"Why they failed: {told}{f'; and {more} of other errors' if more else ''}."
        if self.absent:
            yield f"Not shown, as too few problems have them: {', '.join(self.absent)}."
        if self.left_out:
            yield from self._left_out()

    def _left_out(self) -> Iterable[str]:
        total = self.shown + self.left_out
        share = self.shown / total
        yield (
            f"Figures are of the {self.shown} of {total} problems that have every search shown. "
            f"An accuracy a of these is one of {share:.2f} a over all {total} were the "
            f"{self.left_out} left out all wrong, and of {share:.2f} a + {1 - share:.2f} were they "
            "all right."
        )
        like = self.likeness
        assert like is not None
        if like.letters_shown is None:
            return
        said = (
            f"Problems left out ask in {like.letters:.0f} letters, those shown in "
            f"{like.letters_shown:.0f} (medians); "
        )
        if like.pass_at_1 is None or like.pass_at_1_shown is None:
            yield said + "how hard they are is not known, as no sample of them is in the store."
            return
        gap = like.pass_at_1_shown - like.pass_at_1
        means = "harder, so the figures flatter" if gap > 0 else "no harder by that"
        yield said + (
            f"pass@1 is {like.pass_at_1:.2f} on the {like.known} of them where it is known, and "
            f"{like.pass_at_1_shown:.2f} on those shown: they are {means}."
        )


def known(
    asked: Asked, problems: Sequence[Problem], view: View, store: Store
) -> tuple[Study, Missing | None]:
    """What a store has of a plan on problems: all of it and `None`, or as much as there is."""
    plan = asked.plan
    done = _done(plan, view)
    names = {problem.id for problem in problems}
    searches = len(plan.kinds) * len(asked.problem_ids)
    ended = sum(len(done[kind] & names) for kind in plan.kinds)
    graded = tuple(problem for problem in problems if problem.reference is not None)
    if ended == searches:
        return Study(plan, graded, view, asked), None
    kept = _rectangle({kind: {p.id for p in graded} & done[kind] for kind in plan.kinds})
    has_all = set.intersection(*(done[kind] for kind in kept)) if kept else set()
    shown = tuple(problem for problem in graded if problem.id in has_all)
    study = _cut(Study(plan, shown, view, asked, left_out=len(graded) - len(shown)), kept)
    lost = {
        search: error
        for search, error in failures.recorded(store).items()
        if search[1:] in plan.kinds and search[0] in names - done[search[1:]]
    }
    rest = [problem for problem in graded if problem.id not in has_all]
    return study, Missing(
        searches=searches,
        done=ended,
        failed=len(lost),
        errors=tuple(Counter(lost.values()).most_common()),
        shown=len(shown),
        left_out=len(rest),
        absent=tuple(
            f"{n} at {size}" + _purpose(stream)
            for n, size, stream in plan.kinds
            if (n, size, stream) not in kept
        ),
        likeness=_likeness(study, plan, rest, done) if rest else None,
    )


def _done(plan: Plan, view: View) -> dict[Kind, set[str]]:
    """The problems on which each kind of search ended."""
    done: dict[Kind, set[str]] = {kind: set() for kind in plan.kinds}
    for problem, strategy, budget, stream in view.finished():
        if (strategy, budget, stream) in done:
            done[strategy, budget, stream].add(problem)
    return done


def _rectangle(done: Mapping[Kind, Set[str]]) -> set[Kind]:
    """The kinds of search of the largest set of searches that all its problems have."""
    ranked = sorted(done, key=lambda kind: -len(done[kind]))
    best, kept, together = 0, 0, None
    for count, kind in enumerate(ranked, 1):
        together = done[kind] if together is None else together & done[kind]
        if len(together) * count > best:
            best, kept = len(together) * count, count
    return set(ranked[:kept])


def _cut(study: Study, kept: Set[Kind]) -> Study:
    """The study of the kinds that are kept."""
    plan = study.plan
    chained = (plan.chains_job, plan.chains, "") in kept
    absent = {
        (name, budget)
        for name in plan.strategies
        for budget in (plan.known(name) if chained else plan.budgets)
        if _source(plan, name, budget) not in kept
    }
    known = {
        budget
        for name in plan.strategies
        for budget in plan.known(name)
        if (name, budget) not in absent
    }
    labelled = (UNSCORED, plan.oracle_samples, DIFFICULTY) in kept
    name, stream = plan.probe
    probed = (name, plan.predicted_samples, stream) in kept
    return replace(
        study,
        plan=replace(
            plan,
            budgets=tuple(sorted(known)) or plan.budgets,
            chains=plan.chains if chained else 0,
            oracle_samples=plan.oracle_samples if labelled else 0,
            predicted_samples=plan.predicted_samples if probed else 0,
            stages=tuple(s for s in plan.stages if kept >= set(plan.trials_of(s))),
        ),
        absent=frozenset(absent),
    )


def _source(plan: Plan, name: str, budget: int) -> Kind:
    """The kind of search that a strategy at a budget is read from."""
    if name in plan.pooled or plan.is_sample(name, budget):
        return plan.pool_job, plan.pool, ""
    if name in plan.chained:
        return plan.chains_job, plan.chains, ""
    return name, budget, ""


def _purpose(stream: str) -> str:
    known = {"": "", DIFFICULTY: " (for difficulty)", VOTES: " (for predicted difficulty)"}
    return known.get(stream, f" ({stream})")


def _likeness(
    study: Study, plan: Plan, rest: Sequence[Problem], done: Mapping[Kind, Set[str]]
) -> Likeness:
    """Problems left out beside those shown, by the kind of samples that most of both have."""
    shown = study.problems
    drawn = [kind for kind in plan.kinds if kind[0] in (UNSCORED, plan.pool_job, plan.probe[0])]

    def have(kind: Kind, problems: Iterable[Problem]) -> list[Problem]:
        return [problem for problem in problems if problem.id in done[kind]]

    kind = max(drawn, key=lambda k: len(have(k, rest)) if have(k, shown) else 0, default=None)
    there = have(kind, rest) if kind else []
    here = have(kind, shown) if kind else []

    def pass_at_1(problems: Sequence[Problem]) -> float | None:
        if not problems or kind is None:
            return None
        return float(np.mean([study.samples(problem, kind).right.mean() for problem in problems]))

    return Likeness(
        known=len(there),
        pass_at_1=pass_at_1(there),
        pass_at_1_shown=pass_at_1(here),
        letters=float(median(len(problem.prompt) for problem in rest)),
        letters_shown=float(median(len(problem.prompt) for problem in shown)) if shown else None,
    )
