"""Exact terms on one short fixed-point grid, so that what is rounded to binary16 is never wider than it must be.

Two facts make a wide exact sum short without changing its rounding or its overflow flag:

- *Rounding to odd.* Every binary16 number is a multiple of 2^-24 and every tie a multiple of 2^-25. A term cut to
  multiples of 2^-26, its last bit set if anything was lost, lies on the same side of every tie as the exact term, and
  still does after multiples of 2^-24 are added to it.
- *Saturation.* With a term of 2^17 or more, adding or subtracting one binary16 number leaves more than 65520, which
  saturates. Such a term may be replaced by any other of its sign and at least 2^17.

Rounding is symmetric, so a sum of signed magnitudes is formed with one sign taken out, `added` in a single carry chain
per term, and `signed_word` puts the sign back after the rounding.
"""

from amaranth.hdl import Cat, Const, Module, Value

from ..numeric.binary16 import fields_of
from ..numeric.selection import gathered
from .pipeline import Timed, Timeline

__all__ = ["GRID", "HEADROOM", "PLACING", "added", "narrowed", "narrowed_bits", "placed", "placed_word", "signed_word"]

GRID = 26
"""Terms cut to odd keep multiples of 2^-GRID."""

HEADROOM = 18
"""`narrowed` values lie in -2^HEADROOM to 2^HEADROOM, so that they saturate whatever binary16 number is added."""

PLACING = 1
"""Cycles `placed` and `placed_word` take."""

_FINE = 3  # low bits of a shift amount, done before the registers


def narrowed_bits(*, fraction: int) -> int:
    """Bits of `narrowed` of a value whose least bit weighs 2^-fraction."""
    return 1 + HEADROOM + min(fraction, GRID)


def narrowed(value: Value, *, fraction: int) -> Value:
    """Cuts a two's complement value to odd at 2^-26 and to ±2^18, combinational.

    The result is signed, its least bit weighs 2^-min(fraction, 26), and its sum with any binary16 number rounds to the
    same word with the same overflow as the exact one.
    """
    kept = _odd(value, max(0, fraction - GRID))
    bits = narrowed_bits(fraction=fraction)
    if len(kept) <= bits:
        return kept.as_signed()
    sign = kept[-1]
    # A sign and a complement of it make 2^17 or more, whatever the bits below are, so those need no multiplexer.
    beyond = kept[bits - 2 :] != sign.replicate(len(kept) - bits + 2)
    return Cat(kept[: bits - 2], sign ^ beyond, sign).as_signed()


def placed(
    line: Timeline, *, significand: Timed, amount: Timed, negative: Timed, greatest: int, drop: int, name: str
) -> Timed:
    """``significand · 2^amount`` cut to odd at 2^drop, in units of 2^drop; all bits inverted where ``negative``.

    Parameters
    ----------
    significand, amount : Timed
        Unsigned, both of the same cycle.
    negative : Timed
        Of that cycle or the next: the term will be subtracted by `added`.
    greatest : int
        ``amount`` never exceeds it.
    drop : int
        Bits to cut, 0 for none.

    Returns
    -------
    Timed
        ``PLACING`` cycles after the significand, as wide as the greatest term; one LUT behind registers, so that an
        addition may follow in the same cycle.
    """
    cycle = significand.cycle
    # Small shifts first, while the word is short; large ones by the register that keeps the word, one every `step`
    # bits, and one OR per bit, which has room for the sign where no more than three of them meet.
    fine = _FINE if len(significand.value) <= 1 << _FINE + 1 else _FINE + 1
    step = 1 << fine
    short = (significand.value << amount.value[:fine])[: len(significand.value) + min(step - 1, greatest)]
    short = line.express(cycle, short, f"{name}_fine").value
    places = (greatest >> fine) + 1
    parts = line.spread(cycle, [short] * places, place=amount.value[fine:], name=f"{name}_place")
    invert = line.at(negative, cycle + PLACING)
    width = len(significand.value) + greatest
    magnitude = gathered(parts, step=step, width=width, invert=invert)[drop:]
    if drop:
        lost = Cat(part[: max(0, drop + 1 - step * place)] for place, part in enumerate(parts)).any()
        magnitude = Cat(lost ^ invert, magnitude[1:])
    return line.express(cycle + PLACING, magnitude, f"{name}_placed")


def placed_word(
    line: Timeline, m: Module, word: Timed, *, negative: Timed | None = None, name: str, cycle: int | None = None
) -> Timed:
    """Magnitude of a finite binary16 word in units of 2^-24, 40 bits, all inverted where ``negative``.

    ``PLACING`` cycles after the word, or after a later ``cycle``: then it has been unpacked before, which leaves less
    to do.
    """
    before = cycle = word.cycle if cycle is None else cycle
    if cycle > word.cycle:
        before = cycle - 1
    _, significand, shift = fields_of(m, line.at(word, before))
    return placed(
        line,
        significand=Timed(line.at(Timed(significand, before), cycle), cycle),
        amount=Timed(line.at(Timed(shift, before), cycle), cycle),
        negative=negative or Timed(Const(0, 1), cycle + PLACING),
        greatest=29,
        drop=0,
        name=name,
    )


def _odd(value: Value, drop: int) -> Value:
    return Cat(value[drop] | value[:drop].any(), value[drop + 1 :]) if drop else value


def added(total: Value, term: Value, *, negative: Value, bits: int) -> Value:
    """``total ± term`` as ``signed(bits)`` in one carry chain: the inverted term's missing 1 enters as the carry.

    ``total`` may be signed or not; ``term`` is a magnitude that `placed` has inverted where ``negative``.
    """
    extended = Cat(term, negative.replicate(max(0, bits - len(term))))[:bits]
    top = total[-1] if total.shape().signed else Const(0, 1)
    held = Cat(total, top.replicate(max(0, bits - len(total))))[:bits]
    return (Cat(Const(1, 1), held) + Cat(negative, extended))[1 : bits + 1].as_signed()


def signed_word(word: Value, negative: Value) -> Value:
    """A rounded word with its sign turned where ``negative``; zero stays +0."""
    return Cat(word[:15], (word[15] ^ negative) & word[:15].any())
