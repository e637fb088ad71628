"""How the results of sweeps and policies are printed; several commands print them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from outthink.cli.output import between, cost_factor, number, percent, points, print_table

if TYPE_CHECKING:
    from outthink.policy.results import FitResult, VersusBaseline
    from outthink.policy.table import Policy
    from outthink.study.results import Accuracies
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
    if accuracies.verifiers:
        _print_verifiers(accuracies.verifiers)


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
