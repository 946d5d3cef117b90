"""A device with a second one beside it that does the same, every answer compared."""

import numpy as np

from ..device import Device
from ..verify import Verification


class CheckedDevice(Device):
    """Does everything on `device` and on `reference`, answers with what `device` says, and counts words that differ.

    Readouts and the overflow flag are compared after every batch, weights, remainders and momenta whenever they
    are read: the trainer does so at the end of each epoch. `result` holds the counts and the first difference.
    """

    def __init__(self, device: Device, reference: Device):
        self._device, self._reference = device, reference
        self.name = device.name
        self.result = Verification(devices=(device.name, reference.name))

    def load(self, network, training):
        self._readout = len(network.layers) - 1
        for device in (self._device, self._reference):
            device.load(network, training)

    def write_state(self, state):
        for device in (self._device, self._reference):
            device.write_state(state)

    def read_state(self):
        mine, theirs = self._device.read_state(), self._reference.read_state()
        self.result.compare_state(self.result.batches, mine, theirs)
        return mine

    def infer(self, spikes):
        mine, theirs = self._device.infer(spikes), self._reference.infer(spikes)
        self.result.compare("inferred readout", mine, theirs, batch=self.result.batches, layer=self._readout,
                            axes=("sample", "neuron"))
        return mine

    def accumulate(self, spikes, *, targets=None, error=None, capture=False):
        request = {"targets": targets, "error": error, "capture": capture}
        mine, theirs = (device.accumulate(spikes, **request) for device in (self._device, self._reference))
        self.result.compare("readout", mine.readouts, theirs.readouts, batch=self.result.batches,
                            layer=self._readout, axes=("sample", "neuron"))
        self._flag(mine.overflow, theirs.overflow)
        return mine

    def update(self, *, samples, learning_rate, momentum):
        request = {"samples": samples, "learning_rate": learning_rate, "momentum": momentum}
        mine, theirs = (device.update(**request) for device in (self._device, self._reference))
        self._flag(mine, theirs)
        self.result.batches += 1
        return mine

    def _flag(self, mine: bool, theirs: bool) -> None:
        self.result.compare("overflow flag", np.array([mine], np.uint8), np.array([theirs], np.uint8),
                            batch=self.result.batches, axes=("sample",))

    def check(self):
        for device in (self._device, self._reference):
            device.check()

    def counters(self):
        return self._device.counters()

    def timeline(self):
        return self._device.timeline()

    def line(self):
        return self._device.line()

    def info(self):
        return self._device.info() | {"checked against": self._reference.name}

    def close(self):
        for device in (self._device, self._reference):
            device.close()
