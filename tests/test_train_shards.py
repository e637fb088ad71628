"""Samples of a training that workers draw: the same rows, and none of them twice."""

import json

import pytest
from hf_fixtures import causal, saved
from test_merge import held
from test_shards import Here, dies_before

from outthink.cli import main
from outthink.study.shards import beside

GRADER = '''
def first_half(answer, reference):
    """Whether an answer begins in the first half of the alphabet."""
    return (answer[:1] < "n") == (reference == "1")


first_half.extract = lambda text: text.strip()[-1:] or None
'''
QUICK = ["--samples", "4", "--lora", "2", "--batch", "16", "--rate", "0.001"]
QUICK += ["--epochs", "1", "--most-tokens", "40"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model, problems and a grader."""
    folder = tmp_path_factory.mktemp("training")
    saved(folder / "tiny", causal())
    (folder / "half.py").write_text(GRADER)
    rows = [{"id": f"p{at}", "prompt": "abc"[at % 3] * (at + 1), "answer": "1"} for at in range(12)]
    (folder / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(autouse=True)
def workers(monkeypatch):
    """Workers in this process, in place of Ray's."""
    here = Here()
    monkeypatch.setattr("outthink.study.on_ray.ray_workers", lambda spec: here.started())
    return here


def train(place, kind, out, *more):
    problems = f"{place}/problems.jsonl?grader={place}/half.py:first_half"
    named = ["--model", f"hf:{place}/tiny", "-o", str(out)]
    return main(["train", kind, problems, *named, *QUICK, *more])


def trained(place, kind, out, *more):
    """The figures of its card, but for its time."""
    assert train(place, kind, out, *more) == 0
    figures = json.loads((out / "facts.json").read_text())
    return {name: figure for name, figure in figures.items() if name != "seconds"}


KINDS = [("prm", ["--rollouts", "2"]), ("orm", []), ("orm", ["--chain", "2"]), ("revise", [])]


@pytest.mark.parametrize(("kind", "more"), KINDS)
def test_workers_draw_the_rows_that_one_process_draws(place, tmp_path, workers, kind, more):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert trained(place, kind, alone, *more) == trained(place, kind, shared, *more, "--ray")
    assert len(workers.given) == 8
    assert held(shared / "samples.store").draws == held(alone / "samples.store").draws > 0
    assert not beside(shared / "samples.store").exists()


def test_what_workers_left_is_merged_and_the_rest_drawn_here(place, tmp_path, monkeypatch):
    out, alone = tmp_path / "out", tmp_path / "alone"
    dying = Here(ends=dies_before(4))
    with monkeypatch.context() as patched:
        patched.setattr("outthink.study.on_ray.ray_workers", lambda spec: dying.started())
        assert train(place, "orm", out, "--ray") == 1
    assert dying.given == [1, 2, 3]
    assert trained(place, "orm", out) == trained(place, "orm", alone)
    assert held(out / "samples.store").draws == held(alone / "samples.store").draws
    assert not beside(out / "samples.store").exists()


def test_options_of_workers_want_workers(place, tmp_path, capsys):
    problems = f"{place}/problems.jsonl"
    words = ["train", "orm", problems, "--model", f"hf:{place}/tiny", "-o", str(tmp_path / "out")]
    assert main([*words, "--workers", "2"]) == 2
    assert "add --ray" in capsys.readouterr().err
