"""Samples that other tools recorded, as the sweep that would have drawn them.

They are run by the plan that pooled strategies are read from, so that a store of an import is read
as any other. Samples wait on disk, and a few problems at a time go into the store, so that files
may be larger than memory.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from outthink.data.formats import recording, samples
from outthink.data.samples import Agreement, Reading, Recording, Sample
from outthink.errors import UsageError
from outthink.grade import RECORDED, Grading, grading
from outthink.measure.steps import LabelledSteps, StepQuality, step_quality
from outthink.run.progress import Progress
from outthink.run.store import Store
from outthink.run.store.file import remove
from outthink.run.team import Team
from outthink.study import labels, scoring
from outthink.study.plan import Plan
from outthink.study.record import Asked
from outthink.study.replayed import (
    UNREAD,
    Replayed,
    ReplayedScores,
    Writes,
    problem_of,
    replayed,
)
from outthink.study.run import engines_of, run
from outthink.study.spool import Spool
from outthink.study.sweep import make_place
from outthink.types import Problem

SCORED = ("majority", "best_of_n(answer=max)", "best_of_n")
UNSCORED = ("majority",)
_AT_ONCE = 4096
"""Samples in memory at once, or those of one problem where it has more."""
_SCORED_AT_ONCE = 1024
"""Samples that a verifier is given at once."""


@dataclass(frozen=True, slots=True)
class Import:
    """What is imported, and how."""

    files: tuple[Path, ...]
    reading: Reading
    grader: str = "math"
    """Reads answers from texts, and judges where a file has no verdict."""
    again: bool = False
    """Judge again where there is a verdict, too."""
    verifier: str | None = None
    """Scores the steps of every sample, in place of the files' scores."""
    samples: int | None = None
    """Samples a problem; problems with fewer are left out. `None` is the fewest of any problem."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it."""

    store: Path
    sources: tuple[Recording, ...]
    problems: int
    samples: int
    """A problem."""
    notes: tuple[str, ...]
    steps: StepQuality | None = None
    """How well scores of steps agree with labels; `None` where the files have none."""


def import_samples(wanted: Import, store: Path) -> Imported:
    """Make a store of recorded samples. It appears when it is whole.

    Raises `UsageError` where a store is there already, `ProblemFileError` for a file that cannot be
    read or disagrees with another.
    """
    make_place(store)
    if store.exists():
        raise UsageError(f"{store}: is there already; import into a new store")
    judge = grading(wanted.grader)
    judge.require()
    if wanted.verifier is not None:
        scoring.require(wanted.verifier)
    sources = tuple(map(recording, wanted.files))
    _require_once(sources)
    partial = store.with_name(f"{store.name}.partial")
    with Spool.open(store.with_name(f"{store.name}.samples")) as spool:
        came = _Came()
        for one in _every(wanted):
            came.add(one, spool)
        size, ids = _kept(wanted, spool)
        writing = _Writing(wanted, judge, sources, size, tuple(ids), came)
        notes = _whole(writing, partial, spool)
    partial.replace(store)
    return Imported(store, sources, len(ids), size, notes, came.quality())


def _whole(writing: _Writing, partial: Path, spool: Spool) -> tuple[str, ...]:
    """Write a store that is not there yet; nothing is left of one that could not be written."""
    remove(partial)
    try:
        return writing.write(partial, spool)
    except BaseException:
        remove(partial)
        raise


def _every(wanted: Import) -> Iterator[Sample]:
    """All samples of all files, scored."""
    every = (one for path in wanted.files for one in samples(path, wanted.reading))
    if wanted.verifier is None:
        yield from every
        return
    with closing(scoring.Scoring(wanted.verifier)) as scored:
        while some := list(islice(every, _SCORED_AT_ONCE)):
            yield from scored.of(some)


def _require_once(sources: Sequence[Recording]) -> None:
    first: dict[str, str] = {}
    for one in sources:
        if one.digest in first:
            raise UsageError(
                f"{one.file} holds the same as {first[one.digest]}; give each file once"
            )
        first[one.digest] = one.file


def _kept(wanted: Import, spool: Spool) -> tuple[int, list[str]]:
    """Samples a problem, and the problems that have as many."""
    if not spool.counts:
        raise UsageError(f"{wanted.files[0]}: no sample was drawn; import what did not fail")
    size = wanted.samples or min(spool.counts.values())
    ids = [id for id, count in spool.counts.items() if count >= size]
    if not ids:
        most = max(spool.counts.values())
        raise UsageError(f"no problem has {size} samples; the most is {most}: give fewer --samples")
    return size, ids


@dataclass(slots=True)
class _Came:
    """What is known of all samples, once they came."""

    failed: int = 0
    scored: bool = False
    labelled: list[LabelledSteps] = field(default_factory=list)
    unscored: int = 0
    """Samples whose steps are labelled and have no scores."""
    _agreement: Agreement = field(default_factory=Agreement)

    def add(self, one: Sample, spool: Spool) -> None:
        if one.failed:
            self.failed += 1
            return
        self._agreement.check(one)
        self.scored = self.scored or bool(one.scores)
        spool.add(one)
        if one.labels is None:
            return
        if one.scores is None:
            self.unscored += 1
            return
        whole = one.finished is not False
        self.labelled.append(LabelledSteps(one.problem_id, one.labels, one.scores, whole))

    def quality(self) -> StepQuality | None:
        return step_quality(self.labelled)


class _Writing:
    """An import on its way into its store."""

    def __init__(
        self,
        wanted: Import,
        judge: Grading,
        sources: Sequence[Recording],
        size: int,
        ids: tuple[str, ...],
        came: _Came,
    ) -> None:
        self._wanted, self._judge, self._sources = wanted, judge, sources
        self._size, self._ids, self._came = size, ids, came
        self._digest = hashlib.sha256("".join(one.digest for one in sources).encode()).hexdigest()
        self._name = judge.name if wanted.again else f"{RECORDED}{judge.name}"
        budgets = tuple(sorted({2**power for power in range(size.bit_length())} | {size}))
        strategies = SCORED if came.scored else UNSCORED
        self._plan = Plan(strategies, budgets, pool=size, oracle_samples=0, predicted_samples=0)

    def write(self, path: Path, spool: Spool) -> tuple[str, ...]:
        """Write the store; what a reader must know of it."""
        tally = _Tally(self._judge, self._wanted.again)
        importing = Progress("importing", len(self._ids), "problems")
        with Store.open(path, write=True) as store, importing as bar:
            ids = iter(self._ids)
            while some := list(islice(ids, max(1, _AT_ONCE // self._size))):
                rows = {id: spool.of(id, self._size) for id in some}
                problems = [problem_of(id, of) for id, of in rows.items()]
                kept = {
                    p.id: replayed(p, rows[p.id], self._judge, self._wanted.again) for p in problems
                }
                for problem in problems:
                    tally.add(problem, kept[problem.id])
                self._keep(store, problems, kept)
                bar.advance(len(some))
            notes = (*self._left_out(spool), *tally.notes(), *_said_of_steps(self._came))
            self._asked(tally, notes).write(store)
            labels.remember(store, self._came.quality())
        return notes

    def _keep(
        self, store: Store, problems: Sequence[Problem], kept: dict[str, list[Replayed]]
    ) -> None:
        store.add_problems(problems)
        for problem in problems:
            for row in kept[problem.id]:
                if not self._wanted.again and row.answer is not None and row.right is not None:
                    store.keep_verdict(problem, self._name, row.answer, row.right)
        store.commit()
        team = self._team(kept)
        running = run(
            self._plan,
            problems,
            team,
            grader=self._judge.grade,
            grader_name=self._name,
            seed=0,
            store=store,
        )
        asyncio.run(running)
        view, job = store.view(engines_of(team, 0), self._name), self._plan.pool_job
        store.keep_recorded(
            {
                draw: row.recorded
                for id, rows in kept.items()
                for draw, row in zip(view.draws(id, job, self._size), rows, strict=True)
            }
        )

    def _team(self, kept: dict[str, list[Replayed]]) -> Team:
        scores = ReplayedScores(self._digest, kept) if self._came.scored else None
        return Team.of(Writes(self._digest, kept), scores)

    def _asked(self, tally: _Tally, notes: tuple[str, ...]) -> Asked:
        return Asked(
            self._plan,
            ", ".join(one.file for one in self._sources),
            self._ids,
            self._digest,
            engines_of(self._team({}), 0),
            self._name,
            0,
            counted=not tally.uncounted,
            imported=(*(one.sentence for one in self._sources), *notes),
        )

    def _left_out(self, spool: Spool) -> tuple[str, ...]:
        counts, failed = spool.counts, self._came.failed
        problems = len(counts) - len(self._ids)
        rows = sum(counts[id] - self._size for id in self._ids)
        said = {
            f"{failed} samples that their tool failed to draw are left out.": failed,
            f"{problems} problems with fewer than {self._size} samples are left out.": problems,
            f"{rows} samples past the first {self._size} of their problem are left out.": rows,
        }
        return tuple(sentence for sentence, count in said.items() if count)


class _Tally:
    """What a reader must know of verdicts and counts."""

    def __init__(self, judge: Grading, again: bool) -> None:
        self._judge, self._again = judge, again
        self._counts: Counter[str] = Counter()

    @property
    def uncounted(self) -> int:
        """Samples without a count of tokens."""
        return self._counts["uncounted"]

    def add(self, problem: Problem, rows: Iterable[Replayed]) -> None:
        """Count the samples of a problem."""
        both = set()
        for row in rows:
            said, counts = row.answer or "", self._counts
            counts["all"] += 1
            counts["ours"] += not self._again and row.sample.right is None and row.right is not None
            counts["uncounted"] += row.sample.tokens is None
            counts["unread"] += said.startswith(UNREAD) and row.sample.finished is not False
            counts["cut"] += row.sample.finished is False and row.right is True
            if not self._again and row.read is not None and said != row.read:
                both.add(row.read)
            if self._again:
                self._compare(problem, row)
        self._counts["both"] += len(both)

    def _compare(self, problem: Problem, row: Replayed) -> None:
        if row.sample.right is None or problem.reference is None:
            return
        right = row.answer is not None and self._judge.grade(row.answer, problem.reference)
        self._counts["judged"] += 1
        self._counts["differ"] += row.sample.right != right

    def notes(self) -> tuple[str, ...]:
        """In sentences."""
        of, name = self._counts, self._judge.name
        said = {
            f"{of['both']} answers are judged both right and wrong by the files; they vote as one, "
            "and one that is chosen counts as its first sample. A policy takes them for two.": of[
                "both"
            ],
            f"{of['unread']} judged samples have no answer that {name} can read; each is an answer "
            "of its own.": of["unread"],
            f"{of['ours']} of {of['all']} samples have no verdict of their own in the files, and "
            f"are judged by {name}.": of["ours"],
            f"{of['cut']} samples that were cut off are judged right by the files; they count as "
            "wrong, since what was cut off has no answer.": of["cut"],
            f"{of['uncounted']} of {of['all']} samples have no count of tokens.": of["uncounted"],
            f"Graded again by {name}: {of['differ']} of {of['judged']} verdicts differ from the "
            "files'.": self._again,
        }
        return tuple(sentence for sentence, count in said.items() if count)


def _said_of_steps(came: _Came) -> tuple[str, ...]:
    """What the labels of steps say of the scores."""
    labelled, steps = len(came.labelled) + came.unscored, came.quality()
    if not labelled:
        return ()
    if steps is None:
        return (
            f"The steps of {labelled} samples are labelled. How well a verifier finds the first "
            "wrong one is said where the file has step_scores or --verifier gives them, and each "
            "half of the problems has right and wrong solutions.",
        )
    low, high = 100 * steps.f1.low, 100 * steps.f1.high
    ranked = "" if steps.auc is None else f" AUC of {steps.steps} step scores: {steps.auc:.3f}."
    return (
        f"Labels of steps: first-error F1 {100 * steps.f1.mean:.1f} [{low:.1f}, {high:.1f}] on "
        f"{steps.problems} problems. The first wrong step is named in {steps.found:.1%} of "
        f"{steps.wrong} wrong solutions, and none in {steps.kept:.1%} of {steps.right} right ones."
        f"{ranked}",
    )
