"""A small federation that the tests vary: asymmetric sizes, a few seconds at most."""

import itertools

import numpy as np

import autapse as ap
from autapse.sw_driver.federated.settings import Settings

TRAINING = {"learning_rate": 0.3, "momentum": 0.9, "batch": 7}


def network(*, sizes=(64, 11, 10), steps=3) -> ap.Network:
    modules = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        modules += [ap.Linear(inputs, outputs), ap.LI() if index == len(sizes) - 2 else ap.LIF()]
    return ap.Network(modules, steps=steps)


def settings(**changes) -> Settings:
    common = {"network": network().as_dict(), "training": TRAINING, "workers": 3, "rounds": 2, "local_epochs": 1,
              "limit": 90, "seed": 5}
    return Settings(**common | changes)


def write_data(path, *, samples=23, inputs=6, classes=3, seed=8):
    """An .npz of random spikes, (samples, 4, inputs), to train on and as many to test on."""
    draw = np.random.default_rng(seed)
    arrays = {}
    for prefix in ("", "test_"):
        arrays[prefix + "spikes"] = draw.integers(0, 2, (samples, 4, inputs), dtype=np.uint8)
        arrays[prefix + "labels"] = draw.integers(0, classes, samples)
    np.savez(path, **arrays)
    return f"npz:{path}"
