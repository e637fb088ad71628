#!/usr/bin/env python3
"""What further stages add to a sequential policy: two menus on the same problems.

    outthink sweep 'lab:test?size=1000&seed=21' -o menus.store --strategies best_of_n --budgets 1 \\
        --pool 64 --oracle-samples 0 --stages 'beam@4,dvts@4,rebase@4' --trials 6
    python scripts/menus.py menus.store --former beam@4

A policy is fitted with everything in the store, and one with samples and the stages named alone.
Costs and accuracies are of problems that neither was fitted on, and differences are paired by
problem, at the cost of each policy of the larger menu.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from outthink.models.cores import cores
from outthink.policy.fit_sequential import fit_sequential
from outthink.policy.frontier import leads
from outthink.policy.menu import Stage
from outthink.policy.read import menu
from outthink.policy.results import SequentialFit
from outthink.study.sweep import reopened
from outthink.types import LARGER


def runs(fit: SequentialFit) -> dict[str, float]:
    """Stages by how often a problem ran them, over all prices."""
    points = fit.frontier.all_points
    means = sum(point.runs.mean(axis=0) for point in points) / len(points)
    named = zip(fit.frontier.menu, means, strict=True)
    return {stage.name: round(float(mean), 3) for stage, mean in named if mean > 0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--former", default="", help="stages besides samples, by commas")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kept = set(options.former.split(",")) - {""}
    with reopened(options.store) as opened:
        # Generations of a larger model are not those of a small one.
        every = [stage for stage in menu(opened.study) if LARGER not in stage.roles]
        sources = {stage.source for stage in every}
        missing = [name for name in sorted(kept) if Stage.parse(name).source not in sources]
        if missing:
            parser.error(f"no stage {missing[0]} in {options.store}")
        # What can be looked at after every generation is kept in all its sizes.
        told = {opened.study.plan.pool_job, *(Stage.parse(name).source for name in kept)}
        former = [stage for stage in every if stage.source in told]
        both = [
            fit_sequential(opened.study, seed=0, stages=stages, rules=False, jobs=cores())
            for stages in (every, former)
        ]
    larger, smaller = (fit.frontier for fit in both)
    lead = {cost: gap for cost, gap in leads(larger, smaller.points)}
    rows = [
        {
            "generations": point.mean_cost.mean,
            "accuracy": point.accuracy.mean,
            "above_the_former_menu": gap.mean,
            "low": gap.low,
            "high": gap.high,
        }
        for point in larger.points
        if (gap := lead.get(point.mean_cost.mean)) is not None
    ]
    former_rows = [
        {"generations": point.mean_cost.mean, "accuracy": point.accuracy.mean}
        for point in smaller.points
    ]
    if options.json:
        shown = {"problems": len(larger.problems), "rows": rows, "former": former_rows}
        print(json.dumps({**shown, "runs": runs(both[0])}))
        return 0
    print(f"{len(larger.problems)} problems, {len(every)} stages, {len(former)} in the former menu")
    print("generations  right, %  above the former menu, points")
    for row in rows:
        print(
            f"{row['generations']:11.2f} {100 * row['accuracy']:9.1f} "
            f"{100 * row['above_the_former_menu']:+9.2f} [{100 * row['low']:+.2f}, "
            f"{100 * row['high']:+.2f}]"
        )
    print("the former menu:")
    for row in former_rows:
        print(f"{row['generations']:11.2f} {100 * row['accuracy']:9.1f}")
    print("runs a problem:", ", ".join(f"{name} {mean}" for name, mean in runs(both[0]).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
