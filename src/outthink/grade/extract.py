r"""Finds the answer that a solution ends in: the last boxed one, or else the last declared one.

An answer counts only where the text says that it is one: `\boxed{...}`, `<answer>...</answer>`,
`#### ...`, `the answer is ...`, `Final answer: ...`. A number that is merely mentioned is none, and
neither is what stands in a thought that never ends or in a box that never closes. What is said
after a declared answer does not change it.

The declarations are those of the prompts in use: Hendrycks et al. 2021 (arXiv 2103.03874, boxes),
Cobbe et al. 2021 (arXiv 2110.14168, `####`), Lewkowycz et al. 2022 (arXiv 2206.14858, "The final
answer is ... I hope it is correct"), DeepSeek-AI 2025 (arXiv 2501.12948, tags).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from outthink.grade import number

LONGEST = 2000
"""Characters of an answer; what is longer is no final answer."""

_THOUGHT = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_THINKING = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*")
_MINUS = re.compile(r"(?:[=$(\[:]|\\[(\[]|\bis)\s*-\s*\\?\Z")
"""Before a box: a minus sign of the answer, outside its box."""
_TAG = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_HASHES = re.compile(r"(?<!#)####(?!#)\s*(?P<answer>[^\n#]+?)[ \t#]*$", re.MULTILINE)
_HEADED = re.compile(r"\s*[.):]\s+\S|\s+[-\u2013\u2014]\s+[a-zA-Z]")
"""After a number at `####`: it counts a step."""
_NUMBER = re.compile(
    r"[*_`$\\(]*(?:[-+\u2212]\s?)?(?:\\?[$€£¥₹]\s?)?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?:\s?/\s?\d+)?"
)
"""The number after GSM8K's mark, with its currency."""
_KIND = (
    r"(?:(?:final|best|correct|right|only|exact|simplified|numerical|numeric|required|requested"
    r"|desired|actual|true|overall|complete|resulting|closest|likely|appropriate|accurate|plausible"
    r"|probable|most)\s+)"
)
_VERB = (
    r"\b(?:is|are|was|equals|becomes|(?:would|will|should|must|can\s+only)\s+(?:then\s+)?be"
    r"|(?:comes?|works?|turns?)\s+out\s+(?:to\s+be|as)|comes?\s+to)\b"
)
_DECLARED = re.compile(
    rf"(?:\b(?:the|my|our|so|hence|thus|therefore|and)\s+{_KIND}*answer|\b{_KIND}+answer"
    r"|\b(?:final|correct|right)\s+result|^[^\w\n]*answer|\banswer(?=[*_\s]*:)"
    rf"|\banswer(?=\s+{_VERB}\s+(?:therefore|thus|hence|then)\b))\b"
    r"(?:(?:(?:\s+(?:to|for|of|here)\b[^.:=\n$]{0,80}?)?)[*_\s]*"
    rf"(?:{_VERB}\s*:?|:|=)"
    r"|,?\s+(?:in|as|we|i|that\s+we|after|when|rounded|expressed)\b[^.:=\n$]{0,80}?,?\s*"
    rf"{_VERB}\s*:?)[*_]*(?=(?P<answer>[^\n]*))",
    re.IGNORECASE | re.MULTILINE,
)
_HEADING = re.compile(
    r"^[*_# \t]*(?:the\s+)?(?:final\s+)?answer[*_:\s]*$(?P<answer>)", re.IGNORECASE | re.MULTILINE
)
_LAST_LINE = re.compile(r"(?:\A|\n)[ \t]*A:[ \t]*(?P<answer>[^\n]+)\s*\Z")
_NEXT_QUESTION = re.compile(
    r"^[*_# \t]*(?:(?:next\s+)?(?:question|problem|exercise)\s*\d*\s*[:.]|Q\d*\s*:"
    r"|(?:human|user|instruction)[*_]*\s*:|<\|im_start\|>|<\|user\|>)",
    re.IGNORECASE | re.MULTILINE,
)
_MATH = re.compile(
    r"\$\$(?P<a>.+?)\$\$|\$(?P<b>(?:\\\$|[^$\n])+?)\$(?!\d)"
    r"|\\\((?P<c>.+?)\\\)|\\\[(?P<d>.+?)\\\]",
    re.DOTALL,
)
_LABEL = re.compile(
    r"\s*\\text(?:bf|it|rm)?\s*\{\s*(?:the\s+)?(?:final\s+)?answer\s*(?:is)?\s*[:=]?\s*\}\s*[:=]?",
    re.IGNORECASE,
)
r"""Inside a formula or a box: `\text{ANSWER: } 460`."""
_JOINED = re.compile(
    r"(?:[\s,;&]|\$(?!\$\$)|\\[,;:!()\[\] \\]|\\q?quad\b|\\text\s*\{\s*,?\s*(?:and|or)\s*\}"
    r"|\b(?:and|or)\b|[a-zA-Z](?:_\{?\w\}?)?\s*=)*"
)
_OPENING = re.compile(r"(\(|\[|\\\{)\s*\Z")
_CLOSING = re.compile(r"\s*(?:\\right\s*)?(\)|\]|\\\})")
_HOPE = re.compile(r"[\s.]*I hope it is correct.*", re.IGNORECASE | re.DOTALL)
_SENTENCE = re.compile(r"[.!?](?=[\s*_]|$)")
_AFTERTHOUGHT = re.compile(r"\s(?:because|since|which)\b|,\s(?:because|since|which|so|as|and)\b")
_IS = re.compile(
    r"(?:.*\s)?(?<!\bwho )(?<!\bthat )(?<!\bwhich )(?:is|are|was|were|equals)\b:?\s+(?=\S)",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"(?!(?:[aA]|I)\s+(?!(?:is|was|because|since|which|as)\b)[a-z])(?:[-+\u2212±(\[{|\\$€£¥₹√π∞<>≤≥≈.½⅓¼]|\d|[a-zA-Z](?![a-zA-Z]))"
)
"""What a value begins with, and not a sentence about one."""
_SYMBOL = re.compile(r"\\?[a-zA-Z]+(?:_\{?\w+\}?)?(?:\([a-zA-Z]\))?")
_WORD = r"(?!(?:and|or|sin|cos|tan|sec|csc|cot|log|ln|exp|sqrt|pi)\b)[a-zA-Z]{2,}"
_REMARK = re.compile(
    r"[,;.]?\s+(?:because|since|which|where|whereas|when|while|if|as|so|but|given|using|meaning"
    r"|obtained|found|that|is|are|was|were|equals|by\s+\w+ing)\b"
    r"|,?\s+and\s+(?:then|so|not|we|it|he|she|they|this|that|the|there|its?|his|her|their)\b"
    rf"|[,;]\s+{_WORD}|\s+[-\u2013\u2014|]\s+{_WORD}|\s*\((?!mod\b)[a-z]{{2,}}[\s,)]"
    r"|\s+[\[(]?[A-Z]\w+:\s|(?<=[\d%])\s+[A-Z][a-z]+\s+[a-z]+"
)
"""What is said after a value and is no part of it."""
_EQUALS = re.compile(r"\s*(?:is|are|equals)\s+(?=[-+\u2212(\[{|\\$€£\d.])")
_SUBJECT = re.compile(
    r"(?:the|a|an|this|that|these|there|it|he|she|they|we|my|our|his|her|total|number)\b", re.I
)
"""What a sentence begins with, and not a value in words."""
_IN_TEXT = re.compile(r"\\text(?:bf|it|rm)?\s*\{[^{}\n]*\Z")
_ADVERB = re.compile(
    r"(?:therefore|thus|hence|then|so|simply|just|also|indeed|actually|now|clearly|exactly"
    r"|approximately|about|around|roughly|equal\s+to|given\s+by|going\s+to\s+be|still|only)\b[,:]?\s+",
    re.IGNORECASE,
)
_JUDGED = re.compile(
    r"(?:not|in)?correct\b|(?:right|wrong|reasonable|verified|valid|consistent|confirmed|clear|not"
    r"|obtained|found|obvious|checked|expected|shown|the\s+same|as\s+follows)\b|in\s+the\b",
    re.IGNORECASE,
)
"""Said of an answer, and no answer: "The answer is right"."""
_MARKED = re.compile(
    r"[\s:]*(?P<mark>\*\*|__|\*|`)(?=[^\s*_`])(?P<inside>[^*`\n]+?)(?P=mark)(?!\w)"
)
_EDGES = "*_`\"' \t\r\n\u00a0\u2009\u202f"


Same = Callable[[str, str], bool]
"""Whether two texts are one value."""


def answer(text: str, same: Same = number.grade) -> str | None:
    """The last boxed or declared answer, as it is written; `None` where there is none.

    A value that is given twice, as in "15 39/40, or 639/40", is one answer: `same` tells. After an
    answer, the next question that a model goes on to ask itself is not read.
    """
    said = spoken(text.replace("\r\n", "\n"))
    if said is None:
        return None
    # What looked like an answer may be none: then the question stands before the solution.
    for part in dict.fromkeys((_of_one_question(said), said)):
        if value := boxed(part, same) if _BOX.search(part) else _declared_once(part, same):
            return value if len(value) <= LONGEST else None
    return None


def _declared_once(text: str, same: Same) -> str | None:
    value = declared(text)
    return None if value is None else _once(value, same)


def boxed(text: str, same: Same = number.grade) -> str | None:
    r"""What stands in the last `\boxed{...}`; boxes that follow each other directly are one list.

    Brackets around a list, `(\boxed{3, 4})`, belong to it. `None` where the last box is empty or
    never closes: an earlier one is not what the text ends in.
    """
    boxes: list[tuple[int, int, str]] = []
    for match in _BOX.finditer(text):
        if boxes and match.start() < boxes[-1][1]:
            continue  # a box in a box
        inside = _inside(text, match.end())
        if inside is None:
            return None
        end, content = inside
        content = _unlabelled(content)
        sign = _MINUS.search(text, max(0, match.start() - 40), match.start())
        if sign and content:
            content = f"-{content}" if content.isalnum() else f"-({content})"
        boxes.append((match.start(), end, content))
    if not boxes:
        return None
    begin, finish, last = boxes[-1]
    parts = [last]
    for (place, end, content), (start, *_) in zip(boxes[-2::-1], boxes[:0:-1], strict=True):
        if not _follows(text[end:start]):
            break
        begin = place
        if content not in parts and not any(_one(content, part, same) for part in parts):
            parts.insert(0, content)
    values = ", ".join(parts).strip()
    return _bracketed(text, begin, finish, values) or None


def tagged(text: str) -> str | None:
    """What stands in the last `<answer>` tag after thinking; `None` where there is none."""
    said = spoken(text)
    tags = _TAG.findall(said) if said is not None else []
    return tags[-1].strip() or None if tags else None


def declared(text: str) -> str | None:
    """The answer that a tag, `####` or a phrase such as "the answer is" declares.

    Of tags and phrases it is the last. Of marks it is the first that is followed by a number: what
    ends in one has no more to say.
    """
    if tags := _TAG.findall(text):
        return _trimmed(tags[-1])
    if hashed := _hashed(text):
        return hashed
    value = None
    matches = sorted(
        (*_DECLARED.finditer(text), *_HEADING.finditer(text)), key=lambda match: match.end()
    )
    for match in matches:
        rest = match["answer"]
        if _IN_TEXT.search(text, max(0, match.end() - 60), match.end()):
            rest = rest.lstrip().removeprefix("}")
        if not rest.strip(_EDGES + ":$\\[("):
            rest = _display(text, match.end()) or _next_line(text[match.end("answer") :])
        plain = rest.strip(_EDGES)
        if _DECLARED.match(plain):  # "Final answer: the final answer is ..."
            continue
        if value is not None and _JUDGED.match(plain):
            continue
        value = _clause(rest) or value
    if value is None and (last := _LAST_LINE.search(text)):
        value = _clause(last["answer"])
    return value


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


def _bracketed(text: str, start: int, end: int, values: str) -> str:
    """A list in boxes with the brackets that stand around them."""
    opening = _OPENING.search(text, max(0, start - 20), start)
    closing = _CLOSING.match(text, end)
    if "," not in values or opening is None or closing is None:
        return values
    return f"{opening[1]}{values}{closing[1]}"


def _of_one_question(text: str) -> str:
    """A text up to the next question that is asked after an answer."""
    marks = (_BOX.search(text), _valued_mark(text), _DECLARED.search(text))
    answered = [mark.end() for mark in marks if mark is not None]
    following = _NEXT_QUESTION.search(text, min(answered)) if answered else None
    return text if following is None else text[: following.start()]


def _once(values: str, same: Same) -> str:
    """One of the values where all that 'or' joins are one: `1/2, or 0.5`."""
    parts = re.split(r",?\s+(?:or|that is,?|i\.e\.,?)\s+", values)
    return parts[0] if all(_one(parts[0], part, same) for part in parts[1:]) else values


def _one(a: str, b: str, same: Same) -> bool:
    """Whether two texts are one value; what is said of two names is not."""
    return "=" not in a + b and same(a, b)


def _unlabelled(content: str) -> str:
    r"""The content of a formula or box without `\text{Answer: }` in front."""
    label = _LABEL.match(content)
    rest = content[label.end() :].strip() if label else ""
    return rest or content


def _hashed(text: str) -> str | None:
    """What stands after `####`: the first value, or else what the text ends in."""
    if mark := _valued_mark(text):
        return _clause(mark["answer"])
    marks = list(_HASHES.finditer(text))
    if marks and not text[marks[-1].end() :].strip():
        return _trimmed(marks[-1]["answer"])
    return None


def _valued_mark(text: str) -> re.Match[str] | None:
    """The first `####` before a value; elsewhere it is a heading."""
    for mark in _HASHES.finditer(text):
        said = mark["answer"]
        value = _NUMBER.match(said)
        if value is None:
            if not re.search(r"(?<!\\)\b[a-zA-Z]{2,}", said):  # a letter, `x = 5`
                return mark
            continue
        rest = said[value.end() :]
        ends = re.fullmatch(r"[*_`$%.\\)!]*|\s*[%°]?\s*[^\s:]+(?:\s[^\s:]+)?[*.]*", rest)
        if not _HEADED.match(rest) and (
            ends or _REMARK.match(said, value.end()) or _SENTENCE.match(rest)
        ):
            return mark
    return None


def _display(text: str, start: int) -> str | None:
    """A displayed formula that stands where a declaration's line ends."""
    match = re.compile(r"\s*(?:\$\$.+?\$\$|\\\[.+?\\\])", re.DOTALL).match(text, start)
    return match[0] if match else None


def _next_line(text: str) -> str:
    return next((line for line in text.split("\n") if line.strip(_EDGES)), "")


def _clause(text: str) -> str | None:
    """The answer at the start of what follows a declaration."""
    marked = _MARKED.match(text)
    if marked and not re.match(r",?\s*(?:and|or|&|,)\s*[*_`]", text[marked.end() :]):
        text = marked["inside"]
    text = _HOPE.sub("", text.strip(_EDGES + ":").lstrip(_EDGES + ",")).strip(_EDGES)
    while adverb := _ADVERB.match(text):
        text = text[adverb.end() :].strip(_EDGES)
    if formulas := _formulas(text):
        formula, rest = formulas
        if _SYMBOL.fullmatch(formula) and (said := _EQUALS.match(rest)):
            return _clause(rest[said.end() :]) or formula  # "$x$ is $5$"
        return formula
    sentence = _SENTENCE.split(text)[0].strip(_EDGES)
    if _VALUE.match(sentence):
        return _value(sentence)
    end = _AFTERTHOUGHT.search(sentence)
    head = sentence[: end.start()] if end else sentence
    for part in (head, sentence) if _SUBJECT.match(head) else (head,):
        if stated := _IS.match(part):
            return _clause(part[stated.end() :])  # "Final answer: The volume is 120"
    return _trimmed(head)


def _value(sentence: str) -> str | None:
    """The value that a sentence begins with, without what is said about it."""
    for remark in _REMARK.finditer(sentence, 1):
        head, rest = sentence[: remark.start()], sentence[remark.start() :]
        if len(re.findall(r"[(\[{]", head)) != len(re.findall(r"[)\]}]", head)):
            continue
        if _SYMBOL.fullmatch(head) and (said := _EQUALS.match(rest)):
            return _clause(rest[said.end() :])  # "x is 5"
        return _trimmed(head)
    return _trimmed(sentence)


def _formulas(text: str) -> tuple[str, str] | None:
    """The formulas that a clause begins with, as a list, and what follows; `None` for none."""
    parts: list[str] = []
    position = 0
    while (match := _MATH.match(text, position)) and not _is_money(match):
        parts.append(_unlabelled(next(group for group in match.groups() if group is not None)))
        joint = re.compile(r",?\s*(?:and|or)\s+|,\s*").match(text, match.end())
        position = match.end()
        if joint is None:
            break
        if not _MATH.match(text, joint.end()):
            break
        position = joint.end()
    if not parts:
        return None
    rest = text[position:]
    unit = re.match(r"\s*(\\?%|percent\b)", rest)
    values = _trimmed(", ".join(parts) + ("%" if unit else ""))
    return None if values is None else (values, rest)


def _is_money(match: re.Match[str]) -> bool:
    """`$5 and $` of "$5 and $7" looks like a formula and is none."""
    content = match["b"]
    return content is not None and re.fullmatch(r"\d[\d,.]*\s+[a-zA-Z].*", content) is not None


def _trimmed(text: str) -> str | None:
    for opening, closing in (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)")):
        if (
            text.rstrip(_EDGES).endswith(closing)
            and opening not in text.rstrip(_EDGES)[: -len(closing)]
        ):
            text = text.rstrip(_EDGES)[: -len(closing)]  # its beginning was before the answer
    text = text.strip(_EDGES).rstrip(".").strip(_EDGES)
    if text.endswith(")") and not re.search(r"[(\[]", text):  # "(Answer: 18)"
        text = text[:-1].strip(_EDGES)
    return text or None
