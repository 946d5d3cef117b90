"""Lanes: exact accumulators side by side, and the queue in which their sums wait for a neuron unit."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..neuron.alignment import GRID, narrowed, narrowed_bits
from ..numeric.accumulator import ExactProductSum, ExactSum
from ..numeric.selection import gathered

ONE = 0x3C00  # binary16 1.0: what a spike multiplies with where lanes are shared


class Lanes(wiring.Component):
    """`lanes` exact accumulators that add one row of synapses per cycle.

    ::

        i_words ─> accumulators ─(i_last)─> narrowed, `units` at a time ─> queue ─> o_sums

    A sum starts with the first row after the last one of the sum before (`i_first` says so to whoever
    watches) and ends with `i_last`. Then it leaves the accumulators, `units` lanes after the other, and waits in a
    queue, cut to what may still matter: all that takes sums rounds them, after adding no more than one binary16 number
    (`narrowed`). `o_sums` shows the oldest part, which `i_shift` (nothing without `o_valid`) consumes. The first part
    is there `latency` + 1 cycles after the last row if the queue is empty; the others follow in every cycle.

    The queue holds two sums, so the sender needs a credit for each last row: it starts with `credits` and gets one
    back with every `o_done`, when the last part of a sum is consumed. Last rows must be lanes / units cycles apart
    (`Credits` sees to both).

    Throughput: one row per cycle. Where `products` is set, each word is multiplied exactly by
    `i_factor` first.

    Attributes
    ----------
    width : bits of an exact sum
    bits, fraction : bits of a sum at `o_sums`, whose least bit weighs 2^-fraction
    """

    credits = 2

    def __init__(self, *, lanes: int, units: int, products: bool, width: int):
        self.lanes, self.units, self.products, self.width = lanes, units, products, width
        self.beats = lanes // units
        self.unit = (ExactProductSum if products else ExactSum)(width=width)
        self.latency = self.unit.latency + (1 if self.beats > 1 else 0)
        self.fraction = min(self.unit.fraction, GRID)
        self.bits = min(width - (self.unit.fraction - self.fraction), narrowed_bits(fraction=self.fraction))
        ports = {"i_factor": In(16)} if products else {}
        super().__init__({
            "i_valid": In(1), "i_first": In(1), "i_last": In(1), "i_words": In(16 * lanes), **ports,
            "o_valid": Out(1), "o_sums": Out(units * self.bits), "i_shift": In(1), "o_done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.accumulators = accumulators = self.unit.create(lanes=self.lanes)
        m.d.comb += [
            accumulators.i_valid.eq(self.i_valid), accumulators.i_last.eq(self.i_last),
            accumulators.i_words.eq(self.i_words),
        ]
        if self.products:
            m.d.comb += accumulators.i_factor.eq(self.i_factor)

        sums = [narrowed(accumulators.o.word_select(lane, self.width), fraction=self.unit.fraction)
                for lane in range(self.lanes)]
        parts = [Cat(sums[k * self.units:(k + 1) * self.units]) for k in range(self.beats)]
        push, part = accumulators.o_valid, parts[0]
        if self.beats > 1:
            # One part after the other rests in its register while the others are zero, which costs no logic; the OR of
            # them is the part in turn.
            turns, picked = Signal(self.beats - 1), []
            for k, (turn, value) in enumerate(zip(Cat(push, turns), parts, strict=True)):
                register = Signal(self.units * self.bits, name=f"picked_{k}", reset_less=True)
                with m.If(turn):
                    m.d.sync += register.eq(value)
                with m.Else():
                    m.d.sync += register.eq(0)
                picked.append(register)
            m.d.sync += turns.eq(Cat(push, turns))
            any_picked = Signal()
            m.d.sync += any_picked.eq(push | turns.any())
            push, part = any_picked, gathered(picked, step=0, width=len(picked[0]))
        self._queue(m, push, part)
        return m

    def _queue(self, m, push, part):
        depth = self.credits * self.beats
        m.submodules.queue = queue = Memory(shape=unsigned(len(part)), depth=depth, init=[])
        writer, reader = queue.write_port(), queue.read_port(domain="comb")
        put, take, level, pop = Signal(range(depth)), Signal(range(depth)), Signal(range(depth + 1)), Signal()
        m.d.comb += [
            writer.en.eq(push), writer.addr.eq(put), writer.data.eq(part), reader.addr.eq(take),
            self.o_sums.eq(reader.data), pop.eq(self.o_valid & self.i_shift),
        ]
        m.d.sync += [put.eq(put + push), take.eq(take + pop)]
        if depth & depth - 1:   # no chip has such lanes
            for place, moves in ((put, push), (take, pop)):
                with m.If(moves & (place == depth - 1)):
                    m.d.sync += place.eq(0)
            ends = Cat(take == number * self.beats + self.beats - 1 for number in range(self.credits)).any()
        else:
            ends = take[:(self.beats - 1).bit_length()] == self.beats - 1
        m.d.comb += self.o_done.eq(pop & ends)
        with m.If(push & ~pop):
            m.d.sync += [level.eq(level + 1), self.o_valid.eq(1)]
        with m.Elif(pop & ~push):
            m.d.sync += [level.eq(level - 1), self.o_valid.eq(level != 1)]
