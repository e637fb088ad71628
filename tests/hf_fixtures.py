"""Models of transformers with random weights and a tokenizer of letters, made here in no time."""

import functools

import pytest

from outthink.models.openai import Setting, Wording
from outthink.types import Problem

torch = pytest.importorskip("torch", reason="models in process need torch (outthink[transformers])")
transformers = pytest.importorskip(
    "transformers", reason="models in process need transformers (outthink[transformers])"
)
tokenizers = pytest.importorskip("tokenizers")

LETTERS = "\nabcdefghijklmnopqrstuvwxyz0123456789 .,:+-*=?"
MARKS = ["<pad>", "<end>", "<begin>"]
SETTING = Setting(most_tokens=40, step_end="\n", wording=Wording(None, "{prompt}", "again"))
TEMPLATE = (
    "{% for m in messages %}<begin>{{ m['role'][0] }}:{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<begin>a:{% endif %}"
)


@functools.cache
def tokenizer(template=TEMPLATE):
    words = {word: at for at, word in enumerate([*MARKS, *LETTERS])}
    letters = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="?"))
    letters.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    letters.decoder = tokenizers.decoders.Fuse()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=letters, pad_token="<pad>", eos_token="<end>", bos_token="<begin>"
    )
    made.chat_template = template
    return made


def config(kind="Llama", **options):
    small = {
        "vocab_size": len(MARKS) + len(LETTERS),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "initializer_range": 0.4,
        "head_dim": 8,
        "tie_word_embeddings": False,
    }
    return getattr(transformers, f"{kind}Config")(**small | options)


def causal(kind="Llama", seed=0, **options):
    """A model that ends a step about every ten letters, and a solution every third step."""
    torch.manual_seed(seed)
    model = getattr(transformers, f"{kind}ForCausalLM")(config(kind, **options))
    return model.eval()


def classifier(seed=0):
    """A verifier that was not trained: two numbers at every token."""
    torch.manual_seed(seed)
    made = config("Llama", initializer_range=0.05)
    made.num_labels = 2
    return transformers.LlamaForTokenClassification(made)


def saved(folder, model):
    """The folder as from_pretrained reads it."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def last_letter(text):
    return text.strip()[-1:] or None


def asked(count):
    """Prompts of different lengths."""
    return [Problem(f"p{i}", "what is " + "1+" * i + "1?", "2") for i in range(count)]
