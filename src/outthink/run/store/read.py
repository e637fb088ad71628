"""What a store says of the searches of one team, judged by one grader.

Reads alone, and loads no model: outcomes, pools, trees and verdicts are rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from outthink.errors import StoreError
from outthink.run.journal import Writer
from outthink.run.ledger import attended
from outthink.run.store import codec, columns, paid
from outthink.run.store.schema import USAGE_COLUMNS
from outthink.search.select import StepAggregation, reduce_steps
from outthink.types import (
    JUDGE,
    PROPOSER,
    REVISER,
    REVISION_VERIFIER,
    VERIFIER,
    Outcome,
    Problem,
    Scores,
    Usage,
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the file of an imported sample says of it; `None` where it says nothing."""

    answer: str | None
    """As a grader reads it. That of the draw may tell one that is judged right from one that is
    judged wrong."""
    right: bool | None
    tokens: int | None
    finished: bool | None
    has_text: bool
    """Whether there was a text, or what stands for it is the answer."""
    labels: tuple[bool | None, ...] | None = None
    """Whether each step is right."""


@dataclass(frozen=True, slots=True)
class Node:
    """One solution of a search tree: what it says, and what it cost."""

    number: int
    parent: int
    """Number of the solution it extends; -1 is the start."""
    tokens: tuple[int, ...]
    """All of them, those of its parent included."""
    step_ends: tuple[int, ...]
    finished: bool
    truncated: bool
    answer: str | None
    prompt_tokens: int
    cached_tokens: int
    decoded_tokens: int | None
    """`None` where nobody counted them."""
    scores: Scores | None
    """`None` where it was never given to a verifier."""
    verifier_tokens: int
    verifier_cached_tokens: int
    texts: tuple[str, ...] | None = None
    """What all of them say, as `Drawn.texts` is cut; `None` where the store does not hold it."""
    recorded: Recorded | None = None
    """Of an imported sample."""
    critique: bool = False
    """It is about solutions, and none itself."""


@dataclass(frozen=True, slots=True)
class SearchTree:
    """Everything one finished job drew, in draw order: a parent stands before its children."""

    problem: Problem
    strategy: str
    budget: int
    stream: str
    nodes: tuple[Node, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Verifying:
    """What searches asked of verifiers."""

    solutions: int
    """Solutions, and prefixes of them, that were drawn."""
    written_tokens: int
    """Tokens that verifiers wrote to score them."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a store holds, of all models together."""

    problems: int
    searches: int
    """Finished ones."""
    draws: int
    scores: int
    verdicts: int


_Added = tuple[int, int, tuple[int, ...], tuple[int, ...]]
"""Flags, decoded tokens, step ends and tokens of a draw, the last two as it adds them."""

JobKey = tuple[str, str, int, str]
"""Problem, strategy, budget, stream."""


class View:
    """What is recorded of searches whose requests were answered by one team."""

    def __init__(
        self,
        path: Path,
        database: sqlite3.Connection,
        guard: Callable[[str], AbstractContextManager[None]],
        team: Mapping[str, Writer | str] | None,
        grader: str,
    ) -> None:
        self._path = path
        self._db = database
        self._guard = guard
        with guard("read"):
            teams = database.execute("SELECT id, json FROM team").fetchall()
            row = database.execute("SELECT id FROM grader WHERE name = ?", (grader,)).fetchone()
            tables = database.execute("SELECT name FROM sqlite_master").fetchall()
            self._has_recorded = ("recorded",) in tables
            self._has_chances = ("chance",) in tables
            self._has_texts = ("text",) in tables
            self._has_readings = ("reading",) in tables
            self._outcomes = _outcomes(has_critiques=("critique",) in tables)
        fits = [number for number, text in teams if team is None or _fits(json.loads(text), team)]
        self._teams = json.dumps(fits)
        self._grader = -1 if row is None else row[0]
        self._reader = -1
        self._read_as(team)

    def _read_as(self, team: Mapping[str, Writer | str] | None) -> None:
        readers = {who.reader for who in (team or {}).values() if isinstance(who, Writer)}
        for name in readers - {""}:
            with self._guard("read"):
                row = self._db.execute("SELECT id FROM grader WHERE name = ?", (name,)).fetchone()
            self._reader = -1 if row is None else row[0]

    def finished(self) -> set[JobKey]:
        """Every job that is finished."""
        with self._guard("read"):
            rows = self._db.execute(
                "SELECT p.name, s.strategy, s.budget, s.stream FROM search s"
                f" JOIN problem p ON p.id = s.problem WHERE s.team IN ({_IN})",
                (self._teams,),
            )
            return set(rows)

    def streams(self) -> list[str]:
        """The streams that have outcomes."""
        with self._guard("read"):
            rows = self._db.execute("SELECT DISTINCT stream FROM search ORDER BY stream")
            return [stream for (stream,) in rows]

    def outcomes(self, *, stream: str = "") -> Iterator[Outcome]:
        """Outcomes of one stream, in the order in which they were recorded."""
        with self._guard("read"):
            rows = self._db.execute(
                f"{self._outcomes} WHERE s.stream = ? AND s.team IN ({_IN}) ORDER BY s.id",
                (self._grader, stream, self._teams),
            ).fetchall()
        return map(_outcome, rows)

    def chances(self, strategy: str, budget: int, *, stream: str = "") -> dict[str, float]:
        """By problem, how likely the answer of a search is right, where the search said it."""
        if not self._has_chances:
            return {}
        with self._guard("read"):
            rows = self._db.execute(
                "SELECT p.name, c.chance FROM chance c JOIN problem p ON p.id = c.problem"
                " WHERE c.strategy = ? AND c.budget = ? AND c.stream = ?"
                f" AND c.team IN ({_IN})",
                (strategy, budget, stream, self._teams),
            ).fetchall()
        return dict(rows)

    def answer(self, problem_id: str, strategy: str, budget: int, stream: str = "") -> str | None:
        """What a finished job answered. Raises `StoreError` where it is not finished."""
        search, _, _ = self._tree_rows(problem_id, strategy, budget, stream)
        with self._guard("read"):
            row = self._db.execute("SELECT answer FROM search WHERE id = ?", (search,)).fetchone()
        return None if row[0] is None else str(row[0])

    def verdicts(self) -> dict[str, dict[str, bool]]:
        """By problem, whether each answer that was judged is right."""
        with self._guard("read"):
            rows = self._db.execute(
                "SELECT p.name, v.answer, v.is_right FROM verdict v"
                " JOIN problem p ON p.id = v.problem WHERE v.grader = ?",
                (self._grader,),
            ).fetchall()
        judged: dict[str, dict[str, bool]] = {}
        for name, answer, right in rows:
            judged.setdefault(name, {})[answer] = bool(right)
        return judged

    def tree(self, problem_id: str, strategy: str, budget: int, stream: str = "") -> SearchTree:
        """Everything a finished job drew. Raises `StoreError` where it is not finished."""
        search, number, rows = self._tree_rows(problem_id, strategy, budget, stream)
        with self._guard("read"):
            problem = self._db.execute(
                "SELECT name, prompt, reference FROM problem WHERE id = ?", (number,)
            ).fetchone()
            outcome = self._db.execute(
                f"{self._outcomes} WHERE s.id = ?", (self._grader, search)
            ).fetchone()
            nodes = self._nodes(number, rows)
        return SearchTree(Problem(*problem), strategy, budget, stream, nodes, _outcome(outcome))

    def _nodes(self, problem: int, rows: codec.TreeRows) -> tuple[Node, ...]:
        draws = self._solutions(problem, rows.draws)
        answers = self._answers(problem, rows.draws)
        texts: dict[int, tuple[Any, ...]] = {}
        if self._has_texts:
            texts = self._by_id("SELECT draw, steps FROM text", rows.draws, key="draw")
        recorded = self._recorded(rows.draws)
        scores, read = self._scores(problem, rows), _read_tokens(rows)
        nodes: list[Node] = []
        for number, row in enumerate(rows.draws):
            parent = rows.parents[number]
            flags, decoded, own_ends, own_tokens = draws[row]
            # A row holds what it adds to its parent, unless it holds the whole.
            above = None if parent < 0 or flags & codec.WHOLE else nodes[parent]
            before = (above.tokens, above.step_ends) if above else ((), ())
            ids, step_ends = codec.added(own_tokens, own_ends, flags, *before)
            _, own = texts.get(row, (row, None))
            said = codec.unpack_texts(own, above.texts if above else (), len(before[1]))
            computed, cached = read.get(number, (0, 0))
            nodes.append(
                Node(
                    number,
                    parent,
                    ids,
                    step_ends,
                    bool(flags & codec.FINISHED),
                    bool(flags & codec.TRUNCATED),
                    answers[number],
                    rows.prompt_tokens[number],
                    rows.cached_tokens[number],
                    recorded[row].tokens if row in recorded else decoded,
                    scores.get(number),
                    computed,
                    cached,
                    said,
                    recorded.get(row),
                    bool(flags & codec.CRITIQUE),
                )
            )
        return tuple(nodes)

    def _solutions(self, problem: int, draws: Sequence[int]) -> dict[int, _Added]:
        """By the row of a draw."""
        added: dict[int, _Added] = {}
        select = "rows, flags, costs, ends, tokens"
        for first, count, flags, costs, ends, tokens in self._held("draw", problem, draws, select):
            parts = zip(
                columns.unpack(flags, 0, count)[0].tolist(),
                columns.unpack(costs, 0, count)[0].tolist(),
                codec.unpack_lists(ends, count),
                codec.unpack_lists(tokens, count),
                strict=True,
            )
            added.update(zip(range(first, first + count), parts, strict=True))
        return added

    def _scores(self, problem: int, rows: codec.TreeRows) -> dict[int, Scores]:
        """By the number of a solution."""
        scores: dict[int, tuple[float | None, ...]] = {}
        for first, count, packed in self._held("score", problem, rows.scores, "rows, scores"):
            steps = codec.unpack_scores(packed, count)
            scores.update(zip(range(first, first + count), steps, strict=True))
        return {
            number: Scores(scores[row])
            for number, row in zip(rows.scored, rows.scores, strict=True)
        }

    def _held(
        self, table: str, problem: int, ids: Sequence[int], select: str
    ) -> Iterator[tuple[Any, ...]]:
        return paid.holding(self._db, table, problem, ids, select)

    def pool(
        self,
        problem_id: str,
        strategy: str,
        budget: int,
        stream: str = "",
        *,
        step: StepAggregation = StepAggregation.LAST,
    ) -> tuple[list[str | None], list[float | None]]:
        """Answers, and scores by `step`, of all solutions of a finished job in draw order.

        It is meant for searches that draw solutions whole; of others it gives their prefixes too.
        Raises `StoreError` where the job is not finished.
        """
        _, problem, rows = self._tree_rows(problem_id, strategy, budget, stream)
        with self._guard("read"):
            answers = self._answers(problem, rows.draws)
            given = self._reduced(problem, rows, step)
        return answers, [given.get(number) for number in range(len(rows.draws))]

    def _reduced(
        self, problem: int, rows: codec.TreeRows, step: StepAggregation
    ) -> dict[int, float | None]:
        """One score by the number of a solution. The last is read by itself, which is quicker."""
        if step is not StepAggregation.LAST:
            scores = self._scores(problem, rows)
            return {number: reduce_steps(one, step) for number, one in scores.items()}
        last: dict[int, float | None] = {}
        for first, count, packed in self._held("score", problem, rows.scores, "rows, scores"):
            values: list[float | None] = codec.last_scores(packed, count)
            last.update(zip(range(first, first + count), values, strict=True))
        return {number: last[row] for number, row in zip(rows.scored, rows.scores, strict=True)}

    def recorded(
        self, problem_id: str, strategy: str, budget: int, stream: str = ""
    ) -> list[Recorded] | None:
        """What the files say of the imported samples of a job, in draw order; `None` where they
        were not imported. Raises `StoreError` where the job is not finished."""
        if not self._has_recorded:
            return None
        _, _, rows = self._tree_rows(problem_id, strategy, budget, stream)
        with self._guard("read"):
            known = self._recorded(rows.draws)
        return [known[draw] for draw in rows.draws] if len(known) == len(rows.draws) else None

    def tokens(
        self, problem_id: str, strategy: str, budget: int, stream: str = ""
    ) -> list[int | None]:
        """Tokens that each solution of a finished job added, in draw order; `None` where nobody
        counted them. Raises `StoreError` where it is not finished."""
        _, problem, rows = self._tree_rows(problem_id, strategy, budget, stream)
        with self._guard("read"):
            known = self._recorded(rows.draws)
            drawn = self._decoded(problem, rows.draws)
        return [known[draw].tokens if draw in known else drawn[draw] for draw in rows.draws]

    def draws(
        self, problem_id: str, strategy: str, budget: int, stream: str = ""
    ) -> tuple[int, ...]:
        """The rows that a finished job drew, as `Store.keep_recorded` names them. Raises
        `StoreError` where it is not finished."""
        return tuple(self._tree_rows(problem_id, strategy, budget, stream)[2].draws)

    def _decoded(self, problem: int, draws: Sequence[int]) -> dict[int, int]:
        """Tokens that were decoded, by the row of a draw."""
        decoded: dict[int, int] = {}
        for first, count, costs in self._held("draw", problem, draws, "rows, costs"):
            tokens = columns.unpack(costs, 0, count)[0].tolist()
            decoded.update(zip(range(first, first + count), tokens, strict=True))
        return decoded

    def _recorded(self, draws: Sequence[int]) -> dict[int, Recorded]:
        """By the row of a draw."""
        if not self._has_recorded:
            return {}
        rows = self._by_id(
            "SELECT draw, answer, is_right, tokens, finished, has_text, labels FROM recorded",
            draws,
            key="draw",
        )
        return {draw: _recorded_of(*row) for draw, (_, *row) in rows.items()}

    def costs(self, strategy: str, budget: int, problems: Container[str]) -> list[Usage]:
        """What solution 0, 1, ... of these problems' jobs cost, each the sum over the problems.

        Reads of the prompt to decode are left out: how many rows share them is for who adds up. For
        jobs that all draw the same number of solutions, whole.
        """
        totals: dict[int, Usage] = {}
        with self._guard("read"):
            jobs = self._db.execute(
                "SELECT s.tree, p.id, p.name FROM search s JOIN problem p ON p.id = s.problem"
                f" WHERE s.strategy = ? AND s.budget = ? AND s.stream = '' AND s.team IN ({_IN})",
                (strategy, budget, self._teams),
            ).fetchall()
        for packed, problem, name in jobs:
            if name not in problems:
                continue
            rows = codec.TreeRows.unpack(packed)
            with self._guard("read"):
                decoded = self._decoded(problem, rows.draws)
            verified = _read_tokens(rows)
            # What the first of them read is the prompt.
            bare = rows.prompt_tokens[0] + rows.cached_tokens[0]
            for number, row in enumerate(rows.draws):
                cost = _cost(
                    bare,
                    rows.prompt_tokens[number],
                    rows.cached_tokens[number],
                    decoded[row],
                    *verified.get(number, (0, 0)),
                    number in verified,
                )
                totals[number] = totals.get(number, Usage()) + cost
        return [totals[number] for number in range(len(totals))]

    def verifying(
        self, strategy: str, budget: int, problems: Container[str], stream: str = ""
    ) -> Verifying:
        """What these problems' finished jobs asked of verifiers, all together."""
        drawn = written = 0
        with self._guard("read"):
            # Without the table the length of a tree is all that is read of it.
            has_written = has(self._db, "written")
            tree = "s.tree" if has_written else "substr(s.tree, 1, 8)"
            jobs = self._db.execute(
                f"SELECT {tree}, p.name FROM search s JOIN problem p ON p.id = s.problem"
                f" WHERE s.strategy = ? AND s.budget = ? AND s.stream = ? AND s.team IN ({_IN})",
                (strategy, budget, stream, self._teams),
            )
            for packed, name in jobs:
                if name not in problems:
                    continue
                drawn += codec.drawn_rows(packed)
                if has_written:
                    scores = codec.TreeRows.unpack(packed).scores
                    tokens = written_tokens(self._db, set(scores))
                    written += sum(tokens.get(row, 0) for row in scores)
        return Verifying(drawn, written)

    def _tree_rows(
        self, problem_id: str, strategy: str, budget: int, stream: str
    ) -> tuple[int, int, codec.TreeRows]:
        """Row of `search`, row of `problem`, and search tree, of a finished job."""
        with self._guard("read"):
            row = self._db.execute(
                "SELECT s.id, p.id, s.tree FROM search s JOIN problem p ON p.id = s.problem"
                " WHERE p.name = ? AND s.strategy = ? AND s.budget = ? AND s.stream = ?"
                f" AND s.team IN ({_IN}) ORDER BY s.id DESC",
                (problem_id, strategy, budget, stream, self._teams),
            ).fetchone()
        if row is None:
            where = f" in stream {stream!r}" if stream else ""
            raise StoreError(
                f"{self._path}: {strategy} at {budget} on problem {problem_id!r}{where} is not "
                "finished; give the command that began it again"
            )
        return row[0], row[1], codec.TreeRows.unpack(row[2])

    def _answers(self, problem: int, draws: Sequence[int]) -> list[str | None]:
        """Answers of these rows, as this view's grader reads them."""
        rows: dict[int, str | None] = {}
        others: list[int] = []
        select = "rows, reader, answers"
        for first, count, reader, packed in self._held("draw", problem, draws, select):
            numbers = range(first, first + count)
            rows.update(zip(numbers, paid.unpack_answers(packed, count), strict=True))
            if reader != max(self._reader, 0):
                others += numbers
        if not others or self._reader < 0 or not self._has_readings:
            return [rows[draw] for draw in draws]
        again = dict(
            self._db.execute(
                f"SELECT draw, answer FROM reading WHERE reader = ? AND draw IN ({_IN})",
                (self._reader, json.dumps(others)),
            )
        )
        return [again.get(draw, rows[draw]) for draw in draws]

    def _by_id(
        self, select: str, ids: Sequence[int], key: str = "id"
    ) -> dict[int, tuple[Any, ...]]:
        rows = self._db.execute(f"{select} WHERE {key} IN ({_IN})", (json.dumps(ids),))
        return {row[0]: row for row in rows}


def has(database: sqlite3.Connection, table: str) -> bool:
    """Whether a table was made."""
    made = "SELECT 1 FROM sqlite_master WHERE name = ?"
    return database.execute(made, (table,)).fetchone() is not None


def written_tokens(database: sqlite3.Connection, scores: Iterable[int]) -> dict[int, int]:
    """Tokens that a verifier wrote, by row of `score`; those that wrote none are left out."""
    if not has(database, "written"):
        return {}
    rows = database.execute(
        f"SELECT score, tokens FROM written WHERE score IN ({_IN})", (json.dumps(list(scores)),)
    )
    return dict(rows)


def _recorded_of(
    answer: str | None,
    right: int | None,
    tokens: int | None,
    finished: int | None,
    has_text: int,
    labels: str | None,
) -> Recorded:
    return Recorded(
        answer,
        None if right is None else bool(right),
        tokens,
        None if finished is None else bool(finished),
        bool(has_text),
        None if labels is None else tuple(json.loads(labels)),
    )


def _read_tokens(rows: codec.TreeRows) -> dict[int, tuple[int, int]]:
    """By the number of a solution: what its verifier computed, and what a cache held for it."""
    tokens = zip(rows.computed_tokens, rows.score_cached_tokens, strict=True)
    return dict(zip(rows.scored, tokens, strict=True))


def _fits(recorded: Mapping[str, Any], team: Mapping[str, Writer | str]) -> bool:
    """Whether everybody who answered is who answers in this team."""
    for role, who in recorded.items():
        now = answering(team, role)
        named = [now.name, now.asked, now.seed, now.reader] if isinstance(now, Writer) else now
        if named != who:
            return False
    return True


def answering(team: Mapping[str, Writer | str], role: str) -> Writer | str | None:
    """Who answers requests to a role: without a reviser the proposer does, and its verifier, and
    without a judge the proposer."""
    if role in (REVISER, JUDGE) and role not in team:
        role = PROPOSER
    if role == REVISION_VERIFIER and role not in team and REVISER not in team:
        role = VERIFIER
    return team.get(role)


def _cost(
    bare: int,
    prompt: int,
    cached: int,
    decoded: int,
    verifier: int,
    verifier_cached: int,
    is_verified: bool,
) -> Usage:
    """What one solution cost that was drawn whole; `bare` tokens of what it read are the prompt."""
    return Usage(
        1,
        prompt,
        cached,
        decoded,
        0,
        verifier,
        verifier_cached,
        prompt_attended=attended(prompt, cached),
        decoded_attended=attended(decoded, prompt + cached),
        verifier_attended=attended(verifier, verifier_cached),
        kv_reads=attended(decoded, prompt + cached - bare),
        verifier_calls=int(is_verified),
    )


_IN = "SELECT value FROM json_each(?)"


def _outcomes(*, has_critiques: bool) -> str:
    """Asks for outcomes; a store without critiques has no table of them."""
    usage = ", ".join(f"s.{column.strip()}" for column in USAGE_COLUMNS.split(","))
    told, joined = "0, 0, ''", ""
    if has_critiques:
        told = "coalesce(c.critiques, 0), coalesce(c.tokens, 0), coalesce(c.note, '')"
        joined = (
            " LEFT JOIN critique c ON c.problem = s.problem AND c.strategy = s.strategy"
            " AND c.budget = s.budget AND c.stream = s.stream AND c.team = s.team"
        )
    return (
        "SELECT p.name, s.strategy, s.budget, s.answer, p.reference IS NULL, v.is_right, s.chosen,"
        f" {usage}, substr(s.tree, 1, 8), {told}"
        " FROM search s JOIN problem p ON p.id = s.problem LEFT JOIN verdict v"
        f" ON v.problem = s.problem AND v.grader = ? AND v.answer = s.answer{joined}"
    )


def _outcome(row: tuple[Any, ...]) -> Outcome:
    problem_id, strategy, budget, answer, unknown, is_right, chosen, *spent = row
    *usage, tree, critiques, critique_tokens, note = spent
    right = None if unknown else False if answer is None else is_right
    right = None if right is None else bool(right)
    whole = replace(
        Usage(*usage),
        verifier_calls=codec.scored_rows(tree),
        critiques=critiques,
        critique_tokens=critique_tokens,
    )
    return Outcome(problem_id, strategy, budget, answer, right, chosen, whole, note=note)
