"""CRC-32 of a frame, a byte per cycle."""

from amaranth.hdl import Module
from amaranth.lib import crc, wiring
from amaranth.lib.crc.catalog import CRC32_ETHERNET
from amaranth.lib.wiring import In, Out


class Crc32(wiring.Component):
    """The checksum of zlib over the bytes since `i_start`, one byte per cycle.

    Members
    -------
    i_start : 1 forgets all bytes before this cycle's; a byte of the same cycle is the first
    i_data, i_valid : a byte
    o_crc : checksum of the bytes until the cycle before
    o_match : the bytes until the cycle before end in their own checksum, low byte first
    """

    i_start: In(1)
    i_data: In(8)
    i_valid: In(1)
    o_crc: Out(32)
    o_match: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.processor = processor = crc.Processor(CRC32_ETHERNET(data_width=8))
        m.d.comb += [
            processor.start.eq(self.i_start),
            processor.data.eq(self.i_data),
            processor.valid.eq(self.i_valid),
            self.o_crc.eq(processor.crc),
            self.o_match.eq(processor.match_detected),
        ]
        return m
