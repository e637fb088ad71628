"""What labels of steps said of a verifier when an import read them, as its store remembers it."""

from __future__ import annotations

import json
from dataclasses import asdict

from outthink.measure.intervals import Interval
from outthink.measure.steps import StepQuality
from outthink.run.store import Store

_META = "steps"


def remember(store: Store, quality: StepQuality | None) -> None:
    """Keep the quality of step scores with all samples that came, those left out among them."""
    if quality is not None:
        store.set_meta(_META, json.dumps(asdict(quality)))


def remembered(store: Store) -> StepQuality | None:
    """What was kept; `None` where there is nothing."""
    text = store.get_meta(_META)
    if text is None:
        return None
    wire = json.loads(text)
    f1, thresholds = Interval(**wire.pop("f1")), tuple(wire.pop("thresholds"))
    return StepQuality(f1=f1, thresholds=thresholds, **wire)
