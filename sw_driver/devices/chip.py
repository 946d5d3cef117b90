"""A chip behind the framed link: simulated or on a board, one path for both."""

import abc
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from ...hw.contract.chip import ChipConfig
from ...hw.contract.program import COUNTERS, ENGINES, MAGIC, Run, Space
from ..compile import CoreProgram, Plan, compile_mesh, compile_whole, plan_by, training_registers
from ..device import BatchResult, Device, check_update, checked_batch, checked_spikes
from ..errors import DeviceError, Misfit
from ..link.bus import Bus
from ..network import checked_state
from .cores import Cores
from .identity import identity_fields
from .inputs import input_rows
from .timeline import changes_of

_IN_FLIGHT = 64  # samples whose readouts may be under way at once


def read_identity(bus: Bus) -> ChipConfig:
    """The configuration that the chip states of itself.

    Raises
    ------
    DeviceError
        If it is no autapse chip, or speaks another contract or arithmetic than this driver.
    """
    return ChipConfig.from_words(identity_fields(bus, magic=MAGIC, count=len(ChipConfig().words())))


class ChipDevice(Device):
    """A chip, of one core or of a mesh, reached through `connect`, which gives a Bus for a network that is about to be
    loaded.

    Members
    -------
    place : str
        How a network is spread over a mesh, a name in `compile.METHODS`.
    """

    name = "chip"
    place = "even"

    def __init__(self):
        self._planned: tuple | None = None     # what the last plan was asked for, and the plan
        self._config: ChipConfig | None = None
        self._bus: Bus | None = None
        self._cores: Cores | None = None
        self._plan: Plan | None = None
        self._timeline: list | None = None
        self._rows_before: np.ndarray | None = None

    @property
    def config(self) -> ChipConfig:
        """Of the chip that is connected; a DeviceError before `load`."""
        if self._config is None:
            raise DeviceError(f"{self.name} has no program; call load(network, training) first")
        return self._config

    @property
    def connected(self) -> bool:
        """Whether there is a chip to speak to."""
        return self._bus is not None

    @property
    def bus(self) -> Bus:
        """Of the chip that is connected, for who looks at its memories; a DeviceError without one."""
        if self._bus is None:
            raise DeviceError(f"{self.name} is not connected; open it, or load a network")
        return self._bus

    @abc.abstractmethod
    def connect(self, network, training) -> tuple[Bus, ChipConfig]:
        """The bus of a chip for this program, and its configuration."""

    def plan(self, network, training, config: ChipConfig) -> Plan | None:
        """Which core of the chip holds which neurons; None for a core alone, which holds all."""
        if config.nodes == 1:
            return None
        # Placing may take seconds, and a plan is asked for before the chip's memories are chosen and after.
        asked = network, training, config.mesh_width, config.mesh_height, config.lanes
        if self._planned is None or self._planned[0] != asked:
            plan = plan_by(self.place, network, training, mesh_width=config.mesh_width,
                           mesh_height=config.mesh_height, lanes=config.lanes)
            self._planned = asked, plan
        return self._planned[1]

    def compile(self, network, training, config: ChipConfig) -> list[CoreProgram]:
        """A program for every core of the chip, or a Misfit."""
        self._plan = self.plan(network, training, config)
        return compile_whole(network, training, config) if self._plan is None else \
            compile_mesh(network, training, config, self._plan)

    def load(self, network, training):
        if training is not None:
            training.check(network)
        if network.autapse is not None:
            raise Misfit(f"{self.name} is a chip of layers and holds no autapse network; use the golden model, or a "
                         "chip with an autapse core")
        bus, config = self.connect(network, training)
        programs = self.compile(network, training, config)
        self._network, self._training = network, training
        self._bus, self._config, self._pending = bus, config, None
        self._cores = cores = Cores(bus, config, network, training, programs)
        cores.write_program()
        self._write_registers(1 if training else 0)
        self._timeline = None
        self._rows_before = None if config.sequenced else cores.read_timeline()
        bus.sync()

    def _ready(self) -> Cores:
        if self._bus is None or self._cores is None:
            raise DeviceError(f"{self.name} has no program; call load(network, training) first")
        return self._cores

    def _write_registers(self, samples: int, **rates: float):
        self._ready().write_registers(training_registers(self._network, self._training, samples=max(samples, 1),
                                                         **rates))

    def write_state(self, state):
        cores = self._ready()
        self._pending = None
        cores.write_state(checked_state(self._network.layers, state))
        cores.bus.sync()

    def read_state(self):
        return self._ready().read_state()

    def check(self):
        self._ready().check_mirrors()

    def links(self) -> list[dict[str, dict[str, int]]]:
        """Flits, packets and stalled cycles of every way out of every router (see `Cores.links`)."""
        return self._ready().links()

    def _run(self, mask: int, slot: int, index: int = 0):
        """A run of sample `index` of the batch; where the gradient runs, errors of one sample are kept, from row 0."""
        first = 0 if self.config.wide_rows else index * self._network.steps
        self._ready().bus.run(mask | (Run.SLOT if slot else 0), first)

    def infer(self, spikes):
        cores = self._ready()
        rows = input_rows(checked_spikes(spikes, self._network), self.config.lanes)
        handles, results, slots = [], [], self.config.slots
        for index, sample in enumerate(rows):
            cores.load_sample(sample, index % slots)
            self._run(Run.FORWARD, index % slots)
            # A sample's readout is asked for once the next one is under way.
            if index >= slots - 1:
                handles.append(cores.queue_readout((index + 1) % slots))
            if len(handles) >= _IN_FLIGHT:
                results.append(cores.readout(handles.pop(0)))
        handles += [cores.queue_readout(index % slots) for index in range(max(len(rows) - slots + 1, 0), len(rows))]
        results += [cores.readout(handle) for handle in handles]
        cores.count()
        return np.array(results, np.int64).reshape(len(rows), self._network.classes)

    def accumulate(self, spikes, *, targets=None, error: Callable | None = None, capture=False):
        cores = self._ready()
        spikes = checked_batch(spikes, self._network, self._training, name=self.name, targets=targets, error=error)
        self._pending = None
        rows, steps = input_rows(spikes, self.config.lanes), self._network.steps
        self._write_registers(len(spikes))
        traces: list = []
        running = self.config.wide_rows > 0

        def keep(index: int):
            if capture:
                trace = cores.read_sample(index % self.config.slots)
                traces.append(trace)
                if running:     # the next sample's errors take the place of these
                    cores.read_errors(trace, first=0)

        if error is None:
            readouts = self._descend(rows, targets, keep)
        else:
            readouts = self._descend_with(rows, error, keep, ahead=0 if capture else self.config.slots - 1)
        overflow = cores.overflow()
        for index, trace in enumerate([] if running else traces):
            cores.read_errors(trace, first=index * steps)
        self._pending = len(spikes)
        cores.count()
        return BatchResult(readouts=np.array(readouts, np.int64).reshape(len(spikes), -1), overflow=overflow,
                           traces=traces if capture else None)

    def _descend(self, rows, targets, keep) -> list[np.ndarray]:
        """Forward, loss on the chip, backward; a sample's readout is asked for once the next one is under way."""
        cores, slots, handles = self._ready(), self.config.slots, []
        for index, sample in enumerate(rows):
            slot, clear = index % slots, Run.CLEAR if index == 0 else 0
            cores.load_sample(sample, slot)
            cores.write_classes(Space.TARGETS, targets[index], slot)
            self._run(clear | Run.FORWARD | Run.LOSS | Run.BACKWARD, slot, index)
            if index >= slots - 1:
                handles.append(cores.queue_readout((index + 1) % slots))
            keep(index)
        handles += [cores.queue_readout(index % slots) for index in range(max(len(rows) - slots + 1, 0), len(rows))]
        return [cores.readout(handle) for handle in handles]

    def _descend_with(self, rows, error: Callable, keep, *, ahead: int) -> list[np.ndarray]:
        """The same with errors that the host computes, while the chip takes up to `ahead` samples forward."""
        cores, slots, readouts, started = self._ready(), self.config.slots, [], 0
        for index in range(len(rows)):
            while started < min(index + 1 + ahead, len(rows)):
                cores.load_sample(rows[started], started % slots)
                self._run(Run.FORWARD | (Run.CLEAR if started == 0 else 0), started % slots)
                started += 1
            slot = index % slots
            readouts.append(cores.readout(cores.queue_readout(slot)))
            cores.write_classes(Space.ERROR_INPUTS, error(readouts[-1], index), slot)
            self._run(Run.BACKWARD, slot, index)
            keep(index)
        return readouts

    def update(self, *, samples, learning_rate, momentum):
        cores = self._ready()
        check_update(self._training, name=self.name, pending=self._pending, samples=samples, momentum=momentum)
        self._pending = None
        self._write_registers(samples, learning_rate=learning_rate, momentum=momentum)
        cores.bus.run(Run.UPDATE, 0)
        overflow = cores.overflow()
        cores.count()
        if self._timeline is None and not self.config.sequenced:
            self._timeline = changes_of(cores.read_timeline(), before=self._rows_before)
        return overflow

    def timeline(self):
        return self._timeline or []

    def counters(self):
        engines: dict[str, dict[str, int]] = {
            engine: dict.fromkeys(("busy", "skipped", "stalled"), 0) for engine in ENGINES
            if engine == "forward" or (self._config and self._config.training)}
        if self._cores is None:
            totals = np.zeros((1, len(COUNTERS)), np.int64)
        else:
            totals = self._cores.totals
        found = dict(zip(COUNTERS, totals.T, strict=True))
        for engine, table in engines.items():
            table |= {kind: int(found[f"{engine}.{kind}"].sum()) for kind in table}
            table["dense"] = table["busy"] + table["skipped"]
        return engines | {"chip": {"cycles": int(found["cycles"].max())}}

    def line(self):
        return {} if self._bus is None else self._bus.link.statistics.as_dict()

    def info(self):
        plan = self._plan and {"mesh": f"{self._plan.mesh_width}x{self._plan.mesh_height}", "place": self.place,
                               "cuts": [asdict(cut) for cut in self._plan.cuts]}
        return {"name": self.name, **({"chip": vars(self._config)} if self._config else {}),
                **({"plan": plan} if plan else {})}

    def close(self):
        if self._bus is not None:
            self._bus.link.close()
            self._bus = None
