"""The compiled loops: what a plain implementation gives, for each row alone."""

import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lab_fixtures import plain_attend, tokens_of, write_tokens
from torch.nn import functional as F

from outthink.lab.kernels import LANES, attend, block_size, blocks, normed, padded


def some(*size, seed=0, spread=1.0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed)) * spread


def operands(rows, heads, depth, start, new, *, spare=0, seed=0, spread=1.0):
    """What `attend` takes, with `start` tokens cached and what lies behind them unusable."""
    cached = some(rows, heads, blocks(start + new) + spare, block_size(depth), seed=1)
    keys, values = tokens_of(cached, depth)
    keys[:, :, :start] *= spread
    keys[:, :, start:], values[:, :, start:] = torch.nan, torch.nan
    write_tokens(cached, keys, values)
    angles = some(new, depth // 2, seed=seed + 3)
    projected = some(rows, new, 3 * heads * depth, seed=seed, spread=spread)
    return projected, cached, start, (angles.cos(), angles.sin())


shapes = st.tuples(
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from([2, 8, 16, 18, 36, 64]),
    st.integers(0, 70),
    st.integers(1, 40),
)


@given(shapes, st.integers(0, 2), st.integers(0, 99), st.sampled_from([0.01, 1.0, 4.0]))
def test_attention_is_what_two_products_and_a_softmax_give(shape, spare, seed, spread):
    ours = operands(*shape, spare=spare, seed=seed, spread=spread)
    plain = operands(*shape, spare=spare, seed=seed, spread=spread)
    torch.testing.assert_close(attend(*ours), plain_attend(*plain), rtol=1e-4, atol=1e-4)
    _, _, depth, start, new = shape
    for part, same in zip(tokens_of(ours[1], depth), tokens_of(plain[1], depth), strict=True):
        torch.testing.assert_close(part[:, :, : start + new], same[:, :, : start + new])
        assert part[:, :, start + new :].isnan().all()


@given(shapes, st.integers(0, 99), st.data())
def test_a_row_comes_out_bit_for_bit_whatever_is_beside_it(shape, seed, data):
    projected, cached, start, turn = operands(*shape, seed=seed)
    chosen = data.draw(st.lists(st.integers(0, shape[0] - 1), min_size=1, max_size=9))
    alone = attend(projected[chosen], cached[chosen], start, turn)
    assert torch.equal(alone, attend(projected, cached, start, turn)[chosen])


@given(shapes, st.integers(0, 99), st.data())
def test_tokens_one_after_the_other_come_out_bit_for_bit_as_at_once(shape, seed, data):
    projected, cached, start, (cosine, sine) = operands(*shape, seed=seed)
    at_once = attend(projected, cached.clone(), start, (cosine, sine))
    cut = data.draw(st.integers(0, shape[4]))
    for part in (slice(0, cut), slice(cut, shape[4])):
        if part.start < part.stop:
            new, turn = projected[:, part].contiguous(), (cosine[part], sine[part])
            piece = attend(new, cached, start + part.start, turn)
            assert torch.equal(piece, at_once[:, part])


def test_a_token_that_sees_itself_alone_gets_its_own_values():
    projected, cached, _, turn = operands(3, 2, 8, 0, 1, spread=50.0)
    torch.testing.assert_close(attend(projected, cached, 0, turn), projected[..., 32:])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda p, c, s, t: (p[:, :, :-3].contiguous(), c, s, t), ValueError),
        (lambda p, c, s, t: (p[:2], c, s, t), ValueError),
        (lambda p, c, s, t: (p, c, c.shape[2] * LANES, t), ValueError),
        (lambda p, c, s, t: (p, c[..., :-1].contiguous(), s, t), ValueError),
        (lambda p, c, s, t: (p, c, s, (t[0][:, :-1], t[1][:, :-1])), ValueError),
        (lambda p, c, s, t: (p.double(), c, s, t), TypeError),
        (lambda p, c, s, t: (p, c.transpose(0, 1).contiguous().transpose(0, 1), s, t), TypeError),
    ],
)
def test_operands_that_do_not_fit_are_refused_before_memory_is_touched(spoil, says):
    with pytest.raises(says):
        attend(*spoil(*operands(3, 2, 16, 4, 1)))


@given(
    st.integers(0, 9), st.integers(1, 70), st.integers(0, 99), st.sampled_from([0, 1e-6, 1, 1e4])
)
def test_normed_is_rms_norm(rows, width, seed, spread):
    x = some(rows, width, seed=seed, spread=spread)
    torch.testing.assert_close(normed(x), F.rms_norm(x, (width,)), rtol=1e-5, atol=1e-6)


def test_padded_is_the_next_whole_number_of_lanes():
    assert [padded(n) for n in (0, 1, LANES - 1, LANES, LANES + 1)] == [0, 16, 16, 16, 32]


ASK = """import torch
from outthink.lab.kernels import normed
print(float(normed(torch.ones(2, 16))[0, 0]))"""


def test_machine_code_is_compiled_anew_where_it_cannot_be_kept(tmp_path):
    place = tmp_path / "a file"
    place.write_text("in the way")
    asked = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, "NUMBA_CACHE_DIR": str(place)},
        capture_output=True,
        text=True,
    )
    assert asked.returncode == 0, asked.stderr
    assert float(asked.stdout) == pytest.approx(1)
