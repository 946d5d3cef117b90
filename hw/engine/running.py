"""Running gradient: a sample's errors added to wide sums while the other engines work on the next samples."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out, connect

from ..contract.chip import ChipConfig
from ..contract.program import Space
from ..neuron.pipeline import delay
from .memory import FAR_LATENCY, ReadPort, shape_of
from .scan import Credits, EventList, Scanner, Stage
from .schedule import Item
from .table import LayerPort, LayerWrite, Widths, address_bits, attach, layer_view
from .wide import add_layout

ADDS = 8  # places for addresses on their way to the wide memory


def group_layout(bits: int) -> data.StructLayout:
    """A group of outputs with an error: its first wide row, and whether it is the last one of its item."""
    return data.StructLayout({"base": bits, "end": 1})


class ErrorLooker(wiring.Component):
    """Finds the groups of an item that have a non-zero error, one row of errors per cycle, ahead of the visits.

    ::

        i (items) ─> rows of errors ─> any lane not 0? ─┬─> o_item     once per item that has such a group
                     one per cycle                      ├─> o_group    address and end mark
                                                        └─> o_row      the errors themselves, read this once

    A group's end mark is known when the next one is found or the item has ended; until then the group is
    held back. `places` groups at most are on their way or waiting; looking stops while they are.
    An item of G groups takes G + 2 cycles, one that is not active takes one.

    Members
    -------
    i : items; the order of layers and steps is free
    i_retire : the errors of one more item, in the order of `i`, are in memory; none is taken before
    i_batch_steps, i_offset : rows of errors from group to group, and the sample's first step among them
    o_dense : inputs, bias included, of the group just looked at, else 0
    o_idle : all groups found were taken from `o_row`
    o_final : for one cycle, when all was taken of the item marked final and of those before it; the next item
        comes after that
    """

    places = 16
    fields = ("errors", "weights", "row_step", "groups", "inputs", "bias")

    def __init__(self, config: ChipConfig, *, rows: int):
        self.config = config
        self.address_bits = address_bits(rows)
        super().__init__({
            "i": In(stream.Signature(Item)), "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "i_retire": In(1), "i_batch_steps": In(20), "i_offset": In(20),
            "errors": Out(ReadPort(**shape_of(config, Space.ERRORS))),
            "o_item": Out(stream.Signature(Item)),
            "o_group": Out(stream.Signature(group_layout(self.address_bits))),
            "o_row": Out(stream.Signature(16 * config.lanes)),
            "o_dense": Out(Widths(config).neuron), "o_idle": Out(1), "o_final": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        widths, layer = Widths(self.config), self.layer.fields
        group, row = Signal(group_layout(self.address_bits)), Signal(16 * self.config.lanes, reset_less=True)
        item, looking, looked, ending = Signal(Item), Signal(Item), Signal(Item), Signal()
        m.submodules.retired = retired = Credits(most=512)
        # Each item and group in a queue has a row in the queue of rows, so that the room in that one is room in all.
        items = self._queue(m, "items", looked, self.o_item)
        groups = self._queue(m, "groups", group, self.o_group)
        rows = self._queue(m, "rows", row, self.o_row)
        room = Signal(range(self.places + 1), init=self.places)

        address, step = Signal(widths.error), Signal(20)
        base, left, dense = Signal(self.address_bits), Signal(widths.group), Signal(widths.neuron)
        issue, idle, fresh = Signal(), Signal(), Signal(init=1)
        m.d.comb += [
            self.errors.address.eq(address), self.layer.index.eq(item.layer),
            retired.give.eq(self.i_retire), retired.back.eq(self.i.valid & self.i.ready),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [
                    idle.eq(1), self.i.ready.eq(retired.out != 0),
                    self.layer.index.eq(self.i.payload.layer)]
                m.d.sync += [item.eq(self.i.payload), step.eq(self.i_offset + self.i.payload.step)]
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += ending.eq(self.i.payload.final)
                    with m.If(self.i.payload.active):
                        m.next = "Load"
            with m.State("Load"):
                m.d.sync += [
                    address.eq(layer.errors + step), base.eq(layer.weights), left.eq(layer.groups),
                    dense.eq(layer.inputs + layer.bias),
                ]
                m.next = "Look"
            with m.State("Look"):
                m.d.comb += issue.eq(room != 0)
                # The item before stands here for as long as its last row may still be found to have an error.
                m.d.sync += looking.eq(item)
                with m.If(issue):
                    m.d.sync += [
                        address.eq(address + self.i_batch_steps), base.eq(base + layer.row_step), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "Idle"

        # Memory, lanes looked at.
        marks = data.StructLayout({"valid": 1, "final": 1, "base": self.address_bits, "dense": widths.neuron})
        reading, seen, some = Signal(marks), Signal(marks), Signal()
        m.d.comb += seen.eq(delay(m, reading.as_value(), FAR_LATENCY, name="seen", reset_less=False))
        m.d.sync += [
            reading.valid.eq(issue), reading.final.eq(left == 1), reading.base.eq(base), reading.dense.eq(dense),
            row.eq(self.errors.data), some.eq(self.errors.data.any()),
            looked.eq(delay(m, looking.as_value(), FAR_LATENCY - 3, name="looking")),
        ]
        found, held, held_end, close, taken = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            found.eq(seen.valid & some), close.eq(seen.valid & seen.final & ~some),
            rows.w_en.eq(found), items.w_en.eq(found & fresh),
            groups.w_en.eq(held & (held_end | found | close)), group.end.eq(held_end | close),
            taken.eq(self.o_row.valid & self.o_row.ready),
            self.o_dense.eq(Mux(seen.valid, seen.dense, 0)),
            self.o_idle.eq(idle & (room == self.places)),
            self.o_final.eq(ending & self.o_idle),
        ]
        m.d.sync += room.eq(room - issue + (seen.valid & ~some) + taken)
        with m.If(found):
            m.d.sync += [held.eq(1), held_end.eq(seen.final), group.base.eq(seen.base), fresh.eq(0)]
        with m.Elif(groups.w_en):
            m.d.sync += held.eq(0)
        with m.If(seen.valid & seen.final):
            m.d.sync += fresh.eq(1)
        with m.If(self.o_final):
            m.d.sync += ending.eq(0)
        return m

    def _queue(self, m, name: str, payload, output) -> SyncFIFO:
        m.submodules[name] = queue = SyncFIFO(width=len(Value.cast(payload)), depth=self.places)
        m.d.comb += [
            queue.w_data.eq(payload), output.valid.eq(queue.r_rdy), output.payload.eq(queue.r_data),
            queue.r_en.eq(output.ready),
        ]
        return queue


class RunningGradient(wiring.Component):
    """Adds the errors of a sample to the wide sum of every synapse whose input spiked, one row per cycle.

    ::

        i (items) ─> ErrorLooker ─> items ─> Scanner ─> list of spikes ─┐
                          │                  (and the bias)             ├─> visits ─> o ─> WideMemory
                          └─> groups, rows of errors ───────────────────┘   one per cycle

    For each step of a layer, each group of outputs with a non-zero error at that step, and each input that
    spiked (the bias always): row `weights + group * row_step + input` += the group's errors. These are
    the visits of the gradient at the batch's end, in another order.

    Cycles: one per visit, from group to group and from item to item too, as long as the items to come are
    found meanwhile: an item of G groups is looked at in G + 2 cycles, and if it has an error scanned in about
    max(R, H) + 11, for R rows with H spikes (`Scanner`). An item with errors in W groups whose layer has
    neither a spike nor a bias takes W cycles. `o` may hold all up, as WideMemory does where a row comes again at
    once. About 20 cycles for the way through.

    Members
    -------
    i : items, each (layer, step) once, in any order; `final` with the last of a sample
    i_retire : the errors of one more item, in the order of `i`, are in memory; none is taken before
    i_steps : steps of the sample, from group to group of its spikes
    i_batch_steps, i_offset : rows of errors from group to group, and the sample's first step among them
    errors, spikes : read ports
    o : what WideMemory is to add
    o_visit : one visit
    o_saved : visits that the dense schedule had made besides, two's complement, to be summed up
    o_idle : nothing to do, and all was added or taken by `o`
    o_final : for one cycle, when the item marked final and all before it are done; the next sample comes after that
    """

    def __init__(self, config: ChipConfig, *, rows: int):
        self.config, self.rows = config, rows
        super().__init__({
            "i": In(stream.Signature(Item)), "layers": In(LayerWrite()), "i_retire": In(1),
            "i_steps": In(20), "i_batch_steps": In(20), "i_offset": In(20),
            "errors": Out(ReadPort(**shape_of(config, Space.ERRORS))),
            "spikes": Out(ReadPort(**shape_of(config, Space.SPIKES))),
            "o": Out(stream.Signature(add_layout(lanes=config.lanes, rows=rows))),
            "o_visit": Out(1), "o_saved": Out(signed(Widths(config).neuron + 1)), "o_idle": Out(1), "o_final": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, widths = self.config, Widths(self.config)
        m.submodules.looker = looker = ErrorLooker(config, rows=self.rows)
        m.submodules.scanner = scanner = Scanner(config, errors=False)
        m.submodules.list = events = EventList(depth=scanner.events, width=scanner.event.size)
        m.submodules.stage = stage = Stage(scanner.o.payload.shape())
        attach(m, self, looker, "looker")
        attach(m, self, scanner, "scanner")
        connect(m, wiring.flipped(self.i), looker.i)
        connect(m, looker.errors, wiring.flipped(self.errors))
        connect(m, scanner.rows, wiring.flipped(self.spikes))
        connect(m, looker.o_item, scanner.i)
        connect(m, scanner.o, stage.i)
        m.d.comb += [
            looker.i_retire.eq(self.i_retire), looker.i_batch_steps.eq(self.i_batch_steps),
            looker.i_offset.eq(self.i_offset), scanner.i_steps.eq(self.i_steps),
            # The sample's spikes are all there, so that no item waits for those before it.
            scanner.i_layers.eq(1), scanner.i_retire.eq(scanner.o.valid & scanner.o.ready),
            events.w_enable.eq(scanner.w_enable), events.w_buffer.eq(scanner.w_buffer),
            events.w_index.eq(scanner.w_index), events.w_event.eq(scanner.w_event),
            self.o_idle.eq(looker.o_idle), self.o_final.eq(looker.o_final),
        ]

        # Each group of the item in hand is visited with each event of the item's list.
        work, group, issued = stage.o.payload, looker.o_group.payload, data.StructLayout({"add": 1, "last": 1})
        go, last, finish, room = Signal(), Signal(), Signal(), Signal()
        event = Signal(widths.event)
        mark = Signal(issued)
        m.d.comb += [
            go.eq(stage.o.valid & looker.o_group.valid & room), mark.add.eq(work.count != 0),
            last.eq(~mark.add | (event + 1 == work.count)), mark.last.eq(last), finish.eq(go & last & group.end),
            looker.o_group.ready.eq(go & last), stage.o.ready.eq(finish), scanner.i_release.eq(finish),
            events.r_index.eq(event), events.r_buffer.eq(work.buffer), self.o_visit.eq(go & mark.add),
        ]
        m.d.sync += self.o_saved.eq(looker.o_dense - self.o_visit)
        with m.If(go):
            m.d.sync += event.eq(Mux(last, 0, event + 1))

        # Its event comes, then its address; from the queue behind both go on with the group's errors as `o` takes them.
        m.submodules.adds = adds = SyncFIFO(width=issued.size + len(self.o.p.address), depth=ADDS)
        coming = delay(m, go, EventList.latency + 1, name="coming", reset_less=False)
        marks = delay(m, mark.as_value(), EventList.latency + 1, name="marks")
        base = delay(m, group.base, EventList.latency, name="base")
        address, taken = Signal(len(self.o.p.address)), Signal(issued)
        m.d.sync += address.eq(base + events.r_event)
        m.d.comb += [
            # Behind those in the queue there are as many on their way.
            room.eq(adds.level <= ADDS - 2 - EventList.latency),
            adds.w_en.eq(coming), adds.w_data.eq(Cat(marks, address)),
            Cat(taken, self.o.p.address).eq(adds.r_data), self.o.p.words.eq(looker.o_row.payload),
            self.o.valid.eq(adds.r_rdy & taken.add), adds.r_en.eq(self.o.ready | ~taken.add),
            looker.o_row.ready.eq(adds.r_rdy & adds.r_en & taken.last),
        ]
        return m
