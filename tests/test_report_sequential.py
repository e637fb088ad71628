"""The first part of the page: what is said of a sequential policy is what its fit holds."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sequential_fixtures import BASELINE, a_fit, never, problems
from test_report import HOSTILE, Page, a_report, plain, tips

from outthink.policy.frontier import FixedCurve
from outthink.report import Report, render, verdict
from outthink.report.data import Curve, Point, Provenance
from outthink.report.sequential_prose import factor_text
from outthink.report.sequential_study import sequential, stage_labels, strongest


def a_policy(fit=None):
    fit = fit or a_fit()
    return sequential(fit, problems(len(fit.trials.problems)))


def a_sequential_report() -> Report:
    """A full page with a sequential policy."""
    return replace(a_report(trees=6), sequential=a_policy())


def alone(policy) -> Report:
    """A page of the policy and one curve."""
    curve = Curve(BASELINE, (Point(1, 0.5, 0.4, 0.6), Point(16, 0.6, 0.5, 0.7)))
    origin = Provenance("p", (), "d", 60, 1, "0.1", "outthink report")
    return Report("Small", origin, sequential=policy, curves=(curve,))


def with_baseline(**changes):
    policy = a_policy()
    chosen = policy.members[policy.chosen]
    beyond = dict.fromkeys(("at_least", "low_at_least", "high_at_least"), False)
    factor = replace(chosen.baseline, **beyond, **changes)
    member = replace(chosen, baseline=factor)
    members = tuple(member if n == policy.chosen else m for n, m in enumerate(policy.members))
    return replace(policy, members=members)


def opening(policy) -> str:
    return plain(verdict(alone(policy)))


# The sentence ------------------------------------------------------------------------------------


def test_a_saving_is_told_as_what_best_of_n_needs_for_the_same():
    policy = with_baseline(value=6.0, low=3.1, high=8.8)
    cost = policy.members[policy.chosen].cost.mean
    said = opening(policy)
    assert said.startswith(f"{cost:.1f} generations a problem do what {BASELINE} needs ")
    assert f"needs {6 * cost:.0f} for: 6.0 times less [3.1, 8.8]." in said


def test_an_accuracy_that_no_number_of_samples_reaches_is_told_as_never():
    said = opening(a_policy(never(a_fit())))
    assert f"do what {BASELINE} never does: no number of samples up to 32 gets there" in said
    assert "at least" in said
    assert "No fixed strategy gets there at any cost that was run" in said
    assert "saving is shown" not in said


@pytest.mark.parametrize(("value", "low"), [(1.3, 0.66), (1.02, 0.97), (0.9, 0.5), (2.0, 1.001)])
def test_an_interval_that_holds_1_shows_no_saving(value, low):
    said = opening(with_baseline(value=value, low=low, high=4.0))
    assert said.startswith("No saving is shown")
    assert "holds 1" in said


def test_a_never_whose_interval_holds_1_shows_no_saving_either():
    policy = with_baseline(value=9.6, low=0.97, high=9.6)
    member = policy.members[policy.chosen]
    factor = replace(member.baseline, at_least=True, high_at_least=True)
    member = replace(member, baseline=factor)
    said = opening(replace(policy, members=(member,), chosen=0))
    assert said.startswith("No saving is shown")
    assert "[0.97, > 9.6]" in said


def test_a_policy_that_costs_more_is_said_to():
    assert opening(with_baseline(value=0.5, low=0.4, high=0.8)).startswith("The policy saves noth")


def test_beside_a_never_stands_what_is_saved_at_an_accuracy_that_is_reached():
    policy = a_policy()
    never_there = next(n for n, m in enumerate(policy.members) if m.baseline.at_least)
    said = opening(replace(policy, chosen=never_there))
    first = policy.members[0]
    assert not first.baseline.at_least
    needs = first.baseline.value * first.cost.mean
    assert f"{first.cost.mean:.1f} generations do what it needs {needs:.0f} for" in said


def test_that_none_of_several_strategies_gets_there_gives_no_factor():
    policy = a_policy(never(a_fit()))
    factor = policy.members[0].strongest
    assert factor.at_least and factor_text(factor) == "never"
    assert factor_text(replace(factor, low=1.05, low_at_least=False)) == "never [1.05, never]"


def test_the_page_speaks_of_the_member_whose_lower_bound_is_largest():
    policy = a_policy()
    lows = [saving.baseline.known_low or 0 for saving in a_fit().savings]
    assert lows[policy.chosen] == max(lows)


def test_the_strongest_fixed_strategy_gets_there_at_the_smallest_cost():
    early = FixedCurve("early", (1.0, 4.0), np.array([[0.4, 0.4], [0.5, 0.5]]))
    late = FixedCurve("late", (2.0, 8.0), np.array([[0.2, 0.2], [0.8, 0.8]]))
    assert strongest((early, late), 0.45) == "early"
    assert strongest((early, late), 0.6) == "late"
    assert strongest((early, late), 0.9) == "late"  # neither gets there: the nearest


# Values ------------------------------------------------------------------------------------------


def cells(page: str, caption: str) -> list[list[str]]:
    """The rows of the table with this caption."""
    body = re.search(rf"<caption>{caption}[^<]*</caption>.*?<tbody>(.*?)</tbody>", page)[1]
    rows = re.findall(r"<tr>(.*?)</tr>", body)
    return [[plain(text) for text in re.findall(r"<t[hd][^>]*>([^<]*)<", row)] for row in rows]


def test_the_table_of_members_holds_the_values_of_the_fit():
    fit, page = a_fit(), render(alone(a_policy()))
    rows = cells(page, "Members of the policy")
    assert len(rows) == len(fit.savings)
    for row, saving in zip(rows, fit.savings, strict=True):
        accuracy, difference = saving.accuracy, saving.difference
        assert float(row[0].removesuffix(" *")) == pytest.approx(100 * saving.price)
        assert row[1].startswith(f"{saving.cost.mean:.1f} [{saving.cost.low:.1f}")
        shown = f"{100 * accuracy.mean:.1f} % [{100 * accuracy.low:.1f}, {100 * accuracy.high:.1f}]"
        assert row[2] == shown
        assert f"{saving.baseline.factor:.1f}" in row[3] and f"{saving.baseline.low:.1f}" in row[3]
        never = saving.strongest.at_least
        assert row[4].startswith("never" if never else f"\u00d7{saving.strongest.factor:.1f}")
        assert row[5].startswith(f"{100 * difference.mean:+.1f} [{100 * difference.low:+.1f}")


def test_the_chosen_member_is_marked_once():
    policy = a_policy()
    marks = ["*" in row[0] for row in cells(render(alone(policy)), "Members of the policy")]
    assert [n for n, is_marked in enumerate(marks) if is_marked] == [policy.chosen]


def test_what_was_spent_by_group_adds_up_to_the_mean_cost():
    policy = a_policy()
    *thirds, everyone = policy.groups
    assert [group.problems for group in thirds] == [20, 20, 20]
    total = sum(use.cost for use in everyone.uses)
    assert total == pytest.approx(policy.members[policy.chosen].cost.mean)
    sums = [sum(use.cost for use in group.uses) for group in thirds]
    assert np.mean(sums) == pytest.approx(total)
    assert sums[0] < sums[-1]  # the easiest third first


def test_every_problem_is_answered_or_goes_on():
    policy = a_policy()
    looks = np.array([taken.shares for taken in policy.taken])
    answered = next(np.array(t.shares) for t in policy.taken if not t.decision)
    going = 1 - np.concatenate([[0], answered.cumsum()[:-1]])
    assert looks.sum(axis=0) == pytest.approx(going)


def test_problems_are_followed_as_the_policy_decides():
    long, short = a_policy().followed
    assert len(long.looks) >= 4 and len(short.looks) == 2
    for one in (long, short):
        assert one.right and one.looks[-1].answer == one.reference
        assert one.looks[0].answer is None and one.looks[0].chance is None
        assert [look.stage is None for look in one.looks] == [False] * (len(one.looks) - 1) + [True]
        assert one.looks[-1].worth is None or one.looks[-1].worth <= 0
        spent = [look.spent for look in one.looks]
        assert spent == sorted(spent) and spent[0] == 0


def test_reliability_is_of_every_answer_that_was_given():
    fit, policy = a_fit(), a_policy()
    point = fit.frontier.points[policy.chosen]
    assert sum(row.count for row in policy.certainties) == point.hits.size
    hits = sum(row.rate * row.count for row in policy.certainties)
    assert hits == pytest.approx(point.hits.sum())
    assert all(row.low - 1e-9 <= row.rate <= row.high + 1e-9 for row in policy.certainties)


def test_fixed_strategies_are_not_drawn_twice_and_bounds_are_told_apart():
    kinds = {line.name: line.kind for line in a_policy().lines}
    assert "fixed, max" not in kinds
    assert kinds["clairvoyant"] == kinds["greedy allocation"] == "bound"
    assert kinds["score threshold"] == "rule" and kinds[BASELINE] == "fixed"


def test_the_figure_tells_the_policy_with_its_interval_at_its_costs():
    policy = a_policy()
    told = dict(tips(render(alone(policy))))
    for member in policy.members:
        accuracy = member.accuracy
        own = plain(told[f"{member.cost.mean:.1f} generations a problem"]["sequential policy"])
        assert own.startswith(f"{100 * accuracy.mean:.1f} % [{100 * accuracy.low:.1f}")


def test_no_two_stages_are_called_the_same():
    menu = a_fit().trials.menu
    assert stage_labels(menu, str) == ("2 samples", "beam with 4")
    assert len({*stage_labels((*menu, *menu[:1]), lambda _: "x")}) == 2


# The page ----------------------------------------------------------------------------------------


def test_a_sequential_policy_survives_the_wire():
    report = a_sequential_report()
    assert Report.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report


def test_the_page_opens_with_it_and_goes_on_as_before():
    ids = Page(render(a_sequential_report())).values("id")
    order = ["frontier", "decisions", "certainty", "accuracy", "difficulty", "policy", "explorer"]
    places = [ids.index(id) for id in order]
    assert places == sorted(places)


def test_without_one_nothing_of_it_is_on_the_page():
    ids = Page(render(a_report(trees=1))).values("id")
    assert not {"frontier", "decisions", "certainty"} & {*ids}


def test_a_policy_with_a_single_member_and_without_rules_is_drawn():
    policy = a_policy()
    lines = tuple(
        replace(line, points=line.points[:1])
        for line in policy.lines
        if line.kind in ("policy", "fixed")
    )
    few = replace(policy, lines=lines, members=policy.members[:1], chosen=0, followed=(), taken=())
    assert "What accuracy costs" in render(alone(few))


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_a_problem_stays_text(text):
    policy = a_policy()
    one = policy.followed[0]
    looks = tuple(replace(look, answer=text[:40]) for look in one.looks)
    one = replace(one, prompt=text, reference=text, looks=looks)
    page = render(alone(replace(policy, followed=(one,))))
    assert Page(page).tags == Page(render(alone(replace(policy, followed=(one_plain(one),))))).tags


def one_plain(one):
    looks = tuple(replace(look, answer="a") for look in one.looks)
    return replace(one, prompt="a", reference="a", looks=looks)
