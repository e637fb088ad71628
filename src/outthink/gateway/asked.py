"""From a request to what is thought about it: the question, the way of thinking, the limits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from outthink.errors import UsageError
from outthink.gateway import tools
from outthink.gateway.refused import Refused, unsupported, wrong
from outthink.gateway.settings import EFFORTS, Limits
from outthink.gateway.wire import ChatRequest, CompletionRequest, Message, Options, Sampling
from outthink.grade import names
from outthink.policy.family import Dial
from outthink.search import strategy
from outthink.types import Framing, Problem, Turn

AUTO = "auto"
"""The model whose answers are as the policy has them."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """A strategy at a budget."""

    strategy: str
    budget: int


@dataclass(frozen=True, slots=True)
class Pass:
    """The model's own answer, as the model gives it."""


@dataclass(frozen=True, slots=True)
class Follow:
    """What the policy is told; a word of effort stands for a price."""

    dial: Dial = Dial()  # noqa: RUF009 - frozen
    effort: str | None = None


Way = Fixed | Follow | Pass


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    model: str
    """As it was named."""
    prompt: str
    framing: Framing
    way: Way
    answers: str | None
    """The grader that finds the answer, where the request names one."""
    choices: int
    seed: int | None
    deadline_s: float
    trace: bool
    stream: bool
    tells_usage: bool
    """Whether a stream ends with what was spent."""

    def problem(self) -> Problem:
        """The question of a model of any text."""
        told = repr((self.prompt, self.framing)) if self.framing != Framing() else self.prompt
        name = hashlib.blake2b(told.encode(), digest_size=8).hexdigest()
        return Problem(name, self.prompt, None, self.framing)


def way_of(model: str, name: str, options: Options, effort: str | None, limits: Limits) -> Way:
    """How a request is to be thought about. `name` is the model that is served.

    Raises `Refused` for a model that is not there, and for words that contradict each other.
    """
    given = Dial(options.price, options.average, options.most)
    if effort is not None and effort not in EFFORTS:
        raise wrong(f"reasoning_effort {effort!r} is none of {', '.join(EFFORTS)}", _EFFORT)
    chosen = _named(model, name)
    if options.strategy is not None:
        if chosen:
            raise wrong(f"model {model!r} names a strategy already; leave one out", "outthink")
        chosen = f"{options.strategy}@{options.budget or 1}"
    elif options.budget is not None:
        raise wrong("'budget' is for a strategy; a policy takes 'average' and 'most'", "outthink")
    if chosen is not None and (given != Dial() or effort is not None):
        raise wrong("a strategy has a budget and no price, average, cap or effort", "outthink")
    if chosen == "":
        return Pass()
    if chosen is not None:
        return _fixed(chosen, model, limits)
    if effort is not None and (given.price, given.average) != (None, None):
        raise wrong("reasoning_effort stands for a price; give one of the two", _EFFORT)
    if effort == EFFORTS[0]:
        return Pass()
    return Follow(given, effort)


_EFFORT = "reasoning_effort"


def _named(model: str, name: str) -> str | None:
    """The strategy in the name of a model: `None` for the policy, empty for the model's own."""
    if model == AUTO:
        return None
    for known in (name, AUTO):
        if model == known:
            return ""
        if model.startswith(f"{known}:"):
            return model.removeprefix(f"{known}:")
    raise Refused(
        404,
        f"there is no model {model!r}; name {AUTO!r}, {name!r}, or a strategy as '{name}:beam@16'",
        "model",
        "model_not_found",
    )


def _fixed(text: str, model: str, limits: Limits) -> Fixed:
    """`beam(width=4)@16`."""
    name, at, size = text.rpartition("@")
    if not at or not size.isdecimal() or int(size) < 1:
        raise wrong(f"model {model!r}: write a strategy and a budget, as beam@16", "model")
    if int(size) > limits.generations:
        raise wrong(f"{size} generations are more than the {limits.generations} allowed", "model")
    if ":" in name or "/" in name or "file=" in name:
        # A strategy may be a file of code, or name one: nothing for a stranger to choose.
        raise wrong(f"strategy {name!r} is not one of those that are served", "model")
    try:
        return Fixed(strategy(name).name, int(size))
    except UsageError as error:
        raise wrong(str(error), "model") from error


def chat(
    request: ChatRequest, name: str, limits: Limits, ignore: frozenset[str] = frozenset()
) -> Asked:
    """A chat. Raises `Refused` for what cannot be done."""
    way = way_of(request.model, name, request.outthink, request.reasoning_effort, limits)
    _refuse_sampling(request, ignore)
    _refuse_chat(request, ignore)
    if len(request.messages) > limits.messages:
        raise wrong(f"{len(request.messages)} messages; {limits.messages} are allowed", "messages")
    turns = _one_system([_turn(message, n) for n, message in enumerate(request.messages)])
    last = _question(turns)
    most = request.max_completion_tokens or request.max_tokens
    framing = _framing(request, tuple(turns[:last]), most, ignore)
    framing = replace(framing, later=tuple(turns[last + 1 :]), reply=tools.reply(request, ignore))
    return _asked(request, turns[last].text, framing, way, limits)


def _question(turns: list[Turn]) -> int:
    """The place of the last turn of the user. Raises `Refused` where no answer is due."""
    if turns[-1].role not in ("user", "tool"):
        raise wrong(
            f"the last message is of role {turns[-1].role!r}; end with one of 'user', or of 'tool'",
            "messages",
        )
    places = [place for place, turn in enumerate(turns) if turn.role == "user"]
    if not places:
        raise wrong("no message is of role 'user'; add what is asked", "messages")
    return places[-1]


def completion(
    request: CompletionRequest, name: str, limits: Limits, ignore: frozenset[str] = frozenset()
) -> Asked:
    """A text completion: its prompt is the question."""
    way = way_of(request.model, name, request.outthink, request.reasoning_effort, limits)
    _refuse_sampling(request, ignore)
    for field in ("best_of", "echo", "logprobs", "suffix"):
        if getattr(request, field) and field not in ignore:
            raise unsupported(field, f"leave it out, or name the model {name!r} itself")
    prompt = request.prompt[0] if _is_one(request.prompt) else request.prompt
    if not isinstance(prompt, str) or not prompt:
        raise wrong("prompt has to be one text", "prompt")
    return _asked(request, prompt, _framing(request, (), request.max_tokens, ignore), way, limits)


def _is_one(prompt: object) -> bool:
    return isinstance(prompt, list) and len(prompt) == 1


def _asked(request: Sampling, prompt: str, framing: Framing, way: Way, limits: Limits) -> Asked:
    choices, options = request.n or 1, request.outthink
    if choices > limits.choices:
        raise wrong(
            f"n is {choices}, and one request gets up to {limits.choices} answers; send several",
            "n",
            "too_many_answers",
        )
    if options.answers not in (None, *names()):
        # Another name may be code of this machine: nothing for a stranger to choose.
        raise wrong(f"answers {options.answers!r} is none of {', '.join(names())}", "outthink")
    told = request.stream_options
    if told is not None and not request.stream:
        raise wrong("stream_options goes with 'stream': true alone", "stream_options")
    return Asked(
        model=request.model,
        prompt=prompt,
        framing=framing,
        way=way,
        answers=options.answers,
        choices=choices,
        seed=request.seed,
        deadline_s=min(options.deadline_s or limits.deadline_s, limits.deadline_s),
        trace=options.trace,
        stream=bool(request.stream),
        tells_usage=bool(told and told.include_usage),
    )


def _framing(
    request: Sampling, earlier: tuple[Turn, ...], most: int | None, ignore: frozenset[str]
) -> Framing:
    stop = (request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ())
    heat = request.temperature
    if heat == 0 and "temperature" not in ignore:
        raise unsupported(
            "temperature",
            "0 draws one answer again and again; leave it out, or have it left out (outthink serve "
            "--ignore temperature), or ask for one answer with reasoning_effort 'none'",
        )
    framing = Framing(earlier, temperature=heat or None, most_tokens=most, stop=stop)
    if framing.temperature == 1.0:
        framing = replace(framing, temperature=None)
    dropped = {name: _EMPTY[name] for name in _EMPTY if _NAMES[name] & ignore}
    return replace(framing, **dropped)  # type: ignore[arg-type]


_EMPTY: dict[str, object] = {"temperature": None, "most_tokens": None, "stop": ()}
_NAMES = {
    "temperature": {"temperature"},
    "most_tokens": {"max_tokens", "max_completion_tokens"},
    "stop": {"stop"},
}


def _turn(message: Message, number: int) -> Turn:
    """A message as a turn; `developer` is what `system` is called by now."""
    where = f"messages[{number}]"
    if message.role == "function" or message.function_call:
        raise unsupported(where, "functions are called tools by now; write tool_calls")
    if message.audio is not None:
        raise unsupported(where, f"audio can be used with {_PASSING}")
    role = "system" if message.role == "developer" else message.role
    if not tools.is_more_than_text(message):
        return Turn(role, _text(message, where))
    text = "" if message.content is None else _text(message, where)
    return Turn(role, text, tools.message(message, text))


_PASSING = "the model's own answer alone; give reasoning_effort 'none'"


def _text(message: Message, where: str) -> str:
    if message.content is None:
        raise wrong(f"{where} has no content", "messages")
    if isinstance(message.content, str):
        return message.content
    parts = message.content
    other = next((part.type for part in parts if part.type not in ("text", "input_text")), None)
    if other is not None:
        raise unsupported(where, f"a part of type {other!r} goes with {_PASSING}")
    return "".join(part.text or "" for part in parts)


def _one_system(turns: list[Turn]) -> list[Turn]:
    """Turns with all system texts in one, before the others: chat templates know no more."""
    said = [turn.text for turn in turns if turn.role == "system"]
    rest = [turn for turn in turns if turn.role != "system"]
    return [Turn("system", "\n\n".join(said)), *rest] if said else rest


def _refuse_sampling(request: Sampling, ignore: frozenset[str]) -> None:
    """What would change how every sample is drawn; at its default it says nothing."""
    if request.top_p not in (None, 1.0) and "top_p" not in ignore:
        raise unsupported("top_p", "searches sample in full; set it where the gateway is started")
    for name in ("frequency_penalty", "presence_penalty", "logit_bias"):
        if getattr(request, name) and name not in ignore:
            raise unsupported(name, f"leave it out, or use {_PASSING}")


def _refuse_chat(request: ChatRequest, ignore: frozenset[str]) -> None:
    for name, fine in _CHAT.items():
        value = getattr(request, name)
        if value is not None and value not in fine and name not in ignore:
            raise unsupported(name, f"leave it out, or use {_PASSING}")


_CHAT: dict[str, tuple[object, ...]] = {
    "logprobs": (False,),
    "top_logprobs": (0,),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "verbosity": ("medium",),
    "web_search_options": (),
}
"""Parameters that no search can do, with the values that ask for nothing."""
