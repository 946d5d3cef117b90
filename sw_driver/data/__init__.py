"""Data sets by name, as the command line spells them."""

from ..errors import DataError
from .images import load_digits, load_idx
from .nmnist import load_nmnist
from .npz import load_npz
from .sets import Data, IntensitySet, JoinedSet, RecordedSet, SpikeSet, as_set
from .wav import load_fsdd, load_wav

__all__ = ["Data", "IntensitySet", "JoinedSet", "RecordedSet", "SpikeSet", "as_set", "load_data"]

SOURCES = {
    "digits": "8x8 digits embedded in scikit-learn, 64 inputs",
    "digits:mixed": "the same, shuffled before the split",
    "mnist:DIR": "four idx files, 784 inputs",
    "fashion-mnist:DIR": "four idx files, 784 inputs",
    "wav:DIR": "spoken digits named digit_speaker_index.wav, 96 inputs",
    "fsdd:FILE": "the same packed in one .npz, 96 inputs",
    "nmnist:DIR": "Train/0..9/*.bin and Test, 2312 inputs",
    "npz:FILE|DIR": "spikes or x, and labels",
}


def load_data(source: str, *, encoder: str = "rate", pool: int = 1) -> Data:
    """A data set by name, one of SOURCES.

    `encoder` (rate, rate-spread, latency, threshold) is for intensities; `pool` merges pixels of nmnist.

    Raises
    ------
    DataError
        If the name is unknown, or a file is missing or damaged.
    """
    kind, _, place = str(source).partition(":")
    if kind == "digits" and place in ("", "mixed"):
        return load_digits(encoder=encoder, mixed=place == "mixed")
    if kind not in ("mnist", "fashion-mnist", "wav", "fsdd", "nmnist", "npz") or not place:
        raise DataError(f"there is no data set {source!r}; known are {', '.join(SOURCES)}")
    if kind == "wav":
        return load_wav(place)
    if kind == "fsdd":
        return load_fsdd(place)
    if kind == "nmnist":
        return load_nmnist(place, pool=pool)
    if kind == "npz":
        return load_npz(place, encoder=encoder)
    return load_idx(place, name=kind, encoder=encoder)
