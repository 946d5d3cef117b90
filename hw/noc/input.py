"""A router's input: buffers of all channels, and which packet goes on from here."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..contract.noc import NocConfig
from .arbiter import RoundRobin
from .buffer import PacketBuffer
from .flits import LinkSignature, flit_layout, header_layout, is_long, stream_of
from .guard import Guard


def choose(select, values):
    """The value whose bit is set in `select`, at most one; 0 if none is."""
    result = Const(0)
    for bit, value in zip(select, values, strict=True):
        value = Cat(value)
        result = result | (value & bit.replicate(len(value)))
    return result


def either(select, values):
    """The value whose bit is set in `select`, at most one; any if none is. Fewer LUTs than `choose`."""
    *others, result = values
    for bit, value in zip(select, others, strict=False):
        result = Mux(bit, value, result)
    return result


class InputPort(wiring.Component):
    """Buffers what arrives and offers the oldest packet of one channel at a time to the outputs it is for.

    ::

        link, or a    ┌ buffer 0 ┐   pending, long ──> outputs ──> may (per channel and output)
        stream per ───┤ buffer 1 ├──┐
        channel       └ buffer 2 ┘  └─> one channel in turn ──> request ──> grant ──> data, last, 1 flit a cycle

    A packet that several outputs are to have goes to all that grant it in the same cycle, and is then offered to the
    rest; when none is left, its place is given back. Once begun, a packet moves on every cycle to its end.

    Parameters
    ----------
    outputs : how many outputs a packet may go to from here
    allowed : mask bits that packets may have, if they come from streams; None: they come over a link

    Members
    -------
    link, or i_0, i_1, … : where packets come from
    i_branches : the outputs that the flit at `o_header` must go to, were it a header
    o_header : data of the flit that is written; with streams one per channel
    pending : outputs, per channel, that the oldest packet has yet to go to
    long : whether this packet takes a whole buffer, per channel
    may : outputs that could take it now, were they free
    request, grant : outputs that the packet of the channel in turn wants, and those that take it from this cycle on
    channel : one bit, of the channel in turn; it stays until the end of a packet that was granted
    data, last : the flit that moves
    o_dropped : packets that were malformed, this cycle; with streams one bit per channel
    """

    def __init__(self, config: NocConfig, *, outputs: int, allowed: int | None = None):
        self.config, self.outputs, self.allowed = config, outputs, allowed
        channels = config.channels
        per_output = data.ArrayLayout(outputs, channels)
        writers = 1 if allowed is None else channels
        ports = ({"link": In(LinkSignature(config))} if allowed is None else
                 {f"i_{channel}": In(stream_of(config)) for channel in range(channels)} |
                 {"o_dropped": Out(channels)})
        super().__init__({
            **ports, "o_header": Out(data.ArrayLayout(header_layout(config), writers)),
            "i_branches": In(data.ArrayLayout(outputs, writers)),
            "pending": Out(per_output), "may": In(per_output),
            "long": Out(channels), "request": Out(outputs), "grant": In(outputs), "channel": Out(channels),
            "data": Out(config.flit_bits), "last": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, channels = self.config, self.config.channels
        entry = data.StructLayout({"flit": flit_layout(config)["data"].shape, "branches": self.outputs})
        active, held, held_final = Signal(), Signal(channels), Signal()
        start, final, grants_all = Signal(), Signal(), Signal()
        heads, lasts, nexts, able = [], [], Signal(channels), Signal(channels)
        if self.allowed is None:
            m.d.comb += self.o_header[0].eq(self.link.data)
        for channel in range(channels):
            m.submodules[f"buffer_{channel}"] = buffer = PacketBuffer(depth=config.depth, width=entry.size)
            written, head = Signal(entry), Signal(entry, name=f"head_{channel}")
            m.d.comb += [buffer.w_data.eq(written), head.eq(buffer.r_data)]
            if self.allowed is None:
                m.d.comb += [
                    written.flit.eq(self.link.data), written.branches.eq(self.i_branches[0]),
                    buffer.w_last.eq(self.link.last), buffer.w_keep.eq(1),
                    buffer.w_en.eq(self.link.valid & (self.link.channel == channel)),
                ]
            else:
                m.submodules[f"guard_{channel}"] = guard = Guard(config, allowed=self.allowed)
                wiring.connect(m, wiring.flipped(getattr(self, f"i_{channel}")), guard.i)
                m.d.comb += [
                    self.o_header[channel].eq(guard.i.payload.data),
                    written.flit.eq(guard.i.payload.data), written.branches.eq(self.i_branches[channel]),
                    buffer.w_last.eq(guard.i.payload.last), buffer.w_en.eq(guard.w_en),
                    buffer.w_keep.eq(guard.w_keep), buffer.w_drop.eq(guard.w_drop), guard.w_room.eq(buffer.w_room),
                    self.o_dropped[channel].eq(guard.o_dropped),
                ]
            done = Signal(self.outputs, name=f"done_{channel}")
            # While a packet moves, what its buffer shows is no header.
            waiting = buffer.r_valid & ~(active & held[channel])
            m.d.comb += [
                self.pending[channel].eq(head.branches & ~done & waiting.replicate(self.outputs)),
                self.long[channel].eq(is_long(config, header_layout(config)(head.flit).length)),
                able[channel].eq((self.pending[channel] & self.may[channel]).any()),
                nexts[channel].eq((active & held[channel]) | (start & self.channel[channel])),
                buffer.r_next.eq(nexts[channel]), buffer.r_final.eq(final),
            ]
            with m.If(start & self.channel[channel]):
                m.d.sync += done.eq(Mux(grants_all, 0, done | self.grant))
            heads.append(head.flit)
            lasts.append(buffer.r_last)

        m.submodules.turn = turn = RoundRobin(channels)
        wanted = Signal(self.outputs)
        m.d.comb += [
            turn.i_requests.eq(able), turn.i_take.eq(start),
            self.channel.eq(Mux(active, held, turn.o_grant)),
            wanted.eq(choose(turn.o_grant, self.pending)),
            self.request.eq(choose(turn.o_grant, [p & e for p, e in zip(self.pending, self.may, strict=True)])
                            & (~active).replicate(self.outputs)),
            start.eq(self.grant.any()), grants_all.eq(~(wanted & ~self.grant).any()),
            final.eq(Mux(active, held_final, grants_all) if self.outputs > 1 else 1),
            self.data.eq(either(self.channel, heads)), self.last.eq(either(self.channel, lasts)),
        ]
        with m.If(active | start):
            m.d.sync += [active.eq(~self.last), held.eq(self.channel), held_final.eq(final)]
        if self.allowed is None:
            # The room of a packet is given back when its last way through begins: from then on its flits leave one
            # a cycle, and what comes instead of them comes later.
            for channel, credit in enumerate(self.link.credits):
                m.d.sync += [credit.valid.eq(start & grants_all & turn.o_grant[channel]),
                             credit.long.eq(self.long[channel])]
        return m
