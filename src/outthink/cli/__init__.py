"""The command line: parse, call, print. Results go to standard output, talk to standard error.

It is the outermost room. One command a file; `commands` finds them by name, and imports the one
that was given.

Stands on: bench, data, errors, gateway, grade, lab, measure, models, paper, policy, report, run,
search, study, train, version, whole.
"""

from outthink.cli.app import main

__all__ = ["main"]
