"""A proposer that is a model of transformers in this process.

The first turn is rendered with the model's chat template, earlier solutions of a revision as the
turns before it; what the model writes is appended as token ids, and never rendered again. A step
ends with the token in which its delimiter is complete, and keeps it. A step is never blank: a
delimiter alone belongs to the step after it. Text that ended without a delimiter is a step too;
text that was cut off is none. `finished` says that there was an end mark; its token is not part of
the solution.

A row that has its steps looks at one more token: if that is the end of the solution, the solution
has ended with the step; if not, it is forgotten, and the next draw from there is conditioned on it
(the end is ruled out for its first token), so that the distribution is that of drawing in one go.

Same seed, same draw: a token follows from its seed, its place and the model's probabilities. Those
are the same whatever else is in the batch up to rounding, which is all that batching changes. In
float32 that moves a token only where its number falls within about a millionth of the border
between two tokens, or a greedy choice is a tie; in bfloat16 roughly one token in some hundreds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from outthink.grade import extract
from outthink.models.chance import hashed
from outthink.models.fingerprint import fingerprint
from outthink.models.kv import KEPT_BYTES, ROWS, Batch, Keep, Kept, Reader, Run
from outthink.models.openai import PLAIN, Read, Setting
from outthink.models.reread import Reread, Spread
from outthink.models.shape import ModelShape
from outthink.models.texts import past
from outthink.models.uniform import from_uniform
from outthink.models.weights import HF, Loaded, load
from outthink.types import END, Draw, Drawn, Solution, State, refuse_force, refuse_framing

_COMPACT = 0.75
"""Share of the rows still going at which the others are dropped from the batch."""
_REREAD = 1024
"""Tokens that are read again at once: each has a number for every word of the vocabulary."""

__all__ = ["HF", "HFProposer", "Turns"]


class HFProposer:
    """Samples solutions from a causal language model of transformers."""

    def __init__(
        self,
        loaded: Loaded,
        setting: Setting | None = None,
        read: Read | None = None,
        reader: str = "",
        *,
        rows: int = ROWS,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """`rows` decode side by side; `kept_bytes` bounds what is kept of open solutions."""
        self._setting = setting or loaded.setting
        self._loaded = loaded
        self.read = read or extract.answer
        self.reader = reader
        self._rows = rows
        self._reader = Reader(f"{HF}{loaded.name}", loaded.model, kept_bytes=kept_bytes)
        self._turns = Turns(loaded.tokenizer, self._setting)
        self._ends = end_ids(loaded)
        about = repr((loaded.name, str(loaded.model.dtype), self._setting))
        self.name = f"{loaded.name}-{fingerprint(about)}"

    @classmethod
    def load(
        cls,
        name: str,
        setting: Setting | None = None,
        read: Read | None = None,
        reader: str = "",
    ) -> HFProposer:
        """By a folder or a name of the hub; raises as `models.weights.load`. `read` is that of
        the grader which will judge and `reader` its name; by default an answer is taken as it is
        declared."""
        return cls(load(name), setting, read, reader)

    def __repr__(self) -> str:
        return f"HFProposer({self.name!r})"

    @property
    def parameters_count(self) -> int:
        return self._loaded.parameters_count

    @property
    def shape(self) -> ModelShape:
        """For the cost models."""
        return self._loaded.shape

    def plain(self, most_tokens: int) -> HFProposer:
        """The same model asked with a text as it is, for who wants something else written."""
        setting = Setting(most_tokens, wording=PLAIN)
        return HFProposer(self._loaded, setting, rows=self._rows)

    def decode(self, tokens: Sequence[int]) -> str:
        return self._turns.decode(tokens)

    def propose_batch(self, draws: Sequence[Draw]) -> list[Drawn]:
        """Extend every row. One that fills its context, or `most_tokens`, comes back truncated; so
        does, at once, one whose prompt leaves no room."""
        refuse_force(self.name, draws)
        refuse_framing(self.name, draws, but=("bare",))
        rows = [self._row(draw) for draw in draws]
        going = [row for row in rows if row.room > 0]
        self._read_starts(going)
        # Rows of about one length side by side: padding is computed as well.
        going.sort(key=lambda row: len(row.prompt) + len(row.tokens))
        for first in range(0, len(going), self._rows):
            self._decode(going[first : first + self._rows])
        return [self._drawn(row) for row in rows]

    def reread(self, solutions: Sequence[Solution], top: int) -> list[Reread]:
        """The `top` likeliest log probabilities at every token of each solution (one at least)."""
        reread = []
        for logits, cost in self._read_again(solutions):
            likeliest = logits.topk(min(top, logits.size(-1))).values
            likely = likeliest - logits.logsumexp(-1, keepdim=True)
            reread.append(Reread(tuple(map(tuple, likely.tolist())), *cost))
        return reread

    def spread(self, solutions: Sequence[Solution]) -> list[Spread]:
        """How far from uniform the model was at every token of each solution (one at least)."""
        return [
            Spread(tuple(from_uniform(logits).tolist()), logits.size(-1), *cost)
            for logits, cost in self._read_again(solutions)
        ]

    def _read_again(
        self, solutions: Sequence[Solution]
    ) -> Iterator[tuple[Tensor, tuple[int, int, int]]]:
        """The logits at the tokens of each solution, and the tokens computed, cached and shared."""
        prompts = [
            self._turns.prompt(solution.problem.prompt, solution.history) for solution in solutions
        ]
        starts = dict.fromkeys(prompts)
        known = self._read_prompts(starts)
        rows = list(zip(solutions, prompts, strict=True))
        for part in _of_tokens(rows, _REREAD):
            # What follows the last token is not asked for.
            begun = [(solution.tokens[:-1], known[prompt]) for solution, prompt in part]
            runs = [
                Run(kept, tokens, range(len(tokens)), Keep.NEVER)
                for tokens, kept in begun
                if tokens
            ]
            results = iter(self._reader.read(runs))
            for (solution, prompt), (tokens, kept) in zip(part, begun, strict=True):
                ending = _ending(kept)[None]
                after = next(results).outputs if tokens else ending[:0]
                logits = torch.cat([ending, after]).float()
                shared = 0 if solution.history else len(prompt)
                yield logits, (len(prompt) + len(solution.tokens) - 1, 0, shared)

    def _row(self, draw: Draw) -> _Row:
        prefix = draw.prefix
        problem = prefix.problem
        prompt = self._turns.prompt(problem.prompt, prefix.history, bare=problem.framing.bare)
        length = len(prompt) + len(prefix.tokens)
        kept = prefix.state.proposer if prefix.state else None
        assert kept is None or isinstance(kept, Kept)
        most = min(self._setting.most_tokens, self._loaded.context - len(prompt))
        row = _Row(draw, prompt, most - len(prefix.tokens))
        if kept is not None and kept.length == length:
            row.start = kept
        return row

    def _read_starts(self, rows: Sequence[_Row]) -> None:
        """Read the prompts and prefixes of rows that are not kept, each of them once."""
        unread = [row for row in rows if row.start is None]
        prompts = dict.fromkeys(row.prompt for row in unread)
        known = self._read_prompts(prompts)
        prefixes = dict.fromkeys((row.prompt, tuple(row.tokens)) for row in unread if row.tokens)
        further = self._reader.read([Run(known[prompt], tokens) for prompt, tokens in prefixes])
        begun = {key: result.kept for key, result in zip(prefixes, further, strict=True)}
        for row in unread:
            row.start = begun[row.prompt, tuple(row.tokens)] if row.tokens else known[row.prompt]
            row.was_read = True

    def _read_prompts(self, prompts: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], Kept]:
        asked = list(prompts)
        results = self._reader.read([Run(None, prompt) for prompt in asked])
        return {
            prompt: result.kept
            for prompt, result in zip(asked, results, strict=True)
            if result.kept is not None
        }

    def _decode(self, rows: Sequence[_Row]) -> None:
        """Write on in rows until each has what it was asked for."""
        starts = [row.start for row in rows if row.start is not None]
        batch = Batch(self._reader, starts)
        logits = torch.stack([_ending(start) for start in starts])
        for index, row in enumerate(rows):
            if row.tokens:
                # An open prefix has been found not to end where it stands.
                logits[index, self._ends] = -torch.inf
        alive = list(rows)
        """Rows of the batch; finished rows stay in it until it is compacted."""
        while True:
            picked = _pick(logits, alive)
            for index, (row, token) in enumerate(zip(alive, picked, strict=True)):
                if not row.over:
                    self._take(row, token, batch, index, logits)
            going = [index for index, row in enumerate(alive) if not row.over]
            if not going:
                return
            if len(going) <= _COMPACT * len(alive):
                batch.keep_rows(going)
                alive = [alive[index] for index in going]
                picked = [picked[index] for index in going]
            logits = batch.extend([[token] for token in picked])[:, 0]

    def _take(self, row: _Row, token: int, batch: Batch, index: int, logits: Tensor) -> None:
        """Append the next token to a row, or end the row."""
        if token in self._ends:
            row.decoded += 1
            row.finished = row.over = True
            if self._turns.decode(row.tokens[row.begun :]).strip():
                row.end_step()
        elif row.has_its_steps:
            row.over = True
            count = len(row.tokens) - len(row.draw.prefix.tokens)
            if self._reader.may_keep(count):
                row.kept = batch.take(index, row.start, count, logits[index])
        else:
            row.decoded += 1
            row.tokens.append(token)
            if self._turns.ends_step(row.tokens, row.begun):
                row.end_step()
            if row.decoded >= row.room:
                row.truncated = row.over = True

    def _drawn(self, row: _Row) -> Drawn:
        prefix = row.draw.prefix
        context = len(row.prompt) + len(prefix.tokens)
        if row.room <= 0:
            row.truncated, context = True, 0
        solution = Solution(
            prefix.problem,
            tuple(row.tokens),
            tuple(row.ends),
            row.finished,
            row.truncated,
            self.read(self.decode(row.tokens)) if row.finished else None,
            state=None if row.kept is None else State(proposer=row.kept),
            history=prefix.history,
        )
        return Drawn(
            solution,
            prompt_tokens=context if row.was_read else 0,
            cached_tokens=0 if row.was_read else context,
            decoded_tokens=row.decoded,
            shared_tokens=len(row.prompt) if row.was_read and not prefix.history else 0,
            texts=past(prefix, solution, self.decode),
        )


class _Row:
    """A solution being written."""

    def __init__(self, draw: Draw, prompt: tuple[int, ...], room: int) -> None:
        prefix = draw.prefix
        self.draw = draw
        self.prompt = prompt
        self.room = room
        """Tokens it may still write."""
        self.tokens = list(prefix.tokens)
        self.ends = list(prefix.step_ends)
        self.start: Kept | None = None
        self.kept: Kept | None = None
        """Keys and values of a solution that is returned unfinished."""
        self.was_read = False
        self.decoded = 0
        self.over = self.finished = self.truncated = False

    @property
    def begun(self) -> int:
        """Where the step that has not ended begins."""
        return self.ends[-1] if self.ends else 0

    @property
    def has_its_steps(self) -> bool:
        until = self.draw.until
        return until is not END and len(self.ends) >= self.draw.prefix.steps + until

    def end_step(self) -> None:
        self.ends.append(len(self.tokens))


class Turns:
    """Text to token ids and back, as a model's chat template and a setting have it."""

    def __init__(self, tokenizer: Any, setting: Setting) -> None:
        self._tokenizer = tokenizer
        self._wording = setting.wording
        self._step_end = setting.step_end
        self._may_end: dict[int, bool] = {}
        """By token, whether its text holds the last letter of a delimiter."""
        self.prompt: Callable[..., tuple[int, ...]] = lru_cache(4096)(self._prompt)

    def decode(self, tokens: Sequence[int]) -> str:
        if not tokens:
            return ""
        text: str = self._tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def ids(self, text: str) -> tuple[int, ...]:
        """The token ids of text that continues an answer."""
        return tuple(self._tokenizer(text, add_special_tokens=False).input_ids)

    def ends_step(self, tokens: Sequence[int], begun: int) -> bool:
        """Whether the last token completes the delimiter of the step that begins at `begun`."""
        last = tokens[-1]
        if last not in self._may_end:
            piece = self.decode([last])
            # A letter that is split over two tokens shows in the text of neither.
            self._may_end[last] = self._step_end[-1] in piece or "\ufffd" in piece
        return self._may_end[last] and self._step_end in self.decode(tokens[begun:]).lstrip()

    def _prompt(
        self, prompt: str, history: tuple[tuple[int, ...], ...], *, bare: bool = False
    ) -> tuple[int, ...]:
        earlier = [self.decode(tokens).strip() for tokens in history]
        wording = self._wording.bare if bare else self._wording
        messages = wording.messages(prompt, earlier)
        if getattr(self._tokenizer, "chat_template", None):
            turns = [{"role": turn.role, "content": turn.content} for turn in messages]
            text = self._tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True
            )
            # The template writes the marks that begin a text itself.
            ids = self._tokenizer(text, add_special_tokens=False).input_ids
        else:
            text = "".join(f"{turn.content}\n\n" for turn in messages)
            ids = self._tokenizer(text).input_ids
        return tuple(ids)


def end_ids(loaded: Loaded) -> list[int]:
    """Every token that ends an answer, as the model and its tokenizer say."""
    said = (
        getattr(getattr(loaded.model, "generation_config", None), "eos_token_id", None),
        loaded.model.config.get_text_config().eos_token_id,
        loaded.tokenizer.eos_token_id,
    )
    ends: set[int] = set()
    for ids in said:
        ends.update(ids if isinstance(ids, Iterable) else [] if ids is None else [ids])
    return sorted(ends)


def _ending(kept: Kept) -> Tensor:
    """[vocabulary] logits of the token that follows."""
    assert kept.ending is not None, "a run that was read to its end"
    return kept.ending


def _of_tokens(
    rows: Sequence[tuple[Solution, tuple[int, ...]]], most: int
) -> Iterator[list[tuple[Solution, tuple[int, ...]]]]:
    """Parts of at most so many tokens, or of one row."""
    part: list[tuple[Solution, tuple[int, ...]]] = []
    for row in rows:
        if part and sum(len(solution.tokens) for solution, _ in part) + len(row[0].tokens) > most:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def _pick(logits: Tensor, rows: Sequence[_Row]) -> list[int]:
    """A token for every row: the likeliest of a greedy row, else the one at which the row's random
    number falls, in the order of the ids."""
    logits = logits.float()
    temperatures = [row.draw.temperature for row in rows]
    if not any(temperatures):
        return logits.argmax(-1).tolist()
    seeds = np.array([row.draw.seed for row in rows], np.uint64)
    places = np.array([len(row.tokens) for row in rows], np.int64)
    # 53 bits: a vocabulary has tokens that are rarer than one in 2^24.
    uniform = (hashed(seeds, places) >> np.uint64(11)).astype(np.float64) * 2**-53
    inverse = [1 / temperature if temperature > 0 else 1.0 for temperature in temperatures]
    scaled = logits * torch.tensor(inverse, device=logits.device)[:, None]
    cumulated = scaled.softmax(-1).double().cumsum(-1)
    border = torch.from_numpy(uniform).to(logits.device)[:, None] * cumulated[:, -1:]
    picked = torch.searchsorted(cumulated, border, right=True)[:, 0]
    greedy = torch.tensor([temperature == 0 for temperature in temperatures], device=logits.device)
    return torch.where(greedy, logits.argmax(-1), picked).tolist()
