"""Makes most requests that schemathesis draws ones that the gateway can answer; `fuzz_gateway.py`
names this file. What is left of them stays as it was drawn."""

import json
import zlib

import schemathesis

MODELS = ("auto", "stand-in", "stand-in:majority@2", "stand-in:first_finish@2", "auto:greedy@1")
LENIENT = 5
"""Of six bodies so many are mended, one parameter after the other."""


@schemathesis.hook
def map_body(context, body):
    if not isinstance(body, dict) or "model" not in body:
        return body
    # Of the body itself: the same seed draws the same requests.
    drawn = zlib.crc32(json.dumps(body, sort_keys=True, default=str).encode())
    if drawn % 6 >= LENIENT:
        return body
    mended = {**body, "model": MODELS[drawn % len(MODELS)]}
    if isinstance(body.get("messages"), list) and drawn % 6:
        mended["messages"] = [*body["messages"], {"role": "user", "content": "What is 2 + 2?"}]
    if "prompt" in body and drawn % 6:
        mended["prompt"] = "What is 2 + 2?"
    keep = drawn % 4
    return {
        name: value
        for number, (name, value) in enumerate(mended.items())
        if name in ("model", "messages", "prompt", "input", "stream") or number % 4 < keep
    }
