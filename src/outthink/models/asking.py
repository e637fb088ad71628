"""How a model is asked, beyond what a search decides: sampling, prompt, template, fields, requests.

Read from one TOML file, by `read`. What differs from the defaults is part of a proposer's name, so
draws of two ways of asking are never mixed; how requests are sent (`requests_in_flight`,
`request_s`) is not, since it decides nothing that a model writes. Knows nothing of any server:
`models.openai` refuses by name what a server cannot do.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from outthink.errors import UsageError


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked; `None` leaves an option as usual. Raises `UsageError` for a value that
    cannot be."""

    temperature: float | None = None
    """In place of a search's own, wherever that is above 0."""
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    most_tokens: int | None = None
    """Of a solution."""
    step_tokens: int | None = None
    """Of a step; one without its delimiter ends there."""
    delimiter: str | None = None
    """Ends a step."""
    system: str | None = None
    instruction: str | None = None
    """Follows the problem."""
    examples: tuple[tuple[str, str], ...] = ()
    """Questions with their answers, shown before the problem as turns of the chat."""
    template: str = "{}"
    """Options of the chat template, as JSON."""
    reasoning_effort: str | None = None
    completion: bool = False
    """Without a chat template, for a base model; an answer ends at the model's end mark alone."""
    extra: str = "{}"
    """Further fields of a request for an answer, as JSON."""
    requests_in_flight: int | None = None
    request_s: float | None = None
    """Seconds after which a request is given up."""

    def __post_init__(self) -> None:
        for name, holds, least in _BOUNDS:
            value = getattr(self, name)
            if value is not None and not holds(value):
                raise UsageError(f"{name} is {value!r}; it has to be {least}")
        if self.completion and (self.template != "{}" or self.reasoning_effort is not None):
            raise UsageError(
                "completion applies no chat template; leave out template and reasoning_effort"
            )
        if own := sorted(_OWN & json.loads(self.extra).keys()):
            raise UsageError(f"extra holds {', '.join(own)}, which outthink sets itself; leave out")

    @property
    def given(self) -> dict[str, Any]:
        """The options that differ from the defaults, by name."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }

    @property
    def identity(self) -> str:
        """The options that decide what is written; empty where all are as usual. `most_tokens`,
        `delimiter`, `system` and `instruction` are in a setting, which names them."""
        told = {name: value for name, value in self.given.items() if name not in _ELSEWHERE}
        return json.dumps(told, sort_keys=True) if told else ""

    @property
    def as_json(self) -> str:
        """What `of_json` reads."""
        return json.dumps(self.given, sort_keys=True)

    @property
    def template_options(self) -> dict[str, Any]:
        options: dict[str, Any] = json.loads(self.template)
        effort = self.reasoning_effort
        return options if effort is None else {**options, "reasoning_effort": effort}

    @property
    def fields(self) -> dict[str, Any]:
        """Further fields of a request."""
        told: dict[str, Any] = json.loads(self.extra)
        return told

    def at(self, temperature: float) -> float:
        """The temperature to draw at, where a search asks for this one."""
        return temperature if self.temperature is None or temperature == 0 else self.temperature


_ELSEWHERE = {
    *("most_tokens", "delimiter", "system", "instruction"),
    *("requests_in_flight", "request_s"),
}
_OWN = {
    *("model", "prompt", "messages", "n", "n_cmpl", "seed", "stop", "stream"),
    *("max_tokens", "max_completion_tokens", "n_predict", "reasoning_effort"),
    *("temperature", "top_p", "top_k", "min_p", "samplers", "repetition_penalty"),
    *("logprobs", "n_probs", "return_token_ids", "return_tokens", "cache_prompt"),
    "include_stop_str_in_output",
}
"""Fields of a request that the other options and the searches decide."""
_Holds = Callable[[Any], bool]
_BOUNDS: tuple[tuple[str, _Holds, str], ...] = (
    ("temperature", lambda value: 0 < value <= 10, "above 0 and at most 10"),
    ("top_p", lambda value: 0 < value <= 1, "above 0 and at most 1"),
    ("top_k", lambda value: value >= 1, "at least 1"),
    ("min_p", lambda value: 0 <= value < 1, "at least 0 and below 1"),
    ("most_tokens", lambda value: value >= 1, "at least 1"),
    ("step_tokens", lambda value: value >= 1, "at least 1"),
    ("delimiter", lambda value: value.strip(" ") != "", "some text"),
    ("requests_in_flight", lambda value: value >= 1, "at least 1"),
    ("request_s", lambda value: value > 0, "above 0"),
)
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("temperature", "top_p", "min_p", "request_s"), (int, float)),
    **dict.fromkeys(("top_k", "most_tokens", "step_tokens", "requests_in_flight"), (int,)),
    **dict.fromkeys(("delimiter", "system", "instruction", "reasoning_effort"), (str,)),
    **dict.fromkeys(("system_file", "examples_file"), (str,)),
    "completion": (bool,),
    "examples": (list,),
    "template": (dict,),
    "extra": (dict,),
}


def read(path: Path) -> Asking:
    """The options of a TOML file; `system_file` and `examples_file` are relative to it. Raises
    `UsageError` where a file cannot be read, or has an option that is unknown or cannot be."""
    try:
        told = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: is no TOML ({error})") from error
    _check(path, told)
    if "system_file" in told:
        _alone(path, told, "system")
        told["system"] = _text(path.parent / told.pop("system_file")).strip()
    if "examples_file" in told:
        _alone(path, told, "examples")
        told["examples"] = _lines(path.parent / told.pop("examples_file"))
    if "examples" in told:
        told["examples"] = tuple(_example(path, entry) for entry in told["examples"])
    for name in ("template", "extra"):
        told[name] = _json(path, name, told.get(name, {}))
    try:
        return Asking(**told)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def of_json(text: str) -> Asking:
    """What `Asking.as_json` wrote."""
    told = json.loads(text)
    examples = tuple((question, answer) for question, answer in told.pop("examples", ()))
    return Asking(**told, examples=examples)


def _check(path: Path, told: Mapping[str, Any]) -> None:
    for name, value in told.items():
        kinds = _TYPES.get(name)
        if kinds is None:
            raise UsageError(f"{path}: unknown option {name!r}; known are {', '.join(_TYPES)}")
        if type(value) not in kinds:
            words = " or ".join(kind.__name__ for kind in kinds)
            raise UsageError(f"{path}: {name} is {value!r}; write a value of type {words}")


def _alone(path: Path, told: Mapping[str, Any], name: str) -> None:
    if name in told:
        raise UsageError(f"{path}: has both {name} and {name}_file; leave one out")


def _json(path: Path, name: str, value: Mapping[str, Any]) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path}: {name} holds what JSON cannot ({error})") from error


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not text in UTF-8; name a text file") from error
    if "\0" in text:
        raise UsageError(f"{path}: is not text; name a text file")
    return text


def _lines(path: Path) -> list[Any]:
    try:
        return [json.loads(line) for line in _text(path).splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: is no JSON Lines ({error})") from error


def _example(path: Path, entry: Any) -> tuple[str, str]:
    pair = (entry.get("question"), entry.get("answer")) if isinstance(entry, dict) else (None, None)
    if not isinstance(pair[0], str) or not isinstance(pair[1], str):
        raise UsageError(f"{path}: an example is {entry!r}; it needs a question and an answer")
    return pair[0], pair[1]
