"""Bench of the binary16 adder: sum, overflow and floor of every pair, in the cycle each is stated for."""

import random
from fractions import Fraction

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from autapse.hw.neuron.addition import Addition
from bench import bench_parameters
from unit_operands import any_word, number

PARAMETERS = bench_parameters()


def pairs(rng: random.Random):
    for scale in range(31):
        for other in range(max(0, scale - 16), scale + 1):
            yield scale << 10 | rng.getrandbits(10), rng.getrandbits(1) << 15 | other << 10 | rng.getrandbits(10)
    for _ in range(PARAMETERS["count"]):
        a = any_word(rng)
        near = a ^ 0x8000 ^ rng.getrandbits(rng.randrange(1, 13))
        b = near if rng.random() < 0.4 and near & 0x7C00 != 0x7C00 else any_word(rng)
        yield a, b


def floor(a: int, b: int) -> int:
    """The greatest word, with exponent 31 as one more binade, that is not above |a + b|."""
    magnitude = Fraction(abs(number(a) + number(b)))
    exponent = max(int(magnitude).bit_length() - 11, 0)
    kept = int(magnitude / 2**exponent)
    return (exponent << 10) + kept


@cocotb.test()
async def every_sum_is_the_models(dut):
    unit = Addition()
    rng = random.Random(PARAMETERS["seed"])
    due: dict[int, list] = {}
    Clock(dut.clk, 10, "ns").start()
    dut.rst.value = 0
    checked = overflows = cycle = 0
    stimuli = [*pairs(rng), *[(0, 0)] * unit.latency]
    for a, b in stimuli:
        await FallingEdge(dut.clk)
        for expected, ports, cause in due.pop(cycle, ()):
            result = tuple(int(getattr(dut, port).value) for port in ports)
            assert result == expected, f"{cause[0]:#06x} + {cause[1]:#06x}: {ports} are {result}, model {expected}"
            checked += 1
        dut.a.value, dut.b.value = a, b
        result = unit.compute(a, b)
        overflows += result[1]
        due.setdefault(cycle + unit.latency, []).append((result, ("o", "o_overflow"), (a, b)))
        due.setdefault(cycle + unit.floor_latency, []).append(((floor(a, b),), ("o_floor",), (a, b)))
        cycle += 1
    assert checked > 2 * PARAMETERS["count"] and overflows > 10
    dut._log.info(f"{checked} outputs checked, {overflows} overflows")
