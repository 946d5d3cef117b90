"""A batch at random for the running gradient: layers, spikes, errors, and what must become of them."""

import random

from autapse.hw.contract.program import LAYER_FIELDS, offsets, pack
from autapse.hw.engine.schedule import Item

__all__ = ["DENSE", "MIXED", "Batch", "Tables", "exact"]

# (inputs, bias, groups of outputs) of each layer.
MIXED = ((13, 1, 2), (3, 0, 3), (1, 0, 1), (6, 1, 2))
DENSE = ((13, 1, 3), (12, 1, 3))
SCAN = 11   # cycles of a scan besides its rows or spikes, from one item to the next


def exact(word: int) -> int:
    """A finite binary16 word in units of 2^-24, from its definition."""
    exponent, fraction = word >> 10 & 31, word & 1023
    magnitude = (fraction | 1024) << exponent - 1 if exponent else fraction
    return -magnitude if word >> 15 else magnitude


class Batch:
    """Some samples: their items in order, rows in memory, adds item by item, and the sums of the batch.

    `spiking` and `erring` are the chances of an input to spike and of a group to have an error at a step; a step
    of a layer is silent altogether, in spikes or in errors, in `silent` of all cases.
    """

    def __init__(self, rng: random.Random, config, *, layers=MIXED, samples: int, spiking: float, erring: float,
                 silent: float = 0.0, in_order: bool = True):
        self._rng, self._lanes = rng, config.lanes
        self._spiking, self._erring, self._silent = spiking, erring, silent
        self.steps = rng.randint(3, 5 if config.lanes > 1 else 3)
        self.samples, self.batch_steps = samples, self.steps * samples + rng.randrange(2)
        self.layers, self.errors, self.spikes = self._layout(layers), {}, [{} for _ in range(samples)]
        self.items, self.adds, self.dense = [], [], 0      # of each sample; of each item of each sample
        self.bound = 0   # cycles by the engine's own account: for each item its visits, or what finding them takes
        self.sums: dict[int, list[int]] = {}
        for sample in range(samples):
            self.items.append(self._items(in_order))
            self.adds.append([self._adds(sample, item) for item in self.items[-1]])

    def _layout(self, layers):
        """Descriptors: rows of weights, spikes and errors one layer behind the other, everything else at random."""
        rng, lanes, table = self._rng, self._lanes, []
        weights, spikes, errors = rng.randrange(40), rng.randrange(9), rng.randrange(9)
        for inputs, bias, groups in layers:
            row_step = -(-(inputs + bias) // lanes) * lanes
            layer = {name: rng.getrandbits(bits) - ((1 << bits - 1) if signed else 0)
                     for name, bits, signed in LAYER_FIELDS}
            table.append(layer | {
                "inputs": inputs, "bias": bias, "input_groups": -(-inputs // lanes), "groups": groups,
                "row_step": row_step, "weights": weights, "spikes_in": spikes, "errors": errors})
            weights += groups * row_step
            spikes += -(-inputs // lanes) * self.steps
            errors += groups * self.batch_steps
        return table

    def _items(self, in_order: bool):
        """The backward wavefront of a sample, with the places in it where there is no work; or all steps, mixed."""
        count, last = len(self.layers), self.steps - 1
        places = [(number, last - (slot - (count - 1 - number))) for slot in range(self.steps + count - 1)
                  for number in reversed(range(count))]
        if not in_order:
            self._rng.shuffle(places)
        return [Item.const({"layer": number, "step": max(step, 0), "active": int(0 <= step <= last),
                            "final": int(at == len(places) - 1)}) for at, (number, step) in enumerate(places)]

    def _word(self) -> int:
        rng = self._rng
        return rng.choice((0, 0, rng.getrandbits(16) & 0xFBFF, rng.getrandbits(16) & 0x83FF, 0x7BFF))

    def _adds(self, sample: int, item):
        """Fills the memories for one item; (row, errors) of each visit in order."""
        if not item.active:
            self.bound += 1
            return []
        rng, layer, lanes, step = self._rng, self.layers[int(item.layer)], self._lanes, int(item.step)
        quiet, calm = rng.random() < self._silent, rng.random() < self._silent
        fired = [at for at in range(layer["inputs"]) if not quiet and rng.random() < self._spiking]
        for row in range(layer["input_groups"]):
            self.spikes[sample][layer["spikes_in"] + row * self.steps + step] = sum(
                1 << at - row * lanes for at in fired if at // lanes == row)
        events = fired + [layer["inputs"]] * layer["bias"]
        adds, some = [], False
        for group in range(layer["groups"]):
            words = [0] * lanes
            if not calm and rng.random() < self._erring:
                words = [self._word() for _ in range(lanes)]
                words[rng.randrange(lanes)] = 1 + rng.getrandbits(9)
            packed = sum(word << 16 * k for k, word in enumerate(words))
            self.errors[layer["errors"] + group * self.batch_steps + sample * self.steps + step] = packed
            some = some or packed > 0
            for event in events if packed else ():
                row = layer["weights"] + group * layer["row_step"] + event
                adds.append((row, packed))
                self.sums[row] = [a + exact(word) for a, word in zip(self.sums.get(row, [0] * lanes), words,
                                                                     strict=True)]
        look = layer["groups"] + 2
        scan = max(layer["input_groups"], len(events)) + SCAN if some else 0
        self.bound += max(len(adds), look, scan)
        self.dense += (layer["inputs"] + layer["bias"]) * layer["groups"]
        return adds

    def rows(self):
        """(layer, row in it, row in memory) of all synapses, in the order of the harvest."""
        return [(number, group * layer["row_step"] + source, layer["weights"] + group * layer["row_step"] + source)
                for number, layer in enumerate(self.layers) for group in range(layer["groups"])
                for source in range(layer["inputs"] + layer["bias"])]


class Tables:
    """Writes the descriptors as the host does, one word per cycle."""

    def __init__(self, ports, layers):
        self._ports = ports
        words = [(number, at, word) for number, layer in enumerate(layers)
                 for at, word in enumerate(pack(LAYER_FIELDS, layer))]
        assert len(words) >= offsets(LAYER_FIELDS)["next_errors"]
        self._words = words

    @property
    def done(self) -> bool:
        return not self._words

    def drive(self, cycle: int):
        self._ports.put("layers__enable", bool(self._words))
        for name, value in zip(("layer", "word", "data"), self._words.pop(0) if self._words else (0, 0, 0),
                               strict=True):
            self._ports.put(f"layers__{name}", value)

    def observe(self, cycle: int):
        pass
