"""Sentences about a sequential policy, computed from its numbers."""

from __future__ import annotations

from outthink.report.format import AT_LEAST, LEVEL, THIN, TIMES, counted, percent, ratio, span
from outthink.report.sequential_data import Certainty, Estimate, Factor, Group, Member, Sequential
from outthink.report.style import Styles
from outthink.run.progress import compact

NEVER = "never"
"""In place of a factor over several strategies, none of which gets there."""


def opening(policy: Sequential, styles: Styles) -> str:
    """What the policy saves, for a reader who knows nothing of it."""
    member = policy.members[policy.chosen]
    sentences = (
        _against_baseline(member, policy, styles),
        _sooner(member, policy, styles),
        _against_strongest(member, policy, styles),
        f"The policy is right on {percent(member.accuracy.mean)} "
        f"{span(member.accuracy.low, member.accuracy.high)} of "
        f"{counted(policy.problems, 'problem')} that it was not fitted on, with everything that "
        "it spent counted.",
    )
    return " ".join(filter(None, sentences))


def amount(cost: float) -> str:
    """A cost in three significant figures or so: `0.35`, `7.2`, `43`, `1.2M`."""
    if cost >= 10_000:
        return compact(cost)
    return f"{cost:.0f}" if cost >= 9.95 else f"{cost:.1f}" if cost >= 0.95 else f"{cost:.2g}"


def costs(cost: Estimate) -> str:
    """`7.2 [6.8, 7.6]`."""
    return f"{amount(cost.mean)} [{amount(cost.low)}, {amount(cost.high)}]"


def factor_span(factor: Factor) -> str:
    """The interval of a factor: `[3.1, 8.8]`. An end beyond what was run has a sign before it; of
    several strategies it is `never`."""
    if factor.low_at_least:
        return NEVER if factor.of_several else f"[>{THIN}{_ratio(factor.low)}]"
    below = f"<{THIN}" if factor.low_at_most else ""
    high = f"{_ratio(factor.high)}"
    if factor.high_at_least:
        high = NEVER if factor.of_several else f">{THIN}{high}"
    return f"[{below}{_ratio(factor.low)}, {high}]"


def _ratio(value: float) -> str:
    """As `ratio`, but near 1 it shows on which side of it."""
    return f"{value:.2f}" if 0.9 < value < 1.1 else ratio(value)


def factor_value(factor: Factor) -> str:
    """`6.0` after a times sign; a bound has a sign before it. Where none of several strategies gets
    there, `never`."""
    if factor.at_least and factor.of_several:
        return NEVER
    sign = f"{AT_LEAST}{THIN}" if factor.at_least else f"<{THIN}" if factor.at_most else ""
    return f"{sign}{TIMES}{_ratio(factor.value)}"


def factor_text(factor: Factor) -> str:
    """The value and its interval."""
    value, interval = factor_value(factor), factor_span(factor)
    return value if value == interval else f"{value} {interval}"


def is_saving(factor: Factor) -> bool:
    """Whether the interval is above 1, as it is shown."""
    return round(factor.low, 2) > 1 and not factor.low_at_most


def _is_loss(factor: Factor) -> bool:
    return round(factor.high, 2) < 1 and not factor.high_at_least


def _times(factor: Factor) -> str:
    if factor.value >= 1:
        return f"{'at least ' if factor.at_least else ''}{_ratio(factor.value)} times less"
    return f"{'less than ' if factor.at_most else ''}{_ratio(factor.value)} times as much"


def _against_baseline(member: Member, policy: Sequential, styles: Styles) -> str:
    factor, unit = member.baseline, policy.currency
    name, spent = styles[policy.baseline].label, f"{amount(member.cost.mean)} {unit} a problem"
    most = f"up to {amount(factor.most)}" if unit == "generations" else "that was run"
    needs, interval = amount(factor.value * member.cost.mean), factor_span(factor)
    if factor.at_least:
        never = f"no number of samples {most} gets there"
        if is_saving(factor):
            return (
                f"{spent} do what {name} never does: {never}. That is {_times(factor)} {interval}."
            )
        return (
            f"No saving is shown: {spent} do what {name} did not do here, {never}, but the "
            f"interval of the factor, {interval}, holds 1."
        )
    if factor.at_most:
        did = f"{spent} do less than {name} does with {needs}: {_times(factor)} {interval}"
        return f"No saving is shown: {did}."
    did = f"{spent} do what {name} needs {needs} for"
    if is_saving(factor):
        return f"{did}: {_times(factor)} {interval}."
    if _is_loss(factor):
        return f"The policy saves nothing: {did}, {_times(factor)} {interval}."
    return f"No saving is shown: {did}, {_times(factor)}, but the interval {interval} holds 1."


def _sooner(member: Member, policy: Sequential, styles: Styles) -> str:
    """Where best-of-N never gets there: the largest saving at an accuracy that it does reach."""
    if not (member.baseline.at_least and is_saving(member.baseline)):
        return ""
    found = [m for m in policy.members if is_saving(m.baseline) and not m.baseline.at_least]
    if not found:
        return ""
    sooner = max(found, key=lambda one: one.baseline.low)
    return (
        f"{amount(sooner.cost.mean)} {policy.currency} do what it needs "
        f"{amount(sooner.baseline.value * sooner.cost.mean)} for: {_times(sooner.baseline)} "
        f"{factor_span(sooner.baseline)}."
    )


def _against_strongest(member: Member, policy: Sequential, styles: Styles) -> str:
    factor = member.strongest
    name, interval = styles[factor.strategy].label, factor_span(factor)
    if factor.at_least:
        start = (
            f"No fixed strategy gets there at any cost that was run; {name}, run up to "
            f"{amount(factor.most)}, comes nearest"
        )
        if factor.low_at_least:
            return f"{start}."
        said = f"{start}: the interval of the factor is {interval}"
        return f"{said}." if is_saving(factor) else f"{said}, which holds 1."
    start = f"Against the strongest fixed strategy at that accuracy, {name}, it takes"
    if is_saving(factor):
        return f"{start} {_times(factor)} {interval}."
    if _is_loss(factor):
        return f"{start} {_times(factor)} {interval}: no saving."
    return f"{start} {_times(factor)}, but the interval {interval} holds 1: no saving is shown."


def read_frontier(policy: Sequential) -> str:
    """How the policy stands to the fixed strategies at equal cost."""
    above = sum(member.difference.low > 0 for member in policy.members)
    below = sum(member.difference.high < 0 for member in policy.members)
    count = counted(len(policy.members), "mean cost")
    said = (
        f"At {above} of {count} the policy is more accurate than the best fixed strategy that "
        "costs as much, with the interval of the difference above 0"
    )
    if below:
        said += f"; at {below} it is less accurate"
    return said + ". Further up and to the left is better."


def frontier_basis(policy: Sequential) -> str:
    """What the frontier's figure rests on."""
    said = (
        f"{counted(policy.problems, 'problem')}; the policy is measured on problems that it was "
        f"not fitted on, and pays for everything that it runs. Bands are {LEVEL} intervals; fixed "
        "strategies spend the same on every problem and have theirs in the accuracy figure. The "
        "ring is the member that the page speaks of."
    )
    if any(line.kind == "rule" for line in policy.lines):
        said += " Thin grey lines are adaptive rules from papers, on samples alone."
    if any(line.kind == "bound" for line in policy.lines):
        said += (
            " Dashed lines are bounds on samples alone: they see the reference answers, as no "
            "policy can."
        )
    return said


def read_groups(groups: tuple[Group, ...]) -> str:
    """How much harder problems got than easy ones."""
    bins = groups[:-1]
    if len(bins) < 2:
        return "All problems were alike."
    first, last = (sum(use.cost for use in group.uses) for group in (bins[0], bins[-1]))
    return (
        f"A problem of {bins[0].name} cost {amount(first)} on average, one of {bins[-1].name} "
        f"{amount(last)}."
    )


def read_certainty(certainties: tuple[Certainty, ...], error: float | None) -> str:
    """What the probability that comes with an answer is worth."""
    most = max(certainties, key=lambda row: row.count)
    said = (
        f"Where the policy said {percent(most.chance)} on average, {percent(most.rate)} "
        f"{span(most.low, most.high)} were right."
    )
    if error is not None:
        said += f" Probability and rate differ by {100 * error:.1f} points on average."
    return said
