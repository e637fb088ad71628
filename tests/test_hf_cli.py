"""Commands with models of transformers, end to end on a tiny one."""

import json

import pytest

pytest.importorskip("transformers", reason="needs transformers (outthink[transformers])")
pytest.importorskip("peft", reason="needs peft (outthink[transformers])")

from fake_server import FakeServer
from hf_fixtures import asked, causal, classifier, saved
from test_hf_train import a_or_b

import outthink.grade
from outthink.cli import main
from outthink.grade import Grading
from outthink.models import http
from outthink.models.transformers import HFProposer
from outthink.run.store import Store
from outthink.study.record import Asked
from outthink.verify.named import named


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


@pytest.fixture
def letters(tmp_path, monkeypatch):
    """Problems with a grader that finds an answer, right or wrong, in whatever is written."""
    grader = Grading("letter", lambda answer, reference: answer == reference, a_or_b, str)
    monkeypatch.setitem(outthink.grade._GRADINGS, "letter", grader)
    path = tmp_path / "letters.jsonl"
    rows = [{"id": p.id, "prompt": p.prompt, "reference": "1"} for p in asked(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"{path}?grader=letter"


def test_hf_what_is_trained_is_used_by_its_name(tmp_path, letters, writer, capsys):
    def train(kind, model, *more):
        out = tmp_path / kind
        words = ["train", kind, letters, "--model", model, "-o", str(out), "--samples", "4"]
        words += ["--epochs", "1", "--lora", "2", "--batch", "16", "--most-tokens", "30", "--json"]
        assert main([*words, *more]) == 0
        return out, json.loads(capsys.readouterr().out)

    prm, facts = train("prm", writer, "--rollouts", "1", "--family", "trl-blank")
    assert facts["family"] == "trl-blank" and facts["sampled_tokens"] > 0
    reviser, _ = train("revise", writer)
    orm, _ = train("orm", f"hf:{reviser}", "--chain", "2")
    store = tmp_path / "a.store"
    words = ["sweep", letters, "-o", str(store), "--model", writer, "--verifier", f"prm:{prm}"]
    words += ["--reviser", f"hf:{reviser}", "--revision-verifier", f"orm:{orm}"]
    words += ["--strategies", "best_of_n,beam(width=2),revise(sequential=2)", "--budgets", "2"]
    words += ["--pool", "2", "--oracle-samples", "0", "--difficulty-samples", "0"]
    assert main([*words, "--most-tokens", "30", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["graded"] == 12 and len(told["rows"]) == 3
    assert all(row["verifier_tokens_per_problem"] > 0 for row in told["rows"])
    with Store.open(store, write=False) as opened:
        asked = Asked.read(opened)
    assert (asked.reviser or "").startswith("revise-")
    assert (asked.revision_verifier or "").endswith("-earlier")
    assert asked.grader == "letter"


def test_hf_revises_what_it_wrote_itself_where_no_reviser_is_named(letters, writer, capsys):
    words = ["solve", "what is 1+1?", "--grader", "letter", "--model", writer]
    words += ["--verifier", "none", "--revision-verifier", "none", "--most-tokens", "20"]
    words += ["--strategy", "revise(sequential=4,answer=majority)", "--budget", "4", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["usage"]["generations"] == 4 and told["text"]


@pytest.mark.parametrize("option", ["--model", "--reviser"])
def test_hf_a_verifier_is_not_taken_for_a_model_that_writes(
    tmp_path, letters, writer, option, capsys
):
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge" / "outthink.json").write_text(
        json.dumps({"setting": {"wording": {}}, "trained_for": "prm"})
    )
    words = ["sweep", letters, "-o", str(tmp_path / "a.store"), "--verifier", "none"]
    words += ["--revision-verifier", "none", "--strategies", "revise(answer=majority)"]
    words += ["--model", writer, "--budgets", "2", option, f"hf:{tmp_path / 'judge'}"]
    assert main(words) == 2
    assert "use it as --verifier prm:" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["prm", "orm", "revise"])
def test_hf_trains_on_what_a_server_drew(tmp_path, kind, monkeypatch, capsys):
    monkeypatch.setattr(http.RetryPolicy, "wait_s", lambda *_: 0.0)
    model = f"hf:{saved(tmp_path / 'writer', causal(max_position_embeddings=2000))}"
    path, out = tmp_path / "p.jsonl", tmp_path / "out"
    rows = [{"id": p.id, "prompt": p.prompt, "reference": "right"} for p in asked(10)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with FakeServer("vllm") as server:
        words = ["train", kind, str(path), "--model", model, "--sampler", server.url]
        words += ["-o", str(out), "--samples", "3", "--epochs", "1", "--lora", "0", "--json"]
        words += ["--rollouts", "1"] if kind == "prm" else []
        assert main(words) == 0
        told = json.loads(capsys.readouterr().out)
        decoded = server.usage["decoded"]
        assert main(words) == 0  # nothing is drawn again
        assert json.loads(capsys.readouterr().out) == told
        tried_out = server.usage["decoded"] - decoded  # finding out what it can do
        assert told["sampled_tokens"] == decoded - tried_out > 0
    assert told["training_examples"] > 0
    if kind == "revise":
        HFProposer.load(str(out))
    else:
        named(f"{kind}:{out}?device=cpu", HFProposer.load(model.removeprefix("hf:")))
