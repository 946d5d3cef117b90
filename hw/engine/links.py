"""Counters of a router's links, for the host."""

from amaranth.hdl import Array, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..contract.program import LINK_COUNTS, LINKS
from .memory import HostPort

COUNTS_BITS = 32 * len(LINKS) * len(LINK_COUNTS)


class LinkView(wiring.Component):
    """Read-only words of the counters, link by link in the order of `LINKS`, low word first.

    Members
    -------
    i_counts : all counters side by side
    """

    depth = COUNTS_BITS // 16
    host_latency = 1

    def __init__(self):
        super().__init__({"host": In(HostPort()), "i_counts": In(COUNTS_BITS)})

    def elaborate(self, platform):
        m = Module()
        words = Array(self.i_counts.word_select(k, 16) for k in range(self.depth))
        # An address beyond is refused by the bus.
        m.d.sync += self.host.result.eq(words[self.host.address[:(self.depth - 1).bit_length()]])
        return m
