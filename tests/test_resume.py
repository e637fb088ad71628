"""Interrupt it at any commit: the next run asks for what is missing, and comes to the same."""

import sqlite3
from contextlib import closing

import pytest
from contract import Counted, problems, run_all
from test_runner import facts

from outthink.errors import StoreError
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.run.journal import Job
from outthink.run.store import Store
from outthink.run.store.codec import unpack_lists
from outthink.search import strategy
from outthink.types import Budget

STRATEGIES = (
    "majority",
    "best_of_n",
    "beam(width=2)",
    "lookahead(depth=2)",
    "revise(sequential=3)",
)
PROBLEMS, BUDGET, ROWS = 3, 8, 16


def engines():
    return Counted(ScriptedProposer(mischief=0.1)), Counted(ScriptedVerifier(silence=0.1))


def sweep(journal, name, proposer, verifier):
    jobs = [Job(problem, strategy(name), Budget(BUDGET)) for problem in problems(PROBLEMS)]
    return facts(run_all(jobs, proposer, verifier, journal=journal, rows_in_flight=ROWS))


def recorded(path):
    """How many draws and scores a store holds, and the trees and outcomes of finished searches."""
    with Store.open(path, write=False) as store:
        view = store.view()
        trees = [view.tree(problem, *rest) for problem, *rest in sorted(view.finished())]
        outcomes = {(outcome.problem_id, outcome.strategy): outcome for outcome in view.outcomes()}
        assert [tree.outcome for tree in trees] == [outcomes[key] for key in sorted(outcomes)]
        counts = store.counts()
        assert counts.searches == len(trees)
        return counts.draws, counts.scores, trees


def tokens_held(path):
    """Tokens that the file spells out: a solution is to add those past its prefix alone."""
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT tokens, rows FROM draw").fetchall()
    return sum(len(own) for packed in rows for own in unpack_lists(*packed))


class Crash(Exception):
    pass


class Crashing:
    """A store whose process ends at its n-th commit: just before it, or just after."""

    keeps = True

    def __init__(self, store, at, after):
        self.store, self.left, self.after = store, at, after
        self.book, self.verdict = store.book, store.verdict
        self.keep_verdict = store.keep_verdict

    def commit(self):
        if self.left > 0 or (self.left == 0 and self.after):
            self.store.commit()
        self.left -= 1
        if self.left < 0:
            raise Crash


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_resume_after_a_crash_at_any_commit(tmp_path, name, after):
    path = tmp_path / "whole.store"
    with Store.open(path, write=True) as store:
        whole = sweep(store, name, *engines())
    draws, scores, trees = recorded(path)
    tokens = tokens_held(path)
    for at in range(1000):
        path = tmp_path / f"{at}.store"
        first, then = engines(), engines()
        with Store.open(path, write=True) as store:
            try:
                crashed = sweep(Crashing(store, at, after), name, *first)
            except Crash:
                crashed = None
        drawn, scored, _ = recorded(path)
        # What comes in one call is recorded in one commit.
        assert len(first[0].rows) - drawn in ((0,) if after else range(ROWS + 1))
        assert len(first[1].rows) - scored in ((0,) if after else range(ROWS + 1))
        with Store.open(path, write=True) as store:
            assert sweep(store, name, *then) == whole
        assert recorded(path) == (draws, scores, trees)
        assert (len(then[0].rows), len(then[1].rows)) == (draws - drawn, scores - scored)
        assert tokens_held(path) == tokens
        if crashed is not None:
            assert crashed == whole
            assert at > 3
            return
    raise AssertionError("never ran to its end")


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_finished_store_asks_no_engine(tmp_path, name):
    path = tmp_path / "a.store"
    with Store.open(path, write=True) as store:
        whole = sweep(store, name, *engines())
        before = store.counts()
        proposer, verifier = engines()
        assert sweep(store, name, proposer, verifier) == whole
        assert proposer.rows == verifier.rows == []
        assert store.counts() == before


def test_what_is_not_finished_has_no_tree(tmp_path):
    path = tmp_path / "a.store"
    with Store.open(path, write=True) as store:
        with pytest.raises(Crash):
            sweep(Crashing(store, 1, True), "beam(width=2)", *engines())
        with pytest.raises(StoreError, match="is not finished"):
            store.view().tree("p0", "beam(width=2)", BUDGET)
