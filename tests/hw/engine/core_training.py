"""A training run small enough for an event-driven simulator, for the benches of the core and of the whole chip."""

import numpy as np

from autapse.hw.contract.chip import ChipConfig
from autapse.sw_driver.compile import fit_config
from autapse.sw_driver.devices.chip import ChipDevice, read_identity
from autapse.sw_driver.devices.golden import GoldenDevice
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec
from device_comparison import Difference, train_both

__all__ = ["CONFIG", "BusDevice", "train_small"]

NETWORK = Network([Linear(5, 4), LIF(decay=0.75, threshold=[0.5, 0.25, 1.0, 0.0]), Linear(4, 3), LI(decay=0.5)],
                  steps=3)
TRAINING = TrainingSpec(learning_rate=0.25, momentum=0.5, batch=2, loss_scale=64.0)
CONFIG: ChipConfig = fit_config(NETWORK, TRAINING, lanes=2, units=1)


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


def train_small(bus, *, seed: int, batches: int = 1):
    """Trains the chip behind `bus` and the golden model; raises Difference at the first word that differs.

    Then breaks one weight of the chip, and expects that to be found.
    """
    rng = np.random.default_rng(seed)
    data = []
    for size in (2, 1)[:batches]:
        spikes = (rng.random((size, NETWORK.steps, NETWORK.inputs)) < 0.5).astype(np.uint8)
        data.append((spikes, np.eye(NETWORK.classes, dtype=np.float16)[rng.integers(NETWORK.classes, size=size)]))
    chip = BusDevice(bus, CONFIG)
    golden = GoldenDevice(threads=1)
    first = NETWORK.initial_state(seed=len(data), scale=3.0)
    last = train_both(golden, chip, network=NETWORK, training=TRAINING, batches=data)
    for one, other in zip(first, last, strict=True):
        assert (one.weight != other.weight).any(), "a layer did not learn, so it was not tested"
    counters = chip.counters()
    assert all(counters[engine]["busy"] for engine in ("forward", "backward", "gradient")), counters

    wrong = golden.read_state()
    wrong[0].remainder.view(np.uint16)[4, 3] ^= 1
    chip.write_state(wrong)
    found = chip.read_state()[0].remainder.view(np.uint16) ^ golden.read_state()[0].remainder.view(np.uint16)
    assert found.sum() == 1 and found[4, 3] == 1, Difference("a wrong bit was not read back")
    return counters
