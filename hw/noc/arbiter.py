"""Who goes first."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


def lowest(bits):
    """The lowest set bit alone; no carry chain, for few bits."""
    return Cat(bits[k] & ~bits[:k].any() if k else bits[0] for k in range(len(bits)))


class RoundRobin(wiring.Component):
    """Chooses one of `count` requests, in the same cycle; who was taken last comes last.

    A request that stays is taken after at most `count` - 1 others.

    Members
    -------
    i_requests : one bit each
    o_grant : at most one bit, of those
    i_take : the choice is used, and the turn goes on
    """

    def __init__(self, count: int):
        self.count = count
        super().__init__({"i_requests": In(count), "i_take": In(1), "o_grant": Out(count)})

    def elaborate(self, platform):
        m = Module()
        later = Signal(self.count)      # those behind the one that was taken last
        ahead, chosen = Signal(self.count), Signal(self.count)
        m.d.comb += [ahead.eq(self.i_requests & later), self.o_grant.eq(chosen)]
        with m.If(ahead.any()):
            m.d.comb += chosen.eq(lowest(ahead))
        with m.Else():
            m.d.comb += chosen.eq(lowest(self.i_requests))
        with m.If(self.i_take):
            m.d.sync += later.eq(Cat(chosen[:k].any() if k else 0 for k in range(self.count)))
        return m
