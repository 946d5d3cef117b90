"""What an outsider needs to recompute a run: its settings, its weights before and after, its samples in order."""

import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .errors import SpecError
from .files import write_text, write_whole
from .network import LayerState
from .trainer import Callback

_FIELDS = ("inputs", "outputs", "bias", "decay", "threshold", "half_width", "reset", "detach", "spiking", "strict")


def _weights(state: Sequence[LayerState]) -> dict[str, np.ndarray]:
    arrays = {}
    for index, layer in enumerate(state):
        arrays[f"w{index}"] = layer.weight
        if layer.bias is not None:
            arrays[f"b{index}"] = layer.bias
    return arrays


def _write_arrays(arrays: dict[str, np.ndarray], file: BinaryIO) -> None:
    np.savez_compressed(file, allow_pickle=False, **arrays)


class TraceWriter(Callback):
    """Records one fit and writes it to `directory` when the fit is complete.

    config.json
        Per layer decay, threshold, half_width, reset, detach, spiking, strict (and sizes); steps,
        learning_rate, momentum, momentum_exponent, batch, loss_scale, loss.
    initial.npz, final.npz
        w0, b0, w1, … as float16, weights of shape inputs x outputs, b only where a layer has one. The run
        starts with zero momenta and remainders, so only a fresh trainer can be traced.
    samples.npz
        In the order trained on, epochs unrolled: spikes uint8 (N, T, inputs), labels int64 (N,), targets
        float16 (N, C); batch_start, the index at which each batch begins; updated uint8, 0 for a batch that
        overflowed and was skipped.
    """

    def __init__(self, directory):
        self.directory = Path(directory)
        self._spool: BinaryIO | None = None

    def on_start(self, trainer, *, epochs, batches):
        if trainer.epoch or any(np.any(array) for layer in trainer.state for name, array in layer.arrays().items()
                                if name.endswith(("remainder", "momentum"))):
            raise SpecError("only a run from the start can be traced, not one that is resumed: initial.npz has no "
                            "place for momenta and remainders")
        if trainer.network.autapse is not None:
            raise SpecError("an autapse network cannot be traced; leave --trace out")
        # On disk until the end: five epochs of MNIST are a gigabyte of spikes.
        self._spool = tempfile.TemporaryFile()
        self._initial = trainer.state
        self._labels, self._targets, self._starts, self._updated = [], [], [], []
        self._count = self._epochs = 0
        self._wanted = epochs

    def on_batch(self, trainer, step):
        assert self._spool is not None, "on_start comes first"
        self._spool.write(np.ascontiguousarray(step.spikes).tobytes())
        self._starts.append(self._count)
        self._count += len(step.labels)
        self._labels.append(step.labels)
        self._targets.append(step.targets)
        self._updated.append(step.updated)

    def on_epoch(self, trainer, entry):
        self._epochs += 1
        if self._epochs == self._wanted:
            self._write(trainer)

    def on_end(self, trainer):
        if self._spool is not None:
            self._spool.close()

    def _write(self, trainer) -> None:
        network, training = trainer.network, trainer.training
        layers = [{name: layer.as_dict()[name] for name in _FIELDS} for layer in network.layers]
        config = {"layers": layers, "steps": network.steps, "learning_rate": training.learning_rate,
                  "momentum": training.momentum, "momentum_exponent": training.momentum_exponent,
                  "batch": training.batch, "loss_scale": training.loss_scale, "loss": training.loss}
        assert self._spool is not None, "on_start comes first"
        self._spool.flush()
        spikes = np.memmap(self._spool, np.uint8, "r", shape=(self._count, network.steps, network.inputs))
        samples = {"spikes": spikes, "labels": np.concatenate(self._labels), "targets": np.concatenate(self._targets),
                   "batch_start": np.array(self._starts, np.int64),
                   "updated": np.array(self._updated, np.uint8)}
        write_text(self.directory / "config.json", json.dumps(config, indent=1) + "\n")
        for name, arrays in (("initial", _weights(self._initial)), ("final", _weights(trainer.state)),
                             ("samples", samples)):
            write_whole(self.directory / f"{name}.npz",
                        partial(_write_arrays, arrays))
