"""Published process reward models: a table with one row a family and three entries a row.

    (a) how a problem and the steps of a solution become text, and which part of it marks the end of
        each step (`layout`)
    (b) which token of that mark is read (`where`)
    (c) how what the model says there becomes a probability (`readout`)

Everything about a family is in its row; `reader` (in process) and `served` (over HTTP) know no
family. Knows nothing of tensors or servers.

Sources are beside the rows: the code that the authors of each model publish to score with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from outthink.errors import UsageError


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that is used here; it must be a fast one, which gives
    offsets."""

    bos_token: str | None

    def __call__(self, text: str, **options: Any) -> Any: ...

    def apply_chat_template(self, conversation: Any, **options: Any) -> Any: ...


# (a) text ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that is tokenized on its own."""

    text: str
    marks: tuple[tuple[int, int], ...] = ()
    """Where in the text the marks stand, each the end of one step: first character and the one
    after the last."""
    lead: int = 0
    """Characters at its beginning that belong to the problem alone."""
    special: bool = False
    """Tokenized with the special tokens that the tokenizer puts around a text."""


Layout = Callable[[Tokenizer, str, Sequence[str]], list[Piece]]
"""Makes pieces of a problem and the texts of its steps, with one mark a step."""


class Where(Enum):
    """Which token is read."""

    LAST = "the last token of the mark"
    FIRST = "the first token of the mark"
    BEFORE = "the token before the mark, which predicts it"


# (c) probability ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Words:
    """The language model's own choice between two tokens: softmax over their logits."""

    good: str
    bad: str

    def probability(self, outputs: Sequence[float]) -> float:
        """From the logits of good and bad."""
        good, bad = outputs
        return _sigmoid(good - bad)


@dataclass(frozen=True, slots=True)
class Classes:
    """A classifier over classes, of which one is right."""

    right: int = 1

    def probability(self, outputs: Sequence[float]) -> float:
        """From the logits of all classes."""
        top = max(outputs)
        odds = [math.exp(logit - top) for logit in outputs]
        return odds[self.right] / sum(odds)


@dataclass(frozen=True, slots=True)
class Value:
    """One number, of which the sigmoid is taken."""

    def probability(self, outputs: Sequence[float]) -> float:
        """From that number."""
        (value,) = outputs
        return _sigmoid(value)


@dataclass(frozen=True, slots=True)
class MeanLogit:
    """The sigmoid of the mean of all logits of a language model."""

    def probability(self, outputs: Sequence[float]) -> float:
        """From the mean."""
        (mean,) = outputs
        return _sigmoid(mean)


Readout = Words | Classes | Value | MeanLogit


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


# Rows --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Family:
    """A row of the table. For a model of your own: make one, or name one of these."""

    name: str
    layout: Layout
    readout: Readout
    where: Where = Where.LAST
    tag: str | None = None
    """The mark, where it has to be a single token of the tokenizer."""
    called: tuple[str, ...] = ()
    """Parts of the names of its models, in small letters."""
    architectures: tuple[str, ...] = ()
    """`architectures` in the configurations of its models, where names do not decide."""
    reads_end: bool = False
    """One score a solution, read at its very end: an outcome reward model."""


_MARK = "\ue000"
"""Stands for a mark while a chat template is applied; private use, so in nobody's text."""


def _marked(parts: Sequence[tuple[str, str]], lead: str, special: bool) -> list[Piece]:
    """One piece: a lead, then parts of (text before the mark, mark)."""
    text, marks = lead, []
    for before, mark in parts:
        text += before
        marks.append((len(text), len(text) + len(mark)))
        text += mark
    return [Piece(text, tuple(marks), len(lead), special)]


def _lines(mark: str, *, between: str = "\n", space: str = " ") -> Layout:
    """The problem, then the steps, each with a mark behind it: `{problem} {step} {mark}\\n...`."""

    def layout(tokenizer: Tokenizer, problem: str, steps: Sequence[str]) -> list[Piece]:
        parts = [
            ((between if number else "") + step.strip() + space, mark)
            for number, step in enumerate(steps)
        ]
        return _marked(parts, f"{problem} ", special=True)

    return layout


def _chat(
    tokenizer: Tokenizer, problem: str, turns: Sequence[tuple[str, str]], mark: str
) -> list[Piece]:
    """A rendered chat, in which `_MARK` becomes `mark`, up to the last of them."""
    rendered = rendered_chat(tokenizer, turns)
    *befores, _ = rendered.split(_MARK)
    lead = befores[0][: _after(befores[0], problem)] if befores else ""
    parts = [(before, mark) for before in befores]
    parts[:1] = [(before[len(lead) :], mark) for before, mark in parts[:1]]
    return _marked(parts, lead, special=False)


def _after(text: str, part: str) -> int:
    """The index behind the first occurrence of `part`; 0 where there is none."""
    start = text.find(part)
    return start + len(part) if start >= 0 else 0


def rendered_chat(tokenizer: Tokenizer, turns: Sequence[tuple[str, str]]) -> str:
    """The text of a chat, with the special tokens that its template brings."""
    chat = [{"role": role, "content": text} for role, text in turns]
    try:
        return str(tokenizer.apply_chat_template(chat, tokenize=False))
    except ValueError as error:
        raise UsageError(
            "this verifier's tokenizer has no chat template, which its family is read with; give "
            "it the model's own tokenizer, or name another family (?family=NAME)"
        ) from error


def _clean(step: str, mark: str = "") -> str:
    """A step without text that would be read as a mark."""
    step = step.replace(_MARK, "")
    return (step.replace(mark, "") if mark else step).strip()


def _turns(tokenizer: Tokenizer, problem: str, steps: Sequence[str]) -> list[Piece]:
    """Each step is said by the user, and the assistant says `+`."""
    turns: list[tuple[str, str]] = []
    for number, step in enumerate(steps):
        text = _clean(step)
        turns += [("user", text if number else f"{_clean(problem)} {text}"), ("assistant", _MARK)]
    return _chat(tokenizer, _clean(problem), turns, "+")


QWEN_SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


def _assistant(mark: str, system: str) -> Layout:
    """One answer of the assistant, a mark after each step."""

    def layout(tokenizer: Tokenizer, problem: str, steps: Sequence[str]) -> list[Piece]:
        said = "".join(_clean(step, mark) + _MARK for step in steps)
        turns = [("system", system), ("user", _clean(problem, mark)), ("assistant", said)]
        return _chat(tokenizer, _clean(problem, mark), turns, mark)

    return layout


def _newlines(tokenizer: Tokenizer, problem: str, steps: Sequence[str]) -> list[Piece]:
    """Every line is tokenized on its own and a newline token put behind it; a step is read at that
    of its last line."""
    lead = f"{tokenizer.bos_token or ''}{problem}\n"
    pieces = [Piece(lead, lead=len(lead))]
    for step in steps:
        *others, last = [line for line in step.split("\n") if line.strip()] or [""]
        for line in others:
            pieces += [Piece(line), Piece("\n")]
        pieces += [Piece(last), Piece("\n", ((0, 1),))]
    return pieces


_PQM = (
    "Below is an instruction that describes a task.\nWrite a response that appropriately completes "
    "the request.\n\n### Instruction:\n{problem}\n\n### Response: Let's think step by step\n"
)


def _numbered(tokenizer: Tokenizer, problem: str, steps: Sequence[str]) -> list[Piece]:
    parts = []
    for number, step in enumerate(steps, 1):
        said = re.sub(r"^Step \d+:\s*", "", _clean(step, "[PRM]"))
        parts.append((f"{chr(10) if number > 1 else ''}Step {number}: {said} ", "[PRM]"))
    return _marked(parts, _PQM.replace("{problem}", problem), special=False)


def _sections(tokenizer: Tokenizer, problem: str, steps: Sequence[str]) -> list[Piece]:
    """A document of two sections, an empty line after each step and nowhere inside one."""
    parts = [(re.sub(r"\n{2,}", "\n", step.strip()), "\n\n") for step in steps]
    lead = f"# Question\n\n{problem}\n\n# Solution\n\n"
    return _marked(parts, lead, special=True)


def separated(mark: str) -> Layout:
    """As PRMTrainer of TRL lays out: the problem, and each step with the separator behind it, all
    tokenized on their own."""

    def layout(tokenizer: Tokenizer, problem: str, steps: Sequence[str]) -> list[Piece]:
        # The trainer puts the id of BOS in front itself; a tokenizer reads its name as that id.
        begin = tokenizer.bos_token or ""
        pieces = [Piece(begin, lead=len(begin)), Piece(problem, lead=len(problem))]
        for step in steps:
            pieces += [Piece(step.strip()), Piece(mark, ((0, len(mark)),))]
        return pieces

    return layout


FAMILIES: tuple[Family, ...] = (
    Family(
        # https://huggingface.co/peiyi9979/math-shepherd-mistral-7b-prm
        "math-shepherd",
        _lines("ки"),
        Words("+", "-"),
        tag=" ки",
        called=("math-shepherd", "shepherd"),
    ),
    Family(
        # RLHFlow/RLHF-Reward-Modeling, math-rm/prm_evaluate.py: of a chat that ends with `+` and an
        # end of turn, the third token from the end; so it is the one that predicts `+`.
        "rlhflow",
        _turns,
        Words("+", "-"),
        Where.BEFORE,
        tag="+",
        called=("prm-mistral-data", "prm-deepseek-data", "rlhflow"),
    ),
    Family(
        # RyanLiu112/compute-optimal-tts, rm_call.py and infer_fns.py: no newline behind the tag.
        "er-prm",
        _lines("ки", between=""),
        Words(" +", " -"),
        tag=" ки",
        called=("er-prm", "erprm", "llama3.1-math-prm"),
    ),
    Family(
        # SkyworkAI/skywork-o1-prm-inference, model_utils/io_utils.py
        "skywork",
        _newlines,
        Value(),
        tag="\n",
        called=("skywork-o1-open-prm", "skywork"),
        architectures=("Qwen2ForPrmModel",),
    ),
    Family(
        # https://huggingface.co/Qwen/Qwen2.5-Math-PRM-7B
        "qwen-prm",
        _assistant("<extra_0>", QWEN_SYSTEM),
        Classes(1),
        tag="<extra_0>",
        called=("qwen2.5-math-prm", "qwen2.5-math-7b-prm800k"),
        architectures=("Qwen2ForProcessRewardModel",),
    ),
    Family(
        # WindyLee0822/Process_Q_Model, bon_eval_hf.py
        "pqm",
        _numbered,
        Value(),
        tag="[PRM]",
        called=("pqm",),
    ),
    Family(
        # huggingface/trl, PRMTrainer.tokenize_row, with its default separator
        "trl",
        separated("\n"),
        Classes(1),
        architectures=("ForTokenClassification",),
    ),
    Family(
        # The same with an empty line, as the models of HuggingFaceH4 were trained.
        "trl-blank",
        separated("\n\n"),
        Classes(1),
        called=("huggingfaceh4",),
    ),
    Family(
        # openreasoner/openr, reason/llm_service: ` + -` are two tokens of Qwen2.5.
        "math-psa",
        _lines("\n\n\n\n\n"),
        Words(" +", " -"),
        tag=" \n\n\n\n\n",
        called=("math-psa",),
    ),
    Family(
        # https://huggingface.co/ScalableMath/llemma-7b-prm-prm800k-level-1to3-hf
        "llemma",
        _sections,
        MeanLogit(),
        Where.FIRST,
        called=("llemma",),
    ),
    Family(
        # thu-wyz/inference_scaling
        "rebase",
        _lines("ки"),
        MeanLogit(),
        tag=" ки",
        called=("rebase",),
    ),
)


def family(name: str) -> Family:
    """The row of that name."""
    for row in FAMILIES:
        if row.name == name:
            return row
    raise UsageError(f"unknown PRM family {name!r}; write one of {_listed()}")


def detected(name: str, architectures: Sequence[str] = ()) -> Family:
    """The row whose name matches the model's best, or else the one of its configuration."""
    # Of a path the last two parts are about the model.
    tail = "/".join(name.lower().replace("\\", "/").rstrip("/").split("/")[-2:])
    matches = [(len(part), row) for row in FAMILIES for part in row.called if part in tail]
    if matches:
        return max(matches, key=lambda match: match[0])[1]
    for row in FAMILIES:
        for said in architectures:
            if any(said.endswith(ending) for ending in row.architectures):
                return row
    raise UsageError(
        f"{name}: neither its name nor its configuration tells its family of PRMs; name one, as in "
        f"prm:{name}?family=NAME: {_listed()}"
    )


def _listed() -> str:
    return ", ".join(row.name for row in FAMILIES)


# Tokens ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a solution as its verifier reads it."""

    ids: tuple[int, ...]
    reads: tuple[int | None, ...]
    """For every step the index that is read; `None` where the text made no token of the mark, or
    the model cannot read that far."""
    lead: int
    """Tokens at the beginning that belong to the problem alone."""


class Encoder:
    """Text to ids for one family and tokenizer."""

    def __init__(self, name: str, row: Family, tokenizer: Tokenizer, longest: int) -> None:
        """Raises `UsageError` where the tokenizer has no token for the family's mark."""
        self._row = row
        self._tokenizer = tokenizer
        self._longest = longest
        self._tag = None if row.tag is None else self._tag_id(name, row.tag)

    def encode(self, problem: str, steps: Sequence[str]) -> Encoded:
        """Ids up to the last that is read."""
        ids: list[int] = []
        reads: list[int | None] = []
        lead = 0
        for piece in self._row.layout(self._tokenizer, problem, steps):
            fresh, offsets = self._tokens(piece)
            if piece.lead:
                # Tokens behind a text have no place in it, so only the first ones count.
                over = (index for index, (_, last) in enumerate(offsets) if last > piece.lead)
                lead = len(ids) + next(over, len(fresh))
            for mark in piece.marks:
                index = self._read(fresh, offsets, mark)
                reads.append(None if index is None else len(ids) + index)
            ids += fresh
        if self._row.reads_end:
            reads = [None] * (len(steps) - 1) + [len(ids) - 1]
        reads = [index if index is not None and index < self._longest else None for index in reads]
        last = 1 + max((index for index in reads if index is not None), default=-1)
        return Encoded(tuple(ids[:last]), tuple(reads), min(lead, last))

    def words(self, readout: Words) -> tuple[int, int]:
        """The ids of good and bad."""
        good, bad = (
            int(self._tokenizer(word, add_special_tokens=False)["input_ids"][-1])
            for word in (readout.good, readout.bad)
        )
        return good, bad

    def _tokens(self, piece: Piece) -> tuple[list[int], list[tuple[int, int]]]:
        if not piece.text:
            return [], []
        encoded = self._tokenizer(
            piece.text, add_special_tokens=piece.special, return_offsets_mapping=True
        )
        return list(encoded["input_ids"]), [
            (first, last) for first, last in encoded["offset_mapping"]
        ]

    def _read(
        self, ids: Sequence[int], offsets: Sequence[tuple[int, int]], mark: tuple[int, int]
    ) -> int | None:
        """The index that is read for a mark, among the tokens of its piece."""
        over = _over(offsets, mark)
        if not over or (self._tag is not None and [ids[index] for index in over] != [self._tag]):
            return None
        if self._row.where is Where.BEFORE:
            return over[0] - 1 if over[0] else None
        return over[0] if self._row.where is Where.FIRST else over[-1]

    def _tag_id(self, name: str, tag: str) -> int:
        """The id of the mark as it stands behind a step."""
        for piece in self._row.layout(self._tokenizer, "1", ["1"]):
            if piece.marks:
                ids, offsets = self._tokens(piece)
                ids_of_mark = [ids[index] for index in _over(offsets, piece.marks[0])]
        if len(ids_of_mark) != 1 or ids_of_mark[0] == getattr(
            self._tokenizer, "unk_token_id", None
        ):
            raise UsageError(
                f"{name}: its tokenizer has no token for {tag!r}, at which a {self._row.name} PRM "
                "is read; add it to the tokenizer as the model was trained, or name the family it "
                "is of (?family=NAME)"
            )
        return ids_of_mark[0]


def _over(offsets: Sequence[tuple[int, int]], mark: tuple[int, int]) -> list[int]:
    """Which tokens have characters of a mark."""
    return [
        index for index, (first, last) in enumerate(offsets) if first < mark[1] and last > mark[0]
    ]
