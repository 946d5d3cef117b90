"""Routers wired up to a mesh."""

from collections.abc import Callable, Sequence

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..contract.noc import FLIT_BITS, PACKET_FLITS, Channel, MeshShape, NocConfig
from .counters import LinkCounters, counts_layout
from .flits import LINKS, OPPOSITE, Side, stream_of
from .host import HostPort
from .router import DROPPED_BITS, Router


def _join(m, one, other) -> None:
    """Both directions of a link; `one` and `other` are ends of it."""
    for sender, receiver in ((one.o, other.i), (other.o, one.i)):
        m.d.comb += [
            receiver.valid.eq(sender.valid), receiver.channel.eq(sender.channel), receiver.data.eq(sender.data),
            receiver.last.eq(sender.last), sender.credits.eq(receiver.credits),
        ]


def connect_links(m: Module, shape: MeshShape, routers: Sequence, host=None) -> None:
    """Joins components that have a router's four link ports to a mesh, ties off the edges, and tells each its place.

    Parameters
    ----------
    m : module to add statements to; the components are its submodules
    shape : as the routers were made for
    routers : node n at n; each with the links of a `Router`, and with i_x and i_y, if it has them
    host : a component with `link`, such as `HostPort`, for the west of node 0; None ties that off, too

    Raises
    ------
    ValueError
        If there are not as many routers as nodes.
    """
    if len(routers) != shape.nodes:
        raise ValueError(f"a {shape} mesh has {shape.nodes} routers, not {len(routers)}")
    for node, router in enumerate(routers):
        x, y = shape.at(node)
        for name, value in (("i_x", x), ("i_y", y)):
            if hasattr(router, name):
                m.d.comb += getattr(router, name).eq(value)
        links = {side for side in LINKS if hasattr(router, side.link)}
        beside = {Side.EAST: node + 1 if x + 1 < shape.width else None,
                  Side.SOUTH: node + shape.width if y + 1 < shape.height else None}
        for side, neighbour in beside.items():
            if neighbour is not None:
                _join(m, getattr(router, side.link),
                      getattr(routers[neighbour], (OPPOSITE[side] if OPPOSITE[side] in links else side).link))
        edges = {Side.NORTH: y == 0, Side.WEST: x == 0 and (node or host is None),
                 **{side: beside[side] is None and OPPOSITE[side] in links for side in beside}}
        for side, is_edge in edges.items():
            if is_edge and side in links:
                port = getattr(router, side.link)
                m.d.comb += [port.i.valid.eq(0), port.i.channel.eq(0), port.i.data.eq(0), port.i.last.eq(0),
                             port.o.credits.eq(0)]
    if host is not None:
        _join(m, host.link, routers[0].west)


class Mesh(wiring.Component):
    """Routers, their links, and the host's port, without cores.

    ::

        host ── 0 ── 1 ── 2       a 3 x 2 mesh; x to the right, y down, node n = y * width + x
                │    │    │
                3 ── 4 ── 5       a packet goes along the row, then along the column; to the host it leaves at node 0

    From the cycle in which the last flit of a packet is handed over to the one in which its header is offered, where
    nothing is in its way: 2 (h + 1) cycles to a node h links away, 2 h + 1 to the host; the host's own link counts.

    Parameters
    ----------
    counters : with counters of every link, as `counts_<node>`: north, east, south, west, core
    router : what makes a router, called as `Router`; for a simulation that compiles one for all

    Members
    -------
    i_<node>_<channel>, o_<node>_<channel> : streams of the cores
    i_host_<channel>, o_host_<channel> : those of the host
    dropped_<node>, dropped_host : malformed packets, modulo 2^16

    Raises
    ------
    TypeError, ValueError
        As `NocConfig`.
    """

    def __init__(self, shape: MeshShape, *, flit_bits: int = FLIT_BITS, channels: int = len(Channel),
                 packet_flits: int = PACKET_FLITS, buffer_flits: int = 0, counters: bool = False,
                 router: Callable = Router):
        self.config = config = NocConfig(mesh=shape, flit_bits=flit_bits, channels=channels,
                                         packet_flits=packet_flits, buffer_flits=buffer_flits)
        self.counters, self._router = counters, router
        places = [*map(str, range(shape.nodes)), "host"]
        super().__init__({
            **{f"i_{place}_{channel}": In(stream_of(config)) for place in places for channel in range(channels)},
            **{f"o_{place}_{channel}": Out(stream_of(config)) for place in places for channel in range(channels)},
            **{f"dropped_{place}": Out(DROPPED_BITS) for place in places},
            **({f"counts_{node}": Out(data.ArrayLayout(counts_layout(), len(Side))) for node in range(shape.nodes)}
               if counters else {}),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        options = {"flit_bits": config.flit_bits, "channels": config.channels, "packet_flits": config.packet_flits,
                   "buffer_flits": config.buffer_flits}
        routers = [self._router(config.mesh, **options) for _ in range(config.mesh.nodes)]
        host = HostPort(config.mesh, **options)
        for place, part in (*enumerate(routers), ("host", host)):
            m.submodules[f"router_{place}" if part is not host else "host"] = part
            for channel in range(config.channels):
                wiring.connect(m, wiring.flipped(getattr(self, f"i_{place}_{channel}")), getattr(part, f"i_{channel}"))
                wiring.connect(m, getattr(part, f"o_{channel}"), wiring.flipped(getattr(self, f"o_{place}_{channel}")))
            m.d.comb += getattr(self, f"dropped_{place}").eq(part.o_dropped)
        connect_links(m, config.mesh, routers, host)
        if self.counters:
            for node, router in enumerate(routers):
                m.submodules[f"counters_{node}"] = counters = LinkCounters(len(Side))
                m.d.comb += [counters.i.eq(router.activity), getattr(self, f"counts_{node}").eq(counters.o)]
        return m
