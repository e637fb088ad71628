"""The lab's tokenizer: text and ids say the same, and every position knows its step."""

import numpy as np
import pytest
from contract import same_every_time
from hypothesis import given
from lab_fixtures import exact, problem_of, solution_of, some_problems
from test_lab_task import chains

from outthink.data import task
from outthink.errors import UsageError
from outthink.lab import tokenizer
from outthink.lab.tokenizer import (
    CONTEXT,
    END,
    EQUALS,
    LINE,
    MAX_TOKENS,
    PAD,
    PROMPT_LENGTH,
    STEP_LENGTH,
    VOCABULARY,
    answer,
    decode,
    encode_chains,
    encode_prompt,
    layout,
    place,
)


@given(chains)
@same_every_time
def test_a_prompt_decodes_to_its_factors_and_its_start(chain):
    ids = encode_prompt(chain.prompt)
    factors = "".join(f"*{factor}" for factor in chain.factors)
    assert len(ids) == PROMPT_LENGTH
    assert decode(ids) == f"{factors}={chain.start:05d}\n"


@given(chains)
@same_every_time
def test_an_exact_solution_decodes_to_its_lines(chain):
    solution = exact(chain.problem())
    assert decode(solution.tokens) == "".join(chain.lines)
    assert solution.answer == chain.answer
    assert len(solution.tokens) <= MAX_TOKENS
    texts = [
        decode(solution.tokens[start:end])
        for start, end in zip((0, *solution.step_ends), solution.step_ends, strict=False)
    ]
    assert tuple(texts) == chain.lines


def test_encode_chains_is_prompt_then_exact_solution_then_padding():
    chains = task.draw(task.Stream.TRAIN, 300, np.random.default_rng(0))
    rows = encode_chains(chains)
    assert rows.shape == (300, CONTEXT)
    for row, chain in zip(rows.tolist(), chains, strict=True):
        whole = [*encode_prompt(chain.prompt), *exact(chain.problem()).tokens]
        assert row == whole + [PAD] * (CONTEXT - len(whole))


def test_every_id_below_the_end_mark_has_one_text():
    texts = [decode([token]) for token in range(VOCABULARY)]
    assert len({text for text in texts if text}) == END
    assert texts[END] == texts[PAD] == ""


def test_a_prompt_that_is_none_is_refused():
    with pytest.raises(UsageError):
        encode_prompt("40713 *8")


STEP = (11, EQUALS, 0, 4, 8, 8, 3, LINE)


@pytest.mark.parametrize(
    "tokens, expected",
    [
        ((*STEP, END), "04883"),
        ((*STEP, *STEP[:2], 9, 9, 9, 9, 9, LINE, END), "99999"),
        ((), None),
        ((END,), None),
        (STEP, None),  # not ended
        (STEP[:-1], None),
        ((*STEP[:-1], END), None),  # the line is not ended
        ((*STEP, LINE, END), None),
        ((*STEP, 11, END), None),
        ((11, 0, 4, 8, 8, 3, LINE, END), None),  # no equals sign
        ((11, EQUALS, EQUALS, 4, 8, 8, 3, LINE, END), None),
        ((11, EQUALS, 4, 8, 8, 3, LINE, END), None),  # four digits
        ((11, EQUALS, 1, 0, 4, 8, 8, 3, LINE, END), None),  # six
        ((11, EQUALS, 0, 4, 8, 8, PAD, LINE, END), None),
        ((EQUALS, 0, 4, 8, 8, 3, LINE, END), "04883"),
        ((0, 4, 8, 8, 3, LINE, END), None),
        ((*STEP, END, PAD), None),
    ],
)
def test_answer_is_the_number_on_the_last_line_of_a_solution_that_has_one(tokens, expected):
    assert answer(tokens) == expected


def test_an_answer_is_five_digits_and_nothing_else():
    for problem in some_problems(50):
        assert answer(exact(problem).tokens) == problem.reference
        assert answer(exact(problem, end=False).tokens) is None


def test_layout_gives_an_operation_the_step_of_the_line_that_uses_it():
    steps, offsets = layout()
    assert len(steps) == len(offsets) == CONTEXT
    for step in range(task.MAX_STEPS):
        line = PROMPT_LENGTH + step * STEP_LENGTH
        in_prompt, before, factor = step, line - 1, line
        assert steps[in_prompt] == steps[before] == steps[factor] == step + 1
        assert set(steps[line : line + STEP_LENGTH - 1]) == {step + 1}
        assert offsets[line : line + STEP_LENGTH] == tuple(range(STEP_LENGTH))
    assert set(offsets[: task.MAX_STEPS]).isdisjoint(offsets[task.MAX_STEPS :])


def test_layout_puts_the_start_value_where_a_result_would_stand():
    _, offsets = layout()
    ids = encode_prompt("40713 *7 *13")
    line = solution_of(problem_of("40713 *7"), ["*7=84991"]).tokens
    start = PROMPT_LENGTH - STEP_LENGTH + 1  # the line before the first step, without its factor
    assert offsets[start:PROMPT_LENGTH] == tuple(range(1, STEP_LENGTH))
    assert ids[start] == line[1] == tokenizer.EQUALS
    assert ids[PROMPT_LENGTH - 1] == line[STEP_LENGTH - 1] == tokenizer.LINE


# Places ------------------------------------------------------------------------------------------


def parts(prompt, history, tokens):
    """Slow: what every token is told, one after the other."""
    steps, offsets = layout()
    told = []
    for age, solution in [*zip(range(len(history), 0, -1), history, strict=True), (0, tokens)]:
        whole = (*prompt, *solution)
        for at, token in enumerate(whole):
            before = whole[at - STEP_LENGTH + 1] if at >= STEP_LENGTH - 1 else VOCABULARY
            if age == 0 or at >= PROMPT_LENGTH:
                told.append((token, before, steps[at], offsets[at], age))
    return np.array(told).T


def test_earlier_solutions_stand_before_the_prompt_each_as_if_it_followed_it():
    solutions = [exact(problem).tokens for problem in some_problems(4)]
    prompt = encode_prompt(some_problems(5)[-1].prompt)
    for history in ((), solutions[:1], solutions[:4]):
        assert (place(prompt, history, solutions[0]) == parts(prompt, history, solutions[0])).all()


def test_the_latest_of_the_earlier_solutions_is_of_age_one():
    prompt = encode_prompt("40713 *7")
    line = solution_of(problem_of("40713 *7"), ["*7=84991"]).tokens
    ages = place(prompt, [line, (*line[:-1],), line[:3]], line)[4].tolist()
    assert ages == [3] * len(line) + [2] * (len(line) - 1) + [1] * 3 + [0] * (
        PROMPT_LENGTH + len(line)
    )


def test_without_a_solution_there_is_no_prompt_either():
    prompt, line = encode_prompt("40713 *7"), exact(problem_of("40713 *7")).tokens
    led, whole = place(prompt, [line, line], None), place(prompt, [line, line], ())
    assert led.shape == (5, 2 * len(line))
    assert (whole[:, : led.shape[1]] == led).all() and whole.shape[1] == led.shape[
        1
    ] + PROMPT_LENGTH
