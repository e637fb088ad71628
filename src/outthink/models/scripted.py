"""A proposer without a model: what it writes follows from the seed of each draw alone.

It ships so that users can test their own searches and verifiers. Steps are numbered lines, every
solution has one to `max_steps` of them, and the answer is right with probability `skill` a step.
Made to think, it thinks a step at a time. Asked in words, it judges by chance, in the form that it
is asked for. `mischief` makes it write what real models write: empty, truncated and unparsable
solutions, and judgements that cannot be read.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from outthink.types import Draw, Drawn, Problem, Scores, Solution, State, Verified

STEP_END = 10
SOLUTION_END = 0
_STEP_TOKENS = 3
_PROMPT_TOKENS = 5
_LETTERS = 1 << 16
"""Token id of the first letter of what is in words."""
_LEFT, _RIGHT = 1, 2
"""First token of a wrong and of a right step."""


@dataclass(frozen=True, slots=True)
class ScriptedProposer:
    """Steps of three tokens; the second step and later cost the same as the first."""

    max_steps: int = 4
    skill: float = 0.7
    mischief: float = 0.0
    """Share of draws that misbehave, at the end of a step: an empty, cut or unparsable end."""
    name: str = "scripted"

    def propose_batch(self, draws: Sequence[Draw]) -> list[Drawn]:
        return [self._extend(draw) for draw in draws]

    def decode(self, tokens: Sequence[int]) -> str:
        if tokens and min(tokens) >= _LETTERS:
            return "".join(chr(token - _LETTERS) for token in tokens)
        return " ".join(map(str, tokens)).replace(f" {STEP_END}", "\n")

    def _judge(self, draw: Draw) -> Drawn:
        """A judgement: its form is the last line of the prompt."""
        problem = draw.prefix.problem
        rng = random.Random(f"{problem.prompt} {draw.seed if draw.temperature else 0}")
        count = problem.prompt.count("\nSolution ")
        form = problem.prompt.rpartition(" X is ")[2]
        says = {
            "right or wrong.": rng.choice(["right", "wrong"]),
            "1, 2 or same.": rng.choice(["1", "2", "same"]),
            "the number of that solution.": str(rng.randrange(count) + 1 if count else 0),
        }
        marks = ", ".join(str(rng.randrange(11)) for _ in range(count))
        text = f"Let me see.\nJudgement: {says.get(form, marks)}"
        kind = rng.randrange(3) if rng.random() < self.mischief else None
        if kind is not None:
            text = ("I cannot say.", text[:-1], "")[kind]
        tokens = tuple(_LETTERS + ord(letter) for letter in text)
        ends = (len(tokens),) if tokens else ()
        solution = Solution(problem, tokens, ends, kind != 1, kind == 1)
        return Drawn(solution, _PROMPT_TOKENS + count, 0, len(tokens))

    def _extend(self, draw: Draw) -> Drawn:
        prefix = draw.prefix
        if prefix.problem.framing.bare:
            return self._judge(draw)
        tokens, ends = list(prefix.tokens), list(prefix.step_ends)
        wanted = 1 + random.Random(prefix.problem.id).randrange(self.max_steps)
        finished = truncated = False
        garbled = False
        steps = 0
        thinks = draw.force is not None and draw.force.end is not None
        until = 1 if thinks else draw.until
        while until is None or steps < until:
            # Greedy follows no seed: the same prefix always goes on in the same way.
            seed = (0, tuple(tokens)) if draw.temperature == 0 else (draw.seed, len(tokens))
            rng = random.Random(hash(seed))
            if rng.random() < self.mischief:
                kind = rng.randrange(3)
                finished, truncated, garbled = kind != 1, kind == 1, kind == 2
                tokens.append(SOLUTION_END if finished else _LEFT)
                break
            right = draw.temperature == 0 or rng.random() < self.skill
            tokens += [_RIGHT if right else _LEFT, 3 + rng.randrange(7), STEP_END]
            ends.append(len(tokens))
            steps += 1
            if len(ends) >= wanted:
                finished = True
                tokens.append(SOLUTION_END)
                break
        if thinks:
            finished = truncated = False
        answer = None
        if finished and ends and not garbled:
            firsts = tokens[0 : ends[-1] : _STEP_TOKENS]
            wrong = [index for index, token in enumerate(firsts) if token == _LEFT]
            answer = "right" if not wrong else f"wrong at {wrong[0]}"
        solution = Solution(
            prefix.problem,
            tuple(tokens),
            tuple(ends),
            finished,
            truncated,
            answer,
            state=None if finished or truncated else State(proposer=len(tokens)),
        )
        context = _PROMPT_TOKENS + sum(map(len, prefix.history)) + len(prefix.tokens)
        fork = prefix.state is not None
        decoded = len(tokens) - len(prefix.tokens)
        return Drawn(solution, 0 if fork else context, context if fork else 0, decoded)


def scripted_problems(count: int) -> list[Problem]:
    """Problems whose right answer is the word `right`."""
    return [Problem(f"p{number}", f"problem {number}", "right") for number in range(count)]


@dataclass(frozen=True, slots=True)
class ScriptedVerifier:
    """Scores right prefixes high and others low, with noise from the tokens alone."""

    noise: float = 0.2
    silence: float = 0.0
    """Share of solutions for which nothing comes back."""
    name: str = "scripted"

    def verify_batch(self, solutions: Sequence[Solution]) -> list[Verified]:
        return [self._score(solution) for solution in solutions]

    def _score(self, solution: Solution) -> Verified:
        if not solution.steps or random.Random(hash(solution.tokens)).random() < self.silence:
            return Verified(Scores(), 0, 0)
        scores: list[float | None] = []
        for end in solution.step_ends:
            prefix = solution.tokens[:end]
            clean = _LEFT not in prefix[::_STEP_TOKENS]
            noise = random.Random(hash(prefix)).random() * self.noise
            scores.append(1 - noise if clean else noise)
        kept = solution.state.verifier if solution.state else None
        known = kept if isinstance(kept, int) else 0
        if solution.state is not None:
            solution.state.verifier = len(solution.tokens)
        return Verified(Scores(tuple(scores)), len(solution.tokens) - known, known)
