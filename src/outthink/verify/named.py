"""Verifiers of any proposer's solutions, by the names that a user types (docs/verifiers.md).

    prm:NAME_OR_FOLDER         a process reward model, in process (`families` has those it can be)
    prm:http://HOST:PORT       one that vLLM serves for pooling; #MODEL where it serves several
    orm:NAME_OR_FOLDER         an outcome reward model, in process
    probe:FOLDER               a head on the proposer's own hidden states, in process (`probe`)
    judge:http://HOST:PORT     a language model as the judge; #MODEL where the server has several
    confidence                 how sure the proposer was, as deepconf and self_certainty are
    genrm, rubric, backward    a model that writes before it judges: the proposer, or :http://HOST:PORT
    tests                      tests of programs, given or written by such a model
    all_of(NAME,NAME)          several of these as one

Options follow a question mark or stand in brackets, as in prm:mine?family=trl&device=cpu and
genrm(votes=4); an unknown one is refused by name. earlier=yes shows a verifier the answers that a
revision saw; a verifier made by `outthink train` records whether it is shown them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from outthink.errors import UsageError
from outthink.plugin import load
from outthink.types import BatchProposer, BatchVerifier, Proposer, Verifier
from outthink.verify.spelling import Spelled, kind_of, spelled
from outthink.verify.written import reading

if TYPE_CHECKING:
    from outthink.verify.writer import Writer

AnyVerifier = Verifier | BatchVerifier
Make = Callable[[str], AnyVerifier]
"""The verifier of a name, for the parts of a combination."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A verifier that is to be made."""

    name: str
    spelled: Spelled
    proposer: Proposer | BatchProposer
    make: Make

    def text(self, option: str, usual: str = "") -> str:
        return self.spelled.options.get(option, usual)

    def count(self, option: str, usual: int, *, least: int = 1) -> int:
        """A whole number. Raises `UsageError` for another word."""
        text = self.text(option, str(usual))
        if not text.isdecimal() or int(text) < least:
            raise UsageError(f"{self.name}: {option}={text!r} is no whole number from {least}")
        return int(text)

    def said(self, option: str) -> bool | None:
        """Yes, no, or nothing. Raises `UsageError` for another word."""
        text = self.spelled.options.get(option)
        if text not in (None, "yes", "no"):
            raise UsageError(
                f"{self.name}: {text!r} says neither; write {option}=yes or {option}=no"
            )
        return None if text is None else text == "yes"

    def warmth(self) -> float | None:
        """The temperature; `None` for the usual one. Raises `UsageError` for what is none."""
        text = self.spelled.options.get("temperature")
        try:
            given = None if text is None else float(text)
        except ValueError:
            given = -1.0
        if given is not None and not 0 <= given <= 10:
            raise UsageError(f"{self.name}: temperature={text!r} is no number from 0")
        return given

    @property
    def address(self) -> tuple[str, str | None]:
        """A server, and its model where one is named."""
        url, _, served = self.spelled.model.partition("#")
        return url, served or None


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of verifier."""

    make: Callable[[Asked], AnyVerifier]
    options: frozenset[str]
    model: str
    """Whether a model follows the colon: `yes`, `no`, or `may`."""


def is_named(name: str) -> bool:
    """Whether a verifier's name is one of these."""
    return kind_of(name) in _KINDS


def check(name: str) -> None:
    """Raises `UsageError` for a name that cannot be one, before anything is loaded."""
    _checked(name)


def parts_of(name: str) -> tuple[str, ...]:
    """The verifiers that a combination asks, combinations among them taken apart; any other is its
    own part. Raises `UsageError` as `check`."""
    if kind_of(name) != "all_of":
        return (name,)
    return tuple(leaf for part in _members(_checked(name)) for leaf in parts_of(part))


def named(
    name: str, proposer: Proposer | BatchProposer, make: Make | None = None
) -> Verifier | BatchVerifier:
    """The verifier of that name, for what this proposer writes. Loads or connects. `make` makes
    the parts of a combination that are none of these.

    Raises `UsageError` where the name or an option is unknown, or a package is missing.
    """

    def part(one: str) -> AnyVerifier:
        if is_named(one):
            return named(one, proposer, make)
        return own(one, proposer) if make is None else make(one)

    asked = Asked(name, _checked(name), proposer, part)
    return _KINDS[asked.spelled.kind].make(asked)


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


# One function a kind ------------------------------------------------------------------------------


def _prm(asked: Asked) -> AnyVerifier:
    _require_transformers(asked.name)
    url, served = asked.address
    earlier, family = asked.said("earlier"), asked.spelled.options.get("family")
    if _is_address(url):
        from outthink.verify.served import PoolingPRM

        connecting = PoolingPRM.connect(url, served, family)
        return reading(asyncio.run(connecting), asked.proposer, earlier=bool(earlier))
    from outthink.verify import prm

    options = asked.spelled.options
    model, device, dtype = asked.spelled.model, options.get("device"), options.get("dtype")
    scorer = prm.load(model, family, device=device, dtype=dtype)
    return reading(scorer, asked.proposer, earlier=_as_trained(model, earlier))


def _orm(asked: Asked) -> AnyVerifier:
    _require_transformers(asked.name)
    from outthink.verify import orm

    options, model = asked.spelled.options, asked.spelled.model
    earlier = asked.said("earlier")
    scorer = orm.load(model, device=options.get("device"), dtype=options.get("dtype"))
    return reading(scorer, asked.proposer, earlier=_as_trained(model, earlier))


def _as_trained(model: str, earlier: bool | None) -> bool:
    if earlier is None:
        # The HTTP client that comes with it takes a while to import.
        from outthink.models.about import about

        return about(model).earlier
    return earlier


def _probe(asked: Asked) -> AnyVerifier:
    _require_transformers(asked.name)
    from outthink.verify import probe

    options = asked.spelled.options
    scorer = probe.load(asked.spelled.model, options.get("model"), device=options.get("device"))
    return reading(scorer, asked.proposer)


def _judge(asked: Asked) -> AnyVerifier:
    from outthink.models.asking import Asking, read
    from outthink.verify.judge import Judge

    path = asked.text("asking")
    asking = read(Path(path)) if path else Asking()
    judge = asyncio.run(Judge.connect(*asked.address, asking=asking))
    return reading(judge, asked.proposer, earlier=bool(asked.said("earlier")))


def _genrm(asked: Asked) -> AnyVerifier:
    from outthink.verify.genrm import GenRM

    votes, temperature = asked.count("votes", 1), asked.warmth()
    scorer = GenRM(_writer(asked), votes=votes, temperature=temperature)
    return reading(scorer, asked.proposer, earlier=bool(asked.said("earlier")))


def _rubric(asked: Asked) -> AnyVerifier:
    from outthink.verify.rubric import Rubric, read_file, typed

    path, text = asked.text("file"), asked.text("criteria")
    if bool(path) == bool(text):
        raise UsageError(
            f"{asked.name}: name a rubric, as file=FILE or criteria=CRITERION:WEIGHT|..."
        )
    criteria = read_file(Path(path)) if path else typed(text)
    scorer = Rubric(_writer(asked), criteria)
    return reading(scorer, asked.proposer, earlier=bool(asked.said("earlier")))


def _backward(asked: Asked) -> AnyVerifier:
    from outthink.verify.backward import NUMBERS, SAMPLES, Backward

    numbers, samples = asked.count("numbers", NUMBERS), asked.count("samples", SAMPLES)
    return reading(Backward(_writer(asked), numbers=numbers, samples=samples), asked.proposer)


def _tests(asked: Asked) -> AnyVerifier:
    from outthink.verify.tests import COUNT, Tests, read_file

    if not asked.said("run"):
        raise UsageError(
            f"{asked.name}: runs programs that a model wrote, in the sandbox; say that it may, "
            "run=yes"
        )
    path = asked.text("file")
    if path and asked.spelled.model:
        raise UsageError(f"{asked.name}: given tests need no model; leave one of the two out")
    count = asked.count("count", COUNT)
    if path:
        return reading(Tests(given=read_file(Path(path))), asked.proposer)
    return reading(Tests(_writer(asked), count=count), asked.proposer)


def _writer(asked: Asked) -> Writer:
    """The model that writes for a verifier: one of an address, or the proposer."""
    from outthink.verify.writer import MOST_TOKENS, connect, writer

    most, what = asked.count("most_tokens", MOST_TOKENS), asked.spelled.kind
    if not asked.spelled.model:
        return writer(asked.proposer, most_tokens=most, what=what)
    return asyncio.run(connect(*asked.address, most_tokens=most, what=what))


def _confidence(asked: Asked) -> AnyVerifier:
    from outthink.verify.confidence import TOP, confidence

    return confidence(asked.proposer, top=asked.count("top", TOP))


def _deepconf(asked: Asked) -> AnyVerifier:
    from outthink.verify.confidence import TOP
    from outthink.verify.deepconf import WINDOW, deepconf

    window, top = asked.count("window", WINDOW), asked.count("top", TOP)
    return deepconf(asked.proposer, window=window, by=asked.text("by", "lowest"), top=top)


def _self_certainty(asked: Asked) -> AnyVerifier:
    from outthink.verify.certainty import self_certainty
    from outthink.verify.confidence import TOP

    return self_certainty(asked.proposer, top=asked.count("top", TOP))


def _all_of(asked: Asked) -> AnyVerifier:
    from outthink.verify.combined import Learnt, all_of, learnt

    how, weights = asked.text("how", "mean"), asked.text("weights")
    parts = [asked.make(part) for part in _members(asked.spelled)]
    if path := asked.text("learnt"):
        return learnt(parts, Learnt.read(Path(path)))
    return all_of(parts, how=how, weights=_numbers(asked.name, weights) if weights else None)


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(":")]
    except ValueError as error:
        raise UsageError(f"{name}: {text!r} are no weights; write them as weights=1:2") from error


def _members(combination: Spelled) -> tuple[str, ...]:
    """The parts of a combination, as they are typed."""
    from outthink.verify.combined import Learnt

    path = combination.options.get("learnt")
    return combination.parts if path is None else Learnt.read(Path(path)).typed


_WRITES_GREEDY = frozenset({"most_tokens", "earlier"})
_WRITES = _WRITES_GREEDY | {"temperature"}
_LOADED = frozenset({"device", "dtype", "earlier"})
_KINDS: dict[str, _Kind] = {
    "prm": _Kind(_prm, _LOADED | {"family"}, "yes"),
    "orm": _Kind(_orm, _LOADED, "yes"),
    "probe": _Kind(_probe, frozenset({"device", "model"}), "yes"),
    "judge": _Kind(_judge, frozenset({"earlier", "asking"}), "yes"),
    "genrm": _Kind(_genrm, _WRITES | {"votes"}, "may"),
    "rubric": _Kind(_rubric, _WRITES_GREEDY | {"file", "criteria"}, "may"),
    "backward": _Kind(_backward, frozenset({"most_tokens", "numbers", "samples"}), "may"),
    "tests": _Kind(_tests, frozenset({"most_tokens", "run", "file", "count"}), "may"),
    "confidence": _Kind(_confidence, frozenset({"top"}), "no"),
    "deepconf": _Kind(_deepconf, frozenset({"top", "window", "by"}), "no"),
    "self_certainty": _Kind(_self_certainty, frozenset({"top"}), "no"),
    "all_of": _Kind(_all_of, frozenset({"how", "weights", "learnt"}), "no"),
}
_SHOWN = {"prm": "prm:MODEL", "orm": "orm:MODEL", "probe": "probe:FOLDER"}
_SHOWN |= {"judge": "judge:http://HOST:PORT", "all_of": "all_of(NAME,NAME)"}
FORMS = tuple(_SHOWN.get(kind, kind) for kind in _KINDS)


def _checked(name: str) -> Spelled:
    one = spelled(name)
    kind = _KINDS.get(one.kind)
    if kind is None or (kind.model != "may" and bool(one.model) != (kind.model == "yes")):
        raise UsageError(f"unknown verifier {name!r}; write one of {', '.join(FORMS)}")
    _check_model(name, one)
    _check_options(name, one.options, kind.options)
    if one.kind == "all_of":
        if one.parts and "learnt" in one.options:
            raise UsageError(f"{name}: the file says which verifiers it combines; leave them out")
        for part in _members(one):
            if is_named(part):
                _checked(part)
    elif one.parts:
        raise UsageError(f"{name}: {one.parts[0]!r} is no option; write it as OPTION=VALUE")
    return one


def _check_model(name: str, one: Spelled) -> None:
    if one.kind in _WRITING and one.model and not _is_address(one.model):
        what = "a judge" if one.kind == "judge" else f"the model of a {one.kind} verifier"
        raise UsageError(f"{name}: {what} is served; write {one.kind}:http://HOST:PORT")
    if one.kind in ("orm", "probe") and _is_address(one.model):
        what = "an outcome reward model" if one.kind == "orm" else "a probe"
        raise UsageError(f"{name}: {what} is run in process; name its weights")


_WRITING = ("judge", "genrm", "rubric", "backward", "tests")


def _check_options(name: str, options: Mapping[str, str], known: frozenset[str]) -> None:
    for option in options:
        if option not in known:
            takes = f"takes {', '.join(sorted(known))}" if known else "takes no options"
            raise UsageError(f"{name}: unknown option {option!r}; {kind_of(name)} {takes}")


def _is_address(model: str) -> bool:
    return model.startswith(("http://", "https://"))


def _require_transformers(name: str) -> None:
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"{name} needs transformers; install it with: pip install 'outthink[transformers]'"
        ) from error
