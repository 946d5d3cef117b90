"""Leaky integrate-and-fire neurons and membrane readouts: forward over the steps, and backward.

Tensors are float64 that hold binary16 values, [steps, samples, neurons].

    u[t] = rnd(mul(decay, v[t-1]) + drive[t])                        v[-1] = 0
    s[t] = u[t] >= threshold (or >),   m[t] = |u[t] - threshold| < h
    v[t] = s[t] ? 0 : u[t]             or, soft,   rnd(u[t] - threshold s[t])

    e[t] = rnd(g[t] - mul(decay, u[t]) d[t+1])                       soft: mul(decay, threshold)
    d[t] = rnd(m[t] c e[t] + (1 - s[t]) mul(decay, d[t+1]))          soft: without 1 - s[t];  c = 1 / (2 h)

Neurons that do not spike have v = u and d[t] = rnd(g[t] + mul(decay, d[t+1])).
"""

from dataclasses import dataclass

import numpy as np
import torch

from .network import Layer
from .numeric import Rounder, odd_sum


@dataclass(frozen=True)
class Traces:
    """What a forward pass leaves: membranes u, and spikes s (0 or 1) and masks m (bool) where neurons spike."""

    u: torch.Tensor
    s: torch.Tensor | None
    m: torch.Tensor | None

    @property
    def outputs(self) -> torch.Tensor:
        """What is counted, and what the next layer sees."""
        return self.u if self.s is None else self.s


class Neurons:
    """The neurons of one layer, with their constants on a device."""

    def __init__(self, layer: Layer, device: torch.device):
        self.layer = layer
        self.decay = torch.from_numpy(np.asarray(layer.decay, np.float64)).to(device)
        self.threshold = torch.from_numpy(np.asarray(layer.threshold, np.float64)).to(device)

    def forward(self, drive: torch.Tensor, rest: torch.Tensor | None, rnd: Rounder) -> Traces:
        """Every step. `drive`, plus `rest` where one float64 does not hold the sum, is exact; it becomes u."""
        layer, threshold = self.layer, self.threshold
        s = torch.empty_like(drive) if layer.spiking else None
        m = torch.empty_like(drive, dtype=torch.bool) if layer.spiking else None
        v = None
        for t in range(len(drive)):
            if v is not None:
                (drive if rest is None else rest)[t] += rnd(v * self.decay)
            u = drive[t] = rnd(drive[t] if rest is None else odd_sum(drive[t], rest[t]))
            v = u
            if s is None or m is None:
                continue
            fired = u > threshold if layer.strict else u >= threshold
            s[t] = fired
            torch.lt((u - threshold).abs_(), layer.half_width, out=m[t])
            if t + 1 < len(drive):  # The last v is of no use: it must raise no overflow.
                v = rnd(u - threshold * s[t]) if layer.soft else u.masked_fill(fired, 0.0)
        return Traces(drive, s, m)

    def backward(self, error: torch.Tensor, traces: Traces, rnd: Rounder) -> torch.Tensor:
        """Errors d from the errors g on the outputs.

        Plain float64 sums do: where e or d needs more than 53 bits, the greater term has at most 11,
        so that the rounding returns it, or the result saturates.
        """
        d = torch.empty_like(traces.u)
        if traces.s is None or traces.m is None:
            self._backward_readout(error, d, rnd)
        else:
            self._backward_spiking(error, d, traces.u, traces.s, traces.m, rnd)
        return d

    def _backward_readout(self, error: torch.Tensor, d: torch.Tensor, rnd: Rounder) -> None:
        later = None
        for t in reversed(range(len(d))):
            later = d[t] = rnd(error[t] if later is None else error[t] + rnd(later * self.decay))

    def _backward_spiking(
        self, error: torch.Tensor, d: torch.Tensor, u: torch.Tensor, s: torch.Tensor, m: torch.Tensor, rnd: Rounder
    ) -> None:
        layer, later = self.layer, None
        height = 0.5 / layer.half_width
        for t in reversed(range(len(d))):
            e = error[t] * m[t]
            if not layer.detach:
                # Computed, so that it may overflow, wherever m = 1: at the last step too, where d[T] = 0.
                gate = rnd(m[t] * (self.threshold if layer.soft else u[t]) * self.decay)
                if later is not None:
                    e = rnd(e - gate * later)
            e = e * height
            if later is not None:
                leak = later * self.decay
                e += rnd(leak if layer.soft else leak.masked_fill_(s[t].bool(), 0.0))
            later = d[t] = rnd(e)
