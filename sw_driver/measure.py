"""Cycles that a board's chip really takes with a network: its own RTL in simulation, on data."""

import numpy as np

from ..hw.contract.chip import ChipConfig
from .data import load_data
from .devices.sim import MeshSimDevice, SimDevice
from .loss import Loss
from .network import Network, TrainingSpec
from .trainer import check_fit

__all__ = ["measured_cycles"]

_NOT_GIVEN = ("training", "mesh_width", "mesh_height")


def measured_cycles(config: ChipConfig, network: Network, training: TrainingSpec, *, data: str, batches: int = 2,
                    seed: int = 0, progress=None) -> dict[str, float]:
    """Cycles per sample, by the chip's own counter: "training" over some whole batches from initial weights, updates
    included, and "inference" of the same samples one behind the other.

    Parameters
    ----------
    data : as `autapse train --data` takes it
    progress : called as progress(sentence, fraction) while a simulator is built

    Raises
    ------
    SpecError, DeviceError, Misfit
        As loading data, building a simulator and compiling do.
    """
    options = {name: value for name, value in vars(config).items() if name not in _NOT_GIVEN}
    device = (SimDevice(progress=progress, **options) if config.nodes == 1 else
              MeshSimDevice(mesh=f"{config.mesh_width}x{config.mesh_height}", progress=progress, **options))
    count = batches * training.batch
    samples = load_data(data).train.first(count)
    loss = Loss(network, training)
    check_fit(samples, network, loss, f"data {data}")
    spikes = samples.spikes(np.arange(count), network.steps)
    with device:
        device.load(network, training)
        device.write_state(network.initial_state(seed))
        before = device.counters()["chip"]["cycles"]
        for start in range(0, count, training.batch):
            part = slice(start, start + training.batch)
            device.accumulate(spikes[part], **loss.request(samples.labels[part]))
            device.update(samples=training.batch, learning_rate=training.learning_rate, momentum=training.momentum)
        between = device.counters()["chip"]["cycles"]
        device.infer(spikes)
        after = device.counters()["chip"]["cycles"]
    return {"training": (between - before) / count, "inference": (after - between) / count,
            "samples": count, "spikes": float(np.mean(spikes))}
