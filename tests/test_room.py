"""How many rows a server is asked for at one time: fewer after a request that was given up."""

import asyncio

import pytest
from contract import same_every_time
from hypothesis import given
from hypothesis import strategies as st

from outthink.models.room import Room


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def asked(room, requests, inside):
    """All requests at once; `inside` is called with what is in the room at each entry."""
    taken = 0

    async def request(rows):
        nonlocal taken
        async with room.take(rows):
            taken += rows
            inside(taken)
            await settle()
            taken -= rows

    await asyncio.gather(*map(request, requests))


@same_every_time
@given(requests=st.lists(st.integers(1, 16), max_size=40), first=st.integers(1, 32))
def test_no_more_rows_are_in_the_room_than_there_is_room_for(requests, first):
    # No answer is quick for who has no patience: the room stays as it is.
    room, seen = Room(0.0, first=first, clock=Clock()), []
    asyncio.run(asked(room, requests, seen.append))
    assert len(seen) == len(requests)
    assert all(taken <= max(first, max(requests)) for taken in seen)


def test_quick_answers_make_room_for_more_where_some_wait():
    room, most = Room(60.0, first=8, clock=Clock()), []
    asyncio.run(asked(room, [4] * 50, most.append))
    assert max(most) > 32
    assert room.limit > 32


def test_quick_answers_that_nobody_waits_behind_show_nothing():
    room = Room(60.0, first=64, clock=Clock())
    asyncio.run(asked(room, [4] * 8, lambda _: None))
    assert room.limit == 64


def test_requests_given_up_together_halve_the_room_once():
    clock = Clock()
    room = Room(60.0, first=128, clock=clock)

    async def late():
        async with room.take(16):
            await settle()
            clock.now += 61.0
            raise TimeoutError

    async def run(requests):
        await asyncio.gather(*(late() for _ in range(requests)), return_exceptions=True)

    asyncio.run(run(8))
    assert room.limit == 64
    asyncio.run(run(4))  # sent after that, and late again
    assert room.limit == 32


def test_a_request_larger_than_the_room_goes_alone():
    room, seen = Room(60.0, first=4, clock=Clock()), []
    asyncio.run(asked(room, [16, 16], seen.append))
    assert seen == [16, 16]


def test_a_request_that_is_cancelled_while_it_waits_gives_its_turn_on():
    async def run():
        room, order = Room(60.0, first=1, clock=Clock()), []
        release = asyncio.Event()

        async def hold():
            async with room.take(1):
                await release.wait()

        async def want(name):
            async with room.take(1):
                order.append(name)

        first = asyncio.create_task(hold())
        await settle()
        gone, stays = (asyncio.create_task(want(name)) for name in ("gone", "stays"))
        await settle()
        gone.cancel()
        await settle()
        release.set()
        await asyncio.gather(first, stays)
        with pytest.raises(asyncio.CancelledError):
            await gone
        return order

    assert asyncio.run(run()) == ["stays"]
