"""A training run small enough for an event-driven simulator, for the benches of the core and of the whole chip."""

import numpy as np

from autapse.hw.contract.chip import ChipConfig
from autapse.sw_driver.compile import fit_config
from autapse.sw_driver.devices.chip import ChipDevice, read_identity
from autapse.sw_driver.devices.golden import GoldenDevice
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec
from device_comparison import Difference, same_batch, same_states, train_both

__all__ = ["CONFIGS", "BusDevice", "train_small"]

NETWORK = Network([Linear(5, 4), LIF(decay=0.75, threshold=[0.5, 0.25, 1.0, 0.0]), Linear(4, 3), LI(decay=0.5)],
                  steps=3)
TRAINING = TrainingSpec(learning_rate=0.25, momentum=0.5, batch=3, loss_scale=64.0)
CONFIGS: dict[str, ChipConfig] = {gradient: fit_config(NETWORK, TRAINING, lanes=2, units=1, gradient=gradient)
                                  for gradient in ("batch", "running")}


class BusDevice(ChipDevice):
    """The driver's own way of using a chip, over a bus that the bench gives."""

    name = "bench"

    def __init__(self, bus, config: ChipConfig):
        super().__init__()
        self._given = bus, config

    def connect(self, network, training):
        bus, config = self._given
        found = read_identity(bus)
        assert found == config, f"the chip says it is {found}"
        return bus, config


def train_small(bus, *, seed: int, gradient: str = "batch", batches: int = 1, overlapped: bool = True):
    """Trains the chip behind `bus`, one of `CONFIGS`, and the golden model.

    Raises Difference at the first word that differs.

    First with every trace read, which leaves the chip no two runs at once, then as fast as chip and bus allow: runs
    are posted one behind the other, samples loaded and readouts fetched meanwhile, with the chip's own loss and with
    errors that the host gives, if `overlapped`. Then breaks one weight of the chip, and expects that to be found.
    """
    rng = np.random.default_rng(seed)
    data = [_batch(rng, size) for size in (2, 1)[:batches]]
    chip = BusDevice(bus, CONFIGS[gradient])
    golden = GoldenDevice(threads=1)
    first = NETWORK.initial_state(seed=len(data), scale=3.0)
    last = train_both(golden, chip, network=NETWORK, training=TRAINING, batches=data)
    for one, other in zip(first, last, strict=True):
        assert (one.weight != other.weight).any(), "a layer did not learn, so it was not tested"
    counters = chip.counters()
    assert all(counters[engine]["busy"] for engine in ("forward", "backward", "gradient")), counters
    if overlapped:
        _overlapped(golden, chip, rng)

    wrong = golden.read_state()
    wrong[0].remainder.view(np.uint16)[4, 3] ^= 1
    chip.write_state(wrong)
    found = chip.read_state()[0].remainder.view(np.uint16) ^ golden.read_state()[0].remainder.view(np.uint16)
    assert found.sum() == 1 and found[4, 3] == 1, Difference("a wrong bit was not read back")
    return counters


def _batch(rng, size: int):
    spikes = (rng.random((size, NETWORK.steps, NETWORK.inputs)) < 0.5).astype(np.uint8)
    return spikes, np.eye(NETWORK.classes, dtype=np.float16)[rng.integers(NETWORK.classes, size=size)]


def _overlapped(golden, chip, rng):
    """A batch by the chip's loss, one by the host's errors, and an inference, with no trace read in between."""
    for number, size in enumerate((TRAINING.batch, 2)):
        spikes, targets = _batch(rng, size)

        def error(readout, index, targets=targets):
            return (np.float16(readout / 2.0**24) - targets[index]).astype(np.float16)

        goal = {"targets": targets} if number == 0 else {"error": error}
        before = golden.read_state()
        same_batch(*(device.accumulate(spikes, **goal) for device in (golden, chip)), f"overlapped batch {number}")
        flags = [device.update(samples=size, learning_rate=TRAINING.learning_rate, momentum=TRAINING.momentum)
                 for device in (golden, chip)]
        if flags[0] != flags[1]:
            raise Difference(f"overflow of overlapped update {number}: {flags[0]}, found {flags[1]}")
        same_states(golden.read_state(), chip.read_state(), f"overlapped update {number}")
        assert any((one.weight != other.weight).any() for one, other in zip(before, golden.read_state(), strict=True))
    spikes, _ = _batch(rng, 3)
    readouts = [device.infer(spikes) for device in (golden, chip)]
    if not np.array_equal(*readouts):
        raise Difference(f"overlapped inference: {readouts[0].tolist()}, found {readouts[1].tolist()}")
