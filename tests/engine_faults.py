"""What goes wrong with the reply of a model's server, one kind after another.

A kind is a function of what the server would have said and of a generator of random numbers; it
gives bytes to send as they are, an iterator of them, or `RESET`. What a kind makes up holds
`EVIL`, which no model writes: an answer with it was never given.
"""

import copy
import gzip
import itertools
import json
import random

RESET = "reset"
EVIL = "666"
_TYPES = (None, True, -1, 1.5, "x", "", [], {}, [[]], {"a": 1}, 10**30, "\\boxed{666}")


def response(body, status="200 OK", **headers):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"Content-Type": "application/json", "Content-Length": len(body)} | headers
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in told.items())
    return f"HTTP/1.1 {status}\r\n{head}Connection: close\r\n\r\n".encode() + body


def says(status, body=None, **headers):
    told = {"error": {"message": f"no luck \\boxed{{{EVIL}}}"}} if body is None else body
    return lambda value, rng: response(told, status, **headers)


def places(value, path=()):
    """Paths of everything in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for name, part in inside if isinstance(value, dict | list) else ():
        yield (*path, name)
        yield from places(part, (*path, name)) if isinstance(part, dict | list) else ()


def changed(value, path, make):
    """A copy of a value that differs at one place."""
    value = copy.deepcopy(value)
    inside = value
    for name in path[:-1]:
        inside = inside[name]
    make(inside, path[-1])
    return value


def somewhere(value, rng, make):
    every = list(places(value))
    return response(changed(value, rng.choice(every), make)) if every else response(value)


def rows_of(value):
    """The list of the rows of a reply, or `None`."""
    if isinstance(value, list):
        return value
    return value.get("choices") if isinstance(value, dict) else None


def with_rows(value, make):
    """A reply with other rows; what has no rows is refused."""
    value = copy.deepcopy(value)
    rows = rows_of(value)
    if not rows:
        return response({"error": "no luck"}, "500 X")
    made = make(rows)
    if isinstance(value, list):
        return response(made)
    return response({**value, "choices": made})


def wrong_types(value, rng):
    def make(inside, name):
        others = [one for one in _TYPES if type(one) is not type(inside[name])]
        inside[name] = rng.choice(others)

    return somewhere(value, rng, make)


def missing_fields(value, rng):
    fields = [path for path in places(value) if isinstance(path[-1], str)]
    return response(changed(value, rng.choice(fields), lambda inside, name: inside.pop(name)))


def nan_logprobs(value, rng):
    wrong = rng.choice((float("nan"), float("inf"), -float("inf"), 1e300, 5.0))

    def walk(part):
        if isinstance(part, dict):
            return {
                name: wrong if isinstance(inner, float) else walk(inner)
                for name, inner in part.items()
            }
        return list(map(walk, part)) if isinstance(part, list) else part

    return response(walk(value))


def ids_out_of_range(value, rng):
    wrong = rng.choice((-1, 2**31, 2**32, 2**63, 10**30, 1.5, "7", None))
    value = copy.deepcopy(value)
    rows = rows_of(value) or [value]
    for row in rows:
        for name in ("token_ids", "tokens"):
            ids = row.get(name) if isinstance(row, dict) else None
            if isinstance(ids, list) and ids:
                ids[rng.randrange(len(ids))] = wrong
    return response(value)


def empty_text(value, rng):
    def empty(row):
        if "message" in row:
            return {**row, "message": {"role": "assistant", "content": ""}}
        names = {"text": "", "content": "", "token_ids": [], "tokens": [], "logprobs": None}
        names |= {"completion_probabilities": []}
        return {name: names.get(name, told) for name, told in row.items()}

    rows = rows_of(value)
    return with_rows(value, lambda rows: list(map(empty, rows))) if rows else response(empty(value))


def too_few_rows(value, rng):
    return with_rows(value, lambda rows: rows[: rng.randrange(len(rows))])


def too_many_rows(value, rng):
    evil = {"index": 99, "text": f"\\boxed{{{EVIL}}}", "token_ids": [1], "finish_reason": "stop"}
    return with_rows(value, lambda rows: [*rows, evil])


def duplicated_rows(value, rng):
    return with_rows(value, lambda rows: [rows[0]] * max(2, len(rows)))


def cut_connection(value, rng):
    whole = response(value)
    return whole[: rng.randrange(1, len(whole))]


def truncated_json(value, rng):
    body = json.dumps(value).encode()
    return response(body[: rng.randrange(len(body))])


def cut_letter(value, rng):
    return response(json.dumps(value, ensure_ascii=False).encode()[:-2] + b"\xe2\x82")


def half_letters(value, rng):
    def make(inside, name):
        if isinstance(inside[name], str):
            inside[name] += "\ud800"

    texts = [path for path in places(value) if path[-1] in ("text", "content", "prompt")]
    if not texts:
        return response({"error": {"message": "half \ud800 a letter"}}, "400 X")
    return response(changed(value, rng.choice(texts), make))


def slow_drip(value, rng):
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999999\r\n\r\n"
    yield from itertools.repeat(b" ")


def endless(value, rng):
    yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[0"
    yield from itertools.repeat(b", 0" * 20_000)


def wrong_counts(value, rng):
    wrong = rng.choice((-5, 2**52, 10**30, "many", None, 0.5, float("nan"), []))
    counts = ("prompt_tokens", "completion_tokens", "cached_tokens", "tokens_evaluated", "cache_n")

    def walk(part):
        if isinstance(part, dict):
            return {name: wrong if name in counts else walk(inner) for name, inner in part.items()}
        return list(map(walk, part)) if isinstance(part, list) else part

    return response(walk(value))


def clocks(value, rng):
    """Servers whose clock is off say when to come back, and when they answered."""
    when = rng.choice(("Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "-1"))
    if rng.random() < 0.5:
        return response({"error": "busy"}, "503 X", Retry_After=when, Date=when)
    return response(value, Date=when)


KINDS = {
    "429": says("429 X", Retry_After="999999"),
    "500": says("500 X"),
    "502": says("502 X", b"<html>bad gateway</html>", Content_Type="text/html"),
    "503": says("503 X", b""),
    "400": says("400 X"),
    "404": says("404 X"),
    "error under 200": says("200 OK"),
    "null": says("200 OK", b"null"),
    "reset": lambda value, rng: RESET,
    "cut connection": cut_connection,
    "truncated json": truncated_json,
    "wrong types": wrong_types,
    "missing fields": missing_fields,
    "nan logprobs": nan_logprobs,
    "ids out of range": ids_out_of_range,
    "empty text": empty_text,
    "too few rows": too_few_rows,
    "too many rows": too_many_rows,
    "duplicated rows": duplicated_rows,
    "rows of another request": None,
    "slow drip": slow_drip,
    "endless": endless,
    "redirect": says("302 Found", b"", Location="/elsewhere"),
    "html": says("200 OK", b"<html>\\boxed{666}</html>", Content_Type="text/html"),
    "wrong content type": lambda value, rng: response(value, Content_Type="image/png"),
    "gzip garbage": says("200 OK", b"no gzip", Content_Encoding="gzip"),
    "gzip cut": lambda value, rng: response(
        gzip.compress(json.dumps(value).encode())[:-9], Content_Encoding="gzip"
    ),
    "cut letter": cut_letter,
    "half letters": half_letters,
    "wrong counts": wrong_counts,
    "nested": says("200 OK", b"[" * 100_000),
    "clocks": clocks,
}
"""`rows of another request` is what the server said before, to whom it may have been. Replies that
are no rows, as of `/tokenize`, say nothing of what they answer, so nobody can tell."""


class Faults:
    """Meddles with replies at random, until it has done so often enough."""

    def __init__(self, kind, count, seed, share=0.7):
        self.kind, self.left, self.share = kind, count, share
        self.rng = random.Random(f"{kind} {seed}")
        self.before = {}
        """The last reply at each path."""

    def __call__(self, path, body, value):
        if body is None or self.left <= 0 or self.rng.random() > self.share:
            return self._kept(path, value)
        if self.kind == "rows of another request":
            said = self.before.get(path)
            if said is None or said == value or "complet" not in path:
                return self._kept(path, value)
            self.left -= 1
            return response(said)
        self.left -= 1
        return KINDS[self.kind](copy.deepcopy(value), self.rng)

    def _kept(self, path, value):
        self.before[path] = value
