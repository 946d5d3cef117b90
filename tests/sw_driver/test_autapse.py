"""Autapse networks on the host: what is refused, what is chosen, and runs on the golden model, bit for bit."""

import numpy as np
import pytest

import autapse as ap
from autapse.hw.contract.autapse import check_prototypes
from autapse.hw.contract.autapse_edges import convolution_edges, ordered_edges, perceptron_edges
from autapse.sw_driver.autapse import select_delays
from autapse.sw_driver.autapse_cost import additions, layer_state_bits, state_bits
from autapse.sw_driver.encode import planes
from autapse.sw_driver.loss import Loss
from autapse.sw_driver.prototypes import distances

SEED = 611


def spikes_and_labels(inputs, classes, *, count=40, steps=3):
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    labels = rng.integers(0, classes, count)
    likely = rng.random((classes, inputs)) < 0.4
    spikes = (rng.random((count, steps, inputs)) < np.where(likely[labels], 0.8, 0.1)[:, None, :]).astype(np.uint8)
    return spikes, labels


def test_prototypes_of_the_wrong_length():
    spec = ap.Autapse(3, 5, readout="prototype", classes=2).spec
    check_prototypes(spec, [[0] * 10, [1] * 10], 2)
    with pytest.raises(ValueError, match=r"prototype 1 must have 10 bits \(5 read nodes x 2 steps\), not 9"):
        check_prototypes(spec, [[0] * 10, [1] * 9], 2)
    network = ap.Network([ap.Autapse(3, 5, readout="prototype", classes=2)], steps=2)
    state = network.initial_state(1)
    state[1].weight = state[1].weight[:9]
    with ap.open("golden") as device, pytest.raises(ap.SpecError, match="weight of layer 1 must have shape"):
        ap.Trainer(network, device, loss="prototype", state=state)


def test_loss_and_readout_must_fit():
    with ap.open("golden") as device:
        with pytest.raises(ap.SpecError, match="take loss 'prototype'"):
            ap.Trainer(ap.Network([ap.Autapse(3, 5, readout="prototype", classes=2)], steps=2), device)
        with pytest.raises(ap.SpecError, match="does not fit a network read without prototypes"):
            ap.Trainer(ap.Network([ap.Autapse(3, 5, classes=2)], steps=2), device, loss="prototype")


def test_more_inputs_than_a_sum_is_exact_for_are_refused():
    network = ap.Network([ap.Autapse(8192, 9, classes=2)], steps=1)
    with ap.open("golden") as device, pytest.raises(ap.Misfit, match="a node may take at most 8192 terms, not 8201"):
        device.load(network, None)


def test_no_samples_have_no_readouts():
    network = ap.Network([ap.Autapse(3, 9, classes=2, readout="prototype")], steps=2)
    with ap.open("golden") as device:
        device.load(network, None)
        assert device.infer(np.zeros((0, 2, 3), np.uint8)).shape == (0, 2)


@pytest.mark.parametrize("flag", ["carry", "recurrent"])
def test_a_network_in_which_nothing_learns_is_refused(flag):
    network = ap.Network([ap.Autapse(3, 5, classes=2, **{flag: True})], steps=2)
    with ap.open("golden") as device, pytest.raises(ap.SpecError, match="nothing of 3-autapse mlp 3.2 learns"):
        ap.Trainer(network, device)


def test_delays():
    assert select_delays(9, 3, select="most") == [1, 2, 3]
    chosen = select_delays(256, 8, seed=3)
    assert len(set(chosen)) == 8 and 1 <= chosen[0] and chosen[-1] <= 256 and chosen == sorted(chosen)
    assert chosen == select_delays(256, 8, seed=3) != select_delays(256, 8, seed=4)
    shared = ap.Autapse(3, 9, structure="reservoir", delays=[2, 5], time_invariant=True).spec
    assert shared.weights == 2 and all(pairs == ((2, 0), (5, 1)) for pairs in shared.edges)


def test_perceptron_and_convolution_edges():
    edges, count = perceptron_edges((3, 2), time_invariant=True)
    assert count == 4 and [delay for delay, _ in edges[4]] == [2, 3, 4]
    edges, count = convolution_edges(3, 4, (1, 1))
    assert count == 9
    assert {delay for pairs in edges for delay, _ in pairs} == {12 + d for d in (-5, -4, -3, -1, 0, 1, 3, 4, 5)}
    sources = [sorted(node - delay for delay, _ in pairs) for node, pairs in enumerate(edges)]
    assert sources[12 + 4] == [0, 1, 4, 5, 8, 9]     # left border: nothing of the right one
    assert sources[12 + 7] == [2, 3, 6, 7, 10, 11]
    assert ordered_edges(3, [(2, 0), (0, 1)])[1] == [2, 0, 1]


def test_planes():
    spikes = planes(np.array([[0, 127, 128, 255]]), full=255, steps=2)
    assert spikes[0].tolist() == [[0, 1, 1, 1], [0, 0, 0, 1]]


def test_distances():
    codes, kept = np.array([[1, 0, 1]], np.uint8), np.array([[1, 1, 1], [0, 1, 0]], np.uint8)
    assert distances(codes, kept).tolist() == [[1, 3]]


@pytest.mark.parametrize("options,after", [
    ({"nodes": 17, "classes": 4}, []),
    ({"nodes": 17, "segments": [9, 5, 3], "readout": "prototype", "classes": 4}, []),
    ({"nodes": 11, "structure": "reservoir", "delays": 3}, [ap.Linear(11, 4), ap.LI()]),
    ({"nodes": 36, "structure": "conv", "shape": [3, 4], "channels": [1, 2], "readout": "linear"},
     [ap.Linear(24, 4), ap.LI()]),
])  # fmt: skip
def test_kernels_agree_and_runs_resume(tmp_path, options, after):
    """The same words from the kernel that visits node by node and the other one, also after a checkpoint."""
    network = ap.Network([ap.Autapse(12, **options), *after], steps=3)
    assert ap.Network.from_dict(network.as_dict()).layers == network.layers
    data = spikes_and_labels(12, 4)
    loss = "prototype" if network.prototypes else "cross_entropy"
    settings = {"loss": loss, "learning_rate": 0.25, "batch": 16}
    states = []
    for kernel in ("torch", None):
        with ap.open("golden", kernel=kernel) as device:
            trainer = ap.Trainer(network, device, **settings)
            trainer.fit(data, epochs=2, progress=False, checkpoint=tmp_path / "kept.safetensors")
            trainer.fit(data, epochs=1, progress=False)
            states.append(trainer.state)
    with ap.open("golden") as device:
        resumed = ap.Trainer.resume(tmp_path / "kept.safetensors", device)
        resumed.fit(data, epochs=1, progress=False)
        states.append(resumed.state)
    assert all(mine.same_bits(theirs) for state in states[1:] for mine, theirs in zip(states[0], state, strict=True))
    first = network.initial_state(0)
    changed = [not mine.same_bits(theirs) for mine, theirs in zip(states[0], first, strict=True)]
    assert changed == [network.autapse.trainable, *[True] * (len(changed) - 1)]
    found = ap.verify(network, (ap.open("golden"), ap.open("golden", kernel="torch")), data,
                      training=ap.TrainingSpec(**settings))
    assert found.equal


def test_prototypes_learn():
    network = ap.Network([ap.Autapse(20, 16, readout="prototype", classes=4)], steps=3)
    data = spikes_and_labels(20, 4, count=200)
    with ap.open("golden") as device:
        trainer = ap.Trainer(network, device, loss="prototype", learning_rate=0.1)
        trainer.fit(data, epochs=6, progress=False)
        assert trainer.evaluate(data).accuracy > 0.95


def test_error_of_prototypes_is_the_derivative_of_the_loss():
    """Flipping one spike changes every distance by one: the slopes' sum is the error that the port carries."""
    network = ap.Network([ap.Autapse(4, 3, readout="prototype", classes=3, temperature=2.0)], steps=1)
    training = ap.TrainingSpec(loss="prototype", loss_scale=1024.0)
    loss = Loss(network, training)
    dist = np.array([2.0, 0.0, 1.0])
    slope = loss.request(np.array([0]))["error"]((-dist).astype(np.int64) << 24, 0).astype(np.float64) / 1024
    powers = np.exp(-dist / 2)
    expected = (np.eye(3)[0] * (1 + 0.001) - powers / powers.sum()) / 2
    assert np.abs(slope - expected).max() < 2**-11


def test_a_chip_of_layers_refuses(monkeypatch):
    pytest.importorskip("amaranth")
    network = ap.Network([ap.Autapse(3, 9, classes=2)], steps=2)
    with ap.open("sim") as device, pytest.raises(ap.Misfit, match="holds no autapse network"):
        device.load(network, None)


def test_what_is_kept_and_how_long_a_sweep_takes():
    spec = ap.Autapse(3, 6, segments=[4, 2], readout="prototype", classes=5, units=2).spec
    assert state_bits(spec, 3) == {"membrane": 32, "delay line": 5, "code": 6, "prototypes": 30, "counts": 0}
    assert layer_state_bits((4, 2)) == {"membrane": 96, "spikes": 6}
    # Two inputs spike: groups of the first segment take 2 + 1 each; three nodes of it spike: 3 + 1 for the second.
    assert additions(spec, np.array([1, 1, 0, 1, 0, 1]), np.array([1, 0, 1])) == 3 + 3 + 4


def test_a_convolution_is_a_convolution():
    """Spikes of the second map against PyTorch's conv2d over exact quarters, borders included."""
    torch = pytest.importorskip("torch")
    network = ap.Network([ap.Autapse(20, 40, structure="conv", shape=[4, 5], readout="prototype", classes=2)], steps=2)
    state = network.initial_state(3)
    print("seed", SEED)
    rng = np.random.default_rng(SEED)
    kernel = (rng.integers(-4, 5, (3, 3)) / 4).astype(np.float16)
    state[0].weight[1:] = kernel.ravel()
    spikes = (rng.random((6, 2, 20)) < 0.5).astype(np.uint8)
    with ap.open("golden") as device:
        device.load(network, ap.TrainingSpec(loss="prototype"))
        device.write_state(state)
        result = device.accumulate(spikes, error=lambda readout, index: np.zeros(2), capture=True)
    found = np.stack([sample[0]["s"] for sample in result.traces])
    assert np.array_equal(found[:, :, :20], spikes)
    images = torch.from_numpy(spikes.reshape(12, 1, 4, 5).astype(np.float64))
    drive = torch.nn.functional.conv2d(images, torch.from_numpy(kernel.astype(np.float64))[None, None], padding=1)
    u = (drive.reshape(6, 2, 20).numpy() + state[0].bias[20:].astype(np.float64)).astype(np.float16)
    assert np.array_equal(found[:, :, 20:], (u >= 1).astype(np.uint8)) and found[:, :, 20:].any()
