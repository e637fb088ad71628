"""A sweep of every search whose engines write down every row that they answer, and which can be
killed at any moment of it: at a row, at a commit, or inside a statement of SQLite.

As a script it takes a sweep a line, as JSON, runs each in a process of its own, and says how each
process ended: its exit status, negative for a signal.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
from contextlib import aclosing
from dataclasses import dataclass

from contract import SPENDS, problems

from outthink.errors import ServerError
from outthink.models.http import RetryPolicy
from outthink.models.openai import OpenAIProposer
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import Arrival, Budget, Drawn, Scores, Solution, State, Verified

PROBLEMS, BUDGET, ROWS = 2, 4, 24
VOTES = (
    "majority",
    "revise(sequential=2,answer=majority)",
    "revise(sequential=64,answer=majority)",
)
"""Searches whose rows are a request each of a server, and ask no verifier."""
STEPS = 10
"""Steps of SQLite's machine between two moments at which it can be killed."""


def jobs(names=tuple(SPENDS)):
    return [
        Job(problem, strategy(name), Budget(BUDGET))
        for name in names
        for problem in problems(PROBLEMS)
    ]


def number_of(*about):
    """A number of 31 bits that stands for all of this."""
    return int.from_bytes(hashlib.blake2b(repr(about).encode(), digest_size=4).digest()) >> 1


def about_draw(draw):
    prefix = draw.prefix
    said = prefix.problem.id, prefix.tokens, prefix.step_ends, prefix.history
    forced = () if draw.force is None else (draw.force,)
    # What is asked in words has several lines, and is another row for other words.
    words = (prefix.problem.prompt,) if "\n" in prefix.problem.prompt else ()
    return number_of("draw", *said, draw.until, draw.temperature, draw.seed, *forced, *words)


def about_score(solution):
    said = solution.problem.id, solution.tokens, solution.step_ends, solution.history
    return number_of("score", *said, solution.finished)


# Engines whose rows tell whose they are -----------------------------------------------------------


async def turns(number):
    for _ in range(number % 24):
        await asyncio.sleep(0)


class Writing:
    """Every draw writes what no other one writes, so that a solution tells which draw it is.

    Rows come one by one, in an order of their own.
    """

    name = "writing"

    async def propose(self, draws):
        for place in sorted(range(len(draws)), key=lambda place: about_draw(draws[place])):
            await turns(about_draw(draws[place]))
            yield Arrival(place, self._extend(draws[place]), 0.001)

    async def text(self, tokens):
        return " ".join(map(str, tokens))

    def _extend(self, draw):
        prefix = draw.prefix
        tokens, ends = list(prefix.tokens), list(prefix.step_ends)
        last = 1 + number_of(prefix.problem.id) % 3
        for _ in range(last if draw.until is None else draw.until):
            tokens += [about_draw(draw), 10]
            ends.append(len(tokens))
            if len(ends) >= last:
                break
        finished = len(ends) >= last
        solution = Solution(
            prefix.problem,
            tuple(tokens),
            tuple(ends),
            finished,
            answer=str(number_of(tokens) % 3) if finished else None,
            state=None if finished else State(proposer=len(tokens)),
        )
        held = 5 + sum(map(len, prefix.history)) + len(prefix.tokens)
        cached = held if prefix.state is not None else 0
        shared = 0 if cached else 5
        return Drawn(solution, held - cached, cached, len(tokens) - len(prefix.tokens), shared)


class Scoring:
    name = "scoring"

    async def verify(self, solutions):
        for place, solution in enumerate(solutions):
            await turns(about_score(solution))
            known = solution.state.verifier or 0 if solution.state else 0
            if solution.state is not None:
                solution.state.verifier = len(solution.tokens)
            steps = [number_of(solution.tokens[:end]) / 2**31 for end in solution.step_ends]
            row = Verified(Scores(tuple(steps)), len(solution.tokens) - known, known)
            yield Arrival(place, row, 0.001)


# What is written down, and when it all ends -------------------------------------------------------


@dataclass
class Moment:
    """Ends the process at the n-th event of a kind."""

    kind: str = ""
    at: int = 0

    def __post_init__(self):
        self.counts = dict.fromkeys(("row", "begin", "end", "step"), 0)
        self.last_words = lambda: None

    def pass_by(self, kind):
        if kind == self.kind and self.counts[kind] == self.at:
            self.last_words()
            os.kill(os.getpid(), signal.SIGKILL)
        self.counts[kind] += 1


class Log:
    """Lines that outlive the process that writes them, each with the turn of the event loop."""

    def __init__(self, path, moment):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._moment = moment
        self._turn = 0
        moment.last_words = lambda: self._note("dead", 0)

    def tick(self):
        self._turn += 1
        asyncio.get_running_loop().call_soon(self.tick)

    def write(self, kind, what=0):
        self._note(kind, what)
        self._moment.pass_by(kind)

    def _note(self, kind, what):
        os.write(self._file, f"{kind} {self._turn} {what}\n".encode())

    def close(self):
        os.close(self._file)


class Paid:
    """An engine that writes every row down just before it hands it over.

    Rows that `fails` names fail for good. `before` is called before each row, and may raise.
    """

    def __init__(self, engine, log, *, fails=lambda number: False, before=lambda number: None):
        self.name = engine.name
        self._engine, self._log = engine, log
        self._fails, self._before = fails, before

    def propose(self, draws):
        return self._rows(self._engine.propose, draws, about_draw)

    def verify(self, solutions):
        return self._rows(self._engine.verify, solutions, about_score)

    async def text(self, tokens):
        return await self._engine.text(tokens)

    async def aclose(self):
        if hasattr(self._engine, "aclose"):
            await self._engine.aclose()

    async def _rows(self, ask, asked, about):
        numbers = [about(row) for row in asked]
        lost = [place for place, number in enumerate(numbers) if self._fails(number)]
        places = [place for place in range(len(asked)) if place not in lost]
        async with aclosing(ask([asked[place] for place in places])) as arrivals:
            async for arrival in arrivals:
                place = places[arrival.place]
                self._before(numbers[place])
                self._log.write("row", numbers[place])
                yield arrival._replace(place=place)
        if lost:
            raise ServerError(f"{len(lost)} rows are lost")


class Watched(Store):
    """A store that writes down when its commits begin and end."""

    log = moment = None

    def __init__(self, path, database, lock):
        super().__init__(path, database, lock)
        database.set_progress_handler(lambda: self.moment.pass_by("step"), STEPS)

    def commit(self):
        self.log.write("begin")
        super().commit()
        self.log.write("end")


def served(url):
    """A model of a server, whose rows are written down as they arrive."""
    retry = RetryPolicy(tries=1)
    proposer = asyncio.run(OpenAIProposer.connect(url, retry=retry))
    return lambda log: (Paid(proposer, log),)


def run(moment, *, store, log, engines=None, wanted=()):
    """A sweep to its end or to its moment, of every search where none is named; its results.

    `engines` makes a proposer and a verifier, given the log.
    """
    writer = Watched.log = Log(log, moment)
    Watched.moment = moment

    async def sweep(kept):
        writer.tick()
        made = engines(writer) if engines else (Paid(Writing(), writer), Paid(Scoring(), writer))
        runner = Runner(Team.of(*made), journal=kept, rows_in_flight=ROWS)
        return await runner.results(wanted or jobs())

    try:
        with Watched.open(store, write=True) as kept:
            return asyncio.run(sweep(kept))
    finally:
        writer.close()


def main():
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            moment, more = Moment(asked["kind"], asked["at"]), {}
            if asked["url"]:
                more = {"engines": served(asked["url"]), "wanted": jobs(VOTES)}
            run(moment, store=asked["store"], log=asked["log"], **more)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
