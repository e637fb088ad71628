"""The tables of a store.

`draw`, `score` and `verdict` are what was paid for: who wrote, scored or judged it, and for which
problem. Draws and scores that came together are one row of their table, each with a number and a
key of its own (`paid`). `search` is what a job made of them: its outcome, and its search tree as
such numbers. `meta` is what was asked for last. `draw` and `score` grow at their end alone, so
their pages are full and written once.
"""

from __future__ import annotations

FORMAT = 4
"""Version of the layout, in SQLite's `user_version`. Another one is refused, never guessed at."""

APPLICATION = 0x6F757474
"""`outt`: marks the file as ours, in SQLite's `application_id`."""

TABLES = (
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {FORMAT}",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE problem (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " prompt TEXT NOT NULL, reference TEXT)",
    # How the model is asked, and the seed, are part of who writes.
    "CREATE TABLE writer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, asked TEXT NOT NULL,"
    " seed INTEGER NOT NULL)",
    "CREATE TABLE verifier (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    "CREATE TABLE grader (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    # Costs are those of each row alone; what it shares with others is counted in each search.
    # `id` is the number of the first of its rows. What is read most stands first.
    "CREATE TABLE draw (id INTEGER PRIMARY KEY, problem INTEGER NOT NULL, writer INTEGER NOT NULL,"
    " reader INTEGER NOT NULL, rows INTEGER NOT NULL, keys BLOB NOT NULL, flags BLOB NOT NULL,"
    " answers BLOB NOT NULL, costs BLOB NOT NULL, ends BLOB NOT NULL, tokens BLOB NOT NULL)",
    "CREATE INDEX draw_of ON draw (problem, writer, rows)",
    "CREATE TABLE score (id INTEGER PRIMARY KEY, problem INTEGER NOT NULL,"
    " verifier INTEGER NOT NULL, rows INTEGER NOT NULL, keys BLOB NOT NULL, flags BLOB NOT NULL,"
    " costs BLOB NOT NULL, scores BLOB NOT NULL)",
    "CREATE INDEX score_of ON score (problem, verifier, rows)",
    "CREATE TABLE verdict (problem INTEGER NOT NULL, grader INTEGER NOT NULL,"
    " answer TEXT NOT NULL, is_right INTEGER NOT NULL,"
    " PRIMARY KEY (problem, grader, answer)) WITHOUT ROWID",
    # Who answered the requests of a search, by role, as JSON.
    "CREATE TABLE team (id INTEGER PRIMARY KEY, json TEXT NOT NULL)",
    "CREATE TABLE search (id INTEGER PRIMARY KEY, problem INTEGER NOT NULL,"
    " strategy TEXT NOT NULL, budget INTEGER NOT NULL, stream TEXT NOT NULL,"
    " team INTEGER NOT NULL, answer TEXT, chosen INTEGER, generations INTEGER NOT NULL,"
    " prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,"
    " decoded_tokens INTEGER NOT NULL, discarded_tokens INTEGER NOT NULL,"
    " verifier_tokens INTEGER NOT NULL, verifier_cached_tokens INTEGER NOT NULL,"
    " seconds REAL NOT NULL, prompt_attended INTEGER NOT NULL, decoded_attended INTEGER NOT NULL,"
    " verifier_attended INTEGER NOT NULL, kv_reads INTEGER NOT NULL, tree BLOB NOT NULL)",
    "CREATE UNIQUE INDEX search_of ON search (problem, strategy, budget, stream, team)",
)

_TEXTS = (
    # Apart from `draw`: ids that can be read without a model need no text.
    "CREATE TABLE IF NOT EXISTS text (draw INTEGER PRIMARY KEY, steps TEXT NOT NULL)"
)
"""Made by the first draw that comes with a text."""

_READINGS = (
    # The answer of a draw as another grader reads it than the one it was drawn for.
    "CREATE TABLE IF NOT EXISTS reading (draw INTEGER NOT NULL, reader INTEGER NOT NULL,"
    " answer TEXT, PRIMARY KEY (draw, reader)) WITHOUT ROWID"
)
"""Made by the first of them."""

_CHANCES = (
    # How likely the answer of a search is right, as the search said: fitted policies do.
    "CREATE TABLE IF NOT EXISTS chance (problem INTEGER NOT NULL, strategy TEXT NOT NULL,"
    " budget INTEGER NOT NULL, stream TEXT NOT NULL, team INTEGER NOT NULL, chance REAL NOT NULL,"
    " PRIMARY KEY (problem, strategy, budget, stream, team)) WITHOUT ROWID"
)
"""Made by the first such search."""

_CRITIQUES = (
    # Critiques that a search asked for, the tokens decoded in them, and what it says of them.
    "CREATE TABLE IF NOT EXISTS critique (problem INTEGER NOT NULL, strategy TEXT NOT NULL,"
    " budget INTEGER NOT NULL, stream TEXT NOT NULL, team INTEGER NOT NULL,"
    " critiques INTEGER NOT NULL, tokens INTEGER NOT NULL, note TEXT NOT NULL,"
    " PRIMARY KEY (problem, strategy, budget, stream, team)) WITHOUT ROWID"
)
"""Made by the first such search."""

_WRITTEN = (
    # Tokens that a verifier wrote for a score, where it wrote any.
    "CREATE TABLE IF NOT EXISTS written (score INTEGER PRIMARY KEY, tokens INTEGER NOT NULL)"
)
"""Made by the first verifier that writes."""

RECORDED = (
    # What the file of an imported sample says of this draw itself, NULL where it says nothing: a
    # verdict stands for an answer elsewhere, and a count of tokens that nobody made for 0.
    "CREATE TABLE IF NOT EXISTS recorded (draw INTEGER PRIMARY KEY, answer TEXT, is_right INTEGER,"
    " tokens INTEGER, finished INTEGER, has_text INTEGER NOT NULL, labels TEXT)"
)
"""Made by an import alone; a store without it has no imported samples, or an older import's."""

ON_DEMAND = {
    "text": _TEXTS,
    "reading": _READINGS,
    "chance": _CHANCES,
    "critique": _CRITIQUES,
    "written": _WRITTEN,
    "recorded": RECORDED,
}
"""Tables that a store has once there are rows for them: an empty one takes a page."""

USAGE_COLUMNS = (
    "generations, prompt_tokens, cached_tokens, decoded_tokens, discarded_tokens,"
    " verifier_tokens, verifier_cached_tokens, seconds, prompt_attended, decoded_attended,"
    " verifier_attended, kv_reads"
)
"""In the order of the fields of `Usage`. How often a verifier was asked is the length of the tree's
scores; critiques have a table of their own."""
