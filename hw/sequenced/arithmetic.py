"""The one exact sum of a sequenced core, and its one rounding."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..numeric.binary16 import LARGEST, UNIT, fields_of

FRACTION = 2 * UNIT     # the sum's least bit weighs 2^-48
POWER_BITS = 7          # of the exponent moved by MULTIPLY
_GREATEST_POWER = 63

ASKED = data.StructLayout({"valid": 1, "a": 16, "b": 16, "minus": 1, "forget": 1, "floor": 1})
"""What a machine asks of a sum and a rounding: exact sum += ±a·b, the sum becomes 0, the rounding is the floor."""

ARITHMETIC = data.StructLayout({"busy": 1, "negative": 1, "word": 16, "overflow": 1})
"""What they answer: products are under way; of the sum its sign, and `rnd` of it with its flag two cycles later."""


class ExactMultiplySum(wiring.Component):
    """Exact sum of products ``±a·b·2^k``, one per cycle; three cycles from a product to its sum.

    The significands meet in one signed multiplier (a DSP), the product is moved by one shifter. A product moved to
    2^63 units of 2^-48 or beyond stays there: that far, factors that are words give more than 65520 and saturate. One
    moved below 2^-48 stays at it, and is below 2^-26 and rounds to 0: so with i_moved a product must be alone, or met
    by one word at most.

    Members
    -------
    i_valid : :py:`In(1)`
        A product enters.
    i_a, i_b : :py:`In(16)`
        Finite binary16 words; a is a signed integer in units of 2^-24 if i_raw.
    i_minus, i_raw, i_moved : :py:`In(1)`
        Subtract; a is an integer; 2^k counts.
    i_k : :py:`In(signed(7))`
        Exponent of the program, -64 to 63.
    i_forget : :py:`In(1)`
        The sum becomes 0; only while o_busy is low.
    o : :py:`Out(signed(width))`
        The sum in units of 2^-48, valid while o_busy is low.
    o_busy : :py:`Out(1)`
        Products are under way.
    """

    i_valid: Signal
    i_a: Signal
    i_b: Signal
    i_minus: Signal
    i_raw: Signal
    i_moved: Signal
    i_k: Signal
    i_forget: Signal
    o: Signal
    o_busy: Signal

    def __init__(self, *, width: int):
        self.width = width
        super().__init__({
            "i_valid": In(1), "i_a": In(16), "i_b": In(16), "i_minus": In(1), "i_raw": In(1), "i_moved": In(1),
            "i_k": In(signed(POWER_BITS)), "i_forget": In(1), "o": Out(signed(width)), "o_busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        a_sign, a_significand, a_shift = fields_of(m, self.i_a)
        b_sign, b_significand, b_shift = fields_of(m, self.i_b)
        a, b = Signal(signed(16)), Signal(signed(12))
        power = Signal(signed(POWER_BITS + 2))
        negative = self.i_minus ^ b_sign ^ (a_sign & ~self.i_raw)
        m.d.comb += [
            a.eq(Mux(self.i_raw, self.i_a, a_significand)),
            # One carry chain: a factor of -0 is 0 all the same.
            b.eq(Cat(Const(1, 1), b_significand ^ negative.replicate(11), negative).as_signed()
                 + Cat(negative, Const(0, 1)).as_signed() >> 1),
            power.eq(Mux(self.i_raw, 0, a_shift) + b_shift + Mux(self.i_moved, self.i_k, 0)),
        ]
        product, amount, multiplied = Signal(signed(28)), Signal(range(_GREATEST_POWER + 1)), Signal()
        term, moved = Signal(signed(self.width)), Signal()
        m.d.sync += [
            product.eq(a * b), multiplied.eq(self.i_valid),
            amount.eq(Mux(power < 0, 0, Mux(power > _GREATEST_POWER, _GREATEST_POWER, power))),
            term.eq(product << amount), moved.eq(multiplied),
        ]
        with m.If(self.i_forget):
            m.d.sync += self.o.eq(0)
        with m.Elif(moved):
            m.d.sync += self.o.eq(self.o + term)
        m.d.comb += self.o_busy.eq(multiplied | moved)
        return m


class SumRounding(wiring.Component):
    """``rnd`` of an exact sum, or its floor in magnitude, in two registers' time.

    The sum is shifted as it is; what a negative one lacks to its magnitude, one unit of its last place, is added to the
    twelve bits that are left if nothing was lost below them.

    ``o_word`` and ``o_overflow`` belong to the ``i`` of two cycles before.

    Members
    -------
    i : :py:`In(signed(width))`
        Units of 2^-48.
    i_floor : :py:`In(1)`
        The greatest magnitude that is not above that of ``i``, without a sign, in place of ``rnd``.
    o_word : :py:`Out(16)`
        Binary16 word.
    o_overflow : :py:`Out(1)`
        It is saturated.
    """

    i: Signal
    i_floor: Signal
    o_word: Signal
    o_overflow: Signal

    # Left shifts tried in turn, from the top binade to the subnormals: 29 in all.
    _FIRST, _SECOND = (15, 7), (4, 2, 1)
    _KEPT = 12

    def __init__(self, *, width: int):
        self.width = width
        super().__init__({"i": In(signed(width)), "i_floor": In(1), "o_word": Out(16), "o_overflow": Out(1)})

    def elaborate(self, platform):
        m = Module()
        finite = FRACTION + 16
        bits = self._KEPT + sum(self._FIRST + self._SECOND)
        sign = self.i[-1]
        window, lost = self.i[finite - bits:finite], self.i[:finite - bits].any()
        window, lost, scale = _normalised(window, lost, sign, steps=self._FIRST, scale=Const(29, 5))
        held, held_lost, held_scale = Signal(len(window)), Signal(), Signal(5)
        held_sign, beyond = Signal(), Signal()
        m.d.sync += [
            held.eq(window), held_lost.eq(lost), held_scale.eq(scale), held_sign.eq(sign),
            beyond.eq(self.i[finite:] != sign.replicate(self.width - finite)),
        ]
        window, lost, scale = _normalised(held, held_lost, held_sign, steps=self._SECOND, scale=held_scale)
        kept, sticky, kept_scale = Signal(self._KEPT + 1), Signal(), Signal(5)
        kept_sign, kept_beyond = Signal(), Signal()
        m.d.sync += [
            kept.eq((window ^ held_sign.replicate(self._KEPT)) + (held_sign & ~lost)), sticky.eq(lost),
            kept_scale.eq(scale), kept_sign.eq(held_sign), kept_beyond.eq(beyond),
        ]
        up = kept[0] & (sticky | kept[1]) & ~self.i_floor
        magnitude = Signal(16)
        m.d.comb += [
            magnitude.eq((kept_scale << 10) + kept[1:] + up),
            self.o_overflow.eq(kept_beyond | (magnitude > LARGEST)),
            self.o_word.eq(Cat(Mux(self.o_overflow, LARGEST, magnitude)[:15],
                               kept_sign & ~self.i_floor & (self.o_overflow | magnitude.any()))),
        ]
        return m


def _normalised(window: Value, lost: Value, sign: Value, *, steps, scale: Value) -> tuple[Value, Value, Value]:
    """The two's complement window after those left shifts that only drop copies of the sign, narrowed to what later
    shifts can bring into the result, whether bits below were not 0, and the exponent that is left."""
    for step in steps:
        taken = window[-step:] == sign.replicate(step)
        lost = lost | (~taken & window[:step].any())
        window = Mux(taken, window, window[step:])[:len(window) - step]
        scale = (scale - Mux(taken, step, 0))[:5]
    return window, lost, scale
