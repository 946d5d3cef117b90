"""What a network has learned: weights, what rounding kept back of them, and momenta."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from .errors import SpecError
from .half import half


@dataclass(kw_only=True)
class LayerState:
    """One layer's trained words, all float16.

    `weight` has shape (inputs, outputs), `bias` (outputs,) or None; of an autapse network they
    are (words,) and (nodes,). A remainder is 2^10 times what binary16
    could not keep of its weight, a momentum 2^k times the momentum; both have the shape of what they belong to.
    """

    weight: np.ndarray
    bias: np.ndarray | None
    remainder: np.ndarray
    bias_remainder: np.ndarray | None
    momentum: np.ndarray
    bias_momentum: np.ndarray | None

    @classmethod
    def fresh(cls, weight: np.ndarray, bias: np.ndarray | None) -> "LayerState":
        """Weights that have not been trained: remainders and momenta are zero."""
        zeros = np.zeros(weight.shape, np.float16)
        flat = None if bias is None else np.zeros(bias.shape, np.float16)
        return cls(weight=weight, bias=bias, remainder=zeros, bias_remainder=flat,
                   momentum=zeros.copy(), bias_momentum=None if flat is None else flat.copy())

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "LayerState":
        """From the arrays that exist, by name; a layer without bias names none of its three.

        Raises
        ------
        KeyError
            If weight, remainder or momentum is missing.
        TypeError
            If a name is unknown.
        """
        unknown = set(arrays) - {field.name for field in fields(cls)}
        if unknown:
            raise TypeError(f"a layer has no {sorted(unknown)[0]!r}")
        return cls(weight=arrays["weight"], bias=arrays.get("bias"),
                   remainder=arrays["remainder"], bias_remainder=arrays.get("bias_remainder"),
                   momentum=arrays["momentum"], bias_momentum=arrays.get("bias_momentum"))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that exist, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def copy(self) -> "LayerState":
        return LayerState.from_arrays({name: array.copy() for name, array in self.arrays().items()})

    def same_bits(self, other: "LayerState") -> bool:
        """True where every word has the same bits."""
        mine, theirs = self.arrays(), other.arrays()
        return mine.keys() == theirs.keys() and all(
            np.array_equal(mine[name].view(np.uint16), theirs[name].view(np.uint16)) for name in mine)


def checked_state(layers: Sequence, state: Sequence[LayerState]) -> list[LayerState]:
    """A copy of `state` that is certain to fit `layers` (LayerSpecs) and to be finite binary16.

    Raises
    ------
    SpecError
        If a layer or an array is missing or too many, has another shape, or holds NaN, infinity or a
        number beyond ±65504.
    """
    if len(state) != len(layers):
        raise SpecError(f"the state has {len(state)} layers, the network {len(layers)}")
    result = []
    for index, (spec, layer) in enumerate(zip(layers, state, strict=True)):
        arrays = {}
        for field in fields(LayerState):
            value = getattr(layer, field.name)
            is_bias = field.name.startswith("bias")
            if is_bias and (value is not None) != spec.bias:
                raise SpecError(f"layer {index} {'has a bias, the state none' if spec.bias else 'has no bias'}: "
                                f"{field.name} must {'be an array' if spec.bias else 'be None'}")
            if value is None and is_bias:
                arrays[field.name] = None
                continue
            value = half(value, f"{field.name} of layer {index}")
            shape = spec.bias_shape if is_bias else spec.weight_shape
            if value.shape != shape:
                raise SpecError(f"{field.name} of layer {index} must have shape {shape}, not {value.shape}")
            arrays[field.name] = value
        result.append(LayerState(**arrays))
    return result
