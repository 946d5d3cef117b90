"""The list of events of one step: factors, and where their synapses lie."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2


class EventList(wiring.Component):
    """Filled by a scan, replayed for every neuron.

    Members
    -------
    i_empty : :py:`In(1)`
        No events, offset 0.
    i_pass : :py:`In(1)`
        The scan passes a word i_word: it joins the list if not 0, and the offset takes a step of i_step.
    i_first, i_next : :py:`In(1)`
        The pointer goes to the first event, to the next one.
    o_factor, o_offset : :py:`Out(16)`
        The event under the pointer of the cycle before.
    o_end : :py:`Out(1)`
        The pointer is behind the last event.
    """

    i_empty: Signal
    i_pass: Signal
    i_word: Signal
    i_step: Signal
    i_first: Signal
    i_next: Signal
    o_factor: Signal
    o_offset: Signal
    o_end: Signal

    def __init__(self, *, depth: int):
        self.depth = max(depth, 2)
        super().__init__({
            "i_empty": In(1), "i_pass": In(1), "i_word": In(16), "i_step": In(16), "i_first": In(1), "i_next": In(1),
            "o_factor": Out(16), "o_offset": Out(16), "o_end": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        bits = ceil_log2(self.depth)
        count, pointer, offset = Signal(bits + 1), Signal(bits + 1), Signal(16)
        joins = self.i_pass & (self.i_word != 0)
        for name, written, read in (("factor", self.i_word, self.o_factor), ("offset", offset, self.o_offset)):
            memory = Memory(shape=unsigned(16), depth=1 << bits, init=[])
            m.submodules[f"{name}_memory"] = memory
            writer, reader = memory.write_port(), memory.read_port()
            m.d.comb += [
                writer.addr.eq(count), writer.data.eq(written), writer.en.eq(joins),
                reader.addr.eq(pointer), read.eq(reader.data),
            ]
        m.d.comb += self.o_end.eq(pointer == count)
        with m.If(self.i_empty):
            m.d.sync += [count.eq(0), offset.eq(0)]
        with m.Elif(self.i_pass):
            m.d.sync += [count.eq(count + joins), offset.eq(offset + self.i_step)]
        with m.If(self.i_first):
            m.d.sync += pointer.eq(0)
        with m.Elif(self.i_next):
            m.d.sync += pointer.eq(pointer + 1)
        return m
