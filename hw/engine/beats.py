"""Both ends of a neuron unit: beats of neurons in, finished beats out."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..contract.chip import ChipConfig
from .look import token_layout
from .scan import Credits
from .schedule import LAYER_BITS, Item
from .table import LayerPort, Widths, layer_view


class Feeder(wiring.Component):
    """Turns groups into beats of `units` neurons, one per cycle.

    The state that a beat reads was written by the same beat of item n - layers. So beats flow freely
    while at most `i_layers` items are unfinished, this one among them, and else as long as fewer beats
    are in the pipeline than this layer has. A group that comes with a sum waits for it. An item takes two
    cycles more than its beats, one where its descriptor was looked up while the one before it was fed.

    Members
    -------
    o_issue : a beat enters the pipeline; `o_item`, `o_fields`, `o_token`, `o_index` (beat in the layer) say which
    o_last : with o_issue, the beat is its item's last
    o_begin : a beat's item is the next one from the next cycle on; `o_next` and `o_next_fields` in this one
    o_pass : every item in order, for the collector
    """

    def __init__(self, config: ChipConfig, *fields: str):
        self.config, self.beats = config, config.beats
        self.fields = ("groups", *fields)
        self._token, self._view = token_layout(config), layer_view(config, *self.fields)
        super().__init__({
            "i_item": In(stream.Signature(Item)), "i_token": In(stream.Signature(self._token)),
            "layer": Out(LayerPort(self._view)),
            "i_layers": In(LAYER_BITS), "i_retire": In(1), "i_collected": In(1), "i_sum_valid": In(1),
            "o_shift": Out(1),
            "o_begin": Out(1), "o_next": Out(Item), "o_next_fields": Out(self._view),
            "o_issue": Out(1), "o_last": Out(1), "o_item": Out(Item), "o_fields": Out(self._view),
            "o_token": Out(self._token),
            "o_index": Out(Widths(config).state), "o_beat": Out(range(max(self.beats, 2))),
            "o_pass": Out(stream.Signature(Item)),
        })

    def elaborate(self, platform):
        m = Module()
        beat_bits = (self.beats - 1).bit_length()
        m.submodules.flight = flight = Credits(most=self.config.layers + 3)
        m.submodules.items = items = SyncFIFO(width=Item.size, depth=4)
        m.submodules.tokens = tokens = SyncFIFO(width=self._token.size, depth=8)
        m.d.comb += [
            items.w_data.eq(self.i_item.p), items.w_en.eq(self.i_item.valid), self.i_item.ready.eq(items.w_rdy),
            tokens.w_data.eq(self.i_token.p), tokens.w_en.eq(self.i_token.valid), self.i_token.ready.eq(tokens.w_rdy),
            self.o_next.eq(items.r_data), self.o_pass.p.eq(items.r_data),
            flight.back.eq(self.i_retire), flight.give.eq(items.r_en & items.r_rdy),
            self.layer.index.eq(self.o_next.layer), self.o_next_fields.eq(self.layer.fields),
        ]
        m.submodules.pipeline = pipeline = Credits(most=511)
        # The token in hand; the next one is taken with its last beat.
        token_valid, token_done = Signal(), Signal()
        m.d.comb += tokens.r_en.eq(~token_valid | token_done)
        with m.If(tokens.r_en):
            m.d.sync += [self.o_token.eq(tokens.r_data), token_valid.eq(tokens.r_rdy)]
        # The table has been shown the next item's layer.
        looked, independent = Signal(), Signal()
        free, below, limit = Signal(), Signal(), Signal(pipeline.out.shape())
        now = Signal.like(limit)
        m.d.sync += looked.eq(items.r_rdy & ~items.r_en)
        # Of the counts as they will be in the next cycle, so that little follows them.
        m.d.comb += now.eq(Mux(self.o_begin, self.layer.fields.groups << beat_bits, limit))
        with m.If(pipeline.give & ~pipeline.back):
            m.d.sync += below.eq(pipeline.out + 1 < now)
        with m.Elif(pipeline.back & ~pipeline.give):
            m.d.sync += below.eq(pipeline.out <= now)
        with m.Else():
            m.d.sync += below.eq(pipeline.out < now)
        with m.If(flight.give):
            m.d.sync += free.eq(flight.out < self.i_layers)
        with m.Else():
            m.d.sync += free.eq(flight.out <= self.i_layers)
        with m.If(self.o_begin):
            m.d.sync += [self.o_item.eq(self.o_next), self.o_fields.eq(self.layer.fields), self.o_index.eq(0),
                         limit.eq(now)]
        m.d.comb += [
            pipeline.give.eq(self.o_issue), pipeline.back.eq(self.i_collected),
            independent.eq(free | below),
        ]
        with m.FSM():
            with m.State("Item"):
                m.d.comb += self.o_pass.valid.eq(items.r_rdy & (looked | ~self.o_next.active))
                with m.If(self.o_pass.valid & self.o_pass.ready):
                    m.d.comb += [self.o_begin.eq(self.o_next.active), items.r_en.eq(1)]
                    with m.If(self.o_next.active):
                        m.next = "Beats"
            with m.State("Beats"):
                m.d.comb += [
                    self.o_issue.eq(independent & token_valid & (self.i_sum_valid | ~self.o_token.sum)),
                    self.o_shift.eq(self.o_issue & self.o_token.sum),
                ]
                with m.If(self.o_issue):
                    m.d.sync += [self.o_index.eq(self.o_index + 1), self.o_beat.eq(self.o_beat + 1)]
                    with m.If(self.o_beat == self.beats - 1):
                        m.d.sync += self.o_beat.eq(0)
                        m.d.comb += [token_done.eq(1), self.o_last.eq(self.o_token.end)]
                        with m.If(self.o_token.end):
                            m.next = "Item"
        return m


class Collector(wiring.Component):
    """Tells finished beats apart again: whose item, which beat, where a group and an item end.

    Items come in ahead of their beats through `i_pass`; an inactive one retires when it is next. Beats of two
    items are two cycles apart at least, so that the descriptor of the next has been looked up.
    `i_last` comes with an item's last beat. `o_retire` follows the last beat of an item by 4 cycles, when all its
    writes are visible.
    """

    lag = 4

    def __init__(self, config: ChipConfig, *fields: str):
        self.config, self.beats = config, config.beats
        self.fields = fields
        super().__init__({
            "i_pass": In(stream.Signature(Item)), "i_beat": In(1), "i_last": In(1),
            "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "o_item": Out(Item), "o_fresh": Out(1), "o_index": Out(Widths(config).state),
            "o_beat": Out(range(max(self.beats, 2))),
            "o_group_end": Out(1), "o_retire": Out(1), "o_final": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.items = items = SyncFIFO(width=Item.size, depth=4)
        end, final = Signal(), Signal()
        m.d.comb += [
            items.w_data.eq(self.i_pass.p), items.w_en.eq(self.i_pass.valid), self.i_pass.ready.eq(items.w_rdy),
            self.o_item.eq(items.r_data), self.layer.index.eq(self.o_item.layer),
            self.o_group_end.eq(self.o_beat == self.beats - 1), items.r_en.eq(end),
        ]
        with m.If(self.i_beat):
            m.d.sync += [self.o_index.eq(self.o_index + 1), self.o_beat.eq(self.o_beat + 1)]
            with m.If(self.o_group_end):
                m.d.sync += self.o_beat.eq(0)
            with m.If(self.i_last):
                m.d.sync += self.o_index.eq(0)
                m.d.comb += end.eq(1)
        with m.Elif(items.r_rdy & ~self.o_item.active):
            m.d.comb += end.eq(1)
        m.d.comb += [final.eq(end & self.o_item.final), self.o_fresh.eq(self.o_index == 0)]
        ends, finals = end, final
        for stage in range(self.lag):
            end_after, final_after = Signal(name=f"end_{stage}"), Signal(name=f"final_{stage}")
            m.d.sync += [end_after.eq(ends), final_after.eq(finals)]
            ends, finals = end_after, final_after
        m.d.comb += [self.o_retire.eq(ends), self.o_final.eq(finals)]
        return m
