"""A proposer that is any OpenAI-compatible server: vLLM, llama.cpp, or whoever speaks chat alone.

The first turn is a chat; what follows is appended to it as token ids where the server takes them
(`dialects`). A step ends with the token in which its delimiter is complete, and keeps it. A step
says something: a delimiter alone belongs to the step after it. What ended without a delimiter is a
step too; what was cut off is none. End marks are told by `finished` and are in no solution.

Rows of one request that extend the same prefix are one HTTP request as far as the server takes
several (`n`). A seed is what the server makes of it: vLLM and llama.cpp draw the same again as long
as nothing else about a batch changes their arithmetic; hosted servers promise nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from outthink.errors import ServerError, ServerRefused
from outthink.grade import extract
from outthink.models.capabilities import Capabilities, Kind, examine
from outthink.models.dialects import (
    Ask,
    Chat,
    Completion,
    Dialect,
    Ending,
    Likely,
    LlamaCpp,
    Message,
    Reread,
    Vllm,
)
from outthink.models.http import REQUESTS_IN_FLIGHT, Patience, Wire
from outthink.types import END, SEED_STRIDE, Draw, Drawn, Solution, State

MOST_TOKENS = 2048
STEP_END = "\n\n"
_BLANK_STEPS = 8
"""Delimiters in a row after which an answer is cut off: it will not say anything any more."""
_SEED_BITS = 31
_MASK = (1 << 63) - 1
_ROWS = pow(SEED_STRIDE, -1, 1 << 63)

Read = Callable[[str], str | None]
"""Finds the final answer in a finished text. Answers that it writes alike vote together."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What a model is told. `{prompt}` stands for the problem."""

    system: str | None = None
    question: str = (
        "{prompt}\n\nThink step by step, with an empty line between steps. "
        "Put the final answer within \\boxed{}."
    )
    revise: str = (
        "This may be wrong. Look for the mistake, then solve the problem again step by step. "
        "Put the final answer within \\boxed{}."
    )

    def messages(self, prompt: str, earlier: Sequence[str] = ()) -> tuple[Message, ...]:
        """The chat up to where the next answer begins."""
        turns = [] if self.system is None else [Message("system", self.system)]
        turns.append(Message("user", self.question.replace("{prompt}", prompt)))
        for answer in earlier:
            turns += [Message("assistant", answer), Message("user", self.revise)]
        return tuple(turns)


PROGRAMS = Wording(
    question="{prompt}\n\nThink step by step, with an empty line between steps. "
    "Then write the whole program in one ```python block.",
    revise="This may be wrong. Look for the mistake, then solve the problem again step by step. "
    "Write the whole program in one ```python block.",
)
"""For problems whose answer is a program."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a served model is used; part of its name, so that stores of two are never mixed."""

    most_tokens: int = MOST_TOKENS
    """Of one solution; one that needs more is truncated."""
    step_end: str = STEP_END
    wording: Wording = Wording()


class OpenAIProposer:
    """A model of a server. Make one with `connect`."""

    def __init__(
        self,
        wire: Wire,
        capabilities: Capabilities,
        setting: Setting = Setting(),
        read: Read | None = None,
        held: object = None,
    ) -> None:
        self.name = _name(capabilities, setting)
        self.capabilities = capabilities
        self._wire = wire
        self._setting = setting
        self._read = read or extract.answer
        self._dialect = _dialect(wire, capabilities)
        self._together = _Together(self._dialect.complete, self._dialect.most_rows)
        self._earlier: dict[tuple[int, ...], str] = {}
        self._held = held
        self._leaves = 0

    @classmethod
    async def connect(
        cls,
        url: str,
        model: str | None = None,
        *,
        setting: Setting = Setting(),
        read: Read | None = None,
        requests_in_flight: int = REQUESTS_IN_FLIGHT,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        held: object = None,
    ) -> OpenAIProposer:
        """Find out what the server at `url` can do, and use its `model` (the only one, by default).

        Raises `ServerRefused` where there is no server, or none that this can use, or no such
        model; the message says what would do. `read` is that of the grader which will judge
        (`outthink.grade.grading`); by default an answer is taken as it is declared. `held` is kept
        as long as the proposer is: a server of this process, which ends when nobody holds it.
        """
        wire = Wire(url, requests_in_flight=requests_in_flight, patience=patience)
        try:
            capabilities = await examine(wire, model)
        finally:
            await wire.aclose()
        return cls(wire, capabilities, setting, read, held)

    def __repr__(self) -> str:
        return f"OpenAIProposer({self.name!r})"

    async def propose(self, draw: Draw) -> Drawn:
        """One row; raises `ServerError` or `ContextError` for this row, `ServerRefused` for all."""
        prefix, dialect = draw.prefix, self._dialect
        if not dialect.continues and (prefix.tokens or draw.until is not END):
            raise ServerRefused(
                f"{self._wire.root} cannot continue an answer, which beam search and lookahead "
                "need; use greedy, majority, best_of_n or revise, or serve the model with vLLM or "
                "llama.cpp"
            )
        row = _Row(prefix, self._setting.step_end.encode(), self._leaves)
        messages = await self._messages(prefix)
        parts = blank = 0
        while row.goes_on(draw.until):
            left = self._setting.most_tokens - len(row.tokens)
            if left <= 0 or blank == _BLANK_STEPS:
                row.truncated = True
                break
            found = await self._together.ask(
                Ask(
                    messages,
                    tuple(row.tokens),
                    left,
                    draw.temperature,
                    None if draw.until is END else self._setting.step_end,
                ),
                _seed(draw.seed, parts),
            )
            if found.ending is Ending.STOP and not found.tokens:
                raise ServerError(f"{self._wire.root}: stopped at nothing; see to the server")
            parts += 1
            blank = 0 if found.text.strip() else blank + 1
            row.take(found)
        answer = None
        if row.finished:
            text = row.text if not prefix.tokens else await self.text(row.tokens)
            # Some readers compute for a while, and other rows are in flight.
            answer = await asyncio.to_thread(self._read, text)
        return row.drawn(answer)

    async def text(self, tokens: Sequence[int]) -> str:
        """The text of these token ids, as the server has it."""
        return await self._dialect.text(tokens) if tokens else ""

    @property
    def rescores(self) -> bool:
        """Whether the server tells how likely the tokens of an answer were (`rescore`)."""
        return isinstance(self._dialect, Vllm | LlamaCpp)

    def leave(self, top: int) -> None:
        """From now on, leave the `top` likeliest log probabilities at each token in the state of a
        solution, where the server tells them as it writes; it then need not be read again."""
        if isinstance(self._dialect, LlamaCpp):
            self._leaves = self._dialect.likely = max(self._leaves, top)

    async def rescore(self, solution: Solution, top: int) -> Reread:
        """The `top` likeliest log probabilities at each token of a solution: as they were left in
        its state, or else it is read again. Nothing at the last token of a step."""
        if not isinstance(self._dialect, Vllm | LlamaCpp):
            raise ServerRefused(
                f"{self._wire.root} does not tell how likely the tokens of an answer were; serve "
                "the model with vLLM or llama.cpp"
            )
        tokens = solution.tokens
        if isinstance(self._dialect, Vllm):
            return await self._dialect.reread(await self._messages(solution), tokens, top)
        spared = _spared(solution)
        places = _known(solution) or [()] * len(tokens)
        missing = [at for at in range(len(tokens)) if len(places[at]) < top and at not in spared]
        found = Reread((), 0, 0)
        if missing:
            messages = await self._messages(solution)
            found = await self._dialect.reread(messages, tokens, top, missing)
        for at, place in zip(missing, found.top_logprobs, strict=True):
            places[at] = place
        if solution.state is not None:
            solution.state.proposer = Left(tuple(places))  # what follows it need not ask again
        told = tuple(() if at in spared else place[:top] for at, place in enumerate(places))
        return replace(found, top_logprobs=told)

    async def aclose(self) -> None:
        """Let go of all connections; the next draw makes new ones."""
        await self._wire.aclose()

    async def _messages(self, prefix: Solution) -> tuple[Message, ...]:
        earlier = []
        for tokens in prefix.history:
            if tokens not in self._earlier:
                if len(self._earlier) >= 4096:
                    self._earlier.clear()
                self._earlier[tokens] = await self.text(tokens)
            earlier.append(self._earlier[tokens].strip())
        return self._setting.wording.messages(prefix.problem.prompt, earlier)


@dataclass(frozen=True, slots=True)
class Left:
    """What is left in the state of a solution (`OpenAIProposer.leave`)."""

    top_logprobs: tuple[Likely, ...]
    """At every token; nothing where the server did not tell."""


def _spared(solution: Solution) -> set[int]:
    """Places that nobody is told of: llama.cpp does not tell of the token at which it stopped, so
    that of no delimiter is looked at, and a solution is as sure however it was drawn."""
    last = len(solution.tokens) if solution.finished else None
    return {end - 1 for end in solution.step_ends if end != last}


def _known(prefix: Solution) -> list[Likely] | None:
    """What was likely at each token of a prefix, where that was left in its state."""
    left = prefix.state.proposer if prefix.state else None
    if isinstance(left, Left):
        return list(left.top_logprobs)
    return None if prefix.tokens else []


class _Row:
    """A solution being written."""

    def __init__(self, prefix: Solution, step_end: bytes, leaves: int) -> None:
        self._prefix = prefix
        self._step_end = step_end
        self.tokens = list(prefix.tokens)
        self._ends = list(prefix.step_ends)
        self.text = ""
        """Of what was drawn here."""
        self._begun = b""
        """Text of the step that is not over."""
        self.finished = self.truncated = False
        self._prompt = self._cached = self._decoded = 0
        self._likely = _known(prefix) if leaves else None
        """At each token; `None` as soon as one is not known."""

    def goes_on(self, until: int | None) -> bool:
        if self.finished or self.truncated:
            return False
        return until is END or len(self._ends) < self._prefix.steps + until

    def take(self, found: Completion) -> None:
        """Append a completion, cut into steps."""
        for piece, token in zip(found.pieces or (), found.tokens, strict=False):
            self.tokens.append(token)
            self._begun += piece
            if self._step_end in self._begun.lstrip():
                self._end_step()
        if found.pieces is None:
            # Without the text of each token only the end of it all is known.
            self.tokens += found.tokens
            self._begun += found.text.encode()
            if found.ending is Ending.STOP and self._begun.strip():
                self._end_step()
        if self._likely is not None:
            self._likely = None if found.likely is None else [*self._likely, *found.likely]
        self.text += found.text
        ending = self._step_end.decode()
        if found.ending is Ending.STOP and not found.text.endswith(ending):
            self.text += ending  # llama.cpp gives its ids and leaves it out of the text
        self.finished = found.ending is Ending.END
        self.truncated = found.ending is Ending.LENGTH
        if self.finished and self._begun.strip():
            self._end_step()
        self._prompt += found.prompt_tokens
        self._cached += found.cached_tokens
        self._decoded += found.decoded_tokens

    def drawn(self, answer: str | None) -> Drawn:
        solution = replace(
            self._prefix,
            tokens=tuple(self.tokens),
            step_ends=tuple(self._ends),
            finished=self.finished,
            truncated=self.truncated,
            answer=answer,
            state=None if self._likely is None else State(Left(tuple(self._likely))),
        )
        steps = len(self._ends) - self._prefix.steps
        rest = len(self.tokens) > (self._ends[-1] if self._ends else 0)
        texts = _cut(self.text, self._step_end.decode(), steps + rest)
        return Drawn(
            solution, self._prompt, self._cached, self._decoded, measured=True, texts=texts
        )

    def _end_step(self) -> None:
        self._ends.append(len(self.tokens))
        self._begun = b""


def _cut(text: str, step_end: str, parts: int) -> tuple[str, ...]:
    """A row's text in so many parts, each up to its delimiter; nothing is lost.

    Not by the text of each token: a tokenizer may give that without the space in front of it, or
    half a letter.
    """
    found, at = [], 0
    for left in range(parts, 0, -1):
        begins = len(text) - len(text[at:].lstrip(_BLANK))
        end = text.find(step_end, begins) if left > 1 else -1
        end = len(text) if end < 0 else end + len(step_end)
        found.append(text[at:end])
        at = end
    return tuple(found)


_BLANK = " \t\n\r\v\f"
"""What says nothing, as it is of bytes."""


class _Together:
    """Makes one request of rows that ask for the same in the same turn of the loop."""

    def __init__(
        self,
        complete: Callable[[Ask, Sequence[int]], Awaitable[list[Completion]]],
        most_rows: int,
    ) -> None:
        self._complete = complete
        self._most_rows = most_rows
        self._waiting: dict[Ask, list[tuple[int, asyncio.Future[Completion]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, ask: Ask, seed: int) -> Completion:
        """One row. Cancelled, it cancels its request once no other row waits for it."""
        loop = asyncio.get_running_loop()
        row: asyncio.Future[Completion] = loop.create_future()
        if ask not in self._waiting:
            self._waiting[ask] = []
            loop.call_soon(self._launch, ask)
        self._waiting[ask].append((seed, row))
        return await row

    def _launch(self, ask: Ask) -> None:
        rows = [each for each in self._waiting.pop(ask) if not each[1].done()]
        rows.sort(key=lambda each: each[0])
        most = self._most_rows if ask.temperature > 0 else 1
        group: list[tuple[int, asyncio.Future[Completion]]] = []
        for seed, row in rows:
            if group and (seed != group[-1][0] + 1 or len(group) == most):
                self._start(ask, group)
                group = []
            group.append((seed, row))
        if group:
            self._start(ask, group)

    def _start(self, ask: Ask, group: list[tuple[int, asyncio.Future[Completion]]]) -> None:
        task = asyncio.create_task(self._run(ask, group))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def left(_: asyncio.Future[Completion]) -> None:
            if all(row.done() for _, row in group):
                task.cancel()

        for _, row in group:
            row.add_done_callback(left)

    async def _run(self, ask: Ask, group: list[tuple[int, asyncio.Future[Completion]]]) -> None:
        try:
            found = await self._complete(ask, [seed for seed, _ in group])
        except Exception as error:
            for _, row in group:
                if not row.done():
                    row.set_exception(error)
            return
        for (_, row), each in zip(group, found, strict=True):
            if not row.done():
                row.set_result(each)


def _seed(seed: int, part: int) -> int:
    """What the server is given: rows of one request count up in their first part."""
    if part:
        digest = hashlib.blake2b(f"{seed}/{part}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") & ((1 << _SEED_BITS) - 1)
    return (seed * _ROWS & _MASK) & ((1 << _SEED_BITS) - 1)


def _dialect(wire: Wire, found: Capabilities) -> Dialect:
    if found.kind is Kind.VLLM:
        assert found.context is not None
        return Vllm(wire, found.model, context=found.context)
    if found.kind is Kind.LLAMA_CPP:
        assert found.context is not None
        most_rows = min(found.slots, 16) if found.several else 1
        return LlamaCpp(wire, found.model, context=found.context, most_rows=most_rows)
    return Chat(
        wire,
        found.model,
        most_rows=8 if found.several else 1,
        seed=found.seed,
        length_field=found.length_field,
    )


def _name(found: Capabilities, setting: Setting) -> str:
    """The model, and eight digits of everything else that decides what it writes."""
    about = repr((found.model, found.weights, found.kind.value, setting))
    digest = hashlib.blake2b(about.encode(), digest_size=4).hexdigest()
    # llama.cpp names a model by the path of its file.
    return f"{PurePosixPath(found.model.replace(chr(92), '/')).name}-{digest}"
