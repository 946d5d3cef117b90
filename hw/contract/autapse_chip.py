"""What synthesis fixes of a chip with an autapse core, and the program it runs, as plain data.

The core's memory is one space of 16-bit words. It begins with a header and what host and chip exchange; a row of fields
per segment follows, and the driver lays out all else.
"""

from dataclasses import asdict, dataclass, fields
from typing import Any

from .chip import ARITHMETIC_VERSION, CONTRACT_VERSION
from .program import Space

MAGIC = 0x45535441      # "ATSE", little endian: the core is an autapse core
MEMORY = Space.SYNAPSES
"""The host's name for the one memory."""

HEADER = (
    "inputs_step",      # words of the inputs from sweep to sweep
    "nodes_step",       # words of the nodes' spikes, masks, membranes from sweep to sweep
    "trained",          # segments, from the last one back, whose weights learn
    "given_last",       # where the last sweep's errors lie among those given
    "given_step",       # from one sweep's to the next one's; 0 where all sweeps have the same
    "ones",             # holds 0xFFFF: the history of a bias
    "histories", "history_words",   # all histories, active ones among them: first word and how many
    "read",             # 0 no readout is summed, 1 that of the last segment
    "prototypes", "code_words",     # where they lie; words of the code of a sample, 0 for none
)
HEADER_WORDS = 16

SEGMENT_FIELDS = (
    "outputs",          # nodes
    "inputs", "spikes_in", "from_inputs",   # what the list of events is made of: the inputs, or nodes before
    "row_step",         # words from one source's weights to the next one's: nodes, padded to the units
    "weights", "bias_at", "remainders", "momenta", "bias",
    "spikes_out", "membranes", "masks",     # of the first node in the first sweep
    "state",            # of a segment that does not spike: mul(decay, u), a word per node
    "flags_first", "flags_later", "flags_last",     # hw/autapse/registers.py Flag, by sweep
    "kept", "border", "edges", "edge_step", "reach",
    "decay", "threshold", "half_width", "height", "spiking", "soft", "detach",
    "history", "errors", "errors_end", "active", "active_end",
    "dense_0", "dense_1",   # visits without sparsity, low word and high
)
SEGMENT_WORDS = 40
assert len(HEADER) <= HEADER_WORDS and len(SEGMENT_FIELDS) <= SEGMENT_WORDS
MOST_CODE_WORDS = 4095    # a distance is a word of 16 bits, and must stay below the greatest


@dataclass(frozen=True, kw_only=True)
class AutapseChip:
    """Synthesis capacity of a chip with an autapse core.

    Raises
    ------
    ValueError
        If a field is out of range; the message names the field, its value and the bound.
    """

    units: int = 1              # neurons side by side; power of two
    words: int = 65536          # of the one memory
    line: int = 256             # taps of the spike delay line: the longest delay; multiple of 16
    events: int = 1024          # entries of the event list: inputs of a segment
    segments: int = 8           # rows of fields: stretches of nodes of one kind
    readouts: int = 32          # classes, or nodes that are read
    code_words: int = 256       # of the longest code that is compared with prototypes; 0: none is
    training: bool = True

    def __post_init__(self):
        for name, least, most in (("units", 1, 64), ("words", 1024, 65536), ("line", 16, 8192), ("events", 2, 8192),
                                  ("segments", 1, 256), ("code_words", 0, MOST_CODE_WORDS), ("readouts", 1, 1024)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise ValueError(f"{name} of an autapse chip must be a whole number from {least} to {most}, not "
                                 f"{value!r}")
        if self.units & (self.units - 1):
            raise ValueError(f"units of an autapse chip must be a power of two, not {self.units!r}")
        if self.words % self.units:
            raise ValueError(f"words of an autapse chip must be a multiple of its {self.units} units, not "
                             f"{self.words!r}")
        if self.line % 16:
            raise ValueError(f"line of an autapse chip must be a multiple of 16 taps, not {self.line!r}")

    @property
    def readouts_at(self) -> int:
        """Exact readouts, four words each, low first."""
        return HEADER_WORDS

    @property
    def targets_at(self) -> int:
        return self.readouts_at + 4 * self.readouts

    @property
    def distances_at(self) -> int:
        """Distances to the prototypes, a word each, and behind them the nearest class."""
        return self.targets_at + self.readouts

    @property
    def segments_at(self) -> int:
        return self.distances_at + self.readouts + 1

    @property
    def errors_at(self) -> int:
        """Errors on the read nodes: a word each, or that for every sweep."""
        return self.segments_at + SEGMENT_WORDS * self.segments

    def identity(self) -> list[int]:
        """What the chip says it is: magic, versions, then each field, 32 bits each."""
        return [MAGIC, CONTRACT_VERSION, ARITHMETIC_VERSION, *(int(value) for value in asdict(self).values())]

    @classmethod
    def from_words(cls, words: list[int]) -> "AutapseChip":
        """From the fields of `identity`."""
        values: dict[str, Any] = {field.name: bool(word) if field.type is bool else int(word)
                                  for field, word in zip(fields(cls), words, strict=True)}
        return cls(**values)
