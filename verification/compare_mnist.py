"""MNIST on the golden model and on snnTorch's float32 `Leaky`: what does binary16 with exact sums cost?

Both sides see the same spikes, first weights, batches in the same order, learning rates and loss.

    python -m autapse.verification.compare_mnist --data DIR                    # both losses, both sides
    python -m autapse.verification.compare_mnist --data DIR --preset accurate  # the golden model, to 98 %

DIR holds the four idx files of MNIST, gzipped. docs/golden.md has the figures.
"""

import argparse
import gzip
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from .golden.model import Golden, Layer, Rules
from .golden.numeric import to_nearest

CLASSES = 10
FULL = 255


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One experiment; the rates are per batch, the learning rate falls linearly to `final_rate` of itself."""

    hidden: int = 256
    steps: int = 4
    batch: int = 128
    epochs: int = 5
    loss: str = "mse"
    learning_rate: float = 0.5
    final_rate: float = 0.1
    momentum: float = 0.9
    loss_scale: float = 1024.0
    decay: float = 0.5
    threshold: float = 1.0
    half_width: float = 0.5
    phase: float = 0.0
    seed: int = 1

    def rate_of(self, epoch: int) -> float:
        """Learning rate of an epoch, a binary16 value."""
        share = epoch / max(1, self.epochs - 1)
        return float(np.float16(self.learning_rate * (1 + (self.final_rate - 1) * share)))


# Summed membranes as logits have a gradient several times that of the squared error of their mean.
SETUPS = {"mse": Setup(), "cross-entropy": Setup(loss="cross-entropy", learning_rate=0.1, loss_scale=256.0)}
PRESETS = {
    "accurate": Setup(
        hidden=512, epochs=8, loss="cross-entropy", learning_rate=0.03, final_rate=0.02, loss_scale=64.0, decay=0.75,
        threshold=0.5, phase=0.5,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Result:
    """Test accuracy in percent after each epoch, and training samples per second."""

    accuracy: list[float]
    samples_per_second: float
    skipped: int = 0


def read_idx(path: Path) -> np.ndarray:
    """A gzipped idx file of bytes. Raises ValueError if it is not one, FileNotFoundError if it is not there."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; --data must name a folder with the four gzipped MNIST files")
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path} is not an idx file of bytes")
    sizes = np.frombuffer(raw, ">u4", count=raw[3], offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(sizes)


def read_mnist(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{"train": (pixels (60000, 784), labels), "test": ...}, all uint8."""
    sets = {}
    for name, stem in (("train", "train"), ("test", "t10k")):
        images = read_idx(folder / f"{stem}-images-idx3-ubyte.gz")
        sets[name] = images.reshape(len(images), -1), read_idx(folder / f"{stem}-labels-idx1-ubyte.gz")
    return sets


def rate_code(pixels: np.ndarray, *, steps: int, phase: float = 0.0) -> np.ndarray:
    """Evenly spaced spikes, uint8 (samples, steps, inputs): one at t iff floor((t+1) p + phase) > floor(t p + phase).

    p = pixel / 255; the phase, from 0 to below 1, is taken as a multiple of 1/255. Integers decide, so nothing rounds.
    """
    pixels, offset = pixels.astype(np.uint16), int(phase * FULL)
    spikes = np.empty((len(pixels), steps, pixels.shape[1]), np.uint8)
    before = 0
    for t in range(steps):
        count = (pixels * (t + 1) + offset) // FULL
        spikes[:, t] = count > before
        before = count
    return spikes


def first_state(setup: Setup, inputs: int) -> dict[str, np.ndarray]:
    """Weights and biases from U(-1/sqrt(n), 1/sqrt(n)), n the inputs of a neuron, as binary16."""
    rng = np.random.default_rng(setup.seed)
    state = {}
    for index, (n_in, n_out) in enumerate(((inputs, setup.hidden), (setup.hidden, CLASSES))):
        for name, shape in (("weight", (n_in, n_out)), ("bias", (n_out,))):
            state[f"{index}.{name}"] = (rng.uniform(-1, 1, size=shape) / np.sqrt(n_in)).astype(np.float16)
    return state


def batches(
    setup: Setup, samples: tuple[np.ndarray, np.ndarray], epoch: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Spikes and labels of every batch of an epoch, in an order that seed and epoch alone decide."""
    pixels, labels = samples
    order = np.random.default_rng((setup.seed, epoch)).permutation(len(labels))
    for start in range(0, len(order), setup.batch):
        chosen = order[start : start + setup.batch]
        yield rate_code(pixels[chosen], steps=setup.steps, phase=setup.phase), labels[chosen]


def cross_entropy_error(y: np.ndarray, labels: np.ndarray, loss_scale: float) -> np.ndarray:
    """S times the gradient of the cross-entropy of softmax(y) by y, in float64 and rounded once to float16.

    `y` is int64 in units of 2^-24 as `Golden.forward` gives it, (samples, classes).
    """
    logits = y * 2.0**-24
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    gradient = odds / odds.sum(axis=1, keepdims=True)
    gradient[np.arange(len(labels)), labels] -= 1.0
    return to_nearest(torch.from_numpy(gradient * loss_scale)).to(torch.float16).numpy()


def run(setup: Setup, data: dict, train: Callable, predict: Callable, say: Callable[[str], None]) -> Result:
    """Train for the epochs of the setup; `train(spikes, labels, rate)` returns whether it updated."""
    accuracy, seconds, skipped = [], 0.0, 0
    for epoch in range(setup.epochs):
        start = time.perf_counter()
        for spikes, some_labels in batches(setup, data["train"], epoch):
            skipped += not train(spikes, some_labels, setup.rate_of(epoch))
        seconds += time.perf_counter() - start
        right, (pixels, labels) = 0, data["test"]
        for first in range(0, len(labels), 500):
            spikes = rate_code(pixels[first : first + 500], steps=setup.steps, phase=setup.phase)
            right += int((predict(spikes) == labels[first : first + 500]).sum())
        accuracy.append(100.0 * right / len(labels))
        say(f"  epoch {epoch + 1}/{setup.epochs}: {accuracy[-1]:.2f} %, {seconds:.0f} s of training")
    return Result(accuracy, setup.epochs * len(data["train"][1]) / seconds, skipped)


def run_golden(setup: Setup, data: dict, *, device: str, say: Callable[[str], None]) -> Result:
    """The experiment on the golden model."""
    inputs = data["train"][0].shape[1]
    common = {
        "bias": True, "decay": np.float16(setup.decay), "threshold": np.float16(setup.threshold),
        "half_width": setup.half_width, "strict": True,
    }  # fmt: skip
    layers = [
        Layer(inputs=inputs, outputs=setup.hidden, **common),
        Layer(inputs=setup.hidden, outputs=CLASSES, spiking=False, **common),
    ]
    golden = Golden(layers, Rules(steps=setup.steps, loss_scale=setup.loss_scale), device=device)
    golden.set_state(first_state(setup, inputs))
    targets = np.eye(CLASSES, dtype=np.float16)

    def train(spikes: np.ndarray, labels: np.ndarray, rate: float) -> bool:
        golden.clear_overflow()  # an update may have saturated a word, which is no reason to skip this batch
        golden.clear_gradient()
        y = golden.forward(spikes, keep=True).y
        if setup.loss == "mse":
            golden.backward(golden.loss_error(y, targets[labels]))
        else:
            golden.backward(cross_entropy_error(y, labels, setup.loss_scale))
        if golden.overflow:
            return False
        golden.update(len(labels), rate, setup.momentum)
        return True

    return run(setup, data, train, lambda spikes: golden.forward(spikes).prediction, say)


def run_snntorch(setup: Setup, data: dict, *, device: str, say: Callable[[str], None]) -> Result:
    """The experiment in float32 with snnTorch, whose reset is asked not to be a step late."""
    try:
        import snntorch
    except ImportError as error:
        raise RuntimeError("the comparison needs snnTorch: pip install snntorch, or give --only golden") from error

    class Box(torch.autograd.Function):
        @staticmethod
        def forward(ctx, distance):
            ctx.save_for_backward(distance)
            return (distance > 0).float()

        @staticmethod
        def backward(ctx, *grads):
            return grads[0] * (ctx.saved_tensors[0].abs() < setup.half_width) * (0.5 / setup.half_width)

    inputs = data["train"][0].shape[1]
    linear = [torch.nn.Linear(inputs, setup.hidden), torch.nn.Linear(setup.hidden, CLASSES)]
    state = first_state(setup, inputs)
    with torch.no_grad():
        for index, layer in enumerate(linear):
            layer.weight.copy_(torch.from_numpy(state[f"{index}.weight"].astype(np.float32).T))
            layer.bias.copy_(torch.from_numpy(state[f"{index}.bias"].astype(np.float32)))
    network = torch.nn.ModuleList(linear).to(device)
    constants = {"beta": setup.decay, "threshold": setup.threshold, "spike_grad": Box.apply}
    hidden = snntorch.Leaky(reset_mechanism="zero", reset_delay=False, **constants).to(device)
    readout = snntorch.Leaky(reset_mechanism="none", **constants).to(device)
    optimiser = torch.optim.SGD(network.parameters(), lr=setup.learning_rate, momentum=setup.momentum)
    targets = torch.eye(CLASSES, device=device)

    def forward(spikes: np.ndarray) -> torch.Tensor:
        current = network[0](torch.from_numpy(spikes).to(device).float())
        v_hidden, v_readout = hidden.reset_mem(), readout.reset_mem()
        y = torch.zeros(len(spikes), CLASSES, device=device)
        for t in range(setup.steps):
            s, v_hidden = hidden(current[:, t], v_hidden)
            _, v_readout = readout(network[1](s), v_readout)
            y = y + v_readout
        return y

    def train(spikes: np.ndarray, labels: np.ndarray, rate: float) -> bool:
        optimiser.param_groups[0]["lr"] = rate
        chosen = torch.from_numpy(labels.astype(np.int64)).to(device)
        y = forward(spikes)
        if setup.loss == "mse":
            loss = (y / setup.steps - targets[chosen]).square().mean(dim=1).mean()
        else:
            loss = torch.nn.functional.cross_entropy(y, chosen)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return True

    @torch.no_grad()
    def predict(spikes: np.ndarray) -> np.ndarray:
        return forward(spikes).argmax(dim=1).cpu().numpy()

    return run(setup, data, train, predict, say)


def compare(setup: Setup, data: dict, *, only: str | None, device: str, say: Callable[[str], None]) -> dict:
    """One experiment on the sides asked for, as plain data."""
    report: dict = {"setup": asdict(setup)}
    for name, side in (("golden", run_golden), ("snntorch", run_snntorch)):
        if only in (None, name):
            say(f"{name}, {setup.loss}, 784-{setup.hidden}-10, {setup.steps} steps")
            report[name] = asdict(side(setup, data, device=device, say=say))
    if only is None:
        report["difference"] = report["golden"]["accuracy"][-1] - report["snntorch"]["accuracy"][-1]
    return report


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="compare_mnist", description="MNIST on the golden model and on snnTorch")
    parser.add_argument("--data", type=Path, required=True, help="folder with the four gzipped idx files")
    parser.add_argument("--preset", choices=sorted(PRESETS), help="one named experiment on the golden model alone")
    parser.add_argument("--loss", choices=(*SETUPS, "both"), default="both")
    parser.add_argument("--only", choices=("golden", "snntorch"), help="run one side")
    parser.add_argument("--epochs", type=int, help="default 5, or the preset's")
    parser.add_argument("--learning-rate", type=float, help="at the start")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--quiet", action="store_true", help="only the last lines")
    return parser.parse_args(arguments)


def setups(options: argparse.Namespace) -> list[Setup]:
    """What to train: a preset, or the comparison of the losses asked for."""
    if options.preset:
        chosen = [PRESETS[options.preset]]
    else:
        chosen = [setup for loss, setup in SETUPS.items() if options.loss in (loss, "both")]
    changes = {"epochs": options.epochs, "learning_rate": options.learning_rate, "seed": options.seed}
    return [replace(setup, **{name: value for name, value in changes.items() if value is not None}) for setup in chosen]


def main(arguments: list[str] | None = None) -> int:
    """The command; 0, or 2 with one sentence on standard error."""
    options = parse(sys.argv[1:] if arguments is None else arguments)
    torch.set_num_threads(options.threads)
    try:
        data = read_mnist(options.data)
    except (OSError, ValueError) as error:
        print(f"compare_mnist: {error}", file=sys.stderr)
        return 2
    only = options.only or ("golden" if options.preset else None)
    reports = []
    for setup in setups(options):
        reports.append(
            compare(setup, data, only=only, device=options.device, say=(lambda _: None) if options.quiet else print)
        )
        for name in ("golden", "snntorch"):
            if name in reports[-1]:
                accuracy, speed = reports[-1][name]["accuracy"][-1], reports[-1][name]["samples_per_second"]
                print(f"{setup.loss:13} {name:9} {accuracy:6.2f} %  {speed:7.0f} samples/s")
        if "difference" in reports[-1]:
            print(f"{setup.loss:13} golden - snnTorch: {reports[-1]['difference']:+.2f} points")
    if options.json:
        options.json.write_text(json.dumps(reports, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
