"""Who is next: shares of keys, and what is said where too many wait."""

import asyncio

import pytest

from outthink.gateway.line import Line
from outthink.gateway.refused import Refused


def served(line, requests):
    """The order in which requests (key, tokens) are served, all made at once."""
    order = []

    async def one(key, tokens):
        async with line.turn(key) as turn:
            order.append(key)
            await asyncio.sleep(0)
            turn.tokens = tokens

    async def go():
        await asyncio.gather(*(one(*request) for request in requests))

    asyncio.run(go())
    return order


def test_two_keys_take_turns_however_many_requests_one_of_them_makes():
    order = served(Line(1, 100), [("many", 10)] * 40 + [("few", 10)] * 10)
    assert order.index("few") <= 2
    assert 8 <= order[:20].count("few") <= 10


def test_shares_are_of_tokens_and_not_of_requests():
    order = served(Line(1, 200), [("dear", 40)] * 60 + [("cheap", 10)] * 60)
    first = order[:40]
    spent = {"dear": 40 * first.count("dear"), "cheap": 10 * first.count("cheap")}
    assert 0.8 < spent["dear"] / spent["cheap"] < 1.25


def test_a_key_that_asked_for_nothing_saved_nothing_up():
    line = Line(1, 200)
    served(line, [("old", 1000)] * 5)
    order = served(line, [("old", 10)] * 20 + [("new", 10)] * 20)
    assert 8 <= order[:20].count("old") <= 12


def test_as_many_are_served_at_once_as_there_is_room_for():
    line, most = Line(3, 100), 0

    async def one():
        nonlocal most
        async with line.turn("a"):
            most = max(most, line.running)
            await asyncio.sleep(0)

    async def go():
        await asyncio.gather(*(one() for _ in range(20)))

    asyncio.run(go())
    assert (most, line.running, line.length) == (3, 0, 0)


def test_where_the_line_is_full_a_key_is_told_when_to_come_again_and_others_keep_their_share():
    async def go():
        line = Line(1, 4)
        waiting = [asyncio.create_task(hold(line, "many")) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as caught:
            await hold(line, "many")
        assert caught.value.status == 429 and caught.value.retry_after_s >= 1
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return line

    line = asyncio.run(go())
    assert (line.running, line.length) == (0, 0)


async def hold(line, key):
    async with line.turn(key):
        await asyncio.Event().wait()


def test_one_that_is_cancelled_as_its_turn_comes_gives_it_on():
    async def go():
        line = Line(1, 10)
        first = asyncio.create_task(hold(line, "a"))
        await asyncio.sleep(0)
        second = asyncio.create_task(hold(line, "b"))
        third = asyncio.create_task(hold(line, "c"))
        await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        await asyncio.sleep(0)
        assert (line.running, line.length) == (1, 0)
        third.cancel()
        await asyncio.gather(third, return_exceptions=True)
        return line.running

    assert asyncio.run(go()) == 0
