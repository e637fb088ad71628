"""The rows that a request needs: their keys, what the journal holds of them, what they cost.

`DrawsNeeded` and `ScoresNeeded` look rows up, name the missing ones, record those that come, and
make the response of all of them: numbered in the search tree, with nothing counted twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeVar

from outthink.run.events import Drew, Event, Scored
from outthink.run.in_parts import in_parts
from outthink.run.journal import (
    Book,
    Job,
    KeptDraw,
    KeptScore,
    Writer,
    draw_keys,
    score_key,
    solution_keys,
)
from outthink.run.ledger import Meter
from outthink.search.select import Selection
from outthink.types import (
    SEED_STRIDE,
    Arrival,
    Ask,
    Choice,
    Combines,
    Draw,
    Drawn,
    Problem,
    Propose,
    Proposer,
    Request,
    Scores,
    Search,
    Solution,
    State,
    Verified,
    Verifier,
    Verify,
)

_MASK = (1 << 63) - 1

_Row = TypeVar("_Row")

History = tuple[tuple[int, ...], ...]
"""Tokens of the solutions that a model read before it wrote another."""


class _Written(NamedTuple):
    """What was drawn, the key of the solution, and who wrote it."""

    key: int
    tokens: tuple[int, ...]
    step_ends: tuple[int, ...]
    engine: Proposer


@dataclass(slots=True, eq=False)
class _Read:
    """What a verifier has read in a job."""

    scores: dict[int, Scores] = field(default_factory=dict)
    """By key: no solution is verified twice."""
    rows: dict[int, KeptScore] = field(default_factory=dict)
    """By solution number."""
    now: set[int] = field(default_factory=set)
    """Numbers of those that came from the engine, not from the journal."""
    prompt: bool = False
    """Whether it has read the problem's prompt."""


@dataclass(slots=True, eq=False)
class ActiveJob:
    """A job under way."""

    job: Job
    search: Search
    request: Request
    book: Book
    meter: Meter = field(default_factory=Meter)
    position: int = 0
    """Requests answered: the place of the pending one in the search."""
    solutions: int = 0
    """Solutions numbered: the number of the next one."""
    reads: dict[str, _Read] = field(default_factory=dict)
    """What each verifier has read, by its name."""
    parents: dict[int, int] = field(default_factory=dict)
    """Of each solution, by its number, the one it was drawn from."""
    drawn: dict[int, _Written] = field(default_factory=dict)
    """What each solution says, by its number."""
    stateless: set[int] = field(default_factory=set)
    """Open solutions that came from the journal, of which the engine had kept what it read."""
    prompts_read: set[str] = field(default_factory=set)
    """Proposers that have read the problem's prompt."""
    asked: dict[str, Writer | str] = field(default_factory=dict)
    """Who answered requests, by role."""
    finished: dict[int, tuple[Solution, Problem, History]] = field(default_factory=dict)
    """By number, finished solutions with an answer, the problem, and the earlier solutions."""
    texts: dict[tuple[int, tuple[int, ...]], str] = field(default_factory=dict)
    """What was asked for of solutions, by number and tokens."""

    def score_key(self, solution: Solution) -> int:
        """The key of a solution's score. What is as it was drawn is the very same tuples."""
        drawn = self.drawn.get(solution.number)
        if drawn is None:
            return score_key(solution, 0, as_drawn=False)
        as_drawn = solution.tokens is drawn.tokens and solution.step_ends is drawn.step_ends
        return score_key(solution, drawn.key, as_drawn=as_drawn)

    def tell(self, event: Event) -> None:
        """Tell whoever listens."""
        if self.job.listen is not None:
            self.job.listen(event)

    def best(self) -> Choice:
        """The choice among all that is finished, by the scores that there are; solutions drawn to
        judge a prefix are as good as others."""
        candidates = [_told(number, *came) for number, came in sorted(self.finished.items())]
        by_number = {
            number: kept.row.scores
            for read in self.reads.values()
            for number, kept in read.rows.items()
        }
        return Selection()(candidates, [by_number.get(one.number, Scores()) for one in candidates])

    @property
    def rows(self) -> int:
        """Rows of its pending request."""
        match self.request:
            case Propose(prefixes=rows) | Verify(solutions=rows) | Ask(about=rows):
                return len(rows)


class RowsNeeded(Protocol[_Row]):
    """The rows of one request. A place is that of a row among them."""

    @property
    def whose(self) -> object:
        """Rows of one key are the same row where this is the same: problem and engine."""
        ...

    @property
    def keys(self) -> Sequence[int]: ...

    def missing(self) -> list[int]:
        """Places of the rows that are not there."""
        ...

    def ask(self, places: Sequence[int]) -> AsyncIterator[Arrival[_Row]]:
        """Ask the engine for the rows at these places."""
        ...

    def record(self, asked: Sequence[int], arrivals: Sequence[Arrival[_Row]]) -> None:
        """Keep rows that came, in the journal too; `asked` are the places that were asked for."""
        ...

    def look_up(self, places: Sequence[int]) -> None:
        """Take the rows at these places from the journal, as far as it has them."""
        ...


class DrawsNeeded:
    """The rows of a `Propose`: one for each prefix that is open."""

    def __init__(
        self,
        active: ActiveJob,
        request: Propose,
        engine: Proposer,
        seed: int,
        asked: Sequence[Problem] | None = None,
    ) -> None:
        """`asked`: what each row is asked in place of its problem (`run.words`)."""
        self._active = active
        self._request = request
        self._engine = engine
        self._prompts = None if asked is None else [problem.prompt for problem in asked]
        assert request.purpose is not None
        self._is_critique = request.purpose.is_critique
        self._writer = active.asked[request.role] = Writer.of(engine, seed)
        rows = [
            row
            for row, prefix in enumerate(request.prefixes)
            if not (prefix.finished or prefix.truncated)
        ]
        self._open = rows
        self._prefixes = [request.prefixes[row] for row in rows]
        first = _seed_of(active, seed)
        until, temperature, force = request.until, request.temperature, request.force
        alone = request.enough is not None
        begun = self._prefixes if asked is None else [Solution.start(asked[row]) for row in rows]
        self._draws = [
            Draw(prefix, until, temperature, (first + row * SEED_STRIDE) & _MASK, force, alone)
            for row, prefix in zip(rows, begun, strict=True)
        ]
        self.whose = (active.job.problem.id, self._writer)
        self.keys = draw_keys(
            active.job.stream, active.position, rows, self._draws, in_words=asked is not None
        )
        self._rows = list(active.book.draws(self._writer, self.keys, self._prefixes))
        self._restored = {place for place, row in enumerate(self._rows) if row is not None}
        """Places of the rows that come from the journal."""
        self._first = active.solutions
        self.enough = asyncio.Event()
        """Set once the rest is not needed."""
        self._looked: list[Solution] = []
        """The first rows, as far as none before them is missing."""
        for place in sorted(self._restored):
            self._came(place, self._rows[place])
        self._look()

    def missing(self) -> list[int]:
        if self.enough.is_set():
            return []
        return [place for place, row in enumerate(self._rows) if row is None]

    def _look(self) -> None:
        """Whether the first rows are enough: one after the other, so that it does not depend on
        which came first."""
        enough = self._request.enough
        if enough is None:
            return
        while not self.enough.is_set() and len(self._looked) < len(self._rows):
            kept = self._rows[len(self._looked)]
            if kept is None:
                return
            self._looked.append(_as_told(kept))
            if enough(self._looked):
                self.enough.set()

    def ask(self, places: Sequence[int]) -> AsyncIterator[Arrival[Drawn]]:
        return self._engine.propose([self._draws[place] for place in places])

    def record(self, asked: Sequence[int], arrivals: Sequence[Arrival[Drawn]]) -> None:
        places = [asked[arrival.place] for arrival in arrivals]
        prefixes = [self._prefixes[place] for place in places]
        rows = [
            self._kept(arrival, prefix) for arrival, prefix in zip(arrivals, prefixes, strict=True)
        ]
        keys = [self.keys[place] for place in places]
        self._active.book.keep_draws(self._writer, keys, prefixes, rows)
        for place, row in zip(places, rows, strict=True):
            self._rows[place] = row
            self._came(place, row)
        self._look()

    def _kept(self, arrival: Arrival[Drawn], prefix: Solution) -> KeptDraw:
        _, row, seconds = arrival
        solution = row.solution
        if self._prompts is not None:
            # What an engine keeps of it belongs to another prompt than that of its problem.
            answer = None if self._is_critique else solution.answer
            row = replace(row, solution=replace(solution, state=None, answer=answer))
        state = row.solution.state
        has_state = state is not None and state.proposer is not None
        reread = not row.measured and prefix.number in self._active.stateless
        return KeptDraw(row, seconds, has_state, reread, self._is_critique)

    def look_up(self, places: Sequence[int]) -> None:
        keys = [self.keys[place] for place in places]
        prefixes = [self._prefixes[place] for place in places]
        known = self._active.book.draws(self._writer, keys, prefixes)
        for place, row in zip(places, known, strict=True):
            self._rows[place] = row
            if row is not None:
                self._restored.add(place)
            self._came(place, row)
        self._look()

    def _came(self, place: int, kept: KeptDraw | None) -> None:
        """Note a row that is there, under the number that it will have, and tell of it."""
        if kept is None:
            return
        active, request, prefix = self._active, self._request, self._prefixes[place]
        number, solution = self._first + place, kept.row.solution
        if solution.finished and solution.answer is not None:
            active.finished[number] = solution, prefix.problem, prefix.history
        if active.job.listen is not None:
            assert request.purpose is not None
            told = _told(number, solution, prefix.problem, prefix.history)
            active.tell(Drew(told, prefix.number, request.role, request.purpose, kept.row.texts))

    def response(self, *, verifies: bool) -> list[Solution]:
        """What the search is sent; `verifies`: its solutions may be given to a verifier."""
        active = self._active
        first = active.solutions
        behind = self._left_behind() if self.enough.is_set() else []
        drawn = self._counted(self._rows, verifies)
        if behind:
            self._count_late(behind)
        restored = self._restored
        fresh = [drawn[row] for row in self._open]
        parents = [prefix.number for prefix in self._prefixes]
        active.book.numbered(self._writer, self.keys, parents, fresh)
        keys = solution_keys(self._writer, self.keys)
        for place, row in enumerate(fresh):
            number, solution = first + place, row.solution
            active.parents[number] = parents[place]
            active.drawn[number] = _Written(
                keys[place], solution.tokens, solution.step_ends, self._engine
            )
            if place in restored and solution.is_open:
                kept = self._rows[place]
                if kept is not None and kept.has_state:
                    active.stateless.add(number)
        return [row.solution for row in drawn]

    def _left_behind(self) -> list[tuple[Solution, KeptDraw]]:
        """Answer the request by its first rows; what came behind them from an engine. That was paid
        for, and has no place in the tree; what the journal held was paid for by others."""
        used, places = len(self._looked), range(len(self._looked), len(self._rows))
        behind = [
            (self._prefixes[place], row)
            for place in places
            if (row := self._rows[place]) is not None and place not in self._restored
        ]
        for place in places:
            self._active.finished.pop(self._first + place, None)
        self._request = replace(self._request, prefixes=self._prefixes[:used])
        self._rows, self._open = self._rows[:used], self._open[:used]
        self._prefixes, self.keys = self._prefixes[:used], self.keys[:used]
        return behind

    def _count_late(self, behind: Sequence[tuple[Solution, KeptDraw]]) -> None:
        active, name, rows = self._active, self._engine.name, []
        for prefix, kept in behind:
            known, row = _known_tokens(active, name, prefix, kept, set()), kept.row
            prompt, cached = row.prompt_tokens - known, row.cached_tokens + known
            rows.append(replace(row, prompt_tokens=prompt, cached_tokens=cached))
        request = replace(self._request, prefixes=[prefix for prefix, _ in behind])
        active.meter.late(request, rows, sum(kept.seconds for _, kept in behind))

    def count_what_came(self) -> None:
        """Count the rows of a request that will not be answered."""
        came = [place for place, row in enumerate(self._rows) if row is not None]
        self._request = replace(self._request, prefixes=[self._prefixes[place] for place in came])
        if self._prompts is not None:
            self._prompts = [self._prompts[place] for place in came]
        self._counted([self._rows[place] for place in came], False)

    def _counted(self, rows: Sequence[KeptDraw | None], verifies: bool) -> list[Drawn]:
        """A row for each prefix of the request, numbered; their cost is on the meter."""
        active, waiting = self._active, iter(rows)
        read: set[tuple[object, ...]] = set()
        drawn: list[Drawn] = []
        seconds = 0.0
        for place, prefix in enumerate(self._request.prefixes):
            if not prefix.is_open:
                drawn.append(Drawn(prefix, 0, 0, 0))
                continue
            kept = next(waiting)
            assert kept is not None
            seconds += kept.seconds
            known = (
                _known_tokens(active, self._engine.name, prefix, kept, read)
                if self._prompts is None
                else _known_words(kept.row, self._prompts[place], read)
            )
            drawn.append(_numbered(active, prefix, kept.row, known, verifies))
        if self._prompts is None:
            active.prompts_read.add(self._engine.name)
        active.meter.proposed(self._request, drawn, seconds, shares_prompt=self._prompts is None)
        return drawn


def _as_told(kept: KeptDraw) -> Solution:
    """What was written; truncated is not finished, whatever the engine made of it."""
    solution = kept.row.solution
    return solution if solution.finished else replace(solution, answer=None)


class ScoresNeeded:
    """The rows of a `Verify`: one for each solution that was not scored in this job before."""

    def __init__(
        self,
        active: ActiveJob,
        request: Verify,
        engine: Verifier,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        """`saved` is told where rows of a part were kept, of an engine made of parts."""
        self._active = active
        self._engine = engine
        self._saved = saved
        active.asked[request.role] = engine.name
        self._read = read = active.reads.setdefault(engine.name, _Read())
        # By what they say and not by number alone: a search may cut a solution, or write its own.
        self._asked = [active.score_key(solution) for solution in request.solutions]
        unknown = {
            key: solution
            for key, solution in zip(self._asked, request.solutions, strict=True)
            if key not in read.scores
        }
        self.whose = (active.job.problem.id, engine.name)
        self.keys = list(unknown)
        self._solutions = list(unknown.values())
        self._role = request.role
        self._rows = list(active.book.scores(engine.name, self.keys))
        self._tell(range(len(self._rows)))
        self._before = [_read_before(active.parents, read, one) for one in self._solutions]

    def missing(self) -> list[int]:
        return [place for place, row in enumerate(self._rows) if row is None]

    def ask(self, places: Sequence[int]) -> AsyncIterator[Arrival[Verified]]:
        asked = [self._solutions[place] for place in places]
        if not isinstance(self._engine, Combines):
            return self._engine.verify(asked)
        keys = [self.keys[place] for place in places]
        lost = [self._before[place].lost for place in places]
        book = self._active.book
        return in_parts(self._engine, asked, keys, book, lost=lost, saved=self._saved)

    def record(self, asked: Sequence[int], arrivals: Sequence[Arrival[Verified]]) -> None:
        places = [asked[arrival.place] for arrival in arrivals]
        rows = [self._kept(arrival, place) for arrival, place in zip(arrivals, places, strict=True)]
        keys = [self.keys[place] for place in places]
        self._active.book.keep_scores(self._engine.name, keys, rows)
        for place, row in zip(places, rows, strict=True):
            self._rows[place] = row
        self._read.now.update([self._solutions[place].number for place in places])
        self._tell(places)

    def _kept(self, arrival: Arrival[Verified], place: int) -> KeptScore:
        _, row, seconds = arrival
        state = self._solutions[place].state
        has_state = state is not None and state.verifier is not None
        return KeptScore(row, seconds, has_state, self._before[place].lost)

    def look_up(self, places: Sequence[int]) -> None:
        keys = [self.keys[place] for place in places]
        known = self._active.book.scores(self._engine.name, keys)
        for place, row in zip(places, known, strict=True):
            self._rows[place] = row
        self._tell(places)

    def _tell(self, places: Sequence[int]) -> None:
        """Tell of the scores that are there, where somebody listens."""
        if self._active.job.listen is None:
            return
        for place in places:
            if (kept := self._rows[place]) is not None:
                number = self._solutions[place].number
                self._active.tell(Scored(number, self._role, kept.row.scores))

    def response(self) -> list[Scores]:
        """What the search is sent: a solution asked about again, or twice at once, is paid once."""
        read, name = self._read, self._engine.name
        counted: list[Verified] = []
        numbers = [solution.number for solution in self._solutions]
        seconds = 0.0
        for number, key, kept, before in zip(
            numbers, self.keys, self._rows, self._before, strict=True
        ):
            assert kept is not None
            seconds += kept.seconds
            counted.append(_scored_once(read, kept, before.tokens))
            read.scores[key] = kept.row.scores
            read.rows.setdefault(number, kept)
        self._active.book.scored(name, numbers, self.keys, counted)
        read.prompt |= any(row.computed_tokens for row in counted)
        self._active.meter.verified(counted, seconds)
        return [read.scores[key] for key in self._asked]

    def count_what_came(self) -> None:
        """Count the rows of a request that will not be answered."""
        came = [row for row in self._rows if row is not None]
        self._active.meter.verified([row.row for row in came], sum(row.seconds for row in came))


def _told(number: int, solution: Solution, problem: Problem, history: History) -> Solution:
    """A solution as it came, under its number and without what engines have cached with it."""
    return replace(
        solution,
        problem=problem,
        number=number,
        answer=solution.answer if solution.finished else None,
        state=None,
        history=history,
    )


def _seed_of(active: ActiveJob, seed: int) -> int:
    """Seed of a request's first row: from (seed, stream, problem, position in the search)."""
    job = active.job
    text = f"{seed}\0{job.stream}\0{job.problem.id}\0{active.position}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _numbered(active: ActiveJob, prefix: Solution, row: Drawn, known: int, verifies: bool) -> Drawn:
    """The row, numbered in the search tree, with what was seen and cached of its prefix; `known` of
    the tokens it read count as cached."""
    solution = row.solution
    state = solution.state
    if solution.is_open and verifies:
        # A verifier in process may keep what it read, also of what a server writes.
        state = state or State()
    if prefix.state is not None and prefix.state.verifier is not None:
        state = state or State()
        state.verifier = prefix.state.verifier
    number = active.solutions
    active.solutions += 1
    # Built anew and not by `replace`, which takes three times as long.
    solution = Solution(
        # An engine was given another problem where it was asked in words.
        prefix.problem,
        solution.tokens,
        solution.step_ends,
        solution.finished,
        solution.truncated,
        # Truncated is not finished, whatever the engine made of what it wrote.
        solution.answer if solution.finished else None,
        number,
        state,
        prefix.history,
    )
    return Drawn(
        solution,
        row.prompt_tokens - known,
        row.cached_tokens + known,
        row.decoded_tokens,
        row.shared_tokens,
        row.measured,
        row.texts,
    )


class _ReadBefore(NamedTuple):
    """What a verifier had read of a solution before."""

    tokens: int
    lost: bool
    """It has to be read again, since an engine kept it in another run or for another search."""


def _moved(row: Verified, tokens: int) -> Verified:
    """The row with so many of its computed tokens counted as cached."""
    if not tokens:
        return row
    # Built anew and not by `replace`, which takes three times as long.
    return Verified(
        row.scores,
        row.computed_tokens - tokens,
        row.cached_tokens + tokens,
        row.shared_tokens,
        row.written_tokens,
    )


def _known_tokens(
    active: ActiveJob,
    engine: str,
    prefix: Solution,
    kept: KeptDraw,
    read: set[tuple[object, ...]],
) -> int:
    """Tokens of a row that an earlier row of its search, or of its request, has read already."""
    row = kept.row
    if row.measured:
        return 0
    if kept.reread:
        return row.prompt_tokens
    known = row.shared_tokens if engine in active.prompts_read else 0
    if row.prompt_tokens and (prefix.tokens or prefix.history):
        whole = (prefix.history, prefix.tokens)
        known = row.prompt_tokens if whole in read else known
        read.add(whole)
    if row.shared_tokens > 0:
        active.prompts_read.add(engine)
    return known


def _known_words(row: Drawn, prompt: str, read: set[tuple[object, ...]]) -> int:
    """The same of a row that is asked in words: its prompt may be that of another row."""
    known = row.prompt_tokens if (prompt,) in read and not row.measured else 0
    read.add((prompt,))
    return known


def _read_before(parents: Mapping[int, int], read: _Read, solution: Solution) -> _ReadBefore:
    """What the verifier had read of a solution when it scored the last of its prefixes."""
    number = parents.get(solution.number, -1)
    while number >= 0 and not solution.history:
        kept = read.rows.get(number)
        if kept is not None:
            if not kept.has_state:
                break
            tokens = kept.row.computed_tokens + kept.row.cached_tokens
            return _ReadBefore(tokens, lost=number not in read.now)
        number = parents.get(number, -1)
    return _NOTHING


_NOTHING = _ReadBefore(0, lost=False)


def _scored_once(read: _Read, kept: KeptScore, before: int) -> Verified:
    """The row without what an earlier row of its search has read; `before` tokens of it are those
    of its prefix."""
    row = kept.row
    if kept.reread:
        return _moved(row, max(0, min(before - row.cached_tokens, row.computed_tokens)))
    known = row.shared_tokens if read.prompt else 0
    if row.shared_tokens:
        read.prompt = True
    return _moved(row, known)
