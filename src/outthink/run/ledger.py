"""What a search spent, counted once, as the driver sees it happen.

A `Meter` belongs to one search on one problem. Only the driver feeds it; a search never counts.
What a usage costs is `costs`' to say; what its cost models need is counted here.
"""

from __future__ import annotations

from collections.abc import Sequence

from outthink.types import END, Drawn, Propose, Solution, Usage, Verified


class Meter:
    """Adds up one search. Generations are counted as the paper counts them (5.3; F11).

    A row drawn to its end is a generation. Drawing step by step, the N rows of a round are one N-th
    part of N generations each, so a search costs the rows of its widest round; a round of greedy
    rollouts k steps ahead costs its rows k times over, whether or not they end early, and belongs
    to the round before it.
    """

    def __init__(self) -> None:
        self._whole = 0
        self._round = 0
        self._widest = 0
        self._tokens = Usage()
        self._lengths: dict[int, tuple[int, int]] = {}
        self._blank: set[int] = set()
        """Rows drawn by steps that have no token yet; going on with one looks like revising it."""

    def proposed(self, request: Propose, drawn: Sequence[Drawn], seconds: float) -> None:
        """Count one request; rows that were already ended cost nothing."""
        rows = sum(prefix.is_open for prefix in request.prefixes)
        if request.until is END:
            # What this search drew before is part of the generation that is being completed; a
            # revision takes nothing over and is a generation of its own.
            self._whole += sum(p.is_open and not self._goes_on(p) for p in request.prefixes)
        elif request.temperature == 0.0:
            self._round += len(request.prefixes) * request.until
        else:
            self._round = rows
        self._widest = max(self._widest, self._round)
        prompt = cached = decoded = prompt_attended = decoded_attended = on_prompts = 0
        for prefix, row in zip(request.prefixes, drawn, strict=True):
            if not prefix.is_open:
                continue
            read, held, written = row.prompt_tokens, row.cached_tokens, row.decoded_tokens
            self._lengths[row.solution.number] = (prefix.number, written)
            if request.until is not END and not row.solution.tokens:
                self._blank.add(row.solution.number)
            prompt += read
            cached += held
            decoded += written
            prompt_attended += attended(read, held)
            decoded_attended += attended(written, read + held)
            # What is of no solution is its prompt; an engine may not report it.
            own = len(prefix.tokens) + sum(map(len, prefix.history))
            on_prompts += written * max(0, read + held - own)
        self._tokens += Usage(
            prompt_tokens=prompt,
            cached_tokens=cached,
            decoded_tokens=decoded,
            seconds=seconds,
            prompt_attended=prompt_attended,
            decoded_attended=decoded_attended,
            kv_reads=decoded_attended - on_prompts + round(on_prompts / max(1, rows)),
        )

    def _goes_on(self, prefix: Solution) -> bool:
        """Whether it is a row of this search that is being drawn on."""
        drawn = prefix.number in self._lengths
        return drawn and (bool(prefix.tokens) or prefix.number in self._blank)

    def verified(self, rows: Sequence[Verified], seconds: float) -> None:
        """Count one request to the verifier."""
        self._tokens += Usage(
            verifier_tokens=sum(row.computed_tokens for row in rows),
            verifier_cached_tokens=sum(row.cached_tokens for row in rows),
            seconds=seconds,
            verifier_attended=sum(attended(row.computed_tokens, row.cached_tokens) for row in rows),
        )

    def total(self, candidates: Sequence[Solution]) -> Usage:
        """Everything, once the search has chosen from `candidates`."""
        kept: set[int] = set()
        for candidate in candidates:
            number = candidate.number
            while number in self._lengths and number not in kept:
                kept.add(number)
                number = self._lengths[number][0]
        tokens = sum(length for number, (_, length) in self._lengths.items() if number not in kept)
        return self._tokens + Usage(generations=self._whole + self._widest, discarded_tokens=tokens)


def attended(new: int, before: int) -> int:
    """Sum over `new` tokens that follow `before` others of the tokens each attends to."""
    return new * before + new * (new + 1) // 2
