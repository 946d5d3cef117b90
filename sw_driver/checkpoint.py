"""Checkpoints: everything a run needs to go on to the same bits, in one safetensors file."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors import numpy as safetensors_numpy

from .errors import AutapseError, CheckpointError
from .files import write_whole
from .half import half_scalar, whole
from .network import LayerState, Network, TrainingSpec, checked_state

FORMAT = 1


@dataclass(kw_only=True)
class Checkpoint:
    """A run between two epochs.

    `epoch` counts complete epochs; with `seed` it fixes the order of the next one. `target` and `other` are the
    targets of mean squared error. `history` is one dict per epoch.
    """

    network: Network
    training: TrainingSpec
    state: list[LayerState]
    seed: int = 0
    epoch: int = 0
    target: float = 1.0
    other: float = 0.0
    history: list[dict] = field(default_factory=list)


def save_checkpoint(path, checkpoint: Checkpoint) -> None:
    """Writes `checkpoint` to `path`; the file is replaced as a whole, and equal runs give equal bytes."""
    tensors = {f"layers.{index}.{name}": array for index, layer in enumerate(checkpoint.state)
               for name, array in layer.arrays().items()}
    about = {"format": FORMAT, "network": checkpoint.network.as_dict(), "training": asdict(checkpoint.training),
             "seed": checkpoint.seed, "epoch": checkpoint.epoch, "target": checkpoint.target,
             "other": checkpoint.other, "history": checkpoint.history}
    blob = safetensors_numpy.save(tensors, metadata={"autapse": json.dumps(about, sort_keys=True)})
    write_whole(Path(path), lambda file: file.write(blob))


def _history(entries) -> list[dict]:
    """The history of a checkpoint, if every entry has what the trainer writes."""
    known = {"epoch", "loss", "accuracy", "test_accuracy", "skipped", "saturated"}
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and known <= set(entry) for entry in entries):
        raise ValueError("its history is no list of epochs")
    return entries


def load_checkpoint(path) -> Checkpoint:
    """Reads a checkpoint back.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, not one of autapse's, of a later format, or holds words that the
        network in it has no place for.
    """
    path = Path(path)
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error.strerror}") from None
    try:
        tensors = safetensors_numpy.load(blob)
        header = json.loads(blob[8:8 + int.from_bytes(blob[:8], "little")])
        about = json.loads(header["__metadata__"]["autapse"])
        if about["format"] != FORMAT:
            raise CheckpointError(f"checkpoint {path} has format {about['format']}, this version reads {FORMAT}")
        if any(array.dtype != np.float16 for array in tensors.values()):
            raise CheckpointError(f"checkpoint {path} holds words that are not float16")
        network = Network.from_dict(about["network"])
        layers = [{} for _ in network.layers]
        for name, array in tensors.items():
            _, index, key = name.split(".")
            layers[int(index)][key] = array
        state = [LayerState.from_arrays(arrays) for arrays in layers]
        return Checkpoint(network=network, training=TrainingSpec(**about["training"]),
                          state=checked_state(network.layers, state),
                          seed=whole(about["seed"], "seed", least=0), epoch=whole(about["epoch"], "epoch", least=0),
                          target=half_scalar(about["target"], "target"), other=half_scalar(about["other"], "other"),
                          history=_history(about["history"]))
    except CheckpointError:
        raise
    except (AutapseError, SafetensorError, KeyError, IndexError, TypeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path} is damaged or not one of autapse's: {error}") from None
