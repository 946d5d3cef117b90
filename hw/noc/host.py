"""The host's place beside node 0."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..contract.noc import FLIT_BITS, PACKET_FLITS, Channel, MeshShape, NocConfig
from .ejection import Ejection
from .flits import PortSignature, stream_of
from .input import InputPort
from .output import OutputPort
from .router import DROPPED_BITS


class HostPort(wiring.Component):
    """Turns a link into streams: what a host sends is checked and goes out, what comes for it is kept until taken.

    ::

        i_0, i_1, … ──> guards, buffers ──> o ┐
                                              │ link ── west of node 0
        o_0, o_1, … <────────── buffers <── i ┘

    A packet whose last flit is handed over in cycle t has its header on the link in cycle t + 2; one that arrives is
    offered the cycle after. A packet of the host to itself is malformed, as one to no node is: it is dropped whole.

    Members
    -------
    link : to a router's west port
    i_0, i_1, …; o_0, o_1, … : one stream per channel
    o_dropped : packets dropped, modulo 2^16
    """

    def __init__(self, mesh: MeshShape, *, flit_bits: int = FLIT_BITS, channels: int = len(Channel),
                 packet_flits: int = PACKET_FLITS, buffer_flits: int = 0):
        self.config = config = NocConfig(mesh=mesh, flit_bits=flit_bits, channels=channels,
                                         packet_flits=packet_flits, buffer_flits=buffer_flits)
        super().__init__({
            "link": Out(PortSignature(config)),
            **{f"i_{channel}": In(stream_of(config)) for channel in range(channels)},
            **{f"o_{channel}": Out(stream_of(config)) for channel in range(channels)},
            "o_dropped": Out(DROPPED_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.input = source = InputPort(config, outputs=1, allowed=(1 << config.mesh.nodes) - 1)
        m.submodules.output = out = OutputPort(config, sources=1)
        m.submodules.ejection = ejection = Ejection(config)
        wiring.connect(m, out.link, wiring.flipped(self.link.o))
        m.d.comb += [
            out.request.eq(source.request), source.grant.eq(out.grant),
            out.channel[0].eq(source.channel), out.data[0].eq(source.data), out.last.eq(source.last),
            ejection.link.valid.eq(self.link.i.valid), ejection.link.channel.eq(self.link.i.channel),
            ejection.link.data.eq(self.link.i.data), ejection.link.last.eq(self.link.i.last),
        ]
        m.d.sync += self.link.i.credits.eq(ejection.link.credits)
        for channel in range(config.channels):
            m.d.comb += [
                source.i_branches[channel].eq(1),
                out.pending[channel].eq(source.pending[channel]),
                out.long[channel].eq(source.long[channel]), source.may[channel].eq(out.may[channel]),
            ]
            wiring.connect(m, wiring.flipped(getattr(self, f"i_{channel}")), getattr(source, f"i_{channel}"))
            wiring.connect(m, getattr(ejection, f"o_{channel}"), wiring.flipped(getattr(self, f"o_{channel}")))
        dropped = Signal(config.channels)
        m.d.comb += dropped.eq(source.o_dropped)
        m.d.sync += self.o_dropped.eq(self.o_dropped + sum(dropped))
        return m
