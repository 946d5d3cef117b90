"""The whole microprogram of a run."""

from ...contract.chip import ChipConfig
from ..instructions import Op, Program, When
from ..places import Places
from .backward import backward
from .forward import forward
from .layer import clear_counters, layer_routines, publish_cycles
from .loss import loss
from .update import clear, update


def run_program(config: ChipConfig, where: Places) -> Program:
    """A run from its first instruction: the parts that its mask asks for, in their order, then what the host reads."""
    p = Program()
    clear_counters(p)
    parts = [("forward", When.NO_FORWARD, lambda: forward(p, config, where))]
    if config.training:
        parts = [("clear", When.NO_CLEAR, lambda: clear(p, where)), *parts,
                 ("loss", When.NO_LOSS, lambda: loss(p, where)),
                 ("backward", When.NO_BACKWARD, lambda: backward(p, config, where)),
                 ("update", When.NO_UPDATE, lambda: update(p, where))]
    for name, absent, part in parts:
        p.jump(f"no {name}", absent)
        part()
        p.label(f"no {name}")
    p.jump("exact", When.EXACT)
    p.load(p.constant(1))
    p.store("overflow")
    p.label("exact")
    publish_cycles(p)
    p.do("ZERO", op=Op.STOP)
    layer_routines(p, where)
    return p
