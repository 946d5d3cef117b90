"""`autapse bench golden`: that the sides train the same thing, and what the report says; no speed here."""

import json
import re

import numpy as np
import pytest
import torch

from autapse.verification.bench import BenchError, golden
from autapse.verification.bench.rivals import ByHand, SnnTorch, SpikingJelly, Task
from autapse.verification.golden.autograd import FloatNetwork
from autapse.verification.golden.model import Layer

SEED = 271
NAMES = ["0.weight", "0.bias", "1.weight", "1.bias"]


def by_autograd(task, state, spikes, targets):
    common = {
        "bias": True, "decay": np.float16(task.decay), "threshold": np.float16(task.threshold),
        "half_width": task.half_width, "strict": True,
    }  # fmt: skip
    n_in, hidden, classes = task.sizes
    layers = [
        Layer(inputs=n_in, outputs=hidden, **common),
        Layer(inputs=hidden, outputs=classes, spiking=False, **common),
    ]
    network = FloatNetwork(layers, state)
    y = network(torch.from_numpy(spikes).float()).mean(dim=1)
    (y - torch.from_numpy(targets).float()).square().mean().backward()
    return [network.gradient()[name] for name in NAMES]


def by_library(side, task, state, spikes, targets):
    trainer = side(task, state)
    trainer.train(spikes, targets)
    first, second = trainer.linear
    return [
        first.weight.grad.T.numpy(),
        first.bias.grad.numpy(),
        second.weight.grad.T.numpy(),
        second.bias.grad.numpy(),
    ]


@pytest.mark.parametrize("side", [ByHand, SnnTorch, SpikingJelly])
@pytest.mark.filterwarnings("ignore")  # of the libraries' own code
def test_the_sides_compute_the_same_gradient(side):
    if side is not ByHand:
        pytest.importorskip(side.__name__.lower(), reason=f"{side.__name__} is one of the sides")
    # Few steps, quarters for weights and powers of two for counts: float32 is exact whatever the order.
    # No membrane, a multiple of 1/8, meets the threshold or an edge of the surrogate, where the libraries differ.
    task = Task(sizes=(5, 7, 4), steps=2, threshold=0.8125, momentum=0.0)
    spiked = 0
    for seed in range(SEED, SEED + 8):
        print("seed", seed)
        rng = np.random.default_rng(seed)
        shapes = [(5, 7), (7,), (7, 4), (4,)]
        state = {
            name: (rng.integers(-4, 5, size=shape) / 4).astype(np.float16)
            for name, shape in zip(NAMES, shapes, strict=True)
        }
        spikes = rng.integers(0, 2, size=(8, 2, 5)).astype(np.uint8)
        targets = np.eye(4, dtype=np.float16)[rng.integers(0, 4, 8)]
        expected = by_autograd(task, state, spikes, targets)
        if side is ByHand:
            found = [gradient.numpy() for gradient in ByHand(task, state).gradient(spikes, targets)]
        else:
            found = by_library(side, task, state, spikes, targets)
        assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))
        spiked += sum(np.count_nonzero(gradient) for gradient in found[:3:2])
    assert spiked > 50


def test_made_up_images_are_as_dense_as_mnist():
    spikes, targets = golden.made_up_images(Task(), 256)
    assert spikes.shape == (256, 4, 784) and spikes.dtype == np.uint8 and spikes.max() == 1
    assert 0.11 < spikes.mean() < 0.14
    assert targets.dtype == np.float16 and (targets.sum(axis=1) == 1).all()
    assert np.array_equal(spikes, golden.made_up_images(Task(), 256)[0])


class Idle:
    """A side that trains nothing, and is told what."""

    def __init__(self, task, state):
        self.batches = []

    def train(self, spikes, targets):
        self.batches.append(len(spikes))


def missing(task, state):
    raise ImportError("No module named 'brain'")


def report(monkeypatch, sides, **options):
    monkeypatch.setattr(golden, "SIDES", sides)
    monkeypatch.setattr(golden, "_POOL", 128)
    said = []
    before = torch.get_num_threads()
    options = {"threads": 1} | options
    found = golden.measure(quick=True, say=lambda text, fraction: said.append((text, fraction)), **options)
    assert torch.get_num_threads() == before
    assert json.loads(json.dumps(found)) == found
    return found, said


def test_report_leaves_out_what_is_missing(monkeypatch):
    found, said = report(monkeypatch, {"golden, C++": Idle, golden.BASELINE: Idle, "Brain": missing})
    assert [(row["name"], row["batch"]) for row in found["rows"]] == [
        ("golden, C++", 32), ("snnTorch", 32), ("golden, C++", 128), ("snnTorch", 128),
    ]  # fmt: skip
    assert found["notes"][-1:] == ["Brain is left out: No module named 'brain'"]
    assert found["subject"] == "golden" and found["baseline"] == "snnTorch"
    assert all(row["least"] <= row["samples/s"] <= row["greatest"] for row in found["rows"])
    assert [row["ratio to snnTorch"] == 1.0 for row in found["rows"]] == [False, True, False, True]
    assert said[0] == ("batches of 32, turn 1 of 3", 0.0) and said[3] == ("batches of 128, turn 1 of 3", 0.5)
    assert [chart["labels"] for chart in found["charts"]] == [["golden, C++", "snnTorch"]] * 2


def test_report_without_the_baseline_has_no_ratios(monkeypatch):
    found, _ = report(monkeypatch, {"float32 by hand": Idle, golden.BASELINE: missing})
    assert [row["ratio to snnTorch"] for row in found["rows"]] == [None, None]


def test_a_busy_machine_is_named(monkeypatch):
    monkeypatch.setattr(golden.os, "getloadavg", lambda: (3.14, 0.0, 0.0))
    found, _ = report(monkeypatch, {golden.BASELINE: Idle}, threads=2)
    sentence = "the machine was busy before (load 3.1): PyTorch's threads wait for one another then"
    assert found["notes"][1:] == [sentence] and found["settings"]["load before"] == 3.14


def test_both_kernels_train(monkeypatch):
    task, state = Task(sizes=(20, 9, 4)), golden.first_state(Task(sizes=(20, 9, 4)))
    spikes, targets = (
        (np.random.default_rng(SEED).random((16, 4, 20)) < 0.4).astype(np.uint8),
        np.eye(4)[[0, 1, 2, 3] * 4],
    )
    words = []
    for kernel in ("torch", None):
        trainer = golden.Model(task, state, kernel=kernel)
        for _ in range(3):
            trainer.train(spikes, targets.astype(np.float16))
        words.append(trainer.golden.get_state()["0.weight"])
    assert np.array_equal(words[0], words[1]) and not np.array_equal(words[0], state["0.weight"])


def test_missing_mnist_is_named(monkeypatch, tmp_path):
    sentence = "train-images-idx3-ubyte.gz is missing; --data must name a folder with the four gzipped MNIST files"
    with pytest.raises(BenchError, match=re.escape(sentence) + "$"):
        report(monkeypatch, {"idle": Idle}, data=str(tmp_path))
