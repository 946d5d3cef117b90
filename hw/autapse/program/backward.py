"""Backward: sweep by sweep from the last, node by node from the last; spikes join the histories."""

from ...contract.autapse_chip import AutapseChip
from ...sequenced.instructions import MEMORY, Op, Program, When
from ...sequenced.program.backward import keep_error, last_step_of_batch, mark_history, neuron_error
from ...sequenced.program.layer import count_dense, phase_ends, phase_starts
from .segment import last_segment, next_segment


def backward(p: Program, chip: AutapseChip, error_inputs: str):
    """d of every node of the trained segments, and the bits of the batch's histories (docs/autapse.md)."""
    phase_starts(p, "backward")
    last_step_of_batch(p)
    for name, first in (("error_step", "last_step"), ("word", "last_word"), ("bit", "last_bit"),
                        ("steps_left", "steps")):
        p.load(first)
        p.store(name)
    p.load("given_last")
    p.do("ADD", error_inputs, keep=True)
    p.store("given_at")
    p.do("ZERO", keep=True)
    p.store("later")

    p.label("backward sweep")
    p.do("DEC", "steps_left", into="steps_left")
    for offset, step in (("inputs_offset", "inputs_step"), ("nodes_offset", "nodes_step")):
        p.load(step)
        p.do("FROM", offset, into=offset)
    last_segment(p, chip, "backward")
    p.load("trained")
    p.store("segments_left")
    p.load(p.constant(1))
    p.store("last")
    p.do("ZERO", keep=True)
    p.store("chain")

    p.label("backward segment")
    p.call("fetch segment")
    p.do("LOAD", "history_step", op=Op.STEP)
    p.call("scan sources")
    mark_history(p)
    _events(p)
    _places(p)
    p.label("backward node")
    _one_back(p)
    _before(p)
    count_dense(p, "backward", "next_outputs")
    neuron_error(p, kept=True)
    keep_error(p)
    p.do("LOAD", "error_at", read=True)
    p.do("LOAD", MEMORY, into="chain")
    p.do("DEC", "left", into="left", when=When.NONZERO, to="backward node")
    p.do("ZERO", keep=True)
    p.store("last")
    # What reads the nodes is none of them: behind the last one there is no error.
    p.do("LOAD", "spiking", when=When.NONZERO, to="backward behind")
    p.store("chain")
    p.label("backward behind")
    for kept, field in (("next_bias_at", "bias_at"), ("next_row_step", "row_step"), ("next_outputs", "outputs"),
                        ("next_errors", "errors")):
        p.load(field)
        p.store(kept)
    next_segment(p, back=True)
    p.do("DEC", "segments_left", into="segments_left", when=When.NONZERO, to="backward segment")
    _sweep_back(p)
    p.do("LOAD", "steps_left", when=When.NONZERO, to="backward sweep")
    phase_ends(p, "backward")


def _events(p: Program):
    """The list of the next segment's errors that are not 0 in this sweep; empty behind the last one."""
    p.do("LOAD", p.constant(1), op=Op.STEP)
    p.do("ZERO", op=Op.FIRST)
    p.do("LOAD", "last", when=When.NONZERO, to="backward listed")
    p.do("LOAD", "next_outputs", op=Op.COUNT)
    p.load("error_step")
    p.do("ADD", "next_errors", keep=True)
    p.do("SUB", "batch_steps", keep=True)
    p.do("ADD", "batch_steps", op=Op.SCAN)
    p.label("backward listed")


def _places(p: Program):
    """Behind the segment's last node: where its words of this sweep lie."""
    p.load("nodes_offset")
    p.do("ADD", "outputs", keep=True)
    for pointer, field in (("mask_at", "masks"), ("spike_at", "spikes_out"), ("membrane_at", "membranes")):
        p.do("ADD", field, keep=True)
        p.store(pointer)
        p.do("SUB", field, keep=True)
    p.load("errors_end")
    p.do("ADD", "error_step", keep=True)
    p.store("error_at")
    p.load("active_end")
    p.do("ADD", "word", keep=True)
    p.store("active_at")
    p.load("next_bias_at")
    p.store("weight_at")
    p.load("given_at")
    p.do("ADD", "outputs", keep=True)
    p.store("input_at")
    p.load("outputs")
    p.store("left")


def _one_back(p: Program):
    """From a node's words to those of the node before."""
    for pointer in ("mask_at", "spike_at", "membrane_at", "input_at"):
        p.do("DEC", pointer, into=pointer)
    for pointer, step in (("error_at", "batch_steps"), ("active_at", "history_step"), ("weight_at", "next_row_step")):
        p.load(step)
        p.do("FROM", pointer, into=pointer)


def _before(p: Program):
    """`d` of the node behind, or of the same node in the next sweep where the segment does not spike; g if given."""
    p.load("chain")
    p.do("LOAD", "spiking", when=When.NONZERO, to="backward chained")
    p.load("error_at")
    p.do("ADD", p.constant(1), read=True)
    p.do("ZERO", keep=True)
    p.do("LOAD", "later", when=When.ZERO, to="backward chained")
    p.load(MEMORY)
    p.label("backward chained")
    p.store("d")
    p.do("LOAD", "last", when=When.ZERO, to="backward given")
    p.do("LOAD", "input_at", read=True)
    p.do("LOAD", MEMORY, into="g")
    p.label("backward given")


def _sweep_back(p: Program):
    """One sweep earlier."""
    p.load(p.constant(1))
    p.store("later")
    p.do("DEC", "error_step", into="error_step")
    p.load("given_step")
    p.do("FROM", "given_at", into="given_at")
    p.do("HALF", "bit", keep=True, when=When.NONZERO, to="backward same word")
    p.do("DEC", "word", into="word")
    p.load(p.constant(0x8000))
    p.label("backward same word")
    p.store("bit")
