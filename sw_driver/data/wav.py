"""Spoken digits: a folder of {digit}_{speaker}_{index}.wav, as the Free Spoken Digit Dataset names them, or one file.

Front end: frames of 32 ms every 10 ms, Hann window, power spectrum, triangular bands evenly spaced in mel, decibels
below the loudest band of the clip, averaged over `steps` equal stretches of the clip. Each band drives LEVELS
inputs; input k spikes in the stretches where the band is within (k + 1)·RANGE_DB / (LEVELS + 1) of the loudest.
"""

import itertools
import re
import wave
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..errors import DataError
from .npz import read_npz
from .sets import Data, SpikeSet, checked_labels

BANDS = 24
LEVELS = 4
RANGE_DB = 60.0
TEST_BELOW = 5  # the data set's own split: takes 0 to 4 of each speaker are for testing
FSDD_RATE = 8000  # the packed file states no rate: every clip of the data set has this one
_NAME = re.compile(r"(\d)_(.+)_(\d+)\.wav")


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """float64 samples from -1 to 1, channels averaged, and the sampling rate of an 8 or 16 bit PCM file.

    Raises
    ------
    DataError
        If the file is not such a file, is cut short, or has no samples.
    """
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate, count = (file.getsampwidth(), file.getnchannels(), file.getframerate(),
                                            file.getnframes())
            raw = file.readframes(count)
    except (OSError, EOFError, wave.Error) as error:
        raise DataError(f"cannot read {path} as a wav file: {str(error) or 'it ends too soon'}") from None
    if width not in (1, 2):
        raise DataError(f"{path} has samples of {8 * width} bits; convert it to 16 bit PCM")
    if len(raw) != count * width * channels or not count:
        raise DataError(f"{path} is damaged: its header promises {count} samples, "
                        f"it holds {len(raw) // (width * channels)}")
    if width == 1:
        samples = (np.frombuffer(raw, np.uint8).astype(np.float64) - 128) / 128
    else:
        samples = np.frombuffer(raw, "<i2").astype(np.float64) / 32768
    return samples.reshape(-1, channels).mean(axis=1), rate


@lru_cache(maxsize=8)
def _bands(frame: int, rate: int) -> np.ndarray:
    """Triangular filters (frame // 2 + 1, BANDS), evenly spaced in mel from 100 Hz to half the sampling rate."""
    mel = np.linspace(np.log1p(100 / 700), np.log1p(rate / 2 / 700), BANDS + 2)
    edges = 700 * np.expm1(mel)
    bins = np.arange(frame // 2 + 1)[:, None] * rate / frame
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None)


def features(samples: np.ndarray, *, rate: int, steps: int) -> np.ndarray:
    """float64 (steps, BANDS), decibels below the loudest band energy of the clip (0 and below)."""
    frame, hop = max(8, rate * 32 // 1000), max(1, rate // 100)
    padded = np.concatenate([samples, np.zeros(max(0, frame - len(samples)))])
    starts = np.arange(0, len(padded) - frame + 1, hop)
    frames = padded[starts[:, None] + np.arange(frame)] * np.hanning(frame)
    energy = np.abs(np.fft.rfft(frames, axis=1)) ** 2 @ _bands(frame, rate)
    decibels = 10 * np.log10(energy + 1e-10)
    decibels -= decibels.max()
    edges = np.arange(steps + 1) * len(starts) / steps
    first = np.floor(edges[:-1]).astype(int)
    last = np.maximum(np.ceil(edges[1:]).astype(int), first + 1)
    return np.stack([decibels[a:b].mean(axis=0) for a, b in zip(first, last, strict=True)])


class SpeechSet(SpikeSet):
    """Clips, turned into spikes when asked for and kept as bits afterwards.

    `clips` are wav files, or pairs of float64 samples from -1 to 1 and their rate.
    """

    def __init__(self, clips: list, labels, speakers, *, where: str):
        self._clips = clips
        self._kept: dict[tuple[int, int], np.ndarray] = {}
        self.labels = checked_labels(labels, len(clips), where)
        self.speakers = np.asarray(speakers)
        self.inputs = BANDS * LEVELS

    def _sample(self, index: int, steps: int) -> np.ndarray:
        if (index, steps) not in self._kept:
            clip = self._clips[index]
            samples, rate = read_wav(clip) if isinstance(clip, Path) else clip
            bounds = -RANGE_DB * np.arange(1, LEVELS + 1) / (LEVELS + 1)
            on = features(samples, rate=rate, steps=steps)[:, :, None] >= bounds
            self._kept[index, steps] = np.packbits(on.reshape(steps, -1), axis=1)
        return np.unpackbits(self._kept[index, steps], axis=1, count=self.inputs)

    def spikes(self, indices, steps):
        return np.stack([self._sample(int(index), steps) for index in indices])


def _data(found: list[tuple[object, int, str, int]], where: Path, name: str) -> Data:
    """Data of clips with their digit, speaker and take: takes 0 to 4 of each speaker are the test set."""
    parts = []
    for tested in (False, True):
        part = [entry for entry in found if (entry[3] < TEST_BELOW) == tested]
        labels = np.array([digit for _, digit, _, _ in part], np.int64)
        parts.append(SpeechSet([clip for clip, *_ in part], labels, [who for _, _, who, _ in part], where=str(where))
                     if part else None)
    if parts[0] is None:
        what = "files named digit_speaker_index.wav" if name == "wav" else "clips"
        raise DataError(f"{where} has no training {what} with an index of at least {TEST_BELOW}")
    return Data(name=name, train=parts[0], test=parts[1])


def load_wav(directory) -> Data:
    """Spoken digits from {digit}_{speaker}_{index}.wav; takes 0 to 4 of each speaker are the test set."""
    directory = Path(directory)
    found = [(path, _NAME.fullmatch(path.name)) for path in sorted(directory.glob("*.wav"))]
    return _data([(path, int(match[1]), match[2], int(match[3])) for path, match in found if match], directory, "wav")


def load_fsdd(path) -> Data:
    """Spoken digits packed in one .npz file; takes 0 to 4 of each speaker are the test set.

    The file holds `audio`, int16 clips end to end at 8 kHz, their `offsets` (clips + 1,), and per clip `label`,
    `speaker` and `index` (the take).
    """
    path = Path(path)
    arrays = read_npz(path)
    missing = {"audio", "offsets", "label", "speaker", "index"} - arrays.keys()
    if missing:
        raise DataError(f"{path} lacks {', '.join(sorted(missing))}; packed speech has audio, offsets, label, speaker "
                        "and index")
    audio, offsets = arrays["audio"], arrays["offsets"]
    if audio.dtype != np.int16 or np.any(np.diff(offsets) <= 0) or offsets[0] < 0 or offsets[-1] > len(audio):
        raise DataError(f"{path} is damaged: audio must be int16, and offsets must rise and lie within it")
    clips = [(audio[start:end] / 32768.0, FSDD_RATE) for start, end in itertools.pairwise(offsets.tolist())]
    about = [arrays[name].tolist() for name in ("label", "speaker", "index")]
    if any(len(column) != len(clips) for column in about):
        raise DataError(f"{path} is damaged: {len(clips)} clips, but {', '.join(str(len(column)) for column in about)} "
                        "labels, speakers and indices")
    return _data([(clip, int(digit), str(who), int(take)) for clip, digit, who, take
                  in zip(clips, *about, strict=True)], path, "fsdd")
