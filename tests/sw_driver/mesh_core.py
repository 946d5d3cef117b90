"""One core of a mesh in plain integers: its memories as the host sees them, and what an item does to them.

Written from hw/contract alone. Memories start as random words, and whatever would read outside of one fails.
"""

import numpy as np

from autapse.hw.contract.chip import MAP_BITS, ChipConfig
from autapse.hw.contract.geometry import SLOTTED, geometry
from autapse.hw.contract.program import COUNTERS, LAYER_FIELDS, LAYER_ROW, REGISTERS, Space, length, words_of
from autapse.hw.numeric.binary16 import decode, encode


def row_words(space: Space, width: int, lanes: int) -> int:
    return lanes if space in (Space.SYNAPSES, Space.ERRORS, Space.REMOTE) else -(-width // 16)


def unpack(fields, words) -> dict[str, int]:
    values, at = {}, 0
    for name, bits, signed in fields:
        value = sum(int(words[at + k]) << 16 * k for k in range(words_of(bits)))
        assert value < 1 << 16 * words_of(bits)
        value &= (1 << bits) - 1
        values[name] = value - (1 << bits) if signed and value >> bits - 1 else value
        at += words_of(bits)
    return values


class Core:
    """Memories, registers and the state of the neurons; `overflow` is the sticky register."""

    def __init__(self, config: ChipConfig, rng):
        self.config, self.lanes, self.units = config, config.lanes, config.units
        self.memories, self.row = {}, {}
        for space, (width, rows) in geometry(config).items():
            self.row[space] = row_words(space, width, config.lanes)
            self.memories[space] = rng.integers(0, 1 << 16, rows * self.row[space], dtype=np.uint16)
        self.memories[Space.REGISTERS] = np.zeros(length(REGISTERS), np.uint16)
        self.memories[Space.COUNTERS] = np.zeros(2 * len(COUNTERS), np.uint16)
        self.state = {}         # (beat, unit) of the neuron state -> membrane, or later error
        self.arrived = {}       # (kind, layer, step) -> rows
        self.mirrored = 0       # rows of weights that came
        self.visits = 0
        self.slot = 0

    # Words

    def read(self, space: Space, row: int) -> list[int]:
        """The words of a row of the slot at work."""
        at = self._at(space, row)
        return [int(word) for word in self.memories[space][at:at + self.row[space]]]

    def write(self, space: Space, row: int, words) -> None:
        at = self._at(space, row)
        assert len(words) == self.row[space]
        self.memories[space][at:at + self.row[space]] = words

    def _at(self, space: Space, row: int) -> int:
        rows = len(self.memories[space]) // self.row[space]
        if space in SLOTTED:
            rows //= self.config.slots
            assert 0 <= row < rows, f"row {row} of {space.name} is outside of its slot's {rows}"
            row += self.slot * rows
        assert 0 <= row < rows * (self.config.slots if space in SLOTTED else 1), f"{space.name} has no row {row}"
        return row * self.row[space]

    @property
    def registers(self) -> dict[str, int]:
        return unpack(REGISTERS, self.memories[Space.REGISTERS])

    def layer(self, index: int) -> dict[str, int]:
        return unpack(LAYER_FIELDS, self.memories[Space.LAYERS][index * LAYER_ROW:])

    def has(self, index: int) -> bool:
        return bool(self.registers["present"] >> index & 1)

    def rnd(self, value: int, fraction: int) -> int:
        """value 2^-fraction as a word; the sticky register tells if it saturated."""
        word, overflow = encode(value, fraction=fraction)
        if overflow:
            self.memories[Space.REGISTERS][-1] = 1
        return word

    def mul(self, a: int, b: int, log: int = 0) -> int:
        product = decode(a) * decode(b)
        return self.rnd(product << max(log, 0), 48 + max(-log, 0))

    def constants(self, layer, neuron: int) -> tuple[int, int]:
        beat, unit = divmod(neuron, self.units)
        row = self.read(Space.PARAMETERS, layer["parameters"] + (beat if layer["per_neuron"] else 0))
        return row[2 * unit], row[2 * unit + 1]

    def _synapse(self, row: int, place: int) -> int:
        """The word of a row in bank `place` mod lanes."""
        return self.read(Space.SYNAPSES, row)[place % self.lanes]

    def _held(self, layer, neuron: int) -> tuple[int, int]:
        beat, unit = divmod(neuron, self.units)
        assert layer["state"] + beat < self.config.neurons
        return layer["state"] + beat, unit

    def spikes(self, layer, step: int) -> list[int]:
        """Inputs of a layer that spike."""
        steps, found = self.registers["steps"], []
        for group in range(layer["input_groups"]):
            row = self.read(Space.SPIKES, layer["spikes_in"] + group * steps + step)[0]
            found += [group * self.lanes + lane for lane in range(self.lanes) if row >> lane & 1]
        assert all(source < layer["inputs"] for source in found), "an input beyond the layer's spikes"
        return found

    # Items

    def forward(self, index: int, step: int) -> list[int]:
        """Neurons of a cut at a step; its rows of spikes, group by group."""
        layer, registers = self.layer(index), self.registers
        steps, units = registers["steps"], self.units
        events = self.spikes(layer, step) + [layer["inputs"]] * layer["bias"]
        assert len(events) <= self.config.events
        spikes, masks = [0] * layer["groups"], [0] * layer["groups"]
        self.visits += len(events) * layer["groups"]
        for neuron in range(layer["outputs"]):
            group, lane = divmod(neuron, self.lanes)
            beat, unit = divmod(neuron, units)
            base = layer["weights"] + group * layer["row_step"]
            total = sum(decode(self._synapse(base + source, source + lane)) for source in events)
            decay, threshold = self.constants(layer, neuron)
            held = self._held(layer, neuron)
            if step:
                total += decode(self.mul(decay, self.state[held]))
            u = self.rnd(total, 24)
            after, theta, counted = u, decode(threshold), decode(u)
            if layer["spiking"]:
                fired = decode(u) > theta if layer["strict"] else decode(u) >= theta
                spikes[group] |= fired << lane
                near = abs(decode(u) - theta) << 1 < 1 << 25 + layer["half_width_log"]
                masks[group] |= near << lane
                counted = fired << 24
                if fired and step < steps - 1:
                    after = self.rnd(decode(u) - theta, 24) if layer["soft"] else 0
            self.state[held] = after
            if layer["keep_membrane"]:
                self._put(Space.MEMBRANES, layer["membranes"] + beat * steps + step, unit, u)
            if index == registers["layers"] - 1:
                self._count(beat, unit, counted, first=step == 0)
        for group in range(layer["groups"]):
            self.write(Space.SPIKES, layer["spikes_out"] + group * steps + step, [spikes[group]])
            if self.config.training:
                self.write(Space.MASKS, layer["masks"] + group * steps + step, [masks[group]])
        return spikes

    def _put(self, space: Space, row: int, place: int, word: int) -> None:
        words = self.read(space, row)
        words[place] = word
        self.write(space, row, words)

    def _count(self, beat: int, unit: int, value: int, *, first: bool) -> None:
        words = np.array(self.read(Space.READOUTS, beat), np.uint16).view("<i8")
        words[unit] = value + (0 if first else int(words[unit]))
        self.write(Space.READOUTS, beat, words.view(np.uint16))

    def loss(self) -> None:
        """Errors of this core's classes."""
        registers = self.registers
        for neuron in range(registers["classes"]):
            beat, unit = divmod(neuron, self.units)
            y = int(np.array(self.read(Space.READOUTS, beat), np.uint16).view("<i8")[unit])
            target = decode(self.read(Space.TARGETS, beat)[unit])
            rest = self.rnd(y * decode(registers["inverse_steps"]) - (target << 24), 48)
            self._put(Space.ERROR_INPUTS, beat, unit, self.mul(registers["error_gain"], rest))

    def backward(self, index: int, step: int, *, first: int) -> list[list[int]]:
        """Errors of a cut's neurons at a step of the sample that starts at `first`; its rows, group by group."""
        layer, registers = self.layer(index), self.registers
        steps, last = registers["steps"], index == registers["layers"] - 1
        rows = [[0] * self.lanes for _ in range(layer["groups"])]
        behind = [] if last else self._errors_behind(layer, step)
        for neuron in range(layer["outputs"]):
            group, lane = divmod(neuron, self.lanes)
            beat, unit = divmod(neuron, self.units)
            fired, near = (self.read(space, layer[name] + group * steps + step)[0] >> lane & 1
                           for space, name in ((Space.SPIKES, "spikes_out"), (Space.MASKS, "masks")))
            if last:
                g = self.read(Space.ERROR_INPUTS, beat)[unit]
            elif near:
                g = self.rnd(sum(decode(self._synapse(
                    layer["next_weights"] + target // self.lanes * layer["next_row_step"] + neuron, neuron + target))
                    * error for target, error in behind), 48)
            decay, threshold = self.constants(layer, neuron)
            held = self._held(layer, neuron)
            later = self.state[held] if step < steps - 1 else 0
            leak = decode(self.mul(decay, later))
            total = 0
            if not layer["spiking"]:
                total = decode(g) + leak << 24
            else:
                if near:
                    if not layer["detach"]:
                        gate = threshold if layer["soft"] else self.read(
                            Space.MEMBRANES, layer["membranes"] + beat * steps + step)[unit]
                        product = decode(self.mul(decay, gate)) * decode(later)
                        g = self.rnd((decode(g) << 24) - product, 48)
                    total = decode(g) << 24 + layer["height_log"]
                if layer["soft"] or not fired:
                    total += leak << 24
            self.state[held] = rows[group][lane] = self.rnd(total, 48)
        for group, row in enumerate(rows):
            self.write(Space.ERRORS, layer["errors"] + group * registers["batch_steps"] + first + step, row)
            self._mark(Space.ACTIVE, layer["active"] + (group << registers["history_log"]), first + step, any(row))
        spiking = self.spikes(layer, step)
        for source in range(layer["inputs"]):
            self._mark(Space.HISTORY, layer["history"] + (source << registers["history_log"]), first + step,
                       source in spiking)
        return rows

    def _errors_behind(self, layer, step: int) -> list[tuple[int, int]]:
        """(neuron, error) of the next layer, from the rows that came."""
        found = []
        for group in range(layer["next_groups"]):
            row = self.read(Space.REMOTE, layer["next_errors"] + group * self.registers["steps"] + step)
            found += [(group * self.lanes + lane, decode(word)) for lane, word in enumerate(row) if word]
        assert all(target < layer["next_outputs"] for target, _ in found), "an error of a neuron beyond the layer"
        return found

    def _mark(self, space: Space, row: int, step: int, value: bool) -> None:
        at = self._at(space, row + step // MAP_BITS) + step % MAP_BITS // 16
        bit = 1 << step % 16
        word = int(self.memories[space][at])
        self.memories[space][at] = word & ~bit | bit * value

    def _marked(self, space: Space, row: int) -> list[int]:
        """Steps of the batch that are marked in a row of history."""
        found = []
        for step in range(self.registers["used_steps"]):
            words = self.read(space, row + step // MAP_BITS)
            if words[step % MAP_BITS // 16] >> step % 16 & 1:
                found.append(step)
        return found

    def update(self, index: int):
        """New weights of a cut; gives (input, group, row) of each that is mirrored."""
        layer, registers = self.layer(index), self.registers
        log = registers["history_log"]
        for source in range(layer["inputs"] + layer["bias"]):
            steps = self._marked(Space.HISTORY, layer["history"] + (source << log)) if source < layer["inputs"] \
                else range(registers["used_steps"])
            for group in range(layer["groups"]):
                active = self._marked(Space.ACTIVE, layer["active"] + (group << log))
                errors = [self.read(Space.ERRORS, layer["errors"] + group * registers["batch_steps"] + step)
                          for step in steps if step in active]
                at = group * layer["row_step"] + source
                rows = {name: self.read(Space.SYNAPSES, layer[name] + at)
                        for name in ("weights", "remainders", *(["momenta"] if registers["use_momentum"] else []))}
                for lane in range(self.lanes):
                    bank = (source + lane) % self.lanes
                    words = [rows[name][bank] for name in rows]
                    for name, word in zip(rows, self._optimised(
                            sum(decode(row[lane]) for row in errors), *words, registers), strict=False):
                        rows[name][bank] = word
                for name, row in rows.items():
                    self.write(Space.SYNAPSES, layer[name] + at, row)
                if layer["mirrored"] and source < layer["inputs"]:
                    yield source, group, rows["weights"]

    def _optimised(self, total: int, weight: int, remainder: int, *rest) -> tuple[int, int, int]:
        *momentum, registers = rest
        share = self.mul(registers["inverse_batch"], self.rnd(total, 24), registers["gradient_log"])
        kept = self.mul(registers["momentum"], momentum[0]) if momentum else 0
        m = self.rnd(decode(kept) + decode(share), 24)
        p = self.mul(registers["rate"], m, registers["step_log"])
        x = (decode(weight) << 10) + decode(remainder) - decode(p)
        new = self.rnd(x, 34)
        return new, self.rnd(x - (decode(new) << 10), 24), m
