"""Agreement with published verdicts: the share, its interval, and every disagreement."""

import json

import pytest

from outthink.errors import ProblemFileError
from outthink.grade import agreement, grading, sandbox

WHY_NOT = sandbox.why_not()
boxed = pytest.mark.skipif(WHY_NOT is not None, reason=f"no sandbox here: {WHY_NOT}")

ROWS = [
    {"id": "a", "solution": "The answer is 72.", "reference": "72", "right": True},
    {"id": "b", "solution": "The answer is 71.", "reference": "72", "right": False},
    {"id": "c", "solution": "So 72 it is.", "reference": "72", "verdict": True},
    {"id": "d", "answer": "72 dollars", "reference": "72", "right": False},
]


def file(tmp_path, *rows):
    path = tmp_path / "verdicts.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_every_disagreement_is_kept_and_said(tmp_path):
    found = agreement.measure(file(tmp_path, *ROWS, ""), grading("number"))
    assert (found.solutions, found.agreed, found.share) == (4, 2, 0.5)
    assert [one.graded.id for one in found.disagreements] == ["c", "d"]
    assert (found.too_strict, found.undeclared, found.too_lenient) == (1, 1, 1)
    first, *lines = agreement.report(found)
    assert first.startswith("2 of 4 verdicts agree: 50.00%")
    assert json.loads(lines[1]) == {
        "id": "d",
        "answer": "72 dollars",
        "reference": "72",
        "published": False,
        "ours": True,
    }


HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def double(x):\n    """ Twice x. """\n',
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "entry_point": "double",
}
MBPP = {
    "task_id": 126,
    "text": "Write a function to add two numbers.",
    "code": "def sum(a, b): return a + b",
    "test_list": ["assert sum(10, 15) == 25", "assert sum(ONE, 1) == 2"],
    "test_setup_code": "ONE = 1",
}


@boxed
def test_solutions_that_come_with_programs_are_judged_by_their_tests(tmp_path):
    broken = {**MBPP, "task_id": 127, "code": "def sum(a, b): return a - b"}
    path = file(tmp_path, HUMANEVAL, MBPP, broken)
    found = agreement.measure(path, grading("code"))
    assert (found.solutions, found.agreed) == (3, 2)
    assert [one.graded.id for one in found.disagreements] == ["127"]


def test_programs_are_for_the_grader_of_programs(tmp_path):
    with pytest.raises(ProblemFileError, match="'math' cannot judge; write --grader code"):
        agreement.measure(file(tmp_path, HUMANEVAL), grading("math"))


@pytest.mark.parametrize(
    "row", [{**MBPP, "test_list": []}, {**MBPP, "test_list": 3}, {**HUMANEVAL, "prompt": None}]
)
def test_a_program_without_its_tests_is_named(tmp_path, row):
    with pytest.raises(ProblemFileError, match=":1: not a problem as HumanEval and MBPP"):
        agreement.measure(file(tmp_path, row), grading("code"))


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (10, 10, 0.7225, 1.0),
        (0, 10, 0.0, 0.2775),
        (50, 100, 0.4038, 0.5962),
        (990, 1000, 0.9817, 0.9946),
    ],
)
def test_the_interval_is_wilsons(successes, trials, low, high):
    assert agreement.wilson(successes, trials) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "expected an object"),
        ('{"solution": "", "right": true}', "expected an object"),
        ('{"solution": "", "reference": "1", "right": 1}', "expected an object"),
        ('{"reference": "1", "right": true}', "has to be text"),
        ('{"answer": 1, "reference": "1", "right": true}', "has to be text"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, row, said):
    path = file(tmp_path, ROWS[0], "", row)
    with pytest.raises(ProblemFileError, match=said) as caught:
        agreement.measure(path, grading("number"))
    assert str(caught.value).startswith(f"{path}:3: ")


def test_a_file_that_is_empty_or_missing_is_an_error(tmp_path):
    with pytest.raises(ProblemFileError, match="no verdicts"):
        agreement.measure(file(tmp_path, ""), grading("number"))
    with pytest.raises(ProblemFileError, match="cannot read verdicts"):
        agreement.measure(tmp_path / "missing.jsonl", grading("number"))
