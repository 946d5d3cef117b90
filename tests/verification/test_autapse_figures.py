"""The commands behind the figures of docs/autapse.md, on made-up data."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from autapse.verification import autapse_figures as figures
from autapse.verification.autapse_speech import autapse_spikes, standard_spikes

SEED = 77


def made_up(folder, setting):
    rng = np.random.default_rng(SEED)
    labels = rng.integers(0, 10, 260).astype(np.uint8)
    pictures = np.zeros((260, 28, 28), np.uint8)
    for picture, label in zip(pictures, labels, strict=True):
        picture[4 + 2 * (label // 5):8 + 2 * (label // 5), 4 + 4 * (label % 5):8 + 4 * (label % 5)] = 200
    return [pictures[:200], labels[:200], pictures[200:], labels[200:]]


def test_training_learns_and_repeats(monkeypatch, tmp_path):
    print("seed", SEED)
    monkeypatch.setattr(figures, "images", made_up)
    setting = replace(figures.PRESETS["mnist16"], epochs=6, batch=20, steps=2)
    first, second = (figures.train(setting, tmp_path, 1, say=lambda line: None) for _ in range(2))
    assert first["curve"] == second["curve"] and first["test_accuracy"] > 0.6
    lif = figures.train(replace(setting, kind="lif", epochs=1), tmp_path, 1, say=lambda line: None)
    assert 0 <= lif["test_accuracy"] <= 1


def test_words_are_averaged_and_rounded_once(monkeypatch, tmp_path):
    print("seed", SEED)
    setting = figures.PRESETS["mnist16"]
    network, rng = figures.network_of(setting), np.random.default_rng(SEED)
    states = [network.initial_state(seed) for seed in rng.integers(0, 1000, 3).tolist()]
    average = figures.Average()
    for state in states:
        average.add(state)
    for index, layer in enumerate(average.state()):
        for name, words in layer.arrays().items():
            exact = [[Fraction(float(word)) for word in getattr(state[index], name).ravel()] for state in states]
            means = np.array([float(sum(three) / 3) for three in zip(*exact, strict=True)])
            wanted = means if name in ("weight", "bias") else 0 * means
            assert words.dtype == np.float16 and np.array_equal(words.ravel(), wanted.astype(np.float16))


def test_what_is_scored_are_the_averaged_words(monkeypatch, tmp_path):
    print("seed", SEED)
    monkeypatch.setattr(figures, "images", made_up)
    setting = replace(figures.PRESETS["mnist16"], epochs=4, batch=10, steps=2)
    plain, all_of_it = (figures.train(replace(setting, average=share), tmp_path, 1, say=lambda line: None)
                        for share in (0.0, 0.25))
    assert plain["curve"] == all_of_it["curve"] and all_of_it["last"] == plain["test_accuracy"]
    one = figures.train(replace(setting, average=1 / 80), tmp_path, 1, say=lambda line: None)
    assert one["test_accuracy"] == one["last"]    # a single state is averaged, the last one


def test_images_held_out_are_not_trained_on(monkeypatch, tmp_path):
    monkeypatch.setattr(figures, "images", made_up)
    everything = made_up(None, None)
    pictures, labels, scored, scored_labels = figures.parts_of(tmp_path, replace(figures.PRESETS["mnist"], holdout=30))
    assert np.array_equal(np.concatenate([pictures, scored]), everything[0]) and len(scored) == 30
    assert np.array_equal(np.concatenate([labels, scored_labels]), everything[1])
    pictures, *_ = figures.parts_of(tmp_path, replace(figures.PRESETS["mnist"], holdout=30, limit=50))
    assert np.array_equal(pictures, everything[0][:50])


def test_inputs_are_dropped_in_training_alone():
    setting = replace(figures.PRESETS["fashion"], mirror=False, gain=0.0, drop=0.25, steps=3)
    pictures = np.full((20, 28, 28), 255, np.uint8)
    print("seed", SEED)
    spikes = figures.spikes_of(pictures, setting, np.random.default_rng(SEED))
    assert figures.spikes_of(pictures, setting).all() and 0.22 < 1 - spikes.mean() < 0.28
    assert (spikes == spikes[:, :1]).all()


def test_pictures_are_brightened_and_darkened():
    setting = replace(figures.PRESETS["fashion"], mirror=False, drop=0.0, gain=0.5, encoder="planes")
    rng = np.random.default_rng(SEED)
    print("seed", SEED)
    planes = figures.spikes_of(np.full((60, 28, 28), 120, np.uint8), setting, rng).sum(axis=1)
    assert (planes == planes[:, :1]).all() and {2, 4, 6} < set(planes[:, 0]) <= set(range(2, 7))


def test_shifts_move_the_picture_whole():
    picture = np.zeros((50, 28, 28), np.uint8)
    picture[:, 10, 12] = 9
    moved = figures.changed(picture, replace(figures.PRESETS["mnist"], shift=2), np.random.default_rng(SEED))
    places = {tuple(np.argwhere(one)[0]) for one in moved}
    assert (moved.sum(axis=(1, 2)) == 9).all() and len(places) > 10
    assert all(abs(row - 10) <= 2 and abs(column - 12) <= 2 for row, column in places)


def test_both_reservoirs_hear_their_inputs():
    spikes = (np.random.default_rng(SEED).random((3, 6, 11)) < 0.5).astype(np.uint8)
    network = figures.Network([figures.Autapse(11, 13, structure="reservoir", delays=3), figures.Linear(13, 10),
                               figures.LI()], steps=6)
    mine, theirs = autapse_spikes(spikes, network, 1, 2.0), standard_spikes(spikes, 13, 3, 1, 2.0)
    assert mine.shape == theirs.shape == (3, 6, 13) and 0 < mine.mean() < 1 and 0 < theirs.mean() < 1
    assert not np.array_equal(mine[0], mine[1])
