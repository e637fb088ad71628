"""A server of chats that thinks of nothing: it answers in a set time, and says what it was asked.

It stands behind a gateway that is measured, in a process of its own, and costs as little as it can.
The time of an answer follows from the request's `seed`, so that the same requests take the same
time whoever sends them, and not all end together. It knows nothing of models.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

MODEL = "stand-in"
_STEP = 0.6180339887498949
"""The golden ratio's part: its multiples, without their whole parts, are spread evenly."""
_TOKENS = 64
_MOST = 128
"""Choices of one answer."""
_WORDS = " ".join(["a word and another"] * 16)


def takes_s(seed: int, mean_s: float) -> float:
    """Seconds that the answer to a request of this seed takes: from half to one and a half times
    the mean."""
    return mean_s * (0.5 + (seed % (1 << 32) * _STEP) % 1.0)


def answer(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a chat: its text begins with the seed. Of what it cannot read it takes the
    usual."""
    seed, tokens = _number(body, "seed", 0), _number(body, "max_tokens", _TOKENS)
    count = max(1, min(_MOST, _number(body, "n", 1)))
    message = {"role": "assistant", "content": f"{seed} {_WORDS}"}
    return {
        "id": f"chatcmpl-{seed}",
        "object": "chat.completion",
        "created": 0,
        "model": MODEL,
        "choices": [
            {"index": n, "message": message, "logprobs": None, "finish_reason": "stop"}
            for n in range(count)
        ],
        "usage": {
            "prompt_tokens": 16,
            "completion_tokens": count * tokens,
            "total_tokens": 16 + count * tokens,
        },
    }


def _number(body: dict[str, Any], name: str, usual: int) -> int:
    value = body.get(name)
    return value if type(value) is int else usual


@dataclass(eq=False)
class _Connection(asyncio.Protocol):
    mean_s: float
    _came: bytearray = field(default_factory=bytearray)
    _transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        while (end := self._came.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._came[:end]).lower()
            length = int((head.partition(b"content-length:")[2].split(b"\r\n")[0]) or 0)
            if len(self._came) < end + 4 + length:
                return
            sent = bytes(self._came[end + 4 : end + 4 + length])
            del self._came[: end + 4 + length]
            self._begin(head.split(b" ", 2)[1].decode(), sent)

    def _begin(self, path: str, sent: bytes) -> None:
        if path == "/v1/models":
            self._send(200, {"data": [{"id": MODEL, "object": "model", "owned_by": MODEL}]})
        elif path == "/v1/chat/completions" and sent:
            told = answer(json.loads(sent))
            after_s = takes_s(int(told["id"].partition("-")[2]), self.mean_s)
            asyncio.get_running_loop().call_later(after_s, self._send, 200, told)
        else:
            self._send(404, {"error": {"message": "not found"}})

    def _send(self, status: int, told: dict[str, Any]) -> None:
        content = json.dumps(told).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
        self._transport.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)


async def serve(mean_s: float) -> None:
    """Serve on a free port of this machine, which is printed, until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(mean_s), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seconds", type=float, default=0.0, help="mean time of an answer")
    asyncio.run(serve(words.parse_args().seconds))
