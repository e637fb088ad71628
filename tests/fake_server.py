"""A server for tests: real HTTP on localhost, a made-up model, and every fault there is.

It plays vLLM, llama.cpp or a bare chat API. The model writes what follows from its prompt, what is
written already and the seed; the same row is the same alone and among others. `usage` is what the
server itself counted of the responses that it sent whole.
"""

import asyncio
import json
import math
import random
import re
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET

MODEL = "made/up"
EOS, ROLE, TURN_END = 0, {"system": 300, "user": 301, "assistant": 302, "tool": 304}, 303
PIECES = {
    260: "So",
    261: ".\n\n",
    262: "\\boxed{",
    263: "right",
    264: "wrong",
    265: "}",
    266: "\n\n",
}
IDS = {text: number for number, text in PIECES.items()}
FAULTS = ("500", "503", "429", "reset", "cut", "bad json", "no choices", "wrong count", "null")
"""`hang` too, which costs a client as long as its patience lasts."""


def piece(token):
    if token in PIECES:
        return PIECES[token]
    return chr(token) if 0 < token < 256 else ""


def text_of(tokens):
    return "".join(map(piece, tokens))


def ids_of(text):
    """Longest pieces first, then letters."""
    found, at = [], 0
    while at < len(text):
        match = next(
            (p for p in sorted(IDS, key=len, reverse=True) if text.startswith(p, at)), None
        )
        found.append(IDS[match] if match else ord(text[at]) % 256)
        at += len(match or " ")
    return found


def rendered(messages):
    ids = []
    for turn in messages:
        called = json.dumps(turn["tool_calls"]) if "tool_calls" in turn else ""
        ids += [ROLE[turn["role"]], *ids_of((turn["content"] or "") + called), TURN_END]
    return [*ids, ROLE["assistant"]]


def write(prompt, seed, temperature, most, stop):
    """Tokens, and why they are over: `stop`, `end` or `length`."""
    # Plain text, of no chat, is followed by an answer too.
    asked = ROLE["assistant"] in prompt
    at = len(prompt) - prompt[::-1].index(ROLE["assistant"]) if asked else len(prompt)
    begun = text_of(prompt[at:])
    told = text_of(prompt[:at])
    if '"Judgement: X"' in told:
        return judge(told, seed if temperature > 0 else 0, most)
    steps = 1 + random.Random(str(prompt[:at])).randrange(4)
    rng = random.Random(f"{begun} {seed if temperature > 0 else ''} {prompt[:at]}")
    tokens = []
    for number in range(prompt[at:].count(IDS[".\n\n"]), steps + 1):
        if number == 1 and IDS["\n\n"] not in prompt[at:] and rng.random() < 0.2:
            tokens.append(IDS["\n\n"])  # says nothing
            if stop:
                break
        if number < steps:
            tokens += [IDS["So"], *map(ord, f" {rng.randrange(100)}"), IDS[".\n\n"]]
            if stop:
                break
        else:
            word = "right" if rng.random() < 0.6 else "wrong"
            tokens += [IDS["\\boxed{"], IDS[word], IDS["}"], EOS]
    if len(tokens) > most:
        return tokens[:most], "length"
    return tokens, "end" if tokens[-1:] == [EOS] else "stop"


def judge(told, seed, most):
    """A judgement in the form that is asked for, and one time in five in none."""
    rng, count = random.Random(f"{told} {seed}"), told.count("\nSolution ")
    said = {
        "right or wrong.": ["right", "wrong"],
        "1, 2 or same.": ["1", "2", "same"],
        "the number of that solution.": [str(n + 1) for n in range(count)],
    }
    marks = ", ".join(str(rng.randrange(11)) for _ in range(count))
    said = rng.choice(said.get(told.rpartition(" X is ")[2], [marks]))
    tokens = ids_of(f"So.\n\nJudgement: {said}" if rng.random() < 0.8 else "So.\n\nWell.")
    return (tokens[:most], "length") if len(tokens) >= most else ([*tokens, EOS], "end")


def written(writes, prompt, most, stops):
    """As `write`, by a function of the answer so far."""
    asked = ROLE["assistant"] in prompt
    at = len(prompt) - prompt[::-1].index(ROLE["assistant"]) if asked else len(prompt)
    text = writes(text_of(prompt[at:]))
    ends = [text.find(mark) + len(mark) for mark in stops if mark in text]
    tokens = ids_of(text[: min(ends)]) if ends else [*ids_of(text), EOS]
    if len(tokens) > most:
        return tokens[:most], "length"
    return tokens, "stop" if ends else "end"


def likeliest(written, top):
    """As llama.cpp tells them, in no order: the longer the text, the surer the model."""
    most = 1 - 1 / (2 + len(written))
    likely = [*[(1 - most) / max(1, top - 1)] * (top - 1), most]
    return [{"id": 0, "logprob": math.log(each)} for each in likely]


def prompt_logprobs(prompt, top):
    """As vLLM tells them: the likeliest tokens at each place, and the one that stands there.

    The model is the surer the smaller the token: 1 - token / 1000 for the likeliest.
    """
    places = [None]
    for token in prompt[1:]:
        most = 1 - token / 1000 if 0 < token < 1000 else 0.5
        likely = [most, *[(1 - most) / (top - 1)] * (top - 1)]
        place = {
            str(5000 + rank): {"logprob": math.log(each), "rank": rank + 1, "decoded_token": "x"}
            for rank, each in enumerate(likely)
        }
        place[str(token)] = {"logprob": -30.0, "rank": 99, "decoded_token": "y"}
        places.append(place)
    return places


def top_logprobs(prompt, written, top):
    """The same as vLLM tells it of what it writes: by the text of each token."""
    if not top:
        return [{"y": -30.0} for _ in written]
    places = prompt_logprobs([*prompt, *written], top)[len(prompt) :]
    return [{token: told["logprob"] for token, told in place.items()} for place in places]


def rows_asked(body):
    """The rows of one request."""
    follows = json.dumps(body.get("prompt", body.get("messages")))
    count = body.get("n", body.get("n_cmpl", 1))
    return [(follows, body["seed"] + row, body.get("temperature", 1.0)) for row in range(count)]


@dataclass
class FakeServer:
    """`with FakeServer("vllm") as server: server.url`."""

    kind: str = "vllm"
    context: int = 4096
    key: str | None = None
    models: tuple = (MODEL,)
    lacks: frozenset = frozenset()
    """What this server does not do: seed, n, logprobs, token_ids, cached_tokens, tools, or a
    path."""
    faults: list = field(default_factory=list)
    """Of the requests to come, one each; `None` is none."""
    usage: Counter = field(default_factory=Counter)
    requests: list = field(default_factory=list)
    """(path, body) of all of them."""
    answered: Counter = field(default_factory=Counter)
    """How often each row was sent whole: what it follows, its seed and its temperature."""
    injected: Counter = field(default_factory=Counter)
    most_at_once: int = 0
    lost: str | None = None
    """Prompts with this in them are never answered."""
    turns: int = 0
    """Of its loop that an answer takes."""
    retry_after: str = "7"
    pool: object = None
    """(token ids, whether activations are applied) -> rows of numbers; `None`: does not pool."""
    tasks: tuple = ("token_classify",)
    """Names of pooling tasks it knows."""
    alter: object = None
    """What becomes of an answer: (path, body, value) -> value, or a text that is sent as it is; or
    its status and it."""
    says: object = None
    """What a chat answers to the text of its last turn, where that is given."""
    tells: object = None
    """Word of a chat's answer -> the likeliest tokens there and their probabilities, where a chat
    gives log probabilities."""
    writes: object = None
    """What the model writes after the text that it has written, in place of what is made up."""
    replies: object = None
    """(body, seed) -> the message of a chat, in place of what is made up; or it and the reason why
    it ended."""
    headers: str = ""
    """Further ones of every answer, each ended by a new line."""
    holds: object = None
    """(path, body) -> an event that is waited for before the answer, or `None`."""
    hangs: object = None
    """(path, body) -> whether this request is never answered."""
    raw: object = None
    """(path, body) -> bytes that are sent as they are, and the connection closed; or `None`."""
    meddles: object = None
    """(path, body, answer) -> bytes that are sent in its place, an iterator of them, "reset", or
    `None`; the connection is closed then."""
    port: int = 0
    """Where it listens; 0 takes a free one."""
    waits: threading.Event = field(default_factory=threading.Event)
    """Set once a request is not answered."""
    left: threading.Event = field(default_factory=threading.Event)
    """Set once whoever asked has left without an answer."""
    seen: set = field(default_factory=set)
    _at_once: int = 0

    def __enter__(self):
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()

        async def serve():
            self._tasks = set()
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
            self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
            self._stop = asyncio.Event()
            ready.set()
            await self._stop.wait()
            self._server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(serve()))
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _connected(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            while await self._serve(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # whoever asked has gone, or the test is over
        finally:
            self._tasks.discard(asyncio.current_task())
            writer.transport.abort()

    async def _serve(self, reader, writer):
        """One request; whether there may be another on this connection."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split("\r\n", 1)[0].split()
        headers = dict(
            line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line
        )
        data = await reader.readexactly(int(headers.get("content-length", 0)))
        body = json.loads(data) if data else None
        self.requests.append((path, body))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.key and f"bearer {self.key}" != headers.get("authorization"):
                said = f"wrong key {headers.get('authorization', '').removeprefix('bearer ')}"
                return await self._send(writer, 401, {"error": {"message": said}})
            fault = self.faults.pop(0) if self.faults and method == "POST" else None
            if fault:
                self.injected[fault] += 1
            sent = self.raw(path, body) if self.raw is not None else None
            if sent is not None:
                writer.write(sent)
            if fault == "hang" or (self.hangs is not None and self.hangs(path, body)):
                self.waits.set()
                await reader.read()
                self.left.set()
                return False
            if sent is not None:
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                return False
            held = None if self.holds is None else self.holds(path, body)
            if held is not None:
                await asyncio.to_thread(held.wait)
            if fault == "reset":
                return False
            if self.lost and self.lost in json.dumps((body or {}).get("messages", "")):
                return await self._send(writer, 500, {"error": "not this one"})
            if fault in ("500", "503"):
                return await self._send(writer, int(fault), {"error": "out of luck"})
            if fault == "429":
                extra = f"Retry-After: {self.retry_after}\r\n"
                return await self._send(writer, 429, {"error": "too many"}, extra)
            for _ in range(self.turns):
                await asyncio.sleep(0)
            counts = Counter()
            status, value = self._answer(path, body, counts)
            if self.alter is not None:
                altered = self.alter(path, body, value)
                status, value = altered if isinstance(altered, tuple) else (status, altered)
            meddled = self.meddles and self.meddles(path, body, value)
            if meddled:
                return await self._meddle(writer, meddled)
            if fault == "cut":
                return await self._send(writer, status, value, cut=True)
            if fault == "bad json":
                return await self._send(writer, 200, "<html>not JSON</html>", raw=True)
            if fault == "null":
                return await self._send(writer, 200, None)
            if fault == "no choices":
                return await self._send(writer, 200, {"choices": [], "usage": {}})
            if fault == "wrong count" and isinstance(value, dict) and "usage" in value:
                value["usage"]["prompt_tokens_details"] = {"cached_tokens": 10**6}
                return await self._send(writer, 200, value)
            if fault == "wrong count" and isinstance(value, dict) and "tokens_predicted" in value:
                value["tokens_predicted"] += 1
                return await self._send(writer, 200, value)
            sent = await self._send(writer, status, value, self.headers)
            self.usage += counts
            if status == 200 and body is not None and "seed" in body:
                self.answered.update(rows_asked(body))
            return sent
        finally:
            self._at_once -= 1

    async def _meddle(self, writer, sent):
        """Send bytes as they are; a connection that is reset is not even closed politely."""
        if sent == "reset":
            at_once = struct.pack("ii", 1, 0)
            socket = writer.get_extra_info("socket")
            socket.setsockopt(SOL_SOCKET, SO_LINGER, at_once)
            return False
        for some in [sent] if isinstance(sent, bytes) else sent:
            writer.write(some)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()
        return False

    async def _send(self, writer, status, value, extra="", *, raw=False, cut=False):
        data = (value if raw or isinstance(value, str) else json.dumps(value)).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{extra}"
        writer.write(f"{head}Content-Length: {len(data)}\r\n\r\n".encode())
        writer.write(data[: len(data) // 2] if cut else data)
        await writer.drain()
        return not cut

    # What the servers say -------------------------------------------------------------------------

    def _answer(self, path, body, counts):
        path = path.partition("?")[0]
        if path == "/v1/models":
            owner = {"vllm": "vllm", "llama.cpp": "llamacpp"}.get(self.kind, "somebody")
            more = {"max_model_len": self.context} if self.kind == "vllm" else {}
            return 200, {"data": [{"id": name, "owned_by": owner, **more} for name in self.models]}
        model = (body or {}).get("model", MODEL)
        if self.kind != "llama.cpp" and model not in self.models:
            return 404, {"error": {"message": f"The model `{model}` does not exist."}}
        name = path.removeprefix("/v1").strip("/").replace("/", "_").replace("-", "_")
        handler = getattr(self, f"_{self.kind.replace('.', '')}_{name}", None)
        if handler is None or {name, path.strip("/").partition("/")[2]} & self.lacks:
            return 404, {"error": {"message": "not found"}}
        status, value = handler(body, counts)
        if "cached_tokens" in self.lacks and "usage" in value:
            value["usage"]["prompt_tokens_details"] = None
        return status, value

    def _count(self, counts, prompt, rows):
        cached = len(prompt) - 1 if tuple(prompt) in self.seen else 0
        self.seen.add(tuple(prompt))
        decoded = sum(len(tokens) for tokens, _ in rows)
        counts.update(requests=1, prompt=len(prompt), cached=cached, decoded=decoded)
        return {
            "prompt_tokens": len(prompt),
            "completion_tokens": decoded,
            "prompt_tokens_details": {"cached_tokens": cached},
        }

    def _rows(self, prompt, body, most, stop):
        seeds = range(
            body.get("seed", 1), body.get("seed", 1) + body.get("n", body.get("n_cmpl", 1))
        )
        room = min(most, self.context - len(prompt))
        if self.writes is not None:
            return [written(self.writes, prompt, room, body.get("stop") or [])] * len(seeds)
        return [write(prompt, seed, body.get("temperature", 1.0), room, stop) for seed in seeds]

    def _too_long(self, prompt):
        if len(prompt) < self.context:
            return None
        said = f"This model's maximum context length is {self.context} tokens"
        return 400, {"error": {"message": said, "code": "context_length_exceeded"}}

    def _vllm_version(self, body, counts):
        return 200, {"version": "0.11.0"}

    def _vllm_metrics(self, body, counts):
        """Of one engine, whose rows each look their prompt up."""
        told = {
            "generation_tokens_total": self.usage["decoded"],
            "prefix_cache_queries_total": self.usage["looked_up"],
            "prefix_cache_hits_total": self.usage["held"],
        }
        lines = [f'vllm:{name}{{engine="0"}} {value:.1f}' for name, value in told.items()]
        computed = self.usage["looked_up"] - self.usage["held"]
        for source, value in (("local_compute", computed), ("local_cache_hit", self.usage["held"])):
            labels = f'engine="0",source="{source}"'
            lines.append(f"vllm:prompt_tokens_by_source_total{{{labels}}} {value:.1f}")
        return 200, "# HELP of all of them\n" + "\n".join(lines)

    def _vllm_tokenize(self, body, counts):
        ids = rendered(body["messages"]) if "messages" in body else ids_of(body["prompt"])
        return 200, {"tokens": ids, "count": len(ids), "max_model_len": self.context}

    def _vllm_pooling(self, body, counts):
        if self.pool is None:
            return 404, {"error": {"message": "not found"}}
        if "task" in body and body["task"] not in self.tasks:
            return 400, {"error": {"message": f"unknown task {body['task']}"}}
        ids = body["input"] if isinstance(body["input"], list) else ids_of(body["input"])
        if refused := self._too_long(ids):
            return refused
        usage = self._count(counts, ids, [])
        data = self.pool(ids, body.get("use_activation", True))
        return 200, {"data": [{"index": 0, "object": "pooling", "data": data}], "usage": usage}

    def _vllm_detokenize(self, body, counts):
        return 200, {"prompt": text_of(body["tokens"])}

    def _vllm_completions(self, body, counts):
        prompt = body["prompt"]
        if isinstance(prompt, str):
            prompt = [ROLE["assistant"], *ids_of(prompt)]
        if refused := self._too_long(prompt):
            return refused
        stop = (body.get("stop") or [None])[0]
        rows = self._rows(prompt, body, body["max_tokens"], stop)
        usage = self._count(counts, prompt, rows)
        # Every row looks its prompt up, and finds it where another one has read it. What is told is
        # of the one that ended last.
        first = usage["prompt_tokens_details"]["cached_tokens"]
        held = [first, *[len(prompt) - 1] * (len(rows) - 1)]
        counts.update(looked_up=len(prompt) * len(rows), held=sum(held))
        last = max(range(len(rows)), key=lambda index: len(rows[index][0]))
        usage["prompt_tokens_details"]["cached_tokens"] = held[last]
        choices = []
        for index, (tokens, why) in enumerate(rows):
            pieces = ["<eos>" if token == EOS else piece(token) for token in tokens]
            choices.append(
                {
                    "index": index,
                    "text": text_of(tokens),
                    "finish_reason": "length" if why == "length" else "stop",
                    "stop_reason": stop if why == "stop" else None,
                    "logprobs": None
                    if "logprobs" in self.lacks
                    else {
                        "tokens": pieces,
                        "top_logprobs": top_logprobs(prompt, tokens, body.get("logprobs", 0)),
                    },
                    **({} if "token_ids" in self.lacks else {"token_ids": tokens}),
                    # As vLLM has it, which repeats the prompt beside the ids.
                    **({"prompt_token_ids": prompt} if body.get("return_token_ids") else {}),
                    **(
                        {"prompt_logprobs": prompt_logprobs(prompt, body["prompt_logprobs"])}
                        if "prompt_logprobs" in body
                        else {}
                    ),
                }
            )
        return 200, {"choices": choices[::-1], "usage": usage}

    def _chat_chat_completions(self, body, counts):
        if self.lacks & body.keys() & {"seed", "n", "logprobs"}:
            return 400, {"error": {"message": "unknown field"}}
        most = body.get("max_tokens") or body.get("max_completion_tokens")
        if most is None or ("max_tokens" in self.lacks and "max_tokens" in body):
            return 400, {"error": {"message": "use max_completion_tokens"}}
        prompt = rendered(body["messages"])
        if "tools" in body and "tools" not in self.lacks:
            prompt = [*ids_of(json.dumps(body["tools"])), *prompt]
        if refused := self._too_long(prompt):
            return refused
        if self.replies is not None:
            return 200, self._replied(body, prompt, counts)
        if self.says is None:
            rows = self._rows(prompt, body, most, None)
            texts = [text_of(tokens) for tokens, _ in rows]
        else:
            texts = [self.says(body["messages"][-1]["content"])]
            rows = [(ids_of(text), "end") for text in texts]
        usage = self._count(counts, prompt, rows)
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": texts[index]},
                "finish_reason": "length" if why == "length" else "stop",
                "logprobs": self._told(texts[index]) if body.get("logprobs") else None,
            }
            for index, (tokens, why) in enumerate(rows)
        ]
        return 200, {"choices": choices, "usage": usage}

    def _told(self, text):
        """As chat APIs tell log probabilities: a token a word, with the white space before it."""
        if self.tells is None:
            return None
        content = []
        for token in re.findall(r"\s*\S+|\s+$", text):
            likely = self.tells(token)
            content.append(
                {
                    "token": token,
                    "logprob": 0.0,
                    "top_logprobs": [
                        {"token": other, "logprob": math.log(share)} for other, share in likely
                    ],
                }
            )
        return {"content": content}

    def _replied(self, body, prompt, counts):
        first, choices, rows = body.get("seed", 1), [], []
        for index in range(body.get("n", 1)):
            message = self.replies(body, first + index)
            usual = "tool_calls" if "tool_calls" in message else "stop"
            message, why = message if isinstance(message, tuple) else (message, usual)
            message = {"role": "assistant", "content": None, **message}
            choices.append({"index": index, "message": message, "finish_reason": why})
            rows.append((ids_of(json.dumps(message)), why))
        return {"choices": choices, "usage": self._count(counts, prompt, rows)}

    _vllm_chat_completions = _chat_chat_completions
    _llamacpp_chat_completions = _chat_chat_completions

    def _llamacpp_props(self, body, counts):
        settings = {"n_ctx": self.context}
        return 200, {"total_slots": 8, "default_generation_settings": settings, "build_info": "b1"}

    def _llamacpp_apply_template(self, body, counts):
        return 200, {"prompt": json.dumps(body["messages"])}

    def _llamacpp_tokenize(self, body, counts):
        text = body["content"]
        is_chat = text.startswith('[{"role"')
        return 200, {"tokens": rendered(json.loads(text)) if is_chat else ids_of(text)}

    def _llamacpp_detokenize(self, body, counts):
        return 200, {"content": text_of(body["tokens"])}

    def _llamacpp_completion(self, body, counts):
        prompt = body["prompt"]
        if refused := self._too_long(prompt):
            return refused
        stop = (body.get("stop") or [None])[0]
        rows = self._rows(prompt, body, body["n_predict"], stop)
        found = []
        # As llama.cpp has it: every row reports the prompt, which was computed once.
        cached = self._count(counts, prompt, rows)["prompt_tokens_details"]["cached_tokens"]
        for index, (tokens, why) in enumerate(rows):
            text = text_of(tokens)
            found.append(
                {
                    "index": index,
                    "content": text.removesuffix(stop) if why == "stop" else text,
                    "tokens": tokens,
                    "tokens_predicted": len(tokens),
                    "tokens_evaluated": len(prompt),
                    "generation_settings": {"seed": body.get("seed", -1) + index},
                    "stop_type": {"end": "eos", "stop": "word", "length": "limit"}[why],
                    "timings": {"cache_n": cached, "prompt_n": len(prompt) - cached},
                    "completion_probabilities": [
                        {
                            "id": token,
                            "bytes": list(piece(token).encode()),
                            "top_logprobs": likeliest([*prompt, *tokens[:at]], body["n_probs"]),
                        }
                        # As llama.cpp has it: nothing of the token at which it stopped.
                        for at, token in enumerate(tokens[: -1 if why == "stop" else None])
                    ],
                }
            )
        return 200, found if len(found) > 1 else found[0]
