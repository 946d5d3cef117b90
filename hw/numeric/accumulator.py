"""Exact sums: of binary16 words, and of products of two of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .binary16 import UNIT, decode, fields_of
from .pipeline import Pipeline

__all__ = ["ExactProductSum", "ExactSum"]


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
        """Cycles from a word to the sum that contains it; one word per cycle may enter."""
        return 2

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

    def create(self) -> "Accumulator":
        """Gateware of the running sum."""
        return Accumulator(self)


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
        """Cycles from a pair to the sum that contains its product; one pair per cycle may enter."""
        return 3

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

    def create(self) -> "ProductAccumulator":
        """Gateware of the running sum."""
        return ProductAccumulator(self)


def _added(total: Value, *, restart: Value, sign: Value, magnitude: Value) -> Value:
    """``(restart ? 0 : total) ± magnitude`` in one carry chain: the sign inverts the term and enters as its carry."""
    width = len(total)
    # Four inputs per bit, total, restart, magnitude and sign, are what one LUT before the carry holds.
    held = Mux(restart, 0, total)
    term = Cat(*(bit ^ sign for bit in magnitude), sign.replicate(width - len(magnitude)))
    return (Cat(1, held) + Cat(sign, term))[1 : width + 1].as_signed()


class Accumulator(wiring.Component):
    """Running exact sum of binary16 words.

    A word taken with ``i_valid`` is in ``o`` after ``ExactSum.latency`` cycles; throughput one word per cycle, gaps
    anywhere. Between words ``o`` holds. A sum that leaves the width wraps: size it with ``ExactSum.width``.

    Parameters
    ----------
    exact_sum : ExactSum
        Width of the sum.

    Members
    -------
    i_valid : :py:`In(1)`
        Take ``i_word`` in this cycle.
    i_first : :py:`In(1)`
        The word starts a new sum; means nothing without ``i_valid``.
    i_word : :py:`In(16)`
        Finite binary16 word.
    o : :py:`Out(signed(width))`
        The sum in units of 2^-24. Zero after reset.
    """

    i_valid: Signal
    i_first: Signal
    i_word: Signal
    o: Signal

    def __init__(self, exact_sum: ExactSum):
        self._sum = exact_sum
        super().__init__({"i_valid": In(1), "i_first": In(1), "i_word": In(16), "o": Out(signed(exact_sum.width))})

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)
        sign, significand, shift = fields_of(m, self.i_word)
        s0 = pipe.stage(first=self.i_first, sign=sign, magnitude=(significand << shift)[:40])
        s0_valid = Signal()
        m.d.sync += s0_valid.eq(self.i_valid)
        with m.If(s0_valid):
            m.d.sync += self.o.eq(_added(self.o, restart=s0.first, sign=s0.sign, magnitude=s0.magnitude))
        assert pipe.depth + 1 == self._sum.latency
        return m


class ProductAccumulator(wiring.Component):
    """Running exact sum of products of two binary16 words; the 11x11 product takes one DSP.

    A pair taken with ``i_valid`` is in ``o`` after ``ExactProductSum.latency`` cycles; throughput one pair per cycle,
    gaps anywhere. Between pairs ``o`` holds. A sum that leaves the width wraps: size it with ``ExactProductSum.width``.

    Parameters
    ----------
    exact_sum : ExactProductSum
        Width of the sum.

    Members
    -------
    i_valid : :py:`In(1)`
        Take the pair in this cycle.
    i_first : :py:`In(1)`
        The pair starts a new sum; means nothing without ``i_valid``.
    i_word, i_factor : :py:`In(16)`
        Finite binary16 words.
    o : :py:`Out(signed(width))`
        The sum in units of 2^-48. Zero after reset.
    """

    i_valid: Signal
    i_first: Signal
    i_word: Signal
    i_factor: Signal
    o: Signal

    def __init__(self, exact_sum: ExactProductSum):
        self._sum = exact_sum
        super().__init__(
            {
                "i_valid": In(1),
                "i_first": In(1),
                "i_word": In(16),
                "i_factor": In(16),
                "o": Out(signed(exact_sum.width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)
        sign, significand, shift = fields_of(m, self.i_word)
        factor_sign, factor_significand, factor_shift = fields_of(m, self.i_factor)
        s0 = pipe.stage(
            first=self.i_first,
            sign=sign ^ factor_sign,
            product=significand * factor_significand,
            shift=(shift + factor_shift)[:6],
        )
        s1 = pipe.stage(first=s0.first, sign=s0.sign, magnitude=(s0.product << s0.shift)[:80])
        s0_valid = Signal()
        s1_valid = Signal()
        m.d.sync += [s0_valid.eq(self.i_valid), s1_valid.eq(s0_valid)]
        with m.If(s1_valid):
            m.d.sync += self.o.eq(_added(self.o, restart=s1.first, sign=s1.sign, magnitude=s1.magnitude))
        assert pipe.depth + 1 == self._sum.latency
        return m
