"""What an `Autapse` puts among a network's layers: its nodes, and the prototypes that read them."""

from dataclasses import dataclass, field

import numpy as np

from ..hw.contract.autapse import AutapseSpec
from .autapse import Autapse
from .half import half
from .randomness import uniform

_SPREAD = 2.0**-4  # initial prototypes lie within this of the sign's change


@dataclass(frozen=True, kw_only=True)
class AutapseLayer:
    """An autapse network among a Network's layers; it has the members of a LayerSpec that others ask for."""

    spec: AutapseSpec
    options: dict = field(repr=False)

    spiking = True

    @property
    def inputs(self) -> int:
        return self.spec.inputs

    @property
    def outputs(self) -> int:
        """Nodes that are read."""
        return self.spec.read_nodes

    @property
    def bias(self) -> bool:
        return self.spec.bias

    @property
    def decay(self) -> np.ndarray:
        return np.array(self.spec.leak, np.float16)

    @property
    def threshold(self) -> np.ndarray:
        return np.array(self.spec.threshold, np.float16)

    @property
    def half_width(self) -> float:
        return self.spec.half_width

    @property
    def reset(self) -> str:
        return self.spec.reset

    @property
    def detach(self) -> bool:
        return self.spec.detach

    @property
    def strict(self) -> bool:
        return self.spec.strict

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Input weights, then edge weights, in one row."""
        return (self.spec.input_weights + self.spec.weights,)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.spec.nodes,)

    def as_dict(self) -> dict:
        """Plain JSON values: what `Autapse` was made from."""
        return {"autapse": dict(self.options)}

    def initial(self, index: int, seed: int, scale: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Weights and biases: inputs and edges uniform by their number at a node, biases about the threshold.

        A reservoir's biases are uniform about 0; the pixel weight lets a spike pass.
        """
        spec = self.spec
        into = 2 * scale / spec.inputs**0.5
        weight = uniform(self.weight_shape, seed, 0, index)
        weight[:spec.input_weights] *= into
        if spec.input == "pixel":
            weight[0] = 1.25 * spec.threshold
        degree = max(1, max(map(len, spec.edges)))
        weight[spec.input_weights:] *= scale / degree**0.5
        bias = uniform(self.bias_shape, seed, 1, index) * into / 2
        if spec.structure != "reservoir":
            bias[spec.input_nodes if spec.input == "pixel" else 0:] += spec.threshold
        if spec.input == "pixel":
            bias[:spec.input_nodes] = 0
        return half(weight, "initial weights"), half(bias, "initial biases") if spec.bias else None


@dataclass(frozen=True, kw_only=True)
class PrototypeLayer:
    """The prototypes that read an autapse network: per code bit and class a latent word P, whose bit is P >= 0.

    It has the members of a LayerSpec that others ask for; it is the host that trains it.
    """

    inputs: int
    outputs: int
    temperature: float

    bias, spiking, reset, half_width, detach, strict = False, False, "hard", 1.0, False, False

    @property
    def decay(self) -> np.ndarray:
        return np.array(0, np.float16)

    @property
    def threshold(self) -> np.ndarray:
        return np.array(0, np.float16)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Code bits x classes."""
        return (self.inputs, self.outputs)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.outputs,)

    def initial(self, index: int, seed: int, scale: float) -> tuple[np.ndarray, None]:
        """Latent words close to where their bit changes."""
        return half(uniform(self.weight_shape, seed, 0, index) * _SPREAD, "initial prototypes"), None


def layers_of(autapse: Autapse, steps: int) -> list[AutapseLayer | PrototypeLayer]:
    """What an Autapse puts among a network's layers."""
    spec = autapse.spec
    layers: list[AutapseLayer | PrototypeLayer] = [AutapseLayer(spec=spec, options=autapse.options)]
    if spec.readout == "prototype":
        bits = spec.code_bits(steps)
        divisor = max(1.0, bits / 32) if autapse.temperature is None else autapse.temperature
        layers.append(PrototypeLayer(inputs=bits, outputs=spec.classes, temperature=divisor))
    return layers
