"""Multiple choice: the letter of an option, and no other letter."""

import pytest

from outthink.grade import choice


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("[B]", "B"),
        ("B.", "B"),
        ("B) 12 apples", "B"),
        ("B: 12", "B"),
        ("(B) Paris", "B"),
        (r"\text{B}", "B"),
        (r"\text{(B)}", "B"),
        (r"\textbf{(B)}\ 12", "B"),
        ("**B**", "B"),
        ("option B", "B"),
        ("Option (b)", "B"),
        ("Choice C.", "C"),
        ("A, C", "AC"),
        ("C and A", "AC"),
        ("AC", "AC"),
        ("(A), (C)", "AC"),
        ("A, B, and C", "ABC"),
        ("A,C,", "AC"),
        ("(D) B, D and F", "D"),
        ("(B) A and C", "B"),
        ("$B$", "B"),
        ("$(B)$", "B"),
    ],
)
def test_letters_are_read_however_marked(written, wanted):
    assert choice.canonical(written) == wanted
    assert choice.grade(written, wanted)


@pytest.mark.parametrize(
    "written",
    [
        "A triangle",
        "Because",
        "12",
        "",
        "none",
        "I",
        "a cat",
        "CAB",
        "Both",
        "An apple",
        "x = A + B",
    ],
)
def test_words_are_no_choice(written):
    assert not choice.grade(written, "A")
    assert not choice.grade(written, "B")


@pytest.mark.parametrize(("a", "b"), [("A", "B"), ("AC", "A"), ("A", "AC"), ("A, B", "A, C")])
def test_other_options_are_wrong(a, b):
    assert not choice.grade(a, b)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("The answer is (C).", "C"),
        (r"So \boxed{\text{D}}", "D"),
        ("Answer: B", "B"),
        ("B", "B"),
        ("A is wrong, B is not asked, so it could be any of them.", None),
        ("The answer is a cat.", None),
        ("The best answer is (A).", "A"),
        ("ANSWER: (D) B, D and F are prime", "D"),
        ("ANSWER: (D) B, D and F are ...", "D"),
        ("ANSWER: **A**", "A"),
        ("ANSWER: $A$", "A"),
        ("**ANSWER: C**", "C"),
        ("**ANSWER:** C", "C"),
        ("***ANSWER***: ***B***", "B"),
        ("ANSWER: b", "B"),
        ("ANSWER: A, B, and C", "ABC"),
        ("ANSWER: None of the above", None),
        ("ANSWER: Don't know", None),
        ("ANSWER: I don't know", None),
        ("The calculated answer is 11.\n\nAnswer seems to be A.\n\nAnswer: A", "A"),
        ("So \\boxed{\\langle H\\rangle \\ll \\Delta E}\n\n**Answer: D**", "D"),
        ("The answer is B because a car moves.", "B"),
        ("Answer: A is correct because B is wrong.", "A"),
        ("The answer is (B) 12 apples, since A is 7.", "B"),
        ("Answer: C. The other options are wrong.", "C"),
        ("ANSWER: A\n\nExplanation: B is wrong", "A"),
        ("The correct answer is option D: 12 m", "D"),
        ("The correct option is (C).", "C"),
        ("Thus the correct choice is **B**.", "B"),
        ("Option B is correct.", "B"),
        ("Option B is incorrect, and option C is not right.", None),
        ("The best choice is a car.", None),
        ("The answer is B. Note that A is a common distractor.", "B"),
        ("ANSWER IS D. A is incorrect.", "D"),
        ("The answer is C because I computed the integral.", "C"),
        ("Answer: Let's think step by step. A is wrong.\n\nThe answer is (B).", "B"),
        ("So \\boxed{E: A polygenic risk score}", "E"),
        ("So \\boxed{\\textbf{(C)}\\ 12}", "C"),
        ("\u2705 Final Answer: **B**", "B"),
        ("<think>The answer is A.</think>I choose B.", "B"),
        ("<think>The answer is A.", None),
    ],
)
def test_a_solution_ends_in_its_declared_option(text, wanted):
    assert choice.answer(text) == wanted
