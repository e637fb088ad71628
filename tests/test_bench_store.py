"""A store of made-up solutions: written as a run writes, fitted and reported as any other."""

import pytest

from outthink.bench.store import LEAST, ORACLE, PREDICTED, measure
from outthink.errors import UsageError
from outthink.run.store import Store

PROBLEMS = 24
SOLUTIONS = PROBLEMS * (LEAST + ORACLE + PREDICTED)


def test_a_made_up_store_is_whole_and_is_fitted_and_reported(tmp_path):
    figures = measure(solutions=SOLUTIONS, problems=PROBLEMS, folder=tmp_path, seed=1)
    with Store.open(tmp_path / "bench.store", write=False) as store:
        counts = store.counts()
        answers, scores = store.view().pool("p0", "best_of_n", LEAST)
    assert figures["solutions"] == counts.draws == SOLUTIONS
    assert figures["rows"] == counts.draws + counts.scores
    assert counts.scores == PROBLEMS * (LEAST + PREDICTED)
    assert None not in answers and None not in scores and len(set(scores)) > 20
    assert 0 < figures["report_bytes"] == (tmp_path / "report.html").stat().st_size
    assert (tmp_path / "table.json").exists() and (tmp_path / "policy.json").exists()
    with pytest.raises(UsageError, match="is there already; remove it"):
        measure(solutions=SOLUTIONS, problems=PROBLEMS, folder=tmp_path, seed=1)


def test_pools_that_are_too_small_are_refused(tmp_path):
    with pytest.raises(UsageError, match="leave pools of 63; give"):
        measure(solutions=SOLUTIONS - 1, problems=PROBLEMS, folder=tmp_path, seed=1)
