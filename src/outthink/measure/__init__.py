"""Measurements: accuracy at every budget from one pool, intervals, difficulty, costs, exchange.

It works on arrays of answers, scores and verdicts, and knows nothing of engines or stores. `policy`
fits on its figures, `report` draws them.

Stands on: errors, models, search, types.
"""
