"""Cycles of the machines of a core and of the network between cores: every constant that the predictions use.

Each stands for a stage that the core's own docstrings and tests describe (hw/engine, hw/neuron, docs/core.md).
Latencies count from the cycle in which something is taken to the one in which its result can be.
"""

# Order of the items (hw/engine/schedule.py).
SCHEDULE_START = 2      # from the start of a part to its first item
SCHEDULE_PERIOD = 2     # from one item to the next, at most one

# Event lists (hw/engine/scan.py, Scanner).
SCAN_LAG = 6            # from an item to its first row in hand
SCAN_FAR = 9            # the same where rows are errors, whose memory is a far one
SCAN_EMPTY = 1          # from an item without a list to its offer
RETIRED_SEEN = 2        # from an item's retirement to the one that waited for it
LISTS = 2               # event lists of an engine

# Groups and visits (hw/engine/look.py, walk.py).
STAGE = 1               # register between scanner and looker
LOOK_FORWARD = 2        # from an item to its first group
LOOK_BACKWARD = 5       # the same where kept spikes and masks are fetched first
JOB_LAG = 2             # from a group looked at to its first visit
JOBS = 4                # groups that may wait for visits
TOKENS = 8              # groups that may wait for a neuron unit
VISIT_LAG = 7           # from a visit to its synapses at the lanes
SUMS = 2                # sums that may wait behind the lanes, or be on their way there

# Neuron units (hw/engine/lanes.py, beats.py; hw/neuron).
FORWARD_SUM = 5         # from the last row of synapses at the lanes to its sum: accumulators, a register, the queue
BACKWARD_SUM = 8
LONE_BEAT = 1           # sums come earlier by this where a group is one beat
TOKEN_LAG = 2           # from a group looked at to its token in hand
ITEM_LOOKED, ITEM_FRESH = 1, 2  # from an item at the head to its first beat, after another and after none
FORWARD_UNIT = 25       # a beat's way through the forward neuron unit: 2 registers, 23 stages
BACKWARD_UNIT = 28      # and the backward one: 2 registers, 26 stages
RETIRE = 4              # from an item's last beat to its retirement

# Parts of a run (hw/engine/sequence.py, readout.py, history.py).
PART_END = 1            # the cycle in which a part ends
TO_LOSS = 1             # between forward and loss
LOSS_LATENCY = 23       # of a loss besides a cycle per class
HAND_OVER = 2           # from the end of the loss to the start of backward
TO_NEXT = 1             # from the start of backward to that of the next sample's forward
TO_REST = 2             # from the end of backward until another sample may follow
TO_UPDATE = 2           # from there to the start of gradient and update
CLEARED = 2             # that the hand-over of a batch's first sample comes after the last word of history is cleared
HISTORY_ITEM = 4        # of an item besides its rows
HISTORY_ROW = 2         # of a row of at most two spikes; every further spike takes one more

# Gradient and update at the batch's end (hw/engine/gradient.py, update.py, optimiser.py).
UPDATE_START = 2        # from the start of the part to the first layer's item
LAYER_START = 3         # from a layer's item to its first word issued
WORD_LAG = 10           # from a word issued to its first hit, the next word being waited for
WORDS = 16              # words of history that may wait
HIT_LAG = 5             # from a hit to its errors at the lanes
FETCH = 10              # of a group's weights, remainders and momenta: least cycles from group to group
GROUP_PAUSE = 2         # of the neuron units between groups
GROUPS_WAITING = 4      # groups that may wait to be fetched
OPTIMISER_UNIT = 46     # a beat's way through the optimiser
WRITE_BACK = 5          # of a group's three rows, and until this is seen
LAYER_END = 2           # from there to the next layer's item

# The host's way to a slot (hw/engine/bus.py, gateware/command.py).
LOAD_WORD = 4           # a word of a sample, written
LOAD_ROW = 3            # a row of inputs out of a word that holds several; the word takes a cycle more
READ_WORD = 3           # a word of a readout, read
LOAD_SAMPLE = 37        # packets' heads and the run of a sample
SELECT = 7              # a packet that names the cores of a mesh that the next ones are for
HEAD = 11               # a packet's head, where a sample is read from and written to more than one core

# Between cores (hw/contract/rows.py; the network's routers; gates, outbox and inbox of a core of a mesh).
GATE = 3                # from an item at its gate to its passing, where all rows have come
HOP = 2                 # cycles of a header per link, and once more to leave
GRANULES = 4            # parts of a buffer in which its room is counted: a packet takes whole ones
GRANULE_FLITS = 4
PACKET_GAP = 1          # a core takes a cycle more than a packet's flits to send one, and to take one
ROW_OUT = 4             # from a finished row to its packet's first flit
ROW_IN = 6              # from a packet's last flit to the passing of the item that waited for it
ROW_STORED = 1          # and to its place in memory
OUTBOX = 22             # rows of an update on their way to the network before the update waits
BARRIER = 5             # that a part takes more than its longest core
