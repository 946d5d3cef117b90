"""The comparison of two devices, shown to fail on every kind of word that a broken device can get wrong."""

import numpy as np
import pytest

import autapse as ap
from devices_for_tests import Blind, Flipped

SEED = 8


def make_net():
    return ap.Network([ap.Linear(6, 5), ap.LIF(threshold=0.25), ap.Linear(5, 4, bias=False), ap.LI()], steps=3)


def make_data():
    rng = np.random.default_rng(SEED)
    print(f"seed {SEED}")
    return rng.integers(0, 2, (11, 3, 6)).astype(np.uint8), rng.integers(0, 4, 11)


def run(*devices, **options):
    spec = ap.TrainingSpec(learning_rate=0.5, batch=4, loss=options.pop("loss", "mse"))
    return ap.verify(make_net(), devices, make_data(), training=spec, epochs=2, **options)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_equal_devices(loss):
    calls = []
    result = run(ap.open("golden"), ap.open("golden"), loss=loss, on_batch=lambda *at: calls.append(at))
    assert result.equal and result.first is None and result.batches == 6
    assert calls == [(i, 6) for i in range(1, 7)]
    samples, neurons, states = 2 * 11, 5 + 4, 7
    assert dict(result.compared) == {
        "membrane": samples * 3 * neurons, "spike": samples * 3 * neurons, "mask": samples * 3 * neurons,
        "error": samples * 3 * neurons, "readout": samples * 4, "overflow flag": 6, "inferred readout": 44,
        "weight": states * 50, "remainder": states * 50, "momentum": states * 50,
        "bias": states * 5, "bias remainder": states * 5, "bias momentum": states * 5}


@pytest.mark.parametrize(("word", "kind", "layer", "at", "place"), [
    ("u", "membrane", 1, (2, 3), "layer 1, step 2, neuron 3, sample 2, batch 1"),
    ("s", "spike", 0, (1, 4), "layer 0, step 1, neuron 4, sample 2, batch 1"),
    ("m", "mask", 0, (0, 0), "layer 0, step 0, neuron 0, sample 2, batch 1"),
    ("d", "error", 1, (1, 2), "layer 1, step 1, neuron 2, sample 2, batch 1"),
    ("readout", "readout", 1, (0, 3), "layer 1, neuron 3, sample 2, batch 1"),
    ("weight", "weight", 1, (4, 2), "layer 1, neuron 2, from input 4, batch 1"),
    ("bias", "bias", 0, (0, 4), "layer 0, neuron 4, batch 1"),
    ("remainder", "remainder", 0, (5, 1), "layer 0, neuron 1, from input 5, batch 1"),
    ("bias_momentum", "bias momentum", 0, (0, 2), "layer 0, neuron 2, batch 1"),
    ("overflow", "overflow flag", None, None, "sample 0, batch 1"),
])
def test_one_flipped_bit_is_found_and_named(word, kind, layer, at, place):
    result = run(ap.open("golden"), Flipped(word=word, layer=layer or 0, at=at))
    assert not result.equal
    assert result.different[kind] == 1 or word == "overflow"
    left, right = result.first.values
    assert str(result.first) == f"{kind}: {place}: {left!r} and {right!r}" and left != right
    assert result.as_dict()["first"]["text"] == str(result.first) and not result.as_dict()["equal"]


def test_of_several_the_earliest_is_named():
    early = Flipped(word="s", at=(1, 3))
    plain = early.accumulate

    def both(*arguments, **options):
        result = plain(*arguments, **options)
        for trace in (sample[0]["d"] for sample in result.traces or ()):
            trace.view(np.uint16)[...] ^= 1
        return result

    early.accumulate = both
    result = run(ap.open("golden"), early)
    assert result.first.kind == "error" and (result.first.batch, result.first.sample) == (0, 0)
    assert (result.first.step, result.first.neuron) == (2, 0)


def test_membranes_are_compared_only_where_both_keep_them():
    result = run(ap.open("golden"), Blind())
    assert result.equal and "membrane" not in result.compared and result.compared["error"]
