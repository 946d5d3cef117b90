"""Synapse memory as the chip lays it out: skewed, so that rows and columns come at full width."""

import numpy as np


def _banks(rows: int, row_step: int, groups: int, lanes: int) -> np.ndarray:
    """Word offset of synapse (i, j) for all i < rows and j < groups * lanes."""
    source = np.arange(rows)[:, None]
    target = np.arange(groups * lanes)[None, :]
    row = (target // lanes) * row_step + source
    return row * lanes + (source + target) % lanes


def pack_layer(weight: np.ndarray, bias: np.ndarray | None, *, row_step: int, groups: int, lanes: int) -> np.ndarray:
    """uint16 words of one layer's weights (or remainders, or momenta), the bias as one more input.

    `weight` is float16 (inputs, outputs); lanes and rows beyond the layer are zero.
    """
    words = np.zeros(groups * row_step * lanes, np.uint16)
    table = weight if bias is None else np.vstack([weight, bias[None]])
    padded = np.zeros((len(table), groups * lanes), np.uint16)
    padded[:, :weight.shape[1]] = np.ascontiguousarray(table).view(np.uint16)
    words[_banks(len(table), row_step, groups, lanes)] = padded
    return words


def unpack_layer(words: np.ndarray, *, inputs: int, outputs: int, bias: bool, row_step: int, groups: int,
                 lanes: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The inverse of `pack_layer`: float16 (inputs, outputs) and (outputs,) or None."""
    table = words[_banks(inputs + bias, row_step, groups, lanes)][:, :outputs]
    table = np.ascontiguousarray(table).view(np.float16)
    return table[:inputs].copy(), table[inputs].copy() if bias else None
