"""Keys and values of what a model of transformers has read, kept in runs that solutions share.

One reader for proposers and verifiers. `Kept` is a run of tokens and the run before it: a problem
is kept once for all its solutions, a step once for all solutions that continue it. A batch is
put together from such runs, padded on its left, and reads further tokens; what the caller asks for
is kept. Beyond `kept_bytes` nothing more is kept for solutions and prefixes are read again: slower,
with the same results.

Knows nothing of sampling, of text or of scores. Models that keep anything but keys and values of
each token (state spaces) are refused.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from outthink.errors import UsageError
from outthink.models.weights import transformers

KEPT_BYTES = 4 << 30
"""Most bytes of keys and values kept for open solutions, by default."""
ROWS = 64
"""Most rows of one forward pass while decoding."""
TOKENS_AT_ONCE = 16384
"""Tokens of one forward pass while reading, those already kept and padding included."""
_SPARE = 64
"""Slots that a batch has to spare when it is put together; it grows by doubling."""


class Kept:
    """Keys and values of a run of tokens, and of all before it; immutable, shared, freed with the
    last solution that continues it."""

    __slots__ = ("__weakref__", "_cut_from", "before", "ending", "length", "own")

    def __init__(self, before: Kept | None, own: Tensor, ending: Tensor | None) -> None:
        self.before = before
        self.own = own
        """[n, numbers of a token]"""
        self.ending = ending
        """[outputs] of the model at its last token; `None` where the run was cut."""
        self.length: int = own.size(0) + (before.length if before else 0)
        """Tokens up to its end."""
        self._cut_from: Kept | None = None

    def runs(self) -> list[Tensor]:
        """The tensors of all its tokens, in their order."""
        tensors, run = [self.own], self.before
        while run is not None:
            tensors.append(run.own)
            run = run.before
        return tensors[::-1]

    def first(self, length: int) -> Kept | None:
        """Its first tokens alone; `None` for none of them. Copies nothing."""
        run: Kept | None = self
        while run is not None and run.length - run.own.size(0) >= length:
            run = run.before
        if run is None or run.length == length:
            return run
        cut = Kept(run.before, run.own[: length - run.length], None)
        cut._cut_from = run  # holds the memory that it is a view of, which is counted there
        return cut


class Keep(Enum):
    """Whether the keys and values of a run are kept."""

    ALWAYS = auto()
    IF_ROOM = auto()
    """While there is less than `kept_bytes`."""
    NEVER = auto()


@dataclass(frozen=True, slots=True)
class Run:
    """At least one token to read, after a prefix whose keys and values are kept."""

    before: Kept | None
    tokens: Sequence[int]
    places: Sequence[int] | None = None
    """Indices of the tokens whose outputs are returned; `None` stands for the last one."""
    keep: Keep = Keep.ALWAYS

    @property
    def past(self) -> int:
        """Tokens that were read before."""
        return self.before.length if self.before else 0


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """The result of reading a run."""

    kept: Kept | None
    outputs: Tensor
    """[places, outputs]"""


class Reader:
    """Reads tokens after what is kept."""

    def __init__(
        self,
        name: str,
        model: Any,
        *,
        outputs: Literal["logits", "last_hidden_state"] = "logits",
        kept_bytes: int = KEPT_BYTES,
        tokens_at_once: int = TOKENS_AT_ONCE,
    ) -> None:
        """`outputs` says which of the model's outputs are read. Raises `UsageError` for a model
        that keeps anything but keys and values."""
        self.model = model
        self.device: torch.device = next(model.parameters()).device
        self.tokens = 0
        """Computed so far, without padding."""
        self.kept_bytes = 0
        """Of everything that is kept now."""
        self._outputs = outputs
        self._most_bytes = kept_bytes
        self._tokens_at_once = tokens_at_once
        parameters = inspect.signature(model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self.shapes = self._probed(name)

    def read(self, runs: Sequence[Run]) -> list[Read]:
        """Read every run after what is before it; in order."""
        results: list[Read | None] = [None] * len(runs)
        for part in self._parts(runs):
            for place, result in zip(
                part, self._read([runs[index] for index in part]), strict=True
            ):
                results[place] = result
        return [result for result in results if result is not None]

    def may_keep(self, tokens: int) -> bool:
        """Whether the keys and values of so many more tokens may be kept."""
        numbers = sum(heads * dim for heads, dim in self.shapes)
        width: int = next(self.model.parameters()).element_size()
        return self.kept_bytes + tokens * numbers * width <= self._most_bytes

    def keep(self, before: Kept | None, own: Tensor, ending: Tensor) -> Kept:
        kept = Kept(before, own, ending)
        size = own.numel() * own.element_size() + ending.numel() * ending.element_size()
        self.kept_bytes += size
        weakref.finalize(kept, self._freed, size).atexit = False
        return kept

    def forward(self, ids: Tensor, mask: Tensor, places: Tensor, cache: Any, every: bool) -> Tensor:
        """[B, n] ids -> [B, n, outputs], or [B, 1, outputs] of the last ones without `every`."""
        extra = {} if every else self._last_only
        with torch.inference_mode():
            result = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=cache is not None,
                **extra,
            )
        outputs: Tensor = getattr(result, self._outputs)
        return outputs if every else outputs[:, -1:]

    def _parts(self, runs: Sequence[Run]) -> Iterator[list[int]]:
        """Places of runs that are read together: of about one length, and not too many."""
        part: list[int] = []
        past = fresh = 0
        for index in sorted(
            range(len(runs)), key=lambda index: (runs[index].past, len(runs[index].tokens))
        ):
            past, fresh = max(past, runs[index].past), max(fresh, len(runs[index].tokens))
            if part and (len(part) + 1) * (past + fresh) > self._tokens_at_once:
                yield part
                part, past, fresh = [], runs[index].past, len(runs[index].tokens)
            part.append(index)
        if part:
            yield part

    def _read(self, runs: Sequence[Run]) -> list[Read]:
        """One forward pass."""
        every = any(run.places is not None for run in runs)
        longest = max(len(run.tokens) for run in runs)
        starts = [run.before for run in runs]
        cached = any(run.before or run.keep is not Keep.NEVER for run in runs)
        batch = Batch(self, starts, longest, cached=cached)
        outputs = batch.extend([run.tokens for run in runs], every=every)
        width = outputs.size(1)
        places = [
            [width - len(run.tokens) + place for place in run.places]
            if run.places is not None
            else [width - 1]
            for run in runs
        ]
        rows = [row for row, columns in enumerate(places) for _ in columns]
        columns = [column for row in places for column in row]
        # Advanced indices copy: what the batch gave elsewhere is freed with it.
        wanted = outputs[rows, columns].split([len(row) for row in places])  # type: ignore[no-untyped-call]
        return [
            Read(self._kept(batch, row, run, outputs[row, -1]), own)
            for row, (run, own) in enumerate(zip(runs, wanted, strict=True))
        ]

    def _kept(self, batch: Batch, row: int, run: Run, ending: Tensor) -> Kept | None:
        count = len(run.tokens)
        if run.keep is Keep.NEVER or (run.keep is Keep.IF_ROOM and not self.may_keep(count)):
            return None
        return batch.take(row, run.before, count, ending)

    def _freed(self, size: int) -> None:
        self.kept_bytes -= size

    def _probed(self, name: str) -> list[tuple[int, int]]:
        """Heads and their width: of the keys of a layer, then of its values."""
        cache = transformers().DynamicCache()
        one = torch.zeros((1, 1), dtype=torch.long, device=self.device)
        try:
            self.forward(one, one + 1, one, cache, True)
            if not cache.layers:
                raise ValueError("no layer of its cache was used")
            return [
                (tensor.size(1), tensor.size(3))
                for layer in cache.layers
                for tensor in (layer.keys, layer.values)
            ]
        except (TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{name}: keeps something else than keys and values ({error}); serve it with "
                "vLLM and give its address"
            ) from error


class Batch:
    """Rows that are read side by side, padded on their left."""

    def __init__(
        self,
        reader: Reader,
        starts: Sequence[Kept | None],
        room: int = _SPARE,
        *,
        cached: bool = True,
    ) -> None:
        """`room` tokens can be read before the batch has to grow. Without `cached`, which takes
        rows that start with nothing, tokens are read once and nothing can be taken."""
        self._reader = reader
        lengths = [start.length if start else 0 for start in starts]
        width = max(lengths)
        self._lengths = torch.tensor(lengths, device=reader.device)
        slots = torch.arange(width, device=reader.device)
        self._mask = (slots >= width - self._lengths[:, None]).long()
        self._cache: Any = self._filled(starts, lengths, width, room) if cached else None

    def extend(self, runs: Sequence[Sequence[int]], *, every: bool = False) -> Tensor:
        """Read a run of tokens in every row; outputs [B, n, outputs], of a shorter run at the end
        of its row. Without `every` [B, 1, outputs], of the last tokens."""
        device, longest = self._reader.device, max(map(len, runs))
        # Any id will do for padding: no token attends to it.
        padded = [[0] * (longest - len(run)) + list(run) for run in runs]
        ids = torch.tensor(padded, device=device)
        counts = torch.tensor([len(run) for run in runs], device=device)
        into = torch.arange(longest, device=device) - (longest - counts)[:, None]
        self._mask = torch.cat([self._mask, (into >= 0).long()], 1)
        places = (self._lengths[:, None] + into).clamp(min=0)
        outputs = self._reader.forward(ids, self._mask, places, self._cache, every)
        self._lengths = self._lengths + counts
        self._reader.tokens += sum(map(len, runs))
        return outputs

    def keep_rows(self, rows: Sequence[int]) -> None:
        """Drop all other rows, and the padding that only they needed."""
        index = torch.tensor(rows, device=self._reader.device)
        self._lengths = self._lengths[index]
        empty = self._mask[index].any(0).long().argmax().item()
        self._mask = self._mask[index, int(empty) :]
        for layer in self._cache.layers:
            layer.keep_rows(index, int(empty))

    def take(self, row: int, before: Kept | None, count: int, ending: Tensor) -> Kept:
        """The last `count` tokens of a row, which follow `before`."""
        own = [
            tensor[row, :, -count:].transpose(0, 1).flatten(1)
            for layer in self._cache.layers
            for tensor in (layer.keys, layer.values)
        ]
        return self._reader.keep(before, torch.cat(own, 1), ending.clone())

    def _filled(
        self, starts: Sequence[Kept | None], lengths: Sequence[int], width: int, room: int
    ) -> Any:
        """A cache that holds the starts and has `room` more slots."""
        reader = self._reader
        flat = self._gathered(starts, lengths, width)
        buffers: list[Tensor] = []
        start = 0
        for heads, dim in reader.shapes:
            part = flat[:, :, start : start + heads * dim].view(len(starts), width, heads, dim)
            start += heads * dim
            buffers.append(flat.new_zeros((len(starts), heads, width + room, dim)))
            buffers[-1][:, :, :width] = part.transpose(1, 2)
        pairs = zip(buffers[::2], buffers[1::2], strict=True)
        layers = [_layer()(keys, values, width) for keys, values in pairs]
        return transformers().cache_utils.Cache(layers=layers)

    def _gathered(
        self, starts: Sequence[Kept | None], lengths: Sequence[int], width: int
    ) -> Tensor:
        """[B, width, numbers of a token], zeros on the left of shorter rows."""
        numbers = sum(heads * dim for heads, dim in self._reader.shapes)
        like = next(self._reader.model.parameters())
        flat: Tensor = like.new_zeros((len(starts), width, numbers), requires_grad=False)
        whole: dict[int, Tensor] = {}
        for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            if start is not None:
                if id(start) not in whole:
                    whole[id(start)] = torch.cat(start.runs())
                flat[row, width - length :] = whole[id(start)]
        return flat


@lru_cache(1)
def _layer() -> Any:
    """A layer of a cache that has room for tokens to come, so that adding one copies nothing."""

    class Layer(transformers().cache_utils.DynamicLayer):  # type: ignore[misc]
        def __init__(self, keys: Tensor, values: Tensor, length: int) -> None:
            super().__init__()
            self.dtype, self.device = keys.dtype, keys.device
            self.is_initialized = True
            self._buffers = [keys, values]
            self._show(length)

        def update(self, keys: Tensor, values: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
            begin = self.length
            end = begin + keys.size(2)
            if end > self._buffers[0].size(2):
                more = end + max(_SPARE, end // 2)
                self._buffers = [_grown(buffer, begin, more) for buffer in self._buffers]
            self._buffers[0][:, :, begin:end] = keys
            self._buffers[1][:, :, begin:end] = values
            self._show(end)
            return self.keys, self.values

        def keep_rows(self, index: Tensor, first: int) -> None:
            length = self.length
            self._buffers = [
                _grown(buffer[index][:, :, first:length], length - first, length - first + _SPARE)
                for buffer in self._buffers
            ]
            self._show(length - first)

        def get_seq_length(self, *_: Any) -> int:
            return self.length

        def _show(self, length: int) -> None:
            self.length = length
            self.keys, self.values = (buffer[:, :, :length] for buffer in self._buffers)

    return Layer


def _grown(buffer: Tensor, length: int, slots: int) -> Tensor:
    grown = buffer.new_zeros((*buffer.shape[:2], slots, buffer.size(3)))
    grown[:, :, :length] = buffer[:, :, :length]
    return grown
