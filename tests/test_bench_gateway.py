"""The bench of the gateway, small: its figures are of what was sent, and a crowd loses nothing."""

import json

import pytest

from outthink.bench.gateway import Load, crowd
from outthink.bench.stand_in import answer, takes_s
from outthink.cli import main


def test_the_stand_in_takes_its_time_by_the_seed_of_a_request():
    times = [takes_s(seed, 2.0) for seed in range(1000)]
    assert times == [takes_s(seed, 2.0) for seed in range(1000)]
    assert (min(times) >= 1.0, max(times) <= 3.0) == (True, True)
    assert sum(times) / 1000 == pytest.approx(2.0, abs=0.01)


def test_the_stand_in_answers_with_the_seed_and_the_tokens_that_it_was_asked_for():
    told = answer({"seed": 7, "max_tokens": 5, "n": 2})
    assert [one["message"]["content"][:2] for one in told["choices"]] == ["7 ", "7 "]
    assert told["usage"]["completion_tokens"] == 10
    assert answer({"seed": None, "n": "many"})["choices"][0]["message"]["content"][:2] == "0 "


def test_pairs_compare_every_request_with_itself(capsys):
    words = [
        *("--seconds", "0.01"),
        *("--concurrency", "4"),
        *("--requests", "40"),
        "--rounds",
        "2",
    ]
    assert main(["bench", "gateway", *words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["pairs"]) == 2
    for pair in told["pairs"]:
        speeds = pair["gateway_requests_per_second"], pair["direct_requests_per_second"]
        assert pair["throughput_ratio"] == pytest.approx(speeds[0] / speeds[1])
        assert pair["added_p50_ms"] <= pair["added_p99_ms"]
    ratios = sorted(pair["throughput_ratio"] for pair in told["pairs"])
    assert [told["throughput_ratio"][name] for name in ("low", "high")] == ratios


def test_every_request_of_a_crowd_is_answered_or_told_to_come_again():
    told = crowd(Load(seconds=0.1, concurrency=160), 2.0)
    assert (told["server_errors"], told["lost"]) == (0, 0)
    assert set(told["statuses"]) <= {"200", "429"}
    assert min(told["tokens_by_key"].values()) > 0
