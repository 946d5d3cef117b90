"""Spike history of a batch: the spikes of a sample turned from (step, neuron) to (neuron, step)."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import MAP_BITS, ChipConfig
from ..contract.program import Space
from .forward import shape_of
from .memory import ReadPort, WritePort
from .schedule import Item


class History(wiring.Component):
    """Sets one bit per spike: word (neuron << history_log) + step // 32, bit step % 32.

    The gradient engine reads a neuron's spikes over the whole batch as a row of words. Items of the
    forward order are taken; layer l's inputs are what is turned. One spike per cycle: an item with R
    groups of inputs, E of them without a spike, and H spikes takes 2 * R + H + E + 1 cycles, while the
    backward engine works; its last word is written in the cycle after.
    `i_clear` empties both histories, one word per cycle.
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(Item)), "i_steps": In(12), "i_offset": In(20), "i_history_log": In(3),
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
        item, pending, lane = Signal(Item), Signal(lanes), Signal(max(bits, 1))
        address, group, left = Signal(24), Signal(16), Signal(16)
        batch_step, clear_at = Signal(20), Signal(range(deepest + 1))
        neuron, row = Signal(20), Signal(24)
        setting, set_row, mark = Signal(), Signal(24), Signal(MAP_BITS)
        for k in reversed(range(lanes)):
            with m.If(pending[k]):
                m.d.comb += lane.eq(k)
        m.d.comb += [
            batch_step.eq(self.i_offset + item.step),
            neuron.eq((group << bits) + lane if bits else group),
            row.eq(item.layer.history + (neuron << self.i_history_log) + (batch_step >> word_bits)),
            self.spikes.address.eq(address), self.read.address.eq(row),
            self.history.address.eq(set_row), self.history.enable.eq(Mux(setting, -1, 0)),
            self.history.data.eq(self.read.data | mark),
        ]
        m.d.sync += [setting.eq(0), set_row.eq(row), mark.eq(1 << batch_step[:word_bits])]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [self.o_idle.eq(~self.i.valid & ~setting), self.i.ready.eq(~self.i_clear)]
                m.d.sync += [
                    item.eq(self.i.payload), group.eq(0), left.eq(self.i.payload.layer.input_groups),
                    address.eq(self.i.payload.layer.spikes_in + self.i.payload.step), clear_at.eq(0),
                ]
                with m.If(self.i_clear):
                    m.next = "Clear"
                with m.Elif(self.i.valid & self.i.payload.active):
                    m.next = "Read"
            with m.State("Read"):
                m.d.sync += address.eq(address + self.i_steps)
                m.next = "Load"
            with m.State("Load"):
                m.d.sync += [pending.eq(self.spikes.data), left.eq(left - 1)]
                m.next = "Mark"
            with m.State("Mark"):
                m.d.sync += [setting.eq(pending != 0), pending.eq(pending & (pending - 1))]
                with m.If((pending & (pending - 1)[:lanes]) == 0):
                    m.d.sync += group.eq(group + 1)
                    m.next = "Read"
                    with m.If(left == 0):
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
