"""Files of problems: what each kind holds, and what is said of one that cannot be read."""

import json

import pytest

from outthink.data import source
from outthink.errors import ProblemFileError, UsageError
from outthink.types import Problem

ROWS = [{"question": "2 + 2?", "answer": "4"}, {"question": "3 + 3?", "answer": "6"}]
WANTED = [Problem("1", "2 + 2?", "4"), Problem("2", "3 + 3?", "6")]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def json_lines(path, rows):
    return write(path, "\n".join(json.dumps(row) for row in rows))


def parquet(path, rows):
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra 'parquet')")
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist(rows), path)
    return str(path)


def separated(delimiter):
    def save(path, rows):
        import csv

        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
        return str(path)

    return save


KINDS = {
    "p.jsonl": json_lines,
    "p.txt": json_lines,
    "p.json": lambda path, rows: write(path, json.dumps(rows, indent=1)),
    "q.json": json_lines,
    "p.csv": separated(","),
    "p.tsv": separated("\t"),
    "p.parquet": parquet,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_gives_the_same_problems(tmp_path, name):
    found = source.read(KINDS[name](tmp_path / name, ROWS))
    assert list(found) == WANTED
    assert (found.grader, found.layout, len(found), found[1]) == ("number", "table", 2, WANTED[1])


@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "p.csv", "p.tsv", "p.parquet"])
def test_text_survives_every_kind_of_file(tmp_path, name):
    text = 'first line\u2028\x0b\nsecond, "quoted"\t\u00e9 \\frac{1}{2}'
    found = source.read(KINDS[name](tmp_path / name, [{"question": text, "answer": "a, b"}]))
    assert list(found) == [Problem("1", text, "a, b")]


def test_a_folder_holds_one_problem_a_file(tmp_path):
    for name in ("algebra/2", "algebra/10", "geometry/1"):
        path = tmp_path / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        write(path, json.dumps({"problem": name, "solution": rf"It is $\boxed{{{name[-1]}}}$."}))
    found = source.read(str(tmp_path))
    assert [problem.id for problem in found] == ["algebra/10", "algebra/2", "geometry/1"]
    assert found[2] == Problem("geometry/1", "geometry/1", "1")


def test_problems_without_an_answer_are_welcome(tmp_path):
    rows = [{"question": "a", "answer": None}, {"question": "b", "answer": "5"}]
    assert [one.reference for one in source.read(json_lines(tmp_path / "p.jsonl", rows))] == [
        None,
        "5",
    ]
    found = source.read(json_lines(tmp_path / "q.jsonl", [{"question": "a"}]))
    assert list(found) == [Problem("1", "a", None)]


# Options after a '?' -----------------------------------------------------------------------------


def test_columns_of_unusual_names_are_named(tmp_path):
    rows = [{"frage": "a", "loesung": "1", "nr": 7}, {"frage": "b", "loesung": "2", "nr": 8}]
    path = json_lines(tmp_path / "p.jsonl", rows)
    found = source.read(f"{path}?prompt=frage&reference=loesung&id=nr")
    assert list(found) == [Problem("7", "a", "1"), Problem("8", "b", "2")]


def test_a_named_column_wins_over_a_likely_one(tmp_path):
    rows = [{"question": "a", "answer": "1", "final": "2"}]
    path = json_lines(tmp_path / "p.jsonl", rows)
    assert source.read(f"{path}?reference=final")[0].reference == "2"


def test_a_grader_may_be_named(tmp_path):
    path = json_lines(tmp_path / "p.jsonl", ROWS)
    assert source.read(f"{path}?grader=math").grader == "math"
    with pytest.raises(
        UsageError, match=r"unknown grader 'maths'; write one of exact, text, number"
    ):
        source.read(f"{path}?grader=maths")


def test_a_size_takes_the_first_and_with_a_seed_any_but_always_the_same(tmp_path):
    path = json_lines(
        tmp_path / "p.jsonl", [{"question": str(n), "answer": "1"} for n in range(100)]
    )
    assert [one.id for one in source.read(f"{path}?size=3")] == ["1", "2", "3"]
    one, again, other = (
        [problem.id for problem in source.read(f"{path}?size=10&seed={seed}")] for seed in (1, 1, 2)
    )
    assert one == again != other
    assert one == sorted(one, key=int)
    assert len(set(one)) == 10


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("size=101", "there are 100"),
        ("size=0", "size of 1 to"),
        ("size=x", "whole numbers"),
        ("size=3&seed=-1", "whole numbers"),
        ("seed=1", "add size"),
        ("colour=red", "unknown option 'colour'; a file takes grader, id"),
        ("", "unknown option"),
    ],
)
def test_options_that_make_no_sense_are_errors(tmp_path, query, said):
    path = json_lines(tmp_path / "p.jsonl", [{"question": str(n)} for n in range(100)])
    with pytest.raises(UsageError, match=said):
        source.read(f"{path}?{query}")


def test_a_file_may_have_a_question_mark_in_its_name(tmp_path):
    assert list(source.read(json_lines(tmp_path / "why?a=b.jsonl", ROWS))) == WANTED


# What cannot be read -----------------------------------------------------------------------------


def test_a_missing_column_lists_those_there_are(tmp_path):
    path = json_lines(tmp_path / "p.jsonl", [{"colour": "red", "size": 3}])
    with pytest.raises(ProblemFileError) as caught:
        source.read(path)
    said = str(caught.value)
    assert said.startswith(f"{path}:1: none of its columns is called question, problem, prompt")
    assert "'colour', 'size'" in said
    assert "FILE?prompt=COLUMN" in said


@pytest.mark.parametrize("option", ["prompt", "reference", "id"])
def test_a_named_column_that_is_missing_lists_those_there_are(tmp_path, option):
    path = json_lines(tmp_path / "p.jsonl", ROWS)
    with pytest.raises(
        ProblemFileError, match=rf"no column 'colour'; it has 'question', 'answer'.*{option}=COLUMN"
    ):
        source.read(f"{path}?{option}=colour")


@pytest.mark.parametrize(
    ("rows", "line", "said"),
    [
        ([ROWS[0], {"answer": "1"}], 2, "no column 'question' as in the rows before"),
        ([ROWS[0], {"question": ""}], 2, "no column 'answer'"),
        ([ROWS[0], {"question": " ", "answer": "1"}], 2, "'question' is empty"),
        ([ROWS[0], {"question": None, "answer": "1"}], 2, "'question' is empty"),
        ([ROWS[0], {"question": ["a"], "answer": "1"}], 2, "text or a number"),
        ([ROWS[0], {"question": "a", "answer": True}], 2, "text or a number"),
        ([{**ROWS[0], "id": 1}, {**ROWS[1], "id": "1"}], 2, "id '1' was used on line 1"),
        ([{**ROWS[0], "id": [1]}], 1, "'id' has to be"),
    ],
)
def test_a_row_that_is_unlike_the_others_is_named(tmp_path, rows, line, said):
    path = json_lines(tmp_path / "p.jsonl", rows)
    with pytest.raises(ProblemFileError, match=said) as caught:
        source.read(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.jsonl", "", "no problems in it"),
        ("p.jsonl", '{"question": "a"}\n{', r":2: not JSON \(.* at column 2\)"),
        ("p.jsonl", '{"question": "a"}\n[1]', ":2: expected an object"),
        ("p.json", "", "not JSON"),
        ("p.json", "[1]", "entry 1: expected an object"),
        ("p.json", '[{"question": "a",}]', r":1: not JSON"),
        ("p.json", "[" * 100_000, "not a list of problems"),
        ("p.json", "[]", "no problems in it"),
        ("p.csv", "", "no problems in it"),
        ("p.csv", "question,answer\n", "no problems in it"),
        ("p.csv", "question,answer\na,1,2\n", ":2: 3 fields for 2 columns"),
        ("p.csv", "question,answer\na,1\nb\n", ":3: 1 fields for 2 columns"),
        ("p.csv", "question,question\na,1\n", ":1: the first line has to name every column once"),
        ("p.csv", 'question,answer\n"a" b,1\n', ":2: not CSV"),
        ("p.csv", 'question,answer\n"a,1\n', "not CSV"),
        ("p.parquet", "question", "not Parquet"),
    ],
)
def test_a_broken_file_says_where_and_why(tmp_path, name, text, said):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra 'parquet')")
    with pytest.raises(ProblemFileError, match=said) as caught:
        source.read(write(tmp_path / name, text))
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["p.jsonl", "p.json", "p.csv", "p.parquet"])
def test_a_file_that_is_not_there_is_an_error(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra 'parquet')")
    with pytest.raises(ProblemFileError, match="cannot read problems"):
        source.read(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "first"), [("p.jsonl", b'{"prompt": "1"}'), ("p.csv", b"question,answer")]
)
def test_a_file_in_another_encoding_names_the_line(tmp_path, name, first):
    (tmp_path / name).write_bytes(first + b"\n\xff\xfe,1\n")
    with pytest.raises(ProblemFileError, match=":2: not UTF-8"):
        source.read(str(tmp_path / name))


def test_without_pyarrow_the_message_names_the_extra(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'outthink\[parquet\]'"):
        source.read(write(tmp_path / "p.parquet", "x"))


def test_other_problems_are_refused_where_the_labs_are_needed(tmp_path):
    path = json_lines(tmp_path / "p.jsonl", ROWS)
    source.require_lab(source.read("lab:test?size=1"), "lab:test")
    with pytest.raises(
        ProblemFileError, match="the lab's models read problems of the lab's task alone"
    ):
        source.require_lab(source.read(path), path)
