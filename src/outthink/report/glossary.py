"""The glossary: the terms on the page in one line each, and hints for reading its figures."""

from __future__ import annotations

from collections.abc import Sequence

from outthink.report.data import Label, Report
from outthink.report.markup import breakable, escape, tag
from outthink.report.section import Section
from outthink.report.style import Styles

TERMS = (
    ("problem", "A prompt and, where known, its reference answer."),
    ("step", "One part of a solution, such as a line, ended by the proposer's step delimiter."),
    ("proposer", "The model that writes solutions."),
    ("verifier", "What scores solutions: every step (PRM), or the whole (ORM, judge, vote)."),
    ("generation", "One full sampled solution: the unit of budget (N)."),
    ("budget", "The number of generations that may be spent on one problem."),
    ("strategy", "A search with its parameters fixed, such as beam search of width 4."),
    ("pass@1", "The probability that a single sampled solution is right."),
    (
        "difficulty bin",
        "One fifth of the problems, sorted by difficulty; bin 1 is the easiest. Oracle bins use "
        "pass@1, which needs the reference answers. Predicted bins use a few samples without them.",
    ),
    (
        "policy",
        "A table from bin and budget to strategy, fitted on other problems than it is measured "
        "on. Using the best strategy for each bin is called compute-optimal.",
    ),
    ("stage", "A strategy at a size that a sequential policy may run next, such as 4 samples."),
    (
        "sequential policy",
        "After every stage it looks at all that was drawn, and answers or runs the stage that is "
        "worth most.",
    ),
    (
        "price",
        "The points of accuracy that one more unit of cost must buy. The sequential policy has a "
        "member for each of several prices.",
    ),
    (
        "frontier",
        "The largest accuracy at every mean cost: points that no cheaper one is as accurate as.",
    ),
    (
        "strongest fixed strategy",
        "Of the strategies that spend the same on every problem, the one that reaches an accuracy "
        "at the smallest cost. It is another one at another accuracy.",
    ),
    (
        "bound",
        "What a rule reaches that sees the reference answers: no policy can be expected to.",
    ),
    (
        "difficulty charged",
        "The generations spent on predicting difficulty are counted in the budget.",
    ),
    (
        "compute-equivalence factor (CEF)",
        "How many times the policy's budget a fixed strategy, such as best-of-N, needs to be as "
        "accurate as the policy. Above 1 the policy saves compute.",
    ),
    (
        "95 % interval",
        "If the run were repeated on other problems of the same kind, 95 of 100 such intervals "
        "would contain the true value.",
    ),
    (
        "AUC",
        "The probability that what is right gets a higher score than what is wrong: 0.5 is chance.",
    ),
    (
        "ECE",
        "Expected calibration error: the mean distance between score and observed rate.",
    ),
    (
        "kept, pruned",
        "A search continues from the steps it keeps and abandons those it prunes.",
    ),
    (
        "ended, cut off",
        "Ended: the proposer finished the solution. Cut off: it reached the length limit, and has "
        "no answer.",
    ),
)

HINTS = (
    "Point at a figure or tap it for exact values; from the keyboard, use Tab and the arrow keys.",
    "Press a name in a legend to see that line only; press it again to see all.",
    "Where two bands overlap, the difference may be due to chance.",
    "Budget axes are logarithmic: every tick doubles the budget.",
)


def glossary(report: Report, styles: Styles) -> Section:
    """The section of terms, which every page has."""
    return terms_of(report.labels)


def terms_of(labels: Sequence[Label]) -> Section:
    """Hints for reading a page, its terms, and the strategies that have a label."""
    hints = tag("ul", *(tag("li", hint) for hint in HINTS), class_="hints")
    terms = tag("dl", *(_entry(escape(term), line) for term, line in TERMS), class_="terms")
    meanings = [label for label in labels if label.meaning]
    if meanings:
        terms += tag("h3", "Strategies in this report") + tag(
            "dl",
            *(_entry(breakable(label.label), label.meaning) for label in meanings),
            class_="terms",
        )
    return Section("glossary", "Glossary", "Glossary, and how to read the figures", hints + terms)


def _entry(term: str, line: str) -> str:
    return tag("div", tag("dt", term), tag("dd", escape(line)))
