"""The figures of a reproduction's page, section by section, from its findings.

A figure for which the run has no data says why.
"""

from outthink.paper.figures.ablations import appendix
from outthink.paper.figures.exchange import exchange, exchanges
from outthink.paper.figures.parts import at_headline, labels
from outthink.paper.figures.revisions import both, optimal_revisions, revisions
from outthink.paper.figures.search import optimal_search, search
from outthink.paper.figures.sequential import sequential

PARTS = (
    sequential,
    search,
    optimal_search,
    revisions,
    optimal_revisions,
    both,
    exchange,
    appendix,
)
"""In the order of the page."""

__all__ = ["PARTS", "at_headline", "exchanges", "labels"]
