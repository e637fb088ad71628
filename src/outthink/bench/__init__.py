"""Measurements of speed: engines, strategies, and what searches get of a server.

`cli` starts them.

Stands on: data, errors, grade, lab, measure, models, policy, report, run, search, study, types.
"""
