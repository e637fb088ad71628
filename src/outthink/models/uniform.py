"""How far a model's distribution is from one that knows nothing."""

from __future__ import annotations

import math

from torch import Tensor


def from_uniform(logits: Tensor) -> Tensor:
    """[..., V] logits -> [...] KL(U || p) in nats, U uniform over the vocabulary.

    The self-certainty of one token (Kang et al. 2025, arXiv 2502.18581): minus the mean over the
    vocabulary of log(V p), at least 0.
    """
    divergence = logits.logsumexp(-1) - logits.mean(-1) - math.log(logits.size(-1))
    return divergence.clamp(min=0.0)
