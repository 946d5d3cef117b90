"""Buffers of whole packets."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


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
        if depth < 1 or depth & (depth - 1):
            raise ValueError(f"depth must be a power of two, not {depth!r}")
        self.depth, self.width = depth, width
        super().__init__({
            "w_en": In(1), "w_data": In(width), "w_last": In(1), "w_keep": In(1), "w_drop": In(1), "w_room": Out(1),
            "r_valid": Out(1), "r_data": Out(width), "r_last": Out(1), "r_next": In(1), "r_final": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        bits = self.depth.bit_length()  # one more than an address: full and empty differ
        m.submodules.memory = memory = Memory(shape=self.width + 1, depth=self.depth, init=[])
        writer, reader = memory.write_port(), memory.read_port(domain="comb")
        start, read, whole, write = (Signal(bits, name=name) for name in ("start", "read", "whole", "write"))
        after_read, after_write = Signal(bits), Signal(bits)
        m.d.comb += [
            after_read.eq(read + 1), after_write.eq(write + 1),
            writer.en.eq(self.w_en), writer.addr.eq(write[:bits - 1]),
            writer.data.eq(self.w_last | self.w_data << 1),
            reader.addr.eq(read[:bits - 1]), self.r_last.eq(reader.data[0]), self.r_data.eq(reader.data[1:]),
            self.w_room.eq((write ^ start) != self.depth), self.r_valid.eq(read != whole),
        ]
        with m.If(self.w_en):
            m.d.sync += write.eq(Mux(self.w_drop, whole, after_write))
            with m.If(self.w_keep):
                m.d.sync += whole.eq(after_write)
        with m.If(self.r_next):
            m.d.sync += read.eq(Mux(self.r_last & ~self.r_final, start, after_read))
            with m.If(self.r_final):
                m.d.sync += start.eq(after_read)
        return m
