"""Where packets leave the network."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..contract.noc import NocConfig
from .buffer import PacketBuffer
from .flits import LinkSignature, header_layout, is_long, stream_of


class Ejection(wiring.Component):
    """A buffer per channel behind a link, each read as a stream.

    A flit is offered in the cycle after it came. The room of a packet is given back when its last flit is taken, in the
    same cycle; a parent that must not have a path from `o_*.ready` to `link.credits` puts a register there.

    Members
    -------
    link : where packets come from
    o_0, o_1, … : one stream per channel
    """

    def __init__(self, config: NocConfig):
        self.config = config
        super().__init__({"link": In(LinkSignature(config)),
                          **{f"o_{channel}": Out(stream_of(config)) for channel in range(config.channels)}})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        for channel in range(config.channels):
            out, credit = getattr(self, f"o_{channel}"), self.link.credits[channel]
            m.submodules[f"buffer_{channel}"] = buffer = PacketBuffer(depth=config.depth, width=config.flit_bits)
            inside, held, is_short = (Signal(name=f"{name}_{channel}") for name in ("inside", "held", "is_short"))
            m.d.comb += [
                buffer.w_en.eq(self.link.valid & (self.link.channel == channel)), buffer.w_keep.eq(1),
                buffer.w_data.eq(self.link.data), buffer.w_last.eq(self.link.last),
                out.valid.eq(buffer.r_valid), out.payload.data.eq(buffer.r_data), out.payload.last.eq(buffer.r_last),
                buffer.r_next.eq(out.valid & out.ready), buffer.r_final.eq(1),
                is_short.eq(Mux(inside, held, ~is_long(config, header_layout(config)(buffer.r_data).length))),
                credit.valid.eq(buffer.r_next & buffer.r_last), credit.long.eq(~is_short),
            ]
            with m.If(buffer.r_next):
                m.d.sync += [inside.eq(~buffer.r_last), held.eq(is_short)]
        return m
