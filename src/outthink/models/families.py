"""What the makers of a model suggest for asking it, by the name of its family.

Suggestions are shown (`outthink doctor`), not applied: how a model is asked is part of the draws'
identity, and a search compares strategies at a temperature of its own. Figures are those of the
model cards and `generation_config.json` files. Knows nothing of servers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from outthink.models.asking import OPTIONS, Asking


@dataclass(frozen=True, slots=True)
class Family:
    """Models that are asked alike."""

    name: str
    pattern: str
    """Of the model's name, lower case; the first family that fits counts."""
    suggested: Asking
    thinks: bool = False
    """Whether it thinks before it answers, unless it is told not to."""
    note: str = ""


FAMILIES = (
    Family(
        "DeepSeek-R1",
        r"deepseek-?r1|r1-distill",
        Asking(temperature=0.6, top_p=0.95),
        thinks=True,
        note="no system prompt: its instructions belong into the question",
    ),
    Family(
        "QwQ and Qwen3",
        r"qwq|qwen-?3",
        Asking(temperature=0.6, top_p=0.95, top_k=20, min_p=0.0),
        thinks=True,
        note="greedy decoding repeats itself; without thoughts, --template enable_thinking=false, "
        "--temperature 0.7 and --top-p 0.8",
    ),
    Family("s1", r"(^|/)s1[-.]", Asking(), thinks=True),
    Family("gpt-oss", r"gpt-oss", Asking(temperature=1.0, top_p=1.0), thinks=True),
    Family("Qwen2.5", r"qwen-?2\.?5", Asking(temperature=0.7, top_p=0.8, top_k=20)),
    Family("Llama 3", r"llama-?3", Asking(temperature=0.6, top_p=0.9)),
    Family("Gemma 3", r"gemma-?3", Asking(temperature=1.0, top_p=0.95, top_k=64)),
    Family("SmolLM2", r"smollm-?2", Asking(temperature=0.2, top_p=0.9)),
)
_BASE = re.compile(r"(^|[-_/.])base($|[-_/.])|-pt($|[-_/.])")


def family(model: str) -> Family | None:
    """The family of a model by its name; `None` for one that is not known."""
    name = model.casefold()
    return next((one for one in FAMILIES if re.search(one.pattern, name)), None)


def suggestions(model: str) -> list[str]:
    """What is worth typing for this model, in words."""
    told = []
    if known := family(model):
        flags = " ".join(_flags(known.suggested))
        told += [f"makers of {known.name} suggest {flags}"] if flags else []
        told += [f"{known.name}: {known.note}"] if known.note else []
        if known.thinks:
            told.append("it thinks before it answers: give --most-tokens room, or budget_forcing")
    if _BASE.search(model.casefold()):
        told.append("by its name a base model: give --completion, --shots and --stop")
    return told


def _flags(asking: Asking) -> list[str]:
    flags = {option.name: option.flag for option in OPTIONS}
    return [f"{flags[name]} {value}" for name, value in asking.given.items()]
