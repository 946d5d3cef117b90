"""Ahead of the visits: which groups of an item have work, decided group by group."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..contract.chip import ChipConfig
from ..contract.program import Space
from .memory import ReadPort, shape_of
from .scan import work_layout
from .schedule import Item
from .table import LayerPort, Widths, layer_view

ROWS = 8


def token_layout(config: ChipConfig) -> data.StructLayout:
    """A group on its way to the neuron unit: whether a sum comes with it, and its kept flags."""
    return data.StructLayout({"sum": 1, "end": 1, "spikes": config.lanes, "masks": config.lanes})


def job_layout(config: ChipConfig) -> data.StructLayout:
    """A group to be visited with `more` + 1 events of a list, or the end of that list's use."""
    return data.StructLayout({
        "base": Widths(config).synapse, "more": range(max(config.events, 2)), "single": 1, "buffer": 1,
        "release": 1})


def rows_layout(config: ChipConfig) -> data.StructLayout:
    """Kept spikes and surrogate masks of a group at the step of its item."""
    return data.StructLayout({"spikes": config.lanes, "masks": config.lanes})


class MaskReader(wiring.Component):
    """Fetches the kept spikes and masks of every group of an item, one group per cycle, and passes the item on.

    An item of G groups takes G + 3 cycles while its rows find room.
    """

    fields = ("spikes_out", "masks", "groups")

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(work_layout(config))), "o": Out(stream.Signature(work_layout(config))),
            "o_rows": Out(stream.Signature(rows_layout(config))), "i_steps": In(12),
            "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "spikes": Out(ReadPort(**shape_of(config, Space.SPIKES))),
            "masks": Out(ReadPort(**shape_of(config, Space.MASKS))),
        })

    def elaborate(self, platform):
        m = Module()
        layout, layer, offered = rows_layout(self.config), self.layer.fields, self.i.payload
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=ROWS)
        spikes_at, masks_at = Signal(len(self.spikes.address)), Signal(len(self.masks.address))
        step, left, issue, index = Signal(12), Signal(16), Signal(), Signal(offered.item.layer.shape())
        reading, fetched, row = Signal(), Signal(), Signal(layout)
        m.d.comb += [
            self.spikes.address.eq(spikes_at), self.masks.address.eq(masks_at),
            row.spikes.eq(self.spikes.data), row.masks.eq(self.masks.data),
            queue.w_data.eq(row), queue.w_en.eq(fetched),
            self.o_rows.payload.eq(queue.r_data), self.o_rows.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o_rows.ready), self.o.payload.eq(offered), self.layer.index.eq(index),
        ]
        m.d.sync += [
            reading.eq(issue), fetched.eq(reading),
        ]
        with m.If(issue):
            m.d.sync += [spikes_at.eq(spikes_at + self.i_steps), masks_at.eq(masks_at + self.i_steps),
                         left.eq(left - 1)]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready),
                             self.layer.index.eq(offered.item.layer)]
                m.d.sync += [step.eq(offered.item.step), index.eq(offered.item.layer)]
                with m.If(self.i.valid & self.i.ready & offered.item.active):
                    m.next = "Load"
            with m.State("Load"):
                m.d.sync += [spikes_at.eq(layer.spikes_out + step), masks_at.eq(layer.masks + step),
                             left.eq(layer.groups)]
                m.next = "Rows"
            with m.State("Rows"):
                m.d.comb += issue.eq(queue.level <= ROWS - 4)
                with m.If(issue & (left == 1)):
                    m.next = "Idle"
        return m


class Looker(wiring.Component):
    """Decides group by group, one per cycle and ahead of the visits, which groups have work.

    Forward every group has if there is any event. Backward a group has if one of its surrogate masks is
    set; its kept spikes and masks go along in the token. An item of G groups takes G + 2 cycles,
    and one more to give its list back, unless jobs or tokens back up.
    """

    def __init__(self, config: ChipConfig, *, backward: bool):
        self.config, self.backward = config, backward
        self.widths = Widths(config)
        self.fields = ("groups", "spiking", "next_outputs") if backward else (
            "weights", "row_step", "groups", "inputs", "bias")
        ports = {"i_rows": In(stream.Signature(rows_layout(config)))} if backward else {}
        super().__init__({
            "i": In(stream.Signature(work_layout(config))), "layer": Out(LayerPort(layer_view(config, *self.fields))),
            "o_item": Out(stream.Signature(Item)), "o_token": Out(stream.Signature(token_layout(config))),
            "o_job": Out(stream.Signature(job_layout(config))), "o_saved": Out(self.widths.neuron + 1), **ports,
        })

    def elaborate(self, platform):
        m = Module()
        work, offered = Signal(self.i.payload.shape()), self.i.payload
        layer, token, job = self.layer.fields, self.o_token.payload, self.o_job.payload
        left, base, wanted, advance = Signal(self.widths.group), Signal(self.widths.synapse), Signal(), Signal()
        some, more, single, final = Signal(), Signal(job.more.shape()), Signal(), Signal()
        inputs, rest = Signal(self.widths.neuron), Signal(self.widths.neuron)
        there = self.i_rows.valid if self.backward else 1
        if self.backward:
            m.d.comb += [
                wanted.eq(some & self.i_rows.payload.masks.any()), self.i_rows.ready.eq(advance),
                token.spikes.eq(self.i_rows.payload.spikes), token.masks.eq(self.i_rows.payload.masks),
            ]
        else:
            m.d.comb += wanted.eq(some)
        m.d.comb += [
            self.o_item.payload.eq(offered.item), token.sum.eq(wanted), token.end.eq(final),
            job.base.eq(base), job.buffer.eq(work.buffer), job.more.eq(more), job.single.eq(single),
            self.layer.index.eq(work.item.layer), final.eq(left == 0),
        ]
        m.d.sync += self.o_saved.eq(Mux(advance, Mux(wanted, rest, inputs), 0))
        with m.FSM():
            with m.State("Idle"):
                m.d.sync += work.eq(offered)
                m.d.comb += [self.o_item.valid.eq(self.i.valid), self.i.ready.eq(self.o_item.ready),
                             self.layer.index.eq(offered.item.layer)]
                with m.If(self.i.valid & self.i.ready & offered.item.active):
                    m.next = "Load"
            with m.State("Load"):
                visited = layer.next_outputs if self.backward else layer.inputs + layer.bias
                m.d.sync += [
                    left.eq(layer.groups - 1), base.eq(0 if self.backward else layer.weights),
                    some.eq((work.count != 0) & (layer.spiking if self.backward else 1)),
                    more.eq(work.count - 1), single.eq(work.count == 1),
                    inputs.eq(visited), rest.eq(visited - work.count),
                ]
                m.next = "Look"
            with m.State("Look"):
                # Token and job go together, so each waits for the other's place.
                m.d.comb += [
                    self.o_token.valid.eq(there & (~wanted | self.o_job.ready)),
                    self.o_job.valid.eq(there & wanted & self.o_token.ready),
                    advance.eq(self.o_token.valid & self.o_token.ready),
                ]
                with m.If(advance):
                    m.d.sync += [left.eq(left - 1),
                                 base.eq(base + (self.config.lanes if self.backward else layer.row_step))]
                    with m.If(final):
                        m.next = "Idle"
                        with m.If(work.listed):
                            m.next = "Release"
            with m.State("Release"):
                m.d.comb += [self.o_job.valid.eq(1), job.release.eq(1)]
                with m.If(self.o_job.ready):
                    m.next = "Idle"
        return m
