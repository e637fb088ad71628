"""Everything the README says to type, typed: each fenced block in its order, section by section.

Servers are played by `fake_server`, large models by tiny ones that lie under the names printed.
What is typed otherwise than printed is in `OTHERWISE`, each with its reason; a block or a word that
nobody here knows how to run fails.
"""

import asyncio
import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from contract import results
from fake_server import FakeServer

import outthink.grade
from outthink.cli import main
from outthink.cli.app import OUTTHINK
from outthink.cli.commands import Commands
from outthink.data import source
from outthink.gateway import serve as gateway
from outthink.grade import Grading
from outthink.models.openai import OpenAIProposer
from outthink.models.scripted import ScriptedProposer, ScriptedVerifier, scripted_problems
from outthink.run.journal import Job
from outthink.run.runner import Runner
from outthink.run.team import Team
from outthink.search import strategy
from outthink.search.select import Selection
from outthink.types import (
    END,
    Budget,
    Problem,
    Propose,
    Scores,
    Solution,
    Strategy,
    Verified,
    Verify,
)

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")

OTHERWISE = {
    "Models of a server": {
        "http://localhost:8000": "{url}",  # the port may be taken; a free one is the same to all
        "1..64": "1..16",  # two more budgets, of the same searches, take minutes
    },
    "A model in this process": {
        "size=100": "size=2",  # as many more problems of the same kind
        "1..16": "1..4",
    },
    "Models in process": {
        "1..16": "1..4",
        # A tiny model learns nothing in hours either: less of each, by the command's own options.
        "outthink train prm ": "outthink train prm --samples 4 --rollouts 1 --lora 2 --epochs 1 "
        "--most-tokens 30 ",
        "outthink train revise ": "outthink train revise --samples 4 --lora 2 --epochs 1 "
        "--most-tokens 30 ",
        "outthink train orm ": "outthink train orm --samples 4 --lora 2 --epochs 1 "
        "--most-tokens 30 ",
        "outthink sweep ": "outthink sweep --most-tokens 30 ",
    },
}


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    section: str
    language: str
    text: str

    @property
    def lines(self):
        """What is typed, one command a line, without remarks."""
        whole = self.text.replace("\\\n", " ")
        commands = [part for line in whole.splitlines() for part in line.split("&&")]
        return [words for command in commands if (words := shlex.split(command, comments=True))]


def blocks(text=README):
    """All of them, in order."""
    section, inside, language, found = "", None, "", []
    for line in text.splitlines():
        if inside is not None and line == "```":
            found.append(Block(section, language, "\n".join(inside)))
            inside = None
        elif inside is not None:
            inside.append(line)
        elif line.startswith("```"):
            inside, language = [], line[3:]
        elif line.startswith("#"):
            section = line.lstrip("#").strip()
    assert inside is None, "a fence is not closed"
    return found


KNOWN = {
    "outthink",
    "Commands",
    "Behind OpenAI's API",
    "A model in this process",
    "Models of a server",
    "Models in process",
    "The tree",
}
"""Sections with blocks: each has a test below that runs them all."""


def typed(block, **values):
    """Run a block of commands, each of which has to succeed."""
    text = block.text
    for printed, instead in OTHERWISE.get(block.section, {}).items():
        text = text.replace(printed, instead.format(**values))
    for words in Block(block.section, block.language, text).lines:
        match words:
            case ["outthink", *rest]:
                assert main(rest) == 0, shlex.join(words)
            case ["make", target]:
                # They install, run the demo (test_cli has it) and these very tests.
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            case ["pip", "install", *rest]:
                installed(rest)
            case _:
                pytest.fail(f"nobody knows how to run {shlex.join(words)!r}")


def installed(words):
    """What is installed by name is declared; nothing is downloaded by a test."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        if match := re.fullmatch(r"outthink\[([\w,]+)\]", word):
            assert project["optional-dependencies"].keys() >= set(match[1].split(","))
        else:
            assert word == "--no-deps" or word in (ROOT / "Makefile").read_text()


def of(section):
    return [block for block in blocks() if block.section == section]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(path, *problems):
    path.write_text("".join(json.dumps(row) + "\n" for row in problems))


# Every block has a test --------------------------------------------------------------------------


def test_every_block_is_in_a_section_that_is_run():
    assert {block.section for block in blocks()} == KNOWN
    assert {block.language for block in blocks()} <= {"", "python"}


def test_what_is_typed_otherwise_is_printed():
    for section, changes in OTHERWISE.items():
        printed = "\n".join(block.text for block in of(section))
        for words in changes:
            assert words in printed, f"{section} no longer says {words!r}"


def test_a_command_that_nobody_knows_fails():
    with pytest.raises(pytest.fail.Exception, match="nobody knows how to run 'curl x'"):
        typed(Block("x", "", "curl x"))
    with pytest.raises(AssertionError, match="outthink frobnicate"):
        typed(Block("x", "", "outthink frobnicate"))
    assert blocks("# a\n```\nb \\\n c # d\n```\n") == [Block("a", "", "b \\\n c # d")]
    assert blocks("# a\n```\nb \\\n c && e # d\n```\n")[0].lines == [["b", "c"], ["e"]]


def test_every_command_named_in_the_text_can_be_given():
    """The tables and paragraphs name commands whose running takes hours; their words are read."""
    named = [words for words in re.findall(r"`(outthink [^`]+)`", README) if "[" not in words]
    assert len(named) > 10
    for words in named:
        typed, group = shlex.split(words)[1:] + missing(words), None
        command = OUTTHINK
        while isinstance(command, Commands):
            group = command.make_context("outthink", typed, parent=group)
            _, command, typed = command.resolve_command(group, typed)
        command.make_context("outthink", typed, parent=group)


def missing(words):
    """What a mention leaves out."""
    if words == "outthink train":
        return ["prm", "p.jsonl", "--model", "hf:x", "-o", "y"]
    return []


def test_no_two_sweeps_are_printed_into_one_store():
    """Whoever types all of it in one folder is not told that a store is another sweep's."""
    stores = [
        words[words.index("-o") + 1]
        for block in blocks()
        if block.language != "python" and block.section != "The tree"
        for words in block.lines
        if words[:2] == ["outthink", "sweep"] and "-o" in words
    ]
    others = re.findall(r'"(\w+\.store)", plan=', README)
    assert len(stores) > 2 and others
    assert len({*stores, *others}) == len(stores) + len(others)


# The sections ------------------------------------------------------------------------------------


def test_the_first_lines_are_targets_of_the_makefile():
    [block] = of("outthink")
    typed(block)


def test_the_tree_is_the_tree():
    [block] = of("The tree")
    top, *lines = block.text.splitlines()
    assert top == "src/outthink/"
    for line in lines:
        names, *_ = re.split(r"\s{2,}", line.strip())
        for name in names.split(", "):
            assert (ROOT / "src" / "outthink" / name).exists(), name


def test_python_runs_as_printed(here, capsys):
    whole, search = of("Commands")
    exec(compile(whole.text, "README.md", "exec"), {})
    answers = eval(capsys.readouterr().out)
    assert len(answers) == 2 and all(re.fullmatch(r"\d{5}", answer) for answer in answers)
    assert (here / "my.store").exists() and (here / "policy.json").exists()
    names = {"Propose": Propose, "Verify": Verify, "Solution": Solution, "END": END}
    exec(compile(search.text, "README.md", "exec"), names | {"Selection": Selection}, names)

    def answered(made):
        jobs = [Job(problem, made, Budget(4)) for problem in scripted_problems(5)]
        done = results(Team.of(ScriptedProposer(), ScriptedVerifier()), jobs)
        return [result.outcome.answer for result in done]

    own = Strategy("own", names["best_of_n"])
    assert answered(own) == answered(strategy("best_of_n"))


def test_what_is_served_answers_and_stops(monkeypatch, capsys):
    real = gateway.serve

    def once(settings, host, port, on_start):
        def started(url, opened):
            on_start(url, opened)
            opened.stop()

        real(settings, host, 0, started)

    monkeypatch.setattr(gateway, "serve", once)
    [block] = of("Behind OpenAI's API")
    typed(block)
    assert "serving:  lab:s at http://127.0.0.1:" in capsys.readouterr().err


def test_a_model_in_this_process(here, monkeypatch):
    pytest.importorskip("reasoning_gym", reason="needs reasoning-gym (outthink[gym])")
    [block] = of("A model in this process")
    with FakeServer("llama.cpp") as server:
        running = SimpleNamespace(url=server.url)
        monkeypatch.setattr("outthink.study.models.serve", lambda name: running)
        typed(block)
    assert (here / "local.store").exists()


class Shortest:
    """A verifier of one's own."""

    name = "shortest"

    def verify_batch(self, solutions):
        return [
            Verified(Scores((1 / len(each.tokens),) * max(1, len(each.step_ends))), 0, 0)
            for each in solutions
        ]


def test_models_of_a_server(here, monkeypatch):
    pytest.importorskip("transformers", reason="verifiers need transformers")
    first, *more = of("Models of a server")
    tiny_prm(here)
    rows(
        here / "gsm8k.jsonl",
        *({"question": f"How many are {n}?", "answer": f"It is {n}.\n#### {n}"} for n in (3, 4)),
    )
    with FakeServer("vllm") as server:
        typed(first, url=server.url)
        assert (here / "gsm8k.store").exists() and (here / "report.html").exists()
        [block] = more
        names = {
            "asyncio": asyncio,
            "OpenAIProposer": OpenAIProposer,
            "Runner": Runner,
            "Team": Team,
            "my_verifier": Shortest(),
            "jobs": [Job(Problem("p", "what?"), strategy("beam"), Budget(4))],
        }
        text = block.text.replace("http://localhost:8000", server.url)
        exec(compile(text, "README.md", "exec"), names)
        [result] = names["results"]
        assert result.outcome.error is None and result.outcome.usage.generations == 4


def tiny_prm(folder):
    """A PRM of the family and under the name that is printed."""
    from tiny_prms import KINDS

    place = folder / "Qwen" / "Qwen2.5-Math-PRM-7B"
    place.mkdir(parents=True)
    kind = KINDS["qwen-prm"]
    kind.save(kind.make(), place, "Qwen2ForProcessRewardModel")


def test_models_in_process(here, monkeypatch):
    pytest.importorskip("transformers", reason="needs transformers (outthink[transformers])")
    pytest.importorskip("peft", reason="needs peft (outthink[transformers])")
    from hf_fixtures import asked, causal, saved
    from test_hf_train import a_or_b

    saved(here / "my-model", causal(max_position_embeddings=400))
    tiny_prm(here)
    questions = [{"id": p.id, "prompt": p.prompt, "reference": "1"} for p in asked(12)]
    rows(here / "train.jsonl", *questions)
    rows(here / "test.jsonl", *questions[:2])
    # Random weights write no answer that a grader finds: this one finds one in every text.
    name = source.read("train.jsonl").grader
    letter = Grading(name, lambda answer, reference: answer == reference, a_or_b, str)
    monkeypatch.setitem(outthink.grade._GRADINGS, name, letter)
    first, second = of("Models in process")
    typed(first)
    typed(second)
    for folder in ("my-prm", "my-reviser", "my-revision-orm"):
        assert (here / folder / "README.md").exists()
    assert (here / "hf.store").exists() and (here / "own.store").exists()
