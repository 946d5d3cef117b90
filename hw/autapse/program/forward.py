"""Forward: sweep by sweep, segment by segment; the node engine takes the nodes."""

from ...contract.autapse_chip import AutapseChip
from ...sequenced.instructions import MEMORY, RESULT, Op, Program, Taken, When
from ...sequenced.places import ONE
from ...sequenced.program.layer import phase_ends, phase_starts, product, rounded, store_readout
from ..registers import Give
from .segment import first_segment, next_segment

# Registers that are fields as they are, and those that move with the sweep.
_PLAIN = {Give.NODES: "outputs", Give.BIAS: "bias_at", Give.LIST: "weights", Give.KEPT: "kept",
          Give.BORDER: "border", Give.EDGES: "edges", Give.EDGE_STEP: "edge_step", Give.REACH: "reach",
          Give.LEAK: "decay", Give.THRESHOLD: "threshold", Give.HALF_WIDTH: "half_width"}
_MOVING = {Give.SPIKES: "spikes_out", Give.MEMBRANES: "membranes", Give.MASKS: "masks"}


def forward(p: Program, chip: AutapseChip):
    """u, s and m of every node and sweep; the readout's sums."""
    phase_starts(p, "forward")
    p.do("ZERO", keep=True)
    for name in ("inputs_offset", "nodes_offset", "later"):
        p.store(name)
    p.load("steps")
    p.store("steps_left")
    p.label("forward sweep")
    p.do("DEC", "steps_left", into="steps_left")
    first_segment(p, chip)
    p.label("forward segment")
    p.do("DEC", "segments_left", into="segments_left")
    p.call("fetch segment")
    p.do("LOAD", "row_step", op=Op.STEP)
    p.call("scan sources")
    _give(p)
    _count(p)
    _read(p, chip)
    next_segment(p)
    p.do("LOAD", "segments_left", when=When.NONZERO, to="forward segment")
    for offset, step in (("inputs_offset", "inputs_step"), ("nodes_offset", "nodes_step")):
        p.load(step)
        p.do("ADD", offset, into=offset)
    p.load(p.constant(1))
    p.store("later")
    p.do("LOAD", "steps_left", when=When.NONZERO, to="forward sweep")
    _compare(p)
    phase_ends(p, "forward")


def _give(p: Program):
    """The segment to the node engine, which takes it."""
    for register, name in _PLAIN.items():
        p.do("LOAD", name, op=Op.GIVE, how=register)
    p.load("nodes_offset")
    for register, name in _MOVING.items():
        p.do("ADD", name, op=Op.GIVE, how=register)
    # The second word of a node is one of this sweep's inputs, or of a segment's state that is kept from sweep to sweep.
    p.load("inputs_offset")
    p.do("LOAD", "spiking", when=When.NONZERO, to="forward state")
    p.do("ZERO", keep=True)
    p.label("forward state")
    p.do("ADD", "state", op=Op.GIVE, how=Give.STATE)
    p.load("flags_first")
    p.do("LOAD", "later", when=When.ZERO, to="forward flags")
    p.load("flags_later")
    p.do("LOAD", "steps_left", when=When.NONZERO, to="forward flags")
    p.load("flags_last")
    p.label("forward flags")
    p.do("PASS", op=Op.GIVE, how=Give.FLAGS)
    p.do("ZERO", op=Op.GIVE, how=Give.START)
    p.do("ZERO", op=Op.AWAIT)


def _count(p: Program):
    """Visits of the segment, and what they would be without sparsity."""
    p.do("ZERO", op=Op.TAKE, how=Taken.BESIDE)
    p.load(RESULT)
    p.do("ADD", "forward.busy.0", into="forward.busy.0")
    p.do("CARRY", "forward.busy.1", into="forward.busy.1")
    p.load("dense_0")
    p.do("ADD", "forward.dense.0", into="forward.dense.0")
    p.load("dense_1")
    p.do("ADD KEPT", "forward.dense.1", into="forward.dense.1")


def _read(p: Program, chip: AutapseChip):
    """On the last segment the exact sums over sweeps, of spikes or of membranes; and the next leak of those."""
    p.do("LOAD", "segments_left", when=When.NONZERO, to="forward read")
    p.do("LOAD", "read", when=When.ZERO, to="forward read")
    p.load(p.constant(chip.readouts_at - 1))
    p.store("readout_at")
    p.load("nodes_offset")
    p.do("ADD", "spikes_out", keep=True)
    p.do("LOAD", "spiking", when=When.NONZERO, to="forward words")
    p.load("nodes_offset")
    p.do("ADD", "membranes", keep=True)
    p.label("forward words")
    p.store("word_at")
    p.load("state")
    p.store("state_at")
    p.load("outputs")
    p.store("left")
    p.label("forward class")
    p.do("LOAD", "word_at", read=True)
    p.do("ZERO", op=Op.FORGET)
    p.do("LOAD", MEMORY, into="u")
    p.do("LOAD", p.constant(ONE), op=Op.FACTOR)
    p.do("LOAD", "later", when=When.ZERO, to="forward add")
    p.call("add readout")
    p.load(p.constant(-4))
    p.do("ADD", "readout_at", into="readout_at")
    p.label("forward add")
    p.do("LOAD", "u", op=Op.MULTIPLY)
    store_readout(p)
    p.do("LOAD", "spiking", when=When.NONZERO, to="forward left")
    p.do("LOAD", "steps_left", when=When.ZERO, to="forward left")
    product(p, "decay", "u")
    rounded(p)
    p.do("LOAD", "state_at", write=True)
    p.label("forward left")
    p.do("INC", "state_at", into="state_at")
    p.do("INC", "word_at", into="word_at")
    p.do("DEC", "left", into="left", when=When.NONZERO, to="forward class")
    p.label("forward read")


def _compare(p: Program):
    """The code with the prototypes."""
    p.do("LOAD", "code_words", when=When.ZERO, to="forward compared")
    p.do("LOAD", "prototypes", op=Op.GIVE, how=Give.PROTOTYPES)
    p.do("LOAD", "classes", op=Op.GIVE, how=Give.CLASSES)
    p.do("ZERO", op=Op.GIVE, how=Give.COMPARE)
    p.do("ZERO", op=Op.AWAIT)
    p.label("forward compared")
