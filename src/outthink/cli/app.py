"""The program: runs one command, and says on one line what went wrong with it."""

from __future__ import annotations

import gc
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from outthink.cli import completion
from outthink.cli.commands import Commands
from outthink.cli.output import say
from outthink.cli.wrong import as_asked
from outthink.errors import MissingPackage, OutthinkError
from outthink.version import VERSION

INTERRUPTED = 128 + 2
"""Exit code after Ctrl-C, as a shell gives it."""
UNREAD = 128 + 13
"""Exit code where whoever read our output has gone, as in `outthink ... | head`."""


_RARELY = 50_000
"""New objects before Python looks for reference cycles, 700 by default. A sweep makes millions that
live long and hardly any cycle; looking through them took 4 % of the CPU time of a beam search."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0 is success, 1 a failure at run time, 2 a mistake in what was asked."""
    gc.set_threshold(_RARELY)
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        code = _run([word for word in words if word != "--debug"])
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()
        return UNREAD
    except KeyboardInterrupt as stopped:
        say(f"outthink: {str(stopped) or 'stopped'}")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        return _failed(error)
    return code


def _run(words: list[str]) -> int:
    if asked := os.environ.get(completion.VARIABLE):
        return completion.complete(OUTTHINK, asked)
    try:
        with OUTTHINK.make_context("outthink", words, obj=shlex.join(["outthink", *words])) as call:
            OUTTHINK.invoke(call)
    except click.exceptions.Exit as left:  # --help and the like have printed what they had to
        return left.exit_code
    except click.ClickException as error:
        raise as_asked(error) from error
    return 0


def _failed(error: Exception) -> int:
    """Say on one line what went wrong."""
    if isinstance(error, ImportError):
        error = MissingPackage.of(error) or error
    said = " ".join(str(error).split("\n"))
    if isinstance(error, OutthinkError):
        say(f"outthink: {said}")
        return error.exit_code
    if isinstance(error, OSError):
        _give_up_output()  # it may be what failed
        say(f"outthink: {said} (--debug shows where)")
    elif isinstance(error, MemoryError):
        say("outthink: out of memory; ask for a smaller --pool or --budget")
    else:
        say(f"outthink: {type(error).__name__}: {said} (a bug; --debug shows where)")
    return 1


def _give_up_output() -> None:
    """Keep Python from failing once more when it closes standard output."""
    with suppress(OSError, ValueError):  # under a test it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(call: click.Context, _: click.Parameter, given: bool) -> None:
    if given and not call.resilient_parsing:
        print(f"outthink {VERSION}")
        call.exit()


OUTTHINK = Commands(
    "outthink",
    {
        "demo": ("demo:demo", "the paper's main job on the lab's models"),
        "sweep": ("sweep:sweep", "run strategies over problems, into a store"),
        "fit": ("fit:fit", "fit the compute-optimal policy on a store"),
        "solve": ("solve:solve", "solve one problem by a policy or a strategy"),
        "serve": ("serve:serve", "serve answers as a policy has them, behind OpenAI's API"),
        "key": ("key:key", "make a key for a user of what is served"),
        "report": ("report:report", "write a store's report, one HTML page"),
        "import": ("import_:import_", "make a store of samples that other tools recorded"),
        "export": ("export:export", "write a store's samples as a table that import reads"),
        "compare": ("compare:compare", "strategies and verifiers of a store, paired"),
        "combine": ("combine:combine", "learn to weigh several verifiers of a store"),
        "agreement": ("agreement:agreement", "hold a judge of open tasks against a second one"),
        "early": ("early:early", "what ending unsure traces early would save"),
        "forcing": ("forcing:forcing", "what longer thoughts of a reasoning model are worth"),
        "overthinking": ("overthinking:overthinking", "whether longer solutions are better"),
        "merge": ("merge:merge", "one store of several"),
        "convert": ("convert:convert", "take over a store of the format before"),
        "exchange": ("exchange:exchange", "a larger model, or a longer-thinking one?"),
        "reproduce": ("reproduce:reproduce", "the whole paper, measured, and 45 claims"),
        "doctor": ("doctor:doctor", "find out what a model server can do"),
        "train": ("train:TRAIN", "train verifiers and revision models from your own model"),
        "lab": ("lab:LAB", "the built-in world: train its models, measure them"),
        "bench": ("bench:BENCH", "measure strategies, and the speed of the engines"),
    },
    help="Finds, for each question and each compute budget, how a language model should think: how "
    "to sample, verify and search.",
    epilog="Start with 'outthink demo'. Every command takes --json (one object on standard output) "
    "and --debug (a traceback where something fails). Results go to standard output, progress to "
    "standard error. Exit codes: 0 done, 1 failed, 2 asked wrongly.",
)
OUTTHINK.params += [
    click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_version,
        help="Print the version.",
    ),
    *completion.options(),
]
