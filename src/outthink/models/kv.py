"""What a model of transformers has read, kept in pieces that solutions share.

`Kept` is a run of tokens and whatever stands before it: a problem's prompt is kept once for all its
solutions, a step once for all that go on from it. A batch is put together from such pieces, padded
on its left, and reads on; of what it reads only what is asked for is kept. Beyond `kept_bytes`
nothing more is kept, and prefixes are read again: slower, and the same otherwise.

Knows nothing of sampling, of text or of scores. Models that keep anything but keys and values a
token (state spaces) are refused.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from outthink.errors import UsageError
from outthink.models.weights import HF, Loaded, transformers

KEPT_BYTES = 4 << 30
"""Of keys and values kept for solutions in flight, by default."""
ROWS = 64
"""Most rows of one forward pass while decoding."""
_TOKENS = 4096
"""Tokens of one forward pass while reading, padding included."""
_ROOM = 64
"""Slots a batch has to spare when it is put together; it grows by doubling."""


class Kept:
    """Keys and values of a run of tokens, and of all before it; immutable, shared, freed with the
    last solution that goes on from it."""

    __slots__ = ("__weakref__", "before", "ending", "length", "own")

    def __init__(self, before: Kept | None, own: Tensor, ending: Tensor) -> None:
        self.before = before
        self.own = own
        """[n, numbers a token]"""
        self.ending = ending
        """[outputs] of the model at its last token."""
        self.length: int = own.size(0) + (before.length if before else 0)
        """Tokens up to its end."""

    def pieces(self) -> list[Tensor]:
        """Its own and those before it, in their order."""
        found, at = [self.own], self.before
        while at is not None:
            found.append(at.own)
            at = at.before
        return found[::-1]


class Reader:
    """Reads tokens after what is kept."""

    def __init__(self, loaded: Loaded, *, kept_bytes: int = KEPT_BYTES) -> None:
        self.model = loaded.model
        self.device = loaded.device
        self.tokens = 0
        """Computed so far, padding left out."""
        self.kept_bytes = 0
        """Of everything that is kept now."""
        self._most_bytes = kept_bytes
        parameters = inspect.signature(self.model.forward).parameters
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self.shapes = self._probed(loaded.name)

    def read(
        self, wanted: Sequence[tuple[Kept | None, Sequence[int]]], *, every: bool = False
    ) -> list[tuple[Kept, Tensor]]:
        """Each run of tokens (one at least) after what stands before it: what to keep of it, and
        the model's outputs [n, outputs], at its last token alone without `every`."""
        found: list[tuple[Kept, Tensor] | None] = [None] * len(wanted)
        for part in _parts([len(tokens) for _, tokens in wanted]):
            starts = [wanted[at][0] for at in part]
            runs = [wanted[at][1] for at in part]
            batch = Batch(self, starts, max(map(len, runs)))
            outputs = batch.extend(runs, every=every)
            for row, at in enumerate(part):
                count = len(runs[row])
                own = outputs[row, -count:] if every else outputs[row]
                kept = batch.take(row, starts[row], count, own[-1])
                found[at] = kept, own
        return [each for each in found if each is not None]

    def may_keep(self, tokens: int) -> bool:
        """Whether so many more tokens may be kept for solutions."""
        each = sum(heads * dim for heads, dim in self.shapes)
        width: int = next(self.model.parameters()).element_size()
        return self.kept_bytes + tokens * each * width <= self._most_bytes

    def keep(self, before: Kept | None, own: Tensor, ending: Tensor) -> Kept:
        kept = Kept(before, own, ending)
        size = own.numel() * own.element_size() + ending.numel() * ending.element_size()
        self.kept_bytes += size
        weakref.finalize(kept, self._freed, size).atexit = False
        return kept

    def forward(self, ids: Tensor, mask: Tensor, places: Tensor, cache: Any, every: bool) -> Tensor:
        """[B, n] ids -> [B, n, outputs], or [B, 1, outputs] without `every`."""
        extra = {} if every else self._last_only
        with torch.inference_mode():
            found = self.model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                **extra,
            )
        logits: Tensor = found.logits
        return logits if every else logits[:, -1:]

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
                (each.size(1), each.size(3))
                for layer in cache.layers
                for each in (layer.keys, layer.values)
            ]
        except (TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{HF}{name}: keeps something else than keys and values ({error}); serve it with "
                "vLLM and give its address"
            ) from error


class Batch:
    """Rows that are read side by side, padded on their left."""

    def __init__(self, reader: Reader, starts: Sequence[Kept | None], room: int = _ROOM) -> None:
        self._reader = reader
        lengths = [start.length if start else 0 for start in starts]
        width = max(lengths)
        self._lengths = torch.tensor(lengths, device=reader.device)
        slots = torch.arange(width, device=reader.device)
        self._mask = (slots >= width - self._lengths[:, None]).long()
        flat = self._gathered(starts, lengths, width)
        buffers: list[Tensor] = []
        at = 0
        for heads, dim in reader.shapes:
            part = flat[:, :, at : at + heads * dim].view(len(starts), width, heads, dim)
            at += heads * dim
            buffers.append(flat.new_zeros((len(starts), heads, width + room, dim)))
            buffers[-1][:, :, :width] = part.transpose(1, 2)
        pairs = zip(buffers[::2], buffers[1::2], strict=True)
        layers = [_layer()(keys, values, width) for keys, values in pairs]
        self._cache = transformers().cache_utils.Cache(layers=layers)

    def extend(self, runs: Sequence[Sequence[int]], *, every: bool = False) -> Tensor:
        """Read a run of tokens in every row; outputs [B, n, outputs], of a shorter run at the end
        of its row. Without `every` [B, 1, outputs], of the last tokens."""
        device, longest = self._reader.device, max(map(len, runs))
        # Any id will do for padding: nothing looks at it.
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
        """What a row has read last, after `before`."""
        own = [
            each[row, :, -count:].transpose(0, 1).flatten(1)
            for layer in self._cache.layers
            for each in (layer.keys, layer.values)
        ]
        return self._reader.keep(before, torch.cat(own, 1), ending.clone())

    def _gathered(
        self, starts: Sequence[Kept | None], lengths: Sequence[int], width: int
    ) -> Tensor:
        """[B, width, numbers a token], zeros on the left of shorter rows."""
        numbers = sum(heads * dim for heads, dim in self._reader.shapes)
        like = next(self._reader.model.parameters())
        flat: Tensor = like.new_zeros((len(starts), width, numbers), requires_grad=False)
        whole: dict[int, Tensor] = {}
        for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            if start is not None:
                if id(start) not in whole:
                    whole[id(start)] = torch.cat(start.pieces())
                flat[row, width - length :] = whole[id(start)]
        return flat


def _parts(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of runs that are read together: of about one length, and not too many."""
    part: list[int] = []
    for at in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        if part and (len(part) + 1) * lengths[part[0]] > _TOKENS:
            yield part
            part = []
        part.append(at)
    if part:
        yield part


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
                more = end + max(_ROOM, end // 2)
                self._buffers = [_grown(each, begin, more) for each in self._buffers]
            self._buffers[0][:, :, begin:end] = keys
            self._buffers[1][:, :, begin:end] = values
            self._show(end)
            return self.keys, self.values

        def keep_rows(self, index: Tensor, first: int) -> None:
            length = self.length
            self._buffers = [
                _grown(each[index][:, :, first:length], length - first, length - first + _ROOM)
                for each in self._buffers
            ]
            self._show(length - first)

        def get_seq_length(self, *_: Any) -> int:
            return self.length

        def _show(self, length: int) -> None:
            self.length = length
            self.keys, self.values = (each[:, :, :length] for each in self._buffers)

    return Layer


def _grown(buffer: Tensor, length: int, slots: int) -> Tensor:
    grown = buffer.new_zeros((*buffer.shape[:2], slots, buffer.size(3)))
    grown[:, :, :length] = buffer[:, :, :length]
    return grown
