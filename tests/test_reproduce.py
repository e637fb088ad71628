"""The page of a reproduction: everything the paper shows, and what became of the claims."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from sequential_fixtures import a_fit
from synthetic import World, evidence
from test_report import Page

from outthink.cli import main
from outthink.errors import UsageError
from outthink.paper import outcome as outcomes
from outthink.paper.claims import CLAIMS, judge_all
from outthink.paper.evidence import Scale
from outthink.paper.figures.exchange import relative_interval
from outthink.paper.findings import Findings
from outthink.paper.page import page
from outthink.paper.record import record
from outthink.paper.reproduce import reproduce
from outthink.report import data, wire
from outthink.report import reproduction_data as shown
from outthink.report.format import percent
from outthink.report.reproduction import render_reproduction

SCALE = Scale(120, 16, 16, 4, 8, 4, (1, 4), 0, 40, 40, 16)
PROVENANCE = data.Provenance("s, l", ("prm",), "synthetic", 120, 0, "0", "outthink reproduce")
FIGURES = (
    "search", "search-bins", "policy-search", "factor-search", "choices-search", "pass-at-1",
    "sequential", "ratios", "ratios-bins", "policy-revisions", "factor-revisions",
    "choices-revisions", "policy-both", "factor-both", "choices-both", "exchange-search",
    "exchange-revisions", "exchange-both", "exchange-curves-search", "exchange-curves-revisions",
    "r-star", "verifiers", "aggregations", "beams", "goodhart", "flips", "prm-on-revisions",
    "prompted-reviser",
    "agreement", "by-samples", "coverage", "costs", "labels", "policy-search-plain",
    "factor-search-plain", "policy-revisions-plain", "factor-revisions-plain",
    "policy-both-plain", "factor-both-plain",
)  # fmt: skip


def read(scale=SCALE, **world):
    findings = Findings(evidence(World(problems=scale.problems, **world), scale))
    judged = judge_all(findings)
    return page(findings, judged, provenance=PROVENANCE), record(findings, judged)


@pytest.fixture(scope="module")
def both():
    return read()


@pytest.fixture(scope="module")
def found(both):
    return both[0]


@pytest.fixture(scope="module")
def html(found):
    return render_reproduction(found)


def text_of(html):
    class Text(HTMLParser):
        said = ""

        def handle_data(self, data):
            self.said += data

    parser = Text()
    parser.feed(html)
    return parser.said


# What is on the page -----------------------------------------------------------------------------


def test_every_figure_of_the_paper_is_there(html):
    ids = re.findall(r'id="figure-([\w-]+)"', html)
    assert set(FIGURES) <= set(ids)
    assert len(ids) == len(set(ids))
    names = Page(html).values("id")
    assert len(names) == len(set(names))


def test_the_page_opens_with_what_a_policy_that_looks_at_every_answer_is_worth():
    findings = Findings(evidence(World(problems=SCALE.problems), SCALE))
    fit = a_fit()
    findings.__dict__["sequential"] = {"all": fit}  # in place of a fit on stages
    whole = page(findings, (), provenance=PROVENANCE)
    html = render_reproduction(whole)
    assert whole.parts[0].id == "sequential-policy"
    ids = set(re.findall(r'id="figure-([\w-]+)"', html))
    assert {"frontier-all", "frontier-all-spending"} <= ids
    said = text_of(html)
    for saving in fit.savings:
        assert percent(saving.accuracy.mean) in said
    assert "Members of the policy, by rising cost" in said
    assert "How" in said and "look 1" in said
    assert record(findings, ())["sequential"]["all"]["currency"] == "generations"
    assert wire.load(shown.Reproduction, wire.dump(whole)) == whole


def test_every_claim_is_there_with_its_verdict_and_figures(html, found):
    said = text_of(html)
    assert [claim.id for claim in found.claims] == [claim.id for claim in CLAIMS]
    for claim in found.claims:
        card = re.search(rf'id="claim-{claim.id}".*?</article>', html, re.S)[0]
        assert claim.verdict in card
        assert claim.text in text_of(card)
        assert claim.rule in text_of(card)
        assert claim.sentence in text_of(card)
        for figure in claim.figures:
            assert figure.name in text_of(card)
    counts = {v: sum(c.verdict == v for c in found.claims) for v in shown.VERDICTS}
    for verdict, count in counts.items():
        if count:
            assert f"{verdict} {count}" in said


def test_claims_that_contradict_each_other_stand_side_by_side(html, found):
    pairs = {
        tuple(sorted((claim.id, other))) for claim in found.claims for other in claim.contradicts
    }
    drawn = re.findall(r'class="pair">(.*?)</div></div>', html, re.S)
    seen = {tuple(re.findall(r"#claim-(C\d+)", each)) for each in drawn}
    assert pairs
    assert seen == pairs


def test_what_was_not_run_says_so_in_one_line(html):
    assert "Not run at this scale: searches ran live up to 4 generations." in text_of(html)
    one = replace(SCALE, budgets=(1,), deep=4)
    findings = Findings(evidence(World(problems=one.problems), one))
    parts = page(findings, (), provenance=PROVENANCE).parts
    missing = [item for part in parts for item in part.items if isinstance(item, shown.NotRun)]
    assert [item.id for item in missing] == ["frontier-all", "ratios-bins"]


def test_the_page_is_self_contained(html):
    parsed = Page(html)
    assert not re.search(r'(?:src|href)="(?!#|data:)', html)
    assert "http" not in "".join(parsed.text["script"])
    assert any("default-src 'none'" in value for value in parsed.values("content"))
    assert len(html.encode()) < 5_000_000


def test_text_of_claims_stays_text(found):
    claim = replace(found.claims[0], text="<script>alert(1)</script>", reason="</dl>&")
    html = render_reproduction(replace(found, claims=(claim,)))
    assert "<script>alert(1)" not in html
    assert "<script>alert(1)</script>" in text_of(html)


def test_the_summary_counts_and_gives_the_charged_factor(found):
    counts = [int(tile.value) for tile in found.key_figures[:4]]
    assert sum(counts) == len(CLAIMS) == 45
    assert found.summary.startswith("Of 45 claims")
    net = next(t for t in found.key_figures if t.name.startswith("search against weighted"))
    assert net.value.lstrip("\u2265\u202f").startswith("\u00d7")
    assert "at 8 generations" in net.note


def test_the_same_findings_give_the_same_bytes(found, html):
    assert render_reproduction(read()[0]) == html
    assert render_reproduction(found) == html


def test_a_page_survives_the_wire(found, html):
    again = wire.load(shown.Reproduction, json.loads(json.dumps(wire.dump(found))))
    assert again == found
    assert render_reproduction(again) == html


def test_an_object_that_is_no_known_item_is_refused():
    broken = {"id": "x", "name": "x", "title": "x", "lead": "x", "items": [{"id": "y"}]}
    with pytest.raises(UsageError, match=r"items\[0\] is .* not Figure or NotRun"):
        wire.load(shown.Part, broken)


def test_a_number_that_is_not_finite_is_refused(found):
    figure = shown.Evidence("x", math.nan, None, None, None, "share")
    claim = replace(found.claims[0], figures=(figure,))
    with pytest.raises(UsageError, match=r"claims\[0\]\.figures\[0\]\.value"):
        render_reproduction(replace(found, claims=(claim,)))


# The numbers -------------------------------------------------------------------------------------


def figures(found):
    return {item.id: item for part in found.parts for item in part.items}


def test_the_best_split_is_ringed(found):
    for line in figures(found)["ratios"].panels[0].lines:
        best = max(line.points, key=lambda point: point.accuracy)
        assert line.best == best.budget


def test_ratios_are_sequential_over_parallel(found):
    axis = figures(found)["ratios"].x
    names = {tick.value: tick.name for tick in axis.ticks}
    top = figures(found)["ratios"].panels[0].lines[-1]
    assert names[top.points[0].budget] == "1:8"
    assert names[top.points[-1].budget] == "8:1"


def test_bars_are_small_over_large(found):
    for group in figures(found)["exchange-search"].groups:
        for row in group.rows:
            if row.relative is not None:
                assert row.relative == pytest.approx(row.small / row.large - 1)


def test_a_ratio_to_a_model_that_may_solve_nothing_has_no_upper_end():
    small, large = np.ones(30), np.zeros(30)
    large[0] = 1
    low, high = relative_interval(np.stack([small, large]))
    assert low is not None and low > 0
    assert high is None


def test_the_record_is_plain_and_complete(both):
    found, plain = both
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text) == json.loads(json.dumps(plain))
    assert plain["problems"] == 120
    assert plain["scale"]["budgets"] == (1, 4)
    assert {row["axis"] for row in plain["cef"]} == {"search", "revisions", "both"}
    wanted = {"axis", "bins", "charged", "budget", "factor", "low", "high", "at_least", "problems"}
    assert all(wanted <= row.keys() for row in plain["cef"])
    assert [each["axis"] for each in plain["exchange"]] == ["search", "revisions", "both"]
    for each in plain["exchange"]:
        assert [row["bin"] for row in each["r_star"]] == [None, 1, 2, 3, 4, 5]
        assert {row["r"] for row in each["rows"]} == {0.16, 0.79, 22.0}
    assert [claim["verdict"] for claim in plain["claims"]] == [c.verdict for c in found.claims]
    assert 0 < plain["claims_measured"] <= 45


# Kept --------------------------------------------------------------------------------------------


@pytest.fixture
def kept(monkeypatch, both):
    """Whose the findings are that are worked out, and how often they were."""
    key = {"stores": "0" * 32, "code": "1"}
    monkeypatch.setattr(outcomes, "_key", lambda found: key)
    calls = []
    monkeypatch.setattr(
        outcomes, "_work_out", lambda *_: calls.append(1) or outcomes.Outcome(*both)
    )
    return key, calls


def test_findings_are_kept_and_read_again(tmp_path, kept):
    key, calls = kept
    first = outcomes.outcome(None, provenance=PROVENANCE, folder=tmp_path)
    named = replace(PROVENANCE, command="outthink reproduce -o other.html")
    second = outcomes.outcome(None, provenance=named, folder=tmp_path)
    assert calls == [1]
    assert second.page == replace(first.page, provenance=named)
    assert json.dumps(second.record) == json.dumps(first.record)

    key["code"] = "2"  # the code has changed
    outcomes.outcome(None, provenance=PROVENANCE, folder=tmp_path)
    assert calls == [1, 1]
    [file] = tmp_path.iterdir()
    file.write_text(file.read_text()[:1000])
    outcomes.outcome(None, provenance=PROVENANCE, folder=tmp_path)
    assert calls == [1, 1, 1]


# From the command line ---------------------------------------------------------------------------

TINY = Scale(100, 4, 4, 4, 2, 2, (1, 2), 0, 20, 20, 4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from lab_fixtures import TINY as SHAPE
    from lab_fixtures import TINY_VERIFIER, random_gpt

    from outthink.lab.gpt import save
    from outthink.lab.models import VARIANTS
    from outthink.lab.recipes import shape

    folder = tmp_path_factory.mktemp("weights")
    shapes = {"s": SHAPE, "l": shape(width=32, layers=2, heads=2), "reviser": SHAPE}
    shapes |= dict.fromkeys(("prm", "orm", "revision", *VARIANTS), TINY_VERIFIER)
    for seed, (name, known) in enumerate(shapes.items()):
        save(random_gpt(known, seed=seed), folder / f"{name}.safetensors", {})
    return folder


@pytest.mark.filterwarnings("default")
def test_the_whole_of_it_on_tiny_models_twice(tmp_path, weights, monkeypatch, capsys):
    monkeypatch.setattr("outthink.paper.evidence.QUICK", TINY)
    command = ["--debug", "reproduce", "--quick", "--json", "--weights", str(weights)]
    command += ["-o", str(tmp_path / "page.html"), "--folder", str(tmp_path / "runs")]
    assert main(command) == 0
    first, page_of_first = capsys.readouterr().out, (tmp_path / "page.html").read_bytes()
    assert main(command) == 0
    assert capsys.readouterr().out == first
    assert (tmp_path / "page.html").read_bytes() == page_of_first
    plain = json.loads(first)
    assert plain["report"] == str(tmp_path / "page.html")
    assert len(plain["claims"]) == 45
    assert main([word for word in command if word != "--json"]) == 0
    printed = capsys.readouterr().out
    assert "C45" in printed and "CEF" in printed


def test_too_few_problems_are_refused_in_one_line(tmp_path):
    with pytest.raises(UsageError, match="99 problems"):
        reproduce(
            replace(TINY, problems=99),
            seed=0,
            weights=None,
            folder=tmp_path,
            out=tmp_path / "page.html",
            command="",
        )
    assert not list(tmp_path.iterdir())


def test_help_says_what_it_does(capsys):
    assert main(["reproduce", "--help"]) == 0
    said = capsys.readouterr().out
    assert "--quick" in said and "--folder" in said and "goes on" in said


def test_a_page_that_cannot_be_written_is_refused_before_anything_runs(tmp_path, capsys):
    assert main(["reproduce", "--quick", "-o", str(tmp_path), "--folder", str(tmp_path / "r")]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_scale_is_in_the_record(both):
    assert both[1]["scale"] == asdict(SCALE)
