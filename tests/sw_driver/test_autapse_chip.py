"""Autapse networks on the simulated autapse chip beside the golden model, and what that chip refuses."""

from dataclasses import replace

import numpy as np
import pytest

import autapse as ap
from autapse.hw.autapse.preset import up5k_chip
from autapse.hw.contract.autapse_chip import AutapseChip
from autapse.sw_driver.compile.autapse import AutapseProgram
from autapse.sw_driver.device import open as open_device
from autapse.sw_driver.errors import DeviceError, Misfit
from autapse.sw_driver.network import TrainingSpec
from autapse.sw_driver.verify import verify

# One simulator for all; tests/hw/autapse has the same.
CHIP = "sim:core=autapse,words=16384,line=64,events=64,segments=8,readouts=8,code_words=32"
SEED = 52


def networks() -> dict[str, tuple[ap.Network, str, float]]:
    """Small networks, their loss and their momentum."""
    return {
        "perceptron": (ap.Network([ap.Autapse(20, 17, classes=4)], steps=3), "mse", 0.5),
        "leaking perceptron": (ap.Network([ap.Autapse(20, 19, classes=3, leak=0.5)], steps=2), "cross_entropy", 0.0),
        "prototypes": (ap.Network([ap.Autapse(20, 40, classes=4, readout="prototype")], steps=2), "prototype", 0.5),
        "reservoir": (ap.Network([ap.Autapse(20, 31, structure="reservoir", delays=5, carry=True), ap.Linear(31, 4),
                                  ap.LI(decay=0.5)], steps=3), "mse", 0.5),
        "reservoir and prototypes": (ap.Network([ap.Autapse(20, 31, structure="reservoir", delays=5, classes=4,
                                                            readout="prototype")], steps=3), "prototype", 0.5),
    }


@pytest.mark.parametrize("name", networks())
def test_chip_and_golden_model_agree_in_every_word(name):
    network, loss, momentum = networks()[name]
    rng = np.random.default_rng(SEED)
    data = (rng.random((12, network.steps, 20)) < 0.4).astype(np.uint8), rng.integers(network.classes, size=12)
    training = TrainingSpec(learning_rate=0.5, momentum=momentum, batch=5, loss=loss)
    with open_device("golden") as golden, open_device(CHIP) as chip:
        result = verify(network, (golden, chip), data, training=training, epochs=2, seed=SEED)
        counters = chip.counters()
    assert result.equal, result.complaint()
    assert result.compared["readout"] and result.compared["weight"]
    assert counters["forward"]["busy"] and counters["forward"]["skipped"]


@pytest.mark.slow
def test_the_smallest_chip_holds_256_nodes_and_agrees_over_a_whole_test_set():
    data, steps = ap.load_data("digits"), 4
    network = ap.Network([ap.Autapse(64, 256, segments=[256], readout="linear"), ap.Linear(256, 10), ap.LI(decay=0.5)],
                         steps=steps)
    fields = {name: value for name, value in vars(up5k_chip()).items() if name != "training"}
    with open_device("golden") as golden, open_device("sim:core=autapse", **fields) as chip:
        trainer = ap.Trainer(network, golden, learning_rate=0.02, momentum=0.9, batch=32, loss="cross_entropy",
                             seed=SEED)
        trainer.fit(data, epochs=8, progress=False)
        spikes, labels = data.test.spikes(np.arange(len(data.test)), steps), data.test.labels
        mine = golden.infer(spikes)
        chip.load(network, None)
        chip.write_state(golden.read_state())
        theirs = chip.infer(spikes)
        cycles = chip.counters()["chip"]["cycles"]
        accuracy = (mine.argmax(axis=1) == labels).mean()
        print(f"{len(spikes)} samples, accuracy {accuracy:.4f}, {cycles / len(spikes):,.0f} cycles per sample")
        assert (mine == theirs).all()
        assert accuracy > 0.85
        training = TrainingSpec(learning_rate=0.02, momentum=0.9, batch=2)
        result = verify(network, (golden, chip), data.first(8), training=training, seed=SEED)
        print(*result.lines(), sep="\n")
    assert result.equal, result.complaint()


@pytest.mark.parametrize(("network", "training", "sentence"), [
    (ap.Network([ap.Linear(20, 4), ap.LI()], steps=2), None, "has an autapse core, which holds networks that begin"),
    (ap.Network([ap.Autapse(20, 40, structure="conv", shape=(4, 5), readout="prototype", classes=2)], steps=2),
     TrainingSpec(batch=2, loss="prototype"), "an autapse core trains perceptrons"),
    (ap.Network([ap.Autapse(70, 17, classes=4)], steps=2), None, "asks for 70 events, the chip has 64"),
    (ap.Network([ap.Autapse(20, 70, structure="reservoir", delays=[65]), ap.Linear(70, 2), ap.LI()], steps=2), None,
     "asks for 65 line, the chip has 64"),
    (ap.Network([ap.Autapse(20, 40, classes=20)], steps=2), None, "asks for 20 readouts, the chip has 8"),
    (ap.Network([ap.Autapse(20, 17, classes=4)], steps=24), TrainingSpec(batch=40),
     "words of memory, the chip has 16384"),
    (ap.Network([ap.Autapse(20, 17, structure="reservoir"), ap.Linear(17, 6), ap.LIF(), ap.Linear(6, 2),
                 ap.LI()], steps=2), None, "an autapse core takes one layer behind the nodes"),
])
def test_chip_refuses_what_it_cannot_hold(network, training, sentence):
    with open_device(CHIP) as chip, pytest.raises(Misfit, match=sentence):
        chip.load(network, training)


@pytest.mark.parametrize(("inputs", "batch", "fits"), [(64, 4, True), (196, 0, True), (784, 0, False), (64, 8, False)])
def test_256_nodes_fit_the_smallest_chip_where_it_says_so(inputs, batch, fits):
    spec = ap.Autapse(inputs, 256, classes=10).spec
    chip = up5k_chip() if inputs <= 256 else replace(up5k_chip(), events=1024)
    if fits:
        AutapseProgram(spec, steps=4, chip=chip, batch=batch)
        return
    with pytest.raises(Misfit, match="words of memory, the chip has 65536"):
        AutapseProgram(spec, steps=4, chip=chip, batch=batch)


def test_options_are_those_of_the_autapse_chip():
    with pytest.raises(DeviceError, match="has no 'lanes'; it has units, words, line"):
        open_device("sim:core=autapse,lanes=2")
    with pytest.raises(DeviceError, match="stands alone; leave mesh out"):
        open_device("sim:core=autapse,mesh=2x2")
    with pytest.raises(DeviceError, match="core of a simulated chip is autapse or left out, not 'round'"):
        open_device("sim:core=round")


def test_a_code_whose_distances_are_no_words_is_refused():
    network = ap.Network([ap.Autapse(2, 4096, readout="prototype", classes=2, segments=(4096,))], steps=16)
    spec = network.layers[0].spec
    with pytest.raises(ValueError, match="code_words of an autapse chip must be a whole number from 0 to 4095"):
        AutapseChip(code_words=4096)
    with pytest.raises(Misfit, match="prototypes of 4096 words are longer than the chip's 4095"):
        AutapseProgram(spec, steps=16, chip=AutapseChip(code_words=4095, words=65536))
