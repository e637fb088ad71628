"""The commands as a person or a script uses them: what is printed where, and how they go on."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from outthink.cli import main
from outthink.errors import StoreError
from outthink.lab import facts
from outthink.run.store import Store
from outthink.study.plan import Plan
from outthink.study.record import Asked

SWEEP = ["sweep", "lab:test?size=60&seed=3", "--strategies", "majority,best_of_n,beam"]
SWEEP += ["--budgets", "1,4", "--pool", "8", "--oracle-samples", "8", "--difficulty-samples", "2"]
PROBLEM = "40713 *7 *13"

pytestmark = pytest.mark.usefixtures("quick_fits")


def child(*words, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "outthink", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wire(capsys, *words):
    """The one JSON object that a command prints."""
    assert main([*map(str, words), "--json"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    return json.loads(lines[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def store(folder):
    assert main([*SWEEP, "-o", str(folder / "a.store")]) == 0
    return folder / "a.store"


@pytest.fixture(scope="module")
def policy(folder, store):
    assert (
        main(["fit", "--kind", "table", str(store), "-o", str(folder / "new" / "policy.json")]) == 0
    )
    return folder / "new" / "policy.json"


# What is printed ---------------------------------------------------------------------------------


def test_sweep_prints_results_to_stdout_and_talk_to_stderr(store, capsys):
    assert main([*SWEEP, "-o", str(store)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "accuracy in % on 60 problems, 95 % interval"
    assert lines[1].split() == ["strategy", "N", "=", "1", "N", "=", "4"]
    assert len({len(line) for line in lines[1:]}) == 1
    assert "next: outthink fit" in err


def test_sweep_json_has_a_row_for_every_strategy_and_budget(store, capsys):
    found = wire(capsys, *SWEEP, "-o", store)
    assert (found["problems"], found["graded"]) == (60, 60)
    assert [(row["strategy"], row["budget"]) for row in found["rows"]] == [
        (name, budget) for name in ("majority", "best_of_n", "beam") for budget in (1, 4)
    ]
    assert all(0 <= row["low"] <= row["accuracy"] <= row["high"] <= 1 for row in found["rows"])


def test_fit_prints_the_policy_and_what_it_is_worth(store, policy, capsys):
    assert main(["fit", "--kind", "table", str(store), "-o", str(policy)]) == 0
    out, err = capsys.readouterr()
    assert "1 (easiest)" in out
    assert "predicted, charged" in out
    assert f"policy: {policy}" in err
    found = wire(capsys, "fit", "--kind", "table", store, "-o", policy)
    assert len(found["cells"]) == 6
    assert len(found["comparison"]) == 6
    assert json.loads(policy.read_text())["cells"]


def test_solve_by_a_policy_pays_for_the_difficulty(policy, capsys):
    found = wire(capsys, "solve", PROBLEM, "--policy", policy, "--budget", 4)
    assert found["usage"]["generations"] == 6
    assert 1 <= found["bin"] <= 5


def test_solve_prints_the_solution_and_its_answer(capsys):
    assert main(["solve", PROBLEM, "--strategy", "beam", "--budget", "4"]) == 0
    out, err = capsys.readouterr()
    assert out == "*7=84991\n*13=04883\nanswer: 04883\n"
    assert "beam at 4" in err


def test_solve_without_a_verifier_takes_a_vote(capsys):
    words = ("--verifier", "none", "--strategy", "majority", "--model", "lab:l")
    found = wire(capsys, "solve", "12345 *3 *7", *words)
    assert (found["answer"], found["usage"]["verifier_tokens"]) == ("59245", 0)


def test_without_a_verifier_votes_tell_the_difficulty_and_are_paid_for(folder, capsys):
    store, path = folder / "votes.store", folder / "votes.json"
    words = ["--strategies", "majority,revise(answer=majority)", "--budgets", "1,4", "--pool", "4"]
    words += ["--verifier", "none", "--revision-verifier", "none"]
    words += ["--oracle-samples", "4", "--difficulty-samples", "4"]
    assert main(["sweep", "lab:test?size=60&seed=3", "-o", str(store), *words]) == 0
    capsys.readouterr()
    fitted = wire(capsys, "fit", "--kind", "table", store, "-o", path)
    assert {row["cost"] - row["budget"] for row in fitted["comparison"] if row["charged"]} == {4}
    assert json.loads(path.read_text())["difficulty"]["method"] == "votes"
    none = words[-8:-4]
    found = wire(capsys, "solve", PROBLEM, "--policy", path, "--budget", 4, *none)
    assert found["usage"]["generations"] == 4 + 4
    assert found["usage"]["verifier_tokens"] == 0
    assert "agree" in found["how"]
    with Store.open(store, write=False) as kept:  # two kinds of difficulty share no sample
        labelled, probed = (
            kept.view().pool(problem.id, "majority", 4, stream)[0]
            for problem in kept.problems()[:1]
            for stream in ("difficulty", "votes")
        )
        assert list(kept.view().outcomes(stream="votes")) and labelled and probed
    assert main(["report", str(store), "-o", str(folder / "votes.html")]) == 0
    assert "Compute-optimal against Majority vote" in (folder / "votes.html").read_text()


REVISE = ["sweep", "lab:test?size=60&seed=3", "--strategies", "best_of_n,revise(sequential=2)"]
REVISE += ["--budgets", "1,4", "--pool", "4", "--chains", "4"]
REVISE += ["--oracle-samples", "0", "--difficulty-samples", "2"]


@pytest.fixture(scope="module")
def revised(folder):
    assert main([*REVISE, "-o", str(folder / "revised.store")]) == 0
    return folder / "revised.store"


def test_a_sweep_of_revisions_names_their_engines_and_draws_their_pool_once(revised, capsys):
    found = wire(capsys, *REVISE, "-o", revised)
    assert [(row["strategy"], row["budget"]) for row in found["rows"]] == [
        (name, budget) for name in ("best_of_n", "revise(sequential=2)") for budget in (1, 4)
    ]
    with Store.open(revised, write=False) as store:
        asked = Asked.read(store)
        drawn = {(o.strategy, o.budget) for o in store.view().outcomes()}
    assert drawn == {("best_of_n", 4), ("chains", 4)}
    assert asked.plan.chains == 4
    assert asked.reviser.startswith("lab-reviser-")
    assert asked.revision_verifier.startswith("lab-revision-")


def test_a_policy_of_revisions_is_followed_by_its_own_engines_alone(revised, folder, capsys):
    path = folder / "revised.json"
    assert main(["fit", "--kind", "table", str(revised), "-o", str(path)]) == 0
    wire_policy = json.loads(path.read_text())
    assert wire_policy["provenance"]["reviser"].startswith("lab-reviser-")
    for cell in wire_policy["cells"]:  # whatever was best: here all of them revise
        cell["strategy"] = "revise(sequential=2)"
    path.write_text(json.dumps(wire_policy))
    capsys.readouterr()
    found = wire(capsys, "solve", PROBLEM, "--policy", path, "--budget", 4)
    assert found["strategy"] == "revise(sequential=2)"
    assert found["usage"]["generations"] == 2 + 4
    assert main(["solve", PROBLEM, "--policy", str(path), "--reviser", "lab:s"]) == 2
    assert "fitted with reviser lab-reviser-" in capsys.readouterr().err


def test_solve_revises_with_any_model(capsys):
    words = ("--strategy", "revise(answer=majority)", "--budget", 5, "--revision-verifier", "none")
    found = wire(capsys, "solve", PROBLEM, *words, "--reviser", "lab:l")
    assert (found["usage"]["generations"], found["usage"]["verifier_tokens"]) == (5, 0)


def test_a_sweep_that_does_not_revise_loads_no_reviser(store):
    with Store.open(store, write=False) as opened:
        assert Asked.read(opened).reviser is None


def test_report_writes_one_page(folder, store, capsys):
    found = wire(capsys, "report", store, "-o", folder / "pages" / "report.html")
    page = (folder / "pages" / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "outthink report" in page
    assert found["cells"]


def test_problems_without_references_are_solved_and_not_counted(tmp_path, capsys):
    lines = ['{"prompt": "40713 *7 *13", "reference": "04883"}', '{"prompt": "40713 *7 *3"}']
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    words = ("--strategies", "majority", "--verifier", "none", "--budgets", 4, "--pool", 4)
    words = ("sweep", tmp_path / "p.jsonl", *words, "--oracle-samples", 0)
    found = wire(capsys, *words, "-o", tmp_path / "a.store")
    assert (found["problems"], found["graded"]) == (2, 1)
    (tmp_path / "q.jsonl").write_text(lines[1])
    found = wire(capsys, *words[:1], tmp_path / "q.jsonl", *words[2:], "-o", tmp_path / "b.store")
    assert (found["graded"], found["rows"]) == (0, [])


def test_facts_are_plain_numbers_with_intervals_beside_them(capsys, monkeypatch):
    monkeypatch.setattr(facts, "CHAIN", 4)
    monkeypatch.setattr(facts, "measure", partial(facts.measure, samples=8))
    found = wire(capsys, "lab", "facts", "--problems", 5, "--seed", 9)
    assert found["problems"] == 5
    assert 0 < found["chance"] < 0.01
    for model in (found["s"], found["l"]):
        assert model["parameters"] > 0
        assert model["tokens"] > 0
        assert len(model["bins"]) == len(model["bins_intervals"]) == 5
        for name in ("greedy", "pass_at_1"):
            low, high = model[f"{name}_interval"]
            assert low <= model[name] <= high
    assert {"auc", "ece"} <= found["prm"].keys()
    assert main(["lab", "facts", "--problems", "5"]) == 0
    assert "bin 5 (hardest)" in capsys.readouterr().out


def test_bench_strategies_prints_tables(capsys):
    words = ["bench", "strategies", "--problems", "5", "--budgets", "1,2"]
    assert main([*words, "--pool", "2", "--oracle-samples", "2"]) == 0
    out, _ = capsys.readouterr()
    assert "accuracy in % by difficulty bin" in out
    assert "beam - best_of_n" in out


def test_bench_grader_prints_the_share_and_every_disagreement(tmp_path, capsys):
    path = tmp_path / "verdicts.jsonl"
    rows = [
        {"solution": "#### 72", "reference": "72", "right": True},
        {"answer": "71", "reference": "72", "right": True},
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert main(["bench", "grader", str(path), "--grader", "number"]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("1 of 2 verdicts agree: 50.00%")
    assert '"answer": "71"' in out
    found = wire(capsys, "bench", "grader", path, "--grader", "number")
    assert (found["solutions"], found["agreed"], len(found["disagreements"])) == (2, 1, 1)


def test_demo_does_everything_and_goes_on_resume(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("outthink.cli.demo.PLAN", Plan(("best_of_n", "beam"), (1, 4), 8, 0, 4, 2))
    found = wire(capsys, "demo", "--problems", 60)
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / found["policy"]).exists()
    again = wire(capsys, "demo", "--problems", 60)
    assert again["rows"] == found["rows"]
    with Store.open(found["store"], write=False) as opened:
        assert opened.counts().draws > 0
    assert len(list((tmp_path / "runs").glob("*.store"))) == 1


def test_demo_real_reads_what_ships_and_asks_no_model(tmp_path, monkeypatch, capsys):
    def refused(*_, **__):
        raise AssertionError("a model is asked")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("outthink.models.http.HttpClient.__init__", refused)
    monkeypatch.setattr("outthink.study.models.Models.team", refused)
    told = wire(capsys, "demo", "--real")
    at = {(row["strategy"], row["budget"]): row for row in told["rows"]}
    assert (told["problems"], told["graded"]) == (250, 250)
    assert at["majority", 1]["accuracy"] < at["majority", 16]["accuracy"]
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / told["policy"]).exists()
    assert wire(capsys, "demo", "--real")["rows"] == told["rows"]


@pytest.mark.parametrize("words", [("--problems", "9"), ("--seed", "1"), ("--weights", "w")])
def test_demo_real_takes_no_option_of_the_lab(words, capsys):
    assert main(["demo", "--real", *words]) == 2
    assert "leave out --problems, --seed and --weights" in capsys.readouterr().err


# How they stop and go on -------------------------------------------------------------------------


def rows(found):
    """What an interruption must not change; what a verifier had cached is read once more."""
    return [{k: v for k, v in row.items() if "verifier" not in k} for row in found["rows"]]


def solutions(path):
    try:
        with Store.open(path, write=False) as store:
            return store.counts().draws
    except StoreError:  # not there yet
        return 0


def test_a_sweep_that_is_killed_goes_on_and_pays_nothing_twice_resume(tmp_path, capsys):
    words = ["sweep", "lab:test?size=12&seed=4", "--strategies", "best_of_n,beam,lookahead"]
    words += ["--budgets", "4,8", "--pool", "8", "--oracle-samples", "0"]
    whole = wire(capsys, *words, "-o", tmp_path / "whole.store")
    path, held = tmp_path / "killed.store", 0
    for _ in range(2):
        process = child(*words, "-o", path)
        while solutions(path) <= held and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        held = solutions(path)
    assert 0 < held < solutions(tmp_path / "whole.store")
    found = wire(capsys, *words, "-o", path)
    assert rows(found) == rows(whole)
    assert solutions(path) == solutions(tmp_path / "whole.store")


def test_an_interrupted_sweep_says_that_it_goes_on_resume(tmp_path, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("outthink.study.sweep.run", interrupted)
        assert main([*SWEEP, "-o", str(tmp_path / "a.store")]) == 130
    out, err = capsys.readouterr()
    assert not out
    said = "outthink: stopped; the same command goes on from here and pays for nothing twice\n"
    assert err.endswith(f"\n{said}") and err.startswith("60 problems, ")


@pytest.mark.parametrize("words", [("--help",), ("solve", PROBLEM, "--budget", "1", "--json")])
def test_output_that_nobody_reads_is_no_error(words):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "outthink", *words],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert "Error" not in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 141)  # argparse shrugs at help that nobody reads


def test_debug_shows_where(capsys):
    with pytest.raises(StoreError):
        main(["fit", "--kind", "table", "missing.store", "-o", "policy.json", "--debug"])


def test_a_bug_is_one_line(monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("outthink.policy.solve.solve", broken)
    assert main(["solve", PROBLEM]) == 1
    err = capsys.readouterr().err
    assert err == "outthink: RuntimeError: two lines (a bug; --debug shows where)\n"


def test_standard_output_on_a_full_disk_is_one_line(monkeypatch, capsys):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    assert main(["--version"]) == 1
    assert capsys.readouterr().err.startswith("outthink: [Errno 28] No space left on device")
