"""The lab's engines: a proposer and a verifier around a `GPT`, in process.

Rows of equal length are decoded together; the cached keys and values of a prefix are forked, never
read again; rows leave the batch when they end. Every row draws from its own seed at its own
position, and every operation works on rows one by one, so that what else is in the batch changes
nothing. Memory is bounded by `ROWS` rows at a time plus what the prefixes in flight have cached.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from outthink.errors import UsageError
from outthink.lab import tokenizer
from outthink.lab.gpt import GPT, Cache, gather
from outthink.models.chance import hashed
from outthink.models.cores import cores
from outthink.models.reread import Reread, Spread
from outthink.models.shape import ModelShape
from outthink.models.uniform import from_uniform
from outthink.types import (
    Draw,
    Drawn,
    Scores,
    Solution,
    State,
    Verified,
    refuse_force,
    refuse_framing,
)

Part = TypeVar("Part")

WORKERS = cores()
ROWS = 256
"""Most rows of one forward pass: enough to fill the cores, and small enough for their caches."""

_LEAST_ROWS = 16
"""A matrix product over fewer rows may take another code path, and round otherwise."""


class Stopwatch:
    """Time spent in model forward passes, and tokens they computed."""

    def __init__(self) -> None:
        self.tokens = 0
        self.worker_seconds = 0.0
        """Of all workers together."""
        self.wall_seconds = 0.0
        """Of the clock on the wall: while at least one worker was in a forward pass."""
        self._lock = threading.Lock()
        self._running = 0
        self._began = 0.0

    @contextmanager
    def forward(self, tokens: int) -> Iterator[None]:
        began = time.perf_counter()
        with self._lock:
            if self._running == 0:
                self._began = began
            self._running += 1
        yield
        ended = time.perf_counter()
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self.wall_seconds += ended - self._began
            self.worker_seconds += ended - began
            self.tokens += tokens


class Workers:
    """Threads that each run whole batches on one core.

    The operations of a small model are too short to be worth splitting over cores: two batches side
    by side are nearly twice as fast as one batch on both.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        _keep_freed_memory()
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))

    def run(self, parts: Sequence[Part], do: Callable[[Part], None]) -> None:
        """Call `do` on every part; an exception in one is raised here."""
        for _ in self._pool.map(do, parts):
            pass


def _keep_freed_memory() -> None:
    """Have the allocator keep what is freed: batches come and go in the same sizes, and fresh pages
    for each cost a quarter of the time of a beam search. In one heap: glibc gives threads heaps of
    their own, what one keeps no other uses, and every sweep has threads of its own. glibc alone;
    elsewhere only speed is lost.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 1 << 30)
        mallopt(_M_ARENA_MAX, 1)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def split(places: Sequence[int], rows: int, workers: int) -> list[Sequence[int]]:
    """Parts of at most `rows`, nearly equal, and as many for each worker where that keeps them
    large."""
    fewest = -(-len(places) // rows)
    even = -(-fewest // workers) * workers
    count = max(fewest, min(even, len(places) // _LEAST_SPLIT))
    size = -(-len(places) // count)
    return [places[start : start + size] for start in range(0, len(places), size)]


def largest_first(parts: Iterable[tuple[int, Sequence[int]]]) -> list[tuple[int, Sequence[int]]]:
    """Parts in the order in which workers that take one after the other end at nearly the same
    time."""
    return sorted(parts, key=lambda part: len(part[1]), reverse=True)


def bundles(
    parts: Sequence[tuple[int, Sequence[int]]], rows: int, workers: int
) -> list[list[tuple[int, Sequence[int]]]]:
    """Parts, the largest first, of which those go together that are small: at most `rows` rows,
    counted as they are padded, and fewer where another worker would have none."""
    padded = [max(len(places), _LEAST_ROWS) for _, places in parts]
    rows = min(rows, max(_LEAST_SPLIT, -(-sum(padded) // workers)))
    made: list[list[tuple[int, Sequence[int]]]] = []
    room = 0
    for part, taken in zip(parts, padded, strict=True):
        if not made or taken > room:
            made.append([])
            room = rows
        made[-1].append(part)
        room -= taken
    return made


_LEAST_SPLIT = 64
"""Rows below which a second worker does not pay."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What a model has read of one solution: a row of a cache, and the model's outputs at its end.

    Row `index` of `cache` holds the earlier solutions, the prompt and the first `length` tokens of
    the solution; row `index` of `outputs` [rows, outputs] belongs to the last of these tokens.
    """

    cache: Cache
    outputs: Tensor
    index: int
    length: int


_Wanted = tuple[str, tuple[tuple[int, ...], ...], tuple[int, ...]]
"""A prompt, the earlier solutions before it, and the tokens that follow it."""


_Asked = tuple[Tensor, Cache]
"""The newest token of each row, [rows, 1], and what the rows have cached before it."""


def _lead(solution: Solution) -> int:
    """Tokens of the earlier solutions that a solution was written after."""
    return sum(map(len, solution.history)) if solution.history else 0


class _Reader:
    """Reads prefixes into caches, for the proposer and the verifier."""

    def __init__(self, model: GPT, rows: int) -> None:
        self.model = model
        self.rows = rows
        self.watch = Stopwatch()
        self.workers = Workers(WORKERS)

    def start(
        self, wanted: Sequence[_Wanted], cached: Sequence[_Read | None]
    ) -> tuple[Cache, Tensor]:
        """A cache of these prompts and prefixes, of one length, and the outputs at their ends.

        A row with an entry in `cached` is copied from it. The others are read: each prompt and each
        prefix once for all its rows.
        """
        rows = list(cached)
        unread = [at for at, row in enumerate(rows) if row is None]
        if unread:
            fresh = self._read([wanted[at] for at in unread])
            for at, row in zip(unread, fresh, strict=True):
                rows[at] = row
        return self._forked([row for row in rows if row is not None])

    def extend(self, tokens: Tensor, cache: Cache) -> Tensor:
        """[B, n] ids after what the cache holds -> [B, n, outputs]."""
        return self.decode([(tokens, cache)])[0]

    def decode(self, asked: Sequence[_Asked]) -> list[Tensor]:
        """`extend` for several caches at once, by as many tokens a row."""
        tokens, caches = zip(*asked, strict=True)
        computed = sum(new.numel() for new in tokens)
        with self.watch.forward(computed), torch.inference_mode():
            return self.model.decode(tokens, caches)

    def _read(self, wanted: Sequence[_Wanted]) -> list[_Read]:
        starts = dict.fromkeys((prompt, history) for prompt, history, _ in wanted)
        seen = max(len(history) for _, history in starts)
        if seen > self.model.room:
            raise UsageError(
                f"{seen} earlier solutions for a model that tells {self.model.room} apart; give "
                f"window={self.model.room} or less"
            )
        place = {start: at for at, start in enumerate(starts)}
        prompts = {prompt: tokenizer.encode_prompt(prompt) for prompt, _ in starts}
        ids = _tall(torch.tensor([prompts[prompt] for prompt, _ in starts]))
        lead = sum(map(len, wanted[0][1]))
        cache = Cache.empty(self.model.shape, ids.size(0), self.model.head.weight.detach(), lead)
        if lead:
            earlier = [
                tokenizer.place(prompts[prompt], history, None) for prompt, history in starts
            ]
            self._lead(_tall(torch.from_numpy(np.stack(earlier))), cache)
        outputs = self.extend(ids, cache)[:, -1]
        length = len(wanted[0][2])
        if length == 0:
            return [_Read(cache, outputs, place[key[:2]], 0) for key in wanted]
        distinct = {key: at for at, key in enumerate(dict.fromkeys(wanted))}
        index = torch.tensor([place[key[:2]] for key in distinct])
        cache = gather([(cache, _tall(index))], cache.length)
        ids = _tall(torch.tensor([tokens for _, _, tokens in distinct]))
        outputs = self.extend(ids, cache)[:, -1]
        return [_Read(cache, outputs, distinct[key], length) for key in wanted]

    def _lead(self, ids: Tensor, cache: Cache) -> None:
        with self.watch.forward(ids.size(0) * ids.size(2)), torch.inference_mode():
            self.model.lead(ids, cache)

    def _forked(self, rows: Sequence[_Read]) -> tuple[Cache, Tensor]:
        """New rows, a copy of each; rows of one cache that stand together are copied at once."""
        sources: list[tuple[Cache, Tensor]] = []
        outputs: list[Tensor] = []
        for _, run in groupby(rows, key=lambda row: id(row.cache)):
            same = list(run)
            index = torch.tensor([row.index for row in same])
            sources.append((same[0].cache, index))
            outputs.append(same[0].outputs[index])
        missing = _LEAST_ROWS - len(rows)
        if missing > 0:
            sources.append((rows[0].cache, torch.full((missing,), rows[0].index)))
        lead = rows[0].cache.lead
        length = lead + tokenizer.PROMPT_LENGTH + rows[0].length
        return gather(sources, length, lead + self.model.shape.context), torch.cat(outputs)


@dataclass(frozen=True, slots=True)
class Decoding:
    """A decoding step that can be repeated."""

    context: int
    """Positions that each row attends to, the new one included."""
    step: Callable[[], None]


class LabProposer:
    """Samples solutions of the lab's task from a language model."""

    reads_words = False

    def __init__(self, model: GPT, name: str, *, rows: int = ROWS) -> None:
        self.name = name
        self._reader = _Reader(model, rows)

    @property
    def watch(self) -> Stopwatch:
        return self._reader.watch

    @property
    def parameters_count(self) -> int:
        return self._reader.model.parameters_count

    @property
    def shape(self) -> ModelShape:
        """For the cost models."""
        return self._reader.model.model_shape(self.name)

    def decoding(self, rows: int) -> Decoding:
        """One step of `rows` rows in the middle of a context, to be timed again and again."""
        model = self._reader.model
        context = model.shape.context // 2
        cache = Cache.empty(model.shape, rows, model.head.weight.detach())
        for part in (*cache.layers, cache.tokens):
            part.zero_()
        tokens = torch.zeros(rows, 1, dtype=torch.long)

        def step() -> None:
            cache.length = context
            self._reader.extend(tokens, cache)

        return Decoding(context + 1, step)

    def decode(self, tokens: Sequence[int]) -> str:
        return tokenizer.decode(tokens)

    def reread(self, solutions: Sequence[Solution], top: int) -> list[Reread]:
        """The `top` likeliest log probabilities at every token of each solution."""
        most = min(top, tokenizer.VOCABULARY)
        return [
            Reread(tuple(map(tuple, likely.topk(most).values.tolist())), *cost)
            for likely, cost in self._read_again(solutions)
        ]

    def spread(self, solutions: Sequence[Solution]) -> list[Spread]:
        """How far from uniform the model was at every token of each solution."""
        return [
            Spread(tuple(from_uniform(likely).tolist()), tokenizer.VOCABULARY, *cost)
            for likely, cost in self._read_again(solutions)
        ]

    def _read_again(
        self, solutions: Sequence[Solution]
    ) -> list[tuple[Tensor, tuple[int, int, int]]]:
        """[n, vocabulary] log probabilities at the tokens of each solution (one at least), and the
        tokens computed, cached and shared; solutions of one length are read together."""
        reader = self._reader
        groups: dict[tuple[int, int], list[int]] = {}
        for at, solution in enumerate(solutions):
            groups.setdefault((_lead(solution), len(solution.tokens)), []).append(at)
        read: dict[int, tuple[Tensor, tuple[int, int, int]]] = {}
        for (lead, length), places in groups.items():
            start = lead + tokenizer.PROMPT_LENGTH
            cost = (start + length - 1, 0, 0 if lead else tokenizer.PROMPT_LENGTH)
            for part in split(places, reader.rows, 1):
                some = [solutions[at] for at in part]
                wanted = [(one.problem.prompt, one.history, ()) for one in some]
                cache, first = reader.start(wanted, [None] * len(some))
                tokens = torch.tensor([one.tokens[:-1] for one in some], dtype=torch.long)
                outputs = first[: len(some), None]
                if length > 1:
                    rest = reader.extend(_tall(tokens), cache)[: len(some)]
                    outputs = torch.cat([outputs, rest], 1)
                likely = outputs[..., : tokenizer.VOCABULARY].float().log_softmax(-1)
                read.update((at, (row, cost)) for at, row in zip(part, likely, strict=True))
        return [read[at] for at in range(len(solutions))]

    def propose_batch(self, draws: Sequence[Draw]) -> list[Drawn]:
        """Extend every row. A row that fills the context comes back truncated.

        A step is over at the end of its line, and where the solution ends there, with its end: a
        row that has its steps looks at one more token, and keeps it if that is the end.
        """
        refuse_force(self.name, draws)
        refuse_framing(self.name, draws)
        drawn: list[Drawn | None] = [None] * len(draws)
        groups: dict[tuple[int, int], list[int]] = {}
        for at, draw in enumerate(draws):
            groups.setdefault((_lead(draw.prefix), len(draw.prefix.tokens)), []).append(at)
        parts = largest_first(
            (length, part)
            for (_, length), places in groups.items()
            for part in split(places, self._reader.rows, self._reader.workers.count)
        )

        def extend(together: Sequence[tuple[int, Sequence[int]]]) -> None:
            some = [self._extend([draws[at] for at in places], n) for n, places in together]
            for (_, places), rows in zip(together, self._in_step(some), strict=True):
                for at, row in zip(places, rows, strict=True):
                    drawn[at] = row

        workers = self._reader.workers
        workers.run(bundles(parts, self._reader.rows, workers.count), extend)
        return [row for row in drawn if row is not None]

    def _in_step(self, batches: Sequence[_Batch]) -> list[list[Drawn]]:
        """The rows of each batch, all decoded side by side: a token of every batch, the next."""
        done: dict[int, list[Drawn]] = {}
        sent: dict[int, Tensor | None] = dict.fromkeys(range(len(batches)))
        while sent:
            asked: dict[int, _Asked] = {}
            for number, logits in sent.items():
                try:
                    asked[number] = batches[number].send(logits)
                except StopIteration as stop:
                    done[number] = stop.value
            outputs = self._reader.decode(list(asked.values())) if asked else []
            sent = dict(zip(asked, outputs, strict=True))
        return [done[number] for number in range(len(batches))]

    def _extend(self, draws: Sequence[Draw], length: int) -> _Batch:
        """Decode rows whose prefixes all have `length` tokens, and leads of one length: yields the
        newest token of each row, and is sent the outputs at it."""
        reader, count = self._reader, len(draws)
        cached = [_cached(draw.prefix) for draw in draws]
        cache, logits = reader.start(
            [
                (draw.prefix.problem.prompt, draw.prefix.history, draw.prefix.tokens)
                for draw in draws
            ],
            cached,
        )
        room = tokenizer.MAX_TOKENS - length
        sampler = _Sampler(draws, length, room)
        if length:
            # An open prefix at the end of a line is known not to end there.
            last = torch.tensor([draw.prefix.tokens[-1] for draw in draws]) == tokenizer.LINE
            logits = logits.clone()
            logits[last, tokenizer.END] = -torch.inf
        limit = np.array([_NEVER if draw.until is None else draw.until for draw in draws])
        tokens = np.full((count, room), tokenizer.PAD, np.int64)
        taken = np.zeros(count, np.int64)
        read: list[_Read | None] = [None] * count
        alive, going = np.arange(count), np.ones(count, bool)
        steps = np.zeros(count, np.int64)
        for at in range(room):
            picked = sampler.pick(logits, alive, at)
            looked = going & (steps[alive] >= limit[alive]) & (picked != tokenizer.END)
            for place in np.flatnonzero(looked):
                row = alive[place]
                taken[row] = at
                read[row] = _Read(cache, logits, int(place), length + at)
            going = going & ~looked
            tokens[alive[going], at] = picked[going]
            steps[alive[going]] += picked[going] == tokenizer.LINE
            over = going & ((picked == tokenizer.END) | (at + 1 == room))
            taken[alive[over]] = at + 1
            going = going & ~over
            left = int(going.sum())
            if left == 0:
                break
            newest = torch.from_numpy(picked)[:, None]
            if left <= _COMPACT * len(alive):
                keep = torch.from_numpy(np.flatnonzero(going))
                cache = gather([(cache, _tall(keep))], cache.length)
                alive, going, newest = alive[going], going[going], newest[keep]
            outputs = yield _tall(newest), cache
            assert outputs is not None
            logits = outputs[: len(alive), 0]
        return _collect(draws, tokens, taken, _apart([draw.prefix for draw in draws], read), cached)


def _apart(solutions: Sequence[Solution], read: Sequence[_Read | None]) -> list[_Read | None]:
    """What was read, with rows copied that one problem has a few of: a tree keeps those for long,
    and would keep the whole batch with them."""
    kept = list(read)
    open_rows = [row for row, one in enumerate(read) if one is not None]
    for _, same in groupby(open_rows, key=lambda row: id(solutions[row].problem)):
        held = [(row, one) for row in same if (one := read[row]) is not None]
        if len(held) > _FEW:
            continue
        for _, together in groupby(held, key=lambda pair: id(pair[1].cache)):
            pairs = list(together)
            cache = pairs[0][1].cache
            rows = torch.tensor([one.index for _, one in pairs])
            longest = max(one.length for _, one in pairs)
            cut = cache.cut(rows, cache.lead + tokenizer.PROMPT_LENGTH + longest)
            outputs = torch.stack([one.outputs[one.index] for _, one in pairs])
            for place, (row, one) in enumerate(pairs):
                kept[row] = _Read(cut, outputs, place, one.length)
    return kept


_FEW = 8
"""Rows of one problem in a batch up to which they are copied out of it."""


def _collect(
    draws: Sequence[Draw],
    tokens: NDArray[np.int64],
    taken: NDArray[np.int64],
    read: Sequence[_Read | None],
    cached: Sequence[_Read | None],
) -> list[Drawn]:
    """Solutions and their counts, from the arrays of a batch."""
    written = tokens[:, : taken.max()].tolist()
    lines: list[list[int]] = [[] for _ in draws]
    rows, columns = np.nonzero(tokens == tokenizer.LINE)
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        lines[row].append(column + 1)
    drawn: list[Drawn] = []
    for draw, fresh, count, ends, row, had in zip(
        draws, written, taken.tolist(), lines, read, cached, strict=True
    ):
        prefix = draw.prefix
        before = len(prefix.tokens)
        whole = (*prefix.tokens, *fresh[:count])
        finished = whole[-1] == tokenizer.END
        prompt = _lead(prefix) + tokenizer.PROMPT_LENGTH
        drawn.append(
            Drawn(
                Solution(
                    prefix.problem,
                    whole,
                    (*prefix.step_ends, *[before + end for end in ends]),
                    finished,
                    not finished and row is None,
                    tokenizer.answer(whole) if finished else None,
                    state=None if row is None else State(proposer=row),
                    history=prefix.history,
                ),
                prompt_tokens=prompt + before if had is None else 0,
                cached_tokens=0 if had is None else prompt + before,
                decoded_tokens=count,
                shared_tokens=prompt if had is None and not prefix.history else 0,
            )
        )
    return drawn


class LabVerifier:
    """Scores every step of a solution: the probability that it will end right.

    The model reads a solution and gives, for every token, a distribution over the next one and a
    hope. A step's score is the product of its and all earlier tokens' probabilities, that nothing
    has gone wrong so far, times the hope at the end of its line, that what is left goes well.

    A model that was trained on earlier answers reads them; any other reads the solution alone.
    """

    def __init__(self, model: GPT, name: str, *, rows: int = ROWS) -> None:
        self.name = name
        self._reader = _Reader(model, rows)

    @property
    def watch(self) -> Stopwatch:
        return self._reader.watch

    @property
    def parameters_count(self) -> int:
        return self._reader.model.parameters_count

    @property
    def shape(self) -> ModelShape:
        """For the cost models."""
        return self._reader.model.model_shape(self.name)

    def verify_batch(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order; only tokens that the verifier has not read before are computed."""
        verified: list[Verified | None] = [None] * len(solutions)
        groups: dict[tuple[int, int, int], list[int]] = {}
        for at, solution in enumerate(solutions):
            if not solution.step_ends:
                verified[at] = Verified(Scores(), 0, 0)
                continue
            known = _known(solution)
            read = known.read.length if known else 0
            key = (self._lead(solution), len(solution.tokens), read)
            groups.setdefault(key, []).append(at)
        parts = largest_first(
            (read, part)
            for (_, _, read), places in groups.items()
            for part in split(places, self._reader.rows, self._reader.workers.count)
        )

        def check(part: tuple[int, Sequence[int]]) -> None:
            read, places = part
            rows = self._score([solutions[at] for at in places], read)
            for at, row in zip(places, rows, strict=True):
                verified[at] = row

        self._reader.workers.run(parts, check)
        return [row for row in verified if row is not None]

    def _history(self, solution: Solution) -> tuple[tuple[int, ...], ...]:
        return solution.history if self._reader.model.shape.history else ()

    def _lead(self, solution: Solution) -> int:
        return _lead(solution) if self._reader.model.shape.history else 0

    def _score(self, solutions: Sequence[Solution], read: int) -> list[Verified]:
        """Solutions and leads of equal length; the first `read` tokens were read before."""
        reader = self._reader
        known = [_known(solution) for solution in solutions]
        cache, outputs = reader.start(
            [(solution.problem.prompt, self._history(solution), ()) for solution in solutions],
            [verdict.read if verdict else None for verdict in known],
        )
        fresh = torch.tensor([solution.tokens[read:] for solution in solutions])
        outputs = outputs[:, None]
        if fresh.size(1):
            outputs = torch.cat([outputs, reader.extend(_tall(fresh), cache)[: len(fresh)]], 1)
        before = torch.tensor([[verdict.likely if verdict else 0.0] for verdict in known])
        likely = before + log_likelihood(outputs[:, :-1], fresh).cumsum(1)
        scores = score(likely, outputs[:, 1:]).exp().tolist()
        totals = torch.cat([before, likely], 1)[:, -1].tolist()
        ending = outputs[:, -1].contiguous()
        kept = _apart(
            solutions,
            [
                _Read(cache, ending, at, len(solution.tokens))
                if solution.state is not None and solution.is_open
                else None
                for at, solution in enumerate(solutions)
            ],
        )
        rows = []
        for at, (solution, verdict) in enumerate(zip(solutions, known, strict=True)):
            old = verdict.scores if verdict else ()
            ends = solution.step_ends[len(old) :]
            all_scores = (*old, *[scores[at][end - read - 1] for end in ends])
            lead = self._lead(solution)
            start = lead + tokenizer.PROMPT_LENGTH
            shared = 0 if verdict or lead else tokenizer.PROMPT_LENGTH
            computed = fresh.size(1) + (0 if verdict else start)
            whole = start + len(solution.tokens)
            rows.append(Verified(Scores(all_scores), computed, whole - computed, shared))
            place = kept[at]
            if solution.state is not None and place is not None:
                solution.state.verifier = _Verdict(place, all_scores, totals[at])
        return rows


@dataclass(frozen=True, slots=True)
class _Verdict:
    """The verifier's scores of a solution so far, and what it has read of it."""

    read: _Read
    scores: tuple[float, ...]
    likely: float
    """Log probability of everything read."""


def log_likelihood(outputs: Tensor, tokens: Tensor) -> Tensor:
    """[B, n] log probability of each token under the outputs [B, n, vocabulary + 1] before it."""
    logits = outputs[..., : tokenizer.VOCABULARY].float()
    return logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


def score(likely: Tensor, outputs: Tensor) -> Tensor:
    """[B, n] log score at each token: everything so far was likely, and the hope for the rest."""
    return likely + F.logsigmoid(outputs[..., tokenizer.VOCABULARY].float() + HOPE)


HOPE = 2.0
"""Logit of the hope before training: a verifier starts out hopeful."""


_Batch = Generator[_Asked, Tensor | None, list[Drawn]]
"""Rows that are decoded together; see `LabProposer._extend`."""

_NEVER = 1 << 30
_COMPACT = 0.75
"""Share of the rows still going at which the others are dropped from the batch."""


def _cached(prefix: Solution) -> _Read | None:
    cached = prefix.state.proposer if prefix.state else None
    assert cached is None or isinstance(cached, _Read)
    return cached


def _known(solution: Solution) -> _Verdict | None:
    known = solution.state.verifier if solution.state else None
    assert known is None or isinstance(known, _Verdict)
    return known


class _Sampler:
    """Picks tokens by inverse transform: one uniform number a row and position."""

    def __init__(self, draws: Sequence[Draw], start: int, room: int) -> None:
        seeds = np.array([draw.seed for draw in draws], np.uint64)
        self._uniform = torch.from_numpy(uniform(seeds, np.arange(start, start + room)))
        temperature = torch.tensor([draw.temperature for draw in draws])
        self._greedy = temperature == 0
        self._any_greedy = bool(self._greedy.any())
        self._all_greedy = bool(self._greedy.all())
        self._inverse = torch.where(self._greedy, 1.0, 1 / temperature)[:, None]

    def pick(self, logits: Tensor, alive: NDArray[np.int64], at: int) -> NDArray[np.int64]:
        """One token id a row of `logits` [rows, vocabulary]."""
        logits = logits.float().cpu()
        if self._all_greedy:
            return logits.argmax(-1).numpy()
        rows = torch.from_numpy(alive)
        cumulated = (logits * self._inverse[rows]).softmax(-1).cumsum(-1)
        threshold = self._uniform[rows, at, None] * cumulated[:, -1:]
        picked = (cumulated <= threshold).sum(-1)
        if self._any_greedy:
            picked = torch.where(self._greedy[rows], logits.argmax(-1), picked)
        return picked.clamp_(max=logits.size(-1) - 1).numpy()


def uniform(seeds: NDArray[np.uint64], positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """[B, T] numbers in [0, 1): a hash of each row's seed and each position."""
    numbers = hashed(seeds[:, None], positions[None, :])
    return (numbers >> np.uint64(40)).astype(np.float32) * np.float32(2**-24)


def _tall(tokens: Tensor) -> Tensor:
    """Repeat the first row until there are enough rows for one and the same code path."""
    missing = _LEAST_ROWS - tokens.size(0)
    if missing <= 0:
        return tokens
    return torch.cat([tokens, tokens[:1].expand(missing, *tokens.shape[1:])])
