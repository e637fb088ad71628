"""The texts of a solution's steps. A letter may be split over two tokens, so the text of a step is
the text up to its end, less the text up to its beginning."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from outthink.types import Solution


def cut(texts: Sequence[str]) -> tuple[str, ...]:
    """What the text of each prefix adds to the one before it. A letter that the end of a step
    splits reads differently in the longer text; the step after it then begins behind what both
    share."""
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
    """The texts of the steps behind a prefix, for `Drawn.texts`, from an engine in process. A
    report has no tokenizer, so the texts are kept beside the ids."""
    places = [len(prefix.tokens), *solution.step_ends[prefix.steps :]]
    if places[-1] < len(solution.tokens):
        places.append(len(solution.tokens))
    return cut([text(solution.tokens[:place]) for place in places])[1:]
