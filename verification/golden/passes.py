"""The passes of the golden model in PyTorch, on any device: what `kernel.cpp` must equal.

Tensors inside are float64 that hold binary16 values, laid out [steps, samples, neurons], so that a step is contiguous
and all steps together are one matrix.
"""

from collections.abc import Sequence
from typing import Protocol

import torch

from .network import Layer
from .neurons import Neurons, Traces
from .numeric import EXACT_TERMS, QUANTUM_BITS, Rounder, exact_dot, odd_sum, split
from .optimiser import Parameter, Rates


class Passes(Protocol):
    """What `Golden` asks of those who compute for it. All of them give the same bits."""

    name: str

    @property
    def outputs(self) -> torch.Tensor:
        """The last layer's spikes in the last `forward`, (samples, steps, neurons); of one that has none, anything."""
        ...

    @property
    def samples(self) -> int:
        """How many samples are kept for `backward`."""
        ...

    def forward(self, spikes: torch.Tensor, keep: bool) -> torch.Tensor:
        """Spikes uint8 (samples, steps, inputs) to y, int64 (samples, classes) in units of 2^-24; `keep` the traces."""
        ...

    def loss_error(self, y: torch.Tensor, targets: torch.Tensor, share: float, factor: float) -> torch.Tensor:
        """g = rnd(factor rnd(share y - targets)) as float64, from y as `forward` gives it and float64 targets."""
        ...

    def backward(self, g: torch.Tensor) -> None:
        """Errors d of all layers, from g float16 (samples, steps, classes), steps 1 if they are all alike."""
        ...

    def add_gradient(self) -> None:
        """Add the gradient that follows from the kept traces to the parameters' sums."""
        ...

    def update(self, parameter: Parameter, rates: Rates) -> None:
        """One step of a parameter, whose sums start anew."""
        ...

    def traces(self) -> list[dict[str, torch.Tensor]]:
        """Per layer u, s, m and, after `backward`, d of what is kept, (samples, steps, neurons)."""
        ...


class TorchPasses:
    """Forward, backward, gradient and update of a chain of layers."""

    name = "torch"

    def __init__(
        self, layers: Sequence[Layer], weights: Sequence[Parameter], biases: Sequence[Parameter | None], rnd: Rounder
    ):
        self._weights, self._biases, self._rnd = weights, biases, rnd
        self._device = weights[0].value.device
        self._neurons = [Neurons(layer, self._device) for layer in layers]
        self._inputs: list[torch.Tensor] = []
        self._traces: list[Traces] = []
        self._d: list[torch.Tensor] = []
        self.outputs = torch.empty(0)

    @property
    def samples(self) -> int:
        """See `Passes.samples`."""
        return self._traces[-1].u.shape[1] if self._traces else 0

    def forward(self, spikes: torch.Tensor, keep: bool) -> torch.Tensor:
        """See `Passes.forward`."""
        current = spikes.transpose(0, 1).to(torch.float64, memory_format=torch.contiguous_format)
        inputs, traces = [], []
        for index, neurons in enumerate(self._neurons):
            trace = neurons.forward(*self._drive(index, current), self._rnd)
            if keep:
                inputs.append(current)
                traces.append(trace)
            current = trace.outputs
        if keep:
            self._inputs, self._traces, self._d = inputs, traces, []
        self.outputs = current.transpose(0, 1)
        # At most 2^13 steps of binary16 values: exact, and an integer in units of 2^-24.
        return current.sum(dim=0).mul_(2.0**QUANTUM_BITS).to(torch.int64)

    def _drive(self, index: int, spikes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Sum of weights and bias, exact: one tensor, or a high and a low part where there are many inputs."""
        weight, bias = self._weights[index].value, self._biases[index]
        steps, samples, inputs = spikes.shape
        flat, shape = spikes.view(steps * samples, inputs), (steps, samples, weight.shape[1])
        offset = torch.zeros((), dtype=torch.float64, device=self._device) if bias is None else bias.value
        if inputs + 2 <= EXACT_TERMS:
            return torch.addmm(offset, flat, weight).view(shape), None
        high, low = split(weight)
        return (flat @ high).view(shape), torch.addmm(offset, flat, low).view(shape)

    def loss_error(self, y: torch.Tensor, targets: torch.Tensor, share: float, factor: float) -> torch.Tensor:
        """See `Passes.loss_error`."""
        # y has up to 53 bits: y * rnd(1/T) is exact only in two parts. The upper one is a multiple of
        # 2^-28 below 2^17, so that the target joins it exactly.
        upper = (y >> 20).to(torch.float64).mul_(2.0**-4).mul_(share)
        lower = (y & (2**20 - 1)).to(torch.float64).mul_(2.0**-24).mul_(share)
        return self._rnd(self._rnd(odd_sum(upper - targets, lower)) * factor)

    def backward(self, g: torch.Tensor) -> None:
        """See `Passes.backward`."""
        steps, samples, classes = self._traces[-1].u.shape
        error = g.to(self._device).to(torch.float64).transpose(0, 1).expand(steps, samples, classes)
        errors = []
        for index in reversed(range(len(self._neurons))):
            errors.append(self._neurons[index].backward(error, self._traces[index], self._rnd))
            if index:
                error = self._propagate(errors[-1], index)
        self._d = errors[::-1]

    def errors(self) -> torch.Tensor:
        """The first layer's d after `backward`, [steps, samples, neurons]."""
        return self._d[0]

    def _propagate(self, errors: torch.Tensor, index: int) -> torch.Tensor:
        """g on the outputs of the layer before, computed only where its mask is set, zero elsewhere."""
        weight, mask = self._weights[index].value.T, self._traces[index - 1].m
        assert mask is not None, "only the last layer may not spike"
        error = torch.empty_like(mask, dtype=torch.float64)
        for t, d in enumerate(errors):
            error[t] = self._rnd(exact_dot(d, weight).mul_(mask[t]))
        return error

    def add_gradient(self) -> None:
        """See `Passes.add_gradient`."""
        for weight, bias, spikes, d in zip(self._weights, self._biases, self._inputs, self._d, strict=True):
            spikes, d = spikes.view(-1, spikes.shape[2]), d.view(-1, d.shape[2])
            for some_spikes, some_d in zip(spikes.split(EXACT_TERMS), d.split(EXACT_TERMS), strict=True):
                weight.add(some_spikes.T @ some_d, terms=len(some_d))
                if bias is not None:
                    bias.add(some_d.sum(dim=0), terms=len(some_d))

    def update(self, parameter: Parameter, rates: Rates) -> None:
        """See `Passes.update`."""
        parameter.update(self._rnd, rates)

    def traces(self) -> list[dict[str, torch.Tensor]]:
        """See `Passes.traces`."""
        result = []
        for index, trace in enumerate(self._traces):
            s, m = (torch.zeros_like(trace.u) if kept is None else kept for kept in (trace.s, trace.m))
            words = {"u": trace.u, "s": s, "m": m} | ({"d": self._d[index]} if self._d else {})
            result.append({name: word.transpose(0, 1) for name, word in words.items()})
        return result
