"""A chip of many cores: the framed link, the command processor, one sequencer, and a mesh of tiles."""

from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..hw.contract.chip import ChipConfig
from ..hw.contract.noc import MeshShape
from ..hw.engine.parts import Conductor
from ..hw.noc.mesh import connect_links
from ..hw.noc.tile import Tile
from .chip import STATUS, watch
from .command import CommandProcessor
from .host_bus import HostBus
from .link.link import Link
from .once import Repeated

ANSWER_WORDS = 16   # reads under way: a read takes that many cycles to the core and back


class MeshChip(wiring.Component):
    """As `Chip`, with `config.nodes` cores.

    ::

        i_line ─> Link ─> CommandProcessor ─┬─> HostBus ──> the bus of every tile
        o_line <─            (packets)      └─> Conductor ─> parts of runs, to every tile

                                                Tile ─ Tile ─ …    rows between the cores
                                                 │      │

    Members
    -------
    i_line, o_line, o_busy, o_status : as those of `Chip`

    Raises
    ------
    ValueError
        If the configuration is that of a core alone.
    """

    def __init__(self, config: ChipConfig, *, status: bool = False):
        if config.nodes < 2:
            raise ValueError("a mesh has two cores at least; a core alone is a Chip")
        self.config, self.status = config, status
        super().__init__({
            "i_line": In(stream.Signature(8)), "o_line": Out(stream.Signature(8)), "o_busy": Out(1),
            **({"o_status": Out(STATUS)} if status else {}),
        })

    def elaborate(self, platform):
        m = Module()
        config, nodes = self.config, self.config.nodes
        m.submodules.link = link = Link()
        m.submodules.command = command = CommandProcessor(
            answer_words=ANSWER_WORDS, row_bits=config.row_bits)
        m.submodules.bus = bus = HostBus(config)
        m.submodules.conductor = conductor = Conductor(cores=nodes, slots=config.slots)
        tile = Repeated(lambda: Tile(config), name="tile")
        tiles = [tile.place() for _ in range(nodes)]
        for number, place in enumerate(tiles):
            m.submodules[f"tile_{number}"] = place
        connect(m, flipped(self.i_line), link.i_line)
        connect(m, link.o_line, flipped(self.o_line))
        connect(m, link.o_packet, command.i_packet)
        connect(m, command.o_packet, link.i_packet)
        connect_links(m, MeshShape(config.mesh_width, config.mesh_height), tiles)
        m.d.comb += [
            # What was written before a run is in its memory before the run starts.
            conductor.i.payload.eq(command.o_run.payload), conductor.i.valid.eq(command.o_run.valid & ~bus.o_busy),
            command.o_run.ready.eq(conductor.i.ready & ~bus.o_busy),
            command.i_session.eq(link.o_session), bus.i_select.eq(command.o_select),
            bus.i_bus.eq(command.o_bus), command.i_bus.eq(bus.o_bus), command.i_busy.eq(conductor.o_busy | bus.o_busy),
            self.o_busy.eq(conductor.o_busy | bus.o_busy | command.o_busy | link.o_busy),
        ]
        for number, place in enumerate(tiles):
            reply = bus.i_replies[number]
            m.d.comb += [
                place.space.eq(bus.o_request.space), place.address.eq(bus.o_request.address),
                place.write_data.eq(bus.o_request.write_data), place.write.eq(bus.o_write[number]),
                place.read.eq(bus.o_read[number]), reply.ready.eq(place.ready), reply.read_data.eq(place.read_data),
                reply.read_valid.eq(place.read_valid), reply.error.eq(place.error),
                place.i_parts.eq(conductor.o_parts), conductor.i_reports[number].eq(place.o_report),
            ]
        if self.status:
            watch(m, self.o_status, run=command.o_run, running=conductor.o_busy, link=link,
                  overflow=Cat(place.o_overflow for place in tiles).any())
        return m
