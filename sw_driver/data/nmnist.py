"""N-MNIST: digits seen by an event camera, one .bin file of 40-bit address events per recording."""

from pathlib import Path

import numpy as np

from ..errors import DataError
from .sets import Data, SpikeSet, checked_labels

SIDE = 34
WINDOW_US = 300_000  # three saccades of 100 ms
EVENT_BYTES = 5


def read_events(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Microseconds (int64), x, y and polarity (uint8) of each event in the file, in its order.

    An event is five bytes: x, y, then one bit of polarity and 23 bits of microseconds, most significant first.

    Raises
    ------
    DataError
        If the length is not a multiple of five or an event lies outside 34x34.
    """
    try:
        raw = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None
    if len(raw) % EVENT_BYTES:
        raise DataError(f"{path} is damaged: {len(raw)} bytes are not a whole number of {EVENT_BYTES}-byte events")
    x, y, high, middle, low = raw.reshape(-1, EVENT_BYTES).T
    if len(x) and max(x.max(), y.max()) >= SIDE:
        raise DataError(f"{path} is damaged: an event lies at ({x.max()}, {y.max()}), outside {SIDE}x{SIDE}")
    microseconds = (high & 0x7F).astype(np.int64) << 16 | middle.astype(np.int64) << 8 | low
    return microseconds, x, y, high >> 7


class EventSet(SpikeSet):
    """Recordings cut into `steps` equal bins of 300 ms; an input spikes in a bin that has an event for it.

    Inputs are polarity, then row, then column. `pool` merges squares of pixels: 34 must be a multiple of it.
    """

    def __init__(self, paths: list[Path], labels, *, where: str, pool: int = 1):
        if pool not in (1, 2, 17, 34):
            raise DataError(f"pool must divide 34, not {pool!r}")
        self._paths, self._pool = paths, pool
        self.labels = checked_labels(labels, len(paths), where)
        self._side = SIDE // pool
        self.inputs = 2 * self._side**2

    def spikes(self, indices, steps):
        result = np.zeros((len(indices), steps, 2, self._side, self._side), np.uint8)
        for row, index in enumerate(indices):
            t, x, y, polarity = read_events(self._paths[index])
            bins = t * steps // WINDOW_US
            kept = bins < steps
            result[row, bins[kept], polarity[kept], y[kept] // self._pool, x[kept] // self._pool] = 1
        return result.reshape(len(indices), steps, self.inputs)


def _recordings(folder: Path, pool: int) -> EventSet | None:
    found = [(path, digit) for digit in range(10) for path in sorted((folder / str(digit)).glob("*.bin"))]
    labels = np.array([digit for _, digit in found], np.int64)
    return EventSet([path for path, _ in found], labels, where=str(folder), pool=pool) if found else None


def load_nmnist(directory, *, pool: int = 1) -> Data:
    """N-MNIST from `directory`/Train/0…9/*.bin and, where there is one, `directory`/Test: 2,312 / pool² inputs."""
    directory = Path(directory)
    train, test = (_recordings(directory / name, pool) for name in ("Train", "Test"))
    if train is None:
        raise DataError(f"{directory / 'Train'} has no recordings; N-MNIST is read from Train/0 … Train/9, files *.bin")
    return Data(name="nmnist", train=train, test=test)
