"""A reward model in process: a transformers backbone, a head, and what it has read of prefixes.

A row is the text of a solution as its family lays it out. Only tokens that were not read before are
computed: what all problems begin with once (a system prompt, worked examples), those of a problem
once for all its solutions, those of a prefix once for all solutions that extend it. Their keys and
values are kept in `State.verifier` (`models.kv`). The head is applied where a step is read and
nowhere else, so that no logits of a whole vocabulary are ever made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn
from transformers import PreTrainedModel

from outthink.models import kv
from outthink.models.kv import KEPT_BYTES, TOKENS_AT_ONCE, Keep, Kept, Run
from outthink.types import Scores, Verified
from outthink.verify.families import Encoder, Family
from outthink.verify.written import SolutionText

__all__ = ["KEPT_BYTES", "TOKENS_AT_ONCE", "Reader"]

_PROBLEMS = 64
"""Problems whose beginnings are kept, and that are read side by side."""


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What was read of a row: its ids, their keys and values, and the probabilities at the places
    that were read."""

    ids: tuple[int, ...]
    kept: Kept
    scores: dict[int, float]

    def shared(self, ids: Sequence[int]) -> int:
        """Tokens that another row begins with too."""
        return common(self.ids, ids)


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Tokens that both begin with."""
    most = min(len(one), len(other))
    if tuple(one[:most]) == tuple(other[:most]):
        return most
    return next(index for index in range(most) if one[index] != other[index])


@dataclass(slots=True, eq=False)
class _Row:
    """One row on its way through the model."""

    ids: tuple[int, ...]
    wanted: tuple[int, ...]
    """Places that are read."""
    lead: int
    """Tokens of the problem."""
    keep: Keep
    known: _Known | None = None
    start: int = 0
    """Tokens that are already read."""
    scores: dict[int, float] = field(default_factory=dict)

    def resume(self, known: _Known, most: int | None = None) -> None:
        """Continue from what is known of another row, as far as it is the same, and for `most`
        tokens."""
        self.known, self.start = known, known.shared(self.ids[:most])
        unread = [index for index in self.wanted if index not in known.scores]
        self.start = min([self.start, *unread])
        self.scores = {index: known.scores[index] for index in self.wanted if index < self.start}

    @property
    def fresh(self) -> int:
        """Tokens that are still to be read."""
        return len(self.ids) - self.start

    @property
    def unread(self) -> list[int]:
        """Places at which there is no score yet."""
        return [index for index in self.wanted if index >= self.start]

    @property
    def run(self) -> Run:
        before = self.known.kept.first(self.start) if self.known else None
        places = [index - self.start for index in self.unread]
        return Run(before, self.ids[self.start :], places, self.keep)


class Reader:
    """Scores what a family of reward models reads. Make one with `prm.load` or `orm.load`."""

    def __init__(
        self,
        name: str,
        row: Family,
        encoder: Encoder,
        backbone: PreTrainedModel,
        head: nn.Module,
        *,
        tokens_at_once: int = TOKENS_AT_ONCE,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """`backbone` gives hidden states, `head` makes of one what `row.readout` takes;
        `kept_bytes` bounds what is kept of open solutions, and 0 keeps nothing."""
        self.name = name
        self.family = row
        self.encoder = encoder
        self._head = head.train(False)
        self._kv = kv.Reader(
            name,
            backbone.train(False),
            outputs="last_hidden_state",
            kept_bytes=kept_bytes,
            tokens_at_once=tokens_at_once,
        )
        self._problems: dict[tuple[int, ...], _Known] = {}
        """Those asked for last stand last."""
        self._start: _Known | None = None
        """What the problems that were read last have in common."""

    @property
    def backbone(self) -> nn.Module:
        """What reads."""
        model: nn.Module = self._kv.model
        return model

    @property
    def parameters_count(self) -> int:
        """Weights that are used."""
        modules = (self.backbone, self._head)
        return sum(weight.numel() for module in modules for weight in module.parameters())

    def score_batch(self, written: Sequence[SolutionText]) -> list[Verified]:
        """Scores in order."""
        encoded = [self.encoder.encode(text.problem, text.steps) for text in written]
        rows = []
        for text, encoding in zip(written, encoded, strict=True):
            state = text.solution.state
            wanted = tuple(index for index in encoding.reads if index is not None)
            keep = Keep.IF_ROOM if state is not None and text.solution.is_open else Keep.NEVER
            row = _Row(encoding.ids, wanted, encoding.lead, keep)
            if state is not None and isinstance(state.verifier, _Known):
                row.resume(state.verifier)
            rows.append(row)
        starts = [row.start for row in rows]
        for part in _of_few_problems(rows):
            self._read_problems(part)
            self._read([row for row in part if row.fresh > 0 and row.wanted])
        verified = []
        for text, encoding, row, cached in zip(written, encoded, rows, starts, strict=True):
            if not row.wanted:
                verified.append(Verified(Scores((None,) * len(text.steps)), 0, 0))
                continue
            if row.keep is not Keep.NEVER and text.solution.state is not None:
                text.solution.state.verifier = row.known
            steps = tuple(None if index is None else row.scores[index] for index in encoding.reads)
            computed = len(row.ids) - cached
            # With earlier answers in it, the beginning is not the same in all solutions.
            shared = row.lead if cached == 0 and not text.earlier else 0
            verified.append(Verified(Scores(steps), computed, cached, shared))
        return verified

    def _read_problems(self, rows: Sequence[_Row]) -> None:
        """Read the beginning of every problem, once for all rows of it."""
        unread = [row for row in rows if row.known is None and row.wanted and row.lead]
        wanted: dict[tuple[int, ...], list[_Row]] = {}
        for row in unread:
            # A place that is read is computed with its own row: at least one token is left.
            row.lead = min(row.lead, row.wanted[0], len(row.ids) - 1)
            wanted.setdefault(row.ids[: row.lead], []).append(row)
        # Alone, a row is read in one go, without two forward passes.
        new = [
            _Row(ids, (), 0, Keep.ALWAYS)
            for ids, of in wanted.items()
            if ids and ids not in self._problems and len(of) > 1
        ]
        for ids in wanted:
            if ids in self._problems:
                self._problems[ids] = self._problems.pop(ids)
        self._read_start(new)
        self._read(new)
        for problem in new:
            assert problem.known is not None
            if len(self._problems) >= _PROBLEMS:
                del self._problems[next(iter(self._problems))]
            self._problems[problem.ids] = problem.known
        for ids, of in wanted.items():
            for row in of if ids in self._problems else ():
                row.resume(self._problems[ids])

    def _read_start(self, problems: Sequence[_Row]) -> None:
        """Read what all these problems begin with, once, and go on from there."""
        if len(problems) > 1:
            first, *others = (row.ids for row in problems)
            most = min(common(first, ids) for ids in others)
            # A token of each problem is left to be read.
            start = first[: min(most, *(len(row.ids) - 1 for row in problems))]
            if start and (self._start is None or self._start.shared(start) < len(start)):
                row = _Row(start, (), 0, Keep.ALWAYS)
                self._read([row])
                self._start = row.known
        if self._start is not None:
            for row in problems:
                row.resume(self._start, len(row.ids) - 1)

    def _read(self, rows: Sequence[_Row]) -> None:
        """Compute what is left of every row."""
        if not rows:
            return
        results = self._kv.read([row.run for row in rows])
        with torch.inference_mode():
            hidden = torch.cat([result.outputs for result in results])
            outputs = iter(self._head(hidden).float().cpu().tolist() if len(hidden) else ())
        for row, result in zip(rows, results, strict=True):
            for place in row.unread:
                row.scores[place] = self.family.readout.probability(next(outputs))
            if result.kept is not None:
                row.known = _Known(row.ids, result.kept, dict(row.scores))


def _of_few_problems(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Rows of a few problems at a time: what is kept of problems is bounded."""
    by_problem: dict[tuple[int, ...], list[_Row]] = {}
    for row in rows:
        by_problem.setdefault(row.ids[: row.lead], []).append(row)
    problems = list(by_problem.values())
    for first in range(0, len(problems), _PROBLEMS):
        yield [row for of in problems[first : first + _PROBLEMS] for row in of]
