"""The sequential policy on the lab, beside the paper's: three menus on the same problems.

    searches    samples and beams of S
    all         these and revisions, in generations
    cascade     these and the greedy answer of L, in FLOPs

Nothing is tuned on these problems: each half of them is played by policies fitted on the other one.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from outthink.paper.evidence import Evidence
from outthink.policy.as_json import sequential as wire
from outthink.policy.currency import GENERATIONS, currency
from outthink.policy.fit_sequential import Money, case, compared, fitted, lacks_stages
from outthink.policy.menu import Stage
from outthink.policy.read import menu
from outthink.policy.results import SequentialFit
from outthink.run.side_by_side import called
from outthink.types import LARGER, REVISER


def fits(evidence: Evidence) -> dict[str, SequentialFit]:
    """The fit of every menu; none where there are too few problems."""
    study = evidence.stages
    if study is None or lacks_stages(study):
        return {}
    seed, sizes = evidence.seed, study.asked.sizes
    stages = menu(study)
    generations: Money = (GENERATIONS, currency(GENERATIONS))
    menus: dict[str, tuple[Money, tuple[Stage, ...]]] = {
        "searches": (generations, without(stages, REVISER, LARGER)),
        "all": (generations, without(stages, LARGER)),
        "cascade": (("flops", currency("flops", sizes)), stages),
    }
    cases = [case(study, seed=seed, money=money, stages=stages) for money, stages in menus.values()]
    done = called([partial(fitted, one) for one in cases], evidence.jobs)
    return {
        name: compared(study, one, money[1], fits)
        for (name, (money, _)), one, fits in zip(menus.items(), cases, done, strict=True)
    }


def without(stages: tuple[Stage, ...], *roles: str) -> tuple[Stage, ...]:
    """The stages that ask none of these roles."""
    return tuple(stage for stage in stages if stage.roles.isdisjoint(roles))


def record(fits: dict[str, SequentialFit]) -> dict[str, Any]:
    """What `outthink reproduce --json` prints of them."""
    return {name: wire(fit) for name, fit in fits.items()}
