"""Requests as clients of OpenAI send them. Every field that is not here is refused by name."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Part(BaseModel):
    """A part of a message; text alone can be thought about."""

    model_config = ConfigDict(extra="allow")
    type: str
    text: str | None = None


class Message(_Body):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    function_call: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    annotations: list[dict[str, Any]] | None = None
    """Of an earlier answer; they are for its reader, and not sent to a model again."""
    reasoning_content: str | None = None
    """What came back with an earlier answer; it is not sent to a model again."""


class Options(_Body):
    """`extra_body={"outthink": {...}}`."""

    strategy: str | None = Field(
        default=None, description="As `beam(width=4)`, in place of the policy."
    )
    budget: int | None = Field(default=None, ge=1, description="Of the strategy, in generations.")
    average: float | None = Field(
        default=None, gt=0, description="Mean cost, in the policy's currency."
    )
    most: float | None = Field(default=None, gt=0, description="The most that one answer may cost.")
    price: float | None = Field(
        default=None,
        gt=0,
        description="By how much one unit of cost must raise the chance of being right.",
    )
    deadline_s: float | None = Field(
        default=None, gt=0, description="Then the best answer so far is given, and marked."
    )
    answers: str | None = Field(
        default=None, description="How an answer is found: number, math, text, ..."
    )
    trace: bool = Field(
        default=False, description="Whether every hidden call comes with the answer."
    )


class StreamOptions(_Body):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Sampling(_Body):
    """What chat and text completions share."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    n: int | None = Field(default=None, ge=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    outthink: Options = Field(default_factory=Options)


class ChatRequest(Sampling):
    """https://platform.openai.com/docs/api-reference/chat/create"""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    reasoning_effort: str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: Any = None
    response_format: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    verbosity: str | None = None
    web_search_options: dict[str, Any] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None


class CompletionRequest(Sampling):
    """https://platform.openai.com/docs/api-reference/completions/create"""

    prompt: Any
    best_of: int | None = Field(default=None, ge=1)
    echo: bool | None = None
    logprobs: int | None = None
    suffix: str | None = None
    reasoning_effort: str | None = None


class ResponseRequest(_Body):
    """https://platform.openai.com/docs/api-reference/responses/create"""

    model: str
    input: str | list[dict[str, Any]] = Field(min_length=1)
    instructions: str | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    reasoning: dict[str, Any] | None = None
    seed: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    store: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    background: bool | None = None
    include: list[str] | None = None
    truncation: str | None = None
    prompt: dict[str, Any] | None = None
    top_logprobs: int | None = None
    max_tool_calls: int | None = None
    service_tier: str | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    outthink: Options = Field(default_factory=Options)


class Feedback(_Body):
    """A verdict on an answer that was given."""

    id: str
    """Of the completion."""
    right: bool
