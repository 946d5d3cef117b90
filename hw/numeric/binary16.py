"""Finite binary16 words: their value as an integer, in Python and in gateware.

A finite binary16 word is an integer multiple of 2^-24: ``±significand · 2^(shift - 24)`` with an 11-bit significand
(hidden bit included, absent for subnormals) and ``shift = max(exponent, 1) - 1``, 0 to 29. Words with exponent 31,
the infinities and NaN of IEEE 754, do not exist in the chip: the host refuses them before they reach it.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed

__all__ = ["LARGEST", "UNIT", "decode", "encode", "fields_of", "fixed"]

UNIT = 24
"""The least binary16 step weighs 2^-UNIT; all finite words are multiples of it."""

LARGEST = 0x7BFF
"""The word of the largest finite value, 65504."""


def decode(word: int) -> int:
    """Exact value of a finite binary16 word, in units of 2^-24.

    Raises
    ------
    ValueError
        If ``word`` is not 0 to 0xFFFF, or has exponent 31 (infinity or NaN).
    """
    if not 0 <= word <= 0xFFFF:
        raise ValueError(f"A binary16 word must be 0 to 0xFFFF, not {word!r}; mask it to 16 bits")
    exponent = word >> 10 & 0x1F
    if exponent == 31:
        raise ValueError(f"Binary16 word {word:#06x} is an infinity or NaN; the chip holds only finite values")
    significand = (word & 0x3FF) | bool(exponent) << 10
    magnitude = significand << max(exponent, 1) - 1
    return -magnitude if word >> 15 else magnitude


def encode(value: int, *, fraction: int = UNIT) -> tuple[int, bool]:
    """``rnd`` of design rules version 1: the word nearest to ``value · 2^-fraction``, and whether it overflowed.

    To nearest, ties to even, gradual underflow. A result beyond ±65504 saturates there with the overflow flag True.
    A zero result is +0, also when a small negative value rounds to it. ``fraction`` may be any integer.
    """
    if fraction < UNIT:
        value, fraction = value << UNIT - fraction, UNIT
    magnitude = abs(value)
    drop = max(magnitude.bit_length() - 11, fraction - UNIT)
    kept = magnitude >> drop
    rest = magnitude - (kept << drop)
    half = 1 << drop >> 1
    kept += drop > 0 and (rest > half or (rest == half and kept & 1))
    # The hidden bit of `kept` carries into the exponent field, and so does a significand that rounds up to 2048.
    word = (drop - (fraction - UNIT) << 10) + kept
    overflow = word > LARGEST
    word = min(word, LARGEST)
    return word | (value < 0 and word != 0) << 15, overflow


def fields_of(m: Module, word: Value) -> tuple[Value, Value, Value]:
    """Sign (1 bit), significand (11) and shift (5) of a finite word, combinational, added to ``m``.

    The value is ``(-1)^sign · significand · 2^(shift - 24)``.
    """
    exponent = word[10:15]
    normal = Signal(name="normal")
    significand = Signal(11, name="significand")
    shift = Signal(5, name="shift")
    m.d.comb += [
        normal.eq(exponent.any()),
        significand.eq(Cat(word[:10], normal)),
        # exponent - normal without a carry chain: a bit turns where all below it are zero.
        shift.eq(Cat((exponent[k] ^ ~exponent[:k].any()) & normal for k in range(5))),
    ]
    return word[15], significand, shift


def fixed(m: Module, word: Value) -> Value:
    """Two's complement value of a finite word in units of 2^-24, ``signed(42)``, combinational, added to ``m``."""
    sign, significand, shift = fields_of(m, word)
    magnitude = Signal(40, name="magnitude")
    value = Signal(signed(42), name="fixed")
    m.d.comb += [
        magnitude.eq(significand << shift),
        value.eq(Mux(sign, -magnitude, magnitude)),
    ]
    return value
