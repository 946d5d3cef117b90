"""A whole chip: the framed link, the command processor and a core."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..hw.autapse.core import AutapseCore
from ..hw.contract.autapse_chip import AutapseChip
from ..hw.contract.chip import ChipConfig
from ..hw.contract.program import Run
from ..hw.engine.core import Core
from ..hw.sequenced.core import SequencedCore
from ..hw.sequenced.places import fits
from .command import CommandProcessor
from .link.link import Link

STATUS = data.StructLayout({"training": 1, "overflow": 1, "whole": 1, "damaged": 1})
"""What a chip shows: `training` while runs that change weights or lead to it are under way, `overflow` while or when a
rounding has saturated, and strobes for each frame that came `whole` and each that came `damaged`."""


def watch(m, o_status, *, run, running, overflow, link: Link):
    """Drives a STATUS from the command processor's runs and the link."""
    training = Signal()
    with m.If(run.valid & run.ready & (run.p.mask & (Run.BACKWARD | Run.UPDATE)).any()):
        m.d.sync += training.eq(1)
    with m.Elif(~running):
        m.d.sync += training.eq(0)
    m.d.comb += [
        o_status.training.eq(training), o_status.overflow.eq(overflow), o_status.whole.eq(link.receiver.o_ok),
        o_status.damaged.eq(link.receiver.o_bad),
    ]


def core_of(config: ChipConfig | AutapseChip) -> Core | SequencedCore | AutapseCore:
    """The core that a configuration asks for: with one shared lane the sequenced one, for the smallest FPGAs, unless
    its one memory is too small."""
    if isinstance(config, AutapseChip):
        return AutapseCore(config)
    return SequencedCore(config) if config.sequenced and fits(config) else Core(config)


class Chip(wiring.Component):
    """Bytes of the host link in and out, and whether anything is under way.

    ::

        i_line ─> Link ─> CommandProcessor ─> Core
        o_line <─            (packets)      (bus of 16-bit words, runs)

    Members
    -------
    i_line, o_line : the line's bytes; a board puts a UART here, the simulator a pipe
    o_busy : a frame, a packet or a run is under way
    o_status : for lights and the line's rate, see STATUS; only with `status`
    """

    def __init__(self, config: ChipConfig | AutapseChip, *, status: bool = False):
        self.config, self.status = config, status
        super().__init__({
            "i_line": In(stream.Signature(8)), "o_line": Out(stream.Signature(8)), "o_busy": Out(1),
            **({"o_status": Out(STATUS)} if status else {}),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.link = link = Link()
        # An autapse core's inputs are whole words.
        bits = self.config.row_bits if isinstance(self.config, ChipConfig) else 16
        m.submodules.command = command = CommandProcessor(row_bits=bits)
        m.submodules.core = core = core_of(self.config)
        connect(m, flipped(self.i_line), link.i_line)
        connect(m, link.o_line, flipped(self.o_line))
        connect(m, link.o_packet, command.i_packet)
        connect(m, command.o_packet, link.i_packet)
        bus, reply = command.o_bus, command.i_bus
        m.d.comb += [
            command.i_session.eq(link.o_session),
            core.space.eq(bus.space), core.address.eq(bus.address), core.write_data.eq(bus.write_data),
            core.write.eq(bus.write), core.read.eq(bus.read),
            reply.ready.eq(core.ready), reply.read_data.eq(core.read_data), reply.read_valid.eq(core.read_valid),
            reply.error.eq(core.error),
            core.runs.payload.eq(command.o_run.payload), core.runs.valid.eq(command.o_run.valid),
            command.o_run.ready.eq(core.runs.ready), command.i_busy.eq(core.o_busy),
            self.o_busy.eq(core.o_busy | command.o_busy | link.o_busy),
        ]
        if self.status:
            watch(m, self.o_status, run=command.o_run, running=core.o_busy, overflow=core.o_overflow, link=link)
        return m
