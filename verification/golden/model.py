"""The golden model: a spiking network trained by back-propagation through time, to the bit.

It follows version 1 of the arithmetic (docs/golden.md) expression by expression, vectorised over
samples, neurons and synapses. No autograd: forward, backward and update are the chip's own rules.
`passes.py` states them in PyTorch, `kernel.cpp` once more for a processor; here is what the two share:
the network's state, the loss, and the door through which words come in.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from .autapse import Autapse
from .autapse_layers import LayeredPasses, Parts, as_layers
from .autapse_passes import AutapsePasses
from .kernel import NoKernel
from .native import NativePasses
from .network import Layer, Readout, Rules, check_chain
from .numeric import Rounder
from .optimiser import Parameter, Rates
from .passes import Passes, TorchPasses

__all__ = ["Autapse", "Golden", "Layer", "NoKernel", "Readout", "Rules"]


class Golden:
    """The network, its state, and one training step in four calls.

    A step is `forward(spikes, keep=True)`, an error (`loss_error` or one of the host's own),
    `backward(error)`, `update(...)`. For a batch in pieces, call `accumulate()` after each
    `backward` and `update` once. Where `overflow` is up after `backward`, skip the update and call
    `clear_overflow` and `clear_gradient`.

    Parameters
    ----------
    layers : sequence of Layer
        The first may be an Autapse in its place.
    rules : Rules
    device : str
        Where PyTorch computes; the bits do not depend on it.
    threads : int or None
        Threads of PyTorch, for the whole process; None leaves them as they are.
    kernel : str or None
        "native", C++ compiled here, for device "cpu" only; "torch"; or None, native where it can be had. The
        bits do not depend on it.

    Raises
    ------
    ValueError
        If the layers do not follow one another, or the kernel is unknown or not for this device.
    NoKernel
        If the kernel is "native" and cannot be compiled.
    """

    def __init__(
        self,
        layers: Sequence[Layer | Autapse],
        rules: Rules,
        *,
        device: str = "cpu",
        threads: int | None = None,
        kernel: str | None = None,
    ):
        self.layers = tuple(layers)
        self.rules = rules
        check_chain(self.layers)
        self.device = torch.device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        self._rnd = Rounder(self.device)
        self._stack = self._perceptron(kernel)
        self._weights = [Parameter(layer.weight_shape, self.device) for layer in self.layers]
        self._biases = [Parameter(layer.bias_shape, self.device) if layer.bias else None for layer in self.layers]
        if self._stack:
            self._weights[0] = Parts([layer.weight_shape for layer in self._stack], self.device)
            self._biases[0] = self._biases[0] and Parts([layer.bias_shape for layer in self._stack], self.device)
        self._passes = self._choose(kernel)
        self._pending = False

    def _perceptron(self, kernel: str | None) -> list[Layer] | None:
        """The layers that an autapse network is computed as; with "torch", which defines it, node by node."""
        first = self.layers[0]
        return as_layers(first) if isinstance(first, Autapse) and kernel != "torch" else None

    def _choose(self, kernel: str | None) -> Passes:
        on_cpu = self.device.type == "cpu"
        if kernel not in (None, "native", "torch"):
            raise ValueError(f'kernel must be "native", "torch" or None, not {kernel!r}')
        if kernel == "native" and not on_cpu:
            raise ValueError(f'the native kernel computes on "cpu" only, not on {str(self.device)!r}; use "torch"')
        parts: tuple[Any, ...] = self.layers, self._weights, self._biases, self._rnd
        if isinstance(self.layers[0], Autapse) and not self._stack:
            return AutapsePasses(*parts)  # there is no other
        if kernel != "torch" and on_cpu:
            try:
                return LayeredPasses(*parts, make=NativePasses) if self._stack else NativePasses(*parts)
            except NoKernel:
                if kernel == "native":
                    raise
        return LayeredPasses(*parts, make=TorchPasses) if self._stack else TorchPasses(*parts)

    @property
    def kernel(self) -> str:
        """Who computes: "native" or "torch"."""
        return self._passes.name

    # State

    def _parameters(self) -> dict[str, Parameter]:
        named = {}
        for index, (weight, bias) in enumerate(zip(self._weights, self._biases, strict=True)):
            named[f"{index}.weight"] = weight
            if bias is not None:
                named[f"{index}.bias"] = bias
        return named

    @property
    def weights(self) -> list[dict[str, torch.Tensor | None]]:
        """Per layer, float16 copies: weight (inputs, outputs), bias (outputs,) or None, and of each
        its `_remainder` and `_momentum`."""
        state = self.get_state()
        return [
            {
                kind + part: torch.from_numpy(state[f"{index}.{kind}{part}"]) if f"{index}.{kind}" in state else None
                for kind in ("weight", "bias")
                for part in ("", "_remainder", "_momentum")
            }
            for index in range(len(self.layers))
        ]

    def get_state(self) -> dict[str, np.ndarray]:
        """All stored words as float16: for layer 0 "0.weight", "0.weight_remainder" (R),
        "0.weight_momentum" (M), and with a bias "0.bias", "0.bias_remainder", "0.bias_momentum"."""
        state = {}
        for name, parameter in self._parameters().items():
            for part, array in parameter.words().items():
                state[name + part] = array
        return state

    def set_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Set the words that are named, as `get_state` names them; the others stay.

        A weight or bias without its remainder or momentum sets these to zero.

        Raises
        ------
        TypeError, ValueError
            If a name is unknown, or an array is not finite float16 of the right shape; nothing is set then.
        """
        parameters = self._parameters()
        known = {name + part: p for name, p in parameters.items() for part in Parameter.PARTS}
        for name, array in state.items():
            if name not in known:
                raise ValueError(f"state has no word {name!r}; it has {', '.join(known)}")
            known[name].check(name, array)
        for name, parameter in parameters.items():
            parameter.set({part: state[name + part] for part in Parameter.PARTS if name + part in state})

    @property
    def overflow(self) -> bool:
        """Sticky: a rounding whose result is used went beyond 65504."""
        return self._rnd.overflow

    def clear_overflow(self) -> None:
        self._rnd.clear()

    # Forward

    def forward(self, spikes: np.ndarray | torch.Tensor, keep: bool = False) -> Readout:
        """Run every step of every sample from v = 0.

        Parameters
        ----------
        spikes : uint8, shape (samples, steps, inputs), each 0 or 1
        keep : bool
            Keep the traces for `backward`, in place of earlier ones; errors of an earlier `backward` that
            `accumulate` has not added are dropped. Without it, traces and errors stay as they are.

        Raises
        ------
        TypeError, ValueError
            If the spikes are of another type, shape or value.
        """
        y = self._passes.forward(self._spikes(spikes), keep)
        if keep:
            self._pending = False
        return Readout(y=y.cpu().numpy())

    def codes(self) -> np.ndarray:
        """The last layer's spikes in the last `forward`, kept or not: uint8 (samples, steps, neurons).

        Of a layer that does not spike, zeros or membranes.
        """
        return self._to_bits(self._passes.outputs)

    # Loss and backward

    def loss_error(self, y: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Mean squared error: g of every step, float16 (samples, classes).

        `y` is what `forward` returned (its readout or that one's y), `targets` float16 of the same shape.
        """
        y = y.y if isinstance(y, Readout) else np.asarray(y)
        targets = np.asarray(targets)
        if targets.dtype != np.float16 or targets.shape != y.shape:
            raise TypeError(f"targets must be float16 of shape {y.shape}, not {targets.dtype} of shape {targets.shape}")
        if not np.isfinite(targets).all():
            raise ValueError("targets must be finite: binary16 here has no infinity and no NaN")
        units = torch.from_numpy(np.ascontiguousarray(y, dtype=np.int64)).to(self.device)
        share = self._scalar(1.0 / self.rules.steps)
        factor = self._scalar(self.rules.error_factor(self.layers[-1].outputs))
        return self._to_half(self._passes.loss_error(units, self._from_half(targets), share, factor))

    def backward(self, g: np.ndarray | torch.Tensor) -> None:
        """Errors d of every neuron and step, from the errors on the last layer's outputs.

        Parameters
        ----------
        g : float16, shape (samples, classes) for every step alike, or (samples, steps, classes)

        Raises
        ------
        RuntimeError
            If no `forward(..., keep=True)` came before.
        TypeError, ValueError
            If g is of another type or shape, or not finite.
        """
        if not self._passes.samples:
            raise RuntimeError("backward needs the traces of a forward pass: call forward(spikes, keep=True) first")
        self._passes.backward(self._errors(g))
        self._pending = True

    def traces(self) -> list[dict[str, np.ndarray]]:
        """Per layer of the last `forward(keep=True)`: u float16, s and m uint8 (zero where the layer
        does not spike), and after `backward` d float16, each (samples, steps, neurons)."""
        return [
            {name: self._to_half(word) if name in "ud" else self._to_bits(word) for name, word in trace.items()}
            for trace in self._passes.traces()
        ]

    # Gradient and update

    def accumulate(self) -> None:
        """Add the gradient of the last `backward` to the exact sums, once; more calls change nothing."""
        if not self._pending:
            return
        self._pending = False
        self._passes.add_gradient()

    def gradient(self) -> dict[str, np.ndarray]:
        """The exact sums so far as int64 in units of 2^-24, named and shaped like the weights and biases."""
        self.accumulate()
        return {name: parameter.units() for name, parameter in self._parameters().items()}

    def add_gradient(self, units: Mapping[str, np.ndarray]) -> None:
        """Add exact sums that another model or board took over other samples of the batch, as `gradient` gives them."""
        self.accumulate()
        for name, parameter in self._parameters().items():
            parameter.add_units(units[name])

    def clear_gradient(self) -> None:
        """Drop the sums and the errors not yet added."""
        self._pending = False
        for parameter in self._parameters().values():
            parameter.clear()

    def update(self, batch: int, learning_rate: float, momentum: float) -> None:
        """Round the gradient once and take one step of stochastic gradient descent; the sums start anew.

        Parameters
        ----------
        batch : int
            B, the samples of the whole batch.
        learning_rate, momentum : float
            Rounded to binary16 first.
        """
        if batch < 1:
            raise ValueError(f"batch must be a whole number of at least 1, not {batch!r}")
        self.accumulate()
        rules, exponent = self.rules, self.rules.momentum_exponent
        assert exponent is not None, "Rules replaces None"
        rates = Rates(
            share=self._scalar(1.0 / batch) * 2.0 ** (exponent - rules.scale_exponent),
            rate=self._scalar(learning_rate) * 2.0 ** (10 - exponent),
            momentum=self._scalar(momentum),
        )
        for parameter in self._parameters().values():
            self._passes.update(parameter, rates)

    # Between words outside and float64 inside

    @staticmethod
    def _scalar(value: float) -> float:
        with np.errstate(over="ignore"):
            rounded = float(np.float16(value))
        if not abs(rounded) <= 65504.0:
            raise ValueError(f"{value!r} is beyond 65504, the greatest binary16 value")
        return rounded

    def _from_half(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(array, dtype=np.float64)).to(self.device)

    @staticmethod
    def _to_half(x: torch.Tensor) -> np.ndarray:
        return x.to(torch.float16).contiguous().cpu().numpy()

    @staticmethod
    def _to_bits(x: torch.Tensor) -> np.ndarray:
        return x.contiguous().to(torch.uint8, copy=True).cpu().numpy()

    def _spikes(self, spikes: np.ndarray | torch.Tensor) -> torch.Tensor:
        spikes = torch.as_tensor(spikes)
        if spikes.dtype != torch.uint8:
            raise TypeError(f"spikes must be uint8, not {spikes.dtype}")
        steps, inputs = self.rules.steps, self.layers[0].inputs
        if spikes.dim() != 3 or spikes.shape[0] < 1 or tuple(spikes.shape[1:]) != (steps, inputs):
            raise ValueError(f"spikes must have shape (samples, {steps}, {inputs}), not {tuple(spikes.shape)}")
        # NumPy does not wake PyTorch's threads for so little.
        greatest = int(spikes.numpy().max() if spikes.device.type == "cpu" else spikes.max())
        if greatest > 1:
            raise ValueError(f"spikes must be 0 or 1, not {greatest}")
        return spikes.to(self.device)

    def _errors(self, g: np.ndarray | torch.Tensor) -> torch.Tensor:
        g = torch.as_tensor(g)
        steps, samples, classes = self.rules.steps, self._passes.samples, self.layers[-1].outputs
        if g.dtype != torch.float16:
            raise TypeError(f"g must be float16, not {g.dtype}")
        if tuple(g.shape) not in ((samples, classes), (samples, steps, classes)):
            raise ValueError(
                f"g must have shape ({samples}, {classes}) or ({samples}, {steps}, {classes}), not {tuple(g.shape)}"
            )
        if not bool(torch.isfinite(g).all()):
            raise ValueError("g must be finite: binary16 here has no infinity and no NaN")
        return g if g.dim() == 3 else g.unsqueeze(1)
