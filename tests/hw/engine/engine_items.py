"""Random items of the schedule, and descriptors of layers, for the benches."""

import random

from autapse.hw.contract.program import LAYER_FIELDS, LAYER_ROW, pack
from autapse.hw.engine.schedule import Item

__all__ = ["descriptor", "item", "random_layer"]


def random_layer(rng: random.Random, **fields: int) -> dict[str, int]:
    """A descriptor with random bits wherever `fields` says nothing."""
    layer = {}
    for name, bits, signed in LAYER_FIELDS:
        value = rng.getrandbits(bits)
        layer[name] = value - (value >> bits - 1 << bits) if signed else value
    return layer | fields


def descriptor(layer: dict[str, int]) -> int:
    """The descriptor as the row that the schedule reads."""
    words = pack(LAYER_FIELDS, layer)
    return sum(word << 16 * k for k, word in enumerate(words[:LAYER_ROW]))


def item(layer: dict[str, int], *, step: int = 0, active: int = 1, last: int = 0, final: int = 0, start: int = 0,
         first: int = 0):
    """One item as the schedule would send it."""
    return Item.const({"active": active, "step": step, "start": start, "first": first, "last": last, "final": final,
                       "layer": layer})
