"""Training on two devices side by side, every word compared by its bits."""

from collections.abc import Sequence

import numpy as np

from autapse.sw_driver.device import BatchResult, Device
from autapse.sw_driver.network import LayerState

__all__ = ["Difference", "same_batch", "same_states", "train_both"]


class Difference(AssertionError):
    """Two devices disagree; the message names the first word that differs."""


def _same(expected: np.ndarray, found: np.ndarray, where: str):
    if np.shape(expected) != np.shape(found):
        raise Difference(f"{where}: shapes {np.shape(expected)} and {np.shape(found)}")
    expected, found = np.asarray(expected), np.asarray(found)
    if expected.dtype != found.dtype and not (expected.dtype.kind in "bui" and found.dtype.kind in "bui"):
        raise Difference(f"{where}: types {expected.dtype} and {found.dtype}")
    if expected.dtype.kind == "f":
        expected, found = expected.view(np.uint16), found.view(np.uint16)
    wrong = np.argwhere(expected != found)
    if len(wrong):
        at = tuple(int(k) for k in wrong[0])
        raise Difference(f"{where}{list(at)}: {expected[at]:#06x}, found {found[at]:#06x}; {len(wrong)} words differ")


def same_batch(expected: BatchResult, found: BatchResult, where: str = "batch") -> int:
    """Compares readouts, overflow and every trace that both keep; the number of arrays compared."""
    _same(expected.readouts, found.readouts, f"{where} readouts")
    if expected.overflow != found.overflow:
        raise Difference(f"{where} overflow: {expected.overflow}, found {found.overflow}")
    compared = 1
    for sample, layers in enumerate(found.traces or ()):
        for index, trace in enumerate(layers):
            for name, array in trace.items():
                reference = expected.traces[sample][index][name]
                if array is not None and reference is not None:
                    _same(np.asarray(reference), array, f"{where} sample {sample} layer {index} {name}")
                    compared += 1
    return compared


def same_states(expected: Sequence[LayerState], found: Sequence[LayerState], where: str = "state"):
    """Compares every weight, remainder and momentum, biases included."""
    for index, (one, other) in enumerate(zip(expected, found, strict=True)):
        if one.arrays().keys() != other.arrays().keys():
            raise Difference(f"{where} layer {index}: {sorted(one.arrays())}, found {sorted(other.arrays())}")
        for name, array in one.arrays().items():
            _same(array, other.arrays()[name], f"{where} layer {index} {name}")


def train_both(reference: Device, device: Device, *, network, training, batches, scale: float = 3.0,
               errors=None, capture: bool = True) -> list[LayerState]:
    """Trains both on `batches` of (spikes, targets) and compares after every pass and every update.

    Without `capture` no trace is read, which lets a chip work on two samples at once.
    `errors`, if given, makes the error function of a batch's targets, in place of mean squared error on the device.
    Returns the reference's last state. Raises Difference at the first word that differs.
    """
    state = network.initial_state(seed=len(batches), scale=scale)
    for each in (reference, device):
        each.load(network, training)
        each.write_state(state)
    same_states(state, device.read_state(), "state as written")
    for number, (spikes, targets) in enumerate(batches):
        goal = {"targets": targets} if errors is None else {"error": errors(targets)}
        results = [each.accumulate(spikes, **goal, capture=capture) for each in (reference, device)]
        compared = same_batch(*results, f"batch {number}")
        assert not capture or compared > 3 * len(spikes) * len(network.layers), "hardly anything was compared"
        flags = [each.update(samples=len(spikes), learning_rate=training.learning_rate, momentum=training.momentum)
                 for each in (reference, device)]
        if flags[0] != flags[1]:
            raise Difference(f"overflow of update {number}: {flags[0]}, found {flags[1]}")
        state = reference.read_state()
        same_states(state, device.read_state(), f"update {number}")
    return state
