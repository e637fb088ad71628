"""A search of your own: draw in small groups, and stop once the best score is high enough.

    outthink sweep 'lab:test?size=20' -o early.store --budgets 1,4,8 \
        --strategies 'best_of_n,examples/early_stop.py:early_stop(enough=0.9)'
"""

from outthink import END, Problem, Propose, Selection, Solution, Verify, describe


@describe(label="early stop", source="a score threshold", roles={"proposer", "verifier"})
def early_stop(problem: Problem, budget, *, group: int = 2, enough: float = 0.8):
    """Spends at most N generations: groups of `group` until a solution scores `enough`."""
    candidates, scores = [], []
    while len(candidates) < budget.generations:
        rows = min(group, budget.generations - len(candidates))
        drawn = yield Propose([Solution.start(problem)] * rows, until=END)
        candidates += drawn
        scores += yield Verify(drawn)
        if any(score.last is not None and score.last >= enough for score in scores):
            break
    return Selection()(candidates, scores)
