"""Width and depth of each memory of a core, derived once from its configuration."""

from .chip import MAP_BITS, ChipConfig
from .program import LAYER_FIELDS, Space, length


def geometry(config: ChipConfig) -> dict[Space, tuple[int, int]]:
    """(bits of a row, rows) of every memory that this chip has, by the space the host sees it in.

    Rows of PARAMETERS hold (decay, threshold) of a beat, decay in the low half of 32 bits each.
    Rows of READOUTS hold exact sums in units of 2^-24, 64 bits each, of which `sum_bits` are kept.
    """
    units, lanes = config.units, config.lanes
    table = {
        Space.LAYERS: (16 * length(LAYER_FIELDS), config.layers),
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
            Space.HISTORY: (MAP_BITS, config.history_words),
            Space.ACTIVE: (MAP_BITS, config.active_words),
        }
        if config.membrane_rows:
            table[Space.MEMBRANES] = (16 * units, config.membrane_rows)
    return table
