"""The host's bus to the cores of a mesh: one request at a time, to one core or to many."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..hw.contract.chip import ChipConfig
from ..hw.contract.geometry import host_geometry
from ..hw.contract.program import TIMELINE_ROWS, Space
from ..hw.engine.links import LinkView
from ..hw.engine.memory import row_words
from ..hw.engine.registers import Counters, Registers, identity_words
from .command import BUS_REPLY, BUS_REQUEST

CORE_REPLY = data.StructLayout({"ready": 1, "read_data": 16, "read_valid": 1, "error": 1})


def space_words(config: ChipConfig) -> dict[Space, int]:
    """Bus words of every space of a core that the host reaches."""
    words = {space: max(rows, 2) * (config.lanes if space == Space.SYNAPSES else row_words(width))
             for space, (width, rows) in host_geometry(config).items()}
    if config.link_counters:
        words[Space.LINKS] = LinkView.depth
    return words | {Space.REGISTERS: Registers.depth, Space.COUNTERS: Counters.depth,
                    Space.IDENTITY: len(identity_words(config)), Space.TIMELINE: 2 * TIMELINE_ROWS}


class HostBus(wiring.Component):
    """Takes a request, keeps it until every selected core has taken it, and takes the next meanwhile.

    A write is taken before the cores have it, so whether its address exists is seen here: all cores are alike. A
    request begins at the cores the cycle after it was taken, or after the last of them took the one before: with
    `BusServer` one every three cycles. One more waits here, so that whether there is room is a register: what the
    cores say comes from all over the chip. A read goes to the lowest of the selected cores; its
    answer comes a cycle later than from there. Another core may be selected once all reads are answered.

    Members
    -------
    i_select : cores that requests are for, a bit each
    i_bus, o_bus : request and reply of the command processor (see `BUS_REQUEST`)
    o_request, o_write, o_read : to all cores; write and read by core
    i_replies : of each core
    o_busy : a request is under way, or was two cycles ago: a run that waits for it finds counters being cleared
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "i_select": In(config.nodes), "i_bus": In(BUS_REQUEST), "o_bus": Out(BUS_REPLY),
            "o_request": Out(BUS_REQUEST), "o_write": Out(config.nodes), "o_read": Out(config.nodes),
            "i_replies": In(CORE_REPLY).array(config.nodes), "o_busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        nodes = self.config.nodes
        request, pending, before = self.o_request, Signal(nodes), Signal(2)
        ready = Cat(reply.ready for reply in self.i_replies)
        free, taken, nobody = Signal(), Signal(), Signal()
        held, held_request, held_targets = Signal(), Signal.like(request, name="held_request"), Signal(nodes)
        lowest = self.i_select & (~self.i_select + 1)[:nodes]
        targets = Mux(self.i_bus.read, lowest, self.i_select)
        m.d.comb += [
            free.eq(~(pending & ~ready).any()), taken.eq(~held & (self.i_bus.write | self.i_bus.read)),
            self.o_bus.ready.eq(~held), self.o_busy.eq(held | pending.any() | before.any()),
            self.o_write.eq(pending & request.write.replicate(nodes)),
            self.o_read.eq(pending & request.read.replicate(nodes)),
        ]
        m.d.sync += [pending.eq(pending & ~ready), before.eq(Cat(pending.any(), before)), nobody.eq(0)]
        with m.If(taken):
            m.d.sync += [held.eq(~free), nobody.eq(self.i_bus.read & ~self.i_select.any())]
        with m.If(~held):
            m.d.sync += [held_request.eq(self.i_bus), held_targets.eq(targets)]
        with m.If(free & held):
            m.d.sync += [request.eq(held_request), pending.eq(held_targets), held.eq(0)]
        with m.Elif(free & taken):
            m.d.sync += [request.eq(self.i_bus), pending.eq(targets)]
        known = Signal()
        with m.Switch(self.i_bus.space):
            for space, words in space_words(self.config).items():
                with m.Case(space):
                    m.d.comb += known.eq(self.i_bus.address < words)
        # Answers of reads; a register, for they come from all over the chip.
        answers = [reply.read_data & reply.read_valid.replicate(16) for reply in self.i_replies]
        gathered = answers[0]
        for answer in answers[1:]:
            gathered = gathered | answer
        read_valid, refused = Signal(), Signal()
        m.d.sync += [
            self.o_bus.read_data.eq(gathered), refused.eq(nobody | Cat(
                reply.error & reply.read_valid for reply in self.i_replies).any()),
            read_valid.eq(nobody | Cat(reply.read_valid for reply in self.i_replies).any()),
        ]
        m.d.comb += [
            self.o_bus.read_valid.eq(read_valid),
            self.o_bus.error.eq(Mux(read_valid, refused, ~known | ~self.i_select.any())),
        ]
        return m
