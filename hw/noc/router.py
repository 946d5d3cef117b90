"""A router of the mesh."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..contract.noc import FLIT_BITS, PACKET_FLITS, Channel, MeshShape, NocConfig
from .ejection import Ejection
from .flits import LINKS, PortSignature, Side, activity_layout, stream_of
from .input import InputPort
from .output import OutputPort
from .route import branches, core_branches, turns

DROPPED_BITS = 16


def router_members(config: NocConfig, *, host: bool = True) -> dict:
    """The ports of a router, for who stands in its place, such as an instance of one that is compiled already."""
    channels, mesh = range(config.channels), config.mesh
    return {
        "i_x": In(range(max(mesh.width, 2))), "i_y": In(range(max(mesh.height, 2))),
        **{side.link: Out(PortSignature(config)) for side in LINKS if side in turns(mesh, host=host)},
        **{f"i_{channel}": In(stream_of(config)) for channel in channels},
        **{f"o_{channel}": Out(stream_of(config)) for channel in channels},
        "o_dropped": Out(DROPPED_BITS), "activity": Out(data.ArrayLayout(activity_layout(), len(Side))),
    }


class Router(wiring.Component):
    """Takes packets from four neighbours and a core, and sends each to all it is for.

    ::

                        north
                      ┌───┴────────────────────────────────────────┐
                      │ input: a buffer per channel ─┬─> output  ──┼─ register ─> link
            west ─────┤ input  ...                   ├─> output    ├───── east
                      │ input                        ├─> output    │
                      │ input                        ├─> output    │
                      │ input <─ guard <─ i_0..      └─> buffer ──>│ o_0..
                      └───┬────────────────────────────────────────┘
                        south                                  core

    A packet whose last flit a core hands over in cycle t is offered, header first, to a core h links away in cycle
    t + 2 (h + 1), and ends L - 1 cycles later if it is of L flits, where nothing is in its way. Every link carries
    a flit every cycle, back to back; to a core a packet of more than a quarter of a buffer takes a cycle more.

    Under load a packet waits at each router for room in the next buffer, then for the link. For the link it waits at
    most C S P cycles while it has room: C channels of its input and S <= 5 inputs of its output take turns, with
    packets of at most P flits. For room it waits until packets before it on its channel went on, so until
    destinations took them: without end, if one never does. If all do, at most W(h) cycles, h links before its
    destination, with W(h) = S (4 W(h - 1) + C S P) and W(-1) = P; loose, but finite, whatever the others send.

    Parameters
    ----------
    mesh : shape of the whole
    flit_bits, channels, packet_flits, buffer_flits : as in `NocConfig`
    host : False leaves out what only packets from or to a host need, and links that no router of the mesh has; where
        there are two columns, or two rows, the link to the other is `east`, or `south`, at both (see `turns`)

    Members
    -------
    i_x, i_y : where it is; constants of the parent
    north, east, south, west : the links; all outputs come from registers, and no path leads from `i` to `o`
    i_0, i_1, … : packets of the core, one stream per channel, checked by a `Guard` that drops malformed ones whole
    o_0, o_1, … : packets for the core
    o_dropped : packets dropped, modulo 2^16
    activity : of the four links that leave, and of the core's port last, for `LinkCounters`

    Raises
    ------
    TypeError, ValueError
        As `NocConfig`.
    """

    def __init__(self, mesh: MeshShape, *, flit_bits: int = FLIT_BITS, channels: int = len(Channel),
                 packet_flits: int = PACKET_FLITS, buffer_flits: int = 0, host: bool = True):
        self.config = config = NocConfig(mesh=mesh, flit_bits=flit_bits, channels=channels,
                                         packet_flits=packet_flits, buffer_flits=buffer_flits)
        self.turns, self._host = turns(mesh, host=host), host
        super().__init__(router_members(config, host=host))

    def elaborate(self, platform):
        m = Module()
        config = self.config
        anywhere = ((2 if self._host else 1) << config.mesh.nodes) - 1
        inputs, outputs = {}, {}
        for side in self.turns:
            inputs[side] = InputPort(config, outputs=len(self.turns[side]),
                                     allowed=anywhere if side == Side.LOCAL else None)
            sources = self._sources(side)
            outputs[side] = OutputPort(config, sources=len(sources), registered=side != Side.LOCAL)
            m.submodules[f"input_{side.link}"], m.submodules[f"output_{side.link}"] = inputs[side], outputs[side]
            self._tell(m, side, outputs[side].activity)

        for side, port in inputs.items():
            for number, header in enumerate(port.o_header):
                ways = (branches if self._host else core_branches)(config, side, header, self.i_x, self.i_y)
                m.d.comb += port.i_branches[number].eq(Cat(ways.values()))
        for side, out in outputs.items():
            for number, source in enumerate(self._sources(side)):
                port, place = inputs[source], self.turns[source].index(side)
                m.d.comb += [
                    out.request[number].eq(port.request[place]), port.grant[place].eq(out.grant[number]),
                    out.channel[number].eq(port.channel), out.data[number].eq(port.data),
                    out.last[number].eq(port.last),
                ]
                for channel in range(config.channels):
                    m.d.comb += [
                        out.pending[channel][number].eq(port.pending[channel][place]),
                        out.long[channel][number].eq(port.long[channel]),
                        port.may[channel][place].eq(out.may[channel][number]),
                    ]

        for side in (side for side in LINKS if side in self.turns):
            port = getattr(self, side.link)
            wiring.connect(m, inputs[side].link, wiring.flipped(port.i))
            wiring.connect(m, outputs[side].link, wiring.flipped(port.o))
        m.submodules.ejection = ejection = Ejection(config)
        wiring.connect(m, outputs[Side.LOCAL].link, ejection.link)
        dropped = Signal(config.channels)
        m.d.comb += dropped.eq(inputs[Side.LOCAL].o_dropped)
        m.d.sync += self.o_dropped.eq(self.o_dropped + sum(dropped))
        for channel in range(config.channels):
            wiring.connect(m, wiring.flipped(getattr(self, f"i_{channel}")),
                           getattr(inputs[Side.LOCAL], f"i_{channel}"))
            wiring.connect(m, getattr(ejection, f"o_{channel}"), wiring.flipped(getattr(self, f"o_{channel}")))
        return m

    def _sources(self, out: Side) -> list[Side]:
        """Inputs whose packets may leave there."""
        return [side for side, outs in self.turns.items() if out in outs]

    def _tell(self, m, side: Side, activity):
        """Of a link that leads to either side: by where it leads."""
        other, place = {Side.EAST: (Side.WEST, self.i_x), Side.SOUTH: (Side.NORTH, self.i_y)}.get(side, (side, 0))
        m.d.comb += self.activity[side].eq(activity)
        if other not in self.turns:
            with m.If(place != 0):
                m.d.comb += [self.activity[other].eq(activity), self.activity[side].eq(0)]
