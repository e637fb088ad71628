"""What a server can and cannot do, and what each lack costs whoever searches with it."""

from __future__ import annotations

from dataclasses import dataclass

from outthink.models.capabilities import Capabilities, Kind


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a server does, or does not."""

    what: str
    has: bool
    means: str
    """What it is good for; where it is not there, what that costs."""


def findings(found: Capabilities) -> list[Finding]:
    """In the order of how much they matter."""

    is_vllm = found.kind is Kind.VLLM

    def finding(what: str, has: bool, good: str, lack: str) -> Finding:
        return Finding(what, has, good if has else lack)

    return [
        finding(
            "chat",
            found.chat,
            "the first turn is rendered by the model's own template",
            "no chat template: instruction models answer badly",
        ),
        finding(
            "completions",
            found.completions,
            "plain text can be continued",
            "nothing, where token ids are taken another way; else whole answers only",
        ),
        finding(
            "token ids in",
            found.token_ids_in,
            "partial answers are continued exactly: beam search, lookahead",
            "no beam search, no lookahead: greedy, majority, best_of_n and revise only",
        ),
        finding(
            "token ids out",
            found.token_ids_out,
            "what is stored is what was drawn",
            "bytes stand for tokens: four times as many stored, and no other model's",
        ),
        finding(
            "n",
            found.several,
            "rows that share a prefix are one request",
            "a request for each row: its prompt is sent, and billed, every time",
        ),
        finding(
            "seed",
            found.seed and found.seed_kept,
            "the same seed drew the same again",
            "a run cannot be drawn again; one that is continued is still paid for once"
            + ("; a seed is taken and not kept" if found.seed else ""),
        ),
        finding(
            "logprobs",
            found.logprobs,
            "steps of whole answers can be told apart",
            "nothing for chat; elsewhere, whole answers count as one step",
        ),
        finding(
            "stop kept",
            found.stop_kept,
            "a step keeps the delimiter it ended with",
            "steps cannot be continued as they were written",
        ),
        finding(
            "cached counts",
            found.cached_counts,
            "the ledger tells computed from cached prompt tokens",
            "all prompt tokens count as computed: searches look dearer than they are"
            + ("; start vLLM with --enable-prompt-tokens-details" if is_vllm else ""),
        ),
        finding(
            "cache metrics",
            found.metrics,
            "the hit rate of its prefix cache can be read",
            "whether prefixes are computed once has to be guessed from speed",
        ),
        finding(
            "embeddings",
            found.embeddings,
            "texts as vectors",
            "nothing: no search needs them",
        ),
        finding(
            "pooling",
            found.pooling,
            "reward models can be served here",
            "serve a verifier elsewhere, or run it in process",
        ),
    ]


def strategies(found: Capabilities) -> str:
    """The searches that run on it."""
    every = found.kind is not Kind.CHAT
    return "every search" if every else "greedy, majority, best_of_n, revise"
