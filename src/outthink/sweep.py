"""A sweep: a plan run over the problems and models that words name, into a store, and read back.

Here the names that a person types become engines, problems and files; everything below is free of
them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from outthink.data import source
from outthink.difficulty import BINS
from outthink.driver import exact
from outthink.errors import StoreError, UsageError
from outthink.estimate import Floats, Integers, interval
from outthink.search import strategy
from outthink.store import Identity, Store
from outthink.study import Plan, Study, run, verifies
from outthink.types import AnyProposer, Engines, Problem

MODELS = ("lab:s", "lab:l")
VERIFIERS = ("lab:prm", "lab:orm", "none")
SERVED = ("http://", "https://")
"""How the name of a served model begins: an address, and #MODEL where the server has several."""
IN_PROCESS = "hf:"
"""How the name of a model of transformers begins: a folder or a name of the hub follows."""
REVISERS = ("lab:reviser", "lab:s", "lab:l")
REVISION_VERIFIERS = ("lab:revision", "lab:prm", "lab:orm", "none")


PARAMETERS = "proposer_parameters"
"""The setting of a store that tells how large its proposer is, where that is known."""


@runtime_checkable
class Sized(Protocol):
    """An engine that knows how large its model is."""

    @property
    def parameters_count(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Models:
    """Which engines to use, by the names `--model` and `--verifier` take."""

    proposer: str = MODELS[0]
    verifier: str = VERIFIERS[0]
    weights: Path | None = None
    """A folder of lab weights; `None` is what ships with the package."""
    reviser: str = REVISERS[0]
    """Who writes revisions: a model trained to, or any other, which is then merely shown what it
    wrote before."""
    revision_verifier: str = REVISION_VERIFIERS[0]
    most_tokens: int = 2048
    """Of one solution of a served model or one of transformers; one that needs more is
    truncated."""

    def load(self) -> Engines:
        """What searches use. Raises `UsageError` for an unknown name, `WeightsError` for weights
        that do not fit."""
        return self._engines(self.proposer, MODELS, self.verifier, VERIFIERS)

    def load_revision(self, beside: Engines | None = None) -> Engines:
        """What revisions use; raises as `load`. Without a reviser of its own, a served model
        revises what it wrote: the one in `beside`, where that is loaded."""
        reviser = self.reviser
        if reads_any_text(self.proposer) and reviser == REVISERS[0]:
            reviser = self.proposer
        loaded = beside if beside is not None and reviser == self.proposer else None
        verifier, verifiers = self.revision_verifier, REVISION_VERIFIERS
        return self._engines(reviser, REVISERS, verifier, verifiers, loaded)

    def _engines(
        self,
        proposer: str,
        proposers: Sequence[str],
        verifier: str,
        verifiers: Sequence[str],
        loaded: Engines | None = None,
    ) -> Engines:
        if proposer not in proposers and not reads_any_text(proposer):
            raise UsageError(
                f"unknown model {proposer!r}; this version runs {' and '.join(proposers)}, models "
                "of a server, as http://HOST:PORT, and of transformers, as hf:NAME"
            )
        if proposer.startswith(IN_PROCESS) and verifier not in VERIFIERS[:2]:
            return self._in_process(proposer, verifier, loaded)
        if verifier not in verifiers:
            raise UsageError(f"unknown verifier {verifier!r}; write one of {', '.join(verifiers)}")
        if reads_any_text(proposer):
            if verifier != "none":
                raise UsageError(
                    f"{verifier} reads the lab's task alone, not what {proposer} writes; give "
                    f"{'--verifier' if verifiers is VERIFIERS else '--revision-verifier'} none"
                )
            return loaded or Engines(_connected(proposer, self.most_tokens))
        # PyTorch takes a second to import, which reading a store again does not need.
        from outthink.lab.models import SHIPPED, LabModels

        models = LabModels(self.weights or SHIPPED)
        return Engines(
            models.proposer(proposer.removeprefix(source.LAB)),
            None if verifier == "none" else models.verifier(verifier.removeprefix(source.LAB)),
        )

    def _in_process(self, proposer: str, verifier: str, loaded: Engines | None) -> Engines:
        # transformers takes seconds to import, which nothing else needs.
        from outthink.hf.load import load
        from outthink.propose.hf import HFProposer
        from outthink.verify.trained import HFVerifier

        if verifier != "none" and not verifier.startswith(IN_PROCESS):
            raise UsageError(
                f"{verifier} does not read what {proposer} writes; give none, or hf:DIR of a "
                "verifier that 'outthink train' made from it"
            )
        writer = loaded.proposer if loaded else None
        if writer is None:
            found = load(proposer.removeprefix(IN_PROCESS))
            writer = HFProposer(found, replace(found.setting, most_tokens=self.most_tokens))
        reader = None if verifier == "none" else HFVerifier.load(verifier)
        if reader is not None and isinstance(writer, HFProposer) and not reader.reads(writer):
            raise UsageError(
                f"{verifier} has another tokenizer than {proposer}; give a verifier that "
                "'outthink train' made from it"
            )
        return Engines(writer, reader)


def is_served(name: str) -> bool:
    """Whether a model's name is the address of a server."""
    return name.startswith(SERVED)


def reads_any_text(name: str) -> bool:
    """Whether a model takes problems of any kind, not the lab's alone."""
    return is_served(name) or name.startswith(IN_PROCESS)


def _connected(name: str, most_tokens: int) -> AnyProposer:
    """The model at an address; see `OpenAIProposer.connect`."""
    # The HTTP client takes a while to import, which the lab does not need.
    from outthink.propose.openai import OpenAIProposer, Setting

    url, _, model = name.partition("#")
    return asyncio.run(OpenAIProposer.connect(url, model or None, setting=Setting(most_tokens)))


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is swept: everything that a store of it depends on."""

    problems: str
    """A problem file, or lab:STREAM?size=200&seed=0."""
    plan: Plan
    models: Models = Models()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Swept:
    """A finished sweep."""

    study: Study
    """Of the problems that have a reference; the others are in the store all the same."""
    identity: Identity
    problems: int
    """Problems asked, with a reference or without."""


@contextmanager
def swept(sweep: Sweep, store: Path | None, folder: Path | None = None) -> Iterator[Swept]:
    """A sweep, with whatever of it is missing in the store run first.

    Without `store`, the store is one of this sweep's own in `folder`, so that other sweeps do not
    get in its way.
    """
    require_verifier(sweep.models, sweep.plan.strategies)
    asked = source.read(sweep.problems, any_text=reads_any_text(sweep.models.proposer))
    engines = sweep.models.load()
    # Predicted difficulty is what a verifier thinks.
    plan = sweep.plan if engines.verifier else replace(sweep.plan, predicted_samples=0)
    revision = sweep.models.load_revision(engines) if revises(plan) else None
    settings = {"problems": sweep.problems, "problems_digest": source.digest(asked)}
    if isinstance(engines.proposer, Sized):
        settings[PARAMETERS] = str(engines.proposer.parameters_count)
    identity = Identity(
        engines.proposer.name,
        engines.verifier.name if engines.verifier else None,
        sweep.seed,
        {**settings, **_named(revision), **_settings(plan)},
    )
    if store is None:
        assert folder is not None
        store = folder / f"{_digest(identity)}.store"
    make_place(store)
    with Store.open(store, identity=identity, write=True) as opened:
        run(plan, asked, engines, revision, grader=exact, seed=sweep.seed, store=opened)
        yield _swept(plan, asked, opened, identity)


@contextmanager
def reopened(store: Path) -> Iterator[Swept]:
    """A sweep as its store holds it. Raises `StoreError` where it is another kind of store."""
    with Store.open(store, write=False) as opened:
        identity = opened.identity
        try:
            plan = _plan(identity.settings)
            wanted = identity.settings["problems_digest"]
        except (KeyError, ValueError) as error:
            raise StoreError(
                f"{store}: not made by 'outthink sweep'; sweep into a new store"
            ) from error
        asked = opened.problems()
        if source.digest(asked) != wanted:
            raise StoreError(
                f"{store}: its sweep is not finished, {len(asked)} problems so far; "
                "give the same 'outthink sweep' again, it goes on where it stopped"
            )
        yield _swept(plan, asked, opened, identity)


def accuracies(study: Study, bins: Integers | None = None) -> dict[str, Any]:
    """Accuracy of every strategy at every budget, by bin [P] too where bins are given.

    No rows where no problem has a reference: an accuracy that cannot be had is not 0.
    """
    graded = len(study.problems)
    if not graded:
        return {"graded": 0, "rows": []}
    grid = study.grid
    rows = []
    for name, accuracy in zip(grid.strategies, grid.accuracy, strict=True):
        for budget, values in zip(grid.budgets, accuracy, strict=True):
            if np.isnan(values).all():
                continue  # not run at this budget
            row = {"strategy": name, "budget": budget, **share(values)}
            if bins is not None:
                row["bins"] = [float(values[bins == number].mean()) for number in range(BINS)]
            usage = study.usage(name, budget)
            row["decoded_tokens_per_problem"] = usage.decoded_tokens / graded
            row["verifier_tokens_per_problem"] = usage.verifier_tokens / graded
            rows.append(row)
    return {"graded": graded, "rows": rows}


def share(values: Floats) -> dict[str, Any]:
    """The mean of values [P], one a problem, with its interval."""
    found = interval(values)
    return {"accuracy": found.mean, "low": found.low, "high": found.high}


def require_verifier(models: Models, strategies: tuple[str, ...]) -> None:
    """Raises `UsageError` where a strategy needs a verifier and there is none."""
    for name in strategies:
        verifier = models.revision_verifier if strategy(name).revises else models.verifier
        if verifier == "none" and verifies(name):
            raise UsageError(
                f"{name} needs a verifier; name one, or let majority be the only strategy"
            )


def revises(plan: Plan) -> bool:
    """Whether a plan needs a revision model."""
    return any(strategy(name).revises for name in plan.strategies)


def _named(revision: Engines | None) -> dict[str, str]:
    if revision is None:
        return {}
    verifier = revision.verifier.name if revision.verifier else "none"
    return {"reviser": revision.proposer.name, "revision_verifier": verifier}


def make_place(path: Path) -> None:
    """Make the folder that a file will be written into. Raises `UsageError` where that fails."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{path}: cannot make its folder ({error.strerror}); name another file"
        ) from error
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name a file")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{path}: its folder cannot be written; name another file")


def _swept(plan: Plan, asked: list[Problem], store: Store, identity: Identity) -> Swept:
    graded = tuple(problem for problem in asked if problem.reference is not None)
    return Swept(Study(plan, graded, store, exact), identity, len(asked))


def _settings(plan: Plan) -> dict[str, str]:
    """A plan as a store's identity holds it: one setting a line, so that a mismatch can be read."""
    return {
        "strategies": ";".join(plan.strategies),
        "budgets": ",".join(map(str, plan.budgets)),
        "pool": str(plan.pool),
        "oracle_samples": str(plan.oracle_samples),
        "difficulty_samples": str(plan.predicted_samples),
        "chains": str(plan.chains),
    }


def _plan(settings: Mapping[str, str]) -> Plan:
    return Plan(
        strategies=tuple(settings["strategies"].split(";")),
        budgets=tuple(map(int, settings["budgets"].split(","))),
        pool=int(settings["pool"]),
        oracle_samples=int(settings["oracle_samples"]),
        predicted_samples=int(settings["difficulty_samples"]),
        chains=int(settings["chains"]),
    )


def _digest(identity: Identity) -> str:
    """Eight hex digits that pin a sweep."""
    text = json.dumps(
        [identity.proposer, identity.verifier, identity.seed, *identity.settings.items()]
    )
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
