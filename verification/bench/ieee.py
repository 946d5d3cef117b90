"""What the exact lanes are measured against: lanes of the same function that round to binary16 at every step.

Both take rows of binary16 words and give, for each lane and sum, one binary16 word. The lanes of the chip add exactly
and share one rounding; these hold their sum in binary16, as IEEE 754 adders and multipliers do, and round each addition
and each product. They are built of the units the chip itself uses (`Addition`, `Multiplication`), so that one flow and
one hand made both sides. Not a number and infinity are left out on both, to the advantage of these.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...hw.engine.lanes import Lanes
from ...hw.neuron.addition import Addition
from ...hw.numeric.multiplication import Multiplication
from ...hw.numeric.rounding import Rounding

__all__ = ["ExactWords", "RoundingLanes", "RoundingSum"]


@dataclass(frozen=True, kw_only=True)
class RoundingSum:
    """Sum of binary16 words, or of products of two, rounded to nearest even and binary16 after every step.

    Subnormals are kept, what is beyond ±65504 stays there, zero is +0.

    Parameters
    ----------
    products : bool
        Multiply each word by a factor first, and round that too.
    """

    products: bool = False

    @property
    def interval(self) -> int:
        """Cycles from a row to the next: a sum must be rounded before the next word can be added to it."""
        return Addition().latency + 1

    @property
    def latency(self) -> int:
        """Cycles from the last row of a sum to the first of its words."""
        return (Multiplication().latency if self.products else 0) + self.interval

    def compute(self, words: Iterable[int], factors: Iterable[int] = ()) -> int:
        """The word of the sum.

        Raises
        ------
        ValueError
            If a word is not finite binary16, or there are more words than factors or fewer.
        """
        if self.products:
            words = [Multiplication().compute(*pair)[0] for pair in zip(words, factors, strict=True)]
        total = 0
        for word in words:
            total = Addition().compute(total, word)[0]
        return total

    def create(self, *, lanes: int) -> "RoundingLanes":
        """Gateware of ``lanes`` sums side by side."""
        return RoundingLanes(self, lanes=lanes)


def _ports(*, lanes: int, products: bool) -> dict:
    factor = {"i_factor": In(16)} if products else {}
    return {
        "i_valid": In(1), "i_last": In(1), "i_words": In(16 * lanes), **factor, "o_valid": Out(1), "o_word": Out(16),
    }


class RoundingLanes(wiring.Component):
    """`RoundingSum` in ``lanes`` lanes, whose words leave one after the other.

    Rows come ``RoundingSum.interval`` cycles apart or more, sums ``lanes`` cycles. The words of a sum leave in as many
    cycles in a row, the first ``RoundingSum.latency`` cycles after the last row.

    Members
    -------
    i_valid, i_last : :py:`In(1)`
        A row; it is the last of its sum.
    i_words, i_factor : :py:`In(16 * lanes)`, :py:`In(16)`
        Finite binary16 words, and what all are multiplied with; the factor only of products.
    o_valid, o_word : :py:`Out(1)`, :py:`Out(16)`
        The word of a lane's sum, lane 0 first.
    """

    def __init__(self, parameters: RoundingSum, *, lanes: int):
        self._parameters, self._lanes = parameters, lanes
        super().__init__(_ports(lanes=lanes, products=parameters.products))

    def elaborate(self, platform):
        m = Module()
        p = self._parameters
        valid, last = self.i_valid, self.i_valid & self.i_last
        if p.products:
            valid, last = (_after(m, each, Multiplication().latency) for each in (valid, last))
        done, ends = (_after(m, each, Addition().latency) for each in (valid, last))
        words = []
        for lane in range(self._lanes):
            word = self.i_words.word_select(lane, 16)
            if p.products:
                m.submodules[f"multiplier_{lane}"] = multiplier = Multiplication().create()
                m.d.comb += [multiplier.a.eq(word), multiplier.b.eq(self.i_factor)]
                word = multiplier.o
            m.submodules[f"adder_{lane}"] = adder = Addition().create()
            total = Signal(16, name=f"total_{lane}")
            m.d.comb += [adder.a.eq(total), adder.b.eq(word)]
            with m.If(ends):
                m.d.sync += total.eq(0)
            with m.Elif(done):
                m.d.sync += total.eq(adder.o)
            words.append(adder.o)
        waiting, left = Signal(16 * self._lanes), Signal(range(self._lanes + 1))
        m.d.comb += [self.o_valid.eq(left != 0), self.o_word.eq(waiting[:16])]
        with m.If(ends):
            m.d.sync += [waiting.eq(Cat(words)), left.eq(self._lanes)]
        with m.Elif(left != 0):
            m.d.sync += [waiting.eq(waiting >> 16), left.eq(left - 1)]
        return m


class ExactWords(wiring.Component):
    """The lanes of the chip with the one rounding they share, in the frame of `RoundingLanes`.

    Rows come in every cycle, sums ``lanes`` cycles apart or more.
    """

    def __init__(self, *, lanes: int, products: bool):
        self._lanes = Lanes(lanes=lanes, units=1, products=products, width=92 if products else 52)
        self.rounding = Rounding(width=self._lanes.bits, fraction=self._lanes.fraction)
        self.latency = self._lanes.latency + 1 + self.rounding.latency
        super().__init__(_ports(lanes=lanes, products=products))

    def elaborate(self, platform):
        m = Module()
        m.submodules.lanes = lanes = self._lanes
        m.submodules.rounding = rounding = self.rounding.create()
        starts = Signal(init=1)
        with m.If(self.i_valid):
            m.d.sync += starts.eq(self.i_last)
        m.d.comb += [
            lanes.i_valid.eq(self.i_valid), lanes.i_first.eq(starts), lanes.i_last.eq(self.i_last),
            lanes.i_words.eq(self.i_words), lanes.i_shift.eq(lanes.o_valid), rounding.i.eq(lanes.o_sums),
            self.o_valid.eq(_after(m, lanes.o_valid, self.rounding.latency)), self.o_word.eq(rounding.o),
        ]
        if lanes.products:
            m.d.comb += lanes.i_factor.eq(self.i_factor)
        return m


def _after(m: Module, bit, cycles: int):
    """A bit as it was ``cycles`` cycles ago, 0 after reset."""
    for _ in range(cycles):
        register = Signal()
        m.d.sync += register.eq(bit)
        bit = register
    return bit
