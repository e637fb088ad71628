"""A sequential policy run on one problem: it is a search like any other.

It runs a stage, keeps all that was drawn, looks, and decides again. Stages of samples draw more
samples; stages of revisions go on with the chain that is begun; any other stage is run from the
start, and its candidates stay. A plan that is a vote ends once the vote is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from outthink.measure.pools import NO_ANSWER
from outthink.policy.menu import Stage
from outthink.policy.plans import Planned
from outthink.policy.replay import STOP, Allowed, Certain, Rule
from outthink.policy.sequential import Sequential
from outthink.policy.tally import Tally
from outthink.run.events import Event, Spent
from outthink.search import AnswerAggregation, strategy
from outthink.search.chain import WINDOW, go_on
from outthink.search.decided import decided, is_decided
from outthink.study.plan import UNSCORED
from outthink.types import (
    REVISION_VERIFIER,
    Budget,
    Choice,
    Enough,
    OutOfTime,
    Problem,
    Propose,
    Request,
    Scores,
    Search,
    Solution,
    Usage,
)

_Drawn = Generator[Request, Any, tuple[Sequence[Solution], Sequence[Scores]]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a policy may spend on one problem, and what it expects to."""

    most: float
    """In the currency of the policy."""
    costs: tuple[float, ...]
    """Of every stage of the menu, on average."""
    runs: tuple[int, ...]
    """Units of every stage's source that the policy was fitted on; it never draws more."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One look at a problem, and what was decided."""

    stage: Stage | None
    """The stage that is run next; `None` where the policy answers."""
    spent: float
    """So far, in the currency of the policy, as expected: this is what is decided by."""
    answer: str | None
    """The answer it would give now."""
    chance: float | None = None
    """The probability that this answer is right; `None` where the rule does not say."""
    worth: float | None = None
    """What the stage adds to it, less the price of what that costs, as expected."""
    usage: Usage | None = None
    """What was really spent so far; `None` where nobody counts, as in a replay."""


Watch = Callable[[Decision], None]


def think(rule: Rule, limits: Limits, problem: Problem, watch: Watch | None = None) -> Search:
    """Run a rule on a problem: a search. `watch` is told of every decision."""
    seen = _Seen(rule, limits)
    while True:
        number = int(rule.decide(seen.tally, seen.allowed())[0])
        if seen.is_decided:
            number = STOP
        stage = None if number == STOP else rule.menu[number]
        if watch is not None:
            watch(seen.decision(number))
        if stage is None:
            return seen.choice()
        try:
            drawn, scores = yield from _run(stage, problem, seen.chains, seen.enough())
        except OutOfTime:
            return seen.choice()
        seen.add(number, drawn, scores)


class Thinking:
    """A rule on one problem, and its decisions as they are made, each with what was spent."""

    def __init__(self, rule: Rule, limits: Limits, watch: Watch | None = None) -> None:
        self._rule = rule
        self._limits = limits
        self._watch = watch
        self._usage = Usage()
        self.decisions: list[Decision] = []

    def start(self, problem: Problem, budget: Budget) -> Search:
        """The search; `budget` is in generations, and the limits are what counts."""
        return think(self._rule, self._limits, problem, self._decided)

    def listen(self, event: Event) -> None:
        """To be told of what the job of this search does."""
        if isinstance(event, Spent):
            self._usage = event.usage

    def _decided(self, decision: Decision) -> None:
        decision = replace(decision, usage=self._usage)
        self.decisions.append(decision)
        if self._watch is not None:
            self._watch(decision)


def _run(
    stage: Stage, problem: Problem, chains: dict[str, list[Solution]], enough: Enough | None
) -> _Drawn:
    """Run one stage; its candidates, and their scores where it asked for any."""
    known = strategy(stage.strategy)
    reading = known.about.reading
    if reading is not None and reading.sequential is not None:
        return (
            yield from go_on(
                problem,
                chains.setdefault(stage.strategy, []),
                stage.size,
                sequential=reading.sequential,
                window=WINDOW,
                scored=REVISION_VERIFIER in stage.roles,
            )
        )
    search = known.start(problem, Budget(stage.size))
    choice: Choice = yield from (search if enough is None else _ending(search, enough))
    return choice.candidates, choice.scores


def _ending(search: Search, enough: Enough) -> Search:
    """A search of one request for samples, which ends once there are enough of them."""
    request = next(search)
    assert isinstance(request, Propose)
    drawn = yield replace(request, enough=enough)
    try:
        search.send(drawn)
    except StopIteration as stop:
        choice: Choice = stop.value
        return choice
    raise AssertionError("a vote asks for nothing after its samples")


@dataclass(slots=True)
class _Seen:
    """All that was drawn for one problem."""

    rule: Rule
    limits: Limits
    tally: Tally = field(init=False)
    chains: dict[str, list[Solution]] = field(default_factory=dict)
    """The chain that each strategy of revisions goes on with."""
    _sources: tuple[str, ...] = field(init=False)
    _taken: dict[str, int] = field(default_factory=dict)
    _answers: dict[str, int] = field(default_factory=dict)
    _candidates: list[Solution] = field(default_factory=list)
    _scores: list[Scores] = field(default_factory=list)
    _chances: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sources = tuple(dict.fromkeys(stage.source for stage in self.rule.menu))
        self.tally = Tally.empty(np.zeros(1, np.int64), _ROOM, len(self._sources))

    def allowed(self) -> Allowed:
        """[1, A] as in `Replay`."""
        limits, spent = self.limits, float(self.tally.spent[0])
        allowed = [
            self._taken.get(stage.source, 0) + stage.units <= runs
            and spent + cost <= limits.most + 1e-9
            for stage, cost, runs in zip(self.rule.menu, limits.costs, limits.runs, strict=True)
        ]
        return np.array([allowed])

    @property
    def _votes(self) -> int | None:
        """Votes of a plan that is nothing but a vote; `None` for any other rule."""
        rule = self.rule
        if not isinstance(rule, Planned) or rule.plan.answer_by is not AnswerAggregation.MAJORITY:
            return None
        stages = [rule.menu[number] for number in rule.plan.stages]
        is_vote = all(one.strategy == UNSCORED for one in stages)
        return sum(one.size for one in stages) if is_vote else None

    @property
    def is_decided(self) -> bool:
        """Whether nothing that is left to draw could change the answer."""
        votes, drawn = self._votes, [one.answer for one in self._candidates]
        return votes is not None and bool(drawn) and is_decided(drawn, votes - len(drawn))

    def enough(self) -> Enough | None:
        """What ends the next stage early; `None` where nothing does."""
        votes, drawn = self._votes, [one.answer for one in self._candidates]
        return None if votes is None else decided(votes - len(drawn), drawn)

    def add(self, number: int, drawn: Sequence[Solution], scores: Sequence[Scores]) -> None:
        """Keep what a stage gave."""
        stage = self.rule.menu[number]
        given = [score.last for score in scores] or [None] * len(drawn)
        values = np.array([np.nan if one is None else one for one in given], np.float32)[None]
        chances = self.rule.chances(stage, values)
        answers = [self._number(solution.answer) for solution in drawn]
        real = len(drawn) if stage.is_divisible else sum(n != NO_ANSWER for n in answers)
        self._grow()
        self.tally.add(
            np.zeros(1, np.int64),
            np.array([answers], np.int64),
            chances,
            source=self._sources.index(stage.source),
            generations=stage.size,
            cost=self.limits.costs[number] * self._part(stage, drawn),
            candidates=np.array([real]),
        )
        self._taken[stage.source] = self._taken.get(stage.source, 0) + stage.units
        self._candidates += drawn
        self._scores += scores or [Scores()] * len(drawn)
        self._chances += chances[0].tolist()

    def _part(self, stage: Stage, drawn: Sequence[Solution]) -> float:
        """The share of a stage that was run."""
        return 1.0 if self._votes is None else len(drawn) / stage.size

    def _number(self, answer: str | None) -> int:
        if answer is None:
            return NO_ANSWER
        return self._answers.setdefault(answer, len(self._answers))

    def _grow(self) -> None:
        """Make room for more answers."""
        if len(self._answers) > self.tally.votes.shape[1]:
            self.tally = self.tally.with_room(2 * len(self._answers))

    def decision(self, number: int) -> Decision:
        """What a decision stands on."""
        stage = None if number == STOP else self.rule.menu[number]
        spent, answer = float(self.tally.spent[0]), self.answer()
        if not isinstance(self.rule, Sequential):
            return Decision(stage, spent, answer, self.chance())
        worth, likely = self.rule.worth(self.tally, self.allowed())
        chance = float(likely[0, 0]) if self.tally.looks[0] else 0.0
        return Decision(
            stage, spent, answer, chance, None if stage is None else float(worth[0, number])
        )

    def answer(self) -> str | None:
        """The answer that would be given now."""
        number = int(self.rule.answer(self.tally)[0])
        return None if number == NO_ANSWER else list(self._answers)[number]

    def choice(self) -> Choice:
        """The answer, by its likeliest candidate."""
        answer = self.answer()
        candidates, scores = tuple(self._candidates), tuple(self._scores)
        if answer is None:
            return Choice(None, None, candidates, scores)
        places = [n for n, solution in enumerate(candidates) if solution.answer == answer]
        best = max(places, key=lambda n: self._chances[n])
        return Choice(answer, best, candidates, scores, self.chance())

    def chance(self) -> float | None:
        """The probability that the answer is right; `None` where the rule does not say."""
        if not isinstance(self.rule, Certain) or not self.tally.looks[0]:
            return None
        return float(self.rule.chance(self.tally)[0])


_ROOM = 64
"""Distinct answers that there is room for at first."""
