"""Width and depth of each memory of a core, derived once from its configuration."""

from .chip import MAP_BITS, ChipConfig
from .program import LAYER_ROW, Space

# What belongs to one sample; a chip with slots holds each of these once per slot.
SLOTTED = (Space.SPIKES, Space.READOUTS, Space.TARGETS, Space.ERROR_INPUTS, Space.MASKS, Space.MEMBRANES)


def slot_rows(rows: int) -> int:
    """Rows from one slot to the next: a power of two, so that the slot is the top bit of an address."""
    return 1 << (max(rows, 2) - 1).bit_length()


def geometry(config: ChipConfig) -> dict[Space, tuple[int, int]]:
    """(bits of a row, rows) of every memory that this chip has, by the space the host sees it in.

    Rows of PARAMETERS hold (decay, threshold) of a beat, decay in the low half of 32 bits each.
    The memories of `SLOTTED` spaces hold `config.slots` samples, `slot_rows` apart.
    Rows of READOUTS hold exact sums in units of 2^-24, 64 bits each, of which `sum_bits` are kept.
    """
    units, lanes = config.units, config.lanes
    table = {
        Space.LAYERS: (16, config.layers * LAYER_ROW),
        Space.PARAMETERS: (32 * units, config.parameters),
        Space.SYNAPSES: (16 * lanes, config.synapses),
        Space.SPIKES: (lanes, config.spike_rows),
        Space.READOUTS: (64 * units, config.readouts),
    }
    if config.training:
        table |= {
            Space.TARGETS: (16 * units, config.readouts),
            Space.ERROR_INPUTS: (16 * units, config.error_inputs),
            Space.MASKS: (lanes, config.mask_rows),
            Space.ERRORS: (16 * lanes, config.error_rows),
        }
        if not config.wide_rows:
            table |= {
                Space.HISTORY: (MAP_BITS, config.history_words),
                Space.ACTIVE: (MAP_BITS, config.active_words),
            }
        if config.nodes > 1:
            table[Space.REMOTE] = (16 * lanes, config.remote_rows)
            table[Space.ROUTES] = (32, config.routes)
        if config.membrane_rows:
            table[Space.MEMBRANES] = (16 * units, config.membrane_rows)
    if config.slots > 1:
        for space in SLOTTED:
            if space in table:
                width, rows = table[space]
                table[space] = width, config.slots * slot_rows(rows)
    return table


def host_geometry(config: ChipConfig) -> dict[Space, tuple[int, int]]:
    """`geometry` of the memories that the host reaches: rows from other cores are theirs alone."""
    return {space: shape for space, shape in geometry(config).items() if space != Space.REMOTE}
