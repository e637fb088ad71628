"""Texts of token ids, cut where steps end. Tokens do not end where letters do, so what a step says
is what the text up to its end has more than the text up to its beginning."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from outthink.types import Solution


def cut(texts: Sequence[str]) -> tuple[str, ...]:
    """Texts of prefixes, each longer than the one before, to what each says more. A letter that the
    end of a step cut in two reads differently in the longer text; the step after it then begins
    behind what they share."""
    steps, before = [], ""
    for text in texts:
        if text.startswith(before):
            steps.append(text[len(before) :])
        else:
            shared = next(
                (index for index, (a, b) in enumerate(zip(before, text, strict=False)) if a != b),
                min(len(before), len(text)),
            )
            steps.append(text[shared:])
        before = text
    return tuple(steps)


def past(
    prefix: Solution, solution: Solution, text: Callable[[Sequence[int]], str]
) -> tuple[str, ...]:
    """What a solution says past its prefix, as `Drawn.texts` has it, by the tokenizer of an engine
    in process. Its ids are of no use to a report without that tokenizer."""
    places = [len(prefix.tokens), *solution.step_ends[prefix.steps :]]
    if places[-1] < len(solution.tokens):
        places.append(len(solution.tokens))
    return cut([text(solution.tokens[:place]) for place in places])[1:]
