"""Outcome reward models in process: one score a solution, read at its very end.

Any model with a head of one number (its sigmoid) or of classes (the probability of the second), as
`AutoModelForSequenceClassification` saves it or as Qwen2.5-Math-RM does. A tokenizer with a chat
template is given a chat of the problem and the solution, any other the two with an empty line
between. Steps before the last have no score: an outcome reward model was not trained to give one.
"""

from __future__ import annotations

from collections.abc import Sequence

from outthink.models.about import require
from outthink.verify.checkpoint import Checkpoint, readout_of, widened
from outthink.verify.families import (
    Classes,
    Encoder,
    Family,
    Layout,
    Piece,
    Readout,
    Tokenizer,
    rendered_chat,
)
from outthink.verify.reader import KEPT_BYTES, TOKENS_AT_ONCE, Reader


def _chat(tokenizer: Tokenizer, problem: str, steps: Sequence[str]) -> list[Piece]:
    turns = [("user", problem), ("assistant", "".join(steps).strip())]
    return [_piece(rendered_chat(tokenizer, turns), problem, special=False)]


def _plain(tokenizer: Tokenizer, problem: str, steps: Sequence[str]) -> list[Piece]:
    return [_piece(f"{problem}\n\n{''.join(steps).strip()}", problem, special=True)]


def _piece(text: str, problem: str, *, special: bool) -> Piece:
    return Piece(text, (), max(0, text.find(problem.strip())) + len(problem.strip()), special)


def row(
    tokenizer: Tokenizer, readout: Readout | None = None, layout: Layout | None = None
) -> Family:
    """How an outcome reward model is read; by default one of two classes."""
    if layout is None:
        layout = _chat if getattr(tokenizer, "chat_template", None) else _plain
    return Family("orm", layout, readout or Classes(1), reads_end=True)


def load(
    name: str,
    layout: Layout | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    tokens_at_once: int = TOKENS_AT_ONCE,
    kept_bytes: int = KEPT_BYTES,
) -> Reader:
    """The reward model in a folder or on the hub; `layout` makes text of a problem and steps.

    Raises as `prm.load`.
    """
    require(name, ("orm",))
    checkpoint = Checkpoint.open(name, device=device, dtype=dtype)
    backbone, head = checkpoint.classifier()
    family = row(checkpoint.tokenizer, readout_of(head), layout)
    encoder = Encoder(name, family, checkpoint.tokenizer, checkpoint.longest)
    own = family.layout not in (_chat, _plain)
    return Reader(
        checkpoint.title(backbone, head, f"orm {'own' if own else family.layout.__name__}"),
        family,
        encoder,
        backbone,
        widened(head),
        tokens_at_once=tokens_at_once,
        kept_bytes=kept_bytes,
    )
