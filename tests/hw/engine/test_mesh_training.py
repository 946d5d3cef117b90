"""Whole training runs on simulated meshes, every word equal to the golden model's, and as many cycles as predicted."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("amaranth")

from autapse.sw_driver.compile.predict import predict
from autapse.sw_driver.compile.work import measured_activity
from autapse.sw_driver.device import open as open_device
from autapse.sw_driver.errors import DeviceError
from device_comparison import train_both
from training_cases import CASES, SEED, cross_entropy, fewest_cycles, setup

# One capacity for every case, so that each mesh is compiled once.
DEPTHS = {"layers": 4, "events": 16, "synapses": 512, "parameters": 32, "neurons": 32, "spike_rows": 256,
          "mask_rows": 128, "membrane_rows": 128, "error_rows": 512, "history_words": 128, "active_words": 64,
          "readouts": 8, "error_inputs": 8, "remote_rows": 128, "routes": 16, "sum_bits": 52, "product_bits": 92}
# Lanes that do not divide the layers; most cores of 1x5 are empty in most cases, and some of 3x2 hold one layer.
MESHES = {"2x1": {"lanes": 4, "units": 1}, "3x2": {"lanes": 2, "units": 2}, "1x5": {"lanes": 8, "units": 2}}
CHOSEN = {"2x1": CASES, "3x2": ("hard", "soft", "partial batch", "spiking readout", "cross entropy"),
          "1x5": ("hard", "own constants", "no momentum", "one step", "one of each")}
TABLE = [(mesh, case) for mesh in MESHES for case in CHOSEN[mesh]]


@pytest.fixture(scope="module")
def devices():
    opened = {}

    def get(mesh: str):
        if mesh not in opened:
            opened[mesh] = (open_device("golden") if mesh == "golden"
                            else open_device("sim", mesh=mesh, place="even", **MESHES[mesh], **DEPTHS))
        return opened[mesh]

    yield get
    for device in opened.values():
        device.close()


@pytest.mark.parametrize(("mesh", "case"), TABLE)
def test_training_on_a_mesh_is_the_golden_models(devices, mesh, case):
    network, training, data = setup(case)
    print(f"seed {SEED}, network {network}, {training}")
    errors = cross_entropy(network, training) if "cross" in case else None
    first = network.initial_state(seed=len(data), scale=3.0)
    last = train_both(devices("golden"), devices(mesh), network=network, training=training, batches=data, errors=errors)
    devices(mesh).check()   # mirrors
    moved = sum(int((a.weight != b.weight).sum()) for a, b in zip(first, last, strict=True))
    assert moved or case == "one of each", "training moved no weight, so it tested nothing"
    train_both(devices("golden"), devices(mesh), network=network, training=training, batches=data, errors=errors,
               capture=False)


@pytest.mark.parametrize(("mesh", "case"), [(mesh, case) for mesh, case in TABLE if "cross" not in case])
def test_cycles_on_a_mesh_are_predicted(devices, mesh, case):
    """Within a twentieth, from what the golden model says that neurons do, samples overlapping."""
    network, training, data = setup(case)
    spikes, targets = data[0]
    state = network.initial_state(seed=3, scale=3.0)
    golden, device = devices("golden"), devices(mesh)
    golden.load(network, training)
    golden.write_state(state)
    device.load(network, training)
    traces = golden.accumulate(spikes, targets=targets, capture=True).traces
    told = predict(network, device.plan(network, training, device.config), measured_activity(network, spikes, traces),
                   lanes=MESHES[mesh]["lanes"], units=MESHES[mesh]["units"], batch=len(spikes),
                   clearing=DEPTHS["history_words"])
    cycles = fewest_cycles(device, network, training, state, spikes, targets, told=told.cycles)["chip"]["cycles"]
    print(f"{mesh} {case}: {cycles} cycles, {told.cycles} predicted")
    assert told.cycles == pytest.approx(cycles, rel=0.05)


def test_a_mirror_that_is_not_its_owners_is_found(devices):
    network, training, _ = setup("hard")
    device = devices("2x1")
    device.load(network, training)
    device.write_state(network.initial_state(seed=1, scale=3.0))
    device.check()
    core = next(core for core in device._cores.programs if core.mirrors)
    layer, mirror = next(iter(core.mirrors.items()))
    device._bus.select(core.mask)
    device._bus.fill(4, mirror.base * device.config.lanes, count=1, value=0x1234)
    with pytest.raises(DeviceError, match=f"core {core.core} mirrors 1 weights of layer {layer + 1} that are not"):
        device.check()


@pytest.mark.parametrize(("mesh", "case"), [("2x1", "hard"), ("3x2", "soft"), ("1x5", "hard")])
def test_every_row_is_counted_where_it_arrives(devices, mesh, case):
    """Packets into the cores are the rows of the plan: spikes and errors of every step, new weights of every mirror."""
    network, training, data = setup(case)
    spikes, targets = data[0]
    device = devices(mesh)
    device.load(network, training)
    device.write_state(network.initial_state(seed=3, scale=3.0))
    before = device.links()
    device.accumulate(spikes, targets=targets)
    device.update(samples=len(spikes), learning_rate=training.learning_rate, momentum=training.momentum)
    after = device.links()
    plan, lanes = device.plan(network, training, device.config), device.config.lanes
    groups = [-(-layer.outputs // lanes) for layer in network.layers]
    expected = dict.fromkeys(range(plan.nodes), 0)
    for layer in range(len(groups)):
        for cut in plan.of_layer(layer):
            rows = (groups[layer - 1] if layer else 0) + (groups[layer + 1] if layer + 1 < len(groups) else 0)
            expected[cut.core] += rows * network.steps * len(spikes)
            if layer + 1 < len(groups):
                expected[cut.core] += (cut.last - cut.first) * groups[layer + 1]
    found = {core: (now["core"]["packets"] - then["core"]["packets"]) % (1 << 32)
             for core, (then, now) in enumerate(zip(before, after, strict=True))}
    assert found == expected
    assert len(after) == plan.nodes and sum(now["core"]["flits"] for now in after) > 0
