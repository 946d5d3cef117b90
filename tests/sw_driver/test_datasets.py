"""Loaders on tiny files made here, whole and damaged."""

import gzip
import struct
import wave

import numpy as np
import pytest

import autapse as ap
from autapse.sw_driver.data import JoinedSet
from autapse.sw_driver.data.wav import BANDS, LEVELS, features

IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder, *, train=7, test=3, side=(3, 2), pack=True):
    rng = np.random.default_rng(3)
    made = {}
    for half, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, *side), dtype=np.uint8)
        labels = rng.integers(0, 10, count).astype(np.uint8)
        made[half] = images, labels
        for stem, array in ((IMAGES, images), (LABELS, labels)):
            raw = idx(array)
            path = folder / f"{half}-{stem}{'.gz' if pack else ''}"
            path.write_bytes(gzip.compress(raw) if pack else raw)
    return made


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx(tmp_path, name, pack):
    made = write_mnist(tmp_path, pack=pack)
    data = ap.load_data(f"{name}:{tmp_path}")
    assert (data.name, len(data.train), len(data.test), data.train.inputs) == (name, 7, 3, 6)
    assert data.train.labels.tolist() == made["train"][1].tolist()
    assert data.test.labels.tolist() == made["t10k"][1].tolist()
    spikes = data.train.spikes(np.array([4, 1]), 255)
    assert spikes.sum(axis=1).tolist() == made["train"][0][[4, 1]].reshape(2, 6).tolist()


def _cut(path, raw):
    path.write_bytes(gzip.compress(raw[:-1]))


def _header(path, raw):
    path.write_bytes(gzip.compress(b"\x00\x00\x0d\x03" + raw[4:]))


def _stream(path, raw):
    path.write_bytes(gzip.compress(raw)[:-9])


@pytest.mark.parametrize(("damage", "part"), [
    (_cut, "is damaged: its header promises 42 bytes of data, it holds 41"),
    (_header, "is not an idx file of bytes (its first four bytes are 00000d03)"),
    (_stream, "cannot read "),
    (lambda path, raw: path.write_bytes(b""), "is not an idx file of bytes (its first four bytes are missing)"),
    (lambda path, raw: path.unlink(), "has no train-images-idx3-ubyte or train-images-idx3-ubyte.gz"),
])
def test_damaged_idx(tmp_path, damage, part):
    made = write_mnist(tmp_path)
    damage(tmp_path / f"train-{IMAGES}.gz", idx(made["train"][0]))
    with pytest.raises(ap.DataError) as caught:
        ap.load_data(f"mnist:{tmp_path}")
    assert part in str(caught.value) and str(tmp_path) in str(caught.value)


def test_idx_with_a_label_too_few_or_too_large(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / f"t10k-{LABELS}.gz").write_bytes(gzip.compress(idx(np.array([1, 2], np.uint8))))
    with pytest.raises(ap.DataError, match="has 3 samples but 2 labels"):
        ap.load_data(f"mnist:{tmp_path}")
    (tmp_path / f"t10k-{LABELS}.gz").write_bytes(gzip.compress(idx(np.array([1, 2, 10], np.uint8))))
    with pytest.raises(ap.DataError, match="must hold labels from 0 to 9"):
        ap.load_data(f"mnist:{tmp_path}")


def test_digits_split():
    pytest.importorskip("sklearn")
    data = ap.load_data("digits")
    assert (len(data.train), len(data.test), data.train.inputs, data.classes) == (1437, 360, 64, 10)
    part = data.first(20)
    assert (len(part.train), len(part.test)) == (20, 20)
    assert np.array_equal(part.train.spikes(np.arange(20), 4), data.train.spikes(np.arange(20), 4))


def test_mixed_digits_are_the_same_digits_in_another_order():
    pytest.importorskip("sklearn")
    plain, mixed = ap.load_data("digits"), ap.load_data("digits:mixed")
    counts = [np.bincount(np.concatenate([data.train.labels, data.test.labels])) for data in (plain, mixed)]
    assert counts[0].tolist() == counts[1].tolist()
    assert not np.array_equal(plain.test.labels, mixed.test.labels)
    assert np.array_equal(mixed.test.labels, ap.load_data("digits:mixed").test.labels)


def event(x, y, polarity, microseconds) -> bytes:
    return struct.pack(">BBI", x, y, polarity << 23 | microseconds)[:2] + struct.pack(
        ">I", polarity << 23 | microseconds)[1:]


def test_nmnist(tmp_path):
    for digit, events in ((0, [(33, 0, 1, 0), (1, 2, 0, 299_999)]), (7, [(5, 6, 0, 100_000), (5, 6, 0, 300_000)])):
        folder = tmp_path / "Train" / str(digit)
        folder.mkdir(parents=True)
        (folder / "00002.bin").write_bytes(b"".join(event(*each) for each in events))
    data = ap.load_data(f"nmnist:{tmp_path}")
    assert (data.train.labels.tolist(), data.test, data.train.inputs) == ([0, 7], None, 2312)
    spikes = data.train.spikes(np.array([0, 1]), 3).reshape(2, 3, 2, 34, 34)
    assert [tuple(int(v) for v in at) for at in np.argwhere(spikes)] == [
        (0, 0, 1, 0, 33), (0, 2, 0, 2, 1), (1, 1, 0, 6, 5)]
    pooled = ap.load_data(f"nmnist:{tmp_path}", pool=17).train.spikes(np.array([0]), 3)
    assert [tuple(int(v) for v in at) for at in np.argwhere(pooled.reshape(3, 2, 2, 2))] == [(0, 1, 0, 1), (2, 0, 0, 0)]


@pytest.mark.parametrize(("raw", "part"), [
    (event(1, 1, 0, 5)[:-1], "is damaged: 4 bytes are not a whole number of 5-byte events"),
    (event(34, 1, 0, 5), "is damaged: an event lies at (34, 1), outside 34x34"),
])
def test_damaged_nmnist(tmp_path, raw, part):
    (tmp_path / "Train" / "3").mkdir(parents=True)
    (tmp_path / "Train" / "3" / "1.bin").write_bytes(raw)
    data = ap.load_data(f"nmnist:{tmp_path}")
    with pytest.raises(ap.DataError) as caught:
        data.train.spikes(np.array([0]), 2)
    assert part in str(caught.value)
    with pytest.raises(ap.DataError, match="has no recordings"):
        ap.load_data(f"nmnist:{tmp_path}/Train")


def write_wav(path, samples: np.ndarray, *, rate=8000, width=2, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def tone(hertz, *, seconds=0.5, rate=8000):
    return (12000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype("<i2")


def test_wav_split_and_tones(tmp_path):
    for digit, hertz in ((0, 300), (4, 2500)):
        write_wav(tmp_path / f"{digit}_ann_lee_4.wav", tone(hertz))
        write_wav(tmp_path / f"{digit}_ann_lee_5.wav", tone(hertz))
    write_wav(tmp_path / "readme.wav", tone(50))
    data = ap.load_data(f"wav:{tmp_path}")
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 4], [0, 4])
    assert data.train.inputs == BANDS * LEVELS
    spikes = data.train.spikes(np.array([0, 1]), 7).reshape(2, 7, BANDS, LEVELS)
    strongest = spikes[..., 0].sum(axis=1).argmax(axis=1)
    assert strongest[0] < BANDS // 2 < strongest[1]
    # A band that reaches a level reaches the lower ones: more inputs of it spike.
    assert (np.diff(spikes.astype(int), axis=3) >= 0).all()
    assert np.array_equal(spikes, data.train.spikes(np.array([0, 1]), 7).reshape(spikes.shape))


def test_wav_with_two_channels_or_eight_bits(tmp_path):
    mono = tone(440)
    write_wav(tmp_path / "1_a_9.wav", np.repeat(mono, 2), channels=2)
    write_wav(tmp_path / "2_a_9.wav", (mono // 256 + 128).astype(np.uint8), width=1)
    write_wav(tmp_path / "3_a_9.wav", mono)
    spikes = ap.load_data(f"wav:{tmp_path}").train.spikes(np.arange(3), 5)
    assert np.array_equal(spikes[0], spikes[2]) and spikes[1].any()


def test_a_clip_shorter_than_its_steps_still_has_features():
    assert features(np.ones(10), rate=8000, steps=9).shape == (9, BANDS)


def test_damaged_wav(tmp_path):
    write_wav(tmp_path / "1_a_9.wav", tone(440))
    whole = (tmp_path / "1_a_9.wav").read_bytes()
    for raw, part in ((whole[:-100], "is damaged: its header promises 4000 samples, it holds 3950"),
                      (b"RIFF", "as a wav file: "), (whole[:8] + b"XXXX" + whole[12:], "as a wav file: ")):
        (tmp_path / "1_a_9.wav").write_bytes(raw)
        with pytest.raises(ap.DataError) as caught:
            ap.load_data(f"wav:{tmp_path}").train.spikes(np.array([0]), 4)
        assert part in str(caught.value)
    with pytest.raises(ap.DataError, match="has no training files named"):
        ap.load_data(f"wav:{tmp_path / 'none'}")


def test_npz_spikes_and_intensities(tmp_path):
    spikes = np.eye(6, dtype=np.uint8).reshape(3, 4, 3)
    np.savez(tmp_path / "a.npz", spikes=spikes, labels=[0, 2, 1], test_spikes=spikes[:1], test_labels=[2])
    data = ap.load_data(f"npz:{tmp_path / 'a.npz'}")
    assert np.array_equal(data.train.spikes(np.array([2, 0]), 4), spikes[[2, 0]])
    assert (data.test.labels.tolist(), data.classes) == ([2], 3)
    with pytest.raises(ap.DataError, match="has 4 steps per sample, the network 5; set steps to 4"):
        data.train.spikes(np.array([0]), 5)
    np.savez(tmp_path / "train.npz", x=np.array([[0.0, 0.5, 1.0]]), labels=[1])
    np.savez(tmp_path / "test.npz", x=np.array([[0, 51, 255]], np.uint8), labels=[0])
    data = ap.load_data(f"npz:{tmp_path}")
    assert data.train.spikes(np.array([0]), 6).sum(axis=1).tolist() == [[0, 3, 6]]
    assert data.test.spikes(np.array([0]), 10).sum(axis=1).tolist() == [[0, 2, 10]]


@pytest.mark.parametrize(("arrays", "part"), [
    ({"labels": [1]}, "must hold labels and one of spikes (samples, steps, inputs) and x (samples, inputs)"),
    ({"spikes": np.full((1, 2, 3), 2), "labels": [1]}, "must be 0 or 1"),
    ({"spikes": np.zeros((1, 2, 3)), "labels": [1]}, "must be whole numbers of shape (samples, steps, inputs)"),
    ({"spikes": np.zeros((1, 2, 3), np.uint8), "labels": [1, 2]}, "has 1 samples but 2 labels"),
    ({"spikes": np.zeros((1, 2, 3), np.uint8), "labels": [-1]}, "is -1; labels start at 0"),
    ({"spikes": np.zeros((0, 2, 3), np.uint8), "labels": np.zeros(0, int)}, "has no samples"),
    ({"x": np.array([[np.nan]]), "labels": [0]}, "intensities must be numbers from 0 to 1"),
    ({"x": np.array([[1]], np.int64), "labels": [0]}, "must be uint8 or floats from 0 to 1, not int64"),
    ({"x": np.array([[0.5]]), "labels": [0.5]}, "must be a list of whole numbers"),
])
def test_bad_npz(tmp_path, arrays, part):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ap.DataError) as caught:
        ap.load_data(f"npz:{tmp_path / 'a.npz'}")
    assert part in str(caught.value) and "a.npz" in str(caught.value)


def test_damaged_npz(tmp_path):
    np.savez(tmp_path / "a.npz", spikes=np.zeros((1, 2, 3), np.uint8), labels=[1])
    raw = (tmp_path / "a.npz").read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    for damaged in (raw[:50], raw[:-30], b"", b"hello", (tmp_path / "one.npy").read_bytes()):
        (tmp_path / "a.npz").write_bytes(damaged)
        with pytest.raises(ap.DataError):
            ap.load_data(f"npz:{tmp_path / 'a.npz'}")


def write_fsdd(path, **changes):
    """Seven clips of 800 samples: digits 0 to 6, speakers a and b in turn, takes 3 to 9."""
    rng = np.random.default_rng(5)
    arrays = {"audio": rng.integers(-9000, 9000, 5600).astype(np.int16), "offsets": np.arange(8) * 800,
              "label": np.arange(7), "speaker": np.array(list("abababa")), "index": np.arange(3, 10)} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return f"fsdd:{path}"


def test_packed_speech_is_the_same_as_wav_files(tmp_path):
    data = ap.load_data(write_fsdd(tmp_path / "packed.npz"))
    assert data.test.labels.tolist() == [0, 1] and data.train.labels.tolist() == [2, 3, 4, 5, 6]
    assert data.train.speakers.tolist() == list("ababa") and data.train.inputs == BANDS * LEVELS
    audio = np.load(tmp_path / "packed.npz")["audio"]
    for index in range(7):
        with wave.open(str(tmp_path / f"{index}_{'ab'[index % 2]}_{index + 3}.wav"), "wb") as file:
            file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
            file.writeframes(audio[800 * index:800 * index + 800].tobytes())
    files = ap.load_data(f"wav:{tmp_path}")
    assert files.train.speakers.tolist() == data.train.speakers.tolist()
    assert np.array_equal(files.train.spikes(np.arange(5), 7), data.train.spikes(np.arange(5), 7))


@pytest.mark.parametrize(("changes", "sentence"), [
    ({"speaker": None}, "lacks speaker"), ({"offsets": np.arange(8) * 900}, "must rise and lie within it"),
    ({"label": np.arange(6)}, "7 clips, but 6, 7, 7 labels"), ({"index": np.zeros(7, int)}, "no training clips"),
])
def test_damaged_packed_speech(tmp_path, changes, sentence):
    with pytest.raises(ap.DataError, match=sentence):
        ap.load_data(write_fsdd(tmp_path / "packed.npz", **changes))


def test_take_and_join():
    data = ap.load_data("digits")
    part = data.train.take(np.array([9, 2, 700])).take(np.array([2, 0]))
    assert part.labels.tolist() == data.train.labels[[700, 9]].tolist()
    assert np.array_equal(part.spikes(np.array([1, 0]), 3), data.train.spikes(np.array([9, 700]), 3))
    both = JoinedSet(part, data.test)
    mixed = both.spikes(np.array([3, 0, 2]), 3)
    assert np.array_equal(mixed, np.concatenate([data.test.spikes(np.array([1]), 3), part.spikes(np.array([0]), 3),
                                                 data.test.spikes(np.array([0]), 3)]))
    assert both.labels.tolist()[:3] == [*part.labels.tolist(), int(data.test.labels[0])]


@pytest.mark.parametrize("name", ["cifar:here", "mnist", "mnist:", "digits:here", ""])
def test_unknown_names(name):
    with pytest.raises(ap.DataError, match="there is no data set"):
        ap.load_data(name)
