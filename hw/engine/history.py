"""Spike history of a batch: the spikes of a sample turned from (step, neuron) to (neuron, step)."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import MAP_BITS, ChipConfig
from ..contract.program import Space
from ..neuron.pipeline import delay
from .memory import ROW_LATENCY, ReadPort, WritePort, shape_of
from .scan import without_lowest
from .schedule import STEP_BITS, Item
from .table import LayerPort, Widths, layer_view


class History(wiring.Component):
    """Sets one bit per spike: word (neuron << history_log) + step // 32, bit step % 32.

    The gradient engine reads a neuron's spikes over the whole batch as a row of words. Items of the
    forward order are taken; layer l's inputs are what is turned. One spike per cycle, the next row read
    meanwhile: an item with R groups of inputs and at most two spikes in each takes 2 * R + 4 cycles, and every
    further spike of a group one more, while the backward engine works; a spike is found in the cycles after its
    row was taken, and its word written `lag` cycles later. Rows of spikes come from a prompt reader.
    `i_clear`, while `o_idle`, empties both histories, one word per cycle.
    """

    lag = 2 + ROW_LATENCY

    fields = ("history", "spikes_in", "input_groups")

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(Item)), "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "i_steps": In(STEP_BITS), "i_offset": In(20), "i_history_log": In(3),
            "i_clear": In(1), "o_idle": Out(1), "o_clearing": Out(1),
            "spikes": Out(ReadPort(**shape_of(config, Space.SPIKES))),
            "read": Out(ReadPort(**shape_of(config, Space.HISTORY))),
            "history": Out(WritePort(**shape_of(config, Space.HISTORY))),
            "active": Out(WritePort(**shape_of(config, Space.ACTIVE))),
        })

    def elaborate(self, platform):
        m = Module()
        lanes, bits = self.config.lanes, ceil_log2(self.config.lanes)
        word_bits = (MAP_BITS - 1).bit_length()
        deepest = max(self.config.history_words, self.config.active_words, 1)
        item, layer, pending, lane = Signal(Item), self.layer.fields, Signal(lanes), Signal(max(bits, 1))
        address, left = Signal.like(self.spikes.address), Signal(Widths(self.config).group)
        batch_step, clear_at = Signal(20), Signal(range(deepest + 1))
        for k in reversed(range(lanes)):
            with m.If(pending[k]):
                m.d.comb += lane.eq(k)
        rest = without_lowest(pending)
        # A hit's neuron, its word's address, the memory, and the word with its bit.
        step = Signal(bits + 8)
        group = Signal.like(self.history.address)   # first word of the row of neurons in hand
        row, asked = Signal.like(self.history.address), Signal.like(self.history.address)
        hit = pending.any()
        turned, flying = Signal(MAP_BITS), Signal(self.lag)
        m.d.sync += [
            row.eq(lane << self.i_history_log), asked.eq(row + delay(m, group, 1, name="group")),
            turned.eq(1 << delay(m, batch_step[:word_bits], ROW_LATENCY - 1, name="turned_step")),
            step.eq(1 << self.i_history_log << bits),
        ]
        m.d.comb += [
            self.layer.index.eq(item.layer), self.spikes.address.eq(address), self.read.address.eq(asked),
            self.history.address.eq(delay(m, asked, ROW_LATENCY, name="set_row")),
            self.history.enable.eq(Mux(flying[-1], -1, 0)),
            self.history.data.eq(self.read.data | turned),
        ]
        with m.If(hit):
            m.d.sync += pending.eq(rest)
        turn, there, following = Signal(), Signal(), Signal.like(group)
        with m.If(turn):
            m.d.sync += [address.eq(address + self.i_steps), left.eq(left - 1), following.eq(following + step)]
        busy = Signal()
        m.d.sync += flying.eq(Cat(hit, flying))
        m.d.comb += [busy.eq(1), self.o_idle.eq(~busy & ~hit & ~flying.any())]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [busy.eq(self.i.valid), self.i.ready.eq(~self.i_clear),
                             self.layer.index.eq(self.i.payload.layer)]
                m.d.sync += [item.eq(self.i.payload), clear_at.eq(0)]
                with m.If(self.i_clear):
                    m.next = "Clear"
                with m.Elif(self.i.valid & self.i.payload.active):
                    m.next = "Start"
            with m.State("Start"):
                m.d.sync += [
                    batch_step.eq(self.i_offset + item.step), address.eq(layer.spikes_in + item.step),
                    left.eq(layer.input_groups), following.eq(layer.history), there.eq(0),
                ]
                m.next = "Read"
            with m.State("Read"):
                m.d.sync += [there.eq(1), following.eq(following + (batch_step >> word_bits))]
                m.next = "Mark"
            with m.State("Mark"):
                # A row is asked for as the one before it is taken, and is there two cycles later.
                m.d.sync += there.eq(1)
                with m.If(there & ~rest.any()):
                    m.d.sync += [pending.eq(self.spikes.data), there.eq(0), group.eq(following)]
                    m.d.comb += turn.eq(1)
                    with m.If(left == 0):
                        m.d.sync += pending.eq(0)
                        m.next = "Idle"
            with m.State("Clear"):
                m.d.comb += [
                    self.o_clearing.eq(1),
                    self.history.address.eq(clear_at), self.history.data.eq(0),
                    self.history.enable.eq(Mux(clear_at < self.config.history_words, -1, 0)),
                    self.active.address.eq(clear_at), self.active.data.eq(0),
                    self.active.enable.eq(Mux(clear_at < self.config.active_words, -1, 0)),
                ]
                m.d.sync += clear_at.eq(clear_at + 1)
                with m.If(clear_at == deepest - 1):
                    m.next = "Idle"
        return m
