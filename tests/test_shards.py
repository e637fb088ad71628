"""A sweep in shards: split, kept, gone on with, and made one store; and the same on Ray."""

import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_merge import PLAN, held, page

from outthink.cli import main
from outthink.errors import RunError, ServerError, StoreError, StoreInUse, UsageError
from outthink.run.store import Store
from outthink.study.ahead import ahead
from outthink.study.forecast import Prices
from outthink.study.plan import Plan
from outthink.study.shards import (
    ShardDone,
    ShardProgress,
    beside,
    gather,
    shard_stores,
    swept_in_shards,
)
from outthink.study.sweep import Sweep, swept
from outthink.study.worker import PATIENCE_S, Worker, WorkerSettings

PROBLEMS = "lab:test?size=12"
SMALL = Plan(("majority", "best_of_n"), (1, 4), 4, oracle_samples=4, predicted_samples=0)
ASKED = Sweep(PROBLEMS, SMALL)


def home(**changed):
    return WorkerSettings(**{"folder": os.getcwd(), "cores": 1, "variables": {}, **changed})


class Here:
    """Workers that are this process, one after the other; `ends` is called before each shard."""

    def __init__(self, count=2, ends=lambda task: None):
        self.count, self._ends = count, ends
        self.given = []

    def run(self, tasks):
        worker = Worker(home())
        for task in tasks:
            self._ends(task)
            self.given.append(task.number)
            yield worker.run(task)

    @contextmanager
    def started(self):
        yield self


class Killed(Exception):
    pass


def dies_before(number):
    def ends(task):
        if task.number == number:
            raise Killed

    return ends


def drawn(store):
    return held(store).draws


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The sweep on one machine."""
    store = tmp_path_factory.mktemp("whole") / "whole.store"
    with swept(ASKED, store):
        return store


def in_shards(store, workers, **options):
    with swept_in_shards(ASKED, store, workers.started, **options) as opened:
        return opened.missing


def test_sweep_in_shards_gives_the_page_of_one_sweep(whole, tmp_path, capsys):
    out, workers = tmp_path / "all.store", Here()
    assert in_shards(out, workers, shards=5) is None
    assert workers.given == [1, 2, 3, 4, 5]
    assert held(out) == held(whole)
    assert page(out, tmp_path / "a") == page(whole, tmp_path / "b")
    assert not beside(out).exists()


@pytest.mark.parametrize("number", [1, 2, 4])
def test_what_was_finished_is_not_run_again(whole, tmp_path, number):
    out, again = tmp_path / "all.store", Here(count=7)
    with pytest.raises(Killed):
        in_shards(out, Here(ends=dies_before(number)), shards=4)
    assert len(shard_stores(out)) == number - 1
    in_shards(out, again, shards=9)  # they stay four
    assert again.given == list(range(number, 5))
    assert held(out) == held(whole)


def test_killed_between_the_shards_and_the_whole_nothing_is_run_again(whole, tmp_path, monkeypatch):
    out, again = tmp_path / "all.store", Here()
    with monkeypatch.context() as patched:
        patched.setattr("outthink.study.shards.rows", lambda into, shard: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            in_shards(out, Here(), shards=3)
    in_shards(out, again)
    assert again.given == []
    assert held(out) == held(whole)


def test_what_the_store_held_is_not_drawn_again(whole, tmp_path, monkeypatch):
    out = tmp_path / "all.store"
    with swept(Sweep("lab:test?size=6", SMALL), out):
        before = drawn(out)
    asked = []
    monkeypatch.setattr(
        "outthink.study.worker._Tally.advance", lambda _, n, note="": asked.append(n)
    )
    in_shards(out, Here(), shards=3)
    assert 0 < before < drawn(out) == drawn(whole)
    assert sum(asked) == 6 * (4 + 4)  # pool and oracle samples of the six others


def test_a_finished_sweep_hires_nobody(whole, tmp_path):
    out = tmp_path / "all.store"
    out.write_bytes(whole.read_bytes())
    with swept_in_shards(ASKED, out, lambda: 1 / 0) as opened:
        assert opened.missing is None


def test_shards_of_other_problems_are_merged_before_a_new_split(tmp_path):
    out = tmp_path / "all.store"
    with pytest.raises(Killed):
        in_shards(out, Here(ends=dies_before(3)), shards=4)
    kept = sum(map(drawn, shard_stores(out)))
    fewer = Sweep("lab:test?size=6", SMALL)
    with swept_in_shards(fewer, out, Here().started, shards=2) as opened:
        assert opened.missing is None
    assert drawn(out) == kept  # those of the six, which were there


def test_plain_sweep_takes_over_what_workers_left(tmp_path, capsys):
    out = tmp_path / "all.store"
    with pytest.raises(Killed):
        in_shards(out, Here(ends=dies_before(4)), shards=4)
    kept = sum(map(drawn, shard_stores(out)))
    gather(out)
    assert drawn(out) == kept
    assert not beside(out).exists()


def test_a_forecast_counts_what_shards_hold(tmp_path):
    out = tmp_path / "all.store"
    with pytest.raises(Killed):
        in_shards(out, Here(ends=dies_before(4)), shards=4)
    forecast = ahead(ASKED, out, Prices())
    assert (forecast.generations, forecast.generations_left) == (12 * 8, 3 * 8)


def test_one_line_adds_up_the_shards(tmp_path):
    told = []

    class Watch:
        measured = 7.0

        def begin(self):
            told.append("begin")

        def __call__(self, generations, usage):
            told.append(generations)

    in_shards(tmp_path / "a.store", Here(), pace=Watch(), shards=3)
    assert told == ["begin", 32.0, 64.0, 96.0]
    with Store.open(tmp_path / "a.store", write=False) as opened:
        assert opened.get_meta("generations a second") == "7"


class Failing(Here):
    """Of whom some shards end with an error."""

    def __init__(self, errors):
        super().__init__()
        self._errors = errors

    def run(self, tasks):
        for ended in super().run(tasks):
            yield ShardDone(ended.news, self._errors.pop(0))


def test_shards_whose_searches_failed_hold_up_no_other(tmp_path):
    out = tmp_path / "all.store"
    workers = Failing([RunError("3 of 8 searches failed"), None, None])
    with pytest.raises(RunError, match="in 1 of 3 shards 3 of 8 searches failed"):
        in_shards(out, workers, shards=3)
    assert workers.given == [1, 2, 3]
    assert out.exists() and beside(out).exists()


def test_what_would_fail_every_shard_ends_the_sweep(tmp_path):
    workers = Failing([UsageError("no such model"), None, None])
    with pytest.raises(UsageError, match="no such model"):
        in_shards(tmp_path / "all.store", workers, shards=3)
    assert workers.given == [1]


def test_two_sweeps_of_one_store_do_not_share_shards(tmp_path):
    out = tmp_path / "all.store"

    def second(task):
        with pytest.raises(StoreInUse, match="being written"):
            in_shards(out, Here())

    in_shards(out, Here(ends=second), shards=2)


# A worker ----------------------------------------------------------------------------------------


def tasks(store, count=2):
    given = []

    class Looks(Here):
        def run(self, tasks):
            given.extend(tasks)
            raise Killed

    with pytest.raises(Killed):
        in_shards(store, Looks(), shards=count)
    return given


def test_a_worker_waits_for_a_shard_that_is_still_held(tmp_path):
    task, _ = tasks(tmp_path / "a.store")
    now = [0.0]
    held = Store.open(task.store, write=True)

    def sleep(seconds):
        now[0] += seconds
        held.close()

    ended = Worker(home(), clock=lambda: now[0], sleep=sleep).run(task)
    assert ended.error is None and now[0] > 0
    assert ended.news == ShardProgress(1, 0.0, 48.0, ended.news.note, ended.news.spent)


def test_a_worker_does_not_wait_for_ever(tmp_path):
    task, _ = tasks(tmp_path / "a.store")
    now = [0.0]

    def sleep(seconds):
        now[0] += PATIENCE_S

    with Store.open(task.store, write=True):
        ended = Worker(home(), clock=lambda: now[0], sleep=sleep).run(task)
    assert isinstance(ended.error, StoreError)


def test_a_worker_elsewhere_says_what_it_lacks(tmp_path):
    task, _ = tasks(tmp_path / "a.store")
    older = Worker(home(version="0.0.1")).run(task)
    assert "install one version everywhere" in str(older.error)
    lost = Worker(home(folder=str(tmp_path / "nowhere"))).run(task)
    assert "that all machines have under the same name" in str(lost.error)


def test_an_error_of_a_worker_travels_as_its_message(tmp_path, monkeypatch):
    task, _ = tasks(tmp_path / "a.store")

    def fails(*_, **__):
        raise ServerError("it went away", object())

    monkeypatch.setattr("outthink.study.worker.swept", fails)
    error = Worker(home()).run(task).error
    assert type(error) is ServerError and str(error) == "it went away" and error.said is None


# On Ray ------------------------------------------------------------------------------------------


def test_options_of_workers_want_ray(tmp_path, capsys):
    words = ["sweep", PROBLEMS, "-o", str(tmp_path / "a.store"), "--workers", "2"]
    assert main(words) == 2
    assert "add --ray" in capsys.readouterr().err


def test_on_ray_a_worker_that_is_killed_costs_nothing(whole, tmp_path, monkeypatch, capsys):
    import ray

    from outthink.study import on_ray

    killed = []
    got = on_ray.RayWorkers._got

    def kills(self, call):
        ended = got(self, call)
        if not killed:
            (worker, *_) = ray.get([actor.pid.remote() for actor in self._actors])
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)
        return ended

    monkeypatch.setattr(on_ray.RayWorkers, "_got", kills)
    monkeypatch.setattr(Worker, "pid", lambda self: os.getpid(), raising=False)
    out = tmp_path / "all.store"
    words = ["sweep", PROBLEMS, "-o", str(out), "--strategies", "majority,best_of_n"]
    words += ["--budgets", "1,4", *PLAN, "--ray", "--workers", "2", "--shards", "4", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == 12
    assert killed
    assert held(out) == held(whole)
    assert page(out, tmp_path / "a") == page(whole, tmp_path / "b")
    assert not Path(beside(out)).exists()
