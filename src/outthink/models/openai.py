"""A proposer that is any OpenAI-compatible server: vLLM, llama.cpp, or one with chat alone.

The first turn is a chat; what follows is appended to it as token ids where the server takes them
(`dialects`). A step ends with the token in which its delimiter is complete, and keeps it. A step is
never blank: a delimiter alone belongs to the step after it. Text that ended without a delimiter is
a step too; text that was cut off is none. `finished` says that there was an end mark; its token is
not part of the solution.

Rows of one request that extend the same prefix are one HTTP request as far as the server takes
several (`n`), and rows that are missing are asked for again. What a seed fixes is up to the server:
vLLM and llama.cpp draw the same again as long as nothing else about a batch changes their
arithmetic; hosted servers promise nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import PurePosixPath

from outthink.errors import ServerError, ServerRefused, UsageError
from outthink.grade import extract
from outthink.models.asking import Asking
from outthink.models.capabilities import Capabilities, Kind, examine, of_chats
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
    before,
)
from outthink.models.http import REQUESTS_IN_FLIGHT, HttpClient, RetryPolicy
from outthink.models.in_process import SharedTime, in_flight
from outthink.models.thinking import parted
from outthink.types import (
    END,
    SEED_STRIDE,
    Arrival,
    Draw,
    Drawn,
    Force,
    Problem,
    Solution,
    State,
    Turn,
)

MOST_TOKENS = 2048
STEP_END = "\n\n"
_BLANK_STEPS = 8
"""Blank steps in a row after which an answer is cut off."""
_SEED_BITS = 31
_MASK = (1 << 63) - 1
_ROWS = pow(SEED_STRIDE, -1, 1 << 63)

Read = Callable[[str], str | None]
"""Finds the final answer in a finished text. Answers that it writes alike vote together."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The prompts that a model is given. `{prompt}` stands for the problem."""

    system: str | None = None
    question: str = (
        "{prompt}\n\nThink step by step, with an empty line between steps. "
        "Put the final answer within \\boxed{}."
    )
    revise: str = (
        "This may be wrong. Look for the mistake, then solve the problem again step by step. "
        "Put the final answer within \\boxed{}."
    )

    def messages(
        self,
        prompt: str,
        earlier: Sequence[str] = (),
        examples: Sequence[tuple[str, str]] = (),
    ) -> tuple[Message, ...]:
        """The chat up to where the next answer begins; `examples` are problems with answers."""
        turns = [] if self.system is None else [Message("system", self.system)]
        for problem, answer in examples:
            turns.append(Message("user", self.question.replace("{prompt}", problem)))
            turns.append(Message("assistant", answer))
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

PLAIN = Wording(
    question="{prompt}",
    revise="This may be wrong, or could be better. Look for what to mend, then answer again.",
)
"""For what is no problem with a final answer, but a conversation."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a model is asked; part of its name, so that draws of two settings are never mixed."""

    most_tokens: int = MOST_TOKENS
    """Most tokens of one solution; a longer one is truncated."""
    step_end: str = STEP_END
    wording: Wording = Wording()


class OpenAIProposer:
    """A model of a server. Make one with `connect`."""

    def __init__(
        self,
        client: HttpClient,
        capabilities: Capabilities,
        setting: Setting = Setting(),
        read: Read | None = None,
        keep_alive: object = None,
        reader: str = "",
        asking: Asking = Asking(),  # noqa: B008 - frozen
    ) -> None:
        refuse(capabilities, asking)
        if split := [stop for stop in asking.stop if setting.step_end in stop]:
            raise UsageError(
                f"stop {split[0]!r} holds the delimiter of steps, {setting.step_end!r}, and would "
                "be missed where an answer is drawn step by step; write what follows it"
            )
        self.name = _name(capabilities, setting, asking)
        self.capabilities = capabilities
        self._client = client
        self._setting = setting
        self.read = read or extract.answer
        self.reader = reader
        self._asking = asking
        self._dialect = _dialect(client, capabilities, asking)
        self._together = _Together(self._dialect.complete, self._dialect.most_rows)
        self._earlier: dict[tuple[int, ...], str] = {}
        self._keep_alive = keep_alive
        self._time = SharedTime()
        self._known: dict[int, bytes] = {}
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
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
        keep_alive: object = None,
        reader: str = "",
        asking: Asking = Asking(),  # noqa: B008 - frozen
        whole: bool = False,
    ) -> OpenAIProposer:
        """Find out what the server at `url` can do, and use its `model` (the only one, by default).

        Raises `ServerRefused` where there is no server, or none that this can use, or no such
        model; the message says what would do. `read` extracts an answer as the grader does that
        will judge it (`outthink.grade.grading`), and `reader` is that grader's name; by default an
        answer is taken as it is declared. `whole`: ask for whole chats alone, even where the server
        takes token ids; tools and formats of a reply need that. The proposer refers to `keep_alive`
        as long as it exists: a server of this process, which ends when nothing refers to it.
        """
        if asking.request_s is not None:
            retry = replace(retry, request_s=asking.request_s)
        if asking.patience_s is not None:
            retry = replace(retry, patience_s=asking.patience_s)
        most = asking.requests_in_flight or requests_in_flight
        client = HttpClient(url, requests_in_flight=most, retry=retry)
        try:
            capabilities = await examine(client, model)
            if whole:
                capabilities = await of_chats(client, capabilities)
        finally:
            await client.aclose()
        return cls(client, capabilities, setting, read, keep_alive, reader, asking)

    def __repr__(self) -> str:
        return f"OpenAIProposer({self.name!r})"

    def propose(self, draws: Sequence[Draw]) -> AsyncIterator[Arrival[Drawn]]:
        """Rows as they come, each a request in flight."""
        return in_flight(self._extend, draws, self._time)

    async def _extend(self, draw: Draw) -> Drawn:
        """One row; raises `ServerError` or `ContextError` for this row, `ServerRefused` for all."""
        prefix, dialect = draw.prefix, self._dialect
        if not dialect.continues and (prefix.tokens or draw.until is not END or draw.force):
            raise ServerRefused(
                f"{self._client.root} cannot continue an answer, which beam search, lookahead and "
                "budget forcing need; use greedy, majority, best_of_n or revise, or serve the "
                "model with vLLM or llama.cpp"
            )
        framing = prefix.problem.framing
        if framing.needs_chat and not isinstance(dialect, Chat):
            raise UsageError(
                f"{self.name} is asked by token ids and cannot be given tools or a format of its "
                "reply; connect it for whole chats alone"
            )
        if not self.capabilities.tools and '"tools"' in framing.reply:
            raise ServerRefused(
                f"{self._client.root} leaves tools out: the chat template of its model has no "
                "place for them; serve a model that was made to call tools"
            )
        row = await self._row(draw)
        messages = await self._messages(prefix)
        if draw.force is not None and draw.force.end is not None:
            return await self._thought(row, messages, draw, draw.force)
        parts = blank = 0
        while row.goes_on(draw.until):
            left = self._most(prefix.problem) - len(row.tokens)
            if left <= 0 or blank == _BLANK_STEPS:
                row.truncated = True
                break
            stop = None if draw.until is END else self._setting.step_end
            most = left if stop is None else min(left, row.step_left)
            ends = framing.stop or self._asking.ends
            heat, written = self._heat(draw), tuple(row.tokens)
            asked = Ask(messages, written, most, heat, stop, ends, reply=framing.reply)
            completion = await self._together.ask(asked, _seed(draw.seed, parts))
            told = None if stop and not asked.ends else await self._pieces(completion)
            if told is not None and asked.ends:
                completion, told = before(completion, told, asked)
            if completion.ending is Ending.STOP and not completion.tokens:
                raise ServerError(
                    f"{self._client.root}: a row stopped at the end of a step without a token; "
                    "check the server"
                )
            parts += 1
            blank = 0 if completion.text.strip() else blank + 1
            # Up to where it stops there is one step.
            row.take(completion, () if stop else told or ())
        answer = None
        if row.finished:
            text = row.text if not prefix.tokens else await self.text(row.tokens)
            # Some readers compute for a while, and other rows are in flight.
            answer = await asyncio.to_thread(self.read, text)
        return row.drawn(answer)

    async def _row(self, draw: Draw) -> _Row:
        """A row with what its model is made to say."""
        prefix, force = draw.prefix, draw.force
        by_token = force is not None or self._asking.step_tokens is not None
        row = _Row(
            prefix,
            self._setting.step_end.encode(),
            self._leaves,
            self._asking.step_tokens,
            by_token=by_token,
        )
        if force is not None:
            begun = prefix.tokens[prefix.step_ends[-1] if prefix.step_ends else 0 :]
            row.goes_on_from(await self.text(begun))
            if force.say:
                row.say(await self._dialect.ids(force.say), force.say)
        return row

    async def _thought(
        self, row: _Row, messages: tuple[Message, ...], draw: Draw, force: Force
    ) -> Drawn:
        """A row up to the end of its thought."""
        assert force.end is not None
        limit = self._most(draw.prefix.problem)
        if (force.most_tokens or 0) >= limit:
            raise UsageError(
                f"a thought of {force.most_tokens} tokens leaves no room for an answer in a "
                f"solution of {limit}; raise --most-tokens, or think less"
            )
        most = min(limit, force.most_tokens or sys.maxsize) - len(row.tokens)
        if most > 0:
            ids = await self._dialect.ids(force.end)
            mark = ids if len(ids) == 1 else ()
            written = tuple(row.tokens)
            ask = Ask(messages, written, most, self._heat(draw), None, (force.end,), mark)
            completion = await self._together.ask(ask, _seed(draw.seed, 0))
            row.think(*before(completion, await self._pieces(completion), ask))
        return row.drawn(None)

    async def text(self, tokens: Sequence[int]) -> str:
        """The text of these token ids, as the server has it."""
        return await self._dialect.text(tokens) if tokens else ""

    @property
    def rescores(self) -> bool:
        """Whether the server gives log probabilities of an answer (`rescore`)."""
        return isinstance(self._dialect, Vllm | LlamaCpp)

    def leave(self, top: int) -> None:
        """From now on, keep the `top` likeliest log probabilities at each token in the state of a
        solution, where the server gives them as it writes; the solution then need not be read
        again."""
        if isinstance(self._dialect, Vllm | LlamaCpp):
            self._leaves = self._dialect.likely = max(self._leaves, top)

    async def rescore(self, solution: Solution, top: int) -> Reread:
        """The `top` likeliest log probabilities at each token of a solution: those in its state, or
        else from reading it again. None at the last token of a step."""
        if not isinstance(self._dialect, Vllm | LlamaCpp):
            raise ServerRefused(
                f"{self._client.root} gives no log probabilities of an answer; serve the model "
                "with vLLM or llama.cpp"
            )
        tokens = solution.tokens
        if isinstance(self._dialect, Vllm):
            known = _known(solution) or [()]
            if all(known):
                return Reread(tuple(place[:top] for place in known), 0, 0)
            return await self._dialect.reread(await self._messages(solution), tokens, top)
        spared = _spared(solution)
        places = _known(solution) or [()] * len(tokens)
        missing = [
            index
            for index in range(len(tokens))
            if len(places[index]) < top and index not in spared
        ]
        reread = Reread((), 0, 0)
        if missing:
            messages = await self._messages(solution)
            reread = await self._dialect.reread(messages, tokens, top, missing)
        for index, place in zip(missing, reread.top_logprobs, strict=True):
            places[index] = place
        if solution.state is not None:
            # Solutions that extend it need not ask again.
            solution.state.proposer = Left(tuple(places))
        told = tuple(() if index in spared else place[:top] for index, place in enumerate(places))
        return replace(reread, top_logprobs=told)

    async def aclose(self) -> None:
        """Let go of all connections; the next draw makes new ones."""
        await self._client.aclose()

    async def _pieces(self, completion: Completion) -> list[bytes]:
        """The text of each token; asked for where it did not come with the row."""
        pairs = list(zip(completion.tokens, completion.pieces, strict=True))
        new = list({token for token, piece in pairs if piece is None} - self._known.keys())
        texts = await asyncio.gather(*(self.text([token]) for token in new))
        self._known.update(zip(new, map(str.encode, texts), strict=True))
        return [self._known[token] if piece is None else piece for token, piece in pairs]

    async def _messages(self, prefix: Solution) -> tuple[Message, ...]:
        earlier = []
        for tokens in prefix.history:
            if tokens not in self._earlier:
                if len(self._earlier) >= 4096:
                    self._earlier.clear()
                self._earlier[tokens] = await self.text(tokens)
            whole = self._earlier[tokens]
            earlier.append(parted(whole).answer.strip() or whole.strip())
        wording, examples = self._setting.wording, self._asking.examples
        problem = prefix.problem
        turns = wording.messages(problem.prompt, earlier, examples)
        said, later = map(_said, (problem.framing.earlier, problem.framing.later))
        if wording.system is not None and said and said[0].role == "system":
            # Templates know one system text; that of the conversation follows the model's own.
            first, *said = said
            turns = (Message("system", f"{wording.system}\n\n{first.content}"), *turns[1:])
        elif said and said[0].role == "system":
            turns, said = (said[0], *turns), said[1:]
        # Examples come before the conversation, the prompt and what revises it after.
        begun = (turns[0].role == "system") + 2 * len(examples)
        return (*turns[:begun], *said, turns[begun], *later, *turns[begun + 1 :])

    def _most(self, problem: Problem) -> int:
        """Tokens of one solution."""
        return min(self._setting.most_tokens, problem.framing.most_tokens or sys.maxsize)

    def _heat(self, draw: Draw) -> float:
        """The temperature of a row."""
        framed = draw.prefix.problem.framing.temperature
        return draw.temperature and (framed or self._asking.at(draw.temperature))


def _said(turns: Sequence[Turn]) -> list[Message]:
    return [Message(turn.role, turn.text, turn.message) for turn in turns]


@dataclass(frozen=True, slots=True)
class Left:
    """What `OpenAIProposer.leave` keeps in the state of a solution."""

    top_logprobs: tuple[Likely, ...]
    """At every token; empty where the server gave none."""


def _spared(solution: Solution) -> set[int]:
    """Places whose log probabilities are not used. llama.cpp gives none for the token that it
    stopped at, so those of all delimiters are left out: confidence then does not depend on how a
    solution was drawn."""
    last = len(solution.tokens) if solution.finished else None
    return {end - 1 for end in solution.step_ends if end != last}


def _known(prefix: Solution) -> list[Likely] | None:
    """Log probabilities at each token of a prefix, where its state has them."""
    left = prefix.state.proposer if prefix.state else None
    if isinstance(left, Left):
        return list(left.top_logprobs)
    return None if prefix.tokens else []


class _Row:
    """A solution being written."""

    def __init__(
        self,
        prefix: Solution,
        step_end: bytes,
        leaves: int,
        step_tokens: int | None = None,
        *,
        by_token: bool = False,
    ) -> None:
        """`by_token`: a step may end without its delimiter, so texts are cut where steps ended."""
        self._prefix = prefix
        self._step_tokens = step_tokens
        self._by_token = by_token
        self._cuts: list[int] = []
        """Where in `text` a step ended, each that ended here."""
        self._step_end = step_end
        self.tokens = list(prefix.tokens)
        self._ends = list(prefix.step_ends)
        self.text = ""
        """The text that was drawn here."""
        self._begun = b""
        """Text of the step that has not ended."""
        self.finished = self.truncated = False
        self._prompt = self._cached = self._decoded = 0
        self._likely = _known(prefix) if leaves else None
        """Log probabilities at each token; `None` once those of one token are not known."""

    def goes_on(self, until: int | None) -> bool:
        if self.finished or self.truncated:
            return False
        return until is END or len(self._ends) < self._prefix.steps + until

    @property
    def step_left(self) -> int:
        """Tokens that the step may still have."""
        return (self._step_tokens or sys.maxsize) - self._step_length

    @property
    def _step_length(self) -> int:
        return len(self.tokens) - (self._ends[-1] if self._ends else 0)

    def goes_on_from(self, begun: str) -> None:
        """`begun` is the text of the step that the prefix did not end."""
        self._begun = begun.encode()

    def say(self, ids: Sequence[int], text: str) -> None:
        """Append what the model did not write; it begins a step, or goes on with one."""
        self.tokens += ids
        self.text += text
        self._begun += text.replace(self._step_end.decode(), " ").encode()
        if self._likely is not None:
            self._likely += [()] * len(ids)

    def think(self, completion: Completion, pieces: Sequence[bytes]) -> None:
        """Append thoughts; the solution stays open."""
        self.take(completion, pieces)
        self.finished = self.truncated = False

    def take(self, completion: Completion, pieces: Sequence[bytes]) -> None:
        """Append a completion, cut into steps by the text of each token; without `pieces`, it holds
        one step at most."""
        said = b""
        for piece, token in zip(pieces, completion.tokens, strict=bool(pieces)):
            self.tokens.append(token)
            self._begun += piece
            said += piece
            if self._step_end in self._begun.lstrip() or self.step_left <= 0:
                self._end_step()
                self._cuts.append(len(self.text) + len(said.decode("utf-8", "ignore")))
        if not pieces:
            self.tokens += completion.tokens
            self._begun += completion.text.encode()
        is_full = not pieces and bool(completion.tokens) and self.step_left <= 0
        if is_full or (completion.ending is not Ending.CUT and self._begun.strip()):
            self._end_step()
        if self._likely is not None:
            self._likely = (
                None if completion.likely is None else [*self._likely, *completion.likely]
            )
        self.text += completion.text
        ending = self._step_end.decode()
        if completion.ending is Ending.STOP and not completion.text.endswith(ending):
            self.text += ending  # llama.cpp gives its ids and leaves it out of the text
        if len(self._cuts) < len(self._ends) - self._prefix.steps:
            self._cuts.append(len(self.text))
        self.finished = completion.ending is Ending.END
        self.truncated = completion.ending is Ending.CUT and not is_full
        self._prompt += completion.prompt_tokens
        self._cached += completion.cached_tokens
        self._decoded += completion.decoded_tokens

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
        if not self._by_token:
            texts = _cut(self.text, self._step_end.decode(), steps + rest)
        else:
            inner = [*self._cuts, len(self.text)][: steps + rest - 1]
            texts = tuple(
                self.text[begin:end]
                for begin, end in pairwise([0, *inner, len(self.text)][: steps + rest + 1])
            )
        return Drawn(
            solution, self._prompt, self._cached, self._decoded, measured=True, texts=texts
        )

    def _end_step(self) -> None:
        self._ends.append(len(self.tokens))
        self._begun = b""


def _cut(text: str, step_end: str, parts: int) -> tuple[str, ...]:
    """A row's text in so many parts, each up to its delimiter; nothing is lost.

    The text is not cut token by token: a tokenizer may give a token's text without the space in
    front of it, or half a letter.
    """
    texts, start = [], 0
    for left in range(parts, 0, -1):
        begins = len(text) - len(text[start:].lstrip(_BLANK))
        end = text.find(step_end, begins) if left > 1 else -1
        end = len(text) if end < 0 else end + len(step_end)
        texts.append(text[start:end])
        start = end
    return tuple(texts)


_BLANK = " \t\n\r\v\f"
"""White space, as `bytes.strip` has it."""


class _Together:
    """Makes one request of rows that ask for the same in one turn of the event loop."""

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
        """One row. A cancelled row cancels its request once no other row waits for it."""
        loop = asyncio.get_running_loop()
        row: asyncio.Future[Completion] = loop.create_future()
        if ask not in self._waiting:
            self._waiting[ask] = []
            loop.call_soon(self._launch, ask)
        self._waiting[ask].append((seed, row))
        return await row

    def _launch(self, ask: Ask) -> None:
        rows = [row for row in self._waiting.pop(ask) if not row[1].done()]
        rows.sort(key=lambda row: row[0])
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
        completions: list[Completion] = []
        try:
            while len(completions) < len(group):  # a server may give fewer than it is asked for
                completions += await self._complete(
                    ask, [seed for seed, _ in group[len(completions) :]]
                )
        except Exception as error:
            for _, row in group:
                if not row.done():
                    row.set_exception(error)
            return
        for (_, row), completion in zip(group, completions, strict=True):
            if not row.done():
                row.set_result(completion)


def _seed(seed: int, part: int) -> int:
    """The seed that the server is given; the first parts of the rows of a request have seeds that
    count up."""
    if part:
        digest = hashlib.blake2b(f"{seed}/{part}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") & ((1 << _SEED_BITS) - 1)
    return (seed * _ROWS & _MASK) & ((1 << _SEED_BITS) - 1)


def _dialect(client: HttpClient, server: Capabilities, asking: Asking) -> Dialect:
    if server.kind is Kind.VLLM:
        assert server.context is not None
        return Vllm(client, server.model, context=server.context, asking=asking)
    if server.kind is Kind.LLAMA_CPP:
        assert server.context is not None
        most_rows = min(server.slots, 16) if server.several else 1
        return LlamaCpp(
            client, server.model, context=server.context, most_rows=most_rows, asking=asking
        )
    return Chat(
        client,
        server.model,
        most_rows=8 if server.several else 1,
        seed=server.seed,
        length_field=server.length_field,
        temperatures=server.temperatures,
        top_p=server.top_p,
        asking=asking,
    )


_NOT_OF_CHAT = ("top_k", "min_p", "step_tokens", "template", "completion")


def refuse(server: Capabilities, asking: Asking) -> None:
    """Raises `ServerRefused` for options that the server cannot do."""
    if server.kind is not Kind.CHAT:
        return
    lacking = [name for name in _NOT_OF_CHAT if name in asking.given]
    if asking.top_p is not None and not server.top_p:
        lacking.append("top_p")
    if asking.temperature is not None and 1.0 not in server.temperatures:
        lacking.append("temperature")
    if lacking:
        raise ServerRefused(
            f"{server.url}: speaks chat alone and cannot do {', '.join(lacking)}; leave out, put "
            "a field of the server's own under extra, or serve the model with vLLM or llama.cpp"
        )


def _name(server: Capabilities, setting: Setting, asking: Asking) -> str:
    """The model, and eight digits of everything else that decides what it writes."""
    parts: tuple[object, ...] = (server.model, server.weights, server.kind.value, setting)
    if server.temperatures != (0.0, 1.0) or not server.top_p:
        parts = (*parts, server.temperatures, server.top_p)
    if asking.identity:
        parts = (*parts, asking.identity)
    about = repr(parts)
    digest = hashlib.blake2b(about.encode(), digest_size=4).hexdigest()
    # llama.cpp names a model by the path of its file.
    return f"{PurePosixPath(server.model.replace(chr(92), '/')).name}-{digest}"
