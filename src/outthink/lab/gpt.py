"""A small decoder-only transformer, with a key-value cache that can be forked.

Pre-norm blocks with RMSNorm, rotary attention and squared ReLU; no biases. Two things make looking
up easy, which is what small transformers are slow to learn: a position is given by two learned
vectors, the step it belongs to and its place in that step, so that an operation in the prompt and
the step that uses it share one; and a position also sees the token that stands one step before the
next one, a token shift as in RWKV with the stride of a step. One class serves the language models
(one output a token of the vocabulary) and the verifiers (one output more).

Earlier solutions to the same problem can be read before the prompt, as revisions need it. Attention
is relative, so the model reads everything from the prompt on as it does without them, but can
attend to them. Each of their tokens has its own step and place, and its age: how many solutions ago
it was written.

Knows nothing of the task, of sampling or of training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from outthink import whole
from outthink.errors import WeightsError
from outthink.lab.kernels import attend, block_size, blocks, normed
from outthink.models.shape import ModelShape


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model is: everything needed to build it before its weights are read."""

    vocabulary: int
    outputs: int
    width: int
    layers: int
    heads: int
    steps: tuple[int, ...]
    """Step that each position belongs to; its length is the context."""
    offsets: tuple[int, ...]
    """Place of each position within its step."""
    stride: int
    """A position sees the token `stride - 1` before it: the one a step before its next token."""
    history: int = 0
    """Earlier solutions that it tells from each other. A model of 0 can read earlier solutions as
    well, but does not know which is which."""

    @property
    def context(self) -> int:
        """Most tokens of prompt and solution, without earlier solutions."""
        return len(self.steps)


class Cache:
    """Keys and values of B rows of equal length, in every layer.

    `layers[l]` is [B, heads, blocks, block_size(width / heads)], see `kernels.attend`. `tokens` [B,
    capacity] are the ids that were read. The first `lead` tokens are earlier solutions, and the
    context is longer by as many.
    """

    __slots__ = ("layers", "lead", "length", "tokens")

    def __init__(self, layers: list[Tensor], tokens: Tensor, length: int, lead: int) -> None:
        self.layers = layers
        self.tokens = tokens
        self.length = length
        self.lead = lead

    @classmethod
    def empty(cls, shape: Shape, rows: int, like: Tensor, lead: int = 0) -> Cache:
        """Room for the whole context of `rows` rows, none of it read yet."""
        capacity = lead + shape.context
        room = (rows, shape.heads, blocks(capacity), block_size(shape.width // shape.heads))
        return cls(
            [like.new_empty(room) for _ in range(shape.layers)],
            like.new_empty((rows, capacity), dtype=torch.long),
            0,
            lead,
        )

    @property
    def rows(self) -> int:
        return self.tokens.size(0)

    @property
    def capacity(self) -> int:
        """Tokens that there is room for in each row."""
        return self.tokens.size(1)

    def cut(self, rows: Tensor, length: int) -> Cache:
        """A copy of the first `length` tokens of some rows, with no room for more: to be kept."""
        filled = blocks(length)
        return Cache(
            [layer[rows, :, :filled] for layer in self.layers],
            self.tokens[rows, :length],
            length,
            self.lead,
        )


def gather(
    sources: Sequence[tuple[Cache, Tensor]], length: int, capacity: int | None = None
) -> Cache:
    """A new cache of the chosen rows' first `length` tokens: `(cache, row indices)`, in order.

    This is the fork: a row may be taken any number of times, and the sources stay as they are. All
    have the same lead. The new rows have room for `capacity` tokens, by default for as many as
    those of the first source.
    """
    capacity = sources[0][0].capacity if capacity is None else capacity

    def taken(parts: Sequence[Tensor], along: int, room: int) -> Tensor:
        shape = list(parts[0].shape)
        shape[0], shape[along] = rows, room
        new = parts[0].new_empty(shape)
        at = 0
        for part, (_, index) in zip(parts, sources, strict=True):
            place = new[at : at + index.numel()]
            at += index.numel()
            if part.size(along) == room:
                # Whole rows, filled or not: a copy of contiguous memory is faster than a cut one.
                torch.index_select(part, 0, index, out=place)
            else:
                place.narrow(along, 0, part.size(along)).copy_(part[index])
        return new

    caches = [cache for cache, _ in sources]
    rows = sum(index.numel() for _, index in sources)
    return Cache(
        [
            taken(parts, 2, blocks(capacity))
            for parts in zip(*(cache.layers for cache in caches), strict=True)
        ],
        taken([cache.tokens for cache in caches], 1, capacity),
        length,
        caches[0].lead,
    )


class Block(nn.Module):
    """Attention and a two-layer perceptron, each on the normed residual stream."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor, turn: Turn) -> Tensor:
        """[B, T, width] -> [B, T, width], causal."""
        rows, length, width = x.shape
        q, k, v = self._split(x, turn)
        attended = F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=True
        )
        x = x + self.out(attended.transpose(1, 2).reshape(rows, length, width))
        return x + self.down(F.relu(self.up(norm(x))).square())  # type: ignore[no-any-return]

    def extend(self, x: Tensor, ends: Sequence[End]) -> Tensor:
        """As `forward` for [B, n, width] new tokens, of which some rows follow one number of cached
        tokens and some another; caches these too. What acts on rows is done for all at once."""
        rows, new, width = x.shape
        flat = x.view(rows * new, width)
        projected = self.qkv(normed(flat)).view(rows, new, 3 * width)
        parts, at = [], 0
        for cached, start, turn in ends:
            to = at + cached.size(0)
            parts.append(attend(projected[at:to], cached, start, turn))
            at = to
        mixed = parts[0] if len(parts) == 1 else torch.cat(parts)
        flat = torch.addmm(flat, mixed.view(rows * new, width), self.out.weight.t())
        grown = self.up(normed(flat)).relu_().square_()
        return torch.addmm(flat, grown, self.down.weight.t()).view(rows, new, width)

    def _split(self, x: Tensor, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [B, n, heads, width / heads], the first two rotated."""
        rows, new, width = x.shape
        q, k, v = self.qkv(norm(x)).view(rows, new, 3, self.heads, width // self.heads).unbind(2)
        return rotate(q, turn), rotate(k, turn), v


Turn = tuple[Tensor, Tensor]
"""Cosine and sine of each position's angles, [n, width / heads / 2] each."""

End = tuple[Tensor, int, Turn]
"""Keys and values of some rows in one layer, how many tokens are cached in them, and the angles of
the new ones."""


def rotate(x: Tensor, turn: Turn) -> Tensor:
    """Rotary position embedding (Su et al. 2021) of [B, n, heads, depth]."""
    a, b = x.chunk(2, -1)
    cosine, sine = (part[:, None] for part in turn)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)


_ROTARY_BASE = 1000.0
_LONGEST = 6
"""Contexts that fit, earlier solutions included."""


class GPT(nn.Module):
    """The transformer. `forward` for training, `extend` for everything else."""

    step_of: Tensor
    offset_of: Tensor
    cosine: Tensor
    sine: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.token = nn.Embedding(shape.vocabulary, shape.width)
        self.step = nn.Embedding(max(shape.steps) + 1, shape.width)
        self.offset = nn.Embedding(max(shape.offsets) + 1, shape.width)
        self.shifted = nn.Embedding(shape.vocabulary + 1, shape.width)
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads) for _ in range(shape.layers))
        self.head = nn.Linear(shape.width, shape.outputs, bias=False)
        self.register_buffer("step_of", torch.tensor(shape.steps), persistent=False)
        self.register_buffer("offset_of", torch.tensor(shape.offsets), persistent=False)
        # Age 0, the solution being written, adds nothing.
        ages = nn.Embedding(shape.history + 1, shape.width, padding_idx=0)
        self.age = ages if shape.history else None
        depth = shape.width // shape.heads
        speed = _ROTARY_BASE ** (-torch.arange(0, depth, 2) / depth)
        angle = torch.arange(shape.context * _LONGEST)[:, None] * speed
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)
        for embedding in (self.token, self.step, self.offset, self.shifted):
            nn.init.normal_(embedding.weight, std=0.5)
        if self.age is not None:
            nn.init.zeros_(self.age.weight)
        nn.init.zeros_(self.head.weight)

    @property
    def room(self) -> int:
        """Most earlier solutions that can be read before a prompt."""
        return self.shape.history or _LONGEST - 1

    @property
    def parameters_count(self) -> int:
        """Number of weights."""
        return sum(weight.numel() for weight in self.parameters())

    def model_shape(self, name: str) -> ModelShape:
        """What the cost models need to know; keys and values are cached as the weights are kept."""
        shape, looked_up = self.shape, (self.token, self.step, self.offset, self.shifted)
        total = self.parameters_count
        return ModelShape(
            name=name,
            parameters=total,
            multiplied_parameters=total - sum(table.weight.numel() for table in looked_up),
            layers=shape.layers,
            width=shape.width,
            heads=shape.heads,
            kv_heads=shape.heads,
            head_dim=shape.width // shape.heads,
            element_bytes=self.head.weight.element_size(),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, T] token ids -> [B, T, outputs]."""
        return self._through(self._embed(tokens, 0, tokens.size(1), 0))

    def read(self, ids: Tensor) -> Tensor:
        """[B, 5, T] ids with their places (`tokenizer.place`) -> [B, T, outputs]."""
        return self._through(self._embed_placed(ids))

    def _through(self, x: Tensor) -> Tensor:
        turn = self.cosine[: x.size(1)], self.sine[: x.size(1)]
        for block in self.blocks:
            x = block(x, turn)
        return self.head(norm(x))  # type: ignore[no-any-return]

    def lead(self, ids: Tensor, cache: Cache) -> None:
        """Read earlier solutions, [B, 5, lead] ids with their places, into an empty cache."""
        end = ids.size(2)
        # Where the prompt looks back by a stride it must find nothing.
        cache.tokens[:, :end] = self.shape.vocabulary
        self._extend(self._embed_placed(ids), [cache])

    def extend(self, tokens: Tensor, cache: Cache) -> Tensor:
        """[B, n] ids that follow what the cache holds -> [B, n, outputs]; the cache grows by n."""
        return self.decode([tokens], [cache])[0]

    def decode(self, tokens: Sequence[Tensor], caches: Sequence[Cache]) -> list[Tensor]:
        """`extend` for several caches at once, bit for bit, by as many tokens a row: some have too
        few rows to fill a core alone."""
        xs = []
        for new, cache in zip(tokens, caches, strict=True):
            start, end = cache.length, cache.length + new.size(1)
            cache.tokens[:, start:end] = new
            xs.append(self._embed(cache.tokens, start, end, cache.lead))
        outputs = self._extend(xs[0] if len(xs) == 1 else torch.cat(xs), caches)
        return list(torch.split(outputs, [new.size(0) for new in tokens]))

    def _extend(self, x: Tensor, caches: Sequence[Cache]) -> Tensor:
        new = x.size(1)
        turns = [
            (self.cosine[one.length : one.length + new], self.sine[one.length : one.length + new])
            for one in caches
        ]
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            x = block.extend(
                x,
                [
                    (one.layers[layer], one.length, turn)
                    for one, turn in zip(caches, turns, strict=True)
                ],
            )
        for cache in caches:
            cache.length += new
        return self.head(norm(x))  # type: ignore[no-any-return]

    def _embed_placed(self, ids: Tensor) -> Tensor:
        """[B, 5, n] -> [B, n, width]."""
        tokens, before, steps, offsets, ages = ids.unbind(1)
        x = self.token(tokens) + self.shifted(before) + self.step(steps) + self.offset(offsets)
        return x if self.age is None else x + self.age(ages)  # type: ignore[no-any-return]

    def _embed(self, tokens: Tensor, start: int, end: int, lead: int) -> Tensor:
        """Positions start..end of `tokens`, which holds everything before them as well."""
        steps, offsets = self.step_of[start - lead : end - lead], self.offset_of[start - lead :]
        place = self.step(steps) + self.offset(offsets[: end - start])
        back = self.shape.stride - 1
        before = tokens[:, max(0, start - back) : max(0, end - back)]
        missing = end - start - before.size(1)
        before = F.pad(before, (missing, 0), value=self.shape.vocabulary)
        return self.token(tokens[:, start:end]) + self.shifted(before) + place  # type: ignore[no-any-return]


def with_history(model: GPT, history: int) -> GPT:
    """The same model with untrained vectors for the ages of `history` earlier solutions."""
    grown = GPT(replace(model.shape, history=history))
    assert grown.age is not None
    grown.load_state_dict({**model.state_dict(), "age.weight": grown.age.weight})
    return grown


def without_history(model: GPT) -> GPT:
    """The same model without the ages of earlier solutions."""
    shrunk = GPT(replace(model.shape, history=0))
    shrunk.load_state_dict({k: v for k, v in model.state_dict().items() if k != "age.weight"})
    return shrunk


def with_hope(model: GPT) -> GPT:
    """The same model with one output more, zero for everything: a verifier before training."""
    grown = GPT(replace(model.shape, outputs=model.shape.outputs + 1))
    weights = dict(model.state_dict())
    head = weights["head.weight"]
    weights["head.weight"] = torch.cat([head, torch.zeros_like(head[:1])])
    grown.load_state_dict(weights)
    return grown


def norm(x: Tensor) -> Tensor:
    """RMSNorm without a gain."""
    return F.rms_norm(x, (x.size(-1),))


def save(model: GPT, path: Path, facts: dict[str, str]) -> None:
    """Write weights, shape and `facts` (how they came about) to one safetensors file, whole or not
    at all."""
    metadata = {"shape": json.dumps(asdict(model.shape)), **facts}
    weights = {name: weight.contiguous() for name, weight in model.state_dict().items()}
    with whole.written(path) as part:
        save_file(weights, part, metadata)


def load(path: Path) -> tuple[GPT, dict[str, str]]:
    """A model in evaluation mode, and its facts. Raises `WeightsError` on any mismatch."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = dict(file.metadata() or {})
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path}: cannot read weights ({error}); make them with 'outthink lab train'"
        ) from error
    try:
        raw = json.loads(facts.pop("shape"))
        shape = Shape(**{**raw, "steps": tuple(raw["steps"]), "offsets": tuple(raw["offsets"])})
        model = GPT(shape)
        model.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(
            f"{path}: weights do not match their configuration ({reason}); "
            "train them again with 'outthink lab train'"
        ) from error
    return model.eval(), facts
