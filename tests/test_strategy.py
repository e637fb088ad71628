"""How a strategy is written: one algorithm, one name; a mistake says the way out."""

import pytest

from outthink.errors import OutthinkError, UsageError
from outthink.search import SEARCHES, beam, lookahead, strategy
from outthink.types import Budget, Problem

PROBLEM = Problem("p", "prompt")


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_alone_is_a_strategy(name):
    assert strategy(name).name == name
    assert strategy(f"{name}()").name == name
    assert strategy(name).options == {}


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("beam(width=4)", "beam"),
        ("beam(rounds=40,width=4)", "beam"),
        ("beam(width=sqrt)", "beam(width=sqrt)"),
        ("beam( width = 16 )", "beam(width=16)"),
        ("  beam ( width=016 ) ", "beam(width=16)"),
        ("beam(step=last,answer=weighted)", "beam"),
        ("best_of_n(answer=max,step=min)", "best_of_n(step=min,answer=max)"),
        ("lookahead(width=4,depth=3)", "lookahead(depth=3)"),
        ("lookahead(width=sqrt, depth=3)", "lookahead(depth=3,width=sqrt)"),
        ("lookahead(depth=1)", "lookahead"),
    ],
)
def test_one_algorithm_has_one_name(written, name):
    assert strategy(written).name == name
    assert strategy(name).name == name


def test_options_reach_the_search():
    chosen = strategy("lookahead(depth=2,width=sqrt,rounds=5)")
    assert chosen.options == {"depth": 2, "width": "sqrt", "rounds": 5}
    request = next(chosen.start(PROBLEM, Budget(9)))
    assert len(request.prefixes) == 3  # nine generations on three beams, two steps ahead


def test_options_are_what_the_search_would_be_called_with():
    written = next(strategy("beam(width=2)").start(PROBLEM, Budget(6)))
    assert written == next(beam(PROBLEM, Budget(6), width=2))
    written = next(strategy("lookahead").start(PROBLEM, Budget(6)))
    assert written == next(lookahead(PROBLEM, Budget(6)))


@pytest.mark.parametrize(
    ("written", "seen", "way_out"),
    [
        ("beem", "'beem'", "best_of_n"),
        ("", "''", "majority"),
        ("beam(width=4", "'beam(width=4'", "with options as in"),
        ("beam(4)", "no option '4'", "width"),
        ("beam(depth=3)", "no option 'depth'", "width, rounds, step, answer"),
        ("majority(width=4)", "no option 'width'", "early"),
        ("beam(width=wide)", "width='wide'", "whole number"),
        ("beam(width=2.5)", "width='2.5'", "whole number"),
        ("beam(width=)", "width=''", "whole number"),
        ("beam(width)", "width=''", "whole number"),
        ("beam(rounds=sqrt)", "rounds='sqrt'", "whole number"),
        ("best_of_n(step=max)", "step='max'", "last, min, prod, mean"),
        ("best_of_n(answer=sum)", "answer='sum'", "max, weighted, majority"),
        ("beam(width=0)", "0", "at least 1"),
        ("beam(rounds=0)", "0", "at least one round"),
        ("lookahead(depth=-1)", "-1", "0 is beam search"),
        ("lookahead(rounds=-2)", "-2", "at least one round"),
        ("beam(width=2,width=8)", "'width' is given twice", "keep one"),
    ],
)
def test_a_mistake_names_what_was_seen_and_the_way_out(written, seen, way_out):
    with pytest.raises(UsageError) as caught:
        strategy(written)
    message = str(caught.value)
    assert seen in message and way_out in message and "\n" not in message


def test_a_mistake_is_the_callers():
    with pytest.raises(OutthinkError) as caught:
        strategy("beem")
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, ValueError)


def test_a_budget_is_at_least_one_generation():
    with pytest.raises(UsageError, match="budget 0 is below 1"):
        Budget(0)


@pytest.mark.parametrize("name", ["best_of_n", "greedy", "genselect", "gensynthesis", "usc"])
def test_who_scores_is_not_asked_to_write(name):
    with pytest.raises(UsageError, match="by=verifier: who scores does not write"):
        _ = strategy(f"{name}(by=verifier)").about
