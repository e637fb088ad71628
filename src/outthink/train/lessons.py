"""Training examples, made from solutions that were drawn and judged.

A verifier is trained on the text that it will be given, at the places where its scores will be
read: both come from the same row of `verify.families`. A revision model is trained to write a right
answer after wrong ones, in the form in which its proposer will show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from outthink.models.openai import Setting
from outthink.models.transformers import Turns
from outthink.run.journal import Result
from outthink.train.fit import Example, Odds, odds_of
from outthink.train.revise import trajectories
from outthink.train.rollouts import labels
from outthink.types import Grader, Solution
from outthink.verify import orm, probe
from outthink.verify.checkpoint import tokenizer
from outthink.verify.families import Classes, Encoder, Family, Readout, Value, Words, family
from outthink.verify.written import Decode, SolutionText, solution_text


@dataclass(frozen=True, slots=True)
class Reading:
    """How a verifier is read, in training and after it."""

    row: Family
    encoder: Encoder
    odds: Odds
    earlier: bool
    """Whether it sees the answers that a revision saw."""

    @classmethod
    def of(
        cls,
        kind: str,
        name: str,
        row: str,
        context: int,
        *,
        earlier: bool,
        setting: Setting = Setting(),  # noqa: B008 - frozen
    ) -> Reading:
        """Of a `prm` of the family `row`, an `orm`, or a `probe` in the chat of `setting`, made
        from the model of this name.

        Raises `UsageError` where there is no such family, or the tokenizer lacks its mark.
        """
        words = tokenizer(name)
        match kind:
            case "prm":
                read = family(row)
            case "probe":
                read = probe.row(setting)
            case _:
                read = orm.row(words)
        encoder = Encoder(name, read, words, context)
        ids = encoder.words(read.readout) if isinstance(read.readout, Words) else None
        return cls(read, encoder, odds_of(read.readout, ids), earlier)

    @property
    def outputs(self) -> int | None:
        """Numbers that its head gives; `None` where it is read from a language model's own."""
        return _outputs(self.row.readout)

    def example(self, said: SolutionText, values: Sequence[float]) -> Example | None:
        """A solution with the label of each step; `None` where no step of it is read."""
        encoding = self.encoder.encode(said.problem, said.steps)
        read = [(at, v) for at, v in zip(encoding.reads, values, strict=True) if at is not None]
        if not read:
            return None
        places, labels = zip(*read, strict=True)
        return Example(encoding.ids, places, labels)


@dataclass(frozen=True, slots=True)
class WriterView:
    """How the model that is trained writes and reads what was drawn."""

    text: Decode
    """Text of the token ids that were drawn."""
    turns: Turns
    end: int
    """The token that ends an answer."""
    context: int
    """Most tokens that the model can read; longer examples are left out."""
    theirs: bool
    """Another model drew the solutions, with other token ids."""

    def ids(self, tokens: tuple[int, ...]) -> tuple[int, ...]:
        """The same text in token ids of the model that is trained."""
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
    reading: Reading, text: Decode, result: Result, rollouts: int, grader: Grader
) -> list[Example]:
    """Examples of a PRM: samples labelled with how often each of their prefixes ends right."""
    return _present(
        reading.example(solution_text(sample.solution, text), sample.labels)
        for sample in labels(result, rollouts=rollouts, grader=grader)
        if sample.solution.step_ends
    )


def answer_lessons(reading: Reading, text: Decode, result: Result, grader: Grader) -> list[Example]:
    """Examples of an ORM or a probe: samples, or chains of revisions, labelled with whether they
    are right."""
    return _present(
        # Only the last place of an outcome model is read; a probe learns at every step how its
        # solution ends.
        reading.example(
            solution_text(solution, text, earlier=reading.earlier), [float(right)] * solution.steps
        )
        for solution, right in _judged(result, grader)
    )


def revision_lessons(
    writer: WriterView, result: Result, grader: Grader, seed: int
) -> list[Example]:
    """Examples of a revision model: wrong answers, then the right one that it learns to write."""
    problem = result.job.problem
    judged = _judged(result, grader)
    good = [solution for solution, right in judged if right]
    wrong = [solution for solution, right in judged if not right]
    rng = np.random.default_rng([seed, *problem.id.encode()])
    examples = []
    for trajectory in trajectories(good, wrong, writer.text, rng):
        history = tuple(writer.ids(earlier.tokens) for earlier in trajectory.history)
        prompt = writer.turns.prompt(problem.prompt, history)
        # The end mark is learnt as well.
        tokens = (*prompt, *writer.ids(trajectory.answer.tokens), writer.end)
        if len(tokens) <= writer.context:
            examples.append(Example(tokens, first=len(prompt)))
    return examples


def _judged(result: Result, grader: Grader) -> list[tuple[Solution, bool]]:
    """The solutions that have an answer, each with whether it is right."""
    reference = result.job.problem.reference
    assert reference is not None
    return [
        (solution, grader(solution.answer, reference))
        for solution in result.choice.candidates
        if solution.answer is not None and solution.step_ends
    ]


def _present(examples: Iterable[Example | None]) -> list[Example]:
    return [example for example in examples if example is not None]
