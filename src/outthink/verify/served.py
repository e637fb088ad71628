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
from outthink.models.about import require
from outthink.models.http import REQUESTS_IN_FLIGHT, Malformed, Patience, Wire
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
from outthink.verify.written import Written

_TASK = "token_classify"
"""What vLLM calls it since 0.11; older ones have one task and no name for it."""


@dataclass(frozen=True, slots=True)
class Pooling:
    """How a server was found to pool."""

    model: str
    task: str | None
    raw: bool
    """It gives logits where it is asked to; else what it gives are probabilities."""


class PoolingPRM:
    """A served PRM. Make one with `connect`, and a verifier of it with `reading`."""

    def __init__(
        self, wire: Wire, found: Pooling, row: Family, encoder: Encoder, name: str
    ) -> None:
        if isinstance(row.readout, MeanLogit):
            raise ServerRefused(
                f"a {row.name} PRM is read from all logits, which no server gives; load it in "
                f"process, as prm:{found.model}"
            )
        self.name = name
        self.family = row
        self._wire = wire
        self._found = found
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
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> PoolingPRM:
        """Find out how the server at `url` pools, and use its `model` (the only one, by default).

        The tokenizer is that of the model's name, or its folder, unless one is given. Raises
        `ServerRefused` where there is no such server, or it does not pool.
        """
        wire = Wire(url, requests_in_flight=requests_in_flight, patience=patience)
        try:
            return await cls._connected(wire, model, row, tokenizer)
        finally:
            await wire.aclose()

    @classmethod
    async def _connected(
        cls, wire: Wire, model: str | None, row: Family | str | None, tokenizer: Tokenizer | None
    ) -> PoolingPRM:
        if await wire.once("/v1/models") is None:
            raise ServerRefused(
                f"{wire.root}: no server answers there; start one, or check the address"
            )
        listed = await wire.get("/v1/models", lambda value: list(value["data"]))
        models = {str(each["id"]): each for each in listed}
        if model is None and len(models) != 1:
            raise ServerRefused(
                f"{wire.root}: has {', '.join(models) or 'no models'}; name one, as in "
                f"prm:{wire.root}#MODEL"
            )
        model = model or next(iter(models))
        if model not in models:
            raise ServerRefused(f"{wire.root}: has no model {model!r}; it has {', '.join(models)}")
        source = str(models[model].get("root") or model)
        longest = int(models[model].get("max_model_len") or 1 << 30)
        if row is None:
            row = require(source, ("prm",)).family or detected(source)
        if isinstance(row, str):
            row = family(row)
        encoder = Encoder(source, row, tokenizer or _tokenizer(source), longest)
        # A server that pools by STEP gives nothing where there is no tag.
        found = await _tried(wire, model, encoder.encode("1", ["1"]).ids)
        digest = hashlib.blake2b(repr((source, row.name, found)).encode(), digest_size=4)
        name = f"{source.rstrip('/').rpartition('/')[2]}-{digest.hexdigest()}"
        return cls(wire, found, row, encoder, name)

    async def score(self, written: Written) -> Verified:
        """One row; counts are the server's."""
        encoded = self._encoder.encode(written.problem, written.steps)
        places = [at for at in encoded.reads if at is not None]
        if not places:
            return Verified(Scores((None,) * len(written.steps)), 0, 0)

        def read(value: Any) -> Verified:
            rows = _rows(value)
            usage = value["usage"]
            whole = int(usage["prompt_tokens"])
            details = usage.get("prompt_tokens_details") or {}
            cached = min(int(details.get("cached_tokens") or 0), whole)
            if len(rows) == len(encoded.ids):
                chosen = [rows[at] for at in places]
            elif len(rows) >= len(places) and len(encoded.reads) == len(places):
                # Pooled by STEP: one row a tag; what the problem says of tags comes first.
                chosen = rows[len(rows) - len(places) :]
            else:
                raise Malformed(f"{len(rows)} rows for {len(encoded.ids)} tokens")
            scores = dict(zip(places, map(self._probability, chosen), strict=True))
            steps = tuple(None if at is None else scores[at] for at in encoded.reads)
            return Verified(Scores(steps), whole - cached, cached)

        body = _body(self._found.model, encoded.ids, self._found.task, raw=True)
        return await self._wire.post("/pooling", body, read)

    async def aclose(self) -> None:
        """Let go of all connections; the next row makes new ones."""
        await self._wire.aclose()

    def _probability(self, row: Sequence[float]) -> float:
        readout = self.family.readout
        if self._words is not None and len(row) > 2:
            row = [row[each] for each in self._words]
        if self._found.raw:
            return readout.probability(row)
        if isinstance(readout, Words):
            both = row[0] + row[1]
            score = row[0] / both if both > 0 else -1.0
        else:
            score = row[readout.right] if isinstance(readout, Classes) else row[0]
        if not 0.0 <= score <= 1.0:
            raise Malformed(f"{score} is no probability")
        return score


async def _tried(wire: Wire, model: str, ids: Sequence[int]) -> Pooling:
    """Pool a few tokens in every way; a server says no to what it does not know."""
    for task in (_TASK, None):
        found = []
        for raw in (True, False):
            body = _body(model, ids, task, raw=raw)
            response = await wire.once("/pooling", body, tries=3)
            if response is None or response.status_code in (401, 403):
                await wire.post("/pooling", body, _rows)  # raises, in the right words
            elif response.status_code == 200:
                with contextlib.suppress(Malformed, KeyError, TypeError, ValueError):
                    found.append([each for row in _rows(response.json()) for each in row])
        if len(found) == 2 and len(found[0]) == len(found[1]):
            logits, activated = found
            differ = any(abs(a - b) > _APART for a, b in zip(logits, activated, strict=True))
            return Pooling(model, task, differ or any(not 0 <= each <= 1 for each in logits))
    raise ServerRefused(
        f"{wire.root}: does not pool, as a PRM must; serve it with vLLM and --runner pooling"
    )


_APART = 1e-2
"""By less than this the same request may differ from itself, in half precision."""


def _body(model: str, ids: Sequence[int], task: str | None, *, raw: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "input": list(ids), "use_activation": not raw}
    # What `use_activation` was called before 0.11.1.
    body |= {"activation": not raw, "softmax": not raw}
    return body if task is None else body | {"task": task}


def _rows(value: Any) -> list[list[float]]:
    (item,) = value["data"]
    rows = [each if isinstance(each, list) else [each] for each in item["data"]]
    found = [[float(each) for each in row] for row in rows]
    if not found or not all(math.isfinite(each) for row in found for each in row):
        raise Malformed("no rows of finite numbers")
    return found


def _tokenizer(source: str) -> Tokenizer:
    from outthink.verify.checkpoint import tokenizer

    found: Tokenizer = tokenizer(source)
    return found
