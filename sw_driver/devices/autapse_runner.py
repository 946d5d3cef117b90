"""An autapse network on an autapse chip, simulated or on a board: words of weights in, exact readouts out."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from ...hw.contract.autapse import check_prototypes
from ...hw.contract.autapse_chip import MAGIC, MEMORY, AutapseChip
from ...hw.contract.program import COUNTERS, ENGINES, REGISTERS, Run, Space, offsets
from ..compile.autapse import ONE, AutapseProgram
from ..compile.program import register_words
from ..errors import DeviceError
from ..half import half
from ..link.bus import Bus
from .identity import identity_fields

_IN_FLIGHT = 64     # samples whose readouts may be under way at once


def read_identity(bus: Bus) -> AutapseChip:
    """What the chip states of itself.

    Raises
    ------
    DeviceError
        If it has no autapse core, or speaks another contract or arithmetic than this driver.
    """
    return AutapseChip.from_words(identity_fields(bus, magic=MAGIC, count=len(fields(AutapseChip))))


@dataclass
class Words:
    """State words of the network or of its tail, float16, weights and then biases in one row."""

    weights: np.ndarray
    remainders: np.ndarray
    momenta: np.ndarray


class AutapseRunner:
    """A program on a chip behind `bus`.

    Readouts are int64 (classes,), exact, in units of 2^-24; with prototypes minus the distances.
    """

    def __init__(self, bus: Bus, program: AutapseProgram):
        self.bus, self.program = bus, program
        self._pixel = ONE
        self._kept: dict[bool, Words] = {}
        self._seen = np.zeros(len(COUNTERS), np.int64)
        self.totals = np.zeros(len(COUNTERS), np.int64)
        for at, words in program.image():
            bus.write(MEMORY, at, words)
        self._fixed = {"steps": program.steps, "layers": len(program.stretches), "batch_steps": program.batch_steps,
                       "history_log": program.history_log, "classes": program.classes}
        self.write_registers({})
        bus.write(Space.COUNTERS, 0, np.zeros(1, np.uint16))
        bus.sync()

    # State

    def _scatter(self, index: np.ndarray, at: np.ndarray, words: np.ndarray):
        """Words to their addresses, in runs of neighbours."""
        order = np.argsort(at, kind="stable")
        at, words = at[order], np.ascontiguousarray(words[index[order]]).view(np.uint16)
        cuts = np.flatnonzero(np.diff(at) != 1) + 1
        for run, values in zip(np.split(at, cuts), np.split(words, cuts), strict=True):
            if len(run):
                self.bus.write(MEMORY, int(run[0]), values)

    def _gather(self, index: np.ndarray, at: np.ndarray, count: int) -> np.ndarray:
        found = np.zeros(count, np.uint16)
        if len(at):
            low, high = int(at.min()), int(at.max()) + 1
            block = np.concatenate([self.bus.read(MEMORY, start, min(high - start, 30000))
                                    for start in range(low, high, 30000)])
            found[index] = block[at - low]
        return found.view(np.float16)

    def write_words(self, words: Words, *, tail: bool = False):
        """The whole state of the network, or of its tail."""
        spec = self.program.spec
        self._scatter(*self.program.places(tail=tail), half(words.weights, "weights"))
        for name in ("remainders", "momenta"):
            self._scatter(*self.program.learned(name, tail=tail), half(getattr(words, name), name))
        if not tail and spec.input == "pixel":
            self._pixel = int(half(words.weights, "weights")[:1].view(np.uint16)[0])
        self._kept[tail] = words

    def read_words(self, *, tail: bool = False) -> Words:
        """The whole state back; words that no edge names, and those that the chip does not train, as they were."""
        written = self._kept[tail]
        found = Words(*(half(getattr(written, name), name).copy() for name in ("weights", "remainders", "momenta")))
        index, at = self.program.places(tail=tail)
        found.weights[index] = self._gather(index, at, len(found.weights))[index]
        for name in ("remainders", "momenta"):
            index, at = self.program.learned(name, tail=tail)
            words = getattr(found, name)
            words[index] = self._gather(index, at, len(words))[index]
        return found

    def write_prototypes(self, prototypes: np.ndarray):
        """Bits (classes, code bits) of 0 and 1; a ValueError for others."""
        check_prototypes(self.program.spec, prototypes.tolist(), self.program.steps)
        bits = np.asarray(prototypes, np.uint8)
        padded = np.zeros((len(bits), 16 * self.program.code_words), np.uint8)
        padded[:, :bits.shape[1]] = bits
        words = (padded.reshape(len(bits), -1, 16) << np.arange(16, dtype=np.uint16)).sum(-1, dtype=np.uint16)
        self.bus.write(MEMORY, self.program.prototypes_at, words.reshape(-1))

    # Samples

    def write_registers(self, values: dict[str, int]):
        """The program's registers, those of a training batch among them."""
        self.bus.write(Space.REGISTERS, 0, register_words(self._fixed | values))

    def load_sample(self, spikes: np.ndarray):
        """Spikes (T, inputs) of 0 and 1; each is the word it adds."""
        self.bus.write(MEMORY, self.program.inputs_at, np.where(spikes.reshape(-1), self._pixel, 0).astype(np.uint16))

    def _queue(self):
        chip, program = self.program.chip, self.program
        if program.code_words:
            return self.bus.queue_read(MEMORY, chip.distances_at, program.classes + 1)
        return self.bus.queue_read(MEMORY, chip.readouts_at, 4 * program.classes)

    def _readout(self, handle) -> np.ndarray:
        words = np.ascontiguousarray(handle.result())
        if not self.program.code_words:
            return words.view("<i8").copy()
        distances = words[:-1].astype(np.int64)
        if int(words[-1]) != int(distances.argmin()):
            raise DeviceError(f"the chip names class {int(words[-1])}, but its distances make it "
                              f"{int(distances.argmin())}; the chip is broken")
        return -distances << 24

    def infer(self, spikes: np.ndarray) -> np.ndarray:
        """Readouts (N, classes) of spikes (N, T, inputs)."""
        handles, results = [], []
        for sample in spikes:
            self.load_sample(sample)
            self.bus.run(Run.FORWARD, 0)
            handles.append(self._queue())
            if len(handles) >= _IN_FLIGHT:
                results.append(self._readout(handles.pop(0)))
        results += [self._readout(handle) for handle in handles]
        self.count()
        return np.array(results, np.int64).reshape(len(spikes), self.program.classes)

    def read_trace(self, *, sample: int | None = None) -> dict[str, np.ndarray]:
        """Spikes of the last sample, (T, nodes) and those of the tail left out, and u and m where they are kept; with
        the number of a sample of the batch d too, of the nodes that learn, 0 elsewhere."""
        program, steps = self.program, self.program.steps
        trace = {}
        for name, base in (("s", program.spikes_at), ("u", program.membranes_at), ("m", program.masks_at)):
            if base:
                rows = self.bus.read(MEMORY, base, program.width * steps).reshape(steps, program.width)
                parts = zip(program.padded, program.stretches, strict=True)
                trace[name] = np.concatenate([rows[:, at:at + stretch.nodes] for at, stretch in parts], axis=1)
        for name in ("s", "m"):
            if name in trace:
                trace[name] = (trace[name] != 0).astype(np.uint8)
        if "u" in trace:
            trace["u"] = trace["u"].view(np.float16)
        if sample is not None:
            found = []
            for stretch in program.stretches:
                base, count = stretch.fields.get("errors", 0), program.batch_steps * stretch.nodes
                words = self.bus.read(MEMORY, base, count) if base else np.zeros(count, np.uint16)
                found.append(words.reshape(stretch.nodes, -1)[:, sample * steps:(sample + 1) * steps].T)
            trace["d"] = np.ascontiguousarray(np.concatenate(found, axis=1)).view(np.float16)
        return trace

    def accumulate(self, spikes: np.ndarray, *, targets: np.ndarray | None = None, error: Callable | None = None,
                   registers: dict[str, int], keep: Callable | None = None) -> tuple[np.ndarray, bool]:
        """Forward and backward of a batch: readouts, and whether a rounding saturated.

        `error(readouts, index)` gives float16 (nodes read,), or (T, nodes read), loss scale included. `keep(index)` is
        called after each sample. Where the chip trains nothing, for prototypes are the host's, it goes forward alone.
        """
        chip, program, results = self.program.chip, self.program, []
        self.write_registers(registers)
        for index, sample in enumerate(spikes):
            clear = Run.CLEAR if index == 0 else 0
            self.load_sample(sample)
            if error is None:
                assert targets is not None
                self.bus.write(MEMORY, chip.targets_at, half(targets[index], "targets").view(np.uint16))
                self._write_given(per_step=False)
                self.bus.run(clear | Run.FORWARD | Run.LOSS | Run.BACKWARD, index * program.steps)
                results.append(self._readout(self._queue()))
            else:
                self.bus.run(clear | Run.FORWARD, index * program.steps)
                results.append(self._readout(self._queue()))
                given = half(error(results[-1], index), "errors")
                if program.trained:
                    self._write_given(per_step=given.ndim == 2)
                    self.bus.write(MEMORY, program.given, given.reshape(-1).view(np.uint16))
                    self.bus.run(Run.BACKWARD, index * program.steps)
            if keep:
                keep(index)
        self.count()
        return np.array(results, np.int64).reshape(len(spikes), program.classes), self.overflow()

    def _write_given(self, *, per_step: bool):
        at, words = self.program.given_words(per_step=per_step)
        self.bus.write(MEMORY, at, words)

    def update(self, registers: dict[str, int]) -> bool:
        """Applies the batch; whether a rounding saturated."""
        if self.program.trained:
            self.write_registers(registers)
            self.bus.run(Run.UPDATE, 0)
            self.count()
        return self.overflow()

    def overflow(self) -> bool:
        """Whether a rounding saturated since it was last asked."""
        at = offsets(REGISTERS)["overflow"]
        found = bool(self.bus.read(Space.REGISTERS, at, 1)[0])
        if found:
            self.bus.write(Space.REGISTERS, at, np.zeros(1, np.uint16))
        return found

    def count(self):
        """Adds what the 32-bit counters gained; they wrap."""
        halves = self.bus.read(Space.COUNTERS, 0, 2 * len(COUNTERS)).astype(np.int64)
        now = halves[0::2] | halves[1::2] << 16
        self.totals += (now - self._seen) % (1 << 32)
        self._seen = now

    def counters(self) -> dict[str, dict[str, int]]:
        """Cycles by engine since the program was loaded, as `Device.counters`."""
        table: dict[str, dict[str, int]] = {}
        for name, value in zip(COUNTERS, self.totals.tolist(), strict=True):
            engine, _, kind = name.partition(".")
            table.setdefault(engine, {})[kind or "cycles"] = value
        for engine in ENGINES:
            table[engine]["dense"] = table[engine]["busy"] + table[engine]["skipped"]
        return table
