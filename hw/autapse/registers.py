"""What the microprogram tells the node engine: its registers, by number."""

from enum import IntEnum


class Give(IntEnum):
    """Numbers of the engine's registers; an address counts words of the large memory."""

    NODES = 0           # of the segment
    BIAS = 1            # where the biases lie; of the first node, as all addresses below
    STATE = 2           # where a second word per node lies
    LIST = 3            # added to the offset of an event: its weight
    KEPT = 4            # words of the delays that the segment keeps
    BORDER = 5          # words of the delays that each node keeps of them
    EDGES = 6           # weights of the delays
    EDGE_STEP = 7       # from one node's to the next one's: 0 where they share
    REACH = 8           # words of KEPT
    SPIKES = 9          # where spikes go, as words
    MEMBRANES = 10
    MASKS = 11
    LEAK = 12
    THRESHOLD = 13
    HALF_WIDTH = 14
    FLAGS = 15
    PROTOTYPES = 16     # where they lie
    CLASSES = 17
    START = 30          # the segment is taken
    COMPARE = 31        # the code is compared with the prototypes, and forgotten


class Flag(IntEnum):
    """Bits of `Give.FLAGS`."""

    BIAS = 1 << 0
    STATE = 1 << 1
    LIST = 1 << 2
    DELAYS = 1 << 3
    BORDER = 1 << 4     # KEPT is not all: each node has words of its own
    MEMBRANES = 1 << 5  # u is kept
    MASKS = 1 << 6
    SOFT = 1 << 7
    STRICT = 1 << 8
    SPIKING = 1 << 9
    BEGIN = 1 << 10     # the membrane is 0 before the first node
    CLEAR = 1 << 11     # the delay line is empty before the first node
    BESIDE = 1 << 12    # as many nodes as there are units at once
    CODE = 1 << 13      # spikes join the code
    FRESH = 1 << 14     # the code is empty before
    LAST = 1 << 15      # nobody uses the membrane behind the last node
