"""A whole chip: the framed link, the command processor and a core."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..hw.contract.chip import ChipConfig
from ..hw.engine.core import Core
from ..hw.sequenced.core import SequencedCore
from ..hw.sequenced.places import fits
from .command import CommandProcessor
from .link.link import Link


def core_of(config: ChipConfig) -> Core | SequencedCore:
    """The core that a configuration asks for: with one shared lane the sequenced one, for the smallest FPGAs, unless
    its one memory is too small."""
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
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        super().__init__({
            "i_line": In(stream.Signature(8)), "o_line": Out(stream.Signature(8)), "o_busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.link = link = Link()
        m.submodules.command = command = CommandProcessor()
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
        return m
