"""Cycles of training the same network on one core and on meshes: readouts and the state after a batch are compared."""

import os
import tempfile
import time
from contextlib import contextmanager

import numpy as np

from ...sw_driver.compile import mesh_size
from ...sw_driver.device import Device
from ...sw_driver.device import open as open_device
from ...sw_driver.loss import Loss
from ...sw_driver.network import LI, LIF, LayerState, Linear, Network, TrainingSpec
from ...sw_driver.verify import Verification
from .workloads import Workload, enlarged_digits

STEPS, BATCH, SEED = 4, 16, 0
_TRAINING = {"learning_rate": 0.3, "momentum": 0.9, "batch": BATCH}
_OTHER = -0.25  # target of the classes that a sample is not of

_LEGEND = (
    "cycles: of one batch, forward to update, as the chip counts them; speed-up: those of one core over these",
    "per core: speed-up over cores; words: readouts, and weights, remainders and momenta after the update",
    "cycles/s: simulated cycles per second of processor time, loading and reading back included",
    "build: seconds from an empty cache until the simulator runs and has its program; work: of processors",
)


def _neuron() -> LIF:
    return LIF(decay=0.5, threshold=0.25, half_width=0.25)


def workload(*, quick: bool) -> Workload:
    """784-512-256-10 at 4 steps and 16 digits enlarged to 28x28; quick: the same shape with narrower layers."""
    wide = (96, 40) if quick else (512, 256)
    network = Network([Linear(784, wide[0]), _neuron(), Linear(wide[0], wide[1]), _neuron(),
                       Linear(wide[1], 10), LI(decay=0.5)], steps=STEPS)
    return Workload(name="digits", network=network, samples=enlarged_digits(BATCH),
                    data="digits of scikit-learn as 20x20 in 28x28 pixels")


def measure(*, quick: bool, say, only: str | None = None, device: str = "sim:lanes=4,units=1") -> dict:
    """One batch on one core and on meshes of 2, 6 and 20 cores; quick: narrower layers, meshes of 2 and 6.

    `only` is one mesh, such as 5x4, to be measured beside one core; `device` says how a core is built.
    """
    if only:
        mesh_size(only)     # a word that is no mesh is refused before anything runs
    load = workload(quick=quick)
    meshes = [only] if only else ["2x1", "3x2", *([] if quick else ["5x4"])]
    training = TrainingSpec(**_TRAINING)
    golden, _ = _train(load, training, "golden", say)
    rows: list[dict] = []
    for mesh in (None, *meshes):
        name = device if mesh is None else f"{device}{',' if ':' in device else ':'}mesh={mesh}"
        with _cache(anew=not quick):
            found, figures = _train(load, training, name, say)
        compared = Verification(devices=("golden", name))
        compared.compare("readout", golden[0], found[0], batch=0, axes=("sample", "neuron"))
        compared.compare_state(0, golden[1], found[1])
        columns, _, lines = (mesh or "1x1").partition("x")
        cores = int(columns) * int(lines)
        first = rows[0]["cycles"] if rows else figures["cycles"]
        rows.append({"mesh": mesh or "one core", "cores": cores, "cycles": figures["cycles"],
                     "per sample": figures["cycles"] / BATCH, "speed-up": first / figures["cycles"],
                     "per core": first / figures["cycles"] / cores, "words": compared.compared.total(),
                     "differ": compared.different.total(), "cycles/s": figures["rate"],
                     **({} if quick else {"build (s)": figures["build"], "work (s)": figures["work"]})})
    return {
        "title": "Mesh: one batch on one core and on many",
        "settings": {"device": device, "network": str(load.network), "steps": STEPS, "batch": BATCH},
        "tables": [{"title": "same network, same bits", "rows": rows}],
        "charts": [{"title": "speed-up over one core", "unit": "times", "labels": [row["mesh"] for row in rows],
                    "series": {"speed-up": [row["speed-up"] for row in rows]},
                    "marks": {"cores": [row["cores"] for row in rows]}}],
        "notes": [f"{load.data}, {100 * load.density:.1f} % of inputs spike per step", *_LEGEND],
    }


def _train(load: Workload, training: TrainingSpec, name: str, say) -> tuple[tuple, dict]:
    """Readouts of a batch and the state after its update, and what the chip counted."""
    say(f"{load.network} on {name}")
    simulated = name.startswith("sim")
    options = {"progress": lambda text, fraction: say(f"{name}, {text}", fraction), "stats": True} if simulated else {}
    loss = Loss(load.network, training, target=1.0, other=_OTHER)
    spikes = load.samples.spikes(np.arange(BATCH), STEPS)
    with open_device(name, **options) as device:
        begin, work = time.perf_counter(), sum(os.times()[:4])
        device.load(load.network, training)
        built = {"build": time.perf_counter() - begin, "work": sum(os.times()[:4]) - work}
        device.write_state(load.network.initial_state(SEED))
        result = device.accumulate(spikes, targets=loss.targets(load.samples.labels[:BATCH]))
        device.update(samples=BATCH, learning_rate=training.learning_rate, momentum=training.momentum)
        say(f"{name}, reading back")
        state: list[LayerState] = device.read_state()
        device.check()      # weights that two cores have
        cycles = device.counters().get("chip", {}).get("cycles", 0)
    return (result.readouts, state), {"cycles": cycles, "rate": _rate(device), **built}


@contextmanager
def _cache(*, anew: bool):
    """An empty cache of simulators, forgotten at the end, if all is to be built anew."""
    if not anew:
        yield
        return
    before = os.environ.get("AUTAPSE_CACHE")
    with tempfile.TemporaryDirectory(prefix="autapse-bench-") as folder:
        os.environ["AUTAPSE_CACHE"] = folder
        try:
            yield
        finally:
            os.environ.pop("AUTAPSE_CACHE")
            if before is not None:
                os.environ["AUTAPSE_CACHE"] = before


def _rate(device: Device) -> float | None:
    stats = getattr(device, "simulated", None)
    return stats["cycles"] / stats["processor"] if stats and stats["processor"] else None
