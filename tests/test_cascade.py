"""A smaller model, a larger one and both, from one store: from which price ratio each wins."""

import html
import json
import math

import numpy as np
import pytest
from sequential_fixtures import a_fit

from outthink.cli import main
from outthink.measure.intervals import interval
from outthink.policy import as_json
from outthink.policy.cascade import compared
from outthink.policy.frontier import FixedCurve, Frontier, Point
from outthink.policy.menu import Stage
from outthink.policy.results import SequentialFit
from outthink.policy.trials import Source, Trials
from outthink.report.cascade import sentences, way_rows, write

SAMPLE, LARGE = Stage("majority", 1), Stage("greedy(by=larger)", 1)
PROBLEMS = 400
RIGHT = np.tile([1.0, 1.0, 0.0, 1.0], PROBLEMS // 4)
"""Whether the larger model is right."""
SMALL_COST, LARGE_COST = 2.0, 20.0


def source(name, cost):
    shape = (PROBLEMS, 4)
    answers = np.zeros((*shape, 1), np.int16)
    scores = np.full((*shape, 1), np.nan, np.float32)
    return Source(name, answers, scores, np.ones(shape, np.int16), np.full(shape, cost))


def trials(*menu):
    sources = tuple(source(s.source, LARGE_COST if s == LARGE else SMALL_COST) for s in menu)
    return Trials(menu, sources, np.ones((PROBLEMS, 1), np.bool_), ("p",) * PROBLEMS, "flops")


def point(right, samples, asked):
    """A policy that draws so many samples of the smaller model, and asks the larger so often."""
    runs = np.tile([float(samples), float(asked)], (PROBLEMS, 1))
    cost = runs @ [SMALL_COST, LARGE_COST]
    right = np.array(right, float)
    return Point("a policy", right, cost, runs, interval(right), interval(cost))


def fitted(menu, points, *fixed):
    frontier = Frontier(
        "flops", menu, ("p",) * PROBLEMS, points, (0.1,) * len(points), points, fixed, ""
    )
    return SequentialFit(a_fit().family, frontier, (), trials(*menu))


ALONE = FixedCurve(LARGE.strategy, (LARGE_COST,), RIGHT[None])


def compare(cascades, smaller, within=0.01):
    both = fitted((SAMPLE, LARGE), cascades, ALONE)
    alone = fitted((SAMPLE,), (), *smaller)
    return compared(both, alone, LARGE, names=("s", "l"), within=within)


def votes(*known):
    """The smaller model's votes: accuracy where it costs so many samples."""
    costs = tuple(SMALL_COST * samples for samples, _ in known)
    return FixedCurve("majority", costs, np.array([right for _, right in known]))


def test_each_wins_from_the_ratio_at_which_it_costs_less():
    # The cascade draws 2 samples and asks the larger model for half of the problems: it costs
    # 2 + r / 2 where that costs r. The smaller model alone needs 32 samples.
    result = compare((point(RIGHT, 2, 0.5),), [votes((1, 0 * RIGHT), (32, RIGHT))])
    assert result.ratio == 10
    for crossing, ratio in (
        (result.both_over_large, 4),
        (result.small_over_large, 32),
        (result.small_over_both, 60),
    ):
        assert (crossing.ratio, crossing.low, crossing.high) == pytest.approx((ratio,) * 3)


def test_what_is_not_good_enough_never_wins():
    worse = RIGHT * (np.arange(PROBLEMS) % 8 > 0)
    result = compare((point(worse, 2, 0.5),), [votes((1, 0 * RIGHT), (32, worse))])
    crossings = (result.both_over_large, result.small_over_large, result.small_over_both)
    assert all(math.isinf(one.ratio) for one in crossings)
    # Within enough points it is good.
    assert compare((point(worse, 2, 0.5),), [], within=0.2).both_over_large.ratio == 4


def test_the_cheapest_of_several_cascades_counts_at_every_ratio():
    some = (point(RIGHT, 2, 0.5), point(RIGHT, 6, 0.1), point(0 * RIGHT, 1, 0))
    result = compare(some, [votes((32, RIGHT))])
    assert result.both_over_large.ratio == 4
    # 32 samples are less than 2 + r / 2 from 60 on, than 6 + r / 10 from 260 on.
    assert result.small_over_both.ratio == 260


def test_intervals_choose_anew_among_resampled_problems():
    # About as far below the larger model as counts as good: some resamples have it, some do not.
    noise = np.random.default_rng(1).normal(0, 0.3, PROBLEMS)
    about = RIGHT - 0.01 + noise - noise.mean()
    crossing = compare((point(about, 2, 0.5), point(RIGHT, 3, 0.8)), []).both_over_large
    assert crossing.low == pytest.approx(4) and crossing.high == pytest.approx(15)


def test_ways_are_told_in_samples_and_questions():
    result = compare((point(RIGHT, 2, 0.5),), [votes((1, 0 * RIGHT), (2, 0 * RIGHT))])
    [way] = result.both
    assert (way.samples, way.asked, way.cost.mean) == (2, 0.5, 14)
    assert result.large.asked == 1 and result.large.samples == 0
    # Two samples are no better than one.
    assert [one.samples for one in result.small] == [1]


def test_the_page_and_the_table_say_the_same(tmp_path):
    result = compare((point(RIGHT, 2, 0.5),), [votes((1, 0 * RIGHT))])
    write(result, tmp_path / "page.html")
    page = html.unescape((tmp_path / "page.html").read_text())
    told = sentences(result)
    assert "costs more than 4 [4, 4] samples" in told[1] and told[1] in page
    assert "at no price" in told[2] and told[2] in page
    assert len(way_rows(result)[1]) == 3
    wire = as_json.cascade(result)
    assert wire["cheaper_from"]["small_than_large"]["price_ratio"] is None
    json.dumps(wire, allow_nan=False)


SWEEP = ["sweep", "lab:test?size=24&seed=3", "--verifier", "none", "--strategies", "majority"]
SWEEP += ["--budgets", "1,4", "--pool", "4", "--oracle-samples", "0", "--difficulty-samples", "0"]


@pytest.mark.usefixtures("quick_fits")
def test_one_store_with_both_models_is_enough(tmp_path, capsys):
    store, page = str(tmp_path / "a.store"), tmp_path / "page.html"
    assert main([*SWEEP, "--larger", "lab:l", "--stages", "greedy(by=larger)@1", "-o", store]) == 0
    capsys.readouterr()
    assert main(["exchange", store, "-o", str(page), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == 24 and told["price_ratio"] > 3
    assert told["large_alone"]["answers_of_large"] == 1
    assert page.read_text().startswith("<!doctype html>")
    assert main(["exchange", store]) == 0
    assert "asks larger" in capsys.readouterr().out


@pytest.mark.usefixtures("quick_fits")
def test_a_store_without_a_larger_model_is_refused_with_what_makes_one(tmp_path, capsys):
    store = str(tmp_path / "a.store")
    assert main([*SWEEP, "-o", store]) == 0
    assert main(["exchange", store]) == 2
    assert "--larger MODEL" in capsys.readouterr().err
    assert main(["exchange", store, store, "-o", "page.html"]) == 2
    assert "one store" in capsys.readouterr().err
