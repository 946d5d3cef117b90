"""An autapse network in perceptron mode, computed as the stack of layers that it stands for: the same bits, faster.

Without a leak between nodes, a segment is a layer whose neurons forget everything from step to step (decay 0).
"""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from .autapse import Autapse
from .network import Layer
from .numeric import Rounder
from .optimiser import Parameter, Rates
from .passes import Passes


def as_layers(autapse: Autapse) -> list[Layer] | None:
    """One layer per segment, or None where the network is no perceptron without leak that is read at its end."""
    segments = autapse.segments
    if (segments is None or autapse.leak or autapse.pixel or not autapse.independent
            or autapse.outputs != segments[-1]):
        return None
    common = {name: getattr(autapse, name) for name in ("bias", "threshold", "half_width", "soft", "detach", "strict")}
    return [Layer(inputs=before, outputs=here, decay=np.array(0, np.float16), **common)
            for before, here in itertools.pairwise((autapse.inputs, *segments))]


class Parts(Parameter):
    """Words that are those of several parameters, one after another."""

    def __init__(self, parts: Sequence[tuple[int, ...]], device: torch.device):
        self.parts: list[Parameter] = []
        super().__init__((sum(int(np.prod(shape)) for shape in parts),), device)
        self.parts = [Parameter(shape, device) for shape in parts]
        for name in ("value", "remainder", "momentum"):
            whole = getattr(self, name)
            for part, piece in zip(self.parts, self._cut(whole), strict=True):
                setattr(part, name, piece.view(part.value.shape))

    def _cut(self, whole):
        sizes = [part.value.numel() for part in self.parts]
        return [whole[end - size:end] for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)]

    def clear(self) -> None:
        super().clear()
        for part in self.parts:
            part.clear()

    def add_units(self, units: np.ndarray) -> None:
        if getattr(units, "dtype", None) != np.int64 or units.shape != tuple(self.value.shape):
            raise TypeError(f"a gradient sum must be an int64 array of shape {tuple(self.value.shape)}")
        for part, piece in zip(self.parts, self._cut(units), strict=True):
            part.add_units(piece.reshape(tuple(part.value.shape)))

    def integers(self) -> torch.Tensor:
        return torch.cat([part.integers().reshape(-1) for part in self.parts])


class LayeredPasses:
    """Passes over the layers of `as_layers` and those that follow, shown as the autapse network and those."""

    def __init__(
        self,
        layers: Sequence[Autapse | Layer],
        weights: Sequence[Parameter],
        biases: Sequence[Parameter | None],
        rnd: Rounder,
        *,
        make: Callable[..., Passes],
    ):
        first, rest = layers[0], [layer for layer in layers[1:] if isinstance(layer, Layer)]
        assert isinstance(first, Autapse) and isinstance(weights[0], Parts), "Golden makes them so"
        stack = as_layers(first)
        assert stack is not None, "Golden asks as_layers first"
        self._count = len(stack)
        offsets = biases[0].parts if isinstance(biases[0], Parts) else [None] * len(stack)
        self._inner = make([*stack, *rest], [*weights[0].parts, *weights[1:]], [*offsets, *biases[1:]], rnd)
        self.name = self._inner.name

    @property
    def outputs(self) -> torch.Tensor:
        """See `Passes`."""
        return self._inner.outputs

    @property
    def samples(self) -> int:
        """See `Passes.samples`."""
        return self._inner.samples

    def forward(self, spikes: torch.Tensor, keep: bool) -> torch.Tensor:
        """See `Passes.forward`."""
        return self._inner.forward(spikes, keep)

    def loss_error(self, y: torch.Tensor, targets: torch.Tensor, share: float, factor: float) -> torch.Tensor:
        """See `Passes.loss_error`."""
        return self._inner.loss_error(y, targets, share, factor)

    def backward(self, g: torch.Tensor) -> None:
        """See `Passes.backward`."""
        self._inner.backward(g)

    def add_gradient(self) -> None:
        """See `Passes.add_gradient`."""
        self._inner.add_gradient()

    def update(self, parameter: Parameter, rates: Rates) -> None:
        """See `Passes.update`."""
        for part in parameter.parts if isinstance(parameter, Parts) else [parameter]:
            self._inner.update(part, rates)

    def traces(self) -> list[dict[str, torch.Tensor]]:
        """See `Passes.traces`."""
        layers = self._inner.traces()
        if not layers:
            return []
        segments: list[Mapping[str, torch.Tensor]] = list(layers[:self._count])
        joined = {name: torch.cat([trace[name] for trace in segments], dim=2) for name in segments[0]}
        return [joined, *layers[self._count:]]
