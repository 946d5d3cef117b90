"""The doctor finds what is wrong: a word that is stuck, addresses that are one, answers that are others."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import autapse as ap
from autapse.cli import run
from autapse.hw.contract.chip import ChipConfig
from autapse.hw.contract.program import Space
from autapse.sw_driver import doctor
from autapse.sw_driver.link import LinkStatistics

CONFIG = ChipConfig(lanes=2, units=1, layers=2, events=32, synapses=96, parameters=16, neurons=16, spike_rows=64,
                    mask_rows=16, membrane_rows=40, error_rows=24, history_words=48, active_words=16, readouts=16,
                    error_inputs=16)


class Memories:
    """A bus of memories that keep what is written, but for `fault(space, address)`, the address that is really meant,
    and `harm(space, address, words)`, what is read of it."""

    def __init__(self, *, fault=lambda space, address: address, harm=lambda space, address, words: words):
        self.fault, self.harm, self.words = fault, harm, {}
        self.link = SimpleNamespace(statistics=LinkStatistics())

    def select(self, cores):
        pass

    def sync(self):
        pass

    def fill(self, space, address, *, count, value):
        self.write(space, address, np.full(count, value, np.uint16))

    def write(self, space, address, words):
        for number, word in enumerate(words):
            self.words[space, self.fault(space, address + number)] = word

    def read(self, space, address, count):
        words = np.array([self.words[space, self.fault(space, address + number)] for number in range(count)], np.uint16)
        return self.harm(space, address, words)

    def queue_read(self, space, address, count):
        return SimpleNamespace(result=lambda: self.read(space, address, count))


def stuck(place):
    """Bit 5 of this word of the synapses is always high."""
    def harm(space, address, words):
        if space == Space.SYNAPSES and address <= place < address + len(words):
            words[place - address] |= 32
        return words
    return harm


@pytest.mark.parametrize("whole", [True, False, None])
def test_memories_that_keep_everything_pass(whole):
    found = doctor.memory(Memories(), CONFIG, whole=whole, rate=1e6)
    assert found.passed and found.figures["wrong"] == 0 and "none wrong" in found.text
    assert found.figures["whole"] == (whole is not False)


@pytest.mark.parametrize("whole, place", [(True, 100), (False, 129)])
def test_a_stuck_bit_is_found_and_named(whole, place):
    found = doctor.memory(Memories(harm=stuck(place)), CONFIG, whole=whole, rate=1e6)
    assert not found.passed and found.figures["wrong"] > 1
    assert f"first: SYNAPSES word {place:#x} reads 0x0020, written was 0x0000" in found.text


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("space", [Space.SYNAPSES, Space.MEMBRANES, Space.ERRORS])
@pytest.mark.parametrize("bit", [0, 3, 4])
def test_an_address_bit_that_does_nothing_is_found(whole, space, bit):
    def fault(at, address):
        return address & ~(1 << bit) if at == space else address

    found = doctor.memory(Memories(fault=fault), CONFIG, whole=whole, rate=1e6)
    assert not found.passed and f"first: {space.name} word" in found.text


def test_every_word_is_looked_at_only_where_the_line_is_fast():
    assert not doctor.memory(Memories(), CONFIG, whole=None, rate=10).figures["whole"]


def test_bulk_that_comes_back_otherwise_fails():
    assert doctor.throughput(Memories(), CONFIG, baud=3_000_000).passed
    found = doctor.throughput(Memories(harm=lambda space, address, words: words ^ np.uint16(1)), CONFIG)
    assert not found.passed and "what came back is not what was written" in found.text


def test_the_known_answers_are_the_golden_models():
    pytest.importorskip("torch")
    for training, expected in ((True, doctor.TRAINED), (False, doctor.INFERRED)):
        with ap.open("golden") as device:
            assert doctor.answer_of(device, training=training) == expected


def test_a_device_that_answers_otherwise_is_not_well(capsys, tmp_path, monkeypatch):
    golden = pytest.importorskip("autapse.sw_driver.devices.golden", exc_type=ImportError)
    infer = golden.GoldenDevice.infer
    monkeypatch.setattr(golden.GoldenDevice, "infer", lambda self, spikes: infer(self, spikes) + 1)
    path = tmp_path / "doctor.json"
    assert run(["doctor", "--device", "golden", "--json", str(path)]) == 1
    text = capsys.readouterr()
    assert "golden: not well" in text.out and "WRONG" in text.out
    assert text.err == "autapse: examining known answer\n"
    found = json.loads(path.read_text())
    assert not found["well"] and [entry["passed"] for entry in found["findings"]] == [False]
    assert "other words than the golden model's; autapse verify names the first" in found["findings"][0]["text"]
    assert run(["doctor", "--device", "golden", "--quiet"]) == 1 and capsys.readouterr() == ("", "")
