"""Learned prototypes: the readout by Hamming distance, its loss, and its training, which is the host's.

The host rounds S·∂L/∂dist of each class to binary16 once. What follows is exact sums of such words, each rounded once.
"""

import numpy as np

from .autapse_layers import PrototypeLayer
from .half import LARGEST
from .network import LayerState, TrainingSpec


def rounded(values: np.ndarray) -> np.ndarray:
    """float64 to the nearest binary16, saturating; as float64, zero without sign."""
    return np.clip(values, -LARGEST, LARGEST).astype(np.float16).astype(np.float64) + 0.0


def distances(codes: np.ndarray, prototypes: np.ndarray) -> np.ndarray:
    """int64 (samples, classes): bits in which codes, uint8 (samples, bits), differ from prototypes (classes, bits)."""
    codes, prototypes = codes.astype(np.float64), prototypes.astype(np.float64)
    both = codes @ prototypes.T  # whole numbers below 2^53: exact in any order
    return (codes.sum(axis=1)[:, None] + prototypes.sum(axis=1) - 2 * both).astype(np.int64)


class Prototypes:
    """The prototypes of one network on the host, with their remainders and momenta."""

    def __init__(self, layer: PrototypeLayer, training: TrainingSpec | None):
        self.layer, self._training = layer, training
        self._words = [np.zeros(layer.weight_shape) for _ in range(3)]
        self.clear()

    @property
    def bits(self) -> np.ndarray:
        """uint8 (classes, code bits), what the chip is given."""
        return np.ascontiguousarray((self._words[0] >= 0).T, np.uint8)

    def write(self, state: LayerState) -> None:
        self._words = [array.astype(np.float64) for array in (state.weight, state.remainder, state.momentum)]
        self.clear()

    def read(self) -> LayerState:
        weight, remainder, momentum = (array.astype(np.float16) for array in self._words)
        return LayerState(weight=weight, bias=None, remainder=remainder, bias_remainder=None, momentum=momentum,
                          bias_momentum=None)

    def readouts(self, codes: np.ndarray) -> np.ndarray:
        """Minus the distances of codes (samples, steps, nodes), int64 (samples, classes) in units of 2^-24."""
        return -distances(codes.reshape(len(codes), -1), self.bits) << 24

    def clear(self) -> None:
        """Drops the gradient."""
        self._gradient = np.zeros(self.layer.weight_shape)

    def errors(self, slopes: np.ndarray, steps: int) -> np.ndarray:
        """float16 (samples, steps, nodes) on the spikes, from the slopes S·∂L/∂dist (samples, classes)."""
        away = rounded(slopes) @ (1.0 - 2.0 * self.bits)
        return rounded(away).astype(np.float16).reshape(len(slopes), steps, -1)

    def accumulate(self, codes: np.ndarray, slopes: np.ndarray) -> None:
        """Adds a batch's gradient: exact sums of binary16, for there are fewer than 2^13 samples a call."""
        flat = codes.reshape(len(codes), -1)
        self._gradient += (1.0 - 2.0 * flat).T @ rounded(slopes)

    def update(self, *, samples: int, learning_rate: float, momentum: float) -> None:
        """One step by the rules of every weight; the gradient passes the arctan's derivative, which rounds again."""
        training = self._training
        assert training is not None and training.momentum_exponent is not None, "devices check it"
        exponent = training.momentum_exponent
        weight, remainder, kept = self._words
        gradient = rounded(rounded(self._gradient) / (1.0 + (np.pi * weight) ** 2))
        share = float(np.float16(1.0 / samples)) * 2.0**exponent / training.loss_scale
        kept = rounded(rounded(momentum * kept) + rounded(share * gradient))
        wide = weight + 2.0**-10 * (remainder - rounded(learning_rate * 2.0 ** (10 - exponent) * kept))
        weight = rounded(wide)
        self._words = [weight, rounded(2.0**10 * (wide - weight)), kept]
        self.clear()
