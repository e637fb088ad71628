"""Text of the lab's task to token ids and back, and where each position stands.

One token a digit, a factor (`*13`), `=` and the end of a line. A prompt always takes
PROMPT_LENGTH ids: the factors, padding, then the start value laid out as if it were the
line before the first step. So every step finds what it needs at the same distance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from outthink.data.task import DIGITS, FACTORS, MAX_STEPS, MODULUS, Chains, parse

_WORDS = (
    *(str(digit) for digit in range(10)),
    *(f"*{factor}" for factor in FACTORS),
    "=",
    "\n",
    "<end>",
    "<pad>",
)
_FACTOR = 10
"""Token of the first factor."""
EQUALS = _WORDS.index("=")
LINE = _WORDS.index("\n")
"""Ends a step."""
END = _WORDS.index("<end>")
"""Ends a solution."""
PAD = _WORDS.index("<pad>")
VOCABULARY = len(_WORDS)
WRITER = "lab-"
"""How the names of the models begin that write these tokens."""

STEP_LENGTH = DIGITS + 3
"""Tokens of a step: factor, `=`, digits, end of line."""
PROMPT_LENGTH = MAX_STEPS + DIGITS + 2
CONTEXT = PROMPT_LENGTH + MAX_STEPS * STEP_LENGTH + 1
"""Prompt, the longest solution, and its end."""
MAX_TOKENS = CONTEXT - PROMPT_LENGTH
"""Longest solution."""


def encode_prompt(prompt: str) -> tuple[int, ...]:
    """PROMPT_LENGTH ids. Raises `UsageError` for text that is no prompt of the task."""
    chain = parse(prompt)
    factors = [_FACTOR + FACTORS.index(factor) for factor in chain.factors]
    padding = [PAD] * (MAX_STEPS - len(factors))
    digits = [int(digit) for digit in f"{chain.start:0{DIGITS}d}"]
    return (*factors, *padding, EQUALS, *digits, LINE)


def decode(tokens: Sequence[int]) -> str:
    """The text a person reads; the end mark and padding have none."""
    return "".join(_WORDS[token] for token in tokens if token < END)


def answer(tokens: Sequence[int]) -> str | None:
    """The number on the last line of a finished solution, or `None` where there is none."""
    if len(tokens) < DIGITS + 3 or tokens[-1] != END or tokens[-2] != LINE:
        return None
    digits = tokens[-2 - DIGITS : -2]
    if tokens[-3 - DIGITS] != EQUALS or max(digits) > 9:
        return None
    return "".join(_WORDS[digit] for digit in digits)


def layout() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(steps, offsets) of every position.

    A factor in the prompt belongs to the step that will use it, and the end of a line to the step
    after it, so that the two share a step vector where one has to find the other.
    """
    line = np.arange(1, CONTEXT - MAX_STEPS + 1)
    steps = line // STEP_LENGTH + line % STEP_LENGTH // (STEP_LENGTH - 1)
    offsets = line % STEP_LENGTH
    return (
        (*range(1, MAX_STEPS + 1), *steps.tolist()),
        (*(STEP_LENGTH,) * MAX_STEPS, *offsets.tolist()),
    )


def encode_chains(chains: Chains) -> NDArray[np.int64]:
    """[B, CONTEXT] ids of prompts with their exact solutions, padded: what models train on."""
    count = len(chains.length)
    ids = np.full((count, CONTEXT), PAD)
    live = np.arange(MAX_STEPS) < chains.length[:, None]
    ids[:, :MAX_STEPS] = np.where(live, _FACTOR + chains.factor, PAD)
    at = MAX_STEPS
    ids[:, at] = EQUALS
    ids[:, at + 1 : at + 1 + DIGITS] = _digits(chains.start)
    ids[:, at + 1 + DIGITS] = LINE
    value = chains.start
    for step in range(MAX_STEPS):
        value = value * np.array(FACTORS)[chains.factor[:, step]] % MODULUS
        line = np.empty((count, STEP_LENGTH), np.int64)
        line[:, 0] = _FACTOR + chains.factor[:, step]
        line[:, 1] = EQUALS
        line[:, 2:-1] = _digits(value)
        line[:, -1] = LINE
        at = PROMPT_LENGTH + step * STEP_LENGTH
        ids[:, at : at + STEP_LENGTH] = np.where(live[:, step : step + 1], line, PAD)
    ids[np.arange(count), PROMPT_LENGTH + chains.length * STEP_LENGTH] = END
    return ids


def place(
    prompt: Sequence[int], history: Sequence[Sequence[int]], tokens: Sequence[int] | None
) -> NDArray[np.int64]:
    """[5, T] ids with their places: token, token a stride before, step, offset, age.

    Earlier solutions come first, each as if it followed the prompt; age 1 is the latest of them.
    Then, unless `tokens` is `None`, prompt and solution, of age 0.
    """
    parts = [
        _placed(prompt, solution, len(history) - at)[:, PROMPT_LENGTH:]
        for at, solution in enumerate(history)
    ]
    if tokens is not None:
        parts.append(_placed(prompt, tokens, 0))
    return np.concatenate(parts, axis=1)


def _placed(prompt: Sequence[int], tokens: Sequence[int], age: int) -> NDArray[np.int64]:
    ids = np.array([*prompt, *tokens])
    back = STEP_LENGTH - 1
    before = np.concatenate([np.full(back, VOCABULARY), ids[:-back]])
    steps, offsets = _LAYOUT[:, : len(ids)]
    return np.stack([ids, before, steps, offsets, np.full(len(ids), age)])


_LAYOUT = np.array(layout())


def _digits(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return values[:, None] // 10 ** np.arange(DIGITS - 1, -1, -1) % 10
