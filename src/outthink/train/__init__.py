"""Training of verifiers and revision models from a user's own model.

Solutions are drawn and labelled by rollouts, then a model is fine-tuned on them. It knows nothing
of studies or policies. `models` and `verify` load what it saves.

Stands on: errors, models, run, search, types, verify, version, whole.
"""
