"""Program of a core, as plain data: memory spaces, layer descriptors, registers and counters.

Addresses of sample memories run over (row, step): address = base + row * steps + step. Errors of a
batch run over (group, step of the batch): base + group * batch_steps + step. Synapses of a layer
run over (group of outputs, input): base + group * row_step + input, where base and row_step are
multiples of the lanes, and the synapse (i, j) sits in bank (i + j) mod lanes. Histories run over
(neuron or group, word): base + (row << history_log) + step // MAP_BITS.
"""

from enum import IntEnum


class Space(IntEnum):
    """Memory spaces of the host bus, in 16-bit words."""

    IDENTITY = 0
    REGISTERS = 1
    LAYERS = 2
    PARAMETERS = 3
    SYNAPSES = 4
    SPIKES = 5
    TARGETS = 6
    ERROR_INPUTS = 7
    READOUTS = 8
    COUNTERS = 9
    MEMBRANES = 10
    MASKS = 11
    ERRORS = 12
    HISTORY = 13
    ACTIVE = 14
    TIMELINE = 15
    REMOTE = 16     # not for the host
    ROUTES = 17
    LINKS = 18


class Run(IntEnum):
    """Bits of a RUN packet's mask; the core takes them in this order."""

    CLEAR = 1      # start of a batch: forget histories
    FORWARD = 2
    LOSS = 4       # mean squared error of readouts and targets into the error inputs
    BACKWARD = 8   # and the spike history of the sample
    UPDATE = 16    # gradient of the batch, straight into the optimiser
    SLOT = 256     # which of the chip's two samples this is about


MAGIC = 0x50415541  # "AUAP", little endian

# (name, bits, signed). Each field starts on a 16-bit word of the LAYERS space.
LAYER_FIELDS = (
    ("spiking", 1, False), ("soft", 1, False), ("detach", 1, False), ("strict", 1, False),
    ("bias", 1, False), ("per_neuron", 1, False), ("keep_membrane", 1, False),
    ("half_width_log", 6, True), ("height_log", 7, True),
    ("inputs", 16, False), ("input_groups", 16, False), ("outputs", 16, False), ("groups", 16, False),
    ("weights", 24, False), ("remainders", 24, False), ("momenta", 24, False), ("row_step", 20, False),
    ("parameters", 20, False), ("state", 20, False),
    ("spikes_in", 20, False), ("spikes_out", 20, False), ("masks", 20, False), ("membranes", 20, False),
    ("errors", 24, False), ("history", 20, False), ("active", 20, False),
    ("next_weights", 24, False), ("next_row_step", 20, False), ("next_outputs", 16, False),
    ("next_groups", 16, False), ("next_errors", 24, False),
    # Of a cut of a layer on a mesh; see hw/contract/rows.py.
    ("spike_targets", 32, False), ("spike_address", 20, False),
    ("error_targets", 32, False), ("error_address", 24, False),
    ("mirrored", 1, False), ("routes", 16, False), ("mirror_step", 20, False),
)

# (name, bits, signed): one or two 16-bit words each, low word first.
REGISTERS = (
    ("steps", 12, False), ("layers", 8, False), ("batch_steps", 20, False), ("history_log", 3, False),
    ("inverse_steps", 16, False), ("error_gain", 16, False), ("classes", 16, False),
    ("errors_per_step", 1, False),
    ("rate", 16, False), ("momentum", 16, False), ("inverse_batch", 16, False),
    ("gradient_log", 7, True), ("step_log", 7, True), ("use_momentum", 1, False),
    ("used_words", 12, False), ("used_steps", 20, False),   # of history, by the samples of this batch
    ("present", 16, False),      # bit l: this core of a mesh holds a cut of layer l; a core alone has all
    ("mirror_rows", 24, False),  # rows of mirrored weights that come to this core in an update
    ("overflow", 1, False),      # sticky; the host clears it by writing 0
)

ENGINES = ("forward", "backward", "gradient")
# 32 bits each. busy: cycles with a visit of a synapse group; skipped: visits of the dense schedule
# that sparsity saved; stalled: cycles an engine was at work without a visit.
COUNTERS = (*(f"{engine}.{kind}" for engine in ENGINES for kind in ("busy", "skipped", "stalled")), "cycles")


# Rows of the TIMELINE space, 32 bits each, and who their level bits stand for (see hw/engine/timeline.py).
TIMELINE_ROWS = 128
TIMELINE_PARTS = ("forward", "loss", "backward", "gradient", "update")

# The LINKS space of a core of a mesh: for each way out of its router three counters of 32 bits, from power-up on,
# modulo 2^32: flits and packets that left, and cycles in which a packet waited for the link and none was on it.
LINKS = ("north", "east", "south", "west", "core")
LINK_COUNTS = ("flits", "packets", "stalled")


def words_of(bits: int) -> int:
    """16-bit bus words that hold a field."""
    return -(-bits // 16)


def offsets(fields) -> dict[str, int]:
    """First 16-bit word of each field."""
    table, at = {}, 0
    for name, bits, _ in fields:
        table[name] = at
        at += words_of(bits)
    return table


def length(fields) -> int:
    """16-bit words of all fields together."""
    return sum(words_of(bits) for _, bits, _ in fields)


def pack(fields, values: dict[str, int]) -> list[int]:
    """Fields as 16-bit words; raises ValueError for a value that its field cannot hold."""
    words = []
    for name, bits, signed in fields:
        value = int(values.get(name, 0))
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        if not low <= value <= high:
            raise ValueError(f"program field {name} must be from {low} to {high}, not {value}")
        words += [value >> 16 * k & 0xFFFF for k in range(words_of(bits))]
    return words


LAYER_ROW = 1 << (length(LAYER_FIELDS) - 1).bit_length()  # words from one descriptor to the next
