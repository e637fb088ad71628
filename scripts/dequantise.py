#!/usr/bin/env python3
"""Turns a GGUF file of Llama or Qwen2 into a folder that transformers and vLLM read.

    pip install gguf tokenizers safetensors torch
    python scripts/dequantise.py model.gguf -o DIR

Weights are written as what the quantised numbers stand for, so that the model is the one llama.cpp
runs, not the one it was quantised from. Two things differ between the formats. For Llama, llama.cpp
rotates neighbouring numbers of queries and keys, transformers those half a head apart: rows of both
are put back in their order (llama.cpp, convert_hf_to_gguf.py, LlamaModel.permute). And GGUF names
how text is cut before byte pairs are merged by a word ("smollm"), of which this knows those in
`CUTS`.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

BYTES = {"add_prefix_space": False, "use_regex": True}
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CUTS = {
    "qwen2": lambda: pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    ),
    "smollm": lambda: pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(**BYTES)]
    ),
    "gpt-2": lambda: pre_tokenizers.ByteLevel(**BYTES),
}
NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTSIDE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
ARCHITECTURES = {
    "llama": {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "mlp_bias": False,
    },
    "qwen2": {"architectures": ["Qwen2ForCausalLM"]},
}
"""What a configuration says of each that this turns, besides its sizes."""
BIASED = ("attn_q", "attn_k", "attn_v")
CONTROL, USER_DEFINED = 3, 4
"""Kinds of tokens that are matched as a whole; the first are no text."""


class Refused(Exception):
    """This file is not of a kind that can be turned."""


class Facts:
    """The key-value part of a GGUF file."""

    def __init__(self, reader: GGUFReader) -> None:
        self._fields = reader.fields
        self.architecture: str = self["general.architecture"]

    def __getitem__(self, key: str) -> Any:
        if key not in self._fields:
            raise Refused(f"has no {key}")
        return self._fields[key].contents()

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self._fields else default

    def of(self, key: str, default: Any = None) -> Any:
        """What its architecture calls `key`; it must be there where there is no default."""
        name = f"{self.architecture}.{key}"
        return self[name] if default is None else self.get(name, default)


def turn(path: Path, folder: Path, dtype: torch.dtype) -> None:
    reader = GGUFReader(path)
    facts = Facts(reader)
    if facts.architecture not in ARCHITECTURES:
        known = " and ".join(ARCHITECTURES)
        raise Refused(f"is of {facts.architecture}, this turns {known} alone")
    if any(name.startswith(f"{facts.architecture}.rope.scaling") for name in reader.fields):
        raise Refused("scales its rotary embedding, which this does not know")
    tokenizer = tokenizer_of(facts)
    weights = {
        name: torch.from_numpy(array).to(dtype)
        for name, array in (renamed(tensor, facts) for tensor in reader.tensors)
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = config_of(facts, "lm_head.weight" not in weights, str(dtype).removeprefix("torch."))
    write(folder / "config.json", config)
    ends = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    write(folder / "generation_config.json", ends)
    tokenizer.save(str(folder / "tokenizer.json"))
    write(folder / "tokenizer_config.json", tokenizer_config(facts))


def renamed(tensor: Any, facts: Facts) -> tuple[str, np.ndarray]:
    """A tensor as transformers names and lays it out."""
    array = np.array(dequantize(tensor.data, tensor.tensor_type), np.float32)
    if tensor.name in OUTSIDE:
        return OUTSIDE[tensor.name], array
    parts = tensor.name.split(".")
    if parts[0] != "blk" or parts[2] not in NAMES or parts[3:] not in kinds(parts[2], facts):
        raise Refused(f"has a tensor {tensor.name!r}, which this does not know")
    heads = facts.of("attention.head_count")
    if parts[2] == "attn_q" and facts.architecture == "llama":
        array = halves(array, heads)
    if parts[2] == "attn_k" and facts.architecture == "llama":
        array = halves(array, facts.of("attention.head_count_kv", heads))
    return f"model.layers.{parts[1]}.{NAMES[parts[2]]}.{parts[3]}", array


def kinds(part: str, facts: Facts) -> list[list[str]]:
    """What a layer has of a part: Qwen2 adds something to queries, keys and values."""
    has_bias = facts.architecture == "qwen2" and part in BIASED
    return [["weight"], ["bias"]] if has_bias else [["weight"]]


def halves(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from pairs side by side to two halves."""
    pairs = rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)


def config_of(facts: Facts, tied: bool, dtype: str) -> dict[str, Any]:
    heads, width = facts.of("attention.head_count"), facts.of("embedding_length")
    return {
        **ARCHITECTURES[facts.architecture],
        "model_type": facts.architecture,
        "vocab_size": len(facts["tokenizer.ggml.tokens"]),
        "hidden_size": width,
        "intermediate_size": facts.of("feed_forward_length"),
        "num_hidden_layers": facts.of("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": facts.of("attention.head_count_kv", heads),
        "head_dim": facts.of("attention.key_length", width // heads),
        "max_position_embeddings": facts.of("context_length"),
        "rms_norm_eps": facts.of("attention.layer_norm_rms_epsilon"),
        "rope_theta": facts.of("rope.freq_base", 10000.0),
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "bos_token_id": facts.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": facts["tokenizer.ggml.eos_token_id"],
        "pad_token_id": facts.get("tokenizer.ggml.padding_token_id"),
        "torch_dtype": dtype,
    }


def tokenizer_of(facts: Facts) -> Tokenizer:
    kind, cut = facts["tokenizer.ggml.model"], facts.get("tokenizer.ggml.pre")
    if kind != "gpt2" or cut not in CUTS:
        raise Refused(f"cuts text as {kind}/{cut}; this knows gpt2/{', gpt2/'.join(CUTS)}")
    words = facts["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in facts["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE({word: at for at, word in enumerate(words)}, merges))
    made.pre_tokenizer = CUTS[cut]()
    if cut == "qwen2":
        made.normalizer = normalizers.NFC()
    made.decoder = decoders.ByteLevel()
    for word, kind in zip(words, facts["tokenizer.ggml.token_type"], strict=True):
        if kind in (CONTROL, USER_DEFINED):
            made.add_special_tokens([AddedToken(word, normalized=False, special=kind == CONTROL)])
    return made


def tokenizer_config(facts: Facts) -> dict[str, Any]:
    words = facts["tokenizer.ggml.tokens"]
    named = {
        "bos_token": "bos_token_id",
        "eos_token": "eos_token_id",
        "unk_token": "unknown_token_id",
        "pad_token": "padding_token_id",
    }
    ids = {name: facts.get(f"tokenizer.ggml.{key}") for name, key in named.items()}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": facts.of("context_length"),
        "clean_up_tokenization_spaces": False,
        "chat_template": facts.get("tokenizer.chat_template"),
        **{name: words[at] for name, at in ids.items() if at is not None},
    }


def write(path: Path, value: dict[str, Any]) -> None:
    kept = {key: field for key, field in value.items() if field is not None}
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("gguf", type=Path, metavar="GGUF")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    options = parser.parse_args()
    try:
        turn(options.gguf, options.out, getattr(torch, options.dtype))
    except (Refused, OSError, ValueError) as error:
        print(f"{options.gguf}: {error}", file=sys.stderr)
        return 2
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
