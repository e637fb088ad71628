"""A verifier that is made of others: each part is asked for the rows that the journal lacks.

What a part says is kept under its own name as it comes, so whoever asks that part again, alone or
in another combination, pays nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from outthink.run.journal import Book, KeptScore
from outthink.types import Arrival, Combines, Solution, Verified


async def in_parts(
    engine: Combines,
    solutions: Sequence[Solution],
    keys: Sequence[int],
    book: Book,
    *,
    lost: Sequence[bool],
    saved: Callable[[], None],
) -> AsyncIterator[Arrival[Verified]]:
    """Rows of the whole, once the last part has scored them; one part is asked after another.
    `lost` as `KeptScore.reread`; `saved` is called whenever rows of a part were kept."""
    rows: list[list[Verified]] = [[] for _ in solutions]
    seconds = [0.0] * len(solutions)
    for place, part in enumerate(engine.parts):
        kept = book.scores(part.name, keys)
        missing = [at for at, row in enumerate(kept) if row is None]
        shown = [engine.shown(place, solutions[at]) for at in missing]
        if shown:
            async for index, row, took in part.verify(shown):
                at, state = missing[index], shown[index].state
                engine.left(place, solutions[at], shown[index])
                has_state = state is not None and state.verifier is not None
                score = kept[at] = KeptScore(row, took, has_state, lost[at])
                book.keep_scores(part.name, [keys[at]], [score])
                saved()
        for at, one in enumerate(kept):
            assert one is not None
            rows[at].append(one.row)
            seconds[at] += one.seconds
    for at, some in enumerate(rows):
        yield Arrival(at, engine.combine(some), seconds[at])
