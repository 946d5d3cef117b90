"""Lanes: exact accumulators side by side, and the queue that hands their sums to a neuron unit."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..numeric.accumulator import ExactProductSum, ExactSum

ONE = 0x3C00  # binary16 1.0: what a spike multiplies with where lanes are shared


class Lanes(wiring.Component):
    """`lanes` exact accumulators that add one row of synapses per cycle.

    ::

        i_words ──> decode ──> accumulators ──(last)──> hold ──> drain ──> o_sums, `units` at a time

    A sum starts with `i_first` and ends with `i_last` (both for a sum of one row). `latency` cycles
    after the last row its lanes move to `hold`, from there to `drain` as soon as that is empty, and
    leave `units` at a time with each `i_shift`. Two sums can wait, so the sender needs a credit for
    each last row: it starts with `credits` and gets one back with every `o_done`.

    Throughput: one row per cycle. Where `products` is set, each word is multiplied exactly by
    `i_factor` first.
    """

    credits = 2

    def __init__(self, *, lanes: int, units: int, products: bool, width: int):
        self.lanes, self.units, self.products, self.width = lanes, units, products, width
        self.unit = (ExactProductSum if products else ExactSum)(width=width)
        self.latency = self.unit.latency
        self.fraction = self.unit.fraction
        ports = {"i_factor": In(16)} if products else {}
        super().__init__({
            "i_valid": In(1), "i_first": In(1), "i_last": In(1), "i_words": In(16 * lanes), **ports,
            "o_valid": Out(1), "o_sums": Out(units * width), "i_shift": In(1), "o_done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        sums = []
        for k in range(self.lanes):
            m.submodules[f"lane_{k}"] = lane = self.unit.create()
            m.d.comb += [
                lane.i_valid.eq(self.i_valid), lane.i_first.eq(self.i_first),
                lane.i_word.eq(self.i_words.word_select(k, 16)),
            ]
            if self.products:
                m.d.comb += lane.i_factor.eq(self.i_factor)
            sums.append(lane.o)
        last = Signal(self.latency)
        m.d.sync += last.eq(Cat(self.i_valid & self.i_last, last)[:self.latency])
        capture = last[-1]

        beats = self.lanes // self.units
        hold, hold_valid = Signal(self.lanes * self.width, reset_less=True), Signal()
        drain, left = Signal(self.lanes * self.width, reset_less=True), Signal(range(beats + 1))
        shift = self.i_shift & self.o_valid
        free = (left == 0) | (shift & (left == 1))
        m.d.comb += [
            self.o_valid.eq(left != 0),
            self.o_sums.eq(drain[:self.units * self.width]),
            self.o_done.eq(shift & (left == 1)),
        ]
        with m.If(shift):
            m.d.sync += [left.eq(left - 1), drain.eq(drain >> self.units * self.width)]
        with m.If(free & hold_valid):
            m.d.sync += [drain.eq(hold), left.eq(beats), hold_valid.eq(0)]
        with m.If(capture):
            m.d.sync += hold.eq(Cat(sums))
            with m.If(free & ~hold_valid):
                m.d.sync += [drain.eq(Cat(sums)), left.eq(beats)]
            with m.Else():
                m.d.sync += hold_valid.eq(1)
        return m
