"""What the numbers say, in plain sentences written from the numbers alone.

The verdict never picks the budget that flatters: it speaks of the one the report names, or of 16,
or of the middle one, and gives the range over all of them.
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
from outthink.report.format import counted, measured, percent, ratio, ratio_span, span, whole
from outthink.report.style import Styles

USUAL_HEADLINE = 16


def verdict(report: Report) -> str:
    """One paragraph: what the policy gains, or else which strategy does best."""
    styles = Styles.of(report)
    if report.comparison and (said := _policy_verdict(report.comparison, styles)):
        return said
    if curves := measured_ones(report.curves):
        return read_curves(curves, styles)
    return "This report holds no accuracy yet."


def measured_ones(curves: Sequence[Curve]) -> tuple[Curve, ...]:
    """The curves that have a point at all."""
    return tuple(curve for curve in curves if curve.points)


def headline(comparison: Comparison) -> float | None:
    """The budget the verdict speaks of: one at which policy and best-of-N were both measured."""
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
    """The reading of the policy that may be claimed: predicted bins, or oracle for want of them."""
    if comparison.predicted:
        return comparison.predicted, "predicted"
    return comparison.oracle, "oracle"


def at_budget(curve: Curve, budget: float) -> Point | None:
    """The point at exactly this budget."""
    return next((point for point in curve.points if point.budget == budget), None)


def find_cef(cefs: Sequence[Cef], budget: float, *, bins: Bins) -> Cef | None:
    """The factor at this budget, without the cost of difficulty."""
    found = (cef for cef in cefs if cef.bins == bins and not cef.charged)
    return next((cef for cef in found if cef.budget == budget), None)


def charged_cef(comparison: Comparison, budget: float) -> Cef | None:
    """What the factor at `budget` becomes when the cost of predicted difficulty is added.

    The same searches at a higher price stand at a larger budget with the same accuracy. Where no
    point is such a copy the charged policy was run in its own right: the nearest budget counts.
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
    said = (
        f"At {counted(budget, 'generation')} the compute-optimal policy{kind} gets "
        f"{measured(ours)} against {measured(theirs)} for {name}"
    )
    cef = find_cef(comparison.cefs, budget, bins=bins)
    said += f": {_equivalence(cef, name, largest)}." if cef else "."
    return " ".join([said, *_asides(comparison, name, budget, bins, largest)])


def _equivalence(cef: Cef, name: str, largest: float) -> str:
    times, interval = ratio(cef.value), ratio_span(cef, largest=largest)
    if cef.at_least:
        return f"at least as good as {name} with {times} times the budget, the most measured"
    said = f"as good as {name} with {times} times the budget {interval}"
    if cef.high is not None and cef.high < 1:
        return f"{said}, so it costs more than it gains"
    if cef.low <= 1:
        return f"{said}, an interval that holds 1, so no saving is shown"
    return said


def _times(cef: Cef, largest: float) -> str:
    bound = "at least " if cef.at_least else ""
    return f"{bound}{ratio(cef.value)} {ratio_span(cef, largest=largest)}"


def _asides(
    comparison: Comparison, name: str, budget: float, bins: Bins, largest: float
) -> list[str]:
    """The range over budgets, the charged figure and the upper bound, where they are known."""
    said = []
    every = [c for c in comparison.cefs if c.bins == bins and not c.charged and not c.at_least]
    if len(every) > 1:
        low, high = min(every, key=lambda c: c.value), max(every, key=lambda c: c.value)
        said.append(
            f"Wherever {name} was measured far enough the factor runs from {ratio(low.value)} "
            f"(at {whole(low.budget)}) to {ratio(high.value)} (at {whole(high.budget)})."
        )
    if cef := charged_cef(comparison, budget):
        said.append(
            f"With the cost of predicting difficulty charged it is {_times(cef, largest)} "
            f"at {counted(cef.budget, 'generation')}."
        )
    oracle = find_cef(comparison.cefs, budget, bins="oracle")
    if oracle and bins == "predicted":
        said.append(
            f"Oracle bins, which need the labels, would give {_times(oracle, largest)}: "
            "an upper bound."
        )
    return said


# One sentence under each figure ------------------------------------------------------------------


def read_curves(curves: Sequence[Curve], styles: Styles) -> str:
    """Which strategy is highest at the largest budget all share, and whether that is certain."""
    budget = _largest_shared(curves)
    if budget is None:
        return "The strategies were measured at different budgets."
    ranked = _ranked(curves, budget)
    (best, top), rest = ranked[0], ranked[1:]
    said = f"At {counted(budget, 'generation')} {styles[best].label} is highest, at {measured(top)}"
    if not rest:
        return said + "."
    second, next_point = rest[0]
    overlap = " (the intervals overlap)" if next_point.high >= top.low else ""
    return f"{said}, ahead of {styles[second].label} at {measured(next_point)}{overlap}."


def read_bins(bins: Sequence[Bin], styles: Styles) -> str:
    """Which strategy is highest in which bin."""
    winners: dict[str, list[str]] = {}
    budget = _largest_shared([curve for each in bins for curve in each.curves])
    if budget is None:
        return "The strategies were measured at different budgets."
    for each in bins:
        best, _ = _ranked(each.curves, budget)[0]
        winners.setdefault(styles[best].label, []).append(str(each.number))
    # Labels may hold commas, so what is listed is kept apart by semicolons.
    shares = [
        f"{label} (bin{'s' if len(numbers) > 1 else ''} {', '.join(numbers)})"
        for label, numbers in winners.items()
    ]
    return f"Highest at {counted(budget, 'generation')}: {'; '.join(shares)}."


def read_comparison(comparison: Comparison, styles: Styles) -> str:
    """How far the policy lies above best-of-N, and from what budget on."""
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
        f", most at {whole(where)}: by {100 * most:.1f} points." if above else "."
    )


def read_factors(cefs: Sequence[Cef]) -> str:
    """At how many budgets a saving is shown."""
    shown = sum(cef.low > 1 for cef in cefs)
    return (
        "Above the line the policy saves compute: its interval lies wholly above 1 "
        f"in {shown} of {len(cefs)} cases."
    )


def read_policy(policy: Policy, styles: Styles) -> str:
    """How often each strategy was chosen."""
    chosen = Counter(styles[cell.strategy].label for cell in policy.cells).most_common()
    shares = "; ".join(f"{label} in {count}" for label, count in chosen)
    return f"Of {counted(len(policy.cells), 'cell')} the policy chose {shares}."


def read_calibration(calibration: Calibration) -> str:
    """Where scores stray furthest from what happened, among buckets that hold enough."""

    def gap(bucket: Bucket) -> float:
        return abs(bucket.mean_score - bucket.observed)

    enough = max(bucket.count for bucket in calibration.buckets) / 50
    worst = max((b for b in calibration.buckets if b.count >= enough), key=gap)
    if worst.low <= worst.mean_score <= worst.high:
        return "Wherever there are enough scores, what happened agrees with what was said."
    too = "sure" if worst.mean_score > worst.observed else "doubtful"
    return (
        f"The verifier is furthest off where it says {worst.mean_score:.2f}: there "
        f"{percent(worst.observed)} {span(worst.low, worst.high)} are right, so it is too {too}."
    )


def read_agreement(agreement: Agreement) -> str:
    """How many problems are put in the right bin, and how many next to it."""
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
        f"The prediction puts {percent(same / total)} of problems in their oracle bin and "
        f"{percent(near / total)} in it or next to it."
    )


def read_spending(spending: Sequence[Spending], styles: Styles) -> str:
    """Of one budget: who decodes most, and who loses the largest part of it."""

    def decoded(each: Spending) -> float:
        return each.usage.decoded_tokens / max(1, each.problems)

    def lost(each: Spending) -> float:
        return each.usage.discarded_tokens / max(1, each.usage.decoded_tokens)

    budget = spending[0].budget
    most, worst = max(spending, key=decoded), max(spending, key=lost)
    said = (
        f"At {counted(budget, 'generation')} {styles[most.strategy].label} decodes most, "
        f"{whole(round(decoded(most)))} tokens a problem"
    )
    if not lost(worst):
        return said + "; nothing is discarded."
    return (
        f"{said}; {styles[worst.strategy].label} discards most, {percent(lost(worst))} of its own."
    )


def _largest_shared(curves: Sequence[Curve]) -> float | None:
    shared = [{point.budget for point in curve.points} for curve in curves]
    return max(set.intersection(*shared), default=None) if shared else None


def _ranked(curves: Sequence[Curve], budget: float) -> list[tuple[str, Point]]:
    points = [(c.strategy, p) for c in curves if (p := at_budget(c, budget))]
    return sorted(points, key=lambda pair: -pair[1].accuracy)
