"""Backward checking: does the answer lead back to the problem? (Weng et al. 2023, arXiv 2212.09561)

A number of the problem is masked with X, the answer is told, and the model is asked for X
(condition mask verification). The score is the share of such questions that gave the
number back: up to `numbers` numbers of the problem, each asked `samples` times. A reply without a
number did not give it back. A solution without an answer, and a problem without a number, have no
score, and cost nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import re

from outthink.errors import UsageError
from outthink.grade import extract
from outthink.types import Scores, Verified
from outthink.verify.judge import Wording
from outthink.verify.writer import Cost, Reply, Writer, seed_of
from outthink.verify.written import SolutionText

NUMBERS = 3
SAMPLES = 1
TEMPERATURE = 0.7
"""Of replies, where there are several to one question; one alone is greedy."""
ASK = (
    "{masked}\n\nThe answer to this problem is {answer}. One number of the problem was replaced by "
    "X. Which number is X? Think step by step, and end with one line: X = the number."
)
_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?![\w])")
_SAID = re.compile(r"\bX\s*(?:=|is)\s*\**\$?\s*(-?\d[\d,]*(?:\.\d+)?)", re.IGNORECASE)


class Backward:
    """The scorer; make a verifier of it with `reading`."""

    def __init__(
        self, writer: Writer, *, numbers: int = NUMBERS, samples: int = SAMPLES, ask: str = ASK
    ) -> None:
        """Raises `UsageError` for fewer than one number or sample."""
        if min(numbers, samples) < 1:
            raise UsageError(f"backward of {numbers} numbers, {samples} times each; give 1 or more")
        self._temperature = 0.0 if samples == 1 else TEMPERATURE
        about = repr((writer.name, ask)).encode()
        digest = hashlib.blake2b(about, digest_size=4).hexdigest()
        self.name = f"backward-{numbers}-{samples}-{writer.name}-{digest}"
        self._writer, self._numbers, self._samples, self._ask = writer, numbers, samples, ask

    async def score(self, written: SolutionText) -> Verified:
        """The share of questions that gave a number of the problem back."""
        text = "".join(written.steps)
        solution = written.solution
        answer = solution.answer or (extract.answer(text) if solution.finished else None)
        masked = masks(written.solution.problem.prompt, self._numbers)
        if answer is None or not masked:
            return Verified(Scores((None,) * len(written.steps)), 0, 0)
        asked = [
            (Wording().fill(self._ask, masked=question, answer=answer), number, sample)
            for question, number in masked
            for sample in range(self._samples)
        ]
        replies = await asyncio.gather(*(self._reply(text, at) for text, _, at in asked))
        pairs = zip(replies, asked, strict=True)
        right = sum(given_back(reply.text) == number for reply, (_, number, _) in pairs)
        steps = (*(None,) * (len(written.steps) - 1), right / len(asked))
        return Cost.of(replies).verified(Scores(steps))

    async def _reply(self, text: str, sample: int) -> Reply:
        seed = seed_of(text, sample)
        return await self._writer.write(text, seed=seed, temperature=self._temperature)

    async def aclose(self) -> None:
        """Let go of the model's connections."""
        await self._writer.aclose()


def masks(problem: str, most: int) -> list[tuple[str, float]]:
    """The problem with one of its numbers masked, and that number: the first ones, in order."""
    return [
        (f"{problem[: place.start()]}X{problem[place.end() :]}", _value(place[0]))
        for place in list(_NUMBER.finditer(problem))[:most]
    ]


def given_back(text: str) -> float | None:
    """The value that a reply gives to X: its last statement of it, or else its last number."""
    said = _SAID.findall(text) or _NUMBER.findall(text)
    return _value(said[-1]) if said else None


def _value(text: str) -> float:
    return float(text.replace(",", ""))
