"""The command line: parse, call, print. Results go to standard output, talk to standard error."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from outthink.errors import OutthinkError, RunError, UsageError
from outthink.version import VERSION


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print a usage page and leave."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see '{self.prog} --help'")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0 is success, 1 a failure at run time, 2 a mistake in what was asked."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        options = _parser().parse_args(words)
        if options.run is None:
            raise UsageError(f"no command given; see '{options.prog} --help'")
        options.command_line = shlex.join(["outthink", *words])
        options.run(options)
    except OutthinkError as error:
        if debug:
            raise
        print(f"outthink: {error}", file=sys.stderr)
        return error.exit_code
    except (OSError, sqlite3.Error, MemoryError) as error:
        if debug:
            raise
        print(f"outthink: {type(error).__name__}: {error} (--debug shows where)", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("outthink: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="outthink",
        description="Finds, for each question and each compute budget, how a language model "
        "should think: sample, verify, search.",
        epilog="Every command takes --json (one object on standard output) and --debug (a "
        "traceback instead of one line).",
    )
    parser.add_argument("--version", action="version", version=f"outthink {VERSION}")
    parser.set_defaults(run=None, prog="outthink")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _demo(commands)
    _sweep(commands)
    _fit(commands)
    _solve(commands)
    _report(commands)
    _lab(commands)
    _bench(commands)
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], *, help: str, epilog: str
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)
    return parser


def _group(commands: Any, name: str, help: str) -> Any:
    parser = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
    parser.set_defaults(prog=f"outthink {name}")
    return parser.add_subparsers(title="commands", metavar="COMMAND")


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return number


def _budgets(text: str) -> tuple[int, ...]:
    """`1,4,16` or `1..64`, which is every power of two in between."""
    if ".." in text:
        first, _, last = text.partition("..")
        low, high = _positive(first), _positive(last)
        found = [2**power for power in range(high.bit_length() + 1) if low <= 2**power <= high]
        if not found:
            raise argparse.ArgumentTypeError(f"{text!r} holds no power of two")
        return tuple(found)
    return tuple(sorted({_positive(part) for part in text.split(",")}))


def _strategies(text: str) -> tuple[str, ...]:
    """Names separated by commas outside parentheses."""
    from outthink.search import strategy

    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return tuple(strategy(part).name for part in parts)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _print_json(value: Any) -> None:
    print(json.dumps(value, allow_nan=False))


# demo, sweep, fit, solve, report -----------------------------------------------------------------


def _plan_options(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    from outthink.study import STRATEGIES, Plan

    plan = Plan()
    parser.add_argument(
        "--strategies",
        type=_strategies,
        default=STRATEGIES,
        metavar="A,B",
        help=f"what to compare (default: {','.join(STRATEGIES)})",
    )
    parser.add_argument(
        "--budgets",
        type=_budgets,
        default=defaults.get("budgets", plan.budgets),
        metavar="N,N",
        help="generations a problem, as 1,4,16 or 1..64 (default: %(default)s)",
    )
    parser.add_argument(
        "--pool",
        type=_positive,
        default=defaults.get("pool", plan.pool),
        metavar="N",
        help="samples a problem for best-of-N and majority (default: %(default)s)",
    )
    parser.add_argument(
        "--oracle-samples",
        type=_whole,
        default=defaults.get("oracle_samples", plan.oracle_samples),
        metavar="N",
        help="samples a problem for oracle difficulty, 0 for none (default: %(default)s; the "
        "paper takes 2048)",
    )
    parser.add_argument(
        "--difficulty-samples",
        type=_whole,
        default=plan.predicted_samples,
        metavar="K",
        help="samples a problem for predicted difficulty, which are charged (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=_whole, default=0, metavar="S", help="fixes every draw (default: 0)"
    )


def _plan(options: argparse.Namespace) -> Any:
    from outthink.study import Plan

    return Plan(
        strategies=options.strategies,
        budgets=options.budgets,
        pool=max(options.pool, options.budgets[-1]),
        oracle_samples=options.oracle_samples,
        predicted_samples=options.difficulty_samples,
    )


def _demo(commands: Any) -> None:
    parser = _command(
        commands,
        "demo",
        _run_demo,
        help="run the paper's main job on the lab's models and write report.html",
        epilog="Samples, verifies, searches, estimates difficulty, fits the compute-optimal policy "
        "by\ntwo-fold cross-validation and compares it with best-of-N. Takes about two minutes.",
    )
    parser.add_argument(
        "--problems", type=_positive, default=200, metavar="P", help="default: %(default)s"
    )
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("report.html"), help="default: %(default)s"
    )
    parser.add_argument(
        "--store", type=Path, default=None, help="keep everything here (default: runs/demo.store)"
    )
    parser.add_argument("--seed", type=_whole, default=0, metavar="S", help="default: 0")


def _run_demo(options: argparse.Namespace) -> None:
    from outthink.jobs import demo

    began = time.monotonic()
    store = options.store or Path("runs") / "demo.store"
    outcome = demo(
        problems=options.problems,
        seed=options.seed,
        store=store,
        out=options.out,
        command=options.command_line,
    )
    outcome = {**outcome, "seconds": round(time.monotonic() - began, 1)}
    if options.json:
        _print_json(outcome)
    else:
        _print_outcome(outcome)
        _say(f"report: {options.out}   everything: {store}   {outcome['seconds']:.0f} s")


def _sweep(commands: Any) -> None:
    parser = _command(
        commands,
        "sweep",
        _run_sweep,
        help="run strategies at budgets over problems, into a store",
        epilog="PROBLEMS is a JSON Lines file of objects with 'prompt' and, where known, "
        "'reference' and 'id',\nor lab:test?size=200&seed=0 (streams: test, calibration, train).\n"
        "Killed at any moment, the same command goes on and pays for nothing twice.",
    )
    parser.add_argument("problems", metavar="PROBLEMS")
    parser.add_argument("-o", "--store", type=Path, required=True, metavar="STORE")
    _model_options(parser)
    _plan_options(parser)


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="lab:s", help="proposer: lab:s or lab:l (default: %(default)s)"
    )
    parser.add_argument(
        "--verifier", default="lab:prm", help="lab:prm, lab:orm or none (default: %(default)s)"
    )
    parser.add_argument(
        "--weights", type=Path, default=None, metavar="DIR", help="lab weights of your own"
    )


def _run_sweep(options: argparse.Namespace) -> None:
    from outthink.jobs import sweep

    outcome = sweep(
        options.problems,
        plan=_plan(options),
        store=options.store,
        model=options.model,
        verifier=options.verifier,
        weights=options.weights,
        seed=options.seed,
    )
    if options.json:
        _print_json(outcome)
    else:
        _print_outcome(outcome)
        _say(f"next: outthink fit {options.store} -o policy.json")


def _fit(commands: Any) -> None:
    parser = _command(
        commands,
        "fit",
        _run_fit,
        help="fit the compute-optimal policy on a store",
        epilog="Difficulty is predicted without labels; strategies are chosen per bin and budget "
        "and scored\nby two-fold cross-validation inside the bins.",
    )
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="POLICY")


def _run_fit(options: argparse.Namespace) -> None:
    from outthink.jobs import fit

    outcome = fit(options.store, options.out)
    if options.json:
        _print_json(outcome)
    else:
        _print_outcome(outcome)


def _solve(commands: Any) -> None:
    parser = _command(
        commands,
        "solve",
        _run_solve,
        help="solve one problem with a policy or a strategy",
        epilog="outthink solve '40713 *7 *13' --policy policy.json --budget 16\n"
        "outthink solve '40713 *7 *13' --strategy 'beam(width=4)' --budget 16",
    )
    parser.add_argument("prompt", metavar="PROBLEM")
    parser.add_argument("--policy", type=Path, default=None)
    parser.add_argument("--strategy", default=None)
    parser.add_argument("--budget", type=_positive, default=16, help="default: %(default)s")
    parser.add_argument("--seed", type=_whole, default=0, metavar="S", help="default: 0")
    _model_options(parser)


def _run_solve(options: argparse.Namespace) -> None:
    from outthink.jobs import solve

    if options.policy is not None and options.strategy is not None:
        raise UsageError("--policy and --strategy both say how to think; give one")
    outcome = solve(
        options.prompt,
        policy=options.policy,
        strategy=options.strategy,
        budget=options.budget,
        seed=options.seed,
        model=options.model,
        verifier=options.verifier,
        weights=options.weights,
    )
    if options.json:
        _print_json(outcome)
    else:
        _say(outcome["how"])
        print(outcome["text"], end="")
        print(f"answer: {outcome['answer']}")


def _report(commands: Any) -> None:
    parser = _command(
        commands,
        "report",
        _run_report,
        help="write the report of a store as one self-contained page",
        epilog="",
    )
    parser.add_argument("store", type=Path, metavar="STORE")
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("report.html"), help="default: %(default)s"
    )


def _run_report(options: argparse.Namespace) -> None:
    from outthink.jobs import report

    outcome = report(options.store, options.out, command=options.command_line)
    if options.json:
        _print_json(outcome)
    else:
        _print_outcome(outcome)
        _say(f"report: {options.out}")


# lab, bench ----------------------------------------------------------------------------------------


def _lab(commands: Any) -> None:
    group = _group(commands, "lab", "the built-in world: train its models, measure them")
    from outthink.lab import recipes

    parser = _command(
        group,
        "train",
        _run_lab_train,
        help="train every model of the lab from nothing",
        epilog="Killed at any moment, the same command goes on.",
    )
    parser.add_argument(
        "-o", "--out", type=Path, default=Path("runs/lab"), help="default: %(default)s"
    )
    parser.add_argument("--seed", type=_whole, default=recipes.SEED, help="default: %(default)s")
    parser.add_argument(
        "--problems",
        type=_positive,
        default=recipes.LABELLED,
        help="problems with step labels (default: %(default)s)",
    )
    parser.add_argument(
        "--samples",
        type=_positive,
        default=recipes.SAMPLES,
        help="samples a problem (default: %(default)s)",
    )
    parser.add_argument(
        "--rollouts",
        type=_positive,
        default=recipes.ROLLOUTS,
        help="rollouts a prefix (default: %(default)s)",
    )
    parser.add_argument(
        "--compile", action="store_true", help="twice as fast, needs a C++ compiler"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the training steps, to try it out"
    )

    parser = _command(
        group,
        "facts",
        _run_lab_facts,
        help="measure the lab's models on fresh test problems",
        epilog="",
    )
    parser.add_argument("--seed", type=_whole, default=0, help="default: %(default)s")
    parser.add_argument("--problems", type=_positive, default=2000, help="default: %(default)s")
    parser.add_argument("--weights", type=Path, default=None, metavar="DIR")


def _run_lab_train(options: argparse.Namespace) -> None:
    from outthink.lab.build import Build, build

    if options.scale <= 0:
        raise UsageError(f"--scale {options.scale} is not above 0")
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
    facts = {name: models.facts(name) for name in ("s", "l", "prm", "orm")}
    if options.json:
        _print_json({"weights": str(options.out), "models": facts})
    else:
        for name, known in facts.items():
            print(f"{name:<4} loss {known['loss']}  {known['seconds']} s")


def _run_lab_facts(options: argparse.Namespace) -> None:
    from outthink.lab.facts import measure
    from outthink.lab.models import SHIPPED, LabModels

    facts = measure(
        LabModels(options.weights or SHIPPED), problems=options.problems, seed=options.seed
    )
    value = asdict(facts)
    if options.json:
        _print_json(value)
        return
    for name, model in (("S", facts.s), ("L", facts.l)):
        print(f"{name}    {model.parameters:,} parameters, {model.tokens:,} tokens")
        for label, found in (
            ("greedy", model.greedy),
            ("pass@1", model.pass_at_1),
            *((f"bin {at + 1}", found) for at, found in enumerate(model.bins)),
        ):
            print(
                f"     {label:<7} {_share(found.mean)} [{_share(found.low)}, {_share(found.high)}]"
            )
    print(f"L / S greedy {facts.greedy_ratio:.2f}   guessing {_share(facts.chance)}")
    for name, verifier in (("PRM", facts.prm), ("ORM", facts.orm)):
        print(
            f"{name}  AUC {verifier.auc:.3f}  calibration error {verifier.ece:.3f}  "
            f"(last step: AUC {verifier.final_auc:.3f}, calibration error {verifier.final_ece:.3f})"
        )
    print(f"on {facts.problems} test problems of seed {facts.seed}")


def _bench(commands: Any) -> None:
    group = _group(commands, "bench", "measure strategies and engine speed")
    parser = _command(
        group,
        "strategies",
        _run_bench_strategies,
        help="compare the strategies on fresh lab problems, with paired intervals",
        epilog="",
    )
    parser.add_argument("--problems", type=_positive, default=2000, help="default: %(default)s")
    parser.add_argument("--store", type=Path, default=None, help="keep everything here")
    parser.add_argument("--weights", type=Path, default=None, metavar="DIR")
    _plan_options(parser, pool=64, oracle_samples=64)
    parser = _command(
        group,
        "engine",
        _run_bench_engine,
        help="measure the lab's engines: speed, memory, share of time in the models",
        epilog="",
    )
    parser.add_argument("--problems", type=_positive, default=500, help="default: %(default)s")
    parser.add_argument("--pool", type=_positive, default=2048, help="default: %(default)s")
    parser.add_argument("--weights", type=Path, default=None, metavar="DIR")


def _run_bench_strategies(options: argparse.Namespace) -> None:
    from outthink.bench import strategies

    outcome = strategies(
        plan=_plan(options),
        problems=options.problems,
        seed=options.seed,
        store=options.store,
        weights=options.weights,
    )
    if options.json:
        _print_json(outcome)
    else:
        _print_outcome(outcome)


def _run_bench_engine(options: argparse.Namespace) -> None:
    from outthink.bench import engine

    outcome = engine(problems=options.problems, pool=options.pool, weights=options.weights)
    if options.json:
        _print_json(outcome)
    else:
        for name, value in outcome.items():
            print(f"{name:<48} {value}")


# printing ------------------------------------------------------------------------------------------


def _share(value: float) -> str:
    return f"{100 * value:.1f} %" if value >= 0.001 or value == 0 else f"{100 * value:.3f} %"


def _print_outcome(outcome: dict[str, Any]) -> None:
    """The tables of an outcome, whichever it has."""
    if rows := outcome.get("rows"):
        budgets = sorted({row["budget"] for row in rows})
        names = list(dict.fromkeys(row["strategy"] for row in rows))
        cells = {(row["strategy"], row["budget"]): row for row in rows}
        width = max(len(name) for name in names) + 2
        print(f"accuracy on {outcome['problems']} problems, 95 % interval")
        print(" " * width + "".join(f"{'N = ' + str(budget):>22}" for budget in budgets))
        for name in names:
            line = f"{name:<{width}}"
            for budget in budgets:
                row = cells.get((name, budget))
                line += f"{_cell(row):>22}" if row else " " * 22
            print(line)
    for pair in outcome.get("pairs", ()):
        where = f" in bins {pair['bins']}" if pair.get("bins") else ""
        print(
            f"{pair['a']} - {pair['b']} at {pair['budget']}{where}: "
            f"{100 * pair['difference']:+.1f} points "
            f"[{100 * pair['low']:+.1f}, {100 * pair['high']:+.1f}]"
        )
    if cells := outcome.get("cells"):
        print("\nthe policy (bin 1 is the easiest), accuracy on problems it was not fitted on")
        for cell in cells:
            print(
                f"  bin {cell['bin']}  N = {cell['budget']:<4} {cell['strategy']:<24} {_cell(cell)}"
            )
    for factor in outcome.get("cef", ()):
        sign = "at least " if factor["at_least"] else ""
        high = f"{factor['high']:.2f}" if factor["high"] is not None else "..."
        print(
            f"{factor['bins']} bins, {'difficulty charged' if factor['charged'] else 'uncharged'}, "
            f"N = {factor['budget']:g}: worth {sign}{factor['value']:.2f} times its budget in "
            f"best-of-N [{factor['low']:.2f}, {high}]"
        )
    if "policy" in outcome:
        print(f"policy: {outcome['policy']}")


def _cell(row: dict[str, Any]) -> str:
    return f"{100 * row['accuracy']:.1f} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())


__all__ = ["RunError", "main"]
