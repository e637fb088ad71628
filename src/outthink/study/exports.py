"""What a store holds, for other tools: its pool, of which `study.imports` makes the same pool, or
everything that its searches drew.

Of the sweep that was asked for last, in the order in which it was drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

from outthink.data import sample_files
from outthink.data.sample_files import Searched
from outthink.data.samples import Sample
from outthink.errors import UsageError
from outthink.grade import RECORDED
from outthink.run.store import JobKey, Node, Recorded
from outthink.study.replayed import UNKNOWN_TARGET, UNREAD
from outthink.study.sweep import OpenStudy, make_place, reopened
from outthink.types import Problem

PLAIN, LM_EVAL = "plain", "lm-eval"
FORMS = (PLAIN, LM_EVAL)

Text = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of it."""

    file: Path
    problems: int
    samples: int
    """Of all problems together."""
    grader: str
    """Reads the answers."""
    notes: tuple[str, ...]


def export_samples(
    store: Path, out: Path, *, texts: Mapping[str, Text] | None = None, form: str = PLAIN
) -> Exported:
    """Write the pool of a store: a plain table, or a log as lm-eval's. `texts` decodes token ids
    where the store holds no text, by how the name of a proposer begins.

    Raises `UsageError` where there is no pool, or for an ending that nothing is written for;
    `RunError` where the file cannot be written.
    """
    sample_files.require(out)
    make_place(out)
    with reopened(store) as opened:
        text = _decoder(opened, texts)
        problems = _with_pool(opened)
        if not problems:
            raise UsageError(
                f"{store}: no pool of samples is finished; sweep majority or best_of_n into it"
            )
        if form == LM_EVAL:
            size = opened.asked.plan.pool
            grouped = iter(partial(_take, _samples(opened, problems, text), size), [])
            count = sample_files.write_lm_eval(out, grouped)
        else:
            count = sample_files.write(out, _samples(opened, problems, text))
        grader = opened.asked.grader.removeprefix(RECORDED)
        return Exported(out, len(problems), count, grader, opened.notes)


def export_searches(store: Path, out: Path, *, texts: Mapping[str, Text] | None = None) -> Exported:
    """Write everything that the finished searches of the sweep drew: samples, chains, steps.

    Raises as `export_samples`.
    """
    sample_files.require(out)
    make_place(out)
    with reopened(store) as opened:
        text = _decoder(opened, texts)
        ids = set(opened.asked.problem_ids)
        jobs = [job for job in sorted(opened.study.view.finished()) if job[0] in ids]
        if not jobs:
            raise UsageError(f"{store}: no search is finished; give its 'outthink sweep' again")
        count = sample_files.write_searches(out, _searched(opened, jobs, text))
        grader = opened.asked.grader.removeprefix(RECORDED)
        return Exported(out, len({job[0] for job in jobs}), count, grader, opened.notes)


def _take(samples: Iterator[Sample], size: int) -> list[Sample]:
    return list(islice(samples, size))


def _decoder(opened: OpenStudy, texts: Mapping[str, Text] | None) -> Text | None:
    decoders = (texts or {}).items()
    return next((t for name, t in decoders if opened.asked.proposer.startswith(name)), None)


def _searched(opened: OpenStudy, jobs: Sequence[JobKey], text: Text | None) -> Iterator[Searched]:
    verdicts = opened.study.view.verdicts()
    for job in jobs:
        tree = opened.study.view.tree(*job)
        judged = verdicts.get(job[0], {})
        for node in tree.nodes:
            said = _steps(node, text)
            yield Searched(
                *job,
                node.number,
                node.parent,
                node.number == tree.outcome.chosen,
                None if said is None else "".join(said),
                node.answer,
                None if node.answer is None else judged.get(node.answer),
                node.decoded_tokens,
                None if node.scores is None else node.scores.steps,
                node.finished,
                node.truncated,
                node.critique,
            )


def _with_pool(opened: OpenStudy) -> list[Problem]:
    """The problems whose pool is drawn, with a reference or without."""
    plan, by_id = opened.asked.plan, {problem.id: problem for problem in opened.store.problems()}
    finished = opened.study.view.finished() if plan.pooled else set()
    return [
        by_id[id]
        for id in opened.asked.problem_ids
        if (id, plan.pool_job, plan.pool, "") in finished
    ]


def _samples(opened: OpenStudy, problems: Sequence[Problem], text: Text | None) -> Iterator[Sample]:
    plan, view = opened.asked.plan, opened.study.view
    verdicts = view.verdicts()
    for problem in problems:
        judged = verdicts.get(problem.id, {})
        for node in view.tree(problem.id, plan.pool_job, plan.pool).nodes:
            right = None if node.answer is None else judged.get(node.answer)
            if opened.asked.imported:
                yield _imported(problem, node, right, counted=opened.asked.counted)
            else:
                yield _drawn(problem, node, right, _steps(node, text))


def _drawn(
    problem: Problem, node: Node, right: bool | None, steps: tuple[str, ...] | None
) -> Sample:
    return Sample(
        "",
        problem.id,
        problem.prompt,
        problem.reference,
        None if steps is None else "".join(steps),
        _read(node.answer, steps is not None),
        right,
        node.decoded_tokens,
        not node.truncated,
        steps,
        None if node.scores is None else node.scores.steps,
    )


def _read(answer: str | None, has_text: bool) -> str | None:
    """An empty answer says that the text was read and declares none."""
    return "" if answer is None and has_text else answer


def _steps(node: Node, text: Text | None) -> tuple[str, ...] | None:
    """The text of each step, and of what follows the last; `None` where nobody knows it."""
    said = node.texts
    if said is None and text is not None:
        ends = (0, *node.step_ends, len(node.tokens))
        said = tuple(text(node.tokens[a:b]) for a, b in pairwise(ends))
    # The mark of a solution's end says nothing.
    return said[:-1] if said and not said[-1] and len(said) > len(node.step_ends) else said


def _imported(problem: Problem, node: Node, right: bool | None, *, counted: bool) -> Sample:
    """A sample as its file had it."""
    recorded = node.recorded or _guessed(node, right, counted=counted)
    steps = [*(node.texts or ())]
    while steps and not steps[-1]:  # stand for steps of which there are scores alone
        steps.pop()
    known = recorded.has_text
    return Sample(
        "",
        problem.id,
        None if problem.prompt == problem.id else problem.prompt,
        None if problem.reference == UNKNOWN_TARGET else problem.reference,
        "".join(steps) if known else None,
        _read(recorded.answer, known),
        recorded.right,
        recorded.tokens,
        recorded.finished,
        tuple(steps) if known and len(steps) > 1 else None,
        None if node.scores is None else node.scores.steps or None,
        recorded.labels,
    )


def _guessed(node: Node, right: bool | None, *, counted: bool) -> Recorded:
    """What stores say of a sample that were written before its file was recorded with it."""
    answer, text = _theirs(node.answer), "".join(node.texts or ())
    tokens = node.decoded_tokens if counted else node.decoded_tokens or None
    finished = False if node.truncated else None
    return Recorded(answer, right, tokens, finished, bool(text) and text != answer)


def _theirs(answer: str | None) -> str | None:
    """An answer without what `study.replayed` says of it."""
    if answer is None or answer.startswith(UNREAD):
        return None
    for said in (" (judged right)", " (judged wrong)"):
        answer = answer.removesuffix(said)
    return answer
