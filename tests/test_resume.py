"""Kill it anywhere: what was paid for is in the store, and the next run pays for the rest alone."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections import defaultdict
from contextlib import closing
from dataclasses import replace

import pytest
from contract import Counted, no_clock, problems

from outthink.errors import StoreError
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.run.runner import Driver, Job
from outthink.run.store import Identity, Store
from outthink.search import strategy
from outthink.types import Budget

STRATEGIES = (
    "majority",
    "best_of_n",
    "beam(width=2)",
    "lookahead(depth=2)",
    "revise(sequential=3)",
)
PROBLEMS, BUDGET, ROWS = 8, 8, 16
IDENTITY = Identity("scripted", "scripted", 0)


def jobs_of(name):
    return [Job(problem, strategy(name), Budget(BUDGET)) for problem in problems(PROBLEMS)]


def timeless(outcome):
    return replace(outcome, usage=replace(outcome.usage, seconds=0.0))


def recorded(path):
    """Outcomes and trees by job, of whatever is in the store."""
    trees = {}
    with Store.open(path, write=False) as store:
        for name in STRATEGIES:
            for problem in problems(PROBLEMS):
                try:
                    tree = store.tree(problem.id, name, BUDGET)
                except StoreError:
                    continue
                outcome = tree.outcome and folded(tree.outcome)
                nodes = tuple(map(folded_node, tree.nodes))
                trees[name, problem.id] = replace(tree, outcome=outcome, nodes=nodes)
    return trees


# In one process: at every commit -----------------------------------------------------------------


class Crash(Exception):
    pass


class Crashing:
    """A journal that ends it all at its n-th commit: just before it, or just after."""

    def __init__(self, store, at, after):
        self.store, self.at, self.after = store, at, after
        self.replay, self.proposed = store.replay, store.proposed
        self.verified, self.finished = store.verified, store.finished

    def commit(self):
        self.at -= 1
        if self.at < 0 and not self.after:
            raise Crash
        self.store.commit()
        if self.at < 0:
            raise Crash


def folded(outcome):
    """What a crash does not change: an engine's cache dies with its process, so tokens that it
    had cached are read once more. Their sum stays, and what is attended to and read to decode."""
    usage = outcome.usage
    return replace(
        timeless(outcome),
        usage=replace(
            usage,
            seconds=0.0,
            prompt_tokens=usage.prompt_tokens + usage.cached_tokens,
            cached_tokens=0,
            verifier_tokens=usage.verifier_tokens + usage.verifier_cached_tokens,
            verifier_cached_tokens=0,
            prompt_attended=0,
            verifier_attended=0,
        ),
    )


def folded_node(node):
    """The same of one solution."""
    return replace(
        node,
        prompt_tokens=node.prompt_tokens + node.cached_tokens,
        cached_tokens=0,
        verifier_tokens=node.verifier_tokens + node.verifier_cached_tokens,
        verifier_cached_tokens=0,
    )


def sweep(journal, name, proposer, verifier):
    driver = Driver(proposer, verifier, journal=journal, rows_in_flight=ROWS, clock=no_clock)
    return {
        result.job.problem.id: (folded(result.outcome), result.choice)
        for result in driver.run(jobs_of(name)[:3])
    }


def tokens_held(path):
    """Tokens that the file spells out: a solution is to add those past its prefix alone."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT sum(length(tokens)) FROM solution").fetchone()[0]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_resume_after_a_crash_at_any_commit(tmp_path, name, after):
    whole = sweep(None, name, ScriptedProposer(mischief=0.1), ScriptedVerifier(silence=0.1))
    held = set()
    for at in range(1000):
        path = tmp_path / f"{at}.store"
        proposer = Counted(ScriptedProposer(mischief=0.1))
        verifier = Counted(ScriptedVerifier(silence=0.1))
        with Store.open(path, identity=IDENTITY, write=True) as store:
            try:
                crashed = sweep(Crashing(store, at, after), name, proposer, verifier)
            except Crash:
                crashed = None
            in_flight = store.counts()
        drawn, scored = sum(map(len, proposer.asked)), sum(map(len, verifier.asked))
        assert drawn - in_flight.solutions <= (0 if after else ROWS)
        assert scored - in_flight.verified_solutions <= (0 if after else ROWS)
        proposer.asked.clear()
        verifier.asked.clear()
        with Store.open(path, identity=IDENTITY, write=True) as store:
            assert sweep(store, name, proposer, verifier) == whole
            done = store.counts()
            assert {o.problem_id: folded(o) for o in store.outcomes()} == {
                problem: outcome for problem, (outcome, _) in whole.items()
            }
        assert sum(map(len, proposer.asked)) == done.solutions - in_flight.solutions
        assert (
            sum(map(len, verifier.asked)) == done.verified_solutions - in_flight.verified_solutions
        )
        held.add(tokens_held(path))
        assert len(held) == 1
        if crashed is not None:
            assert crashed == whole
            return
    raise AssertionError("never ran to its end")


# Killed from outside -----------------------------------------------------------------------------

SWEEP = '''
"""A sweep whose engines write every row that they are paid for to a log before they return it, and
that takes a byte of standard input for every batch, for as long as there is any, and says so."""

import os, sys
from dataclasses import replace
from outthink.run.runner import Driver
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier
from outthink.run.store import Store
from test_resume import IDENTITY, ROWS, STRATEGIES, jobs_of

LOG = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def pay(lines):
    os.read(0, 1)
    os.write(1, b".")
    for line in lines:
        os.write(LOG, (line + "\\n").encode())


class Paid:
    """The scripted engines, with costs that are facts of a row alone: they keep no cache."""

    name = "scripted"
    strategy = ""

    def propose(self, draws):
        pay([f"drawn\\t{self.strategy}\\t{d.prefix.problem.id}\\t{d.seed}" for d in draws])
        drawn = ScriptedProposer(mischief=0.1).propose(draws)
        return [replace(d, solution=replace(d.solution, state=None)) for d in drawn]

    def verify(self, solutions):
        pay([f"scored\\t{self.strategy}\\t{s.problem.id}\\t{s.number}" for s in solutions])
        return ScriptedVerifier(silence=0.1).verify(solutions)


engines = Paid()
with Store.open(sys.argv[1], identity=IDENTITY, write=True) as store:
    driver = Driver(engines, engines, journal=store, rows_in_flight=ROWS)
    for engines.strategy in STRATEGIES:
        for result in driver.run(jobs_of(engines.strategy)):
            pass
'''


class Sweep:
    """The script in a process of its own."""

    def __init__(self, folder):
        self.store, self.log = folder / "a.store", folder / "paid.log"
        self.script = folder / "sweep.py"
        self.script.write_text(SWEEP)
        self.seen = 0

    def start(self, **pipes):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, self.script, self.store, self.log]
        return subprocess.Popen(command, env=environment, **pipes)

    def finish(self):
        """Let it run to its end; the rows it paid for."""
        assert self.start(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL).wait() == 0
        return self.paid()

    def kill(self, batches, more):
        """Let it serve some batches, then a few more while it is being killed."""
        with self.start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
            child.stdin.write(b"." * (batches + more))
            for _ in range(batches):
                child.stdout.read(1)
            child.kill()
        assert child.returncode == -signal.SIGKILL
        return self.paid()

    def paid(self):
        """Rows paid for since the last time: (drawn or scored, strategy, problem) -> keys."""
        rows = defaultdict(list)
        with self.log.open() as log:
            log.seek(self.seen)
            for line in log:
                *job, key = line.rstrip("\n").split("\t")
                rows[tuple(job)].append(key)
            self.seen = log.tell()
        return rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Trees and outcomes of a run that nobody interrupted."""
    sweep = Sweep(tmp_path_factory.mktemp("whole"))
    sweep.finish()
    return recorded(sweep.store)


class Kept:
    """Which of the rows paid for are in the store, by what they are and their job."""

    def __init__(self):
        self.rows = defaultdict(set)

    def check(self, paid, trees, most_lost):
        """What one more process paid for, against what it left."""
        for job, keys in paid.items():
            assert not self.rows[job] & set(keys), "a recorded row was paid for again"
            assert len(set(keys)) == len(keys), "a row was paid for twice"
        for (name, problem), tree in trees.items():
            drawn, scored = ("drawn", name, problem), ("scored", name, problem)
            # Rows are recorded in the order in which they are drawn.
            self.rows[drawn] |= set(paid[drawn][: len(tree.nodes) - len(self.rows[drawn])])
            assert len(self.rows[drawn]) == len(tree.nodes), "a row is recorded and was never paid"
            numbers = {str(node.number) for node in tree.nodes if node.scores is not None}
            assert self.rows[scored] <= numbers <= self.rows[scored] | set(paid[scored])
            self.rows[scored] = numbers
        lost = sum(len(set(keys) - self.rows[job]) for job, keys in paid.items())
        assert lost <= most_lost, "more was lost than the batch in flight"


@pytest.mark.parametrize("seed", range(2))
def test_resume_after_being_killed_again_and_again(tmp_path, whole, seed):
    dice = random.Random(seed)
    sweep, kept = Sweep(tmp_path), Kept()
    for _ in range(6):
        paid = sweep.kill(dice.randrange(1, 9), dice.randrange(3))
        kept.check(paid, recorded(sweep.store), most_lost=ROWS)
    kept.check(sweep.finish(), recorded(sweep.store), most_lost=0)
    final = recorded(sweep.store)
    assert final == whole
    with Store.open(sweep.store, write=False) as store:
        counts = store.counts()
    assert counts.finished_jobs == counts.jobs == len(STRATEGIES) * PROBLEMS
    assert counts.solutions == sum(len(tree.nodes) for tree in final.values())
    for tree in final.values():
        assert [node.number for node in tree.nodes] == list(range(len(tree.nodes)))
    assert sweep.finish() == {}, "a finished sweep pays for nothing"
