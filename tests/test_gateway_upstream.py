"""What a client is told where the model's own server refuses: whose fault it is, and when to come
again; never a key or an address."""

import json
from functools import partial

import httpx
import pytest
from fake_server import MODEL, FakeServer
from serving import Serving

from outthink.gateway.settings import Limits, Settings
from outthink.study.models import Models

post = partial(httpx.post, timeout=60)
SAYS = [{"role": "user", "content": "What is 2 + 2?"}]
KEY = "sk-upstream-secret"
PASSED, SEARCHED = MODEL, f"{MODEL}:majority@2"
"""The model's own answer, which is passed on; and one that is searched for."""


@pytest.fixture(scope="module")
def served():
    with FakeServer("vllm", key=KEY) as upstream, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUTTHINK_API_KEY", KEY)
        patch.setattr("outthink.models.http.RetryPolicy.wait_s", lambda self, n, rng, told: told)
        settings = Settings(
            Models(upstream.url, verifier="none"), limits=Limits(patience_s=10.0), grader="math"
        )
        with Serving(settings) as gateway:
            gateway.upstream = upstream
            yield gateway


def ask(served, model, answer, headers="", path="/v1/chat/completions", **more):
    """What a client gets where the model's server answers `answer` (status, value)."""

    def alter(where, body, value):
        return answer if where in ("/v1/completions", path) else value

    served.upstream.alter, served.upstream.headers = alter, headers
    try:
        return post(served.url + path, json={"model": model, "messages": SAYS, **more})
    finally:
        served.upstream.alter, served.upstream.headers = None, ""


def error_of(told):
    error = told.json()["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    return error


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
@pytest.mark.parametrize("status", [400, 413, 422])
def test_what_the_model_refuses_of_a_request_stays_the_requests_own_error(served, model, status):
    said = {"message": "no such thing", "type": "BadRequest", "param": None, "code": status}
    told = ask(served, model, (status, {"error": said}))
    assert told.status_code == status
    assert "no such thing" in error_of(told)["message"]


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
@pytest.mark.parametrize("status", [401, 403])
def test_a_key_of_the_gateway_that_is_refused_is_no_error_of_the_client_and_is_not_shown(
    served, model, status
):
    told = ask(served, model, (status, {"error": {"message": f"wrong key {KEY}"}}))
    assert (told.status_code, error_of(told)["code"]) == (502, "upstream_key")
    assert KEY not in told.text and "127.0.0.1" not in told.text


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
@pytest.mark.parametrize(
    "answer",
    [
        (402, {"error": {"message": "pay"}}),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}),
    ],
)
def test_an_account_that_is_empty_is_no_reason_to_come_again(served, model, answer):
    told = ask(served, model, answer, "Retry-After: 5\r\n")
    assert (told.status_code, error_of(told)["code"]) == (502, "upstream_quota")
    assert "retry-after" not in told.headers


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
def test_a_model_that_its_server_does_not_know_any_more_is_the_gateways_error(served, model):
    told = ask(served, model, (404, {"error": {"message": f"The model {MODEL} does not exist"}}))
    assert (told.status_code, error_of(told)["code"]) == (502, "upstream_not_found")


def test_a_path_that_the_models_server_lacks_is_said_to_be_lacking(served):
    body = {"model": PASSED, "input": "What is 2 + 2?"}
    told = post(f"{served.url}/v1/responses", json=body)
    assert (told.status_code, error_of(told)["code"]) == (404, "upstream_not_offered")
    assert "/v1/chat/completions" in error_of(told)["message"]


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
@pytest.mark.parametrize(
    ("status", "mapped", "code"),
    [(429, 429, "upstream_busy"), (503, 503, "upstream_unavailable")],
)
@pytest.mark.parametrize(("wait", "seconds"), [("Retry-After: 21\r\n", "21"), ("", "1")])
def test_a_busy_model_says_when_to_come_again(served, model, status, mapped, code, wait, seconds):
    told = ask(served, model, (status, {"error": {"message": "later"}}), wait)
    assert (told.status_code, error_of(told)["code"]) == (mapped, code)
    assert told.headers["retry-after"] == seconds


def test_a_model_that_is_busy_for_a_moment_is_waited_for(served):
    served.upstream.retry_after, served.upstream.faults = "0.01", ["429", "429"]
    told = post(f"{served.url}/v1/chat/completions", json={"model": SEARCHED, "messages": SAYS})
    assert told.status_code == 200


@pytest.mark.parametrize("model", [PASSED, SEARCHED])
@pytest.mark.parametrize("status", [500, 501, 405])
def test_a_server_that_fails_is_the_gateways_error_and_its_words_stay_here(served, model, status):
    told = ask(served, model, (status, {"error": {"message": "Traceback at 10.0.0.3"}}))
    assert (told.status_code, error_of(told)["code"]) == (502, "upstream")
    assert "10.0.0.3" not in told.text


def test_a_web_page_in_place_of_an_error_is_told_in_openais_shape(served):
    told = ask(served, PASSED, (413, "<html>Request Entity Too Large</html>"))
    assert told.status_code == 413
    assert error_of(told)["code"] == "upstream_refused"


def test_a_key_that_an_error_of_the_request_repeats_is_taken_out(served):
    told = ask(served, PASSED, (400, {"error": {"message": f"bad: Bearer {KEY}"}}))
    assert told.status_code == 400
    assert told.json() == {"error": {"message": "bad: Bearer ***"}}


def test_a_prompt_that_is_too_long_is_refused_without_the_address_of_the_server(served):
    long = [{"role": "user", "content": "long " * 2000}]
    for model in (PASSED, SEARCHED):
        told = post(
            f"{served.url}/v1/chat/completions",
            json={"model": model, "messages": long, "max_tokens": 5},
        )
        assert told.status_code == 400
        assert told.json()["error"]["code"] == "context_length_exceeded"
        assert "127.0.0.1" not in told.text


def test_a_stream_that_has_begun_ends_with_the_same_error(served):
    told = ask(served, SEARCHED, (429, {"error": {"message": "later"}}), stream=True)
    events = [line.removeprefix("data: ") for line in told.text.splitlines() if line]
    assert json.loads(events[-1])["error"]["code"] == "upstream_busy"
    assert "[DONE]" not in events


def test_a_verifiers_complaint_is_not_the_clients_error(served, monkeypatch):
    from outthink.errors import Said, ServerError

    async def refuses(draws):
        raise ServerError("refused", Said("http://verifier:1", 422, "422: unprocessable"))
        yield

    with FakeServer("vllm") as upstream:
        settings = Settings(Models(upstream.url, verifier="none"), grader="math")
        with Serving(settings) as gateway:
            [session] = gateway.gateway.solver._sessions.values()
            monkeypatch.setattr(session.team.writers["proposer"], "propose", refuses)
            told = post(
                f"{gateway.url}/v1/chat/completions", json={"model": SEARCHED, "messages": SAYS}
            )
    assert (told.status_code, error_of(told)["code"]) == (502, "upstream")


def test_a_server_that_is_gone_is_not_named():
    with FakeServer("vllm") as upstream:
        settings = Settings(Models(upstream.url, verifier="none"), limits=Limits(patience_s=0.0))
        with Serving(settings) as gateway:
            upstream.faults = ["reset"] * 99
            for model in (PASSED, SEARCHED):
                told = post(
                    f"{gateway.url}/v1/chat/completions", json={"model": model, "messages": SAYS}
                )
                assert (told.status_code, error_of(told)["code"]) == (502, "upstream")
                assert upstream.url.removeprefix("http://") not in told.text


def test_what_a_client_may_be_told_is_in_the_openapi_document(served):
    told = httpx.get(f"{served.url}/openapi.json").json()
    answers = told["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert {"400", "401", "404", "413", "422", "429", "502", "503", "504", "4XX"} <= set(answers)
    for status in ("429", "503"):
        assert "Retry-After" in answers[status]["headers"]
    error = answers["502"]["content"]["application/json"]["schema"]["properties"]["error"]
    assert set(error["properties"]) == {"message", "type", "param", "code"}


def test_what_a_server_of_chats_cannot_do_is_an_error_of_the_request():
    with (
        FakeServer("chat") as upstream,
        Serving(Settings(Models(upstream.url, verifier="none"), grader="math")) as gateway,
    ):
        body = {"model": f"{MODEL}:budget_forcing@1", "messages": SAYS}
        told = post(f"{gateway.url}/v1/chat/completions", json=body)
    assert (told.status_code, error_of(told)["code"]) == (400, "unsupported_strategy")
    assert "cannot continue an answer" in told.text and "127.0.0.1" not in told.text
