"""Graders by name."""

import pytest

from outthink import grade
from outthink.errors import UsageError


def test_every_name_has_a_grader_an_extractor_and_a_canonical_form():
    assert grade.names() == (
        "exact",
        "text",
        "number",
        "math",
        "choice",
        "code",
        "reasoning-gym",
        "json",
        "tools",
    )
    for name in grade.names():
        found = grade.grading(name)
        assert found.name == name
        assert found.grade is grade.grader(name)
        assert found.extract is grade.extractor(name)
        assert found.extract("") is None


@pytest.mark.parametrize("look_up", [grade.grading, grade.grader, grade.extractor])
def test_an_unknown_name_is_an_error_that_lists_the_names(look_up):
    with pytest.raises(
        UsageError, match=r"unknown grader 'maths'; write one of exact, text, number, math"
    ):
        look_up("maths")


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("04883", "04883", True),
        ("04883 ", "04883", True),
        ("4883", "04883", False),
        ("Caf\u00e9", "Cafe\u0301", True),
        ("a", "A", False),
        ("", "", True),
    ],
)
def test_exact_text_is_the_same_text(answer, reference, right):
    assert grade.grader("exact")(answer, reference) is right


def test_all_of_a_line_is_its_exact_answer_unless_it_declares_one():
    assert grade.extractor("exact")(" 04883\n") == "04883"
    assert grade.grading("exact").canonical(" 04883\n") == "04883"
    assert grade.grading("exact").read("40713 *7 = 84991\n\nso \\boxed{84991}") == "84991"
    assert grade.grading("exact").read("a thought\nand another") is None


@pytest.mark.parametrize(
    ("name", "texts", "answer"),
    [
        ("number", ["\\boxed{1,000}", "#### $1000.00", "The answer is 1000 apples."], "1000"),
        ("choice", ["(B)", "the answer is B", "\\boxed{\\text{B}}"], "B"),
        ("code", ["```python\ndef f( ): return 1\n```", "def f():\n    return 1  # one"],
         "def f():\n    return 1"),
        ("number", ["I do not know", ""], None),
    ],
)  # fmt: skip
def test_equal_answers_are_read_alike(name, texts, answer):
    assert {grade.grading(name).read(text) for text in texts} == {answer}


def test_what_a_grader_lacks_is_said_before_anything_is_judged(monkeypatch):
    monkeypatch.setattr("outthink.grade.worker.installed", lambda: False)
    with pytest.raises(UsageError, match=r"pip install 'outthink\[math\]'"):
        grade.grading("math").require()
    grade.grading("exact").require()
