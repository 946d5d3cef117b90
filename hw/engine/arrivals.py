"""Items of a core of a mesh wait for their rows, and for room for their own."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for, ceil_log2

from ..contract.chip import ChipConfig
from .schedule import Item
from .table import LayerPort, Widths, layer_view


def arrival_bits(config: ChipConfig) -> int:
    """Bits of the place (step, layer) of a counter."""
    return ceil_log2(config.step_slots) + ceil_log2(max(config.layers, 2))


class Arrivals(wiring.Component):
    """Counts rows by (layer, step) until the item that waits for them takes them all.

    An arrival is counted two cycles after it is told; two must be two cycles apart.

    Members
    -------
    i_arrive, i_place : a row has come for the item of this place
    i_look, o_count : the count of a place, one cycle later; not to be trusted without `o_sure`, for a row has come and
        took the reader, or the place was being written as it was read, and then a memory may give anything
    i_take, o_taken : sets the count of `i_look` back to zero; done in a cycle with `o_taken`
    """

    def __init__(self, config: ChipConfig):
        self._place, self._count = arrival_bits(config), Widths(config).group
        super().__init__({
            "i_arrive": In(1), "i_place": In(self._place), "i_look": In(self._place), "o_count": Out(self._count),
            "o_sure": Out(1),
            "i_take": In(1), "o_taken": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.counts = counts = Memory(shape=unsigned(self._count), depth=1 << self._place, init=[])
        writer, reader = counts.write_port(), counts.read_port()
        arrived, place = Signal(), Signal(self._place)
        m.d.sync += [arrived.eq(self.i_arrive), place.eq(self.i_place)]
        m.d.comb += [
            reader.addr.eq(Mux(self.i_arrive, self.i_place, self.i_look)), self.o_count.eq(reader.data),
            writer.addr.eq(place), writer.data.eq(reader.data + 1), writer.en.eq(arrived),
        ]
        m.d.sync += self.o_sure.eq(~self.i_arrive & ~self.o_taken & ~(arrived & (place == self.i_look)))
        with m.If(self.i_take & ~arrived):
            m.d.comb += [self.o_taken.eq(1), writer.addr.eq(self.i_look), writer.data.eq(0), writer.en.eq(1)]
        return m


class ItemGate(wiring.Component):
    """Lets an item through once all rows that it reads have come and there is room for all rows that it sends.

    An item that may pass takes four cycles, one without work none. Forward, the layer next to the input waits for
    nothing and the last layer sends nothing; backward it is the other way round.

    Members
    -------
    i, o : items
    o_place, i_count, i_sure, o_take, i_taken : of `Arrivals`
    i_sent : a row of this engine has left the outbox
    """

    def __init__(self, config: ChipConfig, *, backward: bool):
        self.config, self.backward = config, backward
        self.fields = ("groups", "next_groups" if backward else "input_groups")
        super().__init__({
            "i": In(stream.Signature(Item)), "o": Out(stream.Signature(Item)),
            "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "o_place": Out(arrival_bits(config)), "i_count": In(Widths(config).group), "i_sure": In(1),
            "o_take": Out(1),
            "i_taken": In(1), "i_sent": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, item, fields = self.config, self.i.payload, self.layer.fields
        waits = ~(item.last if self.backward else item.first)
        sends = ~(item.first if self.backward else item.last)
        owed = Signal(bits_for(config.outbox))     # rows of items let through that have not left yet
        more, left = Signal(), Signal()            # an item is let through; a row has left
        room, here, then = Signal(), Signal(), Signal(len(owed) + 1)
        m.d.comb += then.eq(owed + fields.groups)
        m.d.sync += [room.eq(then <= config.outbox),
                     here.eq(self.i_sure & (self.i_count == fields[self.fields[1]]))]
        m.d.comb += [
            self.layer.index.eq(item.layer), self.o.payload.eq(item),
            self.o_place.eq(Cat(item.step[:ceil_log2(config.step_slots)],
                                item.layer[:ceil_log2(max(config.layers, 2))])),
        ]
        with m.FSM():
            with m.State("Idle"):
                with m.If(~item.active):
                    m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
                with m.Elif(self.i.valid):
                    m.next = "Look"
            with m.State("Look"):
                m.next = "Wait"
            with m.State("Wait"):
                # Compares what was looked up in the cycle before and goes on being looked up.
                with m.If((here | ~waits) & (room | ~sends)):
                    m.d.comb += self.o_take.eq(waits)
                    with m.If(self.i_taken | ~waits):
                        m.d.comb += more.eq(sends)
                        m.next = "Pass"
            with m.State("Pass"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += self.i.ready.eq(1)
                    m.next = "Idle"
        # Rows leave several cycles apart, so one that does as an item is let through counts a cycle later.
        with m.If(self.i_sent):
            m.d.sync += left.eq(1)
        with m.Elif(~more):
            m.d.sync += left.eq(0)
        with m.If(more):
            m.d.sync += owed.eq(then)
        with m.Elif(left):
            m.d.sync += owed.eq(owed - 1)
        return m
