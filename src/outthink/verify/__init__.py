"""Verifiers: PRMs, ORMs, judges, confidence and votes.

A verifier reads solutions and returns a score for each step. It knows nothing of searches,
budgets or stores. `run` asks it.

Stands on: errors, models, plugin, types.
"""
