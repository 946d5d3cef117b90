"""Deterministic encoders: from intensities or signals to spikes. The same input gives the same spikes, always.

An intensity is a whole number `value` of `full`, so p = value / full is exact and no rounding decides a spike.
"""

import numpy as np

from .errors import DataError
from .half import whole

SPREAD = "spread"
_TURN = 1 << 32
_GOLDEN = 0x9E3779B1  # 2^32 / golden ratio, nearest odd: neighbouring inputs get phases far apart


def quantise(values: np.ndarray, *, levels: int = 1 << 16) -> tuple[np.ndarray, int]:
    """Floats from 0 to 1 as (int32 whole numbers, levels); NaN and numbers outside are a DataError."""
    values = np.asarray(values, np.float64)
    if values.size and not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise DataError("intensities must be numbers from 0 to 1; rescale the data set")
    return np.rint(values * levels).astype(np.int32), levels


def _phases(phase, inputs: int, full: int) -> np.ndarray:
    if isinstance(phase, str) and phase == SPREAD:
        fractions = (np.arange(inputs, dtype=np.uint64) * np.uint64(_GOLDEN)) & np.uint64(0xFFFFFFFF)
        return (fractions * np.uint64(full) >> np.uint64(32)).astype(np.int64)
    if isinstance(phase, bool) or not isinstance(phase, (int, float)) or not 0 <= phase < 1:
        raise DataError(f"the phase of the rate encoder must be from 0 to below 1 or 'spread', not {phase!r}")
    return np.full(inputs, int(phase * full), np.int64)


def rate(values: np.ndarray, *, full: int, steps: int, phase: float | str = 0.0) -> np.ndarray:
    """Evenly spaced spikes: a spike at t iff floor((t+1)·p + φ) > floor(t·p + φ).

    `values` (N, n) whole numbers from 0 to `full` give uint8 (N, steps, n). `phase` φ is one number from 0 to
    below 1, rounded down to a multiple of 1/full, or "spread" for another one per input, so that equal
    intensities do not spike in step.
    """
    values = np.asarray(values, np.int64)
    shift = _phases(phase, values.shape[1], full)
    counts = (np.arange(steps + 1)[None, :, None] * values[:, None, :] + shift) // full
    return (np.diff(counts, axis=1) > 0).astype(np.uint8)


def latency(values: np.ndarray, *, full: int, steps: int) -> np.ndarray:
    """One spike per input, earlier for more: at t = floor((1 - p)·steps); none for p = 0. As `rate` otherwise."""
    values = np.asarray(values, np.int64)
    when = np.where(values > 0, (full - values) * steps // full, steps)
    return (np.arange(steps)[None, :, None] == when[:, None, :]).astype(np.uint8)


def threshold(values: np.ndarray, *, full: int, steps: int, level: float = 0.5) -> np.ndarray:
    """A spike in every step where p >= level, none elsewhere. As `rate` otherwise."""
    on = np.asarray(values, np.int64) >= level * full
    return np.repeat(on[:, None, :], steps, axis=1).astype(np.uint8)


def planes(values: np.ndarray, *, full: int, steps: int) -> np.ndarray:
    """One slice of brightness per step: a spike at t iff p > (t + 1/2) / steps. As `rate` otherwise."""
    levels = full * (2 * np.arange(steps, dtype=np.int64) + 1)
    return (2 * steps * np.asarray(values, np.int64)[:, None, :] > levels[None, :, None]).astype(np.uint8)


def planes_spread(values: np.ndarray, *, full: int, steps: int) -> np.ndarray:
    """As `planes`, with thresholds of its own for each input: a spike at t iff p > (φ_i + t/steps) mod 1.

    φ_i is the phase of `rate` with "spread". Every step is then a halftone of the whole picture, not one of its slices.
    """
    values = np.asarray(values, np.int64)
    phases = (np.arange(values.shape[1], dtype=np.int64) * _GOLDEN) % _TURN
    turned = (phases + (np.arange(steps, dtype=np.int64) * _TURN // steps)[:, None]) % _TURN
    least = turned * full // _TURN  # value > full·x iff value > floor(full·x)
    return (values[:, None, :] > least).astype(np.uint8)


def delta(signal: np.ndarray, *, change: float) -> np.ndarray:
    """Changes of a signal (N, T, n), as an event camera sees them: uint8 (N, T, 2n), rises first, then falls.

    Each input remembers a level, at first its value at t = 0. Where the signal is at least `change` above it, a
    rise spikes and the level moves up by `change`; the same downwards. At most one spike per input and step.
    """
    signal = np.asarray(signal, np.float64)
    if signal.ndim != 3 or not np.isfinite(signal).all() or not change > 0:
        raise DataError("delta takes finite signals of shape (samples, steps, inputs) and a change above 0")
    level = signal[:, 0].copy()
    up = np.zeros(signal.shape, np.uint8)
    down = np.zeros(signal.shape, np.uint8)
    for t in range(1, signal.shape[1]):
        up[:, t] = signal[:, t] >= level + change
        down[:, t] = signal[:, t] <= level - change
        level += change * (up[:, t].astype(np.float64) - down[:, t])
    return np.concatenate([up, down], axis=2)


ENCODERS = {
    "rate": rate,
    "rate-spread": lambda values, *, full, steps: rate(values, full=full, steps=steps, phase=SPREAD),
    "latency": latency,
    "threshold": threshold,
    "planes": planes,
    "planes-spread": planes_spread,
}


def encode(name: str, values: np.ndarray, *, full: int, steps: int) -> np.ndarray:
    """`values` (N, n) through the encoder called `name`: uint8 (N, steps, n).

    Raises
    ------
    DataError
        If there is no such encoder, or a value is outside 0 to `full`.
    """
    if name not in ENCODERS:
        raise DataError(f"there is no encoder {name!r}; known are {', '.join(ENCODERS)}")
    values = np.asarray(values)
    if values.ndim != 2 or (values.size and (values.min() < 0 or values.max() > full)):
        raise DataError(f"an encoder takes whole numbers from 0 to {full} of shape (samples, inputs)")
    return ENCODERS[name](values, full=full, steps=whole(steps, "steps", least=1))
