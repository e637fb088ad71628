"""Engines by the names that a person types for them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from outthink.data import source
from outthink.errors import UsageError
from outthink.grade import EXACT, TOOLS, grading, is_judge
from outthink.models.asking import Asking, of_json
from outthink.models.local import LOCAL, is_local, serve
from outthink.plugin import is_plugin, load
from outthink.run.team import Team
from outthink.search import strategy
from outthink.study.plan import revises, verifies
from outthink.types import (
    JUDGE,
    LARGER,
    REVISER,
    TESTS,
    VERIFIER,
    BatchProposer,
    BatchVerifier,
    Proposer,
    Verifier,
)
from outthink.verify.named import FORMS, check, is_named, named, own, parts_of

if TYPE_CHECKING:
    from outthink.models.openai import Setting

MODELS = ("lab:s", "lab:l")
NONE = "none"
VERIFIERS = ("lab:prm", "lab:orm", NONE)
SERVED = ("http://", "https://")
"""How the name of a served model begins: an address, and #MODEL where the server has several. A
model of llama.cpp in this process (`propose.local`) is served too."""
AUTO = "auto"
"""Left to the model: of the lab's, the PRM, and the reviser with its verifier; of any other its own
confidence, which needs no second model, and itself."""
OWN_VERIFIER = "confidence"
MOST_TOKENS = 2048
_SECRET = re.compile(r"://[^/]*@")
IN_PROCESS = "hf:"
"""How the name of a model of transformers begins: a folder or a name of the hub follows."""
REVISERS = ("lab:reviser", "lab:s", "lab:l")
REVISION_VERIFIERS = ("lab:revision", "lab:prm", "lab:orm", NONE)
VARIANTS = ("lab:prm-soft", "lab:prm-hard", "lab:prm-once", "lab:revision-alone")
"""Verifiers of the lab that only ablations use."""


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
    larger: str = NONE
    """A larger model, for strategies that ask it, such as `greedy(by=larger)`."""
    judge: str = NONE
    """Who is asked in words about solutions, by strategies such as `genselect`; `NONE` is the
    proposer itself."""
    asking: Asking = field(default_factory=Asking)
    """How models of any text are asked; its `most_tokens` comes before the one above."""
    whole: bool = False
    """Ask servers for whole chats alone, even where they take token ids: for tools and formats of a
    reply."""

    def __post_init__(self) -> None:
        if self.asking.most_tokens is not None:
            object.__setattr__(self, "most_tokens", self.asking.most_tokens)
        own = reads_any_text(self.proposer)
        self._settle("verifier", OWN_VERIFIER if own else VERIFIERS[0])
        self._settle("reviser", self.proposer if own else REVISERS[0])
        own = reads_any_text(self.reviser)
        self._settle("revision_verifier", OWN_VERIFIER if own else REVISION_VERIFIERS[0])

    def _settle(self, role: str, usual: str) -> None:
        if getattr(self, role) == AUTO:
            object.__setattr__(self, role, usual)

    @property
    def spec(self) -> dict[str, str]:
        """What to type for the same again, by the names of the options; nothing of an address with
        a password in it, which is for nobody to keep."""
        named = {
            "model": self.proposer,
            "verifier": self.verifier,
            "reviser": self.reviser,
            "revision_verifier": self.revision_verifier,
            "larger": self.larger,
            "judge": self.judge,
        }
        if any(_SECRET.search(name) for name in named.values()):
            return {}
        more = {role: named.pop(role) for role in ("larger", "judge")}
        weights = {} if self.weights is None else {"weights": str(self.weights)}
        others = {role: name for role, name in more.items() if name != NONE}
        asking = {"asking": self.asking.as_json} if self.asking.given else {}
        return {**named, **weights, **others, **asking, "most_tokens": str(self.most_tokens)}

    @classmethod
    def of(cls, spec: Mapping[str, str]) -> Models:
        """The models of a `spec`; those that it does not name are the default ones."""
        known = dict(spec)
        weights = known.pop("weights", None)
        most_tokens = known.pop("most_tokens", None)
        asking = known.pop("asking", None)
        return cls(
            known.pop("model", MODELS[0]),
            known.pop("verifier", AUTO),
            None if weights is None else Path(weights),
            known.pop("reviser", AUTO),
            known.pop("revision_verifier", AUTO),
            MOST_TOKENS if most_tokens is None else int(most_tokens),
            larger=known.pop("larger", NONE),
            asking=Asking() if asking is None else of_json(asking),
            judge=known.pop("judge", NONE),
        )

    def team(self, roles: Collection[str], grader: str = EXACT) -> Team:
        """The engines that answer these roles; answers of a model of any text are found and written
        as `grader` has it.

        Raises `UsageError` for an unknown name, `WeightsError` for weights that do not fit.
        """
        self._check()
        proposer = self._writer(self.proposer, MODELS, grader)
        verifier = self._scorer(self.verifier, VERIFIERS, proposer)
        more = {LARGER: self._larger(grader)} if LARGER in roles else {}
        if JUDGE in roles and self.judge != NONE:
            more[JUDGE] = self._judge(grader, proposer)
        if TESTS in roles:
            from outthink.verify.executed import executed

            more[TESTS] = executed(verifier)
        if REVISER not in roles:
            return Team.of(proposer, verifier, reviser=None, revision_verifier=None, **more)
        is_same = self.reviser == self.proposer
        reviser = proposer if is_same else self._writer(self.reviser, REVISERS, grader)
        if is_same and self.revision_verifier == self.verifier:
            return Team.of(proposer, verifier, reviser=reviser, revision_verifier=verifier, **more)
        checker = self._scorer(self.revision_verifier, REVISION_VERIFIERS, reviser)
        return Team.of(proposer, verifier, reviser=reviser, revision_verifier=checker, **more)

    def _larger(self, grader: str) -> Proposer | BatchProposer:
        if self.larger == NONE:
            raise UsageError("a strategy asks a larger model and none is named; name one, --larger")
        if reads_any_text(self.larger) != reads_any_text(self.proposer):
            raise UsageError(
                f"{self.larger} does not read what {self.proposer} reads; name two models of the "
                "lab, or two of any text"
            )
        return self._writer(self.larger, MODELS, grader)

    def _judge(self, grader: str, proposer: Proposer | BatchProposer) -> Proposer | BatchProposer:
        if not reads_any_text(self.judge):
            raise UsageError(
                f"--judge {self.judge} knows nothing but its own task; name a model of any text, "
                "as local"
            )
        return proposer if self.judge == self.proposer else self._writer(self.judge, (), grader)

    def _check(self) -> None:
        """Raises `UsageError` for a verifier that cannot be had, before anything is loaded."""
        for name, known, writes in (
            (self.verifier, VERIFIERS, self.proposer),
            (self.revision_verifier, REVISION_VERIFIERS, self.reviser),
        ):
            if is_named(name):
                check(name)
            for part in parts_of(name):
                self._check_part(part, known, writes)

    def _check_part(self, name: str, known: Sequence[str], writes: str) -> None:
        if is_named(name):
            return
        if name not in (*known, *VARIANTS) and (name.startswith(source.LAB) or not is_plugin(name)):
            forms = ", ".join((*known, *FORMS))
            raise UsageError(
                f"unknown verifier {name!r}; write one of {forms}, or one of your own as "
                "my_module:my_verifier"
            )
        if name.startswith(source.LAB) and reads_any_text(writes):
            option = "--verifier" if known is VERIFIERS else "--revision-verifier"
            raise UsageError(
                f"{name} reads the lab's task alone, not what {writes} writes; give {option} "
                f"none, or one of {', '.join(FORMS)}"
            )

    def _writer(self, name: str, known: Sequence[str], grader: str) -> Proposer | BatchProposer:
        if reads_any_text(name):
            return writer(name, self.most_tokens, grader, self.asking, whole=self.whole)
        if lacking := self.asking.given.keys() - {"patience_s", "deadline_s"}:
            raise UsageError(
                f"{name} is asked in the lab's own way and cannot do "
                f"{', '.join(sorted(lacking))}; leave out, or name a model of any text"
            )
        if name not in known:
            raise UsageError(
                f"unknown model {name!r}; this version runs {' and '.join(known)}, models "
                f"of a server, as http://HOST:PORT, in process {LOCAL} or {LOCAL}:MODEL.gguf, and "
                "of transformers, as hf:NAME"
            )
        proposer: BatchProposer = self._lab.proposer(name.removeprefix(source.LAB))
        return proposer

    def _scorer(
        self, name: str, known: Sequence[str], proposer: Proposer | BatchProposer
    ) -> Verifier | BatchVerifier | None:
        if name == NONE:
            return None
        if is_named(name):
            return named(name, proposer, lambda part: self._part(part, known, proposer))
        if name in (*known, *VARIANTS):
            verifier: BatchVerifier = self._lab.verifier(name.removeprefix(source.LAB))
            return verifier
        return own(name, proposer)

    def _part(
        self, name: str, known: Sequence[str], proposer: Proposer | BatchProposer
    ) -> Verifier | BatchVerifier:
        """One verifier of a combination."""
        made = self._scorer(name, known, proposer)
        if made is None:
            raise UsageError(f"{name} scores nothing; leave it out of the combination")
        return made

    @property
    def _lab(self) -> Any:
        # Known by name, as a stranger's engines are: it brings PyTorch, which takes a second to
        # import and which reading a store again does not need.
        return load("outthink.lab.models:LabModels")(self.weights)


def is_served(name: str) -> bool:
    """Whether a model is spoken to over HTTP: an address, or one of this process."""
    return name.startswith(SERVED) or is_local(name)


def reads_any_text(name: str) -> bool:
    """Whether a model takes problems of any kind, not the lab's alone."""
    return is_served(name) or name.startswith(IN_PROCESS)


def writer(
    name: str,
    most_tokens: int,
    grader: str,
    asking: Asking = Asking(),  # noqa: B008 - frozen
    *,
    whole: bool = False,
) -> Proposer | BatchProposer:
    """The model of any text of that name, asked for answers of this grader's kind."""
    setting = asked(setting_of(name, most_tokens, grader), asking)
    read = grading(grader).read
    # The HTTP client takes a while to import, transformers takes seconds; the lab needs neither.
    if is_served(name):
        from outthink.models.openai import OpenAIProposer

        server = serve(name) if is_local(name) else None
        url, _, model = (server.url if server else name).partition("#")
        connecting = OpenAIProposer.connect(
            url,
            model or None,
            setting=setting,
            read=read,
            reader=grader,
            keep_alive=server,
            asking=asking,
            whole=whole,
        )
        return asyncio.run(connecting)
    require_in_process(name, asking)
    from outthink.models.transformers import HFProposer

    return HFProposer.load(name.removeprefix(IN_PROCESS), setting, read, grader)


def require_in_process(name: str, asking: Asking) -> None:
    """Raises `UsageError` for options that a model of transformers does not have."""
    lacking = [option for option in asking.given if option not in _IN_A_SETTING]
    if lacking:
        raise UsageError(
            f"{name} runs in this process, which cannot do {', '.join(lacking)}; leave out, or "
            "serve the model with vLLM or llama.cpp"
        )


_IN_A_SETTING = ("most_tokens", "delimiter", "system", "instruction", "patience_s", "deadline_s")


def asked(setting: Setting, asking: Asking) -> Setting:
    """A setting with the options that it has itself."""
    wording = setting.wording
    if asking.system is not None:
        wording = replace(wording, system=asking.system)
    if asking.instruction is not None:
        wording = replace(wording, question="{prompt}\n\n" + asking.instruction)
    return replace(setting, wording=wording, step_end=asking.delimiter or setting.step_end)


def setting_of(name: str, most_tokens: int, grader: str) -> Setting:
    """How a model of any text is asked: as it was trained here to be, or as its problems need."""
    from outthink.models.about import about
    from outthink.models.openai import PLAIN, PROGRAMS, Setting, Wording

    told = about(name.removeprefix(IN_PROCESS))
    if told.trained_for is not None:
        return replace(told.setting, most_tokens=most_tokens)
    if grader in _AS_ASKED or grader.startswith(TOOLS) or is_judge(grader):
        return Setting(most_tokens, wording=PLAIN)
    return Setting(most_tokens, wording=PROGRAMS if grader == "code" else Wording())


_AS_ASKED = ("text", "json", "tools")
"""Graders of answers to what is no problem with a final answer: nothing is added to the prompt."""


def require_verifier(models: Models, strategies: tuple[str, ...]) -> None:
    """Raises `UsageError` where a strategy needs a verifier and there is none."""
    for name in strategies:
        verifier = models.revision_verifier if revises(name) else models.verifier
        if verifier == NONE and strategy(name).about.roles is not None and verifies(name):
            raise UsageError(
                f"{name} needs a verifier; name one, or let majority be the only strategy"
            )


def require_words(models: Models, strategies: Sequence[str]) -> None:
    """Raises `UsageError` where a strategy asks a model in words that knows its own task alone."""
    named = {REVISER: models.reviser, LARGER: models.larger}
    named |= {} if models.judge == NONE else {JUDGE: models.judge}
    for name in strategies:
        asked = [named.get(role, models.proposer) for role in sorted(strategy(name).about.words)]
        deaf = next((one for one in asked if one != NONE and not reads_any_text(one)), None)
        if deaf is not None:
            raise UsageError(
                f"{name} asks a model in words, and {deaf} knows nothing but its own task; "
                f"{_in_place(name)}name a model of any text, as --model local"
            )


def _in_place(name: str) -> str:
    """The same search by a verifier's scores, where it has a way to ask no one in words."""
    scored = f"{name.partition('(')[0]}(by={VERIFIER})"
    try:
        return "" if strategy(scored).about.words else f"write {scored}, or "
    except UsageError:
        return ""
