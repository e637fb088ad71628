"""The runner: it advances searches, asks engines, counts costs and keeps every row in the store.

It knows nothing of what is estimated from the rows. `measure` and `study` read the store.

Stands on: errors, models, search, types, whole.
"""
