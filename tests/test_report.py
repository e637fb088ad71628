"""The report: what goes in is what is on the page, and nothing else gets in."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import outthink.report
from outthink.errors import RunError, UsageError
from outthink.report import Report, render, verdict, write
from outthink.report.chart import spread, thin_out, ticks
from outthink.report.data import (
    Agreement,
    Bin,
    Bucket,
    Calibration,
    Cef,
    Cell,
    Comparison,
    Curve,
    Label,
    Node,
    Point,
    Policy,
    Provenance,
    Spending,
    Tree,
)
from outthink.types import Usage

# A report that looks like a real one: made up, but of the sizes and shapes a run gives --------

BUDGETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
STRATEGIES = (
    "best_of_n(step=last,answer=weighted)",
    "majority()",
    "beam(width=4)",
    "beam(width=sqrt)",
    "lookahead(depth=1,width=4)",
    "revise(sequential=4)",
)
LABELS = (
    "best-of-N",
    "majority",
    "beam, M = 4",
    "beam, M = \u221aN",
    "lookahead, k = 1",
    "revisions, 4 long",
)
EASE = (0.68, 0.31, 0.13, 0.05, 0.01)
GAINS = (
    (0.27, 0.25, 0.20, 0.11, 0.02),
    (0.24, 0.22, 0.14, 0.03, 0.00),
    (0.15, 0.27, 0.31, 0.24, 0.05),
    (0.18, 0.25, 0.28, 0.22, 0.03),
    (0.15, 0.20, 0.22, 0.16, 0.02),
    (0.27, 0.24, 0.18, 0.08, 0.01),
)


CONFUSION = (
    (78, 18, 3, 1, 0),
    (17, 58, 19, 5, 1),
    (4, 19, 49, 21, 7),
    (1, 4, 22, 46, 27),
    (0, 1, 7, 27, 65),
)


def a_point(budget: float, accuracy: float, *, problems: int) -> Point:
    half = 1.96 * math.sqrt(max(accuracy * (1 - accuracy), 0.002) / problems)
    return Point(budget, round(accuracy, 4), max(0.0, accuracy - half), min(1.0, accuracy + half))


def level(strategy: int, bin: int, budget: float) -> float:
    doublings = math.log2(budget)
    share = doublings / 8 if strategy in (0, 1) else 1 - 2 ** (-doublings / 2.6)
    fade = 0.012 * max(0.0, doublings - 4) if strategy in (2, 3, 4) and bin < 2 else 0.0
    return min(0.985, EASE[bin] + GAINS[strategy][bin] * share - fade)


def a_curve(strategy: int, bin: int | None, *, problems: int) -> Curve:
    bins = range(5) if bin is None else (bin,)
    means = {n: sum(level(strategy, b, n) for b in bins) / len(bins) for n in BUDGETS}
    points = tuple(a_point(n, mean, problems=problems) for n, mean in means.items())
    return Curve(STRATEGIES[strategy], points)


def best(bin: int, budget: float) -> int:
    return max(range(6), key=lambda strategy: level(strategy, bin, budget))


def a_policy_curve(name: str, *, gain: float, cost: float = 0.0) -> Curve:
    points = []
    for n in BUDGETS:
        ideal = sum(level(best(b, n), b, n) for b in range(5)) / 5
        plain = sum(level(0, b, n) for b in range(5)) / 5
        reached = plain + gain * (ideal - plain) + 0.0
        points.append(a_point(n + cost, reached, problems=500))
    return Curve(name, tuple(points))


def equal_budget(baseline: Curve, accuracy: float) -> tuple[float, bool]:
    points = baseline.points
    for one, two in pairwise(points):
        if one.accuracy <= accuracy <= two.accuracy:
            part = (accuracy - one.accuracy) / (two.accuracy - one.accuracy)
            return one.budget * (two.budget / one.budget) ** part, False
    return points[-1].budget if accuracy > points[0].accuracy else points[0].budget, True


def factors(baseline: Curve, policy: Curve, *, charged: bool, bins: str) -> list[Cef]:
    found = []
    for point in policy.points:
        equal, is_beyond = equal_budget(baseline, point.accuracy)
        value = equal / point.budget
        ends = [equal_budget(baseline, a) for a in (point.accuracy - 0.012, point.accuracy + 0.012)]
        high = None if ends[1][1] and point.budget > 1 else ends[1][0] / point.budget
        low = ends[0][0] / point.budget
        at_least = is_beyond and point.budget > 1
        found.append(Cef(point.budget, value, min(low, value), high, at_least, charged, bins))
    return found


def a_tree(index: int, rng: random.Random) -> Tree:
    """A beam search over short sums: from each round's steps the best few go on."""
    letters = "abcdefghkmnpqrstuvwxyz"
    length, wide = rng.randint(3, 7), rng.choice((4, 8, 16))
    values = [rng.randint(2, 60) for _ in range(length + 1)]
    right = rng.random() < 0.55
    nodes: list[Node] = []
    front, number, total = [-1] * wide, 0, values[0]
    for depth in range(length):
        truth = f"{letters[depth]} = {total} + {values[depth + 1]} = {total + values[depth + 1]}\n"
        total += values[depth + 1]
        made = []
        for parent in front:
            is_true = rng.random() < 0.6 or parent == front[0] == -1
            shown = (
                truth
                if is_true
                else truth.replace(str(total), str(total + rng.choice((-10, 1, 10))))
            )
            score = min(0.99, max(0.01, rng.gauss(0.74 if is_true else 0.31, 0.13)))
            ends = depth == length - 1
            is_cut = ends and rng.random() < 0.05
            answer = shown.split("=")[-1].strip() if ends and not is_cut else None
            made.append(
                Node(number, parent, shown, None if rng.random() < 0.01 else score, False, False,
                     ends and not is_cut, is_cut, answer)
            )  # fmt: skip
            number += 1
        made.sort(key=lambda node: node.number)
        ranked = sorted(made, key=lambda node: -(node.score or 0))
        kept = {node.number for node in ranked[: max(1, wide // 4)]}
        nodes += [replace(node, kept=node.number in kept or node.finished) for node in made]
        front = [n for n in sorted(kept) for _ in range(4)][:wide]
    ended = [node for node in nodes if node.answer is not None]
    chosen = max(ended, key=lambda node: ((node.answer == str(total)) == right, node.score or 0))
    chain, at = set(), chosen.number
    while at != -1:
        chain.add(at)
        at = nodes[at].parent
    nodes = [
        replace(n, on_chosen_path=n.number in chain, kept=n.kept or n.number in chain)
        for n in nodes
    ]
    decoded = 9 * len(nodes)
    sums = "; ".join(
        f"{letters[i]} = {letters[i - 1] if i else values[0]} + {values[i + 1]}"
        for i in range(length)
    )
    return Tree(
        problem_id=f"sums/{index:04d}",
        prompt=f"{sums}. What is {letters[length - 1]}?",
        reference=str(total),
        strategy=STRATEGIES[rng.choice((2, 2, 3, 4))],
        budget=wide,
        bin=min(5, 1 + index % 5),
        answer=chosen.answer,
        right=chosen.answer == str(total),
        usage=Usage(wide, 40, 900, decoded, decoded // 3, 5 * decoded, 12 * decoded, 0.4),
        nodes=tuple(nodes),
    )


def a_spending(strategy: int, budget: int) -> Spending:
    decoded = 500 * 62 * budget
    lost = (0.0, 0.0, 0.44, 0.52, 0.6, 0.0)[strategy]
    cached = (1, 1, 5, 6, 9, 7)[strategy] * 500 * 30 * budget
    verified = 0 if strategy == 1 else decoded
    usage = Usage(
        500 * budget,
        500 * 40,
        cached,
        decoded,
        int(lost * decoded),
        verified,
        2 * verified * (lost > 0),
    )
    return Spending(STRATEGIES[strategy], budget, 500, usage)


def a_report(*, trees: int = 60) -> Report:
    baseline = a_curve(0, None, problems=500)
    predicted = a_policy_curve("predicted", gain=0.7)
    charged = a_policy_curve("charged", gain=0.7, cost=4)
    oracle = a_policy_curve("oracle", gain=0.95)
    charged = replace(charged, points=charged.points[1:])
    cefs = (
        *factors(baseline, predicted, charged=False, bins="predicted"),
        *factors(baseline, charged, charged=True, bins="predicted"),
        *factors(baseline, oracle, charged=False, bins="oracle"),
    )
    cells = []
    for bin in range(5):
        for n in BUDGETS:
            chosen = best(bin, n)
            point = a_point(n, level(chosen, bin, n), problems=100)
            cells.append(
                Cell(bin + 1, n, STRATEGIES[chosen], point.accuracy, point.low, point.high, 100)
            )
    buckets = []
    for index, count in enumerate((5210, 3100, 2260, 1800, 1540, 1400, 1520, 1990, 3120, 7400)):
        score = 0.05 + 0.1 * index
        seen = min(0.99, max(0.01, score + 0.09 * math.sin(math.pi * (score - 0.5))))
        half = 1.96 * math.sqrt(seen * (1 - seen) / (count / 4))
        buckets.append(Bucket(score, seen, max(0, seen - half), min(1, seen + half), count))
    rng = random.Random(7)
    return Report(
        title="Compute-optimal thinking for a 0.8 M proposer",
        provenance=Provenance(
            proposer="lab-s@3f2a91c (0.8 M)",
            verifiers=("lab-prm@81be20d", "lab-orm@5d02c77"),
            data="lab/chains-v2 test",
            problems=500,
            seed=1,
            version="0.1.0",
            command="outthink report runs/lab --budgets 1..256 --bins 5 --seed 1",
            created="2026-01-12",
        ),
        notes=("Lookahead loses to beam search at equal generations in every bin.",),
        labels=tuple(
            Label(name, label, f"What is meant by {label}.")
            for name, label in zip(STRATEGIES, LABELS, strict=True)
        ),
        curves=tuple(a_curve(s, None, problems=500) for s in range(6)),
        bins=tuple(
            Bin(b + 1, 100, EASE[b], tuple(a_curve(s, b, problems=100) for s in range(6)))
            for b in range(5)
        ),
        comparison=Comparison(baseline, predicted, charged, oracle, cefs),
        policies=(Policy("predicted", tuple(cells)),),
        calibrations=(
            Calibration("lab-prm@81be20d", tuple(buckets), 500, "steps", 0.874, 0.041),
            Calibration("lab-orm@5d02c77", tuple(buckets[::2]), 500, "solutions", 0.803, 0.087),
        ),
        agreement=Agreement(CONFUSION, 0.81, 0.78, 0.84),
        spending=tuple(a_spending(s, n) for n in BUDGETS for s in range(6)),
        trees=tuple(a_tree(index, rng) for index in range(trees)),
    )  # fmt: skip


def a_small_report() -> Report:
    """What the tests that compare numbers read: few enough to be checked by eye."""
    rising = ((2.0**e, 0.2 + 0.05 * e) for e in range(7))
    points = tuple(Point(n, share, share - 0.05, share + 0.05) for n, share in rising)
    baseline = Curve("best_of_n()", points)
    policy = Curve("policy", (Point(1, 0.2, 0.15, 0.25), Point(16, 0.4819, 0.44, 0.52)))
    return Report(
        title="Small",
        provenance=Provenance("p", ("v",), "d", 400, 1, "0.1", "outthink report"),
        labels=(Label("best_of_n()", "best-of-N"),),
        curves=(baseline, Curve("beam(width=4)", (Point(64, 0.5, 0.45, 0.55),))),
        comparison=Comparison(
            baseline,
            predicted=policy,
            cefs=(Cef(16, 3.1, 2.2, 4.4, False, False, "predicted"),),
        ),
    )


# Reading a page ----------------------------------------------------------------------------------


class Page(HTMLParser):
    """Tags, attributes and the text of each element of interest, read by a real HTML parser."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "link", "br", "wbr", "input"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.text.setdefault(self._open[-1], []).append(data)

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def tips(page: str) -> list[tuple[str, dict[str, str]]]:
    """What is told when something is pointed at: a title, then text by name."""
    found = [json.loads(value) for value in Page(page).values("data-tip")]
    return [(title, {row[2]: row[3] for row in rows}) for title, rows in found]


def embedded(page: str) -> dict:
    script = r'<script type="application/json" id="trees">(.*?)</script>'
    return json.loads(re.search(script, page)[1])


def line_of(page: str, css: str) -> list[tuple[float, ...]]:
    """Where the first line drawn for a series passes."""
    drawn = re.search(rf'data-series="{css}"><path class="band"[^>]*></path>(.*?)</g>', page)[1]
    places = re.search(r'class="line" d="M([^"]+)"', drawn)[1]
    return [tuple(map(float, place.split(","))) for place in places.split("L")]


# The wire ----------------------------------------------------------------------------------------


def test_a_report_survives_the_wire():
    report = a_report(trees=3)
    assert Report.from_json(json.loads(json.dumps(report.to_json(), allow_nan=False))) == report


def test_an_empty_report_survives_the_wire():
    report = replace(a_small_report(), curves=(), comparison=None, labels=())
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_and_its_place_named(value):
    curve = Curve("beam", (Point(1, 0.5, 0.4, 0.6), Point(2, value, 0.4, 0.6)))
    report = replace(a_small_report(), curves=(curve,))
    with pytest.raises(UsageError, match=r"curves\[0\]\.points\[1\]\.accuracy"):
        report.to_json()
    with pytest.raises(UsageError, match=r"curves\[0\]\.points\[1\]\.accuracy"):
        render(report)


def test_a_number_of_another_library_is_refused_and_its_place_named():
    class Float32:
        pass

    report = replace(a_small_report(), agreement=Agreement(CONFUSION, Float32()))
    with pytest.raises(UsageError, match=r"agreement\.spearman is a Float32"):
        render(report)


def change(data, path, value):
    *above, last = path
    for key in above:
        data = data[key]
    if value is None:
        del data[last]
    else:
        data[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), "outthink-report-0", "format"),
        (("title",), None, "title is missing"),
        (("title",), 3, "title is '3', not str"),
        (("surprise",), 1, "surprise is not a field of Report"),
        (("curves", 0, "points", 1, "accuracy"), "0.5", r"curves\[0\]\.points\[1\]\.accuracy"),
        (("curves", 0, "points"), 7, r"curves\[0\]\.points is '7', not a list"),
        (("comparison", "cefs", 0, "bins"), "guessed", "'oracle' or 'predicted'"),
        (("comparison", "cefs", 0, "at_least"), 1, "at_least is '1', not bool"),
        (("provenance", "problems"), True, "problems is 'True', not int"),
        (("provenance",), "here", "provenance is 'here', not an object"),
        (("comparison", "cefs", 0, "value"), math.nan, "finite"),
    ],
)
def test_what_does_not_fit_is_refused_and_its_place_named(path, value, message):
    data = json.loads(json.dumps(a_small_report().to_json()))
    change(data, path, value)
    with pytest.raises(UsageError, match=message):
        Report.from_json(data)


@pytest.mark.parametrize("budget", [0, -1, math.nan])
def test_a_budget_that_has_no_logarithm_is_refused(budget):
    with pytest.raises(UsageError, match="not above 0"):
        Point(budget, 0.5, 0.4, 0.6)


# The verdict -------------------------------------------------------------------------------------


def plain(text: str) -> str:
    return text.replace("\u202f", " ")


def with_cefs(*cefs: Cef, **curves: Curve) -> Report:
    report = a_small_report()
    return replace(report, comparison=replace(report.comparison, cefs=cefs, **curves))


def test_the_verdict_says_what_was_measured():
    assert plain(verdict(a_small_report())) == (
        "At 16 generations a problem the compute-optimal policy is right on 48.2 % [44.0, 52.0] "
        "of problems, best-of-N on 40.0 % [35.0, 45.0]. To be as accurate, best-of-N needs "
        "3.1 times the budget [2.2, 4.4]."
    )


def test_the_verdict_gives_the_charged_factor_and_the_upper_bound_beside_it():
    said = plain(
        verdict(
            with_cefs(
                Cef(1, 1.0, 1.0, 1.2, False, False, "predicted"),
                Cef(16, 3.1, 2.2, 4.4, False, False, "predicted"),
                Cef(24, 1.9, 1.4, 2.7, False, True, "predicted"),
                Cef(16, 4.0, 3.0, None, True, False, "oracle"),
            )
        )
    )
    assert "this factor runs from 1.0 (N\u00a0=\u00a01) to 3.1 (N\u00a0=\u00a016)." in said
    assert "Counting the generations that predict difficulty, it is 1.9 [1.4, 2.7] at 24" in said
    assert "it would be at least 4.0 [3.0, > 4.0]: an upper bound." in said


def test_the_charged_factor_is_that_of_the_same_searches_at_their_full_price():
    report = a_small_report()
    dearer = tuple(replace(p, budget=p.budget + 16) for p in report.comparison.predicted.points)
    said = verdict(
        with_cefs(
            Cef(16, 3.1, 2.2, 4.4, False, False, "predicted"),
            Cef(17, 0.06, 0.05, 0.07, False, True, "predicted"),
            Cef(32, 1.55, 1.1, 2.2, False, True, "predicted"),
            charged=Curve("policy", dearer),
        )
    )
    assert "difficulty, it is 1.6 [1.1, 2.2] at 32 generations" in said


@pytest.mark.parametrize(
    ("cef", "words"),
    [
        (Cef(16, 1.2, 0.8, 1.9, False, False, "predicted"), "includes 1, so no saving is shown"),
        (Cef(16, 0.7, 0.5, 0.9, False, False, "predicted"), "the policy costs more than it gains"),
        (Cef(16, 0.9, 0.5, 1.3, False, False, "predicted"), "includes 1, so no saving is shown"),
        (
            Cef(16, 4.0, 3.0, None, True, False, "predicted"),
            "best-of-N is not as accurate even with 4",
        ),
    ],
)
def test_the_verdict_claims_no_more_than_the_interval_does(cef, words):
    assert words in verdict(with_cefs(cef))


def test_oracle_bins_alone_are_called_an_upper_bound():
    report = a_small_report()
    oracle = replace(report.comparison, oracle=report.comparison.predicted, predicted=None)
    assert "(oracle bins: an upper bound)" in verdict(replace(report, comparison=oracle))


def test_the_verdict_speaks_of_the_budget_the_report_names():
    report = a_small_report()
    named = replace(report, comparison=replace(report.comparison, headline=1))
    assert verdict(named).startswith("At 1 generation a problem the")


def test_without_a_policy_the_verdict_names_the_best_strategy():
    report = replace(a_small_report(), comparison=None)
    assert plain(verdict(report)) == (
        "At 64 generations best-of-N and beam(width=4) are highest, both at 50.0 %."
    )


def test_a_verdict_on_strategies_says_whether_intervals_overlap():
    curves = (
        Curve("beam", (Point(4, 0.6, 0.5, 0.7),)),
        Curve("majority", (Point(4, 0.5, 0.4, 0.6),)),
    )
    report = replace(a_small_report(), comparison=None, curves=curves, labels=())
    assert plain(verdict(report)) == (
        "At 4 generations beam is highest, at 60.0 % [50.0, 70.0], ahead of majority at "
        "50.0 % [40.0, 60.0] (the intervals overlap)."
    )


def test_without_numbers_the_verdict_says_so():
    report = replace(a_small_report(), comparison=None, curves=())
    assert verdict(report) == "This report holds no accuracy yet."


# The page ----------------------------------------------------------------------------------------


def test_the_same_report_gives_the_same_bytes():
    assert render(a_report(trees=2)) == render(a_report(trees=2))


def test_every_point_can_be_read_off_the_figure():
    report = a_small_report()
    told = tips(render(replace(report, comparison=None)))
    wide = dict(told[: len(told) // 2])  # the second half is the same, for a phone
    assert wide["16 generations"] == {"best-of-N": "40.0\u202f% [35.0, 45.0]"}
    assert wide["64 generations"] == {
        "best-of-N": "50.0\u202f% [45.0, 55.0]",
        "beam(width=4)": "50.0\u202f% [45.0, 55.0]",
    }
    assert list(wide) == [f"{n} generation{'s' * (n > 1)}" for n in (1, 2, 4, 8, 16, 32, 64)]
    assert told[: len(told) // 2] == told[len(told) // 2 :]


def test_every_number_of_a_full_report_is_in_its_tables_or_tips():
    report = a_report(trees=1)
    page = Page(render(report))
    cells = set(page.text["td"])
    for curve in (*report.curves, *(c for each in report.bins for c in each.curves)):
        for point in curve.points:
            interval = f"[{100 * point.low:.1f}, {100 * point.high:.1f}]"
            assert f"{100 * point.accuracy:.1f}\u202f% {interval}" in cells
    for bucket in report.calibrations[0].buckets:
        assert f"{bucket.mean_score:.3f}" in page.text["th"]
    shown = set(page.text["span"])
    for cell in report.policies[0].cells:
        assert f"{100 * cell.accuracy:.1f}\u202f%" in shown
        assert f"[{100 * cell.low:.1f}, {100 * cell.high:.1f}]" in shown
    counts = page.text["b"]
    assert [str(count) for row in CONFUSION for count in row] == counts[-25:]


def test_a_line_passes_through_its_points():
    report = replace(a_small_report(), comparison=None)
    places = line_of(render(report), "s0")
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(places)]
    # Budgets double and accuracy gains 5 points each time: equal steps right and up.
    assert all(abs(x - steps[0][0]) < 0.2 and abs(y - steps[0][1]) < 0.2 for x, y in steps)
    assert steps[0][0] > 0 > steps[0][1]


def test_the_arrow_ends_where_best_of_n_is_as_accurate():
    page = render(a_small_report())
    label = re.search(r'class="factor"[^>]*>([^<]+)<', page)[1]
    assert plain(label) == "\u00d73.1 [2.2, 4.4]"
    start, end = re.search(r'class="shaft" d="M([\d.]+),[\d.]+L([\d.]+),', page).groups()
    columns = [x for x, _ in line_of(page[page.index('id="figure-policy"') :], "s0")]
    doubling = columns[1] - columns[0]
    assert (float(end) - float(start)) / doubling == pytest.approx(math.log2(3.1), abs=0.01)


def test_tokens_are_shown_a_problem():
    spending = Spending("beam(width=4)", 4, 10, Usage(40, 100, 200, 1000, 300, 500, 600))
    page = render(replace(a_small_report(), spending=(spending,)))
    ((_, told),) = [tip for tip in tips(page) if "prompt read" in tip[1]]
    assert told == {
        "prompt read": "10",
        "served from cache": "20",
        "decoded and kept": "70",
        "decoded and discarded": "30",
        "verifier, computed": "50",
        "verifier, from cache": "60",
    }


def test_critiques_are_shown_where_a_search_asked_for_some():
    usage = Usage(40, 100, 200, 1000, 300, verifier_calls=25, critiques=15, critique_tokens=100)
    spending = Spending("beam(width=4)", 4, 10, usage)
    page = render(replace(a_small_report(), spending=(spending,)))
    ((_, told),) = [tip for tip in tips(page) if "prompt read" in tip[1]]
    assert told["decoded in critiques"] == "10"
    assert told["decoded and kept"] == "60"
    assert "<td>2.5</td><td>1.5</td>" in page.replace(' class="number"', "")
    plainer = replace(spending, usage=replace(usage, critiques=0, critique_tokens=0))
    assert "critiques" not in render(replace(a_small_report(), spending=(plainer,)))


OPTIONAL = {
    "curves": "accuracy",
    "bins": "difficulty",
    "comparison": "policy",
    "policies": "choices",
    "calibrations": "calibration",
    "agreement": "agreement",
    "spending": "tokens",
    "trees": "explorer",
}


def sections(page: str) -> list[str]:
    return [value for tag, name, value in Page(page).attributes if (tag, name) == ("section", "id")]


@pytest.mark.parametrize(("field", "section"), OPTIONAL.items())
def test_what_was_not_measured_leaves_no_trace(field, section):
    full = a_report(trees=1)
    empty = None if field in ("comparison", "agreement") else ()
    page = render(replace(full, **{field: empty}))
    assert sections(page) == [each for each in (*OPTIONAL.values(), "glossary") if each != section]
    links = [value for tag, name, value in Page(page).attributes if (tag, name) == ("a", "href")]
    assert set(links) <= {f"#{each}" for each in sections(page)}
    assert len(Page(page).text["h2"]) == len(sections(page)) + 1  # and the notes


def test_a_report_of_nothing_is_still_a_page():
    report = replace(a_small_report(), curves=(), comparison=None)
    assert sections(render(report)) == ["glossary"]


def test_parts_that_are_there_but_empty_are_left_out():
    report = replace(
        a_small_report(),
        curves=(Curve("beam", ()),),
        bins=(Bin(1, 0, 0.0, (Curve("beam", ()),)), Bin(2, 0, 0.0, ())),
        comparison=Comparison(Curve("beam", ())),
        policies=(Policy("oracle", ()),),
        calibrations=(Calibration("v", (), 0),),
        agreement=Agreement(()),
    )
    assert sections(render(report)) == ["glossary"]


def test_a_single_budget_and_a_single_problem_are_drawn():
    point = Point(1, 1.0, 1.0, 1.0)
    curve = Curve("beam", (point,))
    tree = replace(a_tree(1, random.Random(1)), nodes=(), bin=None, right=None, answer=None)
    report = replace(
        a_small_report(),
        curves=(curve,),
        bins=(Bin(1, 1, 1.0, (curve,)),),
        comparison=Comparison(curve, curve, cefs=(Cef(1, 1, 1, None, True, False, "predicted"),)),
        agreement=Agreement(((0,),)),
        spending=(Spending("beam", 1, 0, Usage()),),
        trees=(tree,),
    )
    drawn = render(report).split("<main>")[1].split("<script")[0]
    assert not re.search(r"\b(nan|inf|None)\b", drawn)


def test_ids_are_given_once():
    ids = Page(render(a_report(trees=2))).values("id")
    assert len(ids) == len(set(ids))


def test_headings_go_down_one_level_at_a_time():
    tags = Page(render(a_report(trees=1))).tags
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_figure_has_a_reading_and_every_drawing_a_name():
    page = Page(render(a_report(trees=1)))
    assert page.tags.count("figure") == page.tags.count("figcaption") == 9
    charts = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "role")]
    named = [v for t, n, v in page.attributes if (t, n) == ("svg", "aria-label")]
    assert len(named) == len(charts) and all(named)


# Nothing else gets in or out ---------------------------------------------------------------------


def test_the_page_asks_for_nothing():
    page = render(a_report(trees=2))
    links = [v for _, name, v in Page(page).attributes if name in ("src", "href", "action", "data")]
    assert all(link.startswith(("#", "data:,")) for link in links)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|fetch\(|XMLHttp|import\(", page)
    assert any(value.startswith("default-src 'none';") for value in Page(page).values("content"))


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "<!--<script>",
    "]]>&amp;&lt;",
    "\u2028\u2029\x00\x1b[31m",
    "\ud800 lone",
    "{{7*7}} ${1} %s",
]


def with_text(text: str) -> Report:
    """A report with `text` wherever a report has text."""
    full = a_report(trees=2)
    nodes = tuple(replace(node, text=text + str(i)) for i, node in enumerate(full.trees[0].nodes))
    tree = replace(
        full.trees[0], problem_id=text, prompt=text, reference=text, answer=text, nodes=nodes
    )
    labels = (Label(STRATEGIES[0], text, text), *full.labels[1:])
    return replace(
        full,
        title=text,
        provenance=Provenance(text, (text,), text, 5, 1, text, text, text),
        notes=(text,),
        labels=labels,
        calibrations=(replace(full.calibrations[0], verifier=text, unit=text),),
        trees=(tree, full.trees[1]),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_text_stays_text(text):
    page, usual = render(with_text(text)), render(with_text("plain"))
    there, wanted = Page(page), Page(usual)
    # A long label takes more lines and has more places to break; nothing else may differ.
    lines = ("wbr", "text")
    assert [t for t in there.tags if t not in lines] == [t for t in wanted.tags if t not in lines]
    assert not [name for _, name, _ in there.attributes if name.startswith("on")]
    assert embedded(page)["trees"][0]["prompt"] == text.replace("\ud800", "\ufffd")
    page.encode()  # lone surrogates are gone


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=40))
def test_any_text_stays_text(text):
    small = a_small_report()
    tree = replace(a_tree(1, random.Random(1)), problem_id=text, prompt=text, answer=text, nodes=())
    report = replace(small, title=text, notes=(text,), labels=(), trees=(tree,))
    page = render(report)
    assert Page(page).tags.count("script") == 2
    assert embedded(page)["trees"][0]["prompt"] == text


def test_labels_of_strategies_show_in_place_of_their_names():
    page = Page(render(a_small_report()))
    assert "best-of-N" in page.text["text"]
    assert "best_of_n()" not in page.text["text"]


# Trees -------------------------------------------------------------------------------------------


def test_trees_are_embedded_whole():
    report = a_report(trees=3)
    data = embedded(render(report))
    for tree, packed in zip(report.trees, data["trees"], strict=True):
        assert packed["id"] == tree.problem_id and packed["right"] == tree.right
        for node, (number, parent, text, score, flags, *answer) in zip(
            tree.nodes, packed["nodes"], strict=True
        ):
            assert (number, parent) == (node.number, node.parent)
            assert data["texts"][text] == node.text
            assert score == (None if node.score is None else round(node.score, 3))
            states = (node.on_chosen_path, node.kept, node.finished, node.truncated)
            assert flags == sum(state << bit for bit, state in enumerate(states))
            assert answer == ([] if node.answer is None else [node.answer])


@pytest.mark.parametrize("numbers", [((0, 5),), ((1, 0), (0, -1)), ((0, -1), (0, -1)), ((0, 0),)])
def test_a_tree_that_is_none_is_refused(numbers):
    nodes = tuple(Node(n, p, "a", 0.5, False, True, False, False) for n, p in numbers)
    tree = replace(a_tree(1, random.Random(1)), nodes=nodes)
    with pytest.raises(UsageError, match="sums/0001"):
        render(replace(a_small_report(), trees=(tree,)))


def test_two_hundred_trees_of_three_hundred_steps_fit_in_five_megabytes():
    nodes = tuple(
        Node(i, i // 4 - 1, f"x{i} = {i} * 7 + 13 = {7 * i + 13}\n", (i % 97) / 97, i % 9 == 0,
             i % 2 == 0, i > 200, False, str(i) if i > 200 else None)
        for i in range(300)
    )  # fmt: skip
    tree = replace(a_tree(1, random.Random(1)), nodes=nodes)
    trees = tuple(replace(tree, problem_id=str(index)) for index in range(200))
    assert len(render(replace(a_small_report(), trees=trees)).encode()) < 5_000_000


# Writing -----------------------------------------------------------------------------------------


def test_a_report_is_written_whole(tmp_path):
    target = tmp_path / "new" / "report.html"
    write(a_small_report(), target)
    assert target.read_text("utf-8") == render(a_small_report())
    assert list(target.parent.iterdir()) == [target]


def test_a_disk_that_will_not_have_it_keeps_the_old_report(tmp_path, monkeypatch):
    target = tmp_path / "report.html"
    target.write_text("old")

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match=r"report\.html: No space left on device; free some space"):
        write(a_small_report(), target)
    assert target.read_text() == "old"


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path):
    with pytest.raises(RunError, match=re.escape(str(tmp_path))):
        write(a_small_report(), tmp_path)
    assert not list(tmp_path.parent.glob("*.part"))


# Small parts -------------------------------------------------------------------------------------


def test_the_package_exports_what_it_says():
    assert set(outthink.report.__all__) == {"Report", "render", "verdict", "write"}
    assert all(hasattr(outthink.report, name) for name in outthink.report.__all__)


@given(st.floats(0, 1), st.floats(0, 1), st.integers(3, 9))
def test_ticks_enclose_the_range_and_are_few(one, two, most):
    low, high = min(one, two), max(one, two)
    found = ticks(low, high, most=most)
    assert found[0] <= low + 1e-6 and found[-1] >= high - 1e-6
    assert 2 <= len(found) <= most


@given(st.lists(st.tuples(st.floats(0, 300), st.sampled_from([17.0, 31.0])), max_size=12))
def test_labels_never_overlap_and_keep_their_order(boxes):
    boxes.sort()
    wanted, heights = [b[0] for b in boxes], [b[1] for b in boxes]
    tops = spread(wanted, heights, low=0, high=300)
    assert all(b >= a + h - 1e-6 for a, b, h in zip(tops, tops[1:], heights, strict=False))
    assert all(top >= -1e-6 for top in tops)
    if sum(heights) <= 300:
        assert all(top + h <= 300 + 1e-6 for top, h in zip(tops, heights, strict=True))


def test_crowded_tick_labels_are_thinned_evenly():
    assert thin_out(["1", "2", "4"], 60) == ["1", "2", "4"]
    assert thin_out(["64", "128", "256", "512"], 20) == ["64", "", "256", ""]
