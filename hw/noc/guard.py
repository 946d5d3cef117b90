"""The gate of the network: what is no packet does not get in."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..contract.noc import NocConfig
from .flits import header_layout, stream_of


class Guard(wiring.Component):
    """Checks packets as they come and tells a `PacketBuffer` to keep or to forget them, whole.

    A packet is malformed, and dropped, if its mask is empty or names a node out of `allowed`, if its `length` is
    over the longest, or if `last` does not come with the flit that `length` says: sooner, or later. A packet that is
    too long is dropped up to its `last`; until then nothing is stored of it and `i` takes a flit every cycle.

    `i.ready` hangs on registers alone. A flit is written in the cycle it is taken.

    Parameters
    ----------
    allowed : bits of a mask that a packet may have here

    Members
    -------
    i : packets
    w_en, w_keep, w_drop, w_room : to the buffer, whose `w_data` and `w_last` are `i.payload`
    o_dropped : high for the cycle in which the last flit of a dropped packet is taken
    """

    def __init__(self, config: NocConfig, *, allowed: int):
        self.config, self.allowed = config, allowed
        super().__init__({"i": In(stream_of(config)), "w_en": Out(1), "w_keep": Out(1), "w_drop": Out(1),
                          "w_room": In(1), "o_dropped": Out(1)})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        header = Signal(header_layout(config))
        inside, bad = Signal(), Signal()    # behind a packet's first flit; one that is dropped
        left, held = Signal(config.length_bits), Signal(config.length_bits)
        wrong, taken = Signal(), Signal()
        last = self.i.payload.last
        forbidden = ((2 << config.mesh.nodes) - 1) & ~self.allowed
        m.d.comb += [
            header.eq(self.i.payload.data), left.eq(Mux(inside, held, header.length)),
            wrong.eq((last != (left == 0)) | ~inside & (
                ~header.mask.any() | (header.mask & forbidden).any() | (header.length >= config.packet_flits))),
            self.i.ready.eq(self.w_room | bad), taken.eq(self.i.valid & self.i.ready),
            self.w_en.eq(taken & ~bad), self.w_keep.eq(last & ~wrong), self.w_drop.eq(wrong),
            self.o_dropped.eq(taken & last & (bad | wrong)),
        ]
        with m.If(taken):
            m.d.sync += [inside.eq(~last), held.eq(left - 1), bad.eq((bad | wrong) & ~last)]
        return m
