"""Worked examples for a prompt: other problems of the file that problems come from.

The paper's prompts show four (Snell et al. 2024, appendix). A row that is asked is never shown.
Known are GSM8K's and MATH's worked answers; a table shows its answers as they are. Knows nothing
of models.
"""

from __future__ import annotations

import re

from outthink.data import source
from outthink.errors import UsageError

_CALCULATOR = re.compile(r"<<[^>]*>>")
_HASHES = re.compile(r"\n?####[ \t]*([^\n#]+?)\s*\Z")
_LARGEST = 3
"""Of the rows that are left, the examples are the shortest of so many times their number."""


def shots(spec: str, count: int) -> list[tuple[str, str]]:
    """`count` questions with worked answers, of the rows that `spec` leaves out. Raises
    `UsageError` where it leaves out too few, or names a generator."""
    if spec.startswith(source.LAB) or ":" in spec.partition("?")[0]:
        raise UsageError(f"{spec}: a generator has no worked answers; give --shots FILE")
    asked = {problem.prompt for problem in source.read(spec)}
    left = [pair for pair in source.worked(spec) if pair[0] not in asked]
    if len(left) < count:
        raise UsageError(
            f"{spec}: leaves out {len(left)} problems, and {count} examples are to be shown; ask "
            "fewer problems, as FILE?size=200, or give --shots FILE"
        )
    first = left[: _LARGEST * count]
    shortest = sorted(first, key=lambda pair: len(pair[1]))[:count]
    return [
        (question, _steps(answer)) for question, answer in first if (question, answer) in shortest
    ]


def _steps(answer: str) -> str:
    """A worked answer as the prompt asks for one: an empty line between steps, the end in a box."""
    match = _HASHES.search(answer)
    if match is None:
        return answer
    lines = _CALCULATOR.sub("", answer[: match.start()]).splitlines()
    steps = [line for line in lines if line.strip()]
    return "\n\n".join([*steps, f"The answer is \\boxed{{{match[1]}}}."])
