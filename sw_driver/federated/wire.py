"""What travels: trained words as vectors, whole, as differences, or as the largest differences alone."""

import math
import zlib

import numpy as np

from ..errors import AutapseError, SpecError
from ..network import LayerState, Network

PARTS = ("weight", "remainder", "momentum")


class Refused(AutapseError):
    """An answer that is not taken; the message says what is wrong with it."""


def parse_compression(text: str) -> tuple[str, float]:
    """("none", 1.0), ("difference", 1.0), or ("topk", share)."""
    kind, _, rest = str(text).partition(":")
    if kind in ("none", "difference") and not rest:
        return kind, 1.0
    if kind == "topk":
        try:
            share = float(rest)
        except ValueError:
            share = -1.0
        if 0 < share <= 1:
            return kind, share
        raise SpecError(f"the share of {text!r} must be more than 0 and at most 1, such as topk:0.05")
    raise SpecError(f"there is no compression {text!r}; known are none, difference and topk:SHARE")


def pack(state: list[LayerState], part: str) -> np.ndarray:
    """Every `part` (one of PARTS) of a state as one float16 vector, layer by layer, bias last."""
    pieces = []
    for layer in state:
        bias = {"weight": layer.bias, "remainder": layer.bias_remainder, "momentum": layer.bias_momentum}[part]
        pieces += [getattr(layer, part).ravel()] + ([] if bias is None else [bias])
    return np.concatenate(pieces)


def unpack(network: Network, weight: np.ndarray, remainder: np.ndarray | None = None,
           momentum: np.ndarray | None = None) -> list[LayerState]:
    """The state whose `pack` gives these vectors (synapses,); None is zeros."""
    vectors = [np.zeros(network.synapses, np.float16) if vector is None else vector
               for vector in (weight, remainder, momentum)]
    state, place = [], 0
    for layer in network.layers:
        end = place + math.prod(layer.weight_shape)
        stop = end + math.prod(layer.bias_shape) * layer.bias
        arrays = {}
        for part, vector in zip(PARTS, vectors, strict=True):
            arrays[part] = vector[place:end].reshape(layer.weight_shape).copy()
            if layer.bias:
                arrays["bias" if part == "weight" else f"bias_{part}"] = vector[end:stop].copy()
        state.append(LayerState.from_arrays(arrays))
        place = stop
    return state


def rounded(change: np.ndarray) -> np.ndarray:
    """A change as binary16, rounded once; beyond ±65504 saturates."""
    return np.clip(change, -65504.0, 65504.0).astype(np.float16) + np.float16(0)


def largest(change: np.ndarray, share: float) -> np.ndarray:
    """`change` (float16) with all but its largest ⌈share·size⌉ entries zero; of equals the earlier is kept."""
    count = max(1, int(np.ceil(share * change.size)))
    kept = np.argsort(-np.abs(change.astype(np.float32)), kind="stable")[:count]
    result = np.zeros_like(change)
    result[kept] = change[kept]
    return result


def encode_change(change: np.ndarray) -> bytes:
    """The non-zero entries of a float16 vector as bytes.

    Deflated: how many, the gaps before them (a byte each; 255 stands for 255 more zeros), the upper bytes of the
    values, the lower ones.
    """
    places = np.flatnonzero(change)
    gaps = np.diff(places, prepend=-1) - 1
    long = gaps // 255
    total = len(places) + int(long.sum())
    stream = np.full(total, 255, np.uint8)
    stream[np.arange(len(places)) + np.cumsum(long)] = gaps % 255
    words = change[places].astype("<f2").view(np.uint8).reshape(-1, 2)
    raw = np.array([len(places)], "<u4").tobytes() + stream.tobytes() + words[:, 1].tobytes() + words[:, 0].tobytes()
    return zlib.compress(raw, 9)


def decode_change(blob: bytes, size: int) -> np.ndarray:
    """The float16 vector (size,) that `encode_change` made bytes of.

    Raises
    ------
    Refused
        If the bytes are damaged, or name more entries than there are.
    """
    try:
        inflate = zlib.decompressobj()
        # No more than this can be honest: a byte and a word per entry, escapes, the count.
        raw = inflate.decompress(blob, 4 * size + 4096)
        if not inflate.eof or len(raw) < 4:
            raise ValueError("it is cut short or too long")
        count = int(np.frombuffer(raw, "<u4", 1)[0])
        total = len(raw) - 4 - 2 * count
        if total < count:
            raise ValueError("it names more entries than it holds")
        stream = np.frombuffer(raw, np.uint8, total, 4)
        steps = stream.astype(np.int64)
        ends = np.flatnonzero(stream < 255)
        if len(ends) != count or (total and stream[-1] == 255):
            raise ValueError("its gaps do not match its entries")
        steps[ends] += 1
        places = np.cumsum(steps)[ends] - 1
        if count and places[-1] >= size:
            raise ValueError(f"it names entry {places[-1]} of {size}")
        words = np.frombuffer(raw, np.uint8, 2 * count, 4 + total).reshape(2, count)
        result = np.zeros(size, np.float16)
        result[places] = np.stack([words[1], words[0]], axis=1).reshape(-1).view("<f2")
        return result
    except (zlib.error, ValueError) as error:
        raise Refused(f"damaged change ({error})") from None
