"""A reproduction drawn in several processes is the one that a single process draws."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outthink.errors import RunError, UsageError
from outthink.paper.evidence import STORE, Scale, gathered
from outthink.run.side_by_side import side_by_side

SCALE = Scale(10, 4, 4, 4, 4, 2, (1, 4), 0, 2, 2, 4)


def drawn(folder, jobs):
    """What a page is made of, as values."""
    with gathered(SCALE, seed=3, weights=None, folder=folder, jobs=jobs) as evidence:
        studies = (evidence.main, evidence.orm, evidence.large, evidence.stages)
        pools = [pool for study in studies[:3] for pool in study.pools]
        return {
            "grids": [study.grid.accuracy.tolist() for study in studies],
            "usage": [replace(study.usage("beam", 4), seconds=0) for study in studies[:1]],
            "pools": [(p.answers.tolist(), p.scores.tolist(), p.right.tolist()) for p in pools],
            "beams": evidence.beams.grid.accuracy.tolist(),
        }


def test_two_processes_draw_what_one_does_and_leave_no_parts(tmp_path):
    alone = drawn(tmp_path / "alone", 1)
    beside = drawn(tmp_path / "beside", 2)
    assert repr(beside) == repr(alone)
    left = {path.name for path in (tmp_path / "beside").iterdir()}
    assert not [name for name in left if "part" in name or "merged" in name]
    assert STORE in left


def twice(number, tell):
    tell(1.0)
    return 2 * number


def refuse(number, tell):
    raise UsageError(f"no {number}")


def vanish(number, tell):
    import os

    os._exit(7)


def test_values_come_in_the_order_of_the_tasks_and_what_is_told_is_heard():
    heard = []
    values = side_by_side(twice, [3, 1, 2], jobs=2, heard=lambda *said: heard.append(said))
    assert values == [6, 2, 4]
    assert sorted(heard) == [(0, 1.0), (1, 1.0), (2, 1.0)]


def test_what_a_task_raises_is_raised_here():
    with pytest.raises(UsageError, match="no 5"):
        side_by_side(refuse, [5], jobs=1)


def test_a_process_that_ends_without_a_word_is_named():
    with pytest.raises(RunError, match="status 7"):
        side_by_side(vanish, [0, 1], jobs=2)
