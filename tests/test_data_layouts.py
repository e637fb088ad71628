"""Data sets in their own layouts: each gives references that its grader can judge."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from outthink.data import source
from outthink.errors import ProblemFileError
from outthink.grade import grading, sandbox
from outthink.grade.code import Suite

WHY_NOT = sandbox.why_not()
boxed = pytest.mark.skipif(WHY_NOT is not None, reason=f"no sandbox here: {WHY_NOT}")


def read(tmp_path, *rows):
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return source.read(str(path))


GSM8K = {"question": "How many?", "answer": "48 / 2 = <<48/2=24>>24\nIn all 1,224.\n#### 1,224"}
MATH = {
    "problem": "What is it?",
    "level": "Level 5",
    "type": "Algebra",
    "solution": r"First $\boxed{3}$ boxes, then it is $\boxed{\frac{1}{2}}.$",
}


def test_gsm8k_has_its_answer_after_hashes(tmp_path):
    found = read(tmp_path, GSM8K, {"question": "b", "answer": "#### -3.5"})
    assert [problem.reference for problem in found] == ["1224", "-3.5"]
    assert (found.grader, found.layout) == ("number", "gsm8k")


def test_math_has_its_answer_in_the_last_box(tmp_path):
    found = read(tmp_path, MATH)
    assert found[0].reference == r"\frac{1}{2}"
    assert (found.grader, found.layout) == ("math", "math")


def test_an_answer_column_goes_before_a_solution(tmp_path):
    found = read(tmp_path, {**MATH, "answer": "0.5", "unique_id": "test/algebra/1.json"})
    assert (found[0].id, found[0].reference) == ("test/algebra/1.json", "0.5")


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (GSM8K, {"question": "b", "answer": "7"}, "does not end in '#### ANSWER'"),
        (MATH, {"problem": "b", "solution": "7"}, r"has no \\boxed"),
        (MATH, {"problem": "b", "solution": r"\boxed{7"}, r"has no \\boxed"),
    ],
)
def test_a_row_without_its_answer_is_named(tmp_path, first, second, said):
    with pytest.raises(ProblemFileError, match=said) as caught:
        read(tmp_path, first, second)
    assert "p.jsonl:2: " in str(caught.value)


@pytest.mark.parametrize(
    ("references", "grader"),
    [
        (["4", "1,234", "-0.5", "1/2"], "number"),
        ([4, 0.5], "number"),
        (["A", "(C)", "D"], "choice"),
        (["4", r"\frac{1}{2}\pi"], "math"),
        (["4", "(1, 2)"], "math"),
        (["Paris", "London"], "math"),
        ([None], "number"),
    ],
)
def test_the_grader_that_fits_all_answers_is_chosen(tmp_path, references, grader):
    rows = [{"question": "a", "answer": reference} for reference in references]
    assert read(tmp_path, *rows).grader == grader


GPQA = {
    "Record ID": "rec1",
    "Pre-Revision Question": "How far?",
    "Question": "How far is it?",
    "Correct Answer": "4 km\n",
    "Incorrect Answer 1": "5 km",
    "Incorrect Answer 2": "6 km",
    "Incorrect Answer 3": "7 km",
    "Explanation": "It is 4 km.",
    "Subdomain": "Physics",
}


def options(problem):
    """Options of a prompt by letter."""
    return dict(re.findall(r"^\(([A-Z])\) (.*)$", problem.prompt, re.MULTILINE))


def test_gpqa_offers_its_answers_by_letter(tmp_path):
    found = read(tmp_path, GPQA)
    assert (found.grader, found.layout, found[0].id) == ("choice", "choices", "rec1")
    assert found[0].prompt.startswith("How far is it?\n\n(A) ")
    offered = options(found[0])
    assert sorted(offered.values()) == ["4 km", "5 km", "6 km", "7 km"]
    assert list(offered) == ["A", "B", "C", "D"]
    assert offered[found[0].reference] == "4 km"
    assert grading("choice").grade(f"({found[0].reference})", found[0].reference)


def test_the_order_of_options_is_the_problems_own(tmp_path):
    rows = [
        {**GPQA, "Record ID": str(number), "Question": f"Question {number}?"}
        for number in range(400)
    ]
    found = read(tmp_path, *rows)
    assert list(read(tmp_path, *rows[::-1])) == list(found)[::-1]
    moved = {**rows[0], "Incorrect Answer 1": "7 km", "Incorrect Answer 3": "5 km"}
    assert read(tmp_path, moved)[0] == found[0]
    letters = Counter(problem.reference for problem in found)
    assert sorted(letters) == ["A", "B", "C", "D"]
    assert min(letters.values()) > 70  # of 100 expected


@pytest.mark.parametrize(
    "row",
    [
        {
            "question": "a",
            "correct_answer": "x",
            "distractor1": "y",
            "distractor2": "z",
            "distractor3": "w",
        },
        {"Question": "a", "Best Answer": "x", "Incorrect Answers": "y; z; w"},
        {"question": "a", "correct_answer": "x", "incorrect_answers": ["y", "z", "w"]},
        {"question": "a", "Correct Answer": "x", "Wrong Answer 1": "y", "Wrong Answer 2": "z",
         "Wrong Answer 3": "w"},
        {"question": "a", "choices": ["y", "x", "z", "w"], "answer": 1},
        {"question": "a", "options": ["y", "x", "z", "w"], "answer": "B", "answer_index": 1},
        {"question": "a", "options": ["A)y", "B)x", "C)z", "D)w"], "correct": "B"},
        {"question": "a", "options": {"A": "y", "B": "x", "C": "z", "D": "w"}, "answer": "x"},
        {"question": "a", "choices": {"text": ["y", "x", "z", "w"], "label": ["1", "2", "3", "4"]},
         "answerKey": "2"},
        {"question": "a", "choices": [{"label": label, "text": text} for label, text in
         zip("ABCD", "yxzw", strict=True)], "answerKey": "B"},
        {"question": "a", "choices": "[\"y\", \"x\", \"z\", \"w\"]", "answer": "1"},
        {"question": "a", "A": "y", "B": "x", "C": "z", "D": "w", "answer": "B"},
        {"question": "a", "A": "y", "B": "x", "C": "z", "D": "w", "E": None, "target": "(B)"},
    ],
)  # fmt: skip
def test_questions_with_options_show_them(tmp_path, row):
    found = read(tmp_path, row)
    offered = options(found[0])
    assert (found.grader, found.layout) == ("choice", "choices")
    assert sorted(offered.values()) == ["w", "x", "y", "z"]
    assert offered[found[0].reference] == "x"


def test_options_that_are_numbers_are_named_by_place_or_as_text(tmp_path):
    rows = [{"question": "a", "choices": ["2", "1", "0"], "answer": answer} for answer in (0, "0")]
    assert [problem.reference for problem in read(tmp_path, *rows)] == ["A", "C"]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**GPQA, "Correct Answer": " "}, "'Correct Answer' has to be the text of an option"),
        ({"question": "a", "correct_answer": "x", "distractor1": "x"}, "2 to 26 options, saw 1"),
        ({"question": "a", "choices": ["x"], "answer": 0}, "2 to 26 options, saw 1"),
        ({"question": "a", "choices": ["x", "y"], "answer": 2}, "none of its 2 options, saw '2'"),
        ({"question": "a", "choices": ["x", "y"], "answer": "z"}, "none of its 2 options"),
        ({"question": "a", "choices": ["x", ["y"]], "answer": 0}, "text of an option"),
    ],
)
def test_options_that_cannot_be_offered_are_named(tmp_path, row, said):
    with pytest.raises(ProblemFileError, match=said):
        read(tmp_path, row)


def test_a_table_without_its_answers_is_told_before_it_is_read(tmp_path):
    row = {"question": "a", "antwort": "4", "thema": "b"}
    with pytest.raises(ProblemFileError) as caught:
        read(tmp_path, row)
    said = str(caught.value)
    assert "p.jsonl:1: none of its columns is called answer, reference, solution" in said
    assert "it has 'question', 'antwort', 'thema'" in said
    assert "FILE?reference=COLUMN" in said
    assert "FILE?reference=none" in said
    path = tmp_path / "p.jsonl"
    assert source.read(f"{path}?reference=antwort")[0].reference == "4"
    assert source.read(f"{path}?reference=none")[0].reference is None


@pytest.mark.parametrize("name", ["Correct Answer", "final-answer", "EXPECTED_ANSWER", "Answer"])
def test_a_column_of_answers_is_known_however_its_name_is_written(tmp_path, name):
    assert read(tmp_path, {"question": "a", name: "4"})[0].reference == "4"


HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def double(x):\n    """ Twice x. """\n',
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    "entry_point": "double",
}
MBPP = {
    "task_id": 2,
    "text": "Write a function that doubles.",
    "code": "def double(x): return 2 * x",
    "test_list": ["assert double(2) == 4", "assert double(SEVEN) == 14"],
    "test_setup_code": "SEVEN = 7",
}
SANITIZED = {
    "task_id": 3,
    "prompt": "Write a function that halves.",
    "test_imports": ["import math"],
    "test_list": ["assert math.isclose(half(1), 0.5)"],
}


@boxed
@pytest.mark.parametrize(
    ("row", "right", "wrong", "name"),
    [
        (HUMANEVAL, "    return 2 * x\n", "    return x\n", "HumanEval/0"),
        (MBPP, "def double(x): return 2 * x", "def double(x): return x + 2", "2"),
        (SANITIZED, "def half(x): return x / 2", "def half(x): return x // 2", "3"),
    ],
)
def test_programs_are_judged_by_their_own_tests(tmp_path, row, right, wrong, name):
    found = read(tmp_path, row)
    grade = grading(found.grader).grade
    assert found[0].id == name
    assert grade(right, found[0].reference)
    assert not grade(wrong, found[0].reference)


def test_a_prompt_of_mbpp_shows_the_first_test(tmp_path):
    found = read(tmp_path, MBPP)
    assert found[0].prompt.startswith("Write a function that doubles.")
    assert found[0].prompt.endswith("assert double(2) == 4")
    assert Suite.load(found[0].reference).tests[0] == "SEVEN = 7"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({**HUMANEVAL, "test": ""}, "'test' has to be source text"),
        ({**HUMANEVAL, "entry_point": None}, "'entry_point' has to be source text"),
        ({**MBPP, "test_list": []}, "'test_list' is empty"),
        ({**MBPP, "test_list": "assert True"}, "'test_list' has to be a list"),
        ({**SANITIZED, "test_imports": [1]}, "'test_imports' has to be a list"),
    ],
)
def test_a_program_without_tests_is_named(tmp_path, row, said):
    with pytest.raises(ProblemFileError, match=said):
        read(tmp_path, row)


def _shared():
    """The development copy of GSM8K beside the repository, or `None`."""
    places = (
        parent / "shared/data/gsm8k/test.jsonl" for parent in Path(__file__).resolve().parents
    )
    return next((place for place in places if place.exists()), None)


@pytest.mark.skipif(_shared() is None, reason="no copy of GSM8K beside the repository")
def test_all_of_gsm8k_is_read_and_judged():
    found = source.read(str(_shared()))
    number = grading("number")
    assert (found.layout, found.grader, len(found)) == ("gsm8k", "number", 1319)
    assert found[0].reference == "18"
    for problem in found:
        assert number.grade(problem.reference, problem.reference)
        assert not number.grade(f"1{problem.reference}", problem.reference)
