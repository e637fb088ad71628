"""Searches that ask in words, on models that are served, in this process, and of the lab."""

import json
from dataclasses import replace
from importlib.util import find_spec

import pytest
from contract import Counted, check_result, problems, results
from test_openai import every_kind, jobs_of, playing, solved

from outthink.cli import main
from outthink.models.openai import Setting, Wording
from outthink.run.journal import Job
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import (
    END,
    Budget,
    Choice,
    Draw,
    Framing,
    Problem,
    Scores,
    Solution,
    Strategy,
    Usage,
    Verified,
    Verify,
)

WORDY = (
    "self_refine",
    "debate",
    "genselect(group=3)",
    "gensynthesis(group=2)",
    "groupwise",
    "knockout",
    "round_robin",
    "usc(group=3)",
)
SCORED = (
    "self_refine(by=verifier)",
    "knockout(by=verifier)",
    "round_robin(by=verifier)",
    "revise(shown=best)",
    "revision_beam",
)
FRAMED = Setting(wording=Wording(question="{prompt} ANSWER IN A BOX", revise="again"))


# Served ------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("name", WORDY)
def test_the_ledger_is_what_the_server_counted(kind, name):
    with playing(kind) as (server, proposer):
        proposer._together._most_rows = 1
        done = solved(proposer, jobs_of(name))
    usage = sum((result.outcome.usage for result in done), Usage())
    for result in done:
        check_result(result)
        assert result.outcome.error is None and result.outcome.usage.generations == 4
    assert usage.decoded_tokens == server.usage["decoded"]
    assert usage.prompt_tokens == server.usage["prompt"] - server.usage["cached"]
    assert usage.cached_tokens == server.usage["cached"]
    merges = name.startswith(("debate", "gensynthesis"))
    assert (usage.critiques == 0) == merges
    assert server.usage["requests"] == usage.generations + usage.critiques


@pytest.mark.parametrize("name", (*WORDY, *SCORED))
def test_every_budget_is_spent_on_a_served_model(name):
    with playing("vllm") as (_, proposer):
        for n in (1, 2, 3, 16, 64):
            for result in solved(proposer, jobs_of(name, n=n, of=1)):
                check_result(result)
                assert (result.outcome.error, result.outcome.usage.generations) == (None, n)


@every_kind
def test_a_solution_written_after_others_is_scored_as_if_it_stood_alone(kind):
    def merged(problem, budget):
        choice = yield from strategy("gensynthesis(group=1)").start(problem, budget)
        scores = yield Verify(choice.candidates[-1:])
        return Choice(None, None, choice.candidates[-1:], tuple(scores))

    seen = []

    class Verifier:
        name = "sees"

        def verify_batch(self, solutions):
            seen.extend(solutions)
            return [Verified(Scores(), 0, 0) for _ in solutions]

    with playing(kind) as (_, proposer):
        if kind != "chat":
            proposer.leave(5)
        job = Job(problems(1)[0], Strategy("merged", merged), Budget(2))
        (result,) = results(Team.of(proposer, Verifier()), [job])
    assert result.outcome.error is None
    (solution,) = seen
    assert solution.problem == job.problem and solution.history == ()
    assert solution.state is None or solution.state.proposer is None


@every_kind
def test_a_critique_is_asked_for_without_what_follows_a_problem(kind):
    with playing(kind, setting=FRAMED) as (server, proposer):
        solved(proposer, jobs_of("self_refine", n=3, of=2))
    prompts = [
        json.dumps(body["messages"] if "messages" in body else body.get("content", ""))
        for path, body in server.requests
        if body and ("messages" in body or str(body.get("content", "")).startswith("[{"))
    ]
    about = [prompt for prompt in prompts if "Judgement: X" in prompt]
    others = [prompt for prompt in prompts if "Judgement: X" not in prompt]
    assert about and others
    assert not any("ANSWER IN A BOX" in prompt for prompt in about)
    assert all("ANSWER IN A BOX" in prompt for prompt in others)
    assert any("This is what was said of your answer" in prompt for prompt in others)


def test_a_prompt_of_many_solutions_that_does_not_fit_ends_its_problem_and_says_so():
    with playing("vllm", context=700) as (_, proposer):
        (result,) = solved(proposer, jobs_of("genselect(group=16)", n=16, of=1))
    assert "tokens for a model that reads 700" in result.outcome.error


# In this process ---------------------------------------------------------------------------------


def read(text):
    return text.strip()[-1:] or None


def tiny(**options):
    """A model of random weights that reads long prompts."""
    hf = pytest.importorskip("outthink.models.transformers", reason="needs transformers")
    from hf_fixtures import SETTING, TEMPLATE, causal, tokenizer

    from outthink.models.weights import wrap

    setting = replace(SETTING, **options)
    model = causal(max_position_embeddings=4096)
    loaded = wrap("tiny", model, tokenizer(TEMPLATE), setting)
    return hf.HFProposer(loaded, read=read)


@pytest.mark.parametrize("name", (*WORDY, *SCORED))
def test_a_model_of_transformers_is_asked_in_words(name):
    proposer = Counted(tiny())
    (result,) = solved(proposer, [Job(problems(1)[0], strategy(name), Budget(3))])
    check_result(result)
    usage = result.outcome.usage
    assert (result.outcome.error, usage.generations) == (None, 3)
    rows = [row for given in proposer.given for row in given]
    assert len(rows) == usage.generations + usage.critiques
    assert usage.decoded_tokens == sum(row.decoded_tokens for row in rows)
    read = sum(row.prompt_tokens + row.cached_tokens for row in rows)
    assert usage.prompt_tokens + usage.cached_tokens == read


def test_a_model_of_transformers_critiques_without_what_follows_a_problem():
    wording = Wording(question="{prompt} in a box", revise="again")
    proposer = tiny(wording=wording)
    problem = Problem("p", "name a fruit", framing=Framing(bare=True))
    rows = [Draw(Solution.start(one), END, 1.0, 0) for one in (problem, problems(1)[0])]
    bare, asked = proposer.propose_batch(rows)
    assert bare.prompt_tokens == len("<u:name a fruit\n<a:")
    assert asked.prompt_tokens == len("<u:problem 0 in a box\n<a:")


# The lab -----------------------------------------------------------------------------------------


@pytest.mark.skipif(find_spec("torch") is None, reason="needs torch")
@pytest.mark.parametrize("name", SCORED)
def test_the_lab_runs_what_asks_nobody_in_words(name, capsys):
    for n in (1, 2, 3, 4, 16, 64):
        words = ["solve", "57474 *19", "--strategy", name, "--budget", str(n), "--json"]
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out)["usage"]["generations"] == n


@pytest.mark.parametrize("name", WORDY)
def test_the_lab_refuses_what_asks_in_words_and_says_what_would_do(name, capsys):
    assert main(["solve", "57474 *19", "--strategy", name]) == 2
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 1
    assert "asks a model in words, and lab:s knows nothing but its own task" in err
    other = f"write {name}(by=verifier), or" in err
    assert other == (name in ("self_refine", "knockout", "round_robin"))


def test_a_sweep_refuses_it_before_anything_is_drawn(capsys, tmp_path):
    store = tmp_path / "a.store"
    words = ["sweep", "lab:test?size=4", "-o", str(store), "--strategies", "majority,debate"]
    assert main(words) == 2
    assert "debate asks a model in words" in capsys.readouterr().err
    assert not store.exists()
