"""Traces of a sample, read back from a core's memories: u, s, m and d of every cut, step and neuron.

Reads are queued, so that they share the way to the chip; a `Later` waits for its own and gives the array.
"""

from collections.abc import Callable

import numpy as np

from ...hw.contract.chip import ChipConfig
from ...hw.contract.geometry import geometry
from ...hw.contract.program import Space
from ..compile import CoreProgram
from ..link.bus import Bus

Later = Callable[[], np.ndarray]


def slot_base(config: ChipConfig, space: Space, slot: int) -> int:
    """First row of a slot in a memory that holds one sample per slot."""
    return slot * geometry(config)[space][1] // config.slots


def _bits(bus: Bus, space: Space, base: int, *, groups: int, steps: int, lanes: int, count: int) -> Later:
    """uint8 (steps, count) of bitmap rows laid out (group, step)."""
    wide = 2 if lanes > 16 else 1
    handle = bus.queue_read(space, base * wide, groups * steps * wide)

    def result() -> np.ndarray:
        words = handle.result().astype(np.uint32)
        if wide == 2:
            words = words[0::2] | words[1::2] << 16
        bits = (words.reshape(groups, steps, 1) >> np.arange(lanes, dtype=np.uint32)) & 1
        return np.ascontiguousarray(bits.swapaxes(0, 1).reshape(steps, groups * lanes)[:, :count]).astype(np.uint8)
    return result


def _words(words: np.ndarray, *, rows: int, steps: int, width: int, count: int) -> np.ndarray:
    """float16 (steps, count) of rows of binary16 laid out (row, step)."""
    table = words.reshape(rows, steps, width).swapaxes(0, 1).reshape(steps, rows * width)[:, :count]
    return np.ascontiguousarray(table).view(np.float16)


def queue_sample(bus: Bus, core: CoreProgram, config: ChipConfig, *, slot: int) -> dict[int, dict[str, Later]]:
    """By layer s, m and, where the run keeps membranes, u of the sample in a slot of the selected core."""
    traces: dict[int, dict[str, Later]] = {}
    steps, units = core.registers["steps"], config.units
    spikes, masks = (slot_base(config, space, slot) for space in (Space.SPIKES, Space.MASKS))
    for layer, place in core.places.items():
        count = core.cuts[layer].outputs
        shape = {"groups": place.groups, "steps": steps, "lanes": config.lanes, "count": count}
        traces[layer] = {"s": _bits(bus, Space.SPIKES, spikes + place.spikes_out, **shape),
                         "m": _bits(bus, Space.MASKS, masks + place.masks, **shape)}
        if place.keep_membrane:
            membranes = slot_base(config, Space.MEMBRANES, slot) + place.membranes
            handle = bus.queue_read(Space.MEMBRANES, membranes * units, place.beats * steps * units)
            traces[layer]["u"] = lambda handle=handle, rows=place.beats, count=count: _words(
                handle.result(), rows=rows, steps=steps, width=units, count=count)
    return traces


def queue_errors(bus: Bus, core: CoreProgram, config: ChipConfig, *, first: int) -> dict[int, dict[str, Later]]:
    """By layer d of the sample whose steps start at `first` in its batch."""
    lanes, steps, traces = config.lanes, core.registers["steps"], {}
    for layer, place in core.places.items():
        handles = [bus.queue_read(Space.ERRORS,
                                  (place.errors + group * core.registers["batch_steps"] + first) * lanes, steps * lanes)
                   for group in range(place.groups)]
        traces[layer] = {"d": lambda handles=handles, rows=place.groups, count=core.cuts[layer].outputs: _words(
            np.concatenate([handle.result() for handle in handles]), rows=rows, steps=steps, width=lanes, count=count)}
    return traces
