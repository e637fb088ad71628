"""A small model with test-time compute against a larger one: figures 1 and 9."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from outthink.measure.arrays import Floats
from outthink.measure.difficulty import BINS
from outthink.measure.exchange import Comparison, Crossover, SmallerWins, Threshold
from outthink.measure.intervals import resampled_means, tails_of
from outthink.paper.figures.parts import line, present, stands_on
from outthink.paper.findings import Exchanged, Findings
from outthink.report import reproduction_data as shown
from outthink.report.format import LEVEL, bin_name, counted, signed_span


def exchange(findings: Findings) -> shown.Part:
    """The section with figures 1 and 9, and R*."""
    families = exchanges(findings)
    items: list[shown.Item] = []
    for name, exchanged in families.items():
        words = "searches and revisions" if name == "both" else name
        items.append(_bars(name, words, exchanged))
    for name, exchanged in families.items():
        if name != "both":
            items.append(_curves(name, exchanged))
    items.append(_crossovers(families))
    return shown.Part(
        "exchange",
        "Exchange",
        "A small model with test-time compute, or a larger model",
        f"S with its compute-optimal policy against the greedy answer of L, which has "
        f"{findings.size_ratio:.1f} times the parameters, at equal FLOPs of pretraining and "
        "inference together. R is inference tokens over pretraining tokens.",
        tuple(items),
    )


def exchanges(findings: Findings) -> dict[str, Exchanged]:
    """By axis, S against L."""
    return {
        "search": findings.exchanged_search,
        "revisions": findings.exchanged_revisions,
        "both": findings.exchanged,
    }


def _bars(name: str, words: str, exchanged: Exchanged) -> shown.Bars:
    ratios = list(dict.fromkeys(row.token_ratio for row in exchanged.comparisons))
    groups = []
    for token_ratio in ratios:
        rows = [row for row in exchanged.comparisons if row.token_ratio == token_ratio]
        groups.append(
            shown.Exchange(
                token_ratio,
                rows[0].budget,
                rows[0].note,
                tuple(_improvement(exchanged, row) for row in rows),
            )
        )
    notes = [f"{group.note}." for group in groups if group.note]
    return shown.Bars(
        f"exchange-{name}",
        f"S with {words} against L",
        {"search": "Figure 1, right", "revisions": "Figure 1, left"}.get(name, "not in the paper"),
        tuple(groups),
        reading=_exchange_reading(groups),
        basis=f"{counted(groups[0].rows[0].problems, 'problem')}, predicted bins, difficulty "
        f"charged; whiskers are {LEVEL} intervals, an arrow means one goes beyond the chart. "
        + " ".join(notes),
    )


def _exchange_reading(groups: Sequence[shown.Exchange]) -> str:
    sentences = []
    for group in groups:
        whole_row = group.rows[0]
        if whole_row.difference is None:
            sentences.append(f"At R = {group.token_ratio:g} S cannot afford one sample.")
            continue
        wins = [
            str(row.bin) for row in group.rows[1:] if row.difference_low and row.difference_low > 0
        ]
        span = signed_span(whole_row.difference_low, whole_row.difference_high)
        ahead = f"; its interval is above 0 in bin {', '.join(wins)}" if wins else ""
        sentences.append(
            f"At R = {group.token_ratio:g} S differs from L by "
            f"{100 * whole_row.difference:+.1f} points {span}{ahead}."
        )
    return " ".join(sentences)


def _improvement(exchanged: Exchanged, row: Comparison) -> shown.Improvement:
    members = np.ones(exchanged.measured.large.size, np.bool_)
    if row.bin is not None:
        assert exchanged.measured.bins is not None
        members = exchanged.measured.bins == row.bin
    relative = low = high = None
    if row.budget is not None and row.small is not None and row.large > 0:
        at = exchanged.measured.budgets.index(row.budget)
        relative = row.small / row.large - 1
        both = np.stack([exchanged.measured.small[at, members], exchanged.measured.large[members]])
        low, high = relative_interval(both.astype(np.float64))
    gap = row.difference
    return shown.Improvement(
        bin=None if row.bin is None else row.bin + 1,
        small=row.small,
        large=row.large,
        relative=relative,
        low=low,
        high=high,
        difference=None if gap is None else gap.mean,
        difference_low=None if gap is None else gap.low,
        difference_high=None if gap is None else gap.high,
        problems=row.problems,
    )


def relative_interval(both: Floats, resamples: int = 2000) -> tuple[float | None, float | None]:
    """The interval of small / large - 1 for accuracies [2, P]; an infinite end is `None`.

    The upper end is infinite where the larger model solves nothing in too many resamples.
    """
    drawn = resampled_means(both, resamples, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.sort(np.nan_to_num(drawn[:, 0] / drawn[:, 1] - 1, nan=0.0, posinf=np.inf))
    tails = tails_of(0.95)
    low = float(ratios[math.floor(tails[0] * (resamples - 1))])
    high = float(ratios[math.ceil(tails[1] * (resamples - 1))])
    return low if math.isfinite(low) else None, high if math.isfinite(high) else None


def _curves(name: str, exchanged: Exchanged) -> shown.Figure:
    bins = exchanged.measured.bins
    assert bins is not None
    panels = []
    for number in range(BINS):
        members = bins == number
        ks = sorted(
            {
                max(1.0, round(row.matched))
                for row in exchanged.comparisons
                if row.bin == number and row.matched >= 0.5
            }
        )
        small = line(
            f"S with {name}", exchanged.measured.budgets, exchanged.measured.small[:, members]
        )
        large = line(
            "L, greedy, at equal FLOPs",
            ks,
            np.stack([exchanged.measured.large[members].astype(np.float64)] * len(ks)),
        )
        panels.append(
            shown.Panel(
                present(small, large),
                bin_name(number + 1, BINS).capitalize(),
                counted(int(members.sum()), "problem"),
            )
        )
    return shown.Figure(
        f"exchange-curves-{name}",
        f"S with {name} against L, by difficulty",
        "Figure 9",
        tuple(panels),
        reading="L's accuracy is drawn at the generations that S may spend instead, for every R: "
        "the smaller R, the further right. Where the line of S is above it, S is the better buy.",
        basis=stands_on(
            exchanged.measured.large.size,
            "Predicted bins; the cost of predicting them is already subtracted.",
        ),
    )


def _crossovers(families: dict[str, Exchanged]) -> shown.Table:
    rows = []
    for place, first in enumerate(next(iter(families.values())).crossovers):
        name = "all problems" if first.bin is None else bin_name(first.bin + 1, BINS)
        rows.append(
            (name, *(_crossover(exchanged.crossovers[place]) for exchanged in families.values()))
        )
    every = next(iter(families.values())).crossovers[0]
    return shown.Table(
        "r-star",
        "R*: below it, S with test-time compute is the better buy",
        "",
        ("", *("searches and revisions" if name == "both" else name for name in families)),
        tuple(rows),
        reading="Below R* the small model wins at equal FLOPs; k* is the smallest budget at which "
        "it is as accurate as the larger model.",
        basis=f"{counted(every.problems, 'problem')}, predicted bins, difficulty charged; "
        f"{LEVEL} intervals. Never: S is not as accurate within the "
        f"{counted(every.largest, 'generation')} measured. Always: the budget S needs costs no "
        "more than one answer of L.",
    )


def _crossover(crossover: Crossover) -> str:
    spread = f"[{_threshold(crossover.low)}, {_threshold(crossover.high)}]"
    at = "" if crossover.estimate.budget is None else f", k* = {crossover.estimate.budget:.3g}"
    least = (
        "\u2265\u202f"
        if crossover.at_most and crossover.estimate.smaller_wins is SmallerWins.BELOW
        else ""
    )
    return f"{least}{_threshold(crossover.estimate)} {spread}{at}"


def _threshold(threshold: Threshold) -> str:
    return (
        threshold.smaller_wins.value
        if threshold.token_ratio is None
        else f"{threshold.token_ratio:.3g}"
    )
