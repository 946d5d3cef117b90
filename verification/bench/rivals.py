"""The golden model's training once more in float32: snnTorch, SpikingJelly, and a loop written by hand.

Two linear layers; leaky integrate-and-fire with a hard reset between them, membranes that leak after them; mean squared
error of the membranes' mean; stochastic gradient descent with momentum. All start from the same weights.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is trained: sizes of the layers, steps, and the constants that hold for both layers."""

    sizes: tuple[int, int, int] = (784, 256, 10)
    steps: int = 4
    decay: float = 0.5
    threshold: float = 1.0
    half_width: float = 0.5
    learning_rate: float = 0.1
    momentum: float = 0.9


class Trainer(Protocol):
    """One step of training on a batch."""

    def train(self, spikes: np.ndarray, targets: np.ndarray) -> None:
        """Spikes uint8 (samples, steps, inputs), targets float16 (samples, classes)."""
        ...


class _Autograd:
    """What the two libraries share: linear layers, loss, optimiser."""

    def __init__(self, task: Task, state: Mapping[str, np.ndarray]):
        self.task = task
        self.linear = [torch.nn.Linear(*pair) for pair in itertools.pairwise(task.sizes)]
        with torch.no_grad():
            for index, layer in enumerate(self.linear):
                layer.weight.copy_(torch.from_numpy(state[f"{index}.weight"].astype(np.float32).T))
                layer.bias.copy_(torch.from_numpy(state[f"{index}.bias"].astype(np.float32)))
        words = [word for layer in self.linear for word in layer.parameters()]
        self.optimiser = torch.optim.SGD(words, lr=task.learning_rate, momentum=task.momentum)

    def mean_membrane(self, spikes: torch.Tensor) -> torch.Tensor:
        """Float32 spikes (samples, steps, inputs) to the readout (samples, classes)."""
        raise NotImplementedError

    def train(self, spikes: np.ndarray, targets: np.ndarray) -> None:
        """See `Trainer.train`."""
        y = self.mean_membrane(torch.from_numpy(spikes).float())
        loss = (y - torch.from_numpy(targets).float()).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()


class SnnTorch(_Autograd):
    """snnTorch's `Leaky`, its reset not a step late. The first product is taken for all steps at once."""

    def __init__(self, task: Task, state: Mapping[str, np.ndarray]):
        import snntorch

        super().__init__(task, state)
        half_width = task.half_width

        class Box(torch.autograd.Function):
            @staticmethod
            def forward(ctx, distance):
                ctx.save_for_backward(distance)
                return (distance > 0).float()

            @staticmethod
            def backward(ctx, *grads):
                return grads[0] * (ctx.saved_tensors[0].abs() < half_width) * (0.5 / half_width)

        constants = {"beta": task.decay, "threshold": task.threshold, "spike_grad": Box.apply}
        self.hidden = snntorch.Leaky(reset_mechanism="zero", reset_delay=False, **constants)
        self.readout = snntorch.Leaky(reset_mechanism="none", **constants)

    def mean_membrane(self, spikes: torch.Tensor) -> torch.Tensor:
        """See `_Autograd.mean_membrane`."""
        current = self.linear[0](spikes)
        v_hidden, v_readout = self.hidden.reset_mem(), self.readout.reset_mem()
        total = torch.zeros(len(spikes), self.task.sizes[-1])
        for t in range(self.task.steps):
            s, v_hidden = self.hidden(current[:, t], v_hidden)
            _, v_readout = self.readout(self.linear[1](s), v_readout)
            total = total + v_readout
        return total / self.task.steps


class SpikingJelly(_Autograd):
    """SpikingJelly's `LIFNode`, over all steps in one call."""

    def __init__(self, task: Task, state: Mapping[str, np.ndarray]):
        from spikingjelly.activation_based import (  # pyright: ignore[reportMissingImports]
            functional,
            neuron,
            surrogate,
        )

        super().__init__(task, state)
        constants = {
            "tau": 1.0 / (1.0 - task.decay), "decay_input": False, "v_reset": 0.0, "step_mode": "m",
            "surrogate_function": surrogate.Rect(alpha=0.5 / task.half_width),
        }  # fmt: skip
        self.hidden = neuron.LIFNode(v_threshold=task.threshold, **constants)
        self.readout = neuron.LIFNode(v_threshold=1e30, store_v_seq=True, **constants)  # never spikes: it is read
        self._reset = functional.reset_net

    def mean_membrane(self, spikes: torch.Tensor) -> torch.Tensor:
        """See `_Autograd.mean_membrane`."""
        self._reset(self.hidden)
        self._reset(self.readout)
        self.readout(self.linear[1](self.hidden(self.linear[0](spikes.transpose(0, 1)))))
        membranes = self.readout.v_seq
        assert membranes is not None, "store_v_seq asks for them"
        return membranes.mean(dim=0)


class ByHand:
    """Forward, backward and update written out in float32 PyTorch without autograd or modules."""

    def __init__(self, task: Task, state: Mapping[str, np.ndarray]):
        self.task = task
        names = ("0.weight", "0.bias", "1.weight", "1.bias")
        self.words = [torch.from_numpy(state[name].astype(np.float32)) for name in names]
        self.momenta = [torch.zeros_like(word) for word in self.words]

    def train(self, spikes: np.ndarray, targets: np.ndarray) -> None:
        """See `Trainer.train`."""
        for word, momentum, gradient in zip(self.words, self.momenta, self.gradient(spikes, targets), strict=True):
            momentum.mul_(self.task.momentum).add_(gradient)
            word.sub_(momentum, alpha=self.task.learning_rate)

    def gradient(self, spikes: np.ndarray, targets: np.ndarray) -> list[torch.Tensor]:
        """Of both weights and biases, in the order of `words`."""
        task, (w0, b0, w1, b1) = self.task, self.words
        steps, samples = task.steps, len(spikes)
        x = torch.from_numpy(spikes).transpose(0, 1).reshape(steps * samples, -1).float()
        u = torch.addmm(b0, x, w0).view(steps, samples, -1)
        s = torch.empty_like(u)
        for t in range(steps):
            if t:
                u[t].addcmul_(u[t - 1], 1.0 - s[t - 1], value=task.decay)
            torch.gt(u[t], task.threshold, out=s[t])
        spiked = s.view(steps * samples, -1)
        v = torch.addmm(b1, spiked, w1).view(steps, samples, -1)
        for t in range(1, steps):
            v[t].add_(v[t - 1], alpha=task.decay)
        error = (v.mean(dim=0) - torch.from_numpy(targets).float()).mul_(2.0 / (steps * targets.size))
        d1 = torch.empty_like(v)
        d1[-1] = error
        for t in reversed(range(steps - 1)):
            torch.add(error, d1[t + 1], alpha=task.decay, out=d1[t])
        d1 = d1.view(steps * samples, -1)
        g = (d1 @ w1.T).view(steps, samples, -1)
        mask = ((u - task.threshold).abs() < task.half_width).float().mul_(0.5 / task.half_width)
        d0 = torch.empty_like(u)
        torch.mul(g[-1], mask[-1], out=d0[-1])
        for t in reversed(range(steps - 1)):
            later = d0[t + 1] * task.decay
            torch.addcmul((g[t] - u[t] * later) * mask[t], 1.0 - s[t], later, out=d0[t])
        d0 = d0.view(steps * samples, -1)
        return [x.T @ d0, d0.sum(dim=0), spiked.T @ d1, d1.sum(dim=0)]
