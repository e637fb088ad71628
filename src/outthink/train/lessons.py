"""What solutions teach: from drawn and judged solutions to tokens with what is learnt at them.

A verifier learns at the places that it will be read at, of the text that it will be shown, because
both are said by the same row of `verify.families`. A model that revises learns to write a right
answer behind wrong ones, as its proposer will show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from outthink.models.transformers import Turns
from outthink.run.runner import Result
from outthink.train.fit import Example, Odds, odds_of
from outthink.train.revise import trajectories
from outthink.train.rollouts import labels
from outthink.types import Grader, Solution
from outthink.verify import orm
from outthink.verify.checkpoint import tokenizer
from outthink.verify.families import Classes, Encoder, Family, Readout, Value, Words, family
from outthink.verify.written import Text, Written, written


@dataclass(frozen=True, slots=True)
class Reading:
    """How a verifier is read, in training and after it."""

    row: Family
    encoder: Encoder
    odds: Odds
    earlier: bool
    """Whether it sees the answers that a revision saw."""

    @classmethod
    def of(cls, kind: str, name: str, row: str, context: int, *, earlier: bool) -> Reading:
        """Of a `prm` of the family `row`, or an `orm`, made from the model of this name.

        Raises `UsageError` where there is no such family, or the tokenizer lacks its mark.
        """
        words = tokenizer(name)
        read = family(row) if kind == "prm" else orm.row(words)
        encoder = Encoder(name, read, words, context)
        ids = encoder.words(read.readout) if isinstance(read.readout, Words) else None
        return cls(read, encoder, odds_of(read.readout, ids), earlier)

    @property
    def outputs(self) -> int | None:
        """Numbers that its head gives; `None` where it is read from a language model's own."""
        return _outputs(self.row.readout)

    def example(self, said: Written, values: Sequence[float]) -> Example | None:
        """A solution with what each of its steps is worth; `None` where it is read nowhere."""
        found = self.encoder.encode(said.problem, said.steps)
        read = [(at, v) for at, v in zip(found.reads, values, strict=True) if at is not None]
        if not read:
            return None
        places, worth = zip(*read, strict=True)
        return Example(found.ids, places, worth)


@dataclass(frozen=True, slots=True)
class Told:
    """What was drawn, in text, and how the model that learns would have written it."""

    text: Text
    turns: Turns
    end: int
    """The token that ends an answer."""
    context: int
    """Tokens the model can read; what is longer teaches nothing."""
    theirs: bool
    """Another model drew it, with token ids of its own."""

    def ids(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """Token ids of the model that learns."""
        return self.turns.ids(self.text(tokens)) if self.theirs else tokens


def _outputs(readout: Readout) -> int | None:
    match readout:
        case Classes():
            return 2
        case Value():
            return 1
        case _:
            return None


def step_lessons(
    reading: Reading, text: Text, result: Result, rollouts: int, grader: Grader
) -> list[Example]:
    """Of labelled samples: how often each of their prefixes ends right."""
    return _present(
        reading.example(written(each.solution, text), each.labels)
        for each in labels(result, each=rollouts, grader=grader)
        if each.solution.step_ends
    )


def answer_lessons(reading: Reading, text: Text, result: Result, grader: Grader) -> list[Example]:
    """Of samples, or of chains of revisions: which are right, read at their ends."""
    return _present(
        # Only the last place of an outcome model is read.
        reading.example(written(each, text, earlier=reading.earlier), [float(right)] * each.steps)
        for each, right in _judged(result, grader)
    )


def revision_lessons(told: Told, result: Result, grader: Grader, seed: int) -> list[Example]:
    """Of samples: wrong answers, then a right one, which is what is learnt."""
    problem = result.job.problem
    judged = _judged(result, grader)
    good = [each for each, right in judged if right]
    wrong = [each for each, right in judged if not right]
    rng = np.random.default_rng([seed, *problem.id.encode()])
    found = []
    for trajectory in trajectories(good, wrong, told.text, rng):
        history = tuple(told.ids(earlier.tokens) for earlier in trajectory.history)
        prompt = told.turns.prompt(problem.prompt, history)
        # That the answer ends is learnt as well.
        tokens = (*prompt, *told.ids(trajectory.answer.tokens), told.end)
        if len(tokens) <= told.context:
            found.append(Example(tokens, first=len(prompt)))
    return found


def _judged(result: Result, grader: Grader) -> list[tuple[Solution, bool]]:
    """The solutions that came to an answer, and whether it is right."""
    reference = result.job.problem.reference
    assert reference is not None
    return [
        (each, grader(each.answer, reference))
        for each in result.choice.candidates
        if each.answer is not None and each.step_ends
    ]


def _present(found: Iterable[Example | None]) -> list[Example]:
    return [each for each in found if each is not None]
