"""Whole training runs on the simulated chip, every word equal to the golden model's, over networks and chips."""

import itertools

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("amaranth")

from autapse.sw_driver.compile.partition import partition
from autapse.sw_driver.compile.predict import predict
from autapse.sw_driver.compile.work import measured_activity, work_of
from autapse.sw_driver.device import open as open_device
from autapse.sw_driver.network import Network, TrainingSpec
from device_comparison import Difference, same_states, train_both
from training_cases import CASES, SEED, batches, cross_entropy, fewest_cycles, layers, setup

# One capacity for every case, so that each chip is compiled once.
DEPTHS = {"layers": 4, "events": 16, "synapses": 1024, "parameters": 32, "neurons": 32, "spike_rows": 256,
          "mask_rows": 128, "membrane_rows": 128, "error_rows": 1024, "history_words": 128, "active_words": 64,
          "readouts": 8, "error_inputs": 8, "sum_bits": 52, "product_bits": 92}
CHIPS = {
    "8x2": {"lanes": 8, "units": 2, "gradient": "batch"},
    "4x4-single": {"lanes": 4, "units": 4, "slots": 1, "gradient": "batch"},
    "2x1": {"lanes": 2, "units": 1, "gradient": "batch"},
    "4x1-running": {"lanes": 4, "units": 1, "gradient": "running", "wide_rows": 1024},
    "1x1-shared": {"lanes": 1, "units": 1, "shared": True}, "4x2-shared": {"lanes": 4, "units": 2, "shared": True},
}

# Every case on two chips that differ most, and what touches groups and engines on all of them.
EVERYWHERE = ("hard", "soft", "spiking readout", "partial batch", "no momentum")
TABLE = [(chip, case) for chip in CHIPS for case in CASES
         if case in EVERYWHERE or chip in ("8x2", "2x1")]
# Samples that overlap: every case where two slots and their engines differ most.
OVERLAPPED = [(chip, case) for chip in ("8x2", "4x1-running") for case in CASES]


@pytest.fixture(scope="module")
def devices():
    opened = {}

    def get(name: str, **options):
        if name not in opened:
            opened[name] = open_device("golden") if name == "golden" else open_device("sim", **options)
        return opened[name]

    yield get
    for device in opened.values():
        device.close()


@pytest.mark.parametrize(("chip", "case"), TABLE)
def test_training_is_the_golden_models(devices, chip, case):
    network, training, data = setup(case)
    print(f"seed {SEED}, network {network}, {training}")
    first = network.initial_state(seed=len(data), scale=3.0)
    last = train_both(devices("golden"), devices(chip, **CHIPS[chip], **DEPTHS), network=network, training=training,
                      batches=data, errors=cross_entropy(network, training) if "cross" in case else None)
    moved = sum(int((a.weight != b.weight).sum()) for a, b in zip(first, last, strict=True))
    assert moved or case == "one of each", "training moved no weight, so it tested nothing"


@pytest.mark.parametrize(("chip", "case"), OVERLAPPED)
def test_training_with_samples_overlapping_is_the_golden_models(devices, chip, case):
    network, training, data = setup(case)
    print(f"seed {SEED}, network {network}, {training}")
    train_both(devices("golden"), devices(chip, **CHIPS[chip], **DEPTHS), network=network, training=training,
               batches=data, capture=False, errors=cross_entropy(network, training) if "cross" in case else None)


PREDICTED = [(chip, case) for chip in ("8x2", "2x1") for case in CASES if "cross" not in case]


@pytest.mark.parametrize(("chip", "case"), PREDICTED)
def test_cycles_are_predicted(devices, chip, case):
    """To a hundredth or five cycles, from what the golden model says that neurons do; every visit."""
    network, training, data = setup(case)
    spikes, targets = data[0]
    state = network.initial_state(seed=3, scale=3.0)
    golden, device = devices("golden"), devices(chip, **CHIPS[chip], **DEPTHS)
    golden.load(network, training)
    golden.write_state(state)
    activity = measured_activity(network, spikes, golden.accumulate(spikes, targets=targets, capture=True).traces)
    core = {"lanes": CHIPS[chip]["lanes"], "units": CHIPS[chip]["units"], "batch": len(spikes)}
    told = predict(network, partition(network, work_of(network, activity, **core), 1, 1), activity, **core,
                   clearing=DEPTHS["history_words"])
    cycles = fewest_cycles(device, network, training, state, spikes, targets, told=told.cycles)
    print(f"{chip} {case}: {cycles['chip']['cycles']} cycles, {told.cycles} predicted")
    assert {engine: int(visits[0]) for engine, visits in told.busy.items()} == {
        engine: cycles[engine]["busy"] for engine in told.busy}
    assert told.cycles == pytest.approx(cycles["chip"]["cycles"], rel=0.01, abs=5)


@pytest.mark.parametrize("chip", ["8x2", "4x1-running", "4x4-single", "4x2-shared"])
def test_samples_overlap_where_there_are_two_slots(devices, chip):
    """Forward and backward take fewer cycles together than one after the other."""
    network, training, data = setup("hard")
    device = devices(chip, **CHIPS[chip], **DEPTHS)
    device.load(network, training)
    device.write_state(network.initial_state(seed=3, scale=3.0))
    device.accumulate(data[0][0], targets=data[0][1])
    counters = device.counters()
    work = sum(counters[engine][kind] for engine in ("forward", "backward") for kind in ("busy", "stalled"))
    assert (counters["chip"]["cycles"] < work) == (device.config.slots == 2), counters


def test_a_remainder_of_half_a_unit_moves_its_weight_without_input(devices):
    """Ties to even: 0x3C01 with half a unit kept back rounds to 0x3C02, with no spike and no momentum."""
    network, training, _ = setup("no momentum")
    state = network.initial_state(seed=4, scale=3.0)
    state[0].weight.view(np.uint16)[3, 2], state[0].remainder.view(np.uint16)[3, 2] = 0x3C01, 0x3800
    silent = np.zeros((4, network.steps, network.inputs), np.uint8)
    found = []
    for device in (devices("golden"), devices("2x1", **CHIPS["2x1"], **DEPTHS)):
        device.load(network, training)
        device.write_state(state)
        result = device.accumulate(silent, targets=np.zeros((4, network.classes), np.float16))
        assert not result.overflow
        device.update(samples=4, learning_rate=0.1, momentum=0.0)
        found.append(device.read_state())
    same_states(*found, "after a silent batch")
    assert found[1][0].weight.view(np.uint16)[3, 2] == 0x3C02


@pytest.mark.slow
def test_the_widest_chip(devices):
    """Rows of 32 lanes are two words of the host's bus."""
    modules = layers(40, 37, 33, 5)
    network, training = Network(modules, steps=5), TrainingSpec(learning_rate=0.1, batch=4, loss_scale=64.0)
    wide = DEPTHS | {"events": 64, "parameters": 64, "history_words": 256}
    train_both(devices("golden"), devices("32x4", lanes=32, units=4, **wide), network=network, training=training,
               batches=batches(network, (4, 4)))


def test_inference_alone(devices):
    network, _, _ = setup("own constants")
    spikes = batches(network, (9,))[0][0]
    chip = devices("inference", lanes=4, units=2, **DEPTHS)
    golden = devices("golden")
    for device in (golden, chip):
        device.load(network, None)
        device.write_state(network.initial_state(seed=2, scale=3.0))
    expected = golden.infer(spikes)
    assert np.array_equal(expected, chip.infer(spikes))
    assert len(np.unique(expected)) > network.classes
    assert chip.counters().keys() == {"forward", "chip"}


def test_dense_work_is_the_networks(devices):
    """Visits made and visits saved together are what a chip without sparsity would make."""
    network, training, data = setup("hard")
    chip = devices("8x2", **CHIPS["8x2"], **DEPTHS)
    chip.load(network, training)
    chip.write_state(network.initial_state(seed=3, scale=3.0))
    spikes, targets = data[0]
    chip.accumulate(spikes, targets=targets)
    chip.update(samples=len(spikes), learning_rate=0.1, momentum=0.9)
    counters = chip.counters()
    groups = [-(-layer.outputs // 8) for layer in network.layers]
    visits = sum(group * (layer.inputs + layer.bias) for group, layer in zip(groups, network.layers, strict=True))
    steps = len(spikes) * network.steps
    assert counters["forward"]["dense"] == visits * steps
    assert counters["gradient"]["dense"] == visits * steps
    for engine in ("forward", "backward", "gradient"):
        assert 0 < counters[engine]["busy"] < counters[engine]["dense"]


def _flip(device, *, after: int):
    """Lets `device` lose the lowest bit of one weight after so many updates."""
    update, count = device.update, [0]

    def flipped(**arguments):
        result = update(**arguments)
        count[0] += 1
        if count[0] == after:
            state = device.read_state()
            state[1].weight.view(np.uint16)[2, 3] ^= 1
            device.write_state(state)
        return result

    return flipped


@pytest.mark.parametrize("after", [1, 2])
def test_one_wrong_bit_is_seen(devices, monkeypatch, after):
    network, training, data = setup("hard")
    chip = devices("8x2", **CHIPS["8x2"], **DEPTHS)
    monkeypatch.setattr(chip, "update", _flip(chip, after=after))
    with pytest.raises(Difference, match=rf"^update {after - 1} layer 1 weight\[2, 3\]: .* 1 words differ$"):
        train_both(devices("golden"), chip, network=network, training=training, batches=data)


@pytest.mark.parametrize("name", ["remainder", "momentum", "bias", "bias_remainder", "bias_momentum"])
def test_every_table_is_compared(name):
    network, _, _ = setup("hard")
    state, other = network.initial_state(seed=1), network.initial_state(seed=1)
    getattr(other[2], name).view(np.uint16)[..., -1] ^= 0x8000
    with pytest.raises(Difference, match=f"layer 2 {name}"):
        same_states(state, other)


@pytest.mark.parametrize("chip", ["8x2", "4x1-running"])
def test_the_timeline_shows_who_worked_when(devices, chip):
    """The chip's own record agrees with its counters, sample by sample, and shows the overlap."""
    network, training, data = setup("hard")
    device = devices(chip, **CHIPS[chip], **DEPTHS)
    device.load(network, training)
    device.write_state(network.initial_state(seed=3, scale=3.0))
    spikes, targets = data[0]
    assert device.timeline() == []
    device.accumulate(spikes, targets=targets)
    device.update(samples=len(spikes), learning_rate=0.1, momentum=0.9)
    timeline, counters = device.timeline(), device.counters()
    spans = [(later - cycle, working) for (cycle, working), (later, _) in itertools.pairwise(timeline)]
    assert timeline[0] == (0, {"forward"}) and timeline[-1][1] == frozenset()
    assert all(length > 0 for length, _ in spans)

    def time_of(engine):
        return sum(length for length, working in spans if engine in working)

    def starts(engine):
        return sum(engine in now and engine not in before for (_, before), (_, now) in
                   itertools.pairwise([(0, frozenset()), *timeline]))

    assert time_of("forward") == counters["forward"]["busy"] + counters["forward"]["stalled"]
    assert [starts(engine) for engine in ("forward", "loss", "backward", "update")] == [len(spikes)] * 3 + [1]
    assert any({"forward", "backward"} <= working for _, working in spans), "no two samples overlapped"
