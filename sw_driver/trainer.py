"""Training: batches in a fixed order, updates, scores, checkpoints. The same bits on every device."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .data import Data, SpikeSet, as_set
from .device import BatchResult, Device
from .errors import DataError, Interrupted
from .half import whole
from .loss import Loss
from .network import LayerState, Network, TrainingSpec, checked_state
from .randomness import permutation

_log = logging.getLogger("autapse")
_ORDER = 2  # first word of the key of an epoch's order; 0 and 1 are the initial weights and biases
_CHUNK = 256  # samples encoded and inferred at once


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of a set: `confusion[label, predicted]` counts (int64), `predictions` int64 (N,), mean `loss`."""

    accuracy: float
    loss: float
    confusion: np.ndarray
    predictions: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Step:
    """One batch that was trained on, for callbacks. `epoch` counts from 0, `batch` from 0 to below `batches`."""

    epoch: int
    batch: int
    batches: int
    spikes: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    result: BatchResult
    updated: bool


class Callback:
    """Something that watches a fit; each method does nothing unless overridden."""

    def on_start(self, trainer: "Trainer", *, epochs: int, batches: int) -> None:
        """Before the first batch of a fit of `epochs` epochs of `batches` batches."""

    def on_batch(self, trainer: "Trainer", step: Step) -> None:
        """After each batch."""

    def on_epoch(self, trainer: "Trainer", entry: dict) -> None:
        """After each epoch, with its entry of the history."""

    def on_end(self, trainer: "Trainer") -> None:
        """After the last epoch, and also when the fit is broken off."""


def order_of(count: int, *, seed: int, epoch: int) -> np.ndarray:
    """The order (int64) in which epoch `epoch` of a run with `seed` takes `count` samples."""
    return permutation(count, seed, _ORDER, epoch)


def cut(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """`order` in batches of `size`; the last may be smaller."""
    for start in range(0, len(order), size):
        yield order[start:start + size]


def check_fit(samples: SpikeSet, network: Network, loss: Loss, where: str) -> None:
    """Refuses a set whose inputs or labels the network does not have."""
    if samples.inputs != network.inputs:
        raise DataError(f"{where} has {samples.inputs} inputs, the network {network.inputs}")
    loss.check_labels(samples.labels, where)


class Trainer:
    """Trains `network` on `device` by stochastic gradient descent with momentum.

    Parameters
    ----------
    learning_rate, momentum, batch, loss, loss_scale, momentum_exponent
        As in TrainingSpec.
    seed
        Decides the initial weights and the order of the samples.
    target, other
        What mean squared error wants from the class of the label and from the others.
    scale
        Initial weights lie within ±scale/√inputs.
    state
        Weights to start from, instead of random ones.

    Members
    -------
    epoch : int
        Complete epochs.
    history : list[dict]
        Per epoch: epoch, loss, accuracy, test_accuracy (None without a test set), skipped and saturated batches.

    Raises
    ------
    SpecError
        If a setting is out of range.
    Misfit
        If the device has no room for the network or the batch.
    """

    def __init__(self, network: Network, device: Device, *, learning_rate: float = 0.1, momentum: float = 0.9,
                 batch: int = 32, loss: str = "mse", loss_scale: float = 256.0,
                 momentum_exponent: int | None = None, seed: int = 0, target: float = 1.0, other: float = 0.0,
                 scale: float = 1.0, state: Sequence[LayerState] | None = None):
        self.network, self.device = network, device
        self.training = TrainingSpec(learning_rate=learning_rate, momentum=momentum, batch=batch, loss=loss,
                                     loss_scale=loss_scale, momentum_exponent=momentum_exponent)
        self.training.check(network)
        self.seed = whole(seed, "seed", least=0)
        self.loss = Loss(network, self.training, target=target, other=other)
        self._kept = network.initial_state(self.seed, scale=scale) if state is None \
            else checked_state(network.layers, state)
        self._stale = True
        self.epoch = 0
        self.history: list[dict] = []
        device.load(network, self.training)

    @classmethod
    def resume(cls, checkpoint, device: Device) -> "Trainer":
        """A trainer that goes on where `checkpoint`, a Checkpoint or a file, was left, to the same bits."""
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = load_checkpoint(checkpoint)
        spec = checkpoint.training
        trainer = cls(checkpoint.network, device, learning_rate=spec.learning_rate, momentum=spec.momentum,
                      batch=spec.batch, loss=spec.loss, loss_scale=spec.loss_scale,
                      momentum_exponent=spec.momentum_exponent, seed=checkpoint.seed, target=checkpoint.target,
                      other=checkpoint.other, state=checkpoint.state)
        trainer.epoch, trainer.history = checkpoint.epoch, list(checkpoint.history)
        return trainer

    @property
    def state(self) -> list[LayerState]:
        """A copy of the weights, remainders and momenta after the last complete epoch."""
        return [layer.copy() for layer in self._kept]

    def checkpoint(self) -> Checkpoint:
        """The run after its last complete epoch."""
        return Checkpoint(network=self.network, training=self.training, state=self.state, seed=self.seed,
                          epoch=self.epoch, target=self.loss.target, other=self.loss.other,
                          history=list(self.history))

    def save(self, path) -> None:
        """Writes `checkpoint()` to `path`."""
        save_checkpoint(path, self.checkpoint())

    def _ready(self) -> None:
        """Puts the last complete epoch on the device, unless it is there."""
        if self._stale:
            self.device.write_state(self._kept)
            self._stale = False

    def fit(self, data, *, epochs: int, test: SpikeSet | None = None, checkpoint=None, progress: bool = True,
            callbacks: Sequence[Callback] = ()) -> list[dict]:
        """Trains for `epochs` more epochs and returns the whole history.

        `data` is Data (its test half scores each epoch), a SpikeSet, or a pair (spikes, labels). With
        `checkpoint`, a path, the run is saved there after each epoch.

        Raises
        ------
        DataError
            If inputs, steps or labels do not match the network.
        Interrupted
            On Ctrl-C; the last complete epoch is kept.
        """
        whole(epochs, "epochs", least=1)
        train = as_set(data, where="training data")
        test = data.test if test is None and isinstance(data, Data) else test
        check_fit(train, self.network, self.loss, "training data")
        if test is not None:
            check_fit(test, self.network, self.loss, "test data")
        callbacks = list(callbacks)
        if progress:
            from .progress import Progress
            callbacks.insert(0, Progress())
        batches = -(-len(train) // self.training.batch)
        place = ""
        try:
            for callback in callbacks:
                callback.on_start(self, epochs=epochs, batches=batches)
            for _ in range(epochs):
                entry = self._run_epoch(train, test, batches, callbacks)
                if checkpoint is not None:
                    self.save(checkpoint)
                    place = f" in {checkpoint}"
                for callback in callbacks:
                    callback.on_epoch(self, entry)
        except KeyboardInterrupt:
            raise Interrupted(f"interrupted in epoch {self.epoch + 1}; {self.epoch} complete "
                              f"epoch{'s are' if self.epoch != 1 else ' is'} kept{place}") from None
        finally:
            for callback in callbacks:
                callback.on_end(self)
        return self.history

    def _run_epoch(self, train: SpikeSet, test: SpikeSet | None, batches: int, callbacks: list[Callback]) -> dict:
        began = time.perf_counter()
        self._ready()
        self._stale = True
        total, correct, skipped, saturated = 0.0, 0, 0, 0
        order = order_of(len(train), seed=self.seed, epoch=self.epoch)
        for index, chosen in enumerate(cut(order, self.training.batch)):
            spikes, labels = train.spikes(chosen, self.network.steps), train.labels[chosen]
            result = self.device.accumulate(spikes, **self.loss.request(labels))
            if result.overflow:
                skipped += 1
            else:
                saturated += self.device.update(samples=len(chosen), learning_rate=self.training.learning_rate,
                                                momentum=self.training.momentum)
            total += self.loss.total(result.readouts, labels)
            correct += int((result.readouts.argmax(axis=1) == labels).sum())
            step = Step(epoch=self.epoch, batch=index, batches=batches, spikes=spikes, labels=labels,
                        targets=self.loss.targets(labels), result=result, updated=not result.overflow)
            for callback in callbacks:
                callback.on_batch(self, step)
        state = self.device.read_state()
        trained = time.perf_counter() - began
        accuracy = None
        if test is not None:
            accuracy = self._score(test).accuracy
        self._kept, self._stale = state, False
        self.epoch += 1
        self.history.append({"epoch": self.epoch, "loss": total / len(train), "accuracy": correct / len(train),
                             "test_accuracy": accuracy, "skipped": skipped, "saturated": saturated})
        if skipped:
            _log.warning("epoch %d: %d of %d batches overflowed binary16 and were skipped; lower the loss scale "
                         "(now %g)", self.epoch, skipped, batches, self.training.loss_scale)
        if saturated:
            _log.warning("epoch %d: %d of %d updates saturated at ±65504; lower the learning rate (now %g) or the "
                         "loss scale (now %g)", self.epoch, saturated, batches, self.training.learning_rate,
                         self.training.loss_scale)
        return dict(self.history[-1], seconds=trained, samples_per_second=len(train) / trained)

    def evaluate(self, data) -> Evaluation:
        """Scores a set, or the test half of Data: the predicted class has the largest readout, the lowest of equals."""
        samples = data.test if isinstance(data, Data) and data.test is not None else as_set(data)
        check_fit(samples, self.network, self.loss, "evaluation data")
        self._ready()
        return self._score(samples)

    def _score(self, samples: SpikeSet) -> Evaluation:
        confusion = np.zeros((self.network.classes, self.network.classes), np.int64)
        predictions, total = np.empty(len(samples), np.int64), 0.0
        for chosen in cut(np.arange(len(samples)), _CHUNK):
            readouts = self.device.infer(samples.spikes(chosen, self.network.steps))
            predictions[chosen] = readouts.argmax(axis=1)
            total += self.loss.total(readouts, samples.labels[chosen])
        np.add.at(confusion, (samples.labels, predictions), 1)
        return Evaluation(accuracy=float((predictions == samples.labels).mean()), loss=total / len(samples),
                          confusion=confusion, predictions=predictions)
