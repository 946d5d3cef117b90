"""Whole training runs on a simulated chip with a sequenced core, every word equal to the golden model's."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

sys.path.append(str(Path(__file__).parents[1] / "engine"))

from autapse.gateware.chip import Chip
from autapse.hw.sequenced.core import SequencedCore
from autapse.sw_driver.compile import fit_config
from autapse.sw_driver.device import open as open_device
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec
from device_comparison import train_both
from test_chip_training import CASES, DEPTHS, SEED, batches, cross_entropy, layers, setup

CHIP = {"lanes": 1, "units": 1, "shared": True}


@pytest.fixture(scope="module")
def devices():
    opened = []

    def get(name: str, **options):
        opened.append(open_device(name, **options))
        return opened[-1]

    yield get
    for device in opened:
        device.close()


@pytest.fixture(scope="module")
def both(devices):
    return devices("golden"), devices("sim", **CHIP, **DEPTHS)


def within_bounds(counters: dict, network: Network, sizes: list[int]):
    """The worst case that docs/sequenced.md states, beside one cycle per visit."""
    most = dict.fromkeys(("forward", "backward", "gradient"), 0)
    for size in sizes:
        words = 2 * -(-size * network.steps // 32)
        most["backward"] += size * 400
        for index, layer in enumerate(network.layers):
            following = network.layers[index + 1].outputs if index + 1 < len(network.layers) else 0
            sources = layer.inputs + layer.bias
            most["forward"] += size * (200 + network.steps * (40 + sources + 230 * layer.outputs))
            most["backward"] += size * (
                250 + network.steps * (70 + 16 * layer.inputs + following + 230 * layer.outputs))
            most["gradient"] += 200 + layer.outputs * (20 + sources * (210 + 15 * words))
    for engine, cycles in most.items():
        stalled = counters[engine]["stalled"]
        assert cycles / 4 < stalled <= cycles + 100, f"{engine}: {stalled} cycles without a visit, at most {cycles}"


def test_a_chip_with_one_shared_lane_has_the_sequenced_core():
    network, training, _ = setup("hard")
    chip = Chip(fit_config(network, training, **CHIP, **DEPTHS))
    assert isinstance(chip.elaborate(None).submodules.core, SequencedCore)


@pytest.mark.parametrize("case", CASES)
def test_training_is_the_golden_models(both, case):
    network, training, data = setup(case)
    print(f"seed {SEED}, network {network}, {training}")
    first = network.initial_state(seed=len(data), scale=3.0)
    last = train_both(*both, network=network, training=training, batches=data,
                      errors=cross_entropy(network, training) if "cross" in case else None)
    moved = sum(int((a.weight != b.weight).sum()) for a, b in zip(first, last, strict=True))
    assert moved or case == "one of each", "training moved no weight, so it tested nothing"
    counters = both[1].counters()
    visits = sum(layer.outputs * (layer.inputs + layer.bias) for layer in network.layers)
    steps = sum(len(spikes) for spikes, _ in data) * network.steps
    assert counters["forward"]["dense"] == counters["gradient"]["dense"] == visits * steps
    within_bounds(counters, network, [len(spikes) for spikes, _ in data])


@pytest.mark.parametrize("strict", [False, True])
def test_a_membrane_on_the_threshold(both, strict):
    """Without bias a silent sample leaves every membrane at 0, which is the threshold."""
    network = Network(layers(7, 6, 3, strict=strict, threshold=0.0, bias=False), steps=4)
    training = TrainingSpec(learning_rate=0.1, momentum=0.9, batch=3, loss_scale=64.0)
    data = batches(network, (3,))
    assert not data[0][0][1].any()
    train_both(*both, network=network, training=training, batches=data)
    readouts = both[1].infer(data[0][0][1:2])
    assert readouts.any() != strict, "spikes of silence are what the comparison decides"


@pytest.mark.parametrize("steps", [1, 2])
def test_a_reset_after_the_last_step_raises_no_flag(both, steps):
    """65504 less a threshold of -1000 is beyond binary16, but is nobody's membrane if no step follows."""
    network = Network([Linear(1, 2, bias=False), LIF(decay=0.5, threshold=-1000.0, reset="soft"),
                       Linear(2, 1, bias=False), LI(decay=0.5)], steps=steps)
    training = TrainingSpec(learning_rate=0.1, momentum=0.9, batch=1, loss_scale=1.0)
    state = network.initial_state(seed=1)
    state[0].weight[:] = 65504, 1
    spikes = np.zeros((1, steps, 1), np.uint8)
    spikes[0, 0] = 1
    for device in both:
        device.load(network, training)
        device.write_state(state)
        assert device.accumulate(spikes, targets=np.zeros((1, 1), np.float16)).overflow == (steps > 1), device.name


@pytest.mark.parametrize(("name", "scale", "loss_scale", "reset"), [
    ("membranes", 40000.0, 1.0, "soft"), ("errors", 30.0, 2.0**15, "hard"), ("updates", 3.0, 2.0**14, "soft")])
def test_saturation_is_the_golden_models(both, name, scale, loss_scale, reset):
    """Words at ±65504 and the flag of every batch and update; `train_both` compares both."""
    network = Network(layers(13, 11, 5, reset=reset), steps=5)
    training = TrainingSpec(learning_rate=1.0, momentum=0.9, batch=4, loss_scale=loss_scale, momentum_exponent=4)
    data = batches(network, (4, 4))
    golden, _ = both
    golden.load(network, training)
    golden.write_state(network.initial_state(seed=len(data), scale=scale))
    assert golden.accumulate(data[0][0], targets=data[0][1]).overflow or golden.update(
        samples=4, learning_rate=1.0, momentum=0.9), "nothing saturates, so nothing is tested"
    train_both(*both, network=network, training=training, batches=data, scale=scale)


def test_counters_are_wider_than_a_word(both):
    network, training, _ = setup("single layer")
    chip, layer = both[1], network.layers[0]
    chip.load(network, training)
    chip.write_state(network.initial_state(seed=1, scale=0.1))
    chip.infer(np.ones((200, network.steps, network.inputs), np.uint8))
    visits = 200 * network.steps * layer.outputs * (layer.inputs + 1)
    counters = chip.counters()["forward"]
    assert counters["busy"] == visits > 1 << 16 and counters["skipped"] == 0


def test_inference_alone(devices, both):
    """A chip without training: its program has the forward part alone."""
    network, _, _ = setup("own constants")
    spikes = batches(network, (9,))[0][0]
    golden, chip = both[0], devices("sim", **CHIP, **DEPTHS)
    for device in (golden, chip):
        device.load(network, None)
        device.write_state(network.initial_state(seed=2, scale=3.0))
    expected = golden.infer(spikes)
    assert np.array_equal(expected, chip.infer(spikes))
    assert len(np.unique(expected)) > network.classes
    assert chip.counters().keys() == {"forward", "chip"}
