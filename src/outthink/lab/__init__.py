"""The lab: a task, small transformers and their training, in which the paper runs on two CPU cores.

Its models are proposers and verifiers like any other. It knows nothing of studies or policies.
`study` loads its models, `paper` measures them.

Stands on: data, errors, measure, models, run, search, train, types, version, whole.
"""
