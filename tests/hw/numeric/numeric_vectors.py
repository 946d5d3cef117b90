"""Stimuli of the numeric units: dense where rounding is hard, and the outputs that must follow."""

import random
from collections.abc import Iterator

from autapse.hw.numeric.accumulator import ExactProductSum, ExactSum
from autapse.hw.numeric.multiplication import Multiplication
from autapse.hw.numeric.rounding import Rounding

__all__ = ["UNITS", "exact_values", "finite_words", "stimuli", "word_pairs"]

UNITS = {unit.__name__: unit for unit in (Rounding, Multiplication, ExactSum, ExactProductSum)}

# Significands (without the hidden bit) whose products and neighbours carry, tie and cancel.
_EDGES = (0, 1, 2, 511, 512, 513, 1022, 1023)


def finite_words(rng: random.Random) -> Iterator[int]:
    """Endless finite binary16 words: every sign, exponent and edge first, then random, small ones as often as large."""
    words = [
        sign << 15 | exponent << 10 | significand
        for sign in (0, 1) for exponent in range(31) for significand in _EDGES
    ]  # fmt: skip
    rng.shuffle(words)
    yield from words
    while True:
        yield rng.getrandbits(1) << 15 | rng.randrange(31) << 10 | rng.getrandbits(10) >> rng.choice((0, 0, 4, 8))


def exact_values(rounding: Rounding, *, rng: random.Random) -> Iterator[int]:
    """Endless values of the rounding's width: each binade at its ties and beside them, then random ones."""
    least, most = -(1 << rounding.width - 1), (1 << rounding.width - 1) - 1
    yield from (0, 1, -1, least, least + 1, most, most - 1)
    directed = []
    for exponent in range(31):
        # The least step of a binade; a tie lies half a step above each multiple.
        step = (max(exponent, 1) - 1) + (rounding.fraction - 24)
        for significand in _EDGES:
            kept = (significand | bool(exponent) << 10) << step
            half = 1 << step >> 1
            directed += [kept + offset for offset in (-1, 0, 1, half - 1, half, half + 1)]
    for value in directed:
        for signed in value, -value:
            if least <= signed <= most:
                yield signed
    while True:
        value = rng.getrandbits(rng.randrange(1, rounding.width))
        zeros = rng.randrange(rounding.width)
        value = (value >> zeros << zeros) + rng.choice((0, 0, 1, -1))
        yield max(least, min(most, rng.choice((value, -value))))


def word_pairs(rng: random.Random) -> Iterator[tuple[int, int]]:
    """Endless pairs of finite words; every third product is near the subnormals or near the overflow."""
    first, second = finite_words(rng), finite_words(rng)
    while True:
        a, b = next(first), next(second)
        yield a, b
        yield next(second), next(first)
        # Exponents that add up to that of the least (15) or the largest (45) product, give or take 14.
        total = rng.choice((15, 45)) + rng.randrange(-14, 15)
        exponent = max(0, min(30, total - (a >> 10 & 0x1F)))
        yield a, (b & ~0x7C00) | exponent << 10


def stimuli(unit, *, rng: random.Random, count: int) -> Iterator[tuple[dict, dict | None]]:
    """``count`` cycles of ``(inputs, outputs)``: port values, and what the ports must show ``latency`` cycles later."""
    if isinstance(unit, Rounding):
        values = exact_values(unit, rng=rng)
        for _ in range(count):
            value = next(values)
            yield {"i": value}, _rounded(unit.compute(value))
    elif isinstance(unit, Multiplication):
        pairs = word_pairs(rng)
        for _ in range(count):
            a, b = next(pairs)
            k = rng.randint(unit.least, unit.greatest)
            inputs = {"a": a, "b": b, "k": k} if unit.moves else {"a": a, "b": b}
            yield inputs, _rounded(unit.compute(a, b, k))
    else:
        yield from _sums(unit, rng=rng, count=count)


def _rounded(result: tuple[int, bool]) -> dict[str, int]:
    word, overflow = result
    return {"o": word, "o_overflow": int(overflow)}


def _sums(unit: ExactSum | ExactProductSum, *, rng: random.Random, count: int) -> Iterator[tuple[dict, dict]]:
    """Sums of random length with random gaps; the ports carry noise in a gap, and a sum must hold until the next."""
    words, factors = finite_words(rng), finite_words(rng)
    total = 0
    done = None
    gap, end = 0.5, 0.05
    for _ in range(count):
        if rng.random() < 0.01:
            gap, end = rng.choice((0.0, 0.1, 0.5, 0.9)), rng.choice((0.02, 0.3, 1.0))
        inputs = {"i_valid": rng.random() >= gap, "i_last": rng.random() < end, "i_words": next(words)}
        if isinstance(unit, ExactProductSum):
            inputs["i_factor"] = next(factors)
            term = unit.compute([inputs["i_words"]], [inputs["i_factor"]])
        else:
            term = unit.compute([inputs["i_words"]])
        ended = inputs["i_valid"] and inputs["i_last"]
        if inputs["i_valid"]:
            total += term
        if ended:
            done, total = total & (1 << unit.width) - 1, 0
        yield inputs, {"o_valid": int(ended)} | ({} if done is None else {"o": done})
