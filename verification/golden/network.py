"""What the golden model computes: layers, rules of the run, and the readout, validated on construction."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .numeric import EXACT_TERMS, LARGEST


def is_power_of_two(value: float) -> bool:
    """Whether `value` is exactly a finite positive power of two."""
    return value > 0 and math.isfinite(value) and math.frexp(value)[0] == 0.5


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One fully connected layer and its neurons.

    Members
    -------
    inputs, outputs : int
    bias : bool
        Whether each neuron has a bias: a synapse whose input spikes in every step.
    decay, threshold : numpy.float16, shape () or (outputs,)
        lambda and theta.
    half_width : float
        h of the rectangular surrogate, a power of two from 2^-24 to 2^15.
    soft : bool
        A spike subtracts the threshold; otherwise it sets the membrane to zero.
    detach : bool
        The reset takes no part in the gradient.
    strict : bool
        A spike needs u > theta; otherwise u >= theta.
    spiking : bool
        False for a last layer that neither spikes nor resets and is read by its membrane.

    Raises
    ------
    TypeError
        If decay or threshold is not float16.
    ValueError
        If a size, a shape or a value is out of range.
    """

    inputs: int
    outputs: int
    bias: bool
    decay: np.ndarray
    threshold: np.ndarray
    half_width: float
    soft: bool = False
    detach: bool = False
    strict: bool = False
    spiking: bool = True

    def __post_init__(self):
        for name in ("inputs", "outputs"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        for name in ("decay", "threshold"):
            value = np.asarray(getattr(self, name))
            if value.dtype != np.float16:
                raise TypeError(f"{name} must be float16, not {value.dtype}; round it with numpy.float16 first")
            if value.shape not in ((), (self.outputs,)):
                raise ValueError(f"{name} must have shape () or ({self.outputs},), not {value.shape}")
            if not np.isfinite(value).all():
                raise ValueError(f"{name} must be finite: binary16 here has no infinity and no NaN")
            object.__setattr__(self, name, value)
        if not is_power_of_two(self.half_width) or not 2.0**-24 <= self.half_width <= 2.0**15:
            raise ValueError(f"half_width must be a power of two from 2^-24 to 2^15, not {self.half_width!r}")

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.inputs, self.outputs)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.outputs,)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What holds for the whole run.

    Members
    -------
    steps : int
        T, from 1 to 8192.
    loss_scale : float
        S, a power of two that multiplies every error.
    momentum_exponent : int or None
        k: the momentum is stored times 2^k. None is log2 S.
    """

    steps: int
    loss_scale: float = 1.0
    momentum_exponent: int | None = None

    def __post_init__(self):
        if not isinstance(self.steps, int) or not 1 <= self.steps <= EXACT_TERMS:
            raise ValueError(f"steps must be a whole number from 1 to {EXACT_TERMS}, not {self.steps!r}")
        if not is_power_of_two(self.loss_scale):
            raise ValueError(f"loss_scale must be a power of two, not {self.loss_scale!r}")
        if self.momentum_exponent is None:
            object.__setattr__(self, "momentum_exponent", self.scale_exponent)
        if not isinstance(self.momentum_exponent, int) or abs(self.momentum_exponent) > 64:
            raise ValueError(f"momentum_exponent must be a whole number from -64 to 64, not {self.momentum_exponent!r}")

    @property
    def scale_exponent(self) -> int:
        """log2 S."""
        return math.frexp(self.loss_scale)[1] - 1

    def error_factor(self, classes: int) -> float:
        """2 S / (C T) before its rounding. Raises ValueError where binary16 does not reach it."""
        factor = 2.0 * self.loss_scale / (classes * self.steps)
        if factor > LARGEST:
            raise ValueError(f"loss_scale {self.loss_scale:g} makes 2 S / (C T) = {factor:g}, beyond 65504; lower it")
        return factor


@dataclass(frozen=True, kw_only=True)
class Readout:
    """What the last layer says of each sample.

    Members
    -------
    y : numpy.int64, shape (samples, classes)
        The exact sum over the steps of spikes or membranes, in units of 2^-24.
    """

    y: np.ndarray

    @property
    def value(self) -> np.ndarray:
        """y as float64, exact."""
        return self.y.astype(np.float64) * 2.0**-24

    @property
    def prediction(self) -> np.ndarray:
        """The class of greatest y of each sample, the first among equals."""
        return self.y.argmax(axis=1)


def check_chain(layers: Sequence[Any]) -> None:
    """Raise ValueError unless the layers follow one another and only the last one may not spike."""
    if not layers:
        raise ValueError("a network needs at least one layer")
    for index, (layer, after) in enumerate(itertools.pairwise(layers)):
        if layer.outputs != after.inputs:
            raise ValueError(f"layer {index} has {layer.outputs} outputs, but layer {index + 1} {after.inputs} inputs")
        if not layer.spiking:
            raise ValueError(f"layer {index} does not spike; only the last layer may be read by its membrane")
