"""Commands with served models: doctor, sweep and solve, and what they say where something lacks."""

import json
import re
import socket
import sqlite3
from pathlib import Path

import fake_server
import pytest
from fake_server import FakeServer

from outthink.cli import main
from outthink.grade.sandbox import why_not
from outthink.models import http
from outthink.policy import as_json
from outthink.run.store import Store
from outthink.study import run as study
from outthink.study.models import Models
from outthink.study.results import accuracies
from outthink.study.sweep import reopened

pytestmark = pytest.mark.usefixtures("quick_fits")

PLAN = ["--budgets", "1,4", "--pool", "4", "--oracle-samples", "0", "--verifier", "none"]
PLAN += ["--revision-verifier", "none", "--strategies", "majority,revise(answer=majority)"]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Backing off takes no time here, and no key comes from outside."""
    monkeypatch.setattr(http.RetryPolicy, "wait_s", lambda *_: 0.0)
    for name in ("OUTTHINK_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def problems(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"p{i}", "prompt": f"problem {i}", "reference": "right"} for i in range(6)]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return "p.jsonl"


@pytest.fixture
def refused(capsys):
    """Run a command that must fail; its one line."""

    def run(*words, code=2):
        capsys.readouterr()
        assert main([*map(str, words)]) == code
        out, err = capsys.readouterr()
        assert not out
        (line,) = [each for each in err.split("\n") if each.startswith("outthink: ")]
        return line

    return run


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "chat"])
def test_doctor_says_what_a_server_can_do_and_what_each_lack_costs(kind, capsys):
    with FakeServer(kind) as server:
        assert main(["doctor", server.url]) == 0
        table = capsys.readouterr().out
        assert main(["doctor", f"{server.url}/v1#made/up", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
    has = {each["what"]: each["has"] for each in told["findings"]}
    assert told["dialect"] == kind and told["model"] == "made/up"
    assert has["token ids in"] == has["token ids out"] == has["stop kept"] == (kind != "chat")
    assert has["chat"] and has["n"] and has["seed"] and not has["pooling"]
    for each in told["findings"]:
        assert each["means"] in table
    assert ("no beam search, no lookahead" in table) == (kind == "chat")
    assert ("every search" in table) == (kind != "chat")


def test_a_policy_brings_its_models_and_a_sweep_names_its_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [{"id": f"p{i}", "prompt": f"problem {i}", "reference": "right"} for i in range(100)]
    Path("asked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with FakeServer("vllm") as server:
        sweep = ["sweep", "asked.jsonl", "--model", f"{server.url}/v1", "--budgets", "1..2"]
        assert main([*sweep, "--verifier", "none", "--difficulty-samples", "2"]) == 0
        assert main(["fit", "--kind", "table", "asked.store", "-o", "policy.json"]) == 0
        told = json.loads(Path("policy.json").read_text())["provenance"]["words"]
        assert told["model"] == f"{server.url}/v1" and told["verifier"] == "none"
        capsys.readouterr()
        solve = ["solve", "problem 7", "--policy", "policy.json", "--budget", "2", "--json"]
        assert main(solve) == 0
        assert json.loads(capsys.readouterr().out)["usage"]["generations"] == 2 + 2
        assert main([*solve, "--verifier", "judge:http://localhost:1"]) == 2  # named: not kept
        assert "http://localhost:1: no server answers" in capsys.readouterr().err
    with Store.open("asked.store", write=False) as store:
        assert {o.strategy for o in store.view().outcomes()} == {
            "majority"
        }  # what needs no verifier
    with reopened(tmp_path / "asked.store") as found:
        assert Models.of(found.study.asked.spec).proposer


def test_an_address_with_a_password_is_kept_nowhere():
    assert Models("http://me:secret@host:1/v1", "none", revision_verifier="none").spec == {}
    models = Models("lab:l", "none", Path("w"), "lab:s", "lab:orm", 9)
    assert Models.of(models.spec) == models


def test_doctor_names_the_option_of_vllm_that_tells_what_was_cached(capsys):
    for lacks, said in ((frozenset(), False), (frozenset({"cached_tokens"}), True)):
        with FakeServer("vllm", lacks=lacks) as server:
            assert main(["doctor", server.url]) == 0
        assert ("--enable-prompt-tokens-details" in capsys.readouterr().out) is said
    with FakeServer("chat", lacks=lacks) as server:
        assert main(["doctor", server.url]) == 0
    assert "--enable-prompt-tokens-details" not in capsys.readouterr().out


def test_doctor_names_the_version_that_a_server_tells(capsys):
    with FakeServer("vllm") as server:
        assert main(["doctor", server.url]) == 0
    assert capsys.readouterr().out.startswith(f"vLLM 0.11.0 at {server.url}, model made/up\n")


def test_bad_input_is_one_line_that_says_the_way_out(problems, refused, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    out = ["-o", "a.store", *PLAN]
    assert "no server answers there" in refused("doctor", nobody)
    assert "no server answers there" in refused("sweep", problems, "--model", nobody, *out)
    assert "write http://HOST:PORT" in refused("doctor", "localhost")
    assert "write http://HOST:PORT" in refused("sweep", problems, "--model", "http://", *out)
    with FakeServer("vllm", models=("a", "b")) as server:
        assert "has 'a', 'b'; name one" in refused("sweep", problems, "--model", server.url, *out)
        other = f"{server.url}#c"
        assert "has no model 'c'" in refused("sweep", problems, "--model", other, *out)
    with FakeServer("vllm", key="sk-other") as server:
        assert "set OUTTHINK_API_KEY" in refused("sweep", problems, "--model", server.url, *out)
        monkeypatch.setenv("OUTTHINK_API_KEY", "sk-wrong")
        said = refused("doctor", server.url)
        assert "a key was refused" in said and "wrong" not in said.replace("wrong key", "")


def test_a_verifier_that_cannot_read_what_a_server_writes_is_refused(problems, refused):
    words = [
        "sweep",
        problems,
        "-o",
        "a.store",
        "--model",
        "http://localhost:1",
        "--verifier",
        "lab:prm",
    ]
    assert "lab:prm reads the lab's task alone" in refused(*words)
    assert "give --verifier none" in refused(*words, "--strategies", "beam")


def test_beam_search_on_a_chat_api_is_refused_with_what_would_do(problems, refused):
    with FakeServer("chat") as server:
        words = ["--model", server.url, "--verifier", "none", "--strategies", "beam"]
        assert "beam needs a verifier" in refused("sweep", problems, "-o", "a.store", *words)


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "chat"])
def test_a_sweep_of_a_served_model(kind, problems, capsys):
    with FakeServer(kind) as server:
        words = ["sweep", problems, "-o", "a.store", "--model", server.url, *PLAN]
        assert main([*words, "--json"]) == 0
        first = json.loads(capsys.readouterr().out)
        sent = server.usage["requests"]
        assert main([*words, "--json"]) == 0  # all of it is in the store
        assert json.loads(capsys.readouterr().out) == first
        assert server.usage["requests"] - sent < 10  # finding out what it can do
    assert (first["problems"], first["graded"]) == (6, 6)
    rows = {(row["strategy"], row["budget"]): row["accuracy"] for row in first["rows"]}
    assert len(rows) == 4 and 0 < max(rows.values()) <= 1


def thousands(tmp_path, monkeypatch, reference, problems=6):
    """Problems whose answer the model writes in one of two ways."""
    monkeypatch.setitem(fake_server.PIECES, 263, "1,000")
    monkeypatch.setitem(fake_server.PIECES, 264, r"\$1000.00")
    rows = [{"id": i, "question": f"problem {i}", "answer": reference} for i in range(problems)]
    (tmp_path / "n.jsonl").write_text("\n".join(map(json.dumps, rows)))


def test_a_store_is_judged_by_the_grader_that_came_with_its_problems(
    problems, tmp_path, monkeypatch, capsys, refused
):
    thousands(tmp_path, monkeypatch, "1000.0")
    with FakeServer("vllm") as server:
        end = ["-o", "a.store", "--model", server.url, *PLAN]
        assert main(["sweep", "n.jsonl", *end, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        # By the letter none of them is right.
        assert main(["sweep", "n.jsonl?grader=exact", *end, "-o", "b.store", "--json"]) == 0
        strict = json.loads(capsys.readouterr().out)
        # The same rows judged anew: nothing is drawn, and both judgements stand in one store.
        with Store.open("a.store", write=False) as store:
            drawn = store.counts().draws
        assert main(["sweep", "n.jsonl?grader=exact", *end, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["rows"] == strict["rows"]
        with Store.open("a.store", write=False) as store:
            assert store.counts().draws == drawn
        assert main(["sweep", "n.jsonl", *end, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == told
    assert {row["accuracy"] for row in told["rows"]} == {1.0}
    assert {row["accuracy"] for row in strict["rows"]} == {0.0}
    with reopened(tmp_path / "a.store") as found:
        assert found.study.asked.grader == "number"
        assert as_json.accuracies(6, accuracies(found.study))["rows"] == told["rows"]
        answers, _ = found.study.view.pool("0", "majority", 4)
        assert set(answers) == {"1000"}  # equal answers vote together
    with reopened(tmp_path / "b.store") as found:
        assert found.study.asked.grader == "exact"
        assert as_json.accuracies(6, accuracies(found.study))["rows"] == strict["rows"]


def test_a_program_is_asked_for_as_a_program(problems, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(fake_server.PIECES, 262, "```python\n")
    monkeypatch.setitem(fake_server.PIECES, 263, "def f(x): return x + 1")
    monkeypatch.setitem(fake_server.PIECES, 264, "def f(x): return x")
    monkeypatch.setitem(fake_server.PIECES, 265, "\n```")
    if (why := why_not()) is not None:
        pytest.skip(f"no sandbox here: {why}")
    rows = [{"task_id": i, "text": f"problem {i}", "test_list": ["assert f(1) == 2"]} for i in "ab"]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with FakeServer("chat") as server:
        assert main(["sweep", "c.jsonl", "-o", "c.store", "--model", server.url, *PLAN]) == 0
        asked = [
            body["messages"][0]["content"]
            for _, body in server.requests
            if body and "messages" in body
        ]
    assert any("```python block" in each for each in asked)
    with reopened(tmp_path / "c.store") as found:
        answers, _ = found.study.view.pool("a", "majority", 4)
        assert set(answers) <= {"def f(x):\n    return x + 1", "def f(x):\n    return x", None}
        assert list(found.study.pools[0].right) == ["+" in (answer or "") for answer in answers]


def test_mathematics_without_its_package_is_refused_before_anything_is_asked(
    problems, refused, monkeypatch
):
    monkeypatch.setattr("outthink.grade.worker.installed", lambda: False)
    with FakeServer("vllm") as server:
        said = refused("sweep", problems, "-o", "a.store", "--model", server.url, *PLAN)
        assert not server.requests
    assert "pip install 'outthink[math]'" in said


def test_the_labs_models_read_nothing_else(problems, refused):
    for words in (["--model", "lab:s"], ["--model", "http://localhost:1", "--reviser", "lab:s"]):
        said = refused("sweep", problems, "-o", "a.store", *PLAN, *words)
        assert "the lab's models read problems of the lab's task alone" in said


def test_a_sweep_that_lost_problems_says_so_and_goes_on_later(problems, capsys, refused):
    with FakeServer("vllm") as server:
        words = ["sweep", problems, "-o", "a.store", "--model", server.url, *PLAN]
        server.lost = "problem 3"
        said = refused(*words, code=1)
        assert "searches failed, such as that on problem 'p3' (ServerError: " in said
        assert "the same command tries them again" in said
        with Store.open("a.store", write=False) as store:
            kept = store.counts().searches
        assert kept > 0
        with reopened("a.store") as found:
            assert (found.missing.done, len(found.study.problems)) == (kept, 5)
        server.lost = None
        assert main(words) == 0
    with reopened("a.store") as found:  # in the order of the file, whoever came late
        assert [each.id for each in found.study.problems] == [f"p{i}" for i in range(6)]
        assert found.missing is None  # what was tried again leaves no trace


def test_a_server_that_fails_everything_is_not_asked_forever(problems, refused, monkeypatch):
    monkeypatch.setattr(study, "FAILURES", 2)
    with FakeServer("vllm") as server:
        words = ["sweep", problems, "-o", "a.store", "--model", server.url, *PLAN]
        server.lost = "problem"
        assert refused(*words, code=1).startswith("outthink: 2 of ")


def test_solve_with_a_served_model(capsys):
    with FakeServer("vllm") as server:
        words = ["solve", "what is it?", "--model", server.url, "--verifier", "none"]
        assert main([*words, "--strategy", "majority", "--budget", "8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["answer"] in ("right", "wrong")
    assert told["text"].endswith(f"\\boxed{{{told['answer']}}}")
    assert told["usage"]["generations"] == 8


def test_solve_lets_equal_answers_vote_together(tmp_path, monkeypatch, capsys, refused):
    thousands(tmp_path, monkeypatch, "1000")
    with FakeServer("vllm") as server:
        words = ["solve", "what is it?", "--model", server.url, "--verifier", "none"]
        words += ["--strategy", "majority", "--json"]
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out)["answer"] == "1000"
        assert main([*words, "--grader", "exact"]) == 0
        assert json.loads(capsys.readouterr().out)["answer"] in ("1,000", r"\$1000.00")
        assert "unknown grader 'maths'" in refused(*words, "--grader", "maths")


FITTED = ["--budgets", "1,2", "--pool", "2", "--oracle-samples", "0", "--difficulty-samples", "2"]
FITTED += ["--verifier", "confidence", "--strategies", "best_of_n"]
"""The least that a policy can be fitted on."""


def test_a_policy_lets_the_answers_vote_together_that_did_in_its_store(
    tmp_path, monkeypatch, capsys, refused
):
    monkeypatch.chdir(tmp_path)
    thousands(tmp_path, monkeypatch, "1000", problems=25)
    with FakeServer("vllm") as server:
        model = ["--model", server.url, "--verifier", "confidence"]
        for grader, answers in (("number", {"1000"}), ("exact", {"1,000", r"\$1000.00"})):
            source, store = f"n.jsonl?grader={grader}", f"{grader}.store"
            assert main(["sweep", source, "-o", store, *FITTED, "--model", server.url]) == 0
            assert main(["fit", "--kind", "table", store, "-o", "p.json"]) == 0
            words = ["solve", "what is it?", *model, "--policy", "p.json", "--budget", "2"]
            capsys.readouterr()
            assert main([*words, "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["answer"] in answers
            assert main([*words, "--grader", grader]) == 0
            said = refused(*words, "--grader", "choice", code=2)
            assert f"fitted on answers as grader {grader} reads them" in said


def shown(tmp_path):
    """The page that `report` wrote of a.store, without a server; every text of its trees."""
    assert main(["report", "a.store", "-o", "r.html"]) == 0
    page = (tmp_path / "r.html").read_text()
    script = r'<script type="application/json" id="trees">(.*?)</script>'
    return page, json.loads(re.search(script, page, re.DOTALL)[1])["texts"]


def test_a_report_shows_what_a_served_model_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    thousands(tmp_path, monkeypatch, "1000", problems=25)
    with FakeServer("vllm") as server:
        words = [*FITTED, "--strategies", "best_of_n,beam"]
        assert main(["sweep", "n.jsonl", "-o", "a.store", *words, "--model", server.url]) == 0
    page, texts = shown(tmp_path)
    assert "does not hold the text of its solutions" not in page
    answers = {r"\boxed{1,000}", r"\boxed{\$1000.00}"}
    assert answers < {*texts} and len(texts) > 20
    assert all(re.fullmatch(r"So \d+\.", text) for text in {*texts} - answers)
    # A store without texts is shown without.
    with sqlite3.connect("a.store") as database:
        database.execute("DELETE FROM text")
    page, texts = shown(tmp_path)
    assert "does not hold the text of its solutions" in page
    assert all(re.fullmatch(r"\(\d+ tokens?\)", text) for text in texts)


def test_another_way_of_asking_is_other_draws_and_the_same_one_pays_for_nothing(problems, capsys):
    Path("a.toml").write_text("temperature = 0.6\ntop_k = 20\nmost_tokens = 99\n")
    Path("b.toml").write_text("top_k = 21\n")

    def drawn(server, *more):
        words = ["sweep", problems, "-o", "a.store", "--model", server.url, *PLAN, *more]
        server.requests.clear()
        assert main(words) == 0
        capsys.readouterr()
        bodies = [body for path, body in server.requests if path == "/v1/completions"]
        return {body["top_k"] for body in bodies if "top_k" in body}

    with FakeServer("vllm") as server:
        ways = (["--asking", "a.toml"], ["--asking", "a.toml"], ["--asking", "b.toml"], [])
        assert [drawn(server, *way) for way in ways] == [{20}, set(), {21}, {-1}]


def test_doctor_shows_how_a_server_is_asked_and_refuses_what_it_cannot_do(
    tmp_path, capsys, refused
):
    path = tmp_path / "a.toml"
    path.write_text("top_k = 20\n")
    with FakeServer("vllm") as server:
        assert main(["doctor", server.url, "--asking", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["asking"]
    assert (told["top_k"], told["top_p"], told["delimiter"]) == (20, 1.0, "\n\n")
    with FakeServer("chat") as server:
        assert "cannot do top_k" in refused("doctor", server.url, "--asking", str(path))


# A judge -----------------------------------------------------------------------------------------


def asked_to_judge(server):
    return [body for _, body in server.requests if body and "Judgement: X" in json.dumps(body)]


def test_a_judge_that_is_named_is_asked_in_words_and_the_model_is_not(problems, tmp_path, capsys):
    store = str(tmp_path / "a.store")
    with FakeServer("chat") as server, FakeServer("chat") as judge:
        words = ["sweep", problems, "-o", store, "--model", server.url, *PLAN[:-1]]
        words += ["groupwise(group=2)", "--judge", judge.url]
        assert main([*words, "--json"]) == 0
        asked, others = len(asked_to_judge(judge)), len(asked_to_judge(server))
        assert asked > 0 and others == 0
        assert main([*words, "--json"]) == 0  # again, and nothing is asked twice
        assert len(asked_to_judge(judge)) == asked
        assert reopened_models(store).judge == judge.url
        capsys.readouterr()
        words = ["solve", "problem 1", "--model", server.url, "--strategy", "groupwise(group=2)"]
        words += ["--verifier", "none"]
        assert main([*words, "--budget", "4", "--judge", judge.url, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["usage"]["critiques"] > 0
        assert len(asked_to_judge(judge)) > asked and asked_to_judge(server) == []
        assert main([*words, "--budget", "4"]) == 0
        assert asked_to_judge(server) != []  # without one, the model judges


def test_another_judge_is_asked_anew(problems, tmp_path):
    words = ["sweep", problems, "-o", str(tmp_path / "a.store"), *PLAN[:-1], "groupwise(group=2)"]
    with FakeServer("chat") as server, FakeServer("chat") as judge:
        words += ["--model", server.url, "--judge"]
        assert main([*words, judge.url]) == 0
        with FakeServer("chat", models=("made/other",)) as other:
            assert main([*words, other.url]) == 0
            assert asked_to_judge(other) and not asked_to_judge(server)


def reopened_models(store):
    with reopened(Path(store)) as opened:
        return Models.of(opened.asked.spec)


def test_a_judge_that_reads_no_words_is_refused(problems, refused, tmp_path):
    words = ["sweep", problems, "-o", tmp_path / "a.store", "--model", "http://127.0.0.1:1"]
    line = refused(*words, "--strategies", "genselect", "--judge", "lab:l")
    assert "lab:l knows nothing but its own task" in line
    assert not (tmp_path / "a.store").exists()
