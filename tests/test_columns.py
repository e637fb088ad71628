"""Columns of a store: what was packed comes back."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outthink.errors import RunError
from outthink.run.journal import draw_keys
from outthink.run.store import codec, columns
from outthink.types import Draw, Problem, Solution

NUMBERS = st.integers(-(2**62), 2**62 - 1)
NARROW = st.floats(0, 1, width=32)


@given(st.one_of(st.lists(NUMBERS), st.lists(st.integers(0, 300)), st.lists(st.integers(-2, 2))))
def test_whole_numbers_come_back(values):
    packed = columns.pack(values)
    column, end = columns.unpack(packed, 0, len(values))
    assert column.tolist() == values and end == len(packed)


@given(NUMBERS, NUMBERS, st.integers(3, 3000))
def test_columns_of_one_shape_take_a_few_bytes(first, rest, count):
    shapes = [[first] * count, [first, *[rest] * (count - 1)]]
    shapes.append(list(range(first, min(first + count, 2**62))))
    for values in shapes:
        packed = columns.pack(values)
        assert len(packed) <= 21
        assert columns.unpack(packed, 0, len(values))[0].tolist() == values


@given(st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=1))
def test_columns_stand_behind_one_another(rows):
    whole = list(zip(*rows, strict=True))
    unpacked = columns.unpack_all(columns.pack_all(whole), [len(rows)] * 2)
    assert [tuple(column.tolist()) for column in unpacked] == whole


@given(st.lists(st.lists(st.integers(0, 2**32 - 1)), min_size=1))
def test_lists_of_ids_come_back(lists):
    assert codec.unpack_lists(codec.pack_lists(lists), len(lists)) == [tuple(x) for x in lists]


def test_ids_out_of_range_are_refused():
    with pytest.raises(RunError, match="outside 0 to"):
        codec.pack_lists([(1,), (2**32,)])


@given(st.lists(st.one_of(st.none(), st.text(), st.just("\ud800")), min_size=1))
def test_answers_come_back_each_text_once(answers):
    chosen, texts = codec.unpack_answers(codec.pack_answers(answers), len(answers))
    assert [texts[place] for place in chosen.tolist()] == answers
    assert len(set(texts)) == len(texts)


@given(st.lists(st.lists(st.one_of(st.none(), NARROW, st.floats(0, 1))).map(tuple), min_size=1))
def test_scores_come_back_exactly_and_the_last_alone(rows):
    packed = codec.pack_scores(rows)
    assert codec.unpack_scores(packed, len(rows)) == rows
    assert codec.last_scores(packed, len(rows)) == [row[-1] if row else None for row in rows]


def test_scores_that_float32_holds_take_four_bytes():
    exact = struct.unpack("3f", struct.pack("3f", 0.1, 0.2, 0.3))
    assert len(codec.pack_scores([exact] * 100)) < len(codec.pack_scores([(0.1, 0.2, 0.3)] * 100))


def test_a_score_that_is_not_a_number_is_refused():
    with pytest.raises(RunError, match="NaN"):
        codec.pack_scores([(0.5, math.nan)])


@given(st.sets(st.integers(0, 5000), min_size=1), st.integers(0, 2**63 - 1))
def test_keys_of_one_request_come_back_in_few_bytes(rows, mixed):
    start = Solution.start(Problem("p", "?"))
    keys = draw_keys("", 0, sorted(rows), [Draw(start, None, 1.0, 0)] * len(rows))
    packed = codec.pack_keys(keys)
    assert codec.unpack_keys(packed, len(keys)) == keys
    assert len(packed) <= 27 + 2 * len(keys)
    others = [key ^ mixed for key in keys]
    packed = codec.pack_keys(others, [mixed])
    assert codec.unpack_keys(packed, len(keys)) == others
    assert len(packed) <= 27 + 2 * len(keys)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1))
def test_any_keys_come_back(keys):
    assert codec.unpack_keys(codec.pack_keys(keys), len(keys)) == keys
