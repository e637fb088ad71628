"""Figures and one self-contained page from a run's numbers.

It knows nothing of models, but for how the lab spells. `api` and `cli` ask for a page.

Stands on: errors, lab, measure, policy, run, search, study, types, version, whole.
"""

from outthink.report.data import Report
from outthink.report.page import render, write
from outthink.report.prose import verdict

__all__ = ["Report", "render", "verdict", "write"]
