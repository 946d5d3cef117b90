"""Event lists: the non-zero inputs of one step, found once and replayed for every group of outputs."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import ChipConfig
from ..contract.program import Space
from ..neuron.pipeline import delay
from .memory import FAR_LATENCY, ROW_LATENCY, ReadPort, shape_of
from .remote import FLAGS_LATENCY, flags_shape, words_shape
from .schedule import LAYER_BITS, Item
from .table import LayerPort, Widths, layer_view

ROWS = 16  # rows that may wait for their lanes to be listed: as many as LUT memory has


def event_layout(config: ChipConfig, *, errors: bool) -> data.StructLayout:
    """An entry of a list: where its synapses lie in the layer, or in memory with the error that multiplies them."""
    widths = Widths(config)
    if errors:
        return data.StructLayout({"address": widths.synapse, "factor": 16})
    return data.StructLayout({"address": widths.event})


def work_layout(config: ChipConfig) -> data.StructLayout:
    """An item with its event list: how many events and in which of the two buffers, if in one at all."""
    return data.StructLayout({"item": Item, "count": range(max(config.events, 2) + 1), "buffer": 1, "listed": 1})


def without_lowest(bits):
    """The bits but for the lowest set one; no carry chain, for the few bits of a row."""
    return Cat(bits[k] & bits[:k].any() for k in range(len(bits)))


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
    """Two buffers of `depth` events: one is filled while the other is replayed. Read latency 2."""

    latency = 2

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
            writer.data.eq(self.w_event), reader.addr.eq(Cat(self.r_index, self.r_buffer)),
        ]
        # A block RAM alone takes half a cycle of 10 ns to answer.
        m.d.comb += self.r_event.eq(delay(m, reader.data, 1, name="event"))
        return m


class Credits(wiring.Component):
    """Counts what is out: up with `give`, down with `back`, both in one cycle if need be.

    `full` is out == most, or less than `apart` cycles have passed since the last `give`.
    """

    def __init__(self, *, most: int, apart: int = 1):
        self._most, self._apart = most, apart
        super().__init__({"give": In(1), "back": In(1), "out": Out(range(most + 1)), "full": Out(1)})

    def elaborate(self, platform):
        m = Module()
        spent, soon, left = Signal(), Signal(), Signal(range(max(self._apart, 2)))
        m.d.comb += self.full.eq(spent | soon)
        with m.If(self.give & ~self.back):
            m.d.sync += [self.out.eq(self.out + 1), spent.eq(self.out == self._most - 1)]
        with m.Elif(self.back & ~self.give):
            m.d.sync += [self.out.eq(self.out - 1), spent.eq(0)]
        if self._apart > 1:
            with m.If(self.give):
                m.d.sync += [soon.eq(1), left.eq(self._apart - 2)]
            with m.Elif(soon):
                m.d.sync += [soon.eq(left != 0), left.eq(left - 1)]
        return m


class Scanner(wiring.Component):
    """Reads rows of one step and writes an event for each set lane, in rising order.

    ::

        i (items) ──> rows of a memory, one per cycle ──> rows with a set lane ──> find-next, one hit per cycle
                                                          (a short queue)          ──> list ──> o (work)

    Rows without a set lane are dropped before the queue, so an item of R rows with H set lanes is offered
    at least max(R, H) and at most R + H - 1 cycles, besides `lag` and one for a bias, after it was taken,
    behind the engine's back. Items without events to come take no list. It starts
    item n when at most `i_layers` items before it have not retired, because what it reads was written by
    item n - layers - 1.

    The two uses differ in what a row is: `spikes` rows are bitmaps and an event is the input's
    index; error rows are `lanes` binary16 words and an event is (address of the synapse column, error),
    for which the next layer's `row_step` is added per row. In a mesh a row of errors is a bitmap, too, with its
    words in a memory of their own (`RemoteMemory`): an event has its word a cycle later.
    """

    def __init__(self, config: ChipConfig, *, errors: bool):
        self.config, self.errors = config, errors
        self.remote = errors and config.nodes > 1
        self.lag = 6 + FLAGS_LATENCY if self.remote else 5 + FAR_LATENCY if errors else 4 + ROW_LATENCY
        self.events = max(config.events, 2)
        self.event = event_layout(config, errors=errors)
        self.fields = (("next_errors", "next_groups", "next_weights", "next_row_step") if errors
                       else ("spikes_in", "input_groups", "inputs", "bias"))
        ports: dict = {"i_offset": In(20)} if errors else {}
        if self.remote:
            rows = flags_shape(config)
            ports["words"] = Out(ReadPort(**words_shape(config)))
        else:
            rows = shape_of(config, Space.ERRORS if errors else Space.SPIKES)
        super().__init__({
            "i": In(stream.Signature(Item)), "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "i_layers": In(LAYER_BITS), "i_steps": In(20), **ports,
            "i_retire": In(1), "i_release": In(1),
            "rows": Out(ReadPort(**rows)),
            "w_enable": Out(1), "w_buffer": Out(1), "w_index": Out(ceil_log2(self.events)),
            "w_event": Out(self.event.size),
            "o": Out(stream.Signature(work_layout(config))),
        })

    def elaborate(self, platform):
        m = Module()
        lanes, bits = self.config.lanes, ceil_log2(self.config.lanes)
        m.submodules.flight = flight = Credits(most=self.config.layers + 2)
        m.submodules.lists = lists = Credits(most=2)
        item, layer = Signal(Item), self.layer.fields
        tag_bits = max(self.event["address"].width - bits, 1)
        entry = data.StructLayout({
            "lanes": lanes, "tag": tag_bits, "last": 1,
            **({"row": len(self.rows.address) if self.remote else 16 * lanes} if self.errors else {})})
        m.submodules.queue = queue = SyncFIFO(width=entry.size, depth=ROWS)
        free = Signal()
        m.d.sync += free.eq(flight.out <= self.i_layers)
        m.d.comb += [flight.back.eq(self.i_retire), lists.back.eq(self.i_release)]

        # Rows: address, memory, queue. Of errors, lanes that are not 0 are found before a register more, or, of what
        # comes over a mesh, before they are written; there a row waits as its address.
        address = Signal(len(self.rows.address))
        left, tag = Signal(Widths(self.config).group), Signal(tag_bits)
        issue, first = Signal(), Signal()
        marks = data.StructLayout({"valid": 1, "last": 1, "tag": tag_bits, "row": len(address) if self.remote else 0})
        reading, fetched = Signal(marks), Signal(marks)
        row = Signal(self.rows.data.shape(), reset_less=True)
        flags = Signal(lanes, reset_less=self.errors)
        m.d.comb += [self.rows.address.eq(address), fetched.eq(delay(
            m, reading.as_value(), FLAGS_LATENCY if self.remote else FAR_LATENCY if self.errors else ROW_LATENCY - 1,
            name="fetched", reset_less=False))]
        if self.remote:
            m.d.sync += flags.eq(self.rows.data)
        elif self.errors:
            m.d.sync += [row.eq(self.rows.data),
                         flags.eq(Cat(self.rows.data.word_select(k, 16).any() for k in range(lanes)))]
        else:
            m.d.comb += flags.eq(self.rows.data)
        m.d.sync += [reading.valid.eq(issue), reading.last.eq(left == 1), reading.tag.eq(tag), reading.row.eq(address)]
        with m.If(issue):
            step = layer.next_row_step >> bits if self.errors else 1
            m.d.sync += [address.eq(address + self.i_steps), left.eq(left - 1), tag.eq(tag + step)]
        arrived = Signal(entry)
        m.d.comb += [
            arrived.lanes.eq(flags), arrived.tag.eq(fetched.tag), arrived.last.eq(fetched.last),
            queue.w_data.eq(arrived), queue.w_en.eq(fetched.valid & (flags.any() | fetched.last)),
        ]
        if self.errors:
            m.d.comb += arrived.row.eq(fetched.row if self.remote else row)

        # Lanes: one event per cycle from the row in hand, the next row as its last lane goes.
        offered, held = Signal(entry), Signal(entry)
        finished = Signal()  # the item's last row has been in hand
        pending = held.lanes
        rest = without_lowest(pending)
        lane = Signal(max(bits, 1))
        for k in reversed(range(lanes)):
            with m.If(pending[k]):
                m.d.comb += lane.eq(k)
        hit = Signal()
        count, buffer, listed = Signal(range(self.events + 1)), Signal(), Signal()
        event = Signal(self.event)
        m.d.comb += [
            offered.eq(queue.r_data), hit.eq(pending.any()), queue.r_en.eq(~rest.any() & ~finished),
            event.address.eq(Cat(lane, held.tag) if bits else held.tag),
        ]
        if self.errors and not self.remote:
            m.d.comb += event.factor.eq(held.row.word_select(lane, 16) if bits else held.row)
        w_enable, w_index, w_buffer, w_event = (
            getattr(self, name) if not self.remote else Signal.like(getattr(self, name), name=f"asked_{name}")
            for name in ("w_enable", "w_index", "w_buffer", "w_event"))
        if self.remote:
            m.d.comb += self.words.address.eq(Cat(lane[:bits], held.row))
            m.d.sync += [self.w_enable.eq(w_enable), self.w_index.eq(w_index), self.w_buffer.eq(w_buffer),
                         self.w_event.eq(Cat(data.View(self.event, w_event).address, self.words.data))]
        m.d.sync += w_enable.eq(0)
        with m.If(hit):
            m.d.sync += [w_enable.eq(1), w_index.eq(count), w_event.eq(event), count.eq(count + 1), pending.eq(rest)]
        with m.If(queue.r_en & queue.r_rdy):
            m.d.sync += [held.eq(offered), finished.eq(offered.last)]
        m.d.sync += w_buffer.eq(buffer)
        m.d.comb += [
            self.o.payload.item.eq(item), self.o.payload.count.eq(count), self.o.payload.buffer.eq(buffer),
            self.o.payload.listed.eq(listed), self.layer.index.eq(item.layer),
        ]

        empty = ~self.i.payload.active | (self.i.payload.last if self.errors else 0)
        batch_step = Signal(20)
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += self.layer.index.eq(self.i.payload.layer)
                m.d.sync += [item.eq(self.i.payload), count.eq(0), listed.eq(~empty),
                             batch_step.eq(self.i.payload.step + (self.i_offset if self.errors else 0))]
                with m.If(self.i.valid & free & (lists.out != 2)):
                    m.d.comb += [self.i.ready.eq(1), flight.give.eq(1), lists.give.eq(~empty)]
                    m.next = "Load"
                    with m.If(empty):
                        m.next = "Send"
            with m.State("Load"):
                if self.errors:
                    base, rows, first = layer.next_errors, layer.next_groups, layer.next_weights >> bits
                else:
                    base, rows, first = layer.spikes_in, layer.input_groups, 0
                m.d.sync += [address.eq(base + batch_step), left.eq(rows), tag.eq(first), finished.eq(0)]
                m.next = "Rows"
            with m.State("Rows"):
                m.d.comb += issue.eq(queue.level < ROWS // 2)  # there is room for those on their way
                with m.If(issue & (left == 1)):
                    m.next = "Lanes"
            with m.State("Lanes"):
                with m.If(finished & ~rest.any()):
                    m.next = "Word" if self.remote else "Send"
                    if not self.errors:
                        with m.If(layer.bias):
                            m.next = "Bias"
            if not self.errors:
                with m.State("Bias"):  # a bias is a synapse whose input always spikes
                    m.d.sync += [w_enable.eq(1), w_index.eq(count), w_event.eq(layer.inputs), count.eq(count + 1)]
                    m.next = "Send"
            if self.remote:
                with m.State("Word"):   # of the last event
                    m.next = "Send"
            with m.State("Send"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += buffer.eq(buffer ^ listed)
                    m.next = "Idle"
        return m
