"""Training samples per second of the golden model, beside float32 libraries in the same run.

The task is MNIST's shape, 784-256-10 and 4 steps, on made-up images of its density: speed does not depend on what is
learnt, only on how many inputs and neurons spike. All sides take turns, so that they share what else the machine does.
"""

import functools
import importlib.metadata
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..compare_mnist import rate_code, read_mnist
from ..golden.model import Golden, Layer, NoKernel, Rules
from . import BenchError
from .rivals import ByHand, SnnTorch, SpikingJelly, Task, Trainer

BASELINE = "snnTorch"
BATCHES = (32, 128)
SEED = 7
_POOL = 1024  # samples, taken in turn


class Model:
    """The golden model as a `Trainer`, by one of its kernels."""

    def __init__(self, task: Task, state: dict[str, np.ndarray], *, kernel: str):
        common = {
            "bias": True, "decay": np.float16(task.decay), "threshold": np.float16(task.threshold),
            "half_width": task.half_width, "strict": True,
        }  # fmt: skip
        inputs, hidden, classes = task.sizes
        layers = [
            Layer(inputs=inputs, outputs=hidden, **common),
            Layer(inputs=hidden, outputs=classes, spiking=False, **common),
        ]
        self.task = task
        self.golden = Golden(layers, Rules(steps=task.steps, loss_scale=1024.0), kernel=kernel)
        self.golden.set_state(state)

    def train(self, spikes: np.ndarray, targets: np.ndarray) -> None:
        """See `Trainer.train`. As the driver does, a batch that overflows is skipped."""
        golden = self.golden
        golden.clear_overflow()
        golden.clear_gradient()
        golden.backward(golden.loss_error(golden.forward(spikes, keep=True).y, targets))
        if not golden.overflow:
            golden.update(len(spikes), self.task.learning_rate, self.task.momentum)


SIDES: dict[str, Callable[[Task, dict[str, np.ndarray]], Trainer]] = {
    "golden, C++": functools.partial(Model, kernel="native"),
    "golden, PyTorch": functools.partial(Model, kernel="torch"),
    BASELINE: SnnTorch,
    "SpikingJelly": SpikingJelly,
    "float32 by hand": ByHand,
}


def first_state(task: Task) -> dict[str, np.ndarray]:
    """Weights and biases from U(-1, 1) / sqrt(inputs) as binary16."""
    rng = np.random.default_rng(SEED)
    state = {}
    for index, (n_in, n_out) in enumerate(itertools.pairwise(task.sizes)):
        for name, shape in (("weight", (n_in, n_out)), ("bias", (n_out,))):
            state[f"{index}.{name}"] = (rng.uniform(-1, 1, size=shape) / np.sqrt(n_in)).astype(np.float16)
    return state


def mnist(task: Task, count: int, folder: str) -> tuple[np.ndarray, np.ndarray]:
    """The first training images of MNIST, as `made_up_images` makes them. Raises BenchError if they are not there."""
    try:
        pixels, labels = read_mnist(Path(folder))["train"]
    except (OSError, ValueError) as error:
        raise BenchError(str(error)) from None
    return rate_code(pixels[:count], steps=task.steps), np.eye(task.sizes[-1], dtype=np.float16)[labels[:count]]


def made_up_images(task: Task, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Spikes uint8 (samples, steps, inputs) of some 12 % density, and targets float16 (samples, classes).

    Each class has its own blobs of bright pixels, a sample keeps most of them, and each bright pixel spikes in most
    steps, as an image of a digit does under rate coding.
    """
    rng = np.random.default_rng(SEED + 1)
    inputs, classes = task.sizes[0], task.sizes[-1]
    starts = rng.integers(0, inputs - 14, size=(classes, 12))
    bright = np.zeros((classes, inputs), bool)
    for label, row in enumerate(starts):
        for start in row:
            bright[label, start : start + 14] = True
    labels = rng.integers(0, classes, samples)
    kept = bright[labels] & (rng.random((samples, inputs)) < 0.8)
    spikes = kept[:, None] & (rng.random((samples, task.steps, inputs)) < 0.8)
    return spikes.astype(np.uint8), np.eye(classes, dtype=np.float16)[labels]


def measure(*, quick: bool, say: Callable, data: str | None = None, threads: int = 2) -> dict:
    """Time all sides in turn; a side whose package is missing is left out, and a note says so.

    Parameters
    ----------
    quick : bool
        Three short turns each in place of seven longer ones.
    say : callable
        Takes a sentence and the fraction that is done.
    data : str or None
        Folder with the idx files of MNIST, whose first training images then take the place of made-up ones.
    threads : int
        Threads of PyTorch, and of the C++ kernel.

    Returns
    -------
    dict of plain data
        For `autapse bench`, and beside that rows (name, batch, samples/s as the median of the turns, least and
        greatest, and ratio to the baseline's median of the same batch, None without it), baseline, and machine.
    """
    task, before = Task(), torch.get_num_threads()
    turns, seconds = (3, 0.25) if quick else (7, 1.0)
    state, samples = first_state(task), made_up_images(task, _POOL) if data is None else mnist(task, _POOL, data)
    rows, notes = [], ["samples/s is the median of the turns, which the sides take one after the other"]
    load = os.getloadavg()[0]
    if threads > 1 and load > 0.7:
        notes.append(f"the machine was busy before (load {load:.1f}): PyTorch's threads wait for one another then")
    torch.set_num_threads(threads)
    try:
        for number, batch in enumerate(BATCHES):
            sides = {}
            for name, make in SIDES.items():
                try:
                    sides[name] = make(task, state)
                except (ImportError, NoKernel) as error:
                    note = f"{name} is left out: {error}"
                    notes += [note] if note not in notes else []

            def told(turn: int, *, number: int = number, batch: int = batch) -> None:
                say(f"batches of {batch}, turn {turn + 1} of {turns}", (number + turn / turns) / len(BATCHES))

            rows += _rows(batch, _speeds(sides, samples, batch=batch, turns=turns, seconds=seconds, told=told))
    finally:
        torch.set_num_threads(before)
    sizes = "-".join(map(str, task.sizes))
    return {
        "subject": "golden",
        "title": f"Golden model: training {sizes}, {task.steps} steps, beside float32",
        "settings": {
            "spikes": "made up, of MNIST's density" if data is None else "the first training images of MNIST",
            "input density": f"{100 * samples[0].mean():.1f} %",
            "threads": threads,
            "load before": round(load, 2),
            "turns": f"{turns} of {seconds} s",
        },
        "tables": [{"title": "training", "rows": rows}],
        "charts": [
            {
                "title": f"training samples per second, batches of {batch}",
                "unit": "samples/s",
                "labels": [row["name"] for row in rows if row["batch"] == batch],
                "series": {"samples/s": [row["samples/s"] for row in rows if row["batch"] == batch]},
            }
            for batch in BATCHES
        ],
        "notes": notes,
        "rows": rows,
        "baseline": BASELINE,
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "threads": threads, "versions": _versions()},
    }


def _speeds(
    sides: dict[str, Trainer],
    samples: tuple[np.ndarray, np.ndarray],
    *,
    batch: int,
    turns: int,
    seconds: float,
    told: Callable[[int], None],
) -> dict[str, list[float]]:
    for trainer in sides.values():
        samples_per_second(trainer, samples, batch=batch, seconds=seconds / 2)  # caches, allocations, thread pools
    speeds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns):
        told(turn)
        for name, trainer in sides.items():
            speeds[name].append(samples_per_second(trainer, samples, batch=batch, seconds=seconds))
    return speeds


def _rows(batch: int, speeds: dict[str, list[float]]) -> list[dict]:
    medians = {name: statistics.median(some) for name, some in speeds.items()}
    base = medians.get(BASELINE)
    return [
        {
            "name": name,
            "batch": batch,
            "samples/s": median,
            "least": min(speeds[name]),
            "greatest": max(speeds[name]),
            f"ratio to {BASELINE}": median / base if base else None,
        }
        for name, median in medians.items()
    ]


def samples_per_second(trainer: Trainer, data: tuple[np.ndarray, np.ndarray], *, batch: int, seconds: float) -> float:
    """Train batch after batch for at least so long."""
    spikes, targets = data
    starts = range(0, len(spikes) - batch + 1, batch)
    done, begin = 0, time.perf_counter()
    while True:
        for start in starts:
            trainer.train(spikes[start : start + batch], targets[start : start + batch])
            done += batch
            if (elapsed := time.perf_counter() - begin) >= seconds:
                return done / elapsed


def _versions() -> dict[str, str]:
    versions = {"torch": str(torch.__version__)}
    for package in ("snntorch", "spikingjelly"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
