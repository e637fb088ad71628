"""DeepConf: a trace is as sure as its least sure stretch (Fu et al. 2025, arXiv 2508.15260).

Confidence in a token is minus the mean log probability of the k likeliest tokens there, that of a
group the mean over a window of tokens that ends at one. A trace is judged by its lowest
group, by the mean of its lowest tenth of groups, or by its last tokens (tail). The score of a step
is that of the solution up to its end, so the last one is that of the whole, and a search may end a
trace as soon as it falls too low. It is written as `confidence` writes it: 1 - log k / C.

Solutions shorter than the window are one group. The engines that give log probabilities are those
of `confidence`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from outthink.errors import UsageError
from outthink.types import BatchProposer, BatchVerifier, Proposer, Scores, Verifier
from outthink.verify.confidence import TOP, likelihoods, token_confidence

WINDOW = 2048
"""Tokens of a group: for long thoughts. Shorter solutions need a shorter one."""
LOWEST_SHARE = 0.1

Floats = NDArray[np.float64]

By = Literal["lowest", "bottom", "tail"]
"""The lowest group, the mean of the lowest tenth of groups, the last group."""


def deepconf(
    proposer: Proposer | BatchProposer,
    *,
    window: int = WINDOW,
    by: str = "lowest",
    top: int = TOP,
) -> Verifier | BatchVerifier:
    """The verifier. Raises `UsageError` for another `by`, a window without a token, and as
    `confidence`."""
    ways: tuple[By, ...] = get_args(By)
    known = next((way for way in ways if way == by), None)
    if known is None:
        raise UsageError(f"deepconf by {by!r}; write one of {', '.join(ways)}")
    if window < 1:
        raise UsageError(f"deepconf over windows of {window} tokens; give 1 or more")
    how = partial(group_confidence, window=window, by=known)
    return likelihoods(proposer, top, f"deepconf-{by}-{window}", how)


def group_confidence(
    top_logprobs: Sequence[Sequence[float]], ends: Sequence[int], *, window: int, by: By
) -> Scores:
    """One score a step: of the solution up to its end. `None` where no token was told."""
    known = [len(place) > 1 for place in top_logprobs]
    told = [place for place in top_logprobs if len(place) > 1]
    if not told:
        return Scores((None,) * len(ends))
    groups = _groups(np.array([token_confidence(place) for place in told]), window)
    even = math.log(max(map(len, told)))
    counts = np.concatenate([[0], np.cumsum(known)])
    return Scores(tuple(_score(groups[: counts[end]], window, by, even) for end in ends))


def _groups(tokens: Floats, window: int) -> Floats:
    """[n] mean of the last `window` tokens up to each, of all where there are fewer."""
    total = np.concatenate([[0.0], np.cumsum(tokens)])
    end = np.arange(1, tokens.size + 1)
    begin = np.maximum(end - window, 0)
    means: Floats = (total[end] - total[begin]) / (end - begin)
    return means


def _score(groups: Floats, window: int, by: By, even: float) -> float | None:
    """Of a prefix, whose windows are whole but where it is shorter than one."""
    if not groups.size:
        return None
    whole = groups[window - 1 :] if groups.size >= window else groups[-1:]
    if by == "tail":
        value = float(groups[-1])
    elif by == "lowest":
        value = float(whole.min())
    else:
        count = max(1, round(LOWEST_SHARE * whole.size))
        value = float(np.partition(whole, count - 1)[:count].mean())
    return min(1.0, max(0.0, 1 - even / value)) if value > 0 else None
