"""The same networks in plain float32 PyTorch with autograd: a check of direction, never of bits.

It shares the equations of the golden model but not its backward rules: the gradient comes from
autograd through a rectangular surrogate. Where every number is exact in both, the two must agree
exactly; elsewhere their gradients must point the same way.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from .network import Layer


class _RectangularSpike(torch.autograd.Function):
    """A step forward; a box of half-width h and height 1 / (2 h) backward."""

    @staticmethod
    def forward(ctx, distance: torch.Tensor, half_width: float, strict: bool) -> torch.Tensor:
        ctx.save_for_backward(distance)
        ctx.half_width = half_width
        return (distance > 0 if strict else distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx, *grads: torch.Tensor):
        (distance,) = ctx.saved_tensors
        return grads[0] * (distance.abs() < ctx.half_width) / (2.0 * ctx.half_width), None, None


class FloatNetwork(torch.nn.Module):
    """Leaky integrate-and-fire layers in floating point.

        u[t] = decay v[t-1] + s_in[t] W + b,   s[t] = u[t] >= threshold (or >)
        v[t] = u[t] (1 - s[t])  or  u[t] - threshold s[t]

    Parameters
    ----------
    layers : sequence of Layer
    state : mapping
        Words as `Golden.get_state` names them; remainders and momenta are not looked at.
    dtype : torch.dtype
    """

    def __init__(self, layers: Sequence[Layer], state: Mapping[str, np.ndarray], *, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.layers = tuple(layers)
        self.words = torch.nn.ParameterDict()
        for index, layer in enumerate(self.layers):
            for name in ("weight", "bias") if layer.bias else ("weight",):
                word = torch.from_numpy(state[f"{index}.{name}"].astype(np.float64))
                self.words[f"{index}_{name}"] = torch.nn.Parameter(word.to(dtype))

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Spikes (samples, steps, inputs) to the last layer's spikes or membranes (samples, steps, classes)."""
        current = spikes
        for index, layer in enumerate(self.layers):
            current = self._run(index, layer, current)
        return current

    def _run(self, index: int, layer: Layer, spikes: torch.Tensor) -> torch.Tensor:
        weight = self.words[f"{index}_weight"]
        drive = spikes @ weight
        if layer.bias:
            drive = drive + self.words[f"{index}_bias"]
        constants = (layer.decay, layer.threshold)
        decay, threshold = (torch.from_numpy(np.asarray(x, np.float64)).to(weight) for x in constants)
        v = torch.zeros_like(drive[:, 0])
        outputs = []
        for current in drive.unbind(dim=1):
            u = decay * v + current
            if not layer.spiking:
                v = u
                outputs.append(u)
                continue
            s = _RectangularSpike.apply(u - threshold, layer.half_width, layer.strict)
            reset = s.detach() if layer.detach else s
            v = u - threshold * reset if layer.soft else u * (1 - reset)
            outputs.append(s)
        return torch.stack(outputs, dim=1)

    def gradient(self) -> dict[str, np.ndarray]:
        """The gradients after a backward pass, named as `Golden.gradient` names them."""
        return {name.replace("_", "."): word.grad.numpy() for name, word in self.words.items() if word.grad is not None}


def mean_squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum over samples of the mean over classes of (y / T - target)^2: what `Golden.loss_error` differentiates."""
    return (outputs.mean(dim=1) - targets).square().mean(dim=1).sum()
