"""Sets of labelled samples that become spikes only when a batch asks for them."""

import abc
from dataclasses import dataclass

import numpy as np

from ..encode import ENCODERS, encode
from ..errors import DataError
from ..half import whole


def checked_labels(labels, count: int, where: str) -> np.ndarray:
    """`labels` as int64 (count,), none below 0, or a DataError that names `where`."""
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(f"labels of {where} must be a list of whole numbers, not {array.dtype} of shape {array.shape}")
    if len(array) != count:
        raise DataError(f"{where} has {count} samples but {len(array)} labels")
    if count == 0:
        raise DataError(f"{where} has no samples")
    if array.min() < 0:
        raise DataError(f"label {int(np.argmin(array))} of {where} is {array.min()}; labels start at 0")
    return array.astype(np.int64)


class SpikeSet(abc.ABC):
    """Labelled samples.

    Members
    -------
    labels : np.ndarray
        int64 (N,), the class of each sample.
    inputs : int
        Spike trains per sample.
    speakers : np.ndarray or None
        The name of who each sample is from (N,), where the set knows.
    """

    labels: np.ndarray
    inputs: int
    speakers: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @abc.abstractmethod
    def spikes(self, indices: np.ndarray, steps: int) -> np.ndarray:
        """uint8 (len(indices), steps, inputs) of 0 and 1; the same bits for the same sample every time."""

    def first(self, count: int | None) -> "SpikeSet":
        """The first `count` samples, or all of them for None or where there are fewer."""
        if count is None:
            return self
        return self.take(np.arange(min(whole(count, "limit", least=1), len(self))))

    def take(self, indices: np.ndarray) -> "SpikeSet":
        """The samples at `indices` (int64), in that order."""
        return _Part(self, np.asarray(indices))


class _Part(SpikeSet):
    def __init__(self, whole_set: SpikeSet, chosen: np.ndarray):
        self._set, self._chosen = whole_set, chosen
        self.labels = whole_set.labels[chosen]
        self.inputs = whole_set.inputs
        self.speakers = None if whole_set.speakers is None else whole_set.speakers[chosen]

    def spikes(self, indices, steps):
        return self._set.spikes(self._chosen[indices], steps)


class JoinedSet(SpikeSet):
    """The samples of one set, then those of another of as many inputs."""

    def __init__(self, first: SpikeSet, second: SpikeSet):
        self._first, self._second = first, second
        self.labels = np.concatenate([first.labels, second.labels])
        self.inputs = first.inputs
        if first.speakers is not None and second.speakers is not None:
            self.speakers = np.concatenate([first.speakers, second.speakers])

    def spikes(self, indices, steps):
        indices = np.asarray(indices)
        result = np.empty((len(indices), steps, self.inputs), np.uint8)
        early = indices < len(self._first)
        if early.any():
            result[early] = self._first.spikes(indices[early], steps)
        if not early.all():
            result[~early] = self._second.spikes(indices[~early] - len(self._first), steps)
        return result


class IntensitySet(SpikeSet):
    """Images or other vectors of whole numbers from 0 to `full`, encoded batch by batch.

    `values` has shape (N, inputs); `encoder` is a name of `encode.ENCODERS`.
    """

    def __init__(self, values: np.ndarray, labels, *, full: int, encoder: str = "rate", where: str = "the data set"):
        if encoder not in ENCODERS:
            raise DataError(f"there is no encoder {encoder!r}; known are {', '.join(ENCODERS)}")
        self._values = np.asarray(values).reshape(len(values), -1)
        self._full, self._encoder = full, encoder
        self.labels = checked_labels(labels, len(self._values), where)
        self.inputs = self._values.shape[1]

    def spikes(self, indices, steps):
        return encode(self._encoder, self._values[indices], full=self._full, steps=steps)


class RecordedSet(SpikeSet):
    """Spikes that exist already, (N, T, inputs) of 0 and 1; a network must run for exactly T steps."""

    def __init__(self, spikes: np.ndarray, labels, *, where: str = "the data set"):
        spikes = np.asarray(spikes)
        if spikes.ndim != 3 or spikes.dtype.kind not in "bui":
            raise DataError(f"spikes of {where} must be whole numbers of shape (samples, steps, inputs), "
                            f"not {spikes.dtype} of shape {spikes.shape}")
        if spikes.size and (spikes.max() > 1 or spikes.min() < 0):
            raise DataError(f"spikes of {where} must be 0 or 1")
        self._spikes, self._where = spikes.astype(np.uint8, copy=False), where
        self.labels = checked_labels(labels, len(spikes), where)
        self.inputs = spikes.shape[2]

    def spikes(self, indices, steps):
        if steps != self._spikes.shape[1]:
            raise DataError(f"{self._where} has {self._spikes.shape[1]} steps per sample, the network {steps}; "
                            f"set steps to {self._spikes.shape[1]}")
        return self._spikes[indices]


@dataclass(frozen=True, kw_only=True)
class Data:
    """A set to train on and one to test on; `test` is None where the source has none."""

    name: str
    train: SpikeSet
    test: SpikeSet | None

    @property
    def classes(self) -> int:
        """One more than the largest label."""
        tops = [int(part.labels.max()) for part in (self.train, self.test) if part is not None]
        return max(tops) + 1

    def first(self, count: int | None) -> "Data":
        """The same with at most `count` training and `count` test samples."""
        return Data(name=self.name, train=self.train.first(count),
                    test=None if self.test is None else self.test.first(count))


def as_set(data, *, where: str = "the data set") -> SpikeSet:
    """A SpikeSet from one, from a pair (spikes, labels), or from the training half of a Data."""
    if isinstance(data, SpikeSet):
        return data
    if isinstance(data, Data):
        return data.train
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return RecordedSet(*data, where=where)
    raise DataError(f"{where} must be Data, a SpikeSet or a pair (spikes, labels), not {type(data).__name__}")
