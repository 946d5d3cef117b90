"""A packet buffer whose state says nothing twice, for solvers, and that it is the same as `PacketBuffer`."""

from amaranth.hdl import Array, Assert, Assume, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.noc.buffer import PacketBuffer


class ShiftBuffer(PacketBuffer):
    """`PacketBuffer` as a shift register: the oldest flit is always in the first place, and there are no pointers."""

    def elaborate(self, platform):
        m = Module()
        words = Array(Signal(self.width + 1, name=f"word_{place}") for place in range(self.depth + 1))
        stored, kept, offset = (Signal(range(self.depth + 1), name=name) for name in ("stored", "kept", "offset"))
        freed = self.r_next & self.r_final
        here = Signal(self.width + 1)
        m.d.comb += [here.eq(words[offset]), self.r_last.eq(here[0]), self.r_data.eq(here[1:]),
                     self.w_room.eq(stored != self.depth), self.r_valid.eq(kept != 0)]
        left, safe = Signal.like(stored), Signal.like(kept)
        m.d.comb += [left.eq(stored - freed), safe.eq(kept - freed)]
        for place in range(self.depth):
            m.d.sync += words[place].eq(Mux(self.w_en & (left == place), self.w_last | self.w_data << 1,
                                            Mux(freed, words[place + 1], words[place])))
        m.d.sync += [stored.eq(Mux(self.w_en, Mux(self.w_drop, safe, left + 1), left)),
                     kept.eq(Mux(self.w_en & self.w_keep, left + 1, safe))]
        with m.If(self.r_next & ~self.r_final):
            m.d.sync += offset.eq(Mux(self.r_last, 0, offset + 1))
        return m


class SameBuffer(wiring.Component):
    """`PacketBuffer` and `ShiftBuffer` answer alike, for ever, used as their docstring says."""

    def __init__(self, buffer: type = PacketBuffer, *, depth: int = 2, width: int = 2):
        self._buffer, self._depth, self._width = buffer, depth, width
        super().__init__({"w_en": In(1), "w_data": In(width), "w_last": In(1), "w_keep": In(1), "w_drop": In(1),
                          "r_next": In(1), "r_final": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.one = one = self._buffer(depth=self._depth, width=self._width)
        m.submodules.other = other = ShiftBuffer(depth=self._depth, width=self._width)
        for name in ("w_en", "w_data", "w_last", "w_keep", "w_drop", "r_next", "r_final"):
            m.d.comb += [getattr(part, name).eq(getattr(self, name)) for part in (one, other)]
        offset, inside, final = Signal(range(self._depth + 1)), Signal(), Signal()
        whole = Signal(range(self._depth + 2))      # flits that may be read and are not yet
        m.d.comb += [
            Assume(~self.w_en | one.w_room), Assume(~(self.w_keep & self.w_drop)),
            # A packet is written whole before it is kept, read to its end, and its pass is the last one or not.
            Assume(~self.r_next | (offset < whole)), Assume(~inside | (self.r_final == final)),
            Assert(one.w_room == other.w_room, "room"), Assert(one.r_valid == other.r_valid, "valid"),
        ]
        with m.If(offset < whole):
            m.d.comb += Assert((one.r_data == other.r_data) & (one.r_last == other.r_last), "data")
        kept, stored = Signal.like(whole), Signal.like(whole)
        freed = self.r_next & self.r_final
        m.d.comb += whole.eq(kept)
        m.d.sync += [stored.eq(Mux(self.w_en, Mux(self.w_drop, kept - freed, stored - freed + 1), stored - freed)),
                     kept.eq(Mux(self.w_en & self.w_keep, stored - freed + 1, kept - freed))]
        with m.If(self.r_next):
            m.d.sync += [inside.eq(~one.r_last), final.eq(self.r_final)]
            with m.If(~self.r_final):
                m.d.sync += offset.eq(Mux(one.r_last, 0, offset + 1))
        return m
