"""Update: synapse by synapse of the trained segments, straight into the optimiser."""

from ...contract.autapse_chip import AutapseChip
from ...sequenced.instructions import Program, When
from ...sequenced.program.layer import phase_ends, phase_starts
from ...sequenced.program.update import history_words, synapse_gradient, synapse_moves, synapse_step
from .segment import last_segment, next_segment

_WEIGHTS = (("weight_at", "weights"), ("remainder_at", "remainders"), ("momentum_at", "momenta"))


def clear(p: Program):
    """All histories to 0."""
    p.load("histories")
    p.do("SUB", p.constant(1), keep=True)
    p.store("row_at")
    p.load("history_words")
    p.store("left")
    p.do("PASS", when=When.ZERO, to="cleared")
    p.do("ZERO", keep=True)
    p.label("clear word")
    p.do("INC", "row_at", into="row_at", write=True)
    p.do("DEC", "left", into="left", when=When.NONZERO, to="clear word")
    p.label("cleared")


def update(p: Program, chip: AutapseChip):
    """W, R and M of every trained synapse: for each node its sources, its bias behind them."""
    phase_starts(p, "gradient")
    history_words(p)
    last_segment(p, chip, "update")
    p.load("trained")
    p.store("segments_left")
    p.label("update segment")
    p.call("fetch segment")
    p.load(p.constant(-1))
    p.do("ADD", "active", into="active")
    p.do("ADD", "history", into="history")
    p.label("update output")
    for pointer, field in (*_WEIGHTS, ("history_at", "history"), ("left", "inputs"), ("unbiased", "bias")):
        p.load(field)
        p.store(pointer)
    p.load(p.constant(1))
    p.store("word_step")
    p.label("update synapse")
    synapse_gradient(p)
    synapse_step(p)
    synapse_moves(p)
    p.load("history_step")
    p.do("ADD", "history_at", into="history_at")
    p.load("row_step")
    for pointer, _ in _WEIGHTS:
        p.do("ADD", pointer, into=pointer)
    p.do("DEC", "left", into="left", when=When.NONZERO, to="update synapse")
    # The bias is one more source, whose history is the same word of ones over and over.
    p.do("LOAD", "unbiased", when=When.ZERO, to="update row")
    p.do("ZERO", keep=True)
    p.store("unbiased")
    p.store("word_step")
    p.load("ones")
    p.store("history_at")
    p.load(p.constant(1))
    p.store("left")
    p.jump("update synapse")
    p.label("update row")
    for _, field in _WEIGHTS:
        p.do("INC", field, into=field)
    p.load("batch_steps")
    p.do("ADD", "errors", into="errors")
    p.load("history_step")
    p.do("ADD", "active", into="active")
    p.do("DEC", "outputs", into="outputs", when=When.NONZERO, to="update output")
    next_segment(p, back=True)
    p.do("DEC", "segments_left", into="segments_left", when=When.NONZERO, to="update segment")
    phase_ends(p, "gradient")
