"""Files that other tools wrote come along whole: every sample, verdict and count of tokens."""

import json
import lzma
import re
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from outthink.cli import main
from outthink.data.formats import recording, samples
from outthink.data.samples import Reading
from outthink.errors import OutthinkError
from outthink.study.exports import export_samples
from outthink.study.imports import Import, import_samples
from outthink.study.sweep import reopened

HERE = Path(__file__).parent / "foreign"
INSPECT = (HERE / "inspect.eval", HERE / "inspect.json.xz")
MATCH = {"correct": "match"}


def inspect_log():
    return json.loads(lzma.decompress((HERE / "inspect.json.xz").read_bytes()))


def lines(name):
    return [json.loads(line) for line in (HERE / name).read_text().splitlines()]


def bring(tmp_path, *files, columns=(), grader="number", **options):
    wanted = Import(files, Reading(dict(columns)), grader, **options)
    return import_samples(wanted, tmp_path / "my.store")


def rows(tmp_path, made):
    """What an export of the store has: everything that came along."""
    out = tmp_path / "out.jsonl"
    export_samples(made.store, out)
    return [json.loads(line) for line in out.read_text().splitlines()]


# inspect_ai --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", INSPECT, ids=["eval", "json"])
def test_every_sample_of_an_inspect_log_comes_along(tmp_path, path):
    pytest.importorskip("zstandard")
    theirs = sorted(inspect_log()["samples"], key=lambda one: (one["id"], one["epoch"]))
    kept = rows(tmp_path, bring(tmp_path, path, columns=MATCH))
    assert len(kept) == len(theirs) == 12
    for row, one in zip(kept, theirs, strict=True):
        assert (row["problem_id"], row["problem"], row["target"]) == (
            one["id"],
            one["input"],
            one["target"],
        )
        assert row["tokens"] == one["output"]["usage"]["output_tokens"]
        cut = one["output"]["choices"][0]["stop_reason"] == "max_tokens"
        assert row["finished"] is not cut
        assert row["correct"] is (one["scores"]["match"]["value"] == "C")


def test_thoughts_come_before_the_answer_and_are_not_read_for_one():
    theirs = {(one["id"], one["epoch"]): one for one in inspect_log()["samples"]}
    thought = 0
    for sample in samples(INSPECT[1], Reading(MATCH)):
        parts = [
            one["output"]["choices"][0]["message"]["content"]
            for one in theirs.values()
            if one["id"] == sample.problem_id and one["output"]["completion"] in sample.text
        ]
        assert parts
        thought += sample.text.startswith("<think>Hm, twice.</think>\n\n")
    assert thought == sum(
        any(
            part["type"] == "reasoning"
            for part in one["output"]["choices"][0]["message"]["content"]
        )
        for one in theirs.values()
    )


def test_scorers_that_differ_have_to_be_chosen_from(tmp_path):
    log, path = inspect_log(), tmp_path / "differ.json"
    log["samples"][0]["scores"]["answer"]["value"] = "C"
    path.write_text(json.dumps(log))
    with pytest.raises(OutthinkError, match=r"match and answer differ; choose .*correct=SCORER"):
        bring(tmp_path, path)
    with pytest.raises(OutthinkError, match="no scorer 'f1' for correct; there are match, answer"):
        bring(tmp_path, INSPECT[1], columns={"correct": "f1"})


def test_an_inspect_log_of_another_version_is_refused(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps(inspect_log() | {"version": 1}))
    with pytest.raises(OutthinkError, match="log of version 1, and version 2 is read"):
        bring(tmp_path, path)


def test_a_sample_that_its_tool_failed_to_draw_is_left_out_and_counted(tmp_path):
    log, path = inspect_log(), tmp_path / "failed.json"
    log["samples"][0]["error"] = {"message": "no connection"}
    path.write_text(json.dumps(log))
    made = bring(tmp_path, path, columns=MATCH)
    assert "1 samples that their tool failed to draw are left out." in made.notes
    assert made.samples == 2


def test_a_zip_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "cut.eval"
    path.write_bytes(INSPECT[0].read_bytes()[:20_000])
    with pytest.raises(OutthinkError, match="no whole zip"):
        bring(tmp_path, path)


def test_a_zip_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.eval"
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr("a.txt", "a")
    with pytest.raises(OutthinkError, match=r"a zip without header\.json"):
        bring(tmp_path, path)


# lm-eval -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["strict", "flexible"])
def test_every_sample_of_an_lm_eval_log_comes_along(tmp_path, name):
    theirs = [line for line in lines("lm_eval_once.jsonl") if line["filter"] == name]
    columns = {"answer": name}
    kept = rows(tmp_path, bring(tmp_path, HERE / "lm_eval_once.jsonl", columns=columns))
    assert len(kept) == len(theirs) == 6
    for row, line in zip(kept, theirs, strict=True):
        assert row["problem"] == line["doc"]["question"]
        assert row["target"] == line["doc"]["answer"].split("#### ")[1]
        assert row["text"] == line["resps"][0][0]
        assert row["correct"] is (line["exact_match"] == 1.0)
        assert row["tokens"] is None
        answer = line["filtered_resps"][0]
        assert row["answer"] == ("" if answer == "[invalid]" else answer)


def test_repeats_of_lm_eval_are_samples_and_are_judged_one_by_one(tmp_path):
    theirs = [line for line in lines("lm_eval_repeats.jsonl") if line["filter"] == "strict"]
    file = HERE / "lm_eval_repeats.jsonl"
    made = bring(tmp_path, file, columns={"answer": "strict"})
    kept = rows(tmp_path, made)
    assert made.samples == 3
    answered = sum(row["answer"] != "" for row in kept)
    said = f"{answered} of 18 samples have no verdict of their own in the files, and are judged by"
    assert said in " ".join(made.notes)
    assert [row["text"] for row in kept] == [text for line in theirs for text in line["resps"][0]]
    for row in kept:
        right = f"#### {row['target']}" in row["text"]
        assert row["correct"] is (right if row["answer"] else None)


def test_an_export_has_the_columns_and_hashes_of_a_log_that_lm_eval_wrote(tmp_path):
    theirs = lines("lm_eval_repeats.jsonl")[0]
    made = bring(tmp_path, HERE / "lm_eval_repeats.jsonl", columns={"answer": "strict"})
    out = tmp_path / "out.jsonl"
    export_samples(made.store, out, form="lm-eval")
    ours = json.loads(out.read_text().splitlines()[0])
    assert list(ours) == list(theirs)
    assert ours["resps"] == theirs["resps"]
    for log in (ours, theirs):
        said = (
            json.dumps(log["doc"], indent=2, ensure_ascii=False),
            prompt_of(log),
            str(log["target"]),
        )
        names = ("doc_hash", "prompt_hash", "target_hash")
        assert [log[name] for name in names] == [sha256(t.encode()).hexdigest() for t in said]


def prompt_of(log):
    prompt = log["arguments"]["gen_args_0"]["arg_0"]
    return prompt if isinstance(prompt, str) else prompt[0]


def test_filters_have_to_be_chosen_from(tmp_path):
    file = HERE / "lm_eval_once.jsonl"
    with pytest.raises(OutthinkError, match=r"2 filters \(strict, flexible\); .*answer=FILTER"):
        bring(tmp_path, file)
    with pytest.raises(OutthinkError, match="no filter 'x'; there are strict, flexible"):
        bring(tmp_path, file, columns={"answer": "x"})
    with pytest.raises(OutthinkError, match="no metric 'acc' for correct; there are exact_match"):
        bring(tmp_path, file, columns={"answer": "strict", "correct": "acc"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"filter": ...}, "no filter; a log of another version of lm-eval"),
        ({"arguments": [["a", {}]]}, "arguments in a list; a log of another version of lm-eval"),
        ({"resps": [[[-0.5, True]], [[-1.0, False]]]}, "output_type is generate_until"),
    ],
)
def test_an_lm_eval_log_of_another_kind_is_refused(tmp_path, change, said):
    line = lines("lm_eval_once.jsonl")[0] | change
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps({key: value for key, value in line.items() if value is not ...}))
    with pytest.raises(OutthinkError, match=said):
        bring(tmp_path, path)


def test_repeats_that_disagree_on_the_target_are_refused(tmp_path):
    line = lines("lm_eval_once.jsonl")[0]
    path = tmp_path / "samples.jsonl"
    path.write_text("\n".join(map(json.dumps, (line, line | {"target": "7"}))))
    with pytest.raises(OutthinkError, match=r"problem '0' has target '7', and '0' in .*:1"):
        bring(tmp_path, path)


def test_two_files_with_one_problem_and_different_texts_are_refused_by_name(tmp_path):
    line, paths = lines("lm_eval_once.jsonl")[0], [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for number, path in enumerate(paths):
        asked = {"gen_args_0": {"arg_0": f"question {number}"}}
        path.write_text(json.dumps(line | {"arguments": asked}))
    with pytest.raises(OutthinkError, match=r"b.jsonl:1: problem '0' has prompt .* in .*a.jsonl:1"):
        bring(tmp_path, *paths)


# crucible-ttc ------------------------------------------------------------------------------------


def cleaned(text):
    return text.strip().strip("$").strip().rstrip(".").strip()


NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:\s*/\s*-?\d+(?:\.\d+)?)?")
DECLARED = (
    re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}"),
    re.compile(
        r"(?:final\s+answer|answer)\s*(?:(?:is|:|=)\s*|\$?\\?boxed\s*\{?\s*)\$?([^\n.$}]+)", re.I
    ),
    NUMBER,
)


def read_as_crucible(text):
    """The answer that crucible-ttc reads (`verify/answer_extract.py`), which its votes count."""
    for place, pattern in enumerate(DECLARED):
        values = [value for value in map(cleaned, pattern.findall(text)[-1:]) if value]
        if values:
            number = NUMBER.search(values[0]) if place else None
            return number.group().replace(" ", "") if number else values[0]
    return ""


def test_the_published_majority_of_crucible_comes_out_of_its_own_answers(tmp_path):
    """Answers that a file judges both ways vote as one, and each sample keeps its verdict."""
    right = 0.0
    for seed in range(3):
        file = HERE / f"crucible-math500-bestofn-seed{seed}.json.xz"
        table = tmp_path / f"{seed}.jsonl"
        records = json.loads(lzma.decompress(file.read_bytes()))["records"]
        table.write_text(
            "\n".join(
                json.dumps(
                    {
                        "problem_id": record["problem_id"],
                        "answer": read_as_crucible(trace["text"]),
                        "correct": trace["correct"],
                    }
                )
                for record in records
                for trace in record["traces"]
            )
        )
        made = import_samples(Import((table,), Reading({}), "exact"), tmp_path / f"{seed}.store")
        with reopened(made.store) as opened:
            right += opened.study.curve("majority", (8,)).sum()
    assert right == 63


def test_the_published_figures_of_crucible_come_out(tmp_path):
    """docs/RESULTS.md of crucible-ttc, section 0: three seeds of 40 problems."""
    published = {"pass": 46, "oracle": 84, "prm": 66}
    counted = dict.fromkeys(published, 0.0)
    for seed in range(3):
        file = HERE / f"crucible-math500-bestofn-seed{seed}.json.xz"
        wanted = Import((file,), Reading({}), "math")
        made = import_samples(wanted, tmp_path / f"{seed}.store")
        assert (made.problems, made.samples) == (40, 8)
        with reopened(made.store) as opened:
            pools = opened.study.pools
            counted["pass"] += sum(bool(pool.right[0]) for pool in pools)
            counted["oracle"] += sum(bool(pool.right.any()) for pool in pools)
            counted["prm"] += opened.study.curve("best_of_n(answer=max)", (8,)).sum()
    assert counted == pytest.approx(published)


# AutoTTS -----------------------------------------------------------------------------------------


def test_a_branch_of_autotts_is_a_sample(tmp_path):
    row = {
        "question": "1 + 1",
        "gold_answer": "2",
        "probe_freq": 500,
        "each_branch": [[["1", "2"], 900, "2"], [["3"], 400, "3"]],
    }
    path = tmp_path / "traces.jsonl"
    path.write_text(json.dumps(row))
    assert recording(path).format == "AutoTTS"
    kept = rows(tmp_path, bring(tmp_path, path))
    assert [(one["tokens"], one["answer"], one["correct"]) for one in kept] == [
        (900, "2", True),
        (400, "3", False),
    ]


# The command -------------------------------------------------------------------------------------


def test_the_command_names_the_format(tmp_path, capsys):
    store = str(tmp_path / "a.store")
    assert (
        main(["import", str(INSPECT[1]), "-o", store, "--column", "correct=match", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["sources"][0]["format"] == "inspect_ai .json"


# Files that are not whole, or not what they seem -------------------------------------------------

INSPECT_LOG = {"version": 2, "status": "success", "eval": {"model": "m"}}
SAID = {"choices": [{"message": {"content": "1"}, "stop_reason": "stop"}]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", {"records": ["x"]}, "a record is"),
        ("a.json", {"records": [{"problem_id": "a", "traces": ["x"]}]}, "a trace is"),
        ("a.json", {"records": [{"problem_id": "a", "gold": "1"}]}, "no list of traces"),
        ("a.json", {"records": []}, "no sample was drawn"),
        ("a.json", INSPECT_LOG, "no samples"),
        ("a.json", {**INSPECT_LOG, "samples": [5]}, "a sample is 5"),
        ("a.json", {**INSPECT_LOG, "samples": [{"id": 1, "output": []}]}, "output is"),
        (
            "a.json",
            {**INSPECT_LOG, "samples": [{"id": 1, "output": SAID, "scores": {"m": 5}}]},
            "a score is 5",
        ),
        ("a.jsonl", {"question": "q", "each_branch": [["1"]]}, "branch 0 is not"),
        ("a.jsonl", {"problem": "p", "completions": ["a", "b"], "scores": [[1]]}, "1 scores for 2"),
        ("a.jsonl", {"problem_id": {"x": 1}, "answer": "1"}, "problem_id is"),
        ("a.jsonl", {"problem_id": "a", "answer": ["1", "2"]}, "answer is"),
        ("a.jsonl", {"id": "a", "steps": [], "label": -1}, "no steps"),
        ("a.jsonl", {"id": "a", "steps": ["x"], "label": 0, "step_scores": [1, 1]}, "1 labels for"),
    ],
)
def test_a_part_that_is_not_what_its_tool_writes_is_named(tmp_path, name, content, said):
    path = tmp_path / name
    path.write_text(json.dumps(content))
    with pytest.raises(OutthinkError, match=said):
        bring(tmp_path, path)
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_a_compressed_file_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "cut.json.xz"
    path.write_bytes((HERE / "crucible-math500-bestofn-seed0.json.xz").read_bytes()[:50_000])
    with pytest.raises(OutthinkError, match="cannot be unpacked"):
        bring(tmp_path, path)
