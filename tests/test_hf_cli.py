"""Commands with models of transformers, end to end on a tiny one."""

import json

import pytest

pytest.importorskip("transformers", reason="needs transformers (outthink[transformers])")
pytest.importorskip("peft", reason="needs peft (outthink[transformers])")

from hf_fixtures import asked, causal, saved
from test_hf_train import classifier

from outthink.cli import main


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    rows = [{"id": p.id, "prompt": p.prompt, "reference": "2"} for p in asked(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def writer(tmp_path):
    return f"hf:{saved(tmp_path / 'writer', causal(max_position_embeddings=400))}"


@pytest.fixture
def judge(tmp_path):
    return f"prm:{saved(tmp_path / 'judge', classifier())}?device=cpu"


def test_hf_sweeps_with_a_verifier_of_its_own_and_goes_on_from_its_store(
    tmp_path, problems, writer, judge, capsys
):
    words = ["sweep", problems, "-o", str(tmp_path / "a.store"), "--model", writer]
    words += ["--verifier", judge, "--revision-verifier", "none", "--most-tokens", "20"]
    words += ["--strategies", "majority,beam(width=2)", "--budgets", "2", "--pool", "2"]
    words += ["--oracle-samples", "0", "--difficulty-samples", "0", "--json"]
    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)
    assert first["graded"] == 10
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == first["rows"]


def test_hf_solves_without_a_verifier(writer, capsys):
    words = ["solve", "what is 1+1?", "--model", writer, "--verifier", "none"]
    words += ["--strategy", "majority", "--budget", "2", "--most-tokens", "10"]
    assert main(words) == 0
    assert "answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verifier", "said"), [("lab:prm", "lab's task alone"), ("nonsense", "unknown verifier")]
)
def test_hf_a_verifier_that_does_not_fit_is_refused(writer, verifier, said, capsys):
    words = ["solve", "1", "--model", writer, "--verifier", verifier, "--strategy", "beam"]
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_hf_training_without_anything_to_learn_from_says_so(tmp_path, problems, writer, capsys):
    words = ["train", "orm", problems, "--model", writer, "-o", str(tmp_path / "out")]
    assert main([*words, "--samples", "2", "--most-tokens", "5"]) == 1
    assert "no sample came to an answer" in capsys.readouterr().err


def test_hf_training_a_model_of_the_lab_is_refused(tmp_path, problems, capsys):
    words = ["train", "prm", problems, "--model", "lab:s", "-o", str(tmp_path / "out")]
    assert main(words) == 2
    assert "hf:NAME" in capsys.readouterr().err
