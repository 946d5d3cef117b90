"""Means are exact and rounded once, whatever the order; vectors survive the wire to the bit."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from autapse.sw_driver.federated.exact import join, split, weighted_mean
from autapse.sw_driver.federated.wire import (
    Refused,
    decode_change,
    encode_change,
    largest,
    pack,
    parse_compression,
    unpack,
)
from federations import network


def nearest(value: Fraction) -> float:
    """The binary16 number nearest to `value`, ties to even, from rational arithmetic alone."""
    size, quantum = abs(value), Fraction(1, 1 << 24)
    while size / quantum >= 2048:
        quantum *= 2
    whole, rest = divmod(size, quantum)
    whole += 2 * rest > quantum or (2 * rest == quantum and whole % 2)
    return float(whole * quantum) * (1 if value >= 0 else -1)


def words(draw, scale, count=211):
    weight = np.clip(draw.standard_normal(count) * scale, -60000, 60000).astype(np.float16)
    half = draw.uniform(-0.5, 0.5, count) * np.spacing(np.abs(weight)).astype(np.float64)
    return weight, (1024 * half).astype(np.float16)


@pytest.mark.parametrize("scale", [1e-7, 1e-4, 0.05, 3.0, 700.0, 9000.0])
@pytest.mark.parametrize("counts", [(3, 287, 1000, 60_000, 7), (1, 1, 1, 1, 1), (16_777_216, 1, 16_777_215, 5, 9)])
def test_mean_is_the_rational_one_rounded_once(scale, counts):
    draw = np.random.default_rng(7)
    pairs = [words(draw, scale) for _ in counts]
    weight, remainder = split(weighted_mean([join(*pair) for pair in pairs], counts))
    for place in range(len(weight)):
        exact = sum((Fraction(float(w[place])) + Fraction(float(r[place])) / 1024) * count
                    for (w, r), count in zip(pairs, counts, strict=True)) / sum(counts)
        assert float(weight[place]) == nearest(exact)
        assert float(remainder[place]) == nearest(1024 * (exact - Fraction(float(weight[place]))))


def test_ties_go_to_even_and_a_hair_beyond_does_not():
    one, next_ = 1.0, 1.0 + 2.0**-10
    values = [np.array([one, next_, one]), np.array([next_, next_ + 2.0**-10, next_ + 2.0**-34])]
    weight, _ = split(weighted_mean(values, [1, 1]))
    assert weight.tolist() == [one, one + 2 * 2.0**-10, next_]


def test_order_does_not_matter_and_equal_models_come_back():
    draw = np.random.default_rng(3)
    values, counts = [join(words(draw, 1.0)[0], None) for _ in range(4)], [5, 17, 1, 250]
    results = {weighted_mean([values[i] for i in order], [counts[i] for i in order]).tobytes()
               for order in itertools.permutations(range(4))}
    assert len(results) == 1
    same, _ = words(draw, 0.3)
    assert np.array_equal(split(weighted_mean([join(same, None)] * 5, [287, 288, 287, 287, 288]))[0], same)


def test_split_saturates_and_has_no_negative_zero():
    weight, remainder = split(np.array([70000.0, -70000.0, -0.0, -(2.0**-26)]))
    assert weight.tolist() == [65504, -65504, 0, 0] and not np.signbit(weight[2:]).any()
    assert remainder[3] == -(2.0**-16)


def test_pack_and_unpack():
    net = network(sizes=(5, 7, 3))
    state = net.initial_state(3)
    weight = pack(state, "weight")
    assert weight.shape == (net.synapses,)
    other = np.arange(net.synapses).astype(np.float16)
    back = unpack(net, weight, other, -other)
    assert [layer.weight.tobytes() for layer in back] == [layer.weight.tobytes() for layer in state]
    assert np.array_equal(pack(back, "remainder"), other) and np.array_equal(pack(back, "momentum"), -other)


@pytest.mark.parametrize("places", [[], [0], [1999], [0, 255, 256, 511, 1021, 1999], list(range(2000))])
def test_a_change_survives_the_wire(places):
    change = np.zeros(2000, np.float16)
    change[places] = np.random.default_rng(1).standard_normal(len(places))
    assert np.array_equal(decode_change(encode_change(change), 2000).view(np.uint16), change.view(np.uint16))


def test_largest_keeps_the_share_and_the_earlier_of_equals():
    change = np.array([1, -3, 3, 0.5, -3], np.float16)
    assert largest(change, 0.4).tolist() == [0, -3, 3, 0, 0]
    assert largest(change, 1e-9).tolist() == [0, -3, 0, 0, 0]


@pytest.mark.parametrize("harm", [
    lambda blob: blob[:-5], lambda blob: b"", lambda blob: 40 * b"\7",
    lambda blob: encode_change(np.ones(3000, np.float16)),
    lambda blob: encode_change(np.eye(1, 2500, 2400, dtype=np.float16)[0]),
])
def test_damaged_changes_are_refused(harm):
    blob = encode_change(np.eye(1, 2000, 77, dtype=np.float16)[0])
    with pytest.raises(Refused, match="damaged change"):
        decode_change(harm(blob), 2000)


def test_compressions_by_name():
    assert parse_compression("topk:0.05") == ("topk", 0.05)
    for text in ("topk", "topk:0", "topk:1.5", "topk:x", "zip", "none:3"):
        with pytest.raises(ValueError, match=r"compression|share"):
            parse_compression(text)
