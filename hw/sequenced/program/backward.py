"""Backward: layer by layer from the last, step by step back in time; the sample's spikes join the history."""

from ...contract.chip import ChipConfig
from ...contract.program import Space
from ..instructions import LIST, MEMORY, MINUS, MOVED, RAW, Op, Program, When
from ..places import ONE, Places
from .layer import (
    count_dense,
    count_visits,
    first_layer,
    first_parameters,
    load_parameters,
    next_layer,
    phase_ends,
    phase_starts,
    product,
    rounded,
)


def backward(p: Program, config: ChipConfig, where: Places):
    """d of every neuron and step, and the bits of the batch's histories (design rules version 1)."""
    kept = config.membrane_rows > 0
    phase_starts(p, "backward")
    last_step_of_batch(p)
    first_layer(p, where)
    p.label("backward find")
    p.do("DEC", "layers_left", into="layers_left", when=When.ZERO, to="backward found")
    next_layer(p)
    p.jump("backward find")
    p.label("backward found")
    p.load("layers")
    p.store("layers_left")
    p.load(p.constant(1))
    p.store("last")

    p.label("backward layer")
    p.call("fetch layer")
    _layer_places(p, kept=kept, where=where)
    p.label("backward step")
    p.do("DEC", "steps_left", into="steps_left")
    _history(p)
    _events(p)
    _step_places(p, kept=kept)

    p.label("backward neuron")
    load_parameters(p)
    p.do("INC", "error_at", read=True)
    p.do("ZERO", keep=True)
    p.do("LOAD", "later", when=When.ZERO, to="backward later")
    p.load(MEMORY)
    p.label("backward later")
    p.store("d")
    p.do("LOAD", "last", when=When.ZERO, to="backward given")
    p.do("LOAD", "input_at", read=True)
    p.do("LOAD", MEMORY, into="g")
    p.label("backward given")
    count_dense(p, "backward", "next_outputs")
    neuron_error(p, kept=kept)
    keep_error(p)

    p.load("steps")
    p.do("ADD", "mask_at", into="mask_at")
    p.do("ADD", "spike_at", into="spike_at")
    if kept:
        p.do("ADD", "membrane_at", into="membrane_at")
    p.load("batch_steps")
    p.do("ADD", "error_at", into="error_at")
    p.load("history_step")
    p.do("ADD", "active_at", into="active_at")
    p.load("input_step")
    p.do("ADD", "input_at", into="input_at")
    p.do("INC", "weight_at", into="weight_at")
    p.do("DEC", "left", into="left", when=When.NONZERO, to="backward neuron")
    _step_back(p, kept=kept)
    p.do("LOAD", "steps_left", when=When.NONZERO, to="backward step")
    p.do("ZERO", keep=True)
    p.store("last")
    next_layer(p, back=True)
    p.do("DEC", "layers_left", into="layers_left", when=When.NONZERO, to="backward layer")
    phase_ends(p, "backward")


def last_step_of_batch(p: Program):
    """Of the sample's last step in its batch: word and bit in a history; and words from one neuron's to the next's."""
    p.load("sample")
    p.do("ADD", "steps", keep=True)
    p.do("SUB", p.constant(1), keep=True)
    p.store("last_step")
    for _ in range(4):
        p.store("last_word")
        p.do("HALF", "last_word", keep=True)
    p.store("last_word")
    p.store("rest")
    for _ in range(4):
        p.do("ADD", "rest", keep=True)
        p.store("rest")
    p.load("last_step")
    p.do("SUB", "rest", keep=True)
    p.store("rest")
    for name, first, count in (("last_bit", 1, "rest"), ("history_step", 2, "history_log")):
        p.load(count)
        p.store("rest")
        p.load(p.constant(first))
        p.label(f"backward {name}")
        p.store(name)
        p.do("LOAD", "rest", when=When.ZERO, to=f"backward {name} done")
        p.do("DEC", "rest", into="rest")
        p.do("ADD", name, keep=True)
        p.jump(f"backward {name}")
        p.label(f"backward {name} done")


def _layer_places(p: Program, *, kept: bool, where: Places):
    """A layer's places at the last step, fields of the descriptor with the step in them."""
    for name in ("steps", "last_word", "last_bit"):
        p.load(name)
        p.store({"steps": "steps_left", "last_word": "word", "last_bit": "bit"}[name])
    p.do("ZERO", keep=True)
    p.store("later")
    p.load("steps")
    p.do("SUB", p.constant(1), keep=True)
    for field in ("masks", "spikes_out", *(("membranes",) if kept else ())):
        p.do("ADD", field, into=field)
    p.load("last_step")
    p.do("ADD", "errors", into="errors")
    p.do("SUB", "batch_steps", keep=True)
    p.do("ADD", "next_errors", into="next_errors")
    p.load(p.constant(-1))
    p.do("ADD", "spikes_in", into="spikes_in")
    # Errors that are given hold for all steps, one per neuron, or lie at (neuron, step).
    p.load(p.constant(1))
    p.store("input_step")
    p.load(p.constant(where.base[Space.ERROR_INPUTS]))
    p.do("LOAD", "errors_per_step", when=When.ZERO, to="backward inputs")
    p.load("steps")
    p.store("input_step")
    p.do("ADD", p.constant(where.base[Space.ERROR_INPUTS] - 1), keep=True)
    p.label("backward inputs")
    p.store("inputs_at")


def _history(p: Program):
    """Sets the bit of this step in the history of every input that spiked."""
    p.do("LOAD", "history_step", op=Op.STEP)
    p.do("LOAD", "inputs", op=Op.COUNT)
    p.load("spikes_in")
    p.do("ADD", "steps", op=Op.SCAN)
    p.do("DEC", "spikes_in", into="spikes_in")
    mark_history(p)


def mark_history(p: Program):
    """Sets this step's bit in the history of every input on the list, whose offset is that of its history."""
    p.load("history")
    p.do("ADD", "word", keep=True)
    p.store("history_at")
    p.do("ZERO", op=Op.FIRST)
    p.label("backward history")
    p.load("history_at", when=When.END, to="backward history done")
    p.do("ADD", LIST, into="row_at", read=True)
    p.load("bit")
    p.do("AND", MEMORY, when=When.NONZERO, to="backward marked")
    p.do("ADD", MEMORY, keep=True)
    p.do("LOAD", "row_at", write=True)
    p.label("backward marked")
    p.do("ZERO", op=Op.NEXT)
    p.jump("backward history")
    p.label("backward history done")


def _events(p: Program):
    """The list of the next layer's errors that are not 0 at this step; empty behind the last layer."""
    p.do("LOAD", "next_row_step", op=Op.STEP)
    p.do("ZERO", op=Op.FIRST)
    p.do("LOAD", "last", when=When.NONZERO, to="backward listed")
    p.do("LOAD", "next_outputs", op=Op.COUNT)
    p.load("next_errors")
    p.do("ADD", "batch_steps", op=Op.SCAN)
    p.do("DEC", "next_errors", into="next_errors")
    p.label("backward listed")


def _step_places(p: Program, *, kept: bool):
    """Where the first neuron's words of this step lie."""
    for pointer, field in (("mask_at", "masks"), ("spike_at", "spikes_out"),
                           *((("membrane_at", "membranes"),) if kept else ()), ("error_at", "errors"),
                           ("weight_at", "next_weights"), ("input_at", "inputs_at"), ("left", "outputs")):
        p.load(field)
        p.store(pointer)
    p.load("active")
    p.do("ADD", "word", keep=True)
    p.store("active_at")
    first_parameters(p)


def _step_back(p: Program, *, kept: bool):
    """One step earlier."""
    for field in ("masks", "spikes_out", "errors", *(("membranes",) if kept else ())):
        p.do("DEC", field, into=field)
    p.load(p.constant(1))
    p.store("later")
    p.do("LOAD", "errors_per_step", when=When.ZERO, to="backward same inputs")
    p.do("DEC", "inputs_at", into="inputs_at")
    p.label("backward same inputs")
    p.do("HALF", "bit", keep=True, when=When.NONZERO, to="backward same word")
    p.do("DEC", "word", into="word")
    p.load(p.constant(0x8000))
    p.label("backward same word")
    p.store("bit")


def neuron_error(p: Program, *, kept: bool):
    """X <- d[t] from d[t+1] in `d`, and g where an error is given."""
    one = p.constant(ONE)
    p.do("LOAD", "spiking", when=When.ZERO, to="backward leak")
    # A hard reset cuts the way back.
    p.do("LOAD", "soft", when=When.NONZERO, to="backward leak")
    p.do("LOAD", "spike_at", read=True)
    p.do("ZERO", keep=True)
    p.do("LOAD", MEMORY, when=When.NONZERO, to="backward leaked")
    p.label("backward leak")
    p.load("d", when=When.ZERO, to="backward leaked")
    product(p, "decay", "d")
    rounded(p)
    p.label("backward leaked")
    p.do("LOAD", "mask_at", read=True)
    p.store("leak")
    p.do("LOAD", "spiking", when=When.ZERO, to="backward linear")
    p.do("LOAD", MEMORY, when=When.ZERO, to="backward done")

    p.do("LOAD", "last", when=When.NONZERO, to="backward error")
    p.do("ZERO", op=Op.FORGET)
    p.load("weight_at")
    p.do("ADD", LIST, op=Op.VISIT)
    rounded(p, "g")
    count_visits(p, "backward")
    p.label("backward error")
    p.load("g")
    p.do("LOAD", "detach", when=When.NONZERO, to="backward whole")
    p.load("threshold")
    p.do("LOAD", "soft", when=When.NONZERO, to="backward base")
    if kept:
        p.do("LOAD", "membrane_at", read=True)
        p.load(MEMORY)
    else:
        p.do("ZERO", keep=True)
    p.label("backward base")
    p.store("base")
    product(p, "decay", "base")
    rounded(p, "base")
    p.load("g")
    p.do("LOAD", "d", when=When.ZERO, to="backward whole")
    product(p, "g", one)
    p.do("LOAD", "base", op=Op.FACTOR)
    p.do("LOAD", "d", op=Op.MULTIPLY, how=MINUS)
    rounded(p)
    p.label("backward whole")
    p.store("g")
    p.do("ZERO", op=Op.FORGET)
    p.do("LOAD", "height", op=Op.POWER)
    p.do("LOAD", "g", op=Op.FACTOR)
    p.do("LOAD", p.constant(1), op=Op.MULTIPLY, how=RAW | MOVED)
    p.jump("backward sum")
    p.label("backward linear")
    product(p, "g", one)
    p.label("backward sum")
    p.do("LOAD", one, op=Op.FACTOR)
    p.do("LOAD", "leak", op=Op.MULTIPLY)
    rounded(p)
    p.jump("backward written")


def keep_error(p: Program):
    """Writes d, and sets the bit of this step in the neuron's active history if it is not 0."""
    p.label("backward done")
    p.load("leak")
    p.label("backward written")
    p.do("LOAD", "error_at", write=True)
    p.do("LOAD", "active_at", read=True)
    p.do("PASS", when=When.ZERO, to="backward quiet")
    p.load("bit")
    p.do("AND", MEMORY, when=When.NONZERO, to="backward quiet")
    p.do("ADD", MEMORY, keep=True)
    p.do("LOAD", "active_at", write=True)
    p.label("backward quiet")
