"""A verifier of your own: the fewer tokens a step has, the better. It reads token ids alone.

    outthink sweep 'lab:test?size=20' -o short.store --budgets 1,4 \
        --strategies 'majority,best_of_n' --verifier examples/short_is_good.py:short_is_good
"""

from outthink import Scores, Verified


class Short:
    """Scores each step by its length."""

    name = "short-is-good"

    def verify_batch(self, solutions):
        return [self._score(solution) for solution in solutions]

    def _score(self, solution):
        begins = (0, *solution.step_ends)
        lengths = [end - begin for begin, end in zip(begins, solution.step_ends, strict=False)]
        steps = tuple(1 / (1 + length) for length in lengths)
        return Verified(Scores(steps), computed_tokens=0, cached_tokens=0)


def short_is_good(proposer):
    """A verifier is made for the proposer whose solutions it reads."""
    return Short()
