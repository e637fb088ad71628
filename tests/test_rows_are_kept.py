"""No row that was paid for is lost, and none is paid for again: a server counts.

A row is kept once the commit has returned that ends the turn of the event loop in which it was
handed over. Until then it is on the wire: a process that dies takes it along, and the next one asks
for it again. `On the wire` below is just that: rows handed over since the last commit began that
has returned. They are all of the turn in which the process died, and the one before.

`OUTTHINK_MOMENTS=1000` kills at as many moments; by default there are few.
"""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import paid_sweep
import pytest
from fake_server import FakeServer
from paid_sweep import (
    ROWS,
    VOTES,
    Moment,
    Paid,
    Scoring,
    Writing,
    about_draw,
    about_score,
    jobs,
)

from outthink.errors import UsageError
from outthink.models.http import RetryPolicy
from outthink.models.in_process import SharedTime, in_flight
from outthink.models.openai import OpenAIProposer
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.run.team import Team

MOMENTS = int(os.environ.get("OUTTHINK_MOMENTS", "60"))
KINDS = ("row", "begin", "end", "step")


def recorded(path):
    """How many rows a store holds; trees and outcomes of all finished searches."""
    # A process may have been killed before there was a store to read: whoever writes makes it anew.
    with Store.open(path, write=True) as store:
        view = store.view()
        trees = {key: view.tree(*key) for key in view.finished()}
        counts = store.counts()
    return counts.draws + counts.scores, trees


class Paying:
    """What one process after another paid for, by the log that they all write."""

    def __init__(self, folder):
        self.store, self.log = folder / "a.store", folder / "a.log"
        self._seen = 0
        self.times = Counter()
        """How often each row was answered."""
        self.lost = Counter()
        """How often each row was on the wire when its process died."""

    def take(self, *, died):
        """Read what one more process has written."""
        with self.log.open() as log:
            log.seek(self._seen)
            lines = [line.split() for line in log]
            self._seen = log.tell()
        wire, begun, turn = [], 0, 0
        for kind, at, what in lines:
            turn = int(at)
            if kind == "row":
                wire.append((int(what), turn))
                self.times[int(what)] += 1
            elif kind == "begin":
                begun = len(wire)
            elif kind == "end":
                del wire[:begun]
                begun = 0
        assert died or wire == [], "a row was never committed"
        assert all(turn - at <= 1 for _, at in wire), "a row waited for its commit"
        held, _ = recorded(self.store)
        known = sum((self.times - self.lost).values()) - len(wire)
        # A commit that had begun may be written, and then it is whole.
        assert held in (known, known + begun), "rows were answered and lost"
        self.lost.update(number for number, _ in wire[held - known :])
        return held

    def check(self):
        """Nothing was paid for twice but what a dead process took along."""
        assert self.times == Counter(dict.fromkeys(self.times, 1)) + self.lost


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Trees, events and rows of a sweep that nobody interrupted."""
    paying = Paying(tmp_path_factory.mktemp("whole"))
    moment = Moment()
    paid_sweep.run(moment, store=paying.store, log=paying.log)
    paying.take(died=False)
    paying.check()
    rows, trees = recorded(paying.store)
    assert rows == moment.counts["row"] == len(paying.times) and len(trees) == len(jobs())
    return trees, moment.counts


@pytest.fixture(scope="module")
def sweeps():
    """Runs a sweep in a process of its own, up to a moment; its exit status."""
    script = Path(paid_sweep.__file__)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, script],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:

        def run(paying, kind="", at=0, url=""):
            files = {"store": str(paying.store), "log": str(paying.log)}
            asked = {"kind": kind, "at": at, "url": url, **files}
            child.stdin.write(json.dumps(asked) + "\n")
            child.stdin.flush()
            return int(child.stdout.readline())

        yield run
        child.stdin.close()


def test_rows_are_kept_of_sweeps_that_are_killed_again_and_again(tmp_path, whole, sweeps):
    trees, counts = whole
    killed = 0
    for seed in range(MOMENTS):
        rng = random.Random(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        paying, held = Paying(folder), 0
        while True:
            kind = rng.choice(KINDS)
            ahead = counts[kind] - held * (kind == "row")
            status = sweeps(paying, kind, int(ahead * rng.random() ** 2))
            held = paying.take(died=status != 0)
            if status == 0:
                break
            assert status == -signal.SIGKILL
            killed += 1
        paying.check()
        assert recorded(paying.store) == (counts["row"], trees)
        answered = paying.times.total()
        assert sweeps(paying) == 0
        paying.take(died=False)
        assert paying.times.total() == answered, "a finished sweep paid for something"
        if killed >= MOMENTS:
            return
    raise AssertionError("not killed often enough")


# In a process that lives on -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_kept_where_others_fail_for_good(tmp_path, whole, seed):
    trees, counts = whole
    paying, errors = Paying(tmp_path), []
    for attempt in range(100):

        def fails(number, attempt=attempt):
            return paid_sweep.number_of(seed, attempt, number) % 10 == 0

        def engines(log, fails=fails):
            return Paid(Writing(), log, fails=fails), Paid(Scoring(), log, fails=fails)

        results = paid_sweep.run(Moment(), store=paying.store, log=paying.log, engines=engines)
        paying.take(died=False)
        errors.append([r.outcome.error for r in results if r.outcome.error])
        if not errors[-1]:
            break
    paying.check()
    assert not paying.lost
    assert recorded(paying.store) == (counts["row"], trees)
    assert len(errors) > 3


class Refusing:
    """Ends the run with an error at the n-th row."""

    def __init__(self, at):
        self.left = at

    def __call__(self, number):
        self.left -= 1
        if self.left == 0:
            raise UsageError("the key has expired")


@pytest.mark.parametrize("seed", range(4))
def test_rows_are_kept_of_runs_that_end_with_an_error(tmp_path, whole, seed):
    trees, counts = whole
    rng, paying = random.Random(seed), Paying(tmp_path)
    for at in [rng.randrange(1, counts["row"] // 5) for _ in range(4)]:
        before = Refusing(at)

        def engines(log, before=before):
            return Paid(Writing(), log, before=before), Paid(Scoring(), log, before=before)

        with pytest.raises(UsageError, match="expired"):
            paid_sweep.run(Moment(), store=paying.store, log=paying.log, engines=engines)
        paying.take(died=False)
    paid_sweep.run(Moment(), store=paying.store, log=paying.log)
    paying.take(died=False)
    paying.check()
    assert not paying.lost
    assert recorded(paying.store) == (counts["row"], trees)


class Answering:
    """Rows that are in flight at once; each is paid for when its response is there."""

    def __init__(self, engine, log, before):
        self.name, self.text = engine.name, getattr(engine, "text", None)
        self._engine, self._log, self._before = engine, log, before
        self._time = SharedTime()

    def propose(self, draws):
        return in_flight(partial(self._one, self._engine.propose, about_draw), draws, self._time)

    def verify(self, solutions):
        ask = partial(self._one, self._engine.verify, about_score)
        return in_flight(ask, solutions, self._time)

    async def _one(self, ask, about, row):
        async for arrival in ask([row]):
            self._before(about(row))
            self._log.write("row", about(row))
            return arrival.row


@pytest.mark.parametrize("seed", range(12))
def test_rows_are_kept_that_came_in_the_turn_in_which_their_run_was_ended(tmp_path, whole, seed):
    trees, counts = whole
    rng, paying = random.Random(seed), Paying(tmp_path)
    for at in [rng.randrange(1, counts["row"] // 5) for _ in range(4)]:
        before = Refusing(at)

        def engines(log, before=before):
            return Answering(Writing(), log, before), Answering(Scoring(), log, before)

        with pytest.raises(UsageError, match="expired"):
            paid_sweep.run(Moment(), store=paying.store, log=paying.log, engines=engines)
        paying.take(died=False)
    paid_sweep.run(Moment(), store=paying.store, log=paying.log)
    paying.take(died=False)
    paying.check()
    assert not paying.lost
    assert recorded(paying.store) == (counts["row"], trees)


# Over HTTP ----------------------------------------------------------------------------------------


FAULTS = (None, None, None, "500", "reset", "cut", "null")


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "chat"])
def test_rows_are_kept_of_a_server_that_fails_at_random_requests(tmp_path, kind):
    rng, errors = random.Random(kind), []
    with FakeServer(kind) as server, Store.open(tmp_path / "a.store", write=True) as store:
        connect = OpenAIProposer.connect(server.url, retry=RetryPolicy(tries=1))
        runner = Runner(Team.of(asyncio.run(connect)), journal=store, rows_in_flight=ROWS)
        server.answered.clear()  # what it was asked to find out what it can do
        for _ in range(100):
            server.faults = [rng.choice(FAULTS) for _ in range(40)]
            results = asyncio.run(runner.results(jobs(VOTES)))
            errors.append([r.outcome.error for r in results if r.outcome.error])
            if not errors[-1]:
                break
    assert len(errors) > 2 and not errors[-1]
    assert set(server.answered.values()) == {1}, "a row was paid for twice"
    rows, trees = recorded(tmp_path / "a.store")
    assert (rows, len(trees)) == (len(server.answered), len(jobs(VOTES)))


def test_rows_are_kept_of_a_served_sweep_whose_client_is_killed(tmp_path, sweeps):
    rng, paying, killed, status = random.Random(0), Paying(tmp_path), 0, -1
    with FakeServer("vllm") as server:
        asyncio.run(OpenAIProposer.connect(server.url))
        tried = set(server.answered)  # to find out what it can do, as every client does
        while status != 0:
            # How often it commits depends on how busy the machine is; rows there are enough.
            first = killed < 3
            kind = "row" if first else rng.choice(("row", "begin", "end"))
            status = sweeps(paying, kind, rng.randrange(2, 4 if first else 12), server.url)
            paying.take(died=status != 0)
            killed += status != 0
    paying.check()
    assert killed > 2
    answered = Counter({row: n for row, n in server.answered.items() if row not in tried})
    assert len(answered) == len(paying.times)
    # The server has answered what had not yet arrived, too: no more than was in flight.
    unseen = answered.total() - paying.times.total()
    assert 0 <= unseen <= killed * ROWS
