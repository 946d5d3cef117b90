"""A chip with an autapse core, for networks that begin with an Autapse, whatever it is reached through."""

import abc
from collections.abc import Callable

import numpy as np

from ...hw.contract.autapse_chip import AutapseChip
from ..compile.autapse import AutapseProgram, Tail
from ..compile.program import training_registers
from ..device import BatchResult, Device, check_update, checked_batch, checked_spikes
from ..errors import DeviceError, Misfit
from ..link.bus import Bus
from ..network import LayerState, Network, checked_state
from ..prototypes import Prototypes
from .autapse_runner import AutapseRunner, Words

_PARTS = (("weights", "weight", "bias"), ("remainders", "remainder", "bias_remainder"),
          ("momenta", "momentum", "bias_momentum"))


def tail_of(network: Network, name: str) -> Tail | None:
    """The layer that reads the nodes, if there is one.

    Raises
    ------
    Misfit
        If the network does not begin with an Autapse, or what follows is more than one layer of integrators.
    """
    if network.autapse is None:
        raise Misfit(f"{name} has an autapse core, which holds networks that begin with an Autapse, not {network}; "
                     "open the device without core=autapse")
    rest = network.layers[1:]
    if network.prototypes is not None or not rest:
        return None
    layer = rest[0]
    if len(rest) > 1 or layer.spiking or layer.decay.size > 1:
        raise Misfit(f"an autapse core takes one layer behind the nodes, Linear and LI with one decay, not the "
                     f"{len(rest)} layers of {network}; use the golden model")
    return Tail(classes=layer.outputs, decay=float(layer.decay), bias=layer.bias)


class AutapseDevice(Device):
    """A chip with an autapse core, reached through `connect`."""

    name = "autapse chip"

    def __init__(self):
        self._bus: Bus | None = None
        self._chip: AutapseChip | None = None
        self._runner: AutapseRunner | None = None
        self._prototypes: Prototypes | None = None
        self._pending: int | None = None

    @abc.abstractmethod
    def connect(self, program: Callable[[AutapseChip], AutapseProgram], units: int) -> tuple[Bus, AutapseChip]:
        """The bus of a chip for a program, and what the chip is; `units` is what the network was made for."""

    def load(self, network, training):
        if training is not None:
            training.check(network)
        tail, spec = tail_of(network, self.name), network.autapse
        assert spec is not None, "tail_of has looked"
        batch = training.batch if training else 0

        def program(chip: AutapseChip) -> AutapseProgram:
            return AutapseProgram(spec, steps=network.steps, chip=chip, batch=batch, tail=tail)

        bus, chip = self.connect(program, spec.units)
        made = program(chip)    # or a Misfit, which leaves what was loaded before
        self._network, self._training, self._bus, self._chip = network, training, bus, chip
        self._pending, self._tail, self._spec = None, tail, spec
        self._prototypes = None if network.prototypes is None else Prototypes(network.prototypes, training)
        self._runner = AutapseRunner(bus, made)

    def _ready(self) -> AutapseRunner:
        if self._runner is None:
            raise DeviceError(f"{self.name} has no program; call load(network, training) first")
        return self._runner

    # State

    def write_state(self, state):
        runner, self._pending = self._ready(), None
        checked = checked_state(self._network.layers, state)
        if self._prototypes is not None:
            self._prototypes.write(checked.pop())
            runner.write_prototypes(self._prototypes.bits)
        for index, layer in enumerate(checked):
            arrays = layer.arrays()
            runner.write_words(Words(*(
                np.concatenate([arrays[name].reshape(-1) for name in names if name in arrays])
                for _, *names in _PARTS)), tail=index > 0)
        runner.bus.sync()

    def read_state(self):
        runner, found = self._ready(), []
        for index, layer in enumerate(self._network.layers):
            if layer is self._network.prototypes:
                assert self._prototypes is not None
                found.append(self._prototypes.read())
                continue
            words, count = runner.read_words(tail=index > 0), int(np.prod(layer.weight_shape))
            arrays = {}
            for name, weight, bias in _PARTS:
                row = getattr(words, name)
                if name == "momenta" and not (self._training and self._training.momentum):
                    row = np.zeros_like(row)
                arrays[weight] = row[:count].reshape(layer.weight_shape)
                if layer.bias:
                    arrays[bias] = row[count:].copy()
            found.append(LayerState.from_arrays(arrays))
        return found

    # Samples

    def infer(self, spikes):
        return self._ready().infer(checked_spikes(spikes, self._network))

    def accumulate(self, spikes, *, targets=None, error=None, capture=False):
        runner = self._ready()
        spikes = checked_batch(spikes, self._network, self._training, name=self.name, targets=targets, error=error)
        self._pending, traces, prototypes = None, [], self._prototypes
        if prototypes is not None and error is not None:
            prototypes.clear()
            error = self._from_slopes(prototypes, error)

        def keep(index: int):
            if capture:
                traces.append(self._trace(index))

        readouts, overflow = runner.accumulate(spikes, targets=targets, error=error, keep=keep,
                                               registers=self._registers(len(spikes)))
        self._pending = len(spikes)
        return BatchResult(readouts=readouts, overflow=overflow, traces=traces if capture else None)

    def _from_slopes(self, prototypes: Prototypes, slopes: Callable) -> Callable:
        """The host's part: from the slopes of all distances to the errors of all spikes."""
        def error(readout: np.ndarray, index: int) -> np.ndarray:
            found = np.asarray(slopes(readout, index), np.float64)[None]
            prototypes.accumulate(self._codes()[None], found)
            return prototypes.errors(found, self._network.steps)[0]
        return error

    def _registers(self, samples: int, **rates: float) -> dict[str, int]:
        return training_registers(self._network, self._training, samples=samples, **rates)

    def _codes(self) -> np.ndarray:
        """Spikes (T, nodes read) of the sample that was last."""
        spec = self._spec
        return self._ready().read_trace()["s"][:, spec.read_from:spec.nodes]

    def _trace(self, index: int) -> list[dict[str, np.ndarray | None]]:
        runner, spec, nodes = self._ready(), self._spec, self._spec.nodes
        trace = runner.read_trace(sample=index)
        learns = spec.trainable
        layers: list[dict[str, np.ndarray | None]] = [
            {"u": trace["u"][:, :nodes], "s": trace["s"][:, :nodes], "m": trace["m"][:, :nodes] if learns else None,
             "d": trace["d"][:, :nodes] if learns else None}]
        if self._tail:
            layers.append({"u": trace["u"][:, nodes:], "s": None, "m": None, "d": trace["d"][:, nodes:]})
        if self._prototypes is not None:
            layers.append({})
        return layers

    def update(self, *, samples, learning_rate, momentum):
        runner = self._ready()
        check_update(self._training, name=self.name, pending=self._pending, samples=samples, momentum=momentum)
        self._pending = None
        overflow = runner.update(self._registers(samples, learning_rate=learning_rate, momentum=momentum))
        if self._prototypes is not None:
            self._prototypes.update(samples=samples, learning_rate=learning_rate, momentum=momentum)
            runner.write_prototypes(self._prototypes.bits)
        return overflow

    def counters(self):
        if self._runner is None:
            return {}
        table = self._runner.counters()
        return {name: row for name, row in table.items() if name != "cycles"} | {"chip": {
            "cycles": table["cycles"]["cycles"]}}

    def line(self):
        return {} if self._bus is None else self._bus.link.statistics.as_dict()

    def info(self):
        return {"name": self.name, **({"chip": vars(self._chip)} if self._chip else {})}

    def close(self):
        bus, self._bus, self._runner = self._bus, None, None
        if bus is not None:
            bus.link.close()
