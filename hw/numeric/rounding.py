"""One rounding of an exact fixed-point value to binary16."""

from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from .binary16 import LARGEST, UNIT, encode
from .pipeline import Pipeline

__all__ = ["Rounding", "pack"]

# Left shifts tried in turn, each taken if that many leading bits are the sign's. They reach every amount from 0 to 29
# and add up to 29 exactly: the distance from the top binade to the subnormals, below which a value is not normalised.
_STEPS = (15, 7, 4, 2, 1)
# A significand and its guard bit, the most that may be asked of the shifter's output.
_KEPT = 12
# What is left of the steps' sum, by which of them were taken.
_LEFT = tuple(
    sum(step for place, step in enumerate(_STEPS) if not taken >> place & 1) for taken in range(1 << len(_STEPS))
)


def pack(
    m: Module, pipe: Pipeline, *, sign: Value, scale: Value, significand: Value, up: Value, overflow: Value
) -> tuple[Value, Value]:
    """Last two stages of every rounding: ``(word, overflow)`` of a significand that may yet go up by one.

    Parameters
    ----------
    scale : unsigned, 0 to 30
        Exponent field less one of a normalised result; 0 for a subnormal one.
    significand : 11 bits
        Hidden bit included.
    up : 1 bit
        What was cut off below the significand rounds it up.
    overflow : 1 bit
        The value is 2^16 or more already, the rest but for ``sign`` means nothing.
    """
    # The hidden bit enters as a carry of the exponent, and a significand that rounds up to 2048 makes another.
    magnitude = Cat(significand[:10], scale[:5]) + Cat(up, Const(0, 9), significand[10])
    nonzero = scale.any() | significand.any() | up
    stage = pipe.stage(magnitude=magnitude[:16], overflow=overflow, sign=sign, negative=sign & nonzero)
    beyond = stage.overflow | stage.magnitude[10:15].all() | stage.magnitude[15]
    # As registers with a synchronous set or reset, which cost no logic.
    magnitude = Signal(15, name="magnitude", reset_less=True)
    with m.If(beyond):
        m.d.sync += magnitude.eq(LARGEST)
    with m.Else():
        m.d.sync += magnitude.eq(stage.magnitude)
    last = pipe.stage(sign=Mux(stage.overflow, stage.sign, stage.negative), overflow=beyond)
    return Cat(magnitude, last.sign), last.overflow


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
    def ports(self) -> dict[str, Member]:
        """Of the gateware."""
        return {"i": In(signed(self.width)), "o": Out(16), "o_overflow": Out(1)}

    @property
    def latency(self) -> int:
        """Cycles from a value to its rounded word; one value per cycle may enter."""
        return 5

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
    """Pipelined ``rnd``: a log-depth normalising shift and one short addition, whatever the sign.

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
        super().__init__(rounding.ports)

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)
        width = self._rounding.width
        # Bits below the weight 2^16; anything above saturates. The shifter sees the upper ones as a window that holds
        # the greatest shift and what is kept after it, the lower ones only as lost.
        finite = self._rounding.fraction + 16
        window_width = _KEPT + sum(_STEPS)

        # All shifting is of the value as it is: leading bits are those equal to its sign, so nothing is negated.
        sign = self.i[-1]
        below = Cat(self.i, sign.replicate(max(0, finite - width)))[:finite]
        window = Cat(Const(0, max(0, window_width - finite)), below)[-window_width:]
        lost = below[: max(0, finite - window_width)].any()
        above = self.i[finite:]
        window, lost, taken = _normalised(m, window, sign=sign, lost=lost, steps=_STEPS[:1])
        s0 = pipe.stage(
            sign=sign, window=window, lost=lost, taken=taken, overflow=(above ^ sign.replicate(len(above))).any()
        )
        window, lost, taken = _normalised(m, s0.window, sign=s0.sign, lost=s0.lost, steps=_STEPS[1:2])
        s1 = pipe.stage(sign=s0.sign, window=window, lost=lost, taken=Cat(s0.taken, taken), overflow=s0.overflow)
        window, lost, taken = _normalised(m, s1.window, sign=s1.sign, lost=s1.lost, steps=_STEPS[2:])
        kept = window ^ s1.sign.replicate(_KEPT)
        left = Signal(5, name="left")
        m.d.comb += left.eq(Array(_LEFT)[Cat(s1.taken, taken)])
        s2 = pipe.stage(sign=s1.sign, kept=kept, lost=lost, scale=left, overflow=s1.overflow)

        # The complement of a negative value is its magnitude less one unit of the last place, so the magnitude goes on
        # below the guard bit with ones, and nothing after them, where a positive one goes on with zeros.
        guard, last = s2.kept[0], s2.kept[1]
        up = Mux(s2.sign, guard | (~s2.lost & last), guard & (s2.lost | last))
        word, overflow = pack(
            m, pipe, sign=s2.sign, scale=s2.scale, significand=s2.kept[1:], up=up, overflow=s2.overflow
        )
        m.d.comb += [self.o.eq(word), self.o_overflow.eq(overflow)]
        assert pipe.depth == self._rounding.latency
        return m


def _normalised(
    m: Module, window: Value, *, sign: Value, lost: Value, steps: tuple[int, ...]
) -> tuple[Value, Value, Value]:
    """The window after the given left shifts, narrowed to what later shifts can still bring into the result.

    Beside it, whether a set bit was lost below it, and which shifts were taken.
    """
    taken = []
    for step in steps:
        each = Signal(name=f"taken_{step}")
        sticky = Signal(name=f"lost_{step}")
        shifted = Signal(len(window) - step, name=f"window_{step}")
        m.d.comb += [
            each.eq(~(window[-step:] ^ sign.replicate(step)).any()),
            sticky.eq(lost | (~each & window[:step].any())),
            shifted.eq(Mux(each, window, window[step:])),
        ]
        window, lost = shifted, sticky
        taken.append(each)
    return window, lost, Cat(*taken)
