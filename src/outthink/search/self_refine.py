"""Self-Refine: answer, say what is wrong with the answer, mend it, and stop when nothing is.

Madaan et al. 2023, arXiv 2303.17651, algorithm 1. Feedback is in words, or a verifier's score, for
models that write nothing but solutions, or what came of running a program (Self-Debug, Chen et al.
2023, arXiv 2304.05128).
"""

from __future__ import annotations

import math
from dataclasses import replace

from outthink.errors import UsageError
from outthink.search.describe import describe
from outthink.search.feedback import Chain, by_scores, by_tests, in_words, refined, revised
from outthink.search.select import MAJORITY, WEIGHTED_LAST
from outthink.search.words import note
from outthink.types import (
    END,
    JUDGE,
    PROPOSER,
    REVISER,
    REVISION_VERIFIER,
    TESTS,
    VERIFIER,
    Budget,
    Problem,
    Propose,
    Search,
    Solution,
    Verify,
)


def _roles(by: str, **_: object) -> set[str]:
    return {REVISER, REVISION_VERIFIER} if by == VERIFIER else {PROPOSER, REVISER, by}


@describe(
    label="self-refine",
    source="Madaan et al. 2023, arXiv 2303.17651",
    roles=_roles,
    words=lambda by, **_: set() if by == VERIFIER else {by, REVISER} - {TESTS},
)
def self_refine(
    problem: Problem, budget: Budget, *, rounds: int = 4, by: str = JUDGE, sure: float = 0.9
) -> Search:
    """Spends N generations on chains of an answer and at most `rounds` refinements. What a chain
    leaves that stops earlier goes to further chains. The last answers of all chains vote.

    `by` is the role that gives feedback. With `verifier` an answer is right whose score is `sure`
    or above, a reviser is shown the answers before it, and votes are weighted by scores. With
    `tests` programs are run against given tests, and those that pass all of them vote alone.
    """
    if rounds < 0 or not 0 <= sure <= 1:
        raise UsageError(
            f"self_refine rounds={rounds}, sure={sure:g}; give 0 rounds or more, and a score"
        )
    scored = by == VERIFIER
    left, said = budget.generations, list[bool | None]()
    chains, going = list[Chain](), list[Chain]()
    while left:
        if not going:  # 1. Answer.
            starts = [Solution.start(problem)] * math.ceil(left / (rounds + 1))
            drafts = yield Propose(starts, until=END, role=REVISER if scored else PROPOSER)
            going = [Chain([draft]) for draft in drafts]
            chains += going
            left -= len(drafts)
        # 2. Feedback, on what may still be refined.
        going = [chain for chain in going if len(chain.answers) <= rounds][:left]
        if scored:
            yield from by_scores(going, sure)
        else:
            yield from by_tests(going) if by == TESTS else in_words(going, by)
        said += [chain.right for chain in going]
        # 3. Refine, unless the feedback is that it is right.
        going = [chain for chain in going if not chain.right]
        new = yield from revised(going) if scored else refined(going)
        for chain, solution in zip(going, new, strict=True):
            chain.answers.append(solution)
        left -= len(new)
    last = [chain.last for chain in chains]
    if scored:
        return WEIGHTED_LAST(last, (yield Verify(last, role=REVISION_VERIFIER)))
    if by == TESTS:  # Running the newest ones too costs no generation.
        yield from by_tests(chains)
        return MAJORITY([chain.answers[-1] for chain in chains if chain.right] or last)
    told = note(said, "their answers were refined all the same")
    return replace(MAJORITY(last), note=told)
