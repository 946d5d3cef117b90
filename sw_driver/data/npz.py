"""Any data set at all, as an .npz file."""

import zipfile
from pathlib import Path

import numpy as np

from ..encode import quantise
from ..errors import DataError
from .sets import Data, IntensitySet, RecordedSet, SpikeSet


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file by name; a missing or damaged file is a DataError."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise DataError(f"{path} is one array; an .npz file with spikes and labels is needed")
            return {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {path} as an .npz file: {str(error) or type(error).__name__}") from None


def _part(arrays: dict[str, np.ndarray], prefix: str, path: Path, encoder: str) -> SpikeSet:
    spikes, values, labels = (arrays.get(prefix + key) for key in ("spikes", "x", "labels"))
    if labels is not None and spikes is not None and values is None:
        return RecordedSet(spikes, labels, where=f"{path}")
    if labels is None or values is None or spikes is not None:
        raise DataError(f"{path} must hold {prefix}labels and one of {prefix}spikes (samples, steps, inputs) and "
                        f"{prefix}x (samples, inputs); it holds {', '.join(arrays) or 'nothing'}")
    if values.ndim < 2:
        raise DataError(f"{prefix}x of {path} must have shape (samples, inputs), not {values.shape}")
    if values.dtype == np.uint8:
        return IntensitySet(values, labels, full=255, encoder=encoder, where=f"{path}")
    if values.dtype.kind != "f":
        raise DataError(f"{prefix}x of {path} must be uint8 or floats from 0 to 1, not {values.dtype}")
    try:
        whole, full = quantise(values)
    except DataError as error:
        raise DataError(f"{prefix}x of {path}: {error}") from None
    return IntensitySet(whole, labels, full=full, encoder=encoder, where=f"{path}")


def load_npz(source, *, encoder: str = "rate") -> Data:
    """Spikes or intensities from a file, or from train.npz and test.npz of a directory.

    A file holds `labels` (N,) and either `spikes` (N, T, inputs) of 0 and 1, or `x` (N, inputs), uint8 or floats
    from 0 to 1, that `encoder` makes into spikes. A single file may hold the test set too, with the prefix `test_`.
    """
    source = Path(source)
    if source.is_dir():
        train = _part(read_npz(source / "train.npz"), "", source / "train.npz", encoder)
        rest = source / "test.npz"
        test = _part(read_npz(rest), "", rest, encoder) if rest.exists() else None
    else:
        arrays = read_npz(source)
        train = _part(arrays, "", source, encoder)
        test = _part(arrays, "test_", source, encoder) if "test_labels" in arrays else None
    if test is not None and test.inputs != train.inputs:
        raise DataError(f"{source} has {train.inputs} inputs to train on and {test.inputs} to test on")
    return Data(name=source.stem or "npz", train=train, test=test)
