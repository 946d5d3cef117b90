"""The figures of docs/autapse.md on images: perceptrons trained by the golden model, over several seeds.

    python -m autapse.verification.autapse_figures mnist --data DIR [--seeds 3] [--epochs N] [--json FILE]

Spikes are slices of brightness (encoder "planes" or "planes-spread"), errors are those of the prototypes' loss, rounded
once at the error port; stochastic gradient descent with momentum, its rate falling along a half cosine. Weights, spikes
and errors are the chip's, to the bit. The host changes training images alone: they are shifted by up to `shift` pixels,
mirrored at random where `mirror`, brightened or darkened by up to a share `gain`, and lose a share `drop` of their
pixels. With --average S what is scored in the end is the mean of the words over the last share S of the updates,
rounded to binary16 once and loaded. With --holdout N the last N training images are not trained on and are scored in
place of the test images: to choose settings by.
"""

import argparse
import itertools
import json
import math
import statistics
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ..sw_driver.autapse import Autapse
from ..sw_driver.data.images import _find, read_idx
from ..sw_driver.device import open as open_device
from ..sw_driver.encode import encode
from ..sw_driver.half import half_scalar
from ..sw_driver.loss import Loss
from ..sw_driver.network import LI, LIF, LayerState, Linear, Network, TrainingSpec

FOLDERS = {"mnist": "mnist", "fashion": "fashion-mnist"}
_EVERY = 10     # updates from one state that is averaged to the next: neighbours differ little


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How one network is trained; `kind` "autapse", "lif" (the same layers with decay 0.5 and a count readout)."""

    data: str = "mnist"
    kind: str = "autapse"
    segments: tuple[int, ...] = (156, 100)
    shape: tuple[int, int] | None = None    # of a convolution in place of the perceptron
    channels: tuple[int, ...] = (1, 1)
    steps: int = 4
    epochs: int = 20
    batch: int = 128
    rate: float = 0.1
    momentum: float = 0.9
    encoder: str = "planes"
    half_width: float = 0.5
    temperature: float = 10.0
    shift: int = 1
    mirror: bool = False
    drop: float = 0.0
    gain: float = 0.0
    scale: float = 1.0      # of the initial weights
    average: float = 0.0    # share of the updates, the last ones, over which the words are averaged
    limit: int | None = None
    holdout: int = 0


PRESETS = {
    "mnist": Setting(),
    "mnist16": Setting(segments=(16,), steps=8, epochs=12, rate=0.05, half_width=1.0, temperature=3.0, shift=0),
    "fashion": Setting(data="fashion", segments=(256,), steps=8, encoder="planes-spread", epochs=40, batch=64,
                       half_width=1.0, temperature=20.0, shift=0, mirror=True, drop=0.03, gain=0.25, scale=0.25,
                       average=0.3),
    "conv": Setting(shape=(28, 28), channels=(1, 1), epochs=3, shift=0, half_width=0.5, temperature=64.0, limit=20000),
}


def network_of(setting: Setting) -> Network:
    """The network that a setting trains."""
    if setting.shape:
        area = math.prod(setting.shape)
        first = Autapse(area, area * sum(setting.channels), structure="conv", shape=setting.shape,
                        channels=setting.channels, readout="prototype", classes=10, half_width=setting.half_width,
                        temperature=setting.temperature)
        return Network([first], steps=setting.steps)
    if setting.kind == "lif":
        sizes = (784, *setting.segments)
        modules: list = []
        for before, here in itertools.pairwise(sizes):
            modules += [Linear(before, here), LIF(decay=0.5, half_width=setting.half_width)]
        return Network([*modules, Linear(sizes[-1], 10), LI(decay=0.5)], steps=setting.steps)
    first = Autapse(784, sum(setting.segments), segments=setting.segments, readout="prototype", classes=10,
                    half_width=setting.half_width, temperature=setting.temperature)
    return Network([first], steps=setting.steps)


def images(folder: Path, setting: Setting) -> list[np.ndarray]:
    """Training images and labels, test images and labels."""
    place = folder / FOLDERS[setting.data]
    place = place if place.is_dir() else folder
    stems = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    return [read_idx(_find(place, stem)) for stem in stems]


def parts_of(folder: Path, setting: Setting) -> tuple[np.ndarray, ...]:
    """Pictures and labels to train on, and to score."""
    pictures, labels, tests, test_labels = images(folder, setting)
    kept = len(labels) - setting.holdout
    if setting.holdout:
        tests, test_labels = pictures[kept:], labels[kept:]
    kept = min(kept, setting.limit or kept)
    return pictures[:kept], labels[:kept].astype(np.int64), tests, test_labels.astype(np.int64)


def changed(pictures: np.ndarray, setting: Setting, rng: np.random.Generator) -> np.ndarray:
    """Mirrored and shifted copies."""
    if setting.mirror:
        turn = rng.random(len(pictures)) < 0.5
        pictures = np.where(turn[:, None, None], pictures[:, :, ::-1], pictures)
    if not setting.shift:
        return pictures
    far = setting.shift
    wide = np.pad(pictures, ((0, 0), (far, far), (far, far)))
    down, right = rng.integers(0, 2 * far + 1, (2, len(pictures)))
    height, width = pictures.shape[1:]
    rows = down[:, None, None] + np.arange(height)[None, :, None]
    columns = right[:, None, None] + np.arange(width)[None, None, :]
    return wide[np.arange(len(pictures))[:, None, None], rows, columns]


def spikes_of(pictures: np.ndarray, setting: Setting, rng: np.random.Generator | None = None) -> np.ndarray:
    """uint8 (samples, steps, pixels); with `rng`, as they are trained on."""
    if rng is None:
        return encode(setting.encoder, pictures.reshape(len(pictures), -1), full=255, steps=setting.steps)
    pictures = changed(pictures, setting, rng)
    if setting.gain:
        gains = 1 + setting.gain * (2 * rng.random((len(pictures), 1, 1)) - 1)
        pictures = np.minimum(pictures * gains, 255).astype(np.uint8)
    if setting.drop:
        pictures = np.where(rng.random(pictures.shape) < setting.drop, 0, pictures)
    return spikes_of(pictures, setting)


class Average:
    """The mean of the words of many states, latent words of prototypes among them."""

    def __init__(self):
        self._sums: list[dict[str, np.ndarray]] = []
        self._count = 0

    def add(self, state: list[LayerState]) -> None:
        """One more state; sums of binary16 words in float64 are exact here."""
        words = [{name: array.astype(np.float64) for name, array in layer.arrays().items()} for layer in state]
        self._sums = words if not self._count else [{name: array + old[name] for name, array in new.items()}
                                                    for old, new in zip(self._sums, words, strict=True)]
        self._count += 1

    def state(self) -> list[LayerState]:
        """The mean, rounded to binary16 once; remainders and momenta are zero, for nothing trains on from it."""
        means = [{name: (array / self._count).astype(np.float16) for name, array in layer.items()}
                 for layer in self._sums]
        return [LayerState.fresh(layer["weight"], layer.get("bias")) for layer in means]


def accuracy(device, pictures: np.ndarray, labels: np.ndarray, setting: Setting) -> float:
    """The share of pictures that the device, as it is loaded, gives their label."""
    hits = [device.infer(spikes_of(pictures[at:at + 500], setting)).argmax(axis=1) == labels[at:at + 500]
            for at in range(0, len(labels), 500)]
    return float(np.concatenate(hits).mean())


def train(setting: Setting, folder: Path, seed: int, *, say=print) -> dict:
    """Trains once; the test accuracy after the last epoch is the figure, and no epoch is chosen by it.

    With `average` it is the accuracy of the averaged words, and `last` that of the words of the last epoch.
    """
    pictures, labels, tests, test_labels = parts_of(folder, setting)
    network = network_of(setting)
    kind = "prototype" if network.prototypes is not None else "cross_entropy"
    training = TrainingSpec(learning_rate=setting.rate, momentum=setting.momentum, batch=setting.batch, loss=kind)
    loss, rng = Loss(network, training), np.random.default_rng([seed, 7])
    average, curve, began, scored = Average(), [], time.perf_counter(), "held out" if setting.holdout else "test"
    with open_device("golden", threads=1) as device:
        device.load(network, training)
        device.write_state(network.initial_state(seed, scale=setting.scale))
        total, done = setting.epochs * -(-len(labels) // setting.batch), 0
        for epoch in range(setting.epochs):
            order, skipped, correct = rng.permutation(len(labels)), 0, 0
            for start in range(0, len(order), setting.batch):
                chosen = order[start:start + setting.batch]
                spikes = spikes_of(pictures[chosen], setting, rng)
                result = device.accumulate(spikes, **loss.request(labels[chosen]))
                correct += int((result.readouts.argmax(axis=1) == labels[chosen]).sum())
                rate = setting.rate * 0.5 * (1 + math.cos(math.pi * done / total))
                done += 1
                if result.overflow:
                    skipped += 1
                else:
                    device.update(samples=len(chosen), learning_rate=max(half_scalar(rate, "rate"), 2.0**-24),
                                  momentum=setting.momentum)
                if done > total * (1 - setting.average) and done % _EVERY == 0:
                    average.add(device.read_state())
            if epoch % 5 == 4 or epoch + 1 == setting.epochs:
                curve.append((epoch + 1, accuracy(device, tests, test_labels, setting)))
                say(f"seed {seed} epoch {epoch + 1}: training {100 * correct / len(order):.2f} %, {scored} "
                    f"{100 * curve[-1][1]:.2f} %, {skipped} batches skipped, {time.perf_counter() - began:.0f} s")
        figure = curve[-1][1]
        if setting.average:
            device.write_state(average.state())
            figure = accuracy(device, tests, test_labels, setting)
            say(f"seed {seed}, averaged words: {scored} {100 * figure:.2f} %")
    return {"seed": seed, "test_accuracy": figure, "last": curve[-1][1], "curve": curve,
            "seconds": time.perf_counter() - began}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", choices=PRESETS)
    parser.add_argument("--data", type=Path, required=True, help="folder with mnist/ and fashion-mnist/, or the files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--lif", action="store_true", help="the same layers as neurons of their own, for comparison")
    kinds = {int: ("epochs", "steps", "batch", "shift", "limit", "holdout"), str: ("encoder",),
             float: ("rate", "half_width", "temperature", "drop", "gain", "scale", "average")}
    for kind, names in kinds.items():
        for name in names:
            parser.add_argument(f"--{name.replace('_', '-')}", type=kind)
    parser.add_argument("--segments", type=lambda text: tuple(map(int, text.split("+"))), help="such as 156+100")
    given = vars(parser.parse_args())
    setting = PRESETS[given["preset"]]
    setting = replace(setting, kind="lif" if given["lif"] else "autapse", **{
        name: given[name] for name in (*asdict(setting),) if given.get(name) is not None and name != "data"})
    print(f"{given['preset']}: {network_of(setting)}, {setting}", flush=True)
    runs = [train(setting, given["data"], seed, say=lambda line: print(line, flush=True))
            for seed in range(1, given["seeds"] + 1)]
    scores = [100 * run["test_accuracy"] for run in runs]
    spread = statistics.stdev(scores) if len(scores) > 1 else 0.0
    print(f"{given['preset']}: {statistics.mean(scores):.2f} +- {spread:.2f} % over {len(scores)} seeds: "
          + ", ".join(f"{score:.2f}" for score in scores))
    if given["json"]:
        given["json"].write_text(json.dumps({"setting": asdict(setting), "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
