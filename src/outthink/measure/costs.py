"""What a usage costs in FLOPs, under three cost models side by side, from the models' real shapes.

    paper       2N a token computed                    Snell et al. 2024, section 7 (2408.03314)
    attention   that, and for every token attended to  Brown et al. 2024 (2407.21787): a token at
                                                       context c costs 2 (N + 2 layers d c)
    memory      that, and for every byte of keys and   Sadhukhan et al. 2025 (2506.05333): the
                values read to decode                  closed form C_TTS, in equivalent FLOPs

Each charges all that the one before it charges, so they differ by what they add and nothing else.
In all of them tokens served from a cache are free, prompts and discarded tokens are paid for, and
so is the verifier, by its own shape.

N is `ModelShape.multiplied_parameters`: the weights that every token is multiplied with. That is
all of them but tables in which a token is looked up, since a look-up costs no FLOP; a table that is
also the output head (tied embeddings) is multiplied with, and counts once. It is what an operation
counter sees, where the published total would be 7 % above it for Llama 3 8B. To count the total all
the same: `replace(shape, multiplied_parameters=shape.parameters)`.

Knows nothing of tensors or files. Mixtures of experts and sliding windows are refused, not guessed
at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from outthink.errors import UsageError
from outthink.models.shape import ModelShape
from outthink.types import Usage

INTENSITY = 562.5
"""FLOPs that take as long as reading one byte: I of Sadhukhan et al. 2025 for an NVIDIA B200, which
is 4.5 PFLOP/s over 8 TB/s. At the dense 16-bit rate of that card it would be half as much."""


# The cost models ---------------------------------------------------------------------------------


class CostModel(Protocol):
    """The cost of a usage in FLOPs, given who proposed and, where one was asked, who verified.

    It adds up: the cost of a sum of usages is the sum of their costs.
    """

    def __call__(
        self, usage: Usage, *, proposer: ModelShape, verifier: ModelShape | None = None
    ) -> float: ...


def paper(usage: Usage, *, proposer: ModelShape, verifier: ModelShape | None = None) -> float:
    """2N for every token that was computed: prompts, decoded tokens, and those of the verifier.

    Snell et al. 2024, section 7: Y = 2 N D_inf. They charge decoded tokens; the verifier is in the
    4 N D_inf of the ICLR version, which takes it to be of the proposer's size and to read what was
    decoded. Here it is charged by its own size for what it read.
    """
    multiplied = proposer.multiplied_parameters * (usage.prompt_tokens + usage.decoded_tokens)
    if usage.verifier_tokens:
        multiplied += _given(verifier).multiplied_parameters * usage.verifier_tokens
    return float(2 * multiplied)


def attention(usage: Usage, *, proposer: ModelShape, verifier: ModelShape | None = None) -> float:
    """As `paper`, and 4 layers d for every token that a computed token attends to.

    Brown et al. 2024: 2 (N + 2 layers d c) a token at context c, with d = heads * head_dim, prompts
    once and completions each. The context of a token is itself and all before it, so half of what a
    kernel computes that masks the later ones, and exactly what decoding with a cache computes.
    """
    attended = proposer.attended_flops * (usage.prompt_attended + usage.decoded_attended)
    if usage.verifier_attended:
        attended += _given(verifier).attended_flops * usage.verifier_attended
    return paper(usage, proposer=proposer, verifier=verifier) + attended


def memory(
    usage: Usage,
    *,
    proposer: ModelShape,
    verifier: ModelShape | None = None,
    intensity: float = INTENSITY,
) -> float:
    """As `attention`, and `intensity` for every byte of keys and values read to decode.

    Sadhukhan et al. 2025, "Kinetics": for N trials of length L_out on a prompt of length L_in,

        C_TTS = 2 N P L_out + 2 r N L_in D L_out + r N D L_out^2 + 2 I L_in D L_out + I N D L_out^2

    with P parameters, r = heads / kv_heads, D numbers cached a token, 2 bytes each, and I the
    intensity. The rows of one request share the reads of their prompt, as the N trials do there.

    Counted: the compute of every token, and at each decoded token the keys and values of itself and
    all before it. Not counted, as there: reads of weights, which a large batch shares, and writes.
    Nor are the reads of a pass over many tokens at once (prompts, the verifier), which reads a key
    once and not once a token. Each row pays for its own reads of a solution's prefix, though beams
    of one parent could share them as well. Beyond the closed form, the compute of the prompt is
    charged, and contexts are summed token by token, L (L + 1) / 2 where it has L^2 / 2.
    """
    read = usage.kv_reads * proposer.kv_elements * proposer.element_bytes
    return attention(usage, proposer=proposer, verifier=verifier) + intensity * read


COST_MODELS: Mapping[str, CostModel] = {"paper": paper, "attention": attention, "memory": memory}
"""By the name they go by in options and reports, cheapest first."""


def cost_model(name: str) -> CostModel:
    """The cost model of this name; raises `UsageError` where there is none."""
    if name not in COST_MODELS:
        raise UsageError(f"cost model {name!r} is none of {', '.join(COST_MODELS)}; name one")
    return COST_MODELS[name]


def pretraining(model: ModelShape, *, tokens: int) -> float:
    """6 N D: a forward pass and one backward of twice its cost (Snell et al. 2024, section 7).

    Attention is left out, as there.
    """
    return float(6 * model.multiplied_parameters * tokens)


def _given(verifier: ModelShape | None) -> ModelShape:
    if verifier is None:
        raise UsageError(
            "the usage has verifier tokens and no verifier was given; give its ModelShape, or "
            "leave them out with replace(usage, verifier_tokens=0, verifier_attended=0)"
        )
    return verifier


# Config files ------------------------------------------------------------------------------------
