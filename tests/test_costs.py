"""Three cost models: equal to hand computation, to closed forms, and to an operation counter."""

from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from contract import Tree, Words, Worth, results, same_every_time, solve_one, traced
from hypothesis import given
from hypothesis import strategies as st
from lab_fixtures import TINY, TINY_VERIFIER, plain_attend, random_gpt, some_problems
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from outthink.errors import UsageError
from outthink.lab import recipes, tokenizer
from outthink.lab.engine import LabProposer, LabVerifier
from outthink.lab.gpt import GPT, Cache
from outthink.lab.models import LabModels
from outthink.measure.costs import COST_MODELS, attention, cost_model, memory, paper, pretraining
from outthink.models import shape
from outthink.models.shape import ModelShape
from outthink.run.journal import Job
from outthink.run.ledger import Meter
from outthink.run.team import Team
from outthink.search import strategy
from outthink.types import Budget, Drawn, Problem, Propose, Solution, Usage, Verify

LLAMA_3_8B = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
QWEN_2_5_7B = {
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "max_window_layers": 28,
    "model_type": "qwen2",
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "sliding_window": 131072,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
    "vocab_size": 152064,
}
TINY_LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 22,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
    "torch_dtype": "float32",
    "vocab_size": 32000,
}
GEMMA_2B = {
    "architectures": ["GemmaForCausalLM"],
    "attention_bias": False,
    "head_dim": 256,
    "hidden_size": 2048,
    "intermediate_size": 16384,
    "model_type": "gemma",
    "num_attention_heads": 8,
    "num_hidden_layers": 18,
    "num_key_value_heads": 1,
    "torch_dtype": "bfloat16",
    "vocab_size": 256000,
}
QWEN_3_06B = {
    "architectures": ["Qwen3ForCausalLM"],
    "attention_bias": False,
    "head_dim": 128,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "model_type": "qwen3",
    "num_attention_heads": 16,
    "num_hidden_layers": 28,
    "num_key_value_heads": 8,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
    "vocab_size": 151936,
}

SPENT = Usage(
    generations=4,
    prompt_tokens=7,
    cached_tokens=1000,
    decoded_tokens=3,
    discarded_tokens=2,
    verifier_tokens=5,
    verifier_cached_tokens=1000,
    prompt_attended=28,
    decoded_attended=27,
    verifier_attended=15,
    kv_reads=20,
)


def a_shape(parameters, *, name="small", **options):
    """One layer, two heads of four over one key and value head."""
    sizes = {"layers": 1, "width": 8, "heads": 2, "kv_heads": 1, "head_dim": 4} | options
    return ModelShape(name, parameters, parameters, **sizes)


SMALL, TINIER = a_shape(100), a_shape(10, layers=2)


# By hand -----------------------------------------------------------------------------------------


def test_flops_are_two_a_parameter_for_every_token_computed():
    assert paper(replace(SPENT, verifier_tokens=0), proposer=SMALL) == 2 * 100 * (7 + 3)
    assert paper(SPENT, proposer=SMALL, verifier=TINIER) == 2 * 100 * (7 + 3) + 2 * 10 * 5


def test_flops_of_attention_are_four_a_head_dimension_for_every_token_attended_to():
    found = attention(SPENT, proposer=SMALL, verifier=TINIER)
    # 4 * layers * heads * head_dim: 4 * 1 * 2 * 4 = 32 for the one, 4 * 2 * 2 * 4 = 64 the other.
    assert found == 2100 + 32 * (28 + 27) + 64 * 15


def test_flops_of_memory_charge_every_byte_of_keys_and_values_read():
    # 2 * layers * kv_heads * head_dim = 8 numbers a token, of two bytes each.
    found = memory(SPENT, proposer=SMALL, verifier=TINIER)
    assert found == 2100 + 2720 + 562.5 * 20 * 8 * 2
    found = memory(SPENT, proposer=replace(SMALL, element_bytes=4), verifier=TINIER, intensity=10.0)
    assert found == 2100 + 2720 + 10.0 * 20 * 8 * 4


def test_flops_of_pretraining_are_six_a_parameter_and_token():
    assert pretraining(SMALL, tokens=50) == 6 * 100 * 50


def test_flops_are_the_same_step_by_step_as_in_one_go():
    world = Tree({"": "a", "a": "b", "ab": "c", "abc": "d", "abcd": "e"})
    for cost in COST_MODELS.values():
        spent = [
            cost(
                solve_one(name, 1, Words(world), Worth(world)).outcome.usage,
                proposer=SMALL,
                verifier=TINIER,
            )
            for name in ("best_of_n", "beam")
        ]
        assert spent[0] == spent[1]
    assert paper(Usage(prompt_tokens=10, decoded_tokens=5), proposer=SMALL) == 2 * 100 * (10 + 5)


def test_flops_of_a_verifier_nobody_described_are_not_left_out():
    for cost in COST_MODELS.values():
        with pytest.raises(UsageError, match="no verifier was given; give its ModelShape"):
            cost(SPENT, proposer=SMALL)
        cost(replace(SPENT, verifier_tokens=0, verifier_attended=0), proposer=SMALL)


def test_flops_are_asked_for_by_the_name_of_the_cost_model():
    assert [cost_model(name) for name in ("paper", "attention", "memory")] == [
        paper,
        attention,
        memory,
    ]
    with pytest.raises(UsageError, match="'palm' is none of paper, attention, memory"):
        cost_model("palm")


# Published architectures -------------------------------------------------------------------------

# A prompt of 100 tokens and one solution of 50, by hand:
ONE_SOLUTION = Usage(
    prompt_tokens=100,
    decoded_tokens=50,
    prompt_attended=100 * 101 // 2,  # 5,050
    decoded_attended=50 * 100 + 50 * 51 // 2,  # 6,275
    kv_reads=6_275,
)


def test_flops_of_llama_3_8b_are_those_computed_by_hand():
    shape = ModelShape.from_config(LLAMA_3_8B, name="Llama-3-8B")
    table = 128_256 * 4096  # 525,336,576
    queries_and_output = 2 * 4096 * 4096  # 33,554,432
    keys_and_values = 2 * 4096 * (8 * 128)  # 8,388,608
    perceptron = 3 * 4096 * 14_336  # 176,160,768
    norms = 2 * 4096
    layers = 32 * (queries_and_output + keys_and_values + perceptron + norms)  # 6,979,584,000
    assert shape.parameters == table + layers + 4096 + table == 8_030_261_248
    assert shape.multiplied_parameters == layers + 4096 + table == 7_504_924_672
    assert paper(ONE_SOLUTION, proposer=shape) == 2 * 7_504_924_672 * 150 == 2_251_477_401_600
    attended = 4 * 32 * 4096 * (5050 + 6275)  # 5,937,561,600
    assert attention(ONE_SOLUTION, proposer=shape) == 2_251_477_401_600 + attended
    read = 2 * 32 * (8 * 128) * 2 * 6275  # 131,072 bytes a token: 822,476,800
    assert memory(ONE_SOLUTION, proposer=shape) == 2_257_414_963_200 + 562.5 * read
    assert (attended, read) == (5_937_561_600, 822_476_800)


def test_flops_of_qwen_2_5_7b_are_those_computed_by_hand():
    shape = ModelShape.from_config(QWEN_2_5_7B, name="Qwen2.5-7B")
    table = 152_064 * 3584  # 544,997,376
    queries_and_output = 2 * 3584 * 3584
    keys_and_values = 2 * 3584 * (4 * 128)
    biases = 3584 + 2 * (4 * 128)  # of queries, keys and values, none of the output
    perceptron = 3 * 3584 * 18_944
    layers = 28 * (queries_and_output + keys_and_values + biases + perceptron + 2 * 3584)
    assert shape.parameters == table + layers + 3584 + table == 7_615_616_512
    assert shape.multiplied_parameters == 7_615_616_512 - 544_997_376 == 7_070_619_136
    assert paper(ONE_SOLUTION, proposer=shape) == 2 * 7_070_619_136 * 150 == 2_121_185_740_800
    attended = 4 * 28 * 3584 * (5050 + 6275)
    assert attention(ONE_SOLUTION, proposer=shape) == 2_121_185_740_800 + attended
    read = 2 * 28 * (4 * 128) * 2 * 6275  # 57,344 bytes a token
    assert memory(ONE_SOLUTION, proposer=shape) == 2_121_185_740_800 + attended + 562.5 * read
    assert (attended, read) == (4_545_945_600, 359_833_600)


def test_flops_of_tiny_llama_are_those_computed_by_hand():
    shape = ModelShape.from_config(TINY_LLAMA, name="TinyLlama-1.1B")
    table = 32_000 * 2048  # 65,536,000
    layers = 22 * (2 * 2048 * 2048 + 2 * 2048 * (4 * 64) + 3 * 2048 * 5632 + 2 * 2048)
    assert shape.parameters == table + layers + 2048 + table == 1_100_048_384
    assert shape.multiplied_parameters == 1_034_512_384
    assert paper(ONE_SOLUTION, proposer=shape) == 2 * 1_034_512_384 * 150 == 310_353_715_200
    attended = 4 * 22 * 2048 * (5050 + 6275)
    assert attention(ONE_SOLUTION, proposer=shape) == 310_353_715_200 + attended
    read = 2 * 22 * (4 * 64) * 4 * 6275  # its weights are kept in float32
    assert memory(ONE_SOLUTION, proposer=shape) == 310_353_715_200 + attended + 562.5 * read


def test_flops_of_gemma_2b_count_its_tied_table_once_and_its_wide_heads():
    shape = ModelShape.from_config(GEMMA_2B, name="Gemma-2B")
    table = 256_000 * 2048  # looked up, and multiplied with at the end
    layers = 18 * (2 * 2048 * (8 * 256) + 2 * 2048 * 256 + 3 * 2048 * 16_384 + 2 * 2048)
    assert shape.parameters == table + layers + 2048 == 2_506_172_416
    assert shape.multiplied_parameters == shape.parameters
    assert paper(ONE_SOLUTION, proposer=shape) == 2 * 2_506_172_416 * 150
    assert shape.kv_elements == 2 * 18 * 256  # one head of keys and values for eight of queries


def test_flops_of_qwen_3_count_the_norms_of_its_heads():
    shape = ModelShape.from_config(QWEN_3_06B, name="Qwen3-0.6B")
    layers = 28 * (2 * 1024 * 2048 + 2 * 1024 * 1024 + 3 * 1024 * 3072 + 2 * 1024 + 2 * 128)
    assert shape.parameters == 151_936 * 1024 + layers + 1024 == 596_049_920
    assert shape.attended_flops == 4 * 28 * 16 * 128  # twice what its width of 1024 would say


def test_flops_of_a_reward_model_are_those_of_its_own_head():
    config = LLAMA_3_8B | {"architectures": ["LlamaForSequenceClassification"]}
    with pytest.raises(
        UsageError, match=r"ForSequenceClassification has .* give .* head_parameters"
    ):
        ModelShape.from_config(config)
    shape = ModelShape.from_config(config, head_parameters=4096)
    assert shape.parameters == 8_030_261_248 - 128_256 * 4096 + 4096
    assert shape.multiplied_parameters == 7_504_924_672 - 128_256 * 4096 + 4096
    tied = ModelShape.from_config(GEMMA_2B, head_parameters=2048)
    assert tied.parameters - tied.multiplied_parameters == 256_000 * 2048  # now looked up alone


def test_flops_of_biases_are_counted_where_a_config_has_them():
    plain = ModelShape.from_config(LLAMA_3_8B).parameters
    biased = ModelShape.from_config(LLAMA_3_8B | {"attention_bias": True, "mlp_bias": True})
    of_a_layer = 4096 + 2 * (8 * 128) + 4096 + 2 * 14_336 + 4096
    assert biased.parameters == plain + 32 * of_a_layer


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_hidden_layers": None}, "config of 'm' has no num_hidden_layers; give the whole"),
        ({"vocab_size": "32000"}, "vocab_size is '32000', not a whole number above 0"),
        ({"hidden_size": True}, "hidden_size is True, not a whole number"),
        ({"intermediate_size": 0}, "intermediate_size is 0"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no', not true or false"),
        ({"model_type": "mixtral"}, "'mixtral' is none of llama, mistral, qwen2, qwen3, gemma;"),
        ({"model_type": None}, "model_type None is none of"),
        ({"num_attention_heads": 24}, "hidden_size 4096 over 24 heads .* give head_dim"),
        ({"num_key_value_heads": 5}, "32 heads cannot share 5"),
        ({"torch_dtype": "float8_e4m3fn"}, "'float8_e4m3fn' is none of float32"),
        ({"model_type": "mistral", "sliding_window": 4096}, "slides over 4096 tokens"),
        ({"sliding_window": 512, "use_sliding_window": True}, "slides over 512 tokens"),
        ({"model_type": "qwen2", "num_key_value_heads": None}, "has no num_key_value_heads"),
    ],
)
def test_flops_of_a_config_that_does_not_say_enough_are_refused(change, said):
    with pytest.raises(UsageError, match=said):
        ModelShape.from_config(LLAMA_3_8B | change, name="m")


def test_flops_of_an_older_config_take_what_it_leaves_out():
    older = {k: v for k, v in LLAMA_3_8B.items() if k not in ("torch_dtype", "num_key_value_heads")}
    shape = ModelShape.from_config(older)
    assert (shape.kv_heads, shape.element_bytes, shape.name) == (32, 2, "llama")
    assert ModelShape.from_config(older | {"dtype": "float32"}).element_bytes == 4


@pytest.mark.parametrize("field", shape._COUNTED)
def test_flops_of_an_impossible_shape_are_refused(field):
    with pytest.raises(UsageError, match=f"{field} is 0; give 1 or more"):
        replace(SMALL, **{field: 0})


# The closed form of Sadhukhan et al. 2025 --------------------------------------------------------


def trials(prompt, lengths):
    """The ledger of trials on one prompt, which is read once."""
    start = Solution.start(Problem("p", ""))
    drawn = [
        Drawn(replace(start, number=number), 0 if number else prompt, prompt if number else 0, n)
        for number, n in enumerate(lengths)
    ]
    meter = Meter()
    meter.proposed(Propose([start] * len(drawn)), drawn, 0.0)
    return meter.total([row.solution for row in drawn])


def beyond_the_closed_form(shape, prompt, lengths):
    """Of `memory`: the prompt's compute, and half a token of context for every token decoded."""
    r, d = shape.heads // shape.kv_heads, shape.kv_elements
    read = 2 * shape.multiplied_parameters * prompt + r * d * prompt * (prompt + 1)
    return read + (r * d + 562.5 * d) * sum(lengths)


@pytest.mark.parametrize("config", [LLAMA_3_8B, QWEN_2_5_7B, QWEN_3_06B])
@pytest.mark.parametrize(("n", "l_in", "l_out"), [(1, 200, 1), (8, 200, 1024), (64, 37, 8192)])
def test_flops_of_memory_are_the_closed_form_of_kinetics(config, n, l_in, l_out):
    shape, i = ModelShape.from_config(config), 562.5
    p, d = shape.multiplied_parameters, shape.kv_elements
    r = shape.heads // shape.kv_heads
    closed = (
        2 * n * p * l_out
        + 2 * r * n * l_in * d * l_out
        + r * n * d * l_out**2
        + 2 * i * l_in * d * l_out
        + i * n * d * l_out**2
    )
    lengths = [l_out] * n
    found = memory(trials(l_in, lengths), proposer=shape)
    assert found == closed + beyond_the_closed_form(shape, l_in, lengths)


def test_flops_of_trials_of_different_lengths_are_the_mean_of_their_closed_forms():
    # As in the authors' code: the mean over trials of what N of that length would cost.
    shape, lengths, l_in = ModelShape.from_config(QWEN_3_06B), [10, 30, 40, 100, 20], 50
    p, d, n = shape.multiplied_parameters, shape.kv_elements, len(lengths)
    r = shape.heads // shape.kv_heads
    compute = [2 * p * n * x + r * d * n * (2 * l_in + x) * x for x in lengths]
    moved = [562.5 * d * (2 * l_in + n * x) * x for x in lengths]
    found = memory(trials(l_in, lengths), proposer=shape)
    closed = (sum(compute) + sum(moved)) / n
    assert found == pytest.approx(closed + beyond_the_closed_form(shape, l_in, lengths), rel=1e-12)


# An independent counter --------------------------------------------------------------------------

COUNTED_SHAPES = [recipes.S, TINY_VERIFIER, TINY]


@pytest.fixture
def plain_attention(monkeypatch):
    """The lab's attention as products that a counter of operations sees."""
    monkeypatch.setattr("outthink.lab.gpt.attend", plain_attend)


def counted(model, cache, tokens):
    """FLOPs that a counter of operations sees while these tokens are read one by one."""
    counter = FlopCounterMode(display=False)
    with counter, torch.inference_mode():
        for token in tokens:
            model.extend(torch.tensor([[token]]), cache)
    return counter.get_total_flops()


@pytest.mark.parametrize("shape", COUNTED_SHAPES)
@pytest.mark.usefixtures("plain_attention")
def test_flops_of_cached_decoding_are_what_a_counter_counts(shape):
    model, length = random_gpt(shape), tokenizer.CONTEXT
    cache = Cache.empty(shape, 1, model.head.weight)
    seen = counted(model, cache, [1] * length)
    usage = Usage(decoded_tokens=length, decoded_attended=length * (length + 1) // 2)
    assert attention(usage, proposer=model.model_shape("counted")) == seen


@pytest.mark.parametrize("shape", COUNTED_SHAPES)
def test_flops_of_forward_are_what_a_counter_counts_but_for_the_tokens_it_masks(shape):
    model, length = random_gpt(shape), tokenizer.CONTEXT
    counter = FlopCounterMode(display=False)
    # The math kernel, of which the counter sees every product; it masks what it has computed.
    with counter, torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        model(torch.ones(1, length, dtype=torch.long))
    found = model.model_shape("counted")
    usage = Usage(prompt_tokens=length, prompt_attended=length * (length + 1) // 2)
    masked = found.attended_flops * length * (length - 1) // 2
    assert attention(usage, proposer=found) + masked == counter.get_total_flops()


@pytest.mark.parametrize("name", ["majority", "best_of_n", "beam(width=2)"])
@pytest.mark.usefixtures("plain_attention")
def test_flops_of_a_search_in_the_lab_are_what_a_counter_counts(name):
    writer, judge = random_gpt(TINY), random_gpt(TINY_VERIFIER, seed=1)
    proposer, verifier = LabProposer(writer, "writer"), LabVerifier(judge, "judge")
    [problem], log = some_problems(1), []
    job = Job(problem, traced(strategy(name), log), Budget(4))
    [result] = results(Team.of(proposer, verifier), [job])
    usage = result.outcome.usage
    assert usage.cached_tokens > 0 and (usage.verifier_cached_tokens > 0) == (name != "majority")
    cost = attention(usage, proposer=proposer.shape, verifier=verifier.shape)
    assert cost == replayed(problem, log, writer, judge)


def replayed(problem, log, writer, judge):
    """A counter's FLOPs for the same search, every token read once behind its prefix."""
    prompt = tokenizer.encode_prompt(problem.prompt)
    parents, judged, total = {}, set(), 0

    def read(model, before, new):
        cache = Cache.empty(model.shape, 1, model.head.weight)
        if before:
            with torch.inference_mode():
                model.extend(torch.tensor([before]), cache)
        return counted(model, cache, new)

    total += read(writer, (), prompt)
    for request, response in log:
        if isinstance(request, Propose):
            for prefix, drawn in zip(request.prefixes, response, strict=True):
                if prefix.is_open:
                    parents[drawn.number] = prefix
                    own = drawn.tokens[len(prefix.tokens) :]
                    total += read(writer, (*prompt, *prefix.tokens), own)
        elif isinstance(request, Verify):
            for solution in request.solutions:
                if solution.number in judged or not solution.steps:
                    continue
                total += 0 if judged else read(judge, (), prompt)
                judged.add(solution.number)
                prefix = parents[solution.number]
                known = prefix.tokens if prefix.number in judged else ()
                own = solution.tokens[len(known) :]
                total += read(judge, (*prompt, *known), own)
    return total


def test_flops_of_the_lab_are_by_the_shapes_of_its_engines():
    models = LabModels()
    small, large, judge = models.proposer("s"), models.proposer("l"), models.verifier()
    assert small.shape.name == small.name and judge.shape.name == judge.name
    assert small.shape.parameters == small.parameters_count
    assert 13 < large.shape.multiplied_parameters / small.shape.multiplied_parameters < 15
    # What is looked up: the tables of tokens, steps, places in them, and tokens a step before.
    gpt = GPT(recipes.S)
    tables = (gpt.token, gpt.step, gpt.offset, gpt.shifted)
    looked_up = sum(table.weight.numel() for table in tables)
    assert small.shape.parameters - small.shape.multiplied_parameters == looked_up


# In any usage ------------------------------------------------------------------------------------

counts = st.integers(0, 2**20)
usages = st.builds(Usage, **{each.name: counts for each in fields(Usage) if each.name != "seconds"})
cost_models = st.sampled_from([*COST_MODELS.values(), partial(memory, intensity=2.0)])
FREE = ("generations", "cached_tokens", "discarded_tokens", "verifier_cached_tokens")
"""Counted under another name, or not paid for."""


@same_every_time
@given(usages, usages, cost_models)
def test_flops_add_up(one, other, cost):
    cost = partial(cost, proposer=SMALL, verifier=TINIER)
    assert cost(one) + cost(other) == cost(one + other)
    assert cost(Usage()) == 0


@same_every_time
@given(usages, counts, cost_models, st.sampled_from(FREE))
def test_flops_of_cached_tokens_are_nothing(usage, more, cost, field):
    cost = partial(cost, proposer=SMALL, verifier=TINIER)
    assert cost(replace(usage, **{field: more})) == cost(usage)


PAID = {
    "paper": {"prompt_tokens", "decoded_tokens", "verifier_tokens"},
    "attention": {"prompt_attended", "decoded_attended", "verifier_attended"},
    "memory": {"kv_reads"},
}
"""What each model charges for that the one before it does not."""


@same_every_time
@given(usages, st.integers(1, 2**20), st.sampled_from([e.name for e in fields(Usage)]))
def test_flops_grow_with_every_token_that_is_paid_for_and_with_nothing_else(usage, more, field):
    paid = set()
    grown = replace(usage, **{field: getattr(usage, field) + more})
    for name, cost in COST_MODELS.items():
        paid |= PAID[name]
        before, after = (cost(each, proposer=SMALL, verifier=TINIER) for each in (usage, grown))
        assert after > before if field in paid else after == before


@same_every_time
@given(usages)
def test_flops_of_each_model_are_at_least_those_of_the_one_before(usage):
    found = [cost(usage, proposer=SMALL, verifier=TINIER) for cost in COST_MODELS.values()]
    assert found == sorted(found)
