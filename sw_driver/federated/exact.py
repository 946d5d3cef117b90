"""Sums and means of trained words: exact, rounded once, the same whatever the order.

A weight and its remainder stand for x = W + 2^-10·R, a multiple of 2^-34 (the rules of arithmetic, version 1).
"""

from collections.abc import Sequence

import numpy as np

from ..half import LARGEST

_UNIT = 2.0**34  # units of x in one
MOST_SAMPLES = 1 << 24  # of one worker


def split(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """W = rnd(x) and R = rnd(2^10·(x - W)), float16, of float64 `x`; beyond ±65504 saturates, zeros are +0."""
    weight = np.clip(x, -LARGEST, LARGEST).astype(np.float16) + np.float16(0)
    rest = np.clip(1024.0 * (x - weight.astype(np.float64)), -LARGEST, LARGEST)
    return weight, rest.astype(np.float16) + np.float16(0)


def join(weight: np.ndarray, remainder: np.ndarray | None) -> np.ndarray:
    """x = W + 2^-10·R as float64, exactly; R is 0 where it is None."""
    x = weight.astype(np.float64)
    return x if remainder is None else x + remainder.astype(np.float64) / 1024.0


def weighted_mean(values: Sequence[np.ndarray], samples: Sequence[int]) -> np.ndarray:
    """Σ n·x / Σ n as float64, so that `split` of it is the exact mean rounded once.

    The sum is taken in whole numbers of 2^-34. The quotient is rounded to odd at 2^-36: with two bits below the last
    one that W or R can hold, of which the lowest says whether anything follows, the next rounding is as of the exact.

    Parameters
    ----------
    values
        float64 arrays of one shape, multiples of 2^-34 within ±2^17, in any order.
    samples
        Of each, from 1 to 2^24.
    """
    total = sum(samples)
    largest = max((float(np.abs(x).max()) for x in values if x.size), default=0.0)
    # Whole numbers of any length where 64 bits would not do; weights of a trained network are far below that.
    kind = np.int64 if 4 * largest * _UNIT * total < 2.0**62 else object
    number = np.zeros(values[0].shape, kind)
    for x, count in zip(values, samples, strict=True):
        number = number + (x * _UNIT).astype(np.int64).astype(kind) * count
    quotient, rest = (4 * number) // total, (4 * number) % total
    return (quotient | (rest != 0)).astype(np.float64) / (4.0 * _UNIT)
