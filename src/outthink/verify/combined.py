"""Several verifiers as one: the mean, the least or the product of their scores, or what was learnt.

    all_of(lab:prm,lab:orm,how=min)               all_of(confidence,genrm(votes=4),weights=1:3)
    all_of(learnt=FILE)                           what `outthink combine` learnt on a store

A step has a score where every part has one for it: a part that could not tell is no reason to
trust the others more. The runner asks the parts one by one and keeps what each says under its own
name, so a combination of verifiers that scored a store before is free (`Combines`).

Weighted combination and learnt stacking of weak verifiers: Saad-Falcon et al. 2025 (Weaver,
arXiv 2506.18203).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from outthink import whole
from outthink.errors import UsageError
from outthink.models import in_process
from outthink.types import (
    Arrival,
    BatchVerifier,
    Closes,
    Scores,
    Solution,
    State,
    Verified,
    Verifier,
)

FORMAT = "outthink-combination-1"
_EDGE = 1e-6
"""Scores are read as log odds no further out than this."""

Rule = Callable[[Sequence[float]], float]
"""One score of the scores of the parts."""

RULES: dict[str, Rule] = {"min": min, "prod": math.prod}


@dataclass(frozen=True, slots=True)
class Learnt:
    """A logistic regression on the log odds of the scores of some verifiers."""

    typed: tuple[str, ...]
    """The verifiers as they are typed."""
    names: tuple[str, ...]
    """The same as a store knows them, with the digits of their weights."""
    weights: tuple[float, ...]
    intercept: float
    problems: int
    """That it was fitted on."""

    def __call__(self, scores: Sequence[float]) -> float:
        """The probability that a solution with these scores is right."""
        pairs = zip(self.weights, scores, strict=True)
        logit = self.intercept + sum(weight * log_odds(score) for weight, score in pairs)
        return 1 / (1 + math.exp(-max(-700.0, min(700.0, logit))))

    @property
    def digest(self) -> str:
        """Digits of all that decides its scores."""
        about = repr((self.names, self.weights, self.intercept)).encode()
        return hashlib.blake2b(about, digest_size=4).hexdigest()

    def save(self, path: Path) -> None:
        """Write it as JSON, with its digest. Raises `RunError` where that fails."""
        told = {"format": FORMAT, **asdict(self), "digest": self.digest}
        with whole.saved(path) as part:
            part.write_text(json.dumps(told, indent=1) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> Learnt:
        """What `save` wrote. Raises `UsageError` for another file, and one that was changed."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] != FORMAT:
                raise ValueError(f"format {told['format']!r}")
            learnt = cls(
                tuple(map(str, told["typed"])),
                tuple(map(str, told["names"])),
                tuple(map(float, told["weights"])),
                float(told["intercept"]),
                int(told["problems"]),
            )
        except OSError as error:
            raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f"{path}: holds no combination of verifiers ({error}); 'outthink combine' makes one"
            ) from error
        if told.get("digest") != learnt.digest:
            raise UsageError(f"{path}: was changed after it was learnt; make it again")
        return learnt


class AllOf:
    """A verifier made of others."""

    def __init__(self, parts: Sequence[Verifier | BatchVerifier], label: str, rule: Rule) -> None:
        self.parts: tuple[Verifier, ...] = tuple(map(in_process.verifier, parts))
        self.name = label
        self._rule = rule

    async def verify(self, solutions: Sequence[Solution]) -> AsyncIterator[Arrival[Verified]]:
        """Rows once every part has scored all of them; a runner asks the parts itself."""
        rows: list[list[Verified]] = [[] for _ in solutions]
        spent = [0.0] * len(solutions)
        for place, part in enumerate(self.parts):
            shown = [self.shown(place, solution) for solution in solutions]
            by_place = {}
            async for index, row, seconds in part.verify(shown):
                by_place[index] = row
                self.left(place, solutions[index], shown[index])
                spent[index] += seconds
            for index, some in enumerate(rows):
                some.append(by_place[index])
        for index, some in enumerate(rows):
            yield Arrival(index, self.combine(some), spent[index])

    def combine(self, rows: Sequence[Verified]) -> Verified:
        """One row of the rows of the parts, in their order: what they cost adds up."""
        steps = [row.scores.steps for row in rows]
        scores = Scores()
        if all(steps):
            scores = Scores(tuple(map(self._one, zip(*steps, strict=True))))
        return Verified(
            scores,
            sum(row.computed_tokens for row in rows),
            sum(row.cached_tokens for row in rows),
            sum(row.shared_tokens for row in rows),
            sum(row.written_tokens for row in rows),
        )

    def _one(self, scores: Sequence[float | None]) -> float | None:
        known = [score for score in scores if score is not None]
        return self._rule(known) if len(known) == len(scores) else None

    def shown(self, place: int, solution: Solution) -> Solution:
        """A solution as a part is given it: with what this part had cached of it."""
        state = solution.state
        if state is None:
            return solution
        caches = state.verifier
        own = caches.of[place] if isinstance(caches, _Caches) else None
        return replace(solution, state=State(state.proposer, own))

    def left(self, place: int, solution: Solution, shown: Solution) -> None:
        """Keep what a part has cached of a solution that it was shown."""
        if solution.state is None or shown.state is None or shown.state.verifier is None:
            return
        # Prefixes share what was cached of them, so it is never changed in its place.
        caches = solution.state.verifier
        of: list[object] = [None] * len(self.parts)
        if isinstance(caches, _Caches):
            of = list(caches.of)
        of[place] = shown.state.verifier
        solution.state.verifier = _Caches(tuple(of))

    async def aclose(self) -> None:
        """Let go of the connections of all parts."""
        for part in self.parts:
            if isinstance(part, Closes):
                await part.aclose()


@dataclass(frozen=True, slots=True)
class _Caches:
    """What each part has cached of a solution."""

    of: tuple[object, ...]


def all_of(
    parts: Sequence[Verifier | BatchVerifier],
    *,
    how: str = "mean",
    weights: Sequence[float] | None = None,
) -> AllOf:
    """The mean (weighted), the least (`min`) or the product (`prod`) of the scores of the parts.

    Raises `UsageError` for fewer than two parts, another rule, weights that do not fit.
    """
    names = [part.name for part in parts]
    if len(parts) < 2:
        raise UsageError(f"a combination of {len(parts)} verifiers; name two or more")
    if how in RULES and weights is None:
        return AllOf(parts, f"{how}({','.join(names)})", RULES[how])
    if how != "mean":
        known = ", ".join(["mean", *RULES])
        raise UsageError(f"all_of how={how!r}; write one of {known}; mean alone takes weights")
    given = [1.0] * len(parts) if weights is None else list(weights)
    if len(given) != len(parts) or min(given) < 0 or not sum(given) > 0:
        raise UsageError(
            f"weights {given} of {len(parts)} verifiers; give one number each, none below 0"
        )
    shares = [weight / sum(given) for weight in given]
    told = [
        name if weights is None else f"{share:.4g}*{name}"
        for name, share in zip(names, shares, strict=True)
    ]
    return AllOf(parts, f"mean({','.join(told)})", lambda scores: _mean(shares, scores))


def learnt(parts: Sequence[Verifier | BatchVerifier], how: Learnt) -> AllOf:
    """The combination that was learnt. Raises `UsageError` where the parts are not those that it
    was learnt on."""
    names = tuple(part.name for part in parts)
    if names != how.names:
        raise UsageError(
            f"the combination was learnt on {', '.join(how.names)}, and these are "
            f"{', '.join(names)}; learn it again"
        )
    return AllOf(parts, f"learnt-{how.digest}({','.join(names)})", how)


def log_odds(score: float) -> float:
    """Of a score, no further out than those of a millionth."""
    kept = min(1 - _EDGE, max(_EDGE, score))
    return math.log(kept / (1 - kept))


def _mean(shares: Sequence[float], scores: Sequence[float]) -> float:
    mean = math.fsum(share * score for share, score in zip(shares, scores, strict=True))
    return min(1.0, max(0.0, mean))
