"""Binary16 arithmetic of version 1 on float64 tensors: exact sums, each rounded once.

Every value that a function here calls *a binary16 value* is a float64 that binary16 also holds: an
integer multiple of 2^-24 not beyond 65504 in magnitude. Float64 then holds a product of two exactly
(22 bits), and a sum of up to `EXACT_TERMS` of them exactly (40 + 13 bits).
"""

import torch

LARGEST = 65504.0
EXACT_TERMS = 2**13  # terms of greatest magnitude whose float64 sum is exact
QUANTUM_BITS = 24  # binary16 values are integers in units of 2^-24

_EXPONENT = 0x7FF << 52
_HALF_BITS = 20  # a binary16 value splits at 2^-4 into two parts of at most 20 bits
_HALF_MASK = 2**_HALF_BITS - 1


def to_nearest(x: torch.Tensor) -> torch.Tensor:
    """The float64 `x` rounded to 11 bits, ties to even, not finer than 2^-24, exponent unbounded.

    A zero comes out as +0. Adding 1.5 * 2^52 quanta makes the float64 adder itself round at the
    quantum; subtracting them again is exact. Raises nothing; `x` must be finite and below 2^900.
    """
    shift = (x.view(torch.int64) & _EXPONENT).view(torch.float64)
    shift.clamp_(min=2.0**-14).mul_(1.5 * 2.0**42)
    return (x + shift).sub_(shift)


def odd_sum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`a + b` in float64, rounded to odd, so that a later `to_nearest` rounds the exact sum.

    Knuth's two-sum gives the exact error; where there is one and the last bit of the sum is even,
    the sum moves one step towards the error (Boldo and Melquiond, "Emulation of FMA", 2008).
    """
    total = a + b
    virtual = total - a
    error = (a - (total - virtual)).add_(b - virtual)
    bits = total.view(torch.int64)
    # +1 or -1 in the last place, away from or towards zero as the signs of sum and error say.
    step = ((error.view(torch.int64) ^ bits) >> 62) | 1
    return (bits + step.mul_((error != 0) & (bits & 1 == 0))).view(torch.float64)


def split(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Binary16 values as a multiple of 2^-4 and a rest below 2^-4: at most 20 bits each."""
    high = (x * 16.0).trunc_().mul_(1.0 / 16.0)
    return high, x - high


def exact_dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The matrix product of binary16 values, exact but for a last rounding to odd (see `odd_sum`).

    `a` is [rows, terms], `b` is [terms, columns]. Where the magnitudes at hand allow it, `a` is
    halved and two float64 products are exact; otherwise both are split and there are four.
    """
    bits = _bits(a)
    quantum = 2.0 ** ((bits + 1) // 2 - QUANTUM_BITS)
    if (bits + 1) // 2 + _bits(b) + (a.shape[1] - 1).bit_length() <= 53:
        high = (a * (1.0 / quantum)).trunc_().mul_(quantum)
        return odd_sum(high @ b, (a - high) @ b)
    return _dot_of_parts(a, b)


def _bits(x: torch.Tensor) -> int:
    """Bits of the greatest magnitude, in units of 2^-24."""
    return int(float(x.abs().max()) * 2.0**QUANTUM_BITS).bit_length()


def _dot_of_parts(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`exact_dot` for any magnitudes and any number of terms.

    Each of the four products of the split parts is exact up to `EXACT_TERMS` terms; longer sums are
    taken in pieces. The pieces meet as integers in units of 2^-8, 2^-28 and 2^-48, so that carries
    make them two float64 that do not overlap.
    """
    high = middle = low = torch.zeros((), dtype=torch.int64, device=a.device)
    for a_part, b_part in zip(a.split(EXACT_TERMS, dim=1), b.split(EXACT_TERMS, dim=0), strict=True):
        (a_high, a_low), (b_high, b_low) = split(a_part), split(b_part)
        high = high + (a_high @ b_high).mul_(2.0**8).to(torch.int64)
        middle = middle + (a_high @ b_low).mul_(2.0**28).to(torch.int64)
        middle = middle + (a_low @ b_high).mul_(2.0**28).to(torch.int64)
        low = low + (a_low @ b_low).mul_(2.0**48).to(torch.int64)
    middle = middle + (low >> _HALF_BITS)
    high = high + (middle >> _HALF_BITS)
    rest = ((middle & _HALF_MASK) << _HALF_BITS) | (low & _HALF_MASK)
    # A `high` of more than 53 bits is inexact here, and saturates whatever follows.
    return odd_sum(high.to(torch.float64).mul_(2.0**-8), rest.to(torch.float64).mul_(2.0**-48))


def from_units(units: torch.Tensor) -> torch.Tensor:
    """int64 in units of 2^-24 as float64, rounded to odd where 53 bits do not hold it."""
    high = (units >> _HALF_BITS).to(torch.float64).mul_(2.0**-4)
    return odd_sum(high, (units & _HALF_MASK).to(torch.float64).mul_(2.0**-24))


class Rounder:
    """`rnd`: to nearest even binary16, saturating at 65504 with a sticky flag.

    A result overflows when rounding with an unbounded exponent would exceed 65504, that is from
    65520 on. Calling it returns a new tensor of binary16 values; a zero is +0.
    """

    def __init__(self, device: torch.device):
        self._on_cpu = device.type == "cpu"
        self._flag = torch.zeros((), dtype=torch.bool, device=device)
        self._raised = False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        result = to_nearest(x)
        least, greatest = torch.aminmax(result)
        if self._on_cpu:
            if float(greatest) > LARGEST or float(least) < -LARGEST:
                self._raised = True
                result.clamp_(-LARGEST, LARGEST)
            return result
        # Elsewhere a look at the flag would wait for the device: it stays there until asked for.
        self._flag |= (greatest > LARGEST) | (least < -LARGEST)
        return result.clamp_(-LARGEST, LARGEST)

    def raise_flag(self) -> None:
        """Says that a rounding done elsewhere went beyond 65504."""
        self._raised = True

    @property
    def overflow(self) -> bool:
        return self._raised or bool(self._flag)

    def clear(self) -> None:
        self._raised = False
        self._flag.zero_()
