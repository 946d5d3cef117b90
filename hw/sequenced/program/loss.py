"""Loss: mean squared error, class by class."""

from ...contract.program import Space
from ..instructions import MEMORY, MINUS, Op, Program, When
from ..places import ONE, Places
from .layer import product, rounded


def loss(p: Program, where: Places):
    """r = rnd(y·rnd(1/T) - target), g = mul(gain, r) into the error inputs (design rules version 1)."""
    for name, space in (("readout_at", Space.READOUTS), ("target_at", Space.TARGETS), ("error_at", Space.ERROR_INPUTS)):
        p.load(p.constant(where.base[space] - 1))
        p.store(name)
    p.load("classes")
    p.store("left")
    p.label("loss class")
    p.do("ZERO", op=Op.FORGET)
    p.do("LOAD", "inverse_steps", op=Op.FACTOR)
    p.call("add readout")
    p.do("LOAD", p.constant(ONE), op=Op.FACTOR)
    p.do("INC", "target_at", into="target_at", read=True)
    p.do("LOAD", MEMORY, op=Op.MULTIPLY, how=MINUS)
    rounded(p, "residual")
    product(p, "error_gain", "residual")
    rounded(p)
    p.do("INC", "error_at", into="error_at", write=True)
    p.do("DEC", "left", into="left", when=When.NONZERO, to="loss class")
