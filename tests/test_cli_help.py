"""What the command line says of itself: help, completion, and what was meant by a wrong word."""

import io
import os
import re
import subprocess
import sys

import click
import pytest

from outthink.cli import main
from outthink.cli.app import OUTTHINK
from outthink.cli.commands import GOES_ON, Commands
from outthink.cli.output import print_table
from outthink.search import SEARCHES


def commands(group=OUTTHINK, above=()):
    """Every command and group, with the words that name it."""
    yield above, group
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, Commands):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name), command


ALL = dict(commands())
ONES = [words for words, command in ALL.items() if not isinstance(command, Commands)]


def defaults(*words):
    return {param.name: param.default for param in ALL[words].params}


# Help --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_help_fits_a_terminal_and_says_what_every_option_is(words, capsys):
    assert main([*words, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(" ".join(["Usage: outthink", *words]))
    assert max(map(len, out.splitlines())) <= 100
    assert not err
    for param in ALL[words].params:
        assert param.help and param.help.rstrip()[-1] in ".)", param.name


@pytest.mark.parametrize("words", ONES, ids=" ".join)
def test_every_command_takes_json_and_says_its_defaults(words, capsys):
    assert "as_json" in defaults(*words)
    main([*words, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for param in ALL[words].params:
        told = param.default
        if isinstance(param, click.Option) and not param.is_flag and isinstance(told, int):
            assert f"(default: {told})" in said, param.name


def test_the_first_lines_of_help_stand_beside_the_names(capsys):
    assert main(["-h"]) == 0
    out, _ = capsys.readouterr()
    assert re.search(r"\n  sweep +run strategies over problems, into a store\n", out)


def test_defaults_are_those_of_the_modules_that_help_does_not_import():
    from outthink.bench.served import Load
    from outthink.lab import recipes
    from outthink.paper.evidence import FULL, QUICK
    from outthink.study.models import MOST_TOKENS
    from outthink.study.plan import STRATEGIES, Plan

    served, train, sweep = defaults("bench", "served"), defaults("lab", "train"), ALL["sweep",]
    load = Load(served["problems"])
    assert all(getattr(load, name) == served[name] for name in Load.__slots__)
    assert train["problems"] == recipes.LABELLED and train["samples"] == recipes.SAMPLES
    assert (train["rollouts"], train["seed"]) == (recipes.ROLLOUTS, recipes.SEED)
    assert defaults("sweep")["budgets"] == ",".join(map(str, Plan().budgets))
    assert all(name in sweep.epilog for name in STRATEGIES)
    assert f"(default: {MOST_TOKENS})" in {p.name: p for p in sweep.params}["most_tokens"].help
    quick = {p.name: p for p in ALL["reproduce",].params}["quick"].help
    assert quick.startswith(f"{QUICK.problems} problems instead of {FULL.problems},")


HEAVY = ("numpy", "scipy", "torch", "httpx", "pydantic", "rich")


@pytest.mark.parametrize("words", [(), *ONES], ids=" ".join)
def test_help_imports_nothing_that_takes_long(words):
    code = (
        "import sys, outthink.cli\n"
        f"outthink.cli.main([*{words!r}, '--help'])\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "\n"


# Completion --------------------------------------------------------------------------------------


def completed(*words):
    """What bash is told behind these words."""
    asked = {
        "_OUTTHINK_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["outthink", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "outthink"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_are_completed():
    assert completed("re") == ["report", "reproduce"]
    assert completed("bench", "s") == ["strategies", "store", "served"]


def test_options_and_their_values_are_completed():
    assert completed("fit", "--v") == ["--verifier"]
    assert completed("exchange", "--accounting", "") == ["v1", "iclr", "charged"]


def test_names_of_strategies_are_completed():
    assert completed("solve", "x", "--strategy", "") == list(SEARCHES)
    assert completed("sweep", "x", "--strategies", "majority,be") == [
        f"majority,{name}" for name in SEARCHES if name.startswith("be")
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_installed_once(shell, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    (tmp_path / ".bashrc").write_text("export A=1")
    assert main(["--show-completion"]) == 0
    script, _ = capsys.readouterr()
    for words in (["--install-completion"], ["--install-completion", shell]):
        assert main(words) == 0
    files = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert "_OUTTHINK_COMPLETE" in script and script.rstrip() in map(str.rstrip, files.values())
    if shell == "bash":
        first, line = files[".bashrc"].splitlines()
        assert first == "export A=1" and line.startswith(". ")


def test_a_shell_that_cannot_be_completed_is_named(monkeypatch, capsys):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert main(["--install-completion"]) == 2
    assert "no completion for the shell tcsh; give bash, zsh or fish" in capsys.readouterr().err


# Words that are no options -----------------------------------------------------------------------


@pytest.mark.parametrize("words", [("-3 + 4",), ("-3",), ("--budget", "1", "--", "-3 + 4")])
def test_a_problem_may_begin_with_a_minus(words, capsys):
    assert main(["solve", *words]) == 2
    assert f"not a problem of the lab's task: '{words[-1]}'" in capsys.readouterr().err


def test_debug_stands_anywhere(capsys):
    assert main(["--debug", "--version"]) == main(["--version"]) == 0
    assert main(["lab", "facts", "--debug", "--help"]) == 0


@pytest.mark.parametrize(
    ("words", "called", "said"),
    [
        (("solve", "x"), "policy.solve.solve", "stopped"),
        (("lab", "facts"), "lab.facts.measure", "stopped"),
        (("lab", "train"), "lab.build.build", "stopped; the same command goes on from here"),
        (("bench", "strategies"), "bench.engine.strategies", "stopped; with --store, the same"),
        (("bench", "strategies", "--store", "a"), "bench.engine.strategies", f"{GOES_ON}\n"),
        (("reproduce",), "paper.reproduce.reproduce", f"{GOES_ON}\n"),
        (("demo",), "study.sweep.swept", f"{GOES_ON}\n"),
    ],
)
def test_ctrl_c_says_whether_the_same_command_goes_on(words, called, said, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"outthink.{called}", interrupted)
    assert main(words) == 130
    assert capsys.readouterr().err.startswith(f"outthink: {said}")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_table_fits_its_terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    print_table(("name", "N"), [("best_of_n(answer=max)", "13.0 [ 6.0, 20.0]" * 2)])
    head, *lines = screen.getvalue().splitlines()
    assert "\x1b[1m" in head
    assert len(lines) > 1 and max(map(len, lines)) <= 40
    assert "".join(line[:12].strip() for line in lines).startswith("best_of_n(")


def test_a_table_that_is_piped_is_text_and_spaces(capsys):
    wide = "[bold]" + "x" * 300
    print_table(("name", "N"), [(wide, 1), ("b", "12")])
    out, _ = capsys.readouterr()
    assert out.splitlines() == [f"name{'N':>306}", f"{wide}   1", f"b{'12':>309}"]
