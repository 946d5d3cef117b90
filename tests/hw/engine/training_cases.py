"""Networks and batches that a chip is trained on in the tests, many rules and unequal sizes among them."""

import itertools

import numpy as np

from autapse.sw_driver.loss import Loss
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

__all__ = ["CASES", "SEED", "batches", "cross_entropy", "fewest_cycles", "layers", "setup"]

SEED = 83


def layers(*sizes: int, last=LI, bias: bool = True, per_neuron: bool = False, **lif):
    modules = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        modules.append(Linear(inputs, outputs, bias=bias))
        if index == len(sizes) - 2 and last is LI:
            modules.append(LI(decay=np.linspace(0.25, 0.9, outputs) if per_neuron else 0.5))
        else:
            own = {"decay": np.linspace(0, 1, outputs), "threshold": np.linspace(0.25, 1.5, outputs)}
            modules.append(LIF(**({"decay": 0.75, "threshold": 0.5} | (own if per_neuron else {}) | lif)))
    return modules


# name: (modules, steps, training settings, sizes of the batches)
CASES = {
    "hard": (layers(13, 11, 9, 5), 5, {}, (4, 4)),
    "soft": (layers(13, 11, 9, 5, reset="soft"), 5, {}, (4, 4)),
    "detached": (layers(13, 11, 9, 5, detach=True), 5, {}, (4, 4)),
    "soft detached": (layers(7, 11, 5, reset="soft", detach=True), 4, {}, (3, 3)),
    "strict": (layers(13, 9, 5, strict=True, threshold=0.0, decay=1.0), 5, {}, (4, 4)),
    "own constants": (layers(13, 11, 9, 5, per_neuron=True), 5, {}, (4, 4)),
    "spiking readout": (layers(13, 11, 5, last=LIF, half_width=1.0), 5, {}, (4, 4)),
    "no bias": (layers(13, 11, 9, 5, bias=False), 5, {}, (4, 4)),
    "no momentum": (layers(13, 11, 9, 5), 5, {"momentum": 0.0}, (4, 4, 4)),
    "single layer": (layers(13, 5), 5, {}, (4, 4)),
    "single spiking layer": (layers(3, 1, last=LIF), 3, {}, (2, 2)),
    "one step": (layers(13, 11, 5), 1, {}, (4, 4)),
    "one of each": (layers(1, 1), 1, {}, (1, 1)),
    "partial batch": (layers(13, 11, 9, 5), 5, {"batch": 7}, (7, 3, 7)),
    "cross entropy": (layers(13, 11, 5), 5, {"loss": "cross_entropy"}, (4, 4)),
    "no scale": (layers(13, 11, 5), 5, {"loss_scale": 1.0, "momentum_exponent": 8}, (4, 4)),
}


def batches(network: Network, sizes, *, seed: int = SEED, density: float = 0.35):
    """Random spikes, a sample without any among them, and one-hot targets, counts on spiking readouts."""
    rng = np.random.default_rng(seed)
    result = []
    for size in sizes:
        spikes = (rng.random((size, network.steps, network.inputs)) < density).astype(np.uint8)
        if size > 2:
            spikes[1] = 0
        targets = np.eye(network.classes, dtype=np.float16)[rng.integers(network.classes, size=size)]
        result.append((spikes, targets))
    return result


def setup(case: str):
    modules, steps, settings, sizes = CASES[case]
    network = Network(modules, steps=steps)
    training = TrainingSpec(**({"learning_rate": 0.1, "momentum": 0.9, "batch": max(sizes), "loss_scale": 64.0}
                               | settings))
    return network, training, batches(network, sizes)


def cross_entropy(network: Network, training: TrainingSpec):
    """From a batch's targets the function that turns a sample's readouts into errors, as the trainer would."""
    def of_batch(targets):
        return Loss(network, training).request(targets.argmax(1))["error"]
    return of_batch


def fewest_cycles(device, network: Network, training: TrainingSpec, state, spikes, targets, *, told: int) -> dict:
    """What a batch adds to the counters; the best of a few tries, until it is as few cycles as were `told`.

    A host that is late with the next sample, because its processor does something else, costs the chip cycles.
    """
    device.load(network, training)
    best: dict = {}
    for _ in range(5):
        device.write_state(state)
        before = device.counters()
        device.accumulate(spikes, targets=targets)
        device.update(samples=len(spikes), learning_rate=training.learning_rate, momentum=training.momentum)
        found = {part: {kind: count - before[part][kind] for kind, count in kinds.items()}
                 for part, kinds in device.counters().items()}
        if not best or found["chip"]["cycles"] < best["chip"]["cycles"]:
            best = found
        if best["chip"]["cycles"] <= 1.005 * told:
            break
    return best
