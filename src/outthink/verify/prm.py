"""Process reward models in process, by name: any row of `families`, with transformers.

    verifier = reading(load("Qwen/Qwen2.5-Math-PRM-7B"), proposer)

A step's score is the probability that its family's readout gives; a step beyond the model's context
has no score. Earlier solutions that a revision saw are not shown to it unless asked for
(`written.reading`): none of the published ones was trained to see them.
"""

from __future__ import annotations

import dataclasses

from outthink.models.about import require
from outthink.verify.checkpoint import Checkpoint, head_of, widened
from outthink.verify.families import Encoder, Family, Words, detected, family
from outthink.verify.reader import KEPT_BYTES, TOKENS_AT_ONCE, Reader


def load(
    name: str,
    row: Family | str | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    tokens_at_once: int = TOKENS_AT_ONCE,
    kept_bytes: int = KEPT_BYTES,
) -> Reader:
    """The PRM in a folder or on the hub. `row` is its family, or the name of one; by default the
    family that `outthink train` recorded, or else the one that its name or configuration tells.

    Raises `UsageError` where there is no such model, no such family, or its tokenizer lacks the
    family's mark; `WeightsError` where weights are missing.
    """
    told = require(name, ("prm",))
    checkpoint = Checkpoint.open(name, device=device, dtype=dtype)
    if row is None:
        row = told.family or detected(name, checkpoint.architectures)
    if isinstance(row, str):
        row = family(row)
    encoder = Encoder(name, row, checkpoint.tokenizer, checkpoint.longest)
    words = encoder.words(row.readout) if isinstance(row.readout, Words) else None
    backbone, head = head_of(row.readout, checkpoint, words)
    about = repr(dataclasses.replace(row, layout=None, called=()))  # type: ignore[arg-type]
    return Reader(
        checkpoint.title(backbone, head, about),
        row,
        encoder,
        backbone,
        widened(head),
        tokens_at_once=tokens_at_once,
        kept_bytes=kept_bytes,
    )
