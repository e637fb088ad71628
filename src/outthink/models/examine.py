"""What a server can and cannot do, and what each lack costs whoever searches with it."""

from __future__ import annotations

from dataclasses import dataclass

from outthink.models.capabilities import Capabilities, Kind


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a server does, or does not."""

    what: str
    has: bool | None
    """`None`: it could not be found out."""
    means: str
    """What the capability is good for; where it is missing, what that costs."""


def findings(server: Capabilities) -> list[Finding]:
    """The findings, the most important ones first."""

    is_vllm = server.kind is Kind.VLLM

    def finding(what: str, has: bool | None, good: str, lack: str) -> Finding:
        return Finding(what, has, good if has else lack)

    return [
        finding(
            "chat",
            server.chat,
            "the first turn is rendered by the model's own template",
            "no chat template: instruction models answer badly",
        ),
        finding(
            "completions",
            server.completions,
            "plain text can be continued",
            "nothing, where token ids are taken another way; else whole answers only",
        ),
        finding(
            "token ids in",
            server.token_ids_in,
            "partial answers are continued exactly: beam search, lookahead",
            "no beam search, no lookahead: greedy, majority, best_of_n and revise only",
        ),
        finding(
            "token ids out",
            server.token_ids_out,
            "what is stored is what was drawn",
            "bytes stand for tokens: four times as many stored, and no other model's",
        ),
        finding(
            "n",
            server.several,
            "rows that share a prefix are one request",
            "a request for each row: its prompt is sent, and billed, every time",
        ),
        finding(
            "seed",
            server.seed and server.seed_kept,
            "the same seed drew the same again",
            "whether a run can be drawn again is not known: other seeds gave the same, or nothing"
            if server.seed and server.seed_kept is None
            else "a run cannot be drawn again; one that is continued is still paid for once"
            + ("; a seed is taken and not kept" if server.seed else ""),
        ),
        finding(
            "temperature",
            server.temperatures == (0.0, 1.0),
            "answers are drawn as they are asked for, greedy ones too",
            "greedy answers are drawn at its own temperature: each is one more sample"
            if server.temperatures
            else "all answers are drawn at its own temperature, greedy ones too",
        ),
        finding(
            "finish reason",
            server.endings,
            "an answer that was cut off is told from one that ended",
            "every answer counts as cut off, and has no result; use another server",
        ),
        finding(
            "token counts",
            server.counts,
            "the ledger has the server's own",
            "tokens are guessed, one in four bytes: costs are rough",
        ),
        finding(
            "logprobs",
            server.logprobs,
            "how sure the model was comes with an answer, and where its steps end",
            "nothing for chat; elsewhere, the text of tokens is asked for one by one",
        ),
        finding(
            "stop kept",
            server.stop_kept,
            "a step keeps the delimiter it ended with",
            "steps cannot be continued as they were written",
        ),
        finding(
            "cached counts",
            server.cached_counts,
            "the ledger tells computed from cached prompt tokens",
            "all prompt tokens count as computed: searches look dearer than they are"
            + ("; start vLLM with --enable-prompt-tokens-details" if is_vllm else ""),
        ),
        finding(
            "cache metrics",
            server.metrics,
            "the hit rate of its prefix cache can be read",
            "whether prefixes are computed once has to be guessed from speed",
        ),
        finding(
            "embeddings",
            server.embeddings,
            "texts as vectors",
            "nothing: no search needs them",
        ),
        finding(
            "pooling",
            server.pooling,
            "reward models can be served here",
            "serve a verifier elsewhere, or run it in process",
        ),
    ]


def strategies(server: Capabilities) -> str:
    """The searches that run on it."""
    every = server.kind is not Kind.CHAT
    return "every search" if every else "greedy, majority, best_of_n, revise"
