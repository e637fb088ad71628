"""The store: one SQLite file with everything that was paid for, so that nothing is paid for twice.

`schema` has the tables, `codec` rows as bytes, `write` the journal of a run, `read` what searches
came to, `parquet` the tables for other tools, `convert` stores of the format before.
"""

from outthink.run.store.read import Counts, JobKey, Node, Recorded, SearchTree, View
from outthink.run.store.write import Store, team_json

__all__ = ["Counts", "JobKey", "Node", "Recorded", "SearchTree", "Store", "View", "team_json"]
