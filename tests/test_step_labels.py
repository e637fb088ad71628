"""Labels of steps tell how good a verifier's scores are, for files of ProcessBench and PRM800K."""

import json
import random

import pytest

from outthink.cli import main
from outthink.data.formats import recording, samples
from outthink.data.samples import Reading
from outthink.errors import OutthinkError, UsageError
from outthink.measure.steps import LabelledSteps, step_quality
from outthink.study.imports import Import, import_samples
from outthink.study.results import measured
from outthink.study.sweep import reopened
from outthink.types import Scores, Verified


def solutions(count, noise, seed=0):
    """Wrong steps score 0.2, right ones 0.8, more or less."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        steps = rng.randint(1, 6)
        first = rng.choice([-1, rng.randrange(steps)])
        labels = [True] * steps if first < 0 else [True] * first + [False]
        labels += [None] * (steps - len(labels))
        scores = [
            min(1.0, max(0.0, (0.2 if label is False else 0.8) + rng.uniform(-noise, noise)))
            for label in labels
        ]
        made.append(LabelledSteps(f"p{number}", tuple(labels), tuple(scores)))
    return made


def row(one, number):
    """As ProcessBench has it, with scores."""
    return {
        "id": one.problem_id,
        "problem": f"problem {number}",
        "steps": [f"step {place}" for place in range(len(one.labels))],
        "final_answer_correct": one.first_error == -1,
        "label": one.first_error,
        "step_scores": list(one.scores),
    }


def write(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


# The measure -------------------------------------------------------------------------------------


def test_a_verifier_that_knows_names_every_first_error():
    quality = step_quality(solutions(60, 0.1))
    assert quality.f1.mean == quality.found == quality.kept == quality.auc == 1.0


def test_f1_is_the_harmonic_mean_of_what_processbench_counts():
    made = solutions(80, 0.6)
    quality = step_quality(made)
    hits = {True: [], False: []}
    for one in made:
        threshold = quality.thresholds[_half(one.problem_id)]
        named = next((n for n, score in enumerate(one.scores) if score < threshold), -1)
        hits[one.first_error == -1].append(named == one.first_error)
    found, kept = (sum(hits[kind]) / len(hits[kind]) for kind in (False, True))
    assert (quality.found, quality.kept) == (pytest.approx(found), pytest.approx(kept))
    assert quality.f1.mean == pytest.approx(2 * found * kept / (found + kept))
    assert quality.f1.low < quality.f1.mean < quality.f1.high


def _half(name):
    import zlib

    return zlib.crc32(name.encode()) % 2


def test_scores_that_know_nothing_rank_nothing():
    rng = random.Random(1)
    made = [
        LabelledSteps(one.problem_id, one.labels, tuple(rng.random() for _ in one.labels))
        for one in solutions(400, 0.0)
    ]
    assert step_quality(made).auc == pytest.approx(0.5, abs=0.06)


def test_a_solution_that_was_labelled_to_no_end_is_neither_right_nor_wrong():
    assert LabelledSteps("p", (True, True), (0.5, 0.5), whole=False).first_error is None
    assert LabelledSteps("p", (True, None), (0.5, 0.5)).first_error is None
    assert LabelledSteps("p", (True, False), (0.5, 0.5), whole=False).first_error == 1


def test_right_solutions_alone_say_nothing():
    made = [one for one in solutions(40, 0.1) if one.first_error == -1]
    assert step_quality(made) is None


def test_labels_and_scores_of_different_lengths_are_refused():
    with pytest.raises(UsageError, match="2 labels and 1 scores"):
        LabelledSteps("p", (True, True), (0.5,))


# ProcessBench ------------------------------------------------------------------------------------


def test_processbench_with_scores_says_how_good_they_are(tmp_path, capsys):
    made = solutions(60, 0.6)
    path = write(tmp_path / "a.jsonl", [row(one, number) for number, one in enumerate(made)])
    assert recording(path).format == "ProcessBench"
    store = str(tmp_path / "a.store")
    assert main(["import", str(path), "-o", store, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    quality = step_quality(made)
    assert said["steps"]["f1"]["mean"] == pytest.approx(quality.f1.mean)
    assert said["steps"]["auc"] == pytest.approx(quality.auc)
    with reopened(tmp_path / "a.store") as opened:
        assert measured(opened).steps == quality
    assert f"first-error F1 {100 * quality.f1.mean:.1f}" in " ".join(said["notes"])


def test_processbench_without_scores_says_what_is_missing(tmp_path):
    rows = [row(one, number) for number, one in enumerate(solutions(8, 0.1))]
    for one in rows:
        del one["step_scores"]
    made = import_samples(
        Import((write(tmp_path / "a.jsonl", rows),), Reading({})), tmp_path / "a.store"
    )
    assert made.steps is None
    assert "steps of 8 samples are labelled" in " ".join(made.notes)


@pytest.mark.parametrize("label", [9, -2, "1", None, True])
def test_a_label_that_is_no_step_is_refused(tmp_path, label):
    rows = [row(solutions(1, 0.1)[0], 0) | {"label": label}]
    with pytest.raises(OutthinkError, match="number of the first wrong step"):
        list(samples(write(tmp_path / "a.jsonl", rows), Reading({})))


class Reads:
    """Scores by what steps say."""

    name = "reads"

    def score_batch(self, texts):
        return [
            Verified(Scores(tuple(0.1 if "wrong" in step else 0.9 for step in text.steps)), 1, 0)
            for text in texts
        ]


def reads(proposer):
    return Reads()


def test_a_verifier_scores_the_steps_of_a_file(tmp_path):
    rows = [
        {
            "id": f"p{n}",
            "problem": "?",
            "steps": ["a", "wrong" if n % 2 else "b"],
            "label": 1 if n % 2 else -1,
        }
        for n in range(20)
    ]
    file = write(tmp_path / "a.jsonl", rows)
    wanted = Import((file,), Reading({}), "exact", verifier=f"{__name__}:reads")
    made = import_samples(wanted, tmp_path / "a.store")
    assert made.steps.f1.mean == 1.0


def test_a_verifier_that_needs_the_writer_is_refused(tmp_path):
    file = write(tmp_path / "a.jsonl", [row(solutions(1, 0.1)[0], 0)])
    with pytest.raises(OutthinkError, match="name a verifier of text"):
        import_samples(Import((file,), Reading({}), verifier="confidence"), tmp_path / "a.store")


# PRM800K -----------------------------------------------------------------------------------------

LINE = {
    "question": {"problem": "1 + 1?", "ground_truth_answer": "2"},
    "label": {
        "steps": [
            {
                "completions": [{"text": "I add.", "rating": 0}],
                "human_completion": None,
                "chosen_completion": 0,
            },
            {
                "completions": [{"text": "no", "rating": -1}, {"text": "One more.", "rating": 1}],
                "human_completion": None,
                "chosen_completion": 1,
            },
            {
                "completions": [{"text": "So 3.\n\n# Answer\n\n3", "rating": -1}],
                "human_completion": None,
                "chosen_completion": None,
            },
        ],
        "finish_reason": "found_error",
    },
}


def test_the_chosen_steps_of_prm800k_and_their_ratings_come_along(tmp_path):
    path = write(tmp_path / "a.jsonl", [LINE])
    assert recording(path).format == "PRM800K"
    (sample,) = samples(path, Reading({}))
    assert sample.steps == ("I add.", "One more.", "So 3.\n\n# Answer\n\n3")
    assert sample.labels == (True, True, False)
    assert (sample.target, sample.answer, sample.finished) == ("2", "3", False)


def test_a_step_that_a_labeller_wrote_is_right(tmp_path):
    line = json.loads(json.dumps(LINE))
    line["label"]["steps"][2] |= {"human_completion": {"text": "So 2."}}
    (sample,) = samples(write(tmp_path / "a.jsonl", [line]), Reading({}))
    assert (sample.steps[2], sample.labels[2]) == ("So 2.", True)


def test_a_line_of_another_form_is_refused(tmp_path):
    line = json.loads(json.dumps(LINE))
    del line["label"]["steps"][0]["completions"]
    with pytest.raises(OutthinkError, match="without completions"):
        list(samples(write(tmp_path / "a.jsonl", [line]), Reading({})))
