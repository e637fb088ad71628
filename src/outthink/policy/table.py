"""The policy table: the strategy for each difficulty bin and budget, and how it is fitted.

Snell et al. 2024 (arXiv 2408.03314), equation 1: theta*(q, N), one strategy a difficulty bin and
budget. A choice among many strategies looks good on the problems it was made on whether it is or
not, so every accuracy here comes from problems that had no part in the choice: two folds inside
each bin (section 3.2), over many random splits (A9).

Knows nothing of models or searches: strategies are names. Does not protect against bins that were
cut with the labels (oracle): those are an upper bound.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from outthink import whole
from outthink.errors import PolicyError, UsageError
from outthink.grade import EXACT, grading
from outthink.measure.arrays import Floats, Integers
from outthink.measure.difficulty import Binning, Method
from outthink.measure.grid import Grid
from outthink.measure.intervals import Interval, interval
from outthink.types import PROPOSER, REVISER, REVISION_VERIFIER, VERIFIER

REPEATS = 100
"""Random splits of a bin into two folds."""

FORMAT = 3
"""Version of the file; a file of another version is not read."""

_T = TypeVar("_T")

_DECIMALS = 12
"""Mean accuracies are compared after rounding here, so that a tie is a tie."""


# Measured ----------------------------------------------------------------------------------------


# Fitted ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cell:
    """The strategy for problems of one bin at one budget, and its accuracy."""

    bin: int
    """0 is the easiest."""
    budget: int
    """Generations."""
    strategy: str
    """The most accurate strategy on all problems of the bin."""
    accuracy: Interval
    """Held-out accuracy: a strategy is chosen on half of the bin's problems and measured on the
    other half, so this need not be the accuracy of `strategy`."""
    chosen: float
    """Share of folds in which this strategy was chosen; 1 means in all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A fitted policy and its accuracy on problems that it was not fitted on."""

    problems: tuple[str, ...]
    budgets: tuple[int, ...]
    bins: Integers
    """[P] the bin of each problem."""
    held_out: Floats
    """[N, P] accuracy under the strategy that the other fold chose, mean over splits."""
    in_sample: Floats
    """[N, P] accuracy under the strategy chosen on all problems: biased upwards, so not for curves
    or comparisons."""
    cells: tuple[Cell, ...]
    """One a bin and budget, by bin, then budget."""
    repeats: int
    seed: int


def fit(grid: Grid, bins: Integers, *, repeats: int = REPEATS, seed: int = 0) -> Fit:
    """Choose the best strategy for each bin and budget, cross-validated (section 3.2, A9).

    `bins` [P] holds the bin of each problem, numbered from 0. Each bin is split into halves at
    random `repeats` times; what is best on one half is measured on the other, both ways. Splits
    are the same at all budgets. Held-out accuracy is that of a choice made on half the bin, so it
    is, if anything, low. The intervals resample the bin's problems but not the choices. Raises
    `UsageError` where a bin has fewer than two problems or bins and grid disagree.
    """
    bins = np.asarray(bins)
    _check_bins(bins, grid, repeats)
    held_out = np.empty(grid.accuracy.shape[1:])
    in_sample = np.empty_like(held_out)
    cells = []
    for number in range(int(bins.max()) + 1):
        members = np.flatnonzero(bins == number)
        first = _first_folds(members.size, repeats, np.random.default_rng([seed, number]))
        for row, budget in enumerate(grid.budgets):
            run = np.flatnonzero(~np.isnan(grid.accuracy[:, row, 0]))
            accuracy = grid.accuracy[:, row][np.ix_(run, members)]
            measured, choices = _cross_validate(accuracy, first)
            best = int(_best(accuracy.mean(axis=1)))
            held_out[row, members] = measured
            in_sample[row, members] = accuracy[best]
            cells.append(
                Cell(
                    bin=number,
                    budget=budget,
                    strategy=grid.strategies[run[best]],
                    accuracy=interval(measured, seed=seed),
                    chosen=float(np.mean(choices == best)),
                )
            )
    return Fit(
        problems=grid.problems,
        budgets=grid.budgets,
        bins=bins.astype(np.int64),
        held_out=held_out,
        in_sample=in_sample,
        cells=tuple(cells),
        repeats=repeats,
        seed=seed,
    )


def _check_bins(bins: NDArray[Any], grid: Grid, repeats: int) -> None:
    if bins.shape != (len(grid.problems),) or not np.issubdtype(bins.dtype, np.integer):
        raise UsageError(
            f"bins are {bins.dtype}{list(bins.shape)} for {len(grid.problems)} problems; "
            "give one whole number a problem"
        )
    if bins.min() < 0:
        raise UsageError(f"bin {bins.min()}; number bins from 0")
    sizes = np.bincount(bins)
    if sizes.min() < 2:
        raise UsageError(
            f"bin {sizes.argmin()} has {sizes.min()} problems; two folds need at least 2, "
            "give more problems or fewer bins"
        )
    if repeats < 1:
        raise UsageError(f"{repeats} splits into folds; give at least 1, better {REPEATS}")


def _first_folds(problems: int, repeats: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """[repeats, problems]: True for the problems in the first of two folds, as equal as can be."""
    order = rng.permuted(np.tile(np.arange(problems), (repeats, 1)), axis=1)
    return order < problems // 2


def _cross_validate(accuracy: Floats, first: NDArray[np.bool_]) -> tuple[Floats, Integers]:
    """Held-out accuracy [p], mean over splits, and the choice of either fold [2, R].

    `accuracy` is [S, p] of one bin and budget, `first` [R, p] says who is in the first fold.
    """
    by_first = _best(first @ accuracy.T / first.sum(axis=1, keepdims=True))
    by_second = _best(~first @ accuracy.T / (~first).sum(axis=1, keepdims=True))
    other = np.where(first, by_second[:, None], by_first[:, None])
    measured: Floats = np.take_along_axis(accuracy, other, axis=0).mean(axis=0)
    return measured, np.stack([by_first, by_second])


def _best(means: Floats) -> Integers:
    """The best strategy along the last axis, the first of those that tie."""
    best: Integers = np.round(means, _DECIMALS).argmax(axis=-1)
    return best


# Kept --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a policy was fitted on and with."""

    proposer: str
    verifier: str | None
    """`None` where no strategy needed one."""
    data_hash: str
    problems: int
    repeats: int
    seed: int
    created_by: str
    """The program and its version, e.g. `outthink 0.1.0`."""
    reviser: str | None = None
    """Who wrote revisions; `None` where no strategy revised."""
    revision_verifier: str | None = None
    grader: str = EXACT
    """The grader that extracted and judged the answers; which answers vote together depends on
    it."""
    spec: Mapping[str, str] = field(default_factory=dict)
    """The command-line options that name the same models; empty where they are not known."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A policy's answer for one problem."""

    cell: Cell
    budget: int
    """The budget asked for; `cell.budget` is the one the choice was made at."""

    @property
    def strategy(self) -> str:
        """What to run, at the budget asked for."""
        return self.cell.strategy

    @property
    def note(self) -> str | None:
        """One line where the choice was made at a smaller budget than the one asked for."""
        if self.cell.budget == self.budget:
            return None
        return f"not fitted at budget {self.budget}; chosen as at budget {self.cell.budget}"


@dataclass(frozen=True, slots=True)
class Policy:
    """A table from difficulty bin and budget to strategy.

    Raises `PolicyError` where a cell is missing, or the bins are of oracle difficulty, which needs
    labels.
    """

    binning: Binning
    method: Method
    """How difficulty was estimated when fitting, and is to be when choosing."""
    samples: int
    """Samples that the estimate of difficulty takes: its cost in generations a problem."""
    cells: tuple[Cell, ...]
    provenance: Provenance

    def __post_init__(self) -> None:
        if self.method is Method.ORACLE:
            raise PolicyError(
                "policy from oracle difficulty needs labels to be used; fit it on predicted bins"
            )
        places = [(cell.bin, cell.budget) for cell in self.cells]
        full = [(number, n) for number in range(self.binning.count) for n in self.budgets]
        if not places or sorted(places) != full:
            raise PolicyError(
                f"policy has {len(places)} cells for {self.binning.count} bins and "
                f"{len(self.budgets)} budgets; it needs one for each bin at each budget; "
                "fit it again"
            )

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets it was fitted at, rising."""
        return tuple(sorted({cell.budget for cell in self.cells}))

    def place(self, value: float) -> int:
        """The bin of a problem whose difficulty was estimated by `method` on `samples` samples."""
        return self.binning.place(value)

    def choose(self, difficulty_bin: int, budget: int) -> Chosen:
        """The cell of a bin at the largest fitted budget not above `budget`; see `Chosen.note`.

        Raises `PolicyError` for a bin it does not have or a budget below the smallest fitted.
        """
        if not 0 <= difficulty_bin < self.binning.count:
            raise PolicyError(
                f"policy has no bin {difficulty_bin}; give 0 (easiest) to {self.binning.count - 1}"
            )
        fitted = [n for n in self.budgets if n <= budget]
        if not fitted:
            raise PolicyError(
                f"budget {budget} is below the smallest the policy was fitted at; "
                f"give at least {self.budgets[0]}"
            )
        for cell in self.cells:
            if (cell.bin, cell.budget) == (difficulty_bin, fitted[-1]):
                return Chosen(cell, budget)
        raise AssertionError("a policy has a cell for every bin and budget")

    def reading(self, grader: str | None = None) -> str:
        """The name of the grader that the policy was fitted with, for `outthink.grade.grading`.

        Raises `PolicyError` where `grader` is another: answers would vote differently.
        """
        fitted = self.provenance.grader
        if grader is not None and grader != fitted:
            raise PolicyError(
                f"policy was fitted on answers as grader {fitted} reads them, this run asks for "
                f"{grader}; leave the grader out, or fit a policy for this run"
            )
        return fitted

    def check(self, given_by_role: Mapping[str, str]) -> None:
        """Raises `PolicyError` unless the policy was fitted with these models, by their roles."""
        was = self.provenance
        for role, fitted in (
            (PROPOSER, was.proposer),
            (VERIFIER, was.verifier),
            (REVISER, was.reviser),
            (REVISION_VERIFIER, was.revision_verifier),
        ):
            given = given_by_role.get(role)
            # A model that no strategy of the policy asks may differ.
            needed = role in (PROPOSER, VERIFIER) or REVISER in given_by_role
            if needed and fitted != given:
                raise PolicyError(
                    f"policy was fitted with {role.replace('_', ' ')} {fitted or 'none'}, this "
                    f"run has {given or 'none'}; use {fitted or 'none'} or fit a policy for this "
                    "run"
                )

    def save(self, path: str | Path) -> None:
        """Write it as indented JSON, whole or not at all. Raises `OSError` where it cannot be
        written."""
        difficulty = {
            "method": self.method.value,
            "samples": self.samples,
            "edges": list(self.binning.edges),
        }
        data = {
            "format": FORMAT,
            "provenance": _as_json(self.provenance),
            "difficulty": difficulty,
            "cells": [asdict(cell) for cell in self.cells],
        }
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        whole.write(Path(path), text)

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read what `save` wrote.

        Raises `PolicyError` where there is no such file, it is no policy, of another format
        version, or lacks or garbles a field.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise PolicyError(
                f"cannot read policy {path}: {error.strerror}; fit one, or correct the path"
            ) from error
        except (ValueError, RecursionError) as error:
            raise PolicyError(f"policy {path} is not JSON; fit it again") from error
        try:
            return _parse(data)
        except (UsageError, OverflowError) as error:
            raise PolicyError(f"policy {path}: {error}") from error


def _as_json(provenance: Provenance) -> dict[str, Any]:
    fields = asdict(provenance)
    fields["words"] = fields.pop("spec")
    return fields


def _parse(data: object) -> Policy:
    if not isinstance(data, dict):
        raise PolicyError("holds no policy; fit it again")
    version = get(data, "format", int)
    if version != FORMAT:
        raise PolicyError(
            f"format {version}, this version reads {FORMAT}; fit it again on its store, with "
            "'outthink fit'"
        )
    difficulty = get(data, "difficulty", dict)
    method = get(difficulty, "method", str)
    if method not in list(Method):
        raise PolicyError(f"'method' is {method!r}; fit it again")
    edges = get(difficulty, "edges", list)
    cells = get(data, "cells", list)
    return Policy(
        binning=Binning(tuple(get({"edges": edge}, "edges", float) for edge in edges)),
        method=Method(method),
        samples=get(difficulty, "samples", int),
        cells=tuple(_cell(get({"cells": cell}, "cells", dict)) for cell in cells),
        provenance=_provenance(get(data, "provenance", dict)),
    )


def _cell(data: Mapping[str, Any]) -> Cell:
    accuracy = get(data, "accuracy", dict)
    return Cell(
        bin=get(data, "bin", int),
        budget=get(data, "budget", int),
        strategy=get(data, "strategy", str),
        accuracy=Interval(
            mean=get(accuracy, "mean", float),
            low=get(accuracy, "low", float),
            high=get(accuracy, "high", float),
            problems=get(accuracy, "problems", int),
        ),
        chosen=get(data, "chosen", float),
    )


def _provenance(data: Mapping[str, Any]) -> Provenance:
    spec = get(data, "words", dict)
    return Provenance(
        proposer=get(data, "proposer", str),
        verifier=_maybe(data, "verifier"),
        reviser=_maybe(data, "reviser"),
        revision_verifier=_maybe(data, "revision_verifier"),
        data_hash=get(data, "data_hash", str),
        problems=get(data, "problems", int),
        repeats=get(data, "repeats", int),
        seed=get(data, "seed", int),
        created_by=get(data, "created_by", str),
        grader=grading(get(data, "grader", str)).name,
        spec={name: get(spec, name, str) for name in spec},
    )


def _maybe(data: Mapping[str, Any], key: str) -> str | None:
    """A name, or `null` where there was none; the key must be there."""
    return None if key in data and data[key] is None else get(data, key, str)


def get(data: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    """A field of exactly this type; an int is accepted for a float, infinity is not."""
    if key not in data:
        raise PolicyError(f"{key!r} is missing; fit it again")
    value = data[key]
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise PolicyError(f"{key!r} is {value!r}; fit it again")
    return value
