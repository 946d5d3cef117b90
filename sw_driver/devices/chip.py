"""A chip behind the framed link: simulated or on a board, one path for both."""

import abc
from collections.abc import Callable

import numpy as np

from ...hw.contract.chip import ARITHMETIC_VERSION, CONTRACT_VERSION, ChipConfig
from ...hw.contract.program import COUNTERS, ENGINES, MAGIC, REGISTERS, Run, Space, offsets
from ..compile import compile_program, pack_layer, training_registers, unpack_layer
from ..compile.program import register_words
from ..device import BatchResult, Device, checked_spikes
from ..errors import DeviceError
from ..half import half
from ..link.bus import Bus
from ..network import LayerState, checked_state
from .timeline import changes_of, read_rows
from .traces import read_errors, read_sample, slot_base

_OVERFLOW = offsets(REGISTERS)["overflow"]
_IN_FLIGHT = 64  # samples whose readouts may be under way at once


def read_identity(bus: Bus) -> ChipConfig:
    """The configuration that the chip states of itself.

    Raises
    ------
    DeviceError
        If it is no autapse chip, or speaks another contract or arithmetic than this driver.
    """
    count = 6 + 2 * len(ChipConfig().words())
    halves = bus.read(Space.IDENTITY, 0, count).astype(np.uint32)
    words = (halves[0::2] | halves[1::2] << 16).tolist()
    if words[0] != MAGIC:
        raise DeviceError(f"the device answers {words[0]:#010x} where an autapse chip says {MAGIC:#010x}; "
                          "check that this port is the chip's")
    if words[1:3] != [CONTRACT_VERSION, ARITHMETIC_VERSION]:
        raise DeviceError(f"the chip has contract {words[1]} and arithmetic {words[2]}, this driver "
                          f"{CONTRACT_VERSION} and {ARITHMETIC_VERSION}; build chip and driver from one version")
    return ChipConfig.from_words(words[3:])


class ChipDevice(Device):
    """A chip reached through `connect`, which gives a Bus for a network that is about to be loaded."""

    name = "chip"

    def __init__(self):
        self._config: ChipConfig | None = None
        self._bus: Bus | None = None
        self._totals = dict.fromkeys(COUNTERS, 0)
        self._seen = np.zeros(len(COUNTERS), np.int64)
        self._timeline: list | None = None
        self._rows_before: np.ndarray | None = None

    @property
    def config(self) -> ChipConfig:
        """Of the chip that is connected; a DeviceError before `load`."""
        if self._config is None:
            raise DeviceError(f"{self.name} has no program; call load(network, training) first")
        return self._config

    @abc.abstractmethod
    def connect(self, network, training) -> tuple[Bus, ChipConfig]:
        """The bus of a chip for this program, and its configuration."""

    def load(self, network, training):
        if training is not None:
            training.check(network)
        bus, config = self.connect(network, training)
        layout, descriptors, parameters = compile_program(network, training, config)
        self._network, self._training, self._layout = network, training, layout
        self._bus, self._config, self._pending = bus, config, None
        bus.write(Space.LAYERS, 0, descriptors)
        bus.write(Space.PARAMETERS, 0, parameters)
        self._write_registers(1 if training else 0)
        bus.write(Space.COUNTERS, 0, np.zeros(1, np.uint16))
        self._totals = dict.fromkeys(COUNTERS, 0)
        self._seen[:] = 0
        self._timeline = None
        self._rows_before = None if config.sequenced else read_rows(bus)
        bus.sync()

    def _ready(self) -> Bus:
        if self._bus is None:
            raise DeviceError(f"{self.name} has no program; call load(network, training) first")
        return self._bus

    def _write_registers(self, samples: int, **rates: float):
        values = training_registers(self._network, self._training, samples=max(samples, 1), **rates)
        self._ready().write(Space.REGISTERS, 0, register_words(self._network, self._layout, values))

    def _tables(self):
        """(layer index, base, name in LayerState, its bias) of every table of synapses that the chip keeps."""
        for index, place in enumerate(self._layout.layers):
            yield index, place.weights, "weight", "bias"
            if self._training is not None:
                yield index, place.remainders, "remainder", "bias_remainder"
                if self._training.momentum:
                    yield index, place.momenta, "momentum", "bias_momentum"

    def write_state(self, state):
        bus, lanes = self._ready(), self.config.lanes
        self._pending = None
        state = checked_state(self._network.layers, state)
        for index, base, name, bias in self._tables():
            place = self._layout.layers[index]
            words = pack_layer(getattr(state[index], name), getattr(state[index], bias), row_step=place.row_step,
                               groups=place.groups, lanes=lanes)
            bus.write(Space.SYNAPSES, base * lanes, words)
        bus.sync()

    def read_state(self):
        bus, lanes = self._ready(), self.config.lanes
        handles = [(index, name, bias, bus.queue_read(
            Space.SYNAPSES, base * lanes,
            self._layout.layers[index].groups * self._layout.layers[index].row_step * lanes))
            for index, base, name, bias in self._tables()]
        found: list[dict] = [{} for _ in self._network.layers]
        for index, name, bias, handle in handles:
            layer, place = self._network.layers[index], self._layout.layers[index]
            found[index][name], found[index][bias] = unpack_layer(
                handle.result(), inputs=layer.inputs, outputs=layer.outputs, bias=layer.bias,
                row_step=place.row_step, groups=place.groups, lanes=lanes)
        result = []
        for tables in found:
            fresh = LayerState.fresh(tables["weight"], tables["bias"])
            for name, array in tables.items():
                setattr(fresh, name, array)
            result.append(fresh)
        return result

    def _rows(self, spikes: np.ndarray) -> np.ndarray:
        """Bus words of the input rows, (N, words), of spikes (N, T, inputs)."""
        lanes = self.config.lanes
        groups = self._layout.layers[0].input_groups
        samples, steps, inputs = spikes.shape
        padded = np.zeros((samples, steps, groups * lanes), np.uint8)
        padded[:, :, :inputs] = spikes
        bits = padded.reshape(samples, steps, groups, lanes).swapaxes(1, 2)
        weights = 1 << np.arange(lanes, dtype=np.uint32)
        rows = (bits * weights).sum(-1, dtype=np.uint32)
        if lanes > 16:
            rows = np.stack([rows & 0xFFFF, rows >> 16], axis=-1)
        return rows.astype(np.uint16).reshape(samples, -1)

    def _load_sample(self, words: np.ndarray, slot: int):
        base = self._layout.layers[0].spikes_in + slot_base(self.config, Space.SPIKES, slot)
        self._ready().write(Space.SPIKES, base * (2 if self.config.lanes > 16 else 1), words)

    def _write_classes(self, space: Space, values: np.ndarray, slot: int):
        """Targets or errors, one per class, into a slot."""
        self._ready().write(space, slot_base(self.config, space, slot) * self.config.units, self._class_words(values))

    def _run(self, mask: int, slot: int, index: int = 0):
        """A run of sample `index` of the batch; where the gradient runs, errors of one sample are kept, from row 0."""
        first = 0 if self.config.wide_rows else index * self._network.steps
        self._ready().run(mask | (Run.SLOT if slot else 0), first)

    def _queue_readout(self, slot: int):
        units = self.config.units
        return self._ready().queue_read(Space.READOUTS, 4 * units * slot_base(self.config, Space.READOUTS, slot),
                                        4 * self._layout.layers[-1].beats * units)

    def _readout(self, handle) -> np.ndarray:
        words = np.ascontiguousarray(handle.result())
        return words.view("<i8")[:self._network.classes].astype(np.int64)

    def infer(self, spikes):
        rows = self._rows(checked_spikes(spikes, self._network))
        handles, results, slots = [], [], self.config.slots
        for index, sample in enumerate(rows):
            self._load_sample(sample, index % slots)
            self._run(Run.FORWARD, index % slots)
            # A sample's readout is asked for once the next one is under way.
            if index >= slots - 1:
                handles.append(self._queue_readout((index + 1) % slots))
            if len(handles) >= _IN_FLIGHT:
                results.append(self._readout(handles.pop(0)))
        handles += [self._queue_readout(index % slots) for index in range(max(len(rows) - slots + 1, 0), len(rows))]
        results += [self._readout(handle) for handle in handles]
        self._count()
        return np.array(results, np.int64).reshape(len(rows), self._network.classes)

    def accumulate(self, spikes, *, targets=None, error: Callable | None = None, capture=False):
        bus = self._ready()
        if self._training is None:
            raise DeviceError(f"{self.name} was loaded for inference; load it with a TrainingSpec to train")
        if (targets is None) == (error is None):
            raise DeviceError("accumulate takes either targets or an error function")
        spikes = checked_spikes(spikes, self._network)
        if len(spikes) > self._training.batch:
            raise DeviceError(f"a batch of {len(spikes)} samples is more than the {self._training.batch} that "
                              f"{self.name} was loaded for")
        self._pending = None
        rows, steps = self._rows(spikes), self._network.steps
        self._write_registers(len(spikes))
        traces: list = []
        running = self.config.wide_rows > 0

        def keep(index: int):
            if capture:
                trace = read_sample(bus, self._network, self._layout, self.config, slot=index % self.config.slots)
                traces.append(trace)
                if running:     # the next sample's errors take the place of these
                    read_errors(bus, self._network, self._layout, self.config, trace, first=0)

        if targets is not None:
            readouts = self._descend(rows, targets, keep)
        else:
            readouts = self._descend_with(rows, error, keep, ahead=0 if capture else self.config.slots - 1)
        overflow = bool(bus.read(Space.REGISTERS, _OVERFLOW, 1)[0])
        for index, trace in enumerate([] if running else traces):
            read_errors(bus, self._network, self._layout, self.config, trace, first=index * steps)
        self._pending = len(spikes)
        self._count()
        return BatchResult(readouts=np.array(readouts, np.int64).reshape(len(spikes), -1), overflow=overflow,
                           traces=traces if capture else None)

    def _descend(self, rows, targets, keep) -> list[np.ndarray]:
        """Forward, loss on the chip, backward; a sample's readout is asked for once the next one is under way."""
        slots, handles = self.config.slots, []
        for index, sample in enumerate(rows):
            slot, clear = index % slots, Run.CLEAR if index == 0 else 0
            self._load_sample(sample, slot)
            self._write_classes(Space.TARGETS, targets[index], slot)
            self._run(clear | Run.FORWARD | Run.LOSS | Run.BACKWARD, slot, index)
            if index >= slots - 1:
                handles.append(self._queue_readout((index + 1) % slots))
            keep(index)
        handles += [self._queue_readout(index % slots) for index in range(max(len(rows) - slots + 1, 0), len(rows))]
        return [self._readout(handle) for handle in handles]

    def _descend_with(self, rows, error: Callable, keep, *, ahead: int) -> list[np.ndarray]:
        """The same with errors that the host computes, while the chip takes up to `ahead` samples forward."""
        slots, readouts, started = self.config.slots, [], 0
        for index in range(len(rows)):
            while started < min(index + 1 + ahead, len(rows)):
                self._load_sample(rows[started], started % slots)
                self._run(Run.FORWARD | (Run.CLEAR if started == 0 else 0), started % slots)
                started += 1
            slot = index % slots
            readouts.append(self._readout(self._queue_readout(slot)))
            self._write_classes(Space.ERROR_INPUTS, error(readouts[-1], index), slot)
            self._run(Run.BACKWARD, slot, index)
            keep(index)
        return readouts

    def _class_words(self, values: np.ndarray) -> np.ndarray:
        """binary16 words of one value per class, padded to whole beats."""
        words = np.zeros(self._layout.layers[-1].beats * self.config.units, np.uint16)
        words[:self._network.classes] = half(values, "targets and errors").view(np.uint16)
        return words

    def update(self, *, samples, learning_rate, momentum):
        bus = self._ready()
        if self._pending != samples:
            raise DeviceError(f"update of {samples} samples follows no accumulate of as many")
        if momentum and not (self._training and self._training.momentum):
            raise DeviceError(f"{self.name} was loaded without momentum and keeps none; "
                              "load it with momentum to use it")
        self._pending = None
        self._write_registers(samples, learning_rate=learning_rate, momentum=momentum)
        bus.run(Run.UPDATE, 0)
        overflow = bool(bus.read(Space.REGISTERS, _OVERFLOW, 1)[0])
        self._count()
        if self._timeline is None and not self.config.sequenced:
            self._timeline = changes_of(read_rows(bus), before=self._rows_before)
        return overflow

    def timeline(self):
        return self._timeline or []

    def _count(self):
        """Adds what the 32-bit counters gained since they were last read; they wrap."""
        halves = self._ready().read(Space.COUNTERS, 0, 2 * len(COUNTERS)).astype(np.int64)
        now = halves[0::2] | halves[1::2] << 16
        for name, gained in zip(COUNTERS, (now - self._seen) % (1 << 32), strict=True):
            self._totals[name] += int(gained)
        self._seen = now

    def counters(self):
        engines = {engine: {kind: self._totals[f"{engine}.{kind}"] for kind in ("busy", "skipped", "stalled")}
                   for engine in ENGINES if engine == "forward" or (self._config and self._config.training)}
        for table in engines.values():
            table["dense"] = table["busy"] + table["skipped"]
        return engines | {"chip": {"cycles": self._totals["cycles"]}}

    def info(self):
        return {"name": self.name, **({"chip": vars(self._config)} if self._config else {})}

    def close(self):
        if self._bus is not None:
            self._bus.link.close()
            self._bus = None
