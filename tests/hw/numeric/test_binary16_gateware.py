"""The combinational decoders over every finite word, in Amaranth's own simulator."""

from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from autapse.hw.numeric.binary16 import decode, fields_of, fixed

FINITE = [word for word in range(0x10000) if word >> 10 & 0x1F != 31]


def settled(m, word, outputs):
    """The values of ``outputs`` for every finite word, in order."""
    results = []

    async def testbench(ctx):
        for value in FINITE:
            ctx.set(word, value)
            results.append([ctx.get(output) for output in outputs])

    simulator = Simulator(m)
    simulator.add_testbench(testbench)
    simulator.run()
    return results


def test_fields_of():
    m = Module()
    word = Signal(16)
    sign, significand, shift = fields_of(m, word)
    assert (len(sign), len(significand), len(shift)) == (1, 11, 5)
    for value, (s, f, e) in zip(FINITE, settled(m, word, (sign, significand, shift)), strict=True):
        assert s == value >> 15
        assert f << e == abs(decode(value))
        assert e <= 29
        assert e == 0 or f >= 1024


def test_fixed():
    m = Module()
    word = Signal(16)
    output = fixed(m, word)
    assert output.shape() == signed(42)
    assert [value for (value,) in settled(m, word, [output])] == [decode(word) for word in FINITE]
