"""Chips for devices of a size: as many lanes as fit and meet the clock, memories that fill the block RAM."""

from ..hw.contract.chip import ChipConfig


def small_core() -> ChipConfig:
    """The sequenced core, for 4,000 cells and 42 block RAMs: trains 64-96-10 with momentum, 8 steps, batches of 8."""
    return ChipConfig(
        lanes=1, units=1, shared=True, slots=1, layers=4, events=256, synapses=22528, parameters=128, neurons=128,
        spike_rows=1536, mask_rows=896, membrane_rows=896, error_rows=6912, history_words=384, active_words=256,
        readouts=16, error_inputs=16)


def two_lanes() -> ChipConfig:
    """Two lanes per engine, for 24,000 cells and 56 block RAMs: trains 64-96-10 with momentum, 8 steps, batches of 8.

    Constants are those of a layer: for those of single neurons there is no block RAM.
    """
    return ChipConfig(
        lanes=2, units=1, layers=4, events=256, synapses=11264, parameters=7, neurons=128, spike_rows=1024,
        mask_rows=512, membrane_rows=1024, error_rows=3584, history_words=512, active_words=128, readouts=16,
        error_inputs=16)


def medium_core() -> ChipConfig:
    """Four lanes per engine, for 44,000 cells and 108 block RAMs: trains 784-32-10, 8 steps, batches of 16."""
    return ChipConfig(
        lanes=4, units=1, layers=4, events=1024, synapses=16384, parameters=128, neurons=128, spike_rows=2048,
        mask_rows=256, membrane_rows=512, error_rows=1536, history_words=3584, active_words=128, readouts=16,
        error_inputs=16)


def large_core() -> ChipConfig:
    """Eight lanes per engine, for 84,000 cells and 208 block RAMs: trains 784-64-10, 8 steps, batches of 32, and
    784-80-10, batches of 24."""
    return ChipConfig(
        lanes=8, units=1, layers=4, events=1024, synapses=16384, parameters=256, neurons=256, spike_rows=1024,
        mask_rows=128, membrane_rows=768, error_rows=2560, history_words=7168, active_words=128, readouts=16,
        error_inputs=16)


def mesh_of_four() -> ChipConfig:
    """Four cores of eight lanes per engine, for 100,000 cells and more: trains 784-128-10, 8 steps, batches of 16."""
    return ChipConfig(
        lanes=8, units=1, layers=4, events=1024, synapses=10240, parameters=256, neurons=256, spike_rows=2048,
        mask_rows=256, membrane_rows=512, error_rows=768, history_words=4096, active_words=64, readouts=16,
        error_inputs=16, mesh_width=2, mesh_height=2, remote_rows=64, routes=128)
