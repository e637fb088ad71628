"""What a sweep will take, before it is spent: generations, tokens, time, disk and money.

Generations follow from the plan. The rest is told by what was drawn already, in an earlier run or
in the first seconds of this one; before that, by bounds: a solution is cut off at a length, a row
takes some bytes, and no machine is faster than a limit. What is not known is `None`, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from outthink.run.progress import compact, duration

DAY_S = 24 * 60 * 60
"""A run of more than this wants to be meant."""

FASTEST = 1_000
"""Generations a second that nobody gets of a model that reads any text."""

FASTEST_LAB = 20_000
"""The same of the lab's models, which are ten thousand times smaller."""

LEAST_MEMORY = 300
"""Bytes of a solution that a search holds: an object, its tokens, its place among the others."""

LEAST_BYTES = 40
"""Of a row on disk: a solution of a few tokens (LOG.md has what larger ones take)."""

_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Prices:
    """Money for a million tokens, in whatever currency; 0 is free, `None` not given."""

    read: float | None = None
    written: float | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """What was drawn so far, as far as it tells of what is to come."""

    generations: int = 0
    read: int = 0
    """Tokens of prompts, those found in a cache too: they are paid for all the same."""
    written: int = 0
    bytes: int = 0
    pace: float | None = None
    """Generations a second; `None` where no run was timed."""

    def __add__(self, other: Drawn) -> Drawn:
        return Drawn(
            self.generations + other.generations,
            self.read + other.read,
            self.written + other.written,
            self.bytes + other.bytes,
            self.pace if other.pace is None else other.pace,
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is still to be drawn of a sweep, and what that takes."""

    problems: int
    searches: int
    generations: int
    """Of the whole plan."""
    searches_left: int
    generations_left: int
    most_tokens: int | None
    """Of one solution; `None` where nothing cuts it off but the model's own context."""
    free_bytes: int
    """On the disk of the store."""
    largest: int = 0
    """Generations of the largest search that is left: it holds them all at once."""
    memory: int | None = None
    """Bytes of memory of this machine, where that is known."""
    fastest: float = FASTEST
    """Generations a second that are never reached: bounds the time before any is measured."""
    prices: Prices = Prices()
    drawn: Drawn = Drawn()

    @property
    def written_tokens(self) -> float | None:
        """Tokens to be written, at the mean of those drawn so far."""
        return self._left(self.drawn.written)

    @property
    def most_written_tokens(self) -> int | None:
        """The most that can be written."""
        return None if self.most_tokens is None else self.most_tokens * self.generations_left

    @property
    def read_tokens(self) -> float | None:
        """Tokens of prompts, at the mean of those drawn so far."""
        return self._left(self.drawn.read)

    @property
    def seconds(self) -> float | None:
        """At the pace so far."""
        pace = self.drawn.pace
        return self.generations_left / pace if pace else None

    @property
    def least_seconds(self) -> float:
        """However fast the model is."""
        return self.generations_left / self.fastest

    @property
    def bytes(self) -> float | None:
        """On disk, at the mean of those so far."""
        return self._left(self.drawn.bytes)

    @property
    def least_bytes(self) -> int:
        """On disk, however short the solutions."""
        return LEAST_BYTES * self.generations_left

    @property
    def money(self) -> float | None:
        """By the prices given, at the mean of what was drawn so far."""
        return self._priced(self.read_tokens, self.written_tokens)

    @property
    def most_money_written(self) -> float | None:
        """For what is written alone, the most it can be."""
        price, tokens = self.prices.written, self.most_written_tokens
        return None if price is None or tokens is None else price * tokens / _MILLION

    def _left(self, drawn: int) -> float | None:
        so_far = self.drawn.generations
        return self.generations_left * drawn / so_far if so_far else None

    def _priced(self, read: float | None, written: float | None) -> float | None:
        if (self.prices.read is None and self.prices.written is None) or read is None:
            return None
        assert written is not None  # known together
        return ((self.prices.read or 0) * read + (self.prices.written or 0) * written) / _MILLION

    def after(self, generations: int, drawn: Drawn) -> Forecast:
        """The same once so many generations more are drawn, and what is drawn tells more."""
        return replace(
            self, generations_left=max(0, self.generations_left - generations), drawn=drawn
        )

    def sentences(self) -> tuple[str, ...]:
        """All of it, as a person reads it."""
        return tuple(self._sentences())

    def _sentences(self) -> Iterator[str]:
        done = self.searches - self.searches_left
        there = f", {done} of the searches are there already" if done else ""
        yield (
            f"{self.problems} problems, {self.searches} searches, {self.generations:,} "
            f"generations{there}: {self.generations_left:,} to draw"
        )
        if not self.generations_left:
            return
        yield f"tokens: {self._tokens()}"
        yield f"time: {self._time()}"
        if self.prices != Prices():
            yield f"money: {self._money()}"
        taken = self.bytes
        size = f"at least {_size(self.least_bytes)}" if taken is None else f"about {_size(taken)}"
        yield f"disk: {size}, {_size(self.free_bytes)} are free"

    def _tokens(self) -> str:
        most, written, read = self.most_written_tokens, self.written_tokens, self.read_tokens
        bound = f"at most {compact(most)} written ({self.most_tokens} a solution)" if most else ""
        if written is None or read is None:
            return f"{bound + '; ' if bound else ''}how many is known after the first answers"
        about = f"about {compact(written)} written and {compact(read)} read, as those so far"
        return f"{about}; {bound}" if bound else about

    def _time(self) -> str:
        if self.seconds is not None:
            return f"about {duration(self.seconds)} at {compact(self.drawn.pace or 0)}/s, as so far"
        least = self.least_seconds
        if least < 1:
            return "known after the first answers"
        return f"at least {duration(least)}; how long is known after the first answers"

    def _money(self) -> str:
        most, money = self.most_money_written, self.money
        bound = "" if most is None else f"at most {most:,.2f} for what is written"
        if money is None:
            return f"{bound + '; ' if bound else ''}how much is known after the first answers"
        return f"about {money:,.2f}, at the lengths so far{'; ' + bound if bound else ''}"

    def objections(self) -> tuple[str, ...]:
        """What wants to be meant of the generations left: more than a day, than memory or disk
        hold."""
        return tuple(self._objections())

    def _objections(self) -> Iterator[str]:
        seconds = self.least_seconds if self.seconds is None else self.seconds
        if seconds > DAY_S:
            bound = "at least" if self.seconds is None else "about"
            yield f"take {bound} {seconds / DAY_S:,.1f} days"
        held = LEAST_MEMORY * self.largest
        if self.memory is not None and held > self.memory:
            yield (
                f"{self.largest:,} in one search take at least {_size(held)} of memory, of which "
                f"there is {_size(self.memory)}"
            )
        taken = self.least_bytes if self.bytes is None else self.bytes
        if taken > self.free_bytes:
            yield f"fill {_size(taken)} of disk, of which {_size(self.free_bytes)} are free"


def _size(count: float) -> str:
    """`1.2 GB`."""
    units = ["B", "kB", "MB", "GB", "TB", "PB"]
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        del units[0]
    return f"{count:.3g} {units[0]}"
