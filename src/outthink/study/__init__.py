"""A study: what to run, running it into a store, and reading it back.

Here the words that a person types become problems, engines and a store. It knows nothing of
policies
or pages. `policy` and `report` read what it measured.

Stands on: data, errors, grade, measure, models, plugin, run, search, types, verify, version, whole.
"""
