"""What the simulated chip is measured with: two networks and their samples."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...sw_driver.data import IntensitySet, SpikeSet, load_data
from ...sw_driver.network import LI, LIF, Linear, Network

STEPS = 8
BATCH = 32
TRAINING = {"learning_rate": 0.3, "momentum": 0.9, "batch": BATCH, "seed": 0, "other": -0.25}
_IMAGE, _BOX, _DIGIT = 28, 20, 8  # MNIST centres its digits in a box of 20x20 pixels


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A network and what it is trained on; `data` says where the samples come from."""

    name: str
    network: Network
    samples: SpikeSet
    data: str

    @property
    def density(self) -> float:
        """Spikes per input and step."""
        count = min(len(self.samples), 256)
        return float(self.samples.spikes(np.arange(count), STEPS).mean())


def digits(count: int | None = None) -> Workload:
    """The network of `make demo`, 64-256-10, and the first `count` training digits of scikit-learn, or all."""
    network = Network([Linear(64, 256), LIF(decay=0.5, threshold=0.5, half_width=0.25), Linear(256, 10), LI(decay=0.5)],
                      steps=STEPS)
    samples = load_data("digits").train.first(count)
    return Workload(name="digits", network=network, samples=samples, data="8x8 digits of scikit-learn")


def mnist(count: int, *, data: Path | None = None) -> Workload:
    """784-128-10 and `count` training samples of MNIST from the idx files in `data`.

    Without `data`, what is shaped like them: the digits of scikit-learn, each pixel as 2.5x2.5 in the middle of 28x28.
    """
    network = Network([Linear(784, 128), LIF(decay=0.5), Linear(128, 10), LI(decay=0.5)], steps=STEPS)
    if data is not None:
        return Workload(name="mnist", network=network, samples=load_data(f"mnist:{data}").train.first(count),
                        data="MNIST")
    return Workload(name="mnist", network=network, samples=enlarged_digits(count),
                    data="not MNIST: digits of scikit-learn as 20x20 in 28x28 pixels")


def enlarged_digits(count: int) -> IntensitySet:
    """The first `count` digits of scikit-learn, each pixel as 2.5x2.5 in the middle of 28x28."""
    from sklearn.datasets import load_digits
    values, labels = load_digits(return_X_y=True)
    small = np.asarray(values[:count], np.int32).reshape(-1, _DIGIT, _DIGIT)
    pick = np.arange(_BOX) * _DIGIT // _BOX
    edge = (_IMAGE - _BOX) // 2
    images = np.zeros((len(small), _IMAGE, _IMAGE), np.int32)
    images[:, edge:edge + _BOX, edge:edge + _BOX] = small[:, pick][:, :, pick]
    return IntensitySet(images, labels[:count], full=16, where="enlarged digits")
