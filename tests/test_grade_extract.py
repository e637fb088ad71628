"""Which answer a solution ends in: the last boxed or declared one, and never a passing mention."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outthink.grade import extract, grading

DECLARED = [
    # boxes
    (r"So $x = \boxed{5}$.", "5"),
    (r"\boxed{3}. Checking again, \boxed{4}", "4"),
    (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
    (r"\fbox{7}", "7"),
    (r"\boxed 7", "7"),
    (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
    (r"\boxed{\boxed{6}}", r"\boxed{6}"),
    (r"The answer is 3, that is \boxed{4}.", "4"),
    (r"so $a = -\boxed{256}$", "-256"),
    (r"it is $-\boxed{\frac{1}{2}}$", r"-(\frac{1}{2})"),
    (r"so $5 - \boxed{3}$", "3"),
    # several boxes are one answer where nothing but a comma, 'and' or a name is between them
    (r"$\boxed{1}$ and $\boxed{2}$", "1, 2"),
    (r"\boxed{1}, \boxed{2}, \boxed{3}", "1, 2, 3"),
    (r"$x = \boxed{1}$ or $y = \boxed{2}$", "1, 2"),
    (r"\boxed{1} \quad \text{and} \quad \boxed{2}", "1, 2"),
    (r"\boxed{5} and again \boxed{5}", "5"),
    (r"First \boxed{1}, then we see that it is \boxed{2}", "2"),
    # declarations
    ("#### 72", "72"),
    ("48 + 24 = 72 #### 72", "72"),
    ("The answer is 72.", "72"),
    ("The answer is: 72", "72"),
    ("the answer is 3.5.", "3.5"),
    ("The answer is $18 per day.", "$18 per day"),
    (r"Final Answer: The final answer is $\frac{1}{2}$. I hope it is correct.", r"\frac{1}{2}"),
    (r"The final answer is $\$10$. I hope it is correct.", r"\$10"),
    ("Final answer: 1,234 apples", "1,234 apples"),
    ("**Answer:** 42", "42"),
    ("Answer: **42**", "42"),
    ("**Final Answer**\n\n\\[ 5 \\]", "5"),
    ("## Answer\n\n42", "42"),
    ("Hence the answer is\n$$x = 5$$", "x = 5"),
    (r"So the answer is $1$ and $3$.", "1, 3"),
    ("Final Answer: The volume of the box is 120.", "120"),
    ("The answer to the question is 5 because 2 + 3 = 5.", "5"),
    ("The answer is 5. No: the answer is 6.", "6"),
    ("The correct answer is (B).", "(B)"),
    ("A: 18", "18"),
    # something said after the declared answer
    ("Final answer: 18, as the remainder is 4.", "18"),
    ("The answer is 7 since 3 + 4 is 7.", "7"),
    ("The answer is 18, which is 3 times 6.", "18"),
    ("Final answer: 12 is the number of apples.", "12"),
    ("The answer is 18 (eighteen).", "18"),
    ("The answer is 18; the rest is 4.", "18"),
    ("The answer is 18 - that is what is left.", "18"),
    ("The answer is 5, not 6.", "5"),
    ("Answer: 18 Explanation: it is half of 36.", "18"),
    ("Answer: 42. Therefore verified.", "42"),
    ("The answer is **18**, as 3 * 6 is 18.", "18"),
    ("The answer is $x = 3$, since $y = 4$ is too much.", "x = 3"),
    ("The answer is (3, pi/2), which is polar.", "(3, pi/2)"),
    ("The answer is 1, 2, and 3.", "1, 2, and 3"),
    ("The answer is x = 3, y = 4.", "x = 3, y = 4"),
    ("Final answer: Bob, because he is the fastest.", "Bob"),
    ("Final Answer: The number of people who are here since Monday is 12.", "12"),
    ("The answer is 18. The answer is correct.", "18"),
    ("The answer is 18. I hope that this answer is right.", "18"),
    # ways to declare
    ("Therefore he pays it all. Answer: $18", "$18"),
    ("He pays it all (answer: 18)", "18"),
    ("So answer is therefore 18", "18"),
    ("answer is therefore 18", "18"),
    ("The answer is, then, 18.", "18"),
    ("The final answer is thus: 18.", "18"),
    ("**Final Answer:**\n$$ \\text{ANSWER: } \\$460 $$", r"\$460"),
    ("$$ \\text{ANSWER: } \\$460 $$", r"\$460"),
    ("\\[\\textbf{Answer: } 460\\]", "460"),
    ("**Final Answer:**\n\n$$\n460\n$$", "460"),
    (r"\boxed{\text{Answer: } 42}", "42"),
    ("The best answer is (A).", "(A)"),
    ("ANSWER: 18", "18"),
    ("The most likely answer is 18.", "18"),
    ("Hence, the required answer is 18.", "18"),
    ("The answer, rounded to two decimals, is 3.14.", "3.14"),
    ("The answer in this case is 5.", "5"),
    ("The answer we get is 5.", "5"),
    ("The answer comes out to be 18.", "18"),
    ("The answer must be 18.", "18"),
    ("Final answer: x is 5", "5"),
    ("Final answer: $x$ is $5$", "5"),
    ("The\tanswer  is\r\n18\r\n", "18"),
    # GSM8K's mark is the first one with a number
    ("#### 18\nThe answer is a number of eggs.", "18"),
    ("#### 18 and then he sells the rest.", "18"),
    ("#### 18 The rest is sold.", "18"),
    ("#### 18. That is all.\n#### 18", "18"),
    ("#### 18\n\nQuestion: Tom has 1 apple.\nAnswer: He has 2.\n#### 2", "18"),
    ("#### 18\n\nTom has 1 apple and buys another.\n#### 2", "18"),
    ("#### $18.00\nDone.", "$18.00"),
    ("#### 18 apples\nDone.", "18 apples"),
    ("#### $\\frac{1}{2}$\nDone.", r"\frac{1}{2}"),
    ("#### 1. Add\n2 + 3 = 5\n#### 2. Multiply\n5 * 2 = 10\n#### 10", "10"),
    ("#### Step 1: add\n2 + 3 = 5\nThe answer is 5.", "5"),
    # the next question that a model asks itself
    ("The answer is 18.\n\nQuestion: What is 3 + 4?\nThe answer is 7.", "18"),
    ("\\boxed{18}\n\nQ: What is 1?\n\\boxed{1}", "18"),
    ("The answer is 18.\n\n### Problem 2:\nThe answer is 7.", "18"),
    ("The answer is 18.\nHuman: Thanks! The answer is 7?", "18"),
    ("Question: What is 3 + 4?\nAnswer: 7", "7"),
    ("#### Given\nQuestion: What is 3 + 4?\nThe answer is 7.", "7"),
    # one value twice, and a list with its brackets
    (r"\boxed{15\frac{39}{40}}, or \boxed{\frac{639}{40}}", r"\frac{639}{40}"),
    (r"\boxed{0.5} or \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
    (r"\boxed{50\%} or \boxed{50}", "50"),
    ("The answer is 1/2, or 0.5.", "1/2"),
    (r"\boxed{1} or \boxed{2}", "1, 2"),
    (r"\boxed{x = 5} and \boxed{y = 5}", "x = 5, y = 5"),
    (r"so $(\boxed{3, \pi/2})$", r"(3, \pi/2)"),
    (r"so $\left(\boxed{3, \frac{\pi}{2}}\right)$", r"(3, \frac{\pi}{2})"),
    (r"$(\boxed{3}, \boxed{4})$", "(3, 4)"),
    (r"$[\boxed{1, 2})$", "[1, 2)"),
    (r"$\{\boxed{1, 2}\}$", r"\{1, 2\}"),
    (r"it is small (\boxed{5})", "5"),
    ("<answer> 7 </answer>", "7"),
    # thinking aloud is no answer
    (r"<think>maybe \boxed{3}</think>It is \boxed{4}", "4"),
    ("<think>The answer is 3.</think>\nThe answer is 4.", "4"),
]
NONE = [
    "",
    "There are 12 of them.",
    "I think 5 is a nice number, and 7 too.",
    r"\boxed{5",
    r"\boxed{\frac{1}{2}",
    r"\boxed{3} and so \boxed{",
    r"\boxed{}",
    r"\boxed{3}, or rather \boxed{}",
    r"\boxed",
    r"<think>\boxed{5}",
    "<think>The answer is 5.",
    "#### Step 4: multiply\nso we get 12",
    "so 5 is the final answer\nand this is why",
    "The answer is",
    "That is my answer.",
    "The wrong answer is 18.",
    "Express the answer as a percentage: 2 / 8 * 100% = 25%",
    "####",
]


@pytest.mark.parametrize(("text", "wanted"), DECLARED)
def test_the_last_declared_answer_is_found(text, wanted):
    assert extract.answer(text) == wanted


@pytest.mark.parametrize("text", NONE)
def test_what_is_not_declared_is_no_answer(text):
    assert extract.answer(text) is None


def test_formulas_that_algebra_knows_to_be_one_value_are_one_answer():
    pytest.importorskip("math_verify", reason="the extra 'math' is not installed")
    text = r"\boxed{\frac{\sqrt 2}{2}} or \boxed{\frac{1}{\sqrt 2}}"
    assert grading("math").extract(text) == r"\frac{1}{\sqrt 2}"
    assert grading("math").extract(r"\boxed{\sqrt 2} or \boxed{\sqrt 3}") == r"\sqrt 2, \sqrt 3"


VALUES = ["18", "-3.5", "1,234", "3/4", "$18", "50%", r"$\frac{1}{2}$", "(1, 2)", "x = 5", "B"]
DECLARATIONS = [
    "The answer is {}",
    "Final answer: {}",
    "**Answer:** {}",
    "So the correct answer is: {}",
    "He pays the rest. ANSWER: {}",
    "The answer is therefore {}",
]
MARKS = [*DECLARATIONS, "#### {}", r"So it is \boxed{{{}}}"]
WORDS = [
    "it",
    "is",
    "4",
    "because",
    "3 + 4",
    "Tom",
    "has",
    "$5",
    "and",
    "12",
    "since",
    "(yes)",
    "=",
]
SENTENCES = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(
        lambda words: f"{' '.join(words).capitalize()}."
    ),
    min_size=1,
    max_size=4,
)


@given(
    value=st.sampled_from(VALUES),
    mark=st.sampled_from(MARKS),
    end=st.sampled_from([".\n", "\n", "\n\n", ".\n\n"]),
    sentences=SENTENCES,
)
def test_what_is_said_after_the_answer_does_not_change_it(value, mark, end, sentences):
    text = mark.format(value)
    assert extract.answer(text) is not None
    assert extract.answer(text + end + " ".join(sentences)) == extract.answer(text)


@given(
    value=st.sampled_from(VALUES),
    mark=st.sampled_from(DECLARATIONS),
    joint=st.sampled_from([". ", ", since ", " because ", ", which ", ", as ", "; it ", " - so "]),
    sentences=SENTENCES,
)
def test_what_is_said_in_the_same_line_does_not_change_it(value, mark, joint, sentences):
    text = mark.format(value)
    assert extract.answer(text + joint + " ".join(sentences)) == extract.answer(text)


@given(
    value=st.sampled_from(VALUES),
    mark=st.sampled_from(MARKS),
    wide=st.sampled_from(["  ", "\t", " \t ", "\u00a0", "   "]),
    before=st.sampled_from(["", "\n", " \r\n", "It is so.\n\n"]),
    after=st.sampled_from(["", " ", "\n", "\r\n", " \n\t\n"]),
)
def test_white_space_does_not_change_it(value, mark, wide, before, after):
    spaced = before + mark.replace(" ", wide).format(value) + after
    assert extract.answer(spaced) == extract.answer(mark.format(value))


def test_an_answer_has_a_length():
    assert extract.answer(r"\boxed{" + "1" * extract.LONGEST + "}") is not None
    assert extract.answer(r"\boxed{" + "1" * (extract.LONGEST + 1) + "}") is None


def test_a_long_text_is_read_in_no_time():
    text = "the answer for " * 20_000 + "(" * 20_000 + r"\boxed{ " * 2_000
    assert extract.answer(text) is None
    assert extract.answer("\n" * 20_000 + "#### Step\n" * 2_000 + "It ends.") is None


def test_tags_keep_their_lines():
    assert extract.tagged("<answer>\n1 2\n3 4\n</answer> done") == "1 2\n3 4"
    assert extract.tagged("no tag") is None
