#!/usr/bin/env python3
"""What a fit of the sequential policy costs: seconds, CPU seconds and memory.

    python scripts/bench_fit.py --problems 2000 --pool 128 -o runs/bench-fit.store

The store is made of scripted draws where it is not there yet, which takes longer than the fit and
is not measured. Twelve stages: samples up to 32, three beams, revisions up to 4.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.policy.fit_sequential import fit_sequential
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.study.plan import Plan
from outthink.study.read import Study
from outthink.study.record import Asked
from outthink.study.run import engines_of, run
from outthink.types import Draw, Drawn, Problem

STAGES = ("beam(width=2)@2", "beam@4", "beam@8", "revise(sequential=4)@4")
STRATEGIES = ("majority", "best_of_n(answer=max)", "best_of_n", "revise(sequential=4)")
SEED = 0


@dataclass(frozen=True, slots=True)
class Mixed:
    """Scripted draws of problems that differ in difficulty, with many wrong answers."""

    name: str = "scripted, mixed"

    def propose_batch(self, draws: Sequence[Draw]) -> list[Drawn]:
        return [_told(_writer(draw.prefix.problem.id).propose_batch([draw])[0]) for draw in draws]

    def decode(self, tokens: Sequence[int]) -> str:
        return ScriptedProposer().decode(tokens)


@cache
def _writer(problem: str) -> ScriptedProposer:
    return ScriptedProposer(max_steps=5, skill=0.3 + 0.69 * random.Random(problem).random())


def _told(row: Drawn) -> Drawn:
    """A wrong answer as one of several, by what was written."""
    answer = row.solution.answer
    if answer is None or answer == "right":
        return row
    told = f"{answer}, {row.solution.tokens[1] + row.solution.tokens[-4]}"
    return replace(row, solution=replace(row.solution, answer=told))


def plan(pool: int) -> Plan:
    """What the store holds."""
    budgets = tuple(2**power for power in range(7) if 2**power <= pool)
    drawn = {"oracle_samples": 0, "predicted_samples": 0, "trials": 6}
    return Plan(STRATEGIES, budgets, pool=pool, chains=min(32, pool), stages=STAGES, **drawn)


def team() -> Team:
    """Who draws and scores."""
    proposer, verifier = Mixed(), ScriptedVerifier(noise=0.7)
    return Team.of(proposer, verifier, reviser=proposer, revision_verifier=verifier)


def make(path: Path, wanted: Plan, problems: Sequence[Problem]) -> None:
    """Draw whatever the store lacks."""
    with Store.open(path, write=True) as store:
        asyncio.run(
            run(
                wanted,
                problems,
                team(),
                grader=lambda answer, reference: answer == reference,
                grader_name="exact",
                seed=SEED,
                store=store,
            )
        )


def measure(path: Path, wanted: Plan, problems: Sequence[Problem]) -> dict[str, float]:
    """Fit, and what it took. A process of its own is measured best."""
    who = engines_of(team(), SEED)
    ids = tuple(problem.id for problem in problems)
    begun, before = time.monotonic(), _cpu()
    with Store.open(path, write=False) as store:
        asked = Asked(wanted, "scripted", ids, "", who, "exact", SEED)
        study = Study(wanted, tuple(problems), store.view(who, "exact"), asked)
        fitted = fit_sequential(study, seed=SEED, rules=False)
    return {
        "problems": len(problems),
        "pool": wanted.pool,
        "stages": len(fitted.family.menu),
        "members": len(fitted.family.members),
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(_cpu() - before, 1),
        "most_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", type=int, default=2000)
    parser.add_argument("--pool", type=int, default=128)
    parser.add_argument("-o", "--store", type=Path, required=True)
    parser.add_argument("--made", action="store_true", help="measure alone, in this process")
    options = parser.parse_args()
    wanted, problems = plan(options.pool), scripted_problems(options.problems)
    if options.made:
        print(json.dumps(measure(options.store, wanted, problems)))
        return 0
    make(options.store, wanted, problems)
    # What drawing took of memory must not count.
    return subprocess.run([sys.executable, *sys.argv, "--made"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
