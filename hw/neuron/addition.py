"""Rounded sum of two binary16 words, with the floor of its magnitude beside it."""

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from ..numeric.binary16 import decode, encode, fields_of
from ..numeric.pipeline import Pipeline
from ..numeric.rounding import pack

__all__ = ["Addition"]

# Bits kept below the significand of the larger word. Something is lost only where the words are four binades or more
# apart; the sum then loses one binade at most, which leaves a guard bit and a sticky bit.
_EXTRA = 3
_BITS = 1 + 11 + _EXTRA  # carry, significand, extra


@dataclass(frozen=True, kw_only=True)
class Addition:
    """``rnd(a + b)`` of two binary16 words (design rules version 1 §2).

    The same word as placing both on one fixed-point grid and rounding, in about half the logic: the words are aligned
    to the larger of them, not to the format.
    """

    @property
    def ports(self) -> dict[str, Member]:
        """Of the gateware, but for the floor."""
        return {"a": In(16), "b": In(16), "o": Out(16), "o_overflow": Out(1)}

    @property
    def latency(self) -> int:
        """Cycles from two words to their rounded sum; one pair per cycle may enter."""
        return 8

    @property
    def floor_latency(self) -> int:
        """Cycles from two words to the floor of their sum's magnitude."""
        return self.latency - 2

    def compute(self, a_word: int, b_word: int) -> tuple[int, bool]:
        """Binary16 word of ``a + b`` and whether it saturated.

        Raises
        ------
        ValueError
            If a word is not finite binary16.
        """
        return encode(decode(a_word) + decode(b_word))

    def create(self) -> "Adder":
        """Gateware that gives ``compute`` of its inputs ``latency`` cycles later."""
        return Adder(self)


class Adder(wiring.Component):
    """Pipelined `Addition`: order by magnitude, align, add or subtract, normalise, round.

    Throughput one pair per cycle, latency ``Addition.latency`` cycles, no stall.

    Parameters
    ----------
    addition : Addition
        States the latency.

    Members
    -------
    a, b : :py:`In(16)`
        Finite binary16 words.
    o : :py:`Out(16)`
        ``rnd(a + b)``; the zero is +0.
    o_overflow : :py:`Out(1)`
        The sum beside it in ``o`` was beyond ±65504 after rounding and is saturated.
    o_floor : :py:`Out(16)`
        ``|a + b|`` rounded towards zero, as exponent and fraction of binary16 with room for exponent 31; valid
        ``Addition.floor_latency`` cycles after the words.
    """

    a: Signal
    b: Signal
    o: Signal
    o_overflow: Signal
    o_floor: Signal

    def __init__(self, addition: Addition):
        self._addition = addition
        super().__init__({**addition.ports, "o_floor": Out(16)})

    def elaborate(self, platform):
        m = Module()
        pipe = Pipeline(m)
        swap = self.a[:15] < self.b[:15]
        s0 = pipe.stage(
            large=Mux(swap, self.b, self.a),
            small=Mux(swap, self.a, self.b)[:15],
            subtract=self.a[15] ^ self.b[15],
        )
        _, large, scale = fields_of(m, s0.large)
        _, small, small_scale = fields_of(m, Cat(s0.small, Const(0, 1)))
        s1 = pipe.stage(
            sign=s0.large[15], subtract=s0.subtract, large=large, small=small, scale=scale,
            distance=(scale - small_scale)[:5],
        )
        aligned = _aligned(m, Cat(Const(0, _EXTRA), s1.small), s1.distance)
        s2 = pipe.stage(
            sign=s1.sign, subtract=s1.subtract, large=s1.large, scale=s1.scale,
            small=aligned ^ s1.subtract.replicate(len(aligned)),
            # Where the exponent runs out, normalising stops: as if a one stood there.
            stop=Cat(*(s1.scale + 1 == _BITS - 1 - place for place in range(_BITS))),
        )
        # The inverted term's missing 1 enters as the carry; its sign bit only cancels the carry out.
        total = Cat(Const(1, 1), Const(0, _EXTRA), s2.large) + Cat(s2.subtract, s2.small)
        s3 = pipe.stage(
            sign=s2.sign, scale=s2.scale, stop=s2.stop,
            total=Cat(total[1:_BITS], total[_BITS] & ~s2.subtract),
        )
        shift = _leading_zeros(s3.total | s3.stop)
        s4 = pipe.stage(sign=s3.sign, total=s3.total, shift=shift, scale=s3.scale)
        # Without a one and without a stop the sum is zero, whose scale is 0.
        scale = Mux(s4.shift.all(), 0, s4.scale + 1 - s4.shift)[:5]
        normal = (s4.total << s4.shift)[:_BITS]
        s5 = pipe.stage(sign=s4.sign, scale=scale, kept=normal[_BITS - 12 :], sticky=normal[: _BITS - 12].any())
        m.d.comb += self.o_floor.eq(Cat(s5.kept[1:11], s5.scale + s5.kept[11]))
        assert pipe.depth == self._addition.floor_latency
        up = s5.kept[0] & (s5.sticky | s5.kept[1])
        word, overflow = pack(
            m, pipe, sign=s5.sign, scale=s5.scale, significand=s5.kept[1:], up=up, overflow=Const(0, 1)
        )
        m.d.comb += [self.o.eq(word), self.o_overflow.eq(overflow)]
        assert pipe.depth == self._addition.latency
        return m


def _aligned(m: Module, value: Value, distance: Value) -> Value:
    """``value >> distance``, the last bit set if anything was lost; a distance of 16 leaves no more than that bit."""
    sticky = Const(0, 1)
    for power in range(4):
        step = 1 << power
        taken = distance[power]
        shifted = Signal(len(value), name=f"aligned_{step}")
        lost = Signal(name=f"lost_{step}")
        m.d.comb += [shifted.eq(Mux(taken, value >> step, value)), lost.eq(sticky | (taken & value[:step].any()))]
        value, sticky = shifted, lost
    far = distance[4]
    return Cat(value[0] & ~far | sticky | far & value.any(), value[1:] & (~far).replicate(len(value) - 1))


def _leading_zeros(value: Value) -> Value:
    """Zeros above the highest set bit of 15 bits, 15 if none is set; log depth."""
    rest = Cat(Const(1, 1), value)
    count = []
    for step in (8, 4, 2, 1):
        empty = ~rest[step:].any()
        count.append(empty)
        rest = Mux(empty, rest[:step], rest[step:])
    return Cat(*reversed(count))
