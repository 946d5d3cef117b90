"""New weights on their way to the mirrors of other cores."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import ChipConfig
from ..contract.program import Space
from ..contract.rows import ADDRESS_BITS, Kind
from .memory import ReadPort, shape_of
from .outbox import row_layout
from .table import LayerPort, Widths, layer_view


class MirrorSender(wiring.Component):
    """Sends each row of weights that the update writes to the core which holds the row's input (see contract/rows.py).

    Rows come in the gradient's order, all groups of an input, then the next input, and all of them; so the sender
    counts along. A row leaves two cycles after it came; rows are at least three cycles apart.

    Members
    -------
    i_layer : the layer that is updated, two cycles before its first row
    i_row, i_words : a row of new weights, bank by bank
    routes : where rows go, by group of inputs
    o : to the outbox
    """

    fields = ("groups", "inputs", "bias", "mirrored", "routes", "mirror_step")

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "i_layer": In(8), "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "i_row": In(1), "i_words": In(16 * config.lanes),
            "routes": Out(ReadPort(**shape_of(config, Space.ROUTES))),
            "o": Out(data.StructLayout({"valid": 1, "p": row_layout(config, Kind.WEIGHTS)})),
        })

    def elaborate(self, platform):
        m = Module()
        config, layer, bits = self.config, self.layer.fields, ceil_log2(self.config.lanes)
        widths = Widths(config)
        source, group, words = Signal(widths.neuron), Signal(widths.group), Signal(16 * config.lanes)
        # Routes and steps from group to group are multiples of the lanes, as all rows of synapses are.
        offset, lane = Signal(widths.synapse - bits), Signal(bits)
        following, is_last, coming = Signal.like(source), Signal(), Signal()
        route = data.View(data.StructLayout({"base": ADDRESS_BITS, "core": 8}), self.routes.data)
        m.d.comb += [self.layer.index.eq(self.i_layer), self.routes.address.eq(layer.routes + (source >> bits))]
        m.d.comb += [following.eq(source + 1), is_last.eq(Mux(layer.bias, source, following) == layer.inputs)]
        # The bias, if there is one, comes behind all inputs.
        m.d.sync += coming.eq(self.i_row & layer.mirrored & (source != layer.inputs))
        # The route of `source` has been asked for since the row before, so it is there with the row.
        base, rows, core = Signal.like(offset), Signal.like(offset), Signal(range(max(config.nodes, 2)))
        more = Signal.like(group)
        m.d.comb += more.eq(group + 1)
        with m.If(self.i_row):
            m.d.sync += [words.eq(self.i_words), lane.eq(source[:bits]), rows.eq(offset),
                         base.eq(route.base[bits:]), core.eq(route.core)]
            m.d.sync += [group.eq(more), offset.eq(offset + layer.mirror_step[bits:])]
            with m.If(more == layer.groups):
                m.d.sync += [group.eq(0), offset.eq(0), source.eq(Mux(is_last, 0, following))]
        m.d.sync += [
            self.o.p.targets.eq(1 << core), self.o.p.address.eq(Cat(lane, base + rows)), self.o.valid.eq(coming),
        ]
        # The words rest until the next row, three cycles later.
        m.d.comb += self.o.p.row.eq(words)
        return m
