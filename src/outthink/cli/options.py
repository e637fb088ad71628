"""Options that several commands have, and what the words of an option are read as."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from outthink.study.models import Models
    from outthink.study.plan import Plan

T = TypeVar("T")
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option(
    *names: str, help: str, usual: object = None, default: object = None, **more: Any
) -> Decorator:
    """An option; `usual` says what is meant by leaving it out, where that is no default."""
    told = default if usual is None else usual
    if told is not None:
        help = f"{help} (default: {told})"
    if default is not None:  # click takes `None` for a default too, and nothing is then missing
        more["default"] = default
    return click.option(*names, help=help, **more)


def flag(name: str, help: str) -> Decorator:
    return click.option(name, is_flag=True, help=help)


def argument(name: str, metavar: str, help: str, **more: Any) -> Decorator:
    return click.argument(name, metavar=metavar, help=help, **more)


def together(name: str, value: Callable[..., Any], *options: Decorator) -> Decorator:
    """Options that a command is given as one value, a dataclass, by a name."""

    def decorate(run: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(run)
        def call(**given: Any) -> Any:
            own = {field.name: given.pop(field.name) for field in fields(value)}  # type: ignore[arg-type]
            return run(**given, **{name: value(**own)})

        made: Callable[..., Any] = call
        for each in reversed(options):
            made = each(made)
        return made

    return decorate


# What words are read as --------------------------------------------------------------------------


class Read(click.ParamType[T]):
    """Words that a function reads; what it raises as a `ValueError` says what would do."""

    def __init__(
        self,
        name: str,
        read: Callable[[str], T],
        complete: Callable[[str], list[str]] = lambda _: [],
    ) -> None:
        self.name, self._read, self._complete = name, read, complete

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._read(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(word) for word in self._complete(incomplete)]


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None
    if number < 0:
        raise ValueError(f"{text} is below 0; give 0 or more")
    return number


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise ValueError(f"{text} is below 1; give at least 1")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _above_0(text: str) -> float:
    if not 0 < _number(text) < math.inf:
        raise ValueError(f"{text!r} is not a number above 0")
    return float(text)


def _price(text: str) -> float:
    if not 0 <= _number(text) < math.inf:
        raise ValueError(f"{text!r} is not a price; give 0 or more")
    return float(text)


def _budgets(text: str) -> tuple[int, ...]:
    """`1,4,16` or `1..64`, which is every power of two in between."""
    if ".." not in text:
        return tuple(sorted({_positive(part) for part in text.split(",")}))
    first, _, last = text.partition("..")
    low, high = _positive(first), _positive(last)
    powers = [2**power for power in range(high.bit_length()) if low <= 2**power <= high]
    if not powers:
        raise ValueError(f"{text!r} holds no power of two")
    return tuple(powers)


def _strategies(text: str) -> tuple[str, ...]:
    """Names separated by commas outside parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(map(_strategy, parts))


def _strategy(text: str) -> str:
    from outthink.search import strategy

    return strategy(text).name


def _names(incomplete: str) -> list[str]:
    """Strategies whose names begin so."""
    from outthink.search import SEARCHES

    return [name for name in SEARCHES if name.startswith(incomplete)]


def _more_names(incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _names(last)]


WHOLE = Read("number", _whole)
POSITIVE = Read("number", _positive)
ABOVE_0 = Read("number", _above_0)
PRICE = Read("price", _price)
RATIOS = Read("numbers", lambda text: tuple(map(_above_0, text.split(","))))
BUDGETS = Read("budgets", _budgets)
STRATEGY = Read("strategy", _strategy, _names)
STRATEGIES = Read("strategies", _strategies, _more_names)
PATH = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path)


# Options that several commands have --------------------------------------------------------------


def out(metavar: str, help: str, default: str | None = None) -> Decorator:
    path = None if default is None else Path(default)
    return option(
        *("-o", "--out"),
        type=PATH,
        metavar=metavar,
        help=help,
        default=path,
        required=default is None,
    )


def store(help: str = "What 'outthink sweep' made.") -> Decorator:
    return argument("store", "STORE", help, type=PATH)


def problems(default: int, help: str = "How many problems.") -> Decorator:
    return option("--problems", type=POSITIVE, default=default, metavar="P", help=help)


seed = option("--seed", type=WHOLE, default=0, metavar="S", help="Fixes every draw.")
weights = option(
    "--weights",
    type=FOLDER,
    metavar="DIR",
    help="Lab weights of your own, as 'lab train' leaves them.",
    usual="those shipped",
)
verifier = option(
    "--verifier",
    metavar="NAME",
    help="Whose scores are meant where several verifiers scored the samples: what the sweep was "
    "given, or the name that a report shows, or how that begins.",
)


@dataclass(frozen=True, slots=True)
class NamedModels:
    """Models as options name them; what was left out is `None`."""

    model: str | None
    verifier: str | None
    reviser: str | None
    revision_verifier: str | None
    most_tokens: int | None
    weights: Path | None

    def models(self, kept: Mapping[str, str] | None = None) -> Models:
        """Those that are named; what is left out is as in `kept`, or as usual."""
        from outthink.study.models import Models

        given = {name: str(value) for name, value in asdict(self).items() if value is not None}
        return Models.of({**(kept or {}), **given})


def models(usual: str = "lab:s") -> Decorator:
    """Options that name models, as `models`."""
    return together(
        "models",
        NamedModels,
        option(
            "--model",
            metavar="NAME",
            help="The proposer: lab:s, lab:l; in this process local, which is SmolLM2-135M, "
            "local:MODEL.gguf, with options as ?slots=4&threads=2&context=4096, or hf:NAME, a "
            "model of transformers by its folder or its name of the hub; or the address of a "
            "server, as http://HOST:PORT or http://HOST:PORT#MODEL; a key comes from "
            "OUTTHINK_API_KEY.",
            usual=usual,
        ),
        option(
            "--verifier",
            metavar="NAME",
            help="lab:prm, lab:orm or none; of any model: prm:MODEL and orm:MODEL (a folder or a "
            "name on the hub), prm:http://HOST:PORT (vLLM, for pooling), judge:http://HOST:PORT, "
            "or confidence; options as prm:MODEL?family=trl&device=cpu.",
            usual="lab:prm for the lab's models, confidence for others",
        ),
        option(
            "--reviser",
            metavar="NAME",
            help="Who writes revisions: lab:reviser, or a model that was not trained to, lab:s or "
            "lab:l; of any text an address or hf:NAME.",
            usual="lab:reviser for the lab's models, for others the model itself",
        ),
        option(
            "--revision-verifier",
            metavar="NAME",
            help="Who scores them: lab:revision, lab:prm, lab:orm or none, or one of any model as "
            "for --verifier.",
            usual="lab:revision, or confidence",
        ),
        option(
            "--most-tokens",
            type=POSITIVE,
            metavar="N",
            help="Tokens of one solution of a served or hf: model, which is cut off there.",
            usual=2048,
        ),
        weights,
    )


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan as options say it; `None` stands for what suits the model."""

    strategies: tuple[str, ...] | None
    budgets: tuple[int, ...]
    pool: int | None
    chains: int
    oracle_samples: int | None
    difficulty_samples: int

    def plan(self, models: Models) -> Plan:
        from outthink.study.models import reads_any_text
        from outthink.study.plan import STRATEGIES, Plan, verifies

        # Samples of a real model are dear: what only shows how far a policy could go is left out.
        usual = 0 if reads_any_text(models.proposer) else 256
        able = (name for name in STRATEGIES if models.verifier != "none" or not verifies(name))
        pool = usual if self.pool is None else self.pool
        return Plan(
            strategies=self.strategies or tuple(able),
            budgets=self.budgets,
            pool=max(pool, self.budgets[-1]),
            chains=self.chains,
            oracle_samples=usual if self.oracle_samples is None else self.oracle_samples,
            predicted_samples=self.difficulty_samples,
        )


def plan(*, pool: int | None = None, oracle: int | None = None, difficulty: int = 8) -> Decorator:
    """Options of a plan, as `planned`."""
    return together(
        "planned",
        Planned,
        option(
            "--strategies",
            type=STRATEGIES,
            metavar="A,B",
            help="What to compare.",
            usual="those of the seven below that the verifier allows",
        ),
        option(
            "--budgets",
            type=BUDGETS,
            default="1,4,16,64",
            metavar="N,N",
            help="Generations a problem, as 1,4,16 or 1..64.",
        ),
        option(
            "--pool",
            type=POSITIVE,
            default=pool,
            metavar="N",
            help="Samples a problem that best-of-N and majority are read from, at least the "
            "largest budget.",
            usual=pool or "256 for the lab, else the largest budget",
        ),
        option(
            "--chains",
            type=WHOLE,
            default=0,
            metavar="N",
            help="Chains a problem that all splits of revisions up to this budget are read from, a "
            "power of two; 0 runs every split on its own.",
        ),
        option(
            "--oracle-samples",
            type=WHOLE,
            default=oracle,
            metavar="N",
            help="Samples a problem for oracle difficulty, an upper bound that needs labels, 0 for "
            "none; the paper takes 2048.",
            usual=oracle or "256 for the lab, else 0",
        ),
        option(
            "--difficulty-samples",
            type=WHOLE,
            default=difficulty,
            metavar="K",
            help="Samples a problem for predicted difficulty, 0 for none; what a policy pays to "
            "know the difficulty.",
        ),
    )


BY_DEFAULT = """\b
Strategies by default:
  majority, best_of_n(answer=max), best_of_n, beam,
  beam(width=sqrt), lookahead(width=sqrt), lookahead(depth=3)

"""
"""For the help of commands that take a plan."""
