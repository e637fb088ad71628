"""A model that writes, for verifiers that judge by what it writes: critiques, marks, tests.

The proposer itself, or a model of another address. A served one is asked as a chat, so what it
writes is its own turn; one of transformers draws as a proposer does, without the words that ask for
an answer in a box. Knows nothing of what is asked, or of scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from outthink.errors import ContextError, ServerRefused, UsageError
from outthink.models import fleet, in_process
from outthink.models.dialects import content, counted, guessed, prompt_counts
from outthink.models.http import REQUESTS_IN_FLIGHT, HttpClient, Malformed, RetryPolicy
from outthink.types import (
    END,
    BatchProposer,
    Draw,
    Problem,
    Proposer,
    Solution,
    Verified,
)

MOST_TOKENS = 1024
"""Of one answer."""
ALTERNATIVES = 20
"""Likeliest tokens asked for at each place: the most that chat APIs give."""
_SEED_BITS = 31


@dataclass(frozen=True, slots=True)
class Token:
    """A token of an answer, and what else might have stood there."""

    text: str
    likely: tuple[tuple[str, float], ...]
    """The likeliest tokens and their log probabilities."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was written, and what it cost."""

    text: str
    prompt_tokens: int
    """Computed."""
    cached_tokens: int
    written_tokens: int
    tokens: tuple[Token, ...] = ()
    """Where the server tells them."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What several replies cost together."""

    computed: int = 0
    cached: int = 0
    written: int = 0

    @classmethod
    def of(cls, replies: Sequence[Reply]) -> Cost:
        written = sum(reply.written_tokens for reply in replies)
        read = sum(reply.prompt_tokens for reply in replies)
        return cls(read + written, sum(reply.cached_tokens for reply in replies), written)

    def verified(self, scores: Any) -> Verified:
        """A row that cost this; what was written is a critique."""
        return Verified(scores, self.computed, self.cached, 0, self.written)


class Writer(Protocol):
    """Writes an answer to a text."""

    name: str
    """Pins the model and how it is asked."""

    async def write(self, text: str, *, seed: int, temperature: float) -> Reply:
        """One answer; `seed` fixes what is sampled, as far as the model keeps that promise."""
        ...

    async def aclose(self) -> None: ...


@runtime_checkable
class Chats(Protocol):
    """A served proposer whose server may be asked anything."""

    @property
    def chat(self) -> tuple[HttpClient, str]: ...


@runtime_checkable
class Plain(Protocol):
    """A proposer in process that can draw answers to a text as it is."""

    def plain(self, most_tokens: int) -> BatchProposer: ...


def writer(
    proposer: Proposer | BatchProposer, *, most_tokens: int = MOST_TOKENS, what: str = "this"
) -> Writer:
    """The proposer as a writer. Raises `UsageError` for one that knows a single task; `what` is the
    verifier that needs it."""
    if isinstance(proposer, Chats):
        client, model = proposer.chat
        return ChatWriter(client, model, most_tokens)
    if isinstance(proposer, Plain):
        return _Drawing(proposer.plain(most_tokens))
    raise UsageError(
        f"{what} needs a model that writes, and {proposer.name} knows a single task; name one, as "
        f"{what}:http://HOST:PORT"
    )


async def connect(
    url: str,
    model: str | None,
    *,
    most_tokens: int = MOST_TOKENS,
    what: str = "genrm",
    retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
) -> ChatWriter:
    """The model at an address; its only one, by default. Raises `ServerRefused` where there is no
    such server or model."""
    client = fleet.client(url, requests_in_flight=REQUESTS_IN_FLIGHT, retry=retry)
    try:
        if await client.once("/v1/models") is None:
            raise ServerRefused(
                f"{client.root}: no server answers there; start one, or check the address"
            )
        names = await client.get("/v1/models", lambda value: [str(e["id"]) for e in value["data"]])
    finally:
        await client.aclose()
    if (model is None and len(names) != 1) or (model is not None and model not in names):
        raise ServerRefused(
            f"{client.root}: has {', '.join(names) or 'no models'}; name one, as in "
            f"{what}:{client.root}#MODEL"
        )
    return ChatWriter(client, model or names[0], most_tokens)


class ChatWriter:
    """A served model, asked as a chat."""

    def __init__(
        self,
        client: HttpClient,
        model: str,
        most_tokens: int = MOST_TOKENS,
        *,
        tells: bool | None = None,
    ) -> None:
        """`tells`: whether log probabilities are asked for; `None` tries whether they come."""
        self.name = f"{model.rpartition('/')[2]}-{most_tokens}"
        self.model = model
        self._client = client
        self._most_tokens = most_tokens
        self._tells = tells

    async def write(self, text: str, *, seed: int, temperature: float) -> Reply:
        """One answer, with log probabilities where the server gives them."""
        if self._tells is None:
            self._tells = await self._tried()
        body = self._body(text, self._most_tokens, temperature)
        body["seed"] = seed & ((1 << _SEED_BITS) - 1)
        if self._tells:
            body |= _TELL

        def read(value: Any) -> Reply:
            choice = value["choices"][0]
            answer = content(choice)
            prompt, cached = prompt_counts(value.get("usage"), guessed(text))
            written = counted(value.get("usage")) or guessed(answer)
            return Reply(answer, prompt, cached, written, _tokens(choice) if self._tells else ())

        return await self._client.post("/v1/chat/completions", body, read)

    async def _tried(self) -> bool:
        """Ask for one token; a server that gives no log probabilities leaves them out, or
        refuses."""
        body = self._body("Yes or No?", 1, 0.0) | _TELL
        response = await self._client.once("/v1/chat/completions", body, tries=3)
        if response is None or response.status_code != 200:
            return False
        try:
            return bool(_tokens(response.json()["choices"][0]))
        except (ValueError, KeyError, TypeError, IndexError, Malformed):
            return False

    def _body(self, text: str, most: int, temperature: float) -> dict[str, Any]:
        turns = [{"role": "user", "content": text}]
        asked = {"model": self.model, "messages": turns, "max_tokens": most}
        return {**asked, "temperature": temperature}

    async def aclose(self) -> None:
        """Let go of all connections."""
        await self._client.aclose()


_TELL = {"logprobs": True, "top_logprobs": ALTERNATIVES}


def _tokens(choice: Any) -> tuple[Token, ...]:
    told = (choice.get("logprobs") or {}).get("content") or ()
    return tuple(
        Token(
            str(one["token"]),
            tuple(
                (str(other["token"]), float(other["logprob"]))
                for other in one.get("top_logprobs") or ()
                if other["logprob"] is not None
            ),
        )
        for one in told
    )


class _Drawing:
    """A model in process."""

    def __init__(self, proposer: BatchProposer) -> None:
        self.name = proposer.name
        self._proposer = in_process.proposer(proposer)

    async def write(self, text: str, *, seed: int, temperature: float) -> Reply:
        """One answer, without log probabilities."""
        start = Solution.start(Problem("written", text))
        async for _, row, _ in self._proposer.propose([Draw(start, END, temperature, seed)]):
            if row.solution.truncated and not row.decoded_tokens:
                raise ContextError(
                    f"{self.name}: the question to it is longer than the model reads; name a model "
                    "with a longer context"
                )
            said = await self._proposer.text(row.solution.tokens)
            return Reply(said, row.prompt_tokens, row.cached_tokens, row.decoded_tokens)
        raise AssertionError("a proposer returns a row each")

    async def aclose(self) -> None:
        """Nothing is held."""


def seed_of(*about: object) -> int:
    """63 bits that follow from what is asked: the same question has the same answer."""
    digest = hashlib.blake2b("\0".join(map(str, about)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
