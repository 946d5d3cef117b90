"""Images: the digits that come with scikit-learn, and the idx files of MNIST and Fashion-MNIST."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..randomness import permutation
from .sets import Data, IntensitySet

DIGITS_TRAINED = 1437  # of 1,797; the last 360 are the test set


def load_digits(*, encoder: str = "rate", mixed: bool = False) -> Data:
    """1,797 digits of 8x8 pixels from 0 to 16, embedded in scikit-learn: 64 inputs, 10 classes.

    The last 360 are the test set. As stored, most of these were written by people who wrote none of the others;
    `mixed` shuffles all samples first, always the same way, so that every hand is in both parts.
    """
    try:
        from sklearn.datasets import load_digits as embedded
    except ModuleNotFoundError:
        raise DataError("the data set 'digits' needs scikit-learn; try pip install 'autapse[data]'") from None
    values, labels = embedded(return_X_y=True)
    order = permutation(len(labels), 0) if mixed else np.arange(len(labels))
    values, labels = np.asarray(values)[order].astype(np.int32), np.asarray(labels)[order]
    parts = [IntensitySet(values[part], labels[part], full=16, encoder=encoder, where="digits")
             for part in (slice(DIGITS_TRAINED), slice(DIGITS_TRAINED, None))]
    return Data(name="digits (mixed)" if mixed else "digits", train=parts[0], test=parts[1])


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an idx file, plain or gzip.

    Raises
    ------
    DataError
        If the file is missing, is not an idx file of bytes, or has another length than its header says.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}; fetch the file again") from None
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or not 1 <= raw[3] <= 4 or len(raw) < 4 + 4 * raw[3]:
        raise DataError(f"{path} is not an idx file of bytes (its first four bytes are {raw[:4].hex() or 'missing'})")
    shape = tuple(int(size) for size in np.frombuffer(raw, ">u4", raw[3], 4))
    have, want = len(raw) - 4 - 4 * raw[3], int(np.prod(shape, dtype=object))
    if have != want:
        raise DataError(f"{path} is damaged: its header promises {want} bytes of data, it holds {have}")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def _find(directory: Path, stem: str) -> Path:
    for name in (stem, f"{stem}.gz", stem.replace("-idx", ".idx"), stem.replace("-idx", ".idx") + ".gz"):
        if (directory / name).is_file():
            return directory / name
    raise DataError(f"{directory} has no {stem} or {stem}.gz")


def load_idx(directory, *, name: str, encoder: str = "rate") -> Data:
    """MNIST or Fashion-MNIST from the four idx files, plain or .gz, in `directory`: 784 inputs, 10 classes."""
    directory = Path(directory)
    if not directory.is_dir():
        raise DataError(f"there is no directory {directory}; {name} is read from its four idx files")
    parts = []
    for half in ("train", "t10k"):
        paths = [_find(directory, f"{half}-{kind}") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
        images, labels = (read_idx(path) for path in paths)
        if images.ndim != 3:
            raise DataError(f"{paths[0]} must hold images (3 dimensions), not {images.ndim}")
        if labels.ndim != 1 or (labels.size and labels.max() > 9):
            raise DataError(f"{paths[1]} must hold labels from 0 to 9")
        parts.append(IntensitySet(images, labels, full=255, encoder=encoder, where=str(paths[0])))
    if parts[0].inputs != parts[1].inputs:
        raise DataError(f"{directory} has training images of {parts[0].inputs} pixels, test images of "
                        f"{parts[1].inputs}")
    return Data(name=name, train=parts[0], test=parts[1])
