"""What a sweep will take is said before it is spent, and very much of it has to be meant."""

import json
import shutil
import sqlite3
from collections import namedtuple
from dataclasses import replace

import pytest
from fake_server import FakeServer
from hypothesis import given
from hypothesis import strategies as st

from outthink.cli import main
from outthink.run.store import Store
from outthink.study import ahead, models
from outthink.study.ahead import Pace
from outthink.study.forecast import DAY_S, Drawn, Forecast, Prices
from outthink.types import Usage

LAB = ["sweep", "lab:test?size=6&seed=3", "-o", "a.store", "--strategies", "majority,beam"]
LAB += ["--budgets", "1,4", "--pool", "8", "--oracle-samples", "5", "--difficulty-samples", "2"]
GENERATIONS = 6 * (5 + 2 + 8 + 4)  # a beam of one is a sample of the pool
HUGE = ["--budgets", "1,2,99999999"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dry(capsys, *words):
    capsys.readouterr()
    assert main([*words, "--dry-run", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *words):
    capsys.readouterr()
    assert main([*words]) == 2
    out, err = capsys.readouterr()
    assert not out
    return err


# Before anything is spent ------------------------------------------------------------------------


def test_a_dry_run_counts_and_spends_nothing(here, capsys, monkeypatch):
    monkeypatch.setattr(models.Models, "team", lambda *_: pytest.fail("a model was loaded"))
    told = dry(capsys, *LAB)
    assert (told["generations"], told["generations_left"]) == (GENERATIONS, GENERATIONS)
    assert (told["problems"], told["searches"], told["searches_left"]) == (6, 24, 24)
    for unknown in ("written_tokens", "read_tokens", "seconds", "money", "bytes"):
        assert told[unknown] is None
    assert not list(here.iterdir())
    assert main([*LAB, "--dry-run"]) == 0
    out, _ = capsys.readouterr()
    assert f"6 problems, 24 searches, {GENERATIONS} generations: {GENERATIONS} to draw" in out
    assert "known after the first answers" in out


def test_a_dry_run_counts_what_is_then_drawn(capsys):
    told = dry(capsys, *LAB)
    assert main(LAB) == 0
    with Store.open("a.store", write=False) as store:
        spent = [
            o.usage
            for stream in ("", "difficulty", "votes")
            for o in store.view().outcomes(stream=stream)
        ]
    assert sum(usage.generations for usage in spent) == told["generations"]
    done = dry(capsys, *LAB)
    assert (done["generations_left"], done["searches_left"]) == (0, 0)
    assert done["written_tokens"] == done["read_tokens"] == done["bytes"] == 0


def test_what_the_store_holds_tells_of_what_is_left(capsys):
    assert main(LAB) == 0
    with Store.open("a.store", write=False) as store:
        whole = sum(
            (
                o.usage
                for stream in ("", "difficulty")
                for o in store.view().outcomes(stream=stream)
            ),
            Usage(),
        )
        pace = float(store.get_meta("generations a second"))
    with sqlite3.connect("a.store") as database:
        database.execute("DELETE FROM search WHERE strategy = 'beam'")
    database.close()
    told = dry(capsys, *LAB, "--price-in", "3", "--price-out", "10")
    assert told["generations_left"] == 6 * 4
    # Of the same strategies the lengths would be the same; of these they are near.
    assert told["written_tokens"] == pytest.approx(whole.decoded_tokens * 24 / GENERATIONS, rel=0.5)
    assert told["money"] == pytest.approx(
        (3 * told["read_tokens"] + 10 * told["written_tokens"]) / 1e6
    )
    assert told["seconds"] == pytest.approx(24 / pace)
    assert main([*LAB, "--dry-run", "--price-out", "10"]) == 0
    out, _ = capsys.readouterr()
    assert "money: about 0.0" in out and "as those so far" in out


def test_a_dry_run_counts_what_the_store_of_another_sweep_lacks(capsys):
    assert main(LAB) == 0
    assert dry(capsys, *LAB, "--budgets", "1,2")["generations_left"] == 6 * 2
    assert dry(capsys, *LAB, "--pool", "9")["searches_left"] > 0
    other = dry(capsys, *LAB, "--seed", "4")  # another seed is other draws
    assert other["generations_left"] == other["generations"] == GENERATIONS


def test_a_dry_run_refuses_what_is_no_store(capsys):
    assert "no outthink store" in refused(capsys, *LAB, "-o", __file__, "--dry-run")


def test_what_cannot_be_meant_is_refused_by_a_dry_run_too(here, capsys):
    assert "needs a verifier" in refused(capsys, *LAB, "--verifier", "none", "--dry-run")
    assert "cannot read problems" in refused(capsys, "sweep", "missing.jsonl", "--dry-run")


def test_of_a_served_model_the_most_is_known_and_nobody_is_asked(here, capsys):
    (here / "p.jsonl").write_text('{"question": "1 + 1", "answer": "2"}\n')
    with FakeServer("vllm") as server:
        words = ["sweep", "p.jsonl", "--model", server.url, "--strategies", "best_of_n"]
        words += ["--budgets", "1,4", "--most-tokens", "100", "--price-out", "5"]
        told = dry(capsys, *words)
        assert not server.requests
        assert told["generations"] == 8 + 4
        assert told["most_written_tokens"] == 1200
        assert told["most_money_written"] == pytest.approx(5 * 1200 / 1e6)
        assert main(words) == 0
        assert "at most 1.2k written (100 a solution)" in capsys.readouterr().err
    for price in ("-1", "x", "nan"):
        assert "price" in refused(capsys, *words, "--price-in", price)


# Very much has to be meant -----------------------------------------------------------------------


def test_more_than_a_day_or_than_the_disk_holds_wants_to_be_meant(here, capsys, monkeypatch):
    monkeypatch.setattr("outthink.study.sweep.swept", lambda *_, **__: pytest.fail("it was begun"))
    said = refused(capsys, "sweep", "lab:test?size=600", *LAB[2:], *HUGE, "--pool", "99999999")
    assert "120,000,004,200 generations" in said and "take at least 69.4 days" in said
    assert "of disk, of which" in said and "are free: give --yes if that is meant" in said
    assert not list(here.iterdir())
    served = ["sweep", "p.jsonl", "--model", "http://localhost:1", "--strategies", "majority"]
    (here / "p.jsonl").write_text('{"question": "1 + 1", "answer": "2"}\n')
    assert "take at least 1." in refused(capsys, *served, *HUGE)
    assert "take at least 1." in " ".join(dry(capsys, *served, *HUGE)["objections"])


def test_a_search_that_memory_cannot_hold_wants_to_be_meant(capsys, monkeypatch):
    monkeypatch.setattr(ahead, "_memory", lambda: 10**6)
    said = refused(capsys, *LAB, "--budgets", "1,4000")
    assert "4,000 in one search take at least 1.2 MB of memory, of which there is 1 MB" in said
    monkeypatch.setattr(ahead, "_memory", lambda: None)
    assert dry(capsys, *LAB, "--budgets", "1,4000")["objections"] == []


def test_a_full_disk_is_seen_before_it_is_full(capsys, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 90, 10))
    assert "of which 10 B are free" in refused(capsys, *LAB)
    assert main([*LAB, "--yes"]) == 0
    assert main(LAB) == 0  # nothing is left to draw


class Clock:
    now = 0.0

    def __call__(self):
        return Clock.now


FORECAST = Forecast(10, 100, 1_000_000, 100, 1_000_000, 2048, 10**12)


@pytest.fixture
def considered():
    Clock.now = 0.0
    told = []
    pace = Pace(FORECAST, told.append, Clock())
    pace.begin()
    assert told.pop() is FORECAST  # before anything is drawn
    return pace, told


def test_the_first_answers_tell_the_time_once(considered):
    pace, told = considered
    Clock.now = Pace.LOOK_S / 2
    pace(100, Usage(100, 50, 50, 1000))
    assert not told
    Clock.now = Pace.LOOK_S * 2
    pace(200, Usage(100, 50, 50, 3000))
    Clock.now = Pace.LOOK_S * 3
    pace(300, Usage(100, 50, 50, 3000))
    [forecast] = told
    assert forecast.generations_left == 1_000_000 - 200
    assert forecast.drawn == Drawn(200, 200, 4000, 0, 200 / (2 * Pace.LOOK_S))
    assert forecast.seconds == pytest.approx((1_000_000 - 200) / 5)
    assert forecast.objections()[0].startswith("take about 2.3 days")
    assert pace.measured == 300 / (3 * Pace.LOOK_S)


def test_a_store_in_which_no_search_had_ended_tells_nothing_of_its_size():
    Clock.now, told = 0.0, []
    pace = Pace(replace(FORECAST, drawn=Drawn(bytes=4096)), told.append, Clock())
    pace.begin()
    Clock.now = Pace.LOOK_S
    pace(200, Usage(100, 50, 50, 3000))
    assert told[-1].drawn.bytes == 0


def test_a_sweep_that_turns_out_to_take_days_stops_and_keeps_what_it_drew(capsys, monkeypatch):
    monkeypatch.setattr(Pace, "LOOK_S", 0.0)
    monkeypatch.setattr("outthink.study.forecast.DAY_S", 1e-6)
    monkeypatch.setattr(Forecast, "least_seconds", 0.0)
    said = refused(capsys, *LAB)
    assert "take about" in said and "give --yes if that is meant" in said
    kept = dry(capsys, *LAB)
    assert 0 < kept["searches_left"] < kept["searches"]
    assert main([*LAB, "--yes", "--json"]) == 0
    assert dry(capsys, *LAB)["searches_left"] == 0


numbers = st.integers(0, 10**12)


@given(
    left=numbers,
    drawn=st.builds(
        Drawn, st.integers(0, 10**6), numbers, numbers, numbers, st.none() | st.floats(1e-3, 1e6)
    ),
    prices=st.builds(Prices, st.none() | st.floats(0, 1e3), st.none() | st.floats(0, 1e3)),
    most=st.none() | st.integers(1, 10**5),
)
def test_whatever_is_left_is_told_and_more_of_it_takes_no_less(left, drawn, prices, most):
    forecast = Forecast(1, 1, left, 1, left, most, 10**10, prices=prices, drawn=drawn)
    more = replace(forecast, generations_left=left + 1)
    for name in ("written_tokens", "read_tokens", "seconds", "least_seconds", "bytes", "money"):
        value, larger = getattr(forecast, name), getattr(more, name)
        assert (value is None) == (larger is None)
        assert value is None or 0 <= value <= larger
    assert all(sentence and "\n" not in sentence for sentence in forecast.sentences())
    too_long = (forecast.seconds or forecast.least_seconds) > DAY_S
    assert any("days" in said for said in forecast.objections()) == too_long


def test_after_is_what_is_left():
    assert FORECAST.after(10, Drawn()).generations_left == 999_990
    assert FORECAST.after(10**7, Drawn()).generations_left == 0
