"""Numbers that look random and are the same on every machine, built on the raw words of PCG64.

NumPy promises the raw words of a bit generator for ever, and not what its distributions make of them.
"""

import numpy as np


def _words(count: int, *key: int) -> np.ndarray:
    return np.random.PCG64(np.random.SeedSequence(list(key))).random_raw(count)


def uniform(shape: tuple[int, ...], *key: int) -> np.ndarray:
    """float64 multiples of 2^-24 from -1 to 1 - 2^-23, decided by the whole numbers in `key` alone."""
    words = _words(int(np.prod(shape)), *key) >> np.uint64(39)
    return (words.astype(np.float64) * 2.0**-24 - 1.0).reshape(shape)


def permutation(count: int, *key: int) -> np.ndarray:
    """An order of range(count) (int64), decided by the whole numbers in `key` alone."""
    return np.argsort(_words(count, *key), kind="stable")
