"""Samples of other tools become a store that is read as a sweep's."""

import json
from pathlib import Path

import numpy as np
import pytest

from outthink.data.samples import Reading
from outthink.errors import OutthinkError
from outthink.study.imports import Import, import_samples
from outthink.study.results import measured
from outthink.study.sweep import reopened

ROWS = [
    {"problem_id": f"p{p}", "answer": str(s % 3), "correct": s % 3 == p % 3, "score": s / 4}
    for p in range(4)
    for s in range(4)
]


def write(path: Path, rows) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def bring(tmp_path: Path, rows, columns=(), name="a.jsonl", **options):
    scale = options.pop("scale", "probability")
    files = (write(tmp_path / name, rows),)
    wanted = Import(files, Reading(dict(columns), scale), "exact", **options)
    return import_samples(wanted, tmp_path / "my.store")


def test_samples_scores_and_verdicts_come_along(tmp_path):
    made = bring(tmp_path, ROWS)
    assert (made.problems, made.samples) == (4, 4)
    with reopened(made.store) as opened:
        for number, pool in enumerate(opened.study.pools):
            rows = ROWS[4 * number : 4 * number + 4]
            assert pool.scores.tolist() == [row["score"] for row in rows]
            assert pool.right.tolist() == [row["correct"] for row in rows]


def test_the_best_scored_sample_is_judged_as_its_file_says_where_an_answer_is_judged_both_ways(
    tmp_path,
):
    rows = [
        {"problem_id": "p", "answer": "1", "correct": True, "score": 0.9},
        {"problem_id": "p", "answer": "1", "correct": False, "score": 0.1},
    ]
    made = bring(tmp_path, rows)
    assert "judged both right and wrong" in " ".join(made.notes)
    with reopened(made.store) as opened:
        assert opened.study.curve("best_of_n(answer=max)", (1, 2)).ravel().tolist() == [0.5, 1.0]


def test_an_answer_that_is_judged_both_ways_votes_as_one(tmp_path):
    said = (("1", True), ("1", False), ("2", False), ("2", False), ("1", False))
    rows = [{"problem_id": "p", "answer": answer, "correct": right} for answer, right in said]
    with reopened(bring(tmp_path, rows).store) as opened:
        assert opened.study.curve("majority", (5,)).ravel().tolist() == [1.0]


def test_the_verdict_of_a_sample_that_was_cut_off_is_kept_and_it_counts_as_wrong(tmp_path):
    rows = [{"problem_id": "p", "text": "#### 1", "correct": True, "finished": False, "tokens": 3}]
    made = bring(tmp_path, rows)
    assert "1 samples that were cut off are judged right" in " ".join(made.notes)
    with reopened(made.store) as opened:
        (said,) = opened.study.view.recorded("p", opened.asked.plan.pool_job, 1)
        assert (said.right, said.finished, said.tokens) == (True, False, 3)
        assert opened.study.pools[0].right.tolist() == [False]


def test_tokens_that_were_not_counted_are_not_zero_in_the_store(tmp_path):
    rows = [{"problem_id": "p", "answer": "1", "correct": True, "tokens": t} for t in (None, 0, 7)]
    with reopened(bring(tmp_path, rows).store) as opened:
        nodes = opened.study.view.tree("p", opened.asked.plan.pool_job, 3).nodes
        assert [node.decoded_tokens for node in nodes] == [None, 0, 7]


def test_crucible_recordings_of_one_problem_go_together(tmp_path):
    files = []
    for seed in range(2):
        traces = [{"text": f"#### {n}", "correct": n == 1, "prm_score": 0.5} for n in range(2)]
        record = {"problem_id": "m", "gold": "1", "traces": traces}
        files.append(
            write(tmp_path / f"{seed}.json", [{"meta": {"seed": seed}, "records": [record]}])
        )
    made = import_samples(Import(tuple(files), Reading({})), tmp_path / "my.store")
    assert (made.problems, made.samples) == (1, 4)
    with reopened(made.store) as opened:
        assert np.sum(opened.study.pools[0].right) == 2
        assert all(one.digest in " ".join(opened.notes) for one in made.sources)


def test_scores_of_steps_come_along_from_search_and_learn(tmp_path):
    row = {
        "problem": "1 + 1",
        "answer": "2",
        "completions": ["a\n\n#### 2", "b\n\n#### 3"],
        "scores": [[0.5, 0.9], [0.7, 0.2]],
        "completion_tokens": [5, -1],
    }
    made = bring(tmp_path, [row])
    with reopened(made.store) as opened:
        assert opened.study.pools[0].scores.tolist() == pytest.approx([0.9, 0.2])
        assert not opened.asked.counted


def test_tokens_that_nobody_counted_are_unknown(tmp_path):
    with reopened(bring(tmp_path, ROWS).store) as opened:
        assert {row.decoded_tokens for row in measured(opened).rows} == {None}


def test_verdicts_that_differ_when_graded_again_are_counted(tmp_path):
    rows = [
        {"problem_id": "p", "target": "1", "answer": "1", "correct": False},
        {"problem_id": "p", "target": "1", "answer": "2", "correct": False},
    ]
    assert "1 of 2 verdicts differ" in " ".join(bring(tmp_path, rows, again=True).notes)


def test_a_file_is_not_counted_twice(tmp_path):
    file = write(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(OutthinkError, match="give each file once"):
        import_samples(Import((file, file), Reading({})), tmp_path / "my.store")


def test_logits_become_probabilities(tmp_path):
    rows = [{**row, "score": 0.0} for row in ROWS]
    with reopened(bring(tmp_path, rows, scale="logit").store) as opened:
        assert set(opened.study.pools[0].scores.tolist()) == {0.5}


@pytest.mark.parametrize(
    ("rows", "columns", "said"),
    [
        ([{**ROWS[0], "score": -3.0}], {}, "--scores logit"),
        (ROWS, {"correct": "is_right"}, "no column 'is_right'.*problem_id, answer, correct, score"),
        ([{"problem_id": "p", "x": 1}], {}, "no column for answer.*problem_id, x"),
        ([{**ROWS[0], "target": "1"}, {**ROWS[0], "target": "2"}], {}, "target '2', and '1'"),
        ([{**ROWS[0], "problem": "a"}, {**ROWS[0], "problem": "b"}], {}, "prompt 'b', and 'a'"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, rows, columns, said):
    with pytest.raises(OutthinkError, match=said):
        bring(tmp_path, rows, columns)
    assert not (tmp_path / "my.store").exists()
