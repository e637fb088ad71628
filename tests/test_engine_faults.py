"""Whatever a model's server says: every problem ends with an answer that the model gave it, or with
an error that has a name.

`OUTTHINK_FAULTS=10000` injects as many; by default there are few.
"""

import asyncio
import math
import os
import re
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from engine_faults import EVIL, KINDS, Faults
from fake_server import EOS, IDS, ROLE, FakeServer, ids_of, text_of

from outthink.errors import OutthinkError
from outthink.models.http import RetryPolicy
from outthink.models.openai import OpenAIProposer
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import Budget, Problem
from outthink.verify.confidence import confidence

SERVERS = ("vllm", "llama.cpp", "chat")
EACH = math.ceil(int(os.environ.get("OUTTHINK_FAULTS", "190")) / len(KINDS) / len(SERVERS))
RETRY = RetryPolicy(tries=3, first_wait_s=0.0, longest_wait_s=0.0, request_s=20.0)
SHORT_S = 1.0
"""The patience with a server that never comes to an end."""
ATTEMPTS = SWEEPS = 1000
"""At most."""
PROBLEMS = 4


class Honest(FakeServer):
    """A server whose every answer tells which problem it is of."""

    def _rows(self, prompt, body, most, stop):
        first, count = body.get("seed", 1), body.get("n", body.get("n_cmpl", 1))
        return [self._row(prompt, first + row, most, stop) for row in range(count)]

    def _row(self, prompt, seed, most, stop):
        at = len(prompt) - prompt[::-1].index(ROLE["assistant"])
        (number,) = set(re.findall(r"problem (\d+)", text_of(prompt[:at]))) or {"0"}
        if ".\n\n" not in text_of(prompt[at:]):
            step = [IDS["So"], *ids_of(f" {number}"), IDS[".\n\n"]]
            if stop:
                return step[:most], "stop" if len(step) <= most else "length"
        else:
            step = []
        tokens = [*step, IDS["\\boxed{"], *ids_of(f"{number}.{seed % 3}"), IDS["}"], EOS]
        return tokens[:most], "end" if len(tokens) <= most else "length"


def jobs(continues):
    names = (
        ("majority", "best_of_n", "beam")
        if continues
        else ("majority", "revise(sequential=2,answer=majority)")
    )
    ids = [str(100 + number) for number in range(PROBLEMS)]
    return [
        Job(Problem(id, f"This is problem {id}.", f"{id}.1"), strategy(name), Budget(4))
        for name in names
        for id in ids
    ]


def connected(server, kind):
    """What a server can do is found out of a sound one."""
    retry = replace(RETRY, request_s=SHORT_S) if kind == "slow drip" else RETRY
    return asyncio.run(OpenAIProposer.connect(server.url, retry=retry))


async def sweep(proposer, store):
    continues = proposer.rescores
    verifier = confidence(proposer, top=2) if continues else None
    runner = Runner(Team.of(proposer, verifier), journal=store, rows_in_flight=16)
    return await runner.results(jobs(continues))


def is_true(problem, answer):
    return answer is None or re.fullmatch(rf"{problem}\.[012]", answer) is not None


def check(results):
    """Every job ended, and no answer is another problem's, or nobody's."""
    for result in results:
        outcome, problem = result.outcome, result.job.problem.id
        if outcome.error:
            assert re.match(r"\w+Error: \S", outcome.error) and "\n" not in outcome.error
            assert outcome.answer is None
            outcome.error.encode()  # a store keeps it
        else:
            assert is_true(problem, outcome.answer), outcome.answer


def check_store(path):
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Store.open(path, write=False) as store:
        view = store.view()
        for key in view.finished():
            for node in view.tree(*key).nodes:
                assert is_true(key[0], node.answer), node.answer
                steps = node.scores.steps if node.scores else ()
                assert all(score is None or 0 <= score <= 1 for score in steps)
                assert EVIL not in "".join(node.texts or ())


WITHOUT_A_SIGN = {("rows of another request", "chat")}
"""A chat API's reply says nothing of what it answers."""
CASES = [
    (kind, server) for kind in KINDS for server in SERVERS if (kind, server) not in WITHOUT_A_SIGN
]


@pytest.mark.parametrize(("kind", "server"), CASES)
def test_a_fault_of_an_engine_is_an_error_with_a_name_and_never_an_answer(
    tmp_path, monkeypatch, kind, server
):
    monkeypatch.setattr("outthink.models.http.LARGEST_REPLY", 1 << 20)
    faults = Faults(kind, EACH, seed=0)
    with Honest(server) as engine:
        proposer = connected(engine, kind)
        engine.meddles = faults
        for attempt in range(ATTEMPTS):
            path = tmp_path / f"{attempt}.store"
            is_last = faults.left <= 0
            swept_through(proposer, path)
            check_store(path)
            if is_last:
                return
    raise AssertionError(f"{faults.left} faults were never met")


def swept_through(proposer, path):
    """Sweep until nothing failed."""
    for _ in range(SWEEPS):
        try:
            with Store.open(path, write=True) as store:
                results = asyncio.run(sweep(proposer, store))
        except OutthinkError as error:
            assert str(error) and "\n" not in str(error)
            continue
        check(results)
        if not any(result.outcome.error for result in results):
            return
    raise AssertionError("never swept through")
