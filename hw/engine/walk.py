"""Walkers: replay an event list for every group of neurons that has work, one visit per cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .lanes import Lanes
from .memory import ReadPort, SynapseMemory
from .scan import EVENT_BITS, Credits, work_layout
from .schedule import Item


def token_layout(lanes: int) -> data.StructLayout:
    """A group on its way to the neuron unit: whether a sum comes with it, and its kept flags."""
    return data.StructLayout({"sum": 1, "end": 1, "spikes": lanes, "masks": lanes})


def job_layout(events: int) -> data.StructLayout:
    """A group to be visited with `count` events of a list, or, with none, the end of that list's use."""
    return data.StructLayout({"base": 24, "count": range(events + 1), "buffer": 1})


class Looker(wiring.Component):
    """Decides group by group, one per cycle and ahead of the visits, which groups have work.

    Forward every group has if there is any event. Backward a group has if one of its surrogate masks is
    set; its kept spikes and masks go along in the token. An item of G groups takes G + 1 cycles,
    and one more to give its list back, unless jobs or tokens back up.
    """

    def __init__(self, *, lanes: int, events: int, backward: bool, spike_rows: int = 2, mask_rows: int = 2):
        self.lanes, self.backward, self.events = lanes, backward, max(events, 2)
        ports = {
            "spikes": Out(ReadPort(width=lanes, depth=spike_rows)),
            "masks": Out(ReadPort(width=lanes, depth=mask_rows)), "i_steps": In(12),
        } if backward else {}
        super().__init__({
            "i": In(stream.Signature(work_layout(self.events))),
            "o_item": Out(stream.Signature(Item)), "o_token": Out(stream.Signature(token_layout(lanes))),
            "o_job": Out(stream.Signature(job_layout(self.events))), "o_saved": Out(32), **ports,
        })

    def elaborate(self, platform):
        m = Module()
        work, offered = Signal(self.i.payload.shape()), self.i.payload
        layer, token, job = work.item.layer, self.o_token.payload, self.o_job.payload
        group, base, wanted, advance = Signal(16), Signal(24), Signal(), Signal()
        final = group == layer.groups - 1
        if self.backward:
            inputs = layer.next_outputs
            addresses = []
            for port, first in ((self.spikes, offered.item.layer.spikes_out), (self.masks, offered.item.layer.masks)):
                address, following = Signal(24), Signal(24)
                m.d.comb += [following.eq(address), port.address.eq(following)]
                m.d.sync += address.eq(following)
                addresses.append((address, following, first + offered.item.step))
            m.d.comb += [
                wanted.eq(layer.spiking & (self.masks.data != 0) & (work.count != 0)),
                token.spikes.eq(self.spikes.data), token.masks.eq(self.masks.data),
            ]
        else:
            inputs = layer.inputs + layer.bias
            addresses = []
            m.d.comb += wanted.eq(work.count != 0)
        m.d.comb += [
            self.o_item.payload.eq(offered.item), token.sum.eq(wanted), token.end.eq(final),
            job.base.eq(base), job.buffer.eq(work.buffer),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [work.eq(offered), group.eq(0), base.eq(0 if self.backward else offered.item.layer.weights)]
                m.d.comb += [self.o_item.valid.eq(self.i.valid), self.i.ready.eq(self.o_item.ready)]
                m.d.comb += [following.eq(first) for _, following, first in addresses]
                with m.If(self.i.valid & self.i.ready & offered.item.active):
                    m.next = "Look"
            with m.State("Look"):
                # Token and job go together, so each waits for the other's place.
                m.d.comb += [
                    self.o_token.valid.eq(~wanted | self.o_job.ready),
                    self.o_job.valid.eq(wanted & self.o_token.ready),
                    advance.eq(self.o_token.valid & self.o_token.ready),
                    job.count.eq(work.count),
                ]
                with m.If(advance):
                    m.d.comb += self.o_saved.eq(Mux(wanted, inputs - work.count, inputs))
                    m.d.comb += [following.eq(address + self.i_steps) for address, following, _ in addresses]
                    m.d.sync += [group.eq(group + 1), base.eq(base + (self.lanes if self.backward else layer.row_step))]
                    with m.If(final):
                        m.next = "Idle"
                        with m.If(work.listed):
                            m.next = "Release"
            with m.State("Release"):
                m.d.comb += self.o_job.valid.eq(1)
                with m.If(self.o_job.ready):
                    m.next = "Idle"
        return m


class Walker(wiring.Component):
    """Visits (group, event) pairs: reads synapses and steers the lanes.

    ::

        i (work) ─> Looker ─> jobs ─> visits: event list ─> synapse memory ─> lanes    one per cycle
                      └────> o_item, then one o_token per group ─> neuron unit

    `lag` cycles after a visit is issued its synapses arrive, and `o_valid`, `o_first`, `o_last`
    (and `o_factor`, backward) are high with them. Forward visits rows for every group, backward
    columns for groups with a set surrogate mask.

    Cycles: W groups with work and E events take W * E visits without a bubble, also from one item to
    the next, plus one cycle per item to give its list back, unless the queue behind the lanes is full.
    """

    lag = 1 + SynapseMemory.latency

    def __init__(self, *, lanes: int, events: int, backward: bool, spike_rows: int = 2, mask_rows: int = 2):
        self.lanes, self.backward = lanes, backward
        self.events = max(events, 2)
        self.event_bits = 16 + 24 if backward else EVENT_BITS
        self._rows = {"spike_rows": spike_rows, "mask_rows": mask_rows}
        ports = {
            "spikes": Out(ReadPort(width=lanes, depth=spike_rows)),
            "masks": Out(ReadPort(width=lanes, depth=mask_rows)),
            "i_steps": In(12), "o_factor": Out(16),
        } if backward else {}
        super().__init__({
            "i": In(stream.Signature(work_layout(self.events))), "o_release": Out(1),
            "r_buffer": Out(1), "r_index": Out(ceil_log2(self.events)), "r_event": In(self.event_bits),
            "o_address": Out(24),
            "o_valid": Out(1), "o_first": Out(1), "o_last": Out(1), "i_done": In(1),
            "o_item": Out(stream.Signature(Item)), "o_token": Out(stream.Signature(token_layout(lanes))),
            "o_visit": Out(1), "o_saved": Out(32), **ports,
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = Credits(most=Lanes.credits)
        m.submodules.looker = looker = Looker(
            lanes=self.lanes, events=self.events, backward=self.backward, **self._rows)
        layout = job_layout(self.events)
        m.submodules.jobs = jobs = SyncFIFO(width=layout.size, depth=4)
        wiring.connect(m, wiring.flipped(self.i), looker.i)
        wiring.connect(m, looker.o_item, wiring.flipped(self.o_item))
        wiring.connect(m, looker.o_token, wiring.flipped(self.o_token))
        if self.backward:
            wiring.connect(m, looker.spikes, wiring.flipped(self.spikes))
            wiring.connect(m, looker.masks, wiring.flipped(self.masks))
            m.d.comb += looker.i_steps.eq(self.i_steps)
        job, event = Signal(layout), Signal(range(self.events + 1))
        visit, last = Signal(), Signal()
        m.d.comb += [
            jobs.w_data.eq(looker.o_job.payload), jobs.w_en.eq(looker.o_job.valid),
            looker.o_job.ready.eq(jobs.w_rdy), self.o_saved.eq(looker.o_saved),
            job.eq(jobs.r_data), last.eq(event == job.count - 1),
            self.o_release.eq(jobs.r_rdy & (job.count == 0)),
            visit.eq(jobs.r_rdy & (job.count != 0) & (~last | (queue.out != Lanes.credits))),
            jobs.r_en.eq(self.o_release | (visit & last)),
            self.r_buffer.eq(job.buffer), self.r_index.eq(event),
            queue.give.eq(visit & last), queue.back.eq(self.i_done), self.o_visit.eq(visit),
        ]
        with m.If(visit):
            m.d.sync += event.eq(Mux(last, 0, event + 1))

        # One stage for the list, then the synapse memory's own.
        base_of_event = Signal(24)
        m.d.sync += base_of_event.eq(job.base)
        marks = Cat(visit, (event == 0) & visit, last & visit)
        for stage in range(self.lag):
            delayed = Signal(3, name=f"marks_{stage}")
            m.d.sync += delayed.eq(marks)
            marks = delayed
        m.d.comb += Cat(self.o_valid, self.o_first, self.o_last).eq(marks)
        if self.backward:
            factor = self.r_event[:16]
            m.d.comb += self.o_address.eq(base_of_event + self.r_event[16:])
            for stage in range(SynapseMemory.latency):
                delayed = Signal(16, name=f"factor_{stage}", reset_less=True)
                m.d.sync += delayed.eq(factor)
                factor = delayed
            m.d.comb += self.o_factor.eq(factor)
        else:
            m.d.comb += self.o_address.eq(base_of_event + self.r_event)
        return m
