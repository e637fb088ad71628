"""The claims, judged where the right verdict is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import SHAPES, World, evidence

from outthink.measure import exchange
from outthink.measure.difficulty import Agreement
from outthink.measure.exchange import Accounting, Measured
from outthink.measure.grid import Grid
from outthink.measure.intervals import Interval
from outthink.paper.claims import CLAIMS, Judgement, Verdict, judge_all
from outthink.paper.claims.base import above, below, better, mean, ratio
from outthink.paper.evidence import BASELINE, Scale
from outthink.paper.findings import (
    RATIOS,
    Axis,
    Bins,
    ChainFacts,
    Exchanged,
    Findings,
    Goodhart,
    interaction,
    share_out,
)
from outthink.policy import table as policy

BY_ID = {claim.id: claim for claim in CLAIMS}
P = 400
FIFTHS = np.arange(P) * 5 // P
"""The bin of each problem."""
NOISE = np.random.default_rng(0)


# The table ---------------------------------------------------------------------------------------


def test_every_claim_is_there_once_and_in_order():
    assert [claim.id for claim in CLAIMS] == [f"C{number:02d}" for number in range(1, 46)]


def test_contradictions_are_linked_both_ways():
    for claim in CLAIMS:
        assert claim.id not in claim.contradicts
        for other in claim.contradicts:
            assert claim.id in BY_ID[other].contradicts, (claim.id, other)


def test_every_claim_says_what_it_is_who_says_it_and_what_decides_it():
    for claim in CLAIMS:
        assert claim.text and claim.stated_in and claim.paper
        assert claim.rule.endswith(".")


def test_no_judgement_is_without_a_verdict_or_a_reason():
    with pytest.raises(AssertionError):
        Judgement(Verdict.UNDECIDED, (), "Seen.")
    Judgement(Verdict.UNDECIDED, (), "Seen.", "too few")


# All of them, on evidence that looks like a real run ---------------------------------------------

SMALL = Scale(100, 64, 64, 8, 16, 8, (1, 4, 16), 0, 60, 60, 16)


@pytest.fixture(scope="module")
def all_judged():
    return judge_all(evidence(World(problems=100), SMALL))


def test_every_claim_has_a_verdict_or_a_reason(all_judged):
    assert [each.claim for each in all_judged] == list(CLAIMS)
    for each in all_judged:
        judgement = each.judgement
        assert judgement.sentence.endswith(".")
        assert judgement.verdict in (Verdict.CONFIRMED, Verdict.REFUTED) or judgement.reason


def test_figures_lie_in_their_intervals_and_say_how_many_problems(all_judged):
    for each in all_judged:
        for figure in each.judgement.figures:
            assert np.isfinite(figure.value), figure
            if figure.low is not None:
                assert figure.low <= figure.value + 1e-9, figure
            if figure.high is not None:
                assert figure.value <= figure.high + 1e-9, figure
            if figure.low is not None or figure.high is not None:
                assert figure.problems


def test_what_was_not_run_at_this_scale_is_not_testable(all_judged):
    by_id = {each.claim.id: each.judgement for each in all_judged}
    for name in ("C10", "C18"):
        assert by_id[name].verdict is Verdict.NOT_TESTABLE
        assert "128" in by_id[name].reason


def test_thirty_claims_at_least_are_not_left_to_others(all_judged):
    outside = [each for each in all_judged if each.claim.how == "outside"]
    assert {each.claim.id for each in outside} == {"C03", "C40", "C45"}
    tested = [j for j in all_judged if j.judgement.verdict is not Verdict.NOT_TESTABLE]
    assert len(tested) >= 30


@pytest.mark.parametrize(
    ("claim", "named"),
    [
        ("C17", ("dvts(step=mean)", "rebase(step=mean)", "mcts(step=mean)")),
        ("C28", ("dvts(step=mean)", "rebase(step=mean)", "mcts(step=mean)")),
        ("C34", ("dvts at", "rebase at", "particles at", "mcts at")),
        ("C35", ("dvts, rebase, particles, mcts",)),
        ("C41", ("self-refine of", "revision_beam of", "ab_mcts of")),
    ],
)
def test_searches_that_came_after_the_paper_are_evidence(all_judged, claim, named):
    [judgement] = [each.judgement for each in all_judged if each.claim.id == claim]
    for name in named:
        assert any(name in figure.name for figure in judgement.figures)


def test_a_run_without_those_searches_is_judged_by_the_papers_alone(all_judged):
    without = Findings(replace(evidence(World(problems=100), SMALL), searches=None))
    by_id = {each.claim.id: each.judgement for each in all_judged}
    for name in ("C17", "C28", "C35", "C41"):
        alone = BY_ID[name].judge(without)
        assert alone.verdict is by_id[name].verdict
        assert set(alone.figures) < set(by_id[name].figures)


def test_the_same_evidence_is_judged_the_same(all_judged):
    again = Findings(evidence(World(problems=100), SMALL))
    by_id = {each.claim.id: each.judgement for each in all_judged}
    for name in ("C01", "C13", "C25", "C31"):
        assert BY_ID[name].judge(again) == by_id[name]


# Intervals ---------------------------------------------------------------------------------------


def test_what_never_happened_on_few_problems_is_not_proven_never_to():
    assert mean(np.zeros(30)).high == pytest.approx(0.1)
    assert mean(np.zeros(3000)).high == pytest.approx(0.001)


def test_fewer_than_twenty_problems_decide_nothing():
    few, many = Interval(0.5, 0.4, 0.6, 19), Interval(0.5, 0.4, 0.6, 20)
    assert not above(few, 0.0) and not below(few, 1.0)
    assert above(many, 0.0) and below(many, 1.0)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.001, 0.2, Verdict.CONFIRMED),
        (-0.01, 0.009, Verdict.REFUTED),
        (-0.01, 0.02, Verdict.UNDECIDED),
    ],
)
def test_better_needs_its_interval_on_the_right_side(low, high, verdict):
    assert better(Interval((low + high) / 2, low, high, 100)) is verdict


def test_what_rounding_leaves_is_no_difference():
    assert better(Interval(2e-17, 1e-17, 3e-17, 500)) is Verdict.REFUTED


def test_a_ratio_of_nothing_is_none():
    assert ratio(np.zeros(5), np.zeros(5)) is None
    assert ratio(np.ones(50), 2 * np.ones(50)).mean == 0.5


# Judged where the verdict is known ---------------------------------------------------------------


def findings(**parts):
    """Findings that already know some of their parts; `main` and others belong to the evidence."""
    given = {
        "predicted_bins": FIFTHS,
        "oracle_bins": FIFTHS,
        "predicted": SimpleNamespace(samples=4),
        "main": SimpleNamespace(
            plan=SimpleNamespace(pooled=(), budgets=(1, 4, 16, 64), pool=256, chains=64),
            problems=[SimpleNamespace(id=str(number)) for number in range(P)],
        ),
        "deep": object(),
        "shapes": SHAPES,
        "seed": 0,
    }
    given |= parts.pop("evidence", {})
    found = Findings(SimpleNamespace(**given))
    found._curves.update(parts.pop("curves", {}))
    found.__dict__.update(parts)
    return found


def verdict(name, found):
    return BY_ID[name].judge(found).verdict


def hits(chance, size=P):
    """[size] 1.0 as often as chance says, the same problems for a higher chance too."""
    spread = np.random.default_rng(1).permutation(size) / size
    return (spread < chance).astype(np.float64)


def axis(name, curves, budgets, base_budgets, base, cost=4.0):
    """An axis of strategies with mean accuracies by budget, and a base."""
    accuracy = np.array([[hits(chance) for chance in row] for row in curves.values()])
    grid = Grid(tuple(map(str, range(P))), tuple(curves), tuple(budgets), accuracy)
    fits = {kind: policy.fit(grid, FIFTHS, repeats=4) for kind in Bins}
    base_curve = np.array([hits(chance) for chance in base])
    return Axis(name, next(iter(curves)), tuple(base_budgets), base_curve, grid, fits, cost)


POWERS = tuple(2**power for power in range(9))
RISING = [0.1 * (1 + power) for power in range(9)]


@pytest.mark.parametrize(("at_16", "expected"), [(0.88, Verdict.CONFIRMED), (0.5, Verdict.REFUTED)])
def test_four_times_is_seen_where_it_is_and_not_where_it_is_not(at_16, expected):
    made = axis("search", {"best": [at_16]}, [16], POWERS, RISING)
    assert verdict("C01", findings(search=made, revisions=made)) is expected


def test_a_saving_beyond_what_the_base_was_measured_to_refutes_nothing():
    made = axis("search", {"best": [0.95]}, [64], POWERS[:7], RISING[:7])
    assert verdict("C01", findings(search=made, revisions=made)) is Verdict.UNDECIDED


@pytest.mark.parametrize(("at_4", "expected"), [(0.75, Verdict.CONFIRMED), (0.35, Verdict.REFUTED)])
def test_difficulty_is_free_where_the_saving_survives_it(at_4, expected):
    # 0.35 is worth 6 samples of the base: more than 4, less than the 8 that are charged.
    made = axis("search", {"best": [at_4]}, [4], POWERS, RISING)
    plan = SimpleNamespace(budgets=(4,), pooled=())
    found = findings(
        search=made,
        revisions=made,
        search_by_samples={},
        evidence={"main": SimpleNamespace(plan=plan)},
    )
    assert verdict("C43", found) is expected


@pytest.mark.parametrize(("apart", "expected"), [(0.0, "confirmed"), (0.1, "refuted")])
def test_predicted_bins_are_as_good_or_not(apart, expected):
    made = axis("search", {"best": [0.5]}, [4], POWERS, RISING)
    better_held_out = hits(0.5) + 0.0
    worse = np.where(np.arange(P) % 10 == 0, 0.0, better_held_out) if apart else better_held_out
    made.fits[Bins.PREDICTED].held_out[0] = np.clip(worse + 1e-4 * NOISE.random(P), 0, 1)
    found = findings(
        search=made,
        revisions=made,
        search_by_samples={},
        agreement=Agreement(1.0, 1.0, 1.0, np.zeros((5, 5), np.int64), P),
        evidence={"main": SimpleNamespace(plan=SimpleNamespace(budgets=(4,), pooled=()))},
    )
    assert verdict("C14", found) == expected


def beam_axis(easy, middle):
    """Beam search above best-of-N by so much at 256, by bin."""
    base = hits(0.5)
    chances = np.select([FIFTHS < 2, FIFTHS < 4], [0.5 + easy, 0.5 + middle], 0.5)
    beam = (np.random.default_rng(1).permutation(P) / P < chances).astype(float)
    grid = Grid(
        tuple(map(str, range(P))), ("best_of_n", "beam"), (256,), np.array([[base], [beam]])
    )
    fits = {kind: policy.fit(grid, FIFTHS, repeats=4) for kind in Bins}
    return Axis("search", BASELINE, POWERS, np.array([hits(c) for c in RISING]), grid, fits, 4.0)


@pytest.mark.parametrize(
    ("easy", "middle", "expected"),
    [(-0.2, 0.2, "confirmed"), (0.2, -0.2, "refuted"), (0.0, 0.0, "undecided")],
)
def test_beam_search_wins_the_middle_and_loses_the_easy(easy, middle, expected):
    assert verdict("C10", findings(search=beam_axis(easy, middle))) == expected


@pytest.mark.parametrize(("easy", "expected"), [(-0.2, "confirmed"), (0.2, "refuted")])
def test_guidance_harms_easy_questions_or_not(easy, expected):
    goodhart = Goodhart((1, 4), np.full((2, P), 0.5), np.full((2, P), 0.5))
    found = findings(search=beam_axis(easy, 0.0), goodhart_prm=goodhart)
    assert verdict("C18", found) == expected


def test_beam_search_worth_less_than_its_samples_is_not_worth_four_times():
    # 0.5 is what the base has at 16.
    assert verdict("C12", findings(search=beam_axis(0.0, 0.0))) is Verdict.REFUTED


def test_without_the_deep_run_beam_search_at_256_is_not_judged():
    found = findings(search=beam_axis(-0.2, 0.2), evidence={"deep": None})
    assert verdict("C10", found) is Verdict.NOT_TESTABLE


# Revisions


def splits(by_length):
    """What each length of chains gets in all bins alike, or by bin."""
    lengths = tuple(by_length)
    spread = np.random.default_rng(2).permutation(P) / P
    rows = [spread < np.broadcast_to(chance, 5)[FIFTHS] for chance in by_length.values()]
    accuracy = np.array(rows, np.float64)
    grid = Grid(
        tuple(map(str, range(P))), tuple(map(str, lengths)), (lengths[-1],), accuracy[:, None]
    )
    made = Axis("revisions", "1", POWERS, np.zeros((9, P)), grid, {}, 4.0)
    return findings(revisions=made, sweep=(lengths, accuracy))


SEQUENTIAL = splits({1: 0.3, 4: 0.4, 16: 0.6})
PARALLEL = splits({1: 0.6, 4: 0.4, 16: 0.3})
MIXED = splits({1: 0.3, 4: 0.6, 16: 0.3})
MOVING = splits({1: [0.2, 0.2, 0.3, 0.5, 0.6], 4: 0.35, 16: [0.6, 0.5, 0.3, 0.2, 0.2]})


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("C07", SEQUENTIAL, "confirmed"),
        ("C07", PARALLEL, "refuted"),
        ("C08", PARALLEL, "confirmed"),
        ("C08", SEQUENTIAL, "refuted"),
        ("C09", SEQUENTIAL, "confirmed"),
        ("C09", MIXED, "refuted"),
        ("C13", MOVING, "confirmed"),
        ("C13", MIXED, "refuted"),
    ],
)
def test_splits(name, found, expected):
    assert verdict(name, found) == expected


def chain_findings(steps, *, broken=0.0, at_once=0.5):
    """Chains with these chances at each place."""
    rows = np.array([hits(chance) for chance in steps])
    ones = np.ones(P)
    facts = ChainFacts(
        pass_at_1=rows,
        broken=hits(broken),
        kept_or_broken=ones,
        mended=hits(0.2),
        mended_or_not=ones,
        solved=ones,
        solved_at_once=hits(at_once),
        short=4,
    )
    return findings(chain_facts=facts)


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("C21", chain_findings([0.3] * 5 + [0.5] * 11), "confirmed"),
        ("C21", chain_findings([0.3] * 5 + [0.2] * 11), "refuted"),
        ("C21", chain_findings([0.3] * 4), "not testable here"),
        ("C22", chain_findings([0.3] * 4, broken=0.38), "confirmed"),
        ("C22", chain_findings([0.3] * 4, broken=0.0), "refuted"),
        ("C37", chain_findings([0.6] * 8 + [0.3] * 8), "confirmed"),
        ("C37", chain_findings([0.3] * 8 + [0.6] * 8), "refuted"),
        ("C38", chain_findings([0.3] * 4, at_once=0.99), "confirmed"),
        ("C38", chain_findings([0.3] * 4, at_once=0.6), "refuted"),
    ],
)
def test_chains(name, found, expected):
    assert verdict(name, found) == expected


# Against the larger model


def exchanged(small, large, budgets=(1, 4, 16, 60, 256)):
    """S with these chances by budget (and bin), against L's; nothing charged."""
    spread = np.random.default_rng(3).permutation(P) / P

    def draw(chance):
        return (spread < np.broadcast_to(chance, 5)[FIFTHS]).astype(np.float64)

    measured = Measured(budgets, np.array([draw(c) for c in small]), draw(large), 14.0, FIFTHS)
    accounting = Accounting("test")
    return Exchanged(
        measured,
        accounting,
        exchange.compare(measured, RATIOS, accounting),
        exchange.crossovers(measured, accounting),
    )


def larger(small, large, **options):
    found = exchanged(small, large, **options)
    return findings(exchanged=found, exchanged_oracle=found)


WINS = larger([0.1, 0.3, 0.5, 0.7, 0.9], 0.6)
LOSES = larger([0.1, 0.2, 0.3, 0.4, 0.5], 0.8)
CAPPED = larger([0.1, 0.2, 0.3], 0.8, budgets=(1, 4, 16))
EVERYWHERE = larger([0.8, 0.8, 0.8, 0.8, 0.9], 0.6)
LATE = larger([0.1, 0.1, 0.1, 0.1, 0.9], 0.89)


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("C02", WINS, "confirmed"),
        ("C02", LOSES, "refuted"),
        ("C02", CAPPED, "undecided"),
        ("C04", WINS, "confirmed"),
        ("C04", LOSES, "refuted"),
        ("C04", CAPPED, "undecided"),
        ("C19", WINS, "confirmed"),
        ("C19", EVERYWHERE, "refuted"),
        ("C19", LOSES, "refuted"),
        ("C19", CAPPED, "undecided"),
        ("C33", WINS, "refuted"),
        ("C33", LATE, "confirmed"),
        ("C33", LOSES, "undecided"),
    ],
)
def test_against_the_larger_model(name, found, expected):
    assert verdict(name, found) == expected


@pytest.mark.parametrize(("small", "expected"), [(0.9, "confirmed"), (0.3, "refuted")])
def test_the_largest_ratio_overcome(small, expected):
    found = exchanged([0.1, 0.1, 0.1, 0.1, small], 0.6)
    spent = SimpleNamespace(flops={"paper": 1.0})
    given = findings(exchanged=found, evidence={"large_greedy": found.measured.large})
    given.__dict__["greedy_large"] = spent
    given.__dict__["ledger"] = (
        SimpleNamespace(strategy="best_of_n", budget=64, flops={"paper": 10.0}),
    )
    assert verdict("C36", given) == expected


# What a verifier is good for


def curves(**chances):
    """Accuracy of named strategies at 1 and 64 samples."""
    return {(name, n): hits(chance) for name, row in chances.items() for n, chance in row.items()}


@pytest.mark.parametrize(
    ("weighted", "expected"), [(0.7, Verdict.CONFIRMED), (0.3, Verdict.REFUTED)]
)
def test_a_useful_verifier_beats_the_vote(weighted, expected):
    orm = SimpleNamespace(plan=SimpleNamespace(pool=64), curve=lambda *_: hits(0.4)[None])
    found = findings(
        curves=curves(best_of_n={64: weighted}, majority={64: 0.5}),
        auc_prm=0.8 + 0.1 * NOISE.random(P),
        auc_orm=0.8 + 0.1 * NOISE.random(P),
        evidence={"orm": orm},
    )
    assert verdict("C16", found) is expected


@pytest.mark.parametrize(("noisy", "expected"), [(0.5, Verdict.REFUTED), (0.1, Verdict.CONFIRMED)])
def test_a_noisy_verifier_still_helps_or_not(noisy, expected):
    found = findings(
        curves=curves(best_of_n={1: 0.2}, majority={64: 0.3}),
        flipped={0.0: hits(0.6), 0.2: hits(noisy)},
    )
    assert verdict("C25", found) is expected


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        ([0.2, 0.4, 0.6], Verdict.CONFIRMED),
        ([0.2, 0.6, 0.4], Verdict.REFUTED),
        ([0.2, 0.6, 0.6], Verdict.UNDECIDED),
    ],
)
def test_a_score_that_rises_while_accuracy_falls(accuracy, expected):
    rows = np.array([hits(chance) for chance in np.repeat(accuracy, 2)[:5]])
    made = Goodhart((1, 2, 4, 8, 16), np.linspace(0.5, 0.9, 5)[:, None] + np.zeros(P), rows)
    assert verdict("C26", findings(goodhart_prm=made, goodhart_orm=made)) is expected


# The two ends


@pytest.mark.parametrize(("after", "expected"), [(0.0, "confirmed"), (0.3, "refuted")])
def test_what_success_0_leaves(after, expected):
    found = exchanged([0.0, 0.0, 0.0, 0.0, after], 0.5)
    oracle = SimpleNamespace(values=np.zeros(P), samples=256)
    given = findings(
        exchanged_oracle=found,
        curves={(BASELINE, 1): np.zeros(P)},
        coverage=((1, 256), np.zeros((2, P))),
        evidence={"main": SimpleNamespace(oracle=oracle)},
    )
    assert verdict("C05", given) == expected


def test_few_problems_of_success_0_decide_nothing():
    oracle = SimpleNamespace(values=np.arange(P) / P, samples=256)
    given = findings(
        exchanged_oracle=exchanged([0.0] * 5, 0.5),
        evidence={"main": SimpleNamespace(oracle=oracle)},
    )
    assert verdict("C05", given) is Verdict.UNDECIDED


@pytest.mark.parametrize(("after", "expected"), [(0.9, "refuted"), (0.5, "undecided")])
def test_the_easiest_bin_gains_or_not(after, expected):
    made = axis("both", {"best": [0.5, after]}, [1, 16], POWERS, RISING)
    assert verdict("C06", findings(both=made)) == expected


@pytest.mark.parametrize(("after", "expected"), [(0.5, "confirmed"), (0.01, "refuted")])
def test_the_hardest_bin_gains_or_not(after, expected):
    found = exchanged([0.0, 0.0, 0.0, 0.0, after], 0.5)
    one = np.where(FIFTHS == 4, found.at_largest * (after < 0.1), 0.0)
    # All alike has no width on 80 problems: let it be a little noisy.
    noisy = one + 1e-6 * NOISE.random(P)
    given = findings(exchanged_search=found, curves={(BASELINE, 1): noisy})
    assert verdict("C11", given) == expected


# Laws


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        (lambda k: np.exp(-2.0 * k**-0.5), Verdict.CONFIRMED),
        (lambda k: np.exp(-2.0 * k**-0.5), Verdict.NOT_TESTABLE),
        (lambda k: np.minimum(0.2 * k**0.5, 0.5), Verdict.REFUTED),
    ],
)
def test_a_law_is_judged_by_what_it_says_further_on(truth, expected):
    budgets = POWERS
    covered = np.array([truth(float(k)) + np.zeros(P) for k in budgets])
    wobble = 0.02 * (NOISE.random(P) - 0.5)
    if expected is Verdict.NOT_TESTABLE:
        covered, wobble = covered[:, :19], wobble[:19]
    right = NOISE.random((P, 64)) < NOISE.beta(0.5, 2, (P, 1))
    pools = [SimpleNamespace(right=row) for row in right]
    found = findings(
        coverage=(budgets, np.clip(covered + wobble, 0, 1)),
        evidence={"main": SimpleNamespace(pools=pools, plan=SimpleNamespace(pool=64))},
    )
    assert verdict("C31", found) is expected


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        (lambda n: 1 - 0.9 * n**-0.3, Verdict.CONFIRMED),
        (lambda n: 0.5 - 0.4 * n**-1.0, Verdict.REFUTED),
    ],
)
def test_returns_follow_a_power_law_or_not(truth, expected):
    budgets = POWERS
    accuracy = np.array([truth(float(n)) + 0.002 * (NOISE.random(P) - 0.5) for n in budgets])
    assert verdict("C32", findings(read_curve=(budgets, np.clip(accuracy, 0, 1)))) is expected


# Calculated


@pytest.mark.parametrize("name", ["C20", "C23", "C24"])
def test_what_arithmetic_refutes(name):
    assert verdict(name, findings()) is Verdict.REFUTED


def test_the_figures_of_the_worked_example_are_the_right_ones():
    figures = {figure.name: figure.value for figure in BY_ID["C23"].judge(findings()).figures}
    assert figures["by its own rule, ten revisions"] == pytest.approx(0.6)
    assert figures["one of 10 samples right"] == pytest.approx(1 - 0.9**10)


@pytest.mark.parametrize("name", ["C03", "C40", "C45"])
def test_what_is_outside_says_why(name, all_judged):
    judgement = next(each.judgement for each in all_judged if each.claim.id == name)
    assert judgement.verdict is Verdict.NOT_TESTABLE and len(judgement.reason) > 20


@pytest.mark.parametrize(
    ("name", "said", "value"),
    [
        ("C37", "longer - shorter half", -0.0754),
        ("C37", "longer - shorter half, of those with an answer", -0.0708),
        ("C40", "first of 8 to finish - vote", -0.120),
        ("C40", "last of 8 to finish - vote", -0.221),
    ],
)
def test_claims_about_length_show_what_a_public_recording_says(all_judged, name, said, value):
    judgement = next(one.judgement for one in all_judged if one.claim.id == name)
    seen = next(one for one in judgement.figures if one.name.endswith(said))
    assert seen.value == pytest.approx(value, abs=0.005)
    assert seen.low < seen.value < seen.high
    assert seen.problems == 40


def test_the_recording_changes_no_verdict():
    # C37 is judged by chains alone, whichever way the recording points.
    assert verdict("C37", chain_findings([0.3] * 8 + [0.6] * 8)) == "refuted"


def test_how_much_of_a_chain_is_needed_is_shown_where_tokens_are_known(made):
    judgement = BY_ID["C38"].judge(made)
    seen = next(one for one in judgement.figures if "outcome efficiency" in one.name)
    assert 0 < seen.value < 1
    unknown = BY_ID["C38"].judge(chain_findings([0.3] * 4))
    assert not [one for one in unknown.figures if "outcome efficiency" in one.name]


# Findings ----------------------------------------------------------------------------------------


def test_an_interaction_is_seen_where_the_order_turns_and_not_where_all_shift():
    rng = np.random.default_rng(4)
    shift = np.array([[0.3], [0.6]]) - 0.1 * FIFTHS
    turned = np.array([0.2 + 0.1 * FIFTHS, 0.6 - 0.1 * FIFTHS])
    noise = 0.2 * rng.standard_normal((2, P))
    assert interaction(shift + noise, FIFTHS) > 0.05
    assert interaction(turned + noise, FIFTHS) < 0.01


def test_a_budget_is_shared_out_where_it_helps():
    # Bin 5 gains from a large budget, all others are solved by one sample.
    accuracy = np.where(FIFTHS == 4, np.array([[0.0], [0.2], [1.0]]), 1.0)
    shared = share_out(accuracy, [1, 4, 16], FIFTHS, 4.0)
    assert shared.mean() == pytest.approx(1.0)
    assert share_out(accuracy, [1, 4, 16], FIFTHS, 1.0)[FIFTHS == 4].mean() == 0.0


@pytest.fixture(scope="module")
def made():
    return Findings(evidence(World(problems=100, improve=0.3, spoil=0.2), SMALL))


def test_no_strategy_competes_with_itself(made):
    for each in made.axes:
        first = each.grid.accuracy[:, 0, 0]
        live = [
            name
            for name, value in zip(each.grid.strategies, first, strict=True)
            if not np.isnan(value)
        ]
        assert not any(name.startswith(("beam", "lookahead")) for name in live)
    lengths, _ = made.sweep
    assert lengths == (1, 2, 4, 8, 16)


def test_chains_give_back_the_kernel_they_were_drawn_from(made):
    facts = made.chain_facts
    assert facts.broken.sum() / facts.kept_or_broken.sum() == pytest.approx(0.2, abs=0.03)
    assert facts.mended.sum() / facts.mended_or_not.sum() == pytest.approx(0.3, abs=0.03)
    assert facts.pass_at_1[-1].mean() == pytest.approx(0.6, abs=0.15)


def test_net_factors_charge_difficulty_and_gross_ones_do_not(made):
    for each in made.axes:
        assert [row.cost - row.n for row in each.net] == [4.0] * len(each.net)
        assert [row.cost for row in each.gross] == [row.n for row in each.gross]


def test_the_exchange_is_made_at_the_budgets_that_equal_flops_allow(made):
    rows = {row.token_ratio: row for row in made.exchanged.comparisons if row.bin is None}
    assert rows[22.0].budget == round(rows[22.0].matched)
    assert rows[0.16].match == "capped"


def test_a_chain_waits_for_its_answers_and_samples_do_not(made):
    n = made.top
    sample = made.spending("best_of_n", n).depth
    assert made.spending("revise(sequential=16)", n).depth == pytest.approx(n * sample, rel=0.01)
