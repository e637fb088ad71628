"""The pool of a store, written as a table, becomes the same pool again."""

import asyncio
import json

import pytest

from outthink.cli import main
from outthink.data.samples import COLUMNS, Reading
from outthink.data.tables import rows
from outthink.errors import UsageError
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.run.store import Store
from outthink.run.team import Team
from outthink.study.exports import export_samples
from outthink.study.imports import Import, import_samples
from outthink.study.plan import Plan
from outthink.study.record import Asked
from outthink.study.run import engines_of, run
from outthink.study.sweep import reopened

WRITES = ScriptedProposer(mischief=0.3)


def spoken(tokens):
    return "".join(f"{token} " for token in tokens)


TEXTS = {"scripted": spoken}
OTHERS = [
    {"problem_id": "p", "answer": "1", "correct": True, "score": 0.9},
    {"problem_id": "p", "answer": "1", "correct": False, "score": 0.0, "tokens": 7},
    {"problem_id": "p", "text": "I give up", "correct": False, "finished": False},
    {"problem_id": "q", "correct": True, "text": "a\n\nb", "step_scores": [0.5, None]},
    {"problem_id": "q", "problem": "1 + 1", "target": "2", "text": "#### 2", "score": 0.25},
    {"problem_id": "q", "answer": "3", "steps": ["one ", "two"], "tokens": 3},
]
NONE = {"format": "outthink samples 1"} | dict.fromkeys(COLUMNS)


def same(answer, reference):
    return answer == reference


def scripted(path, verifier):
    """A sweep of solutions, some of which are cut off or have no answer."""
    plan = Plan(
        ("best_of_n", "majority") if verifier else ("majority",),
        (1, 4),
        pool=8,
        oracle_samples=0,
        predicted_samples=0,
    )
    problems, team = scripted_problems(5), Team.of(WRITES, verifier)
    ids = tuple(problem.id for problem in problems)
    asked = Asked(plan, "scripted", ids, "", engines_of(team, 0), "exact", 0)
    with Store.open(path, write=True) as store:
        store.add_problems(problems)
        asked.write(store)
        asyncio.run(
            run(plan, problems, team, grader=same, grader_name="exact", seed=0, store=store)
        )
    return path


def beams(path):
    """A sweep with a search step by step."""
    plan = Plan(("beam", "majority"), (4,), pool=4, oracle_samples=0, predicted_samples=0)
    problems, team = scripted_problems(3), Team.of(WRITES, ScriptedVerifier())
    ids = tuple(problem.id for problem in problems)
    asked = Asked(plan, "scripted", ids, "", engines_of(team, 0), "exact", 0)
    with Store.open(path, write=True) as store:
        asked.write(store)
        asyncio.run(
            run(plan, problems, team, grader=same, grader_name="exact", seed=0, store=store)
        )
    return path


def imported(path, file, grader="exact"):
    import_samples(Import((file,), Reading({}), grader), path)
    return path


def pool(path):
    """Everything that is known of the samples of a store."""
    with reopened(path) as opened:
        plan, view = opened.asked.plan, opened.study.view
        verdicts = view.verdicts()
        kept = {problem.id: problem for problem in opened.store.problems()}
        return [
            (
                kept[id],
                node.truncated,
                node.answer,
                verdicts.get(id, {}).get(node.answer),
                node.decoded_tokens,
                reduced(node.scores),
                texts(node),
            )
            for id in opened.asked.problem_ids
            for node in view.tree(id, plan.pool_job, plan.pool).nodes
        ]


def reduced(scores):
    return None if scores is None or not scores.steps else scores.steps


def texts(node):
    return spoken(node.tokens) if node.texts is None else "".join(node.texts)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    "verifier", [ScriptedVerifier(silence=0.2), None], ids=["scored", "unscored"]
)
def test_the_samples_of_a_sweep_become_the_same_pool(tmp_path, verifier, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    store, file = scripted(tmp_path / "a.store", verifier), tmp_path / f"a.{ending}"
    assert export_samples(store, file, texts=TEXTS).samples == 40
    samples = pool(store)
    assert {sample[2] for sample in samples} >= {None, "right"}
    assert pool(imported(tmp_path / "b.store", file)) == samples


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_the_samples_of_an_import_become_the_same_pool(tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    source, file = tmp_path / "a.jsonl", tmp_path / f"b.{ending}"
    source.write_text("\n".join(json.dumps(row) for row in OTHERS))
    store = imported(tmp_path / "a.store", source, "number")
    assert export_samples(store, file).grader == "number"
    assert pool(imported(tmp_path / "b.store", file, "number")) == pool(store)


def test_what_nobody_recorded_is_null(tmp_path):
    source, file = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in OTHERS))
    export_samples(imported(tmp_path / "a.store", source, "number"), file)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert rows[0] == NONE | OTHERS[0] | {"step_scores": [0.9]}
    assert rows[1] == NONE | OTHERS[1] | {"step_scores": [0.0]}
    assert [row["tokens"] for row in rows] == [None, 7, None, None, None, 3]
    assert [row["finished"] for row in rows] == [None, None, False, None, None, None]


def test_texts_that_a_store_does_not_hold_are_null(tmp_path):
    file = tmp_path / "a.jsonl"
    export_samples(scripted(tmp_path / "a.store", None), file)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {(row["text"], row["steps"]) for row in rows} == {(None, None)}
    assert {row["step_scores"] for row in rows} == {None}


def test_the_command_says_what_it_wrote_and_how_it_is_read_again(tmp_path, capsys):
    store, file = scripted(tmp_path / "a.store", None), tmp_path / "a.jsonl"
    assert main(["export", str(store), "-o", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["problems"], said["samples"], said["grader"]) == (5, 40, "exact")


def test_an_ending_that_nothing_is_written_for_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"\.jsonl, \.csv, \.parquet"):
        export_samples(tmp_path / "a.store", tmp_path / "a.xlsx")


def test_a_table_of_another_version_is_refused(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(NONE | OTHERS[0] | {"format": "outthink samples 9"}))
    with pytest.raises(UsageError, match="written in format 'outthink samples 9'"):
        imported(tmp_path / "b.store", file)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_everything_that_searches_drew_can_be_exported(tmp_path, ending, capsys):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    store = beams(tmp_path / "a.store")
    file = tmp_path / f"a.{ending}"
    assert main(["export", str(store), "-o", str(file), "--searches"]) == 0
    written = [row.values for row in rows(file)]
    with reopened(store) as opened:
        jobs = opened.study.view.finished()
        trees = [opened.study.view.tree(*job) for job in sorted(jobs)]
    nodes = [(tree, node) for tree in trees for node in tree.nodes]
    assert {tree.strategy for tree in trees} == {"beam", "majority"}
    assert len(written) == len(nodes)
    for row, (tree, node) in zip(written, nodes, strict=True):
        assert row["strategy"] == tree.strategy
        assert [int(row[name]) for name in ("budget", "number", "parent", "tokens")] == [
            tree.budget,
            node.number,
            node.parent,
            node.decoded_tokens,
        ]
        assert row["answer"] == node.answer
    assert any(int(row["parent"]) >= 0 for row in written)
    with pytest.raises(UsageError, match="export without --searches"):
        imported(tmp_path / "b.store", file)


def test_a_log_as_that_of_lm_eval_has_the_same_samples(tmp_path):
    store, file = scripted(tmp_path / "a.store", None), tmp_path / "samples_a.jsonl"
    export_samples(store, file, texts=TEXTS, form="lm-eval")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["doc"]["problem_id"] for line in lines] == [p.id for p in scripted_problems(5)]
    again = imported(tmp_path / "b.store", file)
    assert [sample[-1] for sample in pool(again)] == [sample[-1] for sample in pool(store)]


def test_a_store_without_texts_is_no_log_of_lm_eval(tmp_path):
    store, file = scripted(tmp_path / "a.store", None), tmp_path / "a.jsonl"
    with pytest.raises(UsageError, match="a sample without a text"):
        export_samples(store, file, form="lm-eval")
    assert [path.name for path in tmp_path.iterdir()] == ["a.store"]
