"""What a model is asked in words: the prompt of an `Ask`, with the texts of solutions in it.

The texts are those that the model which wrote a solution gives for its token ids, without what was
thought before the answer. A solution that was cut off is not shown: it has no end to judge, and it
is the longest. What is filled in is not searched for names again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from outthink.errors import UsageError
from outthink.models.thinking import parted
from outthink.run.needed import ActiveJob
from outthink.types import Ask, Framing, Problem, Propose, Proposer, Solution

CUT_OFF = "(It was cut off before its end.)"
_NAME = re.compile(r"\{(problem|first|second|rest|all)\}")


def require(strategy: str, writer: Proposer) -> None:
    """Raises `UsageError` where a model of one task alone is asked in words."""
    if not getattr(writer, "reads_words", True):
        raise UsageError(
            f"{strategy} asks {writer.name} in words, and it knows nothing but its own task; where "
            "the strategy takes by=verifier, write that, or name a model of any text"
        )


def proposal(ask: Ask) -> Propose:
    """The rows of an `Ask` as those of a `Propose`: each begins anew, from the first that it is
    shown."""
    prefixes = [Solution(shown[0].problem, number=shown[0].number) for shown in ask.about]
    return Propose(prefixes, temperature=ask.temperature, role=ask.role, purpose=ask.purpose)


async def asked(active: ActiveJob, ask: Ask, usual: Proposer) -> list[Problem]:
    """What each row is asked in place of its problem. What nobody is known to have written, `usual`
    did."""
    return [
        _problem(ask, shown[0].problem, [await _said(active, one, usual) for one in shown])
        for shown in ask.about
    ]


async def text(active: ActiveJob, solution: Solution, usual: Proposer) -> str | None:
    """What a solution says; `None` where it was cut off."""
    if not solution.finished:
        return None
    key = solution.number, solution.tokens
    if key not in active.texts:
        drawn = active.drawn.get(solution.number)
        writer = usual if drawn is None else drawn.engine
        whole = await writer.text(solution.tokens)
        active.texts[key] = parted(whole).answer.strip() or whole.strip()
    return active.texts[key]


async def _said(active: ActiveJob, solution: Solution, usual: Proposer) -> str:
    said = await text(active, solution, usual)
    return CUT_OFF if said is None else said


def _problem(ask: Ask, problem: Problem, texts: Sequence[str]) -> Problem:
    parts = {
        "problem": problem.whole if ask.purpose.is_critique else problem.prompt,
        "first": texts[0],
        "second": texts[1] if len(texts) > 1 else "",
        "rest": _numbered(texts[1:]),
        "all": _numbered(texts),
    }
    prompt = _NAME.sub(lambda name: parts[name[1]], ask.words)
    if ask.purpose.is_critique:
        return Problem(problem.id, prompt, framing=Framing(bare=True))
    return replace(problem, prompt=prompt)


def _numbered(texts: Sequence[str]) -> str:
    return "\n\n".join(f"Solution {number}:\n{text}" for number, text in enumerate(texts, 1))
