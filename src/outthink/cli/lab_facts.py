"""`outthink lab facts`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.output import between, number, print_json, print_table
from outthink.errors import UsageError

if TYPE_CHECKING:
    from outthink.lab.facts import Facts, ModelFacts, RevisionFacts
    from outthink.measure.intervals import Interval

_COMPARED = ("step_4_minus_step_1", "sequential", "parallel", "sequential_minus_parallel")
_VERIFIER = {
    "auc": "AUC, step is right",
    "ece": "calibration error, will end right",
    "final_auc": "AUC, last step",
    "final_ece": "calibration error, last step",
}


@command("facts", "\b\n  outthink lab facts --problems 500 --seed 9")
@options.problems(2000)
@options.seed
@options.weights
def facts(problems: int, seed: int, weights: Path | None, as_json: bool) -> None:
    """Measures the lab's models on fresh test problems: accuracy of S and L, and how well the
    verifiers tell right from wrong. Another --seed asks problems that nobody has seen.
    """
    from outthink.lab.facts import measure
    from outthink.lab.models import SHIPPED, LabModels
    from outthink.measure.difficulty import BINS

    if problems < BINS:
        raise UsageError(f"--problems {problems} for {BINS} bins; give at least {BINS}")
    measured = measure(LabModels(weights or SHIPPED), problems=problems, seed=seed)
    return print_json(_wire(measured)) if as_json else _print(measured)


# For programs ------------------------------------------------------------------------------------


def _wire(facts: Facts) -> dict[str, Any]:
    """Plain shares, their 95 % intervals beside them."""
    ratio = facts.greedy_ratio
    return {
        "problems": facts.problems,
        "seed": facts.seed,
        "chance": facts.chance,
        "s": _model(facts.s),
        "l": _model(facts.l),
        "greedy_ratio": ratio if math.isfinite(ratio) else None,
        "prm": _fields(facts.prm),
        "orm": _fields(facts.orm),
        "revision": _revision(facts.revision),
    }


def _revision(revision: RevisionFacts) -> dict[str, Any]:
    return _fields(revision) | {
        "pass_at_1": [share.mean for share in revision.pass_at_1],
        "pass_at_1_intervals": _ends(revision.pass_at_1),
        **{name: _fields(getattr(revision, name)) for name in _COMPARED},
    }


def _model(model: ModelFacts) -> dict[str, Any]:
    row = _fields(model)
    for name in ("greedy", "pass_at_1"):
        share: Interval = row[name]
        row |= {name: share.mean, f"{name}_interval": [share.low, share.high]}
    return row | {
        "bins": [share.mean for share in model.bins],
        "bins_intervals": _ends(model.bins),
    }


def _ends(shares: tuple[Interval, ...]) -> list[list[float]]:
    return [[share.low, share.high] for share in shares]


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


# For people --------------------------------------------------------------------------------------


def _print(facts: Facts) -> None:
    print(f"{facts.problems} test problems of seed {facts.seed}, 95 % intervals\n")
    print_table(("model", "S", "L"), _models(facts.s, facts.l))
    ratio = number(facts.greedy_ratio, 2)
    print(f"\ngreedy, L over S: {ratio}     guessing: {facts.chance:.3%}\n")
    verifiers = [
        (label, *(number(getattr(verifier, name), 3) for verifier in (facts.prm, facts.orm)))
        for name, label in _VERIFIER.items()
    ]
    print_table(("verifier", "PRM", "ORM"), verifiers)
    print()
    print_table(("revisions", ""), _revisions(facts.revision))


def _models(small: ModelFacts, large: ModelFacts) -> list[tuple[str, str, str]]:
    ends = {0: " (easiest)", len(small.bins) - 1: " (hardest)"}
    bins = zip(small.bins, large.bins, strict=True)
    return [
        ("parameters", f"{small.parameters:,}", f"{large.parameters:,}"),
        ("training tokens", f"{small.tokens:,}", f"{large.tokens:,}"),
        ("greedy", between(small.greedy), between(large.greedy)),
        ("pass@1", between(small.pass_at_1), between(large.pass_at_1)),
        *(
            (f"  bin {at + 1}{ends.get(at, '')}", between(first), between(second))
            for at, (first, second) in enumerate(bins)
        ),
    ]


def _revisions(facts: RevisionFacts) -> list[tuple[str, str]]:
    length = len(facts.pass_at_1)
    steps = [step for step in (1, 2, 4, 8, 16, 32, 64) if step <= length]
    return [
        *(
            (f"pass@1 at step {step} of a chain", between(facts.pass_at_1[step - 1]))
            for step in steps
        ),
        ("step 4 - step 1", between(facts.step_4_minus_step_1)),
        ("right turned wrong", f"{facts.turned_wrong:.1%}"),
        ("wrong turned right", f"{facts.turned_right:.1%}"),
        (f"chain of {length}, verifier", between(facts.sequential)),
        (f"{length} in parallel, verifier", between(facts.parallel)),
        ("sequential - parallel", between(facts.sequential_minus_parallel)),
    ]
