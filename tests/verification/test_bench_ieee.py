"""The lanes that the exact ones are compared with are right by NumPy's binary16, and both fit their frame."""

import random
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("amaranth", reason="the lanes are described in Amaranth; `pip install autapse[sim]`")

from amaranth.sim import Simulator

from autapse.hw.numeric.binary16 import encode
from autapse.verification.bench.configurations import CONFIGURATIONS, QUICK, REFERENCES, Framed
from autapse.verification.bench.ieee import ExactWords, RoundingSum

SEED = 211
LANES = 3
LARGEST = 0x7BFF


def value(word: int) -> np.float16:
    return np.uint16(word).view(np.float16)


def saturated(result: np.float16) -> np.float16:
    """NumPy goes to infinity where the chip stays at the largest number, and keeps a zero's sign."""
    return np.float16(np.clip(result, value(0xFBFF), value(LARGEST))) + np.float16(0)


def rounded_at_every_step(words, factors=None) -> int:
    """As a processor with binary16 would: NumPy, one operation after the other."""
    total = np.float16(0)
    with np.errstate(over="ignore"):
        for at, word in enumerate(words):
            term = value(word) if factors is None else saturated(value(word) * value(factors[at]))
            total = saturated(total + term)
    return int(total.view(np.uint16))


def rounded_once(words, factors=None) -> int:
    """The exact sum by rational arithmetic, and one rounding."""
    terms = [Fraction(float(value(word))) * (1 if factors is None else Fraction(float(value(factors[at]))))
             for at, word in enumerate(words)]
    return encode(int(sum(terms) * 2**48), fraction=48)[0]


def any_word(rng: random.Random, spread: int) -> int:
    """A finite word whose exponent is one of ``spread``, from any up, so that sums cancel, round and saturate."""
    exponent = min(30, rng.randrange(spread) + rng.choice((0, 0, 8, 31 - spread)))
    return rng.getrandbits(1) << 15 | exponent << 10 | rng.getrandbits(10)


def sums(count: int) -> list[tuple[list[list[int]], list[int]]]:
    """Rows of words, a lane each, and factors."""
    rng = random.Random(SEED)
    found = []
    for _ in range(count):
        length, spread = rng.choice((1, 2, 5, 9)), rng.choice((3, 12, 31))
        found.append(([[any_word(rng, spread) for _ in range(LANES)] for _ in range(length)],
                      [any_word(rng, spread) for _ in range(length)]))
    return found


def simulated(lanes, *, products: bool, interval: int, given) -> tuple[list[int], list[int]]:
    """The words that leave, and for each sum the cycles from its last row to the first of them."""
    words, sent, seen = [], [], []

    async def bench(ctx):
        cycle = 0

        async def step():
            nonlocal cycle
            if ctx.get(lanes.o_valid):
                seen.append(cycle)
                words.append(ctx.get(lanes.o_word))
            await ctx.tick()
            cycle += 1

        for rows, factors in given:
            for at, row in enumerate(rows):
                ctx.set(lanes.i_valid, 1)
                ctx.set(lanes.i_last, at == len(rows) - 1)
                ctx.set(lanes.i_words, sum(word << 16 * lane for lane, word in enumerate(row)))
                if products:
                    ctx.set(lanes.i_factor, factors[at])
                if at == len(rows) - 1:
                    sent.append(cycle)
                await step()
                ctx.set(lanes.i_valid, 0)
                for _ in range(max(interval, LANES if at == len(rows) - 1 else 0) - 1):
                    await step()
        for _ in range(40):
            await step()

    simulator = Simulator(lanes)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(words) == LANES * len(given)
    return words, [first - start for first, start in zip(seen[::LANES], sent, strict=True)]


def expected(rule, given, *, products: bool) -> list[int]:
    return [rule([row[lane] for row in rows], factors if products else None)
            for rows, factors in given for lane in range(LANES)]


@pytest.mark.parametrize("products", [False, True])
def test_compute_is_numpys(products):
    unit, given = RoundingSum(products=products), sums(1500)
    found = [unit.compute([row[lane] for row in rows], factors if products else ())
             for rows, factors in given for lane in range(LANES)]
    want = expected(rounded_at_every_step, given, products=products)
    assert found == want
    assert {0, LARGEST, 0xFBFF} <= set(want), f"seed {SEED} reaches neither zero nor saturation"
    # The order of operations matters to these sums, so equality with the exact ones would be an accident.
    assert found != expected(rounded_once, given, products=products)


@pytest.mark.parametrize("products", [False, True])
def test_rounding_lanes(products):
    unit, given = RoundingSum(products=products), sums(120)
    words, lags = simulated(unit.create(lanes=LANES), products=products, interval=unit.interval, given=given)
    assert words == expected(rounded_at_every_step, given, products=products)
    assert set(lags) == {unit.latency}


@pytest.mark.parametrize("products", [False, True])
def test_exact_words(products):
    unit, given = ExactWords(lanes=LANES, products=products), sums(120)
    words, lags = simulated(unit, products=products, interval=1, given=given)
    assert words == expected(rounded_once, given, products=products)
    assert set(lags) == {unit.latency}


def test_names_meet():
    assert set(QUICK) | set(REFERENCES) | set(REFERENCES.values()) <= set(CONFIGURATIONS)


@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if not name.startswith(("chip", "core"))])
def test_frame_is_narrow(name):
    framed = CONFIGURATIONS[name][0]()
    assert isinstance(framed, Framed)
    pins = sum(len(getattr(framed, port)) for port in framed.signature.members)
    assert pins <= 150, "more pins than a board has"
