"""Harvest: the wide sums of a batch, row after row, to the update."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..contract.chip import ChipConfig
from .gradient import update_layout
from .schedule import Item
from .table import LayerPort, Widths, address_bits, layer_view
from .wide import WideMemory


class Harvest(wiring.Component):
    """Takes every wide row of a layer and offers its sums to the update, `units` at a time.

    To the update it is what gradient engine and lanes are where the gradient is summed at the batch's
    end: a token per row of weights, then sums that `i_shift` consumes. A row that nothing was added to is a
    sum of zero. The rows of a layer come group by group, and all of them, so the memory is clean at the end.

    Cycles: WideMemory.take_latency + lanes / units per row, less than the update takes for it; and about 20 per
    layer for the last rows to be written.

    Members
    -------
    i : items, one per layer, any step; the first in the cycle after `RunningGradient.o_final` at the soonest
    o_take, o_take_address, i_row : to and from WideMemory
    o_token, o_item, i_update_idle : to and from the update
    o_sum_valid, o_sums, i_shift : sums of the row of the oldest token without any, lane 0 first
    o_final : for one cycle, when the update has written the last row of the run; all wide rows are zero
    """

    fields = ("weights", "row_step", "groups", "inputs", "bias")

    def __init__(self, config: ChipConfig, *, rows: int):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(Item)), "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "o_take": Out(1), "o_take_address": Out(address_bits(rows)),
            "i_row": In(config.lanes * config.sum_bits),
            "o_token": Out(stream.Signature(update_layout(config))), "o_item": Out(Item), "i_update_idle": In(1),
            "o_sum_valid": Out(1), "o_sums": Out(config.units * config.sum_bits), "i_shift": In(1),
            "o_final": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, item = self.config, self.o_item
        widths, layer = Widths(config), self.layer.fields
        offset, group_offset = Signal(widths.synapse), Signal(widths.synapse)
        sources, groups = Signal(widths.neuron), Signal(widths.group)  # still to come in this group and behind it
        waiting, beat = Signal(range(WideMemory.take_latency)), Signal(range(max(config.beats, 2)))
        part = config.units * config.sum_bits
        m.d.comb += [
            self.layer.index.eq(item.layer), self.o_token.p["sum"].eq(1), self.o_token.p.offset.eq(offset),
            self.o_sums.eq(self.i_row.word_select(beat, part)),
        ]
        told = Signal()                                  # the update knows of the row to be taken next

        def tell():
            m.d.comb += self.o_token.valid.eq(1)
            with m.If(self.o_token.ready):
                m.d.sync += [
                    self.o_take_address.eq(layer.weights + offset), told.eq(1), offset.eq(offset + 1),
                    sources.eq(sources - 1)]
                with m.If(sources == 1):
                    m.d.sync += [
                        sources.eq(layer.inputs + layer.bias), groups.eq(groups - 1),
                        offset.eq(group_offset + layer.row_step), group_offset.eq(group_offset + layer.row_step)]

        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [self.i.ready.eq(1), self.layer.index.eq(self.i.payload.layer)]
                m.d.sync += item.eq(self.i.payload)
                with m.If(self.i.valid):
                    m.next = "Load"
            with m.State("Load"):
                m.d.sync += [
                    offset.eq(0), group_offset.eq(0), groups.eq(layer.groups),
                    sources.eq(layer.inputs + layer.bias)]
                m.next = "Tell"
            with m.State("Tell"):
                tell()
                with m.If(self.o_token.ready):
                    m.next = "Take"
            with m.State("Take"):
                m.d.comb += self.o_take.eq(1)
                m.d.sync += [waiting.eq(WideMemory.take_latency - 2), told.eq(0), beat.eq(0)]
                m.next = "Arrive"
            with m.State("Arrive"):
                m.d.sync += waiting.eq(waiting - 1)
                with m.If(waiting == 0):
                    m.next = "Give"
            with m.State("Give"):
                # Of the next row the update reads the weights while this one's sums leave.
                with m.If(~told & (groups != 0)):
                    tell()
                m.d.comb += self.o_sum_valid.eq(1)
                with m.If(self.i_shift):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat == config.beats - 1):
                        m.next = "Tell"
                        with m.If(told | (self.o_token.valid & self.o_token.ready)):
                            m.next = "Take"
                        with m.Elif(groups == 0):
                            m.next = "Drain"
            with m.State("Drain"):
                with m.If(self.i_update_idle):
                    m.d.comb += self.o_final.eq(item.final)
                    m.next = "Idle"
        return m
