"""The figures of the paper, from findings: what the page of a reproduction draws, section by
section. A figure that the run has no data for says why.
"""

from outthink.paper.figures.ablations import appendix
from outthink.paper.figures.exchange import exchange, exchanges
from outthink.paper.figures.parts import at_headline, labels
from outthink.paper.figures.revisions import both, optimal_revisions, revisions
from outthink.paper.figures.search import optimal_search, search

PARTS = (search, optimal_search, revisions, optimal_revisions, both, exchange, appendix)
"""In the order of the page."""

__all__ = ["PARTS", "at_headline", "exchanges", "labels"]
