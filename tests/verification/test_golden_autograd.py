"""The golden model's gradient against autograd: equal where both are exact, else in the same direction."""

import itertools

import numpy as np
import pytest
import torch

from autapse.verification.golden.autograd import FloatNetwork, mean_squared_error
from autapse.verification.golden.model import Golden, Layer, Rules

SEED = 4711
VARIANTS = [
    {"soft": soft, "detach": detach, "strict": strict}
    for soft, detach, strict in itertools.product([False, True], [False, True], [False, True])
]


def network(sizes, *, decay, threshold, half_width=0.5, readout="membrane", **options):
    return [
        Layer(
            inputs=n_in, outputs=n_out, bias=True, decay=np.float16(decay), threshold=np.float16(threshold),
            half_width=half_width, spiking=readout == "spikes" or index < len(sizes) - 2, **options,
        )
        for index, (n_in, n_out) in enumerate(itertools.pairwise(sizes))
    ]  # fmt: skip


def name_of(options):
    return "-".join(key for key, value in options.items() if value) or "plain"


@pytest.mark.parametrize("options", VARIANTS, ids=name_of)
@pytest.mark.parametrize("readout", ["membrane", "spikes"])
def test_equal_where_every_number_is_exact(options, readout):
    sizes, steps, batch = (5, 7, 4), 2, 6
    layers = network(sizes, decay=0.5, threshold=0.75, readout=readout, **options)
    spiked = 0
    for seed in range(SEED, SEED + 8):
        print("seed", seed)
        rng = np.random.default_rng(seed)
        state = {
            name: (rng.integers(-4, 5, size=shape) / 4).astype(np.float16)
            for name, shape in [("0.weight", (5, 7)), ("0.bias", (7,)), ("1.weight", (7, 4)), ("1.bias", (4,))]
        }
        spikes = rng.integers(0, 2, size=(batch, steps, sizes[0])).astype(np.uint8)
        g = rng.integers(-1, 2, size=(batch, steps, sizes[-1])).astype(np.float16)
        golden = Golden(layers, Rules(steps=steps), threads=1)
        golden.set_state(state)
        golden.forward(spikes, keep=True)
        golden.backward(g)
        network_32 = FloatNetwork(layers, state)
        outputs = network_32(torch.from_numpy(spikes).float())
        (outputs * torch.from_numpy(g).float()).sum().backward()
        expected = network_32.gradient()
        for name, units in golden.gradient().items():
            assert np.array_equal(units * 2.0**-24, expected[name].astype(np.float64)), name
        spiked += int(golden.traces()[0]["s"].sum())
    assert spiked > 0 and any(units.any() for units in golden.gradient().values())


@pytest.mark.parametrize("options", VARIANTS, ids=name_of)
@pytest.mark.parametrize("readout", ["membrane", "spikes"])
def test_direction_on_a_well_scaled_network(options, readout):
    sizes, steps, batch, scale = (40, 30, 10), 6, 96, 256.0
    layers = network(sizes, decay=0.8, threshold=1.0, readout=readout, **options)
    for seed in range(SEED + 50, SEED + 53):
        print("seed", seed)
        rng = np.random.default_rng(seed)
        state = {
            "0.weight": (rng.normal(size=(40, 30)) * 0.3).astype(np.float16),
            "0.bias": (rng.normal(size=30) * 0.1).astype(np.float16),
            "1.weight": (rng.normal(size=(30, 10)) * 0.4).astype(np.float16),
            "1.bias": (rng.normal(size=10) * 0.1).astype(np.float16),
        }
        spikes = (rng.random((batch, steps, 40)) < 0.3).astype(np.uint8)
        targets = np.eye(10, dtype=np.float16)[rng.integers(0, 10, batch)]
        golden = Golden(layers, Rules(steps=steps, loss_scale=scale), threads=1)
        golden.set_state(state)
        readouts = golden.forward(spikes, keep=True)
        golden.backward(golden.loss_error(readouts.y, targets))
        assert not golden.overflow
        network_32 = FloatNetwork(layers, state)
        mean_squared_error(network_32(torch.from_numpy(spikes).float()), torch.from_numpy(targets).float()).backward()
        expected = network_32.gradient()
        for name, units in golden.gradient().items():
            a, b = units.ravel() * (2.0**-24 / scale), expected[name].ravel().astype(np.float64)
            cosine = a @ b / np.sqrt((a @ a) * (b @ b))
            assert cosine > 0.99, f"{name}: cosine {cosine}"
