"""CRC-32 of a frame, a byte per cycle."""

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

POLYNOMIAL = 0xEDB88320     # of IEEE 802.3, low bit first
RESIDUE = 0xDEBB20E3        # the register behind a message and its checksum


def _spread(bit):
    """What a 1 in `bit` of the byte that leaves does to the register."""
    value = 1 << bit
    for _ in range(8):
        value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
    return value


class Crc32(wiring.Component):
    """The checksum of zlib over the bytes since `i_clear`, one byte per cycle.

    Members
    -------
    i_clear : strobe, forgets all bytes, and this cycle's
    i_data, i_valid : a byte
    i_shift : i_valid means no byte: o_crc moves down by its low byte, which is how a checksum is sent
    o_crc : checksum of the bytes until the cycle before
    o_match : the bytes until the cycle before end in their own checksum, low byte first
    """

    i_clear: In(1)
    i_data: In(8)
    i_valid: In(1)
    i_shift: In(1)
    o_crc: Out(32)
    o_match: Out(1)

    def elaborate(self, platform):
        m = Module()
        register = Signal(32, init=0xFFFF_FFFF)
        leaves = Signal(8)
        m.d.comb += [
            leaves.eq((register[:8] ^ self.i_data) & (~self.i_shift).replicate(8)),
            self.o_crc.eq(~register),
            self.o_match.eq(register == RESIDUE),
        ]
        spread = [_spread(bit) for bit in range(8)]
        shifted = Cat(register[8:], Const(0, 8))
        following = Cat(reduce(xor, [leaves[bit] for bit in range(8) if spread[bit] >> place & 1], shifted[place])
                        for place in range(32))
        with m.If(self.i_clear):
            m.d.sync += register.eq(register.init)
        with m.Elif(self.i_valid):
            m.d.sync += register.eq(following)
        return m
