"""Byte stuffing: how a frame's body goes on a line of plain bytes and comes off it."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...hw.contract.link import ESCAPE, ESCAPE_XOR, FLAG
from .stream import BYTE


class Stuffer(wiring.Component):
    """Puts frames on the line: `FLAG`, the body with FLAG and ESCAPE escaped, `FLAG`.

    One line byte per cycle, one of latency: a body of n bytes, k of them escaped, takes n + k + 2 cycles.

    Members
    -------
    i : body bytes; `last` ends the frame
    o : line bytes
    """

    i: In(stream.Signature(BYTE))
    o: Out(stream.Signature(8))

    def elaborate(self, platform):
        m = Module()
        held = Signal(BYTE)
        some = Signal()
        special = Signal()
        done = Signal()     # the byte held leaves
        m.d.comb += [
            self.i.ready.eq(~some | done),
            self.o.payload.eq(FLAG),
            self.o.valid.eq(some),
        ]
        with m.If(self.i.ready):
            m.d.sync += [
                held.eq(self.i.payload),
                some.eq(self.i.valid),
                special.eq((self.i.p.data == FLAG) | (self.i.p.data == ESCAPE)),
            ]
        with m.FSM():
            with m.State("OPEN"):
                with m.If(some & self.o.ready):
                    m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += [
                    self.o.payload.eq(Mux(special, ESCAPE, held.data)),
                    done.eq(self.o.ready & ~special),
                ]
                with m.If(some & self.o.ready):
                    with m.If(special):
                        m.next = "ESCAPED"
                    with m.Elif(held.last):
                        m.next = "CLOSE"
            with m.State("ESCAPED"):
                m.d.comb += [self.o.payload.eq(held.data ^ ESCAPE_XOR), done.eq(self.o.ready)]
                with m.If(self.o.ready):
                    m.next = "BODY"
                    with m.If(held.last):
                        m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "OPEN"
        return m


class Unstuffer(wiring.Component):
    """Takes frames off the line, a byte per cycle, one cycle of latency; whatever the bytes, it never stalls.

    Members
    -------
    i : line bytes, always taken (`ready` is constantly 1)
    o : {data, end, cut} with o_valid, which nothing can hold back: either a body byte, or, with `end`, a flag that
        closed a frame of at least one byte. `cut` comes with `end` where the flag followed an ESCAPE.
    """

    i: In(stream.Signature(8))
    o: Out(data.StructLayout({"data": 8, "end": 1, "cut": 1}))
    o_valid: Out(1)

    def elaborate(self, platform):
        m = Module()
        escaped = Signal()
        inside = Signal()   # bytes came since the last flag
        m.d.comb += self.i.ready.eq(1)
        m.d.sync += self.o_valid.eq(0)
        with m.If(self.i.valid):
            m.d.sync += [
                self.o.data.eq(self.i.payload),
                self.o.end.eq(0),
                self.o.cut.eq(escaped),
                escaped.eq(0),
                inside.eq(1),
                self.o_valid.eq(1),
            ]
            with m.If(self.i.payload == FLAG):
                m.d.sync += [self.o.end.eq(1), inside.eq(0), self.o_valid.eq(inside)]
            with m.Elif(self.i.payload == ESCAPE):
                m.d.sync += [escaped.eq(1), self.o_valid.eq(0)]
            with m.Elif(escaped):
                m.d.sync += self.o.data.eq(self.i.payload ^ ESCAPE_XOR)
        return m
