"""Values and seams that everything shares.

Values are frozen; a seam is a Protocol with one or two methods, and anything of that shape fits.
Nothing here knows of a tensor, a file or a server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from outthink.errors import UsageError

MAX_ROUNDS = 40
"""Most rounds a step-by-step search runs (Snell et al. 2024, section 5.2)."""

STEP = 1
"""`until=STEP`: propose one further step."""

END = None
"""`until=END`: propose until the solution ends."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation."""

    role: str
    """`system`, `user`, `assistant` or `tool`."""
    text: str
    message: str = ""
    """All of it, as JSON of a chat API, where it is more than its text: calls of tools, and what
    came of one."""


@dataclass(frozen=True, slots=True)
class Framing:
    """How one problem is asked beyond its prompt; empty for most. Problems that are framed in two
    ways are two problems, so whoever frames one puts that into its id."""

    earlier: tuple[Turn, ...] = ()
    """What was said before the prompt, oldest first, system text included."""
    later: tuple[Turn, ...] = ()
    """What was said after the prompt, oldest first: tools that were called, and what came of it."""
    reply: str = ""
    """How the reply has to be made, as fields of a chat API in JSON: tools that may be called, the
    format of an answer; empty for text."""
    temperature: float | None = None
    """In place of a search's own, wherever that is above 0."""
    most_tokens: int | None = None
    """Of one solution, below what the engine allows anyway."""
    stop: tuple[str, ...] = ()
    """Ends an answer, beside the model's end mark."""
    bare: bool = False
    """The prompt is all that is asked: no examples before it, and no instruction behind it."""

    @property
    def needs_chat(self) -> bool:
        """Whether it can be asked of a chat API alone, and by no token ids."""
        return bool(self.reply) or any(turn.message for turn in (*self.earlier, *self.later))


@dataclass(frozen=True, slots=True)
class Problem:
    """One question. `reference` is absent (`None`) for a question nobody has answered."""

    id: str
    prompt: str
    reference: str | None = None
    framing: Framing = Framing()

    @property
    def whole(self) -> str:
        """The prompt with all that was said around it, and how the reply has to be made, as one
        text."""
        framing = self.framing
        before = [f"{turn.role}: {turn.message or turn.text}\n\n" for turn in framing.earlier]
        after = [f"\n\n{turn.role}: {turn.message or turn.text}" for turn in framing.later]
        how = f"\n\nreply: {framing.reply}" if framing.reply else ""
        return "".join([*before, self.prompt, *after, how])


@dataclass(slots=True)
class State:
    """What each engine has cached for one solution, opaque to everyone else.

    The one mutable value here: a verifier leaves its cache on a solution that a search already
    holds. It is dropped with the solution, and nothing but speed depends on it.
    """

    proposer: object = None
    verifier: object = None


@dataclass(frozen=True, slots=True)
class Solution:
    """What a proposer has written for a problem: whole, or a prefix that can be extended.

    Token ids are the truth and text is derived from them. `step_ends[i]` is the number of tokens up
    to and including the delimiter of step i; tokens past the last one belong to no complete step.
    """

    problem: Problem
    tokens: tuple[int, ...] = ()
    step_ends: tuple[int, ...] = ()
    finished: bool = False
    """The proposer ended it itself. Never true of a solution that ran into the length limit."""
    truncated: bool = False
    """It ran into the length limit: not finished, cannot be extended, has no answer."""
    answer: str | None = None
    """Canonical final answer; `None` when unfinished, truncated or unparsable."""
    number: int = -1
    """Its number in the search tree of its problem, given by the driver; -1 is the start."""
    state: State | None = field(default=None, compare=False, repr=False)
    """Handles to what the engines have cached for these tokens, or `None`."""
    history: tuple[tuple[int, ...], ...] = ()
    """Token ids of the earlier solutions its proposer sees, oldest first: what a revision revises.
    They stand before the prompt or in earlier turns, wherever the engine's models expect them."""

    @classmethod
    def start(cls, problem: Problem) -> Solution:
        """The empty prefix every search begins with."""
        return cls(problem)

    @classmethod
    def revision(cls, earlier: Sequence[Solution], window: int) -> Solution:
        """The empty prefix of a solution that revises the last of `earlier` (one at least).

        It sees the last `window` of them that ended in an answer: what was cut off has none to
        revise.
        """
        answered = [solution.tokens for solution in earlier if solution.answer is not None]
        last = earlier[-1]
        return cls(last.problem, number=last.number, history=tuple(answered[-window:]))

    @property
    def is_open(self) -> bool:
        """True where it can be extended."""
        return not (self.finished or self.truncated)

    @property
    def steps(self) -> int:
        """Number of complete steps."""
        return len(self.step_ends)


@dataclass(frozen=True, slots=True)
class Scores:
    """A verifier's reading of one solution: one probability in [0, 1] a complete step.

    A step whose score could not be had is `None`; a solution that could not be scored at all, or
    has no step yet, has no entries. For an ORM only the last entry is meaningful by training.
    """

    steps: tuple[float | None, ...] = ()

    @property
    def last(self) -> float | None:
        """The score of the last step, or `None` where there is none."""
        return self.steps[-1] if self.steps else None


@dataclass(frozen=True, slots=True)
class Usage:
    """What was spent. Adds with `+`; the driver alone writes it."""

    generations: int = 0
    """Full sampled solutions' worth: the paper's unit of budget."""
    prompt_tokens: int = 0
    """Proposer tokens read that no cache held: prompts and prefixes."""
    cached_tokens: int = 0
    """Proposer tokens of prefixes served from cached state."""
    decoded_tokens: int = 0
    """Proposer tokens sampled."""
    discarded_tokens: int = 0
    """Those of the decoded tokens that are in no candidate the search chose from."""
    verifier_tokens: int = 0
    """Verifier tokens computed."""
    verifier_cached_tokens: int = 0
    """Verifier tokens served from cached state."""
    seconds: float = field(default=0.0, compare=False)
    """Engine seconds, a batch's time shared by its rows. Differs between runs; never compared."""
    prompt_attended: int = 0
    """Sum over the prompt tokens of the tokens each attends to: itself and all before it."""
    decoded_attended: int = 0
    """The same over the decoded tokens, each read once at its place."""
    verifier_attended: int = 0
    """The same over the verifier tokens."""
    kv_reads: int = 0
    """Tokens whose keys and values were read from memory to decode: as `decoded_attended`, but the
    rows of one request share their prompt, and each is charged an equal part of every read."""
    verifier_calls: int = 0
    """Solutions that a verifier was given."""
    critiques: int = 0
    """Feedback and judgements that were written; they are no generations."""
    critique_tokens: int = 0
    """Those of the decoded tokens that are in them. None of them counts as discarded."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.generations + other.generations,
            self.prompt_tokens + other.prompt_tokens,
            self.cached_tokens + other.cached_tokens,
            self.decoded_tokens + other.decoded_tokens,
            self.discarded_tokens + other.discarded_tokens,
            self.verifier_tokens + other.verifier_tokens,
            self.verifier_cached_tokens + other.verifier_cached_tokens,
            self.seconds + other.seconds,
            self.prompt_attended + other.prompt_attended,
            self.decoded_attended + other.decoded_attended,
            self.verifier_attended + other.verifier_attended,
            self.kv_reads + other.kv_reads,
            self.verifier_calls + other.verifier_calls,
            self.critiques + other.critiques,
            self.critique_tokens + other.critique_tokens,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """How much one problem may cost, in generations (N >= 1)."""

    generations: int

    def __post_init__(self) -> None:
        if self.generations < 1:
            raise UsageError(f"budget {self.generations} is below 1; give at least one generation")


# What a search asks for, and is sent in return ------------------------------------------------


PROPOSER, REVISER, LARGER, JUDGE = "proposer", "reviser", "larger", "judge"
TESTS = "tests"
"""Roles of those who write, as `Propose` and `Ask` name them. A user may add others."""

VERIFIER, REVISION_VERIFIER = "verifier", "revision_verifier"
"""Roles of those who score, as `Verify` names them."""


class Purpose(StrEnum):
    """What a row is drawn for; the ledger counts generations by it."""

    SAMPLE = "sample"
    """A whole solution: one generation a row."""
    STEP = "step"
    """A further step of solutions that are drawn step by step, or what is left of them."""
    ROLLOUT = "rollout"
    """Steps that are drawn to judge a prefix and thrown away."""
    REVISION = "revision"
    """A whole solution that revises earlier ones: one generation a row."""
    FEEDBACK = "feedback"
    """What is said of a solution, for whoever revises it: no generation."""
    JUDGEMENT = "judgement"
    """Which of several solutions is best, or what each is worth: no generation."""

    @property
    def is_critique(self) -> bool:
        """Whether its rows are about solutions, and none themselves."""
        return self in (Purpose.FEEDBACK, Purpose.JUDGEMENT)


@dataclass(frozen=True, slots=True)
class Force:
    """What a model is made to write before it goes on, and where its thoughts are ended (budget
    forcing: Muennighoff et al. 2025, arXiv 2501.19393, section 3.1)."""

    say: str = ""
    """Text that follows the prefix; its token ids are part of the solution."""
    end: str | None = None
    """The text that ends a thought. The row stops before it, or where the model would end its
    answer, and is neither finished nor truncated. `None`: the row ends as `until` says."""
    most_tokens: int | None = None
    """Of the whole solution up to the end of the thought; there it is cut, and stays open."""


Enough = Callable[[Sequence["Solution"]], bool]
"""Whether the first rows of a request decide what the others could not change."""


@dataclass(frozen=True, slots=True)
class Propose:
    """Extend each prefix once, in order; the runner sends back a list of as many solutions.

    A prefix that is finished or truncated comes back as it is, and costs nothing.
    """

    prefixes: Sequence[Solution]
    until: int | None = END
    """Number of further steps, or `END`."""
    temperature: float = 1.0
    """0 is greedy."""
    role: str = PROPOSER
    """Who writes."""
    purpose: Purpose | None = None
    """Left out: `SAMPLE` where whole solutions are drawn, `STEP` where steps are."""
    force: Force | None = None
    """What every row is made to write, and where its thought ends."""
    enough: Enough | None = None
    """Asked of the first row, the first two, and so on, whatever comes first. Once it says yes the
    rows behind those are cancelled, and the search is sent the first ones alone: so what it sees
    does not depend on the order in which rows come. What came behind them is kept and charged.
    Every prefix is open then."""

    def __post_init__(self) -> None:
        if self.enough is not None and not all(prefix.is_open for prefix in self.prefixes):
            raise UsageError("`enough` with a prefix that has ended; leave that prefix out")
        if self.purpose is None:
            usual = Purpose.SAMPLE if self.until is END else Purpose.STEP
            object.__setattr__(self, "purpose", usual)


@dataclass(frozen=True, slots=True)
class Verify:
    """Score each solution; the runner sends back a list of as many `Scores`."""

    solutions: Sequence[Solution]
    role: str = VERIFIER
    """Who scores."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a model in words about solutions; the runner sends back a list of as many `Reply`s.

    `words` are the prompt. In it `{problem}` stands for the problem, `{first}` and
    `{second}` for the texts of the first two solutions of a row, `{rest}` for those after the first
    and `{all}` for all of them, numbered from 1.
    The prompt of a new solution is followed by what follows every problem of its model, that of a
    critique by nothing.
    """

    about: Sequence[Sequence[Solution]]
    """What each row is shown, one solution at least, of one problem; the first is its parent."""
    words: str
    purpose: Purpose
    """`REVISION` for new solutions; `FEEDBACK` or `JUDGEMENT`."""
    role: str = JUDGE
    """Who writes. Without a judge it is the proposer."""
    temperature: float = 1.0
    """0 is greedy."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model wrote when it was asked in words."""

    solution: Solution
    """The row. That of a critique has no answer; it can be shown in another `Ask`."""
    text: str | None = None
    """What a critique says, without what was thought before it; `None` where it was cut off."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a search ends with: the candidates it chose from and the one it chose.

    `index` points into `candidates`; it is `None`, and so is `answer`, when none had an answer.
    """

    answer: str | None
    index: int | None
    candidates: tuple[Solution, ...]
    scores: tuple[Scores, ...] = ()
    chance: float | None = field(default=None, compare=False)
    """The probability that the answer is right, of a search that tells it calibrated: a fitted
    policy."""
    note: str = ""
    """What whoever reads the outcome has to know: that a judge could not be read, and a vote chose
    in its place."""


class OutOfTime(Exception):
    """Thrown into a search whose time is up. One that catches it may return its choice of what it
    has; from one that does not, the runner takes what was drawn."""


Request = Propose | Verify | Ask
Search = Generator[Request, Any, Choice]
"""A search on one problem: sent `list[Solution]` for Propose, `list[Scores]` for Verify and
`list[Reply]` for Ask."""


class SearchFunction(Protocol):
    """Starts a search: one of `outthink.search`, its hyper-parameters given by keyword."""

    def __call__(self, problem: Problem, budget: Budget, /) -> Search: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """One problem, one strategy, one budget: what was answered and what it cost."""

    problem_id: str
    strategy: str
    budget: int
    answer: str | None
    right: bool | None
    """`None` where the problem has no reference, or the search failed."""
    chosen: int | None
    """Number of the chosen solution in the search tree."""
    usage: Usage
    error: str | None = None
    """Why there is no answer: the name of an error and what it says. `None` where the search ended
    as it should; such an outcome has neither an answer nor a verdict, and its job is not done."""
    note: str = ""
    """What its search says of it; see `Choice.note`."""


# Engines ---------------------------------------------------------------------------------------


SEED_STRIDE = 0x9E3779B97F4A7C15
"""Seeds of the rows of one request are this far apart. Engines hash the seed, so any stride will
do; it is odd, so that whoever wants numbers in a row can divide by it, modulo 2^63."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One row of work. `seed` (63 bits) fixes what is sampled, whatever else is in the batch."""

    prefix: Solution
    until: int | None
    temperature: float
    seed: int
    force: Force | None = None
    """Of an engine that cannot be forced it raises `UsageError`."""
    alone: bool = False
    """It may be cancelled while others go on, so what serves it does not tie it to them."""


def refuse_force(name: str, draws: Sequence[Draw]) -> None:
    """Raises `UsageError` where a row is forced: for engines that cannot be."""
    if any(draw.force is not None for draw in draws):
        raise UsageError(
            f"{name} cannot be made to write, which budget forcing needs; serve a reasoning model "
            "with vLLM or llama.cpp"
        )


def refuse_framing(name: str, draws: Sequence[Draw], *, but: Collection[str] = ()) -> None:
    """Raises `UsageError` where a problem is framed: for engines that know a prompt alone, `but`
    these fields of a framing."""
    framed = {draw.prefix.problem.framing for draw in draws} - {Framing()}
    names = [one.name for one in fields(Framing) if one.name not in but]
    usual = Framing()
    given = [
        name for name in names if any(getattr(f, name) != getattr(usual, name) for f in framed)
    ]
    if given:
        told = ", ".join(given)
        raise UsageError(
            f"{name} reads a prompt alone and cannot do {told.replace('_', ' ')}; leave out, or "
            "serve a model with vLLM or llama.cpp"
        )


@dataclass(frozen=True, slots=True)
class Drawn:
    """A proposer's result for one `Draw`; token counts are of this row as if it were alone.

    What rows share the runner counts once.
    """

    solution: Solution
    prompt_tokens: int
    cached_tokens: int
    decoded_tokens: int
    shared_tokens: int = 0
    """Those of the prompt tokens that every row of this problem reads."""
    measured: bool = False
    """A server counted this row as it happened, what it shared with others included: nothing of it
    is counted a second time, and nothing may be taken off."""
    texts: tuple[str, ...] | None = None
    """What was written past the prefix: one text a step, then what is behind the last step, where
    there is anything. `None` where nobody has to keep it, since ids can be read without a model."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A verifier's result for one solution; token counts are of this row as if it were alone."""

    scores: Scores
    computed_tokens: int
    cached_tokens: int
    shared_tokens: int = 0
    """Those of the computed tokens that every solution of this problem has."""
    written_tokens: int = 0
    """Those of the computed tokens that the verifier wrote itself, as a critique."""


Row = TypeVar("Row")


class Arrival(NamedTuple, Generic[Row]):
    """A row as it comes from an engine."""

    place: int
    """Of the row that it answers, among those asked."""
    row: Row
    seconds: float
    """Engine seconds it took; rows in flight at the same time share the time they take."""


class Batches(Protocol[Row]):
    """Rows of an engine that come many at once. Where what an engine returns has this method, the
    runner takes the rows by it, and not one by one."""

    async def batch(self) -> Sequence[Arrival[Row]]:
        """All rows that have come since the last call, once there are any; none after the last."""
        ...


class Proposer(Protocol):
    """A model that writes. `name` goes into stores and policies; it must pin the weights.

    Where it has an attribute `asked`, that says how the model is asked (template, limits,
    sampling): draws of one name that are asked in two ways are kept apart. One that knows a single
    task, and no words beside it, has an attribute `reads_words` that is False.
    """

    @property
    def name(self) -> str: ...

    def propose(self, draws: Sequence[Draw]) -> AsyncIterator[Arrival[Drawn]]:
        """Extend every row, in any order, each as soon as it is there.

        A row that fails for good raises a `RunError` once all others have come, and ends its
        problem alone. A `UsageError`, which would fail every row, is raised at once and ends the
        run.
        """
        ...

    async def text(self, tokens: Sequence[int]) -> str:
        """The text of these token ids."""
        ...


class Verifier(Protocol):
    """A model that scores. A solution it cannot score gets `Scores()` and counts no tokens."""

    @property
    def name(self) -> str: ...

    def verify(self, solutions: Sequence[Solution]) -> AsyncIterator[Arrival[Verified]]:
        """Score every solution; as `Proposer.propose`."""
        ...


@runtime_checkable
class BatchProposer(Protocol):
    """A proposer in this process: all rows in one call. `models.in_process` makes a `Proposer` of
    it, which `Team.of` does by itself."""

    @property
    def name(self) -> str: ...

    def propose_batch(self, draws: Sequence[Draw]) -> list[Drawn]:
        """Extend every row; row i of the result belongs to row i of `draws`."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of these token ids."""
        ...


@runtime_checkable
class BatchVerifier(Protocol):
    """A verifier in this process; see `BatchProposer`."""

    @property
    def name(self) -> str: ...

    def verify_batch(self, solutions: Sequence[Solution]) -> list[Verified]: ...


@runtime_checkable
class Combines(Protocol):
    """A verifier made of others. The runner asks the parts and keeps what each says, so that no
    score of a part is paid twice; whoever asks without a runner calls `verify`."""

    @property
    def name(self) -> str: ...

    @property
    def parts(self) -> Sequence[Verifier]: ...

    def shown(self, place: int, solution: Solution) -> Solution:
        """A solution as the part at this place is given it."""
        ...

    def left(self, place: int, solution: Solution, shown: Solution) -> None:
        """Keep what the part at this place has cached of a solution that it was shown."""
        ...

    def combine(self, rows: Sequence[Verified]) -> Verified:
        """One row of those of the parts, in their order."""
        ...


@runtime_checkable
class Closes(Protocol):
    """An engine that holds connections, and opens new ones when it is asked again."""

    async def aclose(self) -> None: ...


class Grader(Protocol):
    """Decides whether an answer is right; symbolic, never by substring."""

    def __call__(self, answer: str, reference: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Strategy:
    """A search with its hyper-parameters fixed, e.g. `beam(width=4)`."""

    name: str
    """As printed and stored, e.g. `beam(width=sqrt)`: the same name is the same algorithm."""
    start: SearchFunction = field(compare=False)
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    about: About = field(default_factory=lambda: About(), compare=False)


@dataclass(frozen=True, slots=True)
class About:
    """What a search says of itself."""

    label: str = ""
    """How pages call it; empty for its name."""
    source: str = ""
    """Paper and section."""
    roles: frozenset[str] | None = None
    """Roles it asks with these options; `None` where it does not say."""
    reading: Reading | None = None
    """How it is read from a pool; `None` for a search that has to be run."""
    words: frozenset[str] = frozenset()
    """Those of the roles that it asks in words, which models of one task alone cannot be."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the outcome of a search follows from a pool of solutions that was drawn once."""

    choose: Chooser
    """Its answer, given N solutions of the pool and their scores."""
    sequential: int | None = None
    """Of a pool of chains of revisions: the length of its chains. `None` for a pool of independent
    samples."""


class Chooser(Protocol):
    """Chooses an answer among candidates; `search.select.Selection` is one."""

    def __call__(
        self, candidates: Sequence[Solution], scores: Sequence[Scores] | None = None
    ) -> Choice: ...
