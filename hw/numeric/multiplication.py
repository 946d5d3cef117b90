"""Rounded product of two binary16 words, with its exponent moved at no cost."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out
from amaranth.utils import bits_for

from .binary16 import UNIT, decode, encode, fields_of
from .pipeline import Pipeline
from .rounding import pack

__all__ = ["Multiplication"]

_PRODUCT = 22  # bits of the product of two 11-bit significands
_SHIFTS = 58  # greatest sum of two shifts


@dataclass(frozen=True, kw_only=True)
class Multiplication:
    """``mul(a, b, k) = rnd(a · b · 2^k)`` of design rules version 1 §2.

    Parameters
    ----------
    least, greatest : int, -128 to 127
        Range of k. Where both are 0 there is no k.

    Raises
    ------
    TypeError
        If a bound is not an integer.
    ValueError
        If a bound is outside its range, or ``least`` is above ``greatest``.
    """

    least: int = 0
    greatest: int = 0

    def __post_init__(self):
        for name in "least", "greatest":
            number = getattr(self, name)
            if not isinstance(number, int):
                raise TypeError(f"Multiplication {name} must be an integer, not {number!r}")
            if not -128 <= number <= 127:
                raise ValueError(f"Multiplication {name} must be -128 to 127, not {number!r}")
        if self.least > self.greatest:
            raise ValueError(f"Multiplication least {self.least} must not be above greatest {self.greatest}")

    @property
    def moves(self) -> bool:
        """Whether there is a k, and so a port for it."""
        return (self.least, self.greatest) != (0, 0)

    @property
    def ports(self) -> dict[str, Member]:
        """Of the gateware."""
        width = max(bits_for(bound, require_sign_bit=True) for bound in (self.least, self.greatest))
        return {"a": In(16), "b": In(16), "o": Out(16), "o_overflow": Out(1),
                **({"k": In(signed(width))} if self.moves else {})}

    @property
    def latency(self) -> int:
        """Cycles from two words to their product; one pair per cycle may enter."""
        return 7

    def compute(self, a_word: int, b_word: int, k: int = 0) -> tuple[int, bool]:
        """Binary16 word of ``a · b · 2^k`` and whether it saturated.

        Raises
        ------
        ValueError
            If a word is not finite binary16, or ``k`` is outside ``least`` to ``greatest``.
        """
        if not self.least <= k <= self.greatest:
            raise ValueError(f"Multiplication k must be {self.least} to {self.greatest}, not {k!r}")
        return encode(decode(a_word) * decode(b_word), fraction=2 * UNIT - k)

    def create(self) -> "Multiplier":
        """Gateware that gives ``compute`` of its inputs ``latency`` cycles later."""
        return Multiplier(self)


class Multiplier(wiring.Component):
    """Pipelined ``mul``: an 11x11 product (one DSP), one right shift for normal and subnormal results, rounding.

    Throughput one pair per cycle, latency ``Multiplication.latency`` cycles, no stall.

    Parameters
    ----------
    multiplication : Multiplication
        Range of k.

    Members
    -------
    a, b : :py:`In(16)`
        Finite binary16 words.
    k : :py:`In(signed(w))`
        Power of two by which the product is scaled, in the range given; w is the least width that holds the range.
        Absent where the range is 0 to 0.
    o : :py:`Out(16)`
        Binary16 word.
    o_overflow : :py:`Out(1)`
        The product beside it in ``o`` was beyond ±65504 after rounding and is saturated.
    """

    a: Signal
    b: Signal
    k: Signal
    o: Signal
    o_overflow: Signal

    def __init__(self, multiplication: Multiplication):
        self._multiplication = multiplication
        super().__init__(multiplication.ports)

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)
        a_sign, a_significand, a_shift = fields_of(m, self.a)
        b_sign, b_significand, b_shift = fields_of(m, self.b)
        # Unpacked first: a DSP block and the ways to and from it are most of a cycle.
        s0 = pipe.stage(
            sign=a_sign ^ b_sign, a=a_significand, b=b_significand, power=a_shift + b_shift,
            **({"k": self.k} if self._multiplication.moves else {}),
        )
        # Bit n of the product weighs 2^(n + power - 48). The significand ends ten bits below the leading one, or where
        # a bit weighs 2^-24 if that is higher. Both are counted from bit -10, so that the first is the leading one's
        # index.
        power = s0.power + s0.k if self._multiplication.moves else s0.power
        s1 = pipe.stage(sign=s0.sign, product=s0.a * s0.b, edge=UNIT + 10 - power)
        top = Signal(range(_PRODUCT), name="top")
        m.d.comb += top.eq(_leading_one(s1.product))
        s2 = pipe.stage(
            sign=s1.sign, product=s1.product, edge=s1.edge, lowest=Mux(s1.edge > top, s1.edge, top))

        # Padded so that the guard bit, one below the lowest, exists for a product of 1 too. By multiples of eight
        # first; with the guard bit above the product the result is zero, as sticky alone never rounds up.
        wide = Cat(Const(0, 11), s2.product)
        place = s2.lowest[3:]
        window, lost = Signal(12 + 7, name="window"), Signal()
        for number, start in enumerate(range(0, len(wide), 8)):
            with m.If(place == number):
                m.d.comb += [window.eq(wide[start:]), lost.eq(wide[:start].any())]
        s3 = pipe.stage(
            sign=s2.sign, window=window, sticky=lost, fine=s2.lowest[:3], scale=(s2.lowest - s2.edge)[:8],
            zero=~s2.product.any(),
        )
        kept, lost = _shifted(m, s3.window, amount=s3.fine, powers=(2, 1, 0))
        # Above 29, which needs no subtraction.
        beyond = (s3.scale[5:].any() | s3.scale[1:5].all()) & ~s3.zero
        s4 = pipe.stage(
            sign=s3.sign, kept=kept, sticky=s3.sticky | lost, scale=Mux(s3.zero, 0, s3.scale)[:5], overflow=beyond
        )
        up = s4.kept[0] & (s4.sticky | s4.kept[1])
        word, overflow = pack(
            m, pipe, sign=s4.sign, scale=s4.scale, significand=s4.kept[1:], up=up, overflow=s4.overflow
        )
        m.d.comb += [self.o.eq(word), self.o_overflow.eq(overflow)]
        assert pipe.depth == self._multiplication.latency
        return m


def _leading_one(value: Value) -> Value:
    """Index of the highest set bit, 0 where there is none; log depth."""
    width = len(value)
    if width == 1:
        return Const(0, 1)
    half = 1 << (width - 1).bit_length() - 1
    upper, lower = _leading_one(value[half:]), _leading_one(value[:half])
    return Mux(value[half:].any(), half + upper, lower)[: (width - 1).bit_length()]


def _shifted(m: Module, window: Value, *, amount: Value, powers: tuple[int, ...]) -> tuple[Value, Value]:
    """``window >> amount`` by the given powers of two, cut to what is still wanted, and whether a set bit fell out."""
    lost = Const(0, 1)
    for power in powers:
        step = 1 << power
        # The significand, its guard bit, and as many more as the lower powers can still shift out.
        shifted = Signal(min(len(window), 12 + step - 1), name=f"window_{step}")
        sticky = Signal(name=f"sticky_{step}")
        m.d.comb += [
            shifted.eq(Mux(amount[power], window[step:], window)),
            sticky.eq(lost | (amount[power] & window[:step].any())),
        ]
        window, lost = shifted, sticky
    return window, lost
