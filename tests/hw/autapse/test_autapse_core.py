"""The simulated autapse chip against the rules in integers: every structure forward, and what trains there."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from autapse.hw.contract.autapse_chip import AutapseChip
from autapse.sw_driver.compile.program import training_registers
from autapse.sw_driver.network import TrainingSpec
from autapse_cases import SlowNetwork, as_words, random_state, runner, specs, start
from autapse_slow import updated

SEED, STEPS = 2603, 3
FORWARD = {1: tuple(specs()), 4: ("mlp", "mlp prototypes", "mlp leaking", "reservoir", "conv", "maps")}
TRAINED = ("mlp", "mlp leaking", "mlp soft", "mlp linear", "reservoir", "reservoir shared")


@pytest.fixture(scope="module", params=[1, 4], ids=["one unit", "four units"])
def chip(request):
    """A running chip, and what it is."""
    config = AutapseChip(units=request.param, words=16384, line=64, events=64, code_words=32, readouts=8)
    bus = start(config)
    yield bus, config
    bus.link.close()


def test_forward_is_that_of_the_rules(chip):
    bus, config = chip
    for name in FORWARD[config.units]:
        spec, tail = specs()[name]
        rng = np.random.default_rng(SEED)
        state = random_state(rng, spec, tail)
        there = runner(bus, config, spec, tail, state, steps=STEPS)
        if spec.readout == "prototype":
            prototypes = rng.integers(0, 2, (spec.classes, spec.code_bits(STEPS)))
            there.write_prototypes(prototypes)
        fired = 0
        for _ in range(3):
            x = (rng.random((STEPS, spec.inputs)) < 0.4).astype(np.uint8)
            slow = SlowNetwork(spec, state, steps=STEPS, tail=tail)
            y = slow.forward(x)
            spikes = np.array(slow.s)
            if spec.readout == "prototype":
                y = [-int((spikes[:, spec.read_from:].reshape(-1) != row).sum()) << 24 for row in prototypes]
            assert there.infer(x[None])[0].tolist() == y, f"{name}, seed {SEED}"
            assert (there.read_trace()["s"][:, :spec.nodes] == spikes).all(), f"{name}, seed {SEED}"
            assert there.overflow() == slow.overflow
            fired += spikes.sum()
        assert 0 < fired < 3 * STEPS * spec.nodes


def test_training_is_that_of_the_rules(chip):
    bus, config = chip
    for name in TRAINED if config.units == 1 else ("mlp", "reservoir"):
        _train(bus, config, name)


def _train(bus, config, name: str):
    spec, tail = specs()[name]
    rng, batch = np.random.default_rng(SEED), 7
    state = random_state(rng, spec, tail)
    there = runner(bus, config, spec, tail, state, steps=STEPS, batch=batch)
    network = type("Sizes", (), {"steps": STEPS, "classes": there.program.classes})
    training = TrainingSpec(learning_rate=0.25, momentum=0.5, batch=batch)
    parts = {False: state.words, True: state.tail}
    kept = {which: [[0] * len(words), [0] * len(words)] for which, words in parts.items()}
    learns = {which for which in parts if there.program.learned("momenta", tail=which)[0].size}
    for round_ in range(2):
        registers = training_registers(network, training, samples=batch, learning_rate=0.25, momentum=0.5)
        x = (rng.random((batch, STEPS, spec.inputs)) < 0.4).astype(np.uint8)
        # Errors of every sweep from the host, then mean squared error on the chip.
        g = rng.normal(size=(batch, STEPS, there.program.read_nodes)).astype(np.float16)
        targets = np.eye(there.program.classes, dtype=np.float16)[rng.integers(there.program.classes, size=batch)]
        sums: dict[bool, dict[int, int]] = {False: {}, True: {}}
        slows = []
        for sample in range(batch):
            slow = SlowNetwork(spec, state, steps=STEPS, tail=tail)
            y = slow.forward(x[sample])
            slow.backward(g[sample].view(np.uint16).tolist() if round_ == 0 else
                          [[_loss(value, target, registers) for value, target in zip(
                              y, targets[sample].view(np.uint16).tolist(), strict=True)]] * STEPS)
            slows.append(slow)
            for which, found in zip((False, True), slow.gradient(), strict=True):
                for at, value in found.items():
                    sums[which][at] = sums[which].get(at, 0) + value
        seen = []
        ask = {"error": lambda readout, index, g=g: g[index]} if round_ == 0 else {"targets": targets}
        there.accumulate(x, registers=registers, keep=lambda index, seen=seen: seen.append(
            there.read_trace(sample=index)), **ask)
        for sample, (trace, slow) in enumerate(zip(seen, slows, strict=True)):
            d = np.concatenate([np.array(part, np.uint16).reshape(STEPS, -1) for part in
                                (slow.d, *([slow.tail_d] if tail else []))], axis=1)
            assert (trace["d"].view(np.uint16) == d).all(), f"{name}, sample {sample}, seed {SEED}"
            assert (trace["u"][:, :spec.nodes].view(np.uint16) == np.array(slow.u)).all()
        assert any((trace["d"] != 0).any() for trace in seen)
        there.update(registers)
        for which in learns:
            words, (remainders, momenta) = parts[which], kept[which]
            for at in range(len(words)):
                words[at], remainders[at], momenta[at] = updated(
                    words[at], remainders[at], momenta[at], sums[which].get(at, 0), registers, momentum=True)
            found = there.read_words(tail=which)
            for title, mine, theirs in (("weights", words, found.weights), ("remainders", remainders, found.remainders),
                                        ("momenta", momenta, found.momenta)):
                assert mine == theirs.view(np.uint16).tolist(), f"{name}, {title} of round {round_}, seed {SEED}"
    assert learns


def _loss(y: int, target: int, registers: dict[str, int]) -> int:
    from autapse.hw.numeric.binary16 import decode, encode
    residual, _ = encode(y * decode(registers["inverse_steps"]) - (decode(target) << 24), fraction=48)
    return encode(decode(registers["error_gain"]) * decode(residual), fraction=48)[0]


def test_prototypes_of_another_length_are_refused(chip):
    bus, config = chip
    spec, tail = specs()["mlp prototypes"]
    there = runner(bus, config, spec, tail, random_state(np.random.default_rng(SEED), spec, tail), steps=STEPS)
    there.write_prototypes(np.zeros((4, 24), np.uint8))
    for shape, sentence in (((4, 23), "prototype 0 must have 24 bits"), ((3, 24), "one prototype for each of 4")):
        with pytest.raises(ValueError, match=sentence):
            there.write_prototypes(np.zeros(shape, np.uint8))


def test_chip_sees_one_wrong_weight(chip):
    bus, config = chip
    spec, tail = specs()["mlp"]
    rng = np.random.default_rng(SEED)
    state = random_state(rng, spec, tail)
    there = runner(bus, config, spec, tail, state, steps=STEPS)
    wrong = spec.input_weights + spec.weights + 2       # the bias of node 2
    there.write_words(as_words([word ^ (at == wrong) << 15 for at, word in enumerate(state.words)]))
    differs = 0
    for _ in range(40):
        x = (rng.random((STEPS, spec.inputs)) < 0.6).astype(np.uint8)
        slow = SlowNetwork(spec, state, steps=STEPS)
        slow.forward(x)
        there.infer(x[None])
        differs += (there.read_trace()["s"] != np.array(slow.s)).any()
    assert differs
