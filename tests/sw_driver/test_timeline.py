"""The chip's ring of changes, as rows of 32 bits, to a list in order."""

import numpy as np

from autapse.hw.contract.program import TIMELINE_PARTS, TIMELINE_ROWS
from autapse.sw_driver.devices.timeline import changes_of


def row(cycle: int, *working: str, lap: int) -> int:
    levels = sum(1 << TIMELINE_PARTS.index(name) for name in working)
    return cycle % (1 << 24) | levels << 24 | lap << 30 | 1 << 31


def ring(rows: list[int]) -> np.ndarray:
    return np.array(rows + [0] * (TIMELINE_ROWS - len(rows)), np.int64)


def test_nothing_was_written():
    assert changes_of(ring([])) == []


def test_cycles_count_from_the_oldest_change():
    rows = [row(7, "forward", lap=1), row(90, "forward", "backward", lap=1), row(95, lap=1)]
    assert changes_of(ring(rows)) == [(0, {"forward"}), (83, {"forward", "backward"}), (88, set())]


def test_the_oldest_row_comes_first_and_the_counter_may_turn_over():
    last = (1 << 24) - 3
    rows = [row(last + k, *(("loss",) if k % 2 else ("update",)), lap=int(k < TIMELINE_ROWS))
            for k in range(TIMELINE_ROWS + 5)]
    kept = rows[TIMELINE_ROWS:] + rows[5:TIMELINE_ROWS]
    found = changes_of(np.array(kept, np.int64))
    assert len(found) == TIMELINE_ROWS
    assert [cycle for cycle, _ in found] == list(range(TIMELINE_ROWS))
    assert found[0][1] == {"loss"} and found[-1][1] == {"update"}


def test_a_ring_just_full_starts_at_its_first_row():
    rows = [row(3 * k, "gradient", lap=1) for k in range(TIMELINE_ROWS)]
    assert changes_of(np.array(rows, np.int64))[1] == (3, {"gradient"})


def test_what_was_there_before_is_left_out():
    old = [row(3, "forward", lap=1), row(9, lap=1)]
    new = [row(40, "forward", lap=1), row(44, "loss", lap=1)]
    assert changes_of(ring(old + new), before=ring(old)) == [(0, {"forward"}), (4, {"loss"})]
