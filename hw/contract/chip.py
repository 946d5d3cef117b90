"""Synthesis capacity of a chip, as plain data that gateware and driver both derive from."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

CONTRACT_VERSION = 3
ARITHMETIC_VERSION = 1
MAP_BITS = 32  # width of every bitmap word (spikes, masks, histories)
MAX_NODES = 20  # cores of a mesh: their mask, a length and a kind fill the 32 bits of a header


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True, kw_only=True)
class ChipConfig:
    """What synthesis fixes: lanes and memory depths. Everything about a network is a program.

    Depths are counted in rows of the memory concerned. A *beat* is a row of `units` neighbouring
    neurons; a *group* is `lanes` neighbouring neurons; a layer of n neurons has ceil(n / lanes)
    groups of lanes / units beats each.

    Raises
    ------
    ValueError
        If a field is out of range; the message names the field, its value and the bound.
    """

    lanes: int = 8              # synapses an engine adds per cycle; power of two
    units: int = 2              # neurons a neuron unit finishes per cycle; power of two, <= lanes
    shared: bool = False        # the three engines use one set of lanes in turn
    slots: int = 2              # samples on the chip at once: with 2, one runs forward while another runs backward
    training: bool = True       # False builds the forward engine alone, without training state
    layers: int = 4             # layer descriptors
    events: int = 256           # entries of an event list: the widest layer's inputs and its bias
    synapses: int = 4096        # rows of `lanes` binary16 words: weights, remainders, momenta
    parameters: int = 128       # beats of (decay, threshold)
    neurons: int = 128          # beats of neuron state over all layers
    spike_rows: int = 256       # groups x steps of spikes of one sample, inputs included
    mask_rows: int = 256        # groups x steps of surrogate masks of one sample (training)
    membrane_rows: int = 1024   # beats x steps of kept membranes of one sample; 0 = none (training)
    error_rows: int = 4096      # groups x batch x steps of errors of a batch (training)
    history_words: int = 2048   # words of the batch's spikes, by neuron (training)
    active_words: int = 256     # words of the batch's groups with errors, by group (training)
    wide_rows: int = 0          # rows of `lanes` exact sums: the gradient runs; 0 = it is formed at the batch's end
    readouts: int = 16          # beats of readout accumulators and targets
    error_inputs: int = 64      # beats of errors on the last layer, one sample (training)
    sum_bits: int = 52          # exact accumulator for sums of binary16
    product_bits: int = 92      # exact accumulator for sums of products
    mesh_width: int = 1         # cores side by side; with more than one core layers are cut over a mesh
    mesh_height: int = 1        # rows of cores
    remote_rows: int = 0        # groups x steps of errors of one sample that come over the mesh (training)
    routes: int = 0             # groups of inputs whose weights are mirrored at another core (training)
    outbox: int = 64            # rows that may wait for the mesh: the widest cut of a layer in groups; power of two
    step_slots: int = 8         # steps of a sample whose rows from the mesh are counted; power of two
    link_counters: bool = True  # a mesh counts what goes over each link, for space LINKS

    def __post_init__(self):
        for name in ("lanes", "units"):
            if not _power_of_two(getattr(self, name)) or getattr(self, name) > 32:
                raise ValueError(f"{name} must be a power of two from 1 to 32, not {getattr(self, name)!r}")
        if self.units > self.lanes:
            raise ValueError(f"units must be at most lanes ({self.lanes}), not {self.units!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type is int and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ValueError(f"{field.name} must be a whole number of at least 0, not {value!r}")
        if self.wide_rows and (self.shared or not self.training):
            raise ValueError("wide_rows must be 0 on a chip whose engines share their lanes or that does not train, "
                             f"not {self.wide_rows!r}")
        if self.mesh_width < 1 or self.mesh_height < 1 or self.nodes > MAX_NODES:
            raise ValueError(f"mesh_width x mesh_height must be from 1 to {MAX_NODES} cores, not "
                             f"{self.mesh_width!r} x {self.mesh_height!r}")
        if self.nodes > 1:
            if self.shared or self.wide_rows:
                raise ValueError("a mesh needs engines side by side and the gradient at the batch's end: shared must "
                                 f"be False and wide_rows 0, not {self.shared!r} and {self.wide_rows!r}")
            if self.lanes > 16 or self.layers > 16:
                raise ValueError(f"a mesh takes at most 16 lanes and 16 layers, not {self.lanes!r} and {self.layers!r}")
            for name, least, most in (("outbox", 8, 4096), ("step_slots", 2, 256)):
                value = getattr(self, name)
                if not _power_of_two(value) or not least <= value <= most:
                    raise ValueError(f"{name} must be a power of two from {least} to {most}, not {value!r}")
        if self.slots not in (1, 2):
            raise ValueError(f"slots must be 1 or 2, not {self.slots!r}")
        # A readout has 64 bits of its memory; the accumulators themselves end at 128.
        for name, least, most in (("sum_bits", 43, 64), ("product_bits", 83, 128)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be from {least} to {most}, not {getattr(self, name)!r}")

    @property
    def sequenced(self) -> bool:
        """Built as the sequenced core, which takes everything in turn."""
        return self.shared and self.lanes == 1

    @property
    def nodes(self) -> int:
        """Cores of the mesh; 1 is a core alone, without a network."""
        return self.mesh_width * self.mesh_height

    @property
    def row_bits(self) -> int:
        """Bits of a row of inputs on the line: below 16 the host packs several into a word."""
        return min(16, self.lanes)

    @property
    def beats(self) -> int:
        """Beats per group."""
        return self.lanes // self.units

    @property
    def max_terms(self) -> int:
        """Terms of greatest magnitude (65504) that an exact sum is certain to hold."""
        return min(2 ** (self.sum_bits - 1 - 40), 2 ** (self.product_bits - 1 - 80)) - 1

    def replace(self, **changes) -> "ChipConfig":
        return replace(self, **changes)

    def words(self) -> list[int]:
        """The configuration as 32-bit words in field order, as the chip's identity states it."""
        return [int(value) for value in asdict(self).values()]

    @classmethod
    def from_words(cls, words: list[int]) -> "ChipConfig":
        values: dict[str, Any] = {f.name: bool(w) if f.type is bool else int(w)
                                  for f, w in zip(fields(cls), words, strict=True)}
        return cls(**values)
