"""The lab's engines: a proposer and a verifier around a `GPT`, in process.

Rows of equal length are decoded together; the cached keys and values of a prefix are forked, never
read again; rows leave the batch when they end. Every row draws from its own seed at its own
position, and every operation works on rows one by one, so that what else is in the batch changes
nothing. Memory is bounded by `ROWS` rows at a time plus what the prefixes in flight have cached.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from outthink.lab import tokenizer
from outthink.lab.gpt import GPT, Cache, gather
from outthink.types import Draw, Drawn, Problem, Scores, Solution, State, Verified

ROWS = 1024
"""Most rows of one forward pass: enough to fill the cores, and small enough for their caches."""

_LEAST_ROWS = 16
"""A matrix product over fewer rows may take another code path, and round otherwise."""


class Stopwatch:
    """Seconds spent in model forward passes, and tokens they computed."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.tokens = 0

    @contextmanager
    def forward(self, tokens: int) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began
        self.tokens += tokens


@dataclass(frozen=True, slots=True)
class _Row:
    """A solution's place in a cache that holds its first `length` tokens, prompt included."""

    cache: Cache
    index: int
    length: int


class _Reader:
    """Reads prefixes into caches; what proposer and verifier have in common."""

    def __init__(self, model: GPT, rows: int) -> None:
        self.model = model
        self.rows = rows
        self.watch = Stopwatch()
        self.device = model.head.weight.device

    def prefix(
        self, wanted: Sequence[tuple[Problem, Solution, _Row | None]], length: int
    ) -> Cache:
        """A cache of `length` tokens a row, in the order wanted: forked where held, else read."""
        unread = [at for at, (_, _, row) in enumerate(wanted) if row is None]
        rows = [row for _, _, row in wanted]
        if unread:
            fresh = self._read([wanted[at][:2] for at in unread], length)
            for place, at in enumerate(unread):
                rows[at] = _Row(fresh, place, length)
        return self.forked([row for row in rows if row is not None], length)

    def forked(self, rows: Sequence[_Row], length: int) -> Cache:
        """A cache of these rows' first `length` tokens, with room for the rest of the context."""
        held: dict[int, tuple[Cache, list[int], list[int]]] = {}
        for at, row in enumerate(rows):
            cache, places, indices = held.setdefault(id(row.cache), (row.cache, [], []))
            places.append(at)
            indices.append(row.index)
        sources = [(cache, torch.tensor(indices)) for cache, _, indices in held.values()]
        if len(sources) > 1:
            merged = gather(sources, length, length)
            order = np.argsort([at for _, places, _ in held.values() for at in places])
            sources = [(merged, torch.from_numpy(order))]
        return gather(_padded(sources), length, self.model.shape.context)

    def _read(self, wanted: Sequence[tuple[Problem, Solution]], length: int) -> Cache:
        """Prompts once a problem, then what follows them once for all rows that share it."""
        first = min(length, tokenizer.PROMPT_LENGTH)
        prompts = dict.fromkeys(problem.prompt for problem, _ in wanted)
        place = {prompt: at for at, prompt in enumerate(prompts)}
        ids = torch.tensor([tokenizer.encode_prompt(prompt)[:first] for prompt in prompts])
        cache = Cache.empty(self.model.shape, max(len(prompts), _LEAST_ROWS), first, self.like)
        self.extend(_tall(ids), cache)
        rest = [(problem.prompt, row.tokens[: length - first]) for problem, row in wanted]
        if length > first:
            distinct = list(dict.fromkeys(rest))
            index = torch.tensor([place[prompt] for prompt, _ in distinct])
            cache = gather(_padded([(cache, index)]), first, length)
            self.extend(_tall(torch.tensor([tokens for _, tokens in distinct])), cache)
            where = {key: at for at, key in enumerate(distinct)}
            return gather([(cache, torch.tensor([where[key] for key in rest]))], length, length)
        return gather([(cache, torch.tensor([place[prompt] for prompt, _ in rest]))], first, first)

    def extend(self, tokens: Tensor, cache: Cache) -> Tensor:
        with self.watch.forward(tokens.numel()), torch.inference_mode():
            return self.model.extend(tokens.to(self.device), cache)

    @property
    def like(self) -> Tensor:
        """A tensor of the model's kind and place."""
        return self.model.head.weight.detach()


class LabProposer:
    """Samples solutions of the lab's task from a language model."""

    def __init__(self, model: GPT, name: str, *, rows: int = ROWS) -> None:
        self.name = name
        self._reader = _Reader(model, rows)

    @property
    def watch(self) -> Stopwatch:
        return self._reader.watch

    @property
    def parameters_count(self) -> int:
        return self._reader.model.parameters_count

    def text(self, tokens: Sequence[int]) -> str:
        return tokenizer.decode(tokens)

    def propose(self, draws: Sequence[Draw]) -> list[Drawn]:
        """Extend every row. A row that fills the context comes back truncated."""
        drawn: list[Drawn | None] = [None] * len(draws)
        groups: dict[int, list[int]] = {}
        for at, draw in enumerate(draws):
            groups.setdefault(len(draw.prefix.tokens), []).append(at)
        for length, places in groups.items():
            for start in range(0, len(places), self._reader.rows):
                part = places[start : start + self._reader.rows]
                self._extend([draws[at] for at in part], length, part, drawn)
        return [row for row in drawn if row is not None]

    def _extend(
        self, draws: Sequence[Draw], length: int, places: Sequence[int], drawn: list[Drawn | None]
    ) -> None:
        """Decode rows whose prefixes all have `length` tokens."""
        reader, count = self._reader, len(draws)
        rows = [_proposer_row(draw.prefix) for draw in draws]
        held = tokenizer.PROMPT_LENGTH + length - 1
        cache = reader.prefix(
            [
                (draw.prefix.problem, draw.prefix, row)
                for draw, row in zip(draws, rows, strict=True)
            ],
            held,
        )
        last = [draw.prefix.tokens[-1] if length else tokenizer.LINE for draw in draws]
        room = tokenizer.MAX_TOKENS - length
        sampler = _Sampler(draws, length, room)
        limit = np.array([_NEVER if draw.until is None else draw.until for draw in draws])
        tokens = np.full((count, room), tokenizer.PAD, np.int64)
        taken = np.zeros(count, np.int64)
        ended: list[_Row | None] = [None] * count
        alive = np.arange(count)
        going = np.ones(count, bool)
        steps = np.zeros(count, np.int64)
        newest = _tall(torch.tensor(last)[:, None])
        for at in range(room):
            logits = reader.extend(newest, cache)[: len(alive), 0]
            picked = sampler.pick(logits, alive, at)
            tokens[alive, at] = picked
            steps[alive] += picked == tokenizer.LINE
            stop = going & (
                (picked == tokenizer.END) | (steps[alive] >= limit[alive]) | (at + 1 == room)
            )
            for place in np.flatnonzero(stop):
                row = alive[place]
                taken[row] = at + 1
                ended[row] = _Row(cache, int(place), held + at + 1)
            going &= ~stop
            left = int(going.sum())
            if left == 0:
                break
            newest = torch.from_numpy(picked)[:, None]
            if left <= 0.75 * len(alive):
                keep = np.flatnonzero(going)
                cache = gather(
                    _padded([(cache, torch.from_numpy(keep))]), cache.length, cache.capacity
                )
                alive, going, newest = alive[keep], going[keep], newest[keep]
            newest = _tall(newest)
        self._collect(draws, places, drawn, tokens, taken, ended, rows)

    def _collect(
        self,
        draws: Sequence[Draw],
        places: Sequence[int],
        drawn: list[Drawn | None],
        tokens: NDArray[np.int64],
        taken: NDArray[np.int64],
        ended: Sequence[_Row | None],
        rows: Sequence[_Row | None],
    ) -> None:
        """Arrays back to values."""
        seen: set[object] = set()
        lines: list[list[int]] = [[] for _ in draws]
        for row, column in zip(*np.nonzero(tokens == tokenizer.LINE), strict=True):
            lines[row].append(int(column) + 1)
        for at, draw in enumerate(draws):
            prefix, count = draw.prefix, int(taken[at])
            fresh = tokens[at, :count].tolist()
            before = len(prefix.tokens)
            whole = (*prefix.tokens, *fresh)
            finished = fresh[-1] == tokenizer.END
            truncated = not finished and len(whole) == tokenizer.MAX_TOKENS
            held = tokenizer.PROMPT_LENGTH + before
            read = 0
            if rows[at] is None:  # the reader read each prompt, and each prefix, once
                shared = (prefix.problem.id, prefix.tokens)
                read += tokenizer.PROMPT_LENGTH if prefix.problem.id not in seen else 0
                read += before if shared not in seen else 0
                seen |= {prefix.problem.id, shared}
            drawn[places[at]] = Drawn(
                Solution(
                    prefix.problem,
                    whole,
                    (*prefix.step_ends, *(before + end for end in lines[at] if end <= count)),
                    finished,
                    truncated,
                    tokenizer.answer(whole) if finished else None,
                    state=None if finished or truncated else State(proposer=ended[at]),
                ),
                prompt_tokens=read,
                cached_tokens=held - read,
                decoded_tokens=count,
            )


class LabVerifier:
    """Scores every step of a solution: the probability that it will end right.

    The model reads a solution and gives, for every token, a distribution over the next one and a
    hope. A step's score is the product of its and all earlier tokens' probabilities, that nothing
    has gone wrong so far, times the hope at the end of its line, that what is left goes well.
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

    def verify(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order; only tokens that the verifier has not read before are computed."""
        verified: list[Verified | None] = [None] * len(solutions)
        groups: dict[tuple[int, int], list[int]] = {}
        for at, solution in enumerate(solutions):
            if not solution.step_ends:
                verified[at] = Verified(Scores(), 0, 0)
                continue
            held = _read_of(solution)
            read = held.length if held else 0
            groups.setdefault((len(solution.tokens), read), []).append(at)
        seen: set[str] = set()
        for (_, read), places in groups.items():
            for start in range(0, len(places), self._reader.rows):
                part = places[start : start + self._reader.rows]
                rows = self._score([solutions[at] for at in part], read, seen)
                for at, row in zip(part, rows, strict=True):
                    verified[at] = row
        return [row for row in verified if row is not None]

    def _score(self, solutions: Sequence[Solution], read: int, seen: set[str]) -> list[Verified]:
        """Solutions of equal length, of which the first `read` tokens were read before."""
        reader = self._reader
        held = [_read_of(solution) or _Read.of(solution) for solution in solutions]
        if read:
            cache, outputs = self._fork(held, read)
        else:
            cache, outputs = self._prompts(solutions)
        count = len(solutions)
        fresh = torch.tensor([solution.tokens[read:] for solution in solutions])
        following = outputs
        if fresh.size(1):
            following = torch.cat([outputs, reader.extend(_tall(fresh), cache)[:count]], 1)
        likely = log_likelihood(following[:, :-1], fresh).cumsum(1)
        so_far = torch.tensor([[row.likely] for row in held]) + likely
        scores = score(so_far, following[:, 1:]).exp().tolist()
        ends = so_far[:, -1:].tolist() if fresh.size(1) else [[row.likely] for row in held]
        rows = []
        for at, (solution, row) in enumerate(zip(solutions, held, strict=True)):
            fresh_ends = solution.step_ends[len(row.scores) :]
            known = (*row.scores, *(scores[at][end - read - 1] for end in fresh_ends))
            computed = fresh.size(1)
            if not read and solution.problem.id not in seen:
                computed += tokenizer.PROMPT_LENGTH
                seen.add(solution.problem.id)
            whole = tokenizer.PROMPT_LENGTH + len(solution.tokens)
            rows.append(Verified(Scores(known), computed, whole - computed))
            if solution.state is not None and solution.is_open:
                solution.state.verifier = _Read(
                    cache, following, at, len(solution.tokens), known, ends[at][0]
                )
        return rows

    def _prompts(self, solutions: Sequence[Solution]) -> tuple[Cache, Tensor]:
        """Caches of the prompts, each read once, and the outputs at their last token."""
        reader, length = self._reader, tokenizer.PROMPT_LENGTH
        prompts = dict.fromkeys(solution.problem.prompt for solution in solutions)
        ids = _tall(torch.tensor([tokenizer.encode_prompt(prompt) for prompt in prompts]))
        cache = Cache.empty(reader.model.shape, ids.size(0), length, reader.like)
        outputs = reader.extend(ids, cache)[:, -1:]
        place = {prompt: at for at, prompt in enumerate(prompts)}
        index = torch.tensor([place[solution.problem.prompt] for solution in solutions])
        forked = gather(_padded([(cache, index)]), length, reader.model.shape.context)
        return forked, outputs[index]

    def _fork(self, held: Sequence[_Read], read: int) -> tuple[Cache, Tensor]:
        """What was read of each solution, and the outputs at the last token of that."""
        rows = [_Row(row.cache, row.index, row.length) for row in held]
        cache = self._reader.forked(rows, tokenizer.PROMPT_LENGTH + read)
        return cache, torch.stack([row.outputs[row.index, -1:] for row in held])


def log_likelihood(outputs: Tensor, tokens: Tensor) -> Tensor:
    """[B, n] log probability of each token under the outputs [B, n, vocabulary + 1] before it."""
    logits = outputs[..., : tokenizer.VOCABULARY].float()
    return logits.log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


def score(likely: Tensor, outputs: Tensor) -> Tensor:
    """[B, n] log score at each token: everything so far was likely, and the hope for the rest."""
    return likely + F.logsigmoid(outputs[..., tokenizer.VOCABULARY].float() + HOPE)


HOPE = 2.0
"""Logit of the hope before training: a verifier starts out hopeful."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What the verifier has read of a solution and made of it."""

    cache: Cache
    outputs: Tensor
    """[rows, n, vocabulary + 1]; the last one of row `index` belongs to its last token."""
    index: int
    length: int
    """Tokens of the solution read, without the prompt."""
    scores: tuple[float, ...]
    likely: float
    """Log probability of everything read."""

    @classmethod
    def of(cls, solution: Solution) -> _Read:
        """Nothing read yet."""
        return cls(_NOTHING, torch.empty(0), 0, 0, (), 0.0)


def _read_of(solution: Solution) -> _Read | None:
    held = solution.state.verifier if solution.state else None
    assert held is None or isinstance(held, _Read)
    return held


_NOTHING = Cache([], [], torch.empty(0), 0)
_NEVER = 1 << 30


def _proposer_row(prefix: Solution) -> _Row | None:
    row = prefix.state.proposer if prefix.state else None
    assert row is None or isinstance(row, _Row)
    return row


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
            return logits.argmax(-1).numpy()  # type: ignore[no-any-return]
        rows = torch.from_numpy(alive)
        cumulated = (logits * self._inverse[rows]).softmax(-1).cumsum(-1)
        threshold = self._uniform[rows, at, None] * cumulated[:, -1:]
        picked = (cumulated <= threshold).sum(-1)
        if self._any_greedy:
            picked = torch.where(self._greedy[rows], logits.argmax(-1), picked)
        return picked.clamp_(max=logits.size(-1) - 1).numpy()  # type: ignore[no-any-return]


def uniform(seeds: NDArray[np.uint64], positions: NDArray[np.int64]) -> NDArray[np.float32]:
    """[B, T] numbers in [0, 1): a hash (splitmix64) of each row's seed and each position."""
    with np.errstate(over="ignore"):
        mixed = _mix(seeds)[:, None] + _mix(positions.astype(np.uint64))[None, :]
        return ((_mix(mixed) >> np.uint64(40)).astype(np.float32)) * np.float32(2**-24)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _tall(tokens: Tensor) -> Tensor:
    """Repeat the first row until there are enough rows for one and the same code path."""
    missing = _LEAST_ROWS - tokens.size(0)
    if missing <= 0:
        return tokens
    return torch.cat([tokens, tokens[:1].expand(missing, *tokens.shape[1:])])


def _padded(sources: list[tuple[Cache, Tensor]]) -> list[tuple[Cache, Tensor]]:
    """The same for a single source of rows to gather."""
    ((cache, index),) = sources
    return [(cache, _tall(index))]
