"""One rounding of an exact fixed-point value to binary16."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .binary16 import LARGEST, UNIT, encode
from .pipeline import Pipeline

__all__ = ["Rounding", "pack"]

# Left shifts tried in turn, each taken if that many leading bits are zero. They reach every amount from 0 to 29 and
# add up to 29 exactly: the distance from the top binade to the subnormals, below which a value is not normalised.
_STEPS = (15, 7, 4, 2, 1)
# A significand and its guard bit, the most that may be asked of the shifter's output.
_KEPT = 12


def pack(m: Module, *, sign: Value, scale: Value, kept: Value, sticky: Value, overflow: Value) -> tuple[Value, Value]:
    """Last step of every rounding, combinational: ``(word, overflow)`` of a significand with guard and sticky bits.

    Parameters
    ----------
    scale : unsigned, 0 to 30
        Exponent field less one of a normalised result; 0 for a subnormal one.
    kept : 12 bits
        Significand (hidden bit included) above its guard bit.
    overflow : 1 bit
        The value is 2^16 or more already, ``scale`` and ``kept`` mean nothing.
    """
    magnitude = Signal(16, name="magnitude")
    beyond = Signal(name="beyond")
    word = Signal(16, name="word")
    up = kept[0] & (sticky | kept[1])
    m.d.comb += [
        magnitude.eq((scale << 10) + kept[1:] + up),
        beyond.eq(overflow | (magnitude > LARGEST)),
        word.eq(Mux(beyond, Cat(Const(LARGEST, 15), sign), Cat(magnitude[:15], sign & magnitude.any()))),
    ]
    return word, beyond


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """``rnd`` of design rules version 1 §2: exact two's complement value to binary16.

    To nearest, ties to even, gradual underflow; saturates at ±65504 with an overflow flag; the zero is +0.

    Parameters
    ----------
    width : int, 12 to 128
        Bits of the exact value, sign included.
    fraction : int, 24 to 60
        The value's least bit weighs 2^-fraction.

    Raises
    ------
    TypeError
        If a parameter is not an integer.
    ValueError
        If a parameter is outside its range.
    """

    width: int
    fraction: int

    def __post_init__(self):
        for name, least, most in ("width", 12, 128), ("fraction", UNIT, 60):
            number = getattr(self, name)
            if not isinstance(number, int):
                raise TypeError(f"Rounding {name} must be an integer, not {number!r}")
            if not least <= number <= most:
                raise ValueError(f"Rounding {name} must be {least} to {most}, not {number!r}")

    @property
    def latency(self) -> int:
        """Cycles from a value to its rounded word; one value per cycle may enter."""
        return 4

    def compute(self, value: int) -> tuple[int, bool]:
        """Binary16 word of ``value · 2^-fraction`` and whether it saturated.

        Raises
        ------
        ValueError
            If ``value`` does not fit the width.
        """
        if not -(1 << self.width - 1) <= value < 1 << self.width - 1:
            raise ValueError(f"Value {value} does not fit {self.width} bits; round with a wider Rounding")
        return encode(value, fraction=self.fraction)

    def create(self) -> "Rounder":
        """Gateware that gives ``compute`` of its input ``latency`` cycles later."""
        return Rounder(self)


class Rounder(wiring.Component):
    """Pipelined ``rnd``: a log-depth normalising shift between a conditional negation and one short addition.

    Throughput one value per cycle, latency ``Rounding.latency`` cycles, no stall: the user delays its own valid bit.

    Parameters
    ----------
    rounding : Rounding
        Format of the exact value.

    Members
    -------
    i : :py:`In(signed(width))`
        Exact value in units of 2^-fraction.
    o : :py:`Out(16)`
        Binary16 word.
    o_overflow : :py:`Out(1)`
        The value beside it in ``o`` was beyond ±65504 after rounding and is saturated.
    """

    i: Signal
    o: Signal
    o_overflow: Signal

    def __init__(self, rounding: Rounding):
        self._rounding = rounding
        super().__init__({"i": In(signed(rounding.width)), "o": Out(16), "o_overflow": Out(1)})

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)
        width = self._rounding.width
        # Bits below the weight 2^16; anything above saturates. The shifter sees the upper ones as a window that holds
        # the greatest shift and what is kept after it, the lower ones only as sticky.
        finite = self._rounding.fraction + 16
        window_width = _KEPT + sum(_STEPS)

        sign = self.i[-1]
        s0 = pipe.stage(sign=sign, magnitude=Mux(sign, -self.i, self.i)[:width])

        below = Cat(s0.magnitude, Const(0, max(0, finite - width)))[:finite]
        window = Cat(Const(0, max(0, window_width - finite)), below)[-window_width:]
        lost = below[: max(0, finite - window_width)].any()
        window, lost, scale = _normalised(m, window, lost=lost, steps=_STEPS[:2], scale=Const(sum(_STEPS), 5))
        s1 = pipe.stage(sign=s0.sign, overflow=s0.magnitude[finite:].any(), window=window, sticky=lost, scale=scale)

        kept, lost, scale = _normalised(m, s1.window, lost=s1.sticky, steps=_STEPS[2:], scale=s1.scale)
        s2 = pipe.stage(sign=s1.sign, overflow=s1.overflow, kept=kept, sticky=lost, scale=scale)

        word, overflow = pack(m, sign=s2.sign, scale=s2.scale, kept=s2.kept, sticky=s2.sticky, overflow=s2.overflow)
        s3 = pipe.stage(word=word, overflow=overflow)
        m.d.comb += [self.o.eq(s3.word), self.o_overflow.eq(s3.overflow)]
        assert pipe.depth == self._rounding.latency
        return m


def _normalised(
    m: Module, window: Value, *, lost: Value, steps: tuple[int, ...], scale: Value
) -> tuple[Value, Value, Value]:
    """The window after the given left shifts, narrowed to what later shifts can still bring into the result."""
    for step in steps:
        taken = Signal(name=f"taken_{step}")
        sticky = Signal(name=f"sticky_{step}")
        shifted = Signal(len(window) - step, name=f"window_{step}")
        m.d.comb += [
            taken.eq(~window[-step:].any()),
            sticky.eq(lost | (~taken & window[:step].any())),
            shifted.eq(Mux(taken, window, window[step:])),
        ]
        window, lost = shifted, sticky
        scale = (scale - Mux(taken, step, 0))[:5]
    return window, lost, scale
