"""A whole federation on this machine: workers in this process, or in Flower's own; and what it is compared with."""

import hashlib
import logging
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ..device import open as open_device
from ..errors import Interrupted, SpecError
from ..trainer import Trainer
from .flower import require_flower
from .settings import Settings
from .split import scored_on, split_indices
from .worker import load_settings_data

ENGINES = {"local": "workers in this process, Flower's messages without its network",
           "processes": "Flower's SuperLink and a SuperNode per worker, as on several hosts"}


@dataclass(kw_only=True)
class Result:
    """What a federation came to.

    Fields
    ------
    records
        One per round, round 0 before training: `test_accuracy`, per worker its scores, `refused` and `dropped` with
        name and reason, bytes `down` and `up` of each worker's messages, `seconds`; with processes `wire`, the bytes
        each worker's connections carried.
    digest
        SHA-256 of the final words: equal runs have equal digests.
    compared
        From `compare`, or None.
    """

    settings: Settings
    devices: list[str]
    engine: str
    records: list[dict]
    seconds: float
    digest: str
    compared: dict | None = None
    secure: bool = False

    @property
    def test_accuracy(self) -> float | None:
        return self.records[-1]["test_accuracy"]

    def total(self, key: str) -> int:
        """Bytes of all rounds and workers: `up` or `down`."""
        return sum(sum(record[key].values()) for record in self.records)

    def incidents(self) -> list[dict]:
        """Every refusal and every absence: round, kind, name, why."""
        return [{"round": record["round"], "kind": kind, "name": entry["name"], "why": entry["why"]}
                for record in self.records for kind in ("refused", "dropped") for entry in record[kind]]

    def as_dict(self) -> dict:
        """Plain JSON values."""
        return {"command": "federate", "engine": self.engine, "secure": self.secure, "devices": self.devices,
                "settings": asdict(self.settings), "test_accuracy": self.test_accuracy, "seconds": self.seconds,
                "bytes_up": self.total("up"), "bytes_down": self.total("down"), "digest": self.digest,
                "incidents": self.incidents(), "compared": self.compared, "rounds": self.records}


@dataclass(kw_only=True)
class Plan:
    """How a federation is run on this machine; `on_round` is called with each record, `on_start` before training."""

    engine: str = "local"
    out: Path | None = None
    resume: bool = False
    jobs: int = 1
    port: int | None = None
    secure: bool = False
    on_round: Callable[[dict], None] = field(default=lambda record: None)


def devices_for(given: Sequence[str], workers: int) -> list[str]:
    """One device name per worker: the one given for all, or as many as there are workers."""
    if len(given) not in (1, workers):
        raise SpecError(f"{len(given)} devices were named for {workers} workers; name one for all, or one for each")
    return list(given) * workers if len(given) == 1 else list(given)


def check_parts(settings: Settings) -> list[int]:
    """Samples of each worker, or the sentence that refuses the split, before anything is started."""
    data = load_settings_data(settings)
    if settings.split == "own":
        return [len(data.train)] * settings.workers
    return [len(part) for part in split_indices(data.train, split=settings.split, workers=settings.workers,
                                                seed=settings.seed)]


def check_comparison(settings: Settings) -> None:
    """Refuses, before anything is trained, what `compare` cannot do."""
    if settings.split == "own":
        raise SpecError("with the split own nobody has all samples in one place; there is nothing to compare with")
    data = load_settings_data(settings)
    if scored_on(data, split=settings.split, workers=settings.workers) is None:
        raise SpecError(f"{data.name} has no test set to compare on")


def federate(settings: Settings, devices: Sequence[str], plan: Plan) -> Result:
    """Runs `settings` with one device per worker.

    Raises
    ------
    AutapseError
        If Flower is missing, a device cannot be opened, the port is taken, or no worker can train.
    Interrupted
        On Ctrl-C; with `out` the complete rounds are kept there.
    """
    require_flower()
    if plan.engine not in ENGINES:
        raise SpecError(f"there is no engine {plan.engine!r}; known are {', '.join(ENGINES)}")
    if plan.secure and plan.engine != "processes":
        raise SpecError("--secure is for --engine processes: in one process there is no wire to secure")
    check_parts(settings)
    for name in dict.fromkeys(devices):
        # A device that cannot be opened, or has no room, is refused here and not five times in a round.
        with open_device(name) as device:
            device.load(settings.build_network(), settings.training_spec())
    from . import client  # noqa: F401  (Flower's own log is set up as it is imported)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    began = time.perf_counter()
    try:
        records, digest = (_local if plan.engine == "local" else _processes)(settings, devices, plan)
    except KeyboardInterrupt:
        raise Interrupted("interrupted" + (f"; the complete rounds are kept in {plan.out}, --resume {plan.out} goes on"
                                           if plan.out else "")) from None
    return Result(settings=settings, devices=list(devices), engine=plan.engine, secure=plan.secure, records=records,
                  seconds=time.perf_counter() - began, digest=digest)


def _digest(state) -> str:
    words = hashlib.sha256()
    for vector in (state.weight, state.remainder, state.momentum):
        if vector is not None:
            words.update(np.ascontiguousarray(vector, "<f2").tobytes())
    return words.hexdigest()


def _local(settings: Settings, devices: Sequence[str], plan: Plan) -> tuple[list[dict], str]:
    from .client import POST
    from .hub import Hub
    from .local import LocalGrid
    keep = None if plan.out is None else plan.out / "kept"
    if keep is not None and not plan.resume:
        shutil.rmtree(keep, ignore_errors=True)
    hub = Hub(settings, out=plan.out, resume=plan.resume, on_round=plan.on_round)
    try:
        state = hub.run(LocalGrid(settings, devices, keep=keep and str(keep), jobs=plan.jobs))
    finally:
        POST.close()
    return state.records, _digest(state)


def _processes(settings: Settings, devices: Sequence[str], plan: Plan) -> tuple[list[dict], str]:
    import tempfile

    from .hub import STATE, Global
    from .processes import Processes
    with (nullcontext(str(plan.out)) if plan.out else tempfile.TemporaryDirectory()) as folder:
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        before = Global.load(out / STATE)[0].records if plan.resume else []
        with Processes(settings, devices, out, port=plan.port, secure=plan.secure) as processes:
            processes.wait(processes.submit(resume=plan.resume), on_round=plan.on_round, seen=len(before))
            state, _ = Global.load(out / STATE)
            for record in state.records[len(before):]:
                record["wire"] = {str(worker): relay.between(record["began"], record["ended"])
                                  for worker, relay in enumerate(processes.relays)}
        return state.records, _digest(state)


def compare(settings: Settings, *, alone: bool = True, say: Callable[[str], None] = lambda sentence: None) -> dict:
    """The same training without a federation, on the hub's device: as many epochs, the same settings.

    Keys: `one_device`, the accuracy after training on all workers' samples in one place, and where `alone` is asked
    for `alone`, that of each worker after training on its own samples only, and `alone_mean`.
    """
    check_comparison(settings)
    data = load_settings_data(settings)
    test = scored_on(data, split=settings.split, workers=settings.workers)
    assert test is not None
    parts = split_indices(data.train, split=settings.split, workers=settings.workers, seed=settings.seed)
    network, spec = settings.build_network(), settings.training_spec()

    def score(indices, seed: int) -> float:
        with open_device(settings.hub_device) as device:
            trainer = Trainer(network, device, **asdict(spec), seed=seed, other=settings.other,
                              state=network.initial_state(settings.seed))
            trainer.fit(data.train.take(indices), epochs=settings.rounds * settings.local_epochs, progress=False)
            return trainer.evaluate(test).accuracy

    say("the same training on one device …")
    together = score(np.sort(np.concatenate(parts)), settings.seed)
    each = []
    for worker, part in enumerate(parts if alone else []):
        say(f"worker {worker} alone …")
        each.append(score(part, settings.worker_seed(worker)))
    return {"one_device": together, "alone": each, "alone_mean": statistics.fmean(each) if each else None,
            "epochs": settings.rounds * settings.local_epochs}
