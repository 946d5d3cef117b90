"""Traces of a sample, read back from a chip's memories: u, s, m and d of every layer, step and neuron."""

import numpy as np

from ...hw.contract.chip import ChipConfig
from ...hw.contract.geometry import geometry
from ...hw.contract.program import Space
from ..compile.layout import Layout
from ..link.bus import Bus
from ..network import Network


def slot_base(config: ChipConfig, space: Space, slot: int) -> int:
    """First row of a slot in a memory that holds one sample per slot."""
    return slot * geometry(config)[space][1] // config.slots


def _bits(bus: Bus, space: Space, base: int, *, groups: int, steps: int, lanes: int, count: int) -> np.ndarray:
    """uint8 (steps, count) of bitmap rows laid out (group, step)."""
    wide = 2 if lanes > 16 else 1
    words = bus.read(space, base * wide, groups * steps * wide).astype(np.uint32)
    if wide == 2:
        words = words[0::2] | words[1::2] << 16
    bits = (words.reshape(groups, steps, 1) >> np.arange(lanes, dtype=np.uint32)) & 1
    return np.ascontiguousarray(bits.swapaxes(0, 1).reshape(steps, groups * lanes)[:, :count]).astype(np.uint8)


def _words(words: np.ndarray, *, rows: int, steps: int, width: int, count: int) -> np.ndarray:
    """float16 (steps, count) of rows of binary16 laid out (row, step)."""
    table = words.reshape(rows, steps, width).swapaxes(0, 1).reshape(steps, rows * width)[:, :count]
    return np.ascontiguousarray(table).view(np.float16)


def read_sample(bus: Bus, network: Network, layout: Layout, config: ChipConfig, *, slot: int) -> list[dict]:
    """u, s and m of the sample in a slot; u is None where the run keeps no membranes."""
    traces, steps, units = [], network.steps, config.units
    spikes, masks = (slot_base(config, space, slot) for space in (Space.SPIKES, Space.MASKS))
    for layer, place in zip(network.layers, layout.layers, strict=True):
        shape = {"groups": place.groups, "steps": steps, "lanes": config.lanes, "count": layer.outputs}
        trace: dict = {"u": None, "s": _bits(bus, Space.SPIKES, spikes + place.spikes_out, **shape),
                       "m": _bits(bus, Space.MASKS, masks + place.masks, **shape), "d": None}
        if place.keep_membrane:
            membranes = slot_base(config, Space.MEMBRANES, slot) + place.membranes
            words = bus.read(Space.MEMBRANES, membranes * units, place.beats * steps * units)
            trace["u"] = _words(words, rows=place.beats, steps=steps, width=units, count=layer.outputs)
        traces.append(trace)
    return traces


def read_errors(bus: Bus, network: Network, layout: Layout, config: ChipConfig, traces: list[dict], *,
                first: int) -> None:
    """Adds d of the sample whose steps start at `first` in its batch."""
    lanes, steps = config.lanes, network.steps
    for layer, place, trace in zip(network.layers, layout.layers, traces, strict=True):
        handles = [bus.queue_read(Space.ERRORS, (place.errors + group * layout.batch_steps + first) * lanes,
                                  steps * lanes) for group in range(place.groups)]
        words = np.concatenate([handle.result() for handle in handles])
        trace["d"] = _words(words, rows=place.groups, steps=steps, width=lanes, count=layer.outputs)
