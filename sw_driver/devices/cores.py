"""The cores behind a bus: which of them gets what of a network's words, and where it is gathered again."""

from collections.abc import Iterator, Sequence

import numpy as np

from ...hw.contract.chip import ChipConfig
from ...hw.contract.program import COUNTERS, LINK_COUNTS, LINKS, REGISTERS, Space, length, offsets
from ..compile import CoreProgram, pack_layer, unpack_layer
from ..compile.program import register_words
from ..errors import DeviceError
from ..half import half
from ..link.bus import Bus, ReadHandle
from ..network import LayerState, Network, TrainingSpec
from .inputs import stretches
from .timeline import read_rows
from .traces import queue_errors, queue_sample, slot_base

_REGISTERS, _OVERFLOW = offsets(REGISTERS), offsets(REGISTERS)["overflow"]
_OWN = ("classes", "present", "mirror_rows")    # registers that cores of a mesh have each for itself


class Cores:
    """A loaded program and a bus. A chip of one core is a mesh of one whose cuts are whole layers.

    Everything is queued; what gives numbers waits for them. Raises LinkError if the link is lost.

    Parameters
    ----------
    programs : one per core, in their order
    """

    def __init__(self, bus: Bus, config: ChipConfig, network: Network, training: TrainingSpec | None,
                 programs: Sequence[CoreProgram]):
        self.bus, self.config, self.programs = bus, config, programs
        self._network, self._training = network, training
        last = len(network.layers) - 1
        self._readers = [core for core in programs if 0 in core.cuts]
        self._readouts = [core for core in programs if last in core.cuts]
        self._seen = np.zeros((len(programs), len(COUNTERS)), np.int64)
        self.totals = np.zeros_like(self._seen)     # of the counters by core, in the order of COUNTERS

    def _select(self, *cores: CoreProgram) -> None:
        if self.config.nodes > 1:
            self.bus.select(sum(core.mask for core in cores))

    def _each(self) -> Iterator[CoreProgram]:
        """Every core in turn, selected."""
        for core in self.programs:
            self._select(core)
            yield core

    # Program

    def write_program(self) -> None:
        """Descriptors, parameters and routes of every core; counters start at zero."""
        for core in self._each():
            for space, words in ((Space.LAYERS, core.descriptors), (Space.PARAMETERS, core.parameters),
                                 (Space.ROUTES, core.routes)):
                if len(words):
                    self.bus.write(space, 0, words)
            self.bus.write(Space.REGISTERS, 0, register_words(core.registers))
        self._select(*self.programs)
        self.bus.write(Space.COUNTERS, 0, np.zeros(1, np.uint16))

    def write_registers(self, values: dict[str, int]) -> None:
        """All registers of all cores at once, but for those that each has for itself; `overflow` is cleared."""
        words = register_words(self.programs[0].registers | values)
        own = _OWN if self.config.nodes > 1 else ()
        kept = [_REGISTERS[name] + word for name, bits, signed in REGISTERS if name in own
                for word in range(length([(name, bits, signed)]))]
        self._select(*self.programs)
        for first, last in zip([0, *(word + 1 for word in kept)], [*kept, len(words)], strict=True):
            if last > first:
                self.bus.write(Space.REGISTERS, first, words[first:last])

    def overflow(self) -> bool:
        """Whether a rounding saturated at any core."""
        handles = [self.bus.queue_read(Space.REGISTERS, _OVERFLOW, 1) for _ in self._each()]
        return bool(np.concatenate([handle.result() for handle in handles]).any())

    # Synapses

    def _tables(self, core: CoreProgram) -> Iterator[tuple]:
        """(layer, first row, name in LayerState, its bias) of every table of synapses that a core keeps."""
        for layer, place in core.places.items():
            yield layer, place.weights, "weight", "bias"
            if self._training is not None:
                yield layer, place.remainders, "remainder", "bias_remainder"
                if self._training.momentum:
                    yield layer, place.momenta, "momentum", "bias_momentum"

    def write_state(self, state: Sequence[LayerState]) -> None:
        """Weights, remainders and momenta to their owners, and weights to where they are mirrored.

        Tables of zeros, as remainders and momenta are at first, take no words on the line: the cores of a mesh are
        cleared all at once if there is one, a core alone clears just these.
        """
        lanes, alone = self.config.lanes, self.config.nodes == 1
        if not alone and any(self._is_zero(state, core, table) for core in self.programs
                             for table in self._tables(core)):
            self._select(*self.programs)
            self.bus.fill(Space.SYNAPSES, 0, count=lanes * self.config.synapses, value=0)
        for core in self._each():
            for layer, row, name, bias in self._tables(core):
                place, cut = core.places[layer], slice(core.cuts[layer].first, core.cuts[layer].last)
                if self._is_zero(state, core, (layer, row, name, bias)):
                    if alone:
                        self.bus.fill(Space.SYNAPSES, row * lanes, count=place.groups * place.row_step * lanes, value=0)
                    continue
                weight, bias = getattr(state[layer], name)[:, cut], getattr(state[layer], bias)
                self.bus.write(Space.SYNAPSES, row * lanes, pack_layer(
                    weight, None if bias is None else bias[cut], row_step=place.row_step, groups=place.groups,
                    lanes=lanes))
            for layer, mirror in core.mirrors.items():
                cut = slice(core.cuts[layer].first, core.cuts[layer].last)
                self.bus.write(Space.SYNAPSES, mirror.base * lanes, pack_layer(
                    state[layer + 1].weight[cut], None, row_step=mirror.row_step, groups=mirror.groups, lanes=lanes))

    @staticmethod
    def _is_zero(state: Sequence[LayerState], core: CoreProgram, table: tuple) -> bool:
        """Whether all words are zero that a core keeps in a table."""
        layer, _, name, bias = table
        words, biases = getattr(state[layer], name), getattr(state[layer], bias)
        cut = slice(core.cuts[layer].first, core.cuts[layer].last)
        return not (words[:, cut].view(np.uint16).any() or (biases is not None and biases.view(np.uint16).any()))

    def read_state(self) -> list[LayerState]:
        """Weights, remainders and momenta of all owners."""
        lanes, queued = self.config.lanes, []
        for core in self._each():
            queued += [(core, layer, name, bias, self._queue_rows(row, core.places[layer].groups
                                                                  * core.places[layer].row_step))
                       for layer, row, name, bias in self._tables(core)]
        found = [self._blank(layer) for layer in self._network.layers]
        for core, layer, name, bias, handle in queued:
            spec, place, cut = self._network.layers[layer], core.places[layer], core.cuts[layer]
            weights, biases = unpack_layer(handle.result(), inputs=spec.inputs, outputs=cut.outputs, bias=spec.bias,
                                           row_step=place.row_step, groups=place.groups, lanes=lanes)
            getattr(found[layer], name)[:, cut.first:cut.last] = weights
            if spec.bias:
                getattr(found[layer], bias)[cut.first:cut.last] = biases
        return found

    @staticmethod
    def _blank(layer) -> LayerState:
        return LayerState.fresh(np.zeros((layer.inputs, layer.outputs), np.float16),
                                np.zeros(layer.outputs, np.float16) if layer.bias else None)

    def _queue_rows(self, row: int, rows: int) -> ReadHandle:
        return self.bus.queue_read(Space.SYNAPSES, row * self.config.lanes, rows * self.config.lanes)

    def check_mirrors(self) -> None:
        """Reads every mirrored weight and its owner's; a DeviceError names the first mirror that is not the same."""
        if not any(core.mirrors for core in self.programs):
            return
        owned = [layer.weight.view(np.uint16) for layer in self.read_state()]
        queued = []
        for core in self._each():
            queued += [(core, layer, mirror, self._queue_rows(mirror.base, mirror.groups * mirror.row_step))
                       for layer, mirror in core.mirrors.items()]
        for core, layer, mirror, handle in queued:
            cut, following = core.cuts[layer], self._network.layers[layer + 1]
            mirrored, _ = unpack_layer(handle.result(), inputs=cut.outputs, outputs=following.outputs, bias=False,
                                       row_step=mirror.row_step, groups=mirror.groups, lanes=self.config.lanes)
            wrong = np.argwhere(mirrored.view(np.uint16) != owned[layer + 1][cut.first:cut.last])
            if len(wrong):
                source, target = wrong[0]
                raise DeviceError(f"core {core.core} mirrors {len(wrong)} weights of layer {layer + 1} that are not "
                                  f"their owners'; the first is from input {cut.first + source} to neuron {target}. "
                                  "Write the state again; if that does not help, the chip is broken")

    # Samples

    def load_sample(self, words: np.ndarray, slot: int) -> None:
        """Input rows to a slot, at once at all cores that read them, packed; long stretches of silence are filled."""
        base = self._readers[0].places[0].spikes_in + slot_base(self.config, Space.SPIKES, slot)
        base *= 2 if self.config.lanes > 16 else 1
        self._select(*self._readers)
        bits = self.config.row_bits
        parts = stretches(words, per_word=16 // bits)
        if parts != [(0, len(words))]:
            self.bus.fill(Space.SPIKES, base, count=len(words), value=0)
        for first, last in parts:
            if bits < 16:
                self.bus.write_rows(Space.SPIKES, base + first, words[first:last], bits=bits)
            else:
                self.bus.write(Space.SPIKES, base + first, words[first:last])

    def write_classes(self, space: Space, values: np.ndarray, slot: int) -> None:
        """Targets or errors, one per class, to the cores that have the classes, padded to whole beats."""
        words, units = half(values, "targets and errors").view(np.uint16), self.config.units
        layer = len(self._network.layers) - 1
        for core in self._readouts:
            cut = core.cuts[layer]
            padded = np.zeros(core.places[layer].beats * units, np.uint16)
            padded[:cut.outputs] = words[cut.first:cut.last]
            self._select(core)
            self.bus.write(space, slot_base(self.config, space, slot) * units, padded)

    def queue_readout(self, slot: int) -> list[ReadHandle]:
        """Asks for the readouts of a slot."""
        units, handles = self.config.units, []
        for core in self._readouts:
            self._select(core)
            handles.append(self.bus.queue_read(
                Space.READOUTS, 4 * units * slot_base(self.config, Space.READOUTS, slot),
                4 * core.places[len(self._network.layers) - 1].beats * units))
        return handles

    def readout(self, handles: list[ReadHandle]) -> np.ndarray:
        """The readouts asked for, int64 (C,)."""
        layer = len(self._network.layers) - 1
        found = np.empty(self._network.classes, np.int64)
        for core, handle in zip(self._readouts, handles, strict=True):
            cut = core.cuts[layer]
            found[cut.first:cut.last] = np.ascontiguousarray(handle.result()).view("<i8")[:cut.outputs]
        return found

    def read_sample(self, slot: int) -> list[dict]:
        """u, s and m of the sample in a slot, by layer; u is None where the run keeps no membranes. d follows."""
        found = self._gather([(core, queue_sample(self.bus, core, self.config, slot=slot)) for core in self._each()])
        return [{"u": None} | trace | {"d": None} for trace in found]

    def read_errors(self, traces: list[dict], *, first: int) -> None:
        """Adds d of the sample whose steps start at `first` in its batch."""
        found = self._gather([(core, queue_errors(self.bus, core, self.config, first=first)) for core in self._each()])
        for trace, errors in zip(traces, found, strict=True):
            trace |= errors

    def _gather(self, queued: list[tuple]) -> list[dict]:
        """Arrays (steps, neurons) of whole layers from those of cuts."""
        found: list[dict[str, np.ndarray]] = [{} for _ in self._network.layers]
        for core, traces in queued:
            for layer, arrays in traces.items():
                cut, shape = core.cuts[layer], (self._network.steps, self._network.layers[layer].outputs)
                for name, later in arrays.items():
                    array = later()
                    found[layer].setdefault(name, np.empty(shape, array.dtype))[:, cut.first:cut.last] = array
        return found

    # Counters

    def links(self) -> list[dict[str, dict[str, int]]]:
        """What went over each router's ways out since power-up, modulo 2^32, by core and by name in LINKS; empty
        without a mesh, or if it was built without these counters."""
        if self.config.nodes == 1 or not self.config.link_counters:
            return []
        each = len(LINK_COUNTS)
        handles = [self.bus.queue_read(Space.LINKS, 0, 2 * each * len(LINKS)) for _ in self._each()]
        found = []
        for handle in handles:
            words = handle.result().astype(np.int64)
            counts = (words[0::2] | words[1::2] << 16).tolist()
            found.append({link: dict(zip(LINK_COUNTS, counts[each * k:each * (k + 1)], strict=True))
                          for k, link in enumerate(LINKS)})
        return found

    def count(self) -> None:
        """Adds what the 32-bit counters gained since they were last read; they wrap."""
        handles = [self.bus.queue_read(Space.COUNTERS, 0, 2 * len(COUNTERS)) for _ in self._each()]
        halves = np.stack([handle.result() for handle in handles]).astype(np.int64)
        now = halves[:, 0::2] | halves[:, 1::2] << 16
        self.totals += (now - self._seen) % (1 << 32)
        self._seen = now

    def read_timeline(self) -> np.ndarray:
        """Rows of the ring of the core that has the most synapses."""
        busiest = max(self.programs, key=lambda core: sum(place.groups * place.row_step
                                                          for place in core.places.values()))
        self._select(busiest)
        return read_rows(self.bus)
