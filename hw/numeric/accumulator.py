"""Exact sums: of binary16 words, and of products of two of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .binary16 import UNIT, decode, fields_of
from .pipeline import Pipeline
from .selection import gathered, shifted, spread

__all__ = ["ExactProductSum", "ExactSum"]


_SPLIT = 48
"""Bits of a sum of products that are added first: a carry chain through all of it takes too long."""


def _check_width(name: str, width: int, *, least: int):
    if not isinstance(width, int):
        raise TypeError(f"{name} width must be an integer, not {width!r}")
    if not least <= width <= 128:
        raise ValueError(f"{name} width must be {least} to 128, not {width!r}")


def _total(values: Iterable[int], *, width: int) -> int:
    total = 0
    for count, value in enumerate(values, 1):
        total += value
        if not -(1 << width - 1) <= total < 1 << width - 1:
            raise OverflowError(f"The exact sum leaves {width} bits at term {count}; use a wider accumulator")
    return total


@dataclass(frozen=True, kw_only=True)
class ExactSum:
    """Exact sum of binary16 words (design rules version 1 §2): fixed point with the least bit 2^-24, never rounded.

    Parameters
    ----------
    width : int, 41 to 128
        Bits of the sum, sign included. 2^(width - 41) terms of any size fit.

    Raises
    ------
    TypeError
        If ``width`` is not an integer.
    ValueError
        If ``width`` is outside its range.
    """

    width: int = 52
    fraction: ClassVar[int] = UNIT

    def __post_init__(self):
        _check_width("ExactSum", self.width, least=41)

    @property
    def latency(self) -> int:
        """Cycles from the last word of a sum to the sum; one word per cycle may enter."""
        return 3

    def compute(self, words: Iterable[int]) -> int:
        """Sum of the words in units of 2^-24.

        Raises
        ------
        ValueError
            If a word is not finite binary16.
        OverflowError
            If the running sum leaves the width.
        """
        return _total((decode(word) for word in words), width=self.width)

    def create(self, *, lanes: int = 1) -> "Accumulator":
        """Gateware of ``lanes`` sums side by side."""
        return Accumulator(self, lanes=lanes)


@dataclass(frozen=True, kw_only=True)
class ExactProductSum:
    """Exact sum of exact products of two binary16 words (``dot`` before its rounding): the least bit is 2^-48.

    Parameters
    ----------
    width : int, 81 to 128
        Bits of the sum, sign included. 2^(width - 81) terms of any size fit.

    Raises
    ------
    TypeError
        If ``width`` is not an integer.
    ValueError
        If ``width`` is outside its range.
    """

    width: int = 92
    fraction: ClassVar[int] = 2 * UNIT

    def __post_init__(self):
        _check_width("ExactProductSum", self.width, least=81)

    @property
    def latency(self) -> int:
        """Cycles from the last pair of a sum to the sum; one pair per cycle may enter."""
        return 6

    def compute(self, words: Iterable[int], factors: Iterable[int]) -> int:
        """Sum of ``word · factor`` over the pairs, in units of 2^-48.

        Raises
        ------
        ValueError
            If a word is not finite binary16, or there are more of one than of the other.
        OverflowError
            If the running sum leaves the width.
        """
        pairs = zip(words, factors, strict=True)
        return _total((decode(word) * decode(factor) for word, factor in pairs), width=self.width)

    def create(self, *, lanes: int = 1) -> "ProductAccumulator":
        """Gateware of ``lanes`` sums side by side, whose products share one factor."""
        return ProductAccumulator(self, lanes=lanes)


class _Lanes(wiring.Component):
    """What both accumulators share: the frame of a sum, and the addition."""

    i_valid: Signal
    i_last: Signal
    i_words: Signal
    o_valid: Signal
    o: Signal

    def __init__(self, exact_sum: ExactSum | ExactProductSum, *, lanes: int, **ports):
        if not isinstance(lanes, int) or lanes < 1:
            raise ValueError(f"lanes must be a positive integer, not {lanes!r}")
        self._sum, self._lanes = exact_sum, lanes
        super().__init__({
            "i_valid": In(1), "i_last": In(1), "i_words": In(16 * lanes), **ports,
            "o_valid": Out(1), "o": Out(exact_sum.width * lanes),
        })

    def _words(self) -> list[Value]:
        return [self.i_words.word_select(lane, 16) for lane in range(self._lanes)]

    def _idle(self, m: Module, pipe: Pipeline) -> Value:
        """Whether no word came with what is in the latest stage."""
        idle = ~self.i_valid
        for stage in range(pipe.depth):
            after = Signal(name=f"s{stage}_idle", init=1)
            m.d.sync += after.eq(idle)
            idle = after
        return idle

    def _summed(
        self, m: Module, pipe: Pipeline, *, signs: list[Value], terms: list[list[Signal]], step: int, width: int,
        split: int | None = None,
    ):
        """Adds each lane's term, in parts as `spread` kept them, all zero unless a word came, to its sum.

        With ``split`` the bits from there on are added a cycle after those below, with their carry.
        """
        last = self.i_valid & self.i_last
        for stage in range(pipe.depth - 1):
            last_after = Signal(name=f"s{stage}_last")
            m.d.sync += last_after.eq(last)
            last = last_after
        # A running total starts again when it was taken, and whenever the chip is reset: from a register alone.
        clear, taken = Signal(init=1, name="clear"), Signal(name="taken")
        m.d.sync += [clear.eq(last), taken.eq(last)]
        later = pipe.stage(
            signs=signs, parts=[part for parts in terms for part in parts]) if split else None
        done = taken
        if later is not None:
            clear_after, done = Signal(init=1, name="clear_after"), Signal(name="taken_after")
            m.d.sync += [clear_after.eq(clear), done.eq(taken)]
        m.d.sync += self.o_valid.eq(done)
        out = Signal(len(self.o), reset_less=True)
        m.d.comb += self.o.eq(out)
        bits = self._sum.width
        for lane, (sign, parts) in enumerate(zip(signs, terms, strict=True)):
            # One carry chain behind one LUT: the sign inverts the term and enters as its carry.
            low = split or bits
            term = _extended(parts, sign=sign, step=step, width=width, bits=bits)[:low]
            added, carry = _added(m, term, sign, clear=clear, name=f"total_{lane}")
            if later is not None:
                held = Signal(low, name=f"low_{lane}", reset_less=True)
                carried = Signal(name=f"carry_{lane}", reset_less=True)
                m.d.sync += [held.eq(added), carried.eq(carry)]
                count = len(parts)
                term = _extended(later.parts[count * lane:count * (lane + 1)], sign=later.signs[lane], step=step,
                                 width=width, bits=bits)[low:]
                added, _ = _added(m, term, carried, clear=clear_after, name=f"high_{lane}")
                added = Cat(held, added)
            with m.If(done):
                m.d.sync += out.word_select(lane, bits).eq(added)
        assert pipe.depth + 1 == self._sum.latency


def _extended(parts: list[Signal], *, sign: Value, step: int, width: int, bits: int) -> Value:
    return Cat(gathered(parts, step=step, width=width, invert=sign), sign.replicate(bits - width))


def _added(m: Module, term: Value, carry: Value, *, clear: Value, name: str) -> tuple[Value, Value]:
    """A running total and a term and a carry, and the carry out; a new total starts in the cycle after ``clear``."""
    total = Signal(len(term), name=name, reset_less=True)
    added = Signal(len(term) + 2, name=f"{name}_added")
    m.d.comb += added.eq(Cat(1, total) + Cat(carry, term))
    with m.If(clear):
        m.d.sync += total.eq(0)
    with m.Else():
        m.d.sync += total.eq(added[1:-1])
    return added[1:-1], added[-1]


class Accumulator(_Lanes):
    """Exact sums of binary16 words, ``lanes`` of them side by side.

    A sum begins with the first word after the last one of the sum before, and ends with ``i_last``. It is in ``o``
    from ``ExactSum.latency`` cycles after its last word until the next one is. Throughput one word per lane and cycle,
    gaps anywhere. A sum that leaves the width wraps: size it with ``ExactSum.width``.

    Parameters
    ----------
    exact_sum : ExactSum
        Width of the sums.
    lanes : int
        Sums side by side.

    Members
    -------
    i_valid : :py:`In(1)`
        Take ``i_words`` in this cycle.
    i_last : :py:`In(1)`
        The words end their sums; means nothing without ``i_valid``.
    i_words : :py:`In(16 * lanes)`
        Finite binary16 words, lane 0 in the lowest bits.
    o_valid : :py:`Out(1)`
        ``o`` holds sums that were not there in the cycle before.
    o : :py:`Out(width * lanes)`
        The sums, two's complement in units of 2^-24, lane 0 in the lowest bits. Undefined before the first ``o_valid``.

    Raises
    ------
    ValueError
        If ``lanes`` is not a positive integer.
    """

    def __init__(self, exact_sum: ExactSum, *, lanes: int = 1):
        super().__init__(exact_sum, lanes=lanes)

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)
        signs, significands, shifts = zip(*(fields_of(m, word) for word in self._words()), strict=True)
        # The shift in three steps: by 0 or 1, by 0 to 6, by 0 to 24. A word is narrow until the last of them.
        s0 = pipe.stage(
            signs=list(signs), rests=[shift[1:] for shift in shifts],
            words=[(significand << shift[0])[:12] for significand, shift in zip(significands, shifts, strict=True)],
        )
        idle = self._idle(m, pipe)
        far = [
            spread(m, [shifted(m, word, amount=rest[:2], step=2)] * 4, place=Cat(rest[2:], idle), name="far")
            for word, rest in zip(s0.words, s0.rests, strict=True)
        ]
        s1 = pipe.stage(signs=[Mux(idle, 0, sign) for sign in s0.signs])
        self._summed(m, pipe, signs=s1.signs, terms=far, step=8, width=40)
        return m


class ProductAccumulator(_Lanes):
    """Exact sums of products of two binary16 words, ``lanes`` of them side by side, with one factor for all.

    As `Accumulator`, with latency ``ExactProductSum.latency`` and the least bit 2^-48. A lane's 14x14 product takes one
    DSP.

    Parameters
    ----------
    exact_sum : ExactProductSum
        Width of the sums.
    lanes : int
        Sums side by side.

    Members
    -------
    i_valid : :py:`In(1)`
        Take ``i_words`` and ``i_factor`` in this cycle.
    i_last : :py:`In(1)`
        The products end their sums; means nothing without ``i_valid``.
    i_words : :py:`In(16 * lanes)`
        Finite binary16 words, lane 0 in the lowest bits.
    i_factor : :py:`In(16)`
        Finite binary16 word that multiplies all of them.
    o_valid : :py:`Out(1)`
        ``o`` holds sums that were not there in the cycle before.
    o : :py:`Out(width * lanes)`
        The sums, two's complement in units of 2^-48, lane 0 in the lowest bits. Undefined before the first ``o_valid``.

    Raises
    ------
    ValueError
        If ``lanes`` is not a positive integer.
    """

    i_factor: Signal

    def __init__(self, exact_sum: ExactProductSum, *, lanes: int = 1):
        super().__init__(exact_sum, lanes=lanes, i_factor=In(16))

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)
        signs, significands, shifts = zip(
            *(fields_of(m, word) for word in (*self._words(), self.i_factor)), strict=True
        )
        # Each operand is shifted by 0 to 3 before the product, the product then by multiples of 4 and of 16.
        s0 = pipe.stage(
            signs=[sign ^ signs[-1] for sign in signs[:-1]], rests=[shift[1:] for shift in shifts],
            words=[(significand << shift[0])[:12] for significand, shift in zip(significands, shifts, strict=True)],
        )
        *operands, factor = (
            shifted(m, word, amount=rest[:1], step=2) for word, rest in zip(s0.words, s0.rests, strict=True))
        factors = self._copies(m, factor)
        s1 = pipe.stage(
            signs=s0.signs, rests=[rest[1:] + s0.rests[-1][1:] for rest in s0.rests[:-1]], operands=operands)
        # A DSP block and the way to it and from it are most of a cycle.
        s2 = pipe.stage(
            signs=s1.signs, rests=s1.rests,
            products=[operand * factor for operand, factor in zip(s1.operands, factors, strict=True)],
        )
        idle = self._idle(m, pipe)
        far = [
            spread(m, [shifted(m, product, amount=rest[:2], step=4)] * 4, place=Cat(rest[2:], idle), name="far")
            for product, rest in zip(s2.products, s2.rests, strict=True)
        ]
        s3 = pipe.stage(signs=[Mux(idle, 0, sign) for sign in s2.signs])
        self._summed(m, pipe, signs=s3.signs, terms=far, step=16, width=80, split=_SPLIT)
        return m

    def _copies(self, m: Module, factor: Value) -> list[Signal]:
        """The factor a cycle later, for each lane: one register for several lanes, four in all.

        From a single one the way to the DSP blocks of all lanes would be the longest of the chip. Synthesis makes one
        of equal registers, so these differ in how they start and in whether they are reset, which means nothing here.
        """
        copies = []
        for number in range(min(4, self._lanes)):
            init = (1 << len(factor)) - 1 if number & 1 else 0
            copies.append(Signal(len(factor), name=f"factor_{number}", init=init, reset_less=number < 2))
        m.d.sync += [copy.eq(factor) for copy in copies]
        return [copies[lane * len(copies) // self._lanes] for lane in range(self._lanes)]
