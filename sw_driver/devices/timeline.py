"""The chip's timeline: which engine was at work from which cycle on."""

import numpy as np

from ...hw.contract.program import TIMELINE_PARTS, TIMELINE_ROWS, Space
from ..link.bus import Bus

_CYCLE_BITS = 24


def read_rows(bus: Bus) -> np.ndarray:
    """The rows of the ring as the chip keeps them, int64 (see `hw.engine.timeline.Timeline`)."""
    halves = bus.read(Space.TIMELINE, 0, 2 * TIMELINE_ROWS).astype(np.int64)
    return halves[0::2] | halves[1::2] << 16


def changes_of(rows: np.ndarray, *, before: np.ndarray | None = None) -> list[tuple[int, frozenset[str]]]:
    """(cycle, engines at work from then on) of the last changes, oldest first; cycles count from the oldest.

    Rows that the ring `before` held already are left out.
    """
    written, laps = rows >> 31 & 1, rows >> 30 & 1
    other = np.flatnonzero((laps != laps[0]) | (written == 0))
    oldest = int(other[0]) if len(other) else 0
    ordered = np.roll(rows, -oldest)
    ordered = ordered[(ordered >> 31 & 1) == 1]
    if before is not None:
        ordered = ordered[~np.isin(ordered, before)]
    cycles = ordered & (1 << _CYCLE_BITS) - 1
    since = np.concatenate([[0], np.cumsum(np.diff(cycles) % (1 << _CYCLE_BITS))]) if len(cycles) else cycles
    return [(int(cycle), frozenset(name for bit, name in enumerate(TIMELINE_PARTS) if row >> _CYCLE_BITS + bit & 1))
            for cycle, row in zip(since, ordered, strict=True)]
