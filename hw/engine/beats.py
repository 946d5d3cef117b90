"""Both ends of a neuron unit: beats of neurons in, finished beats out."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from .scan import Credits
from .schedule import Item
from .walk import token_layout


class Feeder(wiring.Component):
    """Turns groups into beats of `units` neurons, one per cycle.

    The state that a beat reads was written by the same beat of item n - layers. So beats flow freely
    while at most `i_layers` items are unfinished, this one among them, and else as long as fewer beats
    are in the pipeline than this layer has. A group that comes with a sum waits for it.

    Members
    -------
    o_issue : a beat enters the pipeline; `o_item`, `o_token`, `o_index` (beat in the layer) say which
    o_begin : an item is taken; `o_item` is valid from the next cycle, `o_next` in this one
    o_pass : every item in order, for the collector
    """

    def __init__(self, *, lanes: int, units: int):
        self.beats = lanes // units
        self._token = token_layout(lanes)
        super().__init__({
            "i_item": In(stream.Signature(Item)), "i_token": In(stream.Signature(self._token)),
            "i_layers": In(8), "i_retire": In(1), "i_collected": In(1), "i_sum_valid": In(1), "o_shift": Out(1),
            "o_begin": Out(1), "o_next": Out(Item),
            "o_issue": Out(1), "o_item": Out(Item), "o_token": Out(self._token), "o_index": Out(16),
            "o_beat": Out(range(max(self.beats, 2))),
            "o_pass": Out(stream.Signature(Item)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.flight = flight = Credits(most=512)
        m.submodules.items = items = SyncFIFO(width=Item.size, depth=4)
        m.submodules.tokens = tokens = SyncFIFO(width=self._token.size, depth=8)
        m.d.comb += [
            items.w_data.eq(self.i_item.p), items.w_en.eq(self.i_item.valid), self.i_item.ready.eq(items.w_rdy),
            tokens.w_data.eq(self.i_token.p), tokens.w_en.eq(self.i_token.valid), self.i_token.ready.eq(tokens.w_rdy),
            self.o_next.eq(items.r_data), self.o_token.eq(tokens.r_data), self.o_pass.p.eq(items.r_data),
            flight.back.eq(self.i_retire), flight.give.eq(self.o_begin),
        ]
        m.submodules.pipeline = pipeline = Credits(most=511)
        item, independent = Signal(Item), Signal()
        m.d.comb += [
            self.o_item.eq(item), pipeline.give.eq(self.o_issue), pipeline.back.eq(self.i_collected),
            independent.eq((flight.out <= self.i_layers) | (pipeline.out < item.layer.groups * self.beats)),
        ]
        with m.FSM():
            with m.State("Item"):
                m.d.sync += [item.eq(items.r_data), self.o_index.eq(0)]
                m.d.comb += self.o_pass.valid.eq(items.r_rdy)
                with m.If(self.o_pass.valid & self.o_pass.ready):
                    m.d.comb += [self.o_begin.eq(1), items.r_en.eq(1)]
                    with m.If(self.o_next.active):
                        m.next = "Beats"
            with m.State("Beats"):
                m.d.comb += [
                    self.o_issue.eq(independent & tokens.r_rdy & (self.i_sum_valid | ~self.o_token.sum)),
                    self.o_shift.eq(self.o_issue & self.o_token.sum),
                ]
                with m.If(self.o_issue):
                    m.d.sync += [self.o_index.eq(self.o_index + 1), self.o_beat.eq(self.o_beat + 1)]
                    with m.If(self.o_beat == self.beats - 1):
                        m.d.sync += self.o_beat.eq(0)
                        m.d.comb += tokens.r_en.eq(1)
                        with m.If(self.o_token.end):
                            m.next = "Item"
        return m


class Collector(wiring.Component):
    """Tells finished beats apart again: whose item, which beat, where a group and an item end.

    Items come in ahead of their beats through `i_pass`; an inactive one retires when it is next.
    `o_retire` follows the last beat of an item by 3 cycles, when all its writes are visible.
    """

    lag = 3

    def __init__(self, *, lanes: int, units: int):
        self.beats = lanes // units
        super().__init__({
            "i_pass": In(stream.Signature(Item)), "i_beat": In(1),
            "o_item": Out(Item), "o_fresh": Out(1), "o_index": Out(16), "o_beat": Out(range(max(self.beats, 2))),
            "o_group_end": Out(1), "o_retire": Out(1), "o_final": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.items = items = SyncFIFO(width=Item.size, depth=4)
        group, end, final = Signal(16), Signal(), Signal()
        m.d.comb += [
            items.w_data.eq(self.i_pass.p), items.w_en.eq(self.i_pass.valid), self.i_pass.ready.eq(items.w_rdy),
            self.o_item.eq(items.r_data), self.o_fresh.eq(self.o_index == 0),
            self.o_group_end.eq(self.o_beat == self.beats - 1),
            items.r_en.eq(end),
        ]
        with m.If(self.i_beat):
            m.d.sync += [self.o_index.eq(self.o_index + 1), self.o_beat.eq(self.o_beat + 1)]
            with m.If(self.o_group_end):
                m.d.sync += [self.o_beat.eq(0), group.eq(group + 1)]
                with m.If(group == self.o_item.layer.groups - 1):
                    m.d.sync += [group.eq(0), self.o_index.eq(0)]
                    m.d.comb += end.eq(1)
        with m.Elif(items.r_rdy & ~self.o_item.active):
            m.d.comb += end.eq(1)
        m.d.comb += final.eq(end & self.o_item.final)
        ends, finals = end, final
        for stage in range(self.lag):
            end_after, final_after = Signal(name=f"end_{stage}"), Signal(name=f"final_{stage}")
            m.d.sync += [end_after.eq(ends), final_after.eq(finals)]
            ends, finals = end_after, final_after
        m.d.comb += [self.o_retire.eq(ends), self.o_final.eq(finals)]
        return m
