"""The door of the chip: turns numbers into finite binary16, or refuses them."""

import math

import numpy as np

from .errors import SpecError

LARGEST = 65504.0
SMALLEST = 2.0**-24


def half(values, what: str) -> np.ndarray:
    """Nearest binary16 of `values` (ties to even), as a fresh C-contiguous float16 array of the same shape.

    Zeros lose their sign, so that words can be compared as bits.

    Raises
    ------
    SpecError
        If a value is not a number, not finite, or rounds beyond 65504; the message starts with `what`.
    """
    try:
        wide = np.asarray(values)
        if wide.dtype == bool or wide.dtype.kind not in "fiu":
            raise TypeError
        wide = wide.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        raise SpecError(f"{what} must be numbers, not {values!r:.60}") from None
    if not np.isfinite(wide).all():
        bad = wide[~np.isfinite(wide)].flat[0]
        raise SpecError(f"{what} must be finite, not {bad}; the chip has no NaN and no infinity")
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float16)
    if not np.isfinite(narrow).all():
        bad = wide[~np.isfinite(narrow)].flat[0]
        raise SpecError(f"{what} must be within ±65504, not {bad:g}; scale it down")
    return np.ascontiguousarray(narrow + np.float16(0)).reshape(wide.shape)


def half_scalar(value, what: str) -> float:
    """`half` of one number, as a Python float that is exactly a binary16 number."""
    result = half(value, what)
    if result.shape != ():
        raise SpecError(f"{what} must be one number, not an array of shape {result.shape}")
    return float(result)


def log2_exact(value, what: str, *, least: int, most: int) -> int:
    """The exponent of a power of two from 2^least to 2^most, or a SpecError naming `what`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise SpecError(f"{what} must be a power of two, not {value!r}")
    mantissa, exponent = math.frexp(value)
    if mantissa != 0.5 or not least <= exponent - 1 <= most:
        raise SpecError(f"{what} must be a power of two from 2^{least} to 2^{most}, not {value!r}")
    return exponent - 1


def whole(value, what: str, *, least: int, most: int | None = None) -> int:
    """A whole number from `least` to `most`, or a SpecError naming `what`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise SpecError(f"{what} must be a whole number, not {value!r}")
    if value < least or (most is not None and value > most):
        bound = f"at least {least}" if most is None else f"from {least} to {most}"
        raise SpecError(f"{what} must be {bound}, not {value}")
    return int(value)


def flag(value, what: str) -> bool:
    """True or False, or a SpecError naming `what`."""
    if not isinstance(value, (bool, np.bool_)):
        raise SpecError(f"{what} must be True or False, not {value!r}")
    return bool(value)
