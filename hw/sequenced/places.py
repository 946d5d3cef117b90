"""Where everything lies in the two memories of the sequenced core, and whether a configuration fits them."""

from dataclasses import dataclass

from ..contract.chip import ChipConfig
from ..contract.geometry import geometry
from ..contract.program import COUNTERS, REGISTERS, Space, length, offsets

WORDS = 1 << 16
"""Words of 16 bits that the core's addresses reach."""

BIT_SPACES = (Space.SPIKES, Space.MASKS)
"""Spaces whose rows are one bit for the host. Inside, a set bit is the word ONE: a factor like any other."""

ONE = 0x3C00
"""binary16 1.0."""

# Blocks of the scratch memory that the host sees, aligned so that addresses need no sum.
REGISTER_BLOCK, COUNTER_BLOCK, IDENTITY_BLOCK, SCRATCH = 128, 160, 192, 256
BLOCKS = {
    Space.REGISTERS: (REGISTER_BLOCK, length(REGISTERS)),
    Space.COUNTERS: (COUNTER_BLOCK, 2 * len(COUNTERS)),
}
assert length(REGISTERS) <= COUNTER_BLOCK - REGISTER_BLOCK and 2 * len(COUNTERS) <= IDENTITY_BLOCK - COUNTER_BLOCK

# The rest is for variables and constants of the microprogram.
FREE = (*range(REGISTER_BLOCK), *range(REGISTER_BLOCK + length(REGISTERS), COUNTER_BLOCK),
        *range(COUNTER_BLOCK + 2 * len(COUNTERS), IDENTITY_BLOCK))


@dataclass(frozen=True)
class Places:
    """First word of each space in the one memory, and of what only the microprogram uses.

    Rows of a space are `words` 16-bit words, a power of two, as the host's bus counts them.
    """

    base: dict[Space, int]
    size: dict[Space, int]
    state: int      # one word per neuron: mul(λ, v)
    one: int        # holds ONE: the bias, a synapse whose input always spikes
    ones: int       # holds 0xFFFF: the history of the bias
    total: int


def places(config: ChipConfig) -> Places:
    """Places of a one-lane configuration.

    Raises
    ------
    ValueError
        If the configuration has more than one lane or slot, or wide rows, or its memories more words than 16-bit
        addresses reach.
    """
    if config.lanes != 1 or config.units != 1:
        raise ValueError(f"a sequenced core has one lane and one unit, not {config.lanes} and {config.units}; "
                         "use the pipelined core for more")
    if config.slots != 1:
        raise ValueError(f"a sequenced core has one sample at a time, not {config.slots} slots; use slots=1")
    if config.wide_rows:
        raise ValueError("a sequenced core sums the gradient at the batch's end and has no wide rows, "
                         f"not {config.wide_rows}; use wide_rows=0")
    base, size, at = {}, {}, 0
    for space, (width, depth) in geometry(config).items():
        words = 1 << (-(-width // 16) - 1).bit_length()
        base[space], size[space] = at, words * depth
        at += words * depth
    state, one, ones, total = at, at + config.neurons, at + config.neurons + 1, at + config.neurons + 2
    if total > WORDS:
        raise ValueError(f"the memories of a sequenced core must hold at most {WORDS} words of 16 bits together, "
                         f"not {total}; use smaller depths")
    return Places(base=base, size=size, state=state, one=one, ones=ones, total=total)


def fits(config: ChipConfig) -> bool:
    """Whether `SequencedCore` can be built for this configuration."""
    try:
        places(config)
    except ValueError:
        return False
    return True


def register_names() -> list[tuple[str, int]]:
    """Scratch places of the registers' low words, by name."""
    return [(name, REGISTER_BLOCK + at) for name, at in offsets(REGISTERS).items()]


def counter_names() -> list[tuple[str, int]]:
    """Scratch places of the counters' halves: `forward.busy`, low word, is `forward.busy.0`."""
    return [(f"{name}.{half}", COUNTER_BLOCK + 2 * k + half) for k, name in enumerate(COUNTERS) for half in (0, 1)]
