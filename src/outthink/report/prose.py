"""Sentences about a report's figures, computed from its numbers.

The verdict is about the budget that the report names, else 16 generations, else the middle one,
never the budget that looks best; it gives the range over all budgets beside it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from outthink.report.data import (
    Agreement,
    Bin,
    Bins,
    Bucket,
    Calibration,
    Cef,
    Comparison,
    Curve,
    Point,
    Policy,
    Report,
    Spending,
)
from outthink.report.format import (
    counted,
    generations,
    measured,
    percent,
    ratio,
    ratio_span,
    span,
    whole,
)
from outthink.report.sequential_prose import opening
from outthink.report.style import Styles

USUAL_HEADLINE = 16
SAME = 1e-9
"""Accuracies nearer than this are the same but for rounding."""


def verdict(report: Report) -> str:
    """One paragraph: what the sequential policy saves, or what the paper's table gains over the
    baseline, or else which strategy is best."""
    styles = Styles.of(report)
    if report.sequential:
        return opening(report.sequential, styles)
    if report.comparison and (paragraph := _policy_verdict(report.comparison, styles)):
        return paragraph
    if curves := measured_ones(report.curves):
        return read_curves(curves, styles)
    return "This report holds no accuracy yet."


def measured_ones(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """The curves that have at least one point."""
    return tuple(curve for curve in curves if curve.points)


def headline(comparison: Comparison) -> float | None:
    """The budget the verdict is about: one at which policy and baseline were both measured."""
    policy = leading(comparison)[0]
    if policy is None:
        return None
    both = sorted(
        {p.budget for p in policy.points} & {p.budget for p in comparison.baseline.points}
    )
    if comparison.headline in both:
        return comparison.headline
    if USUAL_HEADLINE in both:
        return USUAL_HEADLINE
    return both[len(both) // 2] if both else None


def leading(comparison: Comparison) -> tuple[Curve | None, Bins]:
    """The policy's curve that a claim may rest on: by predicted bins, or oracle where there are no
    predicted ones."""
    if comparison.predicted:
        return comparison.predicted, "predicted"
    return comparison.oracle, "oracle"


def at_budget(curve: Curve, budget: float) -> Point | None:
    """The point at exactly this budget."""
    return next((point for point in curve.points if point.budget == budget), None)


def find_cef(cefs: Sequence[Cef], budget: float, *, bins: Bins) -> Cef | None:
    """The factor at this budget, the cost of predicting difficulty not charged."""
    free = (cef for cef in cefs if cef.bins == bins and not cef.charged)
    return next((cef for cef in free if cef.budget == budget), None)


def charged_cef(comparison: Comparison, budget: float) -> Cef | None:
    """The factor at `budget` once the cost of predicting difficulty is charged.

    Charging moves a point of the policy to a larger budget at the same accuracy. Where no point is
    such a copy, the charged policy was measured on its own, and the nearest budget is taken.
    """
    charged = [cef for cef in comparison.cefs if cef.bins == "predicted" and cef.charged]
    free = at_budget(comparison.predicted, budget) if comparison.predicted else None
    copies = {
        point.budget
        for point in (comparison.charged.points if comparison.charged else ())
        if free and point.accuracy == free.accuracy and point.budget >= budget
    }
    same = [cef for cef in charged if cef.budget in copies]
    if same:
        return min(same, key=lambda cef: cef.budget)
    return min(charged, key=lambda cef: abs(math.log(cef.budget / budget)), default=None)


def _policy_verdict(comparison: Comparison, styles: Styles) -> str:
    policy, bins = leading(comparison)
    budget = headline(comparison)
    if policy is None or budget is None:
        return ""
    ours, theirs = at_budget(policy, budget), at_budget(comparison.baseline, budget)
    assert ours and theirs  # `headline` gives only budgets both have
    name = styles[comparison.baseline.strategy].label
    largest = max(point.budget for point in comparison.baseline.points)
    kind = "" if bins == "predicted" else " (oracle bins: an upper bound)"
    sentences = [
        f"At {counted(budget, 'generation')} a problem the compute-optimal policy{kind} is right "
        f"on {measured(ours)} of problems, {name} on {measured(theirs)}."
    ]
    if cef := find_cef(comparison.cefs, budget, bins=bins):
        sentences.append(_equivalence(cef, name, largest))
    return " ".join([*sentences, *_asides(comparison, name, budget, bins, largest)])


def _equivalence(cef: Cef, name: str, largest: float) -> str:
    times, interval = ratio(cef.value), ratio_span(cef, largest=largest)
    if cef.at_least:
        return (
            f"{name} is not as accurate even with {times} times the budget, the largest measured."
        )
    needed = f"To be as accurate, {name} needs {times} times the budget {interval}"
    if cef.high is not None and cef.high < 1:
        return f"{needed}: the policy costs more than it gains."
    if cef.low <= 1:
        return f"{needed}; the interval includes 1, so no saving is shown."
    return f"{needed}."


def _times(cef: Cef, largest: float) -> str:
    bound = "at least " if cef.at_least else ""
    return f"{bound}{ratio(cef.value)} {ratio_span(cef, largest=largest)}"


def _asides(
    comparison: Comparison, name: str, budget: float, bins: Bins, largest: float
) -> list[str]:
    """The range over budgets, the charged factor and the upper bound, where they are known."""
    sentences = []
    every = [c for c in comparison.cefs if c.bins == bins and not c.charged and not c.at_least]
    if len(every) > 1:
        low, high = min(every, key=lambda c: c.value), max(every, key=lambda c: c.value)
        sentences.append(
            f"Over all budgets where {name} catches up, this factor runs from {ratio(low.value)} "
            f"({generations(low.budget)}) to {ratio(high.value)} ({generations(high.budget)})."
        )
    if cef := charged_cef(comparison, budget):
        sentences.append(
            f"Counting the generations that predict difficulty, it is {_times(cef, largest)} "
            f"at {counted(cef.budget, 'generation')}."
        )
    oracle = find_cef(comparison.cefs, budget, bins="oracle")
    if oracle and bins == "predicted":
        sentences.append(
            f"With oracle bins, which need the reference answers, it would be "
            f"{_times(oracle, largest)}: an upper bound."
        )
    return sentences


# One sentence under each figure ------------------------------------------------------------------


def read_curves(curves: Sequence[Curve], styles: Styles) -> str:
    """Which strategy is highest at the largest budget that all share, and whether the next one's
    interval overlaps."""
    budget = _largest_shared(curves)
    if budget is None:
        return "The strategies were measured at different budgets."
    ranked = _ranked(curves, budget)
    (best, top), rest = ranked[0], ranked[1:]
    at = f"At {counted(budget, 'generation')}"
    if not rest:
        return f"{at} {styles[best].label} is highest, at {measured(top)}."
    second, next_point = rest[0]
    if top.accuracy - next_point.accuracy < SAME:
        both = f"{styles[best].label} and {styles[second].label}"
        return f"{at} {both} are highest, both at {percent(top.accuracy)}."
    overlap = " (the intervals overlap)" if next_point.high >= top.low else ""
    return (
        f"{at} {styles[best].label} is highest, at {measured(top)}, ahead of "
        f"{styles[second].label} at {measured(next_point)}{overlap}."
    )


def read_bins(bins: Sequence[Bin], styles: Styles) -> str:
    """Which strategy is highest in which bin, at the largest budget that all share."""
    winners: dict[str, list[str]] = {}
    budget = _largest_shared([curve for bin in bins for curve in bin.curves])
    if budget is None:
        return "The strategies were measured at different budgets."
    for bin in bins:
        best, _ = _ranked(bin.curves, budget)[0]
        winners.setdefault(styles[best].label, []).append(str(bin.number))
    # Labels may hold commas, so what is listed is kept apart by semicolons.
    shares = [
        f"{label} (bin{'s' if len(numbers) > 1 else ''} {', '.join(numbers)})"
        for label, numbers in winners.items()
    ]
    return f"Highest at {counted(budget, 'generation')}: {'; '.join(shares)}."


def read_comparison(comparison: Comparison, styles: Styles) -> str:
    """At how many budgets the policy is above the baseline, and where by most."""
    policy, bins = leading(comparison)
    name = styles[comparison.baseline.strategy].label
    if policy is None:
        return f"The policy was not measured; the curve is {name}."
    pairs = [
        (point, other)
        for point in policy.points
        if (other := at_budget(comparison.baseline, point.budget))
    ]
    gains = [(point.accuracy - other.accuracy, point.budget) for point, other in pairs]
    if not gains:
        return f"The policy and {name} were measured at different budgets."
    above = sum(gain > 0 for gain, _ in gains)
    most, where = max(gains)
    return f"With {bins} bins the policy is above {name} at {above} of {len(gains)} budgets" + (
        f", by up to {100 * most:.1f} points ({generations(where)})." if above else "."
    )


def read_factors(cefs: Sequence[Cef]) -> str:
    """At how many budgets a saving is shown."""
    shown = sum(cef.low > 1 for cef in cefs)
    return (
        "Above the dashed line the policy saves compute. The whole interval is above it "
        f"in {shown} of {counted(len(cefs), 'case')}."
    )


def read_policy(policy: Policy, styles: Styles) -> str:
    """How often each strategy was chosen."""
    chosen = Counter(styles[cell.strategy].label for cell in policy.cells).most_common()
    shares = "; ".join(f"{label} in {count}" for label, count in chosen)
    return f"Of {counted(len(policy.cells), 'cell')} the policy chose: {shares}."


def read_calibration(calibration: Calibration) -> str:
    """Where scores are furthest from the observed rate, among buckets with enough scores."""

    def gap(bucket: Bucket) -> float:
        return abs(bucket.mean_score - bucket.observed)

    enough = max(bucket.count for bucket in calibration.buckets) / 50
    worst = max((b for b in calibration.buckets if b.count >= enough), key=gap)
    if worst.low <= worst.mean_score <= worst.high:
        return "Wherever there are enough scores, the observed rate agrees with them."
    too = "confident" if worst.mean_score > worst.observed else "cautious"
    return (
        f"The verifier is furthest off at scores near {worst.mean_score:.2f}: "
        f"{percent(worst.observed)} {span(worst.low, worst.high)} of those are right, so it is "
        f"too {too} there."
    )


def read_agreement(agreement: Agreement) -> str:
    """Share of problems in the same bin under both difficulties, and at most one bin apart."""
    cells = [
        (abs(i - j), count)
        for i, row in enumerate(agreement.confusion)
        for j, count in enumerate(row)
    ]
    total = sum(count for _, count in cells)
    same = sum(count for distance, count in cells if distance == 0)
    near = sum(count for distance, count in cells if distance <= 1)
    if not total:
        return "No problem was put in a bin."
    return (
        f"Predicted difficulty puts {percent(same / total)} of problems in their oracle bin, and "
        f"{percent(near / total)} in it or next to it."
    )


def read_spending(spending: Sequence[Spending], styles: Styles) -> str:
    """At one budget: which strategy decodes most, and which discards the largest share."""

    def decoded(spent: Spending) -> float:
        return spent.usage.decoded_tokens / max(1, spent.problems)

    def lost(spent: Spending) -> float:
        return spent.usage.discarded_tokens / max(1, spent.usage.decoded_tokens)

    budget = spending[0].budget
    most, worst = max(spending, key=decoded), max(spending, key=lost)
    most_decoded = (
        f"At {counted(budget, 'generation')} {styles[most.strategy].label} decodes most, "
        f"{whole(round(decoded(most)))} tokens a problem"
    )
    if not lost(worst):
        return most_decoded + "; nothing is discarded."
    return (
        f"{most_decoded}; {styles[worst.strategy].label} discards the largest share, "
        f"{percent(lost(worst))} of what it decodes."
    )


def _largest_shared(curves: Sequence[Curve]) -> float | None:
    shared = [{point.budget for point in curve.points} for curve in curves]
    return max(set.intersection(*shared), default=None) if shared else None


def _ranked(curves: Sequence[Curve], budget: float) -> list[tuple[str, Point]]:
    points = [(c.strategy, p) for c in curves if (p := at_budget(c, budget))]
    return sorted(points, key=lambda pair: -pair[1].accuracy)
