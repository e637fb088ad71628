"""From Python: what the commands do, as coroutines that return values.

    solved = await outthink.solve("40713 *7 *13", budget=16)
    accuracies = await outthink.sweep("lab:test?size=200", "my.store")
    fitting = await outthink.fit("my.store", "policy.json")
    reported = await outthink.write_report("my.store", "report.html")

Where there is no event loop: `outthink.run(outthink.solve(...))`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from outthink.errors import UsageError
from outthink.study.plan import Plan

if TYPE_CHECKING:  # each takes a while to import, and `outthink --help` needs none
    from outthink.policy.family import Family
    from outthink.policy.results import FitResult, Reported, SequentialFit, Solved
    from outthink.policy.table import Policy
    from outthink.study.models import Models
    from outthink.study.results import Accuracies

_T = TypeVar("_T")


def run(doing: Coroutine[Any, Any, _T]) -> _T:
    """The result of one of these, where there is no event loop to await it in.

    Raises `UsageError` inside one, where `await` is what is meant.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(doing)
    doing.close()
    raise UsageError("outthink.run inside an event loop would block it; await the call itself")


async def solve(
    prompt: str,
    *,
    model: str | Models | None = None,
    policy: Policy | Family | str | Path | None = None,
    strategy: str | None = None,
    budget: int | None = None,
    average: float | None = None,
    price: float | None = None,
    most: float | None = None,
    grader: str | None = None,
    seed: int = 0,
) -> Solved:
    """Solve one problem by a policy, or by a strategy (`best_of_n`), with a budget in generations,
    16 by default. What a sequential policy may spend is said by one of `average` and `price`, and
    by `most`, in its currency.

    `model` is a name as `--model` takes it, or all the models at once; left out, those that the
    policy was fitted with, or the lab's. Problems that are
    solved at the same time (`asyncio.gather`) with the same models, grader and seed share engines.
    `grader` finds a served model's answers: the policy's own, or `number`. Raises `UsageError` for
    what cannot be asked, `RunError` where a server failed.
    """
    from outthink.policy.family import Dial
    from outthink.policy.solve import solve as solved

    if policy is not None and strategy is not None:
        raise UsageError("a policy and a strategy both say how to think; give one")
    return await solved(
        prompt,
        policy=Path(policy) if isinstance(policy, str) else policy,
        strategy=strategy,
        budget=budget,
        seed=seed,
        models=None if model is None else _models(model),
        grader=grader,
        dial=Dial(price, average, most),
    )


async def sweep(
    problems: str | Path,
    store: str | Path,
    *,
    model: str | Models = "lab:s",
    plan: Plan = Plan(),  # noqa: B008 - frozen
    seed: int = 0,
) -> Accuracies:
    """Run a plan over problems into a store, and measure every strategy at every budget.

    `problems` is what the command takes: a file, or `lab:test?size=200`. Cancelled or killed at any
    moment, the same call goes on and pays for nothing twice. Raises as `solve` does, and
    `StoreError` for a store of another sweep.
    """
    from outthink.study.results import measured
    from outthink.study.sweep import Sweep, swept_async

    asked = Sweep(str(problems), plan, _models(model), seed)
    async with swept_async(asked, Path(store)) as opened:
        return measured(opened)


async def fit(
    store: str | Path,
    out: str | Path | None = None,
    *,
    currency: str = "generations",
    most: float | None = None,
) -> SequentialFit:
    """Fit the sequential policy on a store, and save it where `out` says.

    `currency` is generations, tokens, seconds or flops; `most` caps what one problem may cost. A
    sweep that is not finished is fitted on what there is; `notes` then say so. Raises `UsageError`
    where nothing can be fitted.
    """
    from outthink.policy.store import fit_sequential_store

    place = None if out is None else Path(out)
    return await asyncio.to_thread(
        fit_sequential_store, Path(store), place, name=currency, most=most
    )


async def fit_table(store: str | Path, out: str | Path | None = None) -> FitResult:
    """Fit the paper's policy on a store: a strategy for each difficulty and budget.

    With fewer bins on fewer than 100 problems; `notes` then say so. Raises as `fit`.
    """
    from outthink.policy.store import fit_store

    return await asyncio.to_thread(fit_store, Path(store), None if out is None else Path(out))


async def write_report(store: str | Path, out: str | Path = "report.html") -> Reported:
    """Write the page of a store: all that there is of it, whether a policy can be fitted or not."""
    from outthink.report.store import report_store

    asked = f"outthink.write_report({str(store)!r}, {str(out)!r})"
    return await asyncio.to_thread(report_store, Path(store), Path(out), command=asked)


def _models(model: str | Models) -> Models:
    from outthink.study.models import Models

    return Models(model) if isinstance(model, str) else model
