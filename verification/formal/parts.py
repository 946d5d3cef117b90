"""Contracts of the network's parts: buffer, guard, arbiter."""

from amaranth.hdl import Assert, Assume, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...hw.contract.noc import MeshShape, NocConfig
from ...hw.noc.arbiter import RoundRobin
from ...hw.noc.buffer import PacketBuffer
from ...hw.noc.flits import header_layout, stream_of
from ...hw.noc.guard import Guard

DEPTH, WIDTH = 4, 2
TINY = NocConfig(mesh=MeshShape(2, 1), flit_bits=10, channels=1, packet_flits=4, buffer_flits=4)


class BufferContract(wiring.Component):
    """`PacketBuffer` against counts: what was kept comes out, all of it, in order, as often as it is asked for.

    One flit, any, is followed from its writing on. `pos` flits are stored before it; `offset` flits of the oldest
    packet were read in a pass that is not the last.
    """

    def __init__(self, buffer: type = PacketBuffer):
        self._buffer = buffer
        super().__init__({"w_en": In(1), "w_data": In(WIDTH), "w_last": In(1), "w_keep": In(1), "w_drop": In(1),
                          "r_next": In(1), "r_final": In(1), "pick": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._buffer(depth=DEPTH, width=WIDTH)
        for name in ("w_en", "w_data", "w_last", "w_keep", "w_drop", "r_next", "r_final"):
            m.d.comb += getattr(dut, name).eq(getattr(self, name))
        stored, kept, offset, pos = (Signal(range(DEPTH + 1), name=name)
                                     for name in ("stored", "kept", "offset", "pos"))
        inside, follow = Signal(), Signal()     # in the last pass of a packet; a flit is followed
        data, last = Signal(WIDTH), Signal()
        freed = Signal()
        m.d.comb += [
            Assume(~self.w_en | dut.w_room), Assume(~(self.w_keep & self.w_drop)),
            Assume(~self.r_next | (offset < kept)),
            Assume(~self.r_next | (offset == 0) | ~self.r_final), Assume(~self.r_next | ~inside | self.r_final),
            freed.eq(self.r_next & self.r_final),
            Assert(dut.w_room == (stored != DEPTH)), Assert(dut.r_valid == (kept != 0)),
            Assert(~follow | (pos != offset) | (pos >= kept) | ((dut.r_data == data) & (dut.r_last == last))),
        ]
        after = Signal.like(stored)
        m.d.comb += after.eq(stored - freed)
        with m.If(self.w_en & self.w_drop):
            m.d.sync += stored.eq(kept - freed)
        with m.Elif(self.w_en):
            m.d.sync += stored.eq(after + 1)
        with m.Else():
            m.d.sync += stored.eq(after)
        m.d.sync += kept.eq(Mux(self.w_en & self.w_keep, after + 1, kept - freed))
        with m.If(self.r_next & ~self.r_final):
            m.d.sync += offset.eq(Mux(dut.r_last, 0, offset + 1))
        with m.If(self.r_next & self.r_final):
            m.d.sync += inside.eq(~dut.r_last)
        with m.If(~follow):
            with m.If(self.w_en & ~self.w_drop & self.pick):
                m.d.sync += [follow.eq(1), pos.eq(after), data.eq(self.w_data), last.eq(self.w_last)]
        with m.Else():
            m.d.sync += pos.eq(pos - freed)
            with m.If((freed & (pos == 0)) | (self.w_en & self.w_drop & (pos >= kept))):
                m.d.sync += follow.eq(0)
        return m


class GuardContract(wiring.Component):
    """`Guard` before a buffer: whatever is put in, what can be read are well-formed packets, and it takes all in.

    `i.ready` does not fall before a flit was taken.
    """

    def __init__(self, guard: type = Guard):
        self._guard = guard
        super().__init__({"i": In(stream_of(TINY)), "r_next": In(1)})

    def elaborate(self, platform):
        m = Module()
        allowed = 0b011
        m.submodules.guard = guard = self._guard(TINY, allowed=allowed)
        m.submodules.buffer = buffer = PacketBuffer(depth=TINY.depth, width=TINY.flit_bits)
        wiring.connect(m, wiring.flipped(self.i), guard.i)
        m.d.comb += [
            buffer.w_en.eq(guard.w_en), buffer.w_keep.eq(guard.w_keep), buffer.w_drop.eq(guard.w_drop),
            buffer.w_data.eq(self.i.payload.data), buffer.w_last.eq(self.i.payload.last),
            guard.w_room.eq(buffer.w_room),
            buffer.r_next.eq(self.r_next), buffer.r_final.eq(1),
            Assume(~self.r_next | buffer.r_valid),
        ]
        header = Signal(header_layout(TINY))
        inside, left = Signal(), Signal(4)
        m.d.comb += header.eq(buffer.r_data)
        with m.If(buffer.r_valid):
            with m.If(~inside):
                m.d.comb += [Assert((header.mask & allowed) != 0), Assert((header.mask & ~allowed) == 0),
                             Assert(header.length < TINY.packet_flits), Assert(buffer.r_last == (header.length == 0))]
            with m.Else():
                m.d.comb += Assert(buffer.r_last == (left == 0))
        with m.If(inside):
            m.d.comb += Assert(buffer.r_valid)      # a packet is whole before its first flit can be read
        with m.If(self.r_next):
            m.d.sync += [inside.eq(~buffer.r_last), left.eq(Mux(inside, left, header.length) - 1)]
        waited = Signal()
        m.d.sync += waited.eq(guard.i.ready & ~self.i.valid)
        m.d.comb += Assert(~waited | guard.i.ready)
        # Empty, it takes whatever comes: a malformed packet never fills it for good.
        m.d.comb += Assert(buffer.r_valid | guard.i.ready)
        return m


class ArbiterContract(wiring.Component):
    """`RoundRobin`: one of the requests whenever there is one; one that stays waits for at most count - 1 others."""

    count = 4

    def __init__(self, arbiter: type = RoundRobin):
        self._arbiter = arbiter
        super().__init__({"requests": In(self.count), "take": In(1), "who": In(range(self.count))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = dut = self._arbiter(self.count)
        who, started, others = Signal.like(self.who), Signal(), Signal(range(self.count + 1))
        m.d.sync += [who.eq(self.who), started.eq(1)]
        m.d.comb += [
            dut.i_requests.eq(self.requests), dut.i_take.eq(self.take),
            Assume(~started | (who == self.who)), Assume(~self.take | self.requests.any()),
            Assert((dut.o_grant & (dut.o_grant - 1)) == 0), Assert((dut.o_grant & ~self.requests) == 0),
            Assert(dut.o_grant.any() == self.requests.any()), Assert(others < self.count),
        ]
        mine, granted = self.requests.bit_select(self.who, 1), dut.o_grant.bit_select(self.who, 1)
        with m.If(~mine | (self.take & granted)):
            m.d.sync += others.eq(0)
        with m.Elif(self.take):
            m.d.sync += others.eq(others + 1)
        return m
