"""Logs of inspect_ai: `.eval`, which is a zip with a file a sample, and `.json`.

A sample of theirs is one epoch of a problem. The scorer `--column correct=NAME` gives the verdicts
where there are several that differ. https://inspect.aisi.org.uk/eval-logs.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from outthink.data.samples import Reading, Sample, a_list, an_object, sample
from outthink.data.zips import members, read
from outthink.errors import ProblemFileError

VERSION = 2
"""Of the logs that are read."""
_CUT = ("max_tokens", "model_length", "content_filter", "tool_calls")
_ATTACHED = re.compile(r"attachment://([0-9a-f]+)")
_VERDICTS: Mapping[Any, bool] = {"C": True, "I": False, "N": False, 1: True, 0: False}


def is_log(values: Mapping[str, Any]) -> bool:
    """Whether the one object of a JSON file is such a log, of this version or another."""
    return "eval" in values and "status" in values


def archive(path: Path, reading: Reading) -> Iterator[Sample]:
    """The samples of an `.eval` file, by epoch. Raises `ProblemFileError` as `log` does."""
    with members(path) as zipped:
        names = zipped.namelist()
        header = next((n for n in ("header.json", "_journal/start.json") if n in names), None)
        if header is None:
            raise ProblemFileError(
                f"{path}: a zip without header.json; give an .eval log of inspect_ai"
            )
        model = _model(path, read(path, zipped, header))
        for name in sorted((n for n in names if n.startswith("samples/")), key=_epoch):
            yield _sample(f"{path}: {name}", read(path, zipped, name), model, reading)


def log(path: Path, values: Mapping[str, Any], reading: Reading) -> Iterator[Sample]:
    """The samples of a `.json` log. Raises `ProblemFileError` for a log of another version, or
    verdicts of several scorers that differ."""
    model = _model(path, values)
    if values.get("samples") is None:
        raise ProblemFileError(f"{path}: no samples; write the log without header_only")
    every = a_list(str(path), values["samples"], "samples")
    recorded = [an_object(str(path), one, "a sample") for one in every]
    for one in sorted(recorded, key=lambda one: one.get("epoch") or 1):
        yield _sample(f"{path}: sample {one.get('id')!r}", one, model, reading)


def _epoch(name: str) -> int:
    number = re.search(r"_epoch_(\d+)\.json$", name)
    return int(number[1]) if number else 1


def _model(path: Path, header: Mapping[str, Any]) -> str:
    """The name of the model, of a log of the version that is read."""
    version, about = header.get("version"), header.get("eval")
    if version != VERSION or not isinstance(about, dict):
        raise ProblemFileError(
            f"{path}: an inspect_ai log of version {version}, and version {VERSION} is read; "
            "convert it with `inspect log convert`"
        )
    return str(about.get("model"))


def _sample(where: str, values: Mapping[str, Any], model: str, reading: Reading) -> Sample:
    if values.get("error"):
        return sample(where, {"problem_id": values.get("id")}, reading, failed=True)
    attached = an_object(where, values.get("attachments"), "attachments")
    said = _said(where, values)
    known = {
        "problem_id": values.get("id"),
        "problem": _attached(_prompt(where, values.get("input")), attached),
        "target": _target(values.get("target")),
        "text": None if said is None else _attached(said.text, attached),
        "tokens": _tokens(where, values, model),
        "finished": None if said is None else said.finished and not values.get("limit"),
        "answer": _answer(where, values.get("scores"), reading),
        "correct": _verdict(where, values.get("scores"), reading),
    }
    return sample(where, known, reading, failed=said is None)


@dataclass(frozen=True, slots=True)
class _Said:
    text: str
    finished: bool | None


def _said(where: str, values: Mapping[str, Any]) -> _Said | None:
    """What the model wrote last, thoughts before the answer; `None` where it wrote nothing."""
    output = an_object(where, values.get("output"), "output")
    choices = a_list(where, output.get("choices"), "choices")
    if not choices:
        return None
    first = an_object(where, choices[0], "a choice")
    reason = first.get("stop_reason")
    finished = True if reason == "stop" else False if reason in _CUT else None
    message = an_object(where, first.get("message"), "a message")
    return _Said(_content(where, message.get("content")), finished)


def _content(where: str, content: Any) -> str:
    if not isinstance(content, list):
        return str(content or "")
    parts = [an_object(where, one, "a part of a message") for one in content]
    thoughts = [str(one.get("reasoning", "")) for one in parts if _is_thought(one)]
    answer = "".join(str(one.get("text", "")) for one in parts if one.get("type") == "text")
    if not any(thoughts):
        return answer
    thought = f"<think>{''.join(thoughts)}"
    return f"{thought}</think>\n\n{answer}" if answer else thought


def _is_thought(part: Mapping[str, Any]) -> bool:
    """A thought that can be read: some are sent encrypted."""
    return part.get("type") == "reasoning" and not part.get("redacted")


def _prompt(where: str, given: Any) -> str | None:
    """What was asked; of a chat its last turn."""
    if not isinstance(given, list):
        return None if given is None else str(given)
    if not given:
        return None
    return _content(where, an_object(where, given[-1], "a message").get("content"))


def _attached(text: str | None, attached: Mapping[str, Any]) -> str | None:
    """A text with what the log keeps apart in its place."""
    if text is None:
        return None
    return _ATTACHED.sub(lambda match: str(attached.get(match[1], match[0])), text)


def _target(value: Any) -> Any:
    """A target; one of several that are as good is none."""
    if isinstance(value, list):
        return value[0] if len(value) == 1 else None
    return value or None


def _tokens(where: str, values: Mapping[str, Any], model: str) -> int | None:
    """Tokens that the model wrote, thoughts among them, in all its turns."""
    every = an_object(where, values.get("model_usage"), "model_usage")
    count = an_object(where, every.get(model), "a usage").get("output_tokens")
    return count if isinstance(count, int) else None


def _answer(where: str, scores: Any, reading: Reading) -> Any:
    """What the scorer that is named read as the answer; `None` where none is named."""
    name = reading.columns.get("answer")
    return None if name is None else _scorers(where, scores, "answer", name)[name].get("answer")


def _verdict(where: str, scores: Any, reading: Reading) -> bool | None:
    """What the scorers say, where it is right or wrong and nothing between."""
    given = _scorers(where, scores, "correct", reading.columns.get("correct"))
    values = {one: score.get("value") for one, score in given.items()}
    known = {
        one: _VERDICTS[value]
        for one, value in values.items()
        if isinstance(value, (str, int, float)) and value in _VERDICTS
    }
    if len(set(known.values())) > 1:
        raise ProblemFileError(
            f"{where}: {' and '.join(known)} differ; choose one with --column correct=SCORER"
        )
    return next(iter(known.values()), None)


def _scorers(
    where: str, scores: Any, what: str, name: str | None
) -> Mapping[str, Mapping[str, Any]]:
    """The scores by scorer, or that of one."""
    scored = an_object(where, scores, "scores")
    given = {one: an_object(where, score, "a score") for one, score in scored.items()}
    if name is None:
        return given
    if name not in given:
        there = ", ".join(given) or "none"
        raise ProblemFileError(f"{where}: no scorer {name!r} for {what}; there are {there}")
    return {name: given[name]}
