"""One router between neighbours that do as they like: it keeps the contract of links, and it always goes on.

With ways that close no ring (`ways.py`) this is why the network does not deadlock. Outputs at the end of all ways are
cores and the host: where these take what is theirs, they give room back. Then so does, by the contract, every input
whose packets go there alone; then those one link further up; and so on, up to where packets come in.
"""

from unittest import mock

from amaranth.hdl import Assert, Cat, Const, Fragment, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from ...hw.contract.noc import MeshShape, NocConfig
from ...hw.noc import Router
from ...hw.noc.flits import LINKS, Side, flit_layout, header_layout
from .shift import ShiftBuffer

SHAPE = MeshShape(2, 2)     # a mask of five bits: here one per output
BUFFER_FLITS = 2


class RouterContract(wiring.Component):
    """A router, its buffers as small as they go, packets of one flit (short) and of two (long), any ways and any order.

    Neighbours keep the contract of links: a packet is sent whole and in successive cycles, when there is room for it,
    and room is given back once per packet. Cores and neighbours may otherwise wait as long as they like.

    links : so does this router, at each of its links, and it gives no room back that nobody took
    progress : a *round* of an input is over when each output that its packets may take has given room back on channel
        0, or has none taken. While a link's buffer has packets on channel 0, room is given back within `rounds`; a
        core's packet is taken within as many. Nothing is assumed of other outputs and channels: they may stand still

    With `ways` that close no ring, links of all routers then give room back, one after the other from the last on: no
    traffic and no back-pressure on other ways stops a packet whose destinations take what is theirs.

    Parameters
    ----------
    ways : for each input that there is, outputs that its packets may take: any of them, or several
    rounds : that an input may take, by input; those not named are not looked at
    channels, flits, host : of the router; flits of the longest packet, 1 or 2
    router : class of the router, such as a broken one
    """

    def __init__(self, ways: dict[Side, set[Side]], rounds: dict[Side, int], *, channels: int = 1, flits: int = 1,
                 host: bool = True, router: type = Router):
        self._ways, self._rounds = ways, rounds
        options = {"flit_bits": 12, "channels": channels, "packet_flits": flits, "buffer_flits": BUFFER_FLITS}
        self._config = config = NocConfig(mesh=SHAPE, **options)
        self._router = router(SHAPE, host=host, **options)
        self._links = [side for side in LINKS if side in ways]
        super().__init__({
            **{f"begin_{side.link}": In(1) for side in self._links},
            **{f"channel_{side.link}": In(range(max(channels, 2))) for side in self._links},
            **{f"word_{side.link}": In(config.flit_bits) for side in self._links},
            **{f"give_{side.link}": In(channels) for side in self._links},
            **{f"i_{channel}": In(stream.Signature(flit_layout(config))) for channel in range(channels)},
            **{f"ready_{channel}": In(1) for channel in range(channels)},
        })

    def elaborate(self, platform):
        m = Module()
        dut = self._router
        names = type(dut).__module__.rpartition(".")[0]
        with (mock.patch(f"{names}.router.branches", self._branches),
              mock.patch(f"{names}.router.core_branches", self._branches),
              mock.patch(f"{names}.buffer.PacketBuffer.elaborate", ShiftBuffer.elaborate)):
            m.submodules.dut = Fragment.get(dut, platform)
        fair, asked, given = {}, {}, {}
        for side in (side for side in LINKS if side in dut.turns):
            port = getattr(dut, side.link)
            if side in self._links:
                asked[side], given[side] = self._sender(m, side, port.i)
                fair[side] = self._receiver(m, side, port.o)
            else:
                m.d.comb += [port.i.valid.eq(0), port.o.credits.eq(0)]
        for channel in range(self._config.channels):
            source, sink = getattr(dut, f"i_{channel}"), getattr(dut, f"o_{channel}")
            wiring.connect(m, wiring.flipped(getattr(self, f"i_{channel}")), source)
            m.d.comb += sink.ready.eq(getattr(self, f"ready_{channel}"))
        fair[Side.LOCAL] = ~dut.o_0.valid | self.ready_0
        asked[Side.LOCAL], given[Side.LOCAL] = dut.i_0.valid & ~dut.i_0.ready, dut.i_0.ready

        for side, rounds in self._rounds.items():
            outs, name = sorted(self._ways[side]), side.link
            seen, now = Signal(len(outs), name=f"seen_{name}"), Signal(len(outs), name=f"now_{name}")
            age = Signal(rounds + 1, name=f"age_{name}")        # one bit per round
            m.d.comb += [now.eq(Cat(seen[place] | fair[out] for place, out in enumerate(outs))),
                         Assert(~age[-1], f"progress: {name}")]
            m.d.sync += seen.eq(Mux(now.all(), 0, now))
            with m.If(~asked[side] | given[side]):
                m.d.sync += age.eq(0)
            with m.Elif(now.all()):
                m.d.sync += age.eq(Cat(1, age))
        return m

    def _branches(self, config, side: Side, header, x, y):
        """Instead of `branches`: the mask names outputs, any that there are; the core, if it names none."""
        ways = self._ways.get(side, {Side.LOCAL})
        others = Cat(header.mask[out] for out in ways if out != Side.LOCAL)
        found = {out: header.mask[out] if out in ways else Const(0) for out in self._router.turns[side]}
        if Side.LOCAL in ways:
            found[Side.LOCAL] = header.mask[Side.LOCAL] | ~others.any()
        return found

    def _sender(self, m, side: Side, link):
        """A neighbour that sends; (room is taken on channel 0, some is given back)."""
        config, name = self._config, side.link
        begin, channel, word = (getattr(self, f"{what}_{name}") for what in ("begin", "channel", "word"))
        inside, held, begins = Signal(name=f"inside_{name}"), Signal.like(channel, name=f"held_{name}"), Signal()
        is_long = header_layout(config)(word).length[0] if config.packet_flits > 1 else Const(0)
        rooms = []
        m.d.sync += [inside.eq(begins & is_long), held.eq(channel), link.valid.eq(begins | inside),
                     link.channel.eq(Mux(inside, held, channel)), link.data.eq(word),
                     link.last.eq(inside | ~is_long)]
        for number in range(config.channels):
            credit = link.credits[number]
            mine = begins & (channel == number)
            short, whole = self._account(m, f"to_{name}_{number}", mine, is_long, credit)
            rooms.append((channel == number) & ~whole & Mux(is_long, short == 0, short < config.shares))
            m.d.comb += Assert(~credit.valid | Mux(credit.long, whole, short != 0), "links: room that nobody took")
            if number == 0:
                first = (whole | (short != 0), credit.valid)
        is_packet = header_layout(config)(word).length < config.packet_flits
        m.d.comb += begins.eq(begin & ~inside & is_packet & Cat(rooms).any())
        return first

    def _receiver(self, m, side: Side, link):
        """A neighbour that receives; whether it gives room back on channel 0, or has none to give."""
        config, name = self._config, side.link
        header = header_layout(config)(link.data)
        inside, held = Signal(name=f"inside_out_{name}"), Signal.like(link.channel, name=f"channel_out_{name}")
        is_long = header.length[0] if config.packet_flits > 1 else Const(0)
        first = link.valid & ~inside
        m.d.sync += [inside.eq(first & is_long), held.eq(link.channel)]
        m.d.comb += [
            Assert(~inside | (link.valid & link.last & (link.channel == held)), "links: a packet with a pause"),
            Assert(~first | ((header.length < config.packet_flits) & (link.last == ~is_long)), "links: no packet"),
        ]
        for number in range(config.channels):
            credit = link.credits[number]
            mine = first & (link.channel == number)
            short, long = self._account(m, f"at_{name}_{number}", mine, is_long, credit)
            m.d.comb += [
                credit.valid.eq(getattr(self, f"give_{name}")[number] & (long | (short != 0))), credit.long.eq(long),
                Assert(~mine | (~long & Mux(is_long, short == 0, short < config.shares)), "links: no room"),
            ]
            if number == 0:
                fair = credit.valid | ~(long | (short != 0))
        return fair

    def _account(self, m, name: str, taken, is_long, credit):
        """Packets that have room in a buffer: how many short ones, whether a long one."""
        short, long = Signal(range(self._config.shares + 1), name=f"short_{name}"), Signal(name=f"long_{name}")
        m.d.sync += [long.eq((long & ~(credit.valid & credit.long)) | (taken & is_long)),
                     short.eq(short + (taken & ~is_long) - (credit.valid & ~credit.long))]
        return short, long
