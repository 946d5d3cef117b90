"""Designs that hold one module many times, for the tests of generating and simulating them."""

from typing import ClassVar

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from autapse.gateware.once import Repeated


class Sieve(wiring.Component):
    """Passes bytes on, changed by what came `words` bytes before and by where it stands, and sometimes holds them up.

    Paths without a register lead through it in both directions. `elaborated` counts how often one was generated.
    """

    elaborated: ClassVar[int] = 0

    def __init__(self, *, words: int = 5, start: int = 0):
        self.words, self.start = words, start
        super().__init__({
            "place": In(data.StructLayout({"x": 3, "y": 5})), "i": In(stream.Signature(8)),
            "o": Out(stream.Signature(8)), "o_sum": Out(13), "o_signed": Out(2).array(3), "i_nothing": In(0),
        })

    def elaborate(self, platform):
        type(self).elaborated += 1
        m = Module()
        m.submodules.store = store = memory.Memory(shape=8, depth=self.words, init=[3] * self.words)
        write, read = store.write_port(), store.read_port(domain="comb")
        at, wait, total = Signal(range(self.words)), Signal(4), Signal(13, init=self.start)
        go = Signal()
        held = (wait == self.place.x) & (self.place.y != 0)
        m.d.comb += [
            go.eq(self.i.valid & self.i.ready), self.i.ready.eq(self.o.ready & ~held), read.addr.eq(at),
            self.o.valid.eq(self.i.valid & ~held),
            self.o.payload.eq(self.i.payload + read.data + Cat(self.place.y, self.place.x)),
            write.addr.eq(at), write.en.eq(go), write.data.eq(self.i.payload ^ total[:8]), self.o_sum.eq(total),
        ]
        m.d.comb += [bits.eq(total[2 * number:]) for number, bits in enumerate(self.o_signed)]
        with m.If(held):
            m.d.sync += wait.eq(wait + 1)
        with m.If(go):
            m.d.sync += [wait.eq(wait + 1), total.eq(total + self.i.payload),
                         at.eq(Mux(at == self.words - 1, 0, at + 1))]
        return m


class Late(wiring.Component):
    """A byte comes out `words` bytes later, in the cycle that another one takes its place in the memory."""

    i: In(8)
    o: Out(8)

    def __init__(self, *, words: int = 6):
        self.words = words
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = memory.Memory(shape=8, depth=self.words, init=[])
        write, read = store.write_port(), store.read_port()
        at = Signal(range(self.words))
        m.d.sync += at.eq(Mux(at == self.words - 1, 0, at + 1))
        m.d.comb += [read.addr.eq(at), write.addr.eq(at), write.en.eq(1), write.data.eq(self.i), self.o.eq(read.data)]
        return m


class Step(wiring.Component):
    """A byte and one more, a cycle later; there is no memory."""

    i: In(8)
    o: Out(8)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i + 1)
        return m


class Holding(wiring.Component):
    """A line of places of what it is given, each with ports `i` and `o`."""

    i_line: In(stream.Signature(8))
    o_line: Out(stream.Signature(8))
    o_busy: Out(1)

    def __init__(self, *repeated: Repeated):
        self.repeated = repeated
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        value = self.i_line.payload
        for number, repeated in enumerate(self.repeated):
            m.submodules[f"place_{number}"] = place = repeated.place()
            m.d.comb += place.i.eq(value)
            value = place.o
        m.d.comb += [self.o_line.payload.eq(value), self.o_line.valid.eq(self.i_line.valid),
                     self.i_line.ready.eq(self.o_line.ready)]
        return m


class Sieves(wiring.Component):
    """Bytes go through sieves one after the other, each with another place, and are added to what these give beside.

    With `once` the sieves are one repeated module.
    """

    i_line: In(stream.Signature(8))
    o_line: Out(stream.Signature(8))
    o_busy: Out(1)

    def __init__(self, *, count: int = 3, once: bool = True, **options):
        self.count, self.once, self.options = count, once, options
        super().__init__()

    def elaborate(self, platform):
        m = Module()

        def make():
            return Sieve(**self.options)

        repeated = Repeated(make, name="sieve") if self.once else None
        line, other = wiring.flipped(self.i_line), Signal(8)
        for number in range(self.count):
            m.submodules[f"sieve_{number}"] = one = repeated.place() if repeated else make()
            m.d.comb += [one.place.x.eq(number + 2), one.place.y.eq(7 * number)]
            wiring.connect(m, line, one.i)
            line = one.o
            previous, other = other, Signal(8)
            m.d.comb += other.eq(previous + (one.o_sum >> number) + one.o_signed[number % 3])
        m.d.comb += [line.ready.eq(self.o_line.ready | ~self.o_line.valid), self.o_busy.eq(self.o_line.valid)]
        with m.If(line.ready):
            m.d.sync += [self.o_line.valid.eq(line.valid), self.o_line.payload.eq(line.payload ^ other)]
        return m
