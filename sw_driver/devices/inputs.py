"""A sample's inputs as they go over the line: a step's bits in rows, rows in words, long silence filled, not sent."""

import numpy as np

from ...hw.contract.packet import HEADER_WORDS, MAX_WRITE_WORDS, Opcode

__all__ = ["input_rows", "line_words", "stretches"]

_WRITE, _FILL = HEADER_WORDS[Opcode.WRITE], HEADER_WORDS[Opcode.FILL]


def input_rows(spikes: np.ndarray, lanes: int) -> np.ndarray:
    """Bus words of the input rows, uint16 (N, words), of spikes (N, T, inputs): by groups of `lanes` inputs, a row per
    step."""
    samples, steps, inputs = spikes.shape
    groups = -(-inputs // lanes)
    padded = np.zeros((samples, steps, groups * lanes), np.uint8)
    padded[:, :, :inputs] = spikes
    bits = padded.reshape(samples, steps, groups, lanes).swapaxes(1, 2)
    weights = 1 << np.arange(lanes, dtype=np.uint32)
    rows = (bits * weights).sum(-1, dtype=np.uint32)
    if lanes > 16:
        rows = np.stack([rows & 0xFFFF, rows >> 16], axis=-1)
    return rows.astype(np.uint16).reshape(samples, -1)


def stretches(rows: np.ndarray, *, per_word: int = 1) -> list[tuple[int, int]]:
    """[first, last) of the parts of `rows` to send over zeros, `per_word` of them in a word on the line; all of them
    in one where that is less."""
    busy = np.flatnonzero(rows)
    if not len(busy):
        return []
    cuts = np.flatnonzero(np.diff(busy) > _WRITE * per_word) + 1
    parts = [(int(part[0]), int(part[-1]) + 1) for part in np.split(busy, cuts)]
    whole = [(0, len(rows))]
    return parts if _written(parts, per_word) + _FILL < _written(whole, per_word) else whole


def line_words(rows: np.ndarray, *, per_word: int = 1) -> int:
    """Words of the packets that bring `rows`, their heads included."""
    parts = stretches(rows, per_word=per_word)
    return _written(parts, per_word) + (_FILL if parts != [(0, len(rows))] else 0)


def _written(parts: list[tuple[int, int]], per_word: int) -> int:
    words = [-(-(last - first) // per_word) for first, last in parts]
    return sum(count + _WRITE * -(-count // MAX_WRITE_WORDS) for count in words)
