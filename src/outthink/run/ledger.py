"""What a search spent, counted once, as the runner sees it happen.

A `Meter` belongs to one search on one problem. Only the runner feeds it; a search never counts.
Costs add up: what a search spends that runs others is the sum of what they spend. What a usage
costs in FLOPs is for `measure.costs` to say; what its cost models need is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from outthink.types import Drawn, Propose, Purpose, Solution, Usage, Verified


@dataclass(slots=True)
class _Tree:
    """Solutions that one request began to draw step by step, and all that goes on from them."""

    widths: Counter[int] = field(default_factory=Counter)
    """Rows drawn at each depth, in steps from the first; rollouts count at the depth they judge."""

    @property
    def generations(self) -> int:
        return max(self.widths.values(), default=0)


class Meter:
    """Adds up one search. Generations are counted as the paper counts them (5.3; F11).

    A sample is a generation, and so is a revision. Drawn step by step, the N rows of a round are
    one N-th part of N generations each, so a tree of steps costs the rows of its widest depth.
    Greedy rollouts k steps ahead cost their rows k times over, whether or not they end early, at
    the depth of the prefixes they judge. A request that begins to draw by steps begins a tree.
    Critiques are no generations: they are counted, and so are their tokens, by themselves.
    """

    def __init__(self) -> None:
        self._whole = 0
        self._trees: list[_Tree] = []
        self._places: dict[int, tuple[_Tree, int]] = {}
        """Tree and depth of each solution that was drawn by steps, by its number."""
        self._blank: set[int] = set()
        """Those of them without a token: a prefix that goes on from one looks like a revision."""
        self._tokens = Usage()
        self._lengths: dict[int, tuple[int, int]] = {}
        """Parent and tokens drawn of each solution, by its number."""
        self._late = 0
        """Tokens of rows that were late."""

    def proposed(
        self,
        request: Propose,
        drawn: Sequence[Drawn],
        seconds: float,
        *,
        shares_prompt: bool = True,
    ) -> None:
        """Count one request; rows that were already ended cost nothing. `shares_prompt`: its rows
        all begin with the prompt of the problem."""
        assert request.purpose is not None
        is_critique = request.purpose.is_critique
        if request.purpose is Purpose.ROLLOUT:
            self._count_rollouts(request)
        elif not is_critique:
            self._count_rows(request, drawn)
        if not is_critique:
            for prefix, row in zip(request.prefixes, drawn, strict=True):
                if prefix.is_open:
                    self._lengths[row.solution.number] = (prefix.number, row.decoded_tokens)
        self._count_tokens(request, drawn, seconds, shares_prompt=shares_prompt)

    def late(self, request: Propose, drawn: Sequence[Drawn], seconds: float) -> None:
        """Count rows of a request that came when they were not needed any more. They are whole
        solutions, and have no place in the tree."""
        self._whole += len(drawn)
        self._late += sum(row.decoded_tokens for row in drawn)
        self._count_tokens(request, drawn, seconds)

    def _count_tokens(
        self,
        request: Propose,
        drawn: Sequence[Drawn],
        seconds: float,
        *,
        shares_prompt: bool = True,
    ) -> None:
        assert request.purpose is not None
        is_critique = request.purpose.is_critique
        rows = 0
        prompt = cached = decoded = prompt_attended = decoded_attended = on_prompts = 0
        for prefix, row in zip(request.prefixes, drawn, strict=True):
            if prefix.finished or prefix.truncated:
                continue
            rows += 1
            read, held, written = row.prompt_tokens, row.cached_tokens, row.decoded_tokens
            prompt += read
            cached += held
            decoded += written
            prompt_attended += attended(read, held) if read else 0
            decoded_attended += attended(written, read + held)
            # What is of no solution is its prompt; an engine may not report it.
            own = len(prefix.tokens)
            if prefix.history:
                own += sum(map(len, prefix.history))
            if shares_prompt and own < read + held:
                on_prompts += written * (read + held - own)
        self._tokens += Usage(
            prompt_tokens=prompt,
            cached_tokens=cached,
            decoded_tokens=decoded,
            seconds=seconds,
            prompt_attended=prompt_attended,
            decoded_attended=decoded_attended,
            kv_reads=decoded_attended - on_prompts + round(on_prompts / max(1, rows)),
            critiques=rows if is_critique else 0,
            critique_tokens=decoded if is_critique else 0,
        )

    def _count_rows(self, request: Propose, drawn: Sequence[Drawn]) -> None:
        by_steps = request.purpose is Purpose.STEP
        begun = _Tree()
        for prefix, row in zip(request.prefixes, drawn, strict=True):
            if prefix.finished or prefix.truncated:
                continue
            # What begins anew names what it revises, and goes on from nothing.
            goes_on = bool(prefix.tokens) or prefix.number in self._blank
            place = self._places.get(prefix.number) if goes_on else None
            if request.purpose is Purpose.REVISION or not (by_steps or place):
                self._whole += 1
                continue
            # What is left of a solution drawn by steps is part of the generation it completes.
            tree, depth = place or (begun, -1)
            tree.widths[depth + 1] += 1
            self._places[row.solution.number] = tree, depth + 1
            if not row.solution.tokens:
                self._blank.add(row.solution.number)
        if begun.widths:
            self._trees.append(begun)

    def _count_rollouts(self, request: Propose) -> None:
        judged: dict[int, tuple[_Tree, int, int]] = {}
        begun = _Tree()
        for prefix in request.prefixes:
            tree, depth = self._places.get(prefix.number, (begun, 0))
            _, deepest, rows = judged.get(id(tree), (tree, 0, 0))
            # A beam that ended earlier is judged again beside those that go on.
            judged[id(tree)] = tree, max(deepest, depth), rows + 1
        for tree, depth, rows in judged.values():
            tree.widths[depth] += rows * (request.until or 1)
        if begun.widths:
            self._trees.append(begun)

    def verified(self, rows: Sequence[Verified], seconds: float) -> None:
        """Count one request to a verifier."""
        self._tokens += Usage(
            verifier_tokens=sum(row.computed_tokens for row in rows),
            verifier_cached_tokens=sum(row.cached_tokens for row in rows),
            seconds=seconds,
            verifier_attended=sum(attended(row.computed_tokens, row.cached_tokens) for row in rows),
            verifier_calls=len(rows),
        )

    def total(self, candidates: Sequence[Solution]) -> Usage:
        """Everything, once the search has chosen from `candidates`."""
        kept: set[int] = set()
        for candidate in candidates:
            number = candidate.number
            while number in self._lengths and number not in kept:
                kept.add(number)
                number = self._lengths[number][0]
        lengths = self._lengths.items()
        tokens = self._late + sum(length for number, (_, length) in lengths if number not in kept)
        generations = self._whole + sum(tree.generations for tree in self._trees)
        return self._tokens + Usage(generations=generations, discarded_tokens=tokens)


def attended(new: int, before: int) -> int:
    """Sum over `new` tokens that follow `before` others of the tokens each attends to."""
    return new * before + new * (new + 1) // 2
