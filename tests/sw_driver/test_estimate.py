"""What an estimate says of the line, against the packets that the driver really queues."""

import numpy as np
import pytest

from autapse.hw.contract.program import Run, Space
from autapse.sw_driver.compile import compile_whole, fit_config
from autapse.sw_driver.devices.cores import Cores
from autapse.sw_driver.devices.inputs import input_rows
from autapse.sw_driver.errors import SpecError
from autapse.sw_driver.estimate import activity_on, link_bytes, link_words
from autapse.sw_driver.link.bus import Bus
from autapse.sw_driver.network import LI, LIF, Linear, Network, TrainingSpec

NETWORK = Network([Linear(150, 12), LIF(decay=0.5), Linear(12, 10), LI(decay=0.5)], steps=4)
TRAINING = TrainingSpec(batch=2)


class Line:
    """Takes packets, and counts their words."""

    def __init__(self):
        self.words = 0

    def send(self, packet: bytes):
        assert len(packet) % 2 == 0
        self.words += len(packet) // 2


def sample_spikes(share: float, *, count: int = 6) -> np.ndarray:
    """Spikes of every third stretch of 50 inputs alone, as images have borders."""
    spikes = np.random.default_rng(7).random((count, NETWORK.steps, NETWORK.inputs)) < share
    spikes[:, :, 50:] = 0
    return spikes


@pytest.mark.parametrize("lanes, units", [(1, 1), (2, 1), (8, 2), (32, 1)])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_words_of_a_sample_are_those_that_are_queued(lanes, units, training, share):
    config = fit_config(NETWORK, TRAINING, lanes=lanes, units=units)
    bus = Bus(Line())
    cores = Cores(bus, config, NETWORK, TRAINING, compile_whole(NETWORK, TRAINING, config))
    spikes = sample_spikes(share)
    for sample in input_rows(spikes, lanes):
        cores.load_sample(sample, 0)
        if training:
            cores.write_classes(Space.TARGETS, np.zeros(NETWORK.classes, np.float16), 0)
        bus.run(Run.FORWARD, 0)
        handle, = cores.queue_readout(0)
    told = link_words(NETWORK, config, spikes, training=training)
    assert told["there"] * len(spikes) == pytest.approx(bus.link.words, abs=1e-6)
    assert told["back"] == 3 + len(handle._words) + 1      # a READ_DATA's head, its words, its status
    assert link_bytes(NETWORK, config, spikes, training=training)["there"] > 2 * told["there"]


def test_silence_costs_little():
    config = fit_config(NETWORK, TRAINING, lanes=2, units=1)
    none, some, whole = (link_words(NETWORK, config, sample_spikes(share), training=False)["there"]
                         for share in (0.0, 0.1, 1.0))
    assert none < some < whole < NETWORK.steps * NETWORK.inputs / 2


def test_spikes_of_the_inputs_are_taken_from_data():
    pytest.importorskip("sklearn", reason="the digits are embedded in scikit-learn")
    network = Network([Linear(64, 12), LIF(decay=0.5), Linear(12, 10), LI(decay=0.5)], steps=4)
    activity = activity_on(network, "digits", samples=9, spikes=0.25)
    assert [bits.shape for bits in activity.spikes] == [(9, 4, 64), (9, 4, 12), (9, 4, 10)]
    assert not activity.spikes[0][:, :, 0].any(), "the corner of an image is dark"
    assert activity.source.startswith("inputs of 9 samples of digits, ")
    with pytest.raises(SpecError, match="data digits has 64 inputs, network 150-12-10 150; change --net or --data"):
        activity_on(NETWORK, "digits")
