"""Policies: what to do next with a problem, fitted on a study.

It reads accuracies, not stores, and knows nothing of pages. `report` shows
them, `api` runs them.

Stands on: data, errors, grade, measure, models, run, search, study, types, version, whole.
"""
