"""The results of a sweep, a fit, a report and a solved problem, as plain values; `as_json` writes
them as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from outthink.measure.arrays import Floats
from outthink.measure.difficulty import Agreement, Method
from outthink.measure.equivalence import Equivalence
from outthink.measure.intervals import Interval
from outthink.policy.family import Family
from outthink.policy.frontier import Frontier, Saving
from outthink.policy.live import Decision
from outthink.policy.promise import Kept
from outthink.policy.table import Fit, Policy
from outthink.policy.trials import Trials
from outthink.study.results import Accuracies
from outthink.types import Usage


@dataclass(frozen=True, slots=True)
class VersusBaseline:
    """A policy at one budget against best-of-N (weighted) that spends as much."""

    bins: Method
    """How the problems' difficulty was estimated; by oracle difficulty, the figures are an upper
    bound."""
    charged: bool
    """Whether the samples that estimate difficulty are part of the cost."""
    budget: int
    accuracy: Interval
    """On problems that the policy was not fitted on."""
    best_of_n: float
    """Accuracy of best-of-N at `best_of_n_budget`."""
    best_of_n_budget: int
    difference: Interval
    equivalence: Equivalence
    """How many times the policy's cost best-of-N needs to be as good, and that cost."""


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    """A policy fitted on a study, and how it compares with the baseline on the same problems."""

    policy: Policy
    """The policy by predicted difficulty, which can be used on new problems."""
    problems: int
    """Problems of the sweep, those without a reference included."""
    versus_baseline: tuple[VersusBaseline, ...]
    """The policy against the baseline: predicted bins, predicted bins with their cost charged,
    oracle bins; by rising budget within each."""
    base: str
    """The name of the baseline strategy."""
    baseline: Floats
    """[B, P] accuracy of the baseline at the plan's `pool_budgets`."""
    predicted: Fit
    """The fit that `policy` was made from, with its held-out accuracies."""
    oracle: Fit | None
    """The fit by oracle difficulty, an upper bound; `None` where no samples were drawn for it."""
    agreement: Agreement | None
    """Predicted against oracle difficulty; `None` without oracle difficulty."""
    path: Path | None = None
    """Where the policy was saved, if it was."""
    notes: tuple[str, ...] = ()
    """What a reader must know: few problems, a sweep that is not finished."""


@dataclass(frozen=True, slots=True, eq=False)
class SequentialFit:
    """A fitted family, and the frontier that it was chosen from."""

    family: Family
    frontier: Frontier
    savings: tuple[Saving, ...]
    """For every member."""
    trials: Trials
    path: Path | None = None
    """Where the policy was saved, if it was."""
    notes: tuple[str, ...] = ()
    """What a reader must know: a sweep that is not finished."""

    @property
    def policy(self) -> Family:
        """What can be used on new problems."""
        return self.family


@dataclass(frozen=True, slots=True)
class Reported:
    """A report page that was written, and the results on it."""

    page: Path
    accuracies: Accuracies
    fitting: FitResult | None
    """`None` where no table could be fitted."""
    sequential: SequentialFit | None = None
    """`None` where no sequential policy could be fitted."""
    notes: tuple[str, ...] = ()
    """What a reader must know: why there is no policy, few problems, a sweep that is not
    finished."""
    kept: tuple[Kept, ...] = ()
    """Policies that were run live, against what they promised."""


@dataclass(frozen=True, slots=True)
class Solved:
    """The result of solving one problem."""

    answer: str | None
    """`None` where no solution ended in one."""
    text: str
    """The solution that the answer is from, without its thought; empty where none was chosen."""
    strategy: str
    budget: int
    """Generations."""
    bin: int | None
    """Difficulty bin from 1, the easiest; `None` without a policy."""
    how: str
    """One line that says which strategy was chosen, and how."""
    usage: Usage
    """Everything that was spent, the estimate of difficulty included."""
    chance: float | None = None
    """The probability that the answer is right; `None` without a sequential policy."""
    decisions: tuple[Decision, ...] = ()
    """Of a sequential policy: what it decided after every look."""
    thought: str = ""
    """What a reasoning model thought before it wrote `text`."""
    thinking_share: float = 0.0
    """The share of the solution, in bytes, that is thought."""
