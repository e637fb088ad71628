"""What lm-evaluation-harness writes with `--log_samples`: a line a document and filter.

    {"doc_id": 0, "target": "4", "arguments": {"gen_args_0": {"arg_0": PROMPT, ...}},
     "resps": [[TEXT, TEXT]], "filtered_resps": [ANSWER], "filter": "strict-match",
     "metrics": ["exact_match"], "exact_match": 1.0, ...}

The texts are the repeats of a document. A verdict is of a single text: with several, that of a line
is of a vote, or of one of them, and is not taken. https://github.com/EleutherAI/lm-evaluation-harness
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from outthink.data.samples import Reading, Sample, a_list, sample
from outthink.data.tables import Row, rows
from outthink.errors import ProblemFileError, UsageError

FIELDS = ("doc_id", "target", "arguments", "resps", "filtered_resps", "filter", "metrics")


def is_log(values: Mapping[str, Any]) -> bool:
    """Whether a row is of such a log, of this version or another."""
    return "doc_id" in values and bool({"resps", "logit_0", "prompt_0"} & set(values))


def samples(path: Path, reading: Reading) -> Iterator[Sample]:
    """The repeats of each document, those of one filter.

    Raises `ProblemFileError` for a log of another version, of likelihoods, or of several filters or
    metrics none of which is named.
    """
    wanted = reading.columns.get("answer")
    seen: dict[str, int] = {}
    kept: str | None = wanted
    for row in rows(path):
        _require(row)
        name = row.values["filter"]
        seen[name] = seen.get(name, 0) + 1
        kept = kept or name
        if name == kept:
            yield from _repeats(row, reading)
    if wanted is None and len(seen) > 1:
        raise ProblemFileError(
            f"{path}: answers of {len(seen)} filters ({', '.join(seen)}); "
            "choose one with --column answer=FILTER"
        )
    if wanted is not None and wanted not in seen:
        raise ProblemFileError(f"{path}: no filter {wanted!r}; there are {', '.join(seen)}")


def _require(row: Row) -> None:
    missing = [name for name in FIELDS if name not in row.values]
    if missing or not isinstance(row.values["arguments"], dict):
        what = f"no {', '.join(missing)}" if missing else "arguments in a list"
        raise ProblemFileError(
            f"{row.where}: {what}; a log of another version of lm-eval: those of 0.4.3 and later "
            "are read, so run it again with one of them"
        )
    a_list(row.where, row.values["metrics"], "metrics")
    if not isinstance(row.values["filter"], str):
        raise ProblemFileError(f"{row.where}: filter is no name; give a file as its tool wrote it")


def _repeats(row: Row, reading: Reading) -> Iterator[Sample]:
    values = row.values
    texts = _texts(row)
    shared = {
        "problem_id": values["doc_id"],
        "problem": _prompt(row),
        "target": _one(values["target"]),
    }
    if len(texts) == 1:
        filtered = values["filtered_resps"]
        answer = filtered[0] if isinstance(filtered, list) and len(filtered) == 1 else None
        known = answer if isinstance(answer, str) else None
        # What a filter writes where it finds nothing; an empty answer is none that was declared.
        shared["answer"] = "" if known == "[invalid]" else known
        shared["correct"] = _verdict(row, reading)
    for text in texts:
        yield sample(row.where, {**shared, "text": text}, reading)


def _texts(row: Row) -> list[str]:
    requests = row.values["resps"]
    texts = requests[0] if isinstance(requests, list) and len(requests) == 1 else None
    if isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts):
        return texts
    raise ProblemFileError(
        f"{row.where}: its responses are no generated texts but {json.dumps(requests)[:60]}; "
        "import a task whose output_type is generate_until"
    )


def _prompt(row: Row) -> str | None:
    """What the model was sent; of a chat its last turn."""
    request = row.values["arguments"].get("gen_args_0")
    said = request.get("arg_0") if isinstance(request, dict) else None
    text = said[0] if isinstance(said, list) and len(said) == 1 else said
    if not isinstance(text, str):
        return None
    try:
        turns = json.loads(text) if text.startswith("[{") else None
    except json.JSONDecodeError:  # a prompt that only begins like a chat
        turns = None
    last = turns[-1] if isinstance(turns, list) else None
    return str(last["content"]) if isinstance(last, dict) and "content" in last else text


def _one(value: Any) -> Any:
    """A target; one of several that are as good is none."""
    if isinstance(value, list):
        return value[0] if len(value) == 1 else None
    return value


def _verdict(row: Row, reading: Reading) -> bool | None:
    """What the metric says, where it is 0 or 1."""
    values, metrics = row.values, row.values["metrics"]
    name = reading.columns.get("correct")
    if name is not None and name not in metrics:
        raise ProblemFileError(
            f"{row.where}: no metric {name!r} for correct; there are {', '.join(metrics)}"
        )
    names = [name] if name is not None else metrics
    said = {one: values.get(one) for one in names}
    known = {one: bool(value) for one, value in said.items() if value in (0, 1)}
    if len(set(known.values())) > 1:
        raise ProblemFileError(
            f"{row.where}: {' and '.join(known)} differ; choose one with --column correct=METRIC"
        )
    return next(iter(known.values()), None)


def document(number: int, samples: Sequence[Sample]) -> dict[str, Any]:
    """The samples of one problem, one at least, as a line of such a log.

    Its verdict is that of a single sample, or the share that is right of several. Raises
    `UsageError` for a sample without a text.
    """
    first = samples[0]
    texts = [sample.text for sample in samples if sample.text is not None]
    if len(texts) < len(samples):
        raise UsageError(
            f"problem {first.problem_id!r} has a sample without a text, which lm-eval logs; write "
            "a plain table"
        )
    prompt = first.problem_id if first.prompt is None else first.prompt
    doc = {"problem_id": first.problem_id, "problem": prompt, "target": first.target}
    judged = [sample.right for sample in samples if sample.right is not None]
    answers = [sample.answer or "[invalid]" for sample in samples]
    return {
        "doc_id": number,
        "doc": doc,
        "target": first.target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {}}},
        "resps": [texts],
        "filtered_resps": answers if len(answers) == 1 else [answers],
        "filter": "none",
        "metrics": ["exact_match"],
        "doc_hash": _hashed(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hashed(prompt),
        "target_hash": _hashed(str(first.target)),
        "exact_match": sum(judged) / len(judged) if judged else None,
    }


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
