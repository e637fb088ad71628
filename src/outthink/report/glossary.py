"""The words on the page, one line each, and how to read its figures."""

from __future__ import annotations

from collections.abc import Sequence

from outthink.report.data import Label, Report
from outthink.report.markup import breakable, escape, tag
from outthink.report.section import Section
from outthink.report.style import Styles

WORDS = (
    ("problem", "A prompt and, where known, its reference answer."),
    ("step", "One unit of reasoning, ended by the proposer's step delimiter."),
    ("proposer", "The model that writes: it samples and extends solutions."),
    ("verifier", "What scores solutions: every step (PRM) or the whole (ORM, vote)."),
    ("generation", "One full sampled solution, the unit of budget (N)."),
    ("budget", "How many generations one problem may cost."),
    ("strategy", "A search with its hyper-parameters fixed, such as beam search of width 4."),
    ("pass@1", "The chance that a single sampled solution is right."),
    (
        "difficulty bin",
        "A fifth of the problems by pass@1, easiest first. Oracle bins use the labels; predicted "
        "bins only the verifier's scores.",
    ),
    (
        "policy",
        "A table fitted on other problems: for each bin and budget, the strategy to use. Following "
        "it is called compute-optimal.",
    ),
    (
        "difficulty charged",
        "The generations spent on finding out the difficulty are counted in the budget.",
    ),
    (
        "compute-equivalence factor (CEF)",
        "How many times the budget what it is held against, such as best-of-N, needs to be as "
        "accurate as the policy. Above 1 the policy saves compute.",
    ),
    (
        "95 % interval",
        "Were the run repeated with other problems of the same kind, 95 of 100 such intervals "
        "would hold the true value.",
    ),
    ("AUC", "The chance that a right step is scored above a wrong one: 0.5 is guessing."),
    (
        "ECE",
        "Expected calibration error: the mean distance between score and observed rate.",
    ),
    (
        "kept, pruned",
        "A search goes on from the steps it keeps; what comes of a pruned one is never seen.",
    ),
    (
        "ended, cut off",
        "A solution the proposer ended itself, or one that ran into the length limit and so has "
        "no answer.",
    ),
)

HINTS = (
    "Point at a figure, tap it, or reach it with Tab and use the arrow keys, for exact values.",
    "Press a name in a legend to see that line alone; press it again for all.",
    "Where two bands overlap, the difference may be chance.",
    "Budget axes go by doubling: each step to the right costs twice as much.",
)


def glossary(report: Report, styles: Styles) -> Section:
    """Always there: it is what makes the rest readable."""
    return words_used(report.labels)


def words_used(labels: Sequence[Label]) -> Section:
    """How to read a page, and what its words and strategies mean."""
    hints = tag("ul", *(tag("li", hint) for hint in HINTS), class_="hints")
    words = tag("dl", *(_entry(escape(word), line) for word, line in WORDS), class_="words")
    meanings = [label for label in labels if label.meaning]
    if meanings:
        words += tag("h3", "Strategies in this report") + tag(
            "dl",
            *(_entry(breakable(each.label), each.meaning) for each in meanings),
            class_="words",
        )
    return Section("words", "Words", "How to read this, and the words used", hints + words)


def _entry(word: str, line: str) -> str:
    return tag("div", tag("dt", word), tag("dd", escape(line)))
