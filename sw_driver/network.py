"""A spiking network as the user writes it, checked once and stored as the binary16 the chip computes with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..hw.contract.autapse import AutapseSpec
from .autapse import Autapse
from .autapse_layers import AutapseLayer, PrototypeLayer, layers_of
from .errors import SpecError
from .half import LARGEST, flag, half, half_scalar, log2_exact, whole
from .randomness import uniform
from .state import LayerState, checked_state

__all__ = ["LI", "LIF", "LayerSpec", "LayerState", "Linear", "Network", "TrainingSpec", "checked_state"]

LOSSES = ("mse", "cross_entropy", "prototype")
RESETS = ("hard", "soft")


def _constant(values, what: str) -> np.ndarray:
    array = half(values, what)
    if array.ndim > 1 or array.size == 0:
        raise SpecError(f"{what} must be one number or one per neuron, not an array of shape {array.shape}")
    array.flags.writeable = False
    return array


def _decay(values) -> np.ndarray:
    array = _constant(values, "decay")
    if array.min() < 0 or array.max() > 1:
        raise SpecError(f"decay must be from 0 to 1, not {float(array.min() if array.min() < 0 else array.max()):g}")
    return array


class Linear:
    """All-to-all synapses from `inputs` spikes to `outputs` neurons: `spikes @ weight + bias`, weight (in, out)."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True):
        self.inputs = whole(inputs, "inputs of Linear", least=1)
        self.outputs = whole(outputs, "outputs of Linear", least=1)
        self.bias = flag(bias, "bias of Linear")


class LIF:
    """Leaky integrate-and-fire neurons with a rectangular surrogate gradient.

        u[t] = rnd( mul(λ, v[t-1]) + Σ s_in·w + b )     s[t] = u[t] >= θ     m[t] = |u[t] - θ| < h

    Parameters
    ----------
    decay
        λ, from 0 to 1: one number, or one per neuron.
    threshold
        θ: one number, or one per neuron.
    half_width
        h, a power of two; the surrogate's height is 1/(2h).
    reset
        "hard" sets the membrane to 0 after a spike, "soft" takes the threshold off.
    detach
        True keeps the reset out of the gradient.
    strict
        True spikes where u > θ.
    """

    def __init__(self, *, decay=0.5, threshold=1.0, half_width=0.5, reset: str = "hard", detach: bool = False,
                 strict: bool = False):
        self.decay = _decay(decay)
        self.threshold = _constant(threshold, "threshold")
        self.half_width = 2.0 ** log2_exact(half_width, "half_width", least=-14, most=14)
        if reset not in RESETS:
            raise SpecError(f"reset must be 'hard' or 'soft', not {reset!r}")
        self.reset = reset
        self.detach = flag(detach, "detach")
        self.strict = flag(strict, "strict")


class LI:
    """Leaky integrators that neither spike nor reset: `u[t] = rnd( mul(λ, u[t-1]) + Σ s_in·w + b )`.

    They can only be the last layer; the readout of class j is the exact Σ_t u[t, j].
    """

    def __init__(self, *, decay=0.5):
        self.decay = _decay(decay)


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """A Linear and its neurons. `decay` and `threshold` are float16 of shape () or (outputs,)."""

    inputs: int
    outputs: int
    bias: bool
    decay: np.ndarray
    threshold: np.ndarray
    half_width: float
    reset: str
    detach: bool
    strict: bool
    spiking: bool

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.inputs, self.outputs)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.outputs,)

    def initial(self, index: int, seed: int, scale: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Weights and biases uniform within ±scale/√inputs."""
        bound = scale / self.inputs**0.5
        weight = half(uniform(self.weight_shape, seed, 0, index) * bound, "initial weights")
        bias = half(uniform(self.bias_shape, seed, 1, index) * bound, "initial biases") if self.bias else None
        return weight, bias

    def as_dict(self) -> dict:
        """Plain JSON values; decay and threshold are numbers or lists of numbers, exactly binary16."""
        return {"inputs": self.inputs, "outputs": self.outputs, "bias": self.bias, "decay": self.decay.tolist(),
                "threshold": self.threshold.tolist(), "half_width": self.half_width, "reset": self.reset,
                "detach": self.detach, "strict": self.strict, "spiking": self.spiking}


class Network:
    """Linear layers, each followed by its neurons, run for `steps` time steps per sample.

    An Autapse may come first; whether layers follow it is a matter of its readout.

    Members
    -------
    layers : tuple[LayerSpec | AutapseLayer | PrototypeLayer, ...]
    steps, inputs, classes : int

    Raises
    ------
    SpecError
        If the modules do not alternate Linear, LIF, Linear, …; if sizes do not meet; if LI is not last; or if
        a list of constants has another length than the layer.
    """

    def __init__(self, modules: Sequence, *, steps: int):
        self.steps = whole(steps, "steps", least=1, most=8192)
        modules = list(modules)
        layers: list[LayerSpec | AutapseLayer | PrototypeLayer] = []
        if modules and isinstance(modules[0], Autapse):
            first = modules.pop(0)
            layers += layers_of(first, self.steps)
            _check_readout(first.spec.readout, modules)
        elif not modules or len(modules) % 2:
            raise SpecError(f"a network is pairs of Linear and LIF (or LI last), not {len(modules)} modules")
        before = len(layers)
        for index, (linear, neuron) in enumerate(zip(modules[::2], modules[1::2], strict=True), before):
            if not isinstance(linear, Linear):
                raise SpecError(f"module {2 * index - before} must be Linear, not {type(linear).__name__}")
            if not isinstance(neuron, (LIF, LI)):
                raise SpecError(f"module {2 * index + 1 - before} must be LIF or LI, not {type(neuron).__name__}")
            if layers and layers[-1].outputs != linear.inputs:
                raise SpecError(f"layer {index} takes {linear.inputs} inputs, but layer {index - 1} has "
                                f"{layers[-1].outputs} outputs")
            layers.append(_pair(index, linear, neuron))
            if isinstance(neuron, LI) and index != before + len(modules) // 2 - 1:
                raise SpecError(f"LI is only for the last layer, not for layer {index}: it sends no spikes")
        self.layers = tuple(layers)

    @property
    def inputs(self) -> int:
        return self.layers[0].inputs

    @property
    def classes(self) -> int:
        return self.layers[-1].outputs

    @property
    def synapses(self) -> int:
        """Weights and biases, and what prototypes are made from."""
        return sum(math.prod(layer.weight_shape) + layer.bias * math.prod(layer.bias_shape) for layer in self.layers)

    @property
    def autapse(self) -> AutapseSpec | None:
        """The autapse network that comes first, or None."""
        return self.layers[0].spec if isinstance(self.layers[0], AutapseLayer) else None

    @property
    def plain_layers(self) -> tuple[LayerSpec, ...]:
        """The layers of a network of layers; a SpecError for an autapse network, which has nodes in their place."""
        plain = tuple(layer for layer in self.layers if isinstance(layer, LayerSpec))
        if len(plain) < len(self.layers):
            raise SpecError(f"{self} is an autapse network, which chips of layers do not hold; use the golden model, "
                            "or sim:core=autapse")
        return plain

    @property
    def prototypes(self) -> PrototypeLayer | None:
        """The prototypes that read it, or None."""
        return self.layers[-1] if isinstance(self.layers[-1], PrototypeLayer) else None

    def __str__(self) -> str:
        if self.autapse is not None:
            rest = [str(layer.outputs) for layer in self.layers[1:]]
            return "-".join([f"{self.inputs}-autapse {self.autapse.structure} "
                             + "+".join(map(str, self.autapse.segments)), *rest])
        return "-".join(str(size) for size in (self.inputs, *(layer.outputs for layer in self.layers)))

    def initial_state(self, seed: int = 0, *, scale: float = 1.0) -> list[LayerState]:
        """Weights and biases uniform within ±scale/√inputs, rounded to binary16; the same bits on every machine.

        For an autapse network see `AutapseLayer.initial`.
        """
        seed, scale = whole(seed, "seed", least=0), half_scalar(scale, "scale of the initial weights")
        return [LayerState.fresh(*layer.initial(index, seed, scale)) for index, layer in enumerate(self.layers)]

    def as_dict(self) -> dict:
        """Plain JSON values from which `Network.from_dict` makes the same network."""
        return {"steps": self.steps, "layers": [layer.as_dict() for layer in self.layers
                                                if not isinstance(layer, PrototypeLayer)]}

    @classmethod
    def from_dict(cls, description: dict) -> "Network":
        """A network from `as_dict`, or from the same keys of a TOML file; absent keys mean the defaults.

        Raises
        ------
        SpecError
            If a key is unknown or missing, or a value is refused.
        """
        unknown = set(description) - {"steps", "layers"}
        if unknown or not {"steps", "layers"} <= set(description) or not isinstance(description["layers"], list):
            raise SpecError("a network description has the keys steps and layers (a list)"
                            + (f", not {sorted(unknown)[0]!r}" if unknown else ""))
        modules = []
        for index, entry in enumerate(description["layers"]):
            if not isinstance(entry, dict):
                raise SpecError(f"layer {index} of the network description must be a table, not {entry!r:.40}")
            rest = dict(entry)
            if "autapse" in rest and index == 0:
                modules.append(_autapse(rest))
                continue
            try:
                modules.append(Linear(rest.pop("inputs"), rest.pop("outputs"), bias=rest.pop("bias", True)))
            except KeyError as missing:
                raise SpecError(f"layer {index} of the network description lacks {missing.args[0]!r}") from None
            spiking = flag(rest.pop("spiking", True), f"spiking of layer {index}")
            unknown = sorted(set(rest) - {"decay", *_SPIKING_ONLY})
            if unknown:
                raise SpecError(f"layer {index} of the network description has an unknown key {unknown[0]!r}")
            modules.append(LIF(**rest) if spiking else LI(decay=rest.get("decay", 0.5)))
        return cls(modules, steps=description["steps"])


def _check_readout(readout: str, modules: list) -> None:
    linear = readout == "linear"
    if linear != bool(modules) or len(modules) % 2:
        raise SpecError(f"after an autapse network with readout {readout!r} "
                        + ("come pairs of Linear and LIF (or LI last)" if linear else "comes nothing")
                        + f", not {len(modules)} modules")


def _autapse(entry: dict) -> Autapse:
    options = entry.pop("autapse")
    if entry or not isinstance(options, dict):
        raise SpecError("an autapse layer of the network description is a table called autapse and nothing beside it")
    try:
        return Autapse(**options)
    except TypeError as error:
        said = str(error).rpartition("__init__() ")[2]
        raise SpecError(f"the autapse layer of the network description: {said}") from None


_SPIKING_ONLY = ("threshold", "half_width", "reset", "detach", "strict")


def _pair(index: int, linear: Linear, neuron: LIF | LI) -> LayerSpec:
    for name in ("decay", "threshold"):
        constant = getattr(neuron, name, None)
        if constant is not None and constant.ndim and constant.shape != (linear.outputs,):
            raise SpecError(f"{name} of layer {index} has {constant.size} values for {linear.outputs} neurons")
    common = {"inputs": linear.inputs, "outputs": linear.outputs, "bias": linear.bias, "decay": neuron.decay}
    if isinstance(neuron, LI):
        return LayerSpec(**common, threshold=_constant(1.0, "threshold"), half_width=0.5, reset="hard",
                         detach=False, strict=False, spiking=False)
    return LayerSpec(**common, threshold=neuron.threshold, half_width=neuron.half_width, reset=neuron.reset,
                     detach=neuron.detach, strict=neuron.strict, spiking=True)


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """How a batch becomes an update; the numbers are stored as the binary16 the chip uses.

    Fields
    ------
    learning_rate, momentum
        η (more than 0) and μ (from 0 to below 1).
    batch
        Samples of a full batch; the last one of an epoch may be smaller.
    loss
        "mse" on the chip, or "cross_entropy" by the host, or "prototype" by the host, for prototypes and only for them.
    loss_scale
        S, a power of two that multiplies every error.
    momentum_exponent
        k: the momentum is stored times 2^k. log2 S unless stated.

    Raises
    ------
    SpecError
        If a value is not finite or out of range.
    """

    learning_rate: float = 0.1
    momentum: float = 0.9
    batch: int = 32
    loss: str = "mse"
    loss_scale: float = 256.0
    momentum_exponent: int | None = None

    def __post_init__(self):
        put = object.__setattr__
        put(self, "learning_rate", half_scalar(self.learning_rate, "learning rate"))
        if self.learning_rate <= 0:
            raise SpecError(f"learning rate must be from 2^-24 to 65504 in binary16, not {self.learning_rate:g}")
        put(self, "momentum", half_scalar(self.momentum, "momentum"))
        if not 0 <= self.momentum < 1:
            raise SpecError(f"momentum must be from 0 to below 1 in binary16, not {self.momentum:g}")
        put(self, "batch", whole(self.batch, "batch", least=1, most=65536))
        if self.loss not in LOSSES:
            raise SpecError(f"loss must be 'mse', 'cross_entropy' or 'prototype', not {self.loss!r}")
        exponent = log2_exact(self.loss_scale, "loss scale", least=-14, most=24)
        put(self, "loss_scale", 2.0**exponent)
        stated = exponent if self.momentum_exponent is None else self.momentum_exponent
        kept = whole(stated, "momentum exponent", least=-24, most=24)
        put(self, "momentum_exponent", kept)
        if abs(kept - exponent) > 40:
            raise SpecError(f"momentum exponent {kept} and loss scale 2^{exponent} are more than "
                            "2^40 apart, beyond the chip's optimiser; bring them closer")

    def check(self, network: Network) -> None:
        """Refuses a loss scale whose factor 2·S/(C·T) binary16 cannot hold for this network, a loss not for it, and a
        network in which nothing would learn."""
        if network.autapse is not None and not network.autapse.trainable and len(network.layers) == 1:
            raise SpecError(f"nothing of {network} learns: an autapse network with recurrent or carry has no backward "
                            "pass; leave them out, or read it with readout='linear' or 'prototype'")
        if (self.loss == "prototype") != (network.prototypes is not None):
            raise SpecError(f"loss {self.loss!r} does not fit a network read "
                            + ("by prototypes; take loss 'prototype'" if network.prototypes else "without prototypes"))
        factor = 2 * self.loss_scale / (network.classes * network.steps)
        if factor > LARGEST or np.float16(factor) == 0:
            raise SpecError(f"loss scale {self.loss_scale:g} gives the error factor {factor:g} for {network.classes} "
                            f"classes and {network.steps} steps, beyond binary16; choose a scale nearer 256")
