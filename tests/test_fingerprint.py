"""The digits in a model's name: other weights, another name; the same weights, the same name."""

import json
import re

import pytest
import torch
from hf_fixtures import SETTING, causal, classifier, saved, tokenizer
from hypothesis import given
from hypothesis import strategies as st

from outthink.lab.models import LabModels
from outthink.models import local
from outthink.models.fingerprint import fingerprint
from outthink.models.transformers import HFProposer
from outthink.models.weights import load
from outthink.verify import orm, prm


def as_bin(folder, model, parts):
    """As checkpoints from before safetensors lie in a folder."""
    saved(folder, model)
    for path in folder.glob("*.safetensors*"):
        path.unlink()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if parts == 1:
        torch.save(weights, folder / "pytorch_model.bin")
        return folder
    names, placed = sorted(weights), {}
    for part in range(parts):
        file = f"pytorch_model-{part + 1:05}-of-{parts:05}.bin"
        own = names[part::parts]
        torch.save({name: weights[name] for name in own}, folder / file)
        placed |= dict.fromkeys(own, file)
    index = {"metadata": {"total_size": 0}, "weight_map": placed}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def as_safetensors(folder, model, parts):
    model.save_pretrained(folder, max_shard_size="100MB" if parts == 1 else "20KB")
    tokenizer().save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) >= parts
    return folder


FORMATS = [(write, parts) for write in (as_bin, as_safetensors) for parts in (1, 3)]
formats = pytest.mark.parametrize(("write", "parts"), FORMATS)


def moved(model, name, place):
    """The same model, but for one weight."""
    with torch.no_grad():
        model.state_dict()[name].flatten()[place] += 0.5
    return model


def named(kind, folder):
    if kind == "proposer":
        return HFProposer.load(str(folder), SETTING).name
    return (prm.load(str(folder), "trl", device="cpu") if kind == "prm" else orm_of(folder)).name


def orm_of(folder):
    return orm.load(str(folder), device="cpu")


MODELS = {
    "proposer": (causal, "lm_head.weight"),
    "prm": (classifier, "score.weight"),
    "orm": (classifier, "score.weight"),
}


@formats
@pytest.mark.parametrize("kind", list(MODELS))
@pytest.mark.parametrize("place", [0, 17, -1])
def test_two_folders_of_one_basename_that_differ_in_one_weight_have_two_names(
    kind, write, parts, place, tmp_path
):
    make, head = MODELS[kind]
    names = {
        named(kind, write(tmp_path / "here" / "model", make(), parts)),
        named(kind, write(tmp_path / "there" / "model", moved(make(), head, place), parts)),
        named(
            kind,
            write(
                tmp_path / "inside" / "model",
                moved(make(), "model.layers.1.mlp.up_proj.weight", place),
                parts,
            ),
        ),
    }
    assert len(names) == 3
    assert all(name.startswith("model-") for name in names)


@pytest.mark.parametrize("kind", list(MODELS))
def test_the_same_weights_have_one_name_in_every_format_and_place(kind, tmp_path):
    make, _ = MODELS[kind]
    names = {
        named(kind, write(tmp_path / f"{write.__name__}{parts}" / "model", make(), parts))
        for write, parts in FORMATS
    }
    assert len(names) == 1


def adapted(folder, change=lambda layer: None, **options):
    """A folder of adapters alone, on a model beside it."""
    import peft

    torch.manual_seed(0)
    base = causal()
    base.name_or_path = str(saved(folder.parent / "base", causal()))
    config = peft.LoraConfig(r=4, target_modules=["q_proj"], **({"lora_alpha": 8} | options))
    model = peft.get_peft_model(base, config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_()
                change(weight)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


# peft asks transformers by a name that is going to change.
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_adapters_are_in_the_name_with_their_weights_and_their_scale(tmp_path):
    def one(weight):
        weight[-1, -1] += 0.5

    folders = [
        saved(tmp_path / "none" / "model", causal()),
        adapted(tmp_path / "first" / "model"),
        adapted(tmp_path / "weight" / "model", one),
        adapted(tmp_path / "scale" / "model", lora_alpha=16),
    ]
    assert len({named("proposer", folder) for folder in folders}) == 4
    again = adapted(tmp_path / "again" / "model")
    assert named("proposer", again) == named("proposer", folders[1])


def test_what_a_configuration_decides_is_in_the_name(tmp_path):
    names = set()
    for base in (10_000.0, 500_000.0):
        folder = saved(tmp_path / str(base) / "model", causal())
        path = folder / "config.json"
        said = json.loads(path.read_text())
        said["rope_parameters"] = {"rope_type": "default", "rope_theta": base}
        path.write_text(json.dumps(said))
        names.add(load(str(folder)).name)
    assert len(names) == 2


KINDS = [torch.float32, torch.bfloat16, torch.float16, torch.int8, torch.bool, torch.int64]


@given(
    st.sampled_from(KINDS),
    st.lists(st.integers(0, 7), max_size=3),
    st.integers(0, 2**31),
    st.data(),
)
def test_every_element_of_every_weight_counts(kind, shape, seed, data):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randint(0, 2, shape, generator=generator).to(kind)
    same, other = weight.clone(), weight.clone()
    assert fingerprint({"w": weight}) == fingerprint({"w": same})
    assert fingerprint({"w": weight}) != fingerprint({"v": weight})
    assert fingerprint({"w": weight}) != fingerprint({"w": weight[None]})
    assert fingerprint({"w": weight}) != fingerprint({"w": weight}, "read otherwise")
    if weight.numel():
        place = data.draw(st.integers(0, weight.numel() - 1))
        other.view(-1)[place] = 1 - other.view(-1)[place].to(torch.int64)
        assert fingerprint({"w": weight}) != fingerprint({"w": other})


def test_a_large_weight_counts_wherever_it_lies_in_memory():
    weight = torch.arange(5_000_011, dtype=torch.float32)
    pinned = fingerprint({"w": weight})
    for place in (0, 1, 4_194_304, 4_999_999, 5_000_010):
        other = weight.clone()
        other[place] += 0.5
        assert fingerprint({"w": other}) != pinned
        # Two equal changes of opposite sign do not cancel out.
        other[place - 1] -= 0.5
        assert fingerprint({"w": other}) != pinned
    swapped = weight.clone()
    swapped[[0, 1]] = swapped[[1, 0]]
    assert fingerprint({"w": swapped}) != pinned
    shifted = torch.cat([torch.zeros(3), weight])[3:]
    strided = torch.stack([weight, weight], 1)[:, 1]
    assert fingerprint({"w": shifted}) == fingerprint({"w": strided}) == pinned


@given(st.binary(min_size=1, max_size=300), st.data())
def test_every_byte_of_a_file_counts(tmp_path_factory, content, data):
    folder = tmp_path_factory.mktemp("files")
    place = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[place] ^= 1
    one, same, other = (folder / name for name in ("one", "same", "other"))
    one.write_bytes(content)
    same.write_bytes(content)
    other.write_bytes(changed)
    assert fingerprint(one) == fingerprint(same) == fingerprint([one])
    assert fingerprint(one) != fingerprint(other)


def test_a_split_gguf_file_is_named_after_all_its_parts(tmp_path):
    names = [f"m[1]-0000{part}-of-00002.gguf" for part in (1, 2)]
    for name in (*names, "m[1]-00001-of-00003.gguf", "m1-00002-of-00002.gguf"):
        (tmp_path / name).write_bytes(name.encode())
    first, second = (tmp_path / name for name in names)
    assert local._files(first) == [first, second]
    whole = tmp_path / "m[1].gguf"
    assert local._files(whole) == [whole]


def test_the_shipped_models_keep_their_names():
    """Stores know their engines by these."""
    models = LabModels()
    names = [models.proposer(name).name for name in ("s", "l", "reviser")]
    names += [models.verifier(name).name for name in ("prm", "orm", "revision")]
    assert names == NAMES
    assert all(re.fullmatch(r"lab-[a-z]+-[0-9a-f]{8}", name) for name in names)


NAMES = [
    "lab-s-38730066",
    "lab-l-a5d8c74a",
    "lab-reviser-8b86f26a",
    "lab-prm-2cfcd254",
    "lab-orm-fe862b8c",
    "lab-revision-f61297f1",
]
