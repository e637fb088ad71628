"""How a model is asked, beyond what a search decides: sampling, prompt, template, fields, requests.

Read from one TOML file and what is typed, by `read`; `OPTIONS` is the table of both. What differs
from the defaults is part of a proposer's name, so draws of two ways of asking are never mixed; how
requests are sent (`requests_in_flight`, `request_s`, `patience_s`, `deadline_s`) is not, since it
decides nothing that a model writes. Knows nothing of any server: `models.openai` refuses by name
what a server cannot do.
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
    """Without a chat template, for a base model."""
    stop: tuple[str, ...] = ()
    """Ends an answer, beside the model's end mark; it is not part of the answer."""
    extra: str = "{}"
    """Further fields of a request for an answer, as JSON."""
    requests_in_flight: int | None = None
    request_s: float | None = None
    """Seconds after which a request is given up."""
    patience_s: float | None = None
    """Seconds for which a request is sent again to a server that fails or is busy."""
    deadline_s: float | None = None
    """Seconds after which a problem is given up; what was drawn of it is kept."""

    def __post_init__(self) -> None:
        for option in OPTIONS:
            value = getattr(self, option.name)
            if value is not None and not option.holds(value):
                raise UsageError(f"{option.name} is {value!r}; it has to be {option.least}")
        if self.completion and (self.template != "{}" or self.reasoning_effort is not None):
            raise UsageError(
                "completion applies no chat template; leave out template and reasoning_effort"
            )
        if not all(self.stop):
            raise UsageError("stop holds an empty string, which would end every answer; leave out")
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
        if self.completion:
            told["completion"] = QUESTION  # plain text had no labels once
        return json.dumps(told, sort_keys=True) if told else ""

    @property
    def ends(self) -> tuple[str, ...]:
        """What ends an answer beside the model's end mark."""
        return self.stop or ((QUESTION,) if self.completion else ())

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


QUESTION, ANSWER = "Question:", "Answer:"
"""Labels of a prompt in completion mode; a base model that begins another question has answered."""
_ELSEWHERE = {
    *("most_tokens", "delimiter", "system", "instruction"),
    *("requests_in_flight", "request_s", "patience_s", "deadline_s"),
}
_OWN = {
    *("model", "prompt", "messages", "n", "n_cmpl", "seed", "stop", "stream"),
    *("max_tokens", "max_completion_tokens", "n_predict", "reasoning_effort"),
    *("temperature", "top_p", "top_k", "min_p", "samplers", "repetition_penalty"),
    *("logprobs", "n_probs", "return_token_ids", "return_tokens", "cache_prompt"),
    "include_stop_str_in_output",
}
"""Fields of a request that the other options and the searches decide."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option: how a file names it, a command line does, and what it may be."""

    name: str
    flag: str
    """Empty for one that has a flag elsewhere."""
    kinds: tuple[type, ...]
    help: str = ""
    holds: Callable[[Any], bool] = lambda value: True
    least: str = ""
    """What would do, in words."""


_NUMBER = (int, float)
OPTIONS = (
    Option(
        *("temperature", "--temperature", _NUMBER, "In place of a search's own above 0."),
        *(lambda value: 0 < value <= 10, "above 0 and at most 10"),
    ),
    Option(
        *("top_p", "--top-p", _NUMBER, "Draw from the likeliest tokens of this probability."),
        *(lambda value: 0 < value <= 1, "above 0 and at most 1"),
    ),
    Option(
        *("top_k", "--top-k", (int,), "Draw from so many of the likeliest tokens."),
        *(lambda value: value >= 1, "at least 1"),
    ),
    Option(
        *("min_p", "--min-p", _NUMBER, "Draw from tokens of at least this share of the likeliest."),
        *(lambda value: 0 <= value < 1, "at least 0 and below 1"),
    ),
    Option("most_tokens", "", (int,), "", lambda value: value >= 1, "at least 1"),
    Option(
        *("step_tokens", "--step-tokens", (int,), "Most tokens of a step."),
        *(lambda value: value >= 1, "at least 1"),
    ),
    Option(
        *("delimiter", "--delimiter", (str,), "Ends a step; \\n is a new line."),
        *(lambda value: value.strip(" ") != "", "some text"),
    ),
    Option("system", "--system", (str,), "System prompt, or @FILE."),
    Option("instruction", "--instruction", (str,), "Follows the problem; text, or @FILE."),
    Option("examples", "--shots", (list,), "Examples: JSON Lines of question and answer."),
    Option("template", "--template", (dict,), "Option of the chat template, as NAME=VALUE."),
    Option("reasoning_effort", "--reasoning-effort", (str,), "Such as low."),
    Option("completion", "--completion", (bool,), "No chat template, for a base model."),
    Option("stop", "--stop", (list,), "Ends an answer, beside the model's end mark."),
    Option("extra", "--extra", (dict,), "Further field of a request, as NAME=VALUE."),
    Option(
        *("requests_in_flight", "--in-flight", (int,), "Requests at one time."),
        *(lambda value: value >= 1, "at least 1"),
    ),
    Option(
        *("request_s", "--request-timeout", _NUMBER, "Seconds that a request may take."),
        *(lambda value: value > 0, "above 0"),
    ),
    Option(
        *("patience_s", "--patience", _NUMBER, "Seconds that a failing server is waited for."),
        *(lambda value: value >= 0, "at least 0"),
    ),
    Option(
        *("deadline_s", "--deadline", _NUMBER, "Seconds that a problem may take."),
        *(lambda value: value > 0, "above 0"),
    ),
)
"""All options of a file; what a command line takes is made of them."""
COMMAND_LINE = Path("command line")
"""Stands for a file where an option was typed."""
_TYPES = {
    **{option.name: option.kinds for option in OPTIONS},
    **dict.fromkeys(("system_file", "examples_file"), (str,)),
}


def read(path: Path | None, typed: Mapping[str, Any] | None = None) -> Asking:
    """The options of a TOML file; `system_file` and `examples_file` are relative to it. What is
    `typed` comes before what is in the file. Raises `UsageError` where a file cannot be read, or
    has an option that is unknown or cannot be."""
    told = {} if path is None else _of_file(path)
    where = COMMAND_LINE if path is None else path
    if typed:
        _check(COMMAND_LINE, typed)
        told |= _plain(COMMAND_LINE, typed)
    try:
        return Asking(**told)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _of_file(path: Path) -> dict[str, Any]:
    try:
        told = tomllib.loads(text_of(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: is no TOML ({error})") from error
    _check(path, told)
    if "system_file" in told:
        _alone(path, told, "system")
        told["system"] = text_of(path.parent / told.pop("system_file")).strip()
    if "examples_file" in told:
        _alone(path, told, "examples")
        told["examples"] = examples_of(path.parent / told.pop("examples_file"))
    return _plain(path, told)


def _plain(path: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the fields of `Asking` hold them."""
    plain = dict(told)
    if "examples" in told:
        plain["examples"] = tuple(_example(path, entry) for entry in told["examples"])
    if "stop" in told:
        plain["stop"] = tuple(_word(path, entry) for entry in told["stop"])
    for name in ("template", "extra"):
        if name in told:
            plain[name] = _json(path, name, told[name])
    return plain


def of_json(text: str) -> Asking:
    """What `Asking.as_json` wrote."""
    told = json.loads(text)
    examples = tuple((question, answer) for question, answer in told.pop("examples", ()))
    stop = tuple(told.pop("stop", ()))
    return Asking(**told, examples=examples, stop=stop)


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


def text_of(path: Path) -> str:
    """The text of a file. Raises `UsageError` where it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not text in UTF-8; name a text file") from error
    if "\0" in text:
        raise UsageError(f"{path}: is not text; name a text file")
    return text


def examples_of(path: Path) -> list[Any]:
    """Examples of a file of JSON Lines. Raises `UsageError` where it is none."""
    try:
        return [json.loads(line) for line in text_of(path).splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}: is no JSON Lines ({error})") from error


def _word(path: Path, entry: Any) -> str:
    if not isinstance(entry, str):
        raise UsageError(f"{path}: stop holds {entry!r}; write a list of strings")
    return entry


def _example(path: Path, entry: Any) -> tuple[str, str]:
    pair = (entry.get("question"), entry.get("answer")) if isinstance(entry, dict) else (None, None)
    if not isinstance(pair[0], str) or not isinstance(pair[1], str):
        raise UsageError(f"{path}: an example is {entry!r}; it needs a question and an answer")
    return pair[0], pair[1]
