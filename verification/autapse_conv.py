"""The autapse convolution beside a standard network of the same shape: the paper's gaps are 16.0 and 9.7 points.

    python -m autapse.verification.autapse_conv --data DIR [--seeds 2] [--epochs N] [--limit N] [--json FILE]

The standard network has a leaky neuron with a membrane of its own at every position: decay 0.5 from step to step and
hard reset, where the autapse neuron forgets at every node. All else is the same: one input weight, shared kernels
without wrap-around, a bias per position, threshold, surrogate, prototypes and their loss, initial words, images,
batches and rates. It is PyTorch in float32, not the chip's arithmetic; --decay 0 makes it the autapse network but for
that.
"""

import argparse
import json
import math
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ..sw_driver.autapse import LAMBDA
from ..sw_driver.network import Network
from .autapse_figures import PRESETS, Setting, network_of, parts_of, spikes_of, train


class Spike(torch.autograd.Function):
    """1 from the threshold on; its derivative is that of a ramp as wide as the rules' mask."""

    @staticmethod
    def forward(ctx, u: torch.Tensor, threshold: float, half_width: float) -> torch.Tensor:
        ctx.save_for_backward((u - threshold).abs() < half_width)
        ctx.height = 0.5 / half_width
        return (u >= threshold).to(u.dtype)

    @staticmethod
    def backward(ctx, *grads: torch.Tensor):
        (mask,) = ctx.saved_tensors
        return grads[0] * mask * ctx.height, None, None


class Bit(torch.autograd.Function):
    """A prototype's bit from its latent word, with the arctan's derivative."""

    @staticmethod
    def forward(ctx, latent: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(latent)
        return (latent >= 0).to(latent.dtype)

    @staticmethod
    def backward(ctx, *grads: torch.Tensor):
        (latent,) = ctx.saved_tensors
        return grads[0] / (1.0 + (math.pi * latent) ** 2)


class Standard(torch.nn.Module):
    """Leaky neurons at every position of the maps of `setting`, read by prototypes.

    Parameters
    ----------
    setting, network
        What to build, and the network of autapses whose shape and initial words it takes.
    seed, decay
        Of the initial words; what a membrane keeps from step to step.
    """

    def __init__(self, setting: Setting, network: Network, seed: int, decay: float):
        super().__init__()
        assert setting.shape is not None and network.prototypes is not None, "network_of makes them so"
        self._maps = [(channels, *setting.shape) for channels in setting.channels]
        self._half_width, self._decay = setting.half_width, decay
        self._temperature = network.prototypes.temperature
        first, read = network.initial_state(seed)
        assert first.bias is not None, "a convolution has biases unless told otherwise"
        words, biases = (torch.from_numpy(array.astype(np.float32)) for array in (first.weight, first.bias))
        sizes = [maps[0] * before[0] * 9 for before, maps in zip(self._maps, self._maps[1:], strict=False)]
        pieces = words[1:].split(sizes)
        self.weight = torch.nn.Parameter(words[:1].clone())
        self.kernels = torch.nn.ParameterList(
            piece.reshape(maps[0], before[0], 3, 3).clone()
            for piece, before, maps in zip(pieces, self._maps, self._maps[1:], strict=False))
        self.biases = torch.nn.ParameterList(
            piece.reshape(maps).clone()
            for piece, maps in zip(biases.split([math.prod(maps) for maps in self._maps]), self._maps, strict=True))
        self.latent = torch.nn.Parameter(torch.from_numpy(read.weight.astype(np.float32)))

    def forward(self, spikes: torch.Tensor) -> torch.Tensor:
        """Distances (samples, classes) from spikes (samples, steps, inputs)."""
        membranes: list[torch.Tensor | None] = [None] * len(self._maps)
        code = []
        for step in spikes.unbind(1):
            s = step.view(-1, 1, *self._maps[0][1:])
            for index, bias in enumerate(self.biases):
                drive = torch.nn.functional.conv2d(s, self.kernels[index - 1], padding=1) if index else self.weight * s
                before = membranes[index]
                u = drive + bias if before is None else drive + bias + self._decay * before
                s = Spike.apply(u, 1.0, self._half_width)
                assert isinstance(s, torch.Tensor), "a function of one result"
                membranes[index] = u * (1.0 - s.detach())
            code.append(s.flatten(1))
        flat, kept = torch.cat(code, dim=1), Bit.apply(self.latent)
        assert isinstance(kept, torch.Tensor), "a function of one result"
        return flat.sum(dim=1, keepdim=True) + kept.sum(dim=0) - 2.0 * (flat @ kept)

    def loss(self, distances: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """As docs/autapse.md has it, mean over the batch."""
        scaled = distances / self._temperature
        return torch.nn.functional.cross_entropy(-scaled, labels) \
            + LAMBDA * scaled.gather(1, labels[:, None]).mean()


def train_standard(setting: Setting, folder: Path, seed: int, *, decay: float = 0.5, say=print) -> dict:
    """As `autapse_figures.train`: the same pictures in the same batches."""
    pictures, labels, tests, test_labels = parts_of(folder, setting)
    model = Standard(setting, network_of(setting), seed, decay)
    descent = torch.optim.SGD(model.parameters(), lr=setting.rate, momentum=setting.momentum)
    rng, began = np.random.default_rng([seed, 7]), time.perf_counter()
    total, done, score = setting.epochs * -(-len(labels) // setting.batch), 0, 0.0

    def distances(some: np.ndarray, rng: np.random.Generator | None = None) -> torch.Tensor:
        return model(torch.from_numpy(spikes_of(some, setting, rng)).to(torch.float32))

    for epoch in range(setting.epochs):
        order = rng.permutation(len(labels))
        for start in range(0, len(order), setting.batch):
            chosen = order[start:start + setting.batch]
            descent.param_groups[0]["lr"] = setting.rate * 0.5 * (1 + math.cos(math.pi * done / total))
            descent.zero_grad()
            model.loss(distances(pictures[chosen], rng), torch.from_numpy(labels[chosen])).backward()
            descent.step()
            done += 1
        if epoch % 5 == 4 or epoch + 1 == setting.epochs:
            with torch.no_grad():
                hits = [distances(tests[at:at + 500]).argmin(dim=1).numpy() == test_labels[at:at + 500]
                        for at in range(0, len(tests), 500)]
            score = float(np.concatenate(hits).mean())
            say(f"standard, seed {seed} epoch {epoch + 1}: {100 * score:.2f} %, {time.perf_counter() - began:.0f} s")
    return {"seed": seed, "test_accuracy": score, "seconds": time.perf_counter() - began}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist/ and fashion-mnist/, or the files")
    parser.add_argument("--set", choices=("mnist", "fashion"), default="mnist")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--decay", type=float, default=0.5, help="of the standard network's membranes")
    parser.add_argument("--json", type=Path)
    for name in ("epochs", "limit", "holdout"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("rate", "half_width", "temperature"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float)
    given = vars(parser.parse_args())
    names = ("epochs", "limit", "holdout", "rate", "half_width", "temperature")
    setting = replace(PRESETS["conv"], data=given["set"], **{n: given[n] for n in names if given[n] is not None})
    print(setting, flush=True)
    torch.set_num_threads(1)
    runs = []
    for seed in range(1, given["seeds"] + 1):
        def say(line: str) -> None:
            print(line, flush=True)
        standard = train_standard(setting, given["data"], seed, decay=given["decay"], say=say)
        runs.append({"autapse": train(setting, given["data"], seed, say=say), "standard": standard})
    pairs = [tuple(100 * run[kind]["test_accuracy"] for kind in ("autapse", "standard")) for run in runs]
    gaps = [standard - autapse for autapse, standard in pairs]
    print("autapse, standard: " + "; ".join(f"{autapse:.2f}, {standard:.2f}" for autapse, standard in pairs))
    print(f"gap {statistics.mean(gaps):.2f} points" + (f" +- {statistics.stdev(gaps):.2f}" if len(gaps) > 1 else ""))
    if given["json"]:
        given["json"].write_text(json.dumps({"setting": str(setting), "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
