"""Who answers a request: engines by the role that it names.

A search names roles and never models. Without a reviser, revisions are asked of the proposer and
scored by its verifier; without a judge, the proposer judges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from outthink.errors import UsageError
from outthink.models import in_process
from outthink.types import (
    JUDGE,
    PROPOSER,
    REVISER,
    REVISION_VERIFIER,
    VERIFIER,
    BatchProposer,
    BatchVerifier,
    Closes,
    Proposer,
    Verifier,
)


@dataclass(frozen=True, slots=True, eq=False)
class Team:
    """Engines by role. `Team.of` makes one of engines of any kind."""

    writers: Mapping[str, Proposer]
    verifiers: Mapping[str, Verifier] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        proposer: Proposer | BatchProposer,
        verifier: Verifier | BatchVerifier | None = None,
        *,
        reviser: Proposer | BatchProposer | None = None,
        revision_verifier: Verifier | BatchVerifier | None = None,
        **writers: Proposer | BatchProposer,
    ) -> Team:
        """A team of these engines; further keywords are further roles that write."""
        wanted = {PROPOSER: proposer, **({} if reviser is None else {REVISER: reviser}), **writers}
        scoring = {VERIFIER: verifier, REVISION_VERIFIER: revision_verifier}
        # An engine in two roles is one: its rows of both come in one call.
        write = {id(engine): in_process.proposer(engine) for engine in wanted.values()}
        score = {
            id(engine): in_process.verifier(engine)
            for engine in scoring.values()
            if engine is not None
        }
        return cls(
            {role: write[id(engine)] for role, engine in wanted.items()},
            {role: score[id(engine)] for role, engine in scoring.items() if engine is not None},
        )

    def writer(self, role: str) -> Proposer:
        """The engine that writes in this role. Raises `UsageError` where there is none."""
        if role not in self.writers and role in (REVISER, JUDGE):
            role = PROPOSER
        if role not in self.writers:
            raise UsageError(
                f"no model is named for role {role!r}, only for {', '.join(self.writers)}; name one"
            )
        return self.writers[role]

    def verifier(self, role: str) -> Verifier | None:
        """The engine that scores in this role; `None` where nobody does."""
        if role == REVISION_VERIFIER and role not in self.verifiers and REVISER not in self.writers:
            role = VERIFIER
        return self.verifiers.get(role)

    def engine_names(self) -> dict[str, str]:
        """The name of every engine by its role."""
        writers = {role: engine.name for role, engine in self.writers.items()}
        return writers | {role: engine.name for role, engine in self.verifiers.items()}

    async def aclose(self) -> None:
        """Let go of the engines' connections, which belong to one event loop; the next request
        makes new ones."""
        engines = [*self.writers.values(), *self.verifiers.values()]
        for engine in {id(engine): engine for engine in engines}.values():
            if isinstance(engine, Closes):
                await engine.aclose()
