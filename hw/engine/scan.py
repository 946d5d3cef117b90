"""Event lists: the non-zero inputs of one step, found once and replayed for every group of outputs."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .memory import ReadPort
from .schedule import Item

EVENT_BITS = 16


def work_layout(events: int) -> data.StructLayout:
    """An item with its event list: how many events and in which of the two buffers, if in one at all."""
    return data.StructLayout({"item": Item, "count": range(events + 1), "buffer": 1, "listed": 1})


class Stage(wiring.Component):
    """A register between two machines, so that the first can go on before the second is free."""

    def __init__(self, shape):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


class EventList(wiring.Component):
    """Two buffers of `depth` events: one is filled while the other is replayed. Read latency 1."""

    def __init__(self, *, depth: int, width: int):
        self.depth, self.width = max(depth, 2), width
        bits = ceil_log2(self.depth)
        super().__init__({
            "w_enable": In(1), "w_buffer": In(1), "w_index": In(bits), "w_event": In(width),
            "r_buffer": In(1), "r_index": In(bits), "r_event": Out(width),
        })

    def elaborate(self, platform):
        m = Module()
        bits = ceil_log2(self.depth)
        m.submodules.memory = memory = Memory(shape=unsigned(self.width), depth=2 << bits, init=[])
        writer, reader = memory.write_port(), memory.read_port()
        m.d.comb += [
            writer.en.eq(self.w_enable), writer.addr.eq(Cat(self.w_index, self.w_buffer)),
            writer.data.eq(self.w_event),
            reader.addr.eq(Cat(self.r_index, self.r_buffer)), self.r_event.eq(reader.data),
        ]
        return m


class Credits(wiring.Component):
    """Counts what is out: up with `give`, down with `back`, both in one cycle if need be."""

    def __init__(self, *, most: int):
        self._most = most
        super().__init__({"give": In(1), "back": In(1), "out": Out(range(most + 1))})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.out.eq(self.out + self.give - self.back)
        return m


class Scanner(wiring.Component):
    """Reads rows of one step and writes an event for each set lane, in rising order.

    ::

        i (items) ──> rows of a memory, one per cycle ──> find-next, one hit per cycle ──> list ──> o (work)

    Items without events to come take no list. A step of R rows with H set lanes takes at most
    R + H + 4 cycles, behind the engine's back. It starts item n when at most
    `i_layers` items before it have not retired, because what it reads was written by item
    n - layers - 1.

    The two uses differ in what a row is: `spikes` rows are bitmaps and an event is the input's
    index; error rows are `lanes` binary16 words and an event is (error, address of the synapse
    column), for which the next layer's `row_step` is added per row.
    """

    def __init__(self, *, lanes: int, events: int, depth: int, errors: bool):
        self.lanes, self.errors = lanes, errors
        self.events = max(events, 2)
        self.event_bits = 16 + 24 if errors else EVENT_BITS
        self._width = 16 * lanes if errors else lanes
        super().__init__({
            "i": In(stream.Signature(Item)), "i_layers": In(8), "i_steps": In(20), "i_offset": In(20),
            "i_retire": In(1), "i_release": In(1),
            "rows": Out(ReadPort(width=self._width, depth=depth)),
            "w_enable": Out(1), "w_buffer": Out(1), "w_index": Out(ceil_log2(self.events)),
            "w_event": Out(self.event_bits),
            "o": Out(stream.Signature(work_layout(self.events))),
        })

    def elaborate(self, platform):
        m = Module()
        lanes, bits = self.lanes, ceil_log2(self.lanes)
        m.submodules.flight = flight = Credits(most=512)
        m.submodules.lists = lists = Credits(most=2)
        item, layer = Signal(Item), self.i.payload.layer
        pending = Signal(lanes)               # lanes of the row not yet listed
        row = Signal(16 * lanes) if self.errors else None
        group, column, left = Signal(16), Signal(24), Signal(16)
        address, count, buffer, listed = Signal(24), Signal(range(self.events + 1)), Signal(), Signal()
        m.d.comb += [flight.back.eq(self.i_retire), lists.back.eq(self.i_release)]

        rest = pending & (pending - 1)[:lanes]
        lane = Signal(max(bits, 1))
        for k in reversed(range(lanes)):
            with m.If(pending[k]):
                m.d.comb += lane.eq(k)
        if self.errors:
            arrived = Cat(self.rows.data.word_select(k, 16) != 0 for k in range(lanes))
            event = Cat(row.word_select(lane, 16), (column + lane)[:24])
        else:
            arrived = self.rows.data
            event = (group << bits) + lane if bits else group
        next_address = Signal(24)
        m.d.comb += [next_address.eq(address), self.rows.address.eq(next_address), self.w_event.eq(event)]
        m.d.sync += address.eq(next_address)
        m.d.comb += [
            self.w_buffer.eq(buffer), self.w_index.eq(count),
            self.o.payload.item.eq(item), self.o.payload.count.eq(count), self.o.payload.buffer.eq(buffer),
            self.o.payload.listed.eq(listed),
        ]

        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [item.eq(self.i.payload), count.eq(0), pending.eq(0)]
                if self.errors:
                    base, rows = layer.next_errors + self.i_offset + self.i.payload.step, layer.next_groups
                    m.d.sync += column.eq(layer.next_weights - layer.next_row_step)
                    empty = ~self.i.payload.active | self.i.payload.last
                else:
                    base, rows = layer.spikes_in + self.i.payload.step, layer.input_groups
                    m.d.sync += group.eq(-1)
                    empty = ~self.i.payload.active
                m.d.comb += next_address.eq(base)
                m.d.sync += [left.eq(rows), listed.eq(~empty)]
                with m.If(self.i.valid & (flight.out <= self.i_layers) & (lists.out != 2)):
                    m.d.comb += [self.i.ready.eq(1), flight.give.eq(1), lists.give.eq(~empty)]
                    m.next = "Scan"
                    with m.If(empty):
                        m.next = "Send"
            with m.State("Scan"):
                with m.If(pending != 0):
                    m.d.comb += self.w_enable.eq(1)
                    m.d.sync += [count.eq(count + 1), pending.eq(rest)]
                with m.If(rest == 0):
                    with m.If(left != 0):
                        m.d.comb += next_address.eq(address + self.i_steps)
                        m.d.sync += [left.eq(left - 1), pending.eq(arrived), group.eq(group + 1)]
                        if self.errors:
                            m.d.sync += [row.eq(self.rows.data), column.eq(column + item.layer.next_row_step)]
                    with m.Else():
                        m.next = "Send"
                        if not self.errors:
                            with m.If(item.layer.bias):
                                m.next = "Bias"
            if not self.errors:
                with m.State("Bias"):  # a bias is a synapse whose input always spikes
                    m.d.comb += [self.w_enable.eq(1), self.w_event.eq(item.layer.inputs)]
                    m.d.sync += count.eq(count + 1)
                    m.next = "Send"
            with m.State("Send"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += buffer.eq(buffer ^ listed)
                    m.next = "Idle"
        return m
