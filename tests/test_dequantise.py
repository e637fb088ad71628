"""The script that turns GGUF into what transformers reads, against the model it was made of."""

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("gguf", reason="needs gguf")
pytest.importorskip("transformers", reason="needs transformers (outthink[transformers])")

import gguf
import numpy as np
import torch
from hf_fixtures import config, transformers

SCRIPT = Path(__file__).parent.parent / "scripts" / "dequantise.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("dequantise", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def interleaved(rows, heads):
    """Rows as llama.cpp wants queries and keys: the halves of a head in turns."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, rows.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


def written(path, model, script, architecture="llama"):
    """A GGUF file of a small Llama, written as llama.cpp's converter does."""
    letters = [chr(at) for at in range(33, 127)] + ["Ġ", "Ċ", "ab"]
    words = ["<|end|>", *letters]
    writer = gguf.GGUFWriter(path, architecture)
    shape = model.config
    writer.add_context_length(64)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.num_key_value_heads)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2" if architecture == "qwen2" else "smollm")
    writer.add_token_list(words)
    writer.add_token_types([3] + [1] * len(letters))
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    names = {ours: theirs for theirs, ours in script.OUTSIDE.items()}
    for name, tensor in model.state_dict().items():
        array = tensor.numpy()
        if name in names:
            writer.add_tensor(names[name], array)
            continue
        _, _, layer, *rest, kind = name.split(".")
        part = next(k for k, v in script.NAMES.items() if v == ".".join(rest))
        if part in ("attn_q", "attn_k") and architecture == "llama":
            q = part == "attn_q"
            array = interleaved(
                array, shape.num_attention_heads if q else shape.num_key_value_heads
            )
        writer.add_tensor(f"blk.{layer}.{part}.{kind}", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def model():
    transformers.set_seed(0)
    return transformers.LlamaForCausalLM(
        config(vocab_size=98, eos_token_id=0, pad_token_id=0)
    ).eval()


def test_dequantised_logits_are_those_of_the_model(tmp_path, model, script):
    path = written(tmp_path / "tiny.gguf", model, script)
    script.turn(path, tmp_path / "out", torch.float32)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = torch.arange(1, 40)[None]
    with torch.inference_mode():
        torch.testing.assert_close(again(ids).logits, model(ids).logits)


def test_dequantised_tokenizer_cuts_digits_and_merges_pairs(tmp_path, model, script):
    path = written(tmp_path / "tiny.gguf", model, script)
    script.turn(path, tmp_path / "out", torch.float32)
    made = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = made("ab 12\n<|end|>").input_ids
    assert made.convert_ids_to_tokens(ids) == ["ab", "Ġ", "1", "2", "Ċ", "<|end|>"]
    assert made.decode(ids[:-1]) == "ab 12\n" and made.eos_token_id == 0


def test_dequantised_qwen2_is_the_model_with_its_biases(tmp_path, script):
    transformers.set_seed(0)
    sizes = {"vocab_size": 98, "eos_token_id": 0, "pad_token_id": 0}
    model = transformers.Qwen2ForCausalLM(config("Qwen2", **sizes)).eval()
    for name, weights in model.named_parameters():
        if name.endswith("bias"):  # new ones are 0
            torch.nn.init.normal_(weights)
    path = written(tmp_path / "tiny.gguf", model, script, architecture="qwen2")
    script.turn(path, tmp_path / "out", torch.float32)
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = torch.arange(1, 40)[None]
    with torch.inference_mode():
        torch.testing.assert_close(again(ids).logits, model(ids).logits)


def test_dequantised_qwen2_cuts_digits_and_keeps_line_breaks_together(tmp_path, model, script):
    path = written(tmp_path / "tiny.gguf", model, script, architecture="qwen2")
    script.tokenizer_of(script.Facts(script.GGUFReader(path)))
    cut = script.CUTS["qwen2"]().pre_tokenize_str("ab 12. \n\nc")
    assert [word for word, _ in cut] == ["ab", "Ġ", "1", "2", ".", "ĠĊĊ", "c"]


def test_another_architecture_is_refused_on_one_line(tmp_path, model, script, monkeypatch, capsys):
    path = written(tmp_path / "tiny.gguf", model, script, architecture="gemma")
    monkeypatch.setattr(sys, "argv", ["x", str(path), "-o", str(tmp_path / "out")])
    assert script.main() == 2
    assert "this turns llama and qwen2 alone" in capsys.readouterr().err
