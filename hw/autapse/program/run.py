"""The whole microprogram of a run on an autapse core."""

from types import SimpleNamespace

from ...contract.autapse_chip import AutapseChip
from ...contract.program import Space
from ...sequenced.instructions import Op, Program, When
from ...sequenced.program.layer import add_readout, clear_counters, publish_cycles
from ...sequenced.program.loss import loss
from .backward import backward
from .forward import forward
from .segment import fetch_header, segment_routines
from .update import clear, update


def run_program(chip: AutapseChip) -> Program:
    """A run from its first instruction: the parts that its mask asks for, in their order, then what the host reads."""
    p = Program()
    clear_counters(p)
    fetch_header(p)
    parts = [("forward", When.NO_FORWARD, lambda: forward(p, chip))]
    if chip.training:
        given = p.constant(chip.errors_at)
        where = SimpleNamespace(base={Space.READOUTS: chip.readouts_at, Space.TARGETS: chip.targets_at,
                                      Space.ERROR_INPUTS: chip.errors_at})
        parts = [("clear", When.NO_CLEAR, lambda: clear(p)), *parts,
                 ("loss", When.NO_LOSS, lambda: loss(p, where)),
                 ("backward", When.NO_BACKWARD, lambda: backward(p, chip, given)),
                 ("update", When.NO_UPDATE, lambda: update(p, chip))]
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
    segment_routines(p)
    add_readout(p)
    return p
