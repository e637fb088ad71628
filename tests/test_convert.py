"""Stores of formats 2 and 3, as earlier outthinks left them: converted once, and nothing of them
lost.

Of each there is what the first of them read in it: a whole sweep of the lab with revisions, the
same killed half-way, and one of a served model that failed on a problem.
"""

import gzip
import json
import os
import sqlite3
from pathlib import Path

import pytest
from fake_server import FakeServer

from outthink.cli import main
from outthink.run.store import Store
from outthink.study import convert
from outthink.study.models import Models
from outthink.study.record import Asked

GOLDEN = Path(__file__).parent / "golden"
LAB = ["sweep", "lab:test?size=4&seed=3", "--strategies"]
LAB += ["majority,best_of_n,best_of_n(answer=max),beam,lookahead(depth=2),"]
LAB[-1] += "revise(sequential=2),revise(sequential=3)"
LAB += ["--budgets", "1,4", "--pool", "4", "--chains", "4"]
LAB += ["--oracle-samples", "4", "--difficulty-samples", "2"]


def unpacked(name, folder, version=2):
    """A store as it was left, its log beside it."""
    for packed in (GOLDEN / f"format{version}").glob(f"{name}.store*.gz"):
        (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    return folder / f"{name}.store"


def said(name):
    """What the earlier outthink read in it."""
    return json.loads(gzip.decompress((GOLDEN / "format2" / f"{name}.json.gz").read_bytes()))


def wire(capsys, *words):
    capsys.readouterr()
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *words):
    capsys.readouterr()
    assert main([*map(str, words)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def plain(value):
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["lab", "killed", "served"])
def test_a_converted_store_says_what_it_said(name, version, tmp_path, capsys):
    store, before = unpacked(name, tmp_path, version), said(name)
    told = wire(capsys, "convert", store)
    assert told == {"store": str(store), "kept": f"{store}.format{version}"}
    with Store.open(store, write=False) as opened:
        view = opened.view(Asked.read(opened).team, Asked.read(opened).grader)
        assert len(view.finished()) == len(before["trees"])
        for old in before["trees"]:
            place = old["problem"], old["strategy"], old["budget"], old["stream"]
            tree = view.tree(*place)
            outcome = tree.outcome
            assert (outcome.answer, outcome.chosen) == (old["answer"], old["chosen"])
            assert outcome.right == old["right"]
            usage = {name: getattr(outcome.usage, name) for name in old["usage"]}
            assert usage == old["usage"]
            scored = [node for node in tree.nodes if node.scores is not None]
            assert outcome.usage.verifier_calls == len(scored)
            nodes = [
                [
                    node.number,
                    node.parent,
                    node.tokens,
                    node.step_ends,
                    node.finished,
                    node.truncated,
                    node.answer,
                    node.prompt_tokens,
                    node.cached_tokens,
                    node.decoded_tokens,
                    node.scores and node.scores.steps,
                    node.verifier_tokens,
                    node.verifier_cached_tokens,
                    node.texts,
                ]
                for node in tree.nodes
            ]
            assert plain(nodes) == old["nodes"], place
    reported = wire(capsys, "report", store, "-o", tmp_path / "r.html")
    assert reported["rows"] == before["rows"]
    assert reported.get("missing") == before["missing"]
    kept = Path(told["kept"])
    assert sorted(os.listdir(tmp_path)) == sorted([store.name, kept.name, "r.html"])
    with sqlite3.connect(kept) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (version,)
        if version == 2:
            drawn = database.execute("SELECT count(*) FROM solution").fetchone()
            assert drawn == (before["draws"],)
    database.close()


@pytest.mark.parametrize("version", [2, 3])
def test_a_whole_sweep_is_read_again_without_its_models(version, tmp_path, capsys, monkeypatch):
    store = unpacked("lab", tmp_path, version)
    wire(capsys, "convert", store)
    monkeypatch.setattr(Models, "team", lambda *_: pytest.fail("a model was loaded"))
    assert wire(capsys, *LAB, "-o", store)["rows"] == said("lab")["rows"]


def drawn(rows):
    """Without what the verifier read: of prefixes that it had read before the kill, once more."""
    return [{k: v for k, v in row.items() if "verifier" not in k} for row in rows]


def counts(path):
    with Store.open(path, write=False) as store:
        return store.counts()


@pytest.mark.parametrize("version", [2, 3])
def test_a_sweep_that_was_killed_goes_on_with_what_is_missing(version, tmp_path, capsys):
    store, whole = unpacked("killed", tmp_path, version), tmp_path / "whole.store"
    wire(capsys, "convert", store)
    before = counts(store)
    assert before.draws > 0
    rows = wire(capsys, *LAB, "-o", store)["rows"]
    assert drawn(rows) == drawn(wire(capsys, *LAB, "-o", whole)["rows"])
    assert counts(store) == counts(whole)  # a row asked again would be there twice
    assert before.draws < counts(whole).draws


def test_a_served_sweep_asks_only_for_what_failed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": f"p{i}", "question": f"problem {i}" + " hard" * (i == 1), "answer": "right"}
        for i in range(4)
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)))
    store = unpacked("served", tmp_path)
    wire(capsys, "convert", store)
    words = ["sweep", "p.jsonl?grader=exact", "-o", store, "--verifier", "confidence"]
    words += ["--strategies", "best_of_n,beam,revise(sequential=2)", "--budgets", "1,4"]
    words += ["--pool", "4", "--oracle-samples", "0", "--difficulty-samples", "2"]
    before = counts(store)
    with FakeServer("vllm") as server:
        told = wire(capsys, *words, "--model", server.url)
        words[3] = "whole.store"
        whole = wire(capsys, *words, "--model", server.url)
    assert "missing" not in told
    assert drawn(told["rows"]) == drawn(whole["rows"])
    assert before.draws < counts(store).draws
    assert counts(store) == counts("whole.store")  # a row asked again would be there twice


def test_rows_that_a_server_wrote_otherwise_for_another_search_are_all_kept(tmp_path, capsys):
    store = unpacked("lab", tmp_path)
    with sqlite3.connect(store) as database:
        row, tokens = database.execute(
            "SELECT s.id, s.tokens FROM solution s JOIN request r ON s.id = r.first AND r.kind = 0"
            " JOIN job j ON j.id = r.job WHERE j.strategy = 'revise(sequential=3)' AND j.budget = 1"
            " ORDER BY s.id"
        ).fetchone()
        database.execute("UPDATE solution SET tokens = ? WHERE id = ?", (tokens[::-1], row))
    database.close()
    wire(capsys, "convert", store)
    with Store.open(store, write=False) as opened:
        view = opened.view(Asked.read(opened).team)
        problem = opened.problems()[0].id
        alone = view.tree(problem, "revise(sequential=3)", 1).nodes[0]
        pooled = view.tree(problem, "chains", 4).nodes[0]
    [old] = [
        tree
        for tree in said("lab")["trees"]
        if (tree["problem"], tree["strategy"]) == (problem, "chains")
    ]
    assert pooled.tokens == tuple(old["nodes"][0][2])
    assert alone.tokens == pooled.tokens[::-1] != pooled.tokens
    (tmp_path / "plain").mkdir()
    other = unpacked("lab", tmp_path / "plain")
    wire(capsys, "convert", other)
    assert counts(store).draws == counts(other).draws + 1


def test_a_store_is_converted_once(tmp_path, capsys):
    store = unpacked("lab", tmp_path)
    wire(capsys, "convert", store)
    content = store.read_bytes()
    assert "format 4 already" in refused(capsys, "convert", store)
    assert store.read_bytes() == content


def test_what_is_in_the_way_is_named_and_left_alone(tmp_path, capsys):
    store = unpacked("lab", tmp_path)
    kept = tmp_path / "lab.store.format2"
    kept.write_text("mine")
    content = store.read_bytes()
    assert f"{kept}: is in the way of the old store; move it" in refused(capsys, "convert", store)
    assert (kept.read_text(), store.read_bytes()) == ("mine", content)
    assert sorted(os.listdir(tmp_path)) == ["lab.store", "lab.store.format2"]


def test_what_is_no_store_of_the_format_before_is_refused(tmp_path, capsys):
    store = unpacked("lab", tmp_path)
    with sqlite3.connect(store) as database:
        database.execute("PRAGMA user_version = 1")
    database.close()
    assert "is of format 1; only formats 2 and 3 are converted" in refused(capsys, "convert", store)
    (tmp_path / "text").write_text("not a store" * 99)
    assert "is no outthink store" in refused(capsys, "convert", tmp_path / "text")
    assert "no such store" in refused(capsys, "convert", tmp_path / "absent")


@pytest.mark.parametrize("words", [("fit", "--kind", "table", "-o", "p.json"), ("report",)])
def test_a_command_that_meets_an_old_store_says_how_to_convert_it(words, tmp_path, capsys):
    store = unpacked("lab", tmp_path)
    assert f"`outthink convert {store}` makes one of it" in refused(
        capsys, words[0], store, *words[1:]
    )


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("at", ["convert_rows", "_asked", "fold", "os.link", "os.replace"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_moment_it_can_be_given_again(at, after, tmp_path, capsys, monkeypatch):
    store = unpacked("killed", tmp_path)
    owner, _, name = at.rpartition(".")
    place = os if owner else convert
    real = getattr(place, name)

    def killed(*words):
        if after:
            real(*words)
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(place, name, killed)
        with pytest.raises(_Killed):
            convert.convert(store)
    if at == "os.replace" and after:  # it was done
        assert "format 4 already" in refused(capsys, "convert", store)
    else:
        wire(capsys, "convert", store)
    with Store.open(store, write=False) as opened:
        view = opened.view(Asked.read(opened).team)
        assert len(view.finished()) == len(said("killed")["trees"])
    assert sorted(os.listdir(tmp_path)) == ["killed.store", "killed.store.format2"]


def test_a_file_system_without_links_keeps_a_copy(tmp_path, capsys, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store = unpacked("lab", tmp_path)
    before = store.read_bytes()
    kept = wire(capsys, "convert", store)["kept"]
    assert Path(kept).read_bytes() == before


def test_a_store_that_is_being_written_is_not_converted(tmp_path, capsys):
    store = unpacked("lab", tmp_path)
    from outthink.run.store.file import lock, unlock

    held = lock(store)
    assert "being written by process" in refused(capsys, "convert", store)
    unlock(store, held)
