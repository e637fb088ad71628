"""`outthink combine`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from outthink.cli import options
from outthink.cli.commands import command
from outthink.cli.output import number, points, print_json, print_notes


@command(
    "combine",
    """A logistic regression on the log odds of their scores. It is told on problems that it was not
fitted on; the file is fitted on all.

\b
  outthink sweep lab:test?size=100 -o s.store
  outthink sweep lab:test?size=100 -o s.store --verifier lab:orm
  outthink combine s.store lab:prm lab:orm -o both.json
  outthink sweep lab:test?size=100&seed=1 -o t.store --verifier 'all_of(learnt=both.json)'""",
)
@options.store()
@options.argument("verifiers", "VERIFIER", "Two or more that scored its pool.", nargs=-1)
@options.out("FILE", "Where to write the combination.", "combination.json")
def combine(store: Path, verifiers: tuple[str, ...], out: Path, as_json: bool) -> None:
    """Learn to weigh several verifiers by what they said of a store's samples."""
    from outthink.study.combine import combine as learn
    from outthink.study.sweep import make_place, reopened

    make_place(out)
    with reopened(store) as opened:
        outcome = learn(opened, verifiers)
        notes = opened.notes
    outcome.learnt.save(out)
    if as_json:
        told = {**asdict(outcome), "digest": outcome.learnt.digest, "file": str(out)}
        return print_json({**told, "notes": list(notes)})
    for name, weight in zip(outcome.learnt.names, outcome.learnt.weights, strict=True):
        print(f"{weight:+.3f}  {name}")
    print(
        f"AUC within problems {number(outcome.auc, 3)} held out; {outcome.best} alone "
        f"{number(outcome.best_auc, 3)}"
    )
    if outcome.gain is not None:
        gain = outcome.gain
        difference = points(gain.mean, gain.low, gain.high)
        print(f"difference {difference} points on {gain.problems} problems")
    print_notes(notes)
    print(f"\nnext: outthink sweep PROBLEMS -o STORE --verifier 'all_of(learnt={out})'")
