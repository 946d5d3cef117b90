"""A tile of the mesh: a core and its router."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..contract.chip import ChipConfig
from ..contract.noc import Channel, MeshShape, NocConfig
from ..engine.core import Core
from ..engine.parts import Parts, Report
from .counters import LinkCounters
from .flits import PortSignature, Side
from .route import turns
from .router import Router


class Tile(wiring.Component):
    """One core with its router; all tiles of a mesh are the same module.

    ::

               north
          west ─ Router ─ east       rows of spikes, errors and weights, on channel DATA alone
               south │
                   Core ── bus, parts and report

    Members
    -------
    i_x, i_y, north, east, south, west : see `Router`, which has no host here
    space, address, write_data, write, read, ready, read_data, read_valid, error : the core's bus, see `Core`
    i_parts, o_report, o_busy, o_overflow : see `Core`
    """

    def __init__(self, config: ChipConfig):
        self.config = config
        self.shape = MeshShape(config.mesh_width, config.mesh_height)
        noc = NocConfig(mesh=self.shape, channels=1)
        self._links = [side for side in turns(self.shape, host=False) if side != Side.LOCAL]
        super().__init__({
            "i_x": In(range(max(self.shape.width, 2))), "i_y": In(range(max(self.shape.height, 2))),
            **{side.link: Out(PortSignature(noc)) for side in self._links},
            "space": In(8), "address": In(24), "write_data": In(16), "write": In(1), "read": In(1),
            "ready": Out(1), "read_data": Out(16), "read_valid": Out(1), "error": Out(1),
            "i_parts": In(Parts), "o_report": Out(Report), "o_busy": Out(1), "o_overflow": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.router = router = Router(self.shape, channels=1, host=False)
        m.submodules.core = core = Core(self.config)
        if self.config.link_counters:
            m.submodules.counters = counters = LinkCounters(len(Side))
            m.d.comb += [counters.i.eq(router.activity), core.i_counts.eq(counters.o)]
        for side in self._links:
            connect(m, getattr(router, side.link), flipped(getattr(self, side.link)))
        assert Channel.DATA == 0
        for source, sink in ((core.o_rows, router.i_0), (router.o_0, core.i_rows)):
            m.d.comb += [
                sink.valid.eq(source.valid), sink.p.data.eq(source.p.data), sink.p.last.eq(source.p.last),
                source.ready.eq(sink.ready),
            ]
        m.d.comb += [
            router.i_x.eq(self.i_x), router.i_y.eq(self.i_y),
            *(getattr(core, name).eq(getattr(self, name))
              for name in ("space", "address", "write_data", "write", "read", "i_parts")),
            *(getattr(self, name).eq(getattr(core, name))
              for name in ("ready", "read_data", "read_valid", "error", "o_report", "o_busy", "o_overflow")),
        ]
        return m
