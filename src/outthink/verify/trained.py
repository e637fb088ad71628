"""A verifier that was trained here: a model of transformers that classifies tokens.

The score of a step is the probability of the second of two classes at the last token of the step,
which is how TRL's PRMTrainer reads it too. It reads the token ids of the proposer it was trained
with, so that one has to write with the same tokenizer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from outthink.costs import ModelShape
from outthink.hf.cache import KEPT_BYTES, Kept, Reader
from outthink.hf.load import HF, Loaded, load
from outthink.propose.hf import HFProposer, Turns
from outthink.types import Scores, Solution, Verified

RIGHT = 1
"""The class that says that a solution will end well."""


def places(prompt: int, step_ends: Sequence[int]) -> list[int]:
    """Where scores are read, and labels learnt, after a prompt of so many tokens."""
    return [prompt + end - 1 for end in step_ends]


def probabilities(logits: Tensor) -> Tensor:
    """[..., 2] -> [...]"""
    return logits.float().softmax(-1)[..., RIGHT]


class HFVerifier:
    """Scores every step of a solution; only what it has not read before is computed."""

    def __init__(self, loaded: Loaded, *, kept_bytes: int = KEPT_BYTES) -> None:
        self.name = loaded.name
        self._loaded = loaded
        self._reader = Reader(loaded, kept_bytes=kept_bytes)
        self._turns = Turns(loaded.tokenizer, loaded.setting)

    @classmethod
    def load(cls, name: str) -> HFVerifier:
        """By a folder or a name of the hub; raises as `outthink.hf.load.load`."""
        return cls(load(name.removeprefix(HF), scores=True))

    @property
    def parameters_count(self) -> int:
        return self._loaded.parameters_count

    @property
    def shape(self) -> ModelShape:
        """For the cost models."""
        return self._loaded.shape

    def reads(self, proposer: HFProposer) -> bool:
        """Whether it knows that proposer's token ids."""
        known: dict[str, int] = self._loaded.tokenizer.get_vocab()
        return known == proposer.vocabulary

    def verify(self, solutions: Sequence[Solution]) -> list[Verified]:
        """Scores in order. What it cannot read, being too long, has none."""
        prompts = [self._turns.prompt(s.problem.prompt, s.history) for s in solutions]
        known = [_known(solution) for solution in solutions]
        readable = [
            at
            for at, (solution, prompt) in enumerate(zip(solutions, prompts, strict=True))
            if solution.step_ends and len(prompt) + len(solution.tokens) <= self._loaded.context
        ]
        new = dict.fromkeys(prompts[at] for at in readable if known[at] is None)
        read = self._reader.read([(None, prompt) for prompt in new])
        starts = {prompt: kept for prompt, (kept, _) in zip(new, read, strict=True)}
        found = [Verified(Scores(), 0, 0)] * len(solutions)
        wanted: dict[int, tuple[Kept | None, Sequence[int]]] = {}
        for at in readable:
            verdict, tokens = known[at], solutions[at].tokens
            if verdict is None:
                wanted[at] = starts[prompts[at]], tokens
                continue
            fresh = tokens[verdict.kept.length - len(prompts[at]) :]
            if fresh:
                wanted[at] = verdict.kept, fresh
            else:
                found[at] = Verified(Scores(verdict.scores), 0, verdict.kept.length)
        read = self._reader.read(list(wanted.values()), every=True)
        for at, (kept, outputs) in zip(wanted, read, strict=True):
            found[at] = self._verified(solutions[at], len(prompts[at]), known[at], kept, outputs)
        return found

    def _verified(
        self, solution: Solution, prompt: int, verdict: _Verdict | None, kept: Kept, outputs: Tensor
    ) -> Verified:
        old = verdict.scores if verdict else ()
        fresh = len(outputs)
        # Counted from where these outputs begin.
        at = [place - (kept.length - fresh) for place in places(prompt, solution.step_ends)]
        scores = (*old, *probabilities(outputs[at[len(old) :]]).tolist())
        if solution.state is not None and solution.is_open and self._reader.may_keep(0):
            solution.state.verifier = _Verdict(kept, scores)
        computed = fresh + (0 if verdict else prompt)
        shared = 0 if verdict or solution.history else prompt
        return Verified(Scores(scores), computed, kept.length - computed, shared)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What was made of a solution so far."""

    kept: Kept
    scores: tuple[float, ...]


def _known(solution: Solution) -> _Verdict | None:
    known = solution.state.verifier if solution.state else None
    assert known is None or isinstance(known, _Verdict)
    return known
