"""Timeline: in which cycle which engine began and ended."""

from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from ..contract.program import TIMELINE_PARTS, TIMELINE_ROWS
from .memory import HostPort


class Timeline(wiring.Component):
    """A ring of the last changes: who was at work from which cycle on.

    A row of 32 bits is written whenever `i_levels` changes while the core runs: the cycle, counted while it runs
    (24 bits), the new levels in the order of `TIMELINE_PARTS`, at bit 30 the lap, which turns over each time the
    ring is full, and at bit 31 a one. So the oldest row is the first one whose lap is not row 0's. Two changes in two
    cycles are two rows.

    Members
    -------
    i_levels : who is at work; i_running : whether to count
    """

    depth = 2 * TIMELINE_ROWS
    host_latency = 1

    def __init__(self):
        super().__init__({"host": In(HostPort()), "i_levels": In(len(TIMELINE_PARTS)), "i_running": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.rows = rows = Memory(shape=unsigned(32), depth=TIMELINE_ROWS, init=[],
                                          attrs={"ram_style": "block"})
        writer, reader = rows.write_port(), rows.read_port()
        cycle, before, lap = Signal(24), Signal.like(self.i_levels), Signal(init=1)
        changed, row, at, high = Signal(), Signal(32), Signal(range(TIMELINE_ROWS)), Signal()
        fill = Const(0, 30 - 24 - len(before))
        m.d.sync += [
            before.eq(self.i_levels), changed.eq(before != self.i_levels),
            row.eq(Cat(cycle, self.i_levels, fill, lap, 1)), high.eq(self.host.address[0]),
        ]
        with m.If(self.i_running):
            m.d.sync += cycle.eq(cycle + 1)
        with m.If(changed):
            m.d.sync += at.eq(at + 1)
        with m.If((before != self.i_levels) & ((at + changed)[:len(at)] == TIMELINE_ROWS - 1)):
            m.d.sync += lap.eq(~lap)
        m.d.comb += [
            writer.addr.eq(at), writer.data.eq(row), writer.en.eq(changed),
            reader.addr.eq(self.host.address[1:]), self.host.result.eq(reader.data.word_select(high, 16)),
        ]
        return m
