"""The streams of the link, and how bytes become words and words bytes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

BYTE = data.StructLayout({"data": 8, "last": 1})
"""A byte of payload; `last` marks the end of a frame (received) or of an answer (to send)."""

WORD = data.StructLayout({"data": 16, "last": 1})
"""A word of an answer; `last` marks the answer's end."""

FRAMED_WORD = data.StructLayout({"data": 16, "last": 1, "cut": 1})
"""A word of a frame; `cut` marks the half word of a frame that ended on a low byte, and comes with `last`."""


class WordGather(wiring.Component):
    """Pairs bytes to words, low byte first: a word every two cycles, one cycle after its high byte.

    Members
    -------
    i : bytes; `last` ends a frame
    o : words; a frame that ends on a low byte yields a word marked `cut`, whose high byte is 0
    i_clear : forgets a byte held and a word not yet taken
    """

    i: In(stream.Signature(BYTE))
    o: Out(stream.Signature(FRAMED_WORD))
    i_clear: In(1)

    def elaborate(self, platform):
        m = Module()
        odd = Signal()
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.o.valid.eq(odd | self.i.p.last),
                odd.eq(~odd & ~self.i.p.last),
                self.o.p.last.eq(self.i.p.last),
                self.o.p.cut.eq(~odd),
                self.o.p.data[8:].eq(Mux(odd, self.i.p.data, 0)),
            ]
            with m.If(~odd):
                m.d.sync += self.o.p.data[:8].eq(self.i.p.data)
        with m.If(self.i_clear):
            m.d.sync += [odd.eq(0), self.o.valid.eq(0)]
        return m


class WordScatter(wiring.Component):
    """Sends words as bytes, low byte first, without a cycle lost; `last` goes with the high byte.

    Members
    -------
    i : words
    o : bytes
    i_clear : forgets that a low byte was sent
    """

    i: In(stream.Signature(WORD))
    o: Out(stream.Signature(BYTE))
    i_clear: In(1)

    def elaborate(self, platform):
        m = Module()
        odd = Signal()
        m.d.comb += [
            self.o.valid.eq(self.i.valid),
            self.o.p.data.eq(self.i.p.data.word_select(odd, 8)),
            self.o.p.last.eq(self.i.p.last & odd),
            self.i.ready.eq(self.o.ready & odd),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += odd.eq(~odd)
        with m.If(self.i_clear):
            m.d.sync += odd.eq(0)
        return m
