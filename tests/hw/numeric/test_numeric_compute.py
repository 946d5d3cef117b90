"""The Python side of the numeric units against NumPy, Berkeley SoftFloat and a search among all finite values."""

import random
from bisect import bisect_left

import numpy as np
import pytest

from autapse.hw.numeric.accumulator import ExactProductSum, ExactSum
from autapse.hw.numeric.binary16 import decode, encode
from autapse.hw.numeric.multiplication import Multiplication
from autapse.hw.numeric.rounding import Rounding
from numeric_vectors import exact_values, finite_words, word_pairs

SEED = 1607
FINITE = [word for word in range(0x10000) if word >> 10 & 0x1F != 31]
# Positive finite values in units of 2^-24, in the order of their words, from NumPy; 65536 ends them: what rounds to
# it in an unbounded exponent range is the overflow.
LADDER = [int(value) for value in np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64) * 2**24]
LADDER.append(65536 << 24)


def chip_word(half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IEEE results as the chip gives them: infinities saturate with the overflow flag, zeros are +0."""
    overflow = np.isinf(half)
    words = half.view(np.uint16).copy()
    words[overflow] -= 1
    words[half == 0] = 0
    return words, overflow


def searched(value: int, *, fraction: int) -> tuple[int, bool]:
    """The nearest finite word to value · 2^-fraction, ties to the even word, by looking it up among all of them."""
    scale = 1 << fraction - 24
    magnitude = abs(value)
    above = bisect_left(LADDER, magnitude, key=lambda step: step * scale)
    if above == len(LADDER):
        nearest = 0x7C00
    elif above == 0:
        nearest = 0
    else:
        up, down = LADDER[above] * scale - magnitude, magnitude - LADDER[above - 1] * scale
        nearest = above if up < down or (up == down and above % 2 == 0) else above - 1
    word = min(nearest, 0x7BFF)
    return word | (value < 0 and word != 0) << 15, nearest > 0x7BFF


def test_decode_every_finite_word():
    words = np.array(FINITE, dtype=np.uint16)
    expected = words.view(np.float16).astype(np.float64) * 2**24
    assert [decode(word) for word in FINITE] == [int(value) for value in expected]


def test_encode_inverts_decode():
    for word in FINITE:
        assert encode(decode(word)) == (0 if word == 0x8000 else word, False)


@pytest.mark.parametrize("extra", [0, 1, 7])
def test_encode_around_every_tie_matches_numpy(extra):
    """Every step between neighbouring words, at its middle and one unit beside; float64 holds them exactly."""
    ladder = np.array(LADDER, dtype=np.int64) << extra
    middle = (ladder[1:] + ladder[:-1]) // 2
    values = np.concatenate([base + offset for base in (ladder[:-1], middle) for offset in (-1, 0, 1)])
    values = np.concatenate([values, -values, [ladder[-1], -ladder[-1], (1 << 52) - 1, -(1 << 52)]])
    with np.errstate(over="ignore"):
        words, overflow = chip_word((values.astype(np.float64) * 2.0 ** -(24 + extra)).astype(np.float16))
    rounding = Rounding(width=54, fraction=24 + extra)
    expected = list(zip(words.tolist(), overflow.tolist(), strict=True))
    assert [rounding.compute(int(value)) for value in values] == expected


@pytest.mark.parametrize(("width", "fraction"), [(52, 24), (92, 48), (45, 34), (12, 24), (13, 60), (128, 47)])
def test_rounding_matches_search(width, fraction):
    rounding = Rounding(width=width, fraction=fraction)
    values = exact_values(rounding, rng=random.Random(SEED))
    for _ in range(6000):
        value = next(values)
        assert rounding.compute(value) == searched(value, fraction=fraction), f"value {value}, seed {SEED}"


def test_multiplication_matches_numpy():
    """A product of two binary16 is exact in float64, whatever power of two scales it; NumPy rounds it once."""
    multiplication = Multiplication(least=-40, greatest=30)
    rng = random.Random(SEED)
    pairs = word_pairs(rng)
    cases = [(*next(pairs), rng.randint(-40, 30)) for _ in range(60_000)]
    a, b, k = (np.array(column) for column in zip(*cases, strict=True))
    exact = a.astype(np.uint16).view(np.float16).astype(np.float64) * b.astype(np.uint16).view(np.float16) * 2.0**k
    with np.errstate(over="ignore"):
        words, overflow = chip_word(exact.astype(np.float16))
    expected = list(zip(words.tolist(), overflow.tolist(), strict=True))
    assert [multiplication.compute(*case) for case in cases] == expected


def test_multiplication_matches_softfloat():
    softfloat = pytest.importorskip("softfloatpy", reason="`pip install softfloatpy` brings Berkeley SoftFloat")
    pairs = word_pairs(random.Random(SEED))
    multiplication = Multiplication()
    for _ in range(20_000):
        a, b = next(pairs)
        product = softfloat.f16_mul(*(softfloat.Float16.from_bytes(word.to_bytes(2, "big")) for word in (a, b)))
        words, overflow = chip_word(np.frombuffer(product.to_bytes(), dtype=">f2").astype(np.float16))
        assert multiplication.compute(a, b) == (words[0], overflow[0]), f"{a:#06x} · {b:#06x}, seed {SEED}"


def test_rounding_matches_softfloat():
    softfloat = pytest.importorskip("softfloatpy", reason="`pip install softfloatpy` brings Berkeley SoftFloat")
    rounding = Rounding(width=54, fraction=34)
    values = exact_values(rounding, rng=random.Random(SEED))
    for _ in range(20_000):
        value = next(values)
        value -= value % 2 if abs(value) >> 53 else 0
        half = softfloat.f64_to_f16(softfloat.Float64.from_float(value * 2.0**-34))
        words, overflow = chip_word(np.frombuffer(half.to_bytes(), dtype=">f2").astype(np.float16))
        assert rounding.compute(value) == (words[0], overflow[0]), f"value {value}, seed {SEED}"


def test_sums_are_exact():
    rng = random.Random(SEED)
    words, factors = finite_words(rng), finite_words(rng)
    terms = [(next(words), next(factors)) for _ in range(700)]
    a, b = (np.array(column, dtype=np.uint16).view(np.float16) for column in zip(*terms, strict=True))
    assert ExactSum().compute(word for word, _ in terms) == sum(int(x) for x in a.astype(np.float64) * 2**24)
    # Numerators over 2^48 of rational products.
    expected = sum(int(float(x) * 2**24) * int(float(y) * 2**24) for x, y in zip(a, b, strict=True))
    assert ExactProductSum().compute(*zip(*terms, strict=True)) == expected


def test_sum_reports_the_term_that_overflows():
    with pytest.raises(OverflowError, match=r"^The exact sum leaves 41 bits at term 3; use a wider accumulator$"):
        ExactSum(width=41).compute([0x7BFF, 0x0001, 0x7BFF, 0xFBFF])
    assert ExactSum(width=42).compute([0x7BFF, 0x0001, 0x7BFF, 0xFBFF]) == (65504 << 24) + 1
    with pytest.raises(OverflowError, match=r"^The exact sum leaves 81 bits at term 2; use a wider accumulator$"):
        ExactProductSum(width=81).compute([0xFBFF, 0xFBFF], [0x7BFF, 0x7BFF])


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: decode(-1), ValueError, "A binary16 word must be 0 to 0xFFFF, not -1; mask it to 16 bits"),
        (lambda: decode(0x10000), ValueError, "A binary16 word must be 0 to 0xFFFF, not 65536; mask it to 16 bits"),
        (
            lambda: decode(0xFC00),
            ValueError,
            "Binary16 word 0xfc00 is an infinity or NaN; the chip holds only finite values",
        ),
        (lambda: Rounding(width=11, fraction=24), ValueError, "Rounding width must be 12 to 128, not 11"),
        (lambda: Rounding(width=52, fraction=61), ValueError, "Rounding fraction must be 24 to 60, not 61"),
        (lambda: Rounding(width=52.0, fraction=24), TypeError, "Rounding width must be an integer, not 52.0"),
        (
            lambda: Rounding(width=12, fraction=24).compute(2048),
            ValueError,
            "Value 2048 does not fit 12 bits; round with a wider Rounding",
        ),
        (lambda: Multiplication(least=1), ValueError, "Multiplication least 1 must not be above greatest 0"),
        (lambda: Multiplication(greatest=128), ValueError, "Multiplication greatest must be -128 to 127, not 128"),
        (lambda: Multiplication(least="0"), TypeError, "Multiplication least must be an integer, not '0'"),
        (lambda: Multiplication().compute(0, 0, 1), ValueError, "Multiplication k must be 0 to 0, not 1"),
        (lambda: ExactSum(width=40), ValueError, "ExactSum width must be 41 to 128, not 40"),
        (lambda: ExactProductSum(width=80), ValueError, "ExactProductSum width must be 81 to 128, not 80"),
        (lambda: ExactSum(width=None), TypeError, "ExactSum width must be an integer, not None"),
        (lambda: ExactProductSum().create(lanes=0), ValueError, "lanes must be a positive integer, not 0"),
    ],
)
def test_wrong(call, error, sentence):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == sentence
