"""The examples, through every command: a stranger's search, verifier and grader, one file each."""

import json
import re
import shutil
from pathlib import Path

import pytest
from fake_server import FakeServer

from outthink.cli import main
from outthink.run.store import Store
from outthink.study.record import META

EXAMPLES = Path(__file__).parent.parent / "examples"
SEARCH = "early_stop.py:early_stop(enough=0.9)"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with the examples, as a user would have them."""
    for path in EXAMPLES.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *words):
    assert main([*map(str, words), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_an_example_is_one_short_file():
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) < 40, path.name


def test_a_search_of_ones_own_goes_through_every_command(here, capsys):
    asked = ["lab:test?size=24&seed=5", "-o", "a.store", "--budgets", "1,4", "--pool", "8"]
    asked += ["--oracle-samples", "0", "--strategies", f"majority,best_of_n,{SEARCH}"]
    swept = run(capsys, "sweep", *asked)
    own = [row for row in swept["rows"] if row["strategy"] == SEARCH]
    assert [row["budget"] for row in own] == [1, 4]
    fitted = run(capsys, "fit", "--kind", "table", "a.store", "-o", "policy.json")
    assert fitted["problems"] == 24
    run(capsys, "report", "a.store", "-o", "a.html")
    assert "early_stop" in (here / "a.html").read_text("utf-8")
    solved = run(capsys, "solve", "40713 *7 *13", "--strategy", SEARCH, "--budget", "8")
    assert solved["strategy"] == SEARCH
    run(capsys, "solve", "40713 *7 *13", "--policy", "policy.json", "--budget", "4")


def test_a_verifier_of_ones_own_scores_and_steers(here, capsys):
    asked = ["lab:test?size=12&seed=5", "-o", "a.store", "--budgets", "1,4", "--pool", "4"]
    asked += ["--oracle-samples", "0", "--strategies", "best_of_n,beam"]
    asked += ["--verifier", "short_is_good.py:short_is_good"]
    assert {row["strategy"] for row in run(capsys, "sweep", *asked)["rows"]} == {
        "best_of_n",
        "beam",
    }
    assert run(capsys, "fit", "--kind", "table", "a.store", "-o", "b.json")["problems"] == 12
    run(capsys, "report", "a.store", "-o", "a.html")
    assert "short-is-good" in (here / "a.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def my(problem, budget):\n    yield 3\n", "my.py:2: .*yields int"),
        ("def my(problem, budget):\n    return 3\n", "returns int; a search is a generator"),
        ("import nothing_of_this_name\n", "my.py:1: cannot be imported: ModuleNotFoundError"),
        ("def my(:\n", "my.py:1: cannot be imported: invalid syntax"),
        ("x = 1 / 0\n", "my.py:1: cannot be imported: ZeroDivisionError"),
        ("def other(problem, budget):\n    yield\n", "has no 'my'; it has other"),
    ],
)
def test_a_module_that_will_not_do_is_named_with_its_line(here, capsys, text, said):
    (here / "my.py").write_text(text)
    assert main(["sweep", "lab:test?size=2", "-o", "a.store", "--strategies", "my.py:my"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert re.search(said, err), err


def test_an_option_of_the_wrong_type_is_told_what_it_takes(here, capsys):
    words = ["sweep", "lab:test?size=2", "-o", "a.store", "--strategies"]
    assert main([*words, "early_stop.py:early_stop(enough=much)"]) == 2
    assert "enough='much' is not a number" in capsys.readouterr().err
    assert main([*words, "early_stop.py:early_stop(sure=1)"]) == 2
    assert "it takes group, enough" in capsys.readouterr().err


def test_a_grader_of_ones_own_judges_in_every_command(here, capsys):
    (here / "my.py").write_text(
        "def near(answer, reference):\n    return answer.startswith(reference)\n"
    )
    rows = [{"question": f"Which? {n}", "answer": "r" if n % 3 else "x"} for n in range(24)]
    (here / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = "my.py:near"
    with FakeServer() as server:
        to = ["--model", server.url + "/v1", "--pool", "4", "--oracle-samples", "0"]
        asked = ["p.jsonl?grader=" + named, "-o", "a.store", "--budgets", "1,4", *to]
        swept = run(capsys, "sweep", *asked, "--strategies", "majority,best_of_n")
        assert {row["strategy"] for row in swept["rows"]} == {"majority", "best_of_n"}
        near = [row["accuracy"] for row in swept["rows"]]
        assert all(0 < accuracy < 1 for accuracy in near)
        words = ["areas.csv?grader=close_enough.py:close_enough", "-o", "areas.store", *to]
        run(capsys, "sweep", *words, "--strategies", "majority", "--budgets", "1")
    with Store.open(here / "a.store", write=False) as store:
        assert store.get_meta(META) is not None and named in store.get_meta(META)
    # Nothing of it is asked again, and what was judged is not judged again.
    (here / "my.py").write_text("def near(answer, reference):\n    raise SystemExit(9)\n")
    assert run(capsys, "fit", "--kind", "table", "a.store", "-o", "b.json")["problems"] == 24
    run(capsys, "report", "a.store", "-o", "a.html")
    run(capsys, "compare", "a.store")
    run(capsys, "export", "a.store", "-o", "a.jsonl")
