"""What is had of several servers, of which one is slow and one is killed."""

import json

import pytest

from outthink.bench.replica import BLOCK, Prefixes
from outthink.cli import main
from outthink.models.fleet import _Server

SMALL = ["--slots", "4", "--seconds", "0.02", "--problems", "8", "--rounds", "2", "--width", "2"]


def test_the_bench_answers_every_request_though_a_server_is_killed(capsys):
    assert main(["bench", "fleet", *SMALL, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["requests"] == 8 * 2 * 2
    assert 0 < told["killed_after_s"] < told["elapsed_s"]
    assert 0 < told["throughput_share"] <= 1
    assert 0.5 < told["affinity"] <= 1


def test_a_prefix_is_known_in_whole_blocks():
    prefixes = Prefixes()
    assert prefixes.read([1] * (2 * BLOCK)) == 0
    assert prefixes.read([1] * (3 * BLOCK - 1)) == 2 * BLOCK
    assert prefixes.read([1] * BLOCK + [2] * BLOCK) == BLOCK


def server(pace_s, rows=0, quickest_s=0.0):
    return _Server(None, rows, pace_s, quickest_s)


@pytest.mark.parametrize(
    ("one", "expected_s"),
    [
        (server(0.5, rows=7), 4.0),
        (server(0.5, quickest_s=2.0), 2.0),  # no sooner than it ever was
        (server(None, rows=3), 0.4),  # at the usual pace
    ],
)
def test_the_wait_at_a_server_follows_from_what_is_in_flight(one, expected_s):
    assert one.wait_s(1, usual_s=0.1) == pytest.approx(expected_s)


def test_a_server_that_rested_is_tried_with_one_request():
    one = server(0.5)
    one.rest(10.0)
    assert not one.is_awake(10.5)
    assert one.is_awake(11.0)
    one.rows = 1
    assert not one.is_awake(11.0)
    one.answered(0.5, rows=1)
    assert one.is_awake(11.0)


def test_rests_grow_while_a_server_fails_and_requests_that_fail_together_are_one_failure():
    one, now, rests = server(0.5), 0.0, []
    for _ in range(8):
        one.rest(now)
        one.rest(now)
        rests.append(one.until_s - now)
        now = one.until_s
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60]
