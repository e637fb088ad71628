"""Answers that are JSON, and answers that call tools: which of them are equal."""

import json

import pytest

from outthink.grade import calls, grading


def call(name="add", arguments="{}", **more):
    return {"id": "x", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": [2]}', '{"b":[2.0],\n"a":1e0}'),
        ("100", "1E2"),
        ("-0", "0.000"),
        ('"\\u00e9"', '"é"'),
        ("0.1", "1e-1"),
        ("123456789012345678901234567890", "1234567890123456789012345678900e-1"),
        ("1e999999999", "10E999999998"),
    ],
)
def test_json_of_the_same_values_is_the_same_answer(one, other):
    json_ = grading("json")
    assert json_.read(one) == json_.read(other) is not None
    assert json_.grade(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "true"),
        ("[1, 2]", "[2, 1]"),
        ("0.1", "0.1000000000000000055511151231257827"),
        ('"a"', '"A"'),
        ("{}", "[]"),
        ("null", "0"),
        ("9007199254740993", "9007199254740992"),
    ],
)
def test_json_of_other_values_is_another_answer(one, other):
    assert grading("json").read(one) != grading("json").read(other)


@pytest.mark.parametrize(
    "said", ["", "{", "NaN", "Here: {}", "```json\n{}\n```", "[" * 100_000, "{'a': 1}", "1 2"]
)
def test_what_is_no_json_is_no_answer(said):
    assert grading("json").read(said) is None
    assert not grading("json").grade(said, said)


def test_json_is_its_own_canonical_form():
    told = grading("json").read('{"b": 1.50, "a": [null, "x", 1e30]}')
    assert told == '{"a":[null,"x",1E30],"b":1.5}'
    assert json.loads(told) == {"a": [None, "x", 1e30], "b": 1.5}
    assert grading("json").read(told) == told


def test_a_thought_before_json_is_none_of_it():
    assert grading("json").read("<think>{</think>\n\n[1]") == "[1]"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", [call()]),
        ("Let me see.", [call(arguments='{"a": "</tool_calls>"}'), call("b", "{")]),
        ("<tool_calls>[]</tool_calls>", []),
        ("a <tool_calls>[1]</tool_calls>", [call()]),
        ("plain", []),
    ],
)
def test_words_and_calls_are_kept_apart(words, told):
    kept = calls.parted(calls.joined(words, told))
    assert (kept.words, list(kept.calls)) == (words, told)


def read(*told, words="", name="tools"):
    return grading(name).read(calls.joined(words, told))


def test_calls_are_equal_by_name_and_values():
    one = read(call("f", '{"a": 1, "b": 2}'), call("g"))
    assert one == read(call("g", ""), call("f", '{"b":2.0,"a":1}'), words="Now:")
    assert one != read(call("f", '{"a": 1, "b": 3}'), call("g"))
    assert one != read(call("g"))
    assert read(call("f")) != read(call("f"), call("f"))


@pytest.mark.parametrize("arguments", ["{", "[]", "7", '"a"', "{'a': 1}", 3])
def test_a_call_whose_arguments_are_no_object_is_no_answer(arguments):
    assert read(call("f", arguments)) is None
    assert read(call("g"), call("f", arguments)) is None


@pytest.mark.parametrize("one", [{}, {"function": {}}, {"function": {"name": 3}}])
def test_a_call_of_nothing_is_no_answer(one):
    assert read(one) is None


def test_replies_in_words_are_one_answer_unless_their_words_count():
    assert read(words="It is 7.") == read(words="Seven.") == calls.WORDS
    assert read(words=" ") is None
    assert read(words="so \\boxed{7.0}", name="tools-number") == "7"
    assert read(call("f"), name="tools-number") == read(call("f"))
