"""Forward: layer by layer, step by step, neuron by neuron."""

from ...contract.chip import ChipConfig
from ...contract.program import Space
from ..instructions import LIST, MEMORY, MINUS, RESULT, Op, Program, When
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
    store_readout,
)


def forward(p: Program, config: ChipConfig, where: Places):
    """u = rnd(leak + sum), spike, mask, reset, the next leak; the exact readout (design rules version 1)."""
    one, training = p.constant(ONE), config.training
    kept = training and config.membrane_rows > 0
    phase_starts(p, "forward")
    p.load(one)
    p.do("LOAD", p.constant(where.one), write=True)
    first_layer(p, where)

    p.label("forward layer")
    p.call("fetch layer")
    p.do("DEC", "layers_left", into="layers_left")
    p.load("spikes_in")
    p.do("SUB", "steps", keep=True)
    p.store("scan_at")
    p.load("steps")
    p.store("steps_left")
    p.do("ZERO", keep=True)
    p.store("later")

    p.label("forward step")
    p.do("DEC", "steps_left", into="steps_left")
    p.do("LOAD", p.constant(1), op=Op.STEP)
    p.do("LOAD", "inputs", op=Op.COUNT)
    p.load("scan_at")
    p.do("ADD", "steps", op=Op.SCAN)
    p.do("INC", "scan_at", into="scan_at")
    p.do("LOAD", "bias", when=When.ZERO, to="forward list")
    p.do("LOAD", p.constant(1), op=Op.COUNT)
    p.load(p.constant(where.one))
    p.do("ADD", p.constant(0), op=Op.SCAN)
    p.label("forward list")
    for pointer, field in (("weight_at", "weights"), ("state_at", "state"), ("spike_at", "spikes_out"),
                           *((("mask_at", "masks"),) if training else ()),
                           *((("membrane_at", "membranes"),) if kept else ()), ("left", "outputs")):
        p.load(field)
        p.store(pointer)
    # The next step's places.
    for field in ("spikes_out", *(("masks",) if training else ()), *(("membranes",) if kept else ())):
        p.do("INC", field, into=field)
    first_parameters(p)
    p.load(p.constant(where.base[Space.READOUTS] - 1))
    p.store("readout_at")

    p.label("forward neuron")
    p.do("ZERO", op=Op.FORGET)
    p.load("weight_at")
    p.do("ADD", LIST, op=Op.VISIT)
    count_visits(p, "forward")
    count_dense(p, "forward", "sources")
    load_parameters(p)
    p.do("LOAD", "state_at", read=True)
    p.do("LOAD", one, op=Op.FACTOR)
    p.do("LOAD", "later", when=When.ZERO, to="forward sum")
    p.do("LOAD", MEMORY, op=Op.MULTIPLY)
    p.label("forward sum")
    rounded(p, "u")
    if kept:
        p.do("LOAD", "keep_membrane", when=When.ZERO, to="forward spike")
        p.do("LOAD", "membrane_at", write=True)
        p.load("steps")
        p.do("ADD", "membrane_at", into="membrane_at")
        p.load("u")
        p.label("forward spike")
    p.store("v")
    _spike(p, training=training)
    _leak(p)
    _readout(p)

    p.load("row_step")
    p.do("ADD", "weight_at", into="weight_at")
    p.do("INC", "state_at", into="state_at")
    p.load("steps")
    p.do("ADD", "spike_at", into="spike_at")
    if training:
        p.do("ADD", "mask_at", into="mask_at")
    p.do("DEC", "left", into="left", when=When.NONZERO, to="forward neuron")
    p.do("LOAD", one, keep=True)
    p.store("later")
    p.do("LOAD", "steps_left", when=When.NONZERO, to="forward step")
    next_layer(p)
    p.do("LOAD", "layers_left", when=When.NONZERO, to="forward layer")
    phase_ends(p, "forward")


def _spike(p: Program, *, training: bool):
    """Spike and mask of u, and v after the reset; a layer that does not spike has neither."""
    p.do("ZERO", keep=True)
    p.store("spike")
    p.do("LOAD", "spiking", when=When.NONZERO, to="forward spiking")
    if training:
        p.do("LOAD", "mask_at", write=True)
    p.jump("forward spiked")
    p.label("forward spiking")
    p.do("ZERO", op=Op.FORGET)
    p.do("LOAD", "u", op=Op.MULTIPLY)
    p.do("LOAD", "threshold", op=Op.MULTIPLY, how=MINUS)
    if training:
        p.do("ZERO", op=Op.FLOOR)
        p.load(RESULT)
        p.do("SUB", "half_width", keep=True, when=When.NEGATIVE, to="forward near")
        p.do("ZERO", keep=True)
        p.jump("forward mask")
        p.label("forward near")
        p.load(p.constant(ONE))
        p.label("forward mask")
        p.do("LOAD", "mask_at", write=True)
    # u > θ is u - θ ≥ 2^-24, which is the word 1.
    p.do("LOAD", "strict", op=Op.MULTIPLY, how=MINUS)
    p.do("ZERO", when=When.BELOW, to="forward spiked")
    p.load(p.constant(ONE))
    p.store("spike")
    p.do("ZERO", keep=True)
    p.store("v")
    p.do("LOAD", "steps_left", when=When.ZERO, to="forward spiked")
    p.do("LOAD", "soft", when=When.ZERO, to="forward spiked")
    p.do("LOAD", "strict", op=Op.MULTIPLY)
    rounded(p, "v")
    p.label("forward spiked")
    p.load("spike")
    p.do("LOAD", "spike_at", write=True)


def _leak(p: Program):
    """The state mul(λ, v), if a step follows; 0 needs no product."""
    p.do("LOAD", "steps_left", when=When.ZERO, to="forward left")
    p.load("v", when=When.ZERO, to="forward leak")
    product(p, "decay", "v")
    rounded(p)
    p.label("forward leak")
    p.do("LOAD", "state_at", write=True)
    p.label("forward left")


def _readout(p: Program):
    """On the last layer, the exact sum over steps of spikes, or of membranes."""
    p.do("LOAD", "layers_left", when=When.NONZERO, to="forward read")
    p.do("ZERO", op=Op.FORGET)
    p.do("LOAD", p.constant(ONE), op=Op.FACTOR)
    p.do("LOAD", "later", when=When.ZERO, to="forward add")
    p.call("add readout")
    p.load(p.constant(-4))
    p.do("ADD", "readout_at", into="readout_at")
    p.label("forward add")
    p.do("LOAD", "spiking", when=When.ZERO, to="forward membrane")
    p.do("LOAD", "spike", op=Op.MULTIPLY)
    p.jump("forward sum ready")
    p.label("forward membrane")
    p.do("LOAD", "u", op=Op.MULTIPLY)
    p.label("forward sum ready")
    store_readout(p)
    p.label("forward read")
