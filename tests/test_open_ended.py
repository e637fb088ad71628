"""Tasks without a reference: a judge with a rubric grades, its cost and worth are told."""

import json
import re

import numpy as np
import pytest
from fake_server import FakeServer

from outthink.cli import main
from outthink.data import source
from outthink.errors import UnjudgedError, UsageError
from outthink.grade import as_reference, grading
from outthink.measure.kappa import clustered, cohen_kappa
from outthink.models import http
from outthink.run.store import Store
from outthink.testing import check_grader
from outthink.verify.open_ended import OpenEnded
from outthink.verify.open_ended import grading as made


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(http.RetryPolicy, "wait_s", lambda *_: 0.0)
    made.cache_clear()


@pytest.fixture
def rubric(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "r.toml"
    path.write_text(
        '[[criterion]]\nask = "It is right"\nweight = 3\n[[criterion]]\nask = "short"\n'
    )
    return path


TASKS = [{"id": f"t{n}", "prompt": f"problem {n}"} for n in range(6)]


def tasks():
    with open("t.jsonl", "w") as file:
        file.writelines(json.dumps(task) + "\n" for task in TASKS)


def marks(text):
    """Marks by what the answer says; of two answers it prefers the right one."""
    if "Answer A:" in text:
        first, second = text.split("Answer A:")[1].split("Answer B:")
        good = "right" in first, "right" in second.split("Which answer")[0]
        return f"Better: {'same' if good[0] == good[1] else 'A' if good[0] else 'B'}"
    answer = text.split("Proposed answer:")[1].split("Judge the answer")[0]
    return "1: 9\n2: 9" if "right" in answer else "1: 2\n2: 9"


def named(url, **options):
    more = "".join(f",{name}={value}" for name, value in options.items())
    return f"judge(rubric=r.toml,model={url}{more})"


def sweep(model, judge, *more):
    words = ["sweep", f"t.jsonl?grader={judge}", "-o", "a.store", "--model", model.url]
    words += ["--verifier", "none", "--strategies", "majority", "--budgets", "1,2", "--pool", "4"]
    return main([*words, "--difficulty-samples", "0", *more])


def test_open_tasks_are_swept_and_the_judge_is_charged(rubric, capsys):
    tasks()
    with FakeServer("vllm") as model, FakeServer("chat", says=marks) as judge:
        assert sweep(model, named(judge.url), "--json") == 0
        asked = [body for path, body in judge.requests if path == "/v1/chat/completions"]
        judged = sum(body["max_tokens"] > 1 for body in asked)
        capsys.readouterr()
        assert sweep(model, named(judge.url)) == 0
        told = capsys.readouterr()
    assert re.search(rf"{judged} verdicts took \d+ tokens", told.out + told.err)
    with Store.open("a.store", write=False) as store:
        (name,) = {one for one in store.metas("grading by ")}
        verdicts = store.view(None, name).verdicts()
        assert sum(map(len, verdicts.values())) == judged
    assert "digest=" in name
    assert all(
        right == ("right" in text) for one in verdicts.values() for text, right in one.items()
    )


def test_what_stands_for_a_reference_is_the_task(rubric):
    tasks()
    problems = source.read("t.jsonl?grader=judge(rubric=r.toml,model=http://localhost:1)")
    assert json.loads(problems[0].reference) == {"problem": "problem 0", "reference": None}
    assert problems.grader.startswith("judge(rubric=r.toml,model=http://localhost:1,digest=")


def test_contract_of_the_grader(rubric):
    reference = as_reference("problem 0", "a known answer")
    with FakeServer("chat", says=marks, context=20_000) as judge:
        check_grader(named(judge.url), right=[("right", reference)], wrong=[("bad", reference)])
        assert any("a known answer" in json.dumps(body) for _, body in judge.requests)


@pytest.mark.parametrize(("least", "right"), [(0.7, True), (0.95, False)])
def test_an_answer_is_right_from_the_least_mean_mark(rubric, least, right):
    with FakeServer("chat", says=lambda text: "1: 8\n2: 6") as judge:
        made = OpenEnded(named(judge.url, least=least))
        assert made("x", as_reference("p", None)) is right
        spent = made.spent()
    assert spent.verdicts == 1 and spent.tokens > spent.written_tokens > 0
    assert made.spent().verdicts == 0


def test_marks_that_cannot_be_read_are_no_verdict_and_fail_that_search_alone(rubric, capsys):
    tasks()

    def says(text):
        return "hm" if "problem 3" in text else marks(text)

    with FakeServer("vllm") as model, FakeServer("chat", says=says) as judge:
        with pytest.raises(UnjudgedError, match="asked twice"):
            OpenEnded(named(judge.url))("x", as_reference("problem 3", None))
        sweep(model, named(judge.url))
    told = capsys.readouterr()
    assert "UnjudgedError" in told.out + told.err
    with Store.open("a.store", write=False) as store:
        done = {outcome.problem_id for outcome in store.view(None).outcomes()}
    assert done == {task["id"] for task in TASKS} - {"t3"}


def test_an_answer_that_the_judge_cannot_read_is_no_verdict(rubric):
    with (
        FakeServer("chat", says=marks, context=500) as judge,
        pytest.raises(UnjudgedError, match="longer than the model reads"),
    ):
        OpenEnded(named(judge.url))("x" * 1000, as_reference("p", None))


def test_another_rubric_is_another_grader(rubric):
    before = grading(named("http://localhost:1")).name
    rubric.write_text('[[criterion]]\nask = "other"\n')
    made.cache_clear()
    assert grading(named("http://localhost:1")).name != before
    with pytest.raises(UsageError, match="is another rubric"):
        grading(before)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("judge(model=http://localhost:1)", "rubric=FILE"),
        ("judge(rubric=r.toml)", "model=http"),
        ("judge(rubric=r.toml,model=http://localhost:1,least=2)", "is no share"),
        ("judge(rubric=r.toml,model=http://localhost:1,most=2)", "unknown option"),
        ("judge(rubric=no.toml,model=http://localhost:1)", "cannot be read"),
    ],
)
def test_a_judge_that_cannot_be_is_refused(rubric, name, said):
    with pytest.raises(UsageError, match=said):
        grading(name)


# Agreement ----------------------------------------------------------------------------------------


def test_kappa_is_agreement_beyond_chance():
    a = np.array([True] * 20 + [True] * 5 + [False] * 10 + [False] * 15)
    b = np.array([True] * 20 + [False] * 5 + [True] * 10 + [False] * 15)
    assert cohen_kappa(a, b) == pytest.approx(0.4)
    assert cohen_kappa(a, a) == 1.0
    assert cohen_kappa(a, ~a) < 0
    assert cohen_kappa(a[:20], b[:20]) is None and cohen_kappa(a[:0], b[:0]) is None
    with pytest.raises(UsageError, match="as many on both sides"):
        cohen_kappa(a, b[:3])


def test_the_interval_of_a_clustered_mean_is_that_of_its_problems():
    rng = np.random.default_rng(1)
    means = rng.normal(size=200)
    interval = clustered(lambda rows: float(rows.mean()), [np.full(3, mean) for mean in means])
    assert interval.mean == pytest.approx(means.mean())
    assert interval.high - interval.low == pytest.approx(2 * 1.96 / 200**0.5, rel=0.15)
    assert clustered(lambda rows: None, [np.ones(2)]) is None


def test_a_judge_is_held_against_a_second_one(rubric, capsys):
    tasks()
    with (
        FakeServer("vllm") as model,
        FakeServer("chat", says=marks) as one,
        FakeServer("chat", says=lambda text: marks(text).replace("2: 9", "2: 8")) as other,
        FakeServer("chat", says=lambda text: "Better: A" if "Answer A" in text else "hm") as biased,
    ):
        assert sweep(model, named(one.url), "--json") == 0
        capsys.readouterr()
        words = ["agreement", "a.store", named(one.url)]
        assert main([*words, named(other.url), "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert main(["agreement", "a.store", named(biased.url), named(one.url), "--json"]) == 0
        blind = json.loads(capsys.readouterr().out)
        assert main([*words, named(other.url)]) == 0
        table = capsys.readouterr().out
        assert main(words) == 2
        assert "two different judges" in capsys.readouterr().err
    assert said["kappa"]["mean"] == said["spearman"]["mean"] == 1.0
    assert said["consistent"]["mean"] == 1.0 and said["pairs"] > 0
    assert said["first_place"] is None or said["first_place"]["mean"] == 0.5
    assert said["cost"][0]["tokens"] > 0 and said["unread"] == [0, 0]
    assert blind["first_place"]["mean"] == 1.0 and blind["consistent"]["mean"] == 0.0
    assert blind["kappa"] is None and blind["unread"][0] > 0
    assert "Cohen's kappa" in table
