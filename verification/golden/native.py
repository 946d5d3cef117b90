"""The passes of the golden model by the C++ kernel: the same bits as `passes.py`, several times as fast.

Traces are laid out [samples, steps, neurons], so that threads share out the samples; spikes and masks are bytes.
"""

import ctypes
from collections.abc import Sequence

import numpy as np
import torch

from . import kernel
from .network import Layer
from .numeric import QUANTUM_BITS, Rounder
from .optimiser import Parameter, Rates


def _per_neuron(constant: np.ndarray, layer: Layer) -> torch.Tensor:
    return torch.from_numpy(np.broadcast_to(constant, layer.outputs).astype(np.float64))


class NativePasses:
    """Forward, backward, gradient and update of a chain of layers on the processor; see `passes.Passes`.

    Raises
    ------
    kernel.NoKernel
        If there is no kernel.
    """

    name = "native"

    def __init__(
        self, layers: Sequence[Layer], weights: Sequence[Parameter], biases: Sequence[Parameter | None], rnd: Rounder
    ):
        self._library = kernel.load()
        self._layers, self._weights, self._biases, self._rnd = layers, weights, biases, rnd
        self._no_bias = [torch.zeros(layer.outputs, dtype=torch.float64) for layer in layers]
        self._constants = [[_per_neuron(x, layer) for x in (layer.decay, layer.threshold)] for layer in layers]
        self._shapes = [
            kernel.LayerShape(
                layer.inputs, layer.outputs, layer.soft, layer.detach, layer.strict, layer.spiking, layer.half_width,
                decay.data_ptr(), threshold.data_ptr(),
            )
            for layer, (decay, threshold) in zip(layers, self._constants, strict=True)
        ]  # fmt: skip
        self._spikes: list[torch.Tensor] = []
        self._traces: list[dict[str, torch.Tensor]] = []
        self.outputs = torch.empty(0)

    def _call(self, name: str, *arguments) -> None:
        """A function of kernel.cpp; tensors, which must be contiguous, go as pointers."""
        plain = [x.data_ptr() if isinstance(x, torch.Tensor) else x for x in arguments]
        if getattr(self._library, name)(*plain):
            self._rnd.raise_flag()

    def _layer(self, index: int) -> int:
        return ctypes.addressof(self._shapes[index])

    @property
    def samples(self) -> int:
        """How many samples are kept."""
        return len(self._traces[-1]["u"]) if self._traces else 0

    def forward(self, spikes: torch.Tensor, keep: bool) -> torch.Tensor:
        """See `passes.Passes.forward`."""
        inputs, traces = [], []
        # A copy where it is kept: the caller may write to the array before the gradient is taken. By NumPy, for
        # PyTorch would wake its threads, which then spin beside the kernel's.
        current = torch.from_numpy(spikes.numpy().copy()) if keep else spikes.contiguous()
        for index, layer in enumerate(self._layers):
            u = torch.empty((*spikes.shape[:2], layer.outputs), dtype=torch.float64)
            make = torch.empty_like if layer.spiking else torch.zeros_like
            s, m = make(u, dtype=torch.uint8), make(u, dtype=torch.uint8)
            bias = self._biases[index]
            self._call("forward", self._layer(index), self._weights[index].value,
                       self._no_bias[index] if bias is None else bias.value, current, *spikes.shape[:2],
                       u, s, m, torch.get_num_threads())  # fmt: skip
            inputs.append(current)
            traces.append({"u": u, "s": s, "m": m})
            current = s
        if keep:
            self._spikes, self._traces = inputs, traces
        self.outputs = current
        if self._layers[-1].spiking:
            return current.sum(dim=1) << QUANTUM_BITS
        return traces[-1]["u"].sum(dim=1).mul_(2.0**QUANTUM_BITS).to(torch.int64)

    def loss_error(self, y: torch.Tensor, targets: torch.Tensor, share: float, factor: float) -> torch.Tensor:
        """See `passes.Passes.loss_error`."""
        g = torch.empty(y.shape, dtype=torch.float64)
        self._call("loss", y.numel(), y.contiguous(), targets.contiguous(), share, factor, g)
        return g

    def backward(self, g: torch.Tensor) -> None:
        """See `passes.Passes.backward`."""
        threads = torch.get_num_threads()
        for index in reversed(range(len(self._layers))):
            trace, shape = self._traces[index], self._layer(index)
            u, s, m = trace["u"], trace["s"], trace["m"]
            if index == len(self._layers) - 1:
                d = g.expand(u.shape).to(torch.float64, memory_format=torch.contiguous_format, copy=True)
            else:
                later = self._layer(index + 1)
                d = torch.empty_like(u)
                self._call("propagate", later, self._weights[index + 1].value, len(u) * u.shape[1],
                           self._traces[index + 1]["d"], m, d, threads)  # fmt: skip
            self._call("backward", shape, *u.shape[:2], u, s, m, d, threads)
            trace["d"] = d

    def add_gradient(self) -> None:
        """See `passes.Passes.add_gradient`."""
        for index, (spikes, trace) in enumerate(zip(self._spikes, self._traces, strict=True)):
            rows, bias = spikes.shape[0] * spikes.shape[1], self._biases[index]
            weights, on_top = self._weights[index].sums(terms=rows)
            biases = None if bias is None else bias.sums(terms=rows)[0]
            self._call("gradient", self._layer(index), rows, spikes, trace["d"], weights, biases,
                       on_top, torch.get_num_threads())  # fmt: skip

    def update(self, parameter: Parameter, rates: Rates) -> None:
        """See `passes.Passes.update`."""
        self._call("update", parameter.value.numel(), parameter.value, parameter.remainder, parameter.momentum,
                   parameter.integers(), rates.share, rates.rate, rates.momentum,
                   torch.get_num_threads())  # fmt: skip
        parameter.clear()

    def traces(self) -> list[dict[str, torch.Tensor]]:
        """See `passes.Passes.traces`."""
        return self._traces
