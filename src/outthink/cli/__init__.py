"""The command line: parse, call, print. Results go to standard output, talk to standard error.

It is the outermost room.

Stands on: api, bench, data, errors, grade, jobs, lab, measure, paper, policy, run, search, study,
version.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from outthink.errors import MissingPackage, OutthinkError, UsageError
from outthink.version import VERSION

if TYPE_CHECKING:
    from outthink.lab.facts import Facts, ModelFacts, RevisionFacts
    from outthink.measure.intervals import Interval
    from outthink.policy.results import FitResult, VersusBaseline
    from outthink.study.models import Models
    from outthink.study.plan import Plan
    from outthink.study.results import Accuracies
    from outthink.study.verifiers import VerifierQuality

INTERRUPTED = 128 + 2
"""Exit code after Ctrl-C, as a shell gives it."""
UNREAD = 128 + 13
"""Exit code where whoever read our output has gone, as in `outthink ... | head`."""

_GOES_ON = "stopped; the same command goes on from here and pays for nothing twice"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0 is success, 1 a failure at run time, 2 a mistake in what was asked."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    options = argparse.Namespace(stopped="stopped")
    try:
        with suppress(SystemExit):  # --help and --version have printed what they had to
            _parser().parse_args(words, options)
            options.command_line = shlex.join(["outthink", *words])
            options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()
        return UNREAD
    except KeyboardInterrupt:
        _say(f"outthink: {options.stopped}")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        return _failed(error)
    return 0


def _failed(error: Exception) -> int:
    """Say on one line what went wrong."""
    if isinstance(error, ImportError):
        error = MissingPackage.of(error) or error
    said = " ".join(str(error).split("\n"))
    if isinstance(error, OutthinkError):
        _say(f"outthink: {said}")
        return error.exit_code
    if isinstance(error, OSError):
        _give_up_output()  # it may be what failed
        _say(f"outthink: {said} (--debug shows where)")
    elif isinstance(error, MemoryError):
        _say("outthink: out of memory; ask for a smaller --pool or --budget")
    else:
        _say(f"outthink: {type(error).__name__}: {said} (a bug; --debug shows where)")
    return 1


def _give_up_output() -> None:
    """Keep Python from failing once more when it closes standard output."""
    with suppress(OSError, ValueError):  # under a test it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# The commands ------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print a usage page and leave.

    Options are added when the command is the one that was given: help for the others needs none,
    and their defaults may come from modules that are slow to import.
    """

    def __init__(self, **options: Any) -> None:
        layout = argparse.RawDescriptionHelpFormatter
        super().__init__(**{"allow_abbrev": False, "formatter_class": layout, **options})
        self.fill: Callable[[_Parser], None] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if self.fill is not None:
            self.fill(self)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'")


def _parser() -> _Parser:
    parser = _Parser(
        prog="outthink",
        description="Finds, for each question and each compute budget, how a language model\n"
        "should think: how to sample, verify and search.",
        epilog="Start with 'outthink demo'. Every command takes --json (one object on standard\n"
        "output) and --debug (a traceback where something fails). Results go to standard\n"
        "output, progress to standard error. Exit codes: 0 done, 1 failed, 2 asked wrongly.",
    )
    parser.add_argument("--version", action="version", version=f"outthink {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _command(commands, "demo", _run_demo, _demo, "the paper's main job on the lab's models")
    _command(commands, "sweep", _run_sweep, _sweep, "run strategies over problems, into a store")
    _command(commands, "fit", _run_fit, _fit, "fit the compute-optimal policy on a store")
    _command(commands, "solve", _run_solve, _solve, "solve one problem by a policy or a strategy")
    _command(commands, "report", _run_report, _report, "write a store's report, one HTML page")
    _command(commands, "convert", _run_convert, _convert, "take over a store of the format before")
    _command(
        commands, "exchange", _run_exchange, _exchange, "a larger model, or a longer-thinking one?"
    )
    _command(
        commands,
        "reproduce",
        _run_reproduce,
        _reproduce,
        "the whole paper, measured, and 45 claims",
    )
    _command(commands, "doctor", _run_doctor, _doctor, "find out what a model server can do")
    train = _group(commands, "train", "train verifiers and revision models from your own model")
    for kind, help in (
        ("prm", "a verifier of every step, from Monte Carlo rollouts"),
        ("orm", "a verifier of whole solutions"),
        ("revise", "a model that revises what it wrote"),
    ):
        _command(train, kind, partial(_run_train, kind), partial(_train, kind), help)
    lab = _group(commands, "lab", "the built-in world: train its models, measure them")
    _command(lab, "train", _run_lab_train, _lab_train, "train every model from nothing")
    _command(lab, "facts", _run_lab_facts, _lab_facts, "measure the models on fresh problems")
    bench = _group(commands, "bench", "measure strategies, and the speed of the engines")
    _command(
        bench, "strategies", _run_bench_strategies, _bench_strategies, "compare the strategies"
    )
    _command(bench, "engine", _run_bench_engine, _bench_engine, "speed and memory of the engines")
    _command(
        bench, "served", _run_bench_served, _bench_served, "how much of a server's speed is used"
    )
    _command(bench, "grader", _run_bench_grader, _bench_grader, "agreement with published verdicts")
    return parser


def _command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], None],
    fill: Callable[[_Parser], None],
    help: str,
) -> None:
    parser: _Parser = commands.add_parser(name, help=help)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run, stopped="stopped")
    parser.fill = fill


def _group(commands: Any, name: str, help: str) -> Any:
    parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def _seed_option(parser: _Parser) -> None:
    parser.add_argument(
        "--seed", type=_whole, default=0, metavar="S", help="fixes every draw (default: 0)"
    )


def _weights_option(parser: _Parser) -> None:
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="DIR",
        help="lab weights of your own, as 'lab train' leaves them (default: those shipped)",
    )


def _model_options(parser: _Parser, usual: str = "lab:s") -> None:
    """Options that name models; left out, they are `None`."""
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="the proposer: lab:s, lab:l; in this process local, which is SmolLM2-135M, "
        "local:MODEL.gguf, with options as ?slots=4&threads=2&context=4096, or hf:NAME, a model of "
        "transformers by its folder or its name of the hub; or the address of a server, as "
        "http://HOST:PORT or http://HOST:PORT#MODEL; a key comes from OUTTHINK_API_KEY "
        f"(default: {usual})",
    )
    parser.add_argument(
        "--verifier",
        metavar="NAME",
        help="lab:prm, lab:orm or none; of any model: prm:MODEL and orm:MODEL (a folder or a name "
        "on the hub), prm:http://HOST:PORT (vLLM, for pooling), judge:http://HOST:PORT, or "
        "confidence; options as prm:MODEL?family=trl&device=cpu (default: lab:prm for the lab's "
        "models, confidence for others)",
    )
    parser.add_argument(
        "--reviser",
        metavar="NAME",
        help="who writes revisions: lab:reviser, or a model that was not trained to, lab:s or "
        "lab:l; of any text an address or hf:NAME (default: lab:reviser for the lab's models, for "
        "others the model itself)",
    )
    parser.add_argument(
        "--revision-verifier",
        metavar="NAME",
        help="who scores them: lab:revision, lab:prm, lab:orm or none, or one of any "
        "model as for --verifier (default: lab:revision, or confidence)",
    )
    parser.add_argument(
        "--most-tokens",
        type=_positive,
        metavar="N",
        help="tokens of one solution of a served or hf: model, which is cut off there "
        "(default: 2048)",
    )
    _weights_option(parser)


def _models(options: argparse.Namespace, kept: Mapping[str, str] | None = None) -> Models:
    """The models that options name; what they leave out is as in `kept`, or as usual."""
    from outthink.study.models import Models

    return Models.of({**(kept or {}), **_named_models(options)})


def _named_models(options: argparse.Namespace) -> dict[str, str]:
    names = ("model", "verifier", "reviser", "revision_verifier", "most_tokens", "weights")
    given = {name: getattr(options, name) for name in names}
    return {name: str(value) for name, value in given.items() if value is not None}


def _plan_options(
    parser: _Parser, *, pool: int | None, oracle: int | None, difficulty: int
) -> None:
    """Options of a plan; `None` stands for what suits the model."""
    from outthink.study.plan import STRATEGIES, Plan

    parser.epilog = (
        f"Strategies by default:\n  {', '.join(STRATEGIES[:4])},\n  {', '.join(STRATEGIES[4:])}\n\n"
        f"{parser.epilog}"
    )
    parser.add_argument(
        "--strategies",
        type=_strategies,
        metavar="A,B",
        help="what to compare (default: those of the seven below that the verifier allows)",
    )
    parser.add_argument(
        "--budgets",
        type=_budgets,
        default=",".join(map(str, Plan().budgets)),
        metavar="N,N",
        help="generations a problem, as 1,4,16 or 1..64 (default: %(default)s)",
    )
    parser.add_argument(
        "--pool",
        type=_positive,
        default=pool,
        metavar="N",
        help="samples a problem that best-of-N and majority are read from, at least the largest "
        f"budget (default: {pool or '256 for the lab, else the largest budget'})",
    )
    parser.add_argument(
        "--chains",
        type=_whole,
        default=0,
        metavar="N",
        help="chains a problem that all splits of revisions up to this budget are read from, a "
        "power of two; 0 runs every split on its own (default: %(default)s)",
    )
    parser.add_argument(
        "--oracle-samples",
        type=_whole,
        default=oracle,
        metavar="N",
        help="samples a problem for oracle difficulty, an upper bound that needs labels, 0 for "
        f"none (default: {oracle or '256 for the lab, else 0'}; the paper takes 2048)",
    )
    parser.add_argument(
        "--difficulty-samples",
        type=_whole,
        default=difficulty,
        metavar="K",
        help="samples a problem for predicted difficulty, 0 for none; what a policy pays to "
        "know the difficulty (default: %(default)s)",
    )
    _seed_option(parser)


def _plan(options: argparse.Namespace, models: Models) -> Plan:
    from outthink.study.models import reads_any_text
    from outthink.study.plan import STRATEGIES, Plan, verifies

    # Samples of a real model are dear: what only shows how far a policy could go is left out.
    usual = 0 if reads_any_text(models.proposer) else 256
    able = (name for name in STRATEGIES if models.verifier != "none" or not verifies(name))
    pool = usual if options.pool is None else options.pool
    oracle = usual if options.oracle_samples is None else options.oracle_samples
    return Plan(
        strategies=options.strategies or tuple(able),
        budgets=options.budgets,
        pool=max(pool, options.budgets[-1]),
        chains=options.chains,
        oracle_samples=oracle,
        predicted_samples=options.difficulty_samples,
    )


# demo, sweep, fit, solve, report -----------------------------------------------------------------


def _demo(parser: _Parser) -> None:
    parser.description = (
        "Runs the paper's main job on the lab's models: samples, verifies, searches, estimates\n"
        "difficulty, fits the compute-optimal policy by two-fold cross-validation, compares it\n"
        "with best-of-N at equal cost, and writes the report. Takes about two minutes."
    )
    parser.epilog = "Killed at any moment, the same command goes on and pays for nothing twice."
    parser.set_defaults(stopped=_GOES_ON)
    parser.add_argument(
        "--problems",
        type=_positive,
        default=200,
        metavar="P",
        help="test problems; fewer than 100 fill fewer bins (default: %(default)s)",
    )
    _out_option(parser, "REPORT", "where the page goes (default: %(default)s)", "report.html")
    parser.add_argument(
        "--store",
        type=Path,
        metavar="STORE",
        help="where everything is kept (default: a new one in runs/)",
    )
    _seed_option(parser)
    _weights_option(parser)


def _out_option(parser: _Parser, metavar: str, help: str, default: str | None = None) -> None:
    parser.add_argument(
        "-o",
        "--out",
        type=Path,
        required=default is None,
        default=None if default is None else Path(default),
        metavar=metavar,
        help=help,
    )


def _run_demo(options: argparse.Namespace) -> None:
    from outthink.jobs import demo
    from outthink.policy import as_json

    began = time.monotonic()
    outcome = demo(
        problems=options.problems,
        seed=options.seed,
        weights=options.weights,
        store=options.store,
        out=options.out,
        command=options.command_line,
    )
    seconds = round(time.monotonic() - began, 1)
    if options.json:
        return _print_json({**as_json.reported(outcome), "seconds": seconds})
    _print_swept(outcome.accuracies)
    assert outcome.fitting is not None  # a demo always fits one
    _print_policy(outcome.fitting)
    _print_notes(outcome.notes)
    _say(f"\nreport:  {outcome.page}     (open it in a browser)")
    _say(f"policy:  {outcome.fitting.path}")
    _say(f"store:   {outcome.accuracies.store}     {seconds:.0f} s in all")
    command = f"outthink solve '40713 *7 *13' --policy {outcome.fitting.path} --budget 16"
    return _say(f"next:    {command}")


def _sweep(parser: _Parser) -> None:
    parser.description = "Runs strategies at budgets over problems, into a store."
    parser.epilog = (
        "Killed at any moment, the same command goes on and pays for nothing twice.\n\n"
        "  outthink sweep 'lab:test?size=200&seed=1' -o test.store\n"
        "  outthink sweep problems.jsonl -o mine.store --strategies 'best_of_n,beam(width=8)'"
    )
    parser.set_defaults(stopped=_GOES_ON)
    parser.add_argument(
        "problems",
        metavar="PROBLEMS",
        help="lab:STREAM?size=200&seed=0, where STREAM is test, calibration or train; for served "
        "models also a table of questions and answers (.jsonl, .json, .csv, .tsv, .parquet), such "
        "as GSM8K, MATH, HumanEval or MBPP, or reasoning-gym:GENERATOR?size=200&seed=0. "
        "FILE?grader=NAME names another grader than the one that fits",
    )
    parser.add_argument(
        "-o",
        "--store",
        type=Path,
        metavar="STORE",
        help="where everything is kept; made where it is missing, gone on with where not (default: "
        "named after the problems, as gsm8k.store)",
    )
    _model_options(parser)
    _plan_options(parser, pool=None, oracle=None, difficulty=8)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print how many generations, tokens, seconds, bytes and how much money it will take, "
        "as far as that is known, and spend nothing",
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="run it even where it takes more than a day, or more than the disk holds",
    )
    for name, what in (("--price-in", "read"), ("--price-out", "written")):
        parser.add_argument(
            name, type=_price, metavar="X", help=f"money for a million tokens that are {what}"
        )


def _run_sweep(options: argparse.Namespace) -> None:
    from outthink.data.source import called
    from outthink.jobs import sweep
    from outthink.policy import as_json
    from outthink.study.ahead import Pace, ahead
    from outthink.study.forecast import Forecast, Prices
    from outthink.study.sweep import Sweep

    models = _models(options)
    asked = Sweep(options.problems, _plan(options, models), models, options.seed)
    store = options.store or Path(f"{called(options.problems)}.store")
    forecast = ahead(asked, store, Prices(options.price_in, options.price_out))
    if options.dry_run:
        if options.json:
            return _print_json(as_json.forecast(forecast))
        return print("\n".join([*forecast.sentences(), *forecast.objections()]))

    def object_to(forecast: Forecast) -> None:
        """Ask for a word where it takes very much."""
        if (objections := forecast.objections()) and not options.yes:
            raise UsageError(
                f"of {forecast.generations_left:,} generations {' and '.join(objections)}: give "
                "--yes if that is meant, or smaller --budgets, a smaller --pool or fewer problems"
            )

    def consider(forecast: Forecast) -> None:
        """Say what it will take, and object."""
        if forecast.generations_left:
            _say("; ".join(forecast.sentences()))
        object_to(forecast)

    object_to(forecast)  # before models are loaded and servers asked
    outcome = sweep(asked, store, Pace(forecast, consider))
    if options.json:
        return _print_json(as_json.sweep(outcome))
    _print_swept(outcome)
    if missing := outcome.problems - outcome.graded:
        _say(f"{missing} of {outcome.problems} problems have no reference and are not in here")
    return _say(f"\nnext: outthink fit {store} -o policy.json")


def _doctor(parser: _Parser) -> None:
    parser.description = (
        "Tries out a model server, with some twenty requests of a few tokens each, and says what\n"
        "it can do and what each lack costs. Knows vLLM, llama.cpp and OpenAI-compatible chat."
    )
    parser.epilog = (
        "A key is read from OUTTHINK_API_KEY, for OpenAI's own server from OPENAI_API_KEY.\n\n"
        "  outthink doctor local\n"
        "  outthink doctor http://localhost:8000\n"
        "  outthink doctor https://api.example.org/v1#small-model"
    )
    parser.add_argument(
        "url",
        metavar="URL",
        help="its address, with #MODEL where it has several; or local, or local:MODEL.gguf",
    )


def _run_doctor(options: argparse.Namespace) -> None:
    from outthink.jobs import doctor

    outcome = doctor(options.url)
    if options.json:
        return _print_json(outcome)
    print(f"{outcome['server']} at {outcome['url']}, model {outcome['model']}")
    context = f"context of {outcome['context']} tokens" if outcome["context"] else "context unknown"
    print(f"{context}; runs {outcome['strategies']}\n")
    words = {True: "yes", False: "no", None: "?"}
    rows = [(finding["what"], words[finding["has"]]) for finding in outcome["findings"]]
    wide = max(len(what) for what, _ in rows)
    for (what, has), finding in zip(rows, outcome["findings"], strict=True):
        print(f"{what.ljust(wide)}  {has.ljust(3)}  {finding['means']}")
    return None


def _fit(parser: _Parser) -> None:
    parser.description = (
        "Fits the compute-optimal policy: which strategy at which difficulty and budget.\n"
        "Difficulty is predicted without labels; the accuracies are of two-fold\n"
        "cross-validation inside the bins. 100 problems with references fill the five bins; of\n"
        "fewer there are fewer bins, and the intervals say how little that is. A sweep that is\n"
        "not finished is fitted on what there is."
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="what 'outthink sweep' made")
    _verifier_option(parser)
    _out_option(parser, "POLICY", "where the policy goes, a JSON file")


def _verifier_option(parser: _Parser) -> None:
    parser.add_argument(
        "--verifier",
        metavar="NAME",
        help="whose scores are meant where several verifiers scored the samples: what the sweep "
        "was given, or the name that a report shows, or how that begins",
    )


def _run_fit(options: argparse.Namespace) -> None:
    from outthink.jobs import fit
    from outthink.policy import as_json

    outcome = fit(options.store, options.out, options.verifier)
    if options.json:
        return _print_json(as_json.fitting(outcome))
    _print_policy(outcome)
    _print_notes(outcome.notes)
    return _say(
        f"\npolicy: {options.out}\n"
        f"next:   outthink solve PROBLEM --policy {options.out} --budget 16"
    )


def _solve(parser: _Parser) -> None:
    parser.description = "Solves one problem, by a policy or by a strategy."
    parser.epilog = (
        "A policy spends a few samples on finding out how hard the problem is, then as much as\n"
        "the budget says.\n\n"
        "  outthink solve '40713 *7 *13' --policy policy.json --budget 16\n"
        "  outthink solve '40713 *7 *13' --strategy 'beam(width=8)' --budget 16\n"
        "  outthink solve 'What is 3 + 4?' --model local --budget 4"
    )
    parser.add_argument(
        "prompt",
        metavar="PROBLEM",
        help="such as '40713 *7 *13'; with --model, whatever that model reads",
    )
    parser.add_argument("--policy", type=Path, metavar="POLICY", help="what 'outthink fit' made")
    parser.add_argument(
        "--strategy", type=_strategy, metavar="A", help="such as beam (default: best_of_n)"
    )
    parser.add_argument(
        "--budget", type=_positive, default=16, metavar="N", help="generations (default: 16)"
    )
    parser.add_argument(
        "--grader",
        metavar="NAME",
        help="finds a served model's answers and lets equal ones vote together: number, math, "
        "choice, code, exact or reasoning-gym (default: the one the policy was fitted with, "
        "without a policy number)",
    )
    _seed_option(parser)
    _model_options(parser, "the policy's, or lab:s")


def _run_solve(options: argparse.Namespace) -> None:
    from outthink.api import run
    from outthink.policy import as_json
    from outthink.policy.solve import solve
    from outthink.policy.table import Policy

    if options.policy is not None and options.strategy is not None:
        raise UsageError("--policy and --strategy both say how to think; give one")
    policy = None if options.policy is None else Policy.load(options.policy)
    kept = None if policy is None else policy.provenance.spec
    solving = solve(
        options.prompt,
        policy=policy,
        strategy=options.strategy,
        budget=options.budget,
        seed=options.seed,
        models=_models(options, kept),
        grader=options.grader,
    )
    outcome = run(solving)
    if options.json:
        return _print_json(as_json.solved(outcome))
    usage = outcome.usage
    _say(outcome.how)
    _say(
        f"{usage.generations} generations, {usage.decoded_tokens} tokens decoded, "
        f"{usage.verifier_tokens} read by the verifier\n"
    )
    text = outcome.text.strip("\n")
    print(f"{text}\n" if text else "", end="")
    return print(f"answer: {outcome.answer}" if outcome.answer else "no answer")


def _report(parser: _Parser) -> None:
    parser.description = (
        "Writes the report of a store as one page that needs nothing else. It shows what there\n"
        "is, also of a sweep that is not finished or failed in part, and says what is missing."
    )
    parser.add_argument("store", type=Path, metavar="STORE", help="what 'outthink sweep' made")
    _verifier_option(parser)
    _out_option(parser, "REPORT", "where the page goes (default: %(default)s)", "report.html")


def _run_report(options: argparse.Namespace) -> None:
    from outthink.jobs import report
    from outthink.policy import as_json

    outcome = report(
        options.store, options.out, command=options.command_line, verifier=options.verifier
    )
    if options.json:
        return _print_json(as_json.reported(outcome))
    _print_swept(outcome.accuracies)
    if outcome.fitting is not None:
        _print_policy(outcome.fitting)
    _print_notes(outcome.notes)
    return _say(f"\nreport: {options.out}")


def _convert(parser: _Parser) -> None:
    parser.description = (
        "Makes a store of the present format of one of format 2, in its place: nothing that was\n"
        "paid for is lost. The old one stays beside it, as STORE.format2."
    )
    parser.epilog = "Killed at any moment, the same command begins again; the store is as it was."
    parser.add_argument("store", type=Path, metavar="STORE", help="what 'outthink sweep' made")


def _run_convert(options: argparse.Namespace) -> None:
    from outthink.study.convert import convert

    kept = convert(options.store)
    if options.json:
        return _print_json({"store": str(options.store), "kept": str(kept)})
    return _say(f"store: {options.store}\nkept:  {kept}, which can be removed")


# train -------------------------------------------------------------------------------------------


def _train(kind: str, parser: _Parser) -> None:
    parser.description = {
        "prm": "Trains a verifier of every step: samples solutions, finds out by rollouts how\n"
        "often each of their prefixes ends right, and learns that.",
        "orm": "Trains a verifier of whole solutions: samples them, and learns which are right.",
        "revise": "Trains a model to revise: samples solutions, puts wrong ones before a right\n"
        "one, and learns to write that.",
    }[kind]
    use = "--reviser hf:DIR" if kind == "revise" else f"--verifier {kind}:DIR"
    parser.epilog = (
        "Killed at any moment, the same command goes on. DIR then holds a model of transformers\n"
        f"and a card that says how good it is; use it as {use}.\n\n"
        f"  outthink train {kind} problems.jsonl --model hf:my-model -o my-{kind}"
    )
    parser.set_defaults(stopped=_GOES_ON)
    parser.add_argument(
        "problems", metavar="PROBLEMS", help="as for 'outthink sweep'; those with a reference"
    )
    parser.add_argument(
        "--model", required=True, metavar="hf:NAME", help="whose solutions, and what is trained"
    )
    _out_option(parser, "DIR", "where everything goes")
    parser.add_argument(
        "--samples",
        type=_positive,
        default=64 if kind == "revise" else 16,
        metavar="N",
        help="samples a problem (default: %(default)s)",
    )
    if kind == "prm":
        parser.add_argument(
            "--rollouts",
            type=_positive,
            default=16,
            metavar="N",
            help="rollouts a prefix (default: %(default)s)",
        )
        parser.add_argument(
            "--family",
            default="trl",
            metavar="NAME",
            help="the family of PRMs that it becomes one of (default: %(default)s)",
        )
    if kind == "orm":
        parser.add_argument(
            "--chain",
            type=_positive,
            default=1,
            metavar="N",
            help="draw samples in chains of N revisions, and show the ORM the earlier answers: a "
            "verifier of revisions (default: %(default)s)",
        )
    parser.add_argument(
        "--sampler",
        metavar="NAME",
        help="who draws solutions, such as the address of a server that runs the same model faster "
        "(default: the model itself)",
    )
    parser.add_argument(
        "--lora",
        type=_whole,
        default=16,
        metavar="RANK",
        help="of the adapters that are trained; 0 trains all weights (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=_scale,
        metavar="X",
        help="learning rate (default: the paper's for all weights, ten times that for adapters)",
    )
    for name, default, help in (
        ("--batch", 128, "examples a step"),
        ("--rows", 8, "examples a forward pass, fewer where memory is short"),
        ("--epochs", 4, "most epochs; the end is found on held-out problems"),
        ("--most-tokens", 2048, "tokens of one solution, which is cut off there"),
    ):
        help = f"{help} (default: %(default)s)"
        parser.add_argument(name, type=_positive, default=default, metavar="N", help=help)
    _seed_option(parser)


def _run_train(kind: str, options: argparse.Namespace) -> None:
    from outthink.jobs import train

    outcome = train(
        kind,
        options.model,
        options.problems,
        options.out,
        samples=options.samples,
        rollouts=getattr(options, "rollouts", 1),
        family=getattr(options, "family", "trl"),
        chain=getattr(options, "chain", 1),
        sampler=options.sampler,
        lora=options.lora,
        rate=options.rate,
        batch=options.batch,
        rows=options.rows,
        epochs=options.epochs,
        most_tokens=options.most_tokens,
        seed=options.seed,
        command=options.command_line,
    )
    if options.json:
        return _print_json(outcome)
    return _print_table(
        ("figure", "value"),
        [
            (name, _number(value, 4) if isinstance(value, float) else str(value))
            for name, value in outcome.items()
        ],
    )


# lab ---------------------------------------------------------------------------------------------


def _lab_train(parser: _Parser) -> None:
    from outthink.lab import recipes

    parser.description = (
        "Trains every model of the lab from nothing: S, L, step labels by rollouts, PRM, ORM."
    )
    parser.epilog = "Killed at any moment, the same command goes on."
    parser.set_defaults(stopped="stopped; the same command goes on from here")
    _out_option(parser, "DIR", "where the weights go (default: %(default)s)", "runs/lab")
    for name, default, help in (
        ("--problems", recipes.LABELLED, "problems with step labels"),
        ("--samples", recipes.SAMPLES, "samples a problem"),
        ("--rollouts", recipes.ROLLOUTS, "rollouts a prefix"),
    ):
        help = f"{help} (default: %(default)s)"
        parser.add_argument(name, type=_positive, default=default, metavar="N", help=help)
    parser.add_argument(
        "--seed", type=_whole, default=recipes.SEED, metavar="S", help="default: %(default)s"
    )
    parser.add_argument(
        "--scale",
        type=_scale,
        default=1.0,
        metavar="X",
        help="share of the training steps, to try it out (default: 1)",
    )
    parser.add_argument(
        "--compile", action="store_true", help="twice as fast, needs a C++ compiler"
    )


def _run_lab_train(options: argparse.Namespace) -> None:
    from outthink.lab.build import Build, build

    models = build(
        Build(
            out=options.out,
            seed=options.seed,
            problems=options.problems,
            samples=options.samples,
            rollouts=options.rollouts,
            compiled=options.compile,
            scale=options.scale,
        ),
        _say,
    )
    names = ("s", "l", "prm", "orm", "reviser", "revision")
    facts = {name: models.facts(name) for name in names}
    if options.json:
        return _print_json({"weights": str(options.out), "models": facts})
    rows = [(name, known.get("loss"), known.get("seconds")) for name, known in facts.items()]
    return _print_table(("model", "loss", "seconds"), rows)


def _lab_facts(parser: _Parser) -> None:
    parser.description = (
        "Measures the lab's models on fresh test problems: accuracy of S and L, and how well the\n"
        "verifiers tell right from wrong. Another --seed asks problems that nobody has seen."
    )
    _problems_option(parser, 2000)
    _seed_option(parser)
    _weights_option(parser)


def _problems_option(parser: _Parser, default: int) -> None:
    parser.add_argument(
        "--problems",
        type=_positive,
        default=default,
        metavar="P",
        help="how many (default: %(default)s)",
    )


def _run_lab_facts(options: argparse.Namespace) -> None:
    from outthink.lab.facts import measure
    from outthink.lab.models import SHIPPED, LabModels
    from outthink.measure.difficulty import BINS

    if options.problems < BINS:
        raise UsageError(f"--problems {options.problems} for {BINS} bins; give at least {BINS}")
    models = LabModels(options.weights or SHIPPED)
    facts = measure(models, problems=options.problems, seed=options.seed)
    return _print_json(_facts(facts)) if options.json else _print_facts(facts)


def _facts(facts: Facts) -> dict[str, Any]:
    """Facts for the wire: plain shares, their 95 % intervals beside them."""
    ratio = facts.greedy_ratio
    return {
        "problems": facts.problems,
        "seed": facts.seed,
        "chance": facts.chance,
        "s": _model_facts(facts.s),
        "l": _model_facts(facts.l),
        "greedy_ratio": ratio if math.isfinite(ratio) else None,
        "prm": _fields(facts.prm),
        "orm": _fields(facts.orm),
        "revision": _revision_facts(facts.revision),
    }


def _revision_facts(revision: RevisionFacts) -> dict[str, Any]:
    return _fields(revision) | {
        "pass_at_1": [share.mean for share in revision.pass_at_1],
        "pass_at_1_intervals": [[share.low, share.high] for share in revision.pass_at_1],
        **{
            name: _fields(getattr(revision, name))
            for name in (
                "step_4_minus_step_1",
                "sequential",
                "parallel",
                "sequential_minus_parallel",
            )
        },
    }


def _model_facts(model: ModelFacts) -> dict[str, Any]:
    row = _fields(model)
    for name in ("greedy", "pass_at_1"):
        share: Interval = row[name]
        row |= {name: share.mean, f"{name}_interval": [share.low, share.high]}
    return row | {
        "bins": [share.mean for share in model.bins],
        "bins_intervals": [[share.low, share.high] for share in model.bins],
    }


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _print_facts(facts: Facts) -> None:
    print(f"{facts.problems} test problems of seed {facts.seed}, 95 % intervals\n")
    small, large = facts.s, facts.l
    rows: list[tuple[Any, ...]] = [
        ("parameters", f"{small.parameters:,}", f"{large.parameters:,}"),
        ("training tokens", f"{small.tokens:,}", f"{large.tokens:,}"),
        ("greedy", _between(small.greedy), _between(large.greedy)),
        ("pass@1", _between(small.pass_at_1), _between(large.pass_at_1)),
    ]
    ends = {0: " (easiest)", len(small.bins) - 1: " (hardest)"}
    for at, (first, second) in enumerate(zip(small.bins, large.bins, strict=True)):
        rows.append((f"  bin {at + 1}{ends.get(at, '')}", _between(first), _between(second)))
    _print_table(("model", "S", "L"), rows)
    print(
        f"\ngreedy, L over S: {_number(facts.greedy_ratio, 2)}     guessing: {facts.chance:.3%}\n"
    )
    names = {
        "auc": "AUC, step is right",
        "ece": "calibration error, will end right",
        "final_auc": "AUC, last step",
        "final_ece": "calibration error, last step",
    }
    columns = [
        (label, *(_number(getattr(verifier, name), 3) for verifier in (facts.prm, facts.orm)))
        for name, label in names.items()
    ]
    _print_table(("verifier", "PRM", "ORM"), columns)
    _print_revision(facts.revision)


def _print_revision(facts: RevisionFacts) -> None:
    print()
    steps = [step for step in (1, 2, 4, 8, 16, 32, 64) if step <= len(facts.pass_at_1)]
    rows = [
        (f"pass@1 at step {step} of a chain", _between(facts.pass_at_1[step - 1])) for step in steps
    ]
    length = len(facts.pass_at_1)
    rows += [
        ("step 4 - step 1", _between(facts.step_4_minus_step_1)),
        ("right turned wrong", f"{facts.turned_wrong:.1%}"),
        ("wrong turned right", f"{facts.turned_right:.1%}"),
        (f"chain of {length}, verifier", _between(facts.sequential)),
        (f"{length} in parallel, verifier", _between(facts.parallel)),
        ("sequential - parallel", _between(facts.sequential_minus_parallel)),
    ]
    _print_table(("revisions", ""), rows)


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _between(share: Interval) -> str:
    return _accuracy(share.mean, share.low, share.high)


# exchange ----------------------------------------------------------------------------------------


def _exchange(parser: _Parser) -> None:
    parser.description = (
        "Answers one question about two measured models: with this much use ahead, buy the\n"
        "larger one, or let the smaller one think longer? Both at equal FLOPs, pretraining\n"
        "included; the larger one answers once, greedily."
    )
    parser.epilog = (
        "R is tokens written in the model's life over tokens it was pretrained on.\n\n"
        "  outthink sweep 'lab:test?size=500' -o small.store\n"
        "  outthink sweep 'lab:test?size=500' -o large.store --model lab:l --verifier none \\\n"
        "    --strategies greedy --budgets 1 --oracle-samples 0\n"
        "  outthink exchange small.store large.store --ratios 0.16,0.79,22"
    )
    parser.add_argument("small", type=Path, metavar="SMALL", help="a store of the smaller model")
    parser.add_argument(
        "large", type=Path, metavar="LARGE", help="a store of the larger one, with greedy in it"
    )
    parser.add_argument(
        "--ratios",
        type=_ratios,
        default="0.16,0.79,22",
        metavar="R,R",
        help="R to compare at (default: the paper's, %(default)s)",
    )
    parser.add_argument(
        "--size-ratio",
        type=_ratio,
        metavar="M",
        help="the larger model's parameters over the smaller one's (default: as the stores say)",
    )
    parser.add_argument(
        "--accounting",
        choices=("v1", "iclr", "charged"),
        default="charged",
        help="who pays for the verifier: nobody, both, or who uses it (default: %(default)s)",
    )
    parser.add_argument(
        "--strategy",
        type=_strategy,
        metavar="A",
        help="what the smaller model does (default: the policy fitted on its store)",
    )


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _ratios(text: str) -> tuple[float, ...]:
    return tuple(_ratio(part) for part in text.split(","))


def _run_exchange(options: argparse.Namespace) -> None:
    from outthink.jobs import exchange
    from outthink.measure.exchange import CHARGED, ICLR, V1

    compared = exchange(
        options.small,
        options.large,
        token_ratios=options.ratios,
        size_ratio=options.size_ratio,
        accounting={rule.name: rule for rule in (V1, ICLR, CHARGED)}[options.accounting],
        strategy=options.strategy,
    )
    if options.json:
        return _print_json(compared)
    print(
        f"{compared['problems']} problems; {compared['small']}, {compared['strategy']}, against "
        f"{compared['large']}, greedy, {compared['size_ratio']:.1f} times as large\n"
    )
    rows = [
        (
            "all" if row["bin"] is None else f"bin {row['bin']}",
            f"{row['R']:g}",
            "-" if row["budget"] is None else str(row["budget"]),
            "-" if row["small"] is None else f"{row['small']:.1%}",
            f"{row['large']:.1%}",
            "-"
            if row["difference"] is None
            else f"{row['difference']:+.1%} [{row['low']:+.1%}, {row['high']:+.1%}]",
            _better(row),
        )
        for row in compared["comparisons"]
    ]
    _print_table(("problems", "R", "budget", "small", "large", "difference", "better buy"), rows)
    print()
    ends = [
        (
            "all" if row["bin"] is None else f"bin {row['bin']}",
            "-" if row["k_star"] is None else f"{row['k_star']:.1f}",
            _until(row),
            f"{_until(row['low'])} to {_until(row['high'])}",
        )
        for row in compared["crossovers"]
    ]
    _print_table(("problems", "k*", "small is better", "95 % interval"), ends)
    for note in dict.fromkeys(row["note"] for row in compared["comparisons"] if row["note"]):
        _say(note)


def _better(row: dict[str, Any]) -> str:
    if row["difference"] is None or row["low"] <= 0 <= row["high"]:
        return "undecided" if row["budget"] is not None else "large"
    return "small" if row["low"] > 0 else "large"


def _until(row: dict[str, Any]) -> str:
    ratio = row["R_star"]
    return row["verdict"] if ratio is None else f"R < {ratio:.3g}"


# bench -------------------------------------------------------------------------------------------


def _bench_strategies(parser: _Parser) -> None:
    parser.description = (
        "Compares the strategies on fresh test problems of the lab, with paired intervals."
    )
    parser.epilog = "With --store, the same command goes on where it was killed."
    parser.set_defaults(stopped="stopped; with --store, the same command would go on from here")
    _problems_option(parser, 2000)
    parser.add_argument("--store", type=Path, metavar="STORE", help="keep everything here")
    _weights_option(parser)
    _plan_options(parser, pool=64, oracle=64, difficulty=0)


def _run_bench_strategies(options: argparse.Namespace) -> None:
    from outthink.bench.engine import strategies
    from outthink.study.models import Models
    from outthink.study.sweep import Sweep

    if options.store:
        options.stopped = _GOES_ON
    problems = f"lab:test?size={options.problems}&seed={options.seed}"
    models = Models(weights=options.weights)
    asked = Sweep(problems, _plan(options, models), models, options.seed)
    outcome = strategies(asked, store=options.store)
    if options.json:
        return _print_json(outcome)
    told = [(row["strategy"], row["budget"], _cell(row)) for row in outcome["rows"]]
    _print_accuracies(outcome["graded"], told)
    if any("bins" in row for row in outcome["rows"]):
        print("\naccuracy in % by difficulty bin, easiest first")
        rows = [
            (row["strategy"], row["budget"], *(f"{100 * share:.1f}" for share in row["bins"]))
            for row in outcome["rows"]
        ]
        _print_table(("strategy", "N", *(f"bin {number}" for number in range(1, 6))), rows)
    if outcome["pairs"]:
        print("\ndifference in points, same problems, 95 % interval")
        rows = [
            (
                f"{pair['a']} - {pair['b']}",
                pair["budget"],
                "all" if pair["bins"] is None else "-".join(map(str, pair["bins"])),
                _points(pair["difference"], pair["low"], pair["high"]),
            )
            for pair in outcome["pairs"]
        ]
        _print_table(("pair", "N", "bins", "difference"), rows)
    return None


def _bench_engine(parser: _Parser) -> None:
    parser.description = (
        "Measures the lab's engines on this machine: share of time in the models, tokens a\n"
        "second, memory of a large pool, and the store. Wants the machine to itself."
    )
    _problems_option(parser, 500)
    parser.add_argument(
        "--pool",
        type=_positive,
        default=2048,
        metavar="N",
        help="samples a problem of the large pool (default: %(default)s)",
    )
    _weights_option(parser)


def _run_bench_engine(options: argparse.Namespace) -> None:
    from outthink.bench.engine import engine

    outcome = engine(problems=options.problems, pool=options.pool, weights=options.weights)
    if options.json:
        return _print_json(outcome)
    rows = [
        (name, f"{value:,}" if isinstance(value, int) else value) for name, value in outcome.items()
    ]
    return _print_table(("figure", "value"), rows)


def _bench_served(parser: _Parser) -> None:
    from outthink.bench.served import Load

    default = Load("reasoning-gym:gsm_symbolic?size=50&seed=1")
    parser.description = (
        "Measures how much of a model server's speed searches get: tokens a second of best-of-N\n"
        "through the driver and of a bare client that sends the same requests, turn by turn; beam\n"
        "search of all problems at once and of one after the other; and the share of prompts that\n"
        "the server had in its prefix cache, by its own metrics. Works with whatever server\n"
        "'outthink doctor' says runs every search. Scores are made up, tokens are not."
    )
    parser.epilog = (
        "Wants a server that does nothing else, and that has not seen these problems yet.\n\n"
        "  outthink bench served http://localhost:8000\n"
        "  outthink bench served http://localhost:8000 --problems gsm8k.jsonl --budget 64"
    )
    parser.add_argument("url", metavar="URL", help="its address, with #MODEL where it has several")
    parser.add_argument(
        "--problems",
        default=default.problems,
        metavar="PROBLEMS",
        help="as for 'outthink sweep' (default: %(default)s)",
    )
    parser.add_argument(
        "--beam",
        type=_strategy,
        default=default.beam,
        metavar="A",
        help="the search by steps, such as 'beam(width=2)' (default: %(default)s)",
    )
    for name, given, help in (
        ("--budget", default.budget, "generations a problem"),
        ("--repeats", default.repeats, "pairs of a run through the driver and a bare one"),
        ("--concurrency", default.concurrency, "requests in flight"),
        ("--most-tokens", default.most_tokens, "tokens of one solution"),
    ):
        help = f"{help} (default: %(default)s)"
        parser.add_argument(name, type=_positive, default=given, metavar="N", help=help)
    parser.add_argument(
        "--step-end",
        type=_unescaped,
        default=default.step_end,
        metavar="TEXT",
        help="what a step of a beam search ends with, as in '\\n' (default: an empty line)",
    )
    parser.add_argument("-o", "--out", type=Path, metavar="FILE", help="write the JSON here too")
    _seed_option(parser)


def _run_bench_served(options: argparse.Namespace) -> None:
    from outthink.bench.served import Load, served
    from outthink.study.sweep import make_place

    names = ("problems", "budget", "beam", "repeats", "concurrency", "most_tokens", "step_end")
    load = Load(**{name: getattr(options, name) for name in names}, seed=options.seed)
    if options.out:
        make_place(options.out)
    outcome = served(options.url, load)
    if options.out:
        options.out.write_text(json.dumps(outcome, indent=1, allow_nan=False) + "\n", "utf-8")
    if options.json:
        return _print_json(outcome)
    pairs, beam = outcome["best_of_n"], outcome["beam_search"]
    print(
        f"{outcome['server']}, {outcome['model']}; {outcome['count']} problems, "
        f"{load.budget} generations each, {load.concurrency} requests in flight\n"
    )
    runs = [
        (f"best-of-N, {name}, {number}", pair[name])
        for number, pair in enumerate(pairs["pairs"], 1)
        for name in ("driver", "bare")
    ]
    runs += [("beam, all at once", beam["together"]), ("beam, one by one", beam["one_by_one"])]
    _print_table(
        ("run", "seconds", "requests", "tokens", "tokens/s"),
        [
            (
                name,
                f"{run['seconds']:.1f}",
                run["requests"],
                run["decoded_tokens"],
                f"{run['decoded_tokens_per_second']:.1f}",
            )
            for name, run in runs
        ],
    )
    share = beam["prefix_cache_hit_share"]
    print()
    return _print_table(
        ("figure", "value"),
        [
            (
                "driver / bare client, best-of-N, tokens a second: median [lowest, highest]",
                f"{pairs['driver_over_bare']:.3f} [{pairs['low']:.3f}, {pairs['high']:.3f}]",
            ),
            ("beam, all at once: times faster than one by one", f"{beam['times_faster']:.2f}"),
            (
                "beam, all at once: share of prompts in the prefix cache",
                "not told" if share is None else f"{share:.3f}",
            ),
        ],
    )


# reproduce ---------------------------------------------------------------------------------------


def _reproduce(parser: _Parser) -> None:
    from outthink.paper.evidence import FULL, QUICK

    parser.description = (
        "Measures everything Snell et al. 2024 show, on the lab's models: searches against a\n"
        "verifier, revisions, policies by difficulty, the exchange with a larger model and the\n"
        "ablations. Judges the claims made about it by rules fixed beforehand, and writes it all\n"
        "as one HTML page."
    )
    parser.epilog = (
        "Killed at any moment, the same command goes on and pays for nothing twice. Given again,\n"
        "it only reads, and writes the same page."
    )
    parser.set_defaults(stopped=_GOES_ON)
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK.problems} problems instead of {FULL.problems}, and smaller budgets",
    )
    _out_option(parser, "REPORT", "where the page goes (default: %(default)s)", "reproduction.html")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("runs/reproduce"),
        metavar="DIR",
        help="where everything is kept (default: %(default)s)",
    )
    _seed_option(parser)
    _weights_option(parser)


def _run_reproduce(options: argparse.Namespace) -> None:
    from outthink.jobs import reproduce
    from outthink.paper.evidence import FULL, QUICK

    began = time.monotonic()
    outcome = reproduce(
        QUICK if options.quick else FULL,
        seed=options.seed,
        weights=options.weights,
        folder=options.folder,
        out=options.out,
        command=options.command_line,
    )
    if options.json:
        return _print_json(outcome)
    print(f"claims, judged on {outcome['problems']} problems")
    _print_table(
        ("claim", "verdict"), [(claim["id"], claim["verdict"]) for claim in outcome["claims"]]
    )
    print(
        "\nthe compute-optimal policies, difficulty charged: how many times their cost the others\n"
        "would need to be as good (CEF)"
    )
    rows = [
        (row["axis"], row["budget"], f"{row['cost']:g}", row["against"], _cef(row))
        for row in outcome["cef"]
        if row["charged"]
    ]
    _print_table(("axis", "N", "cost", "against", "CEF"), rows)
    return _say(
        f"\nreport:  {outcome['report']}     (open it in a browser)\n"
        f"stores:  {options.folder}     {time.monotonic() - began:.0f} s in all"
    )


def _bench_grader(parser: _Parser) -> None:
    parser.description = (
        "Measures how often a grader agrees with verdicts that others published, and prints every\n"
        "disagreement, so that each can be judged. With --grader code it also takes the files of\n"
        "HumanEval and MBPP as published, whose own solutions have to pass."
    )
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="JSON Lines: 'reference', 'right' (true or false), and 'solution' or 'answer'",
    )
    parser.add_argument(
        "--grader", default="math", metavar="NAME", help="its name (default: %(default)s)"
    )


def _run_bench_grader(options: argparse.Namespace) -> None:
    from outthink.grade import agreement, grading
    from outthink.run.progress import Progress

    grader = grading(options.grader)
    solutions = list(agreement.read(options.file, grader))
    with Progress("grading", len(solutions), "solutions") as bar:
        outcome = agreement.agreement(solutions, grader, advance=bar.advance)
    if options.json:
        return _print_json(agreement.summary(outcome))
    for line in agreement.report(outcome):
        print(line)
    return None


# What options are read as ------------------------------------------------------------------------


def _unescaped(text: str) -> str:
    """With \\n for the end of a line: a shell makes it hard to give one."""
    delimiter = text.replace("\\n", "\n")
    if not delimiter:
        raise argparse.ArgumentTypeError("nothing ends no step; give some text")
    return delimiter


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1; give at least 1")
    return number


def _scale(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (0 < number < math.inf):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _price(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (0 <= number < math.inf):
        raise argparse.ArgumentTypeError(f"{text!r} is not a price; give 0 or more")
    return number


def _budgets(text: str) -> tuple[int, ...]:
    """`1,4,16` or `1..64`, which is every power of two in between."""
    if ".." in text:
        first, _, last = text.partition("..")
        low, high = _positive(first), _positive(last)
        powers = [2**power for power in range(high.bit_length()) if low <= 2**power <= high]
        if not powers:
            raise argparse.ArgumentTypeError(f"{text!r} holds no power of two")
        return tuple(powers)
    return tuple(sorted({_positive(part) for part in text.split(",")}))


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

    try:
        return strategy(text).name
    except UsageError as error:  # argparse hides what a ValueError says
        raise argparse.ArgumentTypeError(str(error)) from None


# Printing ----------------------------------------------------------------------------------------


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _print_json(value: Any) -> None:
    print(json.dumps(value, allow_nan=False))


def _print_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns as wide as they need to be; the first to the left, the others to the right."""
    cells = [[*map(str, row)] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for first, *others in cells:
        line = first.ljust(widths[0])
        for cell, width in zip(others, widths[1:], strict=True):
            line += "  " + cell.rjust(width)
        print(line.rstrip())


def _print_swept(accuracies: Accuracies) -> None:
    told = [(row.strategy, row.budget, _between(row.accuracy)) for row in accuracies.rows]
    _print_accuracies(accuracies.graded, told)
    if any(row.bounds for row in accuracies.rows):
        bounds = [
            (row.strategy, row.budget, "{} to {}".format(*map(_percent, row.bounds or ())))
            for row in accuracies.rows
        ]
        print("\nthe same over all problems, were those left out all wrong, and all right")
        _print_cells(bounds)
    if accuracies.verifiers:
        _print_verifiers(accuracies.verifiers)


def _print_verifiers(compared: Sequence[VerifierQuality]) -> None:
    print("\nverifiers side by side, on the same samples")
    budgets = compared[0].budgets
    rows = [
        (one.verifier, how, _number(one.auc, 3), *map(_between, values))
        for one in compared
        for how, values in (("weighted", one.weighted), ("plain", one.plain))
    ]
    _print_table(("verifier", "best-of-N", "AUC", *(f"N = {budget}" for budget in budgets)), rows)


def _print_notes(notes: Sequence[str]) -> None:
    """What must be known of the tables above, where they are read."""
    for note in notes:
        print(f"\nnote: {note}")


def _print_accuracies(graded: int, told: Sequence[tuple[str, int, str]]) -> None:
    """Strategies down, budgets across; what was not run at a budget is a dash."""
    if not told:
        return
    print(f"accuracy in % on {graded} problems, 95 % interval")
    _print_cells(told)


def _print_cells(told: Sequence[tuple[str, int, str]]) -> None:
    budgets = list(dict.fromkeys(budget for _, budget, _ in told))
    cells = {(name, budget): cell for name, budget, cell in told}
    _print_table(
        ("strategy", *(f"N = {budget}" for budget in budgets)),
        [
            (name, *(cells.get((name, budget), "-") for budget in budgets))
            for name in dict.fromkeys(name for name, _, _ in told)
        ],
    )


def _print_policy(fitted: FitResult) -> None:
    """What a policy does, and what that is worth."""
    print("\nthe policy; accuracy in % on problems that it was not fitted on, 95 % interval")
    shown, rows, last = 0, [], fitted.policy.binning.count
    for cell in fitted.policy.cells:
        number = cell.bin + 1
        ends = {1: "1 (easiest)", last: f"{last} (hardest)"} if last > 1 else {1: "all"}
        name = ends.get(number, str(number)) if number != shown else ""
        shown = number
        rows.append((name, cell.budget, cell.strategy, _between(cell.accuracy)))
    _print_table(("difficulty bin", "N", "strategy", "accuracy"), rows)
    print(
        f"\nthe policy against {fitted.base} at the same cost: accuracy in %, difference in\n"
        f"points, and the times its own cost that {fitted.base} needs to be as good (CEF)"
    )
    compared = [
        (
            _BINS[row.bins.value, row.charged],
            row.budget,
            f"{row.equivalence.cost:g}",
            f"{100 * row.accuracy.mean:.1f}",
            f"{100 * row.best_of_n:.1f}",
            _points(row.difference.mean, row.difference.low, row.difference.high),
            _factor(row),
        )
        for row in fitted.versus_baseline
    ]
    _print_table(("bins", "N", "cost", "policy", fitted.base, "difference", "CEF"), compared)


_BINS = {
    ("predicted", False): "predicted",
    ("predicted", True): "predicted, charged",
    ("votes", False): "predicted by votes",
    ("votes", True): "by votes, charged",
    ("oracle", False): "oracle (upper bound)",
}


def _cell(row: dict[str, Any]) -> str:
    return _accuracy(row["accuracy"], row["low"], row["high"])


def _accuracy(mean: float, low: float, high: float) -> str:
    return f"{_percent(mean).lstrip()} [{_percent(low)}, {_percent(high)}]"


def _percent(share: float) -> str:
    """Four characters wide."""
    return " 100" if share == 1 else f"{100 * share:4.1f}"


def _points(mean: float, low: float, high: float) -> str:
    return f"{100 * mean:+.1f} [{100 * low:+5.1f}, {100 * high:+5.1f}]"


def _factor(row: VersusBaseline) -> str:
    factor = row.equivalence
    high = None if factor.high_at_least else factor.high
    return _cef(
        {"factor": factor.factor, "low": factor.low, "high": high, "at_least": factor.at_least}
    )


def _cef(row: dict[str, Any]) -> str:
    """`>` where best-of-N never got there; an upper end nobody measured is open."""
    high = "   -" if row["high"] is None else f"{row['high']:4.2f}"
    return f"{'>' if row['at_least'] else ''}{row['factor']:.2f} [{row['low']:4.2f}, {high}]"


__all__ = ["main"]
