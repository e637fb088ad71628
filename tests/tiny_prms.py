"""Tiny reward models of every family, made on the spot, and the slow way to read each of them.

`SLOW` is how the authors of each family score with it, one solution at a time and with no cache;
it knows nothing of `outthink.verify`. A model learns to tell steps with a `q` in them from others,
at the index that the slow way reads.
"""

import json
import random
import re
from dataclasses import dataclass

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from torch import nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
LLAMA3 = (
    "<|begin_of_text|>{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
)


def bytes_tokenizer(*tags, plain=(), chat=None, bos=None):
    """As GPT and Qwen tokenize, with a token a byte; `tags` are special, `plain` ones are not."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = [*tags, *re.findall(r"<\|\w+\|>", chat or ""), *([bos] if bos else [])]
    inner.add_special_tokens([AddedToken(t, special=True) for t in dict.fromkeys(special)])
    inner.add_tokens([AddedToken(t, normalized=False) for t in plain])
    found = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=bos)
    found.chat_template = chat
    return found


def llama_tokenizer(merges=("ки", "▁ки", "▁+", "▁-")):
    """As Llama and Mistral tokenize: a space is part of a word, and a text begins with one."""
    letters = [chr(c) for c in range(33, 127)] + list("▁ки")
    vocab = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>"])}
    for token in [f"<0x{n:02X}>" for n in range(256)] + letters + list(merges):
        vocab[token] = len(vocab)
    pairs = [(token[:1], token[1:]) for token in merges]
    inner = Tokenizer(BPE(vocab=vocab, merges=pairs, unk_token="<unk>", byte_fallback=True))
    inner.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


# The slow way ------------------------------------------------------------------------------------


def at_tag(text, tag, *, special=True):
    """Ids of a text and the places of a tag among them."""

    def slow(tokenizer, problem, steps):
        ids = tokenizer.encode(text(problem, steps), add_special_tokens=special)
        tag_id = tokenizer.encode(tag, add_special_tokens=False)[-1]
        return ids, [at for at, token in enumerate(ids) if token == tag_id]

    return slow


def shepherd(problem, steps):
    return f"{problem} " + "\n".join(f"{step} ки" for step in steps)


def er_prm(problem, steps):
    return f"{problem} " + "".join(f"{step} ки" for step in steps)


def psa(problem, steps):
    return f"{problem} " + "\n".join(f"{step} \n\n\n\n\n" for step in steps)


def pqm(problem, steps):
    said = [f"Step {number}: {step}" for number, step in enumerate(steps, 1)]
    query = (
        "Below is an instruction that describes a task.\nWrite a response that appropriately "
        f"completes the request.\n\n### Instruction:\n{problem}\n\n### Response: "
        "Let's think step by step"
    )
    return f"{query}\n" + " [PRM]\n".join(said) + " [PRM]"


def qwen(tokenizer, problem, steps):
    chat = [
        {
            "role": "system",
            "content": "Please reason step by step, and put your final answer within \\boxed{}.",
        },
        {"role": "user", "content": problem},
        {"role": "assistant", "content": "<extra_0>".join(steps) + "<extra_0>"},
    ]
    ids = tokenizer.encode(
        tokenizer.apply_chat_template(chat, tokenize=False), add_special_tokens=False
    )
    tag = tokenizer.encode("<extra_0>")[0]
    return ids, [at for at, token in enumerate(ids) if token == tag]


def rlhflow(tokenizer, problem, steps):
    """Each step's place is the third token from the end of the chat up to it."""
    chat, places = [], []
    for number, step in enumerate(steps):
        chat.append({"role": "user", "content": step if number else f"{problem} {step}"})
        chat.append({"role": "assistant", "content": "+"})
        text = tokenizer.apply_chat_template(chat, tokenize=False)
        ids = tokenizer.encode(text, add_special_tokens=False)
        places.append(len(ids) - 3)
    return ids, places


def skywork(tokenizer, problem, steps):
    ids = tokenizer.encode((tokenizer.bos_token or "") + problem + "\n")
    tag, places = tokenizer.encode("\n")[-1], []
    for step in "\n".join(steps).split("\n"):
        ids += [*tokenizer.encode(step), tag]
        places.append(len(ids) - 1)
    return ids, places


def trl(separator):
    def slow(tokenizer, problem, steps):
        ids = tokenizer(problem, add_special_tokens=False)["input_ids"]
        if tokenizer.bos_token_id is not None:
            ids = [tokenizer.bos_token_id, *ids]
        end = tokenizer.encode(separator, add_special_tokens=False)
        places = []
        for step in steps:
            ids += tokenizer(step, add_special_tokens=False)["input_ids"] + end
            places.append(len(ids) - 1)
        return ids, places

    return slow


def llemma(tokenizer, problem, steps):
    """At every empty line behind that of the heading, its first token."""
    text = f"# Question\n\n{problem}\n\n# Solution\n\n" + "".join(f"{s}\n\n" for s in steps)
    ids = tokenizer.encode(text)
    heading = tokenizer.encode("\n\n# Solution", add_special_tokens=False)[1:]
    empty = tokenizer.encode("\n\n", add_special_tokens=False)[1:]
    begun, places = False, []
    for at in range(len(ids)):
        begun |= ids[at : at + len(heading)] == heading
        if begun and ids[at : at + len(empty)] == empty:
            places.append(at)
    return ids, places[2:]  # those around the heading


def choice(good, bad):
    """Softmax over two words."""

    def slow(model, tokenizer, ids, places):
        tokens = [tokenizer.encode(word, add_special_tokens=False)[-1] for word in (good, bad)]
        return model(torch.tensor([ids])).logits[0, places][:, tokens].softmax(-1)[:, 0]

    return slow


def right_class(model, tokenizer, ids, places):
    return model(torch.tensor([ids])).logits[0, places].softmax(-1)[:, 1]


def value(model, tokenizer, ids, places):
    return model(torch.tensor([ids])).logits[0, places, 0].sigmoid()


def mean_logit(model, tokenizer, ids, places):
    return model(torch.tensor([ids])).logits[0, places].mean(-1).sigmoid()


# Models ------------------------------------------------------------------------------------------


@dataclass
class Out:
    logits: torch.Tensor


class Headed(nn.Module):
    """A backbone with a head of its own name, as code that comes with a checkpoint has it."""

    def __init__(self, config, head):
        super().__init__()
        self.config = config
        self.model = AutoModel.from_config(config)
        self.head = head

    def forward(self, ids):
        return Out(self.head(self.model(ids).last_hidden_state))


TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,
}


def two_layers(width, outputs):
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))


@dataclass
class Kind:
    """How a tiny model of a family is made, and how it is read."""

    tokenizer: object
    slow: object
    read: object
    config: type = LlamaConfig
    head: str = "lm"
    """`lm`, `class` (token classification), or the name of the head in the file."""
    names: str = ""
    """What its weights' names begin with."""

    def make(self, seed=0):
        torch.manual_seed(seed)
        config = self.config(**TINY, vocab_size=len(self.tokenizer))
        if self.head == "lm":
            return AutoModelForCausalLM.from_config(config)
        if self.head == "class":
            config.num_labels = 2
            return AutoModelForTokenClassification.from_config(config)
        width = config.hidden_size
        return Headed(config, two_layers(width, 2) if self.head == "score" else nn.Linear(width, 1))

    def save(self, model, folder, architecture=None):
        """As a checkpoint of the family lies on the hub."""
        self.tokenizer.save_pretrained(folder)
        if not isinstance(model, Headed):
            model.save_pretrained(folder)
        else:
            model.model.save_pretrained(folder)
            tensors = load_file(folder / "model.safetensors")
            tensors = {f"{self.names}model.{name}": each for name, each in tensors.items()}
            for name, each in model.head.state_dict().items():
                tensors[f"{self.head}.{name}"] = each
            save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        if architecture:
            path = folder / "config.json"
            said = json.loads(path.read_text("utf-8")) | {"architectures": [architecture]}
            path.write_text(json.dumps(said), "utf-8")
        return str(folder)

    def scores(self, model, problem, steps):
        """The slow reference."""
        ids, places = self.slow(self.tokenizer, problem, steps)
        assert len(places) == len(steps)
        with torch.no_grad():
            return self.read(model.eval(), self.tokenizer, ids, places).tolist()


LLAMA = llama_tokenizer()
BYTES = bytes_tokenizer()
KINDS = {
    "math-shepherd": Kind(LLAMA, at_tag(shepherd, "ки"), choice("+", "-"), MistralConfig),
    "rlhflow": Kind(bytes_tokenizer(plain=["\n\n"], chat=LLAMA3), rlhflow, choice("+", "-")),
    "er-prm": Kind(
        bytes_tokenizer(plain=[" ки", " +", " -"], bos="<s>"),
        at_tag(er_prm, " ки"),
        choice(" +", " -"),
    ),
    "skywork": Kind(bytes_tokenizer(bos="<s>"), skywork, value, Qwen2Config, head="v_head.summary"),
    "qwen-prm": Kind(
        bytes_tokenizer("<extra_0>", chat=CHATML), qwen, right_class, Qwen2Config, head="score"
    ),
    "pqm": Kind(
        bytes_tokenizer("[PRM]"),
        at_tag(pqm, "[PRM]", special=False),
        value,
        head="v_head.summary",
        names="pretrained_model.",
    ),
    "trl": Kind(bytes_tokenizer(bos="<s>"), trl("\n"), right_class, Qwen2Config, head="class"),
    "trl-blank": Kind(BYTES, trl("\n\n"), right_class, Qwen2Config, head="class"),
    "math-psa": Kind(
        bytes_tokenizer(plain=[" \n\n\n\n\n", " +", " -"]),
        at_tag(psa, " \n\n\n\n\n"),
        choice(" +", " -"),
        Qwen2Config,
    ),
    "llemma": Kind(LLAMA, llemma, mean_logit),
    "rebase": Kind(LLAMA, at_tag(shepherd, "ки"), mean_logit),
}


def example(rng, steps=None):
    """A problem, steps, and which of them are right: those without a `q`."""
    right = [rng.random() < 0.5 for _ in range(steps or rng.randrange(1, 4))]
    said = ["".join(rng.choice("abc") for _ in range(3)) for _ in right]
    texts = [t if ok else t[:1] + "q" + t[2:] for t, ok in zip(said, right, strict=True)]
    return f"{rng.randrange(10, 99)}?", texts, right


def train(kind, model, most=300, rows=8, seed=0):
    """Binary cross-entropy at the places that the slow way reads, until little of it is left: a few
    dozen steps, and more where it begins badly."""
    rng = random.Random(seed)
    model.train()
    best = torch.optim.AdamW(model.parameters(), 5e-3)
    losses = []
    for _ in range(most):
        loss = torch.zeros(())
        for _ in range(rows):
            problem, steps, right = example(rng)
            ids, places = kind.slow(kind.tokenizer, problem, steps)
            scores = kind.read(model, kind.tokenizer, ids, places)
            loss = loss + F.binary_cross_entropy(
                scores.clamp(1e-6, 1 - 1e-6), torch.tensor(right) * 1.0
            )
        best.zero_grad()
        (loss / rows).backward()
        best.step()
        losses.append(loss.item() / rows)
        if len(losses) > 8 and sum(losses[-8:]) / 8 < 0.02:
            break
    return model.eval()


def sequence_model(labels, tokenizer, seed=0):
    torch.manual_seed(seed)
    config = Qwen2Config(**TINY, vocab_size=len(tokenizer), num_labels=labels, pad_token_id=0)
    return AutoModelForSequenceClassification.from_config(config).eval()
