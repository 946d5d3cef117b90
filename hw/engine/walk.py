"""Walkers: replay an event list for every group of neurons that has work, one visit per cycle."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .lanes import Lanes
from .memory import ReadPort, SynapseMemory
from .scan import EVENT_BITS, Credits, work_layout
from .schedule import Item


def token_layout(lanes: int) -> data.StructLayout:
    """A group on its way to the neuron unit: whether a sum comes with it, and its kept flags."""
    return data.StructLayout({"sum": 1, "end": 1, "spikes": lanes, "masks": lanes})


class Walker(wiring.Component):
    """Visits (group, event) pairs: reads synapses and steers the lanes.

    ::

        i (work) ──> event list ──> synapse memory ──> lanes      one visit per cycle
             └──> o_item, then one o_token per group ──> neuron unit

    `lag` cycles after a visit is issued its synapses arrive, and `o_valid`, `o_first`, `o_last`
    (and `o_factor`, backward) are high with them. Forward visits rows for every group. Backward
    visits columns, and only for groups with a set surrogate mask; it takes the kept spikes and
    masks of each group along. An item of G groups with E events takes G * max(E, 1) + 2 cycles,
    backward only groups with a mask count E, unless the queue behind the lanes is full.
    """

    lag = 1 + SynapseMemory.latency

    def __init__(self, *, lanes: int, events: int, backward: bool, spike_rows: int = 2, mask_rows: int = 2):
        self.lanes, self.backward = lanes, backward
        self.events = max(events, 2)
        self.event_bits = 16 + 24 if backward else EVENT_BITS
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
        work, layer = Signal(self.i.payload.shape()), self.i.payload.item.layer
        item = work.item
        group, event, base = Signal(16), Signal(range(self.events + 1)), Signal(24)
        visit, last_event, advance = Signal(), Signal(), Signal()
        spikes, masks = Signal(self.lanes), Signal(self.lanes)
        final_group = group == item.layer.groups - 1
        token = self.o_token.payload

        if self.backward:
            inputs = item.layer.next_outputs
            wanted = item.layer.spiking & (masks != 0) & (work.count != 0)
            address, next_address = Signal(24), Signal(24)
            mask_address, next_mask = Signal(24), Signal(24)
            m.d.comb += [
                next_address.eq(address), self.spikes.address.eq(next_address),
                next_mask.eq(mask_address), self.masks.address.eq(next_mask),
            ]
            m.d.sync += [address.eq(next_address), mask_address.eq(next_mask)]
        else:
            inputs = item.layer.inputs + item.layer.bias
            wanted = work.count != 0
        m.d.comb += [
            last_event.eq(event == work.count - 1), self.r_buffer.eq(work.buffer), self.r_index.eq(event),
            queue.give.eq(visit & last_event), queue.back.eq(self.i_done), self.o_visit.eq(visit),
            self.o_item.payload.eq(self.i.payload.item),
            token.sum.eq(wanted), token.end.eq(final_group), token.spikes.eq(spikes), token.masks.eq(masks),
        ]

        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [work.eq(self.i.payload), group.eq(0), event.eq(0)]
                m.d.comb += self.o_item.valid.eq(self.i.valid)
                if self.backward:
                    m.d.comb += [
                        next_address.eq(layer.spikes_out + self.i.payload.item.step),
                        next_mask.eq(layer.masks + self.i.payload.item.step),
                    ]
                    m.d.sync += base.eq(0)
                else:
                    m.d.sync += base.eq(layer.weights)
                with m.If(self.i.valid & self.o_item.ready):
                    m.d.comb += self.i.ready.eq(1)
                    with m.If(self.i.payload.item.active):
                        m.next = "Flags" if self.backward else "Visit"
            if self.backward:
                with m.State("Flags"):
                    m.d.sync += [spikes.eq(self.spikes.data), masks.eq(self.masks.data)]
                    m.d.comb += [next_address.eq(address + self.i_steps), next_mask.eq(mask_address + self.i_steps)]
                    m.next = "Visit"
            with m.State("Visit"):
                m.d.comb += [
                    self.o_token.valid.eq(~wanted | (last_event & (queue.out != Lanes.credits))),
                    advance.eq(self.o_token.valid & self.o_token.ready),
                    visit.eq(wanted & (~last_event | advance)),
                ]
                with m.If(visit):
                    m.d.sync += event.eq(event + 1)
                with m.If(advance):
                    m.d.comb += self.o_saved.eq(Mux(wanted, inputs - work.count, inputs))
                    m.d.sync += [group.eq(group + 1), event.eq(0)]
                    if self.backward:
                        m.d.sync += [
                            base.eq(base + self.lanes), spikes.eq(self.spikes.data), masks.eq(self.masks.data),
                        ]
                        m.d.comb += [
                            next_address.eq(address + self.i_steps), next_mask.eq(mask_address + self.i_steps),
                        ]
                    else:
                        m.d.sync += base.eq(base + item.layer.row_step)
                    with m.If(final_group):
                        m.d.comb += self.o_release.eq(work.listed)
                        m.next = "Idle"

        # One stage for the list, then the synapse memory's own.
        base_of_event = Signal(24)
        m.d.sync += base_of_event.eq(base)
        marks = Cat(visit, (event == 0) & visit, last_event & visit)
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
