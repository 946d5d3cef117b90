"""Speed of the simulated chip of the demo: with its driver, without, and beside the golden model; and its build."""

import itertools
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from ...gateware.chip import Chip
from ...gateware.simulator import build_simulator, find_simulator
from ...hw.contract.chip import ChipConfig
from ...sw_driver.devices.golden import open_golden
from ...sw_driver.devices.sim import SimDevice
from ...sw_driver.trainer import Callback, Trainer
from .workloads import TRAINING, Workload, digits

GOAL = 300_000  # cycles per second
_LEGEND = (
    "with its driver: all cycles of the simulator over all seconds that it ran or waited, from the first word on",
    "of processor: over the seconds in which the simulator had a processor, whatever else the machine did",
    "bare: the same program with nobody at its line, so nothing to do; compared by seconds of processor",
    "waiting for the driver: seconds in which the simulator had nothing to do",
)


class _Batches(Callback):
    def __init__(self, say, what: str):
        self._say, self._what, self._done = say, what, 0

    def on_batch(self, trainer, step):
        self._done += 1
        self._say(f"{self._what}, batch {self._done} of {step.batches}", self._done / step.batches)


def measure(*, quick: bool, say) -> dict:
    """Trains the demo's chip on 512 digits, quick: 64, and builds it anew unless quick."""
    load = digits(64 if quick else 512)
    device, chip = _train(load, say)
    config, simulated = device.config, device.simulated
    cycles = simulated["cycles"]
    assert device.program is not None
    bare = _bare(device.program, cycles=cycles // (4 if quick else 1), say=say)
    golden = _golden(load, say)
    base = bare["cycles"] / bare["processor"]
    speeds = [{"chip": name, "cycles/s": ran["cycles"] / ran["seconds"],
               "cycles/s of processor": ran["cycles"] / ran["processor"],
               "of the bare chip": ran["cycles"] / ran["processor"] / base}
              for name, ran in (("with its driver", simulated), ("bare", bare))]
    samples = [{"what": "chip with its driver", "samples/s": len(load.samples) / chip["seconds"],
                "of the golden model": len(load.samples) / chip["seconds"] / golden},
               {"what": "golden model", "samples/s": golden, "of the golden model": 1.0}]
    shares = [
        {"what": "core at work", "cycles": chip["core"], "share of all": chip["core"] / cycles},
        {"what": "line, packets, waiting", "cycles": cycles - chip["core"], "share of all": 1 - chip["core"] / cycles},
    ]
    tables = [{"title": "simulated cycles", "rows": speeds}, {"title": "training", "rows": samples},
              {"title": "where the cycles go", "rows": shares}]
    charts = [{"title": "simulated cycles per second", "unit": "cycles/s", "labels": [row["chip"] for row in speeds],
               "stacked": False, "marks": {"goal": [GOAL, None]},
               "series": {name: [row[name] for row in speeds] for name in ("cycles/s", "cycles/s of processor")}},
              {"title": "training samples per second", "unit": "samples/s", "labels": [row["what"] for row in samples],
               "series": {"samples/s": [row["samples/s"] for row in samples]}}]
    building = None
    if not quick:
        building = _build(config, say, run=simulated["seconds"])
        tables.append({"title": "building the simulator anew", "rows": building})
        charts.append({"title": "building the simulator anew", "unit": "seconds",
                       "labels": [row["part"] for row in building],
                       "series": {"seconds": [row["seconds"] for row in building]}})
    return {
        "title": "Simulation: speed of the demo's chip",
        "settings": {"network": str(load.network), "samples": len(load.samples), "lanes": config.lanes,
                     "cycles": cycles, "goal (cycles/s)": GOAL, "waiting for the driver": simulated["asleep"]},
        "tables": tables, "charts": charts,
        "notes": list(_LEGEND),
    }


def _train(load: Workload, say) -> tuple[SimDevice, dict]:
    """The device, closed, and what training took: "seconds" without building, "core" cycles."""
    with SimDevice(progress=say, stats=True) as device:
        trainer = Trainer(load.network, device, **TRAINING)
        begin = time.perf_counter()
        trainer.fit(load.samples, epochs=1, progress=False, callbacks=[_Batches(say, "chip")])
        seconds = time.perf_counter() - begin
        core = device.counters()["chip"]["cycles"]
    return device, {"seconds": seconds, "core": core}


def _golden(load: Workload, say) -> float:
    """Training samples per second."""
    with open_golden(None) as device:
        trainer = Trainer(load.network, device, **TRAINING)
        trainer.fit(load.samples.first(64), epochs=1, progress=False)  # PyTorch's first calls take longer
        begin = time.perf_counter()
        trainer.fit(load.samples, epochs=1, progress=False, callbacks=[_Batches(say, "golden model")])
        return len(load.samples) / (time.perf_counter() - begin)


def _bare(program: Path, *, cycles: int, say) -> dict:
    """What a chip that nobody talks to takes: "cycles", "seconds", "processor"."""
    say("chip without driver")
    done = subprocess.run([program, "--bare", str(cycles), "--stats"], stdin=subprocess.DEVNULL, check=True,
                          capture_output=True, text=True)
    return json.loads(done.stderr)


def _build(config: ChipConfig, say, *, run: float) -> list[dict]:
    """Seconds of each part of a build into an empty cache, and of finding it there."""
    marks: list[tuple[str, float, float]] = []

    def note(text, fraction):
        say(f"building anew: {text}", fraction)
        part = text.partition(",")[0]
        if not marks or marks[-1][0] != part:
            marks.append((part, time.perf_counter(), sum(os.times()[:4])))

    with tempfile.TemporaryDirectory() as folder:
        build_simulator(Chip(config), recipe="bench", cache_dir=folder, progress=note)
        begin = time.perf_counter()
        find_simulator("bench", cache_dir=folder)
        again = time.perf_counter() - begin
    spent = [(part, until - since, work_until - work_since)
             for (part, since, work_since), (_, until, work_until) in itertools.pairwise(marks)]
    spent += [("all", sum(row[1] for row in spent), sum(row[2] for row in spent)), ("found in the cache", again, None)]
    return [{"part": part, "seconds": seconds, "processor seconds": work, "of the training run": seconds / run}
            for part, seconds, work in spent]
