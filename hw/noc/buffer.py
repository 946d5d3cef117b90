"""Buffers of whole packets."""

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

TAPS = {1: (0,), 2: (1, 0), 3: (2, 1), 4: (3, 2), 5: (4, 2), 6: (5, 4), 7: (6, 5), 8: (7, 5, 4, 3)}
"""Bits that a maximal shift register of so many bits feeds back (Xilinx XAPP052, table 3)."""


def successor(place):
    """The next of all 2^n places, in the order of a shift register: one look-up table where n is 4, and no carry.

    The second term puts the place of zeros, which such a register would never leave, between two others.
    """
    bits = len(place)
    return Cat(reduce(xor, (place[tap] for tap in TAPS[bits])) ^ ~place[:bits - 1].any(), place[:bits - 1])


class PacketBuffer(wiring.Component):
    """A first-in first-out buffer whose oldest packet can be read more than once, and whose newest can be taken back.

    ::

                 start of the oldest packet          end of the last whole packet
                     │      flit to read                 │      place to write
                     v         v                         v         v
        ─────────────[=========*=========][=====][=======][========*─────────
                      r_next, r_final ──>                  w_en, w_keep, w_drop ──>

    A flit is written in the cycle of `w_en` and may be read in the next. Writing where `w_room` is 0 loses flits; so
    does reading where `r_valid` is 0.

    Members
    -------
    w_en, w_data, w_last : a flit to write
    w_keep : all written up to and with this flit may be read
    w_drop : all written since the last `w_keep`, this flit included, is forgotten
    w_room : a flit more has room
    r_valid : there is a flit to read; once true for a packet's first flit it stays true while no flit is read
    r_data, r_last : it
    r_next : go on to the next flit; behind a packet's last one, if not `r_final`, back to its first
    r_final : with `r_next`: the packet is read for the last time, and the flit's place is free from the next cycle on
    """

    def __init__(self, *, depth: int, width: int):
        if not 2 <= depth <= 256 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two from 2 to 256, not {depth!r}")
        self.depth, self.width = depth, width
        super().__init__({
            "w_en": In(1), "w_data": In(width), "w_last": In(1), "w_keep": In(1), "w_drop": In(1), "w_room": Out(1),
            "r_valid": Out(1), "r_data": Out(width), "r_last": Out(1), "r_next": In(1), "r_final": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        bits = self.depth.bit_length() - 1
        m.submodules.memory = memory = Memory(shape=self.width + 1, depth=self.depth, init=[])
        writer, reader = memory.write_port(), memory.read_port(domain="comb")
        start, read, whole, write = (Signal(bits, name=name) for name in ("start", "read", "whole", "write"))
        after_read, after_write = Signal(bits), Signal(bits)
        kept, stored = Signal(), Signal()   # there is a flit to read; there is a flit
        freed, keep = Signal(), Signal()
        m.d.comb += [
            after_read.eq(successor(read)), after_write.eq(successor(write)),
            writer.en.eq(self.w_en), writer.addr.eq(write), writer.data.eq(self.w_last | self.w_data << 1),
            reader.addr.eq(read), self.r_last.eq(reader.data[0]), self.r_data.eq(reader.data[1:]),
            self.w_room.eq(~(stored & (write == start))), self.r_valid.eq(kept),
            freed.eq(self.r_next & self.r_final), keep.eq(self.w_en & self.w_keep),
        ]
        with m.If(self.w_en):
            m.d.sync += write.eq(Mux(self.w_drop, whole, after_write))
        with m.If(keep):
            m.d.sync += [whole.eq(after_write), kept.eq(1)]
        with m.Elif(freed & (after_read == whole)):
            m.d.sync += kept.eq(0)
        with m.If(self.w_en & self.w_drop):
            m.d.sync += stored.eq(kept & ~(freed & (after_read == whole)))
        with m.Elif(self.w_en):
            m.d.sync += stored.eq(1)
        with m.Elif(freed & (after_read == write)):
            m.d.sync += stored.eq(0)
        with m.If(self.r_next):
            m.d.sync += read.eq(Mux(self.r_last & ~self.r_final, start, after_read))
        with m.If(freed):
            m.d.sync += start.eq(after_read)
        return m
