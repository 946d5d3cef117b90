"""Counters of a link."""

from amaranth.hdl import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .flits import activity_layout

COUNTER_BITS = 32


def counts_layout() -> data.StructLayout:
    """Flits and packets sent, and cycles in which a packet waited for the link and none was on it."""
    return data.StructLayout({"flits": COUNTER_BITS, "packets": COUNTER_BITS, "stalled": COUNTER_BITS})


class LinkCounters(wiring.Component):
    """Counts what goes over links, from reset on, modulo 2^32; a flit counts one cycle after it leaves.

    Parameters
    ----------
    links : how many

    Members
    -------
    i : activity of each, as `Router.activity` has it
    o : counts of each
    """

    def __init__(self, links: int):
        self.links = links
        super().__init__({"i": In(data.ArrayLayout(activity_layout(), links)),
                          "o": Out(data.ArrayLayout(counts_layout(), links))})

    def elaborate(self, platform):
        m = Module()
        for link in range(self.links):
            now, counts = self.i[link], self.o[link]
            for happened, count in ((now.flit, counts.flits), (now.packet, counts.packets),
                                    (now.stalled, counts.stalled)):
                with m.If(happened):
                    m.d.sync += count.eq(count + 1)
        return m
