"""A process reward model that vLLM serves, through its pooling endpoint.

    vllm serve Qwen/Qwen2.5-Math-PRM-7B --runner pooling

`POST /pooling` with token ids gives one row of numbers a token, or, where the server pools by
`STEP`, one a step tag (`PoolingResponse`, vllm/entrypoints/pooling/pooling/protocol.py). Text
becomes ids here, by the family's row and the model's own tokenizer, so that what is read is the
same as in process. What the server makes of the numbers differs between its versions
(`use_activation`), so it is tried once: whether they change when they are asked for as they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from outthink.errors import ServerRefused
from outthink.models import fleet
from outthink.models.about import require
from outthink.models.dialects import prompt_counts
from outthink.models.http import REQUESTS_IN_FLIGHT, HttpClient, Malformed, RetryPolicy
from outthink.types import Scores, Verified
from outthink.verify.families import (
    Classes,
    Encoder,
    Family,
    MeanLogit,
    Tokenizer,
    Words,
    detected,
    family,
)
from outthink.verify.written import SolutionText

_TASK = "token_classify"
"""What vLLM calls it since 0.11; older ones have one task and no name for it."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """How a server pools, found out by trying."""

    model: str
    task: str | None
    raw: bool
    """It gives logits where it is asked to; else what it gives are probabilities."""


class PoolingPRM:
    """A served PRM. Make one with `connect`, and a verifier of it with `reading`."""

    def __init__(
        self, client: HttpClient, pooling: Pooling, row: Family, encoder: Encoder, name: str
    ) -> None:
        if isinstance(row.readout, MeanLogit):
            raise ServerRefused(
                f"a {row.name} PRM is read from all logits, which no server gives; load it in "
                f"process, as prm:{pooling.model}"
            )
        self.name = name
        self.family = row
        self._client = client
        self._pooling = pooling
        self._encoder = encoder
        words = encoder.words(row.readout) if isinstance(row.readout, Words) else None
        self._words = words

    @classmethod
    async def connect(
        cls,
        url: str,
        model: str | None = None,
        row: Family | str | None = None,
        *,
        tokenizer: Tokenizer | None = None,
        requests_in_flight: int = REQUESTS_IN_FLIGHT,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - frozen
    ) -> PoolingPRM:
        """Find out how the server at `url` pools, and use its `model` (the only one, by default).

        The tokenizer is that of the model's name, or its folder, unless one is given. Raises
        `ServerRefused` where there is no such server, or it does not pool.
        """
        client = fleet.client(url, requests_in_flight=requests_in_flight, retry=retry)
        try:
            return await cls._connected(client, model, row, tokenizer)
        finally:
            await client.aclose()

    @classmethod
    async def _connected(
        cls,
        client: HttpClient,
        model: str | None,
        row: Family | str | None,
        tokenizer: Tokenizer | None,
    ) -> PoolingPRM:
        if await client.once("/v1/models") is None:
            raise ServerRefused(
                f"{client.root}: no server answers there; start one, or check the address"
            )
        listed = await client.get("/v1/models", lambda value: list(value["data"]))
        models = {str(entry["id"]): entry for entry in listed}
        if model is None and len(models) != 1:
            raise ServerRefused(
                f"{client.root}: has {', '.join(models) or 'no models'}; name one, as in "
                f"prm:{client.root}#MODEL"
            )
        model = model or next(iter(models))
        if model not in models:
            raise ServerRefused(
                f"{client.root}: has no model {model!r}; it has {', '.join(models)}"
            )
        source = str(models[model].get("root") or model)
        longest = int(models[model].get("max_model_len") or 1 << 30)
        if row is None:
            row = require(source, ("prm",)).family or detected(source)
        if isinstance(row, str):
            row = family(row)
        encoder = Encoder(source, row, tokenizer or _tokenizer(source), longest)
        # A server that pools by STEP gives nothing where there is no tag.
        pooling = await _tried(client, model, encoder.encode("1", ["1"]).ids)
        digest = hashlib.blake2b(repr((source, row.name, pooling)).encode(), digest_size=4)
        name = f"{source.rstrip('/').rpartition('/')[2]}-{digest.hexdigest()}"
        return cls(client, pooling, row, encoder, name)

    async def score(self, written: SolutionText) -> Verified:
        """One row; counts are the server's."""
        encoded = self._encoder.encode(written.problem, written.steps)
        places = [index for index in encoded.reads if index is not None]
        if not places:
            return Verified(Scores((None,) * len(written.steps)), 0, 0)

        def read(value: Any) -> Verified:
            rows = _rows(value)
            computed, cached = prompt_counts(value.get("usage"), len(encoded.ids))
            if len(rows) == len(encoded.ids):
                chosen = [rows[index] for index in places]
            elif len(rows) >= len(places) and len(encoded.reads) == len(places):
                # Pooled by STEP: one row a tag; what the problem says of tags comes first.
                chosen = rows[len(rows) - len(places) :]
            else:
                raise Malformed(f"{len(rows)} rows for {len(encoded.ids)} tokens")
            scores = dict(zip(places, map(self._probability, chosen), strict=True))
            steps = tuple(None if index is None else scores[index] for index in encoded.reads)
            return Verified(Scores(steps), computed, cached)

        body = _body(self._pooling.model, encoded.ids, self._pooling.task, raw=True)
        return await self._client.post("/pooling", body, read)

    async def aclose(self) -> None:
        """Let go of all connections; the next row makes new ones."""
        await self._client.aclose()

    def _probability(self, row: Sequence[float]) -> float:
        readout = self.family.readout
        if self._words is not None and len(row) > 2:
            row = [row[index] for index in self._words]
        if self._pooling.raw:
            return readout.probability(row)
        if isinstance(readout, Words):
            both = row[0] + row[1]
            score = row[0] / both if both > 0 else -1.0
        else:
            score = row[readout.right] if isinstance(readout, Classes) else row[0]
        if not 0.0 <= score <= 1.0:
            raise Malformed(f"{score} is no probability")
        return score


async def _tried(client: HttpClient, model: str, ids: Sequence[int]) -> Pooling:
    """Pool a few tokens in every way that servers know; a server refuses the ways it does not."""
    for task in (_TASK, None):
        ways = []
        for raw in (True, False):
            body = _body(model, ids, task, raw=raw)
            response = await client.once("/pooling", body, tries=3)
            if response is None or response.status_code in (401, 403):
                await client.post("/pooling", body, _rows)  # raises, saying what to do
            elif response.status_code == 200:
                with contextlib.suppress(Malformed, KeyError, TypeError, ValueError):
                    ways.append([number for row in _rows(response.json()) for number in row])
        if len(ways) == 2 and len(ways[0]) == len(ways[1]):
            logits, activated = ways
            differ = any(abs(a - b) > _APART for a, b in zip(logits, activated, strict=True))
            return Pooling(model, task, differ or any(not 0 <= number <= 1 for number in logits))
    raise ServerRefused(
        f"{client.root}: does not pool, as a PRM must; serve it with vLLM and --runner pooling"
    )


_APART = 1e-2
"""Outputs of one request sent twice may differ by this much, in half precision."""


def _body(model: str, ids: Sequence[int], task: str | None, *, raw: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "input": list(ids), "use_activation": not raw}
    # What `use_activation` was called before 0.11.1.
    body |= {"activation": not raw, "softmax": not raw}
    return body if task is None else body | {"task": task}


def _rows(value: Any) -> list[list[float]]:
    (item,) = value["data"]
    rows = [row if isinstance(row, list) else [row] for row in item["data"]]
    numbers = [[float(number) for number in row] for row in rows]
    if not numbers or not all(math.isfinite(number) for row in numbers for number in row):
        raise Malformed("no rows of finite numbers")
    return numbers


def _tokenizer(source: str) -> Tokenizer:
    from outthink.verify.checkpoint import tokenizer

    loaded: Tokenizer = tokenizer(source)
    return loaded
