"""A router's output: who may go, and the flit that does."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..contract.noc import NocConfig
from .arbiter import RoundRobin
from .flits import LinkSignature, activity_layout
from .input import choose, either


class OutputPort(wiring.Component):
    """Grants packets of its sources one after the other, each when the buffer behind has room for all of it.

    Per channel a turn goes round the sources. It stops at one that has a packet waiting, and until that packet went, no
    other source sends on this channel: so room for a long packet gathers, however many short ones there are.
    Among the packets that have room, of all channels, sources take the link in turn.

    Parameters
    ----------
    sources : inputs that may send here
    registered : False leaves the register out: `link` shows the flit in the cycle it is read

    Members
    -------
    pending, long, channel, data, last : of each source, as `InputPort` has them
    may : sources, per channel, whose packet has room and is not to wait for another
    request, grant : sources that want to begin a packet, and the one that does
    link : the way out, and the room given back
    activity : see `activity_layout`; in the cycle of the flit's reading
    """

    def __init__(self, config: NocConfig, *, sources: int, registered: bool = True):
        self.config, self.sources, self.registered = config, sources, registered
        channels = config.channels
        super().__init__({
            "pending": In(data.ArrayLayout(sources, channels)), "may": Out(data.ArrayLayout(sources, channels)),
            "long": In(data.ArrayLayout(sources, channels)),
            "channel": In(data.ArrayLayout(channels, sources)),
            "data": In(data.ArrayLayout(config.flit_bits, sources)), "last": In(sources),
            "request": In(sources), "grant": Out(sources),
            "link": Out(LinkSignature(config)), "activity": Out(activity_layout()),
        })

    def elaborate(self, platform):
        m = Module()
        config, channels, sources = self.config, self.config.channels, self.sources
        busy, held = Signal(), Signal(sources)
        select, moving, last = Signal(sources), Signal(), Signal()
        chosen = Signal(channels)       # channel of the flit that moves
        begun = Signal()
        m.submodules.arbiter = arbiter = RoundRobin(sources)
        m.d.comb += [
            arbiter.i_requests.eq(self.request & (~busy).replicate(sources)), arbiter.i_take.eq(begun),
            self.grant.eq(arbiter.o_grant), begun.eq(self.grant.any()),
            select.eq(Mux(busy, held, arbiter.o_grant)), moving.eq(busy | begun),
            last.eq((select & self.last).any()), chosen.eq(choose(select, self.channel)),
        ]
        with m.If(moving):
            m.d.sync += [busy.eq(~last), held.eq(select)]

        for channel in range(channels):
            turn = Signal(sources, init=1, name=f"turn_{channel}")
            # Shares of the buffer behind that nobody has; a long packet goes when that is all of them, and takes all.
            free = Signal(range(config.shares + 1), init=config.shares, name=f"free_{channel}")
            some, all_free = Signal(name=f"some_{channel}"), Signal(name=f"all_{channel}")
            credit, pending = self.link.credits[channel], self.pending[channel]
            stopped = Signal(name=f"stopped_{channel}")
            taken = Signal(name=f"taken_{channel}")
            is_long = Signal(name=f"long_{channel}")
            m.d.comb += [
                some.eq(free != 0), all_free.eq(free == config.shares), stopped.eq((turn & pending).any()),
                taken.eq(begun & chosen[channel]), is_long.eq((arbiter.o_grant & self.long[channel]).any()),
            ]
            for source in range(sources):
                room = all_free | (some & ~self.long[channel][source])
                m.d.comb += self.may[channel][source].eq(room & (turn[source] | ~stopped))
            with m.If(taken & is_long):
                m.d.sync += free.eq(0)
            with m.Elif(credit.valid & credit.long):
                m.d.sync += free.eq(config.shares)
            with m.Elif(taken & ~credit.valid):
                m.d.sync += free.eq(free - 1)
            with m.Elif(credit.valid & ~taken):
                m.d.sync += free.eq(free + 1)
            served = chosen[channel] & (turn & arbiter.o_grant).any()
            with m.If(served | (pending.any() & ~stopped)):
                m.d.sync += turn.eq(Cat(turn[-1], turn[:-1]))

        domain = m.d.sync if self.registered else m.d.comb
        domain += [
            self.link.valid.eq(moving), self.link.last.eq(last), self.link.data.eq(either(select, self.data)),
            self.link.channel.eq(sum((channel * chosen[channel] for channel in range(1, channels)), start=0)),
        ]
        m.d.comb += [
            self.activity.flit.eq(moving), self.activity.packet.eq(moving & last),
            self.activity.stalled.eq(~moving & Cat(*self.pending).any()),
        ]
        return m
