"""Whatever is asked wrongly or goes wrong: one line that says the way out, and nothing lost."""

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys

import pytest

from outthink import errors
from outthink.cli import main
from outthink.lab.models import SHIPPED
from outthink.run.store import Store

PROBLEM = "40713 *7 *13"
SWEEP = ["sweep", "lab:test?size=100&seed=6", "--strategies", "best_of_n,beam", "--budgets", "1,2"]
SWEEP += ["--pool", "2", "--oracle-samples", "0", "--difficulty-samples", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store and a policy that are right."""
    folder = tmp_path_factory.mktemp("errors")
    assert main([*SWEEP, "-o", str(folder / "a.store")]) == 0
    assert (
        main(["fit", "--kind", "table", str(folder / "a.store"), "-o", str(folder / "policy.json")])
        == 0
    )
    return folder


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """A copy of it, to be spoilt."""
    shutil.copytree(folder, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def refused(capsys):
    """Run a command that must fail; its one line."""

    def run(*words, code=2):
        capsys.readouterr()
        assert main([*map(str, words)]) == code
        out, err = capsys.readouterr()
        assert not out
        assert err.startswith("outthink: ")
        assert err.count("\n") == 1
        return err

    return run


def test_the_family_knows_its_exit_codes():
    family = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, Exception)
    ]
    for each in family:
        assert issubclass(each, errors.OutthinkError)
        assert each.exit_code == (2 if issubclass(each, errors.UsageError) else 1)
        assert each.__name__ in errors.__doc__
    assert issubclass(errors.UsageError, ValueError)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "COMMAND"),
        ("slove", "no command 'slove'; did you mean solve or serve? see 'outthink --help'"),
        ("lab", "'outthink lab --help'"),
        ("fit a.store -o p.json --frob", "no option --frob; see 'outthink fit --help'"),
        ("fit a.store --ou p.json", "no option --ou; did you mean --out"),
        ("fit a.store", "-o/--out is missing"),
        ("fit a.store -o", "'-o' requires an argument; see 'outthink fit --help'"),
        ("fit a.store b.store -o p.json", "unexpected extra argument (b.store)"),
        ("exchange a.store a.store --accounting v3", "--accounting: 'v3' is not one of 'v1', "),
        ("sweep lab:test --dry-run=1", "'--dry-run' does not take a value"),
        ("lab trian", "no command 'trian'; did you mean train? see 'outthink lab --help'"),
        ("train prm lab:test -o m", "--model is missing"),
        ("sweep lab:test -o b.store --budgets 0", "0 is below 1"),
        ("sweep lab:test -o b.store --budgets 1,x", "'x' is not a whole number"),
        ("sweep lab:test -o b.store --budgets 5..7", "no power of two"),
        ("sweep lab:test -o b.store --seed -1", "-1 is below 0"),
        ("sweep lab:test -o b.store --strategies beem", "write one of greedy, majority"),
        ("sweep lab:test -o b.store --strategies beam,beam", "beam is given twice"),
        ("sweep lab:test -o b.store --model gpt", "lab:s and lab:l"),
        ("sweep lab:test -o b.store --verifier x", "lab:prm, lab:orm, none"),
        (
            "sweep lab:test -o b.store --verifier none --strategies majority,best_of_n(answer=max)",
            "best_of_n(answer=max) needs a verifier",
        ),
        ("sweep lab:test -o b.store --strategies revise --reviser x", "lab:reviser and lab:s"),
        ("sweep lab:test -o b.store --strategies revise --revision-verifier x", "lab:revision,"),
        (
            "sweep lab:test -o b.store --strategies revise --revision-verifier none",
            "revise needs a verifier",
        ),
        ("sweep lab:test -o b.store --strategies revise --chains 3", "a power of two"),
        ("sweep lab:test -o b.store --chains -1", "-1 is below 0"),
        (
            "solve PROBLEM --strategy revise(sequential=8,window=5) --budget 8",
            "give window=4 or less",
        ),
        ("sweep missing.jsonl -o b.store", "missing.jsonl: cannot read problems"),
        ("sweep lab:test?size=0 -o b.store", "size of 1 to"),
        ("sweep lab:test -o policy.json", "policy.json: is no outthink store"),
        ("sweep lab:test -o .", ": is a folder"),
        ("sweep lab:test -o a.store/b.store", "cannot make its folder"),
        ("fit missing.store -o p.json", "missing.store: no such store"),
        ("fit policy.json -o p.json", "policy.json: is no outthink store"),
        ("fit a.store -o .", ": is a folder"),
        ("fit a.store -o a.store/p.json", "cannot make its folder"),
        ("report a.store -o a.store/p.html", "cannot make its folder"),
        ("demo --problems 1", "give at least 2"),
        ("demo -o a.store/p.html", "cannot make its folder"),
        ("solve hello", "not a problem of the lab's task: 'hello'"),
        ("solve PROBLEM --budget 0", "0 is below 1"),
        ("solve PROBLEM --strategy beem", "write one of greedy"),
        ("solve PROBLEM --strategy beam --policy policy.json", "give one"),
        ("solve PROBLEM --policy missing.json", "cannot read policy missing.json"),
        ("solve PROBLEM --policy a.store", "a.store is not JSON"),
        ("solve PROBLEM --policy policy.json --model lab:l", "policy was fitted with proposer"),
        ("solve PROBLEM --policy policy.json --verifier none", "needs a verifier"),
        ("solve PROBLEM --weights missing", "missing/s.safetensors: cannot read weights"),
        ("lab facts --problems 4", "at least 5"),
        ("lab train --scale 0", "'0' is not a number above 0"),
        ("bench strategies --problems 4", "at least 5 problems"),
    ],
)
def test_bad_input_is_one_line_that_says_the_way_out(here, refused, words, said):
    before = (here / "a.store").read_bytes(), (here / "policy.json").read_bytes()
    assert said in refused(*(PROBLEM if word == "PROBLEM" else word for word in words.split()))
    assert before == ((here / "a.store").read_bytes(), (here / "policy.json").read_bytes())


def test_a_problem_that_the_lab_does_not_know_is_named_by_its_line(here, refused):
    good, bad = {"prompt": PROBLEM}, {"id": "x", "prompt": "what is 2 + 2?"}
    (here / "p.jsonl").write_text(f"{json.dumps(good)}\n\n{json.dumps(bad)}\n")
    assert "p.jsonl:3: not a problem" in refused("sweep", "p.jsonl", "-o", "b.store")
    assert not (here / "b.store").exists()


def test_a_problem_that_changed_under_its_id_is_refused_and_the_store_left_alone(here, refused):
    def ask(prompt):
        (here / "p.jsonl").write_text(json.dumps({"id": "x", "prompt": prompt}))
        return ["sweep", "p.jsonl", *SWEEP[2:], "-o", "b.store"]

    assert main(ask(PROBLEM)) == 0
    before = (here / "b.store").read_bytes()
    said = refused(*ask("40713 *7 *9"))
    assert f"problem 'x' is recorded with prompt '{PROBLEM}', not '40713 *7 *9'" in said
    assert "give a changed problem a new id, or use another store" in said
    assert (here / "b.store").read_bytes() == before


def test_a_store_of_another_version_is_left_alone(here, refused):
    with sqlite3.connect("a.store") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    assert "format 99" in refused("fit", "--kind", "table", "a.store", "-o", "p.json")
    assert "format 99" in refused(*SWEEP, "-o", "a.store")


def test_a_store_that_is_being_written_is_left_alone(here, refused):
    with Store.open("a.store", write=True):
        said = refused(*SWEEP, "-o", "a.store")
        assert f"a.store: being written by process {os.getpid()}; wait for it" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lab:test?size=1",), "give at least 2"),
        (("lab:test?size=20", "--strategies", "beam"), "ran neither"),
        (("lab:test?size=20", "--difficulty-samples", "0"), "--difficulty-samples"),
    ],
)
def test_a_sweep_that_cannot_be_fitted_is_shown_and_says_what_it_lacks(
    here, refused, words, said, capsys
):
    options = [*SWEEP[2:], *words[1:], "--budgets", "1", "--pool", "1"]
    assert main(["sweep", words[0], *options, "-o", "b.store"]) == 0
    assert said in refused("fit", "--kind", "table", "b.store", "-o", "p.json")
    capsys.readouterr()
    assert main(["report", "b.store"]) == 0
    out, _ = capsys.readouterr()
    assert "note: No table: " in out and said in out
    assert said in (here / "report.html").read_text()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda policy: policy.update(format=9), "format 9"),
        (lambda policy: policy.pop("cells"), "'cells' is missing"),
        (lambda policy: policy["cells"].pop(), "needs one for each"),
        (lambda policy: policy["difficulty"].update(samples=0), "below 1"),
        (lambda policy: [cell.update(strategy="beem") for cell in policy["cells"]], "'beem'"),
        (lambda policy: [cell.update(budget=c) for c, cell in enumerate(policy["cells"])], "cells"),
    ],
)
def test_a_policy_that_is_spoilt_is_not_followed(here, refused, spoil, said):
    policy = json.loads((here / "policy.json").read_text())
    spoil(policy)
    (here / "policy.json").write_text(json.dumps(policy))
    assert said in refused("solve", PROBLEM, "--policy", "policy.json")


def test_weights_that_are_cut_short_are_not_used(here, refused):
    shutil.copytree(SHIPPED, here / "weights")
    whole = (here / "weights" / "s.safetensors").read_bytes()
    (here / "weights" / "s.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "s.safetensors: cannot read weights" in refused("solve", PROBLEM, "--weights", "weights")


def test_weights_of_another_shape_are_not_used(here, refused):
    shutil.copytree(SHIPPED, here / "weights")
    path = here / "weights" / "s.safetensors"
    path.write_bytes(path.read_bytes().replace(b'width\\": 64', b'width\\": 32', 1))
    said = refused("solve", PROBLEM, "--weights", "weights")
    assert "do not match their configuration" in said


def test_a_full_disk_loses_nothing_resume(here):
    """`ulimit -f` stands in for it: a write past the limit fails as one without space does."""
    words = [word.replace("seed=6", "seed=8") for word in SWEEP]

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, 90_000))

    done = subprocess.run(
        [sys.executable, "-m", "outthink", *words, "-o", "b.store"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("outthink: ")]
    assert "b.store: cannot be written" in line
    assert "nothing recorded was lost" in line
    assert "Traceback" not in done.stderr
    assert main([*words, "-o", "b.store"]) == 0


def test_a_policy_that_cannot_be_written_is_a_failure_at_run_time(here, refused, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("outthink.policy.table.Policy.save", full)
    said = refused("fit", "--kind", "table", "a.store", "-o", "p.json", code=1)
    assert "p.json: cannot write the policy (No space left on device); free some space" in said
