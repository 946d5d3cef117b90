"""Rounding and exact dot products against rational arithmetic and NumPy, cancellation and ties included."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from autapse.verification.golden import numeric
from autapse.verification.golden.numeric import EXACT_TERMS, Rounder, exact_dot, from_units, odd_sum, split, to_nearest

SEED = 99


def nearest(x: Fraction) -> Fraction:
    """Rounding of §2 without saturation, by comparing with both neighbours."""
    if x == 0:
        return x
    exponent = x.numerator.bit_length() if x > 0 else (-x.numerator).bit_length()
    exponent -= x.denominator.bit_length()
    while abs(x) >= Fraction(2) ** (exponent + 1):
        exponent += 1
    while abs(x) < Fraction(2) ** exponent:
        exponent -= 1
    quantum = Fraction(2) ** max(exponent - 10, -24)
    return round(x / quantum) * quantum  # Python rounds a Fraction half to even


def all_words() -> np.ndarray:
    """Every finite binary16 value but -0, as float64."""
    words = np.arange(2**16, dtype=np.uint16).view(np.float16)
    words = words[np.isfinite(words)]
    return words[words.view(np.uint16) != 0x8000].astype(np.float64)


def nasty(rng, shape, *, octaves=40):
    """Binary16 values over all exponents, as float64."""
    values = rng.choice(all_words(), size=shape)
    small = rng.integers(-5, 6, size=shape) * 2.0**-24
    powers = np.ldexp(1.0, rng.integers(-24, octaves - 24, size=shape))
    return np.choose(rng.integers(0, 3, size=shape), [values, small, powers])


def same_bits(a, b):
    return np.array_equal(np.asarray(a, np.float64).view(np.uint64), np.asarray(b, np.float64).view(np.uint64))


def test_every_word_and_every_midpoint():
    words = np.sort(all_words())
    assert same_bits(to_nearest(torch.from_numpy(words)), words)
    low, high = words[:-1], words[1:]
    middle = (low + high) / 2
    even = np.where((low.astype(np.float16).view(np.uint16) & 1) == 0, low, high) + 0.0
    assert same_bits(to_nearest(torch.from_numpy(middle)), even)
    above, below = np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf)
    assert same_bits(to_nearest(torch.from_numpy(above)), high)
    assert same_bits(to_nearest(torch.from_numpy(below)), low)


def test_zero_is_positive():
    tiny = np.array([0.0, -0.0, -(2.0**-25), -(2.0**-60), 2.0**-25])
    assert same_bits(to_nearest(torch.from_numpy(tiny)), np.zeros(5))
    assert same_bits(Rounder(torch.device("cpu"))(torch.from_numpy(tiny)), np.zeros(5))


def test_saturation_raises_the_flag_from_65520_on():
    for value, result, raised in [
        (65504.0, 65504.0, False),
        (np.nextafter(65520.0, 0), 65504.0, False),
        (65520.0, 65504.0, True),
        (-np.nextafter(65520.0, 0), -65504.0, False),
        (-65520.0, -65504.0, True),
        (2.0**80, 65504.0, True),
    ]:
        rnd = Rounder(torch.device("cpu"))
        assert float(rnd(torch.tensor([1.0, value], dtype=torch.float64))[1]) == result
        assert rnd.overflow == raised, value
        rnd(torch.zeros(3, dtype=torch.float64))
        assert rnd.overflow == raised, "the flag is sticky"
        rnd.clear()
        assert not rnd.overflow


def test_sums_of_two_terms_that_no_float64_holds():
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    a = nasty(rng, 4000)
    # Around ties of a, from far below a's last bit in float64, and cancellation.
    step = np.ldexp(1.0, np.maximum(np.frexp(a)[1] - 11, -24)) / 2
    a = a + np.where(rng.random(4000) < 0.5, step, 0.0)
    b = nasty(rng, 4000) * np.ldexp(1.0, rng.integers(-60, 1, size=4000)) * rng.choice([-1, 1], size=4000)
    b = np.where(rng.random(4000) < 0.2, -a * (1 - 2.0**-30), b)
    result = to_nearest(odd_sum(torch.from_numpy(a), torch.from_numpy(b))).numpy()
    plain = to_nearest(torch.from_numpy(a + b)).numpy()
    expected = np.array([float(nearest(Fraction(x) + Fraction(y))) for x, y in zip(a, b, strict=True)])
    assert same_bits(result, expected)
    assert not same_bits(plain, expected), "the cases must include some that plain float64 gets wrong"


def test_split_is_exact_and_short():
    words = torch.from_numpy(all_words())
    high, low = split(words)
    assert torch.equal(high + low, words)
    for part, unit in ((high, 2.0**-4), (low, 2.0**-24)):
        integers = part / unit
        assert torch.equal(integers, integers.round()) and float(integers.abs().max()) < 2**20


def dot_case(rng, kind, rows, terms, columns):
    a, b = nasty(rng, (rows, terms)), nasty(rng, (terms, columns))
    if kind == "cancel" and terms > 2:  # the first two terms cancel: what is left is small
        a[:, 1], b[1] = -a[:, 0], b[0]
        a[:, 2:] = rng.integers(-3, 4, size=(rows, terms - 2)) * 2.0**-24
    if kind == "tie" and terms > 1:
        a[:, 0] = rng.choice([1.0, -2.0, 3.0], size=rows)
        b[0] = (1024 + rng.integers(0, 1024, size=columns)) * 2.0**-10
        b[1], a[:, 1] = 2.0**-11, rng.choice([1.0, -1.0, 2.0], size=rows)
        a[:, 2:] = rng.choice([0.0, 2.0**-24, -(2.0**-24)], size=(rows, terms - 2))
        b[2:] = rng.choice([0.0, 2.0**-24], size=(terms - 2, columns))
    if kind == "usual":
        a, b = (rng.normal(size=shape).astype(np.float16).astype(np.float64) for shape in (a.shape, b.shape))
    return a, b


@pytest.mark.parametrize("kind", ["nasty", "cancel", "tie", "usual"])
@pytest.mark.parametrize("terms", [1, 2, 3, 10, 33])
def test_dot_is_rounded_once(kind, terms):
    print("seed", SEED + terms)
    rng = np.random.default_rng(SEED + terms)
    a, b = dot_case(rng, kind, 7, terms, 11)
    expected = np.empty((7, 11))
    for i in range(7):
        for j in range(11):
            exact = sum((Fraction(x) * Fraction(y) for x, y in zip(a[i], b[:, j], strict=True)), Fraction(0))
            expected[i, j] = float(nearest(exact))
    for dot in (exact_dot, numeric._dot_of_parts):
        assert same_bits(to_nearest(dot(torch.from_numpy(a), torch.from_numpy(b))), expected), dot.__name__


@pytest.mark.parametrize("excess", [-1, 0, 1, 3 * EXACT_TERMS // 2])
def test_dot_of_more_terms_than_one_float64_sum_holds(excess):
    rng = np.random.default_rng(SEED + 1)
    terms = EXACT_TERMS + excess
    # Each term has all 80 bits in play, and the terms cancel in pairs but for the last.
    a = np.full((1, terms), 65504.0 - 32) + 0.0
    b = np.full((terms, 2), 65504.0 - 32)
    a[0, 1::2] *= -1
    a[0, -1], b[-1] = rng.choice([1.0, -3.0]), [2.0**-24, 5 * 2.0**-20]
    a[0, 5], b[5, 0] = 1 + 2.0**-10, 2.0**-24
    exact = [sum(Fraction(x) * Fraction(y) for x, y in zip(a[0], b[:, j], strict=True)) for j in range(2)]
    got = to_nearest(exact_dot(torch.from_numpy(a), torch.from_numpy(b)))[0].numpy()
    assert [Fraction(x) for x in got] == [nearest(x) for x in exact]


def test_long_integer_sums_round_once():
    rng = np.random.default_rng(SEED + 2)
    units = rng.integers(-(2**62), 2**62, size=500)
    units[:250] >>= rng.integers(0, 62, size=250)
    units[250:300] = (2**62 + 2**51) + rng.integers(-2, 3, size=50)  # ties of 11 bits, and next to them
    result = to_nearest(from_units(torch.from_numpy(units))).numpy()
    assert [Fraction(x) for x in result] == [nearest(Fraction(int(u), 2**24)) for u in units]
