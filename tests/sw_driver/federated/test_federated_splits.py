"""Every sample has one owner, the seed decides which, and what cannot be split is refused in a sentence."""

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver.data import RecordedSet
from autapse.sw_driver.federated.split import scored_on, split_indices


def labelled(count=203, classes=7, speakers=None):
    draw = np.random.default_rng(2)
    made = RecordedSet(draw.integers(0, 2, (count, 2, 3), dtype=np.uint8), draw.integers(0, classes, count))
    if speakers is not None:
        made.speakers = np.array([f"s{index % speakers}" for index in range(count)])
    return made


@pytest.mark.parametrize("split", ["iid", "dirichlet:0.5", "dirichlet:100", "class"])
def test_every_sample_has_one_owner(split):
    samples = labelled()
    parts = split_indices(samples, split=split, workers=4, seed=6)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(203))
    again = split_indices(samples, split=split, workers=4, seed=6)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    if split != "class":
        other = split_indices(samples, split=split, workers=4, seed=7)
        assert not all(np.array_equal(a, b) for a, b in zip(parts, other, strict=True))


def test_splits_are_as_lopsided_as_they_say():
    samples = labelled(count=3000)

    def spread(split):
        counts = np.array([np.bincount(samples.labels[part], minlength=7) for part in
                           split_indices(samples, split=split, workers=5, seed=1)])
        return (counts / counts.sum(axis=0)).std()

    assert spread("iid") < 0.05 < spread("dirichlet:0.5") > 2 * spread("dirichlet:10")
    owners = [set(samples.labels[part]) for part in split_indices(samples, split="class", workers=3, seed=1)]
    assert [len(owner) for owner in owners] == [3, 2, 2] and not owners[0] & owners[1]


def test_speakers_and_those_left_out():
    train, test = labelled(speakers=4), labelled(count=40, speakers=4)
    parts = split_indices(train, split="speaker", workers=3, seed=0)
    assert [set(train.speakers[part]) for part in parts] == [{"s0"}, {"s1"}, {"s2"}]
    left = scored_on(ap.Data(name="x", train=train, test=test), split="speaker", workers=3)
    assert set(left.speakers) == {"s3"} and len(left) == 50 + 10
    place = np.flatnonzero(test.speakers == "s3")
    assert np.array_equal(left.spikes(np.arange(50, 60), 2), test.spikes(place, 2))
    assert scored_on(ap.Data(name="x", train=train, test=test), split="speaker", workers=4) is test


@pytest.mark.parametrize(("split", "workers", "sentence"), [
    ("iid", 300, "300 workers are more than the 203 training samples"),
    ("class", 8, "8 workers are more than the 7 classes"),
    ("speaker", 2, "data that names its speakers"),
    ("dirichlet:0", 3, "alpha of the split 'dirichlet:0' must be more than 0"),
    ("dirichlet:-1", 3, "must be more than 0"),
    ("dirichlet:nan", 3, "must be more than 0"),
    ("dirichlet", 3, "the split dirichlet needs a number"),
    ("even", 3, "there is no split 'even'"),
    ("dirichlet:0.001", 60, "without samples; use fewer workers, a larger alpha or another seed"),
])
def test_bad_splits(split, workers, sentence):
    with pytest.raises(ap.AutapseError, match=sentence):
        split_indices(labelled(), split=split, workers=workers, seed=0)


def test_more_workers_than_speakers():
    with pytest.raises(ap.SpecError, match="5 workers are more than the 4 speakers s0, s1, s2, s3; use at most 4"):
        split_indices(labelled(speakers=4), split="speaker", workers=5, seed=0)
