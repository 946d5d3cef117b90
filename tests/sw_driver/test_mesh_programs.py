"""Programs for meshes, run by a model of the mesh to the golden model's bits."""

import itertools
import re

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("amaranth")

from autapse.hw.contract.program import Space
from autapse.hw.contract.rows import Kind
from autapse.sw_driver.compile import Cut, Plan, even_plan
from autapse.sw_driver.device import ONE
from autapse.sw_driver.devices.golden import GoldenDevice
from autapse.sw_driver.errors import DeviceError
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec
from autapse.sw_driver.verify import verify
from mesh_model import ModelDevice

SEED = 7


def network_of(*sizes, steps=4, last=LI, bias=(True,), own=False, **lif):
    """Layers of these sizes; `bias` of each in turn, with `own` constants of every neuron."""
    modules = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        modules.append(Linear(inputs, outputs, bias=bias[index % len(bias)]))
        constants = {"decay": np.linspace(0.1, 0.9, outputs) if own else 0.75}
        if index == len(sizes) - 2 and last is LI:
            modules.append(LI(**constants))
        else:
            modules.append(LIF(**constants, threshold=np.linspace(0.25, 1, outputs) if own else 0.5, **lif))
    return Network(modules, steps=steps)


def plan_of(width, height, *layers):
    """A plan from [(core, neurons), …] per layer."""
    cuts = []
    for index, shares in enumerate(layers):
        first = 0
        for core, neurons in shares:
            cuts.append(Cut(layer=index, first=first, last=first + neurons, core=core))
            first += neurons
    return Plan(mesh_width=width, mesh_height=height, cuts=tuple(cuts))


NET = network_of(11, 13, 9, 5)
# name: (network, plan, lanes, units, batch, samples, more of TrainingSpec)
CASES = {
    "2x1": (NET, even_plan(NET, 2, 1, 4), 4, 2, 3, 5, {}),
    "3x2": (NET, even_plan(NET, 3, 2, 2), 2, 1, 2, 4, {}),
    "1x5": (NET, even_plan(NET, 1, 5, 4), 4, 1, 2, 2, {}),
    "20 cores": (NET, even_plan(NET, 5, 4, 1), 1, 1, 2, 2, {}),
    "one core of a mesh": (NET, plan_of(2, 2, [(3, 13)], [(3, 9)], [(3, 5)]), 4, 4, 2, 2, {}),
    "a layer at one core": (NET, plan_of(3, 1, [(2, 8), (0, 5)], [(1, 9)], [(0, 4), (2, 1)]), 4, 2, 3, 5, {}),
    "cuts in odd order": (NET, plan_of(3, 1, [(2, 4), (0, 8), (1, 1)], [(1, 4), (2, 5)], [(0, 5)]), 4, 2, 2, 4, {}),
    "no bias": (network_of(11, 13, 9, 5, bias=(False,)), even_plan(NET, 3, 1, 4), 4, 2, 2, 4, {}),
    "some biases": (network_of(8, 8, 6, 5, bias=(True, False)), even_plan(network_of(8, 8, 6, 5), 2, 1, 4), 4, 1, 2, 4,
                    {}),
    "own constants": (network_of(11, 13, 9, 5, own=True), even_plan(NET, 2, 2, 2), 2, 2, 2, 4, {}),
    "soft reset": (network_of(11, 13, 9, 5, reset="soft"), even_plan(NET, 3, 2, 4), 4, 1, 2, 4, {}),
    "detached": (network_of(11, 13, 5, detach=True), even_plan(network_of(11, 13, 5), 3, 1, 4), 4, 1, 2, 4, {}),
    "spiking readout": (network_of(11, 13, 5, last=LIF, half_width=1.0), even_plan(network_of(11, 13, 5), 3, 1, 2), 2,
                        1, 2, 4, {}),
    "no momentum": (NET, even_plan(NET, 3, 2, 4), 4, 1, 2, 4, {"momentum": 0.0}),
    "cross entropy": (NET, even_plan(NET, 3, 2, 2), 2, 1, 2, 4, {"loss": "cross_entropy"}),
    "long batch": (network_of(5, 6, 3, steps=13), even_plan(network_of(5, 6, 3), 2, 1, 2), 2, 1, 6, 7, {}),
    "one layer": (network_of(5, 7), even_plan(network_of(5, 7), 3, 1, 2), 2, 1, 2, 4, {}),
    "one slot": (NET, even_plan(NET, 2, 1, 4), 4, 2, 3, 5, {"slots": 1}),
    "wide": (network_of(17, 37, 19, 5, steps=2), even_plan(network_of(17, 37, 19, 5), 3, 1, 16), 16, 4, 1, 2, {}),
}


def data_of(network, samples):
    rng = np.random.default_rng(SEED)
    spikes = (rng.random((samples, network.steps, network.inputs)) < 0.4).astype(np.uint8)
    return spikes, rng.integers(network.classes, size=samples)


def both(case):
    network, plan, lanes, units, batch, samples, more = CASES[case]
    print(f"seed {SEED}")
    depths = {name: more[name] for name in ("slots",) if name in more}
    settings = {name: value for name, value in more.items() if name not in depths}
    training = TrainingSpec(**{"learning_rate": 0.25, "momentum": 0.5, "batch": batch, "loss_scale": 64.0} | settings)
    device = ModelDevice(plan, lanes=lanes, units=units, **depths)
    return network, training, device, data_of(network, samples)


@pytest.mark.parametrize("case", CASES)
def test_a_mesh_trains_to_the_bits_of_the_golden_model(case):
    network, training, device, data = both(case)
    with device, GoldenDevice(threads=1) as golden:
        before = network.initial_state(0)
        result = verify(network, (golden, device), data, training=training, epochs=2)
        assert result.equal, result.complaint()
        assert {"spike", "mask", "error", "weight", "remainder", "momentum", "readout"} <= set(result.compared)
        for layer, (one, other) in enumerate(zip(before, device.read_state(), strict=True)):
            assert (one.weight != other.weight).any(), f"layer {layer} did not learn, so it was not tested"


def test_rows_that_go_over_the_mesh_are_those_of_the_cuts():
    network, training, device, (spikes, labels) = both("a layer at one core")
    with device:
        device.load(network, training)
        device.write_state(network.initial_state(0))
        targets = np.eye(5, dtype=np.float16)[labels]
        device.accumulate(spikes[:3], targets=targets[:3])
        device.update(samples=3, learning_rate=0.25, momentum=0.5)
        rows = device._bus.rows
    # Groups of 4 neurons: 2 + 2 of layer 0, 3 of layer 1, 1 + 1 of layer 2; 4 steps, 3 samples.
    assert rows[Kind.SPIKES] == 3 * 4 * (4 + 3 + 2)
    assert rows[Kind.ERRORS] == 3 * 4 * (4 + 3 + 2)
    assert rows[Kind.WEIGHTS] == 13 * 3 + 9 * 2


@pytest.mark.parametrize("layer, core, bit", [(0, 2, 0), (1, 1, 5)])
def test_a_mirror_that_is_not_its_owners_is_named(layer, core, bit):
    network, training, device, _ = both("a layer at one core")
    with device:
        device.load(network, training)
        device.write_state(network.initial_state(0))
        device.check()
        program, lanes = device._cores.programs[core], device.config.lanes
        mirror, source, target = program.mirrors[layer], 3, 4
        place = (mirror.base + target // lanes * mirror.row_step + source) * lanes + (source + target) % lanes
        device._bus.cores[core].memories[Space.SYNAPSES][place] ^= 1 << bit
        first = program.cuts[layer].first
        message = (f"core {core} mirrors 1 weights of layer {layer + 1} that are not their owners'; the first is from "
                   f"input {first + source} to neuron {target}. Write the state again; if that does not help, the chip "
                   "is broken")
        with pytest.raises(DeviceError, match=f"^{re.escape(message)}$"):
            device.check()


def test_counters_are_of_all_cores_and_cycles_of_the_longest():
    network, training, device, (spikes, _) = both("3x2")
    with device, GoldenDevice(threads=1) as golden:
        for each in (device, golden):
            each.load(network, training)
            each.write_state(network.initial_state(0))
        device.infer(spikes)
        result = golden.accumulate(spikes[:2], targets=np.zeros((2, 5), np.float16), capture=True)
        device.accumulate(spikes[:2], targets=np.zeros((2, 5), np.float16))
        counters = device.counters()
        inputs = [spikes[:2], *(np.stack([sample[layer]["s"] for sample in result.traces]) for layer in range(2))]
        groups = [-(-layer.outputs // 2) for layer in network.layers]
        visits = sum(number * (int(array.sum()) + 2 * network.steps)
                     for number, array in zip(groups, inputs, strict=True))
        device.load(network, training)
        device.write_state(network.initial_state(0))
        assert device.counters()["forward"]["busy"] == 0
        device.accumulate(spikes[:2], targets=np.zeros((2, 5), np.float16))
        assert device.counters()["forward"]["busy"] == visits
    assert counters["chip"]["cycles"] == 600 * (len(spikes) + 2)


def test_a_mesh_infers_without_any_of_the_memories_of_training():
    network, _, device, (spikes, _) = both("cuts in odd order")
    with device, GoldenDevice(threads=1) as golden:
        for each in (device, golden):
            each.load(network, None)
            each.write_state(network.initial_state(3, scale=2.0))
        found, expected = device.infer(spikes), golden.infer(spikes)
        assert np.array_equal(found, expected) and np.abs(found).max() > ONE // 4
        assert device.config.routes == device.config.remote_rows == 0
        assert device.info()["plan"]["cuts"][1] == {"layer": 0, "first": 4, "last": 12, "core": 0}


def test_what_is_selected_changes_seldom():
    network, training, device, (spikes, labels) = both("2x1")
    with device:
        device.load(network, training)
        device.write_state(network.initial_state(0))
        before = device._bus.selections
        device.accumulate(spikes[:3], targets=np.eye(5, dtype=np.float16)[labels[:3]])
        # Per sample inputs, targets and readouts at two cores; registers, the flag and counters of each.
        assert device._bus.selections - before <= 3 * 5 + 5
