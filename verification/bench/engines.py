"""Cycles of training on the simulated chip, engine by engine, beside their bound and a dense schedule."""

from pathlib import Path
from typing import cast

from ...sw_driver.device import open as open_device
from ...sw_driver.devices.chip import ChipDevice
from ...sw_driver.errors import SpecError
from ...sw_driver.trainer import Callback, Trainer
from .workloads import BATCH, STEPS, TRAINING, Workload, digits, mnist

ENGINES = ("forward", "backward", "gradient")
SEQUENTIAL, BATCH_END, RUNNING = "in turn", "batch end", "running"
_LEGEND = (
    "bound: visits of the longest chain of engines that cannot overlap, summed over batches; of bound: cycles over it",
    "overlap: cycles of all engines over those of the chip; dense: the bound of a dense schedule over cycles",
    "busy: cycles with a visit; stalled: cycles at work without one; dense: visits of a dense schedule",
    "of busy: busy and stalled over busy; at work: both over the chip's cycles; speed-up: dense over both",
)


def mode_of(config) -> str:
    """Which engines of a chip work at the same time, from its ChipConfig."""
    if config.shared or config.slots < 2:
        return SEQUENTIAL
    return RUNNING if config.wide_rows else BATCH_END


def bound(mode: str, batches: list[dict[str, int]], *, update: int) -> int:
    """Fewest cycles for `batches`, each the visits of its three engines, if whatever may overlap does.

    A visit is one cycle: a non-zero input and a group of lanes that has work. Within a batch,

        in turn       forward + backward + gradient
        batch end     max(forward, backward) + gradient
        running       max(forward, backward, gradient) + update

    `update` is what the update of all weights takes after sums that exist already. A gradient at the end of a batch
    goes into the update as it is summed, so that one does not count.
    """
    cycles = 0
    for visits in batches:
        forward, backward, gradient = (visits[engine] for engine in ENGINES)
        if mode == SEQUENTIAL:
            cycles += forward + backward + gradient
        elif mode == BATCH_END:
            cycles += max(forward, backward) + gradient
        elif mode == RUNNING:
            cycles += max(forward, backward, gradient) + update
        else:
            raise ValueError(f"mode must be one of the three, not {mode!r}")
    return cycles


def update_cycles(network, config) -> int:
    """Cycles in which the neuron units can update every weight and bias, `units` of them at a time."""
    return sum((layer.inputs + layer.bias) * -(-layer.outputs // config.lanes) * config.beats
               for layer in network.layers)


class _Counts(Callback):
    """What the counters gained in each batch."""

    def __init__(self, device, say):
        self.batches: list[dict] = []
        self._device, self._say = device, say
        self._before = device.counters()

    def on_batch(self, trainer, step):
        now = self._device.counters()
        self.batches.append({part: {kind: count - self._before[part][kind] for kind, count in kinds.items()}
                             for part, kinds in now.items()})
        self._before = now
        self._say(f"{trainer.network}, batch {len(self.batches)} of {step.batches}",
                  len(self.batches) / step.batches)


def measure(*, quick: bool, say, data: str | None = None, device: str = "sim") -> dict:
    """Trains a digits epoch and 256 samples of MNIST's shape for one epoch each; quick: 64 and 32 samples.

    `data` is a folder with the idx files of MNIST, `device` the name of a simulated chip.
    """
    if device.partition(":")[0] != "sim":
        raise SpecError(f"bench engines measures a simulated chip, such as sim:lanes=4, not {device!r}")
    loads = [digits(64 if quick else None), mnist(32 if quick else 256, data=None if data is None else Path(data))]
    rows, engines, batches, notes = [], [], {}, []
    for load in loads:
        summary, by_engine, batches[load.name], told = _train(load, device, say)
        notes += told
        rows.append(summary)
        engines += by_engine
    return {
        "title": "Engines: cycles of training on the simulated chip",
        "settings": {"device": device, "steps": STEPS, "batch": BATCH},
        "tables": [{"title": "whole chip", "rows": rows}, {"title": "by engine", "rows": engines}],
        "charts": [
            {"title": "cycles of each engine, and its dense schedule", "unit": "cycles",
             "labels": [f"{row['data']} {row['engine']}" for row in engines],
             "series": {"busy": [row["busy"] for row in engines], "stalled": [row["stalled"] for row in engines]},
             "marks": {"dense": [row["dense"] for row in engines]}},
            {"title": "cycles of the chip, and the bound of its overlap", "unit": "cycles",
             "labels": [row["data"] for row in rows], "series": {"chip": [row["cycles"] for row in rows]},
             "marks": {"bound": [row["bound"] for row in rows]}},
        ],
        "notes": [*notes, *_LEGEND],
        "batches": batches,
    }


def _train(load: Workload, name: str, say):
    say(f"{load.network}, building its chip")
    options = {"progress": lambda text, fraction: say(f"{load.network}, {text}", fraction)}
    with open_device(name, **options) as device:
        trainer = Trainer(load.network, device, **TRAINING)
        counts = _Counts(device, say)
        trainer.fit(load.samples, epochs=1, progress=False, callbacks=[counts])
        config, reason = cast(ChipDevice, device).config, device.info().get("gradient")
    mode, update = mode_of(config), update_cycles(load.network, config)

    def total(part: str, kind: str) -> int:
        return sum(batch[part][kind] for batch in counts.batches)

    def bound_of(kind: str) -> int:
        return bound(mode, [{engine: batch[engine][kind] for engine in ENGINES} for batch in counts.batches],
                     update=update)

    cycles, least, dense = total("chip", "cycles"), bound_of("busy"), bound_of("dense")
    serial = sum(total(engine, kind) for engine in ENGINES for kind in ("busy", "stalled"))
    summary = {"data": load.name, "mode": mode, "samples": len(load.samples), "cycles": cycles,
               "bound": least, "of bound": cycles / least, "overlap": serial / cycles, "dense": dense / cycles}
    engines = []
    for engine in ENGINES:
        busy, stalled, skipped = (total(engine, kind) for kind in ("busy", "stalled", "skipped"))
        work, visits = busy + stalled, busy + skipped
        engines.append({"data": load.name, "engine": engine, "busy": busy, "stalled": stalled, "skipped": skipped,
                        "dense": visits, "of busy": work / busy if busy else None, "at work": work / cycles,
                        "speed-up": visits / work if work else None})
    spikes = f"{100 * load.density:.1f} % of inputs spike per step"
    notes = [f"{load.name}: {load.network}, {load.data}, {len(load.samples)} samples, {spikes}"]
    notes += [f"{load.name}: gradient {reason}"] if reason else []
    return summary, engines, counts.batches, notes
