"""The streams of the link, and how bytes become words and words bytes."""

from amaranth.hdl import Cat, Module, Mux, Signal
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

    `i.ready` hangs on registers alone: a low byte waits for nobody, a high byte until the word before it is gone.

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
        low = Signal(8)
        odd = Signal()      # `low` is held
        half = Signal()     # and ended the frame
        m.d.comb += self.i.ready.eq(~odd | ~(self.o.valid | half))
        with m.If(self.o.valid):
            with m.If(self.o.ready):
                m.d.sync += self.o.valid.eq(0)
        with m.Else():
            m.d.sync += [
                self.o.valid.eq(odd & (self.i.valid | half)),
                self.o.p.data.eq(Cat(low, Mux(half, 0, self.i.p.data))),
                self.o.p.last.eq(half | self.i.p.last),
                self.o.p.cut.eq(half),
            ]
        with m.If(~odd):
            m.d.sync += [low.eq(self.i.p.data), odd.eq(self.i.valid), half.eq(self.i.valid & self.i.p.last)]
        with m.Elif(~self.o.valid & (self.i.valid | half)):
            m.d.sync += [odd.eq(0), half.eq(0)]
        with m.If(self.i_clear):
            m.d.sync += [odd.eq(0), half.eq(0), self.o.valid.eq(0)]
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
