"""Figures and one self-contained page from a run's numbers."""

from outthink.report.data import Report
from outthink.report.page import render, write
from outthink.report.sentences import verdict

__all__ = ["Report", "render", "verdict", "write"]
