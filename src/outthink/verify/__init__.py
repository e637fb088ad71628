"""Verifiers: PRMs, ORMs, judges, critiques, tests, confidence, and combinations of them.

A verifier reads solutions and returns a score for each step. It knows nothing of searches,
budgets or stores. `run` asks it.

Stands on: errors, grade, models, plugin, types, whole.
"""
