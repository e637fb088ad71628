"""How the results of sweeps and policies are printed; several commands print them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from outthink.cli.output import between, cost_factor, number, percent, points, print_table

if TYPE_CHECKING:
    from outthink.measure.arrays import Floats
    from outthink.measure.equivalence import Equivalence
    from outthink.measure.intervals import Interval
    from outthink.policy.family import Family
    from outthink.policy.menu import Stage
    from outthink.policy.promise import Kept
    from outthink.policy.results import FitResult, SequentialFit, VersusBaseline
    from outthink.policy.table import Policy
    from outthink.study.results import Accuracies, Accuracy, Saved
    from outthink.study.verifiers import VerifierQuality

Cell = tuple[str, int, str]
"""A strategy, a budget, and what is told of it there."""

_BINS = {
    ("predicted", False): "predicted",
    ("predicted", True): "predicted, charged",
    ("votes", False): "predicted by votes",
    ("votes", True): "by votes, charged",
    ("oracle", False): "oracle (upper bound)",
}


def print_swept(accuracies: Accuracies) -> None:
    told = [(row.strategy, row.budget, between(row.accuracy)) for row in accuracies.rows]
    print_accuracies(accuracies.graded, told)
    if any(row.bounds for row in accuracies.rows):
        bounds = [
            (row.strategy, row.budget, "{} to {}".format(*map(percent, row.bounds or ())))
            for row in accuracies.rows
        ]
        print("\nthe same over all problems, were those left out all wrong, and all right")
        _print_cells(bounds)
    for row in accuracies.rows:
        if row.saved is not None:
            print(_saved(row, row.saved))
    if len(accuracies.verifiers) > 1:
        _print_verifiers(accuracies.verifiers)


def _saved(row: Accuracy, saved: Saved) -> str:
    tokens = "" if saved.tokens is None else f"{saved.tokens:,.0f} tokens and "
    return (
        f"{row.strategy} at {row.budget}: {saved.generations:.1f} generations a problem, which "
        f"saves {tokens}{saved.seconds:.3g} s of engines"
    )


def print_accuracies(graded: int, told: Sequence[Cell]) -> None:
    """Strategies down, budgets across; what was not run at a budget is a dash."""
    if not told:
        return
    print(f"accuracy in % on {graded} problems, 95 % interval")
    _print_cells(told)


def _print_cells(told: Sequence[Cell]) -> None:
    budgets = list(dict.fromkeys(budget for _, budget, _ in told))
    cells = {(name, budget): cell for name, budget, cell in told}
    print_table(
        ("strategy", *(f"N = {budget}" for budget in budgets)),
        [
            (name, *(cells.get((name, budget), "-") for budget in budgets))
            for name in dict.fromkeys(name for name, _, _ in told)
        ],
    )


def _print_verifiers(compared: Sequence[VerifierQuality]) -> None:
    print("\nverifiers side by side, on the same samples")
    budgets = compared[0].budgets
    rows = [
        (one.verifier, how, number(one.auc, 3), *map(between, values))
        for one in compared
        for how, values in (("weighted", one.weighted), ("plain", one.plain))
    ]
    print_table(("verifier", "best-of-N", "AUC", *(f"N = {budget}" for budget in budgets)), rows)


def print_policy(fitted: FitResult) -> None:
    """What a policy does, and what that is worth."""
    print("\nthe policy; accuracy in % on problems that it was not fitted on, 95 % interval")
    print_table(("difficulty bin", "N", "strategy", "accuracy"), _choices(fitted.policy))
    print(
        f"\nthe policy against {fitted.base} at the same cost: accuracy in %, difference in\n"
        f"points, and the times its own cost that {fitted.base} needs to be as good (CEF)"
    )
    print_table(
        ("bins", "N", "cost", "policy", fitted.base, "difference", "CEF"),
        [_compared(row) for row in fitted.versus_baseline],
    )


def print_sequential(fitted: SequentialFit) -> None:
    """The members of a sequential policy, and what they are worth."""
    frontier = fitted.frontier
    print(
        "\nthe sequential policy, everything charged; accuracy in % on problems that it was not\n"
        f"fitted on, 95 % intervals; times its cost that {frontier.baseline} needs to be as good,\n"
        "and that the strongest fixed strategy needs"
    )
    print_table(
        ("price", frontier.currency, "accuracy", frontier.baseline, "strongest", "runs most often"),
        [
            (
                f"{saving.price:.3g}",
                _cost(saving.cost),
                between(saving.accuracy),
                _times(saving.baseline),
                _times(saving.strongest),
                _often(frontier.menu, point.runs.mean(axis=0)),
            )
            for saving, point in zip(fitted.savings, frontier.points, strict=True)
        ],
    )
    if told := _plans(fitted.family):
        print(f"\nwhere deciding was not worth one standard error more, it follows a plan: {told}")


def _plans(family: Family) -> str:
    """What the members do that are plans, with what each costs."""
    plans = [(one.cost.mean, one.plan.told(family.menu)) for one in family.members if one.plan]
    return "; ".join(f"at {cost:.3g} {told}" for cost, told in plans)


def print_promises(kept: Sequence[Kept]) -> None:
    """What policies promised, and what came of it."""
    if not kept:
        return
    print(
        "\npolicies that were run: what they promised and what came; accuracy in %, 95 %\n"
        "intervals; how far their probability to be right was off on average, in points, and\n"
        "by luck alone on so many problems"
    )
    print_table(
        ("policy", "cost promised", "came", "accuracy promised", "came", "holds", "off"),
        [
            (
                f"{one.strategy} at {one.budget}",
                f"{_cost(one.promised_cost)} {one.currency}",
                _cost(one.cost),
                between(one.promised_accuracy),
                between(one.accuracy),
                "another cap" if one.is_capped else "yes" if one.holds else "no",
                _off(one),
            )
            for one in kept
        ],
    )


def _off(one: Kept) -> str:
    if one.calibration_error is None or one.chance_error is None:
        return "-"
    return f"{100 * one.calibration_error:.1f}, {100 * one.chance_error:.1f}"


def _cost(cost: Interval) -> str:
    return f"{cost.mean:.3g} [{cost.low:.3g}, {cost.high:.3g}]"


def _times(factor: Equivalence) -> str:
    if factor.at_least:
        low = "" if factor.known_low is None else f" [{factor.low:.2g}, -]"
        return f"never{low}"
    return cost_factor(
        {
            "factor": factor.factor,
            "low": factor.low,
            "high": factor.known_high,
            "at_least": False,
        }
    )


def _often(menu: Sequence[Stage], runs: Floats) -> str:
    """The stages run most often, with how often a problem."""
    order = sorted(range(len(menu)), key=lambda n: -runs[n])[:2]
    return ", ".join(f"{menu[n].name} x{runs[n]:.1f}" for n in order if runs[n] >= 0.05)


def _choices(policy: Policy) -> list[tuple[str, int, str, str]]:
    """A row for each cell; the number of a bin stands in its first."""
    shown, rows, last = 0, [], policy.binning.count
    ends = {1: "1 (easiest)", last: f"{last} (hardest)"} if last > 1 else {1: "all"}
    for cell in policy.cells:
        at = cell.bin + 1
        name = ends.get(at, str(at)) if at != shown else ""
        shown = at
        rows.append((name, cell.budget, cell.strategy, between(cell.accuracy)))
    return rows


def _compared(row: VersusBaseline) -> tuple[str, int, str, str, str, str, str]:
    return (
        _BINS[row.bins.value, row.charged],
        row.budget,
        f"{row.equivalence.cost:g}",
        f"{100 * row.accuracy.mean:.1f}",
        f"{100 * row.best_of_n:.1f}",
        points(row.difference.mean, row.difference.low, row.difference.high),
        _factor(row),
    )


def _factor(row: VersusBaseline) -> str:
    factor = row.equivalence
    high = None if factor.high_at_least else factor.high
    return cost_factor(
        {"factor": factor.factor, "low": factor.low, "high": high, "at_least": factor.at_least}
    )
