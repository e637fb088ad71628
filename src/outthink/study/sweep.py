"""A sweep: a plan run over the problems and models that words name, into a store, and read back.

Here the names that a person types become engines, problems and files; everything below is free of
them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from outthink.data import source
from outthink.errors import StoreError, UsageError
from outthink.grade import EXACT, Grading, grading
from outthink.measure.arrays import Floats, Integers
from outthink.measure.difficulty import BINS
from outthink.measure.intervals import interval
from outthink.models.local import LOCAL, is_local, serve
from outthink.run.store import Identity, Store
from outthink.search import strategy
from outthink.study.plan import Plan, Study, run, run_async, verifies
from outthink.study.results import Accuracy
from outthink.types import AnyProposer, Engines, Problem
from outthink.verify.named import FORMS, check, is_named, named

if TYPE_CHECKING:
    from outthink.models.openai import Setting

MODELS = ("lab:s", "lab:l")
VERIFIERS = ("lab:prm", "lab:orm", "none")
SERVED = ("http://", "https://")
"""How the name of a served model begins: an address, and #MODEL where the server has several. A
model of llama.cpp in this process (`propose.local`) is served too."""
AUTO = "auto"
"""Left to the model: of the lab's, the PRM, and the reviser with its verifier; of any other its own
confidence, which needs no second model, and itself."""
OWN_VERIFIER = "confidence"
MOST_TOKENS = 2048
_WORDS = "models"
"""The remark in a store that tells what was typed for its models."""
_SECRET = re.compile(r"://[^/]*@")
IN_PROCESS = "hf:"
"""How the name of a model of transformers begins: a folder or a name of the hub follows."""
REVISERS = ("lab:reviser", "lab:s", "lab:l")
REVISION_VERIFIERS = ("lab:revision", "lab:prm", "lab:orm", "none")
VARIANTS = ("lab:prm-soft", "lab:prm-hard", "lab:prm-once", "lab:revision-alone")
"""Verifiers of the lab that only ablations use."""


PARAMETERS = "proposer_parameters"
"""The setting of a store that tells how large its proposer is, where that is known."""

GRADER = "grader"
"""The setting that tells what judges its answers, and finds those of served models. A store without
it holds answers that have one way to be written."""


@runtime_checkable
class Sized(Protocol):
    """An engine that knows how large its model is."""

    @property
    def parameters_count(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Models:
    """Which engines to use, by the names `--model` and `--verifier` take."""

    proposer: str = MODELS[0]
    verifier: str = AUTO
    weights: Path | None = None
    """A folder of lab weights; `None` is what ships with the package."""
    reviser: str = AUTO
    """Who writes revisions: a model trained to, or any other, which is then merely shown what it
    wrote before."""
    revision_verifier: str = AUTO
    most_tokens: int = MOST_TOKENS
    """Of one solution of a served model or one of transformers; one that needs more is
    truncated."""

    def __post_init__(self) -> None:
        own = reads_any_text(self.proposer)
        self._settle("verifier", OWN_VERIFIER if own else VERIFIERS[0])
        self._settle("reviser", self.proposer if own else REVISERS[0])
        own = reads_any_text(self.reviser)
        self._settle("revision_verifier", OWN_VERIFIER if own else REVISION_VERIFIERS[0])

    def _settle(self, role: str, usual: str) -> None:
        if getattr(self, role) == AUTO:
            object.__setattr__(self, role, usual)

    @property
    def words(self) -> dict[str, str]:
        """What to type for the same again, by the names of the options; nothing of an address with
        a password in it, which is for nobody to keep."""
        named = {
            "model": self.proposer,
            "verifier": self.verifier,
            "reviser": self.reviser,
            "revision_verifier": self.revision_verifier,
        }
        if any(_SECRET.search(name) for name in named.values()):
            return {}
        weights = {} if self.weights is None else {"weights": str(self.weights)}
        return {**named, **weights, "most_tokens": str(self.most_tokens)}

    @classmethod
    def of(cls, words: Mapping[str, str]) -> Models:
        """The models of such words; those that are not among them are as usual."""
        known = dict(words)
        weights = known.pop("weights", None)
        most_tokens = known.pop("most_tokens", None)
        return cls(
            known.pop("model", MODELS[0]),
            known.pop("verifier", AUTO),
            None if weights is None else Path(weights),
            known.pop("reviser", AUTO),
            known.pop("revision_verifier", AUTO),
            MOST_TOKENS if most_tokens is None else int(most_tokens),
        )

    def load(self, grader: str = EXACT) -> Engines:
        """What searches use; answers of a model of any text are found and written as `grader` has
        it.

        Raises `UsageError` for an unknown name, `WeightsError` for weights that do not fit.
        """
        return self._engines(self.proposer, MODELS, self.verifier, VERIFIERS, grader)

    def load_revision(self, beside: Engines | None = None, grader: str = EXACT) -> Engines:
        """What revisions use; raises as `load`. A model that revises what it wrote is the one in
        `beside`, where that is loaded with the same grader."""
        loaded = beside if beside is not None and self.reviser == self.proposer else None
        verifier, verifiers = self.revision_verifier, REVISION_VERIFIERS
        return self._engines(self.reviser, REVISERS, verifier, verifiers, grader, loaded)

    def _engines(
        self,
        proposer: str,
        proposers: Sequence[str],
        verifier: str,
        verifiers: Sequence[str],
        grader: str,
        loaded: Engines | None = None,
    ) -> Engines:
        if proposer not in proposers and not reads_any_text(proposer):
            raise UsageError(
                f"unknown model {proposer!r}; this version runs {' and '.join(proposers)}, models "
                f"of a server, as http://HOST:PORT, in process {LOCAL} or {LOCAL}:MODEL.gguf, and "
                "of transformers, as hf:NAME"
            )
        if is_named(verifier):
            check(verifier)
        elif verifier not in (*verifiers, *VARIANTS):
            forms = ", ".join((*verifiers, *FORMS))
            raise UsageError(f"unknown verifier {verifier!r}; write one of {forms}")
        if reads_any_text(proposer):
            if verifier != "none" and not is_named(verifier):
                raise UsageError(
                    f"{verifier} reads the lab's task alone, not what {proposer} writes; give "
                    f"{'--verifier' if verifiers is VERIFIERS else '--revision-verifier'} none, or "
                    f"one of {', '.join(FORMS)}"
                )
            if loaded is not None and verifier == self.verifier:
                return loaded
            writes = loaded.proposer if loaded else writer(proposer, self.most_tokens, grader)
            return Engines(writes, None if verifier == "none" else named(verifier, writes))
        # PyTorch takes a second to import, which reading a store again does not need.
        from outthink.lab.models import SHIPPED, LabModels

        models = LabModels(self.weights or SHIPPED)
        of_lab = models.proposer(proposer.removeprefix(source.LAB))
        if is_named(verifier):
            return Engines(of_lab, named(verifier, of_lab))
        return Engines(
            of_lab,
            None if verifier == "none" else models.verifier(verifier.removeprefix(source.LAB)),
        )


def is_served(name: str) -> bool:
    """Whether a model is spoken to over HTTP: an address, or one of this process."""
    return name.startswith(SERVED) or is_local(name)


def reads_any_text(name: str) -> bool:
    """Whether a model takes problems of any kind, not the lab's alone."""
    return is_served(name) or name.startswith(IN_PROCESS)


def writer(name: str, most_tokens: int, grader: str) -> AnyProposer:
    """The model of any text of that name, asked for answers of this grader's kind."""
    setting, read = setting_of(name, most_tokens, grader), grading(grader).read
    # The HTTP client takes a while to import, transformers takes seconds; the lab needs neither.
    if is_served(name):
        from outthink.models.openai import OpenAIProposer

        held = serve(name) if is_local(name) else None
        url, _, model = (held.url if held else name).partition("#")
        connecting = OpenAIProposer.connect(
            url, model or None, setting=setting, read=read, held=held
        )
        return asyncio.run(connecting)
    from outthink.models.transformers import HFProposer

    return HFProposer.load(name.removeprefix(IN_PROCESS), setting, read)


def setting_of(name: str, most_tokens: int, grader: str) -> Setting:
    """How a model of any text is asked: as it was trained here to be, or as its problems need."""
    from outthink.models.about import about
    from outthink.models.openai import PROGRAMS, Setting, Wording

    told = about(name.removeprefix(IN_PROCESS))
    if told.trained_for is not None:
        return replace(told.setting, most_tokens=most_tokens)
    return Setting(most_tokens, wording=PROGRAMS if grader == "code" else Wording())


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is swept: everything that a store of it depends on."""

    problems: str
    """Where they come from, as `outthink.data.source` reads it; their grader comes with them."""
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
    words: Mapping[str, str]
    """What was typed for the models (`Models.words`), empty where that is not known."""


@contextmanager
def swept(sweep: Sweep, store: Path | None, folder: Path | None = None) -> Iterator[Swept]:
    """A sweep, with whatever of it is missing in the store run first.

    Without `store`, the store is one of this sweep's own in `folder`, so that other sweeps do not
    get in its way.
    """
    ready = _ready(sweep)
    with ready.opened(store, folder) as opened:
        run(*ready.asked, grader=ready.judge.grade, seed=sweep.seed, store=opened)
        yield ready.swept(opened)


@asynccontextmanager
async def swept_async(sweep: Sweep, store: Path) -> AsyncIterator[Swept]:
    """The same beside whatever else an event loop does."""
    ready = await asyncio.to_thread(_ready, sweep)
    with ready.opened(store) as opened:
        await run_async(*ready.asked, grader=ready.judge.grade, seed=sweep.seed, store=opened)
        yield ready.swept(opened)


@dataclass(frozen=True, slots=True)
class _Ready:
    """A sweep with everything that its words name."""

    plan: Plan
    problems: Sequence[Problem]
    engines: Engines
    revision: Engines | None
    judge: Grading
    identity: Identity
    words: Mapping[str, str]

    @property
    def asked(self) -> tuple[Plan, Sequence[Problem], Engines, Engines | None]:
        return self.plan, self.problems, self.engines, self.revision

    @contextmanager
    def opened(self, store: Path | None, folder: Path | None = None) -> Iterator[Store]:
        """Its store; without `store` one of its own in `folder`."""
        if store is None:
            assert folder is not None
            store = folder / f"{_digest(self.identity)}.store"
        make_place(store)
        with Store.open(store, identity=self.identity, write=True) as opened:
            opened.note(_WORDS, json.dumps(self.words))
            yield opened

    def swept(self, store: Store) -> Swept:
        return _swept(self.plan, self.problems, store, self.identity)


def _ready(sweep: Sweep) -> _Ready:
    require_verifier(sweep.models, sweep.plan.strategies)
    asked = source.read(sweep.problems)
    writers = [sweep.models.proposer, *([sweep.models.reviser] if revises(sweep.plan) else [])]
    if not all(map(reads_any_text, writers)):
        source.require_lab(asked, sweep.problems)
    judge = grading(asked.grader)
    judge.require()
    engines = sweep.models.load(judge.name)
    plan = sweep.plan
    revision = sweep.models.load_revision(engines, judge.name) if revises(plan) else None
    settings = {"problems": sweep.problems, "problems_digest": source.digest(asked)}
    if judge.name != EXACT:
        settings[GRADER] = judge.name
    if isinstance(engines.proposer, Sized):
        settings[PARAMETERS] = str(engines.proposer.parameters_count)
    identity = Identity(
        engines.proposer.name,
        engines.verifier.name if engines.verifier else None,
        sweep.seed,
        {**settings, **_named(revision), **_settings(plan)},
    )
    return _Ready(plan, asked, engines, revision, judge, identity, sweep.models.words)


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
        jobs = {(j.problem.id, j.strategy, j.budget, j.stream) for j in plan.jobs(asked)}
        finished = opened.counts().finished_jobs
        if source.digest(asked) != wanted or finished < len(jobs):
            raise StoreError(
                f"{store}: its sweep is not finished, {finished} searches so far; "
                "give the same 'outthink sweep' again, it goes on where it stopped"
            )
        yield _swept(plan, asked, opened, identity)


def accuracies(study: Study, bins: Integers | None = None) -> tuple[Accuracy, ...]:
    """Accuracy of every strategy at every budget, by bin [P] too where bins are given.

    Nothing where no problem has a reference: an accuracy that cannot be had is not 0.
    """
    graded = len(study.problems)
    if not graded:
        return ()
    grid = study.grid
    rows = []
    for name, accuracy in zip(grid.strategies, grid.accuracy, strict=True):
        for budget, values in zip(grid.budgets, accuracy, strict=True):
            if np.isnan(values).all():
                continue  # not run at this budget
            usage = study.usage(name, budget)
            read = usage.verifier_tokens + usage.verifier_cached_tokens
            rows.append(
                Accuracy(
                    strategy=name,
                    budget=budget,
                    accuracy=interval(values),
                    decoded_tokens=usage.decoded_tokens / graded,
                    verifier_tokens=usage.verifier_tokens / graded,
                    verifier_computed=usage.verifier_tokens / read if read else None,
                    bins=None if bins is None else _by_bin(values, bins),
                )
            )
    return tuple(rows)


def _by_bin(values: Floats, bins: Integers) -> tuple[float, ...]:
    return tuple(float(values[bins == number].mean()) for number in range(BINS))


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


def _swept(plan: Plan, asked: Sequence[Problem], store: Store, identity: Identity) -> Swept:
    graded = tuple(problem for problem in asked if problem.reference is not None)
    grader = grading(identity.settings.get(GRADER, EXACT)).grade
    words: Mapping[str, str] = json.loads(store.noted(_WORDS) or "{}")
    return Swept(Study(plan, graded, store, grader), identity, len(asked), words)


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
