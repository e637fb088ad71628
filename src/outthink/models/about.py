"""What the folder of a trained model records beside its weights, in `outthink.json`.

How the model is asked, what it was trained for, and how it is read. Nothing is loaded here, so that
a name can be understood before anything is.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from outthink import whole
from outthink.errors import RunError, UsageError
from outthink.models.openai import Setting, Wording

ABOUT = "outthink.json"


@dataclass(frozen=True, slots=True)
class About:
    """A trained model; of a model from elsewhere nothing is known but the defaults."""

    setting: Setting = field(default_factory=Setting)
    """How its proposer was asked."""
    trained_for: str | None = None
    """prm, orm or revise."""
    family: str | None = None
    """Which row of `verify.families` a PRM is."""
    earlier: bool = False
    """Whether a verifier was shown the answers that a revision saw."""


def about(name: str) -> About:
    """What is recorded of a folder or a name of the hub. Raises `RunError` for a file that cannot
    be read."""
    path = Path(name) / ABOUT
    if not path.is_file():
        return About()
    try:
        kept = json.loads(path.read_text())
        setting = kept.pop("setting")
        wording = Wording(**setting.pop("wording"))
        return About(replace(Setting(**setting), wording=wording), **kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); train the model again") from error


def write(folder: Path, told: About) -> None:
    """Raises `OSError` where that fails."""
    whole.write(folder / ABOUT, json.dumps(asdict(told), indent=2) + "\n")


_USES = {"prm": "--verifier prm:", "orm": "--verifier orm:", "revise": "--reviser hf:"}


def require(name: str, kinds: tuple[str | None, ...]) -> About:
    """What is known of a model. Raises `UsageError` where it was trained for another use."""
    known = about(name)
    if known.trained_for is not None and known.trained_for not in kinds:
        raise UsageError(
            f"{name}: was trained by 'outthink train {known.trained_for}'; use it as "
            f"{_USES[known.trained_for]}{name}"
        )
    return known
