"""The golden model: a spiking network trained by back-propagation through time, to the bit.

It follows version 1 of the arithmetic (docs/golden.md) expression by expression, vectorised over
samples, neurons and synapses. No autograd: forward, backward and update are the chip's own rules.
Tensors inside are float64 that hold binary16 values, laid out [steps, samples, neurons], so that
a step is contiguous and all steps together are one matrix.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from .network import Layer, Readout, Rules, check_chain
from .neurons import Neurons, Traces
from .numeric import EXACT_TERMS, QUANTUM_BITS, Rounder, exact_dot, odd_sum, split, to_nearest
from .optimiser import Parameter

__all__ = ["Golden", "Layer", "Readout", "Rules"]


class Golden:
    """The network, its state, and one training step in four calls.

    A step is `forward(spikes, keep=True)`, an error (`loss_error` or one of the host's own),
    `backward(error)`, `update(...)`. For a batch in pieces, call `accumulate()` after each
    `backward` and `update` once. Where `overflow` is up after `backward`, skip the update and call
    `clear_overflow` and `clear_gradient`.

    Parameters
    ----------
    layers : sequence of Layer
    rules : Rules
    device : str
        Where PyTorch computes; the bits do not depend on it.
    threads : int or None
        Threads of PyTorch, for the whole process; None leaves them as they are.

    Raises
    ------
    ValueError
        If the layers do not follow one another.
    """

    def __init__(self, layers: Sequence[Layer], rules: Rules, *, device: str = "cpu", threads: int | None = None):
        self.layers = tuple(layers)
        self.rules = rules
        check_chain(self.layers)
        self.device = torch.device(device)
        if threads is not None:
            torch.set_num_threads(threads)
        self._rnd = Rounder(self.device)
        self._weights = [Parameter((layer.inputs, layer.outputs), self.device) for layer in self.layers]
        self._biases = [Parameter((layer.outputs,), self.device) if layer.bias else None for layer in self.layers]
        self._neurons = [Neurons(layer, self.device) for layer in self.layers]
        self._inputs: list[torch.Tensor] = []
        self._traces: list[Traces] = []
        self._d: list[torch.Tensor] = []
        self._pending = False

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
        current = self._spikes(spikes)
        inputs, traces = [], []
        for index, neurons in enumerate(self._neurons):
            trace = neurons.forward(*self._drive(index, current), self._rnd)
            if keep:
                inputs.append(current)
                traces.append(trace)
            current = trace.outputs
        if keep:
            self._inputs, self._traces, self._d, self._pending = inputs, traces, [], False
        # At most 2^13 steps of binary16 values: exact, and an integer in units of 2^-24.
        return Readout(y=current.sum(dim=0).mul_(2.0**QUANTUM_BITS).to(torch.int64).cpu().numpy())

    def _drive(self, index: int, spikes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Sum of weights and bias, exact: one tensor, or a high and a low part where there are many inputs."""
        weight, bias = self._weights[index].value, self._biases[index]
        steps, samples, inputs = spikes.shape
        flat, shape = spikes.view(steps * samples, inputs), (steps, samples, weight.shape[1])
        offset = torch.zeros((), dtype=torch.float64, device=self.device) if bias is None else bias.value
        if inputs + 2 <= EXACT_TERMS:
            return torch.addmm(offset, flat, weight).view(shape), None
        high, low = split(weight)
        return (flat @ high).view(shape), torch.addmm(offset, flat, low).view(shape)

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
        # y has up to 53 bits: y * rnd(1/T) is exact only in two parts. The upper one is a multiple of
        # 2^-28 below 2^17, so that the target joins it exactly.
        upper = (units >> 20).to(torch.float64).mul_(2.0**-4).mul_(share)
        lower = (units & (2**20 - 1)).to(torch.float64).mul_(2.0**-24).mul_(share)
        residual = self._rnd(odd_sum(upper - self._from_half(targets), lower))
        return self._to_half(self._rnd(residual * factor))

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
        if not self._inputs:
            raise RuntimeError("backward needs the traces of a forward pass: call forward(spikes, keep=True) first")
        error = self._errors(g)
        errors = []
        for index in reversed(range(len(self.layers))):
            errors.append(self._neurons[index].backward(error, self._traces[index], self._rnd))
            if index:
                error = self._propagate(errors[-1], index)
        self._d = errors[::-1]
        self._pending = True

    def _propagate(self, errors: torch.Tensor, index: int) -> torch.Tensor:
        """g on the outputs of the layer before, computed only where its mask is set, zero elsewhere."""
        weight, mask = self._weights[index].value.T, self._traces[index - 1].m
        assert mask is not None, "only the last layer may not spike"
        error = torch.empty_like(mask, dtype=torch.float64)
        for t, d in enumerate(errors):
            error[t] = self._rnd(exact_dot(d, weight).mul_(mask[t]))
        return error

    def traces(self) -> list[dict[str, np.ndarray]]:
        """Per layer of the last `forward(keep=True)`: u float16, s and m uint8 (zero where the layer
        does not spike), and after `backward` d float16, each (samples, steps, neurons)."""
        result = []
        for index, trace in enumerate(self._traces):
            words = {"u": self._to_half(trace.u.transpose(0, 1))}
            for name, kept in (("s", trace.s), ("m", trace.m)):
                kept = torch.zeros_like(trace.u) if kept is None else kept
                words[name] = kept.transpose(0, 1).to(torch.uint8).contiguous().cpu().numpy()
            if self._d:
                words["d"] = self._to_half(self._d[index].transpose(0, 1))
            result.append(words)
        return result

    # Gradient and update

    def accumulate(self) -> None:
        """Add the gradient of the last `backward` to the exact sums, once; more calls change nothing."""
        if not self._pending:
            return
        self._pending = False
        for weight, bias, spikes, d in zip(self._weights, self._biases, self._inputs, self._d, strict=True):
            spikes, d = spikes.view(-1, spikes.shape[2]), d.view(-1, d.shape[2])
            for some_spikes, some_d in zip(spikes.split(EXACT_TERMS), d.split(EXACT_TERMS), strict=True):
                weight.add(some_spikes.T @ some_d, terms=len(some_d))
                if bias is not None:
                    bias.add(some_d.sum(dim=0), terms=len(some_d))

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
        for parameter in self._parameters().values():
            parameter.update(
                self._rnd,
                share=self._scalar(1.0 / batch),
                share_exponent=exponent - rules.scale_exponent,
                rate=self._scalar(learning_rate),
                rate_exponent=10 - exponent,
                momentum=self._scalar(momentum),
            )

    # Between words outside and float64 inside

    def _scalar(self, value: float) -> float:
        rounded = float(to_nearest(torch.tensor(float(value), dtype=torch.float64)))
        if not abs(rounded) <= 65504.0:
            raise ValueError(f"{value!r} is beyond 65504, the greatest binary16 value")
        return rounded

    def _from_half(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(array, dtype=np.float64)).to(self.device)

    @staticmethod
    def _to_half(x: torch.Tensor) -> np.ndarray:
        return x.to(torch.float16).contiguous().cpu().numpy()

    def _spikes(self, spikes: np.ndarray | torch.Tensor) -> torch.Tensor:
        spikes = torch.as_tensor(spikes)
        if spikes.dtype != torch.uint8:
            raise TypeError(f"spikes must be uint8, not {spikes.dtype}")
        steps, inputs = self.rules.steps, self.layers[0].inputs
        if spikes.dim() != 3 or spikes.shape[0] < 1 or tuple(spikes.shape[1:]) != (steps, inputs):
            raise ValueError(f"spikes must have shape (samples, {steps}, {inputs}), not {tuple(spikes.shape)}")
        if int(spikes.max()) > 1:
            raise ValueError(f"spikes must be 0 or 1, not {int(spikes.max())}")
        return spikes.to(self.device).transpose(0, 1).to(torch.float64, memory_format=torch.contiguous_format)

    def _errors(self, g: np.ndarray | torch.Tensor) -> torch.Tensor:
        g = torch.as_tensor(g)
        steps, samples, classes = self._traces[-1].u.shape
        if g.dtype != torch.float16:
            raise TypeError(f"g must be float16, not {g.dtype}")
        if tuple(g.shape) not in ((samples, classes), (samples, steps, classes)):
            raise ValueError(
                f"g must have shape ({samples}, {classes}) or ({samples}, {steps}, {classes}), not {tuple(g.shape)}"
            )
        if not bool(torch.isfinite(g).all()):
            raise ValueError("g must be finite: binary16 here has no infinity and no NaN")
        g = g.to(self.device).to(torch.float64)
        return g.transpose(0, 1) if g.dim() == 3 else g.expand(steps, samples, classes)
