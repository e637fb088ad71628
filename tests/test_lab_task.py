"""The lab's task: problems that are the same in every run, and their exact values."""

import numpy as np
import pytest
from contract import same_every_time
from hypothesis import given
from hypothesis import strategies as st

from outthink.data.task import (
    DIGITS,
    FACTORS,
    MAX_STEPS,
    Chain,
    Stream,
    draw,
    parse,
    problems,
    stream_of,
)
from outthink.errors import UsageError

chains = st.builds(
    Chain,
    st.integers(0, 10**DIGITS - 1),
    st.lists(st.sampled_from(FACTORS), min_size=1, max_size=MAX_STEPS).map(tuple),
)
every_stream = pytest.mark.parametrize("stream", Stream)


@given(chains)
@same_every_time
def test_a_prompt_is_read_back_as_the_chain_that_wrote_it(chain):
    assert parse(chain.prompt) == chain
    assert parse(chain.problem().prompt) == chain


@given(chains)
@same_every_time
def test_values_are_those_of_a_plain_loop(chain):
    value, lines = chain.start, []
    for factor in chain.factors:
        value = int(str(value * factor)[-DIGITS:])
        lines.append(f"*{factor}={str(value).zfill(DIGITS)}\n")
    assert chain.lines == tuple(lines)
    assert chain.problem().reference == chain.answer == lines[-1].strip()[-DIGITS:]


def test_values_of_the_example_in_the_module():
    assert parse("40713 *7 *13").lines == ("*7=84991\n", "*13=04883\n")


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "40713",
        "4071 *7",
        "407130 *7",
        "40713 *8",
        "40713 *7 ",
        " 40713 *7",
        "40713  *7",
        "40713 *7\n",
        "40713*7",
        "40713 * 7",
        "40713 *07",
        "-0713 *7",
        "40713" + " *7" * (MAX_STEPS + 1),
        "٤٠٧١٣ *7",
        "what is 6 * 7?",
    ],
)
def test_a_prompt_of_another_shape_is_refused_with_an_example_of_a_good_one(prompt):
    with pytest.raises(UsageError, match=r"such as '40713 \*7 \*13'") as caught:
        parse(prompt)
    assert repr(prompt) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_streams_share_no_problem():
    found = {stream: {p.id for p in problems(stream, 3000, 0)} for stream in Stream}
    assert not set.intersection(*found.values())
    assert sum(map(len, found.values())) == len(set.union(*found.values())) == 9000


@every_stream
def test_every_drawn_chain_belongs_to_its_stream_and_has_one_step_to_the_most(stream):
    drawn = list(draw(stream, 500, np.random.default_rng(1)))
    assert len(drawn) == 500
    assert {stream_of(chain) for chain in drawn} == {stream}
    assert {len(chain.factors) for chain in drawn} == set(range(1, MAX_STEPS + 1))


@every_stream
def test_a_shorter_list_is_the_beginning_of_a_longer_one(stream):
    longer = problems(stream, 700, 5)
    for count in (0, 1, 255, 256, 257, 699):
        assert problems(stream, count, 5) == longer[:count]


@every_stream
def test_no_problem_comes_twice_and_other_seeds_give_others(stream):
    first, other = problems(stream, 2000, 0), problems(stream, 2000, 1)
    assert len({problem.id for problem in first}) == 2000
    assert len({p.id for p in first} & {p.id for p in other}) < 20


def test_problems_are_the_same_in_every_run_and_release():
    # Stores, policies and published numbers stand on these.
    assert [p.prompt for p in problems(Stream.TEST, 2, 0)] == TEST_0
    assert [p.prompt for p in problems(Stream.CALIBRATION, 2, 0)] == CALIBRATION_0
    assert [p.prompt for p in problems(Stream.TRAIN, 2, 0)] == TRAIN_0


def test_a_problem_belongs_to_a_stream_whatever_seed_drew_it():
    assert {stream_of(parse(p.prompt)) for p in problems(Stream.TEST, 200, 77)} == {Stream.TEST}


TEST_0 = ["57474 *19", "54594 *9 *3 *17"]
CALIBRATION_0 = ["70703 *13 *17 *21 *3", "15133 *21 *11 *19 *19 *3"]
TRAIN_0 = ["70919 *3 *17 *9 *19 *19 *3", "72588 *9 *13 *7 *11"]
