"""Walkers: replay an event list for every group of neurons that has work, one visit per cycle."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..contract.chip import ChipConfig
from ..contract.program import Space
from .lanes import Lanes
from .look import Looker, MaskReader, job_layout, token_layout
from .memory import ReadPort, SynapseMemory, shape_of
from .scan import Credits, EventList, event_layout, work_layout
from .schedule import Item
from .table import LayerWrite, Widths, attach

JOBS = 4


class Walker(wiring.Component):
    """Visits (group, event) pairs: reads synapses and steers the lanes.

    ::

        i (work) ─> Looker ─> jobs ─> visits: event list ─> synapse memory ─> lanes    one per cycle
                      └────> o_item, then one o_token per group ─> neuron unit

    `lag` cycles after a visit is issued its synapses arrive, and `o_valid`, `o_first`, `o_last`
    (and `o_factor`, backward) are high with them. Forward visits rows for every group, backward
    columns for groups with a set surrogate mask.

    Cycles: W groups with work and E events take W * E visits without a bubble, also from one item to
    the next, plus one cycle per item to give its list back, as long as E >= lanes / units: the last
    visits of two groups are at least that far apart (`Credits`).
    """

    lag = EventList.latency + 1 + SynapseMemory.latency

    def __init__(self, config: ChipConfig, *, backward: bool):
        self.config, self.backward = config, backward
        self.events, self.widths = max(config.events, 2), Widths(config)
        self.event = event_layout(config, errors=backward)
        ports = {
            "spikes": Out(ReadPort(**shape_of(config, Space.SPIKES))),
            "masks": Out(ReadPort(**shape_of(config, Space.MASKS))),
            "i_steps": In(12), "o_factor": Out(16),
        } if backward else {}
        super().__init__({
            "i": In(stream.Signature(work_layout(config))), "layers": In(LayerWrite()), "o_release": Out(1),
            "r_buffer": Out(1), "r_index": Out(ceil_log2(self.events)), "r_event": In(self.event.size),
            "o_address": Out(self.widths.synapse),
            "o_valid": Out(1), "o_first": Out(1), "o_last": Out(1), "i_done": In(1),
            "o_item": Out(stream.Signature(Item)), "o_token": Out(stream.Signature(token_layout(config))),
            "o_visit": Out(1), "o_saved": Out(self.widths.neuron + 1), **ports,
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.queue = queue = Credits(most=Lanes.credits, apart=config.beats)
        m.submodules.looker = looker = Looker(config, backward=self.backward)
        attach(m, self, looker, "looker")
        layout = job_layout(config)
        m.submodules.jobs = jobs = SyncFIFO(width=layout.size, depth=JOBS)
        if self.backward:
            m.submodules.reader = reader = MaskReader(config)
            attach(m, self, reader, "reader")
            wiring.connect(m, wiring.flipped(self.i), reader.i)
            wiring.connect(m, reader.o, looker.i)
            wiring.connect(m, reader.o_rows, looker.i_rows)
            wiring.connect(m, reader.spikes, wiring.flipped(self.spikes))
            wiring.connect(m, reader.masks, wiring.flipped(self.masks))
            m.d.comb += reader.i_steps.eq(self.i_steps)
        else:
            wiring.connect(m, wiring.flipped(self.i), looker.i)
        wiring.connect(m, looker.o_item, wiring.flipped(self.o_item))
        wiring.connect(m, looker.o_token, wiring.flipped(self.o_token))

        # The job in hand; the next one is taken with its last visit.
        job, job_valid, offered = Signal(layout), Signal(), Signal(layout)
        event, left = Signal(range(self.events)), Signal(range(self.events + 1))
        visit, last, first = Signal(), Signal(), Signal()
        m.d.comb += [
            jobs.w_data.eq(looker.o_job.payload), jobs.w_en.eq(looker.o_job.valid),
            looker.o_job.ready.eq(jobs.w_rdy), self.o_saved.eq(looker.o_saved), offered.eq(jobs.r_data),
            self.o_release.eq(job_valid & job.release),
            visit.eq(job_valid & ~job.release & (~last | ~queue.full)),
            jobs.r_en.eq(~job_valid | job.release | (visit & last)),
            self.r_buffer.eq(job.buffer), self.r_index.eq(event),
            queue.give.eq(visit & last), queue.back.eq(self.i_done), self.o_visit.eq(visit),
        ]
        with m.If(visit):
            m.d.sync += [event.eq(event + 1), left.eq(left - 1), last.eq(left == 1), first.eq(0)]
        with m.If(jobs.r_en):
            m.d.sync += [job.eq(offered), job_valid.eq(jobs.r_rdy), event.eq(0), left.eq(offered.more),
                         last.eq(offered.single), first.eq(1)]

        def delayed(value, cycles, name):
            for stage in range(cycles):
                register = Signal(value.shape(), name=f"{name}_{stage}", reset_less=name != "marks")
                m.d.sync += register.eq(value)
                value = register
            return value

        marks = delayed(Cat(visit, first & visit, last & visit), self.lag, "marks")
        m.d.comb += Cat(self.o_valid, self.o_first, self.o_last).eq(marks)
        found = Signal(self.event)
        m.d.comb += found.eq(self.r_event)
        base = delayed(job.base, EventList.latency, "base")
        m.d.sync += self.o_address.eq(base + found.address)
        if self.backward:
            m.d.comb += self.o_factor.eq(delayed(found.factor, 1 + SynapseMemory.latency, "factor"))
        return m
