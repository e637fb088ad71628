"""The contract of a grader."""

from __future__ import annotations

from collections.abc import Sequence

from outthink.grade import grading

_ODD = ("", " ", "\n", "?", "\\boxed{", "{" * 50, "1/0", "NaN", "é", "\U0001f600", "x" * 5000)


def check_grader(
    name: str,
    *,
    right: Sequence[tuple[str, str]],
    wrong: Sequence[tuple[str, str]] = (),
) -> None:
    """Hold a grader to what all are held to.

    `right` and `wrong` are pairs of answer and reference. White space around an answer changes
    nothing; the canonical form of a right answer is right too; equal canonical forms have one
    verdict; and no text makes it fail. Raises `AssertionError` where it breaks its contract,
    `UsageError` where there is no such grader.
    """
    made = grading(name)
    for verdict, pairs in ((True, right), (False, wrong)):
        for answer, reference in pairs:
            for form in (answer, f" {answer}\n", made.canonical(answer)):
                judged = made.grade(form, reference)
                assert judged is verdict, (
                    f"{name}: {form!r} for {reference!r} is judged {judged}, not {verdict}"
                )
    for text in _ODD:
        assert made.grade(text, right[0][1] if right else "1") in (True, False), (
            f"{name}: no verdict on {text!r}"
        )
