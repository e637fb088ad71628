"""Process reward models: every family is read where, and as, its authors read it."""

import random
from dataclasses import replace

import pytest
import tiny_prms
from contract import Waiting, check_verifier
from tiny_prms import BYTES, KINDS, TINY, Kind, example, train

from outthink.errors import UsageError, WeightsError
from outthink.types import Problem, Scores, Solution, State
from outthink.verify import prm
from outthink.verify.families import FAMILIES, Words, detected
from outthink.verify.written import reading

every_family = pytest.mark.parametrize("name", KINDS)


class Letters:
    """A proposer whose tokens are letters."""

    name = "letters"

    def propose_batch(self, draws):
        raise NotImplementedError

    def decode(self, tokens):
        return "".join(map(chr, tokens))


def solution(problem, steps, *, begun="", finished=False, state=None):
    """The text of steps, each with an empty line behind it, as a proposer writes it."""
    ends, text = [], ""
    for step in steps:
        text += f"{step}\n\n"
        ends.append(len(text))
    tokens = tuple(map(ord, text + begun))
    return Solution(Problem(problem, problem), tokens, tuple(ends), finished, state=state)


def examples(count, seed=1, **options):
    rng = random.Random(seed)
    return [example(rng, **options) for _ in range(count)]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A random model of each family, and its reader of the checkpoint it was saved as."""
    made = {}

    def of(name):
        if name not in made:
            kind = KINDS[name]
            model = kind.make()
            path = kind.save(model, tmp_path_factory.mktemp(name))
            made[name] = kind, model, prm.load(path, name, device="cpu")
        return made[name]

    return of


def verifier_of(reader):
    return Waiting(reading(reader, Letters()))


def test_every_family_is_tested():
    assert set(KINDS) == {row.name for row in FAMILIES}


@every_family
def test_scores_equal_the_slow_way_one_solution_at_a_time(name, loaded):
    kind, model, reader = loaded(name)
    asked = examples(12)
    rows = verifier_of(reader).verify_batch(
        [solution(problem, steps) for problem, steps, _ in asked]
    )
    for row, (problem, steps, _) in zip(rows, asked, strict=True):
        assert row.scores.steps == pytest.approx(kind.scores(model, problem, steps), abs=1e-5)
        ids, places = kind.slow(kind.tokenizer, problem, steps)
        assert row.computed_tokens == places[-1] + 1 <= len(ids)
        assert 0 < row.shared_tokens < row.computed_tokens


@every_family
def test_a_freshly_trained_model_separates_two_labels_where_it_is_read(name, tmp_path):
    kind = KINDS[name]
    model = train(kind, kind.make())
    reader = prm.load(kind.save(model, tmp_path), name, device="cpu")
    held_out = examples(40, seed=2)
    rows = verifier_of(reader).verify_batch(
        [solution(problem, steps) for problem, steps, _ in held_out]
    )
    right, wrong = [], []
    for row, (_, _, labels) in zip(rows, held_out, strict=True):
        for score, label in zip(row.scores.steps, labels, strict=True):
            (right if label else wrong).append(score)
    assert sum(right) / len(right) - sum(wrong) / len(wrong) > 0.8
    pairs = [(r, w) for r in right for w in wrong]
    assert sum(r > w for r, w in pairs) / len(pairs) > 0.97


@every_family
def test_contract(name, loaded):
    _, _, reader = loaded(name)
    asked = [solution(problem, steps) for problem, steps, _ in examples(5)]
    asked += [solution("1?", []), solution("1?", ["ab"], begun="half a st")]
    check_verifier(verifier_of(reader), asked, tolerance=1e-5)


@every_family
def test_step_by_step_equals_from_scratch_and_reads_nothing_twice(name, loaded):
    kind, model, reader = loaded(name)
    verifier = verifier_of(reader)
    problem, steps, _ = examples(1, seed=5, steps=4)[0]
    state, total = State(), 0
    for count in range(1, 5):
        (row,) = verifier.verify_batch([solution(problem, steps[:count], state=state)])
        expected = kind.scores(model, problem, steps[:count])
        assert row.scores.steps == pytest.approx(expected, abs=1e-5)
        _, places = kind.slow(kind.tokenizer, problem, steps[:count])
        assert row.computed_tokens + row.cached_tokens == places[-1] + 1
        assert row.cached_tokens == total
        total = places[-1] + 1
    (again,) = verifier.verify_batch([solution(problem, steps, state=state)])
    assert (again.computed_tokens, again.cached_tokens) == (0, total)
    assert again.scores == row.scores


def test_children_of_one_prefix_go_on_from_what_was_read_of_it(loaded):
    kind, model, reader = loaded("math-shepherd")
    verifier = verifier_of(reader)
    state = State()
    verifier.verify_batch([solution("7?", ["abc"], state=state), solution("8?", ["ab"])])
    children = [
        solution("7?", ["abc", step], state=State(verifier=state.verifier)) for step in "xyz"
    ]
    others = [solution("8?", ["abcabcabc", "b"], state=State()), solution("7?", ["cb"])]
    rows = verifier.verify_batch([*children, *others])
    for row, step in zip(rows, "xyz", strict=False):
        assert row.scores.steps == pytest.approx(kind.scores(model, "7?", ["abc", step]), abs=1e-5)
        assert row.cached_tokens > row.computed_tokens
    assert [row.cached_tokens for row in rows[3:]] == [0, 0]
    expected = kind.scores(model, "8?", ["abcabcabc", "b"])
    assert rows[3].scores.steps == pytest.approx(expected, abs=1e-5)


def test_what_was_read_of_another_solution_is_used_as_far_as_it_is_the_same(loaded):
    kind, model, reader = loaded("trl")
    verifier = verifier_of(reader)
    state = State()
    verifier.verify_batch([solution("7?", ["abc", "def"], state=state)])
    (row,) = verifier.verify_batch([solution("7?", ["abc", "dxx", "g"], state=state)])
    assert row.scores.steps == pytest.approx(
        kind.scores(model, "7?", ["abc", "dxx", "g"]), abs=1e-5
    )
    assert row.cached_tokens > 0


def test_small_batches_give_the_same_scores(loaded, tmp_path):
    kind, model, reader = loaded("qwen-prm")
    path = kind.save(model, tmp_path)
    small = prm.load(path, "qwen-prm", device="cpu", tokens_at_once=1)
    asked = [solution(problem, steps) for problem, steps, _ in examples(9, seed=4)]
    for one, other in zip(
        verifier_of(small).verify_batch(asked), verifier_of(reader).verify_batch(asked), strict=True
    ):
        assert one.scores.steps == pytest.approx(other.scores.steps, abs=1e-5)
        assert replace(one, scores=Scores()) == replace(other, scores=Scores())


@every_family
def test_a_step_beyond_what_the_model_can_read_has_no_score(name, loaded):
    _, _, reader = loaded(name)
    (row,) = verifier_of(reader).verify_batch([solution("1?", ["abc", "x" * TINY_LONGEST, "a"])])
    first, *others = row.scores.steps
    assert first is not None and others == [None, None]
    (nothing,) = verifier_of(reader).verify_batch([solution("1" * TINY_LONGEST, ["a"])])
    assert nothing.scores == Scores((None,)) and nothing.computed_tokens == 0


TINY_LONGEST = TINY["max_position_embeddings"]


@every_family
def test_a_step_that_writes_the_mark_itself_does_not_shift_the_scores(name, loaded):
    _, _, reader = loaded(name)
    tag = (reader.family.tag or "\n").strip(" ")
    (row,) = verifier_of(reader).verify_batch([solution("1?", [f"a{tag}b", "c"])])
    assert len(row.scores.steps) == 2 and row.scores.last is not None


def test_the_empty_line_behind_a_step_is_no_step_of_its_own(loaded):
    for name in KINDS:
        kind, _, reader = loaded(name)
        ids = reader.encoder.encode("1?", ("ab\n\n", "\nc\n\n")).ids
        wanted, places = kind.slow(kind.tokenizer, "1?", ["ab", "c"])
        assert list(ids) == wanted[: places[-1] + 1], name


def test_the_family_follows_from_the_name_or_the_configuration(tmp_path):
    names = {
        "Qwen/Qwen2.5-Math-PRM-7B": "qwen-prm",
        "Qwen/Qwen2.5-Math-7B-PRM800K": "qwen-prm",
        "peiyi9979/math-shepherd-mistral-7b-prm": "math-shepherd",
        "RLHFlow/Llama3.1-8B-PRM-Mistral-Data": "rlhflow",
        "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data": "rlhflow",
        "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B": "skywork",
        "Windy0822/PQM": "pqm",
        "HuggingFaceH4/Qwen2.5-Math-7B-Instruct-PRM-0.2": "trl-blank",
        "openreasoner/Math-psa": "math-psa",
        "ScalableMath/llemma-7b-prm-prm800k-level-1to3-hf": "llemma",
        "somewhere/er-prm-8b": "er-prm",
    }
    assert {name: detected(name).name for name in names} == names
    assert detected("mine", ["Qwen2ForTokenClassification"]).name == "trl"
    assert detected("mine", ["Qwen2ForProcessRewardModel"]).name == "qwen-prm"
    with pytest.raises(UsageError, match=r"prm:mine\?family=NAME: math-shepherd, rlhflow"):
        detected("mine", ["Qwen2ForCausalLM"])


def test_a_model_of_your_own_is_a_row_of_your_own(tmp_path):
    kind = Kind(BYTES, KINDS["trl-blank"].slow, tiny_prms.choice("y", "n"))
    model = kind.make()
    row = replace(prm.family("trl-blank"), name="mine", readout=Words("y", "n"))
    reader = prm.load(kind.save(model, tmp_path), row, device="cpu")
    (found,) = verifier_of(reader).verify_batch([solution("1?", ["ab", "c"])])
    assert found.scores.steps == pytest.approx(kind.scores(model, "1?", ["ab", "c"]), abs=1e-5)


def test_a_tokenizer_without_the_step_tag_is_refused_with_the_way_out(tmp_path):
    kind = Kind(BYTES, None, None, head="v_head.summary")
    path = kind.save(kind.make(), tmp_path)
    with pytest.raises(UsageError, match=r"no token for '\[PRM\]'.*\?family=NAME") as refused:
        prm.load(path, "pqm", device="cpu")
    assert "\n" not in str(refused.value)


def test_a_tokenizer_without_a_chat_template_is_refused_where_one_is_needed(tmp_path):
    kind = Kind(tiny_prms.bytes_tokenizer("<extra_0>"), None, None, head="score")
    with pytest.raises(UsageError, match="no chat template"):
        prm.load(kind.save(kind.make(), tmp_path), "qwen-prm", device="cpu")


def test_weights_that_are_not_there_are_an_error_and_not_random(tmp_path):
    language = Kind(BYTES, None, None)
    path = language.save(language.make(), tmp_path)
    with pytest.raises(WeightsError, match="no head of a reward model"):
        prm.load(path, "trl", device="cpu")
    value = KINDS["skywork"]
    other = value.save(value.make(), tmp_path / "value")
    with pytest.raises(WeightsError, match="weights are not there, such as lm_head"):
        prm.load(other, replace(prm.family("trl"), readout=Words("y", "n")), device="cpu")
    with pytest.raises(WeightsError, match="its head gives 1 numbers"):
        prm.load(other, "trl", device="cpu")


def test_the_name_pins_the_weights_and_how_they_are_read(tmp_path):
    kind = KINDS["trl"]
    first = kind.save(kind.make(0), tmp_path / "one" / "prm")
    second = kind.save(kind.make(1), tmp_path / "two" / "prm")
    names = [prm.load(first, "trl", device="cpu").name, prm.load(first, "trl", device="cpu").name]
    assert names[0] == names[1] and names[0].startswith("prm-")
    assert prm.load(second, "trl", device="cpu").name != names[0]
    assert prm.load(first, "trl-blank", device="cpu").name != names[0]
