"""Traces of AutoTTS: a row a question, with the answer of each branch at every few tokens.

    {"question": ..., "gold_answer": ..., "probe_freq": 500,
     "each_branch": [[[ANSWER, ANSWER, ...], TOKENS, ANSWER], ...]}

A branch is a sample: its tokens and its last answer. The answers on the way are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from outthink.data.samples import Reading, Sample, sample
from outthink.data.tables import rows
from outthink.errors import ProblemFileError


def samples(path: Path, reading: Reading) -> Iterator[Sample]:
    """The branches of each question. Raises `ProblemFileError` for one of another form."""
    for row in rows(path):
        shared = {"problem": row.values.get("question"), "target": row.values.get("gold_answer")}
        branches = row.values.get("each_branch")
        for number, branch in enumerate(branches if isinstance(branches, list) else []):
            if not isinstance(branch, list) or len(branch) != 3:
                raise ProblemFileError(
                    f"{row.where}: branch {number} is not [answers, tokens, answer]; a recording "
                    "of another version"
                )
            _, tokens, answer = branch
            yield sample(row.where, {**shared, "tokens": tokens, "answer": answer}, reading)
