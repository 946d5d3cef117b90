"""Bench of the sequenced core's exact sum and rounding, against integers."""

import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from autapse.hw.numeric.binary16 import LARGEST, decode, encode
from autapse.hw.numeric.multiplication import Multiplication
from bench import bench_parameters

PARAMETERS = bench_parameters()
COUNT, WIDTH = PARAMETERS["count"], PARAMETERS["width"]
FRACTION, LATENCY = 48, 2
MOVED = Multiplication(least=-64, greatest=63)


def word(rng: random.Random) -> int:
    """A finite word: of any exponent, subnormal, or one of the ends."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice((0x0000, 0x0001, 0x03FF, 0x0400, 0x3C00, LARGEST)) | rng.getrandbits(1) << 15
    exponent = 0 if kind == 1 else rng.randrange(31)
    return rng.getrandbits(1) << 15 | exponent << 10 | rng.getrandbits(10)


def exact_value(rng: random.Random) -> int:
    """A sum: anything, a tie, a neighbour of one, a power of two, or beyond what is finite; of either sign."""
    kind = rng.randrange(6)
    if kind == 0:
        value = rng.getrandbits(rng.randrange(1, WIDTH))
    else:
        # Seen from the last place of a word of that magnitude: a word, its upper neighbour's tie, and one beside them.
        place = rng.randrange(FRACTION - 24, FRACTION + 8)
        value = rng.choice((1024, 2047, 2048, rng.randrange(4096))) << place
        value += (0, 1 << place - 1, 0, 1 << place - 1, 0)[kind - 1]
        value += (0, 0, 1, rng.choice((-1, 1)), -1)[kind - 1]
    return max(value, 0) * rng.choice((-1, 1))


def floor_word(value: int) -> int:
    """The greatest finite magnitude that is not above that of `value`."""
    magnitude = abs(value)
    drop = max(magnitude.bit_length() - 11, FRACTION - 24)
    return min((drop - (FRACTION - 24) << 10) + (magnitude >> drop), LARGEST)


def put(handle, value: int):
    handle.value = value & (1 << len(handle)) - 1


async def start(dut, *names: str):
    for name in names:
        getattr(dut, name).value = 0
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    await FallingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0


@cocotb.test(skip=PARAMETERS["unit"] != "rounding")
async def a_sum_is_rounded_once(dut):
    rng = random.Random(PARAMETERS["seed"])
    await start(dut, "i", "i_floor")
    seen = {"floor": 0, "overflow": 0, "negative": 0}
    # The flag is looked at with the result: one value at a time, so that both belong together.
    for _ in range(COUNT):
        value, floor = exact_value(rng), rng.random() < 0.3
        put(dut.i, value)
        dut.i_floor.value = int(floor)
        for _ in range(LATENCY):
            await FallingEdge(dut.clk)
        expected, overflow = encode(value, fraction=FRACTION)
        if floor:
            expected = floor_word(value)
        else:
            assert bool(dut.o_overflow.value) == overflow, f"overflow of {value}"
            seen["overflow"] += overflow
        found = int(dut.o_word.value)
        assert found == expected, f"{value}, floor {floor}: {found:#06x} in place of {expected:#06x}"
        seen["floor"] += floor
        seen["negative"] += value < 0
    assert all(count > COUNT // 50 for count in seen.values()), f"hardly any {seen}"


async def multiply(dut, *, a: int, b: int, minus: bool = False, raw: bool = False, k: int | None = None):
    """One product, taken at the next edge."""
    put(dut.i_a, a)
    put(dut.i_b, b)
    put(dut.i_k, 17 if k is None else k)
    for name, flag in (("i_minus", minus), ("i_raw", raw), ("i_moved", k is not None), ("i_valid", True)):
        getattr(dut, name).value = int(flag)
    await FallingEdge(dut.clk)
    dut.i_valid.value = 0


async def settled(dut) -> int:
    """The sum, once no product is under way, which takes two cycles at most."""
    for _ in range(3):
        if not dut.o_busy.value:
            return dut.o.value.to_signed()
        await FallingEdge(dut.clk)
    raise AssertionError("watchdog: products are under way for ever")


async def forget(dut):
    dut.i_forget.value = 1
    await FallingEdge(dut.clk)
    dut.i_forget.value = 0


NAMES = ("i_valid", "i_a", "i_b", "i_minus", "i_raw", "i_moved", "i_k", "i_forget")


@cocotb.test(skip=PARAMETERS["unit"] != "sum")
async def sums_are_exact(dut):
    rng = random.Random(PARAMETERS["seed"])
    await start(dut, *NAMES)
    for _ in range(COUNT // 20):
        await forget(dut)
        total = 0
        for _ in range(rng.randrange(1, 40)):
            b, minus, raw = word(rng), rng.random() < 0.4, rng.random() < 0.3
            a = rng.randrange(-1 << 15, 1 << 15) if raw else word(rng)
            k = rng.randrange(0, 17) if raw else None
            product = (a if raw else decode(a)) * decode(b) << (k or 0)
            total += -product if minus else product
            await multiply(dut, a=a, b=b, minus=minus, raw=raw, k=k)
            while rng.random() < 0.2:
                await FallingEdge(dut.clk)
        found = await settled(dut)
        assert found == total, f"{found} in place of {total}"


@cocotb.test(skip=PARAMETERS["unit"] != "sum")
async def moved_products_round_as_if_exact(dut):
    """Also where they are moved further than the sum reaches; with a word beside one that is far up."""
    rng = random.Random(PARAMETERS["seed"])
    await start(dut, *NAMES)
    far = {"up": 0, "down": 0, "saturated": 0}
    for _ in range(COUNT // 4):
        a, b, k = word(rng), word(rng), rng.randrange(-40, 41)
        await forget(dut)
        await multiply(dut, a=a, b=b, k=k)
        found = encode(await settled(dut), fraction=FRACTION)
        assert found == MOVED.compute(a, b, k), f"{a:#06x} {b:#06x} {k}: {found}"
        power = max(a >> 10 & 31, 1) + max(b >> 10 & 31, 1) - 2 + k
        far["up"] += power > 63
        far["down"] += power < 0
        # A power of two from 2^-16 to 2^23 times a word, plus a word.
        height, scaled, other = rng.randrange(-16, 24), word(rng), word(rng)
        await forget(dut)
        await multiply(dut, a=1, b=scaled, raw=True, k=24 + height)
        await multiply(dut, a=0x3C00, b=other)
        found = encode(await settled(dut), fraction=FRACTION)
        expected = encode((decode(scaled) << height + 16) + (decode(other) << 16), fraction=40)
        assert found == expected, f"2^{height} {scaled:#06x} + {other:#06x}: {found}"
        far["saturated"] += expected[1]
    assert all(count > COUNT // 100 for count in far.values()), f"hardly any {far}"
