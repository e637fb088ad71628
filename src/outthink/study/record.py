"""What was asked of a store last: which sweep its figures are of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from outthink.errors import StoreError
from outthink.run.journal import Writer
from outthink.run.store import Store, team_json
from outthink.study.plan import Plan
from outthink.types import PROPOSER, REVISER, REVISION_VERIFIER, VERIFIER

META = "sweep"
"""The remark under which the last sweep is kept; every sweep is, with its digest behind it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A sweep as its store remembers it. What was paid for does not depend on it."""

    plan: Plan
    problems: str
    """What was typed for the problems."""
    problem_ids: tuple[str, ...]
    problems_digest: str
    team: Mapping[str, Writer | str]
    """Who answers each role."""
    grader: str
    seed: int
    spec: Mapping[str, str] = field(default_factory=dict)
    """What was typed for the models (`Models.spec`), empty where that is not known."""
    parameters: int | None = None
    """Of the proposer, where that is known."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Parameters of the model in each role, where they are known."""
    imported: tuple[str, ...] = ()
    """Where samples that were imported come from, and what to know of them, in sentences. All that
    is known of their costs is how many samples there are, and perhaps tokens that were written."""
    counted: bool = True
    """Whether it is known of every sample how many tokens were written; where not, the counts of
    the store stand for nothing."""

    @property
    def proposer(self) -> str:
        """The name of who writes."""
        who = self.team[PROPOSER]
        return who.name if isinstance(who, Writer) else who

    @property
    def verifier(self) -> str | None:
        """The name of who scores; `None` where nobody does."""
        return self._name(VERIFIER)

    @property
    def reviser(self) -> str | None:
        """The name of who revises; `None` where no strategy needs one."""
        return self._name(REVISER)

    @property
    def revision_verifier(self) -> str | None:
        """The name of who scores revisions; `None` where nobody does."""
        return self._name(REVISION_VERIFIER)

    def _name(self, role: str) -> str | None:
        who = self.team.get(role)
        return who.name if isinstance(who, Writer) else who

    @property
    def digest(self) -> str:
        """Sixteen hex digits of what was typed, and for which problems."""
        return typed(self.plan, self.problems_digest, self.grader, self.spec, self.seed)

    def write(self, store: Store) -> None:
        """Remember it as what was asked last, and among all that was asked."""
        wire = {
            **{name: getattr(self, name) for name in _PLAIN},
            "plan": asdict(self.plan),
            "team": json.loads(team_json(self.team)),
            "words": dict(self.spec),
            "sizes": dict(self.sizes),
            **({"imported": self.imported, "counted": self.counted} if self.imported else {}),
        }
        store.set_meta(META, json.dumps(wire))
        store.set_meta(f"{META} {self.digest}", json.dumps(wire))

    @classmethod
    def read(cls, store: Store) -> Asked:
        """What was asked last. Raises `StoreError` where no sweep made the store."""
        text = store.get_meta(META)
        if text is None:
            raise StoreError(f"{store.path}: not made by 'outthink sweep'; sweep into a new store")
        return cls._parse(text)

    @classmethod
    def find(cls, store: Store, digest: str) -> Asked | None:
        """The sweep of this digest, if it was ever asked for."""
        text = store.get_meta(f"{META} {digest}")
        return None if text is None else cls._parse(text)

    @classmethod
    def all(cls, store: Store) -> list[Asked]:
        """Every sweep that was asked for."""
        return [cls._parse(text) for text in store.metas(f"{META} ").values()]

    @classmethod
    def _parse(cls, text: str) -> Asked:
        wire: dict[str, Any] = json.loads(text)
        plan = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in wire.pop("plan").items()
        }
        team = {
            role: Writer(*who) if isinstance(who, list) else who
            for role, who in wire.pop("team").items()
        }
        ids = tuple(wire.pop("problem_ids"))
        imported = tuple(wire.pop("imported", ()))
        spec = wire.pop("words", {})
        return cls(Plan(**plan), problem_ids=ids, team=team, spec=spec, imported=imported, **wire)  # type: ignore[arg-type]


def typed(plan: Plan, problems_digest: str, grader: str, spec: Mapping[str, str], seed: int) -> str:
    """Sixteen hex digits of what was typed for a sweep."""
    asked = asdict(plan)
    if not plan.stages:  # as it was before there were any
        del asked["stages"], asked["trials"]
    text = json.dumps([asked, problems_digest, grader, dict(spec), seed])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


_PLAIN = ("problems", "problem_ids", "problems_digest", "grader", "seed", "parameters")
