"""A small mesh under any traffic: one packet, any, is followed through it."""

from amaranth.hdl import Array, Assert, Assume, Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...hw.contract.noc import MeshShape
from ...hw.noc import Mesh
from ...hw.noc.flits import flit_layout, header_layout

PACKET_FLITS = 2


class MeshContract(wiring.Component):
    """A mesh whose sources send anything at any time, malformed packets too, and whose sinks take it at any time.

    The highest bit of every flit marks the one packet that is followed: any packet, from any place, on any channel.

    delivered : flits with the mark arrive in order and unchanged, once, at the places of its mask, on its channel; none
        does, if it was malformed
    rules : what a stream offers stays offered, unchanged, until it is taken
    progress : from some cycle on, any, sinks of its channel take whatever they are offered; those of the other channels
        do as they like, for instance nothing at all. Then `bound` cycles later the packet has arrived everywhere,
        whatever else is under way, on its channel too

    Parameters
    ----------
    shape, channels : of the mesh
    bound : for `progress`; None leaves that out
    mesh : class of the mesh, such as a broken one
    """

    def __init__(self, shape: MeshShape, *, channels: int = 2, bound: int | None = None, mesh: type = Mesh):
        self._bound = bound
        self._mesh = mesh(shape, channels=channels, flit_bits=shape.nodes + 1 + 4 + 3, packet_flits=PACKET_FLITS,
                          buffer_flits=PACKET_FLITS)
        config = self._config = self._mesh.config
        self._places = [*map(str, range(shape.nodes)), "host"]
        ports = {}
        for place in self._places:
            for channel in range(channels):
                flits = flit_layout(config)
                ports[f"i_{place}_{channel}"] = In(stream.Signature(flits))
                ports[f"o_{place}_{channel}"] = Out(stream.Signature(flits))
        super().__init__({**ports, "source": In(range(len(self._places))), "channel": In(range(max(channels, 2))),
                          "begin": In(1), "drain": In(1)})

    def elaborate(self, platform):
        m = Module()
        config, places = self._config, self._places
        m.submodules.dut = dut = self._mesh
        top = config.flit_bits - 1
        fixed, started = Signal(Cat(self.source, self.channel).shape()), Signal()
        choice = Cat(self.source, self.channel)
        m.d.sync += [fixed.eq(choice), started.eq(1)]
        m.d.comb += [Assume(~started | (fixed == choice)), Assume(self.source < len(places)),
                     Assume(self.channel < config.channels)]

        # The packet that is followed: its flits as they are taken, up to `last` or to more than a packet can have.
        sending, sent, good, count = Signal(), Signal(), Signal(), Signal(2)
        flits = Array(Signal(config.flit_bits + 1, name=f"flit_{k}") for k in range(PACKET_FLITS))
        mask = Signal(len(places))
        age = Signal(range((self._bound or 0) + 2))
        draining = Signal()
        m.d.sync += draining.eq(draining | self.drain)

        for number, place in enumerate(places):
            for channel in range(config.channels):
                name = f"i_{place}_{channel}"
                port = getattr(dut, name)
                wiring.connect(m, wiring.flipped(getattr(self, name)), port)
                mine = Signal(name=f"mine_{name}")
                inside, waits = Signal(name=f"inside_{name}"), Signal(name=f"waits_{name}")
                held = Signal(config.flit_bits + 1, name=f"held_{name}")
                word = Cat(port.payload.data, port.payload.last)
                taken = port.valid & port.ready
                is_first = Signal(name=f"first_{name}")
                # Sources keep the rules of streams.
                m.d.sync += [waits.eq(port.valid & ~port.ready), held.eq(word)]
                m.d.comb += Assume(~waits | (port.valid & (word == held)))
                with m.If(taken):
                    m.d.sync += inside.eq(~port.payload.last)
                here = (self.source == number) & (self.channel == channel)
                m.d.comb += [is_first.eq(~inside), mine.eq(here & (sending | (is_first & port.payload.data[top])))]
                with m.If(port.valid):
                    m.d.comb += Assume(port.payload.data[top] == mine)
                with m.If(here & sent & is_first & port.valid):
                    m.d.comb += Assume(~port.payload.data[top])
                header = header_layout(config)(port.payload.data)
                with m.If(taken & mine):
                    m.d.sync += [sending.eq(~port.payload.last), sent.eq(1)]
                    with m.If(is_first):
                        legal = header.mask.any() & (header.length < PACKET_FLITS)
                        if place == "host":
                            legal &= ~header.mask[-1]
                        m.d.sync += [mask.eq(header.mask), flits[0].eq(word), count.eq(1),
                                     good.eq(legal & (port.payload.last == (header.length == 0)))]
                    with m.Else():
                        m.d.sync += count.eq(count + (count != 3))
                        with m.If(count == 1):
                            m.d.sync += flits[1].eq(word)
                        with m.If((count != 1) | ~port.payload.last):
                            m.d.sync += good.eq(0)

        complete = Signal(len(places))
        for number, place in enumerate(places):
            for channel in range(config.channels):
                name = f"o_{place}_{channel}"
                port = getattr(dut, name)
                wiring.connect(m, port, wiring.flipped(getattr(self, name)))
                word = Cat(port.payload.data, port.payload.last)
                waits, held = Signal(name=f"waits_{name}"), Signal(config.flit_bits + 1, name=f"held_{name}")
                index = Signal(2, name=f"index_{name}")
                m.d.sync += [waits.eq(port.valid & ~port.ready), held.eq(word)]
                m.d.comb += Assert(~waits | (port.valid & (word == held)), "rules")
                with m.If(self._draining(draining) & (self.channel == channel)):
                    m.d.comb += Assume(port.ready)
                with m.If(port.valid & port.payload.data[top]):
                    m.d.comb += [
                        Assert(self.channel == channel, "delivered: channel"), Assert(mask[number], "delivered: place"),
                        Assert(~complete[number], "delivered: once"), Assert(good & ~sending, "delivered: whole"),
                        Assert((index < PACKET_FLITS) & (flits[index[0]] == word), "delivered: unchanged"),
                    ]
                    with m.If(port.ready):
                        m.d.sync += index.eq(index + 1)
                        with m.If(port.payload.last):
                            m.d.sync += complete[number].eq(1)
                # Between its first and its last flit no other comes out here.
                with m.If(port.valid & (index != 0) & ~complete[number]):
                    m.d.comb += Assert(port.payload.data[top], "delivered: together")
        if self._bound is not None:
            pending = sent & ~sending & good & ((mask & ~complete) != 0)
            with m.If(self._draining(draining) & pending):
                m.d.sync += age.eq(age + 1)
            m.d.comb += Assert(age <= self._bound, "progress")
        return m

    def _draining(self, draining):
        return draining
