"""The standard network beside the autapse convolution, and the command that compares them, on made-up data."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from autapse.verification import autapse_conv, autapse_figures
from autapse.verification.autapse_conv import PRESETS, Bit, Spike, Standard, network_of, train_standard

SEED = 78
SETTING = replace(PRESETS["conv"], shape=(4, 5), channels=(1, 2), epochs=3, batch=10, steps=3, temperature=8.0)


def made_up(folder, setting):
    rng = np.random.default_rng(SEED)
    labels = rng.integers(0, 10, 130).astype(np.uint8)
    pictures = rng.integers(0, 90, (130, 4, 5)).astype(np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        picture[label // 5 * 2:label // 5 * 2 + 2, label % 5] = 250
    return [pictures[:100], labels[:100], pictures[100:], labels[100:]]


def test_without_decay_it_gives_the_distances_of_the_chip():
    print("seed", SEED)
    network = network_of(SETTING)
    spikes = (np.random.default_rng(SEED).random((7, 3, 20)) < 0.5).astype(np.uint8)
    state = network.initial_state(4)
    with autapse_figures.open_device("golden") as device:
        device.load(network, None)
        device.write_state(state)
        theirs = -device.infer(spikes) >> 24
    with torch.no_grad():
        exact = Standard(SETTING, network, 4, 0.0).double()(torch.from_numpy(spikes).double())
        leaky = Standard(SETTING, network, 4, 0.5)(torch.from_numpy(spikes).float())
    assert np.array_equal(exact.numpy(), theirs) and not np.array_equal(leaky.numpy(), theirs)


def test_its_derivatives_are_those_of_the_rules():
    u = torch.tensor([0.4, 0.75, 1.0, 1.5], requires_grad=True)
    spikes = Spike.apply(u, 1.0, 0.5)
    spikes.sum().backward()
    assert spikes.tolist() == [0, 0, 1, 1] and u.grad.tolist() == [0, 1, 1, 0]
    latent = torch.tensor([-1.0, 0.0], requires_grad=True)
    Bit.apply(latent).sum().backward()
    assert latent.grad.tolist() == pytest.approx([1 / (1 + np.pi**2), 1])


def test_it_learns_and_repeats(monkeypatch, tmp_path):
    monkeypatch.setattr(autapse_figures, "images", made_up)
    first, second = (train_standard(replace(SETTING, epochs=12), tmp_path, 1, say=lambda line: None) for _ in range(2))
    assert first["test_accuracy"] == second["test_accuracy"] > 0.5


def test_the_command_reports_the_gap(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(autapse_figures, "images", made_up)
    monkeypatch.setattr(autapse_conv, "PRESETS", {"conv": SETTING})
    monkeypatch.setattr("sys.argv", ["autapse_conv", "--data", str(tmp_path), "--seeds", "1", "--epochs", "1",
                                     "--holdout", "20", "--json", str(tmp_path / "gap.json")])
    autapse_conv.main()
    said = capsys.readouterr().out
    assert "held out" in said and "gap" in said and (tmp_path / "gap.json").is_file()
