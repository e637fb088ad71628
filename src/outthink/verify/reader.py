"""A reward model in process: a transformers backbone, a head, and what it has read of prefixes.

A row is what a solution says as its family lays it out. Only tokens that were not read before are
computed: those of the problem once for all its solutions, those of a prefix once for whoever
extends it, as its keys and values are kept in `State.verifier`. The head is applied where a step is
read and nowhere else, so that no logits of a whole vocabulary are ever made. Beyond `kept_bytes`
nothing more is kept, and prefixes are read again: slower, and the same otherwise.

Rows are batched by length: what was read is padded on the left and what is new on the right, with
the positions of every token given, so that what else is in a batch only changes how sums round.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from outthink.types import Scores, Verified
from outthink.verify.families import Encoder, Family
from outthink.verify.written import SolutionText

TOKENS_AT_ONCE = 16384
"""Of one forward pass, padding included."""
KEPT_BYTES = 4 << 30
"""Of keys and values kept for solutions in flight, by default."""
_PROBLEMS = 64
"""Whose beginnings are kept."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class _Held:
    """What was read of a row: its ids, their keys and values [heads, tokens, width] of every layer,
    and the probabilities at the places that were read."""

    ids: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...]
    read: dict[int, float]

    def shared(self, ids: Sequence[int]) -> int:
        """Tokens that another row begins with too."""
        most = min(len(self.ids), len(ids))
        if tuple(ids[:most]) == self.ids[:most]:
            return most
        return next(at for at in range(most) if self.ids[at] != ids[at])


@dataclass(slots=True, eq=False)
class _Row:
    """One row on its way through the model."""

    ids: tuple[int, ...]
    wanted: tuple[int, ...]
    """Places that are read."""
    lead: int
    keep: bool
    held: _Held | None = None
    start: int = 0
    """Tokens of `held` that are its own."""
    scores: dict[int, float] = field(default_factory=dict)

    def hold(self, held: _Held) -> None:
        """Go on from what is held."""
        self.held, self.start = held, held.shared(self.ids)
        unknown = [at for at in self.wanted if at not in held.read]
        self.start = min([self.start, *unknown])
        self.scores = {at: held.read[at] for at in self.wanted if at < self.start}

    @property
    def fresh(self) -> int:
        return len(self.ids) - self.start


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
        self._backbone = backbone.train(False)
        self._head = head.train(False)
        self._tokens_at_once = tokens_at_once
        self._most_bytes = kept_bytes
        self._kept_bytes = 0
        self._problems: dict[tuple[int, ...], _Held] = {}

    @property
    def parameters_count(self) -> int:
        """Weights that are used."""
        modules = (self._backbone, self._head)
        return sum(each.numel() for module in modules for each in module.parameters())

    def score_batch(self, written: Sequence[SolutionText]) -> list[Verified]:
        """Scores in order."""
        encoded = [self.encoder.encode(each.problem, each.steps) for each in written]
        rows = []
        for each, found in zip(written, encoded, strict=True):
            wanted = tuple(at for at in found.reads if at is not None)
            keep = self._may_keep and each.solution.state is not None and each.solution.is_open
            row = _Row(found.ids, wanted, found.lead, keep)
            known = each.solution.state.verifier if each.solution.state else None
            if isinstance(known, _Held):
                row.hold(known)
            rows.append(row)
        starts = [row.start for row in rows]
        self._read_problems(rows)
        self._read([row for row in rows if row.fresh > 0 and row.wanted])
        verified = []
        for each, found, row, known_tokens in zip(written, encoded, rows, starts, strict=True):
            if not row.wanted:
                verified.append(Verified(Scores((None,) * len(each.steps)), 0, 0))
                continue
            if row.keep and each.solution.state is not None:
                each.solution.state.verifier = row.held
            steps = tuple(None if at is None else row.scores[at] for at in found.reads)
            computed = len(row.ids) - known_tokens
            # With earlier answers in it, what comes first is not the same in all solutions.
            shared = row.lead if known_tokens == 0 and not each.earlier else 0
            verified.append(Verified(Scores(steps), computed, known_tokens, shared))
        return verified

    def _read_problems(self, rows: Sequence[_Row]) -> None:
        """The beginning of every problem, once for all rows of it."""
        unread = [row for row in rows if row.held is None and row.wanted and row.lead]
        wanted: dict[tuple[int, ...], list[_Row]] = {}
        for row in unread:
            # A place that is read is computed with its own row: at least one token is left.
            row.lead = min(row.lead, row.wanted[0], len(row.ids) - 1)
            wanted.setdefault(row.ids[: row.lead], []).append(row)
        # Alone, a row is read in one go, without two forward passes.
        new = [
            _Row(ids, (), 0, keep=True)
            for ids, of in wanted.items()
            if ids and ids not in self._problems and len(of) > 1
        ]
        self._read(new)
        for problem in new:
            assert problem.held is not None
            if len(self._problems) >= _PROBLEMS:
                del self._problems[next(iter(self._problems))]
            self._problems[problem.ids] = problem.held
        for ids, of in wanted.items():
            for row in of if ids in self._problems else ():
                row.hold(self._problems[ids])

    def _read(self, rows: Sequence[_Row]) -> None:
        """Compute what is left of every row, in batches of rows about as long as each other."""
        batch: list[_Row] = []
        for row in sorted(rows, key=lambda row: (row.start, row.fresh)):
            more = [*batch, row]
            size = len(more) * (max(r.start for r in more) + max(r.fresh for r in more))
            if batch and size > self._tokens_at_once:
                self._forward(batch)
                more = [row]
            batch = more
        if batch:
            self._forward(batch)

    @torch.inference_mode()
    def _forward(self, rows: Sequence[_Row]) -> None:
        backbone = self._backbone
        device = backbone.device
        past, width = max(row.start for row in rows), max(row.fresh for row in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        places = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros((len(rows), past + width), dtype=torch.long)
        for at, row in enumerate(rows):
            ids[at, : row.fresh] = torch.tensor(row.ids[row.start :])
            places[at, : row.fresh] = torch.arange(row.start, len(row.ids))
            mask[at, past - row.start : past + row.fresh] = 1
        keep = any(row.keep for row in rows)
        cache = self._gathered(rows, past) if keep or past else None
        found = backbone(
            input_ids=ids.to(device),
            position_ids=places.to(device),
            attention_mask=mask.to(device),
            past_key_values=cache,
            use_cache=cache is not None,
        )
        wanted = [
            (at, place) for at, row in enumerate(rows) for place in row.wanted if place >= row.start
        ]
        if wanted:
            which = torch.tensor([at for at, _ in wanted], device=device)
            columns = torch.tensor([p - rows[at].start for at, p in wanted], device=device)
            hidden = found.last_hidden_state[which, columns]
            outputs = self._head(hidden).float().cpu().tolist()
            for (at, place), values in zip(wanted, outputs, strict=True):
                rows[at].scores[place] = self.family.readout.probability(values)
        for at, row in enumerate(rows):
            # The beginning of a problem, at which nothing is read, is always kept.
            if row.keep and (self._may_keep or not row.wanted):
                assert cache is not None
                span = slice(past - row.start, past + row.fresh)
                row.held = _Held(row.ids, _layers(cache, at, span), dict(row.scores))
                self._keeps(row.held)

    @property
    def _may_keep(self) -> bool:
        return self._kept_bytes < self._most_bytes

    def _keeps(self, held: _Held) -> None:
        size = sum(each.numel() * each.element_size() for pair in held.layers for each in pair)
        self._kept_bytes += size
        weakref.finalize(held, self._freed, size).atexit = False

    def _freed(self, size: int) -> None:
        self._kept_bytes -= size

    def _gathered(self, rows: Sequence[_Row], past: int) -> DynamicCache:
        """What rows hold, as one batch: each right before what is new of it."""
        cache = DynamicCache()
        if not past:
            return cache
        like = next(row.held for row in rows if row.held is not None)
        for layer, (keys, values) in enumerate(like.layers):
            shape = (len(rows), keys.size(0), past, keys.size(2))
            all_keys = keys.new_zeros(shape)
            all_values = values.new_zeros((*shape[:3], values.size(2)))
            for at, row in enumerate(rows):
                if row.held is not None and row.start:
                    key, value = row.held.layers[layer]
                    all_keys[at, :, past - row.start :] = key[:, : row.start]
                    all_values[at, :, past - row.start :] = value[:, : row.start]
            cache.update(all_keys, all_values, layer)
        return cache


def _layers(cache: DynamicCache, at: int, span: slice) -> tuple[tuple[Tensor, Tensor], ...]:
    """Keys and values of one row, of its own memory: a view would keep those of the whole batch."""
    found = []
    for layer in cache.layers:
        assert isinstance(layer, DynamicLayer), "a cache of keys and values"
        keys, values = layer.keys, layer.values
        assert keys is not None and values is not None
        found.append((keys[at, :, span].clone(), values[at, :, span].clone()))
    return tuple(found)
