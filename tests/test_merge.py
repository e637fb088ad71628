"""Stores of several sweeps made into one."""

import json
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outthink.cli import main
from outthink.data import source
from outthink.errors import StoreError, UsageError
from outthink.run.store import Store
from outthink.run.store.merge import merge as merge_rows
from outthink.study.merge import merge

PLAN = ["--pool", "4", "--chains", "0", "--oracle-samples", "4", "--difficulty-samples", "0"]
EVERYTHING = ["--strategies", "majority,best_of_n,beam", "--budgets", "1,4", *PLAN]


def sweep(problems, store, *words):
    assert main(["sweep", problems, "-o", str(store), "--json", *(words or EVERYTHING)]) == 0
    return store


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of twelve problems, and the same in two parts."""
    folder = tmp_path_factory.mktemp("swept")
    whole = sweep("lab:test?size=12", folder / "whole.store")
    parts = [sweep(f"lab:test?size=12&part={n}/2", folder / f"{n}.store") for n in (1, 2)]
    return whole, parts


def held(store):
    """How much is in a store."""
    with Store.open(store, write=False) as opened:
        return opened.counts()


def page(store, folder):
    """The report of a store, of whatever name the file has."""
    folder.mkdir()
    (folder / "x.store").write_bytes(store.read_bytes())
    out = folder / "x.html"
    assert main(["report", str(folder / "x.store"), "-o", str(out)]) == 0
    return out.read_bytes().replace(str(folder).encode(), b"")


def test_merged_parts_give_the_page_of_one_sweep(swept, tmp_path, capsys):
    whole, parts = swept
    merge(parts, tmp_path / "all.store")
    assert held(tmp_path / "all.store") == held(whole)
    assert page(tmp_path / "all.store", tmp_path / "a") == page(whole, tmp_path / "b")


def test_parts_may_come_one_after_the_other_and_again(swept, tmp_path):
    whole, (first, second) = swept
    out = tmp_path / "all.store"
    for part in (first, second, first):
        (merged,) = merge([part], out)
    assert (merged.merged.draws, merged.merged.scores, merged.merged.searches) == (0, 0, 0)
    assert merged.merged.shared > 0
    assert held(out) == held(whole)
    with Store.open(out, write=False) as opened:
        assert json.loads(opened.get_meta("sweep"))["problems"] == "lab:test?size=12"


def test_merge_that_was_killed_goes_on(swept, tmp_path):
    whole, parts = swept
    out, done = tmp_path / "all.store", []

    def killed(problems):
        done.append(problems)
        if len(done) == 3:
            raise KeyboardInterrupt

    with Store.open(out, write=True) as into, Store.open(parts[0], write=False) as one:
        with pytest.raises(KeyboardInterrupt):
            merge_rows(into, one, killed)
        assert 0 < into.counts().draws < held(parts[0]).draws
    merge(parts, out)
    assert held(out) == held(whole)


def test_sweep_of_all_strategies_that_were_merged_draws_nothing(tmp_path, capsys):
    one, other, out = (tmp_path / f"{name}.store" for name in ("one", "other", "out"))
    sweep("lab:test?size=4", one, "--strategies", "best_of_n", "--budgets", "1,4", *PLAN)
    sweep("lab:test?size=4", other, "--strategies", "beam", "--budgets", "4", *PLAN)
    merge([one, other], out)
    before = held(out)
    assert before.draws < held(one).draws + held(other).draws  # the pool is one
    sweep("lab:test?size=4", out, "--strategies", "best_of_n,beam", "--budgets", "1,4", *PLAN)
    assert held(out).draws == before.draws


def test_another_problem_of_the_same_name_is_refused(tmp_path, capsys):
    stores = []
    for number, prompt in enumerate(("40713 *7", "40713 *9")):
        problems = tmp_path / f"{number}.jsonl"
        problems.write_text(json.dumps({"id": "a", "prompt": prompt}) + "\n")
        words = ["--strategies", "majority", "--budgets", "1", *PLAN]
        stores.append(sweep(str(problems), tmp_path / f"{number}.store", *words))
    with pytest.raises(StoreError, match="'a' is not the one of that name"):
        merge(stores, tmp_path / "all.store")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE draw SET flags = x'0004' WHERE id = 1",  # all of them truncated
        "UPDATE score SET scores = x'000000' WHERE id = 1",  # none has a score
        "UPDATE verdict SET is_right = 1 - is_right",
    ],
)
def test_problems_that_contradict_what_is_there_are_told_and_left_as_they_are(
    swept, tmp_path, capsys, change
):
    whole, (first, _) = swept
    changed, out = tmp_path / "changed.store", tmp_path / "all.store"
    changed.write_bytes(first.read_bytes())
    with closing(sqlite3.connect(changed)) as database, database:
        database.execute(change)
    merge([whole], out)
    (part,) = merge([changed], out)
    assert part.merged.contradictions
    assert held(out) == held(whole)
    assert main(["merge", str(changed), "-o", str(out)]) == 0
    assert "LEFT OUT" in capsys.readouterr().err


def samples(path, problems):
    """A file of recorded samples."""
    rows = [
        {
            "id": name,
            "prompt": f"what is {name}?",
            "reference": "1",
            "completion": text,
            "tokens": 3,
        }
        for name in problems
        for text in ("it is \\boxed{1}", "it is \\boxed{2}")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_texts_and_what_files_said_come_along(swept, tmp_path, capsys):
    imported, out = tmp_path / "ab.store", tmp_path / "all.store"
    assert main(["import", samples(tmp_path / "ab.jsonl", "ab"), "-o", str(imported)]) == 0
    merge([imported, *swept[1]], out)
    for store in (out, imported):
        assert main(["export", str(store), "-o", f"{store}.jsonl"]) == 0
    told = [(tmp_path / f"{name}.store.jsonl").read_text() for name in ("all", "ab")]
    assert told[0] == told[1]
    assert told[0].count("it is") == 4


def test_what_is_no_store_is_refused(swept, tmp_path, capsys):
    whole, _ = swept
    with pytest.raises(UsageError, match="is one of the stores"):
        merge([whole], whole)
    assert main(["merge", str(tmp_path / "none.store"), "-o", str(tmp_path / "all.store")]) == 2
    assert "no such store" in capsys.readouterr().err


# Parts of problems -------------------------------------------------------------------------------


@given(size=st.integers(1, 40), parts=st.integers(1, 40))
def test_parts_are_all_problems_in_order(size, parts):
    spec = f"lab:test?size={size}"
    if parts > size:
        with pytest.raises(UsageError, match=f"do not make {parts} parts"):
            [source.read(f"{spec}&part={part}/{parts}") for part in range(1, parts + 1)]
        return
    read = [source.read(f"{spec}&part={part}/{parts}") for part in range(1, parts + 1)]
    assert [problem for part in read for problem in part] == list(source.read(spec))
    sizes = [len(part) for part in read]
    assert max(sizes) - min(sizes) <= 1


def test_a_file_has_parts_too(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"{n} + 1?"}) + "\n" for n in range(5)))
    assert [p.prompt for p in source.read(f"{path}?part=2/2")] == ["2 + 1?", "3 + 1?", "4 + 1?"]
    assert [p.prompt for p in source.read(f"{path}?part=1/2&size=2")] == ["0 + 1?"]


@pytest.mark.parametrize("part", ["0/2", "3/2", "1/0"])
def test_a_part_that_is_none_is_refused(part):
    with pytest.raises(UsageError, match="is none"):
        source.read(f"lab:test?size=4&part={part}")


def test_names_of_all_parts_are_the_name_of_the_whole():
    parts = [f"f.jsonl?size=4&part={part}/3" for part in (1, 2, 3)]
    assert source.joined(parts) == "f.jsonl?size=4"
    assert source.joined(["f.jsonl?size=4", *parts]) == "f.jsonl?size=4"
    assert source.joined(parts[:2]) == " + ".join(parts[:2])
    assert source.joined(["a.jsonl", "b.jsonl"]) == "a.jsonl + b.jsonl"
