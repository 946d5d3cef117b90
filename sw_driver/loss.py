"""Losses: mean squared error, whose errors the chip makes, and cross-entropy, whose errors the host makes."""

import math
from collections.abc import Callable
from typing import TypedDict

import numpy as np

from .autapse import LAMBDA
from .errors import DataError
from .half import LARGEST, half_scalar
from .network import Network, TrainingSpec

UNIT = 2.0**-24  # one unit of a readout


class Request(TypedDict, total=False):
    """The one keyword of `Device.accumulate` that a batch needs."""

    targets: np.ndarray
    error: Callable[[np.ndarray, int], np.ndarray]


class Loss:
    """What a batch needs to be scored.

    Mean squared error wants `target` from the class of the label and `other` from the rest, per step. For
    cross-entropy the logits are z = y for spike counts and z = y/T for membranes, and the errors of every step
    are g = rnd(S · dL/dy), computed in float64 and rounded once; a value beyond binary16 saturates.

    With prototypes the logits are minus the distances over the temperature, the loss has 0.001 of the right one's
    distance beside cross-entropy, and the errors are slopes rnd(S · dL/ddistance), from which the device makes those of
    the spikes.

    Members
    -------
    kind : str
        "mse", "cross_entropy" or "prototype".
    """

    def __init__(self, network: Network, training: TrainingSpec, *, target: float = 1.0, other: float = 0.0):
        self.kind = training.loss
        self.target = half_scalar(target, "target of the class")
        self.other = half_scalar(other, "target of the other classes")
        self._classes, self._steps, self._scale = network.classes, network.steps, training.loss_scale
        self._logit = 1.0 if network.layers[-1].spiking else 1.0 / network.steps
        if network.prototypes is not None:
            self._logit = 1.0 / network.prototypes.temperature

    def check_labels(self, labels: np.ndarray, where: str = "the data set") -> None:
        """Refuses a label that the network has no class for."""
        if len(labels) and labels.max() >= self._classes:
            raise DataError(f"sample {int(np.argmax(labels))} of {where} has label {labels.max()}, but the network "
                            f"has classes 0 to {self._classes - 1}")

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """float16 (B, C)."""
        result = np.full((len(labels), self._classes), self.other, np.float16)
        result[np.arange(len(labels)), labels] = self.target
        return result

    def _softmax(self, readout: np.ndarray) -> list[float]:
        # math.exp and not np.exp: NumPy picks vector code by processor, and its last bit with it.
        logits = [int(value) * UNIT * self._logit for value in readout]
        top = max(logits)
        powers = [math.exp(value - top) for value in logits]
        total = math.fsum(powers)
        return [power / total for power in powers]

    def request(self, labels: np.ndarray) -> Request:
        """The keyword of `Device.accumulate` that gives these labels their errors."""
        if self.kind == "mse":
            return {"targets": self.targets(labels)}

        def error(readout: np.ndarray, index: int) -> np.ndarray:
            slope = np.array(self._softmax(readout))
            slope[labels[index]] -= 1.0
            if self.kind == "prototype":    # readouts are minus the distances
                slope[labels[index]] -= LAMBDA
                slope = -slope
            wide = np.clip(self._scale * self._logit * slope, -LARGEST, LARGEST)
            return wide.astype(np.float16) + np.float16(0)

        return {"error": error}

    def total(self, readouts: np.ndarray, labels: np.ndarray) -> float:
        """The sum of the losses of the samples, for the learning curve."""
        if self.kind == "mse":
            rates = readouts.astype(np.float64) * (UNIT / self._steps)
            return float(((rates - self.targets(labels).astype(np.float64)) ** 2).mean(axis=1).sum())
        nearness = LAMBDA * self._logit * UNIT if self.kind == "prototype" else 0.0
        return sum(-nearness * int(readout[label]) - math.log(max(self._softmax(readout)[label], 1e-300))
                   for readout, label in zip(readouts, labels, strict=True))
