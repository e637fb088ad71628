"""Snell et al. 2024 on the lab: what is run, findings, claims with their rules, figures.

It judges the paper's claims by rules written before the figures were seen. `cli` starts it.

Stands on: data, errors, lab, measure, models, policy, report, run, search, study, types, version,
whole.
"""
