"""Verifiers of any proposer's solutions, by the names that a user types.

    prm:NAME_OR_FOLDER         a process reward model, in process (`families` has those it can be)
    prm:http://HOST:PORT       one that vLLM serves for pooling; #MODEL where it serves several
    orm:NAME_OR_FOLDER         an outcome reward model, in process
    probe:FOLDER               a head on the proposer's own hidden states, in process (`probe`)
    judge:http://HOST:PORT     a language model as the judge; #MODEL where the server has several
    confidence                 how sure the proposer was

Options follow a question mark: family, device and dtype of models, the model of a probe where it
has moved, top of confidence, asking of a judge (a file, as --asking names one), as in
prm:mine?family=trl&device=cpu. earlier=yes shows a verifier the answers that a revision saw; a
verifier made by `outthink train` records whether it is shown them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl

from outthink.errors import UsageError
from outthink.plugin import load
from outthink.types import BatchProposer, BatchVerifier, Proposer, Verifier
from outthink.verify.written import reading

FORMS = ("prm:MODEL", "orm:MODEL", "probe:FOLDER", "judge:http://HOST:PORT", "confidence")
_OPTIONS = {
    "prm": {"family", "device", "dtype", "earlier"},
    "orm": {"device", "dtype", "earlier"},
    "probe": {"device", "model"},
    "judge": {"earlier", "asking"},
    "confidence": {"top"},
}


def is_named(name: str) -> bool:
    """Whether a verifier's name is one of these."""
    return name.partition("?")[0].partition(":")[0] in _OPTIONS


def check(name: str) -> None:
    """Raises `UsageError` for a name that cannot be one, before anything is loaded."""
    _parsed(name)


def named(name: str, proposer: Proposer | BatchProposer) -> Verifier | BatchVerifier:
    """The verifier of that name, for what this proposer writes. Loads or connects.

    Raises `UsageError` where the name or an option is unknown, or a package is missing.
    """
    kind, model, options = _parsed(name)
    if kind == "confidence":
        from outthink.verify.confidence import TOP, confidence

        return confidence(proposer, top=_count(name, options.get("top", str(TOP))))
    earlier = _said(name, options.get("earlier"))
    if kind == "judge":
        from outthink.models.asking import Asking, read
        from outthink.verify.judge import Judge

        url, _, served = model.partition("#")
        asking = read(Path(options["asking"])) if "asking" in options else Asking()
        judge = asyncio.run(Judge.connect(url, served or None, asking=asking))
        return reading(judge, proposer, earlier=bool(earlier))
    _require_transformers(name)
    device, dtype = options.get("device"), options.get("dtype")
    if kind == "probe":
        from outthink.verify import probe

        return reading(probe.load(model, options.get("model"), device=device), proposer)
    if _is_address(model):
        from outthink.verify.served import PoolingPRM

        url, _, served = model.partition("#")
        connecting = PoolingPRM.connect(url, served or None, options.get("family"))
        return reading(asyncio.run(connecting), proposer, earlier=bool(earlier))
    if earlier is None:
        # The HTTP client that comes with it takes a while to import.
        from outthink.models.about import about

        earlier = about(model).earlier
    if kind == "orm":
        from outthink.verify import orm

        return reading(orm.load(model, device=device, dtype=dtype), proposer, earlier=earlier)
    from outthink.verify import prm

    scorer = prm.load(model, options.get("family"), device=device, dtype=dtype)
    return reading(scorer, proposer, earlier=earlier)


def own(name: str, proposer: Proposer | BatchProposer) -> Verifier | BatchVerifier:
    """The verifier that a user's own MODULE:FUNCTION makes: called with the proposer, it returns a
    verifier of solutions (`verify` or `verify_batch`) or of texts (`score` or `score_batch`).

    Raises `UsageError` where it cannot be imported, or makes something else.
    """
    made = load(name)(proposer)
    if not hasattr(made, "name"):
        raise UsageError(
            f"verifier {name}: the {type(made).__name__} that it returns has no attribute `name`; "
            "give it one, by which stores know it"
        )
    if hasattr(made, "verify") or hasattr(made, "verify_batch"):
        return made  # type: ignore[no-any-return]
    if hasattr(made, "score") or hasattr(made, "score_batch"):
        return reading(made, proposer)
    raise UsageError(
        f"verifier {name}: {type(made).__name__} has none of verify, verify_batch, score and "
        "score_batch; give it one of them"
    )


def _parsed(name: str) -> tuple[str, str, Mapping[str, str]]:
    whole, _, asked = name.partition("?")
    kind, _, model = whole.partition(":")
    if kind not in _OPTIONS or bool(model) == (kind == "confidence"):
        raise UsageError(f"unknown verifier {name!r}; write one of {', '.join(FORMS)}")
    if kind == "judge" and not _is_address(model):
        raise UsageError(f"{name}: a judge is served; write judge:http://HOST:PORT")
    if kind in ("orm", "probe") and _is_address(model):
        what = "an outcome reward model" if kind == "orm" else "a probe"
        raise UsageError(f"{name}: {what} is run in process; name its weights")
    options = dict(parse_qsl(asked, keep_blank_values=True))
    known = _OPTIONS[kind]
    for option in options:
        if option not in known:
            takes = f"takes {', '.join(sorted(known))}" if known else "takes no options"
            raise UsageError(f"{name}: unknown option {option!r}; {kind} {takes}")
    return kind, model, options


def _is_address(model: str) -> bool:
    return model.startswith(("http://", "https://"))


def _said(name: str, text: str | None) -> bool | None:
    """What an option says, if it is there."""
    if text not in (None, "yes", "no"):
        raise UsageError(f"{name}: {text!r} says neither; write earlier=yes or earlier=no")
    return None if text is None else text == "yes"


def _count(name: str, text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"{name}: {text!r} is no number of tokens; write top=20")
    return int(text)


def _require_transformers(name: str) -> None:
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"{name} needs transformers; install it with: pip install 'outthink[transformers]'"
        ) from error
