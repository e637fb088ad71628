"""Whatever JSON is sent, the gateway answers as its OpenAPI document says, and never with a 5xx.

`scripts/fuzz_gateway.py` does the same with schemathesis, ten thousand times.
"""

import json

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import Scripted, Serving

from outthink.gateway.settings import Settings
from outthink.gateway.wire import ChatRequest, CompletionRequest, Feedback, ResponseRequest

NAME = "hf:scripted"
KINDS = {
    "/v1/chat/completions": ChatRequest,
    "/v1/completions": CompletionRequest,
    "/v1/responses": ResponseRequest,
    "/v1/feedback": Feedback,
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
USUAL = {
    "model": st.sampled_from(["auto", NAME, f"{NAME}:majority@2", f"{NAME}:beam@2"]),
    "messages": st.just([{"role": "user", "content": "What is 2 + 2?"}]),
    "prompt": st.just("What is 2 + 2?"),
    "input": st.just("What is 2 + 2?"),
    "seed": st.integers(0, 9),
    "n": st.integers(1, 2),
    "stream": st.booleans(),
    "temperature": st.floats(0, 2),
}
"""What makes sense, so that some requests are thought about."""


@pytest.fixture(scope="module")
def served():
    with Serving(Settings(Scripted())) as gateway, httpx.Client(base_url=gateway.url) as client:
        yield client, client.get("/openapi.json").json()["paths"]


def bodies(kind):
    fields = list(kind.model_fields)
    known = {name: USUAL[name] for name in fields if name in USUAL}
    odd = st.dictionaries(st.sampled_from(fields) | st.text(max_size=5), ANYTHING, max_size=3)
    return st.builds(lambda fine, odd: fine | odd, st.fixed_dictionaries({}, optional=known), odd)


@pytest.mark.parametrize("path", KINDS)
def test_any_json_is_answered_as_the_document_says(served, path):
    client, paths = served
    told = paths[path]["post"]["responses"]

    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    @given(body=bodies(KINDS[path]))
    def check(body):
        sent = json.dumps(body)
        answer = client.post(path, content=sent, headers={"Content-Type": "application/json"})
        status = str(answer.status_code)
        assert answer.status_code < 500, (sent, answer.text)
        documented = told.get(status) or told["4XX"]
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in documented["content"], (sent, kind)
        if kind == "application/json":
            assert bool(answer.json().get("error")) == (answer.status_code >= 400)

    check()
