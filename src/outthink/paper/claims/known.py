"""Claims that are decided by arithmetic, or by a simulation with known parameters."""

from __future__ import annotations

import numpy as np

from outthink.paper import simulate
from outthink.paper.claims.base import (
    Claim,
    How,
    Judgement,
    Unit,
    Verdict,
    judged,
    number,
    untestable,
)
from outthink.paper.findings import Findings
from outthink.paper.simulate import Binormal

# C23: ten rounds of revision ----------------------------------------------------------------------

START, GAIN, ROUNDS, STATED = 0.1, 0.05, 10, 0.65
ROUNDED = 0.005
"""Half a unit of the second decimal: the stated value is rounded to two."""


def _c23(findings: Findings) -> Judgement:
    rounds = simulate.linear_revision(START, GAIN, ROUNDS)
    counted = {"round 1 is the start": rounds[ROUNDS - 1], "ten revisions": rounds[ROUNDS]}
    covered = float(simulate.coverage(np.array([START]), [ROUNDS])[0, 0])
    right = any(abs(value - STATED) <= ROUNDED for value in counted.values())
    return judged(
        Verdict.CONFIRMED if right else Verdict.REFUTED,
        [
            *(
                number(f"by its own rule, {name}", value, Unit.SHARE)
                for name, value in counted.items()
            ),
            number(f"one of {ROUNDS} samples right", covered, Unit.SHARE),
        ],
        f"The rule gives {counted['round 1 is the start']:.2f} or {counted['ten revisions']:.2f}; "
        f"{covered:.3f} is the probability that one of {ROUNDS} independent samples is right.",
    )


# C24: best of ten ---------------------------------------------------------------------------------

P, SAMPLES, TOLD = 0.5, 10, 0.999
GOOD = 0.9
"""AUC of a good verifier that is not perfect."""
NEARLY = 0.99
"""The accuracy it must reach."""
AUCS = (0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def _c24(findings: Findings) -> Judgement:
    one = np.array([P])
    covered = float(simulate.coverage(one, [SAMPLES])[0, 0])
    needed = simulate.auc_needed(P, SAMPLES, NEARLY)
    assert needed is not None, "a perfect verifier gets there"
    reached = {
        auc: float(Binormal.of_auc(auc).best_of_n(one, [SAMPLES])[0, 0]) for auc in {*AUCS, GOOD}
    }
    holds = covered >= TOLD and reached[GOOD] >= NEARLY
    return judged(
        Verdict.CONFIRMED if holds else Verdict.REFUTED,
        [
            number("one of ten right, a perfect verifier", covered, Unit.SHARE),
            *(
                number(f"best-of-ten, AUC {auc:g}", reached[auc], Unit.SHARE)
                for auc in sorted(reached)
            ),
            number(f"AUC needed for {NEARLY:g}", needed),
        ],
        f"{covered:.4f} needs a perfect verifier: with an AUC of {GOOD:g}, best-of-ten reaches "
        f"{reached[GOOD]:.3f}, and reaching {NEARLY:g} needs an AUC of {needed:.3f}.",
    )


# C27: the optimal number of samples ---------------------------------------------------------------

CHANCES = (0.01, 0.05, 0.1, 0.3, 0.5, 0.9)
COST = 64
"""Samples that the budget C pays for."""


def _c27(findings: Findings) -> Judgement:
    ns = np.arange(1, COST + 1)
    optimal = {
        p: int(ns[simulate.coverage(np.array([p]), ns.tolist())[:, 0].argmax()]) for p in CHANCES
    }
    # The smallest N that is best: once coverage rounds to 1, more samples change nothing.
    grows = all((np.diff(ns * np.log1p(-p)) < 0).all() for p in CHANCES)
    chances = findings.evidence.main.oracle.values
    n = findings.top
    shared = simulate.allocate(chances, n * chances.size)
    gain = (shared.solved - shared.uniform) / chances.size
    return judged(
        Verdict.REFUTED if grows else Verdict.CONFIRMED,
        [
            *(
                number(f"best N of {COST}, p = {p:g}", COST if grows else best)
                for p, best in optimal.items()
            ),
            number(f"coverage gained by sharing {n} a problem out by p", gain, Unit.DIFFERENCE),
            number("most samples of one problem", float(shared.samples.max())),
        ],
        "As the claim is written, the best N is the whole budget for every p. Only a budget that "
        f"problems share could adapt: knowing every p, it would gain {100 * gain:.1f} points of "
        f"coverage at {n} samples a problem.",
    )


def _c45(findings: Findings) -> Judgement:
    return untestable(
        "it needs models trained by reinforcement learning to reason at length, or distilled from "
        "such models; the lab's are too small for that"
    )


CLAIMS = (
    Claim(
        "C23",
        "Ten rounds of revision from 0.1, each adding 0.05, give about 0.65.",
        ("003",),
        "Not in the paper.",
        f"Calculated by the rule as stated. Confirmed: it gives {STATED:g} to two decimals, the "
        "start counted as a round or not. Refuted: it does with neither count.",
        _c23,
        How.CALCULATED,
    ),
    Claim(
        "C24",
        "Best-of-10 at p = 0.5 gives 0.999.",
        ("003",),
        "Not in the paper; it is coverage, where an oracle chooses.",
        "Simulated with scores from two normal distributions, one for right and one for wrong "
        f"answers. Confirmed: coverage is at least {TOLD:g}, and a verifier with an AUC of "
        f"{GOOD:g} reaches {NEARLY:g}. Refuted: one of the two is not so.",
        _c24,
        How.SIMULATED,
    ),
    Claim(
        "C27",
        "The optimal number of samples N*(p, C) adapts to the difficulty p.",
        ("002",),
        "Not in the paper, which fixes N.",
        "Calculated. Refuted: 1 - (1 - p)^N rises with N for every p, so that the best N is the "
        "largest affordable. Confirmed: it does not.",
        _c27,
        How.CALCULATED,
    ),
    Claim(
        "C45",
        "Scaling inside the model, by reinforcement learning or distillation, beats search "
        "outside it.",
        ("002", "003"),
        "Not studied.",
        "Not tested: it needs such models.",
        _c45,
        How.OUTSIDE,
    ),
)
