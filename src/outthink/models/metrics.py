"""What a server counts of itself, at /metrics: vLLM's names, and llama.cpp's.

https://docs.vllm.ai/en/latest/design/metrics/
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from outthink.models.http import HttpClient


@dataclass(frozen=True, slots=True)
class Metrics:
    """Counts since the server started; `None` where it gives none. Subtract an earlier one."""

    decoded_tokens: int | None
    computed_tokens: int | None
    """Tokens of prompts that were computed, counted for each row."""
    cache_queries: int | None
    """Tokens of prompts that were looked up in the prefix cache."""
    cache_hits: int | None
    """Those of them that were there."""

    def __sub__(self, earlier: Metrics) -> Metrics:
        return Metrics(
            _less(self.decoded_tokens, earlier.decoded_tokens),
            _less(self.computed_tokens, earlier.computed_tokens),
            _less(self.cache_queries, earlier.cache_queries),
            _less(self.cache_hits, earlier.cache_hits),
        )

    @property
    def hit_share(self) -> float | None:
        """Of the tokens looked up, those that were in the prefix cache."""
        if not self.cache_queries or self.cache_hits is None:
            return None
        return self.cache_hits / self.cache_queries


async def read(client: HttpClient) -> Metrics:
    """The counts now; all `None` where there is no such page."""
    response = await client.once("/metrics", tries=3)
    return parsed("" if response is None or response.status_code != 200 else response.text)


_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")


def parsed(text: str) -> Metrics:
    """The counts of a page in Prometheus' text format. Engines behind one address are added up."""
    samples = [match.groups() for line in text.splitlines() if (match := _SAMPLE.match(line))]

    def total(names: Iterable[str], label: str = "") -> int | None:
        counts = [
            float(value)
            for name, labels, value in samples
            if name in names and label in (labels or "")
        ]
        return round(sum(counts)) if counts else None

    computed = total(("vllm:prompt_tokens_by_source_total",), 'source="local_compute"')
    return Metrics(
        decoded_tokens=total(("vllm:generation_tokens_total", "llamacpp:tokens_predicted_total")),
        computed_tokens=total(("llamacpp:prompt_tokens_total",)) if computed is None else computed,
        cache_queries=total(("vllm:prefix_cache_queries_total",)),
        cache_hits=total(("vllm:prefix_cache_hits_total",)),
    )


def _less(now: int | None, earlier: int | None) -> int | None:
    return None if now is None or earlier is None else now - earlier
