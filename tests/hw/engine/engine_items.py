"""Random descriptors of layers, the ways they reach a machine, and items of the schedule, for the benches."""

import random

from amaranth.lib import data

from autapse.hw.contract.program import LAYER_FIELDS, offsets, pack, words_of
from autapse.hw.engine.schedule import Item
from engine_cycles import Memory, Ports, edge, run

__all__ = ["Layers", "item", "load_layers", "random_layer", "random_layers"]


def random_layer(rng: random.Random, view: data.StructLayout, **fields: int) -> dict[str, int]:
    """The fields of a view at random, as wide as the chip holds them, but for those that `fields` gives."""
    layer = {}
    for name, field in view:
        value = rng.getrandbits(field.width)
        layer[name] = value - (value >> field.width - 1 << field.width) if field.shape.signed else value
    return layer | {name: value for name, value in fields.items() if name in layer}


def random_layers(rng: random.Random, view: data.StructLayout, count: int, **ranges: range) -> list[dict[str, int]]:
    """So many random layers, each field of `ranges` within its range."""
    return [random_layer(rng, view, **{name: rng.choice(values) for name, values in ranges.items()})
            for _ in range(count)]


class Layers(Memory):
    """Answers a machine's LayerPort `port` from descriptors; with random bits where there is no such layer."""

    def __init__(self, ports: Ports, port: str, view: data.StructLayout, layers, *, rng: random.Random):
        rows = [view.const({name: layer[name] for name, _ in view}).as_bits() for layer in layers]
        super().__init__(ports, f"{port}__", rows, width=view.size, rng=rng, address="index", data_port="fields")


class _Writes:
    """One word of a descriptor per cycle on a LayerWrite."""

    def __init__(self, ports: Ports, port: str, words):
        self._ports, self._port, self.words = ports, port, list(words)

    def drive(self, cycle: int):
        self._ports.put(f"{self._port}__enable", bool(self.words))
        if self.words:
            for name, value in zip(("layer", "word", "data"), self.words.pop(0), strict=True):
                self._ports.put(f"{self._port}__{name}", value)

    def observe(self, cycle: int):
        """Nothing answers."""


async def load_layers(dut, ports: Ports, port: str, layers: list[dict[str, int]]):
    """Writes the given fields of every layer through a LayerWrite `port`, as the bus does before a run."""
    at, bits = offsets(LAYER_FIELDS), {name: width for name, width, _ in LAYER_FIELDS}
    words = []
    for index, layer in enumerate(layers):
        packed = pack(LAYER_FIELDS, layer)
        words += [(index, at[name] + k, packed[at[name] + k]) for name in layer for k in range(words_of(bits[name]))]
    writes = _Writes(ports, port, words)
    # The last cycle takes the enable away again.
    left = [len(words) + 1]

    def done():
        left[0] -= 1
        return not left[0]

    await run(dut, [writes], until=done, limit=len(words) + 2)
    await edge(dut)


def item(layer: int, *, step: int = 0, active: int = 1, last: int = 0, final: int = 0, start: int = 0, first: int = 0,
         end: int = 0):
    """One item as the schedule would send it; `layer` is the layer's index."""
    return Item.const({"active": active, "step": step, "start": start, "end": end, "first": first, "last": last,
                       "final": final, "layer": layer})
