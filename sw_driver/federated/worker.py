"""One worker: a device, its part of the data, and what stays with it between rounds. Knows nothing of Flower."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..checkpoint import Checkpoint
from ..data import Data, SpikeSet, load_data
from ..device import Device
from ..errors import AutapseError
from ..network import LayerState, Network
from ..trainer import Callback, Trainer
from .exact import join, split
from .settings import Settings
from .split import scored_on, split_indices
from .wire import pack, unpack


class TooSlow(AutapseError):
    """The round's time ran out while this worker was still training."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a round of local training left: the state, and how it went."""

    state: list[LayerState]
    samples: int
    loss: float
    accuracy: float
    test_accuracy: float | None
    skipped: int
    seconds: float


def part_of(settings: Settings, worker: int, *, data: str | None = None) -> tuple[SpikeSet, SpikeSet | None]:
    """What worker `worker` trains on, and what it is scored on; `data` names its own copy, where it has one."""
    source = load_settings_data(settings, data)
    if settings.split == "own":
        return source.train, source.test
    mine = split_indices(source.train, split=settings.split, workers=settings.workers, seed=settings.seed)[worker]
    return source.train.take(mine), scored_on(source, split=settings.split, workers=settings.workers)


def load_settings_data(settings: Settings, data: str | None = None) -> Data:
    """The data of the settings, or `data` read the same way."""
    return load_data(data or settings.data, encoder=settings.encoder, pool=settings.pool).first(settings.limit)


class Proximal(Callback):
    """FedProx on a device whose update rule is fixed: the exact proximal step, between batches, by the host.

    The worker minimises F(w) + μ/2·‖w - w_g‖². A batch on the device is the step on F. After every `every` batches the
    host reads the words x = W + 2^-10·R and takes the step on the other term,

        x ← w_g + (x - w_g) / (1 + μ·s)          s = every·η / (1 - momentum)

    which is the minimum of μ/2·‖w - w_g‖² + ‖w - x‖²/(2s), s the step that `every` batches make in the long run.
    It is computed in float64 and rounded once into W and R; the momenta stay.
    """

    def __init__(self, network: Network, anchor: np.ndarray, *, mu: float, every: int = 4):
        self._network, self._anchor, self._mu, self._every = network, anchor, mu, every

    def on_batch(self, trainer, step):
        done = step.batch + 1
        if done % self._every and done != step.batches:
            return
        batches = done % self._every or self._every
        rate = trainer.training.learning_rate * batches / (1 - trainer.training.momentum)
        state = trainer.device.read_state()
        x = join(pack(state, "weight"), pack(state, "remainder"))
        weight, remainder = split(self._anchor + (x - self._anchor) / (1 + self._mu * rate))
        trainer.device.write_state(unpack(self._network, weight, remainder, pack(state, "momentum")))


class _Deadline(Callback):
    """Gives up between two batches when the round's time is over, so that the worker is free for the next round."""

    def __init__(self, seconds: float):
        self._end, self._seconds = time.monotonic() + seconds, seconds

    def on_batch(self, trainer, step):
        if time.monotonic() > self._end:
            raise TooSlow(f"too slow: {step.batch + 1} of {step.batches} batches of epoch {trainer.epoch + 1} "
                          f"after {self._seconds:g} s")


def train_round(settings: Settings, device: Device, *, worker: int, samples: SpikeSet, test: SpikeSet | None,
                round_: int, state: list[LayerState], proximal_mu: float = 0.0,
                pause: Callable[[], None] | None = None) -> Trained:
    """Trains `state` on `device` for the local epochs of round `round_` (from 1).

    The order of the samples depends on the worker's seed and on how many epochs of the run came before, so a
    federation of one worker whose remainders and momenta stay is a plain run, bit for bit.

    Raises
    ------
    TooSlow
        If the settings' timeout passes while it trains.
    """
    began = time.perf_counter()
    network, spec = settings.build_network(), settings.training_spec()
    trainer = Trainer.resume(Checkpoint(
        network=network, training=spec, state=state, seed=settings.worker_seed(worker),
        epoch=(round_ - 1) * settings.local_epochs, other=settings.other), device)
    callbacks: list[Callback] = [_Deadline(settings.timeout)]
    if proximal_mu:
        callbacks.append(Proximal(network, join(pack(state, "weight"), pack(state, "remainder")), mu=proximal_mu))
    if pause is not None:
        pause()
    trainer.fit(samples, epochs=settings.local_epochs, progress=False, callbacks=callbacks)
    last = trainer.history[-1]
    score = trainer.evaluate(test).accuracy if settings.score_workers and test is not None else None
    return Trained(state=trainer.state, samples=len(samples), loss=last["loss"], accuracy=last["accuracy"],
                   test_accuracy=score, skipped=sum(entry["skipped"] for entry in trainer.history),
                   seconds=time.perf_counter() - began)
