r"""Finds the answer that a solution ends in: the last boxed one, or else the last declared one.

An answer counts only where the text says that it is one: `\boxed{...}`, `<answer>...</answer>`,
`#### ...`, `the answer is ...`, `Final answer: ...`. A number that is merely mentioned is none, and
neither is what stands in a thought that never ends or in a box that never closes. Knows nothing of
what an answer means.

The declarations are those of the prompts in use: Hendrycks et al. 2021 (arXiv 2103.03874, boxes),
Cobbe et al. 2021 (arXiv 2110.14168, `####`), Lewkowycz et al. 2022 (arXiv 2206.14858, "The final
answer is ... I hope it is correct"), DeepSeek-AI 2025 (arXiv 2501.12948, tags).
"""

from __future__ import annotations

import re

LONGEST = 2000
"""Characters of an answer; what is longer is no final answer."""

_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_THINKING = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_MINUS = re.compile(r"(?:[=$(\[:]|\\[(\[]|\bis)\s*-\s*\\?\Z")
"""Before a box: a minus sign of the answer, outside its box."""
_TAG = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_HASHES = re.compile(r"####[ \t]*([^\n#]+?)\s*\Z")
_DECLARED = re.compile(
    r"(?:\b(?:final|correct|right)\s+(?:answer|result)|\b(?:the|my|our)\s+answer|^\W*answer)\b"
    r"(?P<about>(?:\s+(?:to|for|of|here)\b[^.:=\n$]{0,80}?)?)"
    r"[*_\s]*(?:\b(?:is|are|was|would\s+be|will\s+be|equals|should\s+be)\b\s*:?|:|=)[*_]*"
    r"(?=(?P<answer>[^\n]*))",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(
    r"^[*_#\s]*(?:the\s+)?(?:final\s+)?answer[*_:\s]*$(?P<answer>)", re.IGNORECASE | re.MULTILINE
)
_LAST_LINE = re.compile(r"(?:\A|\n)[ \t]*A:[ \t]*(?P<answer>[^\n]+)\s*\Z")
_MATH = re.compile(
    r"\$\$(?P<a>.+?)\$\$|\$(?P<b>(?:\\\$|[^$\n])+?)\$|\\\((?P<c>.+?)\\\)|\\\[(?P<d>.+?)\\\]",
    re.DOTALL,
)
_JOINED = re.compile(
    r"(?:[\s,;&]|\$(?!\$\$)|\\[,;:!()\[\] \\]|\\q?quad\b|\\text\s*\{\s*,?\s*(?:and|or)\s*\}"
    r"|\b(?:and|or)\b|[a-zA-Z](?:_\{?\w\}?)?\s*=)*"
)
_HOPE = re.compile(r"[\s.]*I hope it is correct.*", re.IGNORECASE | re.DOTALL)
_SENTENCE = re.compile(r"[.!?](?=\s|$)")
_AFTERTHOUGHT = re.compile(r"\s(?:because|since|which)\b|,\s(?:because|since|which|so|as|and)\b")
_IS = re.compile(r".*\b(?:is|are|equals)\b:?\s+(?=\S)", re.IGNORECASE)
_EDGES = "*_`\"' \t\r\n"


def answer(text: str) -> str | None:
    """The last boxed or declared answer, as it is written; `None` where there is none."""
    said = spoken(text)
    if said is None:
        return None
    found = boxed(said) if _BOX.search(said) else declared(said)
    return found if found and len(found) <= LONGEST else None


def boxed(text: str) -> str | None:
    r"""What stands in the last `\boxed{...}`; boxes that follow each other directly are one list.

    `None` where the last box is empty or never closes: an earlier one is not what the text ends in.
    """
    boxes: list[tuple[int, int, str]] = []
    for match in _BOX.finditer(text):
        if boxes and match.start() < boxes[-1][1]:
            continue  # a box in a box
        inside = _inside(text, match.end())
        if inside is None:
            return None
        end, content = inside
        sign = _MINUS.search(text, max(0, match.start() - 40), match.start())
        if sign and content:
            content = f"-{content}" if content.isalnum() else f"-({content})"
        boxes.append((match.start(), end, content))
    if not boxes:
        return None
    parts = [boxes[-1][2]]
    for (_, end, content), (start, *_) in zip(boxes[-2::-1], boxes[:0:-1], strict=True):
        if not _follows(text[end:start]):
            break
        if content not in parts:
            parts.insert(0, content)
    return ", ".join(parts).strip() or None


def tagged(text: str) -> str | None:
    """What stands in the last `<answer>` tag after thinking; `None` where there is none."""
    said = spoken(text)
    tags = _TAG.findall(said) if said is not None else []
    return tags[-1].strip() or None if tags else None


def declared(text: str) -> str | None:
    """The last answer that a tag, `####` or a phrase such as "the answer is" declares."""
    if tags := _TAG.findall(text):
        return _trimmed(tags[-1])
    if hashes := _HASHES.search(text):  # in the last line: elsewhere it is a heading
        return _trimmed(hashes[1])
    found = None
    matches = sorted(
        (*_DECLARED.finditer(text), *_HEADING.finditer(text)), key=lambda match: match.end()
    )
    for match in matches:
        rest = match["answer"]
        if not rest.strip(_EDGES + ":$\\[("):
            rest = _display(text, match.end()) or _next_line(text[match.end("answer") :])
        if not _DECLARED.match(rest.strip(_EDGES)):  # "Final answer: the final answer is ..."
            found = _clause(rest) or found
    if found is None and (last := _LAST_LINE.search(text)):
        found = _clause(last["answer"])
    return found


def spoken(text: str) -> str | None:
    """What is said after thinking; `None` where the thinking never ends."""
    ends = list(_THOUGHT.finditer(text))
    rest = text[ends[-1].end() :] if ends else text
    return None if _THINKING.search(rest) else rest


def _inside(text: str, start: int) -> tuple[int, str] | None:
    r"""Where a box's content ends, and the content; braces have to balance, `\boxed 5` is "5"."""
    if start >= len(text):
        return None
    if text[start] != "{":
        match = re.compile(r"\\[a-zA-Z]+|[^\s$]").match(text, start)
        return (match.end(), match[0]) if match else None
    depth = 0
    index = start
    while index < len(text):
        character = text[index]
        if character == "\\":
            index += 1
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return index + 1, text[start + 1 : index].strip()
        index += 1
    return None


def _follows(between: str) -> bool:
    """Whether two boxes with this between them are one answer in parts."""
    return len(between) < 40 and _JOINED.fullmatch(between) is not None and "\n\n" not in between


def _display(text: str, start: int) -> str | None:
    """A displayed formula that stands where a declaration's line ends."""
    match = re.compile(r"\s*(?:\$\$.+?\$\$|\\\[.+?\\\])", re.DOTALL).match(text, start)
    return match[0] if match else None


def _next_line(text: str) -> str:
    return next((line for line in text.split("\n") if line.strip(_EDGES)), "")


def _clause(text: str) -> str | None:
    """The answer at the start of what follows a declaration."""
    text = _HOPE.sub("", text.strip(_EDGES + ":")).strip(_EDGES)
    formulas = _formulas(text)
    if formulas is not None:
        return formulas
    sentence = _SENTENCE.split(text)[0]
    if (said := _IS.match(sentence)) and (rest := text[said.end() :]):
        return _clause(rest)  # "Final answer: The volume is 120"
    if end := _SENTENCE.search(text):
        text = text[: end.start()]
    if end := _AFTERTHOUGHT.search(text):
        text = text[: end.start()]
    return _trimmed(text)


def _formulas(text: str) -> str | None:
    """The formulas that a clause begins with, as a list; `None` where it begins otherwise."""
    parts: list[str] = []
    position = 0
    while (match := _MATH.match(text, position)) and not _is_money(match):
        parts.append(next(group for group in match.groups() if group is not None))
        joint = re.compile(r",?\s*(?:and|or)\s+|,\s*").match(text, match.end())
        position = match.end()
        if joint is None:
            break
        if not _MATH.match(text, joint.end()):
            break
        position = joint.end()
    if not parts:
        return None
    unit = re.match(r"\s*(\\?%|percent\b)", text[position:])
    return _trimmed(", ".join(parts) + ("%" if unit else ""))


def _is_money(match: re.Match[str]) -> bool:
    """`$5 and $` of "$5 and $7" looks like a formula and is none."""
    content = match["b"]
    return content is not None and re.fullmatch(r"\d[\d,.]*\s+[a-zA-Z].*", content) is not None


def _trimmed(text: str) -> str | None:
    return text.strip(_EDGES).rstrip(".").strip(_EDGES) or None
