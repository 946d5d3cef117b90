"""An autapse network on an autapse core: where all words lie."""

import math
from collections.abc import Sequence

import numpy as np

from ...hw.autapse.registers import Flag
from ...hw.contract.autapse import AutapseSpec
from ...hw.contract.autapse_chip import HEADER, MOST_CODE_WORDS, SEGMENT_FIELDS, SEGMENT_WORDS, AutapseChip
from ..errors import Misfit
from .autapse_stretches import (
    Stretch,
    Tail,
    check_room,
    check_training,
    edge_indices,
    longest_delay,
    longest_list,
    side_by_side,
    stretches_of,
)
from .program import word

__all__ = ["ONE", "AutapseProgram", "Tail"]

ONE = 0x3C00
MAP_BITS = 32


class AutapseProgram:
    """Everything of a network that the host writes: `image` for the memory, and where state, samples and results lie.

    Parameters
    ----------
    spec, tail : the network
    steps : sweeps per sample
    batch : samples of a batch that trains; 0 for inference alone
    chip : what there is

    Raises
    ------
    Misfit
        If it does not fit, with what was asked, what there is and what to change.
    """

    def __init__(self, spec: AutapseSpec, *, steps: int, chip: AutapseChip, batch: int = 0, tail: Tail | None = None):
        self.spec, self.steps, self.chip, self.batch, self.tail = spec, steps, chip, batch, tail
        self.stretches = stretches_of(spec, tail)
        self.classes = tail.classes if tail else spec.classes
        self._image: dict[int, int] = {}
        check_room(spec, self.stretches, chip, classes=self.classes, tail=tail)
        if batch:
            check_training(spec, self.stretches, chip)
        self._lay_out()

    # Layout

    def _lay_out(self):
        spec, chip, units, steps = self.spec, self.chip, self.chip.units, self.steps
        self._next = chip.errors_at
        self.trained = self._trained()
        learning = self.stretches[len(self.stretches) - self.trained:]
        self.given = self._take(self.read_nodes * steps if learning else self.classes, 1)
        self._ones = self._take(1)
        self._image[self._ones] = 0xFFFF
        self.inputs_at = self._take(spec.inputs * steps)
        beside = side_by_side(spec, self.stretches, units)
        self.padded: list[int] = []
        width = 0
        for stretch, together in zip(self.stretches, beside, strict=True):
            row = units if together else 1
            self.padded.append(-(-width // row) * row)
            width = self.padded[-1] + -(-stretch.nodes // row) * row
        self.width = -(-width // units) * units
        self.spikes_at = self._take(self.width * steps)
        self.membranes_at = self._take(self.width * steps) if self.batch or self.tail else 0
        self.masks_at = self._take(self.width * steps) if learning else 0
        for index, stretch in enumerate(self.stretches):
            self._place(index, stretch, learns=index >= len(self.stretches) - self.trained, beside=beside[index])
        self._histories(learning)
        self.code_words = -(-spec.code_bits(steps) // 16) if spec.readout == "prototype" else 0
        if self.code_words > chip.code_words:
            raise Misfit(f"prototypes of {self.code_words} words are longer than the chip's {chip.code_words}; take a "
                         f"chip with code_words={self.code_words}")
        self.prototypes_at = self._take(self.code_words * spec.classes)
        if self._next > chip.words:
            raise Misfit(f"this autapse network asks for {self._next} words of memory, the chip has {chip.words}; take "
                         "a smaller network, shorter samples or smaller batches")
        self._write_fields()

    def _trained(self) -> int:
        """Stretches, from the last one back, whose weights the chip trains; prototypes are the host's."""
        if not self.batch:
            return 0
        return len(self.stretches) if self.spec.trainable else int(self.tail is not None)

    def _histories(self, learning: Sequence[Stretch]):
        """A batch's spikes, those that are active among them, and errors, of the stretches that learn."""
        self.batch_steps = batch_steps = self.batch * self.steps
        self.history_log = max(-(-batch_steps // MAP_BITS) - 1, 0).bit_length()
        row, first = 2 << self.history_log, self._next
        for stretch in learning:
            stretch.fields["history"] = self._take(row * stretch.fields["inputs"])
            stretch.fields["active"] = self._take(row * stretch.nodes)
            stretch.fields["active_end"] = stretch.fields["active"] + row * stretch.nodes
        self._cleared = first, self._next - first
        for stretch in learning:
            stretch.fields["errors"] = self._take(batch_steps * stretch.nodes + 1)
            stretch.fields["errors_end"] = stretch.fields["errors"] + batch_steps * stretch.nodes

    def _write_fields(self):
        """The header, and a row of fields per segment."""
        spec, chip, (histories, count) = self.spec, self.chip, self._cleared
        for name, value in {
                "inputs_step": spec.inputs, "nodes_step": self.width, "trained": self.trained, "ones": self._ones,
                "histories": histories, "history_words": count, "read": int(spec.readout != "prototype"),
                "prototypes": self.prototypes_at, "code_words": self.code_words}.items():
            self._image[HEADER.index(name)] = value & 0xFFFF
        for index, stretch in enumerate(self.stretches):
            at = chip.segments_at + SEGMENT_WORDS * index
            for place, name in enumerate(SEGMENT_FIELDS):
                self._image[at + place] = stretch.fields.get(name, 0) & 0xFFFF

    @property
    def read_nodes(self) -> int:
        """Errors that are given per sweep."""
        return self.tail.classes if self.tail else self.spec.read_nodes

    def given_words(self, *, per_step: bool) -> tuple[int, np.ndarray]:
        """Where the header's fields about given errors lie, and their words."""
        step = self.read_nodes if per_step else 0
        return HEADER.index("given_last"), np.array([step * (self.steps - 1), step], np.uint16)

    def _take(self, count: int, align: int | None = None) -> int:
        align = align or self.chip.units
        at = -(-self._next // align) * align
        self._next = at + count
        return at

    def _place(self, index: int, stretch: Stretch, *, learns: bool, beside: bool):
        spec, units, tail = self.spec, self.chip.units, self.tail
        n, padded = stretch.nodes, -(-stretch.nodes // units) * units
        takes_inputs = not stretch.tail and stretch.first < spec.input_nodes
        listed = takes_inputs and spec.input == "dense"
        bias = tail.bias if stretch.tail and tail else spec.bias
        sources = spec.inputs if listed else stretch.dense[1] - stretch.dense[0] if stretch.dense else 0
        rows = sources + bias
        weights = self._take(rows * padded)
        copies = 1 + 2 * bool(learns and self.batch)
        remainders, momenta = (self._take(rows * padded) if copies > 1 else 0 for _ in range(2))
        offset = self.padded[index]
        spiking = not stretch.tail
        f = stretch.fields
        f |= {"outputs": n, "inputs": sources, "from_inputs": int(listed), "row_step": padded, "weights": weights,
              "bias_at": weights + sources * padded, "remainders": remainders, "momenta": momenta, "bias": int(bias),
              "spikes_out": self.spikes_at + offset, "membranes": self.membranes_at + offset,
              "masks": self.masks_at + offset, "spiking": int(spiking), "soft": int(spec.reset == "soft"),
              "detach": int(spec.detach), "threshold": word(spec.threshold), "half_width": word(spec.half_width),
              "height": 24 - int(math.log2(spec.half_width)) - 1,
              "decay": word(spec.leak if spiking else tail.decay if tail else 0)}
        f["spikes_in"] = self.inputs_at if listed else self._spikes_of(stretch.dense[0]) if stretch.dense else 0
        flags = (Flag.BIAS * bias | Flag.LIST * (sources > 0) | Flag.DELAYS * bool(stretch.delays)
                 | Flag.SPIKING * spiking | Flag.SOFT * (spec.reset == "soft") | Flag.STRICT * spec.strict
                 | Flag.MEMBRANES * bool(self.membranes_at and (self.batch or stretch.tail))
                 | Flag.MASKS * bool(self.masks_at and learns)
                 | Flag.CODE * (spec.readout == "prototype" and stretch.first >= spec.read_from and not stretch.tail))
        flags |= Flag.BESIDE * beside
        if takes_inputs and spec.input == "pixel":
            flags |= Flag.STATE
            f["state"] = self.inputs_at + stretch.first
        self._words(stretch, sources, listed, bias, padded)
        if stretch.delays:
            self._delays(stretch)
            flags |= Flag.BORDER * bool(f["border"])
        first, later = flags, flags
        if index == 0:
            first |= Flag.BEGIN | Flag.CLEAR | Flag.FRESH
            later |= Flag.BEGIN * (not spec.carry) | Flag.CLEAR * (not spec.recurrent)
        if stretch.tail:
            f["state"] = self._take(padded)
            later |= Flag.STATE
        final = Flag.LAST * (stretch.last == spec.nodes and not stretch.tail)
        first, later = (value | final * (not spec.carry) for value in (first, later))
        f["flags_later"], f["flags_last"] = later, later | final
        f["flags_first"] = first | final * (self.steps == 1)
        groups = -(-n // units) if beside else n
        dense = groups * (sources + bias) + sum(len(pairs) for pairs in (
            () if stretch.tail or stretch.dense else spec.edges[stretch.first:stretch.last]))
        f["dense_0"], f["dense_1"] = dense & 0xFFFF, dense >> 16

    def _spikes_of(self, node: int) -> int:
        """Where the spike of a node lies in the first sweep."""
        for index, stretch in enumerate(self.stretches):
            if not stretch.tail and stretch.first <= node < stretch.last:
                return self.spikes_at + self.padded[index] + node - stretch.first
        raise AssertionError("a node is in a stretch")

    def _words(self, stretch: Stretch, sources: int, listed: bool, bias: bool, padded: int):
        """Which state words lie where: of the tail's own state for the tail, else weights, then biases behind them."""
        spec, n, at = self.spec, stretch.nodes, stretch.fields["weights"]
        places = at + padded * np.arange(sources)[:, None] + np.arange(n)[None, :]
        if stretch.tail:
            index = np.arange(sources * n).reshape(sources, n)
        elif listed:
            index = np.arange(spec.inputs)[:, None] * spec.input_nodes + np.arange(stretch.first, stretch.last)[None, :]
        elif stretch.dense:
            index = spec.input_weights + edge_indices(spec, stretch)
        else:
            index = np.zeros((0, n), int)
        if sources:
            stretch.words.append((index, places))
        if bias:
            total = sources * n if stretch.tail else spec.input_weights + spec.weights
            first = 0 if stretch.tail else stretch.first
            stretch.words.append((total + first + np.arange(n), at + sources * padded + np.arange(n)))

    def _delays(self, stretch: Stretch):
        """Words of kept delays, masks where a node lacks some, and the delays' weights."""
        spec, f, n = self.spec, stretch.fields, stretch.nodes
        reach = -(-max(stretch.delays) // 16)
        rank = {delay: place for place, delay in enumerate(stretch.delays)}
        f["reach"], f["kept"] = reach, self._take(reach)
        self._bits(f["kept"], stretch.delays, reach)
        rows = spec.edges[stretch.first:stretch.last]
        whole = all(tuple(delay for delay, _ in pairs) == stretch.delays for pairs in rows)
        f["border"] = 0 if whole else self._take(reach * n)
        if not whole:
            for place, pairs in enumerate(rows):
                self._bits(f["border"] + place * reach, [delay for delay, _ in pairs], reach)
        step = 0 if stretch.shared else len(rank)
        f["edge_step"], f["edges"] = step, self._take(len(rank) * (1 if stretch.shared else n))
        pairs = {(f["edges"] + place * step + rank[delay], spec.input_weights + weight)
                 for place, row in enumerate(rows) for delay, weight in row}
        places, index = zip(*sorted(pairs), strict=True)
        stretch.words.append((np.array(index), np.array(places)))

    def _bits(self, at: int, delays: Sequence[int], words: int):
        for place in range(words):
            self._image[at + place] = sum(1 << delay - 1 - 16 * place for delay in delays if
                                          0 <= delay - 1 - 16 * place < 16)

    # For the device

    def needs(self) -> dict[str, int]:
        """Capacity of the least chip that holds the network, rounded up to powers of two."""
        spec, stretches = self.spec, self.stretches
        needs = {"line": max(longest_delay(spec, stretches), 16), "events": max(longest_list(spec, stretches), 2),
                 "segments": len(stretches), "readouts": self.classes, "words": self._next}
        needs = {name: 1 << (value - 1).bit_length() for name, value in needs.items()}
        code = 1 << (self.code_words - 1).bit_length() if self.code_words else 0
        return needs | {"code_words": max(min(code, MOST_CODE_WORDS), self.code_words)}

    def image(self) -> list[tuple[int, np.ndarray]]:
        """Words of the program by address, in runs."""
        runs: list[tuple[int, list[int]]] = []
        for at in sorted(self._image):
            if runs and runs[-1][0] + len(runs[-1][1]) == at:
                runs[-1][1].append(self._image[at])
            else:
                runs.append((at, [self._image[at]]))
        return [(at, np.array(words, np.uint16)) for at, words in runs]

    def places(self, *, tail: bool) -> tuple[np.ndarray, np.ndarray]:
        """(indices of a state's words: weights and then biases; addresses) of the network or of its tail."""
        parts = [pair for stretch in self.stretches if stretch.tail == tail for pair in stretch.words]
        index, at = (np.concatenate([np.ravel(pair[side]) for pair in parts]) if parts else np.zeros(0, int)
                     for side in (0, 1))
        return index, at

    def learned(self, name: str, *, tail: bool) -> tuple[np.ndarray, np.ndarray]:
        """The same of `remainders` or `momenta`, for what is trained."""
        index, at = [], []
        for stretch in self.stretches:
            if stretch.tail == tail and stretch.fields["remainders"]:
                for pair in stretch.words:
                    index.append(np.ravel(pair[0]))
                    at.append(np.ravel(pair[1]) - stretch.fields["weights"] + stretch.fields[name])
        if not at:
            return np.zeros(0, int), np.zeros(0, int)
        return np.concatenate(index), np.concatenate(at)
